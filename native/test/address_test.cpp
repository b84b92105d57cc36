#include "base/address.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>

namespace hawser {
namespace {

constexpr std::array<std::uint8_t, 16> kDocumentation = {0x20, 0x01, 0x0d, 0xb8, 1, 2,  3,  4,
                                                         5,    6,    7,    8,    9, 10, 11, 12};

template <std::size_t N>
std::array<std::byte, N> to_array(const std::array<std::uint8_t, N>& values) {
  std::array<std::byte, N> result{};
  for (std::size_t i = 0; i < N; ++i) result[i] = static_cast<std::byte>(values[i]);
  return result;
}

TEST_CASE("address: equality looks at every part") {
  const auto address = SocketAddress::ipv6(kDocumentation, 4000, 3);
  CHECK(address == SocketAddress::ipv6(kDocumentation, 4000, 3));
  CHECK(address != SocketAddress::ipv6(kDocumentation, 4001, 3));
  CHECK(address != SocketAddress::ipv6(kDocumentation, 4000, 2));
  auto other = address;
  other.ip[15] = std::byte{0};
  CHECK(address != other);
  CHECK(SocketAddress::ipv4({0, 0, 0, 0}, 1) != SocketAddress::ipv6({}, 1));
}

TEST_CASE("address: the wildcard is unspecified, with any port") {
  CHECK(SocketAddress().is_unspecified());
  CHECK(SocketAddress::ipv4({0, 0, 0, 0}, 53).is_unspecified());
  CHECK(SocketAddress::ipv6({}, 53).is_unspecified());
  CHECK_FALSE(SocketAddress::ipv4({0, 0, 0, 1}, 0).is_unspecified());
}

TEST_CASE("address: only v4-mapped IPv6 becomes IPv4") {
  const std::array<std::uint8_t, 16> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7};
  const auto expected = SocketAddress::ipv4({192, 0, 2, 7}, 4000);
  CHECK(SocketAddress::ipv6(mapped, 4000).normalised() == expected);
  CHECK(SocketAddress::ipv6(mapped, 4000, 9).normalised() == expected);
  CHECK(expected.normalised() == expected);
  for (std::size_t i = 0; i < 12; ++i) {
    CAPTURE(i);
    auto other = mapped;
    other[i] ^= 1;
    const auto address = SocketAddress::ipv6(other, 4000, 9);
    CHECK(address.normalised() == address);
  }
  CHECK(SocketAddress().normalised() == SocketAddress());
}

TEST_CASE("address: the prefix is /24 of IPv4, /56 of IPv6, and never mixes families") {
  const auto v4 = SocketAddress::ipv4({10, 1, 2, 3}, 1);
  CHECK(v4.prefix() == SocketAddress::ipv4({10, 1, 2, 250}, 2).prefix());
  CHECK(v4.prefix() != SocketAddress::ipv4({10, 1, 3, 3}, 1).prefix());
  CHECK(v4.prefix() == to_array<8>({1, 10, 1, 2, 0, 0, 0, 0}));

  const auto v6 = SocketAddress::ipv6(kDocumentation, 1);
  CHECK(v6.prefix() == to_array<8>({2, 0x20, 0x01, 0x0d, 0xb8, 1, 2, 3}));
  auto same = kDocumentation;
  same[7] = 99;
  CHECK(v6.prefix() == SocketAddress::ipv6(same, 9, 2).prefix());
  auto different = kDocumentation;
  different[6] = 99;
  CHECK(v6.prefix() != SocketAddress::ipv6(different, 1).prefix());

  CHECK(SocketAddress::ipv4({0, 0, 0, 0}, 1).prefix() != SocketAddress::ipv6({}, 1).prefix());
}

TEST_CASE("address: canonical encoding") {
  CHECK(SocketAddress::ipv6(kDocumentation, 0x1234, 0x0a0b0c0d).to_bytes() ==
        to_array<23>({2, 0x20, 0x01, 0x0d, 0xb8, 1,    2,    3,    4,    5,    6,   7,
                      8, 9,    10,   11,   12,   0x34, 0x12, 0x0d, 0x0c, 0x0b, 0x0a}));
  CHECK(SocketAddress::ipv4({127, 0, 0, 1}, 80).to_bytes() ==
        to_array<23>({1, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 80, 0, 0, 0, 0, 0}));
}

TEST_CASE("address: equal addresses hash alike, different ones do not") {
  const SipKey key{3, 4};
  const auto address = SocketAddress::ipv4({127, 0, 0, 1}, 80);
  CHECK(hash_value(key, address) == hash_value(key, SocketAddress::ipv4({127, 0, 0, 1}, 80)));
  CHECK(hash_value(key, address) != hash_value(key, SocketAddress::ipv4({127, 0, 0, 1}, 81)));
  CHECK(hash_value(key, address) != hash_value(SipKey{4, 3}, address));
}

}  // namespace
}  // namespace hawser
