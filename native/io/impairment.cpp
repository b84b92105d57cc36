#include "io/impairment.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <new>
#include <type_traits>
#include <utility>

#include "base/address.hpp"

namespace hawser {

namespace {

// What is kept for the next datagrams when the line empties.
constexpr std::size_t kMaxKeptBytes = std::size_t{4} * 1024 * 1024;

}  // namespace

template <class Datagram>
DelayLine<Datagram>::DelayLine(const LinkSettings& settings, RandomSource& random,
                               ImpairmentCounters& counters, std::size_t max_bytes)
    : settings_(settings),
      model_(random),
      counters_(counters),
      order_key_{random.u64(), random.u64()},
      last_arrivals_(kOrders),
      pool_(max_bytes, std::min(max_bytes, kMaxKeptBytes)) {}

template <class Datagram>
DelayLine<Datagram>::~DelayLine() = default;

template <class Datagram>
void DelayLine<Datagram>::put(const Datagram& datagram, Instant now) {
  Instant& last_arrival = last_arrivals_[hash_value(order_key_, datagram.remote) % kOrders];
  const LinkPassage passage =
      model_.pass(settings_, queue_, last_arrival, now, datagram.bytes.size(), datagram.ecn);
  if (passage.count > 1) ++counters_.duplicated;
  for (const LinkCopy& copy : passage.copies()) {
    if (copy.fate == LinkFate::kQueueFull) {
      ++counters_.queue_full;
    } else if (copy.fate != LinkFate::kArrives) {
      ++counters_.lost;
    } else if (!keep(datagram, copy)) {
      ++counters_.no_room;
    } else if (copy.held_back) {
      ++counters_.held_back;
    }
  }
}

template <class Datagram>
bool DelayLine<Datagram>::keep(const Datagram& datagram, const LinkCopy& copy) {
  static_assert(std::is_trivially_copyable_v<Datagram> && alignof(Datagram) <= 16);
  Block block = pool_.acquire(sizeof(Datagram) + datagram.bytes.size());
  if (!block) return false;
  const MutableBytes bytes = block.bytes().subspan(sizeof(Datagram), datagram.bytes.size());
  if (!bytes.empty()) std::memcpy(bytes.data(), datagram.bytes.data(), bytes.size());
  auto* const kept = ::new (static_cast<void*>(block.data())) Datagram(datagram);
  kept->bytes = bytes;
  kept->ecn = copy.ecn;
  in_flight_.push_back({copy.arrival, next_sequence_++, std::move(block)});
  std::push_heap(in_flight_.begin(), in_flight_.end());
  return true;
}

template <class Datagram>
Instant DelayLine<Datagram>::next_due() const {
  if (due_begin_ != due_end_) return Instant();
  return in_flight_.empty() ? kNever : in_flight_.front().arrival;
}

template <class Datagram>
std::span<const Datagram> DelayLine<Datagram>::due(Instant now) {
  if (due_begin_ == due_end_) {
    due_begin_ = due_end_ = 0;
    for (Block& block : due_blocks_) block.reset();
    while (due_end_ < kBatch && !in_flight_.empty() && in_flight_.front().arrival <= now) {
      std::pop_heap(in_flight_.begin(), in_flight_.end());
      due_blocks_[due_end_] = std::move(in_flight_.back().block);
      in_flight_.pop_back();
      due_[due_end_] = *std::launder(reinterpret_cast<const Datagram*>(due_blocks_[due_end_].data()));
      ++due_end_;
    }
  }
  return std::span(due_).subspan(due_begin_, due_end_ - due_begin_);
}

template <class Datagram>
void DelayLine<Datagram>::done(std::size_t count) {
  assert(count <= due_end_ - due_begin_);
  due_begin_ += count;
}

template class DelayLine<OutgoingDatagram>;
template class DelayLine<ReceivedDatagram>;

}  // namespace hawser
