// Runs of datagrams that cross the kernel as one message, in either direction, over real loopback sockets:
// what arrives is what was sent, whichever side has offload.
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"
#include "io/udp_socket.hpp"
#include "udp_socket_support.hpp"

namespace hawser {

using namespace test;  // NOLINT(google-build-using-namespace): a test

namespace {

constexpr std::size_t kRun = 64;  // datagrams in a message at most

// The native socket without offload.
struct Plain {
  static auto open(SocketOptions options) {
    options.offload = false;
    return UdpSocket::open_native(options);
  }
};

bool has_offload() {
  SocketOptions options;
  options.bind_address = loopback();
  const auto socket = UdpSocket::open_native(options);
  return socket && (*socket)->features().segmentation_offload && (*socket)->features().receive_offload;
}

// One datagram of each length, with contents of its own.
std::vector<std::vector<std::byte>> of_lengths(const std::vector<std::size_t>& lengths) {
  std::vector<std::vector<std::byte>> all;
  for (const std::size_t length : lengths) {
    all.emplace_back(length, static_cast<std::byte>(all.size()));
    if (length > 1) all.back().back() = static_cast<std::byte>(all.size() >> 8U);
  }
  return all;
}

std::vector<std::vector<std::byte>> run_of(std::size_t count, std::size_t length) {
  return of_lengths(std::vector<std::size_t>(count, length));
}

void check_arrived(const std::vector<Arrived>& received, const std::vector<OutgoingDatagram>& sent,
                   const UdpSocket& sender) {
  REQUIRE(received.size() == sent.size());
  for (std::size_t i = 0; i < sent.size(); ++i) {
    CAPTURE(i);
    REQUIRE(std::equal(received[i].bytes.begin(), received[i].bytes.end(), sent[i].bytes.begin(),
                       sent[i].bytes.end()));
    REQUIRE(received[i].local == sent[i].remote);
    REQUIRE(received[i].ecn == sent[i].ecn);
    REQUIRE(received[i].remote.port == sender.local_address().port);
    if (sent[i].local.family != SocketAddress::Family::kNone)
      REQUIRE(received[i].remote.ip == sent[i].local.ip);
  }
}

}  // namespace

TEST_SUITE_BEGIN("udp offload" * doctest::skip(!has_offload()));

TEST_CASE_TEMPLATE("a run leaves in one call and arrives as its datagrams, with or without receive offload",
                   Kind, Native, Plain, Portable) {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Kind>(loopback());
  for (const std::size_t count : {1U, 2U, 3U, 63U, 64U, 65U, 128U, 200U}) {
    CAPTURE(count);
    const SocketCounters before = sender->counters();
    const SocketCounters received_before = receiver->counters();
    const std::uint64_t entries_before = receiver->queue_entries_read();
    const auto bytes = run_of(count, 100);
    const auto datagrams = addressed(bytes, receiver->local_address());
    const auto result = sender->send(datagrams);
    CHECK(result.sent == count);
    CHECK(result.dropped == 0);
    check_arrived(receive_all(*receiver, count), datagrams, *sender);

    const std::size_t in_runs = count % kRun == 1 ? count - 1 : count;
    CHECK(sender->counters().send_calls - before.send_calls == 1);
    CHECK(sender->counters().datagrams_out - before.datagrams_out == count);
    CHECK(sender->counters().bytes_out - before.bytes_out == 100 * count);
    CHECK(sender->counters().send_segmented - before.send_segmented == in_runs);

    const bool joined = receiver->features().receive_offload;
    CHECK(receiver->counters().datagrams_in - received_before.datagrams_in == count);
    CHECK(receiver->counters().bytes_in - received_before.bytes_in == 100 * count);
    CHECK(receiver->counters().receive_coalesced - received_before.receive_coalesced ==
          (joined ? in_runs : 0));
    CHECK(receiver->queue_entries_read() - entries_before == (joined ? (count + kRun - 1) / kRun : count));
  }
}

TEST_CASE("a shorter datagram ends a run, a longer one begins another, an empty one is alone") {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Native>(loopback());
  const auto bytes = of_lengths({100, 100, 60, 100, 100, 200, 200, 0, 0, 50, 50, 49, 48, 7});
  const auto datagrams = addressed(bytes, receiver->local_address());
  REQUIRE(sender->send(datagrams).sent == datagrams.size());
  check_arrived(receive_all(*receiver, datagrams.size()), datagrams, *sender);
  // 100 100 60 | 100 100 | 200 200 | 0 | 0 | 50 50 49 | 48 7
  CHECK(receiver->queue_entries_read() == 7);
  CHECK(sender->counters().send_segmented == 12);
  CHECK(sender->counters().send_calls == 1);
}

TEST_CASE("no message is longer than UDP allows") {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Native>(loopback());
  for (const std::size_t length : {1200U, 1472U, 8972U, 9216U}) {
    CAPTURE(length);
    const std::size_t count = 80'000 / length;
    const std::uint64_t entries_before = receiver->queue_entries_read();
    const auto bytes = run_of(count, length);
    const auto datagrams = addressed(bytes, receiver->local_address());
    REQUIRE(sender->send(datagrams).sent == count);
    check_arrived(receive_all(*receiver, count), datagrams, *sender);
    CHECK(receiver->queue_entries_read() - entries_before == 2);
  }
  CHECK(sender->features().segmentation_offload);
}

TEST_CASE("datagrams that differ in remote, source or ECN share no message") {
  const auto sender = open<Native>(any_ipv4());
  const auto receiver = open<Native>(any_ipv4());
  const std::uint16_t port = receiver->local_address().port;
  const std::vector<std::byte> bytes(100, std::byte{7});
  std::vector<OutgoingDatagram> datagrams;
  for (std::uint8_t i = 0; i < 32; ++i) {
    const std::uint8_t host = i < 16 ? 1 : 2;
    const std::uint8_t source = i % 16 < 8 ? 1 : 2;
    auto datagram = outgoing(bytes, SocketAddress::ipv4({127, 0, 0, host}, port));
    datagram.local = SocketAddress::ipv4({127, 5, 5, source}, 0);
    datagram.ecn = i % 8 < 4 ? kEcnEct0 : kEcnEct1;
    datagrams.push_back(datagram);
  }
  REQUIRE(sender->send(datagrams).sent == datagrams.size());
  check_arrived(receive_all(*receiver, datagrams.size()), datagrams, *sender);
  CHECK(receiver->queue_entries_read() == 8);
  CHECK(sender->counters().send_segmented == 32);
}

TEST_CASE_TEMPLATE("every datagram of a run has the run's ECN mark, in both families", Kind, Native, Plain) {
  std::vector<SocketAddress> addresses{loopback()};
  if (has_ipv6()) addresses.push_back(SocketAddress::ipv6(kIpv6Loopback, 0));
  for (const SocketAddress& address : addresses) {
    SocketOptions options;
    options.bind_address = has_ipv6() ? any_ipv6() : any_ipv4();
    options.dscp = 46;
    const auto sender = open<Native>(options);
    const auto receiver = open<Kind>(address);
    const auto bytes = run_of(40, 83);
    auto datagrams = addressed(bytes, receiver->local_address());
    for (std::size_t i = 0; i < datagrams.size(); ++i) {
      datagrams[i].ecn = static_cast<std::uint8_t>(i / 10);
      datagrams[i].local = address;
    }
    REQUIRE(sender->send(datagrams).sent == datagrams.size());
    check_arrived(receive_all(*receiver, datagrams.size()), datagrams, *sender);
    CHECK(sender->counters().send_segmented == datagrams.size());
  }
}

TEST_CASE("without offload every datagram is a message of its own, on both sides") {
  const auto sender = open<Plain>(loopback());
  const auto receiver = open<Plain>(loopback());
  CHECK_FALSE(sender->features().segmentation_offload);
  CHECK_FALSE(sender->features().receive_offload);
  const auto bytes = run_of(kRun, 100);
  const auto datagrams = addressed(bytes, receiver->local_address());
  REQUIRE(sender->send(datagrams).sent == kRun);
  check_arrived(receive_all(*receiver, kRun), datagrams, *sender);
  CHECK(sender->counters().send_segmented == 0);
  CHECK(receiver->counters().receive_coalesced == 0);
}

TEST_CASE("a kernel without one of the two options is served without it") {
  const auto bytes = run_of(kRun, 100);
  for (const bool sending : {true, false}) {
    CAPTURE(sending);
    option_faults = {Fault{sending ? 0U : 1U, ENOPROTOOPT}};
    const auto socket = open<Native>(loopback());
    const auto peer = open<Native>(loopback());
    CHECK(socket->features().segmentation_offload == !sending);
    CHECK(socket->features().receive_offload == sending);
    const auto to_peer = addressed(bytes, peer->local_address());
    REQUIRE(socket->send(to_peer).sent == kRun);
    check_arrived(receive_all(*peer, kRun), to_peer, *socket);
    CHECK(socket->counters().send_segmented == (sending ? 0 : kRun));
    const auto to_socket = addressed(bytes, socket->local_address());
    REQUIRE(peer->send(to_socket).sent == kRun);
    check_arrived(receive_all(*socket, kRun), to_socket, *peer);
    CHECK(socket->counters().receive_coalesced == (sending ? kRun : 0));
  }
}

TEST_CASE("a kernel that refuses to cut gets the run datagram by datagram, and no further runs") {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Native>(loopback());
  // It cuts only what it computes the checksums of.
  const int on = 1;
  REQUIRE(::setsockopt(sender->descriptor(), SOL_SOCKET, SO_NO_CHECK, &on, sizeof on) == 0);
  const auto bytes = run_of(kRun + 10, 100);
  const auto datagrams = addressed(bytes, receiver->local_address());
  for (int round = 0; round < 2; ++round) {
    CAPTURE(round);
    const SocketCounters before = sender->counters();
    const auto result = sender->send(datagrams);
    CHECK(result.sent == datagrams.size());
    CHECK(result.dropped == 0);
    check_arrived(receive_all(*receiver, datagrams.size()), datagrams, *sender);
    CHECK_FALSE(sender->features().segmentation_offload);
    CHECK(sender->counters().send_segmented == 0);
    if (round == 1) CHECK(sender->counters().send_calls - before.send_calls == 2);
  }
  std::array<ReceivedDatagram, 1> out;
  CHECK(receiver->receive(out) == 0);
}

TEST_CASE("only an error that the longest datagram of the run does not share ends segmentation") {
  struct Case {
    Faults faults;
    std::size_t dropped;
    bool goes_on;
  };
  const std::vector<Case> cases{
      {{{0, EIO}}, 0, false},
      {{{0, EINVAL}}, 0, false},
      {{{0, EOPNOTSUPP}}, 0, false},
      {{{0, ENOPROTOOPT}}, 0, false},
      // A datagram longer than the interface takes: EINVAL for the run in older kernels, EMSGSIZE since.
      {{{0, EINVAL}, {0, EMSGSIZE}}, 1, true},
      {{{0, EMSGSIZE}, {0, EMSGSIZE}}, 1, true},
      {{{0, EINVAL}, {0, EINVAL}, {0, EINVAL}}, 2, true},
      {{{0, ENETUNREACH}}, 0, true},
      {{{0, EPERM}, {3, EPERM}}, 1, true},
      {{{0, ECONNREFUSED}}, 0, true},
      {{{0, ENOBUFS}, {9, ENOBUFS}}, 1, true},
      {{{0, EINTR}}, 0, true},
      {{{0, EIO}, {0, EINTR}}, 0, false},
  };
  const auto receiver = open<Native>(loopback());
  const auto bytes = run_of(10, 100);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(i);
    const auto sender = open<Native>(loopback());
    auto datagrams = addressed(bytes, receiver->local_address());
    send_faults = cases[i].faults;
    const auto result = sender->send(datagrams);
    CHECK(send_faults.empty());
    CHECK(result.sent == bytes.size() - cases[i].dropped);
    CHECK(result.dropped == cases[i].dropped);
    CHECK_FALSE(result.blocked);
    CHECK(sender->counters().datagrams_out == result.sent);
    CHECK(sender->features().segmentation_offload == cases[i].goes_on);
    CHECK(receive_all(*receiver, result.sent).size() == result.sent);
    // The next run.
    const std::uint64_t segmented_before = sender->counters().send_segmented;
    CHECK(sender->send(datagrams).sent == bytes.size());
    CHECK(sender->counters().send_segmented - segmented_before == (cases[i].goes_on ? bytes.size() : 0));
    check_arrived(receive_all(*receiver, bytes.size()), datagrams, *sender);
  }
}

TEST_CASE("a run to where nothing can be sent drops each of its datagrams and no other") {
  const auto sender = open<Native>(any_ipv4());
  const auto receiver = open<Native>(loopback());
  const auto bytes = run_of(30, 100);
  auto datagrams = addressed(bytes, receiver->local_address());
  for (std::size_t i = 10; i < 20; ++i) datagrams[i].remote = SocketAddress::ipv4({127, 255, 255, 255}, 9);
  for (std::size_t i = 22; i < 25; ++i) datagrams[i].remote.port = 0;
  const auto result = sender->send(datagrams);
  CHECK(result.sent == 17);
  CHECK(result.dropped == 13);
  CHECK(drops(sender->counters(), SendDropReason::kForbidden) == 10);
  CHECK(drops(sender->counters(), SendDropReason::kInvalidAddress) == 3);
  CHECK(sender->features().segmentation_offload);
  datagrams.erase(datagrams.begin() + 22, datagrams.begin() + 25);
  datagrams.erase(datagrams.begin() + 10, datagrams.begin() + 20);
  check_arrived(receive_all(*receiver, 17), datagrams, *sender);
}

TEST_CASE("a full send buffer leaves a run to the caller, whole or from where it came apart") {
  const auto receiver = open<Native>(loopback());
  const auto bytes = run_of(3 * kRun, 100);
  const auto datagrams = addressed(bytes, receiver->local_address());
  struct Case {
    Faults faults;
    std::size_t sent;
  };
  const std::vector<Case> cases{
      {{{0, EAGAIN}}, 0},
      {{{1, EAGAIN}}, kRun},
      {{{2, EAGAIN}}, 2 * kRun},
      {{{1, EIO}, {0, EAGAIN}}, kRun},
      {{{1, EIO}, {5, EAGAIN}}, kRun + 5},
      {{{0, EPERM}, {63, EAGAIN}}, kRun - 1},
      {{{0, EPERM}, {64, EAGAIN}}, kRun},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    CAPTURE(i);
    const auto sender = open<Native>(loopback());
    send_faults = cases[i].faults;
    const auto first = sender->send(datagrams);
    CHECK(send_faults.empty());
    CHECK(first.blocked);
    CHECK(first.sent == cases[i].sent);
    CHECK(first.dropped == 0);
    CHECK(sender->counters().send_blocked == 1);
    const auto second = sender->send(std::span(datagrams).subspan(first.sent));
    CHECK_FALSE(second.blocked);
    CHECK(first.sent + second.sent == datagrams.size());
    check_arrived(receive_all(*receiver, datagrams.size()), datagrams, *sender);
  }
}

TEST_CASE("coalesced datagrams that there is no room for come with the next calls") {
  const auto sender = open<Native>(loopback());
  const auto bytes = run_of(3 * kRun, 100);
  for (const std::size_t room : {1U, 3U, 7U, 63U, 64U, 100U}) {
    CAPTURE(room);
    const auto receiver = open<Native>(loopback());
    const auto datagrams = addressed(bytes, receiver->local_address());
    REQUIRE(sender->send(datagrams).sent == datagrams.size());
    std::vector<ReceivedDatagram> out(room);
    std::size_t taken = 0;
    while (taken < datagrams.size()) {
      const std::uint64_t calls_before = receiver->counters().receive_calls;
      const bool had_leftovers = receiver->has_leftovers();
      const std::size_t got = receiver->receive(out);
      REQUIRE(got > 0);
      REQUIRE(got <= std::min(room, kSocketBatch));
      // What arrived since the kernel was last asked may wait there.
      CHECK(receiver->counters().receive_calls - calls_before == (had_leftovers ? 0 : 1));
      if (had_leftovers) CHECK_FALSE(receiver->drained());
      for (std::size_t i = 0; i < got; ++i) {
        REQUIRE(std::equal(out[i].bytes.begin(), out[i].bytes.end(), bytes[taken + i].begin(),
                           bytes[taken + i].end()));
        std::fill(out[i].bytes.begin(), out[i].bytes.end(), std::byte{0xee});
      }
      taken += got;
      REQUIRE(receiver->queue_entries_read() == taken / kRun);
    }
    CHECK_FALSE(receiver->has_leftovers());
    CHECK(receiver->receive(out) == 0);
    CHECK(receiver->drained());
  }
}

TEST_CASE("closing discards what was left over") {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Native>(loopback());
  const auto bytes = run_of(kRun, 100);
  REQUIRE(sender->send(addressed(bytes, receiver->local_address())).sent == kRun);
  REQUIRE(wait_readable(*receiver));
  std::array<ReceivedDatagram, 3> out;
  REQUIRE(receiver->receive(out) == 3);
  REQUIRE(receiver->has_leftovers());
  receiver->close();
  CHECK_FALSE(receiver->has_leftovers());
  CHECK(receiver->receive(out) == 0);
  CHECK(receiver->drained());
}

TEST_CASE("coalesced datagrams that are too long are counted one by one") {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Native>(loopback());
  const auto bytes = of_lengths({10'000, 10'000, 10'000, 500, 500});
  REQUIRE(sender->send(addressed(bytes, receiver->local_address())).sent == bytes.size());
  const auto received = receive_all(*receiver, 2);
  REQUIRE(received.size() == 2);
  CHECK(received[0].bytes == bytes[3]);
  CHECK(received[1].bytes == bytes[4]);
  CHECK(receiver->counters().receive_truncated == 3);
  CHECK(receiver->counters().datagrams_in == 2);
  CHECK(receiver->counters().bytes_in == 1000);
}

TEST_CASE("the socket asks for as many messages as the datagrams of the last ones suggest") {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Native>(loopback());
  std::array<ReceivedDatagram, kSocketBatch> out;
  const auto runs = run_of(4 * kRun, 100);
  const auto singles = payloads(100);
  const auto read = [&] {
    std::vector<std::size_t> calls;
    do {
      const std::uint64_t entries_before = receiver->queue_entries_read();
      receiver->receive(out);
      calls.push_back(static_cast<std::size_t>(receiver->queue_entries_read() - entries_before));
    } while (!receiver->drained());
    return calls;
  };
  // Every call hands out one whole run; the first has asked for all four, the others for none.
  REQUIRE(sender->send(addressed(runs, receiver->local_address())).sent == runs.size());
  REQUIRE(wait_readable(*receiver));
  CHECK(read() == std::vector<std::size_t>{1, 1, 1, 1, 0});
  CHECK(receiver->counters().receive_calls == 2);
  // Two by two now.
  REQUIRE(sender->send(addressed(runs, receiver->local_address())).sent == runs.size());
  CHECK(read() == std::vector<std::size_t>{1, 1, 1, 1, 0});
  CHECK(receiver->counters().receive_calls == 5);
  // Two messages, one datagram each: then it asks for a whole batch again.
  REQUIRE(sender->send(addressed(singles, receiver->local_address())).sent == singles.size());
  CHECK(read() == std::vector<std::size_t>{2, kSocketBatch, 34});
}

TEST_CASE_TEMPLATE("random runs arrive as they were sent", Kind, Native, Plain, Portable) {
  constexpr std::array<std::size_t, 8> kLengths{0, 1, 83, 83, 83, 1200, 1200, 400};
  const auto sender = open<Native>(any_ipv4());
  const auto receiver = open<Kind>(any_ipv4());
  const std::uint16_t port = receiver->local_address().port;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t changes = 1 + random.below(20);  // in 20: how often a run is likely to end
    std::vector<std::vector<std::byte>> bytes(1 + random.below(100));
    std::vector<OutgoingDatagram> datagrams;
    OutgoingDatagram like = outgoing({}, SocketAddress::ipv4({127, 0, 0, 1}, port));
    std::size_t length = 83;
    for (auto& each : bytes) {
      if (random.below(20) < changes) length = kLengths[random.below(kLengths.size())];
      if (random.below(40) < changes) like.ecn = static_cast<std::uint8_t>(random.below(4));
      if (random.below(80) < changes) like.remote.ip[3] = static_cast<std::byte>(1 + random.below(3));
      if (random.below(80) < changes)
        like.local = SocketAddress::ipv4({127, 0, 1, static_cast<std::uint8_t>(1 + random.below(3))}, 0);
      each.resize(length);
      random.fill(each);
      like.bytes = each;
      datagrams.push_back(like);
    }
    REQUIRE(sender->send(datagrams).sent == datagrams.size());
    std::vector<Arrived> received;
    std::vector<ReceivedDatagram> out(1 + random.below(80));
    while (received.size() < datagrams.size()) {
      if (!receiver->has_leftovers()) REQUIRE(wait_readable(*receiver));
      for (const auto& datagram : std::span(out).first(receiver->receive(out))) {
        received.push_back(
            {{datagram.bytes.begin(), datagram.bytes.end()}, datagram.remote, datagram.local, datagram.ecn});
      }
    }
    check_arrived(received, datagrams, *sender);
  }
  CHECK(receiver->counters().datagrams_in == sender->counters().datagrams_out);
  CHECK(receiver->counters().bytes_in == sender->counters().bytes_out);
  CHECK(sender->features().segmentation_offload);
}

TEST_CASE("runs allocate nothing") {
  const auto sender = open<Native>(loopback());
  const auto receiver = open<Native>(loopback());
  const auto bytes = run_of(200, 100);
  const auto datagrams = addressed(bytes, receiver->local_address());
  std::array<ReceivedDatagram, 50> out;
  std::size_t received = 0;
  AllocationCount allocations;
  const auto result = sender->send(datagrams);
  while (received < result.sent) received += receiver->receive(out);
  CHECK(allocations.count() == 0);
  CHECK(received == 200);
}

TEST_SUITE_END();

}  // namespace hawser
