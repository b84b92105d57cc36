#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "allocation_counter.hpp"
#include "endpoint_support.hpp"
#include "wire/session_packet.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

TEST_CASE("a client connects, both sides hear of it, and messages pass both ways") {
  World world;
  const Handle own = world.connect(world.token(77, false, kStartWall, {kServerAddress}, "hello"));
  for (int i = 0; i < 4; ++i) world.exchange();
  const auto server_events = world.server->take_events();
  const Event* connect = find_event(server_events, EventKind::kConnect);
  REQUIRE(connect != nullptr);
  CHECK(load_little_endian<std::uint64_t>(connect->bytes.data()) == 77);
  CHECK(std::memcmp(connect->bytes.data() + ConnectRecordLayout::kUserData, "hello", 5) == 0);
  REQUIRE(find_event(world.client->take_events(), EventKind::kConnect) != nullptr);
  CHECK(world.server->endpoint.connected() == 1);

  CHECK(world.client->endpoint.send(own, 0, bytes_of("ping"), {}, world.now) == SendStatus::kSent);
  CHECK(world.server->endpoint.send(connect->peer, 0, bytes_of("pong"), {}, world.now) == SendStatus::kSent);
  world.exchange();
  world.exchange();
  const auto received = world.server->take_events();
  const Event* message = find_event(received, EventKind::kMessage);
  REQUIRE(message != nullptr);
  CHECK(std::memcmp(message->bytes.data(), "ping", 4) == 0);
  CHECK(find_event(world.client->take_events(), EventKind::kMessage) != nullptr);
}

TEST_CASE("the handshake has the sizes of the page and answers nobody with more than he sent") {
  World world;
  world.connected();
  REQUIRE(world.log.size() >= 5);
  CHECK(world.log[0].bytes.size() == kRequestSize);
  CHECK(world.log[1].bytes.size() == kChallengeSize);
  CHECK(world.log[2].bytes.size() == kResponseSize);
  CHECK(world.log[3].bytes.size() == kAcceptSize);
  for (const Sent& sent : world.log) CHECK(sent.bytes.size() <= kMaxSentDatagram);
}

TEST_CASE("both sides export the same key, and another one for another label and another session") {
  World world;
  const auto [own, other] = world.connected(1);
  const auto a = world.client->endpoint.export_key(own, "label");
  const auto b = world.server->endpoint.export_key(other, "label");
  REQUIRE((a && b));
  CHECK(constant_time_equal(a->bytes(), b->bytes()));
  const auto c = world.server->endpoint.export_key(other, "another");
  CHECK_FALSE(constant_time_equal(a->bytes(), c->bytes()));
  CHECK_FALSE(world.server->endpoint.export_key(other, "").has_value());
}

TEST_CASE("a reused token gives another session with other keys") {
  World world;
  const auto bytes = world.token(5);
  std::vector<std::array<std::byte, 32>> exported;
  for (int i = 0; i < 3; ++i) {
    const Handle own = world.connect(bytes);
    world.run(milliseconds(100));
    const auto key = world.client->endpoint.export_key(own, "x");
    REQUIRE(key.has_value());
    std::array<std::byte, 32> copy{};
    std::copy(key->bytes().begin(), key->bytes().end(), copy.begin());
    CHECK(std::find(exported.begin(), exported.end(), copy) == exported.end());
    exported.push_back(copy);
  }
  // Each took the place of the one before: one client id, one peer.
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.server->count(Counter::peersReplaced) == 2);
}

TEST_CASE("an older token does not replace a newer one's peer") {
  World world;
  const auto older = world.token(5, false, kStartWall - seconds(60));
  const auto newer = world.token(5);
  world.connect(newer);
  world.run(milliseconds(100));
  world.client->take_events();
  world.connect(older);
  world.run(milliseconds(100));
  const auto events = world.client->take_events();
  const Event* failed = find_event(events, EventKind::kConnectFailed);
  REQUIRE(failed != nullptr);
  CHECK(failed->argument == static_cast<std::uint32_t>(ConnectResult::kDenied));
  CHECK(load_little_endian<std::uint32_t>(failed->bytes.data()) ==
        static_cast<std::uint32_t>(DeniedReason::kClientIdConnected));
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("a single-use token is used once") {
  World world;
  const auto bytes = world.token(5, true);
  world.connect(bytes);
  world.run(milliseconds(100));
  REQUIRE(find_event(world.client->take_events(), EventKind::kConnect) != nullptr);
  world.connect(bytes);
  world.run(milliseconds(100));
  const auto events = world.client->take_events();
  const Event* failed = find_event(events, EventKind::kConnectFailed);
  REQUIRE(failed != nullptr);
  CHECK(load_little_endian<std::uint32_t>(failed->bytes.data()) ==
        static_cast<std::uint32_t>(DeniedReason::kTokenUsed));
}

TEST_CASE(
    "with an external history nothing is sent before it has answered, and waiting messages are delivered "
    "after") {
  GatewayOptions options = gateway_options();
  options.external_token_history = true;
  options.restart_guard = std::nullopt;
  World world(std::move(options));
  const Handle own = world.connect(world.token(5, true));
  for (int i = 0; i < 3; ++i) world.exchange();
  auto events = world.server->take_events();
  const Event* consume = find_event(events, EventKind::kConsume);
  REQUIRE(consume != nullptr);
  CHECK(find_event(events, EventKind::kConnect) == nullptr);
  const std::size_t sent = world.log.size();
  world.server->endpoint.flush(world.now);
  CHECK(world.server->endpoint.output().empty());
  CHECK(world.log.size() == sent);
  world.server->endpoint.complete_consumption(consume->peer, ConsumeVerdict::kConsumed, world.now);
  CHECK(find_event(world.server->take_events(), EventKind::kConnect) != nullptr);
  world.exchange();
  world.exchange();
  CHECK(find_event(world.client->take_events(), EventKind::kConnect) != nullptr);
  CHECK(world.client->endpoint.status(own, world.now)->connected);
}

TEST_CASE("a full gateway denies") {
  GatewayOptions options = gateway_options();
  options.max_peers = 1;
  World world(std::move(options));
  world.connected(1);
  world.connect(world.token(2));
  world.run(milliseconds(50));
  const auto events = world.client->take_events();
  const Event* failed = find_event(events, EventKind::kConnectFailed);
  REQUIRE(failed != nullptr);
  CHECK(load_little_endian<std::uint32_t>(failed->bytes.data()) ==
        static_cast<std::uint32_t>(DeniedReason::kServerFull));
}

TEST_CASE("a disconnect reaches the other side with code, reason and spread, and both forget the peer") {
  World world;
  const auto [own, other] = world.connected();
  CHECK(world.server->endpoint.disconnect(other, 0x10001, "bye", world.now, milliseconds(3'600'000)));
  CHECK_FALSE(world.server->endpoint.disconnect(other, 0x10001, "bye", world.now));
  world.exchange();
  world.exchange();
  const auto server_events = world.server->take_events();
  const Event* closed = find_event(server_events, EventKind::kDisconnect);
  REQUIRE(closed != nullptr);
  CHECK(closed->argument == static_cast<std::uint32_t>(DisconnectResult::kClosed));
  CHECK(code_of(*closed) == 0x10001);
  CHECK(reconnect_spread_of(*closed) == milliseconds(3'600'000));
  const auto client_events = world.client->take_events();
  const Event* told = find_event(client_events, EventKind::kDisconnect);
  REQUIRE(told != nullptr);
  CHECK(told->argument == static_cast<std::uint32_t>(DisconnectResult::kDisconnected));
  CHECK(code_of(*told) == 0x10001);
  CHECK(reconnect_spread_of(*told) == milliseconds(3'600'000));
  REQUIRE(told->bytes.size() == kDisconnectRecordSize + 3);
  CHECK(std::memcmp(told->bytes.data() + kDisconnectRecordSize, "bye", 3) == 0);
  CHECK(world.client->endpoint.send(own, 0, bytes_of("x"), {}, world.now) == SendStatus::kNotConnected);
  world.run(seconds(2));
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(world.client->endpoint.sessions() == 0);
}

TEST_CASE("a client's own disconnect has no spread") {
  World world;
  const auto [own, other] = world.connected();
  static_cast<void>(other);
  CHECK(world.client->endpoint.disconnect(own, 0x10001, {}, world.now, seconds(5)));
  const auto events = world.client->take_events();
  const Event* closed = find_event(events, EventKind::kDisconnect);
  REQUIRE(closed != nullptr);
  CHECK(code_of(*closed) == 0x10001);
  CHECK(reconnect_spread_of(*closed) == milliseconds(0));
}

TEST_CASE("an unacknowledged disconnect is sent ten times at 10 Hz, then the peer is forgotten") {
  World world;
  const auto [own, other] = world.connected();
  static_cast<void>(own);
  world.run(milliseconds(500));
  std::size_t sent = 0;
  world.filter = [&](const Sent& datagram) {
    if (datagram.from == kServerAddress) ++sent;
    return false;
  };
  world.server->endpoint.disconnect(other, 0, {}, world.now);
  world.run(seconds(2));
  CHECK(sent == kMaxDisconnects);
  CHECK(world.server->endpoint.sessions() == 0);
}

TEST_CASE("a silent peer times out after the token's timeout and not before") {
  World world;
  world.connected();
  world.run(seconds(6));
  world.server->take_events();
  world.filter = [](const Sent& sent) { return sent.from == kServerAddress; };
  world.run(seconds(5));
  CHECK(world.server->endpoint.connected() == 1);
  world.run(seconds(6));
  const auto events = world.server->take_events();
  const Event* gone = find_event(events, EventKind::kDisconnect);
  REQUIRE(gone != nullptr);
  CHECK(gone->argument == static_cast<std::uint32_t>(DisconnectResult::kTimedOut));
  CHECK(world.server->endpoint.sessions() == 0);
}

TEST_CASE("an idle connection lives on keep-alives of a third of the timeout") {
  World world;
  world.connected();
  world.run(seconds(15));
  const std::uint64_t before = world.server->count(Counter::datagramsReceived);
  world.run(seconds(60));
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.client->endpoint.connected() == 1);
  // Timeout 10 s: one PING each 3.3 s from the client, answered; and what the server asks each 30 s for its
  // clock.
  const std::uint64_t received = world.server->count(Counter::datagramsReceived) - before;
  CHECK(received >= 17);
  CHECK(received <= 22);
}

TEST_CASE("replayed, reflected, garbled and foreign datagrams change nothing and are counted") {
  World world;
  const auto [own, other] = world.connected();
  static_cast<void>(other);
  world.client->endpoint.send(own, 0, bytes_of("once"), {}, world.now);
  world.exchange();
  world.server->take_events();
  const Sent packet = world.log.back().from == kClientAddress
                          ? world.log.back()
                          : *std::find_if(world.log.rbegin(), world.log.rend(),
                                          [](const Sent& s) { return s.from == kClientAddress; });
  world.deliver(packet);
  CHECK(world.server->count(Counter::dropReplayed) == 1);
  CHECK(find_event(world.server->take_events(), EventKind::kMessage) == nullptr);

  Sent flipped = packet;
  flipped.bytes[9] ^= std::byte{0x10};  // the packet number: a new one, so it gets as far as the tag
  world.deliver(flipped);
  CHECK(world.server->count(Counter::dropAuthentication) == 1);

  world.deliver(Sent{packet.to, packet.from, packet.bytes});  // back to the client
  CHECK(world.client->count(Counter::dropUnknownConnection) == 1);
  for (const Sent& sent : std::vector<Sent>(world.log.begin(), world.log.begin() + 4)) {
    world.deliver(Sent{sent.to, sent.from, sent.bytes});
  }
  CHECK(world.server->count(Counter::dropReflected) == 2);
  CHECK(world.client->count(Counter::dropReflected) == 2);
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("looking ahead at datagrams changes neither them nor what becomes of them, whatever they are") {
  World world;
  Handle own{};
  for (std::uint64_t client = 1; client <= 100; ++client) {
    own = world.connected(client).first;
    world.run(milliseconds(100));  // for the budget of handshakes
  }
  world.client->endpoint.send(own, 0, bytes_of("known"), {}, world.now);
  world.filter = [](const Sent& sent) { return sent.to != kServerAddress; };
  world.exchange();
  const std::vector<std::byte> known = world.log.back().bytes;
  REQUIRE(world.log.back().to == kServerAddress);

  std::vector<std::vector<std::byte>> all(40, known);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % 4 == 1) all[i].resize(i / 4);                                // cut short
    if (i % 4 == 2) world.random.fill(MutableBytes(all[i]).subspan(1));  // of nobody
    if (i % 4 == 3) world.random.fill(all[i]);
  }
  const std::vector<std::vector<std::byte>> before = all;
  std::vector<ReceivedDatagram> datagrams;
  for (auto& bytes : all) datagrams.push_back({bytes, kClientAddress, kServerAddress, 0});
  const std::uint64_t received = world.server->count(Counter::datagramsReceived);
  world.server->endpoint.look_ahead(datagrams);
  world.server->endpoint.look_ahead({});
  CHECK(all == before);
  CHECK(world.server->count(Counter::datagramsReceived) == received);
  for (const ReceivedDatagram& datagram : datagrams) world.server->endpoint.receive(datagram, world.now);
  CHECK(count_events(world.server->take_events(), EventKind::kMessage) == 1);
  CHECK(world.server->count(Counter::dropReplayed) == 9);
}

TEST_CASE("replayed handshakes neither evict the peer nor open another session") {
  World world;
  world.connected();
  const std::vector<Sent> handshake(world.log.begin(), world.log.begin() + 4);
  const std::size_t sessions = world.server->endpoint.sessions();
  for (int round = 0; round < 20; ++round) {
    world.now += milliseconds(1);
    for (const Sent& sent : handshake) {
      if (sent.from == kClientAddress) world.deliver(sent);
    }
    world.exchange();
  }
  CHECK(world.server->endpoint.sessions() == sessions);
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.server->count(Counter::dropCookieConsumed) == 20);
}

TEST_CASE("a cookie is good for one address and five seconds") {
  World world;
  world.filter = [](const Sent& sent) { return sent.bytes.size() != kResponseSize; };
  world.connect(world.token(1));
  world.exchange();
  world.exchange();
  const auto response = std::find_if(world.log.begin(), world.log.end(),
                                     [](const Sent& s) { return s.bytes.size() == kResponseSize; });
  REQUIRE(response != world.log.end());
  Sent stolen = *response;
  stolen.from = SocketAddress::ipv4({10, 9, 9, 9}, 1);
  world.deliver(stolen);
  world.server->endpoint.flush(world.now);
  CHECK(world.server->count(Counter::dropCookieInvalid) == 1);
  const Sent late = *response;
  world.now += milliseconds(5'001);
  world.deliver(late);
  world.server->endpoint.flush(world.now);
  CHECK(world.server->count(Counter::dropCookieExpired) == 1);
  CHECK(world.server->endpoint.sessions() == 0);
}

TEST_CASE("a repeated RESPONSE gets the same ACCEPT, byte for byte") {
  World world;
  world.filter = [](const Sent& sent) { return sent.bytes.size() != kAcceptSize; };
  world.connect(world.token(1));
  world.run(milliseconds(500));
  std::vector<std::vector<std::byte>> accepts;
  for (const Sent& sent : world.log) {
    if (sent.bytes.size() == kAcceptSize && sent.from == kServerAddress) accepts.push_back(sent.bytes);
  }
  REQUIRE(accepts.size() >= 3);
  for (const auto& accept : accepts) CHECK(accept == accepts[0]);
  CHECK(world.server->endpoint.sessions() == 1);
}

TEST_CASE("a half-open session dies after five seconds, and the client ends with a result") {
  World world;
  world.filter = [](const Sent& sent) { return sent.bytes.size() != kAcceptSize; };
  world.connect(world.token(1), seconds(3));
  world.run(seconds(10));
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(world.server->count(Counter::halfOpenExpired) >= 1);
  const auto events = world.client->take_events();
  const Event* failed = find_event(events, EventKind::kConnectFailed);
  REQUIRE(failed != nullptr);
  CHECK(failed->argument == static_cast<std::uint32_t>(ConnectResult::kTimedOut));
  CHECK(world.client->endpoint.sessions() == 0);
}

TEST_CASE("a client fails over to the next address of its token") {
  World world;
  const SocketAddress dead = SocketAddress::ipv4({10, 0, 0, 99}, 4000);
  world.connect(world.token(1, false, kStartWall, {dead, kServerAddress}));
  world.run(milliseconds(290));
  CHECK(world.client->endpoint.connected() == 0);
  world.run(milliseconds(60));
  CHECK(world.client->endpoint.connected() == 1);
}

TEST_CASE("a gateway that lost its peers resets them, and only a believable reset counts") {
  World world;
  const auto [own, other] = world.connected();
  world.run(milliseconds(100));
  world.client->take_events();
  world.server = std::make_unique<Node>(
      [] {
        EndpointOptions o;
        o.mode = Mode::kServer;
        return o;
      }(),
      &world.gateway, 99, kServerAddress, world.now);
  world.client->endpoint.send(own, 0, bytes_of("anybody there? a packet of some length"), {}, world.now);
  bool forged = false;
  world.filter = [&](const Sent& sent) {
    if (!forged && std::to_integer<std::uint8_t>(sent.bytes[0]) == kResetByte) {
      forged = true;
      Sent bad = sent;
      bad.bytes.back() ^= std::byte{1};
      world.deliver(bad);
      CHECK(world.client->endpoint.connected() == 1);
    }
    return true;
  };
  world.exchange();
  world.exchange();
  CHECK(forged);
  CHECK(world.client->count(Counter::dropResetInvalid) == 1);
  const auto events = world.client->take_events();
  const Event* reset = find_event(events, EventKind::kDisconnect);
  REQUIRE(reset != nullptr);
  CHECK(reset->argument == static_cast<std::uint32_t>(DisconnectResult::kReset));
  static_cast<void>(other);
}

TEST_CASE("stop disconnects everybody, refuses newcomers and ends STOPPED") {
  World world;
  world.connected(1);
  CHECK(world.server->endpoint.state() == SocketState::kRunning);
  world.server->endpoint.stop(3, "maintenance", world.now, seconds(10));
  CHECK(world.server->endpoint.state() == SocketState::kStopping);
  world.run(seconds(2));
  CHECK(world.server->endpoint.state() == SocketState::kStopped);
  const auto events = world.client->take_events();
  REQUIRE(find_event(events, EventKind::kDisconnect) != nullptr);
  CHECK(reconnect_spread_of(*find_event(events, EventKind::kDisconnect)) == seconds(10));
  world.connect(world.token(2));
  world.run(milliseconds(100));
  const auto after = world.client->take_events();
  const Event* failed = find_event(after, EventKind::kConnectFailed);
  REQUIRE(failed != nullptr);
  CHECK(load_little_endian<std::uint32_t>(failed->bytes.data()) ==
        static_cast<std::uint32_t>(DeniedReason::kShuttingDown));
}

TEST_CASE("messages of one turn share packets, and a long one never exceeds the datagram") {
  World world;
  const auto [own, other] = world.connected();
  static_cast<void>(other);
  world.run(milliseconds(50));
  const std::uint64_t before = world.client->count(Counter::packetsSealed);
  const std::vector<std::byte> small(64);
  for (int i = 0; i < 17; ++i) world.client->endpoint.send(own, 0, small, {}, world.now);
  world.exchange();
  CHECK(world.client->count(Counter::packetsSealed) - before <= 2);
  const std::vector<std::byte> longest(kMaxMessageSize);
  CHECK(world.client->endpoint.send(own, 0, longest, {}, world.now) == SendStatus::kSent);
  world.exchange();
  for (const Sent& sent : world.log) CHECK(sent.bytes.size() <= kMaxSentDatagram);
  const std::vector<std::byte> too_long(kMaxSentDatagram);
  CHECK(world.client->endpoint.send(own, 0, too_long, {}, world.now) == SendStatus::kTooLong);
}

TEST_CASE("nothing is allocated per packet in steady state") {
  World world;
  const auto handles = world.connected();
  const std::vector<std::byte> message(200);
  std::array<std::byte, kMaxReceivedDatagram> wire{};
  const auto turn = [&] {
    world.now += milliseconds(1);
    for (auto [from, to, peer] : {std::tuple{world.client.get(), world.server.get(), handles.first},
                                  std::tuple{world.server.get(), world.client.get(), handles.second}}) {
      from->endpoint.advance(world.now);
      for (int i = 0; i < 20; ++i) from->endpoint.send(peer, 0, message, {}, world.now);
      from->endpoint.flush(world.now);
      for (auto output = from->endpoint.output(); !output.empty(); output = from->endpoint.output()) {
        for (const OutgoingDatagram& datagram : output) {
          std::copy(datagram.bytes.begin(), datagram.bytes.end(), wire.begin());
          to->endpoint.receive(ReceivedDatagram{MutableBytes(wire).first(datagram.bytes.size()),
                                                from->address, to->address, 0},
                               world.now);
        }
        from->endpoint.output_sent(output.size());
      }
      to->clear_events();
    }
  };
  for (int i = 0; i < 2'000; ++i) turn();
  const std::uint64_t before = world.server->count(Counter::messagesReceived);
  const AllocationCount allocations;
  for (int i = 0; i < 10'000; ++i) turn();
  CHECK(allocations.count() == 0);
  CHECK(world.server->count(Counter::messagesReceived) - before == 200'000);
  CHECK(world.client->endpoint.connected() == 1);
}

TEST_CASE("what a flood made necessary is given back after a minute of quiet") {
  World world;
  const auto handles = world.connected();
  // Connections that only keep themselves alive.
  const auto rest = [&] {
    world.run(seconds(70), milliseconds(100));
    REQUIRE(world.server->endpoint.connected() == 1);
  };
  // Until the path MTU is known: it decides which buffers keep-alives take.
  for (int i = 0; i < 20; ++i) {
    for (auto [node, peer] :
         {std::pair{world.client.get(), handles.first}, std::pair{world.server.get(), handles.second}})
      static_cast<void>(node->endpoint.send(peer, 0, std::vector<std::byte>(1'500), {}, world.now));
    world.run(milliseconds(100));
  }
  world.client->take_events();
  world.server->take_events();
  rest();
  const auto memory = [&] {
    return world.server->endpoint.memory_bytes() + world.client->endpoint.memory_bytes();
  };
  const std::size_t before = memory();
  world.log.clear();

  SUBCASE("handshakes") {
    const auto request = [&] {
      const Handle attempt = world.connect(world.token(100));
      world.client->endpoint.flush(world.now);
      std::vector<std::byte> bytes;
      for (const OutgoingDatagram& datagram : world.client->endpoint.output())
        bytes.assign(datagram.bytes.begin(), datagram.bytes.end());
      world.client->endpoint.output_sent(world.client->endpoint.output().size());
      world.client->endpoint.abort(attempt, world.now);
      return bytes;
    }();
    REQUIRE(request.size() == kRequestSize);
    for (std::uint8_t host = 0; host < 255; ++host) {
      for (std::uint8_t network = 0; network < 4; ++network)
        world.deliver({SocketAddress::ipv4({172, 16, network, host}, 1), kServerAddress, request});
    }
    CHECK(memory() > before + 500'000);
  }
  SUBCASE("messages") {
    const std::vector<std::byte> message(1'000);
    for (int i = 0; i < 1'000; ++i) {
      CHECK(world.server->endpoint.send(handles.second, 0, message, {}, world.now) == SendStatus::kSent);
      CHECK(world.client->endpoint.send(handles.first, 0, message, {}, world.now) == SendStatus::kSent);
    }
    CHECK(memory() > before + 1'000'000);
  }
  SUBCASE("junk for a connection from addresses that it does not have") {
    world.server->endpoint.flush(world.now);
    world.client->endpoint.send(handles.first, 0, bytes_of("x"), {}, world.now);
    world.exchange();
    std::vector<std::byte> junk;
    for (const Sent& sent : world.log) {
      if (sent.to == kServerAddress) junk = sent.bytes;
    }
    REQUIRE(!junk.empty());
    // A number that is new.
    junk[10] ^= std::byte{1};
    world.deliver({SocketAddress::ipv4({172, 16, 0, 1}, 1), kServerAddress, junk});
    CHECK(world.server->count(Counter::dropAuthentication) == 1);
    CHECK(memory() > before + 20'000);
  }
  rest();
  world.client->take_events();
  world.server->take_events();
  CHECK(memory() <= before + 4'096);
}

TEST_CASE("an endpoint without peers plans nothing, once the memory of its packets is released") {
  World world;
  const auto [own, other] = world.connected();
  REQUIRE(world.client->endpoint.disconnect(own, kFirstApplicationCode, "", world.now));
  world.run(seconds(5));
  REQUIRE(world.server->endpoint.sessions() == 0);
  world.run(seconds(70), milliseconds(100));
  CHECK(world.client->endpoint.next_deadline() == kNever);
}
