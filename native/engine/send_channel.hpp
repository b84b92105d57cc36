#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/ring.hpp"
#include "base/time.hpp"
#include "engine/channels.hpp"

namespace hawser {

// A message that waits to be sent or acknowledged.
struct OutgoingMessage {
  std::uint64_t start = 0;  // of its length and data in the channel's bytes
  Instant expires = kNever;
  std::uint32_t length = 0;
  std::uint32_t unacknowledged = 0;  // bytes
  std::uint32_t confirm = 0;         // what the user wants told when it is done; 0 for nothing
  bool done = false;                 // acknowledged, or its EXPIRED is
  bool expired = false;
};

// The sending end of a channel. Messages lie in one queue of bytes in the form in which RELIABLE carries them
// (length, data), so that a run of them goes into a packet in one copy, and stay there until they are
// acknowledged, or, where they are not sent again, until they are sent. A message's number is its place since
// the first.
class SendChannel {
 public:
  SendChannel(std::uint16_t own_number, const ChannelDeclaration& declaration, std::uint64_t credit)
      : limit(credit),
        max_ahead(credit / 64),
        number(own_number),
        mode(declaration.mode),
        priority(declaration.priority) {}

  // False when there is no memory.
  [[nodiscard]] bool enqueue(BlockPool& pool, Bytes data, Instant expires, std::uint32_t confirm) {
    std::array<std::byte, 8> prefix{};
    ByteWriter writer(prefix);
    writer.varint(data.size());
    if (!bytes.reserve(pool, writer.position() + data.size())) return false;
    const auto length = static_cast<std::uint32_t>(data.size());
    if (!messages.push(pool, OutgoingMessage{bytes.end(), expires, length, length, confirm, false, false}))
      return false;
    bytes.append(writer.written());
    bytes.append(data);
    next_expiry = std::min(next_expiry, expires);
    return true;
  }

  // Where the message after this one begins.
  [[nodiscard]] std::uint64_t end_of(std::uint64_t message) const {
    return message + 1 == messages.end() ? bytes.end() : messages[message + 1].start;
  }
  [[nodiscard]] std::uint64_t data_of(std::uint64_t message) const {
    return end_of(message) - messages[message].length;
  }
  // Whether the message is still to be cared for.
  [[nodiscard]] bool holds(std::uint64_t message) const {
    return message >= messages.begin() && message < messages.end() && !messages[message].done;
  }
  [[nodiscard]] bool has_unsent() const { return next_unsent < messages.end(); }

  // Gives back what is done at the front.
  void drop_done() {
    while (!messages.empty() && messages.front().done) {
      const std::uint64_t end = end_of(messages.begin());
      messages.pop();
      bytes.drop_to(end);
    }
    next_unsent = std::max(next_unsent, messages.begin());
  }

  ByteRing bytes;
  Ring<OutgoingMessage> messages;
  // The first message that was not sent whole, and what has been sent of it in parts.
  std::uint64_t next_unsent = 0;
  std::uint32_t part_sent = 0;
  std::uint64_t spent = 0;  // credit
  std::uint64_t limit;
  std::uint64_t max_ahead;
  // No message expires before.
  Instant next_expiry = kNever;
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
