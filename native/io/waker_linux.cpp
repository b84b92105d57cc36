// eventfd(2) beside the socket in ppoll(2), whose timeout is as fine as the kernel's timers.
#ifdef __linux__

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <ctime>

#include "io/waker.hpp"

namespace hawser {

namespace {

short wanted_events(bool writable) { return static_cast<short>(POLLIN | (writable ? POLLOUT : 0)); }

Waker::Readiness readiness(const pollfd& polled) {
  return {.readable = (polled.revents & (POLLIN | POLLERR | POLLHUP)) != 0,
          .writable = (polled.revents & POLLOUT) != 0,
          .failed = (polled.revents & POLLNVAL) != 0};
}

timespec to_timespec(Duration duration) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(duration);
  timespec result{};
  result.tv_sec = static_cast<time_t>(seconds.count());
  result.tv_nsec = static_cast<long>(std::chrono::nanoseconds(duration - seconds).count());
  return result;
}

}  // namespace

Result<std::unique_ptr<Waker>, SocketError> Waker::create() {
  const int descriptor = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (descriptor < 0) {
    const auto code =
        errno == EMFILE || errno == ENFILE ? SocketErrorCode::kTooManyFiles : SocketErrorCode::kOther;
    return Failure{SocketError{code, errno, "eventfd"}};
  }
  // The constructor is private.
  return std::unique_ptr<Waker>(new Waker(descriptor));
}

Waker::~Waker() { ::close(descriptor_); }

void Waker::wake() {
  if (state_.exchange(State::kWoken, std::memory_order_acq_rel) != State::kAsleep) return;
  constexpr std::uint64_t kOne = 1;
  // It fails only when it has been written 2^64 - 2 times without being read: the reader wakes anyway.
  [[maybe_unused]] const ssize_t written = ::write(descriptor_, &kOne, sizeof(kOne));
}

Waker::Readiness Waker::wait(SocketDescriptor socket, bool writable, Duration most) {
  State before = State::kAwake;
  if (!state_.compare_exchange_strong(before, State::kAsleep, std::memory_order_acq_rel)) {
    static_cast<void>(take_wake());
    return look(socket, writable);
  }
  std::array<pollfd, 2> watched{pollfd{.fd = socket, .events = wanted_events(writable), .revents = 0},
                                pollfd{.fd = descriptor_, .events = POLLIN, .revents = 0}};
  const timespec timeout = to_timespec(most);
  // A signal only wakes early.
  const bool failed = ::ppoll(watched.data(), watched.size(), &timeout, nullptr) < 0 && errno != EINTR;
  static_cast<void>(state_.exchange(State::kAwake, std::memory_order_acq_rel));
  // Whoever wakes writes a little later: what comes after this ends the next sleep, once, for it is read
  // then, whether or not anybody wakes at that time.
  if ((watched[1].revents & POLLIN) != 0) {
    std::uint64_t count = 0;
    [[maybe_unused]] const ssize_t got = ::read(descriptor_, &count, sizeof(count));
  }
  Readiness result = readiness(watched[0]);
  result.failed = result.failed || failed;
  return result;
}

Waker::Readiness Waker::look(SocketDescriptor socket, bool writable) {
  pollfd watched{.fd = socket, .events = wanted_events(writable), .revents = 0};
  const timespec at_once{};
  ::ppoll(&watched, 1, &at_once, nullptr);
  return readiness(watched);
}

}  // namespace hawser

#endif  // __linux__
