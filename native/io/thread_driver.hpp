// The driver for an endpoint on a thread of its own: what the event loop does never delays a packet.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>

#include "base/result.hpp"
#include "base/time.hpp"
#include "engine/endpoint.hpp"
#include "io/driver.hpp"
#include "io/impairment.hpp"
#include "io/io_thread_user.hpp"
#include "io/loop_handles.hpp"
#include "io/mailbox.hpp"
#include "io/udp_socket.hpp"

namespace hawser {

class IoThread;

// The functions of TurnUser are called on the endpoint's thread, all others on the loop's.
class ThreadDriverUser : public DriverUser {
 public:
  // What has been written for the endpoint since the last time is to become a submission.
  virtual void pass_on() = 0;
  // Events that take_events() has handed over wait. False when some do afterwards, for the next time.
  virtual bool deliver() = 0;

 protected:
  ~ThreadDriverUser() = default;
};

// All functions but flush(), wake(), wake_loop() and mailbox() are for the loop's thread.
class ThreadDriver final : public SocketDriver, public IoThreadUser, private WakeListener {
 public:
  // As LoopDriver::start(), on a thread as `options` say, which waits for begin(): from then on until close()
  // has returned, nobody but the user's functions and the work of call() touches the endpoint and the queue.
  // Fails with kUnsupported where this is not Linux, and as IoThread::start() does.
  static Result<std::unique_ptr<ThreadDriver>, SocketError> start(
      uv_loop_s* loop, std::unique_ptr<UdpSocket> socket, Endpoint& endpoint, EventQueue& events,
      ThreadDriverUser& user, DriverCounters& counters, std::unique_ptr<Impairment> impairment,
      const IoThreadOptions& options);
  ~ThreadDriver() override;

  void begin();

  // Wakes the thread.
  void wake();
  // Wakes the loop: ThreadDriverUser::deliver() follows.
  void wake_loop() { handles_.wake(); }
  // Where other shards leave datagrams; wake() afterwards.
  [[nodiscard]] Mailbox& mailbox();

  [[nodiscard]] Instant now() const override;
  void schedule() override;
  void flush(Instant now) override;
  void call(FunctionRef<void(Instant)> work) override;
  Result<void, SocketError> rebind(std::unique_ptr<UdpSocket> socket) override;
  void close() override;
  void keep_loop_alive(bool keep) override;
  [[nodiscard]] SocketAddress local_address() const override;
  [[nodiscard]] std::size_t receive_buffer_bytes() const override;
  [[nodiscard]] std::size_t send_buffer_bytes() const override;

 private:
  ThreadDriver(uv_loop_s* loop, const UdpSocket& socket, ThreadDriverUser& user);

  void note(const UdpSocket& socket);

  void take_events() override;
  void submit(Instant now) override;
  void flushed() override;
  void thread_stopped() override;

  void on_turn_end() override;
  void on_wake() override;
  void on_handles_closed() override;

  ThreadDriverUser& user_;
  LoopWaker handles_;
  // Of the socket, which is the thread's.
  SocketAddress local_address_;
  std::size_t receive_buffer_bytes_ = 0;
  std::size_t send_buffer_bytes_ = 0;
  std::unique_ptr<IoThread> thread_;
  std::atomic<bool> stop_untold_ = false;  // the thread has told, this side has not
  bool closing_ = false;
};

}  // namespace hawser
