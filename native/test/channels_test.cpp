// Channels over bad networks, in virtual time (docs/protocol.md section 12).
#include "channels_support.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

LinkSettings clean_link() {
  LinkSettings link;
  link.delay = milliseconds(20);
  return link;
}

}  // namespace

TEST_CASE("messages of every kind arrive over a clean link") {
  ChannelWorld world(1, clean_link());
  world.connect();
  for (std::uint64_t i = 0; i < 50; ++i) {
    for (const std::uint32_t channel : {kPlain, kState, kOrdered, kUnordered, kBulk}) {
      REQUIRE(world.client->send(world.own, channel, i, 8 + i * 20) == SendStatus::kSent);
      REQUIRE(world.gateway->send(world.other, channel, i, 8 + i * 20) == SendStatus::kSent);
    }
    world.run(milliseconds(5));
  }
  world.run(seconds(1));
  for (const std::uint32_t channel : {kPlain, kState, kOrdered, kUnordered, kBulk}) {
    INFO("channel " << channel);
    CHECK(world.gateway->side(world.other).received[channel].size() == 50);
    CHECK(world.client->side(world.own).received[channel].size() == 50);
  }
}

TEST_CASE("long messages are put together from parts") {
  ChannelWorld world(2, clean_link());
  world.connect();
  REQUIRE(world.client->send(world.own, kBulk, 1, 1024 * 1024) == SendStatus::kSent);
  REQUIRE(world.client->send(world.own, kOrdered, 2, 64 * 1024) == SendStatus::kSent);
  REQUIRE(world.client->send(world.own, kUnordered, 3, 64 * 1024) == SendStatus::kSent);
  REQUIRE(world.client->send(world.own, kState, 4, 64 * 1024) == SendStatus::kSent);
  CHECK(world.client->send(world.own, kState, 5, 64 * 1024 + 1) == SendStatus::kTooLong);
  CHECK(world.client->send(world.own, kBulk, 5, 1024 * 1024 + 1) == SendStatus::kTooLong);
  world.run(seconds(3));
  for (const std::uint32_t channel : {kState, kOrdered, kUnordered, kBulk}) {
    INFO("channel " << channel);
    CHECK(world.gateway->side(world.other).received[channel].size() == 1);
  }
  CHECK(world.gateway->count(Counter::reassemblyBytes) == 0);
  CHECK(world.client->count(Counter::sendQueueBytes) == 0);
}

TEST_CASE("reliable messages arrive once each over a bad link") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    INFO("seed " << seed);
    LinkSettings link = clean_link();
    link.loss_rate = 0.2;
    link.duplicate_rate = 0.1;
    link.reorder_rate = 0.1;
    link.jitter = milliseconds(10);
    ChannelWorld world(seed, link);
    world.connect();
    SeededRandom random(seed);
    for (std::uint64_t i = 0; i < 200; ++i) {
      for (const std::uint32_t channel : {kPlain, kState, kOrdered, kUnordered, kBulk}) {
        const std::size_t size =
            kNumberSize + (random.below(10) == 0 ? random.below(20'000) : random.below(200));
        if (channel == kPlain && size > 1'000) continue;
        REQUIRE(world.client->send(world.own, channel, i, size) == SendStatus::kSent);
        REQUIRE(world.gateway->send(world.other, channel, i, size) == SendStatus::kSent);
      }
      world.run(milliseconds(5));
    }
    world.run(seconds(20));
    for (const std::uint32_t channel : {kOrdered, kUnordered, kBulk}) {
      INFO("channel " << channel);
      CHECK(world.gateway->side(world.other).received[channel].size() == 200);
      CHECK(world.client->side(world.own).received[channel].size() == 200);
    }
    CHECK(!world.client->side(world.own).ended);
    CHECK(world.client->count(Counter::sendQueueBytes) == 0);
  }
}

TEST_CASE("marks of congestion slow a sender before its packets are lost") {
  for (const auto algorithm : {CongestionAlgorithm::kBbr, CongestionAlgorithm::kCubic}) {
    const auto packets_lost = [&](std::size_t mark_bytes) {
      LinkSettings link = clean_link();
      link.bytes_per_second = 1'250'000;
      link.queue_bytes = 40'000;
      link.ecn_mark_bytes = mark_bytes;
      EndpointOptions options;
      options.congestion = algorithm;
      options.max_datagram = 1'200;
      ChannelWorld world(5, link, options);
      world.connect();
      for (std::uint64_t i = 0; i < 8; ++i)
        REQUIRE(world.client->send(world.own, kBulk, i, 1024 * 1024) == SendStatus::kSent);
      world.run(seconds(20));
      CHECK(world.gateway->side(world.other).received[kBulk].size() == 8);
      return world.client->count(Counter::packetsLost);
    };
    const std::uint64_t without = packets_lost(0);
    const std::uint64_t with = packets_lost(10'000);
    INFO("packets lost: " << without << " without marks, " << with << " with them");
    CHECK(without > 0);
    CHECK(with < without / 2);
  }
}

TEST_CASE("unreliable messages that fill datagrams begin the search for longer ones, others do not") {
  LinkSettings link = clean_link();
  link.mtu_bytes = 1'472;
  ChannelWorld world(7, link);
  world.connect();
  const auto longest = [&] {
    const auto status = world.client->endpoint().status(world.own, world.client->node().now());
    REQUIRE(status.has_value());
    const std::uint16_t told = world.client->max_unreliable(world.own);
    CHECK((told == 0 || told == status->max_unreliable));
    return status->max_unreliable;
  };
  const std::uint32_t least = longest();
  std::uint64_t number = 0;
  const auto send = [&](int messages) {
    for (int turn = 0; turn < 500; ++turn) {
      for (int i = 0; i < messages; ++i)
        REQUIRE(world.client->send(world.own, kPlain, number++, 400) == SendStatus::kSent);
      world.run(milliseconds(20));
    }
  };
  send(2);
  CHECK(longest() == least);
  CHECK(world.client->max_unreliable(world.own) == 0);
  // Three do not fit into one.
  send(3);
  CHECK(longest() > least + 200);
  CHECK(world.client->max_unreliable(world.own) == longest());
}

TEST_CASE("datagrams grow to what the path carries, and shrink with it") {
  LinkSettings link = clean_link();
  link.mtu_bytes = 4'100;
  ChannelWorld world(6, link);
  world.connect();
  const auto datagram = [&] {
    const auto status = world.client->endpoint().status(world.own, world.client->node().now());
    REQUIRE(status.has_value());
    return status->max_datagram;
  };
  CHECK(datagram() == 1'200);
  std::uint64_t number = 0;
  const auto transfer = [&](Duration duration) {
    for (const Instant end = world.simulation.now() + duration; world.simulation.now() < end;) {
      if ((world.client->flags(world.own) & kPeerWait) == 0)
        REQUIRE(world.client->send(world.own, kOrdered, number++, 60'000) == SendStatus::kSent);
      world.run(milliseconds(200));
    }
  };
  // Each size above what passes takes three probes of a second.
  transfer(seconds(40));
  CHECK(datagram() > 4'000);
  CHECK(datagram() <= 4'100);
  // A black hole: what passed before does not any more.
  link.mtu_bytes = 1'300;
  world.simulation.set_link(std::nullopt, std::nullopt, link);
  transfer(seconds(40));
  CHECK(datagram() <= 1'300);
  world.run(seconds(20));
  CHECK(world.gateway->side(world.other).received[kOrdered].size() == number);
  CHECK(!world.client->side(world.own).ended);
}

}  // namespace hawser::test
