// The shards of a gateway, each on a thread and a socket of its own, as they hand over to each other. Linux
// only, for the threads are.
#include "io/shard_group.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "io/reuseport_steering.hpp"
#include "thread_support.hpp"

namespace hawser::test {
namespace {

// Clients with a port each, connected to a gateway whose kernel steers, or does not.
class Crowd {
 public:
  static constexpr std::uint32_t kClients = 8;

  Crowd(std::uint32_t shards, bool steered) : gateway(sockets(shards, steered)) {
    for (std::uint32_t id = 0; id < kClients; ++id) {
      clients.push_back(threaded_client());
      own.push_back(gateway.connect(*clients[id], id));
    }
    for (std::uint32_t id = 0; id < kClients; ++id) {
      REQUIRE(eventually([&] { return clients[id]->told(EventKind::kConnect) == 1; }));
      REQUIRE(eventually([&] { return gateway.place_of(id).has_value(); }));
      places.push_back(*gateway.place_of(id));
    }
  }

  // A message each way arrives for every client, where it belongs.
  void check_alive() {
    const std::array<std::byte, 4> message{};
    ++round_;
    for (std::uint32_t id = 0; id < kClients; ++id) {
      clients[id]->send(own[id], ThreadedNode::kReliable, message);
      gateway.shards[places[id].shard]->send(places[id].peer, ThreadedNode::kReliable, message);
    }
    for (std::uint32_t id = 0; id < kClients; ++id) {
      CAPTURE(id);
      CHECK(eventually([&] { return clients[id]->told(EventKind::kMessage) == round_; }));
      CHECK(eventually([&] { return arrived(id) == round_; }));
    }
  }
  // All clients go on from other ports.
  void move() {
    for (const auto& client : clients) client->thread().replace_socket(open_loopback())->close();
  }

  ThreadedGateway gateway;
  std::vector<std::unique_ptr<ThreadedNode>> clients;
  std::vector<Handle> own;
  std::vector<ThreadedGateway::Place> places;

 private:
  static std::vector<std::unique_ptr<UdpSocket>> sockets(std::uint32_t shards, bool steered) {
    auto group = open_group(shards);
    if (steered) REQUIRE(steer_in_kernel(*group[0], ShardSteering(shards, false, 8)));
    return group;
  }
  // Messages of a client at the shard that has its peer.
  std::size_t arrived(std::uint32_t id) {
    std::size_t count = 0;
    for (const Event& event : gateway.shards[places[id].shard]->told())
      count += event.kind == EventKind::kMessage && event.peer == places[id].peer ? 1U : 0U;
    return count;
  }

  std::size_t round_ = 0;
};

TEST_CASE("shard group: where the kernel steers, nothing has to be handed over, even of clients that move") {
  for (const std::uint32_t shards : {2U, 4U}) {
    CAPTURE(shards);
    Crowd crowd(shards, true);
    crowd.check_alive();
    for (int round = 0; round < 3; ++round) {
      crowd.move();
      crowd.check_alive();
    }
    CHECK(crowd.gateway.handed_over() == 0);
    CHECK(crowd.gateway.count(Counter::movesBegun) > 0);
    CHECK(crowd.gateway.count(Counter::dropForeignShard) == 0);
    CHECK(crowd.gateway.count(Counter::resetsSent) == 0);
  }
}

TEST_CASE("shard group: where it does not, clients that move are handed over to their shards") {
  for (const std::uint32_t shards : {2U, 4U}) {
    CAPTURE(shards);
    Crowd crowd(shards, false);
    crowd.check_alive();
    // The hash of the addresses puts every datagram of one port at one socket.
    CHECK(crowd.gateway.handed_over() == 0);
    CHECK(eventually([&] {
      crowd.move();
      crowd.check_alive();
      return crowd.gateway.handed_over() > 0;
    }));
    CHECK(crowd.gateway.count(Counter::dropForeignShard) == 0);
    CHECK(crowd.gateway.count(Counter::peersTimedOut) == 0);
    // A packet that waited longer than what retired its id may have been answered by a RESET, which ends
    // nobody.
    for (const auto& client : crowd.clients) CHECK(client->told(EventKind::kDisconnect) == 0);
  }
}

TEST_CASE("shard group: a client id that connects to another shard replaces its peer, which is told") {
  ThreadedGateway gateway(4);
  const auto first = threaded_client();
  gateway.connect(*first, 7);
  REQUIRE(eventually([&] { return gateway.place_of(7).has_value(); }));
  const auto place = *gateway.place_of(7);
  // One whose address the kernel puts elsewhere.
  std::vector<std::unique_ptr<ThreadedNode>> others;
  std::set<std::uint32_t> seen{place.shard};
  for (std::uint64_t id = 100; seen.size() < 2; ++id) {
    REQUIRE(id < 200);
    others.push_back(threaded_client());
    gateway.connect(*others.back(), id);
    REQUIRE(eventually([&] { return gateway.place_of(id).has_value(); }));
    seen.insert(gateway.place_of(id)->shard);
  }
  gateway.connect(*others.back(), 7);
  const auto told = [&] {
    const auto events = gateway.shards[place.shard]->told();
    const Event* const end = find_event(events, EventKind::kDisconnect);
    return end == nullptr ? std::optional<std::uint32_t>() : end->argument;
  };
  CHECK(eventually([&] { return told().has_value(); }));
  CHECK(told() == static_cast<std::uint32_t>(DisconnectResult::kReplaced));
  CHECK(eventually([&] { return first->told(EventKind::kDisconnect) == 1; }));
  CHECK(others.back()->told(EventKind::kDisconnect) == 0);
  CHECK(eventually([&] { return gateway.place_of(7).has_value(); }));
  CHECK(gateway.place_of(7)->shard != place.shard);
}

TEST_CASE("shard group: what is for a shard that has left is dropped and counted, and the others go on") {
  Crowd crowd(4, false);
  const std::uint32_t gone = crowd.places[0].shard;
  crowd.gateway.leave(gone);
  std::vector<std::byte> bytes(50);
  CHECK_FALSE(crowd.gateway.group.hand_over(gone, {bytes, {}, {}, 0}));
  crowd.gateway.group.ring(gone);
  const std::array<std::byte, 4> message{};
  for (std::uint32_t id = 0; id < Crowd::kClients; ++id) {
    crowd.clients[id]->thread().replace_socket(open_loopback())->close();
    crowd.clients[id]->send(crowd.own[id], ThreadedNode::kReliable, message);
    if (crowd.places[id].shard == gone) continue;
    CHECK(eventually(
        [&] { return crowd.gateway.shards[crowd.places[id].shard]->told(EventKind::kMessage) > 0; }));
  }
}

// What a driver does that closes while the others are at work.
TEST_CASE(
    "shard group: handing over and ringing while a shard leaves reaches it or fails, and nothing else") {
  for (int round = 0; round < 20; ++round) {
    ThreadedGateway gateway(2);
    std::atomic<bool> done = false;
    std::atomic<std::uint32_t> handed = 0;
    std::atomic<std::uint32_t> failed = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 2; ++i) {
      threads.emplace_back([&] {
        std::vector<std::byte> bytes(50, std::byte{0xff});
        while (!done) {
          ++(gateway.group.hand_over(1, {bytes, {}, {}, 0}) ? handed : failed);
          gateway.group.ring(1);
        }
      });
    }
    CHECK(eventually([&] { return handed > 100; }));
    gateway.leave(1);
    gateway.shards.pop_back();
    const std::uint32_t before = failed;
    CHECK(eventually([&] { return failed > before + 100; }));
    done = true;
    for (std::thread& thread : threads) thread.join();
  }
}

}  // namespace
}  // namespace hawser::test
