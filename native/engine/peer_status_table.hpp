// Published status of all peers of an endpoint, which other threads read without a call.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/slot_pool.hpp"
#include "base/time.hpp"
#include "engine/clock_offset.hpp"
#include "engine/peer_status.hpp"

namespace hawser {

// One cell of 128 bytes for each slot that had a connected peer, guarded by a sequence lock. The endpoint's
// thread writes; any thread reads, and retries while a write is under way. Cells are allocated in groups when
// first used and live as long as the table, so that a reader never sees freed memory. A group has as many
// cells as a chunk of a SlotPool has slots, and for the same reason.
class PeerStatusTable {
 public:
  static constexpr std::size_t kCellBytes = 128;

  // For slots below `slots`.
  explicit PeerStatusTable(std::uint32_t slots);
  ~PeerStatusTable();
  PeerStatusTable(const PeerStatusTable&) = delete;
  PeerStatusTable& operator=(const PeerStatusTable&) = delete;

  // Replaces the status in the peer's slot. PeerStatus::clock_offset is not read: `clock` says what it is at
  // any time. On the endpoint's thread.
  void publish(Handle peer, const PeerStatus& status, const ClockEstimate& clock);

  // Status of a peer, with its clock offset at `now`. Nothing before its first publication, and once another
  // peer has its slot. Any value is safe to ask for.
  [[nodiscard]] std::optional<PeerStatus> read(Handle peer, Instant now) const;

  // Memory held, in bytes. On the endpoint's thread.
  [[nodiscard]] std::size_t allocated_bytes() const { return allocated_bytes_; }

 private:
  static constexpr std::size_t kWords = kCellBytes / sizeof(std::uint64_t);
  using Content = std::array<std::uint64_t, kWords - 1>;

  struct alignas(64) Cell {
    // High half: generation, 0 before the first publication. Low half: odd while a write is under way.
    std::atomic<std::uint64_t> version = 0;
    std::array<std::atomic<std::uint64_t>, kWords - 1> words{};
  };
  static_assert(sizeof(Cell) == kCellBytes);

  [[nodiscard]] static Content pack(const PeerStatus& status, const ClockEstimate& clock);
  [[nodiscard]] static PeerStatus unpack(const Content& content, Instant now);

  [[nodiscard]] const Cell* find(std::uint32_t slot) const;
  // Allocates what is missing.
  [[nodiscard]] Cell& cell_of(std::uint32_t slot);

  Chunking chunking_;  // into groups
  std::uint32_t group_count_;
  // The first cell of each group; null until it is used.
  std::unique_ptr<std::atomic<Cell*>[]> groups_;
  std::size_t allocated_bytes_;
};

}  // namespace hawser
