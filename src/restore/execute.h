// Carries out a plan: makes the database file that it describes.
//
//   (1) The file appears at its path whole, proven and durable, or not at all (output_file.h).
//   (2) It holds the pages exactly as they were shipped. Where the lock page would be there are
//       zeros.
//   (3) Proven means: if the newest file carries a chain, the sum over all pages of the result is
//       the one that this file was written with; and every file that carries no chain was read
//       whole and its own checksum is right. If the newest file carries none, the latter holds for
//       all files that gave a page.
//   (4) Two adjoining files whose chains do not meet are not passed over unless told to.
//   (5) Memory is bounded by parallelism and page size, plus one bit for each page of the database
//       and some hundred bytes for each file of the plan.
//
// Blocks; its threads are gone when it returns.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "fs/file_system.h"
#include "restore/database_writer.h"
#include "restore/fault.h"
#include "restore/output_file.h"
#include "restore/plan.h"
#include "restore/survey.h"

namespace runnel::restore {

// What to do where the chain breaks.
enum class ChainPolicy : std::uint8_t {
  kStrict,     // kCorruption naming the last txid before the break
  kUpToBreak,  // restore that txid
  kIgnore,     // restore all; only the files' own checksums prove the result
};

enum class RestoreStage : std::uint8_t {
  kCopying,   // the only one that has figures
  kLocating,  // the pages do not fit together: all files are read to find the damaged one
  kChecking,  // ExecuteOptions::check
  kSyncing,   // the disk writes the rest
};

struct RestoreProgress {
  RestoreStage stage = RestoreStage::kCopying;
  std::uint64_t done_bytes = 0;  // of the database
  std::uint64_t total_bytes = 0;
  std::size_t done_files = 0;  // of the plan; all of them at the end
  std::size_t total_files = 0;
};

struct ExecuteOptions {
  fs::Path output;
  OutputFile::Options output_options;
  int parallelism = 8;  // threads that read, decode and write; 1..64
  ChainPolicy chain_policy = ChainPolicy::kStrict;
  // Called on the calling thread: at the start, at most ten times a second, at the end, and when a
  // stage begins.
  std::function<void(const RestoreProgress&)> on_progress;
  // Looks at the finished file before it takes its place, e.g. with PRAGMA integrity_check; must
  // not change it. An error fails the restore.
  std::function<Result<void>(const fs::Path&)> check;
  std::stop_token stop;
};

struct Outcome {
  Txid txid{};
  WallTime timestamp;  // of the newest commit in it
  std::uint64_t database_bytes = 0;
  std::uint32_t page_size = 0;
  Proof proof = Proof::kChain;
  // Where the chain breaks: the last txid before it. With kUpToBreak this is `txid`.
  std::optional<Txid> break_after;
};

class Executor {
 public:
  // `file_system` and `clock` outlive the executor.
  Executor(fs::FileSystem& file_system, Clock& clock, ExecuteOptions options);

  // Call once.
  Result<Outcome> Run(const Source& source, const Plan& plan);

  // What Run()'s failure `error` was due to.
  Fault FaultOf(const Error& error) const { return faults_.Get(error); }

 private:
  // What is left to do once all headers are known.
  struct Work {
    std::vector<SurveyedFile> files;
    Outcome outcome;
  };

  Result<Work> Prepare(const Source& source, const Plan& plan);
  Result<std::optional<std::size_t>> JudgeChain(const std::vector<SurveyedFile>& files);
  Result<void> CopyAndProve(const Source& source, const Work& work, OutputFile& output);
  void Announce(RestoreStage stage, const Work& work) const;
  Error ExplainDamage(const Source& source, const Work& work, Error error);

  fs::FileSystem& file_system_;
  Clock& clock_;
  const ExecuteOptions options_;
  FaultRecord faults_;
};

// Reads one file of a replica front to back and proves it by its own checksum.
Result<void> VerifyFile(const Source& source, const LtxFile& file);

}  // namespace runnel::restore
