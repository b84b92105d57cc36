// The class NativeSimulation of src/transport/native.ts, which says what each function does.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "base/address.hpp"
#include "io/simulation.hpp"

namespace hawser::binding {

class NativeEndpoint;

struct CapturedDatagram {
  SocketAddress from;
  SocketAddress to;
  std::vector<std::byte> bytes;
};

// What a simulation and the endpoints in it share; it lives as long as one of them.
struct SimulationContext final : public SimulationObserver {
  SimulationContext(std::uint64_t seed, WallTime start) : simulation(seed, start) {}

  void on_datagram(const SocketAddress& from, const SocketAddress& to, Bytes bytes) override {
    captured.push_back({from, to, {bytes.begin(), bytes.end()}});
  }

  Simulation simulation;
  std::vector<NativeEndpoint*> endpoints;  // in the order of their making
  std::vector<CapturedDatagram> captured;  // until the next delivery
};

class NativeSimulation final : public Napi::ObjectWrap<NativeSimulation> {
 public:
  static Napi::Function define(Napi::Env env);
  // The native object of a JavaScript one; nullptr, with an exception pending, when it is something else.
  static NativeSimulation* from(const Napi::Value& value);

  explicit NativeSimulation(const Napi::CallbackInfo& info);

  [[nodiscard]] const std::shared_ptr<SimulationContext>& context() const { return context_; }

 private:
  Napi::Value now_micros(const Napi::CallbackInfo& info);
  Napi::Value next_event_micros(const Napi::CallbackInfo& info);
  Napi::Value step(const Napi::CallbackInfo& info);
  Napi::Value deliver(const Napi::CallbackInfo& info);
  Napi::Value set_link(const Napi::CallbackInfo& info);
  Napi::Value partition(const Napi::CallbackInfo& info);
  Napi::Value move_address(const Napi::CallbackInfo& info);
  Napi::Value capture(const Napi::CallbackInfo& info);
  Napi::Value inject(const Napi::CallbackInfo& info);

  void deliver_captured(Napi::Env env);

  std::shared_ptr<SimulationContext> context_;
  Napi::FunctionReference on_captured_;
};

}  // namespace hawser::binding
