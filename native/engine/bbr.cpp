#include "engine/bbr.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/random.hpp"
#include "engine/hystart.hpp"

namespace hawser {
namespace {

using std::chrono::milliseconds;

// Gains in percent (section 5.6.1).
constexpr std::uint64_t kStartupPercent = 277;
// Deviation: in Startup, no growth while all packets have to wait; and one such round trip without more
// bandwidth ends it, where the draft waits for three. If it was another flow's queue, the probes that follow
// at once where they bring something (kGainedPercent) find this flow's share.
constexpr std::uint64_t kStartupQueuePercent = 100;
constexpr std::uint64_t kDrainPercent = 50;
constexpr std::uint64_t kDownPercent = 90;
constexpr std::uint64_t kUpPercent = 125;
constexpr std::uint64_t kWindowPercent = 200;
constexpr std::uint64_t kUpWindowPercent = 225;
constexpr std::uint64_t kProbeRttWindowPercent = 50;
constexpr std::uint64_t kPacingMarginPercent = 1;

constexpr std::uint64_t kBetaPercent = 70;
constexpr std::uint64_t kHeadroomPercent = 15;
constexpr std::uint64_t kMinPipeCwnd = 4;  // datagrams
// Deviation: a least rate, half of the least window in each round trip, which counts as 50 ms at least. The
// first samples after an outage say what was delivered during it. A flow that has no others yet would pace at
// a few bytes a second, so that its next packet, and with it the next sample, would come many seconds later.
constexpr std::uint64_t kLeastPaced = kMinPipeCwnd / 2;  // datagrams
constexpr std::uint64_t kLeastPacedRound = 50'000;       // microseconds
constexpr std::uint64_t kFullBandwidthPercent = 125;
constexpr std::uint8_t kFullBandwidthRounds = 3;
constexpr std::uint16_t kStartupLossRanges = 6;
constexpr std::uint32_t kDrainRounds = 3;
constexpr std::uint32_t kMostRenoRounds = 63;
constexpr std::uint8_t kMostCycleRounds = 255;

constexpr Duration kMinRttWindow = std::chrono::seconds(10);
constexpr Duration kProbeRttInterval = std::chrono::seconds(5);
constexpr Duration kProbeRttDuration = milliseconds(200);

// Deviation: ProbeBW. The draft's flow probes every 2 to 3 s, by a quarter for three round trips, which fills
// a queue of three quarters of the bandwidth-delay product each time, and leaves ProbeBW_DOWN when it has no
// more in flight than its own estimate: the estimates of several flows add up to more than the link, the
// queue stays, and who had more bandwidth keeps it. Simulated with two flows on 100 Mbit/s and 50 ms, one
// beginning 0.1 to 5 s after the other, that gave up to 78:22 in the minute from 20 s on. Here
// 1. ProbeBW_UP ends when a quarter more than the estimate is in flight, as in BBR version 2, and is repeated
//    at once while it brings bandwidth: a flow with a small share gains nearly a quarter by each, one that
//    has all of the link nothing;
// 2. a flow that is not probing yields to a queue that lasts: ProbeBW_CRUISE drains like ProbeBW_DOWN, and
//    the rate is cut in each round trip in which the queue did not fall, down to a floor that keeps a flow
//    alive beside those that fill every queue. A cut by a share takes most from the flow that has most;
// 3. a probe costs less, and therefore comes after 1 to 2 s;
// 4. where a queue stayed for a whole cycle although this flow yielded, other flows do not yield (CUBIC, or
//    BBR version 1). Such a link is contested (kContested). The flow hardly yields, and a probe and
//    ProbeBW_DOWN count from the round trip before the probe in place of the least one, so that the queue of
//    others does not end a probe before it has brought anything. What ProbeRTT finds is the least round trip
//    after 5 s in place of 10 s. Simulated for 20 s next to CUBIC on 20 Mbit/s and 50 ms, with a queue of 1
//    and of 5 bandwidth-delay products: 54 % and 24 % of the link, without this rule 32 % and 10 %. Without
//    yielding at all it would be the same, but the Jain index of ten flows is 0.953 in place of 0.946.
constexpr Duration kProbeWait = std::chrono::seconds(1);
// The share s of the link that a flow has grows by 1.25 / (1 + 0.25 s) while it probes alone: by 1.12 or more
// below about a half.
constexpr std::uint64_t kGainedPercent = 112;
constexpr std::uint32_t kGainedQueueDivisor = 4;  // of min_rtt: with more of a queue than this, no repetition
constexpr std::uint64_t kYieldPercent = 95;
constexpr std::uint64_t kYieldFloorPercent = 75;
constexpr std::uint64_t kContestedFloorPercent = 95;
// A queue that drains at a twentieth of the link falls by min_rtt / 20 in a round trip.
constexpr std::uint32_t kFallDivisor = 32;

// Evidence in points, of cycles with at least kLeastContestRounds round trips: kContested for a queue that
// stayed. The probes of flows that yield make it fall again and again, here it fell in at most a quarter of
// the round trips. A single round trip without a queue may be the ProbeRTT of another flow and takes one
// point, more than one take kFreeContest. A link is contested from kContested points on until none is left.
// Simulated, eight flows on 100 Mbit/s seldom take each other for such flows: their median queue is 30 to
// 36 ms, and 26 to 34 ms without the rule. It is 49 ms if a link is contested until half of a cycle is
// without a queue.
constexpr std::uint8_t kLeastContestRounds = 4;
constexpr std::uint32_t kContestFallDivisor = 4;
constexpr std::uint8_t kContested = 2;
constexpr std::uint8_t kMostContest = 6;
constexpr std::uint8_t kFreeRounds = 2;
constexpr std::uint8_t kFreeContest = 3;

// BBRExtraAckedFilterLen is 10 rounds: two periods of five.
constexpr std::uint8_t kExtraAckedRounds = 5;

// Deviation: the loss response. The draft takes every loss for congestion: more than 2 % while probing bounds
// what may be in flight, and any loss at other times reduces rate and volume once in each round trip, to what
// was delivered. On a path that loses packets whatever is sent (radio), delivery is below what was sent by
// that share in each round trip, so that 1 % costs half of the rate until the next probe, and above 2 % every
// probe ends at once. A queue that overflows was full: the round trips of the packets beside the lost one are
// longer than the least one. So loss counts as in the draft only when it comes with a queue, and from a share
// of kLossWithoutQueuePercent on without one, for links that drop what exceeds a rate without queueing it.
constexpr std::uint64_t kLossPercent = 2;  // BBRLossThresh
constexpr std::uint64_t kLossWithoutQueuePercent = 10;
// A few losses are no share of anything.
constexpr std::uint64_t kLossWithoutQueueDatagrams = 3;
// What counts as a queue: this part of the least round trip, and more than what timers of 1 ms on both sides
// and a burst of the pacer make up.
constexpr std::uint32_t kQueueDivisor = 16;
constexpr std::uint32_t kLeastQueue = 3'000;

// Where a whole round trip is looked at: the rise of HyStart++ over the least round trip, and fewer samples
// than there, since a slow flow has no more.
constexpr std::uint8_t kRiseSamples = 4;

// ECN, which the draft leaves open but for "any CE mark is congestion". ECT(0) may be marked by queues that
// mark as seldom as they would drop: each round trip with a mark reduces what may be in flight by as much as
// RFC 8511 has it for CUBIC (0.85), and up to a third where most packets are marked (the share as in DCTCP,
// RFC 8257).
constexpr std::uint64_t kLeastMarkCutPercent = 15;
constexpr std::uint64_t kMostMarkCutPercent = 33;
constexpr std::uint32_t kMarkGainShift = 4;

constexpr std::uint64_t percent_of(std::uint64_t value, std::uint64_t percent) {
  return value * percent / 100;
}

std::uint64_t microseconds_of(Duration duration) { return static_cast<std::uint64_t>(duration.count()); }

// A number in [0, bound) that follows from what has happened so far, so that a run can be repeated, and
// differs between connections that do not see the very same at the very same time.
std::uint32_t drawn(Instant now, std::uint64_t history, std::uint32_t bound) {
  return SeededRandom(microseconds_of(now.time_since_epoch()) ^ (history << 20U)).below(bound);
}

}  // namespace

Bbr::Bbr(std::size_t max_datagram, Instant now) { start(max_datagram, now); }

void Bbr::start(std::size_t max_datagram, Instant now) {
  delivery_ = {};
  sample_ = {};
  model_ = {};
  rounds_ = {};
  cycle_ = {};
  before_losses_ = {};
  control_ = {};
  control_.max_datagram = static_cast<std::uint32_t>(max_datagram);
  control_.window = initial_window(max_datagram);
  control_.pacing_rate = control_.window * kMicrosecondsPerSecond / microseconds_of(RoundTrip::kInitial);
  delivery_.delivered_at = delivery_.first_sent = now;
  model_.extra_acked_start = now;
  model_.min_rtt_at = model_.probe_rtt_min_at = now;
}

// Section 4.1.2.2 and, for the end of a pause, 5.4.1.
void Bbr::on_sent(SentPacketInfo& packet, std::size_t in_flight) {
  if (in_flight == 0) {
    delivery_.first_sent = delivery_.delivered_at = packet.sent;
    if (delivery_.app_limited_until != 0) {
      cycle_.idle_restart = true;
      model_.extra_acked_start = packet.sent;
      if (in_probe_bw()) set_pacing_rate(100);
      if (control_.state == State::kProbeRtt) check_probe_rtt_done(packet.sent);
    }
  }
  if (model_.probe_rtt_min == kNoRoundTrip) model_.min_rtt_at = model_.probe_rtt_min_at = packet.sent;
  const std::size_t after = in_flight + packet.bytes;
  if (after + control_.max_datagram > control_.window) rounds_.window_limited = true;
  packet.snapshot = {.first_sent = delivery_.first_sent,
                     .delivered_at = delivery_.delivered_at,
                     .delivered = delivery_.delivered,
                     .lost = delivery_.lost,
                     .in_flight = static_cast<std::uint32_t>(after),
                     .app_limited = delivery_.app_limited_until != 0};
}

// Section 4.1.2.3. Packets come in ascending order: the last one is the newest.
void Bbr::on_acked(const SentPacketInfo& packet, Instant now) {
  delivery_.delivered += packet.bytes;
  delivery_.delivered_at = now;
  delivery_.first_sent = std::max(delivery_.first_sent, packet.sent);
  sample_.has_data = true;
  sample_.packets += 1;
  sample_.prior_delivered = packet.snapshot.delivered;
  sample_.prior_lost = packet.snapshot.lost;
  sample_.app_limited = packet.snapshot.app_limited;
  sample_.sent_in_flight = packet.snapshot.in_flight;
  sample_.elapsed = std::max(packet.sent - packet.snapshot.first_sent, now - packet.snapshot.delivered_at);
  // With the delay of the acknowledgement, which is none where a packet is missing before this one.
  model_.latest_rtt =
      static_cast<std::uint32_t>(std::clamp<Duration::rep>((now - packet.sent).count(), 1, kNoRoundTrip - 1));
}

// Section 5.5.10.2, HandleLostPacket.
void Bbr::on_lost(const SentPacketInfo& packet, Instant now) {
  delivery_.lost += packet.bytes;
  if (packet.number != rounds_.last_lost + 1 && rounds_.loss_ranges < kStartupLossRanges)
    ++rounds_.loss_ranges;
  rounds_.last_lost = packet.number;
  if (has_queue()) rounds_.queue_loss = true;
  if (!cycle_.is_probe_sample) return;
  const std::uint64_t lost = delivery_.lost - packet.snapshot.lost;
  if (!too_high(lost, packet.snapshot.in_flight)) return;
  handle_too_high(inflight_at_loss(packet, lost), packet.snapshot.app_limited, now);
}

void Bbr::on_ack_done(const AckSummary& summary) {
  if (sample_.has_data) {
    finish_sample();
    update_round();
    update_latest_signals();
    if (sample_.rate > 0 && (sample_.rate >= max_bandwidth() || !sample_.app_limited)) {
      model_.max_bw[1] = std::max(model_.max_bw[1], sample_.rate);
    }
    update_congestion_signals();
    update_marks(summary.newly_marked);
    update_ack_aggregation(summary.acked_bytes, summary.now);
    update_round_trip(summary);
    check_full_bandwidth();
    check_startup_done();
    check_drain_done(summary.in_flight, summary.now);
    update_cycle(summary);
    check_probe_rtt(summary);
    if (rounds_.loss_start) {
      model_.bw_latest = sample_.rate;
      model_.inflight_latest = sample_.delivered;
    }
  }
  set_pacing_rate(pacing_percent());
  set_window(summary.acked_bytes);
  sample_ = {};
}

void Bbr::on_losses_begin() {
  before_losses_ = {.bw_shortterm = model_.bw_shortterm,
                    .inflight_shortterm = model_.inflight_shortterm,
                    .inflight_longterm = model_.inflight_longterm,
                    .window = control_.window,
                    .too_high_before = cycle_.too_high_before};
}

// HandleSpuriousLossDetection. Deviation: only what the losses ended goes on, Startup or ProbeBW_UP. The
// draft goes back to it whatever ended it, also when that was a round trip without more bandwidth.
void Bbr::on_losses_undone() {
  const BeforeLosses before = std::exchange(before_losses_, {});
  rounds_.queue_loss = false;
  rounds_.loss_from = delivery_.lost;
  rounds_.loss_ranges = 0;
  model_.bw_shortterm = std::max(model_.bw_shortterm, before.bw_shortterm);
  model_.inflight_shortterm = std::max(model_.inflight_shortterm, before.inflight_shortterm);
  model_.inflight_longterm = std::max(model_.inflight_longterm, before.inflight_longterm);
  control_.window = std::max(control_.window, before.window);
  cycle_.too_high_before = before.too_high_before;
  if (control_.state == State::kProbeRtt || before.left == State::kDown) return;
  reset_full_bandwidth();
  if (before.left == State::kStartup) {
    model_.full_bw_reached = false;
    control_.state = State::kStartup;
  } else {
    start_refill();
  }
}

// OnEnterRTO of section 5.6.4.4. What comes back first is taken for the beginning of a round trip.
void Bbr::on_persistent_congestion(Instant /*now*/) {
  save_window();
  control_.window = least_window();
  start_round();
}

void Bbr::on_app_limited(std::size_t in_flight) { mark_app_limited(in_flight); }

void Bbr::on_path(std::size_t max_datagram, bool fresh, Instant now) {
  if (fresh) return start(max_datagram, now);
  control_.max_datagram = static_cast<std::uint32_t>(max_datagram);
  control_.window = std::max(control_.window, least_window());
}

bool Bbr::in_probe_bw() const { return State::kDown <= control_.state && control_.state <= State::kUp; }

bool Bbr::is_probing() const {
  return control_.state == State::kStartup || control_.state == State::kRefill ||
         control_.state == State::kUp;
}

// Whether the packet that was acknowledged last had to wait; in Startup, whether all of this round trip and
// the one before had to. Jitter delays single packets, and random losses that look like those of a full queue
// end Startup far below the bandwidth of the path. Simulated with 95 ms and 0 to 10 ms of jitter, 2 % loss
// and 5 % of the packets 10 ms late, eight seeds: 3.4 MB/s instead of 3.1, and no longer 1.9 with one of
// them.
bool Bbr::has_queue() const {
  if (model_.min_rtt == kNoRoundTrip) return false;
  const std::uint32_t waited = control_.state == State::kStartup
                                   ? std::min({model_.round_rtt, model_.last_round_rtt, model_.latest_rtt})
                                   : model_.latest_rtt;
  return waited > model_.min_rtt + std::max(model_.min_rtt / kQueueDivisor, kLeastQueue);
}

// IsInflightTooHigh with the deviation at kLossPercent.
bool Bbr::too_high(std::uint64_t lost, std::uint64_t sent_in_flight) const {
  if (has_queue()) return lost > percent_of(sent_in_flight, kLossPercent);
  return lost > percent_of(sent_in_flight, kLossWithoutQueuePercent) &&
         lost > kLossWithoutQueueDatagrams * control_.max_datagram;
}

std::uint64_t Bbr::pacing_percent() const {
  switch (control_.state) {
    case State::kStartup:
      return model_.queued ? kStartupQueuePercent : kStartupPercent;
    case State::kDrain:
      return kDrainPercent;
    case State::kDown:
      return kDownPercent;
    case State::kUp:
      return kUpPercent;
    case State::kCruise:
      return model_.queued && !cycle_.contested ? kDownPercent : 100;
    case State::kRefill:
    case State::kProbeRtt:
      break;
  }
  return 100;
}

std::uint64_t Bbr::window_percent() const {
  if (control_.state == State::kUp) return kUpWindowPercent;
  return control_.state == State::kProbeRtt ? kProbeRttWindowPercent : kWindowPercent;
}

std::uint64_t Bbr::max_bandwidth() const { return std::max(model_.max_bw[0], model_.max_bw[1]); }

std::uint64_t Bbr::bandwidth() const { return std::min(max_bandwidth(), model_.bw_shortterm); }

std::uint64_t Bbr::bdp(std::uint64_t rate, std::uint64_t percent) const {
  if (model_.min_rtt == kNoRoundTrip) return initial_window(control_.max_datagram);
  // In this order: 1 Tbit/s times 71 minutes fits.
  return rate * model_.min_rtt / kMicrosecondsPerSecond * percent / 100;
}

std::uint64_t Bbr::least_window() const { return kMinPipeCwnd * control_.max_datagram; }

// QuantizationBudget. Three quanta of 1 ms (as section 5.5.8.1 has it for TCP): sender, receiver and the way
// of the acknowledgement back each wait for a timer or a turn of an event loop, which on a path of less than
// 1 ms is most of the round trip.
std::uint64_t Bbr::with_budget(std::uint64_t volume) const {
  const std::uint64_t quantum =
      std::max<std::uint64_t>(control_.pacing_rate / 1000, 2 * control_.max_datagram);
  volume = std::max({volume, 3 * quantum, least_window()});
  return control_.state == State::kUp ? volume + 2 * control_.max_datagram : volume;
}

// The least round trip without what this flow itself adds to the queue; see kProbeWait.
std::uint32_t Bbr::uncontested_rtt() const {
  return cycle_.contested ? std::max(model_.base_rtt, model_.min_rtt) : model_.min_rtt;
}

// What has to be in flight for this share of the bandwidth.
std::uint64_t Bbr::full_inflight(std::uint64_t percent) const {
  const std::uint64_t volume = max_bandwidth() * uncontested_rtt() / kMicrosecondsPerSecond * percent / 100;
  return std::max(with_budget(bdp(max_bandwidth(), percent)), cycle_.contested ? volume : 0);
}

std::uint64_t Bbr::target_inflight() const { return std::min(bdp(bandwidth(), 100), control_.window); }

std::uint64_t Bbr::inflight_with_headroom() const {
  if (model_.inflight_longterm == kUnlimited) return kUnlimited;
  const std::uint64_t headroom =
      std::max<std::uint64_t>(control_.max_datagram, percent_of(model_.inflight_longterm, kHeadroomPercent));
  return std::max(model_.inflight_longterm - std::min(headroom, model_.inflight_longterm), least_window());
}

std::uint64_t Bbr::probe_rtt_window() const {
  return std::max(bdp(bandwidth(), kProbeRttWindowPercent), least_window());
}

// Section 5.5.10.2: how much was in flight when losses crossed the threshold.
std::uint64_t Bbr::inflight_at_loss(const SentPacketInfo& packet, std::uint64_t lost) const {
  const std::uint64_t threshold = has_queue() ? kLossPercent : kLossWithoutQueuePercent;
  const std::uint64_t before = packet.snapshot.in_flight - std::min(packet.snapshot.in_flight, packet.bytes);
  const std::uint64_t lost_before = lost - packet.bytes;
  const std::uint64_t allowed = percent_of(before, threshold);
  if (allowed <= lost_before) return before;
  return before + (allowed - lost_before) * 100 / (100 - threshold);
}

// GenerateRateSample.
void Bbr::finish_sample() {
  if (delivery_.app_limited_until != 0 && delivery_.delivered > delivery_.app_limited_until) {
    delivery_.app_limited_until = 0;
  }
  sample_.delivered = delivery_.delivered - sample_.prior_delivered;
  const std::uint64_t elapsed = microseconds_of(sample_.elapsed);
  if (elapsed == 0 || (model_.min_rtt != kNoRoundTrip && elapsed < model_.min_rtt)) return;
  sample_.rate = sample_.delivered * kMicrosecondsPerSecond / elapsed;
}

void Bbr::update_round() {
  rounds_.start = sample_.prior_delivered >= rounds_.next_delivered;
  rounds_.packets += sample_.packets;
  if (!rounds_.start) return;
  start_round();
  ++rounds_.count;
  ++cycle_.rounds_since_up;
  rounds_.window_limited_before = rounds_.window_limited;
  rounds_.window_limited = false;
  if (model_.round_rtt_samples < kRiseSamples) model_.queued = false;
  yield_to_queue();
  model_.last_round_rtt = model_.round_rtt;
  model_.round_rtt = kNoRoundTrip;
  model_.round_rtt_samples = 0;
}

// At the end of a round trip; see kProbeWait.
void Bbr::yield_to_queue() {
  if (control_.state != State::kDown && control_.state != State::kCruise) return;
  const bool falling = model_.last_round_rtt != kNoRoundTrip &&
                       model_.round_rtt + model_.min_rtt / kFallDivisor < model_.last_round_rtt;
  if (cycle_.rounds < kMostCycleRounds) {
    ++cycle_.rounds;
    if (!model_.queued) {
      ++cycle_.free_rounds;
    } else if (falling) {
      ++cycle_.falling_rounds;
    }
  }
  if (!model_.queued || falling) return;
  const std::uint64_t bw = bandwidth();
  const std::uint64_t least =
      percent_of(max_bandwidth(), cycle_.contested ? kContestedFloorPercent : kYieldFloorPercent);
  model_.bw_shortterm = std::min(bw, std::max(percent_of(bw, kYieldPercent), least));
}

// At the end of a cycle; see kProbeWait.
void Bbr::update_contest() {
  if (cycle_.rounds < kLeastContestRounds) return;
  const bool stays = kContestFallDivisor * cycle_.falling_rounds <= cycle_.rounds;
  int points = cycle_.contest;
  if (cycle_.free_rounds > 0) {
    points -= cycle_.free_rounds < kFreeRounds ? 1 : kFreeContest;
  } else if (stays) {
    points += kContested;
  }
  cycle_.contest = static_cast<std::uint8_t>(std::clamp<int>(points, 0, kMostContest)) & 7U;
  cycle_.contested = cycle_.contest >= (cycle_.contested ? 1 : kContested);
  cycle_.rounds = cycle_.free_rounds = cycle_.falling_rounds = 0;
}

// Section 5.5.10.3.
void Bbr::update_latest_signals() {
  model_.bw_latest = std::max(model_.bw_latest, sample_.rate);
  model_.inflight_latest = std::max(model_.inflight_latest, sample_.delivered);
  rounds_.loss_start = sample_.prior_delivered >= rounds_.loss_delivered;
  if (rounds_.loss_start) rounds_.loss_delivered = delivery_.delivered;
}

void Bbr::update_congestion_signals() {
  if (!rounds_.loss_start) return;
  const std::uint64_t lost = delivery_.lost - rounds_.loss_from;
  const bool high = too_high(lost, model_.inflight_latest + lost);
  if (!is_probing() && (rounds_.queue_loss || high)) {
    model_.bw_shortterm =
        std::max(model_.bw_latest, percent_of(std::min(model_.bw_shortterm, max_bandwidth()), kBetaPercent));
    model_.inflight_shortterm =
        std::max(model_.inflight_latest,
                 percent_of(std::min(model_.inflight_shortterm, control_.window), kBetaPercent));
  }
  // Section 5.3.1.3: the end of Startup by losses.
  if (control_.state == State::kStartup && high && rounds_.loss_ranges >= kStartupLossRanges) leave_startup();
  rounds_.queue_loss = false;
  rounds_.loss_from = delivery_.lost;
  rounds_.loss_ranges = 0;
}

void Bbr::leave_startup() {
  before_losses_.left = State::kStartup;
  model_.full_bw_reached = true;
  model_.inflight_longterm = std::max(bdp(bandwidth(), 100), model_.inflight_latest);
}

// Once in a round trip; see kLeastMarkCutPercent.
void Bbr::update_marks(std::uint64_t newly_marked) {
  rounds_.marked += static_cast<std::uint32_t>(std::min<std::uint64_t>(newly_marked, sample_.packets));
  if (!rounds_.start || rounds_.packets == 0) return;
  const std::uint32_t share = std::min<std::uint32_t>(
      static_cast<std::uint32_t>(std::uint64_t{kWholeShare} * rounds_.marked / rounds_.packets), kWholeShare);
  const bool marked = rounds_.marked > 0;
  const std::uint32_t old = model_.marked_share;
  model_.marked_share = static_cast<std::uint16_t>(old - (old >> kMarkGainShift) + (share >> kMarkGainShift));
  rounds_.marked = 0;
  rounds_.packets = 0;
  if (!marked) return;
  if (control_.state == State::kStartup) return leave_startup();
  if (is_probing())
    return handle_too_high(sample_.sent_in_flight, sample_.app_limited, delivery_.delivered_at);
  const std::uint64_t cut =
      std::max(kLeastMarkCutPercent, kMostMarkCutPercent * model_.marked_share / kWholeShare);
  const std::uint64_t reduced = percent_of(std::min(model_.inflight_shortterm, control_.window), 100 - cut);
  model_.inflight_shortterm = std::max(reduced, least_window());
}

// Section 5.5.9.
void Bbr::update_ack_aggregation(std::uint64_t acked, Instant now) {
  std::uint64_t expected =
      bandwidth() * microseconds_of(now - model_.extra_acked_start) / kMicrosecondsPerSecond;
  if (model_.extra_acked_delivered <= expected) {
    model_.extra_acked_delivered = 0;
    model_.extra_acked_start = now;
    expected = 0;
  }
  model_.extra_acked_delivered += acked;
  const std::uint64_t extra = std::min(model_.extra_acked_delivered - expected, control_.window);
  if (rounds_.start && ++model_.extra_acked_rounds >= (model_.full_bw_reached ? kExtraAckedRounds : 1)) {
    model_.extra_acked_rounds = 0;
    model_.extra_acked[0] = model_.extra_acked[1];
    model_.extra_acked[1] = 0;
  }
  model_.extra_acked[1] = std::max(model_.extra_acked[1], extra);
}

// Section 5.3.4.3, and whether all packets of this round trip had to wait.
void Bbr::update_round_trip(const AckSummary& summary) {
  const Instant now = summary.now;
  cycle_.probe_rtt_expired = now > model_.probe_rtt_min_at + kProbeRttInterval;
  if (summary.latest_round_trip > Duration::zero()) {
    const auto rtt = static_cast<std::uint32_t>(
        std::min<Duration::rep>(summary.latest_round_trip.count(), kNoRoundTrip - 1));
    model_.round_rtt = std::min(model_.round_rtt, rtt);
    if (model_.round_rtt_samples < kRiseSamples) ++model_.round_rtt_samples;
    if (rtt < model_.probe_rtt_min || cycle_.probe_rtt_expired) {
      model_.probe_rtt_min = rtt;
      model_.probe_rtt_min_at = now;
    }
  }
  if (model_.probe_rtt_min < model_.min_rtt ||
      now > model_.min_rtt_at + (cycle_.contested ? kProbeRttInterval : kMinRttWindow)) {
    model_.min_rtt = model_.probe_rtt_min;
    model_.min_rtt_at = model_.probe_rtt_min_at;
  }
  if (model_.round_rtt_samples == kRiseSamples) {
    model_.queued = model_.round_rtt >= model_.min_rtt + hystart::rtt_thresh(model_.min_rtt);
  }
}

void Bbr::reset_full_bandwidth() {
  model_.full_bw = 0;
  model_.full_bw_count = 0;
  model_.full_bw_now = false;
}

// Section 5.3.1.2.
void Bbr::check_full_bandwidth() {
  if (model_.full_bw_now || !rounds_.start || sample_.app_limited) return;
  if (sample_.rate >= percent_of(model_.full_bw, kFullBandwidthPercent)) {
    reset_full_bandwidth();
    model_.full_bw = sample_.rate;
    return;
  }
  const bool ends_early = control_.state == State::kStartup && model_.queued;
  if (++model_.full_bw_count < kFullBandwidthRounds && !ends_early) return;
  model_.full_bw_now = true;
  model_.full_bw_reached = true;
}

void Bbr::check_startup_done() {
  if (control_.state != State::kStartup || !model_.full_bw_reached) return;
  control_.state = State::kDrain;
  cycle_.drain_start_round = rounds_.count;
}

void Bbr::check_drain_done(std::uint64_t in_flight, Instant now) {
  if (control_.state != State::kDrain) return;
  if (in_flight <= with_budget(bdp(bandwidth(), 100)) ||
      rounds_.count > cycle_.drain_start_round + kDrainRounds) {
    start_down(now);
  }
}

void Bbr::reset_signals() {
  rounds_.queue_loss = false;
  rounds_.loss_from = delivery_.lost;
  rounds_.loss_ranges = 0;
  model_.bw_latest = 0;
  model_.inflight_latest = 0;
}

void Bbr::reset_shortterm() {
  model_.bw_shortterm = kUnlimited;
  model_.inflight_shortterm = kUnlimited;
}

void Bbr::start_down(Instant now) {
  reset_signals();
  cycle_.up_acked_per_increase = kUnlimited;
  // PickProbeWait: 2 to 3 s, and 0 or 1 round trips off the bound of IsRenoCoexistenceProbeTime.
  const std::uint32_t draw = drawn(now, delivery_.delivered, 2 * kMicrosecondsPerSecond);
  cycle_.rounds_since_up = draw & 1U;
  cycle_.wait = kProbeWait + Duration(draw >> 1U);
  cycle_.started = now;
  cycle_.ack_phase = AckPhase::kProbeStopping;
  start_round();
  control_.state = State::kDown;
}

void Bbr::start_refill() {
  reset_shortterm();
  model_.base_rtt = model_.last_round_rtt == kNoRoundTrip ? model_.min_rtt
                                                          : std::max(model_.last_round_rtt, model_.min_rtt);
  cycle_.up_rounds = 0;
  cycle_.up_acked = 0;
  cycle_.precautionary_before = false;
  cycle_.ack_phase = AckPhase::kRefilling;
  start_round();
  control_.state = State::kRefill;
}

void Bbr::start_up() {
  cycle_.is_probe_sample = true;
  cycle_.ack_phase = AckPhase::kProbeStarting;
  start_round();
  reset_full_bandwidth();
  model_.full_bw = sample_.rate;
  cycle_.probe_base = sample_.rate;
  control_.state = State::kUp;
  raise_longterm_slope();
}

// IsTimeToProbeBW.
bool Bbr::check_time_to_probe(Instant now) {
  const std::uint64_t reno_rounds =
      std::min<std::uint64_t>(target_inflight() / control_.max_datagram, kMostRenoRounds);
  if (now <= cycle_.started + cycle_.wait && cycle_.rounds_since_up < reno_rounds) return false;
  update_contest();
  start_refill();
  return true;
}

// UpdateProbeBWCyclePhase.
void Bbr::update_cycle(const AckSummary& summary) {
  if (!model_.full_bw_reached || adapt_longterm(summary.acked_bytes)) return;
  switch (control_.state) {
    case State::kDown:
      if (!check_time_to_probe(summary.now) && summary.in_flight <= inflight_with_headroom() &&
          summary.in_flight <= full_inflight(100)) {
        control_.state = State::kCruise;
      }
      break;
    case State::kCruise:
      (void)check_time_to_probe(summary.now);
      break;
    case State::kRefill:
      if (rounds_.start) start_up();
      break;
    case State::kUp:
      if (is_time_to_go_down(summary.in_flight)) {
        cycle_.too_high_before = false;
        start_down(summary.now);
      }
      break;
    case State::kStartup:
    case State::kDrain:
    case State::kProbeRtt:
      break;
  }
}

// The sample at the end of the feedback is about the packets of ProbeBW_UP.
bool Bbr::has_gained() const {
  const std::uint32_t most = std::max(model_.min_rtt / kGainedQueueDivisor, 2 * kLeastQueue);
  return sample_.rate >= percent_of(cycle_.probe_base, kGainedPercent) &&
         model_.latest_rtt <= uncontested_rtt() + most;
}

// AdaptLongTermModel. True when it has changed the state.
bool Bbr::adapt_longterm(std::uint64_t acked) {
  if (cycle_.ack_phase == AckPhase::kProbeStarting && rounds_.start)
    cycle_.ack_phase = AckPhase::kProbeFeedback;
  if (cycle_.ack_phase == AckPhase::kProbeStopping && rounds_.start) {
    cycle_.is_probe_sample = false;
    cycle_.ack_phase = AckPhase::kInit;
    if (in_probe_bw() && !sample_.app_limited && model_.max_bw[1] != 0) {
      model_.max_bw[0] = model_.max_bw[1];
      model_.max_bw[1] = 0;
    }
    if (in_probe_bw() && !cycle_.too_high_before && (cycle_.precautionary_before || has_gained())) {
      start_refill();
      return true;
    }
  }
  if (too_high(delivery_.lost - sample_.prior_lost, sample_.sent_in_flight)) return false;
  if (model_.inflight_longterm == kUnlimited) return false;
  model_.inflight_longterm = std::max<std::uint64_t>(model_.inflight_longterm, sample_.sent_in_flight);
  if (control_.state == State::kUp) raise_longterm(acked);
  return false;
}

bool Bbr::is_time_to_go_down(std::uint64_t in_flight) {
  if (cycle_.too_high_before && in_flight >= model_.inflight_longterm) {
    cycle_.precautionary_before = true;
    return true;
  }
  if (is_window_limited() && control_.window >= model_.inflight_longterm) {
    reset_full_bandwidth();
    model_.full_bw = sample_.rate;
    return false;
  }
  const bool filled = in_flight > full_inflight(kUpPercent);
  return model_.full_bw_now || (filled && cycle_.ack_phase == AckPhase::kProbeFeedback);
}

void Bbr::handle_too_high(std::uint64_t sent_in_flight, bool app_limited, Instant now) {
  cycle_.too_high_before = true;
  cycle_.is_probe_sample = false;
  if (!app_limited) {
    model_.inflight_longterm = std::max(sent_in_flight, percent_of(target_inflight(), kBetaPercent));
  }
  if (control_.state != State::kUp) return;
  before_losses_.left = State::kUp;
  start_down(now);
}

void Bbr::raise_longterm_slope() {
  const std::uint64_t growth = std::uint64_t{1} << cycle_.up_rounds;
  cycle_.up_rounds = static_cast<std::uint8_t>(std::min(cycle_.up_rounds + 1, 30));
  cycle_.up_acked_per_increase = std::max<std::uint64_t>(control_.window / growth, control_.max_datagram);
}

// ProbeInflightLongtermUpward.
void Bbr::raise_longterm(std::uint64_t acked) {
  if (!is_window_limited() || control_.window < model_.inflight_longterm) return;
  cycle_.up_acked += acked;
  const std::uint64_t increases = cycle_.up_acked / cycle_.up_acked_per_increase;
  cycle_.up_acked -= increases * cycle_.up_acked_per_increase;
  model_.inflight_longterm += increases * control_.max_datagram;
  if (rounds_.start) raise_longterm_slope();
}

// Section 5.3.4.4.
void Bbr::check_probe_rtt(const AckSummary& summary) {
  if (control_.state != State::kProbeRtt && cycle_.probe_rtt_expired && !cycle_.idle_restart) {
    save_window();
    control_.state = State::kProbeRtt;
    cycle_.probe_rtt_done = kNever;
    cycle_.ack_phase = AckPhase::kProbeStopping;
    start_round();
  }
  if (control_.state == State::kProbeRtt) {
    // Samples of this time are low by intention.
    mark_app_limited(summary.in_flight);
    if (cycle_.probe_rtt_done == kNever && summary.in_flight <= probe_rtt_window()) {
      cycle_.probe_rtt_done = summary.now + kProbeRttDuration;
      cycle_.probe_rtt_round_done = false;
      start_round();
    } else if (cycle_.probe_rtt_done != kNever) {
      if (rounds_.start) cycle_.probe_rtt_round_done = true;
      if (cycle_.probe_rtt_round_done) check_probe_rtt_done(summary.now);
    }
  }
  cycle_.idle_restart = false;
}

void Bbr::check_probe_rtt_done(Instant now) {
  if (cycle_.probe_rtt_done == kNever || now <= cycle_.probe_rtt_done) return;
  model_.probe_rtt_min_at = now;
  control_.window = std::max(control_.window, cycle_.prior_window);
  reset_shortterm();
  if (!model_.full_bw_reached) {
    control_.state = State::kStartup;
    return;
  }
  start_down(now);
  control_.state = State::kCruise;
}

void Bbr::mark_app_limited(std::uint64_t in_flight) {
  delivery_.app_limited_until = std::max<std::uint64_t>(delivery_.delivered + in_flight, 1);
}

void Bbr::save_window() {
  cycle_.prior_window =
      control_.state == State::kProbeRtt ? std::max(cycle_.prior_window, control_.window) : control_.window;
}

void Bbr::set_pacing_rate(std::uint64_t percent) {
  const std::uint64_t rate = bandwidth() * percent / 100 * (100 - kPacingMarginPercent) / 100;
  const bool settled = model_.full_bw_reached || model_.queued;
  if (rate > 0 && (settled || rate > control_.pacing_rate)) {
    const std::uint64_t round = std::max<std::uint64_t>(model_.min_rtt, kLeastPacedRound);
    control_.pacing_rate =
        std::max(rate, kLeastPaced * control_.max_datagram * kMicrosecondsPerSecond / round);
  }
}

// Section 5.6.4.6 with the bounds of 5.6.4.7.
void Bbr::set_window(std::uint64_t acked) {
  const std::uint64_t most = with_budget(bdp(bandwidth(), window_percent()) +
                                         std::max(model_.extra_acked[0], model_.extra_acked[1]));
  if (model_.full_bw_reached) {
    control_.window = std::min(control_.window + acked, most);
  } else if (control_.window < most || delivery_.delivered < initial_window(control_.max_datagram)) {
    control_.window += acked;
  }
  std::uint64_t cap = model_.inflight_shortterm;
  if (control_.state == State::kProbeRtt) cap = std::min(cap, probe_rtt_window());
  if (control_.state == State::kProbeRtt || control_.state == State::kCruise) {
    cap = std::min(cap, inflight_with_headroom());
  } else if (in_probe_bw()) {
    cap = std::min(cap, model_.inflight_longterm);
  }
  control_.window = std::max(std::min(control_.window, cap), least_window());
}

}  // namespace hawser
