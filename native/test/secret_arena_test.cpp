#include "crypto/secret_arena.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

#ifdef __linux__
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#endif

#include "crypto/secret_pages.hpp"

namespace hawser {
namespace {

void fill(MutableBytes bytes, unsigned value) { std::ranges::fill(bytes, static_cast<std::byte>(value)); }

bool holds(Bytes bytes, unsigned value) {
  return std::ranges::all_of(bytes, [&](std::byte each) { return each == static_cast<std::byte>(value); });
}

SecretPages unlocked_pages(std::size_t size) {
  SecretPages pages = map_secret_pages(size);
  // They are given back without being unlocked, which the system does by itself.
  pages.locked = false;
  return pages;
}

SecretPages no_pages(std::size_t /*size*/) { return {}; }

TEST_CASE("secret arena: slots are zeros, do not overlap, and keep what is written") {
  SecretArena arena;
  std::mt19937 random(1);
  struct Taken {
    MutableBytes bytes;
    unsigned value;
  };
  std::vector<Taken> taken;
  for (unsigned round = 0; round < 5000; ++round) {
    if (!taken.empty() && random() % 3 == 0) {
      const std::size_t index = random() % taken.size();
      CHECK(holds(taken[index].bytes, taken[index].value));
      arena.give_back(taken[index].bytes);
      taken[index] = taken.back();
      taken.pop_back();
      continue;
    }
    const MutableBytes bytes = arena.take(1 + random() % SecretArena::kMaxSize, false);
    REQUIRE_FALSE(bytes.empty());
    CHECK(all_zero(bytes));
    const auto value = static_cast<unsigned>(1 + random() % 255);
    fill(bytes, value);
    taken.push_back({bytes, value});
  }
  for (const Taken& each : taken) {
    CHECK(holds(each.bytes, each.value));
    arena.give_back(each.bytes);
  }
  CHECK(arena.used_bytes() == 0);
}

TEST_CASE("secret arena: a slot that is given back is wiped at once, and used again") {
  SecretArena arena;
  const MutableBytes first = arena.take(33, false);
  CHECK(arena.used_bytes() == 64);
  // What is written behind the end of a secret, within its slot, goes too.
  const MutableBytes slot(first.data(), 64);
  fill(slot, 0xaa);
  arena.give_back(first);
  CHECK(all_zero(slot));
  CHECK(arena.take(64, false).data() == first.data());
  CHECK(arena.locked_bytes() + arena.unlocked_bytes() == SecretArena::kChunkSize);
}

TEST_CASE("secret arena: all of it can be wiped while slots are taken") {
  SecretArena arena;
  const MutableBytes small = arena.take(16, false);
  const MutableBytes large = arena.take(1024, false);
  fill(small, 1);
  fill(large, 2);
  arena.wipe_all();
  CHECK(all_zero(small));
  CHECK(all_zero(large));
}

TEST_CASE(
    "secret arena: memory that the system does not lock is told of, and refused where it must be locked") {
  SecretArena arena(&unlocked_pages);
  CHECK(arena.take(32, true).empty());
  CHECK(arena.unlocked_bytes() == 0);
  const MutableBytes bytes = arena.take(32, false);
  CHECK_FALSE(bytes.empty());
  CHECK(arena.unlocked_bytes() == SecretArena::kChunkSize);
  CHECK(arena.locked_bytes() == 0);
  arena.give_back(bytes);
  // Not even the slot that is free.
  CHECK(arena.take(32, true).empty());
  CHECK(SecretArena(&no_pages).take(1, false).empty());
}

TEST_CASE("secret pages: rounded up to whole pages, zeros at first") {
  const SecretPages pages = map_secret_pages(1);
  REQUIRE(pages.bytes.size() >= 4096);
  CHECK(all_zero(pages.bytes));
  fill(pages.bytes, 0xaa);
  unmap_secret_pages(pages);
}

#ifdef __linux__
// What /proc/self/smaps says of the pages: "dd" no part of a core dump, "wf" wiped on fork
// (proc(5)).
std::string flags_of(const void* address) {
  std::ifstream maps("/proc/self/smaps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  bool inside = false;
  for (std::string line; std::getline(maps, line);) {
    std::uintptr_t start = 0;
    std::uintptr_t end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) inside = start <= wanted && wanted < end;
    if (inside && line.starts_with("VmFlags:")) return line + " ";
  }
  return {};
}

TEST_CASE("secret pages: out of core dumps, and zeros in a child process") {
  const SecretPages pages = map_secret_pages(4096);
  fill(pages.bytes, 0xaa);
  const std::string flags = flags_of(pages.bytes.data());
  CAPTURE(flags);
  // The sanitizers leave mlock() out. What they do not run under, test/base/secret-bytes.test.ts asks the
  // system.
  CHECK(flags.find(" dd ") != std::string::npos);
  CHECK(flags.find(" wf ") != std::string::npos);
  const pid_t child = fork();
  if (child == 0) _exit(all_zero(pages.bytes) ? 0 : 1);
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  CHECK(holds(pages.bytes, 0xaa));
  unmap_secret_pages(pages);
}
#endif

}  // namespace
}  // namespace hawser
