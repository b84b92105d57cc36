// X25519 (RFC 7748).
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "base/random.hpp"
#include "crypto/secret.hpp"

namespace hawser {

inline constexpr std::size_t kShareSize = 32;

using Share = std::array<std::byte, kShareSize>;
using ShareView = std::span<const std::byte, kShareSize>;

struct KeyPair {
  Secret<32> secret;
  Share share{};  // the public key

  [[nodiscard]] static KeyPair generate(RandomSource& random);
  // The pair of a given secret (32 bytes, clamped as RFC 7748 section 5 says).
  [[nodiscard]] static KeyPair from_secret(std::span<const std::byte, 32> secret);
};

// The shared result of one's own secret and the other's share. False for an all-zero result (RFC 7748
// section 6.1), which a share of small order forces; `out` is then zeros.
[[nodiscard]] bool x25519(Secret<32>& out, const Secret<32>& secret, ShareView share);

}  // namespace hawser
