#include "crypto/chacha20_poly1305.hpp"

#include <sodium.h>

#include <array>
#include <cstdint>
#include <cstring>

#include "crypto/secret.hpp"
#include "crypto/sodium_bytes.hpp"

#if HAWSER_OWN_CHACHA20_POLY1305
#include "crypto/chacha20.hpp"
#include "crypto/poly1305.hpp"
#endif

namespace hawser::chacha20_poly1305 {

static_assert(kKeySize == crypto_aead_chacha20poly1305_ietf_KEYBYTES);
static_assert(kNonceSize == crypto_aead_chacha20poly1305_ietf_NPUBBYTES);
static_assert(kTagSize == crypto_aead_chacha20poly1305_ietf_ABYTES);

namespace {

#if HAWSER_OWN_CHACHA20_POLY1305

static_assert(kTagSize == crypto_verify_16_BYTES);
static_assert(kShortTextSize == 3 * kChaCha20BlockSize);

// The key stream of one short text: block 0, whose first half is the key of the tag (section 2.6), and as
// many blocks as the text needs.
class ShortKeyStream {
 public:
  ShortKeyStream(std::size_t text_size, std::span<const std::byte, kKeySize> key,
                 std::span<const std::byte, kNonceSize> nonce) {
    if (text_size <= kChaCha20BlockSize) {
      chacha20_blocks<2>(bytes_, key, nonce, 0);
      used_ = 2 * kChaCha20BlockSize;
    } else if (text_size <= 2 * kChaCha20BlockSize) {
      chacha20_blocks<3>(bytes_, key, nonce, 0);
      used_ = 3 * kChaCha20BlockSize;
    } else {
      chacha20_blocks<4>(bytes_, key, nonce, 0);
      used_ = 4 * kChaCha20BlockSize;
    }
  }
  ShortKeyStream(const ShortKeyStream&) = delete;
  ShortKeyStream& operator=(const ShortKeyStream&) = delete;
  ~ShortKeyStream() { wipe(MutableBytes(bytes_, used_)); }

  [[nodiscard]] std::span<const std::byte, 32> tag_key() const {
    return std::span<const std::byte, 32>(bytes_, 32);
  }

  // Encrypts or decrypts (section 2.4).
  void apply_to(MutableBytes text) const {
    std::byte* at = text.data();
    const std::byte* with = bytes_ + kChaCha20BlockSize;
    std::size_t left = text.size();
    for (; left >= sizeof(chacha20::Row); left -= sizeof(chacha20::Row)) {
      const chacha20::Row mixed = chacha20::load_row(at) ^ chacha20::load_row(with);
      std::memcpy(at, &mixed, sizeof mixed);
      at += sizeof mixed;
      with += sizeof mixed;
    }
    for (; left > 0; --left) *at++ ^= *with++;
  }

 private:
  alignas(16) std::byte bytes_[4 * kChaCha20BlockSize];
  std::size_t used_;
};

// Section 2.8: the associated data and the ciphertext, each padded, and their lengths.
void compute_tag(std::span<std::byte, kTagSize> tag, std::span<const std::byte, 32> tag_key,
                 Bytes associated_data, Bytes ciphertext) {
  Poly1305 poly(tag_key);
  poly.padded(associated_data);
  poly.padded(ciphertext);
  poly.block(associated_data.size(), ciphertext.size());
  poly.finish(tag);
  wipe(std::as_writable_bytes(std::span(&poly, 1)));
}

void seal_short(MutableBytes text, std::span<std::byte, kTagSize> tag,
                std::span<const std::byte, kKeySize> key, std::span<const std::byte, kNonceSize> nonce,
                Bytes associated_data) {
  const ShortKeyStream key_stream(text.size(), key, nonce);
  key_stream.apply_to(text);
  compute_tag(tag, key_stream.tag_key(), associated_data, text);
}

bool open_short(MutableBytes text, std::span<const std::byte, kTagSize> tag,
                std::span<const std::byte, kKeySize> key, std::span<const std::byte, kNonceSize> nonce,
                Bytes associated_data) {
  const ShortKeyStream key_stream(text.size(), key, nonce);
  std::array<std::byte, kTagSize> expected;
  compute_tag(expected, key_stream.tag_key(), associated_data, text);
  const bool right = crypto_verify_16(sodium_bytes(Bytes(expected)), sodium_bytes(Bytes(tag))) == 0;
  // The right tag of a forged packet would let it be sent again with that tag.
  wipe(expected);
  if (right) {
    key_stream.apply_to(text);
  } else if (!text.empty()) {
    std::memset(text.data(), 0, text.size());
  }
  return right;
}

#endif

}  // namespace

void seal(MutableBytes text, std::span<std::byte, kTagSize> tag, std::span<const std::byte, kKeySize> key,
          std::span<const std::byte, kNonceSize> nonce, Bytes associated_data) {
#if HAWSER_OWN_CHACHA20_POLY1305
  if (text.size() <= kShortTextSize) {
    seal_short(text, tag, key, nonce, associated_data);
    return;
  }
#endif
  crypto_aead_chacha20poly1305_ietf_encrypt_detached(
      sodium_bytes(text), sodium_bytes(MutableBytes(tag)), nullptr, sodium_bytes(Bytes(text)), text.size(),
      sodium_bytes(associated_data), associated_data.size(), nullptr, sodium_bytes(Bytes(nonce)),
      sodium_bytes(Bytes(key)));
}

bool open(MutableBytes text, std::span<const std::byte, kTagSize> tag,
          std::span<const std::byte, kKeySize> key, std::span<const std::byte, kNonceSize> nonce,
          Bytes associated_data) {
#if HAWSER_OWN_CHACHA20_POLY1305
  if (text.size() <= kShortTextSize) return open_short(text, tag, key, nonce, associated_data);
#endif
  return crypto_aead_chacha20poly1305_ietf_decrypt_detached(
             sodium_bytes(text), nullptr, sodium_bytes(Bytes(text)), text.size(), sodium_bytes(Bytes(tag)),
             sodium_bytes(associated_data), associated_data.size(), sodium_bytes(Bytes(nonce)),
             sodium_bytes(Bytes(key))) == 0;
}

}  // namespace hawser::chacha20_poly1305
