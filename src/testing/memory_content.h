// The bytes of one simulated file, with a memory of what a disk may still hold instead of them.

#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"

namespace runnel::testing {

// How many of 4 unsynced changes survive a power loss, on the average. 0 and 4 are certain.
enum class Survival : std::uint8_t {};
inline constexpr std::uint64_t kSurvivalMax = 4;

bool Survives(Random& random, Survival survival);

// What a disk does: a sector of 512 bytes is written as a whole or not at all, sectors in any
// order, the size of the file apart from them. Since the last Sync(), each sector and the size
// may hold any value that they had. A sector that was never written reads as zeros.
//
// Sparse, so that a file may be far larger than the memory.
class MemoryContent {
 public:
  static constexpr std::size_t kSectorBytes = 512;
  static constexpr std::size_t kBlockBytes = 4096;  // what space is counted in

  std::size_t Read(std::uint64_t offset, MutableBytes out) const;
  void Write(std::uint64_t offset, ByteView bytes);
  void Truncate(std::uint64_t size);

  void Sync();
  void LosePower(Random& random, Survival survival);

  std::uint64_t size() const { return size_; }
  std::uint64_t block_count() const { return blocks_.size(); }

  // How many of `bytes`, from the front, can be written at `offset` with that many new blocks.
  std::size_t FitInto(std::uint64_t block_count_max, std::uint64_t offset, std::size_t bytes) const;

 private:
  using Sector = std::array<std::byte, kSectorBytes>;
  using Block = std::array<std::byte, kBlockBytes>;
  using Image = std::unique_ptr<Sector>;  // null: zeros

  // Of older values that could come back the first and a few more are kept; to keep all would
  // cost a copy for every small append.
  static constexpr std::size_t kPastMax = 4;

  Image Copy(std::uint64_t sector) const;
  void Put(std::uint64_t sector, const Image& image);
  void Remember(std::uint64_t sector);
  void SetSize(std::uint64_t size);
  void Clear(std::uint64_t from);  // zeros from there on, and gives whole blocks back

  std::uint64_t size_ = 0;
  std::map<std::uint64_t, std::unique_ptr<Block>> blocks_;  // by offset / kBlockBytes

  // What changed since Sync(): older values, oldest first; the first is the durable one.
  std::map<std::uint64_t, std::vector<Image>> past_sectors_;
  std::vector<std::uint64_t> past_sizes_;
};

}  // namespace runnel::testing
