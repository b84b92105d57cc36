// CUBIC (RFC 9438) for packets that are never sent again (RFC 9002 section 7), with HyStart++ (RFC 9406).
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/time.hpp"
#include "engine/congestion_controller.hpp"

namespace hawser {

class Cubic final : public CongestionController {
 public:
  // As make_congestion_controller().
  explicit Cubic(std::size_t max_datagram);

  void on_sent(SentPacketInfo& packet, std::size_t in_flight) override;
  void on_acked(const SentPacketInfo& packet, Instant now) override;
  void on_lost(const SentPacketInfo& packet, Instant now) override;
  void on_ack_done(const AckSummary& summary) override;
  void on_losses_begin() override;
  void on_losses_undone() override;
  void on_persistent_congestion(Instant now) override;
  void on_app_limited(std::size_t in_flight) override;
  void on_path(std::size_t max_datagram, bool fresh, Instant now) override;
  [[nodiscard]] std::size_t window() const override { return static_cast<std::size_t>(state_.window); }
  [[nodiscard]] std::uint64_t pacing_rate() const override;

 private:
  static constexpr std::uint32_t kNoRoundTrip = std::numeric_limits<std::uint32_t>::max();

  // What a reduction changes, in bytes; fractions of a byte count, since a window of 1,000 packets grows by
  // less per packet.
  struct Curve {
    double window = 0;
    double slow_start_threshold = std::numeric_limits<double>::infinity();
    double most = 0;             // W_max: where the plateau is
    double reno = 0;             // W_est: what Reno would have
    double prior = 0;            // cwnd_prior: the window before the last reduction
    double seconds_to_most = 0;  // K
    // RFC 9438 section 4.2: t counts from here; moved on by the time in which the application sent less.
    Instant epoch{};
    bool has_epoch = false;
    bool reduced = false;  // most and seconds_to_most come from a reduction
  };

  struct State : Curve {
    Instant last_ack{};
    // RFC 9002 section 7.3.2: what was sent up to here belongs to the congestion event that was answered.
    Instant recovery_start{};
    std::uint64_t delivered = 0;
    std::uint64_t lost = 0;
    std::uint64_t round_end = 0;  // packet number: its acknowledgement ends the round trip
    std::size_t acked = 0;        // bytes by this ACK, those sent before recovery_start left out
    Instant newest_sent{};        // of the packets of this ACK
    std::size_t peak = 0;         // the most bytes in flight in this round trip, and in the one before
    std::size_t peak_before = 0;
    std::uint32_t smoothed = 0;  // microseconds, as all below; 0 before the first sample
    std::uint32_t round_least = kNoRoundTrip;
    std::uint32_t last_round_least = kNoRoundTrip;
    std::uint32_t conservative_baseline = kNoRoundTrip;
    std::uint8_t round_samples = 0;
    std::uint8_t conservative_rounds = 0;  // 0: not in conservative slow start
    bool has_recovery = false;
    bool limited = false;  // the application sent less than it might have in this round trip; the one before
    bool limited_before = false;
  };

  [[nodiscard]] double datagram() const { return static_cast<double>(max_datagram_); }
  [[nodiscard]] bool in_slow_start() const { return state_.window < state_.slow_start_threshold; }
  [[nodiscard]] bool window_is_used() const;
  [[nodiscard]] double curve(double seconds) const;
  void on_congestion(Instant sent, Instant now);
  void observe_round_trip(const AckSummary& summary);
  void end_round(std::uint64_t next_number);
  void grow(Instant now);
  void avoid_congestion(double acked, Instant now);
  void start(std::size_t max_datagram);

  State state_;
  Curve before_losses_;
  std::uint32_t max_datagram_ = 0;
};
static_assert(sizeof(Cubic) <= 400);

}  // namespace hawser
