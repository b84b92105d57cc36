#include "io/event_batches.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

#include "base/bytes.hpp"
#include "base/random.hpp"
#include "thread_support.hpp"

namespace hawser::test {
namespace {

// What a reader keeps with a storage; how many there are is how many storages there are.
struct View {
  View() { ++alive; }
  ~View() { --alive; }
  View(const View&) = delete;
  View& operator=(const View&) = delete;

  int mark = 0;
  static inline int alive = 0;
};

using Batches = EventBatches<View>;
using Storage = Batches::Storage;

bool push_number(EventQueue& queue, std::uint32_t number, std::size_t size = sizeof(std::uint32_t)) {
  std::array<std::byte, 256> bytes{};
  store_little_endian(bytes.data(), number);
  return queue.push(EventKind::kMessage, Handle{number, 1}, 0, Bytes(bytes).first(size));
}

constexpr std::uint32_t kNoNumber = UINT32_MAX;

// The numbers of a batch; kNoNumber for an event whose descriptor and bytes do not agree.
std::vector<std::uint32_t> numbers_of(const Storage& storage) {
  std::vector<std::uint32_t> numbers;
  for (const EventDescriptor& event : std::span(storage.events(), storage.count)) {
    const bool inside = std::size_t{event.offset} + event.length <= storage.slab_used;
    const bool same =
        inside && load_little_endian<std::uint32_t>(storage.slab.data() + event.offset) == event.slot;
    numbers.push_back(same ? event.slot : kNoNumber);
  }
  return numbers;
}

std::vector<std::uint32_t> range(std::uint32_t begin, std::uint32_t end) {
  std::vector<std::uint32_t> numbers(end - begin);
  std::iota(numbers.begin(), numbers.end(), begin);
  return numbers;
}

// An endpoint's queue and its batches, on one thread.
struct Desk {
  explicit Desk(std::size_t storages = Batches::kOnSameThread, std::size_t longest_sequenced = 0) {
    batches.start(queue, storages, longest_sequenced);
  }

  void push(std::uint32_t begin, std::uint32_t end) {
    for (std::uint32_t number = begin; number < end; ++number) REQUIRE(push_number(queue, number));
  }
  [[nodiscard]] bool set_aside() { return batches.set_aside(queue); }
  // The oldest batch, which has to be there.
  [[nodiscard]] Storage& take() {
    Storage* const storage = batches.take();
    REQUIRE(storage != nullptr);
    return *storage;
  }
  [[nodiscard]] std::vector<std::uint32_t> read() {
    Storage& storage = take();
    std::vector<std::uint32_t> numbers = numbers_of(storage);
    batches.give_back(&storage);
    return numbers;
  }

  Batches batches;
  EventQueue queue;
};

TEST_CASE("event batches: gives what was set aside, oldest first, round and round") {
  for (const std::size_t storages : {Batches::kOnSameThread, Batches::kOnOtherThread}) {
    Desk desk(storages);
    for (std::uint32_t begin = 0; begin < 1'000; begin += 10) {
      desk.push(begin, begin + 10);
      CHECK_FALSE(desk.batches.waiting());
      REQUIRE(desk.set_aside());
      CHECK(desk.queue.count() == 0);
      CHECK(desk.batches.waiting());
      CHECK(desk.read() == range(begin, begin + 10));
      CHECK(desk.batches.take() == nullptr);
    }
    CHECK(View::alive == static_cast<int>(storages));
  }
}

TEST_CASE("event batches: nothing is set aside of an empty queue, and nobody waits for room then") {
  Desk desk;
  CHECK_FALSE(desk.set_aside());
  CHECK_FALSE(desk.batches.waiting());
  CHECK_FALSE(desk.batches.endpoint_waits());
}

// A long message is refused, waits, and comes with the storage that grew for it.
void pass_long_message(Desk& desk, std::size_t size) {
  const std::vector<std::byte> message(size, std::byte{7});
  REQUIRE_FALSE(desk.queue.push(EventKind::kMessage, Handle{1, 1}, 0, message));
  desk.queue.want_room(message.size());
  desk.batches.make_room();
  desk.batches.set_aside(desk.queue);
  CHECK(desk.queue.leaves(message.size(), EventQueue::kRoomBytes, EventQueue::kRoomDescriptors));
  REQUIRE(desk.queue.push(EventKind::kMessage, Handle{1, 1}, 0, message));
  CHECK(desk.queue.has_room());
}

TEST_CASE("event batches: a slab grows for a long message when one waits, and not before") {
  for (const std::size_t storages : {Batches::kOnSameThread, Batches::kOnOtherThread}) {
    Desk desk(storages);
    constexpr std::size_t kLong = std::size_t{16} << 20U;
    SUBCASE("in the storage that is empty") {}
    SUBCASE("in the storage after the one that is not") { desk.push(0, 1); }
    const std::uint32_t before = static_cast<std::uint32_t>(desk.queue.count());
    pass_long_message(desk, kLong);
    REQUIRE(desk.set_aside() == (before == 0));
    if (before > 0) CHECK(desk.read() == range(0, 1));
    if (before > 0) REQUIRE(desk.set_aside());
    Storage& storage = desk.take();
    CHECK(storage.count == 1);
    CHECK(storage.slab.size() == Storage::slab_bytes_for(kLong));
    desk.batches.give_back(&storage);
  }
}

TEST_CASE("event batches: a slab that grew shrinks when no batch needs that any more") {
  Desk desk;
  pass_long_message(desk, std::size_t{1} << 20U);
  REQUIRE(desk.set_aside());
  Storage* large = &desk.take();
  CHECK(large->slab.size() > Storage::kLeastSlabBytes);
  desk.batches.give_back(large);
  int needless = 0;
  for (; large->slab.size() > Storage::kLeastSlabBytes && needless < 10'000; ++needless) {
    desk.push(0, 1);
    REQUIRE(desk.set_aside());
    CHECK(desk.read() == range(0, 1));
  }
  CHECK(needless > 100);
  CHECK(large->slab.size() == Storage::kLeastSlabBytes);
}

// Endpoints of one thread.
struct SharingDesk {
  explicit SharingDesk(std::shared_ptr<EventStoragePool<View>> pool, std::size_t longest_sequenced = 0) {
    batches.share(std::move(pool), longest_sequenced);
  }

  [[nodiscard]] std::vector<std::uint32_t> read() {
    Storage* const storage = batches.take();
    REQUIRE(storage != nullptr);
    std::vector<std::uint32_t> numbers = numbers_of(*storage);
    batches.give_back(storage);
    return numbers;
  }

  Batches batches;
  EventQueue queue;
};

// As an endpoint passes a message that came in many parts. One of a sequenced channel is lost when this
// returns false.
bool push_long(EventQueue& queue, Bytes message) {
  if (queue.leaves(message.size(), EventQueue::kRoomBytes, EventQueue::kRoomDescriptors))
    return queue.push(EventKind::kMessage, Handle{1, 1}, 0, message);
  queue.want_room(message.size());
  return false;
}

constexpr std::size_t kLongSequenced = 300'000;

TEST_CASE("event batches: a long message that cannot wait finds room, however many small ones came before") {
  const std::vector<std::byte> message(kLongSequenced, std::byte{7});
  for (const std::size_t storages : {Batches::kOnSameThread, Batches::kOnOtherThread}) {
    CAPTURE(storages);
    Desk desk(storages, kLongSequenced);
    for (int round = 0; round < 20; ++round) {
      REQUIRE(push_long(desk.queue, message));
      REQUIRE(desk.set_aside());
      Storage& storage = desk.take();
      CHECK(storage.events()[storage.count - 1].length == message.size());
      desk.batches.give_back(&storage);
      for (std::uint32_t number = 0; number < 1'000; ++number) {
        desk.push(number, number + 1);
        REQUIRE(desk.set_aside());
        CHECK(desk.read() == range(number, number + 1));
      }
      // Those of the same turn.
      for (std::uint32_t number = 0; number < 500; ++number) REQUIRE(push_number(desk.queue, number, 256));
    }
  }
}

TEST_CASE("event batches: nor is it lost where a shared storage was last that of one with small messages") {
  const std::vector<std::byte> message(kLongSequenced, std::byte{7});
  auto pool = std::make_shared<EventStoragePool<View>>();
  SharingDesk desk(pool, kLongSequenced);
  SharingDesk other(pool);
  const auto turn = [](SharingDesk& each, auto&& push) {
    each.batches.attach(each.queue);
    REQUIRE(push(each.queue));
    each.batches.make_room();
    REQUIRE(each.batches.set_aside(each.queue));
    static_cast<void>(each.read());
    each.batches.detach(each.queue);
  };
  const auto push_small = [](EventQueue& queue) { return push_number(queue, 1); };
  for (int round = 0; round < 4; ++round) {
    turn(desk, [&](EventQueue& queue) { return push_long(queue, message); });
    for (int i = 0; i < 1'000; ++i) turn(other, push_small);
    turn(desk, [&](EventQueue& queue) { return push_long(queue, message); });
    for (int i = 0; i < 1'000; ++i) turn(desk, push_small);
  }
  CHECK(pool->lent() == 0);
}

TEST_CASE("event batches: the pages that a long message has written are given back, and its room stays") {
  const std::vector<std::byte> message(kLongSequenced, std::byte{7});
  Desk desk(Batches::kOnSameThread, kLongSequenced);
  REQUIRE(push_long(desk.queue, message));
  REQUIRE(desk.set_aside());
  Storage& storage = desk.take();
  // Held, so that nothing else comes to lie there.
  const SharedMemory written = storage.slab;
  desk.batches.give_back(&storage);
  for (int i = 0; i < 1'000; ++i) {
    desk.push(0, 1);
    REQUIRE(desk.set_aside());
    CHECK(desk.read() == range(0, 1));
  }
  CHECK(storage.slab.data() != written.data());
  CHECK(storage.slab.size() == Storage::least_bytes_for(kLongSequenced));
}

TEST_CASE("event batches: a message for which a slab grew finds room again as long as such messages come") {
  // Less than a slab has at first, and too much for one all the same.
  const std::vector<std::byte> message(230'000, std::byte{7});
  REQUIRE(message.size() < Storage::kLeastSlabBytes);
  Desk desk;
  int refused = 0;
  for (int i = 0; i < 2'000; ++i) {
    while (!push_long(desk.queue, message)) {
      ++refused;
      REQUIRE(refused < 100);
      static_cast<void>(desk.set_aside());
    }
    REQUIRE(desk.set_aside());
    static_cast<void>(desk.read());
  }
  // Once for each storage.
  CHECK(refused == 2);
}

TEST_CASE("event batches: a slab that grew shrinks also when short messages wait again and again") {
  Desk desk;
  pass_long_message(desk, std::size_t{16} << 20U);
  REQUIRE(desk.set_aside());
  Storage& large = desk.take();
  desk.batches.give_back(&large);
  for (int i = 0; i < 1'000; ++i) {
    desk.push(0, 1);
    desk.queue.want_room(1);
    REQUIRE(desk.set_aside());
    CHECK(desk.read() == range(0, 1));
  }
  CHECK(large.slab.size() == Storage::kLeastSlabBytes);
}

TEST_CASE("event batches: endpoints of one thread have a storage only in their turns") {
  auto pool = std::make_shared<EventStoragePool<View>>();
  std::vector<std::unique_ptr<SharingDesk>> desks;
  for (int i = 0; i < 1'000; ++i) desks.push_back(std::make_unique<SharingDesk>(pool));
  for (const auto& desk : desks) {
    CHECK_FALSE(desk->queue.has_room());
    desk->batches.attach(desk->queue);
    CHECK(desk->queue.has_room());
    REQUIRE(push_number(desk->queue, 1));
    desk->batches.make_room();
    REQUIRE(desk->batches.set_aside(desk->queue));
    CHECK(pool->lent() == 2);
    CHECK(desk->read() == range(1, 2));
    desk->batches.detach(desk->queue);
    CHECK(pool->lent() == 0);
  }
  CHECK(View::alive <= 2);
}

TEST_CASE("event batches: calls of many endpoints take few storages, and lose no news") {
  auto pool = std::make_shared<EventStoragePool<View>>();
  std::vector<std::unique_ptr<SharingDesk>> desks;
  std::array<std::byte, 4> bytes{};
  for (std::uint32_t i = 0; i < 100; ++i) {
    desks.push_back(std::make_unique<SharingDesk>(pool));
    SharingDesk& desk = *desks.back();
    desk.batches.attach_for_call(desk.queue);
    store_little_endian(bytes.data(), i);
    desk.queue.put(EventKind::kDisconnect, Handle{i, 1}, 0, bytes);
    desk.batches.detach(desk.queue);
  }
  CHECK(pool->lent() <= 4);
  for (std::uint32_t i = 0; i < 100; ++i) {
    SharingDesk& desk = *desks[i];
    desk.batches.attach(desk.queue);
    desk.batches.make_room();
    REQUIRE(desk.batches.set_aside(desk.queue));
    CHECK(desk.read() == range(i, i + 1));
    desk.batches.detach(desk.queue);
  }
  CHECK(pool->lent() == 0);
}

TEST_CASE("event batches: an endpoint that ends gives its storages back") {
  auto pool = std::make_shared<EventStoragePool<View>>();
  {
    SharingDesk desk(pool);
    desk.batches.attach(desk.queue);
    REQUIRE(push_number(desk.queue, 1));
    desk.batches.make_room();
    REQUIRE(desk.batches.set_aside(desk.queue));
    SUBCASE("when it is stopped and its batches are forgotten") {
      desk.batches.stop(desk.queue);
      desk.batches.clear();
      CHECK(pool->lent() == 0);
    }
    SUBCASE("when it dies") {}
  }
  CHECK(pool->lent() == 0);
  CHECK(View::alive <= 2);
}

TEST_CASE("event batches: a reader who has not taken a batch gets the next with all that came meanwhile") {
  Desk desk(Batches::kOnOtherThread);
  desk.push(0, 1);
  REQUIRE(desk.set_aside());
  for (std::uint32_t number = 1; number < 100; ++number) {
    desk.push(number, number + 1);
    CHECK_FALSE(desk.set_aside());
  }
  CHECK(desk.read() == range(0, 1));
  REQUIRE(desk.set_aside());
  CHECK(desk.read() == range(1, 100));
}

TEST_CASE("event batches: a queue without room is set aside though the reader is behind") {
  Desk desk(Batches::kOnOtherThread);
  desk.push(0, 1);
  REQUIRE(desk.set_aside());
  std::uint32_t number = 1;
  while (desk.queue.has_room()) desk.push(number, number + 1), ++number;
  REQUIRE(desk.set_aside());
  SUBCASE("and one for whose storage a message waits too") {
    desk.push(number, number + 1);
    CHECK_FALSE(desk.set_aside());
    desk.queue.want_room(1);
    REQUIRE(desk.set_aside());
    CHECK(desk.read() == range(0, 1));
    CHECK(desk.read() == range(1, number));
    CHECK(desk.read() == range(number, number + 1));
  }
}

TEST_CASE("event batches: an endpoint that waits for its batch to be taken is told so once") {
  Desk desk(Batches::kOnOtherThread);
  desk.push(0, 1);
  REQUIRE(desk.set_aside());
  desk.push(1, 2);
  Storage* const first = desk.batches.take();
  CHECK_FALSE(desk.batches.endpoint_waits());
  REQUIRE(desk.set_aside());
  desk.push(2, 3);
  REQUIRE_FALSE(desk.set_aside());
  Storage* const second = desk.batches.take();
  CHECK(desk.batches.endpoint_waits());
  CHECK_FALSE(desk.batches.endpoint_waits());
  desk.batches.give_back(first);
  desk.batches.give_back(second);
  CHECK_FALSE(desk.batches.endpoint_waits());
  CHECK(desk.set_aside());
}

TEST_CASE("event batches: an endpoint that waits for a storage is told so once one is there") {
  Desk desk;
  desk.push(0, 1);
  REQUIRE(desk.set_aside());
  Storage& taken = desk.take();
  CHECK_FALSE(desk.batches.endpoint_waits());
  desk.push(1, 2);
  REQUIRE_FALSE(desk.set_aside());
  SUBCASE("that was given back") { desk.batches.give_back(&taken); }
  SUBCASE("that came in the place of another") { desk.batches.discard(&taken); }
  CHECK(desk.batches.endpoint_waits());
  CHECK_FALSE(desk.batches.endpoint_waits());
  REQUIRE(desk.set_aside());
  CHECK_FALSE(desk.batches.endpoint_waits());
  CHECK(desk.read() == range(1, 2));
}

TEST_CASE("event batches: what a queue had to keep comes in order, in as many batches at once as it fills") {
  Desk desk(Batches::kOnOtherThread);
  constexpr auto kEach = static_cast<std::uint32_t>(Storage::kSlabDescriptors);
  constexpr std::uint32_t kLast = 100;
  std::array<std::byte, 4> bytes{};
  for (std::uint32_t number = 0; number < 3 * kEach + kLast; ++number) {
    store_little_endian(bytes.data(), number);
    desk.queue.put(EventKind::kDisconnect, Handle{number, 1}, 0, bytes);
  }
  REQUIRE(desk.set_aside());
  CHECK(desk.queue.kept() == 0);
  CHECK(desk.queue.count() == kLast);
  for (std::uint32_t batch = 0; batch < 3; ++batch)
    CHECK(desk.read() == range(batch * kEach, (batch + 1) * kEach));
  CHECK_FALSE(desk.batches.waiting());
  REQUIRE(desk.set_aside());
  CHECK(desk.read() == range(3 * kEach, 3 * kEach + kLast));
}

TEST_CASE("event batches: a call that causes many events finds room, and its storages go afterwards") {
  Desk desk;
  constexpr std::uint32_t kBatches = 40;
  for (std::uint32_t number = 0; number < kBatches; ++number) {
    desk.push(number, number + 1);
    desk.batches.make_room();
    REQUIRE(desk.set_aside());
  }
  CHECK(View::alive == kBatches + 1);
  SUBCASE("when they have been read") {
    for (std::uint32_t number = 0; number < kBatches; ++number)
      CHECK(desk.read() == range(number, number + 1));
  }
  SUBCASE("when users took them away") {
    for (std::uint32_t number = 0; number < kBatches; ++number) desk.batches.discard(&desk.take());
  }
  SUBCASE("when they were forgotten") { desk.batches.clear(); }
  CHECK_FALSE(desk.batches.waiting());
  CHECK(View::alive == static_cast<int>(Batches::kOnSameThread));
  desk.push(kBatches, kBatches + 1);
  REQUIRE(desk.set_aside());
  CHECK(desk.read() == range(kBatches, kBatches + 1));
}

TEST_CASE("event batches: a storage comes back with what the reader keeps with it") {
  Desk desk;
  for (std::uint32_t number = 0; number < 10; ++number) {
    desk.push(number, number + 1);
    REQUIRE(desk.set_aside());
    Storage& storage = desk.take();
    CHECK(storage.view.mark == (number < Batches::kOnSameThread ? 0 : 1));
    storage.view.mark = 1;
    desk.batches.give_back(&storage);
  }
}

TEST_CASE("event batches: nobody writes into memory that has become another's") {
  Desk desk;
  desk.push(0, 100);
  REQUIRE(desk.set_aside());
  Storage& taken = desk.take();
  taken.view.mark = 1;
  const std::shared_ptr<std::byte[]> others = taken.slab.share();
  const std::size_t size = taken.slab.size();
  SUBCASE("and its events are in a fresh storage when they have not been read") {
    Storage* const fresh = desk.batches.replace(&taken);
    REQUIRE(fresh != nullptr);
    CHECK(fresh->slab.data() != others.get());
    CHECK(fresh->view.mark == 0);
    CHECK(numbers_of(*fresh) == range(0, 100));
    desk.batches.give_back(fresh);
  }
  SUBCASE("and another takes its place when they have") { desk.batches.discard(&taken); }
  CHECK(View::alive == static_cast<int>(Batches::kOnSameThread));
  std::ranges::fill(std::span(others.get(), size), std::byte{0xee});
  for (std::uint32_t number = 100; number < 110; ++number) {
    desk.push(number, number + 1);
    REQUIRE(desk.set_aside());
    CHECK(desk.read() == range(number, number + 1));
  }
  CHECK(std::ranges::all_of(std::span(others.get(), size), [](std::byte b) { return b == std::byte{0xee}; }));
}

// Both sides sleep until the other tells them: whoever is not told when it should be stands still.
class TwoThreads {
 public:
  explicit TwoThreads(std::size_t storages) { batches_.start(queue_, storages, 0); }

  // How often a message waited for room.
  [[nodiscard]] int wanted() const { return wanted_; }

  // Whether `events` of them came, one after the other.
  [[nodiscard]] bool pass(std::uint32_t events) {
    std::atomic<bool> all_set_aside = false;
    std::thread endpoint([&] { all_set_aside = run_endpoint(events); });
    const bool all_read = run_reader(events);
    endpoint.join();
    return all_read && all_set_aside;
  }

 private:
  // What this side knew when it looked for work last: anything else is a reason to look again.
  static bool wait(const std::atomic<std::uint32_t>& told, std::uint32_t known) {
    return eventually([&] { return told.load(std::memory_order_acquire) != known; });
  }

  bool run_endpoint(std::uint32_t events) {
    SeededRandom random(events);
    std::uint32_t number = 0;
    while (number < events || queue_.count() > 0) {
      for (std::uint64_t left = random.u64() % 4; left > 0 && number < events && push(number); --left)
        ++number;
      // As long as the other side takes for a batch, more or less, so that they meet at every point.
      for (std::uint64_t left = random.u64() % 512; left > 0; --left)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      const std::uint32_t known = room_told_.load(std::memory_order_acquire);
      if (batches_.set_aside(queue_)) {
        batches_told_.fetch_add(1, std::memory_order_release);
      } else if (queue_.count() > 0 && !wait(room_told_, known)) {
        return false;
      }
    }
    return true;
  }
  // One is too long for a slab now and then, after so many that slabs have become short again. It waits, and
  // the slab grows on this thread.
  bool push(std::uint32_t number) {
    if (number % 10'000 != 9'999) return push_number(queue_, number, 4 + number % 64);
    store_little_endian(long_message_.data(), number);
    if (queue_.push(EventKind::kMessage, Handle{number, 1}, 0, long_message_)) return true;
    queue_.want_room(long_message_.size());
    ++wanted_;
    return false;
  }

  bool run_reader(std::uint32_t events) {
    std::uint32_t next = 0;
    while (next < events) {
      const std::uint32_t known = batches_told_.load(std::memory_order_acquire);
      while (Storage* const batch = batches_.take()) {
        tell_of_room();
        for (const std::uint32_t number : numbers_of(*batch)) {
          if (number != next++) return false;
        }
        batches_.give_back(batch);
        tell_of_room();
      }
      if (next < events && !wait(batches_told_, known)) return false;
    }
    return true;
  }
  void tell_of_room() {
    if (batches_.endpoint_waits()) room_told_.fetch_add(1, std::memory_order_release);
  }

  Batches batches_;
  EventQueue queue_;
  std::vector<std::byte> long_message_ = std::vector<std::byte>(300'000);
  int wanted_ = 0;
  std::atomic<std::uint32_t> room_told_ = 0;
  std::atomic<std::uint32_t> batches_told_ = 0;
};

TEST_CASE("event batches: two threads that sleep until they are told lose nothing and keep the order") {
  for (const std::size_t storages : {Batches::kOnSameThread, Batches::kOnOtherThread}) {
    TwoThreads threads(storages);
    CHECK(threads.pass(150'000));
    // Also after slabs had become short again.
    CHECK(threads.wanted() > static_cast<int>(storages));
  }
}

}  // namespace
}  // namespace hawser::test
