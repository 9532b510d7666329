#include "tests/crash/staged_copy.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "fs/file_stream.h"
#include "ltx/chain.h"
#include "ltx/decoder.h"
#include "store/layout.h"

namespace runnel::tests {

Result<void> StagedCopy::Apply(fs::FileSystem& files, const fs::Path& folder,
                               const Visitor& visit) {
  RUNNEL_TRY(const auto entries, files.List(folder));
  std::map<Txid, fs::Path> cuts;
  for (const fs::DirectoryEntry& entry : entries) {
    const auto range = store::ParseLtxFileName(entry.name);
    if (range && range->min > newest_) cuts[range->min] = folder / entry.name;
  }
  for (const auto& [txid, path] : cuts) {
    if (auto applied = ApplyCut(files, path, txid); !applied) {
      return Fail(std::move(applied).error().Context(path.filename().string()));
    }
    visit(txid);
  }
  return {};
}

Result<void> StagedCopy::ApplyCut(fs::FileSystem& files, const fs::Path& path, Txid txid) {
  if (txid != Next(newest_)) {
    return Fail(Errc::kCorruption, fmt::format("follows cut {}", ToInt(newest_)));
  }
  RUNNEL_TRY(auto file, files.Open(path, fs::OpenMode::kRead));
  RUNNEL_TRY(const fs::FileInfo info, file->Info());
  fs::FileSource source(*file, 0, info.size_bytes);
  ltx::Decoder decoder(source);
  RUNNEL_TRY(const ltx::Header header, decoder.ReadHeader());
  if (!header.chain) return Fail(Errc::kCorruption, "without a chain");
  if (header.timestamp <= timestamp_) return Fail(Errc::kCorruption, "not younger than the last");
  timestamp_ = header.timestamp;
  page_size_ = header.page_size;
  content_.resize(std::size_t{header.commit_pages} * page_size_);
  std::uint32_t pages = 0;
  Bytes page(page_size_);
  for (;;) {
    RUNNEL_TRY(const auto entry, decoder.ReadPage(page));
    if (!entry) break;
    ++pages;
    const std::size_t offset = std::size_t{ToInt(entry->page_no) - 1} * page_size_;
    std::ranges::copy(page, content_.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  RUNNEL_TRY(const ltx::Trailer trailer, decoder.Finish());
  (void)trailer;
  if (header.chain->before != checksum_) {
    // A new chain, which has to bring every page.
    if (header.chain->before != DatabaseChecksum{0} || pages != header.commit_pages) {
      return Fail(Errc::kCorruption, "does not go on where the cut before ended");
    }
    ++new_chains_;
  }
  ltx::ChainSum sum;
  for (std::uint32_t page_no = 1; page_no <= header.commit_pages; ++page_no) {
    const std::size_t offset = std::size_t{page_no - 1} * page_size_;
    sum.Add(ltx::PageChecksum(PageNo{page_no}, ByteView(content_).subspan(offset, page_size_)));
  }
  if (sum.value() != header.chain->after) {
    return Fail(Errc::kCorruption, "the pages are not those that it says");
  }
  checksum_ = header.chain->after;
  newest_ = txid;
  return {};
}

}  // namespace runnel::tests
