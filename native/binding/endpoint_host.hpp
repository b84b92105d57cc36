// The native side of one NativeEndpoint: the endpoint with all it needs. It outlives its JavaScript object
// where it must: when an environment is torn down, its objects are finalised while the loop still closes
// handles.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/random.hpp"
#include "base/result.hpp"
#include "binding/endpoint_cells.hpp"
#include "binding/endpoint_options.hpp"
#include "binding/environment.hpp"
#include "binding/shared_gateway.hpp"
#include "engine/endpoint.hpp"
#include "engine/events.hpp"
#include "engine/tap.hpp"
#include "io/driver.hpp"
#include "io/peer_command.hpp"
#include "io/simulation.hpp"
#include "io/thread_driver.hpp"
#include "io/transmit_slab.hpp"

struct uv_loop_s;

namespace hawser::binding {

class EndpointHost;

// The JavaScript side, as the native one sees it. The functions are called on its thread, but for
// set_aside(), which an endpoint that has a thread of its own calls there, and perhaps before
// EndpointHost::open() returns.
class HostListener {
 public:
  HostListener() = default;
  HostListener(const HostListener&) = delete;
  HostListener& operator=(const HostListener&) = delete;

  // Gives the queue of a new endpoint its storage. Nothing else is called before.
  virtual void provide_storage(EndpointHost& host) = 0;
  // A turn begins, or has ended, of an endpoint on this thread: the queue needs its storage in between.
  virtual void turn_begins() = 0;
  virtual void turn_ended() = 0;
  // The queue holds events, or a message waits for a larger storage; afterwards it has another one. Of an
  // endpoint on this thread.
  virtual void on_events() = 0;
  // Whether batches of such an endpoint wait for another on_events(). Never in a simulation.
  [[nodiscard]] virtual bool holds_batches() = 0;
  // The queue holds events: sets them aside if it can. True when deliver() is to follow.
  virtual bool set_aside(EventQueue& queue) = 0;
  // Events that were set aside wait. False when some still do.
  virtual bool deliver() = 0;
  // Everything has been given back. `stopped`: the endpoint had stopped before, and was not just closed.
  virtual void on_closed(bool stopped) = 0;

 protected:
  ~HostListener() = default;
};

class EndpointHost final : public ThreadDriverUser, public std::enable_shared_from_this<EndpointHost> {
 public:
  // Opens the socket and begins to run. From then on the host keeps itself until it has closed. `loop` is
  // unused with a simulation.
  static Result<std::shared_ptr<EndpointHost>, SocketError> open(Napi::Env env, uv_loop_s* loop,
                                                                 ParsedOptions options,
                                                                 HostListener& listener);
  ~EndpointHost();

  // False from close() on, and once the endpoint has stopped.
  [[nodiscard]] bool is_open() const { return open_; }
  // While open, these six. The queue, for an endpoint that has a thread of its own, only there.
  [[nodiscard]] EventQueue& queue() { return queue_; }
  [[nodiscard]] Driver& driver() { return *driver_; }
  [[nodiscard]] GatewayState* gateway() { return gateway_ ? &gateway_->state : nullptr; }
  [[nodiscard]] const std::shared_ptr<SharedGateway>& shared_gateway() const { return gateway_; }
  [[nodiscard]] SimulatedNode* node() { return node_; }
  [[nodiscard]] SimulationContext* simulation() { return simulation_.get(); }
  // Of the gateway.
  [[nodiscard]] std::uint32_t shard() const { return options_.endpoint.shard; }
  // The longest message of the endpoint's sequenced channels, in bytes.
  [[nodiscard]] std::size_t longest_sequenced() const { return longest_sequenced_; }
  // Whether the endpoint has a thread of its own.
  [[nodiscard]] bool threaded() const { return options_.driver == DriverKind::kThreads; }

  // Whether it uses memory of its environment, as clients on the event loop do: there may be one for each
  // connection, and few servers and threads. These would wait for each other.
  [[nodiscard]] bool shares_memory() const { return !threaded() && options_.endpoint.mode == Mode::kClient; }

  // Calls work(Endpoint&, Instant) on the endpoint's thread and waits for it. While open.
  template <class F>
  void call(F&& work) {
    driver_->call([&](Instant now) { work(*endpoint_, now); });
  }
  // Likewise, after what waits in the transmit slab has been sent.
  template <class F>
  void call_in_order(F&& work) {
    take_records();
    call(work);
  }

  // Has the endpoint do something about a peer, after what waits in the transmit slab. While open. Never
  // waits for an endpoint on another thread, which does it in its next turn. Returns whether it was done, or,
  // with another thread, whether the peer was connected when its status was last published.
  bool command(Handle peer, const PeerCommand& command, std::string_view reason = {});

  // Published status of a peer, with its clock offset now. While open.
  [[nodiscard]] std::optional<PeerStatus> status(Handle peer) const { return status(peer, driver_->now()); }
  [[nodiscard]] std::optional<PeerStatus> status(Handle peer, Instant now) const {
    return endpoint_->published_status().read(peer, now);
  }
  // Memory of the endpoint as of its last turn. While open.
  [[nodiscard]] std::size_t memory_bytes() const { return endpoint_->published_memory_bytes(); }
  // Before events are taken from the queue elsewhere than in a turn; on the endpoint's thread.
  void publish_status() { endpoint_->publish_status(); }

  [[nodiscard]] TransmitSlab& transmit_slab() { return transmit_slab_; }
  [[nodiscard]] const EndpointCells& cells() const { return cells_; }
  [[nodiscard]] DriverCounters& driver_counters() { return cells_.driver_counters(); }

  // While open: replaces the socket of a client by one with another port, as Client.rebind() says. Fails as
  // open() does, and nothing has changed then.
  Result<void, SocketError> rebind();
  // Takes the records of the transmit slab and sends.
  void flush();
  // Takes the records of the transmit slab, whose memory another endpoint is to use; they leave at the end of
  // the turn. While open.
  void take_records();
  // There is room for events again.
  void wake();
  // Sends one message, sending what has gathered when that is much. On the endpoint's thread.
  SendStatus send(Handle peer, std::uint32_t channel, Bytes message, const SendOptions& options, Instant now);
  // While open, and none is under way: everything that comes and goes is seen by a tap from now on.
  void start_capture(const TapOptions& options);
  // The tap of a capture that was begun, also when the endpoint has closed meanwhile; nullptr without one.
  [[nodiscard]] Tap* tap() { return capture_over_ ? nullptr : tap_.get(); }
  // Ends the capture and wipes what was not read.
  void stop_capture();
  // Closes at once; on_closed() follows, with `stopped` false. Closing twice does nothing.
  void close();
  // Frees what a closed endpoint held; not from within one of its functions.
  void release();
  // The JavaScript side is gone: closes, and calls nobody any more.
  void detach();

  void turn_begins() override;
  void turn_ended() override;
  void take_events() override;
  bool holds_events() override;
  void submit(Instant now) override;
  void flushed() override;
  void pass_on() override;
  bool deliver() override;
  void stopped() override;
  void closed() override;

 private:
  EndpointHost(ParsedOptions options, HostListener& listener, const Environment& environment);

  Result<void, SocketError> start(uv_loop_s* loop);
  Result<void, SocketError> start_on_socket(uv_loop_s* loop);
  Result<void, SocketError> start_loop(uv_loop_s* loop, std::unique_ptr<UdpSocket> socket);
  Result<void, SocketError> start_thread(uv_loop_s* loop, std::unique_ptr<UdpSocket> socket);
  Result<void, SocketError> start_in_simulation();
  [[nodiscard]] Result<std::unique_ptr<UdpSocket>, SocketError> open_socket(
      const SocketOptions& options) const;
  void make_endpoint(const SocketAddress& bound, std::unique_ptr<RandomSource> gateway_random, Instant now,
                     WallTime wall);
  // nullptr where traffic is not impaired.
  [[nodiscard]] std::unique_ptr<Impairment> make_impairment();

  static void on_teardown(napi_async_cleanup_hook_handle handle, void* data);

  napi_async_cleanup_hook_handle teardown_hook_ = nullptr;
  ParsedOptions options_;
  std::size_t longest_sequenced_;
  HostListener* listener_;
  EventQueue queue_;
  std::shared_ptr<SimulationContext> simulation_;
  EndpointCells cells_;
  TransmitSlab transmit_slab_;
  // Null unless they are shared.
  std::shared_ptr<PacketBuffers> packet_buffers_;
  std::shared_ptr<RandomSource> endpoint_random_;
  std::shared_ptr<SharedGateway> gateway_;
  // Outlives the endpoint, which may run on for a moment when the host is not open any more.
  std::unique_ptr<Tap> tap_;
  bool capture_over_ = false;
  std::unique_ptr<Endpoint> endpoint_;
  std::unique_ptr<Driver> driver_;
  // The driver, as what it is.
  SimulatedNode* node_ = nullptr;
  SocketDriver* socket_driver_ = nullptr;
  ThreadDriver* thread_driver_ = nullptr;
  std::shared_ptr<EndpointHost> self_;
  bool open_ = false;
  bool stopped_ = false;  // by itself, before close()
  bool closed_ = false;
};

}  // namespace hawser::binding
