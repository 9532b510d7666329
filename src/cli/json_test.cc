// What scripts read: the shape of JSON, the exit code, and what is printed where.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "cli/testing.h"
#include "restore/testing.h"
#include "store/file_store.h"

namespace runnel::cli {
namespace {

using restore::LtxFile;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A replica of three txids: a snapshot of the first, then two cuts.
class JsonTest : public testing::CommandTestBase {
 protected:
  JsonTest() {
    history_.Cut({}, 4);
    history_.Cut({2}, 4);
    history_.Cut({3}, 5);
    snapshot_ = *writer_.Put(9, 1, 1);
    second_ = *writer_.Put(0, 2, 2);
    third_ = *writer_.Put(0, 3, 3);
  }

  std::uint64_t Size() const {
    return snapshot_.size_bytes + second_.size_bytes + third_.size_bytes;
  }

  restore::testing::History history_{512};
  store::FileStore store_{files_, "/copy", {}, clock_, random_};
  store::ReplicaLayout layout_{store::LayoutKind::kTree, ""};
  restore::testing::ReplicaWriter writer_{store_, layout_, history_};
  LtxFile snapshot_, second_, third_;
};

TEST_F(JsonTest, DryRunOfARestore) {
  EXPECT_EQ(Run({"restore", "-dry-run", "-json", "-o", "/app.db", "file:///copy"}),
            ExitCode::kSuccess);
  EXPECT_EQ(out_, fmt::format(R"({{
  "source": "file:///copy",
  "target_path": "/app.db",
  "replica": "file:///copy",
  "min_txid": "0000000000000001",
  "max_txid": "0000000000000003",
  "files": [
    {{
      "level": 9,
      "name": "0000000000000001-0000000000000001.ltx",
      "min_txid": "0000000000000001",
      "max_txid": "0000000000000001",
      "size": {},
      "timestamp": "2023-11-14T22:13:21.000Z"
    }},
    {{
      "level": 0,
      "name": "0000000000000002-0000000000000002.ltx",
      "min_txid": "0000000000000002",
      "max_txid": "0000000000000002",
      "size": {},
      "timestamp": "2023-11-14T22:13:22.000Z"
    }},
    {{
      "level": 0,
      "name": "0000000000000003-0000000000000003.ltx",
      "min_txid": "0000000000000003",
      "max_txid": "0000000000000003",
      "size": {},
      "timestamp": "2023-11-14T22:13:23.000Z"
    }}
  ]
}}
)",
                              snapshot_.size_bytes, second_.size_bytes, third_.size_bytes));
  EXPECT_THAT(err_, IsEmpty());
  EXPECT_FAILS(Errc::kNotFound, files_.Stat("/app.db"));
}

TEST_F(JsonTest, DryRunAsATable) {
  EXPECT_EQ(
      Run({"restore", "-dry-run", "-txid", "0000000000000002", "-o", "/app.db", "file:///copy"}),
      ExitCode::kSuccess);
  const auto row = [](const char* level, const char* txid, const LtxFile& file, int second) {
    return fmt::format("{:<7}{}-{}.ltx  {}  {}  {:<4}  2023-11-14T22:13:{}.000Z\n", level, txid,
                       txid, txid, txid, file.size_bytes, second);
  };
  EXPECT_EQ(out_,
            "source:   file:///copy\n"
            "target:   /app.db\n"
            "replica:  file:///copy\n"
            "min txid: 0000000000000001\n"
            "max txid: 0000000000000002\n"
            "\n"
            "level  file                                   min_txid          max_txid          "
            "size  timestamp\n" +
                row("9", "0000000000000001", snapshot_, 21) +
                row("0", "0000000000000002", second_, 22));
}

TEST_F(JsonTest, Restore) {
  EXPECT_EQ(Run({"restore", "-json", "-o", "/app.db", "file:///copy"}), ExitCode::kSuccess);
  EXPECT_EQ(out_, R"({
  "db_path": "/app.db",
  "replica": "file:///copy",
  "txid": "0000000000000003",
  "timestamp": "2023-11-14T22:13:23.000Z",
  "database_bytes": 2560,
  "duration_ms": 0,
  "integrity_check": "none"
}
)");
  ASSERT_OK_AND_ASSIGN(const Bytes restored, fs::ReadFile(files_, "/app.db", 1 << 20));
  EXPECT_TRUE(restored == history_.ImageAt(Txid{3}));
}

TEST_F(JsonTest, RestoreWithoutItPrintsNothing) {
  EXPECT_EQ(Run({"restore", "-timestamp", "2023-11-14T22:13:23Z", "-o", "/app.db", "file:///copy"}),
            ExitCode::kSuccess);
  EXPECT_THAT(out_, IsEmpty());
  ASSERT_OK_AND_ASSIGN(const Bytes restored, fs::ReadFile(files_, "/app.db", 1 << 20));
  EXPECT_TRUE(restored == history_.ImageAt(Txid{2})) << "the state before that time";
}

TEST_F(JsonTest, VerifyOfAWholeReplica) {
  EXPECT_EQ(Run({"verify", "-json", "file:///copy"}), ExitCode::kSuccess);
  EXPECT_EQ(out_,
            fmt::format(R"({{
  "replica": "file:///copy",
  "ok": true,
  "newest_txid": "0000000000000003",
  "restorable_txid": "0000000000000003",
  "files_checked": 3,
  "bytes_checked": {},
  "files_without_chain": 0,
  "levels": [
    {{
      "level": 0,
      "files": 2,
      "bytes": {},
      "min_txid": "0000000000000002",
      "max_txid": "0000000000000003"
    }},
    {{
      "level": 9,
      "files": 1,
      "bytes": {},
      "min_txid": "0000000000000001",
      "max_txid": "0000000000000001"
    }}
  ],
  "findings": []
}}
)",
                        Size(), second_.size_bytes + third_.size_bytes, snapshot_.size_bytes));
}

TEST_F(JsonTest, VerifyOfADamagedReplicaFailsAndSaysWhere) {
  const fs::Path object = "/copy/ltx/0/0000000000000002-0000000000000002.ltx";
  ASSERT_OK_AND_ASSIGN(const auto file, files_.Open(object, fs::OpenMode::kReadWrite));
  ASSERT_OK(file->WriteAt(150, AsBytes("damage")));
  EXPECT_EQ(Run({"verify", "-json", "file:///copy"}), ExitCode::kFailure);
  EXPECT_THAT(out_, HasSubstr("\"ok\": false"));
  EXPECT_THAT(out_, HasSubstr("\"severity\": \"error\""));
  EXPECT_THAT(out_, HasSubstr("0000000000000002-0000000000000002.ltx"));
  EXPECT_THAT(err_, HasSubstr("the replica is not whole"));
}

TEST_F(JsonTest, RestoreIsNothingToDoWhereThatIsAskedFor) {
  WriteFile("/app.db", "an application's");
  EXPECT_EQ(Run({"restore", "-o", "/app.db", "file:///copy"}), ExitCode::kFailure);
  EXPECT_THAT(err_, HasSubstr("/app.db"));
  EXPECT_EQ(Run({"restore", "-if-db-not-exists", "-o", "/app.db", "file:///copy"}),
            ExitCode::kSuccess);
  ASSERT_OK_AND_ASSIGN(const Bytes kept, fs::ReadFile(files_, "/app.db", 1 << 20));
  EXPECT_EQ(AsText(kept), "an application's");

  EXPECT_EQ(Run({"restore", "-o", "/new.db", "file:///nothing"}), ExitCode::kFailure);
  EXPECT_EQ(Run({"restore", "-if-replica-exists", "-o", "/new.db", "file:///nothing"}),
            ExitCode::kSuccess);
  EXPECT_FAILS(Errc::kNotFound, files_.Stat("/new.db"));
  EXPECT_EQ(Run({"restore", "-force", "-o", "/app.db", "file:///copy"}), ExitCode::kSuccess);
  ASSERT_OK_AND_ASSIGN(const Bytes replaced, fs::ReadFile(files_, "/app.db", 1 << 20));
  EXPECT_TRUE(replaced == history_.ImageAt(Txid{3}));
}

}  // namespace
}  // namespace runnel::cli
