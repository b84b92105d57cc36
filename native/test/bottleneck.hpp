// A bottleneck in virtual time, for congestion controllers without the engine around them: one link, any
// number of flows with the loss detection of the engine, and traffic beside them whose delay is measured.
// Only the order of events and the seed decide, so every run can be repeated.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/block_pool.hpp"
#include "base/bytes.hpp"
#include "base/random.hpp"
#include "base/time.hpp"
#include "engine/congestion_controller.hpp"
#include "engine/datagram.hpp"
#include "engine/pacer.hpp"
#include "engine/recovery.hpp"
#include "engine/replay_window.hpp"
#include "engine/round_trip.hpp"
#include "io/link_model.hpp"
#include "wire/frames.hpp"

namespace hawser::test {

struct LinkOptions {
  double megabits = 100;
  Duration one_way = std::chrono::milliseconds(25);  // each direction; the queue comes on top
  std::size_t queue_bytes = 0;                       // 0: one bandwidth-delay product
  double loss = 0;                                   // independent for each packet, before the queue
  double mark_from = 0;  // CE mark where the queue holds more than this share; 0: never
  Duration jitter{};     // 0 to this on top of one_way; packets overtake each other by it
  double late = 0;       // of the packets that come `late_by` later
  Duration late_by{};
  std::uint64_t seed = 1;
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
    LinkSettings settings;
    settings.bytes_per_second = bytes_per_second();
    settings.queue_bytes = options_.queue_bytes;
    settings.ecn_mark_bytes =
        static_cast<std::uint64_t>(options_.mark_from * static_cast<double>(options_.queue_bytes));
    settings.loss_rate = options_.loss;
    settings.delay = options_.one_way;
    settings.jitter = options_.jitter;
    settings.jitter_reorders = true;
    settings.reorder_rate = options_.late;
    settings.least_hold_back = settings.most_hold_back = options_.late_by;
    const std::uint64_t backlog = queue_.backlog_bytes(bytes_per_second(), now);
    const LinkCopy copy = model_.pass(settings, queue_, last_arrival_, now, bytes, kEcnEct0).copies()[0];
    if (copy.fate == LinkFate::kQueueFull) ++dropped_;
    if (copy.fate != LinkFate::kArrives) return {};
    const auto queued = backlog * kMicrosecondsPerSecond / bytes_per_second();
    return {true, copy.marked, Duration(static_cast<Duration::rep>(queued)), copy.arrival};
  }

  [[nodiscard]] std::size_t bdp() const {
    return static_cast<std::size_t>(2 * bytes_per_second() *
                                    static_cast<std::uint64_t>(options_.one_way.count()) /
                                    kMicrosecondsPerSecond);
  }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }
  LinkOptions& options() { return options_; }

 private:
  [[nodiscard]] std::uint64_t bytes_per_second() const {
    return static_cast<std::uint64_t>(options_.megabits * 125'000);
  }

  LinkOptions options_;
  SeededRandom random_;
  LinkModel model_{random_};
  LinkQueue queue_;
  Instant last_arrival_{};
  std::uint64_t dropped_ = 0;
};

struct FlowOptions {
  CongestionAlgorithm algorithm = CongestionAlgorithm::kBbr;
  std::size_t datagram = 1200;
  Instant start{std::chrono::seconds(1)};
  std::uint64_t bytes = UINT64_MAX;  // to transfer
  Duration extra_one_way{};          // on top of the link's, in each direction
  // Takes the place of `algorithm` if it is set.
  std::function<std::unique_ptr<CongestionController>(std::size_t datagram, Instant start)> make;
};

// A sender that always has something to send until its bytes are through, and its receiver.
class Flow {
 public:
  Flow(Link& link, const FlowOptions& options)
      : link_(link),
        options_(options),
        controller_(options.make
                        ? options.make(options.datagram, options.start)
                        : make_congestion_controller(options.algorithm, options.datagram, options.start)),
        pacer_(options.datagram, options.start),
        left_(options.bytes),
        pace_time_(options.start) {}
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;
  ~Flow() { recovery_.on_path_changed(*this); }

  [[nodiscard]] Instant next() const {
    Instant next = std::min({pace_time_, recovery_.deadline(round_trip_), ack_timer_});
    if (!data_.empty()) next = std::min(next, data_.begin()->first);
    if (!acks_.empty()) next = std::min(next, acks_.begin()->first);
    return next;
  }

  void step(Instant now) {
    if (!data_.empty() && data_.begin()->first <= now) {
      const Arrival arrival = data_.extract(data_.begin()).mapped();
      receive(arrival, now);
    } else if (ack_timer_ <= now) {
      send_ack(now);
    } else if (!acks_.empty() && acks_.begin()->first <= now) {
      on_ack(acks_.extract(acks_.begin()).mapped(), now);
      send(now);
    } else {
      if (recovery_.deadline(round_trip_) <= now)
        recovery_.on_timeout(pool_, *controller_, round_trip_, next_number_, now, *this);
      send(now);
    }
  }

  CongestionController& controller() { return *controller_; }
  [[nodiscard]] const RoundTrip& round_trip() const { return round_trip_; }
  // Bytes that have arrived, each counted once: those declared lost by mistake are sent a second time.
  [[nodiscard]] std::uint64_t arrived() const {
    return arrived_ - recovery_.spurious_losses() * options_.datagram;
  }
  [[nodiscard]] std::uint64_t sent_packets() const { return next_number_; }
  [[nodiscard]] std::uint64_t lost_packets() const { return recovery_.packets_lost(); }
  [[nodiscard]] std::uint64_t spurious_losses() const { return recovery_.spurious_losses(); }
  [[nodiscard]] std::size_t in_flight() const { return recovery_.in_flight(); }
  [[nodiscard]] bool done() const { return left_ == 0 && recovery_.in_flight() == 0; }
  [[nodiscard]] Instant done_at() const { return done_at_; }

  // More to send from `at` on; only when done().
  void add(std::uint64_t bytes, Instant at) {
    left_ += bytes;
    pace_time_ = at;
  }

  // For Recovery: each packet has one frame.
  void on_frame_lost(const SentFrame& /*frame*/) {
    if (left_ != UINT64_MAX) left_ += options_.datagram;
  }
  void on_frame_acknowledged(const SentFrame& /*frame*/) {}
  void on_packet_acknowledged(const SentPacketInfo& /*packet*/) {}
  void on_packet_lost(const SentPacketInfo& /*packet*/) {}
  void on_probe_without_frames() {}

 private:
  struct Arrival {
    std::uint64_t number;
    bool marked;
  };
  struct Ack {
    std::vector<AckRange> ranges;
    Duration delay;  // of the packet that came last
    std::uint64_t marked;
  };

  // The receiver: an ACK for every second packet, at once where one is missing or marked, else after 5 ms.
  void receive(const Arrival& arrival, Instant now) {
    if (received_.check(arrival.number) != ReplayWindow::Verdict::kNew) return;
    arrived_ += options_.datagram;
    const bool in_order = received_.empty() || arrival.number == received_.highest() + 1;
    received_.record(arrival.number);
    if (unacknowledged_++ == 0) ack_timer_ = now + kMaxAckDelay;
    marked_ += arrival.marked ? 1 : 0;
    newest_arrival_ = now;
    if (unacknowledged_ >= 2 || !in_order || arrival.marked) send_ack(now);
  }

  void send_ack(Instant now) {
    Ack ack{{}, now - newest_arrival_, std::exchange(marked_, 0)};
    received_.for_each_range([&](std::uint64_t first, std::uint64_t last) {
      ack.ranges.push_back({first, last});
      return ack.ranges.size() < kUsualAckRanges;
    });
    acks_.emplace(now + link_.options().one_way + options_.extra_one_way, std::move(ack));
    unacknowledged_ = 0;
    ack_timer_ = kNever;
  }

  void on_ack(const Ack& ack, Instant now) {
    std::array<std::byte, 1200> bytes{};
    ByteWriter writer(bytes);
    REQUIRE(write_ack(writer, ack.delay, ack.ranges));
    FrameReader reader(writer.written());
    Frame frame;
    REQUIRE(reader.next(frame));
    recovery_.on_ack(pool_, frame.ack, ack.marked, next_number_, *controller_, round_trip_, now, *this);
    if (done() && done_at_ == kNever) done_at_ = now;
  }

  void send(Instant now) {
    pace_time_ = kNever;
    while (left_ > 0) {
      if (recovery_.probes_due() == 0) {
        if (!window_open()) break;
        const std::uint64_t rate = controller_->pacing_rate();
        if (!pacer_.may_send(now, rate, options_.datagram)) {
          // Timers are ticks of 1 ms, but not the same ticks for all flows.
          const Duration wait = pacer_.next_time(now, rate, options_.datagram) - options_.start;
          pace_time_ = options_.start + std::chrono::ceil<std::chrono::milliseconds>(wait);
          break;
        }
      }
      send_packet(now);
    }
    if (left_ == 0 && window_open()) controller_->on_app_limited(recovery_.in_flight());
  }

  [[nodiscard]] bool window_open() const {
    return recovery_.in_flight() + options_.datagram <= controller_->window();
  }

  void send_packet(Instant now) {
    REQUIRE(recovery_.reserve(pool_));
    REQUIRE(recovery_.add_frame(pool_, {.number = next_number_, .length = 1}));
    recovery_.on_sent(pool_, *controller_, next_number_, options_.datagram, now);
    pacer_.on_sent(options_.datagram);
    if (left_ != UINT64_MAX) left_ -= std::min<std::uint64_t>(left_, options_.datagram);
    const Link::Passage passage = link_.pass(now, options_.datagram);
    if (passage.arrives)
      data_.emplace(passage.leaves + options_.extra_one_way, Arrival{next_number_, passage.marked});
    ++next_number_;
  }

  Link& link_;
  FlowOptions options_;
  BlockPool pool_{SIZE_MAX, 0};
  std::unique_ptr<CongestionController> controller_;
  Pacer pacer_;
  RoundTrip round_trip_;
  Recovery recovery_;
  std::uint64_t next_number_ = 0;
  std::uint64_t left_;
  Instant pace_time_;
  Instant done_at_ = kNever;

  // On their way, by the time of their arrival.
  std::multimap<Instant, Arrival> data_;
  std::multimap<Instant, Ack> acks_;
  ReplayWindow received_;
  unsigned unacknowledged_ = 0;
  std::uint64_t marked_ = 0;  // since the last ACK
  Instant ack_timer_ = kNever;
  Instant newest_arrival_{};
  std::uint64_t arrived_ = 0;
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
