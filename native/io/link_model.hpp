// The one model of a bad network: what becomes of a datagram on a link, and when it arrives. The simulation
// and the impairment of real traffic both ask it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/random.hpp"
#include "base/time.hpp"

namespace hawser {

// How datagrams fare on the way from one address to another. Rates are 0 to 1; sizes are UDP payload.
struct LinkSettings {
  double loss_rate = 0;
  double duplicate_rate = 0;
  // Of the datagrams that are held back so that later ones overtake them.
  double reorder_rate = 0;
  Duration delay = std::chrono::milliseconds(1);
  Duration jitter{};  // added to the delay, 0 to this, evenly distributed
  // Whether datagrams overtake each other by their jitter alone. Otherwise those that are not held back
  // arrive in order, each no sooner than the one before.
  bool jitter_reorders = false;
  // How much later than without it one that is held back arrives, evenly distributed. Where jitter keeps the
  // order, the jitter is added to it, so that it is overtaken.
  Duration least_hold_back{1};
  Duration most_hold_back = std::chrono::milliseconds(10);
  std::uint64_t bytes_per_second = 0;     // 0: no limit
  std::uint64_t queue_bytes = 64 * 1024;  // what a limited link has yet to send at most; more is dropped
  // A datagram that is ECT (RFC 3168) and finds more than this before a limited link is marked CE; 0: none.
  std::uint64_t ecn_mark_bytes = 0;
  std::size_t mtu_bytes = 0;  // the longest datagram that passes; 0: no limit
  // Of a simulation: all pairs of addresses that the rule covers share one rate and its queue. Otherwise each
  // pair has its own.
  bool shared_bottleneck = false;
  bool up = true;
};

enum class LinkFate : std::uint8_t { kArrives, kLost, kTooLong, kQueueFull, kCutOff };

// What a limited link has yet to send. Exact: no byte is forgotten by rounding, however long the link is
// busy.
class LinkQueue {
 public:
  // In bytes; what is left of a datagram that is being sent counts, rounded up.
  [[nodiscard]] std::uint64_t backlog_bytes(std::uint64_t bytes_per_second, Instant now) const;

  // The instant by which a datagram that comes now has been sent, given that it fits; it waits from here on.
  // `bytes_per_second` > 0.
  [[nodiscard]] Instant append(std::uint64_t bytes_per_second, std::size_t size, Instant now);

 private:
  // Millionths of a byte: in a microsecond the link sends as many of them as bytes in a second.
  [[nodiscard]] std::uint64_t backlog(std::uint64_t bytes_per_second, Instant now) const;

  std::uint64_t backlog_ = 0;
  Instant as_of_{};
};

// One of the datagrams that arrive for one that was sent.
struct LinkCopy {
  LinkFate fate = LinkFate::kArrives;
  std::uint8_t ecn = 0;    // the two bits with which it arrives
  bool held_back = false;  // later ones may overtake it
  bool marked = false;     // the link set the ECN bits to CE
  Instant arrival{};       // of one that arrives
};

// The copies of one datagram: one, or two when it was duplicated.
struct LinkPassage {
  [[nodiscard]] std::span<const LinkCopy> copies() const { return std::span(places).first(count); }

  std::array<LinkCopy, 2> places{};
  std::size_t count = 1;
};

class LinkModel {
 public:
  // Bounds of what settings may ask for, so that no sum overflows; more is taken as this.
  static constexpr std::uint64_t kMaxQueueBytes = std::uint64_t{1} << 40U;

  // Draws from `random`, which outlives the model.
  explicit LinkModel(RandomSource& random) : random_(random) {}

  // Sends a datagram of `size` bytes, at most 65,535, with the two ECN bits `ecn`. `queue`: what waits before
  // the same bottleneck. `last_arrival`: the latest arrival so far of what must arrive in order with this
  // one; both are kept up to date. One seed gives one exact run as long as the same calls are made.
  [[nodiscard]] LinkPassage pass(const LinkSettings& settings, LinkQueue& queue, Instant& last_arrival,
                                 Instant now, std::size_t size, std::uint8_t ecn);

 private:
  LinkCopy deliver(const LinkSettings& settings, LinkQueue& queue, Instant& last_arrival, Instant now,
                   std::size_t size, std::uint8_t ecn);
  [[nodiscard]] bool chance(double rate);
  [[nodiscard]] Duration up_to(Duration limit);

  RandomSource& random_;
};

}  // namespace hawser
