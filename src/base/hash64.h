// XXH3-64: for proving that bytes of our own came back as they were written. Not for secrets.

#pragma once

#include <cstdint>
#include <memory>

#include "base/bytes.h"

namespace runnel {

std::uint64_t Hash64(ByteView bytes);

// The same over bytes that come in pieces.
class Hasher64 {
 public:
  Hasher64();
  ~Hasher64();
  Hasher64(Hasher64&&) noexcept;
  Hasher64& operator=(Hasher64&&) noexcept;

  void Update(ByteView bytes);
  std::uint64_t value() const;
  void Reset();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace runnel
