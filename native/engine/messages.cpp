// Messages and their channels (docs/protocol.md section 12): what the user sends, what arrives, and what the
// user is told of either.
#include <algorithm>
#include <array>
#include <cassert>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/endpoint.hpp"
#include "wire/session_packet.hpp"

namespace hawser {

namespace {

// Reasons of a DISCONNECT, for people.
constexpr std::string_view kSlowConsumer = "more is queued or unacknowledged than maxQueuedBytes allows";
constexpr std::string_view kSendMemoryFull = "the memory for messages to all peers is full";
// Confirmations that are told with one event.
constexpr std::size_t kConfirmationsAtOnce = 128;

}  // namespace

// ---- out

SendStatus Endpoint::send(Handle handle, std::uint32_t channel, Bytes message, const SendOptions& options,
                          Instant now) {
  if (channel >= transfer_settings_.channels.size()) return SendStatus::kInvalidChannel;
  const SendStatus status = is_netcode(handle) ? netcode_->send(handle, channel, message, now)
                                               : send_hawser(handle, channel, message, options, now);
  if (status == SendStatus::kOutputFull) drain_owed_ = true;
  if (status != SendStatus::kSent) return status;
  counters_.add(Counter::messagesSent);
  counters_.add(Counter::messageBytesSent, message.size());
  if (!writable()) drain_owed_ = true;
  return SendStatus::kSent;
}

SendStatus Endpoint::send_hawser(Handle handle, std::uint32_t channel, Bytes message,
                                 const SendOptions& options, Instant now) {
  Peer* peer = find(handle);
  if (peer == nullptr || peer->phase != PeerPhase::kConnected) {
    counters_.add(Counter::dropNotConnected);
    return SendStatus::kNotConnected;
  }
  switch (transfer_settings_.channels[channel].mode) {
    case ChannelMode::kUnreliable:
      return send_unreliable(*peer, channel, message, now);
    case ChannelMode::kSequenced:
      return send_sequenced(*peer, channel, message, now);
    case ChannelMode::kReliable:
    case ChannelMode::kReliableUnordered:
      break;
  }
  return send_reliable(*peer, channel, message, options, now);
}

SendStatus Endpoint::refuse_full() {
  counters_.add(Counter::dropOutputFull);
  return SendStatus::kOutputFull;
}

SendStatus Endpoint::open_room(Peer& peer, std::size_t size, Instant now) {
  if (peer.open_packet && room_in(peer, peer.open_packet) < size) {
    peer.path_mtu.want_more();
    // The messages in it have been accepted: it waits rather than being lost.
    if (output_.full()) return refuse_full();
    finish_packet(peer, now);
    // The last packet of a key ends the connection.
    if (peer.phase != PeerPhase::kConnected) {
      counters_.add(Counter::dropNotConnected);
      return SendStatus::kNotConnected;
    }
  }
  if (!peer.open_packet) {
    if (output_.full() || !begin_packet(peer)) return refuse_full();
    mark_dirty(peer);
  }
  return SendStatus::kSent;
}

SendStatus Endpoint::send_unreliable(Peer& peer, std::uint32_t channel, Bytes message, Instant now) {
  const std::size_t size = message_frame_size(channel, message.size());
  if (size > packet_capacity(peer)) {
    peer.path_mtu.want_more();
    return SendStatus::kTooLong;
  }
  // Without the feature no frame of the message would be acknowledged: it leaves as any other.
  if (transfer_settings_.channels[channel].congestion_controlled && (peer.features & kFeatureChannels) != 0)
    return enqueue(peer, channel, message, {}, now);
  const SendStatus room = open_room(peer, size, now);
  if (room != SendStatus::kSent) return room;
  ByteWriter writer(peer.open_packet.storage().subspan(peer.open_packet.size, size));
  const bool written = write_message(writer, channel, message);
  assert(written);
  static_cast<void>(written);
  peer.open_packet.size += writer.position();
  return SendStatus::kSent;
}

SendStatus Endpoint::send_sequenced(Peer& peer, std::uint32_t channel, Bytes message, Instant now) {
  if (message.size() > transfer_settings_.channels[channel].max_message_bytes) return SendStatus::kTooLong;
  SequencedFrame frame{};
  frame.channel = channel;
  frame.number = transfer_of(peer).next_sequenced(channel);
  frame.total = static_cast<std::uint32_t>(message.size());
  frame.data = message;
  if (const std::size_t whole = sequenced_frame_size(frame); whole <= packet_capacity(peer)) {
    const SendStatus room = open_room(peer, whole, now);
    if (room != SendStatus::kSent) return room;
    ByteWriter writer(peer.open_packet.storage().subspan(peer.open_packet.size, whole));
    static_cast<void>(write_sequenced(writer, frame));
    peer.open_packet.size += writer.position();
    peer.transfer->on_sequenced_written(frame, packet_capacity(peer));
    return SendStatus::kSent;
  }
  // In parts, each of which fills what is left of a packet. When the output is full the message is lost as
  // any other on its way.
  while (frame.offset < frame.total) {
    constexpr std::size_t kLeastPart = 128;
    frame.data = message.subspan(frame.offset, 1);
    const std::size_t header = sequenced_frame_size(frame) + 2;
    const SendStatus room = open_room(peer, header + kLeastPart, now);
    if (room != SendStatus::kSent) return room;
    const std::size_t space = room_in(peer, peer.open_packet) - header;
    frame.data = message.subspan(frame.offset, std::min<std::size_t>(space, frame.total - frame.offset));
    ByteWriter writer(peer.open_packet.storage().subspan(peer.open_packet.size, space + header));
    const bool written = write_sequenced(writer, frame);
    assert(written);
    static_cast<void>(written);
    peer.open_packet.size += writer.position();
    frame.offset += static_cast<std::uint32_t>(frame.data.size());
  }
  return SendStatus::kSent;
}

SendStatus Endpoint::send_reliable(Peer& peer, std::uint32_t channel, Bytes message,
                                   const SendOptions& options, Instant now) {
  if (message.size() > transfer_settings_.channels[channel].max_message_bytes) return SendStatus::kTooLong;
  return enqueue(peer, channel, message, options, now);
}

// For when congestion control lets it go.
SendStatus Endpoint::enqueue(Peer& peer, std::uint32_t channel, Bytes message, const SendOptions& options,
                             Instant now) {
  Transfer& transfer = transfer_of(peer);
  const std::size_t most = std::size_t{options_.max_queued_bytes} + options_.queue_slack_bytes;
  if (std::max(transfer.queued_bytes(), transfer.held_bytes()) > most) {
    counters_.add(Counter::dropQueueFull);
    if (options_.on_queue_full == QueueFullPolicy::kDisconnect)
      end_for_memory(peer, DisconnectCode::kSlowConsumer, now);
    return SendStatus::kQueueFull;
  }
  if (!transfer.enqueue(channel, message, options.ttl > Duration::zero() ? now + options.ttl : kNever,
                        options.confirm)) {
    counters_.add(Counter::dropQueueFull);
    return SendStatus::kQueueFull;
  }
  mark_dirty(peer);
  status_changed(peer);
  if (asks_to_wait(transfer)) update_flags(peer);
  if (!send_memory_searched_) relieve_send_memory(now);
  return peer.phase == PeerPhase::kConnected ? SendStatus::kSent : SendStatus::kNotConnected;
}

bool Endpoint::asks_to_wait(const Transfer& transfer) const {
  return transfer.queued_bytes() > options_.high_water_bytes ||
         transfer.held_bytes() > options_.max_queued_bytes - options_.max_queued_bytes / 4;
}

bool Endpoint::is_drained(const Transfer& transfer) const {
  return transfer.queued_bytes() <= options_.high_water_bytes / 2 &&
         transfer.held_bytes() <= options_.max_queued_bytes / 2;
}

// ---- memory of all peers

// Disconnects peers when the memory for messages to all peers is above its limit: those that hold most, until
// a 64th of the limit is free, and none that holds no more than an equal share. Where the peers of this shard
// hold no more than that, some of another shard do, and that shard is asked.
void Endpoint::relieve_send_memory(Instant now) {
  if (gateway_ == nullptr) return;
  SendMemory& memory = gateway_->send_memory();
  const std::size_t held = transfer_settings_.send_blocks.in_use();
  // Threads write to the common figure in steps.
  constexpr std::size_t kStep = std::size_t{64} * 1024;
  const std::size_t difference = std::max(held, counted_send_memory_) - std::min(held, counted_send_memory_);
  if (difference >= kStep || held == 0) count_send_memory();
  if (memory.in_use() + held - counted_send_memory_ > memory.limit()) end_greatest_holders(true, now);
}

void Endpoint::count_send_memory() {
  const std::size_t held = transfer_settings_.send_blocks.in_use();
  if (held == counted_send_memory_) return;
  gateway_->send_memory().update(std::exchange(counted_send_memory_, held), held);
}

void Endpoint::end_greatest_holders(bool ask_others, Instant now) {
  SendMemory& memory = gateway_->send_memory();
  count_send_memory();
  const std::size_t share = memory.limit() / std::max(1U, gateway_->connected());
  std::vector<std::pair<std::size_t, Peer*>> holders;
  peers_.for_each([&](Peer& peer) {
    if (peer.phase == PeerPhase::kConnected && peer.transfer && peer.transfer->held_bytes() > share)
      holders.emplace_back(peer.transfer->held_bytes(), &peer);
  });
  std::ranges::make_heap(holders);
  while (!holders.empty() && memory.in_use() > memory.limit() - memory.limit() / 64) {
    std::ranges::pop_heap(holders);
    end_for_memory(*holders.back().second, DisconnectCode::kSendMemoryFull, now);
    holders.pop_back();
    count_send_memory();
  }
  if (memory.in_use() <= memory.limit()) return;
  send_memory_searched_ = true;
  if (ask_others) gateway_->ask_for_send_memory(options_.shard, options_.shards);
}

// What other shards have asked for.
void Endpoint::answer_for_send_memory(Instant now) {
  if (gateway_ == nullptr || !gateway_->send_memory().asked(options_.shard)) return;
  gateway_->send_memory().clear(options_.shard);
  if (gateway_->send_memory().in_use() > gateway_->send_memory().limit()) end_greatest_holders(false, now);
}

void Endpoint::end_for_memory(Peer& peer, DisconnectCode code, Instant now) {
  const bool slow = code == DisconnectCode::kSlowConsumer;
  begin_ending(peer, DisconnectResult::kClosed,
               {static_cast<std::uint32_t>(code), {}, bytes_of(slow ? kSlowConsumer : kSendMemoryFull)}, true,
               now);
}

Transfer& Endpoint::transfer_of(Peer& peer) {
  if (!peer.transfer) {
    peer.transfer =
        std::make_unique<Transfer>(transfer_settings_, peer.credit, peer.channel_credit, peer.path_mtu);
  }
  return *peer.transfer;
}

void Endpoint::drop_transfer(Peer& peer) {
  if (!peer.transfer) return;
  peer.transfer.reset();
  if (!options_.peer_flags.empty()) options_.peer_flags[peers_.handle_of(peer).slot] = 0;
  if (!options_.peer_max_unreliable.empty()) options_.peer_max_unreliable[peers_.handle_of(peer).slot] = 0;
}

// ---- in

// Whether there is no memory for what a packet brings. It is dropped whole then, before anything of it is
// acknowledged: its sender repeats what was in it. Only the next messages of their channels are taken from it
// all the same, since it is they that make room; perhaps for the rest of this very packet.
bool Endpoint::lacks_memory(Peer& peer, Bytes payload, Instant now) {
  // As long as there is plenty, nobody is looked at.
  const ReceiveMemory& memory = transfer_settings_.receive_memory;
  if (memory.bytes_in_use() < options_.max_reassembly_bytes / 16) return false;
  if (peer.phase != PeerPhase::kConnected || (peer.features & kFeatureChannels) == 0) return false;
  Transfer& transfer = transfer_of(peer);
  const bool delivers = events_.has_room();
  if (transfer.has_room(payload, delivers)) return false;
  if (!delivers) {
    transfer.on_user_full();
    return true;
  }
  const Received received = transfer.take_next(payload, [&](std::uint32_t channel, Bytes data, bool kept) {
    return push_message(peer, channel, data, kept);
  });
  if (received == Received::kProtocolError) {
    fail(peer, DisconnectResult::kProtocolError, DisconnectCode::kProtocolError, now);
  } else if (received == Received::kNoMemory) {
    fail(peer, DisconnectResult::kClosed, DisconnectCode::kLimitExceeded, now);
  } else {
    settle_transfer(peer, now);
    return peer.phase != PeerPhase::kConnected || !transfer.has_room(payload, true);
  }
  return true;
}

// What comes out of a datagram may use the room that it was received with, but for the last of it; what was
// kept before leaves all of it, so that it takes none from what comes behind in the same datagram.
bool Endpoint::push_message(Peer& peer, std::uint32_t channel, Bytes data, bool kept) {
  const bool room = kept ? events_.leaves(data.size(), EventQueue::kRoomBytes, EventQueue::kRoomDescriptors)
                         : events_.leaves(data.size(), EventQueue::kLastBytes, EventQueue::kLastDescriptors);
  if (!room || !events_.push(EventKind::kMessage, peers_.handle_of(peer), channel, data)) {
    if (kept) events_.want_room(data.size());
    return false;
  }
  counters_.add(Counter::messagesReceived);
  counters_.add(Counter::messageBytesReceived, data.size());
  return true;
}

// False when the peer broke a rule.
bool Endpoint::process_channel_frame(Peer& peer, const Frame& frame, Instant now) {
  if (frame.type != FrameType::kCredit && frame.type != FrameType::kChannelCredit)
    peer.message_since_ping = true;
  if (frame.type == FrameType::kMessage) {
    if (frame.message.acknowledged) {
      if ((peer.features & kFeatureChannels) == 0) return false;
      peer.asks_acknowledgement = true;
    }
    const std::uint32_t channel = frame.message.channel;
    if (channel >= transfer_settings_.channels.size() ||
        transfer_settings_.channels[channel].mode != ChannelMode::kUnreliable)
      return false;
    if (!push_message(peer, channel, frame.message.data, false)) counters_.add(Counter::dropEventQueueFull);
    return true;
  }
  if ((peer.features & kFeatureChannels) == 0) return false;
  Transfer& transfer = transfer_of(peer);
  const auto deliver = [&](std::uint32_t channel, Bytes data, bool kept) {
    return push_message(peer, channel, data, kept);
  };
  auto received = Received::kDone;
  switch (frame.type) {
    case FrameType::kCredit:
      transfer.on_credit(frame.credit.limit);
      break;
    case FrameType::kChannelCredit:
      if (frame.channel_credit.channel >= transfer_settings_.channels.size() ||
          !is_reliable(transfer_settings_.channels[frame.channel_credit.channel].mode)) {
        return false;
      }
      transfer.on_channel_credit(frame.channel_credit);
      break;
    case FrameType::kSequenced:
      switch (transfer.on_sequenced(frame.sequenced, deliver)) {
        case Received::kOutdated:
          counters_.add(Counter::dropOutdated);
          return true;
        case Received::kRepeated:
          counters_.add(Counter::dropRepeatedMessage);
          return true;
        case Received::kUserFull:
          counters_.add(Counter::dropEventQueueFull);
          return true;
        case Received::kNoMemory:
          counters_.add(Counter::dropReassemblyFull);
          return true;
        case Received::kProtocolError:
          return false;
        default:
          return true;
      }
    case FrameType::kReliable:
      received = transfer.on_reliable(frame.reliable, deliver);
      break;
    case FrameType::kFragment:
      received = transfer.on_fragment(frame.fragment, deliver);
      break;
    case FrameType::kExpired:
      received = transfer.on_expired(frame.expired, deliver);
      break;
    default:
      break;
  }
  if (received == Received::kProtocolError) return false;
  if (received == Received::kRepeated) counters_.add(Counter::dropRepeatedMessage);
  if (received == Received::kNoMemory) {
    // What cannot be kept has been acknowledged all the same: the connection cannot go on.
    fail(peer, DisconnectResult::kClosed, DisconnectCode::kLimitExceeded, now);
    return true;
  }
  peer.asks_acknowledgement = true;
  settle_transfer(peer, now);
  return true;
}

bool Endpoint::set_paused(Handle handle, std::uint32_t channel, bool paused, Instant now) {
  Peer* peer = find(handle);
  if (peer == nullptr || peer->phase != PeerPhase::kConnected ||
      channel >= transfer_settings_.channels.size() ||
      !is_reliable(transfer_settings_.channels[channel].mode)) {
    return false;
  }
  transfer_of(*peer).set_paused(channel, paused);
  settle_transfer(*peer, now);
  return true;
}

// ---- what the user is told

void Endpoint::settle_transfer(Peer& peer, Instant now) {
  Transfer& transfer = *peer.transfer;
  count_transfer(transfer);
  if (!options_.peer_max_unreliable.empty()) {
    options_.peer_max_unreliable[peers_.handle_of(peer).slot] =
        static_cast<std::uint16_t>(max_unreliable(peer));
  }
  status_changed(peer);
  if (transfer.broken()) {
    fail(peer, DisconnectResult::kClosed, DisconnectCode::kLimitExceeded, now);
    return;
  }
  if (transfer.waiting() || !transfer.confirmations().empty()) tell_later(peer);
  if (transfer.drain_owed) update_flags(peer);
  if (transfer.has_due(now)) mark_dirty(peer);
  transfer.watch_progress(now);
  schedule(peer);
}

void Endpoint::count_transfer(Transfer& transfer) {
  const auto count = [&](Counter counter, std::uint64_t total, std::uint64_t& counted) {
    counters_.add(counter, total - counted);
    counted = total;
  };
  count(Counter::packetsLost, transfer.recovery().packets_lost(), transfer.counted_lost);
  count(Counter::spuriousLosses, transfer.recovery().spurious_losses(), transfer.counted_spurious);
  count(Counter::messagesLost, transfer.recovery().messages_lost(), transfer.counted_messages_lost);
  count(Counter::messagesExpired, transfer.messages_expired(), transfer.counted_expired);
  count(Counter::dropPathMtu, transfer.messages_outsized(), transfer.counted_outsized);
}

// A turn that has room for it goes on with what the peer's user is to be told.
void Endpoint::tell_later(Peer& peer) {
  if (peer.untold) return;
  peer.untold = true;
  untold_.push_back(peers_.handle_of(peer));
}

// Messages leave room for one datagram: they can lack room where has_room() still says yes.
bool Endpoint::may_tell_untold() const {
  return !untold_.empty() && events_.has_room() && !events_.wanting();
}

void Endpoint::tell_untold(Instant now) {
  if (!may_tell_untold()) return;
  std::size_t left = 0;
  for (std::size_t at = 0; at < untold_.size(); ++at) {
    const Handle handle = untold_[at];
    if (!tell_untold(handle, now)) untold_[left++] = handle;
  }
  untold_.resize(left);
}

// False when something is left for want of room.
bool Endpoint::tell_untold(Handle handle, Instant now) {
  if (is_netcode(handle)) return netcode_server_->proceed(handle, now);
  Peer* const peer = find(handle);
  if (peer == nullptr) return true;
  if (!proceed_half_open(*peer, now)) return false;
  if (peer->key_update) {
    if (!events_.has_room()) return false;
    proceed_key_update(*peer, now);
  }
  if (peer->transfer) {
    if (!tell(*peer)) return false;
    settle_transfer(*peer, now);
  }
  peer->untold = false;
  return true;
}

// False when something is left for want of room.
bool Endpoint::tell(Peer& peer) {
  if (!events_.has_room()) return false;
  Transfer& transfer = *peer.transfer;
  const Handle handle = peers_.handle_of(peer);
  const Ring<Transfer::Confirmation>& confirmations = transfer.confirmations();
  status_due(peer);
  while (!confirmations.empty()) {
    std::array<std::byte, 4 * kConfirmationsAtOnce> bytes{};
    ByteWriter writer(bytes);
    const bool expired = confirmations[confirmations.begin()].expired;
    std::uint64_t end = confirmations.begin();
    for (; end < confirmations.end() && confirmations[end].expired == expired && writer.remaining() > 0;
         ++end)
      writer.u32(confirmations[end].id);
    if (!events_.push(EventKind::kConfirm, handle, expired ? 1 : 0, writer.written())) return false;
    transfer.drop_confirmations(end);
  }
  if (transfer.drain_owed && is_drained(transfer)) {
    if (!events_.push(EventKind::kPeerDrain, handle, 0, {})) return false;
    transfer.drain_owed = false;
  }
  return !transfer.waiting() || transfer.deliver_waiting([&](std::uint32_t channel, Bytes data, bool kept) {
    return push_message(peer, channel, data, kept);
  });
}

// Tells the sender, by memory that it reads, whether to wait; and with an event when it need not any more.
void Endpoint::update_flags(Peer& peer) {
  Transfer& transfer = *peer.transfer;
  count_transfer(transfer);
  if (asks_to_wait(transfer)) transfer.drain_owed = true;
  const bool drained = transfer.drain_owed && is_drained(transfer);
  const std::size_t most = std::max(transfer.queued_bytes(), transfer.held_bytes());
  if (!options_.peer_flags.empty()) {
    options_.peer_flags[peers_.handle_of(peer).slot] =
        static_cast<std::uint8_t>((transfer.drain_owed && !drained ? kPeerWait : 0) |
                                  (most > options_.max_queued_bytes ? kPeerFull : 0));
  }
  if (drained || !transfer.confirmations().empty()) tell_later(peer);
}

}  // namespace hawser
