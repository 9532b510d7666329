// Where things lie in the wal-index (docs/formats/wal-index.md). Used inside this folder.

#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "sqlite/connection.h"

namespace runnel::sqlite {

inline constexpr int kWalIndexRegionSize = 32768;  // what SQLite maps at a time

inline constexpr std::size_t kWalIndexHeaderSize = 48;
static_assert(sizeof(WalIndexBytes) == kWalIndexHeaderSize);

// Inside a header.
inline constexpr std::size_t kVersionOffset = 0;
inline constexpr std::size_t kIsInitOffset = 12;
inline constexpr std::size_t kBigEndianChecksumOffset = 13;
inline constexpr std::size_t kPageSizeOffset = 14;
inline constexpr std::size_t kMaxFrameOffset = 16;
inline constexpr std::size_t kPageCountOffset = 20;
inline constexpr std::size_t kFrameChecksumOffset = 24;
inline constexpr std::size_t kSaltsOffset = 32;
inline constexpr std::size_t kHeaderChecksumOffset = 40;

// Inside the wal-index, after the two copies of the header.
inline constexpr std::size_t kBackfilledOffset = 96;
inline constexpr std::size_t kReadMarksOffset = 100;
inline constexpr std::size_t kBackfillAttemptedOffset = 128;

inline constexpr std::uint32_t kWalIndexVersion = 3007000;

// Lock bytes, as numbered by xShmLock().
inline constexpr int kWriteLockByte = 0;
inline constexpr int kCheckpointLockByte = 1;

// All integers are of the host's order but the salts, which are as in the WAL file.
inline constexpr ByteOrder kHostOrder =
    std::endian::native == std::endian::little ? ByteOrder::kLittle : ByteOrder::kBig;

// The checksum of `header` without its last 8 bytes fits these.
bool HasValidChecksum(const WalIndexBytes& header);

// What SQLite's recovery publishes when there is no WAL, or none with a valid header.
WalIndexBytes NeverWrittenWalIndexHeader();

}  // namespace runnel::sqlite
