#include "wire/frames.hpp"

#include <algorithm>
#include <cassert>
#include <limits>

#include "wire/address_codec.hpp"

namespace hawser {

namespace {

constexpr std::int64_t kU32Max = std::numeric_limits<std::uint32_t>::max();

std::uint32_t clamp_u32(std::int64_t value) {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(value, 0, kU32Max));
}

std::uint64_t ack_delay(Duration delay) {
  return static_cast<std::uint64_t>(std::clamp<std::int64_t>(delay.count(), 0, kVarintMax));
}

std::uint8_t type_byte(FrameType type) { return static_cast<std::uint8_t>(type); }

std::uint8_t type_byte(FrameType type, bool with_length, std::uint8_t length_bit) {
  return static_cast<std::uint8_t>(type_byte(type) | (with_length ? length_bit : 0U));
}

void write_ack_fields(ByteWriter& writer, std::uint8_t type, Duration delay,
                      std::span<const AckRange> ranges) {
  writer.u8(type);
  writer.varint(ranges[0].largest);
  writer.varint(ack_delay(delay));
  writer.varint(ranges.size() - 1);
  writer.varint(ranges[0].largest - ranges[0].smallest);
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    writer.varint(ranges[i - 1].smallest - ranges[i].largest - 2);
    writer.varint(ranges[i].largest - ranges[i].smallest);
  }
}

bool write_path(ByteWriter& writer, FrameType type, const PathData& data) {
  if (writer.remaining() < kPathFrameSize) return false;
  writer.u8(type_byte(type));
  writer.bytes(data);
  return true;
}

}  // namespace

bool FrameReader::next_control(std::uint8_t type, Frame& out) {
  while (type == type_byte(FrameType::kPadding)) {
    if (reader_.remaining() == 0) return false;
    type = reader_.u8();
  }
  if (is_data(type)) return next_data(type, out);
  if (type == kAckEcnType) return read_ack(out, true);
  out.type = static_cast<FrameType>(type);
  switch (out.type) {
    case FrameType::kPing:
      std::construct_at(&out.ping, PingFrame{reader_.u16()});
      break;
    case FrameType::kPong: {
      const std::uint16_t sequence = reader_.u16();
      const std::uint64_t receive_time = reader_.u64();
      std::construct_at(&out.pong, PongFrame{sequence, receive_time, Duration(reader_.u32())});
      break;
    }
    case FrameType::kAck:
      return read_ack(out, false);
    case FrameType::kDisconnect: {
      const std::uint32_t code = reader_.u32();
      const Duration spread = std::chrono::milliseconds(reader_.u32());
      const std::uint64_t size = reader_.varint();
      if (size > kMaxReasonSize) return fault();
      std::construct_at(&out.disconnect,
                        DisconnectFrame{code, spread, reader_.bytes(static_cast<std::size_t>(size))});
      break;
    }
    case FrameType::kGoaway: {
      const std::uint32_t reason = reader_.u32();
      const Duration deadline = std::chrono::milliseconds(reader_.u32());
      const Duration spread = std::chrono::milliseconds(reader_.u32());
      const std::uint8_t has_address = reader_.u8();
      if (has_address > 1) return fault();
      std::construct_at(&out.goaway,
                        GoawayFrame{reason, deadline, spread, has_address == 1,
                                    has_address == 1 ? decode_address(reader_) : SocketAddress{}});
      break;
    }
    case FrameType::kNewId: {
      const std::uint64_t sequence = reader_.varint();
      const auto id = ConnectionId::from(reader_.bytes(reader_.u8()));
      if (!id) return fault();
      std::construct_at(&out.new_id, NewIdFrame{sequence, *id, reader_.array<16>()});
      break;
    }
    case FrameType::kRetireId:
      std::construct_at(&out.retire_id, RetireIdFrame{reader_.varint()});
      break;
    case FrameType::kKeyUpdate:
    case FrameType::kKeyUpdateReply: {
      const std::uint32_t epoch = reader_.u32();
      const bool reply = out.type == FrameType::kKeyUpdateReply;
      const std::uint32_t sequence = reply ? 0 : reader_.u32();
      const auto share = reader_.array<kShareSize>();
      const SecretId secret_id = reply ? kNoSecretId : reader_.array<16>();
      std::construct_at(&out.key_update,
                        KeyUpdateFrame{epoch, sequence, share, secret_id, reader_.array<16>()});
      break;
    }
    case FrameType::kKeyUpdateRefused: {
      const std::uint32_t sequence = reader_.u32();
      std::construct_at(&out.key_update_refused, KeyUpdateRefusedFrame{sequence, reader_.u8()});
      break;
    }
    case FrameType::kPathChallenge:
    case FrameType::kPathResponse:
      std::construct_at(&out.path, PathFrame{reader_.array<8>()});
      break;
    case FrameType::kCredit:
      std::construct_at(&out.credit, CreditFrame{reader_.varint()});
      break;
    case FrameType::kChannelCredit: {
      const std::uint64_t channel = reader_.varint();
      if (channel > kMaxChannel) return fault();
      const std::uint64_t limit = reader_.varint();
      std::construct_at(&out.channel_credit,
                        ChannelCreditFrame{static_cast<std::uint32_t>(channel), limit, reader_.varint()});
      break;
    }
    case FrameType::kExpired: {
      const std::uint64_t channel = reader_.varint();
      const std::uint64_t number = reader_.varint();
      const std::uint64_t length = reader_.varint();
      if (channel > kMaxChannel || length > kGreatestMessageSize) return fault();
      std::construct_at(&out.expired, ExpiredFrame{static_cast<std::uint32_t>(channel), number,
                                                   static_cast<std::uint32_t>(length)});
      break;
    }
    case FrameType::kMtuProbe:
      break;
    default:
      return fault();
  }
  return reader_.ok() || fault();
}

bool FrameReader::next_sequenced(std::uint8_t type, Frame& out) {
  const bool is_one_part = (type & kSequencedPartBit) != 0;
  const std::uint64_t channel = reader_.varint();
  const std::uint64_t number = reader_.varint();
  const std::uint64_t part_total = is_one_part ? reader_.varint() : 0;
  const std::uint64_t offset = is_one_part ? reader_.varint() : 0;
  const std::uint64_t length = data_length((type & kSequencedLengthBit) != 0);
  const std::uint64_t total = is_one_part ? part_total : length;
  if (!reader_.ok() || length > reader_.remaining() || channel > kMaxChannel ||
      total > kGreatestMessageSize || (is_one_part && !is_part(total, offset, length))) {
    return fault();
  }
  out.type = FrameType::kSequenced;
  std::construct_at(
      &out.sequenced,
      SequencedFrame{static_cast<std::uint32_t>(channel), number, static_cast<std::uint32_t>(total),
                     static_cast<std::uint32_t>(offset), reader_.bytes(static_cast<std::size_t>(length))});
  return true;
}

// Range rules of RFC 9000 section 19.3.1: no range reaches below packet number 0.
bool FrameReader::read_ack(Frame& out, bool with_ecn) {
  const std::uint64_t largest = reader_.varint();
  const Duration delay(static_cast<std::int64_t>(reader_.varint()));
  const std::uint64_t range_count = reader_.varint();
  const std::uint64_t first_range = reader_.varint();
  if (!reader_.ok() || first_range > largest) return fault();

  // Only to measure: the frame keeps the bytes that this passes over.
  ByteReader measure = reader_;
  std::uint64_t smallest = largest - first_range;
  for (std::uint64_t i = 0; i < range_count; ++i) {
    const std::uint64_t gap = measure.varint();
    const std::uint64_t length = measure.varint();
    if (!measure.ok() || smallest < 2 || gap > smallest - 2 || length > smallest - 2 - gap) return fault();
    smallest = smallest - 2 - gap - length;
  }
  const Bytes ranges = reader_.bytes(measure.position() - reader_.position());
  EcnCounts ecn{};
  if (with_ecn) {
    ecn.ect0 = reader_.varint();
    ecn.ect1 = reader_.varint();
    ecn.ce = reader_.varint();
    if (!reader_.ok()) return fault();
  }
  out.type = FrameType::kAck;
  std::construct_at(&out.ack, AckFrame{largest, delay, first_range, range_count, ranges, with_ecn, ecn});
  return true;
}

bool write_padding(ByteWriter& writer, std::size_t count) {
  if (writer.remaining() < count) return false;
  writer.zeros(count);
  return true;
}

bool write_ping(ByteWriter& writer, std::uint16_t sequence) {
  if (writer.remaining() < kPingFrameSize) return false;
  writer.u8(type_byte(FrameType::kPing));
  writer.u16(sequence);
  return true;
}

bool write_pong(ByteWriter& writer, std::uint16_t sequence, std::uint64_t receive_time, Duration delay) {
  if (writer.remaining() < kPongFrameSize) return false;
  writer.u8(type_byte(FrameType::kPong));
  writer.u16(sequence);
  writer.u64(receive_time);
  writer.u32(clamp_u32(delay.count()));
  return true;
}

std::size_t ack_frame_size(Duration delay, std::span<const AckRange> ranges) {
  assert(!ranges.empty() && ranges.size() <= kMaxAckRanges);
  std::size_t size = 1 + varint_size(ranges[0].largest) + varint_size(ack_delay(delay)) +
                     varint_size(ranges.size() - 1) + varint_size(ranges[0].largest - ranges[0].smallest);
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    size += varint_size(ranges[i - 1].smallest - ranges[i].largest - 2) +
            varint_size(ranges[i].largest - ranges[i].smallest);
  }
  return size;
}

bool write_ack(ByteWriter& writer, Duration delay, std::span<const AckRange> ranges) {
  if (writer.remaining() < ack_frame_size(delay, ranges)) return false;
  write_ack_fields(writer, type_byte(FrameType::kAck), delay, ranges);
  return true;
}

std::size_t ack_ecn_frame_size(Duration delay, std::span<const AckRange> ranges, const EcnCounts& ecn) {
  return ack_frame_size(delay, ranges) + varint_size(ecn.ect0) + varint_size(ecn.ect1) + varint_size(ecn.ce);
}

bool write_ack_ecn(ByteWriter& writer, Duration delay, std::span<const AckRange> ranges,
                   const EcnCounts& ecn) {
  if (writer.remaining() < ack_ecn_frame_size(delay, ranges, ecn)) return false;
  write_ack_fields(writer, kAckEcnType, delay, ranges);
  writer.varint(ecn.ect0);
  writer.varint(ecn.ect1);
  writer.varint(ecn.ce);
  return true;
}

std::size_t disconnect_frame_size(std::size_t reason_size) {
  return 1 + 4 + 4 + varint_size(reason_size) + reason_size;
}

bool write_disconnect(ByteWriter& writer, const DisconnectFrame& frame) {
  assert(frame.reason.size() <= kMaxReasonSize);
  if (writer.remaining() < disconnect_frame_size(frame.reason.size())) return false;
  writer.u8(type_byte(FrameType::kDisconnect));
  writer.u32(frame.code);
  writer.u32(u32_milliseconds(frame.reconnect_spread));
  writer.varint(frame.reason.size());
  writer.bytes(frame.reason);
  return true;
}

std::size_t goaway_frame_size(const GoawayFrame& frame) {
  return 1 + 4 + 4 + 4 + 1 + (frame.has_address ? encoded_address_size(frame.address) : 0);
}

bool write_goaway(ByteWriter& writer, const GoawayFrame& frame) {
  if (writer.remaining() < goaway_frame_size(frame)) return false;
  writer.u8(type_byte(FrameType::kGoaway));
  writer.u32(frame.reason);
  writer.u32(u32_milliseconds(frame.deadline));
  writer.u32(u32_milliseconds(frame.reconnect_spread));
  writer.u8(frame.has_address ? 1 : 0);
  if (frame.has_address) encode_address(writer, frame.address);
  return true;
}

std::size_t new_id_frame_size(std::uint64_t sequence, const ConnectionId& connection_id) {
  return 1 + varint_size(sequence) + 1 + connection_id.length + 16;
}

bool write_new_id(ByteWriter& writer, std::uint64_t sequence, const ConnectionId& connection_id,
                  const ResetToken& reset_token) {
  assert(connection_id.length >= ConnectionId::kMin);
  if (writer.remaining() < new_id_frame_size(sequence, connection_id)) return false;
  writer.u8(type_byte(FrameType::kNewId));
  writer.varint(sequence);
  writer.u8(connection_id.length);
  writer.bytes(connection_id.view());
  writer.bytes(reset_token);
  return true;
}

std::size_t retire_id_frame_size(std::uint64_t sequence) { return 1 + varint_size(sequence); }

bool write_retire_id(ByteWriter& writer, std::uint64_t sequence) {
  if (writer.remaining() < retire_id_frame_size(sequence)) return false;
  writer.u8(type_byte(FrameType::kRetireId));
  writer.varint(sequence);
  return true;
}

std::size_t sequenced_frame_size(const SequencedFrame& frame, bool with_length) {
  const bool whole = frame.total == frame.data.size();
  return 1 + varint_size(frame.channel) + varint_size(frame.number) +
         (whole ? 0 : varint_size(frame.total) + varint_size(frame.offset)) +
         (with_length ? varint_size(frame.data.size()) : 0) + frame.data.size();
}

bool write_sequenced(ByteWriter& writer, const SequencedFrame& frame, bool with_length) {
  const bool whole = frame.total == frame.data.size();
  assert(frame.channel <= kMaxChannel && frame.total <= kGreatestMessageSize);
  assert(whole ? frame.offset == 0
               : !frame.data.empty() && std::uint64_t{frame.offset} + frame.data.size() <= frame.total);
  if (writer.remaining() < sequenced_frame_size(frame, with_length)) return false;
  writer.u8(static_cast<std::uint8_t>(type_byte(FrameType::kSequenced, with_length, kSequencedLengthBit) |
                                      (whole ? 0U : kSequencedPartBit)));
  writer.varint(frame.channel);
  writer.varint(frame.number);
  if (!whole) {
    writer.varint(frame.total);
    writer.varint(frame.offset);
  }
  if (with_length) writer.varint(frame.data.size());
  writer.bytes(frame.data);
  return true;
}

std::size_t reliable_header_size(std::uint32_t channel, std::uint64_t first, std::size_t size,
                                 bool with_length) {
  return 1 + varint_size(channel) + varint_size(first) + (with_length ? varint_size(size) : 0);
}

bool write_reliable_header(ByteWriter& writer, std::uint32_t channel, std::uint64_t first, std::size_t size,
                           bool with_length) {
  assert(channel <= kMaxChannel);
  if (writer.remaining() < reliable_header_size(channel, first, size, with_length) + size) return false;
  writer.u8(type_byte(FrameType::kReliable, with_length, kReliableLengthBit));
  writer.varint(channel);
  writer.varint(first);
  if (with_length) writer.varint(size);
  return true;
}

std::size_t fragment_header_size(std::uint32_t channel, std::uint64_t number, std::uint32_t total,
                                 std::uint32_t offset, std::size_t size, bool with_length) {
  return 1 + varint_size(channel) + varint_size(number) + varint_size(total) + varint_size(offset) +
         (with_length ? varint_size(size) : 0);
}

bool write_fragment_header(ByteWriter& writer, std::uint32_t channel, std::uint64_t number,
                           std::uint32_t total, std::uint32_t offset, std::size_t size, bool with_length) {
  assert(channel <= kMaxChannel && total <= kGreatestMessageSize);
  assert(size > 0 && std::uint64_t{offset} + size <= total);
  if (writer.remaining() < fragment_header_size(channel, number, total, offset, size, with_length) + size) {
    return false;
  }
  writer.u8(type_byte(FrameType::kFragment, with_length, kReliableLengthBit));
  writer.varint(channel);
  writer.varint(number);
  writer.varint(total);
  writer.varint(offset);
  if (with_length) writer.varint(size);
  return true;
}

std::size_t expired_frame_size(const ExpiredFrame& frame) {
  return 1 + varint_size(frame.channel) + varint_size(frame.number) + varint_size(frame.length);
}

bool write_expired(ByteWriter& writer, const ExpiredFrame& frame) {
  assert(frame.channel <= kMaxChannel && frame.length <= kGreatestMessageSize);
  if (writer.remaining() < expired_frame_size(frame)) return false;
  writer.u8(type_byte(FrameType::kExpired));
  writer.varint(frame.channel);
  writer.varint(frame.number);
  writer.varint(frame.length);
  return true;
}

std::size_t credit_frame_size(std::uint64_t limit) { return 1 + varint_size(limit); }

bool write_credit(ByteWriter& writer, std::uint64_t limit) {
  if (writer.remaining() < credit_frame_size(limit)) return false;
  writer.u8(type_byte(FrameType::kCredit));
  writer.varint(limit);
  return true;
}

std::size_t channel_credit_frame_size(const ChannelCreditFrame& frame) {
  return 1 + varint_size(frame.channel) + varint_size(frame.limit) + varint_size(frame.ahead);
}

bool write_channel_credit(ByteWriter& writer, const ChannelCreditFrame& frame) {
  assert(frame.channel <= kMaxChannel);
  if (writer.remaining() < channel_credit_frame_size(frame)) return false;
  writer.u8(type_byte(FrameType::kChannelCredit));
  writer.varint(frame.channel);
  writer.varint(frame.limit);
  writer.varint(frame.ahead);
  return true;
}

bool write_path_challenge(ByteWriter& writer, const PathData& data) {
  return write_path(writer, FrameType::kPathChallenge, data);
}

bool write_path_response(ByteWriter& writer, const PathData& data) {
  return write_path(writer, FrameType::kPathResponse, data);
}

bool write_key_update(ByteWriter& writer, const KeyUpdateFrame& frame, bool reply) {
  if (writer.remaining() < (reply ? kKeyUpdateReplyFrameSize : kKeyUpdateFrameSize)) return false;
  writer.u8(type_byte(reply ? FrameType::kKeyUpdateReply : FrameType::kKeyUpdate));
  writer.u32(frame.epoch);
  if (!reply) writer.u32(frame.sequence);
  writer.bytes(frame.share);
  if (!reply) writer.bytes(frame.secret_id);
  writer.bytes(frame.mac);
  return true;
}

bool write_key_update_refused(ByteWriter& writer, const KeyUpdateRefusedFrame& frame) {
  if (writer.remaining() < kKeyUpdateRefusedFrameSize) return false;
  writer.u8(type_byte(FrameType::kKeyUpdateRefused));
  writer.u32(frame.sequence);
  writer.u8(frame.reason);
  return true;
}

bool write_mtu_probe(ByteWriter& writer) {
  if (writer.remaining() < kMtuProbeFrameSize) return false;
  writer.u8(type_byte(FrameType::kMtuProbe));
  return true;
}

}  // namespace hawser
