// The checksum of every page of a replica as of one txid, built from what was read back from its
// store. What the replica holds is thereby known page by page, without keeping any page.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>

#include "base/ids.h"
#include "base/result.h"
#include "capture/page_checksums.h"
#include "fs/stored_path.h"
#include "ltx/chain.h"
#include "replicate/destination.h"
#include "replicate/settings.h"

namespace runnel::replicate {

// One thread at a time.
class ProofArray {
 public:
  // Goes on with the file at `path`, if there is one that fits the replica.
  ProofArray(const Destination& destination, fs::Path path, const LocalFiles& local,
             const Environment& environment);

  // Reads the next object that leads further, but not past `limit`, and takes its pages in. Returns
  // false if there is none. kCorruption naming the object if it is damaged, or if the pages that a
  // restore would have by now do not add up to its database checksum.
  Result<bool> Advance(Txid limit);

  // Begins anew, at the next Advance().
  void Discard();

  Txid txid() const { return txid_; }  // 0: nothing yet
  std::uint32_t commit_pages() const { return commit_pages_; }
  // Begins anew if the file was removed by hand, as do those below.
  Result<std::uint64_t> Get(PageNo page_no);

  // Makes it durable.
  Result<void> Save();

  // Gives back descriptor and memory; the next call of the others gets them again.
  Result<void> Rest();

 private:
  Result<void> Load();
  std::optional<LeveledFile> NextFile(Txid limit) const;
  Result<void> Apply(const LeveledFile& file, const ltx::Header& header);
  void DiscardIfLost(const Error& error);

  const Destination& destination_;
  const fs::StoredPath path_;
  const LocalFiles local_;
  const Environment environment_;
  bool loaded_ = false;
  std::optional<capture::PageChecksums> array_;
  std::uint32_t page_size_ = 0;
  Txid txid_{};
  std::uint32_t commit_pages_ = 0;
  ltx::ChainSum sum_;
};

}  // namespace runnel::replicate
