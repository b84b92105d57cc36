// Key updates over bad networks in virtual time, under traffic both ways. Each run follows from its seed.
#include <algorithm>
#include <chrono>

#include "simulation_support.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const SocketAddress kGateway = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
const SocketAddress kClient = SocketAddress::ipv4({10, 0, 1, 1}, 5000);

InjectedSecret numbered_secret(std::uint32_t number) {
  InjectedSecret secret{{}, simulated_key(static_cast<std::uint8_t>(number))};
  secret.id = default_secret_id(secret.key.bytes());
  return secret;
}

// Knows the even ones of the first eight, has the odd ones otherwise, and none of the others.
std::optional<Key> known_secret(const SecretId& id) {
  for (std::uint32_t number = 0; number < 8; ++number) {
    InjectedSecret secret = numbered_secret(number);
    if (secret.id == id) return number % 2 == 0 ? std::move(secret.key) : simulated_key(99);
  }
  return std::nullopt;
}

// A gateway and a client that send a message each way a hundred times a second, while both begin a key update
// each second or so.
class Scenario {
 public:
  explicit Scenario(std::uint64_t seed)
      : random_(seed),
        link_(random_link(random_)),
        simulation_(random_.u64(), kSimulatedStart),
        gateway_(simulation_, kGateway, simulated_gateway(kGateway, kSimulatedStart), {}, random_options()),
        client_(simulation_, kClient, std::nullopt, {}, random_options()) {
    simulation_.observe(&wiretap_);
    simulation_.set_link(std::nullopt, std::nullopt, link_);
    gateway_.secret_of = client_.secret_of = known_secret;
  }

  void run() {
    const auto token = simulated_token(random_, 1, std::span(&kGateway, 1), kSimulatedStart, seconds(30));
    up_ = client_.connect(token, 1, std::chrono::minutes(10));
    while (client_.alive_key(1) == 0) tick();
    simulation_.run_until(simulation_.now() + seconds(2));
    down_ = gateway_.alive_key(1);
    REQUIRE(client_.alive_key(1) == up_);
    REQUIRE(down_ != 0);
    // Repeated CHALLENGEs.
    unopened_before_ = client_.count(Counter::dropAuthentication);
    for (int i = 0; i < 1'000; ++i) {
      exchange_messages();
      if (random_.below(100) == 0) begin(client_, up_);
      if (random_.below(100) == 0) begin(gateway_, down_);
      tick();
    }
    // What is on its way arrives, and what was begun ends.
    simulation_.set_link(std::nullopt, std::nullopt, LinkSettings());
    simulation_.run_until(simulation_.now() + seconds(10));
    nothing_broke();
    both_sides_agree();
    another_update_works();
  }

 private:
  static LinkSettings random_link(RandomSource& random) {
    LinkSettings link;
    if (random.below(4) != 0) link.loss_rate = 0.4 * random.below(1'001) / 1'000;
    if (random.below(2) != 0) link.duplicate_rate = 0.2;
    if (random.below(2) != 0) link.reorder_rate = 0.2;
    link.delay = milliseconds(1 + random.below(100));
    if (random.below(2) != 0) link.jitter = milliseconds(random.below(20));
    return link;
  }
  EndpointOptions random_options() {
    EndpointOptions options;
    if (random_.below(2) == 0) options.packets_per_key = 100 + random_.below(400);
    if (random_.below(2) == 0) options.time_per_key = milliseconds(500 + random_.below(3'000));
    return options;
  }

  void tick() { simulation_.run_until(simulation_.now() + milliseconds(10)); }

  void begin(Program& program, std::uint64_t key) {
    const InjectedSecret secret = numbered_secret(random_.below(12));
    const KeyUpdateStart start = program.update_keys(key, random_.below(2) == 0 ? &secret : nullptr);
    REQUIRE((start == KeyUpdateStart::kBegun || start == KeyUpdateStart::kBusy));
  }

  void exchange_messages() {
    REQUIRE(client_.send(up_, next_number_));
    REQUIRE(gateway_.send(down_, next_number_++));
  }

  void nothing_broke() {
    for (Program* program : {&gateway_, &client_}) {
      // Whatever the network delivered has opened.
      CHECK(program->count(Counter::dropAuthentication) == (program == &client_ ? unopened_before_ : 0));
      CHECK(program->count(Counter::dropUnknownEpoch) == 0);
      CHECK(program->count(Counter::peersProtocolError) == 0);
      CHECK(program->endpoint().connected() == 1);
    }
    CHECK(client_.alive_key(1) == up_);
    CHECK(gateway_.alive_key(1) == down_);
    if (link_.loss_rate > 0) return;
    for (std::uint64_t number = 0; number < next_number_; ++number) {
      CHECK(client_.connections()[up_].received.contains(number));
      CHECK(gateway_.connections()[down_].received.contains(number));
    }
  }

  void both_sides_agree() {
    const std::uint32_t epoch = client_.connections()[up_].epoch;
    CHECK(epoch > 0);
    CHECK(gateway_.connections()[down_].epoch == epoch);
    CHECK(client_.endpoint().status(client_.handle(up_), client_.node().now())->key_epoch == epoch);
    CHECK(gateway_.endpoint().status(gateway_.handle(down_), gateway_.node().now())->key_epoch == epoch);
  }

  // Neither side still waits for something that will not come.
  void another_update_works() {
    for (Program* program : {&client_, &gateway_}) {
      const std::uint32_t epoch = client_.connections()[up_].epoch;
      // One that began by itself may be under way, and `previous` is kept for 3 PTO as measured under loss.
      int waited = 0;
      while (program->update_keys(program == &client_ ? up_ : down_, nullptr) != KeyUpdateStart::kBegun) {
        tick();
        REQUIRE(++waited < 500);
      }
      simulation_.run_until(simulation_.now() + seconds(1));
      CHECK(client_.connections()[up_].epoch > epoch);
      CHECK(gateway_.connections()[down_].epoch > epoch);
    }
  }

  SeededRandom random_;
  LinkSettings link_;
  Simulation simulation_;
  Wiretap wiretap_;
  Program gateway_;
  Program client_;
  std::uint64_t up_ = 0;
  std::uint64_t down_ = 0;
  std::uint64_t next_number_ = 0;
  std::uint64_t unopened_before_ = 0;
};

}  // namespace

TEST_CASE("key updates from both sides under traffic: what the network delivers opens, and both agree") {
  for_each_seed(4, [](std::uint64_t seed) { Scenario(seed).run(); });
}

}  // namespace hawser::test
