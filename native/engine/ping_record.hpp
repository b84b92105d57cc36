#pragma once

#include <array>
#include <bit>
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
// An answer also ends the wait for the PINGs before it. A peer that keeps PONGs back and sends them one by
// one in any order can therefore not make old times look like the round trip of today.
//
// Send times are the low 32 bits of the microseconds, which repeat after 71 minutes. So that an old PING is
// never taken for a young one, everything older than ten minutes is forgotten whenever another PING is sent,
// and everything an hour after the last PING: at most 70 minutes together.
class PingRecord {
 public:
  static constexpr std::size_t kOutstanding = PingTimes::kCount;

  struct Answer {
    Duration elapsed;     // since the PING that was answered
    Duration since_last;  // since the last PING
  };

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

  // The times since the PING of that number and since the last one were sent. That PING and all before it are
  // then no longer outstanding. Nothing when it was never sent, is not outstanding, or is forgotten. `now` is
  // not before any earlier `now`.
  std::optional<Answer> answered(PingTimesPool& pool, std::uint16_t sequence, Instant now) {
    const auto behind = static_cast<std::uint16_t>(next_ - 1U - sequence);
    const std::size_t place = sequence % kOutstanding;
    if (behind >= kOutstanding || (outstanding_ & (1U << place)) == 0) return std::nullopt;
    // The last one is outstanding too, since its answer would have ended the wait for this one.
    const std::size_t last = (sequence + behind) % kOutstanding;
    const Answer answer{Duration(microseconds(now) - times_->of[place]),
                        Duration(microseconds(now) - times_->of[last])};
    const auto later = static_cast<std::uint16_t>((1U << behind) - 1U);
    outstanding_ = static_cast<std::uint16_t>(outstanding_ & std::rotl(later, static_cast<int>(place) + 1));
    if (outstanding_ == 0) clear(pool);
    if (ticks(now) - last_sent_ > kForgetAll) return std::nullopt;
    return answer;
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

  // How many PINGs were sent, modulo 65,536.
  [[nodiscard]] std::uint16_t count() const { return next_; }

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
