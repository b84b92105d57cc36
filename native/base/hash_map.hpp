#pragma once

#include <algorithm>
#include <bit>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include "base/siphash.hpp"

namespace hawser {

// Open-addressing hash table keyed with SipHash, so that whoever chooses the keys cannot choose the
// collisions. Linear probing; deletion shifts the rest of the run back, so there are no tombstones and a
// table that lives for months stays as fast as a new one.
//
// Memory: nothing before the first insert, then a power of two of at least 4 slots, doubled when 3/4 are in
// use. It never shrinks by itself: an erase that may allocate would break the rule of no allocation in steady
// state, and max_entries bounds what a flood can leave behind, at most 8/3 * max_entries (or 4) slots of
// sizeof(K) + sizeof(V) + 4 bytes and padding. clear() gives the memory back.
//
// Hash: `std::uint64_t hash_value(const SipKey&, const K&)`, found by argument-dependent lookup.
template <class K, class V>
class HashMap {
  static_assert(std::is_trivially_copyable_v<K> && std::is_trivially_copyable_v<V>);
  static_assert(std::default_initializable<K> && std::default_initializable<V> &&
                std::equality_comparable<K>);

 public:
  // `key` must be random and secret where strangers choose the keys. max_entries <= 2^30.
  HashMap(const SipKey& key, std::size_t max_entries) : key_(key), max_entries_(max_entries) {
    assert(max_entries <= (std::size_t{1} << 30U));
  }
  HashMap(const HashMap&) = delete;
  HashMap& operator=(const HashMap&) = delete;
  ~HashMap() = default;

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] std::size_t max_entries() const { return max_entries_; }

  // Slots allocated: 0 or a power of two.
  [[nodiscard]] std::size_t capacity() const { return capacity_; }

  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const {
    return capacity_ * (sizeof(Entry) + sizeof(std::uint32_t));
  }

  // The value of `key`, or nullptr. Valid until the next insert, erase or clear.
  [[nodiscard]] V* find(const K& key) { return const_cast<V*>(std::as_const(*this).find(key)); }
  [[nodiscard]] const V* find(const K& key) const {
    if (size_ == 0) return nullptr;
    const std::size_t slot = probe(key, tag_of(key));
    return tags_[slot] == kEmpty ? nullptr : &entries_[slot].value;
  }

  // Adds an entry: {its value, true}. Leaves an entry that is there already as it is: {its value, false}.
  // Refuses a new one when max_entries are in: {nullptr, false}. Pointers are valid until the next insert,
  // erase or clear.
  std::pair<V*, bool> insert(const K& key, V value) {
    const std::uint32_t tag = tag_of(key);
    if (capacity_ != 0) {
      const std::size_t slot = probe(key, tag);
      if (tags_[slot] != kEmpty) return {&entries_[slot].value, false};
    }
    if (size_ == max_entries_) return {nullptr, false};
    if ((size_ + 1) * 4 > capacity_ * 3) grow_to(capacity_ == 0 ? kInitialCapacity : capacity_ * 2);
    const std::size_t slot = probe(key, tag);
    tags_[slot] = tag;
    entries_[slot] = Entry{key, value};
    ++size_;
    return {&entries_[slot].value, true};
  }

  // Removes the entry of `key`; false when there is none. Never allocates.
  bool erase(const K& key) {
    if (size_ == 0) return false;
    std::size_t hole = probe(key, tag_of(key));
    if (tags_[hole] == kEmpty) return false;
    const std::size_t mask = capacity_ - 1;
    for (std::size_t next = (hole + 1) & mask; tags_[next] != kEmpty; next = (next + 1) & mask) {
      // An entry may move back into the hole only if its home is not between the two, cyclically.
      const std::size_t distance_from_home = (next - tags_[next]) & mask;
      if (distance_from_home >= ((next - hole) & mask)) {
        tags_[hole] = tags_[next];
        entries_[hole] = entries_[next];
        hole = next;
      }
    }
    tags_[hole] = kEmpty;
    --size_;
    return true;
  }

  // Removes everything and gives the memory back.
  void clear() {
    entries_.reset();
    tags_.reset();
    capacity_ = 0;
    size_ = 0;
  }

  // Allocates now what `entries` of them will need (at most max_entries), so that inserting them does not.
  void reserve(std::size_t entries) {
    assert(entries <= max_entries_);
    const std::size_t wanted = std::bit_ceil(std::max(kInitialCapacity, (entries * 4 + 2) / 3));
    if (wanted > capacity_) grow_to(wanted);
  }

  // Calls visit(const K&, V&) for each entry, in no particular order. `visit` must not insert or erase.
  template <class F>
  void for_each(F&& visit) {
    for (std::size_t slot = 0; slot < capacity_; ++slot) {
      if (tags_[slot] != kEmpty) visit(std::as_const(entries_[slot].key), entries_[slot].value);
    }
  }
  template <class F>
  void for_each(F&& visit) const {
    for (std::size_t slot = 0; slot < capacity_; ++slot) {
      if (tags_[slot] != kEmpty)
        visit(std::as_const(entries_[slot].key), std::as_const(entries_[slot].value));
    }
  }

 private:
  struct Entry {
    K key;
    V value;
  };

  // A tag is the low 31 bits of the hash with the top bit set, so that 0 means an empty slot. Its low bits
  // are the home slot: moving and growing need no rehash, and keys are compared only when 31 bits agree.
  static constexpr std::uint32_t kEmpty = 0;
  static constexpr std::uint32_t kOccupied = 0x80000000U;
  static constexpr std::size_t kInitialCapacity = 4;

  std::uint32_t tag_of(const K& key) const {
    return static_cast<std::uint32_t>(hash_value(key_, key)) | kOccupied;
  }

  // The slot of `key`, or the empty slot where it would go. Ends because at least a quarter of the slots is
  // empty.
  std::size_t probe(const K& key, std::uint32_t tag) const {
    const std::size_t mask = capacity_ - 1;
    std::size_t slot = tag & mask;
    while (tags_[slot] != kEmpty && !(tags_[slot] == tag && entries_[slot].key == key))
      slot = (slot + 1) & mask;
    return slot;
  }

  void grow_to(std::size_t capacity) {
    auto tags = std::make_unique<std::uint32_t[]>(capacity);
    auto entries = std::make_unique_for_overwrite<Entry[]>(capacity);
    const std::size_t mask = capacity - 1;
    for (std::size_t old = 0; old < capacity_; ++old) {
      if (tags_[old] == kEmpty) continue;
      std::size_t slot = tags_[old] & mask;
      while (tags[slot] != kEmpty) slot = (slot + 1) & mask;
      tags[slot] = tags_[old];
      entries[slot] = entries_[old];
    }
    tags_ = std::move(tags);
    entries_ = std::move(entries);
    capacity_ = capacity;
  }

  SipKey key_;
  std::size_t max_entries_;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
  std::unique_ptr<std::uint32_t[]> tags_;
  std::unique_ptr<Entry[]> entries_;
};

}  // namespace hawser
