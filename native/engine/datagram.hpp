#pragma once

#include <cstdint>

#include "base/address.hpp"
#include "base/bytes.hpp"

namespace hawser {

// The ECN codepoints that matter (RFC 3168 section 5).
inline constexpr std::uint8_t kEcnEct1 = 1;
inline constexpr std::uint8_t kEcnEct0 = 2;
inline constexpr std::uint8_t kEcnCe = 3;

// A datagram as a driver hands it to the endpoint. The bytes are mutable: packets are opened in place.
struct ReceivedDatagram {
  MutableBytes bytes;
  SocketAddress remote;
  // The address it arrived at; family kNone where the driver cannot tell.
  SocketAddress local;
  // The two ECN bits of the IP header (RFC 3168).
  std::uint8_t ecn = 0;
  // Another shard received it and handed it over, as Endpoint::receive asked: it goes no further.
  bool handed_over = false;
};

inline constexpr std::uint32_t kNoProbe = UINT32_MAX;

// A datagram that the endpoint wants sent. The bytes belong to the endpoint until `Endpoint::output_sent`.
struct OutgoingDatagram {
  Bytes bytes;
  SocketAddress remote;
  // The source address to send from; family kNone leaves the choice to the operating system.
  SocketAddress local;
  std::uint8_t ecn = 0;
  // Slot of the peer whose path MTU this datagram probes; kNoProbe for all others.
  std::uint32_t probing_slot = kNoProbe;
};

}  // namespace hawser
