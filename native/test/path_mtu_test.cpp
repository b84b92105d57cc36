// The search for a path's MTU, without an endpoint (docs/protocol.md section 15).
#include "engine/path_mtu.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "base/random.hpp"

using namespace hawser;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;

namespace {

constexpr Instant kStart{seconds(100)};
constexpr Duration kRoundTrip = milliseconds(50);

// A sender that always has more to send, on a path that carries datagrams of `mtu` bytes, some of which are
// lost.
struct Path {
  Path(std::size_t limit, std::size_t path_mtu, bool ipv6 = false, std::uint64_t seed = 1)
      : mtu(limit, ipv6), carries(path_mtu), random(seed) {}

  // Sends what is to be probed until nothing is; the sizes in order.
  std::vector<std::size_t> search() {
    std::vector<std::size_t> probed;
    mtu.want_more();
    for (std::size_t size = mtu.next_probe(now); size != 0; size = mtu.next_probe(now)) {
      REQUIRE(size > mtu.current());
      probed.push_back(size);
      bytes += size;
      mtu.on_probe_sent(size, number, now, kRoundTrip);
      CHECK(mtu.next_probe(now + seconds(10)) == 0);
      now += kRoundTrip;
      if (size <= carries && random.below(100) >= loss_percent) {
        mtu.on_probe_acked(number, now);
      } else {
        mtu.on_probe_lost(number, now);
      }
      ++number;
      REQUIRE(probed.size() < 50);
    }
    return probed;
  }

  // A flight of `count` full packets is sent, of which the first is lost.
  bool lose_flight(std::size_t count = 1) {
    const std::uint64_t first = number;
    number += count;
    now += kRoundTrip;
    bool fell = false;
    for (std::uint64_t lost = first; lost < number; ++lost)
      fell = mtu.on_packet_lost(mtu.current(), lost, number, now) || fell;
    return fell;
  }

  PathMtu mtu;
  std::size_t carries;
  std::uint32_t loss_percent = 0;
  SeededRandom random;
  Instant now = kStart;
  std::uint64_t number = 1'000;
  std::size_t bytes = 0;
};

using Sizes = std::vector<std::size_t>;

}  // namespace

TEST_CASE("path MTU: without discovery, or when 1,200 is all that the other side takes, nothing is probed") {
  PathMtu none;
  none.want_more();
  CHECK(none.next_probe(kStart) == 0);
  CHECK(none.current() == 1'200);
  CHECK(none.next_deadline() == kNever);
  for (const std::size_t limit : {0U, 1'199U, 1'200U}) {
    Path path(limit, 9'000);
    CHECK(path.search().empty());
    CHECK(path.mtu.current() == 1'200);
  }
}

TEST_CASE("path MTU: whoever has no use for it does not probe") {
  Path path(8'972, 9'000);
  CHECK(path.mtu.next_probe(kStart + seconds(1'000)) == 0);
  CHECK(path.mtu.next_deadline() == kNever);
  path.mtu.want_more();
  CHECK(path.mtu.next_probe(kStart) == 1'472);
}

TEST_CASE("path MTU: Ethernet's first; above it one after the other, below it by halves") {
  CHECK(Path(8'972, 9'000).search() == Sizes{1'472, 4'052, 8'152, 8'952, 8'972});
  CHECK(Path(8'972, 1'472).search() == Sizes{1'472, 4'052, 4'052, 4'052});
  CHECK(Path(8'972, 1'464).search() == Sizes{1'472, 1'472, 1'472, 1'432, 1'464});
  CHECK(Path(1'472, 9'000).search() == Sizes{1'472});
  CHECK(Path(1'400, 9'000).search() == Sizes{1'400});
  CHECK(Path(9'216, 9'216).search() == Sizes{1'472, 4'052, 8'152, 8'952, 8'972, 9'216});
  CHECK(Path(8'972, 9'000, true).search() == Sizes{1'452, 4'032, 8'132, 8'932, 8'952, 8'972});
}

TEST_CASE("path MTU: what is found is the greatest candidate that passes, whatever the path carries") {
  const Sizes candidates = {1'200, 1'252, 1'352, 1'392, 1'432, 1'452,
                            1'464, 1'472, 4'052, 8'152, 8'952, 8'972};
  for (std::size_t carries = 1'200; carries <= 9'100; ++carries) {
    Path path(8'972, carries);
    const std::size_t probes = path.search().size();
    const auto above = std::ranges::upper_bound(candidates, carries);
    REQUIRE(path.mtu.current() == *std::prev(above));
    REQUIRE(probes <= 3 * 4);
    if (carries < 4'052) REQUIRE(path.bytes <= 17'000);
  }
}

TEST_CASE("path MTU: random losses cost probes, and nothing larger than the path is ever taken") {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    Path path(8'972, 1'472, false, seed);
    path.loss_percent = 30;
    path.search();
    CHECK(path.mtu.current() <= 1'472);
  }
}

TEST_CASE("path MTU: a probe that nobody speaks of is lost after a second, or three PTO") {
  Path path(8'972, 9'000);
  path.mtu.want_more();
  path.mtu.on_probe_sent(path.mtu.next_probe(kStart), 7, kStart, milliseconds(100));
  CHECK(path.mtu.next_deadline() == kStart + seconds(1));
  path.mtu.on_timer(kStart + seconds(1) - Duration(1));
  CHECK(path.mtu.next_probe(kStart + seconds(1)) == 0);
  path.mtu.on_timer(kStart + seconds(1));
  CHECK(path.mtu.next_deadline() == kNever);
  // Its acknowledgement is too late.
  path.mtu.on_probe_acked(7, kStart + seconds(1));
  CHECK(path.mtu.current() == 1'200);
  REQUIRE(path.mtu.next_probe(kStart + seconds(1)) == 1'472);
  path.mtu.on_probe_sent(1'472, 8, kStart + seconds(1), seconds(1));
  CHECK(path.mtu.next_deadline() == kStart + seconds(4));
}

TEST_CASE("path MTU: other packets than the probe are none of its business") {
  Path path(8'972, 9'000);
  path.mtu.want_more();
  path.mtu.on_probe_acked(0, kStart);
  path.mtu.on_probe_lost(0, kStart);
  path.mtu.on_probe_sent(1'472, 7, kStart, kRoundTrip);
  path.mtu.on_probe_acked(6, kStart);
  path.mtu.on_probe_lost(8, kStart);
  path.mtu.on_probe_too_long(1'471, kStart);
  path.mtu.on_probe_too_long(4'052, kStart);
  CHECK(path.mtu.current() == 1'200);
  CHECK(path.mtu.next_deadline() != kNever);
  path.mtu.on_probe_acked(7, kStart);
  CHECK(path.mtu.current() == 1'472);
}

TEST_CASE("path MTU: what the interface cannot carry fails at once") {
  Path path(8'972, 9'000);
  REQUIRE(path.mtu.next_probe(kStart) == 0);
  path.mtu.want_more();
  path.mtu.on_probe_sent(1'472, 7, kStart, kRoundTrip);
  path.mtu.on_probe_acked(7, kStart);
  REQUIRE(path.mtu.next_probe(kStart) == 4'052);
  path.mtu.on_probe_sent(4'052, 8, kStart, kRoundTrip);
  path.mtu.on_probe_too_long(4'052, kStart);
  CHECK(path.mtu.next_probe(kStart) == 0);
  CHECK(path.mtu.current() == 1'472);
}

TEST_CASE("path MTU: after 600 seconds it goes on above, if there is use for it") {
  Path path(8'972, 1'472);
  path.search();
  REQUIRE(path.mtu.current() == 1'472);
  path.mtu.want_more();
  CHECK(path.mtu.next_probe(path.now + seconds(600) - Duration(1)) == 0);
  CHECK(path.mtu.next_deadline() == kNever);
  path.carries = 9'000;
  path.now += seconds(600);
  CHECK(path.search() == Sizes{4'052, 8'152, 8'952, 8'972});
  path.now += seconds(6'000);
  CHECK(path.search().empty());
}

TEST_CASE("path MTU: three flights of long packets lost in a row are a black hole") {
  Path path(8'972, 9'000);
  path.search();
  REQUIRE(path.mtu.current() == 8'972);
  CHECK_FALSE(path.lose_flight(40));
  CHECK_FALSE(path.lose_flight(40));
  SUBCASE("and nothing of the kind is acknowledged in between") {
    path.mtu.on_packet_acked(1'200);
    CHECK(path.lose_flight());
    CHECK(path.mtu.current() == 1'200);
    // Anew after ten seconds.
    path.carries = 1'472;
    CHECK(path.search().empty());
    path.now += seconds(10);
    path.search();
    CHECK(path.mtu.current() == 1'472);
    // And after twenty.
    for (int i = 0; i < 3; ++i) CHECK(path.lose_flight() == (i == 2));
    path.now += seconds(20) - Duration(1);
    CHECK(path.search().empty());
    path.now += Duration(1);
    CHECK_FALSE(path.search().empty());
  }
  SUBCASE("but not when one was acknowledged") {
    path.mtu.on_packet_acked(1'201);
    CHECK_FALSE(path.lose_flight(40));
    CHECK_FALSE(path.lose_flight(40));
    CHECK(path.mtu.current() == 8'972);
  }
  SUBCASE("and what was sent before the last loss was known does not count") {
    CHECK_FALSE(path.mtu.on_packet_lost(8'972, path.number - 1, path.number, path.now));
    CHECK(path.mtu.current() == 8'972);
  }
  SUBCASE("nor do losses of packets that are no longer than 1,200 bytes") {
    for (int i = 0; i < 10; ++i) {
      CHECK_FALSE(path.mtu.on_packet_lost(1'200, path.number, path.number + 1, path.now));
      ++path.number;
    }
    CHECK(path.mtu.current() == 8'972);
  }
}
