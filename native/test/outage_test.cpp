// What happens while a path carries nothing, and when it carries datagrams again (docs/protocol.md section
// 12, Recovery).
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "channels_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kDelay = milliseconds(30);
constexpr Duration kRoundTrip = 2 * kDelay;
constexpr Duration kMostBetweenProbes = milliseconds(500);

// How the client's address changes.
enum class Change : std::uint8_t {
  kNone,
  kPort,    // another port behind a NAT, unknown to the client
  kHost,    // another host address behind a NAT, unknown to the client
  kRebind,  // a new socket of the client
};

struct Setting {
  Duration delay = kDelay;
  CongestionAlgorithm congestion = CongestionAlgorithm::kBbr;
  // Which sides have messages that wait.
  bool up = true;
  bool down = false;
  // Without MTU probes, a packet sent in an outage is a probe or a PING.
  bool finds_mtu = true;
};

struct Sent {
  std::uint64_t up = 0;
  std::uint64_t down = 0;
};

// Counts packets with one message of a transfer. Packets that validate an address are longer.
class TransferCounter final : public SimulationObserver {
 public:
  void on_datagram(const SocketAddress& /*from*/, const SocketAddress& to, Bytes bytes) override {
    if (bytes.size() < 1000 || bytes.size() > 1150) return;
    ++(to == ChannelWorld::kAddress ? sent.up : sent.down);
  }

  Sent sent;
};

// A client and a gateway that send each other messages on a reliable channel, and a path that stops.
class Path {
 public:
  explicit Path(std::uint64_t seed, const Setting& setting = {})
      : setting_(setting), world_(seed, link(true), options(setting)) {
    world_.connect();
    exchange();
  }

  // Both sides send for a while, so that they know the round trip.
  void exchange() {
    for (int i = 0; i < 60; ++i) {
      send();
      reply();
      run(std::max(milliseconds(50), std::chrono::duration_cast<milliseconds>(setting_.delay / 4)));
    }
  }
  void send() { REQUIRE(world_.client->send(world_.own, kOrdered, requests_++, 100) == SendStatus::kSent); }
  void reply() {
    REQUIRE(world_.gateway->send(world_.other, kOrdered, replies_++, 100) == SendStatus::kSent);
  }
  // At the sides of the setting: what one packet holds.
  void queue_messages() {
    for (int i = 0; i < 5; ++i) {
      if (setting_.up) send();
      if (setting_.down) reply();
    }
  }
  void stop(bool up, bool down) {
    link_up_ = !up;
    link_down_ = !down;
    world_.simulation.set_link(std::nullopt, ChannelWorld::kAddress, link(!up));
    world_.simulation.set_link(ChannelWorld::kAddress, std::nullopt, link(!down));
  }
  void resume() {
    counts_up_ = !link_up_;
    counts_down_ = !link_down_;
    stop(false, false);
  }
  void change_address(Change change) {
    SocketAddress address = world_.client->node().local_address();
    address.port = static_cast<std::uint16_t>(address.port + 1);
    if (change == Change::kHost) address.ip[3] = std::byte{77};
    if (change == Change::kPort || change == Change::kHost) REQUIRE(world_.client->node().move(address));
    if (change == Change::kRebind) REQUIRE(world_.client->node().rebind().has_value());
  }
  // The sides of the setting send as fast as they may.
  void transfer(Duration duration) {
    world_.simulation.observe(&counter_);
    for (const Instant end = now() + duration; now() < end; world_.run(milliseconds(5))) {
      while (setting_.up && (world_.client->flags(world_.own) & kPeerWait) == 0)
        REQUIRE(world_.client->send(world_.own, kUnordered, bulk_++, 1000) == SendStatus::kSent);
      while (setting_.down && (world_.gateway->flags(world_.other) & kPeerWait) == 0)
        REQUIRE(world_.gateway->send(world_.other, kUnordered, bulk_++, 1000) == SendStatus::kSent);
    }
  }
  // Packets of transfer() that were sent.
  [[nodiscard]] Sent sent() const { return counter_.sent; }
  // Returns when a side sent something: the client, or the gateway if `down`.
  std::vector<Instant> run(Duration duration, bool down = false) {
    std::vector<Instant> sent;
    const ChannelUser& sender = down ? *world_.gateway : *world_.client;
    for (const Instant end = now() + duration; now() < end;) {
      const std::uint64_t before = sender.count(Counter::packetsSealed);
      world_.run(milliseconds(1));
      for (std::uint64_t i = before; i < sender.count(Counter::packetsSealed); ++i) sent.push_back(now());
    }
    return sent;
  }
  // Runs until a datagram gets through in a direction that was stopped.
  void run_until_arrival() {
    const std::uint64_t before = arrived();
    for (int i = 0; arrived() == before; ++i) {
      REQUIRE(i < 10'000);
      world_.run(milliseconds(1));
    }
  }
  // The client or the gateway sends an unreliable message.
  void ask() { REQUIRE(world_.client->send(world_.own, kPlain, asked_++, 100) == SendStatus::kSent); }
  void answer() { REQUIRE(world_.gateway->send(world_.other, kPlain, answers_++, 100) == SendStatus::kSent); }
  [[nodiscard]] bool all_delivered() {
    return world_.gateway->side(world_.other).received[kOrdered].size() == requests_ &&
           world_.client->side(world_.own).received[kOrdered].size() == replies_;
  }
  [[nodiscard]] std::uint64_t moves() { return world_.gateway->count(Counter::movesCompleted); }
  [[nodiscard]] Instant now() const { return world_.simulation.now(); }

 private:
  [[nodiscard]] LinkSettings link(bool up) const {
    LinkSettings settings;
    settings.delay = setting_.delay;
    settings.up = up;
    settings.bytes_per_second = 1'000'000;
    return settings;
  }
  static EndpointOptions options(const Setting& setting) {
    EndpointOptions options;
    options.congestion = setting.congestion;
    if (!setting.finds_mtu) options.max_datagram = 1200;
    return options;
  }
  [[nodiscard]] std::uint64_t arrived() const {
    return (counts_up_ ? world_.gateway->count(Counter::datagramsReceived) : 0) +
           (counts_down_ ? world_.client->count(Counter::datagramsReceived) : 0);
  }

  Setting setting_;
  TransferCounter counter_;
  ChannelWorld world_;
  std::uint64_t requests_ = 0;
  std::uint64_t replies_ = 0;
  std::uint64_t asked_ = 0;
  std::uint64_t answers_ = 0;
  std::uint64_t bulk_ = 0;
  bool link_up_ = true;
  bool link_down_ = true;
  bool counts_up_ = true;
  bool counts_down_ = true;
};

// Each congestion control with messages that wait at one side or at both.
void for_each_direction(const std::function<void(Setting)>& scenario) {
  for (const auto congestion : {CongestionAlgorithm::kBbr, CongestionAlgorithm::kCubic}) {
    for (const int sides : {1, 2, 3}) {
      const Setting setting = {.congestion = congestion, .up = (sides & 1) != 0, .down = (sides & 2) != 0};
      CAPTURE(static_cast<int>(congestion));
      CAPTURE(setting.up);
      CAPTURE(setting.down);
      scenario(setting);
    }
  }
}

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

enum class Speaker : std::uint8_t { kNone, kClient, kGateway };

// Messages wait in an outage of three seconds, of both directions or of theirs alone.
void wait_for_the_end(Path& path, SeededRandom& random, const Setting& setting, bool both) {
  path.stop(both || setting.up, both || setting.down);
  path.queue_messages();
  // The end of the outage falls at any point between two probes.
  path.run(seconds(3) + milliseconds(random.below(500)));
}

// Sends an unreliable message. Without one, a probe is the first datagram after an outage.
void speak(Path& path, Speaker speaker) {
  if (speaker == Speaker::kClient) path.ask();
  if (speaker == Speaker::kGateway) path.answer();
}

TEST_CASE("outage: waiting data goes with the first datagram that gets through, in both directions") {
  for_each_seed(10, [](std::uint64_t seed) {
    for (const Speaker speaker : {Speaker::kNone, Speaker::kClient, Speaker::kGateway}) {
      for (const bool both : {true, false}) {
        CAPTURE(static_cast<int>(speaker));
        CAPTURE(both);
        for_each_direction([&](Setting setting) {
          SeededRandom random(seed);
          // Round trips of up to a second.
          setting.delay = milliseconds(1 + random.below(500));
          CAPTURE(setting.delay.count());
          Path path(seed, setting);
          wait_for_the_end(path, random, setting, both);
          path.resume();
          speak(path, speaker);
          path.run_until_arrival();
          path.run(2 * setting.delay + milliseconds(100));
          CHECK(path.all_delivered());
        });
      }
    }
  });
}

TEST_CASE("outage: after an address change an outage ends as it does before") {
  for_each_seed(20, [](std::uint64_t seed) {
    for (const Change change : {Change::kPort, Change::kHost, Change::kRebind}) {
      CAPTURE(static_cast<int>(change));
      for_each_direction([&](Setting setting) {
        SeededRandom random(seed);
        setting.delay = milliseconds(1 + random.below(150));
        CAPTURE(setting.delay.count());
        Path path(seed, setting);
        path.change_address(change);
        path.exchange();
        REQUIRE(path.moves() == 1);
        wait_for_the_end(path, random, setting, random.below(3) != 0);
        path.resume();
        speak(path, static_cast<Speaker>(random.below(3)));
        path.run_until_arrival();
        path.run(2 * setting.delay + milliseconds(100));
        CHECK(path.all_delivered());
      });
    }
  });
}

TEST_CASE("outage: waiting data goes at once when an outage ends with another address") {
  for_each_seed(20, [](std::uint64_t seed) {
    for (const Change change : {Change::kPort, Change::kHost, Change::kRebind}) {
      CAPTURE(static_cast<int>(change));
      for_each_direction([&](Setting setting) {
        SeededRandom random(seed);
        setting.delay = milliseconds(1 + random.below(150));
        CAPTURE(setting.delay.count());
        Path path(seed, setting);
        wait_for_the_end(path, random, setting, random.below(3) != 0);
        path.change_address(change);
        path.resume();
        // The gateway cannot reach the client before it has heard of it.
        path.ask();
        path.run_until_arrival();
        // The gateway sends data to an address that it has validated, which takes a round trip. Then the data
        // has half a round trip to go.
        path.run(3 * setting.delay + milliseconds(100));
        CHECK(path.moves() == 1);
        CHECK(path.all_delivered());
      });
    }
  });
}

TEST_CASE("outage: a transfer that is under way does not wait for a timeout when the address changes") {
  for_each_seed(20, [](std::uint64_t seed) {
    for (const Change change : {Change::kPort, Change::kHost, Change::kRebind}) {
      CAPTURE(static_cast<int>(change));
      for_each_direction([&](Setting setting) {
        SeededRandom random(seed);
        setting.delay = milliseconds(120 + random.below(80));
        setting.finds_mtu = false;
        CAPTURE(setting.delay.count());
        Path path(seed, setting);
        path.transfer(seconds(2));
        // A client does not know of a NAT, and says nothing while it only receives.
        path.change_address(change);
        path.ask();
        // Half a round trip until the gateway hears of it, and one until the address is validated. What the
        // gateway then sends arrives half a round trip later, but for what waits in queues.
        path.transfer(3 * setting.delay);
        const Sent before = path.sent();
        path.transfer(setting.delay + milliseconds(180));
        CHECK(path.moves() == 1);
        if (setting.up) CHECK(path.sent().up > before.up);
        if (setting.down) CHECK(path.sent().down > before.down);
      });
    }
  });
}

TEST_CASE("outage: probes go on once in half a second or a probe timeout, in both directions") {
  for_each_seed(10, [](std::uint64_t seed) {
    for_each_direction([&](Setting setting) {
      SeededRandom random(seed);
      setting.delay = milliseconds(1 + random.below(600));
      setting.finds_mtu = false;
      CAPTURE(setting.delay.count());
      Path path(seed, setting);
      path.stop(true, true);
      path.queue_messages();
      path.run(seconds(4));
      const Duration most = std::max(kMostBetweenProbes, 2 * setting.delay * 5 / 4) + milliseconds(2);
      const auto sent = path.run(seconds(10), !setting.up);
      // And a PING each second.
      CHECK(sent.size() >= seconds(10) / most);
      CHECK(sent.size() <= seconds(10) / std::max(kMostBetweenProbes, 2 * setting.delay) + 11);
      for (std::size_t i = 1; i < sent.size(); ++i) CHECK(sent[i] - sent[i - 1] <= most);
    });
  });
}

}  // namespace
}  // namespace hawser::test
