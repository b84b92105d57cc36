#pragma once

#include <cstddef>
#include <cstdint>

#include "base/time.hpp"

namespace hawser {

// Datagram packetization layer path MTU discovery (RFC 8899; docs/protocol.md section 15) for one direction
// of one connection, on one path: another path takes another object. It decides which size to probe when;
// sending, acknowledgements and losses are the caller's. Sizes are those of datagrams, the UDP payload.
class PathMtu {
 public:
  // What every path carries.
  static constexpr std::size_t kBase = 1200;
  // RFC 8899 section 5.1.2: MAX_PROBES and PMTU_RAISE_TIMER.
  static constexpr std::uint8_t kMaxProbes = 3;
  static constexpr Duration kRaise = std::chrono::seconds(600);
  static constexpr Duration kLeastProbeTimeout = std::chrono::seconds(1);
  // Flights in a row that lost long packets, with none acknowledged: the path does not carry them any more.
  static constexpr std::uint8_t kMaxLostFlights = 3;
  // How long after a black hole the search begins anew, doubled each time, at most kRaise.
  static constexpr Duration kBlackHolePause = std::chrono::seconds(10);

  // No discovery: kBase for ever.
  PathMtu() = default;
  // `limit`: the lesser of the other side's longest datagram and one's own; kBase or less switches discovery
  // off.
  PathMtu(std::size_t limit, bool ipv6);

  // The longest datagram to send.
  [[nodiscard]] std::size_t current() const { return current_; }

  // There is use for a longer datagram: one was filled, or a message did not fit. Idle and slow connections
  // never search.
  void want_more() { wanted_ = wanted_ || current_ < limit_; }

  // The size to probe now; 0 for none. Cheap: to be asked whenever packets are sent.
  [[nodiscard]] std::size_t next_probe(Instant now) const;
  // A packet of that many bytes was sent with this number. `pto` of the path.
  void on_probe_sent(std::size_t size, std::uint64_t number, Instant now, Duration pto);
  // The packet of this number was acknowledged, or declared lost. Others than the probe under way change
  // nothing.
  void on_probe_acked(std::uint64_t number, Instant now);
  void on_probe_lost(std::uint64_t number, Instant now);
  // The system refused a probe of `size` bytes: the interface does not carry it. Concludes the probe under
  // way if it has that size.
  void on_probe_too_long(std::size_t size, Instant now);
  // The probe under way has had its time; otherwise nothing.
  void on_timer(Instant now);
  // Of the probe under way; kNever without one. A search that could begin or go on waits for the next packet.
  [[nodiscard]] Instant next_deadline() const { return probe_ != 0 ? deadline_ : kNever; }

  // A packet that is no probe, of `size` bytes, was acknowledged.
  void on_packet_acked(std::size_t size) {
    if (size > kBase) lost_flights_ = 0;
  }
  // Likewise declared lost; `next_number` is that of the next packet to be sent. True when the path turned
  // out to be a black hole: current() is kBase now.
  [[nodiscard]] bool on_packet_lost(std::size_t size, std::uint64_t number, std::uint64_t next_number,
                                    Instant now);

 private:
  // Positions among the candidates: those of the table below the limit, then the limit.
  [[nodiscard]] std::size_t candidate(std::uint8_t index) const;
  void begin();
  void choose();
  void conclude_probe(bool passed, Instant now);
  void rest_until(Instant when);

  std::uint16_t limit_ = kBase;
  std::uint16_t current_ = kBase;
  std::uint16_t probe_ = 0;    // size of the probe under way
  std::uint8_t overhead_ = 0;  // of the headers of IP and UDP
  std::uint8_t count_ = 0;     // of candidates
  std::uint8_t next_ = 0;      // the candidate to try; count_ when nothing is left
  std::uint8_t passed_ = 0;    // candidates below this one need no probe
  std::uint8_t failed_ = 0;    // this one and those above do not pass
  std::uint8_t lost_probes_ = 0;
  std::uint8_t lost_flights_ = 0;
  std::uint8_t black_holes_ = 0;
  bool wanted_ = false;
  std::uint64_t probe_number_ = 0;
  std::uint64_t flight_end_ = 0;  // what was sent from this number on is another flight
  Instant deadline_{};            // of the probe under way; without one when the search may go on
};
static_assert(sizeof(PathMtu) <= 48);

}  // namespace hawser
