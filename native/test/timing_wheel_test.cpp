#include "base/timing_wheel.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr Instant at(Duration since_epoch) { return Instant(since_epoch); }

// Nodes cancel themselves when a test ends early, so that a failure is reported and not an assertion.
struct Timer : TimerNode {
  explicit Timer(TimingWheel& wheel) : wheel_(wheel) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { wheel_.cancel(*this); }

 private:
  TimingWheel& wheel_;
};

// How many timers an advance to `now` fires.
int fired_by(TimingWheel& wheel, Duration now) {
  int count = 0;
  wheel.advance(at(now), [&count](TimerNode&) { ++count; });
  return count;
}

TEST_CASE("timing wheel: fires at the first tick at or after the deadline, never before") {
  TimingWheel wheel(at(microseconds(500)));
  Timer timer(wheel);
  wheel.arm(timer, at(microseconds(10'300)));
  CHECK(timer.armed());
  CHECK(timer.deadline == at(microseconds(10'300)));
  CHECK(wheel.size() == 1);
  CHECK(fired_by(wheel, microseconds(10'299)) == 0);
  CHECK(fired_by(wheel, microseconds(10'999)) == 0);
  CHECK(fired_by(wheel, microseconds(11'000)) == 1);
  CHECK_FALSE(timer.armed());
  CHECK(timer.deadline == kNever);
  CHECK(wheel.size() == 0);
  CHECK(fired_by(wheel, milliseconds(100)) == 0);

  // A deadline on a tick fires on that tick.
  wheel.arm(timer, at(milliseconds(150)));
  CHECK(fired_by(wheel, microseconds(149'999)) == 0);
  CHECK(fired_by(wheel, milliseconds(150)) == 1);
}

TEST_CASE("timing wheel: a deadline in the past or at present fires at the next tick") {
  TimingWheel wheel(at(milliseconds(100)));
  Timer past(wheel);
  Timer present(wheel);
  Timer before_the_epoch(wheel);
  wheel.arm(past, at(milliseconds(3)));
  wheel.arm(present, at(milliseconds(100)));
  wheel.arm(before_the_epoch, at(milliseconds(-5)));
  CHECK(wheel.next_deadline() == at(milliseconds(101)));
  CHECK(fired_by(wheel, milliseconds(100)) == 0);
  CHECK(fired_by(wheel, milliseconds(101)) == 3);
}

TEST_CASE("timing wheel: arming again moves, kNever and cancel disarm") {
  TimingWheel wheel(at(Duration(0)));
  Timer timer(wheel);
  wheel.cancel(timer);
  wheel.arm(timer, at(milliseconds(5)));
  wheel.arm(timer, at(milliseconds(500)));
  CHECK(wheel.size() == 1);
  CHECK(fired_by(wheel, milliseconds(10)) == 0);
  wheel.arm(timer, at(milliseconds(12)));
  CHECK(fired_by(wheel, milliseconds(12)) == 1);
  wheel.arm(timer, at(milliseconds(20)));
  wheel.arm(timer, kNever);
  CHECK_FALSE(timer.armed());
  wheel.arm(timer, at(milliseconds(20)));
  wheel.cancel(timer);
  wheel.cancel(timer);
  CHECK(wheel.size() == 0);
  CHECK(wheel.next_deadline() == kNever);
  CHECK(fired_by(wheel, milliseconds(1000)) == 0);
}

TEST_CASE("timing wheel: time that goes back does nothing") {
  TimingWheel wheel(at(milliseconds(100)));
  Timer timer(wheel);
  wheel.arm(timer, at(milliseconds(101)));
  CHECK(fired_by(wheel, milliseconds(50)) == 0);
  CHECK(fired_by(wheel, milliseconds(101)) == 1);
}

TEST_CASE("timing wheel: a timer armed in the past by its own callback runs once per advance") {
  TimingWheel wheel(at(Duration(0)));
  Timer timer(wheel);
  wheel.arm(timer, at(milliseconds(1)));
  int fired = 0;
  const auto again = [&](TimerNode& node) {
    ++fired;
    wheel.arm(node, at(Duration(0)));
  };
  wheel.advance(at(hours(1)), again);
  CHECK(fired == 1);
  CHECK(wheel.next_deadline() == at(hours(1) + milliseconds(1)));
  wheel.advance(at(hours(1)), again);
  CHECK(fired == 1);
  wheel.advance(at(hours(1) + milliseconds(1)), again);
  CHECK(fired == 2);
}

TEST_CASE("timing wheel: what a callback arms for a time already reached waits for the next advance") {
  // From every level, so that no timer on its way down is fired early.
  for (const Duration first : {milliseconds(1), milliseconds(70), milliseconds(5000)}) {
    TimingWheel wheel(at(Duration(0)));
    Timer timer(wheel);
    Timer other(wheel);
    wheel.arm(timer, at(first));
    int others = 0;
    const auto fire = [&](TimerNode& node) {
      if (&node == &timer) {
        wheel.arm(other, at(first + milliseconds(1)));
      } else {
        ++others;
      }
    };
    wheel.advance(at(hours(2)), fire);
    CHECK(others == 0);
    wheel.advance(at(hours(2) + milliseconds(1)), fire);
    CHECK(others == 1);
  }
}

TEST_CASE("timing wheel: a callback may cancel the timers that fire with it") {
  TimingWheel wheel(at(Duration(0)));
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 10; ++i) {
    timers.push_back(std::make_unique<Timer>(wheel));
    wheel.arm(*timers.back(), at(milliseconds(i < 5 ? 100 : 101)));
  }
  int fired = 0;
  wheel.advance(at(milliseconds(200)), [&](TimerNode& fired_node) {
    ++fired;
    for (const auto& timer : timers) {
      if (timer.get() != &fired_node) wheel.cancel(*timer);
    }
  });
  CHECK(fired == 1);
  CHECK(wheel.size() == 0);
}

TEST_CASE("timing wheel: a callback may destroy the timer it is given") {
  TimingWheel wheel(at(Duration(0)));
  std::vector<std::unique_ptr<Timer>> timers;
  for (int i = 0; i < 10; ++i) {
    timers.push_back(std::make_unique<Timer>(wheel));
    wheel.arm(*timers.back(), at(milliseconds(100)));
  }
  wheel.advance(at(milliseconds(100)), [&](TimerNode& node) {
    std::erase_if(timers, [&node](const auto& timer) { return timer.get() == &node; });
  });
  CHECK(timers.empty());
}

TEST_CASE("timing wheel: a gap of any length costs nothing but what lies in it") {
  // A wheel that went through the ticks would not come back from this.
  const Duration year = hours(24 * 365);
  TimingWheel wheel(at(Duration(0)));
  Timer near(wheel);
  Timer far(wheel);
  Timer last(wheel);
  wheel.arm(near, at(milliseconds(3)));
  wheel.arm(far, at(year * 100'000));
  wheel.arm(last, kNever - microseconds(1));
  CHECK(fired_by(wheel, year * 99'999) == 1);
  CHECK(fired_by(wheel, year * 100'000 - milliseconds(1)) == 0);
  CHECK(fired_by(wheel, year * 100'000) == 1);
  CHECK(last.armed());
  CHECK(wheel.next_deadline() > at(year * 100'000));
  CHECK(wheel.next_deadline() < kNever);
}

TEST_CASE("timing wheel: sleeping until next_deadline fires every timer within its tick") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    Instant now = at(microseconds(random.below(10'000'000)));
    TimingWheel wheel(now);
    std::vector<std::unique_ptr<Timer>> timers;
    for (int i = 0; i < 40; ++i) {
      timers.push_back(std::make_unique<Timer>(wheel));
      // Spread over all magnitudes from a millisecond to days.
      wheel.arm(*timers.back(),
                now + milliseconds(1) + microseconds(random.u64() >> (24 + random.below(34))));
    }
    std::vector<Instant> deadlines(timers.size());
    std::transform(timers.begin(), timers.end(), deadlines.begin(),
                   [](const auto& timer) { return timer->deadline; });
    int wakes = 0;
    while (wheel.size() > 0) {
      const Instant next = wheel.next_deadline();
      REQUIRE(next > now);
      now = next;
      wheel.advance(now, [&](TimerNode& node) {
        const auto found = std::find_if(timers.begin(), timers.end(),
                                        [&node](const auto& timer) { return timer.get() == &node; });
        const Instant deadline = deadlines[static_cast<std::size_t>(found - timers.begin())];
        REQUIRE(now >= deadline);
        REQUIRE(now - deadline < TimingWheel::kTick);
      });
      ++wakes;
    }
    // At most once for each level that a timer goes down.
    CHECK(wakes <= 40 * 9);
  }
}

// The rule, told the slow way: each armed timer has the tick at which it is due.
class Model {
 public:
  Model(std::uint64_t now_tick, std::size_t timers) : now_(now_tick), due_(timers, kDisarmed) {}

  static constexpr std::uint64_t kDisarmed = UINT64_MAX;

  void arm(std::size_t timer, Instant deadline) {
    const auto micros = static_cast<std::uint64_t>(deadline.time_since_epoch().count());
    due_[timer] = std::max((micros + 999) / 1000, now_ + 1);
  }
  void disarm(std::size_t timer) { due_[timer] = kDisarmed; }
  void begin_advance(std::uint64_t tick) { now_ = std::max(now_, tick); }

  [[nodiscard]] std::uint64_t now() const { return now_; }
  [[nodiscard]] std::uint64_t due(std::size_t timer) const { return due_[timer]; }
  [[nodiscard]] std::uint64_t first_due() const { return *std::min_element(due_.begin(), due_.end()); }
  [[nodiscard]] std::size_t armed() const {
    return due_.size() - static_cast<std::size_t>(std::count(due_.begin(), due_.end(), kDisarmed));
  }

 private:
  std::uint64_t now_;
  std::vector<std::uint64_t> due_;
};

TEST_CASE("timing wheel: agrees with a naive model under random operations") {
  constexpr std::size_t kTimers = 60;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    // Some start near a boundary of many levels, where a slot number is most easily wrong.
    const std::int64_t boundary = std::int64_t{1} << (6 * (1 + random.below(5)));
    Duration now = random.below(2) == 0 ? Duration(random.u64() >> (8 + random.below(50)))
                                        : milliseconds(boundary - 1) + microseconds(random.below(1000));
    TimingWheel wheel(at(now));
    Model model(static_cast<std::uint64_t>(now / milliseconds(1)), kTimers);
    std::vector<std::unique_ptr<Timer>> timers;
    for (std::size_t i = 0; i < kTimers; ++i) timers.push_back(std::make_unique<Timer>(wheel));

    // Short of, at and beyond the present, over all magnitudes.
    const auto random_deadline = [&] {
      const auto distance = microseconds(random.u64() >> (14 + random.below(48)));
      const bool past = random.below(5) == 0;
      return past ? at(now - std::min(now, Duration(distance))) : at(now + distance);
    };
    const auto arm_or_cancel = [&] {
      const std::size_t i = random.below(kTimers);
      if (random.below(4) == 0) {
        wheel.cancel(*timers[i]);
        model.disarm(i);
      } else {
        const Instant deadline = random_deadline();
        wheel.arm(*timers[i], deadline);
        model.arm(i, deadline);
      }
    };

    for (int step = 0; step < 300; ++step) {
      for (std::uint32_t i = random.below(8); i > 0; --i) arm_or_cancel();
      switch (random.below(4)) {
        case 0:
          now += microseconds(random.below(3000));
          break;
        case 1:
          now += microseconds(random.u64() >> (20 + random.below(40)));
          break;
        case 2:
          if (wheel.next_deadline() != kNever) now = wheel.next_deadline().time_since_epoch();
          break;
        default:
          // Just around the next timer that is due.
          if (model.first_due() != Model::kDisarmed) {
            const Duration due = milliseconds(model.first_due());
            now = std::max(now, due - microseconds(random.below(2)));
          }
      }
      const auto target = static_cast<std::uint64_t>(now / milliseconds(1));
      model.begin_advance(target);
      std::uint64_t previous = 0;
      wheel.advance(at(now), [&](TimerNode& node) {
        const auto found = std::find_if(timers.begin(), timers.end(),
                                        [&node](const auto& timer) { return timer.get() == &node; });
        const auto i = static_cast<std::size_t>(found - timers.begin());
        REQUIRE_FALSE(node.armed());
        REQUIRE(model.due(i) <= target);
        REQUIRE(model.due(i) >= previous);
        previous = model.due(i);
        model.disarm(i);
        for (std::uint32_t more = random.below(3); more > 0; --more) arm_or_cancel();
      });
      REQUIRE(model.first_due() > target);
      REQUIRE(wheel.size() == model.armed());
      const Instant next = wheel.next_deadline();
      if (model.armed() == 0) {
        REQUIRE(next == kNever);
      } else {
        REQUIRE(next > at(now));
        REQUIRE(next <= at(milliseconds(model.first_due())));
      }
      for (std::size_t i = 0; i < kTimers; ++i) {
        REQUIRE(timers[i]->armed() == (model.due(i) != Model::kDisarmed));
      }
    }
  }
}

TEST_CASE("timing wheel: the same calls fire in the same order") {
  const auto run = [] {
    SeededRandom random(99);
    TimingWheel wheel(at(Duration(0)));
    std::vector<std::unique_ptr<Timer>> timers;
    std::vector<std::size_t> order;
    for (int i = 0; i < 200; ++i) {
      timers.push_back(std::make_unique<Timer>(wheel));
      wheel.arm(*timers.back(), at(milliseconds(100 + random.below(5))));
    }
    wheel.advance(at(milliseconds(200)), [&](TimerNode& node) {
      const auto found = std::find_if(timers.begin(), timers.end(),
                                      [&node](const auto& timer) { return timer.get() == &node; });
      order.push_back(static_cast<std::size_t>(found - timers.begin()));
    });
    return order;
  };
  const auto order = run();
  CHECK(order.size() == 200);
  CHECK(order == run());
}

TEST_CASE("timing wheel: the memory of a level goes to the next that is used") {
  TimingWheel wheel(at(Duration(0)));
  Timer timer(wheel);
  const AllocationCount scope;
  Duration now{};
  // It passes through all levels below, and each time fires at level 0.
  for (const Duration ahead : std::initializer_list<Duration>{
           milliseconds(1), milliseconds(100), milliseconds(5'000), milliseconds(300'000), hours(5)}) {
    now += ahead;
    wheel.arm(timer, at(now));
    CHECK(fired_by(wheel, now) == 1);
  }
  CHECK(scope.count() == 1);
}

TEST_CASE("timing wheel: what a callback arms may take the memory of the slot that fires") {
  TimingWheel wheel(at(Duration(0)));
  Timer soon(wheel);
  Timer late(wheel);
  wheel.arm(soon, at(milliseconds(10)));
  int fired = 0;
  wheel.advance(at(milliseconds(10)), [&](TimerNode&) {
    ++fired;
    wheel.arm(late, at(milliseconds(10'000)));
  });
  CHECK(fired == 1);
  CHECK(fired_by(wheel, milliseconds(9'999)) == 0);
  CHECK(fired_by(wheel, milliseconds(10'000)) == 1);
}

TEST_CASE("timing wheel: allocates each level that is used once, and nothing else") {
  TimingWheel wheel(at(Duration(0)));
  std::array<TimerNode, 100> timers;
  SeededRandom random(3);
  const AllocationCount scope;
  Duration now(0);
  for (TimerNode& timer : timers) wheel.arm(timer, at(milliseconds(random.below(100'000))));
  for (int step = 0; step < 2000; ++step) {
    now += milliseconds(random.below(100));
    wheel.advance(at(now),
                  [&](TimerNode& node) { wheel.arm(node, at(now + milliseconds(random.below(100'000)))); });
  }
  // 100,000 ticks have three digits of base 64.
  CHECK(scope.count() == 3);
  CHECK(wheel.size() == 100);
  for (TimerNode& timer : timers) wheel.cancel(timer);
}

}  // namespace
}  // namespace hawser
