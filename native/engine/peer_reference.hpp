#pragma once

#include <cstdint>

#include "base/slot_pool.hpp"

namespace hawser {

// Names a peer of any shard.
struct PeerReference {
  std::uint32_t shard = 0;
  Handle peer;
  friend bool operator==(const PeerReference&, const PeerReference&) = default;
};

}  // namespace hawser
