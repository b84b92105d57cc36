#include "base/slot_pool.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

// Counts the living, and holds its number where a mix-up of objects would be seen.
class Counted {
 public:
  Counted(int& alive, std::uint64_t number) : alive_(alive), number_(number) { ++alive_; }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() { --alive_; }

  [[nodiscard]] std::uint64_t number() const { return number_; }

 private:
  int& alive_;
  std::uint64_t number_;
};

TEST_CASE("slot pool: makes, finds and ends objects") {
  int alive = 0;
  SlotPool<Counted> pool(10);
  Counted* first = pool.create(alive, 1U);
  Counted* second = pool.create(alive, 2U);
  REQUIRE(first != nullptr);
  REQUIRE(second != nullptr);
  CHECK(alive == 2);
  CHECK(pool.size() == 2);
  const Handle handle = pool.handle_of(*first);
  CHECK(handle == Handle{0, 1});
  CHECK(pool.get(handle) == first);
  CHECK(pool.get(pool.handle_of(*second)) == second);
  pool.destroy(*first);
  CHECK(alive == 1);
  CHECK(pool.get(handle) == nullptr);
}

TEST_CASE("slot pool: a handle is stale for good once its object is gone") {
  SlotPool<int> pool(1);
  std::vector<Handle> stale;
  for (int i = 0; i < 100; ++i) {
    int* object = pool.create(i);
    const Handle handle = pool.handle_of(*object);
    CHECK(handle.generation == static_cast<std::uint32_t>(i + 1));
    for (const Handle old : stale) REQUIRE(pool.get(old) == nullptr);
    REQUIRE(pool.get(handle) == object);
    pool.destroy(*object);
    stale.push_back(handle);
  }
}

TEST_CASE("slot pool: finds what lives in a slot, whatever its generation") {
  SlotPool<int> pool(100);
  CHECK(pool.at(0) == nullptr);
  pool.destroy(*pool.create(1));
  CHECK(pool.at(0) == nullptr);
  int* const object = pool.create(2);
  CHECK(pool.at(0) == object);
  CHECK(pool.at(1) == nullptr);
  CHECK(pool.at(64) == nullptr);
  CHECK(pool.at(UINT32_MAX) == nullptr);
}

TEST_CASE("slot pool: objects are aligned as their type asks, small and large ones") {
  struct alignas(64) Small {
    std::byte content;
  };
  struct Large {
    alignas(16) std::array<std::byte, 600> content;
  };
  SlotPool<Small> small(100);
  SlotPool<Large> large(100);
  for (int i = 0; i < 100; ++i) {
    CHECK(reinterpret_cast<std::uintptr_t>(small.create()) % 64 == 0);
    CHECK(reinterpret_cast<std::uintptr_t>(large.create()) % 16 == 0);
  }
}

TEST_CASE("slot pool: any handle may be asked for") {
  SlotPool<int> pool(100);
  CHECK(pool.get(Handle{}) == nullptr);
  int* object = pool.create(5);
  CHECK(pool.get(Handle{}) == nullptr);
  CHECK(pool.get(Handle{0, 2}) == nullptr);
  CHECK(pool.get(Handle{1, 1}) == nullptr);
  CHECK(pool.get(Handle{64, 1}) == nullptr);
  CHECK(pool.get(Handle{UINT32_MAX, UINT32_MAX}) == nullptr);
  const Handle handle = pool.handle_of(*object);
  pool.destroy(*object);
  // The generation the slot will have next, while nothing lives there.
  CHECK(pool.get(Handle{handle.slot, handle.generation + 1}) == nullptr);
}

TEST_CASE("slot pool: refuses above its limit, whatever the limit is") {
  for (const std::uint32_t limit : {0U, 1U, 63U, 64U, 65U, 200U, 8'191U, 8'192U, 8'193U}) {
    CAPTURE(limit);
    SlotPool<std::uint32_t> pool(limit);
    CHECK(pool.max() == limit);
    std::vector<std::uint32_t*> objects;
    for (std::uint32_t i = 0; i < limit; ++i) {
      objects.push_back(pool.create(i));
      REQUIRE(objects.back() != nullptr);
      REQUIRE(pool.handle_of(*objects.back()).slot == i);
    }
    CHECK(pool.create(0U) == nullptr);
    for (std::uint32_t i = 0; i < limit; ++i) REQUIRE(*objects[i] == i);
    if (limit == 0) continue;
    pool.destroy(*objects[limit / 2]);
    CHECK(pool.create(7U) == objects[limit / 2]);
    CHECK(pool.create(8U) == nullptr);
  }
}

TEST_CASE("slot pool: a small one allocates what it uses, a large one 64 slots at a time") {
  struct Step {
    std::uint32_t max;
    std::uint32_t slots;
  };
  for (const Step step : {Step{1, 1}, Step{8, 1}, Step{128, 1}, Step{255, 1}, Step{256, 2}, Step{1'000, 4},
                          Step{8'191, 32}, Step{8'192, 64}, Step{1'000'000, 64}}) {
    CAPTURE(step.max);
    SlotPool<int> pool(step.max);
    CHECK(pool.allocated_bytes() == 0);
    static_cast<void>(pool.create(0));
    const std::size_t one_chunk = pool.allocated_bytes();
    for (std::uint32_t i = 1; i < step.slots; ++i) static_cast<void>(pool.create(0));
    CHECK(pool.allocated_bytes() == one_chunk);
    if (step.max == 1) continue;
    static_cast<void>(pool.create(0));
    CHECK(pool.allocated_bytes() == 2 * one_chunk);
  }
}

TEST_CASE("slot pool: a chunk that was released comes back with fresh generations") {
  SlotPool<int> pool(64 * 8);
  std::vector<Handle> stale;
  for (int round = 0; round < 20; ++round) {
    std::vector<int*> objects;
    for (int i = 0; i < 64 * 8; ++i) {
      objects.push_back(pool.create(i));
      const Handle handle = pool.handle_of(*objects.back());
      REQUIRE(pool.get(handle) == objects.back());
      stale.push_back(handle);
    }
    for (int* object : objects) pool.destroy(*object);
    // All chunks but one spare are gone now.
    for (const Handle handle : stale) REQUIRE(pool.get(handle) == nullptr);
  }
  for (int i = 0; i < 64 * 8; ++i) static_cast<void>(pool.create(i));
  for (const Handle handle : stale) REQUIRE(pool.get(handle) == nullptr);
}

TEST_CASE("slot pool: the memory of a flood is released, but for one spare chunk") {
  struct Large {
    std::array<std::byte, 1024> content;
  };
  SlotPool<Large> pool(64 * 128);
  Large* kept = pool.create();
  std::vector<Large*> flood;
  flood.reserve(64 * 128 - 1);
  for (int i = 0; i < 64 * 128 - 1; ++i) flood.push_back(pool.create());
  for (Large* object : flood) pool.destroy(*object);
  // The spare chunk serves without allocating; the one after it has to be made anew.
  for (int i = 0; i < 127; ++i) {
    const AllocationCount scope;
    static_cast<void>(pool.create());
    REQUIRE(scope.count() == 0);
  }
  const AllocationCount scope;
  static_cast<void>(pool.create());
  CHECK(scope.count() > 0);
  CHECK(pool.handle_of(*kept).slot == 0);
}

TEST_CASE("slot pool: coming and going around the edge of a chunk allocates nothing") {
  for (const std::uint32_t max : {8U, 1'000U, 10'000U}) {
    CAPTURE(max);
    SlotPool<int> pool(max);
    static_cast<void>(pool.create(0));
    const std::size_t one_chunk = pool.allocated_bytes();
    while (pool.allocated_bytes() == one_chunk) static_cast<void>(pool.create(0));
    // One object is in the second chunk.
    const AllocationCount scope;
    for (std::uint32_t i = 0; i < 1'000; ++i) {
      pool.destroy(*pool.at(pool.size() - 1));
      static_cast<void>(pool.create(0));
    }
    CHECK(scope.count() == 0);
  }
}

TEST_CASE("slot pool: visits in slot order, and the visitor may destroy anything") {
  SlotPool<std::uint32_t> pool(300);
  std::vector<std::uint32_t*> objects;
  for (std::uint32_t i = 0; i < 300; ++i) objects.push_back(pool.create(i));
  std::vector<std::uint32_t> visited;
  pool.for_each([&](std::uint32_t& value) {
    visited.push_back(value);
    // Each visit ends the visited object and, from the other end, one not yet visited.
    const std::uint32_t last = 299 - value;
    pool.destroy(value == last ? value : *objects[last]);
    if (value != last) pool.destroy(value);
  });
  REQUIRE(visited.size() == 150);
  for (std::uint32_t i = 0; i < 150; ++i) CHECK(visited[i] == i);
  CHECK(pool.size() == 0);
}

TEST_CASE("slot pool: destroys what is left with it") {
  int alive = 0;
  {
    SlotPool<Counted> pool(200);
    for (std::uint64_t i = 0; i < 150; ++i) static_cast<void>(pool.create(alive, i));
    CHECK(alive == 150);
  }
  CHECK(alive == 0);
}

TEST_CASE("slot pool: a constructor and a destructor may use the pool") {
  struct Nested {
    Nested(SlotPool<Nested>& pool, int depth) : owner(pool) {
      if (depth > 0) child = pool.create(pool, depth - 1);
    }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    ~Nested() {
      if (child != nullptr) owner.destroy(*child);
    }
    SlotPool<Nested>& owner;
    Nested* child = nullptr;
  };
  SlotPool<Nested> pool(100);
  Nested* top = pool.create(pool, 9);
  CHECK(pool.size() == 10);
  CHECK(top->child != top);
  pool.destroy(*top);
  CHECK(pool.size() == 0);
}

TEST_CASE("slot pool: keeps the alignment an object asks for, with at most 16 bytes of its own per slot") {
  struct alignas(64) Aligned {
    std::uint64_t value;
  };
  SlotPool<Aligned> pool(100);
  for (int i = 0; i < 100; ++i) {
    const Aligned* object = pool.create();
    REQUIRE(reinterpret_cast<std::uintptr_t>(object) % 64 == 0);
  }
  struct Plain {
    std::array<std::uint64_t, 4> values;
  };
  // Two in one chunk.
  SlotPool<Plain> plain(256);
  const auto first = reinterpret_cast<std::uintptr_t>(plain.create());
  const auto second = reinterpret_cast<std::uintptr_t>(plain.create());
  CHECK(second - first <= sizeof(Plain) + 16);
}

TEST_CASE("slot pool: random creation and destruction keeps objects and handles apart") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    int alive = 0;
    // With chunks of all sizes.
    const std::uint32_t limit = 1 + random.below(1U << (1 + random.below(14)));
    SlotPool<Counted> pool(limit);
    std::vector<std::pair<Handle, std::uint64_t>> living;
    std::vector<Handle> gone;
    // Drifts between filling up and emptying, so that chunks come and go.
    std::uint32_t bias = 50;
    for (std::uint64_t step = 0; step < 5000; ++step) {
      if (random.below(500) == 0) bias = 20 + random.below(60);
      if (random.below(100) < bias) {
        Counted* object = pool.create(alive, step);
        REQUIRE((object == nullptr) == (living.size() == limit));
        if (object != nullptr) living.emplace_back(pool.handle_of(*object), step);
      } else if (!living.empty()) {
        auto& chosen = living[random.below(static_cast<std::uint32_t>(living.size()))];
        Counted* object = pool.get(chosen.first);
        REQUIRE(object != nullptr);
        REQUIRE(object->number() == chosen.second);
        pool.destroy(*object);
        gone.push_back(chosen.first);
        chosen = living.back();
        living.pop_back();
      }
      REQUIRE(pool.size() == living.size());
      REQUIRE(alive == static_cast<int>(living.size()));
    }
    for (const auto& [handle, number] : living) REQUIRE(pool.get(handle)->number() == number);
    for (const Handle handle : gone) REQUIRE(pool.get(handle) == nullptr);
  }
}

}  // namespace
}  // namespace hawser
