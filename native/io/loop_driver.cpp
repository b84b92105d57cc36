#include "io/loop_driver.hpp"

#include <uv.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <utility>

namespace hawser {

namespace {

constexpr std::size_t kBatchesPerTurn = 16;
constexpr Duration kWallClockInterval = std::chrono::seconds(1);
// Deadlines of thousands of peers may fall together and fill the event queue many times over.
constexpr int kDeadlineRounds = 64;
constexpr Duration kFirstPollPause = std::chrono::milliseconds(1);
constexpr unsigned kMaxPollPauseDoublings = 10;

// While traffic is impaired, the socket is looked at this often. What was not looked at for longer than
// kStall was not looked at because the process stood still, and its datagrams may have waited all that time.
constexpr Duration kImpairedWatch = std::chrono::milliseconds(50);
constexpr Duration kStall = std::chrono::milliseconds(200);

constexpr std::uint64_t kNoTimer = std::numeric_limits<std::uint64_t>::max();

// The least that one waiting datagram takes of a socket's receive buffer on any system: its bookkeeping.
constexpr std::size_t kLeastDatagramCharge = 256;

WallTime wall_clock() {
  // The epoch of system_clock is that of Unix time since C++20.
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return WallTime(std::chrono::floor<std::chrono::milliseconds>(since_epoch));
}

// libuv's loop counts whole milliseconds of the same clock; a deadline is due when its millisecond is over.
std::uint64_t loop_milliseconds(Instant deadline) {
  return static_cast<std::uint64_t>(
      std::chrono::ceil<std::chrono::milliseconds>(deadline.time_since_epoch()).count());
}

}  // namespace

Instant loop_time() { return Instant(Duration(static_cast<Duration::rep>(uv_hrtime() / 1000))); }

const char* system_error_name(int system_errno) { return uv_err_name(uv_translate_sys_error(system_errno)); }

// Until the poll handle is closed libuv may look at the descriptor, whose number a new socket could have by
// then: a socket that is replaced lives as long.
struct LoopDriver::Poll {
  uv_poll_t handle{};
  LoopDriver* driver = nullptr;
  std::unique_ptr<UdpSocket> replaced;

  uv_handle_t* base() { return reinterpret_cast<uv_handle_t*>(&handle); }
};

struct LoopDriver::Handles {
  uv_loop_t* loop = nullptr;
  std::unique_ptr<Poll> poll = std::make_unique<Poll>();
  uv_timer_t timer{};
  uv_prepare_t prepare{};
  int watched_events = 0;
  std::uint64_t timer_due = kNoTimer;  // loop milliseconds; 0 is at once
  int open = 0;

  static LoopDriver& driver(void* data) { return *static_cast<LoopDriver*>(data); }
  static void poll_callback(uv_poll_t* handle, int status, int events) {
    static_cast<Poll*>(handle->data)->driver->on_poll(status, events);
  }
  static void timer_callback(uv_timer_t* handle) { driver(handle->data).on_timer(); }
  static void prepare_callback(uv_prepare_t* handle) { driver(handle->data).on_prepare(); }
  static void poll_closed(uv_handle_t* handle) {
    LoopDriver& closed = *static_cast<Poll*>(handle->data)->driver;
    closed.socket_->close();
    closed.on_handle_closed();
  }
  static void replaced_poll_closed(uv_handle_t* handle) {
    const std::unique_ptr<Poll> poll(static_cast<Poll*>(handle->data));
    poll->replaced->close();
    poll->driver->on_handle_closed();
  }
  static void handle_closed(uv_handle_t* handle) { driver(handle->data).on_handle_closed(); }

  template <class Handle>
  void close(Handle& handle, uv_close_cb callback) {
    uv_close(reinterpret_cast<uv_handle_t*>(&handle), callback);
  }
};

LoopDriver::LoopDriver(std::unique_ptr<UdpSocket> socket, Endpoint& endpoint, EventQueue& events,
                       DriverUser& user, DriverCounters& counters, std::unique_ptr<Impairment> impairment)
    : socket_(std::move(socket)),
      local_address_(socket_->local_address()),
      endpoint_(endpoint),
      events_(events),
      user_(user),
      counters_(counters),
      impairment_(std::move(impairment)),
      handles_(std::make_unique<Handles>()),
      backlog_limit_(backlog_limit(*socket_)),
      read_until_(loop_time()) {}

LoopDriver::~LoopDriver() = default;

std::size_t LoopDriver::backlog_limit(const UdpSocket& socket) {
  // Linux grants twice the figure that it reports as the usable amount.
  return 2 * socket.granted_receive_buffer_bytes() / kLeastDatagramCharge + kSocketBatch;
}

SocketCounters LoopDriver::socket_counters() const { return former_sockets_ + socket_->counters(); }

Result<std::unique_ptr<LoopDriver>, SocketError> LoopDriver::start(uv_loop_s* loop,
                                                                   std::unique_ptr<UdpSocket> socket,
                                                                   Endpoint& endpoint, EventQueue& events,
                                                                   DriverUser& user, DriverCounters& counters,
                                                                   std::unique_ptr<Impairment> impairment) {
  // The constructor is private.
  std::unique_ptr<LoopDriver> driver(
      new LoopDriver(std::move(socket), endpoint, events, user, counters, std::move(impairment)));
  Handles& handles = *driver->handles_;
  const int status = uv_poll_init_socket(loop, &handles.poll->handle, driver->socket_->descriptor());
  if (status != 0) return Failure{SocketError{SocketErrorCode::kOther, -status, "uv_poll_init"}};
  handles.loop = loop;
  handles.poll->handle.data = handles.poll.get();
  handles.poll->driver = driver.get();
  uv_timer_init(loop, &handles.timer);
  handles.timer.data = driver.get();
  // The poll handle says whether the loop stays alive.
  uv_unref(reinterpret_cast<uv_handle_t*>(&handles.timer));
  uv_prepare_init(loop, &handles.prepare);
  handles.prepare.data = driver.get();
  handles.open = 3;
  const Instant now = loop_time();
  driver->refresh_wall_clock(now);
  driver->watch_socket();
  driver->arm_timer();
  return driver;
}

Result<void, SocketError> LoopDriver::rebind(std::unique_ptr<UdpSocket> socket) {
  auto poll = std::make_unique<Poll>();
  const int status = uv_poll_init_socket(handles_->loop, &poll->handle, socket->descriptor());
  if (status != 0) return Failure{SocketError{SocketErrorCode::kOther, -status, "uv_poll_init"}};
  poll->handle.data = poll.get();
  poll->driver = this;
  ++handles_->open;
  former_sockets_ = socket_counters();
  Poll* const old = handles_->poll.release();
  handles_->poll = std::move(poll);
  // A batch that is being handed to the endpoint lies in its memory.
  old->replaced = std::move(socket_);
  uv_poll_stop(&old->handle);
  uv_close(old->base(), &Handles::replaced_poll_closed);

  socket_ = std::move(socket);
  local_address_ = socket_->local_address();
  backlog_limit_ = backlog_limit(*socket_);
  backlog_since_.reset();
  read_until_ = loop_time();
  handles_->watched_events = 0;
  poll_again_at_.reset();
  poll_errors_in_row_ = 0;
  blocked_ = false;
  if (!keep_loop_alive_) uv_unref(handles_->poll->base());
  endpoint_.rebound(loop_time());
  watch_socket();
  schedule();
  return {};
}

Instant LoopDriver::now() const { return loop_time(); }

SocketAddress LoopDriver::local_address() const { return local_address_; }
std::size_t LoopDriver::receive_buffer_bytes() const { return socket_->granted_receive_buffer_bytes(); }
std::size_t LoopDriver::send_buffer_bytes() const { return socket_->granted_send_buffer_bytes(); }

void LoopDriver::schedule() {
  wanted_ = true;
  if (in_turn_ || closing_) return;
  if (uv_is_active(reinterpret_cast<uv_handle_t*>(&handles_->prepare)) == 0) {
    uv_prepare_start(&handles_->prepare, &Handles::prepare_callback);
  }
}

void LoopDriver::flush(Instant now) {
  if (closing_) return;
  endpoint_.flush(now);
  if (impairment_) impair_output(now);
  while (!blocked_) {
    const std::span<const OutgoingDatagram> output =
        impairment_ ? impairment_->outgoing().due(now) : endpoint_.output();
    if (output.empty()) break;
    const UdpSocket::SendResult result = socket_->send(output);
    const std::size_t done = result.sent + result.dropped;
    if (impairment_) {
      impairment_->outgoing().done(done);
    } else {
      endpoint_.output_sent(done);
    }
    blocked_ = result.blocked;
  }
  counters_.socket = socket_counters();
  user_.flushed();
  watch_socket();
}

void LoopDriver::close() {
  if (closing_) return;
  closing_ = true;
  counters_.socket = socket_counters();
  uv_poll_stop(&handles_->poll->handle);
  handles_->close(handles_->poll->handle, &Handles::poll_closed);
  handles_->close(handles_->timer, &Handles::handle_closed);
  handles_->close(handles_->prepare, &Handles::handle_closed);
}

void LoopDriver::keep_loop_alive(bool keep) {
  keep_loop_alive_ = keep;
  uv_handle_t* const handle = handles_->poll->base();
  if (keep) {
    uv_ref(handle);
  } else {
    uv_unref(handle);
  }
}

void LoopDriver::on_handle_closed() {
  if (--handles_->open == 0) user_.closed();
}

void LoopDriver::on_poll(int status, int events) {
  if (status < 0) {
    // libuv stops the handle. Reading the socket takes the pending error out of it.
    ++counters_.poll_errors;
    handles_->watched_events = 0;
    poll_again_at_ =
        loop_time() + kFirstPollPause * (1U << std::min(poll_errors_in_row_, kMaxPollPauseDoublings));
    ++poll_errors_in_row_;
    // A stopped poll handle does not keep the loop alive; the timer that starts it again must.
    if (keep_loop_alive_) uv_ref(reinterpret_cast<uv_handle_t*>(&handles_->timer));
  } else {
    poll_errors_in_row_ = 0;
    if ((events & UV_WRITABLE) != 0) blocked_ = false;
  }
  turn();
}

void LoopDriver::on_timer() {
  handles_->timer_due = kNoTimer;
  turn();
}

void LoopDriver::on_prepare() {
  uv_prepare_stop(&handles_->prepare);
  in_turn_ = true;
  finish_turn();
  in_turn_ = false;
}

void LoopDriver::turn() {
  ++counters_.turns;
  in_turn_ = true;
  const Instant began = loop_time();
  if (poll_again_at_ && *poll_again_at_ <= began) poll_again_at_.reset();
  refresh_wall_clock(began);
  const std::optional<Instant> emptied = read_socket();
  if (emptied) {
    read_until_ = *emptied;
    backlog_since_.reset();
    run_deadlines(*emptied);
  } else if (!closing_) {
    ++counters_.unfinished_turns;
    if (backlog_since_ && backlog_read_ >= backlog_limit_) {
      read_until_ = *backlog_since_;
      run_deadlines(*backlog_since_);
      backlog_since_.reset();
    }
    if (!backlog_since_) {
      // What arrived before this instant is at most a full receive buffer, waiting now.
      backlog_since_ = loop_time();
      backlog_read_ = 0;
    }
  }
  if (!closing_) finish_turn();
  in_turn_ = false;
}

std::optional<Instant> LoopDriver::read_socket() {
  // Nobody is told of datagrams that the socket has taken from the kernel and not handed out.
  for (std::size_t i = 0; i < kBatchesPerTurn || socket_->has_leftovers(); ++i) {
    const Instant now = loop_time();
    const std::uint64_t entries = socket_->queue_entries_read();
    const std::size_t count = socket_->receive(batch_);
    backlog_read_ += socket_->queue_entries_read() - entries;
    if (!receive_batch(count, now)) return std::nullopt;
    if (socket_->drained()) return now;
    if (!answer_batch()) return std::nullopt;
  }
  return std::nullopt;
}

// Replies to one batch leave before the next is read. A turn may read as much as a peer's whole window: were
// its acknowledgements kept until the end, sender and receiver would work by turns instead of at the same
// time.
bool LoopDriver::answer_batch() {
  if (events_.count() > 0) user_.take_events();
  if (closing_) return false;
  const Instant now = loop_time();
  user_.submit(now);
  flush(now);
  return true;
}

bool LoopDriver::receive_batch(std::size_t count, Instant now) {
  if (impairment_) return receive_impaired(count, now);
  return receive_all(std::span(batch_).first(count), now);
}

// What arrived during a stall of this process is taken to have arrived at its beginning: delayed from now on,
// it would come after deadlines that it was in time for.
bool LoopDriver::receive_impaired(std::size_t count, Instant now) {
  DelayLine<ReceivedDatagram>& line = impairment_->incoming();
  const Instant arrived = now - read_until_ > kStall ? read_until_ : now;
  for (std::size_t i = 0; i < count; ++i) line.put(batch_[i], arrived);
  for (;;) {
    const std::span<const ReceivedDatagram> due = line.due(now);
    if (due.empty()) return true;
    if (!receive_all(due, now)) return false;
    line.done(due.size());
    if (due.size() == line.kBatch && !answer_batch()) return false;
  }
}

bool LoopDriver::receive_all(std::span<const ReceivedDatagram> datagrams, Instant now) {
  for (const ReceivedDatagram& datagram : datagrams) {
    if (!events_.has_room()) {
      user_.take_events();
      if (closing_) return false;
    }
    endpoint_.receive(datagram, now);
  }
  return true;
}

void LoopDriver::impair_output(Instant now) {
  for (;;) {
    const std::span<const OutgoingDatagram> output = endpoint_.output();
    if (output.empty()) return;
    for (const OutgoingDatagram& datagram : output) impairment_->outgoing().put(datagram, now);
    endpoint_.output_sent(output.size());
  }
}

void LoopDriver::run_deadlines(Instant now) {
  for (int round = 0; round < kDeadlineRounds && !closing_; ++round) {
    endpoint_.advance(now);
    // What leaves now is stamped with the present, which `now` may lie behind.
    if (endpoint_.wants_flush()) flush(loop_time());
    if (events_.has_room()) return;
    user_.take_events();
  }
}

void LoopDriver::finish_turn() {
  if (events_.count() > 0) user_.take_events();
  if (closing_) return;
  const Instant now = loop_time();
  // All that was planned so far is done by the next lines.
  wanted_ = false;
  user_.submit(now);
  flush(now);
  if (events_.count() > 0) user_.take_events();
  if (closing_) return;
  if (!stop_told_ && endpoint_.state() == SocketState::kStopped) {
    stop_told_ = true;
    user_.stopped();
    if (closing_) return;
  }
  watch_socket();
  arm_timer();
}

void LoopDriver::refresh_wall_clock(Instant now) {
  if (wall_clock_read_ && now - *wall_clock_read_ < kWallClockInterval) return;
  wall_clock_read_ = now;
  endpoint_.set_wall_clock(now, wall_clock());
}

void LoopDriver::watch_socket() {
  if (closing_ || poll_again_at_) return;
  const int wanted = UV_READABLE | (blocked_ ? UV_WRITABLE : 0);
  if (handles_->watched_events == wanted) return;
  if (uv_poll_start(&handles_->poll->handle, wanted, &Handles::poll_callback) == 0)
    handles_->watched_events = wanted;
  uv_unref(reinterpret_cast<uv_handle_t*>(&handles_->timer));
}

Instant LoopDriver::impaired_deadline(Instant deadline) {
  deadline = std::min({deadline, loop_time() + kImpairedWatch, impairment_->incoming().next_due()});
  // A full send buffer says itself when it has room again.
  return blocked_ ? deadline : std::min(deadline, impairment_->outgoing().next_due());
}

void LoopDriver::arm_timer() {
  Instant deadline = endpoint_.next_deadline();
  if (poll_again_at_) deadline = std::min(deadline, *poll_again_at_);
  if (impairment_) deadline = impaired_deadline(deadline);
  // Listeners that ran last have sent more: the next turn comes at once, after what else is ready.
  if (wanted_ || events_.count() > 0) deadline = Instant();
  if (deadline == kNever) {
    uv_timer_stop(&handles_->timer);
    handles_->timer_due = kNoTimer;
    return;
  }
  const std::uint64_t due = deadline <= loop_time() ? 0 : loop_milliseconds(deadline);
  if (due == handles_->timer_due) return;
  handles_->timer_due = due;
  const std::uint64_t present = uv_now(handles_->loop);
  uv_timer_start(&handles_->timer, &Handles::timer_callback, due > present ? due - present : 0, 0);
}

}  // namespace hawser
