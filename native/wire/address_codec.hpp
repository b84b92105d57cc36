// Addresses as tokens and frames carry them (docs/protocol.md section 1).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/address.hpp"
#include "base/bytes.hpp"

namespace hawser {

inline constexpr std::size_t kMaxTokenAddresses = 32;
inline constexpr std::size_t kIpv4AddressSize = 7;
inline constexpr std::size_t kIpv6AddressSize = 19;

// 1 to 32 addresses once decoded; 0 only before.
struct AddressList {
  std::size_t count = 0;
  std::array<SocketAddress, kMaxTokenAddresses> addresses{};

  [[nodiscard]] std::span<const SocketAddress> view() const { return {addresses.data(), count}; }
  // False when the list is full.
  [[nodiscard]] bool add(const SocketAddress& address);

  friend bool operator==(const AddressList& a, const AddressList& b);
};

// Whether an address may stand on the wire: IPv4 or IPv6, a port other than 0, not unspecified, not
// IPv4-mapped.
[[nodiscard]] bool is_encodable(const SocketAddress& address);

// 7 or 19. For an encodable address.
[[nodiscard]] std::size_t encoded_address_size(const SocketAddress& address);

// The scope id of an IPv6 address is not written: it has a meaning on one machine only. For an encodable
// address.
void encode_address(ByteWriter& writer, const SocketAddress& address);

// Fails the reader and returns an empty address when the bytes are not a valid address.
[[nodiscard]] SocketAddress decode_address(ByteReader& reader);

}  // namespace hawser
