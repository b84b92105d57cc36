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

}  // namespace

const char* system_error_name(int system_errno) { return uv_err_name(uv_translate_sys_error(system_errno)); }

// On the heap: one that was replaced lives until libuv has closed it.
struct LoopHandles::Poll {
  uv_poll_t handle{};
  Handles* owner = nullptr;
  std::unique_ptr<UdpSocket> retired;
};

struct LoopHandles::Handles {
  uv_loop_t* loop = nullptr;
  LoopListener* listener = nullptr;
  std::unique_ptr<Poll> poll;
  Poll* replaced = nullptr;  // its socket comes with retire()
  uv_timer_t timer{};        // beside a poll
  uv_async_t bell{};         // where there is no poll
  uv_prepare_t prepare{};
  int watched_events = 0;
  std::uint64_t timer_due = kNoTimer;  // loop milliseconds; 0 is at once
  bool keep_alive = true;
  int open = 0;

  static Handles& of(void* data) { return *static_cast<Handles*>(data); }
  static void on_poll(uv_poll_t* handle, int status, int events) {
    Handles& self = *static_cast<Poll*>(handle->data)->owner;
    // libuv has stopped it.
    if (status < 0) self.watched_events = 0;
    self.listener->on_poll(status < 0, (events & UV_WRITABLE) != 0);
  }
  static void on_timer(uv_timer_t* handle) {
    Handles& self = of(handle->data);
    self.timer_due = kNoTimer;
    self.listener->on_timer();
  }
  static void on_prepare(uv_prepare_t* handle) {
    uv_prepare_stop(handle);
    of(handle->data).listener->on_turn_end();
  }
  static void on_bell(uv_async_t* handle) { of(handle->data).listener->on_bell(); }
  static void on_closed(uv_handle_t* handle) { of(handle->data).closed(); }
  static void on_poll_closed(uv_handle_t* handle) {
    const std::unique_ptr<Poll> poll(static_cast<Poll*>(handle->data));
    if (poll->retired) poll->retired->close();
    poll->owner->closed();
  }

  void closed() {
    if (--open == 0) listener->on_handles_closed();
  }
  void start_prepare() {
    uv_prepare_init(loop, &prepare);
    prepare.data = this;
    ++open;
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
  // The handle that says whether the loop stays alive.
  uv_handle_t* keeper() { return poll ? base(poll->handle) : base(bell); }
};

LoopHandles::LoopHandles(uv_loop_s* loop, LoopListener& listener) : handles_(std::make_unique<Handles>()) {
  handles_->loop = loop;
  handles_->listener = &listener;
}

LoopHandles::~LoopHandles() = default;

Result<void, SocketError> LoopHandles::start_polling(const UdpSocket& socket) {
  Handles& self = *handles_;
  auto poll = self.make_poll(socket);
  if (!poll) return Failure{poll.error()};
  self.poll = *std::move(poll);
  uv_timer_init(self.loop, &self.timer);
  self.timer.data = &self;
  uv_unref(base(self.timer));
  ++self.open;
  self.start_prepare();
  return {};
}

Result<void, SocketError> LoopHandles::start_bell() {
  Handles& self = *handles_;
  const int status = uv_async_init(self.loop, &self.bell, &Handles::on_bell);
  if (status != 0) return Failure{SocketError{SocketErrorCode::kOther, -status, "uv_async_init"}};
  self.bell.data = &self;
  ++self.open;
  self.start_prepare();
  return {};
}

Result<void, SocketError> LoopHandles::poll_instead(const UdpSocket& socket) {
  Handles& self = *handles_;
  auto poll = self.make_poll(socket);
  if (!poll) return Failure{poll.error()};
  self.replaced = self.close_poll();
  self.poll = *std::move(poll);
  self.watched_events = 0;
  if (!self.keep_alive) uv_unref(base(self.poll->handle));
  return {};
}

void LoopHandles::retire(std::unique_ptr<UdpSocket> socket) {
  if (handles_->replaced != nullptr) std::exchange(handles_->replaced, nullptr)->retired = std::move(socket);
}

void LoopHandles::watch(bool writable) {
  Handles& self = *handles_;
  const int wanted = UV_READABLE | (writable ? UV_WRITABLE : 0);
  if (self.watched_events == wanted) return;
  if (uv_poll_start(&self.poll->handle, wanted, &Handles::on_poll) == 0) self.watched_events = wanted;
  uv_unref(base(self.timer));
}

void LoopHandles::set_timer(Instant deadline) {
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

void LoopHandles::keep_alive_by_timer() {
  if (handles_->keep_alive) uv_ref(base(handles_->timer));
}

void LoopHandles::at_turn_end() {
  uv_prepare_t& prepare = handles_->prepare;
  if (uv_is_active(base(prepare)) == 0) uv_prepare_start(&prepare, &Handles::on_prepare);
}

void LoopHandles::ring() { uv_async_send(&handles_->bell); }

void LoopHandles::keep_loop_alive(bool keep) {
  Handles& self = *handles_;
  self.keep_alive = keep;
  if (keep) {
    uv_ref(self.keeper());
  } else {
    uv_unref(self.keeper());
  }
}

void LoopHandles::close() {
  Handles& self = *handles_;
  uv_close(base(self.prepare), &Handles::on_closed);
  if (!self.poll) return uv_close(base(self.bell), &Handles::on_closed);
  uv_close(base(self.timer), &Handles::on_closed);
  self.close_poll();
}

}  // namespace hawser
