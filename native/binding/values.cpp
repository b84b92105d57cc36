#include "binding/values.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "engine/events.hpp"
#include "io/loop_handles.hpp"

namespace hawser::binding {

namespace {

constexpr double kMaxSafeInteger = 9007199254740991.0;

}  // namespace

void throw_type_error(Napi::Env env, const std::string& message) {
  // What was thrown first says most.
  if (!env.IsExceptionPending()) Napi::TypeError::New(env, message).ThrowAsJavaScriptException();
}

void throw_coded(Napi::Env env, const char* code, const std::string& message) {
  if (env.IsExceptionPending()) return;
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  error.ThrowAsJavaScriptException();
}

void throw_system_error(Napi::Env env, const SocketError& error) {
  const char* const name = system_error_name(error.system_errno);
  Napi::Error thrown = Napi::Error::New(env, std::string(error.operation) + " " + name);
  thrown.Set("code", Napi::String::New(env, name));
  thrown.Set("errno", Napi::Number::New(env, -std::abs(error.system_errno)));
  thrown.Set("syscall", Napi::String::New(env, error.operation));
  thrown.ThrowAsJavaScriptException();
}

std::optional<Bytes> read_bytes(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw_type_error(value.Env(), std::string(name) + " must be a Uint8Array");
    return std::nullopt;
  }
  const auto array = value.As<Napi::Uint8Array>();
  return std::as_bytes(std::span<const std::uint8_t>(array.Data(), array.ElementLength()));
}

std::optional<std::span<const std::uint32_t>> read_words(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint32_array) {
    throw_type_error(value.Env(), std::string(name) + " must be a Uint32Array");
    return std::nullopt;
  }
  const auto array = value.As<Napi::Uint32Array>();
  return std::span<const std::uint32_t>(array.Data(), array.ElementLength());
}

std::optional<SocketAddress> read_address(const Napi::Value& value, const char* name) {
  const auto bytes = read_bytes(value, name);
  if (!bytes) return std::nullopt;
  if (bytes->size() != kAddressRecordSize) {
    throw_type_error(value.Env(), std::string(name) + " must have 24 bytes");
    return std::nullopt;
  }
  return read_address_record(bytes->first<kAddressRecordSize>()).normalised();
}

std::optional<std::string> read_string(const Napi::Value& value, const char* name) {
  if (!value.IsString()) {
    throw_type_error(value.Env(), std::string(name) + " must be a string");
    return std::nullopt;
  }
  return value.As<Napi::String>().Utf8Value();
}

std::optional<std::uint32_t> read_integer(const Napi::Value& value, const char* name, std::uint32_t minimum,
                                          std::uint32_t maximum) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  // Written so that NaN fails too.
  if (!(number >= minimum && number <= maximum && number == std::floor(number))) {
    throw_type_error(value.Env(), std::string(name) + " must be an integer from " + std::to_string(minimum) +
                                      " to " + std::to_string(maximum));
    return std::nullopt;
  }
  return static_cast<std::uint32_t>(number);
}

std::optional<std::uint64_t> read_u64(const Napi::Value& value, const char* name) {
  bool lossless = false;
  const std::uint64_t number = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (!lossless) {
    throw_type_error(value.Env(), std::string(name) + " must be a bigint from 0 to 2^64 - 1");
    return std::nullopt;
  }
  return number;
}

std::optional<std::int64_t> read_count(const Napi::Value& value, const char* name) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  if (!(number >= 0)) {
    throw_type_error(value.Env(), std::string(name) + " must be a number from 0 on");
    return std::nullopt;
  }
  return static_cast<std::int64_t>(std::min(number, kMaxSafeInteger));
}

std::optional<Handle> read_handle(const Napi::Value& slot, const Napi::Value& generation) {
  if (!slot.IsNumber() || !generation.IsNumber()) {
    throw_type_error(slot.Env(), "slot and generation must be numbers");
    return std::nullopt;
  }
  return Handle{slot.As<Napi::Number>().Uint32Value(), generation.As<Napi::Number>().Uint32Value()};
}

Napi::Value address_value(Napi::Env env, const SocketAddress& address) {
  std::array<std::byte, kAddressRecordSize> record{};
  write_address_record(record, address);
  return bytes_value(env, record);
}

Napi::Value bytes_value(Napi::Env env, Bytes bytes) {
  Napi::Uint8Array array = Napi::Uint8Array::New(env, bytes.size());
  if (!bytes.empty()) std::memcpy(array.Data(), bytes.data(), bytes.size());
  return array;
}

}  // namespace hawser::binding
