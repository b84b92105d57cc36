// How flows of BBR share a slow link with TCP, and with each other: 20 Mbit/s and 50 ms with a drop-tail
// queue. The rows path-share-* measure the same with the kernel's TCP.
#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/random.hpp"
#include "bottleneck.hpp"
#include "kernel_bbr.hpp"

namespace hawser::test {
namespace {

constexpr std::size_t kDatagram = 1472;
constexpr std::uint64_t kSeeds = 12;

Instant at(double seconds_since_epoch) {
  return Instant(std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds_since_epoch)));
}

// `products`: length of the queue in bandwidth-delay products.
LinkOptions link_with(std::size_t products) {
  return {.megabits = 20, .queue_bytes = products * 125'000, .seed = 1};
}

FlowOptions options_of(SeededRandom& random) {
  return {.datagram = kDatagram, .start = at(1) + Duration(random.below(200'000))};
}

enum class Tcp : std::uint8_t { kCubic, kBbr };

// Mean share in percent of a flow of BBR next to one of TCP, from the third second to the twentieth, of all
// seeds. It depends on the instants at which the flows begin.
double mean_share(Tcp tcp, std::size_t products) {
  double sum = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SeededRandom random(seed);
    Bottleneck bottleneck(link_with(products));
    Flow& own = bottleneck.add(options_of(random));
    FlowOptions options = options_of(random);
    options.algorithm = CongestionAlgorithm::kCubic;
    if (tcp == Tcp::kBbr) {
      options.make = [seed](std::size_t datagram, Instant start) {
        return std::make_unique<KernelBbr>(datagram, start, seed);
      };
    }
    Flow& other = bottleneck.add(options);
    bottleneck.run_until(at(4));
    const std::uint64_t own_before = own.arrived();
    const std::uint64_t other_before = other.arrived();
    bottleneck.run_until(at(21));
    const auto own_bytes = static_cast<double>(own.arrived() - own_before);
    const auto other_bytes = static_cast<double>(other.arrived() - other_before);
    const double share = 100 * own_bytes / (own_bytes + other_bytes);
    MESSAGE("seed " << seed << ": " << share << " %");
    sum += share;
  }
  return sum / static_cast<double>(kSeeds);
}

TEST_CASE("fairness: next to CUBIC that fills the queue a flow keeps its share") {
  const double shallow = mean_share(Tcp::kCubic, 1);
  CHECK(shallow >= 35);
  CHECK(shallow <= 65);
  const double deep = mean_share(Tcp::kCubic, 5);
  CHECK(deep >= 20);
  CHECK(deep <= 65);
}

TEST_CASE("fairness: next to BBR version 1, which ignores losses, a flow keeps its share") {
  // With so short a queue version 1 has more in flight than the path holds, whatever is lost: a flow that
  // reacts to losses does not get the 25 % that it gets otherwise.
  const double shallow = mean_share(Tcp::kBbr, 1);
  CHECK(shallow >= 20);
  CHECK(shallow <= 65);
  const double deep = mean_share(Tcp::kBbr, 5);
  CHECK(deep >= 25);
  CHECK(deep <= 65);
}

struct Shares {
  double jain = 0;  // means of all seeds
  double median_wait_ms = 0;
};

Shares own_shares(std::size_t flows) {
  Shares means;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    SeededRandom random(seed);
    Bottleneck bottleneck(link_with(1));
    std::vector<Flow*> all;
    for (std::size_t i = 0; i < flows; ++i) all.push_back(&bottleneck.add(options_of(random)));
    bottleneck.run_until(at(4));
    bottleneck.add_probe(at(4));
    std::vector<std::uint64_t> before;
    for (const Flow* flow : all) before.push_back(flow->arrived());
    bottleneck.run_until(at(21));
    double sum = 0;
    double squares = 0;
    for (std::size_t i = 0; i < flows; ++i) {
      const auto bytes = static_cast<double>(all[i]->arrived() - before[i]);
      sum += bytes;
      squares += bytes * bytes;
    }
    means.jain += sum * sum / (static_cast<double>(flows) * squares) / static_cast<double>(kSeeds);
    means.median_wait_ms += bottleneck.wait_ms(50) / static_cast<double>(kSeeds);
  }
  return means;
}

TEST_CASE("fairness: two flows share a link, and do not take each other for one that does not yield") {
  const Shares shares = own_shares(2);
  MESSAGE("Jain " << shares.jain << ", median queue " << shares.median_wait_ms << " ms");
  CHECK(shares.jain >= 0.95);
  CHECK(shares.median_wait_ms <= 10);
}

TEST_CASE("fairness: ten flows share a link") {
  const Shares shares = own_shares(10);
  MESSAGE("Jain " << shares.jain);
  CHECK(shares.jain >= 0.95);
}

TEST_CASE("fairness: fifty flows share a link") {
  const Shares shares = own_shares(50);
  MESSAGE("Jain " << shares.jain);
  CHECK(shares.jain >= 0.95);
}

}  // namespace
}  // namespace hawser::test
