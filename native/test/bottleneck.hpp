// A bottleneck in virtual time, for congestion controllers without the engine around them: one link with a
// drop-tail queue, any number of flows with the loss detection of RFC 9002, and traffic beside them whose
// delay is measured. Only the order of events and the seed decide, so every run can be repeated.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/random.hpp"
#include "base/time.hpp"
#include "engine/congestion_controller.hpp"
#include "engine/pacer.hpp"
#include "engine/round_trip.hpp"

namespace hawser::test {

struct LinkOptions {
  double megabits = 100;
  Duration one_way = std::chrono::milliseconds(25);  // each direction; the queue comes on top
  std::size_t queue_bytes = 0;                       // 0: one bandwidth-delay product
  double loss = 0;                                   // independent for each packet, before the queue
  double mark_from = 0;  // CE mark where the queue holds this share or more; 0: never
  std::uint64_t seed = 1;
};

struct FlowOptions {
  CongestionAlgorithm algorithm = CongestionAlgorithm::kBbr;
  std::size_t datagram = 1200;
  Instant start{std::chrono::seconds(1)};
  std::uint64_t bytes = UINT64_MAX;  // to transfer
  Duration extra_one_way{};          // on top of the link's, in each direction
};

// The link. It may be changed while it runs.
class Link {
 public:
  explicit Link(const LinkOptions& options) : options_(options), random_(options.seed) {
    if (options_.queue_bytes == 0) options_.queue_bytes = bdp();
  }

  struct Passage {
    bool arrives = false;
    bool marked = false;
    Duration queued{};
    Instant leaves{};  // the link, at its far end
  };

  Passage pass(Instant now, std::size_t bytes) {
    Passage passage;
    if (options_.loss > 0 && random_.below(1'000'000) < options_.loss * 1'000'000) return passage;
    const double at = static_cast<double>(now.time_since_epoch().count());
    const double wait = std::max(busy_until_ - at, 0.0);
    const double queued = wait * bytes_per_microsecond();
    if (queued + static_cast<double>(bytes) > static_cast<double>(options_.queue_bytes)) {
      ++dropped_;
      return passage;
    }
    busy_until_ = std::max(busy_until_, at) + static_cast<double>(bytes) / bytes_per_microsecond();
    passage.arrives = true;
    passage.queued = Duration(static_cast<Duration::rep>(wait));
    passage.marked =
        options_.mark_from > 0 && queued >= options_.mark_from * static_cast<double>(options_.queue_bytes);
    passage.leaves = Instant(Duration(static_cast<Duration::rep>(busy_until_))) + options_.one_way;
    return passage;
  }

  [[nodiscard]] std::size_t bdp() const {
    return static_cast<std::size_t>(2 * bytes_per_microsecond() *
                                    static_cast<double>(options_.one_way.count()));
  }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  LinkOptions& options() { return options_; }

 private:
  [[nodiscard]] double bytes_per_microsecond() const { return options_.megabits / 8; }

  LinkOptions options_;
  SeededRandom random_;
  double busy_until_ = 0;  // microseconds since the epoch, with their fractions
  std::uint64_t dropped_ = 0;
};

// A sender that always has something to send until its bytes are through, and its receiver.
class Flow {
 public:
  Flow(Link& link, const FlowOptions& options)
      : link_(link),
        options_(options),
        controller_(make_congestion_controller(options.algorithm, options.datagram, options.start)),
        pacer_(options.datagram, options.start),
        left_(options.bytes),
        timer_(options.start) {}

  [[nodiscard]] Instant next() const {
    Instant next = timer_;
    if (!data_.empty()) next = std::min(next, data_.front().at);
    if (!acks_.empty()) next = std::min(next, acks_.front().at);
    return std::min(next, ack_timer_);
  }

  void step(Instant now) {
    if (!data_.empty() && data_.front().at <= now) {
      receive(data_.front());
      data_.pop_front();
    } else if (ack_timer_ <= now) {
      send_ack(now);
    } else if (!acks_.empty() && acks_.front().at <= now) {
      on_ack(acks_.front());
      acks_.pop_front();
      send(now);
    } else if (timer_ <= now) {
      on_timer(now);
    }
  }

  CongestionController& controller() { return *controller_; }
  [[nodiscard]] const RoundTrip& round_trip() const { return round_trip_; }
  // Bytes that have arrived, each counted once: those declared lost by mistake are sent a second time.
  [[nodiscard]] std::uint64_t arrived() const { return arrived_ - twice_; }
  [[nodiscard]] std::uint64_t sent_packets() const { return next_number_; }
  [[nodiscard]] std::uint64_t lost_packets() const { return lost_packets_; }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool done() const { return left_ == 0 && in_flight_ == 0; }
  [[nodiscard]] Instant done_at() const { return done_at_; }

  // More to send from `at` on; only when done().
  void add(std::uint64_t bytes, Instant at) {
    left_ += bytes;
    timer_ = at;
  }

 private:
  enum class Fate : std::uint8_t { kInFlight, kAcked, kLost };
  struct Sent {
    SentPacketInfo info;
    Fate fate = Fate::kInFlight;
  };
  struct Arrival {
    Instant at;
    std::uint64_t number;
    bool marked;
  };
  struct Ack {
    Instant at;
    std::vector<std::uint64_t> numbers;  // ascending
    Duration delay;                      // of the largest one
    std::uint64_t marked;
  };

  // The receiver: an ACK for every second packet, at once where one is missing or marked, else after 5 ms.
  void receive(const Arrival& arrival) {
    arrived_ += options_.datagram;
    const bool in_order = arrival.number == expected_;
    expected_ = std::max(expected_, arrival.number + 1);
    if (pending_.numbers.empty()) ack_timer_ = arrival.at + std::chrono::milliseconds(5);
    pending_.numbers.push_back(arrival.number);
    pending_.marked += arrival.marked ? 1 : 0;
    newest_arrival_ = arrival.at;
    if (pending_.numbers.size() >= 2 || !in_order || arrival.marked) send_ack(arrival.at);
  }

  void send_ack(Instant now) {
    pending_.at = now + link_.options().one_way + options_.extra_one_way;
    pending_.delay = now - newest_arrival_;
    acks_.push_back(std::move(pending_));
    pending_ = Ack{};
    ack_timer_ = kNever;
  }

  [[nodiscard]] Sent& sent(std::uint64_t number) { return sent_[number - first_]; }

  void on_ack(const Ack& ack) {
    const Instant now = ack.at;
    AckSummary summary;
    for (const std::uint64_t number : ack.numbers) {
      if (number < first_) continue;
      Sent& packet = sent(number);
      if (packet.fate == Fate::kLost) twice_ += packet.info.bytes;
      if (packet.fate != Fate::kInFlight) continue;
      packet.fate = Fate::kAcked;
      in_flight_ -= packet.info.bytes;
      summary.acked_bytes += packet.info.bytes;
      if (number == ack.numbers.back()) {
        const Duration sample = now - packet.info.sent;
        const bool fits = round_trip_.has_sample() && sample - ack.delay >= round_trip_.minimum();
        summary.latest_round_trip = fits ? sample - ack.delay : sample;
        round_trip_.add_sample(summary.latest_round_trip, now);
      }
      largest_acked_ = std::max(largest_acked_, number);
      controller_->on_acked(packet.info, now);
    }
    probes_ = 0;
    summary.newly_marked = ack.marked;
    detect_losses(now, summary);
    if (done() && done_at_ == kNever) done_at_ = now;
  }

  // RFC 9002 section 6.1, and then everything the controller is told at the end.
  void detect_losses(Instant now, AckSummary& summary) {
    const Duration longest = std::max(round_trip_.smoothed(), round_trip_.latest());
    const Duration delay = std::max(longest * 9 / 8, RoundTrip::kGranularity);
    loss_time_ = kNever;
    Instant first_lost = kNever;
    Instant last_lost{};
    while (oldest_ < next_number_ && sent(oldest_).fate != Fate::kInFlight) ++oldest_;
    for (std::uint64_t number = oldest_; number < largest_acked_; ++number) {
      Sent& packet = sent(number);
      if (packet.info.sent + delay > now && number + 3 > largest_acked_ && loss_time_ != kNever) break;
      if (packet.fate != Fate::kInFlight) continue;
      if (number + 3 <= largest_acked_ || packet.info.sent + delay <= now) {
        packet.fate = Fate::kLost;
        in_flight_ -= packet.info.bytes;
        if (left_ != UINT64_MAX) left_ += packet.info.bytes;
        summary.lost_bytes += packet.info.bytes;
        ++lost_packets_;
        first_lost = std::min(first_lost, packet.info.sent);
        last_lost = packet.info.sent;
        controller_->on_lost(packet.info, now);
      } else {
        loss_time_ = std::min(loss_time_, packet.info.sent + delay);
      }
    }
    // What was declared lost is kept for a while, since it may still arrive.
    while (first_ < oldest_ && first_ + 4096 < next_number_) {
      sent_.pop_front();
      ++first_;
    }
    if (first_lost != kNever && last_lost - first_lost > 3 * pto())
      controller_->on_persistent_congestion(now);
    summary.now = now;
    summary.round_trip = &round_trip_;
    summary.largest_acked = largest_acked_;
    summary.next_number = next_number_;
    summary.in_flight = in_flight_;
    controller_->on_ack_done(summary);
  }

  [[nodiscard]] Duration pto() const { return round_trip_.pto() + std::chrono::milliseconds(5); }

  void send(Instant now) {
    pace_time_ = kNever;
    while (left_ > 0 && in_flight_ + options_.datagram <= controller_->window()) {
      const std::uint64_t rate = controller_->pacing_rate();
      if (!pacer_.may_send(now, rate, options_.datagram)) {
        // Timers are ticks of 1 ms, but not the same ticks for all flows.
        const Duration wait = pacer_.next_time(now, rate, options_.datagram) - options_.start;
        pace_time_ = options_.start + std::chrono::ceil<std::chrono::milliseconds>(wait);
        break;
      }
      send_packet(now);
    }
    if (left_ == 0 && in_flight_ + options_.datagram <= controller_->window())
      controller_->on_app_limited(in_flight_);
    set_timer();
  }

  void send_packet(Instant now) {
    Sent packet;
    packet.info.number = next_number_++;
    packet.info.sent = now;
    packet.info.bytes = static_cast<std::uint32_t>(options_.datagram);
    controller_->on_sent(packet.info, in_flight_);
    pacer_.on_sent(options_.datagram);
    in_flight_ += options_.datagram;
    last_sent_ = now;
    if (left_ != UINT64_MAX) left_ -= std::min<std::uint64_t>(left_, options_.datagram);
    sent_.push_back(packet);
    const Link::Passage passage = link_.pass(now, options_.datagram);
    if (passage.arrives) {
      data_.push_back({passage.leaves + options_.extra_one_way, packet.info.number, passage.marked});
    }
  }

  void set_timer() {
    timer_ = pace_time_;
    if (loss_time_ != kNever) {
      timer_ = std::min(timer_, loss_time_);
    } else if (in_flight_ > 0) {
      timer_ = std::min(timer_, last_sent_ + pto() * (1 << std::min(probes_, 10U)));
    }
  }

  void on_timer(Instant now) {
    if (loss_time_ <= now) {
      AckSummary summary;
      detect_losses(now, summary);
    } else if (in_flight_ > 0 && pace_time_ > now) {
      ++probes_;
      send_packet(now);
    }
    send(now);
  }

  Link& link_;
  FlowOptions options_;
  std::unique_ptr<CongestionController> controller_;
  Pacer pacer_;
  RoundTrip round_trip_;
  std::deque<Sent> sent_;
  std::uint64_t first_ = 0;   // number of sent_'s first
  std::uint64_t oldest_ = 0;  // all before it were acknowledged or lost
  std::uint64_t next_number_ = 0;
  std::uint64_t largest_acked_ = 0;
  std::uint64_t left_;
  std::size_t in_flight_ = 0;
  unsigned probes_ = 0;
  Instant last_sent_{};
  Instant loss_time_ = kNever;
  Instant pace_time_ = kNever;
  Instant timer_;
  Instant done_at_ = kNever;

  std::deque<Arrival> data_;  // on their way
  std::deque<Ack> acks_;
  Ack pending_{};
  Instant ack_timer_ = kNever;
  Instant newest_arrival_{};
  std::uint64_t expected_ = 0;
  std::uint64_t arrived_ = 0;
  std::uint64_t twice_ = 0;
  std::uint64_t lost_packets_ = 0;
};

// All of it. Flows are added before the first run_until().
class Bottleneck {
 public:
  explicit Bottleneck(const LinkOptions& options) : link_(options) {}

  Flow& add(const FlowOptions& options) {
    flows_.push_back(std::make_unique<Flow>(link_, options));
    return *flows_.back();
  }

  // Small packets at 60 Hz beside the flows: what they wait in the queue is in waits().
  void add_probe(Instant start, std::size_t bytes = 100) {
    probe_at_ = start;
    probe_bytes_ = bytes;
  }

  void run_until(Instant end) {
    for (;;) {
      Flow* first = nullptr;
      Instant at = probe_at_;
      for (const auto& flow : flows_) {
        const Instant next = flow->next();
        if (next < at) {
          at = next;
          first = flow.get();
        }
      }
      if (at > end) break;
      now_ = std::max(now_, at);
      if (first != nullptr) {
        first->step(now_);
        continue;
      }
      const Link::Passage passage = link_.pass(now_, probe_bytes_);
      if (passage.arrives) waits_.push_back(passage.queued);
      probe_at_ += Duration(16'667);
    }
    now_ = end;
  }

  Link& link() { return link_; }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::vector<Duration>& waits() { return waits_; }
  // The `percent`th percentile of waits(), in milliseconds.
  [[nodiscard]] double wait_ms(double percent) const {
    if (waits_.empty()) return 0;
    std::vector<Duration> sorted = waits_;
    std::sort(sorted.begin(), sorted.end());
    const auto rank = static_cast<std::size_t>(percent / 100 * static_cast<double>(sorted.size() - 1) + 0.5);
    return static_cast<double>(sorted[rank].count()) / 1000;
  }

 private:
  Link link_;
  std::vector<std::unique_ptr<Flow>> flows_;
  Instant now_{};
  Instant probe_at_ = kNever;
  std::size_t probe_bytes_ = 0;
  std::vector<Duration> waits_;
};

}  // namespace hawser::test
