// An application killed between syncing its commit frame and publishing it leaves a WAL that ends
// in a valid commit which is none.

#include <gtest/gtest.h>

#include "integration/protocol_fixture.h"

namespace runnel::integration {
namespace {

constexpr std::uint64_t kFrameSize = 24 + 4096;

class PhantomTest : public ProtocolTest {
 protected:
  // Leaves frame 4 of the WAL a valid commit frame, with the header at 3.
  void MakePhantom() {
    app_.Do("exec w INSERT INTO t(v) VALUES('published')");
    app_.Do("arm w wal-sync die 1");
    EXPECT_EQ(app_.Ask("exec w INSERT INTO t(v) VALUES('phantom')"), "died");
  }

  struct Frame {
    std::uint32_t commit_size = 0;
    std::uint64_t salts = 0;
    std::uint64_t checksum = 0;
  };
  Frame ReadFrame(std::uint32_t number) {
    auto wal = file_system_.Open(path_.native() + "-wal", fs::OpenMode::kRead);
    EXPECT_OK(wal);
    std::array<std::byte, 24> header{};
    const auto got = (*wal)->ReadAt(32 + (number - 1) * kFrameSize, header);
    EXPECT_TRUE(got && *got == header.size());
    return {.commit_size = GetBigEndian<std::uint32_t>(header, 4),
            .salts = GetBigEndian<std::uint64_t>(header, 8),
            .checksum = (std::uint64_t{GetBigEndian<std::uint32_t>(header, 20)} << 32) |
                        GetBigEndian<std::uint32_t>(header, 16)};
  }
};
INSTANTIATE_TEST_SUITE_P(Protocol, PhantomTest,
                         ::testing::Values(AgentSqlite::kSystem, AgentSqlite::kOurs), SqliteName);

TEST_P(PhantomTest, TheHeaderDoesNotFollowTheFile) {
  const auto connection = Connect();
  MakePhantom();
  const Position live = LivePosition(*connection);
  EXPECT_EQ(live.max_frame, 3U);
  const Frame phantom = ReadFrame(4);
  EXPECT_NE(phantom.commit_size, 0U);
  EXPECT_EQ(phantom.salts, live.salts);
  ASSERT_OK(connection->Begin());
  ASSERT_OK_AND_ASSIGN(const auto held, connection->HeldHeader());
  EXPECT_EQ(Parse(held), live);
}

TEST_P(PhantomTest, TheNextWriterOverwritesIt) {
  const auto connection = Connect();
  MakePhantom();
  const Frame phantom = ReadFrame(4);
  Agent next(GetParam());
  OpenIn(next, "w");
  next.Do("exec w INSERT INTO t(v) VALUES('real')");
  EXPECT_EQ(next.Do("exec w SELECT group_concat(v) FROM t"), "published,real");
  const Position live = LivePosition(*connection);
  EXPECT_EQ(live.max_frame, 4U);
  EXPECT_NE(live.frame_checksum, phantom.checksum);
  EXPECT_EQ(live.frame_checksum, ReadFrame(4).checksum);
}

TEST_P(PhantomTest, RecoveryMakesItACommit) {
  MakePhantom();
  const Frame phantom = ReadFrame(4);
  const auto connection = Connect();  // the first after everybody is gone: recovers
  const Position live = LivePosition(*connection);
  EXPECT_EQ(live.max_frame, 4U);
  EXPECT_EQ(live.frame_checksum, phantom.checksum);
  Agent next(GetParam());
  OpenIn(next, "w");
  EXPECT_EQ(next.Do("exec w SELECT group_concat(v) FROM t"), "published,phantom");
}

}  // namespace
}  // namespace runnel::integration
