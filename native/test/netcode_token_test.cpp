#include "wire/netcode_token.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "allocation_counter.hpp"
#include "wire_support.hpp"

namespace hawser::netcode {
namespace {

using test::Buffer;
using test::random_address;
using test::random_array;
using test::random_bytes;
using test::random_ipv6_address;
using test::random_key;
using test::to_hex;

constexpr std::size_t kPublicTimeoutOffset = 13 + 8 + 8 + 8 + 24 + 1024;
constexpr std::size_t kPublicAddressOffset = kPublicTimeoutOffset + 8;
constexpr std::size_t kPrivateAddressOffset = 16;

struct Sample {
  std::vector<SocketAddress> addresses;
  Buffer user_data;
  TokenParameters parameters;
  Key private_key;
  std::array<std::byte, kTokenSize> bytes{};
};

void mint_sample(RandomSource& random, Sample& out, std::size_t count) {
  out.addresses.clear();
  for (std::size_t i = 0; i < count; ++i) out.addresses.push_back(random_address(random));
  out.user_data = random_bytes(random, random.below(kUserDataSize + 1));
  out.parameters.protocol_id = random.u64();
  out.parameters.create = random.u64() >> random.below(64);
  out.parameters.expire = out.parameters.create +
                          std::min<std::uint64_t>(random.below(86'401), UINT64_MAX - out.parameters.create);
  out.parameters.client_id = random.u64();
  out.parameters.timeout_seconds = static_cast<std::int32_t>(static_cast<std::uint32_t>(random.u64()));
  out.parameters.addresses = out.addresses;
  out.parameters.user_data = out.user_data;
  out.private_key = random_key(random);
  REQUIRE(mint_token(out.bytes, out.parameters, out.private_key, random) == TokenError::kNone);
}

TokenError open_minted(const Sample& sample, Bytes token, PrivateToken& out) {
  return open_private_token(token.subspan<61, kSealedPrivateTokenSize>(), sample.private_key,
                            load_little_endian<std::uint64_t>(&token[13]),
                            load_little_endian<std::uint64_t>(&token[29]), token.subspan<37, kNonceSize>(),
                            out);
}

TokenError public_error(Bytes bytes) {
  const auto token = decode_public_token(bytes);
  return token ? TokenError::kNone : token.error();
}

void check_rules(const AddressList& list) {
  REQUIRE(list.count >= 1);
  REQUIRE(list.count <= kMaxTokenAddresses);
  for (const SocketAddress& address : list.view()) REQUIRE(address.family != SocketAddress::Family::kNone);
}

TEST_CASE("netcode token: sizes are those of the standard") {
  CHECK(to_hex(kVersionInfo) == "4e4554434f444520312e303200");
  CHECK(kTokenSize == 2048);
  CHECK(kSealedPrivateTokenSize == 1024);
  CHECK(kPrivateTokenSize == 1008);
  CHECK(kChallengeTokenSize == 300);
}

TEST_CASE("netcode token: every field of the public part stands where the standard puts it") {
  PublicToken token;
  token.protocol_id = 0x1122334455667788U;
  token.create = 0x0102030405060708U;
  token.expire = 0x1112131415161718U;
  token.nonce.fill(std::byte{0xaa});
  token.sealed_private.fill(std::byte{0xbb});
  token.timeout_seconds = -2;
  REQUIRE(token.addresses.add(SocketAddress::ipv4({10, 20, 30, 40}, 0x1234)));
  REQUIRE(token.addresses.add(
      SocketAddress::ipv6({0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xca, 0xfe, 0x00, 0x07}, 0x5678)));
  std::ranges::fill(token.client_to_server.mutable_bytes(), std::byte{0xcc});
  std::ranges::fill(token.server_to_client.mutable_bytes(), std::byte{0xdd});
  std::array<std::byte, kTokenSize> bytes{};
  bytes.fill(std::byte{0xee});
  REQUIRE(encode_public_token(bytes, token) == TokenError::kNone);

  const auto repeated = [](const char* byte, std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += byte;
    return text;
  };
  std::string expected = "4e4554434f444520312e303200";  // version
  expected += "8877665544332211";                       // protocol id
  expected += "0807060504030201";                       // create
  expected += "1817161514131211";                       // expire
  expected += repeated("aa", 24);
  expected += repeated("bb", 1024);
  expected += "feffffff";  // timeout
  expected += "02000000";  // addresses
  expected += "010a141e283412";
  expected +=
      "020120b80d00000000"
      "00000000feca0700"
      "7856";
  expected += repeated("cc", 32);
  expected += repeated("dd", 32);
  expected += repeated("00", kTokenSize - expected.size() / 2);
  CHECK(to_hex(bytes) == expected);
}

TEST_CASE("netcode token: every field of the private part stands where the standard puts it") {
  PrivateToken token;
  token.client_id = 0x1122334455667788U;
  token.timeout_seconds = 15;
  REQUIRE(token.addresses.add(SocketAddress::ipv4({10, 20, 30, 40}, 0x1234)));
  std::ranges::fill(token.client_to_server.mutable_bytes(), std::byte{0xcc});
  std::ranges::fill(token.server_to_client.mutable_bytes(), std::byte{0xdd});
  token.user_data.fill(std::byte{0x77});
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  plaintext.fill(std::byte{0xee});
  REQUIRE(encode_private_token(plaintext, token) == TokenError::kNone);
  const Bytes bytes(plaintext);
  CHECK(to_hex(bytes.first(23)) ==
        "8877665544332211"
        "0f000000"
        "01000000"
        "010a141e283412");
  CHECK(std::ranges::count(bytes.subspan(23, 32), std::byte{0xcc}) == 32);
  CHECK(std::ranges::count(bytes.subspan(55, 32), std::byte{0xdd}) == 32);
  CHECK(std::ranges::count(bytes.subspan(87, 256), std::byte{0x77}) == 256);
  CHECK(all_zero(bytes.subspan(343)));
}

TEST_CASE("netcode token: the private part is sealed with version, protocol id and expire time beside it") {
  SeededRandom random(1);
  Sample sample;
  mint_sample(random, sample, 2);
  const Bytes bytes(sample.bytes);
  Buffer associated_data(bytes.begin(), bytes.begin() + 21);
  associated_data.insert(associated_data.end(), bytes.begin() + 29, bytes.begin() + 37);
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  REQUIRE(open(plaintext, sample.private_key, bytes.subspan<37, kNonceSize>(), associated_data,
               bytes.subspan(61, 1024)));
  CHECK(load_little_endian<std::uint64_t>(plaintext.data()) == sample.parameters.client_id);
}

TEST_CASE("netcode token: what was minted is what the gateway opens and the client decodes") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    Sample sample;
    mint_sample(random, sample, seed <= kMaxTokenAddresses ? seed : 1 + random.below(kMaxTokenAddresses));
    const TokenParameters& parameters = sample.parameters;
    CHECK(is_token(sample.bytes));
    const auto token = decode_public_token(sample.bytes);
    REQUIRE(token.has_value());
    CHECK(token->protocol_id == parameters.protocol_id);
    CHECK(token->create == parameters.create);
    CHECK(token->expire == parameters.expire);
    CHECK(token->timeout_seconds == parameters.timeout_seconds);
    CHECK(std::ranges::equal(token->addresses.view(), sample.addresses));

    PrivateToken opened;
    REQUIRE(open_private_token(token->sealed_private, sample.private_key, token->protocol_id, token->expire,
                               token->nonce, opened) == TokenError::kNone);
    CHECK(opened.client_id == parameters.client_id);
    CHECK(opened.timeout_seconds == parameters.timeout_seconds);
    CHECK(opened.addresses == token->addresses);
    CHECK(to_hex(Bytes(opened.user_data).first(sample.user_data.size())) == to_hex(sample.user_data));
    CHECK(all_zero(Bytes(opened.user_data).subspan(sample.user_data.size())));
    CHECK(constant_time_equal(opened.client_to_server.bytes(), token->client_to_server.bytes()));
    CHECK(constant_time_equal(opened.server_to_client.bytes(), token->server_to_client.bytes()));

    std::array<std::byte, kTokenSize> public_again{};
    REQUIRE(encode_public_token(public_again, *token) == TokenError::kNone);
    CHECK(public_again == sample.bytes);
    SealedPrivateToken sealed_again{};
    REQUIRE(seal_private_token(sealed_again, opened, sample.private_key, token->protocol_id, token->expire,
                               token->nonce) == TokenError::kNone);
    CHECK(sealed_again == token->sealed_private);
  }
}

TEST_CASE("netcode token: minting draws the nonce, then the keys to the server and to the client") {
  SeededRandom random(2);
  Sample sample;
  mint_sample(random, sample, 1);
  SeededRandom drawn(3);
  SeededRandom expected(3);
  REQUIRE(mint_token(sample.bytes, sample.parameters, sample.private_key, drawn) == TokenError::kNone);
  const auto token = decode_public_token(sample.bytes);
  REQUIRE(token.has_value());
  CHECK(to_hex(token->nonce) == to_hex(random_array<kNonceSize>(expected)));
  CHECK(to_hex(token->client_to_server.bytes()) == to_hex(random_array<32>(expected)));
  CHECK(to_hex(token->server_to_client.bytes()) == to_hex(random_array<32>(expected)));
  CHECK(drawn.u64() == expected.u64());
}

TEST_CASE("netcode token: the largest content fits, one address more does not") {
  SeededRandom random(4);
  std::vector<SocketAddress> addresses;
  for (std::size_t i = 0; i < kMaxTokenAddresses; ++i) addresses.push_back(random_ipv6_address(random));
  const Buffer user_data = random_bytes(random, kUserDataSize);
  Sample sample;
  mint_sample(random, sample, 1);
  sample.parameters.addresses = addresses;
  sample.parameters.user_data = user_data;
  REQUIRE(mint_token(sample.bytes, sample.parameters, sample.private_key, random) == TokenError::kNone);
  PrivateToken opened;
  REQUIRE(open_minted(sample, sample.bytes, opened) == TokenError::kNone);
  CHECK(to_hex(opened.user_data) == to_hex(user_data));
  CHECK(std::ranges::equal(opened.addresses.view(), addresses));
  addresses.push_back(addresses[0]);
  sample.parameters.addresses = addresses;
  CHECK(mint_token(sample.bytes, sample.parameters, sample.private_key, random) == TokenError::kAddresses);
}

TEST_CASE("netcode token: any IPv4 or IPv6 address is taken as it stands, without its scope id") {
  SeededRandom random(5);
  for (const SocketAddress& address :
       {SocketAddress::ipv4({0, 0, 0, 0}, 0), SocketAddress::ipv4({255, 255, 255, 255}, 65535),
        SocketAddress::ipv6({}, 0),
        SocketAddress::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}, 5),
        SocketAddress::ipv6({0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, 7, 3)}) {
    Sample sample;
    mint_sample(random, sample, 1);
    sample.parameters.addresses = std::span(&address, 1);
    REQUIRE(mint_token(sample.bytes, sample.parameters, sample.private_key, random) == TokenError::kNone);
    SocketAddress expected = address;
    expected.scope_id = 0;
    const auto token = decode_public_token(sample.bytes);
    REQUIRE(token.has_value());
    CHECK(token->addresses.view()[0] == expected);
    PrivateToken opened;
    REQUIRE(open_minted(sample, sample.bytes, opened) == TokenError::kNone);
    CHECK(opened.addresses.view()[0] == expected);
  }
}

TEST_CASE("netcode token: encoding refuses what decoding would") {
  SeededRandom random(6);
  Sample sample;
  mint_sample(random, sample, 1);
  const auto error = [&](const TokenParameters& parameters) {
    std::array<std::byte, kTokenSize> bytes{};
    const TokenError result = mint_token(bytes, parameters, sample.private_key, random);
    CHECK(all_zero(bytes) == (result != TokenError::kNone));
    return result;
  };
  TokenParameters parameters = sample.parameters;
  CHECK(error(parameters) == TokenError::kNone);
  parameters.create = 6;
  parameters.expire = 5;
  CHECK(error(parameters) == TokenError::kTimes);
  parameters.create = 5;
  CHECK(error(parameters) == TokenError::kNone);
  parameters.addresses = {};
  CHECK(error(parameters) == TokenError::kAddresses);
  const SocketAddress none;
  parameters.addresses = std::span(&none, 1);
  CHECK(error(parameters) == TokenError::kAddresses);

  auto token = decode_public_token(sample.bytes);
  REQUIRE(token.has_value());
  std::array<std::byte, kTokenSize> bytes{};
  token->addresses.count = 0;
  CHECK(encode_public_token(bytes, *token) == TokenError::kAddresses);
  token->addresses.count = 1;
  token->addresses.addresses[0].family = static_cast<SocketAddress::Family>(3);
  CHECK(encode_public_token(bytes, *token) == TokenError::kAddresses);
  token->create = 2;
  token->expire = 1;
  CHECK(encode_public_token(bytes, *token) == TokenError::kTimes);

  PrivateToken secret;
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  SealedPrivateToken sealed{};
  CHECK(encode_private_token(plaintext, secret) == TokenError::kAddresses);
  CHECK(seal_private_token(sealed, secret, sample.private_key, 1, 2, Nonce{}) == TokenError::kAddresses);
}

TEST_CASE("netcode token: each rule of the public part") {
  SeededRandom random(7);
  Sample sample;
  mint_sample(random, sample, 1);
  const SocketAddress address = SocketAddress::ipv4({192, 0, 2, 1}, 40'000);
  sample.parameters.addresses = std::span(&address, 1);
  sample.parameters.create = 1000;
  sample.parameters.expire = 2000;
  REQUIRE(mint_token(sample.bytes, sample.parameters, sample.private_key, random) == TokenError::kNone);
  const auto with = [&sample](std::size_t offset, auto value) {
    auto changed = sample.bytes;
    store_little_endian(&changed[offset], value);
    return public_error(changed);
  };
  CHECK(public_error(sample.bytes) == TokenError::kNone);
  for (std::size_t i = 0; i < kVersionSize; ++i) {
    auto changed = sample.bytes;
    changed[i] ^= std::byte{0x20};
    CHECK(public_error(changed) == TokenError::kVersion);
    CHECK_FALSE(is_token(changed));
    CHECK_FALSE(is_token(Bytes(sample.bytes).first(i)));
  }
  CHECK(is_token(Bytes(sample.bytes).first(kVersionSize)));
  CHECK(with(21, std::uint64_t{2000}) == TokenError::kNone);
  CHECK(with(21, std::uint64_t{2001}) == TokenError::kTimes);
  CHECK(with(21, std::numeric_limits<std::uint64_t>::max()) == TokenError::kTimes);
  CHECK(with(29, std::numeric_limits<std::uint64_t>::max()) == TokenError::kNone);
  CHECK(with(29, std::uint64_t{999}) == TokenError::kTimes);
  for (const std::uint32_t timeout : {0U, 1U, 0x7fffffffU, 0x80000000U, 0xffffffffU})
    CHECK(with(kPublicTimeoutOffset, timeout) == TokenError::kNone);
  for (const std::uint32_t count : {0U, 33U, 256U, 0x10001U, 0x80000001U, 0xffffffffU})
    CHECK(with(kPublicTimeoutOffset + 4, count) == TokenError::kAddresses);
  for (unsigned type = 0; type < 256; ++type) {
    const bool known = type == 1 || type == 2;
    CHECK(with(kPublicAddressOffset, static_cast<std::uint8_t>(type)) ==
          (known ? TokenError::kNone : TokenError::kAddresses));
  }
  // The last of several addresses is looked at as well.
  Sample many;
  mint_sample(random, many, 1);
  const std::vector<SocketAddress> all(kMaxTokenAddresses, address);
  many.parameters.addresses = all;
  REQUIRE(mint_token(many.bytes, many.parameters, many.private_key, random) == TokenError::kNone);
  many.bytes[kPublicAddressOffset + 31 * kIpv4AddressSize] = std::byte{3};
  CHECK(public_error(many.bytes) == TokenError::kAddresses);
}

TEST_CASE("netcode token: 33 addresses are too many although each is one") {
  SeededRandom random(14);
  Sample sample;
  mint_sample(random, sample, 1);
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  for (std::size_t i = 0; i <= kMaxTokenAddresses; ++i) {
    sample.bytes[kPublicAddressOffset + i * kIpv4AddressSize] = std::byte{1};
    plaintext[kPrivateAddressOffset + i * kIpv4AddressSize] = std::byte{1};
  }
  PrivateToken out;
  for (const unsigned count : {32U, 33U}) {
    sample.bytes[kPublicTimeoutOffset + 4] = static_cast<std::byte>(count);
    plaintext[12] = static_cast<std::byte>(count);
    const TokenError expected = count == 32 ? TokenError::kNone : TokenError::kAddresses;
    CHECK(public_error(sample.bytes) == expected);
    CHECK(decode_private_token(plaintext, out) == expected);
  }
}

TEST_CASE("netcode token: no other length is one") {
  SeededRandom random(8);
  Sample sample;
  mint_sample(random, sample, 32);
  const Buffer exact(sample.bytes.begin(), sample.bytes.end());
  for (std::size_t size = 0; size < kTokenSize; ++size) {
    const Buffer shorter(exact.begin(), exact.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(public_error(shorter) == TokenError::kLength);
  }
  Buffer longer = exact;
  longer.push_back(std::byte{0});
  CHECK(public_error(longer) == TokenError::kLength);
}

TEST_CASE("netcode token: padding is not looked at") {
  SeededRandom random(9);
  Sample sample;
  mint_sample(random, sample, 1);
  auto bytes = sample.bytes;
  std::ranges::fill(MutableBytes(bytes).subspan(kPublicAddressOffset + kIpv6AddressSize + 64),
                    std::byte{0xff});
  CHECK(public_error(bytes) == TokenError::kNone);

  PrivateToken secret;
  REQUIRE(open_minted(sample, sample.bytes, secret) == TokenError::kNone);
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  REQUIRE(encode_private_token(plaintext, secret) == TokenError::kNone);
  std::ranges::fill(
      MutableBytes(plaintext).subspan(kPrivateAddressOffset + kIpv6AddressSize + 64 + kUserDataSize),
      std::byte{0xff});
  PrivateToken again;
  CHECK(decode_private_token(plaintext, again) == TokenError::kNone);
  CHECK(again.user_data == secret.user_data);
}

TEST_CASE("netcode token: a private part that breaks a rule is refused although it opens") {
  SeededRandom random(10);
  const Key key = random_key(random);
  const auto nonce = random_array<kNonceSize>(random);
  PrivateToken token;
  REQUIRE(token.addresses.add(SocketAddress::ipv4({192, 0, 2, 1}, 1)));
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  REQUIRE(encode_private_token(plaintext, token) == TokenError::kNone);
  Buffer associated_data(kVersionInfo.begin(), kVersionInfo.end());
  associated_data.resize(associated_data.size() + 16);
  store_little_endian(&associated_data[13], std::uint64_t{7});
  store_little_endian(&associated_data[21], std::uint64_t{8});
  const auto with = [&](std::size_t offset, auto value) {
    auto changed = plaintext;
    store_little_endian(&changed[offset], value);
    SealedPrivateToken sealed{};
    seal(sealed, key, nonce, associated_data, changed);
    PrivateToken out;
    const TokenError error = open_private_token(sealed, key, 7, 8, nonce, out);
    CHECK(decode_private_token(changed, out) == error);
    return error;
  };
  for (const std::uint32_t timeout : {0U, 1U, 0x80000000U, 0xffffffffU})
    CHECK(with(8, timeout) == TokenError::kNone);
  for (const std::uint32_t count : {0U, 2U, 33U, 0x10001U, 0xffffffffU})
    CHECK(with(12, count) == TokenError::kAddresses);
  for (unsigned type = 0; type < 256; ++type) {
    const bool known = type == 1 || type == 2;
    CHECK(with(kPrivateAddressOffset, static_cast<std::uint8_t>(type)) ==
          (known ? TokenError::kNone : TokenError::kAddresses));
  }
}

TEST_CASE("netcode token: no other key opens it, nor any change to the private part or the bound fields") {
  SeededRandom random(11);
  Sample sample;
  mint_sample(random, sample, 3);
  PrivateToken out;
  REQUIRE(open_minted(sample, sample.bytes, out) == TokenError::kNone);
  for (std::size_t bit = 13 * 8; bit < kPublicTimeoutOffset * 8; ++bit) {
    // The create time is the client's affair.
    const bool bound = bit < 21 * 8 || bit >= 29 * 8;
    auto flipped = sample.bytes;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    REQUIRE(open_minted(sample, flipped, out) == (bound ? TokenError::kSealed : TokenError::kNone));
  }
  sample.private_key = random_key(random);
  CHECK(open_minted(sample, sample.bytes, out) == TokenError::kSealed);
}

TEST_CASE("netcode token: hostile bytes are refused or obey the rules") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    Sample sample;
    mint_sample(random, sample, 1 + random.below(kMaxTokenAddresses));
    PrivateToken secret;
    REQUIRE(open_minted(sample, sample.bytes, secret) == TokenError::kNone);
    std::array<std::byte, kPrivateTokenSize> plaintext{};
    REQUIRE(encode_private_token(plaintext, secret) == TokenError::kNone);
    for (int round = 0; round < 50; ++round) {
      auto changed = sample.bytes;
      auto changed_plaintext = plaintext;
      // Where the public and the private part say how they go on.
      for (std::uint32_t changes = 1 + random.below(4); changes-- > 0;) {
        const auto value = static_cast<std::byte>(random.u64());
        changed[kPublicTimeoutOffset + random.below(700)] = value;
        changed_plaintext[random.below(700)] = value;
      }
      const auto token = decode_public_token(changed);
      PrivateToken out;
      if (decode_private_token(changed_plaintext, out) == TokenError::kNone) check_rules(out.addresses);
      if (token) check_rules(token->addresses);
    }
  }
}

TEST_CASE("netcode challenge token: client id and user data, sealed without associated data") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const PacketKey key = PacketKey::of(random_key(random));
    const std::uint64_t sequence = seed == 1 ? 0 : seed == 2 ? UINT64_MAX : random.u64();
    const ChallengeToken token{random.u64(), random_array<kUserDataSize>(random)};
    SealedChallengeToken sealed{};
    sealed.fill(std::byte{0xee});
    seal_challenge_token(sealed, token, key, sequence);

    ChallengeToken opened;
    REQUIRE(open_challenge_token(sealed, key, sequence, opened));
    CHECK(opened.client_id == token.client_id);
    CHECK(opened.user_data == token.user_data);
    CHECK_FALSE(open_challenge_token(sealed, key, sequence + 1, opened));
    CHECK_FALSE(open_challenge_token(sealed, PacketKey::of(random_key(random)), sequence, opened));

    auto plaintext = sealed;
    REQUIRE(key.open_in_place(sequence, {}, plaintext));
    const Bytes bytes(plaintext);
    CHECK(load_little_endian<std::uint64_t>(plaintext.data()) == token.client_id);
    CHECK(to_hex(bytes.subspan(8, kUserDataSize)) == to_hex(token.user_data));
    CHECK(all_zero(bytes.subspan(264, 20)));
  }
}

TEST_CASE("netcode challenge token: no change to it opens") {
  SeededRandom random(12);
  const PacketKey key = PacketKey::of(random_key(random));
  SealedChallengeToken sealed{};
  seal_challenge_token(sealed, {}, key, 1);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    auto flipped = sealed;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    ChallengeToken out;
    REQUIRE_FALSE(open_challenge_token(flipped, key, 1, out));
  }
}

TEST_CASE("netcode token: what a gateway does with one allocates nothing") {
  SeededRandom random(13);
  Sample sample;
  mint_sample(random, sample, 32);
  const PacketKey challenge_key = PacketKey::of(random_key(random));
  PrivateToken out;
  ChallengeToken challenge;
  SealedChallengeToken sealed{};
  const AllocationCount allocations;
  const TokenError error = open_minted(sample, sample.bytes, out);
  seal_challenge_token(sealed, challenge, challenge_key, 1);
  const bool opened = open_challenge_token(sealed, challenge_key, 1, challenge);
  const std::uint64_t count = allocations.count();
  CHECK(error == TokenError::kNone);
  CHECK(opened);
  CHECK(count == 0);
}

}  // namespace
}  // namespace hawser::netcode
