// The socket contract over real loopback sockets; every case runs against each implementation. For Linux: it
// relies on the whole of 127.0.0.0/8 being this host.
#include "io/udp_socket.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/socket_memory.hpp"
#include "io/socket_support.hpp"
#include "test/allocation_counter.hpp"
#include "udp_socket_support.hpp"

namespace hawser {

using namespace test;  // NOLINT(google-build-using-namespace): a test

namespace {

// The index of an interface that is up and has a link-local IPv6 address, with that address.
std::optional<SocketAddress> find_link_local() {
  ifaddrs* interfaces = nullptr;
  if (::getifaddrs(&interfaces) != 0) return std::nullopt;
  std::optional<SocketAddress> found;
  for (const ifaddrs* each = interfaces; each != nullptr; each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET6 || (each->ifa_flags & IFF_UP) == 0)
      continue;
    sockaddr_in6 name{};
    std::memcpy(&name, each->ifa_addr, sizeof name);
    if (!IN6_IS_ADDR_LINKLOCAL(&name.sin6_addr)) continue;
    std::array<std::uint8_t, 16> octets{};
    std::memcpy(octets.data(), &name.sin6_addr, octets.size());
    found = SocketAddress::ipv6(octets, 0, name.sin6_scope_id);
  }
  ::freeifaddrs(interfaces);
  return found;
}

}  // namespace

TEST_SUITE_BEGIN("udp socket");

TEST_CASE_TEMPLATE("batches of every size arrive whole, in order and counted", Kind, Native, Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  for (std::size_t count = 1; count <= 200; ++count) {
    CAPTURE(count);
    const auto bytes = payloads(count);
    const SocketCounters sent_before = sender->counters();
    const SocketCounters received_before = receiver->counters();

    const auto result = sender->send(addressed(bytes, receiver->local_address()));
    CHECK(result.sent == count);
    CHECK(result.dropped == 0);
    CHECK_FALSE(result.blocked);

    const auto received = receive_all(*receiver, count);
    REQUIRE(received.size() == count);
    std::size_t total = 0;
    for (std::size_t i = 0; i < count; ++i) {
      REQUIRE(received[i].bytes == bytes[i]);
      REQUIRE(received[i].remote == sender->local_address());
      REQUIRE(received[i].local == receiver->local_address());
      total += bytes[i].size();
    }
    CHECK(sender->counters().datagrams_out - sent_before.datagrams_out == count);
    CHECK(sender->counters().bytes_out - sent_before.bytes_out == total);
    CHECK(sender->counters().send_calls - sent_before.send_calls ==
          (count + Kind::kDatagramsPerCall - 1) / Kind::kDatagramsPerCall);
    CHECK(receiver->counters().datagrams_in - received_before.datagrams_in == count);
    CHECK(receiver->counters().bytes_in - received_before.bytes_in == total);
  }
  CHECK(receiver->counters().receive_errors == 0);
  CHECK(receiver->counters().receive_truncated == 0);
  CHECK(receiver->counters().kernel_receive_drops == 0);
}

TEST_CASE_TEMPLATE("receive takes no more than it has room for and says whether it drained", Kind, Native,
                   Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  std::array<ReceivedDatagram, 2 * kSocketBatch> out;
  CHECK(receiver->receive(out) == 0);
  CHECK(receiver->drained());
  CHECK(receiver->receive({}) == 0);

  const auto bytes = payloads(kSocketBatch + 3);
  REQUIRE(sender->send(addressed(bytes, receiver->local_address())).sent == bytes.size());
  REQUIRE(wait_readable(*receiver));
  CHECK(receiver->receive(std::span(out).first(2)) == 2);
  CHECK_FALSE(receiver->drained());
  CHECK(receiver->receive(out) == kSocketBatch);
  CHECK_FALSE(receiver->drained());
  CHECK(receiver->receive(out) == 1);
  CHECK(receiver->drained());
}

TEST_CASE_TEMPLATE("an empty datagram is a datagram", Kind, Native, Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  REQUIRE(send_one(*sender, outgoing({}, receiver->local_address())).sent == 1);
  const auto received = receive_all(*receiver, 1);
  REQUIRE(received.size() == 1);
  CHECK(received[0].bytes.empty());
  CHECK(receiver->counters().datagrams_in == 1);
}

TEST_CASE_TEMPLATE("one wildcard socket sends from any local address and is told where datagrams arrived",
                   Kind, Native, Portable) {
  const auto many = open<Kind>(any_ipv4());
  const auto server = open<Kind>(any_ipv4());
  CHECK(many->features().packet_info);
  std::vector<OutgoingDatagram> datagrams;
  for (std::uint8_t i = 1; i <= 100; ++i) {
    auto datagram =
        outgoing(bytes_of("hello"), SocketAddress::ipv4({127, 9, 8, i}, server->local_address().port));
    datagram.local = SocketAddress::ipv4({127, 1, i, 3}, 0);
    datagrams.push_back(datagram);
  }
  REQUIRE(many->send(datagrams).sent == datagrams.size());
  const auto arrived = receive_all(*server, datagrams.size());
  REQUIRE(arrived.size() == datagrams.size());

  std::vector<OutgoingDatagram> answers;
  for (std::size_t i = 0; i < arrived.size(); ++i) {
    CHECK(arrived[i].remote == with_port(datagrams[i].local, many->local_address().port));
    CHECK(arrived[i].local == datagrams[i].remote);
    auto answer = outgoing(bytes_of("answer"), arrived[i].remote);
    answer.local = arrived[i].local;
    answers.push_back(answer);
  }
  REQUIRE(server->send(answers).sent == answers.size());
  const auto answered = receive_all(*many, answers.size());
  REQUIRE(answered.size() == answers.size());
  for (std::size_t i = 0; i < answered.size(); ++i) {
    CHECK(answered[i].remote == datagrams[i].remote);
    CHECK(answered[i].local == with_port(datagrams[i].local, many->local_address().port));
  }
}

TEST_CASE_TEMPLATE("without a source address the kernel chooses, also after one was given", Kind, Native,
                   Portable) {
  const auto sender = open<Kind>(any_ipv4());
  const auto receiver = open<Kind>(loopback());
  auto from_elsewhere = outgoing(bytes_of("1"), receiver->local_address());
  from_elsewhere.local = SocketAddress::ipv4({127, 5, 5, 5}, 0);
  auto from_wildcard = outgoing(bytes_of("3"), receiver->local_address());
  from_wildcard.local = any_ipv4();
  const std::array datagrams{from_elsewhere, outgoing(bytes_of("2"), receiver->local_address()),
                             from_wildcard};
  for (const OutgoingDatagram& datagram : datagrams) REQUIRE(send_one(*sender, datagram).sent == 1);
  const auto received = receive_all(*receiver, datagrams.size());
  REQUIRE(received.size() == datagrams.size());
  CHECK(received[0].remote.ip == from_elsewhere.local.ip);
  CHECK(received[1].remote.ip == loopback().ip);
  CHECK(received[2].remote.ip == loopback().ip);
}

TEST_CASE_TEMPLATE("IPv6 carries both addresses" * doctest::skip(!has_ipv6()), Kind, Native, Portable) {
  SocketOptions options;
  options.bind_address = any_ipv6();
  options.ipv6_only = true;
  const auto server = open<Kind>(options);
  const auto client = open<Kind>(SocketAddress::ipv6(kIpv6Loopback, 0));
  const auto server_address = SocketAddress::ipv6(kIpv6Loopback, server->local_address().port);

  REQUIRE(send_one(*client, outgoing(bytes_of("hello"), server_address)).sent == 1);
  const auto arrived = receive_all(*server, 1);
  REQUIRE(arrived.size() == 1);
  CHECK(arrived[0].remote == client->local_address());
  CHECK(arrived[0].local == server_address);

  auto answer = outgoing(bytes_of("answer"), arrived[0].remote);
  answer.local = arrived[0].local;
  REQUIRE(send_one(*server, answer).sent == 1);
  const auto answered = receive_all(*client, 1);
  REQUIRE(answered.size() == 1);
  CHECK(answered[0].remote == server_address);
  CHECK(answered[0].local == client->local_address());
}

TEST_CASE_TEMPLATE("a dual-stack socket serves IPv4 and IPv6, and IPv4 looks like IPv4" *
                       doctest::skip(!has_ipv6()),
                   Kind, Native, Portable) {
  const auto server = open<Kind>(any_ipv6());
  const std::uint16_t port = server->local_address().port;
  const auto client4 = open<Kind>(loopback());
  const auto client6 = open<Kind>(SocketAddress::ipv6(kIpv6Loopback, 0));
  const auto address4 = SocketAddress::ipv4({127, 1, 2, 3}, port);
  const auto address6 = SocketAddress::ipv6(kIpv6Loopback, port);

  REQUIRE(send_one(*client4, outgoing(bytes_of("four"), address4)).sent == 1);
  REQUIRE(send_one(*client6, outgoing(bytes_of("six"), address6)).sent == 1);
  const auto arrived = receive_all(*server, 2);
  REQUIRE(arrived.size() == 2);
  CHECK(arrived[0].remote == client4->local_address());
  CHECK(arrived[0].local == address4);
  CHECK(arrived[1].remote == client6->local_address());
  CHECK(arrived[1].local == address6);

  std::vector<OutgoingDatagram> answers;
  for (const Arrived& each : arrived) {
    auto answer = outgoing(each.bytes, each.remote);
    answer.local = each.local;
    answers.push_back(answer);
  }
  REQUIRE(server->send(answers).sent == 2);
  const auto answered4 = receive_all(*client4, 1);
  const auto answered6 = receive_all(*client6, 1);
  REQUIRE(answered4.size() == 1);
  REQUIRE(answered6.size() == 1);
  CHECK(answered4[0].remote == address4);
  CHECK(answered6[0].remote == address6);
}

TEST_CASE_TEMPLATE("an IPv6-only socket leaves the port to an IPv4 socket and refuses IPv4 remotes" *
                       doctest::skip(!has_ipv6()),
                   Kind, Native, Portable) {
  SocketOptions options;
  options.bind_address = any_ipv6();
  options.ipv6_only = true;
  // The system gives a port of IPv6 that somebody else may have with IPv4: then it is another one.
  std::unique_ptr<UdpSocket> only6;
  std::unique_ptr<UdpSocket> only4;
  for (int port = 0; port < 20 && only4 == nullptr; ++port) {
    only6 = open<Kind>(options);
    SocketOptions same_port;
    same_port.bind_address = any_ipv4(only6->local_address().port);
    if (auto opened = Kind::open(same_port)) only4 = *std::move(opened);
  }
  REQUIRE(only4 != nullptr);
  CHECK(send_one(*only6, outgoing(bytes_of("x"), only4->local_address())).dropped == 1);
  CHECK(send_one(*only6, outgoing(bytes_of("x"), loopback(9))).dropped == 1);
  CHECK(drops(only6->counters(), SendDropReason::kInvalidAddress) == 2);
  CHECK(only6->counters().send_calls == 0);
}

TEST_CASE_TEMPLATE("an IPv4-mapped remote or bind address is IPv4", Kind, Native, Portable) {
  std::array<std::uint8_t, 16> mapped{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1};
  const auto receiver = open<Kind>(SocketAddress::ipv6(mapped, 0));
  CHECK(receiver->local_address() == loopback(receiver->local_address().port));
  const auto sender = open<Kind>(any_ipv4());
  auto datagram = outgoing(bytes_of("x"), SocketAddress::ipv6(mapped, receiver->local_address().port));
  mapped[13] = 7;
  datagram.local = SocketAddress::ipv6(mapped, 0);
  REQUIRE(send_one(*sender, datagram).sent == 1);
  const auto received = receive_all(*receiver, 1);
  REQUIRE(received.size() == 1);
  CHECK(received[0].remote == SocketAddress::ipv4({127, 7, 0, 1}, sender->local_address().port));
}

TEST_CASE_TEMPLATE("link-local addresses keep their scope in both directions" *
                       doctest::skip(!find_link_local().has_value()),
                   Kind, Native, Portable) {
  const SocketAddress link_local = find_link_local().value();
  const auto server = open<Kind>(any_ipv6());
  const auto client = open<Kind>(link_local);
  CHECK(client->local_address().scope_id == link_local.scope_id);
  const auto server_address = with_port(link_local, server->local_address().port);

  REQUIRE(send_one(*client, outgoing(bytes_of("hello"), server_address)).sent == 1);
  const auto arrived = receive_all(*server, 1);
  REQUIRE(arrived.size() == 1);
  CHECK(arrived[0].remote == client->local_address());
  CHECK(arrived[0].local == server_address);

  auto answer = outgoing(bytes_of("answer"), arrived[0].remote);
  answer.local = arrived[0].local;
  REQUIRE(send_one(*server, answer).sent == 1);
  const auto answered = receive_all(*client, 1);
  REQUIRE(answered.size() == 1);
  CHECK(answered[0].remote == server_address);
}

TEST_CASE("only link-local addresses have a scope") {
  socket_support::AddressBuffer buffer;
  std::array<std::uint8_t, 16> octets{0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
  const auto link_local = SocketAddress::ipv6(octets, 4242, 7);
  socket_support::encode_address(link_local, true, buffer);
  CHECK(socket_support::decode_address(buffer) == link_local);
  octets[0] = 0x20;
  socket_support::encode_address(SocketAddress::ipv6(octets, 4242, 7), true, buffer);
  CHECK(socket_support::decode_address(buffer) == SocketAddress::ipv6(octets, 4242, 0));
}

TEST_CASE_TEMPLATE("a datagram longer than a slot is dropped and counted, its neighbours are not", Kind,
                   Native, Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  const std::vector<std::byte> fits(kReceiveSlotBytes, std::byte{1});
  const std::vector<std::byte> too_long(kReceiveSlotBytes + 1, std::byte{2});
  const std::vector<std::byte> far_too_long(60'000, std::byte{3});
  const auto to = receiver->local_address();
  const std::array datagrams{outgoing(too_long, to), outgoing(fits, to), outgoing(far_too_long, to),
                             outgoing(too_long, to), outgoing(bytes_of("x"), to)};
  REQUIRE(sender->send(datagrams).sent == datagrams.size());
  const auto received = receive_all(*receiver, 2);
  REQUIRE(received.size() == 2);
  CHECK(received[0].bytes == fits);
  CHECK(received[1].bytes.size() == 1);
  CHECK(receiver->counters().receive_truncated == 3);
  CHECK(receiver->counters().datagrams_in == 2);
  CHECK(receiver->counters().bytes_in == fits.size() + 1);

  // Nothing but oversized ones: an empty result that is not a drained queue.
  for (const auto& bytes : {too_long, too_long, fits})
    REQUIRE(send_one(*sender, outgoing(bytes, to)).sent == 1);
  REQUIRE(wait_readable(*receiver));
  std::array<ReceivedDatagram, 2> out;
  CHECK(receiver->receive(out) == 0);
  CHECK_FALSE(receiver->drained());
  CHECK(receiver->receive(out) == 1);
}

TEST_CASE_TEMPLATE("ECN travels with IPv4", Kind, Native, Portable) {
  const auto sender = open<Kind>(any_ipv4());
  const auto receiver = open<Kind>(loopback());
  CHECK(receiver->features().ecn);
  std::vector<OutgoingDatagram> datagrams;
  for (std::uint8_t ecn = 0; ecn < 8; ++ecn) {
    auto datagram = outgoing(bytes_of("x"), receiver->local_address());
    datagram.ecn = ecn;
    if (ecn % 2 == 0) datagram.local = SocketAddress::ipv4({127, 0, 0, 9}, 0);
    datagrams.push_back(datagram);
  }
  REQUIRE(sender->send(datagrams).sent == datagrams.size());
  const auto received = receive_all(*receiver, datagrams.size());
  REQUIRE(received.size() == datagrams.size());
  for (std::size_t i = 0; i < received.size(); ++i) CHECK(received[i].ecn == i % 4);
}

TEST_CASE_TEMPLATE("ECN travels with IPv6 and through a dual-stack socket" * doctest::skip(!has_ipv6()), Kind,
                   Native, Portable) {
  const auto dual = open<Kind>(any_ipv6());
  const std::array<SocketAddress, 2> addresses{loopback(), SocketAddress::ipv6(kIpv6Loopback, 0)};
  for (const SocketAddress& address : addresses) {
    const auto peer = open<Kind>(address);
    auto to_dual = outgoing(bytes_of("x"), with_port(address, dual->local_address().port));
    auto to_peer = outgoing(bytes_of("x"), peer->local_address());
    to_peer.local = address;
    for (std::uint8_t ecn = 0; ecn < 4; ++ecn) {
      to_dual.ecn = to_peer.ecn = ecn;
      REQUIRE(send_one(*peer, to_dual).sent == 1);
      REQUIRE(send_one(*dual, to_peer).sent == 1);
      const auto at_dual = receive_all(*dual, 1);
      const auto at_peer = receive_all(*peer, 1);
      REQUIRE(at_dual.size() == 1);
      REQUIRE(at_peer.size() == 1);
      CHECK(at_dual[0].ecn == ecn);
      CHECK(at_peer[0].ecn == ecn);
    }
  }
}

// The whole traffic class of the datagram that arrives next, which UdpSocket tells only the ECN bits of.
int arriving_traffic_class(const UdpSocket& socket) {
  REQUIRE(wait_readable(socket));
  std::array<std::byte, 16> bytes{};
  socket_support::ControlBuffer control;
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.bytes;
  message.msg_controllen = sizeof control;
  REQUIRE(::recvmsg(socket.descriptor(), &message, 0) > 0);
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    if (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_TOS)
      return static_cast<int>(*CMSG_DATA(each));
    if (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_TCLASS) {
      int value = 0;
      std::memcpy(&value, CMSG_DATA(each), sizeof value);
      return value;
    }
  }
  return -1;
}

TEST_CASE_TEMPLATE("the code point of a socket stands beside the ECN bits of its datagrams", Kind, Native,
                   Portable) {
  constexpr int kExpeditedForwarding = 46;
  std::vector<SocketAddress> addresses{loopback()};
  if (has_ipv6()) addresses.push_back(SocketAddress::ipv6(kIpv6Loopback, 0));
  for (const SocketAddress& address : addresses) {
    const auto receiver = open<Kind>(address);
    std::vector<SocketAddress> senders{address};
    if (has_ipv6()) senders.push_back(any_ipv6());
    for (const SocketAddress& bound : senders) {
      SocketOptions options;
      options.bind_address = bound;
      options.dscp = kExpeditedForwarding;
      const auto sender = open<Kind>(options);
      for (std::uint8_t ecn = 0; ecn < 4; ++ecn) {
        auto datagram = outgoing(bytes_of("x"), receiver->local_address());
        datagram.ecn = ecn;
        REQUIRE(send_one(*sender, datagram).sent == 1);
        CHECK(arriving_traffic_class(*receiver) == (kExpeditedForwarding << 2 | ecn));
      }
    }
  }
}

TEST_CASE("a datagram carries only the control messages that it needs") {
  OpenSocket wildcard;
  wildcard.local_address = any_ipv4(4000);
  OpenSocket bound;
  bound.local_address = loopback(4000);
  socket_support::AddressBuffer name;
  socket_support::ControlBuffer control;
  const auto control_bytes = [&](const OutgoingDatagram& datagram, const OpenSocket& socket) {
    return socket_support::encode_addressing(datagram, socket, name, control).value().control_bytes;
  };
  auto datagram = outgoing({}, loopback(9));
  CHECK(control_bytes(datagram, wildcard) == 0);
  datagram.ecn = 4;  // not an ECN bit: it would set the differentiated services field
  CHECK(control_bytes(datagram, wildcard) == 0);
  datagram.local = loopback();
  CHECK(control_bytes(datagram, bound) == 0);
  CHECK(control_bytes(datagram, wildcard) == CMSG_SPACE(sizeof(in_pktinfo)));
  datagram.ecn = 1;
  CHECK(control_bytes(datagram, bound) == CMSG_SPACE(sizeof(int)));
  CHECK(control_bytes(datagram, wildcard) == CMSG_SPACE(sizeof(in_pktinfo)) + CMSG_SPACE(sizeof(int)));
}

TEST_CASE_TEMPLATE("a datagram that cannot be sent costs only itself", Kind, Native, Portable) {
  const auto sender = open<Kind>(any_ipv4());
  const auto receiver = open<Kind>(loopback());
  const auto to = receiver->local_address();
  const std::vector<std::byte> longer_than_udp(65'508);
  auto good = outgoing(bytes_of("good"), to);
  auto foreign_source = good;
  foreign_source.local = SocketAddress::ipv4(kForeignIpv4, 0);
  auto mixed_families = good;
  mixed_families.local = SocketAddress::ipv6(kIpv6Loopback, 0);
  const std::vector<OutgoingDatagram> bad{
      outgoing(bytes_of("no port"), loopback(0)),
      outgoing(bytes_of("no family"), SocketAddress{}),
      outgoing(bytes_of("wrong family"), SocketAddress::ipv6(kIpv6Loopback, to.port)),
      mixed_families,
      foreign_source,
      outgoing(longer_than_udp, to),
      outgoing(bytes_of("broadcast"), SocketAddress::ipv4({127, 255, 255, 255}, to.port)),
  };
  // Each at the front, in the middle and at the end of a batch, and all in a row.
  std::vector<OutgoingDatagram> datagrams;
  for (const OutgoingDatagram& each : bad) {
    datagrams.push_back(each);
    datagrams.insert(datagrams.end(), 15, good);
  }
  datagrams.insert(datagrams.end(), bad.begin(), bad.end());

  const auto result = sender->send(datagrams);
  CHECK(result.sent == 15 * bad.size());
  CHECK(result.dropped == 2 * bad.size());
  CHECK_FALSE(result.blocked);
  // The foreign source: EINVAL or, in newer kernels, ENETUNREACH.
  const std::uint64_t unreachable = drops(sender->counters(), SendDropReason::kUnreachable);
  CHECK((unreachable == 0 || unreachable == 2));
  CHECK(drops(sender->counters(), SendDropReason::kInvalidAddress) + unreachable == 10);
  CHECK(drops(sender->counters(), SendDropReason::kTooLong) == 2);
  CHECK(drops(sender->counters(), SendDropReason::kForbidden) == 2);
  CHECK(sender->counters().datagrams_out == result.sent);
  const auto received = receive_all(*receiver, result.sent);
  REQUIRE(received.size() == result.sent);
  for (const Arrived& each : received) CHECK(each.bytes.size() == 4);
}

TEST_CASE_TEMPLATE("the sender is told of each datagram that is too long, and of no other", Kind, Native,
                   Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  const auto to = receiver->local_address();
  const std::vector<std::byte> short_one(100);
  std::vector<std::vector<std::byte>> bytes;
  std::vector<std::size_t> told;
  std::vector<std::size_t> expected;
  const auto send_all = [&] {
    const auto datagrams = addressed(bytes, to);
    told.clear();
    const auto result = sender->send(datagrams, [&](const OutgoingDatagram& datagram) {
      told.push_back(static_cast<std::size_t>(&datagram - datagrams.data()));
    });
    CHECK(told == expected);
    CHECK(result.dropped == expected.size());
    CHECK(result.sent == bytes.size() - expected.size());
    CHECK_FALSE(result.blocked);
    const auto received = receive_all(*receiver, result.sent);
    REQUIRE(received.size() == result.sent);
    for (const Arrived& each : received) CHECK(each.bytes.size() == 100);
  };
  SUBCASE("beyond what UDP carries") {
    const std::vector<std::byte> long_one(65'508);
    bytes = {short_one, long_one, short_one, short_one, long_one, long_one};
    expected = {1, 4, 5};
    send_all();
  }
  SUBCASE("beyond what the interface carries, also at the beginning of a run or as all of one") {
    const std::vector<std::byte> long_one(1'473);
    interface_limit = 1'472;
    bytes = {long_one, short_one, short_one, long_one, long_one, long_one, short_one};
    expected = {0, 3, 4, 5};
    send_all();
    interface_limit = 0;
  }
  SUBCASE("another error") {
    bytes = {short_one};
    send_faults = {Fault{0, EPERM}};
    expected = {};
    std::size_t calls = 0;
    const auto datagrams = addressed(bytes, to);
    CHECK(sender->send(datagrams, [&](const OutgoingDatagram& /*datagram*/) { ++calls; }).dropped == 1);
    CHECK(calls == 0);
  }
}

TEST_CASE_TEMPLATE("each error of the kernel has its reason and drops one datagram", Kind, Native, Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  constexpr std::array<std::pair<int, SendDropReason>, 13> kReasons{{
      {ECONNREFUSED, SendDropReason::kRefused},
      {EHOSTUNREACH, SendDropReason::kUnreachable},
      {ENETUNREACH, SendDropReason::kUnreachable},
      {EHOSTDOWN, SendDropReason::kUnreachable},
      {ENETDOWN, SendDropReason::kUnreachable},
      {EPERM, SendDropReason::kForbidden},
      {EACCES, SendDropReason::kForbidden},
      {EMSGSIZE, SendDropReason::kTooLong},
      {ENOBUFS, SendDropReason::kNoBuffers},
      {ENOMEM, SendDropReason::kNoBuffers},
      {EINVAL, SendDropReason::kInvalidAddress},
      {EADDRNOTAVAIL, SendDropReason::kInvalidAddress},
      {EIO, SendDropReason::kOther},
  }};
  const auto bytes = payloads(100);
  for (const auto& each : kReasons) {
    const int error = each.first;
    const SendDropReason reason = each.second;
    for (const std::size_t position : {0U, 1U, 63U, 64U, 99U}) {
      CAPTURE(error);
      CAPTURE(position);
      const std::uint64_t before = drops(sender->counters(), reason);
      send_faults = {Fault{position, error}};
      const auto result = sender->send(addressed(bytes, receiver->local_address()));
      CHECK(result.sent == 99);
      CHECK(result.dropped == 1);
      CHECK_FALSE(result.blocked);
      CHECK(drops(sender->counters(), reason) == before + 1);
      const auto received = receive_all(*receiver, 99);
      REQUIRE(received.size() == 99);
      for (std::size_t i = 0; i < received.size(); ++i) {
        REQUIRE(received[i].bytes == bytes[i < position ? i : i + 1]);
      }
    }
  }
}

TEST_CASE_TEMPLATE("a full send buffer leaves the rest to the caller, nothing lost and nothing twice", Kind,
                   Native, Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  const auto bytes = payloads(150);
  auto datagrams = addressed(bytes, receiver->local_address());
  constexpr std::size_t kUnsendable = 3;
  datagrams[kUnsendable].remote.port = 0;
  for (const std::size_t accepted : {0U, 1U, 3U, 4U, 63U, 64U, 70U, 148U}) {
    CAPTURE(accepted);
    const SocketCounters before = sender->counters();
    send_faults = {Fault{accepted, EAGAIN}};
    const auto first = sender->send(datagrams);
    CHECK(first.blocked);
    CHECK(first.sent == accepted);
    // An unsendable one behind the point of blocking is still the caller's.
    CHECK(first.dropped == (accepted < kUnsendable ? 0 : 1));
    CHECK(sender->counters().send_blocked == before.send_blocked + 1);

    const auto second = sender->send(std::span(datagrams).subspan(first.sent + first.dropped));
    CHECK_FALSE(second.blocked);
    CHECK(first.sent + second.sent == 149);
    CHECK(first.dropped + second.dropped == 1);
    CHECK(drops(sender->counters(), SendDropReason::kInvalidAddress) ==
          drops(before, SendDropReason::kInvalidAddress) + 1);
    const auto received = receive_all(*receiver, 149);
    REQUIRE(received.size() == 149);
    for (std::size_t i = 0; i < received.size(); ++i) {
      REQUIRE(received[i].bytes == bytes[i < kUnsendable ? i : i + 1]);
    }
  }
}

TEST_CASE_TEMPLATE("a signal during a call loses nothing", Kind, Native, Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  const auto bytes = payloads(5);
  send_faults = {Fault{2, EINTR}};
  const auto result = sender->send(addressed(bytes, receiver->local_address()));
  CHECK(result.sent == 5);
  CHECK(result.dropped == 0);
  receive_faults = {Fault{0, EINTR}};
  CHECK(receive_all(*receiver, 5).size() == 5);
}

TEST_CASE_TEMPLATE("a pending network error does not hide the datagrams behind it", Kind, Native, Portable) {
  const auto sender = open<Kind>(loopback());
  const auto receiver = open<Kind>(loopback());
  REQUIRE(sender->send(addressed(payloads(3), receiver->local_address())).sent == 3);
  receive_faults = {Fault{0, ECONNREFUSED}};
  CHECK(receive_all(*receiver, 3).size() == 3);
  CHECK(receiver->counters().receive_errors == 1);

  // An error that stays must not make a caller that receives until drained spin.
  receive_faults = {Fault{0, ENOTSOCK}};
  std::array<ReceivedDatagram, 1> out;
  CHECK(receiver->receive(out) == 0);
  CHECK(receiver->drained());
  CHECK(receiver->counters().receive_errors == 2);
}

TEST_CASE_TEMPLATE("what the kernel drops for want of buffer space is counted", Kind, Native, Portable) {
  const auto sender = open<Kind>(loopback());
  SocketOptions options;
  options.bind_address = loopback();
  options.receive_buffer_bytes = 8192;
  options.offload = false;  // the kernel would count datagrams that it has coalesced as one
  const auto receiver = open<Kind>(options);
  CHECK(receiver->features().kernel_drop_counter);
  const std::vector<std::byte> bytes(1000);
  const std::vector<OutgoingDatagram> flood(200, outgoing(bytes, receiver->local_address()));
  std::uint64_t sent = 0;
  for (int round = 0; round < 3; ++round) {
    sent += sender->send(flood).sent;
    std::array<ReceivedDatagram, kSocketBatch> out;
    REQUIRE(wait_readable(*receiver));
    do {
      receiver->receive(out);
    } while (!receiver->drained());
    // The kernel tells with the next datagram that it accepts, which has one control message more than those
    // before.
    auto teller = outgoing(bytes_of("x"), receiver->local_address());
    teller.ecn = 2;
    sent += send_one(*sender, teller).sent;
    const auto told = receive_all(*receiver, 1);
    REQUIRE(told.size() == 1);
    CHECK(told[0].ecn == 2);
    CHECK(receiver->counters().kernel_receive_drops == sent - receiver->counters().datagrams_in);
  }
  CHECK(receiver->counters().kernel_receive_drops > 300);
}

TEST_CASE("the kernel's 32-bit drop total is followed across its wrap and small steps back") {
  socket_support::KernelDropTotal total;
  CHECK(total.advance(5) == 5);
  CHECK(total.advance(5) == 0);
  CHECK(total.advance(4) == 0);
  CHECK(total.advance(9) == 4);
  CHECK(total.advance(0x7fffffffU) == 0x7fffffffU - 9);
  CHECK(total.advance(0xfffffff0U) == 0xfffffff0U - 0x7fffffffU);
  CHECK(total.advance(0x10) == 0x20);
}

TEST_CASE_TEMPLATE("buffers are granted as asked within the system's limits, and reported", Kind, Native,
                   Portable) {
  SocketOptions options;
  options.bind_address = loopback();
  constexpr std::size_t kReceiveBytes = 65'536;
  constexpr std::size_t kSendBytes = 98'304;
  options.receive_buffer_bytes = kReceiveBytes;
  options.send_buffer_bytes = kSendBytes;
  const auto small = open<Kind>(options);
  CHECK(small->granted_receive_buffer_bytes() == kReceiveBytes);
  CHECK(small->granted_send_buffer_bytes() == kSendBytes);
  CHECK(get_option<std::uint32_t>(*small, SOL_SOCKET, SO_RCVBUF) == 2 * kReceiveBytes);
  CHECK(get_option<std::uint32_t>(*small, SOL_SOCKET, SO_SNDBUF) == 2 * kSendBytes);

  std::size_t receive_limit = 0;
  std::ifstream("/proc/sys/net/core/rmem_max") >> receive_limit;
  const auto large = open<Kind>(loopback());
  CHECK(large->granted_receive_buffer_bytes() >= std::min(receive_limit, kDefaultSocketBufferBytes));
  CHECK(large->granted_receive_buffer_bytes() <= kDefaultSocketBufferBytes);

  options.receive_buffer_bytes = options.send_buffer_bytes = 0;
  const auto untouched = open<Kind>(options);
  const int plain = ::socket(AF_INET, SOCK_DGRAM, 0);
  REQUIRE(plain >= 0);
  int value = 0;
  socklen_t length = sizeof value;
  CHECK(::getsockopt(plain, SOL_SOCKET, SO_RCVBUF, &value, &length) == 0);
  CHECK(::close(plain) == 0);
  CHECK(untouched->granted_receive_buffer_bytes() == static_cast<std::size_t>(value) / 2);
}

TEST_CASE_TEMPLATE("the descriptor is non-blocking, closed on exec and never fragments", Kind, Native,
                   Portable) {
  const auto socket = open<Kind>(loopback());
  CHECK((::fcntl(socket->descriptor(), F_GETFL) & O_NONBLOCK) != 0);
  CHECK((::fcntl(socket->descriptor(), F_GETFD) & FD_CLOEXEC) != 0);
  CHECK(socket->features().dont_fragment);
  CHECK(get_option<int>(*socket, IPPROTO_IP, IP_MTU_DISCOVER) == IP_PMTUDISC_PROBE);
  if (!has_ipv6()) return;
  const auto dual = open<Kind>(any_ipv6());
  CHECK(dual->features().dont_fragment);
  CHECK(get_option<int>(*dual, IPPROTO_IP, IP_MTU_DISCOVER) == IP_PMTUDISC_PROBE);
  CHECK(get_option<int>(*dual, IPPROTO_IPV6, IPV6_MTU_DISCOVER) == IPV6_PMTUDISC_PROBE);
}

TEST_CASE_TEMPLATE("close gives the port back, twice is once, and calls afterwards do nothing", Kind, Native,
                   Portable) {
  const auto socket = open<Kind>(loopback());
  const SocketAddress address = socket->local_address();
  const int descriptor = socket->descriptor();
  socket->close();
  CHECK(socket->descriptor() == kInvalidSocket);
  CHECK(::fcntl(descriptor, F_GETFD) == -1);

  const auto successor = open<Kind>(address);
  CHECK(successor->descriptor() == descriptor);
  socket->close();
  CHECK(::fcntl(descriptor, F_GETFD) != -1);

  std::array<ReceivedDatagram, 4> out;
  CHECK(socket->receive(out) == 0);
  CHECK(socket->drained());
  const auto result = socket->send(addressed(payloads(3), address));
  CHECK(result.sent == 0);
  CHECK(result.dropped == 3);
  CHECK(drops(socket->counters(), SendDropReason::kClosed) == 3);
  CHECK(socket->counters().send_calls == 0);
}

TEST_CASE_TEMPLATE("destruction closes", Kind, Native, Portable) {
  int descriptor = -1;
  {
    const auto socket = open<Kind>(loopback());
    descriptor = socket->descriptor();
  }
  CHECK(::fcntl(descriptor, F_GETFD) == -1);
}

TEST_CASE_TEMPLATE("opening fails with a stated code and leaks no descriptor", Kind, Native, Portable) {
  const int next_descriptor = ::dup(0);
  REQUIRE(next_descriptor >= 0);
  REQUIRE(::close(next_descriptor) == 0);
  SocketOptions options;
  SUBCASE("address in use") {
    const auto holder = open<Kind>(loopback());
    options.bind_address = holder->local_address();
    CHECK(open_error<Kind>(options) == SocketErrorCode::kAddressInUse);
  }
  SUBCASE("an address of another host") {
    options.bind_address = SocketAddress::ipv4(kForeignIpv4, 0);
    CHECK(open_error<Kind>(options) == SocketErrorCode::kAddressNotAvailable);
  }
  SUBCASE("no permission") {
    options.bind_address = loopback();
    bind_faults = {Fault{0, EACCES}};
    const auto opened = Kind::open(options);
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().code == SocketErrorCode::kPermissionDenied);
    CHECK(opened.error().system_errno == EACCES);
    CHECK(std::string(opened.error().operation) == "bind");
  }
  SUBCASE("no address") { CHECK(open_error<Kind>(options) == SocketErrorCode::kUnsupported); }
  SUBCASE("anything else") {
    options.bind_address = loopback();
    bind_faults = {Fault{0, EIO}};
    CHECK(open_error<Kind>(options) == SocketErrorCode::kOther);
  }
  SUBCASE("too many files") {
    rlimit before{};
    REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
    const rlimit none{0, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &none) == 0);
    options.bind_address = loopback();
    const auto opened = Kind::open(options);
    REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().code == SocketErrorCode::kTooManyFiles);
  }
  const int descriptor_now = ::dup(0);
  CHECK(descriptor_now == next_descriptor);
  CHECK(::close(descriptor_now) == 0);
}

TEST_CASE_TEMPLATE("sockets share a port only when each asks for it", Kind, Native, Portable) {
  SocketOptions options;
  options.bind_address = loopback();
  options.reuse_port = true;
  const auto first = open<Kind>(options);
  options.bind_address = first->local_address();
  const auto second = open<Kind>(options);
  CHECK(second->local_address() == first->local_address());
  options.reuse_port = false;
  CHECK(open_error<Kind>(options) == SocketErrorCode::kAddressInUse);
}

TEST_CASE_TEMPLATE("nothing is allocated after open", Kind, Native, Portable) {
  const auto sender = open<Kind>(any_ipv4());
  const auto receiver = open<Kind>(any_ipv4());
  const auto bytes = payloads(100);
  auto datagrams = addressed(bytes, loopback(receiver->local_address().port));
  for (OutgoingDatagram& datagram : datagrams) {
    datagram.local = SocketAddress::ipv4({127, 3, 3, 3}, 0);
    datagram.ecn = 1;
  }
  datagrams[50].remote.port = 0;
  std::array<ReceivedDatagram, kSocketBatch> out;
  std::size_t received = 0;
  AllocationCount allocations;
  const auto result = sender->send(datagrams);
  while (received < result.sent && wait_readable(*receiver)) received += receiver->receive(out);
  const auto count = allocations.count();
  CHECK(count == 0);
  CHECK(received == 99);
}

TEST_SUITE_END();

}  // namespace hawser

TEST_CASE("memory for sockets: two that take turns within one another make none anew") {
  struct Piece final : hawser::SocketMemory {};
  hawser::SocketMemoryPool pool;
  for (const auto kind : {hawser::SocketMemory::Kind::kNative, hawser::SocketMemory::Kind::kPortable}) {
    CHECK(pool.acquire(kind) == nullptr);
    for (int i = 0; i < 3; ++i) pool.release(kind, std::make_unique<Piece>());
    for (int turn = 0; turn < 10; ++turn) {
      auto outer = pool.acquire(kind);
      auto inner = pool.acquire(kind);
      CHECK(outer != nullptr);
      CHECK(inner != nullptr);
      // No more than these are kept.
      CHECK(pool.acquire(kind) == nullptr);
      pool.release(kind, std::move(inner));
      pool.release(kind, std::move(outer));
    }
  }
}

TEST_CASE("the counters of two sockets add up, cell by cell") {
  hawser::SocketCounters first;
  first.datagrams_in = 3;
  first.kernel_receive_drops = 5;
  first.send_drops.back() = 7;
  hawser::SocketCounters second;
  second.datagrams_in = 10;
  second.bytes_out = 20;
  second.send_drops.back() = 1;
  const hawser::SocketCounters sum = first + second;
  CHECK(sum.datagrams_in == 13);
  CHECK(sum.bytes_out == 20);
  CHECK(sum.kernel_receive_drops == 5);
  CHECK(sum.send_drops.back() == 8);
  CHECK(sum.send_drops.front() == 0);
}
