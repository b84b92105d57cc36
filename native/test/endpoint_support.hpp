// A gateway and its clients without network and without delay: for tests of single rules. Whole behaviour
// over bad networks is the simulation's (simulation_test.cpp).
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "crypto/sodium.hpp"
#include "engine/endpoint.hpp"
#include "wire/connect_token.hpp"

namespace hawser::test {

inline constexpr std::uint64_t kProtocolId = 0x1234;
inline constexpr WallTime kStartWall{std::chrono::milliseconds(1'800'000'000'000)};
inline constexpr Instant kStart{std::chrono::seconds(1'000)};
inline const SocketAddress kServerAddress = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
// Another address of the same gateway.
inline const SocketAddress kSecondServerAddress = SocketAddress::ipv4({10, 0, 0, 2}, 4000);
inline const SocketAddress kClientAddress = SocketAddress::ipv4({10, 0, 1, 2}, 5000);

inline Key test_key(std::uint8_t fill) {
  Key key;
  for (std::byte& byte : key.mutable_bytes()) byte = std::byte{fill};
  return key;
}

struct Event {
  EventKind kind;
  Handle peer;
  std::uint32_t argument;
  std::vector<std::byte> bytes;
};

// An endpoint with storage of its own for events and counters.
class Node {
 public:
  Node(const EndpointOptions& options, GatewayState* gateway, std::uint64_t seed,
       const SocketAddress& own_address, Instant now = kStart)
      : address(own_address),
        slab_(256 * 1024),
        descriptors_(8192),
        events_(slab_, descriptors_),
        random_(seed),
        endpoint(options, gateway, random_, events_, Counters(counters_), now) {
    endpoint.set_wall_clock(kStart, kStartWall);
  }

  [[nodiscard]] std::uint64_t count(Counter counter) const {
    return counters_[static_cast<std::size_t>(counter)];
  }

  void clear_events() { events_.clear(); }
  // Leaves no room for any event, until they are taken.
  void fill_events() {
    const std::vector<std::byte> filler(1024);
    for (std::size_t size = filler.size();; size /= 2) {
      while (events_.push(EventKind::kDrain, {}, 0, Bytes(filler).first(size))) {
      }
      if (size == 0) return;
    }
  }
  [[nodiscard]] std::size_t kept_events() const { return events_.kept(); }
  [[nodiscard]] std::span<const EventDescriptor> peek_events() const { return events_.descriptors(); }
  [[nodiscard]] bool has_room_for_events() const { return events_.has_room(); }

  std::vector<Event> take_events() {
    std::vector<Event> events;
    for (const EventDescriptor& event : events_.descriptors()) {
      const Bytes bytes = events_.bytes_of(event);
      events.push_back({event.kind(),
                        Handle{event.slot, event.generation},
                        event.argument(),
                        {bytes.begin(), bytes.end()}});
    }
    events_.clear();
    return events;
  }

  const SocketAddress address;

 private:
  std::vector<std::byte> slab_;
  std::vector<EventDescriptor> descriptors_;
  EventQueue events_;
  SeededRandom random_;
  std::array<std::uint64_t, kCounterCount> counters_{};

 public:
  Endpoint endpoint;
};

struct Sent {
  SocketAddress from;
  SocketAddress to;
  std::vector<std::byte> bytes;
};

inline GatewayOptions gateway_options() {
  GatewayOptions options;
  options.protocol_id = kProtocolId;
  options.keys.push_back(ServerKey{1, test_key(1)});
  options.advertised_addresses = {kServerAddress, kSecondServerAddress};
  options.reset_key = test_key(2);
  options.started = kStartWall - std::chrono::hours(1);
  options.clock_skew = std::chrono::seconds(5);
  options.restart_guard = std::chrono::seconds(5);
  return options;
}

// A gateway at kServerAddress and one client socket at kClientAddress; `pump` carries every datagram over at
// once.
class World {
 public:
  explicit World(GatewayOptions options = gateway_options(), EndpointOptions server_options = {},
                 std::uint64_t seed = 1)
      : random(seed), gateway(std::move(options), random) {
    REQUIRE(initialise());
    server_options.mode = Mode::kServer;
    server = std::make_unique<Node>(server_options, &gateway, seed + 1, kServerAddress);
    client = std::make_unique<Node>(EndpointOptions{}, nullptr, seed + 2, kClientAddress);
  }

  std::vector<std::byte> token(std::uint64_t client_id, bool single_use = false, WallTime create = kStartWall,
                               std::vector<SocketAddress> addresses = {kServerAddress},
                               std::string_view user_data = {}) {
    TokenParameters parameters = token_parameters(client_id);
    parameters.single_use = single_use;
    parameters.create = create;
    parameters.expire = create + std::chrono::hours(1);
    parameters.addresses = addresses;
    parameters.user_data = bytes_of(user_data);
    return mint(parameters);
  }

  // Good for an hour from the start, without addresses.
  static TokenParameters token_parameters(std::uint64_t client_id) {
    TokenParameters parameters;
    parameters.protocol_id = kProtocolId;
    parameters.key_id = 1;
    parameters.create = kStartWall;
    parameters.expire = kStartWall + std::chrono::hours(1);
    parameters.client_id = client_id;
    parameters.timeout = std::chrono::seconds(10);
    return parameters;
  }

  std::vector<std::byte> mint(const TokenParameters& parameters) {
    std::vector<std::byte> bytes(kMaxTokenSize);
    const auto size = mint_token(bytes, parameters, test_key(1), random);
    REQUIRE(size.has_value());
    bytes.resize(*size);
    return bytes;
  }

  Handle connect(Bytes token, Duration timeout = std::chrono::seconds(10)) {
    const auto handle = client->endpoint.connect(ConnectOptions{kProtocolId, token, {}, timeout}, now);
    REQUIRE(handle.has_value());
    return *handle;
  }

  // One exchange: both sides flush, and what they sent arrives at the other.
  void exchange() {
    for (Node* node : {client.get(), server.get()}) {
      node->endpoint.flush(now);
      for (;;) {
        const auto output = node->endpoint.output();
        if (output.empty()) break;
        for (const OutgoingDatagram& datagram : output) {
          const bool bound = datagram.local.family == SocketAddress::Family::kNone;
          Sent sent{bound ? node->address : datagram.local,
                    datagram.remote,
                    {datagram.bytes.begin(), datagram.bytes.end()}};
          log.push_back(sent);
          if (!filter || filter(sent)) deliver(sent);
        }
        node->endpoint.output_sent(output.size());
      }
    }
  }

  void deliver(const Sent& sent) {
    Node* node = sent.to == kServerAddress || sent.to == kSecondServerAddress ? server.get()
                 : sent.to == kClientAddress                                  ? client.get()
                                                                              : nullptr;
    if (node == nullptr) return;
    std::vector<std::byte> copy = sent.bytes;
    node->endpoint.receive(ReceivedDatagram{copy, sent.from, sent.to, 0}, now);
  }

  void run(Duration duration, Duration step = std::chrono::milliseconds(10)) {
    for (const Instant end = now + duration; now < end;) {
      now += step;
      server->endpoint.advance(now);
      client->endpoint.advance(now);
      exchange();
    }
  }

  // Connects and returns {client's handle, server's handle}.
  std::pair<Handle, Handle> connected(std::uint64_t client_id = 7) {
    const Handle own = connect(token(client_id));
    for (int i = 0; i < 4; ++i) exchange();
    Handle other{};
    for (const Event& event : server->take_events()) {
      if (event.kind == EventKind::kConnect) other = event.peer;
    }
    client->take_events();
    REQUIRE(other.generation != 0);
    return {own, other};
  }

  Instant now = kStart;
  SeededRandom random;
  GatewayState gateway;
  std::unique_ptr<Node> server;
  std::unique_ptr<Node> client;
  std::vector<Sent> log;
  std::function<bool(const Sent&)> filter;
};

inline std::size_t count_events(const std::vector<Event>& events, EventKind kind) {
  std::size_t count = 0;
  for (const Event& event : events) count += event.kind == kind ? 1U : 0U;
  return count;
}

// The u32 that begins the bytes of kDisconnect (its code) and of kConnectFailed (the reason of DENIED).
inline std::uint32_t code_of(const Event& event) {
  return load_little_endian<std::uint32_t>(event.bytes.data());
}

// What else begins the bytes of kDisconnect.
inline std::chrono::milliseconds reconnect_spread_of(const Event& event) {
  return std::chrono::milliseconds(load_little_endian<std::uint32_t>(event.bytes.data() + 4));
}

// The first event of a kind, or nothing.
inline const Event* find_event(const std::vector<Event>& events, EventKind kind) {
  for (const Event& event : events) {
    if (event.kind == kind) return &event;
  }
  return nullptr;
}

}  // namespace hawser::test
