// Unreliable channels that obey congestion control (RFC 9221 section 5): their messages wait for window and
// pacer, are acknowledged, and are never sent again.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <tuple>
#include <vector>

#include "allocation_counter.hpp"
#include "channels_support.hpp"
#include "rogue_peer.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// 10 Mbit/s and a queue of 20 ms.
LinkSettings narrow_link() {
  LinkSettings link;
  link.delay = milliseconds(10);
  link.bytes_per_second = 1'250'000;
  link.queue_bytes = 25'000;
  return link;
}

EndpointOptions paced_options() {
  EndpointOptions options;
  options.channels = test_channels();
  options.high_water_bytes = 64 * 1024;
  // The queues are those of slow links.
  options.max_datagram = 1'472;
  return options;
}

// A user that sends whenever it may.
struct Source {
  Source(ChannelUser& own_user, Handle to, std::uint32_t on) : user(own_user), peer(to), channel(on) {}

  void fill(std::size_t size) {
    while ((user.flags(peer) & kPeerWait) == 0) {
      REQUIRE(user.send(peer, channel, sent, size) == SendStatus::kSent);
      ++sent;
    }
  }

  ChannelUser& user;
  Handle peer;
  std::uint32_t channel;
  std::uint64_t sent = 0;
};

// A gateway and a peer whose frames a test sees and makes, with the acknowledged channel beside a plain one.
struct Observed {
  static constexpr std::uint32_t kControlled = 1;

  explicit Observed(std::uint32_t features = kFeatureChannels, bool first = false)
      : world(gateway_options(), options(first)) {
    peer.offer.features = features;
    peer.offer.credit = peer.offer.channel_credit = 1 << 20U;
    std::vector<ChannelDigestEntry> entries;
    const std::vector<ChannelDeclaration> declared = options(first).channels;
    for (const ChannelDeclaration& channel : declared)
      entries.push_back({static_cast<std::uint8_t>(channel.mode), 0, channel.name, channel.codec});
    peer.offer.channels = channels_digest(entries);
    handle = peer.connect();
    // Spare ids and the first PING are out of the way.
    for (int i = 0; i < 3; ++i) {
      acknowledge();
      pass(milliseconds(20));
    }
    peer.forget();
  }

  static EndpointOptions options(bool first) {
    EndpointOptions options;
    if (first) {
      options.channels.front().congestion_controlled = true;
      return options;
    }
    options.channels = {{"plain", "bytes", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0},
                        {"controlled", "bytes", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0, true}};
    return options;
  }

  void acknowledge() { peer.send(Frames().ack(peer.last_number, peer.last_number)); }
  void pass(Duration duration) {
    for (const Instant end = world.now + duration; world.now < end;) {
      world.now += milliseconds(1);
      world.server->endpoint.advance(world.now);
      peer.turn();
    }
  }
  [[nodiscard]] SendStatus send(std::uint32_t channel, std::size_t size) {
    return world.server->endpoint.send(handle, channel, std::vector<std::byte>(size), {}, world.now);
  }
  // The messages that have come since the last `forget`, as whether each is to be acknowledged.
  [[nodiscard]] std::vector<bool> messages() const {
    std::vector<bool> found;
    for (const auto& payload : peer.payloads) {
      FrameReader reader(payload);
      for (Frame frame; reader.next(frame);) {
        if (frame.type == FrameType::kMessage) found.push_back(frame.message.acknowledged);
      }
    }
    return found;
  }
  [[nodiscard]] PeerStatus status() { return *world.server->endpoint.status(handle, world.now); }
  [[nodiscard]] std::uint64_t count(Counter counter) const { return world.server->count(counter); }

  World world;
  RoguePeer peer{world, world.token(1), rogue_address(1), 11};
  Handle handle;
};

}  // namespace

TEST_CASE("congestion-controlled messages: they fill a bottleneck, and hardly more") {
  for (const CongestionAlgorithm algorithm : {CongestionAlgorithm::kBbr, CongestionAlgorithm::kCubic}) {
    CAPTURE(static_cast<int>(algorithm));
    EndpointOptions options = paced_options();
    options.congestion = algorithm;
    ChannelWorld world(1, narrow_link(), options);
    world.connect();
    Source source(*world.client, world.own, kPaced);
    ChannelUser::Side& there = world.gateway->side(world.other);
    std::uint64_t before = 0;
    for (int tick = 0; tick < 4'000; ++tick) {
      if (tick == 1'000) before = there.received_bytes;
      source.fill(1'000);
      world.run(milliseconds(5));
    }
    const double rate = static_cast<double>(there.received_bytes - before) / 15;
    CHECK(rate > 0.85 * 1'250'000);
    world.run(seconds(2));
    // Each message has left once; what is not there was lost, and is known to be.
    const std::uint64_t lost = world.client->count(Counter::messagesLost);
    const double megabits = rate * 8 / 1e6;
    MESSAGE(megabits << " Mbit/s of messages, " << lost << " of " << source.sent << " lost");
    CHECK(there.received[kPaced].size() + lost == source.sent);
    CHECK(lost < source.sent / 20);
    CHECK(world.simulation.counters().queue_full >= world.client->count(Counter::packetsLost));
    const PeerStatus status = *world.client->endpoint().status(world.own, world.client->node().now());
    CHECK(status.bytes_in_flight == 0);
    CHECK(status.queued_bytes == 0);
    CHECK(world.client->count(Counter::sendQueueBytes) == 0);
  }
}

TEST_CASE("congestion-controlled messages: they share a bottleneck with a reliable channel of another peer") {
  LinkSettings uplink = narrow_link();
  uplink.queue_bytes = 50'000;
  uplink.shared_bottleneck = true;
  ChannelWorld world(2, LinkSettings{.delay = milliseconds(10)}, paced_options());
  world.connect();
  EndpointOptions options = paced_options();
  options.max_sessions = 64;
  ChannelUser neighbour(world.simulation, SocketAddress::ipv4({10, 0, 1, 2}, 5000), std::nullopt, options,
                        {});
  const auto token = simulated_token(world.random, 2, std::span(&ChannelWorld::kAddress, 1),
                                     world.simulation.wall_now(), seconds(20));
  const Handle neighbours = neighbour.connect(token);
  world.run(seconds(1));
  REQUIRE(neighbour.side(neighbours).connected);
  const Handle second = world.gateway->peers().back();
  world.simulation.set_link(std::nullopt, ChannelWorld::kAddress, uplink);

  Source paced(*world.client, world.own, kPaced);
  Source reliable(neighbour, neighbours, kOrdered);
  double before[2] = {};
  const auto bytes = [&](Handle peer) {
    return static_cast<double>(world.gateway->side(peer).received_bytes);
  };
  for (int tick = 0; tick < 8'000; ++tick) {
    if (tick == 2'000) {
      before[0] = bytes(world.other);
      before[1] = bytes(second);
    }
    paced.fill(1'000);
    reliable.fill(1'000);
    world.run(milliseconds(5));
  }
  const double had = bytes(world.other) - before[0];
  const double all = had + bytes(second) - before[1];
  const double share = had / all;
  const double megabits = all * 8 / 30e6;
  MESSAGE("share of the messages: " << share << ", together " << megabits << " Mbit/s");
  CHECK(all / 30 > 0.85 * 1'250'000);
  CHECK(share > 0.35);
  CHECK(share < 0.65);
}

TEST_CASE("congestion-controlled messages: what is lost is counted and not sent again") {
  LinkSettings link;
  link.delay = milliseconds(10);
  ChannelWorld world(3, link, paced_options());
  world.connect();
  // Peers are acknowledged what they say at the beginning before it gets bad.
  world.run(seconds(1));
  link.loss_rate = 0.3;
  world.simulation.set_link(ChannelWorld::kClient, ChannelWorld::kAddress, link);
  const std::uint64_t bytes_before = world.client->count(Counter::bytesSent);
  Source source(*world.client, world.own, kPaced);
  for (int i = 0; i < 5'000 && source.sent < 2'000; ++i) {
    source.fill(1'000);
    world.run(milliseconds(10));
  }
  REQUIRE(source.sent >= 2'000);
  for (int i = 0; i < 100 && world.client->count(Counter::sendQueueBytes) > 0; ++i) world.run(seconds(1));
  const std::uint64_t received = world.gateway->side(world.other).received[kPaced].size();
  const std::uint64_t lost = world.client->count(Counter::messagesLost);
  const std::uint64_t bytes = world.client->count(Counter::bytesSent) - bytes_before;
  MESSAGE(received << " received and " << lost << " lost of " << source.sent << ", " << bytes
                   << " bytes sent");
  CHECK(received > source.sent * 6 / 10);
  CHECK(received < source.sent * 8 / 10);
  CHECK(lost > source.sent * 2 / 10);
  CHECK(lost < source.sent * 4 / 10);
  CHECK(bytes > source.sent * 1'000);
  CHECK(bytes < source.sent * 1'000 * 11 / 10);
  CHECK(world.client->side(world.own).drains > 0);
}

TEST_CASE(
    "congestion-controlled messages: a queue that is full asks to wait, then refuses, then tells of room") {
  EndpointOptions options = paced_options();
  options.high_water_bytes = 50'000;
  options.max_queued_bytes = 100'000;
  LinkSettings link = narrow_link();
  link.bytes_per_second = 100'000;
  ChannelWorld world(1, link, options);
  world.connect();
  ChannelUser& client = *world.client;
  std::uint64_t number = 0;
  while (client.flags(world.own) == 0) {
    REQUIRE(client.send(world.own, kPaced, number++, 936) == SendStatus::kSent);
    REQUIRE(number < 100);
  }
  CHECK(number == 51);
  CHECK(client.flags(world.own) == kPeerWait);
  while (client.send(world.own, kPaced, number, 936) == SendStatus::kSent) REQUIRE(++number < 200);
  CHECK(number == 101);
  CHECK(client.flags(world.own) == (kPeerWait | kPeerFull));
  CHECK(client.send(world.own, kPaced, number, 936) == SendStatus::kQueueFull);
  CHECK(client.count(Counter::dropQueueFull) == 2);
  // Those that do not wait are not refused.
  CHECK(client.send(world.own, kPlain, 0, 100) == SendStatus::kSent);
  world.run(milliseconds(300));
  CHECK(world.gateway->side(world.other).received[kPlain].size() == 1);
  CHECK(client.side(world.own).drains == 0);
  world.run(seconds(5));
  CHECK(client.side(world.own).drains == 1);
  CHECK(client.flags(world.own) == 0);
  CHECK(world.gateway->side(world.other).received[kPaced].size() + client.count(Counter::messagesLost) ==
        number);
}

TEST_CASE("congestion-controlled messages: priorities are shared with reliable channels") {
  EndpointOptions options = paced_options();
  options.channels[kPaced].priority = ChannelPriority::kLow;
  options.high_water_bytes = 16 * 1024 * 1024;
  ChannelWorld world(4, narrow_link(), options);
  world.connect();
  // kOrdered is of high priority: 16 parts against 1.
  for (std::uint64_t i = 0; i < 7'000; ++i) {
    REQUIRE(world.client->send(world.own, kOrdered, i, 1'000) == SendStatus::kSent);
    if (i % 4 == 0) REQUIRE(world.client->send(world.own, kPaced, i, 1'000) == SendStatus::kSent);
  }
  world.run(seconds(5));
  const ChannelUser::Side& there = world.gateway->side(world.other);
  const auto low = static_cast<double>(there.received.at(kPaced).size());
  const auto high = static_cast<double>(there.received.at(kOrdered).size());
  CHECK(high > 3'000);
  CHECK(low / (low + high) > 0.7 / 17);
  CHECK(low / (low + high) < 1.4 / 17);
}

TEST_CASE("congestion-controlled messages: those that a path cannot carry any more are dropped and counted") {
  LinkSettings link = narrow_link();
  link.bytes_per_second = 250'000;
  link.mtu_bytes = 4'100;
  EndpointOptions options = paced_options();
  options.high_water_bytes = 16 * 1024;
  options.max_datagram = 4'052;
  ChannelWorld world(6, link, options);
  world.connect();
  Source source(*world.client, world.own, kPaced);
  for (int tick = 0; tick < 2'000; ++tick) {
    source.fill(1'000);
    world.run(milliseconds(20));
  }
  world.run(seconds(1));
  const std::size_t longest = world.client->max_unreliable(world.own);
  REQUIRE(longest > 3'000);
  link.mtu_bytes = 1'300;
  world.simulation.set_link(std::nullopt, std::nullopt, link);
  for (int i = 0; i < 200; ++i)
    REQUIRE(world.client->send(world.own, kPaced, source.sent++, longest) == SendStatus::kSent);
  REQUIRE(world.client->send(world.own, kPaced, source.sent, 1'000) == SendStatus::kSent);
  world.run(seconds(5));
  CHECK(world.client->count(Counter::dropPathMtu) > 100);
  CHECK(world.client->count(Counter::dropPathMtu) < 200);
  CHECK(world.gateway->side(world.other).received[kPaced].contains(source.sent));
  CHECK(world.client->count(Counter::sendQueueBytes) == 0);
  CHECK(!world.client->side(world.own).ended);
  CHECK(world.client->send(world.own, kPaced, source.sent + 1, longest) == SendStatus::kTooLong);
}

TEST_CASE("congestion-controlled messages: they allocate nothing in steady state") {
  for (const CongestionAlgorithm algorithm : {CongestionAlgorithm::kBbr, CongestionAlgorithm::kCubic}) {
    EndpointOptions options = paced_options();
    options.congestion = algorithm;
    World world(gateway_options(), options);
    world.client = std::make_unique<Node>(options, nullptr, 5, kClientAddress);
    Handle own{};
    Handle other{};
    std::tie(own, other) = world.connected();
    const std::vector<std::byte> message(200);
    std::vector<std::byte> wire(kGreatestMaxDatagram);
    std::uint64_t messages = 0;
    SeededRandom random(3);
    // A way takes a millisecond, and some are lost.
    const auto pump = [&](Node& from, Node& to) {
      world.now += milliseconds(1);
      from.endpoint.advance(world.now);
      from.endpoint.flush(world.now);
      for (auto output = from.endpoint.output(); !output.empty(); output = from.endpoint.output()) {
        for (const OutgoingDatagram& datagram : output) {
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
    const auto turn = [&] {
      for (int i = 0; i < 3; ++i) {
        CHECK(world.client->endpoint.send(own, kPaced, message, {}, world.now) == SendStatus::kSent);
        CHECK(world.server->endpoint.send(other, kPaced, message, {}, world.now) == SendStatus::kSent);
      }
      pump(*world.client, *world.server);
      pump(*world.server, *world.client);
    };
    for (int i = 0; i < 20'000; ++i) turn();
    const std::uint64_t before = messages;
    const AllocationCount allocations;
    for (int i = 0; i < 4'000; ++i) turn();
    CHECK(allocations.count() == 0);
    CHECK(messages - before > 22'000);
    CHECK(world.client->count(Counter::messagesLost) > 100);
  }
}

TEST_CASE("congestion-controlled messages: they say that they are to be acknowledged, others do not") {
  Observed observed;
  for (int i = 0; i < 5; ++i) {
    REQUIRE(observed.send(Observed::kControlled, 50) == SendStatus::kSent);
    REQUIRE(observed.send(0, 50) == SendStatus::kSent);
  }
  observed.peer.turn();
  // All of one turn in one packet.
  CHECK(observed.peer.payloads.size() == 1);
  const std::vector<bool> expected = {false, false, false, false, false, true, true, true, true, true};
  CHECK(observed.messages() == expected);
  CHECK(observed.status().bytes_in_flight > 0);
  observed.acknowledge();
  CHECK(observed.status().bytes_in_flight == 0);
  // A packet of plain ones is not in flight.
  REQUIRE(observed.send(0, 50) == SendStatus::kSent);
  observed.peer.turn();
  CHECK(observed.status().bytes_in_flight == 0);
  CHECK(observed.count(Counter::messagesLost) == 0);
}

TEST_CASE("congestion-controlled messages: a probe timeout asks for an acknowledgement and repeats nothing") {
  Observed observed;
  for (int i = 0; i < 3; ++i) REQUIRE(observed.send(Observed::kControlled, 50) == SendStatus::kSent);
  observed.peer.turn();
  REQUIRE(observed.messages().size() == 3);
  const std::uint64_t lost_packet = observed.peer.last_number;
  observed.peer.forget();
  observed.pass(seconds(8));
  // Several timeouts have passed.
  CHECK(observed.messages().empty());
  CHECK(observed.peer.count(FrameType::kCredit) > 1);
  CHECK(observed.peer.count(FrameType::kCredit) < 12);
  CHECK(observed.status().bytes_in_flight > 0);
  CHECK(observed.count(Counter::messagesLost) == 0);
  REQUIRE(observed.peer.last_number > lost_packet + 3);
  observed.acknowledge();
  observed.pass(milliseconds(500));
  observed.acknowledge();
  observed.pass(milliseconds(500));
  CHECK(observed.count(Counter::messagesLost) == 3);
  CHECK(observed.status().bytes_in_flight == 0);
  CHECK(observed.messages().empty());
}

TEST_CASE("congestion-controlled messages: new ones go with a probe, though the window is full") {
  Observed observed;
  while (observed.status().queued_bytes < 10'000) {
    REQUIRE(observed.send(Observed::kControlled, 1'000) == SendStatus::kSent);
    observed.pass(milliseconds(5));
  }
  const std::size_t first = observed.messages().size();
  const std::size_t queued = observed.status().queued_bytes;
  observed.peer.forget();
  observed.pass(seconds(1));
  CHECK(first > 5);
  CHECK(observed.messages().size() >= 2);
  CHECK(observed.status().queued_bytes == queued - observed.messages().size() * (1'000 + kMessageCost));
}

TEST_CASE("congestion-controlled messages: they are acknowledged as reliable ones are") {
  Observed observed;
  const auto data = std::vector<std::byte>(20);
  const auto send = [&](bool acknowledged) {
    std::array<std::byte, 64> storage{};
    ByteWriter writer(storage);
    // Either kind may come on any unreliable channel: it is its sender who decides.
    REQUIRE(write_message(writer, 0, data, true, acknowledged));
    observed.peer.send(Frames().raw(writer.written()));
  };
  send(true);
  observed.peer.turn();
  CHECK(observed.peer.count(FrameType::kAck) == 0);
  observed.pass(milliseconds(6));
  CHECK(observed.peer.count(FrameType::kAck) == 1);
  observed.peer.forget();
  send(true);
  send(true);
  observed.peer.turn();
  CHECK(observed.peer.count(FrameType::kAck) == 1);
  observed.peer.forget();
  for (int i = 0; i < 4; ++i) send(false);
  observed.pass(milliseconds(50));
  CHECK(observed.peer.count(FrameType::kAck) == 0);
  CHECK(count_events(observed.world.server->take_events(), EventKind::kMessage) == 7);
}

TEST_CASE("congestion-controlled messages: without the feature they leave as any other, and none may come") {
  Observed observed(0, true);
  for (int i = 0; i < 100; ++i) REQUIRE(observed.send(0, 1'000) == SendStatus::kSent);
  observed.peer.turn();
  CHECK(observed.messages() == std::vector<bool>(100, false));
  CHECK(observed.status().bytes_in_flight == 0);
  std::array<std::byte, 64> storage{};
  ByteWriter writer(storage);
  REQUIRE(write_message(writer, 0, std::vector<std::byte>(20), true, true));
  observed.peer.send(Frames().raw(writer.written()));
  observed.peer.turn();
  const auto disconnect = observed.peer.last(FrameType::kDisconnect);
  REQUIRE(disconnect.has_value());
  CHECK(disconnect->disconnect.code == static_cast<std::uint32_t>(DisconnectCode::kProtocolError));
}

}  // namespace hawser::test
