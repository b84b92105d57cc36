#include "io/link_model.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "base/random.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint8_t kNotEct = 0;
constexpr std::uint8_t kEct1 = 1;
constexpr std::uint8_t kEct0 = 2;
constexpr std::uint8_t kCe = 3;

LinkSettings perfect() {
  LinkSettings settings;
  settings.delay = Duration::zero();
  return settings;
}

LinkSettings limited(std::uint64_t bytes_per_second, std::uint64_t queue_bytes) {
  LinkSettings settings = perfect();
  settings.bytes_per_second = bytes_per_second;
  settings.queue_bytes = queue_bytes;
  return settings;
}

// One direction between two addresses.
struct Link {
  explicit Link(const LinkSettings& link_settings, std::uint64_t seed = 1)
      : settings(link_settings), random(seed) {}

  LinkPassage pass(Duration now, std::size_t size = 100, std::uint8_t ecn = kNotEct) {
    return model.pass(settings, queue, last_arrival, Instant(now), size, ecn);
  }
  // Of a datagram that is not duplicated.
  LinkCopy send(Duration now, std::size_t size = 100, std::uint8_t ecn = kNotEct) {
    const LinkPassage passage = pass(now, size, ecn);
    REQUIRE(passage.copies().size() == 1);
    return passage.copies().front();
  }
  bool arrives(Duration now, std::size_t size) { return send(now, size).fate == LinkFate::kArrives; }

  LinkSettings settings;
  SeededRandom random;
  LinkModel model{random};
  LinkQueue queue;
  Instant last_arrival{};
};

Duration since_start(const LinkCopy& copy) { return copy.arrival.time_since_epoch(); }

// What a rate of `rate` should give in `trials`, within five standard deviations.
void is_about(std::uint64_t count, double rate, std::uint64_t trials) {
  const double expected = rate * static_cast<double>(trials);
  const double deviation = std::sqrt(expected * (1 - rate));
  INFO(count << " of " << trials << ", expected " << expected);
  CHECK(std::abs(static_cast<double>(count) - expected) <= 5 * deviation);
}

}  // namespace

TEST_CASE("a link without faults delivers each datagram once, after its delay") {
  LinkSettings settings = perfect();
  settings.delay = milliseconds(80);
  Link link(settings);
  for (int i = 0; i < 1000; ++i) {
    const LinkCopy copy = link.send(milliseconds(i), 1200, kEct0);
    CHECK(copy.fate == LinkFate::kArrives);
    CHECK(since_start(copy) == milliseconds(i + 80));
    CHECK(copy.ecn == kEct0);
    CHECK(!copy.marked);
    CHECK(!copy.held_back);
  }
}

TEST_CASE("losses, duplicates and held back datagrams come at their rates, whatever the seed") {
  constexpr std::uint64_t kTrials = 50'000;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    LinkSettings settings = perfect();
    settings.loss_rate = 0.05;
    settings.duplicate_rate = 0.01;
    settings.reorder_rate = 0.2;
    Link link(settings, seed);
    std::uint64_t lost = 0;
    std::uint64_t duplicated = 0;
    std::uint64_t arrived = 0;
    std::uint64_t held_back = 0;
    for (std::uint64_t i = 0; i < kTrials; ++i) {
      const LinkPassage passage = link.pass(milliseconds(i));
      if (passage.copies().size() == 2) ++duplicated;
      for (const LinkCopy& copy : passage.copies()) {
        if (copy.fate == LinkFate::kLost) ++lost;
        if (copy.fate == LinkFate::kArrives) ++arrived;
        if (copy.held_back) ++held_back;
      }
    }
    is_about(lost, 0.05, kTrials);
    is_about(duplicated, 0.01, kTrials - lost);
    CHECK(arrived == kTrials - lost + duplicated);
    is_about(held_back, 0.2, arrived);
  }
}

TEST_CASE("rates of 0 and 1 are exact") {
  LinkSettings settings = perfect();
  Link good(settings);
  settings.loss_rate = 1;
  Link bad(settings);
  settings.loss_rate = 0;
  settings.duplicate_rate = 1;
  Link doubling(settings);
  for (int i = 0; i < 10'000; ++i) {
    CHECK(good.send(milliseconds(i)).fate == LinkFate::kArrives);
    CHECK(bad.send(milliseconds(i)).fate == LinkFate::kLost);
    CHECK(doubling.pass(milliseconds(i)).copies().size() == 2);
  }
}

TEST_CASE("jitter spreads over its range and keeps the order") {
  LinkSettings settings = perfect();
  settings.delay = milliseconds(80);
  settings.jitter = milliseconds(20);
  Link link(settings);
  Instant last{};
  Duration least = Duration::max();
  Duration most{};
  Duration sum{};
  constexpr int kCount = 10'000;
  for (int i = 0; i < kCount; ++i) {
    const Duration now = milliseconds(30 * i);
    const LinkCopy copy = link.send(now);
    CHECK(copy.arrival >= last);
    last = copy.arrival;
    const Duration taken = since_start(copy) - now;
    least = std::min(least, taken);
    most = std::max(most, taken);
    sum += taken;
  }
  CHECK(least >= milliseconds(80));
  CHECK(least <= milliseconds(81));
  CHECK(most <= milliseconds(100));
  CHECK(most >= milliseconds(99));
  CHECK(sum / kCount >= milliseconds(89));
  CHECK(sum / kCount <= milliseconds(91));

  // Datagrams that are closer together than the jitter would overtake each other.
  for (int i = 0; i < kCount; ++i) {
    const LinkCopy copy = link.send(seconds(1000) + Duration(i));
    CHECK(copy.arrival >= last);
    last = copy.arrival;
  }
}

TEST_CASE("one that is held back is overtaken, and holds back no other") {
  LinkSettings settings = perfect();
  settings.delay = milliseconds(10);
  settings.reorder_rate = 0.1;
  Link link(settings);
  Duration last_held{};
  bool overtaken = false;
  for (int i = 0; i < 10'000; ++i) {
    const Duration now = milliseconds(i);
    const LinkCopy copy = link.send(now);
    const Duration taken = since_start(copy) - now;
    if (copy.held_back) {
      CHECK(taken > milliseconds(10));
      CHECK(taken <= milliseconds(20) + Duration(1));
      last_held = since_start(copy);
    } else {
      CHECK(taken == milliseconds(10));
      overtaken = overtaken || since_start(copy) < last_held;
    }
  }
  CHECK(overtaken);
}

TEST_CASE("jitter reorders where it may, and the delay of those held back can be set") {
  LinkSettings settings = perfect();
  settings.delay = milliseconds(10);
  settings.jitter = milliseconds(8);
  settings.jitter_reorders = true;
  settings.reorder_rate = 0.1;
  settings.least_hold_back = settings.most_hold_back = milliseconds(5);
  Link link(settings);
  int overtaken = 0;
  Duration last{};
  Duration least = seconds(1);
  Duration most{};
  for (int i = 0; i < 10'000; ++i) {
    const Duration now = milliseconds(i);
    const LinkCopy copy = link.send(now);
    const Duration taken = since_start(copy) - now - (copy.held_back ? milliseconds(5) : Duration{});
    CHECK(taken >= milliseconds(10));
    CHECK(taken <= milliseconds(18));
    least = std::min(least, taken);
    most = std::max(most, taken);
    if (!copy.held_back && since_start(copy) < last) ++overtaken;
    if (!copy.held_back) last = since_start(copy);
  }
  CHECK(least < milliseconds(10) + Duration(100));
  CHECK(most > milliseconds(18) - Duration(100));
  CHECK(overtaken > 1'000);
}

TEST_CASE("a limited link sends every byte in its time, however long it is busy") {
  // No datagram takes whole microseconds here: rounding each would add up.
  constexpr std::uint64_t kRate = 12'345'677;
  SeededRandom sizes(3);
  Link link(limited(kRate, LinkModel::kMaxQueueBytes));
  std::uint64_t total = 0;
  Duration now{};
  for (int i = 0; i < 200'000; ++i) {
    const std::size_t size = 1 + sizes.below(1472);
    total += size;
    const LinkCopy copy = link.send(now, size);
    REQUIRE(copy.fate == LinkFate::kArrives);
    const auto exact = static_cast<Duration::rep>((total * 1'000'000 + kRate - 1) / kRate);
    REQUIRE(since_start(copy) == Duration(exact));
    // Later ones come while the link is still busy.
    if (i % 7 == 0) now = Duration(exact / 2);
  }
}

TEST_CASE("the queue of a limited link holds its bytes and not one more") {
  // A byte takes a microsecond.
  Link link(limited(1'000'000, 10'000));
  for (int i = 0; i < 10; ++i) CHECK(link.arrives(Duration(0), 1000));
  CHECK(link.queue.backlog_bytes(1'000'000, Instant(Duration(0))) == 10'000);
  CHECK(!link.arrives(Duration(0), 1));
  CHECK(!link.arrives(Duration(999), 1000));
  CHECK(link.arrives(Duration(1000), 1000));
  CHECK(!link.arrives(Duration(1000), 1));
  CHECK(link.arrives(Duration(1001), 1));
  // What was dropped took no time of the link.
  CHECK(link.queue.backlog_bytes(1'000'000, Instant(Duration(1001))) == 10'000);
  CHECK(link.queue.backlog_bytes(1'000'000, Instant(Duration(11'000))) == 1);
  CHECK(link.queue.backlog_bytes(1'000'000, Instant(Duration(11'001))) == 0);
}

TEST_CASE("a limited link without a queue takes a datagram whenever it is idle") {
  Link link(limited(1'000'000, 0));
  CHECK(since_start(link.send(Duration(0), 1200)) == Duration(1200));
  CHECK(link.send(Duration(1199), 1).fate == LinkFate::kQueueFull);
  CHECK(since_start(link.send(Duration(1200), 1200)) == Duration(2400));
}

TEST_CASE("a flood passes a limited link at its rate") {
  constexpr std::uint64_t kRate = 625'000;
  Link link(limited(kRate, 65'536));
  std::uint64_t passed = 0;
  Duration last{};
  for (Duration now{}; now < seconds(10); now += Duration(500)) {
    const LinkCopy copy = link.send(now, 1200);
    if (copy.fate != LinkFate::kArrives) continue;
    passed += 1200;
    last = since_start(copy);
  }
  const std::uint64_t possible = kRate * static_cast<std::uint64_t>(last.count()) / 1'000'000;
  CHECK(passed <= possible);
  CHECK(passed + 1 >= possible);
  // It was busy to the end, behind a full queue.
  CHECK(last >= seconds(10) + milliseconds(100));
  CHECK(last <= seconds(10) + milliseconds(105));
}

TEST_CASE("what finds more than the mark before a limited link arrives CE, if it is ECT") {
  LinkSettings settings = limited(1'000'000, 100'000);
  settings.ecn_mark_bytes = 2'000;
  Link link(settings);
  for (const std::uint8_t ecn : {kEct0, kEct1}) {
    const Duration now = ecn == kEct0 ? Duration(0) : Duration(seconds(1));
    // It finds nothing, 1,000, 2,000.
    for (int i = 0; i < 3; ++i) {
      const LinkCopy copy = link.send(now, 1000, ecn);
      CHECK(copy.ecn == ecn);
      CHECK(!copy.marked);
    }
    const LinkCopy marked = link.send(now, 1000, ecn);
    CHECK(marked.fate == LinkFate::kArrives);
    CHECK(marked.ecn == kCe);
    CHECK(marked.marked);
    const LinkCopy unable = link.send(now, 1000, kNotEct);
    CHECK(unable.fate == LinkFate::kArrives);
    CHECK(unable.ecn == kNotEct);
    CHECK(!unable.marked);
    // 2,001 are left of 5,000, then 2,000.
    CHECK(link.send(now + Duration(2999), 1, ecn).ecn == kCe);
    CHECK(link.send(now + Duration(3001), 1, ecn).ecn == ecn);
  }
  Link unlimited(perfect());
  unlimited.settings.ecn_mark_bytes = 1;
  for (int i = 0; i < 10; ++i) CHECK(unlimited.send(Duration(0), 1000, kEct0).ecn == kEct0);
  // Bits that are not ECN are nobody's here.
  CHECK(unlimited.send(Duration(0), 1000, 0xfe).ecn == kEct0);
}

TEST_CASE("a link that is down, or a datagram that is too long, costs no chance") {
  LinkSettings settings = perfect();
  settings.loss_rate = 0.5;
  settings.mtu_bytes = 1200;
  Link whole(settings, 9);
  Link interrupted(settings, 9);
  for (int i = 0; i < 100; ++i) {
    CHECK(interrupted.send(milliseconds(i), 1201).fate == LinkFate::kTooLong);
    interrupted.settings.up = false;
    CHECK(interrupted.send(milliseconds(i), 1200).fate == LinkFate::kCutOff);
    interrupted.settings.up = true;
    CHECK(interrupted.send(milliseconds(i), 1200).fate == whole.send(milliseconds(i), 1200).fate);
  }
}

TEST_CASE("one seed repeats every choice") {
  const auto run = [](std::uint64_t seed) {
    LinkSettings settings = limited(100'000, 5'000);
    settings.loss_rate = 0.1;
    settings.duplicate_rate = 0.1;
    settings.reorder_rate = 0.1;
    settings.jitter = milliseconds(7);
    Link link(settings, seed);
    std::vector<std::pair<LinkFate, Instant>> story;
    for (int i = 0; i < 1000; ++i) {
      const LinkPassage passage = link.pass(milliseconds(i));
      for (const LinkCopy& copy : passage.copies()) story.emplace_back(copy.fate, copy.arrival);
    }
    return story;
  };
  CHECK(run(4) == run(4));
  CHECK(run(4) != run(5));
}

TEST_CASE("no setting and no pause overflows") {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  Link slow(limited(1, kMost));
  Duration last{};
  for (int i = 0; i < 20'000; ++i) {
    const LinkCopy copy = slow.send(Duration(0), 65'535);
    REQUIRE(copy.fate == LinkFate::kArrives);
    CHECK(since_start(copy) == last + seconds(65'535));
    last = since_start(copy);
  }
  Link fast(limited(kMost, kMost));
  const Duration century = std::chrono::hours(24 * 365 * 100);
  for (int i = 0; i < 100; ++i) {
    const LinkCopy copy = fast.send(century * i, 65'535, kEct0);
    REQUIRE(copy.fate == LinkFate::kArrives);
    CHECK(since_start(copy) <= century * i + Duration(1));
    CHECK(slow.send(century * i, 1).fate == LinkFate::kArrives);
  }
  // A clock that is a little behind an earlier call does no harm.
  Link link(limited(1'000'000, 10'000));
  CHECK(since_start(link.send(Duration(500), 100)) == Duration(600));
  CHECK(since_start(link.send(Duration(400), 100)) == Duration(700));
}

}  // namespace hawser::test
