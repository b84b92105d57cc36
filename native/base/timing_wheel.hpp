#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/time.hpp"

namespace hawser {

// One timer, a member of the object it belongs to: the wheel does not own it. It cannot move, and its owner
// cancels it before it dies.
struct TimerNode {
  TimerNode() = default;
  TimerNode(const TimerNode&) = delete;
  TimerNode& operator=(const TimerNode&) = delete;
  ~TimerNode() { assert(!armed() && "cancel a timer before destroying it"); }

  [[nodiscard]] bool armed() const { return next != nullptr; }

  TimerNode* prev = nullptr;
  TimerNode* next = nullptr;
  Instant deadline = kNever;  // as given to arm(); kNever while not armed
  std::uint64_t tick = 0;     // the tick at which the wheel fires it; the wheel's own
};

// Hierarchical timing wheel (Varghese and Lauck, "Hashed and hierarchical timing wheels", 1987) with ticks of
// 1 ms. arm, cancel and next_deadline are O(1), firing is O(1) amortised (a timer moves down at most once per
// level), and advancing over a gap costs what lies in it, not its length. Nine levels of 64 slots hold every
// instant before kNever, so no deadline is too far. The memory of a level, 512 bytes, is allocated when it is
// used and goes on to the next level that is, once it is empty: a wheel holds as many as were in use at a
// time.
//
// A timer at tick T lives at the level of the highest base-64 digit in which T differs from the current tick,
// in the slot of T's digit there. Time never passes over a slot in use without emptying it, so that level and
// slot remain right until then, every slot in use is ahead of the current digit, and lower levels are always
// due before higher ones.
class TimingWheel {
 public:
  static constexpr Duration kTick = std::chrono::milliseconds(1);

  // `start`: the present; not before the epoch.
  explicit TimingWheel(Instant start) : current_(floor_tick(start)), earliest_(current_ + 1) {
    assert(start >= Instant());
  }
  TimingWheel(const TimingWheel&) = delete;
  TimingWheel& operator=(const TimingWheel&) = delete;
  ~TimingWheel() { assert(size_ == 0 && "cancel all timers before destroying the wheel"); }

  // Timers armed.
  [[nodiscard]] std::size_t size() const { return size_; }

  // Sets the timer to fire in the first advance() that reaches `deadline`, rounded up to the tick. One that
  // is armed already is moved. A deadline that has passed fires at the next tick. kNever cancels.
  void arm(TimerNode& node, Instant deadline) {
    cancel(node);
    if (deadline == kNever) return;
    node.deadline = deadline;
    node.tick = std::max(ceiling_tick(deadline), earliest_);
    link(node);
    ++size_;
  }

  // Does nothing to a timer that is not armed.
  void cancel(TimerNode& node) {
    if (!node.armed()) return;
    unlink(node);
    --size_;
  }

  // Moves the present to `now` and calls fire(TimerNode&) for each timer due by then, in the order of their
  // ticks and within a tick in a fixed order that only depends on the calls made. A timer is disarmed before
  // it is fired. fire may arm and cancel any timer, itself included, and destroy the one it is given; it must
  // not call advance(). What it arms runs in a later advance() at the earliest, even if its deadline has
  // passed: each timer fires at most once per call. A `now` before the present does nothing.
  template <class F>
  void advance(Instant now, F&& fire) {
    assert(now >= Instant());
    const std::uint64_t target = floor_tick(now);
    if (target <= current_) return;
    earliest_ = target + 1;
    while (levels_in_use_ != 0) {
      const auto level = static_cast<unsigned>(std::countr_zero(levels_in_use_));
      const std::uint64_t due = first_tick(level);
      if (due > target) break;
      current_ = due;
      const unsigned slot = digit(due, level);
      if (level == 0) {
        while (slot_in_use(0, slot)) {
          TimerNode& node = *(*heads_[0])[slot];
          unlink(node);
          --size_;
          fire(node);
        }
      } else {
        while (slot_in_use(level, slot)) {
          TimerNode& node = *(*heads_[level])[slot];
          remove(node, level, slot);
          link(node);
        }
      }
    }
    current_ = target;
  }

  // No timer fires before this; kNever when none is armed. Exact for timers due within the present run of 64
  // ticks, for later ones the start of the slot that holds them: calling advance() then brings a better
  // answer. Always after the `now` of the last advance().
  [[nodiscard]] Instant next_deadline() const {
    if (levels_in_use_ == 0) return kNever;
    const std::uint64_t tick = first_tick(static_cast<unsigned>(std::countr_zero(levels_in_use_)));
    return Instant(kTick * static_cast<Duration::rep>(tick));
  }

 private:
  static constexpr unsigned kDigitBits = 6;
  static constexpr unsigned kSlots = 1U << kDigitBits;
  static constexpr unsigned kLevels = 9;
  using Level = std::array<TimerNode*, kSlots>;
  static constexpr std::uint64_t kLastTick = static_cast<std::uint64_t>(kNever.time_since_epoch() / kTick);
  static_assert((kLastTick >> (kDigitBits * (kLevels - 1))) < kSlots);

  static std::uint64_t floor_tick(Instant instant) {
    return static_cast<std::uint64_t>(instant.time_since_epoch() / kTick);
  }

  static std::uint64_t ceiling_tick(Instant instant) {
    if (instant < Instant()) return 0;
    const std::uint64_t down = floor_tick(instant);
    const bool whole = instant.time_since_epoch() % kTick == Duration::zero();
    return whole ? down : std::min(down + 1, kLastTick);
  }

  static unsigned digit(std::uint64_t tick, unsigned level) {
    return static_cast<unsigned>(tick >> (kDigitBits * level)) % kSlots;
  }

  [[nodiscard]] unsigned level_of(std::uint64_t tick) const {
    const std::uint64_t difference = (tick ^ current_) | 1U;
    return (static_cast<unsigned>(std::bit_width(difference)) - 1) / kDigitBits;
  }

  // An empty slot may have lost its memory: another level may have it.
  [[nodiscard]] bool slot_in_use(unsigned level, unsigned slot) const {
    return ((slots_in_use_[level] >> slot) & 1U) != 0;
  }

  // The first tick of the first slot in use at a level that has one.
  [[nodiscard]] std::uint64_t first_tick(unsigned level) const {
    const auto slot = static_cast<std::uint64_t>(std::countr_zero(slots_in_use_[level]));
    const unsigned shift = kDigitBits * level;
    const std::uint64_t above = current_ >> shift >> kDigitBits;
    return ((above << kDigitBits) | slot) << shift;
  }

  // Appends to its slot. Slots are circular lists, so that the head's prev is the tail.
  void link(TimerNode& node) {
    const unsigned level = level_of(node.tick);
    const unsigned slot = digit(node.tick, level);
    if (!heads_[level]) provide(level);
    TimerNode*& head = (*heads_[level])[slot];
    if (head == nullptr) {
      head = node.prev = node.next = &node;
      slots_in_use_[level] |= std::uint64_t{1} << slot;
      levels_in_use_ |= 1U << level;
      return;
    }
    node.prev = head->prev;
    node.next = head;
    head->prev->next = &node;
    head->prev = &node;
  }

  // Gives a level memory: that of a level without timers, if there is one. It has no heads left in it.
  void provide(unsigned level) {
    const auto idle = std::ranges::find_if(heads_, [this](const std::unique_ptr<Level>& heads) {
      return heads && ((levels_in_use_ >> (&heads - heads_.data())) & 1U) == 0;
    });
    heads_[level] = idle != heads_.end() ? std::move(*idle) : std::make_unique<Level>();
  }

  void unlink(TimerNode& node) {
    const unsigned level = level_of(node.tick);
    remove(node, level, digit(node.tick, level));
    node.deadline = kNever;
  }

  void remove(TimerNode& node, unsigned level, unsigned slot) {
    TimerNode*& head = (*heads_[level])[slot];
    if (node.next == &node) {
      head = nullptr;
      slots_in_use_[level] &= ~(std::uint64_t{1} << slot);
      if (slots_in_use_[level] == 0) levels_in_use_ &= ~(1U << level);
    } else {
      node.prev->next = node.next;
      node.next->prev = node.prev;
      if (head == &node) head = node.next;
    }
    node.prev = node.next = nullptr;
  }

  std::uint64_t current_;   // the tick that everything due was fired for
  std::uint64_t earliest_;  // what is armed now fires no earlier than this tick
  std::size_t size_ = 0;
  std::uint32_t levels_in_use_ = 0;
  std::array<std::uint64_t, kLevels> slots_in_use_{};
  std::array<std::unique_ptr<Level>, kLevels> heads_;
};

}  // namespace hawser
