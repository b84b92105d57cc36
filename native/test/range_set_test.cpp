#include "base/range_set.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

constexpr std::size_t kMany = 10'000;

std::size_t runs_in(const std::vector<bool>& bytes) {
  std::size_t runs = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) runs += bytes[i] && (i == 0 || !bytes[i - 1]) ? 1U : 0U;
  return runs;
}

TEST_CASE("range set: every byte is visited once, when it first comes") {
  SeededRandom random(1);
  for (int round = 0; round < 100; ++round) {
    BlockPool pool(SIZE_MAX, 1 << 16U);
    const std::uint32_t length = 1 + random.below(round % 2 == 0 ? 100 : 1'000);
    const std::uint32_t longest = 1 + random.below(length);
    RangeSet set;
    std::vector<bool> there(length);
    for (int i = 0; i < 100; ++i) {
      const std::uint32_t begin = random.below(length);
      const std::uint32_t end = std::min(length, begin + 1 + random.below(longest));
      std::vector<bool> visited(length);
      std::uint32_t last = begin;
      REQUIRE(set.add(pool, kMany, begin, end, [&](std::uint32_t from, std::uint32_t to) {
        REQUIRE(last <= from);
        REQUIRE(from < to);
        REQUIRE(to <= end);
        last = to;
        for (std::uint32_t at = from; at < to; ++at) visited[at] = true;
      }) == RangeSet::Added::kDone);
      std::vector<bool> wanted(length);
      for (std::uint32_t at = begin; at < end; ++at) {
        wanted[at] = !there[at];
        there[at] = true;
      }
      REQUIRE(visited == wanted);
      REQUIRE(set.count() == runs_in(there));
      const auto gap = std::ranges::find(there, false);
      REQUIRE(set.covers(length) == (gap == there.end()));
      REQUIRE(set.covers(static_cast<std::uint32_t>(gap - there.begin())));
    }
  }
}

TEST_CASE("range set: what touches becomes one") {
  BlockPool pool(SIZE_MAX, 0);
  RangeSet set;
  const auto add = [&](std::uint32_t begin, std::uint32_t end) {
    REQUIRE(set.add(pool, kMany, begin, end, [](std::uint32_t, std::uint32_t) {}) == RangeSet::Added::kDone);
  };
  add(10, 20);
  add(30, 40);
  CHECK(set.count() == 2);
  add(20, 30);
  CHECK(set.count() == 1);
  add(0, 10);
  add(UINT32_MAX - 1, UINT32_MAX);
  CHECK(set.count() == 2);
  CHECK(set.covers(40));
  CHECK_FALSE(set.covers(41));
  CHECK(set.covers(0));
}

TEST_CASE("range set: too many, or no memory, changes nothing") {
  BlockPool pool(128, 0);
  RangeSet set;
  const auto add = [&](std::uint32_t begin, std::size_t most) {
    bool visited = false;
    const auto added =
        set.add(pool, most, begin, begin + 1, [&](std::uint32_t, std::uint32_t) { visited = true; });
    CHECK(visited == (added == RangeSet::Added::kDone));
    return added;
  };
  std::uint32_t next = 0;
  for (; next < 8; ++next) CHECK(add(2 * next, kMany) == RangeSet::Added::kDone);
  // A few need no memory.
  CHECK(pool.in_use() == 0);
  CHECK(set.memory_for(1) > 0);
  CHECK(add(100, 8) == RangeSet::Added::kTooMany);
  while (add(2 * next, kMany) == RangeSet::Added::kDone) ++next;
  CHECK(next == 16);
  CHECK(set.count() == 16);
  // What closes a gap needs none.
  CHECK(add(1, 0) == RangeSet::Added::kDone);
  CHECK(set.count() == 15);
}

TEST_CASE("range set: no more memory is taken than was said") {
  SeededRandom random(3);
  BlockPool pool(SIZE_MAX, 0);
  RangeSet set;
  for (std::uint32_t i = 0; i < 2'000; ++i) {
    const std::size_t said = set.memory_for(1);
    const std::size_t before = pool.in_use();
    const std::uint32_t begin = 2 * random.below(4'000);
    REQUIRE(set.add(pool, kMany, begin, begin + 1, [](std::uint32_t, std::uint32_t) {}) ==
            RangeSet::Added::kDone);
    REQUIRE(pool.in_use() <= before + said);
  }
}

}  // namespace
}  // namespace hawser
