#include "io/socket_support.hpp"

#include <algorithm>
#include <climits>
#include <cstring>

#include "io/socket_system.hpp"

namespace hawser::socket_support {
namespace {

using Family = SocketAddress::Family;

bool is_link_local(const SocketAddress& address) {
  return address.family == Family::kIpv6 && address.ip[0] == std::byte{0xfe} &&
         (address.ip[1] & std::byte{0xc0}) == std::byte{0x80};
}

// Most addresses on the hot path are IPv4 and need no look at their bytes.
SocketAddress normalised(const SocketAddress& address) {
  return address.family == Family::kIpv6 ? address.normalised() : address;
}

// Closes the descriptor on every early return of open_socket().
class DescriptorGuard {
 public:
  explicit DescriptorGuard(SocketDescriptor descriptor) : descriptor_(descriptor) {}
  ~DescriptorGuard() {
    if (descriptor_ != kInvalidSocket) close_descriptor(descriptor_);
  }
  DescriptorGuard(const DescriptorGuard&) = delete;
  DescriptorGuard& operator=(const DescriptorGuard&) = delete;
  void release() { descriptor_ = kInvalidSocket; }

 private:
  SocketDescriptor descriptor_;
};

// Every feature is asked for in both families on a dual-stack socket: Linux obeys the IPv4 options for mapped
// addresses even on an IPv6 socket, except IP_PKTINFO, which IPV6_RECVPKTINFO covers there.
SocketFeatures enable_features(const OpenSocket& state) {
  const SocketDescriptor descriptor = state.descriptor;
  const bool ipv6 = state.local_address.family == Family::kIpv6;
  const bool ipv4 = !ipv6 || state.dual_stack;
  SocketFeatures features;
  // A socket bound to one address knows where everything arrived, without a control message per datagram.
  features.packet_info = !state.local_address.is_unspecified() || enable_packet_info(descriptor, ipv6);
  const bool ecn_ipv6 = !ipv6 || enable_ecn(descriptor, true);
  const bool ecn_ipv4 = !ipv4 || enable_ecn(descriptor, false);
  features.ecn = ecn_ipv6 && ecn_ipv4;
  const bool whole_ipv6 = !ipv6 || forbid_fragments(descriptor, true);
  const bool whole_ipv4 = !ipv4 || forbid_fragments(descriptor, false);
  features.dont_fragment = whole_ipv6 && whole_ipv4;
  features.kernel_drop_counter = enable_kernel_drop_counter(descriptor);
  return features;
}

std::size_t granted_buffer_bytes(SocketDescriptor descriptor, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(descriptor, SOL_SOCKET, option, reinterpret_cast<char*>(&value), &length) != 0) return 0;
  return usable_buffer_bytes(value);
}

// Returns what was granted.
std::size_t size_buffer(SocketDescriptor descriptor, int option, std::size_t wanted) {
  constexpr int kSmallestWorthAsking = 64 * 1024;
  if (wanted != 0) {
    int value = static_cast<int>(std::min<std::size_t>(wanted, INT_MAX / 2));
    const bool forced = force_buffer(descriptor, option, value);
    // Linux caps the request at its limit, the BSDs refuse it.
    while (!forced && !set_option(descriptor, SOL_SOCKET, option, value) && value > kSmallestWorthAsking)
      value /= 2;
  }
  return granted_buffer_bytes(descriptor, option);
}

}  // namespace

SocketAddress decode_ipv4(const in_addr& ip) {
  SocketAddress address;
  address.family = Family::kIpv4;
  std::memcpy(address.ip.data(), &ip, sizeof ip);
  return address;
}

SocketAddress decode_ipv6(const in6_addr& ip, std::uint32_t scope_id) {
  SocketAddress address;
  address.family = Family::kIpv6;
  std::memcpy(address.ip.data(), &ip, sizeof ip);
  if (is_link_local(address)) address.scope_id = scope_id;
  return address.normalised();
}

NameLength encode_address(const SocketAddress& address, bool ipv6_socket, AddressBuffer& out) {
  if (!ipv6_socket) {
    out.ipv4 = {};
    out.ipv4.sin_family = AF_INET;
    out.ipv4.sin_port = htons(address.port);
    std::memcpy(&out.ipv4.sin_addr, address.ip.data(), sizeof out.ipv4.sin_addr);
    return sizeof out.ipv4;
  }
  out.ipv6 = {};
  out.ipv6.sin6_family = AF_INET6;
  out.ipv6.sin6_port = htons(address.port);
  auto* ip = reinterpret_cast<std::byte*>(&out.ipv6.sin6_addr);
  if (address.family == Family::kIpv4) {
    ip[10] = ip[11] = std::byte{0xff};
    std::memcpy(ip + 12, address.ip.data(), 4);
  } else {
    std::memcpy(ip, address.ip.data(), sizeof out.ipv6.sin6_addr);
    out.ipv6.sin6_scope_id = address.scope_id;
  }
  return sizeof out.ipv6;
}

SocketAddress decode_address(const AddressBuffer& in) {
  if (in.any.sa_family == AF_INET) {
    SocketAddress address = decode_ipv4(in.ipv4.sin_addr);
    address.port = ntohs(in.ipv4.sin_port);
    return address;
  }
  SocketAddress address = decode_ipv6(in.ipv6.sin6_addr, in.ipv6.sin6_scope_id);
  address.port = ntohs(in.ipv6.sin6_port);
  return address;
}

std::optional<Addressing> encode_addressing(const OutgoingDatagram& datagram, const OpenSocket& state,
                                            AddressBuffer& name, ControlBuffer& control,
                                            std::uint16_t segment_bytes) {
  const SocketAddress remote = normalised(datagram.remote);
  const bool ipv4 = remote.family == Family::kIpv4;
  const bool ipv6_socket = state.local_address.family == Family::kIpv6;
  if (remote.family == Family::kNone || remote.port == 0) return std::nullopt;
  if (ipv4 ? (ipv6_socket && !state.dual_stack) : !ipv6_socket) return std::nullopt;

  Addressing addressing;
  addressing.name_bytes = encode_address(remote, ipv6_socket, name);
  ControlWriter writer(control);
  if (datagram.local.family != Family::kNone) {
    const SocketAddress source = normalised(datagram.local);
    if (source.family != remote.family) return std::nullopt;
    if (source.ip != state.local_address.ip) put_source(writer, source);
  }
  if (const int ecn = datagram.ecn & 0x03; ecn != 0) put_ecn(writer, ipv4, ecn, state.traffic_class);
  if (segment_bytes != 0) put_segment_bytes(writer, segment_bytes);
  addressing.control_bytes = writer.used();
  return addressing;
}

Arrival decode_control(Message& message, const OpenSocket& state) {
  Arrival arrival;
  for (ControlHeader* control = first_control(message); control != nullptr;
       control = next_control(message, control)) {
    read_control(*control, arrival);
  }
  if (arrival.local.family == Family::kNone && !state.local_address.is_unspecified())
    arrival.local = state.local_address;
  arrival.local.port = state.local_address.port;
  return arrival;
}

Result<OpenSocket, SocketError> open_socket(const SocketOptions& options) {
  const SocketAddress wanted = options.bind_address.normalised();
  if (wanted.family == Family::kNone) return Failure{socket_error(kFamilyNotSupported, "socket")};
  const bool ipv6 = wanted.family == Family::kIpv6;

  auto created = create_descriptor(ipv6 ? AF_INET6 : AF_INET);
  if (!created) return Failure{created.error()};
  OpenSocket state;
  state.descriptor = *created;
  DescriptorGuard guard(state.descriptor);

  if (ipv6) {
    // Always said, because the default differs between systems and is an administrator's choice on Linux. A
    // socket bound to one IPv6 address never sees IPv4.
    const bool only = options.ipv6_only || !wanted.is_unspecified();
    if (!set_option(state.descriptor, IPPROTO_IPV6, IPV6_V6ONLY, int{only})) {
      return Failure{socket_error(last_error(), "setsockopt IPV6_V6ONLY")};
    }
    state.dual_stack = !only;
  }
  if (options.reuse_port && !share_port(state.descriptor)) {
    return Failure{socket_error(last_error(), "setsockopt SO_REUSEPORT")};
  }

  // All before bind(): what arrives right after it is already stamped, and finds the whole receive buffer.
  state.local_address = wanted;
  state.features = enable_features(state);
  state.traffic_class = static_cast<std::uint8_t>(options.dscp << 2U);
  mark_traffic(state);
  state.granted_receive_buffer_bytes = size_buffer(state.descriptor, SO_RCVBUF, options.receive_buffer_bytes);
  state.granted_send_buffer_bytes = size_buffer(state.descriptor, SO_SNDBUF, options.send_buffer_bytes);

  AddressBuffer name;
  if (::bind(state.descriptor, &name.any, encode_address(wanted, ipv6, name)) != 0) {
    return Failure{socket_error(last_error(), "bind")};
  }
  // Two sockets share an address when both had the option when the later one was bound.
  if (options.begins_group && !options.reuse_port && !share_port(state.descriptor)) {
    return Failure{socket_error(last_error(), "setsockopt SO_REUSEPORT")};
  }
  NameLength name_bytes = sizeof name;
  if (::getsockname(state.descriptor, &name.any, &name_bytes) != 0) {
    return Failure{socket_error(last_error(), "getsockname")};
  }
  state.local_address = decode_address(name);
  guard.release();
  return state;
}

void close_socket(OpenSocket& state) {
  if (state.descriptor == kInvalidSocket) return;
  close_descriptor(state.descriptor);
  state.descriptor = kInvalidSocket;
}

}  // namespace hawser::socket_support
