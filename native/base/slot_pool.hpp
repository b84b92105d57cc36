#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/index_set.hpp"

namespace hawser {

// Names an object of a SlotPool for longer than it may live. Generations start at 1, so a default Handle
// names nothing.
struct Handle {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  friend bool operator==(const Handle&, const Handle&) = default;
};

// How something that has at most `max` slots is divided into chunks, each with a power of two of them. A
// large one has chunks of 64 slots. One with less than 8,192 has smaller chunks, a 128th of all slots each: a
// process may have thousands of its kind, one for each connection, and most of them use their first slot
// only.
class Chunking {
 public:
  explicit constexpr Chunking(std::uint32_t max)
      : bits_(static_cast<std::uint32_t>(std::bit_width(std::clamp(max / kLeastChunks, 1U, kMostSlots))) -
              1) {}

  // The slots of a chunk.
  [[nodiscard]] constexpr std::uint32_t slots() const { return 1U << bits_; }
  // The number of the chunk that has a slot, and the place of the slot in it.
  [[nodiscard]] constexpr std::uint32_t chunk_of(std::uint32_t slot) const { return slot >> bits_; }
  [[nodiscard]] constexpr std::uint32_t place_of(std::uint32_t slot) const { return slot & (slots() - 1); }
  // The number of the first slot of a chunk.
  [[nodiscard]] constexpr std::uint64_t first_of(std::size_t chunk) const {
    return std::uint64_t{chunk} << bits_;
  }

 private:
  static constexpr std::uint32_t kLeastChunks = 128;
  static constexpr std::uint32_t kMostSlots = 64;

  std::uint32_t bits_;
};

// Objects at stable addresses, at most `max` of them, in chunks that are allocated when needed; the last
// chunk is as short as `max` allows. 8 bytes per slot beside the object. The lowest free slot is used first,
// so that the pool stays dense; free chunks at the end are released, but for one spare, so that coming and
// going around a chunk's edge does not allocate each time.
//
// The slot's number and generation are the 8 bytes before the object: `get` touches no other line of memory
// than the object's first. Large objects' slots begin with a line or in the middle of one: whole lines would
// cost each object up to 63 bytes.
template <class T>
class SlotPool {
 public:
  explicit SlotPool(std::uint32_t max) : max_(max), chunking_(max) {}
  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

  // Destroys the objects that are left.
  ~SlotPool() {
    for_each([this](T& object) { destroy(object); });
  }

  // Objects alive.
  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] std::uint32_t max() const { return max_; }
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const {
    if (chunks_.empty()) return 0;
    const std::size_t last = chunks_.size() - 1;
    const std::size_t slots = chunking_.first_of(last) + slots_of(last);
    return slots * sizeof(Slot) + chunks_.size() * sizeof(Chunk);
  }

  // Makes an object; nullptr when `max` are alive.
  template <class... Args>
  T* create(Args&&... args) {
    if (size_ == max_) return nullptr;
    std::size_t index = chunks_with_room_.lowest();
    if (index == IndexSet::kNone) index = add_chunk();
    Chunk& chunk = chunks_[index];
    const auto place = static_cast<std::uint32_t>(std::countr_one(chunk.live));
    Slot& slot = chunk.slots[place];
    if (place == chunk.touched) {
      slot.number = static_cast<std::uint32_t>(chunking_.first_of(index)) + place;
      slot.generation = first_generation_[index];
      ++chunk.touched;
    }
    if (chunk.live == 0) --empty_chunks_;
    chunk.live |= std::uint64_t{1} << place;
    if (chunk.live == all_live(index)) chunks_with_room_.erase(index);
    ++size_;
    return ::new (static_cast<void*>(slot.storage)) T(std::forward<Args>(args)...);
  }

  // Ends an object of this pool; its handles are stale from now on. Never allocates.
  void destroy(T& object) {
    Slot& slot = slot_of(object);
    const std::size_t index = chunking_.chunk_of(slot.number);
    Chunk& chunk = chunks_[index];
    const std::uint64_t bit = std::uint64_t{1} << chunking_.place_of(slot.number);
    assert((chunk.live & bit) != 0);
    object.~T();
    slot.generation = following(slot.generation);
    chunk.live &= ~bit;
    chunks_with_room_.insert(index);
    --size_;
    if (chunk.live == 0) {
      ++empty_chunks_;
      release_spare_chunks();
    }
  }

  // The object of a handle; nullptr when it is gone or never was. Any value is safe to ask for.
  [[nodiscard]] T* get(Handle handle) {
    Slot* const slot = live_slot(handle.slot);
    return slot != nullptr && slot->generation == handle.generation ? object_of(*slot) : nullptr;
  }

  // The object in a slot, whatever its generation; nullptr when there is none.
  [[nodiscard]] T* at(std::uint32_t slot) {
    Slot* const found = live_slot(slot);
    return found != nullptr ? object_of(*found) : nullptr;
  }

  // The handle of a live object of this pool.
  [[nodiscard]] Handle handle_of(const T& object) const {
    const Slot& slot = slot_of(const_cast<T&>(object));
    return Handle{slot.number, slot.generation};
  }

  // Calls visit(T&) for each object, in slot order. visit may destroy any object; one that it creates may or
  // may not be visited.
  template <class F>
  void for_each(F&& visit) {
    for (std::size_t index = 0; index < chunks_.size(); ++index) {
      std::uint64_t unvisited = ~std::uint64_t{0};
      // Read anew after each visit, which may have released the chunk.
      while (index < chunks_.size() && (chunks_[index].live & unvisited) != 0) {
        const auto place = static_cast<unsigned>(std::countr_zero(chunks_[index].live & unvisited));
        unvisited = place == 63 ? 0 : ~std::uint64_t{0} << (place + 1);
        visit(*object_of(chunks_[index].slots[place]));
      }
    }
  }

 private:
  static constexpr std::size_t kCacheLine = 64;
  static constexpr std::size_t kSlotAlignment =
      std::max(alignof(T), sizeof(T) >= 8 * kCacheLine ? kCacheLine / 2 : alignof(std::uint32_t));

  struct alignas(kSlotAlignment) Slot {
    std::uint32_t number;
    std::uint32_t generation;
    alignas(T) std::byte storage[sizeof(T)];
  };
  static_assert(std::is_standard_layout_v<Slot>);

  struct Chunk {
    std::unique_ptr<Slot[]> slots;
    std::uint64_t live = 0;
    // Slots that were ever used, the lowest ones: the memory of the others is never touched.
    std::uint32_t touched = 0;
  };

  static T* object_of(Slot& slot) { return std::launder(reinterpret_cast<T*>(slot.storage)); }
  static Slot& slot_of(T& object) {
    auto* const storage = reinterpret_cast<std::byte*>(std::addressof(object));
    return *reinterpret_cast<Slot*>(storage - offsetof(Slot, storage));
  }
  static std::uint32_t following(std::uint32_t generation) {
    return std::max(generation + 1, std::uint32_t{1});
  }

  // Slots of a chunk, and their bits.
  [[nodiscard]] std::uint32_t slots_of(std::size_t index) const {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(chunking_.slots(), max_ - chunking_.first_of(index)));
  }
  [[nodiscard]] std::uint64_t all_live(std::size_t index) const {
    return ~std::uint64_t{0} >> (64 - slots_of(index));
  }

  [[nodiscard]] Slot* live_slot(std::uint32_t number) {
    const std::size_t index = chunking_.chunk_of(number);
    if (index >= chunks_.size()) return nullptr;
    Chunk& chunk = chunks_[index];
    const std::uint32_t place = chunking_.place_of(number);
    return ((chunk.live >> place) & 1U) != 0 ? &chunk.slots[place] : nullptr;
  }

  std::size_t add_chunk() {
    const std::size_t index = chunks_.size();
    if (index == first_generation_.size()) first_generation_.push_back(1);
    chunks_.push_back(Chunk{.slots = std::make_unique_for_overwrite<Slot[]>(slots_of(index))});
    chunks_with_room_.insert(index);
    ++empty_chunks_;
    return index;
  }

  void release_spare_chunks() {
    while (empty_chunks_ > 1 && chunks_.back().live == 0) {
      // A chunk that comes back must not repeat the generations of this one.
      std::uint32_t& first = first_generation_[chunks_.size() - 1];
      for (const Slot& slot : std::span(chunks_.back().slots.get(), chunks_.back().touched))
        first = std::max(first, slot.generation);
      chunks_with_room_.erase(chunks_.size() - 1);
      chunks_.pop_back();
      --empty_chunks_;
    }
  }

  std::uint32_t max_;
  Chunking chunking_;
  std::uint32_t size_ = 0;
  std::size_t empty_chunks_ = 0;
  std::vector<Chunk> chunks_;
  std::vector<std::uint32_t> first_generation_;  // by chunk, also of released ones
  IndexSet chunks_with_room_;
};

}  // namespace hawser
