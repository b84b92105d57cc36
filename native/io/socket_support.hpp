// What the socket implementations share: opening, addresses and control messages in the operating system's
// form, and the meaning of its error numbers. Internal to io/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/address.hpp"
#include "base/result.hpp"
#include "io/socket_types.hpp"
#include "io/udp_socket.hpp"

namespace hawser::socket_support {

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

// Linux only: probes segmentation and receive offload, leaves the latter on, notes both in `state.features`.
void enable_offload(OpenSocket& state);

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
