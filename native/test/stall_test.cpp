// Users that take no events for a while, as a JavaScript thread does that is busy with something else: the
// endpoint goes on without them.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "netcode_support.hpp"
#include "rogue_peer.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kUnreliable = 0;
constexpr std::uint32_t kReliable = 1;
constexpr std::uint32_t kUnordered = 2;

std::vector<ChannelDeclaration> stall_channels() {
  return {{"unreliable", "", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0},
          {"reliable", "", ChannelMode::kReliable, ChannelPriority::kNormal, 65'536},
          {"unordered", "", ChannelMode::kReliableUnordered, ChannelPriority::kNormal, 65'536}};
}

// A gateway whose user comes and goes, and clients of it; every side keeps books on what it was told.
class StallWorld : public NetcodeWorld {
 public:
  explicit StallWorld(EndpointOptions options = options_for_both(), std::uint64_t seed = 1)
      : NetcodeWorld(netcode_gateway_options(), options, seed) {
    options.mode = Mode::kClient;
    client = std::make_unique<Node>(options, nullptr, seed + 2, kClientAddress);
    filter = [this](const Sent& sent) { return carries(sent); };
  }
  static EndpointOptions options_for_both() {
    EndpointOptions options;
    options.channels = stall_channels();
    // More than what a test sends while nobody reads.
    options.credit = 4 * 1024 * 1024;
    options.channel_credit = 2 * 1024 * 1024;
    return options;
  }

  struct Books {
    // By slot and generation.
    std::map<std::pair<std::uint32_t, std::uint32_t>, std::map<std::uint32_t, std::vector<std::uint64_t>>>
        received;
    std::vector<Handle> connected;
    std::vector<Handle> ended;
    std::uint64_t unreliable = 0;
  };

  void read(Node& node, Books& books) {
    for (const Event& event : node.take_events()) {
      const auto peer = std::pair(event.peer.slot, event.peer.generation);
      switch (event.kind) {
        case EventKind::kConnect:
          books.connected.push_back(event.peer);
          break;
        case EventKind::kDisconnect:
          books.ended.push_back(event.peer);
          break;
        case EventKind::kMessage:
          // Nothing of a peer comes before it is connected, or after its end.
          REQUIRE(std::ranges::find(books.connected, event.peer) != books.connected.end());
          REQUIRE(std::ranges::find(books.ended, event.peer) == books.ended.end());
          if (event.argument == kUnreliable) {
            ++books.unreliable;
          } else {
            books.received[peer][event.argument].push_back(
                load_little_endian<std::uint64_t>(event.bytes.data()));
          }
          break;
        default:
          break;
      }
    }
  }
  void read_both() {
    if (server_takes) read(*server, server_books);
    if (client_takes) read(*client, client_books);
  }

  // Connects clients with these ids, of HAWSER or of netcode.
  void connect_all(std::size_t count, bool netcode) {
    for (std::uint64_t id = 1; id <= count; ++id) {
      if (netcode) {
        connect_netcode(id);
      } else {
        World::connect(World::token(id));
      }
    }
    // The budget for handshakes serves a few in each millisecond.
    for (int i = 0; i < 10; ++i) {
      exchange();
      now += milliseconds(1);
    }
    read_both();
    REQUIRE(server_books.connected.size() == count);
    REQUIRE(client_books.connected.size() == count);
  }

  // From an address of its own: netcode has one session between two addresses.
  void connect_netcode(std::uint64_t id) {
    local = SocketAddress::ipv4({10, 0, 9, static_cast<std::uint8_t>(id)}, kClientAddress.port);
    connect(token(id));
  }

  SendStatus send_number(Node& from, Handle peer, std::uint32_t channel, std::uint64_t number,
                         std::size_t size = 100) {
    std::vector<std::byte> message(size);
    store_little_endian(message.data(), number);
    return from.endpoint.send(peer, channel, message, {}, now);
  }

  Books server_books;
  Books client_books;
  bool server_takes = true;
  bool client_takes = true;
  std::function<bool()> lose;

 private:
  bool carries(const Sent& sent) {
    if (lose && lose()) return false;
    if (sent.to == kServerAddress || sent.to == kClientAddress) return true;
    std::vector<std::byte> copy = sent.bytes;
    client->endpoint.receive(ReceivedDatagram{copy, sent.from, sent.to, 0}, now);
    return false;
  }
};

std::vector<std::uint64_t> numbers_up_to(std::uint64_t end) {
  std::vector<std::uint64_t> numbers;
  for (std::uint64_t number = 0; number < end; ++number) numbers.push_back(number);
  return numbers;
}

// So many peers have each been heard of with all numbers below `end`, once, on both reliable channels, in
// order where there is one.
void require_all_received(StallWorld::Books& books, std::size_t peers, std::uint64_t end) {
  REQUIRE(books.received.size() == peers);
  for (auto& [peer, channels] : books.received) {
    REQUIRE(channels[kReliable] == numbers_up_to(end));
    std::ranges::sort(channels[kUnordered]);
    REQUIRE(channels[kUnordered] == numbers_up_to(end));
  }
}

TEST_CASE(
    "a stalled user: for 5 s every PING is answered at once, and no peer and no reliable message is lost") {
  StallWorld world;
  world.connect_all(5, false);
  world.run(milliseconds(50));
  world.read_both();
  world.server->fill_events();
  world.server_takes = false;
  const std::uint64_t sent_before = world.client->count(Counter::messagesSent);
  const std::uint64_t unreliable_before = world.server_books.unreliable;
  const std::uint64_t pings_before = world.client->count(Counter::pingsSent);
  const std::uint64_t server_pings_before = world.server->count(Counter::pingsSent);
  std::uint64_t number = 0;
  std::uint64_t unreliable = 0;
  for (int step = 0; step < 500; ++step) {
    for (const Handle peer : world.client_books.connected) {
      if (step % 5 == 0) {
        REQUIRE(world.send_number(*world.client, peer, kUnreliable, number) == SendStatus::kSent);
        ++unreliable;
      }
      REQUIRE(world.send_number(*world.client, peer, kReliable, number) == SendStatus::kSent);
      REQUIRE(world.send_number(*world.client, peer, kUnordered, number) == SendStatus::kSent);
    }
    ++number;
    const std::uint64_t asked = world.server->count(Counter::pingsSent);
    world.run(milliseconds(10));
    world.read_both();
    REQUIRE(world.client->count(Counter::pongsReceived) == world.client->count(Counter::pingsSent));
    // The client has its turn before the gateway's.
    REQUIRE(world.server->count(Counter::pongsReceived) >= asked);
  }
  CHECK(world.client->count(Counter::pingsSent) >= pings_before + 15);
  CHECK(world.server->count(Counter::pingsSent) >= server_pings_before + 15);
  CHECK(world.client->count(Counter::messagesSent) == sent_before + unreliable + 10 * number);
  // Nothing was taken for lost, and nobody has slowed down.
  CHECK(world.client->count(Counter::packetsLost) == 0);
  CHECK(world.server->count(Counter::dropEventQueueFull) == unreliable);
  CHECK(world.server->kept_events() == 0);

  world.server_takes = true;
  for (int i = 0; i < 20; ++i) {
    world.read_both();
    world.run(milliseconds(10));
  }
  CHECK(world.server->endpoint.connected() == 5);
  CHECK(world.client->endpoint.connected() == 5);
  CHECK(world.server_books.ended.empty());
  CHECK(world.client_books.ended.empty());
  CHECK(world.server_books.unreliable == unreliable_before);
  require_all_received(world.server_books, 5, number);
}

TEST_CASE("a stalled user: messages that wait for more than one storage wake nobody until one is taken") {
  StallWorld world;
  world.connect_all(1, false);
  // Until nothing but keep-alives is due.
  world.run(seconds(60));
  world.read_both();
  world.server->fill_events();
  world.server_takes = false;
  std::uint64_t number = 0;
  for (; number < 800; ++number) {
    REQUIRE(world.send_number(*world.client, world.client_books.connected[0], kReliable, number, 1'000) ==
            SendStatus::kSent);
    world.run(milliseconds(1), milliseconds(1));
  }
  world.run(milliseconds(500));
  CHECK(world.server->endpoint.next_deadline() > world.now);

  Node& server = *world.server;
  int storages = 0;
  for (; world.server_books.received.empty() ||
         world.server_books.received.begin()->second[kReliable].size() < number;
       ++storages) {
    REQUIRE(storages < 10);
    world.read(server, world.server_books);
    const bool more = world.server_books.received.empty() ||
                      world.server_books.received.begin()->second[kReliable].size() < number;
    REQUIRE((server.endpoint.next_deadline() <= world.now) == more);
    world.exchange();
    // As much of it as has room, which leaves room for a datagram: time changes nothing about it.
    const std::size_t told = server.peek_events().size();
    REQUIRE(server.has_room_for_events());
    REQUIRE(server.endpoint.next_deadline() > world.now);
    world.run(milliseconds(30));
    REQUIRE(server.peek_events().size() == told);
    REQUIRE(server.endpoint.next_deadline() > world.now);
  }
  CHECK(storages > 3);
  CHECK(world.server_books.received.begin()->second[kReliable] == numbers_up_to(number));
}

TEST_CASE("a stalled user: timers go on, so PINGs are repeated and what is lost is sent again") {
  StallWorld world;
  world.connect_all(1, false);
  world.run(milliseconds(50));
  world.read_both();
  world.server->fill_events();
  world.server_takes = false;
  const std::uint64_t pings = world.server->count(Counter::pingsSent);
  // Nothing arrives, so that nothing but its timers makes the gateway do anything.
  world.lose = [] { return true; };
  REQUIRE(world.send_number(*world.server, world.server_books.connected[0], kReliable, 0) ==
          SendStatus::kSent);
  world.run(seconds(3));
  CHECK(world.server->count(Counter::pingsSent) >= pings + 2);
  world.lose = {};
  world.run(seconds(5));
  world.read_both();
  CHECK(world.client_books.received.size() == 1);
}

TEST_CASE("a stalled user of netcode: for 6 s keep-alives go both ways, and no peer is lost") {
  StallWorld world;
  world.connect_all(5, true);
  world.run(milliseconds(50));
  world.read_both();
  // Longer than the timeout of the tokens.
  bool server_stalls = false;
  SUBCASE("the gateway's") { server_stalls = true; }
  SUBCASE("the client's") {}
  Node& stalled = server_stalls ? *world.server : *world.client;
  Node& other = server_stalls ? *world.client : *world.server;
  stalled.fill_events();
  (server_stalls ? world.server_takes : world.client_takes) = false;
  world.log.clear();
  for (int step = 0; step < 600; ++step) {
    if (step % 10 == 0) {
      for (const Handle peer : (server_stalls ? world.client_books : world.server_books).connected)
        REQUIRE(world.send_number(other, peer, kUnreliable, 0) == SendStatus::kSent);
    }
    world.run(milliseconds(10));
    world.read_both();
  }
  // Ten times a second each; the payloads of the other side go in their place.
  std::size_t keep_alives = 0;
  for (const Sent& sent : world.log) {
    const bool from_stalled = (sent.to == kServerAddress) != server_stalls;
    if (from_stalled && (sent.bytes[0] & std::byte{0x0f}) == std::byte{4}) ++keep_alives;
  }
  CHECK(keep_alives >= 5 * 58);
  CHECK(stalled.count(Counter::dropEventQueueFull) == 5 * 60);
  world.server_takes = world.client_takes = true;
  world.read_both();
  world.read_both();
  CHECK(world.server->endpoint.connected() == 5);
  CHECK(world.client->endpoint.connected() == 5);
  CHECK(world.server_books.ended.empty());
  CHECK(world.client_books.ended.empty());
}

TEST_CASE("a stalled user: whoever leaves or falls silent meanwhile is told of once, afterwards") {
  StallWorld world;
  bool netcode = false;
  SUBCASE("HAWSER") {}
  SUBCASE("netcode") { netcode = true; }
  world.connect_all(3, netcode);
  world.run(milliseconds(50));
  world.read_both();
  world.server->fill_events();
  world.server_takes = false;
  REQUIRE(world.client->endpoint.disconnect(world.client_books.connected[0], 0x10000, "bye", world.now));
  world.run(seconds(2));
  CHECK(world.server->endpoint.connected() == 2);
  CHECK(world.server->kept_events() == 1);
  REQUIRE(world.server->endpoint.disconnect(world.server_books.connected[1], 0x10001, "out", world.now));
  world.lose = [] { return true; };
  world.run(seconds(15));
  // Its place is free for others as soon as it has timed out.
  CHECK(world.server->endpoint.sessions() == 0);
  CHECK(world.gateway.connected() == 0);
  CHECK(world.server->kept_events() == 3);
  world.server_takes = true;
  world.read_both();
  CHECK(world.server_books.ended.empty());
  world.read_both();
  CHECK(world.server_books.ended == world.server_books.connected);
  world.run(seconds(1));
  world.read_both();
  CHECK(world.server_books.ended.size() == 3);
}

TEST_CASE("a stalled user: nobody new gets connected, and whoever still tries does afterwards") {
  StallWorld world;
  bool netcode = false;
  bool server_stalls = true;
  SUBCASE("a gateway of HAWSER") {}
  SUBCASE("a gateway of netcode") { netcode = true; }
  SUBCASE("a client of HAWSER") { server_stalls = false; }
  SUBCASE("a client of netcode") {
    netcode = true;
    server_stalls = false;
  }
  Node& stalled = server_stalls ? *world.server : *world.client;
  stalled.fill_events();
  (server_stalls ? world.server_takes : world.client_takes) = false;
  if (netcode) {
    world.connect_netcode(7);
  } else {
    world.World::connect(world.World::token(7));
  }
  for (int i = 0; i < 300; ++i) {
    world.run(milliseconds(10));
    world.read_both();
  }
  CHECK(stalled.endpoint.connected() == 0);
  CHECK(stalled.count(Counter::dropEventQueueFull) > 0);
  // That a client has begun.
  CHECK(stalled.kept_events() <= 1);
  world.server_takes = world.client_takes = true;
  for (int i = 0; i < 300; ++i) {
    world.read_both();
    world.run(milliseconds(10));
  }
  CHECK(world.server->endpoint.connected() == 1);
  CHECK(world.client->endpoint.connected() == 1);
  CHECK(world.client_books.connected.size() == 1);
}

TEST_CASE("a stalled user: one who updates keys again and again cannot fill the memory with news") {
  World world;
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  peer.offer.features = kFeatureKeyUpdate;
  peer.connect();
  world.server->fill_events();
  SeededRandom random(1);
  const auto update = peer.key_update.begin(peer.keys, random, nullptr);
  for (int i = 0; i < 20; ++i) {
    peer.send(Frames().raw(update));
    peer.turn();
    world.run(milliseconds(200));
  }
  CHECK_FALSE(peer.last(FrameType::kKeyUpdateReply).has_value());
  CHECK(world.server->kept_events() == 0);
  // It waits, and need not be sent again.
  CHECK(peer.last(FrameType::kAck).has_value());
  world.server->take_events();
  world.server->endpoint.advance(world.now);
  peer.turn();
  CHECK(peer.last(FrameType::kKeyUpdateReply).has_value());
}

TEST_CASE("a stalled user: what comes with a KEY_UPDATE is not held up by it") {
  World world;
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  peer.offer.features = kFeatureKeyUpdate;
  peer.connect();
  world.run(milliseconds(100));
  world.server->fill_events();
  SeededRandom random(1);
  const auto update = peer.key_update.begin(peer.keys, random, nullptr);
  for (std::uint16_t number = 1; number <= 20; ++number) {
    peer.forget();
    peer.send(Frames().raw(update).ping(number));
    peer.turn();
    CHECK(peer.count(FrameType::kPong) == 1);
    CHECK(peer.count(FrameType::kAck) >= 1);
    world.run(milliseconds(60));
  }
  CHECK(world.server->count(Counter::dropEventQueueFull) == 0);
}

TEST_CASE("a stalled user: GOAWAY and a secret that is wanted are told of afterwards") {
  StallWorld world;
  world.connect_all(1, false);
  world.run(milliseconds(50));
  world.read_both();
  world.client->fill_events();
  REQUIRE(world.server->endpoint.goaway(world.server_books.connected[0], 5, seconds(9), {}));
  world.run(seconds(1));
  CHECK(world.client->kept_events() == 1);
  InjectedSecret secret;
  secret.id.fill(std::byte{1});
  secret.key = test_key(9);
  REQUIRE(world.server->endpoint.update_keys(world.server_books.connected[0], &secret, world.now) ==
          KeyUpdateStart::kBegun);
  world.run(seconds(2));
  // It waits with its KEY_UPDATE: nobody could say what the secret is.
  CHECK(world.client->kept_events() == 1);
  world.client->take_events();
  CHECK(count_events(world.client->take_events(), EventKind::kGoaway) == 1);
  world.run(seconds(3));
  CHECK(count_events(world.client->take_events(), EventKind::kSecretWanted) == 1);
}

TEST_CASE("a stalled user: what has no memory to wait in is sent again, and never ends a connection") {
  EndpointOptions options = StallWorld::options_for_both();
  for (ChannelDeclaration& channel : options.channels) channel.max_message_bytes = 4'096;
  options.max_sessions = 64;
  options.credit = 32 * 1024;
  options.channel_credit = 24 * 1024;
  // Much less than all of them may send.
  options.max_reassembly_bytes = 8 * options.credit;
  StallWorld world(options);
  world.connect_all(12, false);
  world.run(milliseconds(50));
  world.read_both();
  world.server->fill_events();
  world.server_takes = false;
  std::uint64_t number = 0;
  for (int step = 0; step < 300; ++step) {
    for (const Handle peer : world.client_books.connected)
      REQUIRE(world.send_number(*world.client, peer, kReliable, number, 300) == SendStatus::kSent);
    ++number;
    world.run(milliseconds(10));
    world.read_both();
  }
  CHECK(world.server->count(Counter::dropReassemblyFull) > 0);
  world.server_takes = true;
  // The senders' timeouts have become as long as the stall.
  for (int i = 0; i < 4'000; ++i) {
    world.read_both();
    world.run(milliseconds(10));
  }
  CHECK(world.server_books.ended.empty());
  CHECK(world.client_books.ended.empty());
  for (auto& [peer, channels] : world.server_books.received) {
    CHECK(channels[kReliable].size() == number);
    CHECK(channels[kReliable] == numbers_up_to(number));
  }
  CHECK(world.server_books.received.size() == 12);
}

TEST_CASE(
    "a stalled user: with the least memory everybody's messages are there as soon as the backoff has "
    "passed") {
  EndpointOptions options = StallWorld::options_for_both();
  for (ChannelDeclaration& channel : options.channels) channel.max_message_bytes = 4'096;
  options.max_sessions = 64;
  // The share of a peer is less than a message.
  options.max_reassembly_bytes = 65'536;
  StallWorld world(options);
  world.connect_all(12, false);
  world.run(milliseconds(50));
  world.read_both();
  world.server->fill_events();
  world.server_takes = false;
  std::uint64_t number = 0;
  for (; number < 500; ++number) {
    for (const Handle peer : world.client_books.connected) {
      REQUIRE(world.send_number(*world.client, peer, kReliable, number, 300) == SendStatus::kSent);
      REQUIRE(world.send_number(*world.client, peer, kUnordered, number, 300) == SendStatus::kSent);
    }
    world.run(milliseconds(10));
    world.read_both();
  }
  CHECK(world.server->count(Counter::dropReassemblyFull) > 0);
  world.server_takes = true;
  // A timeout that doubles comes no later than the stall was long; then all goes on at full speed.
  for (int i = 0; i < 800; ++i) {
    world.read_both();
    world.run(milliseconds(10));
  }
  CHECK(world.server_books.ended.empty());
  require_all_received(world.server_books, 12, number);
}

TEST_CASE("a stalled user: a client in the middle of its handshake goes on with it afterwards") {
  StallWorld world;
  world.World::connect(world.World::token(7));
  world.exchange();
  world.read_both();
  // Its RESPONSE does not arrive.
  world.lose = [] { return true; };
  world.exchange();
  world.read_both();
  world.client->fill_events();
  world.client_takes = false;
  for (int i = 0; i < 300; ++i) {
    world.run(milliseconds(10));
    world.read_both();
  }
  // It has not begun anew all the time.
  CHECK(world.client->kept_events() == 0);
  world.lose = {};
  world.client_takes = true;
  for (int i = 0; i < 200; ++i) {
    world.read_both();
    world.run(milliseconds(10));
  }
  CHECK(world.client_books.connected.size() == 1);
}

TEST_CASE("a stalled user: the first messages of many peers need memory too, though they are next") {
  EndpointOptions options = StallWorld::options_for_both();
  for (ChannelDeclaration& channel : options.channels) channel.max_message_bytes = 2'048;
  options.max_sessions = 64;
  options.credit = 4 * 1024;
  options.channel_credit = 4 * 1024;
  options.max_reassembly_bytes = 8 * options.credit;
  StallWorld world(options);
  for (std::uint64_t id = 1; id <= 40; ++id) {
    world.World::connect(world.World::token(id));
    world.run(milliseconds(50));
    world.read_both();
  }
  REQUIRE(world.client_books.connected.size() == 40);
  world.server->fill_events();
  world.server_takes = false;
  for (const Handle peer : world.client_books.connected)
    REQUIRE(world.send_number(*world.client, peer, kReliable, 0, 1'000) == SendStatus::kSent);
  world.run(seconds(2));
  CHECK(world.server->count(Counter::dropReassemblyFull) > 0);
  world.server_takes = true;
  for (int i = 0; i < 2'000; ++i) {
    world.read_both();
    world.run(milliseconds(10));
  }
  CHECK(world.server_books.ended.empty());
  CHECK(world.server_books.received.size() == 40);
  for (auto& [peer, channels] : world.server_books.received) CHECK(channels[kReliable] == numbers_up_to(1));
}

// Both users come and go, packets are lost, keys are updated.
void stall_at_random(std::uint64_t seed) {
  StallWorld world(StallWorld::options_for_both(), seed);
  world.connect_all(3, false);
  for (std::uint64_t id = 100; id < 102; ++id) world.connect_netcode(id);
  for (int i = 0; i < 4; ++i) world.exchange();
  world.read_both();
  SeededRandom random(seed);
  world.lose = [&] { return random.below(100) < 3; };
  const auto turn = [&](bool& takes, Node& node) {
    if (random.below(takes ? 60 : 400) == 0) takes = !takes;
    if (!takes && random.below(20) == 0) node.fill_events();
  };
  std::uint64_t number = 0;
  for (int step = 0; step < 1500; ++step) {
    turn(world.server_takes, *world.server);
    turn(world.client_takes, *world.client);
    for (std::size_t i = 0; i < 3; ++i) {
      for (const std::uint32_t channel : {kReliable, kUnordered}) {
        REQUIRE(world.send_number(*world.client, world.client_books.connected[i], channel, number,
                                  8 + random.below(400)) == SendStatus::kSent);
        REQUIRE(world.send_number(*world.server, world.server_books.connected[i], channel, number,
                                  8 + random.below(400)) == SendStatus::kSent);
      }
    }
    for (std::size_t i = 0; i < 5; ++i)
      static_cast<void>(world.send_number(*world.client, world.client_books.connected[i], kUnreliable, 0));
    ++number;
    if (random.below(100) == 0) {
      static_cast<void>(world.server->endpoint.update_keys(world.server_books.connected[random.below(3)],
                                                           nullptr, world.now));
      static_cast<void>(world.client->endpoint.update_keys(world.client_books.connected[random.below(3)],
                                                           nullptr, world.now));
    }
    world.run(milliseconds(10));
    world.read_both();
    REQUIRE(world.server->kept_events() <= 3 * 4);
    REQUIRE(world.client->kept_events() <= 3 * 4);
  }
  world.lose = {};
  world.server_takes = world.client_takes = true;
  for (int i = 0; i < 600; ++i) {
    world.read_both();
    world.run(milliseconds(10));
  }
  REQUIRE(world.server->endpoint.connected() == 5);
  REQUIRE(world.client->endpoint.connected() == 5);
  for (auto* const books : {&world.server_books, &world.client_books}) {
    REQUIRE(books->ended.empty());
    require_all_received(*books, 3, number);
  }
}

TEST_CASE("a user that stalls at random loses no peer and no reliable message") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    INFO("seed " << seed);
    stall_at_random(seed);
  }
}

}  // namespace
}  // namespace hawser::test
