#include "sqlite/open_registry.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "testing/live_database.h"

namespace runnel::sqlite {
namespace {

using testing::App;
using testing::LocksOn;

using ::testing::HasSubstr;

class OpenRegistryTest : public testing::LiveDatabaseTest {};

void WriteFile(const fs::Path& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string ReadHeader(const fs::Path& path, std::size_t size) {
  std::ifstream file(path, std::ios::binary);
  std::string content(size, '\0');
  file.read(content.data(), static_cast<std::streamsize>(size));
  return content;
}

TEST_F(OpenRegistryTest, OpensOnePathSeveralTimes) {
  const auto first = Open();
  const auto second = Open();
  EXPECT_EQ(first->identity(), second->identity());
  EXPECT_EQ(registry_.held_count(), 1U);
}

TEST_F(OpenRegistryTest, ForgetsWhatIsClosed) {
  auto first = Open();
  auto second = Open();
  const fs::FileIdentity identity = first->identity();
  first.reset();
  EXPECT_EQ(registry_.HeldAs(identity), path_);
  second.reset();
  EXPECT_EQ(registry_.HeldAs(identity), std::nullopt);
}

TEST_F(OpenRegistryTest, RefusesAnotherNameOfAnOpenDatabase) {
  const fs::Path symbolic = directory_.path() / "symbolic.db";
  const fs::Path hard = directory_.path() / "hard.db";
  std::filesystem::create_symlink(path_, symbolic);
  std::filesystem::create_hard_link(path_, hard);
  const auto connection = Open();
  for (const fs::Path& alias : {symbolic, hard}) {
    const auto refused = registry_.Open(alias);
    ASSERT_FAILS(Errc::kAlreadyExists, refused);
    EXPECT_THAT(refused.error().message(), HasSubstr(path_.native()));
    EXPECT_FAILS(Errc::kAlreadyExists, registry_.Inspect(alias));
  }
}

TEST_F(OpenRegistryTest, FollowsASymbolicLinkToTheRealWal) {
  const fs::Path link = directory_.path() / "link.db";
  std::filesystem::create_symlink(path_, link);
  ASSERT_OK_AND_ASSIGN(const auto connection, registry_.Open(link));
  EXPECT_EQ(connection->path(), link);
  EXPECT_EQ(connection->wal_path(), std::filesystem::canonical(path_).native() + "-wal");
}

TEST_F(OpenRegistryTest, RefusesWhatIsNoDatabaseFile) {
  EXPECT_FAILS(Errc::kNotFound, registry_.Open(directory_.path() / "missing.db"));
  EXPECT_FALSE(std::filesystem::exists(directory_.path() / "missing.db"));
  EXPECT_FAILS(Errc::kInvalidArgument, registry_.Open(directory_.path()));
  EXPECT_EQ(registry_.held_count(), 0U);
}

TEST_F(OpenRegistryTest, RefusesWhatItMayNotWrite) {
  std::filesystem::permissions(path_, std::filesystem::perms(0444));
  std::filesystem::permissions(directory_.path(), std::filesystem::perms(0755));
  const uid_t self = geteuid();
  constexpr uid_t kNobody = 65534;
  if (self == 0) ASSERT_EQ(seteuid(kNobody), 0);
  const auto refused = registry_.Open(path_);
  if (self == 0) ASSERT_EQ(seteuid(self), 0);
  ASSERT_FAILS(Errc::kPermissionDenied, refused);
  EXPECT_THAT(refused.error().message(), HasSubstr(path_.native()));
  EXPECT_THAT(refused.error().message(),
              HasSubstr("uid " + std::to_string(self == 0 ? kNobody : self)));
}

TEST_F(OpenRegistryTest, InspectTellsKindsApart) {
  const fs::Path other = directory_.path() / "other";
  ASSERT_OK_AND_ASSIGN(const FileInspection wal, registry_.Inspect(path_));
  EXPECT_EQ(wal.kind, FileKind::kSqlite);
  EXPECT_EQ(wal.page_size, 4096U);
  EXPECT_EQ(wal.journal_mode, JournalMode::kWal);

  {
    App app(other);
    app.Run("PRAGMA page_size=65536; CREATE TABLE t(x)");
  }
  ASSERT_OK_AND_ASSIGN(const FileInspection rollback, registry_.Inspect(other));
  EXPECT_EQ(rollback.kind, FileKind::kSqlite);
  EXPECT_EQ(rollback.page_size, 65536U);
  EXPECT_EQ(rollback.journal_mode, JournalMode::kOther);

  WriteFile(other, ReadHeader(path_, 32) + std::string(4064, '\x5a'));
  ASSERT_OK_AND_ASSIGN(const FileInspection partly_encrypted, registry_.Inspect(other));
  EXPECT_EQ(partly_encrypted.kind, FileKind::kSqlite);
  EXPECT_EQ(partly_encrypted.journal_mode, JournalMode::kWal);

  WriteFile(other, std::string(4096, '\x5a'));
  ASSERT_OK_AND_ASSIGN(const FileInspection encrypted, registry_.Inspect(other));
  EXPECT_EQ(encrypted.kind, FileKind::kOpaque);

  WriteFile(other, ReadHeader(path_, 99));
  ASSERT_OK_AND_ASSIGN(const FileInspection torn, registry_.Inspect(other));
  EXPECT_EQ(torn.kind, FileKind::kOpaque);

  WriteFile(other, "");
  ASSERT_OK_AND_ASSIGN(const FileInspection empty, registry_.Inspect(other));
  EXPECT_EQ(empty.kind, FileKind::kEmpty);
  EXPECT_FAILS(Errc::kNotFound, registry_.Inspect(directory_.path() / "missing"));
}

// The fact the registry exists for, and the proof that LocksOn() would see it.
TEST_F(OpenRegistryTest, ARawOpenAndCloseDropsSqlitesLocks) {
  const auto connection = Open();
  ASSERT_OK(connection->Begin());
  const int held = LocksOn(path_);
  ASSERT_GT(held, 0);
  ::close(::open(path_.c_str(), O_RDONLY | O_CLOEXEC));
  EXPECT_LT(LocksOn(path_), held);
}

TEST_F(OpenRegistryTest, OpenCloseAndInspectKeepTheLocksOfOthers) {
  const auto connection = Open();
  ASSERT_OK(connection->Begin());
  const int on_database = LocksOn(path_);
  const int on_index = LocksOn(path_.native() + "-shm");
  ASSERT_GT(on_database, 0);
  ASSERT_GT(on_index, 0);
  {
    const auto second = Open();
    ASSERT_OK(second->Begin());
  }
  (void)registry_.Inspect(path_);
  std::filesystem::create_hard_link(path_, directory_.path() / "hard.db");
  (void)registry_.Open(directory_.path() / "hard.db");
  (void)registry_.Inspect(directory_.path() / "hard.db");
  EXPECT_EQ(LocksOn(path_), on_database);
  EXPECT_EQ(LocksOn(path_.native() + "-shm"), on_index);
}

// Replaces the file between the registry's stat and its open.
class ReplacingFileSystem final : public fs::FileSystem {
 public:
  ReplacingFileSystem(fs::FileSystem& real, fs::Path from) : real_(real), from_(std::move(from)) {}

  Result<std::unique_ptr<fs::File>> Open(const fs::Path& path, fs::OpenMode mode,
                                         const fs::Ownership& ownership) override {
    std::filesystem::remove(path);
    std::filesystem::create_hard_link(from_, path);
    return real_.Open(path, mode, ownership);
  }
  Result<fs::FileInfo> Stat(const fs::Path& path) override { return real_.Stat(path); }
  Result<void> Rename(const fs::Path& a, const fs::Path& b) override { return real_.Rename(a, b); }
  Result<void> RenameNoReplace(const fs::Path& a, const fs::Path& b) override {
    return real_.RenameNoReplace(a, b);
  }
  Result<void> Remove(const fs::Path& path) override { return real_.Remove(path); }
  Result<void> CreateDirectories(const fs::Path& path, const fs::Ownership& ownership) override {
    return real_.CreateDirectories(path, ownership);
  }
  Result<std::vector<fs::DirectoryEntry>> List(const fs::Path& path) override {
    return real_.List(path);
  }
  Result<void> SyncDirectory(const fs::Path& path) override { return real_.SyncDirectory(path); }
  Result<void> SetModified(const fs::Path& path, WallTime time) override {
    return real_.SetModified(path, time);
  }
  Result<std::unique_ptr<fs::FileLock>> Lock(const fs::Path& path,
                                             const fs::Ownership& ownership) override {
    return real_.Lock(path, ownership);
  }
  Result<std::uint64_t> FreeBytes(const fs::Path& path) override { return real_.FreeBytes(path); }

 private:
  fs::FileSystem& real_;
  const fs::Path from_;
};

TEST_F(OpenRegistryTest, InspectKeepsLocksWhenTheFileIsReplacedUnderIt) {
  ReplacingFileSystem replacing(file_system_, path_);
  OpenRegistry registry(replacing);
  const fs::Path candidate = directory_.path() / "candidate.db";
  WriteFile(candidate, "x");
  ASSERT_OK_AND_ASSIGN(auto connection, registry.Open(path_));
  ASSERT_OK(connection->Begin());
  const int held = LocksOn(path_);
  ASSERT_GT(held, 0);
  EXPECT_FAILS(Errc::kAlreadyExists, registry.Inspect(candidate));
  EXPECT_EQ(LocksOn(path_), held);
}

TEST_F(OpenRegistryTest, AReplacedFileIsAnotherDatabase) {
  const auto old = Open();
  ASSERT_OK(old->Begin());
  std::filesystem::rename(path_, directory_.path() / "away.db");
  {
    App app(path_);
    app.Run("PRAGMA journal_mode=WAL; CREATE TABLE u(x)");
  }
  const auto fresh = Open();
  EXPECT_NE(fresh->identity(), old->identity());
  EXPECT_EQ(registry_.held_count(), 2U);
  ASSERT_OK_AND_ASSIGN(const bool old_moved, old->HasMoved());
  ASSERT_OK_AND_ASSIGN(const bool fresh_moved, fresh->HasMoved());
  EXPECT_TRUE(old_moved);
  EXPECT_FALSE(fresh_moved);
}

}  // namespace
}  // namespace runnel::sqlite
