#include "engine/netcode_sessions.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hawser::netcode {

namespace {

std::uint64_t milliseconds_of(std::uint64_t seconds) {
  return seconds > UINT64_MAX / 1000 ? 0 : seconds * 1000;
}

}  // namespace

Sessions::Sessions(const SessionOptions& options, const Surroundings& surroundings, Instant now)
    : options_(options),
      random_(surroundings.random),
      events_(surroundings.events),
      counters_(surroundings.counters),
      output_(surroundings.output),
      peers_(options.max_sessions),
      buffers_(surroundings.buffers),
      status_table_(surroundings.status_table),
      status_schedule_(surroundings.status_schedule),
      wheel_(now) {}

Handle Sessions::handle_of(const Peer& peer) const {
  Handle handle = peers_.handle_of(peer);
  handle.slot += options_.first_slot;
  return handle;
}

Peer* Sessions::find(Handle handle) {
  if (!owns(handle)) return nullptr;
  handle.slot -= options_.first_slot;
  return peers_.get(handle);
}

// ---- receiving

std::optional<PacketHeader> Sessions::read_header(const ReceivedDatagram& datagram, PacketTypes taken) {
  const Result<PacketHeader, PacketError> header = parse_header(datagram.bytes, taken);
  if (header) return *header;
  switch (header.error()) {
    case PacketError::kLength:
      counters_.add(Counter::dropLength);
      break;
    case PacketError::kRole:
      counters_.add(Counter::dropReflected);
      break;
    case PacketError::kType:
    case PacketError::kSequence:
      counters_.add(Counter::dropUnknownType);
      break;
  }
  return std::nullopt;
}

std::optional<Bytes> Sessions::open(Peer& peer, const ReceivedDatagram& datagram, const PacketHeader& header,
                                    Instant now) {
  const auto drop = [this](Counter reason) {
    counters_.add(reason);
    return std::nullopt;
  };
  const bool guarded = is_replay_protected(header.type);
  if (guarded) {
    switch (peer.window.check(header.sequence)) {
      case ReplayWindow::Verdict::kNew:
        break;
      case ReplayWindow::Verdict::kReplayed:
        return drop(Counter::dropReplayed);
      case ReplayWindow::Verdict::kTooOld:
        return drop(Counter::dropTooOld);
    }
  }
  const std::optional<Bytes> body =
      open_packet(datagram.bytes, header, peer.receive_key, peer.associated_data);
  if (!body) return drop(Counter::dropAuthentication);
  if (Tap* const tap = output_.tap(); tap != nullptr && tap->wants_plaintext()) [[unlikely]]
    tap->netcode_packet(TapDirection::kReceived, datagram.remote, datagram.local,
                        static_cast<std::uint8_t>(header.type), header.sequence, *body);
  counters_.add(Counter::packetsOpened);
  if (guarded) peer.window.record(header.sequence);
  if (!is_body_size(header.type, body->size())) return drop(Counter::dropLength);
  const bool sign_of_life = header.type == PacketType::kKeepAlive || header.type == PacketType::kPayload;
  if (sign_of_life && peer.phase == Phase::kConnected) peer.last_receive = now;
  // DISCONNECTs come at once and never again.
  const bool limited = peer.phase == Phase::kConnected && header.type != PacketType::kDisconnect;
  if (limited && !peer.ceilings.take(datagram.bytes.size(), now)) return drop(Counter::dropPeerCeiling);
  ++peer.packets_received;
  status_changed(peer);
  return body;
}

void Sessions::process(Peer& peer, PacketType type, Bytes body) {
  switch (type) {
    case PacketType::kPayload:
      peer.confirmed = true;
      if (!options_.channel) return counters_.add(Counter::dropUnexpected);
      if (!events_.leaves(body.size(), EventQueue::kLastBytes, EventQueue::kLastDescriptors) ||
          !events_.push(EventKind::kMessage, handle_of(peer), *options_.channel, body)) {
        return counters_.add(Counter::dropEventQueueFull);
      }
      counters_.add(Counter::messagesReceived);
      return counters_.add(Counter::messageBytesReceived, body.size());
    case PacketType::kKeepAlive:
      peer.confirmed = true;
      return;
    case PacketType::kDisconnect:
      return end(peer, DisconnectResult::kDisconnected, 0, false);
    default:
      return counters_.add(Counter::dropUnexpected);
  }
}

// ---- sending

bool Sessions::transmit(PacketType type, std::uint64_t sequence, Bytes body, const PacketKey& key,
                        const AssociatedData& associated_data, const SocketAddress& remote,
                        const SocketAddress& local) {
  if (output_.full()) return false;
  Buffer buffer = buffers_.acquire();
  if (!buffer) return false;
  if (Tap* const tap = output_.tap(); tap != nullptr && tap->wants_plaintext()) [[unlikely]]
    tap->netcode_packet(TapDirection::kSent, remote, local, static_cast<std::uint8_t>(type), sequence, body);
  buffer.size = seal_packet(buffer.storage(), type, sequence, body, key, associated_data);
  counters_.add(Counter::packetsSealed);
  push_datagram(std::move(buffer), remote, local);
  return true;
}

bool Sessions::transmit(Bytes datagram, const SocketAddress& remote, const SocketAddress& local) {
  if (output_.full()) return false;
  Buffer buffer = buffers_.acquire();
  if (!buffer) return false;
  std::copy(datagram.begin(), datagram.end(), buffer.storage().begin());
  buffer.size = datagram.size();
  push_datagram(std::move(buffer), remote, local);
  return true;
}

void Sessions::push_datagram(Buffer&& buffer, const SocketAddress& remote, const SocketAddress& local) {
  counters_.add(Counter::datagramsSent);
  counters_.add(Counter::bytesSent, buffer.size);
  output_.push(std::move(buffer), remote, local, 0);
}

bool Sessions::send_packet(Peer& peer, PacketType type, Bytes body, Instant now) {
  if (!transmit(type, peer.next_sequence, body, peer.send_key, peer.associated_data, peer.remote, peer.local))
    return false;
  ++peer.next_sequence;
  peer.last_send = now;
  status_changed(peer);
  return true;
}

bool Sessions::send_keep_alive(Peer& peer, Instant now) {
  return send_packet(peer, PacketType::kKeepAlive, encode_keep_alive(keep_alive(peer)), now);
}

SendStatus Sessions::send(Handle handle, std::uint32_t channel, Bytes message, Instant now) {
  Peer* const peer = find(handle);
  if (peer == nullptr || peer->phase != Phase::kConnected) {
    counters_.add(Counter::dropNotConnected);
    return SendStatus::kNotConnected;
  }
  if (channel != options_.channel) return SendStatus::kInvalidChannel;
  if (message.empty() || message.size() > kMaxPayloadSize) return SendStatus::kTooLong;
  // A client that does not know its index yet could not take the payload.
  const bool known = peer->confirmed || send_keep_alive(*peer, now);
  if (known && send_packet(*peer, PacketType::kPayload, message, now)) return SendStatus::kSent;
  counters_.add(Counter::dropOutputFull);
  return SendStatus::kOutputFull;
}

// ---- the turn

void Sessions::advance(Instant now) {
  wheel_.advance(now, [&](TimerNode& node) { fire(static_cast<Peer&>(node), now); });
}

void Sessions::fire(Peer& peer, Instant now) {
  counters_.add(Counter::timersFired);
  if (peer.phase != Phase::kConnected) {
    if (!on_timer(peer, now)) return;
  } else if (peer.timeout != Duration::zero() && now >= peer.last_receive + peer.timeout) {
    counters_.add(Counter::peersTimedOut);
    return end(peer, DisconnectResult::kTimedOut, 0, false);
  } else if (now >= peer.last_send + kSendInterval && !send_keep_alive(peer, now)) {
    return wheel_.arm(peer, now + kRetryTick);
  }
  schedule(peer);
}

Instant Sessions::deadline(const Peer& peer) const {
  if (peer.phase == Phase::kEnding) return kNever;
  if (peer.phase != Phase::kConnected) return deadline_of(peer);
  const Instant silence = peer.timeout == Duration::zero() ? kNever : peer.last_receive + peer.timeout;
  return std::min(silence, peer.last_send + kSendInterval);
}

void Sessions::schedule(Peer& peer) {
  const Instant due = deadline(peer);
  // Later deadlines are found when the armed one fires: a packet does not move a timer.
  if (!peer.armed() || due < peer.deadline) wheel_.arm(peer, due);
}

void Sessions::flush() {
  ended_since_flush_ = false;
  std::size_t left = 0;
  for (const Handle handle : ending_) {
    Peer* const peer = find(handle);
    assert(peer != nullptr && "only this destroys what ends");
    if (send_disconnects(*peer)) {
      destroy(*peer);
    } else {
      ending_[left++] = handle;
    }
  }
  ending_.resize(left);
}

Instant Sessions::next_deadline() const {
  // What nothing can be done for yet must not keep the driver turning.
  if (ended_since_flush_ || (!ending_.empty() && !output_.full())) return Instant();
  return wheel_.next_deadline();
}

void Sessions::set_ceilings(std::uint32_t packets, std::uint32_t bytes, Instant now) {
  options_.max_packets_per_second = packets;
  options_.max_bytes_per_second = bytes;
  peers_.for_each([&](Peer& peer) { peer.ceilings = PeerCeilings(packets, bytes, kMaxPacketSize, now); });
}

// ---- beginning and end

void Sessions::connect(Peer& peer, std::uint64_t create, std::uint64_t expire, Bytes user_data, Instant now) {
  peer.phase = Phase::kConnected;
  peer.last_receive = now;
  // Whatever was sent before, the other side waits to hear from this one.
  peer.last_send = now - kSendInterval;
  peer.ceilings =
      PeerCeilings(options_.max_packets_per_second, options_.max_bytes_per_second, kMaxPacketSize, now);
  ++connected_;
  counters_.add(Counter::peersConnected);
  counters_.add(Counter::handshakesCompleted);
  status_schedule_.due(peer.status, handle_of(peer));
  entered(peer, State::kConnected);
  ConnectRecord record;
  record.client_id = peer.client_id;
  record.create = milliseconds_of(create);
  record.expire = milliseconds_of(expire);
  record.remote = peer.remote;
  record.local = peer.local;
  // The record has 32 bits for it, a token more.
  record.timeout = std::min(peer.timeout, Duration(std::chrono::milliseconds(UINT32_MAX)));
  record.wire = Wire::kNetcode;
  record.client_index = peer.client_index;
  record.max_clients = peer.max_clients;
  put_event(EventKind::kConnect, peer, 0, encode(record), user_data);
  schedule(peer);
}

bool Sessions::disconnect(Handle handle, DisconnectResult result, std::uint32_t code) {
  Peer* const peer = find(handle);
  if (peer == nullptr || peer->phase != Phase::kConnected) return false;
  end(*peer, result, code, true);
  return true;
}

void Sessions::end(Peer& peer, DisconnectResult result, std::uint32_t code, bool disconnects) {
  assert(peer.phase == Phase::kConnected);
  --connected_;
  counters_.add(Counter::peersDisconnected);
  forget(peer);
  wheel_.cancel(peer);
  peer.phase = Phase::kEnding;
  publish(peer);
  entered(peer, result == DisconnectResult::kTimedOut ? State::kTimedOut : State::kDisconnected);
  put_event(EventKind::kDisconnect, peer, static_cast<std::uint32_t>(result), disconnect_record(code, {}));
  peer.disconnects = disconnects ? kDisconnects : 0;
  // The last of it is done by flush(): whoever called this may still look at the peer.
  ending_.push_back(handle_of(peer));
  ended_since_flush_ = true;
  send_disconnects(peer);
}

bool Sessions::send_disconnects(Peer& peer) {
  while (peer.disconnects > 0 && transmit(PacketType::kDisconnect, peer.next_sequence, {}, peer.send_key,
                                          peer.associated_data, peer.remote, peer.local)) {
    ++peer.next_sequence;
    --peer.disconnects;
  }
  return peer.disconnects == 0;
}

void Sessions::put_event(EventKind kind, const Peer& peer, std::uint32_t argument, Bytes first,
                         Bytes second) {
  events_.put(kind, handle_of(peer), argument, first, second);
}

void Sessions::destroy(Peer& peer) {
  if (peer.phase == Phase::kConnected) {
    --connected_;
    counters_.add(Counter::peersDisconnected);
  }
  if (peer.phase != Phase::kEnding) forget(peer);
  wheel_.cancel(peer);
  status_schedule_.forget(peer.status);
  peers_.destroy(peer);
}

void Sessions::stop(std::uint32_t code, Instant now) {
  peers_.for_each([&](Peer& peer) {
    if (peer.phase == Phase::kConnected) {
      end(peer, DisconnectResult::kClosed, code, true);
    } else if (peer.phase != Phase::kEnding) {
      stop_attempt(peer, now);
    }
  });
}

void Sessions::give_up_disconnects() {
  for (const Handle handle : ending_) find(handle)->disconnects = 0;
  ended_since_flush_ = !ending_.empty();
}

std::optional<PeerStatus> Sessions::status(Handle handle) {
  const Peer* const peer = find(handle);
  if (peer == nullptr) return std::nullopt;
  return status_of(*peer);
}

PeerStatus Sessions::status_of(const Peer& peer) {
  PeerStatus status;
  status.connected = peer.phase == Phase::kConnected;
  status.packets_sent = peer.next_sequence;
  status.packets_received = peer.packets_received;
  status.max_datagram = kMaxPacketSize;
  status.max_unreliable = kMaxPayloadSize;
  status.remote = peer.remote;
  return status;
}

void Sessions::status_changed(Peer& peer) {
  if (peer.phase == Phase::kConnected) status_schedule_.changed(peer.status, handle_of(peer));
}

void Sessions::publish(const Peer& peer) { status_table_.publish(handle_of(peer), status_of(peer), {}); }

StatusMark* Sessions::publish(Handle handle) {
  Peer* const peer = find(handle);
  if (peer == nullptr) return nullptr;
  // The last status of a peer that has ended is published already.
  if (peer->phase == Phase::kConnected) publish(*peer);
  return &peer->status;
}

StatusMark* Sessions::status_mark(Handle handle) {
  Peer* const peer = find(handle);
  return peer != nullptr ? &peer->status : nullptr;
}

}  // namespace hawser::netcode
