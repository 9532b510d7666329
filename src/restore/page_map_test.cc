#include "restore/page_map.h"

#include <gtest/gtest.h>

namespace runnel::restore {
namespace {

TEST(PageMapTest, TheLockPageIsNoPageOfTheDatabase) {
  const std::uint32_t lock_page = ToInt(LockPage(65536));
  EXPECT_EQ(PageMap(lock_page - 1, 65536).missing(), lock_page - 1);
  PageMap map(lock_page, 65536);
  EXPECT_EQ(map.missing(), lock_page - 1);
  EXPECT_FALSE(map.IsPage(PageNo{lock_page}));
  EXPECT_TRUE(map.IsPage(PageNo{lock_page - 1}));
  EXPECT_FALSE(map.IsPage(PageNo{0}));
  EXPECT_FALSE(map.IsPage(PageNo{lock_page + 1}));
}

TEST(PageMapTest, FindsTheFirstMissingPagePastTheLockPage) {
  const std::uint32_t lock_page = ToInt(LockPage(65536));
  PageMap map(lock_page + 2, 65536);
  for (std::uint32_t page = 1; page < lock_page; ++page) map.Add(PageNo{page});
  EXPECT_EQ(map.missing(), 2U);
  EXPECT_EQ(map.FirstMissing(), PageNo{lock_page + 1});
  map.Add(PageNo{lock_page + 1});
  EXPECT_TRUE(map.Has(PageNo{lock_page + 1}));
  EXPECT_EQ(map.FirstMissing(), PageNo{lock_page + 2});
  map.Add(PageNo{lock_page + 2});
  EXPECT_EQ(map.missing(), 0U);
}

TEST(PageMapTest, AnEmptyDatabaseMissesNothing) { EXPECT_EQ(PageMap(0, 4096).missing(), 0U); }

}  // namespace
}  // namespace runnel::restore
