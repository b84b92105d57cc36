// The frames of an opened packet. What a reader gives is within the rules, and what a writer makes of it
// reads the same.
#include <array>
#include <vector>

#include "fuzz/fuzz_support.hpp"
#include "wire/address_codec.hpp"
#include "wire/frames.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a fuzz target
using fuzz::require;

std::vector<AckRange> ranges_of(const AckFrame& ack) {
  std::vector<AckRange> ranges;
  AckRangeReader reader(ack);
  AckRange range{};
  while (reader.next(range)) {
    require(range.smallest <= range.largest);
    require(ranges.empty() || range.largest + 2 <= ranges.back().smallest);
    ranges.push_back(range);
  }
  require(ranges.size() == ack.range_count + 1);
  require(ranges.front() == AckRange({ack.largest - ack.first_range, ack.largest}));
  return ranges;
}

// The messages of a RELIABLE frame, written anew with the shortest lengths.
bool write_reliable(ByteWriter& writer, const ReliableFrame& frame) {
  require(frame.count > 0 && frame.first + (frame.count - 1) <= kVarintMax);
  MessageReader sizes(frame.messages);
  Bytes data;
  std::size_t size = 0;
  std::uint32_t count = 0;
  for (; sizes.next(data); ++count) {
    require(data.size() <= kGreatestMessageSize);
    size += varint_size(data.size()) + data.size();
  }
  require(count == frame.count && size <= frame.messages.size());
  if (!write_reliable_header(writer, frame.channel, frame.first, size, true)) return false;
  MessageReader messages(frame.messages);
  while (messages.next(data)) {
    writer.varint(data.size());
    writer.bytes(data);
  }
  return writer.ok();
}

void check_part(std::uint32_t channel, std::uint64_t number, std::uint32_t total, std::uint32_t offset,
                Bytes data) {
  require(channel <= kMaxChannel && number <= kVarintMax && total <= kGreatestMessageSize);
  require(std::uint64_t{offset} + data.size() <= total);
}

bool write_fragment(ByteWriter& writer, const FragmentFrame& frame) {
  check_part(frame.channel, frame.number, frame.total, frame.offset, frame.data);
  require(!frame.data.empty());
  if (!write_fragment_header(writer, frame.channel, frame.number, frame.total, frame.offset,
                             frame.data.size(), true)) {
    return false;
  }
  writer.bytes(frame.data);
  return writer.ok();
}

// False for an ACK of more ranges than are ever written.
bool write(ByteWriter& writer, const Frame& frame) {
  switch (frame.type) {
    case FrameType::kPing:
      return write_ping(writer, frame.ping.sequence);
    case FrameType::kPong:
      return write_pong(writer, frame.pong.sequence, frame.pong.receive_time, frame.pong.delay);
    case FrameType::kAck: {
      const auto ranges = ranges_of(frame.ack);
      if (ranges.size() > kMaxAckRanges) return false;
      require(frame.ack.has_ecn || frame.ack.ecn == EcnCounts{});
      return frame.ack.has_ecn ? write_ack_ecn(writer, frame.ack.delay, ranges, frame.ack.ecn)
                               : write_ack(writer, frame.ack.delay, ranges);
    }
    case FrameType::kDisconnect:
      require(frame.disconnect.reason.size() <= kMaxReasonSize);
      return write_disconnect(writer, frame.disconnect);
    case FrameType::kGoaway:
      require(!frame.goaway.has_address || is_encodable(frame.goaway.address));
      return write_goaway(writer, frame.goaway);
    case FrameType::kNewId:
      require(frame.new_id.connection_id.length >= ConnectionId::kMin &&
              frame.new_id.connection_id.length <= ConnectionId::kMax);
      return write_new_id(writer, frame.new_id.sequence, frame.new_id.connection_id,
                          frame.new_id.reset_token);
    case FrameType::kRetireId:
      return write_retire_id(writer, frame.retire_id.sequence);
    case FrameType::kMessage:
      require(frame.message.channel <= kMaxChannel);
      return write_message(writer, frame.message.channel, frame.message.data, true,
                           frame.message.acknowledged);
    case FrameType::kSequenced: {
      const SequencedFrame& part = frame.sequenced;
      check_part(part.channel, part.number, part.total, part.offset, part.data);
      require(!part.data.empty() || part.total == 0);
      return write_sequenced(writer, part);
    }
    case FrameType::kReliable:
      require(frame.reliable.channel <= kMaxChannel);
      return write_reliable(writer, frame.reliable);
    case FrameType::kFragment:
      return write_fragment(writer, frame.fragment);
    case FrameType::kExpired:
      check_part(frame.expired.channel, frame.expired.number, frame.expired.length, 0, {});
      return write_expired(writer, frame.expired);
    case FrameType::kCredit:
      return write_credit(writer, frame.credit.limit);
    case FrameType::kChannelCredit:
      require(frame.channel_credit.channel <= kMaxChannel);
      return write_channel_credit(writer, frame.channel_credit);
    case FrameType::kPathChallenge:
      return write_path_challenge(writer, frame.path.data);
    case FrameType::kPathResponse:
      return write_path_response(writer, frame.path.data);
    case FrameType::kKeyUpdate:
      return write_key_update(writer, frame.key_update, false);
    case FrameType::kKeyUpdateReply:
      require(frame.key_update.secret_id == SecretId{});
      return write_key_update(writer, frame.key_update, true);
    case FrameType::kKeyUpdateRefused:
      return write_key_update_refused(writer, frame.key_update_refused);
    case FrameType::kMtuProbe:
      return write_mtu_probe(writer);
    case FrameType::kPadding:
      break;
  }
  std::abort();  // a reader never gives padding, nor a type that is not listed
}

// Whether two frames of one type say the same, as far as data and numbers of messages go: of everything else
// what is written tells.
bool same_content(const Frame& a, const Frame& b) {
  switch (a.type) {
    case FrameType::kMessage:
      return a.message.channel == b.message.channel && a.message.acknowledged == b.message.acknowledged &&
             fuzz::same(a.message.data, b.message.data);
    case FrameType::kSequenced:
      return a.sequenced.channel == b.sequenced.channel && a.sequenced.number == b.sequenced.number &&
             a.sequenced.total == b.sequenced.total && a.sequenced.offset == b.sequenced.offset &&
             fuzz::same(a.sequenced.data, b.sequenced.data);
    case FrameType::kFragment:
      return a.fragment.channel == b.fragment.channel && a.fragment.number == b.fragment.number &&
             a.fragment.total == b.fragment.total && a.fragment.offset == b.fragment.offset &&
             fuzz::same(a.fragment.data, b.fragment.data);
    case FrameType::kReliable: {
      MessageReader left(a.reliable.messages);
      MessageReader right(b.reliable.messages);
      Bytes message;
      Bytes other;
      while (left.next(message)) {
        if (!right.next(other) || !fuzz::same(message, other)) return false;
      }
      return !right.next(other) && a.reliable.channel == b.reliable.channel &&
             a.reliable.first == b.reliable.first && a.reliable.count == b.reliable.count;
    }
    default:
      return true;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes payload = fuzz::input(data, size);
  FrameReader reader(payload);
  Frame frame;
  // The longest frame is a message of the whole input with channel and length.
  std::vector<std::byte> first(size + 64);
  std::vector<std::byte> second(size + 64);
  while (reader.next(frame)) {
    ByteWriter writer(first);
    if (!write(writer, frame)) continue;
    FrameReader again(writer.written());
    Frame copy;
    require(again.next(copy) && copy.type == frame.type && same_content(frame, copy));
    ByteWriter rewriter(second);
    require(write(rewriter, copy) && fuzz::same(rewriter.written(), writer.written()));
    require(!again.next(copy) && !again.failed());
  }
  require(reader.failed() || size > 0);
  require(!reader.next(frame));
  return 0;
}
