// Flow control of reliable channels, at the receiver: how much the other side may send before the user has
// taken it, and when that grows (docs/protocol.md section 12, Credit).
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

namespace hawser {

// What a message of a reliable channel costs beside its length.
inline constexpr std::uint64_t kMessageCost = 64;

// Of one channel, or of all channels of a connection. The limit is what the other side may have sent since
// the connection began, in bytes; a raise puts it one window beyond what the user has taken.
struct Credit {
  static constexpr int kPartsTaken = 8;

  std::uint64_t limit;
  std::uint64_t received = 0;
  std::uint64_t consumed = 0;
  Instant raised{};
  std::uint32_t window;
  std::uint32_t longest;
  // The frame that told the limit was lost.
  bool untold = false;

  // `longest_message`: what the longest message costs.
  Credit(std::uint32_t first_window, std::uint32_t longest_message)
      : limit(first_window), window(first_window), longest(longest_message) {}

  // By so much the limit is raised at least: by a quarter of the window, so that telling it costs little;
  // sooner when the longest message might not fit into what is left: nothing else that its sender does would
  // raise the limit then.
  [[nodiscard]] std::uint64_t step() const {
    return std::max<std::uint64_t>(std::min(window / 4, window - std::min(window, longest)), 1);
  }
  [[nodiscard]] bool due() const { return untold || consumed + window >= limit + step(); }
  void raise(Instant now) {
    limit = std::max(limit, consumed + window);
    raised = now;
    untold = false;
  }

  // Whether the window holds the sender back, or is about to: since the last raise the user has taken at
  // least an eighth of it in each `round`. A sender that doubles its rate in each round trip needs four times
  // what was taken in the last one before a raise can reach it; and where packets are lost, what comes behind
  // a lost one is taken one or two round trips late.
  [[nodiscard]] bool is_short(Duration round, Instant now) const {
    if (consumed + window < limit + step()) return false;
    const auto taken = static_cast<double>(consumed + window - limit);
    return taken * static_cast<double>(round.count()) >=
           static_cast<double>(window) / kPartsTaken * static_cast<double>((now - raised).count());
  }
};

// By how much the windows of all connections together may be larger than their first ones. The shards of a
// gateway share one. Any thread may call any function.
class CreditBudget {
 public:
  // `limit` in bytes.
  explicit CreditBudget(std::uint64_t limit) : limit_(limit) {}

  [[nodiscard]] std::uint64_t in_use() const { return in_use_.load(std::memory_order_relaxed); }
  // Takes `bytes` for the window of a connection. False when that is more than a 32nd of what is left, so
  // that it takes many connections to leave nothing.
  [[nodiscard]] bool take(std::uint64_t bytes) {
    std::uint64_t used = in_use();
    do {
      if (bytes > (limit_ - used) / kParts) return false;
    } while (!in_use_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  void give_back(std::uint64_t bytes) { in_use_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  static constexpr std::uint64_t kParts = 32;

  std::uint64_t limit_;
  std::atomic<std::uint64_t> in_use_ = 0;
};

}  // namespace hawser
