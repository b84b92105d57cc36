// An endpoint on a thread of its own, and what its owner may do to it. Linux only, as what it tests.
#include "io/io_thread.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "io/turns.hpp"
#include "thread_support.hpp"
#include "udp_socket_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

std::vector<std::byte> numbered(std::uint32_t number, std::size_t size = 4) {
  std::vector<std::byte> bytes(size);
  store_little_endian(bytes.data(), number);
  return bytes;
}

std::vector<std::uint32_t> numbers_of(const std::vector<Event>& events) {
  std::vector<std::uint32_t> numbers;
  for (const Event& event : events) {
    if (event.kind == EventKind::kMessage)
      numbers.push_back(load_little_endian<std::uint32_t>(event.bytes.data()));
  }
  return numbers;
}

std::vector<std::uint32_t> numbers_to(std::uint32_t count) {
  std::vector<std::uint32_t> numbers(count);
  for (std::uint32_t i = 0; i < count; ++i) numbers[i] = i;
  return numbers;
}

// A gateway and a client that are connected, on threads of their own.
struct Connection {
  Connection() {
    own = gateway.connect(*client, 7);
    REQUIRE(eventually([&] { return client->told(EventKind::kConnect) == 1; }));
    REQUIRE(eventually([&] { return server().told(EventKind::kConnect) == 1; }));
    other = server().connected().front();
  }
  [[nodiscard]] ThreadedNode& server() { return *gateway.shards[0]; }

  // A message each way arrives.
  void check_alive() {
    const std::size_t there = server().told(EventKind::kMessage);
    const std::size_t here = client->told(EventKind::kMessage);
    client->send(own, ThreadedNode::kReliable, numbered(1));
    server().send(other, ThreadedNode::kReliable, numbered(1));
    CHECK(eventually([&] { return server().told(EventKind::kMessage) == there + 1; }));
    CHECK(eventually([&] { return client->told(EventKind::kMessage) == here + 1; }));
  }

  ThreadedGateway gateway;
  std::unique_ptr<ThreadedNode> client = threaded_client();
  Handle own;
  Handle other;
};

TEST_CASE("io thread: a gateway and a client, each on one, exchange messages and PINGs") {
  Connection connection;
  constexpr std::uint32_t kMessages = 500;
  for (std::uint32_t i = 0; i < kMessages; ++i) {
    connection.client->send(connection.own, ThreadedNode::kReliable, numbered(i, 4 + i));
    connection.server().send(connection.other, ThreadedNode::kReliable, numbered(i, 4 + i));
  }
  CHECK(eventually([&] { return connection.server().told(EventKind::kMessage) == kMessages; }));
  CHECK(eventually([&] { return connection.client->told(EventKind::kMessage) == kMessages; }));
  CHECK(numbers_of(connection.server().told()) == numbers_to(kMessages));
  CHECK(numbers_of(connection.client->told()) == numbers_to(kMessages));
  CHECK(eventually([&] { return connection.client->count(Counter::pongsReceived) > 0; }));
  CHECK(eventually([&] { return connection.server().count(Counter::pongsReceived) > 0; }));
}

TEST_CASE("turns: the user is called for what it holds itself and for what waits, and not for nothing") {
  struct User final : TurnUser {
    void take_events() override { ++calls; }
    bool holds_events() override { return holding; }
    void submit(Instant /*now*/) override {}
    void flushed() override {}

    bool holding = false;
    int calls = 0;
  };
  std::vector<std::byte> slab(256 * 1024);
  std::vector<EventDescriptor> descriptors(8192);
  EventQueue events(slab, descriptors);
  std::array<std::uint64_t, kCounterCount> counters{};
  DriverCounters driver_counters;
  SeededRandom random(1);
  Endpoint endpoint({}, nullptr, random, events, Counters(counters), steady_time());
  User user;
  Turns turns(open_loopback(), endpoint, events, user, driver_counters, nullptr, nullptr);
  turns.finish();
  CHECK(user.calls == 0);
  user.holding = true;
  turns.finish();
  CHECK(std::exchange(user.calls, 0) > 0);
  user.holding = false;
  events.want_room(300'000);
  turns.finish();
  CHECK(user.calls > 0);
  turns.end();
  turns.socket().close();
}

TEST_CASE("io thread: with a budget for spinning the same happens") {
  ThreadedGateway gateway;
  ThreadedNode client(ThreadedNode::options(Mode::kClient), nullptr, open_loopback(),
                      {.spin = milliseconds(1), .shard = 9});
  client.thread().begin();
  const Handle own = gateway.connect(client, 7);
  CHECK(eventually([&] { return client.told(EventKind::kConnect) == 1; }));
  for (std::uint32_t i = 0; i < 200; ++i) {
    client.send(own, ThreadedNode::kReliable, numbered(i));
    CHECK(eventually([&] { return gateway.shards[0]->told(EventKind::kMessage) == i + 1; }));
  }
}

TEST_CASE_TEMPLATE("io thread: a size that the interface refuses is probed once, and messages go on", Kind,
                   Native, Portable) {
  // Restores it whatever happens, before the threads of other tests begin.
  struct Limit {
    explicit Limit(std::size_t bytes) { interface_limit = bytes; }
    ~Limit() { interface_limit = 0; }
    Limit(const Limit&) = delete;
    Limit& operator=(const Limit&) = delete;
  };
  ThreadedGateway gateway;
  ThreadedNode client(ThreadedNode::options(Mode::kClient), nullptr, open<Kind>(loopback()));
  client.thread().begin();
  const Handle own = gateway.connect(client, 7);
  REQUIRE(eventually([&] { return client.told(EventKind::kConnect) == 1; }));
  const Limit limit(1'300);
  const auto longest_datagram = [&] {
    return client.call(
        [&](Endpoint& endpoint, Instant now) { return endpoint.status(own, now)->max_datagram; });
  };
  std::size_t sent = 0;
  const auto send_until = [&](auto&& condition) {
    return eventually([&] {
      client.send(own, ThreadedNode::kReliable, numbered(0, 20'000));
      ++sent;
      const bool arrived = eventually([&] { return gateway.shards[0]->told(EventKind::kMessage) == sent; });
      return arrived && condition();
    });
  };
  // 1,472, 1,432 and 1,352 are refused, 1,252 passes: the search is complete, without waiting for losses.
  CHECK(send_until([&] { return longest_datagram() == 1'252; }));
  const auto too_long = [&] { return drops(client.driver_counters().socket, SendDropReason::kTooLong); };
  CHECK(too_long() == 3);
  // The interface now carries less than was found: nothing blocks the queue.
  interface_limit = 1'240;
  CHECK(send_until([&] { return longest_datagram() == 1'200; }));
  CHECK(too_long() > 3);
}

// As in the driver for Node, where the one who takes them is the event loop.
TEST_CASE("io thread: while its user takes no events it answers PINGs and loses no peer") {
  Connection connection;
  ThreadedNode& server = connection.server();
  server.set_taking(false);
  // Until nothing more fits.
  const std::vector<std::byte> long_message(1'000);
  CHECK(eventually([&] {
    for (int i = 0; i < 50; ++i) connection.client->send(connection.own, 0, long_message);
    return server.count(Counter::dropEventQueueFull) > 0;
  }));
  connection.client->send(connection.own, ThreadedNode::kReliable, numbered(1));
  // Those that only keep a session alive are 20 s apart as soon as the clocks have been compared: a client
  // that may be on another path sends one at once.
  for (int ping = 0; ping < 3; ++ping) {
    const std::uint64_t pongs = connection.client->count(Counter::pongsReceived);
    connection.client->call([](Endpoint& endpoint, Instant now) { return endpoint.rebound(now), true; });
    CHECK(eventually([&] { return connection.client->count(Counter::pongsReceived) > pongs; }));
  }
  CHECK(server.call([](Endpoint& endpoint, Instant) { return endpoint.connected(); }) == 1);
  const std::size_t told = server.told(EventKind::kMessage);
  server.set_taking(true);
  // The message that waited comes with the dropped ones' neighbours.
  CHECK(eventually([&] {
    const auto events = server.told();
    return events.size() > told && std::ranges::any_of(events, [](const Event& each) {
             return each.kind == EventKind::kMessage && each.argument == ThreadedNode::kReliable;
           });
  }));
  connection.check_alive();
}

TEST_CASE("io thread: while its user takes no events it sleeps") {
  Connection connection;
  ThreadedNode& server = connection.server();
  server.set_taking(false);
  CHECK(eventually([&] {
    for (int i = 0; i < 50; ++i) connection.client->send(connection.own, 0, std::vector<std::byte>(1'000));
    return server.count(Counter::dropEventQueueFull) > 0;
  }));
  // Its user waits for a drain event, too, for which there is no room.
  server.call([](Endpoint& endpoint, Instant) { return endpoint.owe_drain(), true; });
  CHECK(eventually([&] {
    return server.call([](Endpoint& endpoint, Instant now) { return endpoint.next_deadline() > now; });
  }));
}

TEST_CASE("io thread: a call runs on the thread after what was submitted, and returns when it has run") {
  Connection connection;
  const std::thread::id thread = connection.client->thread_id();
  CHECK(thread != std::this_thread::get_id());
  for (std::uint32_t i = 0; i < 2'000; ++i) {
    connection.client->send(connection.own, ThreadedNode::kReliable, numbered(i));
    REQUIRE(connection.client->count(Counter::messagesSent) == i + 1);
    // Not atomic: the thread and its owner take turns.
    std::uint32_t ran = 0;
    const bool there = connection.client->call([&](Endpoint&, Instant) {
      ++ran;
      return std::this_thread::get_id() == thread;
    });
    REQUIRE(there);
    REQUIRE(ran == 1);
  }
}

TEST_CASE("io thread: a call is not held up by traffic that never ends") {
  Connection connection;
  std::atomic<bool> done = false;
  std::thread flood([&] {
    const auto socket = open_loopback();
    const std::array<std::byte, 40> junk{};
    std::array<OutgoingDatagram, 32> batch;
    batch.fill({junk, connection.server().address, {}, 0});
    while (!done) socket->send(batch);
  });
  for (int i = 0; i < 30; ++i) CHECK(connection.server().count(Counter::peersConnected) == 1);
  done = true;
  flood.join();
  connection.check_alive();
}

TEST_CASE("io thread: goes on over another socket, and gives the one before back") {
  Connection connection;
  for (std::uint64_t moves = 1; moves <= 3; ++moves) {
    auto fresh = open_loopback();
    const SocketAddress address = fresh->local_address();
    const auto former = connection.client->thread().replace_socket(std::move(fresh));
    CHECK(former->descriptor() != kInvalidSocket);
    former->close();
    connection.check_alive();
    CHECK(eventually([&] {
      return connection.server().call([&](Endpoint& endpoint, Instant now) {
        const auto status = endpoint.status(connection.other, now);
        return status && status->remote == address;
      });
    }));
    // Both sockets together.
    CHECK(connection.client->driver_counters().socket.datagrams_in >
          connection.client->driver_counters().socket.datagrams_out / 10);
  }
  CHECK(connection.client->driver_counters().socket.datagrams_out > 3);
}

TEST_CASE("io thread: tells of the stop once, and not before its user has taken the last events") {
  Connection connection;
  ThreadedNode& server = connection.server();
  server.set_taking(false);
  server.call([](Endpoint& endpoint, Instant now) { return endpoint.stop(5, "bye", now), true; });
  CHECK(eventually([&] {
    return server.call([](Endpoint& endpoint, Instant) { return endpoint.state(); }) == SocketState::kStopped;
  }));
  // Turns that could have told of it.
  for (int i = 0; i < 3; ++i) static_cast<void>(server.thread_id());
  CHECK_FALSE(server.thread_has_stopped());
  CHECK(server.told(EventKind::kDisconnect) == 0);
  server.set_taking(true);
  CHECK(eventually([&] { return server.thread_has_stopped(); }));
  CHECK(server.told(EventKind::kDisconnect) == 1);
  CHECK(eventually([&] { return connection.client->told(EventKind::kDisconnect) == 1; }));
  for (int i = 0; i < 3; ++i) static_cast<void>(server.thread_id());
  server.thread().join();
  CHECK(server.times_stopped() == 1);
}

TEST_CASE("io thread: joining in the middle of traffic ends it, and gives the port back") {
  for (int round = 0; round < 5; ++round) {
    Connection connection;
    std::atomic<bool> done = false;
    std::thread flood([&] {
      const std::vector<std::byte> message(1'000);
      while (!done) connection.client->send(connection.own, 0, message);
    });
    REQUIRE(eventually([&] { return connection.server().told(EventKind::kMessage) > 0; }));
    ThreadedNode& server = connection.server();
    connection.gateway.leave(0);
    const std::uint64_t turns = server.turns();
    const std::size_t told = server.told().size();
    static_cast<void>(open_loopback(server.address.port));
    // Waking it, and joining it again, does nothing.
    server.thread().wake();
    server.thread().join();
    done = true;
    flood.join();
    CHECK(server.turns() == turns);
    CHECK(server.told().size() == told);
    CHECK(server.last_driver_counters().socket.datagrams_in > 0);
  }
}

TEST_CASE("io thread: one that has not begun calls nobody, and ends when it is joined") {
  for (const bool waiting : {false, true}) {
    CAPTURE(waiting);
    ThreadedNode node(ThreadedNode::options(Mode::kClient), nullptr, open_loopback());
    std::vector<std::byte> bytes(100);
    if (waiting) CHECK(node.thread().mailbox().put({bytes, node.address, node.address, 0}));
    node.thread().wake();
    node.thread().join();
    CHECK(node.turns() == 0);
    CHECK(node.told().empty());
    static_cast<void>(open_loopback(node.address.port));
  }
}

TEST_CASE("io thread: what wakes and begins it at the same time as it ends does no harm") {
  for (int round = 0; round < 100; ++round) {
    ThreadedNode node(ThreadedNode::options(Mode::kClient), nullptr, open_loopback());
    std::atomic<bool> go = false;
    std::thread other([&] {
      std::vector<std::byte> bytes(100);
      while (!go) std::this_thread::yield();
      for (int i = 0; i < 50; ++i) {
        static_cast<void>(node.thread().mailbox().put({bytes, node.address, node.address, 0}));
        node.thread().wake();
      }
    });
    go = true;
    node.thread().begin();
    if (round % 2 == 0) static_cast<void>(node.thread_id());
    node.thread().join();
    other.join();
  }
}

TEST_CASE("io thread: takes what is in its mailbox, as handed over") {
  Connection connection;
  ThreadedNode& server = connection.server();
  const std::uint64_t before = server.count(Counter::datagramsReceived);
  std::vector<std::byte> junk(50, std::byte{0xff});
  for (int i = 0; i < 10; ++i)
    REQUIRE(server.thread().mailbox().put({junk, connection.client->address, server.address, 0}));
  server.thread().wake();
  CHECK(eventually([&] { return server.count(Counter::dropUnknownType) == 10; }));
  CHECK(server.count(Counter::datagramsReceived) >= before + 10);
  CHECK(server.thread().mailbox().empty());
}

// A socket that always has something to read, and whose send buffer is full until it was asked for room.
class BusySocket final : public UdpSocket {
 public:
  explicit BusySocket(std::unique_ptr<UdpSocket> socket)
      : UdpSocket(state_of(*socket), nullptr), socket_(std::move(socket)) {}

  std::size_t receive(std::span<ReceivedDatagram> out) override {
    drained_ = false;
    return socket_->receive(out);
  }
  void rest() override { socket_->rest(); }
  void close() override { socket_->close(); }

 private:
  SendResult send_in_order(std::span<const OutgoingDatagram> datagrams, TooLongHandler too_long) override {
    if (std::exchange(full_, false)) return {.blocked = true};
    const SendResult result = socket_->send(datagrams, too_long);
    counters_ = socket_->counters();
    full_ = true;
    return result;
  }
  static OpenSocket state_of(const UdpSocket& socket) {
    OpenSocket state;
    state.descriptor = socket.descriptor();
    state.local_address = socket.local_address();
    state.features = socket.features();
    return state;
  }

  std::unique_ptr<UdpSocket> socket_;
  bool full_ = true;
};

TEST_CASE("io thread: one that never reads its socket empty sends on when a full buffer has room again") {
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  sockets.push_back(std::make_unique<BusySocket>(open_loopback()));
  ThreadedGateway gateway(std::move(sockets));
  const auto client = threaded_client();
  gateway.connect(*client, 7);
  CHECK(eventually([&] { return client->told(EventKind::kConnect) == 1; }));
  CHECK(gateway.shards[0]->driver_counters().unfinished_turns > 0);
}

}  // namespace
}  // namespace hawser::test
