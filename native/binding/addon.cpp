// The module that Node loads, once for each environment: the main thread and every worker. There is no state
// but that of the environment and of the objects that the module exports.
#include <napi.h>

#include <cstdint>
#include <memory>
#include <span>

#include "binding/array_buffers.hpp"
#include "binding/environment.hpp"
#include "binding/native_endpoint.hpp"
#include "binding/native_simulation.hpp"
#include "binding/secret_functions.hpp"
#include "binding/systemd_notify.hpp"
#include "binding/values.hpp"
#include "crypto/sodium.hpp"
#include "engine/counters.hpp"
#include "engine/events.hpp"
#include "engine/peer_status.hpp"
#include "io/driver.hpp"
#include "wire/frames.hpp"

namespace hawser::binding {

namespace {

#define HAWSER_STRING_OF(text) #text
#define HAWSER_STRING(macro) HAWSER_STRING_OF(macro)
constexpr const char* kVersion = HAWSER_STRING(HAWSER_VERSION);
#undef HAWSER_STRING
#undef HAWSER_STRING_OF

constexpr std::uint32_t kDescriptorWords = sizeof(EventDescriptor) / sizeof(std::uint32_t);

Napi::Array names(Napi::Env env, std::span<const char* const> list) {
  Napi::Array array = Napi::Array::New(env, list.size());
  for (std::uint32_t i = 0; i < list.size(); ++i) array.Set(i, list[i]);
  return array;
}

Napi::Object constants(Napi::Env env) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("maxMessageBytes", static_cast<double>(kMaxMessageSize));
  object.Set("descriptorWords", Napi::Number::New(env, kDescriptorWords));
  return object;
}

Napi::Object initialise_module(Napi::Env env, Napi::Object exports) {
  if (!initialise()) {
    Napi::Error::New(env, "libsodium finds no source of randomness").ThrowAsJavaScriptException();
    return exports;
  }
  auto environment = std::make_unique<Environment>();
  const Napi::ArrayBuffer transmit_records = expose(env, environment->transmit_records);
  if (transmit_records.IsEmpty()) return exports;
  env.SetInstanceData(environment.release());
  exports.Set("transmitRecords", transmit_records);
  exports.Set("version", kVersion);
  exports.Set("sodiumVersion", sodium_version());
  exports.Set("counterNames", names(env, kCounterNames));
  exports.Set("socketCounterNames", names(env, kDriverCounterNames));
  exports.Set("peerFigureNames", names(env, kPeerFigureNames));
  exports.Set("constants", constants(env));
  exports.Set("NativeEndpoint", NativeEndpoint::define(env));
  exports.Set("NativeSimulation", NativeSimulation::define(env));
  exports.Set("secrets", secret_functions(env));
  exports.Set("systemdNotify", Napi::Function::New(env, systemd_notify, "systemdNotify"));
  return exports;
}

}  // namespace

// What the macro calls must be visible to it by an unqualified name.
static Napi::Object register_module(Napi::Env env, Napi::Object exports) {
  return initialise_module(env, exports);
}

NODE_API_MODULE(hawser, register_module)

}  // namespace hawser::binding
