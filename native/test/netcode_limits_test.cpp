// Netcode 1.02 at its limits: what peers can make grow, room that is not there, the history of tokens
// outside, and nonces.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"
#include "crypto/key_schedule.hpp"
#include "netcode_support.hpp"

namespace hawser::test {

namespace {

using netcode::PacketType;
using std::chrono::milliseconds;
using std::chrono::seconds;

const SocketAddress kOtherAddress = SocketAddress::ipv4({10, 0, 1, 3}, 5001);

SocketAddress address_of(std::size_t index) {
  return SocketAddress::ipv4(
      {10, 3, static_cast<std::uint8_t>(index / 250), static_cast<std::uint8_t>(index % 250)}, 5000);
}

std::vector<std::byte> filled(std::size_t size, std::uint8_t fill = 7) {
  return std::vector<std::byte>(size, std::byte{fill});
}

SendStatus send(Node& node, Handle peer, Bytes message, Instant now) {
  return node.endpoint.send(peer, 0, message, {}, now);
}

// Whose each packet of a run is: no number may be sealed twice with one key.
class NonceBook {
 public:
  void add_token(Bytes token) {
    const auto decoded = netcode::decode_public_token(token);
    keys_.push_back({PacketKey::of(decoded->client_to_server), PacketKey::of(decoded->server_to_client)});
  }

  // Checks them all; how many packets there were.
  std::size_t check(const std::vector<Sent>& log) {
    std::size_t packets = 0;
    const netcode::AssociatedData associated_data(kProtocolId);
    for (const Sent& sent : log) {
      if ((sent.bytes[0] & std::byte{0x0f}) == std::byte{0}) continue;
      constexpr netcode::PacketTypes kAll = netcode::kTypesToServer | netcode::kTypesToClient;
      const auto header = netcode::parse_header(sent.bytes, kAll);
      REQUIRE(header.has_value());
      bool known = false;
      for (std::size_t token = 0; token < keys_.size(); ++token) {
        for (const bool up : {true, false}) {
          auto copy = sent.bytes;
          const PacketKey& key = up ? keys_[token].up : keys_[token].down;
          if (!netcode::open_packet(copy, *header, key, associated_data)) continue;
          known = true;
          const bool first = sealed_.emplace(token, up, header->sequence).second;
          INFO("token " << token << ", number " << header->sequence << ", type "
                        << static_cast<int>(header->type));
          CHECK(first);
        }
      }
      REQUIRE(known);
      ++packets;
    }
    return packets;
  }

 private:
  struct Keys {
    PacketKey up;
    PacketKey down;
  };
  std::vector<Keys> keys_;
  std::set<std::tuple<std::size_t, bool, std::uint64_t>> sealed_;
};

// A gateway that asks another history, and a rogue that waits for its answer.
struct Asking {
  Asking() {
    rogue.connect();
    for (const Event& event : world.server->take_events()) {
      if (event.kind != EventKind::kConsume) continue;
      handle = event.peer;
      record = event.bytes;
    }
    REQUIRE(handle.generation != 0);
    world.log.clear();
  }

  static GatewayOptions options() {
    GatewayOptions options = netcode_gateway_options();
    options.external_token_history = true;
    options.restart_guard = std::nullopt;
    return options;
  }
  void answer(ConsumeVerdict verdict) {
    world.server->endpoint.complete_consumption(handle, verdict, world.now);
    world.exchange();
  }
  std::size_t connects() { return count_events(world.server->take_events(), EventKind::kConnect); }

  NetcodeWorld world{options()};
  std::vector<std::byte> token = world.token(7);
  Rogue rogue{world, token, kOtherAddress};
  Handle handle;
  std::vector<std::byte> record;
};

}  // namespace

// ---- nonces

TEST_CASE("netcode: no number is sealed twice with one key, whatever is lost and repeated") {
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    INFO("seed " << seed);
    GatewayOptions options = netcode_gateway_options();
    options.max_peers = 1;
    NetcodeWorld world(std::move(options), {}, seed);
    SeededRandom random(seed);
    NonceBook book;
    world.filter = [&](const Sent& sent) {
      // The first server's answers are often lost, so that clients move on to the second.
      return random.below(100) >= (sent.from == kServerAddress ? 60U : 30U);
    };
    world.addresses = {kServerAddress, kSecondServerAddress};
    const auto begin = [&](std::uint64_t client_id) {
      netcode::TokenParameters parameters = world.parameters(client_id);
      parameters.timeout_seconds = 1;
      const auto token = world.mint(parameters);
      book.add_token(token);
      return world.client->endpoint.connect(ConnectOptions{kProtocolId, token, {}, seconds(0)}, world.now);
    };
    for (std::uint64_t round = 0; round < 12; ++round) {
      // Of two tokens one is denied for want of room, or its address is in use.
      const auto first = begin(2 * round);
      const auto second = begin(2 * round + 1);
      for (int i = 0; i < 25; ++i) {
        world.run(milliseconds(100));
        for (const auto& own : {first, second}) {
          if (own) static_cast<void>(send(*world.client, *own, filled(8 + random.below(9)), world.now));
        }
        world.server->endpoint.for_each_connected([&](Handle peer) {
          for (int n = 0; n < 3; ++n)
            static_cast<void>(send(*world.server, peer, filled(8 + random.below(9)), world.now));
        });
        world.server->take_events();
        world.client->take_events();
      }
      for (const auto& own : {first, second}) {
        if (!own) continue;
        world.client->endpoint.abort(*own, world.now);
        world.client->endpoint.disconnect(*own, 0, "", world.now);
      }
      if (round % 3 == 2) {
        world.server->endpoint.for_each_connected(
            [&](Handle peer) { world.server->endpoint.disconnect(peer, 0, "", world.now); });
      }
    }
    CHECK(book.check(world.log) > 500);
    CHECK(world.server->count(Counter::peersConnected) > 2);
  }
}

TEST_CASE("netcode: a client that goes on to another address of the same gateway is answered from there") {
  NetcodeWorld world;
  world.addresses = {kServerAddress, kSecondServerAddress};
  const auto from_first = [](const Sent& sent) { return sent.from == kServerAddress; };
  SUBCASE("when its challenge was lost") {
    world.filter = [&](const Sent& sent) { return !from_first(sent); };
    world.connect(world.token(1));
    world.run(milliseconds(5'300));
    CHECK(netcode_states(world.client->take_events()) == std::vector<int>{1, 1, 2, 3});
    CHECK(world.server->endpoint.connected() == 1);
  }
  SUBCASE("when its response was lost") {
    world.filter = [&](const Sent& sent) {
      return sent.to != kServerAddress || (sent.bytes[0] & std::byte{0x0f}) == std::byte{0};
    };
    const auto token = world.token(1);
    const Handle own = world.connect(token);
    world.run(milliseconds(5'300));
    CHECK(netcode_states(world.client->take_events()) == std::vector<int>{1, 2, 1, 2, 3});
    // It counts its packets on, for the key is the same.
    for (int i = 0; i < 100; ++i) {
      CHECK(send(*world.client, own, filled(9), world.now) == SendStatus::kSent);
      world.run(milliseconds(20));
    }
    NonceBook book;
    book.add_token(token);
    CHECK(book.check(world.log) > 150);
  }
  SUBCASE("when it answers another") {
    Rogue rogue(world, world.token(1), kOtherAddress);
    rogue.request();
    world.exchange();
    auto response = rogue.seal(PacketType::kResponse, 0, rogue.last(PacketType::kChallenge)->body);
    world.server->endpoint.receive(ReceivedDatagram{response, kOtherAddress, kSecondServerAddress, 0},
                                   world.now);
    world.exchange();
    REQUIRE(world.server->endpoint.connected() == 1);
    CHECK(world.log.back().from == kSecondServerAddress);
  }
}

TEST_CASE("netcode: shards of one gateway let a token connect once") {
  NetcodeWorld world;
  EndpointOptions options;
  options.mode = Mode::kServer;
  options.shard = 1;
  options.shards = 2;
  Node second(options, &world.gateway, 9, kServerAddress);
  const auto token = world.token(7);
  Rogue rogue(world, token, kOtherAddress);
  std::vector<std::byte> request(netcode::kRequestSize);
  netcode::encode_request(std::span(request).first<netcode::kRequestSize>(),
                          *netcode::decode_public_token(token));
  const auto to_second = [&](std::vector<std::byte> datagram) {
    second.endpoint.receive(ReceivedDatagram{datagram, kOtherAddress, kServerAddress, 0}, world.now);
    second.endpoint.flush(world.now);
    for (const OutgoingDatagram& sent : second.endpoint.output())
      world.log.push_back({kServerAddress, sent.remote, {sent.bytes.begin(), sent.bytes.end()}});
    second.endpoint.output_sent(second.endpoint.output().size());
  };
  // The same source: it may ask both.
  to_second(request);
  const auto challenge = rogue.last(PacketType::kChallenge);
  REQUIRE(challenge.has_value());
  rogue.connect();
  rogue.packet(PacketType::kDisconnect, 1, {});
  world.exchange();
  CHECK(world.server->count(Counter::peersConnected) == 1);
  to_second(rogue.seal(PacketType::kResponse, 2, challenge->body));
  CHECK(second.count(Counter::dropTokenUsed) == 1);
  CHECK(second.endpoint.sessions() == 0);
}

TEST_CASE("netcode: no client is given an index beyond the last, though the last is not free yet") {
  GatewayOptions gateway = netcode_gateway_options();
  gateway.max_peers = 1;
  NetcodeWorld world(std::move(gateway));
  Rogue first(world, world.token(7), kOtherAddress);
  first.connect();
  // A peer of HAWSER on another shard takes the place, and is gone before this shard has heard of it.
  const PeerReference elsewhere{1, Handle{}};
  REQUIRE(world.gateway.reserve(7, AttemptOrder{kStartWall, kNever}, nullptr, elsewhere) ==
          ReserveVerdict::kReserved);
  REQUIRE(world.gateway.settle(7, elsewhere, true).peer.has_value());
  world.gateway.release(7, elsewhere);
  Rogue second(world, world.token(8), SocketAddress::ipv4({10, 0, 1, 4}, 5001));
  second.connect();
  CHECK(second.last(PacketType::kDenied).has_value());
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.gateway.connected() == 0);

  first.packet(PacketType::kDisconnect, 1, {});
  world.exchange();
  Rogue third(world, world.token(9), SocketAddress::ipv4({10, 0, 1, 5}, 5001));
  third.connect();
  const auto keep_alive = third.last(PacketType::kKeepAlive);
  REQUIRE(keep_alive.has_value());
  CHECK(load_little_endian<std::uint32_t>(keep_alive->body.data()) == 0);
}

// ---- what grows

TEST_CASE("netcode: a flood of REQUESTs with valid tokens takes no more memory than there are mappings") {
  EndpointOptions server;
  server.max_half_open = 128;
  NetcodeWorld world(netcode_gateway_options(), server);
  const auto flood = [&](std::size_t first) {
    for (std::size_t i = first; i < first + 1'500; ++i) {
      Rogue rogue(world, world.token(i), address_of(i));
      rogue.request();
      // More than the budget serves.
      if (i % 20 == 0) world.now += milliseconds(1);
      if (i % 5 == 0) world.exchange();
    }
    world.exchange();
    world.log.clear();
    CHECK(world.server->endpoint.sessions() == 128);
  };
  const std::size_t before = world.server->endpoint.memory_bytes();
  flood(0);
  const std::size_t during = world.server->endpoint.memory_bytes();
  // Mappings, handshakes that wait, and what waits for the socket.
  CHECK(during - before < 2'000'000);
  flood(1'500);
  CHECK(world.server->endpoint.memory_bytes() <= during);
  CHECK(world.server->count(Counter::dropHalfOpenFull) > 1'000);
  world.run(seconds(6));
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(world.server->endpoint.memory_bytes() <= during);
  world.connected();
}

TEST_CASE("netcode: packets beyond a peer's ceiling are ignored, but show that it is alive") {
  EndpointOptions server;
  server.max_packets_per_second = 20;
  NetcodeWorld world(netcode_gateway_options(), server);
  Rogue rogue(world, world.token(7), kOtherAddress);
  rogue.connect();
  world.server->take_events();
  std::uint64_t sequence = 1;
  for (int i = 0; i < 60; ++i) {
    for (int n = 0; n < 10; ++n) rogue.packet(PacketType::kPayload, sequence++, filled(8));
    world.run(milliseconds(100));
  }
  const std::size_t taken = count_events(world.server->take_events(), EventKind::kMessage);
  CHECK(taken >= 120);
  CHECK(taken <= 145);
  CHECK(world.server->count(Counter::dropPeerCeiling) == 600 - taken);
  CHECK(world.server->endpoint.connected() == 1);
  // Its last word counts.
  for (int n = 0; n < 40; ++n) rogue.packet(PacketType::kPayload, sequence++, filled(8));
  rogue.packet(PacketType::kDisconnect, sequence, {});
  CHECK(world.server->endpoint.connected() == 0);
}

TEST_CASE("netcode: a ceiling that is set while a peer is there counts for it at once, and can be lifted") {
  NetcodeWorld world;
  Rogue rogue(world, world.token(7), kOtherAddress);
  rogue.connect();
  world.server->take_events();
  std::uint64_t sequence = 1;
  const auto taken_of = [&](int count) {
    for (int n = 0; n < count; ++n) rogue.packet(PacketType::kPayload, sequence++, filled(8));
    return count_events(world.server->take_events(), EventKind::kMessage);
  };
  CHECK(taken_of(40) == 40);
  Endpoint& server = world.server->endpoint;
  server.set_ceilings(10, 0, world.now);
  CHECK(taken_of(40) == 10);
  CHECK(world.server->count(Counter::dropPeerCeiling) == 30);
  server.set_ceilings(0, 0, world.now);
  CHECK(taken_of(40) == 40);
  CHECK(world.server->count(Counter::dropPeerCeiling) == 30);
}

TEST_CASE("netcode: a client with a ceiling connects") {
  NetcodeWorld world;
  EndpointOptions options;
  options.max_packets_per_second = 20;
  options.max_bytes_per_second = 10'000;
  world.client = std::make_unique<Node>(options, nullptr, 5, kClientAddress);
  world.connected();
  CHECK(world.client->endpoint.connected() == 1);
}

TEST_CASE("netcode: the longest timeout that a token can have is one") {
  NetcodeWorld world;
  netcode::TokenParameters parameters = world.parameters(7);
  // In milliseconds its lower 32 bits are zeros.
  parameters.timeout_seconds = 1 << 29U;
  SUBCASE("of those that do not fit") {}
  SUBCASE("of all") { parameters.timeout_seconds = INT32_MAX; }
  world.connect(world.mint(parameters));
  world.run(seconds(1));
  for (Node* node : {world.server.get(), world.client.get()}) {
    const auto events = node->take_events();
    const Event* const connect = find_event(events, EventKind::kConnect);
    REQUIRE(connect != nullptr);
    CHECK(load_little_endian<std::uint32_t>(connect->bytes.data() + ConnectRecordLayout::kTimeout) ==
          UINT32_MAX);
  }
  world.filter = [](const Sent&) { return false; };
  world.run(seconds(3'600), seconds(1));
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.client->endpoint.connected() == 1);
}

// ---- room that is not there

TEST_CASE("netcode: without room for events nothing that has to be told is lost, or told twice") {
  NetcodeWorld world;
  const auto [own, other] = world.connected();
  world.run(milliseconds(200));
  // The user takes nothing.
  world.server->fill_events();
  const auto told = [&] {
    const auto events = world.server->take_events();
    return count_events(events, EventKind::kDisconnect);
  };
  SUBCASE("of a disconnect") {
    CHECK(world.server->endpoint.disconnect(other, 3, "", world.now));
    CHECK_FALSE(world.server->endpoint.disconnect(other, 3, "", world.now));
    for (int i = 0; i < 5; ++i) world.exchange();
    CHECK(world.count_sent(PacketType::kDisconnect, kClientAddress) == 10);
    CHECK(world.server->endpoint.sessions() == 0);
    // Nothing to do until there is room.
    CHECK(world.server->endpoint.next_deadline() > world.now);
    CHECK(told() == 0);
    CHECK(told() == 1);
  }
  SUBCASE("of a stop") {
    world.server->endpoint.stop(3, "", world.now);
    world.run(seconds(3));
    // As long as there is something that the user has not been told.
    CHECK(world.server->endpoint.state() == SocketState::kStopping);
    CHECK(told() == 0);
    CHECK(world.server->endpoint.state() == SocketState::kStopped);
    CHECK(told() == 1);
  }
  SUBCASE("of a timeout") {
    world.filter = [](const Sent&) { return false; };
    world.run(seconds(7));
    CHECK(world.server->endpoint.connected() == 0);
    CHECK(told() == 0);
    CHECK(told() == 1);
  }
  world.run(milliseconds(100));
  CHECK(told() == 0);
  CHECK(world.server->endpoint.sessions() == 0);
}

TEST_CASE("netcode: without room in the output nothing is sealed, and all is made up for") {
  EndpointOptions options;
  options.max_output_packets = 16;
  NetcodeWorld world(netcode_gateway_options(), options);
  const auto [own, other] = world.connected();
  Endpoint& server = world.server->endpoint;
  const auto take_one_batch = [&] {
    const std::size_t size = server.output().size();
    server.output_sent(size);
    return size;
  };
  std::size_t accepted = 0;
  while (send(*world.server, other, filled(8), world.now) == SendStatus::kSent) ++accepted;
  CHECK(accepted >= 8);
  CHECK(accepted <= 16);
  CHECK(world.server->count(Counter::dropOutputFull) == 1);
  SUBCASE("of DISCONNECTs") {
    CHECK(server.disconnect(other, 0, "", world.now));
    server.flush(world.now);
    const auto events = world.server->take_events();
    CHECK(count_events(events, EventKind::kDisconnect) == 1);
    CHECK(server.sessions() == 1);
    // Nothing to do until the socket has taken something.
    CHECK(server.next_deadline() > world.now);
    CHECK(take_one_batch() == 16);
    CHECK(server.next_deadline() <= world.now);
    server.flush(world.now);
    CHECK(take_one_batch() == 10);
    CHECK(server.sessions() == 0);
    CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 0);
  }
  SUBCASE("of DISCONNECTs, when nobody can wait for it any longer") {
    server.stop(0, "", world.now);
    server.flush(world.now);
    CHECK(server.next_deadline() > world.now);
    CHECK(server.next_deadline() <= world.now + milliseconds(1100));
    world.now += milliseconds(1099);
    server.advance(world.now);
    server.flush(world.now);
    CHECK(server.state() == SocketState::kStopping);
    world.now += milliseconds(1);
    server.advance(world.now);
    server.flush(world.now);
    CHECK(server.state() == SocketState::kStopped);
    CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 1);
  }
  SUBCASE("of keep-alives") {
    world.now += milliseconds(150);
    server.advance(world.now);
    CHECK(take_one_batch() == 16);
    world.now += milliseconds(2);
    server.advance(world.now);
    CHECK(server.output().size() == 1);
    CHECK(std::to_integer<unsigned>(server.output()[0].bytes[0] & std::byte{0x0f}) == 4);
  }
  SUBCASE("of challenges") {
    Rogue rogue(world, world.token(8), kOtherAddress);
    rogue.request();
    server.flush(world.now);
    CHECK(take_one_batch() == 16);
    server.flush(world.now);
    rogue.request();
    world.exchange();
    CHECK(rogue.last(PacketType::kChallenge).has_value());
  }
}

TEST_CASE("netcode: a socket has one session with each address of a server") {
  NetcodeWorld world;
  const auto result = [&](std::vector<SocketAddress> servers, const SocketAddress& local = {}) {
    world.addresses = std::move(servers);
    const auto token = world.token(50);
    const auto handle =
        world.client->endpoint.connect(ConnectOptions{kProtocolId, token, local, seconds(0)}, world.now);
    return handle ? ConnectResult::kConnected : handle.error();
  };
  const auto [own, other] = world.connected();
  world.log.clear();
  CHECK(result({kServerAddress}) == ConnectResult::kAddressInUse);
  world.exchange();
  CHECK(world.log.empty());
  CHECK(world.client->take_events().empty());
  CHECK(world.client->endpoint.sessions() == 1);
  // One that is not in use, and then no more.
  CHECK(result({kServerAddress, kSecondServerAddress}) == ConnectResult::kConnected);
  world.exchange();
  CHECK(world.count_sent(PacketType::kRequest, kServerAddress) == 0);
  CHECK(world.count_sent(PacketType::kRequest, kSecondServerAddress) == 1);
  CHECK(result({kServerAddress, kSecondServerAddress}) == ConnectResult::kAddressInUse);
  // From another address of this side it is another session.
  CHECK(result({kServerAddress}, SocketAddress::ipv4({10, 0, 1, 77}, 0)) == ConnectResult::kConnected);
  // An end makes room at once, and the old session's goodbyes do not end the new one.
  CHECK(world.client->endpoint.disconnect(own, 0, "", world.now));
  CHECK(result({kServerAddress}) == ConnectResult::kConnected);
  world.run(milliseconds(300));
  CHECK(world.client->endpoint.connected() >= 1);
}

// ---- the history of tokens outside

TEST_CASE("netcode: another history is asked once for each token, and decides") {
  Asking asking;
  NetcodeWorld& world = asking.world;
  REQUIRE(asking.record.size() == 40);
  const auto sealed = netcode::decode_public_token(asking.token)->sealed_private;
  CHECK(std::ranges::equal(Bytes(asking.record).first(32), token_id(sealed)));
  CHECK(load_little_endian<std::uint64_t>(asking.record.data() + 32) == (kStartSeconds + 3600) * 1000);
  // Nobody is answered meanwhile, whatever comes.
  const auto body = filled(netcode::kChallengeBodySize);
  asking.rogue.request();
  asking.rogue.packet(PacketType::kResponse, 1, body);
  asking.rogue.packet(PacketType::kPayload, 2, filled(8));
  asking.rogue.packet(PacketType::kDisconnect, 3, {});
  world.exchange();
  CHECK(world.log.empty());
  CHECK(world.server->take_events().empty());
  CHECK(world.server->endpoint.connected() == 0);
  SUBCASE("consumed") {
    asking.answer(ConsumeVerdict::kConsumed);
    CHECK(asking.connects() == 1);
    CHECK(asking.rogue.last(PacketType::kKeepAlive).has_value());
    // A second answer says nothing.
    asking.answer(ConsumeVerdict::kAlreadyUsed);
    asking.answer(ConsumeVerdict::kConsumed);
    CHECK(world.server->take_events().empty());
    CHECK(world.server->endpoint.connected() == 1);
    asking.rogue.packet(PacketType::kDisconnect, 9, {});
    world.exchange();
    asking.rogue.request();
    world.exchange();
    CHECK(world.server->count(Counter::dropTokenUsed) == 1);
  }
  SUBCASE("used") {
    asking.answer(ConsumeVerdict::kAlreadyUsed);
    CHECK(world.log.empty());
    CHECK(world.server->count(Counter::dropTokenUsed) == 1);
    CHECK(world.server->endpoint.sessions() == 0);
    // It is not asked about again.
    asking.rogue.request();
    world.exchange();
    CHECK(world.log.empty());
    CHECK(world.server->count(Counter::dropTokenUsed) == 2);
  }
  SUBCASE("full, or not to be asked") {
    asking.answer(ConsumeVerdict::kHistoryFull);
    CHECK(world.log.empty());
    CHECK(world.server->count(Counter::dropTokenHistoryFull) == 1);
    CHECK(world.server->endpoint.sessions() == 0);
    // It may be better next time.
    asking.rogue.connect();
    CHECK(count_events(world.server->take_events(), EventKind::kConsume) == 1);
  }
  SUBCASE("too late") {
    world.run(milliseconds(5'010));
    CHECK(world.server->endpoint.sessions() == 0);
    asking.answer(ConsumeVerdict::kConsumed);
    CHECK(asking.connects() == 0);
    CHECK(world.server->endpoint.sessions() == 0);
  }
  SUBCASE("after the stop") {
    world.server->endpoint.stop(0, "", world.now);
    asking.answer(ConsumeVerdict::kConsumed);
    CHECK(asking.connects() == 0);
    CHECK(world.server->endpoint.sessions() == 0);
  }
  SUBCASE("when the gateway has begun to drain") {
    world.gateway.start_draining();
    asking.answer(ConsumeVerdict::kConsumed);
    CHECK(asking.connects() == 0);
    CHECK(asking.rogue.last(PacketType::kDenied).has_value());
    CHECK(world.server->endpoint.sessions() == 0);
  }
  SUBCASE("when the client id is connected by then") {
    world.World::connect(world.World::token(7));
    world.run(milliseconds(50));
    CHECK(asking.connects() == 1);
    asking.answer(ConsumeVerdict::kConsumed);
    CHECK(asking.connects() == 0);
    CHECK(world.server->count(Counter::dropClientIdConnected) == 1);
    CHECK(world.server->endpoint.connected() == 1);
  }
  SUBCASE("when others ask in its name") {
    // Who has been asked about does not give way.
    for (std::uint64_t id = 100; id < 110; ++id) {
      Rogue other(world, world.token(id), kOtherAddress);
      other.request();
      world.now += milliseconds(1);
      world.exchange();
    }
    asking.answer(ConsumeVerdict::kConsumed);
    CHECK(asking.connects() == 1);
    CHECK(world.server->endpoint.sessions() == 1);
  }
  SUBCASE("when there is no room to tell") {
    Rogue busy(world, world.token(8), kClientAddress);
    busy.connect();
    const auto events = world.server->take_events();
    world.server->endpoint.complete_consumption(events.at(0).peer, ConsumeVerdict::kConsumed, world.now);
    std::uint64_t sequence = 1;
    while (world.server->has_room_for_events()) busy.packet(PacketType::kPayload, sequence++, filled(1'200));
    asking.answer(ConsumeVerdict::kConsumed);
    asking.answer(ConsumeVerdict::kAlreadyUsed);
    world.run(milliseconds(10));
    CHECK(world.server->endpoint.connected() == 1);
    // Nobody is woken for it meanwhile.
    CHECK(world.server->endpoint.next_deadline() > world.now + milliseconds(2));
    world.server->take_events();
    CHECK(world.server->endpoint.next_deadline() <= world.now);
    world.run(milliseconds(10));
    CHECK(asking.connects() == 1);
    CHECK(world.server->endpoint.connected() == 2);
  }
}

// ---- memory

TEST_CASE("netcode: nothing is allocated in steady state") {
  NetcodeWorld world;
  Handle own{};
  Handle other{};
  std::tie(own, other) = world.connected();
  std::vector<std::byte> wire(netcode::kMaxPacketSize);
  std::uint64_t messages = 0;
  const auto pump = [&](Node& from, Node& to) {
    from.endpoint.advance(world.now);
    from.endpoint.flush(world.now);
    for (auto output = from.endpoint.output(); !output.empty(); output = from.endpoint.output()) {
      for (const OutgoingDatagram& datagram : output) {
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
  };
  const auto small = filled(64);
  const auto large = filled(1'200);
  const auto turn = [&](int i) {
    world.now += milliseconds(1);
    // Now and then nothing, so that keep-alives go.
    if (i % 1000 < 700) {
      CHECK(send(*world.client, own, i % 8 == 0 ? large : small, world.now) == SendStatus::kSent);
      CHECK(send(*world.server, other, small, world.now) == SendStatus::kSent);
    }
    pump(*world.client, *world.server);
    pump(*world.server, *world.client);
  };
  // More than 4,096 ms: timers on the other side of such a boundary use another level of the wheel.
  for (int i = 0; i < 5'000; ++i) turn(i);
  const std::uint64_t before = messages;
  const AllocationCount allocations;
  for (int i = 0; i < 4'000; ++i) turn(i);
  CHECK(allocations.count() == 0);
  CHECK(messages - before == 5'600);
}

}  // namespace hawser::test
