// The turns of an endpoint on a socket, whoever waits between them: an event loop or a thread of its own.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "base/time.hpp"
#include "engine/endpoint.hpp"
#include "io/driver.hpp"
#include "io/impairment.hpp"
#include "io/udp_socket.hpp"

namespace hawser {

// A monotonic clock, the one of every driver on real sockets: usable before there is a driver.
[[nodiscard]] Instant steady_time();

// The Unix time, which the system may set.
[[nodiscard]] WallTime wall_time();

// Likewise, in microseconds.
[[nodiscard]] std::uint64_t unix_micros();

// A turn reads at most 16 batches of datagrams, so that a flood cannot keep the thread from everything else,
// then runs deadlines, hands events to the user, takes the user's messages, and sends: the endpoint's own
// answers and the user's share packets.
//
// Deadlines never count what this process has not read yet: they run as of the last instant by which
// everything that had arrived is known to have been read. With an empty socket that is the present; under a
// flood that never lets it become empty, it is the time at which the oldest datagram that can still wait had
// not yet arrived.
class Turns {
 public:
  // All references outlive this. With `impairment` (nullptr for none) every datagram passes it, in both
  // directions. `other_shards` takes what belongs to another shard of the gateway; nullptr when there is
  // none.
  Turns(std::unique_ptr<UdpSocket> socket, Endpoint& endpoint, EventQueue& events, TurnUser& user,
        DriverCounters& counters, std::unique_ptr<Impairment> impairment, OtherShards* other_shards);

  // One turn: what arrived, deadlines, then finish().
  void run();
  // Hands events to the user, takes messages, flushes, and hands on what that has caused.
  void finish();
  // Flushes the endpoint and sends its output as far as the socket takes it.
  void flush(Instant now);
  // Takes a datagram that came another way. Its bytes are changed.
  void receive(const ReceivedDatagram& datagram, Instant now);

  // The socket has room again after blocked().
  void set_writable() { blocked_ = false; }
  [[nodiscard]] bool blocked() const { return blocked_; }
  // The last turn ended with datagrams still waiting in the socket.
  [[nodiscard]] bool behind() const { return behind_; }
  // When the next turn is due, whatever arrives until then; kNever when nothing is planned.
  [[nodiscard]] Instant next_deadline();

  // Polling the socket failed.
  void count_poll_error() { ++counters_.poll_errors; }

  // Nothing is read, sent or handed on any more, also within the turn that goes on.
  void end();
  [[nodiscard]] bool ended() const { return ended_; }

  // Goes on over another open socket and tells the endpoint (Endpoint::rebound). Returns the one before: a
  // batch that is being handed to the endpoint lies in its memory. Counters go on.
  std::unique_ptr<UdpSocket> replace_socket(std::unique_ptr<UdpSocket> socket);
  [[nodiscard]] UdpSocket& socket() { return *socket_; }
  [[nodiscard]] const UdpSocket& socket() const { return *socket_; }

 private:
  [[nodiscard]] static std::uint64_t backlog_limit(const UdpSocket& socket);
  [[nodiscard]] SocketCounters socket_counters() const;

  // Reads up to a turn's worth. Returns an instant before which everything that arrived was read, or nothing
  // when the socket was not seen empty.
  std::optional<Instant> read_socket();
  void note_backlog();
  // These three return whether the turns go on.
  bool answer_batch();
  bool receive_impaired(std::span<const ReceivedDatagram> datagrams, Instant now);
  bool receive_all(std::span<const ReceivedDatagram> datagrams, Instant now);
  void impair_output(Instant now);
  void run_deadlines(Instant now);
  void take_events();
  void refresh_wall_clock(Instant now);

  std::unique_ptr<UdpSocket> socket_;
  SocketCounters former_sockets_;
  Endpoint& endpoint_;
  EventQueue& events_;
  TurnUser& user_;
  DriverCounters& counters_;
  std::unique_ptr<Impairment> impairment_;
  OtherShards* other_shards_;

  // Entries of the socket's queue that may wait at most, for the rule about deadlines.
  std::uint64_t backlog_limit_;
  // While the socket was not seen empty: since when, and how many entries were read from then on.
  std::optional<Instant> backlog_since_;
  std::uint64_t backlog_read_ = 0;
  Instant read_until_;  // all that arrived before is known to have been read

  std::optional<Instant> wall_clock_read_;
  bool blocked_ = false;  // the send buffer is full
  bool behind_ = false;
  bool ended_ = false;
};

}  // namespace hawser
