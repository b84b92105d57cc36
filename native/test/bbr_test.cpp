#include "engine/bbr.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <vector>

#include "bottleneck.hpp"
#include "channels_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

Instant at(double seconds_since_epoch) {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds_since_epoch)));
}

Bbr& bbr_of(Flow& flow) { return static_cast<Bbr&>(flow.controller()); }

// Bytes a second.
double link_rate(Bottleneck& bottleneck) { return bottleneck.link().options().megabits * 1e6 / 8; }

TEST_CASE("bbr: before the first sample") {
  Bbr bbr(1200, at(1));
  CHECK(bbr.state() == Bbr::State::kStartup);
  CHECK(bbr.window() == 12'000);
  CHECK(bbr.pacing_rate() == 12'000 * 1000 / 333);
}

TEST_CASE("bbr: from Startup through Drain into the cycle of ProbeBW, at the rate of the link") {
  Bottleneck bottleneck({.megabits = 20});
  Flow& flow = bottleneck.add({});
  std::array<bool, 7> seen{};
  double most = 0;
  double sum = 0;
  int ticks = 0;
  for (Instant now = at(1); now < at(9); now += milliseconds(1)) {
    bottleneck.run_until(now);
    const Bbr::State state = bbr_of(flow).state();
    seen[static_cast<std::size_t>(state)] = true;
    if (state != Bbr::State::kCruise) continue;
    const double share = static_cast<double>(bbr_of(flow).pacing_rate()) / link_rate(bottleneck);
    most = std::max(most, share);
    sum += share;
    ++ticks;
  }
  CHECK(most <= 1.02);
  CHECK(sum / ticks >= 0.95);
  for (std::size_t state = 0; state < seen.size(); ++state) {
    INFO("state " << state);
    CHECK(seen[state]);
  }
}

TEST_CASE("bbr: ProbeRTT halves what is in flight every five seconds, for 200 ms and a round trip") {
  Bottleneck bottleneck({.megabits = 20});
  Flow& flow = bottleneck.add({});
  const std::size_t bdp = bottleneck.link().bdp();
  int visits = 0;
  int ticks = 0;
  bool before = false;
  for (Instant now = at(1); now < at(22); now += milliseconds(1)) {
    bottleneck.run_until(now);
    const bool inside = bbr_of(flow).state() == Bbr::State::kProbeRtt;
    if (inside) {
      ++ticks;
      CHECK(flow.controller().window() <= bdp * 55 / 100);
    }
    if (inside && !before) ++visits;
    before = inside;
  }
  CHECK(visits >= 3);
  CHECK(visits <= 4);
  CHECK(ticks / visits >= 200);
  CHECK(ticks / visits <= 400);
}

TEST_CASE("bbr: more bandwidth is found and less is obeyed") {
  Bottleneck bottleneck({.megabits = 10});
  Flow& flow = bottleneck.add({});
  bottleneck.run_until(at(5));
  bottleneck.link().options().megabits = 40;
  bottleneck.run_until(at(12));
  const std::uint64_t before = flow.arrived();
  bottleneck.run_until(at(14));
  CHECK(static_cast<double>(flow.arrived() - before) * 8 / 2e6 > 0.85 * 40);
  bottleneck.link().options().megabits = 10;
  bottleneck.run_until(at(22));
  const std::uint64_t sent = flow.sent_packets();
  const std::uint64_t lost = flow.lost_packets();
  bottleneck.run_until(at(26));
  CHECK(static_cast<double>(flow.lost_packets() - lost) <
        0.02 * static_cast<double>(flow.sent_packets() - sent));
  CHECK(static_cast<double>(bbr_of(flow).pacing_rate()) < link_rate(bottleneck) * 1.3);
}

TEST_CASE("bbr: losses without a queue do not slow it down, up to a tenth") {
  const auto rate = [](double loss) {
    Bottleneck bottleneck({.megabits = 20, .loss = loss, .seed = 3});
    Flow& flow = bottleneck.add({});
    bottleneck.run_until(at(11));
    return static_cast<double>(flow.arrived()) * 8 / 10e6;
  };
  CHECK(rate(0.03) > 0.8 * 20);
  CHECK(rate(0.30) < 0.5 * 20);
}

TEST_CASE("bbr: a flow of which an outage lets one packet in five seconds pass sends on within 25 ms") {
  Bbr bbr(1200, at(1));
  RoundTrip round_trip;
  Instant now = at(1);
  std::uint64_t next = 0;
  for (int outage = 0; outage < 4; ++outage) {
    std::vector<SentPacketInfo> probes;
    for (int i = 0; i < 20; ++i) {
      now += milliseconds(250);
      probes.push_back({.number = next++, .sent = now, .bytes = 1200, .snapshot = {}});
      bbr.on_sent(probes.back(), probes.size() * 1200 - 1200);
    }
    now += milliseconds(20);
    round_trip.add_sample(milliseconds(20), now);
    bbr.on_acked(probes.back(), now);
    probes.pop_back();
    bbr.on_losses_begin();
    for (std::size_t i = 0; i < probes.size(); i += 2) bbr.on_lost(probes[i], now);
    bbr.on_ack_done({.now = now,
                     .latest_round_trip = milliseconds(20),
                     .round_trip = &round_trip,
                     .largest_acked = next - 1,
                     .next_number = next,
                     .acked_bytes = 1200,
                     .lost_bytes = 10 * 1200});
    CHECK(bbr.pacing_rate() >= 1200 * 40);
  }
}

TEST_CASE("bbr: Startup goes on with its window when the losses that ended it are undone") {
  Bbr bbr(1200, at(1));
  RoundTrip round_trip;
  Instant now = at(1);
  std::uint64_t next = 0;
  std::vector<SentPacketInfo> flying;
  const auto round = [&](bool lossy) {
    now += milliseconds(50);
    round_trip.add_sample(milliseconds(50), now);
    AckSummary summary{.now = now, .latest_round_trip = milliseconds(50), .round_trip = &round_trip};
    for (std::size_t i = 0; i < flying.size(); ++i) {
      if (lossy && i % 3 == 0) continue;
      summary.acked_bytes += 1200;
      bbr.on_acked(flying[i], now);
    }
    for (std::size_t i = 0; lossy && i < flying.size(); i += 3) {
      summary.lost_bytes += 1200;
      bbr.on_lost(flying[i], now);
    }
    bbr.on_ack_done(summary);
    flying.clear();
    for (std::size_t in_flight = 0; in_flight + 1200 <= bbr.window(); in_flight += 1200) {
      flying.push_back({.number = next++, .sent = now, .bytes = 1200, .snapshot = {}});
      bbr.on_sent(flying.back(), in_flight);
    }
  };
  for (int i = 0; i < 4; ++i) round(false);
  REQUIRE(bbr.state() == Bbr::State::kStartup);
  const std::size_t before = bbr.window();
  bbr.on_losses_begin();
  for (int i = 0; i < 3 && bbr.state() == Bbr::State::kStartup; ++i) round(true);
  REQUIRE(bbr.state() != Bbr::State::kStartup);
  bbr.on_losses_undone();
  CHECK(bbr.state() == Bbr::State::kStartup);
  CHECK(bbr.window() >= before);
  // It was ended by nothing else: without losses the window grows on.
  for (int i = 0; i < 2; ++i) round(false);
  CHECK(bbr.state() == Bbr::State::kStartup);
  CHECK(bbr.window() > 2 * before);
}

TEST_CASE("bbr: jitter that looks like a queue does not end Startup at the first losses") {
  constexpr std::uint64_t kSeeds = 12;
  constexpr std::uint64_t kMessages = 1280;
  std::vector<double> rates;  // MB/s
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    LinkSettings link;
    link.mtu_bytes = 1472;
    link.delay = milliseconds(95);
    link.jitter = milliseconds(10);
    link.jitter_reorders = true;
    link.reorder_rate = 0.05;
    link.least_hold_back = link.most_hold_back = milliseconds(10);
    link.loss_rate = 0.02;
    ChannelWorld world(seed, link);
    world.connect();
    for (std::uint64_t i = 0; i < kMessages; ++i)
      REQUIRE(world.client->send(world.own, kOrdered, i, 8192) == SendStatus::kSent);
    const Instant begin = world.simulation.now();
    const auto& received = world.gateway->side(world.other).received[kOrdered];
    while (received.size() < kMessages) world.run(milliseconds(10));
    const std::chrono::duration<double, std::micro> passed = world.simulation.now() - begin;
    rates.push_back(kMessages * 8192 / passed.count());
  }
  CHECK(std::ranges::min(rates) >= 3);
}

TEST_CASE("bbr: ProbeBW_UP is entered again at once when the losses that ended it are undone") {
  for (const bool undone : {true, false}) {
    CAPTURE(undone);
    Bottleneck bottleneck({.megabits = 20});
    Flow& flow = bottleneck.add({});
    Bbr& bbr = bbr_of(flow);
    Instant now = at(1);
    for (; bbr.state() != Bbr::State::kUp; now += milliseconds(1)) {
      REQUIRE(now < at(20));
      bottleneck.run_until(now);
    }
    // A window of packets in each round trip from here on, without the bottleneck.
    RoundTrip round_trip;
    std::uint64_t next = 1'000'000;
    std::vector<SentPacketInfo> flying;
    const auto round = [&](bool lossy) {
      now += milliseconds(50);
      round_trip.add_sample(milliseconds(50), now);
      AckSummary summary{.now = now, .latest_round_trip = milliseconds(50), .round_trip = &round_trip};
      for (std::size_t i = 0; i < flying.size(); ++i) {
        if (lossy && i % 4 == 0) continue;
        summary.acked_bytes += 1200;
        bbr.on_acked(flying[i], now);
      }
      if (lossy) bbr.on_losses_begin();
      for (std::size_t i = 0; lossy && i < flying.size(); i += 4) {
        summary.lost_bytes += 1200;
        bbr.on_lost(flying[i], now);
      }
      bbr.on_ack_done(summary);
      flying.clear();
      for (std::size_t in_flight = 0; in_flight + 1200 <= bbr.window(); in_flight += 1200) {
        flying.push_back({.number = next++, .sent = now, .bytes = 1200, .snapshot = {}});
        bbr.on_sent(flying.back(), in_flight);
      }
    };
    round(false);
    REQUIRE(bbr.state() == Bbr::State::kUp);
    const std::size_t before = bbr.window();
    round(true);
    REQUIRE(bbr.state() != Bbr::State::kUp);
    CHECK(bbr.window() < before);
    if (undone) {
      bbr.on_losses_undone();
      CHECK(bbr.window() >= before);
    }
    bool probes = false;
    for (int i = 0; i < 3; ++i) {
      round(false);
      probes = probes || bbr.state() == Bbr::State::kUp;
    }
    // Otherwise the next probe comes a second later at the earliest.
    CHECK(probes == undone);
  }
}

TEST_CASE("bbr: a queue that overflows is obeyed") {
  // A twentieth of the bandwidth-delay product of queue: losses show that it is full, not delay.
  Bottleneck bottleneck({.megabits = 20, .queue_bytes = 12'500});
  Flow& flow = bottleneck.add({});
  bottleneck.run_until(at(11));
  CHECK(static_cast<double>(flow.lost_packets()) < 0.03 * static_cast<double>(flow.sent_packets()));
  CHECK(static_cast<double>(flow.arrived()) * 8 / 10e6 > 0.85 * 20);
}

TEST_CASE("bbr: CE marks keep a queue short that would not be full") {
  const auto wait = [](double mark_from) {
    // Four flows, so that there is a queue even between the probes of one.
    Bottleneck bottleneck({.megabits = 20, .mark_from = mark_from});
    std::array<Flow*, 4> flows{};
    for (std::size_t i = 0; i < flows.size(); ++i) {
      flows[i] = &bottleneck.add({.start = at(1 + 0.3137 * static_cast<double>(i))});
    }
    bottleneck.add_probe(at(3));
    bottleneck.run_until(at(13));
    std::uint64_t arrived = 0;
    for (const Flow* flow : flows) arrived += flow->arrived();
    CHECK(static_cast<double>(arrived) * 8 / 12e6 > 0.8 * 20);
    return bottleneck.wait_ms(90);
  };
  CHECK(wait(0.1) < 0.75 * wait(0));
}

TEST_CASE("bbr: after a rest it sends at the rate it knew, not in a burst") {
  Bottleneck bottleneck({.megabits = 20});
  Flow& flow = bottleneck.add({.bytes = 5'000'000});
  bottleneck.run_until(at(8));
  REQUIRE(flow.done());
  flow.add(1'000'000, at(20));
  bottleneck.add_probe(at(20), 100);
  bottleneck.run_until(at(20.2));
  CHECK(bbr_of(flow).state() != Bbr::State::kProbeRtt);
  CHECK(static_cast<double>(bbr_of(flow).pacing_rate()) >= link_rate(bottleneck) * 0.85);
  bottleneck.run_until(at(21));
  CHECK(flow.done());
  CHECK(bottleneck.wait_ms(99) < 15);
}

TEST_CASE("bbr: what an application sends slowly is no measure of the path") {
  Bottleneck bottleneck({.megabits = 20});
  Flow& flow = bottleneck.add({.bytes = 4'000'000});
  bottleneck.run_until(at(4));
  REQUIRE(flow.done());
  for (int i = 0; i < 300; ++i) {
    const Instant now = at(4 + 0.0333 * i);
    bottleneck.run_until(now);
    if (flow.done()) flow.add(2400, now);
  }
  CHECK(static_cast<double>(bbr_of(flow).pacing_rate()) > link_rate(bottleneck) * 0.8);
}

TEST_CASE("bbr: persistent congestion leaves four packets, and a fresh path the initial window") {
  Bottleneck bottleneck({.megabits = 20});
  Flow& flow = bottleneck.add({});
  bottleneck.run_until(at(4));
  Bbr& bbr = bbr_of(flow);
  bbr.on_persistent_congestion(at(4));
  CHECK(bbr.window() == 4 * 1200);
  bbr.on_path(1452, false, at(4));
  CHECK(bbr.window() == 4 * 1452);
  bbr.on_path(1452, true, at(4));
  CHECK(bbr.window() == 14'520);
  CHECK(bbr.state() == Bbr::State::kStartup);
  CHECK(bbr.pacing_rate() == 14'520 * 1000 / 333);
}

TEST_CASE("bbr: it recovers from an outage") {
  Bottleneck bottleneck({.megabits = 20});
  Flow& flow = bottleneck.add({});
  bottleneck.run_until(at(4));
  bottleneck.link().options().loss = 1;
  bottleneck.run_until(at(9));
  bottleneck.link().options().loss = 0;
  bottleneck.run_until(at(16));
  const std::uint64_t before = flow.arrived();
  bottleneck.run_until(at(18));
  CHECK(static_cast<double>(flow.arrived() - before) * 8 / 2e6 > 0.85 * 20);
}

TEST_CASE("bbr: one seed, one run") {
  const auto run = [](std::uint64_t seed) {
    Bottleneck bottleneck({.megabits = 20, .loss = 0.02, .seed = seed});
    Flow& flow = bottleneck.add({});
    bottleneck.run_until(at(6));
    return flow.arrived();
  };
  CHECK(run(1) == run(1));
  CHECK(run(1) != run(2));
}

}  // namespace
}  // namespace hawser::test
