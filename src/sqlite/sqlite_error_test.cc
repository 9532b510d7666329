#include "sqlite/sqlite_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>

#include <cerrno>

namespace runnel::sqlite {
namespace {

using ::testing::HasSubstr;

TEST(SqliteErrorTest, CodesBecomeKinds) {
  EXPECT_EQ(CodeToErrc(SQLITE_BUSY_RECOVERY, 0), Errc::kBusy);
  EXPECT_EQ(CodeToErrc(SQLITE_LOCKED, 0), Errc::kBusy);
  EXPECT_EQ(CodeToErrc(SQLITE_PROTOCOL, 0), Errc::kBusy);
  EXPECT_EQ(CodeToErrc(SQLITE_FULL, 0), Errc::kNoSpace);
  EXPECT_EQ(CodeToErrc(SQLITE_IOERR_FSYNC, EIO), Errc::kIo);
  EXPECT_EQ(CodeToErrc(SQLITE_CORRUPT, 0), Errc::kCorruption);
  EXPECT_EQ(CodeToErrc(SQLITE_NOTADB, 0), Errc::kCorruption);
  EXPECT_EQ(CodeToErrc(SQLITE_READONLY, 0), Errc::kPermissionDenied);
  EXPECT_EQ(CodeToErrc(SQLITE_NOMEM, 0), Errc::kUnavailable);
}

TEST(SqliteErrorTest, TheSystemsErrorIsTheBetterKind) {
  EXPECT_EQ(CodeToErrc(SQLITE_IOERR_SHMSIZE, ENOSPC), Errc::kNoSpace);
  EXPECT_EQ(CodeToErrc(SQLITE_IOERR_WRITE, EDQUOT), Errc::kNoSpace);
  EXPECT_EQ(CodeToErrc(SQLITE_CANTOPEN, ENOENT), Errc::kNotFound);
  EXPECT_EQ(CodeToErrc(SQLITE_CANTOPEN, EACCES), Errc::kPermissionDenied);
  EXPECT_EQ(CodeToErrc(SQLITE_CANTOPEN, EMFILE), Errc::kUnavailable);
  // A stale errno says nothing about a lock.
  EXPECT_EQ(CodeToErrc(SQLITE_BUSY, ENOSPC), Errc::kBusy);
}

TEST(SqliteErrorTest, TheMessageNamesPathCodeAndUser) {
  const Error error = MakeError(SQLITE_CANTOPEN, EACCES, "/data/app.db", "open");
  EXPECT_THAT(error.message(), HasSubstr("/data/app.db: open: SQLITE_CANTOPEN"));
  EXPECT_THAT(error.message(), HasSubstr("Permission denied"));
  EXPECT_THAT(error.message(), HasSubstr("uid "));
  EXPECT_EQ(CodeName(SQLITE_IOERR_SHMMAP), "SQLITE_IOERR_SHMMAP");
  EXPECT_EQ(CodeName(SQLITE_IOERR | (99 << 8)), "SQLITE_IOERR(25354)");
}

}  // namespace
}  // namespace runnel::sqlite
