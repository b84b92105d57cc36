#include "engine/replay_window.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

using Verdict = ReplayWindow::Verdict;
using Ranges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

Ranges ranges_of(const ReplayWindow& window, std::size_t max) {
  Ranges ranges;
  window.for_each_range([&](std::uint64_t first, std::uint64_t last) {
    ranges.emplace_back(first, last);
    return ranges.size() < max;
  });
  return ranges;
}

// The rule of docs/protocol.md section 5, said with a set of all numbers ever recorded.
class Model {
 public:
  Verdict check(std::uint64_t number) const {
    if (!seen_.empty() && number < highest() && highest() - number >= 1024) return Verdict::kTooOld;
    return seen_.contains(number) ? Verdict::kReplayed : Verdict::kNew;
  }
  void record(std::uint64_t number) { seen_.insert(number); }
  std::uint64_t highest() const { return *seen_.rbegin(); }

  Ranges ranges(std::size_t max) const {
    Ranges ranges;
    for (auto number = seen_.rbegin(); number != seen_.rend() && highest() - *number < 1024; ++number) {
      if (!ranges.empty() && ranges.back().first == *number + 1) {
        ranges.back().first = *number;
      } else if (ranges.size() < max) {
        ranges.emplace_back(*number, *number);
      } else {
        break;
      }
    }
    return ranges;
  }

 private:
  std::set<std::uint64_t> seen_;
};

TEST_CASE("replay window: an empty window takes any number") {
  const ReplayWindow window;
  CHECK(window.empty());
  CHECK(window.highest() == 0);
  CHECK(window.check(0) == Verdict::kNew);
  CHECK(window.check(UINT64_MAX) == Verdict::kNew);
  CHECK(ranges_of(window, 32).empty());
}

TEST_CASE("replay window: number 0 is a number like any other") {
  ReplayWindow window;
  window.record(0);
  CHECK_FALSE(window.empty());
  CHECK(window.check(0) == Verdict::kReplayed);
  CHECK(window.check(1) == Verdict::kNew);
  CHECK(ranges_of(window, 32) == Ranges{{0, 0}});
}

TEST_CASE("replay window: 1,023 below the highest is inside, 1,024 below is too old") {
  ReplayWindow window;
  window.record(5000);
  CHECK(window.check(5000 - 1023) == Verdict::kNew);
  CHECK(window.check(5000 - 1024) == Verdict::kTooOld);
  window.record(5000 - 1023);
  CHECK(window.check(5000 - 1023) == Verdict::kReplayed);
  window.record(5001);
  CHECK(window.check(5000 - 1023) == Verdict::kTooOld);
}

TEST_CASE("replay window: a jump forgets exactly what falls out") {
  for (const std::uint64_t jump : {1U, 63U, 64U, 65U, 1022U, 1023U, 1024U, 1025U, 100'000U}) {
    CAPTURE(jump);
    ReplayWindow window;
    for (std::uint64_t number = 0; number < 1024; ++number) window.record(number);
    window.record(1023 + jump);
    for (std::uint64_t number = 0; number < 1024; ++number) {
      CAPTURE(number);
      const bool inside = 1023 + jump - number < 1024;
      CHECK(window.check(number) == (inside ? Verdict::kReplayed : Verdict::kTooOld));
    }
    for (std::uint64_t number = 1024; number < 1023 + jump; ++number) {
      if (1023 + jump - number < 1024) CHECK(window.check(number) == Verdict::kNew);
    }
  }
}

TEST_CASE("replay window: ranges go from the highest down and stop when no more are wanted") {
  ReplayWindow window;
  for (const std::uint64_t number : {1U, 2U, 3U, 10U, 12U, 13U}) window.record(number);
  CHECK(ranges_of(window, 32) == Ranges{{12, 13}, {10, 10}, {1, 3}});
  CHECK(ranges_of(window, 2) == Ranges{{12, 13}, {10, 10}});
  CHECK(ranges_of(window, 1) == Ranges{{12, 13}});
}

TEST_CASE("replay window: a full window is one range") {
  ReplayWindow window;
  for (std::uint64_t number = 0; number < 3000; ++number) window.record(number);
  CHECK(ranges_of(window, 32) == Ranges{{3000 - 1024, 2999}});
}

TEST_CASE("replay window: agrees with a set of all numbers, whatever the order of arrival") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    ReplayWindow window;
    Model model;
    // Starting points at both ends of the number space and across the 32-bit edge.
    const std::uint64_t starts[] = {0, 0xffff'ff00U, (std::uint64_t{1} << 62U) - 700, UINT64_MAX - 200'000};
    std::uint64_t next = starts[seed % 4];
    for (int step = 0; step < 1500; ++step) {
      const std::uint32_t kind = random.below(100);
      next += kind < 2 ? random.below(3000) : kind < 60 ? 1 : random.below(8);
      const std::uint64_t back = kind % 3 == 0 ? random.below(1400) : kind % 3 == 1 ? random.below(40) : 0;
      const std::uint64_t number = next - std::min(back, next);
      CAPTURE(number);
      const Verdict verdict = window.check(number);
      REQUIRE(verdict == model.check(number));
      if (verdict == Verdict::kNew) {
        window.record(number);
        model.record(number);
        REQUIRE(window.check(number) == Verdict::kReplayed);
      }
      REQUIRE(window.highest() == model.highest());
      if (step % 16 == 0) {
        REQUIRE(ranges_of(window, 32) == model.ranges(32));
        REQUIRE(ranges_of(window, 2000) == model.ranges(2000));
      }
    }
  }
}

}  // namespace
}  // namespace hawser
