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

std::uint32_t random_channel(RandomSource& random) {
  return random.below(2) == 0 ? random.below(64) : random.below(kMaxChannel + 1);
}

// Any number a varint holds, of any size.
std::uint64_t random_number(RandomSource& random) { return random.u64() >> (2 + random.below(62)); }

// Records of a RELIABLE frame, and their contents as describe() writes them.
struct Records {
  Buffer bytes;
  std::uint32_t count = 0;
  std::string text;
};

Records random_records(RandomSource& random) {
  Records records;
  records.count = 1 + random.below(8);
  for (std::uint32_t i = 0; i < records.count; ++i) {
    const Buffer data = random_bytes(random, random.below(random.below(4) == 0 ? 200 : 3));
    std::array<std::byte, 8> storage{};
    ByteWriter length(storage);
    length.varint(data.size());
    const Bytes encoded = length.written();
    records.bytes.insert(records.bytes.end(), encoded.begin(), encoded.end());
    records.bytes.insert(records.bytes.end(), data.begin(), data.end());
    records.text += " [" + to_hex(data) + "]";
  }
  return records;
}

bool write_reliable(ByteWriter& writer, std::uint32_t channel, std::uint64_t first, Bytes messages,
                    bool with_length) {
  if (!write_reliable_header(writer, channel, first, messages.size(), with_length)) return false;
  writer.bytes(messages);
  return true;
}

bool write_fragment(ByteWriter& writer, std::uint32_t channel, std::uint64_t number, std::uint32_t total,
                    std::uint32_t offset, Bytes data, bool with_length) {
  if (!write_fragment_header(writer, channel, number, total, offset, data.size(), with_length)) return false;
  writer.bytes(data);
  return true;
}

// Appends a SEQUENCED, RELIABLE or FRAGMENT frame and its description.
void append_random_data(RandomSource& random, ByteWriter& writer, bool with_length,
                        std::vector<std::string>& expected) {
  using std::to_string;
  const std::uint32_t channel = random_channel(random);
  const std::uint64_t number = random_number(random);
  const std::string begin = " " + to_string(channel) + " " + to_string(number);
  if (random.below(3) == 0) {
    const Records records = random_records(random);
    const std::uint64_t first = number - std::min<std::uint64_t>(number, records.count);
    REQUIRE(write_reliable(writer, channel, first, records.bytes, with_length));
    expected.push_back("reliable " + to_string(channel) + " " + to_string(first) + " " +
                       to_string(records.count) + records.text);
    return;
  }
  const Buffer data = random_bytes(random, 1 + random.below(200));
  const auto size = static_cast<std::uint32_t>(data.size());
  const std::uint32_t rest =
      random.below(3) == 0 ? random.below(100) : random.below(kGreatestMessageSize - size + 1);
  const std::uint32_t offset = random.below(3) == 0 ? 0 : random.below(rest + 1);
  const std::string part =
      begin + " " + to_string(rest + size) + " " + to_string(offset) + " " + to_hex(data);
  if (random.below(2) == 0) {
    REQUIRE(write_fragment(writer, channel, number, rest + size, offset, data, with_length));
    expected.push_back("fragment" + part);
  } else if (random.below(2) == 0) {
    REQUIRE(write_sequenced(writer, {channel, number, rest + size, offset, data}, with_length));
    expected.push_back("sequenced" + part);
  } else {
    const Bytes whole = Bytes(data).first(random.below(size + 1));
    REQUIRE(write_sequenced(writer, {channel, number, static_cast<std::uint32_t>(whole.size()), 0, whole},
                            with_length));
    expected.push_back("sequenced" + begin + " " + to_string(whole.size()) + " 0 " + to_hex(whole));
  }
}

// Appends a frame of key update, path, credit or expiry and its description.
void append_random_small(RandomSource& random, ByteWriter& writer, std::vector<std::string>& expected) {
  using std::to_string;
  switch (random.below(7)) {
    case 0: {
      const KeyUpdateFrame frame{random.below(~0U), random.below(~0U), test::random_array<32>(random),
                                 test::random_array<16>(random), test::random_array<16>(random)};
      const bool reply = random.below(2) == 0;
      REQUIRE(write_key_update(writer, frame, reply));
      expected.push_back("update " + to_string(reply) + " " + to_string(frame.epoch) + " " +
                         to_string(reply ? 0 : frame.sequence) + " " + to_hex(frame.share) + " " +
                         to_hex(reply ? SecretId{} : frame.secret_id) + " " + to_hex(frame.mac));
      break;
    }
    case 1: {
      const KeyUpdateRefusedFrame frame{random.below(~0U), static_cast<std::uint8_t>(random.below(256))};
      REQUIRE(write_key_update_refused(writer, frame));
      expected.push_back("refused " + to_string(frame.sequence) + " " + to_string(frame.reason));
      break;
    }
    case 2: {
      const PathData data = test::random_array<8>(random);
      const bool response = random.below(2) == 0;
      REQUIRE((response ? write_path_response(writer, data) : write_path_challenge(writer, data)));
      expected.push_back("path " + to_string(response) + " " + to_hex(data));
      break;
    }
    case 3: {
      const std::uint64_t limit = random_number(random);
      REQUIRE(write_credit(writer, limit));
      expected.push_back("credit " + to_string(limit));
      break;
    }
    case 4: {
      const ChannelCreditFrame frame{random_channel(random), random_number(random), random_number(random)};
      REQUIRE(write_channel_credit(writer, frame));
      expected.push_back("channel credit " + to_string(frame.channel) + " " + to_string(frame.limit) + " " +
                         to_string(frame.ahead));
      break;
    }
    case 5: {
      const ExpiredFrame frame{random_channel(random), random_number(random),
                               random.below(kGreatestMessageSize + 1)};
      REQUIRE(write_expired(writer, frame));
      expected.push_back("expired " + to_string(frame.channel) + " " + to_string(frame.number) + " " +
                         to_string(frame.length));
      break;
    }
    default:
      REQUIRE(write_mtu_probe(writer));
      expected.push_back("probe");
      break;
  }
}

// Appends a random frame of any kind and its description.
void append_random_frame(RandomSource& random, ByteWriter& writer, std::vector<std::string>& expected) {
  using std::to_string;
  switch (random.below(11)) {
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
      std::string text = "ack " + to_string(delay);
      for (const AckRange& range : ranges)
        text += " " + to_string(range.smallest) + "-" + to_string(range.largest);
      if (random.below(2) == 0) {
        const EcnCounts ecn{random_number(random), random_number(random), random_number(random)};
        REQUIRE(write_ack_ecn(writer, Duration(delay), ranges, ecn));
        text += " ecn " + to_string(ecn.ect0) + " " + to_string(ecn.ect1) + " " + to_string(ecn.ce);
      } else {
        REQUIRE(write_ack(writer, Duration(delay), ranges));
      }
      expected.push_back(text);
      break;
    }
    case 4: {
      const Buffer reason = random_bytes(random, random.below(kMaxReasonSize + 1));
      const std::uint32_t code = random.below(~0U);
      const std::uint32_t spread = random.below(~0U);
      REQUIRE(write_disconnect(writer, {code, std::chrono::milliseconds(spread), reason}));
      expected.push_back("disconnect " + to_string(code) + " " + to_string(spread) + " " + to_hex(reason));
      break;
    }
    case 5: {
      const SocketAddress address = test::random_address(random);
      const bool with_address = random.below(2) == 0;
      const std::uint32_t reason = random.below(~0U);
      const std::uint32_t deadline = random.below(~0U);
      const std::uint32_t spread = random.below(~0U);
      REQUIRE(write_goaway(writer, {reason, std::chrono::milliseconds(deadline),
                                    std::chrono::milliseconds(spread), with_address, address}));
      expected.push_back("goaway " + to_string(reason) + " " + to_string(deadline) + " " + to_string(spread) +
                         " " + (with_address ? to_hex(address.to_bytes()) : ""));
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
    case 8:
      append_random_data(random, writer, true, expected);
      break;
    case 9:
      append_random_small(random, writer, expected);
      break;
    default: {
      const std::uint32_t channel = random.below(2) == 0 ? 0 : random.below(kMaxChannel + 1);
      const Buffer data = random_bytes(random, random.below(200));
      const bool acknowledged = random.below(2) == 0;
      REQUIRE(write_message(writer, channel, data, true, acknowledged));
      expected.push_back((acknowledged ? "acknowledged message " : "message ") + to_string(channel) + " " +
                         to_hex(data));
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
      const EcnCounts& ecn = frame.ack.ecn;
      if (frame.ack.has_ecn)
        text += " ecn " + to_string(ecn.ect0) + " " + to_string(ecn.ect1) + " " + to_string(ecn.ce);
      return text;
    }
    case FrameType::kDisconnect:
      return "disconnect " + to_string(frame.disconnect.code) + " " +
             to_string(frame.disconnect.reconnect_spread.count() / 1000) + " " +
             to_hex(frame.disconnect.reason);
    case FrameType::kGoaway:
      return "goaway " + to_string(frame.goaway.reason) + " " +
             to_string(frame.goaway.deadline.count() / 1000) + " " +
             to_string(frame.goaway.reconnect_spread.count() / 1000) + " " +
             (frame.goaway.has_address ? to_hex(frame.goaway.address.to_bytes()) : "");
    case FrameType::kNewId:
      return "new " + to_string(frame.new_id.sequence) + " " + to_hex(frame.new_id.connection_id.view()) +
             " " + to_hex(frame.new_id.reset_token);
    case FrameType::kRetireId:
      return "retire " + to_string(frame.retire_id.sequence);
    case FrameType::kMessage:
      return (frame.message.acknowledged ? "acknowledged message " : "message ") +
             to_string(frame.message.channel) + " " + to_hex(frame.message.data);
    case FrameType::kSequenced: {
      const SequencedFrame& part = frame.sequenced;
      return "sequenced " + to_string(part.channel) + " " + to_string(part.number) + " " +
             to_string(part.total) + " " + to_string(part.offset) + " " + to_hex(part.data);
    }
    case FrameType::kReliable: {
      std::string text = "reliable " + to_string(frame.reliable.channel) + " " +
                         to_string(frame.reliable.first) + " " + to_string(frame.reliable.count);
      MessageReader messages(frame.reliable.messages);
      Bytes data;
      while (messages.next(data)) text += " [" + to_hex(data) + "]";
      return text;
    }
    case FrameType::kFragment: {
      const FragmentFrame& part = frame.fragment;
      return "fragment " + to_string(part.channel) + " " + to_string(part.number) + " " +
             to_string(part.total) + " " + to_string(part.offset) + " " + to_hex(part.data);
    }
    case FrameType::kExpired:
      return "expired " + to_string(frame.expired.channel) + " " + to_string(frame.expired.number) + " " +
             to_string(frame.expired.length);
    case FrameType::kCredit:
      return "credit " + to_string(frame.credit.limit);
    case FrameType::kChannelCredit:
      return "channel credit " + to_string(frame.channel_credit.channel) + " " +
             to_string(frame.channel_credit.limit) + " " + to_string(frame.channel_credit.ahead);
    case FrameType::kPathChallenge:
    case FrameType::kPathResponse:
      return "path " + to_string(frame.type == FrameType::kPathResponse) + " " + to_hex(frame.path.data);
    case FrameType::kKeyUpdate:
    case FrameType::kKeyUpdateReply: {
      const KeyUpdateFrame& update = frame.key_update;
      return "update " + to_string(frame.type == FrameType::kKeyUpdateReply) + " " + to_string(update.epoch) +
             " " + to_string(update.sequence) + " " + to_hex(update.share) + " " + to_hex(update.secret_id) +
             " " + to_hex(update.mac);
    }
    case FrameType::kKeyUpdateRefused:
      return "refused " + to_string(frame.key_update_refused.sequence) + " " +
             to_string(frame.key_update_refused.reason);
    case FrameType::kMtuProbe:
      return "probe";
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
  CHECK(bytes([](ByteWriter& w) {
          return write_disconnect(w, {0x10000, std::chrono::milliseconds(258), bytes_of("bye")});
        }) ==
        "05"
        "00000100"
        "02010000"
        "03"
        "627965");
  GoawayFrame goaway{3, std::chrono::seconds(5), std::chrono::milliseconds(258), false, {}};
  CHECK(bytes([&](ByteWriter& w) { return write_goaway(w, goaway); }) ==
        "06"
        "03000000"
        "88130000"
        "02010000"
        "00");
  goaway.has_address = true;
  goaway.address = SocketAddress::ipv4({192, 0, 2, 1}, 40000);
  CHECK(bytes([&](ByteWriter& w) { return write_goaway(w, goaway); }) ==
        "06"
        "03000000"
        "88130000"
        "02010000"
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
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 0, bytes_of("hi"), false, true); }) == "306869");
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 1023, bytes_of("hi"), false, true); }) ==
        "3143ff6869");
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 0, bytes_of("hi"), true, true); }) == "32026869");
  CHECK(bytes([](ByteWriter& w) { return write_message(w, 1, bytes_of(""), true, true); }) == "330100");
  CHECK(bytes([&](ByteWriter& w) { return write_ack_ecn(w, Duration(25), ranges, {1000, 0, 7}); }) ==
        "04"
        "4064"
        "19"
        "02"
        "0a"
        "08"
        "0a"
        "3f"
        "00"
        "43e8"
        "00"
        "07");
  const KeyUpdateFrame update{0x01020304, 0x05060708, test::counting<32>(0x20), test::counting<16>(0x40),
                              test::counting<16>(0x50)};
  CHECK(bytes([&](ByteWriter& w) { return write_key_update(w, update, false); }) ==
        "09"
        "04030201"
        "08070605"
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
        "404142434445464748494a4b4c4d4e4f"
        "505152535455565758595a5b5c5d5e5f");
  CHECK(bytes([&](ByteWriter& w) { return write_key_update(w, update, true); }) ==
        "0a"
        "04030201"
        "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
        "505152535455565758595a5b5c5d5e5f");
  CHECK(bytes([](ByteWriter& w) { return write_key_update_refused(w, {0x01020304, 2}); }) ==
        "0b"
        "04030201"
        "02");
  CHECK(bytes([](ByteWriter& w) { return write_path_challenge(w, test::counting<8>(1)); }) ==
        "0c0102030405060708");
  CHECK(bytes([](ByteWriter& w) { return write_path_response(w, test::counting<8>(1)); }) ==
        "0d0102030405060708");
  CHECK(bytes([](ByteWriter& w) { return write_credit(w, 1'000'000); }) == "0e800f4240");
  CHECK(bytes([](ByteWriter& w) { return write_channel_credit(w, {1023, 64, 8}); }) == "0f43ff404008");
  CHECK(bytes([](ByteWriter& w) { return write_mtu_probe(w); }) == "20");
  CHECK(bytes([](ByteWriter& w) { return write_expired(w, {2, 300, 70'000}); }) == "1c02412c80011170");

  // SEQUENCED: whole and part, to the end and with the length.
  const SequencedFrame whole{2, 300, 2, 0, bytes_of("hi")};
  const SequencedFrame part{2, 300, 70'000, 64, bytes_of("hi")};
  CHECK(bytes([&](ByteWriter& w) { return write_sequenced(w, whole, false); }) == "1402412c6869");
  CHECK(bytes([&](ByteWriter& w) { return write_sequenced(w, part, false); }) == "1502412c8001117040406869");
  CHECK(bytes([&](ByteWriter& w) { return write_sequenced(w, whole); }) == "1602412c026869");
  CHECK(bytes([&](ByteWriter& w) { return write_sequenced(w, part); }) == "1702412c800111704040026869");
  CHECK(bytes([](ByteWriter& w) { return write_sequenced(w, {0, 0, 0, 0, {}}); }) == "16000000");

  const Buffer records = from_hex("026869000163");
  CHECK(bytes([&](ByteWriter& w) { return write_reliable(w, 2, 300, records, false); }) ==
        "1802412c026869000163");
  CHECK(bytes([&](ByteWriter& w) { return write_reliable(w, 2, 300, records, true); }) ==
        "1902412c06026869000163");
  CHECK(bytes([](ByteWriter& w) { return write_fragment(w, 2, 300, 70'000, 64, bytes_of("hi"), false); }) ==
        "1a02412c8001117040406869");
  CHECK(bytes([](ByteWriter& w) { return write_fragment(w, 2, 300, 70'000, 64, bytes_of("hi"), true); }) ==
        "1b02412c800111704040026869");
}

TEST_CASE("frames: the messages of RELIABLE are given one by one, empty ones too") {
  const Buffer payload = from_hex("1902412c0b0268690001630040026a6b");
  FrameReader reader(payload);
  Frame frame;
  REQUIRE(reader.next(frame));
  CHECK(describe(frame) == "reliable 2 300 5 [6869] [] [63] [] [6a6b]");
  CHECK_FALSE(reader.next(frame));
  CHECK_FALSE(reader.failed());
}

TEST_CASE("frames: whatever is written is read, in order") {
  SeededRandom random(50);
  for (int round = 0; round < 1000; ++round) {
    Buffer storage(20'000);
    ByteWriter writer(storage);
    std::vector<std::string> expected;
    const std::uint32_t count = 1 + random.below(12);
    for (std::uint32_t i = 0; i < count; ++i) append_random_frame(random, writer, expected);
    switch (random.below(3)) {
      case 0: {
        const Buffer last = random_bytes(random, random.below(100));
        REQUIRE(write_message(writer, 7, last, false));
        expected.push_back("message 7 " + to_hex(last));
        break;
      }
      case 1:
        append_random_data(random, writer, false, expected);
        break;
      default:
        break;
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
  check(disconnect_frame_size(256),
        [&](ByteWriter& w) { return write_disconnect(w, {1, Duration(2'000), reason}); });
  GoawayFrame goaway{1, Duration(2'000), Duration(3'000), false, test::random_address(random)};
  check(goaway_frame_size(goaway), [&](ByteWriter& w) { return write_goaway(w, goaway); });
  goaway.has_address = true;
  check(goaway_frame_size(goaway), [&](ByteWriter& w) { return write_goaway(w, goaway); });
  const ConnectionId id = test::random_connection_id(random);
  check(new_id_frame_size(70, id), [&](ByteWriter& w) { return write_new_id(w, 70, id, ResetToken{}); });
  check(retire_id_frame_size(kVarintMax), [](ByteWriter& w) { return write_retire_id(w, kVarintMax); });
  for (const std::uint32_t channel : {0U, 1U, 1023U}) {
    for (const bool with_length : {false, true}) {
      for (const bool acknowledged : {false, true}) {
        check(message_frame_size(channel, 256, with_length),
              [&](ByteWriter& w) { return write_message(w, channel, reason, with_length, acknowledged); });
      }
    }
  }
  const EcnCounts ecn{64, 0, kVarintMax};
  check(ack_ecn_frame_size(Duration(70'000), ranges, ecn),
        [&](ByteWriter& w) { return write_ack_ecn(w, Duration(70'000), ranges, ecn); });
  const KeyUpdateFrame update{1, 2, {}, {}, {}};
  check(kKeyUpdateFrameSize, [&](ByteWriter& w) { return write_key_update(w, update, false); });
  check(kKeyUpdateReplyFrameSize, [&](ByteWriter& w) { return write_key_update(w, update, true); });
  check(kKeyUpdateRefusedFrameSize, [](ByteWriter& w) { return write_key_update_refused(w, {1, 2}); });
  check(kPathFrameSize, [](ByteWriter& w) { return write_path_challenge(w, {}); });
  check(kPathFrameSize, [](ByteWriter& w) { return write_path_response(w, {}); });
  check(kMtuProbeFrameSize, [](ByteWriter& w) { return write_mtu_probe(w); });
  for (const std::uint64_t number : {std::uint64_t{0}, std::uint64_t{64}, kVarintMax}) {
    check(credit_frame_size(number), [&](ByteWriter& w) { return write_credit(w, number); });
    for (const std::uint32_t channel : {0U, 64U, 1023U}) {
      const ChannelCreditFrame credit{channel, number, number};
      check(channel_credit_frame_size(credit),
            [&](ByteWriter& w) { return write_channel_credit(w, credit); });
      const ExpiredFrame expired{channel, number, kGreatestMessageSize};
      check(expired_frame_size(expired), [&](ByteWriter& w) { return write_expired(w, expired); });
      for (const bool with_length : {false, true}) {
        for (const std::uint32_t total : {256U, 257U, kGreatestMessageSize}) {
          const SequencedFrame part{channel, number, total, total - 256, reason};
          check(sequenced_frame_size(part, with_length),
                [&](ByteWriter& w) { return write_sequenced(w, part, with_length); });
          check(256 + fragment_header_size(channel, number, total, total - 256, 256, with_length),
                [&](ByteWriter& w) {
                  return write_fragment(w, channel, number, total, total - 256, reason, with_length);
                });
        }
        check(256 + reliable_header_size(channel, number, 256, with_length),
              [&](ByteWriter& w) { return write_reliable(w, channel, number, reason, with_length); });
      }
    }
  }
}

TEST_CASE("frames: times beyond their field are cut, negative ones are zero") {
  std::array<std::byte, 128> storage{};
  ByteWriter writer(storage);
  const std::array ranges = {AckRange{0, 0}};
  REQUIRE(write_pong(writer, 0, 0, Duration::max()));
  REQUIRE(write_pong(writer, 0, 0, Duration(-1)));
  REQUIRE(write_ack(writer, Duration(-5), ranges));
  REQUIRE(write_ack(writer, Duration::max(), ranges));
  REQUIRE(write_goaway(writer, {0, Duration::max(), Duration(-1'000), false, {}}));
  REQUIRE(write_goaway(writer, {0, Duration(-1'000), Duration::max(), false, {}}));
  REQUIRE(write_disconnect(writer, {0, Duration::max(), {}}));
  REQUIRE(write_disconnect(writer, {0, Duration(-1'000), {}}));
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
  CHECK(frame.goaway.reconnect_spread == Duration(0));
  REQUIRE(reader.next(frame));
  CHECK(frame.goaway.deadline == Duration(0));
  CHECK(frame.goaway.reconnect_spread == std::chrono::milliseconds(0xffffffff));
  REQUIRE(reader.next(frame));
  CHECK(frame.disconnect.reconnect_spread == std::chrono::milliseconds(0xffffffff));
  REQUIRE(reader.next(frame));
  CHECK(frame.disconnect.reconnect_spread == Duration(0));
  CHECK_FALSE(reader.next(frame));
  CHECK_FALSE(reader.failed());
}

TEST_CASE("frames: a packet without a frame is a fault, one of padding only is not") {
  CHECK(read_all({}).failed);
  const Buffer padding(1000);
  CHECK_FALSE(read_all(padding).failed);
  CHECK(read_all(padding).frames == 0);
}

TEST_CASE("frames: unknown types are faults") {
  for (unsigned type = 0; type < 256; ++type) {
    const bool known = type <= 0x1c || type == 0x20 || (type >= 0x30 && type <= 0x33);
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
  check([](ByteWriter& w) { return write_disconnect(w, {1, Duration(2'000), bytes_of("reason")}); });
  check([](ByteWriter& w) { return write_disconnect(w, {1, Duration(2'000), {}}); });
  check([&](ByteWriter& w) { return write_goaway(w, {1, Duration(2'000), Duration(3'000), true, address}); });
  check([](ByteWriter& w) { return write_goaway(w, {1, Duration(2'000), Duration(3'000), false, {}}); });
  check([&](ByteWriter& w) { return write_new_id(w, 1000, id, ResetToken{}); });
  check([](ByteWriter& w) { return write_retire_id(w, 1000); });
  check([](ByteWriter& w) { return write_message(w, 1000, bytes_of("data")); });
  check([](ByteWriter& w) { return write_message(w, 0, bytes_of("data")); });
  check([](ByteWriter& w) { return write_message(w, 1000, bytes_of("data"), true, true); });
  check([&](ByteWriter& w) { return write_ack_ecn(w, Duration(1000), ranges, {64, 65, 66}); });
  check([](ByteWriter& w) { return write_key_update(w, {1, 2, {}, {}, {}}, false); });
  check([](ByteWriter& w) { return write_key_update(w, {1, 2, {}, {}, {}}, true); });
  check([](ByteWriter& w) { return write_key_update_refused(w, {1, 2}); });
  check([](ByteWriter& w) { return write_path_challenge(w, {}); });
  check([](ByteWriter& w) { return write_path_response(w, {}); });
  check([](ByteWriter& w) { return write_credit(w, kVarintMax); });
  check([](ByteWriter& w) { return write_channel_credit(w, {1000, kVarintMax, kVarintMax}); });
  check([](ByteWriter& w) { return write_expired(w, {1000, kVarintMax, 70'000}); });
  check([](ByteWriter& w) { return write_sequenced(w, {1000, 300, 4, 0, bytes_of("data")}); });
  check([](ByteWriter& w) { return write_sequenced(w, {1000, 300, 70'000, 300, bytes_of("data")}); });
  check([](ByteWriter& w) { return write_reliable(w, 1000, 300, from_hex("0461626364000161"), true); });
  check([](ByteWriter& w) { return write_fragment(w, 1000, 300, 70'000, 300, bytes_of("data"), true); });
}

TEST_CASE("frames: data to the end of the packet is whatever the packet holds, if that is anything") {
  std::array<std::byte, 400> storage{};
  // `header` bytes come before the data; `may_be_cut` says whether so many bytes of data make a frame.
  const auto check = [&storage](std::size_t header, auto&& write, auto&& may_be_cut) {
    ByteWriter writer(storage);
    REQUIRE(write(writer));
    const Bytes whole = writer.written();
    for (std::size_t size = 1; size <= whole.size(); ++size) {
      const bool valid = size >= header && may_be_cut(size - header);
      const Outcome outcome = read_all(whole.first(size));
      CHECK(outcome.failed == !valid);
      CHECK(outcome.frames == (valid ? 1U : 0U));
    }
  };
  const auto any = [](std::size_t) { return true; };
  const auto not_empty = [](std::size_t size) { return size > 0; };
  check(5, [](ByteWriter& w) { return write_sequenced(w, {1000, 300, 4, 0, bytes_of("data")}, false); }, any);
  check(
      11, [](ByteWriter& w) { return write_sequenced(w, {1000, 300, 70'000, 300, bytes_of("data")}, false); },
      not_empty);
  check(
      11, [](ByteWriter& w) { return write_fragment(w, 1000, 300, 70'000, 300, bytes_of("data"), false); },
      not_empty);
  // Three records: cut behind the first, the second or the third.
  check(
      5, [](ByteWriter& w) { return write_reliable(w, 1000, 300, from_hex("0461626364000161"), false); },
      [](std::size_t size) { return size == 5 || size == 6 || size == 8; });
}

TEST_CASE("frames: a channel above 1,023 is a fault in every frame that has one") {
  for (const std::string_view channel :
       {"43ff", "4400", "800003ff", "80000400", "c0000000000003ff", "c000000000000400", "ffffffffffffffff"}) {
    const bool expected = channel.substr(channel.size() - 3) != "3ff";
    const std::string text(channel);
    CHECK(refused("0f" + text + "0000") == expected);
    CHECK(refused("11" + text) == expected);
    CHECK(refused("13" + text + "00") == expected);
    CHECK(refused("14" + text + "00") == expected);
    CHECK(refused("15" + text + "00020061") == expected);
    CHECK(refused("16" + text + "0000") == expected);
    CHECK(refused("17" + text + "0002000161") == expected);
    CHECK(refused("18" + text + "0000") == expected);
    CHECK(refused("19" + text + "000100") == expected);
    CHECK(refused("1a" + text + "00020061") == expected);
    CHECK(refused("1b" + text + "0002000161") == expected);
    CHECK(refused("1c" + text + "0000") == expected);
  }
}

TEST_CASE("frames: a part lies within its message, is not empty, and no message is above 16 MiB") {
  // total, offset, length: after the channel and number 0, in SEQUENCED and FRAGMENT with their length.
  const auto faulty = [](std::uint64_t total, std::uint64_t offset, std::uint64_t length) {
    const auto payload = [&](unsigned type) {
      Buffer storage(200);
      ByteWriter writer(storage);
      writer.u8(static_cast<std::uint8_t>(type));
      for (const std::uint64_t field : {std::uint64_t{0}, std::uint64_t{0}, total, offset, length})
        writer.varint(field);
      writer.zeros(std::min<std::uint64_t>(length, 100));
      return Buffer(writer.written().begin(), writer.written().end());
    };
    const bool sequenced = read_all(payload(0x17)).failed;
    CHECK(read_all(payload(0x1b)).failed == sequenced);
    return sequenced;
  };
  CHECK_FALSE(faulty(1, 0, 1));
  CHECK_FALSE(faulty(100, 0, 100));
  CHECK_FALSE(faulty(100, 99, 1));
  CHECK(faulty(100, 100, 1));
  CHECK(faulty(100, 99, 2));
  CHECK(faulty(99, 0, 100));
  CHECK(faulty(0, 0, 0));
  CHECK(faulty(0, 0, 1));
  CHECK(faulty(100, 0, 0));
  CHECK(faulty(100, 100, 0));
  CHECK_FALSE(faulty(kGreatestMessageSize, kGreatestMessageSize - 100, 100));
  CHECK(faulty(kGreatestMessageSize, kGreatestMessageSize - 99, 100));
  CHECK(faulty(kGreatestMessageSize + 1, 0, 100));
  // Sums that do not fit into the integers they are reckoned in.
  CHECK(faulty(100, kVarintMax, 1));
  CHECK(faulty(100, kVarintMax - 99, 100));
  CHECK(faulty(kVarintMax, kVarintMax - 1, 1));
  CHECK(faulty((std::uint64_t{1} << 32U) + 100, 0, 100));
  CHECK(faulty(100, std::uint64_t{1} << 32U, 100));
  CHECK(faulty(100, 0, kVarintMax));
}

TEST_CASE("frames: an empty message goes whole, never in parts") {
  CHECK_FALSE(refused("140000"));
  CHECK_FALSE(refused("16000000"));
  CHECK_FALSE(refused("18000000"));
  CHECK(refused("1500000000"));
  CHECK(refused("170000000000"));
  CHECK(refused("1a00000000"));
  CHECK(refused("1b0000000000"));
}

TEST_CASE("frames: RELIABLE holds at least one message, and nothing beyond the last") {
  CHECK(refused("180000"));
  CHECK(refused("19000000"));
  CHECK_FALSE(refused("1900000100"));
  // A record that ends beyond its run, though not beyond the packet.
  CHECK(refused("19000002026161"));
  CHECK_FALSE(refused("1900000201611200"));
  // A length cut by the end of the run.
  CHECK(refused("19000002004000"));
  CHECK(refused("18000000c0"));
  CHECK(refused("1800000161ffffffffffffffff"));
  CHECK(refused("180000ffffffffffffffff61"));
  // A run beyond the packet.
  CHECK(refused("190000030161"));
  CHECK(refused("190000ffffffffffffffff0161"));
  // A longer form of a length.
  CHECK_FALSE(refused("180000c0000000000000016140016200"));
}

TEST_CASE("frames: numbers of messages are below 2^62, also the last of RELIABLE") {
  const std::string greatest = "ffffffffffffffff";
  CHECK_FALSE(refused("1400" + greatest));
  CHECK_FALSE(refused("1800" + greatest + "00"));
  CHECK(refused("1800" + greatest + "0000"));
  CHECK_FALSE(refused("1800fffffffffffffffe0000"));
  CHECK(refused("1800fffffffffffffffe000000"));
  CHECK_FALSE(refused("1a00" + greatest + "010061"));
  CHECK_FALSE(refused("1c00" + greatest + "00"));
  Buffer payload = from_hex("1800" + greatest + "00");
  FrameReader reader(payload);
  Frame frame;
  REQUIRE(reader.next(frame));
  CHECK(frame.reliable.first == kVarintMax);
  CHECK(frame.reliable.count == 1);
}

TEST_CASE("frames: EXPIRED is of a message of at most 16 MiB") {
  CHECK_FALSE(refused("1c000000"));
  CHECK_FALSE(refused("1c000081000000"));
  CHECK(refused("1c000081000001"));
  CHECK(refused("1c0000ffffffffffffffff"));
}

TEST_CASE("frames: what is longer than any message is a fault, though no datagram holds it") {
  Buffer payload(kGreatestMessageSize + 20);
  ByteWriter writer(payload);
  const auto begin = [&](std::uint8_t type) {
    writer = ByteWriter(payload);
    writer.u8(type);
    writer.varint(0);
    writer.varint(0);
  };
  begin(0x14);
  CHECK(read_all(payload).failed);
  CHECK_FALSE(read_all(Bytes(payload).first(writer.position() + kGreatestMessageSize)).failed);
  begin(0x18);
  writer.varint(kGreatestMessageSize + 1);
  CHECK(read_all(Bytes(payload).first(writer.position() + kGreatestMessageSize + 1)).failed);
  begin(0x18);
  writer.varint(kGreatestMessageSize);
  CHECK_FALSE(read_all(Bytes(payload).first(writer.position() + kGreatestMessageSize)).failed);
}

TEST_CASE("frames: a writer may be asked to leave room for what it does not write itself") {
  std::array<std::byte, 32> storage{};
  ByteWriter writer(storage);
  // Three bytes of header and no room behind it.
  CHECK_FALSE(write_reliable_header(writer, 0, 0, 30, false));
  CHECK(writer.position() == 0);
  CHECK(write_reliable_header(writer, 0, 0, 29, false));
  CHECK(writer.position() == 3);
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
      refused("05"
              "00000000"
              "00000000"
              "4101" +
              to_hex(Bytes(reason).first(257))));
  CHECK_FALSE(
      refused("05"
              "00000000"
              "00000000"
              "4100" +
              to_hex(Bytes(reason).first(256))));
  // GOAWAY: neither 0 nor 1; an address that is none.
  CHECK(
      refused("06"
              "00000000"
              "00000000"
              "00000000"
              "02"));
  CHECK(
      refused("06"
              "00000000"
              "00000000"
              "00000000"
              "01"
              "01c00002010000"));
  CHECK(
      refused("06"
              "00000000"
              "00000000"
              "00000000"
              "01"
              "0100000000409c"));
  CHECK(
      refused("06"
              "00000000"
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
  // The same in an ACK with ECN counts, of which none may be missing.
  CHECK_FALSE(refused("0405000005010203"));
  CHECK(refused("0405000006010203"));
  CHECK(refused("04050001000400010203"));
  CHECK(refused("04050000050102"));
  CHECK_FALSE(
      refused("0405000005"
              "ffffffffffffffff"
              "ffffffffffffffff"
              "ffffffffffffffff"));
}

TEST_CASE("frames: the counts of an ACK are read behind its ranges, and are zeros in one without") {
  const Buffer payload = from_hex(
      "04"
      "05"
      "00"
      "01"
      "00"
      "00"
      "01"
      "4100"
      "02"
      "03"
      "0305000005");
  FrameReader reader(payload);
  Frame frame;
  REQUIRE(reader.next(frame));
  CHECK(frame.type == FrameType::kAck);
  CHECK(frame.ack.has_ecn);
  CHECK(frame.ack.ecn == EcnCounts{256, 2, 3});
  CHECK(describe(frame) == "ack 0 5-5 2-3 ecn 256 2 3");
  REQUIRE(reader.next(frame));
  CHECK_FALSE(frame.ack.has_ecn);
  CHECK(frame.ack.ecn == EcnCounts{});
  CHECK_FALSE(reader.failed());
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
  std::array<std::size_t, 256> seen{};
  for (int round = 0; round < 40'000; ++round) {
    Buffer payload = random_bytes(random, random.below(80));
    // Types that exist and small numbers are more worth reading than others.
    const std::uint32_t rate = 1 + random.below(4);
    for (std::byte& value : payload) {
      if (random.below(rate) == 0) value &= std::byte{0x1f};
    }
    if (!payload.empty()) payload[0] = static_cast<std::byte>(random.below(0x34));
    FrameReader reader(payload);
    Frame frame;
    std::size_t message_bytes = 0;
    const auto part = [&](std::uint32_t channel, std::uint64_t number, std::uint32_t total,
                          std::uint32_t offset, Bytes data) {
      CHECK(channel <= kMaxChannel);
      CHECK(number <= kVarintMax);
      CHECK(total <= kGreatestMessageSize);
      CHECK(std::uint64_t{offset} + data.size() <= total);
      message_bytes += data.size();
    };
    while (reader.next(frame)) {
      ++seen[static_cast<std::size_t>(frame.type)];
      switch (frame.type) {
        case FrameType::kMessage:
          part(frame.message.channel, 0, kGreatestMessageSize, 0, frame.message.data);
          break;
        case FrameType::kSequenced:
          part(frame.sequenced.channel, frame.sequenced.number, frame.sequenced.total, frame.sequenced.offset,
               frame.sequenced.data);
          break;
        case FrameType::kFragment:
          part(frame.fragment.channel, frame.fragment.number, frame.fragment.total, frame.fragment.offset,
               frame.fragment.data);
          CHECK_FALSE(frame.fragment.data.empty());
          break;
        case FrameType::kReliable: {
          MessageReader messages(frame.reliable.messages);
          Bytes data;
          std::uint32_t count = 0;
          while (messages.next(data)) {
            part(frame.reliable.channel, frame.reliable.first + count, kGreatestMessageSize, 0, data);
            ++count;
          }
          CHECK(count == frame.reliable.count);
          CHECK(count > 0);
          break;
        }
        default:
          break;
      }
    }
    CHECK(message_bytes <= payload.size());
  }
  for (const FrameType type : {FrameType::kMessage, FrameType::kSequenced, FrameType::kReliable,
                               FrameType::kFragment, FrameType::kExpired, FrameType::kAck})
    CHECK(seen[static_cast<std::size_t>(type)] > 20);
}

TEST_CASE("frames: writing and reading allocate nothing") {
  std::array<std::byte, 1200> storage{};
  const std::array ranges = {AckRange{90, 100}, AckRange{70, 80}};
  const AllocationCount allocations;
  ByteWriter writer(storage);
  const std::array record = {std::byte{1}, std::byte{2}};
  bool wrote = write_ping(writer, 1) && write_ack(writer, Duration(1), ranges) &&
               write_reliable(writer, 1, 2, record, true);
  while (write_message(writer, 0, bytes_of("0123456789"))) wrote = wrote && writer.ok();
  FrameReader reader(writer.written());
  Frame frame;
  std::size_t messages = 0;
  while (reader.next(frame)) {
    messages += frame.type == FrameType::kMessage ? 1 : 0;
    if (frame.type != FrameType::kReliable) continue;
    MessageReader reliable(frame.reliable.messages);
    Bytes data;
    while (reliable.next(data)) messages += 100 * data.size();
  }
  const std::uint64_t count = allocations.count();
  CHECK(wrote);
  CHECK(messages == 100 + (1200 - 3 - 8 - 6) / 12);
  CHECK(count == 0);
}

}  // namespace
}  // namespace hawser
