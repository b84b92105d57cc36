// When the published status of peers is refreshed.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/slot_pool.hpp"
#include "base/time.hpp"

namespace hawser {

// Between the beginnings of two rounds of StatusSchedule. A change of a peer's status is published at most so
// much and 16 turns later.
inline constexpr Duration kStatusInterval = std::chrono::milliseconds(250);

// Part of a peer that StatusSchedule owns.
struct StatusMark {
  enum class State : std::uint8_t {
    kPublished,  // no change since the last publication
    kWaits,      // changed; published by the next round
    kDue,        // changed; published at the end of the turn
  };
  State state = State::kPublished;
  // Published recently: the next change waits for a round.
  bool resting = false;
};

// A change is published at the end of the turn if the peer has not been published recently, and otherwise by
// a round over all recently published peers, which begins every kStatusInterval. A peer without traffic costs
// nothing, and one with traffic at most two publications in each interval, however many packets it has.
class StatusSchedule {
 public:
  // The peer's status has changed; `mark` is its own.
  void changed(StatusMark& mark, Handle peer) {
    if (mark.state != StatusMark::State::kPublished) return;
    if (!mark.resting) return due(mark, peer);
    mark.state = StatusMark::State::kWaits;
    ++waiting_;
  }

  // The status has to be published at the end of the turn.
  void due(StatusMark& mark, Handle peer) {
    if (mark.state == StatusMark::State::kDue) return;
    if (mark.state == StatusMark::State::kWaits) --waiting_;
    mark.state = StatusMark::State::kDue;
    due_.push_back(peer);
  }

  // The peer is about to be destroyed.
  void forget(StatusMark& mark) {
    if (mark.state == StatusMark::State::kWaits) --waiting_;
    mark = StatusMark();
  }

  // Publishes what is due. Calls publish(Handle), which returns the peer's mark, or nullptr when it is gone.
  template <class Publish>
  void publish_due(Publish&& publish) {
    for (const Handle peer : due_) {
      StatusMark* const mark = publish(peer);
      if (mark == nullptr) continue;
      mark->state = StatusMark::State::kPublished;
      if (mark->resting) continue;
      mark->resting = true;
      resting_.push_back(peer);
    }
    due_.clear();
  }

  // Goes on with the round whose time has come. Calls find(Handle), which returns the peer's mark, or nullptr
  // when it is gone, and publish(Handle).
  template <class Find, class Publish>
  void run_round(Instant now, Find&& find, Publish&& publish) {
    if (now < next_round_) return;
    if (at_ == 0) {
      began_ = now;
      end_ = resting_.size();
    }
    const std::size_t stop = std::min(end_, at_ + std::max(kLeastAtOnce, end_ / kMostTurns + 1));
    while (at_ < stop) {
      const Handle peer = resting_[at_++];
      StatusMark* const mark = find(peer);
      if (mark == nullptr) continue;
      if (mark->state == StatusMark::State::kPublished) {
        mark->resting = false;
        continue;
      }
      if (mark->state == StatusMark::State::kWaits) {
        publish(peer);
        mark->state = StatusMark::State::kPublished;
        --waiting_;
      }
      resting_[kept_++] = peer;
    }
    if (at_ < end_) return;
    using Difference = std::vector<Handle>::difference_type;
    resting_.erase(resting_.begin() + static_cast<Difference>(kept_),
                   resting_.begin() + static_cast<Difference>(end_));
    release_unused(resting_);
    release_unused(due_);
    at_ = kept_ = 0;
    next_round_ = began_ + kStatusInterval;
  }

  // When run_round() has something to publish. Peers that only stop resting wait for any later turn.
  [[nodiscard]] Instant next_deadline() const { return waiting_ > 0 ? next_round_ : kNever; }

  [[nodiscard]] std::size_t allocated_bytes() const {
    return (due_.capacity() + resting_.capacity()) * sizeof(Handle);
  }

 private:
  // A round over many peers is divided among turns, so that none delays packets for long.
  static constexpr std::size_t kLeastAtOnce = 256;
  static constexpr std::size_t kMostTurns = 16;

  // Gives back what a time with many more peers has left behind.
  void release_unused(std::vector<Handle>& peers) const {
    if (peers.capacity() > kLeastAtOnce && resting_.size() < peers.capacity() / 4) peers.shrink_to_fit();
  }

  std::vector<Handle> due_;
  std::vector<Handle> resting_;
  std::size_t waiting_ = 0;
  // Of the round under way: the next peer, the number kept so far, and where the round ends.
  std::size_t at_ = 0;
  std::size_t kept_ = 0;
  std::size_t end_ = 0;
  Instant began_{};
  Instant next_round_{};
};

}  // namespace hawser
