#include "io/link_model.hpp"

#include <algorithm>
#include <cassert>

namespace hawser {

namespace {

constexpr std::size_t kMaxDatagramBytes = 65'535;

// The longest backlog there can be, in millionths of a byte: it and a sum with the present fit 64 bits.
static_assert((LinkModel::kMaxQueueBytes + kMaxDatagramBytes) * kMicrosecondsPerSecond <
              (std::uint64_t{1} << 62U));

// The values of the two ECN bits (RFC 3168 section 5).
constexpr std::uint8_t kEcnMask = 3;
constexpr std::uint8_t kNotEct = 0;
constexpr std::uint8_t kCe = 3;

constexpr std::uint64_t divide_up(std::uint64_t dividend, std::uint64_t divisor) {
  return dividend / divisor + (dividend % divisor != 0 ? 1 : 0);
}

}  // namespace

std::uint64_t LinkQueue::backlog(std::uint64_t bytes_per_second, Instant now) const {
  if (now <= as_of_) return backlog_;
  const auto elapsed = static_cast<std::uint64_t>((now - as_of_).count());
  // Compared before it is multiplied, which could overflow after a long rest.
  return elapsed < divide_up(backlog_, bytes_per_second) ? backlog_ - elapsed * bytes_per_second : 0;
}

std::uint64_t LinkQueue::backlog_bytes(std::uint64_t bytes_per_second, Instant now) const {
  return divide_up(backlog(bytes_per_second, now), kMicrosecondsPerSecond);
}

Instant LinkQueue::append(std::uint64_t bytes_per_second, std::size_t size, Instant now) {
  backlog_ = backlog(bytes_per_second, now) + size * kMicrosecondsPerSecond;
  as_of_ = std::max(as_of_, now);
  return as_of_ + Duration(static_cast<Duration::rep>(divide_up(backlog_, bytes_per_second)));
}

LinkPassage LinkModel::pass(const LinkSettings& settings, LinkQueue& queue, Instant& last_arrival,
                            Instant now, std::size_t size, std::uint8_t ecn) {
  assert(size <= kMaxDatagramBytes);
  LinkPassage passage;
  LinkFate& fate = passage.places[0].fate;
  if (!settings.up) {
    fate = LinkFate::kCutOff;
  } else if (settings.mtu_bytes != 0 && size > settings.mtu_bytes) {
    fate = LinkFate::kTooLong;
  } else if (chance(settings.loss_rate)) {
    fate = LinkFate::kLost;
  }
  if (fate != LinkFate::kArrives) return passage;
  if (chance(settings.duplicate_rate)) passage.count = 2;
  for (std::size_t i = 0; i < passage.count; ++i) {
    passage.places[i] = deliver(settings, queue, last_arrival, now, size, ecn & kEcnMask);
  }
  return passage;
}

LinkCopy LinkModel::deliver(const LinkSettings& settings, LinkQueue& queue, Instant& last_arrival,
                            Instant now, std::size_t size, std::uint8_t ecn) {
  LinkCopy copy;
  copy.ecn = ecn;
  Instant departure = now;
  if (const std::uint64_t rate = settings.bytes_per_second; rate != 0) {
    const std::uint64_t backlog = queue.backlog_bytes(rate, now);
    // One that finds the link idle is sent at once and needs no place in the queue.
    if (backlog > 0 && backlog + size > std::min(settings.queue_bytes, kMaxQueueBytes)) {
      copy.fate = LinkFate::kQueueFull;
      return copy;
    }
    copy.marked = settings.ecn_mark_bytes != 0 && backlog > settings.ecn_mark_bytes && ecn != kNotEct;
    if (copy.marked) copy.ecn = kCe;
    departure = queue.append(rate, size, now);
  }
  copy.arrival = departure + settings.delay + up_to(settings.jitter);
  copy.held_back = chance(settings.reorder_rate);
  if (copy.held_back) {
    copy.arrival += settings.least_hold_back + up_to(settings.most_hold_back - settings.least_hold_back);
    if (!settings.jitter_reorders) copy.arrival += settings.jitter;
  } else if (!settings.jitter_reorders) {
    copy.arrival = last_arrival = std::max(copy.arrival, last_arrival);
  }
  return copy;
}

bool LinkModel::chance(double rate) {
  // 53 random bits: every double in [0, 1) that is a multiple of 2^-53.
  return rate > 0 && static_cast<double>(random_.u64() >> 11U) * 0x1p-53 < rate;
}

Duration LinkModel::up_to(Duration limit) {
  if (limit <= Duration::zero()) return Duration::zero();
  const auto bound = static_cast<std::uint32_t>(std::min<Duration::rep>(limit.count(), 0xffff'fffe)) + 1;
  return Duration(static_cast<Duration::rep>(random_.below(bound)));
}

}  // namespace hawser
