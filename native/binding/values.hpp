// Arguments from JavaScript, checked as far as memory safety needs: the TypeScript above has checked their
// meaning. A function that cannot read its argument throws a TypeError into the environment and says so by
// its result.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "base/address.hpp"
#include "base/bytes.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"
#include "io/udp_socket.hpp"

namespace hawser::binding {

void throw_type_error(Napi::Env env, const std::string& message);

// Throws an Error with a `code`.
void throw_coded(Napi::Env env, const char* code, const std::string& message);

// Throws what Node throws for failed system calls: `code`, `errno` and `syscall` set.
void throw_system_error(Napi::Env env, const SocketError& error);

// The bytes of a Uint8Array, where they are: valid until JavaScript runs again.
[[nodiscard]] std::optional<Bytes> read_bytes(const Napi::Value& value, const char* name);

// The words of a Uint32Array, likewise.
[[nodiscard]] std::optional<std::span<const std::uint32_t>> read_words(const Napi::Value& value,
                                                                       const char* name);

// An address of 24 bytes, normalised. Family 0 is an address of family kNone.
[[nodiscard]] std::optional<SocketAddress> read_address(const Napi::Value& value, const char* name);

[[nodiscard]] std::optional<std::string> read_string(const Napi::Value& value, const char* name);

// An integer of `minimum` to `maximum`.
[[nodiscard]] std::optional<std::uint32_t> read_integer(const Napi::Value& value, const char* name,
                                                        std::uint32_t minimum, std::uint32_t maximum);

[[nodiscard]] std::optional<std::uint64_t> read_u64(const Napi::Value& value, const char* name);

// A finite number of milliseconds or microseconds from 0 on, rounded down; more than 2^53 - 1 is cut to it.
[[nodiscard]] std::optional<std::int64_t> read_count(const Napi::Value& value, const char* name);

// Two integers.
[[nodiscard]] std::optional<Handle> read_handle(const Napi::Value& slot, const Napi::Value& generation);

[[nodiscard]] Napi::Value address_value(Napi::Env env, const SocketAddress& address);
// A Uint8Array with a copy.
[[nodiscard]] Napi::Value bytes_value(Napi::Env env, Bytes bytes);

}  // namespace hawser::binding
