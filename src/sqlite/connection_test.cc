#include "sqlite/connection.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <filesystem>

#include "sqlite/wal_index.h"
#include "sqlite/wal_index_layout.h"
#include "testing/live_database.h"

namespace runnel::sqlite {
namespace {

using testing::App;
using testing::HeldSlots;

using ::testing::HasSubstr;

class ConnectionTest : public testing::LiveDatabaseTest {
 protected:
  std::unique_ptr<Connection> OpenReady() {
    auto connection = Open();
    EXPECT_OK(connection->Begin());
    EXPECT_OK(connection->Rollback());
    return connection;
  }
};

std::uint32_t MaxFrame(const WalIndexBytes& header) {
  return GetInt<std::uint32_t>(header, kMaxFrameOffset, kHostOrder);
}

TEST_F(ConnectionTest, BeginReallyTakesAReadSlot) {
  const auto watcher = OpenReady();
  const auto connection = Open();
  EXPECT_EQ(HeldSlots(*watcher), std::set<int>{});
  ASSERT_OK(connection->Begin());
  EXPECT_EQ(HeldSlots(*watcher), std::set<int>{0});  // nothing in the WAL
  ASSERT_OK(connection->Rollback());
  EXPECT_EQ(HeldSlots(*watcher), std::set<int>{});
}

TEST_F(ConnectionTest, SlotZeroIsTakenExactlyWhenTheWalIsBackfilled) {
  App app(path_);
  app.Run("PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES(2)");
  const auto watcher = OpenReady();
  const auto connection = Open();
  ASSERT_OK(connection->Begin());
  EXPECT_THAT(HeldSlots(*watcher), ::testing::ElementsAre(::testing::Gt(0)));
  ASSERT_OK(connection->Rollback());

  ASSERT_OK(watcher->Checkpoint(CheckpointMode::kPassive));
  ASSERT_OK(connection->Begin());
  EXPECT_EQ(HeldSlots(*watcher), std::set<int>{0});
  ASSERT_OK(connection->Rollback());
  ASSERT_OK(connection->Begin(ReadSlot::kNotZero));
  EXPECT_THAT(HeldSlots(*watcher), ::testing::ElementsAre(::testing::Gt(0)));
  ASSERT_OK(connection->Rollback());
}

TEST_F(ConnectionTest, NotZeroWorksAsTheFirstTransaction) {
  App app(path_);
  app.Run("INSERT INTO t VALUES(2)");
  const auto watcher = OpenReady();
  ASSERT_OK(watcher->Checkpoint(CheckpointMode::kPassive));
  const auto connection = Open();
  ASSERT_OK(connection->Begin(ReadSlot::kNotZero));
  EXPECT_THAT(HeldSlots(*watcher), ::testing::ElementsAre(::testing::Gt(0)));
}

TEST_F(ConnectionTest, NotZeroOfAnEmptyWalIsSlotZero) {
  const auto watcher = OpenReady();
  const auto connection = Open();
  ASSERT_OK(connection->Begin(ReadSlot::kNotZero));
  EXPECT_EQ(HeldSlots(*watcher), std::set<int>{0});
}

TEST_F(ConnectionTest, TheHeldHeaderStaysWhileTheLiveOneMoves) {
  App app(path_);
  app.Run("INSERT INTO t VALUES(2)");
  const auto connection = Open();
  ASSERT_OK(connection->Begin());
  ASSERT_OK_AND_ASSIGN(const WalIndexBytes held, connection->HeldHeader());
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex live, ReadLiveWalIndex(*connection));
  EXPECT_EQ(held, live.header);
  app.Run("INSERT INTO t VALUES(3)");
  ASSERT_OK_AND_ASSIGN(const WalIndexBytes still, connection->HeldHeader());
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex moved, ReadLiveWalIndex(*connection));
  EXPECT_EQ(still, held);
  EXPECT_EQ(MaxFrame(moved.header), MaxFrame(held) + 1);
}

TEST_F(ConnectionTest, AnUnwrittenWalIsHeldAtFrameZero) {
  const auto connection = Open();
  ASSERT_OK(connection->Begin());
  ASSERT_OK_AND_ASSIGN(const WalIndexBytes held, connection->HeldHeader());
  ASSERT_OK_AND_ASSIGN(const LiveWalIndex live, ReadLiveWalIndex(*connection));
  EXPECT_EQ(held, live.header);
  EXPECT_EQ(MaxFrame(held), 0U);
}

TEST_F(ConnectionTest, ARollbackDatabaseIsRefusedAndLeftAlone) {
  const fs::Path other = directory_.path() / "rollback.db";
  {
    App app(other);
    app.Run("CREATE TABLE t(x)");
  }
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(other));
  EXPECT_FAILS(Errc::kPreconditionFailed, connection->Begin());
  EXPECT_FALSE(connection->in_transaction());
  EXPECT_EQ(*connection->QueryJournalMode(), JournalMode::kOther);
  EXPECT_FALSE(std::filesystem::exists(other.native() + "-shm"));
  EXPECT_FALSE(std::filesystem::exists(other.native() + "-wal"));
  App app(other);
  EXPECT_EQ(app.Try("INSERT INTO t VALUES(1)"), SQLITE_OK);  // no lock is left behind
}

TEST_F(ConnectionTest, SwitchesToWalForGood) {
  const fs::Path other = directory_.path() / "rollback.db";
  App app(other);
  app.Run("CREATE TABLE t(x)");
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(other));
  app.Run("BEGIN; INSERT INTO t VALUES(1)");
  EXPECT_FAILS(Errc::kBusy, connection->SwitchToWal());
  app.Run("COMMIT");
  ASSERT_OK(connection->SwitchToWal());
  ASSERT_OK(connection->SwitchToWal());
  EXPECT_EQ(*connection->QueryJournalMode(), JournalMode::kWal);
  EXPECT_OK(connection->Begin());
  app.Run("INSERT INTO t VALUES(2)");
  EXPECT_EQ(app.Get("PRAGMA journal_mode"), "wal");
  ASSERT_OK(connection->Rollback());
  EXPECT_EQ(registry_.Inspect(path_)->journal_mode, JournalMode::kWal);
}

TEST_F(ConnectionTest, AnEmptyFileCanBeSwitched) {
  const fs::Path other = directory_.path() / "empty.db";
  ASSERT_OK(file_system_.Open(other, fs::OpenMode::kCreateNew));
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(other));
  EXPECT_EQ(*connection->QueryJournalMode(), JournalMode::kOther);
  EXPECT_FAILS(Errc::kCorruption, connection->PageSize());
  ASSERT_OK(connection->SwitchToWal());
  EXPECT_OK(connection->Begin());
  EXPECT_EQ(*connection->PageSize(), 4096U);
}

TEST_F(ConnectionTest, CheckpointCountsFrames) {
  App app(path_);
  app.Run("PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES(2)");
  app.Run("INSERT INTO t VALUES(3)");
  const auto connection = Open();  // the first call, without a Begin() before
  ASSERT_OK_AND_ASSIGN(const CheckpointResult passive,
                       connection->Checkpoint(CheckpointMode::kPassive));
  EXPECT_FALSE(passive.busy);
  EXPECT_EQ(passive.log_frames, 2U);
  EXPECT_EQ(passive.backfilled, 2U);
  ASSERT_OK_AND_ASSIGN(const CheckpointResult truncated,
                       connection->Checkpoint(CheckpointMode::kTruncate));
  EXPECT_FALSE(truncated.busy);
  EXPECT_EQ(std::filesystem::file_size(path_.native() + "-wal"), 0U);
}

TEST_F(ConnectionTest, AReaderInASlotLimitsACheckpointToItsMark) {
  App app(path_);
  app.Run("PRAGMA wal_autocheckpoint=0; INSERT INTO t VALUES(2)");
  const auto reader = Open();
  const auto checkpointer = Open();
  ASSERT_OK(reader->Begin());
  app.Run("INSERT INTO t VALUES(3)");
  ASSERT_OK_AND_ASSIGN(const CheckpointResult limited,
                       checkpointer->Checkpoint(CheckpointMode::kPassive));
  EXPECT_FALSE(limited.busy);
  EXPECT_EQ(limited.log_frames, 2U);
  EXPECT_EQ(limited.backfilled, 1U);
  ASSERT_OK_AND_ASSIGN(const CheckpointResult full,
                       checkpointer->Checkpoint(CheckpointMode::kFull));
  EXPECT_TRUE(full.busy);
}

TEST_F(ConnectionTest, ACheckpointBesideAnotherIsBusyAndNoError) {
  const auto holder = OpenReady();
  const auto connection = OpenReady();
  sqlite3_file* file = holder->wal_index_file();
  ASSERT_EQ(file->pMethods->xShmLock(file, kCheckpointLockByte, 1,
                                     SQLITE_SHM_LOCK | SQLITE_SHM_EXCLUSIVE),
            SQLITE_OK);
  ASSERT_OK_AND_ASSIGN(const CheckpointResult busy,
                       connection->Checkpoint(CheckpointMode::kPassive));
  EXPECT_TRUE(busy.busy);
  EXPECT_EQ(*ProbeCheckpointLock(*connection), LockState::kHeld);
  file->pMethods->xShmLock(file, kCheckpointLockByte, 1, SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE);
  EXPECT_FALSE(connection->Checkpoint(CheckpointMode::kPassive)->busy);
}

TEST_F(ConnectionTest, TheLastCloseLeavesTheWal) {
  {
    App app(path_);
    app.LeaveWalOnClose();
    app.Run("INSERT INTO t VALUES(2)");
  }
  const auto size = std::filesystem::file_size(path_.native() + "-wal");
  ASSERT_GT(size, 0U);
  {
    const auto connection = OpenReady();
  }
  EXPECT_EQ(std::filesystem::file_size(path_.native() + "-wal"), size);
}

TEST_F(ConnectionTest, ReadsTheFileAndSaysHowMuchWasReal) {
  const auto connection = OpenReady();
  ASSERT_OK_AND_ASSIGN(const std::uint64_t size, connection->FileSize());
  EXPECT_EQ(size, std::filesystem::file_size(path_));
  std::array<std::byte, 8192> buffer;
  buffer.fill(std::byte{0xff});
  EXPECT_EQ(*connection->ReadDatabaseFile(0, buffer), 8192U);
  EXPECT_EQ(AsText(ByteView(buffer).first(15)), "SQLite format 3");
  EXPECT_EQ(*connection->ReadDatabaseFile(size - 100, buffer), 100U);
  EXPECT_TRUE(std::all_of(buffer.begin() + 100, buffer.end(),
                          [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_EQ(*connection->ReadDatabaseFile(size + 1, buffer), 0U);
  EXPECT_EQ(*connection->PageSize(), 4096U);
}

TEST_F(ConnectionTest, SyncsItsFilesInAndOutOfATransaction) {
  const auto connection = OpenReady();
  EXPECT_OK(connection->SyncDatabaseFile());
  EXPECT_OK(connection->SyncWal());
  ASSERT_OK(connection->Begin());
  EXPECT_OK(connection->SyncDatabaseFile());
  EXPECT_OK(connection->SyncWal());
}

TEST_F(ConnectionTest, NoticesThatItsFilesAreGone) {
  const auto connection = OpenReady();
  const WalFiles ours = connection->wal_files();
  EXPECT_FALSE(*connection->HasMoved());
  EXPECT_EQ(*connection->FindWalFiles(), ours);
  std::filesystem::remove(path_.native() + "-shm");
  EXPECT_EQ(*connection->FindWalFiles(), (WalFiles{.wal = ours.wal, .index = {}}));
  std::filesystem::remove(path_.native() + "-wal");
  EXPECT_EQ(*connection->FindWalFiles(), WalFiles{});
  {
    std::ofstream another(path_.native() + "-wal");
  }
  EXPECT_NE(connection->FindWalFiles()->wal, fs::FileIdentity{});
  EXPECT_NE(connection->FindWalFiles()->wal, ours.wal);
  EXPECT_EQ(connection->wal_files(), ours);
  EXPECT_FALSE(*connection->HasMoved());
  std::filesystem::remove(path_);
  EXPECT_TRUE(*connection->HasMoved());
}

TEST_F(ConnectionTest, KnowsWhetherSomebodyElseHasTheDatabaseOpen) {
  {
    const auto alone = Open();
    EXPECT_FALSE(*alone->IsOpenElsewhere());
  }
  App app(path_);
  const auto connection = Open();
  EXPECT_FALSE(*connection->IsOpenElsewhere()) << "it has read nothing yet";
  EXPECT_EQ(app.Get("SELECT count(*) FROM t"), "1");
  EXPECT_TRUE(*connection->IsOpenElsewhere());
  app.Run("INSERT INTO t VALUES(2)");  // no lock of ours is left
}

TEST_F(ConnectionTest, AnApplicationInExclusiveModeIsBusy) {
  auto app = std::make_unique<App>(path_);
  app->Run("PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t VALUES(2)");
  const auto connection = Open();
  const auto refused = connection->Begin();
  ASSERT_FAILS(Errc::kBusy, refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("SQLITE_BUSY"));
  EXPECT_THAT(refused.error().message(), HasSubstr(path_.native()));
  EXPECT_FALSE(connection->in_transaction());
  app.reset();
  EXPECT_OK(connection->Begin());
}

TEST_F(ConnectionTest, ReleasedMemoryKeepsTheTransaction) {
  const auto watcher = OpenReady();
  const auto connection = Open();
  ASSERT_OK(connection->Begin());
  connection->ReleaseMemory();
  EXPECT_EQ(HeldSlots(*watcher), std::set<int>{0});
  EXPECT_OK(connection->HeldHeader());
  ASSERT_OK(connection->Rollback());
  ASSERT_OK(connection->Begin());
}

TEST_F(ConnectionTest, AFileThatIsNoDatabaseIsCorruption) {
  const fs::Path other = directory_.path() / "noise.db";
  ASSERT_OK_AND_ASSIGN(auto file, file_system_.Open(other, fs::OpenMode::kCreateNew));
  ASSERT_OK(file->WriteAt(0, Bytes(8192, std::byte{0x5a})));
  file.reset();
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(other));
  EXPECT_FAILS(Errc::kCorruption, connection->Begin());
}

TEST_F(ConnectionTest, AnEncryptedRollbackDatabaseIsLeftToItsApplication) {
  const fs::Path other = directory_.path() / "encrypted.db";
  {
    App app(other);
    app.Run("CREATE TABLE t(x)");
  }
  {
    ASSERT_OK_AND_ASSIGN(auto file, file_system_.Open(other, fs::OpenMode::kReadWrite));
    ASSERT_OK(file->WriteAt(32, Bytes(8192 - 32, std::byte{0x5a})));
  }
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(other));
  EXPECT_EQ(*connection->QueryJournalMode(), JournalMode::kOther);
  const auto refused = connection->SwitchToWal();
  ASSERT_FAILS(Errc::kUnsupported, refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("its application"));
  EXPECT_EQ(*connection->QueryJournalMode(), JournalMode::kOther);
}

TEST_F(ConnectionTest, AFolderItMayNotWriteIsPermissionDenied) {
  std::filesystem::permissions(path_, std::filesystem::perms(0666));
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0555));
  const uid_t self = geteuid();
  if (self == 0) ASSERT_EQ(seteuid(65534), 0);
  const auto connection = registry_.Open(path_);
  const auto refused = connection ? (*connection)->Begin() : Result<void>();
  if (self == 0) ASSERT_EQ(seteuid(self), 0);
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  ASSERT_OK(connection);
  ASSERT_FAILS(Errc::kPermissionDenied, refused);
  EXPECT_THAT(refused.error().message(), HasSubstr(path_.native()));
}

TEST_F(ConnectionTest, RunningOutOfDescriptorsIsUnavailable) {
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit none = before;
  none.rlim_cur = 3;
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  const auto refused = registry_.Open(path_);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_FAILS(Errc::kUnavailable, refused);
  EXPECT_OK(registry_.Open(path_));
}

}  // namespace
}  // namespace runnel::sqlite
