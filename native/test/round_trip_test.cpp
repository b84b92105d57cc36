#include "engine/round_trip.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>

#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;

const Instant kStart(std::chrono::seconds(1'000));

TEST_CASE("round trip: RFC 9002 section 6.2.2 before the first sample") {
  const RoundTrip round_trip;
  CHECK_FALSE(round_trip.has_sample());
  CHECK(round_trip.latest() == Duration::zero());
  CHECK(round_trip.minimum() == Duration::zero());
  CHECK(round_trip.smoothed() == milliseconds(333));
  CHECK(round_trip.variation() == Duration(166'500));
  CHECK(round_trip.pto() == milliseconds(999));
}

TEST_CASE("round trip: the first sample sets everything (RFC 9002 section 5.3)") {
  RoundTrip round_trip;
  round_trip.add_sample(milliseconds(80), kStart);
  CHECK(round_trip.has_sample());
  CHECK(round_trip.latest() == milliseconds(80));
  CHECK(round_trip.minimum() == milliseconds(80));
  CHECK(round_trip.smoothed() == milliseconds(80));
  CHECK(round_trip.variation() == milliseconds(40));
  CHECK(round_trip.pto() == milliseconds(240));
}

TEST_CASE("round trip: later samples are weighted 1/8 and 1/4") {
  RoundTrip round_trip;
  round_trip.add_sample(milliseconds(80), kStart);
  round_trip.add_sample(milliseconds(160), kStart);
  CHECK(round_trip.latest() == milliseconds(160));
  CHECK(round_trip.minimum() == milliseconds(80));
  CHECK(round_trip.smoothed() == milliseconds(90));
  CHECK(round_trip.variation() == milliseconds(50));
}

TEST_CASE("round trip: the probe timeout is never less than 1 ms more than the round trip") {
  RoundTrip round_trip;
  for (int i = 0; i < 100; ++i) round_trip.add_sample(milliseconds(20), kStart);
  CHECK(round_trip.variation() <= Duration(2));
  CHECK(round_trip.pto() == milliseconds(21));
}

TEST_CASE("round trip: samples out of range are taken to the nearest end") {
  RoundTrip round_trip;
  round_trip.add_sample(Duration(-5), kStart);
  CHECK(round_trip.has_sample());
  CHECK(round_trip.latest() == Duration(1));
  round_trip.add_sample(hours(1000), kStart);
  CHECK(round_trip.latest() == Duration(UINT32_MAX));
  for (int i = 0; i < 1000; ++i) round_trip.add_sample(hours(1000), kStart);
  CHECK(round_trip.smoothed() > hours(1));
  CHECK(round_trip.smoothed() <= Duration(UINT32_MAX));
}

TEST_CASE("round trip: stays within rounding of the RFC's formulas in real numbers") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    RoundTrip round_trip;
    double smoothed = 0;
    double variation = 0;
    std::uint32_t minimum = UINT32_MAX;
    const std::uint32_t spread = 1 + random.below(200'000);
    for (int step = 0; step < 500; ++step) {
      const std::uint32_t sample = 100 + random.below(spread);
      round_trip.add_sample(Duration(sample), kStart);
      minimum = std::min(minimum, sample);
      if (step == 0) {
        smoothed = sample;
        variation = sample / 2.0;
      } else {
        variation = 0.75 * variation + 0.25 * std::abs(smoothed - sample);
        smoothed = 0.875 * smoothed + 0.125 * sample;
      }
      REQUIRE(round_trip.minimum() == Duration(minimum));
      REQUIRE(std::abs(static_cast<double>(round_trip.smoothed().count()) - smoothed) <= 5.0);
      REQUIRE(std::abs(static_cast<double>(round_trip.variation().count()) - variation) <= 8.0);
    }
  }
}

TEST_CASE("round trip: a sample after a silence replaces the current estimate and not the smoothed one") {
  RoundTrip round_trip;
  round_trip.add_sample(milliseconds(200), kStart);
  CHECK(round_trip.current() == milliseconds(200));
  round_trip.add_sample(milliseconds(2), kStart + milliseconds(5'000));
  CHECK(round_trip.current() < milliseconds(3));
  CHECK(round_trip.smoothed() > milliseconds(170));
}

TEST_CASE("round trip: the current estimate gives what came before half its weight in each half-life") {
  for (const Duration step : {milliseconds(10), milliseconds(50), milliseconds(175), milliseconds(350)}) {
    CAPTURE(step.count());
    RoundTrip round_trip;
    round_trip.add_sample(milliseconds(100), kStart);
    for (Duration passed = step; passed <= milliseconds(700); passed += step)
      round_trip.add_sample(milliseconds(20), kStart + passed);
    CHECK(std::abs((round_trip.current() - milliseconds(40)).count()) < 500);
  }
}

TEST_CASE("round trip: one outlier among frequent samples hardly moves the current estimate") {
  RoundTrip round_trip;
  Instant now = kStart;
  for (int i = 0; i < 100; ++i) round_trip.add_sample(milliseconds(20), now += milliseconds(5));
  round_trip.add_sample(milliseconds(220), now += milliseconds(5));
  CHECK(round_trip.current() < milliseconds(23));
}

TEST_CASE("round trip: the current estimate has no bias, however many samples come in a millisecond") {
  RoundTrip round_trip;
  Instant now = kStart;
  round_trip.add_sample(Duration(900), now);
  for (int i = 0; i < 40'000; ++i) round_trip.add_sample(Duration(300), now += Duration(100));
  CHECK(round_trip.current() == Duration(300));
}

TEST_CASE("round trip: knows whether the last sample is older than an age") {
  RoundTrip round_trip;
  CHECK(round_trip.is_older_than(std::chrono::seconds(1), kStart));
  round_trip.add_sample(milliseconds(20), kStart);
  CHECK_FALSE(round_trip.is_older_than(std::chrono::seconds(1), kStart + milliseconds(998)));
  CHECK(round_trip.is_older_than(std::chrono::seconds(1), kStart + milliseconds(1'003)));
}

}  // namespace
}  // namespace hawser
