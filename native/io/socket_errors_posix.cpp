// The meaning of errno.
#include <cerrno>

#include "io/socket_support.hpp"
#include "io/socket_system.hpp"

namespace hawser::socket_support {

const int kFamilyNotSupported = EAFNOSUPPORT;

int last_error() { return errno; }

bool interrupted(int error) { return error == EINTR; }

// Two names, which some systems have for two numbers.
bool would_block(int error) {
  if (error == EAGAIN) return true;
  return error == EWOULDBLOCK;
}

SocketErrorCode error_code(int error) {
  switch (error) {
    case EADDRINUSE:
      return SocketErrorCode::kAddressInUse;
    case EACCES:
    case EPERM:
      return SocketErrorCode::kPermissionDenied;
    case EADDRNOTAVAIL:
    case ENODEV:  // the scope id of a link-local address names no interface
      return SocketErrorCode::kAddressNotAvailable;
    case EMFILE:
    case ENFILE:
      return SocketErrorCode::kTooManyFiles;
    case EAFNOSUPPORT:
    case EPROTONOSUPPORT:
    case ENOPROTOOPT:
      return SocketErrorCode::kUnsupported;
    default:
      return SocketErrorCode::kOther;
  }
}

bool receive_may_go_on(int error) {
  switch (error) {
    case EINTR:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return true;
    default:
      return false;
  }
}

SendDropReason send_drop_reason(int error) {
  switch (error) {
    case ECONNREFUSED:
    case ECONNRESET:
      return SendDropReason::kRefused;
    case EHOSTUNREACH:
    case ENETUNREACH:
    case EHOSTDOWN:
    case ENETDOWN:
      return SendDropReason::kUnreachable;
    case EACCES:
    case EPERM:
      return SendDropReason::kForbidden;
    case EMSGSIZE:
      return SendDropReason::kTooLong;
    case ENOBUFS:
    case ENOMEM:
      return SendDropReason::kNoBuffers;
    case EINVAL:
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case ENODEV:
    case ENXIO:
      return SendDropReason::kInvalidAddress;
    default:
      return SendDropReason::kOther;
  }
}

}  // namespace hawser::socket_support
