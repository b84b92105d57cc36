#include "base/spsc_ring.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <optional>
#include <thread>

namespace hawser {
namespace {

TEST_CASE("spsc ring: gives what was pushed, oldest first, round and round") {
  SpscRing<int, 4> ring;
  CHECK(ring.empty());
  CHECK_FALSE(ring.pop().has_value());
  int pushed = 0;
  int popped = 0;
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i <= round % 4; ++i) REQUIRE(ring.push(pushed++));
    CHECK_FALSE(ring.empty());
    for (int i = 0; i <= round % 4; ++i) REQUIRE(ring.pop() == popped++);
    CHECK(ring.empty());
    CHECK_FALSE(ring.pop().has_value());
  }
}

TEST_CASE("spsc ring: takes as many as its capacity, and one more for each that is popped") {
  SpscRing<int, 4> ring;
  for (int i = 0; i < 4; ++i) REQUIRE(ring.push(i));
  for (int i = 4; i < 100; ++i) {
    REQUIRE_FALSE(ring.push(-1));
    REQUIRE(ring.pop() == i - 4);
    REQUIRE(ring.push(i));
  }
}

// Each value also names a cell that the pushing thread has written: ThreadSanitizer tells if it is not safe
// to read.
TEST_CASE("spsc ring: two threads pass a million values in order, with what was written before each") {
  constexpr std::uint32_t kValues = 1'000'000;
  std::array<std::uint32_t, 64> cells{};
  SpscRing<std::uint32_t, 16> there;
  SpscRing<std::uint32_t, 64> back;
  for (std::uint32_t cell = 0; cell < cells.size(); ++cell) REQUIRE(back.push(cell));
  std::uint32_t in_order = 0;
  std::thread reader([&] {
    for (std::uint32_t expected = 0; expected < kValues; ++expected) {
      std::optional<std::uint32_t> cell;
      while (!(cell = there.pop())) std::this_thread::yield();
      if (cells[*cell] == expected) ++in_order;
      cells[*cell] = 0;
      if (!back.push(*cell)) return;
    }
  });
  for (std::uint32_t value = 0; value < kValues; ++value) {
    std::optional<std::uint32_t> cell;
    while (!(cell = back.pop())) std::this_thread::yield();
    cells[*cell] = value;
    while (!there.push(*cell)) std::this_thread::yield();
  }
  reader.join();
  CHECK(in_order == kValues);
  CHECK(there.empty());
}

}  // namespace
}  // namespace hawser
