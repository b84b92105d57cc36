#include "base/hash_index.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <unordered_map>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

// Objects with keys, of which the index knows the numbers. Keys are their own hashes, or all have one hash.
class Keys {
 public:
  explicit Keys(std::size_t max, bool collide = false) : index_(max), collide_(collide) {}

  std::optional<std::uint32_t> find(std::uint64_t key) {
    const std::uint32_t* const number = index_.find(hash(key), is(key));
    return number != nullptr ? std::optional(*number) : std::nullopt;
  }
  bool add(std::uint64_t key) {
    keys_.push_back(key);
    return index_.insert(hash(key), static_cast<std::uint32_t>(keys_.size() - 1));
  }
  bool erase(std::uint64_t key) { return index_.erase(hash(key), is(key)); }

  [[nodiscard]] const HashIndex& index() const { return index_; }

 private:
  [[nodiscard]] std::uint64_t hash(std::uint64_t key) const { return collide_ ? 7 : key; }
  [[nodiscard]] std::function<bool(std::uint32_t)> is(std::uint64_t key) const {
    return [this, key](std::uint32_t number) { return keys_[number] == key; };
  }

  HashIndex index_;
  bool collide_;
  std::vector<std::uint64_t> keys_;
};

TEST_CASE("hash index: finds what was inserted, and nothing else") {
  Keys keys(10);
  CHECK(keys.find(5) == std::nullopt);
  CHECK(keys.add(5));
  CHECK(keys.add(6));
  CHECK(keys.find(5) == 0U);
  CHECK(keys.find(6) == 1U);
  CHECK(keys.find(7) == std::nullopt);
  CHECK(keys.erase(5));
  CHECK_FALSE(keys.erase(5));
  CHECK(keys.find(5) == std::nullopt);
  CHECK(keys.find(6) == 1U);
}

TEST_CASE("hash index: keys of one hash are told apart by their owners") {
  Keys keys(100, true);
  for (std::uint64_t key = 0; key < 100; ++key) REQUIRE(keys.add(key));
  for (std::uint64_t key = 0; key < 100; key += 2) REQUIRE(keys.erase(key));
  for (std::uint64_t key = 0; key < 100; ++key) {
    CAPTURE(key);
    REQUIRE(keys.find(key).has_value() == (key % 2 == 1));
  }
}

TEST_CASE("hash index: refuses above its limit") {
  Keys keys(2);
  CHECK(keys.add(1));
  CHECK(keys.add(2));
  CHECK_FALSE(keys.add(3));
  CHECK(keys.find(3) == std::nullopt);
  CHECK(keys.erase(1));
  CHECK(keys.add(4));
}

TEST_CASE(
    "hash index: eight bytes a slot, a quarter of which stays empty, and none before the first insert") {
  Keys keys(1000);
  CHECK(keys.index().allocated_bytes() == 0);
  for (std::uint64_t key = 0; key < 12; ++key) REQUIRE(keys.add(key));
  CHECK(keys.index().allocated_bytes() == 16 * 8);
  REQUIRE(keys.add(12));
  CHECK(keys.index().allocated_bytes() == 32 * 8);
}

TEST_CASE("hash index: coming and going allocates nothing") {
  HashIndex index(100);
  const auto is = [](std::uint32_t number) { return number == 3; };
  REQUIRE(index.insert(3, 3));
  const AllocationCount allocations;
  for (int i = 0; i < 1000; ++i) {
    CHECK(index.erase(3, is));
    CHECK(index.insert(3, 3));
  }
  CHECK(allocations.count() == 0);
}

TEST_CASE("hash index: agrees with a map") {
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    // Few distinct low bits: long runs, which wrap around the end of the table.
    const std::uint32_t spread = seed % 2 == 0 ? 400 : 24;
    Keys keys(300);
    std::unordered_map<std::uint64_t, std::uint32_t> model;
    std::uint32_t added = 0;
    for (int step = 0; step < 20'000; ++step) {
      const std::uint64_t key = std::uint64_t{random.below(spread)} | std::uint64_t{random.below(16)} << 32U;
      const auto found = model.find(key);
      REQUIRE(keys.find(key) == (found == model.end() ? std::nullopt : std::optional(found->second)));
      if (found != model.end()) {
        REQUIRE(keys.erase(key));
        model.erase(found);
      } else if (random.below(3) != 0) {
        REQUIRE(keys.add(key) == (model.size() < 300));
        if (model.size() < 300) model[key] = added;
        ++added;
      }
    }
  }
}

}  // namespace
}  // namespace hawser
