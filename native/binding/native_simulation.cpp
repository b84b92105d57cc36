#include "binding/native_simulation.hpp"

#include <optional>
#include <utility>

#include "binding/link_settings.hpp"
#include "binding/native_endpoint.hpp"
#include "binding/values.hpp"

namespace hawser::binding {

namespace {

constexpr napi_type_tag kSimulationTag = {0x3b8e5d0c7a4f4916, 0xb27f61c93de8a045};

Napi::Value instant_value(Napi::Env env, Instant instant) {
  return Napi::Number::New(env,
                           instant == kNever ? -1 : static_cast<double>(instant.time_since_epoch().count()));
}

}  // namespace

Napi::Function NativeSimulation::define(Napi::Env env) {
  using Self = NativeSimulation;
  return DefineClass(env, "NativeSimulation",
                     {
                         InstanceMethod<&Self::now_micros>("nowMicros"),
                         InstanceMethod<&Self::next_event_micros>("nextEventMicros"),
                         InstanceMethod<&Self::step>("step"),
                         InstanceMethod<&Self::deliver>("deliver"),
                         InstanceMethod<&Self::set_link>("setLink"),
                         InstanceMethod<&Self::partition>("partition"),
                         InstanceMethod<&Self::move_address>("moveAddress"),
                         InstanceMethod<&Self::capture>("capture"),
                         InstanceMethod<&Self::inject>("inject"),
                     });
}

NativeSimulation* NativeSimulation::from(const Napi::Value& value) {
  if (value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&kSimulationTag))
    return Unwrap(value.As<Napi::Object>());
  throw_type_error(value.Env(), "socket must be 'native', 'portable' or a NativeSimulation");
  return nullptr;
}

NativeSimulation::NativeSimulation(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  info.This().As<Napi::Object>().TypeTag(&kSimulationTag);
  std::optional<std::uint64_t> seed;
  std::optional<std::int64_t> start;
  if (info[0].IsObject()) {
    seed = read_u64(info[0].As<Napi::Object>().Get("seed"), "seed");
    if (seed) start = read_count(info[0].As<Napi::Object>().Get("startWallMs"), "startWallMs");
  } else {
    throw_type_error(env, "options must be an object");
  }
  // An object that threw in its constructor is seen by nobody, and yet must be whole for its finaliser.
  context_ = std::make_shared<SimulationContext>(seed.value_or(0),
                                                 WallTime(std::chrono::milliseconds(start.value_or(0))));
}

Napi::Value NativeSimulation::now_micros(const Napi::CallbackInfo& info) {
  return instant_value(info.Env(), context_->simulation.now());
}

Napi::Value NativeSimulation::next_event_micros(const Napi::CallbackInfo& info) {
  return instant_value(info.Env(), context_->simulation.next_event());
}

Napi::Value NativeSimulation::step(const Napi::CallbackInfo& info) {
  const auto until = read_count(info[0], "untilMicros");
  if (!until) return info.Env().Undefined();
  const bool ran = context_->simulation.step(Instant(Duration(*until)));
  return ran ? now_micros(info) : Napi::Number::New(info.Env(), -1);
}

Napi::Value NativeSimulation::deliver(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  // Listeners may make and drop endpoints, and drop the simulation.
  const std::shared_ptr<SimulationContext> context = context_;
  deliver_captured(env);
  std::uint32_t count = 0;
  for (std::size_t i = 0; i < context->endpoints.size() && !env.IsExceptionPending(); ++i) {
    count += context->endpoints[i]->deliver_in_call();
  }
  return Napi::Number::New(env, count);
}

void NativeSimulation::deliver_captured(Napi::Env env) {
  std::vector<CapturedDatagram> captured;
  captured.swap(context_->captured);
  for (const CapturedDatagram& datagram : captured) {
    if (on_captured_.IsEmpty() || env.IsExceptionPending()) return;
    const Napi::HandleScope scope(env);
    on_captured_.Call({address_value(env, datagram.from), address_value(env, datagram.to),
                       bytes_value(env, datagram.bytes)});
  }
}

Napi::Value NativeSimulation::set_link(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  std::array<std::optional<SocketAddress>, 2> ends;
  for (std::size_t i = 0; i < ends.size(); ++i) {
    if (info[i].IsNull()) continue;
    ends[i] = read_address(info[i], i == 0 ? "from" : "to");
    if (!ends[i]) return env.Undefined();
  }
  if (!info[2].IsObject()) {
    throw_type_error(env, "settings must be an object");
    return env.Undefined();
  }
  const LinkSettings settings = read_link_settings(info[2].As<Napi::Object>());
  if (!env.IsExceptionPending()) context_->simulation.set_link(ends[0], ends[1], settings);
  return env.Undefined();
}

Napi::Value NativeSimulation::partition(const Napi::CallbackInfo& info) {
  const auto a = read_address(info[0], "a");
  const auto b = a ? read_address(info[1], "b") : std::nullopt;
  if (b) context_->simulation.partition(*a, *b, info[2].ToBoolean().Value());
  return info.Env().Undefined();
}

Napi::Value NativeSimulation::move_address(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  NativeEndpoint* const endpoint = NativeEndpoint::from(info[0]);
  const auto address = endpoint != nullptr ? read_address(info[1], "address") : std::nullopt;
  if (!address) return env.Undefined();
  if (!endpoint->is_open() || endpoint->host().simulation() != context_.get()) {
    throw_type_error(env, "endpoint must be open and in this simulation");
  } else if (!endpoint->host().node()->move(*address)) {
    throw_coded(env, "EADDRINUSE", "the address is taken");
  }
  return env.Undefined();
}

Napi::Value NativeSimulation::capture(const Napi::CallbackInfo& info) {
  if (info[0].IsFunction()) {
    on_captured_ = Napi::Persistent(info[0].As<Napi::Function>());
    context_->simulation.observe(context_.get());
  } else {
    context_->simulation.observe(nullptr);
    context_->captured.clear();
    on_captured_.Reset();
  }
  return info.Env().Undefined();
}

Napi::Value NativeSimulation::inject(const Napi::CallbackInfo& info) {
  const auto from = read_address(info[0], "from");
  const auto to = from ? read_address(info[1], "to") : std::nullopt;
  const auto datagram = to ? read_bytes(info[2], "datagram") : std::nullopt;
  if (datagram) context_->simulation.inject(*from, *to, *datagram);
  return info.Env().Undefined();
}

}  // namespace hawser::binding
