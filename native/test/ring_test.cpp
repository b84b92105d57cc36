#include "base/ring.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

struct Entry {
  std::uint64_t value = 0;
  std::uint64_t other = 0;
  std::uint64_t third = 0;
};

TEST_CASE("ring: elements keep their numbers and order, whatever comes and goes") {
  SeededRandom random(1);
  BlockPool pool(SIZE_MAX, 1 << 20U);
  Ring<Entry> ring;
  std::deque<std::uint64_t> model;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  for (int i = 0; i < 50'000; ++i) {
    // It grows for a while, then it shrinks.
    const bool grows = (i / 1'000) % 2 == 0;
    if (random.below(3) < (grows ? 2U : 1U)) {
      const std::uint64_t value = random.u64();
      REQUIRE(ring.push(pool, Entry{value, ~value, 0}));
      model.push_back(value);
      ++end;
    } else if (!model.empty()) {
      REQUIRE(ring.front().value == model.front());
      ring.pop();
      model.pop_front();
      ++begin;
    }
    REQUIRE(ring.begin() == begin);
    REQUIRE(ring.end() == end);
    REQUIRE(ring.size() == model.size());
    REQUIRE(ring.empty() == model.empty());
    if (!model.empty()) {
      const std::size_t at = random.below(static_cast<std::uint32_t>(model.size()));
      REQUIRE(ring[begin + at].value == model[at]);
      REQUIRE(ring[begin + at].other == ~model[at]);
      REQUIRE(ring.back().value == model.back());
    }
    REQUIRE((pool.in_use() == 0) == model.empty());
  }
  ring.clear();
  CHECK(pool.in_use() == 0);
  CHECK(ring.begin() == end);
}

TEST_CASE("ring: without memory a push changes nothing, and what was reserved is there") {
  BlockPool pool(256, 0);
  Ring<Entry> ring;
  std::uint64_t pushed = 0;
  while (ring.push(pool, Entry{pushed, 0, 0})) ++pushed;
  CHECK(pushed == ring.capacity());
  CHECK(ring.size() == pushed);
  CHECK_FALSE(ring.reserve(pool));
  for (std::uint64_t i = 0; i < pushed; ++i) CHECK(ring[i].value == i);
  ring.pop();
  CHECK(ring.reserve(pool));
  CHECK(ring.push(pool, Entry{}));
  Ring<Entry> none;
  CHECK_FALSE(none.push(pool, Entry{}));
  CHECK(none.capacity() == 0);
}

TEST_CASE("ring: steady traffic allocates nothing") {
  BlockPool pool(SIZE_MAX, 1 << 20U);
  Ring<Entry> ring;
  const auto turn = [&] {
    for (int i = 0; i < 20; ++i) REQUIRE(ring.push(pool, Entry{}));
    while (!ring.empty()) ring.pop();
  };
  turn();
  const AllocationCount allocations;
  for (int i = 0; i < 100; ++i) turn();
  CHECK(allocations.count() == 0);
}

}  // namespace
}  // namespace hawser
