#include "wire_support.hpp"

#include <doctest/doctest.h>

#include <chrono>

namespace hawser::test {

std::string to_hex(Bytes bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::byte value : bytes) {
    text += kDigits[std::to_integer<unsigned>(value) >> 4U];
    text += kDigits[std::to_integer<unsigned>(value) & 15U];
  }
  return text;
}

Buffer from_hex(std::string_view text) {
  Buffer bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<std::byte>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
  }
  return bytes;
}

Buffer random_bytes(RandomSource& random, std::size_t size) {
  Buffer bytes(size);
  random.fill(bytes);
  return bytes;
}

Key random_key(RandomSource& random) {
  Key key;
  random.fill(key.mutable_bytes());
  return key;
}

ConnectionId random_connection_id(RandomSource& random) {
  const std::size_t length = ConnectionId::kMin + random.below(ConnectionId::kMax - ConnectionId::kMin + 1);
  return ConnectionId::from(random_bytes(random, length)).value();
}

SocketAddress random_ipv6_address(RandomSource& random) {
  SocketAddress address;
  address.family = SocketAddress::Family::kIpv6;
  random.fill(address.ip);
  address.ip[0] = std::byte{0x20};
  address.port = static_cast<std::uint16_t>(1 + random.below(65535));
  return address;
}

SocketAddress random_address(RandomSource& random) {
  if (random.below(2) == 0) return random_ipv6_address(random);
  SocketAddress address;
  address.family = SocketAddress::Family::kIpv4;
  random.fill(MutableBytes(address.ip).first(4));
  address.ip[0] = std::byte{10};
  address.port = static_cast<std::uint16_t>(1 + random.below(65535));
  return address;
}

void make_token_sample(RandomSource& random, TokenSample& out) {
  out.addresses.clear();
  const std::size_t count = 1 + random.below(kMaxTokenAddresses);
  std::size_t used = 0;
  for (std::size_t i = 0; i < count; ++i) {
    out.addresses.push_back(random_address(random));
    used += encoded_address_size(out.addresses.back());
  }
  const auto room = static_cast<std::uint32_t>(kPrivateVariableSize - used);
  out.user_data = random_bytes(random, random.below(4) == 0 ? room : random.below(room + 1));

  TokenParameters& parameters = out.parameters;
  parameters.protocol_id = random.u64();
  parameters.key_id = random.below(1U << 31U);
  parameters.single_use = random.below(2) == 0;
  parameters.create = WallTime(std::chrono::milliseconds(1'700'000'000'000 + random.below(1'000'000)));
  parameters.expire = parameters.create + std::chrono::milliseconds(random.below(86'400'000));
  parameters.client_id = random.u64();
  parameters.timeout = std::chrono::milliseconds(1000 + random.below(3'599'001));
  parameters.addresses = out.addresses;
  parameters.user_data = out.user_data;
}

void make_minted_token(RandomSource& random, MintedToken& out) {
  make_token_sample(random, out.sample);
  out.server_key = random_key(random);
  out.bytes.resize(kMaxTokenSize);
  const auto size = mint_token(out.bytes, out.sample.parameters, out.server_key, random);
  REQUIRE(size.has_value());
  out.bytes.resize(*size);
  auto token = decode_public_token(out.bytes);
  REQUIRE(token.has_value());
  out.token = std::move(*token);
}

}  // namespace hawser::test
