// The frames inside session packets (docs/protocol.md section 6).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/time.hpp"
#include "crypto/hash.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/key_schedule.hpp"
#include "wire/connection_id.hpp"

namespace hawser {

inline constexpr std::size_t kMaxReasonSize = 256;
inline constexpr std::size_t kMaxMessageSize = 1158;
inline constexpr std::uint32_t kMaxChannel = 1023;
// Of a message in several parts.
inline constexpr std::uint32_t kGreatestMessageSize = 16 * 1024 * 1024;
// Ranges that every ACK lists, if there are as many, and most ranges that it lists (docs/protocol.md section
// 6). A reader takes what the packet holds.
inline constexpr std::size_t kUsualAckRanges = 32;
inline constexpr std::size_t kMaxAckRanges = 128;

enum class FrameType : std::uint8_t {
  kPadding = 0x00,
  kPing = 0x01,
  kPong = 0x02,
  kAck = 0x03,  // also for 0x04, with ECN counts
  kDisconnect = 0x05,
  kGoaway = 0x06,
  kNewId = 0x07,
  kRetireId = 0x08,
  kKeyUpdate = 0x09,
  kKeyUpdateReply = 0x0a,
  kKeyUpdateRefused = 0x0b,
  kPathChallenge = 0x0c,
  kPathResponse = 0x0d,
  kCredit = 0x0e,
  kChannelCredit = 0x0f,
  kMessage = 0x10,    // whichever of the eight forms it came in
  kSequenced = 0x14,  // likewise
  kReliable = 0x18,   // or 0x19: whole messages
  kFragment = 0x1a,   // or 0x1b
  kExpired = 0x1c,
  kMtuProbe = 0x20,
};

// An ACK with ECN counts; read as kAck.
inline constexpr std::uint8_t kAckEcnType = 0x04;

// Bits of the MESSAGE types 0x10..0x13 and 0x30..0x33: the channel is told (else it is 0); the length is
// told, so that other frames may follow; the packet is to be acknowledged.
inline constexpr std::uint8_t kMessageChannelBit = 0x01;
inline constexpr std::uint8_t kMessageLengthBit = 0x02;
inline constexpr std::uint8_t kMessageAcknowledgedBit = 0x20;
// Bits of the four SEQUENCED types 0x14..0x17: total and offset are told, for a part of a message; the length
// is told.
inline constexpr std::uint8_t kSequencedPartBit = 0x01;
inline constexpr std::uint8_t kSequencedLengthBit = 0x02;
// Bit of RELIABLE (0x18, 0x19) and FRAGMENT (0x1a, 0x1b): the length is told.
inline constexpr std::uint8_t kReliableLengthBit = 0x01;

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
  kSlowConsumer = 10,
  kSendMemoryFull = 11,
  kNoProgress = 12,
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

// Packets received with each mark (RFC 9000 section 13.4.1).
struct EcnCounts {
  std::uint64_t ect0;
  std::uint64_t ect1;
  std::uint64_t ce;

  friend bool operator==(const EcnCounts&, const EcnCounts&) = default;
};

struct AckFrame {
  std::uint64_t largest;
  Duration delay;
  std::uint64_t first_range;  // how many numbers below `largest` are acknowledged with it without a gap
  std::uint64_t range_count;  // further ranges
  Bytes ranges;               // their gaps and lengths, checked; read them with AckRangeReader
  bool has_ecn;
  EcnCounts ecn;  // zeros without has_ecn
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
  std::uint32_t code;         // a DisconnectCode, the application's, or one not known here
  Duration reconnect_spread;  // from a server: over how long clients spread their return; whole milliseconds
  Bytes reason;               // at most 256 bytes; meant to be UTF-8, not checked
};

struct GoawayFrame {
  std::uint32_t reason;
  Duration deadline;          // from receipt; whole milliseconds
  Duration reconnect_spread;  // as in DISCONNECT
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
  bool acknowledged;      // the packet is to be acknowledged
  Bytes data;             // not checked against kMaxMessageSize: a larger datagram may carry more
};

// A message of a sequenced channel, or one part of it.
struct SequencedFrame {
  std::uint32_t channel;
  std::uint64_t number;  // below 2^62
  std::uint32_t total;   // bytes of the whole message, at most kGreatestMessageSize
  std::uint32_t offset;  // of `data` in it; offset + data.size() <= total
  Bytes data;            // not empty unless it is the whole message
};

// Whole messages of a reliable channel with numbers one after the other.
struct ReliableFrame {
  std::uint32_t channel;
  std::uint64_t first;  // number of the first; first + count <= 2^62
  std::uint32_t count;  // 1 and more
  Bytes messages;       // count x (varint length, data), checked; read them with MessageReader
};

// One part of a message of a reliable channel.
struct FragmentFrame {
  std::uint32_t channel;
  std::uint64_t number;  // below 2^62
  std::uint32_t total;   // 1 to kGreatestMessageSize
  std::uint32_t offset;  // offset + data.size() <= total
  Bytes data;            // not empty
};

// A message of a reliable channel that its sender has given up.
struct ExpiredFrame {
  std::uint32_t channel;
  std::uint64_t number;  // below 2^62
  std::uint32_t length;  // of the message, at most kGreatestMessageSize
};

struct CreditFrame {
  std::uint64_t limit;
};

struct ChannelCreditFrame {
  std::uint32_t channel;
  std::uint64_t limit;
  std::uint64_t ahead;  // of messages: how far the next number may be ahead of the oldest missing one
};

using PathData = std::array<std::byte, 8>;

struct PathFrame {
  PathData data;  // kPathChallenge and kPathResponse
};

using SecretId = std::array<std::byte, 16>;

inline constexpr SecretId kNoSecretId{};

struct KeyUpdateFrame {
  std::uint32_t epoch;     // the new one
  std::uint32_t sequence;  // of the initiator's updates; 0 in a reply
  std::array<std::byte, kShareSize> share;
  SecretId secret_id;  // zeros for none, and in a reply
  Hash128 mac;
};

enum class KeyUpdateRefusal : std::uint8_t {
  kUnknownSecret = 1,
  kDifferentSecret = 2,
  kUnavailable = 3,
};

struct KeyUpdateRefusedFrame {
  std::uint32_t sequence;  // of the KEY_UPDATE
  std::uint8_t reason;     // a KeyUpdateRefusal, or one not known here
};

// Gives the messages of a ReliableFrame in order.
class MessageReader {
 public:
  explicit MessageReader(Bytes messages) : reader_(messages) {}

  // False after the last one.
  [[nodiscard]] bool next(Bytes& out) {
    if (reader_.remaining() == 0) return false;
    out = reader_.bytes(static_cast<std::size_t>(reader_.varint()));
    return true;
  }

 private:
  ByteReader reader_;
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
    SequencedFrame sequenced;
    ReliableFrame reliable;
    FragmentFrame fragment;
    ExpiredFrame expired;
    CreditFrame credit;
    ChannelCreditFrame channel_credit;
    PathFrame path;
    KeyUpdateFrame key_update;  // kKeyUpdate and kKeyUpdateReply
    KeyUpdateRefusedFrame key_update_refused;
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
    return is_data(type) ? next_data(type, out) : next_control(type, out);
  }

  // Whether the packet broke a rule, to be answered with PROTOCOL_ERROR.
  [[nodiscard]] bool failed() const { return failed_; }

 private:
  bool fault() {
    failed_ = true;
    return false;
  }

  // 0x10..0x1b: MESSAGE, SEQUENCED, RELIABLE and FRAGMENT; 0x30..0x33: MESSAGE.
  static bool is_data(std::uint8_t type) {
    constexpr auto kFirst = static_cast<std::uint8_t>(FrameType::kMessage);
    constexpr auto kBehind = static_cast<std::uint8_t>(FrameType::kExpired);
    constexpr auto kAcknowledged = static_cast<std::uint8_t>(kFirst | kMessageAcknowledgedBit);
    constexpr auto kForm = static_cast<std::uint8_t>(kMessageChannelBit | kMessageLengthBit);
    return static_cast<std::uint8_t>(type - kFirst) < kBehind - kFirst || (type & ~kForm) == kAcknowledged;
  }

  // Inline, as all that it calls but SEQUENCED: a packet holds dozens of messages and hardly ever anything
  // else.
  bool next_data(std::uint8_t type, Frame& out) {
    switch (type & ~kReliableLengthBit) {
      case static_cast<std::uint8_t>(FrameType::kReliable):
        return next_reliable(type, out);
      case static_cast<std::uint8_t>(FrameType::kFragment):
        return next_fragment(type, out);
      case static_cast<std::uint8_t>(FrameType::kSequenced):
      case static_cast<std::uint8_t>(FrameType::kSequenced) | kSequencedLengthBit:
        return next_sequenced(type, out);
      default:
        return next_message(type, out);
    }
  }

  // The length of the data: told, or to the end of the packet.
  std::uint64_t data_length(bool told) { return told ? reader_.varint() : reader_.remaining(); }

  bool next_message(std::uint8_t type, Frame& out) {
    const std::uint64_t channel = (type & kMessageChannelBit) != 0 ? reader_.varint() : 0;
    const std::uint64_t length = data_length((type & kMessageLengthBit) != 0);
    if (!reader_.ok() || length > reader_.remaining() || channel > kMaxChannel) return fault();
    out.type = FrameType::kMessage;
    std::construct_at(&out.message,
                      MessageFrame{static_cast<std::uint32_t>(channel), (type & kMessageAcknowledgedBit) != 0,
                                   reader_.bytes(static_cast<std::size_t>(length))});
    return true;
  }

  bool next_reliable(std::uint8_t type, Frame& out) {
    const std::uint64_t channel = reader_.varint();
    const std::uint64_t first = reader_.varint();
    const std::uint64_t size = data_length((type & kReliableLengthBit) != 0);
    if (!reader_.ok() || size > reader_.remaining() || channel > kMaxChannel) return fault();
    const Bytes messages = reader_.bytes(static_cast<std::size_t>(size));
    const std::uint32_t count = count_messages(messages);
    if (count == 0 || first > kVarintMax + 1 - count) return fault();
    out.type = FrameType::kReliable;
    std::construct_at(&out.reliable,
                      ReliableFrame{static_cast<std::uint32_t>(channel), first, count, messages});
    return true;
  }

  // How many (varint length, data) the bytes are; 0 when the last one ends beyond them, or there is none.
  static std::uint32_t count_messages(Bytes messages) {
    ByteReader records(messages);
    std::uint32_t count = 0;
    while (records.remaining() > 0) {
      const std::uint64_t length = records.varint();
      if (!records.ok() || length > records.remaining() || length > kGreatestMessageSize) return 0;
      records.skip(static_cast<std::size_t>(length));
      ++count;
    }
    return count;
  }

  bool next_fragment(std::uint8_t type, Frame& out) {
    const std::uint64_t channel = reader_.varint();
    const std::uint64_t number = reader_.varint();
    const std::uint64_t total = reader_.varint();
    const std::uint64_t offset = reader_.varint();
    const std::uint64_t length = data_length((type & kReliableLengthBit) != 0);
    if (!reader_.ok() || length > reader_.remaining() || channel > kMaxChannel ||
        !is_part(total, offset, length)) {
      return fault();
    }
    out.type = FrameType::kFragment;
    std::construct_at(
        &out.fragment,
        FragmentFrame{static_cast<std::uint32_t>(channel), number, static_cast<std::uint32_t>(total),
                      static_cast<std::uint32_t>(offset), reader_.bytes(static_cast<std::size_t>(length))});
    return true;
  }

  // Whether a part is not empty and lies within its message, which is not too long.
  static bool is_part(std::uint64_t total, std::uint64_t offset, std::uint64_t length) {
    return total <= kGreatestMessageSize && length > 0 && length <= total && offset <= total - length;
  }

  bool next_sequenced(std::uint8_t type, Frame& out);
  bool next_control(std::uint8_t type, Frame& out);
  bool read_ack(Frame& out, bool with_ecn);

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
// `ranges`: 1 to kMaxAckRanges, highest first, at least one number missing between neighbours. A negative
// `delay` counts as 0.
[[nodiscard]] bool write_ack(ByteWriter& writer, Duration delay, std::span<const AckRange> ranges);
[[nodiscard]] std::size_t ack_frame_size(Duration delay, std::span<const AckRange> ranges);
// The spread is cut to 0..2^32 - 1 whole milliseconds; the reason is UTF-8 of at most 256 bytes.
[[nodiscard]] bool write_disconnect(ByteWriter& writer, const DisconnectFrame& frame);
[[nodiscard]] std::size_t disconnect_frame_size(std::size_t reason_size);
// Deadline and spread are cut to 0..2^32 - 1 whole milliseconds; the address, if there is one, is encodable.
[[nodiscard]] bool write_goaway(ByteWriter& writer, const GoawayFrame& frame);
[[nodiscard]] std::size_t goaway_frame_size(const GoawayFrame& frame);
// `connection_id` has 4 to 16 bytes.
[[nodiscard]] bool write_new_id(ByteWriter& writer, std::uint64_t sequence, const ConnectionId& connection_id,
                                const ResetToken& reset_token);
[[nodiscard]] std::size_t new_id_frame_size(std::uint64_t sequence, const ConnectionId& connection_id);
[[nodiscard]] bool write_retire_id(ByteWriter& writer, std::uint64_t sequence);
[[nodiscard]] std::size_t retire_id_frame_size(std::uint64_t sequence);

// As write_ack(), with the counts behind (0x04). No count is above 2^62 - 1.
[[nodiscard]] bool write_ack_ecn(ByteWriter& writer, Duration delay, std::span<const AckRange> ranges,
                                 const EcnCounts& ecn);
[[nodiscard]] std::size_t ack_ecn_frame_size(Duration delay, std::span<const AckRange> ranges,
                                             const EcnCounts& ecn);

// Numbers of messages in the writers below are at most 2^62 - 1, channels 0 to 1,023. Without its length a
// frame must be the last one of the packet.

// `frame` is within the rules of SequencedFrame. One with `total` == data.size(), and hence offset 0, is
// written as a whole message.
[[nodiscard]] std::size_t sequenced_frame_size(const SequencedFrame& frame, bool with_length = true);
[[nodiscard]] bool write_sequenced(ByteWriter& writer, const SequencedFrame& frame, bool with_length = true);

// What comes before the data of RELIABLE and FRAGMENT frames: the data is written behind it by whoever has it
// in pieces. `size` is that of the records (varint length, data) together, or of the part; nothing is written
// unless it fits too. The header's size does not count it.
[[nodiscard]] std::size_t reliable_header_size(std::uint32_t channel, std::uint64_t first, std::size_t size,
                                               bool with_length);
[[nodiscard]] bool write_reliable_header(ByteWriter& writer, std::uint32_t channel, std::uint64_t first,
                                         std::size_t size, bool with_length);
// 1 <= size, offset + size <= total <= kGreatestMessageSize.
[[nodiscard]] std::size_t fragment_header_size(std::uint32_t channel, std::uint64_t number,
                                               std::uint32_t total, std::uint32_t offset, std::size_t size,
                                               bool with_length);
[[nodiscard]] bool write_fragment_header(ByteWriter& writer, std::uint32_t channel, std::uint64_t number,
                                         std::uint32_t total, std::uint32_t offset, std::size_t size,
                                         bool with_length);

inline constexpr std::size_t kPathFrameSize = 1 + 8;
inline constexpr std::size_t kKeyUpdateFrameSize = 1 + 4 + 4 + kShareSize + 16 + 16;
inline constexpr std::size_t kKeyUpdateReplyFrameSize = 1 + 4 + kShareSize + 16;
inline constexpr std::size_t kKeyUpdateRefusedFrameSize = 1 + 4 + 1;
inline constexpr std::size_t kMtuProbeFrameSize = 1;

// `length`: at most kGreatestMessageSize.
[[nodiscard]] bool write_expired(ByteWriter& writer, const ExpiredFrame& frame);
[[nodiscard]] std::size_t expired_frame_size(const ExpiredFrame& frame);
// Limits: at most 2^62 - 1.
[[nodiscard]] bool write_credit(ByteWriter& writer, std::uint64_t limit);
[[nodiscard]] std::size_t credit_frame_size(std::uint64_t limit);
[[nodiscard]] bool write_channel_credit(ByteWriter& writer, const ChannelCreditFrame& frame);
[[nodiscard]] std::size_t channel_credit_frame_size(const ChannelCreditFrame& frame);
[[nodiscard]] bool write_path_challenge(ByteWriter& writer, const PathData& data);
[[nodiscard]] bool write_path_response(ByteWriter& writer, const PathData& data);
// kKeyUpdate, or kKeyUpdateReply when `reply` (which has neither sequence nor secret id).
[[nodiscard]] bool write_key_update(ByteWriter& writer, const KeyUpdateFrame& frame, bool reply);
[[nodiscard]] bool write_key_update_refused(ByteWriter& writer, const KeyUpdateRefusedFrame& frame);
// Whoever probes fills the packet up with write_padding().
[[nodiscard]] bool write_mtu_probe(ByteWriter& writer);

// What a MESSAGE frame takes. Without its length it must be the last frame of the packet.
[[nodiscard]] constexpr std::size_t message_frame_size(std::uint32_t channel, std::size_t length,
                                                       bool with_length = true) {
  return 1 + (channel != 0 ? varint_size(channel) : 0) + (with_length ? varint_size(length) : 0) + length;
}

// Type and channel of a MESSAGE, for which the writer has room.
inline void write_message_start(ByteWriter& writer, std::uint32_t channel, bool with_length,
                                bool acknowledged) {
  writer.u8(static_cast<std::uint8_t>(
      static_cast<std::uint8_t>(FrameType::kMessage) | (channel != 0 ? kMessageChannelBit : 0U) |
      (with_length ? kMessageLengthBit : 0U) | (acknowledged ? kMessageAcknowledgedBit : 0U)));
  if (channel != 0) writer.varint(channel);
}

// `channel`: 0 to 1,023. `acknowledged`: the packet is to be acknowledged.
[[nodiscard]] inline bool write_message(ByteWriter& writer, std::uint32_t channel, Bytes data,
                                        bool with_length = true, bool acknowledged = false) {
  if (writer.remaining() < message_frame_size(channel, data.size(), with_length)) return false;
  write_message_start(writer, channel, with_length, acknowledged);
  if (with_length) writer.varint(data.size());
  writer.bytes(data);
  return true;
}

}  // namespace hawser
