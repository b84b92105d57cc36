// Single rules of channels between two honest endpoints: who waits for whom, who is told what, and what it
// costs.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <vector>

#include "allocation_counter.hpp"
#include "channels_support.hpp"
#include "endpoint_support.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

EndpointOptions with_channels(EndpointOptions options = {}) {
  options.channels = test_channels();
  return options;
}

// A gateway and a client without network and without delay, whose datagrams a test may drop; what each user
// is told is kept.
struct Pair {
  explicit Pair(EndpointOptions options = with_channels()) : world(gateway_options(), options) {
    world.client = std::make_unique<Node>(options, nullptr, 5, kClientAddress);
    std::tie(own, other) = world.connected();
  }

  SendStatus send(std::uint32_t channel, Bytes data, const SendOptions& options = {}) {
    return world.client->endpoint.send(own, channel, data, options, world.now);
  }
  // Lets time pass, and takes what the users were told meanwhile.
  void run(Duration duration) {
    for (const Instant end = world.now + duration; world.now < end;) {
      world.now += milliseconds(1);
      world.server->endpoint.advance(world.now);
      world.client->endpoint.advance(world.now);
      world.exchange();
      collect();
    }
  }
  void collect() {
    for (Event& event : world.server->take_events()) {
      if (event.kind == EventKind::kMessage) received[event.argument].push_back(std::move(event.bytes));
    }
    for (const Event& event : world.client->take_events()) {
      drains += event.kind == EventKind::kPeerDrain ? 1U : 0U;
      for (std::size_t at = 0; event.kind == EventKind::kConfirm && at < event.bytes.size(); at += 4)
        confirmed[load_little_endian<std::uint32_t>(event.bytes.data() + at)] = event.argument == 0;
      ended = ended || event.kind == EventKind::kDisconnect;
    }
  }
  [[nodiscard]] PeerStatus status() { return *world.client->endpoint.status(own, world.now); }
  [[nodiscard]] std::uint64_t count(Counter counter) const { return world.client->count(counter); }
  // Whether datagrams pass from the client to the gateway, and back.
  void let(bool out, bool back) {
    world.filter = [out, back](const Sent& sent) { return sent.from == kClientAddress ? out : back; };
  }

  World world;
  Handle own{};
  Handle other{};
  std::map<std::uint32_t, std::vector<std::vector<std::byte>>> received;
  std::map<std::uint32_t, bool> confirmed;
  std::size_t drains = 0;
  bool ended = false;
};

std::vector<std::byte> filled(std::size_t size, std::uint8_t fill = 1) {
  return std::vector<std::byte>(size, std::byte{fill});
}

}  // namespace

TEST_CASE("channels: a lost message holds up nobody but those behind it on its own channel") {
  Pair pair;
  pair.run(seconds(1));
  const auto data = filled(100);
  // The packet with the first message of the ordered channel is lost.
  REQUIRE(pair.send(kOrdered, data) == SendStatus::kSent);
  pair.let(false, true);
  pair.world.exchange();
  pair.let(true, true);
  for (const std::uint32_t channel : {kOrdered, kUnordered, kBulk, kState, kPlain})
    REQUIRE(pair.send(channel, data) == SendStatus::kSent);
  pair.world.exchange();
  pair.collect();
  CHECK(pair.received[kOrdered].empty());
  for (const std::uint32_t channel : {kUnordered, kBulk, kState, kPlain})
    CHECK(pair.received[channel].size() == 1);
  pair.run(seconds(1));
  CHECK(pair.received[kOrdered].size() == 2);
}

TEST_CASE("channels: on an unordered channel nobody waits for what is missing") {
  Pair pair;
  pair.run(seconds(1));
  REQUIRE(pair.send(kUnordered, filled(100)) == SendStatus::kSent);
  pair.let(false, true);
  pair.world.exchange();
  pair.let(true, true);
  REQUIRE(pair.send(kUnordered, filled(200)) == SendStatus::kSent);
  pair.world.exchange();
  pair.collect();
  REQUIRE(pair.received[kUnordered].size() == 1);
  CHECK(pair.received[kUnordered][0].size() == 200);
  pair.run(seconds(1));
  CHECK(pair.received[kUnordered].size() == 2);
}

TEST_CASE("channels: unreliable messages wait neither for a closed window nor for credit nor for a queue") {
  EndpointOptions options = with_channels();
  options.credit = options.channel_credit = 1024 * 1024 + kMessageCost;
  Pair pair(options);
  REQUIRE(pair.world.server->endpoint.set_paused(pair.other, kBulk, true, pair.world.now));
  const auto bulk = filled(1024 * 1024);
  for (int i = 0; i < 4; ++i) REQUIRE(pair.send(kBulk, bulk) == SendStatus::kSent);
  SUBCASE("credit") { pair.run(seconds(2)); }
  SUBCASE("window") {
    // Nothing is acknowledged: what may be in flight is in flight.
    pair.let(true, false);
    pair.run(milliseconds(50));
    const PeerStatus status = pair.status();
    CHECK(status.bytes_in_flight + status.max_datagram > status.congestion_window);
  }
  CHECK(pair.status().queued_bytes > 1024 * 1024);
  for (std::size_t i = 1; i <= 20; ++i) {
    REQUIRE(pair.send(kPlain, filled(100)) == SendStatus::kSent);
    REQUIRE(pair.send(kState, filled(100)) == SendStatus::kSent);
    pair.run(milliseconds(1));
    CHECK(pair.received[kPlain].size() == i);
    CHECK(pair.received[kState].size() == i);
  }
}

TEST_CASE("channels: a paused channel stops its own sender; other channels and other peers go on") {
  LinkSettings link;
  link.delay = milliseconds(10);
  EndpointOptions options;
  options.credit = 256 * 1024;
  options.channel_credit = 128 * 1024;
  options.channels = test_channels(64 * 1024);
  ChannelWorld world(1, link, options);
  world.connect(1);
  const Handle first = world.other;
  const Handle first_own = world.own;
  world.connect(2);
  const Handle second = world.other;
  REQUIRE(world.gateway->pause(first, kOrdered, true));
  constexpr std::size_t kSize = 1000;
  for (std::uint64_t i = 0; i < 500; ++i) {
    REQUIRE(world.client->send(first_own, kOrdered, i, kSize) == SendStatus::kSent);
    REQUIRE(world.client->send(first_own, kUnordered, i, kSize) == SendStatus::kSent);
    REQUIRE(world.client->send(world.own, kOrdered, i, kSize) == SendStatus::kSent);
    world.run(milliseconds(2));
  }
  world.run(seconds(5));
  CHECK(world.gateway->side(first).received[kOrdered].empty());
  CHECK(world.gateway->side(first).received[kUnordered].size() == 500);
  CHECK(world.gateway->side(second).received[kOrdered].size() == 500);
  // As much as the channel's credit has left its sender, and no more: the rest is queued there.
  const std::uint64_t sent = options.channel_credit / (kSize + kMessageCost);
  const auto status = world.client->endpoint().status(first_own, world.client->node().now());
  CHECK(status->queued_bytes == (500 - sent) * (kSize + kMessageCost));
  CHECK(world.gateway->count(Counter::reassemblyBytes) < 2 * options.channel_credit);
  REQUIRE(world.gateway->pause(first, kOrdered, false));
  world.run(seconds(5));
  CHECK(world.gateway->side(first).received[kOrdered].size() == 500);
  CHECK(world.gateway->count(Counter::reassemblyBytes) == 0);
  CHECK(world.client->count(Counter::sendQueueBytes) == 0);
}

TEST_CASE("channels: a message that has been begun goes on while another waits for the connection's credit") {
  EndpointOptions options;
  options.channels = {
      {"first", "bytes", ChannelMode::kReliable, ChannelPriority::kNormal, 60'000},
      {"second", "bytes", ChannelMode::kReliable, ChannelPriority::kNormal, 60'000},
  };
  // Either of them, not both.
  options.credit = options.channel_credit = 70'000;
  Pair pair(options);
  for (int round = 0; round < 5; ++round) {
    REQUIRE(pair.send(0, filled(60'000)) == SendStatus::kSent);
    REQUIRE(pair.send(1, filled(60'000)) == SendStatus::kSent);
  }
  pair.run(seconds(5));
  CHECK(pair.received[0].size() == 5);
  CHECK(pair.received[1].size() == 5);
}

TEST_CASE("channels: the least credit is enough for messages of every length") {
  EndpointOptions options;
  options.channels = {{"only", "bytes", ChannelMode::kReliable, ChannelPriority::kNormal, 60'000}};
  options.credit = options.channel_credit = 60'000 + kMessageCost;
  Pair pair(options);
  SeededRandom random(1);
  std::size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    const std::size_t size = i % 3 == 0 ? 60'000 : random.below(60'001);
    REQUIRE(pair.send(0, filled(size)) == SendStatus::kSent);
    ++sent;
    // Little first, then much: what is left of the credit never suffices.
    REQUIRE(pair.send(0, filled(1)) == SendStatus::kSent);
    ++sent;
  }
  pair.run(seconds(30));
  CHECK(pair.received[0].size() == sent);
}

TEST_CASE("channels: a long message that waits for credit is not overtaken for ever") {
  EndpointOptions options;
  options.channels = {
      {"long", "bytes", ChannelMode::kReliable, ChannelPriority::kLow, 60'000},
      {"short", "bytes", ChannelMode::kReliable, ChannelPriority::kCritical, 60'000},
  };
  options.credit = options.channel_credit = 60'000 + kMessageCost;
  Pair pair(options);
  for (int i = 0; i < 2'000; ++i) {
    if (i == 100) REQUIRE(pair.send(0, filled(60'000)) == SendStatus::kSent);
    REQUIRE(pair.send(1, filled(1'000)) == SendStatus::kSent);
    pair.run(milliseconds(1));
  }
  CHECK(pair.received[0].size() == 1);
}

TEST_CASE("channels: when the memory for messages is short everything arrives all the same") {
  LinkSettings link;
  link.delay = milliseconds(30);
  link.loss_rate = 0.1;
  link.reorder_rate = 0.1;
  constexpr std::uint32_t kLongest = 16 * 1024;
  EndpointOptions options;
  options.channels.clear();
  for (const ChannelMode mode :
       {ChannelMode::kReliable, ChannelMode::kReliable, ChannelMode::kReliableUnordered}) {
    options.channels.push_back({"channel " + std::to_string(options.channels.size()), "bytes", mode,
                                ChannelPriority::kNormal, kLongest});
  }
  options.credit = 2 * kLongest;
  options.channel_credit = 2 * kLongest;
  options.max_reassembly_bytes = 8 * options.credit;
  std::uint64_t refused = 0;
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    CAPTURE(seed);
    ChannelWorld world(seed, link, options);
    SeededRandom random(seed);
    // What all of these may send is more than there is memory for.
    std::vector<std::pair<Handle, Handle>> peers;
    for (std::uint64_t id = 1; id <= 12; ++id) {
      world.connect(id);
      peers.emplace_back(world.own, world.other);
    }
    std::uint64_t bytes = 0;
    for (std::uint64_t i = 0; i < 40; ++i) {
      const std::size_t size = kNumberSize + random.below(i % 2 == 0 ? kLongest - 7 : 200);
      for (const auto& [own, other] : peers)
        REQUIRE(world.client->send(own, static_cast<std::uint32_t>(i / 2) % 3, i, size) == SendStatus::kSent);
      bytes += size;
    }
    world.client->check_order = world.gateway->check_order = false;
    for (const auto& [own, other] : peers) {
      ChannelUser::Side& side = world.gateway->side(other);
      for (int i = 0; i < 300 && side.received_bytes < bytes; ++i) world.run(seconds(1));
      CAPTURE(side.end_code);
      CHECK(side.received_bytes == bytes);
      CHECK_FALSE(side.ended);
    }
    CHECK(world.gateway->count(Counter::reassemblyBytes) == 0);
    refused += world.gateway->count(Counter::dropReassemblyFull);
  }
  CHECK(refused > 10);
}

TEST_CASE("channels: priorities share by weight, and none starves") {
  LinkSettings link;
  link.delay = milliseconds(10);
  link.bytes_per_second = 500'000;
  link.queue_bytes = 20'000;
  EndpointOptions options;
  options.credit = options.channel_credit = 64 * 1024 * 1024;
  options.max_queued_bytes = 64 * 1024 * 1024;
  options.channels.clear();
  constexpr std::array kOrder = {ChannelPriority::kLow, ChannelPriority::kCritical, ChannelPriority::kNormal,
                                 ChannelPriority::kHigh};
  constexpr std::array<double, kPriorities> kWeights = {64, 16, 4, 1};
  for (const ChannelPriority priority : kOrder) {
    options.channels.push_back({"channel " + std::to_string(options.channels.size()), "bytes",
                                ChannelMode::kReliable, priority, 64 * 1024});
  }
  ChannelWorld world(1, link, options);
  world.connect();
  world.client->check_order = world.gateway->check_order = false;
  std::uint64_t number = 0;
  const auto fill = [&](std::uint32_t channel, int messages) {
    for (; messages > 0; --messages)
      REQUIRE(world.client->send(world.own, channel, number++, 1000) == SendStatus::kSent);
  };
  const auto bytes = [&](std::uint32_t channel) {
    return static_cast<double>(world.gateway->side(world.other).bytes[channel]);
  };
  SUBCASE("all at once") {
    for (std::uint32_t channel = 0; channel < kPriorities; ++channel) fill(channel, 4'000);
  }
  SUBCASE("after one had all for itself") {
    fill(0, 6'000);
    world.run(seconds(3));
    for (std::uint32_t channel = 1; channel < kPriorities; ++channel) fill(channel, 4'000);
  }
  std::array<double, kPriorities> before{};
  for (std::uint32_t channel = 0; channel < kPriorities; ++channel) before[channel] = bytes(channel);
  world.run(seconds(6));
  std::array<double, kPriorities> had{};
  double all = 0;
  for (std::uint32_t channel = 0; channel < kPriorities; ++channel)
    all += had[channel] = bytes(channel) - before[channel];
  CHECK(all > 2'000'000);
  for (std::uint32_t channel = 0; channel < kPriorities; ++channel) {
    const double share = kWeights[static_cast<std::size_t>(kOrder[channel])] / 85;
    INFO("channel " << channel << " had " << had[channel] / all << " of all");
    CHECK(had[channel] / all > share * 0.7);
    CHECK(had[channel] / all < share * 1.4 + 0.01);
  }
}

TEST_CASE("channels: channels of one priority take turns") {
  LinkSettings link;
  link.delay = milliseconds(10);
  link.bytes_per_second = 500'000;
  link.queue_bytes = 10'000;
  ChannelWorld world(1, link);
  world.connect();
  // One message of a megabyte does not hold up the short ones of another channel of its priority.
  REQUIRE(world.client->send(world.own, kBulk, 0, 1024 * 1024) == SendStatus::kSent);
  world.run(milliseconds(100));
  for (std::uint64_t i = 0; i < 10; ++i) {
    REQUIRE(world.client->send(world.own, kUnordered, i, 100) == SendStatus::kSent);
    world.run(milliseconds(100));
  }
  world.run(milliseconds(300));
  CHECK(world.gateway->side(world.other).received[kUnordered].size() == 10);
  CHECK(world.gateway->side(world.other).received[kBulk].empty());
}

TEST_CASE("channels: above the high water the user is asked to wait, and told once when to go on") {
  LinkSettings link;
  link.delay = milliseconds(10);
  link.bytes_per_second = 100'000;
  EndpointOptions options;
  options.high_water_bytes = 50'000;
  options.max_queued_bytes = 100'000;
  // A few longer datagrams would carry all that is queued.
  options.max_datagram = 1200;
  ChannelWorld world(1, link, options);
  world.connect();
  ChannelUser& client = *world.client;
  std::uint64_t number = 0;
  while (client.flags(world.own) == 0) {
    REQUIRE(client.send(world.own, kOrdered, number++, 936) == SendStatus::kSent);
    REQUIRE(number < 100);
  }
  CHECK(number == 51);
  CHECK(client.flags(world.own) == kPeerWait);
  while (client.send(world.own, kOrdered, number, 936) == SendStatus::kSent) REQUIRE(++number < 200);
  CHECK(client.send(world.own, kOrdered, number, 936) == SendStatus::kQueueFull);
  CHECK(number == 101);
  CHECK(client.flags(world.own) == (kPeerWait | kPeerFull));
  CHECK(client.count(Counter::dropQueueFull) == 2);
  // Unreliable ones are not refused.
  CHECK(client.send(world.own, kPlain, 0, 100) == SendStatus::kSent);
  world.run(milliseconds(300));
  CHECK(client.side(world.own).drains == 0);
  CHECK((client.flags(world.own) & kPeerWait) != 0);
  for (int i = 0; i < 3000 && client.side(world.own).drains == 0; ++i) world.run(milliseconds(1));
  CHECK(client.side(world.own).drains == 1);
  CHECK(client.flags(world.own) == 0);
  const auto status = client.endpoint().status(world.own, client.node().now());
  CHECK(status->queued_bytes <= options.high_water_bytes / 2);
  CHECK(status->queued_bytes > 0);
  world.run(seconds(5));
  CHECK(client.side(world.own).drains == 1);
  CHECK(world.gateway->side(world.other).received[kOrdered].size() == number);
}

TEST_CASE("channels: messages expire while nothing can be sent, and the user hears of it") {
  EndpointOptions options = with_channels();
  options.high_water_bytes = 30'000;
  Pair pair(options);
  pair.run(seconds(1));
  pair.let(false, false);
  // The window fills with messages that do not expire.
  for (PeerStatus status;
       status.bytes_in_flight + status.max_datagram <= status.congestion_window || status.max_datagram == 0;
       status = pair.status()) {
    REQUIRE(pair.send(kBulk, filled(10'000)) == SendStatus::kSent);
    pair.run(milliseconds(1));
  }
  SendOptions short_lived;
  short_lived.ttl = milliseconds(100);
  for (std::uint32_t id = 1; id <= 20; ++id) {
    short_lived.confirm = id;
    REQUIRE(pair.send(kOrdered, filled(2'000), short_lived) == SendStatus::kSent);
  }
  SendOptions lasting;
  lasting.confirm = 100;
  REQUIRE(pair.send(kOrdered, filled(5), lasting) == SendStatus::kSent);
  CHECK(pair.confirmed.empty());
  pair.run(milliseconds(200));
  CHECK(pair.confirmed.size() == 20);
  for (const auto& [id, delivered] : pair.confirmed) CHECK_FALSE(delivered);
  CHECK(pair.count(Counter::messagesExpired) == 20);
  CHECK(pair.drains == 1);
  pair.let(true, true);
  pair.run(seconds(3));
  REQUIRE(pair.received[kOrdered].size() == 1);
  CHECK(pair.received[kOrdered][0].size() == 5);
  CHECK(pair.confirmed[100]);
  CHECK(pair.confirmed.size() == 21);
  CHECK(pair.count(Counter::sendQueueBytes) == 0);
}

TEST_CASE("channels: a message that expires on its way is delivered or not, and told of once") {
  for (const bool arrives : {false, true}) {
    CAPTURE(arrives);
    Pair pair;
    pair.run(seconds(1));
    SendOptions options;
    options.ttl = milliseconds(50);
    options.confirm = 7;
    REQUIRE(pair.send(kOrdered, filled(3'000), options) == SendStatus::kSent);
    REQUIRE(pair.send(kOrdered, filled(5)) == SendStatus::kSent);
    pair.let(arrives, false);
    pair.run(milliseconds(500));
    CHECK(pair.received[kOrdered].size() == (arrives ? 2 : 0));
    REQUIRE(pair.confirmed.size() == 1);
    CHECK_FALSE(pair.confirmed[7]);
    pair.let(true, true);
    pair.run(seconds(3));
    CHECK(pair.received[kOrdered].size() == (arrives ? 2 : 1));
    CHECK(pair.confirmed.size() == 1);
    CHECK(pair.count(Counter::sendQueueBytes) == 0);
    CHECK(pair.world.server->count(Counter::reassemblyBytes) == 0);
  }
}

TEST_CASE("channels: an expired message gives way to one that the credit allows") {
  EndpointOptions options;
  options.channels = {{"only", "bytes", ChannelMode::kReliable, ChannelPriority::kNormal, 60'000}};
  options.credit = options.channel_credit = 60'000 + kMessageCost;
  Pair pair(options);
  REQUIRE(pair.world.server->endpoint.set_paused(pair.other, 0, true, pair.world.now));
  REQUIRE(pair.send(0, filled(10'000)) == SendStatus::kSent);
  SendOptions short_lived;
  short_lived.ttl = milliseconds(100);
  // Nothing is consumed at the other side, so that no credit comes.
  REQUIRE(pair.send(0, filled(60'000), short_lived) == SendStatus::kSent);
  SendOptions confirm;
  confirm.confirm = 1;
  REQUIRE(pair.send(0, filled(100), confirm) == SendStatus::kSent);
  pair.run(milliseconds(50));
  CHECK(pair.confirmed.empty());
  pair.run(seconds(2));
  CHECK(pair.confirmed[1]);
}

TEST_CASE("channels: reliable traffic allocates nothing in steady state") {
  EndpointOptions options = with_channels();
  for (const CongestionAlgorithm algorithm : {CongestionAlgorithm::kBbr, CongestionAlgorithm::kCubic}) {
    options.congestion = algorithm;
    World world(gateway_options(), options);
    world.client = std::make_unique<Node>(options, nullptr, 5, kClientAddress);
    Handle own{};
    Handle other{};
    std::tie(own, other) = world.connected();
    const auto small = filled(200);
    const auto large = filled(20'000);
    std::vector<std::byte> wire(kGreatestMaxDatagram);
    std::uint64_t messages = 0;
    SeededRandom random(3);
    const auto pump = [&](Node& from, Node& to) {
      from.endpoint.advance(world.now);
      from.endpoint.flush(world.now);
      for (auto output = from.endpoint.output(); !output.empty(); output = from.endpoint.output()) {
        for (const OutgoingDatagram& datagram : output) {
          // Some are lost, so that books of what is missing are kept too.
          if (random.below(50) == 0) continue;
          std::ranges::copy(datagram.bytes, wire.begin());
          to.endpoint.receive(
              ReceivedDatagram{std::span(wire).first(datagram.bytes.size()), from.address, to.address, 0},
              world.now);
          for (const EventDescriptor& event : to.peek_events())
            messages += event.kind() == EventKind::kMessage ? 1U : 0U;
          to.clear_events();
        }
        from.endpoint.output_sent(output.size());
      }
      from.clear_events();
    };
    SendOptions send;
    send.ttl = seconds(10);
    std::uint32_t sent = 0;
    const auto turn = [&] {
      world.now += milliseconds(1);
      for (const std::uint32_t channel : {kOrdered, kUnordered, kState}) {
        send.confirm = ++sent;
        const auto& up = sent % 64 == 0 ? large : small;
        CHECK(world.client->endpoint.send(own, channel, up, send, world.now) == SendStatus::kSent);
        CHECK(world.server->endpoint.send(other, channel, small, send, world.now) == SendStatus::kSent);
      }
      pump(*world.client, *world.server);
      pump(*world.server, *world.client);
    };
    for (int i = 0; i < 20'000; ++i) turn();
    const std::uint64_t before = messages;
    const AllocationCount allocations;
    for (int i = 0; i < 4'000; ++i) turn();
    CHECK(allocations.count() == 0);
    CHECK(messages - before > 20'000);
    CHECK(world.client->count(Counter::packetsLost) > 100);
  }
}

}  // namespace hawser::test
