// Numbers that must not be swapped, each a type of its own.

#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace runnel {

// A page of a database, 1-based. 0 is "no page".
enum class PageNo : std::uint32_t {};

// A frame of a WAL, 1-based. 0 is "no frame": an empty WAL, or the place before the first frame.
enum class FrameNo : std::uint32_t {};

// A transaction of a replica: one cut of the WAL, not one SQLite transaction. 0 is "none yet".
enum class Txid : std::uint64_t {};

// The CRC-64 of an LTX file, bit 63 always set (docs/formats/ltx.md).
enum class FileChecksum : std::uint64_t {};

// The sum of all page checksums of a database (docs/formats/ltx.md, "The chain").
enum class DatabaseChecksum : std::uint64_t {};

// Compaction level of an LTX file: 0 as cut, 1..8 compacted, 9 snapshots.
enum class Level : std::uint8_t {};
inline constexpr Level kLevelCut{0};
inline constexpr Level kLevelSnapshot{9};
inline constexpr int kLevelCount = 10;

constexpr std::uint32_t ToInt(PageNo v) { return static_cast<std::uint32_t>(v); }
constexpr std::uint32_t ToInt(FrameNo v) { return static_cast<std::uint32_t>(v); }
constexpr std::uint64_t ToInt(Txid v) { return static_cast<std::uint64_t>(v); }
constexpr std::uint64_t ToInt(FileChecksum v) { return static_cast<std::uint64_t>(v); }
constexpr std::uint64_t ToInt(DatabaseChecksum v) { return static_cast<std::uint64_t>(v); }
constexpr int ToInt(Level v) { return static_cast<int>(v); }

constexpr PageNo Next(PageNo v) { return PageNo{ToInt(v) + 1}; }
constexpr FrameNo Next(FrameNo v) { return FrameNo{ToInt(v) + 1}; }
constexpr Txid Next(Txid v) { return Txid{ToInt(v) + 1}; }

inline constexpr std::uint32_t kPageSizeMin = 512;
inline constexpr std::uint32_t kPageSizeMax = 65536;

constexpr bool IsValidPageSize(std::uint32_t page_size) {
  return page_size >= kPageSizeMin && page_size <= kPageSizeMax &&
         (page_size & (page_size - 1)) == 0;
}

// The page that holds byte 2^30. SQLite locks bytes of it and never stores anything there.
constexpr PageNo LockPage(std::uint32_t page_size) { return PageNo{0x40000000U / page_size + 1}; }

// Exactly 16 lower-case hex digits, the form used in object names and on the command line.
std::string FormatTxid(Txid txid);

// Nothing unless `text` is exactly 16 hex digits (either case).
std::optional<Txid> ParseTxid(std::string_view text);

}  // namespace runnel
