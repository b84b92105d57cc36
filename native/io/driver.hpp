// What stands between an endpoint and the world: a driver gives the endpoint datagrams and the time, takes
// its output away, and tells its user of events. The two drivers, loop_driver.hpp on real sockets and
// simulation.hpp in memory, share this contract, so that a user cannot tell them apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/address.hpp"
#include "base/time.hpp"
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
  ImpairmentCounters impairment;       // zeros unless traffic is impaired on purpose
};

inline constexpr std::size_t kDriverCounterCount = 30;
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
    "dropImpairedLoss",
    "dropImpairedQueue",
    "dropImpairedRoom",
    "impairedDuplicated",
    "impairedHeldBack",
};

// Who uses an endpoint through a driver. The engine is never on the stack when one of these is called, so
// each of them may call the endpoint and the driver.
class DriverUser {
 public:
  DriverUser() = default;
  DriverUser(const DriverUser&) = delete;
  DriverUser& operator=(const DriverUser&) = delete;

  // The event queue holds events; afterwards it has room for more.
  virtual void take_events() = 0;
  // Hands the messages that wait at the user to the endpoint, which is about to be flushed.
  virtual void submit(Instant now) = 0;
  // The endpoint was flushed and its output sent as far as the socket took it. Must not call the driver.
  virtual void flushed() = 0;
  // The endpoint has become STOPPED. Called once; the driver goes on until close().
  virtual void stopped() = 0;
  // After Driver::close(): socket and handles have been given back and nothing calls the user any more. A
  // LoopDriver may be destroyed from here; a SimulatedNode when the call that closed it has returned.
  virtual void closed() = 0;

 protected:
  ~DriverUser() = default;
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
  // Flushes the endpoint and sends its output now.
  virtual void flush(Instant now) = 0;
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

}  // namespace hawser
