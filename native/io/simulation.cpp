#include "io/simulation.hpp"

#include <algorithm>
#include <cerrno>
#include <span>

namespace hawser {

namespace {

// Nothing is faster, so that no exchange can go on forever within one instant.
constexpr Duration kLeastDelay{1};
// What an endpoint that has more to do at once than one turn's budget waits for its next turn.
constexpr Duration kTurnLength = std::chrono::milliseconds(1);

constexpr Duration::rep kMillion = 1'000'000;

bool covers(const SocketAddress& rule, const SocketAddress& address) {
  return rule.family == address.family && rule.ip == address.ip &&
         (rule.port == 0 || rule.port == address.port);
}

bool covers(const std::optional<SocketAddress>& rule, const SocketAddress& address) {
  return !rule || covers(*rule, address);
}

SocketAddress wildcard(SocketAddress::Family family, std::uint16_t port) {
  SocketAddress address;
  address.family = family;
  address.port = port;
  return address;
}

SocketAddress loopback(SocketAddress::Family family, std::uint16_t port) {
  if (family == SocketAddress::Family::kIpv4) return SocketAddress::ipv4({127, 0, 0, 1}, port);
  return SocketAddress::ipv6({0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}, port);
}

}  // namespace

Simulation::Simulation(std::uint64_t seed, WallTime start) : random_(seed), start_(start) {}

Simulation::~Simulation() = default;

WallTime Simulation::wall_now() const {
  return start_ + std::chrono::floor<std::chrono::milliseconds>(now_.time_since_epoch());
}

std::uint64_t Simulation::unix_micros() const {
  const auto since_epoch = start_.time_since_epoch() + now_.time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::floor<std::chrono::microseconds>(since_epoch).count());
}

Instant Simulation::next_event() const {
  if (!awake_.empty()) return now_;
  Instant next = kNever;
  if (!in_flight_.empty()) next = in_flight_.front().arrival;
  if (!deadlines_.empty()) next = std::min(next, deadlines_.begin()->first);
  return next;
}

bool Simulation::step(Instant until) {
  const Instant next = next_event();
  if (next > until || next == kNever) {
    now_ = std::max(now_, until);
    return false;
  }
  now_ = std::max(now_, next);
  deliver_due();
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_) {
    SimulatedNode& node = *nodes_[deadlines_.begin()->second];
    plan(node, kNever);
    awake_.insert(node.id_);
  }
  std::set<NodeId> turns;
  turns.swap(awake_);
  for (const NodeId id : turns) {
    // A node may close another one in its turn.
    if (nodes_[id] != nullptr) nodes_[id]->turn();
  }
  return true;
}

void Simulation::run_until(Instant until) {
  while (step(until)) continue;
}

void Simulation::set_link(const std::optional<SocketAddress>& from, const std::optional<SocketAddress>& to,
                          const LinkSettings& settings) {
  LinkRule rule{from, to, settings, {}};
  rule.settings.delay = std::max(settings.delay, kLeastDelay);
  const auto old = std::ranges::find_if(
      links_, [&](const LinkRule& other) { return other.from == from && other.to == to; });
  if (old != links_.end()) {
    rule.shared_queue = old->shared_queue;
    links_.erase(old);
  }
  links_.push_back(rule);
}

void Simulation::partition(const SocketAddress& a, const SocketAddress& b, bool parted) {
  std::erase_if(partitions_,
                [&](const auto& pair) { return pair == std::pair(a, b) || pair == std::pair(b, a); });
  if (parted) partitions_.emplace_back(a, b);
}

void Simulation::inject(const SocketAddress& from, const SocketAddress& to, Bytes bytes) {
  launch(now_ + kLeastDelay, from, to, bytes, 0);
}

Result<SocketAddress, SocketError> Simulation::bind(SimulatedNode& node, SocketAddress address) {
  if (address.port == 0) {
    do {
      address.port = next_port_;
      next_port_ = next_port_ == 65'535 ? std::uint16_t{49'152} : static_cast<std::uint16_t>(next_port_ + 1);
    } while (by_address_.contains(address.to_bytes()));
  }
  if (!by_address_.emplace(address.to_bytes(), node.id_).second) {
    return Failure{SocketError{SocketErrorCode::kAddressInUse, EADDRINUSE, "bind"}};
  }
  return address;
}

void Simulation::unbind(const SocketAddress& address) { by_address_.erase(address.to_bytes()); }

SimulatedNode* Simulation::receiver(const SocketAddress& to) const {
  using Family = SocketAddress::Family;
  auto found = by_address_.find(to.to_bytes());
  if (found == by_address_.end()) found = by_address_.find(wildcard(to.family, to.port).to_bytes());
  if (found != by_address_.end()) return nodes_[found->second];
  if (to.family != Family::kIpv4) return nullptr;
  found = by_address_.find(wildcard(Family::kIpv6, to.port).to_bytes());
  if (found == by_address_.end() || nodes_[found->second]->ipv6_only_) return nullptr;
  return nodes_[found->second];
}

Simulation::LinkRule& Simulation::link(const SocketAddress& from, const SocketAddress& to) {
  LinkRule* best = &default_link_;
  int best_rank = -1;
  for (LinkRule& rule : links_) {
    const int rank = (rule.from ? 2 : 0) + (rule.to ? 1 : 0);
    if (rank < best_rank || !covers(rule.from, from) || !covers(rule.to, to)) continue;
    best = &rule;
    best_rank = rank;
  }
  return *best;
}

bool Simulation::parted(const SocketAddress& a, const SocketAddress& b) const {
  return std::ranges::any_of(partitions_, [&](const auto& pair) {
    return (covers(pair.first, a) && covers(pair.second, b)) ||
           (covers(pair.first, b) && covers(pair.second, a));
  });
}

void Simulation::plan(SimulatedNode& node, Instant deadline) {
  if (node.planned_ != kNever) deadlines_.erase({node.planned_, node.id_});
  node.planned_ = deadline;
  if (deadline != kNever) deadlines_.emplace(deadline, node.id_);
}

void Simulation::transmit(const SocketAddress& from, const SocketAddress& to, Bytes bytes, std::uint8_t ecn) {
  ++counters_.sent;
  if (observer_ != nullptr) observer_->on_datagram(from, to, bytes);
  if (parted(from, to)) {
    ++counters_.cut_off;
    return;
  }
  LinkRule& rule = link(from, to);
  Flow& flow = flows_[{from.to_bytes(), to.to_bytes()}];
  LinkQueue& queue = rule.settings.shared_bottleneck ? rule.shared_queue : flow.queue;
  const LinkPassage passage = model_.pass(rule.settings, queue, flow.last_arrival, now_, bytes.size(), ecn);
  if (passage.count > 1) ++counters_.duplicated;
  for (const LinkCopy& copy : passage.copies()) {
    count(copy);
    if (copy.fate == LinkFate::kArrives) launch(copy.arrival, from, to, bytes, copy.ecn);
  }
}

void Simulation::count(const LinkCopy& copy) {
  switch (copy.fate) {
    case LinkFate::kArrives:
      if (copy.held_back) ++counters_.held_back;
      if (copy.marked) ++counters_.marked;
      return;
    case LinkFate::kLost:
      ++counters_.lost;
      return;
    case LinkFate::kTooLong:
      ++counters_.too_long;
      return;
    case LinkFate::kQueueFull:
      ++counters_.queue_full;
      return;
    case LinkFate::kCutOff:
      ++counters_.cut_off;
      return;
  }
}

void Simulation::launch(Instant arrival, const SocketAddress& from, const SocketAddress& to, Bytes bytes,
                        std::uint8_t ecn) {
  in_flight_.push_back({arrival, next_sequence_++, from, to, ecn, std::vector(bytes.begin(), bytes.end())});
  std::push_heap(in_flight_.begin(), in_flight_.end());
}

void Simulation::deliver_due() {
  while (!in_flight_.empty() && in_flight_.front().arrival <= now_) {
    std::pop_heap(in_flight_.begin(), in_flight_.end());
    InFlight datagram = std::move(in_flight_.back());
    in_flight_.pop_back();
    SimulatedNode* const node = receiver(datagram.to);
    if (node == nullptr || node->endpoint_ == nullptr) {
      ++counters_.unreachable;
      continue;
    }
    ++counters_.delivered;
    node->arrive(std::move(datagram));
  }
}

Result<std::unique_ptr<SimulatedNode>, SocketError> SimulatedNode::open(Simulation& simulation,
                                                                        const SocketAddress& bind,
                                                                        bool ipv6_only) {
  // The constructor is private.
  std::unique_ptr<SimulatedNode> node(new SimulatedNode(simulation));
  node->id_ = static_cast<Simulation::NodeId>(simulation.nodes_.size());
  node->ipv6_only_ = ipv6_only;
  const Result<SocketAddress, SocketError> bound = simulation.bind(*node, bind);
  if (!bound) {
    node->closed_ = true;
    return Failure{bound.error()};
  }
  node->bound_ = node->visible_ = *bound;
  simulation.nodes_.push_back(node.get());
  return node;
}

SimulatedNode::~SimulatedNode() { leave(); }

void SimulatedNode::set_clock(Instant origin, std::int64_t drift_ppb) {
  clock_origin_ = origin;
  drift_ppb_ = drift_ppb;
}

Instant SimulatedNode::show(Instant simulated) const {
  const Duration::rep elapsed = simulated.time_since_epoch().count();
  return clock_origin_ + Duration(elapsed + elapsed / kMillion * drift_ppb_ / 1'000 +
                                  elapsed % kMillion * drift_ppb_ / (kMillion * 1'000));
}

Instant SimulatedNode::when(Instant shown) const {
  Instant simulated{shown - clock_origin_};
  // Each round leaves the drift's part of the error before.
  for (int round = 0; round < 4; ++round) simulated -= show(simulated) - shown;
  while (show(simulated) < shown) simulated += Duration(1);
  return simulated;
}

void SimulatedNode::start(Endpoint& endpoint, EventQueue& events, DriverUser& user,
                          DriverCounters& counters) {
  endpoint_ = &endpoint;
  events_ = &events;
  user_ = &user;
  counters_ = &counters;
  endpoint.set_wall_clock(now(), simulation_.wall_now());
  schedule();
}

bool SimulatedNode::move(const SocketAddress& address) {
  const Result<SocketAddress, SocketError> bound = simulation_.bind(*this, address);
  if (!bound) return false;
  simulation_.unbind(visible_);
  visible_ = *bound;
  return true;
}

Result<void, SocketError> SimulatedNode::rebind() {
  SocketAddress wanted = bound_;
  wanted.port = 0;
  const Result<SocketAddress, SocketError> bound = simulation_.bind(*this, wanted);
  if (!bound) return Failure{bound.error()};
  simulation_.unbind(visible_);
  bound_ = visible_ = *bound;
  endpoint_->rebound(now());
  schedule();
  return {};
}

void SimulatedNode::stall(Instant until) {
  stalled_until_ = until;
  schedule();
}

void SimulatedNode::schedule() {
  if (!closed_) simulation_.awake_.insert(id_);
}

void SimulatedNode::flush(Instant now) {
  if (closed_) return;
  endpoint_->flush(now);
  for (;;) {
    const std::span<const OutgoingDatagram> output = endpoint_->output();
    if (output.empty()) break;
    for (const OutgoingDatagram& datagram : output) {
      ++counters_->socket.datagrams_out;
      counters_->socket.bytes_out += datagram.bytes.size();
      SocketAddress from = visible_;
      if (from.is_unspecified()) {
        from = datagram.local.family == SocketAddress::Family::kNone
                   ? loopback(datagram.remote.family, visible_.port)
                   : datagram.local;
        from.port = visible_.port;
      }
      simulation_.transmit(from, datagram.remote, datagram.bytes, datagram.ecn);
    }
    endpoint_->output_sent(output.size());
  }
  user_->flushed();
}

void SimulatedNode::close() {
  if (closed_) return;
  leave();
  user_->closed();
}

void SimulatedNode::leave() {
  if (closed_) return;
  closed_ = true;
  simulation_.plan(*this, kNever);
  simulation_.awake_.erase(id_);
  simulation_.unbind(visible_);
  simulation_.nodes_[id_] = nullptr;
}

void SimulatedNode::arrive(Simulation::InFlight&& datagram) {
  if (simulation_.now() < stalled_until_) {
    waiting_.push_back(std::move(datagram));
    return;
  }
  receive(datagram);
}

void SimulatedNode::receive(Simulation::InFlight& datagram) {
  if (!events_->has_room()) take_events();
  if (closed_) return;
  ++counters_->socket.datagrams_in;
  counters_->socket.bytes_in += datagram.bytes.size();
  // Behind a NAT a node does not know the address that others see.
  const SocketAddress local = bound_.is_unspecified() ? datagram.to : bound_;
  endpoint_->set_wall_clock(now(), simulation_.wall_now());
  endpoint_->receive({datagram.bytes, datagram.from, local, datagram.ecn}, now());
  schedule();
}

void SimulatedNode::turn() {
  if (endpoint_ == nullptr) return;
  if (simulation_.now() < stalled_until_) {
    simulation_.plan(*this, stalled_until_);
    return;
  }
  ++counters_->turns;
  endpoint_->set_wall_clock(now(), simulation_.wall_now());
  std::vector<Simulation::InFlight> waited;
  waited.swap(waiting_);
  for (Simulation::InFlight& datagram : waited) receive(datagram);
  if (!closed_) run_deadlines();
  if (!closed_) take_events();
  if (closed_) return;
  user_->submit(now());
  flush(now());
  take_events();
  if (!closed_ && stop_notice_.take(*endpoint_, *events_)) user_->stopped();
  if (closed_) return;
  const Instant deadline = endpoint_->next_deadline();
  const Instant next_turn = simulation_.now() + kTurnLength;
  if (deadline == kNever) {
    simulation_.plan(*this, kNever);
  } else {
    simulation_.plan(*this, deadline <= now() ? next_turn : std::max(when(deadline), next_turn));
  }
}

void SimulatedNode::run_deadlines() {
  endpoint_->advance(now());
  while (!closed_ && !events_->has_room()) {
    take_events();
    if (!closed_) endpoint_->advance(now());
  }
}

void SimulatedNode::take_events() {
  // A message that waits for a larger storage is no event yet.
  if (events_->count() == 0 && !events_->wanting()) return;
  endpoint_->publish_status();
  user_->take_events();
}

}  // namespace hawser
