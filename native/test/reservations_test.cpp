// The end of the handshake at the gateway (docs/protocol.md section 7, "Confirmation"): which of several
// attempts of one client wins, and that a single-use token is consumed only for a session that has its place.
#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "netcode_support.hpp"
#include "rogue_peer.hpp"

namespace hawser::test {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr std::chrono::milliseconds kSkew{60'000};

GatewayOptions options_of(SameClientPolicy policy = SameClientPolicy::kReplace) {
  GatewayOptions options = netcode_gateway_options();
  options.clock_skew = kSkew;
  options.same_client = policy;
  return options;
}
GatewayOptions external_history(std::uint32_t max_peers = 10'000) {
  GatewayOptions options = options_of();
  options.external_token_history = true;
  options.max_peers = max_peers;
  return options;
}

// Brings all that the gateway sends within a few turns to the peers. It repeats a DISCONNECT ten times a
// second.
void hear(World& world, std::initializer_list<RoguePeer*> peers) {
  for (int i = 0; i < 3; ++i) {
    const auto sent = sent_by(*world.server, world.now);
    for (RoguePeer* const peer : peers) peer->take(sent);
    world.now += milliseconds(100);
    world.server->endpoint.advance(world.now);
  }
}

// Code of the DISCONNECT that a peer has heard; nothing without one.
std::optional<DisconnectCode> code_for(const RoguePeer& peer) {
  const auto frame = peer.last(FrameType::kDisconnect);
  return frame ? std::optional(static_cast<DisconnectCode>(frame->disconnect.code)) : std::nullopt;
}

// Handles of the sessions whose token the gateway asks about.
std::vector<Handle> asked_about(World& world) {
  std::vector<Handle> asked;
  for (const Event& event : world.server->take_events()) {
    if (event.kind == EventKind::kConsume) asked.push_back(event.peer);
  }
  return asked;
}

void answer(World& world, Handle asked, ConsumeVerdict verdict) {
  world.server->endpoint.complete_consumption(asked, verdict, world.now);
}

// ---- the order of attempts

TEST_CASE("a late confirmation of an older attempt never ends the newer session") {
  SameClientPolicy policy = SameClientPolicy::kReplace;
  WallTime first_created = kStartWall;
  Duration between = seconds(1);
  SUBCASE("with the same token") {}
  SUBCASE("with a token that counts as equally old") { first_created += kSkew - milliseconds(1); }
  SUBCASE("when both were challenged in the same millisecond") { between = Duration(0); }
  SUBCASE("under the policy reject") { policy = SameClientPolicy::kReject; }
  World world(options_of(policy));
  const auto token = world.token(1, false, first_created);
  const auto second_token = first_created == kStartWall ? token : world.token(1);
  RoguePeer first(world, token, rogue_address(1), 1);
  first.open();
  world.now += between;
  RoguePeer second(world, second_token, rogue_address(2), 2);
  second.connect();
  first.send(Frames().ping(0));
  hear(world, {&first, &second});
  CHECK(code_for(first) == DisconnectCode::kClientIdConnected);
  CHECK(code_for(second) == std::nullopt);
  CHECK(world.server->take_events().empty());
  CHECK(world.server->count(Counter::peersReplaced) == 0);
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.gateway.connected() == 1);
  // Nor does its RESPONSE, if that is what was delayed.
  RoguePeer third(world, second_token, rogue_address(3), 3);
  third.deliver(third.request);
  third.turn();
  CHECK(third.challenged == (policy == SameClientPolicy::kReplace));
  if (!third.challenged) return;
  world.now += milliseconds(1);
  RoguePeer fourth(world, second_token, rogue_address(4), 4);
  fourth.connect();
  third.deliver(third.response);
  third.turn();
  CHECK_FALSE(third.accepted);
  CHECK(world.server->count(Counter::peersReplaced) == 1);
}

TEST_CASE("a token that is newer by the clock skew takes over from a later attempt with an older one") {
  World world(options_of());
  RoguePeer first(world, world.token(1, false, kStartWall), rogue_address(1), 1);
  first.open();
  world.now += seconds(1);
  RoguePeer second(world, world.token(1, false, kStartWall - kSkew), rogue_address(2), 2);
  second.connect();
  first.send(Frames().ping(0));
  hear(world, {&first, &second});
  CHECK(code_for(second) == DisconnectCode::kReplaced);
  CHECK(world.gateway.connected() == 1);
}

TEST_CASE("a client whose confirmation was delayed stays connected with the attempt that followed") {
  World world(options_of());
  std::vector<Sent> delayed;
  bool delays = true;
  world.filter = [&](const Sent& sent) {
    const bool packet = sent.to == kServerAddress &&
                        classify(std::to_integer<std::uint8_t>(sent.bytes[0])) == DatagramKind::kSession;
    if (!packet || !delays) return true;
    delayed.push_back(sent);
    return false;
  };
  const Handle own = world.connect(world.token(1));
  // The attempt without confirmation is discarded after a second.
  world.run(milliseconds(1'050));
  REQUIRE_FALSE(delayed.empty());
  delays = false;
  world.run(milliseconds(500));
  REQUIRE(world.client->endpoint.status(own, world.now)->connected);
  world.client->take_events();
  world.server->take_events();
  for (const Sent& sent : delayed) world.deliver(sent);
  world.run(seconds(3));
  CHECK(world.client->endpoint.status(own, world.now)->connected);
  CHECK(count_events(world.client->take_events(), EventKind::kDisconnect) == 0);
  CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 0);
  CHECK(world.server->count(Counter::peersReplaced) == 0);
}

TEST_CASE("attempts are ordered over 30 days, and where 32 bits of milliseconds begin again") {
  GatewayOptions gateway = options_of();
  gateway.max_token_lifetime = hours(24 * 60);
  World world(std::move(gateway));
  TokenParameters parameters = World::token_parameters(1);
  parameters.expire = kStartWall + hours(24 * 60);
  parameters.timeout = hours(1);
  parameters.addresses = std::span(&kServerAddress, 1);
  const auto token = world.mint(parameters);
  SUBCASE("a takeover after 30 days") {
    RoguePeer first(world, token, rogue_address(1), 1);
    first.connect();
    for (const Instant end = world.now + hours(24 * 30); world.now < end;) {
      world.now += minutes(30);
      first.send(Frames().ping(0));
      world.server->endpoint.advance(world.now);
      first.turn();
      first.forget();
    }
    REQUIRE(world.server->endpoint.connected() == 1);
    RoguePeer second(world, token, rogue_address(2), 2);
    second.connect();
    hear(world, {&first, &second});
    CHECK(code_for(first) == DisconnectCode::kReplaced);
    CHECK(world.gateway.connected() == 1);
  }
  SUBCASE("on both sides of the wrap") {
    world.now = Instant(milliseconds(std::int64_t{1} << 32U) - milliseconds(500));
    RoguePeer first(world, token, rogue_address(1), 1);
    first.deliver(first.request);
    first.turn();
    world.now += seconds(1);
    first.deliver(first.response);
    first.turn();
    REQUIRE(first.accepted);
    RoguePeer second(world, token, rogue_address(2), 2);
    second.connect();
    first.send(Frames().ping(0));
    hear(world, {&first, &second});
    CHECK(code_for(first) == DisconnectCode::kClientIdConnected);
    CHECK(code_for(second) == std::nullopt);
  }
}

TEST_CASE("a late confirmation never ends a netcode session that was challenged later") {
  NetcodeWorld world(options_of());
  RoguePeer late(world, world.World::token(7), rogue_address(1), 1);
  late.open();
  world.now += milliseconds(1);
  Rogue netcode(world, world.token(7), rogue_address(2));
  netcode.connect();
  REQUIRE(world.server->endpoint.connected() == 1);
  late.send(Frames().ping(0));
  hear(world, {&late});
  CHECK(code_for(late) == DisconnectCode::kClientIdConnected);
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.server->count(Counter::peersReplaced) == 0);
}

// ---- single-use tokens and places

void refused_then_connected(bool external, bool policy_reject) {
  CAPTURE(external);
  CAPTURE(policy_reject);
  GatewayOptions options = options_of(policy_reject ? SameClientPolicy::kReject : SameClientPolicy::kReplace);
  options.external_token_history = external;
  options.max_peers = 1;
  World world(std::move(options));
  const auto token = world.token(1, true);
  RoguePeer refused(world, token, rogue_address(1), 1);
  refused.open();
  RoguePeer other(world, world.token(policy_reject ? 1 : 2), rogue_address(2), 2);
  const Handle occupant = other.connect();
  refused.send(Frames().ping(0));
  hear(world, {&refused});
  CHECK(code_for(refused) ==
        (policy_reject ? DisconnectCode::kClientIdConnected : DisconnectCode::kServerFull));
  CHECK(asked_about(world).empty());
  REQUIRE(world.server->endpoint.disconnect(occupant, 0x10000, "", world.now));
  CHECK(world.gateway.places() == 0);
  world.server->take_events();
  world.now += milliseconds(1);
  RoguePeer again(world, token, rogue_address(3), 3);
  again.open();
  again.send(Frames().ping(0));
  if (external) {
    const auto asked = asked_about(world);
    REQUIRE(asked.size() == 1);
    answer(world, asked[0], ConsumeVerdict::kConsumed);
  }
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.gateway.connected() == 1);
}

TEST_CASE("a single-use token stays good when its session is refused for another reason") {
  for (const bool external : {false, true}) {
    for (const bool policy_reject : {false, true}) refused_then_connected(external, policy_reject);
  }
}

TEST_CASE("a reservation takes a place, and every end of the handshake gives it back") {
  World world(external_history(1));
  const auto token = world.token(1, true);
  RoguePeer other(world, world.token(2), rogue_address(2), 2);
  other.open();
  RoguePeer peer(world, token, rogue_address(1), 1);
  peer.open();
  peer.send(Frames().ping(0));
  const auto asked = asked_about(world);
  REQUIRE(asked.size() == 1);
  CHECK(world.gateway.places() == 1);
  CHECK(world.gateway.connected() == 0);
  std::optional<DisconnectCode> code;
  SUBCASE("while it lasts, no other client is let in") {
    other.send(Frames().ping(0));
    hear(world, {&other});
    CHECK(code_for(other) == DisconnectCode::kServerFull);
    RoguePeer third(world, world.token(3), rogue_address(3), 3);
    third.deliver(third.request);
    third.turn();
    CHECK_FALSE(third.challenged);
    CHECK(world.gateway.places() == 1);
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    CHECK(world.gateway.connected() == 1);
    CHECK(world.gateway.places() == 1);
    REQUIRE(world.server->endpoint.disconnect(asked[0], 0x10000, "", world.now));
  }
  SUBCASE("the token was used") {
    answer(world, asked[0], ConsumeVerdict::kAlreadyUsed);
    code = DisconnectCode::kTokenUsed;
  }
  SUBCASE("the history cannot be asked") {
    answer(world, asked[0], ConsumeVerdict::kHistoryFull);
    code = DisconnectCode::kHistoryUnavailable;
  }
  SUBCASE("a refusal while the user takes no events") {
    world.server->fill_events();
    answer(world, asked[0], ConsumeVerdict::kAlreadyUsed);
    CHECK(world.gateway.places() == 0);
    code = DisconnectCode::kTokenUsed;
  }
  SUBCASE("the history does not answer within the half-open lifetime") {
    world.now += seconds(5);
    world.server->endpoint.advance(world.now);
    code = DisconnectCode::kHistoryUnavailable;
  }
  SUBCASE("the client disconnects meanwhile") {
    peer.send(Frames().disconnect(0x10000));
    CHECK(world.gateway.places() == 1);
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 1);
  }
  SUBCASE("the endpoint stops") { world.server->endpoint.stop(0x10000, "", world.now); }
  SUBCASE("the endpoint is destroyed") { world.server.reset(); }
  SUBCASE("the gateway drains") {
    world.gateway.start_draining();
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    code = DisconnectCode::kShuttingDown;
  }
  CHECK(world.gateway.places() == 0);
  CHECK(world.gateway.connected() == 0);
  if (world.server) hear(world, {&peer});
  if (code) CHECK(code_for(peer) == code);
  if (world.server) answer(world, asked[0], ConsumeVerdict::kConsumed);
  CHECK(world.gateway.places() == 0);
}

TEST_CASE("a gateway that drains consumes no token") {
  World world(external_history());
  RoguePeer peer(world, world.token(1, true), rogue_address(1), 1);
  peer.open();
  world.gateway.start_draining();
  peer.send(Frames().ping(0));
  hear(world, {&peer});
  CHECK(code_for(peer) == DisconnectCode::kShuttingDown);
  CHECK(asked_about(world).empty());
  CHECK(world.gateway.places() == 0);
}

TEST_CASE("the old session of a client ends only after the new one's token was consumed") {
  // The only place is the old session's, and enough for both.
  World world(external_history(1));
  RoguePeer former(world, world.token(1), rogue_address(1), 1);
  former.connect();
  world.now += milliseconds(1);
  RoguePeer next(world, world.token(1, true), rogue_address(2), 2);
  next.open();
  next.send(Frames().ping(0));
  const auto asked = asked_about(world);
  REQUIRE(asked.size() == 1);
  hear(world, {&former});
  CHECK(code_for(former) == std::nullopt);
  SUBCASE("consumed") {
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    hear(world, {&former, &next});
    CHECK(code_for(former) == DisconnectCode::kReplaced);
  }
  SUBCASE("used") {
    answer(world, asked[0], ConsumeVerdict::kAlreadyUsed);
    hear(world, {&former, &next});
    CHECK(code_for(former) == std::nullopt);
    CHECK(code_for(next) == DisconnectCode::kTokenUsed);
  }
  SUBCASE("consumed after the old session has left") {
    former.send(Frames().disconnect(0x10000));
    CHECK(world.gateway.places() == 1);
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    CHECK(world.server->count(Counter::peersReplaced) == 0);
  }
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.gateway.places() == 1);
}

TEST_CASE("a newer attempt takes over the reservation, and with the same token the answer about it") {
  World world(external_history(1));
  const auto token = world.token(1, true);
  RoguePeer first(world, token, rogue_address(1), 1);
  first.open();
  first.send(Frames().ping(0));
  const auto asked = asked_about(world);
  REQUIRE(asked.size() == 1);
  world.now += seconds(1);
  SUBCASE("the same token is asked about once") {
    RoguePeer second(world, token, rogue_address(2), 2);
    second.open();
    second.send(Frames().ping(0));
    CHECK(asked_about(world).empty());
    CHECK(world.gateway.places() == 1);
    SUBCASE("and consumed for the newer attempt") {
      answer(world, asked[0], ConsumeVerdict::kConsumed);
      hear(world, {&first, &second});
      CHECK(code_for(first) == DisconnectCode::kClientIdConnected);
      CHECK(code_for(second) == std::nullopt);
      CHECK(world.server->endpoint.connected() == 1);
      // It was the newer one's first packet that waited.
      CHECK(second.count(FrameType::kPong) == 1);
    }
    SUBCASE("and refused to the newer attempt") {
      answer(world, asked[0], ConsumeVerdict::kAlreadyUsed);
      hear(world, {&first, &second});
      CHECK(code_for(second) == DisconnectCode::kTokenUsed);
      CHECK(world.gateway.places() == 0);
    }
    SUBCASE("and asked about again when the first attempt has expired") {
      world.now += milliseconds(4'500);
      world.server->endpoint.advance(world.now);
      RoguePeer third(world, token, rogue_address(3), 3);
      third.open();
      third.send(Frames().ping(0));
      const auto again = asked_about(world);
      REQUIRE(again.size() == 1);
      answer(world, again[0], ConsumeVerdict::kConsumed);
      hear(world, {&third});
      CHECK(code_for(third) == std::nullopt);
      CHECK(world.server->endpoint.connected() == 1);
    }
  }
  SUBCASE("another token is asked about for itself") {
    RoguePeer second(world, world.token(1, true, kStartWall + seconds(1)), rogue_address(2), 2);
    second.open();
    second.send(Frames().ping(0));
    const auto again = asked_about(world);
    REQUIRE(again.size() == 1);
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    hear(world, {&first, &second});
    CHECK(code_for(first) == DisconnectCode::kClientIdConnected);
    CHECK(world.server->endpoint.connected() == 0);
    answer(world, again[0], ConsumeVerdict::kConsumed);
    CHECK(world.server->endpoint.connected() == 1);
  }
  SUBCASE("an older attempt is refused") {
    RoguePeer second(world, world.token(1, true, kStartWall - kSkew), rogue_address(2), 2);
    second.deliver(second.request);
    second.turn();
    CHECK_FALSE(second.challenged);
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    hear(world, {&first});
    CHECK(code_for(first) == std::nullopt);
    CHECK(world.server->endpoint.connected() == 1);
  }
  CHECK(world.gateway.places() == world.server->endpoint.connected());
}

TEST_CASE("netcode: a reservation takes a place and a slot, and every end of the handshake gives both back") {
  NetcodeWorld world(external_history(1));
  Rogue rogue(world, world.token(7), rogue_address(1));
  rogue.connect();
  const auto asked = asked_about(world);
  REQUIRE(asked.size() == 1);
  CHECK(world.gateway.places() == 1);
  const auto connects = [&](std::uint64_t client_id, std::uint8_t number) {
    Rogue other(world, world.token(client_id), rogue_address(number));
    other.request();
    world.exchange();
    if (!other.last(netcode::PacketType::kChallenge)) return false;
    other.respond();
    for (const Handle handle : asked_about(world)) answer(world, handle, ConsumeVerdict::kConsumed);
    world.exchange();
    return other.last(netcode::PacketType::kKeepAlive).has_value();
  };
  CHECK_FALSE(connects(8, 2));
  SUBCASE("the token was used") { answer(world, asked[0], ConsumeVerdict::kAlreadyUsed); }
  SUBCASE("the history cannot be asked") { answer(world, asked[0], ConsumeVerdict::kHistoryFull); }
  SUBCASE("a refusal while the user takes no events") {
    world.server->fill_events();
    answer(world, asked[0], ConsumeVerdict::kAlreadyUsed);
    CHECK(world.gateway.places() == 0);
    world.server->take_events();
  }
  SUBCASE("the history does not answer") { world.run(seconds(6)); }
  SUBCASE("a later session of the client connects first") {
    world.World::connect(world.World::token(7));
    world.run(milliseconds(50));
    CHECK(world.server->endpoint.connected() == 1);
    answer(world, asked[0], ConsumeVerdict::kConsumed);
    CHECK(world.gateway.places() == 1);
    for (const Event& event : world.server->take_events()) {
      if (event.kind == EventKind::kConnect)
        REQUIRE(world.server->endpoint.disconnect(event.peer, 0x10000, "", world.now));
    }
  }
  CHECK(world.gateway.places() == 0);
  CHECK(connects(9, 3));
  CHECK(world.gateway.connected() == 1);
}

TEST_CASE("netcode: a client that is refused for want of a place connects with the same token later") {
  for (const bool external : {false, true}) {
    CAPTURE(external);
    GatewayOptions options = external_history(1);
    options.external_token_history = external;
    NetcodeWorld world(std::move(options));
    Rogue rogue(world, world.token(7), rogue_address(1));
    rogue.request();
    world.exchange();
    RoguePeer occupant(world, world.World::token(8), rogue_address(2), 2);
    const Handle handle = occupant.connect();
    rogue.respond();
    CHECK(rogue.last(netcode::PacketType::kDenied).has_value());
    CHECK(asked_about(world).empty());
    REQUIRE(world.server->endpoint.disconnect(handle, 0x10000, "", world.now));
    rogue.respond();
    for (const Handle asked : asked_about(world)) answer(world, asked, ConsumeVerdict::kConsumed);
    CHECK(world.server->endpoint.connected() == 1);
  }
}

// ---- random histories on several shards

constexpr std::uint32_t kShards = 3;
constexpr std::uint32_t kPlaces = 3;
constexpr std::uint64_t kClients = 5;

// The rules in their simplest form: one attempt is connected and one has a reservation for each client id.
class Model {
 public:
  struct Attempt {
    std::uint64_t client_id = 0;
    std::size_t token = 0;
    bool single_use = false;
    WallTime created{};
    Instant challenged{};
    Instant deadline{};
    std::size_t accepted = 0;  // order of acceptance
    enum class State : std::uint8_t { kHalfOpen, kConsuming, kConnected, kOver } state = State::kHalfOpen;
  };
  struct Client {
    std::optional<std::size_t> connected;
    std::optional<std::size_t> reserved;
    std::optional<std::size_t> asked;
  };

  explicit Model(bool external) : external_(external) {}

  [[nodiscard]] bool is_newer(std::size_t a, std::size_t b) const {
    const Attempt& first = attempts[a];
    const Attempt& second = attempts[b];
    const auto difference = first.created - second.created;
    if (difference >= kSkew || difference <= -kSkew) return difference > milliseconds(0);
    return std::pair(first.challenged, first.accepted) > std::pair(second.challenged, second.accepted);
  }
  [[nodiscard]] std::size_t places() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        clients, [](const auto& each) { return each.second.connected || each.second.reserved; }));
  }
  [[nodiscard]] std::size_t connected() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(clients, [](const auto& each) { return each.second.connected.has_value(); }));
  }
  // Whether the attempt, which may be the last of `attempts`, gets a place.
  [[nodiscard]] bool gets_place(std::size_t index) {
    Client& client = clients[attempts[index].client_id];
    if (client.connected && !is_newer(index, *client.connected)) return false;
    if (client.reserved && !is_newer(index, *client.reserved)) return false;
    return client.connected || client.reserved || places() < kPlaces;
  }

  // The first packet of an attempt. Says whether the history is asked.
  bool confirm(std::size_t index) {
    Attempt& attempt = attempts[index];
    if (!gets_place(index)) {
      end(index);
      return false;
    }
    Client& client = clients[attempt.client_id];
    const bool passes_on = client.reserved && client.asked && attempt.single_use &&
                           attempts[*client.reserved].token == attempt.token;
    client.reserved = index;
    attempt.state = Attempt::State::kConsuming;
    if (passes_on) return false;
    client.asked = attempt.single_use ? std::optional(index) : std::nullopt;
    if (attempt.single_use && external_) return true;
    settle(index, !attempt.single_use || consumed.insert(attempt.token).second);
    return false;
  }
  // The history's answer to the attempt that asked.
  void answer(std::size_t index, bool accepted) {
    Attempt& attempt = attempts[index];
    if (attempt.state != Attempt::State::kConsuming) return;
    Client& client = clients[attempt.client_id];
    if (client.reserved == index) return settle(index, accepted);
    const bool passes_on = client.asked == index;
    end(index);
    if (passes_on) settle(*client.reserved, accepted);
  }
  void end(std::size_t index) {
    attempts[index].state = Attempt::State::kOver;
    Client& client = clients[attempts[index].client_id];
    if (client.connected == index) client.connected.reset();
    if (client.asked == index) client.asked.reset();
    if (client.reserved == index) client.reserved.reset();
  }
  void expire(Instant now) {
    for (std::size_t i = 0; i < attempts.size(); ++i) {
      if (attempts[i].state < Attempt::State::kConnected && attempts[i].deadline <= now) end(i);
    }
  }

  std::vector<Attempt> attempts;
  std::map<std::uint64_t, Client> clients;
  std::set<std::size_t> consumed;

 private:
  void settle(std::size_t index, bool accepted) {
    if (!accepted) return end(index);
    Client& client = clients[attempts[index].client_id];
    client.reserved.reset();
    client.asked.reset();
    if (client.connected) {
      REQUIRE(is_newer(index, *client.connected));
      end(*client.connected);
    }
    client.connected = index;
    attempts[index].state = Attempt::State::kConnected;
  }

  bool external_;
};

// Shards of one gateway, of which the world's server is the one in use.
class Shards : public World {
 public:
  explicit Shards(bool external, std::uint64_t seed)
      : World(gateway_of(external), options(0), seed), external_(external), random_(seed), model(external) {
    nodes_.resize(kShards);
    for (std::uint32_t shard = 1; shard < kShards; ++shard)
      nodes_[shard] = std::make_unique<Node>(options(shard), &gateway, seed + 10 + shard, kServerAddress);
    for (std::size_t i = 0; i < 3 * kClients; ++i) {
      const bool single_use = i % 3 != 0;
      const WallTime created = kStartWall - seconds(random_.below(100));
      const std::uint64_t client_id = 1 + i % kClients;
      tokens_.push_back({client_id, single_use, created, token(client_id, created, single_use)});
    }
  }

  void step() {
    switch (random_.below(10)) {
      case 0:
      case 1:
      case 2:
        return begin();
      case 3:
      case 4:
      case 5:
        return confirm();
      case 6:
      case 7:
        return external_ ? answer() : confirm();
      case 8:
        return leave();
      default:
        return pass_time();
    }
  }

  // Compares the gateway with the model, once each shard had its turn.
  void check() {
    for (int round = 0; round < 3; ++round) {
      for (std::uint32_t shard = 0; shard < kShards; ++shard) {
        use(shard);
        server->endpoint.advance(now);
        sent_by(*server, now);
        take();
      }
    }
    CHECK(gateway.places() <= kPlaces);
    CHECK(gateway.places() == model.places());
    CHECK(gateway.connected() == model.connected());
    std::size_t connected = 0;
    for (std::size_t i = 0; i < model.attempts.size(); ++i) {
      CAPTURE(i);
      const bool is_connected = model.attempts[i].state == Model::Attempt::State::kConnected;
      connected += is_connected ? 1 : 0;
      CHECK(sessions_[i].connected == is_connected);
    }
    CHECK(connected == gateway.connected());
  }
  void finish() {
    for (std::size_t i = 0; i < model.attempts.size(); ++i) model.end(i);
    for (std::uint32_t shard = 0; shard < kShards; ++shard) {
      use(shard);
      server->endpoint.stop(0x10000, "", now);
    }
    check();
    CHECK(gateway.places() == 0);
  }

 private:
  struct Token {
    std::uint64_t client_id;
    bool single_use;
    WallTime created;
    std::vector<std::byte> bytes;
  };
  struct Session {
    std::unique_ptr<RoguePeer> peer;
    std::uint32_t shard = 0;
    std::optional<Handle> handle;  // once the gateway has told it
    bool connected = false;
  };
  struct Question {
    std::size_t attempt;
    Handle handle;
  };

  static GatewayOptions gateway_of(bool external) {
    GatewayOptions options = external_history(kPlaces);
    options.external_token_history = external;
    return options;
  }
  static EndpointOptions options(std::uint32_t shard) {
    EndpointOptions options;
    options.mode = Mode::kServer;
    options.shard = shard;
    options.shards = kShards;
    return options;
  }
  std::vector<std::byte> token(std::uint64_t client_id, WallTime created, bool single_use) {
    TokenParameters parameters = token_parameters(client_id);
    parameters.single_use = single_use;
    parameters.create = created;
    parameters.expire = created + hours(20);
    parameters.timeout = hours(1);
    parameters.addresses = std::span(&kServerAddress, 1);
    return mint(parameters);
  }

  void use(std::uint32_t shard) {
    std::swap(server, nodes_[current_]);
    current_ = shard;
    std::swap(server, nodes_[current_]);
  }

  // Events of the shard in use, each of which belongs to the attempt `current`, unless it ends one.
  void take(std::optional<std::size_t> confirming = std::nullopt) {
    for (const Event& event : server->take_events()) {
      if (event.kind == EventKind::kConsume) {
        REQUIRE(confirming.has_value());
        sessions_[*confirming].handle = event.peer;
        questions_.push_back({*confirming, event.peer});
        ++asked_;
      } else if (event.kind == EventKind::kConnect) {
        const std::size_t index = confirming && !find(event.peer) ? *confirming : attempt_of(event);
        sessions_[index].handle = event.peer;
        sessions_[index].connected = true;
      } else if (event.kind == EventKind::kDisconnect) {
        const auto index = find(event.peer);
        REQUIRE(index.has_value());
        sessions_[*index].connected = false;
      }
    }
  }
  std::optional<std::size_t> find(Handle handle) const {
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      if (sessions_[i].shard == current_ && sessions_[i].handle == handle) return i;
    }
    return std::nullopt;
  }
  // The attempt that connects with an event: its address says which.
  std::size_t attempt_of(const Event& event) const {
    const auto remote = read_address_record(
        std::span(event.bytes).subspan<ConnectRecordLayout::kRemote, kAddressRecordSize>());
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      if (sessions_[i].peer->address == remote) return i;
    }
    FAIL("an unknown session connects");
    return 0;
  }

  void begin() {
    if (sessions_.size() == 250) return;
    const std::size_t number = random_.below(static_cast<std::uint32_t>(tokens_.size()));
    const Token& token = tokens_[number];
    Session session;
    session.shard = random_.below(kShards);
    use(session.shard);
    const SocketAddress address =
        SocketAddress::ipv4({10, 0, 3, static_cast<std::uint8_t>(sessions_.size())}, 7000);
    session.peer = std::make_unique<RoguePeer>(*this, token.bytes, address, sessions_.size() + 1);
    RoguePeer& peer = *session.peer;
    model.attempts.push_back(
        {token.client_id, number, token.single_use, token.created, now, kNever, SIZE_MAX});
    const bool expected = model.gets_place(model.attempts.size() - 1) &&
                          !(token.single_use && !external_ && model.consumed.contains(number));
    peer.deliver(peer.request);
    peer.turn();
    CHECK(peer.challenged == expected);
    if (peer.challenged) {
      // The RESPONSE may be on its way for a while.
      if (random_.below(4) == 0) pass_time();
      use(session.shard);
      peer.deliver(peer.response);
      peer.turn();
    }
    Model::Attempt& attempt = model.attempts.back();
    if (!peer.accepted) {
      model.attempts.pop_back();
      return;
    }
    attempt.accepted = sessions_.size();
    attempt.deadline = now + seconds(5);
    sessions_.push_back(std::move(session));
  }

  void confirm() {
    std::vector<std::size_t> candidates;
    for (std::size_t i = 0; i < model.attempts.size(); ++i) {
      if (model.attempts[i].state == Model::Attempt::State::kHalfOpen) candidates.push_back(i);
    }
    if (candidates.empty()) return;
    const std::size_t index = candidates[random_.below(static_cast<std::uint32_t>(candidates.size()))];
    use(sessions_[index].shard);
    const std::size_t asked = asked_;
    const bool asks = model.confirm(index);
    sessions_[index].peer->send(Frames().ping(0));
    take(index);
    CHECK(asked_ - asked == (asks ? 1 : 0));
  }

  void answer() {
    if (questions_.empty()) return;
    const auto at = random_.below(static_cast<std::uint32_t>(questions_.size()));
    const Question question = questions_[at];
    questions_.erase(questions_.begin() + at);
    const std::size_t token = model.attempts[question.attempt].token;
    ConsumeVerdict verdict = ConsumeVerdict::kHistoryFull;
    if (random_.below(5) != 0) {
      verdict =
          model.consumed.insert(token).second ? ConsumeVerdict::kConsumed : ConsumeVerdict::kAlreadyUsed;
    }
    use(sessions_[question.attempt].shard);
    model.answer(question.attempt, verdict == ConsumeVerdict::kConsumed);
    test::answer(*this, question.handle, verdict);
    take(question.attempt);
  }

  void leave() {
    for (std::size_t i = 0; i < sessions_.size(); ++i) {
      if (!sessions_[i].connected || random_.below(2) == 0) continue;
      use(sessions_[i].shard);
      model.end(i);
      sessions_[i].peer->send(Frames().disconnect(0x10000));
      take();
      return;
    }
  }

  void pass_time() {
    now += milliseconds(random_.below(3'000));
    model.expire(now);
    for (std::uint32_t shard = 0; shard < kShards; ++shard) {
      use(shard);
      server->endpoint.advance(now);
      take();
    }
  }

  bool external_;
  SeededRandom random_;
  std::vector<std::unique_ptr<Node>> nodes_;  // null: the one in use
  std::uint32_t current_ = 0;
  std::vector<Token> tokens_;
  std::vector<Session> sessions_;  // of each attempt that was accepted
  std::vector<Question> questions_;
  std::size_t asked_ = 0;

 public:
  Model model;
};

TEST_CASE("whatever attempts, answers and timeouts come, places and client ids are as the rules say") {
  for (const bool external : {false, true}) {
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      CAPTURE(external);
      CAPTURE(seed);
      Shards shards(external, seed);
      for (int i = 0; i < 250; ++i) {
        CAPTURE(i);
        shards.step();
        shards.check();
      }
      shards.finish();
    }
  }
}

}  // namespace
}  // namespace hawser::test
