#include "engine/tap.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/random.hpp"
#include "engine/events.hpp"

using namespace hawser;

namespace {

constexpr std::size_t kRing = std::size_t{256} * 1024;
const SocketAddress kRemote = SocketAddress::ipv4({192, 0, 2, 1}, 5000);
const SocketAddress kLocal = SocketAddress::ipv4({192, 0, 2, 2}, 4433);

std::vector<std::byte> bytes_of_size(std::size_t size, std::uint8_t value) {
  return std::vector<std::byte>(size, static_cast<std::byte>(value));
}

// A tap whose clock counts its records.
struct Tapped {
  explicit Tapped(TapOptions options) : tap(options, [this] { return ++time; }) {}
  std::uint64_t time = 0;
  Tap tap;
};

TapOptions small(bool plaintext = false) { return {.plaintext = plaintext, .ring_bytes = kRing, .only = {}}; }

struct Read {
  std::uint64_t time = 0;
  std::uint32_t length = 0;
  std::uint32_t captured = 0;
  std::byte first{};
  bool uniform = true;
};

// Reads everything that is there, and checks that the records fill what was read.
std::vector<Read> read_all(Tap& tap, std::size_t room = std::size_t{128} * 1024) {
  std::vector<Read> records;
  std::vector<std::byte> out(room);
  for (std::size_t size = tap.read(out); size > 0; size = tap.read(out)) {
    std::size_t at = 0;
    while (at < size) {
      const std::byte* const from = out.data() + at;
      Read record{.time = load_little_endian<std::uint64_t>(from + 8),
                  .length = load_little_endian<std::uint32_t>(from + 16),
                  .captured = load_little_endian<std::uint32_t>(from + 20)};
      // The last record may end where the room does.
      if (record.captured > 0) record.first = from[kTapHeaderSize];
      for (std::size_t i = 0; i < record.captured; ++i)
        record.uniform = record.uniform && from[kTapHeaderSize + i] == record.first;
      records.push_back(record);
      at += load_little_endian<std::uint32_t>(from);
    }
    REQUIRE(at == size);
  }
  return records;
}

}  // namespace

TEST_CASE("tap: a record has the layout that tap.hpp gives") {
  Tapped tapped(small(true));
  const ConnectionId id = *ConnectionId::from(bytes_of_size(8, 0xab));
  tapped.tap.packet(TapDirection::kSent, kRemote, kLocal, id, 3, 0x0102030405060708U, bytes_of_size(5, 9));
  std::array<std::byte, 256> out{};
  REQUIRE(tapped.tap.read(out) == 112);
  ByteReader reader(out);
  CHECK(reader.u32() == 112);
  CHECK(reader.u8() == static_cast<std::uint8_t>(TapKind::kHawserPacket));
  CHECK(reader.u8() == static_cast<std::uint8_t>(TapDirection::kSent));
  CHECK(reader.u8() == 8);
  CHECK(reader.u8() == 0);
  CHECK(reader.u64() == 1);
  CHECK(reader.u32() == 5);
  CHECK(reader.u32() == 5);
  CHECK(read_address_record(reader.bytes(24).first<24>()) == kRemote);
  CHECK(read_address_record(reader.bytes(24).first<24>()) == kLocal);
  CHECK(reader.u64() == 0x0102030405060708U);
  CHECK(reader.u32() == 3);
  CHECK(reader.u32() == 0);
  CHECK(reader.array<16>() == id.bytes);
  CHECK(reader.array<5>() ==
        std::array{std::byte{9}, std::byte{9}, std::byte{9}, std::byte{9}, std::byte{9}});
  CHECK(tapped.tap.read(out) == 0);
}

TEST_CASE("tap: what finds no room is counted, and what comes later is taken again") {
  Tapped tapped(small());
  const std::vector<std::byte> datagram = bytes_of_size(1000, 1);
  const std::size_t size = kTapHeaderSize + 1000;
  const std::size_t fits = kRing / size;
  for (std::size_t i = 0; i < fits + 10; ++i) tapped.tap.sent(datagram, kRemote, kLocal, 0);
  CHECK(tapped.tap.dropped() == 10);
  CHECK(read_all(tapped.tap).size() == fits);
  tapped.tap.sent(datagram, kRemote, kLocal, 0);
  CHECK(read_all(tapped.tap).size() == 1);
  CHECK(tapped.tap.dropped() == 10);
}

TEST_CASE("tap: records of any size come out whole and in order, however often the ring is filled") {
  Tapped tapped(small(true));
  SeededRandom random(1);
  std::vector<std::uint32_t> sizes;
  std::vector<Read> read;
  for (int i = 0; i < 5000; ++i) {
    // Now and then the longest that there can be.
    const auto size = static_cast<std::uint32_t>(random.below(50) == 0 ? 65'507 : random.below(2000));
    const std::uint64_t dropped = tapped.tap.dropped();
    tapped.tap.sent(bytes_of_size(size, static_cast<std::uint8_t>(i)), kRemote, kLocal, 0);
    if (tapped.tap.dropped() == dropped) sizes.push_back(size);
    if (random.below(60) == 0)
      for (const Read& record : read_all(tapped.tap)) read.push_back(record);
  }
  for (const Read& record : read_all(tapped.tap)) read.push_back(record);
  REQUIRE(read.size() == sizes.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    REQUIRE(read[i].length == sizes[i]);
    REQUIRE(read[i].captured == sizes[i]);
    REQUIRE(read[i].uniform);
    if (i > 0) REQUIRE(read[i].time > read[i - 1].time);
  }
}

TEST_CASE("tap: of long datagrams only the beginning is kept") {
  TapOptions options = small();
  options.snap_length = 64;
  Tapped tapped(options);
  tapped.tap.sent(bytes_of_size(1200, 1), kRemote, kLocal, 0);
  tapped.tap.sent(bytes_of_size(63, 1), kRemote, kLocal, 0);
  const std::vector<Read> read = read_all(tapped.tap);
  REQUIRE(read.size() == 2);
  CHECK(read[0].length == 1200);
  CHECK(read[0].captured == 64);
  CHECK(read[1].captured == 63);
}

TEST_CASE("tap: what is of another address than the one asked for is left out, and not counted") {
  TapOptions options = small();
  options.only = kRemote;
  SocketAddress other_port = kRemote;
  other_port.port = 5001;
  const SocketAddress other_host = SocketAddress::ipv4({192, 0, 2, 3}, 5000);
  const std::vector<std::byte> datagram = bytes_of_size(10, 1);
  SUBCASE("with a port") {
    Tapped tapped(options);
    for (const SocketAddress& remote : {kRemote, other_port, other_host})
      tapped.tap.sent(datagram, remote, kLocal, 0);
    CHECK(read_all(tapped.tap).size() == 1);
    CHECK(tapped.tap.dropped() == 0);
  }
  SUBCASE("with every port") {
    options.only.port = 0;
    Tapped tapped(options);
    for (const SocketAddress& remote : {kRemote, other_port, other_host})
      tapped.tap.sent(datagram, remote, kLocal, 0);
    CHECK(read_all(tapped.tap).size() == 2);
  }
}

TEST_CASE("tap: a reader on another thread sees every record that was not dropped") {
  Tapped tapped(small(true));
  constexpr std::uint64_t kRecords = 20'000;
  std::thread writer([&] {
    for (std::uint64_t i = 0; i < kRecords; ++i)
      tapped.tap.sent(bytes_of_size(i % 300, static_cast<std::uint8_t>(i)), kRemote, kLocal, 0);
  });
  std::uint64_t seen = 0;
  std::uint64_t last = 0;
  const auto take = [&] {
    for (const Read& record : read_all(tapped.tap)) {
      CHECK(record.uniform);
      CHECK(record.time > last);
      last = record.time;
      ++seen;
    }
  };
  while (seen + tapped.tap.dropped() < kRecords) take();
  writer.join();
  take();
  CHECK(seen + tapped.tap.dropped() == kRecords);
}
