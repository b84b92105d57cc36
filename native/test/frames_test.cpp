#include "wire/frames.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "allocation_counter.hpp"
#include "wire_support.hpp"

namespace hawser {
namespace {

using test::Buffer;
using test::from_hex;
using test::random_bytes;
using test::to_hex;

struct Outcome {
  std::size_t frames = 0;
  bool failed = false;
};

Outcome read_all(Bytes payload) {
  FrameReader reader(payload);
  Frame frame;
  Outcome outcome;
  while (reader.next(frame)) ++outcome.frames;
  outcome.failed = reader.failed();
  return outcome;
}

bool refused(std::string_view hex) { return read_all(from_hex(hex)).failed; }

// Ranges as a receiver could hold them: highest first, a gap of at least one number between neighbours.
std::vector<AckRange> random_ranges(RandomSource& random, std::size_t count) {
  std::vector<AckRange> ranges;
  std::uint64_t next = random.below(3);
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint64_t smallest = next;
    const std::uint64_t largest = smallest + (random.below(3) == 0 ? random.below(100'000) : random.below(3));
    ranges.insert(ranges.begin(), AckRange{smallest, largest});
    next = largest + 2 + (random.below(3) == 0 ? random.below(100'000) : random.below(3));
  }
  return ranges;
}

// Appends a random frame of any kind and its description.
void append_random_frame(RandomSource& random, ByteWriter& writer, std::vector<std::string>& expected) {
  using std::to_string;
  switch (random.below(9)) {
    case 0:
      REQUIRE(write_padding(writer, 1 + random.below(5)));
      break;
    case 1: {
      const auto sequence = static_cast<std::uint16_t>(random.below(65536));
      REQUIRE(write_ping(writer, sequence));
      expected.push_back("ping " + to_string(sequence));
      break;
    }
    case 2: {
      const auto sequence = static_cast<std::uint16_t>(random.below(65536));
      const std::uint64_t time = random.u64();
      const std::uint32_t delay = random.below(~0U);
      REQUIRE(write_pong(writer, sequence, time, Duration(delay)));
      expected.push_back("pong " + to_string(sequence) + " " + to_string(time) + " " + to_string(delay));
      break;
    }
    case 3: {
      const auto ranges = random_ranges(random, 1 + random.below(kMaxAckRanges));
      const std::uint32_t delay = random.below(1'000'000);
      REQUIRE(write_ack(writer, Duration(delay), ranges));
      std::string text = "ack " + to_string(delay);
      for (const AckRange& range : ranges)
        text += " " + to_string(range.smallest) + "-" + to_string(range.largest);
      expected.push_back(text);
      break;
    }
    case 4: {
      const Buffer reason = random_bytes(random, random.below(kMaxReasonSize + 1));
      const std::uint32_t code = random.below(~0U);
      REQUIRE(write_disconnect(writer, code, reason));
      expected.push_back("disconnect " + to_string(code) + " " + to_hex(reason));
      break;
    }
    case 5: {
      const SocketAddress address = test::random_address(random);
      const bool with_address = random.below(2) == 0;
      const std::uint32_t reason = random.below(~0U);
      const std::uint32_t deadline = random.below(~0U);
      REQUIRE(write_goaway(writer, reason, std::chrono::milliseconds(deadline),
                           with_address ? &address : nullptr));
      expected.push_back("goaway " + to_string(reason) + " " + to_string(deadline) + " " +
                         (with_address ? to_hex(address.to_bytes()) : ""));
      break;
    }
    case 6: {
      const ConnectionId id = test::random_connection_id(random);
      const auto token = test::random_array<16>(random);
      const std::uint64_t sequence = random.u64() >> (2 + random.below(62));
      REQUIRE(write_new_id(writer, sequence, id, token));
      expected.push_back("new " + to_string(sequence) + " " + to_hex(id.view()) + " " + to_hex(token));
      break;
    }
    case 7: {
      const std::uint64_t sequence = random.u64() >> (2 + random.below(62));
      REQUIRE(write_retire_id(writer, sequence));
      expected.push_back("retire " + to_string(sequence));
      break;
    }
    default: {
      const std::uint32_t channel = random.below(2) == 0 ? 0 : random.below(kMaxChannel + 1);
      const Buffer data = random_bytes(random, random.below(200));
      REQUIRE(write_message(writer, channel, data));
      expected.push_back("message " + to_string(channel) + " " + to_hex(data));
      break;
    }
  }
}

std::string describe(const Frame& frame) {
  using std::to_string;
  switch (frame.type) {
    case FrameType::kPing:
      return "ping " + to_string(frame.ping.sequence);
    case FrameType::kPong:
      return "pong " + to_string(frame.pong.sequence) + " " + to_string(frame.pong.receive_time) + " " +
             to_string(frame.pong.delay.count());
    case FrameType::kAck: {
      std::string text = "ack " + to_string(frame.ack.delay.count());
      AckRangeReader ranges(frame.ack);
      AckRange range{};
      while (ranges.next(range)) text += " " + to_string(range.smallest) + "-" + to_string(range.largest);
      return text;
    }
    case FrameType::kDisconnect:
      return "disconnect " + to_string(frame.disconnect.code) + " " + to_hex(frame.disconnect.reason);
    case FrameType::kGoaway:
      return "goaway " + to_string(frame.goaway.reason) + " " +
             to_string(frame.goaway.deadline.count() / 1000) + " " +
             (frame.goaway.has_address ? to_hex(frame.goaway.address.to_bytes()) : "");
    case FrameType::kNewId:
      return "new " + to_string(frame.new_id.sequence) + " " + to_hex(frame.new_id.connection_id.view()) +
             " " + to_hex(frame.new_id.reset_token);
    case FrameType::kRetireId:
      return "retire " + to_string(frame.retire_id.sequence);
    case FrameType::kMessage:
      return "message " + to_string(frame.message.channel) + " " + to_hex(frame.message.data);
    case FrameType::kPadding:
      break;
  }
  return "padding";
}

TEST_CASE("frames: the bytes of each kind") {
  std::array<std::byte, 1200> storage{};
  const auto bytes = [&storage](auto&& write) {
    ByteWriter writer(storage);
    REQUIRE(write(writer));
    return to_hex(writer.written());
  };
  CHECK(bytes([](ByteWriter& w) { return write_padding(w, 3); }) == "000000");
  CHECK(bytes([](ByteWriter& w) { return write_ping(w, 0x1234); }) == "013412");
  CHECK(
      bytes([](ByteWriter& w) { return write_pong(w, 0x1234, 0x0102030405060708U, Duration(0x0a0b0c0d)); }) ==
      "023412"
      "0807060504030201"
      "0d0c0b0a");
  const std::array ranges = {AckRange{90, 100}, AckRange{70, 80}, AckRange{5, 5}};
  // Largest 100, delay 25, two more, ten below 100; gap 90 - 80 - 2, ten more; gap 70 - 5 - 2, alone.
  CHECK(bytes([&](ByteWriter& w) { return write_ack(w, Duration(25), ranges); }) ==
        "03"
        "4064"
        "19"
        "02"
        "0a"
        "08"
        "0a"
        "3f"
        "00");
  CHECK(bytes([](ByteWriter& w) { return write_disconnect(w, 0x10000, bytes_of("bye")); }) ==
        "05"
        "00000100"
        "03"
        "627965");
  CHECK(bytes([](ByteWriter& w) { return write_goaway(w, 3, std::chrono::seconds(5), nullptr); }) ==
        "06"
        "03000000"
        "88130000"
        "00");
  const SocketAddress address = SocketAddress::ipv4({192, 0, 2, 1}, 40000);
  CHECK(bytes([&](ByteWriter& w) { return write_goaway(w, 3, std::chrono::seconds(5), &address); }) ==
        "06"
        "03000000"
        "88130000"
        "01"
        "01c0000201409c");
  const auto id = ConnectionId::from(from_hex("a1a2a3a4")).value();
  CHECK(bytes([&](ByteWriter& w) { return write_new_id(w, 2, id, test::counting<16>(0)); }) ==
        "07"
        "02"
        "04"
        "a1a2a3a4"
        "000102030405060708090a0b0c0d0e0f");
  CHECK(bytes([](ByteWriter& w) { return write_retire_id(w, 300); }) == "08412c");
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 0, bytes_of("hi"), false); }) == "106869");
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 1023, bytes_of("hi"), false); }) == "1143ff6869");
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 0, bytes_of("hi")); }) == "12026869");
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 1, bytes_of("")); }) == "130100");
}

TEST_CASE("frames: whatever is written is read, in order") {
  SeededRandom random(50);
  for (int round = 0; round < 500; ++round) {
    Buffer storage(20'000);
    ByteWriter writer(storage);
    std::vector<std::string> expected;
    const std::uint32_t count = 1 + random.below(12);
    for (std::uint32_t i = 0; i < count; ++i) append_random_frame(random, writer, expected);
    if (random.below(2) == 0) {
      const Buffer last = random_bytes(random, random.below(100));
      REQUIRE(write_message(writer, 7, last, false));
      expected.push_back("message 7 " + to_hex(last));
    }
    FrameReader reader(writer.written());
    Frame frame;
    std::vector<std::string> found;
    while (reader.next(frame)) found.push_back(describe(frame));
    CHECK_FALSE(reader.failed());
    CHECK(found == expected);
  }
}

TEST_CASE("frames: a writer without room writes nothing") {
  SeededRandom random(51);
  const auto check = [](std::size_t size, auto&& write) {
    std::array<std::byte, 1200> storage{};
    for (std::size_t room = 0; room < size; ++room) {
      ByteWriter writer(MutableBytes(storage).first(room));
      CHECK_FALSE(write(writer));
      CHECK(writer.ok());
      CHECK(writer.position() == 0);
    }
    ByteWriter writer(MutableBytes(storage).first(size));
    CHECK(write(writer));
    CHECK(writer.remaining() == 0);
  };
  check(4, [](ByteWriter& w) { return write_padding(w, 4); });
  check(kPingFrameSize, [](ByteWriter& w) { return write_ping(w, 1); });
  check(kPongFrameSize, [](ByteWriter& w) { return write_pong(w, 1, 2, Duration(3)); });
  const auto ranges = random_ranges(random, kMaxAckRanges);
  check(ack_frame_size(Duration(70'000), ranges),
        [&](ByteWriter& w) { return write_ack(w, Duration(70'000), ranges); });
  const Buffer reason = random_bytes(random, 256);
  check(disconnect_frame_size(256), [&](ByteWriter& w) { return write_disconnect(w, 1, reason); });
  const SocketAddress address = test::random_address(random);
  check(goaway_frame_size(nullptr), [](ByteWriter& w) { return write_goaway(w, 1, Duration(2), nullptr); });
  check(goaway_frame_size(&address),
        [&](ByteWriter& w) { return write_goaway(w, 1, Duration(2), &address); });
  const ConnectionId id = test::random_connection_id(random);
  check(new_id_frame_size(70, id), [&](ByteWriter& w) { return write_new_id(w, 70, id, ResetToken{}); });
  check(retire_id_frame_size(kVarintMax), [](ByteWriter& w) { return write_retire_id(w, kVarintMax); });
  for (const std::uint32_t channel : {0U, 1U, 1023U}) {
    for (const bool with_length : {false, true}) {
      check(message_frame_size(channel, 256, with_length),
            [&](ByteWriter& w) { return write_message(w, channel, reason, with_length); });
    }
  }
}

TEST_CASE("frames: times beyond their field are cut, negative ones are zero") {
  std::array<std::byte, 64> storage{};
  ByteWriter writer(storage);
  const std::array ranges = {AckRange{0, 0}};
  REQUIRE(write_pong(writer, 0, 0, Duration::max()));
  REQUIRE(write_pong(writer, 0, 0, Duration(-1)));
  REQUIRE(write_ack(writer, Duration(-5), ranges));
  REQUIRE(write_ack(writer, Duration::max(), ranges));
  REQUIRE(write_goaway(writer, 0, Duration::max(), nullptr));
  FrameReader reader(writer.written());
  Frame frame;
  REQUIRE(reader.next(frame));
  CHECK(frame.pong.delay == Duration(0xffffffff));
  REQUIRE(reader.next(frame));
  CHECK(frame.pong.delay == Duration(0));
  REQUIRE(reader.next(frame));
  CHECK(frame.ack.delay == Duration(0));
  REQUIRE(reader.next(frame));
  CHECK(frame.ack.delay == Duration(kVarintMax));
  REQUIRE(reader.next(frame));
  CHECK(frame.goaway.deadline == std::chrono::milliseconds(0xffffffff));
  CHECK_FALSE(reader.next(frame));
  CHECK_FALSE(reader.failed());
}

TEST_CASE("frames: a packet without a frame is a fault, one of padding only is not") {
  CHECK(read_all({}).failed);
  const Buffer padding(1000);
  CHECK_FALSE(read_all(padding).failed);
  CHECK(read_all(padding).frames == 0);
}

TEST_CASE("frames: types kept for later and unknown ones are faults") {
  for (unsigned type = 0; type < 256; ++type) {
    const bool known = type <= 0x03 || (type >= 0x05 && type <= 0x08) || (type >= 0x10 && type <= 0x13);
    if (known) continue;
    // Room enough for any frame's fields.
    Buffer payload(64);
    payload[0] = static_cast<std::byte>(type);
    CHECK(read_all(payload).failed);
    CHECK(read_all(payload).frames == 0);
  }
}

TEST_CASE("frames: no truncation of a frame with an end of its own is taken for one") {
  const std::array ranges = {AckRange{90, 100}, AckRange{70, 80}};
  const auto id = ConnectionId::from(from_hex("a1a2a3a4a5")).value();
  const SocketAddress address = SocketAddress::ipv6({0x20, 1, 2, 3}, 40000);
  std::array<std::byte, 400> storage{};
  const auto check = [&storage](auto&& write) {
    ByteWriter writer(storage);
    REQUIRE(write(writer));
    const Bytes whole = writer.written();
    CHECK(read_all(whole).frames == 1);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      CHECK(read_all(whole.first(size)).failed);
      CHECK(read_all(whole.first(size)).frames == 0);
    }
  };
  check([](ByteWriter& w) { return write_ping(w, 1); });
  check([](ByteWriter& w) { return write_pong(w, 1, 2, Duration(3)); });
  check([&](ByteWriter& w) { return write_ack(w, Duration(1000), ranges); });
  check([](ByteWriter& w) { return write_disconnect(w, 1, bytes_of("reason")); });
  check([&](ByteWriter& w) { return write_goaway(w, 1, Duration(2), &address); });
  check([&](ByteWriter& w) { return write_new_id(w, 1000, id, ResetToken{}); });
  check([](ByteWriter& w) { return write_retire_id(w, 1000); });
  check([](ByteWriter& w) { return write_message(w, 1000, bytes_of("data")); });
  check([](ByteWriter& w) { return write_message(w, 0, bytes_of("data")); });
}

TEST_CASE("frames: values that no frame may have") {
  // A channel above 1,023, in its shortest and a longer form.
  CHECK_FALSE(refused("1143ff00"));
  CHECK(refused("11440000"));
  CHECK(refused("13440000"));
  CHECK(refused("11c00000000000040000"));
  // A message longer than the packet.
  CHECK(refused("120361"));
  CHECK(refused("12ffffffffffffffff61"));
  // A reason of 257 bytes, all present.
  Buffer reason(300);
  CHECK(
      refused("0500000000"
              "4101" +
              to_hex(Bytes(reason).first(257))));
  CHECK_FALSE(
      refused("0500000000"
              "4100" +
              to_hex(Bytes(reason).first(256))));
  // GOAWAY: neither 0 nor 1; an address that is none.
  CHECK(
      refused("06"
              "00000000"
              "00000000"
              "02"));
  CHECK(
      refused("06"
              "00000000"
              "00000000"
              "01"
              "01c00002010000"));
  CHECK(
      refused("06"
              "00000000"
              "00000000"
              "01"
              "0100000000409c"));
  CHECK(
      refused("06"
              "00000000"
              "00000000"
              "01"
              "03c0000201409c"));
  // Ids of 3 and 17 bytes.
  CHECK(
      refused("07"
              "01"
              "03"
              "a1a2a3"
              "00000000000000000000000000000000"));
  CHECK(
      refused("07"
              "01"
              "11"
              "a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1"
              "00000000000000000000000000000000"));
  // ACK ranges below packet number 0.
  CHECK_FALSE(
      refused("03"
              "05"
              "00"
              "00"
              "05"));
  CHECK(
      refused("03"
              "05"
              "00"
              "00"
              "06"));
  CHECK_FALSE(
      refused("03"
              "05"
              "00"
              "01"
              "00"
              "03"
              "00"));
  CHECK(
      refused("03"
              "05"
              "00"
              "01"
              "00"
              "04"
              "00"));
  CHECK(
      refused("03"
              "05"
              "00"
              "01"
              "00"
              "03"
              "01"));
  CHECK(
      refused("03"
              "05"
              "00"
              "01"
              "04"
              "00"
              "00"));
  CHECK(
      refused("03"
              "05"
              "00"
              "01"
              "00"
              "ffffffffffffffff"
              "00"));
  CHECK(
      refused("03"
              "05"
              "00"
              "01"
              "00"
              "00"
              "ffffffffffffffff"));
  // A count of ranges that the packet cannot hold.
  CHECK(
      refused("03"
              "ffffffffffffffff"
              "00"
              "ffffffffffffffff"
              "00"
              "00"
              "00"));
}

TEST_CASE("frames: a fault leaves the frames before it, and gives none after") {
  const Buffer payload = from_hex(
      "12016112016244"
      "120163");
  FrameReader reader(payload);
  Frame frame;
  CHECK(reader.next(frame));
  CHECK(reader.next(frame));
  CHECK_FALSE(reader.next(frame));
  CHECK(reader.failed());
  CHECK_FALSE(reader.next(frame));
}

TEST_CASE("frames: an ACK may list more ranges than one is written with") {
  Buffer storage(2000);
  ByteWriter writer(storage);
  writer.u8(0x03);
  writer.varint(1000);
  writer.varint(0);
  writer.varint(400);
  writer.varint(0);
  writer.zeros(800);
  FrameReader reader(writer.written());
  Frame frame;
  REQUIRE(reader.next(frame));
  AckRangeReader ranges(frame.ack);
  AckRange range{};
  std::uint64_t expected = 1000;
  std::size_t count = 0;
  while (ranges.next(range)) {
    CHECK(range == AckRange{expected, expected});
    expected -= 2;
    ++count;
  }
  CHECK(count == 401);
}

TEST_CASE("frames: random bytes never lead a reader outside the packet, nor messages beyond what was sent") {
  SeededRandom random(52);
  for (int round = 0; round < 20'000; ++round) {
    Buffer payload = random_bytes(random, random.below(80));
    // Types that exist are more worth reading than those that do not.
    for (std::byte& value : payload) {
      if (random.below(4) == 0) value &= std::byte{0x13};
    }
    FrameReader reader(payload);
    Frame frame;
    std::size_t message_bytes = 0;
    while (reader.next(frame)) {
      if (frame.type != FrameType::kMessage) continue;
      CHECK(frame.message.channel <= kMaxChannel);
      message_bytes += frame.message.data.size();
    }
    CHECK(message_bytes <= payload.size());
  }
}

TEST_CASE("frames: writing and reading allocate nothing") {
  std::array<std::byte, 1200> storage{};
  const std::array ranges = {AckRange{90, 100}, AckRange{70, 80}};
  const AllocationCount allocations;
  ByteWriter writer(storage);
  bool wrote = write_ping(writer, 1) && write_ack(writer, Duration(1), ranges);
  while (write_message(writer, 0, bytes_of("0123456789"))) wrote = wrote && writer.ok();
  FrameReader reader(writer.written());
  Frame frame;
  std::size_t messages = 0;
  while (reader.next(frame)) messages += frame.type == FrameType::kMessage ? 1 : 0;
  const std::uint64_t count = allocations.count();
  CHECK(wrote);
  CHECK(messages == (1200 - 3 - 8) / 12);
  CHECK(count == 0);
}

}  // namespace
}  // namespace hawser
