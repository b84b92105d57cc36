#include "engine/events.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"
#include "wire/session_packet.hpp"

namespace hawser {
namespace {

std::string text_of(const EventQueue& queue, std::size_t index) {
  const Bytes bytes = queue.bytes_of(queue.descriptors()[index]);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_CASE("event queue: descriptors say kind, argument, peer and where the bytes are") {
  std::array<std::byte, 64> slab{};
  std::array<EventDescriptor, 4> descriptors{};
  EventQueue queue(slab, descriptors);
  REQUIRE(queue.push(EventKind::kMessage, Handle{7, 9}, 0xffffff, bytes_of("hello")));
  REQUIRE(queue.push(EventKind::kDisconnect, Handle{1, 2}, 3, bytes_of("ab"), bytes_of("cd")));
  REQUIRE(queue.count() == 2);
  const EventDescriptor& first = queue.descriptors()[0];
  CHECK(first.kind() == EventKind::kMessage);
  CHECK(first.argument() == 0xffffff);
  CHECK(first.slot == 7);
  CHECK(first.generation == 9);
  CHECK(first.offset == 0);
  CHECK(first.length == 5);
  const EventDescriptor& second = queue.descriptors()[1];
  CHECK(second.kind() == EventKind::kDisconnect);
  CHECK(second.argument() == 3);
  CHECK(second.offset == 8);
  CHECK(text_of(queue, 0) == "hello");
  CHECK(text_of(queue, 1) == "abcd");
  CHECK(queue.slab_used() == 12);
}

TEST_CASE("event queue: what does not fit is refused whole") {
  std::array<std::byte, 16> slab{};
  std::array<EventDescriptor, 3> descriptors{};
  EventQueue queue(slab, descriptors);
  CHECK_FALSE(queue.push(EventKind::kMessage, {}, 0, bytes_of("12345678"), bytes_of("123456789")));
  CHECK(queue.count() == 0);
  CHECK(all_zero(slab));
  CHECK(queue.push(EventKind::kMessage, {}, 0, bytes_of("123456789")));
  CHECK_FALSE(queue.push(EventKind::kMessage, {}, 0, bytes_of("1")));
  CHECK(queue.push(EventKind::kDrain, {}, 0, {}));
  CHECK(queue.push(EventKind::kDrain, {}, 0, {}));
  CHECK_FALSE(queue.push(EventKind::kDrain, {}, 0, {}));
  CHECK(queue.count() == 3);
}

TEST_CASE("event queue: a slab of odd size is never overrun") {
  for (std::size_t size = 0; size < 40; ++size) {
    CAPTURE(size);
    std::vector<std::byte> slab(size);
    std::array<EventDescriptor, 64> descriptors{};
    EventQueue queue(slab, descriptors);
    while (queue.push(EventKind::kMessage, {}, 0, bytes_of("1"))) {
    }
    CHECK(queue.count() == (size + 7) / 8);
    CHECK(queue.slab_used() <= size);
    CHECK_FALSE(queue.has_room());
  }
}

TEST_CASE("event queue: without storage there is no room") {
  EventQueue queue;
  CHECK_FALSE(queue.has_room());
  CHECK_FALSE(queue.push(EventKind::kDrain, {}, 0, {}));
}

TEST_CASE("event queue: use() goes on with other storage and leaves the old as it is") {
  std::array<std::byte, 16> old_slab{};
  std::array<EventDescriptor, 2> old_descriptors{};
  EventQueue queue(old_slab, old_descriptors);
  REQUIRE(queue.push(EventKind::kMessage, {}, 0, bytes_of("old")));
  std::array<std::byte, 16> new_slab{};
  std::array<EventDescriptor, 2> new_descriptors{};
  queue.use(new_slab, new_descriptors);
  CHECK(queue.count() == 0);
  REQUIRE(queue.push(EventKind::kMessage, {}, 0, bytes_of("new")));
  CHECK(old_slab[0] == std::byte{'o'});
  CHECK(new_slab[0] == std::byte{'n'});
}

TEST_CASE("event queue: where has_room says so, the most that one datagram can hold fits") {
  std::vector<std::byte> slab(EventQueue::kRoomBytes);
  std::vector<EventDescriptor> descriptors(EventQueue::kRoomDescriptors);
  const std::vector<std::byte> message(kMaxReceivedDatagram);
  // A message of n bytes costs at least n + 2 bytes of its datagram.
  for (std::size_t size = 0; size < kMaxReceivedDatagram; ++size) {
    CAPTURE(size);
    EventQueue queue(slab, descriptors);
    REQUIRE(queue.has_room());
    for (std::size_t room = kMaxReceivedDatagram; room >= size + 2; room -= size + 2)
      REQUIRE(queue.push(EventKind::kMessage, {}, 0, Bytes(message).first(size)));
  }
}

TEST_CASE("event queue: pushing allocates nothing") {
  std::array<std::byte, 1024> slab{};
  std::array<EventDescriptor, 16> descriptors{};
  EventQueue queue(slab, descriptors);
  const AllocationCount allocations;
  for (int i = 0; i < 100; ++i) {
    if (!queue.push(EventKind::kMessage, {}, 0, bytes_of("payload"))) queue.clear();
  }
  CHECK(allocations.count() == 0);
}

TEST_CASE("event queue: what must not be lost is kept, and comes first in the next storage") {
  std::array<std::byte, 24> slab{};
  std::array<EventDescriptor, 3> descriptors{};
  EventQueue queue(slab, descriptors);
  REQUIRE(queue.push(EventKind::kMessage, {}, 0, bytes_of("sixteen bytes...")));
  queue.put(EventKind::kDisconnect, Handle{1, 2}, 3, bytes_of("too "), bytes_of("long"));
  CHECK(queue.count() == 2);
  queue.put(EventKind::kDisconnect, Handle{3, 4}, 5, bytes_of("this is "), bytes_of("kept"));
  CHECK(queue.count() == 2);
  CHECK(queue.kept() == 1);
  // Nothing may come before it, however small.
  CHECK_FALSE(queue.push(EventKind::kDrain, {}, 0, {}));
  CHECK_FALSE(queue.leaves(0, 0, 0));
  queue.put(EventKind::kState, Handle{3, 4}, 6, {});
  CHECK(queue.kept() == 2);

  queue.clear();
  CHECK(queue.kept() == 0);
  REQUIRE(queue.count() == 2);
  CHECK(queue.descriptors()[0].kind() == EventKind::kDisconnect);
  CHECK(queue.descriptors()[0].slot == 3);
  CHECK(queue.descriptors()[0].generation == 4);
  CHECK(queue.descriptors()[0].argument() == 5);
  CHECK(text_of(queue, 0) == "this is kept");
  CHECK(queue.descriptors()[1].kind() == EventKind::kState);
  CHECK(queue.push(EventKind::kDrain, {}, 0, {}));
}

TEST_CASE("event queue: kept events come in order, however many storages they take") {
  std::array<std::byte, 100> slab{};
  std::array<EventDescriptor, 5> descriptors{};
  EventQueue queue(slab, descriptors);
  SeededRandom random(1);
  std::uint32_t put = 0;
  std::uint32_t read = 0;
  for (int turn = 0; turn < 2'000; ++turn) {
    // More than there is room for, and then less.
    for (std::uint32_t i = random.below(turn < 200 ? 12 : 2); i > 0; --i, ++put) {
      const std::string text(1 + put % 60, static_cast<char>('a' + put % 26));
      queue.put(EventKind::kDisconnect, Handle{put, 1}, 0, bytes_of(text));
    }
    for (std::size_t i = 0; i < queue.count(); ++i, ++read) {
      REQUIRE(queue.descriptors()[i].slot == read);
      REQUIRE(text_of(queue, i) == std::string(1 + read % 60, static_cast<char>('a' + read % 26)));
    }
    CHECK(put - read == queue.kept());
    queue.clear();
  }
  CHECK(queue.kept() == 0);
}

TEST_CASE("event queue: with events kept there is no room, whatever the storage") {
  std::vector<std::byte> slab(EventQueue::kRoomBytes + 64);
  std::vector<EventDescriptor> descriptors(EventQueue::kRoomDescriptors + 8);
  EventQueue queue;
  queue.put(EventKind::kDisconnect, Handle{1, 1}, 0, bytes_of("kept"));
  CHECK(queue.kept() == 1);
  queue.use(slab, std::span(descriptors).first(0));
  CHECK(queue.kept() == 1);
  CHECK_FALSE(queue.has_room());
  queue.use(slab, descriptors);
  CHECK(queue.kept() == 0);
  CHECK(queue.count() == 1);
  CHECK(queue.has_room());
}

TEST_CASE("event queue: whoever wants room waits for the next storage") {
  std::array<std::byte, 16> slab{};
  std::array<EventDescriptor, 2> descriptors{};
  EventQueue queue(slab, descriptors);
  CHECK_FALSE(queue.wanting());
  queue.want_room(100);
  CHECK(queue.wanted_bytes() == 100);
  CHECK(queue.push(EventKind::kDrain, {}, 0, {}));
  CHECK(queue.wanting());
  queue.use(slab, descriptors);
  CHECK_FALSE(queue.wanting());
}

TEST_CASE("address record: layout") {
  std::array<std::byte, kAddressRecordSize> record{};
  write_address_record(record, SocketAddress::ipv4({127, 0, 0, 1}, 0x1234));
  CHECK(record[0] == std::byte{1});
  CHECK(record[1] == std::byte{0});
  CHECK(record[2] == std::byte{0x34});
  CHECK(record[3] == std::byte{0x12});
  CHECK(all_zero(Bytes(record).subspan(4, 4)));
  CHECK(record[8] == std::byte{127});
  CHECK(record[11] == std::byte{1});
  CHECK(all_zero(Bytes(record).subspan(12)));
}

TEST_CASE("address record: reads what was written, and an unknown family as no address") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    SocketAddress address;
    address.family = seed % 2 == 0 ? SocketAddress::Family::kIpv4 : SocketAddress::Family::kIpv6;
    random.fill(MutableBytes(address.ip).first(seed % 2 == 0 ? 4 : 16));
    address.port = static_cast<std::uint16_t>(random.u64());
    address.scope_id = static_cast<std::uint32_t>(random.u64());
    std::array<std::byte, kAddressRecordSize> record{};
    write_address_record(record, address);
    CHECK(read_address_record(record) == address);
    record[0] = std::byte{3};
    CHECK(read_address_record(record) == SocketAddress{});
    write_address_record(record, SocketAddress{});
    CHECK(read_address_record(record) == SocketAddress{});
  }
}

}  // namespace
}  // namespace hawser
