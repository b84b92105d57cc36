// Channels over bad networks in virtual time: what docs/protocol.md section 12 promises holds in every run,
// whatever the network, the users and the limits are like. Each run follows from its seed; see for_each_seed.
#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "channels_support.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kKilobyte = 1024;

bool arrives_always(std::uint32_t channel) { return channel >= kOrdered && channel <= kBulk; }

bool one_in(RandomSource& random, std::uint32_t count) { return random.below(count) == 0; }

// Everything that a seed decides, but for what happens on the way.
struct Plan {
  explicit Plan(RandomSource& random) {
    if (!one_in(random, 4)) link.loss_rate = fraction(random, 0.3);
    if (one_in(random, 2)) link.duplicate_rate = fraction(random, 0.1);
    if (one_in(random, 2)) link.reorder_rate = fraction(random, 0.2);
    link.delay = milliseconds(1 + random.below(100));
    if (one_in(random, 2)) link.jitter = milliseconds(random.below(30));
    if (one_in(random, 3)) {
      link.bytes_per_second = 50'000 + random.below(2'000'000);
      link.queue_bytes = 4 * kKilobyte + random.below(60 * kKilobyte);
    }
    has_long_messages = one_in(random, 8);
    const std::uint32_t longest = has_long_messages ? 1024 * kKilobyte : 64 * kKilobyte;
    options.channels = test_channels(longest);
    options.congestion = one_in(random, 2) ? CongestionAlgorithm::kBbr : CongestionAlgorithm::kCubic;
    if (one_in(random, 2)) {
      // As little as is allowed, or a little more.
      const auto least = static_cast<std::uint32_t>(longest + kMessageCost);
      options.channel_credit = least + random.below(least);
      options.credit = options.channel_credit + random.below(least);
    }
    if (one_in(random, 2)) options.max_reassembly_bytes = std::size_t{8} * options.credit;
    if (one_in(random, 4)) options.max_output_packets = 16 + random.below(64);
    if (one_in(random, 2)) options.high_water_bytes = 4096;
    if (one_in(random, 2)) {
      room.bytes = EventQueue::kRoomBytes + longest + 64 + random.below(4096);
      room.descriptors = EventQueue::kRoomDescriptors + 2 + random.below(16);
    }
    ends_early = one_in(random, 8);
  }

  LinkSettings link;
  EndpointOptions options;
  ChannelUser::Room room;
  bool has_long_messages = false;
  bool ends_early = false;
};

struct SentMessage {
  std::uint32_t channel;
  std::uint64_t number;
  bool may_expire;
  std::uint32_t confirm;
};

// A gateway and a client that send each other messages on all channels for a while, and what is disturbed
// meanwhile.
class Scenario {
 public:
  explicit Scenario(std::uint64_t seed)
      : random_(seed), plan_(random_), world_(random_.u64(), plan_.link, plan_.options, plan_.room) {}

  void run() {
    world_.connect();
    REQUIRE(world_.client->side(world_.own).connected);
    Party parties[] = {{*world_.client, world_.own}, {*world_.gateway, world_.other}};
    for (int tick = 0; tick < kTicks; ++tick) {
      for (Party& party : parties) {
        for (std::uint32_t left = random_.below(4); left > 0; --left) send(party);
      }
      if (one_in(random_, 10)) disturb(parties);
      if (parted_until_ <= world_.simulation.now()) part(false);
      world_.run(milliseconds(random_.below(25)));
    }
    if (plan_.has_long_messages) send_long(parties[random_.below(2)]);
    if (!plan_.ends_early) {
      all_arrives(parties);
      nothing_is_left(parties);
    }
    goodbye(parties);
  }

  [[nodiscard]] std::uint64_t moves_completed() { return world_.gateway->count(Counter::movesCompleted); }
  [[nodiscard]] std::uint64_t key_updates() { return world_.gateway->count(Counter::keyUpdates); }

 private:
  static constexpr int kTicks = 100;
  // Far longer than anything takes.
  static constexpr Duration kPatience = seconds(300);

  struct Party {
    Party(ChannelUser& own_user, Handle other) : user(own_user), peer(other) {}

    ChannelUser& user;
    Handle peer;
    std::vector<SentMessage> sent;
    std::map<std::uint32_t, std::uint64_t> unnumbered;
    std::uint64_t next_number = 1;
    std::uint32_t next_confirm = 1;
    std::vector<std::uint32_t> paused;
  };

  std::size_t random_size() {
    switch (random_.below(16)) {
      case 0:
        return 0;
      case 1:
      case 2:
        return random_.below(static_cast<std::uint32_t>(16 * kKilobyte));
      case 3:
        return one_in(random_, 4) ? random_.below(64 * kKilobyte + 1) : random_.below(1500);
      default:
        return random_.below(300);
    }
  }

  void send(Party& party) {
    const std::uint32_t channel = random_.below(kTestChannels);
    std::size_t size = random_size();
    if (channel == kPlain || channel == kPaced) size = std::min(size, kMaxMessageSize);
    const bool reliable = arrives_always(channel);
    const bool numbered = size >= kNumberSize;
    SendOptions options;
    if (reliable && numbered && one_in(random_, 4)) options.ttl = milliseconds(1 + random_.below(500));
    if (reliable && numbered && one_in(random_, 2)) options.confirm = party.next_confirm++;
    const std::uint64_t number = party.next_number++;
    const SendStatus status = party.user.send(party.peer, channel, number, size, options);
    // Only an output that is full refuses, and not a reliable message.
    if (status != SendStatus::kSent) {
      REQUIRE(status == SendStatus::kOutputFull);
      REQUIRE((channel == kPlain || channel == kState));
      return;
    }
    if (numbered) {
      party.sent.push_back({channel, number, options.ttl > Duration::zero(), options.confirm});
    } else {
      ++party.unnumbered[channel];
    }
  }

  void send_long(Party& party) {
    const std::uint64_t number = party.next_number++;
    REQUIRE(party.user.send(party.peer, kBulk, number, 1024 * kKilobyte) == SendStatus::kSent);
    party.sent.push_back({kBulk, number, false, 0});
  }

  // What may happen to a connection that must survive it.
  void disturb(std::span<Party> parties) {
    Party& party = parties[random_.below(2)];
    switch (random_.below(6)) {
      case 0: {
        const std::uint32_t channel = kOrdered + random_.below(3);
        REQUIRE(party.user.pause(party.peer, channel, true));
        party.paused.push_back(channel);
        break;
      }
      case 1:
        resume(party);
        break;
      case 2:
        party.user.node().stall(world_.simulation.now() + milliseconds(random_.below(1'500)));
        break;
      case 3:
        part(true);
        parted_until_ = world_.simulation.now() + milliseconds(random_.below(1'500));
        break;
      case 4:
        move_client();
        break;
      default:
        // One that is under way, or has just been, stands in the way of another.
        static_cast<void>(party.user.endpoint().update_keys(party.peer, nullptr, party.user.node().now()));
        party.user.node().schedule();
        break;
    }
  }

  // As a NAT that forgets does: another port, or another address altogether.
  void move_client() {
    part(false);
    SocketAddress address = client_address_;
    ++moves_;
    address.port = static_cast<std::uint16_t>(address.port + 1);
    if (one_in(random_, 2)) address.ip[3] = static_cast<std::byte>(1 + moves_);
    REQUIRE(world_.client->node().move(address));
    client_address_ = address;
  }

  static void resume(Party& party) {
    for (const std::uint32_t channel : party.paused) REQUIRE(party.user.pause(party.peer, channel, false));
    party.paused.clear();
  }

  void part(bool parted) { world_.simulation.partition(ChannelWorld::kAddress, client_address_, parted); }

  static bool is_idle(const Party& party) {
    const auto status = party.user.endpoint().status(party.peer, party.user.node().now());
    REQUIRE(status.has_value());
    return status->queued_bytes == 0 && status->bytes_in_flight == 0 &&
           party.user.count(Counter::sendQueueBytes) == 0;
  }

  void all_arrives(std::span<Party> parties) {
    part(false);
    for (Party& party : parties) resume(party);
    become_idle(parties, milliseconds(500));
    has_arrived(parties[0], parties[1]);
    has_arrived(parties[1], parties[0]);
  }

  // Runs until neither side has anything queued or in flight.
  void become_idle(std::span<Party> parties, Duration step) {
    const Instant end = world_.simulation.now() + kPatience;
    do {
      world_.run(step);
      REQUIRE_MESSAGE(world_.simulation.now() < end, "messages are still under way");
    } while (!std::ranges::all_of(parties, is_idle));
  }

  static void has_arrived(Party& from, Party& to) {
    ChannelUser::Side& there = to.user.side(to.peer);
    ChannelUser::Side& here = from.user.side(from.peer);
    REQUIRE(!there.ended);
    for (const SentMessage& message : from.sent) {
      INFO("channel " << message.channel << " number " << message.number);
      const bool arrived = there.received[message.channel].contains(message.number);
      if (arrives_always(message.channel) && !message.may_expire) REQUIRE(arrived);
      if (message.confirm == 0) continue;
      const bool confirmed = here.confirmed.contains(message.confirm);
      const bool expired = here.expired.contains(message.confirm);
      REQUIRE(confirmed != expired);
      if (confirmed) REQUIRE(arrived);
      if (!message.may_expire) REQUIRE(confirmed);
    }
    for (const std::uint32_t channel : {kOrdered, kUnordered, kBulk})
      REQUIRE(there.unnumbered[channel] == from.unnumbered[channel]);
    for (const std::uint32_t channel : {kPlain, kState, kPaced})
      REQUIRE(there.unnumbered[channel] <= from.unnumbered[channel]);
    // Nothing has come that was not sent.
    std::size_t received = 0;
    for (const auto& [channel, numbers] : there.received) received += numbers.size();
    REQUIRE(received <= from.sent.size());
  }

  // Queues and pools are empty, but for the parts of a sequenced message of which others were lost: a newer
  // message sets those free.
  void nothing_is_left(std::span<Party> parties) {
    LinkSettings clean;
    clean.delay = milliseconds(10);
    world_.simulation.set_link(std::nullopt, std::nullopt, clean);
    world_.run(seconds(1));
    for (Party& party : parties)
      REQUIRE(party.user.send(party.peer, kState, party.next_number++, 100) == SendStatus::kSent);
    world_.run(seconds(1));
    // A probe of the path may be in flight.
    become_idle(parties, milliseconds(1));
    for (const Party& party : parties) {
      CHECK(party.user.count(Counter::sendQueueBytes) == 0);
      CHECK(party.user.count(Counter::reassemblyBytes) == 0);
      CHECK(party.user.flags(party.peer) == 0);
    }
  }

  void goodbye(std::span<Party> parties) {
    part(false);
    Party& first = parties[random_.below(2)];
    REQUIRE(
        first.user.endpoint().disconnect(first.peer, kFirstApplicationCode, "done", first.user.node().now()));
    first.user.node().schedule();
    world_.run(seconds(25));
    for (const Party& party : parties) {
      CHECK(party.user.side(party.peer).ended.has_value());
      CHECK(party.user.endpoint().sessions() == 0);
      CHECK(party.user.count(Counter::peersProtocolError) == 0);
      CHECK(party.user.count(Counter::sendQueueBytes) == 0);
      CHECK(party.user.count(Counter::reassemblyBytes) == 0);
    }
  }

  SeededRandom random_;
  Plan plan_;
  ChannelWorld world_;
  Instant parted_until_ = kNever;
  SocketAddress client_address_ = ChannelWorld::kClient;
  std::uint32_t moves_ = 0;
};

}  // namespace

TEST_CASE("a reliable message arrives within 20 s on a path that loses two packets of five") {
  for_each_seed(5, [](std::uint64_t seed) {
    LinkSettings link;
    link.delay = milliseconds(60);
    link.jitter = milliseconds(40);
    ChannelWorld world(seed, link);
    world.connect();
    link.loss_rate = 0.4;
    world.simulation.set_link(std::nullopt, std::nullopt, link);
    for (std::uint64_t number = 1; number <= 20; ++number) {
      REQUIRE(world.client->send(world.own, kOrdered, number, 100) == SendStatus::kSent);
      const Instant limit = world.simulation.now() + seconds(20);
      const auto& received = world.gateway->side(world.other).received[kOrdered];
      while (!received.contains(number) && world.simulation.now() < limit) world.run(milliseconds(20));
      REQUIRE(received.contains(number));
    }
  });
}

TEST_CASE("channels keep their promises over bad networks") {
  std::uint64_t runs = 0;
  std::uint64_t moves = 0;
  std::uint64_t updates = 0;
  for_each_seed(1, [&](std::uint64_t seed) {
    Scenario scenario(seed);
    scenario.run();
    ++runs;
    moves += scenario.moves_completed();
    updates += scenario.key_updates();
  });
  // What is said to happen does.
  if (runs < 50) return;
  CHECK(moves > runs / 2);
  CHECK(updates > runs / 2);
}

}  // namespace hawser::test
