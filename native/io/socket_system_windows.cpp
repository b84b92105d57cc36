// Windows: Winsock 2.
#include <algorithm>

#include "io/socket_support.hpp"
#include "io/socket_system.hpp"

#ifndef SIO_UDP_NETRESET
#define SIO_UDP_NETRESET _WSAIOW(IOC_VENDOR, 15)
#endif

namespace hawser::socket_support {
namespace {

// Winsock otherwise fails the next receive because some earlier peer's port was closed (ICMP port
// unreachable) or some earlier datagram's time to live ran out.
void ignore_icmp_errors(SocketDescriptor descriptor) {
  for (const DWORD control : {static_cast<DWORD>(SIO_UDP_CONNRESET), static_cast<DWORD>(SIO_UDP_NETRESET)}) {
    BOOL report = FALSE;
    DWORD returned = 0;
    // Best effort: a system that lacks one of them reports the errors, and receive() counts and skips those.
    WSAIoctl(descriptor, control, &report, sizeof report, nullptr, 0, &returned, nullptr, nullptr);
  }
}

// Neither blocks nor shares its address with sockets of others, who could take it over by SO_REUSEADDR.
bool configure(SocketDescriptor descriptor) {
  u_long on = 1;
  return ioctlsocket(descriptor, static_cast<long>(FIONBIO), &on) == 0 &&
         set_option(descriptor, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, 1);
}

}  // namespace

Result<SocketDescriptor, SocketError> create_descriptor(int family) {
  // Counted by Winsock: undone in close_descriptor().
  WSADATA data;
  if (const int error = WSAStartup(MAKEWORD(2, 2), &data); error != 0) {
    return Failure{socket_error(error, "WSAStartup")};
  }
  const SOCKET descriptor = WSASocketW(family, SOCK_DGRAM, IPPROTO_UDP, nullptr, 0,
                                       WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
  if (descriptor == INVALID_SOCKET) {
    const int error = last_error();
    WSACleanup();
    return Failure{socket_error(error, "socket")};
  }
  if (!configure(descriptor)) {
    const int error = last_error();
    close_descriptor(descriptor);
    return Failure{socket_error(error, "ioctlsocket")};
  }
  ignore_icmp_errors(descriptor);
  return SocketDescriptor{descriptor};
}

void close_descriptor(SocketDescriptor descriptor) {
  closesocket(descriptor);
  WSACleanup();
}

bool share_port(SocketDescriptor /*descriptor*/) {
  WSASetLastError(WSAENOPROTOOPT);
  return false;
}

bool enable_packet_info(SocketDescriptor descriptor, bool ipv6) {
  return ipv6 ? enable(descriptor, IPPROTO_IPV6, IPV6_PKTINFO) : enable(descriptor, IPPROTO_IP, IP_PKTINFO);
}

bool enable_ecn([[maybe_unused]] SocketDescriptor descriptor, [[maybe_unused]] bool ipv6) {
#if defined(IP_RECVECN) && defined(IPV6_RECVECN)
  return ipv6 ? enable(descriptor, IPPROTO_IPV6, IPV6_RECVECN) : enable(descriptor, IPPROTO_IP, IP_RECVECN);
#else
  return false;
#endif
}

bool forbid_fragments(SocketDescriptor descriptor, bool ipv6) {
  return ipv6 ? enable(descriptor, IPPROTO_IPV6, IPV6_DONTFRAG)
              : enable(descriptor, IPPROTO_IP, IP_DONTFRAGMENT);
}

bool enable_kernel_drop_counter(SocketDescriptor /*descriptor*/) { return false; }

// There is no such option: the system's own policies mark what programs send.
void mark_traffic(const OpenSocket& /*state*/) {}

bool force_buffer(SocketDescriptor /*descriptor*/, int /*option*/, int /*bytes*/) { return false; }

std::size_t usable_buffer_bytes(int reported) { return static_cast<std::size_t>(std::max(reported, 0)); }

void put_source(ControlWriter& writer, const SocketAddress& source) {
  if (source.family == SocketAddress::Family::kIpv6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, source.ip.data(), sizeof info.ipi6_addr);
    info.ipi6_ifindex = source.scope_id;
    writer.put(IPPROTO_IPV6, IPV6_PKTINFO, info);
    return;
  }
  in_pktinfo info{};
  std::memcpy(&info.ipi_addr, source.ip.data(), sizeof info.ipi_addr);
  writer.put(IPPROTO_IP, IP_PKTINFO, info);
}

void put_ecn([[maybe_unused]] ControlWriter& writer, [[maybe_unused]] bool ipv4, [[maybe_unused]] int ecn,
             std::uint8_t /*traffic_class*/) {
#if defined(IP_ECN) && defined(IPV6_ECN)
  writer.put(ipv4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6}, ipv4 ? IP_ECN : IPV6_ECN, ecn);
#endif
}

// There is no segmentation offload.
void put_segment_bytes(ControlWriter& /*writer*/, std::uint16_t /*segment_bytes*/) {}

void read_control(const ControlHeader& control, Arrival& arrival) {
  if (control.cmsg_level == IPPROTO_IP) {
    if (control.cmsg_type == IP_PKTINFO) {
      arrival.local = decode_ipv4(control_value<in_pktinfo>(control).ipi_addr);
    }
#ifdef IP_ECN
    if (control.cmsg_type == IP_ECN) {
      arrival.ecn = static_cast<std::uint8_t>(control_value<int>(control) & 0x03);
    }
#endif
  } else if (control.cmsg_level == IPPROTO_IPV6) {
    if (control.cmsg_type == IPV6_PKTINFO) {
      const auto info = control_value<in6_pktinfo>(control);
      arrival.local = decode_ipv6(info.ipi6_addr, static_cast<std::uint32_t>(info.ipi6_ifindex));
    }
#ifdef IPV6_ECN
    if (control.cmsg_type == IPV6_ECN) {
      arrival.ecn = static_cast<std::uint8_t>(control_value<int>(control) & 0x03);
    }
#endif
  }
}

Result<ReceiveFunction, SocketError> find_receive_function(SocketDescriptor descriptor) {
  GUID id = WSAID_WSARECVMSG;
  ReceiveFunction function = nullptr;
  DWORD returned = 0;
  if (WSAIoctl(descriptor, SIO_GET_EXTENSION_FUNCTION_POINTER, &id, sizeof id, &function, sizeof function,
               &returned, nullptr, nullptr) != 0) {
    return Failure{SocketError{SocketErrorCode::kUnsupported, last_error(), "WSAIoctl WSARecvMsg"}};
  }
  return function;
}

ReceiveOutcome receive_one(SocketDescriptor descriptor, ReceiveFunction function, Message& message) {
  ReceiveOutcome outcome;
  DWORD length = 0;
  if (function(descriptor, &message, &length, nullptr, nullptr) != 0) {
    outcome.error = last_error();
    // Winsock calls a datagram that did not fit an error, and takes it from the queue all the same.
    outcome.received = outcome.truncated = outcome.error == WSAEMSGSIZE;
    return outcome;
  }
  outcome.received = true;
  outcome.truncated = (message.dwFlags & MSG_TRUNC) != 0;
  outcome.length = length;
  return outcome;
}

int send_one(SocketDescriptor descriptor, Message& message) {
  DWORD length = 0;
  return WSASendMsg(descriptor, &message, 0, &length, nullptr, nullptr) == 0 ? 0 : last_error();
}

}  // namespace hawser::socket_support
