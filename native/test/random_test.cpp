#include "base/random.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

namespace hawser {
namespace {

TEST_CASE("seeded random: gives the published sequence of xoshiro256** seeded by splitmix64") {
  SeededRandom random(0);
  CHECK(random.u64() == 0x99ec5f36cb75f2b4U);
  CHECK(random.u64() == 0xbf6e1f784956452aU);
  CHECK(random.u64() == 0x1a5f849d4933e6e0U);
  CHECK(random.u64() == 0x6aa594f1262d2d2cU);
}

TEST_CASE("seeded random: fill is the little-endian sequence, and one seed gives one sequence") {
  SeededRandom numbers(0);
  SeededRandom bytes(0);
  std::array<std::byte, 20> filled{};
  bytes.fill(filled);
  CHECK(load_little_endian<std::uint64_t>(filled.data()) == numbers.u64());
  CHECK(load_little_endian<std::uint64_t>(filled.data() + 8) == numbers.u64());
  CHECK(load_little_endian<std::uint32_t>(filled.data() + 16) == static_cast<std::uint32_t>(numbers.u64()));
  CHECK(bytes.u64() == numbers.u64());
  CHECK(SeededRandom(1).u64() != SeededRandom(2).u64());
}

// Gives the words it is told to.
class ScriptedRandom final : public RandomSource {
 public:
  explicit ScriptedRandom(std::vector<std::uint64_t> words) : words_(std::move(words)) {}

  void fill(MutableBytes out) override {
    REQUIRE(out.size() == 8);
    store_little_endian(out.data(), words_.at(used_++));
  }

  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  std::vector<std::uint64_t> words_;
  std::size_t used_ = 0;
};

TEST_CASE("random below: stays below its bound and reaches all of it") {
  SeededRandom random(11);
  for (const std::uint32_t bound : {1U, 2U, 3U, 7U, 64U, 100U}) {
    CAPTURE(bound);
    std::vector<int> seen(bound, 0);
    for (std::uint32_t i = 0; i < bound * 200; ++i) ++seen.at(random.below(bound));
    for (const int count : seen) CHECK(count > 100);
  }
}

TEST_CASE("random below: draws again where the words do not divide evenly") {
  // 2^32 mod 3 is 1: of all 32-bit words only 0 is surplus, since 0 * 3 has the low half 0.
  ScriptedRandom random({0, std::uint64_t{1} << 32U});
  CHECK(random.below(3) == 0);
  CHECK(random.used() == 2);
  ScriptedRandom top({UINT64_MAX});
  CHECK(top.below(3) == 2);
  // A power of two divides evenly: nothing is drawn again.
  ScriptedRandom even({0});
  CHECK(even.below(8) == 0);
  ScriptedRandom whole({UINT64_MAX});
  CHECK(whole.below(UINT32_MAX) == UINT32_MAX - 1);
}

}  // namespace
}  // namespace hawser
