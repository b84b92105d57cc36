#include "engine/handshake_queue.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

constexpr SipKey kKey{0x5bd1e995, 0x9e3779b9};

SocketAddress in_network(std::uint32_t network, std::uint8_t host, std::uint16_t port = 4000) {
  return SocketAddress::ipv4(
      {10, static_cast<std::uint8_t>(network >> 8U), static_cast<std::uint8_t>(network), host}, port);
}

std::size_t bin_of(const SocketAddress& address) { return hash_value(kKey, address.prefix()) % 64; }

// A network whose bin is not that of `other`.
std::uint32_t network_apart_from(std::uint32_t other) {
  std::uint32_t network = other + 1;
  while (bin_of(in_network(network, 1)) == bin_of(in_network(other, 1))) ++network;
  return network;
}

// Pushes a datagram that carries a number, so that tests know it again.
bool push(HandshakeQueue& queue, std::uint64_t number, const SocketAddress& remote, std::size_t size = 1200) {
  std::array<std::byte, 1200> bytes{};
  store_little_endian(bytes.data(), number);
  return queue.push({MutableBytes(bytes).first(size), remote, SocketAddress::ipv4({192, 0, 2, 1}, 9), 2});
}

std::uint64_t number_of(const ReceivedDatagram& datagram) {
  return load_little_endian<std::uint64_t>(datagram.bytes.data());
}

std::vector<std::uint64_t> pop_all(HandshakeQueue& queue) {
  std::vector<std::uint64_t> numbers;
  ReceivedDatagram datagram;
  while (queue.pop(datagram)) numbers.push_back(number_of(datagram));
  return numbers;
}

TEST_CASE("handshake queue: gives back what was put in") {
  HandshakeQueue queue(kKey);
  ReceivedDatagram out;
  CHECK_FALSE(queue.pop(out));
  CHECK_FALSE(push(queue, 77, in_network(1, 2, 3), 1198));
  CHECK(queue.size() == 1);
  REQUIRE(queue.pop(out));
  CHECK(number_of(out) == 77);
  CHECK(out.bytes.size() == 1198);
  CHECK(out.remote == in_network(1, 2, 3));
  CHECK(out.local == SocketAddress::ipv4({192, 0, 2, 1}, 9));
  CHECK(out.ecn == 2);
  CHECK(queue.size() == 0);
  CHECK(queue.peak() == 1);
}

TEST_CASE("handshake queue: the bytes given out outlive later pushes") {
  HandshakeQueue queue(kKey);
  CHECK_FALSE(push(queue, 1, in_network(1, 1)));
  ReceivedDatagram out;
  REQUIRE(queue.pop(out));
  for (std::uint64_t i = 0; i < HandshakeQueue::kPlaces; ++i)
    CHECK_FALSE(push(queue, 2 + i, in_network(1, 1)));
  CHECK(number_of(out) == 1);
}

TEST_CASE("handshake queue: first in, first out within a prefix") {
  HandshakeQueue queue(kKey);
  std::vector<std::uint64_t> expected;
  for (std::uint64_t i = 0; i < 100; ++i) {
    CHECK_FALSE(push(queue, i, in_network(5, static_cast<std::uint8_t>(i))));
    expected.push_back(i);
  }
  CHECK(pop_all(queue) == expected);
}

TEST_CASE("handshake queue: prefixes are served in turn") {
  const std::uint32_t many = 1;
  const std::uint32_t few = network_apart_from(many);
  HandshakeQueue queue(kKey);
  for (std::uint64_t i = 0; i < 100; ++i) CHECK_FALSE(push(queue, i, in_network(many, 1)));
  CHECK_FALSE(push(queue, 1000, in_network(few, 1)));
  CHECK_FALSE(push(queue, 1001, in_network(few, 2)));
  const std::vector<std::uint64_t> order = pop_all(queue);
  REQUIRE(order.size() == 102);
  CHECK(std::find(order.begin(), order.end(), 1000) - order.begin() <= 1);
  CHECK(std::find(order.begin(), order.end(), 1001) - order.begin() <= 3);
}

TEST_CASE("handshake queue: nothing is lost before all places are taken") {
  HandshakeQueue queue(kKey);
  SeededRandom random(3);
  for (std::uint64_t i = 0; i < HandshakeQueue::kPlaces; ++i)
    CHECK_FALSE(push(queue, i, in_network(random.below(50), 1)));
  CHECK(queue.size() == HandshakeQueue::kPlaces);
  std::vector<std::uint64_t> numbers = pop_all(queue);
  std::sort(numbers.begin(), numbers.end());
  REQUIRE(numbers.size() == HandshakeQueue::kPlaces);
  for (std::uint64_t i = 0; i < HandshakeQueue::kPlaces; ++i) CHECK(numbers[i] == i);
}

TEST_CASE("handshake queue: a flood from one prefix loses its own newest") {
  HandshakeQueue queue(kKey);
  for (std::uint64_t i = 0; i < HandshakeQueue::kPlaces; ++i) CHECK_FALSE(push(queue, i, in_network(1, 1)));
  CHECK(push(queue, 9999, in_network(1, 1)));
  CHECK(queue.size() == HandshakeQueue::kPlaces);
  const std::vector<std::uint64_t> numbers = pop_all(queue);
  CHECK(std::find(numbers.begin(), numbers.end(), 9999) == numbers.end());
  CHECK(numbers.back() == HandshakeQueue::kPlaces - 1);
}

TEST_CASE("handshake queue: who is not the flood takes a place of the flood") {
  const std::uint32_t flood = 1;
  HandshakeQueue queue(kKey);
  for (std::uint64_t i = 0; i < HandshakeQueue::kPlaces; ++i)
    CHECK_FALSE(push(queue, i, in_network(flood, 1)));
  CHECK(push(queue, 9999, in_network(network_apart_from(flood), 1)));
  const std::vector<std::uint64_t> numbers = pop_all(queue);
  CHECK(std::find(numbers.begin(), numbers.end(), 9999) != numbers.end());
  CHECK(std::find(numbers.begin(), numbers.end(), HandshakeQueue::kPlaces - 1) == numbers.end());
}

TEST_CASE("handshake queue: an honest prefix is served completely and soon while another floods") {
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t flood = random.below(1000);
    const SocketAddress honest = in_network(network_apart_from(flood), 1);
    HandshakeQueue queue(kKey);
    std::map<std::uint64_t, int> waiting;  // honest datagrams, and the turns they have waited
    std::uint64_t number = 0;
    for (int turn = 0; turn < 200; ++turn) {
      for (int i = 0; i < 300; ++i) {
        push(queue, UINT64_MAX, in_network(flood, static_cast<std::uint8_t>(random.below(256))));
        if (random.below(100) == 0) {
          push(queue, number, honest);
          waiting[number++] = 0;
        }
      }
      // A turn's budget for RESPONSE: 1,000 points, 60 each.
      ReceivedDatagram out;
      for (int served = 0; served < 16 && queue.pop(out); ++served) waiting.erase(number_of(out));
      for (auto& [honest_number, turns] : waiting) REQUIRE(++turns <= 2);
    }
  }
}

TEST_CASE("handshake queue: under a flood of every prefix the few keep their turn") {
  HandshakeQueue queue(kKey);
  SeededRandom random(11);
  // Far more prefixes than bins, one of them with most of the traffic.
  std::size_t lost = 0;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    const std::uint32_t network = random.below(2) == 0 ? 0 : random.below(65'536);
    lost += push(queue, i, in_network(network, 1)) ? 1 : 0;
    REQUIRE(queue.size() <= HandshakeQueue::kPlaces);
  }
  CHECK(lost == 20'000 - HandshakeQueue::kPlaces);
  std::array<int, 64> served{};
  ReceivedDatagram out;
  while (queue.pop(out)) ++served[bin_of(out.remote)];
  // Places of the fullest went to the others: every bin has its eighth of 64 places.
  CHECK(*std::min_element(served.begin(), served.end()) == 8);
  CHECK(*std::max_element(served.begin(), served.end()) == 8);
}

TEST_CASE("handshake queue: keeps count and order under any mixture of pushes and pops") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    HandshakeQueue queue(kKey);
    std::array<std::uint64_t, 64> last_of_bin{};
    std::size_t inside = 0;
    std::uint64_t number = 0;
    for (int step = 0; step < 5'000; ++step) {
      if (random.below(5) < 3) {
        const bool lost = push(queue, ++number, in_network(random.below(100), 1), 8 + random.below(1193));
        REQUIRE(lost == (inside == HandshakeQueue::kPlaces));
        if (!lost) ++inside;
      } else {
        ReceivedDatagram out;
        REQUIRE(queue.pop(out) == (inside > 0));
        if (inside == 0) continue;
        --inside;
        std::uint64_t& last = last_of_bin[bin_of(out.remote)];
        REQUIRE(number_of(out) > last);
        last = number_of(out);
      }
      REQUIRE(queue.size() == inside);
    }
  }
}

TEST_CASE("handshake queue: allocates only to grow, and releases what is not needed") {
  HandshakeQueue queue(kKey);
  ReceivedDatagram out;
  CHECK_FALSE(push(queue, 1, in_network(1, 1)));
  REQUIRE(queue.pop(out));
  {
    const AllocationCount allocations;
    for (int i = 0; i < 1000; ++i) {
      CHECK_FALSE(push(queue, 1, in_network(1, 1)));
      CHECK(queue.pop(out));
    }
    CHECK(allocations.count() == 0);
  }
  CHECK_FALSE(push(queue, 1, in_network(1, 1)));
  queue.release_idle();
  queue.release_idle();
  REQUIRE(queue.pop(out));
  CHECK(number_of(out) == 1);
  CHECK(queue.allocated_bytes() > 0);
  // What was out at the last call was needed until then.
  queue.release_idle();
  queue.release_idle();
  CHECK(queue.allocated_bytes() == 0);
  const AllocationCount allocations;
  CHECK_FALSE(push(queue, 1, in_network(1, 1)));
  CHECK(allocations.count() > 0);
}

}  // namespace
}  // namespace hawser
