// Peers that hold the keys and break the rules of docs/protocol.md section 12, or keep to them only to cost.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "allocation_counter.hpp"
#include "rogue_peer.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kPlain = 0;
constexpr std::uint32_t kState = 1;
constexpr std::uint32_t kOrdered = 2;
constexpr std::uint32_t kUnordered = 3;
constexpr std::uint32_t kUndeclared = 4;
constexpr std::uint32_t kLongest = 4096;
constexpr std::uint32_t kChannelCredit = 16 * 1024;
constexpr std::uint32_t kCredit = 24 * 1024;
// What docs/protocol.md section 12 says of numbers.
constexpr std::uint64_t kAhead = kChannelCredit / 64;

std::vector<ChannelDeclaration> channels() {
  using Priority = ChannelPriority;
  return {
      {"plain", "bytes", ChannelMode::kUnreliable, Priority::kNormal, 0},
      {"state", "bytes", ChannelMode::kSequenced, Priority::kNormal, kLongest},
      {"ordered", "bytes", ChannelMode::kReliable, Priority::kNormal, kLongest},
      {"unordered", "bytes", ChannelMode::kReliableUnordered, Priority::kNormal, kLongest},
  };
}

EndpointOptions endpoint_options() {
  EndpointOptions options;
  options.channels = channels();
  options.credit = options.max_credit = kCredit;
  options.channel_credit = kChannelCredit;
  return options;
}

ResponseBody offer() {
  ResponseBody offered;
  offered.features = kFeatureChannels;
  offered.credit = 1 << 20U;
  offered.channel_credit = 1 << 20U;
  std::vector<ChannelDigestEntry> entries;
  const auto declared = channels();
  for (const ChannelDeclaration& channel : declared) {
    entries.push_back(
        {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
  }
  offered.channels = channels_digest(entries);
  return offered;
}

// Bytes that tell where they were in their message and who sent them.
std::vector<std::byte> pattern(std::size_t size, std::uint8_t fill = 0) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + fill);
  return bytes;
}

// A gateway with a connected peer that sends whatever a test wants.
struct Hostile {
  explicit Hostile(const EndpointOptions& options = endpoint_options(), const ResponseBody& offered = offer())
      : world(gateway_options(), options) {
    peer.offer = offered;
    handle = peer.connect();
    peer.forget();
  }

  void send(const Frames& frames) { peer.send(frames); }
  // The messages that the gateway's user has been given since the last call.
  std::vector<std::vector<std::byte>> delivered() {
    peer.turn();
    std::vector<std::vector<std::byte>> messages;
    for (Event& event : world.server->take_events()) {
      if (event.kind == EventKind::kMessage) messages.push_back(std::move(event.bytes));
    }
    return messages;
  }
  [[nodiscard]] std::uint64_t count(Counter counter) const { return world.server->count(counter); }

  std::uint32_t closed_with(DisconnectResult result) {
    peer.turn();
    const auto disconnect = peer.last(FrameType::kDisconnect);
    REQUIRE(disconnect.has_value());
    const auto events = world.server->take_events();
    const Event* told = find_event(events, EventKind::kDisconnect);
    REQUIRE(told != nullptr);
    CHECK(told->argument == static_cast<std::uint32_t>(result));
    CHECK(count(Counter::reassemblyBytes) == 0);
    CHECK(count(Counter::sendQueueBytes) == 0);
    return disconnect->disconnect.code;
  }
  void check_protocol_error() {
    CHECK(closed_with(DisconnectResult::kProtocolError) ==
          static_cast<std::uint32_t>(DisconnectCode::kProtocolError));
    CHECK(count(Counter::peersProtocolError) == 1);
  }
  void check_alive() {
    peer.turn();
    CHECK(peer.count(FrameType::kDisconnect) == 0);
    CHECK(world.server->endpoint.connected() == 1);
  }
  void pause(std::uint32_t channel, bool paused) {
    REQUIRE(world.server->endpoint.set_paused(handle, channel, paused, world.now));
  }

  World world;
  RoguePeer peer{world, world.token(1), rogue_address(1), 11};
  Handle handle;
};

bool acknowledges(const AckFrame& ack, std::uint64_t number) {
  AckRangeReader ranges(ack);
  for (AckRange range{}; ranges.next(range);) {
    if (range.smallest <= number && number <= range.largest) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("channels: frames on a channel that is not declared, or of another mode, close") {
  Hostile hostile;
  const auto data = pattern(10);
  Frames frames;
  SUBCASE("MESSAGE, undeclared") { frames.message(data, kUndeclared); }
  SUBCASE("MESSAGE, sequenced") { frames.message(data, kState); }
  SUBCASE("MESSAGE, reliable") { frames.message(data, kOrdered); }
  SUBCASE("SEQUENCED, undeclared") { frames.sequenced(kUndeclared, 0, data); }
  SUBCASE("SEQUENCED, unreliable") { frames.sequenced(kPlain, 0, data); }
  SUBCASE("SEQUENCED, reliable") { frames.sequenced(kOrdered, 0, data); }
  SUBCASE("part of SEQUENCED, reliable") { frames.sequenced_part(kUnordered, 0, 20, 0, data); }
  SUBCASE("RELIABLE, undeclared") { frames.reliable(kUndeclared, 0, {data}); }
  SUBCASE("RELIABLE, unreliable") { frames.reliable(kPlain, 0, {data}); }
  SUBCASE("RELIABLE, sequenced") { frames.reliable(kState, 0, {data}); }
  SUBCASE("FRAGMENT, undeclared") { frames.fragment(kUndeclared, 0, 20, 0, data); }
  SUBCASE("FRAGMENT, unreliable") { frames.fragment(kPlain, 0, 20, 0, data); }
  SUBCASE("FRAGMENT, sequenced") { frames.fragment(kState, 0, 20, 0, data); }
  SUBCASE("EXPIRED, undeclared") { frames.expired(kUndeclared, 0, 0); }
  SUBCASE("EXPIRED, unreliable") { frames.expired(kPlain, 0, 0); }
  SUBCASE("EXPIRED, sequenced") { frames.expired(kState, 0, 0); }
  SUBCASE("CHANNEL_CREDIT, undeclared") { frames.channel_credit(kUndeclared, 1); }
  SUBCASE("CHANNEL_CREDIT, unreliable") { frames.channel_credit(kPlain, 1); }
  SUBCASE("CHANNEL_CREDIT, sequenced") { frames.channel_credit(kState, 1); }
  hostile.send(frames);
  CHECK(hostile.world.server->endpoint.connected() == 0);
  hostile.check_protocol_error();
}

TEST_CASE("channels: without the feature their frames are unknown") {
  EndpointOptions options;
  const auto data = pattern(10);
  World world(gateway_options(), options);
  Hostile hostile(options, ResponseBody{});
  Frames frames;
  SUBCASE("CREDIT") { frames.credit(1); }
  SUBCASE("CHANNEL_CREDIT") { frames.channel_credit(0, 1); }
  SUBCASE("SEQUENCED") { frames.sequenced(0, 0, data); }
  SUBCASE("RELIABLE") { frames.reliable(0, 0, {data}); }
  SUBCASE("FRAGMENT") { frames.fragment(0, 0, 20, 0, data); }
  SUBCASE("EXPIRED") { frames.expired(0, 0, 0); }
  hostile.send(frames);
  hostile.check_protocol_error();
}

TEST_CASE("channels: another declaration is refused at the handshake") {
  World world(gateway_options(), endpoint_options());
  RoguePeer peer(world, world.token(1), rogue_address(1), 1);
  peer.offer = offer();
  SUBCASE("another digest") { peer.offer.channels[0] ^= std::byte{1}; }
  SUBCASE("no channels at all") { peer.offer.features = 0; }
  peer.deliver(peer.request);
  peer.turn();
  REQUIRE(peer.challenged);
  peer.forget();
  peer.deliver(peer.response);
  peer.turn();
  CHECK_FALSE(peer.accepted);
  REQUIRE(peer.received.size() == 1);
  CHECK(classify(std::to_integer<std::uint8_t>(peer.received[0][0])) == DatagramKind::kDenied);
  CHECK(world.server->endpoint.sessions() == 0);
}

TEST_CASE("channels: parts and messages that cannot be close") {
  Hostile hostile;
  const auto data = pattern(100);
  const auto longer = pattern(101);
  hostile.send(Frames().fragment(kOrdered, 0, 1000, 0, data).fragment(kUnordered, 3, 1000, 0, data));
  hostile.send(Frames().sequenced_part(kState, 0, 1000, 0, data));
  hostile.check_alive();
  Frames frames;
  SUBCASE("a part beyond its total") { frames.fragment(kOrdered, 0, 1000, 901, data); }
  SUBCASE("an empty part") { frames.fragment(kOrdered, 0, 1000, 100, {}); }
  SUBCASE("a part of an empty message") { frames.fragment(kOrdered, 1, 0, 0, {}); }
  SUBCASE("another total") { frames.fragment(kOrdered, 0, 1001, 100, data); }
  SUBCASE("another total, unordered") { frames.fragment(kUnordered, 3, 999, 100, data); }
  SUBCASE("another total, as a whole message") { frames.reliable(kOrdered, 0, {longer}); }
  SUBCASE("another total, as a whole unordered message") { frames.reliable(kUnordered, 3, {longer}); }
  SUBCASE("another total, EXPIRED") { frames.expired(kOrdered, 0, 1001); }
  SUBCASE("no total, EXPIRED") { frames.expired(kOrdered, 0, 0); }
  SUBCASE("too long in all") { frames.fragment(kOrdered, 1, kLongest + 1, 0, data); }
  SUBCASE("too long in all, EXPIRED") { frames.expired(kOrdered, 1, kLongest + 1); }
  SUBCASE("longer than any message") { frames.fragment(kOrdered, 1, kGreatestMessageSize + 1, 0, data); }
  SUBCASE("sequenced, a part beyond its total") { frames.sequenced_part(kState, 0, 1000, 901, data); }
  SUBCASE("sequenced, an empty part") { frames.sequenced_part(kState, 0, 1000, 0, {}); }
  SUBCASE("sequenced, another total") { frames.sequenced_part(kState, 0, 1001, 100, data); }
  SUBCASE("sequenced, too long in all") { frames.sequenced_part(kState, 1, kLongest + 1, 0, data); }
  hostile.send(frames);
  hostile.check_protocol_error();
}

TEST_CASE("channels: parts that overlap or come again are taken once, and the first bytes count") {
  for (const std::uint32_t channel : {kOrdered, kUnordered}) {
    CAPTURE(channel);
    Hostile hostile;
    const auto first = pattern(1000);
    const auto other = pattern(1000, 99);
    const Bytes right(first);
    const Bytes wrong(other);
    hostile.send(Frames().fragment(channel, 0, 1000, 400, right.subspan(400, 200)));
    // The same again, inside, around, and touching from both sides.
    hostile.send(Frames().fragment(channel, 0, 1000, 400, wrong.subspan(400, 200)));
    hostile.send(Frames().fragment(channel, 0, 1000, 450, wrong.subspan(450, 10)));
    hostile.send(Frames().fragment(channel, 0, 1000, 600, right.subspan(600, 100)));
    hostile.send(Frames().fragment(channel, 0, 1000, 300, right.subspan(300, 100)));
    CHECK(hostile.delivered().empty());
    CHECK(hostile.count(Counter::reassemblyBytes) > 0);
    // All of it, with bytes that are wrong where others have arrived: only what is missing is taken.
    std::vector<std::byte> mixed = first;
    std::copy_n(other.begin() + 300, 400, mixed.begin() + 300);
    hostile.send(Frames().fragment(channel, 0, 1000, 0, mixed));
    auto messages = hostile.delivered();
    REQUIRE(messages.size() == 1);
    CHECK(messages[0] == first);
    CHECK(hostile.count(Counter::reassemblyBytes) == 0);
    // It is complete: whatever comes of it now is not looked at.
    const std::uint64_t repeated = hostile.count(Counter::dropRepeatedMessage);
    hostile.send(Frames().fragment(channel, 0, 1000, 0, right));
    hostile.send(Frames().fragment(channel, 0, 900, 0, right.first(900)));
    hostile.send(Frames().reliable(channel, 0, {right.first(10)}));
    hostile.send(Frames().expired(channel, 0, 7));
    CHECK(hostile.delivered().empty());
    CHECK(hostile.count(Counter::dropRepeatedMessage) == repeated + 4);
    hostile.check_alive();
  }
}

TEST_CASE("channels: what is repeated while it waits behind a gap is not delivered twice either") {
  Hostile hostile;
  const auto data = pattern(100);
  hostile.send(Frames().reliable(kOrdered, 1, {data}));
  hostile.send(Frames().reliable(kOrdered, 1, {data}));
  hostile.send(Frames().fragment(kOrdered, 1, 100, 50, Bytes(data).subspan(50)));
  hostile.send(Frames().reliable(kOrdered, 0, {data, data}));
  CHECK(hostile.delivered().size() == 2);
  // Unordered: delivered at once, known while the one before is missing.
  hostile.send(Frames().reliable(kUnordered, 1, {data}));
  hostile.send(Frames().reliable(kUnordered, 1, {data}));
  CHECK(hostile.delivered().size() == 1);
  CHECK(hostile.count(Counter::dropRepeatedMessage) == 4);
  hostile.check_alive();
}

TEST_CASE("channels: empty messages are messages") {
  Hostile hostile;
  hostile.send(Frames().reliable(kOrdered, 0, {{}, {}, {}}).reliable(kUnordered, 5, {{}}));
  hostile.send(Frames().sequenced(kState, 7, {}).sequenced(kState, 7, {}).message({}, kPlain));
  CHECK(hostile.delivered().size() == 6);
  CHECK(hostile.count(Counter::dropRepeatedMessage) == 1);
  hostile.check_alive();
}

TEST_CASE("channels: a number too far ahead of the oldest that is missing closes") {
  for (const std::uint32_t channel : {kOrdered, kUnordered}) {
    CAPTURE(channel);
    Hostile hostile;
    const auto data = pattern(10);
    // Message 0 is missing; 1 is there.
    hostile.send(Frames().reliable(channel, 1, {data}));
    hostile.send(Frames().expired(channel, kAhead, 0));
    hostile.check_alive();
    SUBCASE("whole") { hostile.send(Frames().reliable(channel, kAhead + 1, {data})); }
    SUBCASE("part") { hostile.send(Frames().fragment(channel, kAhead + 1, 20, 0, data)); }
    SUBCASE("expired") { hostile.send(Frames().expired(channel, kAhead + 1, 0)); }
    SUBCASE("as far as it goes") { hostile.send(Frames().expired(channel, kVarintMax, 0)); }
    SUBCASE("the last of many") {
      Frames frames;
      frames.reliable(channel, kAhead - 1, {data, data, data});
      hostile.send(frames);
    }
    hostile.check_protocol_error();
  }
}

TEST_CASE("channels: what has arrived and waits is not missing") {
  for (const std::uint32_t channel : {kOrdered, kUnordered}) {
    CAPTURE(channel);
    EndpointOptions options = endpoint_options();
    Hostile hostile(options);
    hostile.pause(channel, true);
    // As many as the credit allows.
    for (std::uint64_t number = 0; number < kAhead; ++number)
      hostile.send(Frames().reliable(channel, number, {{}}));
    CHECK(hostile.delivered().empty());
    hostile.check_alive();
    hostile.pause(channel, false);
    CHECK(hostile.delivered().size() == kAhead);
    hostile.check_alive();
  }
}

TEST_CASE("channels: more than the credit of a channel, or of the connection, closes") {
  Hostile hostile;
  const auto data = pattern(1000);
  constexpr std::uint32_t kMessage = 4000;
  constexpr std::uint64_t kCost = kMessage + kMessageCost;
  // Begun, and never finished: what counts is what they will be.
  const auto begin = [&](std::uint32_t channel, std::uint64_t number, std::uint32_t total) {
    hostile.send(Frames().fragment(channel, number, total, 0, data));
  };
  std::uint64_t spent = 0;
  for (std::uint64_t number = 0; spent + kCost <= kChannelCredit; ++number, spent += kCost)
    begin(kOrdered, number, kMessage);
  hostile.check_alive();
  SUBCASE("channel") {
    begin(kOrdered, 20, static_cast<std::uint32_t>(kChannelCredit - spent - kMessageCost + 1));
    hostile.check_protocol_error();
  }
  SUBCASE("channel, with messages that expire") {
    // Each costs its number as long as the limit stands.
    std::uint64_t number = 20;
    for (; spent + kMessageCost <= kChannelCredit; spent += kMessageCost)
      hostile.send(Frames().expired(kOrdered, number++, 0));
    hostile.check_alive();
    hostile.send(Frames().expired(kOrdered, number, 0));
    hostile.check_protocol_error();
  }
  SUBCASE("connection") {
    std::uint64_t other = 0;
    std::uint64_t number = 0;
    for (; spent + other + kCost <= kCredit; ++number, other += kCost) begin(kUnordered, number, kMessage);
    hostile.check_alive();
    CHECK(other + kCost <= kChannelCredit);
    begin(kUnordered, number, kMessage);
    hostile.check_protocol_error();
  }
}

TEST_CASE("channels: credit grows with what the user has taken, and no sooner") {
  Hostile hostile;
  const auto data = pattern(1000);
  hostile.pause(kOrdered, true);
  const std::uint64_t most = kChannelCredit / (1000 + kMessageCost);
  for (std::uint64_t number = 0; number < most; ++number) {
    hostile.send(Frames().reliable(kOrdered, number, {data}));
    hostile.peer.turn();
  }
  CHECK(hostile.peer.count(FrameType::kCredit) == 0);
  CHECK(hostile.peer.count(FrameType::kChannelCredit) == 0);
  hostile.pause(kOrdered, false);
  CHECK(hostile.delivered().size() == most);
  hostile.peer.turn();
  const auto credit = hostile.peer.last(FrameType::kCredit);
  const auto channel = hostile.peer.last(FrameType::kChannelCredit);
  REQUIRE(credit.has_value());
  REQUIRE(channel.has_value());
  CHECK(credit->credit.limit == kCredit + most * (1000 + kMessageCost));
  CHECK(channel->channel_credit.channel == kOrdered);
  CHECK(channel->channel_credit.limit == kChannelCredit + most * (1000 + kMessageCost));
}

TEST_CASE("channels: a lower limit than before is ignored") {
  ResponseBody offered = offer();
  offered.credit = offered.channel_credit = 1000 + kMessageCost;
  Hostile hostile(endpoint_options(), offered);
  Endpoint& server = hostile.world.server->endpoint;
  const auto data = pattern(1000);
  REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
  REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
  hostile.peer.turn();
  CHECK(hostile.peer.count(FrameType::kReliable) == 1);
  hostile.send(Frames().credit(100'000).channel_credit(kOrdered, 3 * (1000 + kMessageCost)));
  hostile.send(Frames().credit(5).channel_credit(kOrdered, 5));
  hostile.peer.turn();
  CHECK(hostile.peer.count(FrameType::kReliable) == 2);
  REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
  REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
  hostile.world.now += milliseconds(100);
  hostile.peer.turn();
  CHECK(hostile.peer.count(FrameType::kReliable) == 3);
  CHECK(server.status(hostile.handle, hostile.world.now)->queued_bytes == 1000 + kMessageCost);
}

TEST_CASE("channels: of what is lost the lowest number is sent again first, in whatever order it was lost") {
  EndpointOptions options = endpoint_options();
  options.congestion = CongestionAlgorithm::kCubic;
  Hostile hostile(options);
  Endpoint& server = hostile.world.server->endpoint;
  const auto data = pattern(1000);
  // Numbers of the messages that come in the next packets, and of these packets.
  std::vector<std::uint64_t> messages;
  std::vector<std::uint64_t> packets;
  const auto take = [&](std::size_t count) {
    messages.clear();
    packets.clear();
    for (int i = 0; i < 200 && messages.size() < count; ++i) {
      hostile.world.now += milliseconds(1);
      server.advance(hostile.world.now);
      hostile.peer.forget();
      hostile.peer.turn();
      for (std::size_t at = 0; at < hostile.peer.payloads.size(); ++at) {
        FrameReader reader(hostile.peer.payloads[at]);
        for (Frame frame; reader.next(frame);) {
          if (frame.type != FrameType::kReliable) continue;
          messages.push_back(frame.reliable.first);
          packets.push_back(hostile.peer.numbers[at]);
        }
      }
    }
    REQUIRE(messages.size() == count);
  };
  const auto send = [&] {
    for (int i = 0; i < 8; ++i)
      REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
    take(8);
  };
  // The window grows first.
  constexpr std::uint64_t kBefore = 80;
  for (std::uint64_t sent = 0; sent < kBefore; sent += 8) {
    send();
    hostile.world.now += milliseconds(10);
    hostile.send(Frames().ack(packets.front(), packets.back()));
  }
  const auto numbers = [](std::initializer_list<std::uint64_t> behind) {
    std::vector<std::uint64_t> all;
    for (const std::uint64_t number : behind) all.push_back(kBefore + number);
    return all;
  };
  send();
  CHECK(messages == numbers({0, 1, 2, 3, 4, 5, 6, 7}));
  // Packet threshold: 0 to 3 are lost, and sent again behind 4, 5 and 7.
  hostile.send(Frames().ack(packets[6], packets[6]));
  take(4);
  CHECK(messages == numbers({0, 1, 2, 3}));
  // Of the packets that are lost now, those of 4, 5 and 7 are the oldest.
  hostile.send(Frames().ack(packets[3], packets[3]));
  take(4);
  CHECK(messages == numbers({0, 4, 5, 7}));
}

TEST_CASE("channels: whoever gives no credit keeps nothing but a bounded queue") {
  ResponseBody offered = offer();
  offered.credit = offered.channel_credit = 0;
  EndpointOptions options = endpoint_options();
  options.max_queued_bytes = 64 * 1024;
  Hostile hostile(options, offered);
  Endpoint& server = hostile.world.server->endpoint;
  const auto data = pattern(kLongest);
  std::size_t taken = 0;
  while (server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent) {
    REQUIRE(++taken < 100);
  }
  CHECK(taken == options.max_queued_bytes / (kLongest + kMessageCost) + 1);
  CHECK(hostile.count(Counter::dropQueueFull) == 1);
  hostile.peer.turn();
  CHECK(hostile.peer.count(FrameType::kReliable) + hostile.peer.count(FrameType::kFragment) == 0);
  CHECK(hostile.count(Counter::sendQueueBytes) <= 3 * options.max_queued_bytes);
}

TEST_CASE("channels: EXPIRED ends what it says and nothing else") {
  const auto data = pattern(500);
  for (const std::uint32_t channel : {kOrdered, kUnordered}) {
    CAPTURE(channel);
    Hostile hostile;
    SUBCASE("a message in parts gives its memory back") {
      hostile.send(Frames().fragment(channel, 0, 1000, 0, data));
      hostile.peer.turn();
      CHECK(hostile.count(Counter::reassemblyBytes) > 0);
      hostile.send(Frames().expired(channel, 0, 1000));
      hostile.peer.turn();
      CHECK(hostile.count(Counter::reassemblyBytes) == 0);
      hostile.send(Frames().fragment(channel, 0, 1000, 500, data));
      CHECK(hostile.delivered().empty());
      hostile.send(Frames().reliable(channel, 1, {data}));
      CHECK(hostile.delivered().size() == 1);
    }
    SUBCASE("what is complete is delivered") {
      hostile.pause(channel, true);
      hostile.send(Frames().reliable(channel, 0, {data}).reliable(channel, 1, {data}));
      hostile.send(Frames().expired(channel, 0, 500).expired(channel, 1, 500));
      hostile.pause(channel, false);
      CHECK(hostile.delivered().size() == 2);
    }
    SUBCASE("those behind it go on") {
      hostile.send(Frames().reliable(channel, 2, {data}).reliable(channel, 1, {data}));
      const std::size_t before = channel == kOrdered ? 0 : 2;
      CHECK(hostile.delivered().size() == before);
      hostile.send(Frames().expired(channel, 0, 0));
      CHECK(hostile.delivered().size() == 2 - before);
      CHECK(hostile.count(Counter::reassemblyBytes) == 0);
    }
    SUBCASE("again and again, it costs nothing") {
      const AllocationCount allocations;
      for (std::uint64_t number = 0; number < 20'000; ++number) {
        Frames frames;
        frames.expired(channel, number, 0).expired(channel, number, 0);
        const auto packet = hostile.peer.seal(frames);
        hostile.peer.deliver(packet);
        if (number % 100 == 99) hostile.peer.turn();
      }
      hostile.peer.turn();
      CHECK(hostile.count(Counter::reassemblyBytes) == 0);
      CHECK(hostile.count(Counter::dropRepeatedMessage) == 20'000);
    }
    hostile.check_alive();
  }
}

TEST_CASE("channels: sequenced messages of many pieces hold one message of memory for each channel") {
  Hostile hostile;
  const auto data = pattern(500);
  for (std::uint64_t number = 0; number < 1'000; ++number) {
    hostile.send(Frames().sequenced_part(kState, number, 1000, 500, data));
    // Older than the one that is put together.
    if (number > 0) hostile.send(Frames().sequenced_part(kState, number - 1, 1000, 0, data));
  }
  CHECK(hostile.delivered().empty());
  CHECK(hostile.count(Counter::dropOutdated) == 999);
  CHECK(hostile.count(Counter::reassemblyBytesPeak) <= 2048);
  // An older message that is whole does not take the place of the newer one's parts.
  hostile.send(Frames().sequenced(kState, 998, data));
  hostile.send(Frames().sequenced_part(kState, 999, 1000, 0, data));
  CHECK(hostile.delivered().size() == 2);
  hostile.send(Frames().sequenced_part(kState, 999, 1000, 0, data).sequenced(kState, 3, data));
  CHECK(hostile.delivered().empty());
  CHECK(hostile.count(Counter::reassemblyBytes) == 0);
  hostile.check_alive();
}

TEST_CASE("channels: a message cut up into crumbs closes") {
  Hostile hostile;
  const auto data = pattern(1);
  // Every second byte: the pieces never touch.
  for (std::uint32_t offset = 0; offset < 2 * 100 && hostile.world.server->endpoint.connected() == 1;
       offset += 2)
    hostile.send(Frames().fragment(kOrdered, 0, kLongest, offset, data));
  hostile.check_protocol_error();
}

TEST_CASE("channels: honest parts come in any order") {
  Hostile hostile;
  const auto message = pattern(kLongest);
  std::vector<std::uint32_t> offsets;
  for (std::uint32_t offset = 0; offset < kLongest; offset += 128) offsets.push_back(offset);
  SeededRandom random(5);
  for (std::size_t i = offsets.size(); i > 1; --i)
    std::swap(offsets[i - 1], offsets[random.below(static_cast<std::uint32_t>(i))]);
  for (const std::uint32_t offset : offsets)
    hostile.send(Frames().fragment(kOrdered, 0, kLongest, offset, Bytes(message).subspan(offset, 128)));
  const auto messages = hostile.delivered();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0] == message);
}

// ---- ACK

TEST_CASE("channels: an ACK of what was never sent closes, whatever is in flight") {
  Hostile hostile;
  Endpoint& server = hostile.world.server->endpoint;
  const auto data = pattern(kLongest);
  for (int i = 0; i < 20; ++i)
    REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
  hostile.peer.turn();
  CHECK(server.status(hostile.handle, hostile.world.now)->bytes_in_flight > 0);
  SUBCASE("the next one") {
    hostile.send(Frames().ack(hostile.peer.last_number + 1, hostile.peer.last_number + 1));
  }
  SUBCASE("with all that was") { hostile.send(Frames().ack(0, hostile.peer.last_number + 1)); }
  SUBCASE("the last there is") { hostile.send(Frames().ack(kVarintMax, kVarintMax)); }
  hostile.check_protocol_error();
}

TEST_CASE("channels: an ACK of a skipped number closes a peer that acknowledges without looking") {
  ResponseBody offered = offer();
  offered.credit = offered.channel_credit = 1U << 30U;
  Hostile hostile(endpoint_options(), offered);
  Endpoint& server = hostile.world.server->endpoint;
  const auto data = pattern(kLongest);
  // It acknowledges all that was sent before, received or not, and is found out at the first number skipped.
  int rounds = 0;
  while (server.connected() == 1) {
    REQUIRE(++rounds < 2'000);
    REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
    hostile.peer.turn();
    hostile.send(Frames().ack(0, hostile.peer.last_number));
    hostile.world.now += milliseconds(20);
  }
  hostile.check_protocol_error();
}

TEST_CASE("channels: an ACK is believed once") {
  Hostile hostile;
  Endpoint& server = hostile.world.server->endpoint;
  const auto data = pattern(100);
  SendOptions options;
  options.confirm = 9;
  REQUIRE(server.send(hostile.handle, kOrdered, data, options, hostile.world.now) == SendStatus::kSent);
  hostile.peer.turn();
  std::size_t confirmations = 0;
  for (int i = 0; i < 5; ++i) {
    hostile.send(Frames().ack(0, hostile.peer.last_number).ack(0, hostile.peer.last_number));
    hostile.peer.turn();
    confirmations += count_events(hostile.world.server->take_events(), EventKind::kConfirm);
  }
  CHECK(confirmations == 1);
  CHECK(server.status(hostile.handle, hostile.world.now)->bytes_in_flight == 0);
  CHECK(hostile.count(Counter::sendQueueBytes) == 0);
}

TEST_CASE("channels: an ACK that leaves out a packet that has just arrived is counted") {
  Hostile hostile;
  const auto data = pattern(10);
  std::uint64_t message = 0;
  std::size_t listed = 0;
  // Whether the ACK that follows the packet lists it.
  const auto is_listed = [&](std::uint64_t number) {
    hostile.peer.forget();
    hostile.peer.next_number = number;
    hostile.send(Frames().reliable(kOrdered, message++, {data}));
    hostile.peer.turn();
    const auto ack = hostile.peer.last(FrameType::kAck);
    REQUIRE(ack.has_value());
    listed = ack->ack.range_count + 1;
    return acknowledges(ack->ack, number);
  };
  // Every second packet is missing, so that each of these is a range.
  constexpr std::uint64_t kFirst = 500;
  constexpr std::uint64_t kLast = kFirst + 2 * (kMaxAckRanges - 1);
  for (std::uint64_t number = kFirst; number <= kLast; number += 2) CHECK(is_listed(number));
  CHECK(listed == kUsualAckRanges);
  // Late ones have further ranges listed, each only as far as it is.
  CHECK(is_listed(kLast - 2 * kUsualAckRanges - 1));
  CHECK(listed == kUsualAckRanges + 1);
  CHECK(is_listed(kFirst - 1));
  CHECK(listed == kMaxAckRanges - 1);
  CHECK(is_listed(kFirst - 3));
  CHECK(listed == kMaxAckRanges);
  CHECK(hostile.count(Counter::acksIncomplete) == 0);
  CHECK(!is_listed(kFirst - 5));
  CHECK(listed == kMaxAckRanges);
  CHECK(hostile.count(Counter::acksIncomplete) == 1);
  CHECK(is_listed(kLast + 2));
  CHECK(listed == kUsualAckRanges);
  CHECK(is_listed(kLast - 1));
  CHECK(hostile.count(Counter::acksIncomplete) == 1);
  hostile.check_alive();
}

TEST_CASE("channels: floods of ACKs with hundreds of ranges change and cost nothing") {
  ResponseBody offered = offer();
  offered.credit = offered.channel_credit = 1U << 30U;
  Hostile hostile(endpoint_options(), offered);
  Endpoint& server = hostile.world.server->endpoint;
  // So many packets that every second number makes 500 ranges.
  while (hostile.peer.last_number < 1'040) {
    hostile.world.now += milliseconds(1);
    REQUIRE(server.send(hostile.handle, kPlain, {}, {}, hostile.world.now) == SendStatus::kSent);
    hostile.peer.turn();
  }
  const auto data = pattern(kLongest);
  for (int i = 0; i < 50; ++i)
    REQUIRE(server.send(hostile.handle, kOrdered, data, {}, hostile.world.now) == SendStatus::kSent);
  hostile.peer.turn();
  const std::size_t in_flight = server.status(hostile.handle, hostile.world.now)->bytes_in_flight;
  CHECK(in_flight > 0);
  std::vector<AckRange> ranges;
  for (std::uint64_t number = 1'030; ranges.size() < 500; number -= 2) {
    if (std::ranges::find(hostile.peer.missing, number) == hostile.peer.missing.end())
      ranges.push_back({number, number});
  }
  Frames wide;
  wide.ack_ranges(ranges);
  const AckRange low{0, 0};
  Frames many;
  while (many.remaining() >= 5) many.ack_ranges(std::span(&low, 1));
  hostile.peer.forget();
  // What a packet needs on its way to the endpoint is not the endpoint's.
  std::vector<std::vector<std::byte>> packets;
  for (int i = 0; i < 500; ++i) packets.push_back(hostile.peer.seal(i % 2 == 0 ? wide : many));
  for (const auto& packet : packets) {
    std::vector<std::byte> copy = packet;
    const AllocationCount allocations;
    server.receive(ReceivedDatagram{copy, hostile.peer.address, kServerAddress, 0}, hostile.world.now);
    CHECK(allocations.count() == 0);
  }
  CHECK(server.status(hostile.handle, hostile.world.now)->bytes_in_flight == in_flight);
  // Nobody acknowledges acknowledgements.
  hostile.peer.turn();
  CHECK(hostile.peer.count(FrameType::kAck) == 0);
  hostile.check_alive();
}

TEST_CASE("channels: a peer that acknowledges nothing is sent little, until it is disconnected") {
  Hostile hostile;
  World& world = hostile.world;
  Endpoint& server = world.server->endpoint;
  const auto data = pattern(1000);
  SendOptions options;
  bool answers = false;
  SUBCASE("and answers no PING") {}
  SUBCASE("but answers PINGs") { answers = true; }
  // Two packets a second.
  constexpr std::size_t kMostPackets = 30;
  constexpr std::size_t kMostBytes = std::size_t{80} * 1'200;
  for (int i = 0; i < 100; ++i)
    REQUIRE(server.send(hostile.handle, kOrdered, data, options, world.now) == SendStatus::kSent);
  std::size_t packets = 0;
  std::size_t most_in_flight = 0;
  const auto step = [&](int i) {
    world.now += milliseconds(1);
    // It is alive, and says so.
    if (i % 1'000 == 0) hostile.send(Frames().ping(static_cast<std::uint16_t>(i / 1'000)));
    server.advance(world.now);
    hostile.peer.turn();
    packets += hostile.peer.count(FrameType::kReliable);
    const auto ping = hostile.peer.last(FrameType::kPing);
    if (answers && ping) hostile.send(Frames().pong(ping->ping.sequence, world.now));
    if (const auto status = server.status(hostile.handle, world.now))
      most_in_flight = std::max<std::size_t>(most_in_flight, status->bytes_in_flight);
  };
  constexpr int kSteps = 29'000;
  for (int i = 0; i < kSteps; ++i) {
    step(i);
    if (i == kSteps / 2) packets = 0;
    hostile.peer.forget();
  }
  // The first window, then a probe at each timeout.
  CHECK(most_in_flight <= kMostBytes);
  CHECK(packets <= kMostPackets);
  CHECK(hostile.count(Counter::timersFired) < kSteps / 2);
  hostile.check_alive();
  for (int i = 0; i < 7'000 && server.connected() > 0; ++i) step(i);
  CHECK(hostile.closed_with(DisconnectResult::kClosed) ==
        static_cast<std::uint32_t>(DisconnectCode::kNoProgress));
  CHECK(hostile.count(Counter::peersNoProgress) == 1);
}

// ---- memory

TEST_CASE("channels: unfinished messages of many peers are bounded, counted, and leave room for the honest") {
  EndpointOptions options = endpoint_options();
  options.credit = options.channel_credit = 256 * 1024;
  options.max_reassembly_bytes = std::size_t{12} * 1024 * 1024;
  options.max_sessions = 320;
  World world(gateway_options(), options);
  Node& server = *world.server;
  const auto connect = [&](std::uint64_t id) {
    auto peer = std::make_unique<RoguePeer>(
        world, world.token(id),
        SocketAddress::ipv4({10, 3, static_cast<std::uint8_t>(id >> 8U), static_cast<std::uint8_t>(id)},
                            6000),
        id);
    peer->offer = offer();
    peer->connect();
    peer->forget();
    world.now += milliseconds(1);
    return peer;
  };
  auto honest = connect(1);
  std::vector<std::unique_ptr<RoguePeer>> hostile;
  for (std::uint64_t id = 2; id < 302; ++id) hostile.push_back(connect(id));
  const auto data = pattern(1000);
  const auto whole = pattern(500);
  const auto parts = pattern(2000);
  std::size_t messages = 0;
  const auto take = [&] {
    server.endpoint.flush(world.now);
    honest->take(sent_by(server, world.now));
    for (const Event& event : server.take_events()) {
      CHECK(event.kind != EventKind::kDisconnect);
      messages += event.kind == EventKind::kMessage ? 1U : 0U;
    }
    CHECK(server.count(Counter::reassemblyBytes) <= options.max_reassembly_bytes);
  };
  std::uint64_t honest_whole = 0;
  std::uint64_t honest_parts = 0;
  for (std::uint64_t number = 0; number < 30; ++number) {
    for (auto& peer : hostile) {
      // The end of a message costs most; it never gets a beginning.
      peer->send(Frames().fragment(kOrdered, number, kLongest, kLongest - 1000, data));
      peer->send(Frames().fragment(kUnordered, number, kLongest, kLongest - 1000, data));
      peer->send(Frames().sequenced_part(kState, number, kLongest, kLongest - 1000, data));
    }
    honest->send(Frames().reliable(kOrdered, honest_whole++, {whole}));
    const std::uint64_t full = server.count(Counter::dropReassemblyFull);
    // A message in two parts finds room too: everybody has a share that nobody else can take.
    honest->send(Frames().fragment(kUnordered, honest_parts, 2000, 0, Bytes(parts).first(1000)));
    honest->send(Frames().fragment(kUnordered, honest_parts++, 2000, 1000, Bytes(parts).subspan(1000)));
    CHECK(server.count(Counter::dropReassemblyFull) == full);
    take();
  }
  CHECK(messages == honest_whole + honest_parts);
  CHECK(server.count(Counter::dropReassemblyFull) > 1'000);
  CHECK(server.count(Counter::peersProtocolError) == 0);
  CHECK(server.count(Counter::reassemblyBytesPeak) <= options.max_reassembly_bytes);
  CHECK(server.endpoint.connected() == 301);
  // Some lie about their totals and are closed; the others go, and nothing is left.
  for (std::size_t i = 0; i < 100; ++i) hostile[i]->send(Frames().fragment(kOrdered, 0, 2000, 0, data));
  CHECK(server.count(Counter::peersProtocolError) == 100);
  for (std::size_t i = 100; i < 300; ++i) hostile[i]->send(Frames().disconnect(0));
  server.endpoint.flush(world.now);
  CHECK(server.count(Counter::reassemblyBytes) == 0);
}

TEST_CASE("channels: a packet for which there is no memory is as good as lost") {
  EndpointOptions options = endpoint_options();
  options.credit = options.channel_credit = 1 << 20U;
  options.max_reassembly_bytes = 128 * 1024;
  Hostile hostile(options);
  const auto data = pattern(1000);
  std::uint64_t number = 1;
  while (hostile.count(Counter::dropReassemblyFull) == 0) {
    hostile.send(Frames().fragment(kOrdered, number++, kLongest, kLongest - 1000, data));
    REQUIRE(number < 100);
  }
  const std::uint64_t refused = hostile.peer.next_number - 1;
  hostile.peer.turn();
  const auto ack = hostile.peer.last(FrameType::kAck);
  REQUIRE(ack.has_value());
  CHECK(acknowledges(ack->ack, refused - 1));
  CHECK_FALSE(acknowledges(ack->ack, refused));
  // A message that needs no memory is taken, and what is in its packet with it.
  hostile.send(Frames().reliable(kUnordered, 0, {data}).message(bytes_of("x"), kPlain));
  CHECK(hostile.delivered().size() == 2);
  // Room for what was refused: the others are given up.
  hostile.send(Frames().expired(kOrdered, 0, 0));
  for (std::uint64_t done = 1; done + 1 < number; ++done)
    hostile.send(Frames().expired(kOrdered, done, kLongest));
  hostile.peer.turn();
  CHECK(hostile.count(Counter::reassemblyBytes) == 0);
  const auto message = pattern(kLongest);
  for (std::uint32_t offset = 0; offset < kLongest; offset += 1024) {
    hostile.send(
        Frames().fragment(kOrdered, number - 1, kLongest, offset, Bytes(message).subspan(offset, 1024)));
  }
  const auto messages = hostile.delivered();
  REQUIRE(messages.size() == 1);
  CHECK(messages[0] == message);
  hostile.check_alive();
}

TEST_CASE("channels: a message that has memory is finished when nothing else is let in") {
  EndpointOptions options = endpoint_options();
  options.credit = options.channel_credit = 1 << 20U;
  options.max_reassembly_bytes = 64 * 1024;
  Hostile hostile(options);
  const auto message = pattern(kLongest);
  const Bytes bytes(message);
  const auto part = [&](std::uint64_t number, std::uint32_t offset) {
    hostile.send(Frames().fragment(kOrdered, number, kLongest, offset, bytes.subspan(offset, 1024)));
  };
  part(0, 3072);
  for (std::uint64_t number = 1; hostile.count(Counter::dropReassemblyFull) == 0; ++number) {
    part(number, 3072);
    REQUIRE(number < 100);
  }
  for (const std::uint32_t offset : {0U, 1024U, 2048U}) part(0, offset);
  CHECK(hostile.delivered().size() == 1);
  hostile.check_alive();
}

// ---- the user's side

TEST_CASE("channels: what one datagram sets free never takes the room of what is behind it") {
  EndpointOptions options = endpoint_options();
  options.credit = options.channel_credit = 1 << 24U;
  Hostile hostile(options);
  Node& server = *hostile.world.server;
  const auto data = pattern(1000);
  // More than the user's storage has room for waits behind message 0.
  constexpr std::uint64_t kMessages = 400;
  for (std::uint64_t number = 1; number < kMessages; ++number)
    hostile.send(Frames().reliable(kOrdered, number, {data}));
  CHECK(hostile.delivered().empty());
  SUBCASE("an unreliable message") {
    hostile.send(Frames().reliable(kOrdered, 0, {data}).message(bytes_of("x"), kPlain));
    CHECK(server.count(Counter::dropEventQueueFull) == 0);
    std::size_t messages = 0;
    for (int turns = 0; turns < 10; ++turns) messages += hostile.delivered().size();
    CHECK(messages == kMessages + 1);
    CHECK(server.count(Counter::reassemblyBytes) == 0);
    hostile.check_alive();
  }
  SUBCASE("the end of the connection") {
    hostile.send(Frames().reliable(kOrdered, 0, {data}).disconnect(7));
    const auto events = server.take_events();
    const Event* ended = find_event(events, EventKind::kDisconnect);
    REQUIRE(ended != nullptr);
    CHECK(code_of(*ended) == 7);
  }
}

TEST_CASE("channels: as many empty messages as a datagram holds, and its end") {
  Hostile hostile;
  Node& server = *hostile.world.server;
  std::vector<std::byte> payload;
  // RELIABLE on kOrdered from 0 on, to the end of the packet but for a DISCONNECT.
  payload.resize(2'000);
  ByteWriter writer(payload);
  writer.u8(static_cast<std::uint8_t>(FrameType::kReliable) | kReliableLengthBit);
  writer.varint(kOrdered);
  writer.varint(0);
  writer.varint(255);
  writer.zeros(255);
  // Unreliable ones take two bytes each.
  while (writer.remaining() > disconnect_frame_size(0) + 2) REQUIRE(write_message(writer, kPlain, {}));
  REQUIRE(write_disconnect(writer, {7, {}, {}}));
  payload.resize(writer.position());
  hostile.peer.deliver(hostile.peer.seal(payload, hostile.peer.remote_id));
  const auto events = server.take_events();
  CHECK(count_events(events, EventKind::kMessage) > 1'000);
  REQUIRE(find_event(events, EventKind::kDisconnect) != nullptr);
}

TEST_CASE("channels: nothing is told of a peer after its end") {
  EndpointOptions options = endpoint_options();
  options.credit = options.channel_credit = 1 << 20U;
  Hostile hostile(options);
  const auto data = pattern(300);
  hostile.pause(kOrdered, true);
  hostile.send(Frames().reliable(kOrdered, 0, {data, {}}).fragment(kUnordered, 0, 600, 0, data));
  SUBCASE("by the peer") { hostile.send(Frames().disconnect(0)); }
  SUBCASE("by this side") {
    REQUIRE(hostile.world.server->endpoint.disconnect(hostile.handle, 0, "", hostile.world.now));
  }
  CHECK(count_events(hostile.world.server->take_events(), EventKind::kDisconnect) == 1);
  CHECK_FALSE(hostile.world.server->endpoint.set_paused(hostile.handle, kOrdered, false, hostile.world.now));
  hostile.send(Frames().fragment(kUnordered, 0, 600, 300, data));
  hostile.send(Frames().reliable(kOrdered, 2, {data}).sequenced(kState, 0, data).message(data, kPlain));
  hostile.peer.turn();
  CHECK(hostile.world.server->take_events().empty());
  CHECK(hostile.count(Counter::reassemblyBytes) == 0);
  CHECK(hostile.world.server->endpoint.send(hostile.handle, kOrdered, data, {}, hostile.world.now) ==
        SendStatus::kNotConnected);
}

}  // namespace hawser::test
