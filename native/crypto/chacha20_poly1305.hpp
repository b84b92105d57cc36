// ChaCha20-Poly1305 (RFC 8439 section 2.8), in place. Texts of up to kShortTextSize bytes have code of their
// own: for them libsodium computes the key of the tag and the key stream one after the other, and each alone
// leaves the processor waiting. Longer texts are libsodium's.
#pragma once

#include <cstddef>
#include <span>

#include "base/bytes.hpp"

// Vectors and 128-bit integers as GCC and clang have them, and rows that lie in memory as the standard's
// little-endian words. Elsewhere libsodium does everything.
#if defined(__GNUC__) && defined(__SIZEOF_INT128__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define HAWSER_OWN_CHACHA20_POLY1305 1
#else
#define HAWSER_OWN_CHACHA20_POLY1305 0
#endif

namespace hawser::chacha20_poly1305 {

inline constexpr std::size_t kKeySize = 32;
inline constexpr std::size_t kNonceSize = 12;
inline constexpr std::size_t kTagSize = 16;

// Three blocks of text: with the block of the tag's key they are as much as 16 vector registers hold. From
// 256 bytes on libsodium computes several blocks at once as well.
inline constexpr std::size_t kShortTextSize = 192;

// `text` becomes ciphertext, `tag` its tag. A nonce must never be used twice with one key. Nothing may
// overlap, and nothing needs to be aligned.
void seal(MutableBytes text, std::span<std::byte, kTagSize> tag, std::span<const std::byte, kKeySize> key,
          std::span<const std::byte, kNonceSize> nonce, Bytes associated_data);

// `text` is ciphertext and becomes plaintext once the tag is found to be right. False when it is not; `text`
// is then zeros.
[[nodiscard]] bool open(MutableBytes text, std::span<const std::byte, kTagSize> tag,
                        std::span<const std::byte, kKeySize> key,
                        std::span<const std::byte, kNonceSize> nonce, Bytes associated_data);

}  // namespace hawser::chacha20_poly1305
