// Poly1305 (RFC 8439 section 2.5). Compiles where chacha20_poly1305.hpp sets HAWSER_OWN_CHACHA20_POLY1305.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "base/bytes.hpp"

namespace hawser {

inline constexpr std::size_t kPoly1305BlockSize = 16;

// The accumulator of one message. It holds secrets: its owner wipes it.
class Poly1305 {
  __extension__ using Wide = unsigned __int128;

 public:
  // The first half of the key is r, clamped here (section 2.5: 22 of its bits are zero), the second s.
  explicit Poly1305(std::span<const std::byte, 32> key)
      : r0_(load_little_endian<std::uint64_t>(key.data()) & 0x0ffffffc0fffffffU),
        r1_(load_little_endian<std::uint64_t>(key.data() + 8) & 0x0ffffffc0ffffffcU),
        s0_(load_little_endian<std::uint64_t>(key.data() + 16)),
        s1_(load_little_endian<std::uint64_t>(key.data() + 24)) {}

  // Adds a whole block of 16 bytes, given as two words. Section 2.5.1 sets the bit above it, so that
  // h = (h + m) * r modulo 2^130 - 5 with m = low + 2^64 high + 2^128. Numbers are in base 2^64. Since
  // 2^130 = 5, 2^128 times a multiple of 4 is 5/4 of it: r1, whose low two bits are clamped, gives
  // r1 * 2^128 = r1 + r1 / 4.
  void block(std::uint64_t low, std::uint64_t high) {
    Wide sum = Wide{h0_} + low;
    const auto a0 = static_cast<std::uint64_t>(sum);
    sum = Wide{h1_} + high + (sum >> 64U);
    const auto a1 = static_cast<std::uint64_t>(sum);
    const std::uint64_t a2 = h2_ + 1 + static_cast<std::uint64_t>(sum >> 64U);

    // a2 <= 6 and r0, r1 < 2^60: d0 and d1 stay below 2^126, d2 below 2^63.
    const std::uint64_t folded_r1 = r1_ + (r1_ >> 2U);
    const Wide d0 = Wide{a0} * r0_ + Wide{a1} * folded_r1;
    const Wide d1 = Wide{a0} * r1_ + Wide{a1} * r0_ + a2 * folded_r1 + (d0 >> 64U);
    const std::uint64_t d2 = a2 * r0_ + static_cast<std::uint64_t>(d1 >> 64U);

    // What lies at and above 2^130 comes back at the bottom, five times: d2 / 4 * 4 and once more d2 / 4.
    sum = Wide{static_cast<std::uint64_t>(d0)} + ((d2 & ~std::uint64_t{3}) + (d2 >> 2U));
    h0_ = static_cast<std::uint64_t>(sum);
    sum = Wide{static_cast<std::uint64_t>(d1)} + (sum >> 64U);
    h1_ = static_cast<std::uint64_t>(sum);
    h2_ = (d2 & 3U) + static_cast<std::uint64_t>(sum >> 64U);
  }

  // Whole blocks, and the rest filled up with zeros to a whole one: pad16() of section 2.8.
  void padded(Bytes data) {
    const std::byte* at = data.data();
    std::size_t left = data.size();
    for (; left >= kPoly1305BlockSize; left -= kPoly1305BlockSize, at += kPoly1305BlockSize) {
      block(load_little_endian<std::uint64_t>(at), load_little_endian<std::uint64_t>(at + 8));
    }
    if (left == 0) return;
    std::byte last[kPoly1305BlockSize] = {};
    std::memcpy(last, at, left);
    block(load_little_endian<std::uint64_t>(last), load_little_endian<std::uint64_t>(last + 8));
  }

  void finish(std::span<std::byte, 16> tag) const {
    // h < 2p: g is h - p modulo 2^130, and taken when h + 5 reached 2^130, which is when h >= p.
    Wide sum = Wide{h0_} + 5;
    const auto g0 = static_cast<std::uint64_t>(sum);
    sum = Wide{h1_} + (sum >> 64U);
    const auto g1 = static_cast<std::uint64_t>(sum);
    const std::uint64_t g2 = h2_ + static_cast<std::uint64_t>(sum >> 64U);
    const std::uint64_t take_g = 0 - (g2 >> 2U);
    const std::uint64_t low = h0_ ^ ((h0_ ^ g0) & take_g);
    const std::uint64_t high = h1_ ^ ((h1_ ^ g1) & take_g);
    sum = Wide{low} + s0_;
    store_little_endian(tag.data(), static_cast<std::uint64_t>(sum));
    store_little_endian(tag.data() + 8, high + s1_ + static_cast<std::uint64_t>(sum >> 64U));
  }

 private:
  std::uint64_t r0_;
  std::uint64_t r1_;
  std::uint64_t s0_;
  std::uint64_t s1_;
  // h = h0 + 2^64 h1 + 2^128 h2 < 2^130 + 2^64 after each block, so h2 <= 4.
  std::uint64_t h0_ = 0;
  std::uint64_t h1_ = 0;
  std::uint64_t h2_ = 0;
};

}  // namespace hawser
