// What happens while a path carries nothing, and when it carries datagrams again (docs/protocol.md section
// 12, Recovery).
#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "channels_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kDelay = milliseconds(30);
constexpr Duration kRoundTrip = 2 * kDelay;
constexpr Duration kMostBetweenProbes = milliseconds(500);

// A client that sends messages on a reliable channel, and a path that stops.
class Path {
 public:
  explicit Path(std::uint64_t seed) : world_(seed, link(true)) {
    world_.connect();
    for (int i = 0; i < 60; ++i) {
      send();
      run(milliseconds(50));
    }
  }

  void send() { REQUIRE(world_.client->send(world_.own, kOrdered, number_++, 100) == SendStatus::kSent); }
  void stop(bool up, bool down) {
    world_.simulation.set_link(ChannelWorld::kClient, ChannelWorld::kAddress, link(!up));
    world_.simulation.set_link(ChannelWorld::kAddress, ChannelWorld::kClient, link(!down));
  }
  void resume() { stop(false, false); }
  // Returns when the client sent something.
  std::vector<Instant> run(Duration duration) {
    std::vector<Instant> sent;
    for (const Instant end = now() + duration; now() < end;) {
      const std::uint64_t before = world_.client->count(Counter::packetsSealed);
      world_.run(milliseconds(1));
      for (std::uint64_t i = before; i < world_.client->count(Counter::packetsSealed); ++i)
        sent.push_back(now());
    }
    return sent;
  }
  // The gateway sends an unreliable message.
  void answer() { REQUIRE(world_.gateway->send(world_.other, kPlain, answers_++, 100) == SendStatus::kSent); }
  [[nodiscard]] bool all_delivered() {
    return world_.gateway->side(world_.other).received[kOrdered].size() == number_;
  }
  [[nodiscard]] Instant now() const { return world_.simulation.now(); }

 private:
  static LinkSettings link(bool up) {
    LinkSettings settings;
    settings.delay = kDelay;
    settings.up = up;
    return settings;
  }

  ChannelWorld world_;
  std::uint64_t number_ = 0;
  std::uint64_t answers_ = 0;
};

TEST_CASE("outage: the first datagram that comes back makes the waiting data go at once") {
  for_each_seed(5, [](std::uint64_t seed) {
    // The end of the outage falls at any point between two probes.
    for (int part = 0; part < 10; ++part) {
      CAPTURE(part);
      Path path(seed);
      path.stop(true, true);
      for (int i = 0; i < 10; ++i) path.send();
      path.run(seconds(3) + part * kMostBetweenProbes / 10);
      path.resume();
      path.answer();
      // It takes half a round trip to come here; then the data goes there.
      path.run(kDelay + kRoundTrip + milliseconds(100));
      CHECK(path.all_delivered());
    }
  });
}

TEST_CASE("outage: probes go on twice a second, one packet each") {
  for_each_seed(10, [](std::uint64_t seed) {
    Path path(seed);
    path.stop(true, true);
    for (int i = 0; i < 10; ++i) path.send();
    path.run(seconds(2));
    const auto sent = path.run(seconds(5));
    // And a PING each second.
    CHECK(sent.size() >= 10);
    CHECK(sent.size() <= 15);
    for (std::size_t i = 1; i < sent.size(); ++i)
      CHECK(sent[i] - sent[i - 1] <= kMostBetweenProbes + milliseconds(2));
  });
}

TEST_CASE("outage: packets that come while nothing is acknowledged do not make probes more frequent") {
  for_each_seed(10, [](std::uint64_t seed) {
    Path path(seed);
    // What the client sends is lost; the gateway goes on.
    path.stop(true, false);
    for (int i = 0; i < 10; ++i) path.send();
    path.run(seconds(2));
    std::size_t sent = 0;
    for (int i = 0; i < 100; ++i) {
      path.answer();
      sent += path.run(milliseconds(40)).size();
    }
    CHECK(sent <= 20);
  });
}

}  // namespace
}  // namespace hawser::test
