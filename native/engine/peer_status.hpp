// Status of one peer: what the user of an endpoint can ask about it.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "base/address.hpp"
#include "base/time.hpp"

namespace hawser {

// Figures of a peer: type, name, type in the published cell, and name in JavaScript, where they have this
// order. A figure too large for its type in the cell is published as the greatest value of that type.
// Durations are unsigned microseconds in the cell and milliseconds in JavaScript.
#define HAWSER_PEER_FIGURES(X)                                             \
  /* Zero until measured. */                                               \
  X(Duration, round_trip, std::uint32_t, roundTrip)                        \
  X(Duration, round_trip_variation, std::uint32_t, roundTripVariation)     \
  X(Duration, minimum_round_trip, std::uint32_t, minimumRoundTrip)         \
  X(bool, clock_settled, std::uint8_t, clockSettled)                       \
  X(bool, connected, std::uint8_t, connected)                              \
  X(std::uint64_t, packets_sent, std::uint64_t, packetsSent)               \
  X(std::uint64_t, packets_received, std::uint64_t, packetsReceived)       \
  /* Bytes; zero until something was sent that has to arrive. */           \
  X(std::uint64_t, congestion_window, std::uint32_t, congestionWindow)     \
  X(std::uint64_t, bytes_in_flight, std::uint32_t, bytesInFlight)          \
  /* Bytes a second. */                                                    \
  X(std::uint64_t, pacing_rate, std::uint64_t, pacingRate)                 \
  X(std::uint64_t, queued_bytes, std::uint32_t, queuedBytes)               \
  X(std::uint64_t, packets_lost, std::uint64_t, packetsLost)               \
  X(std::uint32_t, max_datagram, std::uint16_t, maxDatagram)               \
  X(std::uint32_t, key_epoch, std::uint32_t, keyEpoch)                     \
  /* Longest message of an unreliable channel now, in bytes. */            \
  X(std::uint32_t, max_unreliable, std::uint16_t, maxUnreliable)           \
  /* Memory for messages: queued, in flight, acknowledged behind a gap. */ \
  X(std::uint64_t, held_bytes, std::uint32_t, heldBytes)

struct PeerStatus {
#define HAWSER_PEER_FIGURE(type, name, packed, js_name) type name{};
  HAWSER_PEER_FIGURES(HAWSER_PEER_FIGURE)
#undef HAWSER_PEER_FIGURE
  // Other side's clock minus this one's.
  Duration clock_offset{};
  SocketAddress remote;
};

// Names in JavaScript of the figures, then of the clock offset, which follows them.
inline constexpr auto kPeerFigureNames = std::to_array<const char*>({
#define HAWSER_PEER_FIGURE(type, name, packed, js_name) #js_name,
    HAWSER_PEER_FIGURES(HAWSER_PEER_FIGURE)
#undef HAWSER_PEER_FIGURE
        "clockOffset",
});
inline constexpr std::size_t kPeerFigures = kPeerFigureNames.size();

// A figure as JavaScript's number.
template <class T>
[[nodiscard]] double figure_number(T figure) {
  if constexpr (std::same_as<T, Duration>) {
    return std::chrono::duration<double, std::milli>(figure).count();
  } else {
    return static_cast<double>(figure);
  }
}

// All figures by their index in kPeerFigureNames.
[[nodiscard]] inline std::array<double, kPeerFigures> figure_numbers(const PeerStatus& status) {
  return {
#define HAWSER_PEER_FIGURE(type, name, packed, js_name) figure_number(status.name),
      HAWSER_PEER_FIGURES(HAWSER_PEER_FIGURE)
#undef HAWSER_PEER_FIGURE
          figure_number(status.clock_offset),
  };
}

}  // namespace hawser
