// Small messages that are repeated before anybody knows that they are lost (docs/protocol.md section 12,
// Redundancy).
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "channels_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kDelay = milliseconds(30);
// 30 messages a second.
constexpr Duration kInterval = std::chrono::microseconds(33'333);
constexpr std::size_t kMessageBytes = 200;
constexpr std::uint16_t kDatagramBytes = 1200;

EndpointOptions repeating(std::uint8_t redundancy,
                          CongestionAlgorithm congestion = CongestionAlgorithm::kBbr) {
  EndpointOptions options;
  options.congestion = congestion;
  options.max_datagram = kDatagramBytes;
  options.channels = test_channels();
  for (const std::uint32_t channel : {kState, kOrdered, kUnordered})
    options.channels[channel].redundancy = redundancy;
  return options;
}

LinkSettings lossy(double loss, Duration jitter = {}) {
  LinkSettings settings;
  settings.delay = kDelay;
  settings.loss_rate = loss;
  settings.jitter = jitter;
  settings.jitter_reorders = true;
  return settings;
}

struct Measured {
  std::vector<Duration> latencies;
  std::uint64_t bytes = 0;
  std::uint64_t redundant = 0;

  [[nodiscard]] double percentile(double share) {
    std::ranges::sort(latencies);
    const auto at = static_cast<std::size_t>(share * static_cast<double>(latencies.size() - 1));
    return std::chrono::duration<double, std::milli>(latencies[at]).count();
  }
};

// One message of 200 bytes 30 times a second, or each `interval`.
Measured measure(std::uint64_t seed, const LinkSettings& link, std::uint8_t redundancy, int count,
                 Duration interval = kInterval) {
  ChannelWorld world(seed, link, repeating(redundancy));
  world.connect();
  Measured result;
  const std::uint64_t before = world.client->count(Counter::bytesSent);
  std::vector<Instant> sent;
  ChannelUser::Side& side = world.gateway->side(world.other);
  const auto run = [&](Duration duration) {
    for (const Instant end = world.simulation.now() + duration; world.simulation.now() < end;) {
      world.run(std::min<Duration>(milliseconds(1), end - world.simulation.now()));
      while (result.latencies.size() < side.received[kOrdered].size())
        result.latencies.push_back(world.simulation.now() - sent[result.latencies.size()]);
    }
  };
  for (int i = 0; i < count; ++i) {
    sent.push_back(world.simulation.now());
    REQUIRE(world.client->send(world.own, kOrdered, static_cast<std::uint64_t>(i), kMessageBytes) ==
            SendStatus::kSent);
    run(interval);
  }
  result.bytes = world.client->count(Counter::bytesSent) - before;
  run(seconds(5));
  REQUIRE(result.latencies.size() == sent.size());
  result.redundant = world.client->count(Counter::redundantBytes);
  return result;
}

// The goals of docs/channels.md. Seeds differ by how many messages are lost, so that all of them count
// together.
TEST_CASE("redundancy: automatic copies keep the latency of small messages low on lossy paths") {
  struct Goal {
    double loss;
    Duration jitter;
    double most_latency;  // milliseconds, of 99 messages in 100
    double most_bytes;    // times those without redundancy on a path without loss
  };
  for (const Goal& goal : {Goal{0.02, {}, 70, 2.2}, Goal{0.1, {}, 105, 2.2}, Goal{0.02, kDelay, 110, 2.2}}) {
    CAPTURE(goal.loss);
    CAPTURE(goal.jitter.count());
    Measured all;
    std::uint64_t bytes_without = 0;
    for_each_seed(5, [&](std::uint64_t seed) {
      const Measured one = measure(seed, lossy(goal.loss, goal.jitter), kAutoRedundancy, 1000);
      all.latencies.insert(all.latencies.end(), one.latencies.begin(), one.latencies.end());
      all.bytes += one.bytes;
      bytes_without += measure(seed, lossy(0), 0, 1000).bytes;
    });
    CHECK(all.percentile(0.99) <= goal.most_latency);
    CHECK(static_cast<double>(all.bytes) <= goal.most_bytes * static_cast<double>(bytes_without));
  }
}

TEST_CASE("redundancy: automatic copies cost nothing where no packet is lost, also with jitter") {
  for_each_seed(5, [](std::uint64_t seed) {
    CHECK(measure(seed, lossy(0), kAutoRedundancy, 300).redundant == 0);
    CHECK(measure(seed, lossy(0, kDelay), kAutoRedundancy, 300).redundant == 0);
  });
}

TEST_CASE("redundancy: automatic copies go out again only when an acknowledgement is late") {
  for_each_seed(5, [](std::uint64_t seed) {
    constexpr int kCount = 1000;
    const Measured measured = measure(seed, lossy(0.1), kAutoRedundancy, kCount, milliseconds(10));
    // Six messages are sent in a round trip. One of ten is lost, and of those one of ten copies.
    CHECK(measured.redundant <= kCount * (kMessageBytes + 10) * 13 / 10);
  });
}

TEST_CASE("redundancy: packets that were declared lost and came late make no copies") {
  for_each_seed(5, [](std::uint64_t seed) {
    LinkSettings late = lossy(0);
    late.reorder_rate = 0.05;
    late.least_hold_back = late.most_hold_back = milliseconds(100);
    constexpr int kCount = 1000;
    const Measured measured = measure(seed, late, kAutoRedundancy, kCount);
    // Only between the declaration and the acknowledgement.
    CHECK(measured.redundant > 0);
    CHECK(measured.redundant < kCount * kMessageBytes / 4);
  });
}

TEST_CASE("redundancy: each message is delivered once, on every kind of channel and in both directions") {
  for_each_seed(20, [](std::uint64_t seed) {
    for (const std::uint8_t redundancy : {std::uint8_t{1}, kMaxRedundancy, kAutoRedundancy}) {
      CAPTURE(redundancy);
      LinkSettings link = lossy(0.15, kDelay);
      link.duplicate_rate = 0.1;
      const auto congestion = seed % 2 == 0 ? CongestionAlgorithm::kBbr : CongestionAlgorithm::kCubic;
      // ChannelUser checks what it is given.
      ChannelWorld world(seed, link, repeating(redundancy, congestion));
      world.connect();
      constexpr std::uint64_t kCount = 200;
      for (std::uint64_t i = 0; i < kCount; ++i) {
        for (const std::uint32_t channel : {kState, kOrdered, kUnordered}) {
          REQUIRE(world.client->send(world.own, channel, i, 50) == SendStatus::kSent);
          REQUIRE(world.gateway->send(world.other, channel, i, 50) == SendStatus::kSent);
        }
        world.run(milliseconds(10));
      }
      world.run(seconds(20));
      for (const std::uint32_t channel : {kOrdered, kUnordered}) {
        CHECK(world.gateway->side(world.other).received[channel].size() == kCount);
        CHECK(world.client->side(world.own).received[channel].size() == kCount);
      }
      CHECK(world.client->count(Counter::redundantBytes) > 0);
      CHECK(world.gateway->count(Counter::dropRepeatedMessage) > 0);
    }
  });
}

// A path on which single packets of the client can be lost.
class Path {
 public:
  Path(std::uint64_t seed, std::uint8_t redundancy) : world(seed, lossy(0), repeating(redundancy)) {
    world.connect();
    // Until the PINGs that measure the path are over.
    world.run(seconds(3));
  }
  // Sends a message, and loses its packet.
  void lose(std::uint32_t channel, std::uint64_t number, std::size_t size, const SendOptions& options = {}) {
    set_up(false);
    send(channel, number, size, options);
    world.run(milliseconds(1));
    set_up(true);
  }
  void send(std::uint32_t channel, std::uint64_t number, std::size_t size, const SendOptions& options = {}) {
    REQUIRE(world.client->send(world.own, channel, number, size, options) == SendStatus::kSent);
  }
  [[nodiscard]] const std::set<std::uint64_t>& received(std::uint32_t channel) {
    return world.gateway->side(world.other).received[channel];
  }
  [[nodiscard]] std::uint64_t sent_bytes() const { return world.client->count(Counter::bytesSent); }
  [[nodiscard]] std::uint64_t redundant() const { return world.client->count(Counter::redundantBytes); }

  ChannelWorld world;

 private:
  void set_up(bool up) {
    LinkSettings settings = lossy(0);
    settings.up = up;
    world.simulation.set_link(ChannelWorld::kClient, ChannelWorld::kAddress, settings);
  }
};

TEST_CASE("redundancy: the acknowledgement of a copy acknowledges the message, which is not sent again") {
  for_each_seed(5, [](std::uint64_t seed) {
    Path path(seed, 1);
    path.lose(kOrdered, 0, 100, {.confirm = 7});
    path.world.run(milliseconds(10));
    path.send(kPlain, 0, 100);
    path.world.run(kDelay + milliseconds(1));
    CHECK(path.received(kOrdered).size() == 1);
    path.world.run(kDelay + milliseconds(1) + kMaxAckDelay);
    CHECK(path.world.client->side(path.world.own).confirmed.contains(7));
    const std::uint64_t before = path.sent_bytes();
    path.world.run(milliseconds(900));
    // A PING may have been due.
    CHECK(path.sent_bytes() - before < 100);
  });
}

TEST_CASE(
    "redundancy: a message is repeated in as many packets as its channel says, until it is acknowledged") {
  for (std::uint8_t redundancy = 1; redundancy <= kMaxRedundancy; ++redundancy) {
    CAPTURE(redundancy);
    for_each_seed(3, [&](std::uint64_t seed) {
      constexpr std::size_t kSize = 100;
      Path path(seed, redundancy);
      path.lose(kOrdered, 0, kSize);
      for (std::uint64_t i = 0; i < 5; ++i) {
        path.send(kPlain, i, kSize);
        path.world.run(milliseconds(2));
      }
      CHECK(path.redundant() >= redundancy * kSize);
      CHECK(path.redundant() <= redundancy * (kSize + 10));
      path.world.run(seconds(1));
      const std::uint64_t before = path.redundant();
      path.send(kPlain, 9, kSize);
      path.world.run(seconds(1));
      CHECK(path.redundant() == before);
    });
  }
}

TEST_CASE("redundancy: only the newest message of a sequenced channel is repeated") {
  for_each_seed(5, [](std::uint64_t seed) {
    Path path(seed, 2);
    path.lose(kState, 0, 100);
    path.lose(kState, 1, 100);
    path.send(kPlain, 0, 100);
    path.world.run(kDelay + milliseconds(1));
    CHECK(path.received(kState) == std::set<std::uint64_t>{1});
    const std::uint64_t once = path.redundant();
    path.send(kPlain, 1, 100);
    path.world.run(kDelay + milliseconds(1));
    CHECK(path.redundant() == 2 * once);
    path.send(kPlain, 2, 100);
    path.world.run(kDelay + milliseconds(1));
    CHECK(path.redundant() == 2 * once);
    CHECK(path.world.gateway->count(Counter::dropOutdated) == 0);
    CHECK(path.world.gateway->count(Counter::dropRepeatedMessage) == 1);
  });
}

TEST_CASE("redundancy: copies take at most half of a packet") {
  for_each_seed(5, [](std::uint64_t seed) {
    for (const std::size_t size : {std::size_t{20}, std::size_t{250}, std::size_t{500}, std::size_t{700}}) {
      CAPTURE(size);
      for (const std::uint32_t channel : {kState, kOrdered}) {
        CAPTURE(channel);
        Path path(seed, kMaxRedundancy);
        std::uint64_t before = path.redundant();
        for (std::uint64_t i = 0; i < 20; ++i) {
          path.send(channel, i, size);
          path.send(kPlain, i, 20);
          path.world.run(milliseconds(5));
          CHECK(path.redundant() - before <= kDatagramBytes / 2);
          before = path.redundant();
        }
        // Of the state there is a newer one in each packet.
        CHECK((path.redundant() > 0) == (size < 700 && channel == kOrdered));
      }
    }
  });
}

TEST_CASE("redundancy: nothing is repeated while messages wait or much is in flight") {
  for_each_seed(3, [](std::uint64_t seed) {
    LinkSettings narrow = lossy(0.02);
    narrow.bytes_per_second = 250'000;
    narrow.queue_bytes = 20'000;
    EndpointOptions options = repeating(kMaxRedundancy);
    options.channels[kBulk].redundancy = kMaxRedundancy;
    ChannelWorld world(seed, narrow, options);
    world.connect();
    constexpr std::uint64_t kCount = 5'000;
    for (std::uint64_t i = 0; i < kCount; ++i)
      // Of two lengths, so that packets have room left for copies.
      REQUIRE(world.client->send(world.own, kBulk, i, i % 2 == 0 ? 50 : 700) == SendStatus::kSent);
    world.run(seconds(30));
    CHECK(world.gateway->side(world.other).received[kBulk].size() == kCount);
    // The last ones.
    CHECK(world.client->count(Counter::redundantBytes) < 20 * kMessageBytes);
  });
}

TEST_CASE("redundancy: nothing is repeated while more than half of the congestion window is in flight") {
  for_each_seed(3, [](std::uint64_t seed) {
    for (const std::uint64_t count : {std::uint64_t{2}, std::uint64_t{20}}) {
      CAPTURE(count);
      Path path(seed, kMaxRedundancy);
      // 20 of them are 10 of the 12 KB of the first window.
      for (std::uint64_t i = 0; i < count; ++i) path.send(kOrdered, i, 500);
      path.world.run(milliseconds(20));
      REQUIRE(path.redundant() == 0);
      path.send(kPlain, 0, 20);
      path.world.run(milliseconds(1));
      CHECK((path.redundant() > 0) == (count == 2));
    }
  });
}

TEST_CASE("redundancy: a peer that acknowledges nothing gets no more copies than any") {
  for_each_seed(3, [](std::uint64_t seed) {
    Path path(seed, kMaxRedundancy);
    LinkSettings down = lossy(0);
    down.up = false;
    path.world.simulation.set_link(ChannelWorld::kAddress, ChannelWorld::kClient, down);
    constexpr std::uint64_t kCount = 100;
    for (std::uint64_t i = 0; i < kCount; ++i) {
      path.send(kOrdered, i, kMessageBytes);
      path.world.run(milliseconds(20));
    }
    CHECK(path.redundant() <= kMaxRedundancy * kCount * (kMessageBytes + 10));
  });
}

TEST_CASE("redundancy: a probe does not repeat what only copies carried, but what has to arrive") {
  for_each_seed(5, [](std::uint64_t seed) {
    Path path(seed, 1);
    // Until the round trip is known exactly.
    for (std::uint64_t i = 1; i < 60; ++i) {
      path.send(kUnordered, i, 100);
      path.world.run(milliseconds(100));
    }
    REQUIRE(path.redundant() == 0);
    path.send(kOrdered, 0, 100);
    path.world.run(milliseconds(5));
    // With a copy of the first message, which arrives.
    path.lose(kPlain, 0, 100);
    REQUIRE(path.redundant() > 0);
    path.lose(kUnordered, 0, 100);
    // The first probe timeout, and not the second one.
    path.world.run(2 * kDelay + milliseconds(15) + kDelay);
    CHECK(path.received(kUnordered).contains(0));
  });
}

}  // namespace
}  // namespace hawser::test
