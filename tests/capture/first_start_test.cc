// Before any replica was reached, and with no history of its own, a daemon can cut nothing.

#include "tests/capture/live_database.h"

namespace runnel::tests {
namespace {

using std::chrono::seconds;

class FirstStartTest : public LiveDatabaseTest {
 protected:
  FirstStartTest() : app_(path_) {
    app_.Run("PRAGMA journal_mode=WAL; CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
    database_ = std::make_unique<capture::Database>(options_,
                                                    capture::Environment{.fs = fs_,
                                                                         .registry = *registry_,
                                                                         .clock = clock_,
                                                                         .log = log_,
                                                                         .scheduler = *scheduler_},
                                                    *this);
    EXPECT_TRUE(database_->Start());
  }

  App app_;
};

TEST_F(FirstStartTest, KeepsNothingUntilAReplicaIsReached) {
  for (int i = 0; i < 20; ++i) {
    app_.Run("INSERT INTO t(x) VALUES (randomblob(1000000))");
    Settle(seconds(2));
    ASSERT_LT(database().status().uncut_bytes, 100'000U) << i;
  }
  EXPECT_EQ(newest_cut_, Txid{0});
  const auto asked = database().RequestCut();
  ASSERT_FALSE(asked);
  EXPECT_NE(asked.error().message().find("no replica"), std::string::npos);
  ASSERT_TRUE(database().AdoptHistory(Txid{5}));
  Settle(seconds(3));
  EXPECT_EQ(newest_cut_, Txid{6});
  ExpectStagedEqualsLive();
  app_.Run("UPDATE t SET x = 'after' WHERE id = 7");
  Settle(seconds(3));
  EXPECT_EQ(newest_cut_, Txid{7});
  ExpectStagedEqualsLive();
}

TEST_F(FirstStartTest, KeepsItsWalShort) {
  for (int i = 0; i < 40; ++i) {
    app_.Run("INSERT INTO t(x) VALUES (randomblob(500000))");
    Settle(seconds(2));
  }
  EXPECT_LT(database().status().wal_bytes, 8'000'000U);
}

}  // namespace
}  // namespace runnel::tests
