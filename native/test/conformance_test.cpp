// Rules of the source document that no other test proves by itself (docs/conformance/transport.md).
#include <doctest/doctest.h>

#include <algorithm>
#include <string_view>

#include "endpoint_support.hpp"
#include "wire/session_packet.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

std::uint64_t dropped(const Node& node) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    if (std::string_view(kCounterNames[i]).starts_with("drop")) total += node.count(static_cast<Counter>(i));
  }
  return total;
}

// The REQUEST of a client with this token. Nobody has received it.
Sent request_of(World& world, Bytes token) {
  world.filter = [](const Sent&) { return false; };
  world.log.clear();
  const Handle attempt = world.connect(token);
  world.exchange();
  const auto sent = std::find_if(world.log.begin(), world.log.end(),
                                 [](const Sent& each) { return each.bytes.size() == kRequestSize; });
  REQUIRE(sent != world.log.end());
  Sent request = *sent;
  world.client->endpoint.abort(attempt, world.now);
  world.run(milliseconds(10));
  world.log.clear();
  world.client->clear_events();
  return request;
}

void serve(World& world, const Sent& datagram) {
  world.deliver(datagram);
  world.exchange();
}

}  // namespace

TEST_CASE("conformance: a place that a peer leaves is free again") {
  GatewayOptions options = gateway_options();
  options.max_peers = 2;
  World world(std::move(options));
  const auto first = world.connected(1);
  world.connected(2);
  world.connect(world.token(3));
  world.run(milliseconds(50));
  CHECK(find_event(world.client->take_events(), EventKind::kConnectFailed) != nullptr);
  world.client->endpoint.disconnect(first.first, 0, {}, world.now);
  world.run(milliseconds(50));
  world.connect(world.token(3));
  world.run(milliseconds(50));
  CHECK(find_event(world.client->take_events(), EventKind::kConnect) != nullptr);
  CHECK(world.server->endpoint.connected() == 2);
}

TEST_CASE("conformance: statistics follow the state of each connection") {
  World world;
  const auto levels = [&] {
    return std::pair(world.server->count(Counter::halfOpen), world.server->count(Counter::peers));
  };
  world.filter = [](const Sent& sent) { return sent.bytes.size() != kAcceptSize; };
  const Handle own = world.connect(world.token(1));
  world.exchange();
  CHECK(levels() == std::pair<std::uint64_t, std::uint64_t>(0, 0));
  for (int i = 0; i < 3; ++i) world.exchange();
  CHECK(levels() == std::pair<std::uint64_t, std::uint64_t>(1, 0));
  world.filter = nullptr;
  world.run(milliseconds(300));
  CHECK(levels() == std::pair<std::uint64_t, std::uint64_t>(0, 1));
  world.client->endpoint.disconnect(own, 0, {}, world.now);
  world.run(seconds(2));
  CHECK(levels() == std::pair<std::uint64_t, std::uint64_t>(0, 0));
  CHECK(world.server->count(Counter::handshakesCompleted) == 1);
  CHECK(world.server->count(Counter::peersConnected) == 1);
  CHECK(world.server->count(Counter::peersDisconnected) == 1);
}

TEST_CASE("conformance: every datagram is either taken or counted under one reason") {
  World world;
  const auto [own, other] = world.connected();
  static_cast<void>(other);
  for (int i = 0; i < 5; ++i) world.client->endpoint.send(own, 0, bytes_of("a message"), {}, world.now);
  world.exchange();
  const std::vector<Sent> captured = world.log;
  const auto taken = [&] {
    return world.server->count(Counter::packetsOpened) + world.server->count(Counter::challengesSent) +
           world.server->count(Counter::acceptsSent) + world.server->count(Counter::deniedSent);
  };
  SeededRandom random(11);
  for (int round = 0; round < 2'000; ++round) {
    Sent datagram = captured[random.below(static_cast<std::uint32_t>(captured.size()))];
    datagram.from = kClientAddress;
    datagram.to = kServerAddress;
    switch (random.below(4)) {
      case 0:
        break;
      case 1:
        datagram.bytes[random.below(static_cast<std::uint32_t>(datagram.bytes.size()))] ^= std::byte{1}
                                                                                           << random.below(8);
        break;
      case 2:
        datagram.bytes.resize(random.below(static_cast<std::uint32_t>(datagram.bytes.size())));
        break;
      default:
        datagram.bytes.resize(random.below(kMaxReceivedDatagram + 100));
        random.fill(datagram.bytes);
        break;
    }
    const std::uint64_t before = dropped(*world.server) + taken();
    world.now += milliseconds(1);
    serve(world, datagram);
    REQUIRE(dropped(*world.server) + taken() == before + 1);
  }
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("conformance: the cheapest check comes first") {
  World world;
  const auto [own, other] = world.connected();
  static_cast<void>(other);
  world.client->endpoint.send(own, 0, bytes_of("once"), {}, world.now);
  world.exchange();
  Sent packet = *std::find_if(world.log.rbegin(), world.log.rend(),
                              [](const Sent& sent) { return sent.from == kClientAddress; });
  // A known packet number is refused before its tag is looked at, an unknown connection before anything.
  packet.bytes.back() ^= std::byte{1};
  world.deliver(packet);
  CHECK(world.server->count(Counter::dropReplayed) == 1);
  packet.bytes[1] ^= std::byte{1};
  world.deliver(packet);
  CHECK(world.server->count(Counter::dropUnknownConnection) == 1);
  CHECK(world.server->count(Counter::dropAuthentication) == 0);

  // Tokens whose clear part breaks a rule take few places in the queue, whatever their number.
  const Sent expired = request_of(world, world.token(2, false, kStartWall - hours(2)));
  for (int i = 0; i < 5'000; ++i) world.deliver(expired);
  world.run(milliseconds(10), milliseconds(1));
  CHECK(world.server->count(Counter::dropTokenExpired) == 5'000);
  CHECK(world.server->count(Counter::dropHandshakeBudget) == 0);
  world.filter = nullptr;
  world.connected(3);
}

TEST_CASE("conformance: packet buffers are all given back, and the memory of peers is used again") {
  World world;
  std::size_t settled = 0;
  for (int round = 0; round < 60; ++round) {
    const auto [own, other] = world.connected(static_cast<std::uint64_t>(round + 1));
    for (int i = 0; i < 200; ++i) {
      world.client->endpoint.send(own, 0, std::vector<std::byte>(700), {}, world.now);
      world.server->endpoint.send(other, 0, std::vector<std::byte>(700), {}, world.now);
    }
    world.exchange();
    CHECK(world.server->count(Counter::packetBuffersPeak) >= 100);
    world.client->endpoint.disconnect(own, 0, {}, world.now);
    world.run(seconds(2));
    for (Node* node : {world.server.get(), world.client.get()}) {
      CHECK(node->count(Counter::packetBuffersInUse) == 0);
      CHECK(node->endpoint.sessions() == 0);
      node->clear_events();
    }
    world.log.clear();
    const std::size_t bytes = world.server->endpoint.memory_bytes() + world.client->endpoint.memory_bytes();
    if (round == 10) settled = bytes;
    if (round > 10) CHECK(bytes == settled);
  }
}
