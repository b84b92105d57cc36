#include "engine/congestion_controller.hpp"

#include "engine/bbr.hpp"
#include "engine/cubic.hpp"

namespace hawser {

std::unique_ptr<CongestionController> make_congestion_controller(CongestionAlgorithm algorithm,
                                                                 std::size_t max_datagram, Instant now) {
  if (algorithm == CongestionAlgorithm::kCubic) return std::make_unique<Cubic>(max_datagram);
  return std::make_unique<Bbr>(max_datagram, now);
}

}  // namespace hawser
