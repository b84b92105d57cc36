#include "engine/transfer.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hawser {

namespace {

// Of what is sent while all have something to send, by priority: 64, 16, 4 and 1 parts of 85. None starves.
constexpr std::array<std::uint64_t, kPriorities> kStrides = {1, 4, 16, 64};
// A part of a message in the rest of a packet is worth its header from this size on.
constexpr std::size_t kLeastPart = 128;
// Probe timeouts in a row after which packets go without ECN marks, if none was ever told of.
constexpr unsigned kEcnPatience = 2;
// Entries of expiries_ for messages that are done, beyond as many as there are others.
constexpr std::size_t kIdleExpiries = 64;
// The longest CREDIT and CHANNEL_CREDIT.
constexpr std::size_t kMostCredit = 9;
constexpr std::size_t kMostChannelCredit = 19;
// How exactly messages expire: one timer serves those that expire within it.
constexpr Duration kExpiryTick = std::chrono::milliseconds(10);
// The shortest round trip for which windows grow: users who read in turns of their event loop take what came
// in such a time at once, however short the path is.
constexpr Duration kLeastRound = std::chrono::milliseconds(5);
// Copies take at most this part of what an empty packet has room for: a packet of small messages may grow to
// about three times its size, one that is half full by no more than its other half.
constexpr std::size_t kCopiesDivisor = 2;
// Packets in flight whose messages are repeated. A flow that has more of them is not thin: the next
// acknowledgements show its losses soon.
constexpr std::size_t kRepeatedPackets = 8;
// How often 'auto' repeats a message.
constexpr std::uint8_t kMostAutomatic = 2;

}  // namespace

// ---- channels

SendChannel& Transfer::send_channel(std::uint32_t channel) {
  const auto at =
      std::ranges::lower_bound(sending_, channel, {}, [](const auto& each) { return each->number; });
  if (at != sending_.end() && (*at)->number == channel) return **at;
  return **sending_.insert(
      at, std::make_unique<SendChannel>(settings_.send_blocks, static_cast<std::uint16_t>(channel),
                                        settings_.channels[channel], first_channel_limit_));
}

ReceiveChannel& Transfer::receive_channel(std::uint32_t channel) {
  const auto at =
      std::ranges::lower_bound(receiving_, channel, {}, [](const auto& each) { return each->number(); });
  if (at != receiving_.end() && (*at)->number() == channel) return **at;
  return **receiving_.insert(
      at, std::make_unique<ReceiveChannel>(static_cast<std::uint16_t>(channel), settings_.channels[channel],
                                           settings_.channel_credit));
}

ReceiveChannel* Transfer::reliable_channel(std::uint32_t channel) {
  if (channel >= settings_.channels.size() || !is_reliable(settings_.channels[channel].mode)) return nullptr;
  return &receive_channel(channel);
}

// ---- out

bool Transfer::enqueue(std::uint32_t number, Bytes data, Instant expires, std::uint32_t confirm) {
  const SendHolding holding(*this);
  SendChannel& channel = send_channel(number);
  if (!channel.enqueue(data, expires, confirm)) return false;
  if (expires != kNever) {
    const Expiry expiry{expires, channel.messages.end() - 1, channel.number};
    if (!expiries_.push(settings_.send_blocks, expiry)) broken_ = true;
    ++expiring_;
    next_expiry_ = std::min(next_expiry_, expires);
  }
  queued_ += data.size() + kMessageCost;
  activate(channel);
  return true;
}

void Transfer::activate(SendChannel& channel) {
  if (channel.active || channel.blocked || channel.starved || !channel.has_unsent()) return;
  const auto priority = static_cast<std::size_t>(channel.priority);
  // Time without anything to send is not saved up.
  if (first_active_[priority] == nullptr) passed_[priority] = std::max(passed_[priority], turn_);
  line_up(channel);
}

// To the end of the queue of its priority, or to its beginning.
void Transfer::line_up(SendChannel& channel, bool first) {
  const auto priority = static_cast<std::size_t>(channel.priority);
  SendChannel*& head = first_active_[priority];
  SendChannel*& tail = last_active_[priority];
  channel.active = true;
  channel.next_active = first ? head : nullptr;
  if (head == nullptr) {
    head = tail = &channel;
  } else if (first) {
    head = &channel;
  } else {
    tail->next_active = &channel;
    tail = &channel;
  }
  ++active_count_;
}

// Takes the channel whose turn it is out of its queue; null when there is none.
SendChannel* Transfer::next_channel() {
  std::size_t chosen = std::exchange(preferred_, kPriorities);
  if (chosen == kPriorities) {
    for (std::size_t priority = 0; priority < kPriorities; ++priority) {
      if (first_active_[priority] != nullptr &&
          (chosen == kPriorities || passed_[priority] < passed_[chosen]))
        chosen = priority;
    }
    if (chosen == kPriorities) return nullptr;
    turn_ = passed_[chosen];
  }
  SendChannel* const channel = first_active_[chosen];
  first_active_[chosen] = channel->next_active;
  channel->active = false;
  --active_count_;
  return channel;
}

void Transfer::ensure_controller(Instant now) {
  if (controller_) return;
  controller_ = make_congestion_controller(settings_.congestion, max_datagram_, now);
  pacer_.emplace(max_datagram_, now);
}

void Transfer::plan_next_send(Instant now) {
  next_send_ = pacer_->next_time(now, controller_->pacing_rate(), max_datagram_);
}

bool Transfer::window_open() const {
  if (!controller_) return true;
  const std::size_t in_flight = recovery_.in_flight();
  return in_flight == 0 ||
         in_flight + max_datagram_ <= std::min(controller_->window(), settings_.max_in_flight);
}

bool Transfer::may_send_data(Instant now) const {
  if (recovery_.probes_due() > 0) return true;
  if (!controller_) return true;
  return window_open() && pacer_->next_time(now, controller_->pacing_rate(), max_datagram_) <= now;
}

bool Transfer::has_due(Instant now) const {
  if (credit_due_) return true;
  return can_send() && may_send_data(now);
}

void Transfer::fill(ByteWriter& writer, std::size_t capacity, bool has_messages, const RoundTrip& round_trip,
                    Instant now) {
  const bool due = has_due(now);
  if (!due && !(has_messages && repeats())) return;
  const SendHolding holding(*this);
  if (!recovery_.reserve(settings_.send_blocks)) return;
  if (due) write_due(writer, capacity, round_trip, now);
  if ((has_messages || has_open_frames()) && repeats()) repeat_messages(writer, capacity, round_trip, now);
  // It may be that all which was due is done or expired.
  recovery_.release_unused();
}

void Transfer::write_due(ByteWriter& writer, std::size_t capacity, const RoundTrip& round_trip, Instant now) {
  if (credit_due_ && !write_credit_frames(writer, round_trip, now)) return;
  if (!can_send() || !may_send_data(now)) return;
  if (!write_lost(writer, capacity, now)) return;
  while (SendChannel* const channel = next_channel()) {
    const std::size_t before = writer.position();
    const bool room = channel->mode == ChannelMode::kUnreliable ? write_unreliable(writer, *channel, capacity)
                                                                : write_new(writer, *channel, capacity, now);
    const auto priority = static_cast<std::size_t>(channel->priority);
    passed_[priority] += (writer.position() - before) * kStrides[priority];
    // Channels of one priority take turns by packets.
    if (!channel->blocked && !channel->starved && channel->has_unsent()) line_up(*channel);
    if (!room) return;
  }
}

// ---- redundancy

void Transfer::on_sequenced_written(const SequencedFrame& frame, std::size_t capacity) {
  if (!repeats()) return;
  const SendHolding holding(*this);
  std::erase_if(newest_, [&](const Newest& each) { return each.channel == frame.channel; });
  const std::uint8_t declared = settings_.channels[frame.channel].redundancy;
  // What is repeated is not acknowledged, so that 'auto' never knows whether once was enough.
  const bool automatic = declared == kAutoRedundancy;
  const std::uint8_t repetitions = automatic ? recovery_.has_lost_lately() : declared;
  if (repetitions == 0 || sequenced_frame_size(frame) > capacity / kCopiesDivisor) return;
  Newest newest{.bytes = settings_.send_blocks.acquire(frame.data.size()),
                .number = frame.number,
                .length = frame.total,
                .channel = static_cast<std::uint16_t>(frame.channel),
                .repetitions = repetitions,
                .in_this_packet = true};
  if (!newest.bytes) return;
  copy_bytes(newest.bytes.data(), frame.data.data(), frame.data.size());
  newest_.push_back(std::move(newest));
}

// Repeats messages that earlier packets carried, where nothing else wants the rest of this one.
void Transfer::repeat_messages(ByteWriter& writer, std::size_t capacity, const RoundTrip& round_trip,
                               Instant now) {
  const std::size_t before = writer.position();
  const std::size_t end = before + (is_thin() ? std::min(writer.remaining(), capacity / kCopiesDivisor) : 0);
  if (end > before) {
    recovery_.for_each_recent(kRepeatedPackets, [&](const SentFrame& frame, Instant sent) {
      return wants_copies(frame, sent, round_trip, now) && write_copies(writer, frame, end);
    });
  }
  for (Newest& newest : newest_) write_newest(writer, newest, end);
  std::erase_if(newest_, [](const Newest& newest) { return newest.repetitions == 0; });
  settings_.redundant_bytes += writer.position() - before;
}

bool Transfer::is_thin() const {
  if (can_send() || starving_ != nullptr) return false;
  if (!controller_) return true;
  return recovery_.in_flight() <= std::min(controller_->window(), settings_.max_in_flight) / 2;
}

bool Transfer::wants_copies(const SentFrame& frame, Instant sent, const RoundTrip& round_trip,
                            Instant now) const {
  // What is lost now takes packets that leave at the same time with it.
  if (sent == now) return false;
  const std::uint8_t redundancy = settings_.channels[frame.channel].redundancy;
  if (redundancy != kAutoRedundancy) return frame.repeated < redundancy;
  if (!recovery_.has_lost_lately()) return false;
  // Another time when an acknowledgement should have come, and did not.
  const bool overdue = now - sent >= round_trip.smoothed() + kMaxAckDelay;
  return frame.repeated < (overdue ? kMostAutomatic : 1);
}

// `end`: how far the packet may be written.
bool Transfer::write_copies(ByteWriter& writer, const SentFrame& frame, std::size_t end) {
  SendChannel& channel = send_channel(frame.channel);
  const std::size_t before = writer.position();
  const std::uint64_t behind = frame.number + frame.length;
  for (std::uint64_t number = frame.number; number < behind;) {
    std::uint64_t next = number + 1;
    if (channel.holds(number)) {
      const std::size_t most = end - writer.position();
      next = std::max(next, write_run(writer, channel, number, behind, SentFrameKind::kCopies, most));
    }
    number = next;
  }
  return writer.position() > before;
}

void Transfer::write_newest(ByteWriter& writer, Newest& newest, std::size_t end) {
  if (std::exchange(newest.in_this_packet, false)) return;
  const SequencedFrame frame{.channel = newest.channel,
                             .number = newest.number,
                             .total = newest.length,
                             .offset = 0,
                             .data = Bytes(newest.bytes.bytes()).first(newest.length)};
  if (sequenced_frame_size(frame) > end - writer.position()) return;
  static_cast<void>(write_sequenced(writer, frame));
  --newest.repetitions;
}

void Transfer::on_sent(std::uint64_t number, std::size_t bytes, Instant now) {
  const SendHolding holding(*this);
  ensure_controller(now);
  static_cast<void>(pacer_->may_send(now, controller_->pacing_rate(), bytes));
  pacer_->on_sent(bytes);
  recovery_.on_sent(settings_.send_blocks, *controller_, number, bytes, now);
  watch_progress(now);
  plan_next_send(now);
  // A packet was filled and there is more.
  if (can_send() && bytes + kLeastPart > max_datagram_) path_mtu_.want_more();
  if (!can_send() && window_open()) controller_->on_app_limited(recovery_.in_flight());
}

bool Transfer::add_mtu_probe(std::uint64_t number) {
  const SendHolding holding(*this);
  return recovery_.reserve(settings_.send_blocks) &&
         recovery_.add_frame(settings_.send_blocks,
                             SentFrame{.number = number, .kind = SentFrameKind::kMtuProbe});
}

bool Transfer::write_credit_frames(ByteWriter& writer, const RoundTrip& round_trip, Instant now) {
  BlockPool& pool = settings_.send_blocks;
  const Duration round = std::max(round_trip.has_sample() ? round_trip.smoothed() : Duration{}, kLeastRound);
  for (const auto& channel : receiving_) {
    Credit& credit = channel->credit();
    if (!credit.due()) continue;
    if (writer.remaining() < kMostChannelCredit ||
        !recovery_.add_frame(pool,
                             SentFrame{.channel = channel->number(), .kind = SentFrameKind::kChannelCredit}))
      return false;
    if (credit.is_short(round, now)) grow_window(credit);
    channel->raise_limits(now);
    static_cast<void>(write_channel_credit(writer, {channel->number(), credit.limit, channel->max_ahead()}));
  }
  if (received_.due()) {
    if (writer.remaining() < kMostCredit ||
        !recovery_.add_frame(pool, SentFrame{.kind = SentFrameKind::kCredit}))
      return false;
    if (received_.is_short(round, now)) static_cast<void>(grow_window());
    received_.raise(now);
    static_cast<void>(write_credit(writer, received_.limit));
  }
  credit_due_ = false;
  return true;
}

void Transfer::grow_window(Credit& channel) {
  // A channel that its user has paused leaves half of the credit to others.
  const std::uint64_t wanted = std::uint64_t{2} * channel.window;
  while (received_.window < 2 * wanted) {
    if (!grow_window()) return;
  }
  channel.window = static_cast<std::uint32_t>(wanted);
}

bool Transfer::grow_window() {
  const std::uint32_t more = received_.window;
  if (more > settings_.max_credit || more > settings_.max_credit - received_.window) return false;
  if (!settings_.credit_budget->take(more)) {
    ++settings_.credit_refusals;
    return false;
  }
  received_.window += more;
  grown_credit_ += more;
  settings_.grown_credit += more;
  return true;
}

// What the other side may send already stays: no raise is told before it is used.
void Transfer::shrink_windows() {
  received_.window = settings_.credit;
  for (const auto& channel : receiving_) channel->credit().window = settings_.channel_credit;
  give_back_credit();
}

void Transfer::give_back_credit() {
  settings_.grown_credit -= grown_credit_;
  settings_.credit_budget->give_back(std::exchange(grown_credit_, 0));
}

bool Transfer::write_lost(ByteWriter& writer, std::size_t capacity, Instant now) {
  while (!lost_order_.empty()) {
    SendChannel& channel = send_channel(lost_order_.front());
    LostFrame frame = channel.lost.pop();
    if (!write_lost_frame(writer, channel, frame, capacity, now)) {
      keep_lost(channel, frame);
      return false;
    }
    lost_order_.pop();
  }
  return true;
}

// False when the packet has no room for what `frame` says then.
bool Transfer::write_lost_frame(ByteWriter& writer, SendChannel& channel, LostFrame& frame,
                                std::size_t capacity, Instant now) {
  if (frame.kind == SentFrameKind::kMessages)
    return write_lost_messages(writer, channel, frame, capacity, now);
  if (!channel.holds(frame.number)) return true;
  if (frame.kind == SentFrameKind::kExpired) return write_expired_frame(writer, channel, frame.number);
  if (channel.messages[frame.number].expired) return true;
  if (channel.messages[frame.number].expires <= now) {
    expire(channel, frame.number);
    return true;
  }
  const std::uint32_t part = write_part(writer, channel, frame.number, frame.offset, frame.length);
  frame.offset += part;
  frame.length -= part;
  return frame.length == 0;
}

bool Transfer::write_lost_messages(ByteWriter& writer, SendChannel& channel, LostFrame& frame,
                                   std::size_t capacity, Instant now) {
  while (frame.length > 0) {
    const std::uint64_t number = frame.number;
    if (!channel.holds(number) || channel.messages[number].expired) {
      ++frame.number;
      --frame.length;
      continue;
    }
    if (channel.messages[number].expires <= now) {
      expire(channel, number);
      continue;
    }
    const std::uint64_t written =
        write_run(writer, channel, number, number + frame.length, SentFrameKind::kMessages);
    frame.length -= static_cast<std::uint32_t>(written - number);
    frame.number = written;
    if (written > number) continue;
    const std::uint32_t length = channel.messages[number].length;
    if (length + kLeastPart < capacity) return false;
    // The datagrams have become smaller: what was whole goes in parts.
    const std::uint32_t part = write_part(writer, channel, number, 0, length);
    if (part == 0) return false;
    ++frame.number;
    --frame.length;
    if (part < length) {
      queue_lost(SentFrame{number, part, length - part, channel.number, SentFrameKind::kPart});
      return false;
    }
  }
  return true;
}

bool Transfer::write_new(ByteWriter& writer, SendChannel& channel, std::size_t capacity, Instant now) {
  while (channel.has_unsent()) {
    const std::uint64_t number = channel.next_unsent;
    OutgoingMessage& message = channel.messages[number];
    if (!message.expired && message.expires <= now) {
      expire(channel, number);
      continue;
    }
    if (number - channel.oldest >= channel.max_ahead) {
      channel.blocked = true;
      return true;
    }
    if (message.expired) {
      if (!affords(channel, kMessageCost)) return true;
      if (!write_expired_frame(writer, channel, number)) return false;
      spend(channel, kMessageCost);
      ++channel.next_unsent;
      continue;
    }
    const std::uint64_t cost = message.length + kMessageCost;
    if (channel.part_sent == 0) {
      if (!affords(channel, cost)) return true;
      std::uint64_t end = number + 1;
      std::uint64_t total = cost;
      // As many as credit allows; write_run stops where the packet ends.
      const std::uint64_t most = std::min(limit_ - spent_, channel.limit - channel.spent);
      const std::uint64_t last = std::min(channel.messages.end(), channel.oldest + channel.max_ahead);
      const std::uint64_t room = channel.messages[number].start + writer.remaining();
      while (end < last && channel.messages[end].start < room) {
        const OutgoingMessage& next = channel.messages[end];
        const std::uint64_t next_cost = next.length + kMessageCost;
        if (next.expired || next.expires <= now || total + next_cost > most) break;
        total += next_cost;
        ++end;
      }
      const std::uint64_t written = write_run(writer, channel, number, end, SentFrameKind::kMessages);
      for (std::uint64_t sent = number; sent < written; ++sent) {
        const std::uint64_t each = channel.messages[sent].length + kMessageCost;
        spend(channel, each);
        queued_ -= each;
      }
      channel.next_unsent = written;
      if (written > number) continue;
      // What fits into a packet of its own is cut up only where much of this one would stay empty.
      const bool fits_alone = message.length + 32 < capacity;
      if (fits_alone && writer.remaining() < capacity / 2) return false;
      if (writer.remaining() < kLeastPart) return false;
    }
    const std::uint32_t part =
        write_part(writer, channel, number, channel.part_sent, message.length - channel.part_sent);
    if (part == 0) return false;
    if (channel.part_sent == 0) spend(channel, cost);
    channel.part_sent += part;
    queued_ -= part;
    if (channel.part_sent < message.length) return false;
    queued_ -= kMessageCost;
    channel.part_sent = 0;
    ++channel.next_unsent;
  }
  return true;
}

// What has been written is done with: its loss is noted, and that is all.
bool Transfer::write_unreliable(ByteWriter& writer, SendChannel& channel, std::size_t capacity) {
  while (channel.has_unsent()) {
    OutgoingMessage& message = channel.messages[channel.next_unsent];
    const std::size_t size = message_frame_size(channel.number, message.length);
    if (size <= capacity) {
      if (writer.remaining() < size) {
        path_mtu_.want_more();
        return false;
      }
      write_message_start(writer, channel.number, true, true);
      channel.bytes.copy(message.start,
                         writer.space(static_cast<std::size_t>(message.end() - message.start)));
      recovery_.add_message();
    } else {
      // The datagrams have become smaller since it was taken.
      path_mtu_.want_more();
      ++messages_outsized_;
    }
    queued_ -= message.length + kMessageCost;
    channel.finish(channel.next_unsent);
  }
  return true;
}

std::uint64_t Transfer::write_run(ByteWriter& writer, SendChannel& channel, std::uint64_t first,
                                  std::uint64_t end, SentFrameKind kind, std::size_t most) {
  const std::uint64_t start = channel.messages[first].start;
  const std::size_t space = std::min(writer.remaining(), most);
  const std::size_t header = reliable_header_size(channel.number, first, space, true);
  if (space <= header) return first;
  const std::uint64_t room = start + space - header;
  std::uint64_t last = first;
  std::uint64_t behind = start;
  for (; last < end && channel.holds(last); ++last) {
    const OutgoingMessage& message = channel.messages[last];
    if (message.expired || message.end() > room) break;
    behind = message.end();
  }
  if (last == first) return first;
  const auto size = static_cast<std::size_t>(behind - start);
  if (!recovery_.add_frame(
          settings_.send_blocks,
          SentFrame{first, 0, static_cast<std::uint32_t>(last - first), channel.number, kind})) {
    return first;
  }
  static_cast<void>(write_reliable_header(writer, channel.number, first, size, true));
  channel.bytes.copy(start, writer.space(size));
  return last;
}

std::uint32_t Transfer::write_part(ByteWriter& writer, SendChannel& channel, std::uint64_t number,
                                   std::uint32_t offset, std::uint32_t length) {
  const std::uint32_t total = channel.messages[number].length;
  const std::size_t header =
      fragment_header_size(channel.number, number, total, offset, writer.remaining(), true);
  if (writer.remaining() <= header) return 0;
  const std::size_t room = writer.remaining() - header;
  if (room < length && room < kLeastPart) return 0;
  const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(length, room));
  if (!recovery_.add_frame(settings_.send_blocks,
                           SentFrame{number, offset, part, channel.number, SentFrameKind::kPart})) {
    return 0;
  }
  static_cast<void>(write_fragment_header(writer, channel.number, number, total, offset, part, true));
  channel.bytes.copy(channel.messages[number].data() + offset, writer.space(part));
  return part;
}

bool Transfer::write_expired_frame(ByteWriter& writer, SendChannel& channel, std::uint64_t number) {
  const ExpiredFrame frame{channel.number, number, channel.messages[number].length};
  const std::size_t size =
      1 + varint_size(frame.channel) + varint_size(frame.number) + varint_size(frame.length);
  if (writer.remaining() < size) return false;
  if (!recovery_.add_frame(settings_.send_blocks,
                           SentFrame{number, 0, 1, channel.number, SentFrameKind::kExpired})) {
    return false;
  }
  return write_expired(writer, frame);
}

bool Transfer::affords(SendChannel& channel, std::uint64_t cost) {
  if (channel.spent + cost > channel.limit) {
    channel.blocked = true;
    return false;
  }
  if (starving_ == nullptr && spent_ + cost > limit_) {
    starving_ = &channel;
    wanted_ = cost;
  }
  channel.starved = starving_ != nullptr;
  return !channel.starved;
}

void Transfer::end_starvation() {
  SendChannel* const first = std::exchange(starving_, nullptr);
  first->starved = false;
  if (!first->blocked && first->has_unsent()) {
    line_up(*first, true);
    preferred_ = static_cast<std::size_t>(first->priority);
  }
  for (const auto& channel : sending_) {
    channel->starved = false;
    activate(*channel);
  }
}

void Transfer::spend(SendChannel& channel, std::uint64_t cost) {
  channel.spent += cost;
  spent_ += cost;
}

// ---- what comes back

void Transfer::on_ack(const AckFrame& ack, std::uint64_t next_number, RoundTrip& round_trip, Instant now) {
  if (!controller_) return;
  const SendHolding holding(*this);
  now_ = now;
  next_number_ = next_number;
  const bool more = !ecn_failed_ && ack.has_ecn && ack.ecn.ce > told_marks_.ce;
  const std::uint64_t newly_marked = more ? ack.ecn.ce - told_marks_.ce : 0;
  const std::uint64_t acknowledged = recovery_.on_ack(settings_.send_blocks, ack, newly_marked, next_number,
                                                      *controller_, round_trip, now, *this);
  acknowledged_ += acknowledged;
  if (!repeats()) newest_.clear();
  if (!ecn_failed_) validate_ecn(ack, acknowledged);
  if (is_done()) recovery_.forget_losses();
  follow_path_mtu(now);
  plan_next_send(now);
}

// RFC 9000 section 13.4.2.1. `acknowledged`: packets that this ACK is the first to acknowledge; all of them
// were sent with ECT(0).
void Transfer::validate_ecn(const AckFrame& ack, std::uint64_t acknowledged) {
  if (acknowledged > 0) {
    const std::uint64_t before = told_marks_.ect0 + told_marks_.ce;
    ecn_failed_ = !ack.has_ecn || ack.ecn.ect0 + ack.ecn.ce < before + acknowledged;
  }
  if (!ack.has_ecn) return;
  told_marks_.ect0 = std::max(told_marks_.ect0, ack.ecn.ect0);
  told_marks_.ce = std::max(told_marks_.ce, ack.ecn.ce);
}

void Transfer::on_frame_acknowledged(const SentFrame& frame) {
  if (frame.kind == SentFrameKind::kMtuProbe) path_mtu_.on_probe_acked(frame.number, now_);
  if (frame.kind > SentFrameKind::kExpired) return;
  SendChannel& channel = send_channel(frame.channel);
  const std::uint64_t oldest = channel.oldest;
  switch (frame.kind) {
    case SentFrameKind::kMessages:
    case SentFrameKind::kCopies:
      finish(channel, frame.number, frame.number + frame.length);
      break;
    case SentFrameKind::kPart:
      if (OutgoingMessage* const message = channel.held(frame.number); message != nullptr) {
        channel.release_part(*message, frame.offset, frame.length);
        message->unacknowledged -= frame.length;
        if (message->unacknowledged == 0) finish(channel, frame.number, frame.number + 1);
      }
      break;
    default:
      if (channel.holds(frame.number)) channel.finish(frame.number);
      break;
  }
  if (channel.blocked && channel.oldest != oldest) {
    channel.blocked = false;
    activate(channel);
  }
}

// The messages from `first` to `end` - 1 have been acknowledged, some of them perhaps for the second time.
void Transfer::finish(SendChannel& channel, std::uint64_t first, std::uint64_t end) {
  while (first < end) {
    std::uint64_t number = first;
    for (; number < end; ++number) {
      OutgoingMessage* const message = channel.held(number);
      if (message == nullptr) break;
      message->done = true;
      confirm(*message, false);
      if (!message->expired) forget_expiry(*message);
    }
    if (number > first) channel.drop_done(first, number);
    first = number + 1;
  }
}

void Transfer::on_frame_lost(const SentFrame& frame) {
  switch (frame.kind) {
    case SentFrameKind::kCredit:
      received_.untold = credit_due_ = true;
      break;
    case SentFrameKind::kChannelCredit:
      receive_channel(frame.channel).credit().untold = credit_due_ = true;
      break;
    case SentFrameKind::kMtuProbe:
      path_mtu_.on_probe_lost(frame.number, now_);
      break;
    default:
      queue_lost(frame);
      break;
  }
}

void Transfer::queue_lost(const SentFrame& frame) {
  if (lost_order_.push(settings_.send_blocks, frame.channel)) {
    keep_lost(send_channel(frame.channel), LostFrame{frame});
  } else {
    broken_ = true;
  }
}

void Transfer::keep_lost(SendChannel& channel, const LostFrame& frame) {
  if (!channel.lost.push(settings_.send_blocks, frame)) broken_ = true;
}

void Transfer::on_credit(std::uint64_t limit) {
  if (limit <= limit_) return;
  limit_ = limit;
  if (starving_ != nullptr && spent_ + wanted_ <= limit_) end_starvation();
}

void Transfer::on_channel_credit(const ChannelCreditFrame& frame) {
  SendChannel& channel = send_channel(frame.channel);
  channel.limit = std::max(channel.limit, frame.limit);
  channel.max_ahead = std::max(channel.max_ahead, std::min(frame.ahead, SendChannel::kMostAhead));
  channel.blocked = false;
  activate(channel);
}

// ---- deadlines

bool Transfer::on_timer(RoundTrip& round_trip, std::uint64_t next_number, Instant now) {
  const SendHolding holding(*this);
  now_ = now;
  next_number_ = next_number;
  if (now >= next_expiry_) expire_due(now);
  if (now >= shrink_time()) shrink_windows();
  if (controller_)
    recovery_.on_timeout(settings_.send_blocks, *controller_, round_trip, next_number, now, *this);
  if (is_done()) recovery_.forget_losses();
  // RFC 9000 section 13.4.2: perhaps it is the marks that the path does not like.
  if (recovery_.timeouts() >= kEcnPatience && told_marks_ == EcnCounts{}) ecn_failed_ = true;
  follow_path_mtu(now);
  return has_due(now);
}

Instant Transfer::deadline(const RoundTrip& round_trip) const {
  const Instant deadline =
      std::min({recovery_.deadline(round_trip), next_expiry_, next_check_, shrink_time()});
  return can_send() && window_open() ? std::min(deadline, next_send_) : deadline;
}

void Transfer::expire(SendChannel& channel, std::uint64_t number) {
  OutgoingMessage& message = channel.messages[number];
  message.expired = true;
  ++messages_expired_;
  confirm(message, true);
  channel.release_bytes(message);
  forget_expiry(message);
  if (number > channel.next_unsent || (number == channel.next_unsent && channel.part_sent == 0)) {
    // Never seen by the other side: it costs no more than its number.
    queued_ -= message.length + kMessageCost;
    message.length = 0;
    return;
  }
  if (number == channel.next_unsent) {
    queued_ -= message.length - channel.part_sent + kMessageCost;
    channel.part_sent = 0;
    ++channel.next_unsent;
  }
  queue_lost(SentFrame{number, 0, 1, channel.number, SentFrameKind::kExpired});
}

void Transfer::expire_due(Instant now) {
  while (!expiries_.empty() && expiries_.top().expires <= now) {
    const Expiry due = expiries_.pop();
    SendChannel& channel = send_channel(due.channel);
    if (!channel.holds(due.number) || channel.messages[due.number].expired) continue;
    expire(channel, due.number);
    channel.blocked = false;
    activate(channel);
  }
  next_expiry_ = expiries_.empty() ? kNever : std::max(expiries_.top().expires, now + kExpiryTick);
  // What has expired costs less: the next message may go.
  if (starving_ != nullptr) end_starvation();
}

// The message is done or has expired.
void Transfer::forget_expiry(const OutgoingMessage& message) {
  if (message.expires == kNever) return;
  --expiring_;
  if (expiring_ > 0 && expiries_.size() <= 2 * expiring_ + kIdleExpiries) return;
  expiries_.remove_if([this](const Expiry& expiry) {
    const SendChannel& channel = send_channel(expiry.channel);
    return !channel.holds(expiry.number) || channel.messages[expiry.number].expired;
  });
}

void Transfer::confirm(OutgoingMessage& message, bool expired) {
  if (message.confirm == 0) return;
  if (!confirmations_.push(settings_.send_blocks, Confirmation{message.confirm, expired})) broken_ = true;
  message.confirm = 0;
}

void Transfer::on_new_path(Instant now) {
  const SendHolding holding(*this);
  recovery_.on_path_changed(*this);
  max_datagram_ = path_mtu_.current();
  if (!controller_) return;
  controller_->on_path(max_datagram_, true, now);
  pacer_.emplace(max_datagram_, now);
}

// Discovery may have found that the path carries more, or less.
void Transfer::follow_path_mtu(Instant now) {
  if (path_mtu_.current() == max_datagram_) return;
  max_datagram_ = path_mtu_.current();
  if (!controller_) return;
  controller_->on_path(max_datagram_, false, now);
  pacer_->set_max_datagram(max_datagram_);
}

// ---- in

bool Transfer::has_room(Bytes payload, bool delivers) {
  MemoryNeed needed_ahead;
  MemoryNeed needed_next;
  // Up to where whole messages that were seen last make those behind them the next ones, and whether nothing
  // is kept before these.
  struct {
    ReceiveChannel* channel = nullptr;
    std::uint64_t end = 0;
    bool empty = false;
  } run;
  const auto end_of = [&](ReceiveChannel* channel) {
    return run.channel == channel ? std::max(run.end, channel->next()) : channel->next();
  };
  const auto is_ahead = [&](ReceiveChannel* channel, std::uint64_t number) {
    return number > end_of(channel);
  };
  const auto need = [&](const MemoryNeed& more, bool ahead) { (ahead ? needed_ahead : needed_next) += more; };
  // The message of which a part was seen last: it takes its memory once.
  struct {
    ReceiveChannel* channel = nullptr;
    std::uint64_t number = 0;
  } cut;
  FrameReader reader(payload);
  for (Frame frame; reader.next(frame);) {
    if (frame.type == FrameType::kReliable) {
      const ReliableFrame& reliable = frame.reliable;
      ReceiveChannel* const channel = reliable_channel(reliable.channel);
      if (channel == nullptr) continue;
      const bool ahead = is_ahead(channel, reliable.first);
      std::uint64_t first = reliable.first;
      const std::uint64_t end = first + reliable.count;
      if (!ahead) {
        const bool follows = run.channel == channel && first <= run.end;
        const bool at_once = follows ? run.empty : channel->is_next(first);
        run = {channel, std::max(end, end_of(channel)), at_once && channel->empty()};
        // They are delivered at once: all of them, or what was kept behind the first may wait for room then.
        if (at_once && delivers) first = channel->empty() ? end : first + 1;
      }
      if (first < end)
        need(channel->memory_for_messages(first, end - first, reliable.messages.size()), ahead);
    } else if (frame.type == FrameType::kFragment) {
      const FragmentFrame& part = frame.fragment;
      ReceiveChannel* const channel = reliable_channel(part.channel);
      if (channel == nullptr || (cut.channel == channel && cut.number == part.number)) continue;
      cut = {channel, part.number};
      need(channel->memory_for_part(part.number, part.total), is_ahead(channel, part.number));
    } else if (frame.type == FrameType::kExpired) {
      ReceiveChannel* const channel = reliable_channel(frame.expired.channel);
      if (channel == nullptr) continue;
      need(channel->memory_for_pages(frame.expired.number, 1), is_ahead(channel, frame.expired.number));
    }
  }
  const ReceiveMemory& memory = settings_.receive_memory;
  // What both take together has to fit, too.
  if (needed_ahead.empty()) return memory.may_take_next(held_, needed_next);
  needed_ahead += needed_next;
  return memory.may_take_ahead(held_, needed_ahead);
}

bool Transfer::use_excuse() {
  if (excused_intervals_ == 0) {
    excused_in_a_row_ = 0;
    return false;
  }
  --excused_intervals_;
  if (excused_in_a_row_ == ProgressMonitor::kMostExcusedIntervals) return false;
  ++excused_in_a_row_;
  return true;
}

bool Transfer::check_progress(Instant last_receive, Instant now) {
  if (now < next_check_) return true;
  // A path on which nothing arrives says nothing about the peer.
  const bool is_silent = last_receive <= next_check_ - ProgressMonitor::kInterval;
  // Acknowledgements that shared a refused packet were lost with it, so that a refusal excuses them, too.
  const bool counts = !use_excuse() && interval_counts_ && !is_silent;
  interval_counts_ = true;
  next_check_ = kNever;
  bool goes_on = true;
  if (counts) {
    goes_on = acknowledgements_.on_interval(recovery_.in_flight() > 0, acknowledged_, 1);
    const Holding holding(*this);
    for (const auto& channel : receiving_) goes_on = channel->check_progress() && goes_on;
  }
  watch_progress(now);
  return goes_on;
}

void Transfer::set_paused(std::uint32_t number, bool paused) {
  ReceiveChannel& channel = receive_channel(number);
  channel.set_paused(paused);
  if (!paused && channel.waiting()) waiting_ = true;
}

}  // namespace hawser
