// The gateway's side of the handshake (docs/protocol.md section 7): what is dropped and why, the budget,
// half-open sessions, the consumption of single-use tokens, and what happens at the end of the handshake.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>

#include "rogue_peer.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

namespace {

constexpr std::array<Counter, 18> kHandshakeDrops = {
    Counter::dropLength,           Counter::dropVersion,         Counter::dropProtocol,
    Counter::dropTokenLifetime,    Counter::dropTokenExpired,    Counter::dropTokenFuture,
    Counter::dropUnknownKey,       Counter::dropTokenInvalid,    Counter::dropWrongAddress,
    Counter::dropSingleUseRefused, Counter::dropCookieExpired,   Counter::dropCookieInvalid,
    Counter::dropCookieConsumed,   Counter::dropCookieTableFull, Counter::dropResponseInvalid,
    Counter::dropHalfOpenFull,     Counter::dropHandshakeBudget, Counter::dropUnknownType,
};

// What was sent so far is dropped with this counter alone, without an answer and without a session.
void check_dropped(World& world, Counter reason) {
  CHECK(sent_by(*world.server, world.now).empty());
  for (const Counter counter : kHandshakeDrops) {
    CAPTURE(kCounterNames[static_cast<std::size_t>(counter)]);
    CHECK(world.server->count(counter) == (counter == reason ? 1U : 0U));
  }
  CHECK(world.server->endpoint.sessions() == 0);
}

std::vector<std::byte> changed(Bytes datagram, std::size_t at) {
  std::vector<std::byte> copy(datagram.begin(), datagram.end());
  copy[at] ^= std::byte{2};
  return copy;
}

GatewayOptions external_history() {
  GatewayOptions options = gateway_options();
  options.external_token_history = true;
  options.restart_guard = std::nullopt;
  return options;
}

// The handle of the session whose token the gateway asks about.
Handle asked_about(World& world) {
  const auto events = world.server->take_events();
  const Event* consume = find_event(events, EventKind::kConsume);
  REQUIRE(consume != nullptr);
  return consume->peer;
}

// The reason of a DENIED for the holder of a token.
std::optional<DeniedReason> reason_of(Bytes token, const RoguePeer& peer, Bytes datagram) {
  const auto decoded = decode_public_token(token);
  REQUIRE(decoded.has_value());
  const auto request = parse_request(peer.request);
  const auto reason = open_denied(datagram, denied_key(decoded->server_to_client),
                                  token_id(decoded->sealed_private), request->client_share);
  return reason ? std::optional(static_cast<DeniedReason>(*reason)) : std::nullopt;
}

std::uint32_t code_sent_to(RoguePeer& peer) {
  peer.turn();
  const auto disconnect = peer.last(FrameType::kDisconnect);
  REQUIRE(disconnect.has_value());
  return disconnect->disconnect.code;
}

}  // namespace

TEST_CASE("clear checks of REQUEST: dropped, counted, not answered") {
  TokenParameters parameters = World::token_parameters(1);
  const std::array addresses{kServerAddress};
  parameters.addresses = addresses;
  Counter reason{};
  std::size_t change = 0;
  SUBCASE("unknown key") {
    parameters.key_id = 2;
    reason = Counter::dropUnknownKey;
  }
  SUBCASE("another version") {
    change = 1;
    reason = Counter::dropVersion;
  }
  SUBCASE("a flag without a meaning") {
    change = 21;
    reason = Counter::dropTokenInvalid;
  }
  SUBCASE("changed times") {
    change = 26;
    reason = Counter::dropTokenInvalid;
  }
  SUBCASE("changed private part") {
    change = 500;
    reason = Counter::dropTokenInvalid;
  }
  World world;
  RoguePeer peer(world, world.mint(parameters), rogue_address(1), 1);
  peer.deliver(change == 0 ? std::vector<std::byte>(peer.request.begin(), peer.request.end())
                           : changed(peer.request, change));
  check_dropped(world, reason);
}

TEST_CASE("tokens at the edge of their time are good") {
  World world;
  TokenParameters parameters = World::token_parameters(1);
  const std::array addresses{kServerAddress};
  parameters.addresses = addresses;
  SUBCASE("expired less than the skew ago") {
    parameters.create = kStartWall - minutes(1);
    parameters.expire = kStartWall - seconds(5) + milliseconds(1);
  }
  SUBCASE("created no more than the skew ahead") { parameters.create = kStartWall + seconds(5); }
  SUBCASE("as long as allowed") { parameters.expire = parameters.create + hours(24); }
  RoguePeer peer(world, world.mint(parameters), rogue_address(1), 1);
  peer.connect();
}

TEST_CASE("the holder of a token that breaks a rule is told which one, and strangers are told nothing") {
  GatewayOptions options = gateway_options();
  options.started = kStartWall;
  options.restart_guard = seconds(4);
  const SocketAddress other = SocketAddress::ipv4({10, 0, 0, 3}, 4000);
  World world(std::move(options));
  TokenParameters parameters = World::token_parameters(1);
  std::vector<SocketAddress> addresses{kServerAddress};
  Counter counter{};
  DeniedReason reason{};
  SUBCASE("expired, skew included") {
    parameters.create = kStartWall - minutes(1);
    parameters.expire = kStartWall - seconds(5);
    counter = Counter::dropTokenExpired;
    reason = DeniedReason::kTokenExpired;
  }
  SUBCASE("of the future, skew included") {
    parameters.create = kStartWall + seconds(5) + milliseconds(1);
    counter = Counter::dropTokenFuture;
    reason = DeniedReason::kTokenFuture;
  }
  SUBCASE("lives too long") {
    parameters.expire = parameters.create + hours(24) + milliseconds(1);
    counter = Counter::dropTokenLifetime;
    reason = DeniedReason::kTokenLifetime;
  }
  SUBCASE("another protocol") {
    parameters.protocol_id = kProtocolId + 1;
    counter = Counter::dropProtocol;
    reason = DeniedReason::kProtocolMismatch;
  }
  SUBCASE("none of the addresses is advertised") {
    addresses = {other};
    counter = Counter::dropWrongAddress;
    reason = DeniedReason::kWrongAddress;
  }
  SUBCASE("single use, created before start + guard") {
    parameters.single_use = true;
    parameters.create = kStartWall + seconds(4) - milliseconds(1);
    counter = Counter::dropSingleUseRefused;
    reason = DeniedReason::kSingleUseRefused;
  }
  SUBCASE("single use, also good elsewhere") {
    parameters.single_use = true;
    parameters.create = kStartWall + seconds(4);
    addresses.push_back(other);
    counter = Counter::dropSingleUseRefused;
    reason = DeniedReason::kSingleUseRefused;
  }
  parameters.addresses = addresses;
  const std::vector<std::byte> token = world.mint(parameters);
  RoguePeer peer(world, token, rogue_address(1), 1);
  peer.deliver(peer.request);
  const std::vector<Sent> sent = sent_by(*world.server, world.now);
  REQUIRE(sent.size() == 1);
  // No amplification, and no state.
  CHECK(sent[0].bytes.size() == kDeniedSize);
  CHECK(reason_of(token, peer, sent[0].bytes) == reason);
  for (const Counter each : kHandshakeDrops) CHECK(world.server->count(each) == (each == counter ? 1U : 0U));
  CHECK(world.server->count(Counter::handshakesRefused) == 1);
  CHECK(world.server->count(Counter::deniedSent) == 1);
  CHECK(world.server->endpoint.sessions() == 0);
  // The same clear part, sealed by somebody else.
  peer.deliver(changed(peer.request, 500));
  CHECK(sent_by(*world.server, world.now).empty());
}

TEST_CASE("a token that breaks a rule and names a key that the gateway lacks is dropped unopened") {
  World world;
  TokenParameters parameters = World::token_parameters(1);
  const std::array addresses{kServerAddress};
  parameters.addresses = addresses;
  parameters.key_id = 2;
  parameters.create = kStartWall - minutes(1);
  parameters.expire = kStartWall - seconds(5);
  RoguePeer peer(world, world.mint(parameters), rogue_address(1), 1);
  peer.deliver(peer.request);
  CHECK(world.server->count(Counter::handshakeQueuePeak) == 0);
  check_dropped(world, Counter::dropTokenExpired);
}

TEST_CASE("a token that expires between REQUEST and RESPONSE is refused with its reason") {
  World world;
  TokenParameters parameters = World::token_parameters(1);
  const std::array addresses{kServerAddress};
  parameters.addresses = addresses;
  parameters.create = kStartWall - minutes(1);
  parameters.expire = kStartWall - seconds(5) + milliseconds(1);
  const std::vector<std::byte> token = world.mint(parameters);
  RoguePeer peer(world, token, rogue_address(1), 1);
  peer.deliver(peer.request);
  peer.turn();
  REQUIRE(peer.challenged);
  world.now += milliseconds(2);
  peer.deliver(peer.response);
  const std::vector<Sent> sent = sent_by(*world.server, world.now);
  REQUIRE(sent.size() == 1);
  CHECK(reason_of(token, peer, sent[0].bytes) == DeniedReason::kTokenExpired);
  CHECK(world.server->endpoint.sessions() == 0);
}

TEST_CASE("a flood of an expired token is answered at most 1,000 times a second, and does not delay others") {
  World world;
  TokenParameters parameters = World::token_parameters(1);
  const std::array addresses{kServerAddress};
  parameters.addresses = addresses;
  parameters.create = kStartWall - minutes(2);
  parameters.expire = kStartWall - minutes(1);
  RoguePeer flooder(world, world.mint(parameters), rogue_address(1), 1);
  constexpr int kMilliseconds = 2'000;
  for (int i = 0; i < kMilliseconds; ++i) {
    world.now += milliseconds(1);
    for (int n = 0; n < 20; ++n) flooder.deliver(flooder.request);
    flooder.turn();
  }
  const std::uint64_t denied = world.server->count(Counter::deniedSent);
  CHECK(denied <= 1'000 + kMilliseconds);
  CHECK(denied >= kMilliseconds - 100);
  CHECK(world.server->count(Counter::dropTokenExpired) == 20U * kMilliseconds);
  RoguePeer other(world, world.token(2), rogue_address(2), 2);
  other.connect();
}

TEST_CASE("a client with a token that the gateway refuses hears why at once") {
  World world;
  const Handle attempt = world.connect(world.token(1, false, kStartWall + seconds(20)));
  world.exchange();
  world.exchange();
  const auto events = world.client->take_events();
  const Event* failed = find_event(events, EventKind::kConnectFailed);
  REQUIRE(failed != nullptr);
  CHECK(failed->peer == attempt);
  CHECK(failed->argument == static_cast<std::uint32_t>(ConnectResult::kDenied));
  CHECK(code_of(*failed) == static_cast<std::uint32_t>(DeniedReason::kTokenFuture));
}

TEST_CASE("by default a gateway whose clock is 20 s behind that of the token's issuer takes its tokens") {
  GatewayOptions options = gateway_options();
  options.clock_skew = GatewayOptions().clock_skew;
  World world(std::move(options));
  RoguePeer peer(world, world.token(1, false, kStartWall + seconds(20)), rogue_address(1), 1);
  peer.connect();
}

TEST_CASE("REQUEST and RESPONSE have exactly one length") {
  World world;
  std::vector<std::byte> datagram;
  SUBCASE("a short REQUEST") { datagram.resize(kRequestSize - 1, std::byte{kRequestByte}); }
  SUBCASE("a long REQUEST") { datagram.resize(kRequestSize + 1, std::byte{kRequestByte}); }
  SUBCASE("a short RESPONSE") { datagram.resize(kResponseSize - 1, std::byte{kResponseByte}); }
  SUBCASE("a long RESPONSE") { datagram.resize(kResponseSize + 1, std::byte{kResponseByte}); }
  world.deliver(Sent{rogue_address(1), kServerAddress, datagram});
  check_dropped(world, Counter::dropLength);
}

TEST_CASE("RESPONSE: every part is checked, and a failure leaves no session") {
  World world;
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  peer.deliver(peer.request);
  peer.turn();
  REQUIRE(peer.challenged);
  std::size_t change = 0;
  Counter reason{};
  SUBCASE("version") {
    change = 1;
    reason = Counter::dropVersion;
  }
  SUBCASE("private part") {
    change = 500;
    reason = Counter::dropTokenInvalid;
  }
  SUBCASE("tag of the private part") {
    change = 1 + kTokenClearSize + kSealedPrivateTokenSize - 1;
    reason = Counter::dropCookieInvalid;
  }
  SUBCASE("client share") {
    change = 1041;
    reason = Counter::dropCookieInvalid;
  }
  SUBCASE("cookie") {
    change = 1080;
    reason = Counter::dropCookieInvalid;
  }
  SUBCASE("sealed part") {
    change = kResponseSize - 1;
    reason = Counter::dropResponseInvalid;
  }
  peer.deliver(changed(peer.response, change));
  check_dropped(world, reason);
  // The cookie was not consumed by that.
  peer.deliver(peer.response);
  peer.turn();
  CHECK(peer.accepted);
}

TEST_CASE("another RESPONSE with a consumed cookie is dropped") {
  World world;
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  peer.open();
  peer.deliver(changed(peer.response, kResponseSize - 1));
  peer.turn();
  CHECK(world.server->count(Counter::dropCookieConsumed) == 1);
  CHECK(world.server->endpoint.sessions() == 1);
}

TEST_CASE("budget: it is never exceeded, however often a turn is flushed, and nothing is lost") {
  EndpointOptions options;
  options.handshake_burst = HandshakeBudget::kMinBurst;
  World world(gateway_options(), options);
  std::vector<std::unique_ptr<RoguePeer>> peers;
  for (std::uint8_t i = 0; i < 40; ++i) {
    peers.push_back(std::make_unique<RoguePeer>(world, world.token(i), rogue_address(i), i));
    peers.back()->deliver(peers.back()->request);
  }
  // What a REQUEST and a RESPONSE take of the budget.
  constexpr std::chrono::nanoseconds kRequest = HandshakeCosts::kTokenOpened + HandshakeCosts::kAnswer;
  for (const std::chrono::nanoseconds cost : {kRequest, HandshakeCosts::kMaxResponse}) {
    std::size_t answered = 0;
    for (int turn = 0; answered < peers.size(); ++turn) {
      REQUIRE(turn < 80);
      // All of it is back after two milliseconds.
      world.now += milliseconds(2);
      auto sent = sent_by(*world.server, world.now);
      CHECK(sent_by(*world.server, world.now).empty());
      CHECK(sent.size() * cost <= HandshakeBudget::kMinBurst);
      CHECK(sent.size() > 0);
      if (answered + sent.size() < peers.size()) {
        CHECK(world.server->endpoint.next_deadline() == world.now + milliseconds(1));
      }
      for (auto& peer : peers) peer->take(sent);
      answered += sent.size();
    }
    if (cost == kRequest) {
      for (auto& peer : peers) peer->deliver(peer->response);
    }
  }
  CHECK(world.server->count(Counter::dropHandshakeBudget) == 0);
  CHECK(world.server->endpoint.sessions() == 40);
}

TEST_CASE("budget: what connected peers are sent leaves before any handshake's answer") {
  EndpointOptions options;
  options.max_output_packets = 8;
  World world(gateway_options(), options);
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  const Handle handle = peer.connect();
  world.now += seconds(1);
  for (std::uint8_t i = 10; i < 30; ++i) {
    RoguePeer newcomer(world, world.token(i), rogue_address(i), i);
    newcomer.deliver(newcomer.request);
  }
  const std::vector<std::byte> message(1'000);
  for (int i = 0; i < 3; ++i)
    CHECK(world.server->endpoint.send(handle, 0, message, {}, world.now) == SendStatus::kSent);
  auto sent = sent_by(*world.server, world.now);
  // Three packets, then answers as long as half of the output is left for peers.
  REQUIRE(sent.size() == 5);
  for (std::size_t i = 0; i < sent.size(); ++i) CHECK((sent[i].to == peer.address) == (i < 3));
  world.now += milliseconds(1);
  CHECK(sent_by(*world.server, world.now).size() == 5);
}

TEST_CASE("budget: a flood from one network displaces itself, not the newcomer from another") {
  World world;
  RoguePeer flooder(world, world.token(1), rogue_address(1), 1);
  RoguePeer other(world, world.token(2), SocketAddress::ipv4({172, 16, 0, 1}, 1), 2);
  for (int i = 0; i < 600; ++i) flooder.deliver(flooder.request);
  other.deliver(other.request);
  CHECK(world.server->count(Counter::dropHandshakeBudget) == 600 + 1 - 512);
  world.now += milliseconds(1);
  other.turn();
  CHECK(other.challenged);
}

TEST_CASE("budget: RESPONSEs without a valid cookie take neither a place nor the time of others") {
  World world;
  RoguePeer honest(world, world.token(1), rogue_address(1), 1);
  honest.deliver(honest.request);
  honest.turn();
  REQUIRE(honest.challenged);
  // Copies of its RESPONSE from other addresses.
  for (int i = 0; i < 1'000; ++i) {
    const SocketAddress from = SocketAddress::ipv4({172, 16, static_cast<std::uint8_t>(i / 250), 1},
                                                   static_cast<std::uint16_t>(1'000 + i));
    honest.deliver_from(from, honest.response);
  }
  CHECK(sent_by(*world.server, world.now).empty());
  CHECK(world.server->count(Counter::handshakeQueuePeak) == 1);
  CHECK(world.server->count(Counter::dropCookieInvalid) + world.server->count(Counter::dropHandshakeBudget) ==
        1'000);
  world.now += milliseconds(1);
  honest.deliver(honest.response);
  honest.turn();
  CHECK(honest.accepted);
}

TEST_CASE("a cookie is good for four RESPONSEs that do not open") {
  // The sealed part; the private part of the token; its times, which the cookie does not cover.
  for (const std::size_t at : {kResponseSize - 1, std::size_t{500}, std::size_t{26}}) {
    CAPTURE(at);
    for (const std::uint64_t junk : {3U, 100U}) {
      CAPTURE(junk);
      World world;
      RoguePeer peer(world, world.token(1), rogue_address(1), 1);
      peer.deliver(peer.request);
      peer.turn();
      REQUIRE(peer.challenged);
      for (std::uint64_t i = 0; i < junk; ++i) {
        world.now += milliseconds(1);
        peer.deliver(changed(peer.response, at));
        CHECK(sent_by(*world.server, world.now).empty());
      }
      const Counter opened =
          at == kResponseSize - 1 ? Counter::dropResponseInvalid : Counter::dropTokenInvalid;
      const auto tried = std::min<std::uint64_t>(junk, FailedResponses::kLimit);
      if (opened == Counter::dropTokenInvalid) {
        CHECK(world.server->count(opened) == tried);
        CHECK(world.server->count(Counter::dropResponseInvalid) == junk - tried);
      } else {
        CHECK(world.server->count(opened) == junk);
      }
      peer.deliver(peer.response);
      peer.turn();
      CHECK(peer.accepted == (junk < FailedResponses::kLimit));
      // The client's next attempt has another cookie.
      RoguePeer again(world, world.token(1), rogue_address(1), 2);
      again.connect();
    }
  }
}

TEST_CASE("half-open places are capped, and free again after five seconds") {
  EndpointOptions options;
  options.max_half_open = 2;
  World world(gateway_options(), options);
  RoguePeer first(world, world.token(1), rogue_address(1), 1);
  RoguePeer second(world, world.token(2), rogue_address(2), 2);
  RoguePeer third(world, world.token(3), rogue_address(3), 3);
  first.open();
  second.open();
  third.deliver(third.request);
  third.turn();
  third.deliver(third.response);
  third.turn();
  CHECK_FALSE(third.accepted);
  CHECK(world.server->count(Counter::dropHalfOpenFull) == 1);
  CHECK(world.server->count(Counter::halfOpen) == 2);
  // A confirmed session gives its place back at once.
  first.send(Frames().ping(0));
  third.deliver(third.response);
  third.turn();
  CHECK(third.accepted);
  world.now += seconds(5);
  world.server->endpoint.advance(world.now);
  world.server->endpoint.flush(world.now);
  CHECK(world.server->count(Counter::halfOpenExpired) == 2);
  CHECK(world.server->count(Counter::halfOpen) == 0);
  CHECK(world.server->endpoint.sessions() == 1);
}

TEST_CASE("waiting for a token's consumption: 16 packets, the rest is dropped and never acknowledged") {
  World world(external_history());
  RoguePeer peer(world, world.token(1, true), rogue_address(1), 1);
  peer.open();
  for (std::uint8_t i = 0; i < 20; ++i) {
    const std::array number{std::byte{i}};
    peer.send(Frames().message(number));
  }
  CHECK(world.server->count(Counter::dropUnconfirmedOverflow) == 4);
  const Handle handle = asked_about(world);
  world.server->endpoint.complete_consumption(handle, ConsumeVerdict::kConsumed, world.now);
  const auto events = world.server->take_events();
  CHECK(count_events(events, EventKind::kConnect) == 1);
  std::uint8_t expected = 0;
  for (const Event& event : events) {
    if (event.kind == EventKind::kMessage) CHECK(event.bytes[0] == std::byte{expected++});
  }
  CHECK(expected == 16);
  peer.send(Frames().new_id(1, 0x11));
  peer.turn();
  const auto ack = peer.last(FrameType::kAck);
  REQUIRE(ack.has_value());
  CHECK(ack->ack.first_range == 0);
  // A second answer changes nothing.
  world.server->endpoint.complete_consumption(handle, ConsumeVerdict::kAlreadyUsed, world.now);
  CHECK(world.server->endpoint.connected() == 1);
}

TEST_CASE("waiting for tokens' consumption: 1,024 packets of all peers together, others are not affected") {
  World world(external_history());
  std::vector<std::unique_ptr<RoguePeer>> peers;
  for (std::uint8_t i = 0; i < 70; ++i) {
    world.now += milliseconds(1);
    peers.push_back(std::make_unique<RoguePeer>(world, world.token(i, true), rogue_address(i), i));
    peers.back()->open();
    for (int packet = 0; packet < 16; ++packet) peers.back()->send(Frames().ping(0));
  }
  CHECK(world.server->count(Counter::dropUnconfirmedOverflow) == 70 * 16 - 1'024);
  // Those who die give their places back.
  world.now += seconds(6);
  world.server->endpoint.advance(world.now);
  RoguePeer late(world, world.token(200, true), rogue_address(200), 200);
  late.open();
  const std::uint64_t dropped = world.server->count(Counter::dropUnconfirmedOverflow);
  for (int packet = 0; packet < 16; ++packet) late.send(Frames().ping(0));
  CHECK(world.server->count(Counter::dropUnconfirmedOverflow) == dropped);
}

// How often the gateway asks for a turn.
int turns_within(World& world, Duration duration) {
  int turns = 0;
  for (const Instant end = world.now + duration; world.server->endpoint.next_deadline() < end; ++turns) {
    REQUIRE(turns < 1'000);
    world.now = std::max(world.now, world.server->endpoint.next_deadline());
    world.server->endpoint.advance(world.now);
    sent_by(*world.server, world.now);
  }
  return turns;
}

TEST_CASE("consumption completed while there is no room for events: nothing is lost") {
  World world(external_history());
  RoguePeer talker(world, world.token(1), rogue_address(1), 1);
  talker.connect();
  RoguePeer peer(world, world.token(2, true), rogue_address(2), 2);
  peer.open();
  std::size_t messages = 0;
  for (int i = 0; i < 15; ++i) {
    Frames frames;
    peer.send(frames.empty_messages());
    messages += frames.view().size() / 2;
  }
  peer.send(Frames().disconnect(0x10005));
  const Handle handle = asked_about(world);
  SUBCASE("room for the beginning only") {}
  SUBCASE("no room at all") {
    while (world.server->has_room_for_events()) talker.send(Frames().empty_messages());
  }
  world.server->endpoint.complete_consumption(handle, ConsumeVerdict::kConsumed, world.now);
  std::vector<Event> events;
  for (int i = 0; i < 40; ++i) {
    talker.turn();
    if (!world.server->has_room_for_events()) CHECK(turns_within(world, milliseconds(100)) < 20);
    for (Event& event : world.server->take_events()) {
      if (event.peer == handle) events.push_back(std::move(event));
    }
    if (events.size() < messages + 2) CHECK(world.server->endpoint.next_deadline() <= world.now);
  }
  CHECK(world.server->count(Counter::dropEventQueueFull) == 0);
  REQUIRE(events.size() == messages + 2);
  CHECK(events.front().kind == EventKind::kConnect);
  CHECK(events.back().kind == EventKind::kDisconnect);
  CHECK(code_of(events.back()) == 0x10005);
}

TEST_CASE("packets that come while others still wait stay behind them") {
  World world(external_history());
  RoguePeer peer(world, world.token(2, true), rogue_address(2), 2);
  peer.open();
  for (int i = 0; i < 14; ++i) peer.send(Frames().empty_messages());
  const Handle handle = asked_about(world);
  world.server->endpoint.complete_consumption(handle, ConsumeVerdict::kConsumed, world.now);
  CHECK_FALSE(world.server->has_room_for_events());
  world.server->clear_events();
  peer.send(Frames().message(bytes_of("last")));
  std::vector<Event> events;
  for (int i = 0; i < 40; ++i) {
    world.now += milliseconds(1);
    world.server->endpoint.advance(world.now);
    peer.turn();
    for (Event& event : world.server->take_events()) events.push_back(std::move(event));
  }
  REQUIRE(events.size() > 1);
  CHECK(events.back().bytes.size() == 4);
  CHECK(world.server->endpoint.connected() == 1);
  // And from then on packets are processed at once.
  peer.send(Frames().message(bytes_of("now")));
  CHECK(count_events(world.server->take_events(), EventKind::kMessage) == 1);
}

TEST_CASE("what the token's history says ends the session with its code") {
  World world(external_history());
  RoguePeer peer(world, world.token(1, true), rogue_address(1), 1);
  peer.open();
  peer.send(Frames().ping(0));
  const Handle handle = asked_about(world);
  DisconnectCode code{};
  SUBCASE("used") {
    world.server->endpoint.complete_consumption(handle, ConsumeVerdict::kAlreadyUsed, world.now);
    code = DisconnectCode::kTokenUsed;
  }
  SUBCASE("unavailable") {
    world.server->endpoint.complete_consumption(handle, ConsumeVerdict::kHistoryFull, world.now);
    code = DisconnectCode::kHistoryUnavailable;
  }
  SUBCASE("no answer for five seconds") {
    world.now += seconds(5);
    world.server->endpoint.advance(world.now);
    code = DisconnectCode::kHistoryUnavailable;
  }
  CHECK(code_sent_to(peer) == static_cast<std::uint32_t>(code));
  CHECK(world.server->count(Counter::handshakesRefused) == 1);
  const auto events = world.server->take_events();
  CHECK(count_events(events, EventKind::kConnect) + count_events(events, EventKind::kDisconnect) == 0);
  world.server->endpoint.complete_consumption(handle, ConsumeVerdict::kConsumed, world.now);
  CHECK(world.server->endpoint.connected() == 0);
}

TEST_CASE("one client id holds at most eight half-open places, however often it answers") {
  World world;
  world.filter = [](const Sent& sent) { return sent.bytes.size() != kAcceptSize; };
  const auto token = world.token(1);
  for (int i = 0; i < 12; ++i) world.connect(token);
  world.run(milliseconds(5), milliseconds(1));
  CHECK(world.server->endpoint.sessions() == 8);
  CHECK(world.server->count(Counter::dropHalfOpenFull) == 4);
  world.connect(world.token(2));
  world.run(milliseconds(5), milliseconds(1));
  CHECK(world.server->endpoint.sessions() == 9);
}

TEST_CASE("races of half-open sessions: the first to confirm wins, the loser hears why") {
  GatewayOptions options = gateway_options();
  bool single_use = false;
  std::uint64_t second_id = 1;
  WallTime second_created = kStartWall;
  DisconnectCode code{};
  SUBCASE("one single-use token") {
    single_use = true;
    code = DisconnectCode::kTokenUsed;
  }
  SUBCASE("one place") {
    options.max_peers = 1;
    second_id = 2;
    code = DisconnectCode::kServerFull;
  }
  SUBCASE("one client id, the second token older") {
    second_created = kStartWall - hours(1) + seconds(1);
    code = DisconnectCode::kClientIdConnected;
  }
  SUBCASE("one client id, policy reject") {
    options.same_client = SameClientPolicy::kReject;
    code = DisconnectCode::kClientIdConnected;
  }
  World world(std::move(options));
  const auto token = world.token(1, single_use);
  RoguePeer first(world, token, rogue_address(1), 1);
  RoguePeer second(world, single_use ? token : world.token(second_id, false, second_created),
                   rogue_address(2), 2);
  first.open();
  second.open();
  first.send(Frames().ping(0));
  second.send(Frames().ping(0).message(bytes_of("nobody hears this")));
  CHECK(code_sent_to(second) == static_cast<std::uint32_t>(code));
  CHECK(world.server->endpoint.connected() == 1);
  const auto events = world.server->take_events();
  CHECK(count_events(events, EventKind::kConnect) == 1);
  CHECK(count_events(events, EventKind::kMessage) == 0);
  CHECK(count_events(events, EventKind::kDisconnect) == 0);
  CHECK(world.gateway.connected() == 1);
}

TEST_CASE("a later attempt with a token of the same age takes over, and the peer that goes hears REPLACED") {
  World world;
  RoguePeer first(world, world.token(1), rogue_address(1), 1);
  RoguePeer second(world, world.token(1), rogue_address(2), 2);
  first.open();
  second.open();
  first.send(Frames().ping(0));
  second.send(Frames().ping(0));
  CHECK(code_sent_to(first) == static_cast<std::uint32_t>(DisconnectCode::kReplaced));
  const auto events = world.server->take_events();
  CHECK(count_events(events, EventKind::kConnect) == 2);
  REQUIRE(count_events(events, EventKind::kDisconnect) == 1);
  CHECK(find_event(events, EventKind::kDisconnect)->argument ==
        static_cast<std::uint32_t>(DisconnectResult::kReplaced));
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.gateway.connected() == 1);
}

TEST_CASE("a half-open gateway sends nothing but ACCEPT before the first packet") {
  World world;
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  peer.open();
  peer.forget();
  for (int i = 0; i < 400; ++i) {
    world.now += milliseconds(10);
    world.server->endpoint.advance(world.now);
    peer.turn();
  }
  CHECK(peer.received.empty());
  peer.deliver(peer.response);
  peer.turn();
  CHECK(peer.received.size() == 1);
}
