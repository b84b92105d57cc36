// Linux: ip(7), ipv6(7), udp(7) and socket(7).
#include <algorithm>

#include "io/socket_support.hpp"
#include "io/socket_system.hpp"

namespace hawser::socket_support {
namespace {

// UDP_SEGMENT and UDP_GRO of the kernel's linux/udp.h, which the headers of older C libraries lack.
constexpr int kUdpSegment = 103;
constexpr int kUdpGro = 104;

void read_ipv4_control(const ControlHeader& control, Arrival& arrival) {
  if (control.cmsg_type == IP_PKTINFO) {
    // Not ipi_addr: for a broadcast that is the broadcast address, from which no answer can be sent.
    arrival.local = decode_ipv4(control_value<in_pktinfo>(control).ipi_spec_dst);
  } else if (control.cmsg_type == IP_TOS) {
    arrival.ecn = static_cast<std::uint8_t>(control_value<std::byte>(control) & kEcnMask);
  }
}

void read_ipv6_control(const ControlHeader& control, Arrival& arrival) {
  if (control.cmsg_type == IPV6_PKTINFO) {
    const auto info = control_value<in6_pktinfo>(control);
    arrival.local = decode_ipv6(info.ipi6_addr, info.ipi6_ifindex);
  } else if (control.cmsg_type == IPV6_TCLASS) {
    arrival.ecn = static_cast<std::uint8_t>(control_value<int>(control) & 0x03);
  }
}

}  // namespace

Result<SocketDescriptor, SocketError> create_descriptor(int family) {
  const int descriptor = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
  if (descriptor < 0) return Failure{socket_error(last_error(), "socket")};
  return SocketDescriptor{descriptor};
}

bool share_port(SocketDescriptor descriptor) { return enable(descriptor, SOL_SOCKET, SO_REUSEPORT); }

bool enable_packet_info(SocketDescriptor descriptor, bool ipv6) {
  return ipv6 ? enable(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO)
              : enable(descriptor, IPPROTO_IP, IP_PKTINFO);
}

bool enable_ecn(SocketDescriptor descriptor, bool ipv6) {
  return ipv6 ? enable(descriptor, IPPROTO_IPV6, IPV6_RECVTCLASS)
              : enable(descriptor, IPPROTO_IP, IP_RECVTOS);
}

// PROBE, and not DO, because DO also believes the kernel's path MTU cache, which anyone who can forge an ICMP
// message can lower.
bool forbid_fragments(SocketDescriptor descriptor, bool ipv6) {
  return ipv6 ? set_option(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, int{IPV6_PMTUDISC_PROBE})
              : set_option(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, int{IP_PMTUDISC_PROBE});
}

bool enable_kernel_drop_counter(SocketDescriptor descriptor) {
  return enable(descriptor, SOL_SOCKET, SO_RXQ_OVFL);
}

// Needs CAP_NET_ADMIN.
bool force_buffer(SocketDescriptor descriptor, int option, int bytes) {
  return set_option(descriptor, SOL_SOCKET, option == SO_RCVBUF ? SO_RCVBUFFORCE : SO_SNDBUFFORCE, bytes);
}

std::size_t usable_buffer_bytes(int reported) {
  // socket(7): the kernel doubles the request, to cover its own bookkeeping.
  return static_cast<std::size_t>(std::max(reported, 0)) / 2;
}

void put_source(ControlWriter& writer, const SocketAddress& source) {
  if (source.family == SocketAddress::Family::kIpv6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, source.ip.data(), sizeof info.ipi6_addr);
    info.ipi6_ifindex = source.scope_id;
    writer.put(IPPROTO_IPV6, IPV6_PKTINFO, info);
    return;
  }
  in_pktinfo info{};
  std::memcpy(&info.ipi_spec_dst, source.ip.data(), sizeof info.ipi_spec_dst);
  writer.put(IPPROTO_IP, IP_PKTINFO, info);
}

void put_ecn(ControlWriter& writer, bool ipv4, int ecn, std::uint8_t traffic_class) {
  const int value = traffic_class | ecn;
  writer.put(ipv4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6}, ipv4 ? int{IP_TOS} : int{IPV6_TCLASS}, value);
}

void put_segment_bytes(ControlWriter& writer, std::uint16_t segment_bytes) {
  writer.put(IPPROTO_UDP, kUdpSegment, segment_bytes);
}

void read_control(const ControlHeader& control, Arrival& arrival) {
  switch (control.cmsg_level) {
    case IPPROTO_IP:
      read_ipv4_control(control, arrival);
      break;
    case IPPROTO_IPV6:
      read_ipv6_control(control, arrival);
      break;
    case SOL_SOCKET:
      if (control.cmsg_type == SO_RXQ_OVFL) arrival.drop_total = control_value<std::uint32_t>(control);
      break;
    case IPPROTO_UDP:
      if (control.cmsg_type == kUdpGro)
        arrival.segment_bytes = static_cast<std::size_t>(std::max(control_value<int>(control), 0));
      break;
    default:
      break;
  }
}

void enable_offload(OpenSocket& state) {
  // 0 asks whether the kernel knows the option and leaves it off: which messages are cut is said in each.
  state.features.segmentation_offload = set_option(state.descriptor, IPPROTO_UDP, kUdpSegment, 0);
  state.features.receive_offload = enable(state.descriptor, IPPROTO_UDP, kUdpGro);
}

}  // namespace hawser::socket_support
