#pragma once

#include <algorithm>

#include "base/time.hpp"

namespace hawser {

// How long a thread without work goes on looking for some before it sleeps. To look costs CPU and spares the
// tens of microseconds that it takes to be woken: worth it while work comes that soon, and only then. The
// budget halves with each time that was spent in vain, down to nothing, doubles with work that came so soon
// after falling asleep that a full budget would have met it, and is restored when looking found some.
class SpinBudget {
 public:
  // Zero: never look.
  explicit SpinBudget(Duration most) : most_(most), budget_(most) {}

  [[nodiscard]] Duration budget() const { return budget_; }

  // Work came while looking.
  void found() { budget_ = most_; }
  // The budget was spent and nothing came.
  void spent() {
    budget_ /= 2;
    if (budget_ < kLeast) budget_ = Duration::zero();
  }
  // Woken by work after having slept so long.
  void slept(Duration time) {
    if (time <= most_) budget_ = std::min(most_, std::max(budget_ * 2, kLeast));
  }

 private:
  // To look once takes about as long.
  static constexpr Duration kLeast{2};

  Duration most_;
  Duration budget_;
};

}  // namespace hawser
