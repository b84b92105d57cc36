#include "base/index_set.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <set>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

TEST_CASE("index set: agrees with std::set") {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t bound = 1 + random.below(500);
    IndexSet indices;
    std::set<std::size_t> model;
    for (int step = 0; step < 1000; ++step) {
      const std::size_t index = random.below(bound);
      if (random.below(3) == 0) {
        indices.insert(index);
        model.insert(index);
      } else {
        indices.erase(index);
        model.erase(index);
      }
      REQUIRE(indices.lowest() == (model.empty() ? IndexSet::kNone : *model.begin()));
    }
  }
}

TEST_CASE("index set: allocates only for an index higher than before") {
  IndexSet indices;
  indices.insert(1000);
  const AllocationCount scope;
  for (std::size_t index = 0; index < 1000; ++index) {
    indices.insert(index);
    indices.erase(indices.lowest());
  }
  CHECK(scope.count() == 0);
  CHECK(indices.lowest() == 1000);
}

}  // namespace
}  // namespace hawser
