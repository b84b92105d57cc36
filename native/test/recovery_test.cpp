// Loss detection on paths that reorder packets: when a packet counts as lost, what is learnt from one that
// was acknowledged after all, and which losses are undone.
#include "engine/recovery.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <set>
#include <vector>

#include "base/bytes.hpp"
#include "channels_support.hpp"
#include "wire/frames.hpp"

namespace hawser {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;

constexpr std::size_t kDatagram = 1200;

// Records losses and what becomes of them.
class Witness final : public CongestionController {
 public:
  void on_sent(SentPacketInfo& /*packet*/, std::size_t /*in_flight*/) override {}
  void on_acked(const SentPacketInfo& /*packet*/, Instant /*now*/) override {}
  void on_lost(const SentPacketInfo& packet, Instant /*now*/) override { lost.push_back(packet.number); }
  void on_losses_begin() override { ++episodes; }
  void on_losses_undone() override { ++undone; }
  void on_ack_done(const AckSummary& /*summary*/) override {}
  void on_persistent_congestion(Instant /*now*/) override {}
  void on_app_limited(std::size_t /*in_flight*/) override {}
  void on_path(std::size_t /*max_datagram*/, bool /*fresh*/, Instant /*now*/) override {}
  [[nodiscard]] std::size_t window() const override { return SIZE_MAX; }
  [[nodiscard]] std::uint64_t pacing_rate() const override { return UINT64_MAX; }

  std::vector<std::uint64_t> lost;
  int episodes = 0;
  int undone = 0;
};

struct Owner {
  void on_frame_acknowledged(const SentFrame& /*frame*/) {}
  void on_frame_lost(const SentFrame& frame) { resent.push_back(frame.number); }
  void on_packet_acknowledged(const SentPacketInfo& packet) { acknowledged.push_back(packet.number); }
  void on_packet_lost(const SentPacketInfo& /*packet*/) {}
  void on_probe_without_frames() {}

  std::vector<std::uint64_t> resent;
  std::vector<std::uint64_t> acknowledged;
};

// A sender with a packet each millisecond. Each acknowledgement is of all numbers in `received`.
class Sender {
 public:
  ~Sender() { recovery.on_path_changed(owner); }

  // Each packet carries the message of its number.
  void send(int packets) {
    for (; packets > 0; --packets) {
      REQUIRE(recovery.reserve(pool));
      REQUIRE(recovery.add_frame(pool, {.number = next, .length = 1}));
      recovery.on_sent(pool, controller, next++, kDatagram, now);
      now += milliseconds(1);
    }
  }
  void receive(std::uint64_t first, std::uint64_t last) {
    for (; first <= last; ++first) received.insert(first);
  }
  void receive(std::uint64_t number) { receive(number, number); }

  void acknowledge(Instant at, std::uint64_t newly_marked = 0) {
    now = std::max(now, at);
    std::vector<AckRange> ranges;
    for (auto number = received.rbegin(); number != received.rend(); ++number) {
      if (!ranges.empty() && ranges.back().smallest == *number + 1) {
        ranges.back().smallest = *number;
      } else if (ranges.size() == kMaxAckRanges) {
        break;
      } else {
        ranges.push_back({*number, *number});
      }
    }
    acknowledge(ranges, newly_marked);
  }
  std::uint64_t acknowledge(std::span<const AckRange> ranges, std::uint64_t newly_marked = 0) {
    std::array<std::byte, 1200> bytes{};
    ByteWriter writer(bytes);
    REQUIRE(write_ack(writer, Duration::zero(), ranges));
    FrameReader reader(writer.written());
    Frame frame;
    REQUIRE(reader.next(frame));
    return recovery.on_ack(pool, frame.ack, newly_marked, next, controller, round_trip, now, owner);
  }
  // Runs the timer at its time, if that is not after `until`. Whether it did.
  bool run_timer(Instant until) {
    const Instant due = recovery.deadline(round_trip);
    if (due > until) return false;
    now = std::max(now, due);
    recovery.on_timeout(pool, controller, round_trip, next, now, owner);
    return true;
  }
  // A packet whose only acknowledgement comes a round trip later.
  void round_trips(int count) {
    for (; count > 0; --count) {
      const std::uint64_t number = next;
      const Instant sent = now;
      send(1);
      receive(number);
      acknowledge(sent + kRoundTrip);
    }
  }
  [[nodiscard]] Instant sent_at(std::uint64_t number) const {
    return kBegin + milliseconds(static_cast<int>(number));
  }

  static constexpr Duration kRoundTrip = milliseconds(100);
  static constexpr Instant kBegin{std::chrono::seconds(1)};
  BlockPool pool{SIZE_MAX, 0};
  Recovery recovery;
  Witness controller;
  Owner owner;
  RoundTrip round_trip;
  std::set<std::uint64_t> received;
  std::uint64_t next = 0;
  Instant now = kBegin;
};

using Numbers = std::vector<std::uint64_t>;

TEST_CASE("recovery: a packet that three later ones overtake is lost while the path keeps the order") {
  Sender sender;
  sender.send(10);
  sender.receive(0);
  sender.receive(2, 3);
  sender.acknowledge(sender.sent_at(3) + Sender::kRoundTrip);
  CHECK(sender.controller.lost.empty());
  sender.receive(4);
  sender.acknowledge(sender.sent_at(4) + Sender::kRoundTrip);
  CHECK(sender.controller.lost == Numbers{1});
  CHECK(sender.owner.resent == Numbers{1});
  CHECK(sender.recovery.packets_lost() == 1);
  CHECK(sender.recovery.spurious_losses() == 0);
}

TEST_CASE("recovery: after a packet came late, time alone decides, until the path has kept the order") {
  Sender sender;
  sender.send(30);
  sender.receive(0);
  sender.receive(2, 11);
  sender.acknowledge(sender.sent_at(11) + Sender::kRoundTrip);
  REQUIRE(sender.controller.lost == Numbers{1});
  // Number 1 was 11 ms late.
  sender.receive(1);
  sender.acknowledge(sender.sent_at(12) + Sender::kRoundTrip);
  CHECK(sender.recovery.spurious_losses() == 1);
  CHECK(sender.controller.undone == 1);
  // Ten packets overtake number 12, which is not lost within the window of RFC 9002.
  sender.receive(13, 23);
  sender.acknowledge(sender.sent_at(23) + Sender::kRoundTrip);
  CHECK(sender.controller.lost == Numbers{1});
  CHECK(sender.recovery.deadline(sender.round_trip) > sender.now);
  CHECK(sender.recovery.deadline(sender.round_trip) <= sender.sent_at(12) + 2 * Sender::kRoundTrip);
  REQUIRE(sender.run_timer(kNever));
  CHECK(sender.controller.lost == Numbers{1, 12});
  // The order is kept for so long that the count of packets is believed again.
  sender.receive(24, 29);
  sender.acknowledge(sender.now);
  sender.round_trips(200);
  const std::uint64_t first = sender.next;
  const Instant begin = sender.now;
  sender.send(5);
  sender.receive(first + 1, first + 3);
  sender.acknowledge(begin + Sender::kRoundTrip + milliseconds(3));
  CHECK(sender.controller.lost == Numbers{1, 12, first});
}

TEST_CASE("recovery: the window follows the latest packet, and is never longer than the round trip") {
  for (const Duration late : {milliseconds(15), milliseconds(40), milliseconds(90), milliseconds(5000)}) {
    CAPTURE(late.count());
    Sender sender;
    sender.round_trips(20);
    const std::uint64_t first = sender.next;
    const Instant begin = sender.now;
    sender.send(20);
    sender.receive(first + 1, first + 5);
    sender.acknowledge(begin + milliseconds(5) + Sender::kRoundTrip);
    REQUIRE(sender.controller.lost == Numbers{first});
    const bool remembered = late < 2 * Sender::kRoundTrip;
    sender.receive(first, first + 19);
    sender.acknowledge(begin + Sender::kRoundTrip + late);
    CHECK(sender.recovery.spurious_losses() == (remembered ? 1 : 0));
    if (!remembered) continue;
    const std::uint64_t second = sender.next;
    const Instant again = sender.now;
    sender.send(20);
    sender.receive(second + 1, second + 5);
    sender.acknowledge(again + milliseconds(5) + Sender::kRoundTrip);
    const Instant lost_at = sender.recovery.deadline(sender.round_trip);
    const Duration longest = std::max(sender.round_trip.latest(), sender.round_trip.smoothed());
    CHECK(lost_at >= again + longest + std::min(late, longest) - milliseconds(2));
    CHECK(lost_at <= again + 2 * longest);
    REQUIRE(sender.run_timer(kNever));
    CHECK(sender.controller.lost == Numbers{first, second});
  }
}

TEST_CASE("recovery: losses are undone when all of their episode were acknowledged, and only then") {
  Sender sender;
  sender.send(30);
  sender.receive(0);
  sender.receive(2, 5);
  sender.receive(8, 12);
  sender.acknowledge(sender.sent_at(12) + Sender::kRoundTrip);
  REQUIRE(sender.controller.lost == Numbers{1, 6, 7});
  CHECK(sender.controller.episodes == 1);
  const Instant then = sender.now;
  SUBCASE("all three come") {
    sender.receive(1);
    sender.receive(7);
    sender.acknowledge(then + milliseconds(1));
    CHECK(sender.controller.undone == 0);
    sender.receive(6);
    sender.acknowledge(then + milliseconds(2));
    CHECK(sender.controller.undone == 1);
    CHECK(sender.recovery.spurious_losses() == 3);
    // Told once, however often they are acknowledged.
    sender.acknowledge(then + milliseconds(3));
    CHECK(sender.controller.undone == 1);
    CHECK(sender.recovery.spurious_losses() == 3);
  }
  SUBCASE("one never comes") {
    sender.receive(1);
    sender.receive(7);
    sender.acknowledge(then + milliseconds(1));
    sender.receive(13, 29);
    sender.acknowledge(then + 10 * Sender::kRoundTrip);
    CHECK(sender.recovery.spurious_losses() == 2);
    // Long after it was given up.
    sender.receive(6);
    sender.acknowledge(sender.now + milliseconds(1));
    CHECK(sender.controller.undone == 0);
    CHECK(sender.recovery.spurious_losses() == 2);
  }
  SUBCASE("a CE mark shows real congestion") {
    sender.receive(1);
    sender.acknowledge(then + milliseconds(1), 1);
    sender.receive(6, 7);
    sender.acknowledge(then + milliseconds(2));
    CHECK(sender.recovery.spurious_losses() == 3);
    CHECK(sender.controller.undone == 0);
  }
  SUBCASE("the path changes") {
    sender.recovery.on_path_changed(sender.owner);
    sender.receive(1);
    sender.receive(6, 7);
    sender.acknowledge(then + milliseconds(1));
    CHECK(sender.recovery.spurious_losses() == 0);
    CHECK(sender.controller.undone == 0);
  }
}

TEST_CASE("recovery: an acknowledgement of a lost packet alone ends the backoff of probes, too") {
  Sender sender;
  sender.send(10);
  sender.receive(0);
  sender.receive(2, 5);
  sender.acknowledge(sender.sent_at(5) + Sender::kRoundTrip);
  REQUIRE(sender.controller.lost == Numbers{1});
  REQUIRE(sender.run_timer(kNever));
  REQUIRE(sender.recovery.timeouts() == 1);
  sender.receive(1);
  sender.acknowledge(sender.now + milliseconds(1));
  REQUIRE(sender.recovery.spurious_losses() == 1);
  CHECK(sender.recovery.timeouts() == 0);
  CHECK(sender.recovery.probes_due() == 0);
}

TEST_CASE("recovery: a loss among packets sent after an episode began belongs to the next one") {
  Sender sender;
  sender.send(10);
  sender.receive(1, 4);
  sender.acknowledge(sender.sent_at(4) + Sender::kRoundTrip);
  REQUIRE(sender.controller.lost == Numbers{0});
  const Instant begin = sender.now;
  sender.send(10);
  sender.receive(5, 9);
  sender.receive(11, 16);
  sender.acknowledge(begin + milliseconds(7) + Sender::kRoundTrip);
  REQUIRE(sender.controller.lost == Numbers{0, 10});
  CHECK(sender.controller.episodes == 2);
  // Number 0 stays lost, which the second episode has nothing to do with.
  sender.receive(10);
  sender.acknowledge(sender.now + milliseconds(1));
  CHECK(sender.controller.undone == 1);
}

TEST_CASE("recovery: each packet is acknowledged once, whatever ranges acknowledgements repeat") {
  test::for_each_seed(1, [](std::uint64_t seed) {
    SeededRandom random(seed);
    Sender sender;
    std::set<std::uint64_t> expected;
    std::set<std::uint64_t> flying;
    std::size_t lost = 0;  // how many of controller.lost are not in `flying` any more
    for (int round = 0; round < 200; ++round) {
      // Numbers of packets that nobody acknowledges are left out.
      if (random.below(2) == 0) sender.next += random.below(3);
      const std::uint64_t sent = sender.next;
      sender.send(static_cast<int>(random.below(20)));
      for (std::uint64_t number = sent; number < sender.next; ++number) flying.insert(number);
      if (sender.next == 0) continue;
      std::vector<AckRange> ranges;
      std::uint64_t largest = sender.next - 1 - std::min<std::uint64_t>(random.below(10), sender.next - 1);
      while (ranges.size() < kMaxAckRanges) {
        const std::uint64_t smallest = largest - std::min<std::uint64_t>(random.below(30), largest);
        ranges.push_back({smallest, largest});
        const std::uint64_t gap = 2 + random.below(30);
        if (smallest < gap || random.below(6) == 0) break;
        largest = smallest - gap;
      }
      const std::size_t told = sender.owner.acknowledged.size();
      const std::size_t spurious = sender.recovery.spurious_losses();
      const std::uint64_t count = sender.acknowledge(ranges);
      // Those that were declared lost before come first.
      const auto first = sender.owner.acknowledged.begin() +
                         static_cast<std::ptrdiff_t>(told + sender.recovery.spurious_losses() - spurious);
      CHECK(static_cast<std::uint64_t>(sender.owner.acknowledged.end() - first) == count);
      CHECK(std::ranges::is_sorted(first, sender.owner.acknowledged.end()));
      std::set<std::uint64_t> newly(sender.owner.acknowledged.begin() + static_cast<std::ptrdiff_t>(told),
                                    sender.owner.acknowledged.end());
      CHECK(newly.size() == sender.owner.acknowledged.size() - told);
      for (const std::uint64_t number : newly) {
        CHECK(expected.insert(number).second);
        CHECK(std::ranges::any_of(ranges, [&](const AckRange& range) {
          return range.smallest <= number && number <= range.largest;
        }));
      }
      // No packet of the ranges is left in flight.
      for (const std::uint64_t number : newly) flying.erase(number);
      for (; lost < sender.controller.lost.size(); ++lost) flying.erase(sender.controller.lost[lost]);
      CHECK(sender.recovery.in_flight() == flying.size() * kDatagram);
      for (const AckRange& range : ranges) {
        const auto next = flying.lower_bound(range.smallest);
        CHECK((next == flying.end() || *next > range.largest));
      }
    }
  });
}

TEST_CASE("recovery: after an address change losses are found and undone as before it") {
  for (const bool same_path : {true, false}) {
    CAPTURE(same_path);
    Sender sender;
    sender.round_trips(20);
    // A packet comes late, so that time alone decides.
    std::uint64_t first = sender.next;
    sender.send(20);
    sender.receive(first + 1, first + 19);
    sender.acknowledge(sender.now + Sender::kRoundTrip - milliseconds(10));
    REQUIRE(sender.controller.lost == Numbers{first});
    sender.receive(first);
    sender.acknowledge(sender.now + milliseconds(20));
    REQUIRE(sender.controller.undone == 1);
    if (same_path) {
      sender.recovery.on_address_changed();
    } else {
      sender.recovery.on_path_changed(sender.owner);
    }
    first = sender.next;
    const Instant begin = sender.now;
    sender.send(20);
    sender.receive(first + 1, first + 5);
    sender.acknowledge(begin + milliseconds(5) + Sender::kRoundTrip);
    // What is known of the order holds for the same path only.
    CHECK(sender.controller.lost.size() == (same_path ? 1 : 2));
    if (same_path) REQUIRE(sender.run_timer(kNever));
    CHECK(sender.controller.lost.back() == first);
    CHECK(sender.controller.episodes == 2);
    sender.receive(first, first + 19);
    sender.acknowledge(sender.now + milliseconds(10));
    CHECK(sender.controller.undone == 2);
    CHECK(sender.recovery.spurious_losses() == 2);
  }
}

TEST_CASE("recovery: a new address of the other side has a probe sent at once, if something is in flight") {
  Sender sender;
  sender.round_trips(3);
  sender.recovery.on_address_changed();
  CHECK(sender.recovery.deadline(sender.round_trip) == kNever);
  sender.send(1);
  CHECK(sender.recovery.deadline(sender.round_trip) > sender.now + Sender::kRoundTrip / 2);
  REQUIRE(sender.run_timer(kNever));
  REQUIRE(sender.run_timer(kNever));
  REQUIRE(sender.recovery.timeouts() == 2);
  sender.send(1);
  sender.recovery.on_address_changed();
  CHECK(sender.recovery.deadline(sender.round_trip) <= sender.now);
  REQUIRE(sender.run_timer(sender.now));
  CHECK(sender.recovery.timeouts() == 1);
  CHECK(sender.recovery.probes_due() == 2);
  // One is enough.
  sender.send(1);
  CHECK(sender.recovery.deadline(sender.round_trip) > sender.now);
}

TEST_CASE("recovery: a packet after a silence and a PONG each end the backoff once") {
  Sender sender;
  sender.round_trips(3);
  sender.send(1);
  CHECK_FALSE(sender.recovery.on_packet_after_silence());
  CHECK_FALSE(sender.recovery.on_pong());
  for (const bool after_silence : {true, false}) {
    CAPTURE(after_silence);
    const auto hears = [&] {
      return after_silence ? sender.recovery.on_packet_after_silence() : sender.recovery.on_pong();
    };
    REQUIRE(sender.run_timer(kNever));
    sender.send(1);
    REQUIRE(sender.run_timer(kNever));
    sender.send(1);
    CHECK(hears());
    CHECK(sender.recovery.timeouts() == 0);
    CHECK(sender.recovery.deadline(sender.round_trip) <= sender.now);
    REQUIRE(sender.run_timer(sender.now));
    sender.send(1);
    CHECK_FALSE(hears());
  }
  // An acknowledgement allows it again.
  sender.receive(sender.next - 1);
  sender.acknowledge(sender.now + Sender::kRoundTrip);
  sender.send(1);
  while (sender.recovery.timeouts() == 0) REQUIRE(sender.run_timer(kNever));
  CHECK(sender.recovery.on_packet_after_silence());
}

TEST_CASE("recovery: a path that reorders is learnt in both directions, and anew behind another address") {
  // Two seeds, because each moves 200 MB.
  test::for_each_seed(50, [](std::uint64_t seed) {
    using namespace test;
    LinkSettings link;
    link.delay = milliseconds(40);
    link.reorder_rate = 0.02;
    link.least_hold_back = milliseconds(15);
    link.most_hold_back = milliseconds(25);
    link.bytes_per_second = 2'000'000;
    link.queue_bytes = 256 * 1024;
    for (const auto congestion : {CongestionAlgorithm::kBbr, CongestionAlgorithm::kCubic}) {
      for (const bool up : {true, false}) {
        CAPTURE(static_cast<int>(congestion));
        CAPTURE(up);
        EndpointOptions options;
        options.congestion = congestion;
        ChannelWorld world(seed, link, options);
        world.connect();
        EndlessTransfer transfer(world, up, kUnordered, 10'000);
        const ChannelUser& sender = transfer.sender;
        for (std::uint16_t moves = 0; moves < 3; ++moves) {
          CAPTURE(moves);
          if (moves > 0) {
            // Another port first, then another host.
            SocketAddress address = ChannelWorld::kClient;
            address.port = static_cast<std::uint16_t>(address.port + moves);
            if (moves == 2) address.ip[3] = std::byte{77};
            REQUIRE(world.client->node().move(address));
            REQUIRE(world.client->send(world.own, kPlain, moves, 100) == SendStatus::kSent);
          }
          const std::uint64_t spurious = sender.count(Counter::spuriousLosses);
          static_cast<void>(transfer.run(std::chrono::seconds(4)));
          // Only a gateway knows that a host is another one, and that what it has learnt does not hold there.
          if (moves == 0 || (moves == 2 && !up)) CHECK(sender.count(Counter::spuriousLosses) > spurious);
          const std::uint64_t learnt = sender.count(Counter::spuriousLosses);
          // Otherwise packets go on being declared lost: 8 to 31 of them.
          CHECK(static_cast<double>(transfer.run(std::chrono::seconds(4))) > 0.8 * 4 * 2'000'000);
          CHECK(sender.count(Counter::spuriousLosses) - learnt < 8);
          CHECK(world.gateway->count(Counter::movesCompleted) == moves);
        }
      }
    }
  });
}

TEST_CASE("recovery: what is remembered of lost packets is bounded, and given back") {
  Sender sender;
  sender.round_trips(2);
  const std::size_t before = sender.pool.in_use();
  for (int i = 0; i < 20; ++i) {
    sender.send(200);
    sender.receive(sender.next - 1);
    sender.acknowledge(sender.now);
  }
  CHECK(sender.controller.lost.size() > 3 * Recovery::kMostRemembered);
  // A peer that acknowledges the newest packets only. One that lies about the others is found out elsewhere.
  CHECK(sender.pool.in_use() - before <= std::size_t{256} * 1024);
  for (int i = 0; i < 3; ++i) {
    sender.round_trips(1);
    sender.now += 10 * Sender::kRoundTrip;
  }
  CHECK(sender.pool.in_use() == before);
}

TEST_CASE("reordering: a faked delay of minutes is forgotten like any other") {
  Reordering reordering;
  CHECK_FALSE(reordering.is_seen());
  CHECK(reordering.loss_delay(milliseconds(80)) == milliseconds(90));
  CHECK(reordering.loss_delay(microseconds(10)) == RoundTrip::kGranularity);
  reordering.on_late(std::chrono::minutes(5), milliseconds(80));
  CHECK(reordering.loss_delay(milliseconds(80)) == milliseconds(160));
  int rounds = 0;
  for (; reordering.is_seen() && rounds < 1000; ++rounds) {
    const Duration before = reordering.loss_delay(milliseconds(80));
    reordering.on_round();
    CHECK(reordering.loss_delay(milliseconds(80)) <= before);
    CHECK(reordering.loss_delay(milliseconds(80)) >= before - milliseconds(20));
  }
  CHECK(rounds < 200);
  CHECK(reordering.loss_delay(milliseconds(80)) == milliseconds(90));
}

}  // namespace
}  // namespace hawser
