#include "restore/survey.h"

#include <fmt/format.h>

#include <array>
#include <utility>

#include "restore/object_reader.h"
#include "restore/parallel.h"

namespace runnel::restore {
namespace {

Result<ltx::Header> CheckedHeader(ByteView bytes, const LtxFile& file) {
  RUNNEL_TRY(ltx::Header header, ltx::ParseHeader(bytes));
  if (header.min_txid != file.range.min || header.max_txid != file.range.max) {
    return Fail(Errc::kCorruption,
                fmt::format("the header says txids {} to {}, the name does not",
                            FormatTxid(header.min_txid), FormatTxid(header.max_txid)));
  }
  return header;
}

enum class Fetch : std::uint8_t { kHeader, kWhole };

Result<SurveyedFile> SurveyFile(const Source& source, const LtxFile& file, Fetch fetch) {
  ObjectReader reader(*source.store, source.KeyOf(file), file.size_bytes);
  SurveyedFile surveyed{.file = file, .header = {}, .body = nullptr};
  if (fetch == Fetch::kWhole) {
    Bytes body(static_cast<std::size_t>(file.size_bytes));
    RUNNEL_TRY_VOID(reader.ReadAt(0, body));
    if (body.size() < ltx::kHeaderSize) return Fail(Errc::kCorruption, "shorter than a header");
    RUNNEL_TRY(surveyed.header, CheckedHeader(body, file));
    surveyed.body = std::make_shared<const Bytes>(std::move(body));
    return surveyed;
  }
  std::array<std::byte, ltx::kHeaderSize> bytes;
  RUNNEL_TRY_VOID(reader.ReadAt(0, bytes));
  RUNNEL_TRY(surveyed.header, CheckedHeader(bytes, file));
  return surveyed;
}

// Whose bodies to keep: the newest are read first, and hold the most that is not superseded.
std::vector<Fetch> ChooseBodies(std::span<const LtxFile> files, std::size_t room_bytes) {
  std::vector<Fetch> chosen(files.size(), Fetch::kHeader);
  for (std::size_t i = files.size(); i-- > 0;) {
    const std::uint64_t size_bytes = files[i].size_bytes;
    if (size_bytes > kSmallFileBytes) continue;
    if (size_bytes > room_bytes) break;
    room_bytes -= static_cast<std::size_t>(size_bytes);
    chosen[i] = Fetch::kWhole;
  }
  return chosen;
}

}  // namespace

Result<std::vector<SurveyedFile>> SurveyFiles(const Source& source, std::span<const LtxFile> files,
                                              const SurveyOptions& options,
                                              const std::stop_token& stop, FaultRecord& faults) {
  const std::vector<Fetch> fetch = ChooseBodies(files, options.bodies_max_bytes);
  std::vector<SurveyedFile> surveyed(files.size());
  RUNNEL_TRY_VOID(
      ParallelFor(files.size(), options.parallelism, stop, [&](std::size_t i) -> Result<void> {
        auto file = SurveyFile(source, files[i], fetch[i]);
        if (!file) return Fail(faults.AtFile(source, files[i], std::move(file).error()));
        surveyed[i] = *std::move(file);
        return {};
      }));
  return surveyed;
}

std::optional<std::size_t> FindChainBreak(std::span<const SurveyedFile> files) {
  for (std::size_t i = 1; i < files.size(); ++i) {
    const ltx::Header& older = files[i - 1].header;
    const ltx::Header& newer = files[i].header;
    if (newer.min_txid != Next(older.max_txid) || !older.chain || !newer.chain) continue;
    // A full copy starts the chain anew.
    const bool is_full_copy = newer.chain->before == DatabaseChecksum{0};
    if (!is_full_copy && newer.chain->before != older.chain->after) return i;
  }
  return std::nullopt;
}

}  // namespace runnel::restore
