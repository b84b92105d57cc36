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

TEST_CASE("byte ring: bytes stay at their offsets") {
  SeededRandom random(2);
  BlockPool pool(SIZE_MAX, 1 << 20U);
  ByteRing ring;
  std::vector<std::byte> all;
  std::uint64_t begin = 0;
  for (int i = 0; i < 5'000; ++i) {
    const bool grows = (i / 200) % 2 == 0;
    if (random.below(3) < (grows ? 2U : 1U)) {
      std::vector<std::byte> bytes(random.below(700));
      random.fill(bytes);
      REQUIRE(ring.reserve(pool, bytes.size()));
      // Whatever is not appended at once is appended in pieces.
      const std::size_t first = bytes.empty() ? 0 : random.below(static_cast<std::uint32_t>(bytes.size()));
      ring.append(Bytes(bytes).first(first));
      ring.append(Bytes(bytes).subspan(first));
      all.insert(all.end(), bytes.begin(), bytes.end());
    } else {
      begin += random.below(static_cast<std::uint32_t>(all.size() - begin + 1));
      ring.drop_to(begin);
    }
    REQUIRE(ring.begin() == begin);
    REQUIRE(ring.end() == all.size());
    const std::uint64_t from = begin + random.below(static_cast<std::uint32_t>(ring.size() + 1));
    std::vector<std::byte> copy(random.below(static_cast<std::uint32_t>(ring.end() - from + 1)));
    ring.copy(from, copy);
    REQUIRE(std::equal(copy.begin(), copy.end(), all.begin() + static_cast<std::ptrdiff_t>(from)));
    if (ring.size() == 0 && begin > 0) REQUIRE((pool.in_use() == 0 || i == 0 || all.size() == begin));
  }
  ring.drop_to(ring.end());
  CHECK(pool.in_use() == 0);
}

TEST_CASE("byte ring: without memory nothing changes") {
  BlockPool pool(2048, 0);
  ByteRing ring;
  REQUIRE(ring.reserve(pool, 1500));
  ring.append(std::vector<std::byte>(1500, std::byte{7}));
  CHECK_FALSE(ring.reserve(pool, 1000));
  CHECK(ring.reserve(pool, 500));
  std::vector<std::byte> copy(1500);
  ring.copy(0, copy);
  CHECK(std::ranges::all_of(copy, [](std::byte byte) { return byte == std::byte{7}; }));
}

TEST_CASE("ring: steady traffic allocates nothing") {
  BlockPool pool(SIZE_MAX, 1 << 20U);
  Ring<Entry> ring;
  ByteRing bytes;
  const std::vector<std::byte> data(100);
  const auto turn = [&] {
    for (int i = 0; i < 20; ++i) {
      REQUIRE(ring.push(pool, Entry{}));
      REQUIRE(bytes.reserve(pool, data.size()));
      bytes.append(data);
    }
    while (!ring.empty()) ring.pop();
    bytes.drop_to(bytes.end());
  };
  turn();
  const AllocationCount allocations;
  for (int i = 0; i < 100; ++i) turn();
  CHECK(allocations.count() == 0);
}

}  // namespace
}  // namespace hawser
