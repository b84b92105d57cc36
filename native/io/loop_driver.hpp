// The driver for a libuv event loop. Its source is the one file that includes <uv.h>.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "base/time.hpp"
#include "engine/endpoint.hpp"
#include "io/driver.hpp"
#include "io/impairment.hpp"
#include "io/udp_socket.hpp"

struct uv_loop_s;

namespace hawser {

// A monotonic clock, the one of every LoopDriver: usable before there is a driver.
[[nodiscard]] Instant loop_time();

// The name of a system error number, such as "EADDRINUSE"; a literal.
[[nodiscard]] const char* system_error_name(int system_errno);

// Runs one endpoint on one socket. A turn reads at most 16 batches of datagrams, so that a flood cannot keep
// the loop from everything else, then runs deadlines, hands events to the user, takes the user's messages,
// and sends: the endpoint's own answers and the user's share packets.
//
// Deadlines never count what this process has not read yet: they run as of the last instant by which
// everything that had arrived is known to have been read. With an empty socket that is the present; under a
// flood that never lets it become empty, it is the time at which the oldest datagram that can still wait had
// not yet arrived.
class LoopDriver final : public Driver {
 public:
  // Begins to run `endpoint` on `loop` with an open socket. All references outlive the driver. With
  // `impairment` (nullptr for none) every datagram passes it, in both directions; what is in flight when the
  // driver closes is discarded. Fails with kOther when the loop cannot poll the socket.
  static Result<std::unique_ptr<LoopDriver>, SocketError> start(uv_loop_s* loop,
                                                                std::unique_ptr<UdpSocket> socket,
                                                                Endpoint& endpoint, EventQueue& events,
                                                                DriverUser& user, DriverCounters& counters,
                                                                std::unique_ptr<Impairment> impairment);
  ~LoopDriver() override;

  // Goes on over another open socket, and tells the endpoint (Endpoint::rebound). The one before is closed
  // within the next turns of the loop; what it had not yet read is lost. Counters go on. Fails with kOther
  // when the loop cannot poll the socket, and nothing has changed then. Not after close().
  Result<void, SocketError> rebind(std::unique_ptr<UdpSocket> socket);

  [[nodiscard]] Instant now() const override;
  void schedule() override;
  void flush(Instant now) override;
  void close() override;
  void keep_loop_alive(bool keep) override;
  [[nodiscard]] SocketAddress local_address() const override;
  [[nodiscard]] std::size_t receive_buffer_bytes() const override;
  [[nodiscard]] std::size_t send_buffer_bytes() const override;

 private:
  struct Handles;
  struct Poll;

  LoopDriver(std::unique_ptr<UdpSocket> socket, Endpoint& endpoint, EventQueue& events, DriverUser& user,
             DriverCounters& counters, std::unique_ptr<Impairment> impairment);

  void on_poll(int status, int events);
  void on_timer();
  void on_prepare();
  void on_handle_closed();
  [[nodiscard]] static std::size_t backlog_limit(const UdpSocket& socket);
  [[nodiscard]] SocketCounters socket_counters() const;

  // One turn: what arrived, deadlines, then finish_turn().
  void turn();
  // Reads up to a turn's worth. Returns an instant before which everything that arrived was read, or nothing
  // when the socket was not seen empty.
  std::optional<Instant> read_socket();
  // Returns whether the driver is still open.
  bool answer_batch();
  bool receive_batch(std::size_t count, Instant now);
  bool receive_impaired(std::size_t count, Instant now);
  bool receive_all(std::span<const ReceivedDatagram> datagrams, Instant now);
  void impair_output(Instant now);
  // When the impairment has something to hand over; `deadline` when that is earlier.
  [[nodiscard]] Instant impaired_deadline(Instant deadline);
  void run_deadlines(Instant now);
  // Events, messages, flush, and the plan for the next turn.
  void finish_turn();
  void refresh_wall_clock(Instant now);
  void watch_socket();
  void arm_timer();

  std::unique_ptr<UdpSocket> socket_;
  SocketCounters former_sockets_;
  SocketAddress local_address_;
  Endpoint& endpoint_;
  EventQueue& events_;
  DriverUser& user_;
  DriverCounters& counters_;
  std::unique_ptr<Impairment> impairment_;
  std::unique_ptr<Handles> handles_;

  // Datagrams that may wait in the socket at most, for the rule about deadlines.
  std::size_t backlog_limit_;
  // While the socket was not seen empty: since when, and how many datagrams were read from then on.
  std::optional<Instant> backlog_since_;
  std::size_t backlog_read_ = 0;
  Instant read_until_;  // all that arrived before is known to have been read

  std::optional<Instant> wall_clock_read_;
  std::optional<Instant> poll_again_at_;  // after a poll error
  unsigned poll_errors_in_row_ = 0;
  bool keep_loop_alive_ = true;
  bool blocked_ = false;  // the send buffer is full: wait until the socket is writable
  bool in_turn_ = false;  // schedule() needs no handle: the turn's end is coming
  bool wanted_ = false;   // schedule() was called within the turn
  bool stop_told_ = false;
  bool closing_ = false;
  std::array<ReceivedDatagram, kSocketBatch> batch_{};
};

}  // namespace hawser
