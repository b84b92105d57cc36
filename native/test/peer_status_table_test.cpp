#include "engine/peer_status_table.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>
#include <optional>
#include <thread>
#include <vector>

#include "base/random.hpp"
#include "engine/status_schedule.hpp"

namespace hawser {
namespace {

using std::chrono::milliseconds;

// Every figure follows from the number, so that a mixture of two is seen.
PeerStatus numbered(std::uint64_t number) {
  PeerStatus status;
  status.round_trip = Duration(static_cast<Duration::rep>(number));
  status.round_trip_variation = Duration(static_cast<Duration::rep>(number + 1));
  status.minimum_round_trip = Duration(static_cast<Duration::rep>(number + 2));
  status.connected = true;
  status.clock_settled = number % 2 == 0;
  status.packets_sent = number << 20U;
  status.packets_received = number << 21U;
  status.congestion_window = number + 3;
  status.bytes_in_flight = number + 4;
  status.pacing_rate = number << 22U;
  status.queued_bytes = number + 5;
  status.packets_lost = number << 10U;
  status.max_datagram = static_cast<std::uint32_t>(number % 9'000);
  status.key_epoch = static_cast<std::uint32_t>(number + 6);
  status.max_unreliable = static_cast<std::uint32_t>(number % 8'000);
  status.held_bytes = number + 7;
  status.clock_offset = Duration(static_cast<Duration::rep>(number) * -7);
  status.remote =
      SocketAddress::ipv4({10, 0, 0, static_cast<std::uint8_t>(number)}, static_cast<std::uint16_t>(number));
  return status;
}

ClockEstimate clock_of(const PeerStatus& status) { return {Instant(), status.clock_offset, {}, 0}; }

void check_numbered(const PeerStatus& read) {
  const auto number = static_cast<std::uint64_t>(read.round_trip.count());
  const PeerStatus expected = numbered(number);
  REQUIRE(figure_numbers(read) == figure_numbers(expected));
  REQUIRE(read.remote == expected.remote);
}

TEST_CASE("peer status table: what was published is read by the same handle, and by no other") {
  PeerStatusTable table(5'000);
  for (const std::uint32_t slot : {0U, 1U, 63U, 64U, 1'023U, 1'024U, 4'999U}) {
    CAPTURE(slot);
    const Handle peer{slot, 3};
    CHECK_FALSE(table.read(peer, Instant()).has_value());
    const PeerStatus status = numbered(1'000 + slot);
    table.publish(peer, status, clock_of(status));
    const auto read = table.read(peer, Instant());
    REQUIRE(read.has_value());
    check_numbered(*read);
    CHECK_FALSE(table.read({slot, 2}, Instant()).has_value());
    CHECK_FALSE(table.read({slot, 0}, Instant()).has_value());
    // Another peer takes the slot.
    table.publish({slot, 4}, status, clock_of(status));
    CHECK_FALSE(table.read(peer, Instant()).has_value());
    CHECK(table.read({slot, 4}, Instant()).has_value());
  }
  CHECK_FALSE(table.read({5'120, 1}, Instant()).has_value());
  CHECK_FALSE(table.read({UINT32_MAX, UINT32_MAX}, Instant()).has_value());
  CHECK_FALSE(PeerStatusTable(0).read({0, 1}, Instant()).has_value());
}

TEST_CASE("peer status table: figures beyond their cell are published as the greatest that fits") {
  PeerStatusTable table(1);
  PeerStatus status;
  status.queued_bytes = std::uint64_t{1} << 40U;
  status.round_trip = std::chrono::hours(100);
  status.minimum_round_trip = Duration(-1);
  table.publish({0, 1}, status, {});
  const auto read = table.read({0, 1}, Instant());
  REQUIRE(read.has_value());
  CHECK(read->queued_bytes == UINT32_MAX);
  CHECK(read->round_trip == Duration(UINT32_MAX));
  CHECK(read->minimum_round_trip == Duration::zero());
}

TEST_CASE("peer status table: the clock offset goes on between publications") {
  PeerStatusTable table(1);
  ClockOffset clock;
  Instant now(std::chrono::seconds(1));
  for (int i = 0; i < 40; ++i) {
    clock.add_sample(milliseconds(10 + i % 3), milliseconds(50) + now.time_since_epoch() / 10'000, now);
    now += std::chrono::seconds(1);
  }
  table.publish({0, 1}, {}, clock.estimate());
  for (int i = 0; i < 100; ++i) {
    now += milliseconds(77);
    CHECK(table.read({0, 1}, now)->clock_offset == clock.offset_at(now));
  }
}

TEST_CASE("peer status table: takes memory for slots in use only") {
  PeerStatusTable table(1'000'000);
  const std::size_t before = table.allocated_bytes();
  // A thousandth of what all cells would take.
  CHECK(before < std::size_t{1'000} * PeerStatusTable::kCellBytes);
  for (std::uint32_t slot = 0; slot < 10'000; ++slot) table.publish({slot, 1}, {}, {});
  CHECK(table.allocated_bytes() - before <= std::size_t{10'100} * PeerStatusTable::kCellBytes);
}

TEST_CASE("peer status table: that of one connection has few cells and places for them") {
  PeerStatusTable table(16);
  CHECK(table.allocated_bytes() <= PeerStatusTable::kCellBytes);
  const std::size_t before = table.allocated_bytes();
  table.publish({0, 1}, {}, {});
  CHECK(table.allocated_bytes() - before == PeerStatusTable::kCellBytes);
  for (std::uint32_t slot = 1; slot < 16; ++slot) {
    table.publish({slot, 1}, {}, {});
    CHECK(table.read({slot, 1}, Instant()).has_value());
  }
  CHECK_FALSE(table.read({16, 1}, Instant()).has_value());
}

TEST_CASE("peer status table: readers on other threads never see two publications mixed") {
  constexpr std::uint32_t kSlots = 40;
  constexpr std::uint64_t kRounds = 4'000;
  PeerStatusTable table(kSlots);
  std::atomic<bool> done = false;
  std::atomic<std::uint64_t> seen = 0;
  std::vector<std::thread> readers;
  for (int reader = 0; reader < 2; ++reader) {
    readers.emplace_back([&] {
      while (!done.load()) {
        for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
          for (std::uint32_t generation = 1; generation <= 4; ++generation) {
            const auto read = table.read({slot, generation}, Instant());
            if (!read) continue;
            check_numbered(*read);
            // A cell of this handle never shows what was published for another one.
            REQUIRE(static_cast<std::uint64_t>(read->round_trip.count()) % 4 + 1 == generation);
            seen.fetch_add(1, std::memory_order_relaxed);
          }
        }
      }
    });
  }
  for (std::uint64_t number = 0; number < kRounds || seen.load() < 100; ++number) {
    for (std::uint32_t slot = 0; slot < kSlots; ++slot) {
      const PeerStatus status = numbered(number);
      table.publish({slot, static_cast<std::uint32_t>(number % 4 + 1)}, status, clock_of(status));
    }
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(seen.load() >= 100);
}

// The peers of a schedule, by slot.
struct Scheduled {
  explicit Scheduled(std::size_t count = 1'000) : marks(count), gone(count) {}

  StatusSchedule schedule;
  std::vector<StatusMark> marks;
  std::vector<bool> gone;
  std::vector<std::uint32_t> published;

  void changed(std::uint32_t slot) { schedule.changed(marks[slot], {slot, 1}); }
  void due(std::uint32_t slot) { schedule.due(marks[slot], {slot, 1}); }
  // The end of a turn. Returns the slots that were published in it.
  std::vector<std::uint32_t> turn(Instant now) {
    published.clear();
    const auto find = [&](Handle peer) { return gone[peer.slot] ? nullptr : &marks[peer.slot]; };
    schedule.publish_due([&](Handle peer) {
      if (!gone[peer.slot]) published.push_back(peer.slot);
      return find(peer);
    });
    schedule.run_round(now, find, [&](Handle peer) { published.push_back(peer.slot); });
    return published;
  }
};

using Slots = std::vector<std::uint32_t>;

TEST_CASE("status schedule: the first change is published in its turn, later ones once in an interval") {
  Scheduled peers;
  Instant now(std::chrono::seconds(5));
  CHECK(peers.turn(now).empty());
  peers.changed(7);
  CHECK(peers.turn(now) == Slots{7});
  CHECK(peers.schedule.next_deadline() == kNever);
  std::size_t count = 0;
  for (int i = 0; i < 1'000; ++i) {
    now += milliseconds(1);
    peers.changed(7);
    peers.changed(7);
    CHECK(peers.schedule.next_deadline() <= now + kStatusInterval);
    count += peers.turn(now).size();
  }
  CHECK(count == 4);
}

TEST_CASE("status schedule: an event is published in its turn, however recent the publication before") {
  Scheduled peers;
  const Instant now(std::chrono::seconds(5));
  static_cast<void>(peers.turn(now));
  peers.changed(1);
  CHECK(peers.turn(now) == Slots{1});
  peers.changed(1);
  CHECK(peers.turn(now).empty());
  peers.due(1);
  peers.due(1);
  CHECK(peers.turn(now) == Slots{1});
  CHECK(peers.schedule.next_deadline() == kNever);
}

TEST_CASE("status schedule: a quiet peer needs no turn of its own and is published at once when it changes") {
  Scheduled peers;
  Instant now(std::chrono::seconds(5));
  static_cast<void>(peers.turn(now));
  peers.changed(1);
  static_cast<void>(peers.turn(now));
  for (int i = 0; i < 3; ++i) {
    now += kStatusInterval;
    CHECK(peers.schedule.next_deadline() == kNever);
    CHECK(peers.turn(now).empty());
  }
  peers.changed(1);
  CHECK(peers.turn(now) == Slots{1});
}

TEST_CASE("status schedule: a round over many peers takes several turns and leaves none out") {
  Scheduled peers;
  Instant now(std::chrono::seconds(5));
  static_cast<void>(peers.turn(now));
  for (std::uint32_t slot = 0; slot < 1'000; ++slot) peers.changed(slot);
  CHECK(peers.turn(now).size() == 1'000);
  for (std::uint32_t slot = 0; slot < 1'000; ++slot) peers.changed(slot);
  now += kStatusInterval;
  std::size_t count = 0;
  int turns = 0;
  while (peers.schedule.next_deadline() <= now) {
    const std::size_t published = peers.turn(now).size();
    CHECK(published <= 256);
    count += published;
    ++turns;
  }
  CHECK(count == 1'000);
  CHECK(turns >= 4);
}

TEST_CASE("status schedule: rounds begin every interval, however many turns each of them takes") {
  Scheduled peers(100'000);
  Instant now(std::chrono::seconds(5));
  static_cast<void>(peers.turn(now));
  std::size_t count = 0;
  int turns = 0;
  const Instant end = now + 4 * kStatusInterval;
  for (; now < end; now += milliseconds(10)) {
    for (std::uint32_t slot = 0; slot < 100'000; ++slot) peers.changed(slot);
    count += peers.turn(now).size();
    ++turns;
  }
  // Once in the first turn, then in each of four rounds.
  CHECK(turns == 100);
  CHECK(count >= 400'000);
  CHECK(count <= 500'000);
}

TEST_CASE("status schedule: the memory of many active peers is given back when they are quiet") {
  Scheduled peers(100'000);
  Instant now(std::chrono::seconds(5));
  static_cast<void>(peers.turn(now));
  for (std::uint32_t slot = 0; slot < 100'000; ++slot) peers.changed(slot);
  CHECK(peers.turn(now).size() == 100'000);
  CHECK(peers.schedule.allocated_bytes() >= 2 * 100'000 * sizeof(Handle));
  for (int i = 0; i < 50; ++i) CHECK(peers.turn(now += milliseconds(20)).empty());
  CHECK(peers.schedule.allocated_bytes() <= 2 * 256 * sizeof(Handle));
}

TEST_CASE("status schedule: peers that are gone are neither published nor waited for") {
  Scheduled peers;
  Instant now(std::chrono::seconds(5));
  static_cast<void>(peers.turn(now));
  peers.changed(1);
  peers.changed(2);
  peers.gone[2] = true;
  peers.schedule.forget(peers.marks[2]);
  CHECK(peers.turn(now) == Slots{1});
  peers.changed(1);
  peers.gone[1] = true;
  peers.schedule.forget(peers.marks[1]);
  CHECK(peers.schedule.next_deadline() == kNever);
  CHECK(peers.turn(now + kStatusInterval).empty());
}

}  // namespace
}  // namespace hawser
