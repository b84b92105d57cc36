// Linux only, as what it tests.
#include "io/reuseport_steering.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/random.hpp"
#include "thread_support.hpp"

namespace hawser::test {
namespace {

void send_to(const SocketAddress& to, UdpSocket& from, Bytes bytes) {
  const OutgoingDatagram datagram{bytes, to, {}, 0};
  REQUIRE(from.send(std::span(&datagram, 1)).sent == 1);
}

// Which socket of the group has the one datagram that is under way. Loopback delivers within the sending
// call.
std::optional<std::uint32_t> arrived_at(const std::vector<std::unique_ptr<UdpSocket>>& group) {
  std::array<ReceivedDatagram, 4> received;
  std::optional<std::uint32_t> found;
  for (std::uint32_t i = 0; i < group.size(); ++i) {
    const std::size_t count = group[i]->receive(received);
    if (count == 0) continue;
    REQUIRE(count == 1);
    REQUIRE_FALSE(found.has_value());
    found = i;
  }
  return found;
}

// Any bytes, of which every other datagram looks like a session packet of a low shard number.
std::vector<std::byte> random_datagram(SeededRandom& random, const ShardSteering& steering) {
  std::vector<std::byte> bytes(random.below(60));
  random.fill(bytes);
  if (bytes.size() <= steering.offset() || random.below(2) == 0) return bytes;
  bytes[0] = (bytes[0] & ~std::byte{ShardSteering::kMask}) | std::byte{ShardSteering::kPattern};
  bytes[steering.offset()] = static_cast<std::byte>(random.below(6));
  return bytes;
}

TEST_CASE("reuseport steering: the kernel gives each datagram to the shard that shard_of names") {
  for (const std::uint32_t shards : {2U, 4U}) {
    for (const bool server_index : {false, true}) {
      for (const std::uint8_t id_length : {std::uint8_t{8}, std::uint8_t{16}}) {
        CAPTURE(shards);
        CAPTURE(server_index);
        CAPTURE(id_length);
        const ShardSteering steering(shards, server_index, id_length);
        const auto group = open_group(shards);
        REQUIRE(steer_in_kernel(*group[0], steering));
        SeededRandom random(shards + id_length);
        std::array<std::unique_ptr<UdpSocket>, 24> senders;
        // Where the kernel's hash puts each of them.
        std::array<std::optional<std::uint32_t>, 24> home;
        for (auto& sender : senders) sender = open_loopback();
        std::set<std::uint32_t> named;
        int elsewhere = 0;
        for (std::uint32_t i = 0; i < 600; ++i) {
          const std::size_t from = i % senders.size();
          const auto bytes = random_datagram(random, steering);
          send_to(group[0]->local_address(), *senders[from], bytes);
          const auto at = arrived_at(group);
          REQUIRE(at.has_value());
          if (const auto shard = steering.shard_of(bytes)) {
            REQUIRE(*at == *shard);
            named.insert(*shard);
            continue;
          }
          if (!home[from]) home[from] = at;
          REQUIRE(*at == *home[from]);
          ++elsewhere;
        }
        CHECK(named.size() == shards);
        CHECK(elsewhere > 100);
        // It spreads them.
        CHECK(std::set(home.begin(), home.end()).size() > 1);
      }
    }
  }
}

TEST_CASE("reuseport steering: sockets that join after it are steered to") {
  const ShardSteering steering(3, false, 8);
  std::vector<std::unique_ptr<UdpSocket>> group;
  group.push_back(open_loopback(0, true));
  REQUIRE(steer_in_kernel(*group[0], steering));
  const SocketAddress address = group[0]->local_address();
  const auto sender = open_loopback();
  std::vector<std::byte> packet(steering.least_size(), std::byte{ShardSteering::kPattern});
  for (std::uint32_t open = 1; open <= 3; ++open) {
    for (std::uint32_t shard = 0; shard < 3; ++shard) {
      packet[steering.offset()] = static_cast<std::byte>(shard);
      send_to(address, *sender, packet);
      const auto at = arrived_at(group);
      REQUIRE(at.has_value());
      if (shard < open) CHECK(*at == shard);
    }
    if (open < 3) group.push_back(open_loopback(address.port, true));
  }
}

TEST_CASE("reuseport steering: of a closed socket fails") {
  const auto socket = open_loopback(0, true);
  socket->close();
  CHECK_FALSE(steer_in_kernel(*socket, ShardSteering(2, false, 8)));
}

}  // namespace
}  // namespace hawser::test
