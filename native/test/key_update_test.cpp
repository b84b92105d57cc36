#include "engine/key_update.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/random.hpp"
#include "crypto/sodium.hpp"

namespace hawser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Step = KeyUpdateStep;

constexpr Instant kNow{seconds(100)};
constexpr Duration kKeep = milliseconds(300);

Prk some_prk() {
  Prk prk;
  for (std::byte& byte : prk.mutable_bytes()) byte = std::byte{7};
  return prk;
}

InjectedSecret some_secret(std::uint8_t fill) {
  InjectedSecret secret;
  for (std::byte& byte : secret.key.mutable_bytes()) byte = std::byte{fill};
  secret.id = default_secret_id(secret.key.bytes());
  return secret;
}

Key copy_of(const Key& key) { return Key(key.bytes()); }

bool equal(Bytes a, Bytes b) { return std::ranges::equal(a, b); }

// What a frame of the machine says to the other side's.
Frame decoded(Bytes bytes) {
  FrameReader reader(bytes);
  Frame frame;
  REQUIRE(reader.next(frame));
  REQUIRE_FALSE(reader.failed());
  return frame;
}

// One side with its keys, driven by hand.
struct Side {
  Side(bool is_server, std::uint64_t seed) : random(seed), update(is_server) {
    keys = SessionKeys::derive(some_prk(), is_server, 0);
  }

  std::vector<std::byte> begin(const InjectedSecret* secret = nullptr) {
    REQUIRE(KeyUpdate::may_begin(keys, &update));
    const auto frame = update.begin(keys, random, secret);
    return {frame.begin(), frame.end()};
  }
  Step take(Bytes bytes, Instant now = kNow) {
    const Frame frame = decoded(bytes);
    switch (frame.type) {
      case FrameType::kKeyUpdate:
        return update.on_update(frame.key_update, keys, random, now);
      case FrameType::kKeyUpdateReply:
        return update.on_reply(frame.key_update, keys);
      default:
        REQUIRE(frame.type == FrameType::kKeyUpdateRefused);
        return update.on_refused(frame.key_update_refused, keys);
    }
  }
  [[nodiscard]] std::vector<std::byte> answer() const {
    return {update.answer().begin(), update.answer().end()};
  }
  Step proceed(Instant now = kNow) { return update.proceed(keys, random, now); }

  [[nodiscard]] std::vector<std::byte> seal(std::uint64_t packet_number) const {
    std::vector<std::byte> packet(5 + kTagSize, std::byte{1});
    keys.send.seal_in_place(packet_number, {}, packet);
    return packet;
  }
  ReceiveKey* receive_key(std::uint32_t epoch) {
    return (epoch & 3U) == (keys.epoch & 3U)
               ? &keys.receive
               : update.receive_key(static_cast<std::uint8_t>(epoch & 3U), keys);
  }
  // Opens a packet of the other side; nothing when it does not open.
  std::optional<Step> open(const Side& from, Instant now = kNow) {
    std::vector<std::byte> packet = from.seal(number);
    ReceiveKey* key = receive_key(from.keys.epoch);
    if (key == nullptr || !key->key.open_in_place(number++, {}, packet)) return std::nullopt;
    return update.on_opened(*key, keys, now, kKeep);
  }

  SeededRandom random;
  SessionKeys keys;
  KeyUpdate update;
  std::uint64_t number = 0;
};

struct Fixture {
  Side client{false, 1};
  Side server{true, 2};

  Fixture() { REQUIRE(initialise()); }

  // From KEY_UPDATE to both sides' `previous` erased.
  void complete(Side& initiator, Side& responder, const InjectedSecret* secret = nullptr) {
    Step step = responder.take(initiator.begin(secret));
    if (step == Step::kSecretWanted) {
      REQUIRE(responder.update.provide(secret->id, copy_of(secret->key)));
      step = responder.proceed();
    }
    REQUIRE(step == Step::kReplied);
    REQUIRE(initiator.take(responder.answer()) == Step::kSwitched);
    REQUIRE(responder.open(initiator) == Step::kSwitched);
    REQUIRE(initiator.open(responder) == Step::kNothing);
    CHECK(initiator.proceed(kNow + kKeep) == Step::kNothing);
    CHECK(responder.proceed(kNow + kKeep) == Step::kNothing);
    REQUIRE(initiator.update.idle());
    REQUIRE(responder.update.idle());
  }
  void agree(std::uint32_t epoch) {
    CHECK(client.keys.epoch == epoch);
    CHECK(server.keys.epoch == epoch);
    CHECK(equal(client.keys.prk.bytes(), server.keys.prk.bytes()));
    CHECK(client.open(server).has_value());
    CHECK(server.open(client).has_value());
  }
};

TEST_CASE_FIXTURE(Fixture, "key update: each side's keys at each moment") {
  const auto update = client.begin();
  CHECK(update.size() == kKeyUpdateFrameSize);
  CHECK_FALSE(KeyUpdate::may_begin(client.keys, &client.update));
  REQUIRE(server.take(update) == Step::kReplied);
  CHECK(server.answer().size() == kKeyUpdateReplyFrameSize);
  CHECK_FALSE(KeyUpdate::may_begin(server.keys, &server.update));
  // Traffic of the old epoch goes on, both ways.
  CHECK(server.keys.epoch == 0);
  CHECK(server.open(client) == Step::kNothing);
  CHECK(client.open(server) == Step::kNothing);
  CHECK(client.receive_key(1) == nullptr);
  const auto late = client.seal(1'000);
  const auto late_answer = server.seal(1'000);
  REQUIRE(client.take(server.answer()) == Step::kSwitched);
  CHECK(client.keys.epoch == 1);
  // The client does not know when its `previous` ends before the first packet of the new epoch.
  CHECK(client.update.deadline() == kNever);
  CHECK(client.open(server) == Step::kNothing);
  CHECK(client.update.deadline() == kNever);
  REQUIRE(server.open(client, kNow + milliseconds(20)) == Step::kSwitched);
  CHECK(server.keys.epoch == 1);
  CHECK(server.update.deadline() == kNow + milliseconds(20) + kKeep);
  CHECK(client.open(server, kNow + milliseconds(40)) == Step::kNothing);
  CHECK(client.update.deadline() == kNow + milliseconds(40) + kKeep);
  // A later one does not put it off.
  CHECK(client.open(server, kNow + milliseconds(50)) == Step::kNothing);
  CHECK(client.update.deadline() == kNow + milliseconds(40) + kKeep);
  // What was sent before opens until then.
  auto packet = late;
  REQUIRE(server.receive_key(0) != nullptr);
  CHECK(server.receive_key(0)->key.open_in_place(1'000, {}, packet));
  packet = late_answer;
  REQUIRE(client.receive_key(0) != nullptr);
  CHECK(client.receive_key(0)->key.open_in_place(1'000, {}, packet));
  CHECK(server.proceed(kNow + milliseconds(19) + kKeep) == Step::kNothing);
  CHECK_FALSE(server.update.idle());
  CHECK_FALSE(KeyUpdate::may_begin(server.keys, &server.update));
  CHECK(server.proceed(kNow + milliseconds(20) + kKeep) == Step::kNothing);
  CHECK(server.update.idle());
  CHECK(server.receive_key(0) == nullptr);
  CHECK(client.proceed(kNow + milliseconds(40) + kKeep) == Step::kNothing);
  CHECK(client.update.idle());
  agree(1);
}

TEST_CASE_FIXTURE(Fixture, "key update: many epochs, begun by either side, with and without a secret") {
  std::vector<std::vector<std::byte>> prks;
  for (std::uint32_t epoch = 1; epoch <= 12; ++epoch) {
    const InjectedSecret secret = some_secret(static_cast<std::uint8_t>(epoch));
    Side& initiator = epoch % 3 == 0 ? client : server;
    complete(initiator, epoch % 3 == 0 ? server : client, epoch % 2 == 0 ? &secret : nullptr);
    agree(epoch);
    const std::vector<std::byte> prk(client.keys.prk.bytes().begin(), client.keys.prk.bytes().end());
    CHECK(std::ranges::find(prks, prk) == prks.end());
    prks.push_back(prk);
  }
}

TEST_CASE_FIXTURE(Fixture, "key update: prk' is what docs/protocol.md section 13 says") {
  const InjectedSecret secret = some_secret(9);
  const auto update = client.begin(&secret);
  REQUIRE(server.take(update) == Step::kSecretWanted);
  REQUIRE(server.update.provide(secret.id, copy_of(secret.key)));
  // The share's secret is the server's next 32 random bytes.
  Secret<32> drawn;
  SeededRandom same(2);
  same.fill(drawn.mutable_bytes());
  REQUIRE(server.proceed() == Step::kReplied);
  const auto reply = server.answer();
  REQUIRE(client.take(reply) == Step::kSwitched);

  Secret<32> shared;
  REQUIRE(
      x25519(shared, KeyPair::from_secret(drawn.bytes()).secret, std::span(update).subspan<9, kShareSize>()));
  constexpr std::array<std::byte, 4> kEpoch{std::byte{1}};
  const auto prk = blake2b_512(some_prk().bytes(), {label_bytes("HAWSER 1 update"), kEpoch, shared.bytes(),
                                                    secret.key.bytes(), update, reply});
  CHECK(equal(client.keys.prk.bytes(), prk));

  constexpr std::array<std::byte, 5> kFromClient{std::byte{0}, std::byte{1}};
  constexpr std::array<std::byte, 5> kFromServer{std::byte{1}, std::byte{1}};
  constexpr std::array<std::byte, 4> kSequence{};
  const Bytes own_share = Bytes(update).subspan(9, 32);
  const Bytes other_share = Bytes(reply).subspan(5, 32);
  CHECK(equal(Bytes(update).last(16),
              blake2b_128(secret.key.bytes(), {label_bytes("HAWSER 1 update mac"), kFromClient, kSequence,
                                               secret.id, own_share})));
  CHECK(equal(Bytes(reply).last(16),
              blake2b_128(secret.key.bytes(), {label_bytes("HAWSER 1 update mac"), kFromServer, kSequence,
                                               secret.id, own_share, other_share})));
}

TEST_CASE_FIXTURE(Fixture, "key update: without a secret the MACs are keyed from prk") {
  const auto update = client.begin();
  const Hash256 key = blake2b_256(some_prk().bytes(), {label_bytes("HAWSER 1 update key")});
  constexpr std::array<std::byte, 5> kFromClient{std::byte{0}, std::byte{1}};
  constexpr std::array<std::byte, 4> kSequence{};
  CHECK(equal(Bytes(update).last(16),
              blake2b_128(key, {label_bytes("HAWSER 1 update mac"), kFromClient, kSequence, kNoSecretId,
                                Bytes(update).subspan(9, 32)})));
}

TEST_CASE_FIXTURE(Fixture, "key update: an unknown or different secret is refused, and the next try works") {
  const InjectedSecret secret = some_secret(1);
  const InjectedSecret other = some_secret(2);
  const auto first = client.begin(&secret);
  REQUIRE(server.take(first) == Step::kSecretWanted);
  CHECK(server.update.wanted() == secret.id);
  CHECK_FALSE(server.update.provide(other.id, std::nullopt));
  REQUIRE(server.update.provide(secret.id, std::nullopt));
  CHECK_FALSE(server.update.provide(secret.id, copy_of(secret.key)));
  REQUIRE(server.proceed() == Step::kRefused);
  CHECK(server.update.idle());
  const auto unknown = server.answer();
  REQUIRE(client.take(unknown) == Step::kGivenUp);
  CHECK(client.update.refusal() == static_cast<std::uint8_t>(KeyUpdateRefusal::kUnknownSecret));
  CHECK(client.update.idle());

  const auto second = client.begin(&secret);
  REQUIRE(server.take(second) == Step::kSecretWanted);
  REQUIRE(server.update.provide(secret.id, copy_of(other.key)));
  REQUIRE(server.proceed() == Step::kRefused);
  const auto different = server.answer();

  // A late copy of the first refusal is not one of the second try.
  CHECK(client.take(unknown) == Step::kNothing);
  CHECK_FALSE(client.update.idle());
  REQUIRE(client.take(different) == Step::kGivenUp);
  CHECK(client.update.refusal() == static_cast<std::uint8_t>(KeyUpdateRefusal::kDifferentSecret));
  CHECK(client.take(different) == Step::kNothing);
  // Late copies of what was refused ask nobody again.
  CHECK(server.take(first) == Step::kNothing);
  CHECK(server.take(second) == Step::kNothing);
  CHECK(server.update.idle());
  agree(0);
  complete(client, server, &secret);
  agree(1);
}

TEST_CASE_FIXTURE(Fixture, "key update: a secret that nobody provides within 5 s is unavailable") {
  const InjectedSecret secret = some_secret(1);
  REQUIRE(server.take(client.begin(&secret)) == Step::kSecretWanted);
  CHECK(server.update.deadline() == kNow + seconds(5));
  CHECK(server.proceed(kNow + milliseconds(4'999)) == Step::kNothing);
  REQUIRE(server.proceed(kNow + seconds(5)) == Step::kRefused);
  CHECK_FALSE(server.update.provide(secret.id, copy_of(secret.key)));
  REQUIRE(client.take(server.answer()) == Step::kGivenUp);
  CHECK(client.update.refusal() == static_cast<std::uint8_t>(KeyUpdateRefusal::kUnavailable));
}

TEST_CASE_FIXTURE(Fixture, "key update: repeated frames change nothing, at any later moment") {
  const auto update = client.begin();
  REQUIRE(server.take(update) == Step::kReplied);
  const auto reply = server.answer();
  CHECK(server.take(update) == Step::kNothing);
  CHECK(server.answer() == reply);
  REQUIRE(client.take(reply) == Step::kSwitched);
  CHECK(client.take(reply) == Step::kNothing);
  CHECK(server.take(update) == Step::kNothing);
  REQUIRE(server.open(client) == Step::kSwitched);
  CHECK(client.take(reply) == Step::kNothing);
  CHECK(server.take(update) == Step::kNothing);
  agree(1);
  CHECK(client.proceed(kNow + kKeep) == Step::kNothing);
  CHECK(server.proceed(kNow + kKeep) == Step::kNothing);
  CHECK(client.take(reply) == Step::kNothing);
  CHECK(server.take(update) == Step::kNothing);
  CHECK(server.update.idle());
  complete(server, client);
  CHECK(client.take(reply) == Step::kNothing);
  CHECK(server.take(update) == Step::kNothing);
  agree(2);
  // A sequence that was used in an earlier epoch is no new attempt either.
  client.keys.updates_sent = 0;
  CHECK(server.take(client.begin()) == Step::kNothing);
  CHECK(server.update.idle());
}

TEST_CASE_FIXTURE(Fixture, "key update: of two that cross, the server's is done") {
  const auto from_client = client.begin();
  const auto from_server = server.begin();
  SUBCASE("whichever arrives first") {
    CHECK(server.take(from_client) == Step::kNothing);
    REQUIRE(client.take(from_server) == Step::kReplied);
  }
  SUBCASE("or second") {
    REQUIRE(client.take(from_server) == Step::kReplied);
    CHECK(server.take(from_client) == Step::kNothing);
  }
  SUBCASE("or after all") { REQUIRE(client.take(from_server) == Step::kReplied); }
  REQUIRE(server.take(client.answer()) == Step::kSwitched);
  CHECK(server.take(from_client) == Step::kNothing);
  REQUIRE(client.open(server) == Step::kSwitched);
  REQUIRE(server.open(client) == Step::kNothing);
  CHECK(client.proceed(kNow + kKeep) == Step::kNothing);
  CHECK(server.proceed(kNow + kKeep) == Step::kNothing);
  CHECK(client.update.idle());
  CHECK(server.update.idle());
  CHECK(server.take(from_client) == Step::kNothing);
  agree(1);
}

TEST_CASE_FIXTURE(Fixture,
                  "key update: a client's secret that crossed the server's update is told as unused") {
  const InjectedSecret secret = some_secret(1);
  static_cast<void>(client.begin(&secret));
  REQUIRE(client.take(server.begin()) == Step::kSuperseded);
  REQUIRE(server.take(client.answer()) == Step::kSwitched);
}

TEST_CASE_FIXTURE(Fixture,
                  "key update: of two that cross, the client's is done when the server's is refused") {
  const InjectedSecret unknown = some_secret(1);
  const auto from_client = client.begin();
  const auto from_server = server.begin(&unknown);
  REQUIRE(client.take(from_server) == Step::kSecretWanted);
  SUBCASE("and it came before the refusal") { CHECK(server.take(from_client) == Step::kNothing); }
  SUBCASE("and it comes after the refusal") {}
  REQUIRE(client.update.provide(unknown.id, std::nullopt));
  REQUIRE(client.proceed() == Step::kRefused);
  REQUIRE(server.take(client.answer()) == Step::kGivenUp);
  Step step = server.proceed();
  if (step == Step::kNothing) step = server.take(from_client);
  REQUIRE(step == Step::kReplied);
  REQUIRE(client.take(server.answer()) == Step::kSwitched);
  REQUIRE(server.open(client) == Step::kSwitched);
  agree(1);
}

TEST_CASE_FIXTURE(Fixture, "key update: a client's that overtakes its refusal of the server's is not lost") {
  const InjectedSecret unknown = some_secret(1);
  REQUIRE(client.take(server.begin(&unknown)) == Step::kSecretWanted);
  REQUIRE(client.update.provide(unknown.id, std::nullopt));
  REQUIRE(client.proceed() == Step::kRefused);
  const auto refusal = client.answer();
  CHECK(server.take(client.begin()) == Step::kNothing);
  REQUIRE(server.take(refusal) == Step::kGivenUp);
  REQUIRE(server.proceed() == Step::kReplied);
}

TEST_CASE_FIXTURE(Fixture, "key update: one that comes before `previous` is erased waits for that") {
  REQUIRE(server.take(client.begin()) == Step::kReplied);
  REQUIRE(client.take(server.answer()) == Step::kSwitched);
  REQUIRE(server.open(client, kNow + seconds(1)) == Step::kSwitched);
  REQUIRE(client.open(server) == Step::kNothing);
  CHECK(client.proceed(kNow + kKeep) == Step::kNothing);
  REQUIRE(KeyUpdate::may_begin(client.keys, &client.update));
  CHECK(server.take(client.begin(), kNow + seconds(1)) == Step::kNothing);
  CHECK(server.receive_key(2) == nullptr);
  CHECK(server.receive_key(0) != nullptr);
  REQUIRE(server.proceed(kNow + seconds(1) + kKeep) == Step::kReplied);
  CHECK(server.receive_key(2) != nullptr);
  CHECK(server.receive_key(0) == nullptr);
  REQUIRE(client.take(server.answer()) == Step::kSwitched);
  REQUIRE(server.open(client) == Step::kSwitched);
  agree(2);
}

// A KEY_UPDATE or reply with one byte changed.
std::vector<std::byte> spoilt(std::vector<std::byte> frame, std::size_t at) {
  frame[at] ^= std::byte{1};
  return frame;
}

TEST_CASE_FIXTURE(Fixture, "key update: one that finds no room for news waits for that") {
  const InjectedSecret secret = some_secret(1);
  bool with_secret = false;
  SUBCASE("without a secret") {}
  SUBCASE("with one") { with_secret = true; }
  const auto update = client.begin(with_secret ? &secret : nullptr);
  const auto take = [&] {
    return server.update.on_update(decoded(update).key_update, server.keys, server.random, kNow, false);
  };
  REQUIRE(take() == Step::kRoomWanted);
  CHECK(take() == Step::kNothing);
  CHECK(server.update.proceed(server.keys, server.random, kNow, false) == Step::kRoomWanted);
  // Time changes nothing about it, and nothing else is begun.
  CHECK(server.update.deadline() == kNever);
  CHECK_FALSE(KeyUpdate::may_begin(server.keys, &server.update));
  if (with_secret) {
    REQUIRE(server.proceed() == Step::kSecretWanted);
    // Whoever has been asked may answer when there is no room any more.
    REQUIRE(server.update.provide(secret.id, copy_of(secret.key)));
  }
  REQUIRE(server.update.proceed(server.keys, server.random, kNow, !with_secret) == Step::kReplied);
  REQUIRE(client.take(server.answer()) == Step::kSwitched);
  REQUIRE(server.open(client) == Step::kSwitched);
  agree(1);
}

TEST_CASE_FIXTURE(Fixture, "key update: breaches") {
  constexpr std::size_t kEpochAt = 1;
  constexpr std::size_t kSequenceAt = 5;
  constexpr std::size_t kShareAt = 9;
  constexpr std::size_t kReplyShareAt = 5;
  SUBCASE("any byte changed in a KEY_UPDATE without a secret") {
    const auto update = client.begin();
    for (std::size_t at = kSequenceAt; at < update.size(); ++at) {
      // Another secret id asks for a secret instead.
      if (at >= kShareAt + 32 && at < kShareAt + 48) continue;
      Side fresh(true, 3);
      INFO("byte " << at);
      CHECK(fresh.take(spoilt(update, at)) == Step::kViolation);
    }
  }
  SUBCASE("any byte changed in a reply") {
    REQUIRE(server.take(client.begin()) == Step::kReplied);
    const auto reply = server.answer();
    for (std::size_t at = kReplyShareAt; at < reply.size(); ++at) {
      INFO("byte " << at);
      CHECK(client.take(spoilt(reply, at)) == Step::kViolation);
    }
    CHECK(client.keys.epoch == 0);
    CHECK(client.take(reply) == Step::kSwitched);
  }
  SUBCASE("an epoch above the next one") {
    CHECK(server.take(spoilt(client.begin(), kEpochAt + 1)) == Step::kViolation);
  }
  SUBCASE("a reply for an epoch above the next one, or to nothing") {
    REQUIRE(server.take(client.begin()) == Step::kReplied);
    const auto reply = server.answer();
    CHECK(client.take(spoilt(reply, kEpochAt + 1)) == Step::kViolation);
    CHECK(Side(false, 9).take(reply) == Step::kViolation);
    // The responder's own.
    CHECK(server.take(reply) == Step::kViolation);
  }
  SUBCASE("a reply reflected as the initiator's share") {
    const auto update = client.begin();
    std::vector<std::byte> reflected(update.begin(), update.begin() + kKeyUpdateReplyFrameSize);
    reflected[0] = std::byte{0x0a};
    std::copy_n(update.begin() + kShareAt, 32, reflected.begin() + kReplyShareAt);
    std::copy_n(update.end() - 16, 16, reflected.end() - 16);
    CHECK(client.take(reflected) == Step::kViolation);
  }
  SUBCASE("another update before the answer, and before the switch") {
    const InjectedSecret secret = some_secret(1);
    Side impatient(false, 5);
    const auto first = client.begin(&secret);
    impatient.keys.updates_sent = 1;
    const auto second = impatient.begin();
    REQUIRE(server.take(first) == Step::kSecretWanted);
    CHECK(server.take(second) == Step::kViolation);
    REQUIRE(server.update.provide(secret.id, copy_of(secret.key)));
    REQUIRE(server.proceed() == Step::kReplied);
    CHECK(server.take(second) == Step::kViolation);
  }
  SUBCASE("the last sequence") {
    client.keys.updates_sent = UINT32_MAX - 1;
    auto update = client.begin();
    CHECK_FALSE(KeyUpdate::may_begin(client.keys, nullptr));
    CHECK(server.take(spoilt(update, kSequenceAt)) == Step::kViolation);
    CHECK(server.keys.updates_seen == 0);
    CHECK(server.take(update) == Step::kReplied);
  }
  SUBCASE("a share of small order") {
    Side hostile(false, 5);
    KeyUpdateFrame frame{};
    frame.epoch = 1;
    frame.mac =
        update_mac(update_key(hostile.keys.prk), Direction::kClientToServer, {1, 0, {}}, frame.share, {});
    CHECK(server.update.on_update(frame, server.keys, server.random, kNow) == Step::kViolation);
    const auto update = client.begin();
    KeyUpdateFrame reply{};
    reply.epoch = 1;
    reply.mac = update_mac(update_key(client.keys.prk), Direction::kServerToClient, {1, 0, {}},
                           std::span(update).subspan<kShareAt, kShareSize>(), reply.share);
    CHECK(client.update.on_reply(reply, client.keys) == Step::kViolation);
  }
  SUBCASE("a refusal of nothing, and of an update without a secret") {
    CHECK(client.update.on_refused({0, 1}, client.keys) == Step::kViolation);
    static_cast<void>(client.begin());
    CHECK(client.update.on_refused({1, 1}, client.keys) == Step::kViolation);
    CHECK(client.update.on_refused({0, 1}, client.keys) == Step::kViolation);
  }
}

TEST_CASE_FIXTURE(Fixture, "key update: another connection's MAC or one of another role does not verify") {
  Side other(false, 3);
  Prk prk = some_prk();
  prk.mutable_bytes()[0] = std::byte{8};
  other.keys = SessionKeys::derive(std::move(prk), false, 0);
  CHECK(server.take(other.begin()) == Step::kViolation);
  // The server's own, sent back to it.
  Side second(true, 4);
  CHECK(Side(true, 5).take(second.begin()) == Step::kViolation);
}

// ---- a model of two sides over a network that loses, repeats and reorders

struct Outcome {
  std::uint32_t begun = 0;
  std::uint32_t switched = 0;
  std::uint32_t refused = 0;
  std::uint32_t superseded = 0;
};

// Reliable frames in sealed packets; what arrives is opened with the key that its epoch names, or is lost.
class Model {
 public:
  explicit Model(std::uint64_t seed)
      : random_(seed),
        loss_(random_.below(60)),
        longest_delay_(1 + static_cast<int>(random_.below(40))),
        discards_(random_.below(2) == 0) {
    ends_.push_back(std::make_unique<End>(false, seed * 2));
    ends_.push_back(std::make_unique<End>(true, seed * 2 + 1));
  }

  void run() {
    for (int i = 0; i < 6'000; ++i) tick(true);
    loss_ = 0;
    // Longer than a lookup may take, and `previous` is kept.
    for (int i = 0; i < 6'000; ++i) tick(false);
    CHECK(ends_[0]->keys.epoch == ends_[1]->keys.epoch);
    CHECK(equal(ends_[0]->keys.prk.bytes(), ends_[1]->keys.prk.bytes()));
    for (const auto& end : ends_) {
      CHECK(end->update == nullptr);
      // Each update that was begun had exactly one outcome: that of the other side's if they crossed.
      CHECK(end->own_unanswered == 0);
      CHECK(end->outcome.switched == end->keys.epoch);
      totals.begun += end->outcome.begun;
      totals.switched += end->outcome.switched;
      totals.refused += end->outcome.refused;
      totals.superseded += end->outcome.superseded;
    }
  }

  Outcome totals;

 private:
  struct Reliable {
    std::uint64_t id;
    std::vector<std::byte> bytes;
  };
  struct Packet {
    int arrival;
    std::uint32_t epoch;
    std::uint64_t number;
    std::vector<std::byte> sealed;
    std::vector<Reliable> frames;
    std::vector<std::uint64_t> acknowledged;
  };
  struct End {
    End(bool is_server, std::uint64_t seed) : server(is_server), random(seed) {
      keys = SessionKeys::derive(some_prk(), is_server, 0);
    }
    bool server;
    SeededRandom random;
    SessionKeys keys;
    std::unique_ptr<KeyUpdate> update;
    std::vector<Reliable> outbox;
    std::vector<std::uint64_t> to_acknowledge;
    std::vector<Packet> arriving;
    std::uint64_t next_number = 0;
    // When the user answers, and with what: 0 nothing, 1 the secret, 2 another one.
    std::map<SecretId, std::pair<int, std::uint8_t>> lookups;
    Outcome outcome;
    std::uint32_t own_unanswered = 0;
    // There was none for what a KEY_UPDATE leads to.
    bool wants_room = false;
  };

  [[nodiscard]] Instant now() const { return kNow + milliseconds(tick_); }
  // Half of the secrets are known to the other side.
  static std::uint8_t answer_of(const SecretId& id) { return static_cast<std::uint8_t>(id[0]) % 4; }

  void tick(bool busy) {
    ++tick_;
    for (std::size_t i = 0; i < 2; ++i) {
      End& end = *ends_[i];
      receive(end);
      if (end.update && now() >= end.update->deadline())
        step(end, end.update->proceed(end.keys, end.random, now()));
      if (end.update && end.wants_room && random_.below(10) == 0) {
        end.wants_room = false;
        step(end, end.update->proceed(end.keys, end.random, now()));
      }
      look_up(end);
      if (busy && random_.below(30) == 0 && KeyUpdate::may_begin(end.keys, end.update.get())) begin(end);
      if (random_.below(4) != 0) send(end, *ends_[1 - i]);
    }
  }

  void begin(End& end) {
    if (!end.update) end.update = std::make_unique<KeyUpdate>(end.server);
    const InjectedSecret secret = some_secret(static_cast<std::uint8_t>(1 + random_.below(200)));
    const auto frame = end.update->begin(end.keys, end.random, random_.below(2) == 0 ? &secret : nullptr);
    queue(end, frame);
    ++end.outcome.begun;
    REQUIRE(++end.own_unanswered == 1);
  }

  void queue(End& end, Bytes frame) {
    end.outbox.push_back({next_id_++, std::vector(frame.begin(), frame.end())});
  }
  void discard(End& end, std::byte type) {
    // Whether an unwanted frame is repeated or not must not matter.
    if (discards_) std::erase_if(end.outbox, [&](const Reliable& frame) { return frame.bytes[0] == type; });
  }

  void step(End& end, Step what) {
    switch (what) {
      case Step::kNothing:
        break;
      case Step::kViolation:
        FAIL("a side took the other for hostile");
        break;
      case Step::kRoomWanted:
        end.wants_room = true;
        break;
      case Step::kSecretWanted: {
        const SecretId id = end.update->wanted();
        // Sometimes too late.
        const int delay = random_.below(20) == 0 ? 5'100 : static_cast<int>(random_.below(100));
        end.lookups[id] = {tick_ + delay, answer_of(id)};
        break;
      }
      case Step::kSuperseded:
        ++end.outcome.superseded;
        [[fallthrough]];
      case Step::kReplied:
        end.own_unanswered = 0;
        discard(end, std::byte{0x09});
        [[fallthrough]];
      case Step::kRefused:
        discard(end, std::byte{0x0b});
        queue(end, end.update->answer());
        break;
      case Step::kSwitched:
        ++end.outcome.switched;
        end.own_unanswered = 0;
        discard(end, std::byte{0x09});
        discard(end, std::byte{0x0a});
        break;
      case Step::kGivenUp:
        ++end.outcome.refused;
        end.own_unanswered = 0;
        step(end, end.update->proceed(end.keys, end.random, now()));
        return;
    }
    if (end.update->idle()) end.update.reset();
  }

  void look_up(End& end) {
    for (auto at = end.lookups.begin(); at != end.lookups.end();) {
      if (tick_ < at->second.first) {
        ++at;
        continue;
      }
      std::optional<Key> secret;
      if (at->second.second >= 2) {
        for (std::uint8_t fill = 1; fill != 0; ++fill) {
          InjectedSecret candidate = some_secret(fill);
          if (candidate.id == at->first) secret = std::move(candidate.key);
        }
      } else if (at->second.second == 1) {
        secret = some_secret(255).key;
      }
      if (end.update && end.update->provide(at->first, std::move(secret)))
        step(end, end.update->proceed(end.keys, end.random, now()));
      at = end.lookups.erase(at);
    }
  }

  void send(End& from, End& to) {
    Packet packet{0, from.keys.epoch, from.next_number++, std::vector<std::byte>(1 + kTagSize), {}, {}};
    from.keys.send.seal_in_place(packet.number, {}, packet.sealed);
    // A frame goes out again now and then until it is acknowledged.
    for (const Reliable& frame : from.outbox) {
      if (random_.below(3) == 0) packet.frames.push_back(frame);
    }
    // An acknowledgement that is lost is made anew for the repeated frame.
    if (random_.below(2) == 0) packet.acknowledged = std::exchange(from.to_acknowledge, {});
    for (int copies = random_.below(10) == 0 ? 2 : 1; copies > 0; --copies) {
      if (random_.below(100) < loss_) continue;
      packet.arrival =
          tick_ + 1 + static_cast<int>(random_.below(static_cast<std::uint32_t>(longest_delay_)));
      to.arriving.push_back(packet);
    }
  }

  void receive(End& end) {
    std::vector<Packet> due;
    std::erase_if(end.arriving, [&](const Packet& packet) {
      if (packet.arrival > tick_) return false;
      due.push_back(packet);
      return true;
    });
    for (Packet& packet : due) open(end, packet);
  }

  void open(End& end, Packet& packet) {
    ReceiveKey* key = (packet.epoch & 3U) == (end.keys.epoch & 3U)
                          ? &end.keys.receive
                          : (end.update ? end.update->receive_key(packet.epoch & 3U, end.keys) : nullptr);
    // Nothing but the network loses a packet: `previous` is kept for longer than one can be on its way.
    REQUIRE(key != nullptr);
    REQUIRE(key->key.open_in_place(packet.number, {}, packet.sealed));
    if (end.update) step(end, end.update->on_opened(*key, end.keys, now(), milliseconds(3 * longest_delay_)));
    for (const std::uint64_t id : packet.acknowledged)
      std::erase_if(end.outbox, [&](const Reliable& frame) { return frame.id == id; });
    for (const Reliable& frame : packet.frames) {
      end.to_acknowledge.push_back(frame.id);
      if (!end.update) end.update = std::make_unique<KeyUpdate>(end.server);
      const Frame content = decoded(frame.bytes);
      switch (content.type) {
        case FrameType::kKeyUpdate:
          step(end,
               end.update->on_update(content.key_update, end.keys, end.random, now(), random_.below(4) != 0));
          break;
        case FrameType::kKeyUpdateReply:
          step(end, end.update->on_reply(content.key_update, end.keys));
          break;
        default:
          step(end, end.update->on_refused(content.key_update_refused, end.keys));
          break;
      }
    }
  }

  SeededRandom random_;
  std::uint32_t loss_;
  int longest_delay_;
  bool discards_;
  int tick_ = 0;
  std::uint64_t next_id_ = 0;
  std::vector<std::unique_ptr<End>> ends_;
};

TEST_CASE("key update: whatever the network does, both sides end with the same keys and nothing pending") {
  REQUIRE(initialise());
  Outcome totals;
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    INFO("seed " << seed);
    Model model(seed);
    model.run();
    totals.switched += model.totals.switched;
    totals.refused += model.totals.refused;
    totals.superseded += model.totals.superseded;
  }
  // All of it happened.
  CHECK(totals.switched > 300);
  CHECK(totals.refused > 50);
  CHECK(totals.superseded > 5);
}

}  // namespace
}  // namespace hawser
