#include "capture/page_table.h"

#include <gtest/gtest.h>

#include <map>

#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"
#include "testing/seeded_random.h"

namespace runnel::capture {
namespace {

class PageTableTest : public ::testing::Test {
 protected:
  using Places = std::map<std::uint32_t, std::uint64_t>;

  static void ExpectWalk(const PageTable& table, const Places& places) {
    auto cursor = table.Walk();
    for (const auto& [page_no, offset] : places) {
      ASSERT_OK_AND_ASSIGN(const auto place, cursor.Next());
      ASSERT_TRUE(place);
      ASSERT_EQ(ToInt(place->page_no), page_no);
      ASSERT_EQ(place->offset_bytes, offset) << page_no;
    }
    ASSERT_OK_AND_ASSIGN(const auto end, cursor.Next());
    EXPECT_FALSE(end);
  }

  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
  testing::FaultFileSystem faults_{files_};
  testing::SeededRandom random_{3};
};

TEST_F(PageTableTest, WalksInOrderWithTheNewestPlaceOfEach) {
  for (const std::size_t memory_entries : {1U, 2U, 7U, 100U, 5000U}) {
    SCOPED_TRACE(memory_entries);
    PageTable table(faults_, "/index", {}, memory_entries);
    Places places;
    EXPECT_TRUE(table.empty());
    for (std::uint64_t i = 0; i < 3000; ++i) {
      const auto page_no = static_cast<std::uint32_t>(1 + random_.Below(700));
      places[page_no] = i;
      ASSERT_OK(table.Put({.page_no = PageNo{page_no}, .offset_bytes = i}));
      const auto found = table.FindInMemory(PageNo{page_no});
      if (found) ASSERT_EQ(*found, i);
    }
    EXPECT_FALSE(table.empty());
    ExpectWalk(table, places);
    ExpectWalk(table, places);
  }
}

TEST_F(PageTableTest, KeepsEveryPageNumberApart) {
  PageTable table(faults_, "/index", {}, 10);
  Places places;
  for (std::uint64_t i = 0; i < 32; ++i) {
    const std::uint32_t page_no = 1U << i;
    places[page_no] = ~i;
    ASSERT_OK(table.Put({.page_no = PageNo{page_no}, .offset_bytes = ~i}));
  }
  places[0xFFFFFFFFU] = 5;
  ASSERT_OK(table.Put({.page_no = PageNo{0xFFFFFFFFU}, .offset_bytes = 5}));
  ExpectWalk(table, places);
}

TEST_F(PageTableTest, TouchesNoDiskBeforeItsMemoryIsFull) {
  PageTable table(faults_, "/index", {}, 100);
  for (std::uint32_t i = 1; i < 100; ++i) {
    ASSERT_OK(table.Put({.page_no = PageNo{i}, .offset_bytes = i}));
  }
  EXPECT_EQ(faults_.call_count(), 0U);
}

TEST_F(PageTableTest, PutThatFailedCanBeRepeated) {
  for (std::uint64_t n = 1;; ++n) {
    SCOPED_TRACE(n);
    faults_.FailAt(n, {.code = Errc::kNoSpace, .effect = testing::FileFault::Effect::kPartial});
    PageTable table(faults_, "/index", {}, 4);
    Places places;
    for (std::uint32_t i = 1; i <= 60; ++i) {
      const PagePlace place{.page_no = PageNo{i * 7 % 31 + 1}, .offset_bytes = i};
      places[ToInt(place.page_no)] = i;
      if (!table.Put(place)) ASSERT_OK(table.Put(place));
    }
    const bool failed = faults_.failure_count() > 0;
    faults_.Heal();
    ExpectWalk(table, places);
    if (!failed) return;
  }
}

TEST_F(PageTableTest, SpillFileThatIsCutShortIsAnError) {
  PageTable table(faults_, "/index", {}, 4);
  for (std::uint32_t i = 1; i <= 8; ++i) {
    ASSERT_OK(table.Put({.page_no = PageNo{i}, .offset_bytes = i}));
  }
  {
    ASSERT_OK_AND_ASSIGN(auto file, files_.Open("/index", fs::OpenMode::kReadWrite));
    ASSERT_OK(file->Truncate(20));
  }
  auto cursor = table.Walk();
  EXPECT_FAILS(Errc::kIo, cursor.Next());
}

}  // namespace
}  // namespace runnel::capture
