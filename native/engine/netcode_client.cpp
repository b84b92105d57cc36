#include "engine/netcode_client.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "wire/handshake_packets.hpp"

namespace hawser::netcode {

namespace {

// A token that lives longer than this does not expire while somebody connects.
constexpr std::uint64_t kMaxJudgedSeconds = std::uint64_t{365} * 24 * 3600;

Instant after(Instant now, Duration duration) {
  return duration == Duration::zero() ? kNever : now + duration;
}

ClientState client_state(State state) {
  switch (state) {
    case State::kSendingRequest:
      return ClientState::kRequesting;
    case State::kSendingResponse:
      return ClientState::kResponding;
    case State::kConnected:
      return ClientState::kConnected;
    default:
      return ClientState::kDisconnected;
  }
}

}  // namespace

Client::Client(const SessionOptions& options, const Surroundings& surroundings, const SipKey& key,
               Instant now)
    : Sessions(options, surroundings, now), by_addresses_(key, options.max_sessions) {}

Client::~Client() {
  peers_.for_each([this](Peer& peer) { destroy(peer); });
}

std::size_t Client::memory_bytes() const {
  return Sessions::memory_bytes() + by_addresses_.allocated_bytes();
}

Result<Handle, ConnectResult> Client::connect(PublicToken&& token, const SocketAddress& local,
                                              Duration timeout, Instant now) {
  Peer* const peer = create(token.protocol_id);
  if (peer == nullptr) return Failure{ConnectResult::kAborted};
  peer->local = local;
  peer->timeout =
      token.timeout_seconds > 0 ? Duration(std::chrono::seconds(token.timeout_seconds)) : Duration::zero();
  peer->receive_key = PacketKey::of(token.server_to_client);
  peer->send_key = PacketKey::of(token.client_to_server);
  peer->attempt = std::make_unique<Attempt>();
  Attempt& attempt = *peer->attempt;
  attempt.overall_deadline = after(now, timeout);
  // The token was made before now: when its lifetime has passed from now on it has expired, whatever any
  // clock says.
  const std::uint64_t lifetime = token.expire - token.create;
  if (lifetime < kMaxJudgedSeconds)
    attempt.token_deadline = now + std::chrono::seconds(static_cast<std::int64_t>(lifetime));
  attempt.token = std::move(token);
  peer->phase = Phase::kSendingRequest;
  if (try_servers(*peer, 0, now)) return handle_of(*peer);
  destroy(*peer);
  return Failure{ConnectResult::kAddressInUse};
}

void Client::abort(Handle handle, Instant now) {
  Peer* const peer = find(handle);
  if (peer != nullptr && peer->attempt) stop_attempt(*peer, now);
}

// Told by the timer.
void Client::stop_attempt(Peer& peer, Instant now) {
  peer.attempt->aborted = true;
  peer.last_receive = now;
  schedule(peer);
}

// ---- from server to server

// Begins anew with a server of the token, from `first` on; false when there is none that this socket has no
// session with.
bool Client::try_servers(Peer& peer, std::size_t first, Instant now) {
  forget(peer);
  Attempt& attempt = *peer.attempt;
  const auto servers = attempt.token.addresses.view();
  for (std::size_t index = first; index < servers.size(); ++index) {
    const SocketAddress server = servers[index].normalised();
    if (!by_addresses_.insert(AddressPair::of(server, peer.local), &peer).second) continue;
    attempt.address = index;
    peer.remote = server;
    // Another server counts its packets from zero again.
    peer.window = ReplayWindow();
    enter(peer, Phase::kSendingRequest, now);
    return true;
  }
  peer.remote = SocketAddress();
  return false;
}

void Client::enter(Peer& peer, Phase phase, Instant now) {
  peer.phase = phase;
  peer.last_receive = now;
  entered(peer, phase == Phase::kSendingRequest ? State::kSendingRequest : State::kSendingResponse);
  send_again(peer, now);
  schedule(peer);
}

void Client::send_again(Peer& peer, Instant now) {
  const Attempt& attempt = *peer.attempt;
  peer.last_send = now;
  if (peer.phase == Phase::kSendingRequest) {
    std::array<std::byte, kRequestSize> request{};
    encode_request(request, attempt.token);
    if (!transmit(request, peer.remote, peer.local)) counters_.add(Counter::dropOutputFull);
    return;
  }
  std::array<std::byte, kChallengeBodySize> body{};
  encode_challenge(body, attempt.challenge);
  if (!send_packet(peer, PacketType::kResponse, body, now)) counters_.add(Counter::dropOutputFull);
}

void Client::next_server(Peer& peer, ConnectResult result, State state, Instant now) {
  if (!try_servers(peer, peer.attempt->address + 1, now)) fail(peer, result, state);
}

void Client::fail(Peer& peer, ConnectResult result, State state) {
  entered(peer, state);
  std::array<std::byte, 4> reason{};
  // The standard has one reason to deny.
  if (result == ConnectResult::kDenied)
    store_little_endian(reason.data(), static_cast<std::uint32_t>(DeniedReason::kServerFull));
  put_event(EventKind::kConnectFailed, peer, static_cast<std::uint32_t>(result), reason);
  destroy(peer);
}

void Client::entered(const Peer& peer, State state) {
  std::array<std::byte, 4> number{};
  store_little_endian(number.data(), static_cast<std::uint32_t>(static_cast<std::int32_t>(state)));
  put_event(EventKind::kState, peer, static_cast<std::uint32_t>(client_state(state)), number);
}

// ---- receiving

// Sessions with an address of their own are listed under it, others under the server's alone.
Peer* Client::addressee(const ReceivedDatagram& datagram) {
  Peer** found = by_addresses_.find(AddressPair::of(datagram.remote, datagram.local));
  if (found == nullptr) found = by_addresses_.find(AddressPair::of(datagram.remote, SocketAddress()));
  return found != nullptr ? *found : nullptr;
}

void Client::receive(const ReceivedDatagram& datagram, Instant now) {
  const std::optional<PacketHeader> header = read_header(datagram, kTypesToClient);
  if (!header) return;
  Peer* const peer = addressee(datagram);
  if (peer == nullptr || (peer->attempt && peer->attempt->aborted))
    return counters_.add(Counter::dropUnexpected);
  // Each step of an attempt is told. Its answers come again.
  if (peer->phase != Phase::kConnected && peer->phase != Phase::kEnding && !events_.has_room())
    return counters_.add(Counter::dropEventQueueFull);
  const std::optional<Bytes> body = open(*peer, datagram, *header, now);
  if (!body) return;
  if (peer->phase == Phase::kConnected) return process(*peer, header->type, *body);
  if (header->type == PacketType::kDenied)
    return next_server(*peer, ConnectResult::kDenied, State::kDenied, now);
  if (header->type == PacketType::kChallenge && peer->phase == Phase::kSendingRequest)
    return receive_challenge(*peer, *body, now);
  if (header->type == PacketType::kKeepAlive && peer->phase == Phase::kSendingResponse)
    return receive_first_keep_alive(*peer, *body, now);
  counters_.add(Counter::dropUnexpected);
}

void Client::receive_challenge(Peer& peer, Bytes body, Instant now) {
  peer.attempt->challenge = decode_challenge(body.first<kChallengeBodySize>());
  enter(peer, Phase::kSendingResponse, now);
}

void Client::receive_first_keep_alive(Peer& peer, Bytes body, Instant now) {
  const KeepAliveBody slot = decode_keep_alive(body.first<kKeepAliveBodySize>());
  peer.client_index = slot.client_index;
  peer.max_clients = slot.max_clients;
  peer.confirmed = true;
  const std::unique_ptr<Attempt> attempt = std::move(peer.attempt);
  Sessions::connect(peer, attempt->token.create, attempt->token.expire, {}, now);
}

KeepAliveBody Client::keep_alive(const Peer& /*peer*/) const { return {}; }

// ---- timers and the end

Instant Client::deadline_of(const Peer& peer) const {
  const Attempt& attempt = *peer.attempt;
  if (attempt.aborted) return Instant();
  const Instant silence = peer.timeout == Duration::zero() ? kNever : peer.last_receive + peer.timeout;
  return std::min(
      {silence, attempt.overall_deadline, attempt.token_deadline, peer.last_send + kSendInterval});
}

bool Client::on_timer(Peer& peer, Instant now) {
  const Attempt& attempt = *peer.attempt;
  const State timed_out =
      peer.phase == Phase::kSendingRequest ? State::kRequestTimedOut : State::kResponseTimedOut;
  if (attempt.aborted) {
    // The server may take it for connected already.
    for (int i = 0; i < kDisconnects && peer.phase == Phase::kSendingResponse; ++i)
      static_cast<void>(send_packet(peer, PacketType::kDisconnect, {}, now));
    fail(peer, ConnectResult::kAborted, State::kDisconnected);
    return false;
  }
  if (now >= attempt.token_deadline) {
    fail(peer, ConnectResult::kTokenExpired, State::kTokenExpired);
    return false;
  }
  if (now >= attempt.overall_deadline) {
    fail(peer, ConnectResult::kTimedOut, timed_out);
    return false;
  }
  if (peer.timeout != Duration::zero() && now >= peer.last_receive + peer.timeout) {
    // It schedules what it begins.
    next_server(peer, ConnectResult::kTimedOut, timed_out, now);
    return false;
  }
  if (now >= peer.last_send + kSendInterval) send_again(peer, now);
  return true;
}

void Client::forget(Peer& peer) {
  if (peer.remote.family != SocketAddress::Family::kNone)
    by_addresses_.erase(AddressPair::of(peer.remote, peer.local));
}

}  // namespace hawser::netcode
