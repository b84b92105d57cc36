// The operating system's own types for datagrams and their control messages: POSIX. Through socket_types.hpp.
#pragma once

#ifdef __APPLE__
// Without it Apple's headers hide the IPv6 options of RFC 3542.
#define __APPLE_USE_RFC_3542 1
#endif
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstddef>

namespace hawser::socket_support {

using Message = msghdr;
using NameLength = socklen_t;
using ControlHeader = cmsghdr;

// Receiving needs nothing that must be looked up first.
struct ReceiveFunction {};

constexpr std::size_t control_length(std::size_t payload) { return CMSG_LEN(payload); }
constexpr std::size_t control_space(std::size_t payload) { return CMSG_SPACE(payload); }
inline ControlHeader* first_control(Message& message) { return CMSG_FIRSTHDR(&message); }
inline ControlHeader* next_control(Message& message, ControlHeader* control) {
  return CMSG_NXTHDR(&message, control);
}
inline const unsigned char* control_payload(const ControlHeader* control) { return CMSG_DATA(control); }

// A message of one piece, with room for a name and for control messages.
struct Envelope {
  Message message{};
  iovec segment{};

  Envelope(void* name, NameLength name_bytes, std::byte* control, std::size_t control_bytes, std::byte* bytes,
           std::size_t size) {
    segment = {bytes, size};
    message.msg_name = name;
    message.msg_namelen = name_bytes;
    message.msg_iov = &segment;
    message.msg_iovlen = 1;
    message.msg_control = control_bytes == 0 ? nullptr : control;
    message.msg_controllen = static_cast<decltype(message.msg_controllen)>(control_bytes);
  }
};

}  // namespace hawser::socket_support
