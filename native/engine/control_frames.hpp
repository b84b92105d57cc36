#pragma once

#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/bytes.hpp"
#include "base/slot_pool.hpp"
#include "base/time.hpp"

namespace hawser {

// A frame that is sent until it is acknowledged.
struct ControlFrame {
  // KEY_UPDATE's 73 bytes are the most.
  static constexpr std::size_t kCapacity = 80;
  // Sendings whose acknowledgement is recognised: the newest four. With one only, a round trip longer than
  // the longest interval would never end the repetition.
  static constexpr std::size_t kRemembered = 4;

  [[nodiscard]] Bytes view() const { return Bytes(bytes).first(size); }

  std::array<std::byte, kCapacity> bytes{};
  std::array<std::uint64_t, kRemembered> packet_numbers{};  // of sending i at i % kRemembered
  Instant resend_at{};                                      // the epoch, so at once, until it is sent
  ControlFrame* next = nullptr;
  std::uint8_t size = 0;
  std::uint8_t tries = 0;  // sendings so far, as far as on_sent tells them apart
};

// Storage of all connections' control frames, of which few wait at a time.
using ControlFramePool = SlotPool<ControlFrame>;

// The reliable control frames of one connection (docs/protocol.md section 6, last rule), oldest first. The
// frames live in a pool that all connections share and that every function which needs it is given. `clear`
// before destruction.
class ControlFrames {
 public:
  // The most that wait for one connection, so that none can empty the pool.
  static constexpr std::uint32_t kMax = 16;
  static constexpr Duration kFirstInterval = std::chrono::milliseconds(200);
  static constexpr Duration kLongestInterval = std::chrono::seconds(2);

  ControlFrames() = default;
  ControlFrames(const ControlFrames&) = delete;
  ControlFrames& operator=(const ControlFrames&) = delete;
  ~ControlFrames() { assert(head_ == nullptr && "clear() gives the frames back to the pool"); }

  [[nodiscard]] bool empty() const { return head_ == nullptr; }
  [[nodiscard]] std::uint32_t size() const {
    std::uint32_t size = 0;
    for (const ControlFrame* frame = head_; frame != nullptr; frame = frame->next) ++size;
    return size;
  }

  // Appends an encoded frame of 1 to kCapacity bytes, due at once. False when kMax frames wait or the pool is
  // empty.
  [[nodiscard]] bool queue(ControlFramePool& pool, Bytes frame) {
    assert(!frame.empty() && frame.size() <= ControlFrame::kCapacity);
    if (size() == kMax) return false;
    ControlFrame* const added = pool.create();
    if (added == nullptr) return false;
    std::copy(frame.begin(), frame.end(), added->bytes.begin());
    added->size = static_cast<std::uint8_t>(frame.size());
    ControlFrame** end = &head_;
    while (*end != nullptr) end = &(*end)->next;
    *end = added;
    return true;
  }

  // Calls send(ControlFrame&) for each frame due at `now`, oldest first, until one returns false (no room in
  // the packet). Whoever sent it calls `on_sent` for it, at once or when the packet's number is known.
  template <class F>
  void for_each_due(Instant now, F&& send) {
    for (ControlFrame* frame = head_; frame != nullptr; frame = frame->next) {
      if (frame->resend_at <= now && !send(*frame)) return;
    }
  }

  // Notes that the frame went out in that packet, and sets when it goes out again: after
  // max(200 ms, 2 * smoothed_rtt), doubled each time, at most 2 s.
  static void on_sent(ControlFrame& frame, std::uint64_t packet_number, Instant now, Duration smoothed_rtt) {
    frame.packet_numbers[frame.tries % ControlFrame::kRemembered] = packet_number;
    Duration interval = std::min(std::max(kFirstInterval, smoothed_rtt * 2), kLongestInterval);
    for (unsigned i = 0; i < frame.tries && interval < kLongestInterval; ++i) interval *= 2;
    frame.resend_at = now + std::min(interval, kLongestInterval);
    // Back by a whole ring at the end, so that the place of the next sending stays the following one.
    const std::size_t sendings = frame.tries + std::size_t{1};
    frame.tries =
        static_cast<std::uint8_t>(sendings <= kMaxTries ? sendings : sendings - ControlFrame::kRemembered);
  }

  // Removes the frames that went out in a packet from `first` to `last`, both included; how many.
  std::uint32_t on_ack(ControlFramePool& pool, std::uint64_t first, std::uint64_t last) {
    std::uint32_t removed = 0;
    for (ControlFrame** at = &head_; *at != nullptr;) {
      if (went_out_in(**at, first, last)) {
        remove(pool, at);
        ++removed;
      } else {
        at = &(*at)->next;
      }
    }
    return removed;
  }

  // Removes the frames that begin with that type byte: nobody waits for them any more.
  void discard(ControlFramePool& pool, std::byte type) {
    for (ControlFrame** at = &head_; *at != nullptr;) {
      if ((*at)->bytes[0] == type) {
        remove(pool, at);
      } else {
        at = &(*at)->next;
      }
    }
  }

  // When the next frame is due: in the past if one waits to be sent, kNever if there is none.
  [[nodiscard]] Instant next_deadline() const {
    Instant earliest = kNever;
    for (const ControlFrame* frame = head_; frame != nullptr; frame = frame->next)
      earliest = std::min(earliest, frame->resend_at);
    return earliest;
  }

  // Gives all frames back to the pool.
  void clear(ControlFramePool& pool) {
    while (head_ != nullptr) remove(pool, &head_);
  }

 private:
  static constexpr std::uint8_t kMaxTries = 255;
  static_assert((kMaxTries + 1) % ControlFrame::kRemembered == 0);

  static bool went_out_in(const ControlFrame& frame, std::uint64_t first, std::uint64_t last) {
    const std::size_t count = std::min<std::size_t>(frame.tries, ControlFrame::kRemembered);
    return std::any_of(frame.packet_numbers.begin(),
                       frame.packet_numbers.begin() + static_cast<std::ptrdiff_t>(count),
                       [&](std::uint64_t number) { return first <= number && number <= last; });
  }

  void remove(ControlFramePool& pool, ControlFrame** at) {
    ControlFrame* const frame = *at;
    *at = frame->next;
    pool.destroy(*frame);
  }

  ControlFrame* head_ = nullptr;
};
static_assert(sizeof(ControlFrames) == 8);

}  // namespace hawser
