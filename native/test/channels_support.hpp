// Two endpoints in a simulated network with channels of every kind, and a user on each side that checks what
// it is given: nothing twice, nothing out of order where order was promised, nothing altered, nothing after
// the end.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/random.hpp"
#include "crypto/sodium.hpp"
#include "engine/endpoint.hpp"
#include "engine/gateway_state.hpp"
#include "io/simulation.hpp"
#include "simulation_support.hpp"

namespace hawser::test {

inline constexpr std::uint32_t kPlain = 0;
inline constexpr std::uint32_t kState = 1;
inline constexpr std::uint32_t kOrdered = 2;
inline constexpr std::uint32_t kUnordered = 3;
inline constexpr std::uint32_t kBulk = 4;
inline constexpr std::uint32_t kPaced = 5;
inline constexpr std::uint32_t kTestChannels = 6;

// `bulk_bytes`: the longest message of kBulk; of the others it is 64 KiB.
inline std::vector<ChannelDeclaration> test_channels(std::uint32_t bulk_bytes = 1024 * 1024) {
  using Priority = ChannelPriority;
  return {
      {"plain", "bytes", ChannelMode::kUnreliable, Priority::kNormal, 0},
      {"state", "bytes", ChannelMode::kSequenced, Priority::kNormal, 64 * 1024},
      {"ordered", "bytes", ChannelMode::kReliable, Priority::kHigh, 64 * 1024},
      {"unordered", "bytes", ChannelMode::kReliableUnordered, Priority::kNormal, 64 * 1024},
      {"bulk", "bytes", ChannelMode::kReliable, Priority::kLow, bulk_bytes},
      {"paced", "bytes", ChannelMode::kUnreliable, Priority::kNormal, 0, true},
  };
}

// Messages shorter than this have no number.
inline constexpr std::size_t kNumberSize = 8;

// A message whose bytes follow from its number and length, so that a wrong one is seen.
inline std::vector<std::byte> numbered_message(std::uint64_t number, std::size_t size) {
  std::vector<std::byte> bytes(size, std::byte{0x5a});
  if (size < kNumberSize) return bytes;
  store_little_endian(bytes.data(), number);
  for (std::size_t i = 1; i < size / 8; ++i) store_little_endian(bytes.data() + 8 * i, number * 31 + i * 7);
  return bytes;
}

class ChannelUser final : public DriverUser {
 public:
  // Room for events.
  struct Room {
    std::size_t bytes = std::size_t{4} * 1024 * 1024;
    std::size_t descriptors = std::size_t{16} * 1024;
  };

  ChannelUser(Simulation& simulation, const SocketAddress& address, std::optional<GatewayOptions> gateway,
              EndpointOptions options, Room room)
      : simulation_(simulation),
        slab_(room.bytes),
        descriptors_(room.descriptors),
        flags_(options.max_sessions),
        max_unreliable_(options.max_sessions),
        events_(slab_, descriptors_),
        gateway_random_(simulation.next_seed()),
        endpoint_random_(simulation.next_seed()) {
    REQUIRE(initialise());
    auto node = SimulatedNode::open(simulation, address, false);
    REQUIRE(node.has_value());
    node_ = *std::move(node);
    options.peer_flags = flags_;
    options.peer_max_unreliable = max_unreliable_;
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
  [[nodiscard]] std::uint64_t count(Counter counter) const {
    return counters_[static_cast<std::size_t>(counter)];
  }
  [[nodiscard]] std::uint8_t flags(Handle peer) const { return flags_[peer.slot]; }
  [[nodiscard]] std::uint16_t max_unreliable(Handle peer) const { return max_unreliable_[peer.slot]; }

  Handle connect(Bytes token, Duration timeout = std::chrono::seconds(10)) {
    const auto made = endpoint_->connect({kSimulatedProtocol, token, {}, timeout}, node_->now());
    REQUIRE(made.has_value());
    node_->schedule();
    return *made;
  }

  // What is known of one peer.
  struct Side {
    bool connected = false;
    std::optional<DisconnectResult> ended;
    std::uint32_t end_code = 0;
    // By channel: the numbers of messages, the greatest of them that came last, and how many had none.
    std::map<std::uint32_t, std::set<std::uint64_t>> received;
    std::map<std::uint32_t, std::uint64_t> unnumbered;
    std::map<std::uint32_t, std::uint64_t> newest;
    std::uint64_t received_bytes = 0;
    std::map<std::uint32_t, std::uint64_t> bytes;
    std::set<std::uint32_t> confirmed;
    std::set<std::uint32_t> expired;
    int drains = 0;
    // Delay of each message of the plain channel that carries its time, if `timed`.
    std::vector<Duration> delays;
  };
  [[nodiscard]] Side& side(Handle peer) { return sides_[key_of(peer)]; }
  // The only peer that is connected.
  [[nodiscard]] std::optional<Handle> only() const {
    for (const auto& [key, side] : sides_) {
      if (side.connected && !side.ended)
        return Handle{static_cast<std::uint32_t>(key >> 32U), static_cast<std::uint32_t>(key)};
    }
    return std::nullopt;
  }
  // Peers in the order of their connection.
  [[nodiscard]] const std::vector<Handle>& peers() const { return peers_; }

  SendStatus send(Handle peer, std::uint32_t channel, std::uint64_t number, std::size_t size,
                  const SendOptions& options = {}) {
    const auto message = numbered_message(number, size);
    node_->schedule();
    return endpoint_->send(peer, channel, message, options, node_->now());
  }
  SendStatus send_timed(Handle peer) {
    node_->schedule();
    return endpoint_->send(
        peer, kPlain,
        numbered_message(static_cast<std::uint64_t>(simulation_.now().time_since_epoch().count()), 64), {},
        node_->now());
  }

  // Whether it could be done.
  [[nodiscard]] bool pause(Handle peer, std::uint32_t channel, bool paused) {
    node_->schedule();
    return endpoint_->set_paused(peer, channel, paused, node_->now());
  }

  bool timed = false;
  bool check_order = true;

  void take_events() override {
    for (const EventDescriptor& event : events_.descriptors()) on_event(event, events_.bytes_of(event));
    events_.clear();
  }
  void submit(Instant /*now*/) override {}
  void flushed() override {}
  void stopped() override {}
  void closed() override {}

 private:
  static std::uint64_t key_of(Handle peer) { return std::uint64_t{peer.slot} << 32U | peer.generation; }

  void on_event(const EventDescriptor& event, Bytes bytes) {
    if (event.kind() == EventKind::kDrain) return;
    const Handle peer{event.slot, event.generation};
    Side& side = sides_[key_of(peer)];
    REQUIRE(!side.ended.has_value());
    switch (event.kind()) {
      case EventKind::kConnect:
        side.connected = true;
        peers_.push_back(peer);
        break;
      case EventKind::kDisconnect:
        side.ended = static_cast<DisconnectResult>(event.argument());
        side.end_code = load_little_endian<std::uint32_t>(bytes.data());
        break;
      case EventKind::kMessage:
        on_message(side, event.argument(), bytes);
        break;
      case EventKind::kConfirm:
        for (std::size_t at = 0; at < bytes.size(); at += 4) {
          const auto id = load_little_endian<std::uint32_t>(bytes.data() + at);
          REQUIRE(!side.confirmed.contains(id));
          REQUIRE((event.argument() == 0 ? side.confirmed : side.expired).insert(id).second);
        }
        break;
      case EventKind::kPeerDrain:
        ++side.drains;
        break;
      default:
        break;
    }
  }

  void on_message(Side& side, std::uint32_t channel, Bytes bytes) {
    REQUIRE(side.connected);
    if (bytes.size() < kNumberSize) {
      REQUIRE(std::ranges::equal(numbered_message(0, bytes.size()), bytes));
      ++side.unnumbered[channel];
      return;
    }
    const auto number = load_little_endian<std::uint64_t>(bytes.data());
    REQUIRE(std::ranges::equal(numbered_message(number, bytes.size()), bytes));
    side.received_bytes += bytes.size();
    side.bytes[channel] += bytes.size();
    if (timed && channel == kPlain) {
      side.delays.push_back(simulation_.now() - Instant(Duration(static_cast<Duration::rep>(number))));
      return;
    }
    if (!check_order) return;
    // At most once.
    REQUIRE(side.received[channel].insert(number).second);
    const bool ordered = channel == kOrdered || channel == kBulk || channel == kState;
    if (ordered && side.newest.contains(channel)) REQUIRE(number > side.newest[channel]);
    side.newest[channel] = number;
  }

  Simulation& simulation_;
  std::vector<std::byte> slab_;
  std::vector<EventDescriptor> descriptors_;
  std::vector<std::uint8_t> flags_;
  std::vector<std::uint16_t> max_unreliable_;
  EventQueue events_;
  SeededRandom gateway_random_;
  SeededRandom endpoint_random_;
  std::array<std::uint64_t, kCounterCount> counters_{};
  DriverCounters driver_counters_;
  std::map<std::uint64_t, Side> sides_;
  std::vector<Handle> peers_;
  // In this order: the node must go before the endpoint, and that before the gateway's state.
  std::unique_ptr<GatewayState> gateway_;
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<SimulatedNode> node_;
};

// A gateway and one client that is connected to it.
class ChannelWorld {
 public:
  // Options without channels get those of test_channels().
  explicit ChannelWorld(std::uint64_t seed, const LinkSettings& link, EndpointOptions options = {},
                        ChannelUser::Room room = {})
      : random(seed), simulation(random.u64(), kSimulatedStart) {
    simulation.set_link(std::nullopt, std::nullopt, link);
    if (options.channels.size() == 1) options.channels = test_channels();
    options.max_sessions = 64;
    gateway = std::make_unique<ChannelUser>(
        simulation, kAddress, simulated_gateway(kAddress, simulation.wall_now()), options, room);
    client = std::make_unique<ChannelUser>(simulation, kClient, std::nullopt, options, room);
  }

  void connect(std::uint64_t client_id = 1) {
    const auto token = simulated_token(random, client_id, std::span(&kAddress, 1), simulation.wall_now(),
                                       std::chrono::seconds(20));
    own = client->connect(token);
    const std::size_t before = gateway->peers().size();
    for (int i = 0; i < 500 && !client->side(own).connected; ++i) run(std::chrono::milliseconds(20));
    REQUIRE(client->side(own).connected);
    // The last one: an attempt whose answers were lost may have connected on that side before.
    REQUIRE(gateway->peers().size() > before);
    other = gateway->peers().back();
  }

  void run(Duration duration) { simulation.run_until(simulation.now() + duration); }

  static constexpr SocketAddress kAddress = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
  static constexpr SocketAddress kClient = SocketAddress::ipv4({10, 0, 1, 1}, 5000);
  SeededRandom random;
  Simulation simulation;
  std::unique_ptr<ChannelUser> gateway;
  std::unique_ptr<ChannelUser> client;
  Handle own{};    // the gateway, as the client knows it
  Handle other{};  // the client, as the gateway knows it
};

// One side of a ChannelWorld that always has something to send on a channel.
class EndlessTransfer {
 public:
  // `up`: from the client to the gateway. `message_bytes`: of each message.
  EndlessTransfer(ChannelWorld& world, bool up, std::uint32_t channel, std::size_t message_bytes)
      : sender(up ? *world.client : *world.gateway),
        receiver(up ? *world.gateway : *world.client),
        world_(world),
        to_(up ? world.own : world.other),
        from_(up ? world.other : world.own),
        message_bytes_(message_bytes),
        channel_(channel) {}

  // Returns how many bytes of messages arrive meanwhile.
  std::uint64_t run(Duration duration) {
    const std::uint64_t before = receiver.side(from_).bytes[channel_];
    for (Duration passed{}; passed < duration; passed += kStep) {
      while ((sender.flags(to_) & kPeerWait) == 0)
        REQUIRE(sender.send(to_, channel_, number_++, message_bytes_) == SendStatus::kSent);
      world_.run(kStep);
    }
    return receiver.side(from_).bytes[channel_] - before;
  }

  ChannelUser& sender;
  ChannelUser& receiver;

 private:
  static constexpr Duration kStep = std::chrono::milliseconds(10);

  ChannelWorld& world_;
  Handle to_;
  Handle from_;
  std::uint64_t number_ = 0;
  std::size_t message_bytes_;
  std::uint32_t channel_;
};

}  // namespace hawser::test
