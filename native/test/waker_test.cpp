// Linux only, as what it tests.
#include "io/waker.hpp"

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "thread_support.hpp"

namespace hawser::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Longer than any of these tests: who sleeps so long was not woken.
constexpr Duration kForEver = seconds(30);

std::unique_ptr<Waker> create() {
  auto waker = Waker::create();
  REQUIRE(waker.has_value());
  return *std::move(waker);
}

// How long a wait lasts that nothing ends but its time, which is never shorter than was asked for.
Duration wait_for(Waker& waker, Duration most) {
  const Instant began = steady_time();
  const auto ready = waker.wait(kInvalidSocket, false, most);
  CHECK_FALSE(ready.readable);
  CHECK_FALSE(ready.writable);
  return steady_time() - began;
}

void send_to(const UdpSocket& socket, UdpSocket& from) {
  const std::array<std::byte, 1> byte{};
  const OutgoingDatagram datagram{byte, socket.local_address(), {}, 0};
  REQUIRE(from.send(std::span(&datagram, 1)).sent == 1);
}

TEST_CASE("waker: without a wake a wait lasts its time, and no call of take_wake has one") {
  const auto waker = create();
  CHECK_FALSE(waker->take_wake());
  CHECK(wait_for(*waker, milliseconds(5)) >= milliseconds(5));
}

TEST_CASE("waker: wakes before a wait, however many, end one of them") {
  const auto waker = create();
  for (int i = 0; i < 3; ++i) waker->wake();
  CHECK(wait_for(*waker, kForEver) < kForEver);
  CHECK(wait_for(*waker, milliseconds(5)) >= milliseconds(5));
}

TEST_CASE("waker: a wake that was taken ends no wait") {
  const auto waker = create();
  waker->wake();
  CHECK(waker->take_wake());
  CHECK_FALSE(waker->take_wake());
  CHECK(wait_for(*waker, milliseconds(5)) >= milliseconds(5));
}

TEST_CASE("waker: a wait ends when its socket is readable, and says so until it has been read") {
  const auto waker = create();
  const auto socket = open_loopback();
  const auto other = open_loopback();
  CHECK_FALSE(Waker::look(socket->descriptor(), false).readable);
  send_to(*socket, *other);
  for (int i = 0; i < 2; ++i) {
    const auto ready = waker->wait(socket->descriptor(), false, kForEver);
    CHECK(ready.readable);
    CHECK_FALSE(ready.writable);
  }
  // Also in one that a wake keeps from sleeping.
  waker->wake();
  CHECK(waker->wait(socket->descriptor(), false, kForEver).readable);
}

TEST_CASE("waker: room to send ends a wait only where it is asked for") {
  const auto waker = create();
  const auto socket = open_loopback();
  CHECK(waker->wait(socket->descriptor(), true, kForEver).writable);
  CHECK(Waker::look(socket->descriptor(), true).writable);
  const Instant began = steady_time();
  CHECK_FALSE(waker->wait(socket->descriptor(), false, milliseconds(5)).writable);
  CHECK(steady_time() - began >= milliseconds(5));
}

// Each answers the other: a single wake that is lost stops both.
TEST_CASE("waker: two threads that wake each other by turns lose no wake") {
  constexpr std::uint32_t kTurns = 50'000;
  const std::array<std::unique_ptr<Waker>, 2> wakers{create(), create()};
  // Written before each wake and read after it.
  std::atomic<std::uint32_t> turn = 0;
  std::atomic<bool> lost = false;
  const auto play = [&](std::uint32_t self) {
    while (!lost) {
      const std::uint32_t now = turn.load(std::memory_order_relaxed);
      if (now >= kTurns) break;
      if (now % 2 == self) {
        turn.store(now + 1, std::memory_order_relaxed);
        wakers[1 - self]->wake();
        continue;
      }
      const Instant began = steady_time();
      static_cast<void>(wakers[self]->wait(kInvalidSocket, false, kForEver));
      if (steady_time() - began >= kForEver) lost = true;
    }
  };
  std::thread other(play, 1);
  play(0);
  wakers[1]->wake();
  other.join();
  CHECK_FALSE(lost);
  CHECK(turn == kTurns);
}

TEST_CASE("waker: what four threads did before they woke is seen after it") {
  constexpr std::uint32_t kEach = 10'000;
  const auto waker = create();
  std::array<std::atomic<std::uint32_t>, 4> done{};
  std::vector<std::thread> threads;
  for (auto& each : done) {
    threads.emplace_back([&] {
      for (std::uint32_t i = 0; i < kEach; ++i) {
        each.fetch_add(1, std::memory_order_relaxed);
        waker->wake();
      }
    });
  }
  bool lost = false;
  const auto all_done = [&] {
    for (const auto& each : done) {
      if (each.load(std::memory_order_relaxed) < kEach) return false;
    }
    return true;
  };
  while (!lost && !all_done()) {
    const Instant began = steady_time();
    static_cast<void>(waker->wait(kInvalidSocket, false, kForEver));
    lost = steady_time() - began >= kForEver;
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_FALSE(lost);
}

// Whoever wakes a thread that sleeps writes after it has said so: by then the thread may be up again.
TEST_CASE("waker: a wake that comes together with a datagram leaves nothing behind that keeps one awake") {
  const auto waker = create();
  const auto socket = open_loopback();
  const auto sender = open_loopback();
  std::array<ReceivedDatagram, 1> received;
  std::atomic<int> round = 0;
  std::atomic<int> woken = 0;
  constexpr int kRounds = 1'000;
  std::thread other([&] {
    SeededRandom random(5);
    for (int i = 1; i <= kRounds; ++i) {
      while (round < i) std::this_thread::yield();
      send_to(*socket, *sender);
      for (std::uint32_t pause = random.below(1'000); pause > 0; --pause)
        std::atomic_signal_fence(std::memory_order_seq_cst);
      waker->wake();
      woken = i;
    }
  });
  int restless = 0;
  for (int i = 1; i <= kRounds; ++i) {
    round = i;
    while (socket->receive(received) == 0)
      static_cast<void>(waker->wait(socket->descriptor(), false, kForEver));
    while (woken < i) std::this_thread::yield();
    // What may have been left ends this one, and no other.
    static_cast<void>(waker->wait(socket->descriptor(), false, Duration(1)));
    const Duration least(200);
    const Instant began = steady_time();
    static_cast<void>(waker->wait(socket->descriptor(), false, least));
    if (steady_time() - began < least) ++restless;
  }
  other.join();
  CHECK(restless == 0);
}

}  // namespace
}  // namespace hawser::test
