#include "wire/netcode_packets.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "allocation_counter.hpp"
#include "wire_support.hpp"

namespace hawser::netcode {
namespace {

using test::Buffer;
using test::random_array;
using test::random_bytes;
using test::random_key;
using test::to_hex;

constexpr std::array kEncryptedTypes = {PacketType::kDenied,   PacketType::kChallenge,
                                        PacketType::kResponse, PacketType::kKeepAlive,
                                        PacketType::kPayload,  PacketType::kDisconnect};
constexpr PacketTypes kAllTypes = 0x7f;

// Both sides of every change in the number of bytes, and the ends.
std::vector<std::uint64_t> sequence_boundaries() {
  std::vector<std::uint64_t> result{0, 1};
  for (unsigned bits = 8; bits < 64; bits += 8) {
    result.push_back((std::uint64_t{1} << bits) - 1);
    result.push_back(std::uint64_t{1} << bits);
  }
  result.push_back(std::uint64_t{1} << 63U);
  result.push_back(UINT64_MAX - 1);
  result.push_back(UINT64_MAX);
  return result;
}

std::size_t body_size(PacketType type, RandomSource& random) {
  switch (type) {
    case PacketType::kChallenge:
    case PacketType::kResponse:
      return kChallengeBodySize;
    case PacketType::kKeepAlive:
      return kKeepAliveBodySize;
    case PacketType::kPayload:
      return 1 + random.below(kMaxPayloadSize);
    default:
      return 0;
  }
}

Buffer sealed_packet(PacketType type, std::uint64_t sequence, Bytes body, const PacketKey& key,
                     const AssociatedData& associated_data) {
  Buffer datagram(kMaxHeaderSize + body.size() + kTagSize);
  datagram.resize(seal_packet(datagram, type, sequence, body, key, associated_data));
  return datagram;
}

// A packet of the standard put together by hand, with `bytes` of sequence number whatever it needs, and a
// body of any size.
Buffer handmade_packet(std::uint8_t type, std::uint64_t sequence, std::size_t bytes, Bytes body,
                       const PacketKey& key, std::uint64_t protocol_id) {
  Buffer datagram{static_cast<std::byte>(bytes << 4U | type)};
  Buffer associated_data(kVersionInfo.begin(), kVersionInfo.end());
  for (unsigned i = 0; i < 8; ++i) associated_data.push_back(static_cast<std::byte>(protocol_id >> (8 * i)));
  associated_data.push_back(datagram[0]);
  for (std::size_t i = 0; i < bytes; ++i) datagram.push_back(static_cast<std::byte>(sequence >> (8 * i)));
  datagram.insert(datagram.end(), body.begin(), body.end());
  datagram.resize(datagram.size() + kTagSize);
  key.seal_in_place(sequence, associated_data, MutableBytes(datagram).subspan(1 + bytes));
  return datagram;
}

std::optional<PacketError> header_error(Bytes datagram, PacketTypes taken) {
  const auto header = parse_header(datagram, taken);
  if (header) return std::nullopt;
  return header.error();
}

TEST_CASE("netcode packets: sizes are those of the standard") {
  CHECK(kRequestSize == 1078);
  CHECK(kMinPacketSize == 18);
  CHECK(kChallengeBodySize == 308);
  CHECK(kMaxPacketSize == 1225);
  CHECK(kChallengeSize == 333);
  CHECK(kDeniedSize == 25);
  // No answer is longer than what it answers.
  CHECK(kChallengeSize < kRequestSize);
}

TEST_CASE("netcode packets: which first bytes can begin one, of all 256") {
  unsigned possible = 0;
  for (unsigned first = 0; first < 256; ++first) {
    CAPTURE(first);
    const bool expected =
        first == 0 || ((first & 15U) != 0 && (first & 15U) < 7 && first >> 4U != 0 && first >> 4U <= 8);
    CHECK(may_begin_packet(static_cast<std::uint8_t>(first)) == expected);
    if (expected && first >> 5U == 5U) FAIL("begins as a datagram of HAWSER does");
    possible += expected ? 1 : 0;
  }
  CHECK(possible == 1 + 6 * 8);
}

TEST_CASE("netcode packets: the types of each side, and those with replay protection") {
  for (const PacketType type : {PacketType::kDenied, PacketType::kChallenge}) {
    CHECK((kTypesToServer & set_of(type)) == 0);
    CHECK((kTypesToClient & set_of(type)) != 0);
    CHECK_FALSE(is_replay_protected(type));
  }
  CHECK((kTypesToServer & set_of(PacketType::kResponse)) != 0);
  CHECK((kTypesToClient & set_of(PacketType::kResponse)) == 0);
  CHECK_FALSE(is_replay_protected(PacketType::kResponse));
  for (const PacketType type : {PacketType::kKeepAlive, PacketType::kPayload, PacketType::kDisconnect}) {
    CHECK((kTypesToServer & kTypesToClient & set_of(type)) != 0);
    CHECK(is_replay_protected(type));
  }
  CHECK(((kTypesToServer | kTypesToClient) & set_of(PacketType::kRequest)) == 0);
}

TEST_CASE("netcode request: every field stands where the standard puts it, and is read again") {
  SeededRandom random(1);
  PublicToken token;
  token.protocol_id = 0x1122334455667788U;
  token.expire = 0x0102030405060708U;
  token.nonce = random_array<kNonceSize>(random);
  token.sealed_private = random_array<kSealedPrivateTokenSize>(random);
  std::array<std::byte, kRequestSize> datagram{};
  datagram.fill(std::byte{0xee});
  encode_request(datagram, token);
  CHECK(to_hex(datagram) ==
        "00"
        "4e4554434f444520312e303200"
        "8877665544332211"
        "0807060504030201" +
            to_hex(token.nonce) + to_hex(token.sealed_private));

  const auto request = parse_request(datagram);
  REQUIRE(request.has_value());
  CHECK(request->protocol_id == token.protocol_id);
  CHECK(request->expire == token.expire);
  CHECK(std::ranges::equal(request->nonce, token.nonce));
  CHECK(std::ranges::equal(request->sealed_private, token.sealed_private));
  CHECK(request->sealed_private.data() == datagram.data() + 54);
}

TEST_CASE("netcode request: no other length, and no other version") {
  std::array<std::byte, kRequestSize> datagram{};
  encode_request(datagram, {});
  for (std::size_t size = 0; size <= kRequestSize + 2; ++size) {
    if (size == kRequestSize) continue;
    Buffer other(datagram.begin(), datagram.end());
    other.resize(size);
    const auto request = parse_request(other);
    REQUIRE_FALSE(request.has_value());
    CHECK(request.error() == RequestError::kLength);
  }
  for (std::size_t bit = 8; bit < 8 * (1 + kVersionSize); ++bit) {
    auto other = datagram;
    other[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto request = parse_request(other);
    REQUIRE_FALSE(request.has_value());
    CHECK(request.error() == RequestError::kVersion);
  }
}

TEST_CASE("netcode sequence numbers: high zero bytes are left out, but for one") {
  for (const std::uint64_t sequence : sequence_boundaries()) {
    CAPTURE(sequence);
    std::size_t expected = 8;
    while (expected > 1 && sequence >> (8 * (expected - 1)) == 0) --expected;
    CHECK(sequence_size(sequence) == expected);
  }
}

TEST_CASE("netcode packets: the header is read as the standard says, for all 256 prefix bytes") {
  SeededRandom random(2);
  for (const PacketTypes taken : {kTypesToServer, kTypesToClient, kAllTypes, PacketTypes{0}}) {
    for (unsigned prefix = 0; prefix < 256; ++prefix) {
      CAPTURE(taken);
      CAPTURE(prefix);
      Buffer datagram = random_bytes(random, 40);
      datagram[0] = static_cast<std::byte>(prefix);
      const unsigned type = prefix & 15U;
      const unsigned bytes = prefix >> 4U;
      const auto header = parse_header(datagram, taken);
      if (type >= 7) {
        REQUIRE_FALSE(header.has_value());
        CHECK(header.error() == PacketError::kType);
      } else if ((taken & (1U << type)) == 0) {
        REQUIRE_FALSE(header.has_value());
        CHECK(header.error() == PacketError::kRole);
      } else if (bytes < 1 || bytes > 8) {
        REQUIRE_FALSE(header.has_value());
        CHECK(header.error() == PacketError::kSequence);
      } else {
        REQUIRE(header.has_value());
        CHECK(static_cast<unsigned>(header->type) == type);
        CHECK(header->prefix == prefix);
        CHECK(header->size == 1 + bytes);
        std::uint64_t sequence = 0;
        for (unsigned i = 0; i < bytes; ++i)
          sequence |= std::to_integer<std::uint64_t>(datagram[1 + i]) << (8 * i);
        CHECK(header->sequence == sequence);
      }
    }
  }
}

TEST_CASE("netcode packets: too short for tag and sequence number, at every length") {
  for (std::size_t bytes = 1; bytes <= 8; ++bytes) {
    for (std::size_t size = 0; size < 40; ++size) {
      CAPTURE(bytes);
      CAPTURE(size);
      Buffer datagram(size);
      if (size > 0) datagram[0] = static_cast<std::byte>(bytes << 4U | 5U);
      const auto error = header_error(datagram, kAllTypes);
      CHECK(error.has_value() == (size < 18 || size < 1 + bytes + 16));
      if (error) CHECK(*error == PacketError::kLength);
    }
  }
}

TEST_CASE("netcode packets: of several faults the standard's first is told") {
  const auto error = [](std::size_t size, unsigned prefix, PacketTypes taken) {
    Buffer datagram(size);
    datagram[0] = static_cast<std::byte>(prefix);
    return header_error(datagram, taken).value();
  };
  CHECK(error(17, 0x9f, kTypesToServer) == PacketError::kLength);
  CHECK(error(18, 0x9f, kTypesToServer) == PacketError::kType);
  CHECK(error(18, 0x92, kTypesToServer) == PacketError::kRole);
  CHECK(error(18, 0x95, kTypesToServer) == PacketError::kSequence);
  CHECK(error(18, 0x85, kTypesToServer) == PacketError::kLength);
  CHECK(error(18, 0x87, kTypesToServer) == PacketError::kType);
  CHECK(error(18, 0x82, kTypesToServer) == PacketError::kRole);
}

TEST_CASE("netcode packets: what is sealed is what the standard's text gives, and is opened in place") {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    for (const PacketType type : kEncryptedTypes) {
      for (const std::uint64_t sequence : sequence_boundaries()) {
        CAPTURE(seed);
        CAPTURE(sequence);
        CAPTURE(static_cast<unsigned>(type));
        SeededRandom random(seed);
        const PacketKey key = PacketKey::of(random_key(random));
        const std::uint64_t protocol_id = random.u64();
        const AssociatedData associated_data(protocol_id);
        const Buffer body = random_bytes(random, body_size(type, random));
        Buffer datagram = sealed_packet(type, sequence, body, key, associated_data);
        const std::size_t bytes = sequence_size(sequence);
        REQUIRE(datagram ==
                handmade_packet(static_cast<std::uint8_t>(type), sequence, bytes, body, key, protocol_id));

        const auto header = parse_header(datagram, kAllTypes);
        REQUIRE(header.has_value());
        CHECK(header->type == type);
        CHECK(header->sequence == sequence);
        CHECK(header->size == 1 + bytes);
        const auto opened = open_packet(datagram, *header, key, associated_data);
        REQUIRE(opened.has_value());
        CHECK(to_hex(*opened) == to_hex(body));
        CHECK(opened->data() == datagram.data() + header->size);
      }
    }
  }
}

TEST_CASE("netcode packets: payloads of every length") {
  SeededRandom random(3);
  const PacketKey key = PacketKey::of(random_key(random));
  const AssociatedData associated_data(random.u64());
  for (std::size_t size = 1; size <= kMaxPayloadSize; ++size) {
    CAPTURE(size);
    const Buffer body = random_bytes(random, size);
    Buffer datagram = sealed_packet(PacketType::kPayload, size, body, key, associated_data);
    REQUIRE(datagram.size() == 1 + sequence_size(size) + size + kTagSize);
    const auto header = parse_header(datagram, kTypesToServer);
    REQUIRE(header.has_value());
    const auto opened = open_packet(datagram, *header, key, associated_data);
    REQUIRE(opened.has_value());
    REQUIRE(std::ranges::equal(*opened, body));
  }
}

TEST_CASE("netcode packets: a sequence number in a longer form than it needs is taken") {
  SeededRandom random(4);
  const PacketKey key = PacketKey::of(random_key(random));
  const std::uint64_t protocol_id = random.u64();
  const AssociatedData associated_data(protocol_id);
  for (const std::uint64_t sequence : sequence_boundaries()) {
    for (std::size_t bytes = sequence_size(sequence); bytes <= 8; ++bytes) {
      CAPTURE(sequence);
      CAPTURE(bytes);
      const Buffer body = random_bytes(random, 20);
      Buffer datagram = handmade_packet(5, sequence, bytes, body, key, protocol_id);
      const auto header = parse_header(datagram, kTypesToServer);
      REQUIRE(header.has_value());
      CHECK(header->sequence == sequence);
      const auto opened = open_packet(datagram, *header, key, associated_data);
      REQUIRE(opened.has_value());
      CHECK(to_hex(*opened) == to_hex(body));
    }
  }
}

TEST_CASE("netcode packets: a body of any size opens, and only the type's own size is right") {
  SeededRandom random(5);
  const PacketKey key = PacketKey::of(random_key(random));
  const AssociatedData associated_data(77);
  for (const std::size_t size : {0U, 1U, 7U, 8U, 9U, 307U, 308U, 309U, 1199U, 1200U, 1201U, 3000U}) {
    for (const PacketType type : kEncryptedTypes) {
      CAPTURE(size);
      CAPTURE(static_cast<unsigned>(type));
      Buffer datagram =
          handmade_packet(static_cast<std::uint8_t>(type), 9, 1, random_bytes(random, size), key, 77);
      const auto header = parse_header(datagram, kAllTypes);
      REQUIRE(header.has_value());
      const auto opened = open_packet(datagram, *header, key, associated_data);
      REQUIRE(opened.has_value());
      CHECK(opened->size() == size);
      const bool challenge = type == PacketType::kChallenge || type == PacketType::kResponse;
      const bool expected = challenge                        ? size == 308
                            : type == PacketType::kKeepAlive ? size == 8
                            : type == PacketType::kPayload   ? size >= 1 && size <= 1200
                                                             : size == 0;
      CHECK(is_body_size(type, size) == expected);
    }
  }
  CHECK(is_body_size(PacketType::kRequest, 1077));
  CHECK_FALSE(is_body_size(PacketType::kRequest, 1078));
  CHECK_FALSE(is_body_size(static_cast<PacketType>(7), 0));
}

TEST_CASE("netcode packets: no change to one opens, nor another key, protocol id or direction") {
  SeededRandom random(6);
  const PacketKey key = PacketKey::of(random_key(random));
  const AssociatedData associated_data(1);
  const Buffer body = random_bytes(random, 30);
  const Buffer sealed = sealed_packet(PacketType::kPayload, 0x1234, body, key, associated_data);
  const auto opens = [](Buffer datagram, const PacketKey& with, const AssociatedData& beside) {
    const auto header = parse_header(datagram, kAllTypes);
    if (!header) return false;
    const auto opened = open_packet(datagram, *header, with, beside);
    // What did not open is not left for anybody to read.
    if (!opened) {
      const Bytes rest(datagram);
      CHECK(all_zero(rest.subspan(header->size, rest.size() - header->size - kTagSize)));
    }
    return opened.has_value();
  };
  CHECK(opens(sealed, key, associated_data));
  CHECK_FALSE(opens(sealed, PacketKey::of(random_key(random)), associated_data));
  CHECK_FALSE(opens(sealed, key, AssociatedData(2)));
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    CAPTURE(bit);
    Buffer flipped = sealed;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK_FALSE(opens(flipped, key, associated_data));
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    CHECK_FALSE(opens(Buffer(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size)), key,
                      associated_data));
  }
  // The same sequence number in a longer form is another packet.
  Buffer longer = sealed;
  longer[0] = static_cast<std::byte>(std::to_integer<unsigned>(sealed[0]) + 0x10U);
  longer.insert(longer.begin() + 3, std::byte{0});
  CHECK_FALSE(opens(longer, key, associated_data));
}

TEST_CASE("netcode packets: hostile bytes never open") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const PacketKey key = PacketKey::of(random_key(random));
    const AssociatedData associated_data(random.u64());
    for (int round = 0; round < 500; ++round) {
      Buffer datagram = random_bytes(random, random.below(60));
      const auto header = parse_header(datagram, kAllTypes);
      if (!header) continue;
      REQUIRE(header->size + kTagSize <= datagram.size());
      REQUIRE_FALSE(open_packet(datagram, *header, key, associated_data).has_value());
    }
  }
}

TEST_CASE("netcode packets: the bodies of CHALLENGE, RESPONSE and KEEP_ALIVE") {
  SeededRandom random(7);
  const ChallengeBody challenge{0x1122334455667788U, random_array<kChallengeTokenSize>(random)};
  std::array<std::byte, kChallengeBodySize> bytes{};
  encode_challenge(bytes, challenge);
  CHECK(to_hex(bytes) == "8877665544332211" + to_hex(challenge.token));
  const ChallengeBody decoded = decode_challenge(bytes);
  CHECK(decoded.sequence == challenge.sequence);
  CHECK(decoded.token == challenge.token);

  const auto keep_alive = encode_keep_alive({0x01020304, 0xa1a2a3a4});
  CHECK(to_hex(keep_alive) == "04030201a4a3a2a1");
  CHECK(decode_keep_alive(keep_alive).client_index == 0x01020304);
  CHECK(decode_keep_alive(keep_alive).max_clients == 0xa1a2a3a4);
}

TEST_CASE("netcode packets: sealing writes nothing behind the room it asks for") {
  SeededRandom random(8);
  const PacketKey key = PacketKey::of(random_key(random));
  const AssociatedData associated_data(1);
  for (const PacketType type : kEncryptedTypes) {
    for (const std::uint64_t sequence : sequence_boundaries()) {
      const Buffer body = random_bytes(random, body_size(type, random));
      // Exactly that room: the sanitizer sees a byte more.
      const Buffer datagram = sealed_packet(type, sequence, body, key, associated_data);
      CHECK(datagram.size() == 1 + sequence_size(sequence) + body.size() + kTagSize);
    }
  }
}

TEST_CASE("netcode packets: sealing and opening allocate nothing") {
  SeededRandom random(9);
  const PacketKey key = PacketKey::of(random_key(random));
  const AssociatedData associated_data(1);
  const auto body = random_array<64>(random);
  std::array<std::byte, kMaxPacketSize> datagram{};
  const AllocationCount allocations;
  const std::size_t size = seal_packet(datagram, PacketType::kPayload, 5, body, key, associated_data);
  const MutableBytes packet = MutableBytes(datagram).first(size);
  const auto header = parse_header(packet, kTypesToServer);
  const bool opened = header && open_packet(packet, *header, key, associated_data).has_value();
  const std::uint64_t count = allocations.count();
  CHECK(opened);
  CHECK(count == 0);
}

}  // namespace
}  // namespace hawser::netcode
