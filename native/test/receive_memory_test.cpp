// Memory for received messages (docs/protocol.md section 12, Memory and Progress): what it costs to fill it,
// what others can do meanwhile, and when a peer that only holds it is disconnected.
#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "rogue_peer.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kFiles = 0;
constexpr std::uint32_t kChat = 1;
constexpr std::uint32_t kLog = 2;
constexpr std::uint32_t kState = 3;
constexpr std::uint32_t kLongFile = 1024 * 1024;
constexpr std::uint32_t kModerate = 64 * 1024;
constexpr auto kNoProgress = static_cast<std::uint32_t>(DisconnectCode::kNoProgress);

EndpointOptions endpoint_options() {
  using Priority = ChannelPriority;
  EndpointOptions options;
  options.channels = {
      {"files", "bytes", ChannelMode::kReliable, Priority::kLow, kLongFile},
      {"chat", "bytes", ChannelMode::kReliable, Priority::kNormal, kModerate},
      {"log", "bytes", ChannelMode::kReliableUnordered, Priority::kNormal, kModerate},
      {"state", "bytes", ChannelMode::kSequenced, Priority::kNormal, kModerate},
  };
  return options;
}

// A gateway and peers that do what a test wants, each from an address of its own.
struct Crowd {
  explicit Crowd(const EndpointOptions& options = endpoint_options()) : world(gateway_options(), options) {
    std::vector<ChannelDigestEntry> entries;
    for (const ChannelDeclaration& channel : options.channels) {
      entries.push_back(
          {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
    }
    digest = channels_digest(entries);
  }

  RoguePeer& connect(std::chrono::seconds timeout = seconds(10)) {
    const std::uint64_t id = peers.size() + 1;
    TokenParameters parameters = World::token_parameters(id);
    parameters.timeout = timeout;
    parameters.addresses = std::span(&kServerAddress, 1);
    const SocketAddress address = SocketAddress::ipv4(
        {10, 3, static_cast<std::uint8_t>(id >> 8U), static_cast<std::uint8_t>(id)}, 6000);
    auto peer = std::make_unique<RoguePeer>(world, world.mint(parameters), address, id);
    peer->offer.features = kFeatureChannels;
    peer->offer.credit = peer->offer.channel_credit = 1U << 20U;
    peer->offer.channels = digest;
    handles.push_back(peer->connect());
    peer->forget();
    world.now += milliseconds(1);
    peers.push_back(std::move(peer));
    return *peers.back();
  }

  // Ends the gateway's turn, and takes what it has sent and told.
  void turn() {
    world.server->endpoint.advance(world.now);
    const std::vector<Sent> sent = sent_by(*world.server, world.now);
    for (const auto& peer : peers) peer->take(sent);
    for (Event& event : world.server->take_events()) {
      if (event.kind == EventKind::kMessage) messages.push_back(event.bytes.size());
      if (event.kind == EventKind::kDisconnect) codes.push_back(code_of(event));
    }
  }

  // Ends turns until the user has been given so many messages.
  void deliver(std::size_t count) {
    for (int turns = 0; turns < 20'000 && messages.size() < count; ++turns) turn();
    CHECK(messages.size() == count);
  }

  // Lets time pass, in which every peer sends a PING each second.
  void run(Duration duration) {
    for (const Instant end = world.now + duration; world.now < end;) {
      world.now += seconds(1);
      for (const auto& peer : peers) {
        peer->send(Frames().ping(ping));
        if (acknowledges) acknowledge(*peer);
      }
      ++ping;
      turn();
      for (const auto& peer : peers) peer->forget();
    }
  }

  // All that has arrived.
  static void acknowledge(RoguePeer& peer) {
    std::vector<AckRange> ranges;
    std::uint64_t end = peer.last_number;
    for (auto skipped = peer.missing.rbegin(); skipped != peer.missing.rend(); ++skipped) {
      ranges.push_back({*skipped + 1, end});
      end = *skipped - 1;
    }
    ranges.push_back({0, end});
    peer.send(Frames().ack_ranges(ranges));
  }

  // A whole message in parts of 1,000 bytes.
  void send_in_parts(RoguePeer& peer, std::uint32_t channel, std::uint64_t number, std::uint32_t size) {
    const std::vector<std::byte> data(1'000, std::byte{1});
    for (std::uint32_t offset = 0; offset < size; offset += 1'000) {
      const std::uint32_t length = std::min(size - offset, 1'000U);
      peer.send(Frames().fragment(channel, number, size, offset, Bytes(data).first(length)));
    }
    turn();
  }

  [[nodiscard]] std::uint64_t count(Counter counter) const { return world.server->count(counter); }

  World world;
  Hash128 digest{};
  std::vector<std::unique_ptr<RoguePeer>> peers;
  std::vector<Handle> handles;
  std::vector<std::size_t> messages;  // their lengths
  std::vector<std::uint32_t> codes;   // of the peers that were disconnected
  std::uint16_t ping = 0;
  bool acknowledges = false;
};

const std::vector<std::byte> kPart(100, std::byte{2});

// Messages of one byte each.
void send_tiny(RoguePeer& peer, std::uint32_t channel, std::uint64_t first, std::uint64_t count) {
  constexpr std::uint64_t kInPacket = 400;
  for (const std::uint64_t end = first + count; first < end; first += kInPacket) {
    const std::size_t size = 2 * std::min(kInPacket, end - first);
    std::vector<std::byte> frame(size + 16);
    ByteWriter writer(frame);
    writer.u8(static_cast<std::uint8_t>(FrameType::kReliable) | kReliableLengthBit);
    writer.varint(channel);
    writer.varint(first);
    writer.varint(size);
    for (std::size_t i = 0; i < size; ++i) writer.u8(1);
    peer.send(Frames().raw(writer.written()));
  }
}

}  // namespace

TEST_CASE("receive memory: messages of one byte behind a gap cost less than their credit") {
  Crowd crowd;
  RoguePeer& peer = crowd.connect();
  constexpr std::uint64_t kMessages = 32'000;
  for (const std::uint32_t channel : {kChat, kLog}) {
    REQUIRE(crowd.world.server->endpoint.set_paused(crowd.handles[0], kLog, true, crowd.world.now));
    const std::uint64_t before = crowd.count(Counter::reassemblyBytes);
    send_tiny(peer, channel, 1, kMessages);
    crowd.turn();
    CHECK(crowd.count(Counter::reassemblyBytes) - before <= 20 * kMessages);
    CHECK(crowd.messages.empty());
  }
  REQUIRE(crowd.world.server->endpoint.set_paused(crowd.handles[0], kLog, false, crowd.world.now));
  send_tiny(peer, kChat, 0, 1);
  send_tiny(peer, kLog, 0, 1);
  crowd.deliver(2 * (kMessages + 1));
  CHECK(crowd.count(Counter::reassemblyBytes) == 0);
  CHECK(crowd.codes.empty());
}

TEST_CASE("receive memory: clients that fill it with tiny messages leave others their losses") {
  Crowd crowd;
  for (int i = 0; i < 10; ++i) send_tiny(crowd.connect(), kChat, 1, 32'000);
  crowd.turn();
  CHECK(crowd.count(Counter::dropReassemblyFull) == 0);
  RoguePeer& honest = crowd.connect();
  const std::vector<std::byte> data(1'000);
  for (std::uint64_t number = 1; number <= 500; ++number)
    honest.send(Frames().reliable(kChat, number, {data}));
  crowd.turn();
  CHECK(crowd.count(Counter::dropReassemblyFull) == 0);
  honest.send(Frames().reliable(kChat, 0, {data}));
  crowd.deliver(501);
}

TEST_CASE("receive memory: connections that take all they can behind gaps leave others a part") {
  EndpointOptions options = endpoint_options();
  options.max_reassembly_bytes = std::size_t{8} * options.credit;
  Crowd crowd(options);
  const std::vector<std::byte> data(1'000);
  for (int i = 0; i < 20; ++i) {
    RoguePeer& peer = crowd.connect();
    for (std::uint64_t number = 1; number <= 600; ++number)
      peer.send(Frames().reliable(kChat, number, {data}));
    crowd.turn();
  }
  CHECK(crowd.count(Counter::dropReassemblyFull) > 0);
  CHECK(crowd.count(Counter::reassemblyBytes) <= options.max_reassembly_bytes / 8);
  // None of them can take what is left for one more.
  RoguePeer& honest = crowd.connect();
  const std::uint64_t refused = crowd.count(Counter::dropReassemblyFull);
  for (std::uint64_t number = 1; number <= 20; ++number)
    honest.send(Frames().reliable(kChat, number, {data}));
  CHECK(crowd.count(Counter::dropReassemblyFull) == refused);
  honest.send(Frames().reliable(kChat, 0, {data}));
  crowd.deliver(21);
}

TEST_CASE("receive memory: the message that closes a gap needs none") {
  EndpointOptions options = endpoint_options();
  options.max_reassembly_bytes = std::size_t{64} * 1024;
  for (const std::uint32_t channel : {kChat, kLog}) {
    CAPTURE(channel);
    Crowd crowd(options);
    RoguePeer& peer = crowd.connect();
    const std::vector<std::byte> data(1'000);
    std::uint64_t number = 1;
    if (channel == kLog) {
      for (; crowd.count(Counter::dropReassemblyFull) == 0; ++number)
        peer.send(Frames().fragment(kLog, number, 2'000, 0, data));
    } else {
      for (; crowd.count(Counter::dropReassemblyFull) == 0; ++number)
        peer.send(Frames().reliable(kChat, number, {data}));
    }
    const std::uint64_t refused = crowd.count(Counter::dropReassemblyFull);
    peer.send(Frames().reliable(channel, 0, {data}));
    crowd.turn();
    CHECK(crowd.messages.size() == (channel == kLog ? 1 : number - 1));
    CHECK(crowd.count(Counter::dropReassemblyFull) == refused);
    CHECK(crowd.codes.empty());
  }
}

TEST_CASE("receive memory: unfinished messages of many peers hold up no message of another channel or peer") {
  Crowd crowd;
  // The honest client has an unfinished file too.
  RoguePeer& honest = crowd.connect();
  honest.send(Frames().fragment(kFiles, 0, kLongFile, 0, kPart));
  constexpr int kHostile = 100;
  for (int i = 0; i < kHostile; ++i) {
    RoguePeer& peer = crowd.connect();
    peer.send(Frames().fragment(kFiles, 0, kLongFile, 0, kPart));
    peer.send(Frames().fragment(kChat, 0, kModerate, 0, kPart));
  }
  crowd.turn();
  CHECK(crowd.count(Counter::reassemblyBytes) > std::size_t{80} * 1024 * 1024);
  const std::uint64_t refused = crowd.count(Counter::dropReassemblyFull);
  for (std::uint64_t number = 0; number < 20; ++number) {
    crowd.send_in_parts(honest, kChat, number, 60'000);
    crowd.send_in_parts(honest, kLog, number, 60'000);
    CHECK(crowd.messages.size() == 2 * (number + 1));
  }
  CHECK(crowd.count(Counter::dropReassemblyFull) == refused);
  // The hostile ones are gone after the documented time, and so is what they held: those whose file found no
  // room a minute later.
  crowd.run(seconds(36));
  CHECK(crowd.count(Counter::peersNoProgress) > kHostile / 2);
  crowd.run(seconds(60));
  CHECK(crowd.count(Counter::peersNoProgress) == kHostile + 1);
  CHECK(crowd.count(Counter::reassemblyBytes) == 0);
  CHECK(crowd.codes == std::vector<std::uint32_t>(kHostile + 1, kNoProgress));
}

TEST_CASE("progress: a peer whose unfinished message stands still is disconnected after 30 seconds") {
  Crowd crowd;
  RoguePeer& peer = crowd.connect();
  SUBCASE("parts are missing") { peer.send(Frames().fragment(kFiles, 0, 10'000, 0, kPart)); }
  SUBCASE("the end is there") { peer.send(Frames().fragment(kLog, 0, 10'000, 9'900, kPart)); }
  SUBCASE("a message before is missing") { peer.send(Frames().reliable(kChat, 1, {kPart})); }
  SUBCASE("unordered ones behind it are delivered") {
    peer.send(Frames().fragment(kLog, 0, 10'000, 0, kPart).reliable(kLog, 1, {kPart}));
  }
  SUBCASE("an expired one before is missing") { peer.send(Frames().expired(kChat, 1, 0)); }
  crowd.turn();
  crowd.run(seconds(29));
  CHECK(crowd.codes.empty());
  crowd.run(seconds(7));
  CHECK(crowd.codes == std::vector<std::uint32_t>{kNoProgress});
  CHECK(crowd.count(Counter::peersNoProgress) == 1);
  CHECK(crowd.count(Counter::reassemblyBytes) == 0);
}

TEST_CASE("progress: messages on another channel, or behind the unfinished one, do not count") {
  Crowd crowd;
  RoguePeer& peer = crowd.connect();
  peer.send(Frames().fragment(kFiles, 0, kLongFile, 0, kPart));
  for (std::uint64_t i = 0; i < 40 && crowd.codes.empty(); ++i) {
    peer.send(Frames().reliable(kChat, i, {kPart}).reliable(kFiles, i + 1, {kPart}));
    peer.send(Frames().fragment(kFiles, 0, kLongFile, 0, kPart));
    crowd.run(seconds(1));
  }
  CHECK(crowd.codes == std::vector<std::uint32_t>{kNoProgress});
}

TEST_CASE("progress: the documented rate is enough, and less is not") {
  constexpr auto kLeastRate = static_cast<std::uint32_t>(ProgressMonitor::kLeastRate);
  for (const std::uint32_t rate : {kLeastRate, kLeastRate / 2}) {
    CAPTURE(rate);
    Crowd crowd;
    RoguePeer& peer = crowd.connect();
    std::uint32_t offset = 0;
    for (int i = 0; i < 120 && crowd.codes.empty(); ++i, offset += rate) {
      peer.send(Frames().fragment(kFiles, 0, kLongFile, offset, Bytes(kPart).first(rate)));
      crowd.run(seconds(1));
    }
    CHECK(crowd.codes.empty() == (rate == kLeastRate));
  }
}

TEST_CASE("progress: refusals excuse a peer for five minutes in a row at most") {
  Crowd crowd;
  RoguePeer& hostile = crowd.connect();
  hostile.send(Frames().fragment(kChat, 0, kModerate, 0, kPart));
  // Files that go on take all the memory for long messages.
  constexpr std::size_t kFillers = 90;
  for (std::size_t i = 0; i < kFillers; ++i) crowd.connect();
  std::uint32_t offset = 0;
  const auto go_on = [&] {
    for (std::size_t i = 1; i <= kFillers; ++i)
      crowd.peers[i]->send(Frames().fragment(kFiles, 0, kLongFile, offset, kPart));
    offset += static_cast<std::uint32_t>(kPart.size());
  };
  go_on();
  const auto run = [&](int turns) {
    for (int i = 0; i < turns; ++i) {
      go_on();
      const std::uint64_t refused = crowd.count(Counter::dropReassemblyFull);
      if (crowd.codes.empty()) {
        hostile.send(Frames().fragment(kFiles, 0, kLongFile, 0, kPart));
        CHECK(crowd.count(Counter::dropReassemblyFull) > refused);
      }
      crowd.run(seconds(2));
    }
  };
  run(150);
  CHECK(crowd.codes.empty());
  run(20);
  CHECK(crowd.codes == std::vector<std::uint32_t>{kNoProgress});
}

TEST_CASE("progress: time in which the peer is not to blame does not count") {
  Crowd crowd;
  RoguePeer& peer = crowd.connect(seconds(600));
  Endpoint& server = crowd.world.server->endpoint;
  SUBCASE("the user has paused the channel") {
    peer.send(Frames().fragment(kFiles, 0, 10'000, 0, kPart));
    REQUIRE(server.set_paused(crowd.handles[0], kFiles, true, crowd.world.now));
    crowd.run(seconds(120));
    CHECK(crowd.codes.empty());
    REQUIRE(server.set_paused(crowd.handles[0], kFiles, false, crowd.world.now));
    crowd.run(seconds(36));
  }
  SUBCASE("the path is silent") {
    peer.send(Frames().fragment(kFiles, 0, 10'000, 0, kPart));
    crowd.turn();
    for (int i = 0; i < 120; ++i) {
      crowd.world.now += seconds(1);
      crowd.turn();
    }
    CHECK(crowd.codes.empty());
    crowd.run(seconds(36));
  }
  SUBCASE("the user has no room for a complete message") {
    crowd.world.server->fill_events();
    peer.send(Frames().reliable(kChat, 0, {kPart}).fragment(kChat, 1, 10'000, 0, kPart));
    for (int i = 0; i < 120; ++i) {
      crowd.world.now += seconds(1);
      peer.send(Frames().ping(static_cast<std::uint16_t>(i)));
      server.advance(crowd.world.now);
      static_cast<void>(sent_by(*crowd.world.server, crowd.world.now));
    }
    CHECK(server.connected() == 1);
    crowd.run(seconds(36));
    CHECK(crowd.messages.size() == 1);
  }
  CHECK(crowd.codes == std::vector<std::uint32_t>{kNoProgress});
}

TEST_CASE("progress: a peer without credit owes nothing") {
  EndpointOptions options = endpoint_options();
  options.channel_credit = kLongFile + kMessageCost;
  Crowd crowd(options);
  RoguePeer& peer = crowd.connect();
  crowd.acknowledges = true;
  REQUIRE(crowd.world.server->endpoint.set_paused(crowd.handles[0], kChat, true, crowd.world.now));
  // All that the credit of the channel allows is here, and the user takes none of it.
  std::uint64_t number = 0;
  for (std::uint64_t spent = 0; spent + 1'000 + kMessageCost <= options.channel_credit; ++number) {
    peer.send(Frames().reliable(kChat, number, {std::vector<std::byte>(1'000)}));
    spent += 1'000 + kMessageCost;
  }
  crowd.run(seconds(120));
  CHECK(crowd.codes.empty());
  REQUIRE(crowd.world.server->endpoint.set_paused(crowd.handles[0], kChat, false, crowd.world.now));
  crowd.run(seconds(120));
  CHECK(crowd.messages.size() == number);
  CHECK(crowd.codes.empty());
}

TEST_CASE("progress: parts of a sequenced message that stay alone are freed, and the peer stays") {
  Crowd crowd;
  RoguePeer& peer = crowd.connect();
  peer.send(Frames().sequenced_part(kState, 0, 10'000, 0, kPart));
  crowd.turn();
  CHECK(crowd.count(Counter::reassemblyBytes) > 0);
  crowd.run(seconds(11));
  CHECK(crowd.count(Counter::reassemblyBytes) == 0);
  crowd.run(seconds(60));
  CHECK(crowd.codes.empty());
  // As if it had been lost: a newer one is taken.
  for (std::uint32_t offset = 0; offset < 10'000; offset += 100)
    peer.send(Frames().sequenced_part(kState, 1, 10'000, offset, kPart));
  crowd.deliver(1);
}

TEST_CASE("progress: a peer that answers and acknowledges nothing is disconnected after 30 seconds") {
  Crowd crowd;
  RoguePeer& peer = crowd.connect();
  Endpoint& server = crowd.world.server->endpoint;
  REQUIRE(server.send(crowd.handles[0], kChat, kPart, {}, crowd.world.now) == SendStatus::kSent);
  crowd.turn();
  SUBCASE("at all") {
    crowd.run(seconds(29));
    CHECK(crowd.codes.empty());
    crowd.run(seconds(7));
    CHECK(crowd.codes == std::vector<std::uint32_t>{kNoProgress});
    CHECK(crowd.count(Counter::peersNoProgress) == 1);
    CHECK(crowd.count(Counter::sendQueueBytes) == 0);
  }
  SUBCASE("for a while") {
    for (int i = 0; i < 10; ++i) {
      crowd.run(seconds(20));
      Crowd::acknowledge(peer);
      REQUIRE(server.send(crowd.handles[0], kChat, kPart, {}, crowd.world.now) == SendStatus::kSent);
      crowd.turn();
    }
    CHECK(crowd.codes.empty());
  }
}

}  // namespace hawser::test
