#include "capture/position_record.h"

#include <gtest/gtest.h>

#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"

namespace runnel::capture {
namespace {

const fs::Path kPath = "/position";

class PositionRecordTest : public ::testing::Test {
 protected:
  static PositionRecord Record() {
    return {.txid = Txid{0x1122334455667788},
            .cut_checksum = FileChecksum{0x99AABBCCDDEEFF00},
            .commit_pages = 77,
            .position = {.salts = {.salt1 = 1, .salt2 = 2},
                         .frame = FrameNo{3},
                         .checksum = {.s1 = 4, .s2 = 5}}};
  }

  testing::ManualClock clock_;
  testing::MemoryFileSystem files_{clock_};
};

TEST_F(PositionRecordTest, ComesBackAsItWasWritten) {
  EXPECT_FALSE(ReadPositionRecord(files_, kPath)->has_value());
  ASSERT_OK(WritePositionRecord(files_, kPath, {}, Record()));
  ASSERT_OK_AND_ASSIGN(const auto read, ReadPositionRecord(files_, kPath));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->txid, Record().txid);
  EXPECT_EQ(read->cut_checksum, Record().cut_checksum);
  EXPECT_EQ(read->commit_pages, 77U);
  EXPECT_EQ(read->position, Record().position);
}

TEST_F(PositionRecordTest, DamagedOrTornOneIsNone) {
  ASSERT_OK(WritePositionRecord(files_, kPath, {}, Record()));
  ASSERT_OK_AND_ASSIGN(auto file, files_.Open(kPath, fs::OpenMode::kReadWrite));
  Bytes whole(64);
  ASSERT_OK_AND_ASSIGN(const std::size_t size, file->ReadAt(0, whole));
  ASSERT_EQ(size, whole.size());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    Bytes damaged = whole;
    damaged[at] ^= std::byte{0x20};
    ASSERT_OK(file->WriteAt(0, damaged));
    EXPECT_FALSE(ReadPositionRecord(files_, kPath)->has_value()) << at;
    ASSERT_OK(file->Truncate(0));
    ASSERT_OK(file->WriteAt(0, ByteView(whole).first(at)));
    EXPECT_FALSE(ReadPositionRecord(files_, kPath)->has_value()) << at;
  }
}

}  // namespace
}  // namespace runnel::capture
