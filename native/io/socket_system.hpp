// What differs between operating systems about UDP sockets: one contract, and a file for each of them
// (socket_system_linux.cpp, _bsd, _windows; socket_system_posix.cpp is what all but Windows share). Internal
// to io/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/result.hpp"
#include "io/socket_types.hpp"
#include "io/udp_socket.hpp"

namespace hawser::socket_support {

// Makes a non-blocking UDP socket that child processes do not get. AF_INET or AF_INET6.
Result<SocketDescriptor, SocketError> create_descriptor(int family);
void close_descriptor(SocketDescriptor descriptor);

// The meaning of error numbers; last_error() and the others of their kind are in socket_support.hpp.
SocketErrorCode error_code(int error);
inline SocketError socket_error(int error, const char* operation) {
  return {error_code(error), error, operation};
}
// The error of an address or an option that the system does not have.
extern const int kFamilyNotSupported;

// Lets several sockets bind one address, the kernel spreading flows over them. False, with the error in
// last_error(), where the system has only options that share the address and give everything to one of the
// sockets: that is not what the caller asked for.
bool share_port(SocketDescriptor descriptor);

// Each asks for something in one family and says whether there is such a thing.
bool enable_packet_info(SocketDescriptor descriptor, bool ipv6);
bool enable_ecn(SocketDescriptor descriptor, bool ipv6);
// Path MTU discovery is the protocol's (RFC 8899).
bool forbid_fragments(SocketDescriptor descriptor, bool ipv6);
bool enable_kernel_drop_counter(SocketDescriptor descriptor);
// Marks what the socket sends, as far as the system lets it: a mark is a wish, so that failing is no error.
void mark_traffic(const OpenSocket& state);

// Sizes a buffer beyond the system-wide limit; `option` is SO_RCVBUF or SO_SNDBUF. False where that is not
// allowed, or there is no such thing.
bool force_buffer(SocketDescriptor descriptor, int option, int bytes);
// How much of what getsockopt() reports of such a buffer is for datagrams.
std::size_t usable_buffer_bytes(int reported);

// Writes control messages, one behind the other.
class ControlWriter {
 public:
  explicit ControlWriter(ControlBuffer& buffer) : buffer_(buffer) {}

  template <class T>
  void put(int level, int type, const T& value) {
    static_assert(3 * control_space(sizeof(T)) <= sizeof(ControlBuffer),
                  "a message carries at most three of these");
    ControlHeader header{};
    header.cmsg_len = static_cast<decltype(header.cmsg_len)>(control_length(sizeof value));
    header.cmsg_level = level;
    header.cmsg_type = type;
    std::memcpy(buffer_.bytes + used_, &header, sizeof header);
    std::memcpy(buffer_.bytes + used_ + control_length(0), &value, sizeof value);
    used_ += control_space(sizeof value);
  }

  [[nodiscard]] std::size_t used() const { return used_; }

 private:
  ControlBuffer& buffer_;
  std::size_t used_ = 0;
};

// What a message is to be sent from.
void put_source(ControlWriter& writer, const SocketAddress& source);
// A control message replaces the whole byte, the socket's code point included.
void put_ecn(ControlWriter& writer, bool ipv4, int ecn, std::uint8_t traffic_class);
// The length at which the kernel cuts the message; only where there is segmentation offload.
void put_segment_bytes(ControlWriter& writer, std::uint16_t segment_bytes);

// Notes what one control message of a received datagram says, if it is one that is known.
void read_control(const ControlHeader& control, Arrival& arrival);

// What a receiving call says about the datagram, or why there is none.
struct ReceiveOutcome {
  bool received = false;  // a datagram was taken from the kernel's queue
  bool truncated = false;
  std::size_t length = 0;
  int error = 0;
};

Result<ReceiveFunction, SocketError> find_receive_function(SocketDescriptor descriptor);
ReceiveOutcome receive_one(SocketDescriptor descriptor, ReceiveFunction function, Message& message);
// Returns 0 or the error.
int send_one(SocketDescriptor descriptor, Message& message);

// For the files of the systems.
inline constexpr std::byte kEcnMask{0x03};

template <class T>
bool set_option(SocketDescriptor descriptor, int level, int name, const T& value) {
  return ::setsockopt(descriptor, level, name, reinterpret_cast<const char*>(&value), sizeof value) == 0;
}

inline bool enable(SocketDescriptor descriptor, int level, int name) {
  return set_option(descriptor, level, name, 1);
}

template <class T>
T control_value(const ControlHeader& control) {
  T value;
  std::memcpy(&value, control_payload(&control), sizeof value);
  return value;
}

// The port is left out.
SocketAddress decode_ipv4(const in_addr& ip);
// Normalised. Scope ids are kept for link-local addresses only.
SocketAddress decode_ipv6(const in6_addr& ip, std::uint32_t scope_id);

}  // namespace hawser::socket_support
