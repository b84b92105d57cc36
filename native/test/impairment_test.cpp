#include "io/impairment.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "allocation_counter.hpp"
#include "base/address.hpp"
#include "base/bytes.hpp"

namespace hawser::test {

namespace {

using std::chrono::milliseconds;

SocketAddress peer(std::uint8_t host) { return SocketAddress::ipv4({10, 0, 0, host}, 4000); }

Instant at(Duration since_start) { return Instant(since_start); }

LinkSettings delayed(Duration delay) {
  LinkSettings settings;
  settings.delay = delay;
  return settings;
}

std::string text(Bytes bytes) { return {reinterpret_cast<const char*>(bytes.data()), bytes.size()}; }

// A line of outgoing datagrams.
struct Line {
  explicit Line(const LinkSettings& settings, std::size_t max_bytes = DelayLine<OutgoingDatagram>::kMaxBytes,
                std::uint64_t seed = 1)
      : random(seed), line(settings, random, counters, max_bytes) {}

  void put(std::string content, Duration now, const SocketAddress& remote = peer(1)) {
    line.put({std::as_bytes(std::span(content)), remote, {}, 0}, at(now));
    // The line has a copy.
    content.assign(content.size(), '?');
  }

  // The contents of what is due, at most as much as comes at a time.
  std::vector<std::string> take(Duration now) {
    std::vector<std::string> contents;
    const auto due = line.due(at(now));
    for (const OutgoingDatagram& datagram : due) contents.push_back(text(datagram.bytes));
    line.done(due.size());
    return contents;
  }

  using Contents = std::vector<std::string>;

  SeededRandom random;
  ImpairmentCounters counters;
  DelayLine<OutgoingDatagram> line;
};

}  // namespace

TEST_CASE("a delay line gives back what was put into it, when it is due") {
  Line line(delayed(milliseconds(80)));
  CHECK(line.line.next_due() == kNever);
  line.put("first", milliseconds(0));
  line.put("", milliseconds(10));
  line.put(std::string(9000, 'j'), milliseconds(10));
  CHECK(line.line.next_due() == at(milliseconds(80)));
  CHECK(line.take(milliseconds(79)).empty());
  CHECK(line.take(milliseconds(80)) == Line::Contents{"first"});
  CHECK(line.line.next_due() == at(milliseconds(90)));
  CHECK(line.take(milliseconds(1000)) == Line::Contents{"", std::string(9000, 'j')});
  CHECK(line.line.next_due() == kNever);
}

TEST_CASE("a delay line without delay holds nothing back") {
  Line line(delayed({}));
  line.put("now", milliseconds(5));
  CHECK(line.take(milliseconds(5)) == Line::Contents{"now"});
}

TEST_CASE("a delay line keeps addresses and ECN bits, and its bytes can be changed") {
  SeededRandom random(1);
  ImpairmentCounters counters;
  DelayLine<ReceivedDatagram> line(delayed(milliseconds(1)), random, counters);
  std::string content = "sealed";
  line.put({std::as_writable_bytes(std::span(content)), peer(1), peer(2), 2}, at({}));
  const auto due = line.due(at(milliseconds(1)));
  REQUIRE(due.size() == 1);
  CHECK(due[0].remote == peer(1));
  CHECK(due[0].local == peer(2));
  CHECK(due[0].ecn == 2);
  due[0].bytes[0] = std::byte{'S'};
  CHECK(text(due[0].bytes) == "Sealed");
  CHECK(content == "sealed");
}

TEST_CASE("what the socket did not take stays due") {
  Line line(delayed({}));
  for (const char* content : {"a", "b", "c"}) line.put(content, {});
  CHECK(line.line.due(at({})).size() == 3);
  line.line.done(1);
  line.put("d", {});
  CHECK(line.line.next_due() == Instant());
  const auto rest = line.line.due(at({}));
  REQUIRE(rest.size() == 2);
  CHECK(text(rest[0].bytes) == "b");
  line.line.done(2);
  CHECK(line.take({}) == Line::Contents{"d"});
}

TEST_CASE("much that is due comes in batches, oldest first") {
  Line line(delayed(milliseconds(3)));
  constexpr std::size_t kCount = 1000;
  for (std::size_t i = 0; i < kCount; ++i) line.put(std::to_string(i), Duration(i % 10 == 0 ? i : i - 1));
  std::size_t next = 0;
  for (;;) {
    const Line::Contents contents = line.take(milliseconds(10));
    if (contents.empty()) break;
    CHECK(contents.size() <= DelayLine<OutgoingDatagram>::kBatch);
    for (const std::string& content : contents) CHECK(content == std::to_string(next++));
  }
  CHECK(next == kCount);
}

TEST_CASE("jitter keeps the order of each peer, and lets peers overtake each other") {
  LinkSettings settings = delayed(milliseconds(20));
  settings.jitter = milliseconds(20);
  Line line(settings);
  constexpr int kPeers = 20;
  constexpr int kEach = 100;
  for (int i = 0; i < kEach; ++i) {
    for (std::uint8_t host = 0; host < kPeers; ++host) {
      const std::string content = std::to_string(host) + " " + std::to_string(i);
      line.put(content, milliseconds(30 * i), peer(host));
    }
  }
  std::map<std::string, int> next;
  int last_put = 0;
  bool overtaken = false;
  for (Duration now{}; line.line.next_due() != kNever; now += milliseconds(1)) {
    for (const std::string& content : line.take(now)) {
      const std::size_t space = content.find(' ');
      const int round = std::stoi(content.substr(space));
      CHECK(round == next[content.substr(0, space)]++);
      const int put = kPeers * round + std::stoi(content);
      overtaken = overtaken || put < last_put;
      last_put = put;
    }
  }
  CHECK(next.size() == kPeers);
  for (const auto& [name, count] : next) CHECK(count == kEach);
  CHECK(overtaken);
}

TEST_CASE("all peers share the rate of a line, and what its queue does not hold is counted") {
  LinkSettings settings = delayed({});
  settings.bytes_per_second = 1'000'000;
  settings.queue_bytes = 5'000;
  Line line(settings);
  for (std::uint8_t host = 0; host < 10; ++host) line.put(std::string(1000, 'x'), {}, peer(host));
  CHECK(line.counters.queue_full == 5);
  for (int i = 1; i <= 5; ++i) {
    CHECK(line.take(milliseconds(i) - Duration(1)).empty());
    CHECK(line.take(milliseconds(i)).size() == 1);
  }
  CHECK(line.line.next_due() == kNever);
}

TEST_CASE("losses, duplicates and what is held back are counted") {
  LinkSettings settings = delayed({});
  settings.loss_rate = 0.3;
  settings.duplicate_rate = 0.3;
  settings.reorder_rate = 0.3;
  Line line(settings);
  constexpr std::size_t kCount = 10'000;
  std::size_t arrived = 0;
  for (std::size_t i = 0; i < kCount; ++i) {
    line.put("x", milliseconds(i));
    arrived += line.take(milliseconds(i)).size();
  }
  arrived += line.take(milliseconds(kCount + 100)).size();
  const ImpairmentCounters& counters = line.counters;
  CHECK(arrived == kCount - counters.lost + counters.duplicated);
  CHECK(counters.lost > kCount / 4);
  CHECK(counters.lost < kCount / 3);
  CHECK(counters.duplicated > (kCount - counters.lost) / 4);
  CHECK(counters.held_back > arrived / 4);
  CHECK(counters.queue_full == 0);
  CHECK(counters.no_room == 0);
}

TEST_CASE("a line that is full loses what comes and counts it, until something has left") {
  Line line(delayed(milliseconds(10)), 64 * 1024);
  const auto fill = [&](Duration now) {
    const std::uint64_t before = line.counters.no_room;
    std::size_t kept = 0;
    for (int i = 0; i < 100; ++i) {
      const std::uint64_t lost = line.counters.no_room;
      line.put(std::string(1200, 'x'), now);
      if (line.counters.no_room == lost) ++kept;
    }
    CHECK(line.counters.no_room - before == 100 - kept);
    return kept;
  };
  // 1,200 bytes and their addresses take 2,048.
  CHECK(fill(milliseconds(0)) == 32);
  CHECK(line.take(milliseconds(10)).size() == 32);
  CHECK(line.take(milliseconds(10)).empty());
  CHECK(fill(milliseconds(20)) == 32);
}

TEST_CASE("a line in steady use allocates nothing") {
  LinkSettings settings = delayed(milliseconds(50));
  settings.jitter = milliseconds(10);
  settings.reorder_rate = 0.1;
  Line line(settings);
  const std::string content(1200, 'x');
  const auto bytes = std::as_bytes(std::span(content));
  const auto turn = [&](Duration now) {
    for (int i = 0; i < 10; ++i) line.line.put({bytes, peer(1), {}, 0}, at(now));
    for (;;) {
      const auto due = line.line.due(at(now));
      if (due.empty()) return;
      line.line.done(due.size());
    }
  };
  for (int i = 0; i < 1000; ++i) turn(milliseconds(i));
  const AllocationCount allocations;
  for (int i = 1000; i < 2000; ++i) turn(milliseconds(i));
  CHECK(allocations.count() == 0);
}

TEST_CASE("both directions are impaired alike, by chances of their own, which a seed repeats") {
  const auto story = [](std::uint64_t seed) {
    ImpairmentSettings settings;
    settings.link = delayed({});
    settings.link.loss_rate = 0.5;
    settings.seed = seed;
    ImpairmentCounters counters;
    Impairment impairment(settings, counters);
    std::string out;
    std::string in;
    std::string content = "x";
    for (int i = 0; i < 200; ++i) {
      const Instant now = at(milliseconds(i));
      impairment.outgoing().put({std::as_bytes(std::span(content)), peer(1), {}, 0}, now);
      impairment.incoming().put({std::as_writable_bytes(std::span(content)), peer(1), {}, 0}, now);
      const std::size_t left = impairment.outgoing().due(now).size();
      const std::size_t came = impairment.incoming().due(now).size();
      out += std::to_string(left);
      in += std::to_string(came);
      impairment.outgoing().done(left);
      impairment.incoming().done(came);
    }
    CHECK(in != out);
    return out + in;
  };
  CHECK(story(1) == story(1));
  CHECK(story(1) != story(2));
}

TEST_CASE("what is in flight goes with its line") {
  // The sanitizer tells whether anything is left.
  auto line = std::make_unique<Line>(delayed(milliseconds(1)));
  for (int i = 0; i < 100; ++i) line->put(std::string(100, 'x'), milliseconds(i));
  CHECK(line->line.due(at(milliseconds(50))).size() == 50);
  line->line.done(10);
  line.reset();
}

}  // namespace hawser::test
