#pragma once

#include <cstdint>

#include "base/time.hpp"

namespace hawser {

// Finds out whether work that a peer owes stands still: the rest of an unfinished message, or
// acknowledgements of what is in flight (docs/protocol.md section 12, Progress). The caller asks once per
// interval.
class ProgressMonitor {
 public:
  static constexpr Duration kInterval = std::chrono::seconds(5);
  // Intervals, one after the other, in which the peer has to make the least progress.
  static constexpr std::uint32_t kIntervals = 6;
  // Intervals that do not count when a message of the peer was refused for want of memory: the one in which
  // it was, and another for the probe timeout of its sender and the way.
  static constexpr std::uint8_t kExcusedIntervals = 2;
  // In a row, because a peer could have messages refused on purpose.
  static constexpr std::uint8_t kMostExcusedIntervals = 60;
  // Bytes per second that the unfinished messages of a channel have to grow by.
  static constexpr std::uint64_t kLeastRate = 32;
  static constexpr std::uint64_t kLeastBytes =
      kLeastRate * (kInterval / std::chrono::seconds(1)) * kIntervals;

  // Judges the interval that ends now. `owes`: whether work is left. `done`: work done so far, which never
  // decreases. `least`: how much has to be done in kIntervals intervals. False when less was done. Not to be
  // called for an interval that does not count.
  [[nodiscard]] bool on_interval(bool owes, std::uint64_t done, std::uint64_t least) {
    if (!owes || done - mark_ >= least) {
      mark_ = done;
      intervals_ = 0;
      return true;
    }
    return ++intervals_ < kIntervals;
  }

 private:
  std::uint64_t mark_ = 0;
  std::uint32_t intervals_ = 0;
};

}  // namespace hawser
