// The options object of a NativeEndpoint, as src/transport/native.ts declares it.
#pragma once

#include <napi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/endpoint.hpp"
#include "engine/gateway_state.hpp"
#include "io/impairment.hpp"
#include "io/udp_socket.hpp"

namespace hawser::binding {

struct SharedGateway;
struct SimulationContext;

enum class SocketKind : std::uint8_t { kNative, kPortable, kSimulated };
enum class DriverKind : std::uint8_t { kLoop, kThreads };

struct ParsedOptions {
  EndpointOptions endpoint;
  SocketKind socket_kind = SocketKind::kNative;
  SocketOptions socket;
  std::shared_ptr<SimulationContext> simulation;  // for kSimulated
  std::optional<ImpairmentSettings> impairment;   // of the real ones
  DriverKind driver = DriverKind::kLoop;          // likewise
  Duration spin{};                                // of I/O threads
  // For servers. `started` is left to the caller, and advertised ports of 0 to set_bound_port(). The shards
  // of a gateway but the first have what that one shares instead.
  std::optional<GatewayOptions> gateway;
  std::shared_ptr<SharedGateway> shared_gateway;
};

// Nothing, with an exception pending, when the object is not as declared.
[[nodiscard]] std::optional<ParsedOptions> parse_endpoint_options(const Napi::Value& value);

// [{id, key}]; likewise.
[[nodiscard]] std::optional<std::vector<ServerKey>> parse_server_keys(const Napi::Value& value);

// Advertised addresses without a port get the one that was bound.
void set_bound_port(GatewayOptions& options, std::uint16_t port);

}  // namespace hawser::binding
