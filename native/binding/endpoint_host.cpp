#include "binding/endpoint_host.hpp"

#include <algorithm>
#include <cassert>
#include <functional>
#include <utility>
#include <vector>

#include "binding/native_simulation.hpp"
#include "crypto/random.hpp"
#include "engine/receive_channel.hpp"
#include "io/loop_driver.hpp"
#include "io/reuseport_steering.hpp"
#include "io/turns.hpp"
#include "io/udp_socket.hpp"

namespace hawser::binding {

namespace {

std::size_t longest_sequenced_of(const std::vector<ChannelDeclaration>& channels) {
  std::size_t longest = 0;
  for (const ChannelDeclaration& channel : channels) {
    if (channel.mode == ChannelMode::kSequenced)
      longest = std::max<std::size_t>(longest, channel.max_message_bytes);
  }
  return longest;
}

}  // namespace

EndpointHost::EndpointHost(ParsedOptions options, HostListener& listener, const Environment& environment)
    : options_(std::move(options)),
      longest_sequenced_(longest_sequenced_of(options_.endpoint.channels)),
      listener_(&listener),
      simulation_(options_.simulation),
      cells_(options_.endpoint.max_sessions),
      transmit_slab_(
          cells_.memory(), EndpointCells::kTransmitAt,
          shares_memory() ? environment.transmit_records : SharedMemory(TransmitSlab::kRecordBytes),
          threaded() ? TransmitSlab::Taker::kOtherThread : TransmitSlab::Taker::kSameThread) {
  // Empty messages cost most for the room that they take in the transmit slab.
  const std::size_t ahead = threaded() ? TransmitSlab::kMostPassedOnBytes : TransmitSlab::kRecordBytes;
  options_.endpoint.queue_slack_bytes =
      static_cast<std::uint32_t>(ahead / TransmitSlab::kLeastRecordBytes * kMessageCost);
  options_.endpoint.peer_flags = cells_.peer_flags();
  options_.endpoint.peer_max_unreliable = cells_.peer_max_unreliable();
  if (!shares_memory()) return;
  options_.socket.memory = environment.socket_memory;
  packet_buffers_ = environment.packet_buffers;
  endpoint_random_ = environment.random;
  options_.endpoint.packet_buffers = packet_buffers_.get();
}

EndpointHost::~EndpointHost() = default;

Result<std::shared_ptr<EndpointHost>, SocketError> EndpointHost::open(Napi::Env env, uv_loop_s* loop,
                                                                      ParsedOptions options,
                                                                      HostListener& listener) {
  // The constructor is private.
  std::shared_ptr<EndpointHost> host(new EndpointHost(std::move(options), listener, Environment::of(env)));
  const Result<void, SocketError> started = host->start(loop);
  if (!started) return Failure{started.error()};
  host->open_ = true;
  host->self_ = host;
  napi_add_async_cleanup_hook(env, &on_teardown, host.get(), &host->teardown_hook_);
  listener.provide_storage(*host);
  if (host->threaded()) host->thread_driver_->begin();
  return host;
}

Result<void, SocketError> EndpointHost::start(uv_loop_s* loop) {
  return simulation_ ? start_in_simulation() : start_on_socket(loop);
}

Result<std::unique_ptr<UdpSocket>, SocketError> EndpointHost::open_socket(
    const SocketOptions& options) const {
  return options_.socket_kind == SocketKind::kPortable ? UdpSocket::open_portable(options)
                                                       : UdpSocket::open_native(options);
}

Result<void, SocketError> EndpointHost::start_on_socket(uv_loop_s* loop) {
  auto socket = open_socket(options_.socket);
  if (!socket) return Failure{socket.error()};
  if (!endpoint_random_) endpoint_random_ = std::make_shared<SystemRandom>();
  make_endpoint((*socket)->local_address(), std::make_unique<SystemRandom>(), steady_time(), wall_time());
  return threaded() ? start_thread(loop, *std::move(socket)) : start_loop(loop, *std::move(socket));
}

std::unique_ptr<Impairment> EndpointHost::make_impairment() {
  if (!options_.impairment) return nullptr;
  return std::make_unique<Impairment>(*options_.impairment, cells_.driver_counters().impairment);
}

Result<void, SocketError> EndpointHost::start_loop(uv_loop_s* loop, std::unique_ptr<UdpSocket> socket) {
  auto driver = LoopDriver::start(loop, std::move(socket), *endpoint_, queue_, *this,
                                  cells_.driver_counters(), make_impairment());
  if (!driver) return Failure{driver.error()};
  socket_driver_ = driver->get();
  driver_ = *std::move(driver);
  return {};
}

Result<void, SocketError> EndpointHost::start_thread(uv_loop_s* loop, std::unique_ptr<UdpSocket> socket) {
  const EndpointOptions& endpoint = options_.endpoint;
  IoThreadOptions options{.spin = options_.spin, .shard = endpoint.shard};
  if (endpoint.shards > 1) {
    options.other_shards = &gateway_->group;
    // All sockets are there. Without a filter in the kernel everything goes on by handing over, and is
    // counted as that.
    if (endpoint.shard + 1 == endpoint.shards) {
      static_cast<void>(steer_in_kernel(
          *socket,
          ShardSteering(endpoint.shards, endpoint.server_index.has_value(), endpoint.connection_id_length)));
    }
  }
  auto driver = ThreadDriver::start(loop, std::move(socket), *endpoint_, queue_, *this,
                                    cells_.driver_counters(), make_impairment(), options);
  if (!driver) return Failure{driver.error()};
  socket_driver_ = thread_driver_ = driver->get();
  driver_ = *std::move(driver);
  if (gateway_) gateway_->group.join(endpoint.shard, *thread_driver_);
  return {};
}

Result<void, SocketError> EndpointHost::start_in_simulation() {
  Simulation& simulation = simulation_->simulation;
  auto node = SimulatedNode::open(simulation, options_.socket.bind_address, options_.socket.ipv6_only);
  if (!node) return Failure{node.error()};
  auto gateway_random = std::make_unique<SeededRandom>(simulation.next_seed());
  endpoint_random_ = std::make_shared<SeededRandom>(simulation.next_seed());
  make_endpoint((*node)->local_address(), std::move(gateway_random), (*node)->now(), simulation.wall_now());
  (*node)->start(*endpoint_, queue_, *this, cells_.driver_counters());
  node_ = node->get();
  driver_ = *std::move(node);
  return {};
}

void EndpointHost::make_endpoint(const SocketAddress& bound, std::unique_ptr<RandomSource> gateway_random,
                                 Instant now, WallTime wall) {
  gateway_ = std::move(options_.shared_gateway);
  if (options_.gateway && !gateway_) {
    options_.gateway->started = wall;
    set_bound_port(*options_.gateway, bound.port);
    gateway_ = std::make_shared<SharedGateway>(*std::move(options_.gateway), std::move(gateway_random),
                                               options_.endpoint.shards);
  }
  options_.gateway.reset();
  endpoint_ = std::make_unique<Endpoint>(options_.endpoint, gateway(), *endpoint_random_, queue_,
                                         cells_.counters(), now);
  // The endpoint has its own copy. Assigning {} would keep the memory.
  options_.endpoint.channels = std::vector<ChannelDeclaration>();
}

Result<void, SocketError> EndpointHost::rebind() {
  if (node_ != nullptr) return node_->rebind();
  SocketOptions options = options_.socket;
  // The one before is still bound.
  options.bind_address.port = 0;
  auto socket = open_socket(options);
  if (!socket) return Failure{socket.error()};
  return socket_driver_->rebind(*std::move(socket));
}

void EndpointHost::flush() {
  if (threaded()) {
    pass_on();
    thread_driver_->wake();
    return;
  }
  const Instant now = driver_->now();
  submit(now);
  driver_->flush(now);
}

void EndpointHost::take_records() {
  if (threaded()) {
    pass_on();
  } else {
    submit(driver_->now());
  }
}

void EndpointHost::wake() {
  if (threaded() && open_) thread_driver_->wake();
}

SendStatus EndpointHost::send(Handle peer, std::uint32_t channel, Bytes message, const SendOptions& options,
                              Instant now) {
  const SendStatus status = endpoint_->send(peer, channel, message, options, now);
  if (endpoint_->wants_flush()) driver_->flush(now);
  return status;
}

void EndpointHost::close() {
  if (!open_) return;
  open_ = false;
  if (threaded() && gateway_) gateway_->group.leave(options_.endpoint.shard);
  driver_->close();
}

void EndpointHost::detach() {
  // Its thread calls the listener.
  if (threaded()) close();
  listener_ = nullptr;
  queue_.use({}, {});
  close();
}

void EndpointHost::release() {
  if (!closed_) return;
  driver_.reset();
  endpoint_.reset();
  gateway_.reset();
  if (capture_over_) tap_.reset();
}

void EndpointHost::start_capture(const TapOptions& options) {
  std::function<std::uint64_t()> clock = &unix_micros;
  if (simulation_) clock = [&simulation = simulation_->simulation] { return simulation.unix_micros(); };
  tap_ = std::make_unique<Tap>(options, std::move(clock));
  capture_over_ = false;
  call([this](Endpoint& endpoint, Instant /*now*/) { endpoint.set_tap(tap_.get()); });
}

void EndpointHost::stop_capture() {
  if (!tap_) return;
  capture_over_ = true;
  if (open_) call([](Endpoint& endpoint, Instant /*now*/) { endpoint.set_tap(nullptr); });
  // One that is closing may still be running; release() follows.
  if (open_ || !endpoint_) tap_.reset();
}

void EndpointHost::turn_begins() {
  if (listener_ != nullptr) listener_->turn_begins();
}

void EndpointHost::turn_ended() {
  if (listener_ != nullptr) listener_->turn_ended();
}

void EndpointHost::take_events() {
  if (threaded()) {
    if (listener_->set_aside(queue_)) thread_driver_->wake_loop();
    return;
  }
  if (listener_ == nullptr) {
    queue_.clear();
    return;
  }
  listener_->on_events();
}

bool EndpointHost::holds_events() {
  return !threaded() && !simulation_ && listener_ != nullptr && listener_->holds_batches();
}

void EndpointHost::submit(Instant now) {
  const auto send_one = [&](Handle peer, std::uint32_t channel, Bytes message, const SendOptions& options) {
    return send(peer, channel, message, options, now) == SendStatus::kSent;
  };
  const auto run = [&](Handle peer, Bytes record) {
    static_cast<void>(run_command(*endpoint_, peer, record, now));
    if (endpoint_->wants_flush()) driver_->flush(now);
  };
  if (threaded()) {
    transmit_slab_.take_passed_on(send_one, run);
  } else {
    transmit_slab_.take(send_one, run);
  }
}

bool EndpointHost::command(Handle peer, const PeerCommand& command, std::string_view reason) {
  const PeerCommandBytes record(command, reason);
  if (!threaded()) {
    bool done = false;
    call_in_order(
        [&](Endpoint& endpoint, Instant now) { done = run_command(endpoint, peer, record.view(), now); });
    return done;
  }
  if (!transmit_slab_.add_command(peer, record.view())) {
    flush();
    [[maybe_unused]] const bool added = transmit_slab_.add_command(peer, record.view());
    assert(added && "an empty slab has room for a command");
  }
  driver_->schedule();
  const std::optional<PeerStatus> known = status(peer);
  return known && known->connected;
}

void EndpointHost::flushed() {
  const bool writable = endpoint_->writable();
  transmit_slab_.set_writable(writable);
  // Whoever reads that it is not waits for the event.
  if (!writable) endpoint_->owe_drain();
}

void EndpointHost::pass_on() { transmit_slab_.pass_on(); }

bool EndpointHost::deliver() { return listener_ == nullptr || listener_->deliver(); }

void EndpointHost::stopped() {
  stopped_ = true;
  close();
}

void EndpointHost::closed() {
  // The last reference may be this one.
  const std::shared_ptr<EndpointHost> self = std::move(self_);
  closed_ = true;
  if (teardown_hook_ != nullptr) napi_remove_async_cleanup_hook(teardown_hook_);
  teardown_hook_ = nullptr;
  if (!simulation_) release();
  if (listener_ != nullptr) listener_->on_closed(stopped_);
}

void EndpointHost::on_teardown(napi_async_cleanup_hook_handle /*handle*/, void* data) {
  static_cast<EndpointHost*>(data)->detach();
}

}  // namespace hawser::binding
