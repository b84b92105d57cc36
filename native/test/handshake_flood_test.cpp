// Floods of handshake datagrams at 0.8 Gbit/s from random spoofed addresses, and what honest clients see of
// them: the engine alone, in virtual time, with the time that its budget charges.
#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <vector>

#include "rogue_peer.hpp"

using namespace hawser;        // NOLINT(google-build-using-namespace): a test
using namespace hawser::test;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

// Datagrams of 1,200 bytes in a millisecond of 0.8 Gbit/s.
constexpr int kFloodPerTurn = 83;
constexpr int kClients = 60;
constexpr std::uint64_t kSeed = 20'240'501;

// A datagram of a flood, made of `random`.
using Junk = std::function<std::vector<std::byte>(SeededRandom&)>;

class Flood {
 public:
  // A holder of a token observes the gateway's clock, and which record its cookies name.
  Flood() : holder_(world, world.token(1), rogue_address(1), kSeed) {
    holder_.deliver(holder_.request);
    holder_.turn();
    REQUIRE(holder_.challenged);
  }

  // Copies the clear part of a real token. Its private part is sealed by nobody.
  [[nodiscard]] Junk junk_request() const {
    return [this](SeededRandom& random) { return with_junk(holder_.request, random); };
  }
  // The same, with the time and the record of a real cookie.
  [[nodiscard]] Junk junk_response() const {
    return [this](SeededRandom& random) {
      std::vector<std::byte> datagram = with_junk(holder_.response, random);
      random.fill(std::span(datagram).subspan(1073 + 5, 16));
      return datagram;
    };
  }
  // Copies a REQUEST with its private part: it opens.
  [[nodiscard]] Junk copied_request() const {
    return [this](SeededRandom&) {
      return std::vector<std::byte>(holder_.request.begin(), holder_.request.end());
    };
  }

  // Lets clients connect, each from an address of its own, while the flood goes on. Returns how many were
  // connected within five seconds of their start.
  int run(const std::vector<Junk>& floods) {
    SeededRandom random(kSeed);
    std::map<std::uint32_t, Instant> started;
    int connected = 0;
    int ended = 0;
    const Instant begin = world.now;
    for (int turn = 0; ended < kClients && turn < 6'000; ++turn) {
      world.now = begin + turn * milliseconds(1);
      world.server->endpoint.advance(world.now);
      world.client->endpoint.advance(world.now);
      // 200 ms of flood before the first client.
      if (turn >= 200 && turn % 2 == 0 && started.size() < kClients) {
        const auto number = static_cast<std::uint8_t>(started.size());
        const auto token = world.token(1'000U + number);
        ConnectOptions options{kProtocolId, token, SocketAddress::ipv4({10, 9, number, 1}, 7000), seconds(5)};
        const auto handle = world.client->endpoint.connect(options, world.now);
        REQUIRE(handle.has_value());
        started[handle->slot] = world.now;
      }
      for (const Junk& junk : floods) {
        for (int i = 0; i < kFloodPerTurn; ++i) deliver(junk(random), spoofed(random));
      }
      carry();
      for (const Event& event : world.client->take_events()) {
        if (event.kind == EventKind::kConnect) ++connected;
        if (event.kind == EventKind::kConnect || event.kind == EventKind::kConnectFailed) ++ended;
      }
      world.server->take_events();
    }
    elapsed_ = world.now - begin;
    return connected;
  }

  // Time that the budget charged in `run`, as a part of it.
  [[nodiscard]] double charged() const {
    const auto count = [&](Counter counter) { return static_cast<double>(world.server->count(counter)); };
    const auto cost = [](std::chrono::nanoseconds time) { return static_cast<double>(time.count()); };
    const double total =
        count(Counter::dropCookieInvalid) * cost(HandshakeCosts::kCookieCheck) +
        count(Counter::dropTokenInvalid) * cost(HandshakeCosts::kTokenFailed) +
        count(Counter::challengesSent) * cost(HandshakeCosts::kTokenOpened + HandshakeCosts::kAnswer) +
        count(Counter::acceptsSent) * cost(HandshakeCosts::kMaxResponse);
    return total / (static_cast<double>(elapsed_.count()) * 1'000);
  }

  World world;

 private:
  static SocketAddress spoofed(SeededRandom& random) {
    std::array<std::uint8_t, 4> octets{};
    for (std::uint8_t& octet : octets) octet = static_cast<std::uint8_t>(random.below(256));
    octets[0] = static_cast<std::uint8_t>(11 + octets[0] % 200);
    return SocketAddress::ipv4(octets, static_cast<std::uint16_t>(1 + random.below(65'535)));
  }

  template <std::size_t N>
  static std::vector<std::byte> with_junk(const std::array<std::byte, N>& datagram, SeededRandom& random) {
    std::vector<std::byte> copy(datagram.begin(), datagram.end());
    random.fill(std::span(copy).subspan(1 + kTokenClearSize, 64));
    return copy;
  }

  void deliver(std::vector<std::byte> datagram, const SocketAddress& from) {
    world.server->endpoint.receive(ReceivedDatagram{datagram, from, kServerAddress, 0}, world.now);
  }

  void carry() {
    world.client->endpoint.flush(world.now);
    for (auto output = world.client->endpoint.output(); !output.empty();
         output = world.client->endpoint.output()) {
      for (const OutgoingDatagram& sent : output) deliver({sent.bytes.begin(), sent.bytes.end()}, sent.local);
      world.client->endpoint.output_sent(output.size());
    }
    for (Sent& sent : sent_by(*world.server, world.now)) {
      if (sent.to.port != 7000) continue;
      world.client->endpoint.receive(ReceivedDatagram{sent.bytes, kServerAddress, sent.to, 0}, world.now);
    }
  }

  RoguePeer holder_;
  Duration elapsed_{};
};

}  // namespace

TEST_CASE("a flood of handshake datagrams at 0.8 Gbit/s keeps fewer than 5 % of honest clients out for 5 s") {
  Flood flood;
  std::vector<Junk> floods;
  SUBCASE("RESPONSEs that copy the clear part of a token") { floods = {flood.junk_response()}; }
  SUBCASE("REQUESTs that copy the clear part of a token") { floods = {flood.junk_request()}; }
  SUBCASE("both at the same time") { floods = {flood.junk_request(), flood.junk_response()}; }
  SUBCASE("REQUESTs that copy a whole token") { floods = {flood.copied_request()}; }
  SUBCASE("all of them") { floods = {flood.junk_request(), flood.junk_response(), flood.copied_request()}; }
  CAPTURE(kSeed);
  const int connected = flood.run(floods);
  CHECK(connected >= kClients * 95 / 100);
  // No more than half of a core, whatever comes.
  CHECK(flood.charged() <= 0.51);
}
