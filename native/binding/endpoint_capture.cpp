// The functions of NativeEndpoint that tap it: src/transport/native.ts says what each does.
#include "binding/native_endpoint.hpp"
#include "binding/values.hpp"
#include "engine/tap.hpp"

namespace hawser::binding {

Napi::Value NativeEndpoint::start_capture(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto snap_length = read_integer(info[1], "snapLengthBytes", 64, 65'535);
  if (!snap_length) return env.Undefined();
  TapOptions options;
  options.plaintext = info[0].ToBoolean().Value();
  options.snap_length = *snap_length;
  if (!info[2].IsNull()) {
    const auto only = read_address(info[2], "only");
    if (!only) return env.Undefined();
    options.only = *only;
  }
  if (!is_open() || host_->tap() != nullptr) return Napi::Boolean::New(env, false);
  host_->start_capture(options);
  return Napi::Boolean::New(env, true);
}

Napi::Value NativeEndpoint::read_capture(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsTypedArray() || info[0].As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw_type_error(env, "out must be a Uint8Array");
    return env.Undefined();
  }
  Tap* const tap = host_ ? host_->tap() : nullptr;
  auto out = info[0].As<Napi::Uint8Array>();
  const MutableBytes bytes(reinterpret_cast<std::byte*>(out.Data()), out.ByteLength());
  return Napi::Number::New(env, static_cast<double>(tap != nullptr ? tap->read(bytes) : 0));
}

Napi::Value NativeEndpoint::capture_dropped(const Napi::CallbackInfo& info) {
  Tap* const tap = host_ ? host_->tap() : nullptr;
  return Napi::Number::New(info.Env(), static_cast<double>(tap != nullptr ? tap->dropped() : 0));
}

Napi::Value NativeEndpoint::stop_capture(const Napi::CallbackInfo& info) {
  if (host_) host_->stop_capture();
  return info.Env().Undefined();
}

}  // namespace hawser::binding
