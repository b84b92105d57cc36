// Several shards of one gateway: whose datagram is whose, what they tell each other, and all of them at work
// at the same time.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "netcode_support.hpp"
#include "rogue_peer.hpp"

namespace hawser::test {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

EndpointOptions shard_options(std::uint32_t shard, std::uint32_t shards) {
  EndpointOptions options;
  options.mode = Mode::kServer;
  options.shard = shard;
  options.shards = shards;
  return options;
}

// Notes which shards were woken.
class Bell final : public ShardBell {
 public:
  void ring(std::uint32_t shard) override { rung.push_back(shard); }
  std::vector<std::uint32_t> rung;
};

// The world's server is shard 0; exchange_shards() puts shard 1 in its place, or back.
class TwoShards : public NetcodeWorld {
 public:
  explicit TwoShards(GatewayOptions options = netcode_gateway_options())
      : NetcodeWorld(std::move(options), shard_options(0, 2)) {
    other_ = std::make_unique<Node>(shard_options(1, 2), &gateway, 77, kServerAddress);
    gateway.set_bell(&bell);
  }
  void exchange_shards() { std::swap(server, other_); }
  [[nodiscard]] Node& other() { return *other_; }
  void end_other() { other_.reset(); }

  Handle connect_hawser(std::uint64_t client_id) {
    const Handle peer = World::connect(World::token(client_id));
    for (int i = 0; i < 4; ++i) exchange();
    return peer;
  }

  Bell bell;

 private:
  std::unique_ptr<Node> other_;
};

std::optional<std::uint32_t> receive(Node& node, Bytes bytes, Instant now, bool handed_over = false) {
  std::vector<std::byte> copy(bytes.begin(), bytes.end());
  ReceivedDatagram datagram{copy, rogue_address(1), kServerAddress, 0};
  datagram.handed_over = handed_over;
  const auto shard = node.endpoint.receive(datagram, now);
  if (shard) CHECK(std::ranges::equal(copy, bytes));
  return shard;
}

// ---- ids

TEST_CASE("shards: every id that a shard issues names it, behind the server's index") {
  for (const bool server_index : {false, true}) {
    CAPTURE(server_index);
    EndpointOptions options = shard_options(2, 4);
    if (server_index) options.server_index = 0x5a;
    World world(gateway_options(), options);
    std::array<std::set<std::byte>, 8> seen;
    for (std::uint8_t number = 1; number <= 40; ++number) {
      // For the budget of handshakes.
      world.now += milliseconds(1);
      RoguePeer peer(world, world.token(number), rogue_address(number), number);
      peer.connect();
      const auto spare = peer.last(FrameType::kNewId);
      REQUIRE(spare.has_value());
      for (const ConnectionId& id : {peer.remote_id, spare->new_id.connection_id}) {
        REQUIRE(id.length == 8);
        for (std::size_t i = 0; i < 8; ++i) seen[i].insert(id.bytes[i]);
      }
    }
    const std::size_t place = server_index ? 1 : 0;
    CHECK(seen[place] == std::set{std::byte{2}});
    if (server_index) CHECK(seen[0] == std::set{std::byte{0x5a}});
    // 48 bits at least that nobody can predict.
    for (std::size_t i = place + 1; i < 8; ++i) CHECK(seen[i].size() > 50);
  }
}

// ---- datagrams

TEST_CASE("shards: a session packet of another shard is for that shard, and never unknown") {
  World world(gateway_options(), shard_options(2, 4));
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  peer.connect();
  Node& shard = *world.server;
  const std::uint64_t received = shard.count(Counter::datagramsReceived);
  ConnectionId id = peer.remote_id;
  SUBCASE("it says so and leaves it as it is") {
    id.bytes[0] = std::byte{1};
    CHECK(receive(shard, peer.seal(Frames().ping(1).view(), id), world.now) == 1U);
    CHECK(shard.count(Counter::datagramsReceived) == received);
  }
  SUBCASE("one that was handed over goes no further") {
    id.bytes[0] = std::byte{1};
    CHECK_FALSE(receive(shard, peer.seal(Frames().ping(1).view(), id), world.now, true).has_value());
    CHECK(shard.count(Counter::datagramsReceived) == received + 1);
    CHECK(shard.count(Counter::dropForeignShard) == 1);
  }
  SUBCASE("a shard that is not there has no ids") {
    id.bytes[0] = std::byte{4};
    CHECK_FALSE(receive(shard, peer.seal(Frames().ping(1).view(), id), world.now).has_value());
    CHECK(shard.count(Counter::dropUnknownConnection) == 1);
    sent_by(shard, world.now);
    CHECK(shard.count(Counter::resetsSent) == 1);
    return;
  }
  SUBCASE("its own is its own, handed over or not") {
    CHECK_FALSE(receive(shard, peer.seal(Frames().ping(1)), world.now).has_value());
    CHECK_FALSE(receive(shard, peer.seal(Frames().ping(2)), world.now, true).has_value());
    CHECK(shard.count(Counter::dropForeignShard) == 0);
    CHECK(shard.count(Counter::packetsOpened) == 3);
  }
  sent_by(shard, world.now);
  CHECK(shard.count(Counter::dropUnknownConnection) == 0);
  CHECK(shard.count(Counter::resetsSent) == 0);
}

TEST_CASE("shards: a RESPONSE that another shard has answered is answered there again") {
  TwoShards world;
  RoguePeer peer(world, world.World::token(1), rogue_address(1), 1);
  // The shard that gave the cookie need not be the one that takes it.
  world.exchange_shards();
  peer.deliver(peer.request);
  peer.turn();
  world.exchange_shards();
  SUBCASE("repeated") {
    peer.deliver(peer.response);
    peer.turn();
    REQUIRE(peer.accepted);
    const auto accept = peer.received.back();
    CHECK(receive(world.other(), peer.response, world.now) == 0U);
    CHECK(world.other().count(Counter::responsesReceived) == 0);
    peer.forget();
    CHECK_FALSE(receive(*world.server, peer.response, world.now, true).has_value());
    peer.turn();
    REQUIRE(peer.received.size() == 1);
    CHECK(peer.received[0] == accept);
    // Another RESPONSE with the same cookie is that shard's to refuse.
    peer.response[1120] ^= std::byte{1};
    CHECK(receive(world.other(), peer.response, world.now) == 0U);
    CHECK_FALSE(receive(*world.server, peer.response, world.now, true).has_value());
    peer.forget();
    peer.turn();
    CHECK(peer.received.empty());
    CHECK(world.server->count(Counter::dropCookieConsumed) == 1);
  }
  SUBCASE("before it is answered, one of both is") {
    CHECK_FALSE(receive(world.other(), peer.response, world.now).has_value());
    peer.deliver(peer.response);
    peer.turn();
    REQUIRE(peer.accepted);
    CHECK(sent_by(world.other(), world.now).empty());
    CHECK(world.other().count(Counter::dropCookieConsumed) == 1);
    CHECK(world.other().endpoint.sessions() == 0);
    // The next one finds its way.
    CHECK(receive(world.other(), peer.response, world.now) == 0U);
  }
}

TEST_CASE("shards: a cookie from a shard whose clock is a little ahead is as good as any") {
  for (const auto lead : {milliseconds(3), milliseconds(1'000), milliseconds(1'001)}) {
    CAPTURE(lead.count());
    TwoShards world;
    RoguePeer peer(world, world.World::token(1), rogue_address(1), 1);
    world.exchange_shards();
    world.now += lead;
    peer.deliver(peer.request);
    peer.turn();
    world.now -= lead;
    world.exchange_shards();
    peer.deliver(peer.response);
    peer.turn();
    // But not one from any future.
    const bool little = lead <= milliseconds(1'000);
    CHECK(peer.accepted == little);
    CHECK(world.server->count(Counter::dropCookieExpired) == (little ? 0 : 1));
  }
}

// ---- limits

TEST_CASE(
    "shards: of the mappings that one client of netcode may have each has an equal part, and one at least") {
  struct Part {
    std::uint32_t shards;
    std::uint64_t mappings;
  };
  for (const Part& part : {Part{1, 8}, Part{4, 2}, Part{64, 1}}) {
    CAPTURE(part.shards);
    NetcodeWorld world(netcode_gateway_options(), shard_options(0, part.shards));
    const auto request = [&](std::uint64_t client_id, std::uint8_t number) {
      world.now += milliseconds(1);
      Rogue rogue(world, world.token(client_id), rogue_address(number));
      rogue.request();
      world.exchange();
      return rogue.last(netcode::PacketType::kChallenge).has_value();
    };
    for (std::uint8_t number = 0; number < 10; ++number)
      CHECK(request(1, number) == (number < part.mappings));
    CHECK(world.server->endpoint.sessions() == part.mappings);
    CHECK(world.server->count(Counter::dropHalfOpenFull) == 10 - part.mappings);
    // Others have theirs.
    CHECK(request(2, 20));
  }
}

TEST_CASE("shards: each has an equal part of a limit of the gateway, and one place at least") {
  struct Part {
    std::uint32_t shards;
    std::uint64_t half_open;  // of one client id
    std::uint64_t resets;     // a second
  };
  for (const Part& part : {Part{1, 8, 100}, Part{4, 2, 25}, Part{64, 1, 1}}) {
    CAPTURE(part.shards);
    World world(gateway_options(), shard_options(0, part.shards));
    Node& shard = *world.server;
    const auto token = world.token(1);
    for (std::uint8_t number = 1; number <= 10; ++number) {
      world.now += milliseconds(1);
      RoguePeer peer(world, token, rogue_address(number), number);
      peer.deliver(peer.request);
      peer.turn();
      peer.deliver(peer.response);
      peer.turn();
    }
    CHECK(shard.endpoint.sessions() == part.half_open);
    CHECK(shard.count(Counter::dropHalfOpenFull) == 10 - part.half_open);

    RoguePeer peer(world, world.token(2), rogue_address(20), 20);
    peer.connect();
    ConnectionId unknown = peer.remote_id;
    unknown.bytes[7] ^= std::byte{1};
    for (std::uint8_t number = 0; number < 200; ++number) {
      peer.deliver_from(SocketAddress::ipv4({11, 0, number, 1}, 9),
                        peer.seal(Frames().ping(1).view(), unknown));
      sent_by(shard, world.now);
    }
    CHECK(shard.count(Counter::resetsSent) == part.resets);
  }
}

// ---- client ids

void replace_on_other_shard(bool netcode, bool by_flush) {
  TwoShards world;
  const Handle former = netcode ? world.connected(7).second : world.World::connected(7).second;
  world.exchange_shards();
  const Handle again = world.connect_hawser(7);
  CHECK(count_events(world.server->take_events(), EventKind::kConnect) == 1);
  CHECK(world.bell.rung == std::vector<std::uint32_t>{0});
  // Until its own shard has had its turn.
  CHECK(world.other().endpoint.connected() == 1);
  CHECK(world.other().endpoint.next_deadline() <= world.now);
  world.exchange_shards();
  if (by_flush) {
    world.server->endpoint.flush(world.now);
  } else {
    world.server->endpoint.advance(world.now);
  }
  const auto events = world.server->take_events();
  const Event* const end = find_event(events, EventKind::kDisconnect);
  REQUIRE(end != nullptr);
  CHECK(end->peer == former);
  CHECK(end->argument == static_cast<std::uint32_t>(DisconnectResult::kReplaced));
  CHECK(world.server->count(Counter::peersReplaced) == 1);
  CHECK(world.server->endpoint.connected() == 0);
  CHECK(world.gateway.connected() == 1);
  world.exchange();
  const auto told = world.client->take_events();
  const Event* const replaced = find_event(told, EventKind::kDisconnect);
  REQUIRE(replaced != nullptr);
  CHECK(replaced->peer != again);
  if (!netcode) CHECK(code_of(*replaced) == static_cast<std::uint32_t>(DisconnectCode::kReplaced));
  world.run(seconds(2));
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(world.server->endpoint.next_deadline() > world.now);
}

TEST_CASE("shards: a client that connects to another shard replaces its peer here") {
  for (const bool netcode : {false, true}) {
    CAPTURE(netcode);
    for (const bool by_flush : {false, true}) {
      CAPTURE(by_flush);
      replace_on_other_shard(netcode, by_flush);
    }
  }
}

TEST_CASE("shards: news of a replaced peer that has gone meanwhile end nobody") {
  TwoShards world;
  const Handle former = world.World::connected(7).second;
  world.exchange_shards();
  world.connect_hawser(7);
  world.exchange_shards();
  SUBCASE("it is ending") { REQUIRE(world.server->endpoint.disconnect(former, 0x10000, "", world.now)); }
  SUBCASE("another one has its place") {
    REQUIRE(world.server->endpoint.disconnect(former, 0x10000, "", world.now));
    for (int i = 0; i < 4; ++i) world.exchange();
    // Connections are made in between: nothing but advance() and flush() looks at the news.
  }
  CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 1);
  world.run(seconds(2));
  world.connect_hawser(8);
  world.run(milliseconds(100));
  CHECK(count_events(world.server->take_events(), EventKind::kDisconnect) == 0);
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.server->count(Counter::peersReplaced) == 0);
  CHECK(world.gateway.connected() == 2);
}

TEST_CASE("shards: one that leaves gives back the client ids that its peers still hold, and no others") {
  TwoShards world;
  world.World::connected(7);
  world.World::connected(8);
  world.exchange_shards();
  world.connect_hawser(7);
  // Before it has taken the news.
  CHECK(world.gateway.has_notices(0));
  world.end_other();
  CHECK(world.gateway.connected() == 1);
  world.connect_hawser(8);
  // There is nobody to be told.
  CHECK(world.bell.rung == std::vector<std::uint32_t>{0});
  CHECK(world.server->endpoint.connected() == 2);
  CHECK(world.gateway.connected() == 2);
}

TEST_CASE("shards: a netcode client is refused while its id is connected to another shard") {
  TwoShards world;
  world.World::connected(7);
  world.exchange_shards();
  const Handle own = world.connect(world.token(7));
  for (int i = 0; i < 4; ++i) world.exchange();
  CHECK(world.server->count(Counter::dropClientIdConnected) == 1);
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK_FALSE(world.client->endpoint.status(own, world.now)->connected);
}

TEST_CASE("shards: the answer about a token is passed on to the shard of the newer attempt, which is woken") {
  for (const ConsumeVerdict verdict : {ConsumeVerdict::kConsumed, ConsumeVerdict::kAlreadyUsed}) {
    CAPTURE(verdict);
    GatewayOptions options = netcode_gateway_options();
    options.external_token_history = true;
    TwoShards world(std::move(options));
    const auto token = world.World::token(7, true);
    RoguePeer first(world, token, rogue_address(1), 1);
    first.open();
    first.send(Frames().ping(0));
    const auto events = world.server->take_events();
    const Event* const asked = find_event(events, EventKind::kConsume);
    REQUIRE(asked != nullptr);
    world.exchange_shards();
    world.now += seconds(1);
    RoguePeer second(world, token, rogue_address(2), 2);
    second.open();
    second.send(Frames().ping(0));
    CHECK(world.server->take_events().empty());
    CHECK(world.gateway.places() == 1);
    world.other().endpoint.complete_consumption(asked->peer, verdict, world.now);
    CHECK(world.bell.rung == std::vector<std::uint32_t>{1});
    CHECK(world.server->endpoint.next_deadline() <= world.now);
    world.server->endpoint.advance(world.now);
    second.turn();
    const bool consumed = verdict == ConsumeVerdict::kConsumed;
    CHECK(world.server->endpoint.connected() == (consumed ? 1 : 0));
    CHECK(world.gateway.places() == (consumed ? 1 : 0));
    CHECK(second.count(FrameType::kDisconnect) == (consumed ? 0 : 1));
    CHECK(world.other().endpoint.connected() == 0);
  }
}

// ---- at the same time

constexpr std::uint32_t kShards = 4;
constexpr std::uint64_t kReplacedIds = 6;
constexpr std::uint64_t kSingleUseIds = 6;
constexpr std::uint64_t kNetcodeIds = 2;

std::uint32_t number_of(const SocketAddress& client) { return std::to_integer<std::uint32_t>(client.ip[3]); }

struct Arrived {
  std::vector<std::byte> bytes;
  SocketAddress from;
  SocketAddress to;
  bool handed_over = false;
};

// What arrives at a thread, from all of them.
class Inbox {
 public:
  void push(Arrived&& datagram) {
    const std::lock_guard lock(mutex_);
    datagrams_.push_back(std::move(datagram));
  }
  std::vector<Arrived> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(datagrams_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<Arrived> datagrams_;
};

class CountingBell final : public ShardBell {
 public:
  void ring(std::uint32_t shard) override { ++rung[shard]; }
  std::array<std::atomic<int>, kShards> rung{};
};

SocketAddress client_address(std::uint32_t number) {
  return SocketAddress::ipv4({10, 0, 3, static_cast<std::uint8_t>(number)}, 7000);
}

// The network, the clock and the tokens that all threads share.
struct Crowd {
  Crowd() : gateway(crowd_gateway(), gateway_random) { gateway.set_bell(&bell); }

  static GatewayOptions crowd_gateway() {
    GatewayOptions options = netcode_gateway_options();
    options.restart_guard = std::nullopt;
    return options;
  }

  std::vector<std::byte> hawser_token(std::uint64_t client_id, bool single_use) {
    TokenParameters parameters = World::token_parameters(client_id);
    parameters.single_use = single_use;
    parameters.timeout = seconds(3600);
    parameters.addresses = std::span(&kServerAddress, 1);
    std::vector<std::byte> bytes(kMaxTokenSize);
    bytes.resize(*mint_token(bytes, parameters, test_key(1), token_random));
    return bytes;
  }
  std::vector<std::byte> netcode_token(std::uint64_t client_id) {
    netcode::TokenParameters parameters;
    parameters.protocol_id = kProtocolId;
    parameters.create = kStartSeconds;
    parameters.expire = kStartSeconds + 3600;
    parameters.client_id = client_id;
    parameters.addresses = std::span(&kServerAddress, 1);
    std::vector<std::byte> bytes(netcode::kTokenSize);
    REQUIRE(netcode::mint_token(std::span(bytes).first<netcode::kTokenSize>(), parameters, test_key(1),
                                token_random) == netcode::TokenError::kNone);
    return bytes;
  }

  // To the shard that the id names, but for every seventh, else to one that the sender's address decides: as
  // a kernel does.
  void carry(Arrived&& datagram) {
    if (datagram.to != kServerAddress)
      return clients[number_of(datagram.to) % kShards].push(std::move(datagram));
    std::uint32_t shard = number_of(datagram.from) + 1;
    if (const auto named = steering.shard_of(datagram.bytes))
      shard = sent.fetch_add(1) % 7 == 0 ? *named + 1 : *named;
    servers[shard % kShards].push(std::move(datagram));
  }

  SeededRandom gateway_random{1};
  SeededRandom token_random{2};
  GatewayState gateway;
  CountingBell bell;
  ShardSteering steering{kShards, false, 8};
  std::array<Inbox, kShards> servers;
  std::array<Inbox, kShards> clients;
  std::atomic<std::int64_t> clock = 0;  // microseconds
  std::atomic<std::uint32_t> sent = 0;
  // Over all threads: attempts that have come to an end, peers that were connected, and those that ended.
  std::atomic<std::uint64_t> settled = 0;
  std::atomic<std::uint64_t> connects = 0;
  std::atomic<std::uint64_t> ends = 0;
  std::atomic<std::uint64_t> handed_over = 0;
  std::atomic<bool> done = false;
};

// One thread's shard, and a client socket beside it.
class Worker {
 public:
  Worker(Crowd& crowd, std::uint32_t number)
      : crowd_(crowd),
        number_(number),
        server_(shard_options(number, kShards), &crowd.gateway, 10 + number, kServerAddress),
        client_({}, nullptr, 20 + number, client_address(number)) {}

  // `socket`: netcode has one session with a server for each.
  void connect(Bytes token, std::uint32_t socket = 0) {
    const ConnectOptions options{kProtocolId, token, client_address(number_ + kShards * socket),
                                 seconds(3600)};
    REQUIRE(client_.endpoint.connect(options, kStart).has_value());
  }

  void run() {
    while (!crowd_.done) {
      turn();
      std::this_thread::yield();
    }
  }

  // Of each client id, how often it was connected here.
  std::map<std::uint64_t, int> connected;

 private:
  void turn() {
    const Instant now = kStart + microseconds(crowd_.clock.fetch_add(20));
    for (Arrived& each : crowd_.servers[number_].take()) {
      ReceivedDatagram datagram{each.bytes, each.from, each.to, 0};
      datagram.handed_over = each.handed_over;
      if (const auto shard = server_.endpoint.receive(datagram, now)) {
        ++crowd_.handed_over;
        each.handed_over = true;
        crowd_.servers[*shard].push(std::move(each));
      }
    }
    for (Arrived& each : crowd_.clients[number_].take())
      client_.endpoint.receive(ReceivedDatagram{each.bytes, each.from, each.to, 0}, now);
    for (Node* const node : {&server_, &client_}) {
      node->endpoint.advance(now);
      send_output(*node, now);
    }
    for (const Event& event : server_.take_events()) {
      if (event.kind == EventKind::kConnect) {
        ++connected[load_little_endian<std::uint64_t>(event.bytes.data())];
        ++crowd_.connects;
      }
      if (event.kind == EventKind::kDisconnect) ++crowd_.ends;
    }
    for (const Event& event : client_.take_events()) {
      if (event.kind == EventKind::kConnect || event.kind == EventKind::kConnectFailed) ++crowd_.settled;
    }
  }

  void send_output(Node& node, Instant now) {
    node.endpoint.flush(now);
    for (auto output = node.endpoint.output(); !output.empty(); output = node.endpoint.output()) {
      for (const OutgoingDatagram& each : output)
        crowd_.carry(Arrived{{each.bytes.begin(), each.bytes.end()}, each.local, each.remote});
      node.endpoint.output_sent(output.size());
    }
  }

  Crowd& crowd_;
  std::uint32_t number_;
  Node server_;
  Node client_;
};

TEST_CASE("shards: four threads serve one gateway") {
  REQUIRE(initialise());
  Crowd crowd;
  std::vector<std::unique_ptr<Worker>> workers;
  for (std::uint32_t number = 0; number < kShards; ++number)
    workers.push_back(std::make_unique<Worker>(crowd, number));
  // Each id comes by every socket: the last one stays.
  for (std::uint64_t id = 0; id < kReplacedIds; ++id) {
    for (const auto& worker : workers) worker->connect(crowd.hawser_token(id, false));
  }
  // And so does each token that is good for one only.
  for (std::uint64_t id = 100; id < 100 + kSingleUseIds; ++id) {
    const auto token = crowd.hawser_token(id, true);
    for (const auto& worker : workers) worker->connect(token);
  }
  for (std::uint64_t id = 200; id < 200 + kNetcodeIds * kShards; ++id)
    workers[id % kShards]->connect(crowd.netcode_token(id), static_cast<std::uint32_t>(id - 200) / kShards);
  constexpr std::uint64_t kAttempts = kShards * (kReplacedIds + kSingleUseIds + kNetcodeIds);
  constexpr std::uint64_t kStay = kReplacedIds + kSingleUseIds + kShards * kNetcodeIds;

  std::vector<std::thread> threads;
  for (const auto& worker : workers) threads.emplace_back([&worker] { worker->run(); });
  const auto settled = [&] { return crowd.settled == kAttempts && crowd.connects - crowd.ends == kStay; };
  while (!settled() && crowd.clock < 600'000'000) std::this_thread::yield();
  crowd.done = true;
  for (std::thread& thread : threads) thread.join();

  CHECK(settled());
  CHECK(crowd.gateway.connected() == kStay);
  CHECK(crowd.handed_over > 0);
  int rung = 0;
  for (const auto& count : crowd.bell.rung) rung += count;
  CHECK(rung > 0);
  std::map<std::uint64_t, int> connected;
  for (const auto& worker : workers) {
    for (const auto& [id, count] : worker->connected) connected[id] += count;
  }
  for (const auto& entry : connected) {
    // No structured binding: CAPTURE has a lambda, which in C++20 not every compiler lets capture one.
    const std::uint64_t id = entry.first;
    const int count = entry.second;
    CAPTURE(id);
    if (id >= 100) {
      CHECK(count == 1);
    } else {
      CHECK(count >= 1);
    }
  }
  CHECK(connected.size() == kStay);
}

}  // namespace
}  // namespace hawser::test
