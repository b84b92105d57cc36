#pragma once

#include <cstddef>

#include "base/buffer_pool.hpp"

namespace hawser {

// Buffers of the packets that an endpoint writes. Endpoints of one thread can share them.
struct PacketBuffers {
  // The longest datagram on an Ethernet: nearly all are no longer.
  static constexpr std::size_t kUsualBytes = 1472;

  // `longest`: bytes of the longest datagram to send. `most`: buffers of each kind, at most.
  PacketBuffers(std::size_t longest, std::size_t most)
      : usual(kUsualBytes, most), longer(longest > kUsualBytes ? longest : kUsualBytes, most) {}

  [[nodiscard]] std::size_t allocated_bytes() const {
    return usual.allocated_bytes() + longer.allocated_bytes();
  }

  BufferPool usual;
  // For paths that carry more.
  BufferPool longer;
};

}  // namespace hawser
