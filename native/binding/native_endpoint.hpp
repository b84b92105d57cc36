// The class NativeEndpoint of src/transport/native.ts, which says what each function does.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "binding/endpoint_host.hpp"
#include "binding/event_buffers.hpp"

namespace hawser::binding {

class NativeEndpoint final : public Napi::ObjectWrap<NativeEndpoint>, public HostListener {
 public:
  static Napi::Function define(Napi::Env env);
  // The native object of a JavaScript one; nullptr, with an exception pending, when it is something else.
  static NativeEndpoint* from(const Napi::Value& value);

  explicit NativeEndpoint(const Napi::CallbackInfo& info);
  ~NativeEndpoint() override;

  // False when it has closed, and when its constructor threw: then no function does anything.
  [[nodiscard]] bool is_open() const { return host_ && host_->is_open(); }
  // While open.
  [[nodiscard]] EndpointHost& host() { return *host_; }
  // What further shards of this one's gateway share; nullptr when it is closed, or no server.
  [[nodiscard]] std::shared_ptr<SharedGateway> shared_gateway() const {
    return is_open() ? host_->shared_gateway() : nullptr;
  }

  // For endpoints in a simulation: calls the listeners with all that waits, from within a call of JavaScript.
  // Returns how many events there were; stops early when a listener throws.
  std::uint32_t deliver_in_call();

  void provide_storage(EndpointHost& host) override;
  void turn_begins() override;
  void turn_ended() override;
  void on_events() override;
  bool holds_batches() override;
  bool set_aside(EventQueue& queue) override;
  bool deliver() override;
  void on_closed(bool stopped) override;

 private:
  enum class CallKind : std::uint8_t {
    kFromLoop,  // nothing of JavaScript is on the stack: microtasks and ticks run afterwards
    kFromCall,
  };

  Napi::Value rebind(const Napi::CallbackInfo& info);
  Napi::Value arm(const Napi::CallbackInfo& info);
  Napi::Value flush(const Napi::CallbackInfo& info);
  Napi::Value take_records(const Napi::CallbackInfo& info);
  Napi::Value send_long(const Napi::CallbackInfo& info);
  Napi::Value broadcast(const Napi::CallbackInfo& info);
  Napi::Value connect(const Napi::CallbackInfo& info);
  Napi::Value abort(const Napi::CallbackInfo& info);
  Napi::Value disconnect(const Napi::CallbackInfo& info);
  Napi::Value goaway(const Napi::CallbackInfo& info);
  Napi::Value set_paused(const Napi::CallbackInfo& info);
  Napi::Value complete_consumption(const Napi::CallbackInfo& info);
  Napi::Value update_keys(const Napi::CallbackInfo& info);
  Napi::Value provide_secret(const Napi::CallbackInfo& info);
  Napi::Value status(const Napi::CallbackInfo& info);
  Napi::Value figures(const Napi::CallbackInfo& info);
  Napi::Value remote_address(const Napi::CallbackInfo& info);
  Napi::Value export_key(const Napi::CallbackInfo& info);
  Napi::Value set_keys(const Napi::CallbackInfo& info);
  Napi::Value set_limits(const Napi::CallbackInfo& info);
  Napi::Value start_draining(const Napi::CallbackInfo& info);
  Napi::Value stop(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);
  Napi::Value memory_bytes(const Napi::CallbackInfo& info);
  Napi::Value ref(const Napi::CallbackInfo& info);
  Napi::Value unref(const Napi::CallbackInfo& info);
  Napi::Value now_micros(const Napi::CallbackInfo& info);
  Napi::Value local_address(const Napi::CallbackInfo& info);
  // binding/endpoint_capture.cpp
  Napi::Value start_capture(const Napi::CallbackInfo& info);
  Napi::Value read_capture(const Napi::CallbackInfo& info);
  Napi::Value capture_dropped(const Napi::CallbackInfo& info);
  Napi::Value stop_capture(const Napi::CallbackInfo& info);
  Napi::Value granted_buffers(const Napi::CallbackInfo& info);

  [[nodiscard]] std::optional<PeerStatus> status_of(Handle peer) const;
  bool expose_memory(const Napi::CallbackInfo& info);
  // Makes room in the queue for the events of a call, and plans the turn's end.
  void begin_call();
  // For an endpoint on this thread: gives the queue another storage if it holds events.
  void set_aside_here();
  std::uint32_t deliver_batches(CallKind kind);
  // Whether the listener returned; if not, an exception is pending for kFromCall and reported for kFromLoop.
  bool call(CallKind kind, const Napi::FunctionReference& function,
            std::initializer_list<napi_value> arguments);
  void tell_stopped(CallKind kind);
  void release_listeners();

  std::shared_ptr<EndpointHost> host_;
  ExposedBatches batches_;
  Napi::FunctionReference on_events_;
  Napi::FunctionReference on_stopped_;
  std::unique_ptr<Napi::AsyncContext> async_context_;
  SocketAddress local_address_;
  bool delivering_ = false;
  bool stop_untold_ = false;  // in a simulation: onStopped is due with the next delivery
};

}  // namespace hawser::binding
