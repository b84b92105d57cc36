#include "engine/shard_steering.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <set>
#include <vector>

#include "wire/session_packet.hpp"

namespace hawser {
namespace {

std::vector<std::byte> packet_to(const ConnectionId& id, std::size_t payload = 1) {
  std::vector<std::byte> datagram(kSessionOverhead + id.length + payload);
  encode_session_header(datagram, 0, id, 0);
  return datagram;
}

ConnectionId id_of(std::uint8_t length, std::uint8_t fill) {
  ConnectionId id;
  id.length = length;
  std::fill_n(id.bytes.begin(), length, std::byte{fill});
  return id;
}

TEST_CASE("shard steering: a session packet belongs to the shard that its connection id names") {
  for (const bool server_index : {false, true}) {
    for (const std::uint8_t length : {std::uint8_t{8}, std::uint8_t{16}}) {
      CAPTURE(server_index);
      CAPTURE(length);
      const ShardSteering steering(64, server_index, length);
      for (std::uint32_t shard = 0; shard < 64; ++shard) {
        ConnectionId id = id_of(length, 0xee);
        steering.name(shard, id);
        CHECK(id.bytes[server_index ? 1 : 0] == static_cast<std::byte>(shard));
        CHECK(id.bytes[server_index ? 0 : 1] == std::byte{0xee});
        CHECK(steering.shard_of(packet_to(id)) == shard);
      }
    }
  }
}

TEST_CASE("shard steering: whatever names no shard belongs to whoever has it") {
  const ShardSteering steering(4, false, 8);
  CHECK(steering.shard_of(packet_to(id_of(8, 3))) == 3U);
  CHECK_FALSE(steering.shard_of(packet_to(id_of(8, 4))).has_value());
  CHECK_FALSE(steering.shard_of(packet_to(id_of(8, 3), 0)).has_value());
  CHECK_FALSE(steering.shard_of({}).has_value());
  for (unsigned first = 0; first < 256; ++first) {
    CAPTURE(first);
    auto datagram = packet_to(id_of(8, 3));
    datagram[0] = static_cast<std::byte>(first);
    const bool session = classify(static_cast<std::uint8_t>(first)) == DatagramKind::kSession;
    CHECK(steering.shard_of(datagram).has_value() == session);
  }
}

TEST_CASE("shard steering: with one shard ids name none") {
  const ShardSteering steering(1, false, 8);
  ConnectionId id = id_of(8, 0xee);
  steering.name(0, id);
  CHECK(id == id_of(8, 0xee));
  CHECK_FALSE(steering.shard_of(packet_to(id_of(8, 0))).has_value());
}

// What native/io writes for the kernel.
TEST_CASE("shard steering: the four figures alone decide the same") {
  for (const bool server_index : {false, true}) {
    const ShardSteering steering(5, server_index, 9);
    for (std::size_t size = 0; size < 40; ++size) {
      for (unsigned first = 0; first < 256; ++first) {
        for (const unsigned named : {0U, 4U, 5U, 255U}) {
          std::vector<std::byte> datagram(size, static_cast<std::byte>(named));
          if (size > 0) datagram[0] = static_cast<std::byte>(first);
          const bool decides =
              size >= steering.least_size() && (first & ShardSteering::kMask) == ShardSteering::kPattern &&
              std::to_integer<std::uint32_t>(datagram[steering.offset()]) < steering.shards();
          const auto shard = steering.shard_of(datagram);
          REQUIRE(shard.has_value() == decides);
          if (decides) REQUIRE(*shard == named);
        }
      }
    }
  }
}

}  // namespace
}  // namespace hawser
