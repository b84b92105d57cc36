// What netcode 1.02 says must be ignored: by whom, in which order, and that nothing comes of it but a count.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "netcode_support.hpp"

namespace hawser::test {

namespace {

using netcode::PacketType;
using std::chrono::milliseconds;
using std::chrono::seconds;

const SocketAddress kOtherAddress = SocketAddress::ipv4({10, 0, 1, 3}, 5001);
const SocketAddress kNowhere = SocketAddress::ipv4({10, 9, 9, 9}, 1);

// Where the fields of a REQUEST begin.
constexpr std::size_t kVersionAt = 1;
constexpr std::size_t kProtocolAt = 14;
constexpr std::size_t kExpireAt = 22;
constexpr std::size_t kNonceAt = 30;
constexpr std::size_t kSealedAt = 54;

SocketAddress address_of(std::size_t index) {
  return SocketAddress::ipv4(
      {10, 3, static_cast<std::uint8_t>(index / 250), static_cast<std::uint8_t>(index % 250)}, 5000);
}

GatewayOptions fresh_gateway() {
  GatewayOptions options = netcode_gateway_options();
  options.restart_guard = std::nullopt;
  return options;
}

std::vector<std::byte> filled(std::size_t size, std::uint8_t fill = 7) {
  return std::vector<std::byte>(size, std::byte{fill});
}

std::vector<std::byte> numbered(std::uint64_t number) {
  std::vector<std::byte> bytes(8);
  store_little_endian(bytes.data(), number);
  return bytes;
}

std::vector<std::byte> request_of(Bytes token) {
  std::vector<std::byte> datagram(netcode::kRequestSize);
  netcode::encode_request(std::span(datagram).first<netcode::kRequestSize>(),
                          *netcode::decode_public_token(token));
  return datagram;
}

using Counts = std::array<std::uint64_t, kCounterCount>;

Counts counts_of(const Node& node) {
  Counts counts{};
  for (std::size_t i = 0; i < kCounterCount; ++i) counts[i] = node.count(static_cast<Counter>(i));
  return counts;
}

// The one name under which what `act` hands to the node is dropped, or "" or several when that is not so.
// Nobody is answered, nobody is told, and no session begins or ends.
std::string drop_of(NetcodeWorld& world, Node& node, const std::function<void()>& act) {
  const Counts before = counts_of(node);
  const std::size_t sent = world.log.size();
  const std::uint32_t sessions = node.endpoint.sessions();
  const std::uint32_t connected = node.endpoint.connected();
  const std::size_t events = node.peek_events().size();
  act();
  world.exchange();
  CHECK(world.log.size() == sent);
  CHECK(node.endpoint.sessions() == sessions);
  CHECK(node.endpoint.connected() == connected);
  CHECK(node.peek_events().size() == events);
  const Counts after = counts_of(node);
  std::string names;
  for (std::size_t i = 0; i < kCounterCount; ++i) {
    if (!std::string_view(kCounterNames[i]).starts_with("drop")) continue;
    for (std::uint64_t n = before[i]; n < after[i]; ++n) names += std::string(kCounterNames[i]);
  }
  return names;
}

// The same for a datagram to the gateway. The budget of handshakes is full again each time.
std::string drop_of(NetcodeWorld& world, const Rogue& rogue, std::vector<std::byte> datagram) {
  world.now += milliseconds(1);
  return drop_of(world, *world.server, [&] {
    world.server->endpoint.receive(ReceivedDatagram{datagram, rogue.address, kServerAddress, 0}, world.now);
  });
}

std::string drop_of_request(NetcodeWorld& world, std::vector<std::byte> datagram,
                            const SocketAddress& from = kOtherAddress) {
  world.now += milliseconds(1);
  return drop_of(world, *world.server, [&] {
    world.server->endpoint.receive(ReceivedDatagram{datagram, from, kServerAddress, 0}, world.now);
  });
}

// Whether a REQUEST is answered with a CHALLENGE.
bool is_challenged(NetcodeWorld& world, Bytes token, const SocketAddress& from) {
  world.now += milliseconds(1);
  const std::size_t before = world.count_sent(PacketType::kChallenge, from);
  Rogue(world, token, from).request();
  world.exchange();
  return world.count_sent(PacketType::kChallenge, from) == before + 1;
}

// A REQUEST whose private part is authentic, whatever it says.
std::vector<std::byte> request_with(NetcodeWorld& world,
                                    const std::function<void(std::vector<std::byte>&)>& change,
                                    std::uint64_t sealed_protocol = kProtocolId) {
  std::vector<std::byte> request = request_of(world.token(1));
  std::vector<std::byte> associated(netcode::kVersionInfo.begin(), netcode::kVersionInfo.end());
  for (const std::uint64_t each :
       {sealed_protocol, load_little_endian<std::uint64_t>(request.data() + kExpireAt)}) {
    const auto bytes = numbered(each);
    associated.insert(associated.end(), bytes.begin(), bytes.end());
  }
  netcode::PrivateToken token;
  token.client_id = 1;
  token.timeout_seconds = 5;
  REQUIRE(token.addresses.add(kServerAddress));
  std::vector<std::byte> plaintext(netcode::kPrivateTokenSize);
  REQUIRE(netcode::encode_private_token(std::span(plaintext).first<netcode::kPrivateTokenSize>(), token) ==
          netcode::TokenError::kNone);
  change(plaintext);
  seal(MutableBytes(request).subspan(kSealedAt), test_key(1),
       Bytes(request).subspan(kNonceAt).first<kNonceSize>(), associated, plaintext);
  return request;
}

// Two ends of a session that a rogue has begun: his next sequence number is 1.
struct Session {
  explicit Session(NetcodeWorld& world, std::uint64_t client_id = 7,
                   const SocketAddress& address = kOtherAddress)
      : rogue(world, world.token(client_id), address) {
    rogue.connect();
    for (const Event& event : world.server->take_events()) {
      if (event.kind == EventKind::kConnect) handle = event.peer;
    }
    REQUIRE(handle.generation != 0);
  }

  Rogue rogue;
  Handle handle;
};

// The numbers in the payloads that have arrived.
std::vector<std::uint64_t> payloads(Node& node) {
  std::vector<std::uint64_t> numbers;
  for (const Event& event : node.take_events()) {
    REQUIRE(event.kind == EventKind::kMessage);
    numbers.push_back(load_little_endian<std::uint64_t>(event.bytes.data()));
  }
  return numbers;
}

}  // namespace

// ---- REQUEST

TEST_CASE("netcode: a REQUEST of any other size is ignored") {
  NetcodeWorld world;
  const auto request = request_of(world.token(1));
  for (std::size_t size = 1; size <= 1500; ++size) {
    if (size == netcode::kRequestSize) continue;
    auto datagram = request;
    datagram.resize(size);
    CHECK(drop_of_request(world, datagram) == "dropLength");
  }
}

TEST_CASE("netcode: of the rules of a REQUEST, the first that it breaks is counted") {
  NetcodeWorld world(fresh_gateway());
  auto request = request_of(world.token(1));
  const auto with = [&](std::size_t at, const std::vector<std::byte>& bytes) {
    std::ranges::copy(bytes, request.begin() + static_cast<std::ptrdiff_t>(at));
    return request;
  };
  // From the last rule to the first; what was broken stays broken.
  request[kSealedAt + 100] ^= std::byte{1};
  CHECK(drop_of_request(world, request) == "dropTokenInvalid");
  CHECK(drop_of_request(world, with(kExpireAt, numbered(kStartSeconds + 7200))) == "dropTokenLifetime");
  CHECK(drop_of_request(world, with(kExpireAt, numbered(kStartSeconds))) == "dropTokenExpired");
  CHECK(drop_of_request(world, with(kProtocolAt, numbered(kProtocolId + 1))) == "dropProtocol");
  request[kVersionAt + 11] = std::byte{'3'};
  CHECK(drop_of_request(world, request) == "dropVersion");
  request.push_back(std::byte{0});
  CHECK(drop_of_request(world, request) == "dropLength");
  CHECK(world.server->count(Counter::requestsReceived) == 6);
}

TEST_CASE("netcode: every byte of version and protocol id counts") {
  NetcodeWorld world;
  const auto request = request_of(world.token(1));
  for (std::size_t at = kVersionAt; at < kExpireAt; ++at) {
    auto changed = request;
    changed[at] ^= std::byte{0x20};
    CHECK(drop_of_request(world, changed) == (at < kProtocolAt ? "dropVersion" : "dropProtocol"));
  }
  CHECK(is_challenged(world, world.token(1), kOtherAddress));
}

TEST_CASE("netcode: a token expires with its second, and lives no longer than tokens do") {
  NetcodeWorld world(fresh_gateway());
  const auto token = [&](std::uint64_t expire) {
    netcode::TokenParameters parameters = world.parameters(1);
    parameters.create = std::min(parameters.create, expire);
    parameters.expire = expire;
    return world.mint(parameters);
  };
  const auto drop_at = [&](std::uint64_t expire, Duration after) {
    world.now = kStart + after - milliseconds(1);
    return drop_of_request(world, request_of(token(expire)));
  };
  CHECK(drop_at(0, seconds(0)) == "dropTokenExpired");
  CHECK(drop_at(kStartSeconds - 1, seconds(0)) == "dropTokenExpired");
  CHECK(drop_at(kStartSeconds, seconds(0)) == "dropTokenExpired");
  CHECK(drop_at(kStartSeconds + 1, milliseconds(1000)) == "dropTokenExpired");
  // An hour, and five seconds by which clocks may differ.
  CHECK(drop_at(kStartSeconds + 3606, milliseconds(999)) == "dropTokenLifetime");
  CHECK(drop_at(UINT64_MAX / 1000, seconds(0)) == "dropTokenLifetime");
  CHECK(drop_at(std::uint64_t{1} << 63U, seconds(0)) == "dropTokenLifetime");
  CHECK(drop_at(UINT64_MAX, seconds(0)) == "dropTokenLifetime");
  world.now = kStart + milliseconds(998);
  CHECK(is_challenged(world, token(kStartSeconds + 1), kOtherAddress));
  world.now = kStart + milliseconds(999);
  CHECK(is_challenged(world, token(kStartSeconds + 3606), kClientAddress));
}

TEST_CASE("netcode: a token that may be from before the start is ignored, unless that cannot be") {
  GatewayOptions options = netcode_gateway_options();
  options.started = kStartWall + milliseconds(500);
  const auto token = [](NetcodeWorld& world, std::uint64_t lifetime) {
    netcode::TokenParameters parameters = world.parameters(1);
    parameters.expire = kStartSeconds + lifetime;
    return world.mint(parameters);
  };
  // A token lives for an hour at most, and its backend's clock is five seconds ahead at most.
  SUBCASE("by default") {
    NetcodeWorld world(std::move(options));
    world.now += seconds(2);
    CHECK(drop_of_request(world, request_of(token(world, 1800))) == "dropTokenPredates");
    CHECK(drop_of_request(world, request_of(token(world, 3605))) == "dropTokenPredates");
    CHECK(is_challenged(world, token(world, 3606), kOtherAddress));
  }
  SUBCASE("keys that nobody has used before") {
    options.restart_guard = std::nullopt;
    NetcodeWorld world(std::move(options));
    CHECK(is_challenged(world, token(world, 1800), kOtherAddress));
  }
  SUBCASE("another history") {
    options.external_token_history = true;
    options.restart_guard = std::nullopt;
    NetcodeWorld world(std::move(options));
    CHECK(is_challenged(world, token(world, 1800), kOtherAddress));
  }
}

TEST_CASE("netcode: the first two server keys are tried, and no other") {
  GatewayOptions options = netcode_gateway_options();
  options.keys.push_back(ServerKey{2, test_key(12)});
  options.keys.push_back(ServerKey{3, test_key(13)});
  NetcodeWorld world(std::move(options));
  CHECK(is_challenged(world, world.mint(world.parameters(1), 1), address_of(1)));
  CHECK(is_challenged(world, world.mint(world.parameters(2), 12), address_of(2)));
  CHECK(drop_of_request(world, request_of(world.mint(world.parameters(3), 13))) == "dropTokenInvalid");
  CHECK(drop_of_request(world, request_of(world.mint(world.parameters(3), 99))) == "dropTokenInvalid");
  std::vector<ServerKey> keys;
  keys.push_back(ServerKey{3, test_key(13)});
  world.gateway.set_keys(std::move(keys));
  CHECK(is_challenged(world, world.mint(world.parameters(3), 13), address_of(3)));
  CHECK(drop_of_request(world, request_of(world.mint(world.parameters(4), 1))) == "dropTokenInvalid");
}

TEST_CASE("netcode: nothing that a token's private part is sealed with can be changed") {
  NetcodeWorld world;
  const auto request = request_of(world.token(1));
  for (std::size_t at = kExpireAt + 1; at < request.size(); at += 3) {
    // Of the expire time only the lower byte gives a time at which this would be looked at.
    if (at > kExpireAt && at < kNonceAt) continue;
    auto changed = request;
    changed[at] ^= std::byte{static_cast<std::uint8_t>(1U << (at % 8))};
    CHECK(drop_of_request(world, changed) == "dropTokenInvalid");
  }
  auto later = request;
  later[kExpireAt] ^= std::byte{1};
  CHECK(drop_of_request(world, later) == "dropTokenInvalid");
  // Sealed for another game, by the same backend.
  const auto nothing = [](std::vector<std::byte>&) {};
  CHECK(drop_of_request(world, request_with(world, nothing, kProtocolId + 1)) == "dropTokenInvalid");
  CHECK(is_challenged(world, world.token(1), kOtherAddress));
}

TEST_CASE("netcode: an authentic private part must be readable, and name this gateway") {
  NetcodeWorld world;
  constexpr std::size_t kCountAt = 12;
  constexpr std::size_t kFirstTypeAt = 16;
  const auto drop_with = [&](std::size_t at, std::uint32_t value, std::size_t size) {
    return drop_of_request(world, request_with(world, [&](std::vector<std::byte>& plaintext) {
                             for (std::size_t i = 0; i < size; ++i)
                               plaintext[at + i] = std::byte{static_cast<std::uint8_t>(value >> (8 * i))};
                           }));
  };
  for (const std::uint32_t count : {0U, 33U, 34U, 1000U, 0x8000'0001U, UINT32_MAX})
    CHECK(drop_with(kCountAt, count, 4) == "dropTokenInvalid");
  for (std::uint32_t type = 0; type < 256; ++type) {
    // As IPv6 it is an address, but another.
    if (type == 1) continue;
    CHECK(drop_with(kFirstTypeAt, type, 1) == (type == 2 ? "dropWrongAddress" : "dropTokenInvalid"));
  }
  // More addresses than were written: the others are read from keys and user data.
  CHECK(drop_with(kCountAt, 32, 4) == "dropTokenInvalid");

  world.addresses = {kNowhere};
  CHECK(drop_of_request(world, request_of(world.token(1))) == "dropWrongAddress");
  world.addresses = {SocketAddress::ipv4({10, 0, 0, 1}, 4001), SocketAddress::ipv4({10, 0, 0, 3}, 4000)};
  CHECK(drop_of_request(world, request_of(world.token(1))) == "dropWrongAddress");
  // In IPv6 it is the same.
  world.addresses = {
      SocketAddress::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1}, kServerAddress.port)};
  CHECK(is_challenged(world, world.token(2), kClientAddress));
  // One of many is enough, the last too.
  world.addresses.clear();
  for (std::size_t i = 0; i < 31; ++i) world.addresses.push_back(address_of(i));
  world.addresses.push_back(kSecondServerAddress);
  CHECK(is_challenged(world, world.token(1), kOtherAddress));
}

TEST_CASE("netcode: who is connected, by address or by client id, is not challenged again") {
  NetcodeWorld world;
  const auto elsewhere = world.token(8);
  Session session(world, 7);
  // Another token of anybody, from the same address.
  CHECK(drop_of_request(world, request_of(elsewhere)) == "dropAddressConnected");
  CHECK(drop_of_request(world, request_of(world.token(7))) == "dropAddressConnected");
  // The same client with another token, from elsewhere.
  CHECK(drop_of_request(world, request_of(world.token(7)), kClientAddress) == "dropClientIdConnected");
  // Another port is another address.
  CHECK(is_challenged(world, elsewhere, SocketAddress::ipv4({10, 0, 1, 3}, 5002)));
  // A client of HAWSER counts too.
  world.World::connect(world.World::token(9));
  world.run(milliseconds(100));
  REQUIRE(world.server->endpoint.connected() == 2);
  CHECK(drop_of_request(world, request_of(world.token(9)), address_of(1)) == "dropClientIdConnected");
}

TEST_CASE("netcode: a token is its first source's, and nobody's once it has connected") {
  NetcodeWorld world;
  const auto token = world.token(1);
  CHECK(is_challenged(world, token, kOtherAddress));
  CHECK(drop_of_request(world, request_of(token), kClientAddress) == "dropTokenUsed");
  // The same host on another port, too.
  CHECK(drop_of_request(world, request_of(token), SocketAddress::ipv4({10, 0, 1, 3}, 5002)) ==
        "dropTokenUsed");
  // It stays so when its mapping has expired.
  world.run(seconds(6));
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(drop_of_request(world, request_of(token), kClientAddress) == "dropTokenUsed");
  Rogue rogue(world, token, kOtherAddress);
  rogue.connect();
  REQUIRE(world.server->endpoint.connected() == 1);
  rogue.packet(PacketType::kDisconnect, 1, {});
  world.exchange();
  world.server->take_events();
  CHECK(drop_of_request(world, request_of(token)) == "dropTokenUsed");
  // As long as it lives.
  world.run(seconds(3590), seconds(10));
  CHECK(drop_of_request(world, request_of(token)) == "dropTokenUsed");
  world.run(seconds(10));
  CHECK(drop_of_request(world, request_of(token)) == "dropTokenExpired");
}

TEST_CASE("netcode: a full history refuses new tokens, and forgets none") {
  GatewayOptions options = netcode_gateway_options();
  options.max_token_history = 2;
  NetcodeWorld world(std::move(options));
  const auto first = world.token(1);
  const auto second = world.token(2);
  CHECK(is_challenged(world, first, address_of(1)));
  CHECK(is_challenged(world, second, address_of(2)));
  for (std::uint64_t i = 3; i < 20; ++i)
    CHECK(drop_of_request(world, request_of(world.token(i)), address_of(i)) == "dropTokenHistoryFull");
  CHECK(is_challenged(world, first, address_of(1)));
  CHECK(drop_of_request(world, request_of(second), address_of(1)) == "dropTokenUsed");
  // Both have expired.
  world.run(seconds(3602), seconds(1));
  netcode::TokenParameters parameters = world.parameters(3);
  parameters.create += 3602;
  parameters.expire += 3602;
  CHECK(is_challenged(world, world.mint(parameters), address_of(3)));
}

TEST_CASE("netcode: there is room for so many mappings, and for eight of one client") {
  EndpointOptions server;
  server.max_half_open = 12;
  NetcodeWorld world(netcode_gateway_options(), server);
  for (std::size_t i = 0; i < 8; ++i) CHECK(is_challenged(world, world.token(1), address_of(i)));
  CHECK(drop_of_request(world, request_of(world.token(1)), address_of(8)) == "dropHalfOpenFull");
  for (std::size_t i = 8; i < 12; ++i) CHECK(is_challenged(world, world.token(100 + i), address_of(i)));
  CHECK(drop_of_request(world, request_of(world.token(200)), address_of(20)) == "dropHalfOpenFull");
  CHECK(world.server->endpoint.sessions() == 12);
  world.run(milliseconds(5'010));
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(world.server->count(Counter::halfOpenExpired) == 12);
  CHECK(is_challenged(world, world.token(200), address_of(20)));
}

TEST_CASE("netcode: of more than four tokens from one address the oldest gives way") {
  for (std::size_t with = 0; with < 6; ++with) {
    NetcodeWorld world;
    std::vector<Rogue> rogues;
    rogues.reserve(6);
    std::vector<std::vector<std::byte>> challenges;
    for (std::uint64_t id = 0; id < 6; ++id) {
      rogues.emplace_back(world, world.token(id), kOtherAddress);
      world.now += milliseconds(1);
      rogues.back().request();
      world.exchange();
      challenges.push_back(rogues.back().last(PacketType::kChallenge)->body);
    }
    CHECK(world.server->endpoint.sessions() == 4);
    const auto response = rogues[with].seal(PacketType::kResponse, 0, challenges[with]);
    if (with < 2) {
      CHECK(drop_of(world, rogues[with], response) == "dropAuthentication");
      continue;
    }
    rogues[with].send(response);
    world.exchange();
    CHECK(world.server->endpoint.connected() == 1);
    CHECK(world.server->endpoint.sessions() == 1);
    const auto events = world.server->take_events();
    REQUIRE(count_events(events, EventKind::kConnect) == 1);
    CHECK(load_little_endian<std::uint64_t>(events[0].bytes.data()) == with);
  }
}

TEST_CASE("netcode: a token for which there is no room displaces no other") {
  EndpointOptions server;
  server.max_half_open = 4;
  NetcodeWorld world(netcode_gateway_options(), server);
  Rogue oldest(world, world.token(0), kOtherAddress);
  oldest.request();
  world.exchange();
  for (std::uint64_t id = 1; id < 4; ++id) CHECK(is_challenged(world, world.token(id), kOtherAddress));
  CHECK(drop_of_request(world, request_of(world.token(5))) == "dropHalfOpenFull");
  oldest.respond();
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("netcode: a gateway without room denies, and keeps nothing") {
  GatewayOptions options = netcode_gateway_options();
  options.max_peers = 1;
  NetcodeWorld world(std::move(options));
  Rogue late(world, world.token(2), kOtherAddress);
  const auto is_denied = [&] {
    CHECK(late.last(PacketType::kDenied)->size == netcode::kDeniedSize);
    CHECK(world.server->count(Counter::deniedSent) == 1);
    CHECK(world.server->count(Counter::handshakesRefused) == 1);
  };
  SUBCASE("full when the REQUEST comes") {
    Session session(world, 1, kClientAddress);
    late.request();
    world.exchange();
    is_denied();
    CHECK_FALSE(late.last(PacketType::kChallenge).has_value());
    CHECK(world.server->endpoint.sessions() == 1);
    // The token was not used up.
    session.rogue.packet(PacketType::kDisconnect, 1, {});
    world.exchange();
    late.connect();
    CHECK(world.server->endpoint.connected() == 1);
  }
  SUBCASE("full when the RESPONSE comes") {
    late.request();
    world.exchange();
    Session session(world, 1, kClientAddress);
    late.respond();
    is_denied();
    CHECK(world.server->endpoint.connected() == 1);
    // The token was not used up.
    session.rogue.packet(PacketType::kDisconnect, 1, {});
    world.exchange();
    late.respond();
    CHECK(world.server->endpoint.connected() == 1);
    CHECK(late.last(PacketType::kKeepAlive).has_value());
  }
  SUBCASE("draining when the REQUEST comes") {
    world.gateway.start_draining();
    late.request();
    world.exchange();
    is_denied();
    CHECK(world.server->endpoint.sessions() == 0);
  }
  SUBCASE("draining when the RESPONSE comes") {
    late.request();
    world.exchange();
    world.gateway.start_draining();
    late.respond();
    is_denied();
    CHECK(world.server->endpoint.connected() == 0);
  }
}

// ---- RESPONSE

TEST_CASE("netcode: a RESPONSE echoes the challenge of its own token, or is ignored") {
  NetcodeWorld world;
  Rogue rogue(world, world.token(1), kOtherAddress);
  rogue.request();
  world.exchange();
  const auto challenge = rogue.last(PacketType::kChallenge)->body;
  std::uint64_t sequence = 0;
  const auto drop_of_response = [&](const std::vector<std::byte>& body) {
    return drop_of(world, rogue, rogue.seal(PacketType::kResponse, sequence++, body));
  };
  SUBCASE("altered, in any byte of number or token") {
    for (std::size_t at = 0; at < challenge.size(); ++at) {
      auto altered = challenge;
      altered[at] ^= std::byte{static_cast<std::uint8_t>(1U << (at % 8))};
      CHECK(drop_of_response(altered) == "dropResponseInvalid");
    }
  }
  SUBCASE("of another client") {
    Rogue other(world, world.token(2), kClientAddress);
    other.request();
    world.exchange();
    CHECK(drop_of_response(other.last(PacketType::kChallenge)->body) == "dropResponseInvalid");
  }
  SUBCASE("of another token of the same client, from where nobody else can read") {
    // Who could use it would begin sessions from addresses that are not his.
    Rogue other(world, world.token(1), kClientAddress);
    other.request();
    world.exchange();
    CHECK(drop_of_response(other.last(PacketType::kChallenge)->body) == "dropResponseInvalid");
  }
  SUBCASE("of another token from the same address") {
    Rogue other(world, world.token(1), kOtherAddress);
    other.request();
    world.exchange();
    const auto newer = other.last(PacketType::kChallenge)->body;
    CHECK(drop_of_response(newer) == "dropResponseInvalid");
  }
  SUBCASE("of another start of the gateway") {
    NetcodeWorld restarted(netcode_gateway_options(), {}, 2);
    Rogue other(restarted, restarted.token(1), kOtherAddress);
    other.request();
    restarted.exchange();
    CHECK(drop_of_response(other.last(PacketType::kChallenge)->body) == "dropResponseInvalid");
  }
  SUBCASE("of another size, though authentic") {
    for (const std::size_t size : {0U, 1U, 8U, 307U, 309U, 1200U}) {
      auto body = challenge;
      body.resize(size);
      const auto datagram = rogue.raw(prefix_of(PacketType::kResponse, 1), sequence++, body);
      CHECK(drop_of(world, rogue, datagram) == "dropLength");
    }
  }
  SUBCASE("sealed for another game") {
    const Key nobody = test_key(9);
    const auto datagram = seal_raw(prefix_of(PacketType::kResponse, 1), 0, challenge, PacketKey::of(nobody),
                                   netcode::AssociatedData(kProtocolId));
    CHECK(drop_of(world, rogue, datagram) == "dropAuthentication");
  }
  // None of it does harm, and the numbers of those that were ignored are free.
  sequence = 0;
  rogue.packet(PacketType::kResponse, sequence, challenge);
  world.exchange();
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("netcode: a RESPONSE comes after its REQUEST, and once") {
  NetcodeWorld world;
  Rogue rogue(world, world.token(1), kOtherAddress);
  const auto early = rogue.seal(PacketType::kResponse, 0, filled(netcode::kChallengeBodySize));
  CHECK(drop_of(world, rogue, early) == "dropUnknownConnection");
  rogue.request();
  world.exchange();
  const auto response = rogue.seal(PacketType::kResponse, 0, rogue.last(PacketType::kChallenge)->body);
  // From elsewhere it is nobody's.
  CHECK(drop_of_request(world, response, kClientAddress) == "dropUnknownConnection");
  rogue.send(response);
  world.exchange();
  REQUIRE(world.server->endpoint.connected() == 1);
  CHECK(drop_of(world, rogue, response) == "dropAddressConnected");
  const auto again = rogue.seal(PacketType::kResponse, 9, rogue.last(PacketType::kChallenge)->body);
  CHECK(drop_of(world, rogue, again) == "dropAddressConnected");
  rogue.packet(PacketType::kDisconnect, 1, {});
  world.exchange();
  world.server->take_events();
  CHECK(drop_of(world, rogue, response) == "dropUnknownConnection");
}

TEST_CASE("netcode: of two tokens of one client only one connects") {
  NetcodeWorld world;
  Rogue first(world, world.token(1), kOtherAddress);
  Rogue second(world, world.token(1), kClientAddress);
  for (Rogue* each : {&first, &second}) each->request();
  world.exchange();
  first.respond();
  const auto response = second.seal(PacketType::kResponse, 0, second.last(PacketType::kChallenge)->body);
  CHECK(drop_of(world, second, response) == "dropClientIdConnected");
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("netcode: sequence numbers need not be in their shortest form") {
  for (std::uint8_t bytes = 1; bytes <= 8; ++bytes) {
    NetcodeWorld world;
    Rogue rogue(world, world.token(1), kOtherAddress);
    rogue.request();
    world.exchange();
    rogue.send(
        rogue.raw(prefix_of(PacketType::kResponse, bytes), 0, rogue.last(PacketType::kChallenge)->body));
    world.exchange();
    CHECK(world.server->endpoint.connected() == 1);
    world.server->take_events();
    rogue.send(rogue.raw(prefix_of(PacketType::kPayload, bytes), 200, numbered(bytes)));
    CHECK(payloads(*world.server) == std::vector<std::uint64_t>{bytes});
    // In another form it is the same number.
    const auto other = static_cast<std::uint8_t>(bytes % 8 + 1);
    const auto again = rogue.raw(prefix_of(PacketType::kPayload, other), 200, numbered(0));
    CHECK(drop_of(world, rogue, again) == "dropReplayed");
  }
}

// ---- encrypted packets to a server

TEST_CASE("netcode: whatever the first byte is, a datagram of nobody's making only counts") {
  NetcodeWorld world;
  SeededRandom random(5);
  Session session(world);
  Rogue pending(world, world.token(8), kClientAddress);
  pending.request();
  world.exchange();
  const auto drop_of_garbage = [&](const SocketAddress& from, unsigned first, std::size_t size) {
    std::vector<std::byte> datagram(size);
    random.fill(datagram);
    datagram[0] = static_cast<std::byte>(first);
    return drop_of_request(world, datagram, from);
  };
  for (unsigned first = 0; first < 256; ++first) {
    const unsigned type = first & 0x0fU;
    const unsigned bytes = first >> 4U;
    const bool ours = type >= 1 && type <= 6 && bytes >= 1 && bytes <= 8;
    for (const std::size_t size : {1U, 17U, 18U, 26U, 60U, 333U, 1078U, 1225U, 1226U, 1500U}) {
      // What is HAWSER's is not the matter here.
      if (first >= 0xa0 && first < 0xc0) continue;
      INFO("first byte " << first << ", " << size << " bytes");
      const auto expect = [&](const std::string& drop, const std::string& other) {
        if (first == 0) return std::string(size == netcode::kRequestSize ? "dropVersion" : "dropLength");
        if (!ours) return std::string("dropUnknownType");
        if (size < 18) return std::string("dropLength");
        if (type <= 2) return std::string("dropReflected");
        if (size < 1 + bytes + kTagSize) return std::string("dropLength");
        return type == 3 ? other : drop;
      };
      CHECK(drop_of_garbage(address_of(1), first, size) ==
            expect("dropUnknownConnection", "dropUnknownConnection"));
      const bool response_size = size == 1 + bytes + netcode::kChallengeBodySize + kTagSize;
      CHECK(drop_of_garbage(kClientAddress, first, size) ==
            expect("dropUnexpected", response_size ? "dropAuthentication" : "dropLength"));
      // Whatever the number is, it is not old: only 0 was received.
      CHECK(drop_of_garbage(kOtherAddress, first, size) ==
            expect("dropAuthentication", "dropAddressConnected"));
    }
  }
  pending.respond();
  CHECK(world.server->endpoint.connected() == 2);
}

TEST_CASE("netcode: a packet that was cut short, lengthened or changed in any bit only counts") {
  NetcodeWorld world;
  Session session(world);
  for (const std::uint64_t sequence : {std::uint64_t{1}, std::uint64_t{1000}, std::uint64_t{1} << 60U}) {
    const auto datagram = session.rogue.seal(PacketType::kPayload, sequence, numbered(sequence));
    for (std::size_t size = 1; size < datagram.size(); ++size) {
      const auto cut = std::vector(datagram.begin(), datagram.begin() + static_cast<std::ptrdiff_t>(size));
      const bool short_of_header = size < 18 || size < datagram.size() - 8;
      CHECK(drop_of(world, session.rogue, cut) == (short_of_header ? "dropLength" : "dropAuthentication"));
    }
    auto longer = datagram;
    longer.push_back(std::byte{0});
    CHECK(drop_of(world, session.rogue, longer) == "dropAuthentication");
    for (std::size_t bit = 0; bit < 8 * datagram.size(); ++bit) {
      auto flipped = datagram;
      flipped[bit / 8] ^= std::byte{static_cast<std::uint8_t>(1U << (bit % 8))};
      const std::string drop = drop_of(world, session.rogue, flipped);
      // The first byte leads elsewhere.
      if (bit >= 8) CHECK((drop == "dropAuthentication" || drop == "dropTooOld" || drop == "dropReplayed"));
      CHECK(drop.starts_with("drop"));
      CHECK(drop.find("drop", 1) == std::string::npos);
    }
    session.rogue.send(datagram);
    CHECK(payloads(*world.server) == std::vector<std::uint64_t>{sequence});
  }
}

TEST_CASE("netcode: authentic packets that are not for a server only count") {
  NetcodeWorld world;
  Session session(world);
  CHECK(drop_of(world, session.rogue, session.rogue.seal(PacketType::kDenied, 1, {})) == "dropReflected");
  const auto challenge = session.rogue.seal(PacketType::kChallenge, 1, filled(netcode::kChallengeBodySize));
  CHECK(drop_of(world, session.rogue, challenge) == "dropReflected");
  // What the server sent, sent back.
  for (const PacketType type : {PacketType::kKeepAlive, PacketType::kPayload, PacketType::kDisconnect}) {
    Impostor mirror(world, world.token(7));
    CHECK(drop_of(world, session.rogue,
                  mirror.raw(prefix_of(type, 1), 5,
                             filled(type == PacketType::kDisconnect ? 0 : netcode::kKeepAliveBodySize))) ==
          "dropAuthentication");
  }
  // Before it is connected nothing but a RESPONSE is for it.
  Rogue pending(world, world.token(8), kClientAddress);
  pending.request();
  world.exchange();
  const auto payload = pending.seal(PacketType::kPayload, 0, numbered(1));
  CHECK(drop_of(world, pending, payload) == "dropUnexpected");
  CHECK(drop_of(world, pending, pending.seal(PacketType::kDisconnect, 0, {})) == "dropUnexpected");
  CHECK(drop_of(world, pending, pending.seal(PacketType::kKeepAlive, 0, filled(8))) == "dropUnexpected");
  pending.respond();
  CHECK(world.server->endpoint.connected() == 2);
}

TEST_CASE("netcode: an authentic packet of a wrong size is received, and not processed") {
  NetcodeWorld world;
  Session session(world);
  std::uint64_t sequence = 1;
  const auto is_not_processed = [&](PacketType type, std::size_t size) {
    INFO("type " << static_cast<int>(type) << ", " << size << " bytes");
    const auto wrong = session.rogue.raw(prefix_of(type, 2), sequence, filled(size));
    CHECK(drop_of(world, session.rogue, wrong) == "dropLength");
    // Its number is used.
    const auto right = session.rogue.raw(prefix_of(PacketType::kPayload, 2), sequence, filled(8));
    CHECK(drop_of(world, session.rogue, right) == "dropReplayed");
    ++sequence;
  };
  for (const std::size_t size : {0U, 1U, 7U, 9U, 308U, 1200U}) is_not_processed(PacketType::kKeepAlive, size);
  for (const std::size_t size : {0U, 1201U, 1202U, 1300U, 1400U})
    is_not_processed(PacketType::kPayload, size);
  for (const std::size_t size : {1U, 2U, 8U, 1200U}) is_not_processed(PacketType::kDisconnect, size);
  // None of them was a sign of life, or confirmed the client.
  world.log.clear();
  static_cast<void>(world.server->endpoint.send(session.handle, 0, filled(5), {}, world.now));
  world.exchange();
  CHECK(world.log.size() == 2);
  for (int i = 0; i < 60; ++i) {
    session.rogue.send(session.rogue.raw(prefix_of(PacketType::kKeepAlive, 2), sequence++, filled(7)));
    world.run(milliseconds(100));
  }
  CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 1);
  CHECK(world.server->count(Counter::peersTimedOut) == 1);
}

// ---- replays

TEST_CASE("netcode: a packet is received once, and not when it is older than the window") {
  NetcodeWorld world;
  Session session(world);
  const auto taken = [&](std::uint64_t sequence) {
    session.rogue.packet(PacketType::kPayload, sequence, numbered(sequence));
    return payloads(*world.server) == std::vector<std::uint64_t>{sequence};
  };
  const auto drop = [&](std::uint64_t sequence, PacketType type = PacketType::kPayload) {
    const auto body = type == PacketType::kDisconnect ? filled(0) : numbered(sequence);
    return drop_of(world, session.rogue, session.rogue.seal(type, sequence, body));
  };
  SUBCASE("in order, and again") {
    for (std::uint64_t sequence = 0; sequence < 300; ++sequence) {
      CHECK(taken(sequence));
      CHECK(drop(sequence) == "dropReplayed");
    }
    CHECK(drop(0) == "dropReplayed");
    // One window for all types.
    CHECK(drop(299, PacketType::kKeepAlive) == "dropReplayed");
    CHECK(drop(299, PacketType::kDisconnect) == "dropReplayed");
  }
  SUBCASE("within the window in any order") {
    CHECK(taken(5000));
    // The standard asks for 256 at least.
    for (std::uint64_t behind = 255; behind >= 1; --behind) CHECK(taken(5000 - behind));
    CHECK(taken(5000 - (ReplayWindow::kSize - 1)));
    CHECK(drop(5000 - ReplayWindow::kSize) == "dropTooOld");
    CHECK(drop(0) == "dropTooOld");
    CHECK(taken(5001));
    CHECK(drop(5001 - ReplayWindow::kSize) == "dropTooOld");
  }
  SUBCASE("near the last number of all") {
    CHECK(taken(UINT64_MAX - 1));
    CHECK(taken(UINT64_MAX));
    CHECK(drop(UINT64_MAX) == "dropReplayed");
    CHECK(drop(UINT64_MAX - 1) == "dropReplayed");
    CHECK(taken(UINT64_MAX - 2));
    CHECK(taken(UINT64_MAX - (ReplayWindow::kSize - 1)));
    CHECK(drop(UINT64_MAX - ReplayWindow::kSize) == "dropTooOld");
    // It does not begin anew.
    CHECK(drop(0) == "dropTooOld");
    CHECK(drop(1) == "dropTooOld");
    CHECK(world.server->endpoint.connected() == 1);
  }
  SUBCASE("the last number at once") {
    CHECK(taken(UINT64_MAX));
    CHECK(drop(UINT64_MAX) == "dropReplayed");
    CHECK(taken(UINT64_MAX - 1));
    CHECK(drop(1) == "dropTooOld");
  }
}

TEST_CASE("netcode: what does not authenticate leaves no trace in the window") {
  NetcodeWorld world;
  Session session(world);
  const auto forged = [&](PacketType type, std::uint64_t sequence) {
    auto datagram =
        session.rogue.raw(prefix_of(type, 8), sequence, filled(type == PacketType::kDisconnect ? 0 : 8));
    datagram.back() ^= std::byte{1};
    return drop_of(world, session.rogue, datagram);
  };
  for (const PacketType type : {PacketType::kPayload, PacketType::kKeepAlive, PacketType::kDisconnect}) {
    for (const std::uint64_t sequence : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{2000},
                                         std::uint64_t{1} << 40U, UINT64_MAX - 1, UINT64_MAX}) {
      CHECK(forged(type, sequence) == "dropAuthentication");
    }
  }
  for (std::uint64_t sequence = 1; sequence < 5; ++sequence) {
    session.rogue.packet(PacketType::kPayload, sequence, numbered(sequence));
    CHECK(payloads(*world.server) == std::vector<std::uint64_t>{sequence});
  }
}

TEST_CASE("netcode: spoofed datagrams neither end a session nor keep it alive") {
  NetcodeWorld world;
  Session session(world);
  SeededRandom random(3);
  const Instant began = world.now;
  for (int i = 0; i < 490; ++i) {
    std::vector<std::byte> garbage(18 + random.below(40));
    random.fill(garbage);
    garbage[0] = static_cast<std::byte>(prefix_of(static_cast<PacketType>(4 + i % 3), 1));
    session.rogue.send(garbage);
    // Replays of what the client really sent, and its packets from elsewhere.
    session.rogue.packet(PacketType::kKeepAlive, 0, filled(8));
    auto stray = session.rogue.seal(PacketType::kDisconnect, 50, {});
    world.server->endpoint.receive(ReceivedDatagram{stray, kClientAddress, kServerAddress, 0}, world.now);
    world.run(milliseconds(10));
    CHECK(world.server->endpoint.connected() == 1);
  }
  world.run(milliseconds(200));
  CHECK(world.server->endpoint.connected() == 0);
  CHECK(world.server->count(Counter::peersTimedOut) == 1);
  CHECK(world.now - began < milliseconds(5'200));
}

TEST_CASE("netcode: what was recorded in one session is worth nothing in the next") {
  NetcodeWorld world;
  std::vector<std::vector<std::byte>> recorded;
  {
    Session session(world, 7);
    recorded.push_back(session.rogue.seal(PacketType::kPayload, 3, numbered(1)));
    recorded.push_back(session.rogue.seal(PacketType::kKeepAlive, 4, filled(8)));
    recorded.push_back(session.rogue.seal(PacketType::kDisconnect, 5, {}));
    session.rogue.send(recorded[2]);
    world.exchange();
    world.server->take_events();
  }
  Session session(world, 7);
  for (const auto& datagram : recorded)
    CHECK(drop_of(world, session.rogue, datagram) == "dropAuthentication");
}

// ---- encrypted packets to a client

namespace {

// A client that asks a server which the test plays.
struct Besieged {
  explicit Besieged(std::vector<SocketAddress> servers = {kServerAddress}) {
    world.filter = [](const Sent&) { return false; };
    world.addresses = std::move(servers);
    token = world.token(7);
    impostor = std::make_unique<Impostor>(world, token);
    own = world.connect(token);
    world.exchange();
  }

  void challenge() {
    impostor->packet(PacketType::kChallenge, std::uint64_t{1} << 63U, filled(netcode::kChallengeBodySize));
    world.exchange();
  }
  void connect() {
    challenge();
    impostor->packet(PacketType::kKeepAlive, 0, netcode::encode_keep_alive({3, 10}));
    world.exchange();
    REQUIRE(world.client->endpoint.connected() == 1);
    world.client->take_events();
  }
  std::string drop(std::vector<std::byte> datagram, const SocketAddress& from = kServerAddress) {
    return drop_of(world, *world.client, [&] { impostor->send(std::move(datagram), from); });
  }
  std::string drop(PacketType type, std::uint64_t sequence, const std::vector<std::byte>& body) {
    return drop(impostor->seal(type, sequence, body));
  }

  NetcodeWorld world;
  std::vector<std::byte> token;
  std::unique_ptr<Impostor> impostor;
  Handle own;
};

}  // namespace

TEST_CASE("netcode: whatever the first byte is, a client only counts what is not its server's") {
  for (int state = 1; state <= 3; ++state) {
    Besieged besieged;
    if (state == 2) besieged.challenge();
    if (state == 3) besieged.connect();
    SeededRandom random(6);
    for (unsigned first = 0; first < 256; ++first) {
      if (first >= 0xa0 && first < 0xc0) continue;
      const unsigned type = first & 0x0fU;
      const unsigned bytes = first >> 4U;
      for (const std::size_t size : {1U, 17U, 18U, 25U, 33U, 333U, 1078U, 1225U, 1300U}) {
        INFO("state " << state << ", first byte " << first << ", " << size << " bytes");
        std::vector<std::byte> datagram(size);
        random.fill(datagram);
        datagram[0] = static_cast<std::byte>(first);
        std::string expected = "dropAuthentication";
        if (first == 0) {
          expected = "dropReflected";
        } else if (type < 1 || type > 6 || bytes < 1 || bytes > 8) {
          expected = "dropUnknownType";
        } else if (size < 18) {
          expected = "dropLength";
        } else if (type == 3) {
          expected = "dropReflected";
        } else if (size < 1 + bytes + kTagSize) {
          expected = "dropLength";
        }
        CHECK(besieged.drop(datagram) == expected);
        if (expected == "dropAuthentication") CHECK(besieged.drop(datagram, kNowhere) == "dropUnexpected");
      }
    }
    CHECK(besieged.world.client->endpoint.sessions() == 1);
  }
}

TEST_CASE("netcode: a client takes what its state is for, and from its server alone") {
  Besieged besieged;
  const auto keep_alive = std::vector<std::byte>(8);
  const auto challenge = filled(netcode::kChallengeBodySize);
  const auto authentic_from_elsewhere = [&] {
    for (const SocketAddress& from : {kSecondServerAddress, SocketAddress::ipv4({10, 0, 0, 1}, 4001)}) {
      for (const PacketType type : {PacketType::kDenied, PacketType::kDisconnect})
        CHECK(besieged.drop(besieged.impostor->seal(type, 900, {}), from) == "dropUnexpected");
      CHECK(besieged.drop(besieged.impostor->seal(PacketType::kChallenge, 900, challenge), from) ==
            "dropUnexpected");
      CHECK(besieged.drop(besieged.impostor->seal(PacketType::kKeepAlive, 900, keep_alive), from) ==
            "dropUnexpected");
    }
  };
  // While it asks.
  authentic_from_elsewhere();
  CHECK(besieged.drop(PacketType::kKeepAlive, 10, keep_alive) == "dropUnexpected");
  CHECK(besieged.drop(PacketType::kPayload, 11, numbered(1)) == "dropUnexpected");
  CHECK(besieged.drop(PacketType::kDisconnect, 12, {}) == "dropUnexpected");
  CHECK(besieged.drop(besieged.impostor->raw(prefix_of(PacketType::kDenied, 1), 13, filled(1))) ==
        "dropLength");
  CHECK(besieged.drop(besieged.impostor->raw(prefix_of(PacketType::kChallenge, 1), 14, filled(307))) ==
        "dropLength");
  // They were received nevertheless.
  CHECK(besieged.drop(PacketType::kPayload, 10, numbered(1)) == "dropReplayed");
  besieged.challenge();
  CHECK(besieged.world.count_sent(PacketType::kResponse, kServerAddress) == 1);

  // While it answers.
  authentic_from_elsewhere();
  CHECK(besieged.drop(PacketType::kChallenge, 15, filled(netcode::kChallengeBodySize, 9)) ==
        "dropUnexpected");
  CHECK(besieged.drop(PacketType::kPayload, 16, numbered(1)) == "dropUnexpected");
  CHECK(besieged.drop(PacketType::kDisconnect, 17, {}) == "dropUnexpected");
  CHECK(besieged.drop(besieged.impostor->raw(prefix_of(PacketType::kKeepAlive, 1), 18, filled(9))) ==
        "dropLength");
  CHECK(besieged.drop(besieged.impostor->raw(prefix_of(PacketType::kResponse, 1), 19, challenge)) ==
        "dropReflected");
  CHECK(netcode_states(besieged.world.client->take_events()) == std::vector<int>{1, 2});
  besieged.impostor->packet(PacketType::kKeepAlive, 20, keep_alive);
  CHECK(netcode_states(besieged.world.client->take_events()) == std::vector<int>{3});

  // Connected.
  authentic_from_elsewhere();
  CHECK(besieged.drop(PacketType::kDenied, std::uint64_t{1} << 63U, {}) == "dropUnexpected");
  CHECK(besieged.drop(PacketType::kChallenge, std::uint64_t{1} << 63U, challenge) == "dropUnexpected");
  // Numbers of those are not in the window.
  besieged.impostor->packet(PacketType::kPayload, 21, numbered(77));
  CHECK(payloads(*besieged.world.client) == std::vector<std::uint64_t>{77});
  CHECK(besieged.drop(PacketType::kPayload, 21, numbered(77)) == "dropReplayed");
  CHECK(besieged.drop(PacketType::kKeepAlive, 20, keep_alive) == "dropReplayed");
  CHECK(besieged.drop(PacketType::kDisconnect, 21, {}) == "dropReplayed");
  besieged.impostor->packet(PacketType::kDisconnect, 22, {});
  CHECK(netcode_states(besieged.world.client->take_events()) == std::vector<int>{0});
}

TEST_CASE("netcode: a client's RESPONSE echoes the first CHALLENGE, whatever comes later") {
  Besieged besieged;
  NetcodeWorld& world = besieged.world;
  besieged.challenge();
  besieged.impostor->packet(PacketType::kChallenge, 5, filled(netcode::kChallengeBodySize, 9));
  world.run(milliseconds(500));
  const PacketKey key = PacketKey::of(netcode::decode_public_token(besieged.token)->client_to_server);
  std::size_t responses = 0;
  for (const Sent& sent : world.log) {
    auto copy = sent.bytes;
    const auto header = netcode::parse_header(copy, netcode::kTypesToServer);
    if (!header || header->type != PacketType::kResponse) continue;
    const auto body = netcode::open_packet(copy, *header, key, netcode::AssociatedData(kProtocolId));
    REQUIRE(body.has_value());
    CHECK(std::ranges::equal(*body, filled(netcode::kChallengeBodySize)));
    ++responses;
  }
  CHECK(responses == 6);
}

TEST_CASE("netcode: a DENIED moves a client on, one server at a time") {
  Besieged besieged({kServerAddress, kSecondServerAddress});
  NetcodeWorld& world = besieged.world;
  const auto denied = besieged.impostor->seal(PacketType::kDenied, 5, {});
  besieged.challenge();
  besieged.impostor->send(denied);
  world.exchange();
  CHECK(netcode_states(world.client->take_events()) == std::vector<int>{1, 2, 1});
  // The first has nothing to say any more.
  CHECK(besieged.drop(denied) == "dropUnexpected");
  besieged.impostor->send(denied, kSecondServerAddress);
  CHECK(netcode_states(world.client->take_events()) == std::vector<int>{-1});
  CHECK(world.client->endpoint.sessions() == 0);
  CHECK(besieged.drop(denied, kSecondServerAddress) == "dropUnexpected");
}

TEST_CASE("netcode: spoofed datagrams neither end a client's session nor keep it alive") {
  Besieged besieged;
  besieged.connect();
  NetcodeWorld& world = besieged.world;
  SeededRandom random(4);
  std::vector<std::byte> forged = besieged.impostor->seal(PacketType::kDisconnect, 9, {});
  forged.back() ^= std::byte{0x80};
  for (int i = 0; i < 48; ++i) {
    for (const PacketType type : {PacketType::kDenied, PacketType::kChallenge, PacketType::kKeepAlive,
                                  PacketType::kPayload, PacketType::kDisconnect}) {
      std::vector<std::byte> garbage(18 + random.below(400));
      random.fill(garbage);
      garbage[0] = static_cast<std::byte>(prefix_of(type, 1));
      besieged.impostor->send(garbage);
    }
    besieged.impostor->send(forged);
    // Not signs of life either, though authentic.
    besieged.impostor->packet(PacketType::kDenied, 1, {});
    besieged.impostor->packet(PacketType::kKeepAlive, 0, netcode::encode_keep_alive({3, 10}));
    world.run(milliseconds(100));
    CHECK(world.client->endpoint.connected() == 1);
  }
  world.run(milliseconds(400));
  CHECK(netcode_states(world.client->take_events()) == std::vector<int>{-4});
}

}  // namespace hawser::test
