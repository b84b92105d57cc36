#include "io/loop_driver.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

namespace hawser {

namespace {

constexpr Duration kFirstPollPause = std::chrono::milliseconds(1);
constexpr unsigned kMaxPollPauseDoublings = 10;

}  // namespace

LoopDriver::LoopDriver(uv_loop_s* loop, std::unique_ptr<UdpSocket> socket, Endpoint& endpoint,
                       EventQueue& events, DriverUser& user, DriverCounters& counters,
                       std::unique_ptr<Impairment> impairment)
    : local_address_(socket->local_address()),
      endpoint_(endpoint),
      events_(events),
      user_(user),
      turns_(std::move(socket), endpoint, events, *this, counters, std::move(impairment), nullptr),
      handles_(loop, *this) {}

LoopDriver::~LoopDriver() = default;

Result<std::unique_ptr<LoopDriver>, SocketError> LoopDriver::start(uv_loop_s* loop,
                                                                   std::unique_ptr<UdpSocket> socket,
                                                                   Endpoint& endpoint, EventQueue& events,
                                                                   DriverUser& user, DriverCounters& counters,
                                                                   std::unique_ptr<Impairment> impairment) {
  // The constructor is private.
  std::unique_ptr<LoopDriver> driver(
      new LoopDriver(loop, std::move(socket), endpoint, events, user, counters, std::move(impairment)));
  const Result<void, SocketError> started = driver->handles_.start(driver->turns_.socket());
  if (!started) return Failure{started.error()};
  driver->watch_socket();
  driver->arm_timer();
  return driver;
}

Result<void, SocketError> LoopDriver::rebind(std::unique_ptr<UdpSocket> socket) {
  const Result<void, SocketError> polled = handles_.poll_instead(*socket);
  if (!polled) return Failure{polled.error()};
  local_address_ = socket->local_address();
  handles_.retire(turns_.replace_socket(std::move(socket)));
  poll_again_at_.reset();
  poll_errors_in_row_ = 0;
  watch_socket();
  schedule();
  return {};
}

Instant LoopDriver::now() const { return steady_time(); }

SocketAddress LoopDriver::local_address() const { return local_address_; }
std::size_t LoopDriver::receive_buffer_bytes() const {
  return turns_.socket().granted_receive_buffer_bytes();
}
std::size_t LoopDriver::send_buffer_bytes() const { return turns_.socket().granted_send_buffer_bytes(); }

void LoopDriver::schedule() {
  wanted_ = true;
  if (!in_turn_ && !turns_.ended()) handles_.at_turn_end();
}

void LoopDriver::flush(Instant now) { turns_.flush(now); }

void LoopDriver::call(FunctionRef<void(Instant)> work) { work(steady_time()); }

void LoopDriver::close() {
  if (turns_.ended()) return;
  turns_.end();
  handles_.close();
}

void LoopDriver::keep_loop_alive(bool keep) { handles_.keep_loop_alive(keep); }

void LoopDriver::take_events() { user_.take_events(); }

bool LoopDriver::holds_events() { return user_.holds_events(); }

void LoopDriver::submit(Instant now) {
  // All that was planned so far is done by this and the flush that follows.
  wanted_ = false;
  user_.submit(now);
}

void LoopDriver::flushed() {
  user_.flushed();
  watch_socket();
}

void LoopDriver::on_poll(bool failed, bool writable) {
  if (failed) {
    // Reading the socket takes the pending error out of it.
    turns_.count_poll_error();
    poll_again_at_ =
        steady_time() + kFirstPollPause * (1U << std::min(poll_errors_in_row_, kMaxPollPauseDoublings));
    ++poll_errors_in_row_;
    // A stopped poll handle does not keep the loop alive; the timer that starts it again must.
    handles_.keep_alive_by_timer();
  } else {
    poll_errors_in_row_ = 0;
    if (writable) turns_.set_writable();
  }
  turn();
}

void LoopDriver::on_timer() { turn(); }

void LoopDriver::on_turn_end() {
  in_turn_ = true;
  user_.turn_begins();
  turns_.finish();
  settle();
  user_.turn_ended();
  in_turn_ = false;
}

void LoopDriver::on_handles_closed() {
  turns_.socket().close();
  user_.closed();
}

void LoopDriver::turn() {
  in_turn_ = true;
  if (poll_again_at_ && *poll_again_at_ <= steady_time()) poll_again_at_.reset();
  user_.turn_begins();
  turns_.run();
  settle();
  user_.turn_ended();
  in_turn_ = false;
}

void LoopDriver::settle() {
  if (turns_.ended()) return;
  if (stop_notice_.take(endpoint_, events_)) {
    user_.stopped();
    if (turns_.ended()) return;
  }
  watch_socket();
  arm_timer();
}

void LoopDriver::watch_socket() {
  if (!turns_.ended() && !poll_again_at_) handles_.watch(turns_.blocked());
}

void LoopDriver::arm_timer() {
  Instant deadline = turns_.next_deadline();
  if (poll_again_at_) deadline = std::min(deadline, *poll_again_at_);
  // Listeners that ran last have sent more: the next turn comes at once, after what else is ready.
  if (wanted_ || events_.count() > 0 || user_.holds_events()) deadline = Instant();
  handles_.set_timer(deadline);
}

}  // namespace hawser
