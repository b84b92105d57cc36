#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/time.hpp"

namespace hawser {

// A clock offset as a function of time, from one sample to the next.
struct ClockEstimate {
  static constexpr std::int64_t kSlewDivisor = 20;  // 5 %

  Instant since{};        // time of the last sample
  Duration offset{};      // what was reported then
  Duration correction{};  // by how much the best estimate exceeded it
  std::int32_t drift_ppb = 0;

  // The offset at `now`, not before `since`: goes towards the best estimate by at most 5 % of the time
  // passed.
  [[nodiscard]] Duration at(Instant now) const {
    const std::int64_t passed = std::max<std::int64_t>((now - since).count(), 0);
    const std::int64_t slew = passed / kSlewDivisor;
    return offset + Duration(std::clamp(correction.count() + drifted(passed, drift_ppb), -slew, slew));
  }

  // Thousands first, so that centuries do not overflow.
  static std::int64_t drifted(std::int64_t microseconds, std::int64_t ppb) {
    return microseconds / 1'000 * ppb / 1'000'000;
  }
};

// Estimates the other side's session clock (docs/protocol.md section 8): of the last eight samples the one
// with the least round trip counts, an older one being taken for 200 ppm of its age worse; the reported
// offset follows it by at most 5 % of the time passed, so the other's time as reported never runs backwards.
//
// A sample's error is half the difference of its two path delays. Between two samples that part of it which
// is the fixed asymmetry of the path cancels out, and what is left is at most half of what their round trips
// exceed the least one by: the drift rate is taken only as far as it lies beyond that doubt, so that
// compensation does not add to the error, once the path's least round trip has been seen.
class ClockOffset {
 public:
  // Adds the result of a PING: its round trip (the other side's delay taken off; not negative, else it is
  // ignored) and the offset, the other's clock minus this one's. `now` is not before any earlier `now`.
  inline void add_sample(Duration round_trip, Duration offset, Instant now);

  [[nodiscard]] bool has_sample() const { return anchored_; }
  // When the last one was added; the epoch without any.
  [[nodiscard]] Instant last_sample() const { return anchor_time_; }

  // Whether the last four choices agreed within the larger of 1 ms and a quarter of the least round trip.
  // Stays true, until the clocks jump by more than half an hour or no sample comes for an hour.
  [[nodiscard]] bool settled() const { return settled_; }

  // The other's clock minus this one's at `now`, not before the last sample. Zero without a sample. now +
  // offset_at(now) never decreases as `now` grows, from the first sample on.
  [[nodiscard]] Duration offset_at(Instant now) const { return estimate().at(now); }
  // The offset until the next sample.
  [[nodiscard]] inline ClockEstimate estimate() const;

  // How much faster the other's clock runs, in parts per thousand million; -500,000 to 500,000, and 0 as long
  // as unknown.
  [[nodiscard]] std::int32_t drift_ppb() const { return drift_ppb_; }

 private:
  static constexpr std::size_t kSamples = 8;
  static constexpr std::size_t kChoices = 4;
  // The least round trip of fewer samples need not be that of the path: the doubt would look smaller than it
  // is.
  static constexpr std::uint8_t kDriftSamples = 20;
  static constexpr std::int64_t kAgingPpm = 200;
  static constexpr std::int64_t kMaxDriftPpb = 500'000;
  static constexpr std::int64_t kDriftSpanFirst = 10'000'000;    // us: an estimate needs this much
  static constexpr std::int64_t kDriftSpanLast = 7'200'000'000;  // us: then a newer reference is chosen
  static constexpr std::int64_t kToleranceMin = 1'000;           // us
  static constexpr std::int64_t kForget = 3'600'000'000;         // us without a sample
  static constexpr std::int64_t kMaxOffset = std::int64_t{1} << 60U;
  // Offsets are kept as differences from the first; half of what 32 bits hold leaves room for the drift.
  static constexpr std::int64_t kMaxDifference = std::int64_t{1} << 30U;

  // Times are in units of 1.024 ms, modulo 2^32, compared as signed: good for 25 days, while no two
  // samples that are kept are further apart than nine hours.
  struct Sample {
    std::int32_t offset = 0;       // us, from base_
    std::uint32_t round_trip = 0;  // us
    std::uint32_t time = 0;
  };

  static std::uint32_t coarse(Instant now) {
    return static_cast<std::uint32_t>(now.time_since_epoch().count() >> 10);
  }
  static std::int64_t microseconds_between(std::uint32_t earlier, std::uint32_t later) {
    return std::int64_t{static_cast<std::int32_t>(later - earlier)} * 1024;
  }
  [[nodiscard]] inline const Sample& best(std::uint32_t now) const;
  [[nodiscard]] inline const Sample& oldest_good() const;
  inline void judge_choice(std::int32_t offset);
  inline void estimate_drift(const Sample& chosen);

  void forget_samples() {
    count_ = 0;
    next_ = 0;
    choices_ = 0;
    least_round_trip_ = std::numeric_limits<std::uint32_t>::max();
    settled_ = false;
  }

  Instant anchor_time_{};           // of the last sample
  std::int64_t anchor_offset_ = 0;  // what was reported then
  std::int64_t base_ = 0;           // the first sample's offset
  std::array<Sample, kSamples> samples_{};
  Sample reference_;  // where the drift is measured from
  std::array<std::int32_t, kChoices - 1> earlier_choices_{};
  std::int32_t target_ = 0;  // the best estimate at anchor_time_, from base_
  std::int32_t drift_ppb_ = 0;
  std::uint32_t least_round_trip_ = std::numeric_limits<std::uint32_t>::max();
  std::uint8_t count_ = 0;
  std::uint8_t next_ = 0;
  std::uint8_t choices_ = 0;  // at most kDriftSamples
  bool settled_ : 1 = false;
  bool anchored_ : 1 = false;
};
static_assert(sizeof(ClockOffset) == 160);

inline void ClockOffset::add_sample(Duration round_trip, Duration offset, Instant now) {
  if (round_trip < Duration::zero()) return;
  const std::int64_t measured = std::clamp<std::int64_t>(offset.count(), -kMaxOffset, kMaxOffset);
  const std::int64_t reported = anchored_ ? offset_at(now).count() : measured;
  const bool jumped = std::max(measured - base_, base_ - measured) > kMaxDifference;
  if (!anchored_ || jumped || (now - anchor_time_).count() > kForget) {
    forget_samples();
    base_ = measured;
  }
  anchor_time_ = now;
  anchor_offset_ = reported;
  anchored_ = true;

  const auto bounded = std::min<std::int64_t>(round_trip.count(), std::numeric_limits<std::uint32_t>::max());
  const Sample sample{static_cast<std::int32_t>(measured - base_), static_cast<std::uint32_t>(bounded),
                      coarse(now)};
  samples_[next_] = sample;
  next_ = static_cast<std::uint8_t>((next_ + 1U) % kSamples);
  if (count_ < kSamples) ++count_;
  if (count_ == 1) reference_ = sample;
  least_round_trip_ = std::min(least_round_trip_, sample.round_trip);

  const Sample& chosen = best(sample.time);
  judge_choice(chosen.offset);
  estimate_drift(chosen);
  const std::int64_t age = microseconds_between(chosen.time, sample.time);
  target_ = static_cast<std::int32_t>(chosen.offset + ClockEstimate::drifted(age, drift_ppb_));
}

inline ClockEstimate ClockOffset::estimate() const {
  return {anchor_time_, Duration(anchor_offset_), Duration(base_ + target_ - anchor_offset_), drift_ppb_};
}

inline const ClockOffset::Sample& ClockOffset::best(std::uint32_t now) const {
  const auto aged = [now](const Sample& sample) {
    return sample.round_trip + microseconds_between(sample.time, now) * kAgingPpm / 1'000'000;
  };
  return *std::min_element(samples_.begin(), samples_.begin() + count_,
                           [&](const Sample& a, const Sample& b) { return aged(a) < aged(b); });
}

inline void ClockOffset::judge_choice(std::int32_t offset) {
  const auto [least, greatest] = std::minmax_element(earlier_choices_.begin(), earlier_choices_.end());
  const std::int64_t spread = std::int64_t{std::max(*greatest, offset)} - std::min(*least, offset);
  const std::int64_t tolerance = std::max<std::int64_t>(kToleranceMin, least_round_trip_ / 4);
  if (choices_ < kDriftSamples) ++choices_;
  if (choices_ >= kChoices && spread <= tolerance) settled_ = true;
  std::shift_left(earlier_choices_.begin(), earlier_choices_.end(), 1);
  earlier_choices_.back() = offset;
}

inline void ClockOffset::estimate_drift(const Sample& chosen) {
  const std::int64_t span = microseconds_between(reference_.time, chosen.time);
  if (span < kDriftSpanFirst || choices_ < kDriftSamples) {
    if (chosen.round_trip < reference_.round_trip) reference_ = chosen;
    return;
  }
  const std::int64_t excess =
      std::int64_t{chosen.round_trip} + reference_.round_trip - 2 * std::int64_t{least_round_trip_};
  const std::int64_t change = std::int64_t{chosen.offset} - reference_.offset;
  const std::int64_t certain = std::max<std::int64_t>((change < 0 ? -change : change) - (excess + 1) / 2, 0);
  const std::int64_t ppb = std::min(certain * 1'000'000 / (span / 1'000), kMaxDriftPpb);
  drift_ppb_ = static_cast<std::int32_t>(change < 0 ? -ppb : ppb);
  if (span > kDriftSpanLast) reference_ = oldest_good();
}

// The least round trip among the four oldest samples.
inline const ClockOffset::Sample& ClockOffset::oldest_good() const {
  const std::size_t first = count_ == kSamples ? next_ : 0;
  const std::size_t half = std::max<std::size_t>(count_ / 2U, 1);
  const Sample* found = &samples_[first];
  for (std::size_t i = 1; i < half; ++i) {
    const Sample& candidate = samples_[(first + i) % kSamples];
    if (candidate.round_trip < found->round_trip) found = &candidate;
  }
  return *found;
}

}  // namespace hawser
