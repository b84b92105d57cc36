// macOS and the BSDs, whose options differ from each other by being there or not.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>

#include "io/socket_support.hpp"
#include "io/socket_system.hpp"

namespace hawser::socket_support {
namespace {

void read_ipv4_control(const ControlHeader& control, Arrival& arrival) {
  switch (control.cmsg_type) {
#if defined(IP_RECVPKTINFO)
    case IP_PKTINFO:
      // Not ipi_addr: for a broadcast that is the broadcast address, from which no answer can be sent.
      arrival.local = decode_ipv4(control_value<in_pktinfo>(control).ipi_spec_dst);
      break;
#elif defined(IP_RECVDSTADDR)
    case IP_RECVDSTADDR:
      arrival.local = decode_ipv4(control_value<in_addr>(control));
      break;
#endif
    case IP_RECVTOS:  // named after the option
    case IP_TOS:
      arrival.ecn = static_cast<std::uint8_t>(control_value<std::byte>(control) & kEcnMask);
      break;
    default:
      break;
  }
}

void read_ipv6_control(const ControlHeader& control, Arrival& arrival) {
  if (control.cmsg_type == IPV6_PKTINFO) {
    const auto info = control_value<in6_pktinfo>(control);
    arrival.local = decode_ipv6(info.ipi6_addr, static_cast<std::uint32_t>(info.ipi6_ifindex));
  } else if (control.cmsg_type == IPV6_TCLASS) {
    arrival.ecn = static_cast<std::uint8_t>(control_value<int>(control) & 0x03);
  }
}

}  // namespace

Result<SocketDescriptor, SocketError> create_descriptor(int family) {
  const int descriptor = ::socket(family, SOCK_DGRAM, IPPROTO_UDP);
  if (descriptor < 0) return Failure{socket_error(last_error(), "socket")};
  const int flags = ::fcntl(descriptor, F_GETFL);
  if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0 || flags < 0 ||
      ::fcntl(descriptor, F_SETFL, flags | O_NONBLOCK) != 0) {
    const int error = last_error();
    close_descriptor(descriptor);
    return Failure{socket_error(error, "fcntl")};
  }
  return SocketDescriptor{descriptor};
}

bool share_port([[maybe_unused]] SocketDescriptor descriptor) {
#ifdef SO_REUSEPORT_LB
  return enable(descriptor, SOL_SOCKET, SO_REUSEPORT_LB);
#else
  errno = ENOPROTOOPT;
  return false;
#endif
}

bool enable_packet_info(SocketDescriptor descriptor, bool ipv6) {
  if (ipv6) return enable(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO);
#if defined(IP_RECVPKTINFO)
  return enable(descriptor, IPPROTO_IP, IP_RECVPKTINFO);
#elif defined(IP_RECVDSTADDR)
  return enable(descriptor, IPPROTO_IP, IP_RECVDSTADDR);
#else
  return false;
#endif
}

bool enable_ecn(SocketDescriptor descriptor, bool ipv6) {
  return ipv6 ? enable(descriptor, IPPROTO_IPV6, IPV6_RECVTCLASS)
              : enable(descriptor, IPPROTO_IP, IP_RECVTOS);
}

bool forbid_fragments(SocketDescriptor descriptor, bool ipv6) {
  if (ipv6) return enable(descriptor, IPPROTO_IPV6, IPV6_DONTFRAG);
#ifdef IP_DONTFRAG
  return enable(descriptor, IPPROTO_IP, IP_DONTFRAG);
#else
  return false;
#endif
}

bool enable_kernel_drop_counter(SocketDescriptor /*descriptor*/) { return false; }

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
#if defined(IP_RECVPKTINFO)
  in_pktinfo info{};
  std::memcpy(&info.ipi_spec_dst, source.ip.data(), sizeof info.ipi_spec_dst);
  writer.put(IPPROTO_IP, IP_PKTINFO, info);
#elif defined(IP_SENDSRCADDR)
  in_addr ip{};
  std::memcpy(&ip, source.ip.data(), sizeof ip);
  writer.put(IPPROTO_IP, IP_SENDSRCADDR, ip);
#endif
}

void put_ecn(ControlWriter& writer, bool ipv4, int ecn, std::uint8_t traffic_class) {
  const int value = traffic_class | ecn;
  if (!ipv4) {
    writer.put(IPPROTO_IPV6, IPV6_TCLASS, value);
    return;
  }
#ifdef __FreeBSD__
  writer.put(IPPROTO_IP, IP_TOS, static_cast<unsigned char>(value));  // FreeBSD refuses any other width
#else
  writer.put(IPPROTO_IP, IP_TOS, value);
#endif
}

// There is no segmentation offload.
void put_segment_bytes(ControlWriter& /*writer*/, std::uint16_t /*segment_bytes*/) {}

void read_control(const ControlHeader& control, Arrival& arrival) {
  if (control.cmsg_level == IPPROTO_IP) {
    read_ipv4_control(control, arrival);
  } else if (control.cmsg_level == IPPROTO_IPV6) {
    read_ipv6_control(control, arrival);
  }
}

}  // namespace hawser::socket_support
