#include "runtime/signals.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <thread>

namespace runnel::runtime {
namespace {

using std::chrono::milliseconds;

class SignalReceiverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto receiver = SignalReceiver::Install();
    ASSERT_TRUE(receiver.has_value());
    receiver_ = *std::move(receiver);
  }

  // The next signal, which is there already.
  std::optional<Signal> Next() {
    auto signal = receiver_->Wait(milliseconds(0));
    EXPECT_TRUE(signal.has_value());
    return *signal;
  }

  std::unique_ptr<SignalReceiver> receiver_;
};

TEST_F(SignalReceiverTest, DeliversEachKindAsAValue) {
  kill(getpid(), SIGTERM);
  EXPECT_EQ(Next(), Signal::kTerminate);
  kill(getpid(), SIGINT);
  EXPECT_EQ(Next(), Signal::kInterrupt);
  kill(getpid(), SIGHUP);
  EXPECT_EQ(Next(), Signal::kHangUp);
  EXPECT_EQ(Next(), std::nullopt);
}

TEST_F(SignalReceiverTest, WakesAThreadThatWaits) {
  std::jthread sender([] { kill(getpid(), SIGTERM); });
  auto signal = receiver_->Wait();
  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(*signal, Signal::kTerminate);
}

TEST_F(SignalReceiverTest, AnInterruptionBeforeTheWaitIsNotLost) {
  receiver_->Interrupt();
  receiver_->Interrupt();
  auto signal = receiver_->Wait();
  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(*signal, std::nullopt);
  kill(getpid(), SIGINT);
  EXPECT_EQ(Next(), Signal::kInterrupt);
}

TEST_F(SignalReceiverTest, WaitsAsLongAsAsked) {
  const auto before = std::chrono::steady_clock::now();
  auto signal = receiver_->Wait(milliseconds(20));
  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(*signal, std::nullopt);
  EXPECT_GE(std::chrono::steady_clock::now() - before, milliseconds(20));
}

TEST_F(SignalReceiverTest, WritingToAReaderThatIsGoneIsAnErrorNotADeath) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  close(ends[0]);
  EXPECT_EQ(write(ends[1], "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  close(ends[1]);
}

bool IsBlocked(int number) {
  sigset_t mask;
  pthread_sigmask(SIG_BLOCK, nullptr, &mask);
  return sigismember(&mask, number) == 1;
}

TEST_F(SignalReceiverTest, GivesTheMaskBack) {
  EXPECT_TRUE(IsBlocked(SIGTERM));
  receiver_.reset();
  EXPECT_FALSE(IsBlocked(SIGTERM));
}

TEST(SignalsBlockedTest, BlocksForItsLifeInThisThreadAndInThoseItStarts) {
  {
    const SignalsBlocked blocked;
    EXPECT_TRUE(IsBlocked(SIGUSR1));
    EXPECT_FALSE(IsBlocked(SIGSEGV));
    std::jthread([] { EXPECT_TRUE(IsBlocked(SIGUSR1)); }).join();
  }
  EXPECT_FALSE(IsBlocked(SIGUSR1));
}

}  // namespace
}  // namespace runnel::runtime
