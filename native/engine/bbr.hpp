// BBR version 3 (draft-ietf-ccwg-bbr) for packets that are never sent again. Sections named here and in
// bbr.cpp are the draft's, and so are most names. Where it deviates, bbr.cpp says why, at the constant or the
// function.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/time.hpp"
#include "engine/congestion_controller.hpp"

namespace hawser {

class Bbr final : public CongestionController {
 public:
  // ProbeBW is four states (section 5.3.3).
  enum class State : std::uint8_t { kStartup, kDrain, kDown, kCruise, kRefill, kUp, kProbeRtt };

  // As make_congestion_controller().
  Bbr(std::size_t max_datagram, Instant now);

  void on_sent(SentPacketInfo& packet, std::size_t in_flight) override;
  void on_acked(const SentPacketInfo& packet, Instant now) override;
  void on_lost(const SentPacketInfo& packet, Instant now) override;
  void on_ack_done(const AckSummary& summary) override;
  void on_losses_begin() override;
  void on_losses_undone() override;
  void on_persistent_congestion(Instant now) override;
  void on_app_limited(std::size_t in_flight) override;
  void on_path(std::size_t max_datagram, bool fresh, Instant now) override;
  [[nodiscard]] std::size_t window() const override { return static_cast<std::size_t>(control_.window); }
  [[nodiscard]] std::uint64_t pacing_rate() const override { return control_.pacing_rate; }

  [[nodiscard]] State state() const { return control_.state; }

 private:
  static constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::uint32_t kNoRoundTrip = std::numeric_limits<std::uint32_t>::max();

  enum class AckPhase : std::uint8_t { kInit, kRefilling, kProbeStarting, kProbeFeedback, kProbeStopping };

  // Section 4.1: from what the delivery rate is sampled. Bytes.
  struct Delivery {
    std::uint64_t delivered = 0;
    std::uint64_t lost = 0;
    std::uint64_t app_limited_until = 0;  // of `delivered`; 0: the application is not the limit
    Instant delivered_at{};
    Instant first_sent{};
  };

  // RS: of the ACK that is being worked on; about the newest of its packets.
  struct Sample {
    std::uint64_t rate = 0;  // bytes a second; 0: none that is reliable
    std::uint64_t delivered = 0;
    std::uint64_t prior_delivered = 0;
    std::uint64_t prior_lost = 0;
    Duration elapsed{};
    std::uint32_t sent_in_flight = 0;
    std::uint32_t packets = 0;
    bool has_data = false;
    bool app_limited = false;
  };

  // The model of the path, and what is collected for it. Rates in bytes a second, volumes in bytes, round
  // trips in microseconds.
  struct Model {
    std::uint64_t max_bw[2] = {0, 0};  // of the probing cycle before and of this one
    std::uint64_t bw_shortterm = kUnlimited;
    std::uint64_t inflight_longterm = kUnlimited;
    std::uint64_t inflight_shortterm = kUnlimited;
    std::uint64_t bw_latest = 0;  // the most in this round trip, as inflight_latest
    std::uint64_t inflight_latest = 0;
    std::uint64_t extra_acked[2] = {0, 0};  // the most of two periods of rounds
    std::uint64_t extra_acked_delivered = 0;
    Instant extra_acked_start{};
    std::uint64_t full_bw = 0;
    Instant min_rtt_at{};
    Instant probe_rtt_min_at{};
    std::uint32_t min_rtt = kNoRoundTrip;
    std::uint32_t probe_rtt_min = kNoRoundTrip;
    std::uint32_t latest_rtt = 0;            // 0 before the first sample
    std::uint32_t round_rtt = kNoRoundTrip;  // the least in this round trip; in the one before
    std::uint32_t last_round_rtt = kNoRoundTrip;
    std::uint32_t base_rtt = 0;                // the least of the round trip before the probe
    std::uint16_t marked_share = kWholeShare;  // EWMA of the share of CE marks, in 1/kWholeShare
    std::uint8_t round_rtt_samples = 0;
    std::uint8_t extra_acked_rounds = 0;
    std::uint8_t full_bw_count = 0;
    bool queued = false;  // all packets of this round trip, or the one before, had to wait
    bool full_bw_now = false;
    bool full_bw_reached = false;
  };

  // Round trips counted by packets (section 5.5.1), and what happened in this one.
  struct Rounds {
    std::uint64_t next_delivered = 0;
    std::uint64_t loss_delivered = 0;      // where the round trip of the loss signals ends
    std::uint64_t loss_from = 0;           // Delivery::lost at its beginning
    std::uint64_t last_lost = kUnlimited;  // packet number
    std::uint32_t count = 0;
    std::uint32_t packets = 0;  // acknowledged, and marked, in the round trip so far
    std::uint32_t marked = 0;
    std::uint16_t loss_ranges = 0;
    bool start = false;
    bool loss_start = false;
    bool queue_loss = false;  // a loss with a queue
    bool window_limited = false;
    bool window_limited_before = false;
  };

  // The cycle of ProbeBW, and ProbeRTT.
  struct Cycle {
    Instant started{};
    Duration wait{};
    Instant probe_rtt_done = kNever;  // not yet small enough
    std::uint64_t prior_window = 0;
    std::uint64_t probe_base = 0;  // bytes a second: the rate before ProbeBW_UP
    std::uint64_t up_acked = 0;
    std::uint64_t up_acked_per_increase = kUnlimited;
    std::uint32_t rounds_since_up = 0;
    std::uint32_t drain_start_round = 0;
    std::uint8_t up_rounds = 0;
    // Round trips of ProbeBW_DOWN and ProbeBW_CRUISE since the last probe: all, without a queue, and with a
    // queue that fell.
    std::uint8_t rounds = 0;
    std::uint8_t free_rounds = 0;
    std::uint8_t falling_rounds = 0;
    AckPhase ack_phase = AckPhase::kInit;
    bool is_probe_sample : 1 = false;
    bool too_high_before : 1 = false;  // prev_probe_too_high
    bool precautionary_before : 1 = false;
    bool probe_rtt_round_done : 1 = false;
    bool probe_rtt_expired : 1 = false;
    bool idle_restart : 1 = false;
    std::uint8_t contest : 3 = 0;  // points, see kContested
    bool contested : 1 = false;    // other flows keep a queue up
  };

  struct Control {
    std::uint64_t window = 0;
    std::uint64_t pacing_rate = 0;
    std::uint32_t max_datagram = 0;
    State state = State::kStartup;
  };

  // What losses change, as it was before those that may be undone (section 5.5.11).
  struct BeforeLosses {
    std::uint64_t bw_shortterm = kUnlimited;
    std::uint64_t inflight_shortterm = kUnlimited;
    std::uint64_t inflight_longterm = kUnlimited;
    std::uint64_t window = 0;
    // The state that was left because of the losses; kDown for none.
    State left = State::kDown;
    bool too_high_before = false;
  };

  static constexpr std::uint16_t kWholeShare = 1 << 15;

  void start(std::size_t max_datagram, Instant now);

  [[nodiscard]] bool in_probe_bw() const;
  [[nodiscard]] bool is_probing() const;
  [[nodiscard]] bool has_queue() const;
  [[nodiscard]] bool too_high(std::uint64_t lost, std::uint64_t sent_in_flight) const;
  [[nodiscard]] bool is_window_limited() const {
    return rounds_.window_limited || rounds_.window_limited_before;
  }
  [[nodiscard]] std::uint64_t pacing_percent() const;
  [[nodiscard]] std::uint64_t window_percent() const;

  [[nodiscard]] std::uint64_t max_bandwidth() const;
  [[nodiscard]] std::uint64_t bandwidth() const;
  [[nodiscard]] std::uint64_t bdp(std::uint64_t rate, std::uint64_t percent) const;
  [[nodiscard]] std::uint64_t with_budget(std::uint64_t volume) const;
  [[nodiscard]] std::uint32_t uncontested_rtt() const;
  [[nodiscard]] std::uint64_t full_inflight(std::uint64_t percent) const;
  [[nodiscard]] std::uint64_t target_inflight() const;
  [[nodiscard]] std::uint64_t inflight_with_headroom() const;
  [[nodiscard]] std::uint64_t probe_rtt_window() const;
  [[nodiscard]] std::uint64_t least_window() const;
  [[nodiscard]] std::uint64_t inflight_at_loss(const SentPacketInfo& packet, std::uint64_t lost) const;

  void finish_sample();
  void start_round() { rounds_.next_delivered = delivery_.delivered; }
  void update_round();
  void update_latest_signals();
  void update_congestion_signals();
  void update_marks(std::uint64_t newly_marked);
  void update_ack_aggregation(std::uint64_t acked, Instant now);
  void update_round_trip(const AckSummary& summary);
  void check_full_bandwidth();
  void check_startup_done();
  void leave_startup();
  void check_drain_done(std::uint64_t in_flight, Instant now);
  void update_cycle(const AckSummary& summary);
  [[nodiscard]] bool adapt_longterm(std::uint64_t acked);
  [[nodiscard]] bool has_gained() const;
  void yield_to_queue();
  void update_contest();
  [[nodiscard]] bool check_time_to_probe(Instant now);
  [[nodiscard]] bool is_time_to_go_down(std::uint64_t in_flight);
  void handle_too_high(std::uint64_t sent_in_flight, bool app_limited, Instant now);
  void raise_longterm(std::uint64_t acked);
  void raise_longterm_slope();
  void start_down(Instant now);
  void start_refill();
  void start_up();
  void reset_full_bandwidth();
  void reset_shortterm();
  void reset_signals();
  void check_probe_rtt(const AckSummary& summary);
  void check_probe_rtt_done(Instant now);
  void mark_app_limited(std::uint64_t in_flight);
  void save_window();
  void set_pacing_rate(std::uint64_t percent);
  void set_window(std::uint64_t acked);

  Delivery delivery_;
  Sample sample_;
  Model model_;
  Rounds rounds_;
  Cycle cycle_;
  BeforeLosses before_losses_;
  Control control_;
};
static_assert(sizeof(Bbr) <= 448);

}  // namespace hawser
