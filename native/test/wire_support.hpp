// What the tests of crypto/ and wire/ share: hexadecimal text, recognisable bytes, random contents.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "wire/connect_token.hpp"
#include "wire/connection_id.hpp"

namespace hawser::test {

using Buffer = std::vector<std::byte>;

// Lower case.
[[nodiscard]] std::string to_hex(Bytes bytes);
[[nodiscard]] Buffer from_hex(std::string_view text);

// first, first + 1, ... modulo 256.
template <std::size_t N>
[[nodiscard]] std::array<std::byte, N> counting(unsigned first) {
  std::array<std::byte, N> result{};
  for (std::size_t i = 0; i < N; ++i) result[i] = static_cast<std::byte>(first + i);
  return result;
}

template <std::size_t N>
[[nodiscard]] std::array<std::byte, N> random_array(RandomSource& random) {
  std::array<std::byte, N> result{};
  random.fill(result);
  return result;
}

[[nodiscard]] Buffer random_bytes(RandomSource& random, std::size_t size);
[[nodiscard]] Key random_key(RandomSource& random);
// 4 to 16 bytes.
[[nodiscard]] ConnectionId random_connection_id(RandomSource& random);
// IPv4 or IPv6, encodable, without a scope id.
[[nodiscard]] SocketAddress random_address(RandomSource& random);
[[nodiscard]] SocketAddress random_ipv6_address(RandomSource& random);

// The parameters of a valid token and everything they point to.
struct TokenSample {
  std::vector<SocketAddress> addresses;
  Buffer user_data;
  TokenParameters parameters;
};

// 1 to 32 addresses and as much user data as fits, or less.
void make_token_sample(RandomSource& random, TokenSample& out);

// A minted token, with what was put into it.
struct MintedToken {
  TokenSample sample;
  Key server_key;
  Buffer bytes;
  PublicToken token;
};

void make_minted_token(RandomSource& random, MintedToken& out);

}  // namespace hawser::test
