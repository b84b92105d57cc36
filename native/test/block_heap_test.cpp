#include "base/block_heap.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

TEST_CASE("block heap: the least comes first, whatever comes, goes and is removed") {
  SeededRandom random(1);
  BlockPool pool(SIZE_MAX, 1 << 20U);
  BlockHeap<std::uint32_t> heap;
  std::vector<std::uint32_t> model;
  for (int i = 0; i < 20'000; ++i) {
    const bool grows = (i / 1'000) % 2 == 0;
    if (random.below(3) < (grows ? 2U : 1U)) {
      const std::uint32_t value = random.below(1'000);
      REQUIRE(heap.push(pool, value));
      model.insert(std::ranges::upper_bound(model, value), value);
    } else if (!model.empty()) {
      REQUIRE(heap.top() == model.front());
      REQUIRE(heap.pop() == model.front());
      model.erase(model.begin());
    }
    if (random.below(500) == 0) {
      const auto odd = [](std::uint32_t value) { return value % 2 == 1; };
      heap.remove_if(odd);
      std::erase_if(model, odd);
    }
    REQUIRE(heap.size() == model.size());
    REQUIRE((pool.in_use() == 0) == model.empty());
  }
}

TEST_CASE("block heap: without memory a push changes nothing") {
  BlockPool pool(64, 0);
  BlockHeap<std::uint64_t> heap;
  for (std::uint64_t value = 8; value > 0; --value) REQUIRE(heap.push(pool, value));
  CHECK_FALSE(heap.push(pool, 0));
  for (std::uint64_t value = 1; value <= 8; ++value) CHECK(heap.pop() == value);
  CHECK(pool.in_use() == 0);
}

}  // namespace
}  // namespace hawser
