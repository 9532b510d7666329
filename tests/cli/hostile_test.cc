// What goes wrong on real machines while a daemon runs: it says what is wrong, lets the application
// work, does not flood its log, and is right again afterwards.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <random>

#include "cli/world.h"

namespace runnel::cli_testing {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;

// Lines of a log about what went wrong.
std::size_t Complaints(const std::string& log) {
  return Count(log, "level=ERROR") + Count(log, "level=WARN");
}

bool Complains(const Process& daemon) {
  return Eventually([&] { return Complaints(daemon.Out()) > 0; });
}

class HostileTest : public WorldTest {
 protected:
  // The application goes on at its pace, and never hears of us.
  static void ExpectWritable(const Path& database, int commits = 5) {
    App app(database);
    for (int i = 0; i < commits; ++i) app.Run("INSERT INTO t(y) VALUES(randomblob(2000))");
  }

  void ExpectReplicates(Process& daemon) {
    StopDaemon(daemon);
    ExpectRestoresTo(replica_, database_);
    ExpectVerifies(replica_);
  }

  std::unique_ptr<Process> StartCapturing() {
    MakeDatabase(database_);
    auto daemon = StartDaemon();
    EXPECT_TRUE(daemon->Prints("initialized db")) << daemon->Out() << daemon->Err();
    return daemon;
  }

  // However often a file of the daemon's comes in between.
  void DeleteState() const {
    EXPECT_TRUE(Eventually([&] {
      std::error_code failed;
      remove_all(StateOf(database_), failed);
      return !failed;
    }));
  }

  static void LimitFileSize(const Process& daemon, rlim_t most) {
    const rlimit limit{most, RLIM_INFINITY};
    ASSERT_EQ(::prlimit(daemon.pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  }
};

TEST_F(HostileTest, StateThatCannotBeWrittenIsRetriedUntilItCan) {
  auto daemon = StartCapturing();
  LimitFileSize(*daemon, 4096);
  App(database_).Run("INSERT INTO t(y) VALUES(randomblob(100000))");
  ASSERT_TRUE(Complains(*daemon)) << daemon->Out();
  ExpectWritable(database_, 50);
  const std::size_t complaints = Complaints(daemon->Out());
  // Time for a flood, if there is one.
  EXPECT_EQ(daemon->Wait(seconds(1)), std::nullopt);
  EXPECT_LE(Complaints(daemon->Out()), complaints + 3) << daemon->Out();
  EXPECT_EQ(daemon->Wait(milliseconds(0)), std::nullopt);
  LimitFileSize(*daemon, RLIM_INFINITY);
  ExpectReplicates(*daemon);
}

// A file system of its own, of 4 MB.
class SmallDisk {
 public:
  explicit SmallDisk(Path path) : path_(std::move(path)) {
    create_directories(path_);
    mounted_ = ::mount("none", path_.c_str(), "tmpfs", 0, "size=4m") == 0;
  }
  ~SmallDisk() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  bool mounted() const { return mounted_; }

  void Fill() const {
    std::ofstream file(path_ / "filler", std::ios::binary);
    const std::string block(4096, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }
  void Empty() const { std::filesystem::remove(path_ / "filler"); }

 private:
  const Path path_;
  bool mounted_ = false;
};

TEST_F(HostileTest, AFullDiskUnderTheReplicaIsWaitedFor) {
  const SmallDisk disk(replica_);
  if (!disk.mounted()) GTEST_SKIP() << "mounting a file system is not allowed here";
  auto daemon = StartCapturing();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  disk.Fill();
  ExpectWritable(database_, 20);
  ASSERT_TRUE(daemon->Prints("upload failed")) << daemon->Out();
  EXPECT_THAT(daemon->Out(), HasSubstr(replica_.string()));
  EXPECT_EQ(RunRunnel({"verify", Url(replica_)}).exit_code, 0) << "half an object is visible";
  ExpectWritable(database_);
  disk.Empty();
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, AFullDiskUnderTheStateIsWaitedFor) {
  MakeDatabase(database_);
  const SmallDisk disk(StateOf(database_));
  if (!disk.mounted()) GTEST_SKIP() << "mounting a file system is not allowed here";
  auto daemon = StartDaemon();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  disk.Fill();
  ExpectWritable(database_, 20);
  ASSERT_TRUE(Complains(*daemon)) << daemon->Out();
  ExpectWritable(database_, 20);
  EXPECT_EQ(daemon->Wait(milliseconds(0)), std::nullopt);
  disk.Empty();
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, AReplicaFolderThatMayNotBeWrittenIsNamed) {
  MakeDatabase(database_);
  create_directory(replica_);
  ASSERT_EQ(::chown(directory_.path().c_str(), 65534, 65534), 0);
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
    if (entry.path() != replica_) {
      ASSERT_EQ(::chown(entry.path().c_str(), 65534, 65534), 0);
    }
  }
  ProcessOptions as_nobody;
  as_nobody.user = 65534;
  Process daemon({"replicate", database_.string(), Url(replica_)}, as_nobody);
  if (daemon.Wait(milliseconds(500)) == 127) GTEST_SKIP() << "others may not run the program here";
  ASSERT_TRUE(daemon.Prints("upload failed")) << daemon.Out() << daemon.Err();
  EXPECT_THAT(daemon.Out(), AllOf(HasSubstr(replica_.string()), HasSubstr("ermission")));
  ASSERT_EQ(::chown(replica_.c_str(), 65534, 65534), 0);
  ExpectReplicates(daemon);
}

TEST_F(HostileTest, AStateFolderThatCannotBeMadeIsNamed) {
  MakeDatabase(database_);
  WriteAll(StateOf(database_), "a file where the folder should be");
  const Outcome outcome = RunRunnel({"replicate", database_.string(), Url(replica_)});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr(StateOf(database_).string()));
}

TEST_F(HostileTest, TheStateFolderMayBeDeletedUnderTheDaemonWhichGoesOn) {
  auto daemon = StartCapturing();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  for (int i = 1; i <= 3; ++i) {
    DeleteState();
    ExpectWritable(database_, 20);
    EXPECT_TRUE(
        ReplicaComesToHave(replica_, "SELECT count(*) FROM t", std::to_string(200 + 20 * i)))
        << daemon->Out();
    EXPECT_THAT(daemon->Out(), HasSubstr(StateOf(database_).string()));
  }
  // And just before it stops.
  DeleteState();
  ExpectWritable(database_, 1);
  ExpectReplicates(*daemon);
}

// The cuts that the replica does not have are gone with it.
TEST_F(HostileTest, TheStateFolderMayBeDeletedWhileTheReplicaIsAway) {
  auto daemon = StartCapturing();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  const Path away = directory_.path() / "away";
  rename(replica_, away);
  WriteAll(replica_, "a file where the folder should be");
  ExpectWritable(database_, 20);
  ASSERT_TRUE(daemon->Prints("upload failed")) << daemon->Out();
  DeleteState();
  ExpectWritable(database_, 20);
  ASSERT_TRUE(daemon->Prints("made again")) << daemon->Out();
  remove(replica_);
  rename(away, replica_);
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "240")) << daemon->Out();
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, TheStateFolderMayBeDeletedUnderTheDaemon) {
  auto daemon = StartCapturing();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  remove_all(StateOf(database_));
  ExpectWritable(database_, 20);
  daemon->Signal(SIGTERM);
  const auto ended = daemon->Wait();
  ASSERT_TRUE(ended == 0 || ended == 1) << daemon->Out();
  // What it said may be either; what a next start makes of it may not.
  daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, TheReplicaMayBeDeletedUnderTheDaemon) {
  auto daemon = StartCapturing();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  remove_all(replica_);
  ExpectWritable(database_, 20);
  StopDaemon(*daemon);
  daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, ADatabaseMayBeDeletedAndMadeAgain) {
  auto daemon = StartCapturing();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  for (const char* suffix : {"", "-wal", "-shm"}) remove(Path(database_.string() + suffix));
  ASSERT_TRUE(daemon->Prints("waiting for the database")) << daemon->Out();
  EXPECT_EQ(Complaints(daemon->Out()), 0U) << daemon->Out();
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  {
    App app(database_);
    app.Run("PRAGMA journal_mode=WAL; CREATE TABLE other(z); INSERT INTO other VALUES('new')");
  }
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT z FROM other", "new"));
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, ADatabaseMayBeReplacedByRename) {
  auto daemon = StartCapturing();
  ASSERT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "200"));
  const Path other = directory_.path() / "other.db";
  MakeDatabase(other);
  App(other).Run("INSERT INTO t(y) VALUES('of the other')");
  for (const char* suffix : {"-wal", "-shm"}) remove(Path(database_.string() + suffix));
  rename(other, database_);
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t WHERE y='of the other'", "1"))
      << daemon->Out();
  App(database_).Run("INSERT INTO t(y) VALUES('later')");
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, ADatabaseMayBeMadeLaterWithItsDirectory) {
  const Path late = directory_.path() / "not" / "yet" / "app.db";
  auto daemon = StartDaemon(late, replica_);
  ASSERT_TRUE(daemon->Prints("waiting for the database")) << daemon->Out() << daemon->Err();
  EXPECT_FALSE(exists(late)) << "it was made by the daemon";
  create_directories(late.parent_path());
  MakeDatabase(late);
  ASSERT_TRUE(daemon->Prints("initialized db")) << daemon->Out();
  StopDaemon(*daemon);
  ExpectRestoresTo(replica_, late);
}

TEST_F(HostileTest, AWaitingDaemonStopsAtOnce) {
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("waiting for the database"));
  daemon->Signal(SIGTERM);
  EXPECT_EQ(daemon->Wait(seconds(10)), 0) << daemon->Out() << daemon->Err();
  EXPECT_FALSE(exists(database_));
}

TEST_F(HostileTest, AnEmptyFileIsWaitedFor) {
  WriteAll(database_, "");
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("waiting for the database"));
  EXPECT_EQ(Complaints(daemon->Out()), 0U) << daemon->Out();
  App(database_).Run("CREATE TABLE t(x INTEGER PRIMARY KEY, y); INSERT INTO t(y) VALUES('x')");
  ASSERT_TRUE(daemon->Prints("initialized db")) << daemon->Out();
  ExpectWritable(database_);
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, AnEmptyFileAloneStopsNobody) {
  WriteAll(database_, "");
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("waiting for the database"));
  daemon->Signal(SIGTERM);
  EXPECT_EQ(daemon->Wait(seconds(10)), 0) << daemon->Out() << daemon->Err();
  EXPECT_EQ(std::filesystem::file_size(database_), 0U);
}

TEST_F(HostileTest, AFileThatIsNoDatabaseIsLeftAlone) {
  const std::string text(10000, 'n');
  WriteAll(database_, text);
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("level=ERROR"));
  EXPECT_THAT(daemon->Out(), HasSubstr("not an SQLite database"));
  EXPECT_EQ(daemon->Wait(seconds(1)), std::nullopt);
  EXPECT_EQ(Complaints(daemon->Out()), 1U) << daemon->Out();
  EXPECT_EQ(ReadAll(database_), text);
  remove(database_);
  MakeDatabase(database_);
  ASSERT_TRUE(daemon->Prints("initialized db")) << daemon->Out();
  ExpectReplicates(*daemon);
}

std::string RandomBytes(std::size_t size) {
  std::mt19937_64 random(42);
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random());
  return bytes;
}

TEST_F(HostileTest, AFullyEncryptedFileIsRefusedWithTheCure) {
  WriteAll(database_, RandomBytes(8192));
  const Outcome outcome = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)});
  EXPECT_EQ(outcome.exit_code, 1);
  EXPECT_THAT(outcome.err, HasSubstr("cipher_plaintext_header_size=32"));
}

// What SQLCipher leaves with a plain header: our bytes are not looked at beyond the first 32.
TEST_F(HostileTest, AnEncryptedFileWithAPlainHeaderIsCopiedAsItIs) {
  MakeDatabase(database_);
  App(database_).Run("PRAGMA wal_checkpoint(TRUNCATE)");
  std::string bytes = ReadAll(database_);
  const std::string noise = RandomBytes(bytes.size());
  for (std::size_t i = 32; i < bytes.size(); ++i) bytes[i] = static_cast<char>(bytes[i] ^ noise[i]);
  for (const char* suffix : {"-wal", "-shm"}) remove(Path(database_.string() + suffix));
  WriteAll(database_, bytes);
  const Outcome outcome = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)});
  ASSERT_EQ(outcome.exit_code, 0) << outcome.out << outcome.err;
  const Path output = directory_.path() / "out.db";
  const Outcome restored = Restore(replica_, output);
  ASSERT_EQ(restored.exit_code, 0) << restored.err;
  EXPECT_TRUE(ReadAll(output) == bytes);
}

TEST_F(HostileTest, AnExclusiveApplicationIsWaitedFor) {
  MakeDatabase(database_);
  std::optional<App> app(database_);
  app->Run("PRAGMA locking_mode=EXCLUSIVE; INSERT INTO t(y) VALUES('mine alone')");
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("level=ERROR")) << daemon->Out();
  EXPECT_THAT(daemon->Out(), AnyOf(HasSubstr("locking_mode"), HasSubstr("exclusive")));
  for (int i = 0; i < 20; ++i) app->Run("INSERT INTO t(y) VALUES('undisturbed')");
  EXPECT_LE(Complaints(daemon->Out()), 2U) << daemon->Out();
  app.reset();
  ASSERT_TRUE(daemon->Prints("initialized db")) << daemon->Out();
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, ALongReaderHoldsNobodyUp) {
  auto daemon = StartCapturing();
  App reader(database_);
  reader.Run("BEGIN");
  EXPECT_EQ(reader.Get("SELECT count(*) FROM t"), "200");
  for (int i = 0; i < 40; ++i) {
    App(database_).Run("INSERT INTO t(y) VALUES(randomblob(200000))");
  }
  EXPECT_TRUE(ReplicaComesToHave(replica_, "SELECT count(*) FROM t", "240"));
  EXPECT_EQ(reader.Get("SELECT count(*) FROM t"), "200");
  reader.Run("COMMIT");
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, AttemptsToLeaveWalModeFailAndHarmNothing) {
  auto daemon = StartCapturing();
  for (const char* mode : {"DELETE", "TRUNCATE", "PERSIST", "OFF", "MEMORY"}) {
    App app(database_);
    app.Try(std::string("PRAGMA journal_mode=") + mode);
    EXPECT_EQ(app.Get("PRAGMA journal_mode"), "wal");
    app.Run("INSERT INTO t(y) VALUES('still here')");
  }
  ExpectReplicates(*daemon);
}

TEST_F(HostileTest, AnApplicationWithoutPatienceSeesNoBusy) {
  auto daemon = StartCapturing();
  App app(database_);
  app.Run("PRAGMA busy_timeout=0; PRAGMA synchronous=NORMAL");
  for (int i = 0; i < 300; ++i) app.Run("INSERT INTO t(y) VALUES(randomblob(3000))");
  StopDaemon(*daemon);
}

}  // namespace
}  // namespace runnel::cli_testing
