#include "engine/clock_offset.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

const Instant kStart(seconds(1000));

TEST_CASE("clock offset: unknown before the first sample, which is adopted at once") {
  ClockOffset clock;
  CHECK_FALSE(clock.has_sample());
  CHECK_FALSE(clock.settled());
  CHECK(clock.offset_at(kStart) == Duration::zero());
  clock.add_sample(milliseconds(10), hours(-5000), kStart);
  CHECK(clock.has_sample());
  CHECK(clock.offset_at(kStart) == hours(-5000));
  CHECK(clock.offset_at(kStart + seconds(1)) == hours(-5000));
}

TEST_CASE("clock offset: the sample with the least round trip counts") {
  ClockOffset clock;
  clock.add_sample(milliseconds(10), milliseconds(100), kStart);
  clock.add_sample(milliseconds(90), milliseconds(140), kStart + milliseconds(100));
  CHECK(clock.offset_at(kStart + minutes(1)) == milliseconds(100));
}

TEST_CASE("clock offset: an older sample is taken for 200 ppm of its age worse") {
  const Instant later = kStart + seconds(100);  // 20 ms
  ClockOffset clock;
  clock.add_sample(milliseconds(10), milliseconds(100), kStart);
  SUBCASE("30.1 ms now are worse than 10 ms then") {
    clock.add_sample(Duration(30'100), milliseconds(101), later);
    CHECK(clock.offset_at(later + minutes(1)) == milliseconds(100));
  }
  SUBCASE("29.9 ms now are better") {
    clock.add_sample(Duration(29'900), milliseconds(101), later);
    CHECK(clock.offset_at(later + minutes(1)) == milliseconds(101));
  }
}

TEST_CASE("clock offset: only the last eight samples count") {
  ClockOffset clock;
  clock.add_sample(milliseconds(1), milliseconds(100), kStart);
  Instant now = kStart;
  for (int i = 0; i < 8; ++i) {
    CHECK(clock.offset_at(now + minutes(1)) == milliseconds(100));
    now += milliseconds(100);
    clock.add_sample(milliseconds(10), milliseconds(102), now);
  }
  CHECK(clock.offset_at(now + minutes(1)) == milliseconds(102));
}

TEST_CASE("clock offset: the reported offset moves by at most 5 % of the time passed") {
  for (const int direction : {1, -1}) {
    CAPTURE(direction);
    ClockOffset clock;
    clock.add_sample(milliseconds(20), Duration::zero(), kStart);
    clock.add_sample(milliseconds(10), milliseconds(10) * direction, kStart + seconds(1));
    const Instant from = kStart + seconds(1);
    CHECK(clock.offset_at(from) == Duration::zero());
    CHECK(clock.offset_at(from + milliseconds(100)) == milliseconds(5) * direction);
    CHECK(clock.offset_at(from + milliseconds(200)) == milliseconds(10) * direction);
    CHECK(clock.offset_at(from + seconds(9)) == milliseconds(10) * direction);
  }
}

TEST_CASE("clock offset: settled after four choices that agree, not before") {
  ClockOffset clock;
  Instant now = kStart;
  SUBCASE("at once") {
    for (int i = 0; i < 4; ++i) {
      CHECK_FALSE(clock.settled());
      clock.add_sample(milliseconds(2), milliseconds(5), now += milliseconds(100));
    }
    CHECK(clock.settled());
  }
  SUBCASE("three good ones after one more than 1 ms away") {
    clock.add_sample(milliseconds(3), Duration(0), now);
    for (int i = 0; i < 3; ++i) clock.add_sample(milliseconds(2), Duration(1'001), now += milliseconds(100));
    CHECK_FALSE(clock.settled());
    clock.add_sample(milliseconds(2), Duration(1'001), now += milliseconds(100));
    CHECK(clock.settled());
  }
  SUBCASE("a quarter of the least round trip, where that is more than 1 ms") {
    clock.add_sample(milliseconds(81), Duration(0), now);
    for (int i = 0; i < 3; ++i)
      clock.add_sample(milliseconds(80), milliseconds(20), now += milliseconds(100));
    CHECK(clock.settled());
  }
}

TEST_CASE("clock offset: an hour without a sample and a jump of the clock start the estimate afresh") {
  ClockOffset clock;
  Instant now = kStart;
  const auto settle = [&](Duration offset) {
    for (int i = 0; i < 4; ++i) clock.add_sample(milliseconds(10), offset, now += milliseconds(100));
  };
  settle(milliseconds(5));
  REQUIRE(clock.settled());
  SUBCASE("an hour") {
    now += hours(1) + seconds(1);
    clock.add_sample(milliseconds(50), milliseconds(6), now);
    CHECK_FALSE(clock.settled());
    CHECK(clock.offset_at(now) == milliseconds(5));
    CHECK(clock.offset_at(now + seconds(1)) == milliseconds(6));
  }
  SUBCASE("a jump: followed by slewing") {
    clock.add_sample(milliseconds(50), hours(1), now += milliseconds(100));
    CHECK_FALSE(clock.settled());
    CHECK(clock.offset_at(now) == milliseconds(5));
    CHECK(clock.offset_at(now + seconds(20)) == milliseconds(1005));
    CHECK(clock.offset_at(now + hours(30)) == hours(1));
    settle(hours(1));
    CHECK(clock.settled());
  }
}

TEST_CASE("clock offset: drift is estimated once samples span 10 s, within 500 ppm") {
  const auto drift_after = [](double ppm, Duration interval, int samples) {
    ClockOffset clock;
    for (int i = 0; i < samples; ++i) {
      const Duration since = interval * i;
      clock.add_sample(milliseconds(10),
                       Duration(std::llround(static_cast<double>(since.count()) * ppm / 1e6)),
                       kStart + since);
    }
    return clock.drift_ppb() / 1000.0;
  };
  CHECK(drift_after(200, seconds(1), 10) == 0);
  CHECK(drift_after(200, seconds(1), 20) == doctest::Approx(200).epsilon(0.02));
  CHECK(drift_after(-150, seconds(25), 20) == doctest::Approx(-150).epsilon(0.01));
  CHECK(drift_after(-150, seconds(25), 500) == doctest::Approx(-150).epsilon(0.01));
  CHECK(drift_after(3000, seconds(1), 20) == 500);
  CHECK(drift_after(-3000, seconds(1), 20) == -500);
}

TEST_CASE("clock offset: drift carries the offset on between samples") {
  ClockOffset clock;
  Instant now = kStart;
  for (int i = 0; i < 40; ++i, now += seconds(5)) clock.add_sample(milliseconds(10), Duration(i * 500), now);
  const Instant later = now + minutes(10);
  const double expected = 100e-6 * static_cast<double>((later - kStart).count());
  CHECK(std::abs(static_cast<double>(clock.offset_at(later).count()) - expected) < 1'500);
}

TEST_CASE("clock offset: hostile values do no more than be wrong") {
  SeededRandom random(5);
  ClockOffset clock;
  Instant now = kStart;
  Instant last = now;
  Duration last_offset{};
  bool first = true;
  for (int step = 0; step < 20'000; ++step) {
    now += Duration(random.below(5'000'000));
    const auto shift = random.below(64);
    const Duration offset(static_cast<std::int64_t>(random.u64()) >> shift);
    const Duration trip(static_cast<std::int64_t>(random.u64()) >> random.below(64));
    clock.add_sample(trip, offset, now);
    if (!clock.has_sample()) continue;
    if (!first) REQUIRE(now + clock.offset_at(now) >= last + last_offset);
    first = false;
    last = now;
    last_offset = clock.offset_at(now);
    REQUIRE(clock.offset_at(now + hours(24 * 365 * 400)) <= Duration::max());
  }
}

// A path and another clock, in real numbers, with times in microseconds.
struct World {
  double offset;
  double drift;     // relative
  double up, down;  // the least delays
  double jitter_up, jitter_down;

  double other_minus_own(double own) const { return offset + drift * own; }
};

World make_world(SeededRandom& random) {
  const auto uniform = [&](double from, double to) {
    return from + (to - from) * random.below(1'000'001) / 1e6;
  };
  World world{};
  world.offset = uniform(-1e12, 1e12);
  world.drift = uniform(-200e-6, 200e-6);
  const double base = std::pow(10, uniform(2, 5));
  world.up = base * uniform(0.5, 1.5);
  world.down = base * uniform(0.5, 1.5);
  world.jitter_up = base * uniform(0, 1);
  world.jitter_down = base * uniform(0, 1);
  return world;
}

// What the page says about the error, kept beside the estimator from the same samples.
struct Sampled {
  double time;
  double round_trip;
  double asymmetry;
};

struct Run {
  std::uint64_t seed;
  bool settled = false;
  double seconds_to_settle = 0;
  double worst_monotonic_step = 0;
  double final_error = 0;
  double final_bound = 0;
};

// One connection of `length`, pinged as docs/protocol.md section 8 says, asked at random times in between.
Run simulate(std::uint64_t seed, Duration length) {
  SeededRandom random(seed);
  const World world = make_world(random);
  const auto exponential = [&](double mean) { return -mean * std::log((1 + random.below(1'000'000)) / 1e6); };
  ClockOffset clock;
  std::vector<Sampled> samples;
  Run run{.seed = seed};
  Instant now = kStart;
  Duration last_reported{};
  Instant last_asked = now;
  double allowed = 0;

  const auto ask = [&](Instant at) {
    const Duration reported = clock.offset_at(at);
    const auto step = static_cast<double>((at + reported - (last_asked + last_reported)).count());
    run.worst_monotonic_step = std::min(run.worst_monotonic_step, step);

    const auto own = static_cast<double>(at.time_since_epoch().count());
    const auto aged = [&](const Sampled& s) {
      return s.round_trip + 200e-6 * (samples.back().time - s.time);
    };
    const double residual = std::abs(world.drift - clock.drift_ppb() / 1e9);
    const auto ring = samples.end() - static_cast<std::ptrdiff_t>(std::min<std::size_t>(samples.size(), 8));
    const auto best = std::min_element(ring, samples.end(),
                                       [&](const Sampled& a, const Sampled& b) { return aged(a) < aged(b); });
    double stated = 0;
    for (auto sample = ring; sample != samples.end(); ++sample) {
      // Where two are equally good but for rounding, either may have been chosen.
      if (aged(*sample) > aged(*best) + 2) continue;
      // Half the asymmetry of the best sample, drift since then and within the measurement, and what rounding
      // costs.
      stated = std::max(stated, std::abs(sample->asymmetry) / 2 + residual * (own - sample->time) +
                                    std::abs(world.drift) * sample->round_trip + 600e-6 * 1'100 * 2 + 5);
    }
    // What was more than that before may only go at the pace of the slewing.
    const auto passed = static_cast<double>((at - last_asked).count());
    allowed = std::max(stated, allowed - passed * (0.05 - 0.0008));
    run.final_error = std::abs(static_cast<double>(reported.count()) - world.other_minus_own(own));
    run.final_bound = stated;
    last_asked = at;
    last_reported = reported;
    return run.final_error <= allowed;
  };

  for (int pings = 0; now - kStart < length; ++pings) {
    const double up = world.up + exponential(world.jitter_up + 1);
    const double down = world.down + exponential(world.jitter_down + 1);
    const auto t0 = static_cast<double>(now.time_since_epoch().count());
    const double t1 = t0 + up + world.other_minus_own(t0 + up);
    const double t3 = t0 + up + down;
    const auto offset = static_cast<std::int64_t>(std::floor(((t1 - t0) + (t1 - t3)) / 2));
    const Instant pong = Instant(Duration(static_cast<std::int64_t>(t3)));
    const auto trip = static_cast<std::int64_t>(t3) - static_cast<std::int64_t>(t0);
    const bool first = samples.empty();
    // Up to the last moment what is reported answers for the samples before.
    if (!first) REQUIRE(ask(pong));
    clock.add_sample(Duration(trip), Duration(offset), pong);
    samples.push_back({t3, static_cast<double>(trip), up - down});
    if (first) {
      last_asked = pong;
      last_reported = clock.offset_at(pong);
    }
    if (!run.settled && clock.settled()) {
      run.settled = true;
      run.seconds_to_settle = static_cast<double>((pong - kStart).count()) / 1e6;
    }
    const Duration interval = pings < 8      ? Duration(milliseconds(100))
                              : !run.settled ? Duration(seconds(1))
                                             : Duration(seconds(25));
    const Instant next = std::max(now + interval, pong + Duration(1));
    Instant asked = pong;
    bool within = ask(asked);
    while (within) {
      asked += Duration(1 + random.below(static_cast<std::uint32_t>(interval.count() / 4)));
      if (asked >= next) break;
      within = ask(asked);
    }
    REQUIRE(within);
    now = next;
  }
  return run;
}

TEST_CASE(
    "clock offset: over any path the error is as docs/protocol.md section 8 states, and time never runs "
    "back") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    const Run run = simulate(seed, hours(1));
    CHECK(run.worst_monotonic_step >= 0);
    CHECK(run.settled);
    CHECK(run.seconds_to_settle <= 30);
    CHECK(run.final_error <= run.final_bound);
  }
}

TEST_CASE("clock offset: now + offset never decreases, at every microsecond") {
  ClockOffset clock;
  clock.add_sample(milliseconds(20), milliseconds(50), kStart);
  Instant now = kStart + seconds(30);
  clock.add_sample(milliseconds(10), milliseconds(30), now);
  Instant last = now + clock.offset_at(now);
  for (int i = 0; i < 500'000; ++i) {
    now += Duration(1);
    const Instant other = now + clock.offset_at(now);
    REQUIRE(other >= last);
    last = other;
  }
  CHECK(clock.offset_at(now + seconds(1)) < milliseconds(31));
}

}  // namespace
}  // namespace hawser
