#include "testing/memory_content.h"

#include <algorithm>

namespace runnel::testing {

bool Survives(Random& random, Survival survival) {
  return random.NextU64() % kSurvivalMax < static_cast<std::uint64_t>(survival);
}

std::size_t MemoryContent::Read(std::uint64_t offset, MutableBytes out) const {
  if (offset >= size_) return 0;
  const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(out.size(), size_ - offset));
  std::size_t done = 0;
  while (done < count) {
    const std::uint64_t at = offset + done;
    const auto in_block = static_cast<std::size_t>(at % kBlockBytes);
    const std::size_t piece = std::min(count - done, kBlockBytes - in_block);
    const auto block = blocks_.find(at / kBlockBytes);
    if (block == blocks_.end()) {
      std::ranges::fill(out.subspan(done, piece), std::byte{0});
    } else {
      std::ranges::copy(ByteView(*block->second).subspan(in_block, piece),
                        out.subspan(done).begin());
    }
    done += piece;
  }
  return count;
}

void MemoryContent::Write(std::uint64_t offset, ByteView bytes) {
  if (bytes.empty()) return;
  const std::uint64_t end = offset + bytes.size();
  for (std::uint64_t s = offset / kSectorBytes; s * kSectorBytes < end; ++s) Remember(s);
  while (!bytes.empty()) {
    const auto in_block = static_cast<std::size_t>(offset % kBlockBytes);
    const std::size_t piece = std::min(bytes.size(), kBlockBytes - in_block);
    std::unique_ptr<Block>& block = blocks_[offset / kBlockBytes];
    if (!block) block = std::make_unique<Block>();
    std::ranges::copy(bytes.first(piece), block->begin() + static_cast<std::ptrdiff_t>(in_block));
    offset += piece;
    bytes = bytes.subspan(piece);
  }
  SetSize(std::max(size_, end));
}

void MemoryContent::Truncate(std::uint64_t size) {
  if (size < size_) {
    for (auto block = blocks_.lower_bound(size / kBlockBytes); block != blocks_.end(); ++block) {
      const std::uint64_t first = block->first * (kBlockBytes / kSectorBytes);
      for (std::uint64_t s = first; s < first + kBlockBytes / kSectorBytes; ++s) {
        if ((s + 1) * kSectorBytes > size) Remember(s);
      }
    }
    Clear(size);
  }
  SetSize(size);
}

void MemoryContent::Sync() {
  past_sectors_.clear();
  past_sizes_.clear();
}

void MemoryContent::LosePower(Random& random, Survival survival) {
  if (!past_sizes_.empty() && !Survives(random, survival)) {
    size_ = past_sizes_[random.NextU64() % past_sizes_.size()];
  }
  for (const auto& [sector, images] : past_sectors_) {
    if (!Survives(random, survival)) Put(sector, images[random.NextU64() % images.size()]);
  }
  Clear(size_);
  Sync();
}

std::size_t MemoryContent::FitInto(std::uint64_t block_count_max, std::uint64_t offset,
                                   std::size_t bytes) const {
  std::size_t fit = 0;
  std::uint64_t added = 0;
  while (fit < bytes) {
    const std::uint64_t at = offset + fit;
    if (!blocks_.contains(at / kBlockBytes) && ++added > block_count_max) break;
    fit += std::min(bytes - fit, kBlockBytes - static_cast<std::size_t>(at % kBlockBytes));
  }
  return fit;
}

MemoryContent::Image MemoryContent::Copy(std::uint64_t sector) const {
  const std::uint64_t offset = sector * kSectorBytes;
  const auto block = blocks_.find(offset / kBlockBytes);
  if (block == blocks_.end()) return nullptr;
  auto image = std::make_unique<Sector>();
  std::ranges::copy(ByteView(*block->second)
                        .subspan(static_cast<std::size_t>(offset % kBlockBytes), kSectorBytes),
                    image->begin());
  return image;
}

void MemoryContent::Put(std::uint64_t sector, const Image& image) {
  const std::uint64_t offset = sector * kSectorBytes;
  std::unique_ptr<Block>& block = blocks_[offset / kBlockBytes];
  if (!block) block = std::make_unique<Block>();
  auto* const to = block->begin() + static_cast<std::ptrdiff_t>(offset % kBlockBytes);
  if (image) {
    std::ranges::copy(*image, to);
  } else {
    std::fill_n(to, kSectorBytes, std::byte{0});
  }
}

void MemoryContent::Remember(std::uint64_t sector) {
  std::vector<Image>& images = past_sectors_[sector];
  if (images.size() == kPastMax) images.pop_back();
  images.push_back(Copy(sector));
}

void MemoryContent::SetSize(std::uint64_t size) {
  if (size == size_) return;
  if (past_sizes_.size() == kPastMax) past_sizes_.pop_back();
  past_sizes_.push_back(size_);
  size_ = size;
}

void MemoryContent::Clear(std::uint64_t from) {
  auto block = blocks_.lower_bound(from / kBlockBytes);
  if (block != blocks_.end() && block->first * kBlockBytes < from) {
    std::fill(block->second->begin() + static_cast<std::ptrdiff_t>(from % kBlockBytes),
              block->second->end(), std::byte{0});
    ++block;
  }
  blocks_.erase(block, blocks_.end());
}

}  // namespace runnel::testing
