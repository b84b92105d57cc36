// A thread of its own for one endpoint and its socket. Linux only.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/function_ref.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "engine/endpoint.hpp"
#include "io/driver.hpp"
#include "io/impairment.hpp"
#include "io/io_thread_user.hpp"
#include "io/mailbox.hpp"
#include "io/spin_budget.hpp"
#include "io/stop_notice.hpp"
#include "io/turns.hpp"
#include "io/udp_socket.hpp"
#include "io/waker.hpp"

namespace hawser {

// All but wake(), mailbox() and flush() are for one thread, the owner's.
class IoThread {
 public:
  // Starts the thread, which waits for begin(). All references outlive this; from begin() to join() nobody
  // else uses the endpoint and the queue. Fails when the system has no room for another thread.
  static Result<std::unique_ptr<IoThread>, SocketError> start(std::unique_ptr<UdpSocket> socket,
                                                              Endpoint& endpoint, EventQueue& events,
                                                              IoThreadUser& user, DriverCounters& counters,
                                                              std::unique_ptr<Impairment> impairment,
                                                              const IoThreadOptions& options);
  // As join().
  ~IoThread();
  IoThread(const IoThread&) = delete;
  IoThread& operator=(const IoThread&) = delete;

  void begin();

  // The user has something for submit(), or room for events again.
  void wake() { waker_->wake(); }
  // What other shards hand over goes here; wake() afterwards.
  [[nodiscard]] Mailbox& mailbox() { return mailbox_; }

  // Calls `work` on the thread between two turns, after submit(), and returns when it has returned. After
  // begin(), and not from there.
  void call(FunctionRef<void(Instant)> work);
  // On the thread, within submit() or call().
  void flush(Instant now) { turns_.flush(now); }
  // As SocketDriver::rebind(). Returns the socket before, for closing.
  std::unique_ptr<UdpSocket> replace_socket(std::unique_ptr<UdpSocket> socket);

  // Ends the thread after the turn that it is in, and closes the socket. Joining twice does nothing.
  void join();

 private:
  IoThread(std::unique_ptr<Waker> waker, std::unique_ptr<UdpSocket> socket, Endpoint& endpoint,
           EventQueue& events, IoThreadUser& user, DriverCounters& counters,
           std::unique_ptr<Impairment> impairment, const IoThreadOptions& options);

  void run();
  void turn();
  void take_call();
  void take_handed_over();
  // Returns when there is something to do.
  void wait();
  void look_for_room();
  void pause_after_failure();
  // Whether work came within the budget.
  bool spin(Instant deadline);

  std::unique_ptr<Waker> waker_;
  Mailbox mailbox_;
  Endpoint& endpoint_;
  EventQueue& events_;
  IoThreadUser& user_;
  Turns turns_;
  SpinBudget spin_;
  std::uint32_t shard_;
  std::atomic<const FunctionRef<void(Instant)>*> call_ = nullptr;
  std::atomic<std::uint32_t> calls_done_ = 0;
  std::atomic<bool> begun_ = false;
  std::atomic<bool> ending_ = false;
  StopNotice stop_notice_;
  // Of the owner: whether there is a thread to join.
  bool joinable_ = false;
  pthread_t thread_{};
};

}  // namespace hawser
