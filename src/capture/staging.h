// The staged log: the cuts of one database, one LTX file a txid, on the local disk.
//
// It is Litestream's `ltx/0` folder, in its form: a Litestream that takes over finds its position
// in the newest file, and so do we. That file is therefore never removed.
//
//   (1) A file that files() names is whole and durable. Cuts are consecutive: a new one is the
//       newest one's successor, but for the first of an empty folder.
//   (2) What a crash or a power loss left half-done is removed when the folder is opened; a newest
//       file that does not prove itself is removed too, and its content shipped anew.
//   (3) Pins keep files for a reader; Prune() takes nothing at or after a pin.
//
// Thread-safe.

#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/byte_stream.h"
#include "base/ids.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "fs/stored_path.h"
#include "ltx/encoder.h"
#include "ltx/format.h"

namespace runnel::capture {

struct StagedCut {
  Txid txid{};
  std::uint64_t size_bytes = 0;
};

// What the header and trailer of a staged file say.
struct CutSummary {
  ltx::Header header;
  ltx::Trailer trailer;
};

// An index spool that goes to a file without a name once it is large. `fs` outlives it.
std::unique_ptr<ltx::IndexSpool> MakeSpillingIndexSpool(fs::FileSystem& fs, fs::Path spill_path,
                                                        const fs::Ownership& ownership);

class Staging {
 public:
  // Makes the folder if it is missing.
  static Result<std::unique_ptr<Staging>> Open(fs::FileSystem& fs, fs::Path folder,
                                               const fs::Ownership& ownership, Logger& log);

  std::optional<StagedCut> newest() const;
  std::vector<StagedCut> files() const;  // ascending
  std::uint64_t total_bytes() const;

  // kNotFound if it was pruned, or somebody removed it.
  Result<std::unique_ptr<fs::File>> OpenCut(Txid txid) const;

  // Hands a cut on to `to`, each byte read once, and proves it on the way. The answer says what is
  // damaged, naming the file: `to` then has bytes that are to be thrown away. Errors are those of
  // the disk and of `to`.
  Result<std::optional<Error>> CopyProven(Txid txid, fs::File& cut, ByteSink& to) const;

  // False if somebody removed the newest cut, which we never do.
  Result<bool> HasNewest() const;

  // Header and trailer, without proving the pages. kCorruption, naming the file, if they cannot be
  // those of a cut.
  Result<CutSummary> Summary(Txid txid) const;

  // Writes the successor of the newest cut: `write_pages` calls WritePage() for each page.
  // Returns once the file is durable and visible under its name.
  Result<StagedCut> Append(const ltx::Header& header, ltx::EncoderOptions options,
                           const std::function<Result<void>(ltx::Encoder&)>& write_pages);

  // Takes over a file from a replica as the newest cut of a folder without a cut at or after it
  // (Litestream's own rule for a replica that is ahead).
  Result<void> Adopt(Txid txid, ByteSource& file);

  // Keeps every cut from `first` on until it is destroyed. Outlived by the staging.
  class Pin {
   public:
    Pin() = default;
    Pin(Pin&& other) noexcept : staging_(std::exchange(other.staging_, nullptr)), at_(other.at_) {}
    Pin& operator=(Pin&& other) noexcept;
    ~Pin() { Release(); }
    void Release();

   private:
    friend class Staging;
    Pin(Staging& staging, std::multiset<Txid>::iterator at) : staging_(&staging), at_(at) {}
    Staging* staging_ = nullptr;
    std::multiset<Txid>::iterator at_;
  };
  Pin PinFrom(Txid first);

  // Removes cuts up to and including `last`, as far as no pin and not the newest one.
  Result<void> Prune(Txid last);

  // Removes every cut: somebody else's history, or one that cannot be continued.
  Result<void> Clear();

 private:
  Staging(fs::FileSystem& fs, fs::Path folder, const fs::Ownership& ownership)
      : fs_(fs), folder_(std::move(folder)), ownership_(ownership) {}

  fs::Path PathOf(Txid txid) const;
  Result<void> Load(Logger& log) RUNNEL_REQUIRES(mutex_);
  Result<void> DropTornNewest(Logger& log) RUNNEL_REQUIRES(mutex_);
  using Files = std::map<Txid, std::uint64_t>;  // txid -> size
  void Note(Txid txid, std::uint64_t size_bytes) RUNNEL_REQUIRES(mutex_);
  Files::iterator Forget(Files::iterator at) RUNNEL_REQUIRES(mutex_);
  Result<StagedCut> Publish(Txid txid, std::uint64_t size_bytes);

  fs::FileSystem& fs_;
  const fs::StoredPath folder_;
  const fs::Ownership ownership_;

  mutable Mutex mutex_;
  Files files_ RUNNEL_GUARDED_BY(mutex_);
  std::uint64_t total_bytes_ RUNNEL_GUARDED_BY(mutex_) = 0;  // of files_
  std::multiset<Txid> pins_ RUNNEL_GUARDED_BY(mutex_);
};

}  // namespace runnel::capture
