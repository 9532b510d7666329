#include "capture/position.h"

namespace runnel::capture {

void PutWalPosition(MutableBytes out, std::size_t offset, const WalPosition& position) {
  PutLittleEndian(out, offset, position.salts.salt1);
  PutLittleEndian(out, offset + 4, position.salts.salt2);
  PutLittleEndian(out, offset + 8, ToInt(position.frame));
  PutLittleEndian(out, offset + 12, position.checksum.s1);
  PutLittleEndian(out, offset + 16, position.checksum.s2);
}

WalPosition GetWalPosition(ByteView in, std::size_t offset) {
  return {.salts = {.salt1 = GetLittleEndian<std::uint32_t>(in, offset),
                    .salt2 = GetLittleEndian<std::uint32_t>(in, offset + 4)},
          .frame = FrameNo{GetLittleEndian<std::uint32_t>(in, offset + 8)},
          .checksum = {.s1 = GetLittleEndian<std::uint32_t>(in, offset + 12),
                       .s2 = GetLittleEndian<std::uint32_t>(in, offset + 16)}};
}

}  // namespace runnel::capture
