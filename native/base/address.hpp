#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/siphash.hpp"

namespace hawser {

// An IPv4 or IPv6 address with a UDP port. Two addresses that mean the same endpoint are equal after
// normalised().
struct SocketAddress {
  // The numbers are those of docs/protocol.md section 1.
  enum class Family : std::uint8_t { kNone = 0, kIpv4 = 1, kIpv6 = 2 };

  // Bytes of the canonical encoding and of the sharing prefix.
  static constexpr std::size_t kEncodedBytes = 23;
  static constexpr std::size_t kPrefixBytes = 8;

  // In this order there are 24 bytes of them.
  std::array<std::byte, 16> ip{};  // network order; IPv4 in the first 4 bytes, the rest zero
  std::uint32_t scope_id = 0;      // interface index of a link-local IPv6 address, otherwise 0
  std::uint16_t port = 0;          // host order
  Family family = Family::kNone;

  static constexpr SocketAddress ipv4(const std::array<std::uint8_t, 4>& octets, std::uint16_t port) {
    SocketAddress result;
    for (std::size_t i = 0; i < octets.size(); ++i) result.ip[i] = static_cast<std::byte>(octets[i]);
    result.port = port;
    result.family = Family::kIpv4;
    return result;
  }

  static constexpr SocketAddress ipv6(const std::array<std::uint8_t, 16>& octets, std::uint16_t port,
                                      std::uint32_t scope_id = 0) {
    SocketAddress result;
    for (std::size_t i = 0; i < octets.size(); ++i) result.ip[i] = static_cast<std::byte>(octets[i]);
    result.port = port;
    result.scope_id = scope_id;
    result.family = Family::kIpv6;
    return result;
  }

  friend bool operator==(const SocketAddress&, const SocketAddress&) = default;

  // The wildcard address (0.0.0.0 or ::), whatever the port; also true of an address without a family.
  [[nodiscard]] bool is_unspecified() const { return all_zero(ip); }

  // ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2) becomes a.b.c.d; anything else stays as it is. A dual-stack
  // socket reports IPv4 peers in the mapped form: normalise before an address reaches a cookie, a map or a
  // limit.
  [[nodiscard]] SocketAddress normalised() const {
    const Bytes start(ip);
    const bool mapped = all_zero(start.first(10)) && ip[10] == std::byte{0xff} && ip[11] == std::byte{0xff};
    if (family != Family::kIpv6 || !mapped) return *this;
    SocketAddress result;
    std::copy_n(ip.begin() + 12, 4, result.ip.begin());
    result.port = port;
    result.family = Family::kIpv4;
    return result;
  }

  // The network this address is taken to belong to when something is shared fairly between sources: family,
  // then the /24 of IPv4 or the /56 of IPv6 (what one subscriber is usually given). Port and scope do not
  // count.
  [[nodiscard]] std::array<std::byte, kPrefixBytes> prefix() const {
    std::array<std::byte, kPrefixBytes> result{};
    result[0] = static_cast<std::byte>(family);
    std::copy_n(ip.begin(), family == Family::kIpv4 ? 3 : 7, result.begin() + 1);
    return result;
  }

  // The encoding that cookies and other MACs cover: family u8, ip[16], port u16, scope u32, little-endian.
  [[nodiscard]] std::array<std::byte, kEncodedBytes> to_bytes() const {
    std::array<std::byte, kEncodedBytes> result{};
    result[0] = static_cast<std::byte>(family);
    std::copy(ip.begin(), ip.end(), result.begin() + 1);
    store_little_endian(result.data() + 17, port);
    store_little_endian(result.data() + 19, scope_id);
    return result;
  }
};

inline std::uint64_t hash_value(const SipKey& key, const SocketAddress& address) {
  return siphash13(key, address.to_bytes());
}

}  // namespace hawser
