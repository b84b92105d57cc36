// Packets from addresses that are not their peer's, and floods of them (docs/protocol.md sections 10 and 14).
#include "engine/foreign_budget.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "rogue_peer.hpp"
#include "simulation_support.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr Handle kVictim{1, 1};
constexpr Handle kOther{2, 1};

// Spreads `count` packets over a second, all of which fail to open. Returns how many of them are opened.
struct Source {
  SocketAddress remote;
  Handle peer;
};
std::uint32_t opened(ForeignBudget& budget, Instant start, std::uint32_t count,
                     const std::function<Source()>& packet) {
  std::uint32_t opened = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    const Instant now = start + Duration(std::uint64_t{1'000'000} * i / count);
    const Source source = packet();
    if (!budget.has_room(source.remote, source.peer, now)) continue;
    budget.charge(source.remote, source.peer, now);
    ++opened;
  }
  return opened;
}

SocketAddress random_address(RandomSource& random) {
  const std::uint32_t bits = random.below(1U << 31U);
  return SocketAddress::ipv4(
      {static_cast<std::uint8_t>(1 + bits % 200), static_cast<std::uint8_t>(bits >> 8U),
       static_cast<std::uint8_t>(bits >> 16U), 9},
      static_cast<std::uint16_t>(1024 + (bits >> 24U)));
}

}  // namespace

TEST_CASE("foreign budget: one source prefix and peer spend their bins and what is shared, and no more") {
  ForeignBudget budget(SipKey{1, 2});
  const SocketAddress attacker = SocketAddress::ipv4({203, 0, 113, 5}, 6666);
  const Instant start{seconds(100)};
  // All at one instant: the bursts.
  std::uint32_t count = 0;
  for (; count < 10'000 && budget.has_room(attacker, kVictim, start); ++count)
    budget.charge(attacker, kVictim, start);
  CHECK(count == ForeignBudget::kPerPrefix + ForeignBudget::kPerPeerAndPrefix + ForeignBudget::kSharedBurst);
  // Another port and host of the prefix is no other prefix.
  CHECK_FALSE(budget.has_room(SocketAddress::ipv4({203, 0, 113, 77}, 1), kVictim, start));
  // Another peer has a bin of its own for that prefix, and the peer has others for other prefixes.
  CHECK(budget.has_room(attacker, kOther, start));
  CHECK(budget.has_room(SocketAddress::ipv4({198, 51, 100, 7}, 1), kVictim, start));
  // Each bin comes back at its own rate.
  CHECK(budget.has_room(attacker, kVictim, start + Duration(20)));
}

TEST_CASE("foreign budget: with nothing left to share, each peer's bins are spent by prefix") {
  for_each_seed(25, [](std::uint64_t seed) {
    SeededRandom random(seed);
    ForeignBudget budget(random_sip_key(random));
    const Instant start{seconds(100)};
    const SocketAddress attacker = random_address(random);
    while (budget.has_room(attacker, kVictim, start)) budget.charge(attacker, kVictim, start);
    std::size_t admitted = 0;
    for (int i = 0; i < 1'000; ++i) {
      if (budget.has_room(random_address(random), kVictim, start)) ++admitted;
    }
    // Only a prefix that shares both bins of the attacker's has none.
    CHECK(admitted >= 995);
  });
}

TEST_CASE(
    "foreign budget: the failed opens of a second are bounded, whatever ids and prefixes a flood uses") {
  // docs/protocol.md section 10 and docs/security.md state this figure.
  constexpr std::size_t kMost =
      ForeignBudget::kPrefixBins * ForeignBudget::kPerPrefix +
      ForeignBudget::kPeerRows * ForeignBudget::kBinsPerPeer * ForeignBudget::kPerPeerAndPrefix +
      ForeignBudget::kShared;
  static_assert(kMost == 99'152);
  SeededRandom random(1);
  ForeignBudget budget(random_sip_key(random));
  const auto packet = [&] { return Source{random_address(random), Handle{random.below(16'384), 1}}; };
  // The bursts, which are a second's worth of the bins.
  opened(budget, Instant(seconds(100)), 150'000, packet);
  const std::uint32_t next = opened(budget, Instant(seconds(101)), 150'000, packet);
  CHECK(next <= kMost + kMost / 100);
  CHECK(next > kMost / 2);
}

// ---- a gateway under a flood, in virtual time

namespace {

// The client that moves gets a timeout of 10 s from World's tokens.
constexpr Duration kTimeout = seconds(10);
const SocketAddress kNewPlace = SocketAddress::ipv4({10, 9, 9, 9}, 9000);

// The challenges that have reached a client that hears nothing at its former address any more.
std::vector<PathData> challenges_of_new_place(const RoguePeer& client) {
  std::vector<PathData> challenges;
  for (std::size_t i = 0; i < client.payloads.size(); ++i) {
    if (client.envelopes[i].to != kNewPlace) continue;
    FrameReader reader(client.payloads[i]);
    for (Frame frame; reader.next(frame);) {
      if (frame.type == FrameType::kPathChallenge) challenges.push_back(frame.path.data);
    }
  }
  return challenges;
}

// Who floods: the id that its junk names, and where that comes from.
struct Attacker {
  std::function<ConnectionId()> id;
  std::function<SocketAddress()> source;
};

// A gateway with a client that moves and, for attackers with tokens, further connections.
class Scene {
 public:
  Scene(std::uint64_t seed, std::size_t tokens) : random(seed) {
    client.offer.features = kFeatureRoaming;
    client.other_addresses = {kNewPlace};
    handle_ = client.connect();
    client.send(Frames().new_id(1, 0x11).new_id(2, 0x22));
    for (std::size_t i = 0; i < tokens; ++i) {
      const auto number = static_cast<std::uint8_t>(10 + i);
      // The budget of handshakes comes back.
      world.now += milliseconds(1);
      holders.push_back(
          std::make_unique<RoguePeer>(world, world.token(100 + i), rogue_address(number), number));
      holders.back()->connect();
    }
  }

  // Junk at `rate` a second for `duration`, or until the client has moved. `each_second` is called once a
  // second, at a random time.
  void flood(const Attacker& attacker, std::uint32_t rate, Duration duration,
             const std::function<void()>& each_second) {
    const Instant start = world.now;
    std::uint64_t second = 0;
    Duration next{random.below(1'000'000)};
    std::uint64_t turn = 0;
    for (std::uint64_t i = 0;; ++i) {
      const Duration passed(i * 1'000'000 / rate);
      if (passed >= duration) return;
      world.now = start + passed;
      if (passed >= next) {
        ++second;
        next = seconds(second) + Duration(random.below(1'000'000));
        each_second();
      }
      if (passed / milliseconds(10) >= static_cast<Duration::rep>(turn)) {
        ++turn;
        world.server->endpoint.advance(world.now);
        world.server->take_events();
        client.turn();
        answer_challenges();
        if (has_moved()) return;
      }
      client.deliver_from(attacker.source(), junk(attacker.id()));
    }
  }

  [[nodiscard]] bool has_moved() {
    const auto status = world.server->endpoint.status(handle_, world.now);
    REQUIRE(status.has_value());
    return status->remote == kNewPlace;
  }

  SeededRandom random;
  World world;
  RoguePeer client{world, world.token(1), rogue_address(1), 11};
  std::vector<std::unique_ptr<RoguePeer>> holders;

 private:
  // As long as a PING, with a number that no window refuses.
  std::vector<std::byte> junk(const ConnectionId& id) {
    std::vector<std::byte> packet(kMaxSessionHeaderSize + 20 + kTagSize);
    const std::size_t header = encode_session_header(packet, 0, id, 100'000 + random.below(1'000));
    packet.resize(header + 20 + kTagSize);
    random.fill(std::span(packet).subspan(header));
    return packet;
  }

  void answer_challenges() {
    const std::vector<PathData> challenges = challenges_of_new_place(client);
    client.forget();
    for (const PathData& data : challenges)
      client.deliver_from(kNewPlace, client.seal(Frames().path_response(data)));
  }

  Handle handle_;
};

}  // namespace

TEST_CASE("roaming: a client that moves under a flood of junk is found within its timeout") {
  std::size_t tokens = 0;
  bool victims_id = true;
  std::function<SocketAddress(RandomSource&)> source;
  const auto fixed = [](const SocketAddress& address) {
    return [address](RandomSource&) { return address; };
  };
  SUBCASE("by the holder of a token, with its own id from a second port") {
    tokens = 1;
    victims_id = false;
    source = fixed(SocketAddress::ipv4({10, 0, 2, 10}, 6001));
  }
  SUBCASE("by the holder of a token, with its own id from the network that the client moves to") {
    tokens = 1;
    victims_id = false;
    source = fixed(SocketAddress::ipv4({10, 9, 9, 1}, 6001));
  }
  SUBCASE("by the holder of many tokens, from random networks") {
    tokens = 50;
    victims_id = false;
    source = random_address;
  }
  SUBCASE("by an observer that knows its id, from one network") {
    source = fixed(SocketAddress::ipv4({203, 0, 113, 5}, 6666));
  }
  SUBCASE("by an observer that knows its id, from the network that the client moves to") {
    source = fixed(SocketAddress::ipv4({10, 9, 9, 1}, 6666));
  }
  SUBCASE("by a spoofer that knows its id, from random networks") { source = random_address; }

  for (const std::uint32_t rate : {2'000U, 80'000U}) {
    CAPTURE(rate);
    for_each_seed(rate == 2'000 ? 20 : 100, [&](std::uint64_t seed) {
      Scene scene(seed, tokens);
      Attacker attacker;
      attacker.id = [&] {
        if (victims_id) return scene.client.remote_id;
        return scene.holders[scene.random.below(static_cast<std::uint32_t>(tokens))]->remote_id;
      };
      attacker.source = [&] { return source(scene.random); };
      // Whatever may be spent is spent.
      scene.flood(attacker, rate, milliseconds(500), [&] { scene.client.send(Frames().ping(1)); });
      REQUIRE_FALSE(scene.has_moved());
      std::uint32_t sent = 0;
      // What a client repeats without an answer: a PING each second, after a third of its timeout.
      scene.flood(attacker, rate, kTimeout * 2 / 3, [&] {
        scene.client.deliver_from(kNewPlace, scene.client.seal(Frames().ping(2)));
        ++sent;
      });
      CHECK(scene.has_moved());
      // At the lower rate all junk is opened, and the first packet is enough.
      if (rate == 2'000) CHECK(sent == 1);
    });
  }
}

TEST_CASE("foreign budget: addresses of a move in progress have no need of it") {
  World world;
  RoguePeer client(world, world.token(1), rogue_address(1), 11);
  client.offer.features = kFeatureRoaming;
  client.other_addresses = {kNewPlace};
  const Handle handle = client.connect();
  client.deliver_from(kNewPlace, client.seal(Frames().ping(1)));
  std::vector<std::byte> forged = client.seal(Frames().ping(2));
  forged.back() ^= std::byte{1};
  for (int i = 0; i < 10'000; ++i) client.deliver_from(kNewPlace, forged);
  CHECK(world.server->count(Counter::dropForeignBudget) == 0);
  CHECK(world.server->count(Counter::dropAuthentication) == 10'000);
  // Nobody else is admitted less for that, and the client completes its move.
  client.turn();
  for (const PathData& data : challenges_of_new_place(client))
    client.deliver_from(kNewPlace, client.seal(Frames().path_response(data)));
  CHECK(world.server->endpoint.status(handle, world.now)->remote == kNewPlace);
}

TEST_CASE("foreign budget: it takes memory only once a packet has failed to open") {
  World world;
  RoguePeer client(world, world.token(1), rogue_address(1), 11);
  client.connect();
  const std::size_t before = world.server->endpoint.memory_bytes();
  std::vector<std::byte> packet = client.seal(Frames().ping(1));
  client.deliver_from(kNewPlace, packet);
  CHECK(world.server->endpoint.memory_bytes() == before);
  packet = client.seal(Frames().ping(2));
  packet.back() ^= std::byte{1};
  client.deliver_from(SocketAddress::ipv4({203, 0, 113, 5}, 1), packet);
  CHECK(world.server->endpoint.memory_bytes() == before + sizeof(ForeignBudget));
  CHECK(sizeof(ForeignBudget) < 25'000);
}
