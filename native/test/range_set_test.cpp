#include "base/range_set.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

constexpr std::size_t kMany = 1'000'000;

// How many runs of bytes begin at one of `begin` to `end`.
std::size_t runs_from(const std::vector<bool>& bytes, std::size_t begin, std::size_t end) {
  std::size_t runs = 0;
  for (std::size_t i = begin; i <= end && i < bytes.size(); ++i)
    runs += bytes[i] && (i == 0 || !bytes[i - 1]) ? 1U : 0U;
  return runs;
}

TEST_CASE("range set: every byte is visited once, when it first comes") {
  SeededRandom random(1);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    BlockPool pool(SIZE_MAX, 1 << 20U);
    // Memory that is used again is not empty.
    for (std::size_t size = BlockPool::kLeast; size <= 1 << 16U; size *= 2) {
      const Block used = pool.acquire(size);
      std::ranges::fill(used.bytes(), std::byte{0xa5});
    }
    const std::uint32_t length = 1 + random.below(round % 3 == 0 ? 100 : round % 3 == 1 ? 1'000 : 300'000);
    const std::uint32_t longest = 1 + random.below(std::min(length, 10'000U));
    RangeSet set(length);
    std::vector<bool> there(length);
    std::size_t runs = 0;
    std::uint32_t received = 0;
    for (int i = 0; i < (length > 1'000 ? 20 : 100); ++i) {
      const std::uint32_t begin = random.below(length);
      const std::uint32_t end = std::min(length, begin + 1 + random.below(longest));
      // Only what begins from `begin` to `end` can change: looking at all bytes each time would take a
      // minute.
      runs -= runs_from(there, begin, end);
      std::uint32_t last = begin;
      std::uint32_t again = 0;
      REQUIRE(set.add(pool, kMany, begin, end, [&](std::uint32_t from, std::uint32_t to) {
        REQUIRE(last <= from);
        REQUIRE(from < to);
        REQUIRE(to <= end);
        last = to;
        for (std::uint32_t at = from; at < to; ++at) {
          again += there[at] ? 1U : 0U;
          there[at] = true;
        }
        received += to - from;
      }) == RangeSet::Added::kDone);
      REQUIRE(again == 0);
      std::uint32_t left_out = 0;
      for (std::uint32_t at = begin; at < end; ++at) left_out += there[at] ? 0U : 1U;
      REQUIRE(left_out == 0);
      runs += runs_from(there, begin, end);
      REQUIRE(set.count() == runs);
      REQUIRE(set.received() == received);
      REQUIRE(set.complete() == (set.received() == length));
    }
    REQUIRE(set.add(pool, kMany, 0, length, [](std::uint32_t, std::uint32_t) {}) == RangeSet::Added::kDone);
    REQUIRE(set.complete());
    REQUIRE(set.count() == 1);
  }
}

TEST_CASE("range set: what touches becomes one") {
  BlockPool pool(SIZE_MAX, 0);
  RangeSet set(1'000);
  const auto add = [&](std::uint32_t begin, std::uint32_t end) {
    REQUIRE(set.add(pool, kMany, begin, end, [](std::uint32_t, std::uint32_t) {}) == RangeSet::Added::kDone);
  };
  add(10, 20);
  add(30, 40);
  CHECK(set.count() == 2);
  add(20, 30);
  CHECK(set.count() == 1);
  add(0, 10);
  add(998, 999);
  CHECK(set.count() == 2);
  add(128, 192);
  add(64, 128);
  CHECK(set.count() == 3);
  add(40, 64);
  CHECK(set.count() == 2);
  add(0, 1'000);
  CHECK(set.count() == 1);
  CHECK(set.complete());
}

TEST_CASE("range set: too many, or no memory, changes nothing") {
  BlockPool pool(64, 0);
  RangeSet set(512);
  const auto add = [&](std::uint32_t begin, std::size_t most) {
    bool visited = false;
    const auto added =
        set.add(pool, most, begin, begin + 1, [&](std::uint32_t, std::uint32_t) { visited = true; });
    CHECK(visited == (added == RangeSet::Added::kDone));
    return added;
  };
  {
    const Block other = pool.acquire(64);
    CHECK(add(0, kMany) == RangeSet::Added::kNoMemory);
  }
  for (std::uint32_t i = 0; i < 8; ++i) CHECK(add(2 * i, 8) == RangeSet::Added::kDone);
  CHECK(add(100, 8) == RangeSet::Added::kTooMany);
  CHECK(set.count() == 8);
  // What is there already, what grows a range and what closes a gap form no further one.
  CHECK(set.add(pool, 0, 2, 3, [](std::uint32_t, std::uint32_t) {}) == RangeSet::Added::kDone);
  CHECK(add(15, 0) == RangeSet::Added::kDone);
  CHECK(set.count() == 8);
  CHECK(add(1, 0) == RangeSet::Added::kDone);
  CHECK(set.count() == 7);
}

TEST_CASE("range set: takes its memory once and no more than was said") {
  for (const std::uint32_t length : {1U, 64U, 65U, 4'096U, 65'536U, 100'000U, 16U << 20U}) {
    CAPTURE(length);
    BlockPool pool(RangeSet::memory_for(length), 0);
    RangeSet set(length);
    for (std::uint32_t i = 0; i < 200; ++i) {
      const std::uint32_t begin = length - 1 - std::min(length - 1, i * (length / 200));
      REQUIRE(set.add(pool, kMany, begin, begin + 1, [](std::uint32_t, std::uint32_t) {}) ==
              RangeSet::Added::kDone);
      REQUIRE(pool.in_use() == RangeSet::memory_for(length));
    }
    set.release();
    CHECK(pool.in_use() == 0);
  }
}

}  // namespace
}  // namespace hawser
