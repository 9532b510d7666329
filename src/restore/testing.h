// A database and the replica of it, made by hand: for the tests and the benchmark of this folder.
//
// Every page's content follows from its number and the txid that wrote it last, so that only that
// txid is kept, and a replica of any size costs four bytes a page.

#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "ltx/chain.h"
#include "ltx/encoder.h"
#include "restore/inventory.h"
#include "store/layout.h"
#include "store/object_store.h"

namespace runnel::restore::testing {

// About half of it compresses away.
inline void FillPage(PageNo page_no, std::uint32_t txid, MutableBytes page) {
  std::uint64_t state = (std::uint64_t{txid} << 32 | ToInt(page_no)) * 0x9E3779B97F4A7C15U;
  std::ranges::fill(page, std::byte{0});
  for (std::size_t at = 0; at + 24 <= page.size(); at += 24) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    PutLittleEndian(page, at, state);
    PutLittleEndian(page, at + 8, std::uint64_t{0x20796C746E65646E});
    PutLittleEndian(page, at + 16, std::uint64_t{0x65756C6176203D20});
  }
}

enum class Tag : std::uint8_t { kChain, kNone };

struct WriteOptions {
  Tag tag = Tag::kChain;
  ltx::PageEncoding encoding = ltx::PageEncoding::kBlock;
};

// A database over its whole history.
class History {
 public:
  explicit History(std::uint32_t page_size) : page_size_(page_size), sums_(1), commits_(1) {}

  // Txid n+1: `pages` change, and the database has `commit_pages` pages afterwards. Pages that
  // are new are changed whether named or not.
  Txid Cut(std::vector<std::uint32_t> pages, std::uint32_t commit_pages) {
    const auto txid = static_cast<std::uint32_t>(commits_.size());
    const std::uint32_t before = commits_.back();
    ltx::ChainSum sum(sums_.back());
    for (std::uint32_t page = commit_pages + 1; page <= before; ++page) {
      sum.Remove(checksums_[page]);
      checksums_[page] = 0;
    }
    for (std::uint32_t page = before + 1; page <= commit_pages; ++page) pages.push_back(page);
    std::ranges::sort(pages);
    pages.erase(std::ranges::unique(pages).begin(), pages.end());
    std::erase_if(pages, [&](std::uint32_t page) {
      return page > commit_pages || PageNo{page} == LockPage(page_size_);
    });
    checksums_.resize(std::max<std::size_t>(checksums_.size(), commit_pages + std::size_t{1}));
    Bytes content(page_size_);
    for (const std::uint32_t page : pages) {
      FillPage(PageNo{page}, txid, content);
      sum.Remove(checksums_[page]);
      checksums_[page] = ltx::PageChecksum(PageNo{page}, content);
      sum.Add(checksums_[page]);
    }
    changes_.push_back(std::move(pages));
    sums_.push_back(sum.value());
    commits_.push_back(commit_pages);
    return Txid{txid};
  }

  // Grows, shrinks or stays, and changes a few pages.
  Txid RandomCut(std::mt19937_64& random, std::uint32_t pages_max) {
    std::uint32_t commit = std::max(1U, commits_.back());
    if (random() % 3 == 0) commit = 1 + static_cast<std::uint32_t>(random() % pages_max);
    std::vector<std::uint32_t> pages{1};
    for (std::uint64_t i = random() % 6; i > 0; --i) {
      pages.push_back(1 + static_cast<std::uint32_t>(random() % commit));
    }
    return Cut(std::move(pages), commit);
  }

  Txid newest() const { return Txid{commits_.size() - 1}; }
  std::uint32_t page_size() const { return page_size_; }
  std::uint32_t CommitAt(Txid txid) const { return commits_[ToInt(txid)]; }

  // Page -> the txid of its version at `max`, for the pages that changed in min..max.
  std::map<std::uint32_t, std::uint32_t> Changed(Txid min, Txid max) const {
    std::map<std::uint32_t, std::uint32_t> changed;
    for (std::uint64_t txid = ToInt(min); txid <= ToInt(max); ++txid) {
      for (const std::uint32_t page : changes_[txid - 1]) {
        changed[page] = static_cast<std::uint32_t>(txid);
      }
      // What a later txid does not write again was cut off.
      changed.erase(changed.upper_bound(commits_[txid]), changed.end());
    }
    return changed;
  }

  // The database file.
  Bytes ImageAt(Txid txid) const {
    Bytes image(std::size_t{CommitAt(txid)} * page_size_);
    for (const auto [page, version] : Changed(Txid{1}, txid)) {
      FillPage(PageNo{page}, version,
               MutableBytes(image).subspan((page - std::size_t{1}) * page_size_, page_size_));
    }
    return image;
  }

  ltx::Header HeaderOf(store::TxidRange range, Tag tag) const {
    ltx::Header header{.page_size = page_size_,
                       .commit_pages = CommitAt(range.max),
                       .min_txid = range.min,
                       .max_txid = range.max,
                       .timestamp = TimeOf(range.max)};
    if (tag == Tag::kChain) {
      header.chain =
          ltx::Chain{.before = sums_[ToInt(range.min) - 1], .after = sums_[ToInt(range.max)]};
    }
    return header;
  }

  static WallTime TimeOf(Txid txid) {
    return WallTime(std::chrono::seconds(1'700'000'000 + static_cast<std::int64_t>(ToInt(txid))));
  }

  // Writes the file of `range` as `header` says.
  Result<void> WriteFile(ByteSink& sink, const ltx::Header& header,
                         ltx::PageEncoding encoding) const {
    ltx::Encoder encoder(sink, {.encoding = encoding});
    RUNNEL_TRY_VOID(encoder.WriteHeader(header));
    Bytes content(page_size_);
    for (const auto [page, version] : Changed(header.min_txid, header.max_txid)) {
      FillPage(PageNo{page}, version, content);
      RUNNEL_TRY_VOID(encoder.WritePage(PageNo{page}, content));
    }
    RUNNEL_TRY_VOID(encoder.Finish());
    return {};
  }

 private:
  const std::uint32_t page_size_;
  std::vector<std::vector<std::uint32_t>> changes_;  // of txid 1, 2, ..
  std::vector<DatabaseChecksum> sums_;               // after txid 0, 1, ..
  std::vector<std::uint32_t> commits_;               // after txid 0, 1, ..
  std::vector<std::uint64_t> checksums_;             // of the newest pages, by number
};

// Puts files of a history into a store.
class ReplicaWriter {
 public:
  // All outlive the writer.
  ReplicaWriter(store::ObjectStore& store, const store::ReplicaLayout& layout,
                const History& history)
      : store_(store), layout_(layout), history_(history) {}

  Result<LtxFile> Put(int level, std::uint64_t min, std::uint64_t max, WriteOptions options = {}) {
    const store::TxidRange range{Txid{min}, Txid{max}};
    return PutWithHeader(level, history_.HeaderOf(range, options.tag), options.encoding);
  }

  Result<LtxFile> PutWithHeader(int level, const ltx::Header& header,
                                ltx::PageEncoding encoding = ltx::PageEncoding::kBlock) {
    const store::TxidRange range{header.min_txid, header.max_txid};
    const Level at{static_cast<std::uint8_t>(level)};
    store::PutOptions put;
    put.timestamp = header.timestamp;
    RUNNEL_TRY(auto writer, store_.StartPut(layout_.LtxKey(at, range), put));
    RUNNEL_TRY_VOID(history_.WriteFile(*writer, header, encoding));
    RUNNEL_TRY(const store::ObjectInfo info, writer->Commit());
    return LtxFile{
        .level = at, .range = range, .size_bytes = info.size_bytes, .timestamp = header.timestamp};
  }

 private:
  store::ObjectStore& store_;
  const store::ReplicaLayout& layout_;
  const History& history_;
};

}  // namespace runnel::restore::testing
