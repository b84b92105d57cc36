// Whole runs of the protocol over bad networks in virtual time. Each run follows from its seed; see
// for_each_seed.
#include <algorithm>
#include <chrono>
#include <string>

#include "simulation_support.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const SocketAddress kGateway = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
const SocketAddress kNobody = SocketAddress::ipv4({10, 0, 0, 9}, 4000);
const SocketAddress kAttacker = SocketAddress::ipv4({203, 0, 113, 5}, 6666);

Instant at(Duration since_start) { return Instant(since_start); }

SocketAddress client_address(std::uint64_t index) {
  return SocketAddress::ipv4({10, 0, 1, static_cast<std::uint8_t>(1 + index)}, 5000);
}

// Everything that a seed decides, but for what happens on the way.
struct Plan {
  explicit Plan(RandomSource& random) {
    // A quarter of the runs lose nothing, so that what must hold then is seen.
    if (random.below(4) != 0) link.loss_rate = fraction(random, 0.5);
    if (random.below(2) != 0) link.duplicate_rate = fraction(random, 0.2);
    if (random.below(2) != 0) link.reorder_rate = fraction(random, 0.2);
    link.delay = milliseconds(1 + random.below(200));
    if (random.below(2) != 0) link.jitter = milliseconds(random.below(50));
    if (random.below(4) == 0) link.bytes_per_second = 20'000 + random.below(100'000);
    clients = 1 + random.below(4);
    dead_first_address = random.below(3) == 0;
    if (random.below(4) == 0) restart = milliseconds(1'000 + random.below(9'000));
  }

  LinkSettings link;
  std::uint32_t clients;
  bool dead_first_address;
  std::optional<Duration> restart;
};

// Clients that connect within the first second, exchange messages with the gateway for 25 s and say goodbye.
class Scenario {
 public:
  explicit Scenario(std::uint64_t seed)
      : random_(seed), plan_(random_), simulation_(random_.u64(), kSimulatedStart) {
    simulation_.observe(&wiretap_);
    simulation_.set_link(std::nullopt, std::nullopt, plan_.link);
    start_gateway();
    for (std::uint32_t i = 0; i < plan_.clients; ++i) {
      clients_.push_back(
          std::make_unique<Program>(simulation_, client_address(i), std::nullopt, random_clock()));
      keys_.push_back(0);
      starts_.push_back(milliseconds(random_.below(1'000)));
    }
  }

  void run() {
    while (simulation_.now() < at(kTraffic)) tick();
    every_attempt_has_a_result();
    both_sides_agree();
    all_was_delivered_without_loss();
    clocks_have_converged();
    say_goodbye();
  }

 private:
  static constexpr Duration kTick = milliseconds(100);
  static constexpr Duration kTraffic = seconds(25);
  static constexpr Duration kConnectTimeout = seconds(10);
  static constexpr Duration kTokenTimeout = seconds(4);

  Program::Clock random_clock() {
    return {Instant(seconds(random_.below(1'000'000))),
            static_cast<std::int64_t>(random_.below(200'001)) - 100'000};
  }

  void start_gateway() {
    gateway_ = std::make_unique<Program>(simulation_, kGateway,
                                         simulated_gateway(kGateway, simulation_.wall_now()), random_clock());
  }

  void tick() {
    const Duration elapsed = simulation_.now().time_since_epoch();
    if (plan_.restart && elapsed >= *plan_.restart) {
      plan_.restart.reset();
      restarted_ = true;
      gateway_.reset();
      start_gateway();
    }
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      if (keys_[i] == 0 && elapsed >= starts_[i]) begin(i);
    }
    exchange_messages();
    simulation_.run_until(simulation_.now() + kTick);
  }

  void begin(std::size_t i) {
    std::vector<SocketAddress> addresses;
    if (plan_.dead_first_address) addresses.push_back(kNobody);
    addresses.push_back(kGateway);
    const auto token = simulated_token(random_, i + 1, addresses, simulation_.wall_now(), kTokenTimeout);
    keys_[i] = clients_[i]->connect(token, i + 1, kConnectTimeout);
  }

  void exchange_messages() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      const std::uint64_t up = clients_[i]->alive_key(i + 1);
      const std::uint64_t down = gateway_->alive_key(i + 1);
      const std::uint64_t number = next_number_++;
      const bool sent_up = up != 0 && clients_[i]->send(up, number);
      const bool sent_down = down != 0 && gateway_->send(down, number);
      // Messages that both sides had been able to receive for a while, and have time left to arrive.
      const Instant now = simulation_.now();
      const bool steady = up != 0 && down != 0 &&
                          now > clients_[i]->connections()[up].connected_at + seconds(1) &&
                          now < at(kTraffic - seconds(2));
      if (steady && sent_up && sent_down) expected_[i].push_back(number);
    }
  }

  void every_attempt_has_a_result() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      REQUIRE(clients_[i]->connections().size() == 1);
      const Connection& connection = clients_[i]->connections().begin()->second;
      CHECK(connection.decided());
      if (plan_.link.loss_rate == 0 && !restarted_ && plan_.link.bytes_per_second == 0)
        CHECK(connection.alive());
    }
  }

  // Timeouts have passed since anything was in doubt.
  void both_sides_agree() {
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      const std::uint64_t up = clients_[i]->alive_key(i + 1);
      const std::uint64_t down = gateway_->alive_key(i + 1);
      CHECK((up != 0) == (down != 0));
      if (up == 0 || down == 0) continue;
      CHECK(std::ranges::equal(clients_[i]->connections()[up].exported->bytes(),
                               gateway_->connections()[down].exported->bytes()));
    }
  }

  void all_was_delivered_without_loss() {
    if (plan_.link.loss_rate > 0 || restarted_ || plan_.link.bytes_per_second != 0) return;
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      const auto& up = clients_[i]->connections()[clients_[i]->alive_key(i + 1)];
      const auto& down = gateway_->connections()[gateway_->alive_key(i + 1)];
      CHECK(expected_[i].size() > 100);
      for (const std::uint64_t number : expected_[i]) {
        CHECK(up.received.contains(number));
        CHECK(down.received.contains(number));
      }
    }
  }

  // docs/protocol.md section 8: half the difference of the two ways of the best sample, and the drift since.
  // Both ways have the same delay here; beyond it a datagram takes the jitter, and what holds back one that
  // is overtaken.
  void clocks_have_converged() {
    if (plan_.link.bytes_per_second != 0) return;
    for (std::size_t i = 0; i < clients_.size(); ++i) {
      Program& client = *clients_[i];
      const std::uint64_t up = client.alive_key(i + 1);
      const std::uint64_t down = gateway_->alive_key(i + 1);
      if (up == 0 || down == 0) continue;
      const Duration offset = gateway_->node().now() - client.node().now();
      const std::int64_t relative_ppb = std::abs(gateway_->drift_ppb() - client.drift_ppb());
      const Duration drift(kTraffic.count() / 1'000 * relative_ppb / 1'000'000);
      clock_has_converged(client, up, offset, drift);
      clock_has_converged(*gateway_, down, -offset, drift);
    }
  }

  void clock_has_converged(Program& program, std::uint64_t key, Duration truth, Duration drift) {
    const bool reorders = plan_.link.reorder_rate > 0;
    const Duration excess =
        plan_.link.jitter + (reorders ? plan_.link.jitter + milliseconds(11) : Duration());
    const auto status = program.endpoint().status(program.handle(key), program.node().now());
    REQUIRE(status.has_value());
    if (plan_.link.loss_rate == 0 && excess == Duration()) CHECK(status->clock_settled);
    if (!status->clock_settled) return;
    INFO("clock offset " << status->clock_offset.count() << " us, really " << truth.count());
    CHECK(std::chrono::abs(status->clock_offset - truth) <= excess / 2 + drift + milliseconds(1));
  }

  void say_goodbye() {
    for (std::size_t i = 0; i < clients_.size(); i += 2) {
      if (const std::uint64_t key = clients_[i]->alive_key(i + 1); key != 0) clients_[i]->disconnect(key);
    }
    simulation_.run_until(simulation_.now() + milliseconds(500));
    gateway_->stop();
    for (const auto& client : clients_) client->stop();
    // Ten DISCONNECTs at 10 Hz, and a second in which the other side's are acknowledged.
    simulation_.run_until(simulation_.now() + milliseconds(2'500));
    is_finished(*gateway_);
    for (const auto& client : clients_) is_finished(*client);
  }

  static void is_finished(Program& program) {
    CHECK(program.is_stopped());
    CHECK(program.endpoint().sessions() == 0);
    CHECK(program.endpoint().connected() == 0);
    for (const auto& [key, connection] : program.connections()) {
      CHECK(connection.decided());
      CHECK(!connection.alive());
    }
  }

  SeededRandom random_;
  Plan plan_;
  Simulation simulation_;
  Wiretap wiretap_;
  std::unique_ptr<Program> gateway_;
  std::vector<std::unique_ptr<Program>> clients_;
  std::vector<std::uint64_t> keys_;  // 0 before the attempt begins
  std::vector<Duration> starts_;
  std::map<std::size_t, std::vector<std::uint64_t>> expected_;
  std::uint64_t next_number_ = 1;
  bool restarted_ = false;
};

// A gateway and one client, connected, on a good network.
struct Pair {
  explicit Pair(std::uint64_t seed, Duration token_timeout = seconds(5))
      : random(seed),
        simulation(random.u64(), kSimulatedStart),
        gateway(simulation, kGateway, simulated_gateway(kGateway, kSimulatedStart), {}),
        client(simulation, client_address(0), std::nullopt, {}),
        token(simulated_token(random, 1, std::span(&kGateway, 1), kSimulatedStart, token_timeout)) {
    wiretap.keep = true;
    simulation.observe(&wiretap);
    client_key = client.connect(token, 1, seconds(10));
    run(seconds(1));
    gateway_key = gateway.alive_key(1);
    REQUIRE(gateway_key != 0);
    REQUIRE(client.alive_key(1) == client_key);
  }

  void run(Duration duration) { simulation.run_until(simulation.now() + duration); }

  // Both ends still have this very connection, nobody else has one, and messages pass.
  void is_unharmed() {
    CHECK(client.alive_key(1) == client_key);
    CHECK(gateway.alive_key(1) == gateway_key);
    CHECK(gateway.connections().size() == 1);
    CHECK(gateway.endpoint().connected() == 1);
    const std::uint64_t number = next_number++;
    REQUIRE(client.send(client_key, number));
    REQUIRE(gateway.send(gateway_key, number));
    run(milliseconds(200));
    CHECK(gateway.connections()[gateway_key].received.contains(number));
    CHECK(client.connections()[client_key].received.contains(number));
  }

  SeededRandom random;
  Simulation simulation;
  Wiretap wiretap;
  Program gateway;
  Program client;
  std::vector<std::byte> token;
  std::uint64_t client_key = 0;
  std::uint64_t gateway_key = 0;
  std::uint64_t next_number = 1'000'000;
};

// Datagrams and bytes between the gateway and the attacker, both ways.
struct Traffic {
  std::size_t to_gateway = 0;
  std::size_t from_gateway = 0;
};

void answers_are_small_handshake_datagrams(const std::vector<Wiretap::Datagram>& datagrams,
                                           Traffic& traffic) {
  for (const Wiretap::Datagram& datagram : datagrams) {
    if (datagram.to != kAttacker) continue;
    traffic.from_gateway += datagram.bytes.size();
    const auto first = std::to_integer<unsigned>(datagram.bytes[0]);
    // CHALLENGE, DENIED, RESET.
    CHECK((first == 0xa1 || first == 0xa4 || first == 0xa5));
  }
  CHECK(traffic.from_gateway <= traffic.to_gateway);
}

}  // namespace

TEST_CASE("connections over bad networks end in a stated result, agree, and leave nothing behind") {
  for_each_seed(1, [](std::uint64_t seed) { Scenario(seed).run(); });
}

TEST_CASE("one seed is one exact run") {
  const auto run = [] {
    Pair pair(7);
    pair.run(seconds(3));
    return pair.wiretap.datagrams;
  };
  const auto first = run();
  const auto second = run();
  REQUIRE(first.size() == second.size());
  for (std::size_t i = 0; i < first.size(); ++i) CHECK(first[i].bytes == second[i].bytes);
}

TEST_CASE("whatever is replayed, flipped, reflected or made up, a live peer stays") {
  for_each_seed(10, [](std::uint64_t seed) {
    Pair pair(seed);
    pair.run(seconds(2));
    const std::vector<Wiretap::Datagram> captured = pair.wiretap.datagrams;
    Traffic traffic;
    for (const Wiretap::Datagram& datagram : captured) {
      const auto from_attacker = [&](std::span<const std::byte> bytes) {
        pair.simulation.inject(kAttacker, kGateway, bytes);
        traffic.to_gateway += bytes.size();
      };
      pair.simulation.inject(datagram.from, datagram.to, datagram.bytes);
      if (datagram.to == kGateway) from_attacker(datagram.bytes);
      // Reflected: as though the receiver had sent it to the sender.
      pair.simulation.inject(datagram.to, datagram.from, datagram.bytes);
      std::vector<std::byte> flipped = datagram.bytes;
      const std::size_t bit = pair.random.below(static_cast<std::uint32_t>(8 * flipped.size()));
      flipped[bit / 8] ^= std::byte{1} << (bit % 8);
      pair.simulation.inject(datagram.from, datagram.to, flipped);
      if (datagram.to == kGateway) from_attacker(flipped);
      std::vector<std::byte> garbage(1 + pair.random.below(1'400));
      pair.random.fill(garbage);
      if (pair.random.below(2) != 0) garbage[0] = (garbage[0] & std::byte{0x1f}) | std::byte{0xa0};
      from_attacker(garbage);
      pair.simulation.inject(kGateway, client_address(0), garbage);
      pair.run(milliseconds(5));
    }
    // Longer than a half-open session lives, and than the token's timeout.
    pair.run(seconds(7));
    pair.is_unharmed();
    answers_are_small_handshake_datagrams(pair.wiretap.datagrams, traffic);
    CHECK(pair.gateway.endpoint().sessions() == 1);
    CHECK(pair.gateway.count(Counter::dropReplayed) > 0);
    CHECK(pair.gateway.count(Counter::dropReflected) > 0);
    CHECK(pair.gateway.count(Counter::dropUnknownType) > 0);
    CHECK(pair.gateway.count(Counter::dropAuthentication) +
              pair.gateway.count(Counter::dropUnknownConnection) >
          0);
    CHECK(pair.client.count(Counter::dropReflected) > 0);
  });
}

TEST_CASE("a token used again gives other keys each time") {
  Pair pair(3);
  std::set<std::vector<std::byte>> keys;
  const auto remember = [&](const Connection& connection) {
    const auto bytes = connection.exported->bytes();
    CHECK(keys.insert(std::vector(bytes.begin(), bytes.end())).second);
  };
  remember(pair.client.connections()[pair.client_key]);
  for (int i = 0; i < 20; ++i) {
    // The newer session of the same client takes the older one's place.
    const std::uint64_t key = pair.client.connect(pair.token, 1, seconds(10));
    pair.run(seconds(2));
    REQUIRE(pair.client.connections()[key].alive());
    remember(pair.client.connections()[key]);
    CHECK(pair.gateway.endpoint().connected() == 1);
  }
  CHECK(pair.client.connections()[pair.client_key].ended == DisconnectResult::kReplaced);
}

TEST_CASE("what arrived while a process was stalled counts before its deadlines do") {
  for_each_seed(20, [](std::uint64_t seed) {
    Pair pair(seed, seconds(2));
    pair.run(seconds(3));
    const bool gateway_stalls = seed % 2 == 0;
    Program& stalled = gateway_stalls ? pair.gateway : pair.client;
    const std::uint64_t key = gateway_stalls ? pair.gateway_key : pair.client_key;
    // By its clock the timeout has passed twice over when it wakes; the other side was heard in between.
    stalled.node().stall(pair.simulation.now() + seconds(4));
    pair.run(seconds(4));
    CHECK(stalled.connections()[key].alive());
    // The other side heard nothing for longer than the timeout. A gateway that is sent more to says so.
    pair.run(seconds(3));
    CHECK(pair.gateway.connections()[pair.gateway_key].ended == DisconnectResult::kTimedOut);
    CHECK(pair.client.connections()[pair.client_key].ended ==
          (gateway_stalls ? DisconnectResult::kTimedOut : DisconnectResult::kReset));
  });
}

TEST_CASE("a message that waits for a larger storage is no event, and its user is called all the same") {
  struct User final : DriverUser {
    explicit User(EventQueue& queue) : events(queue) {}
    void take_events() override {
      ++calls;
      events.clear();
    }
    void submit(Instant /*now*/) override {}
    void flushed() override {}
    void stopped() override {}
    void closed() override {}

    EventQueue& events;
    int calls = 0;
  };
  Simulation simulation(1, kSimulatedStart);
  auto node = SimulatedNode::open(simulation, kNobody, false);
  REQUIRE(node.has_value());
  std::vector<std::byte> slab(256 * 1024);
  std::vector<EventDescriptor> descriptors(8192);
  EventQueue events(slab, descriptors);
  std::array<std::uint64_t, kCounterCount> counters{};
  DriverCounters driver_counters;
  SeededRandom random(1);
  Endpoint endpoint({}, nullptr, random, events, Counters(counters), (*node)->now());
  User user(events);
  (*node)->start(endpoint, events, user, driver_counters);
  simulation.run_until(at(seconds(1)));
  CHECK(user.calls == 0);
  events.want_room(300'000);
  (*node)->schedule();
  simulation.run_until(at(seconds(2)));
  CHECK(user.calls == 1);
  (*node)->close();
}

TEST_CASE("a gateway that was restarted resets its peers, which hear of it at their next packet") {
  for_each_seed(20, [](std::uint64_t seed) {
    SeededRandom random(seed);
    Simulation simulation(random.u64(), kSimulatedStart);
    Program client(simulation, client_address(0), std::nullopt, {});
    auto gateway = std::make_unique<Program>(simulation, kGateway,
                                             simulated_gateway(kGateway, kSimulatedStart), Program::Clock());
    const auto token = simulated_token(random, 1, std::span(&kGateway, 1), kSimulatedStart, seconds(30));
    const std::uint64_t key = client.connect(token, 1, seconds(10));
    simulation.run_until(at(seconds(1)));
    REQUIRE(client.connections()[key].alive());
    gateway.reset();
    gateway = std::make_unique<Program>(simulation, kGateway,
                                        simulated_gateway(kGateway, simulation.wall_now()), Program::Clock());
    REQUIRE(client.send(key, 1));
    simulation.run_until(at(milliseconds(1'100)));
    CHECK(client.connections()[key].ended == DisconnectResult::kReset);
    CHECK(client.endpoint().sessions() == 0);
    const std::uint64_t again = client.connect(token, 1, seconds(10));
    simulation.run_until(at(seconds(2)));
    CHECK(client.connections()[again].alive());
  });
}

TEST_CASE("a partition ends both sides after the token's timeout, a shorter one neither") {
  for_each_seed(20, [](std::uint64_t seed) {
    Pair pair(seed, seconds(3));
    const bool short_one = seed % 2 == 0;
    pair.simulation.partition(kGateway, client_address(0), true);
    pair.run(short_one ? milliseconds(1'500) : seconds(4));
    pair.simulation.partition(kGateway, client_address(0), false);
    pair.run(seconds(1));
    if (short_one) return pair.is_unharmed();
    CHECK(pair.client.connections()[pair.client_key].ended == DisconnectResult::kTimedOut);
    CHECK(pair.gateway.connections()[pair.gateway_key].ended == DisconnectResult::kTimedOut);
    CHECK(pair.gateway.endpoint().sessions() == 0);
  });
}

// Two clients are connected, and those that `sends` names send more than a link to the gateway takes. How
// many messages of each client arrive in a second, once the queue is full.
std::array<std::size_t, 2> flood(Simulation& simulation, const LinkSettings& uplink,
                                 const std::array<bool, 2>& sends) {
  SeededRandom random(simulation.next_seed());
  Program gateway(simulation, kGateway, simulated_gateway(kGateway, kSimulatedStart), {});
  std::vector<std::unique_ptr<Program>> clients;
  std::array<std::uint64_t, 2> keys{};
  for (std::uint64_t i = 0; i < keys.size(); ++i) {
    clients.push_back(
        std::make_unique<Program>(simulation, client_address(i), std::nullopt, Program::Clock()));
    const auto token = simulated_token(random, i + 1, std::span(&kGateway, 1), kSimulatedStart, seconds(30));
    keys[i] = clients[i]->connect(token, i + 1, seconds(10));
  }
  simulation.run_until(at(seconds(3)));
  simulation.set_link(std::nullopt, kGateway, uplink);
  std::uint64_t number = 0;
  const auto received = [&](std::size_t i) {
    return gateway.connections()[gateway.alive_key(i + 1)].received.size();
  };
  std::array<std::size_t, 2> before{};
  for (int tick = 0; tick < 2'000; ++tick) {
    if (tick == 1'000) before = {received(0), received(1)};
    for (std::size_t i = 0; i < keys.size(); ++i) {
      ++number;
      if (sends[i]) REQUIRE(clients[i]->send(keys[i], number));
      // Not both at the same instant, where the first would always find the room.
      simulation.run_until(simulation.now() + Duration(301 + 398 * static_cast<Duration::rep>(i)));
    }
  }
  return {received(0) - before[0], received(1) - before[1]};
}

TEST_CASE("connections compete for the rate of a shared bottleneck, and not for one of their own") {
  LinkSettings uplink;
  uplink.bytes_per_second = 40'000;
  uplink.queue_bytes = 4'000;
  // A message of 64 bytes in a packet of its own.
  constexpr std::size_t kDatagramBytes = 64 + 33;
  const std::size_t possible = uplink.bytes_per_second / kDatagramBytes;
  const auto is_whole_rate = [&](std::size_t messages) {
    return messages >= possible * 19 / 20 && messages <= possible * 21 / 20;
  };
  const auto arrived = [&](bool together, const std::array<bool, 2>& sends) {
    uplink.shared_bottleneck = together;
    Simulation simulation(11, kSimulatedStart);
    const std::array<std::size_t, 2> counts = flood(simulation, uplink, sends);
    CHECK(simulation.counters().queue_full > 0);
    return counts;
  };
  const std::array<std::size_t, 2> shared = arrived(true, {true, true});
  CHECK(is_whole_rate(shared[0] + shared[1]));
  CHECK(shared[0] > 0);
  CHECK(shared[1] > 0);
  const std::array<std::size_t, 2> both = arrived(false, {true, true});
  CHECK(is_whole_rate(both[0]));
  CHECK(is_whole_rate(both[1]));
  // A client with a bottleneck of its own loses nothing to the other one.
  CHECK(both[0] == arrived(false, {true, false})[0]);
  CHECK(both[1] == arrived(false, {false, true})[1]);
}

}  // namespace hawser::test
