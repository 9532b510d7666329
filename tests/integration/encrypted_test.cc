// A database of which only the first 32 bytes are plain, as SQLCipher leaves it with
// cipher_plaintext_header_size=32: everything else in the file and the WAL is opaque.

#include <gtest/gtest.h>

#include <algorithm>

#include "integration/protocol_fixture.h"

namespace runnel::integration {
namespace {

constexpr std::size_t kPageSize = 4096;
constexpr std::size_t kFrameSize = 24 + kPageSize;
constexpr std::size_t kPlain = 32;

// As good as a cipher here: no byte keeps its meaning.
void Encrypt(MutableBytes page, bool is_page_one) {
  for (std::size_t i = is_page_one ? kPlain : 0; i < page.size(); ++i) {
    page[i] ^= static_cast<std::byte>(0xa5 + 7 * i);
  }
}

class Checksum {
 public:
  Checksum(ByteOrder order) : order_(order) {}
  void Add(ByteView bytes) {
    for (std::size_t at = 0; at < bytes.size(); at += 8) {
      s0_ += GetInt<std::uint32_t>(bytes, at, order_) + s1_;
      s1_ += GetInt<std::uint32_t>(bytes, at + 4, order_) + s0_;
    }
  }
  void Store(MutableBytes out, std::size_t offset) const {
    PutBigEndian(out, offset, s0_);
    PutBigEndian(out, offset + 4, s1_);
  }

 private:
  const ByteOrder order_;
  std::uint32_t s0_ = 0;
  std::uint32_t s1_ = 0;
};

class EncryptedTest : public ProtocolTest {
 protected:
  Bytes ReadAll(const fs::Path& path) {
    auto file = file_system_.Open(path, fs::OpenMode::kRead);
    EXPECT_OK(file);
    Bytes content((*file)->Info()->size_bytes);
    EXPECT_TRUE(*(*file)->ReadAt(0, content) == content.size());
    return content;
  }
  void WriteAll(const fs::Path& path, ByteView content) {
    auto file = file_system_.Open(path, fs::OpenMode::kReadWrite);
    EXPECT_OK(file);
    EXPECT_OK((*file)->WriteAt(0, content));
  }

  // Rewrites file and WAL as a codec would have written them. Nobody may have them open.
  void EncryptEverything() {
    Bytes database = ReadAll(path_);
    for (std::size_t at = 0; at < database.size(); at += kPageSize) {
      Encrypt(MutableBytes(database).subspan(at, kPageSize), at == 0);
    }
    WriteAll(path_, database);
    Bytes wal = ReadAll(wal_path_);
    const bool big_endian = (GetBigEndian<std::uint32_t>(wal, 0) & 1) != 0;
    Checksum checksum(big_endian ? ByteOrder::kBig : ByteOrder::kLittle);
    checksum.Add(ByteView(wal).first(24));
    for (std::size_t at = 32; at < wal.size(); at += kFrameSize) {
      const MutableBytes frame = MutableBytes(wal).subspan(at, kFrameSize);
      Encrypt(frame.subspan(24), GetBigEndian<std::uint32_t>(frame, 0) == 1);
      checksum.Add(frame.first(8));
      checksum.Add(frame.subspan(24));
      checksum.Store(frame, 16);
    }
    WriteAll(wal_path_, wal);
  }

  const fs::Path wal_path_ = path_.native() + "-wal";
};
INSTANTIATE_TEST_SUITE_P(Protocol, EncryptedTest, ::testing::Values(AgentSqlite::kSystem),
                         SqliteName);

TEST_P(EncryptedTest, TheWholeProtocolWorksOnOpaquePages) {
  app_.Do("checkpoint w passive");
  app_.Do("exec w INSERT INTO t(v) VALUES(zeroblob(20000))");
  app_.Do("persist w");
  app_.Do("close w");
  EncryptEverything();
  const Bytes wal = ReadAll(wal_path_);
  const auto frames = static_cast<std::uint32_t>((wal.size() - 32) / kFrameSize);
  ASSERT_GT(frames, 5U);

  ASSERT_OK_AND_ASSIGN(const auto inspection, registry_.Inspect(path_));
  EXPECT_EQ(inspection.kind, sqlite::FileKind::kSqlite);
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(path_));
  EXPECT_EQ(*connection->QueryJournalMode(), sqlite::JournalMode::kWal);
  EXPECT_EQ(*connection->PageSize(), kPageSize);
  ASSERT_OK(connection->Begin());
  ASSERT_OK_AND_ASSIGN(const auto held, connection->HeldHeader());
  EXPECT_EQ(Parse(held).max_frame, frames);
  EXPECT_EQ(LivePosition(*connection), Parse(held));
  ASSERT_OK(connection->Rollback());
  EXPECT_OK(sqlite::WriteLock::Take(*connection));

  ASSERT_OK_AND_ASSIGN(const auto done, connection->Checkpoint(sqlite::CheckpointMode::kPassive));
  EXPECT_FALSE(done.busy);
  EXPECT_EQ(done.backfilled, frames);
  for (std::uint32_t frame = 0; frame < frames; ++frame) {
    const ByteView in_wal = ByteView(wal).subspan(32 + frame * kFrameSize, kFrameSize);
    const std::uint64_t page = GetBigEndian<std::uint32_t>(in_wal, 0);
    Bytes in_file(kPageSize);
    ASSERT_EQ(*connection->ReadDatabaseFile((page - 1) * kPageSize, in_file), kPageSize);
    EXPECT_TRUE(std::ranges::equal(in_file, in_wal.subspan(24))) << "page " << page;
  }
  ASSERT_OK(connection->Begin());  // slot 0, and the schema is still garbage
  app_.Do("open w " + path_.native());
  EXPECT_EQ(app_.Ask("exec w SELECT 1 FROM t").substr(0, 5), "error");  // it is that garbage
}

}  // namespace
}  // namespace runnel::integration
