#include "base/segmented_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <deque>
#include <vector>

#include "allocation_counter.hpp"
#include "base/bytes.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

struct Entry {
  std::uint64_t value = 0;
  std::uint64_t other = 0;
};

using Entries = SegmentedQueue<Entry, 128>;
using ByteQueue = SegmentedQueue<std::byte, 256>;

void push(Entries& entries, std::uint64_t value) {
  REQUIRE(entries.reserve(1));
  entries.add() = Entry{value, ~value};
}

TEST_CASE("segmented queue: elements keep their number and place, whatever is released") {
  SeededRandom random(1);
  BlockPool pool(SIZE_MAX, 1 << 20U);
  Entries entries(pool);
  std::vector<std::uint64_t> live;
  for (int i = 0; i < 50'000; ++i) {
    const bool grows = (i / 1'000) % 2 == 0;
    if (random.below(3) < (grows ? 2U : 1U)) {
      const std::uint64_t number = entries.end();
      push(entries, number);
      REQUIRE(entries.end() == number + 1);
      live.push_back(number);
    } else if (!live.empty()) {
      const auto at = random.below(static_cast<std::uint32_t>(live.size()));
      std::swap(live[at], live.back());
      entries.release(live.back(), live.back() + 1);
      live.pop_back();
    }
    if (!live.empty()) {
      const std::uint64_t number = live[random.below(static_cast<std::uint32_t>(live.size()))];
      REQUIRE(entries.find(number) == &entries[number]);
      REQUIRE(entries[number].value == number);
      REQUIRE(entries[number].other == ~number);
    }
    REQUIRE((pool.in_use() == 0) == live.empty());
  }
}

TEST_CASE("segmented queue: memory behind an element that stays is given back") {
  BlockPool pool(SIZE_MAX, 1 << 20U);
  Entries entries(pool);
  for (std::uint64_t number = 0; number < 100'000; ++number) {
    push(entries, number);
    if (number > 0) entries.release(number, number + 1);
  }
  // The first segment, the last one, and 16 bytes in a table for each.
  CHECK(pool.in_use() <= 2 * 128 + std::bit_ceil(std::size_t{100'000} / 8 * 16));
  CHECK(entries.find(50'000) == nullptr);
  CHECK(entries[0].value == 0);
  push(entries, 7);
  CHECK(entries[100'000].value == 7);
  entries.release(100'000, 100'001);
  entries.release(0, 1);
  CHECK(pool.in_use() == 0);
}

TEST_CASE("segmented queue: bytes are copied across segments and released in any parts") {
  SeededRandom random(2);
  BlockPool pool(SIZE_MAX, 1 << 20U);
  ByteQueue queue(pool);
  struct Range {
    std::uint64_t first;
    std::vector<std::byte> bytes;
    // Parts that were not released, in no order.
    std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
  };
  std::vector<Range> ranges;
  for (int i = 0; i < 5'000; ++i) {
    const bool grows = (i / 200) % 2 == 0;
    if (random.below(3) < (grows ? 2U : 1U)) {
      Range range{queue.end(), std::vector<std::byte>(1 + random.below(1'500)), {}};
      random.fill(range.bytes);
      REQUIRE(queue.reserve(range.bytes.size()));
      // What was reserved is appended in pieces.
      const std::size_t first = random.below(static_cast<std::uint32_t>(range.bytes.size()));
      queue.append(Bytes(range.bytes).first(first));
      queue.append(Bytes(range.bytes).subspan(first));
      for (std::uint64_t at = 0; at < range.bytes.size();) {
        const std::uint64_t end = std::min<std::uint64_t>(range.bytes.size(), at + 1 + random.below(400));
        range.parts.emplace_back(at, end);
        at = end;
      }
      ranges.push_back(std::move(range));
    } else if (!ranges.empty()) {
      const auto at = random.below(static_cast<std::uint32_t>(ranges.size()));
      Range& range = ranges[at];
      const std::uint64_t end = range.first + range.bytes.size();
      if (random.below(2) == 0 && !range.parts.empty()) {
        const auto part = random.below(static_cast<std::uint32_t>(range.parts.size()));
        std::swap(range.parts[part], range.parts.back());
        const auto [first, last] = range.parts.back();
        range.parts.pop_back();
        queue.release_part(range.first + first, range.first + last, range.first, end);
      } else {
        queue.release(range.first, end);
        std::swap(range, ranges.back());
        ranges.pop_back();
      }
    }
    if (!ranges.empty()) {
      const Range& range = ranges[random.below(static_cast<std::uint32_t>(ranges.size()))];
      for (const auto& [first, last] : range.parts) {
        std::vector<std::byte> copy(last - first);
        queue.copy(range.first + first, copy);
        REQUIRE(
            std::equal(copy.begin(), copy.end(), range.bytes.begin() + static_cast<std::ptrdiff_t>(first)));
      }
    }
    REQUIRE((pool.in_use() == 0) == ranges.empty());
  }
}

TEST_CASE("segmented queue: parts of a long range give memory back before the whole range") {
  BlockPool pool(SIZE_MAX, 1 << 20U);
  ByteQueue queue(pool);
  const std::vector<std::byte> bytes(10'000);
  REQUIRE(queue.reserve(bytes.size()));
  queue.append(bytes);
  const std::size_t before = pool.in_use();
  for (std::uint64_t at = 0; at < 9'000; at += 100) queue.release_part(at, at + 100, 0, 10'000);
  CHECK(pool.in_use() + 8'900 <= before + 256);
  queue.release(0, 10'000);
  CHECK(pool.in_use() == 0);
}

TEST_CASE("segmented queue: without memory there is no room, and nothing is lost") {
  BlockPool pool(1'024, 0);
  ByteQueue queue(pool);
  const std::vector<std::byte> bytes(500, std::byte{7});
  REQUIRE(queue.reserve(bytes.size()));
  queue.append(bytes);
  CHECK_FALSE(queue.reserve(1'000));
  REQUIRE(queue.reserve(12));
  std::vector<std::byte> copy(500);
  queue.copy(0, copy);
  CHECK(copy == bytes);
  queue.release(0, 500);
}

TEST_CASE("segmented queue: steady traffic allocates nothing") {
  BlockPool pool(SIZE_MAX, 1 << 20U);
  ByteQueue queue(pool);
  const std::vector<std::byte> data(100);
  const auto turn = [&] {
    const std::uint64_t first = queue.end();
    for (int i = 0; i < 20; ++i) {
      REQUIRE(queue.reserve(data.size()));
      queue.append(data);
    }
    queue.release(first, queue.end());
  };
  // Whatever place in a segment it begins at.
  for (int i = 0; i < 100; ++i) turn();
  const AllocationCount allocations;
  for (int i = 0; i < 100; ++i) turn();
  CHECK(allocations.count() == 0);
}

}  // namespace
}  // namespace hawser
