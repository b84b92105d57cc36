#ifdef __linux__

#include <pthread.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>
#include <utility>

#include "io/io_thread.hpp"

namespace hawser {

namespace {

// A thread without deadlines looks up once in a while, which costs nothing.
constexpr Duration kLongestSleep = std::chrono::seconds(60);

// After a failure of polling, which would fail again at once.
constexpr Duration kPollPause = std::chrono::milliseconds(1);

// The kernel may be late by so much; by default it is 50 microseconds.
constexpr unsigned long kTimerSlackNanoseconds = 1'000;

void prepare_thread(std::uint32_t shard) {
  std::array<char, 16> name{};
  std::snprintf(name.data(), name.size(), "hawser-io-%u", shard);
  pthread_setname_np(pthread_self(), name.data());
  prctl(PR_SET_TIMERSLACK, kTimerSlackNanoseconds);
}

}  // namespace

IoThread::IoThread(std::unique_ptr<Waker> waker, std::unique_ptr<UdpSocket> socket, Endpoint& endpoint,
                   EventQueue& events, IoThreadUser& user, DriverCounters& counters,
                   std::unique_ptr<Impairment> impairment, const IoThreadOptions& options)
    : waker_(std::move(waker)),
      endpoint_(endpoint),
      events_(events),
      user_(user),
      turns_(std::move(socket), endpoint, events, user, counters, std::move(impairment),
             options.other_shards),
      spin_(options.spin),
      shard_(options.shard) {}

IoThread::~IoThread() { join(); }

Result<std::unique_ptr<IoThread>, SocketError> IoThread::start(std::unique_ptr<UdpSocket> socket,
                                                               Endpoint& endpoint, EventQueue& events,
                                                               IoThreadUser& user, DriverCounters& counters,
                                                               std::unique_ptr<Impairment> impairment,
                                                               const IoThreadOptions& options) {
  auto waker = Waker::create();
  if (!waker) return Failure{waker.error()};
  // The constructor is private.
  std::unique_ptr<IoThread> io_thread(new IoThread(*std::move(waker), std::move(socket), endpoint, events,
                                                   user, counters, std::move(impairment), options));
  // Signals are for the threads of the process's owner. A new thread inherits the mask.
  sigset_t every;
  sigset_t before;
  sigfillset(&every);
  pthread_sigmask(SIG_SETMASK, &every, &before);
  const int error = pthread_create(
      &io_thread->thread_, nullptr,
      [](void* self) -> void* {
        static_cast<IoThread*>(self)->run();
        return nullptr;
      },
      io_thread.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (error != 0) return Failure{SocketError{SocketErrorCode::kOther, error, "pthread_create"}};
  io_thread->joinable_ = true;
  return io_thread;
}

void IoThread::begin() {
  begun_.store(true, std::memory_order_release);
  begun_.notify_one();
}

void IoThread::join() {
  if (!joinable_) return;
  joinable_ = false;
  ending_.store(true, std::memory_order_release);
  begin();
  waker_->wake();
  pthread_join(thread_, nullptr);
  turns_.end();
  turns_.socket().close();
}

void IoThread::call(FunctionRef<void(Instant)> work) {
  const std::uint32_t done = calls_done_.load(std::memory_order_relaxed);
  call_.store(&work, std::memory_order_release);
  waker_->wake();
  calls_done_.wait(done, std::memory_order_acquire);
}

std::unique_ptr<UdpSocket> IoThread::replace_socket(std::unique_ptr<UdpSocket> socket) {
  std::unique_ptr<UdpSocket> former;
  call([&](Instant /*now*/) { former = turns_.replace_socket(std::move(socket)); });
  return former;
}

void IoThread::run() {
  prepare_thread(shard_);
  begun_.wait(false, std::memory_order_acquire);
  while (!ending_.load(std::memory_order_acquire)) {
    turn();
    wait();
  }
}

void IoThread::turn() {
  take_call();
  take_handed_over();
  turns_.run();
  if (stop_notice_.take(endpoint_, events_)) user_.thread_stopped();
}

void IoThread::take_call() {
  const FunctionRef<void(Instant)>* const work = call_.exchange(nullptr, std::memory_order_acq_rel);
  if (work == nullptr) return;
  const Instant now = steady_time();
  user_.submit(now);
  (*work)(now);
  // The caller, on whose stack it lies, goes on as soon as it sees this.
  calls_done_.fetch_add(1, std::memory_order_release);
  calls_done_.notify_one();
}

void IoThread::take_handed_over() {
  if (mailbox_.empty()) return;
  const Instant now = steady_time();
  mailbox_.take([&](const ReceivedDatagram& datagram) { turns_.receive(datagram, now); });
}

void IoThread::wait() {
  const Instant began = steady_time();
  const Instant deadline = std::min(turns_.next_deadline(), began + kLongestSleep);
  if (turns_.behind() || deadline <= began) return look_for_room();
  if (spin(deadline)) return;
  const Instant asleep = steady_time();
  if (asleep >= deadline) return;
  const auto ready = waker_->wait(turns_.socket().descriptor(), turns_.blocked(), deadline - asleep);
  if (ready.writable) turns_.set_writable();
  if (ready.failed) return pause_after_failure();
  const Instant awake = steady_time();
  if (awake < deadline) spin_.slept(awake - asleep);
}

// The next turn reads the socket, which takes a pending error out of it.
void IoThread::pause_after_failure() {
  turns_.count_poll_error();
  std::this_thread::sleep_for(kPollPause);
}

// A thread that never sleeps is told by nobody that the send buffer has room again.
void IoThread::look_for_room() {
  if (!turns_.blocked()) return;
  if (Waker::look(turns_.socket().descriptor(), true).writable) turns_.set_writable();
}

bool IoThread::spin(Instant deadline) {
  if (spin_.budget() == Duration::zero()) return false;
  const Instant end = std::min(deadline, steady_time() + spin_.budget());
  do {
    const auto ready = Waker::look(turns_.socket().descriptor(), turns_.blocked());
    if (ready.writable) turns_.set_writable();
    if (ready.readable || ready.writable || waker_->take_wake()) {
      spin_.found();
      return true;
    }
  } while (steady_time() < end);
  // A deadline that came first says nothing about how soon work comes.
  if (end < deadline) spin_.spent();
  return false;
}

}  // namespace hawser

#endif  // __linux__
