// The contract between the drivers and the operating system's UDP: batches in, batches out, never blocking.
//
// A datagram is always seen with both of its addresses. The address that it arrived at matters because a
// socket bound to a wildcard otherwise answers from whatever address the routing table prefers, and the peer
// drops that answer.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/function_ref.hpp"
#include "base/result.hpp"
#include "engine/datagram.hpp"
#include "io/socket_memory.hpp"

namespace hawser {

#ifdef _WIN32
using SocketDescriptor = std::uintptr_t;
#else
using SocketDescriptor = int;
#endif

inline constexpr SocketDescriptor kInvalidSocket = static_cast<SocketDescriptor>(-1);

// Datagrams handed to the kernel, or taken from it, in one call. Beyond 64 the gain per datagram is lost in
// the noise while the latency of the first one in the batch still grows.
inline constexpr std::size_t kSocketBatch = 64;

// The longest datagram that is received: more than any that fits a jumbo frame.
inline constexpr std::size_t kReceiveSlotBytes = 9216;

inline constexpr std::size_t kDefaultSocketBufferBytes = std::size_t{4} * 1024 * 1024;

struct SocketOptions {
  SocketAddress bind_address;  // port 0 lets the kernel choose one; see UdpSocket::local_address()
  bool ipv6_only = false;      // for `::`: whether IPv4 is refused; false is dual stack
  std::size_t receive_buffer_bytes = kDefaultSocketBufferBytes;  // wanted; 0 keeps the system's default
  std::size_t send_buffer_bytes = kDefaultSocketBufferBytes;     // likewise
  // Several sockets on one address, the kernel spreading the flows over them. Linux and FreeBSD only.
  bool reuse_port = false;
  // The first of several sockets of one owner: fails where the address is in use, by sockets with reuse_port
  // too; afterwards those with reuse_port may join it. Without effect beside reuse_port.
  bool begins_group = false;
  // The differentiated services code point (RFC 2474) of what is sent, 0 to 63. Windows has no such option.
  std::uint8_t dscp = 0;
  // Whether runs of datagrams to one peer may cross the kernel as one message, in both directions. It never
  // changes what is sent or received, only what that costs. Linux only; see SocketFeatures.
  bool offload = true;
  // Memory that sockets of one thread share; nullptr for a socket that has its own.
  std::shared_ptr<SocketMemoryPool> memory;
};

enum class SocketErrorCode : std::uint8_t {
  kAddressInUse,
  kPermissionDenied,
  kAddressNotAvailable,
  kTooManyFiles,
  kUnsupported,
  kOther,
};

struct SocketError {
  SocketErrorCode code = SocketErrorCode::kOther;
  int system_errno = 0;        // errno, or WSAGetLastError() on Windows
  const char* operation = "";  // the failing call, a literal
};

// Why a datagram was given up by send(). Each is one cell of SocketCounters::send_drops.
enum class SendDropReason : std::uint8_t {
  kRefused,         // an earlier datagram was answered by ICMP port unreachable
  kUnreachable,     // no route to the host or network from that source, or the interface is down
  kForbidden,       // a firewall rule, or a broadcast address
  kTooLong,         // beyond the interface's MTU (fragmentation is off) or UDP's own limit
  kNoBuffers,       // the kernel or the interface's queue is out of memory
  kInvalidAddress,  // unsuitable family, no port, or a source address that is not this host's
  kClosed,          // the socket was closed
  kOther,
};
inline constexpr std::size_t kSendDropReasonCount = 8;

// Totals since open. Bytes are UDP payload. Every cell is a u64 so that the whole may be viewed as an array
// of them.
struct SocketCounters {
  std::uint64_t datagrams_in = 0;
  std::uint64_t bytes_in = 0;
  std::uint64_t datagrams_out = 0;
  std::uint64_t bytes_out = 0;
  std::uint64_t receive_calls = 0;      // system calls
  std::uint64_t send_calls = 0;         // system calls
  std::uint64_t receive_coalesced = 0;  // datagrams that arrived several to a message
  std::uint64_t send_segmented = 0;     // datagrams that left several to a message
  std::uint64_t send_blocked = 0;       // times that the send buffer was full
  std::uint64_t receive_truncated = 0;  // longer than kReceiveSlotBytes and therefore dropped
  std::uint64_t receive_errors = 0;     // system calls that failed, "nothing there" apart
  // Receive buffer overflows. The kernel tells them with the next datagram that it accepts, and counts
  // coalesced datagrams that it drops together as one.
  std::uint64_t kernel_receive_drops = 0;
  std::array<std::uint64_t, kSendDropReasonCount> send_drops{};  // by SendDropReason
};

// The totals of two sockets, one after the other.
[[nodiscard]] inline SocketCounters operator+(const SocketCounters& a, const SocketCounters& b) {
  using Cells = std::array<std::uint64_t, sizeof(SocketCounters) / sizeof(std::uint64_t)>;
  Cells sum = std::bit_cast<Cells>(a);
  const Cells more = std::bit_cast<Cells>(b);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += more[i];
  return std::bit_cast<SocketCounters>(sum);
}

// What this system gave the socket beyond plain UDP. A missing one degrades service and never prevents it.
struct SocketFeatures {
  bool packet_info = false;          // `local` of received datagrams is exact
  bool ecn = false;                  // `ecn` of received datagrams is real
  bool dont_fragment = false;        // neither this host nor a router fragments: needed by RFC 8899
  bool kernel_drop_counter = false;  // `kernel_receive_drops` is counted
  // The kernel cuts a message into datagrams of one size (UDP_SEGMENT, Linux 4.18). Becomes false for good
  // when a path turns out to be without it.
  bool segmentation_offload = false;
  // The kernel joins datagrams of one size and flow into a message (UDP_GRO, Linux 5.0).
  bool receive_offload = false;
};

// What opening a socket yields, the same for every implementation.
struct OpenSocket {
  SocketDescriptor descriptor = kInvalidSocket;
  SocketAddress local_address;
  bool dual_stack = false;  // an IPv6 socket that carries IPv4 as well
  std::size_t granted_receive_buffer_bytes = 0;
  std::size_t granted_send_buffer_bytes = 0;
  // What every datagram is marked with beside its ECN bits: the code point in the upper six bits.
  std::uint8_t traffic_class = 0;
  SocketFeatures features;
};

// One bound, unconnected, non-blocking UDP socket. Not thread-safe: one thread uses it at a time.
class UdpSocket {
 public:
  struct SendResult {
    std::size_t sent = 0;     // given to the kernel
    std::size_t dropped = 0;  // given up, counted by reason
    // The send buffer is full: the datagrams from index sent + dropped on remain the caller's.
    bool blocked = false;
  };

  static constexpr auto kIgnore = [](const OutgoingDatagram& /*datagram*/) {};

  virtual ~UdpSocket() = default;
  UdpSocket(const UdpSocket&) = delete;
  UdpSocket& operator=(const UdpSocket&) = delete;

  // Opens the fastest implementation that this system has. Fails when the address cannot be bound or the
  // system lacks what `options` ask for; a smaller socket buffer than wanted is not a failure.
  static Result<std::unique_ptr<UdpSocket>, SocketError> open_native(const SocketOptions& options);

  // Opens the implementation that needs one system call per datagram and runs everywhere. Fails likewise.
  static Result<std::unique_ptr<UdpSocket>, SocketError> open_portable(const SocketOptions& options);

  // Takes waiting datagrams, at most min(kSocketBatch, out.size()), and returns how many elements of `out` it
  // filled. Their bytes lie in the socket's memory, may be changed in place (decryption) and are valid until
  // the next receive(), rest() or close(). Addresses are normalised: never IPv4-mapped IPv6. Datagrams longer
  // than kReceiveSlotBytes and pending network errors are counted and skipped, so that 0 does not mean that
  // nothing waits: drained() tells. The local address has the bound port; its family is kNone when the system
  // cannot tell. Coalesced datagrams that `out` has no room for stay for the next calls, which ask the kernel
  // for nothing until they are gone: see has_leftovers().
  virtual std::size_t receive(std::span<ReceivedDatagram> out) = 0;

  // The bytes of the last receive() are not needed any more: other sockets of the same pool may use the
  // memory. Does nothing while there are leftovers.
  virtual void rest() = 0;

  // Sends in order. Of `local` the port is ignored, of `ecn` all but the two low bits. A datagram that the
  // network or the kernel refuses is dropped and counted, and the rest goes on: what is wrong with one peer's
  // path must not hold up the others. Only a full send buffer ends the call early. `too_long` is called with
  // each datagram that is dropped for SendDropReason::kTooLong; it must not use the socket.
  using TooLongHandler = FunctionRef<void(const OutgoingDatagram&)>;
  SendResult send(std::span<const OutgoingDatagram> datagrams, TooLongHandler too_long = kIgnore) {
    return send_in_order(datagrams, too_long);
  }

  // Gives the descriptor and the port back. Further calls do nothing: receive() returns 0, send() drops.
  virtual void close() = 0;

  // kInvalidSocket after close().
  SocketDescriptor descriptor() const { return state_.descriptor; }
  // The bound address, with the port that the kernel chose.
  const SocketAddress& local_address() const { return state_.local_address; }
  // What the kernel granted, in the unit of the request (Linux reports twice the usable amount; this is the
  // half).
  std::size_t granted_receive_buffer_bytes() const { return state_.granted_receive_buffer_bytes; }
  std::size_t granted_send_buffer_bytes() const { return state_.granted_send_buffer_bytes; }
  const SocketFeatures& features() const { return state_.features; }
  const SocketCounters& counters() const { return counters_; }
  // Whether the last receive() took all that was waiting, as far as the kernel told. Never true of a call
  // that did not ask the kernel: what arrived since it was last asked may wait there.
  bool drained() const { return drained_; }
  // Whether datagrams that were taken from the kernel wait for the next receive(): the descriptor does not
  // become readable for them.
  bool has_leftovers() const { return has_leftovers_; }
  // Entries of the kernel's receive queue that receive() has handed out whole, in total. The bound of that
  // queue is one of entries: with receive offload each may be many datagrams.
  std::uint64_t queue_entries_read() const { return queue_entries_read_; }

 protected:
  virtual SendResult send_in_order(std::span<const OutgoingDatagram> datagrams, TooLongHandler too_long) = 0;

  UdpSocket(const OpenSocket& state, std::shared_ptr<SocketMemoryPool> pool)
      : state_(state), pool_(pool ? std::move(pool) : std::make_shared<SocketMemoryPool>()) {}

  OpenSocket state_;
  std::shared_ptr<SocketMemoryPool> pool_;
  SocketCounters counters_;
  bool drained_ = true;
  bool has_leftovers_ = false;
  std::uint64_t queue_entries_read_ = 0;
};

}  // namespace hawser
