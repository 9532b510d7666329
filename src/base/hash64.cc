#include "base/hash64.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace runnel {

struct Hasher64::State {
  XXH3_state_t xxh;
};

std::uint64_t Hash64(ByteView bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

Hasher64::Hasher64() : state_(std::make_unique<State>()) { Reset(); }
Hasher64::~Hasher64() = default;
Hasher64::Hasher64(Hasher64&&) noexcept = default;
Hasher64& Hasher64::operator=(Hasher64&&) noexcept = default;

void Hasher64::Update(ByteView bytes) {
  XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size());
}
std::uint64_t Hasher64::value() const { return XXH3_64bits_digest(&state_->xxh); }
void Hasher64::Reset() { XXH3_64bits_reset(&state_->xxh); }

}  // namespace runnel
