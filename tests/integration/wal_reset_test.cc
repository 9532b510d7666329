// The WAL-reset bug of SQLite 3.7.0 to 3.51.2, made to happen: a checkpointer that read the header
// is stopped before it reads nBackfill, and the WAL is restarted in between. It shows that slot 0
// and the fence protect an application on an old SQLite, and that they are needed.

#include <gtest/gtest.h>

#include <string>

#include "integration/protocol_fixture.h"

namespace runnel::integration {
namespace {

using sqlite::CheckpointMode;

class WalResetTest : public ProtocolTest {
 protected:
  static constexpr int kOldRows = 30;
  static constexpr int kNewRows = 8;

  // The WAL is completely backfilled, and `c` of another process does not know the last commit.
  void SetUp() override {
    OpenIn(other_, "c");
    other_.Do("exec c SELECT count(*) FROM t");
    for (int i = 0; i < kOldRows; ++i) Insert(3000);
    EXPECT_EQ(app_.Do("checkpoint w passive").substr(0, 2), "0 ");
  }

  void Insert(int size) {
    app_.Do("exec w INSERT INTO t(v) VALUES(zeroblob(" + std::to_string(size) + "))");
  }

  // `c` has the CKPT lock and a header that will be stale.
  void StopCheckpointer() {
    other_.Do("arm c unfetch pause 1");
    EXPECT_EQ(other_.Ask("checkpoint c passive"), "paused c");
  }

  // New pages, so that the old header's page count is too small.
  void RestartWal() {
    for (int i = 0; i < kNewRows; ++i) Insert(9000);
  }

  void LetCheckpointerRun() { other_.Do("continue"); }

  bool DatabaseIsWhole() {
    Agent fresh(GetParam());
    OpenIn(fresh, "r");
    return fresh.Ask("exec r PRAGMA integrity_check") == "ok ok" &&
           fresh.Ask("exec r SELECT count(*) FROM t") ==
               "ok " + std::to_string(kOldRows + kNewRows);
  }

  bool IsFixed() const { return GetParam() == AgentSqlite::kOurs; }

  Agent other_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(Protocol, WalResetTest,
                         ::testing::Values(AgentSqlite::kSystem, AgentSqlite::kOurs), SqliteName);

TEST_P(WalResetTest, WithoutADaemonAnOldSqliteDamagesTheDatabase) {
  StopCheckpointer();
  RestartWal();
  LetCheckpointerRun();
  EXPECT_EQ(DatabaseIsWhole(), IsFixed());
  const auto connection = Connect();
  const sqlite::LiveWalIndex live = Live(*connection);
  EXPECT_EQ(live.backfilled > Parse(live.header).max_frame, !IsFixed());
}

TEST_P(WalResetTest, SlotZeroDuringTheRestartProtectsIt) {
  const auto reader = Connect();
  ASSERT_OK(reader->Begin());
  const Position before = LivePosition(*reader);
  StopCheckpointer();
  RestartWal();
  ASSERT_NE(LivePosition(*reader).salts, before.salts);
  LetCheckpointerRun();
  EXPECT_EQ(Live(*reader).backfilled, 0U);
  ASSERT_OK(reader->Rollback());
  EXPECT_TRUE(DatabaseIsWhole());
}

TEST_P(WalResetTest, LeavingSlotZeroWithoutTheFenceDamagesIt) {
  const auto reader = Connect();
  const auto next_reader = Connect();
  ASSERT_OK(reader->Begin());
  StopCheckpointer();
  RestartWal();
  ASSERT_OK(next_reader->Begin());
  ASSERT_OK(reader->Rollback());
  LetCheckpointerRun();
  EXPECT_EQ(DatabaseIsWhole(), IsFixed());
}

TEST_P(WalResetTest, TheFenceHoldsSlotZeroUntilTheCheckpointerIsGone) {
  const auto reader = Connect();
  const auto next_reader = Connect();
  const auto checkpointer = Connect();
  ASSERT_OK(reader->Begin());
  StopCheckpointer();
  RestartWal();
  ASSERT_OK(next_reader->Begin());
  ASSERT_OK_AND_ASSIGN(const auto fenced, checkpointer->Checkpoint(CheckpointMode::kPassive));
  EXPECT_TRUE(fenced.busy);
  // The same fence without a checkpoint: one lock, tried and released.
  EXPECT_EQ(*sqlite::ProbeCheckpointLock(*checkpointer), sqlite::LockState::kHeld);
  // A checkpointer that holds WRITE has read a fresh header; this one does not hold it.
  EXPECT_EQ(*sqlite::ProbeWriteLock(*checkpointer), sqlite::LockState::kFree);
  LetCheckpointerRun();
  ASSERT_OK_AND_ASSIGN(const auto open, checkpointer->Checkpoint(CheckpointMode::kPassive));
  EXPECT_FALSE(open.busy);
  EXPECT_EQ(*sqlite::ProbeCheckpointLock(*checkpointer), sqlite::LockState::kFree);
  ASSERT_OK(reader->Rollback());
  EXPECT_TRUE(DatabaseIsWhole());
}

}  // namespace
}  // namespace runnel::integration
