#include "engine/endpoint.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "wire/address_codec.hpp"
#include "wire/session_packet.hpp"

namespace hawser {

namespace {

// Open packets of different peers that may wait for the end of the turn.
constexpr std::size_t kMaxOpenPackets = 512;
// Buffers beside those of the output queue: open packets, and packets that wait for a token's consumption.
constexpr std::size_t kExtraBuffers = 2 * kMaxOpenPackets + 1024;
// RESETs of all shards together (docs/protocol.md section 9).
constexpr std::uint32_t kResetsPerSecond = 100;
// Of all shards together: tokens that break a rule of their clear part and are opened to answer their holders
// (section 7).
constexpr std::uint32_t kRefusalsPerSecond = 1000;
// At once: an eighth of the queue, which also serves good tokens.
constexpr std::uint32_t kRefusalBurst = 64;
// Packets of one peer that leave before those of the next one.
constexpr int kPacketsPerPeer = 64;
// Bins of source prefixes for RESETs.
constexpr std::size_t kResetBins = 256;
// Free memory of messages that is kept for the next ones: per session, and of all together.
constexpr std::size_t kKeptBytesPerSession = std::size_t{64} * 1024;
constexpr std::size_t kKeptBytes = std::size_t{4} * 1024 * 1024;
// Of the memory for received messages, the part that the credit of one connection may be.
constexpr std::size_t kReassemblyPerCredit = 8;
// As long as a peer that does not acknowledge its DISCONNECTs is waited for.
constexpr Duration kGoodbyeTime = (kMaxDisconnects + 1) * kDisconnectInterval;
// How long what waits for the flush is left alone by its timer.
constexpr Duration kFlushPatience = std::chrono::milliseconds(10);

// One shard's part of what all of them may do.
std::uint32_t share_of(std::uint32_t whole, const EndpointOptions& options) {
  return std::max(1U, whole / options.shards);
}

}  // namespace

Hash128 Endpoint::digest_of(const std::vector<ChannelDeclaration>& channels) {
  std::vector<ChannelDigestEntry> entries;
  entries.reserve(channels.size());
  for (const ChannelDeclaration& channel : channels) {
    entries.push_back(
        {static_cast<std::uint8_t>(channel.mode), channel.max_message_bytes, channel.name, channel.codec});
  }
  return channels_digest(entries);
}

Endpoint::Endpoint(const EndpointOptions& options, GatewayState* gateway, RandomSource& random,
                   EventQueue& events, Counters counters, Instant now)
    : options_(options),
      gateway_(gateway),
      steering_(options.shards, options.server_index.has_value(), options.connection_id_length),
      random_(random),
      events_(events),
      counters_(counters),
      wall_clock_(now),
      transfer_settings_(options.max_reassembly_bytes, options.max_sessions,
                         std::min(kKeptBytes, kKeptBytesPerSession * options.max_sessions)),
      channels_digest_(digest_of(options.channels)),
      own_buffers_(options.packet_buffers != nullptr
                       ? nullptr
                       : std::make_unique<PacketBuffers>(options.max_datagram,
                                                         options.max_output_packets + kExtraBuffers)),
      buffers_(own_buffers_ ? own_buffers_->usual : options.packet_buffers->usual),
      long_buffers_(own_buffers_ ? own_buffers_->longer : options.packet_buffers->longer),
      control_pool_(options.max_sessions * ControlFrames::kMax),
      ping_pool_(options.max_sessions),
      output_(options.max_output_packets),
      wheel_(now),
      status_table_(2 * options.max_sessions),
      peers_(options.max_sessions),
      by_id_(random_sip_key(random), std::size_t{options.max_sessions} * (kKnownIds + 1), peers_),
      awaiting_(random_sip_key(random), std::size_t{options.max_sessions} * kMaxTokenAddresses),
      half_open_by_client_(random_sip_key(random), options.max_half_open),
      reset_tokens_(random_sip_key(random), std::size_t{options.max_sessions} * (kKnownIds + 1)),
      handshake_budget_(options.handshake_burst, now),
      refusal_budget_(share_of(kRefusalsPerSecond, options), share_of(kRefusalBurst, options), now),
      reset_budget_(share_of(kResetsPerSecond, options), share_of(kResetsPerSecond, options), now),
      prefix_key_(random_sip_key(random)) {
  assert((options.mode == Mode::kServer) == (gateway != nullptr));
  assert(options.shard < options.shards && (options.shards == 1 || gateway != nullptr));
  if (options.mode == Mode::kServer) {
    const SipKey key = random_sip_key(random);
    handshakes_ = std::make_unique<HandshakeQueue>(key);
    responses_ = std::make_unique<HandshakeQueue>(key);
  }
  transfer_settings_.channels = std::move(options_.channels);
  transfer_settings_.congestion = options.congestion;
  transfer_settings_.credit = options.credit;
  transfer_settings_.channel_credit = options.channel_credit;
  transfer_settings_.max_credit = static_cast<std::uint32_t>(
      std::min<std::size_t>(options.max_credit, options.max_reassembly_bytes / kReassemblyPerCredit));
  transfer_settings_.credit_budget =
      gateway != nullptr ? &gateway->credit_budget() : &own_credit_budget_.emplace(options.max_grown_credit);
  transfer_settings_.max_in_flight = options.max_queued_bytes / 2;
  if (options.mode == Mode::kServer) {
    last_reset_.resize(kResetBins, Instant::min());
    start_netcode_server(now);
  } else {
    // Now, and not with the first token of netcode: what a seeded source gives later must not depend on that.
    netcode_client_key_ = random_sip_key(random);
  }
  memory_bytes_.store(memory_bytes(), std::memory_order_relaxed);
}

netcode::SessionOptions Endpoint::netcode_options() const {
  const std::vector<ChannelDeclaration>& channels = transfer_settings_.channels;
  const auto channel = std::ranges::find(channels, ChannelMode::kUnreliable, &ChannelDeclaration::mode);
  netcode::SessionOptions options;
  options.first_slot = options.max_sessions = options_.max_sessions;
  if (channel != channels.end()) options.channel = static_cast<std::uint32_t>(channel - channels.begin());
  options.max_packets_per_second = options_.max_packets_per_second;
  options.max_bytes_per_second = options_.max_bytes_per_second;
  options.shards = options_.shards;
  return options;
}

netcode::Surroundings Endpoint::netcode_surroundings() {
  return {random_, events_, counters_, buffers_, output_, status_table_, status_schedule_};
}

void Endpoint::start_netcode_server(Instant now) {
  if (gateway_->netcode() == nullptr) return;
  netcode_server_ =
      std::make_unique<netcode::Server>(netcode_options(), netcode_surroundings(), *gateway_, wall_clock_,
                                        options_.shard, options_.max_half_open, now);
  netcode_ = netcode_server_.get();
}

// Made with the first token of netcode: most clients never have one.
netcode::Client& Endpoint::netcode_client(Instant now) {
  if (!netcode_client_) {
    netcode_client_ = std::make_unique<netcode::Client>(netcode_options(), netcode_surroundings(),
                                                        netcode_client_key_, now);
    netcode_ = netcode_client_.get();
  }
  return *netcode_client_;
}

Endpoint::~Endpoint() {
  peers_.for_each([this](Peer& peer) { destroy(peer); });
  if (gateway_ != nullptr) count_send_memory();
  output_.pop(output_.size());
  // Nobody else does it when this was the last endpoint that shared them.
  if (!own_buffers_) options_.packet_buffers->release_unused();
}

SocketState Endpoint::state() const {
  if (!stopping_) return SocketState::kRunning;
  // The last goodbyes have to leave, too, and the last news to be there for the user.
  const bool stopped = sessions() == 0 && events_.kept() == 0 && (gave_up_goodbyes_ || output_.size() == 0);
  return stopped ? SocketState::kStopped : SocketState::kStopping;
}
std::uint32_t Endpoint::sessions() const {
  return peers_.size() + (netcode_ != nullptr ? netcode_->sessions() : 0);
}
std::uint32_t Endpoint::connected() const {
  return connected_count_ + (netcode_ != nullptr ? netcode_->connected() : 0);
}

std::size_t Endpoint::memory_bytes() const {
  return peers_.allocated_bytes() + control_pool_.allocated_bytes() + ping_pool_.allocated_bytes() +
         (own_buffers_ ? own_buffers_->allocated_bytes() : 0) + by_id_.allocated_bytes() +
         awaiting_.allocated_bytes() + reset_tokens_.allocated_bytes() + output_.allocated_bytes() +
         transfer_settings_.send_blocks.allocated_bytes() +
         transfer_settings_.receive_memory.allocated_bytes() +
         (handshakes_ ? handshakes_->allocated_bytes() + responses_->allocated_bytes() : 0) +
         failed_responses_.allocated_bytes() + (foreign_budget_ ? sizeof(*foreign_budget_) : 0) +
         status_table_.allocated_bytes() + status_schedule_.allocated_bytes() +
         (netcode_ != nullptr ? netcode_->memory_bytes() : 0);
}

void Endpoint::set_wall_clock(Instant now, WallTime wall) { wall_clock_.set(now, wall); }

std::optional<std::uint32_t> Endpoint::receive(const ReceivedDatagram& datagram, Instant now) {
  // What was handed over has been seen by the tap of the shard where it arrived.
  if (Tap* const tap = output_.tap(); tap != nullptr && !datagram.handed_over) [[unlikely]]
    tap->received(datagram);
  const std::optional<std::uint32_t> owner = owner_of(datagram, now);
  const bool foreign = owner && *owner != options_.shard;
  if (foreign && !datagram.handed_over) return owner;
  counters_.add(Counter::datagramsReceived);
  counters_.add(Counter::bytesReceived, datagram.bytes.size());
  if (foreign) {
    counters_.add(Counter::dropForeignShard);
  } else {
    receive_own(datagram, now);
  }
  return std::nullopt;
}

// The shard that has to have a datagram; nothing when any may.
std::optional<std::uint32_t> Endpoint::owner_of(const ReceivedDatagram& datagram, Instant now) {
  if (steering_.shards() == 1 || !options_.hawser) return std::nullopt;
  if (const auto named = steering_.shard_of(datagram.bytes)) return named;
  // Once it is answered, its repetitions are for whoever did that. One that is here before the answer, or of
  // which nothing is said for the moment, is dropped when its turn comes, and the next one is handed over.
  if (datagram.bytes.empty() || datagram.bytes[0] != std::byte{kResponseByte}) return std::nullopt;
  const auto response = parse_response(datagram.bytes);
  return response ? gateway_->consumer_of(response->cookie.mac, now) : std::nullopt;
}

void Endpoint::receive_own(const ReceivedDatagram& datagram, Instant now) {
  if (datagram.bytes.empty() || datagram.bytes.size() > kMaxReceivedDatagram)
    return counters_.add(Counter::dropLength);
  const bool server = options_.mode == Mode::kServer;
  const auto first = std::to_integer<std::uint8_t>(datagram.bytes[0]);
  if (netcode_ != nullptr && netcode::may_begin_packet(first)) return receive_netcode(datagram, now);
  const DatagramKind kind = options_.hawser ? classify(first) : DatagramKind::kUnknown;
  switch (kind) {
    case DatagramKind::kSession:
      return receive_session(datagram, now);
    case DatagramKind::kRequest:
    case DatagramKind::kResponse:
      return server ? receive_handshake(datagram, kind, now) : counters_.add(Counter::dropReflected);
    case DatagramKind::kChallenge:
    case DatagramKind::kAccept:
    case DatagramKind::kDenied:
      return server ? counters_.add(Counter::dropReflected) : receive_for_client(datagram, kind, now);
    case DatagramKind::kReset:
      return server ? counters_.add(Counter::dropReflected) : receive_reset(datagram, now);
    case DatagramKind::kUnknown:
      break;
  }
  counters_.add(Counter::dropUnknownType);
}

void Endpoint::receive_netcode(const ReceivedDatagram& datagram, Instant now) {
  if (datagram.bytes[0] != std::byte{0}) return netcode_->receive(datagram, now);
  if (netcode_server_ == nullptr) return counters_.add(Counter::dropReflected);
  if (netcode_server_->check_request(datagram.bytes, now) && handshakes_->push(datagram))
    counters_.add(Counter::dropHandshakeBudget);
}

void Endpoint::advance(Instant now) {
  take_notices(now);
  wheel_.advance(now, [&](TimerNode& node) { on_timer(static_cast<Peer&>(node), now); });
  if (netcode_ != nullptr) netcode_->advance(now);
  if (now >= goodbyes_end_) give_up_goodbyes();
  if (now >= next_erasure_) next_erasure_ = gateway_->erase_old_records(now);
  if (!own_buffers_) options_.packet_buffers->release_idle_shared(now);
  if (now >= next_release_) release_idle_memory(now);
}

bool Endpoint::may_release_memory() const {
  return transfer_settings_.send_blocks.kept() + transfer_settings_.receive_memory.kept() > 0 ||
         (own_buffers_ && own_buffers_->allocated_bytes() > 0) || output_.has_grown() ||
         (handshakes_ && handshakes_->allocated_bytes() + responses_->allocated_bytes() > 0) ||
         foreign_budget_;
}

// Gives back what a flood or a burst has left behind.
void Endpoint::release_idle_memory(Instant now) {
  if (own_buffers_) own_buffers_->release_idle();
  output_.release_idle();
  transfer_settings_.send_blocks.release_idle();
  transfer_settings_.receive_memory.release_idle();
  if (handshakes_) {
    handshakes_->release_idle();
    responses_->release_idle();
  }
  // Its bins are full again after a second without failures.
  if (foreign_budget_ && !foreign_budget_->take_charged()) foreign_budget_.reset();
  next_release_ = may_release_memory() ? now + PacketBuffers::kReleaseInterval : kNever;
}

// Does what peers of other shards decided for peers of this one.
void Endpoint::take_notices(Instant now) {
  if (gateway_ == nullptr || !gateway_->has_notices(options_.shard)) return;
  gateway_->take_notices(options_.shard, notices_);
  for (const PeerNotice& notice : notices_) {
    if (notice.verdict) {
      complete_consumption(notice.peer, *notice.verdict, now);
    } else {
      end_replaced(notice.peer, now);
    }
  }
  notices_.clear();
}

void Endpoint::on_timer(Peer& peer, Instant now) {
  counters_.add(Counter::timersFired);
  switch (peer.phase) {
    case PeerPhase::kRequesting:
    case PeerPhase::kResponding:
    case PeerPhase::kConfirming:
      return on_client_timer(peer, now);
    case PeerPhase::kHalfOpen:
      counters_.add(Counter::halfOpenExpired);
      return destroy(peer);
    case PeerPhase::kConsuming:
      if (!peer.half_open->verdict) refuse(peer, DeniedReason::kHistoryUnavailable, now);
      break;
    case PeerPhase::kConnected:
      if (now >= peer.last_receive + peer.timeout) {
        counters_.add(Counter::peersTimedOut);
        announce(peer, DisconnectResult::kTimedOut, {});
        forget_connected(peer);
        return destroy(peer);
      }
      on_connected_timer(peer, now);
      if (peer.phase != PeerPhase::kConnected || !peer.dirty) break;
      return wheel_.arm(peer, std::max(deadline_of(peer), now + kFlushPatience));
    case PeerPhase::kDisconnecting:
      if (now < peer.ending->next_send) break;
      // One that the output had no room for counts too: nobody waits for ever for a socket that takes
      // nothing.
      if (peer.ending->due) ++peer.ending->sent;
      if (peer.ending->sent >= kMaxDisconnects) return destroy(peer);
      mark_dirty(peer);
      // The packet leaves with the flush, which sets the next time; until then no timer is needed sooner.
      peer.ending->next_send = now + kDisconnectInterval;
      peer.ending->due = true;
      break;
    case PeerPhase::kLingering:
      if (now >= peer.ending->next_send) return destroy(peer);
      break;
  }
  schedule(peer);
}

// What is due of a connected peer; it may be ending afterwards.
void Endpoint::on_connected_timer(Peer& peer, Instant now) {
  if (peer.key_update && now >= peer.key_update->deadline()) {
    proceed_key_update(peer, now);
    if (peer.phase != PeerPhase::kConnected) return;
  }
  if (peer.path_validation) on_path_timer(peer, now);
  if (now >= peer.next_ping) plan_ping(peer, now);
  peer.path_mtu.on_timer(now);
  if (peer.transfer) {
    peer.transfer->on_timer(peer.round_trip, peer.next_packet_number, now);
    ping_with_probes(peer, now);
    // A client leaves the judgement to its gateway, whose memory is the scarce one.
    if (!peer.transfer->check_progress(peer.last_receive, now) && options_.mode == Mode::kServer) {
      counters_.add(Counter::peersNoProgress);
      return fail(peer, DisconnectResult::kClosed, DisconnectCode::kNoProgress, now);
    }
    settle_transfer(peer, now);
    if (peer.phase != PeerPhase::kConnected) return;
    // Messages may have expired.
    update_flags(peer);
  }
  if (has_due(peer, now)) mark_dirty(peer);
}

Instant Endpoint::deadline_of(const Peer& peer) const {
  switch (peer.phase) {
    case PeerPhase::kRequesting:
    case PeerPhase::kResponding:
    case PeerPhase::kConfirming:
      return client_deadline(*peer.attempt, peer.phase);
    case PeerPhase::kHalfOpen:
    case PeerPhase::kConsuming:
      return peer.half_open->deadline;
    case PeerPhase::kConnected:
      return std::min({peer.last_receive + peer.timeout, peer.next_ping, peer.control.next_deadline(),
                       peer.ack_pending ? peer.ack_deadline : kNever, pong_deadline(peer),
                       peer.transfer ? peer.transfer->deadline(peer.round_trip) : kNever,
                       peer.key_update ? peer.key_update->deadline() : kNever,
                       peer.path_validation ? peer.path_validation->next_deadline() : kNever,
                       peer.path_mtu.next_deadline()});
    case PeerPhase::kDisconnecting:
    case PeerPhase::kLingering:
      break;
  }
  return peer.ending->next_send;
}

void Endpoint::schedule(Peer& peer) {
  const Instant deadline = deadline_of(peer);
  // Later deadlines are found when the armed one fires: a packet received does not move a timer.
  if (!peer.armed() || deadline < peer.deadline) wheel_.arm(peer, deadline);
}

Instant Endpoint::next_deadline() const {
  if (!dirty_.empty() && !output_.full() && buffers_.in_use() < buffers_.max() &&
      long_buffers_.in_use() < long_buffers_.max()) {
    return Instant();
  }
  if (may_tell_untold()) return Instant();
  if (gateway_ != nullptr &&
      (gateway_->has_notices(options_.shard) || gateway_->send_memory().asked(options_.shard)))
    return Instant();
  if (drain_owed_ && output_.size() <= output_.capacity() / 4 && events_.has_room()) return Instant();
  const Instant goodbyes_end = state() == SocketState::kStopping ? goodbyes_end_ : kNever;
  const bool serves_handshakes = handshakes_ && handshakes_wait() && writable();
  return std::min({wheel_.next_deadline(), next_erasure_, next_release_, goodbyes_end,
                   status_schedule_.next_deadline(), serves_handshakes ? handshakes_resume_ : kNever,
                   netcode_ != nullptr ? netcode_->next_deadline() : kNever});
}

void Endpoint::flush(Instant now) {
  counters_.add(Counter::turns);
  take_notices(now);
  send_memory_searched_ = false;
  answer_for_send_memory(now);
  relieve_send_memory(now);
  tell_untold(now);
  std::size_t left = 0;
  for (const Handle handle : dirty_) {
    Peer* peer = peers_.get(handle);
    if (peer == nullptr) continue;
    peer->dirty = !seal_due(*peer, now);
    if (peer->dirty) dirty_[left++] = handle;
    if (peer->transfer) {
      update_flags(*peer);
      schedule(*peer);
    }
  }
  dirty_.resize(left);
  if (netcode_ != nullptr) netcode_->flush();
  // After the peers, which are served first.
  if (handshakes_) serve_handshakes(now);
  if (next_release_ == kNever && may_release_memory()) next_release_ = now + PacketBuffers::kReleaseInterval;
  tell_drain();
  refresh_gauges();
  publish_status();
  status_schedule_.run_round(
      now, [this](Handle handle) { return status_mark(handle); }, [this](Handle handle) { publish(handle); });
}

// Seals what a peer has to send; false when something is left for want of room.
bool Endpoint::seal_due(Peer& peer, Instant now) {
  if (!answer_challenges(peer, now)) return false;
  if (peer.open_packet) {
    if (output_.full()) return false;
    finish_packet(peer, now);
  }
  if (const std::size_t probe = peer.phase == PeerPhase::kConnected ? peer.path_mtu.next_probe(now) : 0;
      probe != 0 && !send_mtu_probe(peer, probe, now)) {
    return false;
  }
  // What found no room in the open packet, or no packet.
  for (int packets = 0; packets < kPacketsPerPeer; ++packets) {
    if (!has_due(peer, now)) return true;
    if (output_.full() || !begin_packet(peer)) return false;
    finish_packet(peer, now);
  }
  return !has_due(peer, now);
}

void Endpoint::tell_drain() {
  if (!drain_owed_ || output_.size() > output_.capacity() / 4 || !events_.has_room()) return;
  drain_owed_ = !events_.push(EventKind::kDrain, Handle{}, 0, {});
}

void Endpoint::refresh_gauges() {
  memory_bytes_.store(memory_bytes(), std::memory_order_relaxed);
  counters_.set(Counter::peers, connected());
  counters_.set(Counter::halfOpen, half_open_count_ + (netcode_server_ ? netcode_server_->pending() : 0));
  counters_.set(Counter::packetBuffersInUse, buffers_.in_use() + long_buffers_.in_use());
  counters_.set(Counter::packetBuffersPeak, buffers_.peak() + long_buffers_.peak());
  counters_.set(Counter::sendQueueBytes, transfer_settings_.send_blocks.in_use());
  counters_.set(Counter::grownCreditBytes, transfer_settings_.grown_credit);
  counters_.set(Counter::creditRefusals, transfer_settings_.credit_refusals);
  counters_.set(Counter::redundantBytes, transfer_settings_.redundant_bytes);
  counters_.set(Counter::reassemblyBytes, transfer_settings_.receive_memory.bytes_in_use());
  counters_.set(Counter::reassemblyBytesPeak, transfer_settings_.receive_memory.peak());
  if (handshakes_) {
    counters_.set(Counter::handshakeQueueLength, handshakes_->size() + responses_->size());
    counters_.set(Counter::handshakeQueuePeak, std::max(handshakes_->peak(), responses_->peak()));
  }
}

std::span<const OutgoingDatagram> Endpoint::output() { return output_.front(); }

void Endpoint::output_sent(std::size_t count) {
  output_.pop(count);
  tell_drain();
}

void Endpoint::output_too_long(const OutgoingDatagram& datagram, Instant now) {
  if (datagram.probing_slot == kNoProbe) return;
  Peer* const peer = peers_.at(datagram.probing_slot);
  // The slot may belong to another peer by now, and the peer may have moved.
  if (peer == nullptr || peer->phase != PeerPhase::kConnected || peer->remote != datagram.remote) return;
  peer->path_mtu.on_probe_too_long(datagram.bytes.size(), now);
  // The next candidate.
  if (has_due(*peer, now)) mark_dirty(*peer);
}

bool Endpoint::wants_flush() const {
  return output_.size() >= OutputQueue::kBatch || dirty_.size() >= kMaxOpenPackets;
}

bool Endpoint::writable() const { return output_.size() <= output_.capacity() / 2; }

bool Endpoint::send_datagram(Buffer&& buffer, const SocketAddress& remote, const SocketAddress& local,
                             std::uint8_t ecn, std::uint32_t probing_slot) {
  if (output_.full()) {
    counters_.add(Counter::dropOutputFull);
    return false;
  }
  counters_.add(Counter::datagramsSent);
  counters_.add(Counter::bytesSent, buffer.size);
  output_.push(std::move(buffer), remote, local, ecn, probing_slot);
  return true;
}

bool Endpoint::disconnect(Handle handle, std::uint32_t code, std::string_view reason, Instant now,
                          std::chrono::milliseconds reconnect_spread) {
  if (is_netcode(handle)) return netcode_->disconnect(handle, DisconnectResult::kClosed, code);
  Peer* peer = find(handle);
  if (peer == nullptr || peer->phase != PeerPhase::kConnected) return false;
  end_session(*peer, {code, reconnect_spread, bytes_of(reason)}, now);
  return true;
}

// Ends a connected peer's session because the user asked for it. What was sent before leaves before, as far
// as congestion control allows: the receiver reads nothing behind a DISCONNECT.
void Endpoint::end_session(Peer& peer, const DisconnectFrame& frame, Instant now) {
  for (int packets = 0; packets < kPacketsPerPeer && peer.phase == PeerPhase::kConnected; ++packets) {
    const bool due = peer.control.next_deadline() <= now || (peer.transfer && peer.transfer->has_due(now));
    if (!due || output_.full() || (!peer.open_packet && !begin_packet(peer))) break;
    finish_packet(peer, now);
  }
  // The last packet of a key ends the connection.
  if (peer.phase == PeerPhase::kConnected) begin_ending(peer, DisconnectResult::kClosed, frame, true, now);
}

bool Endpoint::goaway(Handle handle, std::uint32_t reason, std::chrono::milliseconds deadline,
                      const SocketAddress& elsewhere, std::chrono::milliseconds reconnect_spread) {
  Peer* peer = find(handle);
  if (peer == nullptr || peer->phase != PeerPhase::kConnected || options_.mode != Mode::kServer) return false;
  std::array<std::byte, 64> frame{};
  ByteWriter writer(frame);
  const bool has_address = elsewhere.family != SocketAddress::Family::kNone;
  if (has_address && !is_encodable(elsewhere)) return false;
  if (!write_goaway(writer, {reason, deadline, reconnect_spread, has_address, elsewhere})) return false;
  return send_control(*peer, writer.written());
}

void Endpoint::stop(std::uint32_t code, std::string_view reason, Instant now,
                    std::chrono::milliseconds reconnect_spread) {
  if (stopping_) return;
  stopping_ = true;
  goodbyes_end_ = now + kGoodbyeTime;
  if (gateway_ != nullptr) gateway_->start_draining();
  peers_.for_each([&](Peer& peer) {
    switch (peer.phase) {
      case PeerPhase::kConnected:
        end_session(peer, {code, reconnect_spread, bytes_of(reason)}, now);
        break;
      case PeerPhase::kRequesting:
      case PeerPhase::kResponding:
      case PeerPhase::kConfirming:
        abort(peers_.handle_of(peer), now);
        break;
      case PeerPhase::kHalfOpen:
      case PeerPhase::kConsuming:
        destroy(peer);
        break;
      case PeerPhase::kDisconnecting:
      case PeerPhase::kLingering:
        break;
    }
  });
  if (netcode_ != nullptr) netcode_->stop(code, now);
}

// Nobody waits for ever for a socket that takes nothing.
void Endpoint::give_up_goodbyes() {
  goodbyes_end_ = kNever;
  gave_up_goodbyes_ = true;
  if (netcode_ != nullptr) netcode_->give_up_disconnects();
}

std::optional<PeerStatus> Endpoint::status(Handle handle, Instant now) {
  if (is_netcode(handle)) return netcode_->status(handle);
  const Peer* peer = find(handle);
  if (peer == nullptr) return std::nullopt;
  PeerStatus status = status_of(*peer);
  status.clock_offset = peer->clock.offset_at(now);
  return status;
}

// All but the clock offset.
PeerStatus Endpoint::status_of(const Peer& peer) {
  PeerStatus status;
  if (peer.round_trip.has_sample()) {
    status.round_trip = peer.round_trip.current();
    status.round_trip_variation = peer.round_trip.variation();
    status.minimum_round_trip = peer.round_trip.minimum();
  }
  status.clock_settled = peer.clock.settled();
  status.connected = peer.phase == PeerPhase::kConnected;
  status.key_epoch = peer.keys.epoch;
  status.packets_sent = peer.next_packet_number - peer.skips;
  status.packets_received = peer.packets_received;
  status.max_datagram = static_cast<std::uint32_t>(peer.path_mtu.current());
  status.max_unreliable = static_cast<std::uint32_t>(max_unreliable(peer));
  if (peer.transfer) {
    const Transfer& transfer = *peer.transfer;
    status.queued_bytes = transfer.queued_bytes();
    status.held_bytes = transfer.held_bytes();
    status.bytes_in_flight = transfer.recovery().in_flight();
    status.packets_lost = transfer.recovery().packets_lost();
    if (const CongestionController* controller = transfer.controller(); controller != nullptr) {
      status.congestion_window = controller->window();
      status.pacing_rate = controller->pacing_rate();
    }
  }
  status.remote = peer.remote;
  return status;
}

void Endpoint::status_changed(Peer& peer) {
  if (peer.phase == PeerPhase::kConnected && peer.status.state == StatusMark::State::kPublished)
    status_schedule_.changed(peer.status, peers_.handle_of(peer));
}

void Endpoint::status_due(Peer& peer) {
  if (peer.phase == PeerPhase::kConnected) status_schedule_.due(peer.status, peers_.handle_of(peer));
}

void Endpoint::publish(Peer& peer) {
  status_table_.publish(peers_.handle_of(peer), status_of(peer), peer.clock.estimate());
}

StatusMark* Endpoint::publish(Handle handle) {
  if (is_netcode(handle)) return netcode_->publish(handle);
  Peer* const peer = find(handle);
  if (peer == nullptr) return nullptr;
  // The last status of a peer that has ended is published already.
  if (peer->phase == PeerPhase::kConnected) publish(*peer);
  return &peer->status;
}

StatusMark* Endpoint::status_mark(Handle handle) {
  if (is_netcode(handle)) return netcode_->status_mark(handle);
  Peer* const peer = find(handle);
  return peer != nullptr ? &peer->status : nullptr;
}

void Endpoint::publish_status() {
  status_schedule_.publish_due([this](Handle handle) { return publish(handle); });
}

std::size_t Endpoint::max_unreliable(const Peer& peer) {
  return kMaxMessageSize + std::max<std::size_t>(peer.path_mtu.current(), kLeastMaxDatagram) -
         kLeastMaxDatagram;
}

std::optional<Key> Endpoint::export_key(Handle handle, std::string_view label) {
  const Peer* peer = find(handle);
  if (peer == nullptr || peer->phase != PeerPhase::kConnected || label.empty() || label.size() > 255)
    return std::nullopt;
  return hawser::export_key(peer->exporter, label);
}

ConnectionId Endpoint::new_connection_id() {
  ConnectionId id;
  id.length = options_.connection_id_length;
  const auto bytes = std::span(id.bytes).first(id.length);
  random_.fill(bytes);
  if (options_.server_index) bytes[0] = std::byte{*options_.server_index};
  steering_.name(options_.shard, id);
  return id;
}

const IssuedId* Endpoint::issue_id(Peer& peer) {
  assert(peer.issued_count < kKnownIds);
  if (peer.next_issued_sequence == UINT32_MAX) return nullptr;
  ConnectionId id = new_connection_id();
  while (by_id_.find(id) != nullptr) id = new_connection_id();
  if (!by_id_.insert(id, peer)) return nullptr;
  IssuedId& issued = peer.issued[peer.issued_count++];
  issued = IssuedId{peer.next_issued_sequence++, id};
  return &issued;
}

void Endpoint::destroy(Peer& peer) {
  if (peer.phase == PeerPhase::kHalfOpen || peer.phase == PeerPhase::kConsuming) leave_half_open(peer);
  if (peer.phase == PeerPhase::kConnected) forget_connected(peer);
  release_client_id(peer);
  wheel_.cancel(peer);
  unlist(peer);
  for (const IssuedId& issued : std::span(peer.issued).first(peer.issued_count)) by_id_.erase(issued.id);
  for (const ReceivedId& received : std::span(peer.received).first(peer.received_count))
    forget_reset_token(peer, received.id);
  peer.pings.clear(ping_pool_);
  peer.control.clear(control_pool_);
  drop_half_open(peer);
  drop_transfer(peer);
  status_schedule_.forget(peer.status);
  peers_.destroy(peer);
}

void Endpoint::set_phase(Peer& peer, PeerPhase phase) {
  const bool was_half_open = peer.phase == PeerPhase::kHalfOpen || peer.phase == PeerPhase::kConsuming;
  if (was_half_open && phase != PeerPhase::kConsuming) leave_half_open(peer);
  peer.phase = phase;
  if (options_.mode != Mode::kClient) return;
  const std::optional<ClientState> state = client_state(phase);
  if (state) put_event(peer, EventKind::kState, static_cast<std::uint32_t>(*state), {});
}

void Endpoint::put_event(Peer& peer, EventKind kind, std::uint32_t argument, Bytes first, Bytes second) {
  status_due(peer);
  events_.put(kind, peers_.handle_of(peer), argument, first, second);
}

void Endpoint::become_connected(Peer& peer, Bytes user_data, Instant now) {
  set_phase(peer, PeerPhase::kConnected);
  ++connected_count_;
  counters_.add(Counter::peersConnected);
  counters_.add(Counter::handshakesCompleted);
  const auto as_u64 = [](WallTime time) {
    return static_cast<std::uint64_t>(time.time_since_epoch().count());
  };
  ConnectRecord record;
  record.client_id = peer.client_id;
  record.create = as_u64(peer.token_created);
  record.expire = as_u64(peer.token_expires);
  record.remote = peer.remote;
  record.local = peer.local;
  record.timeout = peer.timeout;
  record.flags = peer.single_use ? kTokenFlagSingleUse : 0;
  put_event(peer, EventKind::kConnect, 0, encode(record), user_data);
  start_liveness(peer, now);
  schedule(peer);
}

}  // namespace hawser
