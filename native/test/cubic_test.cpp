#include "engine/cubic.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>

namespace hawser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kDatagram = 1200;

// A sender that fills the window at once and whose acknowledgements come one round trip later.
class Sender {
 public:
  explicit Sender(Duration path = milliseconds(50)) : round_trip(path) {}

  void send(std::size_t packets) {
    while (packets-- > 0) {
      SentPacketInfo packet{.number = next_number++, .sent = now, .bytes = kDatagram, .snapshot = {}};
      cubic.on_sent(packet, in_flight);
      in_flight += kDatagram;
      flying.push_back(packet);
    }
  }
  void fill() {
    while (in_flight + kDatagram <= cubic.window()) send(1);
  }

  // The end of one ACK with `acked` packets and, before them, `lost` ones.
  void acknowledge(std::size_t acked, std::size_t lost = 0, std::uint64_t marked = 0) {
    AckSummary summary;
    std::deque<SentPacketInfo> gone(flying.begin(), flying.begin() + static_cast<std::ptrdiff_t>(lost));
    flying.erase(flying.begin(), flying.begin() + static_cast<std::ptrdiff_t>(lost));
    for (std::size_t i = 0; i < acked; ++i) {
      summary.largest_acked = flying.front().number;
      summary.acked_bytes += kDatagram;
      cubic.on_acked(flying.front(), now);
      flying.pop_front();
    }
    for (const SentPacketInfo& packet : gone) cubic.on_lost(packet, now);
    in_flight -= (acked + lost) * kDatagram;
    if (acked > 0) {
      estimate.add_sample(round_trip, now);
      summary.latest_round_trip = round_trip;
    }
    summary.now = now;
    summary.round_trip = &estimate;
    summary.next_number = next_number;
    summary.lost_bytes = lost * kDatagram;
    summary.in_flight = in_flight;
    summary.newly_marked = marked;
    cubic.on_ack_done(summary);
  }

  // Everything sent before comes back, `lost` of it not, two packets with each ACK; the window is filled
  // again.
  void round(std::size_t lost = 0, std::uint64_t marked = 0) {
    const std::size_t all = flying.size();
    now += round_trip;
    for (std::size_t done = lost; done < all;) {
      const std::size_t count = std::min<std::size_t>(2, all - done);
      acknowledge(count, lost, marked);
      lost = 0;
      marked = 0;
      done += count;
      fill();
    }
  }

  [[nodiscard]] std::size_t packets() const { return cubic.window() / kDatagram; }

  Cubic cubic{kDatagram};
  RoundTrip estimate;
  std::deque<SentPacketInfo> flying;
  Duration round_trip;
  Instant now{seconds(1)};
  std::size_t in_flight = 0;
  std::uint64_t next_number = 0;
};

TEST_CASE("cubic: the initial window of RFC 9002 section 7.2") {
  CHECK(Cubic(1200).window() == 12'000);
  CHECK(Cubic(1452).window() == 14'520);
  CHECK(Cubic(4000).window() == 14'720);
  CHECK(Cubic(9000).window() == 18'000);
  CHECK(Cubic(1200).pacing_rate() == 12'000 * 1000 / 333);
}

TEST_CASE("cubic: slow start doubles in each round trip, and is paced at twice the window") {
  Sender sender;
  sender.fill();
  std::size_t before = sender.cubic.window();
  for (int i = 0; i < 5; ++i) {
    sender.round();
    CHECK(sender.cubic.window() == 2 * before);
    before = sender.cubic.window();
  }
  CHECK(sender.cubic.pacing_rate() == before * 2 * 20 + 1);
}

TEST_CASE("cubic: an undone reduction leaves the window and the curve as they were before it") {
  for (const int rounds : {3, 40}) {
    CAPTURE(rounds);
    Sender sender;
    sender.fill();
    for (int i = 0; i < rounds; ++i) sender.round(i == 4 ? 1 : 0);
    const std::size_t before = sender.cubic.window();
    const std::uint64_t rate = sender.cubic.pacing_rate();
    sender.now += sender.round_trip;
    sender.cubic.on_losses_begin();
    sender.acknowledge(2, 3);
    CHECK(sender.cubic.window() < before);
    sender.cubic.on_losses_undone();
    CHECK(sender.cubic.window() == before);
    CHECK(sender.cubic.pacing_rate() == rate);
    // A loss among the same packets is answered anew.
    sender.cubic.on_losses_begin();
    sender.acknowledge(2, 1);
    CHECK(sender.cubic.window() < before);
    // And what grew meanwhile stays.
    for (int i = 0; i < 100; ++i) sender.round();
    const std::size_t grown = sender.cubic.window();
    REQUIRE(grown > before);
    sender.cubic.on_losses_undone();
    CHECK(sender.cubic.window() == grown);
  }
}

TEST_CASE("cubic: one reduction by 0.7 for everything sent before it") {
  Sender sender;
  sender.fill();
  for (int i = 0; i < 4; ++i) sender.round();
  const auto before = static_cast<double>(sender.cubic.window());
  sender.now += sender.round_trip;
  sender.acknowledge(2, 3);
  const std::size_t reduced = sender.cubic.window();
  CHECK(static_cast<double>(reduced) == doctest::Approx(0.7 * (before + 0)).epsilon(0.001));
  // More of the same round trip: neither reduction nor growth.
  sender.now += milliseconds(1);
  sender.acknowledge(10, 5);
  CHECK(sender.cubic.window() == reduced);
  CHECK(sender.cubic.pacing_rate() == std::uint64_t{reduced} * 125 / 100 * 20 + 1);
  // What was sent after it is answered again.
  const std::size_t old = sender.flying.size();
  sender.now += milliseconds(1);
  sender.send(4);
  sender.now += sender.round_trip;
  sender.acknowledge(old);
  CHECK(sender.cubic.window() == reduced);
  sender.acknowledge(2, 1);
  CHECK(sender.cubic.window() < reduced);
}

TEST_CASE("cubic: the curve of RFC 9438 section 4.2") {
  Sender sender(milliseconds(100));
  sender.fill();
  while (sender.packets() < 500) sender.round();
  const auto most = static_cast<double>(sender.packets());
  sender.round(1);
  const double reduced = static_cast<double>(sender.packets());
  CHECK(reduced == doctest::Approx(0.7 * most).epsilon(0.01));
  // K seconds later the window is where it was, and has been nearly flat before.
  const double k = std::cbrt(0.3 * most / 0.4);
  const Instant begun = sender.now;
  const auto run_to = [&](double time) {
    while (std::chrono::duration<double>(sender.now - begun).count() < time) sender.round();
    return static_cast<double>(sender.packets());
  };
  CHECK(run_to(k / 2) == doctest::Approx(most - 0.4 * std::pow(k / 2, 3)).epsilon(0.02));
  CHECK(run_to(k) == doctest::Approx(most).epsilon(0.02));
  CHECK(run_to(k + 5) == doctest::Approx(most + 0.4 * 125).epsilon(0.02));
}

TEST_CASE("cubic: on short paths as fast as Reno (RFC 9438 section 4.3)") {
  Sender sender(milliseconds(2));
  sender.fill();
  while (sender.packets() < 60) sender.round();
  sender.round(1);
  const std::size_t reduced = sender.packets();
  // 0.53 packets in each round trip.
  for (int i = 0; i < 20; ++i) sender.round();
  CHECK(sender.packets() >= reduced + 9);
  CHECK(sender.packets() <= reduced + 12);
}

TEST_CASE("cubic: fast convergence gives room when a plateau is not reached again") {
  const auto window_after = [](int reductions) {
    Sender sender(milliseconds(100));
    sender.fill();
    while (sender.packets() < 500) sender.round();
    for (int i = 0; i < reductions; ++i) {
      sender.round(1);
      sender.round();
      sender.round();
    }
    // Where the window stays flat for a while is the plateau.
    const double start = static_cast<double>(sender.packets());
    const double plateau = start / 0.7;
    const double k = std::cbrt((plateau - start) / 0.4);
    for (int i = 0; i < static_cast<int>(10 * k); ++i) sender.round();
    return static_cast<double>(sender.packets()) / plateau;
  };
  CHECK(window_after(1) == doctest::Approx(1).epsilon(0.03));
  CHECK(window_after(2) < 0.95);
}

TEST_CASE("cubic: a CE mark is a loss that costs no packet, once in a round trip") {
  Sender sender;
  sender.fill();
  for (int i = 0; i < 4; ++i) sender.round();
  const auto before = static_cast<double>(sender.cubic.window());
  sender.now += sender.round_trip;
  sender.acknowledge(2, 0, 1);
  const std::size_t reduced = sender.cubic.window();
  CHECK(static_cast<double>(reduced) == doctest::Approx(0.7 * before).epsilon(0.001));
  sender.acknowledge(2, 0, 2);
  CHECK(sender.cubic.window() == reduced);
}

TEST_CASE(
    "cubic: persistent congestion leaves two packets, then slow start up to where it had been reduced") {
  Sender sender;
  sender.fill();
  for (int i = 0; i < 4; ++i) sender.round();
  const std::size_t before = sender.cubic.window();
  sender.now += seconds(2);
  sender.acknowledge(2, sender.flying.size() - 2);
  sender.cubic.on_persistent_congestion(sender.now);
  CHECK(sender.cubic.window() == 2 * kDatagram);
  sender.fill();
  sender.round();
  CHECK(sender.cubic.window() == 4 * kDatagram);
  for (int i = 0; i < 6; ++i) sender.round();
  CHECK(sender.cubic.window() < before);
  CHECK(sender.cubic.window() >= before * 7 / 10);
}

TEST_CASE("cubic: never below two packets") {
  Sender sender;
  for (int i = 0; i < 50; ++i) {
    sender.now += seconds(1);
    sender.send(2);
    sender.now += sender.round_trip;
    sender.acknowledge(1, 1);
  }
  CHECK(sender.cubic.window() >= 2 * kDatagram);
  CHECK(sender.cubic.window() < 4 * kDatagram);
}

TEST_CASE("cubic: a window that is not used does not grow") {
  Sender sender;
  sender.fill();
  for (int i = 0; i < 3; ++i) sender.round();
  while (!sender.flying.empty()) sender.acknowledge(1);
  const auto trickle = [&](int rounds) {
    for (int i = 0; i < rounds; ++i) {
      sender.send(4);
      sender.cubic.on_app_limited(sender.in_flight);
      sender.now += sender.round_trip;
      sender.acknowledge(4);
    }
  };
  trickle(3);
  const std::size_t before = sender.cubic.window();
  trickle(40);
  CHECK(sender.cubic.window() == before);
}

TEST_CASE("cubic: time in which the application sends little does not move along the curve") {
  Sender sender(milliseconds(100));
  sender.fill();
  while (sender.packets() < 500) sender.round();
  sender.round(1);
  for (int i = 0; i < 5; ++i) sender.round();
  while (!sender.flying.empty()) sender.acknowledge(1);
  const std::size_t before = sender.cubic.window();
  for (int i = 0; i < 600; ++i) {
    sender.send(2);
    sender.cubic.on_app_limited(sender.in_flight);
    sender.now += sender.round_trip;
    sender.acknowledge(2);
  }
  sender.fill();
  for (int i = 0; i < 2; ++i) sender.round();
  // A minute on the curve would have been tens of thousands of packets.
  CHECK(sender.cubic.window() < before * 3 / 2);
}

TEST_CASE("cubic: slow start ends gently when the round trip rises (RFC 9406)") {
  Sender sender;
  sender.fill();
  for (int i = 0; i < 5; ++i) sender.round();
  const std::size_t doubled = sender.cubic.window();
  sender.round_trip = milliseconds(60);
  sender.round();
  // Eight samples of this round trip counted in full.
  CHECK(sender.cubic.window() < doubled * 8 / 5);
  for (int i = 0; i < 6; ++i) sender.round();
  const std::size_t left = sender.cubic.window();
  CHECK(left < doubled * 4);
  CHECK(sender.cubic.pacing_rate() < left * 2 * 1000 / 60);
  sender.round();
  CHECK(sender.cubic.window() < left + left / 16);
}

TEST_CASE("cubic: a rise that passes brings slow start back") {
  Sender sender;
  sender.fill();
  for (int i = 0; i < 5; ++i) sender.round();
  sender.round_trip = milliseconds(60);
  sender.round();
  sender.round_trip = milliseconds(50);
  sender.round();
  const std::size_t before = sender.cubic.window();
  sender.round();
  CHECK(sender.cubic.window() == 2 * before);
}

TEST_CASE("cubic: a fresh path forgets everything, another datagram size does not") {
  Sender sender;
  sender.fill();
  for (int i = 0; i < 3; ++i) sender.round();
  sender.round(1);
  const std::size_t before = sender.cubic.window();
  sender.cubic.on_path(1452, false, sender.now);
  CHECK(sender.cubic.window() == before);
  sender.cubic.on_path(1452, true, sender.now);
  CHECK(sender.cubic.window() == 14'520);
  CHECK(sender.cubic.pacing_rate() == 14'520 * 1000 / 333);
}

}  // namespace
}  // namespace hawser
