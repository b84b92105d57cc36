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

}  // namespace

bool FrameReader::next_control(std::uint8_t type, Frame& out) {
  while (type == type_byte(FrameType::kPadding)) {
    if (reader_.remaining() == 0) return false;
    type = reader_.u8();
  }
  if (is_message(type)) return next_message(type, out);
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
      return read_ack(out);
    case FrameType::kDisconnect: {
      const std::uint32_t code = reader_.u32();
      const std::uint64_t size = reader_.varint();
      if (size > kMaxReasonSize) return fault();
      std::construct_at(&out.disconnect,
                        DisconnectFrame{code, reader_.bytes(static_cast<std::size_t>(size))});
      break;
    }
    case FrameType::kGoaway: {
      const std::uint32_t reason = reader_.u32();
      const Duration deadline = std::chrono::milliseconds(reader_.u32());
      const std::uint8_t has_address = reader_.u8();
      if (has_address > 1) return fault();
      std::construct_at(&out.goaway,
                        GoawayFrame{reason, deadline, has_address == 1,
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
    default:
      return fault();
  }
  return reader_.ok() || fault();
}

// Range rules of RFC 9000 section 19.3.1: no range reaches below packet number 0.
bool FrameReader::read_ack(Frame& out) {
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
  std::construct_at(&out.ack, AckFrame{largest, delay, first_range, range_count,
                                       reader_.bytes(measure.position() - reader_.position())});
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
  writer.u8(type_byte(FrameType::kAck));
  writer.varint(ranges[0].largest);
  writer.varint(ack_delay(delay));
  writer.varint(ranges.size() - 1);
  writer.varint(ranges[0].largest - ranges[0].smallest);
  for (std::size_t i = 1; i < ranges.size(); ++i) {
    writer.varint(ranges[i - 1].smallest - ranges[i].largest - 2);
    writer.varint(ranges[i].largest - ranges[i].smallest);
  }
  return true;
}

std::size_t disconnect_frame_size(std::size_t reason_size) {
  return 1 + 4 + varint_size(reason_size) + reason_size;
}

bool write_disconnect(ByteWriter& writer, std::uint32_t code, Bytes reason) {
  assert(reason.size() <= kMaxReasonSize);
  if (writer.remaining() < disconnect_frame_size(reason.size())) return false;
  writer.u8(type_byte(FrameType::kDisconnect));
  writer.u32(code);
  writer.varint(reason.size());
  writer.bytes(reason);
  return true;
}

std::size_t goaway_frame_size(const SocketAddress* address) {
  return 1 + 4 + 4 + 1 + (address != nullptr ? encoded_address_size(*address) : 0);
}

bool write_goaway(ByteWriter& writer, std::uint32_t reason, Duration deadline, const SocketAddress* address) {
  if (writer.remaining() < goaway_frame_size(address)) return false;
  writer.u8(type_byte(FrameType::kGoaway));
  writer.u32(reason);
  writer.u32(clamp_u32(std::chrono::duration_cast<std::chrono::milliseconds>(deadline).count()));
  writer.u8(address != nullptr ? 1 : 0);
  if (address != nullptr) encode_address(writer, *address);
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

}  // namespace hawser
