// Memory that peers make a gateway hold for messages to them: peers that offer any credit and acknowledge
// what they please, and the limit of all peers together.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rogue_peer.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kOrdered = 0;
constexpr std::uint32_t kLong = 1;
constexpr std::uint32_t kLongest = 256 * 1024;
constexpr std::size_t kMost = std::size_t{1} << 20U;

EndpointOptions memory_options(QueueFullPolicy policy = QueueFullPolicy::kRefuse) {
  EndpointOptions options;
  options.channels = {{"ordered", "", ChannelMode::kReliable, ChannelPriority::kNormal, 4096},
                      {"long", "", ChannelMode::kReliableUnordered, ChannelPriority::kNormal, kLongest}};
  options.max_queued_bytes = kMost;
  options.high_water_bytes = 64 * 1024;
  options.on_queue_full = policy;
  return options;
}

ResponseBody boundless_offer() {
  ResponseBody offered;
  offered.features = kFeatureChannels;
  offered.credit = offered.channel_credit = UINT32_MAX;
  std::vector<ChannelDigestEntry> entries;
  const auto declared = memory_options().channels;
  for (const ChannelDeclaration& channel : declared) {
    entries.push_back(
        {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
  }
  offered.channels = channels_digest(entries);
  return offered;
}

GatewayOptions gateway_with(std::size_t max_send_memory) {
  GatewayOptions options = gateway_options();
  options.max_send_memory = max_send_memory;
  return options;
}

std::unique_ptr<RoguePeer> connect(World& world, std::uint8_t number, Handle& handle) {
  auto peer =
      std::make_unique<RoguePeer>(world, world.token(number), rogue_address(number), std::uint64_t{number});
  peer->offer = boundless_offer();
  handle = peer->connect();
  peer->forget();
  world.now += milliseconds(1);
  return peer;
}

// A peer with boundless credit that acknowledges the packets for which `acknowledges` says so.
struct Acknowledger {
  explicit Acknowledger(const EndpointOptions& options)
      : high_water(options.high_water_bytes),
        world(gateway_options(), options),
        peer(connect(world, 1, handle)) {}

  // A round trip: acknowledges what came in the turn before, and takes what is sent now.
  template <class F>
  void turn(F&& acknowledges) {
    world.now += milliseconds(2);
    // The newest ranges; older ones have been told before.
    std::vector<AckRange> ranges;
    for (auto at = acknowledged.rbegin(); at != acknowledged.rend() && ranges.size() < 200; ++at) {
      if (!ranges.empty() && ranges.back().smallest == *at + 1) {
        ranges.back().smallest = *at;
      } else {
        ranges.push_back({*at, *at});
      }
    }
    if (!ranges.empty()) peer->send(Frames().ack_ranges(ranges));
    world.server->endpoint.advance(world.now);
    peer->turn();
    for (std::size_t i = 0; i < peer->payloads.size(); ++i) {
      FrameReader reader(peer->payloads[i]);
      bool all = true;
      for (Frame frame; reader.next(frame);) all = all && acknowledges(frame);
      if (all) acknowledged.insert(peer->numbers[i]);
    }
    while (acknowledged.size() > 4'096) acknowledged.erase(acknowledged.begin());
    peer->forget();
  }

  SendStatus send(std::uint32_t channel, std::size_t size) {
    const std::vector<std::byte> data(size);
    return world.server->endpoint.send(handle, channel, data, {}, world.now);
  }
  [[nodiscard]] PeerStatus status() { return *world.server->endpoint.status(handle, world.now); }
  [[nodiscard]] bool is_told_to_wait() { return status().queued_bytes > high_water; }
  // Code of the DISCONNECT; 0 when there was none.
  std::uint32_t disconnected() {
    peer->turn();
    const auto disconnect = peer->last(FrameType::kDisconnect);
    return disconnect ? disconnect->disconnect.code : 0;
  }

  std::size_t high_water;
  World world;
  Handle handle;
  std::unique_ptr<RoguePeer> peer;
  std::set<std::uint64_t> acknowledged;
};

bool is_first(const Frame& frame) {
  return (frame.type == FrameType::kReliable && frame.reliable.first == 0) ||
         (frame.type == FrameType::kFragment && frame.fragment.number == 0);
}

}  // namespace

TEST_CASE("send memory: what is acknowledged behind a gap is given back, whatever credit the peer offers") {
  for (const std::size_t size : {40U, 1'000U, 4'000U}) {
    CAPTURE(size);
    Acknowledger hostile(memory_options());
    std::size_t sent = 0;
    std::size_t most_held = 0;
    while (sent < 8 * kMost && sent < 40'000 * size) {
      for (int i = 0; i < 64 && !hostile.is_told_to_wait(); ++i, sent += size)
        REQUIRE(hostile.send(kOrdered, size) == SendStatus::kSent);
      hostile.turn([](const Frame& frame) { return !is_first(frame); });
      const PeerStatus status = hostile.status();
      most_held = std::max(most_held, static_cast<std::size_t>(status.held_bytes));
      // Nobody else is there.
      REQUIRE(hostile.world.server->count(Counter::sendQueueBytes) <= status.held_bytes + 64 * 1024);
    }
    CHECK(most_held <= kMost / 2);
    CHECK(hostile.disconnected() == 0);
    CHECK(hostile.world.server->count(Counter::messagesSent) == sent / size);
  }
}

TEST_CASE("send memory: acknowledged parts of a long message are given back before the message") {
  Acknowledger hostile(memory_options());
  REQUIRE(hostile.send(kLong, kLongest) == SendStatus::kSent);
  const auto is_beginning = [](const Frame& frame) {
    return frame.type == FrameType::kFragment && frame.fragment.offset == 0;
  };
  for (int i = 0; i < 2'000; ++i) hostile.turn([&](const Frame& frame) { return !is_beginning(frame); });
  CHECK(hostile.status().queued_bytes == 0);
  CHECK(hostile.status().held_bytes > 0);
  CHECK(hostile.status().held_bytes <= 16 * 1024);
  for (int i = 0; i < 2'000; ++i) hostile.turn([](const Frame&) { return true; });
  CHECK(hostile.status().held_bytes == 0);
}

TEST_CASE("send memory: messages that may expire leave nothing behind once they are acknowledged") {
  Acknowledger peer(memory_options());
  const std::vector<std::byte> data(100);
  SendOptions lasting;
  lasting.ttl = std::chrono::hours(1);
  for (int turn = 0; turn < 2'000; ++turn) {
    for (int i = 0; i < 8; ++i) {
      REQUIRE(peer.world.server->endpoint.send(peer.handle, kOrdered, data, lasting, peer.world.now) ==
              SendStatus::kSent);
    }
    peer.turn([](const Frame&) { return true; });
    REQUIRE(peer.status().held_bytes <= 32 * 1024);
  }
  for (int turn = 0; turn < 10; ++turn) peer.turn([](const Frame&) { return true; });
  CHECK(peer.status().held_bytes == 0);
}

TEST_CASE("send memory: a peer that pins memory holds no more than its limit") {
  // One message of each packet is never acknowledged: all that lies next to it has to stay.
  const auto pins = [](const Frame& frame) {
    return frame.type == FrameType::kReliable &&
           (frame.reliable.first + frame.reliable.count - 1) / 16 != (frame.reliable.first + 15) / 16;
  };
  for (const QueueFullPolicy policy : {QueueFullPolicy::kRefuse, QueueFullPolicy::kDisconnect}) {
    CAPTURE(static_cast<int>(policy));
    Acknowledger hostile(memory_options(policy));
    auto status = SendStatus::kSent;
    for (int turn = 0; turn < 20'000 && status == SendStatus::kSent; ++turn) {
      for (int i = 0; i < 64 && status == SendStatus::kSent; ++i) status = hostile.send(kOrdered, 100);
      REQUIRE(hostile.world.server->count(Counter::sendQueueBytes) <= kMost + 64 * 1024);
      if (status == SendStatus::kSent) hostile.turn([&](const Frame& frame) { return !pins(frame); });
    }
    CHECK(status == SendStatus::kQueueFull);
    CHECK(hostile.world.server->count(Counter::dropQueueFull) == 1);
    const bool ends = policy == QueueFullPolicy::kDisconnect;
    CHECK(hostile.disconnected() == (ends ? static_cast<std::uint32_t>(DisconnectCode::kSlowConsumer) : 0));
    CHECK(hostile.world.server->count(Counter::peersSlowConsumer) == (ends ? 1 : 0));
    if (ends) CHECK(hostile.world.server->count(Counter::sendQueueBytes) == 0);
  }
}

TEST_CASE("send memory: a peer that acknowledges nothing has half of its limit in flight at most") {
  EndpointOptions options = memory_options(QueueFullPolicy::kDisconnect);
  options.max_queued_bytes = 128 * 1024;
  options.high_water_bytes = 32 * 1024;
  Acknowledger hostile(options);
  std::size_t most_in_flight = 0;
  // The window grows first.
  for (int turn = 0; turn < 300; ++turn) {
    while (!hostile.is_told_to_wait()) REQUIRE(hostile.send(kOrdered, 1'000) == SendStatus::kSent);
    hostile.turn([](const Frame&) { return true; });
  }
  for (int turn = 0; turn < 100; ++turn) {
    for (int i = 0; i < 64 && !hostile.is_told_to_wait(); ++i)
      REQUIRE(hostile.send(kOrdered, 1'000) == SendStatus::kSent);
    hostile.turn([](const Frame&) { return false; });
    most_in_flight = std::max<std::size_t>(most_in_flight, hostile.status().bytes_in_flight);
    REQUIRE(hostile.status().held_bytes <= options.max_queued_bytes);
  }
  // Two packets of each probe timeout are beyond it.
  CHECK(most_in_flight <= options.max_queued_bytes / 2 + 20 * 1'200);
  CHECK(most_in_flight > options.max_queued_bytes / 2 - 8 * 1'200);
  // Whoever goes on all the same fills the queue: that ends the peer, and gives all of it back.
  auto status = SendStatus::kSent;
  for (std::size_t sent = 0; status == SendStatus::kSent; sent += 1'000) {
    REQUIRE(sent <= 2 * options.max_queued_bytes);
    status = hostile.send(kOrdered, 1'000);
  }
  CHECK(status == SendStatus::kQueueFull);
  CHECK(hostile.disconnected() == static_cast<std::uint32_t>(DisconnectCode::kSlowConsumer));
  CHECK(hostile.world.server->count(Counter::peersSlowConsumer) == 1);
  CHECK(hostile.world.server->count(Counter::sendQueueBytes) == 0);
  CHECK(hostile.send(kOrdered, 10) == SendStatus::kNotConnected);
}

TEST_CASE("send memory: the user waits for a peer that holds much, and hears when it holds less") {
  std::vector<std::uint8_t> flags(EndpointOptions().max_sessions);
  EndpointOptions options = memory_options();
  options.high_water_bytes = 2 * kMost;
  options.max_queued_bytes = kMost;
  options.peer_flags = flags;
  Acknowledger slow(options);
  const std::uint8_t& own = flags[slow.handle.slot];
  std::size_t sent = 0;
  while ((own & kPeerWait) == 0) {
    REQUIRE(slow.send(kOrdered, 1'000) == SendStatus::kSent);
    REQUIRE(++sent < 2'000);
  }
  CHECK(own == kPeerWait);
  CHECK(slow.status().held_bytes > kMost / 4 * 3);
  CHECK(slow.status().held_bytes <= kMost);
  while (slow.send(kOrdered, 1'000) == SendStatus::kSent) REQUIRE(++sent < 2'000);
  CHECK((own & kPeerFull) != 0);
  slow.world.server->take_events();
  for (int i = 0; i < 5'000 && (own & kPeerWait) != 0; ++i) {
    slow.turn([](const Frame&) { return true; });
  }
  CHECK(own == 0);
  CHECK(slow.status().held_bytes <= kMost / 2);
  slow.turn([](const Frame&) { return true; });
  CHECK(count_events(slow.world.server->take_events(), EventKind::kPeerDrain) == 1);
}

TEST_CASE("send memory: at the limit of all peers the one that holds most is disconnected") {
  constexpr std::size_t kLimit = std::size_t{2} << 20U;
  World world(gateway_with(kLimit), memory_options());
  Node& server = *world.server;
  std::vector<Handle> handles(8);
  std::vector<std::unique_ptr<RoguePeer>> peers;
  for (std::uint8_t i = 0; i < 8; ++i) {
    peers.push_back(connect(world, static_cast<std::uint8_t>(i + 1), handles[i]));
  }
  server.take_events();
  const std::vector<std::byte> data(1'000);
  const auto send = [&](std::size_t peer) {
    return server.endpoint.send(handles[peer], kOrdered, data, {}, world.now);
  };
  const auto held = [&](std::size_t peer) {
    const auto status = server.endpoint.status(handles[peer], world.now);
    return status && status->connected ? static_cast<std::size_t>(status->held_bytes) : 0;
  };
  // One has just less than an equal share, one the most, and the others what is left.
  while (held(0) + 4'096 < kLimit / 8) REQUIRE(send(0) == SendStatus::kSent);
  while (held(1) < kMost / 4 * 3) REQUIRE(send(1) == SendStatus::kSent);
  for (std::size_t round = 0; held(1) > 0; ++round) {
    REQUIRE(round < 20'000);
    REQUIRE(send(2 + round % 6) == SendStatus::kSent);
    REQUIRE(world.gateway.send_memory().in_use() <= kLimit + 64 * 1024);
  }
  auto events = server.take_events();
  REQUIRE(count_events(events, EventKind::kDisconnect) == 1);
  const Event* ended = find_event(events, EventKind::kDisconnect);
  CHECK(ended->peer == handles[1]);
  CHECK(code_of(*ended) == static_cast<std::uint32_t>(DisconnectCode::kSendMemoryFull));
  CHECK(server.count(Counter::peersSendMemoryFull) == 1);
  // Whatever the others do from now on, the one below its share stays.
  for (std::size_t round = 0; round < 20'000; ++round) {
    static_cast<void>(send(2 + round % 6));
    if (round % 100 == 0) REQUIRE(send(0) == SendStatus::kSent);
    if (held(0) + 8'192 > kLimit / 8) break;
  }
  CHECK(held(0) > 0);
  events = server.take_events();
  for (const Event& event : events) CHECK_FALSE(event.peer == handles[0]);
}

TEST_CASE("send memory: shards share the limit, and one that is below its share asks the others") {
  constexpr std::size_t kLimit = std::size_t{1} << 20U;
  struct Bell final : ShardBell {
    void ring(std::uint32_t shard) override { rung.push_back(shard); }
    std::vector<std::uint32_t> rung;
  } bell;
  EndpointOptions options = memory_options();
  options.shards = 2;
  World world(gateway_with(kLimit), options);
  world.gateway.set_bell(&bell);
  options.shard = 1;
  options.mode = Mode::kServer;
  auto other = std::make_unique<Node>(options, &world.gateway, 77, kServerAddress);
  Handle large;
  const auto first = connect(world, 1, large);
  std::swap(world.server, other);
  std::vector<Handle> small(7);
  std::vector<std::unique_ptr<RoguePeer>> peers;
  for (std::uint8_t i = 0; i < 7; ++i)
    peers.push_back(connect(world, static_cast<std::uint8_t>(i + 2), small[i]));
  world.server->take_events();
  other->take_events();
  const std::vector<std::byte> data(1'000);
  while (other->endpoint.status(large, world.now)->held_bytes < kLimit / 2)
    REQUIRE(other->endpoint.send(large, kOrdered, data, {}, world.now) == SendStatus::kSent);
  // Each of these stays below an eighth of the limit.
  for (int round = 0; round < 120 && bell.rung.empty(); ++round) {
    for (const Handle peer : small)
      REQUIRE(world.server->endpoint.send(peer, kOrdered, data, {}, world.now) == SendStatus::kSent);
  }
  REQUIRE_FALSE(bell.rung.empty());
  CHECK(bell.rung[0] == 0);
  CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 0);
  CHECK(other->endpoint.next_deadline() == Instant());
  other->endpoint.flush(world.now);
  const auto events = other->take_events();
  REQUIRE(count_events(events, EventKind::kDisconnect) == 1);
  CHECK(code_of(*find_event(events, EventKind::kDisconnect)) ==
        static_cast<std::uint32_t>(DisconnectCode::kSendMemoryFull));
  CHECK(world.gateway.send_memory().in_use() <= kLimit);
  world.server->endpoint.flush(world.now);
  CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 0);
  // What a shard held is not counted after its end.
  other.reset();
  world.server.reset();
  CHECK(world.gateway.send_memory().in_use() == 0);
  world.gateway.set_bell(nullptr);
}

}  // namespace hawser::test
