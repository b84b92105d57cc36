// A network in memory with a clock of its own. One seed gives one exact run: what is random (losses, delays,
// and the endpoints' own randomness, which their owner seeds with next_seed()) comes from it, and time moves
// only in step().
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/random.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "engine/endpoint.hpp"
#include "io/driver.hpp"
#include "io/link_model.hpp"
#include "io/stop_notice.hpp"
#include "io/udp_socket.hpp"

namespace hawser {

// What became of the datagrams that were sent.
struct SimulationCounters {
  std::uint64_t sent = 0;
  std::uint64_t delivered = 0;
  std::uint64_t lost = 0;
  std::uint64_t duplicated = 0;
  std::uint64_t held_back = 0;
  std::uint64_t marked = 0;  // arrived with ECN bits that a queue set to CE
  std::uint64_t too_long = 0;
  std::uint64_t queue_full = 0;
  std::uint64_t cut_off = 0;      // the link was down or the addresses parted
  std::uint64_t unreachable = 0;  // nobody at that address when it arrived
};

// Sees each datagram when it is sent, also one that the network then loses. Must not call the simulation.
class SimulationObserver {
 public:
  SimulationObserver() = default;
  SimulationObserver(const SimulationObserver&) = delete;
  SimulationObserver& operator=(const SimulationObserver&) = delete;

  virtual void on_datagram(const SocketAddress& from, const SocketAddress& to, Bytes bytes) = 0;

 protected:
  ~SimulationObserver() = default;
};

class SimulatedNode;

class Simulation {
 public:
  // `start`: the Unix time at the beginning, which is instant zero.
  Simulation(std::uint64_t seed, WallTime start);
  Simulation(const Simulation&) = delete;
  Simulation& operator=(const Simulation&) = delete;
  // After all nodes.
  ~Simulation();

  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] WallTime wall_now() const;
  // Likewise, in microseconds.
  [[nodiscard]] std::uint64_t unix_micros() const;
  // A seed for something else that shall repeat with this run.
  [[nodiscard]] std::uint64_t next_seed() { return random_.u64(); }

  // When something is due next; kNever when nothing is planned.
  [[nodiscard]] Instant next_event() const;
  // Moves to the next instant at which something is due and runs all that is due then. False when nothing is
  // due up to `until`: the clock then stands at `until`.
  bool step(Instant until);
  void run_until(Instant until);

  // Addresses of these rules: port 0 stands for every port, no address for every address. The most specific
  // rule for a pair of addresses counts (the sender's address weighs more than the receiver's), of equal ones
  // the latest. What waits before the bottleneck of a rule goes on waiting when the rule is set anew.
  void set_link(const std::optional<SocketAddress>& from, const std::optional<SocketAddress>& to,
                const LinkSettings& settings);
  // Cuts two addresses off from each other in both directions, or joins them again.
  void partition(const SocketAddress& a, const SocketAddress& b, bool parted);

  // Puts a datagram on its way as though `from` had sent it, past all rules.
  void inject(const SocketAddress& from, const SocketAddress& to, Bytes bytes);
  // nullptr for none.
  void observe(SimulationObserver* observer) { observer_ = observer; }
  [[nodiscard]] const SimulationCounters& counters() const { return counters_; }

 private:
  friend class SimulatedNode;

  using NodeId = std::uint32_t;
  using AddressKey = std::array<std::byte, SocketAddress::kEncodedBytes>;

  struct LinkRule {
    std::optional<SocketAddress> from;
    std::optional<SocketAddress> to;
    LinkSettings settings;
    LinkQueue shared_queue;  // for shared_bottleneck
  };

  struct InFlight {
    Instant arrival;
    std::uint64_t sequence;
    SocketAddress from;
    SocketAddress to;
    std::uint8_t ecn;
    std::vector<std::byte> bytes;

    // For a heap whose front arrives first.
    friend bool operator<(const InFlight& a, const InFlight& b) {
      return std::pair(a.arrival, a.sequence) > std::pair(b.arrival, b.sequence);
    }
  };

  // What a link remembers of the datagrams between two addresses.
  struct Flow {
    LinkQueue queue;
    Instant last_arrival{};
  };

  Result<SocketAddress, SocketError> bind(SimulatedNode& node, SocketAddress address);
  void unbind(const SocketAddress& address);
  [[nodiscard]] SimulatedNode* receiver(const SocketAddress& to) const;
  [[nodiscard]] LinkRule& link(const SocketAddress& from, const SocketAddress& to);
  [[nodiscard]] bool parted(const SocketAddress& a, const SocketAddress& b) const;

  void plan(SimulatedNode& node, Instant deadline);
  void transmit(const SocketAddress& from, const SocketAddress& to, Bytes bytes, std::uint8_t ecn);
  void count(const LinkCopy& copy);
  void launch(Instant arrival, const SocketAddress& from, const SocketAddress& to, Bytes bytes,
              std::uint8_t ecn);
  void deliver_due();

  SeededRandom random_;
  LinkModel model_{random_};
  WallTime start_;
  Instant now_{};
  std::uint64_t next_sequence_ = 0;
  std::uint16_t next_port_ = 49'152;   // the first of the dynamic ports (RFC 6335)
  std::vector<SimulatedNode*> nodes_;  // by id; nullptr once closed
  std::map<AddressKey, NodeId> by_address_;
  std::vector<InFlight> in_flight_;  // a heap
  std::set<std::pair<Instant, NodeId>> deadlines_;
  std::set<NodeId> awake_;  // whose turn runs next
  std::vector<LinkRule> links_;
  std::vector<std::pair<SocketAddress, SocketAddress>> partitions_;
  std::map<std::pair<AddressKey, AddressKey>, Flow> flows_;
  LinkRule default_link_;
  SimulationObserver* observer_ = nullptr;
  SimulationCounters counters_;
};

// One endpoint's place in a simulation.
class SimulatedNode final : public Driver {
 public:
  // Takes an address; port 0 takes a free port, an unspecified address every address of its family (`::`
  // without `ipv6_only` of both). Fails with kAddressInUse. The simulation outlives the node.
  static Result<std::unique_ptr<SimulatedNode>, SocketError> open(Simulation& simulation,
                                                                  const SocketAddress& bind, bool ipv6_only);
  // Closes, without a word to the user.
  ~SimulatedNode() override;

  // Gives the node a clock of its own: at instant zero of the simulation it shows `origin` and then gains
  // `drift_ppb` parts per thousand million. Before the endpoint is made, whose time is now().
  void set_clock(Instant origin, std::int64_t drift_ppb);
  // Begins to run the endpoint; before, what arrives is lost. All references outlive the node. Once.
  void start(Endpoint& endpoint, EventQueue& events, DriverUser& user, DriverCounters& counters);

  // Gives the node another address as others see it, as a NAT that forgot its mapping does. False when it is
  // taken.
  [[nodiscard]] bool move(const SocketAddress& address);
  // Closes the node's socket and goes on over one with another port of the same host, as LoopDriver::rebind()
  // does.
  Result<void, SocketError> rebind();
  // The process does nothing until then; what arrives waits in its socket.
  void stall(Instant until);

  // By the node's own clock.
  [[nodiscard]] Instant now() const override { return show(simulation_.now()); }
  void schedule() override;
  void flush(Instant now) override;
  void call(FunctionRef<void(Instant)> work) override { work(now()); }
  void close() override;
  // A simulation has no event loop.
  void keep_loop_alive(bool /*keep*/) override {}
  [[nodiscard]] SocketAddress local_address() const override { return bound_; }
  [[nodiscard]] std::size_t receive_buffer_bytes() const override { return 0; }
  [[nodiscard]] std::size_t send_buffer_bytes() const override { return 0; }

 private:
  friend class Simulation;

  explicit SimulatedNode(Simulation& simulation) : simulation_(simulation) {}

  // What the node's clock shows at an instant of the simulation, and the first such instant at which it shows
  // one.
  [[nodiscard]] Instant show(Instant simulated) const;
  [[nodiscard]] Instant when(Instant shown) const;
  void arrive(Simulation::InFlight&& datagram);
  void receive(Simulation::InFlight& datagram);
  void turn();
  void run_deadlines();
  void take_events();
  void leave();

  Simulation& simulation_;
  Simulation::NodeId id_ = 0;
  SocketAddress bound_;    // as the node knows it
  SocketAddress visible_;  // as others see it
  Instant clock_origin_{};
  std::int64_t drift_ppb_ = 0;
  bool ipv6_only_ = false;
  bool closed_ = false;
  StopNotice stop_notice_;
  Endpoint* endpoint_ = nullptr;  // null before start(), and these with it
  EventQueue* events_ = nullptr;
  DriverUser* user_ = nullptr;
  DriverCounters* counters_ = nullptr;
  Instant planned_ = kNever;
  Instant stalled_until_{};
  std::vector<Simulation::InFlight> waiting_;  // arrived while stalled
};

}  // namespace hawser
