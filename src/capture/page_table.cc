#include "capture/page_table.h"

#include <algorithm>
#include <utility>

namespace runnel::capture {
namespace {

constexpr std::size_t kEntrySize = 12;
constexpr std::size_t kSlotsMin = 64;
constexpr std::size_t kWindowEntries = 1024;

std::size_t Mix(PageNo page_no) {
  return static_cast<std::size_t>(ToInt(page_no) * 0x9E3779B97F4A7C15ULL >> 20);
}

}  // namespace

PageTable::PageTable(fs::FileSystem& fs, fs::Path spill_path, fs::Ownership ownership,
                     std::size_t memory_entries_max)
    : fs_(fs),
      spill_path_(std::move(spill_path)),
      ownership_(ownership),
      memory_entries_max_(memory_entries_max) {
  RUNNEL_CHECK(memory_entries_max_ > 0);
}

std::size_t PageTable::SlotOf(PageNo page_no) const {
  const std::size_t mask = slots_.size() - 1;
  std::size_t slot = Mix(page_no) & mask;
  while (slots_[slot].page_no != PageNo{0} && slots_[slot].page_no != page_no) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

Result<void> PageTable::Put(PagePlace place) {
  RUNNEL_CHECK(place.page_no != PageNo{0});
  if ((count_ + 1) * 2 > slots_.size()) Grow();
  PagePlace& slot = slots_[SlotOf(place.page_no)];
  if (slot.page_no == PageNo{0}) ++count_;
  slot = place;
  if (count_ >= memory_entries_max_) return SpillMemory();
  return {};
}

std::optional<std::uint64_t> PageTable::FindInMemory(PageNo page_no) const {
  if (slots_.empty()) return std::nullopt;
  const PagePlace& slot = slots_[SlotOf(page_no)];
  if (slot.page_no == PageNo{0}) return std::nullopt;
  return slot.offset_bytes;
}

void PageTable::Grow() {
  std::vector<PagePlace> old =
      std::exchange(slots_, std::vector<PagePlace>(std::max(kSlotsMin, slots_.size() * 2)));
  for (const PagePlace& place : old) {
    if (place.page_no != PageNo{0}) slots_[SlotOf(place.page_no)] = place;
  }
}

std::vector<PagePlace> PageTable::SortedMemory() const {
  std::vector<PagePlace> places;
  places.reserve(count_);
  for (const PagePlace& place : slots_) {
    if (place.page_no != PageNo{0}) places.push_back(place);
  }
  std::ranges::sort(places, {}, &PagePlace::page_no);
  return places;
}

Result<void> PageTable::SpillMemory() {
  if (!spill_) {
    RUNNEL_TRY(spill_, fs_.Open(spill_path_, fs::OpenMode::kCreate, ownership_));
    RUNNEL_TRY_VOID(spill_->Truncate(0));
  }
  const std::vector<PagePlace> places = SortedMemory();
  Bytes bytes(places.size() * kEntrySize);
  for (std::size_t i = 0; i < places.size(); ++i) {
    PutLittleEndian(bytes, i * kEntrySize, ToInt(places[i].page_no));
    PutLittleEndian(bytes, i * kEntrySize + 4, places[i].offset_bytes);
  }
  RUNNEL_TRY_VOID(spill_->WriteAt(spill_size_, bytes));
  runs_.push_back({.offset_bytes = spill_size_, .entry_count = places.size()});
  spill_size_ += bytes.size();
  slots_.assign(slots_.size(), PagePlace{});
  count_ = 0;
  return {};
}

// A sorted run, read through a window.
struct PageTable::Cursor::Run {
  std::shared_ptr<fs::File> file;
  std::uint64_t offset_bytes;  // of the next window
  std::uint64_t entries_left;  // past the window
  std::vector<PagePlace> window;
  std::size_t next = 0;

  Result<std::optional<PagePlace>> Peek() {
    if (next == window.size()) {
      if (entries_left == 0) return std::nullopt;
      RUNNEL_TRY_VOID(ReadWindow());
    }
    return window[next];
  }

  Result<void> ReadWindow() {
    const std::size_t count = std::min<std::uint64_t>(entries_left, kWindowEntries);
    Bytes bytes(count * kEntrySize);
    RUNNEL_TRY(const std::size_t got, file->ReadAt(offset_bytes, bytes));
    if (got != bytes.size()) return Fail(Errc::kIo, "the page table's spill file was cut short");
    window.clear();
    for (std::size_t i = 0; i < count; ++i) {
      window.push_back({.page_no = PageNo{GetLittleEndian<std::uint32_t>(bytes, i * kEntrySize)},
                        .offset_bytes = GetLittleEndian<std::uint64_t>(bytes, i * kEntrySize + 4)});
    }
    next = 0;
    offset_bytes += bytes.size();
    entries_left -= count;
    return {};
  }
};

PageTable::Cursor::Cursor(const PageTable& table) : memory_(table.SortedMemory()) {
  for (const RunExtent& extent : table.runs_) {
    runs_.push_back(std::make_shared<Run>(Run{.file = table.spill_,
                                              .offset_bytes = extent.offset_bytes,
                                              .entries_left = extent.entry_count,
                                              .window = {}}));
  }
}

Result<std::optional<PagePlace>> PageTable::Cursor::Next() {
  std::optional<PagePlace> best;
  for (const auto& run : runs_) {
    RUNNEL_TRY(const std::optional<PagePlace> head, run->Peek());
    // Runs are in the order of writing: of equal pages the later run is the newer copy.
    if (head && (!best || head->page_no <= best->page_no)) best = head;
  }
  if (memory_next_ < memory_.size() && (!best || memory_[memory_next_].page_no <= best->page_no)) {
    best = memory_[memory_next_];
  }
  if (!best) return std::nullopt;
  for (const auto& run : runs_) {
    RUNNEL_TRY(const std::optional<PagePlace> head, run->Peek());
    if (head && head->page_no == best->page_no) ++run->next;
  }
  if (memory_next_ < memory_.size() && memory_[memory_next_].page_no == best->page_no) {
    ++memory_next_;
  }
  return best;
}

}  // namespace runnel::capture
