// A database that its application encrypts: SQLCipher 4 with cipher_plaintext_header_size=32, so
// that the first 32 bytes of the file are what SQLite wrote and nothing else is.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <charconv>
#include <csignal>

#include "cli/world.h"
#include "integration/program.h"

namespace runnel::cli_testing {
namespace {

using integration::Program;
using ::testing::AllOf;
using ::testing::HasSubstr;

#ifdef RUNNEL_APP_WRITER_CIPHER
constexpr const char* kWriter = RUNNEL_APP_WRITER_CIPHER;
constexpr const char* kCheck = RUNNEL_APP_CHECK_CIPHER;
#else
constexpr const char* kWriter = nullptr;
constexpr const char* kCheck = nullptr;
#endif

// With the header plain the salt has no place in the file: the application keeps it with the key.
constexpr std::string_view kKey =
    "PRAGMA key=\"x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "f0e0d0c0b0a090807060504030201000'\";";
constexpr std::string_view kPlainHeader = "PRAGMA cipher_plaintext_header_size=32;";

class SqlcipherTest : public WorldTest {
 protected:
  void SetUp() override {
    if (kWriter == nullptr) GTEST_SKIP() << "built without SQLCipher: see tools/fetch-sqlcipher";
    words_ = std::string(kKey) + std::string(kPlainHeader);
  }

  std::unique_ptr<Program> StartWriter(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {
        kWriter,       database_.string(), "--first-words", words_,    "--acknowledge",
        acknowledged_, "--synchronous",    "FULL",          "--ready", "--live-rows",
        "300"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<Program>(std::move(arguments), Program::StandardError::kShown);
  }

  // The seq of the newest commit that the writer was told of.
  std::int64_t Acknowledged() const {
    const std::string lines = ReadAll(acknowledged_);
    const std::size_t end = lines.rfind('\n');
    if (end == std::string::npos) return 0;
    const std::size_t before = lines.rfind('\n', end - 1);
    const char* first = lines.data() + (before == std::string::npos ? 0 : before + 1);
    std::int64_t seq = 0;
    std::from_chars(first, lines.data() + end, seq);
    return seq;
  }

  void AwaitCommits(std::int64_t count) const {
    const std::int64_t wanted = Acknowledged() + count;
    ASSERT_TRUE(Eventually([&] { return Acknowledged() >= wanted; }));
  }

  // What app_check finds: the integrity of pages and of their authentication, every commit that
  // was acknowledged, and the content of all tables, of which it prints a hash.
  std::string Prove(const Path& database) const {
    Program check({kCheck, database.string(), "--first-words", words_, "--acknowledged",
                   acknowledged_, "--at-least", std::to_string(Acknowledged())},
                  Program::StandardError::kShown);
    EXPECT_EQ(check.Wait(), 0) << check.output();
    return check.output();
  }

  void ExpectOpaque(const Path& database) const {
    const std::string bytes = ReadAll(database);
    EXPECT_TRUE(bytes.starts_with("SQLite format 3"));
    EXPECT_EQ(bytes.find("CREATE TABLE"), std::string::npos);
    Program plain({RUNNEL_APP_CHECK, database.string()});
    EXPECT_EQ(plain.Wait(), 3);
  }

  // No daemon and no writer run. The copy is the database: row by row, and byte for byte.
  void ExpectRestoresEncrypted() {
    const Path copy = directory_.path() / "copy.db";
    const Outcome restored = Restore(replica_, copy, {"-force"});
    ASSERT_EQ(restored.exit_code, 0) << restored.err;
    ExpectOpaque(copy);
    EXPECT_EQ(Prove(copy), Prove(database_));
    // Both were checkpointed by the close of their last connection.
    EXPECT_TRUE(ReadAll(copy) == ReadAll(database_)) << "the copy is another database";
    ExpectVerifies(replica_);
  }

  std::string words_;
  const std::string acknowledged_ = (directory_.path() / "acknowledged").string();
};

TEST_F(SqlcipherTest, ALiveWriterAndADaemonThatIsKilledLoseNothing) {
  auto writer = StartWriter(
      {"--pace-us", "500", "--chaos",
       "rollback,savepoint,spill,schema,vacuum,checkpoint,autocheckpoint,reopen,reader"});
  ASSERT_TRUE(writer->WaitFor("ready"));
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  for (int round = 0; round < 3; ++round) {
    AwaitCommits(80);
    daemon->Signal(SIGKILL);
    ASSERT_EQ(daemon->Wait(), -SIGKILL);
    AwaitCommits(20);
    daemon = StartDaemon();
    ASSERT_TRUE(daemon->Prints("initialized db")) << daemon->Out();
  }
  AwaitCommits(80);
  writer->Signal(SIGTERM);
  EXPECT_EQ(writer->Wait(), 0);
  StopDaemon(*daemon);
  ExpectRestoresEncrypted();
}

TEST_F(SqlcipherTest, AKilledWriterLeavesARestorableCopy) {
  auto daemon = StartDaemon();
  for (int round = 0; round < 3; ++round) {
    auto writer = StartWriter({"--chaos", "spill,vacuum"});
    AwaitCommits(100);
    writer->Kill();
    writer->Wait();
  }
  // A commit that was written and not published counts for whoever recovers the WAL next. The one
  // that goes on without a recovery overwrites it, and so decides.
  ASSERT_EQ(StartWriter({"--transactions", "1"})->Wait(), 0);
  StopDaemon(*daemon);
  ExpectRestoresEncrypted();
}

TEST_F(SqlcipherTest, EveryPageSizeOfACipherWorks) {
  for (const std::string size : {"1024", "65536"}) {  // 512 is too small for SQLCipher itself
    SCOPED_TRACE(size);
    for (const Path& left : {database_, replica_, StateOf(database_), Path(acknowledged_)}) {
      remove_all(left);
    }
    words_ = std::string(kKey) + std::string(kPlainHeader) + "PRAGMA cipher_page_size=" + size;
    auto writer = StartWriter({"--page-size", size, "--transactions", "40", "--chaos", "vacuum"});
    EXPECT_EQ(writer->Wait(), 0);
    const Outcome once = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)});
    ASSERT_EQ(once.exit_code, 0) << once.out << once.err;
    ExpectRestoresEncrypted();
  }
}

TEST_F(SqlcipherTest, OneThatIsEncryptedFromItsFirstByteIsRefusedWithTheCure) {
  words_ = kKey;
  auto writer = StartWriter({"--transactions", "20"});
  ASSERT_EQ(writer->Wait(), 0);
  const std::string before = ReadAll(database_);

  const Outcome once = RunRunnel({"replicate", "-once", database_.string(), Url(replica_)});
  EXPECT_EQ(once.exit_code, 1);
  EXPECT_THAT(once.err, AllOf(HasSubstr(database_.string()),
                              HasSubstr("PRAGMA cipher_plaintext_header_size=32")));
  EXPECT_TRUE(ReadAll(database_) == before);
  EXPECT_EQ(Restore(replica_, directory_.path() / "none.db").exit_code, 1);

  // A daemon waits until the cure is applied.
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("cipher_plaintext_header_size=32"));
  auto again = StartWriter({"--transactions", "20"});
  EXPECT_EQ(again->Wait(), 0) << "it disturbs the application";
  Prove(database_);
  remove(database_);
  remove(Path(acknowledged_));
  words_ = std::string(kKey) + std::string(kPlainHeader);
  auto cured = StartWriter({"--transactions", "50"});
  EXPECT_EQ(cured->Wait(), 0);
  ASSERT_TRUE(daemon->Prints("initialized db"));
  StopDaemon(*daemon);
  ExpectRestoresEncrypted();
}

}  // namespace
}  // namespace runnel::cli_testing
