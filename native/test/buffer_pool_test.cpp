#include "base/buffer_pool.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"
#include "engine/packet_buffers.hpp"

namespace hawser {
namespace {

TEST_CASE("buffer pool: lends buffers and takes them back") {
  BufferPool pool(1200, 3);
  CHECK(pool.max() == 3);
  CHECK(pool.buffer_bytes() == 1200);
  CHECK(pool.allocated_bytes() == 0);
  {
    Buffer buffer = pool.acquire();
    REQUIRE(buffer);
    CHECK(buffer.size == 0);
    CHECK(buffer.storage().size() == 1200);
    CHECK(buffer.bytes().empty());
    std::memset(buffer.storage().data(), 7, 1200);
    buffer.size = 5;
    CHECK(buffer.bytes().size() == 5);
    CHECK(buffer.bytes().data() == buffer.storage().data());
    CHECK(pool.in_use() == 1);
  }
  CHECK(pool.in_use() == 0);
  CHECK(pool.peak() == 1);
}

TEST_CASE("buffer pool: gives an empty buffer when all are out") {
  BufferPool pool(100, 2);
  Buffer first = pool.acquire();
  const Buffer second = pool.acquire();
  const Buffer third = pool.acquire();
  CHECK(second);
  CHECK_FALSE(third);
  CHECK(third.storage().empty());
  CHECK(third.bytes().empty());
  first.reset();
  CHECK_FALSE(first);
  CHECK(first.size == 0);
  const Buffer fourth = pool.acquire();
  CHECK(fourth);
  CHECK(pool.peak() == 2);
  BufferPool none(100, 0);
  CHECK_FALSE(none.acquire());
}

TEST_CASE("buffer: moves, and is given back exactly once") {
  BufferPool pool(100, 10);
  Buffer first = pool.acquire();
  first.size = 3;
  const std::byte* storage = first.storage().data();
  Buffer second = std::move(first);
  CHECK(second.storage().data() == storage);
  CHECK(second.size == 3);
  // What a moved-from buffer is like is part of the contract.
  CHECK_FALSE(first);  // NOLINT(bugprone-use-after-move)
  CHECK(first.size == 0);
  CHECK(pool.in_use() == 1);

  Buffer third = pool.acquire();
  CHECK(pool.in_use() == 2);
  third = std::move(second);
  CHECK(pool.in_use() == 1);
  CHECK(third.storage().data() == storage);
  Buffer& same = third;
  third = std::move(same);
  CHECK(third.storage().data() == storage);
  CHECK(third.size == 3);
  third = Buffer();
  CHECK(pool.in_use() == 0);
  third.reset();
  CHECK(pool.in_use() == 0);
}

TEST_CASE("buffer pool: storage is aligned and apart from all other") {
  for (const std::size_t size : {1U, 15U, 16U, 17U, 1200U, 1500U}) {
    CAPTURE(size);
    BufferPool pool(size, 100);
    std::vector<Buffer> buffers;
    for (std::size_t i = 0; i < 100; ++i) {
      buffers.push_back(pool.acquire());
      REQUIRE(reinterpret_cast<std::uintptr_t>(buffers.back().storage().data()) % 16 == 0);
      std::memset(buffers.back().storage().data(), static_cast<int>(i), size);
    }
    for (std::size_t i = 0; i < 100; ++i) {
      const MutableBytes storage = buffers[i].storage();
      REQUIRE(std::all_of(storage.begin(), storage.end(),
                          [i](std::byte value) { return value == static_cast<std::byte>(i); }));
    }
  }
}

TEST_CASE("buffer pool: releases what was not needed since the last call, and nothing that is in use") {
  BufferPool pool(1000, 320);
  std::vector<Buffer> buffers;
  buffers.reserve(320);
  for (int i = 0; i < 320; ++i) buffers.push_back(pool.acquire());
  const std::size_t full = pool.allocated_bytes();
  // One buffer stays out in the seventh of ten chunks.
  Buffer kept = std::move(buffers[200]);
  std::memset(kept.storage().data(), 42, 1000);
  buffers.clear();
  // All of them were needed since the beginning.
  pool.release_idle();
  CHECK(pool.allocated_bytes() == full);
  pool.release_idle();
  CHECK(pool.allocated_bytes() == full / 10);
  // Chunks that are gone already are not counted again.
  pool.release_idle();
  CHECK(pool.allocated_bytes() == full / 10);
  CHECK(kept.storage()[999] == std::byte{42});

  for (int i = 0; i < 319; ++i) {
    buffers.push_back(pool.acquire());
    REQUIRE(buffers.back());
    std::memset(buffers.back().storage().data(), 1, 1000);
  }
  CHECK_FALSE(pool.acquire());
  CHECK(pool.allocated_bytes() == full);
  CHECK(kept.storage()[999] == std::byte{42});
  CHECK(pool.peak() == 320);
  buffers.clear();
  kept.reset();
  pool.release_idle();
  pool.release_idle();
  CHECK(pool.allocated_bytes() == 0);
  CHECK(pool.peak() == 320);
}

TEST_CASE("buffer pool: after a burst the low chunks are used, and the others are released") {
  BufferPool pool(100, 320);
  std::vector<Buffer> burst;
  burst.reserve(320);
  for (int i = 0; i < 320; ++i) burst.push_back(pool.acquire());
  burst.clear();
  pool.release_idle();
  std::vector<Buffer> steady;
  steady.reserve(32);
  for (int i = 0; i < 32; ++i) steady.push_back(pool.acquire());
  const std::size_t full = pool.allocated_bytes();
  pool.release_idle();
  CHECK(pool.allocated_bytes() == full / 10);
}

TEST_CASE("buffer pool: use that repeats between releases allocates nothing") {
  BufferPool pool(1200, 320);
  std::vector<Buffer> buffers(100);
  const auto use = [&] {
    for (Buffer& buffer : buffers) buffer = pool.acquire();
    for (Buffer& buffer : buffers) buffer.reset();
    pool.release_idle();
  };
  use();
  const AllocationCount scope;
  for (int round = 0; round < 10; ++round) use();
  CHECK(scope.count() == 0);
}

TEST_CASE("buffer pool: allocates nothing in steady state") {
  BufferPool pool(1200, 100);
  std::vector<Buffer> buffers(100);
  for (Buffer& buffer : buffers) buffer = pool.acquire();
  SeededRandom random(5);
  const AllocationCount scope;
  for (int i = 0; i < 20000; ++i) {
    Buffer& buffer = buffers[random.below(100)];
    if (buffer) {
      buffer.reset();
    } else {
      buffer = pool.acquire();
    }
  }
  CHECK(scope.count() == 0);
}

TEST_CASE("buffer pool: random use keeps every buffer's content") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    const std::uint32_t limit = 1 + random.below(200);
    BufferPool pool(24, limit);
    std::vector<std::pair<Buffer, std::uint64_t>> out;
    for (std::uint64_t step = 0; step < 3000; ++step) {
      switch (random.below(5)) {
        case 0:
        case 1: {
          Buffer buffer = pool.acquire();
          REQUIRE(static_cast<bool>(buffer) == (out.size() < limit));
          if (!buffer) break;
          buffer.size = 8;
          store_little_endian(buffer.storage().data(), step);
          out.emplace_back(std::move(buffer), step);
          break;
        }
        case 2:
        case 3:
          if (!out.empty()) {
            auto& chosen = out[random.below(static_cast<std::uint32_t>(out.size()))];
            REQUIRE(load_little_endian<std::uint64_t>(chosen.first.bytes().data()) == chosen.second);
            std::swap(chosen, out.back());
            out.pop_back();
          }
          break;
        default:
          if (random.below(20) == 0) pool.release_idle();
      }
      REQUIRE(pool.in_use() == out.size());
    }
  }
}

TEST_CASE("shared packet buffers are released once in an interval, however many endpoints ask") {
  constexpr Duration kInterval = PacketBuffers::kReleaseInterval;
  PacketBuffers buffers(1'500, 1'000);
  Instant now{std::chrono::seconds(1'000)};
  buffers.release_idle_shared(now);
  std::vector<Buffer> burst;
  for (int i = 0; i < 200; ++i) burst.push_back(buffers.usual.acquire());
  burst.clear();
  const std::size_t after_burst = buffers.allocated_bytes();
  for (int endpoint = 0; endpoint < 10; ++endpoint)
    buffers.release_idle_shared(now + std::chrono::seconds(1));
  CHECK(buffers.allocated_bytes() == after_burst);
  buffers.release_idle_shared(now += kInterval);
  CHECK(buffers.allocated_bytes() == after_burst);
  buffers.release_idle_shared(now += kInterval);
  CHECK(buffers.allocated_bytes() == 0);
}

TEST_CASE("shared packet buffers are released when the last endpoint ends, and not while one is in use") {
  PacketBuffers buffers(1'500, 1'000);
  {
    const Buffer held = buffers.usual.acquire();
    static_cast<void>(buffers.longer.acquire());
    buffers.release_unused();
    CHECK(buffers.allocated_bytes() > 0);
  }
  buffers.release_unused();
  CHECK(buffers.allocated_bytes() == 0);
}

}  // namespace
}  // namespace hawser
