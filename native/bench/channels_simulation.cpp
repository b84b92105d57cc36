// What reliable channels reach on simulated networks, in virtual time: the same figures each time. Prints one
// JSON object. The link: 100 Mbit/s of UDP payload and 50 ms round trip with a drop-tail queue of one
// bandwidth-delay product.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.hpp"
#include "crypto/sodium.hpp"
#include "engine/endpoint.hpp"
#include "engine/gateway_state.hpp"
#include "io/simulation.hpp"
#include "wire/connect_token.hpp"

namespace hawser {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kBytesPerSecond = 12'500'000;
constexpr Duration kOneWay = milliseconds(25);
constexpr std::size_t kBandwidthDelay = 625'000;
// The UDP payload that an Ethernet carries over IPv4: with jumbo frames each loss would weigh less.
constexpr std::size_t kDatagram = 1472;
constexpr std::uint64_t kProtocol = 1;
constexpr WallTime kStart{milliseconds(1'800'000'000'000)};
const SocketAddress kGateway = SocketAddress::ipv4({10, 0, 0, 1}, 4000);

void require(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "channels_simulation: %s\n", what);
  std::exit(1);
}

Key key_of(std::uint8_t fill) {
  Key key;
  for (std::byte& byte : key.mutable_bytes()) byte = std::byte{fill};
  return key;
}

EndpointOptions options_of(CongestionAlgorithm algorithm) {
  EndpointOptions options;
  options.max_sessions = 64;
  options.congestion = algorithm;
  // As servers and clients have it by default.
  options.credit = 1024 * 1024;
  options.channel_credit = 512 * 1024;
  options.channels = {{"ticks", "", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0},
                      {"bulk", "", ChannelMode::kReliable, ChannelPriority::kNormal, 64 * 1024}};
  return options;
}

constexpr std::uint32_t kTicks = 0;
constexpr std::uint32_t kBulk = 1;

// An endpoint with what it needs. It counts what it is given, and remembers how long each tick took.
class User final : public DriverUser {
 public:
  User(Simulation& simulation, const SocketAddress& address, bool gateway, const EndpointOptions& given)
      : simulation_(simulation),
        slab_(std::size_t{1} << 22U),
        descriptors_(std::size_t{1} << 15U),
        events_(slab_, descriptors_),
        random_(simulation.next_seed()),
        gateway_random_(simulation.next_seed()) {
    auto opened = SimulatedNode::open(simulation, address, false);
    require(opened.has_value(), "the address is taken");
    node_ = *std::move(opened);
    EndpointOptions options = given;
    flags_.resize(options.max_sessions);
    options.peer_flags = flags_;
    if (gateway) {
      options.mode = Mode::kServer;
      GatewayOptions own;
      own.protocol_id = kProtocol;
      own.keys.push_back(ServerKey{1, key_of(1)});
      own.advertised_addresses.push_back(kGateway);
      own.reset_key = key_of(2);
      own.started = kStart - std::chrono::hours(1);
      state_ = std::make_unique<GatewayState>(std::move(own), gateway_random_);
    }
    endpoint = std::make_unique<Endpoint>(options, state_.get(), random_, events_, Counters(counters_),
                                          node_->now());
    node_->start(*endpoint, events_, *this, driver_counters_);
  }

  Handle connect(std::uint64_t client_id) {
    TokenParameters parameters;
    parameters.protocol_id = kProtocol;
    parameters.key_id = 1;
    parameters.create = simulation_.wall_now();
    parameters.expire = parameters.create + std::chrono::hours(1);
    parameters.client_id = client_id;
    parameters.timeout = seconds(20);
    parameters.addresses = std::span(&kGateway, 1);
    std::vector<std::byte> token(kMaxTokenSize);
    const auto size = mint_token(token, parameters, key_of(1), random_);
    require(size.has_value(), "no token");
    const auto peer =
        endpoint->connect({kProtocol, Bytes(token).first(*size), {}, seconds(10)}, node_->now());
    require(peer.has_value(), "no connection");
    node_->schedule();
    return *peer;
  }

  // Sends on until the peer's queue is as long as it should be.
  void keep_busy(Handle peer) {
    while ((flags_[peer.slot] & kPeerWait) == 0 && send(peer, kBulk, 8'192)) continue;
  }
  bool send(Handle peer, std::uint32_t channel, std::size_t size) {
    std::vector<std::byte> message(size);
    store_little_endian(message.data(),
                        static_cast<std::uint64_t>(simulation_.now().time_since_epoch().count()));
    node_->schedule();
    return endpoint->send(peer, channel, message, {}, node_->now()) == SendStatus::kSent;
  }

  [[nodiscard]] std::uint64_t bulk_bytes(std::size_t peer) const {
    return peer < bulk_.size() ? bulk_[peer] : 0;
  }
  [[nodiscard]] const std::vector<Handle>& peers() const { return peers_; }
  std::vector<Duration>& tick_delays() { return delays_; }
  [[nodiscard]] unsigned long long count(Counter counter) const {
    return counters_[static_cast<std::size_t>(counter)];
  }

  void take_events() override {
    for (const EventDescriptor& event : events_.descriptors()) {
      if (event.kind() == EventKind::kConnect) peers_.push_back({event.slot, event.generation});
      require(event.kind() != EventKind::kDisconnect, "a connection broke");
      if (event.kind() != EventKind::kMessage) continue;
      if (event.argument() == kBulk) {
        if (bulk_.size() <= event.slot) bulk_.resize(event.slot + 1);
        bulk_[event.slot] += event.length;
        continue;
      }
      const auto sent = load_little_endian<std::uint64_t>(events_.bytes_of(event).data());
      delays_.push_back(simulation_.now() - Instant(Duration(static_cast<Duration::rep>(sent))));
    }
    events_.clear();
  }
  void submit(Instant /*now*/) override {}
  void flushed() override {}
  void stopped() override {}
  void closed() override {}

 private:
  Simulation& simulation_;
  std::vector<std::byte> slab_;
  std::vector<EventDescriptor> descriptors_;
  EventQueue events_;
  SeededRandom random_;
  SeededRandom gateway_random_;
  std::array<std::uint64_t, kCounterCount> counters_{};
  DriverCounters driver_counters_;
  std::vector<std::uint8_t> flags_;
  std::vector<std::uint64_t> bulk_;
  std::vector<Handle> peers_;
  std::vector<Duration> delays_;
  std::unique_ptr<GatewayState> state_;

 public:
  std::unique_ptr<Endpoint> endpoint;

 private:
  std::unique_ptr<SimulatedNode> node_;
};

LinkSettings link_with(double loss) {
  LinkSettings link;
  link.delay = kOneWay;
  link.bytes_per_second = kBytesPerSecond;
  link.queue_bytes = kBandwidthDelay;
  link.mtu_bytes = kDatagram;
  link.loss_rate = loss;
  return link;
}

class World {
 public:
  World(std::uint64_t seed, CongestionAlgorithm algorithm, double loss)
      : World(seed, algorithm, link_with(loss)) {}
  World(std::uint64_t seed, CongestionAlgorithm algorithm, const LinkSettings& link)
      : simulation(seed, kStart) {
    simulation.set_link(std::nullopt, std::nullopt, link);
    gateway = std::make_unique<User>(simulation, kGateway, true, options_of(algorithm));
    client = std::make_unique<User>(simulation, SocketAddress::ipv4({10, 0, 1, 1}, 5000), false,
                                    options_of(algorithm));
  }

  Handle connect(std::uint64_t client_id) {
    const Handle peer = client->connect(client_id);
    const std::size_t before = gateway->peers().size();
    for (int i = 0; i < 100 && gateway->peers().size() == before; ++i) run(milliseconds(100));
    require(gateway->peers().size() > before, "not connected");
    run(seconds(1));
    return peer;
  }
  void run(Duration duration) { simulation.run_until(simulation.now() + duration); }

  Simulation simulation;
  std::unique_ptr<User> gateway;
  std::unique_ptr<User> client;
};

// Bytes a second of messages delivered, from 5 s after the start over 20 s.
double goodput(CongestionAlgorithm algorithm, double loss) {
  World world(1, algorithm, loss);
  const Handle peer = world.connect(1);
  std::uint64_t before = 0;
  for (int tick = 0; tick < 5'000; ++tick) {
    if (tick == 1'000) before = world.gateway->bulk_bytes(world.gateway->peers()[0].slot);
    world.client->keep_busy(peer);
    world.run(milliseconds(5));
  }
  return static_cast<double>(world.gateway->bulk_bytes(world.gateway->peers()[0].slot) - before) / 20;
}

// The larger share of two connections, of which the second begins after 5 s, over 60 s after another 20 s.
double larger_share(CongestionAlgorithm algorithm) {
  World world(2, algorithm, 0);
  const Handle first = world.connect(1);
  const auto busy = [&](Duration duration, const std::vector<Handle>& peers) {
    for (Duration passed{}; passed < duration; passed += milliseconds(5)) {
      for (const Handle peer : peers) world.client->keep_busy(peer);
      world.run(milliseconds(5));
    }
  };
  busy(seconds(5), {first});
  const Handle second = world.connect(2);
  busy(seconds(20), {first, second});
  std::array<std::uint64_t, 2> before{};
  for (std::size_t i = 0; i < 2; ++i) before[i] = world.gateway->bulk_bytes(world.gateway->peers()[i].slot);
  busy(seconds(60), {first, second});
  std::array<double, 2> got{};
  for (std::size_t i = 0; i < 2; ++i) {
    got[i] = static_cast<double>(world.gateway->bulk_bytes(world.gateway->peers()[i].slot) - before[i]);
  }
  return std::max(got[0], got[1]) / (got[0] + got[1]);
}

// How much longer than on the empty link ticks of 60 Hz take at the 99th percentile while a transfer of 1 MB
// goes on beside them, over 50 transfers; in milliseconds.
double added_delay(CongestionAlgorithm algorithm) {
  std::vector<Duration> added;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    World world(seed, algorithm, 0);
    const Handle peer = world.connect(1);
    // Ticks begin at another instant relative to the transfer each time.
    world.run(Duration(seed * 331));
    world.gateway->tick_delays().clear();
    for (int i = 0; i < 16; ++i) require(world.client->send(peer, kBulk, 62'500), "refused");
    const std::uint64_t done = 1'000'000;
    for (int tick = 0; tick < 300; ++tick) {
      require(world.client->send(peer, kTicks, 64), "refused");
      world.run(Duration(16'667));
      if (world.gateway->bulk_bytes(world.gateway->peers()[0].slot) >= done) break;
    }
    require(world.gateway->bulk_bytes(world.gateway->peers()[0].slot) >= done, "not transferred");
    world.run(milliseconds(200));
    for (const Duration delay : world.gateway->tick_delays()) added.push_back(delay - kOneWay);
  }
  std::ranges::sort(added);
  const auto at = static_cast<std::size_t>(static_cast<double>(added.size()) * 0.99);
  return std::chrono::duration<double, std::milli>(added[at]).count();
}

// A bad path, and how much is sent over it.
struct Path {
  const char* name;
  LinkSettings link;
  std::uint64_t bytes;
};

std::vector<Path> paths() {
  constexpr std::uint64_t kMebibyte = 1 << 20;
  std::vector<Path> all;
  const auto add = [&](const char* name, Duration delay, std::uint64_t mebibytes) -> LinkSettings& {
    all.push_back({name, {}, mebibytes * kMebibyte});
    LinkSettings& link = all.back().link;
    link.mtu_bytes = kDatagram;
    link.delay = delay;
    return link;
  };
  const auto limit = [](LinkSettings& link, std::uint64_t megabits, std::uint64_t packets) {
    link.bytes_per_second = megabits * 125'000;
    link.queue_bytes = packets * 1500;
  };
  const auto late = [](LinkSettings& link, double rate, Duration by) {
    link.reorder_rate = rate;
    link.least_hold_back = link.most_hold_back = by;
  };
  const auto jitter = [](LinkSettings& link, Duration most) {
    link.jitter = most;
    link.jitter_reorders = true;
  };
  add("long", milliseconds(100), 20);
  add("loss", milliseconds(100), 20).loss_rate = 0.05;
  late(add("late", milliseconds(100), 20), 0.1, milliseconds(10));
  jitter(add("jitter", milliseconds(95), 20), milliseconds(10));
  {
    LinkSettings& link = add("mixed", milliseconds(95), 10);
    jitter(link, milliseconds(10));
    late(link, 0.05, milliseconds(10));
    link.loss_rate = link.duplicate_rate = 0.02;
  }
  {
    LinkSettings& link = add("mobile", milliseconds(30), 10);
    jitter(link, milliseconds(30));
    limit(link, 30, 100);
    link.loss_rate = 0.01;
  }
  late(add("fast-late", milliseconds(5), 100), 0.01, milliseconds(1));
  add("fast", milliseconds(25), 200);
  limit(add("slow", milliseconds(25), 20), 20, 200);
  limit(add("shallow", milliseconds(25), 20), 50, 20);
  return all;
}

// Bytes a second of a transfer from the first message sent to the last one delivered; from the client, or to
// it.
double path_goodput(const Path& path, CongestionAlgorithm algorithm, bool download) {
  World world(1, algorithm, path.link);
  const Handle peer = world.connect(1);
  User& sender = download ? *world.gateway : *world.client;
  User& receiver = download ? *world.client : *world.gateway;
  const Handle to = download ? world.gateway->peers()[0] : peer;
  const std::size_t slot = download ? peer.slot : world.gateway->peers()[0].slot;
  const Instant begin = world.simulation.now();
  while (receiver.bulk_bytes(slot) < path.bytes) {
    sender.keep_busy(to);
    world.run(milliseconds(1));
    require(world.simulation.now() < begin + std::chrono::minutes(30), "too slow");
  }
  const auto passed = static_cast<double>((world.simulation.now() - begin).count());
  // What is in flight arrives, so that only losses are missing in the counters.
  world.run(seconds(5));
  const auto both = [&](Counter counter) { return sender.count(counter) + receiver.count(counter); };
  const auto packets = sender.count(Counter::packetsSealed);
  const auto missing = packets - receiver.count(Counter::packetsOpened);
  std::fprintf(stderr,
               "%-10s %s %-8s lost %llu spurious %llu of %llu packets, of which %llu did not arrive; "
               "too old %llu, incomplete ACKs %llu\n",
               path.name, algorithm == CongestionAlgorithm::kBbr ? "bbr  " : "cubic",
               download ? "download" : "upload", sender.count(Counter::packetsLost),
               sender.count(Counter::spuriousLosses), packets, missing, both(Counter::dropTooOld),
               both(Counter::acksIncomplete));
  return static_cast<double>(path.bytes) * 1e6 / passed;
}

void print(const char* name, CongestionAlgorithm algorithm, std::string_view only) {
  const auto wanted = [&](std::string_view what) { return only.empty() || only == what; };
  const auto share = [](double bytes) { return bytes / static_cast<double>(kBytesPerSecond); };
  std::printf("  \"%s\": {", name);
  const char* separator = "";
  const auto figure = [&](const char* key, double value) {
    std::printf("%s\"%s\": %.4f", separator, key, value);
    separator = ", ";
    std::fflush(stdout);
  };
  if (wanted("loss0")) figure("goodputShareLoss0", share(goodput(algorithm, 0)));
  if (wanted("loss1")) figure("goodputShareLoss1", share(goodput(algorithm, 0.01)));
  if (wanted("loss5")) figure("goodputMbitLoss5", goodput(algorithm, 0.05) * 8 / 1e6);
  if (wanted("share")) figure("largerShareOfTwo", larger_share(algorithm));
  if (wanted("delay")) figure("addedDelayMsP99", added_delay(algorithm));
  for (const Path& path : paths()) {
    if (only != "paths" && only != path.name) continue;
    figure((std::string(path.name) + "Up").c_str(), path_goodput(path, algorithm, false) / 1e6);
    figure((std::string(path.name) + "Down").c_str(), path_goodput(path, algorithm, true) / 1e6);
  }
  std::printf("}");
}

}  // namespace

}  // namespace hawser

// usage: channels_simulation [loss0 | loss1 | loss5 | share | delay | paths | the name of a path]
// Without an argument: all but the paths. Of each transfer over a path, the standard error has the sender's
// losses, the packets that did not arrive, and the packets and acknowledgements that the limits of
// ReplayWindow and kMaxAckRanges cost.
int main(int count, char** arguments) {
  hawser::require(hawser::initialise(), "libsodium failed");
  const std::string_view only = count > 1 ? arguments[1] : "";
  std::printf("{\n");
  hawser::print("bbr", hawser::CongestionAlgorithm::kBbr, only);
  std::printf(",\n");
  hawser::print("cubic", hawser::CongestionAlgorithm::kCubic, only);
  std::printf("\n}\n");
  return 0;
}
