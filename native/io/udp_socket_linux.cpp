// recvmmsg(2) and sendmmsg(2): up to kSocketBatch datagrams per system call.
#ifdef __linux__

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "io/socket_support.hpp"
#include "io/udp_socket.hpp"

namespace hawser {
namespace {

using socket_support::AddressBuffer;
using socket_support::Arrival;
using socket_support::ControlBuffer;

// The message headers of one direction with all that they point to. Set up once: a call rewrites only what
// differs between datagrams or what the kernel overwrote.
struct MessageBatch {
  std::array<mmsghdr, kSocketBatch> headers{};
  std::array<iovec, kSocketBatch> segments{};
  std::array<AddressBuffer, kSocketBatch> names{};
  std::array<ControlBuffer, kSocketBatch> controls{};

  MessageBatch() {
    for (std::size_t i = 0; i < kSocketBatch; ++i) {
      msghdr& header = headers[i].msg_hdr;
      header.msg_iov = &segments[i];
      header.msg_iovlen = 1;
      header.msg_name = &names[i];
    }
  }
};

class LinuxUdpSocket final : public UdpSocket {
 public:
  explicit LinuxUdpSocket(const OpenSocket& state) : UdpSocket(state) {
    for (std::size_t i = 0; i < kSocketBatch; ++i) {
      incoming_.segments[i] = {slots_.data() + i * kReceiveSlotBytes, kReceiveSlotBytes};
      rearm(i);
    }
  }
  ~LinuxUdpSocket() override { LinuxUdpSocket::close(); }

  std::size_t receive(std::span<ReceivedDatagram> out) override {
    const std::size_t wanted = std::min(out.size(), kSocketBatch);
    if (wanted == 0 || state_.descriptor == kInvalidSocket) return 0;
    ++counters_.receive_calls;
    // No timeout argument: the kernel looks at it only after a datagram has arrived (recvmmsg(2), BUGS).
    const int got = ::recvmmsg(state_.descriptor, incoming_.headers.data(), static_cast<unsigned>(wanted),
                               MSG_DONTWAIT, nullptr);
    if (got < 0) {
      const int error = socket_support::last_error();
      const bool nothing = socket_support::would_block(error);
      if (!nothing) ++counters_.receive_errors;
      drained_ = nothing || !socket_support::receive_may_go_on(error);
      return 0;
    }
    const auto taken = static_cast<std::size_t>(got);
    drained_ = taken < wanted;
    std::size_t filled = 0;
    for (std::size_t i = 0; i < taken; ++i) {
      if (take(i, out[filled])) ++filled;
      rearm(i);
    }
    return filled;
  }

  SendResult send(std::span<const OutgoingDatagram> datagrams) override {
    SendResult result;
    if (state_.descriptor == kInvalidSocket) {
      drop(SendDropReason::kClosed, datagrams.size(), result);
      return result;
    }
    while (!datagrams.empty()) {
      const std::size_t wanted = std::min(datagrams.size(), kSocketBatch);
      std::size_t prepared = 0;
      while (prepared < wanted && prepare(prepared, datagrams[prepared])) ++prepared;
      flush(prepared, result);
      if (result.blocked) return result;
      datagrams = datagrams.subspan(prepared);
      if (prepared < wanted) {
        drop(SendDropReason::kInvalidAddress, 1, result);
        datagrams = datagrams.subspan(1);
      }
    }
    return result;
  }

  void close() override {
    socket_support::close_socket(state_);
    drained_ = true;
  }

 private:
  void rearm(std::size_t i) {
    msghdr& header = incoming_.headers[i].msg_hdr;
    header.msg_namelen = sizeof(AddressBuffer);
    header.msg_control = &incoming_.controls[i];
    header.msg_controllen = sizeof(ControlBuffer);
  }

  // Returns false when the datagram in slot `i` did not fit the slot.
  bool take(std::size_t i, ReceivedDatagram& out) {
    msghdr& header = incoming_.headers[i].msg_hdr;
    const Arrival arrival = socket_support::decode_control(header, state_);
    if (arrival.drop_total) counters_.kernel_receive_drops += kernel_drops_.advance(*arrival.drop_total);
    if ((header.msg_flags & MSG_TRUNC) != 0) {
      ++counters_.receive_truncated;
      return false;
    }
    const std::size_t length = incoming_.headers[i].msg_len;
    out.bytes = MutableBytes(slots_.data() + i * kReceiveSlotBytes, length);
    out.remote = socket_support::decode_address(incoming_.names[i]);
    out.local = arrival.local;
    out.ecn = arrival.ecn;
    ++counters_.datagrams_in;
    counters_.bytes_in += length;
    return true;
  }

  // Returns false when this socket cannot express the datagram's addresses.
  bool prepare(std::size_t i, const OutgoingDatagram& datagram) {
    const auto addressing =
        socket_support::encode_addressing(datagram, state_, outgoing_.names[i], outgoing_.controls[i]);
    if (!addressing) return false;
    msghdr& header = outgoing_.headers[i].msg_hdr;
    header.msg_namelen = addressing->name_bytes;
    header.msg_control = addressing->control_bytes == 0 ? nullptr : &outgoing_.controls[i];
    header.msg_controllen = addressing->control_bytes;
    // sendmsg() takes a pointer to mutable bytes and never writes through it.
    outgoing_.segments[i] = {const_cast<std::byte*>(datagram.bytes.data()), datagram.bytes.size()};
    return true;
  }

  // Sends the first `count` prepared datagrams. The kernel stops at the first one that fails and reports its
  // error only when that one comes first in a call.
  void flush(std::size_t count, SendResult& result) {
    std::size_t done = 0;
    while (done < count) {
      ++counters_.send_calls;
      const int accepted =
          ::sendmmsg(state_.descriptor, &outgoing_.headers[done], static_cast<unsigned>(count - done), 0);
      if (accepted >= 0) {
        const std::size_t end = done + static_cast<std::size_t>(accepted);
        result.sent += end - done;
        counters_.datagrams_out += end - done;
        for (; done < end; ++done) counters_.bytes_out += outgoing_.headers[done].msg_len;
        continue;
      }
      const int error = socket_support::last_error();
      if (socket_support::interrupted(error)) continue;
      if (socket_support::would_block(error)) {
        ++counters_.send_blocked;
        result.blocked = true;
        return;
      }
      drop(socket_support::send_drop_reason(error), 1, result);
      ++done;
    }
  }

  void drop(SendDropReason reason, std::size_t count, SendResult& result) {
    counters_.send_drops[static_cast<std::size_t>(reason)] += count;
    result.dropped += count;
  }

  MessageBatch incoming_;
  MessageBatch outgoing_;
  socket_support::KernelDropTotal kernel_drops_;
  std::array<std::byte, kSocketBatch * kReceiveSlotBytes> slots_;
};

}  // namespace

Result<std::unique_ptr<UdpSocket>, SocketError> UdpSocket::open_native(const SocketOptions& options) {
  const auto opened = socket_support::open_socket(options);
  if (!opened) return Failure{opened.error()};
  return std::unique_ptr<UdpSocket>(std::make_unique<LinuxUdpSocket>(*opened));
}

}  // namespace hawser

#endif  // __linux__
