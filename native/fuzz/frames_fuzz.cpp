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

// False for an ACK of more ranges than are ever written.
bool write(ByteWriter& writer, const Frame& frame) {
  switch (frame.type) {
    case FrameType::kPing:
      return write_ping(writer, frame.ping.sequence);
    case FrameType::kPong:
      return write_pong(writer, frame.pong.sequence, frame.pong.receive_time, frame.pong.delay);
    case FrameType::kAck: {
      const auto ranges = ranges_of(frame.ack);
      return ranges.size() <= kMaxAckRanges && write_ack(writer, frame.ack.delay, ranges);
    }
    case FrameType::kDisconnect:
      require(frame.disconnect.reason.size() <= kMaxReasonSize);
      return write_disconnect(writer, frame.disconnect.code, frame.disconnect.reason);
    case FrameType::kGoaway:
      require(!frame.goaway.has_address || is_encodable(frame.goaway.address));
      return write_goaway(writer, frame.goaway.reason, frame.goaway.deadline,
                          frame.goaway.has_address ? &frame.goaway.address : nullptr);
    case FrameType::kNewId:
      require(frame.new_id.connection_id.length >= ConnectionId::kMin &&
              frame.new_id.connection_id.length <= ConnectionId::kMax);
      return write_new_id(writer, frame.new_id.sequence, frame.new_id.connection_id,
                          frame.new_id.reset_token);
    case FrameType::kRetireId:
      return write_retire_id(writer, frame.retire_id.sequence);
    case FrameType::kMessage:
      require(frame.message.channel <= kMaxChannel);
      return write_message(writer, frame.message.channel, frame.message.data);
    case FrameType::kPadding:
      break;
  }
  std::abort();  // a reader never gives padding, nor a type that is not listed
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
    require(again.next(copy) && copy.type == frame.type);
    ByteWriter rewriter(second);
    require(write(rewriter, copy) && fuzz::same(rewriter.written(), writer.written()));
    require(!again.next(copy) && !again.failed());
  }
  require(reader.failed() || size > 0);
  require(!reader.next(frame));
  return 0;
}
