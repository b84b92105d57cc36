#include "io/turns.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

namespace hawser {

namespace {

constexpr std::size_t kBatchesPerTurn = 16;
constexpr Duration kWallClockInterval = std::chrono::seconds(1);
// Deadlines of thousands of peers may fall together and fill the event queue many times over.
constexpr int kDeadlineRounds = 64;

// While traffic is impaired, the socket is looked at this often. What was not looked at for longer than
// kStall was not looked at because the process stood still, and its datagrams may have waited all that time.
constexpr Duration kImpairedWatch = std::chrono::milliseconds(50);
constexpr Duration kStall = std::chrono::milliseconds(200);

// The least that one waiting datagram takes of a socket's receive buffer on any system: its bookkeeping.
constexpr std::size_t kLeastDatagramCharge = 256;

}  // namespace

Instant steady_time() {
  return Instant(std::chrono::floor<Duration>(std::chrono::steady_clock::now().time_since_epoch()));
}

WallTime wall_time() {
  // The epoch of system_clock is that of Unix time since C++20.
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return WallTime(std::chrono::floor<std::chrono::milliseconds>(since_epoch));
}

std::uint64_t unix_micros() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::microseconds>(since_epoch).count());
}

Turns::Turns(std::unique_ptr<UdpSocket> socket, Endpoint& endpoint, EventQueue& events, TurnUser& user,
             DriverCounters& counters, std::unique_ptr<Impairment> impairment, OtherShards* other_shards)
    : socket_(std::move(socket)),
      endpoint_(endpoint),
      events_(events),
      user_(user),
      counters_(counters),
      impairment_(std::move(impairment)),
      other_shards_(other_shards),
      backlog_limit_(backlog_limit(*socket_)),
      read_until_(steady_time()) {
  refresh_wall_clock(read_until_);
}

std::uint64_t Turns::backlog_limit(const UdpSocket& socket) {
  // Linux grants twice the figure that it reports as the usable amount.
  return 2 * socket.granted_receive_buffer_bytes() / kLeastDatagramCharge + kSocketBatch;
}

SocketCounters Turns::socket_counters() const { return former_sockets_ + socket_->counters(); }

std::unique_ptr<UdpSocket> Turns::replace_socket(std::unique_ptr<UdpSocket> socket) {
  former_sockets_ = socket_counters();
  std::unique_ptr<UdpSocket> former = std::exchange(socket_, std::move(socket));
  backlog_limit_ = backlog_limit(*socket_);
  backlog_since_.reset();
  read_until_ = steady_time();
  blocked_ = false;
  behind_ = false;
  endpoint_.rebound(steady_time());
  return former;
}

void Turns::end() {
  if (ended_) return;
  ended_ = true;
  counters_.socket = socket_counters();
}

void Turns::run() {
  ++counters_.turns;
  refresh_wall_clock(steady_time());
  const std::optional<Instant> emptied = read_socket();
  socket_->rest();
  if (ended_) return;
  behind_ = !emptied;
  if (emptied) {
    read_until_ = *emptied;
    backlog_since_.reset();
    run_deadlines(*emptied);
  } else {
    note_backlog();
  }
  finish();
}

void Turns::note_backlog() {
  ++counters_.unfinished_turns;
  if (backlog_since_ && backlog_read_ >= backlog_limit_) {
    read_until_ = *backlog_since_;
    run_deadlines(*backlog_since_);
    backlog_since_.reset();
  }
  if (!backlog_since_) {
    // What arrived before this instant is at most a full receive buffer, waiting now.
    backlog_since_ = steady_time();
    backlog_read_ = 0;
  }
}

std::optional<Instant> Turns::read_socket() {
  // Nobody is told of datagrams that the socket has taken from the kernel and not handed out.
  std::array<ReceivedDatagram, kSocketBatch> batch;
  for (std::size_t i = 0; i < kBatchesPerTurn || socket_->has_leftovers(); ++i) {
    const Instant now = steady_time();
    const std::uint64_t entries = socket_->queue_entries_read();
    const std::span<const ReceivedDatagram> received = std::span(batch).first(socket_->receive(batch));
    backlog_read_ += socket_->queue_entries_read() - entries;
    const bool going_on = impairment_ ? receive_impaired(received, now) : receive_all(received, now);
    if (!going_on) return std::nullopt;
    if (socket_->drained()) return now;
    if (!answer_batch()) return std::nullopt;
  }
  return std::nullopt;
}

// Replies to one batch leave before the next is read. A turn may read as much as a peer's whole window: were
// its acknowledgements kept until the end, sender and receiver would work by turns instead of at the same
// time.
bool Turns::answer_batch() {
  take_events();
  if (ended_) return false;
  const Instant now = steady_time();
  user_.submit(now);
  flush(now);
  return !ended_;
}

// What arrived during a stall of this process is taken to have arrived at its beginning: delayed from now on,
// it would come after deadlines that it was in time for.
bool Turns::receive_impaired(std::span<const ReceivedDatagram> datagrams, Instant now) {
  DelayLine<ReceivedDatagram>& line = impairment_->incoming();
  const Instant arrived = now - read_until_ > kStall ? read_until_ : now;
  for (const ReceivedDatagram& datagram : datagrams) line.put(datagram, arrived);
  for (;;) {
    const std::span<const ReceivedDatagram> due = line.due(now);
    if (due.empty()) return true;
    if (!receive_all(due, now)) return false;
    line.done(due.size());
    if (due.size() == line.kBatch && !answer_batch()) return false;
  }
}

bool Turns::receive_all(std::span<const ReceivedDatagram> datagrams, Instant now) {
  for (std::size_t i = 0; i < datagrams.size(); ++i) {
    if (i % Endpoint::kLookAhead == 0) endpoint_.look_ahead(datagrams.subspan(i));
    receive(datagrams[i], now);
    if (ended_) return false;
  }
  return true;
}

void Turns::receive(const ReceivedDatagram& datagram, Instant now) {
  if (!events_.has_room()) take_events();
  if (ended_) return;
  const std::optional<std::uint32_t> other = endpoint_.receive(datagram, now);
  if (!other || other_shards_ == nullptr) return;
  if (other_shards_->hand_over(*other, datagram)) {
    ++counters_.handed_over;
  } else {
    ++counters_.hand_over_drops;
  }
}

void Turns::take_events() {
  if (events_.count() == 0 && !events_.wanting() && !user_.holds_events()) return;
  endpoint_.publish_status();
  user_.take_events();
}

void Turns::impair_output(Instant now) {
  for (;;) {
    const std::span<const OutgoingDatagram> output = endpoint_.output();
    if (output.empty()) return;
    for (const OutgoingDatagram& datagram : output) impairment_->outgoing().put(datagram, now);
    endpoint_.output_sent(output.size());
  }
}

void Turns::flush(Instant now) {
  if (ended_) return;
  endpoint_.flush(now);
  if (impairment_) impair_output(now);
  while (!blocked_) {
    const std::span<const OutgoingDatagram> output =
        impairment_ ? impairment_->outgoing().due(now) : endpoint_.output();
    if (output.empty()) break;
    const UdpSocket::SendResult result = socket_->send(
        output, [&](const OutgoingDatagram& datagram) { endpoint_.output_too_long(datagram, now); });
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
}

void Turns::run_deadlines(Instant now) {
  for (int round = 0; round < kDeadlineRounds && !ended_; ++round) {
    endpoint_.advance(now);
    // What leaves now is stamped with the present, which `now` may lie behind.
    if (endpoint_.wants_flush()) flush(steady_time());
    if (events_.has_room()) return;
    take_events();
    // Nobody takes them at the moment; what needs no event has been done.
    if (!events_.has_room()) return;
  }
}

void Turns::finish() {
  take_events();
  if (ended_) return;
  const Instant now = steady_time();
  user_.submit(now);
  flush(now);
  if (!ended_) take_events();
}

Instant Turns::next_deadline() {
  const Instant deadline = endpoint_.next_deadline();
  if (!impairment_) return deadline;
  const Instant watched =
      std::min({deadline, steady_time() + kImpairedWatch, impairment_->incoming().next_due()});
  // A full send buffer says itself when it has room again.
  return blocked_ ? watched : std::min(watched, impairment_->outgoing().next_due());
}

void Turns::refresh_wall_clock(Instant now) {
  if (wall_clock_read_ && now - *wall_clock_read_ < kWallClockInterval) return;
  wall_clock_read_ = now;
  endpoint_.set_wall_clock(now, wall_time());
}

}  // namespace hawser
