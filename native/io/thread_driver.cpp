#include "io/thread_driver.hpp"

#include <cerrno>
#include <utility>

#include "io/turns.hpp"

#ifdef __linux__
#include "io/io_thread.hpp"
#endif

namespace hawser {

#ifndef __linux__

// There is none: start() says so, and nothing else is ever called.
class IoThread {
 public:
  static Result<std::unique_ptr<IoThread>, SocketError> start(std::unique_ptr<UdpSocket> /*socket*/,
                                                              Endpoint& /*endpoint*/, EventQueue& /*events*/,
                                                              IoThreadUser& /*user*/,
                                                              DriverCounters& /*counters*/,
                                                              std::unique_ptr<Impairment> /*impairment*/,
                                                              const IoThreadOptions& /*options*/) {
    return Failure{SocketError{SocketErrorCode::kUnsupported, ENOTSUP, "pthread_create"}};
  }
  void begin() {}
  void wake() {}
  [[nodiscard]] Mailbox& mailbox() { return mailbox_; }
  void call(FunctionRef<void(Instant)> /*work*/) {}
  void flush(Instant /*now*/) {}
  std::unique_ptr<UdpSocket> replace_socket(std::unique_ptr<UdpSocket> socket) { return socket; }
  void join() {}

 private:
  Mailbox mailbox_;
};

#endif

ThreadDriver::ThreadDriver(uv_loop_s* loop, const UdpSocket& socket, ThreadDriverUser& user)
    : user_(user), handles_(loop, *this) {
  note(socket);
}

ThreadDriver::~ThreadDriver() = default;

Result<std::unique_ptr<ThreadDriver>, SocketError> ThreadDriver::start(
    uv_loop_s* loop, std::unique_ptr<UdpSocket> socket, Endpoint& endpoint, EventQueue& events,
    ThreadDriverUser& user, DriverCounters& counters, std::unique_ptr<Impairment> impairment,
    const IoThreadOptions& options) {
  // The constructor is private.
  std::unique_ptr<ThreadDriver> driver(new ThreadDriver(loop, *socket, user));
  auto thread =
      IoThread::start(std::move(socket), endpoint, events, *driver, counters, std::move(impairment), options);
  if (!thread) return Failure{thread.error()};
  driver->thread_ = *std::move(thread);
  // Last: open handles could only be closed by and by.
  const Result<void, SocketError> started = driver->handles_.start();
  if (!started) return Failure{started.error()};
  return driver;
}

void ThreadDriver::begin() { thread_->begin(); }

void ThreadDriver::note(const UdpSocket& socket) {
  local_address_ = socket.local_address();
  receive_buffer_bytes_ = socket.granted_receive_buffer_bytes();
  send_buffer_bytes_ = socket.granted_send_buffer_bytes();
}

void ThreadDriver::wake() { thread_->wake(); }

Mailbox& ThreadDriver::mailbox() { return thread_->mailbox(); }

Instant ThreadDriver::now() const { return steady_time(); }

void ThreadDriver::schedule() {
  if (!closing_) handles_.at_turn_end();
}

void ThreadDriver::flush(Instant now) { thread_->flush(now); }

void ThreadDriver::call(FunctionRef<void(Instant)> work) { thread_->call(work); }

Result<void, SocketError> ThreadDriver::rebind(std::unique_ptr<UdpSocket> socket) {
  note(*socket);
  thread_->replace_socket(std::move(socket))->close();
  return {};
}

void ThreadDriver::close() {
  if (closing_) return;
  closing_ = true;
  thread_->join();
  handles_.close();
}

void ThreadDriver::keep_loop_alive(bool keep) { handles_.keep_loop_alive(keep); }
SocketAddress ThreadDriver::local_address() const { return local_address_; }
std::size_t ThreadDriver::receive_buffer_bytes() const { return receive_buffer_bytes_; }
std::size_t ThreadDriver::send_buffer_bytes() const { return send_buffer_bytes_; }

void ThreadDriver::take_events() { user_.take_events(); }
void ThreadDriver::submit(Instant now) { user_.submit(now); }
void ThreadDriver::flushed() { user_.flushed(); }

void ThreadDriver::thread_stopped() {
  stop_untold_.store(true, std::memory_order_release);
  wake_loop();
}

void ThreadDriver::on_turn_end() {
  user_.pass_on();
  thread_->wake();
}

void ThreadDriver::on_wake() {
  if (closing_) return;
  // Read first: what the endpoint told before it stopped is delivered before.
  const bool stopped = stop_untold_.load(std::memory_order_acquire);
  const bool delivered = user_.deliver();
  // A listener may have closed this, and the handles with it.
  if (closing_) return;
  if (!delivered) return wake_loop();
  if (!stopped) return;
  stop_untold_.store(false, std::memory_order_relaxed);
  user_.stopped();
}

void ThreadDriver::on_handles_closed() { user_.closed(); }

}  // namespace hawser
