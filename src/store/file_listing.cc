#include "store/file_listing.h"

#include <algorithm>

#include "fs/temporary.h"

namespace runnel::store {

bool IsReservedFileName(std::string_view name) {
  return fs::IsTemporaryName(name) || (name.starts_with('.') && name.ends_with(".lock"));
}

Result<ListPage> FileListing::Run() {
  const std::size_t slash = prefix_.rfind('/');
  const std::string start = slash == std::string::npos ? "" : prefix_.substr(0, slash + 1);
  // No key lies under such a prefix, but some directory outside the store might.
  if (!start.empty() && !IsValidKey(ObjectKey(start.substr(0, slash)))) return ListPage{};
  RUNNEL_TRY_VOID(Visit(start));
  return std::move(page_);
}

Result<FileListing::Progress> FileListing::Visit(const std::string& directory_key) {
  RUNNEL_TRY(const auto candidates, FindCandidates(directory_key));
  for (const Candidate& candidate : candidates) {
    const bool is_directory = candidate.type == fs::FileType::kDirectory;
    RUNNEL_TRY(const Progress progress, is_directory ? Visit(candidate.key) : Add(candidate.key));
    if (progress == Progress::kPageFull) return progress;
  }
  return Progress::kGoOn;
}

Result<std::vector<FileListing::Candidate>> FileListing::FindCandidates(
    const std::string& directory_key) {
  std::vector<Candidate> candidates;
  auto entries = files_.List(root_ / directory_key);
  if (!entries) {
    if (entries.error().code() == Errc::kNotFound) return candidates;
    return Fail(std::move(entries).error());
  }
  for (fs::DirectoryEntry& entry : *entries) {
    Candidate candidate{.key = directory_key + entry.name, .type = entry.type};
    if (entry.type == fs::FileType::kSymbolicLink) {
      auto target = files_.Stat(root_ / candidate.key);
      candidate.type = target ? target->type : fs::FileType::kOther;
    }
    if (candidate.type == fs::FileType::kDirectory) {
      candidate.key += '/';
    } else if (candidate.type != fs::FileType::kRegular || IsReservedFileName(entry.name)) {
      continue;
    }
    if (MayMatch(candidate)) candidates.push_back(std::move(candidate));
  }
  std::ranges::sort(candidates, {}, &Candidate::key);
  return candidates;
}

bool FileListing::MayMatch(const Candidate& candidate) const {
  const std::string& key = candidate.key;
  const bool is_directory = candidate.type == fs::FileType::kDirectory;
  if (!key.starts_with(prefix_) && !(is_directory && prefix_.starts_with(key))) return false;
  if (!start_after_ || key > start_after_->text()) return true;
  // A directory before it is still of use if it is on the way to it.
  return is_directory && start_after_->text().starts_with(key);
}

Result<FileListing::Progress> FileListing::Add(const std::string& key) {
  if (page_.objects.size() == limit_) {
    page_.next_after = page_.objects.back().key;
    return Progress::kPageFull;
  }
  auto info = files_.Stat(root_ / key);
  if (!info) {
    if (info.error().code() == Errc::kNotFound) return Progress::kGoOn;  // deleted meanwhile
    return Fail(std::move(info).error());
  }
  page_.objects.push_back({.key = ObjectKey(key),
                           .size_bytes = info->size_bytes,
                           .etag = Etag(),
                           .timestamp = info->modified});
  return Progress::kGoOn;
}

}  // namespace runnel::store
