#include "binding/endpoint_options.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "binding/link_settings.hpp"
#include "binding/native_endpoint.hpp"
#include "binding/native_simulation.hpp"
#include "binding/values.hpp"
#include "wire/session_packet.hpp"

namespace hawser::binding {

namespace {

constexpr std::uint32_t kAnyU32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::uint32_t kMaxSessions = 1U << 22U;
constexpr std::uint32_t kMaxSocketBuffer = 1U << 30U;
constexpr std::uint32_t kMaxDscp = 63;
constexpr std::uint32_t kMaxSpinMicros = 1'000;

// Reads the properties of one object; after the first failure an exception is pending and ok() is false.
class PropertyReader {
 public:
  explicit PropertyReader(const Napi::Value& value) {
    if (value.IsObject()) {
      object_ = value.As<Napi::Object>();
    } else {
      throw_type_error(value.Env(), "options must be an object");
      ok_ = false;
    }
  }

  [[nodiscard]] bool ok() const { return ok_; }
  void fail(const std::string& message) {
    throw_type_error(object_.Env(), message);
    ok_ = false;
  }

  // Undefined after a failure.
  Napi::Value value(const char* name) {
    if (!ok_) return {};
    const Napi::Value result = object_.Get(name);
    if (result.IsEmpty()) ok_ = false;
    return result;
  }

  std::uint32_t integer(const char* name, std::uint32_t minimum, std::uint32_t maximum) {
    return checked(ok_ ? read_integer(value(name), name, minimum, maximum) : std::nullopt);
  }
  std::uint64_t u64(const char* name) { return checked(ok_ ? read_u64(value(name), name) : std::nullopt); }
  std::chrono::milliseconds milliseconds(const char* name) {
    return std::chrono::milliseconds(checked(ok_ ? read_count(value(name), name) : std::nullopt));
  }
  std::size_t size(const char* name) {
    return static_cast<std::size_t>(checked(ok_ ? read_count(value(name), name) : std::nullopt));
  }
  SocketAddress address(const char* name) {
    return checked(ok_ ? read_address(value(name), name) : std::nullopt);
  }
  bool boolean(const char* name) {
    if (!ok_) return false;
    return value(name).ToBoolean().Value();
  }
  std::string text(const char* name) { return checked(ok_ ? read_string(value(name), name) : std::nullopt); }
  Key key(const char* name) {
    const auto bytes = ok_ ? read_bytes(value(name), name) : std::nullopt;
    if (bytes && bytes->size() == 32) return Key(bytes->first<32>());
    fail(std::string(name) + " must have 32 bytes");
    return {};
  }

 private:
  template <class T>
  T checked(std::optional<T> read) {
    if (!read) ok_ = false;
    return read ? *std::move(read) : T();
  }

  Napi::Object object_;
  bool ok_ = true;
};

std::optional<netcode::GatewayOptions> parse_netcode(const Napi::Value& value) {
  PropertyReader reader(value);
  netcode::GatewayOptions options;
  options.token_lifetime = reader.milliseconds("tokenLifetimeMs");
  if (!reader.ok()) return std::nullopt;
  return options;
}

std::optional<GatewayOptions> parse_gateway(const Napi::Value& value, EndpointOptions& endpoint) {
  PropertyReader reader(value);
  GatewayOptions options;
  options.protocol_id = reader.u64("protocolId");
  options.reset_key = reader.key("resetKey");
  options.max_peers = reader.integer("maxPeers", 1, kMaxSessions);
  endpoint.max_half_open = reader.integer("maxHalfOpen", 1, kMaxSessions);
  options.clock_skew = reader.milliseconds("clockSkewMs");
  if (reader.value("restartGuardMs").IsNull()) {
    options.restart_guard = std::nullopt;
  } else {
    options.restart_guard = reader.milliseconds("restartGuardMs");
  }
  options.max_token_lifetime = reader.milliseconds("maxTokenLifetimeMs");
  options.external_token_history = reader.boolean("externalTokenHistory");
  options.max_send_memory = reader.size("maxSendMemoryBytes");
  options.max_grown_credit = endpoint.max_grown_credit;
  options.same_client =
      reader.text("sameClient") == "reject" ? SameClientPolicy::kReject : SameClientPolicy::kReplace;
  const Napi::Value netcode = reader.value("netcode");
  const Napi::Value advertised = reader.value("advertised");
  if (reader.ok() && !advertised.IsArray()) reader.fail("advertised must be an array");
  if (!reader.ok()) return std::nullopt;
  if (!netcode.IsUndefined()) {
    options.netcode = parse_netcode(netcode);
    if (!options.netcode) return std::nullopt;
  }
  const auto addresses = advertised.As<Napi::Array>();
  for (std::uint32_t i = 0; i < addresses.Length(); ++i) {
    const auto address = read_address(addresses.Get(i), "advertised");
    if (!address) return std::nullopt;
    options.advertised_addresses.push_back(*address);
  }
  auto keys = parse_server_keys(reader.value("keys"));
  if (!keys) return std::nullopt;
  options.keys = *std::move(keys);
  return options;
}

std::optional<std::vector<ChannelDeclaration>> parse_channels(const Napi::Value& value) {
  if (!value.IsArray()) {
    throw_type_error(value.Env(), "channels must be an array");
    return std::nullopt;
  }
  const auto array = value.As<Napi::Array>();
  std::vector<ChannelDeclaration> channels;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    PropertyReader reader(array.Get(i));
    ChannelDeclaration channel;
    channel.name = reader.text("name");
    channel.codec = reader.text("codec");
    channel.mode = static_cast<ChannelMode>(
        reader.integer("mode", 0, static_cast<std::uint32_t>(ChannelMode::kReliableUnordered)));
    channel.priority = static_cast<ChannelPriority>(reader.integer("priority", 0, kPriorities - 1));
    channel.max_message_bytes = reader.integer("maxMessageBytes", 0, kGreatestMaxMessageBytes);
    channel.congestion_controlled = reader.boolean("congestionControlled");
    channel.redundancy = static_cast<std::uint8_t>(reader.integer("redundancy", 0, kAutoRedundancy));
    if (!reader.ok()) return std::nullopt;
    if (channel.congestion_controlled && channel.mode != ChannelMode::kUnreliable)
      reader.fail("congestionControlled is for unreliable channels");
    if (channel.redundancy > 0 && channel.mode == ChannelMode::kUnreliable)
      reader.fail("redundancy is not for unreliable channels");
    const bool has_maximum = channel.max_message_bytes > 0;
    if (has_maximum == (channel.mode == ChannelMode::kUnreliable)) {
      reader.fail("maxMessageBytes must be 0 for unreliable channels, and for those alone");
    }
    if (channel.name.empty() || channel.name.size() > kMaxChannelNameSize ||
        channel.codec.size() > kMaxChannelNameSize) {
      reader.fail("names of channels and codecs must have at most 64 bytes");
    }
    if (!reader.ok()) return std::nullopt;
    channels.push_back(std::move(channel));
  }
  if (channels.empty() || channels.size() > kMaxChannels) {
    throw_type_error(value.Env(), "channels must be 1 to 1024");
    return std::nullopt;
  }
  return channels;
}

void parse_channel_options(PropertyReader& reader, EndpointOptions& endpoint) {
  endpoint.congestion =
      reader.text("congestion") == "cubic" ? CongestionAlgorithm::kCubic : CongestionAlgorithm::kBbr;
  endpoint.credit = reader.integer("creditBytes", 0, kAnyU32);
  endpoint.channel_credit = reader.integer("channelCreditBytes", 0, kAnyU32);
  endpoint.max_credit = reader.integer("maxCreditBytes", 0, kAnyU32);
  endpoint.max_grown_credit = reader.size("maxGrownCreditBytes");
  endpoint.max_reassembly_bytes = reader.size("maxReassemblyBytes");
  if (reader.ok() && endpoint.max_reassembly_bytes / 8 < endpoint.credit)
    reader.fail("maxReassemblyBytes must be at least eight times creditBytes");
  endpoint.high_water_bytes = reader.integer("highWaterBytes", 0, kAnyU32);
  endpoint.max_queued_bytes = reader.integer("maxQueuedBytes", 0, kAnyU32);
  endpoint.on_queue_full =
      reader.text("onQueueFull") == "disconnect" ? QueueFullPolicy::kDisconnect : QueueFullPolicy::kRefuse;
}

std::optional<ImpairmentSettings> parse_impairment(const Napi::Value& value) {
  PropertyReader reader(value);
  ImpairmentSettings settings;
  settings.seed = reader.u64("seed");
  if (!reader.ok()) return std::nullopt;
  settings.link = read_link_settings(value.As<Napi::Object>());
  if (value.Env().IsExceptionPending()) return std::nullopt;
  return settings;
}

// The thread that an endpoint runs on, and its place among the shards of a gateway.
void parse_driver(PropertyReader& reader, ParsedOptions& parsed) {
  EndpointOptions& endpoint = parsed.endpoint;
  parsed.driver = reader.text("driver") == "threads" ? DriverKind::kThreads : DriverKind::kLoop;
  parsed.spin = std::chrono::microseconds(reader.integer("spinMicros", 0, kMaxSpinMicros));
  endpoint.shards = reader.integer("shards", 1, kMaxShards);
  endpoint.shard = reader.integer("shard", 0, endpoint.shards - 1);
  if (endpoint.shards > 1 && (endpoint.mode != Mode::kServer || parsed.driver != DriverKind::kThreads))
    reader.fail("shards must be 1 but for a server with I/O threads");
  // The kernel finds the socket of a shard by its number among all that have the address.
  if (endpoint.shards > 1 && parsed.socket.reuse_port)
    reader.fail("reusePort must be false with several shards");
  if (endpoint.shard > 0) parsed.socket.reuse_port = true;
  if (endpoint.shards > 1) parsed.socket.begins_group = true;
  if (!reader.ok() || endpoint.shard == 0) return;
  const NativeEndpoint* const first = NativeEndpoint::from(reader.value("gateway"));
  if (first == nullptr) return;
  parsed.shared_gateway = first->shared_gateway();
  if (!parsed.shared_gateway || parsed.shared_gateway->group.shards() != endpoint.shards)
    reader.fail("gateway must be an open endpoint of mode 'server' with as many shards");
}

}  // namespace

std::optional<ParsedOptions> parse_endpoint_options(const Napi::Value& value) {
  PropertyReader reader(value);
  ParsedOptions parsed;
  EndpointOptions& endpoint = parsed.endpoint;
  endpoint.mode = reader.text("mode") == "server" ? Mode::kServer : Mode::kClient;
  endpoint.connection_id_length = static_cast<std::uint8_t>(reader.integer("connectionIdLength", 8, 16));
  endpoint.hawser = reader.boolean("hawser");
  endpoint.max_sessions = reader.integer("maxSessions", 1, kMaxSessions);
  endpoint.max_packets_per_second = reader.integer("maxPacketsPerSecondPerPeer", 0, kAnyU32);
  endpoint.max_bytes_per_second = reader.integer("maxBytesPerSecondPerPeer", 0, kAnyU32);
  endpoint.max_datagram = static_cast<std::uint16_t>(reader.integer(
      "maxDatagramBytes", kLeastMaxDatagram, static_cast<std::uint32_t>(kMaxReceivedDatagram)));
  parse_channel_options(reader, endpoint);
  const Napi::Value server_index = reader.value("serverIndex");
  if (reader.ok() && server_index.IsNumber() && server_index.As<Napi::Number>().Int64Value() >= 0) {
    endpoint.server_index = static_cast<std::uint8_t>(reader.integer("serverIndex", 0, 255));
  }
  parsed.socket.bind_address = reader.address("bind");
  parsed.socket.ipv6_only = reader.boolean("ipv6Only");
  parsed.socket.reuse_port = reader.boolean("reusePort");
  parsed.socket.receive_buffer_bytes = reader.integer("receiveBufferBytes", 0, kMaxSocketBuffer);
  parsed.socket.send_buffer_bytes = reader.integer("sendBufferBytes", 0, kMaxSocketBuffer);
  parsed.socket.dscp = static_cast<std::uint8_t>(reader.integer("dscp", 0, kMaxDscp));
  if (reader.ok()) parse_driver(reader, parsed);
  const Napi::Value channels_value = reader.value("channels");
  const Napi::Value simulate = reader.value("simulate");
  const Napi::Value socket = reader.value("socket");
  if (!reader.ok()) return std::nullopt;
  auto channels = parse_channels(channels_value);
  if (!channels) return std::nullopt;
  endpoint.channels = *std::move(channels);
  if (!simulate.IsUndefined()) {
    parsed.impairment = parse_impairment(simulate);
    if (!parsed.impairment) return std::nullopt;
  }
  if (socket.IsString()) {
    parsed.socket_kind = reader.text("socket") == "portable" ? SocketKind::kPortable : SocketKind::kNative;
  } else {
    NativeSimulation* const simulation = NativeSimulation::from(socket);
    if (simulation == nullptr) return std::nullopt;
    parsed.socket_kind = SocketKind::kSimulated;
    parsed.simulation = simulation->context();
    if (parsed.driver == DriverKind::kThreads) {
      reader.fail("driver must be 'loop' in a simulation");
      return std::nullopt;
    }
  }
  if (endpoint.mode == Mode::kServer) {
    // Some of it is the endpoint's own.
    parsed.gateway = parse_gateway(reader.value("server"), endpoint);
    if (!parsed.gateway) return std::nullopt;
    if (parsed.shared_gateway) parsed.gateway.reset();
  }
  return parsed;
}

std::optional<std::vector<ServerKey>> parse_server_keys(const Napi::Value& value) {
  if (!value.IsArray() || value.As<Napi::Array>().Length() == 0) {
    throw_type_error(value.Env(), "keys must be an array with a key");
    return std::nullopt;
  }
  const auto array = value.As<Napi::Array>();
  std::vector<ServerKey> keys;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    PropertyReader reader(array.Get(i));
    const std::uint32_t id = reader.integer("id", 0, kAnyU32);
    Key key = reader.key("key");
    if (!reader.ok()) return std::nullopt;
    if (std::ranges::any_of(keys, [id](const ServerKey& other) { return other.id == id; })) {
      throw_type_error(value.Env(), "keys must have distinct ids");
      return std::nullopt;
    }
    keys.push_back({id, std::move(key)});
  }
  return keys;
}

void set_bound_port(GatewayOptions& options, std::uint16_t port) {
  for (SocketAddress& address : options.advertised_addresses) {
    if (address.port == 0) address.port = port;
  }
}

}  // namespace hawser::binding
