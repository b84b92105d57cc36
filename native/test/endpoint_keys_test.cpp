// Key update (docs/protocol.md section 13) as an endpoint does it, and against peers that hold the keys and
// break its rules.
#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <tuple>
#include <utility>

#include "rogue_peer.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

InjectedSecret test_secret(std::uint8_t fill) {
  InjectedSecret secret{{}, test_key(fill)};
  secret.id = default_secret_id(secret.key.bytes());
  return secret;
}

// A gateway and a client that have run for long enough to know their round trip.
struct Connection {
  explicit Connection(EndpointOptions options = {}) : world(gateway_options(), options) {
    std::tie(client, server) = world.connected();
    world.run(seconds(2));
    CHECK(find_event(world.client->take_events(), EventKind::kKeyUpdated) == nullptr);
    world.server->take_events();
  }

  KeyUpdateStart begin(bool by_server, const InjectedSecret* secret = nullptr) {
    Node& node = by_server ? *world.server : *world.client;
    return node.endpoint.update_keys(by_server ? server : client, secret, world.now);
  }
  [[nodiscard]] std::uint32_t epoch(bool of_server) {
    Node& node = of_server ? *world.server : *world.client;
    return node.endpoint.status(of_server ? server : client, world.now)->key_epoch;
  }
  // Messages pass both ways, and nothing was undeliverable.
  void check_alive() {
    REQUIRE(world.client->endpoint.send(client, 0, bytes_of("up"), {}, world.now) == SendStatus::kSent);
    REQUIRE(world.server->endpoint.send(server, 0, bytes_of("down"), {}, world.now) == SendStatus::kSent);
    world.exchange();
    world.exchange();
    CHECK(count_events(world.client->take_events(), EventKind::kMessage) == 1);
    CHECK(count_events(world.server->take_events(), EventKind::kMessage) == 1);
    for (const Node* node : {world.client.get(), world.server.get()}) {
      CHECK(node->count(Counter::dropAuthentication) == 0);
      CHECK(node->count(Counter::dropUnknownEpoch) == 0);
    }
  }

  World world;
  Handle client;
  Handle server;
};

std::uint32_t epoch_told(const std::vector<Event>& events) {
  const Event* event = find_event(events, EventKind::kKeyUpdated);
  return event != nullptr ? load_little_endian<std::uint32_t>(event->bytes.data()) : 0;
}

// The secret that was mixed in, and whether the other side began the update.
std::optional<std::pair<SecretId, bool>> mixed_in_told(const std::vector<Event>& events) {
  const Event* event = find_event(events, EventKind::kKeyUpdated);
  if (event == nullptr || event->bytes.size() != 4 + SecretId{}.size()) return std::nullopt;
  SecretId id{};
  std::copy(event->bytes.begin() + 4, event->bytes.end(), id.begin());
  return std::pair(id, event->argument == 1);
}

std::optional<std::uint32_t> refusal_told(const std::vector<Event>& events) {
  const Event* event = find_event(events, EventKind::kKeyUpdateRefused);
  return event != nullptr ? std::optional(event->argument) : std::nullopt;
}

}  // namespace

TEST_CASE("keys are updated on request of either side, again and again, while traffic goes on") {
  Connection c;
  for (std::uint32_t epoch = 1; epoch <= 9; ++epoch) {
    const bool by_server = epoch % 2 == 0;
    REQUIRE(c.begin(by_server) == KeyUpdateStart::kBegun);
    CHECK(c.begin(by_server) == KeyUpdateStart::kBusy);
    for (int i = 0; i < 10; ++i) {
      REQUIRE(c.world.client->endpoint.send(c.client, 0, bytes_of("up"), {}, c.world.now) ==
              SendStatus::kSent);
      REQUIRE(c.world.server->endpoint.send(c.server, 0, bytes_of("down"), {}, c.world.now) ==
              SendStatus::kSent);
      c.world.run(milliseconds(10));
    }
    const auto told_client = c.world.client->take_events();
    const auto told_server = c.world.server->take_events();
    CHECK(epoch_told(told_client) == epoch);
    CHECK(epoch_told(told_server) == epoch);
    CHECK(count_events(told_client, EventKind::kKeyUpdated) == 1);
    CHECK(count_events(told_server, EventKind::kKeyUpdated) == 1);
    CHECK(count_events(told_client, EventKind::kMessage) == 10);
    CHECK(count_events(told_server, EventKind::kMessage) == 10);
    CHECK(c.epoch(false) == epoch);
    CHECK(c.epoch(true) == epoch);
    // 1011 ee00, from both.
    const auto first = static_cast<unsigned>(0xb0U | (epoch & 3U) << 2U);
    for (const auto& sent : {c.world.log.back(), c.world.log[c.world.log.size() - 2]})
      CHECK(std::to_integer<unsigned>(sent.bytes[0]) == first);
    c.world.run(milliseconds(500));
  }
  c.check_alive();
  CHECK(c.world.server->count(Counter::keyUpdates) == 9);
}

TEST_CASE("a key update keeps what exportKey gives") {
  Connection c;
  const auto before = c.world.client->endpoint.export_key(c.client, "test");
  REQUIRE(c.begin(false) == KeyUpdateStart::kBegun);
  c.world.run(seconds(1));
  REQUIRE(c.epoch(true) == 1);
  const auto after = c.world.client->endpoint.export_key(c.client, "test");
  const auto other = c.world.server->endpoint.export_key(c.server, "test");
  REQUIRE((before && after && other));
  CHECK(std::ranges::equal(before->bytes(), after->bytes()));
  CHECK(std::ranges::equal(before->bytes(), other->bytes()));
}

TEST_CASE("update_keys: when it cannot be done") {
  Connection c;
  const InjectedSecret nameless{kNoSecretId, test_key(3)};
  CHECK(c.begin(false, &nameless) == KeyUpdateStart::kInvalidSecret);
  CHECK(c.world.client->endpoint.update_keys(Handle{}, nullptr, c.world.now) ==
        KeyUpdateStart::kNotConnected);
  REQUIRE(c.world.client->endpoint.disconnect(c.client, 0, "", c.world.now));
  CHECK(c.begin(false) == KeyUpdateStart::kNotConnected);
}

TEST_CASE("a secret is asked for by its id and mixed in") {
  Connection c;
  const InjectedSecret secret = test_secret(5);
  bool by_server = false;
  SUBCASE("of the client's") {}
  SUBCASE("of the server's") { by_server = true; }
  REQUIRE(c.begin(by_server, &secret) == KeyUpdateStart::kBegun);
  c.world.run(milliseconds(100));
  Node& responder = by_server ? *c.world.client : *c.world.server;
  const Handle peer = by_server ? c.client : c.server;
  const auto events = responder.take_events();
  const Event* wanted = find_event(events, EventKind::kSecretWanted);
  REQUIRE(wanted != nullptr);
  CHECK(std::ranges::equal(wanted->bytes, secret.id));
  CHECK(c.epoch(true) == 0);
  responder.endpoint.provide_secret(peer, secret.id, Key(secret.key.bytes()), c.world.now);
  c.world.run(milliseconds(100));
  CHECK(c.epoch(true) == 1);
  CHECK(c.epoch(false) == 1);
  Node& initiator = by_server ? *c.world.server : *c.world.client;
  CHECK(mixed_in_told(initiator.take_events()) == std::pair(secret.id, false));
  CHECK(mixed_in_told(responder.take_events()) == std::pair(secret.id, true));
  c.check_alive();
}

TEST_CASE("of a secret that was refused nothing is told by the update after it") {
  Connection c;
  const InjectedSecret secret = test_secret(5);
  REQUIRE(c.begin(false, &secret) == KeyUpdateStart::kBegun);
  c.world.run(milliseconds(100));
  c.world.server->endpoint.provide_secret(c.server, secret.id, test_key(6), c.world.now);
  c.world.run(milliseconds(100));
  c.world.server->take_events();
  c.world.client->take_events();
  REQUIRE(c.begin(false) == KeyUpdateStart::kBegun);
  c.world.run(milliseconds(100));
  CHECK(mixed_in_told(c.world.client->take_events()) == std::pair(kNoSecretId, false));
  CHECK(mixed_in_told(c.world.server->take_events()) == std::pair(kNoSecretId, true));
}

TEST_CASE("a secret that the other side has not, has otherwise, or does not find: told, and all goes on") {
  Connection c;
  const InjectedSecret secret = test_secret(5);
  REQUIRE(c.begin(false, &secret) == KeyUpdateStart::kBegun);
  c.world.run(milliseconds(100));
  CHECK(find_event(c.world.server->take_events(), EventKind::kSecretWanted) != nullptr);
  KeyUpdateRefusal reason{};
  SUBCASE("not") {
    c.world.server->endpoint.provide_secret(c.server, secret.id, std::nullopt, c.world.now);
    reason = KeyUpdateRefusal::kUnknownSecret;
  }
  SUBCASE("otherwise") {
    c.world.server->endpoint.provide_secret(c.server, secret.id, test_key(6), c.world.now);
    reason = KeyUpdateRefusal::kDifferentSecret;
  }
  SUBCASE("no answer for 5 s") {
    c.world.run(milliseconds(4'800));
    CHECK_FALSE(refusal_told(c.world.client->take_events()));
    c.world.run(milliseconds(200));
    reason = KeyUpdateRefusal::kUnavailable;
  }
  c.world.run(milliseconds(100));
  CHECK(refusal_told(c.world.client->take_events()) == static_cast<std::uint32_t>(reason));
  CHECK(c.world.client->count(Counter::keyUpdatesRefused) == 1);
  CHECK(c.epoch(false) == 0);
  CHECK(c.epoch(true) == 0);
  // Too late, and ignored.
  c.world.server->endpoint.provide_secret(c.server, secret.id, Key(secret.key.bytes()), c.world.now);
  c.world.run(milliseconds(100));
  CHECK(c.epoch(true) == 0);
  c.world.server->take_events();
  c.check_alive();
  // The next try does it.
  REQUIRE(c.begin(false, &secret) == KeyUpdateStart::kBegun);
  c.world.run(milliseconds(100));
  c.world.server->endpoint.provide_secret(c.server, secret.id, Key(secret.key.bytes()), c.world.now);
  c.world.run(milliseconds(100));
  CHECK(c.epoch(false) == 1);
  CHECK(c.epoch(true) == 1);
}

TEST_CASE("of two updates that cross the server's is done, and a client's secret is told as unused") {
  Connection c;
  const InjectedSecret secret = test_secret(5);
  REQUIRE(c.begin(false, &secret) == KeyUpdateStart::kBegun);
  REQUIRE(c.begin(true) == KeyUpdateStart::kBegun);
  c.world.run(milliseconds(100));
  const auto told = c.world.client->take_events();
  CHECK(refusal_told(told) == kKeyUpdateSuperseded);
  CHECK(epoch_told(told) == 1);
  const auto told_server = c.world.server->take_events();
  CHECK(epoch_told(told_server) == 1);
  CHECK(find_event(told_server, EventKind::kSecretWanted) == nullptr);
  c.check_alive();
}

TEST_CASE("keys are updated by themselves after so many packets, and after so long") {
  EndpointOptions options;
  SUBCASE("packets") { options.packets_per_key = 50; }
  SUBCASE("time") { options.time_per_key = seconds(3); }
  Connection c(options);
  std::size_t updates = c.epoch(true);
  CHECK(updates == 0);
  for (int i = 0; i < 900; ++i) {
    REQUIRE(c.world.server->endpoint.send(c.server, 0, bytes_of("down"), {}, c.world.now) ==
            SendStatus::kSent);
    c.world.run(milliseconds(10));
  }
  const auto events = c.world.client->take_events();
  CHECK(count_events(events, EventKind::kMessage) == 900);
  updates = count_events(events, EventKind::kKeyUpdated);
  CHECK(updates == c.epoch(true));
  if (options.packets_per_key == 50) {
    CHECK(updates >= 12);
    CHECK(updates <= 19);
  } else {
    CHECK(updates == 3);
  }
  c.world.server->take_events();
  c.check_alive();
}

TEST_CASE("keep-alives are traffic: an idle connection's keys are updated too") {
  EndpointOptions options;
  options.time_per_key = seconds(60);
  Connection c(options);
  c.world.run(seconds(55), seconds(1));
  CHECK(c.epoch(true) == 0);
  c.world.run(seconds(30), seconds(1));
  CHECK(c.epoch(true) == 1);
  CHECK(c.epoch(false) == 1);
}

TEST_CASE("a lost KEY_UPDATE, reply, or first packet under the new key is made up for") {
  Connection c;
  std::size_t lost = 0;
  std::size_t lose = 0;
  bool by_server = false;
  SUBCASE("the client's") {}
  SUBCASE("the server's") { by_server = true; }
  REQUIRE(c.begin(by_server) == KeyUpdateStart::kBegun);
  SUBCASE("one") { lose = 1; }
  SUBCASE("two") { lose = 2; }
  SUBCASE("three") { lose = 3; }
  SUBCASE("five") { lose = 5; }
  c.world.filter = [&](const Sent&) { return ++lost > lose; };
  c.world.run(seconds(8));
  CHECK(lost > lose);
  CHECK(c.epoch(true) == 1);
  CHECK(c.epoch(false) == 1);
  c.world.client->take_events();
  c.world.server->take_events();
  c.check_alive();
}

TEST_CASE("what was sealed under the old key opens for 3 PTO after the switch, and then no more") {
  Connection c;
  // Taken off the way before the update, as though the network held it back.
  std::vector<Sent> held;
  c.world.filter = [&](const Sent& sent) {
    if (sent.to != kServerAddress) return true;
    held.push_back(sent);
    return false;
  };
  for (int i = 0; i < 2; ++i) {
    REQUIRE(c.world.client->endpoint.send(c.client, 0, bytes_of("late"), {}, c.world.now) ==
            SendStatus::kSent);
    c.world.exchange();
  }
  REQUIRE(held.size() == 2);
  c.world.filter = nullptr;
  REQUIRE(c.begin(true) == KeyUpdateStart::kBegun);
  for (int i = 0; i < 4; ++i) c.world.exchange();
  REQUIRE(c.epoch(true) == 1);
  c.world.server->take_events();
  c.world.deliver(held[0]);
  CHECK(count_events(c.world.server->take_events(), EventKind::kMessage) == 1);
  c.world.run(seconds(1));
  c.world.server->take_events();
  c.world.deliver(held[1]);
  CHECK(count_events(c.world.server->take_events(), EventKind::kMessage) == 0);
  CHECK(c.world.server->count(Counter::dropUnknownEpoch) == 1);
}

TEST_CASE("who disconnects in the middle of an update is understood") {
  Connection c;
  REQUIRE(c.begin(false) == KeyUpdateStart::kBegun);
  c.world.client->endpoint.flush(c.world.now);
  c.world.exchange();
  // The server has replied and sends under the old key; the client is at the new one after its next turn.
  REQUIRE(c.world.server->endpoint.disconnect(c.server, 0, "", c.world.now));
  c.world.run(milliseconds(50));
  CHECK(find_event(c.world.client->take_events(), EventKind::kDisconnect) != nullptr);
  CHECK(c.world.server->endpoint.sessions() == 0);
  CHECK(c.world.server->count(Counter::dropUnknownEpoch) == 0);
}

TEST_CASE("who holds no keys makes nobody switch") {
  Connection c;
  const auto last_to = [&](const SocketAddress& address) {
    return *std::find_if(c.world.log.rbegin(), c.world.log.rend(),
                         [&](const Sent& sent) { return sent.to == address; });
  };
  SUBCASE("no update under way: the bits name no key") {
    for (unsigned epoch = 1; epoch < 4; ++epoch) {
      Sent forged = last_to(kServerAddress);
      forged.bytes[0] = static_cast<std::byte>(0xb0U | epoch << 2U);
      forged.bytes[9] ^= std::byte{0x40};
      c.world.deliver(forged);
    }
    CHECK(c.world.server->count(Counter::dropUnknownEpoch) == 3);
  }
  SUBCASE("a reply has been sent: the bits name a key that opens nothing of theirs") {
    REQUIRE(c.begin(false) == KeyUpdateStart::kBegun);
    c.world.filter = [&](const Sent& sent) { return sent.to == kServerAddress; };
    c.world.exchange();
    CHECK(c.world.server->take_events().empty());
    for (unsigned i = 0; i < 100; ++i) {
      Sent forged = last_to(kServerAddress);
      forged.bytes[0] = std::byte{0xb4};
      forged.bytes[9] = static_cast<std::byte>(0x80U + i);
      c.world.deliver(forged);
    }
    CHECK(c.world.server->count(Counter::dropAuthentication) == 100);
    CHECK(c.epoch(true) == 0);
    c.world.filter = nullptr;
    c.world.run(seconds(1));
    CHECK(c.epoch(true) == 1);
  }
  CHECK(c.world.server->endpoint.connected() == 1);
}

TEST_CASE("a secret provided while there is no room for events: nothing is lost, and told once") {
  Connection c;
  const InjectedSecret secret = test_secret(5);
  REQUIRE(c.begin(true, &secret) == KeyUpdateStart::kBegun);
  REQUIRE(c.begin(false, &secret) == KeyUpdateStart::kBegun);
  c.world.run(milliseconds(100));
  // What follows is an event too: the client's own secret goes unused.
  const std::vector<std::byte> message(1'000);
  while (c.world.client->has_room_for_events()) {
    REQUIRE(c.world.server->endpoint.send(c.server, 0, message, {}, c.world.now) == SendStatus::kSent);
    c.world.exchange();
  }
  c.world.client->endpoint.provide_secret(c.client, secret.id, Key(secret.key.bytes()), c.world.now);
  std::vector<Event> told = c.world.client->take_events();
  c.world.run(milliseconds(100));
  for (Event& event : c.world.client->take_events()) told.push_back(std::move(event));
  CHECK(count_events(told, EventKind::kKeyUpdateRefused) == 1);
  CHECK(refusal_told(told) == kKeyUpdateSuperseded);
  CHECK(c.epoch(false) == 1);
  CHECK(c.epoch(true) == 1);
}

// ---- peers that hold the keys

namespace {

struct Rogue {
  explicit Rogue(std::uint32_t features = kFeatureKeyUpdate) {
    peer.offer.features = features;
    handle = peer.connect();
    peer.forget();
    world.server->take_events();
  }

  std::vector<std::byte> update(const InjectedSecret* secret = nullptr) {
    const auto frame = peer.key_update.begin(peer.keys, random, secret);
    return {frame.begin(), frame.end()};
  }
  // Sends it and takes what comes back.
  void send(Bytes frame) {
    peer.send(Frames().raw(frame));
    peer.turn();
  }
  // Sends a KEY_UPDATE for the next epoch with that sequence; the MAC is right, if there is a secret under
  // it.
  void send_update(std::uint32_t sequence, const InjectedSecret* secret = nullptr) {
    peer.key_update = KeyUpdate(false);
    peer.keys.updates_sent = sequence;
    send(update(secret));
  }
  // Answers the server's reply: as its machine does.
  void take_reply() {
    const auto reply = peer.last(FrameType::kKeyUpdateReply);
    REQUIRE(reply.has_value());
    REQUIRE(peer.key_update.on_reply(reply->key_update, peer.keys) == KeyUpdateStep::kSwitched);
  }
  void check_protocol_error() {
    peer.turn();
    const auto disconnect = peer.last(FrameType::kDisconnect);
    REQUIRE(disconnect.has_value());
    CHECK(disconnect->disconnect.code == static_cast<std::uint32_t>(DisconnectCode::kProtocolError));
    CHECK(world.server->endpoint.connected() == 0);
  }
  void check_alive() {
    peer.turn();
    CHECK(peer.count(FrameType::kDisconnect) == 0);
    CHECK(world.server->endpoint.connected() == 1);
  }
  [[nodiscard]] std::uint32_t epoch() { return world.server->endpoint.status(handle, world.now)->key_epoch; }
  void run(Duration duration) {
    for (const Instant end = world.now + duration; world.now < end; world.now += milliseconds(10)) {
      world.server->endpoint.advance(world.now);
      peer.turn();
    }
  }

  World world;
  SeededRandom random{99};
  RoguePeer peer{world, world.token(1), rogue_address(1), 11};
  Handle handle;
};

}  // namespace

TEST_CASE("a peer may update its keys") {
  Rogue rogue;
  CHECK((rogue.peer.accept.features & kFeatureKeyUpdate) != 0);
  const std::uint64_t number = rogue.peer.next_number;
  rogue.send(rogue.update());
  const auto ack = rogue.peer.last(FrameType::kAck);
  REQUIRE(ack.has_value());
  CHECK(ack->ack.largest == number);
  rogue.take_reply();
  CHECK(rogue.epoch() == 0);
  rogue.send(Frames().ping(1).view());
  CHECK(rogue.epoch() == 1);
  CHECK(rogue.peer.key_update.deadline() != kNever);
  rogue.check_alive();
}

TEST_CASE("a peer that was not granted key updates and sends one breaks the protocol") {
  Rogue rogue(0);
  CHECK(rogue.peer.accept.features == 0);
  CHECK(rogue.world.server->endpoint.update_keys(rogue.handle, nullptr, rogue.world.now) ==
        KeyUpdateStart::kUnsupported);
  rogue.send(rogue.update());
  rogue.check_protocol_error();
}

TEST_CASE("a gateway grants what it knows of what a peer offers") {
  Rogue rogue(0xffff'fff0U | kFeatureKeyUpdate);
  CHECK((rogue.peer.accept.features & 0xffff'fff0U) == 0);
  CHECK((rogue.peer.accept.features & kFeatureKeyUpdate) != 0);
}

TEST_CASE("breaches of key update end the connection") {
  Rogue rogue;
  SUBCASE("a wrong MAC") {
    auto frame = rogue.update();
    frame.back() ^= std::byte{1};
    rogue.send(frame);
  }
  SUBCASE("an epoch too far") {
    auto frame = rogue.update();
    frame[1] = std::byte{2};
    rogue.send(frame);
  }
  SUBCASE("a reply to nothing") {
    const std::array<std::byte, kKeyUpdateReplyFrameSize> reply = {std::byte{0x0a}, std::byte{1}};
    rogue.send(reply);
  }
  SUBCASE("a refusal of nothing") {
    const std::array<std::byte, kKeyUpdateRefusedFrameSize> refused = {std::byte{0x0b}};
    rogue.send(refused);
  }
  SUBCASE("a refusal of what needs no secret") {
    REQUIRE(rogue.world.server->endpoint.update_keys(rogue.handle, nullptr, rogue.world.now) ==
            KeyUpdateStart::kBegun);
    rogue.peer.turn();
    REQUIRE(rogue.peer.count(FrameType::kKeyUpdate) == 1);
    const std::array<std::byte, kKeyUpdateRefusedFrameSize> refused = {
        std::byte{0x0b}, {}, {}, {}, std::byte{1}};
    rogue.send(refused);
  }
  SUBCASE("a false reply to the gateway's") {
    REQUIRE(rogue.world.server->endpoint.update_keys(rogue.handle, nullptr, rogue.world.now) ==
            KeyUpdateStart::kBegun);
    rogue.peer.turn();
    std::array<std::byte, kKeyUpdateReplyFrameSize> reply = {std::byte{0x0a}, std::byte{1}};
    reply[5] = std::byte{9};
    rogue.send(reply);
  }
  SUBCASE("a second one before the switch") {
    rogue.send_update(0);
    rogue.send_update(1);
  }
  SUBCASE("a second one before the user has answered") {
    const InjectedSecret secret = test_secret(1);
    rogue.send_update(0, &secret);
    rogue.send_update(1, &secret);
  }
  SUBCASE("a second one while one waits for `previous` to be erased") {
    rogue.send(rogue.update());
    rogue.take_reply();
    rogue.send(Frames().ping(1).view());
    rogue.send_update(1);
    rogue.check_alive();
    rogue.send_update(2);
  }
  SUBCASE("a frame cut short") {
    auto frame = rogue.update();
    frame.pop_back();
    rogue.send(frame);
  }
  rogue.check_protocol_error();
}

TEST_CASE(
    "a KEY_UPDATE that is repeated without end is answered once; the answer is repeated byte for byte") {
  Rogue rogue;
  const auto frame = rogue.update();
  rogue.send(frame);
  const auto first = rogue.peer.last(FrameType::kKeyUpdateReply);
  REQUIRE(first.has_value());
  const KeyUpdateFrame reply = first->key_update;
  for (int i = 0; i < 100; ++i) rogue.send(frame);
  CHECK(rogue.peer.count(FrameType::kKeyUpdateReply) == 1);
  rogue.run(seconds(2));
  CHECK(rogue.peer.count(FrameType::kKeyUpdateReply) > 1);
  const auto again = rogue.peer.last(FrameType::kKeyUpdateReply);
  CHECK(again->key_update.share == reply.share);
  CHECK(again->key_update.mac == reply.mac);
  rogue.check_alive();
  CHECK(rogue.epoch() == 0);
}

TEST_CASE("tries with unknown secrets, each refused and none acknowledged, hold no memory") {
  Rogue rogue;
  const InjectedSecret secret = test_secret(1);
  for (std::uint32_t i = 0; i < 200; ++i) {
    rogue.send_update(i, &secret);
    rogue.world.server->endpoint.provide_secret(rogue.handle, secret.id, std::nullopt, rogue.world.now);
    rogue.world.server->take_events();
  }
  rogue.peer.turn();
  CHECK(rogue.peer.count(FrameType::kKeyUpdateRefused) == 200);
  rogue.check_alive();
  CHECK(rogue.epoch() == 0);
  // Other control frames still find room.
  for (int i = 0; i < 10; ++i)
    CHECK(rogue.world.server->endpoint.goaway(rogue.handle, 0, milliseconds(1), SocketAddress{}));
}

TEST_CASE("updates follow each other no faster than `previous` is erased") {
  Rogue rogue;
  // The gateway has measured no round trip yet: 3 PTO are 3 x (333 + 666 + 5) ms.
  rogue.send(rogue.update());
  rogue.take_reply();
  rogue.send(Frames().ping(1).view());
  REQUIRE(rogue.epoch() == 1);
  rogue.peer.forget();
  rogue.send_update(1);
  rogue.run(milliseconds(2'900));
  CHECK(rogue.peer.count(FrameType::kKeyUpdateReply) == 0);
  CHECK(rogue.world.server->endpoint.update_keys(rogue.handle, nullptr, rogue.world.now) ==
        KeyUpdateStart::kBusy);
  rogue.run(milliseconds(300));
  CHECK(rogue.peer.count(FrameType::kKeyUpdateReply) > 0);
  rogue.check_alive();
}
