#include "ltx/encoder.h"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <utility>

#include "base/varint.h"
#include "ltx/chain.h"
#include "ltx/layout.h"
#include "ltx/page_codec.h"

namespace runnel::ltx {
namespace {

constexpr std::size_t kFlushSize = std::size_t{64} * 1024;
constexpr std::size_t kIndexPieceSize = std::size_t{4} * 1024;

// Pieces, because a vector that grows holds its content twice for a moment.
class MemoryIndexSpool final : public IndexSpool {
 public:
  Result<void> Append(ByteView bytes) override {
    while (!bytes.empty()) {
      if (pieces_.empty() || pieces_.back().size() == kPieceSize) {
        pieces_.emplace_back();
        pieces_.back().reserve(pieces_.size() == 1 ? bytes.size() : kPieceSize);
      }
      Bytes& piece = pieces_.back();
      const ByteView part = bytes.first(std::min(bytes.size(), kPieceSize - piece.size()));
      piece.insert(piece.end(), part.begin(), part.end());
      bytes = bytes.subspan(part.size());
    }
    return {};
  }

  Result<void> CopyTo(ByteSink& sink) override {
    for (const Bytes& piece : pieces_) RUNNEL_TRY_VOID(sink.Append(piece));
    return {};
  }

 private:
  static constexpr std::size_t kPieceSize = std::size_t{64} * 1024;
  std::deque<Bytes> pieces_;
};

}  // namespace

std::unique_ptr<IndexSpool> MakeMemoryIndexSpool() { return std::make_unique<MemoryIndexSpool>(); }

class Encoder::Impl {
 public:
  Impl(ByteSink& sink, EncoderOptions options, std::unique_ptr<IndexSpool> index)
      : sink_(sink), index_(std::move(index)), compressor_(options.encoding) {}

  Result<void> WriteHeader(const Header& header);
  Result<void> WritePage(PageNo page_no, ByteView page);
  Result<void> CopyPage(PageNo page_no, ByteView page, const EncodedPage& encoded);
  Result<Trailer> Finish();

  std::uint64_t offset() const { return offset_; }

 private:
  enum class State : std::uint8_t { kStart, kPages, kFinished };

  // Hashes and appends what the spool gives back.
  class HashedSink final : public ByteSink {
   public:
    explicit HashedSink(Impl& encoder) : encoder_(encoder) {}
    Result<void> Append(ByteView bytes) override { return encoder_.AppendHashed(bytes); }

   private:
    Impl& encoder_;
  };

  bool IsAllowed(PageNo page_no) const;
  MutableBytes FreeRoom() { return {buffer_.get() + used_, capacity_ - used_}; }
  Result<void> AddFrame(PageNo page_no, ByteView page, std::size_t frame_size);
  Result<void> AddToIndex(PageNo page_no, std::uint64_t frame_size);
  Result<void> FlushIndex();
  Result<void> WriteIndex();
  Result<void> CheckComplete() const;
  Result<Trailer> WriteEnd();
  Result<void> AppendHashed(ByteView bytes);
  Result<void> Append(ByteView bytes);
  Result<void> Flush();

  // Remembers the first failure, which every later call then repeats.
  template <class T>
  Result<T> Keep(Result<T> result) {
    if (!result) failure_ = result.error();
    return result;
  }

  ByteSink& sink_;
  std::unique_ptr<IndexSpool> index_;
  PageCompressor compressor_;
  State state_ = State::kStart;
  std::optional<Error> failure_;

  Header header_;
  PageNo lock_page_{};
  PageNo last_page_{};
  Crc64 file_crc_;
  ChainSum sum_;              // of the pages, where they are all there
  std::uint64_t offset_ = 0;  // where the next byte goes in the file
  std::uint64_t index_size_ = 0;
  Bytes index_piece_;  // the end of the index, not yet given to the spool

  // Room for kFlushSize bytes and one frame or small piece more, so that frames are made in place.
  std::unique_ptr<std::byte[]> buffer_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

Result<void> Encoder::Impl::WriteHeader(const Header& header) {
  if (failure_) return Fail(*failure_);
  RUNNEL_CHECK(state_ == State::kStart);
  RUNNEL_CHECK(!header.has_ltx_checksums);
  const auto bytes = SerializeHeader(header);
  const auto parsed = ParseHeader(bytes);  // the rules are the decoder's
  RUNNEL_CHECK(parsed && *parsed == header);
  header_ = header;
  lock_page_ = LockPage(header.page_size);
  state_ = State::kPages;
  capacity_ = kFlushSize + FrameSizeMax(header.page_size);
  buffer_ = std::make_unique_for_overwrite<std::byte[]>(capacity_);
  return Keep(AppendHashed(bytes));
}

Result<void> Encoder::Impl::WritePage(PageNo page_no, ByteView page) {
  if (failure_) return Fail(*failure_);
  RUNNEL_CHECK(state_ == State::kPages);
  RUNNEL_CHECK(page.size() == header_.page_size);
  RUNNEL_CHECK(IsAllowed(page_no));
  if (used_ >= kFlushSize) {
    if (auto flushed = Keep(Flush()); !flushed) return flushed;
  }
  return Keep(AddFrame(page_no, page, compressor_.EncodeFrame(page_no, page, FreeRoom())));
}

Result<void> Encoder::Impl::CopyPage(PageNo page_no, ByteView page, const EncodedPage& encoded) {
  if (encoded.encoding != compressor_.encoding()) return WritePage(page_no, page);
  if (failure_) return Fail(*failure_);
  RUNNEL_CHECK(state_ == State::kPages);
  RUNNEL_CHECK(page.size() == header_.page_size);
  RUNNEL_CHECK(IsAllowed(page_no));
  RUNNEL_CHECK(encoded.frame.size() <= FrameSizeMax(header_.page_size));
  RUNNEL_CHECK(PageNo{GetBigEndian<std::uint32_t>(encoded.frame, 0)} == page_no);
  if (used_ >= kFlushSize) {
    if (auto flushed = Keep(Flush()); !flushed) return flushed;
  }
  std::ranges::copy(encoded.frame, FreeRoom().begin());
  return Keep(AddFrame(page_no, page, encoded.frame.size()));
}

bool Encoder::Impl::IsAllowed(PageNo page_no) const {
  if (ToInt(page_no) > header_.commit_pages || page_no == lock_page_) return false;
  return header_.HoldsAllPages() ? page_no == NextStored(last_page_, lock_page_)
                                 : page_no > last_page_;
}

// The frame lies at the front of FreeRoom().
Result<void> Encoder::Impl::AddFrame(PageNo page_no, ByteView page, std::size_t frame_size) {
  file_crc_.Update(FreeRoom().first(HashedPrefixSize(compressor_.encoding())));
  file_crc_.Update(page);
  if (header_.HoldsAllPages() && header_.chain) sum_.Add(PageChecksum(page_no, page));

  RUNNEL_TRY_VOID(AddToIndex(page_no, frame_size));
  used_ += frame_size;
  offset_ += frame_size;
  last_page_ = page_no;
  return {};
}

Result<void> Encoder::Impl::AddToIndex(PageNo page_no, std::uint64_t frame_size) {
  AppendVarint(index_piece_, ToInt(page_no));
  AppendVarint(index_piece_, offset_);
  AppendVarint(index_piece_, frame_size);
  return index_piece_.size() < kIndexPieceSize ? Result<void>() : FlushIndex();
}

Result<void> Encoder::Impl::FlushIndex() {
  index_size_ += index_piece_.size();
  RUNNEL_TRY_VOID(index_->Append(index_piece_));
  index_piece_.clear();
  return {};
}

Result<Trailer> Encoder::Impl::Finish() {
  if (failure_) return Fail(*failure_);
  RUNNEL_CHECK(state_ == State::kPages);
  state_ = State::kFinished;
  return Keep(WriteEnd());
}

Result<Trailer> Encoder::Impl::WriteEnd() {
  RUNNEL_TRY_VOID(CheckComplete());
  constexpr std::array<std::byte, kPageHeaderSize> kEndOfPages{};
  RUNNEL_TRY_VOID(AppendHashed(kEndOfPages));
  RUNNEL_TRY_VOID(WriteIndex());

  constexpr std::array<std::byte, sizeof(std::uint64_t)> kNoPostApplyChecksum{};
  file_crc_.Update(kNoPostApplyChecksum);
  const Trailer trailer{.post_apply_checksum = 0,
                        .file_checksum = FileChecksum{file_crc_.value() | kChecksumFlag}};
  RUNNEL_TRY_VOID(Append(SerializeTrailer(trailer)));
  RUNNEL_TRY_VOID(Flush());
  return trailer;
}

Result<void> Encoder::Impl::CheckComplete() const {
  if (!header_.HoldsAllPages()) return {};
  if (last_page_ != LastStored(header_.commit_pages, lock_page_)) {
    return Fail(Errc::kCorruption,
                fmt::format("the file ends at page {} of {}: page {} is missing", ToInt(last_page_),
                            header_.commit_pages, ToInt(NextStored(last_page_, lock_page_))));
  }
  if (header_.chain && sum_.value() != header_.chain->after) {
    return Fail(Errc::kCorruption,
                fmt::format("all pages of {} add up to {:016x}, the chain says {:016x}",
                            FormatTxid(header_.max_txid), ToInt(sum_.value()),
                            ToInt(header_.chain->after)));
  }
  return {};
}

Result<void> Encoder::Impl::WriteIndex() {
  index_piece_.push_back(std::byte{0});
  RUNNEL_TRY_VOID(FlushIndex());
  const std::uint64_t index_start = offset_;
  HashedSink hashed(*this);
  RUNNEL_TRY_VOID(index_->CopyTo(hashed));
  if (offset_ - index_start != index_size_) {
    return Fail(Errc::kInternal, fmt::format("the index spool took {} bytes and gave back {}",
                                             index_size_, offset_ - index_start));
  }
  std::array<std::byte, kIndexLengthSize> length;
  PutBigEndian(length, 0, index_size_);
  return AppendHashed(length);
}

Result<void> Encoder::Impl::AppendHashed(ByteView bytes) {
  file_crc_.Update(bytes);
  return Append(bytes);
}

Result<void> Encoder::Impl::Append(ByteView bytes) {
  offset_ += bytes.size();
  if (bytes.size() > capacity_ - used_) {
    RUNNEL_TRY_VOID(Flush());
    if (bytes.size() > capacity_) return sink_.Append(bytes);
  }
  std::ranges::copy(bytes, buffer_.get() + used_);
  used_ += bytes.size();
  return {};
}

Result<void> Encoder::Impl::Flush() {
  if (used_ == 0) return {};
  const std::size_t size = std::exchange(used_, 0);
  return sink_.Append(ByteView(buffer_.get(), size));
}

Encoder::Encoder(ByteSink& sink, EncoderOptions options, std::unique_ptr<IndexSpool> index)
    : impl_(std::make_unique<Impl>(sink, options, std::move(index))) {}

Encoder::~Encoder() = default;

Result<void> Encoder::WriteHeader(const Header& header) { return impl_->WriteHeader(header); }

Result<void> Encoder::WritePage(PageNo page_no, ByteView page) {
  return impl_->WritePage(page_no, page);
}

Result<void> Encoder::CopyPage(PageNo page_no, ByteView page, const EncodedPage& encoded) {
  return impl_->CopyPage(page_no, page, encoded);
}

Result<Trailer> Encoder::Finish() { return impl_->Finish(); }

std::uint64_t Encoder::bytes_written() const { return impl_->offset(); }

}  // namespace runnel::ltx
