#include "base/shared_memory.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace hawser {
namespace {

TEST_CASE("shared memory: is zeros at first, of the size that was asked for, and aligned for anything") {
  for (const std::size_t size : {std::size_t{1}, std::size_t{63}, std::size_t{1} << 20U}) {
    const SharedMemory memory(size);
    CHECK(memory.size() == size);
    CHECK(reinterpret_cast<std::uintptr_t>(memory.data()) % alignof(std::max_align_t) == 0);
    CHECK(std::ranges::all_of(std::span(memory.data(), size), [](std::byte b) { return b == std::byte{}; }));
  }
}

TEST_CASE("shared memory: lives as long as its last holder, and is the same for all of them") {
  std::optional<SharedMemory> memory(std::in_place, 16);
  const std::shared_ptr<std::byte[]> holder = memory->share();
  memory->data()[15] = std::byte{7};
  memory.reset();
  CHECK(holder[15] == std::byte{7});
}

}  // namespace
}  // namespace hawser
