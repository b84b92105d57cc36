#include "base/block_pool.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "allocation_counter.hpp"
#include "base/random.hpp"

namespace hawser {
namespace {

TEST_CASE("block pool: blocks are powers of two, at least the least, and aligned") {
  BlockPool pool(1 << 20U, 1 << 20U);
  for (const std::size_t wanted : {0U, 1U, 63U, 64U, 65U, 100U, 128U, 129U, 1000U, 4096U, 4097U}) {
    CAPTURE(wanted);
    const Block block = pool.acquire(wanted);
    REQUIRE(block);
    CHECK(block.size() == BlockPool::size_for(wanted));
    CHECK(block.size() >= wanted);
    CHECK(block.size() >= BlockPool::kLeast);
    CHECK(std::has_single_bit(block.size()));
    CHECK(reinterpret_cast<std::uintptr_t>(block.data()) % 16 == 0);
    std::memset(block.data(), 0xff, block.size());
    CHECK(pool.in_use() == block.size());
  }
  CHECK(pool.in_use() == 0);
  CHECK(pool.peak() == 8192);
}

TEST_CASE("block pool: no more than allowed is on loan at a time") {
  BlockPool pool(1000, 0);
  Block a = pool.acquire(512);
  REQUIRE(a);
  // 512 more would be 1,024.
  CHECK_FALSE(pool.acquire(257));
  Block b = pool.acquire(256);
  CHECK(b);
  CHECK_FALSE(pool.acquire(256));
  a.reset();
  CHECK(pool.acquire(512));
  CHECK(pool.in_use() == 256);
  CHECK(pool.max() == 1000);
  CHECK_FALSE(BlockPool(SIZE_MAX, 0).acquire(BlockPool::kMost + 1));
}

TEST_CASE("block pool: a block that moves is given back once") {
  BlockPool pool(4096, 0);
  Block a = pool.acquire(100);
  std::byte* const data = a.data();
  Block b(std::move(a));
  CHECK_FALSE(a);  // NOLINT(bugprone-use-after-move): what is left is empty
  CHECK(b.data() == data);
  CHECK(pool.in_use() == 128);
  Block c = pool.acquire(200);
  c = std::move(b);
  CHECK(c.data() == data);
  CHECK(pool.in_use() == 128);
  c.reset();
  c.reset();
  CHECK(pool.in_use() == 0);
  CHECK(c.size() == 0);
}

TEST_CASE("block pool: what comes back serves the next, as much as may be kept") {
  BlockPool pool(1 << 20U, 1024);
  {
    const Block a = pool.acquire(512);
    const Block b = pool.acquire(512);
    const Block c = pool.acquire(512);
  }
  CHECK(pool.allocated_bytes() == 1024);
  const AllocationCount allocations;
  const Block a = pool.acquire(512);
  const Block b = pool.acquire(500);
  CHECK(allocations.count() == 0);
  CHECK(pool.allocated_bytes() == 1024);
  const Block c = pool.acquire(512);
  CHECK(allocations.count() == 1);
}

TEST_CASE("block pool: releases what was not needed since the last call, and nothing that is in use") {
  BlockPool pool(1 << 20U, 1 << 20U);
  const Block held = pool.acquire(64);
  {
    const Block a = pool.acquire(512);
    const Block b = pool.acquire(2048);
  }
  // What was needed before this call.
  pool.release_idle();
  CHECK(pool.kept() == 2560);
  static_cast<void>(pool.acquire(512));
  // Since then, 512 bytes beside the ones that are held.
  pool.release_idle();
  CHECK(pool.kept() == 512);
  pool.release_idle();
  CHECK(pool.kept() == 0);
  CHECK(pool.in_use() == 64);
  CHECK(pool.peak() == 64 + 2560);
}

TEST_CASE("block pool: one that is idle does not even hold its lists of free blocks") {
  BlockPool pool(1 << 20U, 1 << 20U);
  for (int round = 0; round < 2; ++round) {
    const AllocationCount first;
    static_cast<void>(pool.acquire(512));
    // The block and the lists.
    CHECK(first.count() == 2);
    const AllocationCount second;
    static_cast<void>(pool.acquire(512));
    CHECK(second.count() == 0);
    pool.release_idle();
    pool.release_idle();
    CHECK(pool.kept() == 0);
  }
}

TEST_CASE("block pool: random use keeps the books and every byte") {
  SeededRandom random(1);
  BlockPool pool(100'000, 20'000);
  struct Loan {
    Block block;
    std::byte fill;
  };
  std::vector<Loan> loans;
  std::size_t in_use = 0;
  for (int i = 0; i < 20'000; ++i) {
    if (random.below(2) == 0 && !loans.empty()) {
      const std::size_t which = random.below(static_cast<std::uint32_t>(loans.size()));
      Loan& loan = loans[which];
      // All bytes are as the first.
      REQUIRE(loan.block.data()[0] == loan.fill);
      REQUIRE(std::memcmp(loan.block.data(), loan.block.data() + 1, loan.block.size() - 1) == 0);
      in_use -= loan.block.size();
      loan = std::move(loans.back());
      loans.pop_back();
    } else {
      const std::size_t wanted = random.below(4'000);
      Block block = pool.acquire(wanted);
      const bool fits = in_use + BlockPool::size_for(wanted) <= 100'000;
      REQUIRE(static_cast<bool>(block) == fits);
      if (!fits) continue;
      const auto fill = static_cast<std::byte>(i);
      std::memset(block.data(), i & 0xff, block.size());
      in_use += block.size();
      loans.push_back({std::move(block), fill});
    }
    if (random.below(100) == 0) pool.release_idle();
    REQUIRE(pool.in_use() == in_use);
    REQUIRE(pool.allocated_bytes() <= in_use + 20'000);
  }
}

}  // namespace
}  // namespace hawser
