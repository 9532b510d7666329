#include "ltx/merge.h"

#include <fmt/format.h>

#include <algorithm>
#include <queue>
#include <utility>

#include "ltx/decoder.h"
#include "ltx/layout.h"

namespace runnel::ltx {
namespace {

// What all inputs together may read ahead, within what is sensible for one.
constexpr std::size_t kReadAheadTotal = std::size_t{4} * 1024 * 1024;
constexpr std::size_t kReadAheadMin = std::size_t{8} * 1024;
constexpr std::size_t kReadAheadMax = std::size_t{64} * 1024;

class Input {
 public:
  Input(ByteSource& source, DecoderOptions options) : decoder_(source, options) {}

  Result<void> Start() {
    RUNNEL_TRY(header_, decoder_.ReadHeader());
    page_.resize(header_.page_size);
    return {};
  }

  // Steps to the next page; after the last one the file is proven.
  Result<void> Advance() {
    auto entry = decoder_.ReadPage(page_);
    if (!entry) return Fail(Name(entry.error()));
    page_no_ = *entry ? std::optional((*entry)->page_no) : std::nullopt;
    if (page_no_) return {};
    if (auto trailer = decoder_.Finish(); !trailer) return Fail(Name(trailer.error()));
    return {};
  }

  const Header& header() const { return header_; }
  std::optional<PageNo> page_no() const { return page_no_; }  // nothing at the end
  ByteView page() const { return page_; }
  EncodedPage encoded_page() const { return decoder_.encoded_page(); }

 private:
  Error Name(const Error& error) const {
    return error.Context(
        fmt::format("{}-{}", FormatTxid(header_.min_txid), FormatTxid(header_.max_txid)));
  }

  Decoder decoder_;
  Header header_;
  std::optional<PageNo> page_no_;
  Bytes page_;
};

using Inputs = std::vector<std::unique_ptr<Input>>;

std::string Range(const Header& header) {
  return fmt::format("{}-{}", FormatTxid(header.min_txid), FormatTxid(header.max_txid));
}

bool Adjoin(const Header& older, const Header& newer) {
  return newer.min_txid == Next(older.max_txid);
}

Result<void> CheckPair(const Header& older, const Header& newer) {
  const bool touches = ToInt(newer.min_txid) - 1 <= ToInt(older.max_txid);
  if (!touches || newer.max_txid <= older.max_txid) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("{} does not continue {}", Range(newer), Range(older)));
  }
  if (newer.page_size != older.page_size) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("{} has pages of {} bytes, {} of {}", Range(newer), newer.page_size,
                            Range(older), older.page_size));
  }
  const bool both = older.chain && newer.chain;
  // What holds all pages may follow anything.
  if (both && Adjoin(older, newer) && !newer.HoldsAllPages() &&
      newer.chain->before != older.chain->after) {
    return Fail(Errc::kCorruption,
                fmt::format("the chain breaks at txid {}: it begins at {:016x}, the txid before "
                            "ended at {:016x}",
                            FormatTxid(newer.min_txid), ToInt(newer.chain->before),
                            ToInt(older.chain->after)));
  }
  return {};
}

// Inputs that overlap say nothing of the state in which the newer one begins. Where all pages are
// there, they prove the chain instead.
std::optional<Chain> MergedChain(const Inputs& inputs) {
  const Header& first = inputs.front()->header();
  const Header& last = inputs.back()->header();
  const auto has_chain = [](const auto& input) { return input->header().chain.has_value(); };
  if (!std::ranges::all_of(inputs, has_chain)) return std::nullopt;
  for (std::size_t i = 1; i < inputs.size() && !first.HoldsAllPages(); ++i) {
    if (!Adjoin(inputs[i - 1]->header(), inputs[i]->header())) return std::nullopt;
  }
  return Chain{.before = first.chain->before, .after = last.chain->after};
}

Result<Header> MergedHeader(const Inputs& inputs,
                            const std::optional<DatabaseChecksum>& snapshot_checksum) {
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    RUNNEL_TRY_VOID(CheckPair(inputs[i - 1]->header(), inputs[i]->header()));
  }
  const Header& first = inputs.front()->header();
  const Header& last = inputs.back()->header();
  if (last.commit_pages == 0) {
    return Fail(
        Errc::kUnsupported,
        fmt::format("{} leaves an empty database, which a merged file cannot hold", Range(last)));
  }
  Header merged{.page_size = first.page_size,
                .commit_pages = last.commit_pages,
                .min_txid = first.min_txid,
                .max_txid = last.max_txid,
                .timestamp = last.timestamp};
  if (!snapshot_checksum) {
    merged.chain = MergedChain(inputs);
    return merged;
  }
  if (!merged.IsSnapshot()) {
    return Fail(Errc::kInvalidArgument,
                fmt::format("a snapshot begins at txid 1, not at {}", FormatTxid(merged.min_txid)));
  }
  merged.chain = Chain{.before = DatabaseChecksum{0}, .after = *snapshot_checksum};
  return merged;
}

class Merger {
 public:
  Merger(Inputs inputs, Encoder& encoder, const Header& header)
      : inputs_(std::move(inputs)),
        encoder_(encoder),
        header_(header),
        lock_page_(LockPage(header.page_size)) {}

  Result<void> Run() {
    for (std::size_t i = 0; i < inputs_.size(); ++i) RUNNEL_TRY_VOID(Advance(i));
    PageNo last{};
    while (!heads_.empty()) {
      const Head head = heads_.top();
      heads_.pop();
      // The newest copy of a page comes first; the older ones behind it are only read past.
      if (head.page_no != last) {
        RUNNEL_TRY_VOID(Write(last, head));
        last = head.page_no;
      }
      RUNNEL_TRY_VOID(Advance(head.input));
    }
    return {};
  }

 private:
  struct Head {
    PageNo page_no{};
    std::size_t input = 0;  // a larger one is newer
  };
  // Makes the lowest page the top of the heap, and of equal ones the newest.
  struct IsLater {
    bool operator()(const Head& a, const Head& b) const {
      return a.page_no != b.page_no ? a.page_no > b.page_no : a.input < b.input;
    }
  };

  Result<void> Advance(std::size_t i) {
    RUNNEL_TRY_VOID(inputs_[i]->Advance());
    if (const auto page_no = inputs_[i]->page_no()) heads_.push({.page_no = *page_no, .input = i});
    return {};
  }

  Result<void> Write(PageNo last, const Head& head) {
    if (ToInt(head.page_no) > header_.commit_pages) return {};
    const PageNo expected = NextStored(last, lock_page_);
    if (header_.HoldsAllPages() && head.page_no != expected) {
      return Fail(Errc::kCorruption, fmt::format("page {} of {} is in none of its {} inputs",
                                                 ToInt(expected), Range(header_), inputs_.size()));
    }
    const Input& input = *inputs_[head.input];
    return encoder_.CopyPage(head.page_no, input.page(), input.encoded_page());
  }

  const Inputs inputs_;
  Encoder& encoder_;
  const Header header_;
  const PageNo lock_page_;
  std::priority_queue<Head, std::vector<Head>, IsLater> heads_;
};

}  // namespace

Result<MergeResult> Merge(std::span<ByteSource* const> sources, ByteSink& output,
                          MergeOptions options) {
  if (sources.empty()) return Fail(Errc::kInvalidArgument, "nothing to merge");
  const DecoderOptions decoder_options{
      .read_ahead_bytes =
          std::clamp(kReadAheadTotal / sources.size(), kReadAheadMin, kReadAheadMax)};
  Inputs inputs;
  for (ByteSource* source : sources) {
    inputs.push_back(std::make_unique<Input>(*source, decoder_options));
    if (auto started = inputs.back()->Start(); !started) {
      return Fail(std::move(started).error().Context(
          fmt::format("input {} of {}", inputs.size(), sources.size())));
    }
  }
  RUNNEL_TRY(const Header header, MergedHeader(inputs, options.snapshot_checksum));

  Encoder encoder(output, options.encoder, std::move(options.index_spool));
  RUNNEL_TRY_VOID(encoder.WriteHeader(header));
  RUNNEL_TRY_VOID(Merger(std::move(inputs), encoder, header).Run());
  RUNNEL_TRY(const Trailer trailer, encoder.Finish());
  return MergeResult{.header = header, .trailer = trailer, .size_bytes = encoder.bytes_written()};
}

}  // namespace runnel::ltx
