#include "engine/pacer.hpp"

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

constexpr std::size_t kDatagram = 1200;
constexpr std::uint64_t kRate = 12'500'000;  // 100 Mbit/s

// Sends as many as it lets at once.
std::size_t drain(Pacer& pacer, Instant now, std::uint64_t rate, std::size_t bytes = kDatagram) {
  std::size_t sent = 0;
  while (pacer.may_send(now, rate, bytes)) {
    pacer.on_sent(bytes);
    ++sent;
    REQUIRE(sent < 1'000'000);
  }
  return sent;
}

TEST_CASE("pacer: ten datagrams at the start, whatever the rate") {
  const Instant start(seconds(1));
  Pacer slow(kDatagram, start);
  CHECK(drain(slow, start, 1000) == 10);
  Pacer late(kDatagram, start);
  CHECK(drain(late, start + seconds(9), 1000) == 10);
}

TEST_CASE("pacer: after a rest of any length what two milliseconds bring, and at least two datagrams") {
  const Instant start(seconds(1));
  for (const auto rest : {Instant::duration(milliseconds(2)), Instant::duration(hours(24 * 365 * 100))}) {
    Pacer pacer(kDatagram, start);
    CHECK(drain(pacer, start, kRate) >= 10);
    CHECK(drain(pacer, start + rest, kRate) == kRate / 500 / kDatagram);
  }
  Pacer slow(kDatagram, start);
  CHECK(drain(slow, start, 50'000) == 10);
  CHECK(drain(slow, start + seconds(10), 50'000) == 2);
}

TEST_CASE("pacer: over any time it gives the rate, however often it is asked") {
  for (const std::uint64_t rate :
       {std::uint64_t{1'500}, std::uint64_t{44'000}, kRate, std::uint64_t{125'000'000}}) {
    INFO("rate " << rate);
    SeededRandom random(rate);
    const Instant start(seconds(5));
    Pacer pacer(kDatagram, start);
    drain(pacer, start, rate);
    Instant now = start;
    std::size_t bytes = 0;
    while (now < start + seconds(10) && bytes < 20'000 * kDatagram) {
      now += microseconds(1 + random.below(1500));
      bytes += kDatagram * drain(pacer, now, rate);
    }
    const double expected = static_cast<double>(rate) * std::chrono::duration<double>(now - start).count();
    CHECK(static_cast<double>(bytes) <= expected + kDatagram);
    CHECK(static_cast<double>(bytes) >= expected - kDatagram - static_cast<double>(rate) / 500);
  }
}

TEST_CASE("pacer: the next time is the first at which it lets a packet through") {
  SeededRandom random(7);
  Instant now(seconds(1));
  Pacer pacer(kDatagram, now);
  for (int i = 0; i < 2000; ++i) {
    const std::uint64_t rate = 1 + random.below(20'000'000);
    const std::size_t bytes = 100 + random.below(1101);
    drain(pacer, now, rate, bytes);
    const Instant next = pacer.next_time(now, rate, bytes);
    REQUIRE(next > now);
    Pacer early = pacer;
    REQUIRE_FALSE(early.may_send(next - microseconds(1), rate, bytes));
    REQUIRE(pacer.may_send(next, rate, bytes));
    REQUIRE(pacer.next_time(next, rate, bytes) == next);
    now = next;
  }
}

TEST_CASE("pacer: what is sent without leave is paid for, by one burst at most") {
  const Instant start(seconds(1));
  Pacer pacer(kDatagram, start);
  drain(pacer, start, kRate);
  for (int i = 0; i < 5; ++i) pacer.on_sent(kDatagram);
  CHECK_FALSE(pacer.may_send(start + microseconds(400), kRate, kDatagram));
  CHECK(pacer.may_send(start + microseconds(600), kRate, kDatagram));
  for (int i = 0; i < 100'000; ++i) pacer.on_sent(kDatagram);
  CHECK_FALSE(pacer.may_send(start + microseconds(600), kRate, kDatagram));
  CHECK(pacer.may_send(start + microseconds(600) + milliseconds(3), kRate, kDatagram));
}

TEST_CASE("pacer: time that goes back brings nothing; extreme rates do not overflow") {
  const Instant start(seconds(10));
  Pacer pacer(kDatagram, start);
  drain(pacer, start, kRate);
  CHECK_FALSE(pacer.may_send(start - seconds(5), kRate, kDatagram));
  CHECK_FALSE(pacer.may_send(start, kRate, kDatagram));
  // A rate of 0 counts as one byte a second.
  const Instant next = pacer.next_time(start, 0, kDatagram);
  CHECK(next > start + seconds(kDatagram / 2));
  CHECK(next <= start + seconds(kDatagram));
  CHECK(pacer.may_send(start + hours(1), UINT64_MAX, 65'000));
}

TEST_CASE("pacer: a larger datagram gives a larger least burst") {
  const Instant start(seconds(1));
  Pacer pacer(kDatagram, start);
  drain(pacer, start, 1000);
  pacer.set_max_datagram(1452);
  CHECK(drain(pacer, start + seconds(60), 1000, 1452) == 2);
}

}  // namespace
}  // namespace hawser
