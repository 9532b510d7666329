// Makes WAL bytes for the tests, fuzzers and benchmarks of this folder.

#pragma once

#include <cstdint>

#include "wal/format.h"

namespace runnel::wal::testing {

// Writes a WAL of one generation. Knows the format from the description, not from the reader: the
// checksum is the plain loop.
class WalWriter {
 public:
  WalWriter(ByteOrder order, std::uint32_t page_size, Salts salts, std::uint32_t checkpoint_seq)
      : order_(order), salts_(salts) {
    bytes_.resize(kHeaderSize);
    PutBigEndian<std::uint32_t>(bytes_, 0, order == ByteOrder::kBig ? 0x377F0683 : 0x377F0682);
    PutBigEndian<std::uint32_t>(bytes_, 4, 3007000);
    PutBigEndian(bytes_, 8, page_size);
    PutBigEndian(bytes_, 12, checkpoint_seq);
    PutBigEndian(bytes_, 16, salts.salt1);
    PutBigEndian(bytes_, 20, salts.salt2);
    Sum(ByteView(bytes_).first(24));
    PutBigEndian(bytes_, 24, s1_);
    PutBigEndian(bytes_, 28, s2_);
  }

  WalWriter& Add(std::uint32_t page_no, std::uint32_t commit_pages, ByteView page) {
    Bytes header(kFrameHeaderSize);
    PutBigEndian(header, 0, page_no);
    PutBigEndian(header, 4, commit_pages);
    PutBigEndian(header, 8, salts_.salt1);
    PutBigEndian(header, 12, salts_.salt2);
    Sum(ByteView(header).first(8));
    Sum(page);
    PutBigEndian(header, 16, s1_);
    PutBigEndian(header, 20, s2_);
    bytes_.insert(bytes_.end(), header.begin(), header.end());
    bytes_.insert(bytes_.end(), page.begin(), page.end());
    return *this;
  }

  const Bytes& bytes() const { return bytes_; }

 private:
  void Sum(ByteView data) {
    for (std::size_t i = 0; i < data.size(); i += 8) {
      s1_ += GetInt<std::uint32_t>(data, i, order_) + s2_;
      s2_ += GetInt<std::uint32_t>(data, i + 4, order_) + s1_;
    }
  }

  ByteOrder order_;
  Salts salts_;
  std::uint32_t s1_ = 0;
  std::uint32_t s2_ = 0;
  Bytes bytes_;
};

}  // namespace runnel::wal::testing
