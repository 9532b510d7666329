// Long readers of the application's, more than SQLite has read slots, beside a writer that does not
// wait for anybody.

#include <gtest/gtest.h>

#include <csignal>
#include <nlohmann/json.hpp>

#include "cli/world.h"
#include "integration/program.h"

namespace runnel::cli_testing {
namespace {

using integration::Program;

constexpr int kReaders = 6;
constexpr std::int64_t kThreshold = 800;  // frames: min-checkpoint-page-count
constexpr std::int64_t kFrameSize = 24 + 4096;

class LongReadersTest : public WorldTest {
 protected:
  LongReadersTest() { MakeDatabase(database_); }

  // One row a commit, without checkpoints of its own.
  std::unique_ptr<Program> StartWriter(const std::string& busy_timeout) const {
    return std::make_unique<Program>(std::vector<std::string>{
        "/bin/sh", "-c", R"(exec "$@" 2>"$0")", summary_.string(), RUNNEL_APP_WRITER,
        database_.string(), "--workload", "insert", "--busy-timeout", busy_timeout,
        "--autocheckpoint", "0", "--pace-us", "300", "--ready", "--json"});
  }

  void StopWriter(Program& writer) const {
    writer.Signal(SIGTERM);
    ASSERT_EQ(writer.Wait(), 0);
    const auto summary = nlohmann::json::parse(ReadAll(summary_));
    EXPECT_EQ(summary["busy"], 0) << summary;
    EXPECT_EQ(summary["failed"], 0) << summary;
  }

  static std::int64_t Rows(App& app) { return std::stoll(app.Get("SELECT count(*) FROM bench")); }

  // Until the writer has committed so much more.
  static void AwaitRows(App& app, std::int64_t count) {
    const std::int64_t wanted = Rows(app) + count;
    ASSERT_TRUE(Eventually([&] { return Rows(app) >= wanted; }));
  }

  // It never gets smaller; while the WAL starts over in time it does not grow either.
  std::int64_t WalSize() const {
    return static_cast<std::int64_t>(file_size(Path(database_.string() + "-wal")));
  }

  const Path summary_ = directory_.path() / "summary";
};

TEST_F(LongReadersTest, SixCostTheWriterNoBusyAndNothingIsLost) {
  auto daemon = StartDaemon();
  ASSERT_TRUE(daemon->Prints("initialized db"));
  auto writer = StartWriter("0");
  ASSERT_TRUE(writer->WaitFor("ready"));
  App observer(database_);

  std::vector<std::unique_ptr<App>> readers;
  std::vector<std::int64_t> seen;
  for (int i = 0; i < kReaders; ++i) {
    AwaitRows(observer, 100);
    readers.push_back(std::make_unique<App>(database_));
    readers.back()->Run("BEGIN");
    seen.push_back(Rows(*readers.back()));
  }
  AwaitRows(observer, 5 * kThreshold / 2);
  // They pin it: all that was written since is there.
  EXPECT_GT(WalSize(), 5 * kThreshold / 2 * kFrameSize);
  for (int i = 0; i < kReaders; ++i) {
    AwaitRows(observer, 100);
    const auto at = static_cast<std::size_t>(i);
    EXPECT_EQ(Rows(*readers[at]), seen[at]);
    if (i + 1 == kReaders) break;
    readers[at]->Run("COMMIT");
  }
  // Beside readers that stay the WRITE lock would be taken in vain.
  StopWriter(*writer);
  readers.back()->Run("COMMIT");

  // What they left is far past the hard bound: now the lock may be taken, and is waited for.
  writer = StartWriter("5000");
  EXPECT_TRUE(Eventually([&] {
    const std::int64_t size = WalSize();
    AwaitRows(observer, kThreshold / 4);
    return WalSize() == size;
  })) << "the WAL never started over";
  StopWriter(*writer);
  StopDaemon(*daemon);
  ExpectRestoresTo(replica_, database_);
  ExpectVerifies(replica_);
}

}  // namespace
}  // namespace runnel::cli_testing
