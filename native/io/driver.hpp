// What stands between an endpoint and the world: a driver gives the endpoint datagrams and the time, takes
// its output away, and tells its user of events. The three drivers, loop_driver.hpp and thread_driver.hpp on
// real sockets and simulation.hpp in memory, share this contract.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/address.hpp"
#include "base/function_ref.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "engine/datagram.hpp"
#include "io/impairment.hpp"
#include "io/udp_socket.hpp"

namespace hawser {

// The counters of a driver, after those of its socket, in the order in which users see them. A simulated
// network has no socket; it counts datagrams, bytes and drops in the same cells.
struct DriverCounters {
  SocketCounters socket;
  std::uint64_t turns = 0;             // times that the driver was woken
  std::uint64_t unfinished_turns = 0;  // turns that ended with datagrams still waiting in the socket
  std::uint64_t poll_errors = 0;       // errors that polling the socket reported
  std::uint64_t deliveries = 0;        // batches of events given to the user
  std::uint64_t slabs_replaced = 0;    // event slabs that the user took away
  std::uint64_t handed_over = 0;       // datagrams given to the shard that they belong to
  std::uint64_t hand_over_drops = 0;   // such, for which that shard had no room
  ImpairmentCounters impairment;       // zeros unless traffic is impaired on purpose
};

inline constexpr std::size_t kDriverCounterCount = 32;
static_assert(sizeof(DriverCounters) == kDriverCounterCount * sizeof(std::uint64_t));

inline constexpr std::array<const char*, kDriverCounterCount> kDriverCounterNames = {
    "datagramsIn",
    "bytesIn",
    "datagramsOut",
    "bytesOut",
    "receiveCalls",
    "sendCalls",
    "receiveCoalesced",
    "sendSegmented",
    "sendBlocked",
    "dropTruncated",
    "receiveErrors",
    "dropKernelReceive",
    "dropRefused",
    "dropUnreachable",
    "dropForbidden",
    "dropTooLong",
    "dropNoBuffers",
    "dropInvalidAddress",
    "dropClosed",
    "dropOther",
    "turns",
    "unfinishedTurns",
    "pollErrors",
    "deliveries",
    "slabsReplaced",
    "datagramsHandedOver",
    "dropHandOver",
    "dropImpairedLoss",
    "dropImpairedQueue",
    "dropImpairedRoom",
    "impairedDuplicated",
    "impairedHeldBack",
};

// Who uses an endpoint in its turns. The engine is never on the stack when one of these is called, so each of
// them may call the endpoint.
class TurnUser {
 public:
  TurnUser() = default;
  TurnUser(const TurnUser&) = delete;
  TurnUser& operator=(const TurnUser&) = delete;

  // The event queue holds events; afterwards it has room for more, unless nobody takes them at the moment.
  // The published status of the peers that they are about is no older.
  virtual void take_events() = 0;
  // Whether events that it has taken wait for take_events() to be called again, though the queue may be
  // empty.
  [[nodiscard]] virtual bool holds_events() { return false; }
  // Hands the messages that wait at the user to the endpoint, which is about to be flushed.
  virtual void submit(Instant now) = 0;
  // The endpoint was flushed and its output sent as far as the socket took it. Must not call the driver.
  virtual void flushed() = 0;

 protected:
  ~TurnUser() = default;
};

// Who uses an endpoint through a driver.
class DriverUser : public TurnUser {
 public:
  // A turn of the endpoint on an event loop begins, or has ended: the event queue needs its storage only in
  // between, and while it holds events.
  virtual void turn_begins() {}
  virtual void turn_ended() {}
  // The endpoint has become STOPPED. Called once; the driver goes on until close().
  virtual void stopped() = 0;
  // After Driver::close(): socket and handles have been given back and nothing calls the user any more. A
  // driver on a socket may be destroyed from here; a SimulatedNode when the call that closed it has returned.
  virtual void closed() = 0;

 protected:
  ~DriverUser() = default;
};

// The other shards of a gateway, each with a driver of its own. What has not been handed over yet is not seen
// by the deadlines of the shard that it belongs to: where the kernel does not steer, a stall of the process
// may count against a peer whose datagrams wait in the socket of another shard.
class OtherShards {
 public:
  OtherShards() = default;
  OtherShards(const OtherShards&) = delete;
  OtherShards& operator=(const OtherShards&) = delete;

  // Copies a datagram that belongs to another shard into its mailbox and wakes it; false when there is no
  // room for it. Callable from every shard's thread.
  virtual bool hand_over(std::uint32_t shard, const ReceivedDatagram& datagram) = 0;

 protected:
  ~OtherShards() = default;
};

class Driver {
 public:
  Driver() = default;
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;
  // Only after DriverUser::closed().
  virtual ~Driver() = default;

  // The present of the endpoint's time line.
  [[nodiscard]] virtual Instant now() const = 0;
  // Plans the end of the current turn: events are taken, messages submitted, output flushed and sent. Does
  // nothing when that is planned already.
  virtual void schedule() = 0;
  // Flushes the endpoint and sends its output now; on the endpoint's thread.
  virtual void flush(Instant now) = 0;
  // Calls `work` with the present on the endpoint's thread, and returns when it has returned.
  virtual void call(FunctionRef<void(Instant)> work) = 0;
  // Stops everything and gives the socket back; DriverUser::closed() follows, possibly before this returns.
  // Closing twice does nothing.
  virtual void close() = 0;
  // Whether this driver keeps its event loop running; it does at first.
  virtual void keep_loop_alive(bool keep) = 0;

  [[nodiscard]] virtual SocketAddress local_address() const = 0;
  // What the system granted; 0 where there is no socket.
  [[nodiscard]] virtual std::size_t receive_buffer_bytes() const = 0;
  [[nodiscard]] virtual std::size_t send_buffer_bytes() const = 0;
};

// A driver on real sockets.
class SocketDriver : public Driver {
 public:
  // Goes on over another open socket, and tells the endpoint (Endpoint::rebound). The one before is closed
  // soon; what it had not yet read is lost. Counters go on. Fails with kOther when the loop cannot poll the
  // socket, and nothing has changed then. Not after close().
  virtual Result<void, SocketError> rebind(std::unique_ptr<UdpSocket> socket) = 0;
};

}  // namespace hawser
