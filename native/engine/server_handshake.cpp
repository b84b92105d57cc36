// The gateway's side of the handshake (docs/protocol.md section 7).
#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/endpoint.hpp"
#include "wire/session_packet.hpp"

namespace hawser {

namespace {

// Until the budget has something again.
constexpr Duration kBudgetPatience = std::chrono::milliseconds(1);
constexpr Duration kCookieLifetime = std::chrono::seconds(5);
// Much more than the clocks of two shards differ by: each reads the same one at the start of its turn.
constexpr Duration kCookieLead = std::chrono::seconds(1);
constexpr Duration kHalfOpenLifetime = std::chrono::seconds(5);
// A client that loses every ACCEPT begins a new attempt each second. Of all shards together.
constexpr std::uint32_t kMaxHalfOpenPerClient = 8;

// Time of a cookie that is made now: whole milliseconds.
Instant cookie_instant(Instant now) { return std::chrono::floor<std::chrono::milliseconds>(now); }

// The 32 bits of it that a cookie carries.
std::uint32_t cookie_time(Instant now) {
  return static_cast<std::uint32_t>(
      std::chrono::floor<std::chrono::milliseconds>(now).time_since_epoch().count());
}

// The instant nearest to `now` whose cookies carry these 32 bits.
Instant expand_cookie_time(std::uint32_t time, Instant now) {
  const auto age = static_cast<std::int32_t>(cookie_time(now) - time);
  return cookie_instant(now) - std::chrono::milliseconds(age);
}

Nonce random_nonce(RandomSource& random) {
  Nonce nonce{};
  random.fill(nonce);
  return nonce;
}

// Why an attempt is refused; nothing if it has its place.
std::optional<DeniedReason> refusal_of(ReserveVerdict verdict) {
  switch (verdict) {
    case ReserveVerdict::kReserved:
    case ReserveVerdict::kReservedAndAsked:
      break;
    case ReserveVerdict::kRefused:
      return DeniedReason::kClientIdConnected;
    case ReserveVerdict::kFull:
      return DeniedReason::kServerFull;
  }
  return std::nullopt;
}

TagView tag_of(std::span<const std::byte, kSealedPrivateTokenSize> sealed_private) {
  return sealed_private.last<kTagSize>();
}

template <class View>
Result<TokenClear, HandshakeError> clear_part(const Result<View, HandshakeError>& view) {
  if (!view) return Failure{view.error()};
  return view->clear;
}

DisconnectCode code_of(DeniedReason reason) {
  switch (reason) {
    case DeniedReason::kServerFull:
      return DisconnectCode::kServerFull;
    case DeniedReason::kTokenUsed:
      return DisconnectCode::kTokenUsed;
    case DeniedReason::kClientIdConnected:
      return DisconnectCode::kClientIdConnected;
    case DeniedReason::kShuttingDown:
      return DisconnectCode::kShuttingDown;
    case DeniedReason::kHistoryUnavailable:
    // Found with RESPONSE, never after it.
    case DeniedReason::kChannelsMismatch:
    case DeniedReason::kTokenExpired:
    case DeniedReason::kTokenFuture:
    case DeniedReason::kTokenLifetime:
    case DeniedReason::kProtocolMismatch:
    case DeniedReason::kWrongAddress:
    case DeniedReason::kSingleUseRefused:
      break;
  }
  return DisconnectCode::kHistoryUnavailable;
}

}  // namespace

void Endpoint::receive_handshake(const ReceivedDatagram& datagram, DatagramKind kind, Instant now) {
  const bool request = kind == DatagramKind::kRequest;
  counters_.add(request ? Counter::requestsReceived : Counter::responsesReceived);
  // RESPONSE begins with the fields of REQUEST; both are judged by them before anything costs.
  const Result<TokenClear, HandshakeError> clear =
      request ? clear_part(parse_request(datagram.bytes)) : clear_part(parse_response(datagram.bytes));
  if (!clear)
    return counters_.add(clear.error() == HandshakeError::kVersion ? Counter::dropVersion
                                                                   : Counter::dropLength);
  if (!check_clear_token(*clear, now)) return;
  if (!request && !check_cookie(datagram, now)) return;
  HandshakeQueue& queue = request ? *handshakes_ : *responses_;
  if (queue.push(datagram)) counters_.add(Counter::dropHandshakeBudget);
}

// The record that a cookie names; null if the cookie is too old.
std::shared_ptr<const CookieRecord> Endpoint::cookie_record(const Cookie& cookie, Instant now) {
  // Another shard that made it may be a little ahead of this one in what time it is.
  const Duration age = cookie_instant(now) - expand_cookie_time(cookie.time, now);
  if (age > kCookieLifetime || age < -kCookieLead) return nullptr;
  return gateway_->record(cookie.index, now);
}

// A RESPONSE may wait for its turn only if its sender receives at its address, which the cookie proves: a
// flood from spoofed addresses takes no place in the queue and none of the time of RESPONSEs.
bool Endpoint::check_cookie(const ReceivedDatagram& datagram, Instant now) {
  const auto refuse = [&](Counter reason) {
    counters_.add(reason);
    return false;
  };
  const auto view = parse_response(datagram.bytes);
  if (!view) return false;
  const auto record = cookie_record(view->cookie, now);
  if (!record) return refuse(Counter::dropCookieExpired);
  if (!handshake_budget_.take(HandshakeWork::kCookie, HandshakeCosts::kCookieCheck, now))
    return refuse(Counter::dropHandshakeBudget);
  const CookieMac mac = cookie_mac(record->cookie_key, view->cookie.time, view->cookie.index, datagram.remote,
                                   tag_of(view->sealed_private), view->client_share, record->share.share);
  if (!constant_time_equal(mac, view->cookie.mac)) return refuse(Counter::dropCookieInvalid);
  if (failed_responses_.exhausted(view->cookie.mac, now)) return refuse(Counter::dropResponseInvalid);
  return true;
}

// The first rule of the clear part that a token breaks.
std::optional<Endpoint::TokenFault> Endpoint::clear_fault(const TokenClear& clear, Instant now) const {
  const GatewayOptions& options = gateway_->options();
  if (clear.protocol_id != options.protocol_id)
    return TokenFault{Counter::dropProtocol, DeniedReason::kProtocolMismatch};
  if (check_token_clear(clear) != TokenError::kNone ||
      clear.expire - clear.create > options.max_token_lifetime) {
    return TokenFault{Counter::dropTokenLifetime, DeniedReason::kTokenLifetime};
  }
  const WallTime wall = wall_clock_.at(now);
  if (clear.expire + options.clock_skew <= wall)
    return TokenFault{Counter::dropTokenExpired, DeniedReason::kTokenExpired};
  if (clear.create - options.clock_skew > wall)
    return TokenFault{Counter::dropTokenFuture, DeniedReason::kTokenFuture};
  return std::nullopt;
}

// A faulty token is opened, and refused with an answer, only as far as the refusal budget goes: old tokens,
// which many have seen, must not take the places of good ones.
bool Endpoint::check_clear_token(const TokenClear& clear, Instant now) {
  const auto refuse = [&](Counter reason) {
    counters_.add(reason);
    return false;
  };
  if ((clear.flags & ~kKnownTokenFlags) != 0) return refuse(Counter::dropTokenInvalid);
  const auto fault = clear_fault(clear, now);
  const bool known_key = gateway_->key(clear.key_id) != nullptr;
  if (fault && (!known_key || !refusal_budget_.take(1, now))) return refuse(fault->counter);
  return known_key || refuse(Counter::dropUnknownKey);
}

void Endpoint::serve_handshakes(Instant now) {
  handshakes_resume_ = Instant();
  ReceivedDatagram datagram;
  // Answers leave the second half of the output to the peers.
  while (writable()) {
    if (responses_->size() > 0 &&
        handshake_budget_.has(HandshakeWork::kResponse, HandshakeCosts::kMaxResponse, now)) {
      responses_->pop(datagram);
      serve_response(datagram, now);
    } else if (handshakes_->size() > 0 &&
               handshake_budget_.has(HandshakeWork::kRequest, HandshakeCosts::kMaxRequest, now)) {
      handshakes_->pop(datagram);
      if (std::to_integer<std::uint8_t>(datagram.bytes[0]) == kRequestByte) {
        serve_request(datagram, now);
      } else {
        charge(HandshakeWork::kRequest, netcode_server_->serve_request(datagram, now), now);
      }
    } else {
      break;
    }
  }
  if (handshakes_wait()) handshakes_resume_ = now + kBudgetPatience;
}

// Charges a step that has begun: has() said that the time is there.
void Endpoint::charge(HandshakeWork work, std::chrono::nanoseconds cost, Instant now) {
  const bool taken = handshake_budget_.take(work, cost, now);
  assert(taken);
  static_cast<void>(taken);
}

// The first rule that the opened token breaks, of those that need its private part.
std::optional<Endpoint::TokenFault> Endpoint::private_fault(const TokenClear& clear,
                                                            const PrivateToken& token) const {
  const auto addresses = token.addresses.view();
  if (std::none_of(addresses.begin(), addresses.end(),
                   [&](const SocketAddress& a) { return gateway_->is_advertised(a); })) {
    return TokenFault{Counter::dropWrongAddress, DeniedReason::kWrongAddress};
  }
  if (clear.single_use() && !gateway_->single_use_allowed(clear.create, addresses))
    return TokenFault{Counter::dropSingleUseRefused, DeniedReason::kSingleUseRefused};
  return std::nullopt;
}

// Opens the token and judges it. A token that opens and breaks a rule is answered with DENIED: only the
// holder of a token that was sealed with this gateway's key learns anything.
Endpoint::TokenOpening Endpoint::open_token(const ReceivedDatagram& datagram, const TokenCarrierView& view,
                                            HandshakeWork work, PrivateToken& token, Instant now) {
  const auto key = gateway_->key(view.clear.key_id);
  if (!key) {
    counters_.add(Counter::dropUnknownKey);
    return TokenOpening::kRefused;
  }
  auto fault = clear_fault(view.clear, now);
  if (open_private_token(view.sealed_private, *key, view.token_associated_data, view.clear.nonce, token) !=
      TokenError::kNone) {
    charge(work, HandshakeCosts::kTokenFailed, now);
    counters_.add(fault ? fault->counter : Counter::dropTokenInvalid);
    return TokenOpening::kFailed;
  }
  charge(work, HandshakeCosts::kTokenOpened, now);
  if (!fault) fault = private_fault(view.clear, token);
  if (!fault) return TokenOpening::kOpened;
  counters_.add(fault->counter);
  charge(work, HandshakeCosts::kAnswer, now);
  deny(datagram, view, token_id(view.sealed_private), token, fault->reason);
  return TokenOpening::kRefused;
}

std::optional<DeniedReason> Endpoint::refusal(const TokenClear& clear, const TokenId& id,
                                              const PrivateToken& token, Instant challenged, Instant now) {
  if (gateway_->draining()) return DeniedReason::kShuttingDown;
  if (clear.single_use() && gateway_->is_consumed(id, wall_clock_.at(now))) return DeniedReason::kTokenUsed;
  return refusal_of(gateway_->would_reserve(token.client_id, AttemptOrder{clear.create, challenged}));
}

void Endpoint::deny(const ReceivedDatagram& datagram, const TokenCarrierView& view, const TokenId& id,
                    const PrivateToken& token, DeniedReason reason) {
  counters_.add(Counter::handshakesRefused);
  Buffer buffer = buffers_.acquire();
  if (!buffer) return counters_.add(Counter::dropOutputFull);
  encode_denied(buffer.storage().first<kDeniedSize>(), denied_key(token.server_to_client),
                random_nonce(random_), id, view.client_share, reason);
  buffer.size = kDeniedSize;
  if (send_datagram(std::move(buffer), datagram.remote, datagram.local)) counters_.add(Counter::deniedSent);
}

void Endpoint::serve_request(const ReceivedDatagram& datagram, Instant now) {
  const auto view = parse_request(datagram.bytes);
  PrivateToken token;
  if (!view || open_token(datagram, *view, HandshakeWork::kRequest, token, now) != TokenOpening::kOpened)
    return;
  charge(HandshakeWork::kRequest, HandshakeCosts::kAnswer, now);
  const TokenId id = token_id(view->sealed_private);
  if (const auto reason = refusal(view->clear, id, token, cookie_instant(now), now))
    return deny(datagram, *view, id, token, *reason);

  const auto record = gateway_->current_record(now);
  next_erasure_ = std::min(next_erasure_, record->made + CookieRecords::kLifetime);
  const std::uint32_t time = cookie_time(now);
  const CookieMac mac = cookie_mac(record->cookie_key, time, record->index, datagram.remote,
                                   tag_of(view->sealed_private), view->client_share, record->share.share);
  const Cookie cookie = Cookie::make(time, record->index, mac);
  Buffer buffer = buffers_.acquire();
  if (!buffer) return counters_.add(Counter::dropOutputFull);
  encode_challenge(buffer.storage().first<kChallengeSize>(), challenge_key(token.server_to_client),
                   random_nonce(random_), id, view->client_share, cookie.raw, record->share.share);
  buffer.size = kChallengeSize;
  if (send_datagram(std::move(buffer), datagram.remote, datagram.local))
    counters_.add(Counter::challengesSent);
}

void Endpoint::serve_response(const ReceivedDatagram& datagram, Instant now) {
  const auto view = parse_response(datagram.bytes);
  if (!view) return;
  // It may have waited for long; its MAC was verified when it came.
  const auto record = cookie_record(view->cookie, now);
  if (!record) return counters_.add(Counter::dropCookieExpired);
  if (failed_responses_.exhausted(view->cookie.mac, now)) return counters_.add(Counter::dropResponseInvalid);

  charge(HandshakeWork::kResponse, HandshakeCosts::kResponseOpened, now);
  const Hash256 hash = response_hash(view->datagram);
  using Verdict = CookieUse::Verdict;
  const CookieUse known = gateway_->find_cookie(view->cookie.mac, hash, now);
  if (known.verdict == Verdict::kSameResponse) return repeat_accept(known.session);
  if (known.verdict == Verdict::kOther) return counters_.add(Counter::dropCookieConsumed);

  PrivateToken token;
  const TokenOpening opening = open_token(datagram, *view, HandshakeWork::kResponse, token, now);
  ResponseBody body;
  const bool failed = opening == TokenOpening::kFailed;
  if (failed || (opening == TokenOpening::kOpened &&
                 !open_response(*view, response_key(token.client_to_server), body))) {
    failed_responses_.add(view->cookie.mac, now);
    if (!failed) counters_.add(Counter::dropResponseInvalid);
    return;
  }
  if (opening != TokenOpening::kOpened) return;
  charge(HandshakeWork::kResponse, HandshakeCosts::kAnswer, now);
  const TokenId id = token_id(view->sealed_private);
  if (!declares_same_channels(body)) return deny(datagram, *view, id, token, DeniedReason::kChannelsMismatch);
  const Instant challenged = expand_cookie_time(view->cookie.time, now);
  if (const auto reason = refusal(view->clear, id, token, challenged, now))
    return deny(datagram, *view, id, token, *reason);
  Peer* peer = enter_half_open(token.client_id);
  if (peer == nullptr) return counters_.add(Counter::dropHalfOpenFull);
  peer->half_open->deadline = now + kHalfOpenLifetime;
  peer->half_open->order = AttemptOrder{view->clear.create, challenged, gateway_->next_attempt_number()};
  charge(HandshakeWork::kResponse, HandshakeCosts::kSession, now);
  if (!open_half(*peer, datagram, *view, id, token, body, *record, hash, now)) return destroy(*peer);
  schedule(*peer);
  send_accept(*peer);
}

// A client without the feature has the default channels, whatever its digest.
bool Endpoint::declares_same_channels(const ResponseBody& body) const {
  static const Hash128 defaults = digest_of(default_channels());
  return channels_digest_ == ((body.features & kFeatureChannels) != 0 ? body.channels : defaults);
}

// A place for a new session; null when all are taken, or too many by this client: the holder of one token
// must not be able to keep everybody else out.
Peer* Endpoint::enter_half_open(std::uint64_t client_id) {
  if (half_open_count_ >= options_.max_half_open) return nullptr;
  const std::uint32_t* others = half_open_by_client_.find(client_id);
  if (others != nullptr && *others >= std::max(1U, kMaxHalfOpenPerClient / options_.shards)) return nullptr;
  Peer* peer = peers_.create();
  if (peer == nullptr) return nullptr;
  ++half_open_count_;
  ++*half_open_by_client_.insert(client_id, 0).first;
  peer->phase = PeerPhase::kHalfOpen;
  peer->client_id = client_id;
  peer->half_open = std::make_unique<HalfOpen>();
  return peer;
}

void Endpoint::leave_half_open(const Peer& peer) {
  --half_open_count_;
  std::uint32_t* count = half_open_by_client_.find(peer.client_id);
  if (--*count == 0) half_open_by_client_.erase(peer.client_id);
}

// Consumes the cookie and derives the session; false when there is to be none.
bool Endpoint::open_half(Peer& peer, const ReceivedDatagram& datagram, const ResponseView& view,
                         const TokenId& id, const PrivateToken& token, const ResponseBody& body,
                         const CookieRecord& record, const Hash256& hash, Instant now) {
  using Verdict = CookieUse::Verdict;
  const Verdict consumed = gateway_->consume_cookie(view.cookie.mac, hash, reference_to(peer), now).verdict;
  if (consumed != Verdict::kFresh) {
    counters_.add(consumed == Verdict::kFull ? Counter::dropCookieTableFull : Counter::dropCookieConsumed);
    return false;
  }
  Secret<32> shared;
  if (!x25519(shared, record.share.secret, view.client_share)) {
    counters_.add(Counter::dropResponseInvalid);
    return false;
  }
  const IssuedId* issued = issue_id(peer);
  if (issued == nullptr) {
    counters_.add(Counter::dropHalfOpenFull);
    return false;
  }

  AcceptBody accept;
  accept.features = body.features & kOfferedFeatures;
  accept.max_datagram = options_.max_datagram;
  accept.credit = options_.credit;
  accept.channel_credit = options_.channel_credit;
  accept.connection_id = issued->id;
  random_.fill(accept.random);
  accept.reset_token = reset_token(gateway_->options().reset_key, issued->id.view());
  HalfOpen& half = *peer.half_open;
  encode_accept(half.accept, accept_key(token.server_to_client), random_nonce(random_), hash, accept);
  const ChallengePlaintext challenge = challenge_plaintext(view.cookie.raw, record.share.share);
  Prk prk = session_prk(token.client_to_server, token.server_to_client, shared, accept.random,
                        transcript(view.datagram, challenge, half.accept));

  half.token_id = id;
  half.user_data_size = token.user_data_size;
  std::copy_n(token.user_data_storage.begin(), token.user_data_size, half.user_data.begin());
  peer.single_use = view.clear.single_use();
  peer.token_created = view.clear.create;
  peer.token_expires = view.clear.expire;
  peer.timeout = token.timeout;
  peer.remote = datagram.remote;
  peer.local = datagram.local;
  use_features(peer, accept.features, body.max_datagram);
  accept_id(peer, body.connection_id, ResetToken{});
  peer.credit = body.credit;
  peer.channel_credit = body.channel_credit;
  start_session(peer, std::move(prk), now);
  return true;
}

void Endpoint::send_accept(const Peer& peer) {
  Buffer buffer = buffers_.acquire();
  if (!buffer) return counters_.add(Counter::dropOutputFull);
  std::copy(peer.half_open->accept.begin(), peer.half_open->accept.end(), buffer.storage().begin());
  buffer.size = kAcceptSize;
  if (send_datagram(std::move(buffer), peer.remote, peer.local)) counters_.add(Counter::acceptsSent);
}

// The answer to a repeated RESPONSE: the same bytes, as long as the session still waits for its first packet.
void Endpoint::repeat_accept(const PeerReference& session) {
  const Peer* peer = session.shard == options_.shard ? find(session.peer) : nullptr;
  if (peer == nullptr || peer->phase != PeerPhase::kHalfOpen)
    return counters_.add(Counter::dropCookieConsumed);
  send_accept(*peer);
}

PeerReference Endpoint::reference_to(const Peer& peer) const {
  return PeerReference{options_.shard, peers_.handle_of(peer)};
}

void Endpoint::release_client_id(Peer& peer) {
  if (!std::exchange(peer.holds_client_id, false)) return;
  gateway_->release(peer.client_id, reference_to(peer));
}

// The first packet has authenticated. Reserves the client id and a place before the token is consumed, so
// that a refusal never wastes the token.
void Endpoint::confirm(Peer& peer, Instant now) {
  if (gateway_->draining()) return refuse(peer, DeniedReason::kShuttingDown, now);
  const TokenId* const token = peer.single_use ? &peer.half_open->token_id : nullptr;
  const ReserveVerdict place =
      gateway_->reserve(peer.client_id, peer.half_open->order, token, reference_to(peer));
  if (const auto reason = refusal_of(place)) return refuse(peer, *reason, now);
  peer.holds_client_id = true;
  if (place == ReserveVerdict::kReservedAndAsked) return set_phase(peer, PeerPhase::kConsuming);
  if (token == nullptr) return consumed(peer, ConsumeVerdict::kConsumed, now);
  const ConsumeVerdict verdict =
      gateway_->consume(peer.half_open->token_id, peer.token_expires, wall_clock_.at(now));
  if (verdict != ConsumeVerdict::kAskOutside) return consumed(peer, verdict, now);
  set_phase(peer, PeerPhase::kConsuming);
  std::array<std::byte, 40> record{};
  ByteWriter writer(record);
  writer.bytes(peer.half_open->token_id);
  writer.u64(static_cast<std::uint64_t>(peer.token_expires.time_since_epoch().count()));
  put_event(peer, EventKind::kConsume, 0, record);
}

void Endpoint::complete_consumption(Handle handle, ConsumeVerdict verdict, Instant now) {
  if (is_netcode(handle)) {
    if (!netcode_server_->complete_consumption(handle, verdict, now)) untold_.push_back(handle);
    return;
  }
  Peer* peer = find(handle);
  // It may have expired, or the endpoint may be stopping.
  if (peer == nullptr || peer->phase != PeerPhase::kConsuming || peer->half_open->verdict) return;
  peer->half_open->verdict = verdict;
  // A refusal tells the user nothing.
  if (verdict != ConsumeVerdict::kConsumed || events_.has_room()) return resume(*peer, now);
  // It waits for nothing but room.
  peer->half_open->deadline = kNever;
  tell_later(*peer);
}

// Goes on with a session whose token history has answered. Needs room among the events.
void Endpoint::resume(Peer& peer, Instant now) {
  consumed(peer, *peer.half_open->verdict, now);
  process_waiting(peer, now);
}

// Processes the packets that waited for the connection, as far as there is room for their events: the rest
// waits for that, and what arrives meanwhile waits behind it.
void Endpoint::process_waiting(Peer& peer, Instant now) {
  while (peer.half_open && peer.half_open->processed < peer.half_open->waiting.size()) {
    if (!events_.has_room()) return tell_later(peer);
    const WaitingPacket packet = std::move(peer.half_open->waiting[peer.half_open->processed++]);
    --waiting_count_;
    process_packet(peer, packet.number, packet.payload.bytes(), packet.addressed, now);
  }
  drop_half_open(peer);
}

// Goes on with a connection that lacked room among the events, or with the packets that wait behind it. False
// while it still does.
bool Endpoint::proceed_half_open(Peer& peer, Instant now) {
  if (!peer.half_open) return true;
  if (!events_.has_room()) return false;
  if (peer.phase == PeerPhase::kConsuming) {
    resume(peer, now);
  } else {
    process_waiting(peer, now);
  }
  return !peer.half_open;
}

void Endpoint::drop_half_open(Peer& peer) {
  if (!peer.half_open) return;
  waiting_count_ -= peer.half_open->waiting.size() - peer.half_open->processed;
  peer.half_open.reset();
}

// Ends the reservation with what is known of the token: the peer connects, or is refused.
void Endpoint::consumed(Peer& peer, ConsumeVerdict verdict, Instant now) {
  const bool draining = gateway_->draining();
  const bool accepted = verdict == ConsumeVerdict::kConsumed && !draining;
  const Settlement settlement = gateway_->settle(peer.client_id, reference_to(peer), accepted);
  switch (settlement.outcome) {
    case SettleOutcome::kConnected:
      break;
    case SettleOutcome::kReleased:
      if (verdict == ConsumeVerdict::kAlreadyUsed) return refuse(peer, DeniedReason::kTokenUsed, now);
      return refuse(peer, draining ? DeniedReason::kShuttingDown : DeniedReason::kHistoryUnavailable, now);
    case SettleOutcome::kPassedOn:
      gateway_->pass_on(*settlement.peer, verdict, options_.shard);
      [[fallthrough]];
    case SettleOutcome::kLost:
      return refuse(peer, DeniedReason::kClientIdConnected, now);
  }
  if (const std::optional<PeerReference> former = settlement.peer) {
    if (former->shard == options_.shard) {
      end_replaced(former->peer, now);
    } else {
      gateway_->end_replaced(*former);
    }
  }
  become_connected(peer, Bytes(peer.half_open->user_data).first(peer.half_open->user_data_size), now);
  if (peer.half_open && peer.half_open->waiting.empty()) peer.half_open.reset();
}

void Endpoint::refuse(Peer& peer, DeniedReason reason, Instant now) {
  counters_.add(Counter::handshakesRefused);
  const auto code = static_cast<std::uint32_t>(code_of(reason));
  begin_ending(peer, DisconnectResult::kClosed, {code, {}, {}}, false, now);
}

void Endpoint::end_replaced(Handle handle, Instant now) {
  constexpr auto kCode = static_cast<std::uint32_t>(DisconnectCode::kReplaced);
  Peer* const peer = is_netcode(handle) ? nullptr : find(handle);
  // Another shard's news of it may find it ending, or gone.
  if (peer != nullptr && peer->phase == PeerPhase::kConnected) {
    peer->holds_client_id = false;
    begin_ending(*peer, DisconnectResult::kReplaced, {kCode, {}, {}}, true, now);
  } else if (!is_netcode(handle) || !netcode_->disconnect(handle, DisconnectResult::kReplaced, kCode)) {
    return;
  }
  counters_.add(Counter::peersReplaced);
}

}  // namespace hawser
