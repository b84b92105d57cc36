// The meaning of Winsock's error numbers, which differ from the C library's constants of the same names.
#include "io/socket_support.hpp"
#include "io/socket_system.hpp"

namespace hawser::socket_support {

const int kFamilyNotSupported = WSAEAFNOSUPPORT;

int last_error() { return WSAGetLastError(); }

bool interrupted(int error) { return error == WSAEINTR; }

bool would_block(int error) { return error == WSAEWOULDBLOCK; }

SocketErrorCode error_code(int error) {
  switch (error) {
    case WSAEADDRINUSE:
      return SocketErrorCode::kAddressInUse;
    case WSAEACCES:
      return SocketErrorCode::kPermissionDenied;
    case WSAEADDRNOTAVAIL:
      return SocketErrorCode::kAddressNotAvailable;
    case WSAEMFILE:
      return SocketErrorCode::kTooManyFiles;
    case WSAEAFNOSUPPORT:
    case WSAEPROTONOSUPPORT:
    case WSAENOPROTOOPT:
      return SocketErrorCode::kUnsupported;
    default:
      return SocketErrorCode::kOther;
  }
}

bool receive_may_go_on(int error) {
  switch (error) {
    case WSAEINTR:
    case WSAECONNREFUSED:
    case WSAECONNRESET:
    case WSAENETRESET:
    case WSAEHOSTUNREACH:
    case WSAENETUNREACH:
      return true;
    default:
      return false;
  }
}

SendDropReason send_drop_reason(int error) {
  switch (error) {
    case WSAECONNREFUSED:
    case WSAECONNRESET:
      return SendDropReason::kRefused;
    case WSAEHOSTUNREACH:
    case WSAENETUNREACH:
    case WSAEHOSTDOWN:
    case WSAENETDOWN:
      return SendDropReason::kUnreachable;
    case WSAEACCES:
      return SendDropReason::kForbidden;
    case WSAEMSGSIZE:
      return SendDropReason::kTooLong;
    case WSAENOBUFS:
      return SendDropReason::kNoBuffers;
    case WSAEINVAL:
    case WSAEADDRNOTAVAIL:
    case WSAEAFNOSUPPORT:
      return SendDropReason::kInvalidAddress;
    default:
      return SendDropReason::kOther;
  }
}

}  // namespace hawser::socket_support
