#include "io/mailbox.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/bytes.hpp"

namespace hawser {
namespace {

ReceivedDatagram datagram_of(std::vector<std::byte>& bytes, std::uint16_t port = 1) {
  return {bytes, SocketAddress::ipv4({10, 0, 0, 1}, port), SocketAddress::ipv4({10, 0, 0, 2}, 4000),
          kEcnEct0};
}

TEST_CASE("mailbox: gives copies, oldest first, that say that they were handed over, once") {
  Mailbox mailbox;
  CHECK(mailbox.empty());
  for (std::uint8_t i = 0; i < 10; ++i) {
    std::vector<std::byte> bytes(i * 100U, std::byte{i});
    REQUIRE(mailbox.put(datagram_of(bytes, i)));
    std::ranges::fill(bytes, std::byte{0xff});
  }
  CHECK_FALSE(mailbox.empty());
  std::uint8_t next = 0;
  mailbox.take([&](const ReceivedDatagram& datagram) {
    const std::vector<std::byte> expected(next * 100U, std::byte{next});
    CHECK(std::ranges::equal(datagram.bytes, expected));
    CHECK(datagram.remote == SocketAddress::ipv4({10, 0, 0, 1}, next));
    CHECK(datagram.local == SocketAddress::ipv4({10, 0, 0, 2}, 4000));
    CHECK(datagram.ecn == kEcnEct0);
    CHECK(datagram.handed_over);
    ++next;
  });
  CHECK(next == 10);
  CHECK(mailbox.empty());
  mailbox.take([&](const ReceivedDatagram&) { ++next; });
  CHECK(next == 10);
}

TEST_CASE("mailbox: takes no more than its datagrams, and all of them again when they were taken") {
  Mailbox mailbox;
  std::vector<std::byte> bytes(1);
  for (int round = 0; round < 3; ++round) {
    for (std::size_t i = 0; i < Mailbox::kMaxDatagrams; ++i) REQUIRE(mailbox.put(datagram_of(bytes)));
    CHECK_FALSE(mailbox.put(datagram_of(bytes)));
    std::size_t taken = 0;
    mailbox.take([&](const ReceivedDatagram&) { ++taken; });
    CHECK(taken == Mailbox::kMaxDatagrams);
  }
}

TEST_CASE("mailbox: takes no more than its bytes, but a shorter datagram that fits") {
  Mailbox mailbox;
  std::vector<std::byte> most(Mailbox::kMaxBytes - 1);
  std::vector<std::byte> two(2);
  std::vector<std::byte> one(1);
  REQUIRE(mailbox.put(datagram_of(most)));
  CHECK_FALSE(mailbox.put(datagram_of(two)));
  CHECK(mailbox.put(datagram_of(one)));
  CHECK_FALSE(mailbox.put(datagram_of(one)));
  std::size_t taken = 0;
  mailbox.take([&](const ReceivedDatagram& datagram) { taken += datagram.bytes.size(); });
  CHECK(taken == Mailbox::kMaxBytes);
}

TEST_CASE("mailbox: what is put while others are taken waits for the next time") {
  Mailbox mailbox;
  std::vector<std::byte> bytes(1);
  REQUIRE(mailbox.put(datagram_of(bytes)));
  int taken = 0;
  const auto put_another = [&](const ReceivedDatagram&) {
    ++taken;
    CHECK(mailbox.put(datagram_of(bytes)));
  };
  mailbox.take(put_another);
  CHECK(taken == 1);
  CHECK_FALSE(mailbox.empty());
  mailbox.take(put_another);
  CHECK(taken == 2);
}

TEST_CASE("mailbox: loses nothing of several threads that put, and keeps the order of each") {
  constexpr std::uint32_t kThreads = 4;
  constexpr std::uint32_t kEach = 20'000;
  Mailbox mailbox;
  std::vector<std::thread> threads;
  for (std::uint32_t number = 0; number < kThreads; ++number) {
    threads.emplace_back([&mailbox, number] {
      std::vector<std::byte> bytes(8);
      for (std::uint32_t i = 0; i < kEach; ++i) {
        store_little_endian(bytes.data(), number);
        store_little_endian(bytes.data() + 4, i);
        while (!mailbox.put(datagram_of(bytes))) std::this_thread::yield();
      }
    });
  }
  std::array<std::uint32_t, kThreads> next{};
  std::uint32_t taken = 0;
  bool in_order = true;
  while (taken < kThreads * kEach) {
    mailbox.take([&](const ReceivedDatagram& datagram) {
      const auto number = load_little_endian<std::uint32_t>(datagram.bytes.data());
      in_order = in_order && load_little_endian<std::uint32_t>(datagram.bytes.data() + 4) == next[number]++;
      ++taken;
    });
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(in_order);
  CHECK(mailbox.empty());
}

}  // namespace
}  // namespace hawser
