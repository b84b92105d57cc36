#pragma once

#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/bytes.hpp"

namespace hawser {

// Where random bytes come from. The engine takes one as an argument, so that a simulation can repeat a run
// from a seed.
class RandomSource {
 public:
  RandomSource() = default;
  RandomSource(const RandomSource&) = delete;
  RandomSource& operator=(const RandomSource&) = delete;
  virtual ~RandomSource() = default;

  // Fills all of `out`. Cannot fail.
  virtual void fill(MutableBytes out) = 0;

  std::uint64_t u64() {
    std::array<std::byte, 8> bytes{};
    fill(bytes);
    return load_little_endian<std::uint64_t>(bytes.data());
  }

  // Uniform in [0, bound), without bias; bound > 0. Lemire, "Fast random integer generation in an interval"
  // (2019).
  std::uint32_t below(std::uint32_t bound) {
    assert(bound > 0);
    // 2^32 mod bound: products whose low half is below it belong to the surplus and are drawn again.
    const std::uint32_t surplus = (0U - bound) % bound;
    std::uint64_t product = 0;
    do {
      product = (u64() >> 32U) * bound;
    } while (static_cast<std::uint32_t>(product) < surplus);
    return static_cast<std::uint32_t>(product >> 32U);
  }
};

// xoshiro256** 1.0 of Blackman and Vigna, its state filled by splitmix64. One seed, one sequence on every
// platform. For tests and simulation only: it is predictable, and must never make a key, a nonce or a
// connection id of a real peer.
class SeededRandom final : public RandomSource {
 public:
  explicit SeededRandom(std::uint64_t seed) {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15U;
      std::uint64_t mixed = seed;
      mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
      mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
      word = mixed ^ (mixed >> 31U);
    }
  }

  // Each started eight bytes take one step of the generator, least significant byte first.
  void fill(MutableBytes out) override {
    while (!out.empty()) {
      std::array<std::byte, 8> bytes{};
      store_little_endian(bytes.data(), step());
      const std::size_t count = out.size() < bytes.size() ? out.size() : bytes.size();
      std::memcpy(out.data(), bytes.data(), count);
      out = out.subspan(count);
    }
  }

 private:
  std::uint64_t step() {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t shifted = state_[1] << 17U;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  std::array<std::uint64_t, 4> state_{};
};

}  // namespace hawser
