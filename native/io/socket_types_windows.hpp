// Winsock's own types for datagrams and their control messages. Included through socket_types.hpp.
#pragma once

#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <ws2tcpip.h>
// The order is Winsock's own: mswsock.h needs the types of the two above.
#include <mswsock.h>

#include <cstddef>

namespace hawser::socket_support {

using Message = WSAMSG;
using NameLength = INT;
using ControlHeader = WSACMSGHDR;

// WSARecvMsg is not exported by name, unlike WSASendMsg.
using ReceiveFunction = LPFN_WSARECVMSG;

constexpr std::size_t control_length(std::size_t payload) { return WSA_CMSG_LEN(payload); }
constexpr std::size_t control_space(std::size_t payload) { return WSA_CMSG_SPACE(payload); }
inline ControlHeader* first_control(Message& message) { return WSA_CMSG_FIRSTHDR(&message); }
inline ControlHeader* next_control(Message& message, ControlHeader* control) {
  return WSA_CMSG_NXTHDR(&message, control);
}
inline const unsigned char* control_payload(const ControlHeader* control) { return WSA_CMSG_DATA(control); }

// A message of one piece, with room for a name and for control messages.
struct Envelope {
  Message message{};
  WSABUF segment{};

  Envelope(void* name, NameLength name_bytes, std::byte* control, std::size_t control_bytes, std::byte* bytes,
           std::size_t size) {
    segment.buf = reinterpret_cast<char*>(bytes);
    segment.len = static_cast<ULONG>(size);
    message.name = static_cast<LPSOCKADDR>(name);
    message.namelen = name_bytes;
    message.lpBuffers = &segment;
    message.dwBufferCount = 1;
    message.Control.buf = control_bytes == 0 ? nullptr : reinterpret_cast<char*>(control);
    message.Control.len = static_cast<ULONG>(control_bytes);
  }
};

}  // namespace hawser::socket_support
