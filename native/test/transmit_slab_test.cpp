#include "io/transmit_slab.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <thread>
#include <utility>
#include <vector>

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "thread_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;

// Where a record has the length of its data.
constexpr std::size_t kLengthOffset = 12;

struct Message {
  Handle peer;
  std::uint32_t channel = 0;
  std::vector<std::byte> data;
  std::uint32_t ttl_ms = 0;
  std::uint32_t confirm = 0;
  friend bool operator==(const Message&, const Message&) = default;
};

Message numbered(std::uint32_t number, std::size_t size = 0) {
  return {.peer = {number, ~number},
          .channel = number % 0x10000,
          .data = std::vector<std::byte>(size, static_cast<std::byte>(number))};
}

std::vector<Message> messages_of(std::uint32_t begin, std::uint32_t end) {
  std::vector<Message> messages;
  for (std::uint32_t number = begin; number < end; ++number) messages.push_back(numbered(number, number % 9));
  return messages;
}

struct SlabMemory {
  SharedMemory header;
  SharedMemory records;
};

// A slab with its memory. Others may share that of the records.
struct Slab : SlabMemory, TransmitSlab {
  static constexpr std::size_t kOffset = 48;

  explicit Slab(const SharedMemory& shared = SharedMemory(kRecordBytes))
      : SlabMemory{SharedMemory(kOffset + kHeaderBytes), shared},
        TransmitSlab(header, kOffset, records, Taker::kOtherThread) {}
};

// Writes into a slab as JavaScript does, or as it never should.
class Writer {
 public:
  explicit Writer(const Slab& slab)
      : header_(reinterpret_cast<std::uint32_t*>(slab.header.data() + Slab::kOffset)),
        records_(slab.records.data(), slab.records.size()) {}

  [[nodiscard]] static std::vector<std::byte> record(const Message& message) {
    const bool extended = message.ttl_ms != 0 || message.confirm != 0;
    std::vector<std::byte> bytes((extended ? 24 : 16) + (message.data.size() + 3) / 4 * 4);
    ByteWriter writer(bytes);
    writer.u32(message.peer.slot);
    writer.u32(message.peer.generation);
    writer.u16(static_cast<std::uint16_t>(message.channel));
    writer.u16(extended ? 1 : 0);
    writer.u32(static_cast<std::uint32_t>(message.data.size()));
    if (extended) {
      writer.u32(message.ttl_ms);
      writer.u32(message.confirm);
    }
    writer.bytes(message.data);
    return bytes;
  }
  void write(Bytes bytes) {
    std::ranges::copy(bytes, records_.begin() + used());
    say_used(static_cast<std::uint32_t>(used() + bytes.size()));
    ++header_[1];
  }
  void write(const Message& message) { write(record(message)); }
  void write(const std::vector<Message>& messages) {
    for (const Message& each : messages) write(each);
  }
  void say_used(std::uint32_t bytes) { header_[0] = bytes; }

  [[nodiscard]] std::uint32_t used() const { return header_[0]; }
  [[nodiscard]] std::uint32_t records() const { return header_[1]; }
  [[nodiscard]] std::uint32_t refused() const {
    return std::atomic_ref(header_[3]).load(std::memory_order_relaxed);
  }

 private:
  std::uint32_t* header_;
  MutableBytes records_;
};

// Keeps what it is told of.
struct Reader {
  bool operator()(Handle peer, std::uint32_t channel, Bytes data, const SendOptions& options) {
    told.push_back({.peer = peer,
                    .channel = channel,
                    .data = {data.begin(), data.end()},
                    .ttl_ms = static_cast<std::uint32_t>(options.ttl / milliseconds(1)),
                    .confirm = options.confirm});
    return accepting;
  }

  std::vector<Message> told;
  bool accepting = true;
};

// The two ways of a slab: to an endpoint on the same thread, and to one on another.
enum class Way : std::uint8_t { kTake, kPassOn };
constexpr Way kWays[] = {Way::kTake, Way::kPassOn};

template <class F>
void carry(TransmitSlab& slab, Way way, F& visit) {
  if (way == Way::kTake) return slab.take(visit);
  slab.pass_on();
  slab.take_passed_on(visit);
}

TEST_CASE("transmit slab: gives each message as it was written, in order, once") {
  for (const Way way : kWays) {
    Slab slab;
    Writer writer(slab);
    Reader reader;
    for (int round = 0; round < 10; ++round) {
      std::vector<Message> messages = messages_of(0, 100);
      messages.push_back({{1, 2}, 3, std::vector<std::byte>(10), 5'000, 0});
      messages.push_back({{4, 5}, 0xffff, {}, 0, UINT32_MAX});
      messages.push_back({{6, 7}, 8, std::vector<std::byte>(1), UINT32_MAX, 9});
      messages.push_back(numbered(4, 1));
      writer.write(messages);
      carry(slab, way, reader);
      CHECK(reader.told == messages);
      CHECK(writer.used() == 0);
      CHECK(writer.records() == 0);
      CHECK(writer.refused() == 0);
      reader.told.clear();
      carry(slab, way, reader);
      CHECK(reader.told.empty());
    }
  }
}

TEST_CASE("transmit slab: endpoints of one thread take turns with the memory of the records") {
  for (const Way way : kWays) {
    const SharedMemory shared(TransmitSlab::kRecordBytes);
    Slab first(shared);
    Slab second(shared);
    Writer to_first(first);
    Writer to_second(second);
    Reader from_first;
    Reader from_second;
    for (std::uint32_t round = 0; round < 10; ++round) {
      const std::uint32_t begin = round * 1'000;
      // There are fewer each time: what the other wrote before lies behind them.
      const std::vector<Message> more = messages_of(begin, begin + 20);
      const std::vector<Message> fewer = messages_of(begin + 500, begin + 510);
      to_first.write(more);
      // What is there is another's.
      carry(second, way, from_second);
      CHECK(from_second.told.empty());
      if (way == Way::kTake) {
        first.take(from_first);
        to_second.write(fewer);
        second.take(from_second);
      } else {
        // Nobody needs the memory any more for what was passed on.
        first.pass_on();
        to_second.write(fewer);
        second.pass_on();
        first.take_passed_on(from_first);
        second.take_passed_on(from_second);
      }
      CHECK(std::exchange(from_first.told, {}) == more);
      CHECK(std::exchange(from_second.told, {}) == fewer);
    }
  }
}

TEST_CASE("transmit slab: one that is full to the last byte is given whole") {
  for (const Way way : kWays) {
    Slab slab;
    Writer writer(slab);
    const Message longest = numbered(7, TransmitSlab::kRecordBytes - 16);
    writer.write(longest);
    REQUIRE(writer.used() == TransmitSlab::kRecordBytes);
    Reader reader;
    carry(slab, way, reader);
    CHECK(reader.told == std::vector{longest});
    CHECK(writer.refused() == 0);
  }
}

TEST_CASE("transmit slab: counts the messages that were not accepted, modulo 2^32, and goes on") {
  for (const Way way : kWays) {
    Slab slab;
    Writer writer(slab);
    Reader reader;
    reader.accepting = false;
    for (std::uint32_t round = 1; round <= 3; ++round) {
      writer.write(messages_of(0, 10));
      carry(slab, way, reader);
      CHECK(writer.refused() == 10 * round);
    }
    CHECK(reader.told.size() == 30);
  }
}

// The memory of a slab ends where the records do, so that AddressSanitizer tells of a byte too far.
TEST_CASE("transmit slab: a record that is longer than the rest ends the walk, and is one refusal") {
  const Message last = {{1, 2}, 3, std::vector<std::byte>(5), 4, 5};
  const std::vector<std::byte> whole = Writer::record(last);
  const auto broken_ones = [&] {
    std::vector<std::vector<std::byte>> records;
    // All but the padding behind the data.
    for (std::size_t cut = 1; cut < whole.size() - 3; ++cut)
      records.emplace_back(whole.begin(), whole.end() - 3 - static_cast<std::ptrdiff_t>(cut));
    for (const std::uint32_t length : {9U, 0x7fff'ffffU, 0xffff'fff0U, 0xffff'ffffU}) {
      records.push_back(whole);
      store_little_endian(records.back().data() + kLengthOffset, length);
    }
    return records;
  }();
  for (const Way way : kWays) {
    for (const std::vector<std::byte>& broken : broken_ones) {
      for (const bool at_end : {false, true}) {
        Slab slab;
        Writer writer(slab);
        std::vector<Message> good = messages_of(0, 10);
        if (at_end) good.push_back(numbered(10, TransmitSlab::kRecordBytes / 4 * 3));
        writer.write(good);
        if (at_end) {
          const std::size_t left = TransmitSlab::kRecordBytes - writer.used() - broken.size();
          good.push_back(numbered(11, (left - 16) / 4 * 4));
          writer.write(good.back());
        }
        writer.write(broken);
        Reader reader;
        carry(slab, way, reader);
        CHECK(reader.told == good);
        CHECK(writer.refused() == 1);
        CHECK(writer.used() == 0);
      }
    }
  }
}

TEST_CASE("transmit slab: the last record needs no padding") {
  for (const Way way : kWays) {
    Slab slab;
    Writer writer(slab);
    const Message last = numbered(9, 5);
    std::vector<std::byte> record = Writer::record(last);
    record.resize(record.size() - 3);
    writer.write(record);
    Reader reader;
    carry(slab, way, reader);
    CHECK(reader.told == std::vector{last});
    CHECK(writer.refused() == 0);
  }
}

TEST_CASE("transmit slab: one that says it has more than it can hold is read to its end") {
  for (const Way way : kWays) {
    for (const std::uint32_t said : {std::uint32_t{TransmitSlab::kRecordBytes} + 1, UINT32_MAX}) {
      Slab slab;
      Writer writer(slab);
      writer.say_used(said);
      Reader reader;
      carry(slab, way, reader);
      // Zeros are messages of no bytes.
      CHECK(reader.told.size() == TransmitSlab::kRecordBytes / 16);
      CHECK(writer.refused() == 0);
      CHECK(writer.used() == 0);
    }
  }
}

// At the end of the slab, where anything that is too long is outside.
TEST_CASE("transmit slab: of garbage nothing outside is read, and no more than one refusal counted") {
  constexpr std::uint32_t kRounds = 300;
  SeededRandom random(1);
  for (const Way way : kWays) {
    std::uint32_t broken = 0;
    for (std::uint32_t round = 0; round < kRounds; ++round) {
      const std::size_t size = random.u64() % 64 * 4;
      std::vector<std::byte> garbage(size);
      random.fill(garbage);
      // Lengths that fit now and then.
      for (std::size_t at = kLengthOffset; at + 4 <= size; at += 16) {
        if (round % 4 > 0)
          store_little_endian(garbage.data() + at, static_cast<std::uint32_t>(random.u64() % 64));
      }
      Slab slab;
      Writer writer(slab);
      std::vector<std::byte> before = Writer::record(numbered(0));
      const std::size_t begin = TransmitSlab::kRecordBytes - size;
      store_little_endian(before.data() + kLengthOffset, static_cast<std::uint32_t>(begin - before.size()));
      writer.write(before);
      writer.say_used(static_cast<std::uint32_t>(begin));
      writer.write(garbage);
      if (round % 8 > 3) writer.say_used(UINT32_MAX);
      std::size_t data_bytes = 0;
      std::byte read{};
      const auto read_ends = [&](Handle, std::uint32_t, Bytes data, const SendOptions&) {
        if (!data.empty()) read ^= data.front() ^ data.back();
        data_bytes += data.size();
        return true;
      };
      carry(slab, way, read_ends);
      CHECK(data_bytes <= TransmitSlab::kRecordBytes);
      CHECK(writer.refused() <= 1);
      broken += writer.refused();
    }
    CHECK(broken > kRounds / 2);
    CHECK(broken < kRounds);
  }
}

TEST_CASE("transmit slab: says whether the endpoint is writable, at first that it is") {
  Slab slab;
  CHECK(slab.writable());
  slab.set_writable(false);
  CHECK_FALSE(slab.writable());
  slab.set_writable(true);
  CHECK(slab.writable());
}

TEST_CASE("transmit slab: what was passed on waits for the endpoint while the slab is written anew") {
  Slab slab;
  Writer writer(slab);
  for (std::uint32_t turn = 0; turn < TransmitSlab::kBlocks; ++turn) {
    writer.write(messages_of(100 * turn, 100 * turn + 100));
    slab.pass_on();
    CHECK(writer.used() == 0);
    CHECK(writer.records() == 0);
  }
  // An empty slab needs no block.
  slab.pass_on();
  Reader reader;
  slab.take_passed_on(reader);
  CHECK(reader.told == messages_of(0, 100 * TransmitSlab::kBlocks));
}

TEST_CASE("transmit slab: with all blocks passed on, the next waits until one has been read") {
  constexpr std::uint32_t kTurns = TransmitSlab::kBlocks + 1;
  Slab slab;
  std::atomic<std::uint32_t> passed = 0;
  std::thread other([&] {
    Writer writer(slab);
    for (std::uint32_t turn = 0; turn < kTurns; ++turn) {
      writer.write(numbered(turn));
      slab.pass_on();
      passed.fetch_add(1, std::memory_order_release);
    }
  });
  bool all = eventually([&] { return passed.load(std::memory_order_acquire) >= TransmitSlab::kBlocks; });
  for (int i = 0; i < 10'000; ++i) std::this_thread::yield();
  CHECK(passed.load(std::memory_order_acquire) == TransmitSlab::kBlocks);
  std::vector<std::uint32_t> told;
  bool waited = true;
  const auto read = [&](Handle peer, std::uint32_t, Bytes, const SendOptions&) {
    // No block is given back while it is read.
    if (told.empty()) {
      for (int i = 0; i < 10'000; ++i) std::this_thread::yield();
      waited = passed.load(std::memory_order_acquire) == TransmitSlab::kBlocks;
    }
    told.push_back(peer.slot);
    return true;
  };
  slab.take_passed_on(read);
  all = all && eventually([&] { return passed.load(std::memory_order_acquire) == kTurns; });
  other.join();
  slab.take_passed_on(read);
  CHECK(all);
  CHECK(waited);
  CHECK(told == std::vector<std::uint32_t>{0, 1, 2, 3, 4});
}

TEST_CASE("transmit slab: two threads lose nothing, keep the order, and tell of refusals and of room") {
  constexpr std::uint32_t kMessages = 40'000;
  Slab slab;
  std::atomic<bool> reading = true;
  std::uint32_t next = 0;
  bool in_order = true;
  std::thread endpoint([&] {
    const auto read = [&](Handle peer, std::uint32_t, Bytes data, const SendOptions&) {
      const Message expected = numbered(next, next % 9);
      in_order = in_order && peer == expected.peer && std::ranges::equal(data, expected.data);
      ++next;
      return next % 2 == 0;
    };
    while (reading.load(std::memory_order_acquire)) {
      slab.take_passed_on(read);
      slab.set_writable(next % 2 == 0);
      std::this_thread::yield();
    }
    slab.take_passed_on(read);
  });
  Writer writer(slab);
  SeededRandom random(1);
  for (std::uint32_t number = 0; number < kMessages;) {
    const auto end = std::min(kMessages, number + static_cast<std::uint32_t>(random.u64() % 16));
    for (; number < end; ++number) writer.write(numbered(number, number % 9));
    slab.pass_on();
    static_cast<void>(slab.writable());
  }
  reading.store(false, std::memory_order_release);
  endpoint.join();
  CHECK(in_order);
  CHECK(next == kMessages);
  CHECK(writer.refused() == kMessages / 2);
}

}  // namespace
}  // namespace hawser::test
