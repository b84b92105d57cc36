// Ed25519 (RFC 8032) as libsodium verifies it: beyond the equation it refuses an S that is not below the
// order, an R or a public key of small order, and a public key that is not in its canonical form.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "base/bytes.hpp"

namespace hawser {

inline constexpr std::size_t kSignatureSize = 64;
inline constexpr std::size_t kSignaturePublicKeySize = 32;
inline constexpr std::size_t kSignatureSeedSize = 32;
// The seed and the public key behind it, which signing would compute again otherwise.
inline constexpr std::size_t kSignatureKeySize = 64;

using Signature = std::array<std::byte, kSignatureSize>;

// Writes the key of a seed, which may lie where the key begins.
void signature_key(std::span<std::byte, kSignatureKeySize> out,
                   std::span<const std::byte, kSignatureSeedSize> seed);

[[nodiscard]] Signature sign(std::span<const std::byte, kSignatureKeySize> key, Bytes message);

[[nodiscard]] bool verify(std::span<const std::byte, kSignaturePublicKeySize> public_key, Bytes message,
                          std::span<const std::byte, kSignatureSize> signature);

}  // namespace hawser
