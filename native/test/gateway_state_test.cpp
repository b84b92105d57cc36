#include "engine/gateway_state.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

const SocketAddress kPublic = SocketAddress::ipv4({203, 0, 113, 7}, 4000);
const SocketAddress kPublic6 =
    SocketAddress::ipv6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 4000, /*scope_id=*/3);
const SocketAddress kOther = SocketAddress::ipv4({203, 0, 113, 8}, 4000);
const WallTime kStarted(milliseconds(1'700'000'000'000));

Key key_of(std::uint8_t fill) {
  std::array<std::byte, 32> bytes{};
  bytes.fill(std::byte{fill});
  return Key(std::span<const std::byte, 32>(bytes));
}

std::vector<ServerKey> keys_of(std::initializer_list<std::uint8_t> ids) {
  std::vector<ServerKey> keys;
  for (const std::uint8_t id : ids) keys.push_back({id, key_of(id)});
  return keys;
}

GatewayOptions options() {
  GatewayOptions result;
  result.protocol_id = 42;
  result.keys = keys_of({1, 2});
  result.advertised_addresses = {kPublic, kPublic6};
  result.started = kStarted;
  result.clock_skew = seconds(5);
  result.restart_guard = seconds(7);
  return result;
}

struct Fixture {
  SeededRandom random{7};
  GatewayState state{options(), random};
};

TEST_CASE_FIXTURE(Fixture, "gateway state: keys are found by their id and can be rolled") {
  REQUIRE(state.key(1) != nullptr);
  CHECK(state.key(1)->bytes()[0] == std::byte{1});
  CHECK(state.key(3) == nullptr);
  CHECK(state.options().keys.empty());
  CHECK(state.options().protocol_id == 42);
  const auto held = state.key(1);
  state.set_keys(keys_of({2, 3}));
  CHECK(state.key(1) == nullptr);
  CHECK(state.key(2)->bytes()[0] == std::byte{2});
  CHECK(state.key(3)->bytes()[0] == std::byte{3});
  CHECK(held->bytes()[0] == std::byte{1});
}

TEST_CASE_FIXTURE(Fixture, "gateway state: advertised addresses, whatever their form") {
  CHECK(state.is_advertised(kPublic));
  CHECK_FALSE(state.is_advertised(kOther));
  SocketAddress other_port = kPublic;
  other_port.port = 4001;
  CHECK_FALSE(state.is_advertised(other_port));
  const SocketAddress mapped =
      SocketAddress::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7}, 4000);
  CHECK(state.is_advertised(mapped));
  SocketAddress without_scope = kPublic6;
  without_scope.scope_id = 0;
  CHECK(state.is_advertised(without_scope));
}

TEST_CASE("gateway state: the restart rule for single-use tokens") {
  SeededRandom random(1);
  const WallTime first_allowed = kStarted + seconds(7);
  const std::array own{kPublic, kPublic6};
  const std::array mixed{kPublic, kOther};
  SUBCASE("own history") {
    const GatewayState state(options(), random);
    CHECK(state.single_use_allowed(first_allowed, own));
    CHECK_FALSE(state.single_use_allowed(first_allowed - milliseconds(1), own));
    CHECK_FALSE(state.single_use_allowed(first_allowed, mixed));
  }
  SUBCASE("a history that is shared, and forgets in a restart") {
    GatewayOptions external = options();
    external.external_token_history = true;
    const GatewayState state(std::move(external), random);
    CHECK(state.single_use_allowed(first_allowed, mixed));
    CHECK_FALSE(state.single_use_allowed(first_allowed - milliseconds(1), own));
  }
  SUBCASE("a history that outlives the process") {
    GatewayOptions external = options();
    external.external_token_history = true;
    external.restart_guard = std::nullopt;
    const GatewayState state(std::move(external), random);
    CHECK(state.single_use_allowed(WallTime{}, mixed));
  }
}

TEST_CASE_FIXTURE(Fixture, "gateway state: a token is remembered until it expires, plus the skew") {
  const TokenId token{std::byte{9}};
  const WallTime expire = kStarted + seconds(60);
  CHECK_FALSE(state.is_consumed(token, kStarted));
  CHECK(state.consume(token, expire, kStarted) == ConsumeVerdict::kConsumed);
  CHECK(state.is_consumed(token, expire + milliseconds(5'000)));
  CHECK(state.consume(token, expire, expire + milliseconds(5'000)) == ConsumeVerdict::kAlreadyUsed);
  CHECK_FALSE(state.is_consumed(token, expire + milliseconds(6'000)));
}

TEST_CASE("gateway state: an external history is asked") {
  GatewayOptions external = options();
  external.external_token_history = true;
  SeededRandom random(1);
  GatewayState state(std::move(external), random);
  const TokenId token{std::byte{9}};
  CHECK(state.consume(token, kStarted + seconds(60), kStarted) == ConsumeVerdict::kAskOutside);
  CHECK_FALSE(state.is_consumed(token, kStarted));
}

TEST_CASE("gateway state: its memory is what its tables hold, of every kind") {
  GatewayOptions with_netcode = options();
  with_netcode.netcode.emplace();
  SeededRandom random(7);
  GatewayState state(std::move(with_netcode), random);
  const PeerReference peer{1, Handle{2, 3}};
  std::size_t before = state.memory_bytes();
  const auto has_grown = [&] { return std::exchange(before, state.memory_bytes()) < before; };
  CHECK(before == 0);
  CHECK(state.reserve(5, AttemptOrder{kStarted}, nullptr, peer) == ReserveVerdict::kReserved);
  CHECK(has_grown());
  CHECK(state.settle(5, peer, true).outcome == SettleOutcome::kConnected);
  CHECK(has_grown());
  CHECK(state.consume_cookie(CookieMac{}, Hash256{}, peer, Instant(seconds(1))).verdict ==
        CookieUse::Verdict::kFresh);
  CHECK(has_grown());
  CHECK(state.consume(TokenId{}, kStarted + seconds(60), kStarted) == ConsumeVerdict::kConsumed);
  CHECK(has_grown());
  CHECK(state.netcode()->use({}, kPublic, 1'700'000'060, kStarted) == netcode::TokenUse::kFirst);
  CHECK(has_grown());
}

TEST_CASE_FIXTURE(Fixture, "gateway state: records, cookies and client ids are shared by all who hold it") {
  const Instant now(seconds(1));
  const auto record = state.current_record(now);
  CHECK(state.record(record->index, now) == record);
  CHECK(state.erase_old_records(now) == now + seconds(6));
  CHECK(state.erase_old_records(now + seconds(6)) == kNever);

  const CookieMac mac{std::byte{1}};
  const Hash256 response{std::byte{2}};
  const PeerReference peer{1, Handle{2, 3}};
  CHECK(state.find_cookie(mac, response, now).verdict == CookieUse::Verdict::kFresh);
  CHECK(state.consume_cookie(mac, response, peer, now).verdict == CookieUse::Verdict::kFresh);
  CHECK(state.find_cookie(mac, response, now).session == peer);

  CHECK(state.next_attempt_number() == 0);
  CHECK(state.next_attempt_number() == 1);
  CHECK(state.reserve(5, AttemptOrder{kStarted, now}, nullptr, peer) == ReserveVerdict::kReserved);
  CHECK(state.places() == 1);
  CHECK(state.settle(5, peer, true).outcome == SettleOutcome::kConnected);
  CHECK(state.would_reserve(5, AttemptOrder{kStarted, now - seconds(1)}) == ReserveVerdict::kRefused);
  CHECK(state.would_reserve(5, AttemptOrder{kStarted, now + seconds(1)}) == ReserveVerdict::kReserved);
  CHECK(state.connected() == 1);
  state.release(5, peer);
  CHECK(state.connected() == 0);
}

TEST_CASE("gateway state: how many are let in can be changed, up to what there is room for") {
  GatewayOptions two = options();
  two.max_peers = 2;
  SeededRandom random(7);
  GatewayState state(std::move(two), random);
  CHECK(state.max_peers() == 2);
  state.set_max_peers(1);
  CHECK(state.max_peers() == 1);
  CHECK(state.options().max_peers == 2);
  CHECK(state.reserve(5, AttemptOrder{kStarted}, nullptr, PeerReference{1, Handle{2, 3}}) ==
        ReserveVerdict::kReserved);
  CHECK(state.would_reserve(6, AttemptOrder{kStarted}) == ReserveVerdict::kFull);
  state.set_max_peers(2);
  CHECK(state.would_reserve(6, AttemptOrder{kStarted}) == ReserveVerdict::kReserved);
}

TEST_CASE_FIXTURE(Fixture, "gateway state: draining begins and does not end") {
  CHECK_FALSE(state.draining());
  state.start_draining();
  CHECK(state.draining());
}

TEST_CASE_FIXTURE(Fixture, "gateway state: keys and records can be used while others replace them") {
  std::atomic<bool> stop = false;
  std::atomic<bool> wrong = false;
  std::thread user([&] {
    while (!stop) {
      const auto key = state.key(2);
      if (key == nullptr || !std::ranges::all_of(key->bytes(), [](std::byte b) { return b == std::byte{2}; }))
        wrong = true;
      const auto record = state.current_record(Instant(seconds(1)));
      if (record == nullptr || all_zero(record->cookie_key.bytes())) wrong = true;
    }
  });
  for (int i = 0; i < 500; ++i) {
    state.set_keys(keys_of({2, 3}));
    state.set_keys(keys_of({1, 2}));
    state.erase_old_records(Instant(seconds(100)));
  }
  stop = true;
  user.join();
  CHECK_FALSE(wrong);
}

}  // namespace
}  // namespace hawser
