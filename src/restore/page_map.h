// Which pages of the database have found their newest version: one bit a page, 32 MiB for a
// terabyte of 4 KiB pages.

#pragma once

#include <cstdint>
#include <vector>

#include "base/check.h"
#include "base/ids.h"

namespace runnel::restore {

// One thread at a time.
class PageMap {
 public:
  // The pages of a database are 1..`commit_pages` without the lock page.
  PageMap(std::uint32_t commit_pages, std::uint32_t page_size)
      : commit_pages_(commit_pages),
        lock_page_(LockPage(page_size)),
        missing_(commit_pages - (ToInt(lock_page_) <= commit_pages ? 1U : 0U)),
        words_(commit_pages / 64 + 1) {}

  bool IsPage(PageNo page) const {
    return page != PageNo{0} && ToInt(page) <= commit_pages_ && page != lock_page_;
  }

  bool Has(PageNo page) const { return (words_[ToInt(page) / 64] >> (ToInt(page) % 64) & 1) != 0; }

  // `page` IsPage() and is not in the map yet.
  void Add(PageNo page) {
    RUNNEL_CHECK(IsPage(page) && !Has(page));
    words_[ToInt(page) / 64] |= std::uint64_t{1} << (ToInt(page) % 64);
    --missing_;
  }

  std::uint32_t missing() const { return missing_; }

  // missing() is not 0.
  PageNo FirstMissing() const {
    for (PageNo page{1};; page = Next(page)) {
      RUNNEL_CHECK(ToInt(page) <= commit_pages_);
      if (page != lock_page_ && !Has(page)) return page;
    }
  }

 private:
  std::uint32_t commit_pages_;
  PageNo lock_page_;
  std::uint32_t missing_;
  std::vector<std::uint64_t> words_;
};

}  // namespace runnel::restore
