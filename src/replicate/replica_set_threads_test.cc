// The whole of it on real threads and a real clock: for the thread sanitizer, and for what a
// scheduler that is stepped by hand cannot show.

#include <gmock/gmock.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>

#include "replicate/capture_source.h"
#include "replicate/replica_set.h"
#include "replicate/verify.h"
#include "runtime/system_clock.h"
#include "runtime/system_random.h"
#include "runtime/thread_scheduler.h"
#include "testing/live_database.h"
#include "testing/replica_world.h"

namespace runnel::replicate {
namespace {

using namespace std::chrono_literals;

class ReplicaSetThreadsTest : public runnel::testing::LiveDatabaseTest {
 protected:
  class Observer final : public capture::DatabaseObserver {
   public:
    void OnCut(Txid) override { Tell(); }
    void OnStatus() override { Tell(); }
    std::atomic<ReplicaSet*> set = nullptr;

   private:
    void Tell() {
      if (ReplicaSet* const told = set.load()) told->OnCut();
    }
  };

  runtime::SystemClock clock;
  runtime::SystemRandom random;
  runnel::testing::CapturingLogger log;
  store::MemoryStore first{clock};
  store::MemoryStore second{clock};
  const store::ReplicaLayout layout{store::LayoutKind::kTree, "db"};
  Observer observer;
};

TEST_F(ReplicaSetThreadsTest, TwoDestinationsHoldWhatWasCommitted) {
  ASSERT_OK_AND_ASSIGN(const auto scheduler, runtime::ThreadScheduler::Start(clock, {}));
  capture::DatabaseOptions options{.database = path_,
                                   .state_folder = directory_.path() / "state",
                                   .sync_interval = 5ms,
                                   .checkpoint = {},
                                   .segment = {}};
  capture::Database database(options,
                             {.fs = file_system_,
                              .registry = registry_,
                              .clock = clock,
                              .log = log,
                              .scheduler = *scheduler},
                             observer);
  ASSERT_OK(database.Start());
  CaptureSource source(database);
  std::vector<DestinationTarget> targets;
  for (store::MemoryStore* target : {&first, &second}) {
    DestinationTarget made{.settings = {}, .store = target, .layout = layout};
    made.settings.name = target == &first ? "first" : "second";
    made.settings.sync_interval = 5ms;
    made.settings.level_intervals = {20ms, 60ms};
    made.settings.l0_retention = 50ms;
    made.settings.snapshot_interval = 100ms;
    made.settings.snapshot_retention = 200ms;
    made.settings.proof = ProofMode::kOn;
    targets.push_back(std::move(made));
  }
  ReplicaSet set(
      std::move(targets), source, {.host = "h", .boot_id = "b", .database = "d"},
      {.spool_folder = directory_.path() / "state/runnel", .ownership = {}},
      {.fs = file_system_, .clock = clock, .random = random, .log = log, .scheduler = *scheduler});
  observer.set = &set;
  set.Start();
  database.NotifyWritten();

  runnel::testing::App app(path_);
  for (int i = 0; i < 300; ++i) {
    app.Run("INSERT INTO t VALUES(randomblob(500))");
    database.NotifyWritten();
    if (i % 60 == 0) (void)set.status();
  }
  ASSERT_OK(database.Stop());  // cuts what is left
  const Txid last = database.status().newest;
  std::mutex mutex;
  std::condition_variable durable;
  bool is_durable = false;
  set.WaitDurable(last, [&] {
    const std::lock_guard lock(mutex);
    is_durable = true;
    durable.notify_one();
  });
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(durable.wait_for(lock, 60s, [&] { return is_durable; }));
  }
  observer.set = nullptr;
  set.Stop();
  for (store::MemoryStore* target : {&first, &second}) {
    const auto verified = VerifyReplica(*target, layout, {.parallelism = 2, .progress = {}}, {});
    ASSERT_OK(verified);
    EXPECT_TRUE(verified->ok()) << verified->findings[0].object << verified->findings[0].problem;
    EXPECT_EQ(verified->restorable, last);
  }
}

}  // namespace
}  // namespace runnel::replicate
