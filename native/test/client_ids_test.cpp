#include "engine/client_ids.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "base/random.hpp"
#include "engine/token_history.hpp"

namespace hawser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SipKey kKey{5, 6};
constexpr milliseconds kSkew{60'000};

PeerReference peer(std::uint32_t number) { return {0, Handle{number, 1}}; }
TokenId token(std::uint8_t number) { return TokenId{std::byte{number}}; }

// An attempt with a token that was created at a time, by default at the same as all others.
AttemptOrder attempt(std::int64_t challenged_ms, std::int64_t created_ms = 0, std::uint64_t number = 0) {
  return {WallTime(milliseconds(created_ms)), Instant(milliseconds(challenged_ms)), number};
}
AttemptOrder netcode_attempt(std::int64_t challenged_ms) {
  return {kUnknownCreation, Instant(milliseconds(challenged_ms)), 0};
}

ClientIds client_ids(std::uint32_t max_peers, SameClientPolicy policy = SameClientPolicy::kReplace) {
  return ClientIds(kKey, max_peers, policy, kSkew);
}

// Reserves and connects at once, as with a token that is not for single use.
Settlement connect(ClientIds& ids, std::uint64_t client_id, const AttemptOrder& order, PeerReference who) {
  REQUIRE(ids.reserve(client_id, order, nullptr, who) == ReserveVerdict::kReserved);
  return ids.settle(client_id, who, true);
}

TEST_CASE("attempt order: a token newer by the clock skew decides, otherwise the time of the attempt") {
  struct Case {
    AttemptOrder newer;
    AttemptOrder older;
  };
  const std::int64_t skew = kSkew.count();
  const std::int64_t month = std::int64_t{30} * 86'400'000;
  for (const Case& each : {
           Case{attempt(10), attempt(9)},
           Case{attempt(10, 0), attempt(9, skew - 1)},
           Case{attempt(9, skew), attempt(10, 0)},
           Case{attempt(5, 0, 2), attempt(5, 0, 1)},
           Case{attempt(5, 0, kNoAttemptNumber), attempt(5, 0, 1)},
           Case{attempt(month), attempt(0)},
           Case{attempt(10, -1'000'000), netcode_attempt(9)},
           Case{netcode_attempt(10), attempt(9, 1'000'000)},
       }) {
    CHECK(is_newer(each.newer, each.older, kSkew));
    CHECK_FALSE(is_newer(each.older, each.newer, kSkew));
  }
  CHECK_FALSE(is_newer(attempt(1), attempt(1), kSkew));
  // Without tolerance every difference counts.
  CHECK(is_newer(attempt(1, 1), attempt(2, 0), milliseconds(0)));
  CHECK(is_newer(attempt(2, 0), attempt(1, 0), milliseconds(0)));
}

TEST_CASE("client ids: an id is released by the peer that has it, and by no other") {
  ClientIds ids = client_ids(10);
  CHECK(ids.would_reserve(1, attempt(0)) == ReserveVerdict::kReserved);
  CHECK(ids.places() == 0);
  CHECK(connect(ids, 1, attempt(0), peer(1)).outcome == SettleOutcome::kConnected);
  CHECK(ids.connected() == 1);
  ids.release(1, peer(2));
  ids.release(2, peer(1));
  CHECK(ids.connected() == 1);
  ids.release(1, peer(1));
  CHECK(ids.connected() == 0);
  CHECK(ids.places() == 0);
}

TEST_CASE("client ids: an older attempt never takes over from a newer session, in whatever order they come") {
  ClientIds ids = client_ids(1);
  CHECK(connect(ids, 1, attempt(100), peer(1)).peer == std::nullopt);
  for (const AttemptOrder& late : {attempt(99), attempt(100), attempt(500, -60'000)}) {
    CHECK(ids.would_reserve(1, late) == ReserveVerdict::kRefused);
    CHECK(ids.reserve(1, late, nullptr, peer(2)) == ReserveVerdict::kRefused);
  }
  CHECK(connect(ids, 1, attempt(101, -59'999), peer(2)).peer == peer(1));
  CHECK(ids.connected() == 1);
  // The replaced peer is ended later and releases nothing.
  ids.release(1, peer(1));
  CHECK(ids.connected() == 1);
  CHECK(connect(ids, 1, attempt(50, 60'000), peer(3)).peer == peer(2));
  CHECK(ids.places() == 1);
}

TEST_CASE("client ids: reject protects a connected peer, but not the reservation of an older attempt") {
  ClientIds ids = client_ids(10, SameClientPolicy::kReject);
  const TokenId first = token(1);
  CHECK(ids.reserve(1, attempt(0), &first, peer(1)) == ReserveVerdict::kReserved);
  CHECK(connect(ids, 1, attempt(5), peer(2)).outcome == SettleOutcome::kConnected);
  CHECK(ids.settle(1, peer(1), true).outcome == SettleOutcome::kLost);
  CHECK(ids.reserve(1, attempt(9), nullptr, peer(3)) == ReserveVerdict::kRefused);
  ids.release(1, peer(2));
  CHECK(ids.reserve(1, attempt(9), nullptr, peer(3)) == ReserveVerdict::kReserved);
}

TEST_CASE("client ids: an attempt without a creation time replaces nobody, and a later one may replace it") {
  ClientIds ids = client_ids(10);
  connect(ids, 1, attempt(0), peer(1));
  CHECK(ids.reserve(1, netcode_attempt(5), nullptr, peer(2)) == ReserveVerdict::kRefused);
  connect(ids, 2, netcode_attempt(5), peer(2));
  CHECK(ids.reserve(2, attempt(4), nullptr, peer(3)) == ReserveVerdict::kRefused);
  CHECK(connect(ids, 2, attempt(6), peer(3)).peer == peer(2));
}

TEST_CASE("client ids: connected peers and reservations together take no more places than allowed") {
  ClientIds ids = client_ids(2);
  connect(ids, 1, attempt(0), peer(1));
  CHECK(ids.reserve(2, attempt(0), nullptr, peer(2)) == ReserveVerdict::kReserved);
  CHECK(ids.places() == 2);
  CHECK(ids.connected() == 1);
  CHECK(ids.would_reserve(3, attempt(0)) == ReserveVerdict::kFull);
  CHECK(ids.reserve(3, attempt(0), nullptr, peer(3)) == ReserveVerdict::kFull);
  // Clients that have a place reuse it.
  CHECK(ids.reserve(1, attempt(1), nullptr, peer(4)) == ReserveVerdict::kReserved);
  CHECK(ids.reserve(2, attempt(1), nullptr, peer(5)) == ReserveVerdict::kReserved);
  CHECK(ids.places() == 2);
  // The place stays with the reservation when the connected peer leaves, and the other way round.
  ids.release(1, peer(1));
  CHECK(ids.places() == 2);
  CHECK(ids.connected() == 0);
  CHECK(ids.settle(1, peer(4), true).peer == std::nullopt);
  CHECK(ids.reserve(1, attempt(2), nullptr, peer(6)) == ReserveVerdict::kReserved);
  CHECK(ids.settle(1, peer(6), false).outcome == SettleOutcome::kReleased);
  CHECK(ids.places() == 2);
  CHECK(ids.connected() == 1);
  ids.release(2, peer(5));
  CHECK(ids.places() == 1);
  CHECK(ids.reserve(3, attempt(0), nullptr, peer(3)) == ReserveVerdict::kReserved);
}

TEST_CASE("client ids: a lower limit lets peers stay and refuses new ones until enough have left") {
  ClientIds ids = client_ids(3);
  for (std::uint32_t i = 1; i <= 3; ++i) connect(ids, i, attempt(0), peer(i));
  ids.set_max_peers(2);
  CHECK(ids.max_peers() == 2);
  CHECK(ids.connected() == 3);
  CHECK(ids.reserve(4, attempt(0), nullptr, peer(4)) == ReserveVerdict::kFull);
  CHECK(connect(ids, 3, attempt(1), peer(5)).peer == peer(3));
  ids.release(1, peer(1));
  CHECK(ids.reserve(4, attempt(0), nullptr, peer(4)) == ReserveVerdict::kFull);
  ids.release(2, peer(2));
  CHECK(ids.reserve(4, attempt(0), nullptr, peer(4)) == ReserveVerdict::kReserved);
  CHECK(ids.would_reserve(6, attempt(0)) == ReserveVerdict::kFull);
  ids.set_max_peers(3);
  CHECK(ids.reserve(6, attempt(0), nullptr, peer(6)) == ReserveVerdict::kReserved);
}

TEST_CASE("client ids: a newer attempt takes over a reservation, and an older one does not") {
  ClientIds ids = client_ids(1);
  CHECK(ids.reserve(1, attempt(10), nullptr, peer(1)) == ReserveVerdict::kReserved);
  CHECK(ids.reserve(1, attempt(9), nullptr, peer(2)) == ReserveVerdict::kRefused);
  CHECK(ids.reserve(1, attempt(11), nullptr, peer(3)) == ReserveVerdict::kReserved);
  CHECK(ids.settle(1, peer(1), true).outcome == SettleOutcome::kLost);
  ids.release(1, peer(1));
  CHECK(ids.places() == 1);
  CHECK(ids.settle(1, peer(3), true).outcome == SettleOutcome::kConnected);
  CHECK(ids.settle(1, peer(3), true).outcome == SettleOutcome::kLost);
}

TEST_CASE("client ids: the answer about a token is passed on to the attempt that took the reservation over") {
  ClientIds ids = client_ids(10);
  const TokenId first = token(1);
  const TokenId other = token(2);
  CHECK(ids.reserve(1, attempt(1), &first, peer(1)) == ReserveVerdict::kReserved);
  CHECK(ids.reserve(1, attempt(2), &first, peer(2)) == ReserveVerdict::kReservedAndAsked);
  CHECK(ids.reserve(1, attempt(3), &first, peer(3)) == ReserveVerdict::kReservedAndAsked);
  SUBCASE("whatever the answer is, once") {
    for (const bool accepted : {true, false}) {
      CAPTURE(accepted);
      const Settlement passed = ids.settle(1, peer(1), accepted);
      if (accepted) {
        CHECK(passed.outcome == SettleOutcome::kPassedOn);
        CHECK(passed.peer == peer(3));
      } else {
        CHECK(passed.outcome == SettleOutcome::kLost);
      }
    }
    CHECK(ids.settle(1, peer(3), true).outcome == SettleOutcome::kConnected);
  }
  SUBCASE("again, if the reservation was taken over while the answer was on its way") {
    CHECK(ids.settle(1, peer(1), true).peer == peer(3));
    CHECK(ids.reserve(1, attempt(4), &first, peer(4)) == ReserveVerdict::kReservedAndAsked);
    CHECK(ids.settle(1, peer(3), true).peer == peer(4));
    CHECK(ids.settle(1, peer(4), true).outcome == SettleOutcome::kConnected);
  }
  SUBCASE("but not to an attempt with another token") {
    CHECK(ids.reserve(1, attempt(4), &other, peer(4)) == ReserveVerdict::kReserved);
    CHECK(ids.settle(1, peer(1), true).outcome == SettleOutcome::kLost);
    CHECK(ids.settle(1, peer(4), false).outcome == SettleOutcome::kReleased);
  }
  SUBCASE("and without a peer that is asked, the next attempt asks again") {
    ids.release(1, peer(1));
    CHECK(ids.reserve(1, attempt(4), &first, peer(4)) == ReserveVerdict::kReserved);
    CHECK(ids.settle(1, peer(4), true).outcome == SettleOutcome::kConnected);
  }
  SUBCASE("and when the new attempt ends first, there is no reservation left") {
    ids.release(1, peer(3));
    CHECK(ids.settle(1, peer(1), true).outcome == SettleOutcome::kLost);
    CHECK(ids.places() == 0);
  }
}

TEST_CASE("client ids: thousands come and go") {
  ClientIds ids = client_ids(5000);
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t i = 0; i < 5000; ++i) connect(ids, i, attempt(0), peer(i));
    CHECK(ids.connected() == 5000);
    for (std::uint32_t i = 0; i < 5000; ++i) ids.release(i, peer(i));
    CHECK(ids.places() == 0);
  }
}

TEST_CASE(
    "client ids: of many threads exactly one connects each id first, and the newest has it in the end") {
  constexpr std::uint32_t kThreads = 4;
  ClientIds ids = client_ids(1000);
  std::atomic<int> first = 0;
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint32_t i = 0; i < 500; ++i) {
        const AttemptOrder order = attempt(thread);
        if (ids.reserve(i, order, nullptr, peer(thread)) != ReserveVerdict::kReserved) continue;
        const Settlement settlement = ids.settle(i, peer(thread), true);
        if (settlement.outcome == SettleOutcome::kConnected && !settlement.peer) ++first;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(first == 500);
  CHECK(ids.connected() == 500);
  for (std::uint32_t i = 0; i < 500; ++i) ids.release(i, peer(kThreads - 1));
  CHECK(ids.places() == 0);
}

TEST_CASE("client ids: threads that race for places waste no token and exceed no limit") {
  constexpr std::uint32_t kThreads = 4;
  constexpr std::uint32_t kIds = 64;
  constexpr std::uint32_t kPlaces = 40;
  ClientIds ids = client_ids(kPlaces);
  TokenHistory history(kKey, kIds);
  struct Outcome {
    int connected = 0;
    int consumed = 0;
    std::vector<std::pair<std::uint64_t, PeerReference>> passed;
    std::vector<std::pair<std::uint64_t, PeerReference>> waiting;
  };
  std::array<Outcome, kThreads> outcomes;
  std::atomic<bool> exceeded = false;
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Outcome& own = outcomes[thread];
      for (std::uint32_t i = 0; i < kIds; ++i) {
        const TokenId id = token(static_cast<std::uint8_t>(i));
        const PeerReference self{thread, Handle{i, 1}};
        const ReserveVerdict verdict = ids.reserve(i, attempt(thread), &id, self);
        if (ids.places() > kPlaces) exceeded = true;
        if (verdict == ReserveVerdict::kReservedAndAsked) own.waiting.emplace_back(i, self);
        if (verdict != ReserveVerdict::kReserved) continue;
        const bool consumed =
            history.consume(id, WallTime(seconds(60)), WallTime(seconds(1))) == ConsumeVerdict::kConsumed;
        if (consumed) ++own.consumed;
        const Settlement settlement = ids.settle(i, self, consumed);
        if (settlement.outcome == SettleOutcome::kConnected) ++own.connected;
        if (settlement.outcome == SettleOutcome::kPassedOn && consumed)
          own.passed.emplace_back(i, *settlement.peer);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(exceeded);
  int connected = 0;
  int consumed = 0;
  for (const Outcome& each : outcomes) {
    connected += each.connected;
    consumed += each.consumed;
    // Each answer leads to the newest attempt, which has been waiting for it.
    for (auto [id, to] : each.passed) {
      const auto& waiting = outcomes[to.shard].waiting;
      CHECK(std::ranges::find(waiting, std::pair{id, to}) != waiting.end());
      Settlement settlement = ids.settle(id, to, true);
      while (settlement.outcome == SettleOutcome::kPassedOn)
        settlement = ids.settle(id, *settlement.peer, true);
      connected += settlement.outcome == SettleOutcome::kConnected ? 1 : 0;
    }
  }
  CHECK(connected == consumed);
  CHECK(ids.connected() == kPlaces);
  CHECK(ids.places() == kPlaces);
}

}  // namespace
}  // namespace hawser
