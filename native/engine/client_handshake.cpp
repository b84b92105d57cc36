// The client's side of the handshake (docs/protocol.md section 7).
#include <algorithm>
#include <utility>

#include "engine/endpoint.hpp"
#include "wire/session_packet.hpp"

namespace hawser {

namespace {

constexpr Duration kSendInterval = std::chrono::milliseconds(100);
// Around kSendInterval, so that clients which lost the same server do not return in step.
constexpr std::uint32_t kSendJitterMicros = 10'000;
constexpr Duration kNextAddress = std::chrono::milliseconds(300);
constexpr Duration kMinAttempt = std::chrono::seconds(1);
constexpr Duration kMaxAttempt = std::chrono::seconds(5);
// A token that lives longer than this does not expire while somebody connects.
constexpr std::chrono::hours kMaxJudgedLifetime{24 * 365};

Duration jittered_interval(RandomSource& random) {
  return kSendInterval + Duration(random.below(2 * kSendJitterMicros + 1)) - Duration(kSendJitterMicros);
}

bool all_denied(const ClientAttempt& attempt) {
  const auto asked = std::span(attempt.awaited).first(attempt.token.addresses.count);
  return std::all_of(asked.begin(), asked.end(),
                     [](const AwaitedAddress& awaited) { return awaited.denied; });
}

}  // namespace

std::optional<ClientState> Endpoint::client_state(PeerPhase phase) {
  switch (phase) {
    case PeerPhase::kRequesting:
      return ClientState::kRequesting;
    case PeerPhase::kResponding:
      return ClientState::kResponding;
    case PeerPhase::kConfirming:
      return ClientState::kConfirming;
    case PeerPhase::kConnected:
      return ClientState::kConnected;
    case PeerPhase::kDisconnecting:
      return ClientState::kDisconnecting;
    default:
      return std::nullopt;
  }
}

std::uint32_t Endpoint::denied_reason_of(std::uint32_t disconnect_code) {
  switch (static_cast<DisconnectCode>(disconnect_code)) {
    case DisconnectCode::kServerFull:
      return static_cast<std::uint32_t>(DeniedReason::kServerFull);
    case DisconnectCode::kTokenUsed:
      return static_cast<std::uint32_t>(DeniedReason::kTokenUsed);
    case DisconnectCode::kClientIdConnected:
      return static_cast<std::uint32_t>(DeniedReason::kClientIdConnected);
    case DisconnectCode::kShuttingDown:
      return static_cast<std::uint32_t>(DeniedReason::kShuttingDown);
    case DisconnectCode::kHistoryUnavailable:
      return static_cast<std::uint32_t>(DeniedReason::kHistoryUnavailable);
    default:
      return 0;
  }
}

Result<Handle, ConnectResult> Endpoint::connect(const ConnectOptions& options, Instant now) {
  if (options_.mode != Mode::kClient || stopping_) return Failure{ConnectResult::kAborted};
  if (netcode::is_token(options.token)) return connect_netcode(options, now);
  Result<PublicToken, TokenError> token = decode_public_token(options.token);
  if (!token || token->clear.protocol_id != options.protocol_id) return Failure{ConnectResult::kTokenInvalid};
  Peer* peer = peers_.create();
  if (peer == nullptr) return Failure{ConnectResult::kAborted};
  peer->attempt = std::make_unique<ClientAttempt>();
  ClientAttempt& attempt = *peer->attempt;
  attempt.token = std::move(*token);
  attempt.token_id = token_id(attempt.token.sealed_private);
  attempt.keys = HandshakeKeys::from(attempt.token.client_to_server, attempt.token.server_to_client);
  attempt.overall_deadline = now + options.timeout;
  // The token was made before now: when its lifetime has passed from now on it has expired, whatever any
  // clock says.
  const auto lifetime = attempt.token.clear.expire - attempt.token.clear.create;
  attempt.token_deadline = lifetime < kMaxJudgedLifetime ? now + lifetime : kNever;
  peer->local = options.local;
  peer->token_created = attempt.token.clear.create;
  peer->token_expires = attempt.token.clear.expire;
  peer->timeout = attempt.token.timeout;
  peer->single_use = attempt.token.clear.single_use();
  start_attempt(*peer, now);
  return peers_.handle_of(*peer);
}

Result<Handle, ConnectResult> Endpoint::connect_netcode(const ConnectOptions& options, Instant now) {
  Result<netcode::PublicToken, netcode::TokenError> token = netcode::decode_public_token(options.token);
  if (!token || token->protocol_id != options.protocol_id) return Failure{ConnectResult::kTokenInvalid};
  return netcode_client(now).connect(std::move(*token), options.local, options.timeout, now);
}

void Endpoint::abort(Handle handle, Instant now) {
  if (is_netcode(handle)) return netcode_client_->abort(handle, now);
  Peer* peer = find(handle);
  if (peer == nullptr || !peer->attempt) return;
  // Told by the timer.
  peer->attempt->aborted = true;
  unlist(*peer);
  wheel_.arm(*peer, now);
}

void Endpoint::start_attempt(Peer& peer, Instant now) {
  ClientAttempt& attempt = *peer.attempt;
  unlist(peer);
  for (const IssuedId& issued : std::span(peer.issued).first(peer.issued_count)) by_id_.erase(issued.id);
  peer.issued_count = 0;
  peer.next_issued_sequence = 0;
  for (const ReceivedId& received : std::span(peer.received).first(peer.received_count))
    forget_reset_token(peer, received.id);
  peer.received_count = 0;
  attempt.share = KeyPair::generate(random_);
  encode_request(attempt.request, attempt.token, attempt.share.share);
  attempt.joined = 0;
  attempt.attempt_deadline = kNever;
  attempt.next_send = now + jittered_interval(random_);
  set_phase(peer, PeerPhase::kRequesting);
  join_address(peer, now);
  schedule(peer);
}

void Endpoint::restart_attempt(Peer& peer, Instant now) {
  peer.open_packet.reset();
  peer.ack_pending = peer.pong_pending = peer.ping_due = false;
  peer.path_response_count = 0;
  peer.control.clear(control_pool_);
  peer.attempt->first_address = (peer.attempt->first_address + 1) % peer.attempt->token.addresses.count;
  start_attempt(peer, now);
}

// The next address of the token, cyclically from the attempt's first, takes part; struck out ones are passed
// over.
void Endpoint::join_address(Peer& peer, Instant now) {
  ClientAttempt& attempt = *peer.attempt;
  const auto addresses = attempt.token.addresses.view();
  attempt.next_join = now + kNextAddress;
  while (attempt.joined < addresses.size()) {
    const std::size_t index = (attempt.first_address + attempt.joined++) % addresses.size();
    AwaitedAddress& awaited = attempt.awaited[index];
    if (awaited.denied) continue;
    awaited.peer = &peer;
    awaited.remote = addresses[index];
    awaited.asked = now;
    const auto [head, inserted] = awaiting_.insert(AddressPair::of(awaited.remote, peer.local), &awaited);
    if (head == nullptr) return;
    awaited.previous = nullptr;
    awaited.next = inserted ? nullptr : *head;
    if (awaited.next != nullptr) awaited.next->previous = &awaited;
    *head = &awaited;
    awaited.listed = true;
    send_copy(peer, attempt.request, awaited.remote);
    return;
  }
}

void Endpoint::unlist(AwaitedAddress& awaited) {
  if (!awaited.listed) return;
  awaited.listed = false;
  if (awaited.next != nullptr) awaited.next->previous = awaited.previous;
  if (awaited.previous != nullptr) {
    awaited.previous->next = awaited.next;
    return;
  }
  const AddressPair path = AddressPair::of(awaited.remote, awaited.peer->local);
  if (awaited.next != nullptr) {
    *awaiting_.find(path) = awaited.next;
  } else {
    awaiting_.erase(path);
  }
}

void Endpoint::unlist(Peer& peer) {
  if (!peer.attempt) return;
  for (AwaitedAddress& awaited : peer.attempt->awaited) unlist(awaited);
}

void Endpoint::send_copy(const Peer& peer, Bytes datagram, const SocketAddress& remote) {
  Buffer buffer = buffers_.acquire();
  if (!buffer) return counters_.add(Counter::dropOutputFull);
  std::copy(datagram.begin(), datagram.end(), buffer.storage().begin());
  buffer.size = datagram.size();
  send_datagram(std::move(buffer), remote, peer.local);
}

Instant Endpoint::client_deadline(const ClientAttempt& attempt, PeerPhase phase) {
  const Instant limit = std::min(
      {attempt.overall_deadline, attempt.token_deadline, attempt.attempt_deadline, attempt.next_send});
  const bool more = phase == PeerPhase::kRequesting && attempt.joined < attempt.token.addresses.count;
  return more ? std::min(limit, attempt.next_join) : limit;
}

void Endpoint::on_client_timer(Peer& peer, Instant now) {
  ClientAttempt& attempt = *peer.attempt;
  if (attempt.aborted) return connect_failed(peer, ConnectResult::kAborted, 0);
  if (now >= attempt.token_deadline) return connect_failed(peer, ConnectResult::kTokenExpired, 0);
  if (now >= attempt.overall_deadline) {
    return connect_failed(peer,
                          attempt.denied_reason != 0 ? ConnectResult::kDenied : ConnectResult::kTimedOut,
                          attempt.denied_reason);
  }
  if (now >= attempt.attempt_deadline) {
    if (events_.has_room()) return restart_attempt(peer, now);
    // Meanwhile no answer is heard: it is not the server that keeps silent.
    attempt.attempt_deadline = now + kMinAttempt;
  }
  if (peer.phase == PeerPhase::kRequesting && now >= attempt.next_join) join_address(peer, now);
  if (now >= attempt.next_send) {
    attempt.next_send = now + jittered_interval(random_);
    switch (peer.phase) {
      case PeerPhase::kRequesting:
        for (const AwaitedAddress& awaited : attempt.awaited) {
          if (awaited.listed) send_copy(peer, attempt.request, awaited.remote);
        }
        break;
      case PeerPhase::kResponding:
        send_copy(peer, attempt.response, peer.remote);
        break;
      default:
        peer.ping_due = true;
        mark_dirty(peer);
        break;
    }
  }
  schedule(peer);
}

void Endpoint::receive_for_client(const ReceivedDatagram& datagram, DatagramKind kind, Instant now) {
  // Each step of an attempt is told. Its answers come again.
  if (!events_.has_room()) return counters_.add(Counter::dropEventQueueFull);
  // Attempts from an address of their own are listed under it, others under the remote alone.
  bool asked = false;
  for (const SocketAddress& local : {datagram.local, SocketAddress()}) {
    AwaitedAddress** head = awaiting_.find(AddressPair::of(datagram.remote, local));
    AwaitedAddress* next = head != nullptr ? *head : nullptr;
    while (next != nullptr) {
      AwaitedAddress& awaited = *next;
      next = awaited.next;
      asked = true;
      switch (kind) {
        case DatagramKind::kChallenge:
          if (receive_challenge(awaited, datagram, now)) return;
          break;
        case DatagramKind::kAccept:
          if (receive_accept(*awaited.peer, datagram, now)) return;
          break;
        default:
          if (receive_denied(awaited, datagram, now)) return;
          break;
      }
    }
    if (local.family == SocketAddress::Family::kNone) break;
  }
  counters_.add(asked ? Counter::dropAuthentication : Counter::dropUnexpected);
}

bool Endpoint::receive_challenge(AwaitedAddress& from, const ReceivedDatagram& datagram, Instant now) {
  Peer& peer = *from.peer;
  ClientAttempt& attempt = *peer.attempt;
  if (peer.phase != PeerPhase::kRequesting) return false;
  ChallengeBody body;
  if (!open_challenge(datagram.bytes, attempt.keys.challenge, attempt.token_id, attempt.share.share, body))
    return false;
  const IssuedId* own = issue_id(peer);
  if (own == nullptr) return true;
  // The first CHALLENGE wins: the other addresses are not heard any more.
  for (AwaitedAddress& awaited : attempt.awaited) {
    if (&awaited != &from) unlist(awaited);
  }
  peer.remote = from.remote;
  // An attempt that fails from here on has failed at this address: the next begins with the one behind it.
  attempt.first_address = static_cast<std::size_t>(&from - attempt.awaited.data());
  attempt.challenge = body.plaintext;
  Nonce nonce{};
  random_.fill(nonce);
  encode_response(attempt.response, attempt.request, body.cookie(), attempt.keys.response, nonce,
                  ResponseBody{.features = kOfferedFeatures,
                               .connection_id = own->id,
                               .max_datagram = options_.max_datagram,
                               .credit = options_.credit,
                               .channel_credit = options_.channel_credit,
                               .channels = channels_digest_});
  attempt.response_hash = response_hash(attempt.response);
  attempt.attempt_deadline = now + std::clamp(3 * (now - from.asked), kMinAttempt, kMaxAttempt);
  attempt.next_send = now + jittered_interval(random_);
  set_phase(peer, PeerPhase::kResponding);
  send_copy(peer, attempt.response, peer.remote);
  schedule(peer);
  return true;
}

bool Endpoint::receive_accept(Peer& peer, const ReceivedDatagram& datagram, Instant now) {
  ClientAttempt& attempt = *peer.attempt;
  if (peer.phase != PeerPhase::kResponding) return false;
  AcceptBody body;
  if (!open_accept(datagram.bytes, attempt.keys.accept, attempt.response_hash, body)) return false;
  Secret<32> shared;
  const ShareView server_share = std::span(attempt.challenge).last<kShareSize>();
  // What was not offered cannot be accepted, and without the feature there are the default channels only.
  const bool same_channels = (body.features & kFeatureChannels) != 0 || declares_same_channels({});
  if ((body.features & ~kOfferedFeatures) != 0 || !same_channels ||
      !x25519(shared, attempt.share.secret, server_share)) {
    restart_attempt(peer, now);
    return true;
  }
  start_session(peer,
                session_prk(attempt.token.client_to_server, attempt.token.server_to_client, shared,
                            body.random, transcript(attempt.response, attempt.challenge, datagram.bytes)),
                now);
  use_features(peer, body.features, body.max_datagram);
  accept_id(peer, body.connection_id, body.reset_token);
  peer.features = body.features;
  peer.credit = body.credit;
  peer.channel_credit = body.channel_credit;
  attempt.next_send = now + jittered_interval(random_);
  set_phase(peer, PeerPhase::kConfirming);
  unlist(peer);
  peer.ping_due = true;
  peer.next_ping = now;
  mark_dirty(peer);
  schedule(peer);
  return true;
}

bool Endpoint::receive_denied(AwaitedAddress& from, const ReceivedDatagram& datagram, Instant now) {
  Peer& peer = *from.peer;
  ClientAttempt& attempt = *peer.attempt;
  const auto reason = open_denied(datagram.bytes, attempt.keys.denied, attempt.token_id, attempt.share.share);
  if (!reason) return false;
  attempt.denied_reason = *reason;
  from.denied = true;
  unlist(from);
  if (all_denied(attempt)) {
    connect_failed(peer, ConnectResult::kDenied, *reason);
  } else if (peer.phase == PeerPhase::kResponding) {
    restart_attempt(peer, now);
  } else {
    join_address(peer, now);
    schedule(peer);
  }
  return true;
}

// A server refuses with DISCONNECT at the end of the handshake: as DENIED, for its address. Whether it was
// the last one, and the user has been told.
bool Endpoint::refused(Peer& peer, std::uint32_t reason, Instant now) {
  ClientAttempt& attempt = *peer.attempt;
  attempt.denied_reason = reason;
  attempt.awaited[attempt.first_address].denied = true;
  if (!all_denied(attempt)) {
    restart_attempt(peer, now);
    return false;
  }
  announce_connect_failed(peer, ConnectResult::kDenied, reason);
  unlist(peer);
  return true;
}

void Endpoint::client_confirmed(Peer& peer, Instant now) {
  peer.attempt.reset();
  become_connected(peer, {}, now);
}

void Endpoint::announce_connect_failed(Peer& peer, ConnectResult result, std::uint32_t reason) {
  std::array<std::byte, 4> bytes{};
  store_little_endian(bytes.data(), reason);
  put_event(peer, EventKind::kConnectFailed, static_cast<std::uint32_t>(result), bytes);
}

void Endpoint::connect_failed(Peer& peer, ConnectResult result, std::uint32_t reason) {
  announce_connect_failed(peer, result, reason);
  destroy(peer);
}

// ---- ids of the other side, and what makes a RESET believable

void Endpoint::accept_id(Peer& peer, const ConnectionId& id, const ResetToken& token) {
  peer.remote_id = id;
  peer.received[0] = ReceivedId{0, id};
  peer.received_count = 1;
  peer.received_sequences = IdSequences();
  peer.received_sequences.insert(0);
  learn_reset_token(peer, id, token);
}

void Endpoint::learn_reset_token(Peer& peer, const ConnectionId& id, const ResetToken& token) {
  // Servers honour no RESET. Two servers may choose the same id: the first stays, the other cannot be reset.
  if (options_.mode == Mode::kClient)
    reset_tokens_.insert(id, KnownResetToken{peers_.handle_of(peer), token});
}

void Endpoint::forget_reset_token(Peer& peer, const ConnectionId& id) {
  const KnownResetToken* known = reset_tokens_.find(id);
  if (known != nullptr && known->peer == peers_.handle_of(peer)) reset_tokens_.erase(id);
}

void Endpoint::receive_reset(const ReceivedDatagram& datagram, Instant now) {
  const std::optional<ResetView> reset = parse_reset(datagram.bytes);
  if (!reset) return counters_.add(Counter::dropLength);
  const KnownResetToken* known = reset_tokens_.find(reset->connection_id);
  Peer* peer = known != nullptr ? find(known->peer) : nullptr;
  if (peer == nullptr || peer->remote != datagram.remote || !constant_time_equal(known->token, reset->token))
    return counters_.add(Counter::dropResetInvalid);
  counters_.add(Counter::resetsReceived);
  switch (peer->phase) {
    case PeerPhase::kConfirming:
      return restart_attempt(*peer, now);
    case PeerPhase::kConnected:
      announce(*peer, DisconnectResult::kReset, {});
      forget_connected(*peer);
      return destroy(*peer);
    default:
      // It was ending anyway, and nobody is left to acknowledge.
      return destroy(*peer);
  }
}

}  // namespace hawser
