// Endpoints on threads of their own, over sockets of 127.0.0.1: for tests of what threads do to each other.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "endpoint_support.hpp"
#include "engine/endpoint.hpp"
#include "io/io_thread.hpp"
#include "io/shard_group.hpp"
#include "io/udp_socket.hpp"

namespace hawser::test {

// Whether `condition` becomes true: nothing that works takes so long, on any machine.
template <class Condition>
[[nodiscard]] bool eventually(Condition&& condition) {
  const Instant end = steady_time() + std::chrono::seconds(60);
  while (!condition()) {
    if (steady_time() > end) return false;
    std::this_thread::yield();
  }
  return true;
}

inline std::unique_ptr<UdpSocket> open_loopback(SocketOptions options, std::uint16_t port = 0) {
  options.bind_address = SocketAddress::ipv4({127, 0, 0, 1}, port);
  auto opened = UdpSocket::open_native(options);
  if (!opened) FAIL(opened.error().operation << ": errno " << opened.error().system_errno);
  return *std::move(opened);
}

inline std::unique_ptr<UdpSocket> open_loopback(std::uint16_t port = 0, bool reuse_port = false) {
  SocketOptions options;
  options.reuse_port = reuse_port;
  return open_loopback(options, port);
}

// `count` of them on one port, in the order of their shards.
inline std::vector<std::unique_ptr<UdpSocket>> open_group(std::uint32_t count) {
  std::vector<std::unique_ptr<UdpSocket>> sockets;
  // Any port that nobody has: with `reuse_port` it might be that of another process's group.
  SocketOptions first;
  first.begins_group = true;
  sockets.push_back(open_loopback(first));
  while (sockets.size() < count) sockets.push_back(open_loopback(sockets[0]->local_address().port, true));
  return sockets;
}

// An endpoint on a thread, and its user, who keeps what it is told.
class ThreadedNode final : public IoThreadUser {
 public:
  static constexpr std::uint32_t kReliable = 1;

  // Channel 0 of a node is unreliable, the other one reliable.
  static EndpointOptions options(Mode mode) {
    EndpointOptions options;
    options.mode = mode;
    options.max_sessions = 64;
    options.max_half_open = 64;
    options.channels.push_back(
        {"reliable", "bytes", ChannelMode::kReliable, ChannelPriority::kNormal, 64 * 1024});
    return options;
  }

  ThreadedNode(const EndpointOptions& endpoint, GatewayState* gateway, std::unique_ptr<UdpSocket> socket,
               const IoThreadOptions& thread = {})
      : address(socket->local_address()),
        slab_(std::size_t{256} * 1024),
        descriptors_(8'192),
        random_(address.port + thread.shard),
        endpoint_(endpoint, gateway, random_, events_, Counters(counters_), steady_time()) {
    auto started =
        IoThread::start(std::move(socket), endpoint_, events_, *this, driver_counters_, nullptr, thread);
    REQUIRE(started.has_value());
    thread_ = *std::move(started);
    // As the drivers' user does, when it knows the thread.
    events_.use(slab_, descriptors_);
  }
  ~ThreadedNode() { thread_->join(); }

  [[nodiscard]] IoThread& thread() { return *thread_; }

  // What work(Endpoint&, Instant) returns, called on the thread.
  template <class F>
  auto call(F&& work) {
    std::invoke_result_t<F, Endpoint&, Instant> result{};
    thread_->call([&](Instant now) { result = work(endpoint_, now); });
    return result;
  }
  [[nodiscard]] std::uint64_t count(Counter counter) {
    return call([&](Endpoint&, Instant) { return counters_[static_cast<std::size_t>(counter)]; });
  }
  [[nodiscard]] DriverCounters driver_counters() {
    return call([&](Endpoint&, Instant) { return driver_counters_; });
  }
  // After join() these are the test's to read.
  [[nodiscard]] const DriverCounters& last_driver_counters() const { return driver_counters_; }

  // Leaves a message that the thread submits in its next turn.
  void send(Handle peer, std::uint32_t channel, Bytes message) {
    {
      const std::scoped_lock lock(mutex_);
      messages_.push_back({peer, channel, {message.begin(), message.end()}});
    }
    thread_->wake();
  }

  // Whether events are taken; at first they are.
  void set_taking(bool taking) {
    taking_ = taking;
    thread_->wake();
  }
  // What has been told so far, oldest first.
  [[nodiscard]] std::vector<Event> told() {
    const std::scoped_lock lock(mutex_);
    return told_;
  }
  [[nodiscard]] std::size_t told(EventKind kind) { return count_events(told(), kind); }
  // The peers of which a kConnect was told.
  [[nodiscard]] std::vector<Handle> connected() {
    std::vector<Handle> peers;
    for (const Event& event : told()) {
      if (event.kind == EventKind::kConnect) peers.push_back(event.peer);
    }
    return peers;
  }

  [[nodiscard]] bool thread_has_stopped() const { return stopped_ > 0; }
  [[nodiscard]] int times_stopped() const { return stopped_; }
  // How often the thread has called submit(), and from where.
  [[nodiscard]] std::uint64_t turns() const { return submissions_; }
  [[nodiscard]] std::thread::id thread_id() {
    return call([](Endpoint&, Instant) { return std::this_thread::get_id(); });
  }

  const SocketAddress address;

 private:
  struct Message {
    Handle peer;
    std::uint32_t channel;
    std::vector<std::byte> bytes;
  };

  void take_events() override {
    if (!taking_) return;
    const std::scoped_lock lock(mutex_);
    for (const EventDescriptor& event : events_.descriptors()) {
      const Bytes bytes = events_.bytes_of(event);
      told_.push_back({event.kind(),
                       Handle{event.slot, event.generation},
                       event.argument(),
                       {bytes.begin(), bytes.end()}});
    }
    events_.clear();
  }
  void submit(Instant now) override {
    ++submissions_;
    const std::scoped_lock lock(mutex_);
    for (const Message& each : std::exchange(messages_, {}))
      static_cast<void>(endpoint_.send(each.peer, each.channel, each.bytes, {}, now));
  }
  void flushed() override {}
  void thread_stopped() override { ++stopped_; }

  // Of the thread.
  std::vector<std::byte> slab_;
  std::vector<EventDescriptor> descriptors_;
  EventQueue events_;
  SeededRandom random_;
  std::array<std::uint64_t, kCounterCount> counters_{};
  DriverCounters driver_counters_;
  Endpoint endpoint_;

  std::atomic<bool> taking_ = true;
  std::atomic<int> stopped_ = 0;
  std::atomic<std::uint64_t> submissions_ = 0;
  std::mutex mutex_;
  std::vector<Message> messages_;
  std::vector<Event> told_;
  std::unique_ptr<IoThread> thread_;
};

// A gateway of several shards on one port, each with a thread.
class ThreadedGateway {
 public:
  explicit ThreadedGateway(std::uint32_t count = 1)
      : ThreadedGateway(count == 1 ? one_socket() : open_group(count)) {}
  // One shard for each socket.
  explicit ThreadedGateway(std::vector<std::unique_ptr<UdpSocket>> sockets)
      : group(static_cast<std::uint32_t>(sockets.size())),
        address_(sockets[0]->local_address()),
        state(options(address_), random_) {
    REQUIRE(initialise());
    const auto count = static_cast<std::uint32_t>(sockets.size());
    if (count > 1) state.set_bell(&group);
    EndpointOptions endpoint = ThreadedNode::options(Mode::kServer);
    endpoint.shards = count;
    for (endpoint.shard = 0; endpoint.shard < count; ++endpoint.shard) {
      const IoThreadOptions thread{.shard = endpoint.shard, .other_shards = count > 1 ? &group : nullptr};
      shards.push_back(
          std::make_unique<ThreadedNode>(endpoint, &state, std::move(sockets[endpoint.shard]), thread));
      group.join(endpoint.shard, shards.back()->thread());
    }
    for (const auto& shard : shards) shard->thread().begin();
  }
  ~ThreadedGateway() {
    for (std::uint32_t shard = 0; shard < shards.size(); ++shard) leave(shard);
  }
  // As a driver that closes.
  void leave(std::uint32_t shard) {
    group.leave(shard);
    shards[shard]->thread().join();
  }

  // Begins to connect.
  Handle connect(ThreadedNode& client, std::uint64_t client_id) {
    TokenParameters parameters = World::token_parameters(client_id);
    // A newer one for each call, of which the newest counts.
    parameters.create = wall_time() - std::chrono::seconds(60) + std::chrono::milliseconds(++tokens_);
    parameters.expire = parameters.create + std::chrono::hours(1);
    parameters.timeout = std::chrono::seconds(60);
    parameters.addresses = std::span(&address_, 1);
    std::vector<std::byte> token(kMaxTokenSize);
    const auto size = mint_token(token, parameters, test_key(1), token_random_);
    REQUIRE(size.has_value());
    token.resize(*size);
    return client.call([&](Endpoint& endpoint, Instant now) {
      const auto peer = endpoint.connect({kProtocolId, token, {}, std::chrono::seconds(60)}, now);
      return peer ? *peer : Handle{};
    });
  }

  [[nodiscard]] std::uint64_t handed_over() {
    std::uint64_t sum = 0;
    for (const auto& shard : shards) sum += shard->driver_counters().handed_over;
    return sum;
  }
  [[nodiscard]] std::uint64_t count(Counter counter) {
    std::uint64_t sum = 0;
    for (const auto& shard : shards) sum += shard->count(counter);
    return sum;
  }
  // The shard that was told of a client's newest connection, and what the peer is there.
  struct Place {
    std::uint32_t shard = 0;
    Handle peer;
  };
  [[nodiscard]] std::optional<Place> place_of(std::uint64_t client_id) {
    for (std::uint32_t shard = 0; shard < shards.size(); ++shard) {
      std::optional<Handle> there;
      for (const Event& event : shards[shard]->told()) {
        if (event.kind == EventKind::kConnect &&
            load_little_endian<std::uint64_t>(event.bytes.data() + ConnectRecordLayout::kClientId) ==
                client_id)
          there = event.peer;
        if (event.kind == EventKind::kDisconnect && event.peer == there) there.reset();
      }
      if (there) return Place{shard, *there};
    }
    return std::nullopt;
  }

  ShardGroup<IoThread> group;

 private:
  static std::vector<std::unique_ptr<UdpSocket>> one_socket() {
    std::vector<std::unique_ptr<UdpSocket>> sockets;
    sockets.push_back(open_loopback());
    return sockets;
  }
  static GatewayOptions options(const SocketAddress& address) {
    GatewayOptions options = gateway_options();
    options.advertised_addresses = {address};
    return options;
  }

  SocketAddress address_;
  SeededRandom random_{1};
  SeededRandom token_random_{2};
  int tokens_ = 0;

 public:
  GatewayState state;
  std::vector<std::unique_ptr<ThreadedNode>> shards;
};

// A client with a thread of its own that runs.
inline std::unique_ptr<ThreadedNode> threaded_client() {
  auto client =
      std::make_unique<ThreadedNode>(ThreadedNode::options(Mode::kClient), nullptr, open_loopback());
  client->thread().begin();
  return client;
}

}  // namespace hawser::test
