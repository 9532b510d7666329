#include "store/file_store.h"

#include <fmt/format.h>

#include <chrono>
#include <optional>
#include <set>
#include <utility>

#include "base/hash64.h"
#include "fs/file_operations.h"
#include "fs/file_stream.h"
#include "fs/temporary.h"
#include "store/content_etag.h"
#include "store/file_listing.h"

namespace runnel::store {
namespace {

// Up to this size an etag is made of the content. Conditional replacement is for small objects;
// for the others an etag must not cost a read of the whole file.
constexpr std::uint64_t kContentEtagBytesMax = std::uint64_t{1} << 20;

constexpr std::chrono::milliseconds kSwapLockPause{2};
constexpr int kSwapLockTries = 1000;

Error NoSuchObject(const ObjectKey& key) {
  return {Errc::kNotFound, key.text() + ": no such object"};
}

Etag FileEtag(const fs::FileInfo& info) {
  return Etag(fmt::format("file-{:x}-{:x}-{:x}", info.identity.inode, info.size_bytes,
                          info.modified.time_since_epoch().count()));
}

}  // namespace

class FileStore::Writer final : public ObjectWriter {
 public:
  Writer(FileStore& store, ObjectKey key, PutOptions options, fs::Path path, fs::Path temporary,
         std::unique_ptr<fs::File> file)
      : store_(store),
        key_(std::move(key)),
        options_(std::move(options)),
        path_(std::move(path)),
        temporary_(std::move(temporary)),
        file_(std::move(file)),
        sink_(*file_) {}

  ~Writer() override {
    // If this fails, a sweep finds the file later.
    if (!published_) (void)store_.files_.Remove(temporary_);
  }

  Result<void> Append(ByteView bytes) override {
    if (failure_) return Fail(*failure_);
    if (sink_.offset() + bytes.size() <= kContentEtagBytesMax) hash_.Update(bytes);
    auto appended = sink_.Append(bytes);
    if (!appended) failure_ = appended.error();
    return appended;
  }

  Result<ObjectInfo> Commit() override {
    RUNNEL_CHECK(!committed_);
    committed_ = true;
    if (failure_) return Fail(*failure_);
    auto info = Finish();
    // Our file, or the whole directory, was taken away under us. The key itself is not missing,
    // and a new attempt makes both again.
    if (!info && info.error().code() == Errc::kNotFound) {
      return Fail(Errc::kUnavailable, info.error().message());
    }
    return info;
  }

 private:
  Result<ObjectInfo> Finish() {
    RUNNEL_TRY_VOID(sink_.Flush());
    if (options_.timestamp) {
      RUNNEL_TRY_VOID(store_.files_.SetModified(temporary_, *options_.timestamp));
    }
    RUNNEL_TRY_VOID(file_->Sync());
    RUNNEL_TRY(const fs::FileInfo file_info, file_->Info());
    auto published = store_.Publish(temporary_, path_, options_.condition);
    published_ = published.has_value();
    // Also if another object is in the way: it may be what our own earlier attempt put there before
    // it failed to get here, and the caller will take that for a success.
    if (published || published.error().code() == Errc::kAlreadyExists ||
        published.error().code() == Errc::kPreconditionFailed) {
      RUNNEL_TRY_VOID(store_.files_.SyncDirectory(fs::ParentDirectory(path_)));
    }
    if (!published) return Fail(std::move(published).error());
    const bool is_small = file_info.size_bytes <= kContentEtagBytesMax;
    return ObjectInfo{
        .key = key_,
        .size_bytes = file_info.size_bytes,
        .etag = is_small ? ContentEtag(file_info.size_bytes, hash_.value()) : FileEtag(file_info),
        .timestamp = file_info.modified};
  }

  FileStore& store_;
  const ObjectKey key_;
  const PutOptions options_;
  const fs::Path path_;
  const fs::Path temporary_;
  const std::unique_ptr<fs::File> file_;
  fs::FileSink sink_;
  Hasher64 hash_;  // of all the bytes, as long as they are few enough
  std::optional<Error> failure_;
  bool committed_ = false;
  bool published_ = false;
};

FileStore::FileStore(fs::FileSystem& files, fs::Path root, FileStoreOptions options, Clock& clock,
                     Random& random)
    : files_(files), root_(std::move(root)), options_(options), clock_(clock), random_(random) {}

std::string FileStore::location() const { return "file://" + root_.native(); }

Capabilities FileStore::capabilities() const {
  return {.conditional_writes = true, .bills_requests = false, .timestamps_in_list = true};
}

Result<std::unique_ptr<ObjectWriter>> FileStore::StartPut(const ObjectKey& key,
                                                          const PutOptions& options) {
  RUNNEL_TRY(fs::Path path, ToPath(key));
  fs::Path temporary = fs::UniqueTemporaryPath(path, random_);
  RUNNEL_TRY(auto file, OpenTemporary(temporary));
  return std::make_unique<Writer>(*this, key, options, std::move(path), std::move(temporary),
                                  std::move(file));
}

Result<std::size_t> FileStore::ReadAt(const ObjectKey& key, std::uint64_t offset,
                                      MutableBytes out) {
  RUNNEL_TRY(const fs::Path path, ToPath(key));
  auto file = files_.Open(path, fs::OpenMode::kRead);
  if (file) return (*file)->ReadAt(offset, out);
  // A directory of other objects says this.
  if (file.error().code() == Errc::kInvalidArgument) return Fail(NoSuchObject(key));
  return Fail(std::move(file).error());
}

Result<ObjectInfo> FileStore::Head(const ObjectKey& key) {
  RUNNEL_TRY(const fs::Path path, ToPath(key));
  RUNNEL_TRY(const fs::FileInfo named, files_.Stat(path));
  if (named.type != fs::FileType::kRegular) return Fail(NoSuchObject(key));
  RUNNEL_TRY(const auto file, files_.Open(path, fs::OpenMode::kRead));
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  RUNNEL_TRY(Etag etag, FindEtag(*file, info));
  return ObjectInfo{.key = key,
                    .size_bytes = info.size_bytes,
                    .etag = std::move(etag),
                    .timestamp = info.modified};
}

Result<ListPage> FileStore::List(const std::string& prefix,
                                 const std::optional<ObjectKey>& start_after, std::size_t limit) {
  RUNNEL_CHECK(limit > 0);
  return FileListing(files_, root_, prefix, start_after, limit).Run();
}

Result<void> FileStore::Delete(std::span<const ObjectKey> keys) {
  std::set<fs::Path> changed;
  for (const ObjectKey& key : keys) {
    RUNNEL_TRY(const fs::Path path, ToPath(key));
    const std::lock_guard lock(change_mutex_);
    auto info = files_.Stat(path);
    if (info && info->type == fs::FileType::kDirectory) continue;  // no object has that name
    auto removed = files_.Remove(path);
    if (removed) {
      changed.insert(fs::ParentDirectory(path));
    } else if (removed.error().code() != Errc::kNotFound) {
      return removed;
    }
  }
  for (const fs::Path& directory : changed) RUNNEL_TRY_VOID(files_.SyncDirectory(directory));
  return {};
}

Result<std::size_t> FileStore::SweepUnfinished(const std::string& prefix, WallTime older_than) {
  RUNNEL_CHECK(prefix.empty() || prefix.ends_with('/'));
  const fs::Path directory = root_ / prefix;
  auto entries = files_.List(directory);
  if (!entries) {
    if (entries.error().code() == Errc::kNotFound) return 0;
    return Fail(std::move(entries).error());
  }
  std::size_t count = 0;
  for (const fs::DirectoryEntry& entry : *entries) {
    if (entry.type != fs::FileType::kRegular || !fs::IsUniqueTemporaryName(entry.name)) continue;
    const fs::Path path = directory / entry.name;
    auto info = files_.Stat(path);
    if (info && info->modified >= older_than) continue;
    auto removed = info ? files_.Remove(path) : Result<void>(Fail(std::move(info).error()));
    if (!removed && removed.error().code() != Errc::kNotFound) {
      return Fail(std::move(removed).error());
    }
    if (removed) ++count;
  }
  return count;
}

Result<fs::Path> FileStore::ToPath(const ObjectKey& key) const {
  fs::Path path = root_ / key.text();
  if (!IsValidKey(key) || IsReservedFileName(path.filename().native())) {
    return Fail(Errc::kInvalidArgument, key.text() + ": not an object's name");
  }
  return path;
}

// A directory that is there may have been made a moment ago by another process, which has not
// synced its name yet. So each is synced once before it is relied upon.
Result<void> FileStore::PrepareDirectory(const fs::Path& directory) {
  {
    const std::lock_guard lock(directories_mutex_);
    if (directories_.contains(directory.native())) return {};
  }
  RUNNEL_TRY_VOID(fs::CreateDirectoriesDurably(files_, root_, directory, options_.directory));
  const std::lock_guard lock(directories_mutex_);
  directories_.insert(directory.native());
  return {};
}

void FileStore::ForgetDirectory(const fs::Path& directory) {
  const std::lock_guard lock(directories_mutex_);
  directories_.erase(directory.native());
}

Result<std::unique_ptr<fs::File>> FileStore::OpenTemporary(const fs::Path& temporary) {
  const fs::Path directory = fs::ParentDirectory(temporary);
  RUNNEL_TRY_VOID(PrepareDirectory(directory));
  auto file = files_.Open(temporary, fs::OpenMode::kCreateNew, options_.file);
  if (file || file.error().code() != Errc::kNotFound) return file;
  // Somebody removed the directory since this store saw it.
  ForgetDirectory(directory);
  RUNNEL_TRY_VOID(PrepareDirectory(directory));
  return files_.Open(temporary, fs::OpenMode::kCreateNew, options_.file);
}

Result<void> FileStore::Publish(const fs::Path& temporary, const fs::Path& path,
                                const PutCondition& condition) {
  auto published = [&]() -> Result<void> {
    switch (condition.kind()) {
      case PutCondition::Kind::kIfMatch: return PublishIfMatch(temporary, path, condition.etag());
      case PutCondition::Kind::kIfAbsent: return files_.RenameNoReplace(temporary, path);
      case PutCondition::Kind::kNone: {
        const std::lock_guard lock(change_mutex_);
        return files_.Rename(temporary, path);
      }
    }
    std::unreachable();
  }();
  if (!published && published.error().code() == Errc::kAlreadyExists) {
    auto there = files_.Stat(path);
    if (there && there->type == fs::FileType::kDirectory) {
      return Fail(Errc::kInvalidArgument, path.native() + ": is a directory of other objects");
    }
  }
  return published;
}

Result<void> FileStore::PublishIfMatch(const fs::Path& temporary, const fs::Path& path,
                                       const Etag& etag) {
  const std::lock_guard swap_lock(swap_mutex_);
  RUNNEL_TRY(const auto file_lock, LockForSwap(path));
  const std::lock_guard change_lock(change_mutex_);
  auto file = files_.Open(path, fs::OpenMode::kRead);
  if (!file && file.error().code() == Errc::kNotFound) {
    return Fail(Errc::kPreconditionFailed, path.native() + ": gone");
  }
  if (!file) return Fail(std::move(file).error());
  RUNNEL_TRY(const fs::FileInfo info, (*file)->Info());
  RUNNEL_TRY(const Etag current, FindEtag(**file, info));
  if (current != etag) return Fail(Errc::kPreconditionFailed, path.native() + ": changed");
  return files_.Rename(temporary, path);
}

Result<std::unique_ptr<fs::FileLock>> FileStore::LockForSwap(const fs::Path& path) {
  // Cut to what a directory takes; that two long names may share a lock does no harm.
  const std::string name = path.filename().native().substr(0, 200);
  const fs::Path lock_path = fs::ParentDirectory(path) / fmt::format(".{}.lock", name);
  for (int tries = 1;; ++tries) {
    auto lock = files_.Lock(lock_path, options_.file);
    if (lock || lock.error().code() != Errc::kBusy || tries == kSwapLockTries) return lock;
    clock_.Sleep(kSwapLockPause);
  }
}

// Of the content, if the object is small. A file's number, size and time are no proof against a
// swap that brings back all three with other content.
Result<Etag> FileStore::FindEtag(fs::File& file, const fs::FileInfo& info) const {
  if (info.size_bytes > kContentEtagBytesMax) return FileEtag(info);
  Bytes content(static_cast<std::size_t>(info.size_bytes));
  RUNNEL_TRY(const std::size_t size, file.ReadAt(0, content));
  content.resize(size);
  return ContentEtag(size, Hash64(content));
}

}  // namespace runnel::store
