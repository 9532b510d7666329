#include "ltx/read_ahead.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace runnel::ltx {

Result<ByteView> ReadAhead::Peek(std::size_t size) {
  if (buffered() < size) MakeRoom(size);
  while (buffered() < size) {
    const std::size_t room = std::min(capacity_ - end_, std::max(window_, size - buffered()));
    RUNNEL_TRY(const std::size_t count, source_.Read(MutableBytes(buffer_.get() + end_, room)));
    if (count == 0) {
      return Fail(Errc::kCorruption, fmt::format("file ends at byte {}, {} more were due",
                                                 offset_ + buffered(), size - buffered()));
    }
    end_ += count;
  }
  return ByteView(buffer_.get() + begin_, size);
}

void ReadAhead::Consume(std::size_t size) {
  RUNNEL_CHECK(size <= buffered());
  begin_ += size;
  offset_ += size;
}

Result<bool> ReadAhead::AtEnd() {
  if (buffered() > 0) return false;
  MakeRoom(1);
  RUNNEL_TRY(const std::size_t count,
             source_.Read(MutableBytes(buffer_.get() + end_, capacity_ - end_)));
  end_ += count;
  return count == 0;
}

void ReadAhead::Reserve(std::size_t size) {
  const std::size_t capacity = std::max(window_, size);
  if (capacity <= capacity_) return;
  auto larger = std::make_unique_for_overwrite<std::byte[]>(capacity);
  if (buffered() > 0) std::memcpy(larger.get(), buffer_.get() + begin_, buffered());
  buffer_ = std::move(larger);
  capacity_ = capacity;
  end_ -= begin_;
  begin_ = 0;
}

// Leaves at least `size` bytes of buffer from begin_ on.
void ReadAhead::MakeRoom(std::size_t size) {
  Reserve(size);
  if (size <= capacity_ - begin_) return;
  if (buffered() > 0) std::memmove(buffer_.get(), buffer_.get() + begin_, buffered());
  end_ -= begin_;
  begin_ = 0;
}

}  // namespace runnel::ltx
