#include "engine/control_frames.hpp"

#include <doctest/doctest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kShortTrip = milliseconds(10);

struct Fixture {
  ControlFramePool pool{100};
  ControlFrames frames;
  std::uint64_t next_number = 0;

  Fixture() = default;
  Fixture(const Fixture&) = delete;
  Fixture& operator=(const Fixture&) = delete;
  ~Fixture() { frames.clear(pool); }

  // Sends everything due, each frame in a packet of its own; what was sent.
  std::vector<std::string> send_due(Instant now, Duration trip = kShortTrip) {
    std::vector<std::string> sent;
    frames.for_each_due(now, [&](ControlFrame& frame) {
      sent.emplace_back(reinterpret_cast<const char*>(frame.view().data()), frame.view().size());
      ControlFrames::on_sent(frame, next_number++, now, trip);
      return true;
    });
    return sent;
  }
};

using Texts = std::vector<std::string>;

TEST_CASE_FIXTURE(Fixture, "control frames: due at once, in the order queued, then not before the interval") {
  const Instant now(seconds(1));
  CHECK(frames.next_deadline() == kNever);
  REQUIRE(frames.queue(pool, bytes_of("one")));
  REQUIRE(frames.queue(pool, bytes_of("two")));
  CHECK(frames.next_deadline() <= now);
  CHECK(send_due(now) == Texts{"one", "two"});
  CHECK(frames.next_deadline() == now + milliseconds(200));
  CHECK(send_due(now + milliseconds(199)).empty());
  CHECK(send_due(now + milliseconds(200)) == Texts{"one", "two"});
}

TEST_CASE_FIXTURE(Fixture, "control frames: intervals double up to 2 s") {
  Instant now(seconds(1));
  REQUIRE(frames.queue(pool, bytes_of("x")));
  std::vector<std::int64_t> intervals;
  for (int i = 0; i < 6; ++i) {
    REQUIRE(send_due(now).size() == 1);
    intervals.push_back((frames.next_deadline() - now) / milliseconds(1));
    now = frames.next_deadline();
  }
  CHECK(intervals == std::vector<std::int64_t>{200, 400, 800, 1600, 2000, 2000});
}

TEST_CASE_FIXTURE(Fixture,
                  "control frames: the first interval is at least twice the round trip, at most 2 s") {
  const Instant now(seconds(1));
  REQUIRE(frames.queue(pool, bytes_of("x")));
  send_due(now, milliseconds(300));
  CHECK(frames.next_deadline() == now + milliseconds(600));
  REQUIRE(frames.queue(pool, bytes_of("y")));
  CHECK(send_due(now, seconds(50)) == Texts{"y"});
  send_due(now + milliseconds(600), seconds(50));
  CHECK(frames.next_deadline() == now + seconds(2));
}

TEST_CASE_FIXTURE(Fixture, "control frames: an acknowledged frame is gone, the others stay") {
  const Instant now(seconds(1));
  for (const std::string_view text : {"a", "b", "c"}) REQUIRE(frames.queue(pool, bytes_of(text)));
  CHECK(frames.on_ack(pool, 0, UINT64_MAX) == 0);
  send_due(now);
  CHECK(frames.on_ack(pool, 1, 1) == 1);
  CHECK(frames.size() == 2);
  CHECK(pool.size() == 2);
  CHECK(send_due(now + milliseconds(200)) == Texts{"a", "c"});
  CHECK(frames.on_ack(pool, 0, 4) == 2);
  CHECK(frames.empty());
  CHECK(frames.next_deadline() == kNever);
}

TEST_CASE_FIXTURE(Fixture, "control frames: the acknowledgement of an earlier sending counts") {
  Instant now(seconds(1));
  REQUIRE(frames.queue(pool, bytes_of("x")));
  for (int i = 0; i < 4; ++i) {
    send_due(now);
    now = frames.next_deadline();
  }
  SUBCASE("of the oldest of four") { CHECK(frames.on_ack(pool, 0, 0) == 1); }
  SUBCASE("of the fifth last no more") {
    send_due(now);
    CHECK(frames.on_ack(pool, 0, 0) == 0);
    CHECK(frames.on_ack(pool, 1, 1) == 1);
  }
}

TEST_CASE_FIXTURE(Fixture, "control frames: the last four sendings are known however often it was sent") {
  Instant now(seconds(1));
  REQUIRE(frames.queue(pool, bytes_of("x")));
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(send_due(now).size() == 1);
    REQUIRE(frames.next_deadline() - now <= seconds(2));
    now = frames.next_deadline();
    if (i < 4) continue;
    REQUIRE(frames.on_ack(pool, 0, next_number - 5) == 0);
    REQUIRE(frames.next_deadline() == now);
  }
  CHECK(frames.on_ack(pool, next_number - 4, next_number - 4) == 1);
}

TEST_CASE_FIXTURE(Fixture, "control frames: sending stops where the packet is full") {
  const Instant now(seconds(1));
  for (const std::string_view text : {"a", "b", "c"}) REQUIRE(frames.queue(pool, bytes_of(text)));
  int offered = 0;
  frames.for_each_due(now, [&](ControlFrame& frame) {
    if (++offered == 2) return false;
    ControlFrames::on_sent(frame, 7, now, kShortTrip);
    return true;
  });
  CHECK(offered == 2);
  CHECK(send_due(now) == Texts{"b", "c"});
}

TEST_CASE_FIXTURE(Fixture, "control frames: one connection cannot empty the pool") {
  for (std::uint32_t i = 0; i < ControlFrames::kMax; ++i) REQUIRE(frames.queue(pool, bytes_of("x")));
  CHECK_FALSE(frames.queue(pool, bytes_of("x")));
  CHECK(pool.size() == ControlFrames::kMax);
  frames.clear(pool);
  CHECK(pool.size() == 0);
  CHECK(frames.empty());
  CHECK(frames.queue(pool, bytes_of("x")));
}

TEST_CASE("control frames: a pool without room refuses") {
  ControlFramePool pool(1);
  ControlFrames first;
  ControlFrames second;
  CHECK(first.queue(pool, bytes_of("x")));
  CHECK_FALSE(second.queue(pool, bytes_of("x")));
  first.clear(pool);
  const std::array<std::byte, ControlFrame::kCapacity> longest{};
  CHECK(second.queue(pool, longest));
  second.clear(pool);
}

}  // namespace
}  // namespace hawser
