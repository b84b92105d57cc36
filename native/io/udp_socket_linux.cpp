// recvmmsg(2) and sendmmsg(2): up to kSocketBatch messages per system call, and a message may be a whole run
// of datagrams: cut by the kernel or the network card on the way out (UDP_SEGMENT), joined on the way in
// (UDP_GRO).
#ifdef __linux__

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "io/socket_support.hpp"
#include "io/udp_socket.hpp"

namespace hawser {
namespace {

using socket_support::AddressBuffer;
using socket_support::Arrival;
using socket_support::ControlBuffer;

// UDP_MAX_SEGMENTS of the kernel's linux/udp.h; newer ones take twice as many.
constexpr std::size_t kMaxRun = 64;
// The longest payload of an IPv4 datagram, which the kernel holds a message to before it cuts it.
constexpr std::size_t kMaxRunBytes = 65'507;
// Datagrams handed to the kernel in one call, runs included.
constexpr std::size_t kMaxOutgoing = 8 * kMaxRun;

// Room for any UDP message, as the kernel joins them.
constexpr std::size_t kCoalescedSlotBytes = std::size_t{64} * 1024;

// Whether the kernel uses `error` to say that it cannot cut a message: EIO without checksum offload or behind
// IPsec, EINVAL when checksums are off. It has other uses for each.
bool may_mean_no_segmentation(int error) {
  return error == EIO || error == EINVAL || error == EOPNOTSUPP || error == ENOPROTOOPT;
}

bool same_path(const OutgoingDatagram& a, const OutgoingDatagram& b) {
  return a.remote == b.remote && a.local == b.local && a.ecn == b.ecn;
}

// How many datagrams, from the first on, can be cut from one message: equally long ones on one path, of which
// the last may be shorter.
std::size_t run_length(std::span<const OutgoingDatagram> datagrams) {
  const OutgoingDatagram& first = datagrams.front();
  std::size_t total = first.bytes.size();
  std::size_t last = total;
  std::size_t count = 1;
  const std::size_t most = std::min(datagrams.size(), kMaxRun);
  while (count < most && last == first.bytes.size()) {
    const OutgoingDatagram& next = datagrams[count];
    last = next.bytes.size();
    total += last;
    if (last == 0 || last > first.bytes.size() || total > kMaxRunBytes || !same_path(first, next)) break;
    ++count;
  }
  return count;
}

// The memory that messages are received into. What no datagram has reached is never touched, so that a socket
// of small ones takes about a page for each slot. Between slots are a few cache lines: at distances of a
// power of two the beginnings of all would compete for the same few places of the processor's caches.
class ReceiveSlots {
 public:
  ReceiveSlots()
      : memory_(::mmap(nullptr, kMappedBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    // As operator new does without exceptions.
    if (memory_ == MAP_FAILED) std::abort();
    // A huge page would make resident what is never used. Only a kernel without huge pages refuses.
    ::madvise(memory_, kMappedBytes, MADV_NOHUGEPAGE);
  }
  ReceiveSlots(const ReceiveSlots&) = delete;
  ReceiveSlots& operator=(const ReceiveSlots&) = delete;
  ~ReceiveSlots() { ::munmap(memory_, kMappedBytes); }

  [[nodiscard]] MutableBytes slot(std::size_t i) const {
    return {static_cast<std::byte*>(memory_) + i * kStride, kCoalescedSlotBytes};
  }

 private:
  static constexpr std::size_t kStride = kCoalescedSlotBytes + std::size_t{3} * 64;
  static constexpr std::size_t kMappedBytes = kSocketBatch * kStride;

  void* memory_;
};

// The message headers of one direction with all that they point to. Set up once: a call rewrites only what
// differs between messages or what the kernel overwrote.
template <std::size_t kSegments>
struct MessageBatch {
  std::array<mmsghdr, kSocketBatch> headers{};
  std::array<iovec, kSegments> segments{};  // one for each datagram
  std::array<AddressBuffer, kSocketBatch> names{};
  std::array<ControlBuffer, kSocketBatch> controls{};
};

struct LinuxSocketMemory final : SocketMemory {
  LinuxSocketMemory() {
    for (std::size_t i = 0; i < kSocketBatch; ++i) {
      const MutableBytes slot = slots.slot(i);
      incoming.segments[i] = {slot.data(), slot.size()};
      msghdr& header = incoming.headers[i].msg_hdr;
      header.msg_name = &incoming.names[i];
      header.msg_iov = &incoming.segments[i];
      header.msg_iovlen = 1;
      rearm(i);
      outgoing.headers[i].msg_hdr.msg_name = &outgoing.names[i];
    }
  }

  // Restores what the kernel overwrote in the header of a message that was received.
  void rearm(std::size_t i) {
    msghdr& header = incoming.headers[i].msg_hdr;
    header.msg_namelen = sizeof(AddressBuffer);
    header.msg_control = &incoming.controls[i];
    header.msg_controllen = sizeof(ControlBuffer);
  }

  MessageBatch<kSocketBatch> incoming;
  MessageBatch<kMaxOutgoing> outgoing;
  ReceiveSlots slots;
};

class LinuxUdpSocket final : public UdpSocket {
 public:
  LinuxUdpSocket(const OpenSocket& state, std::shared_ptr<SocketMemoryPool> pool)
      : UdpSocket(state, std::move(pool)) {
    // Allocated now, where it is the first of its pool, and not with the first datagram.
    take_memory();
    give_memory_back();
  }
  ~LinuxUdpSocket() override { LinuxUdpSocket::close(); }

  std::size_t receive(std::span<ReceivedDatagram> out) override {
    out = out.first(std::min(out.size(), kSocketBatch));
    if (out.empty() || state_.descriptor == kInvalidSocket) return 0;
    take_memory();
    const bool emptied = !has_leftovers_ && fetch(out.size());
    const std::size_t filled = hand_out(out);
    has_leftovers_ = next_incoming_ < incoming_count_;
    drained_ = emptied && !has_leftovers_;
    return filled;
  }

  void rest() override {
    if (!has_leftovers_) give_memory_back();
  }

  void close() override {
    socket_support::close_socket(state_);
    has_leftovers_ = false;
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
    while (!datagrams.empty() && !result.blocked) {
      std::size_t prepared = prepare_batch(datagrams.first(std::min(datagrams.size(), kMaxOutgoing)));
      if (prepared == 0) {
        drop(SendDropReason::kInvalidAddress, 1, result);
        prepared = 1;
      } else {
        flush(datagrams.first(prepared), too_long, result);
      }
      datagrams = datagrams.subspan(prepared);
    }
    if (resting) give_memory_back();
    return result;
  }

  void take_memory() {
    if (memory_ != nullptr) return;
    std::unique_ptr<SocketMemory> idle = pool_->acquire(SocketMemory::Kind::kNative);
    // Every piece of that kind is one of these.
    memory_.reset(static_cast<LinuxSocketMemory*>(idle.release()));
    if (memory_ == nullptr) memory_ = std::make_unique<LinuxSocketMemory>();
  }

  void give_memory_back() {
    if (memory_ == nullptr) return;
    for (; next_incoming_ < incoming_count_; ++next_incoming_) memory_->rearm(next_incoming_);
    split_.reset();
    pool_->release(SocketMemory::Kind::kNative, std::move(memory_));
  }

  // How many messages to ask for so that about `room` datagrams come, going by the messages before: more
  // would only wait here. One more than needed, since only a short answer says that nothing is left.
  std::size_t messages_for(std::size_t room) {
    if (incoming_count_ > 0) {
      const std::uint64_t datagrams = counters_.datagrams_in - datagrams_before_fetch_;
      datagrams_per_message_ = std::max<std::size_t>(1, datagrams / incoming_count_);
    }
    return std::min(room, room / datagrams_per_message_ + 1);
  }

  // Takes messages for about `room` datagrams from the kernel. Returns whether its queue is empty now, as far
  // as it told.
  bool fetch(std::size_t room) {
    const std::size_t wanted = messages_for(room);
    datagrams_before_fetch_ = counters_.datagrams_in;
    next_incoming_ = incoming_count_ = 0;
    ++counters_.receive_calls;
    // No timeout argument: the kernel looks at it only after a datagram has arrived (recvmmsg(2), BUGS).
    const int got = ::recvmmsg(state_.descriptor, memory_->incoming.headers.data(),
                               static_cast<unsigned>(wanted), MSG_DONTWAIT, nullptr);
    if (got < 0) {
      const int error = socket_support::last_error();
      const bool nothing = socket_support::would_block(error);
      if (!nothing) ++counters_.receive_errors;
      return nothing || !socket_support::receive_may_go_on(error);
    }
    incoming_count_ = static_cast<std::size_t>(got);
    return incoming_count_ < wanted;
  }

  // Returns how many elements of `out` it filled from the messages that were fetched.
  std::size_t hand_out(std::span<ReceivedDatagram> out) {
    std::size_t filled = 0;
    while (filled < out.size() && next_incoming_ < incoming_count_) {
      if (!split_) split_ = open_message(next_incoming_);
      if (take_segment(*split_, out[filled])) ++filled;
      if (!split_->rest.empty()) continue;
      split_.reset();
      memory_->rearm(next_incoming_);
      ++next_incoming_;
      ++queue_entries_read_;
    }
    return filled;
  }

  // A message on its way to being datagrams.
  struct Split {
    MutableBytes rest;
    std::size_t segment_bytes = 0;
    ReceivedDatagram envelope;  // all but the bytes, the same for each datagram
    bool coalesced = false;
    bool truncated = false;
  };

  Split open_message(std::size_t i) {
    msghdr& header = memory_->incoming.headers[i].msg_hdr;
    const Arrival arrival = socket_support::decode_control(header, state_);
    if (arrival.drop_total) counters_.kernel_receive_drops += kernel_drops_.advance(*arrival.drop_total);
    Split split;
    split.rest = memory_->slots.slot(i).first(memory_->incoming.headers[i].msg_len);
    split.segment_bytes = arrival.segment_bytes == 0 ? split.rest.size() : arrival.segment_bytes;
    split.envelope.remote = socket_support::decode_address(memory_->incoming.names[i]);
    split.envelope.local = arrival.local;
    split.envelope.ecn = arrival.ecn;
    split.coalesced = split.rest.size() > split.segment_bytes;
    split.truncated = (header.msg_flags & MSG_TRUNC) != 0;
    return split;
  }

  // Takes the next datagram off the message. Returns false when it is too long.
  bool take_segment(Split& split, ReceivedDatagram& out) {
    const std::size_t length = std::min(split.segment_bytes, split.rest.size());
    out = split.envelope;
    out.bytes = split.rest.first(length);
    split.rest = split.rest.subspan(length);
    if (split.truncated || length > kReceiveSlotBytes) {
      ++counters_.receive_truncated;
      return false;
    }
    ++counters_.datagrams_in;
    counters_.bytes_in += length;
    if (split.coalesced) ++counters_.receive_coalesced;
    return true;
  }

  // Makes messages of the first datagrams, up to one that this socket cannot express or the end of the room.
  // Returns how many datagrams those are.
  std::size_t prepare_batch(std::span<const OutgoingDatagram> datagrams) {
    std::size_t prepared = 0;
    outgoing_count_ = 0;
    while (outgoing_count_ < kSocketBatch && prepared < datagrams.size()) {
      const std::span<const OutgoingDatagram> rest = datagrams.subspan(prepared);
      const std::size_t run = state_.features.segmentation_offload ? run_length(rest) : 1;
      if (!prepare(outgoing_count_, rest.first(run), prepared)) break;
      prepared += run;
      ++outgoing_count_;
    }
    return prepared;
  }

  // Makes message `i` of `run`, with segments from `first_segment` on. Returns false when this socket cannot
  // express the addresses.
  bool prepare(std::size_t i, std::span<const OutgoingDatagram> run, std::size_t first_segment) {
    const std::size_t cut = run.size() == 1 ? 0 : run.front().bytes.size();
    const auto addressing =
        socket_support::encode_addressing(run.front(), state_, memory_->outgoing.names[i],
                                          memory_->outgoing.controls[i], static_cast<std::uint16_t>(cut));
    if (!addressing) return false;
    msghdr& header = memory_->outgoing.headers[i].msg_hdr;
    header.msg_namelen = addressing->name_bytes;
    header.msg_control = addressing->control_bytes == 0 ? nullptr : &memory_->outgoing.controls[i];
    header.msg_controllen = addressing->control_bytes;
    header.msg_iov = &memory_->outgoing.segments[first_segment];
    header.msg_iovlen = static_cast<decltype(header.msg_iovlen)>(run.size());
    for (std::size_t k = 0; k < run.size(); ++k) {
      // sendmsg() takes a pointer to mutable bytes and never writes through it.
      memory_->outgoing.segments[first_segment + k] = {const_cast<std::byte*>(run[k].bytes.data()),
                                                       run[k].bytes.size()};
    }
    return true;
  }

  std::size_t datagrams_of(std::size_t message) const {
    return memory_->outgoing.headers[message].msg_hdr.msg_iovlen;
  }

  // Sends what prepare_batch() made of `datagrams`.
  void flush(std::span<const OutgoingDatagram> datagrams, TooLongHandler too_long, SendResult& result) {
    std::size_t next = 0;
    while (next < outgoing_count_) {
      const std::size_t sent_before = result.sent;
      const int error = transmit(next, outgoing_count_, result);
      if (error == 0) return;
      datagrams = datagrams.subspan(result.sent - sent_before);
      const std::size_t refused = datagrams_of(next);
      if (refused > 1 && !socket_support::would_block(error)) {
        send_apart(datagrams.first(refused), next, error, too_long, result);
      } else {
        refuse(datagrams.front(), error, too_long, result);
      }
      if (result.blocked) return;
      datagrams = datagrams.subspan(refused);
      ++next;
    }
  }

  // Sends one by one, as message `i`, what the kernel refused with `error` as a run: each datagram meets its
  // own fate, and one that is too long for the path does not take those along that follow it.
  void send_apart(std::span<const OutgoingDatagram> run, std::size_t i, int error, TooLongHandler too_long,
                  SendResult& result) {
    const auto first_segment = static_cast<std::size_t>(memory_->outgoing.headers[i].msg_hdr.msg_iov -
                                                        memory_->outgoing.segments.data());
    for (const OutgoingDatagram& datagram : run) {
      prepare(i, std::span(&datagram, 1), first_segment);
      std::size_t next = i;
      const int own_error = transmit(next, i + 1, result);
      if (own_error != 0) refuse(datagram, own_error, too_long, result);
      if (result.blocked) return;
      // Only the cutting can have been wrong with a run whose longest datagram passes alone.
      const bool longest = &datagram == &run.front();
      if (longest && own_error == 0 && may_mean_no_segmentation(error))
        state_.features.segmentation_offload = false;
    }
  }

  // Hands over the messages from `next` to `end`, moving `next` past those that the kernel took. Returns 0,
  // or the error of message `next`: the kernel stops at the first one that fails and reports its error only
  // when that one comes first in a call.
  int transmit(std::size_t& next, std::size_t end, SendResult& result) {
    while (next < end) {
      ++counters_.send_calls;
      const int accepted = ::sendmmsg(state_.descriptor, &memory_->outgoing.headers[next],
                                      static_cast<unsigned>(end - next), 0);
      if (accepted < 0) {
        const int error = socket_support::last_error();
        if (socket_support::interrupted(error)) continue;
        return error;
      }
      for (const std::size_t stop = next + static_cast<std::size_t>(accepted); next < stop; ++next) {
        const std::size_t datagrams = datagrams_of(next);
        result.sent += datagrams;
        counters_.datagrams_out += datagrams;
        counters_.bytes_out += memory_->outgoing.headers[next].msg_len;
        if (datagrams > 1) counters_.send_segmented += datagrams;
      }
    }
    return 0;
  }

  // What becomes of the next datagram when the kernel answers with `error`.
  void refuse(const OutgoingDatagram& datagram, int error, TooLongHandler too_long, SendResult& result) {
    if (socket_support::would_block(error)) {
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

  // From the first receive() of a turn to rest(), and during send().
  std::unique_ptr<LinuxSocketMemory> memory_;
  std::size_t outgoing_count_ = 0;  // messages prepared

  // Messages of the last fetch, those that are not handed out yet, and the one that is half handed out.
  std::size_t incoming_count_ = 0;
  std::size_t next_incoming_ = 0;
  std::optional<Split> split_;
  std::size_t datagrams_per_message_ = 1;
  std::uint64_t datagrams_before_fetch_ = 0;

  socket_support::KernelDropTotal kernel_drops_;
};

}  // namespace

Result<std::unique_ptr<UdpSocket>, SocketError> UdpSocket::open_native(const SocketOptions& options) {
  auto opened = socket_support::open_socket(options);
  if (!opened) return Failure{opened.error()};
  if (options.offload) socket_support::enable_offload(*opened);
  return std::unique_ptr<UdpSocket>(std::make_unique<LinuxUdpSocket>(*opened, options.memory));
}

}  // namespace hawser

#endif  // __linux__
