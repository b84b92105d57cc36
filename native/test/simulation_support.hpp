// Programs in a simulated network: an endpoint with a user that keeps books on what it is told and checks, at
// every event, what must hold for every run whatever the network does.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "crypto/sodium.hpp"
#include "engine/endpoint.hpp"
#include "engine/gateway_state.hpp"
#include "io/simulation.hpp"
#include "wire/connect_token.hpp"

namespace hawser::test {

inline constexpr std::uint64_t kSimulatedProtocol = 0x5157;
inline constexpr WallTime kSimulatedStart{std::chrono::milliseconds(1'800'000'000'000)};

inline std::optional<std::uint64_t> environment_number(const char* name) {
  const char* const text = std::getenv(name);
  if (text == nullptr) return std::nullopt;
  return std::strtoull(text, nullptr, 10);
}

// Runs the scenario for each seed, 100 of them, or HAWSER_SEEDS=n; HAWSER_SEED=s repeats one, as a failure
// says. `share`: one in so many of that number.
inline void for_each_seed(std::uint64_t share, const std::function<void(std::uint64_t)>& scenario) {
  constexpr std::uint64_t kDefaultSeeds = 100;
  const auto run = [&](std::uint64_t seed) {
    INFO("HAWSER_SEED=" << seed);
    scenario(seed);
  };
  if (const auto only = environment_number("HAWSER_SEED")) return run(*only);
  const std::uint64_t count = environment_number("HAWSER_SEEDS").value_or(kDefaultSeeds);
  for (std::uint64_t seed = 1; seed <= std::max<std::uint64_t>(count / share, 1); ++seed) run(seed);
}

inline double fraction(RandomSource& random, double limit) { return limit * random.below(1001) / 1000; }

inline Key simulated_key(std::uint8_t fill) {
  Key key;
  for (std::byte& byte : key.mutable_bytes()) byte = std::byte{fill};
  return key;
}

// What one side knows of one connection.
struct Connection {
  std::uint64_t client_id = 0;
  Wire wire = Wire::kHawser;
  std::optional<ConnectResult> failed;
  bool connected = false;
  std::optional<DisconnectResult> ended;
  Instant connected_at{};  // of the simulation
  std::optional<Key> exported;
  std::set<std::uint64_t> received;
  std::uint32_t epoch = 0;
  std::uint32_t refused_updates = 0;

  [[nodiscard]] bool decided() const { return connected || failed.has_value(); }
  [[nodiscard]] bool alive() const { return connected && !ended; }
};

class Program final : public DriverUser {
 public:
  struct Clock {
    Instant origin{};
    std::int64_t drift_ppb = 0;
  };

  // A gateway with `gateway`, a client without.
  Program(Simulation& simulation, const SocketAddress& address, std::optional<GatewayOptions> gateway,
          Clock clock, EndpointOptions options = {})
      : simulation_(simulation),
        slab_(256 * 1024),
        descriptors_(8192),
        events_(slab_, descriptors_),
        gateway_random_(simulation.next_seed()),
        endpoint_random_(simulation.next_seed()) {
    REQUIRE(initialise());
    auto node = SimulatedNode::open(simulation, address, false);
    REQUIRE(node.has_value());
    node_ = *std::move(node);
    node_->set_clock(clock.origin, clock.drift_ppb);
    drift_ppb_ = clock.drift_ppb;
    if (gateway) {
      options.mode = Mode::kServer;
      gateway_ = std::make_unique<GatewayState>(*std::move(gateway), gateway_random_);
    }
    endpoint_ = std::make_unique<Endpoint>(options, gateway_.get(), endpoint_random_, events_,
                                           Counters(counters_), node_->now());
    node_->start(*endpoint_, events_, *this, driver_counters_);
  }

  [[nodiscard]] Endpoint& endpoint() { return *endpoint_; }
  [[nodiscard]] SimulatedNode& node() { return *node_; }
  [[nodiscard]] std::map<std::uint64_t, Connection>& connections() { return connections_; }
  [[nodiscard]] std::int64_t drift_ppb() const { return drift_ppb_; }
  [[nodiscard]] bool is_stopped() const { return stopped_; }
  [[nodiscard]] std::uint64_t count(Counter counter) const {
    return counters_[static_cast<std::size_t>(counter)];
  }
  [[nodiscard]] Handle handle(std::uint64_t key) const {
    return {static_cast<std::uint32_t>(key >> 32U), static_cast<std::uint32_t>(key)};
  }

  // The key of the new connection.
  std::uint64_t connect(Bytes token, std::uint64_t client_id, Duration timeout) {
    const auto peer = endpoint_->connect({kSimulatedProtocol, token, {}, timeout}, node_->now());
    REQUIRE(peer.has_value());
    node_->schedule();
    Connection& connection = connections_[key_of(*peer)];
    connection = {};
    connection.client_id = client_id;
    return key_of(*peer);
  }

  // Numbers the message, so that whoever gets it can tell whether it is new. Whether it was taken.
  bool send(std::uint64_t key, std::uint64_t number) {
    std::array<std::byte, 64> message{};
    store_little_endian(message.data(), number);
    node_->schedule();
    return endpoint_->send(handle(key), 0, message, {}, node_->now()) == SendStatus::kSent;
  }

  KeyUpdateStart update_keys(std::uint64_t key, const InjectedSecret* secret) {
    node_->schedule();
    return endpoint_->update_keys(handle(key), secret, node_->now());
  }
  // Whom the other side's secrets are asked of; until it is set, there are none.
  std::function<std::optional<Key>(const SecretId&)> secret_of;

  // Sees each event, with the key of its connection, after the books have been brought up to date.
  std::function<void(std::uint64_t key, const EventDescriptor& event, Bytes bytes)> watch;

  void disconnect(std::uint64_t key) {
    REQUIRE(endpoint_->disconnect(handle(key), kFirstApplicationCode, "done", node_->now()));
    node_->schedule();
  }

  void stop() {
    endpoint_->stop(static_cast<std::uint32_t>(DisconnectCode::kShuttingDown), "", node_->now());
    node_->schedule();
  }

  // The connection of a client that is alive on this side; 0 when there is none.
  [[nodiscard]] std::uint64_t alive_key(std::uint64_t client_id) const {
    for (const auto& [key, connection] : connections_) {
      if (connection.client_id == client_id && connection.alive()) return key;
    }
    return 0;
  }

  void take_events() override {
    for (const EventDescriptor& event : events_.descriptors()) on_event(event, events_.bytes_of(event));
    events_.clear();
    for (const auto& [peer, id] : std::exchange(secrets_wanted_, {})) {
      endpoint_->provide_secret(peer, id, secret_of ? secret_of(id) : std::nullopt, node_->now());
      node_->schedule();
    }
  }
  void submit(Instant /*now*/) override {}
  void flushed() override {}
  void stopped() override { stopped_ = true; }
  void closed() override {}

 private:
  static std::uint64_t key_of(Handle peer) { return std::uint64_t{peer.slot} << 32U | peer.generation; }

  void on_event(const EventDescriptor& event, Bytes bytes) {
    if (event.kind() == EventKind::kDrain) return;
    const std::uint64_t key = key_of({event.slot, event.generation});
    if (event.kind() == EventKind::kConnect && gateway_) connections_[key] = {};
    REQUIRE(connections_.contains(key));
    Connection& connection = connections_[key];
    // Nothing is told of a connection after its end.
    REQUIRE(!connection.ended.has_value());
    REQUIRE(!connection.failed.has_value());
    switch (event.kind()) {
      case EventKind::kConnect:
        REQUIRE(!connection.connected);
        if (gateway_) connection.client_id = load_little_endian<std::uint64_t>(bytes.data());
        connection.connected = true;
        connection.connected_at = simulation_.now();
        connection.wire =
            static_cast<Wire>(load_little_endian<std::uint32_t>(bytes.data() + ConnectRecordLayout::kWire));
        connection.exported = endpoint_->export_key({event.slot, event.generation}, "test");
        // Netcode has none.
        REQUIRE(connection.exported.has_value() == (connection.wire == Wire::kHawser));
        break;
      case EventKind::kConnectFailed:
        REQUIRE(!connection.connected);
        connection.failed = static_cast<ConnectResult>(event.argument());
        break;
      case EventKind::kDisconnect:
        REQUIRE(connection.connected);
        connection.ended = static_cast<DisconnectResult>(event.argument());
        break;
      case EventKind::kMessage:
        REQUIRE(connection.connected);
        REQUIRE(bytes.size() == 64);
        // At most once.
        REQUIRE(connection.received.insert(load_little_endian<std::uint64_t>(bytes.data())).second);
        break;
      case EventKind::kKeyUpdated: {
        REQUIRE(connection.connected);
        const auto epoch = load_little_endian<std::uint32_t>(bytes.data());
        REQUIRE(epoch == connection.epoch + 1);
        connection.epoch = epoch;
        break;
      }
      case EventKind::kKeyUpdateRefused:
        ++connection.refused_updates;
        break;
      case EventKind::kSecretWanted: {
        SecretId id{};
        std::ranges::copy(bytes, id.begin());
        secrets_wanted_.emplace_back(Handle{event.slot, event.generation}, id);
        break;
      }
      case EventKind::kState:
      case EventKind::kGoaway:
      case EventKind::kConsume:
      case EventKind::kConfirm:
      case EventKind::kPeerDrain:
      case EventKind::kDrain:
        break;
    }
    if (watch) watch(key, event, bytes);
  }

  Simulation& simulation_;
  std::vector<std::byte> slab_;
  std::vector<EventDescriptor> descriptors_;
  EventQueue events_;
  SeededRandom gateway_random_;
  SeededRandom endpoint_random_;
  std::array<std::uint64_t, kCounterCount> counters_{};
  DriverCounters driver_counters_;
  std::map<std::uint64_t, Connection> connections_;
  std::vector<std::pair<Handle, SecretId>> secrets_wanted_;
  std::int64_t drift_ppb_ = 0;
  bool stopped_ = false;
  // In this order: the node must go before the endpoint, and that before the gateway's state.
  std::unique_ptr<GatewayState> gateway_;
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<SimulatedNode> node_;
};

// Keeps every datagram, and checks that no packet number of a connection is used twice, whatever the epoch:
// so no key seals two packets with one nonce. The connection id names connection and direction.
class Wiretap final : public SimulationObserver {
 public:
  struct Datagram {
    SocketAddress from;
    SocketAddress to;
    std::vector<std::byte> bytes;
  };

  void on_datagram(const SocketAddress& from, const SocketAddress& to, Bytes bytes) override {
    if (keep) datagrams.push_back({from, to, {bytes.begin(), bytes.end()}});
    constexpr std::size_t kNamed = 13;  // up to the packet number: first byte, id of 8 bytes
    if ((bytes[0] & std::byte{0xf0}) != std::byte{0xb0}) return;
    REQUIRE(bytes.size() > kNamed);
    REQUIRE(named_.insert(std::vector(bytes.begin() + 1, bytes.begin() + kNamed)).second);
  }

  bool keep = false;
  std::vector<Datagram> datagrams;

 private:
  std::set<std::vector<std::byte>> named_;
};

inline std::vector<std::byte> simulated_token(RandomSource& random, std::uint64_t client_id,
                                              std::span<const SocketAddress> addresses, WallTime now,
                                              Duration timeout, bool single_use = false) {
  TokenParameters parameters;
  parameters.protocol_id = kSimulatedProtocol;
  parameters.key_id = 1;
  parameters.single_use = single_use;
  parameters.create = now;
  parameters.expire = now + std::chrono::hours(1);
  parameters.client_id = client_id;
  parameters.timeout = timeout;
  parameters.addresses = addresses;
  std::vector<std::byte> bytes(kMaxTokenSize);
  const auto size = mint_token(bytes, parameters, simulated_key(1), random);
  REQUIRE(size.has_value());
  bytes.resize(*size);
  return bytes;
}

inline GatewayOptions simulated_gateway(const SocketAddress& address, WallTime started) {
  GatewayOptions options;
  options.protocol_id = kSimulatedProtocol;
  options.keys.push_back(ServerKey{1, simulated_key(1)});
  options.advertised_addresses.push_back(address);
  options.reset_key = simulated_key(2);
  options.started = started;
  return options;
}

}  // namespace hawser::test
