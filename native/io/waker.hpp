#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "base/time.hpp"
#include "io/udp_socket.hpp"

namespace hawser {

// How a thread sleeps until its socket is ready, others wake it, or its time has come. Linux only.
class Waker {
 public:
  static Result<std::unique_ptr<Waker>, SocketError> create();
  ~Waker();
  Waker(const Waker&) = delete;
  Waker& operator=(const Waker&) = delete;

  // Ends wait(), or keeps the next one from sleeping. What was done before is seen after it. From any thread;
  // a system call only where one sleeps.
  void wake();
  // Whether the next wait() would not sleep; afterwards it would. Of the thread that sleeps.
  [[nodiscard]] bool take_wake() {
    if (state_.load(std::memory_order_relaxed) != State::kWoken) return false;
    state_.exchange(State::kAwake, std::memory_order_acq_rel);
    return true;
  }

  // What a socket is ready for. One with a pending error is readable. `failed`: nobody can tell.
  struct Readiness {
    bool readable = false;
    bool writable = false;
    bool failed = false;
  };

  // Sleeps for at most `most`; `writable`: also until the socket is that. Only one thread calls this.
  Readiness wait(SocketDescriptor socket, bool writable, Duration most);
  // What the socket is ready for now.
  [[nodiscard]] static Readiness look(SocketDescriptor socket, bool writable);

 private:
  enum class State : std::uint8_t { kAwake, kAsleep, kWoken };

  explicit Waker(int descriptor) : descriptor_(descriptor) {}

  int descriptor_;
  std::atomic<State> state_ = State::kAwake;
};

}  // namespace hawser
