// A bad network on purpose, for real traffic: what stands between an endpoint and its socket while it is on.
// Each direction passes the model of link_model.hpp once.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/block_pool.hpp"
#include "base/random.hpp"
#include "base/siphash.hpp"
#include "base/time.hpp"
#include "engine/datagram.hpp"
#include "io/link_model.hpp"

namespace hawser {

struct ImpairmentSettings {
  // Of each direction. The rate and its queue are those of the whole socket, whoever the peer is.
  LinkSettings link;
  // The same seed makes the same choices for the same datagrams at the same times.
  std::uint64_t seed = 0;
};

// What became of the datagrams of both directions. Every cell is a u64, so that the whole may be viewed as an
// array of them.
struct ImpairmentCounters {
  std::uint64_t lost = 0;        // by chance
  std::uint64_t queue_full = 0;  // lost because more waited for the limited rate than its queue holds
  std::uint64_t no_room = 0;     // lost because more was in flight than a DelayLine keeps
  std::uint64_t duplicated = 0;
  std::uint64_t held_back = 0;  // so that later ones overtake them
};

// The datagrams of one direction that are on their way. `Datagram`: OutgoingDatagram or ReceivedDatagram.
// Datagrams from or to one remote address arrive in the order in which they were put, but for those that the
// model holds back.
template <class Datagram>
class DelayLine {
 public:
  // What due() gives at most at a time.
  static constexpr std::size_t kBatch = 64;
  // Memory of datagrams in flight, each rounded up to a power of two together with its addresses.
  static constexpr std::size_t kMaxBytes = std::size_t{64} * 1024 * 1024;

  // `random` and `counters` outlive the line.
  DelayLine(const LinkSettings& settings, RandomSource& random, ImpairmentCounters& counters,
            std::size_t max_bytes = kMaxBytes);
  DelayLine(const DelayLine&) = delete;
  DelayLine& operator=(const DelayLine&) = delete;
  ~DelayLine();

  // Copies a datagram of at most 65,535 bytes and sends it on its way, or loses it and counts why.
  void put(const Datagram& datagram, Instant now);

  // When the next one arrives; at once when due() has given some that are not done; kNever when none is left.
  [[nodiscard]] Instant next_due() const;

  // Those that have arrived by `now`, the earliest first, at most kBatch; the same ones again until they are
  // done. They stay valid until the next call of this.
  [[nodiscard]] std::span<const Datagram> due(Instant now);
  // The first `count` of what due() gave are no longer wanted.
  void done(std::size_t count);

 private:
  // A block begins with its Datagram, whose bytes follow behind it.
  struct InFlight {
    Instant arrival;
    std::uint64_t sequence;
    Block block;

    // For a heap whose front arrives first.
    friend bool operator<(const InFlight& a, const InFlight& b) {
      return a.arrival != b.arrival ? a.arrival > b.arrival : a.sequence > b.sequence;
    }
  };

  // Remote addresses that share one order at most: a table of fixed size needs no bookkeeping of strangers.
  static constexpr std::size_t kOrders = 16'384;

  bool keep(const Datagram& datagram, const LinkCopy& copy);

  LinkSettings settings_;
  LinkModel model_;
  ImpairmentCounters& counters_;
  SipKey order_key_;
  LinkQueue queue_;
  std::vector<Instant> last_arrivals_;  // by hash of the remote address
  std::uint64_t next_sequence_ = 0;
  BlockPool pool_;
  std::vector<InFlight> in_flight_;  // a heap
  std::array<Block, kBatch> due_blocks_;
  std::array<Datagram, kBatch> due_{};
  std::size_t due_begin_ = 0;
  std::size_t due_end_ = 0;
};

extern template class DelayLine<OutgoingDatagram>;
extern template class DelayLine<ReceivedDatagram>;

class Impairment {
 public:
  // `counters` outlive it.
  Impairment(const ImpairmentSettings& settings, ImpairmentCounters& counters)
      : outgoing_random_(settings.seed),
        // Any other seed than the one of the other direction.
        incoming_random_(~settings.seed),
        outgoing_(settings.link, outgoing_random_, counters),
        incoming_(settings.link, incoming_random_, counters) {}

  [[nodiscard]] DelayLine<OutgoingDatagram>& outgoing() { return outgoing_; }
  [[nodiscard]] DelayLine<ReceivedDatagram>& incoming() { return incoming_; }

 private:
  SeededRandom outgoing_random_;
  SeededRandom incoming_random_;
  DelayLine<OutgoingDatagram> outgoing_;
  DelayLine<ReceivedDatagram> incoming_;
};

}  // namespace hawser
