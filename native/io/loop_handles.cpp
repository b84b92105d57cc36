#include "io/loop_handles.hpp"

#include <uv.h>

#include <chrono>
#include <limits>
#include <utility>

#include "io/turns.hpp"

namespace hawser {

namespace {

constexpr std::uint64_t kNoTimer = std::numeric_limits<std::uint64_t>::max();

template <class Handle>
uv_handle_t* base(Handle& handle) {
  return reinterpret_cast<uv_handle_t*>(&handle);
}

// libuv counts whole milliseconds of a clock that need not begin where ours does; a deadline is due when its
// millisecond is over. 0 for one that has passed.
std::uint64_t loop_milliseconds(Instant deadline) {
  const Duration ahead = deadline - steady_time();
  if (ahead <= Duration::zero()) return 0;
  const Duration present(static_cast<Duration::rep>(uv_hrtime() / 1000));
  return static_cast<std::uint64_t>(std::chrono::ceil<std::chrono::milliseconds>(present + ahead).count());
}

// What both kinds have: the end of a turn of the loop, and the count of what libuv has to close. It is the
// `data` of every handle but a poll.
struct CommonHandles {
  CommonHandles(uv_loop_t* on, LoopListener& tells) : loop(on), listener(tells) {}

  uv_loop_t* loop;
  LoopListener& listener;
  uv_prepare_t prepare{};
  int open = 0;

  template <class Handle>
  void opened(Handle& handle) {
    handle.data = this;
    ++open;
  }
  void start_prepare() {
    uv_prepare_init(loop, &prepare);
    opened(prepare);
  }
  void at_turn_end() {
    if (uv_is_active(base(prepare)) == 0) uv_prepare_start(&prepare, &on_prepare);
  }
  template <class Handle>
  void close(Handle& handle) {
    uv_close(base(handle), [](uv_handle_t* closed_one) { of(closed_one->data).closed(); });
  }
  void closed() {
    if (--open == 0) listener.on_handles_closed();
  }

  static CommonHandles& of(void* data) { return *static_cast<CommonHandles*>(data); }
  static void on_prepare(uv_prepare_t* handle) {
    uv_prepare_stop(handle);
    of(handle->data).listener.on_turn_end();
  }
};

template <class Handle>
void keep_alive_by(Handle& handle, bool keep) {
  if (keep) {
    uv_ref(base(handle));
  } else {
    uv_unref(base(handle));
  }
}

}  // namespace

const char* system_error_name(int system_errno) { return uv_err_name(uv_translate_sys_error(system_errno)); }

// On the heap: one that was replaced lives until libuv has closed it.
struct LoopPoll::Poll {
  uv_poll_t handle{};
  Handles* owner = nullptr;
  std::unique_ptr<UdpSocket> retired;
};

struct LoopPoll::Handles : CommonHandles {
  Handles(uv_loop_t* on, PollListener& tells) : CommonHandles(on, tells), poll_listener(tells) {}

  PollListener& poll_listener;
  std::unique_ptr<Poll> poll;
  Poll* replaced = nullptr;  // its socket comes with retire()
  uv_timer_t timer{};
  int watched_events = 0;
  std::uint64_t timer_due = kNoTimer;  // loop milliseconds; 0 is at once
  bool keep_alive = true;

  static void on_poll(uv_poll_t* handle, int status, int events) {
    Handles& self = *static_cast<Poll*>(handle->data)->owner;
    // libuv has stopped it.
    if (status < 0) self.watched_events = 0;
    self.poll_listener.on_poll(status < 0, (events & UV_WRITABLE) != 0);
  }
  static void on_timer(uv_timer_t* handle) {
    auto& self = static_cast<Handles&>(of(handle->data));
    self.timer_due = kNoTimer;
    self.poll_listener.on_timer();
  }
  static void on_poll_closed(uv_handle_t* handle) {
    const std::unique_ptr<Poll> poll(static_cast<Poll*>(handle->data));
    if (poll->retired) poll->retired->close();
    poll->owner->closed();
  }

  Result<std::unique_ptr<Poll>, SocketError> make_poll(const UdpSocket& socket) {
    auto made = std::make_unique<Poll>();
    const int status = uv_poll_init_socket(loop, &made->handle, socket.descriptor());
    if (status != 0) return Failure{SocketError{SocketErrorCode::kOther, -status, "uv_poll_init"}};
    made->handle.data = made.get();
    made->owner = this;
    ++open;
    return made;
  }
  // Returns what libuv closes and then gives back.
  Poll* close_poll() {
    Poll* const closing = poll.release();
    uv_poll_stop(&closing->handle);
    uv_close(base(closing->handle), &on_poll_closed);
    return closing;
  }
};

LoopPoll::LoopPoll(uv_loop_s* loop, PollListener& listener)
    : handles_(std::make_unique<Handles>(loop, listener)) {}

LoopPoll::~LoopPoll() = default;

Result<void, SocketError> LoopPoll::start(const UdpSocket& socket) {
  Handles& self = *handles_;
  auto poll = self.make_poll(socket);
  if (!poll) return Failure{poll.error()};
  self.poll = *std::move(poll);
  uv_timer_init(self.loop, &self.timer);
  self.opened(self.timer);
  uv_unref(base(self.timer));
  self.start_prepare();
  return {};
}

Result<void, SocketError> LoopPoll::poll_instead(const UdpSocket& socket) {
  Handles& self = *handles_;
  auto poll = self.make_poll(socket);
  if (!poll) return Failure{poll.error()};
  self.replaced = self.close_poll();
  self.poll = *std::move(poll);
  self.watched_events = 0;
  if (!self.keep_alive) uv_unref(base(self.poll->handle));
  return {};
}

void LoopPoll::retire(std::unique_ptr<UdpSocket> socket) {
  if (handles_->replaced != nullptr) std::exchange(handles_->replaced, nullptr)->retired = std::move(socket);
}

void LoopPoll::watch(bool writable) {
  Handles& self = *handles_;
  const int wanted = UV_READABLE | (writable ? UV_WRITABLE : 0);
  if (self.watched_events == wanted) return;
  if (uv_poll_start(&self.poll->handle, wanted, &Handles::on_poll) == 0) self.watched_events = wanted;
  uv_unref(base(self.timer));
}

void LoopPoll::set_timer(Instant deadline) {
  Handles& self = *handles_;
  if (deadline == kNever) {
    uv_timer_stop(&self.timer);
    self.timer_due = kNoTimer;
    return;
  }
  const std::uint64_t due = loop_milliseconds(deadline);
  if (due == self.timer_due) return;
  self.timer_due = due;
  const std::uint64_t present = uv_now(self.loop);
  uv_timer_start(&self.timer, &Handles::on_timer, due > present ? due - present : 0, 0);
}

void LoopPoll::keep_alive_by_timer() {
  if (handles_->keep_alive) uv_ref(base(handles_->timer));
}

void LoopPoll::at_turn_end() { handles_->at_turn_end(); }

void LoopPoll::keep_loop_alive(bool keep) {
  handles_->keep_alive = keep;
  keep_alive_by(handles_->poll->handle, keep);
}

void LoopPoll::close() {
  handles_->close(handles_->prepare);
  handles_->close(handles_->timer);
  handles_->close_poll();
}

struct LoopWaker::Handles : CommonHandles {
  Handles(uv_loop_t* on, WakeListener& tells) : CommonHandles(on, tells), wake_listener(tells) {}

  WakeListener& wake_listener;
  uv_async_t waker{};

  static void on_wake(uv_async_t* handle) { static_cast<Handles&>(of(handle->data)).wake_listener.on_wake(); }
};

LoopWaker::LoopWaker(uv_loop_s* loop, WakeListener& listener)
    : handles_(std::make_unique<Handles>(loop, listener)) {}

LoopWaker::~LoopWaker() = default;

Result<void, SocketError> LoopWaker::start() {
  Handles& self = *handles_;
  const int status = uv_async_init(self.loop, &self.waker, &Handles::on_wake);
  if (status != 0) return Failure{SocketError{SocketErrorCode::kOther, -status, "uv_async_init"}};
  self.opened(self.waker);
  self.start_prepare();
  return {};
}

void LoopWaker::wake() { uv_async_send(&handles_->waker); }

void LoopWaker::at_turn_end() { handles_->at_turn_end(); }

void LoopWaker::keep_loop_alive(bool keep) { keep_alive_by(handles_->waker, keep); }

void LoopWaker::close() {
  handles_->close(handles_->prepare);
  handles_->close(handles_->waker);
}

}  // namespace hawser
