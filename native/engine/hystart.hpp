#pragma once

#include <algorithm>
#include <cstdint>

// HyStart++ (RFC 9406): what both congestion controllers know of it.
namespace hawser::hystart {

// By how much a round trip has to be longer than the least one for a queue to have grown: RttThresh of
// section 4.2 with the constants of section 4.3, in microseconds.
[[nodiscard]] constexpr std::uint32_t rtt_thresh(std::uint32_t min_rtt) {
  return std::clamp<std::uint32_t>(min_rtt / 8, 4'000, 16'000);
}

}  // namespace hawser::hystart
