#include "engine/token_history.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <thread>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr SipKey kKey{3, 4};
const WallTime kStart(milliseconds(1'700'000'000'250));

TokenId token(std::uint64_t number) {
  TokenId id{};
  store_little_endian(id.data(), number);
  return id;
}

TEST_CASE("token history: a token is consumed once") {
  TokenHistory history(kKey, 10);
  CHECK_FALSE(history.contains(token(1), kStart));
  CHECK(history.consume(token(1), kStart + hours(1), kStart) == ConsumeVerdict::kConsumed);
  CHECK(history.contains(token(1), kStart));
  CHECK(history.consume(token(1), kStart + hours(1), kStart) == ConsumeVerdict::kAlreadyUsed);
  CHECK(history.consume(token(2), kStart + hours(1), kStart) == ConsumeVerdict::kConsumed);
  CHECK(history.size(kStart) == 2);
}

TEST_CASE("token history: remembered until its time, and up to a second longer") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + milliseconds(300);
  CHECK(history.consume(token(1), keep_until, kStart) == ConsumeVerdict::kConsumed);
  CHECK(history.contains(token(1), keep_until));
  CHECK_FALSE(history.contains(token(1), keep_until + seconds(1)));
  CHECK(history.size(keep_until + seconds(1)) == 0);
}

TEST_CASE("token history: a full history refuses and forgets nothing") {
  TokenHistory history(kKey, 2);
  CHECK(history.consume(token(1), kStart + seconds(10), kStart) == ConsumeVerdict::kConsumed);
  CHECK(history.consume(token(2), kStart + seconds(20), kStart) == ConsumeVerdict::kConsumed);
  CHECK(history.consume(token(3), kStart + seconds(5), kStart) == ConsumeVerdict::kHistoryFull);
  CHECK(history.consume(token(1), kStart + seconds(10), kStart) == ConsumeVerdict::kAlreadyUsed);
  const WallTime later = kStart + seconds(11);
  CHECK(history.consume(token(3), later + seconds(5), later) == ConsumeVerdict::kConsumed);
  CHECK(history.contains(token(2), later));
}

TEST_CASE("token history: a token that lives for days is kept through every round of the calendar") {
  TokenHistory history(kKey, 10);
  const WallTime keep_until = kStart + hours(24 * 30);
  CHECK(history.consume(token(1), keep_until, kStart) == ConsumeVerdict::kConsumed);
  for (WallTime now = kStart; now <= keep_until; now += hours(1)) REQUIRE(history.contains(token(1), now));
  CHECK_FALSE(history.contains(token(1), keep_until + seconds(1)));
}

TEST_CASE("token history: a wall clock that goes back opens nothing") {
  TokenHistory history(kKey, 10);
  CHECK(history.consume(token(1), kStart + seconds(10), kStart) == ConsumeVerdict::kConsumed);
  // A jump forward, so that the token is forgotten, and back to where it would count again.
  CHECK_FALSE(history.contains(token(1), kStart + hours(1)));
  CHECK(history.consume(token(1), kStart + seconds(10), kStart) == ConsumeVerdict::kHistoryFull);
  CHECK(history.consume(token(2), kStart + hours(2), kStart) == ConsumeVerdict::kConsumed);
  CHECK(history.consume(token(2), kStart + hours(2), kStart - hours(1)) == ConsumeVerdict::kAlreadyUsed);
}

TEST_CASE("token history: agrees with a map of times") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t max = 1 + random.below(3000);
    TokenHistory history(kKey, max);
    std::map<std::uint64_t, std::int64_t> model;  // the second in which each may be forgotten
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
      std::erase_if(model, [&](const auto& entry) { return entry.second < present; });
      const std::uint64_t number = random.below(5000);
      const std::uint32_t longest = random.below(20) == 0 ? 90'000 : 300;
      const WallTime keep_until = now + milliseconds(random.below(longest * 1000));
      const ConsumeVerdict expected = model.contains(number) ? ConsumeVerdict::kAlreadyUsed
                                      : second(keep_until) < present || model.size() == max
                                          ? ConsumeVerdict::kHistoryFull
                                          : ConsumeVerdict::kConsumed;
      REQUIRE(history.contains(token(number), now) == model.contains(number));
      REQUIRE(history.consume(token(number), keep_until, now) == expected);
      if (expected == ConsumeVerdict::kConsumed) model[number] = second(keep_until);
      REQUIRE(history.size(now) == model.size());
    }
  }
}

TEST_CASE("token history: of many threads exactly one consumes") {
  TokenHistory history(kKey, 10'000);
  std::atomic<int> consumed = 0;
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&] {
      for (std::uint64_t i = 0; i < 500; ++i) {
        if (history.consume(token(i), kStart + hours(1), kStart) == ConsumeVerdict::kConsumed)
          consumed.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(consumed == 500);
}

TEST_CASE("token history: a quiet history does not allocate, a flood's memory goes back") {
  TokenHistory history(kKey, 100'000);
  WallTime now = kStart;
  const auto consume = [&](std::uint64_t number) {
    return history.consume(token(number), now + seconds(5), now);
  };
  for (std::uint64_t i = 0; i < 16; ++i) CHECK(consume(i) == ConsumeVerdict::kConsumed);
  now += seconds(7);
  {
    const AllocationCount allocations;
    for (std::uint64_t i = 100; i < 1000; ++i) {
      CHECK(consume(i) == ConsumeVerdict::kConsumed);
      now += seconds(1);
    }
    CHECK(allocations.count() == 0);
  }
  for (std::uint64_t i = 1000; i < 50'000; ++i) CHECK(consume(i) == ConsumeVerdict::kConsumed);
  now += seconds(7);
  CHECK(history.size(now) == 0);
  const AllocationCount allocations;
  CHECK(consume(1) == ConsumeVerdict::kConsumed);
  CHECK(allocations.count() > 0);
}

}  // namespace
}  // namespace hawser
