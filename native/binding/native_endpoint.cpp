#include "binding/native_endpoint.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <span>
#include <string>
#include <utility>

#include "binding/array_buffers.hpp"
#include "binding/endpoint_options.hpp"
#include "binding/environment.hpp"
#include "binding/native_simulation.hpp"
#include "binding/values.hpp"

namespace hawser::binding {

namespace {

constexpr napi_type_tag kEndpointTag = {0x6f1dc0e5a9d14b53, 0x9a5be7a1f04c2e86};

constexpr std::array<const char*, 7> kConnectResultCodes = {
    "CONNECTED", "DENIED", "TIMED_OUT", "TOKEN_EXPIRED", "TOKEN_INVALID", "ABORTED", "ADDRESS_IN_USE",
};

// Listeners whose calls cause events in each delivery: what comes after so many waits for the next turn.
constexpr int kDeliveryRounds = 8;

// Bytes of exactly N, copied; throws for anything else.
template <std::size_t N>
std::optional<std::array<std::byte, N>> read_exactly(const Napi::Value& value, const char* name) {
  const auto bytes = read_bytes(value, name);
  if (!bytes) return std::nullopt;
  if (bytes->size() != N) {
    throw_type_error(value.Env(), std::string(name) + " must have " + std::to_string(N) + " bytes");
    return std::nullopt;
  }
  std::array<std::byte, N> result{};
  std::copy(bytes->begin(), bytes->end(), result.begin());
  return result;
}

}  // namespace

Napi::Function NativeEndpoint::define(Napi::Env env) {
  using Self = NativeEndpoint;
  return DefineClass(env, "NativeEndpoint",
                     {
                         InstanceMethod<&Self::local_address>("localAddress"),
                         InstanceMethod<&Self::granted_buffers>("grantedBuffers"),
                         InstanceMethod<&Self::rebind>("rebind"),
                         InstanceMethod<&Self::arm>("arm"),
                         InstanceMethod<&Self::flush>("flush"),
                         InstanceMethod<&Self::take_records>("takeRecords"),
                         InstanceMethod<&Self::send_long>("sendLong"),
                         InstanceMethod<&Self::broadcast>("broadcast"),
                         InstanceMethod<&Self::connect>("connect"),
                         InstanceMethod<&Self::abort>("abort"),
                         InstanceMethod<&Self::disconnect>("disconnect"),
                         InstanceMethod<&Self::goaway>("goaway"),
                         InstanceMethod<&Self::set_paused>("setPaused"),
                         InstanceMethod<&Self::complete_consumption>("completeConsumption"),
                         InstanceMethod<&Self::update_keys>("updateKeys"),
                         InstanceMethod<&Self::provide_secret>("provideSecret"),
                         InstanceMethod<&Self::status>("status"),
                         InstanceMethod<&Self::figures>("figures"),
                         InstanceMethod<&Self::remote_address>("remoteAddress"),
                         InstanceMethod<&Self::export_key>("exportKey"),
                         InstanceMethod<&Self::set_keys>("setKeys"),
                         InstanceMethod<&Self::set_limits>("setLimits"),
                         InstanceMethod<&Self::start_draining>("startDraining"),
                         InstanceMethod<&Self::stop>("stop"),
                         InstanceMethod<&Self::close>("close"),
                         InstanceMethod<&Self::memory_bytes>("memoryBytes"),
                         InstanceMethod<&Self::ref>("ref"),
                         InstanceMethod<&Self::unref>("unref"),
                         InstanceMethod<&Self::now_micros>("nowMicros"),
                         InstanceMethod<&Self::start_capture>("startCapture"),
                         InstanceMethod<&Self::read_capture>("readCapture"),
                         InstanceMethod<&Self::capture_dropped>("captureDropped"),
                         InstanceMethod<&Self::stop_capture>("stopCapture"),
                     });
}

NativeEndpoint* NativeEndpoint::from(const Napi::Value& value) {
  if (value.IsObject() && value.As<Napi::Object>().CheckTypeTag(&kEndpointTag))
    return Unwrap(value.As<Napi::Object>());
  throw_type_error(value.Env(), "endpoint must be a NativeEndpoint");
  return nullptr;
}

NativeEndpoint::NativeEndpoint(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  const Napi::Env env = info.Env();
  info.This().As<Napi::Object>().TypeTag(&kEndpointTag);
  if (!info[1].IsFunction() || !info[2].IsFunction()) {
    throw_type_error(env, "onEvents and onStopped must be functions");
    return;
  }
  std::optional<ParsedOptions> options = parse_endpoint_options(info[0]);
  if (!options) return;
  on_events_ = Napi::Persistent(info[1].As<Napi::Function>());
  on_stopped_ = Napi::Persistent(info[2].As<Napi::Function>());
  async_context_ = std::make_unique<Napi::AsyncContext>(env, "hawser", info.This().As<Napi::Object>());
  uv_loop_s* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throw_type_error(env, "this environment has no event loop");
    return;
  }
  auto host = EndpointHost::open(env, loop, *std::move(options), *this);
  if (!host) {
    throw_system_error(env, host.error());
    return;
  }
  host_ = *std::move(host);
  local_address_ = host_->driver().local_address();
  // An open endpoint holds itself.
  Ref();
  if (host_->simulation() != nullptr) host_->simulation()->endpoints.push_back(this);
  if (!expose_memory(info)) host_->close();
}

NativeEndpoint::~NativeEndpoint() {
  if (!host_) return;
  if (host_->simulation() != nullptr) std::erase(host_->simulation()->endpoints, this);
  host_->detach();
}

bool NativeEndpoint::expose_memory(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  auto object = info.This().As<Napi::Object>();
  const EndpointCells& cells = host_->cells();
  const Napi::ArrayBuffer memory = expose(env, cells.memory());
  if (memory.IsEmpty()) return false;
  object.Set("counters", Napi::BigUint64Array::New(env, kCounterCount, memory, EndpointCells::kCountersAt));
  object.Set("socketCounters",
             Napi::BigUint64Array::New(env, kDriverCounterCount, memory, EndpointCells::kDriverCountersAt));
  object.Set("txHeader", Napi::Uint32Array::New(env, TransmitSlab::kHeaderBytes / sizeof(std::uint32_t),
                                                memory, EndpointCells::kTransmitAt));
  object.Set("peerMaxUnreliable",
             Napi::Uint16Array::New(env, cells.sessions(), memory, EndpointCells::kPeerMaxUnreliableAt));
  object.Set("peerFlags", Napi::Uint8Array::New(env, cells.sessions(), memory, cells.peer_flags_at()));
  if (!host_->shares_memory()) {
    const Napi::ArrayBuffer records = expose(env, host_->transmit_slab().record_memory());
    if (records.IsEmpty()) return false;
    object.Set("transmitRecords", records);
  }
  return !env.IsExceptionPending();
}

void NativeEndpoint::provide_storage(EndpointHost& host) {
  const std::size_t longest = host.longest_sequenced();
  if (host.threaded()) return batches_.start(host.queue(), ExposedBatches::kOnOtherThread, longest);
  // In a simulation events wait until JavaScript asks for them.
  if (host.simulation() != nullptr)
    return batches_.start(host.queue(), ExposedBatches::kOnSameThread, longest);
  batches_.share(Environment::of(Env()).event_storages, longest);
}

void NativeEndpoint::turn_begins() {
  if (batches_.shares()) batches_.attach(host_->queue());
}

void NativeEndpoint::turn_ended() {
  if (batches_.shares()) batches_.detach(host_->queue());
}

void NativeEndpoint::begin_call() {
  // A thread has a turn after each call.
  if (host_->threaded()) return;
  if (batches_.shares()) batches_.attach_for_call(host_->queue());
  if (!host_->queue().has_room()) set_aside_here();
  host_->driver().schedule();
}

void NativeEndpoint::set_aside_here() {
  EventQueue& queue = host_->queue();
  host_->publish_status();
  if (queue.wanting()) batches_.set_aside(queue);
  // A new storage begins with what the queue has kept, which may be more than one holds.
  while (queue.count() > 0) {
    batches_.make_room();
    batches_.set_aside(queue);
  }
}

void NativeEndpoint::on_events() {
  set_aside_here();
  if (host_->simulation() == nullptr) deliver_batches(CallKind::kFromLoop);
}

bool NativeEndpoint::holds_batches() { return batches_.waiting(); }

bool NativeEndpoint::set_aside(EventQueue& queue) { return batches_.set_aside(queue); }

bool NativeEndpoint::deliver() {
  deliver_batches(CallKind::kFromLoop);
  return !batches_.waiting();
}

std::uint32_t NativeEndpoint::deliver_batches(CallKind kind) {
  if (delivering_) return 0;
  delivering_ = true;
  const Napi::Env env = Env();
  const Napi::HandleScope scope(env);
  std::uint32_t count = 0;
  bool going_on = true;
  for (int round = 0; round < kDeliveryRounds && going_on && batches_.waiting(); ++round) {
    ExposedBatches::Storage* const batch = take(env, batches_, host_->driver_counters().slabs_replaced);
    if (batch == nullptr) break;
    if (batches_.endpoint_waits()) host_->wake();
    ++host_->driver_counters().deliveries;
    count += static_cast<std::uint32_t>(batch->count);
    const bool returned = call(kind, on_events_,
                               {batch->view.slab.Value(), batch->view.descriptors.Value(),
                                Napi::Number::New(env, static_cast<double>(batch->count))});
    give_back(batches_, batch, host_->driver_counters().slabs_replaced);
    if (batches_.endpoint_waits()) host_->wake();
    // A listener may have closed the endpoint, which tells nobody any more.
    going_on = kind == CallKind::kFromLoop ? is_open() : returned;
  }
  delivering_ = false;
  // The other drivers ask themselves whether some still wait.
  if (is_open() && host_->simulation() != nullptr && batches_.waiting()) host_->driver().schedule();
  return count;
}

std::uint32_t NativeEndpoint::deliver_in_call() {
  if (!host_) return 0;
  if (is_open()) set_aside_here();
  const std::uint32_t count = deliver_batches(CallKind::kFromCall);
  if (stop_untold_ && !batches_.waiting() && !Env().IsExceptionPending()) {
    stop_untold_ = false;
    tell_stopped(CallKind::kFromCall);
  }
  host_->release();
  return count;
}

bool NativeEndpoint::call(CallKind kind, const Napi::FunctionReference& function,
                          std::initializer_list<napi_value> arguments) {
  const Napi::Env env = Env();
  napi_value receiver = Value();
  if (kind == CallKind::kFromCall) {
    return napi_call_function(env, receiver, function.Value(), arguments.size(), arguments.begin(),
                              nullptr) == napi_ok;
  }
  if (napi_make_callback(env, *async_context_, receiver, function.Value(), arguments.size(),
                         arguments.begin(), nullptr) == napi_ok) {
    return true;
  }
  // The only way for an exception to become an uncaughtException from here. There is none when the
  // environment ends.
  if (env.IsExceptionPending()) {
    napi_value error = nullptr;
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  }
  return false;
}

void NativeEndpoint::on_closed(bool stopped) {
  const bool simulated = host_->simulation() != nullptr;
  if (batches_.shares()) batches_.stop(host_->queue());
  if (!stopped) {
    batches_.clear();
    release_listeners();
  }
  if (stopped && simulated) stop_untold_ = true;
  if (stopped && !simulated) {
    const Napi::HandleScope scope(Env());
    // One that has stopped tells the rest before.
    while (deliver_batches(CallKind::kFromLoop) > 0) continue;
    tell_stopped(CallKind::kFromLoop);
  }
  Unref();
}

void NativeEndpoint::tell_stopped(CallKind kind) {
  call(kind, on_stopped_, {});
  release_listeners();
}

void NativeEndpoint::release_listeners() {
  // The functions know the object that owns this one: held any longer, neither would ever be collected.
  on_events_.Reset();
  on_stopped_.Reset();
  // From Node.js 25 on, an async context holds its resource strongly, which is this object.
  async_context_.reset();
}

Napi::Value NativeEndpoint::local_address(const Napi::CallbackInfo& info) {
  return address_value(info.Env(), local_address_);
}

Napi::Value NativeEndpoint::granted_buffers(const Napi::CallbackInfo& info) {
  Napi::Object result = Napi::Object::New(info.Env());
  const bool open = is_open();
  result.Set("receiveBytes", static_cast<double>(open ? host_->driver().receive_buffer_bytes() : 0));
  result.Set("sendBytes", static_cast<double>(open ? host_->driver().send_buffer_bytes() : 0));
  return result;
}

Napi::Value NativeEndpoint::rebind(const Napi::CallbackInfo& info) {
  if (!is_open()) return info.Env().Undefined();
  begin_call();
  const Result<void, SocketError> rebound = host_->rebind();
  if (!rebound) throw_system_error(info.Env(), rebound.error());
  local_address_ = host_->driver().local_address();
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::arm(const Napi::CallbackInfo& info) {
  if (is_open()) host_->driver().schedule();
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::flush(const Napi::CallbackInfo& info) {
  if (!is_open()) return Napi::Boolean::New(info.Env(), false);
  begin_call();
  host_->flush();
  return Napi::Boolean::New(info.Env(), host_->transmit_slab().writable());
}

Napi::Value NativeEndpoint::take_records(const Napi::CallbackInfo& info) {
  if (is_open()) host_->take_records();
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::send_long(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto peer = read_handle(info[0], info[1]);
  const auto channel = peer ? read_integer(info[2], "channel", 0, UINT32_MAX) : std::nullopt;
  const auto ttl = channel ? read_integer(info[4], "ttlMs", 0, UINT32_MAX) : std::nullopt;
  const auto confirm = ttl ? read_integer(info[5], "confirm", 0, UINT32_MAX) : std::nullopt;
  const auto data = confirm ? read_bytes(info[3], "data") : std::nullopt;
  if (!data) return env.Undefined();
  auto status = SendStatus::kNotConnected;
  if (is_open()) {
    begin_call();
    const SendOptions options{.ttl = std::chrono::milliseconds(*ttl), .confirm = *confirm};
    host_->call_in_order([&](Endpoint& /*endpoint*/, Instant now) {
      status = host_->send(*peer, *channel, *data, options, now);
    });
  }
  return Napi::Number::New(env, static_cast<double>(status));
}

Napi::Value NativeEndpoint::broadcast(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto channel = read_integer(info[0], "channel", 0, UINT32_MAX);
  const auto ttl = channel ? read_integer(info[3], "ttlMs", 0, UINT32_MAX) : std::nullopt;
  const auto data = ttl ? read_bytes(info[1], "data") : std::nullopt;
  if (!data) return env.Undefined();
  std::uint32_t sent = 0;
  if (!is_open()) return Napi::Number::New(env, sent);
  std::span<const std::uint32_t> words;
  if (!info[2].IsNull()) {
    const auto given = read_words(info[2], "handles");
    if (!given) return env.Undefined();
    words = *given;
  }
  const bool everyone = info[2].IsNull();
  begin_call();
  const SendOptions options{.ttl = std::chrono::milliseconds(*ttl)};
  host_->call_in_order([&](Endpoint& endpoint, Instant now) {
    const auto send = [&](Handle peer) {
      if (host_->send(peer, *channel, *data, options, now) == SendStatus::kSent) ++sent;
    };
    if (everyone) return endpoint.for_each_connected(send);
    for (std::size_t i = 0; i + 1 < words.size(); i += 2) send({words[i], words[i + 1]});
  });
  return Napi::Number::New(env, sent);
}

Napi::Value NativeEndpoint::connect(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  if (!info[0].IsObject()) {
    throw_type_error(env, "options must be an object");
    return env.Undefined();
  }
  if (!is_open()) {
    throw_coded(env, "CLOSED", "the endpoint is closed");
    return env.Undefined();
  }
  const auto options = info[0].As<Napi::Object>();
  const auto protocol_id = read_u64(options.Get("protocolId"), "protocolId");
  const auto timeout = protocol_id ? read_count(options.Get("timeoutMs"), "timeoutMs") : std::nullopt;
  if (!timeout) return env.Undefined();
  ConnectOptions parsed;
  parsed.protocol_id = *protocol_id;
  parsed.timeout = std::chrono::milliseconds(std::min<std::int64_t>(*timeout, UINT32_MAX));
  const Napi::Value local = options.Get("local");
  if (!local.IsUndefined()) {
    const auto address = read_address(local, "local");
    if (!address) return env.Undefined();
    parsed.local = *address;
  }
  // Read last: nothing of JavaScript may run while the bytes are in use.
  const auto token = read_bytes(options.Get("token"), "token");
  if (!token) return env.Undefined();
  parsed.token = *token;
  begin_call();
  Result<Handle, ConnectResult> peer = Failure{ConnectResult::kAborted};
  host_->call([&](Endpoint& endpoint, Instant now) { peer = endpoint.connect(parsed, now); });
  if (!peer) {
    throw_coded(env, kConnectResultCodes[static_cast<std::size_t>(peer.error())],
                "the connection cannot be begun");
    return env.Undefined();
  }
  Napi::Object result = Napi::Object::New(env);
  result.Set("slot", Napi::Number::New(env, peer->slot));
  result.Set("generation", Napi::Number::New(env, peer->generation));
  return result;
}

Napi::Value NativeEndpoint::abort(const Napi::CallbackInfo& info) {
  const auto peer = read_handle(info[0], info[1]);
  if (!peer || !is_open()) return info.Env().Undefined();
  begin_call();
  host_->call([&](Endpoint& endpoint, Instant now) { endpoint.abort(*peer, now); });
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::disconnect(const Napi::CallbackInfo& info) {
  const auto peer = read_handle(info[0], info[1]);
  const auto code = peer ? read_integer(info[2], "code", 0, UINT32_MAX) : std::nullopt;
  const auto reason = code ? read_string(info[3], "reason") : std::nullopt;
  const auto spread = reason ? read_integer(info[4], "reconnectSpreadMs", 0, UINT32_MAX) : std::nullopt;
  if (!spread) return info.Env().Undefined();
  if (!is_open()) return Napi::Boolean::New(info.Env(), false);
  begin_call();
  const PeerCommand command{
      .kind = PeerCommand::Kind::kDisconnect, .number = *code, .reconnect_spread_ms = *spread};
  return Napi::Boolean::New(info.Env(), host_->command(*peer, command, *reason));
}

Napi::Value NativeEndpoint::goaway(const Napi::CallbackInfo& info) {
  const auto peer = read_handle(info[0], info[1]);
  const auto reason = peer ? read_integer(info[2], "reason", 0, UINT32_MAX) : std::nullopt;
  const auto deadline = reason ? read_integer(info[3], "deadlineMs", 0, UINT32_MAX) : std::nullopt;
  const auto spread = deadline ? read_integer(info[4], "reconnectSpreadMs", 0, UINT32_MAX) : std::nullopt;
  if (!spread) return info.Env().Undefined();
  SocketAddress elsewhere;
  if (!info[5].IsNull()) {
    const auto address = read_address(info[5], "address");
    if (!address) return info.Env().Undefined();
    elsewhere = *address;
  }
  if (!is_open()) return Napi::Boolean::New(info.Env(), false);
  begin_call();
  const PeerCommand command{.kind = PeerCommand::Kind::kGoaway,
                            .number = *reason,
                            .deadline_ms = *deadline,
                            .reconnect_spread_ms = *spread,
                            .elsewhere = elsewhere};
  return Napi::Boolean::New(info.Env(), host_->command(*peer, command));
}

Napi::Value NativeEndpoint::set_paused(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto peer = read_handle(info[0], info[1]);
  const auto channel = peer ? read_integer(info[2], "channel", 0, UINT32_MAX) : std::nullopt;
  if (!channel) return env.Undefined();
  if (!is_open()) return Napi::Boolean::New(env, false);
  begin_call();
  const bool paused = info[3].ToBoolean().Value();
  bool done = false;
  host_->call(
      [&](Endpoint& endpoint, Instant now) { done = endpoint.set_paused(*peer, *channel, paused, now); });
  return Napi::Boolean::New(env, done);
}

Napi::Value NativeEndpoint::complete_consumption(const Napi::CallbackInfo& info) {
  const auto peer = read_handle(info[0], info[1]);
  const auto verdict =
      peer ? read_integer(info[2], "verdict", 0, static_cast<std::uint32_t>(ConsumeVerdict::kHistoryFull))
           : std::nullopt;
  if (!verdict || !is_open()) return info.Env().Undefined();
  begin_call();
  host_->command(*peer, {.kind = PeerCommand::Kind::kCompleteConsumption, .number = *verdict});
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::update_keys(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto peer = read_handle(info[0], info[1]);
  if (!peer) return env.Undefined();
  std::optional<InjectedSecret> secret;
  if (!info[2].IsNull()) {
    auto key = read_exactly<32>(info[2], "secret");
    if (!key) return env.Undefined();
    secret = InjectedSecret{default_secret_id(*key), Key(*key)};
    wipe(*key);
    if (!info[3].IsNull()) {
      const auto id = read_exactly<16>(info[3], "secretId");
      if (!id) return env.Undefined();
      secret->id = *id;
    }
  }
  auto start = KeyUpdateStart::kNotConnected;
  if (is_open()) {
    begin_call();
    host_->call([&](Endpoint& endpoint, Instant now) {
      start = endpoint.update_keys(*peer, secret ? &*secret : nullptr, now);
    });
  }
  return Napi::Number::New(env, static_cast<double>(start));
}

Napi::Value NativeEndpoint::provide_secret(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto peer = read_handle(info[0], info[1]);
  const auto id = peer ? read_exactly<16>(info[2], "secretId") : std::nullopt;
  if (!id) return env.Undefined();
  std::optional<Key> secret;
  if (!info[3].IsNull()) {
    auto key = read_exactly<32>(info[3], "secret");
    if (!key) return env.Undefined();
    secret.emplace(*key);
    wipe(*key);
  }
  if (!is_open()) return env.Undefined();
  begin_call();
  host_->call(
      [&](Endpoint& endpoint, Instant now) { endpoint.provide_secret(*peer, *id, std::move(secret), now); });
  return env.Undefined();
}

std::optional<PeerStatus> NativeEndpoint::status_of(Handle peer) const {
  return is_open() ? host_->status(peer) : std::nullopt;
}

Napi::Value NativeEndpoint::status(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto peer = read_handle(info[0], info[1]);
  if (!peer) return env.Undefined();
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array) {
    throw_type_error(env, "out must be a Float64Array");
    return env.Undefined();
  }
  auto out = info[2].As<Napi::Float64Array>();
  const std::optional<PeerStatus> found = status_of(*peer);
  if (!found) return Napi::Boolean::New(env, false);
  const std::array<double, kPeerFigures> figures = figure_numbers(*found);
  std::copy_n(figures.begin(), std::min(figures.size(), out.ElementLength()), out.Data());
  return Napi::Boolean::New(env, true);
}

Napi::Value NativeEndpoint::figures(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto handles = read_words(info[0], "handles");
  const auto index = handles ? read_integer(info[1], "figure", 0, kPeerFigures - 1) : std::nullopt;
  if (!index) return env.Undefined();
  if (!info[2].IsTypedArray() || info[2].As<Napi::TypedArray>().TypedArrayType() != napi_float64_array ||
      info[2].As<Napi::Float64Array>().ElementLength() < handles->size() / 2) {
    throw_type_error(env, "out must be a Float64Array with a cell for each peer");
    return env.Undefined();
  }
  double* const out = info[2].As<Napi::Float64Array>().Data();
  const Instant now = is_open() ? host_->driver().now() : Instant();
  for (std::size_t i = 0; i < handles->size() / 2; ++i) {
    const Handle peer{(*handles)[2 * i], (*handles)[2 * i + 1]};
    const auto found = is_open() ? host_->status(peer, now) : std::nullopt;
    out[i] = found && found->connected ? figure_numbers(*found)[*index] : 0;
  }
  return env.Undefined();
}

Napi::Value NativeEndpoint::remote_address(const Napi::CallbackInfo& info) {
  const auto peer = read_handle(info[0], info[1]);
  if (!peer) return info.Env().Undefined();
  const std::optional<PeerStatus> found = status_of(*peer);
  return found ? address_value(info.Env(), found->remote) : info.Env().Null();
}

Napi::Value NativeEndpoint::export_key(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  const auto peer = read_handle(info[0], info[1]);
  const auto label = peer ? read_string(info[2], "label") : std::nullopt;
  if (!label) return env.Undefined();
  std::optional<Key> key;
  if (is_open()) {
    host_->call([&](Endpoint& endpoint, Instant /*now*/) { key = endpoint.export_key(*peer, *label); });
  }
  return key ? bytes_value(env, key->bytes()) : env.Null();
}

Napi::Value NativeEndpoint::set_keys(const Napi::CallbackInfo& info) {
  auto keys = parse_server_keys(info[0]);
  if (keys && is_open() && host_->gateway() != nullptr) host_->gateway()->set_keys(*std::move(keys));
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::set_limits(const Napi::CallbackInfo& info) {
  const auto peers = read_integer(info[0], "maxPeers", 1, UINT32_MAX);
  const auto packets = peers ? read_integer(info[1], "maxPacketsPerSecondPerPeer", 0, UINT32_MAX) : peers;
  const auto bytes = packets ? read_integer(info[2], "maxBytesPerSecondPerPeer", 0, UINT32_MAX) : packets;
  GatewayState* const gateway = is_open() ? host_->gateway() : nullptr;
  if (!bytes || gateway == nullptr) return info.Env().Undefined();
  gateway->set_max_peers(std::min(*peers, gateway->options().max_peers));
  host_->call([&](Endpoint& endpoint, Instant now) { endpoint.set_ceilings(*packets, *bytes, now); });
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::start_draining(const Napi::CallbackInfo& info) {
  if (is_open() && host_->gateway() != nullptr) host_->gateway()->start_draining();
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::stop(const Napi::CallbackInfo& info) {
  const auto code = read_integer(info[0], "code", 0, UINT32_MAX);
  const auto reason = code ? read_string(info[1], "reason") : std::nullopt;
  const auto spread = reason ? read_integer(info[2], "reconnectSpreadMs", 0, UINT32_MAX) : std::nullopt;
  if (!spread || !is_open()) return info.Env().Undefined();
  begin_call();
  host_->call_in_order([&](Endpoint& endpoint, Instant now) {
    endpoint.stop(*code, *reason, now, std::chrono::milliseconds(*spread));
  });
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::close(const Napi::CallbackInfo& info) {
  if (host_) host_->close();
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::memory_bytes(const Napi::CallbackInfo& info) {
  double bytes = is_open() ? static_cast<double>(host_->memory_bytes()) : 0;
  // What the shards share counts once, with the first of them.
  if (is_open() && host_->gateway() != nullptr && host_->shard() == 0)
    bytes += static_cast<double>(host_->gateway()->memory_bytes());
  return Napi::Number::New(info.Env(), bytes);
}

Napi::Value NativeEndpoint::ref(const Napi::CallbackInfo& info) {
  if (is_open()) host_->driver().keep_loop_alive(true);
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::unref(const Napi::CallbackInfo& info) {
  if (is_open()) host_->driver().keep_loop_alive(false);
  return info.Env().Undefined();
}

Napi::Value NativeEndpoint::now_micros(const Napi::CallbackInfo& info) {
  const Duration since_origin = is_open() ? host_->driver().now().time_since_epoch() : Duration::zero();
  return Napi::Number::New(info.Env(), static_cast<double>(since_origin.count()));
}

}  // namespace hawser::binding
