#pragma once

#include <chrono>

#include "base/time.hpp"

namespace hawser {

// Unix time, told by the driver now and then and counted on by the monotonic clock in between.
class WallClock {
 public:
  explicit WallClock(Instant now) : reference_(now) {}

  // The Unix time that belongs to `now`.
  void set(Instant now, WallTime wall) {
    reference_ = now;
    wall_ = wall;
  }
  [[nodiscard]] WallTime at(Instant now) const {
    return wall_ + std::chrono::duration_cast<std::chrono::milliseconds>(now - reference_);
  }

 private:
  Instant reference_;
  WallTime wall_{};
};

}  // namespace hawser
