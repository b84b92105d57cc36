#pragma once

#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/slot_pool.hpp"
#include "base/time.hpp"

namespace hawser {

// When the last 16 PINGs of one connection were sent: the low 32 bits of the microseconds.
struct PingTimes {
  static constexpr std::size_t kCount = 16;
  std::array<std::uint32_t, kCount> of;  // PING n at n % kCount; only of those without PONG
};

// Storage of all connections' times.
using PingTimesPool = SlotPool<PingTimes>;

// The PINGs of one connection that have no PONG yet, the last 16 at most. Sequence numbers count from 0 and
// wrap. Nearly always there is none, so the times live in a pool that all connections share, with room for
// each of them, and that every function which needs it is given. `clear` before destruction.
//
// Send times are the low 32 bits of the microseconds, which repeat after 71 minutes. So that an old PING is
// never taken for a young one, everything older than ten minutes is forgotten whenever another PING is sent,
// and everything an hour after the last PING: at most 70 minutes together.
class PingRecord {
 public:
  static constexpr std::size_t kOutstanding = PingTimes::kCount;

  PingRecord() = default;
  PingRecord(const PingRecord&) = delete;
  PingRecord& operator=(const PingRecord&) = delete;
  ~PingRecord() { assert(times_ == nullptr && "clear() gives the times back to the pool"); }

  // Notes that a PING is sent now and gives its sequence number. Displaces the PING sixteen before it.
  std::uint16_t sent(PingTimesPool& pool, Instant now) {
    forget_old(now);
    const std::uint16_t sequence = next_++;
    const std::size_t place = sequence % kOutstanding;
    if (times_ == nullptr) times_ = pool.create();
    assert(times_ != nullptr && "the pool has room for every connection");
    times_->of[place] = microseconds(now);
    outstanding_ = static_cast<std::uint16_t>(outstanding_ | (1U << place));
    last_sent_ = ticks(now);
    return sequence;
  }

  // The time since the PING of that number was sent, which is then no longer outstanding. Nothing when it was
  // never sent, is answered already, or is forgotten. `now` is not before any earlier `now`.
  std::optional<Duration> answered(PingTimesPool& pool, std::uint16_t sequence, Instant now) {
    const auto behind = static_cast<std::uint16_t>(next_ - 1U - sequence);
    const std::size_t place = sequence % kOutstanding;
    const unsigned bit = 1U << place;
    if (behind >= kOutstanding || (outstanding_ & bit) == 0) return std::nullopt;
    const std::uint32_t time = times_->of[place];
    outstanding_ = static_cast<std::uint16_t>(outstanding_ & ~bit);
    if (outstanding_ == 0) clear(pool);
    if (ticks(now) - last_sent_ > kForgetAll) return std::nullopt;
    return Duration(microseconds(now) - time);
  }

  // Forgets all of them and gives the times back.
  void clear(PingTimesPool& pool) {
    if (times_ != nullptr) pool.destroy(*times_);
    times_ = nullptr;
    outstanding_ = 0;
  }

  // Whether the last PING was sent more than `age` ago, at most a day.
  [[nodiscard]] bool is_older_than(Duration age, Instant now) const {
    return ticks(now) - last_sent_ > static_cast<std::uint32_t>(age.count() >> kTickBits);
  }

  // Whether any PING waits for its PONG.
  [[nodiscard]] bool any_outstanding() const { return outstanding_ != 0; }

 private:
  static constexpr unsigned kTickBits = 10;                                 // 1.024 ms
  static constexpr std::uint32_t kForgetAll = 3'600'000'000U >> kTickBits;  // an hour
  static constexpr std::uint32_t kForgetOne = 600U * 1'000'000U;            // microseconds

  static std::uint32_t microseconds(Instant now) {
    return static_cast<std::uint32_t>(now.time_since_epoch().count());
  }
  static std::uint32_t ticks(Instant now) {
    return static_cast<std::uint32_t>(now.time_since_epoch().count() >> kTickBits);
  }

  void forget_old(Instant now) {
    if (ticks(now) - last_sent_ > kForgetAll) outstanding_ = 0;
    if (outstanding_ == 0) return;
    for (std::size_t place = 0; place < kOutstanding; ++place) {
      if (microseconds(now) - times_->of[place] > kForgetOne)
        outstanding_ = static_cast<std::uint16_t>(outstanding_ & ~(1U << place));
    }
  }

  PingTimes* times_ = nullptr;  // not null while any is outstanding
  std::uint32_t last_sent_ = 0;
  std::uint16_t next_ = 0;
  std::uint16_t outstanding_ = 0;  // bit sequence % 16
};
static_assert(sizeof(PingRecord) == 16);

}  // namespace hawser
