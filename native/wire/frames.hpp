// The frames inside session packets (docs/protocol.md section 6).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/time.hpp"
#include "crypto/key_schedule.hpp"
#include "wire/connection_id.hpp"

namespace hawser {

inline constexpr std::size_t kMaxReasonSize = 256;
inline constexpr std::size_t kMaxMessageSize = 1158;
inline constexpr std::uint32_t kMaxChannel = 1023;
// As many as an ACK is written with; a reader takes what the packet holds.
inline constexpr std::size_t kMaxAckRanges = 32;

enum class FrameType : std::uint8_t {
  kPadding = 0x00,
  kPing = 0x01,
  kPong = 0x02,
  kAck = 0x03,
  kDisconnect = 0x05,
  kGoaway = 0x06,
  kNewId = 0x07,
  kRetireId = 0x08,
  kMessage = 0x10,  // whichever of the four forms it came in
};

// Bits of the four MESSAGE types 0x10..0x13.
inline constexpr std::uint8_t kMessageChannelBit = 0x01;
inline constexpr std::uint8_t kMessageLengthBit = 0x02;

enum class DisconnectCode : std::uint32_t {
  kNone = 0,
  kProtocolError = 1,
  kReplaced = 2,
  kShuttingDown = 3,
  kKeyExhausted = 4,
  kServerFull = 5,
  kTokenUsed = 6,
  kClientIdConnected = 7,
  kHistoryUnavailable = 8,
  kLimitExceeded = 9,
};
// The application's own codes begin here.
inline constexpr std::uint32_t kFirstApplicationCode = 0x10000;

struct PingFrame {
  std::uint16_t sequence;
};

struct PongFrame {
  std::uint16_t sequence;
  std::uint64_t receive_time;  // microseconds of the replier's session clock, whose origin is arbitrary
  Duration delay;              // from receiving the PING to sending this; 0 to 2^32 - 1 us
};

// Both ends belong to the range.
struct AckRange {
  std::uint64_t smallest;
  std::uint64_t largest;

  friend bool operator==(const AckRange&, const AckRange&) = default;
};

struct AckFrame {
  std::uint64_t largest;
  Duration delay;
  std::uint64_t first_range;  // how many numbers below `largest` are acknowledged with it without a gap
  std::uint64_t range_count;  // further ranges
  Bytes ranges;               // their gaps and lengths, checked; read them with AckRangeReader
};

// Gives the ranges of a decoded ACK, highest first, `first_range` included.
class AckRangeReader {
 public:
  explicit AckRangeReader(const AckFrame& ack)
      : reader_(ack.ranges), current_{ack.largest - ack.first_range, ack.largest} {}

  // False after the last one.
  [[nodiscard]] bool next(AckRange& out) {
    if (done_) return false;
    out = current_;
    if (reader_.remaining() == 0) {
      done_ = true;
    } else {
      // Gap and length count from the number two below the smallest acknowledged so far (RFC 9000
      // section 19.3.1).
      current_.largest = current_.smallest - reader_.varint() - 2;
      current_.smallest = current_.largest - reader_.varint();
    }
    return true;
  }

 private:
  ByteReader reader_;
  AckRange current_;
  bool done_ = false;
};

struct DisconnectFrame {
  std::uint32_t code;  // a DisconnectCode, the application's, or one not known here
  Bytes reason;        // at most 256 bytes; meant to be UTF-8, not checked
};

struct GoawayFrame {
  std::uint32_t reason;
  Duration deadline;  // from receipt; whole milliseconds
  bool has_address;
  SocketAddress address;
};

struct NewIdFrame {
  std::uint64_t sequence;
  ConnectionId connection_id;
  ResetToken reset_token;  // zeros from a client
};

struct RetireIdFrame {
  std::uint64_t sequence;
};

struct MessageFrame {
  std::uint32_t channel;  // 0 to 1,023
  Bytes data;             // not checked against kMaxMessageSize: a larger datagram may carry more
};

// One frame; `type` says which member is alive. Views point into the packet.
struct Frame {
  FrameType type = FrameType::kPadding;
  union {
    PingFrame ping;
    PongFrame pong;
    AckFrame ack;
    DisconnectFrame disconnect;
    GoawayFrame goaway;
    NewIdFrame new_id;
    RetireIdFrame retire_id;
    MessageFrame message;
  };

  Frame() : ping{} {}
};
static_assert(std::is_trivially_destructible_v<Frame>);

// Reads the frames of an opened packet one by one. PADDING is passed over. Everything that needs no knowledge
// of the connection is checked here; after a fault no further frame is given, the earlier ones stand.
class FrameReader {
 public:
  // A packet without any frame is a fault.
  explicit FrameReader(Bytes payload) : reader_(payload), failed_(payload.empty()) {}

  // The next frame, or false at the end and after a fault.
  [[nodiscard]] bool next(Frame& out) {
    if (failed_ || reader_.remaining() == 0) return false;
    const std::uint8_t type = reader_.u8();
    if (is_message(type)) return next_message(type, out);
    return next_control(type, out);
  }

  // Whether the packet broke a rule, to be answered with PROTOCOL_ERROR.
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool fault() {
    failed_ = true;
    return false;
  }
  static bool is_message(std::uint8_t type) {
    return (type & ~(kMessageChannelBit | kMessageLengthBit)) ==
           static_cast<std::uint8_t>(FrameType::kMessage);
  }
  // Inline: a packet holds dozens of messages and hardly ever anything else.
  bool next_message(std::uint8_t type, Frame& out) {
    const std::uint64_t channel = (type & kMessageChannelBit) != 0 ? reader_.varint() : 0;
    const std::uint64_t length = (type & kMessageLengthBit) != 0 ? reader_.varint() : reader_.remaining();
    if (!reader_.ok() || length > reader_.remaining() || channel > kMaxChannel) return fault();
    out.type = FrameType::kMessage;
    std::construct_at(&out.message, MessageFrame{static_cast<std::uint32_t>(channel),
                                                 reader_.bytes(static_cast<std::size_t>(length))});
    return true;
  }
  bool next_control(std::uint8_t type, Frame& out);
  bool read_ack(Frame& out);

  ByteReader reader_;
  bool failed_;
};

// Writers append one frame and return true, or write nothing and return false when the writer has no room for
// all of it.

inline constexpr std::size_t kPingFrameSize = 3;
inline constexpr std::size_t kPongFrameSize = 15;

[[nodiscard]] bool write_padding(ByteWriter& writer, std::size_t count);
[[nodiscard]] bool write_ping(ByteWriter& writer, std::uint16_t sequence);
// `delay` is cut to 0..2^32 - 1 us.
[[nodiscard]] bool write_pong(ByteWriter& writer, std::uint16_t sequence, std::uint64_t receive_time,
                              Duration delay);
// `ranges`: 1 to 32, highest first, at least one number missing between neighbours. A negative `delay` counts
// as 0.
[[nodiscard]] bool write_ack(ByteWriter& writer, Duration delay, std::span<const AckRange> ranges);
[[nodiscard]] std::size_t ack_frame_size(Duration delay, std::span<const AckRange> ranges);
// `reason`: UTF-8, at most 256 bytes.
[[nodiscard]] bool write_disconnect(ByteWriter& writer, std::uint32_t code, Bytes reason);
[[nodiscard]] std::size_t disconnect_frame_size(std::size_t reason_size);
// `deadline` is cut to 0..2^32 - 1 whole milliseconds; `address` may be null, else it is encodable.
[[nodiscard]] bool write_goaway(ByteWriter& writer, std::uint32_t reason, Duration deadline,
                                const SocketAddress* address);
[[nodiscard]] std::size_t goaway_frame_size(const SocketAddress* address);
// `connection_id` has 4 to 16 bytes.
[[nodiscard]] bool write_new_id(ByteWriter& writer, std::uint64_t sequence, const ConnectionId& connection_id,
                                const ResetToken& reset_token);
[[nodiscard]] std::size_t new_id_frame_size(std::uint64_t sequence, const ConnectionId& connection_id);
[[nodiscard]] bool write_retire_id(ByteWriter& writer, std::uint64_t sequence);
[[nodiscard]] std::size_t retire_id_frame_size(std::uint64_t sequence);

// What a MESSAGE frame takes. Without its length it must be the last frame of the packet.
[[nodiscard]] constexpr std::size_t message_frame_size(std::uint32_t channel, std::size_t length,
                                                       bool with_length = true) {
  return 1 + (channel != 0 ? varint_size(channel) : 0) + (with_length ? varint_size(length) : 0) + length;
}

// `channel`: 0 to 1,023.
[[nodiscard]] inline bool write_message(ByteWriter& writer, std::uint32_t channel, Bytes data,
                                        bool with_length = true) {
  if (writer.remaining() < message_frame_size(channel, data.size(), with_length)) return false;
  writer.u8(static_cast<std::uint8_t>(static_cast<std::uint8_t>(FrameType::kMessage) |
                                      (channel != 0 ? kMessageChannelBit : 0U) |
                                      (with_length ? kMessageLengthBit : 0U)));
  if (channel != 0) writer.varint(channel);
  if (with_length) writer.varint(data.size());
  writer.bytes(data);
  return true;
}

}  // namespace hawser
