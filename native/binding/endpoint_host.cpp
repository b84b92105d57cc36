#include "binding/endpoint_host.hpp"

#include <chrono>
#include <new>
#include <span>
#include <utility>

#include "binding/native_simulation.hpp"
#include "crypto/random.hpp"
#include "io/loop_driver.hpp"
#include "io/udp_socket.hpp"

namespace hawser::binding {

namespace {

WallTime system_wall_clock() {
  return WallTime(
      std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()));
}

}  // namespace

EndpointHost::EndpointHost(ParsedOptions options, HostListener& listener)
    : options_(std::move(options)),
      listener_(&listener),
      simulation_(options_.simulation),
      driver_counters_(*new (driver_counters_memory_.data()) DriverCounters()),
      peer_flags_(options_.endpoint.max_sessions) {
  // A record of the transmit slab is no shorter than its message and kMessageCost.
  options_.endpoint.queue_slack_bytes = TransmitSlab::kRecordBytes;
  options_.endpoint.peer_flags = {reinterpret_cast<std::uint8_t*>(peer_flags_.data()), peer_flags_.size()};
}

EndpointHost::~EndpointHost() = default;

Result<std::shared_ptr<EndpointHost>, SocketError> EndpointHost::open(napi_env env, uv_loop_s* loop,
                                                                      ParsedOptions options,
                                                                      HostListener& listener) {
  // The constructor is private.
  std::shared_ptr<EndpointHost> host(new EndpointHost(std::move(options), listener));
  const Result<void, SocketError> started = host->start(loop);
  if (!started) return Failure{started.error()};
  host->open_ = true;
  host->self_ = host;
  napi_add_async_cleanup_hook(env, &on_teardown, host.get(), &host->teardown_hook_);
  return host;
}

Result<void, SocketError> EndpointHost::start(uv_loop_s* loop) {
  return simulation_ ? start_in_simulation() : start_on_loop(loop);
}

Result<std::unique_ptr<UdpSocket>, SocketError> EndpointHost::open_socket(
    const SocketOptions& options) const {
  return options_.socket_kind == SocketKind::kPortable ? UdpSocket::open_portable(options)
                                                       : UdpSocket::open_native(options);
}

Result<void, SocketError> EndpointHost::start_on_loop(uv_loop_s* loop) {
  auto socket = open_socket(options_.socket);
  if (!socket) return Failure{socket.error()};
  gateway_random_ = std::make_unique<SystemRandom>();
  endpoint_random_ = std::make_unique<SystemRandom>();
  make_endpoint((*socket)->local_address(), loop_time(), system_wall_clock());
  auto impairment = options_.impairment
                        ? std::make_unique<Impairment>(*options_.impairment, driver_counters_.impairment)
                        : nullptr;
  auto driver = LoopDriver::start(loop, *std::move(socket), *endpoint_, queue_, *this, driver_counters_,
                                  std::move(impairment));
  if (!driver) return Failure{driver.error()};
  loop_driver_ = driver->get();
  driver_ = *std::move(driver);
  return {};
}

Result<void, SocketError> EndpointHost::start_in_simulation() {
  Simulation& simulation = simulation_->simulation;
  auto node = SimulatedNode::open(simulation, options_.socket.bind_address, options_.socket.ipv6_only);
  if (!node) return Failure{node.error()};
  gateway_random_ = std::make_unique<SeededRandom>(simulation.next_seed());
  endpoint_random_ = std::make_unique<SeededRandom>(simulation.next_seed());
  make_endpoint((*node)->local_address(), (*node)->now(), simulation.wall_now());
  (*node)->start(*endpoint_, queue_, *this, driver_counters_);
  node_ = node->get();
  driver_ = *std::move(node);
  return {};
}

void EndpointHost::make_endpoint(const SocketAddress& bound, Instant now, WallTime wall) {
  if (options_.gateway) {
    options_.gateway->started = wall;
    set_bound_port(*options_.gateway, bound.port);
    gateway_ = std::make_unique<GatewayState>(*std::move(options_.gateway), *gateway_random_);
    options_.gateway.reset();
  }
  const std::span<std::uint64_t, kCounterCount> counters(
      reinterpret_cast<std::uint64_t*>(counters_memory_.data()), kCounterCount);
  endpoint_ = std::make_unique<Endpoint>(options_.endpoint, gateway_.get(), *endpoint_random_, queue_,
                                         Counters(counters), now);
}

Result<void, SocketError> EndpointHost::rebind() {
  if (node_ != nullptr) return node_->rebind();
  SocketOptions options = options_.socket;
  // The one before is still bound.
  options.bind_address.port = 0;
  auto socket = open_socket(options);
  if (!socket) return Failure{socket.error()};
  return loop_driver_->rebind(*std::move(socket));
}

void EndpointHost::flush() {
  const Instant now = driver_->now();
  submit(now);
  driver_->flush(now);
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
  driver_->close();
}

void EndpointHost::detach() {
  listener_ = nullptr;
  queue_.use({}, {});
  close();
}

void EndpointHost::release() {
  if (!closed_) return;
  driver_.reset();
  endpoint_.reset();
  gateway_.reset();
}

void EndpointHost::take_events() {
  if (listener_ == nullptr) {
    queue_.clear();
    return;
  }
  listener_->on_events();
}

void EndpointHost::submit(Instant now) {
  transmit_slab_.take([&](Handle peer, std::uint32_t channel, Bytes message, const SendOptions& options) {
    return send(peer, channel, message, options, now) == SendStatus::kSent;
  });
}

void EndpointHost::flushed() {
  const bool writable = endpoint_->writable();
  transmit_slab_.set_writable(writable);
  // Whoever reads that it is not waits for the event.
  if (!writable) endpoint_->owe_drain();
}

void EndpointHost::stopped() {
  told_ = true;
  close();
}

void EndpointHost::closed() {
  // The last reference may be this one.
  const std::shared_ptr<EndpointHost> self = std::move(self_);
  closed_ = true;
  if (teardown_hook_ != nullptr) napi_remove_async_cleanup_hook(teardown_hook_);
  teardown_hook_ = nullptr;
  if (!simulation_) release();
  if (listener_ != nullptr) listener_->on_closed(told_);
}

void EndpointHost::on_teardown(napi_async_cleanup_hook_handle /*handle*/, void* data) {
  static_cast<EndpointHost*>(data)->detach();
}

}  // namespace hawser::binding
