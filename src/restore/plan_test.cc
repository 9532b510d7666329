#include "restore/plan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <set>
#include <tuple>

namespace runnel::restore {
namespace {

WallTime At(std::int64_t ms) { return WallTime(std::chrono::milliseconds(ms)); }

LtxFile File(int level, std::uint64_t min, std::uint64_t max, std::int64_t time_ms = 0) {
  return {.level = Level{static_cast<std::uint8_t>(level)},
          .range = {Txid{min}, Txid{max}},
          .size_bytes = 1000 + max,
          .timestamp = At(time_ms != 0 ? time_ms : static_cast<std::int64_t>(max) * 1000)};
}

Inventory Of(std::vector<LtxFile> files) {
  std::ranges::sort(files, {}, [](const LtxFile& file) {
    return std::tuple(ToInt(file.level), file.range.min, file.range.max);
  });
  return {std::move(files)};
}

std::vector<LtxFile> FilesOf(const Result<Plan>& plan) {
  EXPECT_TRUE(plan) << plan.error().message();
  return plan ? plan->files : std::vector<LtxFile>{};
}

void ExpectFails(const Result<Plan>& plan, Errc code, std::initializer_list<const char*> parts) {
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code(), code) << plan.error().message();
  for (const char* part : parts) {
    EXPECT_NE(plan.error().message().find(part), std::string::npos)
        << plan.error().message() << " lacks " << part;
  }
}

TEST(PlanTest, TakesTheNewestSnapshotThenTheFileThatReachesFurthest) {
  const Inventory inventory =
      Of({File(9, 1, 10), File(9, 1, 20), File(3, 1, 16), File(2, 17, 24), File(1, 21, 24),
          File(1, 25, 26), File(0, 24, 24), File(0, 25, 25), File(0, 26, 26), File(0, 27, 27)});
  EXPECT_EQ(FilesOf(MakePlan(inventory, Target::Latest())),
            (std::vector{File(9, 1, 20), File(2, 17, 24), File(1, 25, 26), File(0, 27, 27)}));
}

TEST(PlanTest, AmongFilesWithOneEndTakesTheLargestThenTheHighestLevelThenTheOldest) {
  EXPECT_EQ(FilesOf(MakePlan(Of({File(9, 1, 5), File(0, 8, 8), File(1, 6, 8), File(2, 4, 8)}),
                             Target::Latest())),
            (std::vector{File(9, 1, 5), File(2, 4, 8)}));
  EXPECT_EQ(FilesOf(MakePlan(Of({File(9, 1, 5), File(3, 1, 5)}), Target::Latest())),
            (std::vector{File(9, 1, 5)}));
}

TEST(PlanTest, ALatestRestoreNamesTheMissingTxids) {
  ExpectFails(MakePlan(Of({File(9, 1, 5), File(0, 9, 9)}), Target::Latest()), Errc::kCorruption,
              {"0000000000000006", "0000000000000008", "txid 0000000000000005"});
  ExpectFails(MakePlan(Of({File(9, 1, 5), File(0, 7, 7)}), Target::Latest()), Errc::kCorruption,
              {"txid 0000000000000006 is missing"});
}

TEST(PlanTest, WithoutABeginningNothingIsRestored) {
  ExpectFails(MakePlan(Of({File(0, 3, 3), File(0, 4, 4)}), Target::Latest()), Errc::kCorruption,
              {"0000000000000001", "0000000000000002", "nothing"});
  ExpectFails(MakePlan(Of({File(0, 3, 3)}), Target::AtTxid(Txid{3})), Errc::kNotFound,
              {"no txid can be"});
  ExpectFails(MakePlan(Of({File(0, 3, 3)}), Target::Before(At(9999999))), Errc::kCorruption,
              {"0000000000000001"});
  ExpectFails(MakePlan(Inventory{}, Target::Latest()), Errc::kNotFound, {});
}

TEST(PlanTest, ATxidInsideACompactedFileNamesItsNeighbours) {
  const Inventory inventory = Of({File(9, 1, 5), File(1, 6, 9), File(0, 10, 10)});
  ExpectFails(MakePlan(inventory, Target::AtTxid(Txid{7})), Errc::kNotFound,
              {"before it: 0000000000000005", "after it: 0000000000000009"});
  ExpectFails(MakePlan(inventory, Target::AtTxid(Txid{11})), Errc::kNotFound,
              {"before it: 000000000000000a"});
  ExpectFails(MakePlan(inventory, Target::AtTxid(Txid{4})), Errc::kNotFound,
              {"after it: 0000000000000005"});
  ExpectFails(MakePlan(inventory, Target::AtTxid(Txid{0})), Errc::kNotFound, {});
  EXPECT_EQ(FilesOf(MakePlan(inventory, Target::AtTxid(Txid{9}))),
            (std::vector{File(9, 1, 5), File(1, 6, 9)}));
}

TEST(PlanTest, ATxidBeforeAHoleCanBeRestored) {
  EXPECT_EQ(FilesOf(MakePlan(Of({File(9, 1, 5), File(0, 9, 9)}), Target::AtTxid(Txid{5}))),
            (std::vector{File(9, 1, 5)}));
}

TEST(PlanTest, ATimeTakesOnlyFilesStrictlyBeforeIt) {
  const Inventory inventory = Of({File(9, 1, 5), File(0, 6, 6), File(0, 7, 7)});
  EXPECT_EQ(FilesOf(MakePlan(inventory, Target::Before(At(7000)))),
            (std::vector{File(9, 1, 5), File(0, 6, 6)}));
  EXPECT_EQ(FilesOf(MakePlan(inventory, Target::Before(At(7001)))),
            (std::vector{File(9, 1, 5), File(0, 6, 6), File(0, 7, 7)}));
  ExpectFails(MakePlan(inventory, Target::Before(At(5000))), Errc::kNotFound,
              {"1970-01-01T00:00:05.000Z"});
}

TEST(PlanTest, ATimeInsideACompactedFileEndsBeforeIt) {
  // 6 and 7 are gone from level 0; 8 is there but cannot follow.
  const Inventory inventory = Of({File(9, 1, 5), File(1, 6, 9), File(0, 8, 8), File(0, 9, 9)});
  EXPECT_EQ(FilesOf(MakePlan(inventory, Target::Before(At(8500)))), (std::vector{File(9, 1, 5)}));
}

TEST(PlanTest, ATimeBeyondAHoleIsAnError) {
  ExpectFails(MakePlan(Of({File(9, 1, 5), File(0, 8, 8)}), Target::Before(At(8500))),
              Errc::kCorruption, {"0000000000000006", "0000000000000007"});
}

TEST(PlanTest, FormatsTimesAsRfc3339) {
  EXPECT_EQ(FormatTime(At(1'787'151'194'120)), "2026-08-19T14:53:14.120Z");
}

// Every txid that is the end of some chain of usable files, by exhaustive search.
std::set<std::uint64_t> Reachable(const Inventory& inventory) {
  std::set<std::uint64_t> reached{0};
  for (bool grew = true; grew;) {
    grew = false;
    for (const LtxFile& file : inventory.files) {
      const auto min = ToInt(file.range.min);
      const auto max = ToInt(file.range.max);
      for (const std::uint64_t state : std::set(reached)) {
        if (min <= state + 1 && state < max && reached.insert(max).second) grew = true;
      }
    }
  }
  reached.erase(0);
  return reached;
}

// The pages after applying a plan: page -> txid of its newest version. Stands for the content.
using Pages = std::map<int, std::uint64_t>;

class History {
 public:
  explicit History(std::mt19937_64& random) : random_(random) {
    const int cuts = 1 + static_cast<int>(random() % 40);
    for (int txid = 1; txid <= cuts; ++txid) {
      std::set<int>& changed = changes_.emplace_back();
      const int pages = txid == 1 ? kPages : 1 + static_cast<int>(random() % 3);
      for (int i = 0; i < pages; ++i) {
        changed.insert(txid == 1 ? i : static_cast<int>(random() % kPages));
      }
    }
  }

  std::uint64_t cuts() const { return changes_.size(); }

  Pages StateAt(std::uint64_t txid) const { return Merged(1, txid); }

  // What a file min..max holds.
  Pages Merged(std::uint64_t min, std::uint64_t max) const {
    Pages pages;
    for (std::uint64_t txid = min; txid <= max; ++txid) {
      for (const int page : changes_[txid - 1]) pages[page] = txid;
    }
    return pages;
  }

  // Levels as compaction makes them, snapshots, then retention that may go too far.
  Inventory RandomInventory() {
    std::vector<LtxFile> files;
    std::vector<std::uint64_t> ends;
    for (std::uint64_t txid = 1; txid <= cuts(); ++txid) {
      files.push_back(File(0, txid, txid));
      ends.push_back(txid);
    }
    for (int level = 1; level <= 3; ++level) {
      std::vector<std::uint64_t> next_ends;
      std::uint64_t begin = 1;
      for (const std::uint64_t end : ends) {
        if (random_() % 3 != 0) continue;
        files.push_back(File(level, begin, end));
        next_ends.push_back(end);
        begin = end + 1;
      }
      ends = next_ends;
    }
    for (std::uint64_t txid = 1; txid <= cuts(); ++txid) {
      if (random_() % 8 == 0) files.push_back(File(9, 1, txid));
    }
    const std::uint64_t dropped_percent = random_() % 60;
    std::erase_if(files, [&](const LtxFile&) { return random_() % 100 < dropped_percent; });
    return Of(std::move(files));
  }

 private:
  static constexpr int kPages = 8;
  std::mt19937_64& random_;
  std::vector<std::set<int>> changes_;
};

Pages Apply(const History& history, const Plan& plan) {
  Pages pages;
  for (const LtxFile& file : plan.files) {
    for (const auto [page, txid] : history.Merged(ToInt(file.range.min), ToInt(file.range.max))) {
      pages[page] = txid;
    }
  }
  return pages;
}

TEST(PlanTest, ReachesWhatAnExhaustiveSearchReachesAndYieldsThatState) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    History history(random);
    const Inventory inventory = history.RandomInventory();
    const std::set<std::uint64_t> reachable = Reachable(inventory);

    const std::vector<Txid> points = RestorableTxids(inventory);
    ASSERT_TRUE(std::ranges::equal(points, reachable, {}, [](Txid txid) { return ToInt(txid); }));

    for (std::uint64_t txid = 1; txid <= history.cuts() + 1; ++txid) {
      const auto plan = MakePlan(inventory, Target::AtTxid(Txid{txid}));
      ASSERT_EQ(plan.has_value(), reachable.contains(txid)) << txid;
      if (plan) ASSERT_EQ(Apply(history, *plan), history.StateAt(txid)) << txid;
    }

    const auto latest = MakePlan(inventory, Target::Latest());
    const bool whole = !reachable.empty() && *reachable.rbegin() == ToInt(inventory.newest());
    ASSERT_EQ(latest.has_value(), whole);
    if (latest) ASSERT_EQ(Apply(history, *latest), history.StateAt(ToInt(inventory.newest())));
  }
}

TEST(PlanTest, ATimeNeverShowsALaterCommitAndMissesNoneThatCanBeHad) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    History history(random);
    const Inventory inventory = history.RandomInventory();
    for (std::uint64_t txid = 1; txid <= history.cuts() + 1; ++txid) {
      const auto time = At(static_cast<std::int64_t>(txid) * 1000);
      Inventory older = inventory;
      std::erase_if(older.files, [&](const LtxFile& file) { return file.timestamp >= time; });
      const std::set<std::uint64_t> reachable = Reachable(older);
      const auto plan = MakePlan(inventory, Target::Before(time));
      if (!plan) {
        // Nothing is that old, or no file at all covers the txid that would be next.
        const std::uint64_t end = reachable.empty() ? 0 : *reachable.rbegin();
        ASSERT_TRUE(end == 0 || std::ranges::none_of(inventory.files, [&](const LtxFile& file) {
                      return ToInt(file.range.min) <= end + 1 && ToInt(file.range.max) > end;
                    }));
        continue;
      }
      ASSERT_LT(ToInt(plan->txid()), txid);
      ASSERT_EQ(ToInt(plan->txid()), *reachable.rbegin());
      ASSERT_EQ(Apply(history, *plan), history.StateAt(ToInt(plan->txid())));
    }
  }
}

}  // namespace
}  // namespace runnel::restore
