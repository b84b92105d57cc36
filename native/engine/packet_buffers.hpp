#pragma once

#include <chrono>
#include <cstddef>

#include "base/buffer_pool.hpp"
#include "base/time.hpp"

namespace hawser {

// Buffers of the packets that an endpoint writes. Endpoints of one thread can share them.
struct PacketBuffers {
  // Memory for packets that was not needed for this long is released. Longer than the longest keep-alive
  // interval (25 s), so that connections which only keep themselves alive allocate nothing.
  static constexpr Duration kReleaseInterval = std::chrono::seconds(30);
  // The longest datagram on an Ethernet: nearly all are no longer.
  static constexpr std::size_t kUsualBytes = 1472;

  // `longest`: bytes of the longest datagram to send. `most`: buffers of each kind, at most.
  PacketBuffers(std::size_t longest, std::size_t most)
      : usual(kUsualBytes, most), longer(longest > kUsualBytes ? longest : kUsualBytes, most) {}

  [[nodiscard]] std::size_t allocated_bytes() const {
    return usual.allocated_bytes() + longer.allocated_bytes();
  }

  // Releases what was not needed since the last call.
  void release_idle() {
    usual.release_idle();
    longer.release_idle();
  }
  // Releases everything if nothing is in use.
  void release_unused() {
    if (usual.in_use() + longer.in_use() > 0) return;
    // The first call finds the buffers that were in use before.
    release_idle();
    release_idle();
  }
  // Releases what was not needed since the last call, but once in each interval: for endpoints that share the
  // buffers.
  void release_idle_shared(Instant now) {
    if (now < next_release_) return;
    next_release_ = now + kReleaseInterval;
    release_idle();
  }

  BufferPool usual;
  // For paths that carry more.
  BufferPool longer;

 private:
  Instant next_release_{};
};

}  // namespace hawser
