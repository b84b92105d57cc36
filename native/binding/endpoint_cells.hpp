// Figures of one endpoint that JavaScript reads without a call, in one piece of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <span>

#include "base/shared_memory.hpp"
#include "engine/counters.hpp"
#include "io/driver.hpp"
#include "io/transmit_slab.hpp"

namespace hawser::binding {

class EndpointCells {
  static constexpr std::size_t kCacheLine = 64;

 public:
  explicit EndpointCells(std::uint32_t sessions)
      : sessions_(sessions),
        memory_(peer_flags_at() + sessions),
        driver_counters_(*new (memory_.data() + kDriverCountersAt) DriverCounters()) {}

  static constexpr std::size_t kCountersAt = 0;
  static constexpr std::size_t kDriverCountersAt = kCounterCount * sizeof(std::uint64_t);
  // Header of the transmit slab. JavaScript writes there at each send(), a thread of the endpoint all around
  // it: they share no cache line, however the memory is aligned.
  static constexpr std::size_t kTransmitAt = kDriverCountersAt + sizeof(DriverCounters) + kCacheLine;
  // u16 for each session: EndpointOptions::peer_max_unreliable.
  static constexpr std::size_t kPeerMaxUnreliableAt = kTransmitAt + TransmitSlab::kHeaderBytes + kCacheLine;
  // Byte of PeerFlag bits for each session.
  [[nodiscard]] std::size_t peer_flags_at() const {
    return kPeerMaxUnreliableAt + sessions_ * sizeof(std::uint16_t);
  }

  [[nodiscard]] std::uint32_t sessions() const { return sessions_; }
  [[nodiscard]] const SharedMemory& memory() const { return memory_; }
  [[nodiscard]] Counters counters() const {
    return Counters(std::span<std::uint64_t, kCounterCount>(
        reinterpret_cast<std::uint64_t*>(memory_.data() + kCountersAt), kCounterCount));
  }
  [[nodiscard]] DriverCounters& driver_counters() const { return driver_counters_; }
  [[nodiscard]] std::span<std::uint16_t> peer_max_unreliable() const {
    return {reinterpret_cast<std::uint16_t*>(memory_.data() + kPeerMaxUnreliableAt), sessions_};
  }
  [[nodiscard]] std::span<std::uint8_t> peer_flags() const {
    return {reinterpret_cast<std::uint8_t*>(memory_.data() + peer_flags_at()), sessions_};
  }

 private:
  std::uint32_t sessions_;
  SharedMemory memory_;
  DriverCounters& driver_counters_;
};

}  // namespace hawser::binding
