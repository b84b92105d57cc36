#include "crypto/aead.hpp"

#include <sodium.h>

#include <cassert>

#include "crypto/chacha20_poly1305.hpp"
#include "crypto/sodium_bytes.hpp"

namespace hawser {

static_assert(kTagSize == crypto_aead_xchacha20poly1305_ietf_ABYTES);
static_assert(kNonceSize == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
static_assert(kSaltSize == crypto_core_hchacha20_INPUTBYTES);

namespace {

// What XChaCha20-Poly1305 leaves for the inner cipher: u32 0 || the last eight bytes of the 24.
std::array<std::byte, chacha20_poly1305::kNonceSize> inner_nonce(std::uint64_t packet_number) {
  std::array<std::byte, chacha20_poly1305::kNonceSize> nonce{};
  store_little_endian(nonce.data() + 4, packet_number);
  return nonce;
}

}  // namespace

void seal(MutableBytes out, const Key& key, NonceView nonce, Bytes associated_data, Bytes plaintext) {
  assert(out.size() == plaintext.size() + kTagSize);
  crypto_aead_xchacha20poly1305_ietf_encrypt(
      sodium_bytes(out), nullptr, sodium_bytes(plaintext), plaintext.size(), sodium_bytes(associated_data),
      associated_data.size(), nullptr, sodium_bytes(Bytes(nonce)), sodium_bytes(Bytes(key.bytes())));
}

bool open(MutableBytes out, const Key& key, NonceView nonce, Bytes associated_data, Bytes sealed) {
  if (sealed.size() < kTagSize) return false;
  assert(out.size() == sealed.size() - kTagSize);
  return crypto_aead_xchacha20poly1305_ietf_decrypt(sodium_bytes(out), nullptr, nullptr, sodium_bytes(sealed),
                                                    sealed.size(), sodium_bytes(associated_data),
                                                    associated_data.size(), sodium_bytes(Bytes(nonce)),
                                                    sodium_bytes(Bytes(key.bytes()))) == 0;
}

PacketKey PacketKey::derive(const Key& key, std::span<const std::byte, kSaltSize> salt) {
  PacketKey result;
  crypto_core_hchacha20(sodium_bytes(MutableBytes(result.subkey_.mutable_bytes())), sodium_bytes(Bytes(salt)),
                        sodium_bytes(Bytes(key.bytes())), nullptr);
  return result;
}

PacketKey PacketKey::of(const Key& key) {
  PacketKey result;
  result.subkey_ = Key{key.bytes()};
  return result;
}

void PacketKey::seal_in_place(std::uint64_t packet_number, Bytes associated_data, MutableBytes buffer) const {
  assert(buffer.size() >= kTagSize);
  chacha20_poly1305::seal(buffer.first(buffer.size() - kTagSize), buffer.last<kTagSize>(), subkey_.bytes(),
                          inner_nonce(packet_number), associated_data);
}

bool PacketKey::open_in_place(std::uint64_t packet_number, Bytes associated_data, MutableBytes buffer) const {
  if (buffer.size() < kTagSize) return false;
  return chacha20_poly1305::open(buffer.first(buffer.size() - kTagSize), buffer.last<kTagSize>(),
                                 subkey_.bytes(), inner_nonce(packet_number), associated_data);
}

}  // namespace hawser
