#include "io/socket_support.hpp"

#include <algorithm>
#include <climits>
#include <cstring>

#ifndef _WIN32
#include <arpa/inet.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#endif

namespace hawser::socket_support {
namespace {

using Family = SocketAddress::Family;

#ifdef _WIN32
// Winsock's numbers differ from the C library's constants of the same names.
namespace system_error {
constexpr int kAccess = WSAEACCES;
constexpr int kAddressInUse = WSAEADDRINUSE;
constexpr int kAddressNotAvailable = WSAEADDRNOTAVAIL;
constexpr int kFamilyNotSupported = WSAEAFNOSUPPORT;
constexpr int kConnectionRefused = WSAECONNREFUSED;
constexpr int kConnectionReset = WSAECONNRESET;
constexpr int kHostDown = WSAEHOSTDOWN;
constexpr int kHostUnreachable = WSAEHOSTUNREACH;
constexpr int kInterrupted = WSAEINTR;
constexpr int kInvalid = WSAEINVAL;
constexpr int kMessageTooLong = WSAEMSGSIZE;
constexpr int kNetworkDown = WSAENETDOWN;
constexpr int kNetworkUnreachable = WSAENETUNREACH;
constexpr int kNoBuffers = WSAENOBUFS;
constexpr int kNoOption = WSAENOPROTOOPT;
constexpr int kProtocolNotSupported = WSAEPROTONOSUPPORT;
constexpr int kTooManyFiles = WSAEMFILE;
constexpr int kWouldBlock = WSAEWOULDBLOCK;
}  // namespace system_error
#else
namespace system_error {
constexpr int kAccess = EACCES;
constexpr int kAddressInUse = EADDRINUSE;
constexpr int kAddressNotAvailable = EADDRNOTAVAIL;
constexpr int kFamilyNotSupported = EAFNOSUPPORT;
constexpr int kConnectionRefused = ECONNREFUSED;
constexpr int kConnectionReset = ECONNRESET;
constexpr int kHostDown = EHOSTDOWN;
constexpr int kHostUnreachable = EHOSTUNREACH;
constexpr int kInterrupted = EINTR;
constexpr int kInvalid = EINVAL;
constexpr int kMessageTooLong = EMSGSIZE;
constexpr int kNetworkDown = ENETDOWN;
constexpr int kNetworkUnreachable = ENETUNREACH;
constexpr int kNoBuffers = ENOBUFS;
constexpr int kNoOption = ENOPROTOOPT;
constexpr int kProtocolNotSupported = EPROTONOSUPPORT;
constexpr int kTooManyFiles = EMFILE;
constexpr int kWouldBlock = EWOULDBLOCK;
}  // namespace system_error
#endif

constexpr std::byte kEcnMask{0x03};

#ifdef __linux__
// UDP_SEGMENT and UDP_GRO of the kernel's linux/udp.h, which the headers of older C libraries lack.
constexpr int kUdpSegment = 103;
constexpr int kUdpGro = 104;
#endif

bool is_link_local(const SocketAddress& address) {
  return address.family == Family::kIpv6 && address.ip[0] == std::byte{0xfe} &&
         (address.ip[1] & std::byte{0xc0}) == std::byte{0x80};
}

// Most addresses on the hot path are IPv4 and need no look at their bytes.
SocketAddress normalised(const SocketAddress& address) {
  return address.family == Family::kIpv6 ? address.normalised() : address;
}

SocketErrorCode error_code(int error) {
  switch (error) {
    case system_error::kAddressInUse:
      return SocketErrorCode::kAddressInUse;
    case system_error::kAccess:
#ifndef _WIN32
    case EPERM:
#endif
      return SocketErrorCode::kPermissionDenied;
    case system_error::kAddressNotAvailable:
#ifndef _WIN32
    case ENODEV:  // the scope id of a link-local address names no interface
#endif
      return SocketErrorCode::kAddressNotAvailable;
    case system_error::kTooManyFiles:
#ifndef _WIN32
    case ENFILE:
#endif
      return SocketErrorCode::kTooManyFiles;
    case system_error::kFamilyNotSupported:
    case system_error::kProtocolNotSupported:
    case system_error::kNoOption:
      return SocketErrorCode::kUnsupported;
    default:
      return SocketErrorCode::kOther;
  }
}

SocketError socket_error(int error, const char* operation) { return {error_code(error), error, operation}; }

void close_descriptor(SocketDescriptor descriptor) {
#ifdef _WIN32
  closesocket(descriptor);
  WSACleanup();
#else
  // Not repeated on EINTR: Linux has released the descriptor by then, and another thread may own its number
  // already.
  ::close(descriptor);
#endif
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

template <class T>
bool set_option(SocketDescriptor descriptor, int level, int name, const T& value) {
  return ::setsockopt(descriptor, level, name, reinterpret_cast<const char*>(&value), sizeof value) == 0;
}

bool enable(SocketDescriptor descriptor, int level, int name) {
  return set_option(descriptor, level, name, 1);
}

Result<SocketDescriptor, SocketError> create_descriptor(int family) {
#ifdef _WIN32
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
  u_long on = 1;
  if (ioctlsocket(descriptor, static_cast<long>(FIONBIO), &on) != 0) {
    const int error = last_error();
    close_descriptor(descriptor);
    return Failure{socket_error(error, "ioctlsocket FIONBIO")};
  }
  return SocketDescriptor{descriptor};
#elif defined(SOCK_CLOEXEC) && defined(SOCK_NONBLOCK)
  const int descriptor = ::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_UDP);
  if (descriptor < 0) return Failure{socket_error(last_error(), "socket")};
  return SocketDescriptor{descriptor};
#else
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
#endif
}

// Lets several sockets bind one address, the kernel spreading flows over them. Windows and Apple only have
// options that share the address and give everything to one of the sockets, which is not what the caller
// asked for.
bool share_port([[maybe_unused]] SocketDescriptor descriptor) {
#if defined(SO_REUSEPORT_LB)
  return enable(descriptor, SOL_SOCKET, SO_REUSEPORT_LB);
#elif defined(__linux__)
  return enable(descriptor, SOL_SOCKET, SO_REUSEPORT);
#elif defined(_WIN32)
  WSASetLastError(WSAENOPROTOOPT);
  return false;
#else
  errno = ENOPROTOOPT;
  return false;
#endif
}

#ifdef _WIN32
// Winsock otherwise fails the next receive because some earlier peer's port was closed (ICMP port
// unreachable) or some earlier datagram's time to live ran out.
void ignore_icmp_errors(SocketDescriptor descriptor) {
#ifndef SIO_UDP_NETRESET
  constexpr DWORD SIO_UDP_NETRESET = _WSAIOW(IOC_VENDOR, 15);
#endif
  for (const DWORD control : {static_cast<DWORD>(SIO_UDP_CONNRESET), static_cast<DWORD>(SIO_UDP_NETRESET)}) {
    BOOL report = FALSE;
    DWORD returned = 0;
    // Best effort: a system that lacks one of them reports the errors, and receive() counts and skips those.
    WSAIoctl(descriptor, control, &report, sizeof report, nullptr, 0, &returned, nullptr, nullptr);
  }
}
#endif

bool enable_packet_info_ipv4(SocketDescriptor descriptor) {
#if defined(__linux__) || defined(_WIN32)
  return enable(descriptor, IPPROTO_IP, IP_PKTINFO);
#elif defined(IP_RECVPKTINFO)
  return enable(descriptor, IPPROTO_IP, IP_RECVPKTINFO);
#elif defined(IP_RECVDSTADDR)
  return enable(descriptor, IPPROTO_IP, IP_RECVDSTADDR);
#else
  return false;
#endif
}

bool enable_packet_info_ipv6(SocketDescriptor descriptor) {
#ifdef _WIN32
  return enable(descriptor, IPPROTO_IPV6, IPV6_PKTINFO);
#else
  return enable(descriptor, IPPROTO_IPV6, IPV6_RECVPKTINFO);
#endif
}

bool enable_ecn_ipv4([[maybe_unused]] SocketDescriptor descriptor) {
#if defined(_WIN32) && defined(IP_RECVECN)
  return enable(descriptor, IPPROTO_IP, IP_RECVECN);
#elif !defined(_WIN32) && defined(IP_RECVTOS)
  return enable(descriptor, IPPROTO_IP, IP_RECVTOS);
#else
  return false;
#endif
}

bool enable_ecn_ipv6([[maybe_unused]] SocketDescriptor descriptor) {
#if defined(_WIN32) && defined(IPV6_RECVECN)
  return enable(descriptor, IPPROTO_IPV6, IPV6_RECVECN);
#elif !defined(_WIN32) && defined(IPV6_RECVTCLASS)
  return enable(descriptor, IPPROTO_IPV6, IPV6_RECVTCLASS);
#else
  return false;
#endif
}

// Path MTU discovery is the protocol's (RFC 8899). On Linux PROBE, and not DO, because DO also believes the
// kernel's path MTU cache, which anyone who can forge an ICMP message can lower.
bool forbid_fragments_ipv4(SocketDescriptor descriptor) {
#if defined(IP_PMTUDISC_PROBE) && !defined(_WIN32)
  return set_option(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, int{IP_PMTUDISC_PROBE});
#elif defined(IP_DONTFRAGMENT)
  return enable(descriptor, IPPROTO_IP, IP_DONTFRAGMENT);
#elif defined(IP_DONTFRAG)
  return enable(descriptor, IPPROTO_IP, IP_DONTFRAG);
#else
  return false;
#endif
}

bool forbid_fragments_ipv6(SocketDescriptor descriptor) {
#if defined(IPV6_PMTUDISC_PROBE) && !defined(_WIN32)
  return set_option(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, int{IPV6_PMTUDISC_PROBE});
#elif defined(IPV6_DONTFRAG)
  return enable(descriptor, IPPROTO_IPV6, IPV6_DONTFRAG);
#else
  return false;
#endif
}

// Every feature is asked for in both families on a dual-stack socket: Linux obeys the IPv4 options for mapped
// addresses even on an IPv6 socket, except IP_PKTINFO, which IPV6_RECVPKTINFO covers there.
SocketFeatures enable_features(const OpenSocket& state) {
  const SocketDescriptor descriptor = state.descriptor;
  const bool ipv6 = state.local_address.family == Family::kIpv6;
  const bool ipv4 = !ipv6 || state.dual_stack;
  SocketFeatures features;
  // A socket bound to one address knows where everything arrived, without a control message per datagram.
  features.packet_info = !state.local_address.is_unspecified() ||
                         (ipv6 ? enable_packet_info_ipv6(descriptor) : enable_packet_info_ipv4(descriptor));
  const bool ecn_ipv6 = !ipv6 || enable_ecn_ipv6(descriptor);
  const bool ecn_ipv4 = !ipv4 || enable_ecn_ipv4(descriptor);
  features.ecn = ecn_ipv6 && ecn_ipv4;
  const bool whole_ipv6 = !ipv6 || forbid_fragments_ipv6(descriptor);
  const bool whole_ipv4 = !ipv4 || forbid_fragments_ipv4(descriptor);
  features.dont_fragment = whole_ipv6 && whole_ipv4;
#ifdef SO_RXQ_OVFL
  features.kernel_drop_counter = enable(descriptor, SOL_SOCKET, SO_RXQ_OVFL);
#endif
  return features;
}

// Marks what the socket sends, as far as the system lets it: a mark is a wish, so that failing is no error.
void mark_traffic([[maybe_unused]] const OpenSocket& state) {
#ifndef _WIN32
  if (state.traffic_class == 0) return;
  const int value = state.traffic_class;
  const bool ipv6 = state.local_address.family == Family::kIpv6;
  if (ipv6) set_option(state.descriptor, IPPROTO_IPV6, IPV6_TCLASS, value);
  if (!ipv6 || state.dual_stack) set_option(state.descriptor, IPPROTO_IP, IP_TOS, value);
#endif
}

std::size_t usable_buffer_bytes(SocketDescriptor descriptor, int option) {
  int value = 0;
  socklen_t length = sizeof value;
  if (::getsockopt(descriptor, SOL_SOCKET, option, reinterpret_cast<char*>(&value), &length) != 0) return 0;
  const auto bytes = static_cast<std::size_t>(std::max(value, 0));
#ifdef __linux__
  return bytes / 2;  // socket(7): the kernel doubles the request, to cover its own bookkeeping
#else
  return bytes;
#endif
}

// Returns what was granted. `force_option` ignores the system-wide limit and needs CAP_NET_ADMIN; 0 where
// there is none.
std::size_t size_buffer(SocketDescriptor descriptor, int option, int force_option, std::size_t wanted) {
  constexpr int kSmallestWorthAsking = 64 * 1024;
  if (wanted != 0) {
    int value = static_cast<int>(std::min<std::size_t>(wanted, INT_MAX / 2));
    const bool forced = force_option != 0 && set_option(descriptor, SOL_SOCKET, force_option, value);
    // Linux caps the request at its limit, the BSDs refuse it.
    while (!forced && !set_option(descriptor, SOL_SOCKET, option, value) && value > kSmallestWorthAsking)
      value /= 2;
  }
  return usable_buffer_bytes(descriptor, option);
}

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

#ifdef _WIN32
using ControlHeader = WSACMSGHDR;
constexpr std::size_t control_length(std::size_t payload) { return WSA_CMSG_LEN(payload); }
constexpr std::size_t control_space(std::size_t payload) { return WSA_CMSG_SPACE(payload); }
ControlHeader* first_control(Message& message) { return WSA_CMSG_FIRSTHDR(&message); }
ControlHeader* next_control(Message& message, ControlHeader* control) {
  return WSA_CMSG_NXTHDR(&message, control);
}
const unsigned char* control_payload(const ControlHeader* control) { return WSA_CMSG_DATA(control); }
#else
using ControlHeader = cmsghdr;
constexpr std::size_t control_length(std::size_t payload) { return CMSG_LEN(payload); }
constexpr std::size_t control_space(std::size_t payload) { return CMSG_SPACE(payload); }
ControlHeader* first_control(Message& message) { return CMSG_FIRSTHDR(&message); }
ControlHeader* next_control(Message& message, ControlHeader* control) {
  return CMSG_NXTHDR(&message, control);
}
const unsigned char* control_payload(const ControlHeader* control) { return CMSG_DATA(control); }
#endif

template <class T>
T control_value(const ControlHeader* control) {
  T value;
  std::memcpy(&value, control_payload(control), sizeof value);
  return value;
}

class ControlWriter {
 public:
  explicit ControlWriter(ControlBuffer& buffer) : buffer_(buffer) {}

  template <class T>
  void put(int level, int type, const T& value) {
    static_assert(3 * control_space(sizeof(T)) <= sizeof(ControlBuffer),
                  "a message carries at most three of these");
    ControlHeader header{};
    header.cmsg_len = static_cast<decltype(header.cmsg_len)>(control_length(sizeof value));
    header.cmsg_level = level;
    header.cmsg_type = type;
    std::memcpy(buffer_.bytes + used_, &header, sizeof header);
    std::memcpy(buffer_.bytes + used_ + control_length(0), &value, sizeof value);
    used_ += control_space(sizeof value);
  }

  std::size_t used() const { return used_; }

 private:
  ControlBuffer& buffer_;
  std::size_t used_ = 0;
};

void put_source(ControlWriter& writer, const SocketAddress& source) {
  if (source.family == Family::kIpv6) {
    in6_pktinfo info{};
    std::memcpy(&info.ipi6_addr, source.ip.data(), sizeof info.ipi6_addr);
    info.ipi6_ifindex = source.scope_id;
    writer.put(IPPROTO_IPV6, IPV6_PKTINFO, info);
    return;
  }
#if defined(__linux__) || defined(__APPLE__)
  in_pktinfo info{};
  std::memcpy(&info.ipi_spec_dst, source.ip.data(), sizeof info.ipi_spec_dst);
  writer.put(IPPROTO_IP, IP_PKTINFO, info);
#elif defined(_WIN32)
  in_pktinfo info{};
  std::memcpy(&info.ipi_addr, source.ip.data(), sizeof info.ipi_addr);
  writer.put(IPPROTO_IP, IP_PKTINFO, info);
#elif defined(IP_SENDSRCADDR)
  in_addr ip{};
  std::memcpy(&ip, source.ip.data(), sizeof ip);
  writer.put(IPPROTO_IP, IP_SENDSRCADDR, ip);
#endif
}

// A control message replaces the whole byte, the socket's code point included.
void put_ecn([[maybe_unused]] ControlWriter& writer, [[maybe_unused]] bool ipv4, [[maybe_unused]] int ecn,
             [[maybe_unused]] std::uint8_t traffic_class) {
#ifdef _WIN32
#if defined(IP_ECN) && defined(IPV6_ECN)
  writer.put(ipv4 ? int{IPPROTO_IP} : int{IPPROTO_IPV6}, ipv4 ? IP_ECN : IPV6_ECN, ecn);
#endif
#else
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
#endif
}

void read_ipv4_control(const ControlHeader* control, Arrival& arrival) {
  switch (control->cmsg_type) {
#if defined(__linux__) || defined(__APPLE__)
    case IP_PKTINFO:
      // Not ipi_addr: for a broadcast that is the broadcast address, from which no answer can be sent.
      arrival.local = decode_ipv4(control_value<in_pktinfo>(control).ipi_spec_dst);
      break;
#elif defined(_WIN32)
    case IP_PKTINFO:
      arrival.local = decode_ipv4(control_value<in_pktinfo>(control).ipi_addr);
      break;
#elif defined(IP_RECVDSTADDR)
    case IP_RECVDSTADDR:
      arrival.local = decode_ipv4(control_value<in_addr>(control));
      break;
#endif
#ifdef _WIN32
#ifdef IP_ECN
    case IP_ECN:
      arrival.ecn = static_cast<std::uint8_t>(control_value<int>(control) & 0x03);
      break;
#endif
#else
#ifndef __linux__
    case IP_RECVTOS:  // the BSDs and Apple name the message after the option
#endif
    case IP_TOS:
      arrival.ecn = static_cast<std::uint8_t>(control_value<std::byte>(control) & kEcnMask);
      break;
#endif
    default:
      break;
  }
}

void read_ipv6_control(const ControlHeader* control, Arrival& arrival) {
  switch (control->cmsg_type) {
    case IPV6_PKTINFO: {
      const auto info = control_value<in6_pktinfo>(control);
      arrival.local = decode_ipv6(info.ipi6_addr, static_cast<std::uint32_t>(info.ipi6_ifindex));
      break;
    }
#ifdef _WIN32
#ifdef IPV6_ECN
    case IPV6_ECN:
#endif
#else
    case IPV6_TCLASS:
#endif
      arrival.ecn = static_cast<std::uint8_t>(control_value<int>(control) & 0x03);
      break;
    default:
      break;
  }
}

}  // namespace

int last_error() {
#ifdef _WIN32
  return WSAGetLastError();
#else
  return errno;
#endif
}

bool interrupted(int error) { return error == system_error::kInterrupted; }

bool would_block(int error) {
#ifndef _WIN32
  if (error == EAGAIN) return true;
#endif
  return error == system_error::kWouldBlock;
}

bool receive_may_go_on(int error) {
  switch (error) {
    case system_error::kInterrupted:
    case system_error::kConnectionRefused:
    case system_error::kConnectionReset:
    case system_error::kHostUnreachable:
    case system_error::kNetworkUnreachable:
      return true;
    default:
      return false;
  }
}

SendDropReason send_drop_reason(int error) {
  switch (error) {
    case system_error::kConnectionRefused:
    case system_error::kConnectionReset:
      return SendDropReason::kRefused;
    case system_error::kHostUnreachable:
    case system_error::kNetworkUnreachable:
    case system_error::kHostDown:
    case system_error::kNetworkDown:
      return SendDropReason::kUnreachable;
    case system_error::kAccess:
#ifndef _WIN32
    case EPERM:
#endif
      return SendDropReason::kForbidden;
    case system_error::kMessageTooLong:
      return SendDropReason::kTooLong;
    case system_error::kNoBuffers:
#ifndef _WIN32
    case ENOMEM:
#endif
      return SendDropReason::kNoBuffers;
    case system_error::kInvalid:
    case system_error::kAddressNotAvailable:
    case system_error::kFamilyNotSupported:
#ifndef _WIN32
    case ENODEV:
    case ENXIO:
#endif
      return SendDropReason::kInvalidAddress;
    default:
      return SendDropReason::kOther;
  }
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
                                            [[maybe_unused]] std::uint16_t segment_bytes) {
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
#ifdef __linux__
  if (segment_bytes != 0) writer.put(IPPROTO_UDP, kUdpSegment, segment_bytes);
#endif
  addressing.control_bytes = writer.used();
  return addressing;
}

Arrival decode_control(Message& message, const OpenSocket& state) {
  Arrival arrival;
  for (ControlHeader* control = first_control(message); control != nullptr;
       control = next_control(message, control)) {
    if (control->cmsg_level == IPPROTO_IP) {
      read_ipv4_control(control, arrival);
    } else if (control->cmsg_level == IPPROTO_IPV6) {
      read_ipv6_control(control, arrival);
#ifdef SO_RXQ_OVFL
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_RXQ_OVFL) {
      arrival.drop_total = control_value<std::uint32_t>(control);
#endif
#ifdef __linux__
    } else if (control->cmsg_level == IPPROTO_UDP && control->cmsg_type == kUdpGro) {
      arrival.segment_bytes = static_cast<std::size_t>(std::max(control_value<int>(control), 0));
#endif
    }
  }
  if (arrival.local.family == Family::kNone && !state.local_address.is_unspecified())
    arrival.local = state.local_address;
  arrival.local.port = state.local_address.port;
  return arrival;
}

Result<OpenSocket, SocketError> open_socket(const SocketOptions& options) {
  const SocketAddress wanted = options.bind_address.normalised();
  if (wanted.family == Family::kNone)
    return Failure{socket_error(system_error::kFamilyNotSupported, "socket")};
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
#ifdef _WIN32
  ignore_icmp_errors(state.descriptor);
#endif

  // All before bind(): what arrives right after it is already stamped, and finds the whole receive buffer.
  state.local_address = wanted;
  state.features = enable_features(state);
  state.traffic_class = static_cast<std::uint8_t>(options.dscp << 2U);
  mark_traffic(state);
#ifdef SO_RCVBUFFORCE
  constexpr int kForceReceive = SO_RCVBUFFORCE;
  constexpr int kForceSend = SO_SNDBUFFORCE;
#else
  constexpr int kForceReceive = 0;
  constexpr int kForceSend = 0;
#endif
  state.granted_receive_buffer_bytes =
      size_buffer(state.descriptor, SO_RCVBUF, kForceReceive, options.receive_buffer_bytes);
  state.granted_send_buffer_bytes =
      size_buffer(state.descriptor, SO_SNDBUF, kForceSend, options.send_buffer_bytes);

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

#ifdef __linux__
void enable_offload(OpenSocket& state) {
  // 0 asks whether the kernel knows the option and leaves it off: which messages are cut is said in each.
  state.features.segmentation_offload = set_option(state.descriptor, IPPROTO_UDP, kUdpSegment, 0);
  state.features.receive_offload = enable(state.descriptor, IPPROTO_UDP, kUdpGro);
}
#endif

void close_socket(OpenSocket& state) {
  if (state.descriptor == kInvalidSocket) return;
  close_descriptor(state.descriptor);
  state.descriptor = kInvalidSocket;
}

}  // namespace hawser::socket_support
