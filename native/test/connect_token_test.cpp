#include "wire/connect_token.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <vector>

#include "allocation_counter.hpp"
#include "wire_support.hpp"

namespace hawser {
namespace {

using std::chrono::milliseconds;
using test::Buffer;
using test::make_minted_token;
using test::MintedToken;
using test::random_bytes;
using test::random_ipv6_address;
using test::random_key;
using test::to_hex;
using test::TokenSample;

TokenError open_minted(const Buffer& bytes, const Key& server_key, PrivateToken& out) {
  const Bytes view(bytes);
  return open_private_token(view.subspan<kTokenClearSize, kSealedPrivateTokenSize>(), server_key,
                            view.first<kTokenAssociatedDataSize>(), view.subspan<40, kNonceSize>(), out);
}

// A well-formed private part to be spoilt: one address, three bytes of user data.
std::array<std::byte, kPrivateTokenSize> private_plaintext() {
  PrivateToken token;
  token.client_id = 42;
  token.timeout = std::chrono::seconds(15);
  REQUIRE(token.addresses.add(SocketAddress::ipv4({192, 0, 2, 1}, 40000)));
  REQUIRE(token.set_user_data(bytes_of("abc")));
  std::array<std::byte, kPrivateTokenSize> plaintext{};
  REQUIRE(encode_private_token(plaintext, token) == TokenError::kNone);
  return plaintext;
}

TokenError decoded(const std::array<std::byte, kPrivateTokenSize>& plaintext) {
  PrivateToken token;
  return decode_private_token(plaintext, token);
}

// A well-formed public token to be spoilt: one IPv4 address.
Buffer public_token() {
  SeededRandom random(1);
  const std::array addresses = {SocketAddress::ipv4({192, 0, 2, 1}, 40000)};
  TokenParameters parameters;
  parameters.create = WallTime(milliseconds(1'700'000'000'000));
  parameters.expire = parameters.create + std::chrono::hours(1);
  parameters.timeout = std::chrono::seconds(15);
  parameters.addresses = addresses;
  Buffer bytes(kMaxTokenSize);
  const auto size = mint_token(bytes, parameters, random_key(random), random);
  REQUIRE(size.has_value());
  bytes.resize(*size);
  return bytes;
}

TokenError public_error(const Buffer& bytes) {
  const auto token = decode_public_token(bytes);
  return token ? TokenError::kNone : token.error();
}

TEST_CASE("token: sizes and offsets are those of the page") {
  CHECK(kSealedPrivateTokenSize == 976);
  CHECK(kTokenPublicOffset == 1040);
  CHECK(kMinTokenSize == 1119);
  CHECK(kMaxTokenSize == 1720);
  CHECK(kPrivateVariableSize == 864);
  // 256 bytes of user data fit beside 32 IPv6 addresses.
  CHECK(kMaxTokenAddresses * kIpv6AddressSize + 256 == kPrivateVariableSize);
}

TEST_CASE("token: every field stands where the page puts it") {
  SeededRandom random(2);
  MintedToken minted;
  make_minted_token(random, minted);
  const TokenParameters& parameters = minted.sample.parameters;
  const Bytes bytes(minted.bytes);
  CHECK(to_hex(bytes.first(8)) == "4841575345522031");
  CHECK(load_little_endian<std::uint64_t>(&bytes[8]) == parameters.protocol_id);
  CHECK(load_little_endian<std::uint32_t>(&bytes[16]) == parameters.key_id);
  CHECK(load_little_endian<std::uint32_t>(&bytes[20]) == (parameters.single_use ? 1U : 0U));
  CHECK(load_little_endian<std::uint64_t>(&bytes[24]) ==
        static_cast<std::uint64_t>(parameters.create.time_since_epoch().count()));
  CHECK(load_little_endian<std::uint64_t>(&bytes[32]) ==
        static_cast<std::uint64_t>(parameters.expire.time_since_epoch().count()));
  CHECK(load_little_endian<std::uint32_t>(&bytes[1040]) ==
        std::chrono::duration_cast<milliseconds>(parameters.timeout).count());
  CHECK(load_little_endian<std::uint16_t>(&bytes[1044]) == parameters.addresses.size());
  CHECK(load_little_endian<std::uint16_t>(&bytes[1046]) == 0);

  std::array<std::byte, kPrivateTokenSize> plaintext{};
  REQUIRE(
      open(plaintext, minted.server_key, bytes.subspan<40, 24>(), bytes.first(40), bytes.subspan(64, 976)));
  CHECK(load_little_endian<std::uint64_t>(&plaintext[0]) == parameters.client_id);
  CHECK(to_hex(Bytes(plaintext).subspan(8, 6)) == to_hex(bytes.subspan(1040, 6)));
  CHECK(load_little_endian<std::uint16_t>(&plaintext[14]) == parameters.user_data.size());
  CHECK(to_hex(Bytes(plaintext).subspan(16, 64)) == to_hex(bytes.subspan(1048, 64)));
  CHECK(all_zero(Bytes(plaintext).subspan(80, 16)));
  const std::size_t addresses_size = bytes.size() - kTokenAddressesOffset;
  CHECK(to_hex(Bytes(plaintext).subspan(96, addresses_size)) == to_hex(bytes.subspan(1112)));
  CHECK(to_hex(Bytes(plaintext).subspan(96 + addresses_size, parameters.user_data.size())) ==
        to_hex(parameters.user_data));
}

TEST_CASE("token: what was minted is what the gateway opens and the client decodes") {
  SeededRandom random(3);
  for (int round = 0; round < 200; ++round) {
    MintedToken minted;
    make_minted_token(random, minted);
    const TokenParameters& parameters = minted.sample.parameters;

    CHECK(minted.token.clear.protocol_id == parameters.protocol_id);
    CHECK(minted.token.clear.single_use() == parameters.single_use);
    CHECK(minted.token.clear.create == parameters.create);
    CHECK(minted.token.clear.expire == parameters.expire);
    CHECK(std::ranges::equal(minted.token.addresses.view(), minted.sample.addresses));

    PrivateToken opened;
    REQUIRE(open_minted(minted.bytes, minted.server_key, opened) == TokenError::kNone);
    CHECK(opened.client_id == parameters.client_id);
    CHECK(opened.timeout == parameters.timeout);
    CHECK(opened.addresses == minted.token.addresses);
    CHECK(to_hex(opened.user_data()) == to_hex(minted.sample.user_data));
    CHECK(constant_time_equal(opened.client_to_server.bytes(), minted.token.client_to_server.bytes()));
    CHECK(constant_time_equal(opened.server_to_client.bytes(), minted.token.server_to_client.bytes()));

    Buffer again(kMaxTokenSize);
    const auto size = encode_public_token(again, minted.token);
    REQUIRE(size.has_value());
    again.resize(*size);
    CHECK(again == minted.bytes);
  }
}

TEST_CASE("token: the largest content fits, one byte more does not") {
  SeededRandom random(4);
  std::vector<SocketAddress> addresses;
  for (std::size_t i = 0; i < kMaxTokenAddresses; ++i) addresses.push_back(random_ipv6_address(random));
  const Buffer user_data = random_bytes(random, 257);
  TokenParameters parameters;
  parameters.timeout = kMinTokenTimeout;
  parameters.addresses = addresses;
  parameters.user_data = Bytes(user_data).first(256);
  const Key key = random_key(random);
  Buffer bytes(kMaxTokenSize);
  const auto size = mint_token(bytes, parameters, key, random);
  REQUIRE(size.has_value());
  CHECK(*size == 1720);
  PrivateToken opened;
  CHECK(open_minted(bytes, key, opened) == TokenError::kNone);
  CHECK(to_hex(opened.user_data()) == to_hex(parameters.user_data));

  parameters.user_data = user_data;
  CHECK(mint_token(bytes, parameters, key, random).error() == TokenError::kUserData);
  parameters.user_data = {};
  CHECK(mint_token(MutableBytes(bytes).first(1719), parameters, key, random).error() == TokenError::kLength);
  addresses.push_back(addresses[0]);
  parameters.addresses = addresses;
  CHECK(mint_token(bytes, parameters, key, random).error() == TokenError::kAddresses);
}

TEST_CASE("token: minting refuses what opening would") {
  SeededRandom random(5);
  TokenSample sample;
  test::make_token_sample(random, sample);
  const Key key = random_key(random);
  Buffer bytes(kMaxTokenSize);
  const auto error = [&](const TokenParameters& parameters) {
    const auto size = mint_token(bytes, parameters, key, random);
    return size ? TokenError::kNone : size.error();
  };
  CHECK(error(sample.parameters) == TokenError::kNone);
  auto parameters = sample.parameters;
  parameters.expire = parameters.create - milliseconds(1);
  CHECK(error(parameters) == TokenError::kTimes);
  parameters = sample.parameters;
  parameters.create = WallTime(milliseconds(-1));
  CHECK(error(parameters) == TokenError::kTimes);
  parameters = sample.parameters;
  parameters.expire = kMaxTokenTime + milliseconds(1);
  CHECK(error(parameters) == TokenError::kTimes);
  parameters = sample.parameters;
  parameters.timeout = milliseconds(999);
  CHECK(error(parameters) == TokenError::kTimeout);
  parameters.timeout = milliseconds(3'600'001);
  CHECK(error(parameters) == TokenError::kTimeout);
  parameters = sample.parameters;
  parameters.addresses = {};
  CHECK(error(parameters) == TokenError::kAddresses);
  for (const SocketAddress& bad :
       {SocketAddress{}, SocketAddress::ipv4({192, 0, 2, 1}, 0), SocketAddress::ipv4({0, 0, 0, 0}, 5),
        SocketAddress::ipv6({}, 5),
        SocketAddress::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1}, 5)}) {
    parameters.addresses = std::span(&bad, 1);
    CHECK(error(parameters) == TokenError::kAddresses);
  }
}

TEST_CASE("token: no other key opens it, nor any change to the private part or the bound fields") {
  SeededRandom random(6);
  MintedToken minted;
  make_minted_token(random, minted);
  PrivateToken out;
  CHECK(open_minted(minted.bytes, random_key(random), out) == TokenError::kSealed);
  for (std::size_t bit = 0; bit < kTokenPublicOffset * 8; ++bit) {
    Buffer flipped = minted.bytes;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK(open_minted(flipped, minted.server_key, out) == TokenError::kSealed);
  }
}

TEST_CASE("token: no truncation decodes, nor anything with a byte behind it") {
  const Buffer token = public_token();
  CHECK(public_error(token) == TokenError::kNone);
  for (std::size_t size = 0; size < token.size(); ++size) {
    Buffer shorter(token.begin(), token.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK(public_error(shorter) == TokenError::kLength);
  }
  Buffer longer = token;
  longer.push_back(std::byte{0});
  CHECK(public_error(longer) == TokenError::kLength);
  longer.resize(kMaxTokenSize + 1);
  CHECK(public_error(longer) == TokenError::kLength);
}

TEST_CASE("token: each rule of the public part") {
  const Buffer token = public_token();
  const auto with = [&token](std::size_t offset, auto value) {
    Buffer changed = token;
    store_little_endian(&changed[offset], value);
    return public_error(changed);
  };
  for (std::size_t i = 0; i < 8; ++i) CHECK(with(i, std::uint8_t{0}) == TokenError::kVersion);
  CHECK(with(20, std::uint32_t{1}) == TokenError::kNone);
  for (unsigned bit = 1; bit < 32; ++bit) CHECK(with(20, std::uint32_t{1} << bit) == TokenError::kFlags);
  CHECK(with(32, std::uint64_t{1'700'000'000'000}) == TokenError::kNone);
  CHECK(with(32, std::uint64_t{1'699'999'999'999}) == TokenError::kTimes);
  CHECK(with(32, (std::uint64_t{1} << 53) - 1) == TokenError::kNone);
  CHECK(with(32, std::uint64_t{1} << 53) == TokenError::kTimes);
  CHECK(with(32, std::uint64_t{1} << 63) == TokenError::kTimes);
  CHECK(with(24, std::numeric_limits<std::uint64_t>::max()) == TokenError::kTimes);
  CHECK(with(1040, std::uint32_t{1000}) == TokenError::kNone);
  CHECK(with(1040, std::uint32_t{999}) == TokenError::kTimeout);
  CHECK(with(1040, std::uint32_t{3'600'000}) == TokenError::kNone);
  CHECK(with(1040, std::uint32_t{3'600'001}) == TokenError::kTimeout);
  CHECK(with(1040, std::numeric_limits<std::uint32_t>::max()) == TokenError::kTimeout);
  for (const unsigned count : {0U, 2U, 32U, 33U, 65535U}) {
    CHECK(with(1044, static_cast<std::uint16_t>(count)) == TokenError::kAddresses);
  }
  CHECK(with(1046, std::uint16_t{1}) == TokenError::kReserved);
  CHECK(with(1112, std::uint8_t{0}) == TokenError::kAddresses);
  CHECK(with(1112, std::uint8_t{2}) == TokenError::kAddresses);
  CHECK(with(1112, std::uint8_t{3}) == TokenError::kAddresses);
  CHECK(with(1113, std::uint32_t{0}) == TokenError::kAddresses);
  CHECK(with(1117, std::uint16_t{0}) == TokenError::kAddresses);
}

TEST_CASE("token: each rule of the private part") {
  const auto good = private_plaintext();
  CHECK(decoded(good) == TokenError::kNone);
  const auto with = [&good](std::size_t offset, auto value) {
    auto changed = good;
    store_little_endian(&changed[offset], value);
    return decoded(changed);
  };
  CHECK(with(8, std::uint32_t{999}) == TokenError::kTimeout);
  CHECK(with(8, std::uint32_t{3'600'001}) == TokenError::kTimeout);
  for (const unsigned count : {0U, 2U, 32U, 33U, 65535U}) {
    CHECK(with(12, static_cast<std::uint16_t>(count)) == TokenError::kAddresses);
  }
  // 864 - 7 bytes of user data remain beside one IPv4 address; the rest of the area is zero, so any such
  // length is valid.
  CHECK(with(14, std::uint16_t{857}) == TokenError::kNone);
  CHECK(with(14, std::uint16_t{858}) == TokenError::kUserData);
  CHECK(with(14, std::uint16_t{65535}) == TokenError::kUserData);
  CHECK(with(14, std::uint16_t{2}) == TokenError::kReserved);
  for (std::size_t i = 80; i < 96; ++i) CHECK(with(i, std::uint8_t{1}) == TokenError::kReserved);
  CHECK(with(96, std::uint8_t{4}) == TokenError::kAddresses);
  for (std::size_t i = 106; i < kPrivateTokenSize; ++i)
    CHECK(with(i, std::uint8_t{1}) == TokenError::kReserved);
}

TEST_CASE("token: a sealed private part that breaks a rule is refused although it opens") {
  SeededRandom random(7);
  const Key key = random_key(random);
  const auto nonce = test::random_array<kNonceSize>(random);
  const auto associated_data = test::random_array<kTokenAssociatedDataSize>(random);
  auto plaintext = private_plaintext();
  plaintext[80] = std::byte{1};
  std::array<std::byte, kSealedPrivateTokenSize> sealed{};
  seal(sealed, key, nonce, associated_data, plaintext);
  PrivateToken out;
  CHECK(open_private_token(sealed, key, associated_data, nonce, out) == TokenError::kReserved);
}

TEST_CASE("token: opening one allocates nothing") {
  SeededRandom random(8);
  MintedToken minted;
  make_minted_token(random, minted);
  PrivateToken out;
  const AllocationCount allocations;
  const TokenError error = open_minted(minted.bytes, minted.server_key, out);
  const std::uint64_t count = allocations.count();
  CHECK(error == TokenError::kNone);
  CHECK(count == 0);
}

}  // namespace
}  // namespace hawser
