#include "engine/client_ids.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

namespace hawser {
namespace {

using std::chrono::milliseconds;

constexpr SipKey kKey{5, 6};

WallTime at(std::int64_t ms) { return WallTime(milliseconds(ms)); }
PeerReference peer(std::uint32_t number) { return {0, Handle{number, 1}}; }

TEST_CASE("client ids: a free id is claimed, and released by its holder only") {
  ClientIds ids(kKey, 10, SameClientPolicy::kReplace);
  CHECK(ids.would_claim(1, at(0)) == ClaimVerdict::kClaimed);
  CHECK(ids.connected() == 0);
  CHECK(ids.claim(1, at(0), peer(1)).verdict == ClaimVerdict::kClaimed);
  CHECK(ids.connected() == 1);
  ids.release(1, peer(2));
  ids.release(2, peer(1));
  CHECK(ids.connected() == 1);
  ids.release(1, peer(1));
  CHECK(ids.connected() == 0);
}

TEST_CASE("client ids: replace lets a token take over that is no older") {
  ClientIds ids(kKey, 1, SameClientPolicy::kReplace);
  CHECK(ids.claim(1, at(100), peer(1)).verdict == ClaimVerdict::kClaimed);
  CHECK(ids.would_claim(1, at(99)) == ClaimVerdict::kRefused);
  CHECK(ids.claim(1, at(99), peer(2)).verdict == ClaimVerdict::kRefused);
  CHECK(ids.would_claim(1, at(100)) == ClaimVerdict::kReplaces);
  const Claim claim = ids.claim(1, at(100), peer(2));
  CHECK(claim.verdict == ClaimVerdict::kReplaces);
  CHECK(claim.replaced == peer(1));
  CHECK(ids.connected() == 1);
  // The one that was replaced goes later, and takes nothing along.
  ids.release(1, peer(1));
  CHECK(ids.connected() == 1);
  CHECK(ids.claim(1, at(200), peer(3)).replaced == peer(2));
  CHECK(ids.would_claim(1, at(199)) == ClaimVerdict::kRefused);
}

TEST_CASE("client ids: reject refuses while the other is connected") {
  ClientIds ids(kKey, 10, SameClientPolicy::kReject);
  CHECK(ids.claim(1, at(0), peer(1)).verdict == ClaimVerdict::kClaimed);
  CHECK(ids.claim(1, at(5), peer(2)).verdict == ClaimVerdict::kRefused);
  ids.release(1, peer(1));
  CHECK(ids.claim(1, at(5), peer(2)).verdict == ClaimVerdict::kClaimed);
}

TEST_CASE("client ids: no more peers than allowed") {
  ClientIds ids(kKey, 2, SameClientPolicy::kReplace);
  CHECK(ids.claim(1, at(0), peer(1)).verdict == ClaimVerdict::kClaimed);
  CHECK(ids.claim(2, at(0), peer(2)).verdict == ClaimVerdict::kClaimed);
  CHECK(ids.would_claim(3, at(0)) == ClaimVerdict::kFull);
  CHECK(ids.claim(3, at(0), peer(3)).verdict == ClaimVerdict::kFull);
  CHECK(ids.claim(2, at(0), peer(3)).verdict == ClaimVerdict::kReplaces);
  ids.release(1, peer(1));
  CHECK(ids.claim(3, at(0), peer(4)).verdict == ClaimVerdict::kClaimed);
}

TEST_CASE(
    "client ids: with fewer allowed than there are, they stay, and nobody is let in until enough left") {
  ClientIds ids(kKey, 3, SameClientPolicy::kReplace);
  for (std::uint32_t i = 1; i <= 3; ++i)
    REQUIRE(ids.claim(i, at(0), peer(i)).verdict == ClaimVerdict::kClaimed);
  ids.set_max_peers(2);
  CHECK(ids.max_peers() == 2);
  CHECK(ids.connected() == 3);
  CHECK(ids.claim(4, at(0), peer(4)).verdict == ClaimVerdict::kFull);
  // Whoever has a place keeps it with another connection.
  CHECK(ids.claim(3, at(0), peer(5)).verdict == ClaimVerdict::kReplaces);
  ids.release(1, peer(1));
  CHECK(ids.claim(4, at(0), peer(4)).verdict == ClaimVerdict::kFull);
  ids.release(2, peer(2));
  CHECK(ids.claim(4, at(0), peer(4)).verdict == ClaimVerdict::kClaimed);
  CHECK(ids.would_claim(6, at(0)) == ClaimVerdict::kFull);
  ids.set_max_peers(3);
  CHECK(ids.claim(6, at(0), peer(6)).verdict == ClaimVerdict::kClaimed);
}

TEST_CASE("client ids: thousands come and go") {
  ClientIds ids(kKey, 5000, SameClientPolicy::kReplace);
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t i = 0; i < 5000; ++i)
      REQUIRE(ids.claim(i, at(0), peer(i)).verdict == ClaimVerdict::kClaimed);
    CHECK(ids.connected() == 5000);
    for (std::uint32_t i = 0; i < 5000; ++i) ids.release(i, peer(i));
    CHECK(ids.connected() == 0);
  }
}

TEST_CASE(
    "client ids: of many threads exactly one claims each id first, and exactly one holds it in the end") {
  ClientIds ids(kKey, 1000, SameClientPolicy::kReplace);
  std::atomic<int> claimed = 0;
  std::atomic<int> replaced = 0;
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint32_t i = 0; i < 500; ++i) {
        const Claim claim = ids.claim(i, at(0), peer(thread));
        (claim.verdict == ClaimVerdict::kClaimed ? claimed : replaced).fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(claimed == 500);
  CHECK(replaced == 1500);
  CHECK(ids.connected() == 500);
}

}  // namespace
}  // namespace hawser
