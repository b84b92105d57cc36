#include "base/hash_map.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <unordered_map>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

constexpr SipKey kKey{0x0123456789abcdefU, 0xfedcba9876543210U};

// A key whose hash the test chooses, for runs that collide and wrap around the end of the table.
struct ChosenHash {
  std::uint64_t hash = 0;
  std::uint64_t id = 0;
  friend bool operator==(const ChosenHash&, const ChosenHash&) = default;
};

std::uint64_t hash_value(const SipKey&, const ChosenHash& key) { return key.hash; }

TEST_CASE("hash map: insert, find, erase") {
  HashMap<std::uint32_t, int> map(kKey, 100);
  CHECK(map.find(1) == nullptr);
  CHECK_FALSE(map.erase(1));
  const auto [value, inserted] = map.insert(1, 10);
  REQUIRE(value != nullptr);
  CHECK(inserted);
  CHECK(*value == 10);
  const auto [existing, again] = map.insert(1, 20);
  CHECK_FALSE(again);
  CHECK(existing == value);
  CHECK(*existing == 10);
  *map.find(1) = 30;
  const auto& constant = map;
  CHECK(*constant.find(1) == 30);
  CHECK(map.size() == 1);
  CHECK(map.erase(1));
  CHECK_FALSE(map.erase(1));
  CHECK(map.size() == 0);
  CHECK(map.find(1) == nullptr);
}

TEST_CASE("hash map: refuses what is above its limit, and never evicts") {
  HashMap<std::uint64_t, std::uint64_t> map(kKey, 100);
  for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(map.insert(i, i).second);
  for (std::uint64_t i = 100; i < 5000; ++i) {
    const auto [value, inserted] = map.insert(i, i);
    REQUIRE(value == nullptr);
    REQUIRE_FALSE(inserted);
  }
  CHECK(map.size() == 100);
  CHECK(map.capacity() == 256);
  for (std::uint64_t i = 0; i < 100; ++i) REQUIRE(*map.find(i) == i);
  // One that is in is still found when the map is full, and a place that is given up can be taken.
  CHECK(*map.insert(5, 99).first == 5);
  CHECK(map.erase(5));
  CHECK(map.insert(5, 99).second);
}

TEST_CASE("hash map: a limit of none takes nothing and holds no memory") {
  HashMap<std::uint64_t, int> map(kKey, 0);
  CHECK(map.insert(1, 1).first == nullptr);
  CHECK(map.capacity() == 0);
}

TEST_CASE("hash map: grows at three quarters, and its memory is bounded as documented") {
  for (const std::size_t limit : {1U, 12U, 13U, 24U, 25U, 1000U, 5000U}) {
    CAPTURE(limit);
    HashMap<std::uint64_t, int> map(kKey, limit);
    for (std::uint64_t i = 0; i < limit; ++i) {
      map.insert(i, 0);
      REQUIRE(map.size() * 4 <= map.capacity() * 3);
      REQUIRE((map.capacity() == 4 || map.size() * 8 >= map.capacity() * 3));
    }
    CHECK(map.capacity() <= std::max<std::size_t>(4, limit * 8 / 3));
    CHECK(map.allocated_bytes() == map.capacity() * (16 + 4));
  }
}

TEST_CASE("hash map: clear gives the memory back") {
  HashMap<std::uint64_t, int> map(kKey, 1000);
  for (std::uint64_t i = 0; i < 1000; ++i) map.insert(i, 0);
  map.clear();
  CHECK(map.size() == 0);
  CHECK(map.capacity() == 0);
  CHECK(map.allocated_bytes() == 0);
  CHECK(map.find(3) == nullptr);
  CHECK(map.insert(3, 4).second);
}

TEST_CASE("hash map: deletion closes the gap in runs of equal hashes and around the end of the table") {
  // All hashes fall into the last three of 16 slots, so that runs wrap; every order of deletion is tried in
  // turn.
  constexpr std::uint64_t kEntries = 7;
  std::array<std::uint64_t, kEntries> order = {0, 1, 2, 3, 4, 5, 6};
  do {
    HashMap<ChosenHash, std::uint64_t> map(kKey, 12);
    const auto key = [](std::uint64_t id) { return ChosenHash{13 + id % 3, id}; };
    for (std::uint64_t id = 0; id < kEntries; ++id) map.insert(key(id), id);
    REQUIRE(map.capacity() == 16);
    for (std::size_t erased = 0; erased < kEntries; ++erased) {
      REQUIRE(map.erase(key(order[erased])));
      for (std::size_t i = 0; i < kEntries; ++i) {
        const std::uint64_t* value = map.find(key(order[i]));
        REQUIRE((value != nullptr) == (i > erased));
        REQUIRE((value == nullptr || *value == order[i]));
      }
    }
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("hash map: agrees with std::unordered_map") {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t keys = 1 + random.below(400);
    const std::size_t limit = 1 + random.below(300);
    const bool colliding = random.below(2) == 0;
    HashMap<ChosenHash, std::uint64_t> map(kKey, limit);
    std::unordered_map<std::uint64_t, std::uint64_t> model;
    const auto key = [&](std::uint64_t id) {
      return ChosenHash{colliding ? id % 7 * 31 : hawser::hash_value(kKey, id), id};
    };
    for (int step = 0; step < 3000; ++step) {
      const std::uint64_t id = random.below(keys);
      switch (random.below(8)) {
        case 0:
        case 1:
        case 2: {
          const auto [value, inserted] = map.insert(key(id), id + static_cast<std::uint64_t>(step));
          const auto found = model.find(id);
          if (found != model.end()) {
            REQUIRE_FALSE(inserted);
            REQUIRE(*value == found->second);
          } else if (model.size() == limit) {
            REQUIRE(value == nullptr);
          } else {
            REQUIRE(inserted);
            model.emplace(id, id + static_cast<std::uint64_t>(step));
          }
          break;
        }
        case 3:
        case 4:
          REQUIRE(map.erase(key(id)) == (model.erase(id) == 1));
          break;
        default: {
          const std::uint64_t* value = map.find(key(id));
          const auto found = model.find(id);
          REQUIRE((value != nullptr) == (found != model.end()));
          REQUIRE((value == nullptr || *value == found->second));
        }
      }
      REQUIRE(map.size() == model.size());
    }
    std::size_t visited = 0;
    map.for_each([&](const ChosenHash& found, std::uint64_t& value) {
      REQUIRE(model.at(found.id) == value);
      ++visited;
    });
    CHECK(visited == model.size());
  }
}

TEST_CASE("hash map: visits each entry once, and lets values be changed") {
  HashMap<std::uint64_t, std::uint64_t> map(kKey, 100);
  for (std::uint64_t i = 0; i < 50; ++i) map.insert(i, 0);
  map.for_each([](std::uint64_t key, std::uint64_t& value) { value += key; });
  std::uint64_t sum = 0;
  const auto& constant = map;
  constant.for_each([&](std::uint64_t key, const std::uint64_t& value) {
    CHECK(value == key);
    sum += value;
  });
  CHECK(sum == 49 * 50 / 2);
}

TEST_CASE("hash map: allocates nothing in steady state") {
  HashMap<std::uint64_t, std::uint64_t> map(kKey, 1000);
  map.reserve(1000);
  CHECK(map.capacity() == 2048);
  const AllocationCount scope;
  for (std::uint64_t i = 0; i < 20000; ++i) {
    map.insert(i, i);
    if (i >= 999) map.erase(i - 999);
    static_cast<void>(map.find(i / 2));
  }
  CHECK(scope.count() == 0);
  CHECK(map.size() == 999);
}

}  // namespace
}  // namespace hawser
