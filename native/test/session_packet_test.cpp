#include "wire/session_packet.hpp"

#include <doctest/doctest.h>

#include <array>
#include <limits>

#include "wire/frames.hpp"
#include "wire/handshake_packets.hpp"
#include "wire_support.hpp"

namespace hawser {
namespace {

using test::Buffer;
using test::random_bytes;
using test::to_hex;

// The meaning of RFC 9000 appendix A.3 without its arithmetic: of the numbers with these low bits in the
// windows around the expected one, the nearest; of two at the same distance the higher, as there.
std::uint64_t nearest(std::uint64_t expected, std::uint32_t truncated) {
  const std::uint64_t window = expected >> 32U;
  std::uint64_t best = (window << 32U) | truncated;
  const auto distance = [expected](std::uint64_t number) {
    return number > expected ? number - expected : expected - number;
  };
  for (const std::uint64_t other : {window - 1, window + 1}) {
    const bool exists = other <= 0xffffffffU;
    const std::uint64_t number = (other << 32U) | truncated;
    if (!exists) continue;
    if (distance(number) < distance(best) || (distance(number) == distance(best) && number > best))
      best = number;
  }
  return best;
}

TEST_CASE("session packet: sizes") {
  CHECK(kSessionOverhead == 21);
  CHECK(session_header_size(8) == 13);
  CHECK(kMaxSessionHeaderSize == 21);
  // A message of the guaranteed size fits with the longest id and the longest form of the frame.
  CHECK(message_frame_size(kMaxChannel, kMaxMessageSize) ==
        kMaxSentDatagram - kSessionOverhead - ConnectionId::kMax);
}

TEST_CASE("session packet: the header is first byte, id, low 32 bits of the number") {
  const auto id = ConnectionId::from(test::from_hex("0102030405")).value();
  std::array<std::byte, kMaxSessionHeaderSize> out{};
  CHECK(encode_session_header(out, 0, id, 0x1122334455667788U) == 10);
  CHECK(to_hex(Bytes(out).first(10)) == "b0010203040588776655");
  encode_session_header(out, 1, id, 0);
  CHECK(out[0] == std::byte{0xB4});
  encode_session_header(out, 2, id, 0);
  CHECK(out[0] == std::byte{0xB8});
  encode_session_header(out, 7, id, 0);
  CHECK(out[0] == std::byte{0xBC});
}

TEST_CASE("session packet: what is encoded is decoded, at every length of id") {
  SeededRandom random(40);
  for (int round = 0; round < 500; ++round) {
    const ConnectionId id = test::random_connection_id(random);
    const std::uint64_t packet_number = random.u64();
    const std::uint32_t epoch = random.below(100);
    Buffer datagram(session_header_size(id.length) + kTagSize + 1 + random.below(1000));
    const std::size_t size = encode_session_header(datagram, epoch, id, packet_number);
    const auto header = decode_session_header(datagram, id.length);
    REQUIRE(header.has_value());
    CHECK(header->epoch_bits == epoch % 4);
    CHECK(ConnectionId::from(header->connection_id) == id);
    CHECK(header->truncated_packet_number == static_cast<std::uint32_t>(packet_number));
    CHECK(header->size == size);
  }
}

TEST_CASE("session packet: one byte of ciphertext is the least, and only 1011ee00 begins one") {
  Buffer datagram(kSessionOverhead + 8 + 1, std::byte{kSessionByte});
  CHECK(decode_session_header(datagram, 8).has_value());
  for (std::size_t size = 0; size < datagram.size(); ++size) {
    CHECK_FALSE(decode_session_header(Bytes(datagram).first(size), 8).has_value());
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    datagram[0] = static_cast<std::byte>(byte);
    CHECK(decode_session_header(datagram, 8).has_value() == ((byte & 0xF3U) == 0xB0U));
  }
}

TEST_CASE("packet number: the nearest number with these low bits, as in RFC 9000 appendix A.3") {
  CHECK(expand_packet_number(0, 0) == 0);
  CHECK(expand_packet_number(0, 0xffffffffU) == 0xffffffffU);
  CHECK(expand_packet_number(0x100000000U, 0xffffffffU) == 0xffffffffU);
  CHECK(expand_packet_number(0xffffffffU, 0) == 0x100000000U);
  CHECK(expand_packet_number(0x180000000U, 0) == 0x200000000U);
  CHECK(expand_packet_number(0x180000001U, 0) == 0x200000000U);
  CHECK(expand_packet_number(0x17fffffffU, 0) == 0x100000000U);

  SeededRandom random(41);
  for (int round = 0; round < 100'000; ++round) {
    std::uint64_t expected = random.u64() >> random.below(64);
    if (round % 3 == 0) expected = (expected << 32U) + random.below(5) - 2;
    if (round % 7 == 0) expected = std::numeric_limits<std::uint64_t>::max() - (expected & 0x1ffffffffU);
    const std::uint32_t truncated =
        round % 2 == 0 ? static_cast<std::uint32_t>(random.u64())
                       : static_cast<std::uint32_t>(expected + 0x80000000U + random.below(5) - 2);
    CHECK(expand_packet_number(expected, truncated) == nearest(expected, truncated));
  }
}

TEST_CASE("packet number: a sender's number within half the window is found again") {
  SeededRandom random(42);
  for (int round = 0; round < 10'000; ++round) {
    const std::uint64_t expected = (std::uint64_t{1} << 33U) + (random.u64() >> 4U);
    const std::uint64_t distance = random.below(0x7fffffffU);
    CHECK(expand_packet_number(expected, static_cast<std::uint32_t>(expected + distance)) ==
          expected + distance);
    CHECK(expand_packet_number(expected, static_cast<std::uint32_t>(expected - distance)) ==
          expected - distance);
  }
}

TEST_CASE("connection id: 4 to 16 bytes, compared with its length") {
  SeededRandom random(43);
  for (std::size_t length = 0; length <= 20; ++length) {
    const Buffer bytes = random_bytes(random, length);
    const auto id = ConnectionId::from(bytes);
    CHECK(id.has_value() == (length >= 4 && length <= 16));
    if (id) CHECK(to_hex(id->view()) == to_hex(bytes));
  }
  const auto shorter = ConnectionId::from(test::from_hex("01020304"));
  const auto longer = ConnectionId::from(test::from_hex("0102030400"));
  CHECK(shorter != longer);
  const SipKey key{1, 2};
  CHECK(hash_value(key, *shorter) == hash_value(key, *ConnectionId::from(test::from_hex("01020304"))));
  CHECK(hash_value(key, *shorter) != hash_value(key, *ConnectionId::from(test::from_hex("01020305"))));
}

}  // namespace
}  // namespace hawser
