// Everything of one connection that has to do with its channels: the queues and books of both directions,
// credit, recovery, congestion control and pacing (docs/protocol.md section 12). It exists once a channel
// has been used whose messages do not just leave as they come.
#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/block_heap.hpp"
#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/ring.hpp"
#include "base/time.hpp"
#include "engine/channels.hpp"
#include "engine/congestion_controller.hpp"
#include "engine/credit.hpp"
#include "engine/datagram.hpp"
#include "engine/pacer.hpp"
#include "engine/path_mtu.hpp"
#include "engine/progress_monitor.hpp"
#include "engine/receive_channel.hpp"
#include "engine/recovery.hpp"
#include "engine/round_trip.hpp"
#include "engine/send_channel.hpp"
#include "wire/frames.hpp"

namespace hawser {

// What the transfers of an endpoint share.
struct TransferSettings {
  std::vector<ChannelDeclaration> channels;
  CongestionAlgorithm congestion = CongestionAlgorithm::kBbr;
  // What the other side may send before this side's user has taken any of it, on all channels and on each;
  // and up to where the first grows.
  std::uint32_t credit = 0;
  std::uint32_t channel_credit = 0;
  std::uint32_t max_credit = 0;
  // Of all connections; outlives them.
  CreditBudget* credit_budget = nullptr;
  // What the connections of this endpoint have taken of it, and how often they got nothing.
  std::uint64_t grown_credit = 0;
  std::uint64_t credit_refusals = 0;
  // Bytes of frames that repeated messages.
  std::uint64_t redundant_bytes = 0;
  // Whether a channel repeats messages; `always`: also on a path that loses none.
  [[nodiscard]] bool has_redundancy(bool always) const {
    return std::ranges::any_of(channels, [always](const ChannelDeclaration& channel) {
      return channel.redundancy > 0 && (!always || channel.redundancy != kAutoRedundancy);
    });
  }
  // Of all channels, in bytes.
  [[nodiscard]] std::uint64_t longest_message() const {
    std::uint64_t longest = 0;
    for (const ChannelDeclaration& channel : channels)
      longest = std::max<std::uint64_t>(longest, channel.max_message_bytes);
    return longest;
  }
  // Messages to be sent or acknowledged, and what is noted of packets. Endpoint bounds what each connection
  // and all of them hold.
  BlockPool send_blocks;
  // Greatest congestion window in bytes: bounds what one connection has in flight, whatever credit it offers
  // and however late it acknowledges.
  std::size_t max_in_flight = SIZE_MAX;
  // Received messages that cannot be delivered yet, of all connections.
  ReceiveMemory receive_memory;

  // `kept_bytes`: free memory that is kept for the next messages to be sent; of received ones, half of it for
  // each kind.
  TransferSettings(std::size_t max_reassembly_bytes, std::size_t max_connections, std::size_t kept_bytes)
      : send_blocks(SIZE_MAX, kept_bytes),
        receive_memory(max_reassembly_bytes, max_connections, kept_bytes / 2) {}
};

class Transfer {
 public:
  // `credit`, `channel_credit`: the other side's first limits. `path_mtu` outlives the transfer.
  Transfer(TransferSettings& settings, std::uint32_t credit, std::uint32_t channel_credit, PathMtu& path_mtu)
      : settings_(settings),
        received_(settings.credit, static_cast<std::uint32_t>(settings.longest_message() + kMessageCost)),
        limit_(credit),
        first_channel_limit_(channel_credit),
        path_mtu_(path_mtu),
        max_datagram_(path_mtu.current()),
        has_redundancy_(settings.has_redundancy(false)),
        always_repeats_(settings.has_redundancy(true)) {}
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() {
    give_back_credit();
    {
      const Holding holding(*this);
      receiving_.clear();
    }
    assert(held_.empty());
  }

  // ---- out

  // Takes a message of a reliable channel, or of an unreliable one that obeys congestion control, for which
  // the last two say nothing; false when there is no memory.
  [[nodiscard]] bool enqueue(std::uint32_t channel, Bytes data, Instant expires, std::uint32_t confirm);
  // The number of the next message of a sequenced channel.
  std::uint64_t next_sequenced(std::uint32_t channel) { return send_channel(channel).next_sequenced++; }
  // A message of a sequenced channel is in the packet that is being written, and may be repeated in later
  // ones. `capacity`: as of fill().
  void on_sequenced_written(const SequencedFrame& frame, std::size_t capacity);
  // Bytes of messages that were not sent yet, each with its cost beside the length.
  [[nodiscard]] std::size_t queued_bytes() const { return queued_; }
  // Memory for messages that are queued, in flight, or could not be given back yet, and for what is noted of
  // packets and confirmations.
  [[nodiscard]] std::size_t held_bytes() const { return send_held_; }

  // Whether fill() would write something.
  [[nodiscard]] bool has_due(Instant now) const;
  // Writes what is due: credit, what was lost, then new messages by the priority of their channels, and
  // behind them messages that earlier packets carried. `capacity` is what an empty packet has room for,
  // `has_messages` whether the packet has messages already.
  void fill(ByteWriter& writer, std::size_t capacity, bool has_messages, const RoundTrip& round_trip,
            Instant now);
  // Whether the packet being written has something of this transfer in it.
  [[nodiscard]] bool has_open_frames() const { return recovery_.has_open_frames(); }
  // The packet that fill() wrote to leaves.
  void on_sent(std::uint64_t number, std::size_t bytes, Instant now);
  // Notes that the packet of this number, which is being written, is an MTU probe; false when there is no
  // memory.
  [[nodiscard]] bool add_mtu_probe(std::uint64_t number);

  // How the packets of on_sent() are marked: ECT(0) as long as the path is not known to lose the mark.
  [[nodiscard]] std::uint8_t ecn() const { return ecn_failed_ ? 0 : kEcnEct0; }

  // ---- what comes back

  // An ACK whose numbers have been checked.
  void on_ack(const AckFrame& ack, std::uint64_t next_number, RoundTrip& round_trip, Instant now);
  void on_credit(std::uint64_t limit);
  void on_channel_credit(const ChannelCreditFrame& frame);
  // Deadlines: losses, probes, messages that expire. Whether something has to be sent.
  bool on_timer(RoundTrip& round_trip, std::uint64_t next_number, Instant now);
  [[nodiscard]] Instant deadline(const RoundTrip& round_trip) const;
  // The connection goes on over another path, of which nothing is known.
  void on_new_path(Instant now);
  // The path is the same, but the other side has another address. deadline() has changed.
  void on_address_changed() { recovery_.on_address_changed(); }

  // A packet has arrived with a mark other than 0.
  void count_mark(std::uint8_t ecn) {
    ++(ecn == kEcnCe ? marks_.ce : ecn == kEcnEct0 ? marks_.ect0 : marks_.ect1);
  }
  [[nodiscard]] const EcnCounts& marks() const { return marks_; }

  // ---- in: `deliver(channel, Bytes, bool kept)` hands a message to the user and returns whether there was
  // room; see ReceiveChannel.

  // Whether the frames of a packet fit into what this connection may have of the memory that is left; a
  // packet that does not is as good as lost. `delivers`: what is next need not be kept.
  [[nodiscard]] bool has_room(Bytes payload, bool delivers);
  // Of the frames of a packet for which has_room() said no, takes what is for the next messages of their
  // channels and for those that have been begun, as far as that has room: these set free what the others
  // hold.
  template <class F>
  Received take_next(Bytes payload, F&& deliver) {
    FrameReader reader(payload);
    auto received = Received::kDone;
    for (Frame frame; received < Received::kProtocolError && reader.next(frame);) {
      if (frame.type == FrameType::kReliable) {
        received = take_next(frame.reliable, deliver);
      } else if (frame.type == FrameType::kFragment) {
        const FragmentFrame& part = frame.fragment;
        ReceiveChannel* const channel = reliable_channel(part.channel);
        if (channel == nullptr) return Received::kProtocolError;
        if ((channel->next() == part.number || channel->has_begun(part.number)) &&
            may_take_next(channel->memory_for_part(part.number, part.total)))
          received = on_fragment(part, deliver);
      } else if (frame.type == FrameType::kExpired) {
        ReceiveChannel* const channel = reliable_channel(frame.expired.channel);
        if (channel == nullptr) return Received::kProtocolError;
        if (channel->next() == frame.expired.number &&
            may_take_next(channel->memory_for_pages(frame.expired.number, 1)))
          received = on_expired(frame.expired, deliver);
      }
    }
    return received;
  }
  template <class F>
  Received on_reliable(const ReliableFrame& frame, F&& deliver) {
    ReceiveChannel* const channel = reliable_channel(frame.channel);
    if (channel == nullptr) return Received::kProtocolError;
    const Holding holding(*this);
    MessageReader messages(frame.messages);
    Bytes data;
    auto result = Received::kDone;
    for (std::uint64_t number = frame.first; messages.next(data); ++number) {
      const Received received =
          channel->on_message(settings_.receive_memory, received_, number, data, to(frame.channel, deliver));
      if (received >= Received::kProtocolError) return received;
      if (received != Received::kDone) result = received;
    }
    note(*channel);
    return result;
  }
  template <class F>
  Received on_fragment(const FragmentFrame& frame, F&& deliver) {
    ReceiveChannel* const channel = reliable_channel(frame.channel);
    if (channel == nullptr) return Received::kProtocolError;
    const Holding holding(*this);
    const Received received = channel->on_part(settings_.receive_memory, received_, frame.number, frame.total,
                                               frame.offset, frame.data, to(frame.channel, deliver));
    note(*channel);
    return received;
  }
  template <class F>
  Received on_expired(const ExpiredFrame& frame, F&& deliver) {
    ReceiveChannel* const channel = reliable_channel(frame.channel);
    if (channel == nullptr) return Received::kProtocolError;
    const Holding holding(*this);
    const Received received = channel->on_expired(settings_.receive_memory, received_, frame.number,
                                                  frame.length, to(frame.channel, deliver));
    note(*channel);
    return received;
  }
  template <class F>
  Received on_sequenced(const SequencedFrame& frame, F&& deliver) {
    if (!declared(frame.channel, ChannelMode::kSequenced)) return Received::kProtocolError;
    const Holding holding(*this);
    ReceiveChannel& channel = receive_channel(frame.channel);
    if (frame.data.size() < frame.total &&
        !settings_.receive_memory.may_take_next(held_,
                                                channel.memory_for_sequenced(frame.number, frame.total)))
      return Received::kNoMemory;
    return channel.on_sequenced(settings_.receive_memory, frame.number, frame.total, frame.offset, frame.data,
                                to(frame.channel, deliver));
  }
  // Delivers what waited for room. False when something still waits.
  template <class F>
  bool deliver_waiting(F&& deliver) {
    waiting_ = false;
    const Holding holding(*this);
    for (const auto& channel : receiving_) {
      if (!channel->waiting()) continue;
      static_cast<void>(channel->deliver_waiting(received_, to(channel->number(), deliver)));
      note(*channel);
    }
    return !waiting_;
  }
  // Whether a complete message waits for room.
  [[nodiscard]] bool waiting() const { return waiting_; }
  void set_paused(std::uint32_t channel, bool paused);

  // ---- progress (docs/protocol.md section 12, Progress)

  // Starts the checks of progress while something is unfinished or in flight; see deadline().
  void watch_progress(Instant now) {
    if (next_check_ == kNever && (!held_.empty() || recovery_.in_flight() > 0))
      next_check_ = now + ProgressMonitor::kInterval;
  }
  // Judges the progress of the peer when deadline() has come. `last_receive`: when something authentic
  // arrived last. False when the peer has to be disconnected.
  [[nodiscard]] bool check_progress(Instant last_receive, Instant now);
  // A packet was refused because the user takes nothing: the present interval does not count.
  void on_user_full() { interval_counts_ = false; }

  // ---- for the user

  struct Confirmation {
    std::uint32_t id;
    bool expired;
  };
  // Messages whose fate is known, oldest first.
  [[nodiscard]] const Ring<Confirmation>& confirmations() const { return confirmations_; }
  // Removes confirmations up to number `end` - 1.
  void drop_confirmations(std::uint64_t end) {
    const SendHolding holding(*this);
    while (confirmations_.begin() < end) confirmations_.pop();
  }
  // Something authentic has come, `silence` after what came before it. Whether deadline() has changed.
  [[nodiscard]] bool on_receive(Duration silence, const RoundTrip& round_trip) {
    return silence >= Recovery::probe_timeout(round_trip) && recovery_.on_packet_after_silence();
  }
  // Whether deadline() has changed.
  [[nodiscard]] bool on_pong() { return recovery_.on_pong(); }
  [[nodiscard]] const Recovery& recovery() const { return recovery_; }
  // Null until something was sent that has to arrive.
  [[nodiscard]] const CongestionController* controller() const { return controller_.get(); }
  // A queue could not grow: what was lost then cannot be sent again, so that the connection must end.
  [[nodiscard]] bool broken() const { return broken_; }

  // Messages that this side has given up.
  [[nodiscard]] std::uint64_t messages_expired() const { return messages_expired_; }
  // Unreliable messages that waited until the path carried no datagrams as long any more.
  [[nodiscard]] std::uint64_t messages_outsized() const { return messages_outsized_; }

  // Lowest number of the packets that ask for an acknowledgement and arrived since the last ACK was written;
  // UINT64_MAX for none.
  std::uint64_t lowest_since_ack = UINT64_MAX;
  // The user was told to wait for a drain event.
  bool drain_owed = false;
  // How far what this and recovery() count is in the endpoint's counters.
  std::uint64_t counted_lost = 0;
  std::uint64_t counted_spurious = 0;
  std::uint64_t counted_messages_lost = 0;
  std::uint64_t counted_expired = 0;
  std::uint64_t counted_outsized = 0;

  // For Recovery.
  void on_frame_acknowledged(const SentFrame& frame);
  void on_frame_lost(const SentFrame& frame);
  void on_packet_acknowledged(const SentPacketInfo& packet) { path_mtu_.on_packet_acked(packet.bytes); }
  void on_packet_lost(const SentPacketInfo& packet) {
    static_cast<void>(path_mtu_.on_packet_lost(packet.bytes, packet.number, next_number_, now_));
  }
  // The limit as it is, told once more, says nothing and is acknowledged.
  void on_probe_without_frames() { received_.untold = credit_due_ = true; }

 private:
  // The newest message of a sequenced channel, as long as it is to be repeated.
  struct Newest {
    Block bytes;
    std::uint64_t number = 0;
    std::uint32_t length = 0;
    std::uint16_t channel = 0;
    std::uint8_t repetitions = 0;  // how many are left
    bool in_this_packet = false;   // the one that is being written
  };

  // A window that is larger than at first shrinks when no limit of the connection was raised for so long.
  static constexpr Duration kUnusedFor = std::chrono::seconds(10);

  [[nodiscard]] bool declared(std::uint32_t channel, ChannelMode mode) const {
    return channel < settings_.channels.size() && settings_.channels[channel].mode == mode;
  }
  // Whether there is memory for the next message of a channel.
  [[nodiscard]] bool may_take_next(const MemoryNeed& needed) {
    const bool may = settings_.receive_memory.may_take_next(held_, needed);
    if (!may) excused_intervals_ = ProgressMonitor::kExcusedIntervals;
    return may;
  }
  // Whether the interval that ends now does not count because of a refusal. Called once for each interval.
  [[nodiscard]] bool use_excuse();
  // Null when no such reliable channel is declared.
  ReceiveChannel* reliable_channel(std::uint32_t channel);
  ReceiveChannel& receive_channel(std::uint32_t channel);
  SendChannel& send_channel(std::uint32_t channel);

  template <class F>
  static auto to(std::uint32_t channel, F& deliver) {
    return [channel, &deliver](Bytes data, bool kept) { return deliver(channel, data, kept); };
  }

  template <class F>
  Received take_next(const ReliableFrame& frame, F& deliver) {
    ReceiveChannel* const channel = reliable_channel(frame.channel);
    if (channel == nullptr) return Received::kProtocolError;
    const Holding holding(*this);
    MessageReader messages(frame.messages);
    Bytes data;
    auto received = Received::kDone;
    for (std::uint64_t number = frame.first; received < Received::kProtocolError && messages.next(data);
         ++number) {
      if (number != channel->next() ||
          (!channel->is_next(number) && !may_take_next(channel->memory_for_messages(number, 1, data.size()))))
        continue;
      received =
          channel->on_message(settings_.receive_memory, received_, number, data, to(frame.channel, deliver));
    }
    note(*channel);
    return received;
  }

  // Keeps held_ in step with the pools while messages come and go.
  class Holding {
   public:
    explicit Holding(Transfer& transfer)
        : transfer_(transfer), before_(transfer.settings_.receive_memory.in_use()) {}
    ~Holding() {
      const MemoryNeed after = transfer_.settings_.receive_memory.in_use();
      for (std::size_t kind = 0; kind < kMemoryKinds; ++kind)
        transfer_.held_.bytes[kind] += after.bytes[kind] - before_.bytes[kind];
    }
    Holding(const Holding&) = delete;
    Holding& operator=(const Holding&) = delete;

   private:
    Transfer& transfer_;
    MemoryNeed before_;
  };
  // Keeps send_held_ in step with the pool while a function runs.
  class SendHolding {
   public:
    explicit SendHolding(Transfer& transfer)
        : transfer_(transfer), before_(transfer.settings_.send_blocks.in_use()) {}
    ~SendHolding() { transfer_.send_held_ += transfer_.settings_.send_blocks.in_use() - before_; }
    SendHolding(const SendHolding&) = delete;
    SendHolding& operator=(const SendHolding&) = delete;

   private:
    Transfer& transfer_;
    std::size_t before_;
  };
  void note(ReceiveChannel& channel) {
    if (channel.waiting() && !channel.paused()) waiting_ = true;
    if (received_.due() || channel.credit().due()) credit_due_ = true;
  }

  void ensure_controller(Instant now);
  void follow_path_mtu(Instant now);
  void validate_ecn(const AckFrame& ack, std::uint64_t acknowledged);
  void plan_next_send(Instant now);
  // Whether there is something that only the window or the pacer may hold back.
  [[nodiscard]] bool can_send() const { return !lost_order_.empty() || active_count_ > 0; }
  // Whether nothing waits to be sent or acknowledged.
  [[nodiscard]] bool is_done() const { return recovery_.idle() && !can_send() && !credit_due_; }
  [[nodiscard]] bool window_open() const;
  [[nodiscard]] bool may_send_data(Instant now) const;
  void activate(SendChannel& channel);
  void line_up(SendChannel& channel, bool first = false);
  SendChannel* next_channel();

  void write_due(ByteWriter& writer, std::size_t capacity, const RoundTrip& round_trip, Instant now);
  bool write_credit_frames(ByteWriter& writer, const RoundTrip& round_trip, Instant now);
  // Doubles the window of a channel, and that of the connection until it is twice as large, as far as limits
  // allow.
  void grow_window(Credit& channel);
  bool grow_window();
  // When windows that nobody used become what they were at first.
  [[nodiscard]] Instant shrink_time() const {
    return grown_credit_ == 0 ? kNever : received_.raised + kUnusedFor;
  }
  void shrink_windows();
  void give_back_credit();
  // Each returns false when the packet has no room for more.
  bool write_lost(ByteWriter& writer, std::size_t capacity, Instant now);
  bool write_lost_frame(ByteWriter& writer, SendChannel& channel, LostFrame& frame, std::size_t capacity,
                        Instant now);
  bool write_lost_messages(ByteWriter& writer, SendChannel& channel, LostFrame& frame, std::size_t capacity,
                           Instant now);
  bool write_new(ByteWriter& writer, SendChannel& channel, std::size_t capacity, Instant now);
  bool write_unreliable(ByteWriter& writer, SendChannel& channel, std::size_t capacity);
  // Writes whole messages from `first` on, at most up to `end`, as many as there is room for; returns the
  // number behind the last one written. `kind`: kMessages or kCopies.
  std::uint64_t write_run(ByteWriter& writer, SendChannel& channel, std::uint64_t first, std::uint64_t end,
                          SentFrameKind kind, std::size_t most = SIZE_MAX);
  // Whether messages are repeated as things are: the path loses packets, or channels want it in any case.
  [[nodiscard]] bool repeats() const {
    return always_repeats_ || (has_redundancy_ && recovery_.has_lost_lately());
  }
  void repeat_messages(ByteWriter& writer, std::size_t capacity, const RoundTrip& round_trip, Instant now);
  // Whether nothing waits, and little is in flight.
  [[nodiscard]] bool is_thin() const;
  [[nodiscard]] bool wants_copies(const SentFrame& frame, Instant sent, const RoundTrip& round_trip,
                                  Instant now) const;
  bool write_copies(ByteWriter& writer, const SentFrame& frame, std::size_t end);
  static void write_newest(ByteWriter& writer, Newest& newest, std::size_t end);
  // Writes up to `length` bytes of a message from `offset` on; returns how many.
  std::uint32_t write_part(ByteWriter& writer, SendChannel& channel, std::uint64_t message,
                           std::uint32_t offset, std::uint32_t length);
  bool write_expired_frame(ByteWriter& writer, SendChannel& channel, std::uint64_t message);
  // Whether credit allows the next message; notes what is in the way if not.
  bool affords(SendChannel& channel, std::uint64_t cost);
  void end_starvation();
  void spend(SendChannel& channel, std::uint64_t cost);
  void expire(SendChannel& channel, std::uint64_t message);
  void expire_due(Instant now);
  void forget_expiry(const OutgoingMessage& message);
  void finish(SendChannel& channel, std::uint64_t first, std::uint64_t end);
  void confirm(OutgoingMessage& message, bool expired);
  void queue_lost(const SentFrame& frame);
  void keep_lost(SendChannel& channel, const LostFrame& frame);

  TransferSettings& settings_;
  std::vector<std::unique_ptr<SendChannel>> sending_;
  std::vector<std::unique_ptr<ReceiveChannel>> receiving_;
  std::unique_ptr<CongestionController> controller_;
  std::optional<Pacer> pacer_;  // with the controller
  Recovery recovery_;
  // Numbers of the channels of lost frames, in the order in which these were lost: an entry for each frame.
  Ring<std::uint16_t> lost_order_;
  // When messages expire. Entries of messages that are done are removed once there are more of them than of
  // others, and with the last of these.
  struct Expiry {
    Instant expires;
    std::uint64_t number = 0;
    std::uint16_t channel = 0;

    friend bool operator<(const Expiry& one, const Expiry& other) { return one.expires < other.expires; }
  };
  BlockHeap<Expiry> expiries_;
  std::vector<Newest> newest_;
  // Messages that can still expire.
  std::size_t expiring_ = 0;
  Ring<Confirmation> confirmations_;
  Credit received_;
  // Of the credit budget.
  std::uint32_t grown_credit_ = 0;
  std::uint64_t spent_ = 0;
  std::uint64_t messages_expired_ = 0;
  std::uint64_t messages_outsized_ = 0;
  std::uint64_t limit_;
  std::size_t queued_ = 0;
  // Of the send blocks.
  std::size_t send_held_ = 0;
  // Of the receive memory.
  MemoryNeed held_;
  // Channels with new messages to send, a queue for each priority, and how much each priority has had,
  // weighted; `turn_`: of the one that had the last turn, before it.
  std::array<SendChannel*, kPriorities> first_active_{};
  std::array<SendChannel*, kPriorities> last_active_{};
  std::array<std::uint64_t, kPriorities> passed_{};
  std::uint64_t turn_ = 0;
  // The channel whose next message is more than the credit of the connection allows, and what it costs.
  // Nobody begins another message before that one, or it might wait for ever; what has been begun goes on.
  SendChannel* starving_ = nullptr;
  std::uint64_t wanted_ = 0;
  // The priority that has the next turn in any case; kPriorities for none.
  std::size_t preferred_ = kPriorities;
  std::uint32_t active_count_ = 0;
  std::uint32_t first_channel_limit_;
  PathMtu& path_mtu_;
  // As the controller knows it.
  std::size_t max_datagram_;
  // Of the ACK or the timer being processed.
  Instant now_{};
  std::uint64_t next_number_ = 0;
  Instant next_expiry_ = kNever;
  // End of the interval whose progress is judged; kNever while nothing is unfinished or in flight.
  Instant next_check_ = kNever;
  // Packets that the other side has acknowledged.
  std::uint64_t acknowledged_ = 0;
  ProgressMonitor acknowledgements_;
  bool interval_counts_ = true;
  std::uint8_t excused_intervals_ = 0;
  std::uint8_t excused_in_a_row_ = 0;
  // When the pacer lets the next packet go.
  Instant next_send_{};
  bool credit_due_ = false;
  bool waiting_ = false;
  bool broken_ = false;
  bool ecn_failed_ = false;
  bool has_redundancy_;
  bool always_repeats_;
  // What has arrived here, and what the other side has told of its own.
  EcnCounts marks_{};
  EcnCounts told_marks_{};
};

}  // namespace hawser
