// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03, as in libsodium): one-shot, and with the subkey kept for a
// key epoch.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/bytes.hpp"
#include "crypto/secret.hpp"

namespace hawser {

inline constexpr std::size_t kTagSize = 16;
inline constexpr std::size_t kNonceSize = 24;
inline constexpr std::size_t kSaltSize = 16;

using Nonce = std::array<std::byte, kNonceSize>;
using NonceView = std::span<const std::byte, kNonceSize>;
using TagView = std::span<const std::byte, kTagSize>;

// Writes the ciphertext and then the 16-byte tag. `out` has exactly plaintext.size() + kTagSize bytes and may
// begin where the plaintext begins. A nonce must never be used twice with one key.
void seal(MutableBytes out, const Key& key, NonceView nonce, Bytes associated_data, Bytes plaintext);

// The reverse: `out` has exactly sealed.size() - kTagSize bytes and may begin where `sealed` begins. False
// when `sealed` is shorter than a tag or was not made by seal() with the same key, nonce and associated data;
// `out` is then zeros.
[[nodiscard]] bool open(MutableBytes out, const Key& key, NonceView nonce, Bytes associated_data,
                        Bytes sealed);

// The key of one direction in one epoch (docs/protocol.md section 5). The nonce of a packet is salt[16] ||
// u64 packet number; as the salt is constant within an epoch, the HChaCha20 subkey is computed once and only
// it is kept.
class PacketKey {
 public:
  // An all-zero subkey: a place to move a real one into.
  PacketKey() = default;

  [[nodiscard]] static PacketKey derive(const Key& key, std::span<const std::byte, kSaltSize> salt);

  // A key of ChaCha20-Poly1305 (RFC 8439) itself, whose nonce is four zero bytes and the packet number: what
  // netcode 1.02 seals with. It is what a derived one becomes within an epoch.
  [[nodiscard]] static PacketKey of(const Key& key);

  // `buffer` is the plaintext followed by kTagSize bytes of room; it becomes ciphertext and tag. A packet
  // number must never be sealed twice under one key. `buffer` has at least kTagSize bytes.
  void seal_in_place(std::uint64_t packet_number, Bytes associated_data, MutableBytes buffer) const;

  // `buffer` is ciphertext and tag; its first size - kTagSize bytes become the plaintext. False when it is
  // shorter than a tag or the tag does not verify; the ciphertext is then overwritten with zeros.
  [[nodiscard]] bool open_in_place(std::uint64_t packet_number, Bytes associated_data,
                                   MutableBytes buffer) const;

 private:
  Key subkey_;
};

}  // namespace hawser
