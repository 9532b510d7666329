#include "store/s3/digest.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/check.h"

namespace runnel::store::s3 {
namespace {

const unsigned char* Data(ByteView bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

template <std::size_t N>
std::array<std::byte, N> Digest(ByteView bytes, const EVP_MD* kind) {
  std::array<std::byte, N> digest;
  unsigned int size = 0;
  const int ok = EVP_Digest(bytes.data(), bytes.size(),
                            reinterpret_cast<unsigned char*>(digest.data()), &size, kind, nullptr);
  RUNNEL_CHECK(ok == 1 && size == N);
  return digest;
}

}  // namespace

Sha256Digest Sha256(ByteView bytes) { return Digest<32>(bytes, EVP_sha256()); }

Md5Digest Md5(ByteView bytes) { return Digest<16>(bytes, EVP_md5()); }

Sha256Digest HmacSha256(ByteView key, ByteView message) {
  Sha256Digest digest;
  unsigned int size = 0;
  const unsigned char* const ok =
      HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Data(message), message.size(),
           reinterpret_cast<unsigned char*>(digest.data()), &size);
  RUNNEL_CHECK(ok != nullptr && size == digest.size());
  return digest;
}

std::string Hex(ByteView bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += kDigits[std::to_integer<unsigned>(byte) >> 4];
    text += kDigits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

std::string Base64(ByteView bytes) {
  std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP writes a zero at the end
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), Data(bytes),
                                   static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

std::optional<Bytes> Base64Decode(std::string_view text) {
  if (text.size() % 4 != 0) return std::nullopt;
  Bytes bytes(text.size() / 4 * 3);
  const int size = EVP_DecodeBlock(reinterpret_cast<unsigned char*>(bytes.data()),
                                   Data(AsBytes(text)), static_cast<int>(text.size()));
  if (size < 0) return std::nullopt;
  // EVP decodes the padding to zero bytes.
  std::size_t padding = 0;
  while (padding < 2 && text.size() > padding && text[text.size() - 1 - padding] == '=') ++padding;
  bytes.resize(static_cast<std::size_t>(size) - padding);
  return bytes;
}

}  // namespace runnel::store::s3
