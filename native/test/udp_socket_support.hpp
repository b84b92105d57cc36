// Sockets on loopback, what passes between them, and errors that loopback never gives.
#pragma once

#include <doctest/doctest.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "io/udp_socket.hpp"

namespace hawser::test {

// The system calls named below, which take the place of the C library's in this program, fail with `error`
// when `after` more messages have passed, and as the kernel does it: a batch stops short of the failing
// message, and the error comes with the next call. Of several faults each waits until the one before has
// happened.
struct Fault {
  std::size_t after = 0;
  int error = 0;
};

// Constant when the program starts: sockets are opened while test cases are still being registered.
class Faults {
 public:
  constexpr Faults() = default;
  constexpr Faults(std::initializer_list<Fault> faults) : count_(faults.size()) {
    std::copy(faults.begin(), faults.end(), faults_.begin());
  }
  // Whether all of them have happened.
  [[nodiscard]] bool empty() const { return next_ == count_; }
  // Returns how many of `count` messages may pass; 0 means that the call fails now, with errno set.
  std::size_t pass(std::size_t count);

 private:
  std::array<Fault, 3> faults_{};
  std::size_t next_ = 0;
  std::size_t count_ = 0;
};

extern Faults send_faults;     // sendmmsg, sendmsg
extern Faults receive_faults;  // recvmmsg, recvmsg
extern Faults bind_faults;     // bind
extern Faults option_faults;   // setsockopt of UDP's own options

// The longest datagram that the interface of every socket takes; sendmmsg and sendmsg fail with EMSGSIZE for
// longer ones, cut from a message or not. 0, at first, for no limit of this kind.
extern std::atomic<std::size_t> interface_limit;

struct Native {
  static auto open(const SocketOptions& options) { return UdpSocket::open_native(options); }
  static constexpr std::size_t kDatagramsPerCall = kSocketBatch;
};

struct Portable {
  static auto open(const SocketOptions& options) { return UdpSocket::open_portable(options); }
  static constexpr std::size_t kDatagramsPerCall = 1;
};

inline constexpr std::array<std::uint8_t, 16> kIpv6Any{};
inline constexpr std::array<std::uint8_t, 16> kIpv6Loopback{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
// Of TEST-NET-2 (RFC 5737): an address of no host.
inline constexpr std::array<std::uint8_t, 4> kForeignIpv4{198, 51, 100, 77};

inline SocketAddress loopback(std::uint16_t port = 0) { return SocketAddress::ipv4({127, 0, 0, 1}, port); }
inline SocketAddress any_ipv4(std::uint16_t port = 0) { return SocketAddress::ipv4({0, 0, 0, 0}, port); }
inline SocketAddress any_ipv6(std::uint16_t port = 0) { return SocketAddress::ipv6(kIpv6Any, port); }

inline SocketAddress with_port(SocketAddress address, std::uint16_t port) {
  address.port = port;
  return address;
}

template <class Kind>
std::unique_ptr<UdpSocket> open(const SocketOptions& options) {
  auto opened = Kind::open(options);
  if (!opened) FAIL(opened.error().operation << ": errno " << opened.error().system_errno);
  return std::move(opened).value();
}

template <class Kind>
std::unique_ptr<UdpSocket> open(const SocketAddress& address) {
  SocketOptions options;
  options.bind_address = address;
  return open<Kind>(options);
}

template <class Kind>
SocketErrorCode open_error(const SocketOptions& options) {
  const auto opened = Kind::open(options);
  REQUIRE_FALSE(opened.has_value());
  return opened.error().code;
}

struct Arrived {
  std::vector<std::byte> bytes;
  SocketAddress remote;
  SocketAddress local;
  std::uint8_t ecn = 0;
};

inline bool wait_readable(const UdpSocket& socket) {
  pollfd waiting{socket.descriptor(), POLLIN, 0};
  constexpr int kGiveUpMs = 10'000;
  return ::poll(&waiting, 1, kGiveUpMs) == 1;
}

// Receives until `count` datagrams have come, or none for ten seconds.
inline std::vector<Arrived> receive_all(UdpSocket& socket, std::size_t count) {
  std::vector<Arrived> all;
  std::array<ReceivedDatagram, kSocketBatch> batch;
  while (all.size() < count && (socket.has_leftovers() || wait_readable(socket))) {
    const std::size_t got = socket.receive(batch);
    for (const ReceivedDatagram& datagram : std::span(batch).first(got)) {
      all.push_back(
          {{datagram.bytes.begin(), datagram.bytes.end()}, datagram.remote, datagram.local, datagram.ecn});
      // The slots are the receiver's to change: no other datagram may notice.
      std::fill(datagram.bytes.begin(), datagram.bytes.end(), std::byte{0xee});
    }
  }
  return all;
}

inline OutgoingDatagram outgoing(Bytes bytes, const SocketAddress& remote) {
  OutgoingDatagram datagram;
  datagram.bytes = bytes;
  datagram.remote = remote;
  return datagram;
}

inline UdpSocket::SendResult send_one(UdpSocket& socket, const OutgoingDatagram& datagram) {
  return socket.send(std::span(&datagram, 1));
}

// `count` distinguishable datagrams. Each is longer than the one before, so that no two make a run: each is a
// message of its own.
inline std::vector<std::vector<std::byte>> payloads(std::size_t count) {
  std::vector<std::vector<std::byte>> all(count);
  for (std::size_t i = 0; i < count; ++i) all[i].assign(1 + i * 6, static_cast<std::byte>(i));
  return all;
}

inline std::vector<OutgoingDatagram> addressed(const std::vector<std::vector<std::byte>>& bytes,
                                               const SocketAddress& remote) {
  std::vector<OutgoingDatagram> datagrams;
  datagrams.reserve(bytes.size());
  for (const auto& each : bytes) datagrams.push_back(outgoing(each, remote));
  return datagrams;
}

inline std::uint64_t drops(const SocketCounters& counters, SendDropReason reason) {
  return counters.send_drops[static_cast<std::size_t>(reason)];
}

template <class T>
T get_option(const UdpSocket& socket, int level, int name) {
  T value{};
  socklen_t length = sizeof value;
  REQUIRE(::getsockopt(socket.descriptor(), level, name, &value, &length) == 0);
  return value;
}

inline bool has_ipv6() {
  SocketOptions options;
  options.bind_address = SocketAddress::ipv6(kIpv6Loopback, 0);
  return UdpSocket::open_portable(options).has_value();
}

}  // namespace hawser::test
