// Flow-control windows that grow (docs/protocol.md section 12, Credit): when, how far, and who pays.
#include <doctest/doctest.h>

#include <memory>
#include <utility>
#include <vector>

#include "channels_support.hpp"
#include "rogue_peer.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint32_t kFirst = 64 * 1024;
constexpr std::uint32_t kFirstOfChannel = 16 * 1024;
constexpr std::uint32_t kGreatest = 512 * 1024;
constexpr std::uint32_t kChat = 0;
constexpr std::uint32_t kLog = 1;  // unordered
constexpr std::uint32_t kNews = 2;
constexpr std::uint32_t kLongest = 1000;
constexpr std::uint64_t kCost = kLongest + kMessageCost;

EndpointOptions endpoint_options() {
  EndpointOptions options;
  options.channels = {{"chat", "bytes", ChannelMode::kReliable, ChannelPriority::kNormal, kLongest},
                      {"log", "bytes", ChannelMode::kReliableUnordered, ChannelPriority::kNormal, kLongest},
                      {"plain", "bytes", ChannelMode::kUnreliable, ChannelPriority::kNormal, 0}};
  options.credit = kFirst;
  options.channel_credit = kFirstOfChannel;
  options.max_credit = kGreatest;
  return options;
}

GatewayOptions gateway_with(std::uint64_t max_grown_credit) {
  GatewayOptions options = gateway_options();
  options.max_grown_credit = max_grown_credit;
  return options;
}

// A gateway whose user takes every message at once, and peers that send messages of kLongest bytes.
struct Receiver {
  explicit Receiver(GatewayOptions gateway = gateway_options())
      : world(std::move(gateway), endpoint_options()) {}

  struct Sender {
    std::unique_ptr<RoguePeer> peer;
    Handle handle{};
    std::uint64_t sent[2] = {0, 0};
    std::uint64_t ahead[2] = {0, 0};
    // What the last raise left to be sent: the windows.
    std::uint64_t channel[2] = {kFirstOfChannel, kFirstOfChannel};
    std::uint64_t connection = kFirst;
    // Of the channel that was used last.
    std::uint64_t limit = kFirstOfChannel;
  };

  Sender& connect() {
    const std::uint64_t id = senders.size() + 1;
    auto sender = std::make_unique<Sender>();
    sender->peer = std::make_unique<RoguePeer>(world, world.token(id),
                                               rogue_address(static_cast<std::uint8_t>(id)), id + 10);
    std::vector<ChannelDigestEntry> entries;
    const EndpointOptions options = endpoint_options();
    for (const ChannelDeclaration& channel : options.channels) {
      entries.push_back(
          {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
    }
    sender->peer->offer.features = kFeatureChannels;
    sender->peer->offer.channels = channels_digest(entries);
    sender->peer->offer.credit = sender->peer->offer.channel_credit = kFirst;
    sender->handle = sender->peer->connect();
    sender->peer->forget();
    senders.push_back(std::move(sender));
    return *senders.back();
  }

  // Sends `count` messages with `pause` behind each, and notes the limits that come back.
  void send(Sender& sender, std::uint64_t count, Duration pause = {}, std::uint32_t channel = kChat) {
    const std::vector<std::byte> data(kLongest);
    for (std::uint64_t i = 0; i < count; ++i) {
      if (crowded) {
        const std::vector<std::byte> filler(kMaxMessageSize - 10);
        REQUIRE(world.server->endpoint.send(sender.handle, kNews, filler, {}, world.now) ==
                SendStatus::kSent);
      }
      sender.peer->send(Frames().reliable(channel, sender.sent[channel]++, {data}));
      world.now += pause;
      world.server->endpoint.advance(world.now);
      sender.peer->turn();
      static_cast<void>(world.server->take_events());
      const std::uint64_t taken = kCost * (sender.sent[kChat] + sender.sent[kLog]);
      if (const auto told = sender.peer->last(FrameType::kCredit)) {
        sender.connection = told->credit.limit - taken;
        // However large both are, others than this channel can use half.
        CHECK(2 * sender.channel[channel] <= sender.connection);
      }
      if (const auto told = sender.peer->last(FrameType::kChannelCredit)) {
        REQUIRE(told->channel_credit.channel == channel);
        const std::uint64_t before = sender.channel[channel];
        sender.limit = told->channel_credit.limit;
        sender.channel[channel] = sender.limit - kCost * sender.sent[channel];
        CHECK(sender.channel[channel] <= 2 * before);
        sender.ahead[channel] = told->channel_credit.ahead;
      }
      sender.peer->send(Frames().ack(sender.peer->last_number, sender.peer->last_number));
      sender.peer->forget();
      REQUIRE(world.server->endpoint.connected() == senders.size());
    }
  }
  void pass(Duration duration) {
    for (const Instant end = world.now + duration; world.now < end;) {
      world.now += milliseconds(100);
      for (const auto& sender : senders) sender->peer->send(Frames().ping(++ping));
      world.server->endpoint.advance(world.now);
      for (const auto& sender : senders) sender->peer->turn();
    }
    for (const auto& sender : senders) sender->peer->forget();
  }
  [[nodiscard]] std::uint64_t grown() const { return world.server->count(Counter::grownCreditBytes); }
  [[nodiscard]] std::uint64_t refusals() const { return world.server->count(Counter::creditRefusals); }

  World world;
  std::vector<std::unique_ptr<Sender>> senders;
  std::uint16_t ping = 1000;
  // Packets of the gateway have hardly room for anything beside a message.
  bool crowded = false;
};

}  // namespace

TEST_CASE("credit: windows double while the user takes an eighth of them in each round trip") {
  Receiver receiver;
  SUBCASE("with room in the packets") {}
  SUBCASE("without: a limit that is told later grows once all the same") { receiver.crowded = true; }
  Receiver::Sender& sender = receiver.connect();
  receiver.send(sender, 4 * kFirstOfChannel / kCost);
  CHECK(sender.channel[kChat] >= 2 * kFirstOfChannel);
  CHECK(sender.channel[kLog] == kFirstOfChannel);
  CHECK(receiver.grown() > 0);
  // ... up to the maximum, and no further.
  receiver.send(sender, 16 * kGreatest / kCost);
  CHECK(sender.channel[kChat] == kGreatest / 2);
  CHECK(sender.connection == kGreatest);
  CHECK(receiver.grown() == kGreatest - kFirst);
  CHECK(receiver.refusals() == 0);
}

TEST_CASE("credit: windows do not grow while the user takes less than an eighth of them in a round trip") {
  Receiver receiver;
  Receiver::Sender& sender = receiver.connect();
  // A round trip counts as 5 ms: this is a little less in it ...
  receiver.send(sender, 20 * kFirst / kCost, Duration(5100) * kCost * 8 / kFirstOfChannel);
  CHECK(sender.channel[kChat] == kFirstOfChannel);
  CHECK(sender.connection == kFirst);
  CHECK(receiver.grown() == 0);
  // ... and this a little more.
  receiver.send(sender, 20 * kFirst / kCost, Duration(4900) * kCost * 8 / kFirstOfChannel);
  CHECK(sender.channel[kChat] > kFirstOfChannel);
}

TEST_CASE("credit: windows do not grow while the user takes nothing") {
  Receiver receiver;
  Receiver::Sender& sender = receiver.connect();
  REQUIRE(receiver.world.server->endpoint.set_paused(sender.handle, kChat, true, receiver.world.now));
  const std::vector<std::byte> data(kLongest);
  for (std::uint64_t i = 0; i < kFirstOfChannel / kCost; ++i) {
    sender.peer->send(Frames().reliable(kChat, i, {data}));
    sender.peer->turn();
  }
  CHECK(sender.peer->count(FrameType::kChannelCredit) == 0);
  CHECK(sender.peer->count(FrameType::kCredit) == 0);
  CHECK(receiver.grown() == 0);
}

TEST_CASE("credit: a doubling takes at most a 32nd of what is left of the budget of all peers") {
  SUBCASE("what it takes") {
    Receiver receiver(gateway_with(32 * kFirst));
    Receiver::Sender& first = receiver.connect();
    receiver.send(first, 4 * kGreatest / kCost);
    CHECK(first.connection == 2 * kFirst);
    CHECK(receiver.grown() == kFirst);
    CHECK(receiver.refusals() > 0);
    // No other peer gets more of what is left, but all keep their first credit.
    Receiver::Sender& second = receiver.connect();
    receiver.send(second, 4 * kGreatest / kCost);
    CHECK(second.connection == kFirst);
    CHECK(receiver.grown() == kFirst);
  }
  SUBCASE("a byte less") {
    Receiver receiver(gateway_with(32 * kFirst - 1));
    Receiver::Sender& first = receiver.connect();
    receiver.send(first, 4 * kGreatest / kCost);
    CHECK(first.connection == kFirst);
    CHECK(receiver.grown() == 0);
  }
}

TEST_CASE("credit: what a peer has of the budget returns when it leaves") {
  Receiver receiver(gateway_with(32 * kFirst));
  Receiver::Sender& first = receiver.connect();
  receiver.send(first, 4 * kGreatest / kCost);
  REQUIRE(receiver.world.gateway.credit_budget().in_use() == kFirst);
  receiver.world.server->endpoint.disconnect(first.handle, kFirstApplicationCode, "", receiver.world.now);
  receiver.pass(seconds(5));
  CHECK(receiver.world.gateway.credit_budget().in_use() == 0);
  CHECK(receiver.grown() == 0);
}

TEST_CASE("credit: windows that nobody uses shrink after 10 s, and limits that were told stay") {
  Receiver receiver;
  Receiver::Sender& sender = receiver.connect();
  receiver.send(sender, 16 * kGreatest / kCost);
  REQUIRE(receiver.grown() == kGreatest - kFirst);
  const std::uint64_t limit = sender.limit;
  receiver.pass(seconds(9));
  CHECK(receiver.grown() == kGreatest - kFirst);
  receiver.pass(seconds(2));
  CHECK(receiver.grown() == 0);
  // What it may send is the same. No limit is raised until less than the first window is left of it.
  receiver.send(sender, (limit - kFirstOfChannel) / kCost - sender.sent[kChat], milliseconds(10));
  CHECK(sender.limit == limit);
  receiver.send(sender, kFirstOfChannel / 2 / kCost, milliseconds(10));
  CHECK(sender.limit > limit);
  CHECK(sender.channel[kChat] <= kFirstOfChannel);
  CHECK(sender.channel[kChat] + kCost > kFirstOfChannel);
}

TEST_CASE("credit: the number of a message may be as far ahead as the largest window allows") {
  Receiver receiver;
  Receiver::Sender& sender = receiver.connect();
  receiver.send(sender, 16 * kGreatest / kCost, {}, kLog);
  REQUIRE(sender.ahead[kLog] == kGreatest / 2 / 64);
  // A window that has shrunk takes nothing back.
  SUBCASE("while it is large") {}
  SUBCASE("after it has shrunk") { receiver.pass(seconds(11)); }
  const std::uint64_t missing = sender.sent[kLog];
  const std::vector<std::byte> data(1);
  sender.peer->send(Frames().reliable(kLog, missing + sender.ahead[kLog], {data}));
  sender.peer->turn();
  CHECK(sender.peer->count(FrameType::kDisconnect) == 0);
  sender.peer->send(Frames().reliable(kLog, missing + sender.ahead[kLog] + 1, {data}));
  sender.peer->turn();
  CHECK(sender.peer->count(FrameType::kDisconnect) == 1);
  CHECK(receiver.world.server->count(Counter::peersProtocolError) == 1);
}

// A path of a fifth of a second, and first windows that fill it to a sixth at most.
struct LongPath {
  explicit LongPath(std::uint64_t seed) : world(seed, link(), options()) { world.connect(); }

  static LinkSettings link() {
    LinkSettings settings;
    settings.delay = milliseconds(100);
    settings.bytes_per_second = 500'000;
    settings.queue_bytes = 100'000;
    return settings;
  }
  static EndpointOptions options() {
    EndpointOptions options;
    options.channels = test_channels(kMessageBytes);
    options.credit = 2 * kChannelCredit;
    options.channel_credit = kChannelCredit;
    return options;
  }
  // Whether four times as much arrives as the first credit of a channel, which goes in each round trip,
  // allows.
  static bool has_outgrown_credit(EndlessTransfer& transfer) {
    return transfer.run(seconds(2)) > std::uint64_t{4} * 10 * kChannelCredit &&
           transfer.receiver.count(Counter::grownCreditBytes) > 0;
  }

  static constexpr std::uint32_t kChannelCredit = 16 * 1024;
  static constexpr std::uint32_t kMessageBytes = 4'000;

  ChannelWorld world;
};

TEST_CASE("credit: a transfer over a long path outgrows the first credit, in both directions") {
  for_each_seed(20, [](std::uint64_t seed) {
    LongPath path(seed);
    for (const bool up : {true, false}) {
      CAPTURE(up);
      EndlessTransfer transfer(path.world, up, kOrdered, LongPath::kMessageBytes);
      static_cast<void>(transfer.run(seconds(4)));
      CHECK(LongPath::has_outgrown_credit(transfer));
    }
  });
}

TEST_CASE("credit: a transfer outgrows the first credit after the client's address changed, too") {
  for_each_seed(20, [](std::uint64_t seed) {
    SeededRandom plan(seed);
    for (const bool up : {true, false}) {
      CAPTURE(up);
      LongPath path(seed);
      ChannelWorld& world = path.world;
      EndlessTransfer transfer(world, up, kOrdered, LongPath::kMessageBytes);
      const auto change_address = [&] {
        SocketAddress address = world.client->node().local_address();
        address.port = static_cast<std::uint16_t>(50'000 + plan.below(10'000));
        switch (plan.below(3)) {
          case 0:
            REQUIRE(world.client->node().rebind().has_value());
            break;
          case 1:
            address.ip[3] = std::byte{77};
            [[fallthrough]];
          default:
            REQUIRE(world.client->node().move(address));
            break;
        }
        // A client does not know of a NAT, and says nothing while nothing reaches it.
        REQUIRE(world.client->send(world.own, kPlain, plan.u64(), 100) == SendStatus::kSent);
      };
      // Before the transfer, while the windows have their first sizes, and in the middle of it.
      for (std::uint64_t moves = 1; moves <= 2; ++moves) {
        change_address();
        static_cast<void>(transfer.run(seconds(8)));
        CHECK(world.gateway->count(Counter::movesCompleted) == moves);
        CHECK(LongPath::has_outgrown_credit(transfer));
      }
    }
  });
}

}  // namespace hawser::test
