#include "restore/database_writer.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>
#include <vector>

#include "fs/file_operations.h"
#include "testing/fault_file_system.h"
#include "testing/manual_clock.h"
#include "testing/memory_file_system.h"
#include "testing/result_matchers.h"

namespace runnel::restore {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

class DatabaseWriterTest : public ::testing::Test {
 protected:
  void Make(std::uint32_t page_size, std::uint32_t commit_pages) {
    auto output = OutputFile::Create(files_, "/db", std::uint64_t{page_size} * commit_pages, {});
    ASSERT_OK(output);
    output_ = *std::move(output);
    writer_ = std::make_unique<DatabaseWriter>(*output_, faults_, page_size, commit_pages);
    page_size_ = page_size;
  }

  Result<void> Write(std::uint32_t first, std::uint32_t count, char fill = 'x') {
    const Bytes pages(std::size_t{count} * page_size_, static_cast<std::byte>(fill));
    return writer_->Write(PageNo{first}, pages);
  }

  // The newest calls of that name, without it and the path: "4194304 bytes at 0".
  std::vector<std::string> Calls(const std::string& name) {
    std::vector<std::string> calls;
    std::istringstream recent(files_.RecentCalls());
    const std::string start = name + " /db.tmp ";
    for (std::string line; std::getline(recent, line);) {
      if (const auto at = line.find(start); at != std::string::npos) {
        calls.push_back(line.substr(at + start.size()));
      }
    }
    return calls;
  }

  using Strings = std::vector<std::string>;

  testing::ManualClock clock_;
  testing::MemoryFileSystem disk_{clock_};
  testing::FaultFileSystem files_{disk_};
  FaultRecord faults_;
  std::unique_ptr<OutputFile> output_;
  std::unique_ptr<DatabaseWriter> writer_;
  std::uint32_t page_size_ = 0;
};

TEST_F(DatabaseWriterTest, WriteBackBeginsOnceAllPagesOfARegionAreThere) {
  Make(65536, 150);  // regions of 64 pages: 1..64, 65..128, 129..150
  ASSERT_OK(Write(1, 63));
  ASSERT_OK(Write(66, 63));
  ASSERT_OK(Write(129, 21));
  EXPECT_EQ(Calls("start-write-back"), Strings{});
  ASSERT_OK(Write(64, 2));  // the last of one and the first of the next
  EXPECT_EQ(Calls("start-write-back"), (Strings{"4194304 bytes at 0", "4194304 bytes at 4194304"}));
  ASSERT_OK(Write(150, 1));
  EXPECT_EQ(Calls("start-write-back").back(), "4194304 bytes at 8388608");
  EXPECT_EQ(writer_->written_bytes(), 150U * 65536);
}

TEST_F(DatabaseWriterTest, TheLockPageIsNotWaitedFor) {
  Make(65536, 16'448);  // the lock page is 16385, the first of the last region
  ASSERT_OK(Write(16'386, 63));
  EXPECT_EQ(Calls("start-write-back"), (Strings{"4194304 bytes at 1073741824"}));
}

TEST_F(DatabaseWriterTest, ALongRunIsWrittenInPiecesThatEndAtTheSamePlaces) {
  Make(4096, 1000);
  ASSERT_OK(Write(9, 30));
  EXPECT_EQ(Calls("write"),
            (Strings{"32768 bytes at 32768", "65536 bytes at 65536", "24576 bytes at 131072"}));
  const std::vector<PageNo> numbers = {PageNo{200}, PageNo{201}, PageNo{300}};
  ASSERT_OK(writer_->Write(numbers, Bytes(3 * 4096, std::byte{'y'})));
  EXPECT_EQ(Calls("write").back(), "4096 bytes at 1224704");
  ASSERT_OK(output_->Publish());
  ASSERT_OK_AND_ASSIGN(const Bytes content, fs::ReadFile(disk_, "/db", 8 * kMiB));
  std::string expected(1000 * 4096, '\0');
  expected.replace(8 * 4096, 30 * 4096, 30 * 4096, 'x');
  expected.replace(199 * 4096, 2 * 4096, 2 * 4096, 'y');
  expected.replace(299 * 4096, 4096, 4096, 'y');
  EXPECT_TRUE(AsText(content) == expected);
}

TEST_F(DatabaseWriterTest, AFailedWriteIsTheTargetsFault) {
  Make(4096, 1000);
  files_.FailAt(2, {.code = Errc::kNoSpace});
  const auto written = Write(1, 100);
  ASSERT_FAILS(Errc::kNoSpace, written);
  EXPECT_EQ(faults_.Get(written.error()).place, FaultPlace::kTarget);
}

}  // namespace
}  // namespace runnel::restore
