// Clients whose address changes, and those who pretend that one did (docs/protocol.md section 14): single
// rules against a hand-driven client, then whole runs in virtual time.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>

#include "rogue_peer.hpp"
#include "simulation_support.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

const SocketAddress kElsewhere = SocketAddress::ipv4({10, 9, 9, 9}, 9000);
const SocketAddress kThirdPlace = SocketAddress::ipv4({10, 9, 9, 8}, 9000);

// A rogue client with two spare ids of its own at the gateway, and some quiet behind it.
struct Roamer {
  explicit Roamer(std::uint32_t features = kFeatureRoaming, bool spares = true) {
    peer.offer.features = features;
    peer.other_addresses = {kElsewhere, kThirdPlace};
    handle = peer.connect();
    if (spares) peer.send(Frames().new_id(1, 0x11).new_id(2, 0x22));
    settle();
  }

  // All that the gateway has to say is said and acknowledged, and forgotten.
  void settle() {
    for (int i = 0; i < 3; ++i) {
      peer.turn();
      peer.send(Frames().ack(0, peer.last_number));
      world.now += milliseconds(100);
      world.server->endpoint.advance(world.now);
    }
    peer.turn();
    peer.forget();
  }

  void send_from(const SocketAddress& from, const Frames& frames) {
    peer.deliver_from(from, peer.seal(frames));
  }
  void advance(Duration duration) {
    for (const Instant end = world.now + duration; world.now < end;) {
      world.now += milliseconds(10);
      world.server->endpoint.advance(world.now);
      peer.turn();
    }
  }

  [[nodiscard]] SocketAddress remote() { return world.server->endpoint.status(handle, world.now)->remote; }
  [[nodiscard]] std::uint64_t count(Counter counter) const { return world.server->count(counter); }

  // The last challenge that went to an address.
  [[nodiscard]] std::optional<PathData> challenge(const SocketAddress& to) const {
    std::optional<PathData> found;
    each_frame(to, [&](const Frame& frame, std::size_t /*size*/) {
      if (frame.type == FrameType::kPathChallenge) found = frame.path.data;
    });
    return found;
  }
  // Sizes of the datagrams with a frame of this type to that address.
  [[nodiscard]] std::vector<std::size_t> sizes(const SocketAddress& to, FrameType type) const {
    std::vector<std::size_t> found;
    each_frame(to, [&](const Frame& frame, std::size_t size) {
      if (frame.type == type) found.push_back(size);
    });
    return found;
  }
  [[nodiscard]] std::size_t bytes_to(const SocketAddress& to) const {
    std::size_t sum = 0;
    for (const auto& envelope : peer.envelopes) sum += envelope.to == to ? envelope.size : 0;
    return sum;
  }
  [[nodiscard]] std::size_t packets_to(const SocketAddress& to) const {
    return static_cast<std::size_t>(std::ranges::count(peer.envelopes, to, &RoguePeer::Envelope::to));
  }

  // A round trip of 30 ms: answers a PING of the gateway.
  void give_sample() {
    for (int i = 0; i < 100 && peer.count(FrameType::kPing) == 0; ++i) advance(milliseconds(100));
    const auto ping = peer.last(FrameType::kPing);
    REQUIRE(ping.has_value());
    std::array<std::byte, kPongFrameSize> pong{};
    ByteWriter writer(pong);
    REQUIRE(write_pong(writer, ping->ping.sequence, 0, Duration(0)));
    world.now += milliseconds(30);
    peer.send(Frames().raw(pong));
    peer.forget();
  }
  // As far as the answer to the challenge of kElsewhere.
  void move() {
    send_from(kElsewhere, Frames().ping(1));
    peer.turn();
    const auto data = challenge(kElsewhere);
    REQUIRE(data.has_value());
    send_from(kElsewhere, Frames().path_response(*data));
  }

  World world;
  RoguePeer peer{world, world.token(1), rogue_address(1), 11};
  Handle handle;

 private:
  void each_frame(const SocketAddress& to,
                  const std::function<void(const Frame&, std::size_t)>& visit) const {
    for (std::size_t i = 0; i < peer.payloads.size(); ++i) {
      if (peer.envelopes[i].to != to) continue;
      FrameReader reader(peer.payloads[i]);
      for (Frame frame; reader.next(frame);) visit(frame, peer.envelopes[i].size);
    }
  }
};

bool closes_with_protocol_error(Roamer& roamer) {
  roamer.peer.turn();
  const auto disconnect = roamer.peer.last(FrameType::kDisconnect);
  return disconnect &&
         disconnect->disconnect.code == static_cast<std::uint32_t>(DisconnectCode::kProtocolError);
}

}  // namespace

TEST_CASE("roaming: both paths are challenged, data stays on the old one, the answer moves the peer") {
  Roamer r;
  r.send_from(kElsewhere, Frames().ping(1).message(bytes_of("hello")));
  CHECK(r.count(Counter::messagesReceived) == 1);
  REQUIRE(r.world.server->endpoint.send(r.handle, 0, bytes_of("data"), {}, r.world.now) == SendStatus::kSent);
  r.peer.turn();
  const auto challenge = r.challenge(kElsewhere);
  const auto old_challenge = r.challenge(r.peer.address);
  REQUIRE(challenge.has_value());
  REQUIRE(old_challenge.has_value());
  CHECK(*challenge != *old_challenge);
  // The challenge, and nothing else, went to the new address; to the spare id, at that.
  CHECK(r.packets_to(kElsewhere) == 1);
  CHECK(r.sizes(r.peer.address, FrameType::kMessage).size() == 1);
  CHECK(r.sizes(r.peer.address, FrameType::kPong).size() == 1);
  const auto envelope = std::ranges::find(r.peer.envelopes, kElsewhere, &RoguePeer::Envelope::to);
  CHECK(envelope->id.bytes[0] == std::byte{0x11});
  CHECK(r.remote() == r.peer.address);

  r.peer.forget();
  r.send_from(kElsewhere, Frames().path_response(*challenge));
  CHECK(r.remote() == kElsewhere);
  CHECK(r.count(Counter::movesBegun) == 1);
  CHECK(r.count(Counter::movesCompleted) == 1);
  REQUIRE(r.world.server->endpoint.send(r.handle, 0, bytes_of("data"), {}, r.world.now) == SendStatus::kSent);
  r.peer.turn();
  CHECK(r.packets_to(r.peer.address) == 0);
  CHECK(r.sizes(kElsewhere, FrameType::kMessage).size() == 1);
  CHECK(r.sizes(kElsewhere, FrameType::kPing).size() == 1);
  // All goes to the spare id; once the move is settled the one before is given back.
  for (const auto& each : r.peer.envelopes) CHECK(each.id.bytes[0] == std::byte{0x11});
  CHECK(r.peer.count(FrameType::kRetireId) == 0);
  r.advance(seconds(4));
  const auto retired = r.peer.last(FrameType::kRetireId);
  REQUIRE(retired.has_value());
  CHECK(retired->retire_id.sequence == 0);
}

TEST_CASE("roaming: the round trip starts afresh, but not when only the port has changed") {
  Roamer r;
  SocketAddress to = kElsewhere;
  SUBCASE("another host") {}
  SUBCASE("another port") {
    to = r.peer.address;
    to.port += 1;
    r.peer.other_addresses.push_back(to);
  }
  r.give_sample();
  REQUIRE(r.world.server->endpoint.status(r.handle, r.world.now)->round_trip >= milliseconds(30));
  r.send_from(to, Frames().ping(1));
  r.peer.turn();
  r.send_from(to, Frames().path_response(*r.challenge(to)));
  REQUIRE(r.remote() == to);
  const Duration round_trip = r.world.server->endpoint.status(r.handle, r.world.now)->round_trip;
  CHECK((round_trip == Duration(0)) == (to == kElsewhere));
}

TEST_CASE("roaming: a challenge is padded to 1,200 bytes when three times what came allows it") {
  Roamer r;
  std::size_t padding = 0;
  SUBCASE("not quite") { padding = 399 - 30; }
  SUBCASE("just") { padding = 400 - 30; }
  r.send_from(kElsewhere, Frames().raw(std::vector<std::byte>(padding + 1)));
  // A packet of PADDING alone is whole, and the newest.
  r.peer.turn();
  const auto sizes = r.sizes(kElsewhere, FrameType::kPathChallenge);
  REQUIRE(sizes.size() == 1);
  CHECK(sizes[0] == (padding == 370 ? 1'200 : 38));
}

TEST_CASE("roaming: without the feature nothing moves, and its frames are unknown") {
  Roamer r(0);
  SUBCASE("a packet from elsewhere") {
    r.send_from(kElsewhere, Frames().ping(1));
    r.advance(seconds(4));
    CHECK(r.bytes_to(kElsewhere) == 0);
    CHECK(r.remote() == r.peer.address);
    CHECK(r.count(Counter::movesBegun) == 0);
  }
  SUBCASE("PATH_RESPONSE") {
    r.peer.send(Frames().path_response(Frames::path_data(1)));
    CHECK(closes_with_protocol_error(r));
  }
  SUBCASE("PATH_CHALLENGE") {
    r.peer.send(Frames().path_challenge(1));
    CHECK(closes_with_protocol_error(r));
  }
}

TEST_CASE("roaming: a client does not challenge, and an answer to nothing is ignored") {
  Roamer r;
  SUBCASE("PATH_CHALLENGE from a client") {
    r.peer.send(Frames().path_challenge(1));
    CHECK(closes_with_protocol_error(r));
  }
  SUBCASE("PATH_RESPONSE without a challenge") {
    r.peer.send(Frames().path_response(Frames::path_data(1)));
    r.peer.turn();
    CHECK(r.world.server->endpoint.connected() == 1);
  }
  SUBCASE("PATH_RESPONSE with other bytes") {
    r.send_from(kElsewhere, Frames().ping(1));
    r.send_from(kElsewhere, Frames().path_response(Frames::path_data(1)));
    r.advance(seconds(4));
    CHECK(r.remote() == r.peer.address);
    CHECK(r.count(Counter::movesFailed) == 1);
  }
}

TEST_CASE("roaming: a packet that is not the newest moves nothing") {
  Roamer r;
  const std::vector<std::byte> late = r.peer.seal(Frames().message(bytes_of("late")));
  r.peer.send(Frames().ping(1));
  r.peer.deliver_from(kElsewhere, late);
  CHECK(r.count(Counter::messagesReceived) == 1);
  r.peer.turn();
  CHECK(r.bytes_to(kElsewhere) == 0);
  CHECK(r.count(Counter::movesBegun) == 0);
}

TEST_CASE("roaming: replayed and altered packets from elsewhere move nothing") {
  Roamer r;
  const std::vector<std::byte> packet = r.peer.seal(Frames().ping(1));
  r.peer.deliver(packet);
  r.peer.deliver_from(kElsewhere, packet);
  std::vector<std::byte> altered = r.peer.seal(Frames().ping(2));
  altered.back() ^= std::byte{1};
  r.peer.deliver_from(kElsewhere, altered);
  r.peer.turn();
  CHECK(r.bytes_to(kElsewhere) == 0);
  CHECK(r.count(Counter::movesBegun) == 0);
}

TEST_CASE("roaming: the old address shows that it is alive: no move, and none for a second") {
  Roamer r;
  r.send_from(kElsewhere, Frames().ping(1));
  r.peer.turn();
  const auto challenge = r.challenge(kElsewhere);
  const auto old_challenge = r.challenge(r.peer.address);
  REQUIRE((challenge && old_challenge));
  SUBCASE("by a newer packet") { r.peer.send(Frames().ping(2)); }
  SUBCASE("by its answer, through the other address") {
    r.send_from(kElsewhere, Frames().path_response(*old_challenge));
  }
  CHECK(r.count(Counter::movesCancelled) == 1);
  r.peer.forget();
  r.send_from(kElsewhere, Frames().path_response(*challenge));
  r.send_from(kThirdPlace, Frames().ping(3));
  r.advance(milliseconds(900));
  r.send_from(kElsewhere, Frames().ping(4));
  r.peer.turn();
  CHECK(r.remote() == r.peer.address);
  CHECK(r.bytes_to(kElsewhere) == 0);
  CHECK(r.bytes_to(kThirdPlace) == 0);
  r.advance(milliseconds(200));
  r.move();
  CHECK(r.remote() == kElsewhere);
}

TEST_CASE("roaming: after a move the old address takes the peer back") {
  Roamer r;
  r.send_from(kElsewhere, Frames().ping(1));
  r.peer.turn();
  const auto old_challenge = r.challenge(r.peer.address);
  r.send_from(kElsewhere, Frames().path_response(*r.challenge(kElsewhere)));
  REQUIRE(r.remote() == kElsewhere);
  SUBCASE("by a newer packet") { r.peer.send(Frames().ping(2)); }
  SUBCASE("by its answer, through the other address") {
    r.send_from(kElsewhere, Frames().path_response(*old_challenge));
  }
  SUBCASE("by its answer to a later challenge") {
    r.peer.forget();
    r.advance(seconds(2));
    const auto repeated = r.challenge(r.peer.address);
    REQUIRE(repeated.has_value());
    r.send_from(kElsewhere, Frames().path_response(*repeated));
  }
  CHECK(r.remote() == r.peer.address);
}

TEST_CASE("roaming: once the move is settled the old address is one like any other") {
  Roamer r;
  r.move();
  r.advance(seconds(4));
  REQUIRE(r.remote() == kElsewhere);
  r.peer.forget();
  r.peer.send(Frames().ping(2));
  CHECK(r.remote() == kElsewhere);
  r.peer.turn();
  const auto challenge = r.challenge(r.peer.address);
  REQUIRE(challenge.has_value());
  r.peer.send(Frames().path_response(*challenge));
  CHECK(r.remote() == r.peer.address);
  CHECK(r.count(Counter::movesCompleted) == 2);
}

TEST_CASE("roaming: challenges are repeated within three times what came, then the move has failed") {
  Roamer r;
  r.give_sample();
  const std::vector<std::byte> packet = r.peer.seal(Frames().ping(1));
  r.peer.deliver_from(kElsewhere, packet);
  r.advance(milliseconds(2'900));
  CHECK(r.packets_to(kElsewhere) == 2);
  CHECK(r.sizes(r.peer.address, FrameType::kPathChallenge).size() == 5);
  CHECK(r.bytes_to(kElsewhere) <= 3 * packet.size());
  CHECK(r.count(Counter::movesFailed) == 0);
  // More has come: more may go.
  const std::size_t before = r.packets_to(kElsewhere);
  const std::vector<std::byte> more = r.peer.seal(Frames().ping(2));
  r.peer.deliver_from(kElsewhere, more);
  r.peer.turn();
  CHECK(r.packets_to(kElsewhere) == before + 1);
  CHECK(r.bytes_to(kElsewhere) <= 3 * (packet.size() + more.size()));
  r.advance(milliseconds(200));
  CHECK(r.count(Counter::movesFailed) == 1);
  CHECK(r.remote() == r.peer.address);
  // A late answer is too late; a new packet begins anew.
  r.send_from(kElsewhere, Frames().path_response(*r.challenge(kElsewhere)));
  CHECK(r.remote() == r.peer.address);
  CHECK(r.count(Counter::movesBegun) == 2);
}

TEST_CASE("roaming: a thousand addresses in turn get three times their bytes at most, and move nothing") {
  Roamer r;
  std::vector<SocketAddress> addresses;
  for (std::uint16_t i = 0; i < 1'000; ++i) {
    const auto low = static_cast<std::uint8_t>(i % 250);
    const auto high = static_cast<std::uint8_t>(i / 250);
    addresses.push_back(SocketAddress::ipv4({203, 0, high, low}, 1'000));
  }
  r.peer.other_addresses = addresses;
  for (const SocketAddress& address : addresses) {
    const std::vector<std::byte> packet = r.peer.seal(Frames().message(bytes_of("spoofed")));
    r.peer.deliver_from(address, packet);
    r.peer.turn();
    CHECK(r.bytes_to(address) > 0);
    CHECK(r.bytes_to(address) <= 3 * packet.size());
    r.peer.forget();
    r.world.now += milliseconds(1);
    r.world.server->endpoint.advance(r.world.now);
  }
  CHECK(r.remote() == r.peer.address);
  CHECK(r.count(Counter::movesCompleted) == 0);
  r.advance(seconds(4));
  CHECK(r.count(Counter::movesFailed) == addresses.size());
}

TEST_CASE("roaming: without a spare id the peer moves all the same and keeps its id") {
  Roamer r(kFeatureRoaming, false);
  r.move();
  r.advance(seconds(4));
  CHECK(r.remote() == kElsewhere);
  CHECK(r.peer.count(FrameType::kRetireId) == 0);
  CHECK(std::ranges::all_of(r.peer.envelopes,
                            [&](const auto& each) { return each.id == r.peer.envelopes.front().id; }));
}

TEST_CASE("roaming: a NEW_ID that comes again after its id was given back is ignored") {
  Roamer r;
  r.move();
  r.advance(seconds(4));
  r.settle();
  // Sequence 0 was given back; 1 is in use; 2 is the spare.
  r.peer.send(Frames().new_id(0, 0x99));
  r.peer.turn();
  REQUIRE(r.world.server->endpoint.connected() == 1);
  r.peer.send(Frames().new_id(3, 0x33));
  r.peer.turn();
  CHECK(r.world.server->endpoint.connected() == 1);
  SUBCASE("a third spare still closes") {
    r.peer.send(Frames().new_id(4, 0x44));
    CHECK(closes_with_protocol_error(r));
  }
}

TEST_CASE("roaming: an id of another length than those before closes") {
  Roamer r;
  r.move();
  r.advance(seconds(4));
  r.settle();
  std::array<std::byte, 64> frame{};
  ByteWriter writer(frame);
  ConnectionId id;
  id.length = 9;
  REQUIRE(write_new_id(writer, 3, id, ResetToken{}));
  r.peer.send(Frames().raw(writer.written()));
  CHECK(closes_with_protocol_error(r));
}

TEST_CASE("the sequences of ids that were heard of are told apart as far as 63 back") {
  IdSequences seen;
  CHECK_FALSE(seen.contains(0));
  seen.insert(0);
  seen.insert(5);
  seen.insert(3);
  for (const std::uint64_t sequence : {0U, 3U, 5U}) CHECK(seen.contains(sequence));
  for (const std::uint64_t sequence : {1U, 2U, 4U, 6U}) CHECK_FALSE(seen.contains(sequence));
  seen.insert(68);
  CHECK(seen.contains(4));  // older ones count as heard of
  CHECK(seen.contains(5));
  CHECK_FALSE(seen.contains(6));
  seen.insert(1'000);
  CHECK(seen.contains(936));
  CHECK_FALSE(seen.contains(937));
  CHECK_FALSE(seen.contains(999));
}

// ---- whole runs

namespace {

const SocketAddress kGateway = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
const SocketAddress kAttacker = SocketAddress::ipv4({203, 0, 113, 5}, 6666);

SocketAddress home(std::uint64_t index) {
  return SocketAddress::ipv4({10, 0, 1, static_cast<std::uint8_t>(1 + index)}, 5000);
}

// Counts what the gateway sends to addresses that are no peer's at the time, and what came from them.
class Amplification final : public SimulationObserver {
 public:
  explicit Amplification(std::function<bool(const SocketAddress&)> is_peer) : is_peer_(std::move(is_peer)) {}

  void on_datagram(const SocketAddress& from, const SocketAddress& to, Bytes bytes) override {
    last.push_back({from, to, {bytes.begin(), bytes.end()}});
    came_from(from, to, bytes.size());
    // Handshakes have rules of their own.
    if (from != kGateway || classify(std::to_integer<std::uint8_t>(bytes[0])) != DatagramKind::kSession)
      return;
    if (is_peer_(to)) return;
    std::size_t& sent = sent_[to.to_bytes()];
    sent += bytes.size();
    most_ = std::max(most_, sent);
    REQUIRE(sent <= 3 * received_[to.to_bytes()]);
  }

  void came_from(const SocketAddress& from, const SocketAddress& to, std::size_t size) {
    if (to == kGateway) received_[from.to_bytes()] += size;
  }
  // The most that went to one such address.
  [[nodiscard]] std::size_t most() const { return most_; }

  std::vector<Wiretap::Datagram> last;  // the owner's to clear

 private:
  std::function<bool(const SocketAddress&)> is_peer_;
  std::map<std::array<std::byte, SocketAddress::kEncodedBytes>, std::size_t> received_;
  std::map<std::array<std::byte, SocketAddress::kEncodedBytes>, std::size_t> sent_;
  std::size_t most_ = 0;
};

// A gateway and clients that are connected.
struct Site {
  explicit Site(std::uint64_t seed, std::size_t count = 1, const LinkSettings& link = {})
      : random(seed),
        simulation(random.u64(), kSimulatedStart),
        gateway(simulation, kGateway, simulated_gateway(kGateway, kSimulatedStart), {}),
        amplification([this](const SocketAddress& address) { return is_peer(address); }) {
    simulation.observe(&amplification);
    for (std::size_t i = 0; i < count; ++i) {
      clients.push_back(std::make_unique<Program>(simulation, home(i), std::nullopt, Program::Clock()));
      const auto token =
          simulated_token(random, i + 1, std::span(&kGateway, 1), kSimulatedStart, seconds(20));
      up.push_back(clients[i]->connect(token, i + 1, seconds(10)));
      places.push_back(home(i));
    }
    run(seconds(1));
    for (std::size_t i = 0; i < count; ++i) {
      down.push_back(gateway.alive_key(i + 1));
      REQUIRE(down[i] != 0);
    }
    simulation.set_link(std::nullopt, std::nullopt, link);
  }
  ~Site() { simulation.observe(nullptr); }
  Site(const Site&) = delete;
  Site& operator=(const Site&) = delete;

  void run(Duration duration) {
    simulation.run_until(simulation.now() + duration);
    amplification.last.clear();
  }

  [[nodiscard]] SocketAddress remote(std::size_t i) {
    const auto status = gateway.endpoint().status(gateway.handle(down[i]), gateway.node().now());
    REQUIRE(status.has_value());
    return status->remote;
  }
  [[nodiscard]] bool is_peer(const SocketAddress& address) {
    for (std::size_t i = 0; i < down.size(); ++i) {
      if (remote(i) == address) return true;
    }
    return false;
  }

  // As though `from` had sent it, at once.
  void inject(const SocketAddress& from, const SocketAddress& to, Bytes bytes) {
    amplification.came_from(from, to, bytes.size());
    simulation.inject(from, to, bytes);
  }

  // A message each way, with numbers that say whose it is.
  void exchange() {
    for (std::size_t i = 0; i < clients.size(); ++i) {
      const std::uint64_t number = next_number++ * 100 + i;
      static_cast<void>(clients[i]->send(up[i], number));
      static_cast<void>(gateway.send(down[i], number));
    }
  }

  // Everybody is who and where they were taken to be, and messages pass.
  void all_is_well() {
    for (std::size_t i = 0; i < clients.size(); ++i) {
      CHECK(clients[i]->alive_key(i + 1) == up[i]);
      CHECK(gateway.alive_key(i + 1) == down[i]);
      CHECK(remote(i) == places[i]);
      // Nothing of another's.
      for (const std::uint64_t number : clients[i]->connections()[up[i]].received) CHECK(number % 100 == i);
      for (const std::uint64_t number : gateway.connections()[down[i]].received) CHECK(number % 100 == i);
      const std::uint64_t number = next_number++ * 100 + i;
      REQUIRE(clients[i]->send(up[i], number));
      REQUIRE(gateway.send(down[i], number));
      run(seconds(1));
      CHECK(clients[i]->connections()[up[i]].received.contains(number));
      CHECK(gateway.connections()[down[i]].received.contains(number));
    }
    CHECK(gateway.connections().size() == clients.size());
    CHECK(gateway.count(Counter::peersProtocolError) == 0);
  }

  SeededRandom random;
  Simulation simulation;
  Program gateway;
  Amplification amplification;
  std::vector<std::unique_ptr<Program>> clients;
  std::vector<std::uint64_t> up;
  std::vector<std::uint64_t> down;
  std::vector<SocketAddress> places;  // where each client is now
  std::uint64_t next_number = 1;
};

LinkSettings with_delay(Duration delay) {
  LinkSettings link;
  link.delay = delay;
  return link;
}

}  // namespace

TEST_CASE("a NAT that forgets its mapping, or a client in another network: the connection goes on") {
  SocketAddress to = home(0);
  SUBCASE("another port") { to.port = 5999; }
  SUBCASE("another address") { to = SocketAddress::ipv4({192, 0, 2, 7}, 40'000); }
  Site site(5, 1, with_delay(milliseconds(20)));
  REQUIRE(site.clients[0]->node().move(to));
  site.places[0] = to;
  // Until the client says something nobody knows.
  REQUIRE(site.clients[0]->send(site.up[0], 0));
  site.run(milliseconds(60));
  CHECK(site.gateway.connections()[site.down[0]].received.contains(0));
  site.run(milliseconds(20));
  CHECK(site.remote(0) == to);
  site.all_is_well();
  CHECK(site.gateway.count(Counter::movesCompleted) == 1);
  CHECK(site.gateway.count(Counter::movesCancelled) == 0);
}

TEST_CASE("rebind: the server follows within a round trip and a half, without a message") {
  Site site(6, 2, with_delay(milliseconds(20)));
  const SocketAddress before = site.clients[0]->node().local_address();
  REQUIRE(site.clients[0]->node().rebind().has_value());
  const SocketAddress after = site.clients[0]->node().local_address();
  CHECK(after != before);
  CHECK(after.ip == before.ip);
  site.places[0] = after;
  site.run(milliseconds(65));
  CHECK(site.remote(0) == after);
  CHECK(site.gateway.count(Counter::dropUnknownConnection) == 0);
  site.all_is_well();
  CHECK(site.gateway.count(Counter::movesCompleted) == 1);
}

TEST_CASE("rebind: connections that are being made go on from the new address") {
  for (int step = 0; step < 8; ++step) {
    INFO("rebound after " << step * 10 << " ms");
    SeededRandom random(9);
    Simulation simulation(random.u64(), kSimulatedStart);
    simulation.set_link(std::nullopt, std::nullopt, with_delay(milliseconds(10)));
    Program gateway(simulation, kGateway, simulated_gateway(kGateway, kSimulatedStart), {});
    Program client(simulation, home(0), std::nullopt, {});
    const auto token = simulated_token(random, 1, std::span(&kGateway, 1), kSimulatedStart, seconds(20));
    const std::uint64_t key = client.connect(token, 1, seconds(10));
    simulation.run_until(Instant(milliseconds(10 * step + 5)));
    REQUIRE(client.node().rebind().has_value());
    simulation.run_until(Instant(milliseconds(1'500)));
    REQUIRE(client.connections()[key].alive());
    const std::uint64_t down = gateway.alive_key(1);
    REQUIRE(down != 0);
    const auto status = gateway.endpoint().status(gateway.handle(down), gateway.node().now());
    CHECK(status->remote == client.node().local_address());
  }
}

TEST_CASE("rebind: again and again, faster than spare ids come") {
  Site site(7, 1, with_delay(milliseconds(100)));
  for (int i = 0; i < 20; ++i) {
    REQUIRE(site.clients[0]->node().rebind().has_value());
    site.run(milliseconds(30));
  }
  site.places[0] = site.clients[0]->node().local_address();
  site.run(seconds(3));
  site.all_is_well();
  // RESET still finds the connection by an id in use.
  const SocketAddress address = site.places[0];
  site.simulation.partition(kGateway, address, true);
  site.run(seconds(25));
  CHECK(site.gateway.connections()[site.down[0]].ended == DisconnectResult::kTimedOut);
  CHECK(site.clients[0]->connections()[site.up[0]].ended == DisconnectResult::kTimedOut);
}

TEST_CASE("a gateway that lost a client that had moved resets it by the id that it went over to") {
  SeededRandom random(3);
  Simulation simulation(random.u64(), kSimulatedStart);
  Program client(simulation, home(0), std::nullopt, {});
  auto gateway = std::make_unique<Program>(simulation, kGateway, simulated_gateway(kGateway, kSimulatedStart),
                                           Program::Clock());
  const auto token = simulated_token(random, 1, std::span(&kGateway, 1), kSimulatedStart, seconds(20));
  const std::uint64_t key = client.connect(token, 1, seconds(10));
  simulation.run_until(Instant(seconds(1)));
  REQUIRE(client.connections()[key].alive());
  REQUIRE(client.node().rebind().has_value());
  simulation.run_until(Instant(seconds(2)));
  gateway.reset();
  gateway = std::make_unique<Program>(simulation, kGateway,
                                      simulated_gateway(kGateway, simulation.wall_now()), Program::Clock());
  REQUIRE(client.send(key, 1));
  simulation.run_until(Instant(milliseconds(2'100)));
  CHECK(client.connections()[key].ended == DisconnectResult::kReset);
}

TEST_CASE("clients that move about in bad networks stay connected, and nobody gets what is another's") {
  for_each_seed(1, [](std::uint64_t seed) {
    SeededRandom plan(seed);
    LinkSettings link;
    link.delay = milliseconds(1 + plan.below(150));
    link.jitter = milliseconds(plan.below(30));
    if (plan.below(2) != 0) link.loss_rate = 0.2 * plan.below(1001) / 1000;
    if (plan.below(2) != 0) link.duplicate_rate = 0.1;
    if (plan.below(2) != 0) link.reorder_rate = 0.1;
    Site site(seed, 1 + plan.below(3), link);
    std::uint8_t next_host = 1;
    std::vector<Wiretap::Datagram> seen;
    for (int tick = 0; tick < 200; ++tick) {
      site.exchange();
      for (const auto& datagram : site.amplification.last) {
        // Some of what went by is replayed from elsewhere, later.
        if (plan.below(20) == 0) seen.push_back(datagram);
      }
      if (!seen.empty() && plan.below(4) == 0) {
        const auto& datagram = seen[plan.below(static_cast<std::uint32_t>(seen.size()))];
        site.inject(kAttacker, datagram.to, datagram.bytes);
      }
      const std::size_t who = plan.below(static_cast<std::uint32_t>(site.clients.size()));
      switch (plan.below(60)) {
        case 0: {
          SocketAddress to = site.places[who];
          to.port = static_cast<std::uint16_t>(20'000 + tick);
          REQUIRE(site.clients[who]->node().move(to));
          site.places[who] = to;
          break;
        }
        case 1: {
          const SocketAddress to = SocketAddress::ipv4({198, 51, 100, next_host++}, 5000);
          REQUIRE(site.clients[who]->node().move(to));
          site.places[who] = to;
          break;
        }
        case 2:
          REQUIRE(site.clients[who]->node().rebind().has_value());
          site.places[who] = site.clients[who]->node().local_address();
          break;
        case 3: {
          SocketAddress all = site.places[who];
          all.port = 0;
          site.simulation.partition(kGateway, all, true);
          site.run(milliseconds(plan.below(3'000)));
          site.simulation.partition(kGateway, all, false);
          break;
        }
        default:
          break;
      }
      site.simulation.run_until(site.simulation.now() + milliseconds(100));
      CHECK_FALSE(site.is_peer(kAttacker));
    }
    // Quiet: what is said now arrives.
    site.simulation.set_link(std::nullopt, std::nullopt, with_delay(link.delay));
    for (int tick = 0; tick < 60; ++tick) {
      site.exchange();
      site.run(milliseconds(100));
    }
    site.all_is_well();
  });
}

namespace {

// What an attacker beside the path does with what it sees: faster than the path, which takes 20 ms.
struct Interception {
  bool copies_to_gateway = false;   // each datagram of the client, from its own address
  bool forwards_to_client = false;  // what the gateway sends it
  bool as_gateway = false;          // the latter under the gateway's address
  std::uint32_t one_in = 1;         // of the copies
};

void attack(Site& site, const Interception& how, Duration duration, const std::function<void()>& each) {
  const Instant end = site.simulation.now() + duration;
  Instant next_exchange = site.simulation.now();
  while (site.simulation.now() < end) {
    if (site.simulation.now() >= next_exchange) {
      site.exchange();
      next_exchange += milliseconds(50);
    }
    site.amplification.last.clear();
    site.simulation.step(next_exchange);
    for (const auto& datagram : std::vector(site.amplification.last)) {
      if (datagram.to == kGateway && how.copies_to_gateway && site.random.below(how.one_in) == 0)
        site.inject(kAttacker, kGateway, datagram.bytes);
      if (datagram.to == kAttacker && how.forwards_to_client)
        site.inject(how.as_gateway ? kGateway : kAttacker, site.places[0], datagram.bytes);
    }
    each();
  }
}

}  // namespace

TEST_CASE("an attacker beside the path does not become the peer's address while the path is alive") {
  Interception how;
  how.copies_to_gateway = true;
  SUBCASE("it copies all packets, faster than the path") {}
  SUBCASE("it copies some") { how.one_in = 5; }
  SUBCASE("it copies all, and forwards what it is sent") { how.forwards_to_client = true; }
  SUBCASE("it copies some, and forwards under the gateway's address") {
    how.one_in = 5;
    how.forwards_to_client = how.as_gateway = true;
  }
  // Where it copies some only, an answer may be among them: such a move lasts as long as the way back.
  const bool strict = how.one_in == 1 || !how.as_gateway;
  for_each_seed(20, [&](std::uint64_t seed) {
    Site site(seed, 1, with_delay(milliseconds(20)));
    attack(site, how, seconds(20), [&] {
      if (strict) REQUIRE(site.remote(0) == home(0));
    });
    CHECK(site.gateway.count(Counter::movesBegun) > 0);
    site.run(seconds(2));
    site.all_is_well();
  });
}

TEST_CASE("an attacker that is faster than the path in everything is rid of within a round trip, each time") {
  for_each_seed(20, [](std::uint64_t seed) {
    Site site(seed, 1, with_delay(milliseconds(20)));
    Instant since = Instant::max();
    Duration longest{};
    Interception how;
    how.copies_to_gateway = how.forwards_to_client = how.as_gateway = true;
    attack(site, how, seconds(20), [&] {
      const Instant now = site.simulation.now();
      if (site.remote(0) == home(0)) {
        since = Instant::max();
      } else {
        since = std::min(since, now);
        longest = std::max(longest, now - since);
      }
    });
    CHECK(longest > Duration(0));
    CHECK(longest <= milliseconds(41));
    // At most once a second.
    CHECK(site.gateway.count(Counter::movesCompleted) <= 20);
    site.run(seconds(2));
    site.all_is_well();
  });
}

TEST_CASE("whoever lets nothing pass but through itself is the path, until it stops") {
  Site site(4, 1, with_delay(milliseconds(20)));
  // The gateway's datagrams to the client's own address, and the client's, are the relay's to carry.
  SocketAddress all = home(0);
  all.port = 0;
  site.simulation.partition(kGateway, all, true);
  Interception how;
  how.copies_to_gateway = how.forwards_to_client = how.as_gateway = true;
  attack(site, how, seconds(10), [] {});
  CHECK(site.remote(0) == kAttacker);
  CHECK(site.clients[0]->alive_key(1) == site.up[0]);
  site.simulation.partition(kGateway, all, false);
  for (int i = 0; i < 10; ++i) {
    site.exchange();
    site.run(milliseconds(100));
  }
  site.all_is_well();
}
