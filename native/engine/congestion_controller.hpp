// What loss recovery and the sender know of a congestion controller (RFC 9002 section 7). One object for each
// connection that sends what is acknowledged; Bbr and Cubic implement it.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/time.hpp"
#include "engine/round_trip.hpp"

namespace hawser {

enum class CongestionAlgorithm : std::uint8_t { kBbr, kCubic };

// What is noted with each packet in flight, for the delivery rate (draft-ietf-ccwg-bbr section 4.1). The
// controller fills it when the packet is sent and gets it back when the packet is acknowledged or lost.
struct DeliverySnapshot {
  Instant first_sent;           // of the packets that the rate sample counts
  Instant delivered_at;         // of the newest acknowledgement then
  std::uint64_t delivered = 0;  // bytes delivered by then
  std::uint64_t lost = 0;       // bytes lost by then
  std::uint32_t in_flight = 0;  // bytes, this packet included
  bool app_limited = false;
};

// A packet in flight, as the controller sees it.
struct SentPacketInfo {
  std::uint64_t number = 0;
  Instant sent;
  std::uint32_t bytes = 0;  // UDP payload
  DeliverySnapshot snapshot;
};

// The end of one ACK frame's work: all of its packets, and those that were lost by it, have been told.
struct AckSummary {
  Instant now;
  // The sample this ACK gave, its delay taken off; zero for none (RFC 9002 section 5.1).
  Duration latest_round_trip{};
  const RoundTrip* round_trip = nullptr;
  std::uint64_t largest_acked = 0;  // packet number
  std::uint64_t next_number = 0;    // of the next packet to be sent
  std::size_t acked_bytes = 0;      // newly, by this ACK
  std::size_t lost_bytes = 0;       // newly, by this ACK
  std::size_t in_flight = 0;        // bytes left
  std::uint64_t newly_marked = 0;   // packets newly reported as CE-marked (RFC 3168)
};

class CongestionController {
 public:
  CongestionController() = default;
  CongestionController(const CongestionController&) = delete;
  CongestionController& operator=(const CongestionController&) = delete;
  virtual ~CongestionController() = default;

  // A packet is sent. `in_flight`: bytes before it. Fills packet.snapshot.
  virtual void on_sent(SentPacketInfo& packet, std::size_t in_flight) = 0;

  // The order for one ACK frame, and for a loss timer that fires: on_acked for each newly acknowledged packet
  // that was declared lost, in any order, on_losses_undone, on_acked for each of the others, on_lost for each
  // that is declared lost, both in ascending order, then on_ack_done once (after a timer with acked_bytes 0).
  virtual void on_acked(const SentPacketInfo& packet, Instant now) = 0;
  virtual void on_lost(const SentPacketInfo& packet, Instant now) = 0;
  virtual void on_ack_done(const AckSummary& summary) = 0;

  // A congestion episode begins with the next on_lost. One answer is enough for the losses of all packets
  // that were sent before that (RFC 9002 section 7.3.2). Remembers the state that this answer changes.
  virtual void on_losses_begin() = 0;
  // All packets of the newest episode that were declared lost have been acknowledged. Restores the state that
  // on_losses_begin() remembered. No bound or window becomes greater than it was (RFC 4015 section 3).
  virtual void on_losses_undone() = 0;

  // RFC 9002 section 7.6: everything in a long period was lost.
  virtual void on_persistent_congestion(Instant now) = 0;

  // The sender had room in the window and nothing to send.
  virtual void on_app_limited(std::size_t in_flight) = 0;

  // The path's datagram size changed, or the path itself (`fresh`): then all that was learnt is forgotten.
  virtual void on_path(std::size_t max_datagram, bool fresh, Instant now) = 0;

  // Bytes that may be in flight.
  [[nodiscard]] virtual std::size_t window() const = 0;
  // Bytes a second; never 0. Before the first round trip sample: the initial window over RoundTrip::kInitial,
  // so that a new connection sends its first window at once only as far as Pacer's burst allows.
  [[nodiscard]] virtual std::uint64_t pacing_rate() const = 0;
};

// RFC 9002 section 7.2, in bytes.
[[nodiscard]] constexpr std::size_t initial_window(std::size_t max_datagram) {
  return std::min(10 * max_datagram, std::max<std::size_t>(2 * max_datagram, 14'720));
}

// `max_datagram`: UDP payload bytes of a full packet, 1,200 or more.
[[nodiscard]] std::unique_ptr<CongestionController> make_congestion_controller(CongestionAlgorithm algorithm,
                                                                               std::size_t max_datagram,
                                                                               Instant now);

}  // namespace hawser
