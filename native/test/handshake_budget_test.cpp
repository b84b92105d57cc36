// The budget of handshakes: its shares, and what one kind of work may take of another's.
#include "engine/handshake_budget.hpp"

#include <doctest/doctest.h>

#include "engine/failed_responses.hpp"

using namespace hawser;  // NOLINT(google-build-using-namespace): a test
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;

namespace {

constexpr Instant kStart{seconds(1'000)};
constexpr HandshakeWork kAll[] = {HandshakeWork::kCookie, HandshakeWork::kRequest, HandshakeWork::kResponse};

// Takes all that there is, one `step` at a time; the sum.
nanoseconds drain(HandshakeBudget& budget, HandshakeWork work, nanoseconds step, Instant now) {
  nanoseconds sum{0};
  while (budget.take(work, step, now)) sum += step;
  return sum;
}

CookieMac mac_of(std::uint8_t number) {
  CookieMac mac{};
  mac[0] = std::byte{number};
  return mac;
}

}  // namespace

TEST_CASE("handshake budget: half of its burst comes back in a millisecond, all kinds of work together") {
  HandshakeBudget budget(microseconds(1'000), kStart);
  nanoseconds sum{0};
  for (int i = 0; i < 100; ++i) {
    for (const HandshakeWork work : kAll)
      sum += drain(budget, work, nanoseconds(100), kStart + i * milliseconds(1));
  }
  CHECK(sum <= microseconds(1'000 + 99 * 500));
  CHECK(sum >= microseconds(99 * 500));
}

TEST_CASE("handshake budget: whatever one kind takes, each other kind has its share at once") {
  for (const HandshakeWork flood : kAll) {
    HandshakeBudget budget(microseconds(1'000), kStart);
    for (int i = 0; i < 50; ++i) {
      const Instant now = kStart + i * milliseconds(1);
      for (const HandshakeWork work : kAll) {
        if (work == flood) continue;
        const auto share = work == HandshakeWork::kResponse ? microseconds(500) : microseconds(250);
        // Half of its burst at any moment, which is what a millisecond brings.
        CHECK(budget.take(work, share / 2, now));
      }
      drain(budget, flood, nanoseconds(1'000), now);
    }
  }
}

TEST_CASE("handshake budget: a kind uses what the others leave idle") {
  HandshakeBudget budget(microseconds(1'000), kStart);
  nanoseconds sum{0};
  for (int i = 0; i < 100; ++i)
    sum += drain(budget, HandshakeWork::kRequest, nanoseconds(1'000), kStart + i * milliseconds(1));
  CHECK(sum >= microseconds(95 * 500));
}

TEST_CASE("handshake budget: the least burst has room for every datagram") {
  HandshakeBudget budget(microseconds(1), kStart);
  for (int i = 0; i < 10; ++i) {
    const Instant now = kStart + i * milliseconds(2);
    CHECK(budget.take(HandshakeWork::kCookie, HandshakeCosts::kCookieCheck, now));
    CHECK(budget.take(HandshakeWork::kRequest, HandshakeCosts::kMaxRequest, now));
    CHECK(budget.take(HandshakeWork::kResponse, HandshakeCosts::kMaxResponse, now));
  }
}

TEST_CASE("failed responses: counted per cookie, as long as a cookie lives") {
  FailedResponses failed;
  CHECK(failed.allocated_bytes() == 0);
  CHECK_FALSE(failed.exhausted(mac_of(1), kStart));
  for (std::uint32_t i = 0; i < FailedResponses::kLimit; ++i) {
    CHECK_FALSE(failed.exhausted(mac_of(1), kStart));
    failed.add(mac_of(1), kStart);
    failed.add(mac_of(2), kStart + seconds(1));
  }
  CHECK(failed.exhausted(mac_of(1), kStart));
  CHECK(failed.exhausted(mac_of(2), kStart));
  CHECK_FALSE(failed.exhausted(mac_of(3), kStart));
  CHECK_FALSE(failed.exhausted(mac_of(1), kStart + FailedResponses::kRemembered));
  CHECK(failed.exhausted(mac_of(2), kStart + FailedResponses::kRemembered));
}

TEST_CASE("failed responses: a cookie in the same cell is not taken for another, and memory is fixed") {
  FailedResponses failed;
  CookieMac twin = mac_of(1);
  twin[15] = std::byte{9};
  for (std::uint32_t i = 0; i < FailedResponses::kLimit; ++i) failed.add(mac_of(1), kStart);
  CHECK_FALSE(failed.exhausted(twin, kStart));
  const std::size_t bytes = failed.allocated_bytes();
  for (int i = 0; i < 100'000; ++i) {
    CookieMac mac{};
    for (std::size_t at = 0; at < 4; ++at) mac[at] = static_cast<std::byte>(i >> (8 * at));
    failed.add(mac, kStart);
  }
  CHECK(failed.allocated_bytes() == bytes);
}
