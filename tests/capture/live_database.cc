#include "tests/capture/live_database.h"

#include <algorithm>

#include "fs/file_operations.h"
#include "fs/file_stream.h"
#include "ltx/chain.h"
#include "ltx/decoder.h"

namespace runnel::tests {

App::App(const fs::Path& path) {
  EXPECT_EQ(sqlite3_open(path.c_str(), &db_), SQLITE_OK);
  sqlite3_busy_timeout(db_, 0);
}

App::~App() { EXPECT_EQ(sqlite3_close(db_), SQLITE_OK) << sqlite3_errmsg(db_); }

int App::TryRun(const std::string& sql) {
  return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr);
}

void App::Run(const std::string& sql) {
  ASSERT_EQ(TryRun(sql), SQLITE_OK) << sql << ": " << sqlite3_errmsg(db_);
}

std::int64_t App::Number(const std::string& sql) {
  sqlite3_stmt* statement = nullptr;
  EXPECT_EQ(sqlite3_prepare_v2(db_, sql.c_str(), -1, &statement, nullptr), SQLITE_OK) << sql;
  EXPECT_EQ(sqlite3_step(statement), SQLITE_ROW) << sql;
  const std::int64_t number = sqlite3_column_int64(statement, 0);
  sqlite3_finalize(statement);
  return number;
}

LiveDatabaseTest::LiveDatabaseTest() : path_(directory_.path() / "app.db") {
  options_.database = path_;
  options_.state_folder = directory_.path() / ".app.db-litestream";
  registry_ = std::make_unique<sqlite::OpenRegistry>(fs_);
  scheduler_ = std::make_unique<testing::ManualScheduler>(clock_);
}

LiveDatabaseTest::~LiveDatabaseTest() { Crash(); }

void LiveDatabaseTest::StartCapture() {
  database_ = std::make_unique<capture::Database>(options_,
                                                  capture::Environment{.fs = fs_,
                                                                       .registry = *registry_,
                                                                       .clock = clock_,
                                                                       .log = log_,
                                                                       .scheduler = *scheduler_},
                                                  *this);
  ASSERT_TRUE(database_->Start());
  ASSERT_TRUE(database_->AdoptHistory(Txid{0}));
}

Result<void> LiveDatabaseTest::StopCapture() {
  auto stopped = database_->Stop();
  database_.reset();
  return stopped;
}

void LiveDatabaseTest::Crash() { database_.reset(); }

void LiveDatabaseTest::Settle(std::chrono::milliseconds time) {
  database_->NotifyWritten();
  scheduler_->Advance(time);
}

void LiveDatabaseTest::FailWrites(std::string part, testing::FileFault fault) {
  fs_.CountOnly([part = std::move(part)](const testing::FileCallRecord& call) {
    return testing::IsMutating(call.call) && call.path.native().find(part) != std::string::npos;
  });
  fs_.FailAt(1, fault);
}

Bytes LiveDatabaseTest::Materialize(Txid last, Bytes file, Txid from) {
  std::optional<DatabaseChecksum> after;
  std::uint32_t page_size = 0;
  for (const capture::StagedCut& cut : database_->staging().files()) {
    if (cut.txid <= from || cut.txid > last) continue;
    auto opened = database_->staging().OpenCut(cut.txid);
    EXPECT_TRUE(opened);
    fs::FileSource source(**opened, 0, cut.size_bytes);
    ltx::Decoder decoder(source);
    auto header = decoder.ReadHeader();
    EXPECT_TRUE(header) << header.error().message();
    EXPECT_TRUE(header->chain);
    // A new chain may begin anywhere, but only with every page.
    const bool new_chain = header->chain->before == DatabaseChecksum{0};
    if (after && !new_chain) {
      EXPECT_EQ(header->chain->before, *after) << "cut " << ToInt(cut.txid);
    }
    std::uint32_t page_count = 0;
    after = header->chain->after;
    page_size = header->page_size;
    file.resize(std::size_t{header->commit_pages} * header->page_size);
    Bytes page(header->page_size);
    for (;;) {
      auto entry = decoder.ReadPage(page);
      EXPECT_TRUE(entry) << entry.error().message();
      if (!entry || !*entry) break;
      ++page_count;
      std::ranges::copy(page, file.begin() + static_cast<std::ptrdiff_t>(
                                                 (ToInt((*entry)->page_no) - 1) * page.size()));
    }
    if (new_chain) EXPECT_EQ(page_count, header->commit_pages) << "cut " << ToInt(cut.txid);
    const auto trailer = decoder.Finish();
    EXPECT_TRUE(trailer) << trailer.error().message();
  }
  ltx::ChainSum sum;
  for (std::uint32_t page_no = 1; std::size_t{page_no} * page_size <= file.size() && after;
       ++page_no) {
    const std::size_t offset = std::size_t{page_no - 1} * page_size;
    sum.Add(ltx::PageChecksum(PageNo{page_no}, ByteView(file).subspan(offset, page_size)));
  }
  if (after) EXPECT_EQ(sum.value(), *after) << "the chain does not end at the content";
  return file;
}

void LiveDatabaseTest::ExpectStagedEqualsLive() { ExpectEqualsLive(Materialize()); }

void LiveDatabaseTest::ExpectEqualsLive(ByteView staged) {
  const fs::Path copy = directory_.path() / "copy.db";
  ASSERT_TRUE(fs::ReplaceFile(fs_, copy, staged, {}));
  {
    App restored(copy);
    EXPECT_EQ(restored.Number("SELECT count(*) FROM pragma_integrity_check "
                              "WHERE integrity_check <> 'ok'"),
              0);
  }
  App live(path_);
  live.Run("ATTACH '" + copy.string() + "' AS copy");
  // Page by page, as SQLite sees them.
  live.Run("BEGIN");
  EXPECT_EQ(live.Number("SELECT count(*) FROM sqlite_dbpage('main') a "
                        "FULL JOIN sqlite_dbpage('copy') b USING (pgno) "
                        "WHERE a.data IS NOT b.data"),
            0);
  live.Run("COMMIT");
  live.Run("DETACH copy");
}

}  // namespace runnel::tests
