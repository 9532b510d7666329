// SQLite itself as the reference, in both directions: we read what it wrote, and it recovers what
// the writer of these tests wrote, which is how the big-endian form gets proven on a little-endian
// machine.

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "wal/frame_reader.h"
#include "wal/testing.h"
#include "wal/wal_index_header.h"

namespace runnel::wal {
namespace {

using testing::WalWriter;

class SqliteWalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "runnel-wal-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    directory_ = name;
    database_ = directory_ / "app.db";
  }
  void TearDown() override {
    Close();
    std::filesystem::remove_all(directory_);
  }

  void Open() {
    ASSERT_EQ(sqlite3_open(database_.c_str(), &db_), SQLITE_OK);
    Run("PRAGMA synchronous=OFF");
    const int on = 1;
    ASSERT_EQ(sqlite3_db_config(db_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, on, nullptr), SQLITE_OK);
  }
  void Close() {
    sqlite3_close(db_);
    db_ = nullptr;
  }
  // The first column of the first row.
  std::string Run(const std::string& sql) {
    std::string value;
    const auto take = [](void* out, int, char** values, char**) {
      auto& text = *static_cast<std::string*>(out);
      if (text.empty() && values[0] != nullptr) text = values[0];
      return 0;
    };
    char* message = nullptr;
    const int code = sqlite3_exec(db_, sql.c_str(), take, &value, &message);
    EXPECT_EQ(code, SQLITE_OK) << sql << ": " << (message != nullptr ? message : "");
    sqlite3_free(message);
    return value;
  }
  static Bytes ReadFile(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    const ByteView bytes = AsBytes(text);
    return {bytes.begin(), bytes.end()};
  }
  static void WriteFile(const std::filesystem::path& path, ByteView bytes) {
    std::ofstream out(path, std::ios::binary);
    out << AsText(bytes);
  }
  std::filesystem::path WalPath() const { return database_.string() + "-wal"; }

  // The wal-index header of a read transaction opened now.
  Result<WalIndexHeader> CommittedHeader() {
    Run("BEGIN");
    Run("SELECT count(*) FROM sqlite_schema");
    sqlite3_snapshot* snapshot = nullptr;
    EXPECT_EQ(sqlite3_snapshot_get(db_, "main", &snapshot), SQLITE_OK);
    std::array<std::byte, kWalIndexHeaderSize> bytes{};
    if (snapshot != nullptr) std::memcpy(bytes.data(), snapshot->hidden, bytes.size());
    sqlite3_snapshot_free(snapshot);
    Run("COMMIT");
    return ParseWalIndexHeader(bytes);
  }

  void MakeDatabase(std::uint32_t page_size) {
    Open();
    Run("PRAGMA page_size=" + std::to_string(page_size));
    Run("PRAGMA journal_mode=wal");
    Run("PRAGMA wal_autocheckpoint=0");
    Run("CREATE TABLE t(id INTEGER PRIMARY KEY, x)");
    for (int i = 0; i < 20; ++i) Run("INSERT INTO t(x) VALUES (randomblob(700))");
  }

  void RemoveDatabase() {
    Close();
    for (const char* suffix : {"", "-wal", "-shm"}) {
      std::filesystem::remove(database_.string() + suffix);
    }
  }

  std::filesystem::path directory_;
  std::filesystem::path database_;
  sqlite3* db_ = nullptr;
};

TEST_F(SqliteWalTest, ReadsWhatSqliteWroteUpToWhatTheWalIndexSays) {
  for (std::uint32_t page_size = kPageSizeMin; page_size <= kPageSizeMax; page_size *= 2) {
    SCOPED_TRACE(page_size);
    MakeDatabase(page_size);
    for (int generation = 0; generation < 2; ++generation) {
      const Bytes wal = ReadFile(WalPath());
      const auto header = ParseHeader(wal);
      ASSERT_TRUE(header) << header.error().message();
      EXPECT_EQ(header->page_size, page_size);
      const auto committed = CommittedHeader();
      ASSERT_TRUE(committed) << committed.error().message();

      FrameReader reader(Position::AfterHeader(*header), ByteView(wal).subspan(kHeaderSize));
      std::uint32_t commit_pages = 0;
      Position last_commit;
      while (const auto frame = reader.Next()) {
        if (!frame->IsCommit()) continue;
        commit_pages = frame->commit_pages;
        last_commit = reader.position();
      }
      EXPECT_EQ(last_commit, committed->position());
      EXPECT_EQ(commit_pages, committed->commit_pages);
      EXPECT_EQ(std::to_string(commit_pages), Run("PRAGMA page_count"));

      // A restart: the next commit begins a new generation over the old frames.
      Run("PRAGMA wal_checkpoint(RESTART)");
      Run("INSERT INTO t(x) VALUES (randomblob(700))");
    }
    RemoveDatabase();
  }
}

TEST_F(SqliteWalTest, SqliteRecoversWhatTheTestsWriterWrote) {
  for (const ByteOrder order : {ByteOrder::kLittle, ByteOrder::kBig}) {
    for (std::uint32_t page_size = kPageSizeMin; page_size <= kPageSizeMax; page_size *= 2) {
      SCOPED_TRACE(::testing::Message() << page_size << (order == ByteOrder::kBig ? " BE" : " LE"));
      MakeDatabase(page_size);
      const std::string expected = Run("SELECT sum(length(x)) || hex(max(x)) FROM t");
      const Bytes original = ReadFile(WalPath());
      Close();

      WalWriter writer(order, page_size, {.salt1 = 5, .salt2 = 6}, 3);
      FrameReader reader(Position::AfterHeader(ParseHeader(original).value()),
                         ByteView(original).subspan(kHeaderSize));
      while (const auto frame = reader.Next()) {
        writer.Add(ToInt(frame->page_no), frame->commit_pages, frame->page);
      }
      WriteFile(WalPath(), writer.bytes());
      std::filesystem::remove(database_.string() + "-shm");

      Open();
      EXPECT_EQ(Run("SELECT sum(length(x)) || hex(max(x)) FROM t"), expected);
      const auto committed = CommittedHeader();
      ASSERT_TRUE(committed) << committed.error().message();
      EXPECT_EQ(committed->checksum_order, order);
      FrameReader ours(Position::AfterHeader(ParseHeader(writer.bytes()).value()),
                       ByteView(writer.bytes()).subspan(kHeaderSize));
      while (ours.Next()) {
      }
      EXPECT_EQ(committed->position(), ours.position());
      RemoveDatabase();
    }
  }
}

TEST_F(SqliteWalTest, WalIndexOfAnEmptyWalHasNoFrames) {
  MakeDatabase(4096);
  Run("PRAGMA wal_checkpoint(TRUNCATE)");
  const auto committed = CommittedHeader();
  ASSERT_TRUE(committed) << committed.error().message();
  EXPECT_EQ(committed->max_frame, FrameNo{0});
  EXPECT_EQ(committed->page_size, 4096U);
}

TEST_F(SqliteWalTest, EveryFlippedBitOfTheWalIndexHeaderIsAnError) {
  MakeDatabase(4096);
  Run("BEGIN");
  Run("SELECT count(*) FROM t");
  sqlite3_snapshot* snapshot = nullptr;
  ASSERT_EQ(sqlite3_snapshot_get(db_, "main", &snapshot), SQLITE_OK);
  std::array<std::byte, kWalIndexHeaderSize> bytes{};
  std::memcpy(bytes.data(), snapshot->hidden, bytes.size());
  sqlite3_snapshot_free(snapshot);
  Run("COMMIT");
  ASSERT_TRUE(ParseWalIndexHeader(bytes));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(ParseWalIndexHeader(ByteView(bytes).first(size))) << size;
  }
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    auto flipped = bytes;
    flipped[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    EXPECT_FALSE(ParseWalIndexHeader(flipped)) << "bit " << bit;
  }
}

}  // namespace
}  // namespace runnel::wal
