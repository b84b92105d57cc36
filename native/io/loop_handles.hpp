// What the drivers need of a libuv event loop. Its source is the one file that includes <uv.h>.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.hpp"
#include "base/time.hpp"
#include "io/udp_socket.hpp"

struct uv_loop_s;

namespace hawser {

// The name of a system error number, such as "EADDRINUSE"; a literal.
[[nodiscard]] const char* system_error_name(int system_errno);

// Called on the loop's thread.
class LoopListener {
 public:
  LoopListener() = default;
  LoopListener(const LoopListener&) = delete;
  LoopListener& operator=(const LoopListener&) = delete;

  // The turn of the loop ends: it is about to sleep. Once for each call of at_turn_end().
  virtual void on_turn_end() = 0;
  // Everything is closed; the handles may be destroyed from here.
  virtual void on_handles_closed() = 0;

 protected:
  ~LoopListener() = default;
};

class PollListener : public LoopListener {
 public:
  // The socket is ready, or polling it failed: libuv has stopped to look at it then.
  virtual void on_poll(bool failed, bool writable) = 0;
  virtual void on_timer() = 0;

 protected:
  ~PollListener() = default;
};

class WakeListener : public LoopListener {
 public:
  // Somebody woke the loop, on whatever thread; several times may have become one.
  virtual void on_wake() = 0;

 protected:
  ~WakeListener() = default;
};

// The handles of a driver whose socket the loop polls. For the loop's thread, until close().
class LoopPoll {
 public:
  // The listener outlives it.
  LoopPoll(uv_loop_s* loop, PollListener& listener);
  // Only after on_handles_closed(), or when nothing was started.
  ~LoopPoll();
  LoopPoll(const LoopPoll&) = delete;
  LoopPoll& operator=(const LoopPoll&) = delete;

  // The socket is polled from watch() on. Fails with kOther when the loop cannot.
  Result<void, SocketError> start(const UdpSocket& socket);

  // Polls another socket from now on; the one before goes to retire(). Fails as start(), and nothing has
  // changed then.
  Result<void, SocketError> poll_instead(const UdpSocket& socket);
  // Keeps a socket that is no longer polled as long as libuv may look at its descriptor, whose number a new
  // socket could have otherwise.
  void retire(std::unique_ptr<UdpSocket> socket);

  // What the polled socket is watched for; again after on_poll() has told of a failure.
  void watch(bool writable);
  // At `deadline`, to the millisecond; kNever for not at all; in the past for the next turn of the loop.
  void set_timer(Instant deadline);
  // The timer keeps the loop alive too, until watch() is called.
  void keep_alive_by_timer();
  // on_turn_end() is wanted.
  void at_turn_end();
  // Whether these keep the loop running; they do at first.
  void keep_loop_alive(bool keep);

  // Closes everything; on_handles_closed() follows in another turn of the loop. The polled socket stays open
  // until then.
  void close();

 private:
  struct Poll;
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

// The handles of a driver whose work is on another thread, which wakes the loop. Until close(), and all but
// wake() for the loop's thread.
class LoopWaker {
 public:
  // As those of LoopPoll.
  LoopWaker(uv_loop_s* loop, WakeListener& listener);
  ~LoopWaker();
  LoopWaker(const LoopWaker&) = delete;
  LoopWaker& operator=(const LoopWaker&) = delete;

  // Fails with kOther when the loop has no room.
  Result<void, SocketError> start();
  // on_wake() follows. Callable from every thread, from start() on.
  void wake();
  // These three as those of LoopPoll.
  void at_turn_end();
  void keep_loop_alive(bool keep);
  void close();

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace hawser
