#include "engine/ping_record.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>

#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

// A record with a pool of its own.
class Pings {
 public:
  Pings() = default;
  Pings(const Pings&) = delete;
  Pings& operator=(const Pings&) = delete;
  ~Pings() { record_.clear(pool_); }

  std::uint16_t sent(Instant now) { return record_.sent(pool_, now); }
  // Since the PING of that number was sent.
  std::optional<Duration> answered(std::uint16_t sequence, Instant now) {
    const auto answer = record_.answered(pool_, sequence, now);
    if (answer) since_last_ = answer->since_last;
    return answer ? std::optional(answer->elapsed) : std::nullopt;
  }
  // Between the last PING and the last answer.
  [[nodiscard]] Duration since_last() const { return since_last_; }
  [[nodiscard]] std::uint16_t count() const { return record_.count(); }
  [[nodiscard]] bool any_outstanding() const { return record_.any_outstanding(); }
  void clear() { record_.clear(pool_); }
  [[nodiscard]] std::uint32_t times_held() const { return pool_.size(); }

 private:
  PingTimesPool pool_{1};
  PingRecord record_;
  Duration since_last_{};
};

TEST_CASE("ping record: sequence numbers count from 0 and an answer gives the time since") {
  Pings record;
  Instant now(seconds(5));
  CHECK_FALSE(record.any_outstanding());
  CHECK(record.sent(now) == 0);
  CHECK(record.sent(now + milliseconds(100)) == 1);
  CHECK(record.any_outstanding());
  CHECK(record.count() == 2);
  CHECK(record.answered(0, now + milliseconds(130)) == milliseconds(130));
  CHECK(record.since_last() == milliseconds(30));
  CHECK(record.answered(1, now + milliseconds(151)) == milliseconds(51));
  CHECK(record.since_last() == milliseconds(51));
  CHECK_FALSE(record.any_outstanding());
}

TEST_CASE("ping record: an answer ends the wait for the PINGs before it, and for no later one") {
  const Instant now(seconds(1));
  for (unsigned answered = 0; answered < PingRecord::kOutstanding; ++answered) {
    for (unsigned other = 0; other < PingRecord::kOutstanding; ++other) {
      CAPTURE(answered);
      CAPTURE(other);
      Pings record;
      // So that the places of those outstanding begin in the middle.
      const unsigned first = 5;
      for (unsigned i = 0; i < first + PingRecord::kOutstanding; ++i) record.sent(now);
      REQUIRE(record.answered(static_cast<std::uint16_t>(first + answered), now) == Duration::zero());
      CHECK(record.answered(static_cast<std::uint16_t>(first + other), now).has_value() ==
            (other > answered));
    }
  }
}

TEST_CASE("ping record: unknown, future and repeated answers are nothing") {
  Pings record;
  const Instant now(seconds(1));
  CHECK(record.answered(0, now) == std::nullopt);
  CHECK(record.answered(65'535, now) == std::nullopt);
  CHECK(record.sent(now) == 0);
  CHECK(record.answered(1, now) == std::nullopt);
  CHECK(record.answered(16, now) == std::nullopt);
  CHECK(record.answered(65'520, now) == std::nullopt);
  CHECK(record.answered(0, now) == Duration::zero());
  CHECK(record.answered(0, now) == std::nullopt);
}

TEST_CASE("ping record: the seventeenth displaces the first") {
  Pings record;
  const Instant now(seconds(1));
  for (unsigned i = 0; i <= 16; ++i) CHECK(record.sent(now) == i);
  CHECK(record.answered(0, now) == std::nullopt);
  CHECK(record.answered(1, now) == Duration::zero());
  CHECK(record.answered(16, now) == Duration::zero());
}

TEST_CASE("ping record: the 32 bits of the microseconds may wrap between PING and PONG") {
  Pings record;
  const Instant before_wrap(Duration((std::int64_t{1} << 32) - 10));
  CHECK(record.sent(before_wrap) == 0);
  CHECK(record.answered(0, before_wrap + milliseconds(30)) == milliseconds(30));
}

TEST_CASE("ping record: an old PING is never taken for a young one") {
  const Instant start(hours(1));
  SUBCASE("an hour after the last PING everything is forgotten") {
    Pings record;
    CHECK(record.sent(start) == 0);
    CHECK(record.sent(start) == 1);
    CHECK(record.answered(0, start + minutes(60)) == minutes(60));
    CHECK(record.answered(1, start + Duration((std::int64_t{1} << 32) + 500)) == std::nullopt);
  }
  SUBCASE("ten minutes old when another is sent: forgotten") {
    Pings record;
    CHECK(record.sent(start) == 0);
    CHECK(record.sent(start + minutes(11)) == 1);
    CHECK(record.answered(0, start + minutes(11)) == std::nullopt);
    CHECK(record.answered(1, start + minutes(12)) == minutes(1));
  }
  SUBCASE("a very long rest, then another PING") {
    Pings record;
    CHECK(record.sent(start) == 0);
    CHECK(record.sent(start + Duration((std::int64_t{1} << 32) + 500)) == 1);
    CHECK(record.answered(0, start + Duration((std::int64_t{1} << 32) + 600)) == std::nullopt);
  }
}

TEST_CASE("ping record: it holds memory only while a PING is outstanding") {
  Pings record;
  const Instant now(seconds(1));
  CHECK(record.times_held() == 0);
  record.sent(now);
  record.sent(now);
  CHECK(record.times_held() == 1);
  record.answered(0, now);
  CHECK(record.times_held() == 1);
  record.answered(1, now);
  CHECK(record.times_held() == 0);
  record.sent(now);
  record.clear();
  CHECK(record.times_held() == 0);
  CHECK_FALSE(record.any_outstanding());
  CHECK(record.answered(2, now) == std::nullopt);
}

TEST_CASE("ping record: agrees with a map of send times") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    Pings record;
    std::map<std::uint16_t, Instant> model;
    Instant now(seconds(random.below(100'000)));
    Instant last;
    // Far enough for the sequence numbers to wrap.
    for (int step = 0; step < 150'000; ++step) {
      now += milliseconds(random.below(3'000));
      if (random.below(2) == 0) {
        const std::uint16_t sequence = record.sent(now);
        model.erase(static_cast<std::uint16_t>(sequence - 16U));
        std::erase_if(model, [&](const auto& entry) { return now - entry.second > minutes(10); });
        model[sequence] = last = now;
      } else {
        const auto latest = static_cast<std::uint16_t>(step / 2);
        const std::uint16_t sequence =
            model.empty() || random.below(4) == 0
                ? static_cast<std::uint16_t>(latest + random.below(64))
                : std::next(model.begin(), random.below(static_cast<std::uint32_t>(model.size())))->first;
        const auto found = model.find(sequence);
        const auto expected =
            found == model.end() ? std::nullopt : std::optional<Duration>(now - found->second);
        REQUIRE(record.answered(sequence, now) == expected);
        if (!expected) continue;
        REQUIRE(record.since_last() == now - last);
        std::erase_if(model, [&](const auto& entry) {
          return static_cast<std::uint16_t>(sequence - entry.first) < PingRecord::kOutstanding;
        });
      }
    }
  }
}

}  // namespace
}  // namespace hawser
