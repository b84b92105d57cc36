#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "base/block_heap.hpp"
#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/segmented_queue.hpp"
#include "base/time.hpp"
#include "engine/channels.hpp"
#include "engine/recovery.hpp"

namespace hawser {

// A frame to be sent again. Of one channel the lowest number goes first, in whatever order packets were lost:
// a receiver that has no memory left takes nothing but the next message.
struct LostFrame : SentFrame {
  friend bool operator<(const LostFrame& one, const LostFrame& other) {
    return one.number != other.number ? one.number < other.number : one.offset < other.offset;
  }
};

// A message that waits to be sent or acknowledged.
struct OutgoingMessage {
  std::uint64_t start = 0;  // of its length and data in the channel's bytes
  Instant expires = kNever;
  std::uint32_t length = 0;
  std::uint32_t unacknowledged = 0;  // bytes
  std::uint32_t confirm = 0;         // what the user wants told when it is done; 0 for nothing
  std::uint8_t prefix = 0;           // bytes of the length in front of the data
  bool done = false;                 // acknowledged, or its EXPIRED is
  bool expired = false;
  bool released = false;  // its bytes were given back

  [[nodiscard]] std::uint64_t data() const { return start + prefix; }
  // Of a message whose bytes were not released.
  [[nodiscard]] std::uint64_t end() const { return data() + length; }
};
static_assert(sizeof(OutgoingMessage) == 32);

// Sending end of a channel. Messages lie in one queue of bytes in the form in which RELIABLE carries them
// (length, data), so that a run of them goes into a packet in one copy. A message's memory is given back when
// the message is acknowledged or, where it is not sent again, when it is sent, even if older messages still
// wait. A message's number is its place since the first.
class SendChannel {
 public:
  // Most messages from the oldest one that waits to the newest one that was sent, whatever credit allows:
  // bounds what is noted of them.
  static constexpr std::uint64_t kMostAhead = std::uint64_t{1} << 18U;

  SendChannel(BlockPool& pool, std::uint16_t own_number, const ChannelDeclaration& declaration,
              std::uint64_t credit)
      : bytes(pool),
        messages(pool),
        limit(credit),
        max_ahead(std::min(credit / 64, kMostAhead)),
        number(own_number),
        mode(declaration.mode),
        priority(declaration.priority) {}

  // False when there is no memory.
  [[nodiscard]] bool enqueue(Bytes data, Instant expires, std::uint32_t confirm) {
    std::array<std::byte, 8> prefix{};
    ByteWriter writer(prefix);
    writer.varint(data.size());
    const auto length = static_cast<std::uint32_t>(data.size());
    if (!bytes.reserve(writer.position() + data.size()) || !messages.reserve(1)) return false;
    messages.add() = OutgoingMessage{.start = bytes.end(),
                                     .expires = expires,
                                     .length = length,
                                     .unacknowledged = length,
                                     .confirm = confirm,
                                     .prefix = static_cast<std::uint8_t>(writer.position())};
    for (const std::byte part : writer.written()) bytes.add() = part;
    bytes.append(data);
    return true;
  }

  // A message that is still to be cared for; null when it is not.
  [[nodiscard]] OutgoingMessage* held(std::uint64_t message) const {
    if (message < oldest || message >= messages.end()) return nullptr;
    OutgoingMessage* const found = messages.find(message);
    return found == nullptr || found->done ? nullptr : found;
  }
  [[nodiscard]] bool holds(std::uint64_t message) const { return held(message) != nullptr; }
  [[nodiscard]] bool has_unsent() const { return next_unsent < messages.end(); }

  // Gives the bytes of a message back.
  void release_bytes(OutgoingMessage& message) {
    if (message.released) return;
    message.released = true;
    bytes.release(message.start, message.end());
  }
  // A part of a message has been acknowledged.
  void release_part(const OutgoingMessage& message, std::uint32_t offset, std::uint32_t length) {
    if (message.released) return;
    const std::uint64_t first = message.data() + offset;
    bytes.release_part(first, first + length, message.start, message.end());
  }
  // Gives back the memory of the messages from `first` to `last` - 1, all of which have just become done.
  void drop_done(std::uint64_t first, std::uint64_t last) {
    // The bytes of the messages since the last one whose bytes were given back before.
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    for (std::uint64_t at = first; at < last; ++at) {
      OutgoingMessage& message = messages[at];
      if (std::exchange(message.released, true)) continue;
      if (message.start != end) {
        bytes.release(begin, end);
        begin = message.start;
      }
      end = message.end();
    }
    bytes.release(begin, end);
    messages.release(first, last);
    if (first != oldest) return;
    oldest = last;
    while (oldest < messages.end() && !holds(oldest)) ++oldest;
    next_unsent = std::max(next_unsent, oldest);
  }
  // A message that holds() is done with.
  void finish(std::uint64_t message) {
    messages[message].done = true;
    drop_done(message, message + 1);
  }

  SegmentedQueue<std::byte, 2048> bytes;
  SegmentedQueue<OutgoingMessage, 1024> messages;
  // First message that is not done.
  std::uint64_t oldest = 0;
  // The first message that was not sent whole, and what has been sent of it in parts.
  std::uint64_t next_unsent = 0;
  std::uint32_t part_sent = 0;
  std::uint64_t spent = 0;  // credit
  std::uint64_t limit;
  std::uint64_t max_ahead;
  // Frames to be sent again, lowest number first.
  BlockHeap<LostFrame> lost;
  std::uint64_t next_sequenced = 0;
  SendChannel* next_active = nullptr;
  std::uint16_t number;
  ChannelMode mode;
  ChannelPriority priority;
  bool active = false;
  // Waits for CHANNEL_CREDIT, or for the oldest message to be acknowledged.
  bool blocked = false;
  // Waits for CREDIT.
  bool starved = false;
};

}  // namespace hawser
