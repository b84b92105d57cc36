// What the shards of one gateway share to serve netcode clients.
#include "engine/netcode_gateway.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <thread>
#include <vector>

#include "wire_support.hpp"

namespace hawser::test {

namespace {

constexpr std::uint64_t kUpperHalf = std::uint64_t{1} << 63U;
constexpr WallTime kStarted{std::chrono::milliseconds(1'700'000'000'250)};

netcode::Gateway gateway_of(RandomSource& random, std::uint32_t max_clients) {
  return netcode::Gateway({}, kStarted, std::chrono::seconds(5), std::chrono::seconds(5), 100, max_clients,
                          random);
}

}  // namespace

TEST_CASE("netcode gateway: client indexes are given lowest first, as many as there are clients") {
  SeededRandom random(1);
  netcode::Gateway gateway = gateway_of(random, 3);
  for (std::uint32_t index = 0; index < 3; ++index) CHECK(gateway.take_client_index() == index);
  CHECK(gateway.take_client_index() == std::nullopt);
  gateway.release_client_index(2);
  gateway.release_client_index(0);
  CHECK(gateway.take_client_index() == 0U);
  CHECK(gateway.take_client_index() == 2U);
  CHECK(gateway.take_client_index() == std::nullopt);
}

TEST_CASE("netcode gateway: shards never hold one index, one challenge number or one packet number twice") {
  constexpr std::uint32_t kThreads = 4;
  constexpr std::uint32_t kRounds = 2'000;
  SeededRandom random(2);
  netcode::Gateway gateway = gateway_of(random, kThreads);
  std::vector<std::atomic<bool>> held(kThreads);
  std::atomic<bool> broken = false;
  std::vector<std::vector<std::uint64_t>> challenges(kThreads);
  std::vector<std::vector<std::uint64_t>> packets(kThreads);
  std::vector<std::thread> threads;
  for (std::uint32_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint32_t round = 0; round < kRounds; ++round) {
        // There is one for each thread.
        const std::optional<std::uint32_t> index = gateway.take_client_index();
        if (!index || *index >= kThreads || held[*index].exchange(true)) {
          broken = true;
          return;
        }
        challenges[thread].push_back(gateway.next_challenge_sequence());
        packets[thread].push_back(gateway.next_global_sequence());
        held[*index] = false;
        gateway.release_client_index(*index);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(broken);
  for (auto* each : {&challenges, &packets}) {
    std::vector<std::uint64_t> all;
    for (const auto& numbers : *each) all.insert(all.end(), numbers.begin(), numbers.end());
    std::ranges::sort(all);
    CHECK(all.size() == std::size_t{kThreads} * kRounds);
    CHECK(std::ranges::adjacent_find(all) == all.end());
    CHECK(all.back() - all.front() == all.size() - 1);
    CHECK(all.front() >= (each == &packets ? kUpperHalf : 0));
  }
}

TEST_CASE("netcode gateway: no token that one run accepted is accepted by the next, whenever that starts") {
  SeededRandom random(3);
  std::size_t accepted = 0;
  for (int i = 0; i < 2'000; ++i) {
    CAPTURE(i);
    const netcode::GatewayOptions options{std::chrono::milliseconds(1'000 + random.below(100'000))};
    const auto skew = std::chrono::milliseconds(random.below(6'000));
    const netcode::Gateway first(options, kStarted, skew, skew, 1, 1, random);
    const WallTime used = kStarted + std::chrono::milliseconds(random.below(20'000));
    // As late as is accepted, or too late.
    const auto expires = std::chrono::floor<std::chrono::seconds>(used + options.token_lifetime + skew) +
                         std::chrono::seconds(random.below(3));
    const auto expire = static_cast<std::uint64_t>(expires.time_since_epoch().count());
    if (first.judge(expire, used) != netcode::TokenAge::kAccepted) continue;
    ++accepted;
    const WallTime again = used + std::chrono::milliseconds(random.below(3'000));
    const netcode::Gateway second(options, again, skew, skew, 1, 1, random);
    for (int later = 0; later < 120; ++later)
      CHECK(second.judge(expire, again + std::chrono::seconds(later)) != netcode::TokenAge::kAccepted);
  }
  CHECK(accepted > 500);
}

}  // namespace hawser::test
