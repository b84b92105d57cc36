// How soon the round trip that users see follows the path, and what that costs in PINGs.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "channels_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Both directions together take `round_trip` without jitter.
LinkSettings link_of(Duration round_trip, double loss = 0) {
  LinkSettings link;
  link.delay = round_trip / 2;
  link.jitter = round_trip / 50;
  link.loss_rate = loss;
  return link;
}

enum class Traffic { kUp, kDown, kBoth };

class Path {
 public:
  Path(std::uint64_t seed, const LinkSettings& link) : world_(seed, link) { world_.connect(); }

  void use(const LinkSettings& link) { world_.simulation.set_link(std::nullopt, std::nullopt, link); }
  void idle(Duration duration) { world_.run(duration); }
  void send(Duration duration, Traffic traffic, std::uint32_t channel = kPlain, std::size_t size = 100,
            Duration interval = milliseconds(50)) {
    for (const Instant end = world_.simulation.now() + duration; world_.simulation.now() < end;) {
      if (traffic != Traffic::kDown)
        REQUIRE(world_.client->send(world_.own, channel, number_, size) == SendStatus::kSent);
      if (traffic != Traffic::kUp)
        REQUIRE(world_.gateway->send(world_.other, channel, number_, size) == SendStatus::kSent);
      ++number_;
      world_.run(interval);
    }
  }

  // Within a tenth of the truth or a millisecond, on both sides, as published.
  void check(Duration round_trip) {
    const Duration jitter = round_trip / 50;
    const Duration truth = round_trip + jitter;
    const Duration tolerance = std::max<Duration>(truth / 10, milliseconds(1)) + jitter;
    for (const auto& [user, peer] :
         {std::pair(world_.client.get(), world_.own), std::pair(world_.gateway.get(), world_.other)}) {
      const auto status = user->endpoint().published_status().read(peer, user->node().now());
      REQUIRE(status.has_value());
      INFO("round trip " << status->round_trip.count() << " us instead of " << truth.count());
      CHECK(std::chrono::abs(status->round_trip - truth) <= tolerance);
    }
  }

  [[nodiscard]] std::uint64_t client_pings() const { return world_.client->count(Counter::pingsSent); }
  [[nodiscard]] std::uint64_t gateway_pings() const { return world_.gateway->count(Counter::pingsSent); }

 private:
  ChannelWorld world_;
  std::uint64_t number_ = 0;
};

TEST_CASE("the round trip follows the path within 5 s of a change while there are unreliable messages") {
  for_each_seed(10, [](std::uint64_t seed) {
    for (const Traffic traffic : {Traffic::kUp, Traffic::kDown, Traffic::kBoth}) {
      CAPTURE(traffic);
      Path path(seed, link_of(milliseconds(200), 0.01));
      path.send(seconds(40), traffic);
      path.check(milliseconds(200));
      path.use(link_of(milliseconds(2), 0.01));
      path.send(seconds(5), traffic);
      path.check(milliseconds(2));
      path.use(link_of(milliseconds(200), 0.01));
      path.send(seconds(5), traffic);
      path.check(milliseconds(200));
    }
  });
}

TEST_CASE("the round trip follows the path within 5 s while there are reliable messages") {
  for_each_seed(20, [](std::uint64_t seed) {
    Path path(seed, link_of(milliseconds(200)));
    path.send(seconds(40), Traffic::kUp, kOrdered);
    path.use(link_of(milliseconds(2)));
    path.send(seconds(5), Traffic::kUp, kOrdered);
    path.check(milliseconds(2));
    path.use(link_of(milliseconds(200)));
    path.send(seconds(5), Traffic::kUp, kOrdered);
    path.check(milliseconds(200));
  });
}

TEST_CASE("one message after a silence is enough to measure the path anew") {
  Path path(1, link_of(milliseconds(200)));
  path.send(seconds(40), Traffic::kBoth);
  path.idle(seconds(30));
  path.use(link_of(milliseconds(2)));
  path.send(seconds(1), Traffic::kUp, kPlain, 100, seconds(1));
  path.check(milliseconds(2));
}

TEST_CASE("a path that is longer than the time of 16 PINGs in a hurry is measured") {
  for (const Duration round_trip : {seconds(1), seconds(2)}) {
    CAPTURE(round_trip.count());
    Path path(5, link_of(round_trip));
    path.idle(seconds(60));
    path.check(round_trip);
    const std::uint64_t before = path.client_pings();
    path.idle(seconds(60));
    CHECK(path.client_pings() - before <= 60);
  }
}

TEST_CASE("messages cause at most one PING in a second, and less than one that are measured by themselves") {
  const auto count = [](const std::string& what, Traffic traffic, std::uint32_t channel, std::size_t size,
                        double loss, std::uint64_t least, std::uint64_t most) {
    INFO(what);
    Path path(3, link_of(milliseconds(20), loss));
    path.send(seconds(40), traffic, channel, size);
    const std::uint64_t client_before = path.client_pings();
    const std::uint64_t gateway_before = path.gateway_pings();
    path.send(seconds(30), traffic, channel, size);
    const std::uint64_t client = path.client_pings() - client_before;
    const std::uint64_t gateway = path.gateway_pings() - gateway_before;
    INFO("PINGs: " << client << " of the client, " << gateway << " of the gateway");
    CHECK(std::min(client, gateway) >= least);
    CHECK(std::max(client, gateway) <= most);
  };
  count("unreliable, both ways", Traffic::kBoth, kPlain, 100, 0, 25, 30);
  count("unreliable, one way", Traffic::kUp, kPlain, 100, 0, 14, 30);
  count("on a bad path", Traffic::kBoth, kPlain, 100, 0.2, 20, 30);
  count("packets without room for another frame", Traffic::kBoth, kPlain, kMaxMessageSize, 0, 25, 30);
  // Keep-alives alone: they ride up to a quarter of their 6.7 s early.
  count("reliable, both ways", Traffic::kBoth, kOrdered, 100, 0, 0, 6);
}

TEST_CASE("peers without messages are measured by their keep-alives only") {
  Path path(4, link_of(milliseconds(20)));
  path.send(seconds(60), Traffic::kBoth);
  path.idle(seconds(10));
  const std::uint64_t client_before = path.client_pings();
  const std::uint64_t before = client_before + path.gateway_pings();
  path.idle(seconds(100));
  // A third of the token's timeout of 20 s, one side for both, and samples of the other's clock.
  const std::uint64_t pings = path.client_pings() + path.gateway_pings() - before;
  INFO(pings << " PINGs, of the client " << path.client_pings() - client_before);
  CHECK(pings >= 10);
  CHECK(pings <= 20);
}

}  // namespace
}  // namespace hawser::test
