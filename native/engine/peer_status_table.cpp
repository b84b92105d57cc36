#include "engine/peer_status_table.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <thread>

namespace hawser {

namespace {

// Reads of a cell before the reader lets other threads run: its writer may have been interrupted.
constexpr int kReadsAtOnce = 64;

// Figures one after the other without padding, then the clock, then the address.
struct PackedSizes {
#define HAWSER_PEER_FIGURE(type, name, packed, js_name) sizeof(packed),
  static constexpr auto kSizes = std::to_array<std::size_t>({HAWSER_PEER_FIGURES(HAWSER_PEER_FIGURE)});
#undef HAWSER_PEER_FIGURE
  static constexpr std::size_t kFigures = std::accumulate(kSizes.begin(), kSizes.end(), std::size_t{0});
  static constexpr std::size_t kClock = 2 * sizeof(std::int64_t) + 2 * sizeof(std::int32_t);
  static constexpr std::size_t kAll = kFigures + kClock + sizeof(SocketAddress);
};
static_assert(sizeof(std::uint64_t) + PackedSizes::kAll <= PeerStatusTable::kCellBytes,
              "the figures fit into a cell");

// A correction of more than half an hour takes half a day of slewing; a new sample comes before.
std::int32_t packed_correction(Duration correction) {
  using Limits = std::numeric_limits<std::int32_t>;
  return static_cast<std::int32_t>(
      std::clamp<Duration::rep>(correction.count(), Limits::min(), Limits::max()));
}

template <class Packed, class T>
Packed packed_figure(T figure) {
  if constexpr (std::same_as<T, bool>) {
    return figure ? 1 : 0;
  } else {
    std::uint64_t value = 0;
    if constexpr (std::same_as<T, Duration>) {
      value = static_cast<std::uint64_t>(std::max<Duration::rep>(figure.count(), 0));
    } else {
      value = figure;
    }
    return static_cast<Packed>(std::min<std::uint64_t>(value, std::numeric_limits<Packed>::max()));
  }
}

template <class T, class Packed>
T unpacked_figure(Packed value) {
  if constexpr (std::same_as<T, bool>) {
    return value != 0;
  } else if constexpr (std::same_as<T, Duration>) {
    return Duration(static_cast<Duration::rep>(value));
  } else {
    return static_cast<T>(value);
  }
}

}  // namespace

PeerStatusTable::PeerStatusTable(std::uint32_t slots)
    : chunking_(slots),
      group_count_(chunking_.chunk_of(slots) + (chunking_.place_of(slots) == 0 ? 0 : 1)),
      groups_(std::make_unique<std::atomic<Cell*>[]>(group_count_)),
      allocated_bytes_(group_count_ * sizeof(std::atomic<Cell*>)) {}

PeerStatusTable::~PeerStatusTable() {
  for (std::uint32_t i = 0; i < group_count_; ++i) delete[] groups_[i].load(std::memory_order_relaxed);
}

PeerStatusTable::Content PeerStatusTable::pack(const PeerStatus& status, const ClockEstimate& clock) {
  Content content{};
  auto* at = reinterpret_cast<std::byte*>(content.data());
  const auto put = [&at](const auto& value) {
    std::memcpy(at, &value, sizeof(value));
    at += sizeof(value);
  };
#define HAWSER_PEER_FIGURE(type, name, packed, js_name) put(packed_figure<packed>(status.name));
  HAWSER_PEER_FIGURES(HAWSER_PEER_FIGURE)
#undef HAWSER_PEER_FIGURE
  put(clock.since.time_since_epoch().count());
  put(clock.offset.count());
  put(packed_correction(clock.correction));
  put(clock.drift_ppb);
  put(status.remote);
  return content;
}

PeerStatus PeerStatusTable::unpack(const Content& content, Instant now) {
  PeerStatus status;
  const auto* at = reinterpret_cast<const std::byte*>(content.data());
  const auto take = [&at](auto& value) {
    std::memcpy(&value, at, sizeof(value));
    at += sizeof(value);
  };
#define HAWSER_PEER_FIGURE(type, name, packed, js_name) \
  {                                                     \
    packed value{};                                     \
    take(value);                                        \
    status.name = unpacked_figure<type>(value);         \
  }
  HAWSER_PEER_FIGURES(HAWSER_PEER_FIGURE)
#undef HAWSER_PEER_FIGURE
  Duration::rep since = 0;
  Duration::rep offset = 0;
  std::int32_t correction = 0;
  std::int32_t drift_ppb = 0;
  take(since);
  take(offset);
  take(correction);
  take(drift_ppb);
  const ClockEstimate clock{Instant(Duration(since)), Duration(offset), Duration(correction), drift_ppb};
  status.clock_offset = clock.at(now);
  take(status.remote);
  return status;
}

const PeerStatusTable::Cell* PeerStatusTable::find(std::uint32_t slot) const {
  const std::uint32_t group = chunking_.chunk_of(slot);
  if (group >= group_count_) return nullptr;
  const Cell* const first = groups_[group].load(std::memory_order_acquire);
  return first == nullptr ? nullptr : first + chunking_.place_of(slot);
}

PeerStatusTable::Cell& PeerStatusTable::cell_of(std::uint32_t slot) {
  assert(chunking_.chunk_of(slot) < group_count_);
  std::atomic<Cell*>& group = groups_[chunking_.chunk_of(slot)];
  Cell* first = group.load(std::memory_order_relaxed);
  if (first == nullptr) {
    const std::size_t cells = chunking_.slots();
    first = new Cell[cells]();
    allocated_bytes_ += cells * sizeof(Cell);
    group.store(first, std::memory_order_release);
  }
  return first[chunking_.place_of(slot)];
}

// Each word is stored with release order, so that a reader that sees one of them also sees the odd version
// before it. This needs no fences, which ThreadSanitizer does not know.
void PeerStatusTable::publish(Handle peer, const PeerStatus& status, const ClockEstimate& clock) {
  const Content content = pack(status, clock);
  Cell& cell = cell_of(peer.slot);
  const std::uint64_t generation = std::uint64_t{peer.generation} << 32U;
  const auto sequence = static_cast<std::uint32_t>(cell.version.load(std::memory_order_relaxed));
  cell.version.store(generation | (sequence + 1U), std::memory_order_relaxed);
  for (std::size_t i = 0; i < content.size(); ++i) cell.words[i].store(content[i], std::memory_order_release);
  cell.version.store(generation | (sequence + 2U), std::memory_order_release);
}

std::optional<PeerStatus> PeerStatusTable::read(Handle peer, Instant now) const {
  const Cell* const cell = find(peer.slot);
  if (cell == nullptr) return std::nullopt;
  for (int reads = 1;; ++reads) {
    const std::uint64_t before = cell->version.load(std::memory_order_acquire);
    if (before >> 32U != peer.generation || before >> 32U == 0) return std::nullopt;
    if (before % 2 == 0) {
      Content content{};
      for (std::size_t i = 0; i < content.size(); ++i)
        content[i] = cell->words[i].load(std::memory_order_acquire);
      if (cell->version.load(std::memory_order_relaxed) == before) return unpack(content, now);
    }
    if (reads % kReadsAtOnce == 0) std::this_thread::yield();
  }
}

}  // namespace hawser
