// The judgement on a move, without an endpoint (docs/protocol.md section 14).
#include "engine/path_validation.hpp"

#include <doctest/doctest.h>

#include <vector>

using namespace hawser;  // NOLINT(google-build-using-namespace): a test
using std::chrono::milliseconds;
using std::chrono::seconds;
using Phase = PathValidation::Phase;
using Verdict = PathValidation::Verdict;

namespace {

const SocketAddress kGateway = SocketAddress::ipv4({10, 0, 0, 1}, 4000);
const NetworkPath kOld{SocketAddress::ipv4({10, 0, 1, 1}, 5000), kGateway, {}};
const NetworkPath kNew{SocketAddress::ipv4({10, 0, 1, 2}, 5000), kGateway, {}};
const SocketAddress kThird = SocketAddress::ipv4({10, 0, 1, 3}, 5000);
constexpr PathData kNewData{std::byte{1}};
constexpr PathData kOldData{std::byte{2}};
constexpr Instant kStart{seconds(100)};
constexpr Duration kPto = milliseconds(200);

PathValidation begun(std::size_t size = 50) { return {kOld, kNew, size, kNewData, kOldData, kPto, kStart}; }

}  // namespace

TEST_CASE("a challenge is answered from the candidate: moved") {
  PathValidation move = begun();
  CHECK(move.phase() == Phase::kValidating);
  CHECK(move.candidate() == kNew);
  CHECK(move.former() == kOld);
  CHECK(move.on_packet(kNew.remote, 60, true, kStart) == Verdict::kNothing);
  CHECK(move.on_response(kNewData, kStart + milliseconds(50)) == Verdict::kMoved);
  CHECK(move.phase() == Phase::kWatching);
  CHECK_FALSE(move.over(kStart + milliseconds(50) + seconds(3) - Duration(1)));
  CHECK(move.over(kStart + milliseconds(50) + seconds(3)));
}

TEST_CASE("an answer with other bytes, or from elsewhere than the candidate, moves nothing") {
  PathValidation move = begun();
  CHECK(move.on_response(PathData{std::byte{3}}, kStart) == Verdict::kNothing);
  CHECK(move.on_packet(kThird, 60, true, kStart) == Verdict::kNothing);
  CHECK(move.on_response(kNewData, kStart) == Verdict::kNothing);
  CHECK(move.on_packet(kOld.remote, 60, false, kStart) == Verdict::kNothing);
  CHECK(move.on_response(kNewData, kStart) == Verdict::kNothing);
  CHECK(move.phase() == Phase::kValidating);
}

TEST_CASE("however many packets call for a challenge that cannot be sent, the pause between two has an end") {
  PathValidation move = begun();
  Instant now = kStart;
  for (int packet = 0; packet < 200; ++packet) {
    move.on_challenged(0, now);
    now += milliseconds(1);
    CHECK(move.on_packet(kNew.remote, 60, true, now) == Verdict::kNothing);
    CHECK(move.challenge_due(now));
  }
  CHECK(move.next_deadline() <= kStart + seconds(3));
  CHECK(move.over(kStart + seconds(3)));
}

TEST_CASE("what shows that the client is still at its address cancels, and none begins for a second") {
  PathValidation move = begun();
  SUBCASE("a newer packet from there") {
    CHECK(move.on_packet(kOld.remote, 60, true, kStart) == Verdict::kCancelled);
  }
  SUBCASE("an answer to the challenge that was sent there") {
    CHECK(move.on_packet(kOld.remote, 60, false, kStart) == Verdict::kNothing);
    CHECK(move.on_response(kOldData, kStart) == Verdict::kCancelled);
  }
  SUBCASE("likewise, brought from elsewhere") {
    CHECK(move.on_packet(kNew.remote, 60, true, kStart) == Verdict::kNothing);
    CHECK(move.on_response(kOldData, kStart) == Verdict::kCancelled);
  }
  CHECK(move.phase() == Phase::kResting);
  CHECK_FALSE(move.gives_way_to(kThird));
  CHECK_FALSE(move.gives_way_to(kNew.remote));
  CHECK_FALSE(move.challenge_due(kStart + seconds(10)));
  CHECK(move.on_response(kNewData, kStart) == Verdict::kNothing);
  CHECK(move.on_response(kOldData, kStart) == Verdict::kNothing);
  CHECK(move.next_deadline() == kStart + PathValidation::kRest);
  CHECK(move.over(kStart + PathValidation::kRest));
}

TEST_CASE("after a move the former address takes the peer back in the same ways") {
  PathValidation move = begun();
  REQUIRE(move.on_response(kNewData, kStart) == Verdict::kMoved);
  SUBCASE("a newer packet from there") {
    CHECK(move.on_packet(kOld.remote, 60, true, kStart) == Verdict::kReturned);
  }
  SUBCASE("an answer to the challenge that was sent there") {
    CHECK(move.on_packet(kNew.remote, 60, true, kStart) == Verdict::kNothing);
    CHECK(move.on_response(kOldData, kStart) == Verdict::kReturned);
  }
  CHECK(move.phase() == Phase::kResting);
}

TEST_CASE("a packet that is late from the former address neither cancels nor returns") {
  PathValidation move = begun();
  CHECK(move.on_packet(kOld.remote, 60, false, kStart) == Verdict::kNothing);
  REQUIRE(move.on_packet(kNew.remote, 60, true, kStart) == Verdict::kNothing);
  REQUIRE(move.on_response(kNewData, kStart) == Verdict::kMoved);
  CHECK(move.on_packet(kOld.remote, 60, false, kStart) == Verdict::kNothing);
  CHECK(move.phase() == Phase::kWatching);
}

TEST_CASE("the candidate is another's turn: a third address, and any once the move is done") {
  PathValidation move = begun();
  CHECK(move.gives_way_to(kThird));
  CHECK_FALSE(move.gives_way_to(kNew.remote));
  REQUIRE(move.on_response(kNewData, kStart) == Verdict::kMoved);
  CHECK(move.gives_way_to(kThird));
}

TEST_CASE("challenges are repeated after a PTO, then twice as long, and given up after three long ones") {
  PathValidation move = begun(1'000);
  std::vector<Duration> sent;
  for (Instant now = kStart; !move.over(now); now = move.next_deadline()) {
    REQUIRE(move.challenge_due(now));
    sent.push_back(now - kStart);
    move.on_challenged(100, now);
    REQUIRE(move.next_deadline() > now);
  }
  CHECK(sent ==
        std::vector<Duration>{milliseconds(0), milliseconds(200), milliseconds(600), milliseconds(1'400)});
  CHECK(move.next_deadline() == kStart + seconds(3));
  // RFC 9000 section 8.2.4: three times the longer of the two timeouts.
  PathValidation slow(kOld, kNew, 50, kNewData, kOldData, seconds(2), kStart);
  CHECK_FALSE(slow.over(kStart + seconds(6) - Duration(1)));
  CHECK(slow.over(kStart + seconds(6)));
}

TEST_CASE("after a move only the former address is challenged, for as long again") {
  PathValidation move = begun();
  move.on_challenged(38, kStart);
  REQUIRE(move.on_response(kNewData, kStart + milliseconds(10)) == Verdict::kMoved);
  CHECK(move.challenge_due(kStart + kPto));
  move.on_challenged(0, kStart + kPto);
  CHECK_FALSE(move.challenge_due(kStart + 3 * kPto - Duration(1)));
  CHECK(move.challenge_due(kStart + 3 * kPto));
}

TEST_CASE("the candidate is sent three times what came from it, and what is withheld goes when more comes") {
  PathValidation move = begun(30);
  CHECK(move.allowance() == 90);
  move.on_challenged(60, kStart);
  CHECK(move.allowance() == 30);
  move.on_challenged(0, kStart + kPto);
  CHECK_FALSE(move.challenge_due(kStart + kPto));
  // What comes from elsewhere gives nothing.
  CHECK(move.on_packet(kThird, 500, true, kStart + kPto) == Verdict::kNothing);
  CHECK(move.on_packet(kOld.remote, 500, false, kStart + kPto) == Verdict::kNothing);
  CHECK(move.allowance() == 30);
  CHECK_FALSE(move.challenge_due(kStart + kPto));
  CHECK(move.on_packet(kNew.remote, 20, false, kStart + kPto) == Verdict::kNothing);
  CHECK(move.allowance() == 90);
  CHECK(move.challenge_due(kStart + kPto));
}

TEST_CASE("only the port differs: the same hosts") {
  NetworkPath other = kOld;
  other.remote.port = 6000;
  CHECK(other.same_hosts(kOld));
  CHECK_FALSE(kNew.same_hosts(kOld));
  other = kOld;
  other.local = kThird;
  CHECK_FALSE(other.same_hosts(kOld));
}
