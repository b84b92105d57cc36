#pragma once

#include <array>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/random.hpp"

namespace hawser {

// 128 secret bits, random per process and table. As two little-endian halves of the key bytes of the SipHash
// paper.
struct SipKey {
  std::uint64_t k0 = 0;
  std::uint64_t k1 = 0;
};

inline SipKey random_sip_key(RandomSource& random) {
  const std::uint64_t k0 = random.u64();
  return SipKey{k0, random.u64()};
}

// SipHash-c-d of Aumasson and Bernstein, "SipHash: a fast short-input PRF" (2012), fed eight bytes at a time.
template <int kCompressionRounds, int kFinalizationRounds>
class SipHasher {
 public:
  explicit SipHasher(const SipKey& key)
      : v0_(key.k0 ^ 0x736f6d6570736575U),
        v1_(key.k1 ^ 0x646f72616e646f6dU),
        v2_(key.k0 ^ 0x6c7967656e657261U),
        v3_(key.k1 ^ 0x7465646279746573U) {}

  // One full eight-byte block of the message, read little-endian.
  void block(std::uint64_t word) {
    v3_ ^= word;
    rounds<kCompressionRounds>();
    v0_ ^= word;
  }

  // The hash, given the last 0..7 bytes of the message, read little-endian, and the low byte of its whole
  // length.
  std::uint64_t finish(std::uint64_t tail, std::size_t total_bytes) {
    block(tail | (static_cast<std::uint64_t>(total_bytes) << 56U));
    v2_ ^= 0xffU;
    rounds<kFinalizationRounds>();
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  template <int kCount>
  void rounds() {
    for (int i = 0; i < kCount; ++i) {
      v0_ += v1_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v3_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ += v3_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ += v1_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  std::uint64_t v0_;
  std::uint64_t v1_;
  std::uint64_t v2_;
  std::uint64_t v3_;
};

template <int kCompressionRounds, int kFinalizationRounds>
std::uint64_t siphash(const SipKey& key, Bytes message) {
  SipHasher<kCompressionRounds, kFinalizationRounds> hasher(key);
  const std::size_t whole = message.size() & ~std::size_t{7};
  for (std::size_t at = 0; at < whole; at += 8) {
    hasher.block(load_little_endian<std::uint64_t>(message.data() + at));
  }
  std::uint64_t tail = 0;
  for (std::size_t at = message.size(); at-- > whole;) {
    tail = (tail << 8U) | std::to_integer<std::uint64_t>(message[at]);
  }
  return hasher.finish(tail, message.size());
}

// SipHash-1-3: the variant hash tables use against chosen-key floods. Not a message authentication code.
inline std::uint64_t siphash13(const SipKey& key, Bytes message) { return siphash<1, 3>(key, message); }

// hash_value is what HashMap calls for its keys, found by argument-dependent lookup through SipKey. A key
// type of another header brings its own overload; equal keys must give equal hashes.
template <std::integral T>
std::uint64_t hash_value(const SipKey& key, const T& value) {
  SipHasher<1, 3> hasher(key);
  hasher.block(static_cast<std::uint64_t>(value));
  return hasher.finish(0, sizeof(std::uint64_t));
}

template <std::size_t N>
std::uint64_t hash_value(const SipKey& key, const std::array<std::byte, N>& value) {
  return siphash13(key, value);
}

}  // namespace hawser
