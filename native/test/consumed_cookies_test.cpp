#include "engine/consumed_cookies.hpp"

#include <doctest/doctest.h>

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

using std::chrono::milliseconds;
using std::chrono::seconds;
using Verdict = CookieUse::Verdict;

constexpr SipKey kKey{1, 2};
const Instant kStart(seconds(100));

CookieMac cookie(std::uint64_t number) {
  CookieMac mac{};
  store_little_endian(mac.data(), number);
  return mac;
}

Hash256 response(std::uint64_t number) {
  Hash256 hash{};
  store_little_endian(hash.data() + 5, number);
  return hash;
}

PeerReference session(std::uint32_t number) { return {number % 4, Handle{number, number + 1}}; }

TEST_CASE("consumed cookies: the first RESPONSE consumes, the same one is known again, another is not") {
  ConsumedCookies cookies(kKey, 10);
  CHECK(cookies.find(cookie(1), response(1), kStart).verdict == Verdict::kFresh);
  CHECK(cookies.consume(cookie(1), response(1), session(5), kStart).verdict == Verdict::kFresh);
  const CookieUse again = cookies.find(cookie(1), response(1), kStart);
  CHECK(again.verdict == Verdict::kSameResponse);
  CHECK(again.session == session(5));
  CHECK(cookies.find(cookie(1), response(2), kStart).verdict == Verdict::kOther);
  CHECK(cookies.consume(cookie(1), response(2), session(6), kStart).verdict == Verdict::kOther);
  CHECK(cookies.consume(cookie(1), response(1), session(6), kStart).verdict == Verdict::kSameResponse);
  CHECK(cookies.find(cookie(1), response(1), kStart).session == session(5));
}

TEST_CASE("consumed cookies: tell which shard consumed one, for as long as it is remembered") {
  ConsumedCookies cookies(kKey, 10);
  CHECK_FALSE(cookies.consumer_of(cookie(1), kStart).has_value());
  CHECK(cookies.consume(cookie(1), response(1), session(3), kStart).verdict == Verdict::kFresh);
  CHECK(cookies.consumer_of(cookie(1), kStart) == 3U);
  CHECK_FALSE(cookies.consumer_of(cookie(2), kStart).has_value());
  CHECK_FALSE(cookies.consumer_of(cookie(1), kStart + seconds(6)).has_value());
  CHECK(cookies.consume(cookie(2), response(2), session(2), kStart + seconds(6)).verdict == Verdict::kFresh);
  CHECK(cookies.consumer_of(cookie(2), kStart + seconds(6)) == 2U);
}

TEST_CASE("consumed cookies: what a thread is told of a shard while others consume is right") {
  ConsumedCookies cookies(kKey, 65'536);
  constexpr std::uint32_t kCookies = 2'000;
  std::atomic<bool> done = false;
  bool right = true;
  std::thread asking([&] {
    for (std::uint32_t i = 0; !done; i = (i + 1) % kCookies) {
      const auto shard = cookies.consumer_of(cookie(i), kStart);
      right = right && (!shard || *shard == session(i).shard);
    }
  });
  for (std::uint32_t i = 0; i < kCookies; ++i)
    REQUIRE(cookies.consume(cookie(i), response(i), session(i), kStart).verdict == Verdict::kFresh);
  done = true;
  asking.join();
  CHECK(right);
  for (std::uint32_t i = 0; i < kCookies; ++i)
    REQUIRE(cookies.consumer_of(cookie(i), kStart) == session(i).shard);
}

TEST_CASE("consumed cookies: remembered for six seconds") {
  ConsumedCookies cookies(kKey, 10);
  CHECK(cookies.consume(cookie(1), response(1), session(1), kStart).verdict == Verdict::kFresh);
  CHECK(cookies.find(cookie(1), response(1), kStart + seconds(6) - Duration(1)).verdict ==
        Verdict::kSameResponse);
  CHECK(cookies.find(cookie(1), response(1), kStart + seconds(6)).verdict == Verdict::kFresh);
}

TEST_CASE("consumed cookies: a full table refuses and forgets nothing") {
  ConsumedCookies cookies(kKey, 3);
  for (std::uint32_t i = 0; i < 3; ++i)
    CHECK(cookies.consume(cookie(i), response(i), session(i), kStart + seconds(i)).verdict ==
          Verdict::kFresh);
  const Instant now = kStart + seconds(3);
  CHECK(cookies.find(cookie(9), response(9), now).verdict == Verdict::kFull);
  CHECK(cookies.consume(cookie(9), response(9), session(9), now).verdict == Verdict::kFull);
  for (std::uint32_t i = 0; i < 3; ++i)
    CHECK(cookies.consume(cookie(i), response(i), session(i), now).verdict == Verdict::kSameResponse);
  CHECK(cookies.consume(cookie(9), response(9), session(9), kStart + seconds(6)).verdict == Verdict::kFresh);
  CHECK(cookies.find(cookie(0), response(0), kStart + seconds(6)).verdict == Verdict::kFull);
}

TEST_CASE("consumed cookies: agrees with a map of consumption times") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t max = 1 + random.below(500);
    ConsumedCookies cookies(kKey, max);
    std::map<std::uint64_t, Instant> model;
    Instant now = kStart;
    for (std::uint32_t step = 0; step < 20'000; ++step) {
      now += random.below(1000) == 0 ? Duration(seconds(20)) : Duration(random.below(30'000));
      std::erase_if(model, [&](const auto& entry) { return now - entry.second >= seconds(6); });
      const std::uint64_t number = random.below(2000);
      const CookieUse use = cookies.consume(cookie(number), response(number), session(step), now);
      const Verdict expected = model.contains(number) ? Verdict::kSameResponse
                               : model.size() == max  ? Verdict::kFull
                                                      : Verdict::kFresh;
      REQUIRE(use.verdict == expected);
      if (expected == Verdict::kFresh) model[number] = now;
      REQUIRE(cookies.size(now) == model.size());
    }
  }
}

TEST_CASE("consumed cookies: of many threads exactly one consumes") {
  ConsumedCookies cookies(kKey, 65'536);
  constexpr std::uint32_t kCookies = 500;
  std::atomic<std::uint32_t> consumed = 0;
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < 4; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint32_t i = 0; i < kCookies; ++i) {
        const CookieUse use = cookies.consume(cookie(i), response(thread), session(thread), kStart);
        if (use.verdict == Verdict::kFresh) consumed.fetch_add(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(consumed == kCookies);
  CHECK(cookies.size(kStart) == kCookies);
}

TEST_CASE("consumed cookies: a quiet table does not allocate, a flood's memory goes back") {
  ConsumedCookies cookies(kKey, 65'536);
  Instant now = kStart;
  // As many as are remembered at one rate.
  for (std::uint32_t i = 0; i < 10; ++i) {
    now += seconds(1);
    CHECK(cookies.consume(cookie(i), response(i), session(i), now).verdict == Verdict::kFresh);
  }
  {
    const AllocationCount allocations;
    for (std::uint32_t i = 10; i < 1000; ++i) {
      now += seconds(1);
      CHECK(cookies.consume(cookie(i), response(i), session(i), now).verdict == Verdict::kFresh);
    }
    CHECK(allocations.count() == 0);
  }
  for (std::uint32_t i = 1000; i < 50'000; ++i)
    CHECK(cookies.consume(cookie(i), response(i), session(i), now).verdict == Verdict::kFresh);
  now += seconds(6);
  CHECK(cookies.size(now) == 0);
  const AllocationCount allocations;
  CHECK(cookies.consume(cookie(1), response(1), session(1), now).verdict == Verdict::kFresh);
  CHECK(allocations.count() > 0);
}

}  // namespace
}  // namespace hawser
