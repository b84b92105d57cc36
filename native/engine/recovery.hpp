// Loss detection of RFC 9002 sections 5 and 6 for one connection, and the books it needs: which packets are
// in flight, what was in them, and when to look again.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "base/block_pool.hpp"
#include "base/ring.hpp"
#include "base/time.hpp"
#include "engine/congestion_controller.hpp"
#include "engine/reordering.hpp"
#include "engine/round_trip.hpp"
#include "wire/frames.hpp"

namespace hawser {

// How long an acknowledgement may wait for company (docs/protocol.md section 12, ACK).
inline constexpr Duration kMaxAckDelay = std::chrono::milliseconds(5);

enum class SentFrameKind : std::uint8_t {
  kMessages,  // `length` whole messages from `number` on
  kCopies,    // the same, which an earlier packet carried: only their acknowledgement counts
  kPart,      // `length` bytes of message `number` from `offset` on
  kExpired,   // message `number`
  kCredit,
  kChannelCredit,
  kMtuProbe,  // packet `number`
};

// What a packet carried that has to arrive. Every message, or byte of one, is in one of these at most, and in
// any number of kCopies.
struct SentFrame {
  std::uint64_t number = 0;
  std::uint32_t offset = 0;
  std::uint32_t length = 0;
  std::uint16_t channel = 0;
  SentFrameKind kind = SentFrameKind::kMessages;
  std::uint8_t repeated = 0;  // how many later packets have copies of kMessages
};
static_assert(sizeof(SentFrame) == 24);

struct SentPacket {
  enum class State : std::uint8_t { kInFlight, kAcknowledged, kGone };

  SentPacketInfo info;
  std::uint64_t first_frame = 0;
  std::uint32_t frames = 0;
  // Unreliable messages that obey congestion control: acknowledged with the packet, and never sent again.
  std::uint16_t messages = 0;
  State state = State::kInFlight;
  // A probe of the path MTU: its loss says nothing of congestion (RFC 8899 section 3).
  bool mtu_probe = false;
  // Of a packet that is gone: at least as many packets from this one on are gone. Of one that is
  // acknowledged: distance to the next acknowledged one, 0 for the last.
  std::uint32_t step = 1;
};

// `Owner` has on_frame_acknowledged(const SentFrame&) and on_frame_lost(const SentFrame&), the same for whole
// packets that are no probes, on_packet_acknowledged(const SentPacketInfo&) and
// on_packet_lost(const SentPacketInfo&), and on_probe_without_frames().
class Recovery {
 public:
  // RFC 9002 section 6.1; while the path keeps the order of packets.
  static constexpr std::uint64_t kPacketThreshold = 3;
  // Packets declared lost that are remembered, since they may still be acknowledged.
  static constexpr std::size_t kMostRemembered = 1024;
  // For how many packets after a lost one the path is taken for one that loses packets: two thirds of the
  // time where one of 256 is lost.
  static constexpr std::uint64_t kLatelyPackets = 256;

  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool idle() const { return packets_.empty(); }
  [[nodiscard]] std::uint64_t packets_lost() const { return packets_lost_; }
  // Packets that were declared lost and acknowledged later.
  [[nodiscard]] std::uint64_t spurious_losses() const { return spurious_losses_; }
  // Those of add_message() whose packets are among them.
  [[nodiscard]] std::uint64_t messages_lost() const { return messages_lost_; }
  // Packets that a probe timeout wants sent, whatever the window says.
  [[nodiscard]] unsigned probes_due() const { return probes_due_; }

  // Probe timeouts since something was acknowledged.
  [[nodiscard]] unsigned timeouts() const { return timeouts_; }

  // Whether one of the last kLatelyPackets was lost.
  [[nodiscard]] bool has_lost_lately() const { return largest_acked_ < lossy_until_; }
  // Calls `repeat(frame, sent)` for each kMessages of the newest packets in flight, at most `count` of them,
  // the oldest first. It returns whether it has added copies of them to the packet that is being written.
  template <class F>
  void for_each_recent(std::size_t count, F&& repeat) {
    std::uint64_t at = packets_.end() - std::min<std::uint64_t>(count, packets_.size());
    for (; at < packets_.end(); ++at) {
      const SentPacket& packet = packets_[at];
      if (packet.state != SentPacket::State::kInFlight) continue;
      for (std::uint32_t i = 0; i < packet.frames; ++i) {
        const std::uint64_t frame = packet.first_frame + i;
        if (frames_[frame].kind != SentFrameKind::kMessages) continue;
        if (repeat(SentFrame(frames_[frame]), packet.info.sent)) ++frames_[frame].repeated;
      }
    }
  }

  // Notes a frame of the packet that is being written; false when there is no memory.
  [[nodiscard]] bool add_frame(BlockPool& pool, const SentFrame& frame) {
    if (!frames_.push(pool, frame)) return false;
    ++open_frames_;
    return true;
  }
  // Notes a message of the packet that is being written which is not sent again. There is always room for it.
  void add_message() { ++open_messages_; }
  // Whether the packet that is being written will be in flight.
  [[nodiscard]] bool has_open_frames() const { return open_frames_ > 0 || open_messages_ > 0; }
  // Room for one more packet, to be asked for before its first frame is added.
  [[nodiscard]] bool reserve(BlockPool& pool) { return packets_.reserve(pool); }
  // No frame was added after all.
  void release_unused() {
    if (packets_.empty() && !has_open_frames()) packets_.clear();
  }

  // The packet with the frames added since the last one leaves.
  void on_sent(BlockPool& pool, CongestionController& controller, std::uint64_t number, std::size_t bytes,
               Instant now) {
    SentPacket packet;
    packet.info.number = number;
    packet.info.sent = now;
    packet.info.bytes = static_cast<std::uint32_t>(bytes);
    packet.first_frame = frames_.end() - open_frames_;
    packet.frames = open_frames_;
    packet.messages = open_messages_;
    packet.mtu_probe = open_frames_ == 1 && frames_.back().kind == SentFrameKind::kMtuProbe;
    open_frames_ = 0;
    open_messages_ = 0;
    if (packets_.empty()) probes_at_once_ = false;
    controller.on_sent(packet.info, in_flight_);
    in_flight_ += bytes;
    last_sent_ = now;
    if (!packet.mtu_probe && probes_due_ > 0) --probes_due_;
    const bool kept = packets_.push(pool, packet);
    assert(kept && "reserve() made room");
    static_cast<void>(kept);
  }

  // Takes an ACK whose numbers have been checked. `newly_marked`: by how much its CE count has grown. Returns
  // how many packets it is the first to acknowledge.
  template <class Owner>
  std::uint64_t on_ack(BlockPool& pool, const AckFrame& ack, std::uint64_t newly_marked,
                       std::uint64_t next_number, CongestionController& controller, RoundTrip& round_trip,
                       Instant now, Owner& owner) {
    const Acknowledged newly = mark_acknowledged(ack);
    const std::uint64_t overtaking = std::exchange(largest_acked_, std::max(largest_acked_, ack.largest));
    AckSummary summary;
    if (newly_marked > 0) losses_.are_real = true;
    if (!lost_.empty()) settle_losses(ack, controller, round_trip, now, owner, summary);
    if (newly.count > 0) {
      const SentPacket& newest = packets_[newly.last];
      if (newest.info.number == ack.largest) {
        summary.latest_round_trip = sample(round_trip, now - newest.info.sent, ack.delay, now);
      }
      const Duration longest = longest_round_trip(round_trip);
      std::uint64_t at = newly.first;
      for (std::uint64_t left = newly.count; left > 0; --left) {
        SentPacket& packet = packets_[at];
        at += std::exchange(packet.step, 1);
        packet.state = SentPacket::State::kGone;
        in_flight_ -= packet.info.bytes;
        summary.acked_bytes += packet.info.bytes;
        if (packet.info.number + kPacketThreshold <= overtaking)
          reordering_.on_late(now - packet.info.sent, longest);
        controller.on_acked(packet.info, now);
        if (!packet.mtu_probe) owner.on_packet_acknowledged(packet.info);
        for (std::uint32_t i = 0; i < packet.frames; ++i)
          owner.on_frame_acknowledged(frames_[packet.first_frame + i]);
      }
    }
    if (summary.acked_bytes > 0) {
      timeouts_ = 0;
      probes_due_ = 0;
      probes_at_once_ = false;
      allow_end_of_backoff();
    }
    summary.newly_marked = newly_marked;
    if (largest_acked_ >= round_end_) {
      round_end_ = next_number;
      reordering_.on_round();
    }
    detect_losses(pool, controller, round_trip, next_number, now, owner, summary);
    finish(controller, round_trip, next_number, now, summary);
    return newly.count;
  }

  // What `deadline` announced. Returns whether something has to be sent.
  template <class Owner>
  bool on_timeout(BlockPool& pool, CongestionController& controller, RoundTrip& round_trip,
                  std::uint64_t next_number, Instant now, Owner& owner) {
    if (packets_.empty()) return false;
    if (loss_time_ != kNever) {
      if (now < loss_time_) return false;
      AckSummary summary;
      detect_losses(pool, controller, round_trip, next_number, now, owner, summary);
      finish(controller, round_trip, next_number, now, summary);
      return true;
    }
    if (now < probe_time(round_trip)) return false;
    probes_at_once_ = false;
    if (timeouts_ < kMaxBackoff) ++timeouts_;
    // Two packets the first time, since one may be lost as well (RFC 9002 section 6.2.4); from then on the
    // path may carry nothing.
    probes_due_ = timeouts_ == 1 ? 2 : 1;
    // When nothing is acknowledged any more, nothing is declared lost either: that is how a black hole shows
    // (RFC 8899 section 4.3), of which the newest packet tells.
    for (std::uint64_t at = packets_.end(); at > packets_.begin(); --at) {
      const SentPacket& packet = packets_[at - 1];
      if (packet.state != SentPacket::State::kInFlight || packet.mtu_probe) continue;
      owner.on_packet_lost(packet.info);
      break;
    }
    // What the oldest packet carried is the probe (RFC 9002 section 6.2.4); whether the packet is lost is not
    // known by that. After the second timeout in a row the probes are from what all packets carried: what the
    // other side waits for, which the last probes have put into younger packets, has to be in the next ones
    // again. It may be all that it has memory for.
    bool given_up = false;
    bool has_messages = false;
    for (std::uint64_t at = packets_.begin(); at < packets_.end(); ++at) {
      SentPacket& packet = packets_[at];
      if (packet.state != SentPacket::State::kInFlight || packet.mtu_probe) continue;
      has_messages = has_messages || packet.messages > 0;
      given_up = give_up_frames(packet, owner) || given_up;
      if (given_up && timeouts_ < kProbesFromAll) break;
    }
    if (given_up) return true;
    // Messages that are not sent again: their packets count until something tells what became of them.
    if (has_messages) {
      owner.on_probe_without_frames();
      return true;
    }
    // What was in all of them is on its way again or has arrived, or they probe the MTU: nothing is left to
    // ask for with a probe.
    probes_due_ = 0;
    forget_all(owner);
    return true;
  }

  // When on_timeout has something to do.
  [[nodiscard]] Instant deadline(const RoundTrip& round_trip) const {
    if (packets_.empty()) return kNever;
    return loss_time_ != kNever ? loss_time_ : probe_time(round_trip);
  }

  // RFC 9002 section 6.2.1.
  [[nodiscard]] static Duration probe_timeout(const RoundTrip& round_trip) {
    return round_trip.pto() + kMaxAckDelay;
  }

  // Nothing is left to be sent again or acknowledged: no late packet can matter any more.
  void forget_losses() {
    lost_.clear();
    losses_ = {};
  }

  // Something authentic has come after a silence, or a PONG: the path carries datagrams again. The next probe
  // does not wait, because the last one may have been sent before the path came back. Each of the two counts
  // once until something is acknowledged, so that a peer that acknowledges nothing does not make probes
  // frequent. Whether deadline() has changed.
  [[nodiscard]] bool on_packet_after_silence() { return end_backoff(may_end_after_silence_); }
  [[nodiscard]] bool on_pong() { return end_backoff(may_end_with_pong_); }

  // The other side has another address on the same path. What is in flight went to the old address and may be
  // lost there, so that a probe tells soonest what has to be sent again.
  void on_address_changed() {
    timeouts_ = 0;
    allow_end_of_backoff();
    probes_at_once_ = true;
  }

  // The path is new: what is in flight went over another one, and its loss or delay says nothing of this one.
  template <class Owner>
  void on_path_changed(Owner& owner) {
    forget_all(owner);
    forget_losses();
    reordering_ = {};
    lossy_until_ = lossy_before_ = 0;
    timeouts_ = 0;
    probes_due_ = 0;
    probes_at_once_ = false;
    allow_end_of_backoff();
  }

 private:
  // Doublings that are counted, so that their product does not overflow.
  static constexpr std::uint8_t kMaxBackoff = 10;
  // The limit of the doubling, unless one probe timeout is longer. RFC 9002 has none: after an outage of
  // three seconds, the next probe would come up to three seconds later, and on a path that loses two packets
  // of five, one message in a thousand would arrive after more than a minute. A connection times out, so that
  // the probes of one are few.
  static constexpr Duration kMaxProbeTimeout = std::chrono::milliseconds(500);
  // RFC 9002 section 7.6.1.
  static constexpr int kPersistentThreshold = 3;
  // With the doubling, as long as persistent congestion takes.
  static constexpr std::uint8_t kProbesFromAll = 2;

  [[nodiscard]] bool end_backoff(bool& may_end) {
    if (timeouts_ == 0 || !may_end) return false;
    timeouts_ = 0;
    may_end = false;
    probes_at_once_ = true;
    return true;
  }
  void allow_end_of_backoff() { may_end_after_silence_ = may_end_with_pong_ = true; }

  // RFC 9002 section 5.3; the delay counts only as far as it was promised.
  static Duration sample(RoundTrip& round_trip, Duration elapsed, Duration delay, Instant now) {
    const Duration counted = std::min(delay, kMaxAckDelay);
    Duration latest = std::max(elapsed, Duration(1));
    if (round_trip.has_sample() && latest >= round_trip.minimum() + counted) latest -= counted;
    round_trip.add_sample(latest, elapsed - delay, now);
    return latest;
  }

  // The place of the first packet in `packets`, which are in the order of their numbers, from `number` on.
  template <class Packet>
  [[nodiscard]] static std::uint64_t lower_bound(const Ring<Packet>& packets, std::uint64_t number) {
    std::uint64_t from = packets.begin();
    for (std::uint64_t count = packets.size(); count > 0;) {
      const std::uint64_t half = count / 2;
      if (packets[from + half].info.number < number) {
        from += half + 1;
        count -= half + 1;
      } else {
        count = half;
      }
    }
    return from;
  }

  // Places in `packets_` of the packets that an ACK is the first to acknowledge: a list by SentPacket::step.
  struct Acknowledged {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::uint64_t count = 0;
  };

  // The ranges of an ACK repeat those of the ACKs before it, and a lost packet keeps all later ones in
  // `packets_`. The work is therefore bounded by the number of ranges and of new acknowledgements.
  Acknowledged mark_acknowledged(const AckFrame& ack) {
    Acknowledged newly;
    AckRangeReader ranges(ack);
    AckRange range{};
    while (!packets_.empty() && ranges.next(range)) {
      if (range.largest < packets_.front().info.number) break;
      // Ranges come from the newest to the oldest, packets of a range from the oldest to the newest.
      Acknowledged here;
      std::uint64_t at = lower_bound(packets_, range.smallest);
      while (at < packets_.end() && packets_[at].info.number <= range.largest) {
        SentPacket& packet = packets_[at];
        if (packet.state == SentPacket::State::kGone) {
          at = skip_gone(at);
          continue;
        }
        packet.state = SentPacket::State::kAcknowledged;
        packet.step = 0;
        if (here.count++ == 0) {
          here.first = at;
        } else {
          packets_[here.last].step = static_cast<std::uint32_t>(at - here.last);
        }
        here.last = at++;
      }
      if (here.count == 0) continue;
      if (newly.count > 0) {
        packets_[here.last].step = static_cast<std::uint32_t>(newly.first - here.last);
        here.last = newly.last;
      }
      here.count += newly.count;
      newly = here;
    }
    return newly;
  }

  // The place of the first packet from `at` on that is not gone. Doubles the steps on its way, so that the
  // next search in these packets takes half as many.
  std::uint64_t skip_gone(std::uint64_t at) {
    const auto is_gone = [this](std::uint64_t place) {
      return place < packets_.end() && packets_[place].state == SentPacket::State::kGone;
    };
    while (is_gone(at)) {
      SentPacket& packet = packets_[at];
      if (const std::uint64_t next = at + packet.step; is_gone(next)) packet.step += packets_[next].step;
      at += packet.step;
    }
    return at;
  }

  [[nodiscard]] Instant probe_time(const RoundTrip& round_trip) const {
    if (probes_at_once_) return last_sent_;
    const Duration first = probe_timeout(round_trip);
    return last_sent_ + std::max(first, std::min(first * (1 << timeouts_), kMaxProbeTimeout));
  }

  template <class Owner>
  void forget_all(Owner& owner) {
    for (std::uint64_t at = packets_.begin(); at < packets_.end(); ++at) {
      SentPacket& packet = packets_[at];
      if (packet.state == SentPacket::State::kInFlight) static_cast<void>(give_up_frames(packet, owner));
      packet.state = SentPacket::State::kGone;
    }
    in_flight_ = 0;
    loss_time_ = kNever;
    drop_gone();
  }

  // Whether the packet carried something that has to be sent again.
  template <class Owner>
  [[nodiscard]] bool give_up_frames(SentPacket& packet, Owner& owner) {
    bool has_any = false;
    for (std::uint32_t i = 0; i < packet.frames; ++i) {
      const SentFrame& frame = frames_[packet.first_frame + i];
      if (frame.kind == SentFrameKind::kCopies) continue;
      has_any = true;
      owner.on_frame_lost(frame);
    }
    packet.frames = 0;
    return has_any;
  }

  // The round trip that loss detection uses (RFC 9002 section 6.1.2).
  [[nodiscard]] static Duration longest_round_trip(const RoundTrip& round_trip) {
    return std::max(round_trip.latest(), round_trip.smoothed());
  }

  // RFC 9002 section 6.1, with a window that adapts to the path. Packets are declared lost in the order in
  // which they were sent, so that the first one that may still come ends the search.
  template <class Owner>
  void detect_losses(BlockPool& pool, CongestionController& controller, const RoundTrip& round_trip,
                     std::uint64_t next_number, Instant now, Owner& owner, AckSummary& summary) {
    loss_time_ = kNever;
    const Duration delay = reordering_.loss_delay(longest_round_trip(round_trip));
    const Duration persistent = probe_timeout(round_trip) * kPersistentThreshold;
    bool is_persistent = false;
    Instant first_lost = kNever;
    for (std::uint64_t at = packets_.begin(); at < packets_.end(); ++at) {
      SentPacket& packet = packets_[at];
      if (packet.info.number > largest_acked_) break;
      if (packet.state != SentPacket::State::kInFlight) {
        // One between two lost ones has arrived, or was lost before: the time without any begins anew.
        first_lost = kNever;
        continue;
      }
      const bool overtaken =
          !reordering_.is_seen() && packet.info.number + kPacketThreshold <= largest_acked_;
      if (!overtaken && packet.info.sent + delay > now) {
        loss_time_ = packet.info.sent + delay;
        break;
      }
      packet.state = SentPacket::State::kGone;
      in_flight_ -= packet.info.bytes;
      static_cast<void>(give_up_frames(packet, owner));
      if (packet.mtu_probe) continue;
      ++packets_lost_;
      messages_lost_ += packet.messages;
      summary.lost_bytes += packet.info.bytes;
      remember_loss(pool, controller, packet.info, next_number);
      controller.on_lost(packet.info, now);
      owner.on_packet_lost(packet.info);
      if (first_lost == kNever) first_lost = packet.info.sent;
      is_persistent = is_persistent || packet.info.sent - first_lost > persistent;
    }
    if (is_persistent && round_trip.has_sample()) {
      losses_.are_real = true;
      controller.on_persistent_congestion(now);
    }
  }

  // A packet sent after the episode began that is lost begins another (RFC 9002 section 7.3.2).
  void remember_loss(BlockPool& pool, CongestionController& controller, const SentPacketInfo& packet,
                     std::uint64_t next_number) {
    lossy_before_ = std::exchange(lossy_until_, packet.number + kLatelyPackets);
    if (packet.number >= losses_.end) {
      losses_ = {.first = packet.number, .end = next_number};
      controller.on_losses_begin();
    }
    if (lost_.size() == kMostRemembered) forget_loss();
    // Without memory it is taken for lost for good.
    if (lost_.push(pool, LostPacket{packet})) {
      ++losses_.open;
    } else {
      losses_.are_real = true;
    }
  }

  // Packets that were declared lost and have now been acknowledged.
  template <class Owner>
  void settle_losses(const AckFrame& ack, CongestionController& controller, const RoundTrip& round_trip,
                     Instant now, Owner& owner, AckSummary& summary) {
    const Duration longest = longest_round_trip(round_trip);
    // A packet that is late by more than a round trip is of no use to the window, and another one is for its
    // acknowledgement, which may be lost.
    while (!lost_.empty() && (lost_.front().arrived || lost_.front().info.sent + 4 * longest < now))
      forget_loss();
    if (lost_.empty()) return;
    const std::uint64_t before = spurious_losses_;
    AckRangeReader ranges(ack);
    AckRange range{};
    while (ranges.next(range) && range.largest >= lost_.front().info.number) {
      for (std::uint64_t at = lower_bound(lost_, range.smallest); at < lost_.end(); ++at) {
        LostPacket& packet = lost_[at];
        if (packet.info.number > range.largest) break;
        if (packet.arrived) continue;
        packet.arrived = true;
        ++spurious_losses_;
        const std::uint64_t lossy_until = packet.info.number + kLatelyPackets;
        if (lossy_until == lossy_before_) lossy_before_ = 0;
        if (lossy_until == lossy_until_) lossy_until_ = std::exchange(lossy_before_, 0);
        reordering_.on_late(now - packet.info.sent, longest);
        summary.acked_bytes += packet.info.bytes;
        controller.on_acked(packet.info, now);
        owner.on_packet_acknowledged(packet.info);
        if (packet.info.number >= losses_.first) --losses_.open;
      }
    }
    if (spurious_losses_ > before && losses_.open == 0 && !losses_.are_real) {
      losses_ = {};
      controller.on_losses_undone();
    }
  }

  void forget_loss() {
    const LostPacket& packet = lost_.front();
    if (!packet.arrived && packet.info.number >= losses_.first) {
      losses_.are_real = true;
      --losses_.open;
    }
    lost_.pop();
  }

  void finish(CongestionController& controller, const RoundTrip& round_trip, std::uint64_t next_number,
              Instant now, AckSummary& summary) {
    summary.now = now;
    summary.round_trip = &round_trip;
    summary.largest_acked = largest_acked_;
    summary.next_number = next_number;
    summary.in_flight = in_flight_;
    if (summary.acked_bytes > 0 || summary.lost_bytes > 0 || summary.newly_marked > 0)
      controller.on_ack_done(summary);
    drop_gone();
  }

  void drop_gone() {
    while (!packets_.empty() && packets_.front().state == SentPacket::State::kGone) {
      packets_.pop();
    }
    // Frames of packets before the first that is left.
    const std::uint64_t keep = packets_.empty() ? frames_.end() - open_frames_ : packets_.front().first_frame;
    while (frames_.begin() < keep) frames_.pop();
  }

  struct LostPacket {
    SentPacketInfo info;
    bool arrived = false;
  };
  // The congestion episode that may be undone: packets declared lost from number `first` on.
  struct Losses {
    std::uint64_t first = UINT64_MAX;
    std::uint64_t end = 0;   // packets from here on were sent after it began
    std::uint32_t open = 0;  // of them, those remembered that have not been acknowledged
    bool are_real = false;   // one of them is lost for good, or congestion shows in another way
  };

  Ring<SentPacket> packets_;
  Ring<SentFrame> frames_;
  // In the order of their numbers.
  Ring<LostPacket> lost_;
  Losses losses_;
  Reordering reordering_;
  std::size_t in_flight_ = 0;
  std::uint64_t largest_acked_ = 0;
  std::uint64_t round_end_ = 0;  // packet number: its acknowledgement ends the round trip
  // Packet number: kLatelyPackets after the newest packet that was lost; after the one lost before it.
  std::uint64_t lossy_until_ = 0;
  std::uint64_t lossy_before_ = 0;
  std::uint64_t packets_lost_ = 0;
  std::uint64_t spurious_losses_ = 0;
  std::uint64_t messages_lost_ = 0;
  Instant last_sent_{};
  Instant loss_time_ = kNever;
  std::uint32_t open_frames_ = 0;
  std::uint16_t open_messages_ = 0;
  std::uint8_t timeouts_ = 0;
  bool may_end_after_silence_ = true;
  bool may_end_with_pong_ = true;
  bool probes_at_once_ = false;
  std::uint8_t probes_due_ = 0;
};

}  // namespace hawser
