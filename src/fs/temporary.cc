#include "fs/temporary.h"

#include <fmt/format.h>

namespace runnel::fs {
namespace {

constexpr std::string_view kSuffix = ".tmp";
constexpr std::size_t kNameSizeMax = 255;  // NAME_MAX of every file system in use
constexpr std::size_t kUniqueSize = 1 + 16;

}  // namespace

bool IsTemporaryName(std::string_view name) { return name.ends_with(kSuffix); }

Path TemporaryPath(const Path& path) {
  Path temporary = path;
  temporary += kSuffix;
  return temporary;
}

Path UniqueTemporaryPath(const Path& path, Random& random) {
  const std::string name = path.filename().native();
  const std::string_view kept =
      std::string_view(name).substr(0, kNameSizeMax - kUniqueSize - kSuffix.size());
  return path.parent_path() / fmt::format("{}.{:016x}{}", kept, random.NextU64(), kSuffix);
}

bool IsUniqueTemporaryName(std::string_view name) {
  if (!IsTemporaryName(name)) return false;
  name.remove_suffix(kSuffix.size());
  if (name.size() <= kUniqueSize) return false;
  const std::string_view unique = name.substr(name.size() - kUniqueSize);
  return unique.front() == '.' &&
         unique.find_first_not_of("0123456789abcdef", 1) == std::string_view::npos;
}

Result<std::size_t> RemoveTemporaryFiles(FileSystem& files, const Path& directory) {
  auto entries = files.List(directory);
  if (!entries) {
    if (entries.error().code() == Errc::kNotFound) return 0;
    return Fail(std::move(entries).error());
  }
  std::size_t count = 0;
  for (const DirectoryEntry& entry : *entries) {
    if (entry.type != FileType::kRegular || !IsTemporaryName(entry.name)) continue;
    auto removed = files.Remove(directory / entry.name);
    if (!removed && removed.error().code() != Errc::kNotFound) {
      return Fail(std::move(removed).error());
    }
    if (removed) ++count;
  }
  return count;
}

}  // namespace runnel::fs
