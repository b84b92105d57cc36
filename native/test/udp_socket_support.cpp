#include "udp_socket_support.hpp"

#include <netinet/in.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace hawser::test {

constinit Faults send_faults;
constinit Faults receive_faults;
constinit Faults bind_faults;
constinit Faults option_faults;

std::size_t Faults::pass(std::size_t count) {
  if (empty()) return count;
  Fault& next = faults_[next_];
  if (next.after == 0) {
    errno = next.error;
    ++next_;
    return 0;
  }
  count = std::min(count, next.after);
  next.after -= count;
  return count;
}

}  // namespace hawser::test

using hawser::test::bind_faults;
using hawser::test::option_faults;
using hawser::test::receive_faults;
using hawser::test::send_faults;

extern "C" {

int sendmmsg(int descriptor, mmsghdr* messages, unsigned count, int flags) {
  const std::size_t passing = send_faults.pass(count);
  return passing == 0 ? -1 : static_cast<int>(::syscall(SYS_sendmmsg, descriptor, messages, passing, flags));
}

ssize_t sendmsg(int descriptor, const msghdr* message, int flags) {
  return send_faults.pass(1) == 0 ? -1 : ::syscall(SYS_sendmsg, descriptor, message, flags);
}

int recvmmsg(int descriptor, mmsghdr* messages, unsigned count, int flags, timespec* timeout) {
  const std::size_t passing = receive_faults.pass(count);
  return passing == 0
             ? -1
             : static_cast<int>(::syscall(SYS_recvmmsg, descriptor, messages, passing, flags, timeout));
}

ssize_t recvmsg(int descriptor, msghdr* message, int flags) {
  return receive_faults.pass(1) == 0 ? -1 : ::syscall(SYS_recvmsg, descriptor, message, flags);
}

int bind(int descriptor, const sockaddr* name, socklen_t length) {
  return bind_faults.pass(1) == 0 ? -1 : static_cast<int>(::syscall(SYS_bind, descriptor, name, length));
}

int setsockopt(int descriptor, int level, int name, const void* value, socklen_t length) noexcept {
  if (level == IPPROTO_UDP && option_faults.pass(1) == 0) return -1;
  return static_cast<int>(::syscall(SYS_setsockopt, descriptor, level, name, value, length));
}

}  // extern "C"
