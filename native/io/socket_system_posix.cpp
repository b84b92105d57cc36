// What all systems but Windows do in the same way.
#include <unistd.h>

#include "io/socket_support.hpp"
#include "io/socket_system.hpp"

namespace hawser::socket_support {

void close_descriptor(SocketDescriptor descriptor) {
  // Not repeated on EINTR: Linux has released the descriptor by then, and another thread may own its number
  // already.
  ::close(descriptor);
}

void mark_traffic(const OpenSocket& state) {
  if (state.traffic_class == 0) return;
  const int value = state.traffic_class;
  const bool ipv6 = state.local_address.family == SocketAddress::Family::kIpv6;
  if (ipv6) set_option(state.descriptor, IPPROTO_IPV6, IPV6_TCLASS, value);
  if (!ipv6 || state.dual_stack) set_option(state.descriptor, IPPROTO_IP, IP_TOS, value);
}

Result<ReceiveFunction, SocketError> find_receive_function(SocketDescriptor /*descriptor*/) {
  return ReceiveFunction{};
}

ReceiveOutcome receive_one(SocketDescriptor descriptor, ReceiveFunction /*function*/, Message& message) {
  ReceiveOutcome outcome;
  const ssize_t length = ::recvmsg(descriptor, &message, 0);
  if (length < 0) {
    outcome.error = last_error();
    return outcome;
  }
  outcome.received = true;
  outcome.truncated = (message.msg_flags & MSG_TRUNC) != 0;
  outcome.length = static_cast<std::size_t>(length);
  return outcome;
}

int send_one(SocketDescriptor descriptor, Message& message) {
  return ::sendmsg(descriptor, &message, 0) >= 0 ? 0 : last_error();
}

}  // namespace hawser::socket_support
