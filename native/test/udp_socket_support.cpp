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
constinit std::atomic<std::size_t> interface_limit;

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
using hawser::test::interface_limit;
using hawser::test::option_faults;
using hawser::test::receive_faults;
using hawser::test::send_faults;

namespace {

// The segments of a message are as long as the first one at most: each is a datagram.
bool is_too_long(const msghdr& message) {
  const std::size_t limit = interface_limit;
  return limit != 0 && message.msg_iovlen > 0 && message.msg_iov[0].iov_len > limit;
}

}  // namespace

extern "C" {

int sendmmsg(int descriptor, mmsghdr* messages, unsigned count, int flags) {
  const auto* const refused =
      std::find_if(messages, messages + count, [](const mmsghdr& each) { return is_too_long(each.msg_hdr); });
  if (refused == messages && count > 0) {
    errno = EMSGSIZE;
    return -1;
  }
  const std::size_t passing = send_faults.pass(static_cast<std::size_t>(refused - messages));
  return passing == 0 ? -1 : static_cast<int>(::syscall(SYS_sendmmsg, descriptor, messages, passing, flags));
}

ssize_t sendmsg(int descriptor, const msghdr* message, int flags) {
  if (is_too_long(*message)) {
    errno = EMSGSIZE;
    return -1;
  }
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
