// BBR version 1 as in Linux (net/ipv4/tcp_bbr.c), for tests of what shares a link with it. Left out: the
// detection of policers, and the sizes of TSO.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/random.hpp"
#include "engine/congestion_controller.hpp"

namespace hawser::test {

class KernelBbr final : public CongestionController {
 public:
  KernelBbr(std::size_t datagram, Instant now, std::uint64_t seed)
      : datagram_(datagram), window_(10 * datagram), min_rtt_at_(now), phase_at_(now), random_(seed) {}

  void on_sent(SentPacketInfo& packet, std::size_t in_flight) override {
    if (in_flight == 0) first_sent_ = delivered_at_ = packet.sent;
    packet.snapshot = {.first_sent = first_sent_,
                       .delivered_at = delivered_at_,
                       .delivered = delivered_,
                       .lost = lost_,
                       .in_flight = static_cast<std::uint32_t>(in_flight + packet.bytes),
                       .app_limited = false};
  }

  void on_acked(const SentPacketInfo& packet, Instant now) override {
    delivered_ += packet.bytes;
    delivered_at_ = now;
    first_sent_ = std::max(first_sent_, packet.sent);
    prior_delivered_ = packet.snapshot.delivered;
    elapsed_ = std::max(packet.sent - packet.snapshot.first_sent, now - packet.snapshot.delivered_at);
    if (in_recovery_ && packet.sent >= recovery_start_) {
      in_recovery_ = conserves_ = false;
      window_ = std::max(window_, prior_window_);
    }
  }

  void on_lost(const SentPacketInfo& packet, Instant now) override {
    lost_ += packet.bytes;
    if (in_recovery_ || packet.sent < recovery_start_) return;
    in_recovery_ = true;
    conserves_ = true;
    recovery_start_ = now;
    round_end_ = delivered_;
    prior_window_ = window_;
  }

  void on_ack_done(const AckSummary& summary) override {
    if (summary.acked_bytes == 0) return set_window(summary);
    const bool round = prior_delivered_ >= round_end_;
    if (round) {
      round_end_ = delivered_;
      rates_[++rounds_ % kRounds] = 0;
      conserves_ = false;
    }
    const auto micros = static_cast<std::uint64_t>(elapsed_.count());
    if (micros > 0 && elapsed_ >= min_rtt_) {
      const std::uint64_t rate = (delivered_ - prior_delivered_) * kMicrosecondsPerSecond / micros;
      rates_[rounds_ % kRounds] = std::max(rates_[rounds_ % kRounds], rate);
    }
    if (round) check_full(bandwidth());
    drain_or_cycle(summary);
    update_min_rtt(summary, round);
    set_window(summary);
  }

  void on_losses_begin() override {}
  void on_losses_undone() override { in_recovery_ = conserves_ = false; }
  void on_persistent_congestion(Instant /*now*/) override {
    prior_window_ = std::max(prior_window_, window_);
    window_ = 4 * datagram_;
  }
  void on_app_limited(std::size_t /*in_flight*/) override {}
  void on_path(std::size_t /*max_datagram*/, bool /*fresh*/, Instant /*now*/) override {}
  [[nodiscard]] std::size_t window() const override { return window_; }
  [[nodiscard]] std::uint64_t pacing_rate() const override {
    if (bandwidth() == 0) return window_ * 3;
    return std::max<std::uint64_t>(bandwidth() * pacing_percent() / 100 * 99 / 100, datagram_);
  }

 private:
  enum class State : std::uint8_t { kStartup, kDrain, kProbeBw, kProbeRtt };
  static constexpr std::size_t kRounds = 10;
  // Datagrams that acknowledgements which come together add to the window. The kernel added about 15 on two
  // loaded cores. Twice that, because next to the kernel a flow of ours has less than here.
  static constexpr std::size_t kAggregation = 30;
  static constexpr std::array<std::uint64_t, 8> kCycle{125, 75, 100, 100, 100, 100, 100, 100};

  [[nodiscard]] std::uint64_t bandwidth() const { return *std::ranges::max_element(rates_); }
  [[nodiscard]] std::uint64_t pacing_percent() const {
    switch (state_) {
      case State::kStartup:
        return 289;
      case State::kDrain:
        return 35;
      case State::kProbeBw:
        return kCycle[phase_];
      case State::kProbeRtt:
        break;
    }
    return 100;
  }
  [[nodiscard]] std::size_t inflight(std::uint64_t percent) const {
    if (min_rtt_ == Duration::max()) return 10 * datagram_;
    const std::uint64_t bdp =
        bandwidth() * static_cast<std::uint64_t>(min_rtt_.count()) / kMicrosecondsPerSecond;
    return static_cast<std::size_t>(bdp * percent / 100) + 6 * datagram_;
  }

  void check_full(std::uint64_t rate) {
    if (full_) return;
    if (rate >= full_rate_ * 5 / 4) {
      full_rate_ = rate;
      full_rounds_ = 0;
    } else if (++full_rounds_ >= 3) {
      full_ = true;
      state_ = State::kDrain;
    }
  }

  void drain_or_cycle(const AckSummary& summary) {
    if (state_ == State::kDrain && summary.in_flight <= inflight(100)) start_probe_bw(summary.now);
    if (state_ != State::kProbeBw) return;
    bool next = summary.now - phase_at_ > min_rtt_;
    if (kCycle[phase_] > 100)
      next = next && (summary.lost_bytes > 0 || summary.in_flight >= inflight(kCycle[phase_]));
    if (kCycle[phase_] < 100) next = next || summary.in_flight <= inflight(100);
    if (!next) return;
    phase_ = (phase_ + 1) % kCycle.size();
    phase_at_ = summary.now;
  }

  void start_probe_bw(Instant now) {
    state_ = State::kProbeBw;
    // Any phase but the one that drains.
    phase_ = (8 - random_.below(7)) % kCycle.size();
    phase_at_ = now;
  }

  void update_min_rtt(const AckSummary& summary, bool round) {
    const bool expired = summary.now > min_rtt_at_ + std::chrono::seconds(10);
    if (summary.latest_round_trip > Duration::zero() && (summary.latest_round_trip <= min_rtt_ || expired)) {
      min_rtt_ = summary.latest_round_trip;
      min_rtt_at_ = summary.now;
    }
    if (expired && state_ != State::kProbeRtt) {
      state_ = State::kProbeRtt;
      prior_window_ = std::max(prior_window_, window_);
      probe_rtt_done_ = kNever;
    }
    if (state_ != State::kProbeRtt) return;
    if (probe_rtt_done_ == kNever && summary.in_flight <= 4 * datagram_) {
      probe_rtt_done_ = summary.now + std::chrono::milliseconds(200);
      probe_rtt_round_ = false;
      round_end_ = delivered_;
    } else if (probe_rtt_done_ != kNever) {
      if (round) probe_rtt_round_ = true;
      if (!probe_rtt_round_ || summary.now <= probe_rtt_done_) return;
      min_rtt_at_ = summary.now;
      window_ = std::max(window_, prior_window_);
      if (full_) {
        start_probe_bw(summary.now);
      } else {
        state_ = State::kStartup;
      }
    }
  }

  void set_window(const AckSummary& summary) {
    const std::size_t target =
        inflight(state_ == State::kStartup || state_ == State::kDrain ? 289 : 200) + kAggregation * datagram_;
    if (conserves_) {
      window_ = summary.in_flight + std::max(summary.acked_bytes, datagram_);
    } else if (full_) {
      window_ = std::min(window_ + summary.acked_bytes, target);
    } else if (window_ < target) {
      window_ += summary.acked_bytes;
    }
    window_ = state_ == State::kProbeRtt ? 4 * datagram_ : std::max(window_, 4 * datagram_);
  }

  std::size_t datagram_;
  std::size_t window_;
  std::size_t prior_window_ = 0;
  std::array<std::uint64_t, kRounds> rates_{};  // the most of each of the newest round trips
  std::uint64_t delivered_ = 0;
  std::uint64_t prior_delivered_ = 0;
  std::uint64_t lost_ = 0;
  std::uint64_t round_end_ = 0;
  std::uint64_t rounds_ = 0;
  std::uint64_t full_rate_ = 0;
  Duration elapsed_{};
  Duration min_rtt_ = Duration::max();
  Instant min_rtt_at_;
  Instant phase_at_;
  Instant first_sent_{};
  Instant delivered_at_{};
  Instant recovery_start_{};
  Instant probe_rtt_done_ = kNever;
  SeededRandom random_;
  std::size_t phase_ = 0;
  int full_rounds_ = 0;
  State state_ = State::kStartup;
  bool full_ = false;
  bool in_recovery_ = false;
  bool conserves_ = false;
  bool probe_rtt_round_ = false;
};

}  // namespace hawser::test
