#include "engine/pending_message.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/random.hpp"

namespace hawser {
namespace {

using Added = PendingMessage::Added;

std::vector<std::byte> random_bytes(RandomSource& random, std::size_t size) {
  std::vector<std::byte> bytes(size);
  random.fill(bytes);
  return bytes;
}

TEST_CASE("pending message: parts in any order, overlapping or repeated, make the message") {
  SeededRandom random(1);
  for (int round = 0; round < 200; ++round) {
    BlockPool pool(SIZE_MAX, 1 << 20U);
    const std::uint32_t total = 1 + random.below(20'000);
    const auto message = random_bytes(random, total);
    PendingMessage pending(total);
    for (int parts = 0; !pending.complete(); ++parts) {
      // After a while in order, so that the end comes.
      const std::uint32_t offset =
          parts < 50 ? random.below(total) : static_cast<std::uint32_t>(parts - 50) * 200 % total;
      const std::uint32_t size = std::min(total - offset, 200 + random.below(500));
      REQUIRE(pending.add(pool, offset, Bytes(message).subspan(offset, size)) == Added::kDone);
      REQUIRE(pool.in_use() <= PendingMessage::memory_for(total));
      REQUIRE((pending.complete() || pending.bytes().empty()));
      REQUIRE(parts < 1'000);
    }
    REQUIRE(std::ranges::equal(pending.bytes(), message));
    // Where the parts were is not needed any more.
    CHECK(pool.in_use() == BlockPool::size_for(total));
    // What comes now is not looked at.
    CHECK(pending.add(pool, 0, std::vector<std::byte>(total)) == Added::kDone);
    REQUIRE(std::ranges::equal(pending.bytes(), message));
  }
}

TEST_CASE("pending message: what was begun has the memory to be finished") {
  BlockPool pool(PendingMessage::memory_for(1'000'000), 0);
  PendingMessage pending(1'000'000);
  REQUIRE(pending.add(pool, 0, std::vector<std::byte>(1'000)) == Added::kDone);
  CHECK(pool.in_use() == pool.max());
  for (std::uint32_t offset = 1'000; offset < 1'000'000; offset += 1'000)
    REQUIRE(pending.add(pool, offset, std::vector<std::byte>(1'000)) == Added::kDone);
  CHECK(pending.complete());
}

TEST_CASE("pending message: an empty one is complete with its only part") {
  BlockPool pool(0, 0);
  PendingMessage pending(0);
  CHECK_FALSE(pending.complete());
  CHECK(pending.add(pool, 0, {}) == Added::kDone);
  CHECK(pending.complete());
  CHECK(pending.bytes().empty());
}

TEST_CASE("pending message: without memory nothing changes") {
  BlockPool pool(PendingMessage::memory_for(3'000), 0);
  PendingMessage pending(3'000);
  const std::vector<std::byte> data(100, std::byte{3});
  for (const std::size_t taken : {std::size_t{64}, BlockPool::size_for(3'000)}) {
    const Block other = pool.acquire(taken);
    CHECK(pending.add(pool, 0, data) == Added::kNoMemory);
    CHECK(pool.in_use() == taken);
    CHECK(pending.received() == 0);
  }
  REQUIRE(pending.add(pool, 0, data) == Added::kDone);
  CHECK(pending.received() == 100);
  CHECK(pool.in_use() == pool.max());
}

TEST_CASE("pending message: a whole one takes the memory of its bytes alone") {
  BlockPool pool(1024, 0);
  PendingMessage pending(1'000);
  const std::vector<std::byte> data(1'000, std::byte{3});
  REQUIRE(pending.add(pool, 0, data) == Added::kDone);
  CHECK(pending.complete());
  CHECK(std::ranges::equal(pending.bytes(), data));
}

TEST_CASE("pending message: the pieces are counted, and honest ones are never too many") {
  BlockPool pool(SIZE_MAX, 0);
  for (const std::uint32_t total : {200U, 4'096U, 65'536U, 1U << 20U, 16U << 20U}) {
    CAPTURE(total);
    // The worst that parts of 128 bytes can be: every second one is lost.
    CHECK(PendingMessage::max_ranges(total) >= std::min<std::size_t>(total / 256, 16 * 1024));
    PendingMessage pending(total);
    auto added = Added::kDone;
    std::size_t pieces = 0;
    for (std::uint32_t at = 0; at < total && added == Added::kDone; at += 2, ++pieces)
      added = pending.add(pool, at, std::vector<std::byte>(1));
    if (total / 2 > PendingMessage::max_ranges(total)) {
      CHECK(added == Added::kTooMany);
      CHECK(pieces == PendingMessage::max_ranges(total) + 1);
    } else {
      CHECK(added == Added::kDone);
    }
  }
}

}  // namespace
}  // namespace hawser
