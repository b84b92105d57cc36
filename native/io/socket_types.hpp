// What a datagram is made of in the operating system's form. Internal to io/.
#pragma once

#ifdef _WIN32
#include "io/socket_types_windows.hpp"
#else
#include "io/socket_types_posix.hpp"
#endif

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.hpp"

namespace hawser::socket_support {

// Large enough for every address family that is used here; sockaddr_storage would be four times the cache
// lines.
union AddressBuffer {
  sockaddr any;
  sockaddr_in ipv4;
  sockaddr_in6 ipv6;
};

// Room for the control messages of one message in either direction. The most that arrives on Linux is
// IPV6_PKTINFO (40 bytes), IPV6_TCLASS or IP_TOS (24), SO_RXQ_OVFL (24) and UDP_GRO (24).
struct ControlBuffer {
  alignas(std::max_align_t) std::byte bytes[128];
};

// What the control messages of one received datagram say.
struct Arrival {
  SocketAddress local;  // family kNone when not said
  std::uint8_t ecn = 0;
  std::optional<std::uint32_t> drop_total;  // SO_RXQ_OVFL: drops since the socket was opened, modulo 2^32
  // UDP_GRO: the length of each coalesced datagram, of which the last may be shorter. 0: the message is one
  // datagram.
  std::size_t segment_bytes = 0;
};

}  // namespace hawser::socket_support
