#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "base/prefetch.hpp"

namespace hawser {

// Finds numbers by the hashes of keys that are kept elsewhere, in the objects that the numbers stand for: 8
// bytes a slot, however long the keys are, and a search touches one cache line of the table. The caller
// hashes (with a secret key, where strangers choose the keys) and compares.
//
// Otherwise as HashMap: open addressing, linear probing, no tombstones; nothing before the first insert, then
// a power of two of at least 4 slots, doubled when 3/4 are in use, and never given back.
class HashIndex {
 public:
  // max_entries <= 2^30.
  explicit HashIndex(std::size_t max_entries) : max_entries_(max_entries) {
    assert(max_entries <= (std::size_t{1} << 30U));
  }
  HashIndex(const HashIndex&) = delete;
  HashIndex& operator=(const HashIndex&) = delete;
  ~HashIndex() = default;

  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const { return capacity_ * sizeof(Cell); }

  // The first number of an entry with this hash (its low 31 bits, to be exact) for which is_it(number) holds,
  // or nullptr. Valid until the next insert or erase.
  template <class F>
  [[nodiscard]] const std::uint32_t* find(std::uint64_t hash, F&& is_it) const {
    if (size_ == 0) return nullptr;
    const std::size_t slot = probe(tag_of(hash), std::forward<F>(is_it));
    return cells_[slot].tag == kEmpty ? nullptr : &cells_[slot].number;
  }

  // Asks for the memory in which a search for this hash begins.
  void prefetch(std::uint64_t hash) const {
    if (size_ > 0) prefetch_line(&cells_[tag_of(hash) & (capacity_ - 1)]);
  }

  // Adds an entry, for a key that has none. False when max_entries are in.
  [[nodiscard]] bool insert(std::uint64_t hash, std::uint32_t number) {
    if (size_ == max_entries_) return false;
    if ((size_ + 1) * 4 > capacity_ * 3) grow_to(std::max(kInitialCapacity, capacity_ * 2));
    place(cells_.get(), capacity_ - 1, Cell{tag_of(hash), number});
    ++size_;
    return true;
  }

  // Removes what `find` gives; false when that is nothing. Never allocates.
  template <class F>
  bool erase(std::uint64_t hash, F&& is_it) {
    if (size_ == 0) return false;
    std::size_t hole = probe(tag_of(hash), std::forward<F>(is_it));
    if (cells_[hole].tag == kEmpty) return false;
    const std::size_t mask = capacity_ - 1;
    for (std::size_t next = (hole + 1) & mask; cells_[next].tag != kEmpty; next = (next + 1) & mask) {
      // An entry may move back into the hole only if its home is not between the two, cyclically.
      const std::size_t distance_from_home = (next - cells_[next].tag) & mask;
      if (distance_from_home >= ((next - hole) & mask)) {
        cells_[hole] = cells_[next];
        hole = next;
      }
    }
    cells_[hole].tag = kEmpty;
    --size_;
    return true;
  }

 private:
  // As in HashMap: the low 31 bits of the hash with the top bit set. They are the home slot too, so that
  // moving and growing need no key.
  struct Cell {
    std::uint32_t tag;
    std::uint32_t number;
  };

  static constexpr std::uint32_t kEmpty = 0;
  static constexpr std::uint32_t kOccupied = 0x80000000U;
  static constexpr std::size_t kInitialCapacity = 4;

  static std::uint32_t tag_of(std::uint64_t hash) { return static_cast<std::uint32_t>(hash) | kOccupied; }

  // The slot of the entry, or the empty slot behind where it would be. Ends because at least a quarter of the
  // slots is empty.
  template <class F>
  std::size_t probe(std::uint32_t tag, F&& is_it) const {
    const std::size_t mask = capacity_ - 1;
    std::size_t slot = tag & mask;
    while (cells_[slot].tag != kEmpty && !(cells_[slot].tag == tag && is_it(cells_[slot].number)))
      slot = (slot + 1) & mask;
    return slot;
  }

  static void place(Cell* cells, std::size_t mask, Cell cell) {
    std::size_t slot = cell.tag & mask;
    while (cells[slot].tag != kEmpty) slot = (slot + 1) & mask;
    cells[slot] = cell;
  }

  void grow_to(std::size_t capacity) {
    auto cells = std::make_unique<Cell[]>(capacity);
    for (const Cell& cell : std::span(cells_.get(), capacity_)) {
      if (cell.tag != kEmpty) place(cells.get(), capacity - 1, cell);
    }
    cells_ = std::move(cells);
    capacity_ = capacity;
  }

  std::size_t max_entries_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::unique_ptr<Cell[]> cells_;
};

}  // namespace hawser
