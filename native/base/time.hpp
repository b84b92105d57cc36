#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ratio>
#include <type_traits>

namespace hawser {

// The unit of every protocol timer: whole microseconds.
using Duration = std::chrono::microseconds;

// The engine's monotonic time line. It has no now(): the driver that owns the engine passes the time in, so
// that a simulated clock and a real one are the same thing to the protocol. The epoch is the driver's choice;
// only differences mean anything, and no instant may be before the epoch.
struct EngineClock {
  using duration = Duration;
  // 64 bits, by a name that C++ libraries choose for themselves: not always that of std::int64_t.
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<EngineClock>;
  // NOLINTNEXTLINE(readability-identifier-naming): the name std::chrono asks for
  static constexpr bool is_steady = true;
};
static_assert(std::is_same_v<EngineClock::period, std::micro> &&
              sizeof(EngineClock::rep) == sizeof(std::int64_t));

using Instant = EngineClock::time_point;

// How many of Duration's unit a second has: for rates, which are in bytes a second.
inline constexpr std::uint64_t kMicrosecondsPerSecond = std::micro::den;

// A deadline that never comes. Do not add to it.
inline constexpr Instant kNever = Instant::max();

// Unix time: milliseconds since 1970-01-01T00:00:00Z without leap seconds, as tokens carry it. Also without
// now().
struct UnixClock {
  using duration = std::chrono::milliseconds;
  using rep = duration::rep;
  using period = duration::period;
  using time_point = std::chrono::time_point<UnixClock>;
  // NOLINTNEXTLINE(readability-identifier-naming): the name std::chrono asks for
  static constexpr bool is_steady = false;
};

using WallTime = std::chrono::time_point<UnixClock, std::chrono::milliseconds>;

// Whole milliseconds for a field of 32 bits: cut to what that holds.
[[nodiscard]] constexpr std::uint32_t u32_milliseconds(Duration duration) {
  const std::int64_t whole = std::chrono::duration_cast<std::chrono::milliseconds>(duration).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(whole, 0, UINT32_MAX));
}

}  // namespace hawser
