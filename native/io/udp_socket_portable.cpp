// One system call per datagram: recvmsg(2) and sendmsg(2), or Winsock's WSARecvMsg and WSASendMsg, which
// unlike recvfrom and sendto carry the local address. The only implementation outside Linux, and tested on
// Linux against the same cases.
#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <utility>

#include "io/socket_support.hpp"
#include "io/socket_system.hpp"
#include "io/udp_socket.hpp"

namespace hawser {
namespace {

using socket_support::AddressBuffer;
using socket_support::Arrival;
using socket_support::ControlBuffer;
using socket_support::Envelope;
using socket_support::ReceiveFunction;
using socket_support::ReceiveOutcome;

struct PortableSocketMemory final : SocketMemory {
  // Memory that no datagram has reached is never touched: a socket of small ones takes a page for each slot.
  PortableSocketMemory() {}  // NOLINT(modernize-use-equals-default): that one would write zeros

  AddressBuffer name{};
  ControlBuffer control{};
  std::array<std::byte, kSocketBatch * kReceiveSlotBytes> slots;
};

class PortableUdpSocket final : public UdpSocket {
 public:
  PortableUdpSocket(const OpenSocket& state, ReceiveFunction receive_function,
                    std::shared_ptr<SocketMemoryPool> pool)
      : UdpSocket(state, std::move(pool)), receive_function_(receive_function) {
    // Allocated now, where it is the first of its pool, and not with the first datagram.
    take_memory();
    give_memory_back();
  }
  ~PortableUdpSocket() override { PortableUdpSocket::close(); }

  std::size_t receive(std::span<ReceivedDatagram> out) override {
    const std::size_t wanted = std::min(out.size(), kSocketBatch);
    if (wanted == 0 || state_.descriptor == kInvalidSocket) return 0;
    take_memory();
    std::size_t filled = 0;
    // Calls are bounded, and not only datagrams: a flood of oversized ones must not keep the caller here.
    for (std::size_t call = 0; call < wanted; ++call) {
      const Attempt attempt = take(filled, out[filled]);
      if (attempt == Attempt::kFilled) ++filled;
      if (attempt == Attempt::kStop) {
        drained_ = true;
        return filled;
      }
    }
    drained_ = false;
    return filled;
  }

  void rest() override { give_memory_back(); }

  void close() override {
    socket_support::close_socket(state_);
    drained_ = true;
    give_memory_back();
  }

 private:
  SendResult send_in_order(std::span<const OutgoingDatagram> datagrams, TooLongHandler too_long) override {
    SendResult result;
    if (state_.descriptor == kInvalidSocket) {
      drop(SendDropReason::kClosed, datagrams.size(), result);
      return result;
    }
    const bool resting = memory_ == nullptr;
    take_memory();
    for (const OutgoingDatagram& datagram : datagrams) {
      send_datagram(datagram, too_long, result);
      if (result.blocked) break;
    }
    if (resting) give_memory_back();
    return result;
  }

  void take_memory() {
    if (memory_ != nullptr) return;
    std::unique_ptr<SocketMemory> idle = pool_->acquire(SocketMemory::Kind::kPortable);
    // Every piece of that kind is one of these.
    memory_.reset(static_cast<PortableSocketMemory*>(idle.release()));
    if (memory_ == nullptr) memory_ = std::make_unique<PortableSocketMemory>();
  }

  void give_memory_back() {
    if (memory_ != nullptr) pool_->release(SocketMemory::Kind::kPortable, std::move(memory_));
  }

  enum class Attempt { kFilled, kSkipped, kStop };

  Attempt take(std::size_t slot, ReceivedDatagram& out) {
    std::byte* const bytes = memory_->slots.data() + slot * kReceiveSlotBytes;
    Envelope envelope(&memory_->name, sizeof memory_->name, memory_->control.bytes, sizeof memory_->control,
                      bytes, kReceiveSlotBytes);
    ++counters_.receive_calls;
    const ReceiveOutcome outcome =
        socket_support::receive_one(state_.descriptor, receive_function_, envelope.message);
    if (!outcome.received) {
      if (socket_support::would_block(outcome.error)) return Attempt::kStop;
      ++counters_.receive_errors;
      return socket_support::receive_may_go_on(outcome.error) ? Attempt::kSkipped : Attempt::kStop;
    }
    ++queue_entries_read_;
    const Arrival arrival = socket_support::decode_control(envelope.message, state_);
    if (arrival.drop_total) counters_.kernel_receive_drops += kernel_drops_.advance(*arrival.drop_total);
    if (outcome.truncated) {
      ++counters_.receive_truncated;
      return Attempt::kSkipped;
    }
    out.bytes = MutableBytes(bytes, outcome.length);
    out.remote = socket_support::decode_address(memory_->name);
    out.local = arrival.local;
    out.ecn = arrival.ecn;
    ++counters_.datagrams_in;
    counters_.bytes_in += outcome.length;
    return Attempt::kFilled;
  }

  void send_datagram(const OutgoingDatagram& datagram, TooLongHandler too_long, SendResult& result) {
    const auto addressing =
        socket_support::encode_addressing(datagram, state_, memory_->name, memory_->control);
    if (!addressing) {
      drop(SendDropReason::kInvalidAddress, 1, result);
      return;
    }
    // The sending calls take a pointer to mutable bytes and never write through it.
    Envelope envelope(&memory_->name, addressing->name_bytes, memory_->control.bytes,
                      addressing->control_bytes, const_cast<std::byte*>(datagram.bytes.data()),
                      datagram.bytes.size());
    int error = 0;
    do {
      ++counters_.send_calls;
      error = socket_support::send_one(state_.descriptor, envelope.message);
    } while (socket_support::interrupted(error));
    if (error == 0) {
      ++result.sent;
      ++counters_.datagrams_out;
      counters_.bytes_out += datagram.bytes.size();
    } else if (socket_support::would_block(error)) {
      ++counters_.send_blocked;
      result.blocked = true;
    } else {
      const SendDropReason reason = socket_support::send_drop_reason(error);
      drop(reason, 1, result);
      if (reason == SendDropReason::kTooLong) too_long(datagram);
    }
  }

  void drop(SendDropReason reason, std::size_t count, SendResult& result) {
    counters_.send_drops[static_cast<std::size_t>(reason)] += count;
    result.dropped += count;
  }

  ReceiveFunction receive_function_;
  // From the first receive() of a turn to rest(), and during send().
  std::unique_ptr<PortableSocketMemory> memory_;
  socket_support::KernelDropTotal kernel_drops_;
};

}  // namespace

Result<std::unique_ptr<UdpSocket>, SocketError> UdpSocket::open_portable(const SocketOptions& options) {
  auto opened = socket_support::open_socket(options);
  if (!opened) return Failure{opened.error()};
  const auto receive_function = socket_support::find_receive_function(opened->descriptor);
  if (!receive_function) {
    socket_support::close_socket(*opened);
    return Failure{receive_function.error()};
  }
  return std::unique_ptr<UdpSocket>(
      std::make_unique<PortableUdpSocket>(*opened, *receive_function, options.memory));
}

#ifndef __linux__
Result<std::unique_ptr<UdpSocket>, SocketError> UdpSocket::open_native(const SocketOptions& options) {
  return open_portable(options);
}
#endif

}  // namespace hawser
