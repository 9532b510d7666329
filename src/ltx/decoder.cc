#include "ltx/decoder.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>

#include "base/crc64.h"
#include "base/varint.h"
#include "ltx/chain.h"
#include "ltx/layout.h"
#include "ltx/page_codec.h"
#include "ltx/read_ahead.h"

namespace runnel::ltx {
namespace {

// A running hash of the index that the pages call for.
class IndexHash {
 public:
  IndexHash() : state_(XXH3_createState()) {
    RUNNEL_CHECK(state_ != nullptr);
    XXH3_64bits_reset(state_);
  }
  ~IndexHash() { XXH3_freeState(state_); }
  IndexHash(const IndexHash&) = delete;
  IndexHash& operator=(const IndexHash&) = delete;

  void Update(ByteView bytes) {
    XXH3_64bits_update(state_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }
  std::uint64_t value() const { return XXH3_64bits_digest(state_); }
  std::uint64_t size() const { return size_; }

 private:
  XXH3_state_t* state_;
  std::uint64_t size_ = 0;
};

}  // namespace

class Decoder::Impl {
 public:
  Impl(ByteSource& source, DecoderOptions options) : in_(source, options.read_ahead_bytes) {}

  Result<Header> ReadHeader();
  Result<std::optional<IndexEntry>> ReadPage(MutableBytes page);
  EncodedPage encoded_page() const { return encoded_page_; }
  Result<Trailer> Finish();

 private:
  enum class State : std::uint8_t { kStart, kPages, kIndex, kFinished };

  Result<Header> ParseStart();
  Result<std::optional<IndexEntry>> ParsePage(MutableBytes page);
  Result<Trailer> ParseEnd();
  Result<ByteView> PeekFrame(PageEncoding encoding);
  Result<void> CheckOrder(PageNo page_no) const;
  Result<void> CheckComplete() const;
  Result<void> CheckIndex();
  Result<void> CheckSums(const Trailer& trailer) const;
  Result<ByteView> TakeHashed(std::size_t size);
  void AddToIndex(const IndexEntry& entry);

  // Remembers the first failure, which every later call then repeats, and says where it was.
  template <class T>
  Result<T> Keep(Result<T> result) {
    if (result) return result;
    failure_ = std::move(result).error().Context(fmt::format("LTX file, byte {}", in_.offset()));
    return Fail(*failure_);
  }

  ReadAhead in_;
  State state_ = State::kStart;
  std::optional<Error> failure_;

  Header header_;
  PageNo lock_page_{};
  PageNo last_page_{};
  EncodedPage encoded_page_;
  Crc64 file_crc_;
  IndexHash index_;
  Bytes index_entry_;             // scratch
  ChainSum sum_;                  // of the pages, where they are all there
  std::uint64_t ltx_folded_ = 0;  // the same for LTX's own checksums
};

Result<Header> Decoder::Impl::ReadHeader() {
  if (failure_) return Fail(*failure_);
  RUNNEL_CHECK(state_ == State::kStart);
  return Keep(ParseStart());
}

Result<Header> Decoder::Impl::ParseStart() {
  RUNNEL_TRY(const ByteView bytes, in_.Peek(kHeaderSize));
  RUNNEL_TRY(header_, ParseHeader(bytes));
  file_crc_.Update(bytes);
  in_.Consume(kHeaderSize);
  in_.Reserve(FrameSizeMax(header_.page_size));
  lock_page_ = LockPage(header_.page_size);
  state_ = State::kPages;
  return header_;
}

Result<std::optional<IndexEntry>> Decoder::Impl::ReadPage(MutableBytes page) {
  if (failure_) return Fail(*failure_);
  RUNNEL_CHECK(state_ == State::kPages || state_ == State::kIndex);
  RUNNEL_CHECK(page.size() == header_.page_size);
  if (state_ == State::kIndex) return std::nullopt;
  return Keep(ParsePage(page));
}

Result<std::optional<IndexEntry>> Decoder::Impl::ParsePage(MutableBytes page) {
  RUNNEL_TRY(const ByteView start, in_.Peek(kPageHeaderSize));
  if (std::ranges::all_of(start, [](std::byte b) { return b == std::byte{0}; })) {
    RUNNEL_TRY_VOID(CheckComplete());
    RUNNEL_TRY_VOID(TakeHashed(kPageHeaderSize));
    state_ = State::kIndex;
    return std::nullopt;
  }
  RUNNEL_TRY(const PageHeader page_header, ParsePageHeader(start));
  RUNNEL_TRY_VOID(CheckOrder(page_header.page_no));
  const auto name_page = [&](const Error& error) {
    return error.Context(fmt::format("page {}", ToInt(page_header.page_no)));
  };
  const Result<ByteView> frame = PeekFrame(page_header.encoding);
  if (!frame) return Fail(name_page(frame.error()));
  if (auto decoded = DecodeFrame(page_header.encoding, *frame, page); !decoded) {
    return Fail(name_page(decoded.error()));
  }

  file_crc_.Update(frame->first(HashedPrefixSize(page_header.encoding)));
  file_crc_.Update(page);
  if (header_.HoldsAllPages() && header_.chain) {
    sum_.Add(PageChecksum(page_header.page_no, page));
  }
  if (header_.IsSnapshot() && header_.has_ltx_checksums) {
    ltx_folded_ = FoldLtxChecksum(ltx_folded_, LtxPageChecksum(page_header.page_no, page));
  }
  const IndexEntry entry{
      .page_no = page_header.page_no, .offset_bytes = in_.offset(), .size_bytes = frame->size()};
  AddToIndex(entry);
  encoded_page_ = {.encoding = page_header.encoding, .frame = *frame};
  in_.Consume(frame->size());
  last_page_ = page_header.page_no;
  return entry;
}

Result<ByteView> Decoder::Impl::PeekFrame(PageEncoding encoding) {
  RUNNEL_TRY(const ByteView prefix, in_.Peek(FramePrefixSize(encoding)));
  RUNNEL_TRY(const std::size_t size, FrameSize(encoding, prefix, header_.page_size));
  return in_.Peek(size);
}

Result<void> Decoder::Impl::CheckOrder(PageNo page_no) const {
  std::string_view rule;
  if (ToInt(page_no) > header_.commit_pages) {
    rule = "is past the commit size";
  } else if (page_no == lock_page_) {
    rule = "is the lock page";
  } else if (page_no <= last_page_) {
    rule = "does not ascend";
  } else if (header_.HoldsAllPages() && page_no != NextStored(last_page_, lock_page_)) {
    rule = "leaves a gap in a file of all pages";
  } else {
    return {};
  }
  return Fail(Errc::kCorruption,
              fmt::format("page {} {} (page before: {}, commit size: {})", ToInt(page_no), rule,
                          ToInt(last_page_), header_.commit_pages));
}

Result<void> Decoder::Impl::CheckComplete() const {
  if (!header_.HoldsAllPages() || last_page_ == LastStored(header_.commit_pages, lock_page_)) {
    return {};
  }
  return Fail(Errc::kCorruption, fmt::format("the file of all pages ends at page {} of {}",
                                             ToInt(last_page_), header_.commit_pages));
}

void Decoder::Impl::AddToIndex(const IndexEntry& entry) {
  index_entry_.clear();
  AppendVarint(index_entry_, ToInt(entry.page_no));
  AppendVarint(index_entry_, entry.offset_bytes);
  AppendVarint(index_entry_, entry.size_bytes);
  index_.Update(index_entry_);
}

Result<Trailer> Decoder::Impl::Finish() {
  if (failure_) return Fail(*failure_);
  RUNNEL_CHECK(state_ == State::kPages || state_ == State::kIndex);
  if (state_ == State::kPages) {
    Bytes scratch(header_.page_size);
    while (state_ == State::kPages) RUNNEL_TRY_VOID(ReadPage(scratch));
  }
  state_ = State::kFinished;
  return Keep(ParseEnd());
}

Result<Trailer> Decoder::Impl::ParseEnd() {
  RUNNEL_TRY_VOID(CheckIndex());
  RUNNEL_TRY(const ByteView bytes, in_.Peek(kTrailerSize));
  RUNNEL_TRY(const Trailer trailer, ParseTrailer(bytes));
  RUNNEL_TRY_VOID(CheckTrailer(trailer, header_));
  file_crc_.Update(bytes.first(sizeof(trailer.post_apply_checksum)));
  RUNNEL_TRY_VOID(CheckSums(trailer));
  in_.Consume(kTrailerSize);
  RUNNEL_TRY(const bool at_end, in_.AtEnd());
  if (!at_end) return Fail(Errc::kCorruption, "bytes after the trailer");
  return trailer;
}

// The pages say what the index has to be, byte for byte, so its bytes are compared by hash instead
// of parsed. That leaves no room for varints that are longer than they need to be.
Result<void> Decoder::Impl::CheckIndex() {
  constexpr std::size_t kPieceSize = 4096;
  IndexHash found;
  while (found.size() < index_.size()) {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(kPieceSize, index_.size() - found.size()));
    RUNNEL_TRY(const ByteView piece, TakeHashed(size));
    found.Update(piece);
  }
  if (found.value() != index_.value()) {
    return Fail(Errc::kCorruption, "the page index does not match the pages");
  }
  RUNNEL_TRY(const ByteView end, TakeHashed(1 + kIndexLengthSize));
  if (end[0] != std::byte{0}) return Fail(Errc::kCorruption, "the page index has too many pages");
  if (GetBigEndian<std::uint64_t>(end, 1) != index_.size() + 1) {
    return Fail(Errc::kCorruption, "the page index has a wrong length field");
  }
  return {};
}

Result<void> Decoder::Impl::CheckSums(const Trailer& trailer) const {
  if (ToInt(trailer.file_checksum) != (file_crc_.value() | kChecksumFlag)) {
    return Fail(Errc::kCorruption,
                fmt::format("file checksum is {:016x}, the content has {:016x}",
                            ToInt(trailer.file_checksum), file_crc_.value() | kChecksumFlag));
  }
  if (header_.HoldsAllPages() && header_.chain && sum_.value() != header_.chain->after) {
    return Fail(Errc::kCorruption,
                fmt::format("all pages add up to {:016x}, its chain says {:016x}",
                            ToInt(sum_.value()), ToInt(header_.chain->after)));
  }
  if (header_.IsSnapshot() && header_.has_ltx_checksums && header_.commit_pages != 0 &&
      trailer.post_apply_checksum != ltx_folded_) {
    return Fail(Errc::kCorruption, "post-apply checksum does not match the snapshot's pages");
  }
  return {};
}

// Valid until the next read.
Result<ByteView> Decoder::Impl::TakeHashed(std::size_t size) {
  RUNNEL_TRY(const ByteView bytes, in_.Peek(size));
  file_crc_.Update(bytes);
  in_.Consume(size);
  return bytes;
}

Decoder::Decoder(ByteSource& source, DecoderOptions options)
    : impl_(std::make_unique<Impl>(source, options)) {}

Decoder::~Decoder() = default;

Result<Header> Decoder::ReadHeader() { return impl_->ReadHeader(); }

Result<std::optional<IndexEntry>> Decoder::ReadPage(MutableBytes page) {
  return impl_->ReadPage(page);
}

EncodedPage Decoder::encoded_page() const { return impl_->encoded_page(); }

Result<Trailer> Decoder::Finish() { return impl_->Finish(); }

Result<void> DecodePageFrame(const IndexEntry& entry, ByteView frame, MutableBytes page) {
  const auto decode = [&]() -> Result<void> {
    const auto page_size = static_cast<std::uint32_t>(page.size());
    if (frame.size() < kPageHeaderSize) return Fail(Errc::kCorruption, "frame is cut short");
    RUNNEL_TRY(const PageHeader page_header, ParsePageHeader(frame));
    if (page_header.page_no != entry.page_no) {
      return Fail(Errc::kCorruption,
                  fmt::format("the frame holds page {}", ToInt(page_header.page_no)));
    }
    if (frame.size() < FramePrefixSize(page_header.encoding)) {
      return Fail(Errc::kCorruption, "frame is cut short");
    }
    RUNNEL_TRY(const std::size_t size, FrameSize(page_header.encoding, frame, page_size));
    if (frame.size() != size || entry.size_bytes != size) {
      return Fail(Errc::kCorruption,
                  fmt::format("frame of {} bytes where the index has {}", size, entry.size_bytes));
    }
    return DecodeFrame(page_header.encoding, frame, page);
  };
  RUNNEL_CHECK(IsValidPageSize(static_cast<std::uint32_t>(page.size())));
  auto decoded = decode();
  if (decoded) return decoded;
  return Fail(std::move(decoded).error().Context(
      fmt::format("page {} at byte {}", ToInt(entry.page_no), entry.offset_bytes)));
}

}  // namespace runnel::ltx
