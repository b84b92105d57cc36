#include "engine/netcode_server.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <utility>

#include "wire/netcode_packets.hpp"

namespace hawser::netcode {

namespace {

// The holder of many tokens of one client must not be able to keep everybody else out. On all shards
// together.
constexpr std::uint32_t kMaxPendingPerClient = 8;
// A client that is started again on the same port has another token. Somebody else may also send a REQUEST of
// his own in its name, which must not undo the first: each keeps its keys.
constexpr std::size_t kMaxPendingPerAddress = 4;
// However long the token's timeout is.
constexpr Duration kMaxPendingTime = std::chrono::seconds(60);
constexpr Duration kUsualPendingTime = std::chrono::seconds(10);

TokenTag tag_of(SealedPrivateTokenView sealed) {
  TokenTag tag{};
  std::copy_n(sealed.end() - tag.size(), tag.size(), tag.begin());
  return tag;
}

Duration timeout_of(std::int32_t seconds) {
  return seconds > 0 ? Duration(std::chrono::seconds(seconds)) : Duration::zero();
}

}  // namespace

Server::Server(const SessionOptions& options, const Surroundings& surroundings, GatewayState& gateway,
               const WallClock& clock, std::uint32_t shard, std::uint32_t max_pending, Instant now)
    : Sessions(options, surroundings, now),
      gateway_(gateway),
      netcode_(*gateway.netcode()),
      clock_(clock),
      shard_(shard),
      max_pending_(max_pending),
      max_pending_per_client_(std::max(1U, kMaxPendingPerClient / options.shards)),
      associated_data_(gateway.options().protocol_id),
      by_address_(random_sip_key(random_), options.max_sessions),
      pending_(random_sip_key(random_), max_pending),
      pending_by_client_(random_sip_key(random_), max_pending) {}

Server::~Server() {
  peers_.for_each([this](Peer& peer) { destroy(peer); });
}

std::size_t Server::memory_bytes() const {
  return Sessions::memory_bytes() + by_address_.allocated_bytes() + pending_.allocated_bytes() +
         pending_by_client_.allocated_bytes();
}

// ---- REQUEST

bool Server::check_request(Bytes datagram, Instant now) {
  counters_.add(Counter::requestsReceived);
  const auto refuse = [this](Counter reason) {
    counters_.add(reason);
    return false;
  };
  const Result<RequestView, RequestError> request = parse_request(datagram);
  if (!request) {
    return refuse(request.error() == RequestError::kVersion ? Counter::dropVersion : Counter::dropLength);
  }
  if (request->protocol_id != gateway_.options().protocol_id) return refuse(Counter::dropProtocol);
  switch (netcode_.judge(request->expire, clock_.at(now))) {
    case TokenAge::kAccepted:
      return true;
    case TokenAge::kExpired:
      return refuse(Counter::dropTokenExpired);
    case TokenAge::kTooLong:
      return refuse(Counter::dropTokenLifetime);
    case TokenAge::kPredates:
      break;
  }
  return refuse(Counter::dropTokenPredates);
}

std::chrono::nanoseconds Server::serve_request(const ReceivedDatagram& datagram, Instant now) {
  const Result<RequestView, RequestError> request = parse_request(datagram.bytes);
  PrivateToken token;
  if (!request || !open_token(*request, token)) {
    counters_.add(Counter::dropTokenInvalid);
    return 2 * HandshakeCosts::kTokenFailed;
  }
  answer_request(datagram, *request, token, now);
  return HandshakeCosts::kMaxRequest;
}

void Server::answer_request(const ReceivedDatagram& datagram, const RequestView& request,
                            const PrivateToken& token, Instant now) {
  if (std::ranges::none_of(token.addresses.view(),
                           [&](const SocketAddress& each) { return gateway_.is_advertised(each); })) {
    return counters_.add(Counter::dropWrongAddress);
  }
  if (by_address_.find(datagram.remote) != nullptr) return counters_.add(Counter::dropAddressConnected);
  const ReserveVerdict place = gateway_.would_reserve(
      token.client_id, AttemptOrder{.token_created = kUnknownCreation, .challenged = now});
  if (place == ReserveVerdict::kRefused) return counters_.add(Counter::dropClientIdConnected);
  switch (netcode_.use(tag_of(request.sealed_private), datagram.remote, request.expire, clock_.at(now))) {
    case TokenUse::kFirst:
    case TokenUse::kSameSource:
      break;
    case TokenUse::kUsed:
      return counters_.add(Counter::dropTokenUsed);
    case TokenUse::kFull:
      return counters_.add(Counter::dropTokenHistoryFull);
  }
  // A gateway that is to stop has no room either: its clients try the next one at once.
  if (place == ReserveVerdict::kFull || gateway_.draining())
    return deny(PacketKey::of(token.server_to_client), datagram.remote, datagram.local);
  const Peer* const peer = map(datagram, request, token, now);
  if (peer != nullptr) challenge(*peer);
}

// The token does not say which key it was sealed with.
bool Server::open_token(const RequestView& request, PrivateToken& token) const {
  return std::ranges::any_of(gateway_.first_keys(), [&](const std::shared_ptr<const Key>& key) {
    return key && open_private_token(request.sealed_private, *key, request.protocol_id, request.expire,
                                     request.nonce, token) == TokenError::kNone;
  });
}

void Server::deny(const PacketKey& send_key, const SocketAddress& remote, const SocketAddress& local) {
  counters_.add(Counter::handshakesRefused);
  if (!transmit(PacketType::kDenied, netcode_.next_global_sequence(), {}, send_key, associated_data_, remote,
                local)) {
    return counters_.add(Counter::dropOutputFull);
  }
  counters_.add(Counter::deniedSent);
}

// What the standard calls an encryption mapping: the keys for an address, until a RESPONSE comes from it or
// the token's timeout has passed. Null when there is none to go on with.
Peer* Server::map(const ReceivedDatagram& datagram, const RequestView& request, const PrivateToken& token,
                  Instant now) {
  const TokenTag tag = tag_of(request.sealed_private);
  Peer** const head = pending_.find(datagram.remote);
  // What has shown that it can read its challenges does not give way.
  Peer* oldest = nullptr;
  std::size_t others = 0;
  for (Peer* each = head != nullptr ? *head : nullptr; each != nullptr; each = each->pending->next) {
    if (each->pending->tag == tag) {
      if (each->phase == Phase::kConsuming) {
        counters_.add(Counter::dropUnexpected);
        return nullptr;
      }
      each->last_receive = now;
      // Where the client expects answers from: it may have gone on to another address of this gateway.
      each->local = datagram.local;
      return each;
    }
    if (each->phase == Phase::kPending) oldest = each;
    ++others;
  }
  const bool crowded = others == kMaxPendingPerAddress;
  const std::uint32_t* const of_client = pending_by_client_.find(token.client_id);
  const bool full = pending_count_ >= max_pending_ ||
                    (of_client != nullptr && *of_client >= max_pending_per_client_) ||
                    (crowded && oldest == nullptr);
  Peer* const peer = full ? nullptr : create(request.protocol_id);
  if (peer == nullptr) {
    counters_.add(Counter::dropHalfOpenFull);
    return nullptr;
  }
  if (crowded) destroy(*oldest);
  ++pending_count_;
  ++*pending_by_client_.insert(token.client_id, 0).first;
  peer->phase = Phase::kPending;
  peer->client_id = token.client_id;
  peer->receive_key = PacketKey::of(token.client_to_server);
  peer->send_key = PacketKey::of(token.server_to_client);
  peer->remote = datagram.remote;
  peer->local = datagram.local;
  peer->timeout = timeout_of(token.timeout_seconds);
  peer->last_receive = now;
  peer->pending = std::make_unique<Pending>();
  Pending& pending = *peer->pending;
  pending.tag = tag;
  pending.challenge_sequence = netcode_.next_challenge_sequence();
  pending.expire = request.expire;
  pending.user_data = token.user_data;
  pending.token_id = token_id(request.sealed_private);
  const auto [first, inserted] = pending_.insert(datagram.remote, peer);
  if (!inserted) pending.next = std::exchange(*first, peer);
  schedule(*peer);
  return peer;
}

void Server::challenge(const Peer& peer) {
  ChallengeBody body;
  // The same each time: sealed again it is the same bytes.
  body.sequence = peer.pending->challenge_sequence;
  seal_challenge_token(body.token, ChallengeToken{peer.client_id, peer.pending->user_data},
                       netcode_.challenge_key(), body.sequence);
  std::array<std::byte, kChallengeBodySize> encoded{};
  encode_challenge(encoded, body);
  if (!transmit(PacketType::kChallenge, netcode_.next_global_sequence(), encoded, peer.send_key,
                associated_data_, peer.remote, peer.local)) {
    return counters_.add(Counter::dropOutputFull);
  }
  counters_.add(Counter::challengesSent);
}

// ---- the encrypted packets

void Server::receive(const ReceivedDatagram& datagram, Instant now) {
  const std::optional<PacketHeader> header = read_header(datagram, kTypesToServer);
  if (!header) return;
  const bool response = header->type == PacketType::kResponse;
  if (response) counters_.add(Counter::responsesReceived);
  if (Peer** const connected = by_address_.find(datagram.remote); connected != nullptr) {
    Peer& peer = **connected;
    // It is connected already: perhaps it has not heard so.
    if (response) return counters_.add(Counter::dropAddressConnected);
    const std::optional<Bytes> body = open(peer, datagram, *header, now);
    if (body) process(peer, header->type, *body);
    return;
  }
  Peer** const first = pending_.find(datagram.remote);
  if (first == nullptr) return counters_.add(Counter::dropUnknownConnection);
  if (!response) return counters_.add(Counter::dropUnexpected);
  // Of a peer that gets connected the user has to hear. It is not yet, and will try again.
  if (!events_.has_room()) return counters_.add(Counter::dropEventQueueFull);
  receive_response(*first, datagram, *header, now);
}

void Server::receive_response(Peer* first, const ReceivedDatagram& datagram, const PacketHeader& header,
                              Instant now) {
  std::array<std::byte, kMaxHeaderSize + kChallengeBodySize + kTagSize> copy{};
  const MutableBytes packet = MutableBytes(copy).first(std::min(datagram.bytes.size(), copy.size()));
  if (datagram.bytes.size() != header.size + kChallengeBodySize + kTagSize)
    return counters_.add(Counter::dropLength);
  for (Peer* peer = first; peer != nullptr; peer = peer->pending->next) {
    // What does not open is wiped.
    std::copy(datagram.bytes.begin(), datagram.bytes.end(), packet.begin());
    const std::optional<Bytes> body = open_packet(packet, header, peer->receive_key, associated_data_);
    if (!body) continue;
    counters_.add(Counter::packetsOpened);
    if (peer->phase == Phase::kConsuming) return counters_.add(Counter::dropUnexpected);
    peer->local = datagram.local;
    return accept(*peer, *body, now);
  }
  counters_.add(Counter::dropAuthentication);
}

void Server::accept(Peer& peer, Bytes body, Instant now) {
  const ChallengeBody echoed = decode_challenge(body.first<kChallengeBodySize>());
  ChallengeToken token;
  // One that was given to another address, even for another token of the same client, does not show that who
  // sends this can read what is sent to this one.
  if (echoed.sequence != peer.pending->challenge_sequence ||
      !open_challenge_token(echoed.token, netcode_.challenge_key(), echoed.sequence, token) ||
      token.client_id != peer.client_id || token.user_data != peer.pending->user_data) {
    return counters_.add(Counter::dropResponseInvalid);
  }
  if (gateway_.draining()) return deny(peer.send_key, peer.remote, peer.local);
  const ReserveVerdict place = reserve(peer, now);
  if (place == ReserveVerdict::kRefused) return counters_.add(Counter::dropClientIdConnected);
  if (place == ReserveVerdict::kFull) return deny(peer.send_key, peer.remote, peer.local);
  peer.phase = Phase::kConsuming;
  peer.last_receive = now;
  if (place == ReserveVerdict::kReservedAndAsked) return;
  if (!gateway_.options().external_token_history) {
    const bool fresh = netcode_.consume(peer.pending->tag, clock_.at(now));
    return consumed(peer, fresh ? ConsumeVerdict::kConsumed : ConsumeVerdict::kAlreadyUsed, now);
  }
  std::array<std::byte, 40> record{};
  ByteWriter writer(record);
  writer.bytes(peer.pending->token_id);
  writer.u64(peer.pending->expire * 1000);
  put_event(EventKind::kConsume, peer, 0, record);
}

// Reserves a client index, the client id and a place, before the token is consumed. The index belongs to the
// peer until it is forgotten, and may be lacking although there is a place: see Gateway::take_client_index().
ReserveVerdict Server::reserve(Peer& peer, Instant now) {
  const std::optional<std::uint32_t> index = netcode_.take_client_index();
  if (!index) return ReserveVerdict::kFull;
  const AttemptOrder order{kUnknownCreation, now, gateway_.next_attempt_number()};
  const ReserveVerdict verdict =
      gateway_.reserve(peer.client_id, order, &peer.pending->token_id, reference_to(peer));
  if (verdict == ReserveVerdict::kReserved || verdict == ReserveVerdict::kReservedAndAsked) {
    peer.client_index = *index;
  } else {
    netcode_.release_client_index(*index);
  }
  return verdict;
}

void Server::release_place(Peer& peer) {
  if (peer.client_index == kNoClientIndex) return;
  // First: a peer that gets the place, perhaps on another shard, needs the index.
  netcode_.release_client_index(std::exchange(peer.client_index, kNoClientIndex));
  gateway_.release(peer.client_id, reference_to(peer));
}

PeerReference Server::reference_to(const Peer& peer) const { return PeerReference{shard_, handle_of(peer)}; }

bool Server::complete_consumption(Handle handle, ConsumeVerdict verdict, Instant now) {
  Peer* const peer = find(handle);
  // It may have expired, or the endpoint may be stopping.
  if (peer == nullptr || peer->phase != Phase::kConsuming || peer->pending->verdict) return true;
  peer->pending->verdict = verdict;
  return proceed(handle, now);
}

bool Server::proceed(Handle handle, Instant now) {
  Peer* const peer = find(handle);
  // It may be gone.
  if (peer == nullptr || peer->phase != Phase::kConsuming || !peer->pending->verdict) return true;
  // A refusal tells the user nothing.
  if (*peer->pending->verdict == ConsumeVerdict::kConsumed && !events_.has_room()) return false;
  consumed(*peer, *peer->pending->verdict, now);
  return true;
}

// Ends the reservation with what is known of the token: the client connects, or is dropped.
void Server::consumed(Peer& peer, ConsumeVerdict verdict, Instant now) {
  // What an external history said does not change: the local one answers the next REQUEST.
  if (verdict != ConsumeVerdict::kHistoryFull)
    static_cast<void>(netcode_.consume(peer.pending->tag, clock_.at(now)));
  const bool accepted = verdict == ConsumeVerdict::kConsumed && !gateway_.draining();
  const Settlement settlement = gateway_.settle(peer.client_id, reference_to(peer), accepted);
  switch (settlement.outcome) {
    case SettleOutcome::kConnected:
      return connected(peer, now);
    case SettleOutcome::kReleased:
      if (verdict == ConsumeVerdict::kConsumed) {
        deny(peer.send_key, peer.remote, peer.local);
      } else {
        counters_.add(verdict == ConsumeVerdict::kAlreadyUsed ? Counter::dropTokenUsed
                                                              : Counter::dropTokenHistoryFull);
      }
      break;
    case SettleOutcome::kPassedOn:
      gateway_.pass_on(*settlement.peer, verdict, shard_);
      [[fallthrough]];
    case SettleOutcome::kLost:
      counters_.add(Counter::dropClientIdConnected);
      break;
  }
  destroy(peer);
}

void Server::connected(Peer& peer, Instant now) {
  unlink(peer);
  // Whatever else was begun from the address has come too late.
  for (Peer** other = pending_.find(peer.remote); other != nullptr; other = pending_.find(peer.remote))
    destroy(**other);
  by_address_.insert(peer.remote, &peer);
  peer.max_clients = gateway_.options().max_peers;
  const std::unique_ptr<Pending> pending = std::move(peer.pending);
  connect(peer, 0, pending->expire, pending->user_data, now);
  static_cast<void>(send_keep_alive(peer, now));
}

KeepAliveBody Server::keep_alive(const Peer& peer) const {
  return KeepAliveBody{peer.client_index, peer.max_clients};
}

// ---- the end

void Server::unlink(Peer& peer) {
  Peer** link = pending_.find(peer.remote);
  assert(link != nullptr);
  Peer* const first = *link;
  if (first == &peer && peer.pending->next == nullptr) {
    pending_.erase(peer.remote);
  } else {
    while (*link != &peer) link = &(*link)->pending->next;
    *link = peer.pending->next;
  }
  --pending_count_;
  std::uint32_t* const count = pending_by_client_.find(peer.client_id);
  if (--*count == 0) pending_by_client_.erase(peer.client_id);
}

void Server::forget(Peer& peer) {
  release_place(peer);
  if (peer.pending) return unlink(peer);
  by_address_.erase(peer.remote);
}

Instant Server::deadline_of(const Peer& peer) const {
  // It waits for nothing but room among the events.
  if (peer.pending->verdict) return kNever;
  const Duration timeout = peer.timeout == Duration::zero() ? kUsualPendingTime : peer.timeout;
  return peer.last_receive + std::min(timeout, kMaxPendingTime);
}

bool Server::on_timer(Peer& peer, Instant now) {
  if (now < deadline_of(peer)) return true;
  counters_.add(Counter::halfOpenExpired);
  destroy(peer);
  return false;
}

void Server::stop_attempt(Peer& peer, Instant /*now*/) { destroy(peer); }

}  // namespace hawser::netcode
