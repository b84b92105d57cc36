#include "io/spin_budget.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace hawser {
namespace {

using std::chrono::microseconds;

constexpr Duration kMost = microseconds(50);

SpinBudget spent_up() {
  SpinBudget spin(kMost);
  for (int i = 0; i < 10; ++i) spin.spent();
  return spin;
}

TEST_CASE("spin budget: halves with each time that was spent in vain, down to nothing") {
  SpinBudget spin(kMost);
  for (const int left : {50, 25, 12, 6, 3, 0, 0}) {
    CHECK(spin.budget() == microseconds(left));
    spin.spent();
  }
}

TEST_CASE("spin budget: work that came while looking restores all of it") {
  SpinBudget spin(kMost);
  spin.spent();
  spin.spent();
  spin.found();
  CHECK(spin.budget() == kMost);
}

TEST_CASE("spin budget: comes back by sleeps that a full budget would have covered, never beyond the most") {
  SpinBudget spin = spent_up();
  for (const int grown : {2, 4, 8, 16, 32, 50, 50}) {
    spin.slept(kMost);
    CHECK(spin.budget() == microseconds(grown));
  }
}

TEST_CASE("spin budget: a longer sleep changes nothing") {
  SpinBudget none = spent_up();
  none.slept(kMost + microseconds(1));
  CHECK(none.budget() == Duration::zero());
  SpinBudget half(kMost);
  half.spent();
  half.slept(kMost + microseconds(1));
  CHECK(half.budget() == kMost / 2);
}

TEST_CASE("spin budget: of zero stays zero, and one below the least never exceeds itself") {
  SpinBudget never(Duration::zero());
  never.slept(Duration::zero());
  never.found();
  never.spent();
  CHECK(never.budget() == Duration::zero());
  SpinBudget tiny(microseconds(1));
  tiny.spent();
  tiny.slept(Duration::zero());
  CHECK(tiny.budget() == microseconds(1));
}

}  // namespace
}  // namespace hawser
