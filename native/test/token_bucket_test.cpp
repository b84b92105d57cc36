#include "engine/token_bucket.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>

#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("token bucket: the burst is there at once, then the rate") {
  const Instant start(seconds(9));
  TokenBucket bucket(10, 3, start);
  for (int i = 0; i < 3; ++i) CHECK(bucket.take(1, start));
  CHECK_FALSE(bucket.take(1, start));
  CHECK_FALSE(bucket.take(1, start + milliseconds(99)));
  CHECK(bucket.take(1, start + milliseconds(100)));
  CHECK_FALSE(bucket.take(1, start + milliseconds(199)));
}

TEST_CASE("token bucket: what is refused costs nothing") {
  const Instant start(seconds(1));
  TokenBucket bucket(1'000, 10, start);
  CHECK_FALSE(bucket.take(11, start));
  CHECK(bucket.take(10, start));
  CHECK(bucket.take(0, start));
}

TEST_CASE("token bucket: never more than the burst after a long rest") {
  TokenBucket bucket(UINT32_MAX, UINT32_MAX, Instant{});
  CHECK(bucket.take(UINT32_MAX, Instant{}));
  const Instant later = Instant{} + hours(24 * 365 * 200);
  CHECK(bucket.take(UINT32_MAX, later));
  CHECK_FALSE(bucket.take(1, later));
  CHECK(bucket.take(UINT32_MAX, kNever));
  CHECK_FALSE(bucket.take(1, kNever));
}

TEST_CASE("token bucket: a rate of 0 never refills") {
  TokenBucket bucket(0, 1, Instant{});
  CHECK(bucket.take(1, Instant{}));
  CHECK_FALSE(bucket.take(1, Instant{} + hours(1'000'000)));
}

TEST_CASE("token bucket: time that goes back brings nothing and loses nothing") {
  const Instant start(seconds(10));
  TokenBucket bucket(10, 1, start);
  CHECK(bucket.take(1, start));
  CHECK_FALSE(bucket.take(1, start - seconds(5)));
  CHECK_FALSE(bucket.take(1, start + milliseconds(99)));
  CHECK(bucket.take(1, start + milliseconds(100)));
}

TEST_CASE("token bucket: asked every few microseconds it still gives exactly its rate") {
  for (const std::uint32_t rate : {1U, 3U, 7U, 999U, 100'003U}) {
    CAPTURE(rate);
    Instant now(seconds(1));
    const Instant end = now + seconds(7);
    TokenBucket bucket(rate, 2, now);
    std::uint64_t taken = 0;
    for (; now <= end; now += microseconds(7)) taken += bucket.take(1, now) ? 1 : 0;
    CHECK(taken == 2 + 7 * std::uint64_t{rate});
  }
}

TEST_CASE("token bucket: over any time, no more than burst plus rate") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t rate = 1 + random.below(1'000'000);
    const std::uint32_t burst = 1 + random.below(100'000);
    Instant now(seconds(random.below(1000)));
    const Instant start = now;
    TokenBucket bucket(rate, burst, now);
    std::uint64_t taken = 0;
    for (int step = 0; step < 2000; ++step) {
      now += microseconds(random.below(20'000));
      const std::uint32_t amount = random.below(2'000);
      if (bucket.take(amount, now)) taken += amount;
      const auto elapsed = static_cast<std::uint64_t>((now - start).count());
      REQUIRE(taken * 1'000'000 <= burst * std::uint64_t{1'000'000} + elapsed * rate);
    }
  }
}

}  // namespace
}  // namespace hawser
