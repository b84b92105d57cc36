// Session packets and frames, liveness, and the end of a connection (docs/protocol.md sections 5, 6, 8 and
// 9).
#include <algorithm>
#include <cassert>
#include <utility>

#include "engine/endpoint.hpp"
#include "wire/session_packet.hpp"

namespace hawser {

namespace {

constexpr std::uint64_t kMaxPacketsPerKey = std::uint64_t{1} << 32;
// Kept back for saying goodbye.
constexpr std::uint64_t kLastPackets = 1024;
constexpr std::uint64_t kMaxFailedOpens = std::uint64_t{1} << 36;
constexpr std::uint32_t kMinSkipDistance = 128;
constexpr std::uint32_t kSkipSpread = 1024;

constexpr Duration kFastPingInterval = std::chrono::milliseconds(100);
constexpr Duration kSlowPingInterval = std::chrono::seconds(1);
// Between measurements of the round trip while there are messages.
constexpr Duration kMeasureInterval = std::chrono::seconds(1);
// PINGs of a connection that may be outstanding while it waits for its path, fewer than PingRecord remembers.
constexpr int kPingsInRoundTrip = 12;
constexpr Duration kMaxKeepAlive = std::chrono::seconds(25);
constexpr Duration kPongInterval = std::chrono::milliseconds(50);
// How long a PONG waits for a message to ride with. It tells how long that was, so that the round trip is
// measured as well as by one that left at once.
constexpr Duration kMaxPongDelay = std::chrono::milliseconds(25);
constexpr Duration kLinger = std::chrono::seconds(1);
constexpr Duration kClockRefresh = std::chrono::seconds(30);
constexpr std::uint16_t kFastSamples = 8;
// On a path so long that more would be on their way at once, each would displace one before its answer comes.
constexpr std::uint16_t kMaxFastPings = PingRecord::kOutstanding;
// Ends the PINGs of each second on a path whose delay varies so much that the clock never settles.
constexpr std::uint16_t kMaxSettlingSamples = 28;

// Packets that ask for an acknowledgement, for each of which is sent at the latest (RFC 9000 section 13.2.2).
constexpr std::uint8_t kAckEvery = 2;

// The state of fewer is in the processor's caches anyway.
constexpr std::uint32_t kManyPeers = 64;

constexpr Duration kResetPerPrefix = std::chrono::milliseconds(100);
constexpr std::size_t kMaxWaitingPackets = 16;
// For all peers together, so that a slow token history cannot take the buffers of connected peers.
constexpr std::size_t kMaxWaitingPacketsInAll = 1024;

// How many bytes of UTF-8, at most `limit`, end with a whole character.
std::size_t whole_characters(Bytes text, std::size_t limit) {
  if (text.size() <= limit) return text.size();
  while (limit > 0 && (text[limit] & std::byte{0xc0}) == std::byte{0x80}) --limit;
  return limit;
}

// The epoch with these low two bits whose key is held: the current one, the one before or the one behind it.
std::uint32_t epoch_of(std::uint8_t epoch_bits, std::uint32_t current) {
  const std::uint32_t ahead = (epoch_bits - current) & 3U;
  return ahead == 3 ? current - 1 : current + ahead;
}

}  // namespace

// ---- receiving

void Endpoint::look_ahead(std::span<const ReceivedDatagram> datagrams) {
  if (peers_.size() < kManyPeers) return;
  std::array<std::uint64_t, kLookAhead> hashes;
  std::size_t count = 0;
  for (const ReceivedDatagram& datagram : datagrams.first(std::min(datagrams.size(), kLookAhead))) {
    const auto header = decode_session_header(datagram.bytes, options_.connection_id_length);
    if (!header) continue;
    hashes[count++] = by_id_.prefetch_entry(*ConnectionId::from(header->connection_id));
  }
  for (const std::uint64_t hash : std::span(hashes).first(count)) by_id_.prefetch_peer(hash);
}

void Endpoint::receive_session(const ReceivedDatagram& datagram, Instant now) {
  const std::optional<SessionHeader> header =
      decode_session_header(datagram.bytes, options_.connection_id_length);
  if (!header) return counters_.add(Counter::dropLength);
  const std::optional<ConnectionId> id = ConnectionId::from(header->connection_id);
  Peer* const peer = by_id_.find(*id);
  if (peer == nullptr) return answer_unknown(datagram, *id, now);
  if (peer->phase == PeerPhase::kRequesting || peer->phase == PeerPhase::kResponding ||
      (peer->phase == PeerPhase::kConfirming && peer->attempt->aborted)) {
    return counters_.add(Counter::dropUnexpected);
  }
  // There must be room to tell the user that this peer is connected. Without room it tries again later.
  if ((peer->phase == PeerPhase::kHalfOpen || peer->phase == PeerPhase::kConfirming) && !events_.has_room())
    return counters_.add(Counter::dropEventQueueFull);
  ReceiveKey* const key = receive_key(*peer, header->epoch_bits);
  if (key == nullptr) return counters_.add(Counter::dropUnknownEpoch);

  const std::uint64_t number = expand_packet_number(peer->window.empty() ? 0 : peer->window.highest() + 1,
                                                    header->truncated_packet_number);
  switch (peer->window.check(number)) {
    case ReplayWindow::Verdict::kNew:
      break;
    case ReplayWindow::Verdict::kReplayed:
      return counters_.add(Counter::dropReplayed);
    case ReplayWindow::Verdict::kTooOld:
      return counters_.add(Counter::dropTooOld);
  }
  const bool foreign = datagram.remote != peer->remote;
  // Addresses of a move in progress have sent authentic packets, like the peer's own.
  const bool moving = peer->path_validation && peer->path_validation->involves(datagram.remote);
  const bool budgeted = foreign && !moving;
  if (budgeted && foreign_budget_ &&
      !foreign_budget_->has_room(datagram.remote, peers_.handle_of(*peer), now)) {
    return counters_.add(Counter::dropForeignBudget);
  }
  const MutableBytes sealed = datagram.bytes.subspan(header->size);
  if (!key->key.open_in_place(number, datagram.bytes.first(header->size), sealed)) {
    counters_.add(Counter::dropAuthentication);
    if (budgeted) charge_foreign_failure(*peer, datagram.remote, now);
    if (++key->failed_opens >= kMaxFailedOpens && peer->phase == PeerPhase::kConnected) {
      fail(*peer, DisconnectResult::kKeyExhausted, DisconnectCode::kKeyExhausted, now);
    }
    return;
  }
  const Duration silence = now - std::exchange(peer->last_receive, now);
  if (peer->transfer && peer->transfer->on_receive(silence, peer->round_trip)) schedule(*peer);
  counters_.add(Counter::packetsOpened);
  if (peer->key_update) key_opened(*peer, *key, now);
  // A packet that is dropped from here on is not recorded: what is recorded will be acknowledged, and its
  // sender would not repeat what this side never looked at.
  if (peer->ceilings && !peer->ceilings->take(datagram.bytes.size(), now))
    return counters_.add(Counter::dropPeerCeiling);
  const Bytes payload = sealed.first(sealed.size() - kTagSize);
  if (Tap* const tap = output_.tap(); tap != nullptr && tap->wants_plaintext()) [[unlikely]]
    tap->packet(TapDirection::kReceived, datagram.remote, datagram.local, *id,
                epoch_of(header->epoch_bits, peer->keys.epoch), number, payload);
  const bool newest = peer->window.empty() || number > peer->window.highest();
  if (peer->phase == PeerPhase::kHalfOpen) confirm(*peer, now);
  const bool waits = peer->half_open != nullptr;
  if (waits && !keep_waiting(*peer, number, payload, *id))
    return counters_.add(Counter::dropUnconfirmedOverflow);
  if (!waits && lacks_memory(*peer, payload, now)) return counters_.add(Counter::dropReassemblyFull);
  // Out of order: its sender learns at once what is missing (RFC 9000 section 13.2.1).
  if (!peer->window.empty() && number != peer->window.highest() + 1) peer->unacknowledged = kAckEvery;
  peer->window.record(number);
  ++peer->packets_received;
  status_changed(*peer);
  if (datagram.ecn != 0 && !waits && (peer->features & kFeatureChannels) != 0) {
    transfer_of(*peer).count_mark(datagram.ecn);
    if (datagram.ecn == kEcnCe) peer->unacknowledged = kAckEvery;
  }
  if (waits) return;
  peer->foreign_packet = foreign;
  if (foreign || peer->path_validation) follow_path(*peer, datagram, newest, now);
  process_packet(*peer, number, payload, *id, now);
}

// The budget takes memory only once a packet from another address has failed to open.
void Endpoint::charge_foreign_failure(const Peer& peer, const SocketAddress& remote, Instant now) {
  if (!foreign_budget_) foreign_budget_ = std::make_unique<ForeignBudget>(prefix_key_);
  foreign_budget_->charge(remote, peers_.handle_of(peer), now);
}

// The one key that the bits name; null when it is not held.
ReceiveKey* Endpoint::receive_key(Peer& peer, std::uint8_t epoch_bits) {
  if (epoch_bits == (peer.keys.epoch & 3U)) return &peer.keys.receive;
  return peer.key_update ? peer.key_update->receive_key(epoch_bits, peer.keys) : nullptr;
}

bool Endpoint::keep_waiting(Peer& peer, std::uint64_t number, Bytes payload, const ConnectionId& addressed) {
  HalfOpen& half = *peer.half_open;
  if (half.waiting.size() == kMaxWaitingPackets || waiting_count_ == kMaxWaitingPacketsInAll) return false;
  Buffer copy = buffers_.acquire();
  if (!copy || payload.size() > copy.storage().size()) return false;
  std::copy(payload.begin(), payload.end(), copy.storage().begin());
  copy.size = payload.size();
  half.waiting.push_back(WaitingPacket{std::move(copy), number, addressed});
  ++waiting_count_;
  return true;
}

void Endpoint::process_packet(Peer& peer, std::uint64_t number, Bytes payload, const ConnectionId& addressed,
                              Instant now) {
  FrameReader reader(payload);
  Frame frame;
  peer.asks_acknowledgement = false;
  // A frame may have restarted the attempt: the rest belongs to the session that is gone.
  while (peer.phase >= PeerPhase::kConfirming && reader.next(frame)) {
    if (!process_frame(peer, frame, addressed, now)) {
      return fail(peer, DisconnectResult::kProtocolError, DisconnectCode::kProtocolError, now);
    }
  }
  if (reader.failed())
    return fail(peer, DisconnectResult::kProtocolError, DisconnectCode::kProtocolError, now);
  if (peer.asks_acknowledgement && peer.phase == PeerPhase::kConnected) {
    if (peer.transfer) peer.transfer->lowest_since_ack = std::min(peer.transfer->lowest_since_ack, number);
    acknowledge_soon(peer, now);
  }
}

bool Endpoint::process_frame(Peer& peer, const Frame& frame, const ConnectionId& addressed, Instant now) {
  // The server's first packet makes a client connected, unless it refuses the connection.
  if (peer.phase == PeerPhase::kConfirming &&
      (frame.type != FrameType::kDisconnect || denied_reason_of(frame.disconnect.code) == 0)) {
    client_confirmed(peer, now);
  }
  if (frame.type >= FrameType::kCredit && frame.type <= FrameType::kExpired)
    return peer.phase != PeerPhase::kConnected || process_channel_frame(peer, frame, now);
  switch (frame.type) {
    case FrameType::kAck:
      if (frame.ack.has_ecn && (peer.features & kFeatureChannels) == 0) return false;
      return process_ack(peer, frame.ack, now);
    case FrameType::kDisconnect:
      process_disconnect(peer, frame.disconnect, now);
      return true;
    default:
      break;
  }
  // A connection that ends takes no further part.
  if (peer.phase != PeerPhase::kConnected) return true;
  switch (frame.type) {
    case FrameType::kPing:
      if (now - peer.last_pong_sent < kPongInterval || peer.pong_pending) {
        counters_.add(Counter::dropPingRateLimited);
        return true;
      }
      peer.pong_pending = true;
      peer.pong_sequence = frame.ping.sequence;
      peer.pong_received = now;
      if (pong_deadline(peer) <= now) {
        mark_dirty(peer);
      } else {
        schedule(peer);
      }
      return true;
    case FrameType::kPong:
      process_pong(peer, frame.pong, now);
      return true;
    case FrameType::kGoaway: {
      // It asks a client to go.
      if (options_.mode != Mode::kClient) return false;
      acknowledge(peer, now);
      std::array<std::byte, 12 + kAddressRecordSize> record{};
      ByteWriter writer(record);
      writer.u32(frame.goaway.reason);
      writer.u32(u32_milliseconds(frame.goaway.deadline));
      writer.u32(u32_milliseconds(frame.goaway.reconnect_spread));
      if (frame.goaway.has_address) {
        write_address_record(std::span(record).last<kAddressRecordSize>(), frame.goaway.address);
      }
      // The user hears of a GOAWAY once, though it is repeated when its ACK is lost.
      if (peer.goaway_received) return true;
      peer.goaway_received = true;
      put_event(peer, EventKind::kGoaway, 0, record);
      return true;
    }
    case FrameType::kNewId:
      acknowledge(peer, now);
      return process_new_id(peer, frame.new_id);
    case FrameType::kRetireId:
      acknowledge(peer, now);
      return process_retire_id(peer, frame.retire_id, addressed);
    case FrameType::kKeyUpdate:
    case FrameType::kKeyUpdateReply:
    case FrameType::kKeyUpdateRefused:
      return process_key_update(peer, frame, now);
    case FrameType::kMtuProbe:
      if ((peer.features & kFeaturePathMtu) == 0) return false;
      acknowledge(peer, now);
      return true;
    case FrameType::kPathChallenge:
      return process_path_challenge(peer, frame.path);
    case FrameType::kPathResponse:
      return process_path_response(peer, frame.path, now);
    default:
      // It belongs to a feature that the two sides have not agreed on.
      return false;
  }
}

void Endpoint::acknowledge(Peer& peer, Instant now) {
  peer.ack_pending = peer.ack_now = true;
  peer.ack_received = now;
  mark_dirty(peer);
}

// Once for each packet that asks for it.
void Endpoint::acknowledge_soon(Peer& peer, Instant now) {
  if (peer.unacknowledged < kAckEvery) ++peer.unacknowledged;
  if (peer.unacknowledged >= kAckEvery) return acknowledge(peer, now);
  if (!peer.ack_pending) {
    peer.ack_pending = true;
    peer.ack_deadline = now + kMaxAckDelay;
    schedule(peer);
  }
  peer.ack_received = now;
}

bool Endpoint::process_ack(Peer& peer, const AckFrame& ack, Instant now) {
  if (ack.largest >= peer.next_packet_number) return false;
  AckRangeReader ranges(ack);
  AckRange range{};
  while (ranges.next(range)) {
    // This number was never sent: the peer acknowledges packets that it has not received (RFC 9000 section
    // 21.4).
    if (range.smallest <= peer.skipped && peer.skipped <= range.largest) return false;
    peer.control.on_ack(control_pool_, range.smallest, range.largest);
    if (peer.phase == PeerPhase::kDisconnecting && range.largest >= peer.ending->first_packet_number) {
      peer.ending->sent = kMaxDisconnects;
      peer.ending->due = false;
      peer.ending->next_send = now;
      schedule(peer);
    }
  }
  if (peer.transfer && peer.phase == PeerPhase::kConnected) {
    peer.transfer->on_ack(ack, peer.next_packet_number, peer.round_trip, now);
    settle_transfer(peer, now);
  }
  return true;
}

void Endpoint::process_disconnect(Peer& peer, const DisconnectFrame& frame, Instant now) {
  if (peer.phase == PeerPhase::kConfirming && !refused(peer, denied_reason_of(frame.code), now)) return;
  acknowledge(peer, now);
  if (peer.phase == PeerPhase::kLingering) return;
  if (peer.phase == PeerPhase::kConnected) {
    const bool replaced = frame.code == static_cast<std::uint32_t>(DisconnectCode::kReplaced);
    DisconnectFrame told = frame;
    // A client has no say in when others come back.
    if (options_.mode == Mode::kServer) told.reconnect_spread = Duration(0);
    announce(peer, replaced ? DisconnectResult::kReplaced : DisconnectResult::kDisconnected, told);
    forget_connected(peer);
  }
  peer.open_packet.reset();
  peer.control.clear(control_pool_);
  drop_transfer(peer);
  peer.phase = PeerPhase::kLingering;
  peer.attempt.reset();
  drop_half_open(peer);
  if (!peer.ending) peer.ending = std::make_unique<Ending>();
  peer.ending->next_send = now + kLinger;
  wheel_.arm(peer, peer.ending->next_send);
}

bool Endpoint::process_new_id(Peer& peer, const NewIdFrame& frame) {
  for (const ReceivedId& known : std::span(peer.received).first(peer.received_count)) {
    if (known.sequence == frame.sequence) return known.id == frame.connection_id;
  }
  // Given back since.
  if (peer.received_sequences.contains(frame.sequence)) return true;
  if (peer.received_count == kKnownIds || frame.connection_id.length != peer.remote_id.length) return false;
  peer.received_sequences.insert(frame.sequence);
  peer.received[peer.received_count++] = ReceivedId{frame.sequence, frame.connection_id};
  learn_reset_token(peer, frame.connection_id, frame.reset_token);
  return true;
}

bool Endpoint::process_retire_id(Peer& peer, const RetireIdFrame& frame, const ConnectionId& addressed) {
  if (frame.sequence >= peer.next_issued_sequence) return false;
  for (std::size_t i = 0; i < peer.issued_count; ++i) {
    if (peer.issued[i].sequence != frame.sequence) continue;
    // RFC 9000 section 19.16: the id that carried the frame cannot be the one to go.
    if (peer.issued[i].id == addressed) return false;
    by_id_.erase(peer.issued[i].id);
    peer.issued[i] = peer.issued[--peer.issued_count];
    return offer_id(peer);
  }
  return true;
}

// False when no id could be had or told, which ends the connection.
bool Endpoint::offer_id(Peer& peer) {
  const IssuedId* issued = issue_id(peer);
  if (issued == nullptr) return false;
  const ResetToken token =
      gateway_ != nullptr ? reset_token(gateway_->options().reset_key, issued->id.view()) : ResetToken{};
  std::array<std::byte, 64> frame{};
  ByteWriter writer(frame);
  return write_new_id(writer, issued->sequence, issued->id, token) && send_control(peer, writer.written());
}

void Endpoint::process_pong(Peer& peer, const PongFrame& pong, Instant now) {
  const std::optional<PingRecord::Answer> answer = peer.pings.answered(ping_pool_, pong.sequence, now);
  if (!answer) return counters_.add(Counter::unexpectedPong);
  counters_.add(Counter::pongsReceived);
  if (peer.transfer && peer.transfer->on_pong()) schedule(peer);
  const Duration round_trip = answer->elapsed - pong.delay;
  // A peer cannot have taken longer to answer than the answer took: this sample says nothing.
  if (round_trip < Duration::zero() || pong.receive_time > static_cast<std::uint64_t>(INT64_MAX / 4)) return;
  peer.round_trip.add_sample(round_trip, now);
  const Duration received(static_cast<std::int64_t>(pong.receive_time));
  const Duration sent_here = (now - answer->elapsed).time_since_epoch();
  const Duration offset = ((received - sent_here) + (received + pong.delay - now.time_since_epoch())) / 2;
  peer.clock.add_sample(round_trip, offset, now);
  // The clock that users read follows without delay: until then they read the estimate before.
  status_due(peer);
  if (peer.samples < UINT16_MAX) ++peer.samples;
  const Duration interval = ping_interval(peer);
  // From the last PING and not from the one that was answered: a peer that answers late would be sent more.
  peer.next_ping = now + interval - std::min(answer->since_last, interval);
  if (interval > kSlowPingInterval) peer.next_ping = std::max(peer.next_ping, deferred_ping(peer, interval));
  schedule(peer);
}

// With the probes of a path that acknowledges nothing goes a PING, whose answer tells that the path is alive.
void Endpoint::ping_with_probes(Peer& peer, Instant now) {
  if (peer.transfer->recovery().timeouts() > 0 && peer.pings.is_older_than(kSlowPingInterval, now))
    peer.ping_due = true;
}

void Endpoint::answer_unknown(const ReceivedDatagram& datagram, const ConnectionId& id, Instant now) {
  counters_.add(Counter::dropUnknownConnection);
  if (gateway_ == nullptr) return;
  // Always shorter than what provoked it, so that two endpoints cannot keep each other busy (RFC 9000
  // section 10.3.3).
  static_assert(kSessionOverhead + 1 > kResetOverhead);
  const auto prefix = datagram.remote.prefix();
  Instant& last = last_reset_[siphash13(prefix_key_, prefix) % last_reset_.size()];
  if (last != Instant::min() && now - last < kResetPerPrefix) return;
  if (!reset_budget_.take(1, now)) return;
  last = now;
  Buffer buffer = buffers_.acquire();
  if (!buffer) return;
  buffer.size = encode_reset(buffer.storage(), id, reset_token(gateway_->options().reset_key, id.view()));
  if (send_datagram(std::move(buffer), datagram.remote, datagram.local)) counters_.add(Counter::resetsSent);
}

// ---- sending

void Endpoint::mark_dirty(Peer& peer) {
  if (peer.dirty) return;
  peer.dirty = true;
  dirty_.push_back(peers_.handle_of(peer));
}

// When a PONG that is due may not wait any longer; kNever when none is due.
Instant Endpoint::pong_deadline(const Peer& peer) {
  if (!peer.pong_pending) return kNever;
  return peer.message_since_pong ? peer.pong_received + kMaxPongDelay : peer.pong_received;
}

// Whether a packet has to be sent even without a message.
bool Endpoint::has_due(const Peer& peer, Instant now) {
  switch (peer.phase) {
    case PeerPhase::kConfirming:
      return peer.ping_due;
    case PeerPhase::kConnected:
      return peer.ping_due || pong_deadline(peer) <= now || peer.ack_now ||
             (peer.ack_pending && peer.ack_deadline <= now) || peer.control.next_deadline() <= now ||
             (peer.transfer && peer.transfer->has_due(now)) || peer.path_mtu.next_probe(now) != 0;
    case PeerPhase::kDisconnecting:
      return peer.ending->due || peer.ack_pending;
    case PeerPhase::kLingering:
      return peer.ack_pending;
    case PeerPhase::kRequesting:
    case PeerPhase::kResponding:
    case PeerPhase::kHalfOpen:
    case PeerPhase::kConsuming:
      break;
  }
  return false;
}

std::size_t Endpoint::packet_capacity(const Peer& peer) {
  return peer.path_mtu.current() - kTagSize - session_header_size(peer.remote_id.length);
}

// Datagrams may have become longer or shorter since the packet was begun.
std::size_t Endpoint::room_in(const Peer& peer, const Buffer& packet) {
  const std::size_t end = std::min(peer.path_mtu.current(), packet.storage().size()) - kTagSize;
  return end > packet.size ? end - packet.size : 0;
}

BufferPool& Endpoint::pool_for(std::size_t datagram) {
  return datagram <= buffers_.buffer_bytes() ? buffers_ : long_buffers_;
}

// False when there is no room for it now.
bool Endpoint::send_mtu_probe(Peer& peer, std::size_t size, Instant now) {
  const BufferPool& pool = pool_for(size);
  if (output_.full() || pool.in_use() == pool.max()) return false;
  if (!transfer_of(peer).add_mtu_probe(peer.next_packet_number)) return false;
  std::array<std::byte, kMtuProbeFrameSize> frame{};
  ByteWriter writer(frame);
  static_cast<void>(write_mtu_probe(writer));
  const std::uint64_t number = peer.next_packet_number;
  if (send_alone(peer, writer.written(), size, current_path(peer), now, peers_.handle_of(peer).slot) == 0)
    return false;
  peer.path_mtu.on_probe_sent(size, number, now, Recovery::probe_timeout(peer.round_trip));
  return true;
}

// False when there is no buffer.
bool Endpoint::begin_packet(Peer& peer) {
  peer.open_packet = pool_for(peer.path_mtu.current()).acquire();
  if (!peer.open_packet) return false;
  peer.open_packet.size = session_header_size(peer.remote_id.length);
  return true;
}

void Endpoint::write_due_frames(Peer& peer, ByteWriter& writer, Instant now) {
  if (peer.phase == PeerPhase::kDisconnecting) {
    // First, so that a client which waits for its first session packet sees at once that it was refused.
    Ending& ending = *peer.ending;
    const Bytes reason = Bytes(ending.reason).first(ending.reason_size);
    if (write_disconnect(writer, {ending.code, ending.reconnect_spread, reason})) {
      ending.first_packet_number = std::min(ending.first_packet_number, peer.next_packet_number);
      if (ending.sent < kMaxDisconnects) ++ending.sent;
      ending.due = false;
    }
  }
  if (peer.pong_pending &&
      write_pong(writer, peer.pong_sequence,
                 static_cast<std::uint64_t>(peer.pong_received.time_since_epoch().count()),
                 now - peer.pong_received)) {
    peer.pong_pending = peer.message_since_pong = false;
    peer.last_pong_sent = now;
    // A PING and its PONG show that packets arrive in both directions: as long as the other side keeps the
    // connection alive, this side need not.
    if (const Duration interval = ping_interval(peer); interval > kSlowPingInterval) {
      peer.next_ping = std::max(peer.next_ping, deferred_ping(peer, interval));
      // But clocks drift apart: this side's estimate needs samples of its own, for which this packet is a
      // chance.
      if (now - peer.clock.last_sample() >= kClockRefresh) peer.ping_due = true;
    }
  }
  if (peer.ack_pending) {
    std::array<AckRange, kMaxAckRanges> ranges{};
    std::size_t count = 0;
    // Older ranges were in earlier ACKs. Where many packets come late, one that has just arrived can be below
    // the newest ranges.
    std::uint64_t* const lowest = peer.transfer ? &peer.transfer->lowest_since_ack : nullptr;
    peer.window.for_each_range([&](std::uint64_t first, std::uint64_t last) {
      if (count >= kUsualAckRanges && (lowest == nullptr || last < *lowest)) return false;
      ranges[count++] = AckRange{first, last};
      return count < kMaxAckRanges;
    });
    const auto acknowledged = std::span(ranges).first(count);
    const Duration delay = now - peer.ack_received;
    const bool marked = peer.transfer && peer.transfer->marks() != EcnCounts{};
    if (marked ? write_ack_ecn(writer, delay, acknowledged, peer.transfer->marks())
               : write_ack(writer, delay, acknowledged)) {
      peer.ack_pending = peer.ack_now = false;
      peer.ack_deadline = kNever;
      peer.unacknowledged = 0;
      if (lowest != nullptr && std::exchange(*lowest, UINT64_MAX) < acknowledged.back().smallest)
        counters_.add(Counter::acksIncomplete);
    }
  }
  if (peer.phase != PeerPhase::kConnected && peer.phase != PeerPhase::kConfirming) return;
  // A PING rides on a packet in the last quarter of its interval, but none does within a second of another.
  const bool rides =
      now >= peer.next_ping - ping_interval(peer) / 4 && peer.pings.is_older_than(kSlowPingInterval, now);
  if ((peer.ping_due || rides) && writer.remaining() >= kPingFrameSize) write_ping_frame(peer, writer, now);
  peer.control.for_each_due(now, [&](ControlFrame& frame) {
    if (writer.remaining() < frame.size) return false;
    writer.bytes(frame.view());
    if (frame.tries > 0) counters_.add(Counter::controlFramesRepeated);
    ControlFrames::on_sent(frame, peer.next_packet_number, now, peer.round_trip.smoothed());
    return true;
  });
}

void Endpoint::write_ping_frame(Peer& peer, ByteWriter& writer, Instant now) {
  static_cast<void>(write_ping(writer, peer.pings.sent(ping_pool_, now)));
  counters_.add(Counter::pingsSent);
  plan_ping(peer, now);
  peer.ping_due = false;
  peer.message_since_ping = false;
}

// Whether a PING has to measure the round trip while there are messages. Acknowledgements may do so as well;
// the answer of the last PING came up to a round trip after it, which must not make the interval longer.
bool Endpoint::wants_measurement(const Peer& peer, Instant now) {
  return peer.phase == PeerPhase::kConnected && peer.pings.is_older_than(kMeasureInterval, now) &&
         peer.round_trip.is_older_than(kMeasureInterval / 2, now);
}

// Whether probes go unanswered, so that a PING has to go with messages that ask for no acknowledgement. Its
// PONG tells at once that the path carries datagrams again; otherwise the next probe would.
bool Endpoint::waits_for_path(const Peer& peer) {
  return peer.phase == PeerPhase::kConnected && peer.transfer && peer.transfer->recovery().timeouts() > 0;
}

// Adds what else is due and seals. Control frames are written here and not before, because what is written
// counts as sent in the packet of that number.
void Endpoint::finish_packet(Peer& peer, Instant now) {
  Buffer buffer = std::move(peer.open_packet);
  const std::uint64_t under_this_key = peer.next_packet_number - peer.keys.first_packet;
  if (under_this_key >= kMaxPacketsPerKey - kLastPackets && peer.phase == PeerPhase::kConnected) {
    return fail(peer, DisconnectResult::kKeyExhausted, DisconnectCode::kKeyExhausted, now);
  }
  if (under_this_key >= kMaxPacketsPerKey || output_.full()) return counters_.add(Counter::dropOutputFull);
  update_worn_keys(peer, now);
  const std::size_t header = session_header_size(peer.remote_id.length);
  const bool own_messages = buffer.size > header;
  const bool messages = own_messages || peer.message_since_ping;
  ByteWriter writer(buffer.storage().subspan(buffer.size, room_in(peer, buffer)));
  write_due_frames(peer, writer, now);
  if (own_messages) peer.message_since_pong = true;
  if (peer.transfer && peer.phase == PeerPhase::kConnected)
    peer.transfer->fill(writer, packet_capacity(peer), own_messages, peer.round_trip, now);
  // The acknowledgement of a packet with frames that have to arrive is a sample too.
  const bool acknowledged = peer.transfer && peer.transfer->has_open_frames();
  bool pings = wants_measurement(peer, now);
  if (own_messages && !acknowledged && !pings && waits_for_path(peer)) {
    // No more often than they are answered, and few enough to be remembered.
    const Duration least = std::max<Duration>(kPongInterval, peer.round_trip.smoothed() / kPingsInRoundTrip);
    pings = peer.pings.is_older_than(least, now);
    if (!pings && now + least < peer.next_ping) {
      peer.next_ping = now + least;
      schedule(peer);
    }
  }
  if (messages && !acknowledged && pings) {
    if (writer.remaining() >= kPingFrameSize) {
      write_ping_frame(peer, writer, now);
    } else {
      // In a packet of its own, which the flush sends.
      peer.ping_due = true;
    }
  }
  buffer.size += writer.position();
  if (buffer.size == header) return;
  seal_packet(peer, std::move(buffer), current_path(peer), now);
}

NetworkPath Endpoint::current_path(const Peer& peer) {
  return NetworkPath{peer.remote, peer.local, peer.remote_id};
}

// Numbers, seals and queues a packet whose frames begin behind the header.
void Endpoint::seal_packet(Peer& peer, Buffer&& buffer, const NetworkPath& path, Instant now,
                           std::uint32_t probing_slot) {
  const std::size_t header = session_header_size(path.id.length);
  const std::uint64_t number = peer.next_packet_number++;
  encode_session_header(buffer.storage(), peer.keys.epoch, path.id, number);
  const std::size_t payload = buffer.size - header;
  if (Tap* const tap = output_.tap(); tap != nullptr && tap->wants_plaintext()) [[unlikely]]
    tap->packet(TapDirection::kSent, path.remote, path.local, path.id, peer.keys.epoch, number,
                buffer.storage().subspan(header, payload));
  buffer.size += kTagSize;
  peer.keys.send.seal_in_place(number, buffer.storage().first(header),
                               buffer.storage().subspan(header, payload + kTagSize));
  counters_.add(Counter::packetsSealed);
  status_changed(peer);
  std::uint8_t ecn = 0;
  if (peer.transfer && peer.transfer->has_open_frames()) {
    peer.transfer->on_sent(number, buffer.size, now);
    ecn = peer.transfer->ecn();
  }
  send_datagram(std::move(buffer), path.remote, path.local, ecn, probing_slot);
  if (peer.next_packet_number == peer.next_skip) {
    peer.skipped = peer.next_packet_number++;
    ++peer.skips;
    peer.next_skip = peer.next_packet_number + kMinSkipDistance + random_.below(kSkipSpread);
  }
}

// Sends one frame in a packet without others, padded to a datagram of `size` bytes if that is more than it
// takes. Returns the size of the datagram; 0 without room, or at the end of the key.
std::size_t Endpoint::send_alone(Peer& peer, Bytes frame, std::size_t size, const NetworkPath& path,
                                 Instant now, std::uint32_t probing_slot) {
  if (peer.next_packet_number - peer.keys.first_packet >= kMaxPacketsPerKey - kLastPackets || output_.full())
    return 0;
  Buffer buffer = pool_for(size).acquire();
  if (!buffer) return 0;
  buffer.size = session_header_size(path.id.length);
  const std::size_t end = std::max(size, buffer.size + frame.size() + kTagSize) - kTagSize;
  ByteWriter writer(buffer.storage().subspan(buffer.size, end - buffer.size));
  writer.bytes(frame);
  static_cast<void>(write_padding(writer, writer.remaining()));
  buffer.size = end;
  seal_packet(peer, std::move(buffer), path, now, probing_slot);
  return end + kTagSize;
}

// When a keep-alive is due that answering the other side's has deferred. A server waits for longer: two sides
// that wait alike would go on sending theirs at the same time.
Instant Endpoint::deferred_ping(const Peer& peer, Duration interval) const {
  return peer.last_pong_sent + interval + interval / (options_.mode == Mode::kServer ? 2 : 4);
}

// A PING is due now, and without an answer once a second again; the answer sets the real time.
void Endpoint::plan_ping(Peer& peer, Instant now) {
  peer.ping_due = true;
  peer.next_ping = now + std::min(ping_interval(peer), kSlowPingInterval);
}

bool Endpoint::send_control(Peer& peer, Bytes frame) {
  if (!peer.control.queue(control_pool_, frame)) return false;
  mark_dirty(peer);
  schedule(peer);
  return true;
}

// ---- liveness

void Endpoint::start_session(Peer& peer, Prk&& prk, Instant now) {
  peer.exporter = exporter_secret(prk);
  peer.keys = SessionKeys::derive(std::move(prk), options_.mode == Mode::kServer, 0);
  peer.keys.since = now;
  peer.next_packet_number = 0;
  peer.next_skip = kMinSkipDistance + random_.below(kSkipSpread);
  peer.skipped = UINT64_MAX;
  peer.skips = 0;
  peer.window = ReplayWindow();
  peer.last_receive = now;
  peer.last_pong_sent = now - kPongInterval;
  peer.message_since_pong = false;
  start_ceilings(peer, now);
}

void Endpoint::start_ceilings(Peer& peer, Instant now) {
  if (options_.max_packets_per_second == 0 && options_.max_bytes_per_second == 0) {
    peer.ceilings.reset();
    return;
  }
  peer.ceilings = std::make_unique<PeerCeilings>(options_.max_packets_per_second,
                                                 options_.max_bytes_per_second, options_.max_datagram, now);
}

void Endpoint::set_ceilings(std::uint32_t packets, std::uint32_t bytes, Instant now) {
  // New ceilings let each peer send another second's worth at once.
  if (options_.max_packets_per_second == packets && options_.max_bytes_per_second == bytes) return;
  options_.max_packets_per_second = packets;
  options_.max_bytes_per_second = bytes;
  peers_.for_each([&](Peer& peer) { start_ceilings(peer, now); });
  if (netcode_ != nullptr) netcode_->set_ceilings(packets, bytes, now);
}

void Endpoint::start_liveness(Peer& peer, Instant now) {
  peer.last_receive = now;
  // A client's first PING is what its server has just confirmed.
  if (options_.mode == Mode::kServer) plan_ping(peer, now);
  mark_dirty(peer);
  for (std::size_t spare = 1; spare < kKnownIds; ++spare) {
    if (!offer_id(peer)) return fail(peer, DisconnectResult::kClosed, DisconnectCode::kLimitExceeded, now);
  }
}

Duration Endpoint::ping_interval(const Peer& peer) const {
  const Duration keep_alive = std::min(kMaxKeepAlive, peer.timeout / 3);
  // The server's clock is the reference of most users: the client alone measures in a hurry.
  if (options_.mode == Mode::kClient && !peer.clock.settled() && peer.samples < kFastSamples &&
      peer.pings.count() < kMaxFastPings)
    return std::min(kFastPingInterval, keep_alive);
  if (!peer.clock.settled() && peer.samples < kMaxSettlingSamples)
    return std::min(kSlowPingInterval, keep_alive);
  return keep_alive;
}

// ---- the end

void Endpoint::announce(Peer& peer, DisconnectResult result, const DisconnectFrame& frame) {
  put_event(peer, EventKind::kDisconnect, static_cast<std::uint32_t>(result),
            disconnect_record(frame.code, frame.reconnect_spread), frame.reason);
}

void Endpoint::forget_connected(Peer& peer) {
  --connected_count_;
  peer.path_validation.reset();
  counters_.add(Counter::peersDisconnected);
  release_client_id(peer);
  // So that it is not counted again when it ends or is destroyed.
  peer.phase = PeerPhase::kLingering;
  publish(peer);
}

void Endpoint::begin_ending(Peer& peer, DisconnectResult result, const DisconnectFrame& frame, bool tell,
                            Instant now) {
  if (frame.code == static_cast<std::uint32_t>(DisconnectCode::kSlowConsumer))
    counters_.add(Counter::peersSlowConsumer);
  if (frame.code == static_cast<std::uint32_t>(DisconnectCode::kSendMemoryFull))
    counters_.add(Counter::peersSendMemoryFull);
  // An open packet stays: what was queued before leaves before, or with the DISCONNECT behind it.
  if (peer.phase == PeerPhase::kConnected) forget_connected(peer);
  release_client_id(peer);
  peer.control.clear(control_pool_);
  drop_transfer(peer);
  set_phase(peer, PeerPhase::kDisconnecting);
  drop_half_open(peer);
  peer.attempt.reset();
  peer.ending = std::make_unique<Ending>();
  Ending& ending = *peer.ending;
  ending.code = frame.code;
  if (options_.mode == Mode::kServer) ending.reconnect_spread = frame.reconnect_spread;
  ending.due = true;
  ending.reason_size = static_cast<std::uint16_t>(whole_characters(frame.reason, kMaxReasonSize));
  std::copy_n(frame.reason.begin(), ending.reason_size, ending.reason.begin());
  ending.next_send = now + kDisconnectInterval;
  mark_dirty(peer);
  if (tell) {
    const Bytes reason = Bytes(ending.reason).first(ending.reason_size);
    announce(peer, result, {ending.code, ending.reconnect_spread, reason});
  }
  wheel_.arm(peer, ending.next_send);
}

void Endpoint::fail(Peer& peer, DisconnectResult result, DisconnectCode code, Instant now) {
  if (peer.phase == PeerPhase::kConfirming) return restart_attempt(peer, now);
  if (peer.phase != PeerPhase::kConnected) return;
  if (code == DisconnectCode::kProtocolError) counters_.add(Counter::peersProtocolError);
  begin_ending(peer, result, {static_cast<std::uint32_t>(code), {}, {}}, true, now);
}

}  // namespace hawser
