// The client's side of the handshake (docs/protocol.md section 7): timing, failover, refusals, results.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "rogue_peer.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const SocketAddress kNowhere = SocketAddress::ipv4({10, 0, 0, 98}, 4000);
const SocketAddress kNowhereElse = SocketAddress::ipv4({10, 0, 0, 99}, 4000);

std::uint8_t kind_of(const Sent& sent) { return std::to_integer<std::uint8_t>(sent.bytes[0]); }

struct Timed {
  Instant at;
  Sent sent;
};

// Keeps what of a kind the client sends, and drops what `drop` says.
std::vector<Timed> record(World& world, std::uint8_t kind, Duration duration,
                          const std::function<bool(const Sent&)>& drop) {
  std::vector<Timed> found;
  world.filter = [&](const Sent& sent) {
    if (sent.from == kClientAddress && kind_of(sent) == kind) found.push_back({world.now, sent});
    return !drop(sent);
  };
  world.run(duration, milliseconds(1));
  world.filter = nullptr;
  return found;
}

ConnectResult failed_with(World& world) {
  const auto events = world.client->take_events();
  REQUIRE(count_events(events, EventKind::kConnectFailed) == 1);
  CHECK(count_events(events, EventKind::kConnect) == 0);
  CHECK(world.client->endpoint.sessions() == 0);
  return static_cast<ConnectResult>(find_event(events, EventKind::kConnectFailed)->argument);
}

}  // namespace

TEST_CASE(
    "client: REQUEST and RESPONSE go out at 10 Hz with 10 % jitter, each attempt's byte for byte the same") {
  World world;
  std::uint8_t kind = 0;
  std::uint8_t unanswered = 0;
  SUBCASE("REQUEST") {
    kind = kRequestByte;
    unanswered = kChallengeByte;
  }
  SUBCASE("RESPONSE") {
    kind = kResponseByte;
    unanswered = kAcceptByte;
  }
  world.connect(world.token(1));
  const auto sent =
      record(world, kind, milliseconds(995), [&](const Sent& s) { return kind_of(s) == unanswered; });
  REQUIRE(sent.size() >= 9);
  std::set<Duration> intervals;
  for (std::size_t i = 1; i < sent.size(); ++i) {
    const Duration interval = sent[i].at - sent[i - 1].at;
    CHECK(interval >= milliseconds(90));
    CHECK(interval <= milliseconds(111));  // a tick late at most
    intervals.insert(interval);
    CHECK(sent[i].sent.bytes == sent[0].sent.bytes);
  }
  CHECK(intervals.size() > 3);
}

TEST_CASE("client: the first CHALLENGE wins, further ones are ignored") {
  World world;
  world.connect(world.token(1, false, kStartWall, {kServerAddress, kSecondServerAddress}));
  Sent request;
  const auto responses = record(world, kResponseByte, milliseconds(500), [&](const Sent& sent) {
    if (kind_of(sent) == kRequestByte) request = sent;
    if (kind_of(sent) == kResponseByte && world.log.size() < 20) {
      // The same REQUEST reaches the gateway once more, at its other address: another CHALLENGE.
      request.to = kSecondServerAddress;
      world.deliver(request);
    }
    return kind_of(sent) == kAcceptByte;
  });
  const auto challenges = std::count_if(world.log.begin(), world.log.end(),
                                        [](const Sent& sent) { return kind_of(sent) == kChallengeByte; });
  CHECK(challenges >= 2);
  REQUIRE(responses.size() >= 4);
  for (const Timed& response : responses) {
    CHECK(response.sent.bytes == responses[0].sent.bytes);
    CHECK(response.sent.to == kServerAddress);
  }
  CHECK(world.client->count(Counter::dropUnexpected) + world.client->count(Counter::dropAuthentication) >= 1);
}

TEST_CASE("client: the next address joins after 300 ms, until all take part") {
  World world;
  world.connect(world.token(1, false, kStartWall, {kNowhere, kNowhereElse, kServerAddress}));
  const auto sent = record(world, kRequestByte, milliseconds(900),
                           [](const Sent& s) { return kind_of(s) == kChallengeByte; });
  const auto first_to = [&](const SocketAddress& address) {
    const auto found =
        std::find_if(sent.begin(), sent.end(), [&](const Timed& t) { return t.sent.to == address; });
    REQUIRE(found != sent.end());
    return found->at - kStart;
  };
  CHECK(first_to(kNowhere) <= milliseconds(1));
  CHECK(first_to(kNowhereElse) >= milliseconds(300));
  CHECK(first_to(kNowhereElse) <= milliseconds(302));
  CHECK(first_to(kServerAddress) >= milliseconds(600));
  CHECK(first_to(kServerAddress) <= milliseconds(603));
}

TEST_CASE("client: an attempt without ACCEPT starts anew after max(1 s, 3 RTT) at most 5 s") {
  World world;
  Duration delay{};
  Duration expected{};
  std::vector<SocketAddress> addresses{kServerAddress};
  SUBCASE("near") { expected = seconds(1); }
  SUBCASE("far") {
    delay = milliseconds(600);
    expected = milliseconds(1'800);
  }
  SUBCASE("very far") {
    delay = milliseconds(2'500);
    expected = seconds(5);
  }
  SUBCASE("near, but the last to be asked") {
    addresses = {kNowhere, kNowhereElse, kServerAddress};
    expected = seconds(1);
  }
  world.connect(world.token(1, false, kStartWall, addresses));
  std::vector<std::byte> share;
  Instant challenged{};
  Instant anew{};
  record(world, kRequestByte, seconds(9), [&](const Sent& sent) {
    if (kind_of(sent) == kRequestByte) {
      const std::vector<std::byte> now_share(sent.bytes.begin() + 1041, sent.bytes.begin() + 1073);
      if (!share.empty() && now_share != share && anew == Instant()) anew = world.now;
      share = now_share;
    }
    if (kind_of(sent) == kChallengeByte) {
      if (world.now - kStart < delay) return true;
      if (challenged == Instant()) challenged = world.now;
    }
    return kind_of(sent) == kAcceptByte;
  });
  REQUIRE(challenged != Instant());
  REQUIRE(anew != Instant());
  const Duration passed = anew - challenged;
  CHECK(passed >= expected - milliseconds(5));
  // A CHALLENGE that is held back comes with the REQUEST after that, up to 110 ms later.
  CHECK(passed <= expected + (delay > Duration() ? 3 * milliseconds(110) : milliseconds(5)));
}

TEST_CASE("client: an attempt that failed at an address is followed by one that begins with the next") {
  World world;
  world.connect(world.token(1, false, kStartWall, {kNowhere, kServerAddress, kSecondServerAddress}));
  // The first gateway address to answer never accepts.
  world.filter = [](const Sent& sent) { return kind_of(sent) != kAcceptByte || sent.from != kServerAddress; };
  world.run(milliseconds(1'450));
  CHECK(world.client->endpoint.connected() == 1);
}

TEST_CASE("client: the results of an attempt") {
  World world;
  SUBCASE("timed out") {
    world.connect(world.token(1, false, kStartWall, {kNowhere}), seconds(3));
    world.run(milliseconds(2'990));
    CHECK(world.client->endpoint.sessions() == 1);
    world.run(milliseconds(20));
    CHECK(failed_with(world) == ConnectResult::kTimedOut);
  }
  SUBCASE("the token's lifetime passed") {
    TokenParameters parameters = World::token_parameters(1);
    const std::array addresses{kNowhere};
    parameters.addresses = addresses;
    parameters.expire = parameters.create + seconds(2);
    world.connect(world.mint(parameters));
    world.run(milliseconds(1'990));
    CHECK(world.client->endpoint.sessions() == 1);
    world.run(milliseconds(20));
    CHECK(failed_with(world) == ConnectResult::kTokenExpired);
  }
  SUBCASE("denied by one, silence from the other") {
    world.gateway.start_draining();
    world.connect(world.token(1, false, kStartWall, {kServerAddress, kNowhere}), seconds(2));
    world.run(milliseconds(2'010));
    CHECK(failed_with(world) == ConnectResult::kDenied);
  }
  SUBCASE("denied by all") {
    world.gateway.start_draining();
    world.connect(world.token(1, false, kStartWall, {kServerAddress, kSecondServerAddress}));
    world.run(milliseconds(50));
    CHECK(world.server->count(Counter::deniedSent) == 2);
    CHECK(failed_with(world) == ConnectResult::kDenied);
  }
  SUBCASE("aborted") {
    const Handle own = world.connect(world.token(1, false, kStartWall, {kNowhere}));
    world.client->endpoint.abort(own, world.now);
    world.client->endpoint.abort(own, world.now);
    world.run(milliseconds(20));
    CHECK(failed_with(world) == ConnectResult::kAborted);
  }
}

TEST_CASE("client: another protocol id or a cut token is refused at once") {
  World world;
  const auto token = world.token(1);
  const auto other = world.client->endpoint.connect({kProtocolId + 1, token, {}, seconds(1)}, world.now);
  REQUIRE_FALSE(other.has_value());
  CHECK(other.error() == ConnectResult::kTokenInvalid);
  const auto cut =
      world.client->endpoint.connect({kProtocolId, Bytes(token).first(1'100), {}, seconds(1)}, world.now);
  REQUIRE_FALSE(cut.has_value());
  CHECK(cut.error() == ConnectResult::kTokenInvalid);
}

TEST_CASE("client: an aborted attempt does not connect, whatever arrives before that is told") {
  World world;
  const Handle own = world.connect(world.token(1));
  std::uint8_t last = 0;
  SUBCASE("CHALLENGE") { last = kChallengeByte; }
  SUBCASE("ACCEPT") { last = kAcceptByte; }
  SUBCASE("the first packet") { last = kSessionByte; }
  Sent held;
  world.filter = [&](const Sent& sent) {
    if (sent.from != kServerAddress || kind_of(sent) != last) return true;
    held = sent;
    return false;
  };
  for (int i = 0; i < 4; ++i) world.exchange();
  REQUIRE_FALSE(held.bytes.empty());
  world.client->endpoint.abort(own, world.now);
  world.deliver(held);
  world.run(milliseconds(5), milliseconds(1));
  CHECK(failed_with(world) == ConnectResult::kAborted);
}

TEST_CASE("client: a user of the gateway who disconnects at once is heard with his code and reason") {
  World world;
  const Handle own = world.connect(world.token(1));
  bool disconnected = false;
  world.filter = [&](const Sent& sent) {
    // The DISCONNECT is the first that the client hears.
    if (disconnected || sent.from != kClientAddress || kind_of(sent) != kSessionByte) return true;
    world.deliver(sent);
    const auto events = world.server->take_events();
    const Event* connect = find_event(events, EventKind::kConnect);
    REQUIRE(connect != nullptr);
    disconnected =
        world.server->endpoint.disconnect(connect->peer, 0x10042, "go away", world.now, seconds(7));
    return false;
  };
  for (int i = 0; i < 6; ++i) world.exchange();
  CHECK(disconnected);
  const auto events = world.client->take_events();
  CHECK(count_events(events, EventKind::kConnectFailed) == 0);
  REQUIRE(count_events(events, EventKind::kConnect) == 1);
  REQUIRE(count_events(events, EventKind::kDisconnect) == 1);
  const Event* told = find_event(events, EventKind::kDisconnect);
  CHECK(told->peer == own);
  CHECK(code_of(*told) == 0x10042);
  CHECK(reconnect_spread_of(*told) == seconds(7));
  CHECK(std::memcmp(told->bytes.data() + kDisconnectRecordSize, "go away", 7) == 0);
}

TEST_CASE("client: refused at the end of the handshake, it goes on with the addresses that are left") {
  GatewayOptions options = gateway_options();
  options.max_peers = 1;
  World world(std::move(options));
  world.connect(world.token(1, false, kStartWall, {kServerAddress, kSecondServerAddress}));
  world.filter = [](const Sent& sent) {
    return sent.from != kClientAddress || kind_of(sent) != kSessionByte;
  };
  for (int i = 0; i < 4; ++i) world.exchange();
  // Another takes the only place meanwhile.
  RoguePeer rival(world, world.token(2), rogue_address(1), 1);
  rival.connect();
  world.filter = nullptr;
  bool rival_gone = false;
  SUBCASE("which has a place by then") {
    world.filter = [&](const Sent& sent) {
      if (sent.from == kServerAddress && sent.to == kClientAddress && !rival_gone) {
        rival.send(Frames().disconnect(0));
        rival_gone = true;
      }
      return true;
    };
    world.run(milliseconds(300));
    CHECK(rival_gone);
    CHECK(count_events(world.client->take_events(), EventKind::kConnect) == 1);
    CHECK(world.server->count(Counter::handshakesCompleted) == 2);
  }
  SUBCASE("which are full too") {
    world.run(milliseconds(300));
    CHECK(world.server->count(Counter::deniedSent) >= 1);
    const auto events = world.client->take_events();
    REQUIRE(count_events(events, EventKind::kConnectFailed) == 1);
    const Event* failed = find_event(events, EventKind::kConnectFailed);
    CHECK(failed->argument == static_cast<std::uint32_t>(ConnectResult::kDenied));
    CHECK(code_of(*failed) == static_cast<std::uint32_t>(DeniedReason::kServerFull));
  }
}

TEST_CASE(
    "client: the last address refuses with DISCONNECT: denied once, and the DISCONNECT is acknowledged") {
  GatewayOptions options = gateway_options();
  options.max_peers = 1;
  World world(std::move(options));
  world.connect(world.token(1));
  world.filter = [](const Sent& sent) {
    return sent.from != kClientAddress || kind_of(sent) != kSessionByte;
  };
  for (int i = 0; i < 4; ++i) world.exchange();
  RoguePeer rival(world, world.token(2), rogue_address(1), 1);
  rival.connect();
  world.filter = nullptr;
  world.run(milliseconds(400));
  CHECK(world.server->endpoint.sessions() == 1);
  world.run(seconds(2));
  CHECK(failed_with(world) == ConnectResult::kDenied);
}
