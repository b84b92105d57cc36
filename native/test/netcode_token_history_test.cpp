#include "engine/netcode_token_history.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser::netcode {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SipKey kKey{5, 6};
const WallTime kStart(milliseconds(1'700'000'000'250));

TokenTag tag(std::uint64_t number) {
  TokenTag result{};
  store_little_endian(result.data(), number);
  return result;
}

SocketAddress source(std::uint16_t number) { return SocketAddress::ipv4({192, 0, 2, 1}, number); }

TEST_CASE("netcode token history: the first source has the token to itself") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + hours(1);
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kSameSource);
  CHECK(history.use(tag(1), source(2), keep_until, kStart) == TokenUse::kUsed);
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kSameSource);
  CHECK(history.use(tag(2), source(2), keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.size(kStart) == 2);
}

TEST_CASE("netcode token history: another host, port, family or scope is another source") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + hours(1);
  const std::array<std::uint8_t, 16> ip{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  std::array<std::uint8_t, 16> other_ip = ip;
  other_ip[15] = 2;
  const SocketAddress first = SocketAddress::ipv6(ip, 7, 3);
  CHECK(history.use(tag(1), first, keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.use(tag(1), SocketAddress::ipv6(other_ip, 7, 3), keep_until, kStart) == TokenUse::kUsed);
  CHECK(history.use(tag(1), SocketAddress::ipv6(ip, 8, 3), keep_until, kStart) == TokenUse::kUsed);
  CHECK(history.use(tag(1), SocketAddress::ipv6(ip, 7, 4), keep_until, kStart) == TokenUse::kUsed);
  CHECK(history.use(tag(1), SocketAddress::ipv4({0xfe, 0x80, 0, 0}, 7), keep_until, kStart) ==
        TokenUse::kUsed);
  CHECK(history.use(tag(1), first, keep_until, kStart) == TokenUse::kSameSource);
}

TEST_CASE("netcode token history: once it has connected somebody, nobody uses it again") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + hours(1);
  CHECK_FALSE(history.consume(tag(1), kStart));
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.consume(tag(1), kStart));
  CHECK_FALSE(history.consume(tag(1), kStart));
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kUsed);
  CHECK(history.use(tag(1), source(2), keep_until, kStart) == TokenUse::kUsed);
  CHECK(history.size(kStart) == 1);
}

TEST_CASE("netcode token history: remembered until its time, and up to a second longer") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + milliseconds(300);
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.use(tag(2), source(2), keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.consume(tag(1), kStart));
  CHECK(history.use(tag(1), source(1), keep_until, keep_until) == TokenUse::kUsed);
  CHECK(history.use(tag(2), source(2), keep_until, keep_until) == TokenUse::kSameSource);
  const WallTime later = keep_until + seconds(1);
  CHECK_FALSE(history.consume(tag(2), later));
  CHECK(history.size(later) == 0);
}

TEST_CASE("netcode token history: forgotten neither early nor late, however far the clock moves at once") {
  // 16,384 seconds are one round of the calendar.
  for (const int moved : {1, 2, 16'383, 16'384, 16'385, 32'768, 1'000'000}) {
    CAPTURE(moved);
    TokenHistory history(kKey, 10);
    const WallTime keep_until = kStart + seconds(moved);
    CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kFirst);
    CHECK(history.use(tag(2), source(1), keep_until - seconds(1), kStart) == TokenUse::kFirst);
    CHECK(history.size(keep_until) == 1);
    CHECK(history.use(tag(1), source(2), keep_until, keep_until) == TokenUse::kUsed);
    CHECK(history.size(keep_until + seconds(1)) == 0);
  }
}

TEST_CASE("netcode token history: asking again does not lengthen how long it is remembered") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + seconds(5);
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.use(tag(1), source(1), keep_until + hours(1), kStart) == TokenUse::kSameSource);
  CHECK(history.size(keep_until + seconds(1)) == 0);
}

TEST_CASE("netcode token history: a full history refuses and forgets nothing") {
  TokenHistory history(kKey, 2);
  CHECK(history.use(tag(1), source(1), kStart + seconds(10), kStart) == TokenUse::kFirst);
  CHECK(history.use(tag(2), source(2), kStart + seconds(20), kStart) == TokenUse::kFirst);
  CHECK(history.use(tag(3), source(3), kStart + seconds(5), kStart) == TokenUse::kFull);
  CHECK_FALSE(history.consume(tag(3), kStart));
  CHECK(history.use(tag(1), source(1), kStart + seconds(10), kStart) == TokenUse::kSameSource);
  CHECK(history.use(tag(1), source(3), kStart + seconds(10), kStart) == TokenUse::kUsed);
  CHECK(history.consume(tag(2), kStart));
  const WallTime later = kStart + seconds(11);
  CHECK(history.use(tag(3), source(3), later + seconds(5), later) == TokenUse::kFirst);
  CHECK(history.use(tag(2), source(2), later + seconds(5), later) == TokenUse::kUsed);
}

TEST_CASE("netcode token history: a wall clock that goes back opens nothing") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + seconds(10);
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kFirst);
  CHECK(history.consume(tag(1), kStart));
  // A jump forward, so that the token is forgotten, and back to where it would count again.
  CHECK(history.size(kStart + hours(1)) == 0);
  CHECK(history.use(tag(1), source(1), keep_until, kStart) == TokenUse::kFull);
  CHECK(history.use(tag(2), source(1), kStart + hours(2), kStart) == TokenUse::kFirst);
  CHECK(history.use(tag(2), source(2), kStart + hours(2), kStart - hours(1)) == TokenUse::kUsed);
}

TEST_CASE("netcode token history: agrees with a map of times, sources and consumed tokens") {
  struct Known {
    std::int64_t second = 0;  // in which it may be forgotten
    std::uint16_t source = 0;
    bool consumed = false;
  };
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t max = 1 + random.below(3000);
    TokenHistory history(kKey, max);
    std::map<std::uint64_t, Known> model;
    const auto second = [](WallTime time) { return time.time_since_epoch().count() / 1000; };
    WallTime now = kStart;
    std::int64_t present = second(now);
    for (int step = 0; step < 20'000; ++step) {
      const std::uint32_t kind = random.below(2000);
      if (kind == 0) {
        now += seconds(random.below(100'000));
      } else if (kind == 1) {
        now -= seconds(random.below(5'000));
      } else {
        now += milliseconds(random.below(300));
      }
      present = std::max(present, second(now));
      std::erase_if(model, [&](const auto& entry) { return entry.second.second < present; });
      const std::uint64_t number = random.below(5000);
      const auto known = model.find(number);
      if (random.below(3) == 0) {
        const bool expected = known != model.end() && !known->second.consumed;
        REQUIRE(history.consume(tag(number), now) == expected);
        if (expected) known->second.consumed = true;
      } else {
        const auto from = static_cast<std::uint16_t>(1 + random.below(3));
        const std::uint32_t longest = random.below(20) == 0 ? 90'000 : 300;
        const WallTime keep_until = now + milliseconds(random.below(longest * 1000));
        TokenUse expected = TokenUse::kFirst;
        if (known != model.end()) {
          const bool refused = known->second.consumed || known->second.source != from;
          expected = refused ? TokenUse::kUsed : TokenUse::kSameSource;
        } else if (second(keep_until) < present || model.size() == max) {
          expected = TokenUse::kFull;
        }
        REQUIRE(history.use(tag(number), source(from), keep_until, now) == expected);
        if (expected == TokenUse::kFirst) model[number] = Known{second(keep_until), from, false};
      }
      REQUIRE(history.size(now) == model.size());
    }
  }
}

TEST_CASE("netcode token history: of many threads exactly one has a token, and one consumes it") {
  TokenHistory history(kKey, 10'000);
  std::atomic<int> first = 0;
  std::atomic<int> consumed = 0;
  std::vector<std::thread> threads;
  for (std::uint16_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t i = 0; i < 500; ++i) {
        if (history.use(tag(i), source(thread), kStart + hours(1), kStart) == TokenUse::kFirst)
          first.fetch_add(1);
        if (history.consume(tag(i), kStart)) consumed.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(first == 500);
  CHECK(consumed == 500);
}

TEST_CASE("netcode token history: a quiet history does not allocate, a flood's memory goes back") {
  TokenHistory history(kKey, 100'000);
  WallTime now = kStart;
  const auto use = [&](std::uint64_t number) {
    return history.use(tag(number), source(1), now + seconds(5), now);
  };
  for (std::uint64_t i = 0; i < 16; ++i) CHECK(use(i) == TokenUse::kFirst);
  now += seconds(7);
  {
    const AllocationCount allocations;
    for (std::uint64_t i = 100; i < 1000; ++i) {
      CHECK(use(i) == TokenUse::kFirst);
      CHECK(history.consume(tag(i), now));
      now += seconds(1);
    }
    CHECK(allocations.count() == 0);
  }
  for (std::uint64_t i = 1000; i < 50'000; ++i) CHECK(use(i) == TokenUse::kFirst);
  now += seconds(7);
  CHECK(history.size(now) == 0);
  const AllocationCount allocations;
  CHECK(use(1) == TokenUse::kFirst);
  CHECK(allocations.count() > 0);
}

}  // namespace
}  // namespace hawser::netcode
