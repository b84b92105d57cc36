// What the socket implementations share: opening, addresses and control messages in the operating system's
// form, and the meaning of its error numbers. Internal to io/.
#pragma once

#ifdef _WIN32
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
// The order is Winsock's own: mswsock.h needs the types of the two above.
#include <mswsock.h>
#else
#ifdef __APPLE__
// Without it Apple's headers hide the IPv6 options of RFC 3542.
#define __APPLE_USE_RFC_3542 1
#endif
#include <netinet/in.h>
#include <sys/socket.h>
#endif

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/address.hpp"
#include "base/result.hpp"
#include "io/udp_socket.hpp"

namespace hawser::socket_support {

#ifdef _WIN32
using Message = WSAMSG;
using NameLength = INT;
#else
using Message = msghdr;
using NameLength = socklen_t;
#endif

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

// A datagram's addressing in the operating system's form.
struct Addressing {
  NameLength name_bytes = 0;
  std::size_t control_bytes = 0;  // 0: no control message is needed
};

// The 32-bit total of SO_RXQ_OVFL as a 64-bit one.
class KernelDropTotal {
 public:
  // Returns how many drops `total` adds to what was known. CPUs stamp datagrams concurrently, so that a total
  // may step back a little; such a one adds nothing.
  std::uint32_t advance(std::uint32_t total) {
    const std::uint32_t added = total - last_;
    if (added > 0x7fffffffU) return 0;
    last_ = total;
    return added;
  }

 private:
  std::uint32_t last_ = 0;
};

// Opens, configures and binds a non-blocking socket. Fails as UdpSocket::open_native() says.
Result<OpenSocket, SocketError> open_socket(const SocketOptions& options);

#ifdef __linux__
// Probes segmentation and receive offload, leaves the latter on, and notes both in `state.features`.
void enable_offload(OpenSocket& state);
#endif

// Closes the socket and marks it closed; does nothing when it already is.
void close_socket(OpenSocket& state);

// The last failed socket call's error number.
int last_error();
// Whether a signal ended the call before it did anything.
bool interrupted(int error);
// Whether `error` only says that the call would have to wait.
bool would_block(int error);
// Whether a receiving call that failed with `error` may be repeated at once: the kernel reports a pending
// network error once and forgets it.
bool receive_may_go_on(int error);
SendDropReason send_drop_reason(int error);

// Writes `address` in the form of an IPv4 socket or, mapped if need be (RFC 4291, 2.5.5.2), of an IPv6 one.
// `address` must fit: IPv6 never fits an IPv4 socket. Returns the length.
NameLength encode_address(const SocketAddress& address, bool ipv6_socket, AddressBuffer& out);

// The reverse, normalised. Scope ids are kept for link-local addresses, where they are part of the identity,
// and cleared elsewhere, where they would only make equal addresses compare unequal.
SocketAddress decode_address(const AddressBuffer& in);

// Writes the destination and those control messages that `datagram` needs from this socket. Returns nothing
// when the socket cannot express it: unsuitable or mixed families, no port. A `segment_bytes` other than 0
// tells the kernel to cut the message into datagrams of that length (Linux only).
std::optional<Addressing> encode_addressing(const OutgoingDatagram& datagram, const OpenSocket& state,
                                            AddressBuffer& name, ControlBuffer& control,
                                            std::uint16_t segment_bytes = 0);

// Reads the control messages of a received datagram.
Arrival decode_control(Message& message, const OpenSocket& state);

}  // namespace hawser::socket_support
