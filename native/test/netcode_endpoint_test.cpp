// Sessions of netcode 1.02: what the standard says of servers and clients, rule by rule.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "netcode_support.hpp"

namespace hawser::test {

namespace {

using netcode::PacketType;
using std::chrono::milliseconds;
using std::chrono::seconds;

const SocketAddress kOtherAddress = SocketAddress::ipv4({10, 0, 1, 3}, 5001);

std::vector<std::byte> filled(std::size_t size, std::uint8_t fill = 7) {
  return std::vector<std::byte>(size, std::byte{fill});
}

SendStatus send(Node& node, Handle peer, Bytes message, Instant now, std::uint32_t channel = 0) {
  return node.endpoint.send(peer, channel, message, {}, now);
}

std::vector<std::size_t> message_sizes(const std::vector<Event>& events) {
  std::vector<std::size_t> sizes;
  for (const Event& event : events) {
    if (event.kind == EventKind::kMessage) sizes.push_back(event.bytes.size());
  }
  return sizes;
}

std::uint32_t record_u32(const Event& connect, std::size_t offset) {
  return load_little_endian<std::uint32_t>(connect.bytes.data() + offset);
}

}  // namespace

TEST_CASE("netcode: a client connects, and both sides are told what there is to tell") {
  NetcodeWorld world;
  netcode::TokenParameters parameters = world.parameters(77);
  parameters.user_data = bytes_of("for the gateway");
  const Handle own = world.connect(world.mint(parameters));
  for (int i = 0; i < 4; ++i) world.exchange();

  const auto of_client = world.client->take_events();
  CHECK(netcode_states(of_client) == std::vector<int>{1, 2, 3});
  const Event* const connected = find_event(of_client, EventKind::kConnect);
  REQUIRE(connected != nullptr);
  CHECK(connected->peer == own);
  CHECK(record_u32(*connected, ConnectRecordLayout::kWire) == 1);
  CHECK(record_u32(*connected, ConnectRecordLayout::kClientIndex) == 0);
  CHECK(record_u32(*connected, ConnectRecordLayout::kMaxClients) == 10'000);
  CHECK(record_u32(*connected, ConnectRecordLayout::kTimeout) == 5'000);

  const auto of_server = world.server->take_events();
  const Event* const peer = find_event(of_server, EventKind::kConnect);
  REQUIRE(peer != nullptr);
  CHECK(load_little_endian<std::uint64_t>(peer->bytes.data()) == 77);
  CHECK(load_little_endian<std::uint64_t>(peer->bytes.data() + ConnectRecordLayout::kExpire) ==
        (kStartSeconds + 3600) * 1000);
  REQUIRE(peer->bytes.size() == ConnectRecordLayout::kUserData + netcode::kUserDataSize);
  const Bytes user_data = Bytes(peer->bytes).subspan(ConnectRecordLayout::kUserData);
  CHECK(std::ranges::equal(user_data.first(15), bytes_of("for the gateway")));
  CHECK(all_zero(user_data.subspan(15)));
  CHECK(world.server->endpoint.connected() == 1);
  const auto status = world.server->endpoint.status(peer->peer, world.now);
  REQUIRE(status.has_value());
  CHECK(status->connected);
  CHECK(status->remote == kClientAddress);
  CHECK(status->max_unreliable == 1'200);
}

TEST_CASE("netcode: challenge and denied count from the upper half, a session from zero") {
  NetcodeWorld world;
  Rogue rogue(world, world.token(1), kOtherAddress);
  rogue.connect();
  const auto challenge = rogue.last(PacketType::kChallenge);
  REQUIRE(challenge.has_value());
  CHECK(challenge->size == 333);
  CHECK(challenge->sequence >= std::uint64_t{1} << 63U);
  // The number of the challenge token.
  CHECK(load_little_endian<std::uint64_t>(challenge->body.data()) == 0);
  const auto first = rogue.last(PacketType::kKeepAlive);
  REQUIRE(first.has_value());
  CHECK(first->sequence == 0);

  // Another start counts from somewhere else.
  NetcodeWorld again(netcode_gateway_options(), {}, 2);
  Rogue other(again, again.token(1), kOtherAddress);
  other.connect();
  CHECK(other.last(PacketType::kChallenge)->sequence != challenge->sequence);
}

TEST_CASE("netcode: payloads of 1 to 1,200 bytes pass both ways, on one channel") {
  EndpointOptions options;
  options.channels = {{"orders", "bytes", ChannelMode::kReliable, ChannelPriority::kNormal, 1024},
                      {"state", "bytes", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0},
                      {"more", "bytes", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0}};
  NetcodeWorld world(netcode_gateway_options(), options);
  const auto [own, other] = world.connected();
  for (const std::size_t size : {std::size_t{1}, std::size_t{64}, std::size_t{1200}}) {
    CHECK(send(*world.client, own, filled(size), world.now) == SendStatus::kSent);
    CHECK(send(*world.server, other, filled(size), world.now, 1) == SendStatus::kSent);
  }
  world.exchange();
  world.exchange();
  const auto received = world.server->take_events();
  CHECK(message_sizes(received) == std::vector<std::size_t>{1, 64, 1200});
  for (const Event& event : received) {
    CHECK(event.argument == 1);
    CHECK(event.peer == other);
  }
  CHECK(message_sizes(world.client->take_events()) == std::vector<std::size_t>{1, 64, 1200});

  CHECK(send(*world.server, other, {}, world.now, 1) == SendStatus::kTooLong);
  CHECK(send(*world.server, other, filled(1201), world.now, 1) == SendStatus::kTooLong);
  CHECK(send(*world.server, other, filled(1), world.now, 0) == SendStatus::kInvalidChannel);
  CHECK(send(*world.server, other, filled(1), world.now, 2) == SendStatus::kInvalidChannel);
  CHECK(send(*world.server, other, filled(1), world.now, 3) == SendStatus::kInvalidChannel);
}

TEST_CASE("netcode: keep-alives go out when nothing was sent for 100 ms, and only then") {
  NetcodeWorld world;
  const auto [own, other] = world.connected();
  world.run(milliseconds(500));
  world.log.clear();
  world.run(seconds(2));
  CHECK(world.count_sent(PacketType::kKeepAlive, kClientAddress) >= 18);
  CHECK(world.count_sent(PacketType::kKeepAlive, kClientAddress) <= 20);
  CHECK(world.count_sent(PacketType::kKeepAlive, kServerAddress) >= 18);
  CHECK(world.count_sent(PacketType::kKeepAlive, kServerAddress) <= 20);
  world.log.clear();
  for (int i = 0; i < 20; ++i) {
    send(*world.client, own, filled(10), world.now);
    send(*world.server, other, filled(10), world.now);
    world.run(milliseconds(50));
  }
  CHECK(world.count_sent(PacketType::kKeepAlive, kClientAddress) == 0);
  CHECK(world.count_sent(PacketType::kKeepAlive, kServerAddress) == 0);
}

TEST_CASE("netcode: until a client is confirmed each payload follows a keep-alive") {
  NetcodeWorld world;
  Rogue rogue(world, world.token(1), kOtherAddress);
  rogue.connect();
  const Event event = world.server->take_events().at(0);
  world.log.clear();
  send(*world.server, event.peer, filled(5), world.now);
  send(*world.server, event.peer, filled(5), world.now);
  world.exchange();
  REQUIRE(world.log.size() == 4);
  CHECK(world.count_sent(PacketType::kKeepAlive, kOtherAddress) == 2);
  CHECK(world.count_sent(PacketType::kPayload, kOtherAddress) == 2);
  CHECK((world.log[0].bytes[0] & std::byte{0x0f}) == std::byte{4});

  SUBCASE("by a keep-alive") { rogue.packet(PacketType::kKeepAlive, 1, netcode::encode_keep_alive({})); }
  SUBCASE("by a payload") { rogue.packet(PacketType::kPayload, 1, filled(3)); }
  world.log.clear();
  send(*world.server, event.peer, filled(5), world.now);
  world.exchange();
  CHECK(world.log.size() == 1);
}

TEST_CASE("netcode: whoever disconnects sends ten DISCONNECTs at once") {
  NetcodeWorld world;
  const auto [own, other] = world.connected();
  world.log.clear();
  SUBCASE("the server") {
    CHECK(world.server->endpoint.disconnect(other, 5, "not told", world.now, seconds(1)));
    world.exchange();
    world.exchange();
    CHECK(world.count_sent(PacketType::kDisconnect, kClientAddress) == 10);
    const auto events = world.server->take_events();
    REQUIRE(count_events(events, EventKind::kDisconnect) == 1);
    CHECK(find_event(events, EventKind::kDisconnect)->argument ==
          static_cast<std::uint32_t>(DisconnectResult::kClosed));
    CHECK(code_of(*find_event(events, EventKind::kDisconnect)) == 5);
    CHECK(reconnect_spread_of(*find_event(events, EventKind::kDisconnect)) == milliseconds(0));
    const auto heard = world.client->take_events();
    REQUIRE(count_events(heard, EventKind::kDisconnect) == 1);
    CHECK(find_event(heard, EventKind::kDisconnect)->argument ==
          static_cast<std::uint32_t>(DisconnectResult::kDisconnected));
    CHECK(reconnect_spread_of(*find_event(heard, EventKind::kDisconnect)) == milliseconds(0));
    CHECK(netcode_states(heard) == std::vector<int>{0});
  }
  SUBCASE("the client") {
    CHECK(world.client->endpoint.disconnect(own, 0, "", world.now));
    world.exchange();
    CHECK(world.count_sent(PacketType::kDisconnect, kServerAddress) == 10);
    CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 1);
    CHECK(netcode_states(world.client->take_events()) == std::vector<int>{0});
  }
  world.exchange();
  CHECK_FALSE(world.server->endpoint.disconnect(other, 0, "", world.now));
  CHECK(send(*world.server, other, filled(1), world.now) == SendStatus::kNotConnected);
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(world.client->endpoint.sessions() == 0);
  CHECK(world.server->endpoint.connected() == 0);
  CHECK(world.gateway.connected() == 0);
}

TEST_CASE("netcode: silence ends a session after the token's timeout, unless that is off") {
  NetcodeWorld world;
  netcode::TokenParameters parameters = world.parameters(7);
  SUBCASE("on") {
    world.connect(world.mint(parameters));
    world.run(seconds(1));
    world.filter = [](const Sent&) { return false; };
    world.client->take_events();
    world.server->take_events();
    world.run(milliseconds(4'800));
    CHECK(world.server->endpoint.connected() == 1);
    world.run(milliseconds(300));
    CHECK(netcode_states(world.client->take_events()) == std::vector<int>{-4});
    const auto events = world.server->take_events();
    REQUIRE(count_events(events, EventKind::kDisconnect) == 1);
    CHECK(find_event(events, EventKind::kDisconnect)->argument ==
          static_cast<std::uint32_t>(DisconnectResult::kTimedOut));
    CHECK(world.server->endpoint.sessions() == 0);
    CHECK(world.client->endpoint.sessions() == 0);
  }
  SUBCASE("off") {
    parameters.timeout_seconds = -1;
    world.connect(world.mint(parameters));
    world.run(seconds(1));
    world.filter = [](const Sent&) { return false; };
    world.run(seconds(600), milliseconds(100));
    CHECK(world.server->endpoint.connected() == 1);
    CHECK(world.client->endpoint.connected() == 1);
  }
}

TEST_CASE("netcode: a client whose server is silent tries the next one, and says how it ended") {
  NetcodeWorld world;
  const auto fail_state = [&] {
    const auto events = world.client->take_events();
    REQUIRE(count_events(events, EventKind::kConnectFailed) == 1);
    CHECK(world.client->endpoint.sessions() == 0);
    return netcode_states(events);
  };
  const SocketAddress nowhere = SocketAddress::ipv4({10, 9, 9, 9}, 1);
  SUBCASE("request timed out") {
    world.addresses = {nowhere};
    world.connect(world.token(1));
    world.run(milliseconds(5'200));
    CHECK(fail_state() == std::vector<int>{1, -2});
    CHECK(world.log.size() >= 49);
    CHECK(world.log.size() <= 51);
  }
  SUBCASE("response timed out") {
    world.filter = [](const Sent& sent) { return (sent.bytes[0] & std::byte{0x0f}) != std::byte{4}; };
    // Its server takes it for connected, and does not hear of it again.
    world.connect(world.token(1));
    world.run(milliseconds(5'300));
    CHECK(fail_state() == std::vector<int>{1, 2, -3});
  }
  SUBCASE("failover") {
    world.addresses = {nowhere, kServerAddress};
    world.connect(world.token(1));
    world.run(milliseconds(5'300));
    CHECK(netcode_states(world.client->take_events()) == std::vector<int>{1, 1, 2, 3});
  }
  SUBCASE("token expired, whatever the number of servers") {
    world.addresses = {nowhere, nowhere, nowhere};
    netcode::TokenParameters parameters = world.parameters(1);
    parameters.expire = parameters.create + 7;
    world.addresses[1].port = 2;
    world.addresses[2].port = 3;
    parameters.addresses = world.addresses;
    world.connect(world.mint(parameters));
    world.run(milliseconds(7'100));
    CHECK(fail_state() == std::vector<int>{1, 1, -6});
  }
  SUBCASE("overall limit of the caller") {
    world.addresses = {nowhere};
    world.connect(world.token(1), milliseconds(500));
    world.run(milliseconds(600));
    CHECK(fail_state() == std::vector<int>{1, -2});
  }
  SUBCASE("aborted") {
    world.addresses = {nowhere};
    const Handle own = world.connect(world.token(1));
    world.client->endpoint.abort(own, world.now);
    world.run(milliseconds(20));
    CHECK(fail_state() == std::vector<int>{1, 0});
  }
}

TEST_CASE("netcode: a full gateway denies, and its client goes on to the next") {
  GatewayOptions options = netcode_gateway_options();
  options.max_peers = 1;
  NetcodeWorld world(std::move(options));
  Rogue first(world, world.token(1), kOtherAddress);
  first.connect();
  REQUIRE(world.server->endpoint.connected() == 1);
  world.addresses = {kServerAddress, kSecondServerAddress};
  world.log.clear();
  world.connect(world.token(2));
  world.run(milliseconds(100));
  const auto events = world.client->take_events();
  // Both addresses are the same gateway.
  CHECK(netcode_states(events) == std::vector<int>{1, 1, -1});
  const Event* const failed = find_event(events, EventKind::kConnectFailed);
  REQUIRE(failed != nullptr);
  CHECK(failed->argument == static_cast<std::uint32_t>(ConnectResult::kDenied));
  CHECK(world.count_sent(PacketType::kDenied, kClientAddress) == 2);
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("netcode: a token is used once, by one address") {
  NetcodeWorld world;
  const auto token = world.token(1);
  Rogue rogue(world, token, kOtherAddress);
  Rogue elsewhere(world, token, kClientAddress);
  rogue.request();
  rogue.request();
  world.exchange();
  CHECK(world.count_sent(PacketType::kChallenge, kOtherAddress) == 2);
  elsewhere.request();
  world.exchange();
  CHECK(world.server->count(Counter::dropTokenUsed) == 1);
  CHECK(world.count_sent(PacketType::kChallenge, kClientAddress) == 0);

  rogue.respond();
  REQUIRE(world.server->endpoint.connected() == 1);
  rogue.packet(PacketType::kDisconnect, 1, {});
  world.exchange();
  REQUIRE(world.server->endpoint.connected() == 0);
  world.log.clear();
  rogue.request();
  elsewhere.request();
  world.exchange();
  CHECK(world.log.empty());
  CHECK(world.server->count(Counter::dropTokenUsed) == 3);
}

TEST_CASE("netcode: slots are given lowest first, and again when they are free") {
  NetcodeWorld world;
  std::vector<Rogue> rogues;
  rogues.reserve(4);
  const auto index_of = [&](std::uint64_t id) {
    rogues.emplace_back(world, world.token(id),
                        SocketAddress::ipv4({10, 0, 3, static_cast<std::uint8_t>(id)}, 9));
    rogues.back().connect();
    return load_little_endian<std::uint32_t>(rogues.back().last(PacketType::kKeepAlive)->body.data());
  };
  CHECK(index_of(1) == 0);
  CHECK(index_of(2) == 1);
  CHECK(index_of(3) == 2);
  rogues[1].packet(PacketType::kDisconnect, 1, {});
  world.exchange();
  CHECK(index_of(4) == 1);
}

TEST_CASE("netcode: HAWSER and netcode share a listener, its limit and its client ids") {
  GatewayOptions options = netcode_gateway_options();
  options.max_peers = 2;
  NetcodeWorld world(std::move(options));
  Rogue rogue(world, world.token(7), kOtherAddress);
  rogue.connect();
  world.server->take_events();
  // A client of HAWSER with the same id takes over, and can be told so.
  const Handle own = world.World::connect(world.World::token(7));
  world.run(milliseconds(100));
  const auto events = world.server->take_events();
  REQUIRE(count_events(events, EventKind::kDisconnect) == 1);
  CHECK(find_event(events, EventKind::kDisconnect)->argument ==
        static_cast<std::uint32_t>(DisconnectResult::kReplaced));
  CHECK(count_events(events, EventKind::kConnect) == 1);
  CHECK(rogue.last(PacketType::kDisconnect).has_value());
  // One of netcode does not.
  Rogue late(world, world.token(7), kOtherAddress);
  late.request();
  world.exchange();
  CHECK(world.server->count(Counter::dropClientIdConnected) == 1);
  CHECK(world.client->endpoint.status(own, world.now)->connected);
}

TEST_CASE("netcode: what is not spoken is not listened to") {
  SUBCASE("no netcode") {
    NetcodeWorld world(gateway_options());
    Rogue rogue(world, world.token(7), kOtherAddress);
    rogue.request();
    world.exchange();
    CHECK(world.log.empty());
    CHECK(world.server->count(Counter::dropUnknownType) == 1);
  }
  SUBCASE("no HAWSER") {
    EndpointOptions server;
    server.hawser = false;
    NetcodeWorld world(netcode_gateway_options(), server);
    world.World::connect(world.World::token(7));
    world.exchange();
    CHECK(world.server->count(Counter::dropUnknownType) == 1);
    CHECK(world.count_sent(PacketType::kChallenge, kClientAddress) == 0);
    world.connected();
  }
}

TEST_CASE("netcode: stop tells everybody, however many there are") {
  EndpointOptions server;
  server.max_output_packets = 256;
  NetcodeWorld world(netcode_gateway_options(), server);
  constexpr std::uint8_t kCount = 100;
  std::vector<Rogue> rogues;
  rogues.reserve(kCount);
  for (std::uint8_t i = 0; i < kCount; ++i) {
    rogues.emplace_back(world, world.token(i), SocketAddress::ipv4({10, 0, 3, i}, 9));
    rogues.back().connect();
    // Handshakes have a budget.
    world.now += milliseconds(1);
  }
  REQUIRE(world.server->endpoint.connected() == kCount);
  world.server->take_events();
  world.log.clear();
  world.server->endpoint.stop(3, "", world.now);
  for (int i = 0; i < 10; ++i) world.exchange();
  CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == kCount);
  CHECK(world.log.size() == std::size_t{kCount} * 10);
  CHECK(world.server->endpoint.sessions() == 0);
  // Nothing that is planned brings another turn.
  CHECK(world.server->endpoint.state() == SocketState::kStopped);
}

}  // namespace hawser::test
