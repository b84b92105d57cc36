// The driver for an event loop: everything runs on the loop's own thread.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>

#include "base/result.hpp"
#include "base/time.hpp"
#include "engine/endpoint.hpp"
#include "io/driver.hpp"
#include "io/impairment.hpp"
#include "io/loop_handles.hpp"
#include "io/stop_notice.hpp"
#include "io/turns.hpp"
#include "io/udp_socket.hpp"

namespace hawser {

class LoopDriver final : public SocketDriver, private TurnUser, private PollListener {
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
  LoopDriver(uv_loop_s* loop, std::unique_ptr<UdpSocket> socket, Endpoint& endpoint, EventQueue& events,
             DriverUser& user, DriverCounters& counters, std::unique_ptr<Impairment> impairment);

  void take_events() override;
  bool holds_events() override;
  void submit(Instant now) override;
  void flushed() override;

  void on_poll(bool failed, bool writable) override;
  void on_timer() override;
  void on_turn_end() override;
  void on_handles_closed() override;

  void turn();
  // Plans the next turn.
  void settle();
  void watch_socket();
  void arm_timer();

  SocketAddress local_address_;
  Endpoint& endpoint_;
  EventQueue& events_;
  DriverUser& user_;
  Turns turns_;
  LoopPoll handles_;

  std::optional<Instant> poll_again_at_;  // after a poll error
  unsigned poll_errors_in_row_ = 0;
  bool in_turn_ = false;  // schedule() needs no handle: the turn's end is coming
  bool wanted_ = false;   // schedule() was called within the turn
  StopNotice stop_notice_;
};

}  // namespace hawser
