#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/hash_map.hpp"
#include "base/time.hpp"

namespace hawser {

// A map whose entries are each remembered until a given time. A full one refuses and never forgets early.
//
// Entries are filed in a calendar of one-second buckets by the time at which they may be forgotten, so that
// forgetting costs what is forgotten. Memory goes back whenever the map runs empty.
template <class K, class V>
class ExpiringMap {
 public:
  // `key`: as of HashMap. At most `max` entries at once.
  ExpiringMap(const SipKey& key, std::uint32_t max) : places_(key, max) {}

  // Forgets what is due: to be called before anything else is asked. Time that was seen once counts as passed
  // even if the wall clock is set back.
  void forget_expired(WallTime now);

  // The value of `key`, or nullptr. Valid until the next insert or forget_expired.
  [[nodiscard]] V* find(const K& key) {
    const std::uint32_t* place = places_.find(key);
    return place == nullptr ? nullptr : &nodes_[*place].value;
  }

  // Adds an entry whose key is not in; it is remembered until the wall clock passes `keep_until`, and up to a
  // second longer. False when the map is full, or has forgotten what was to be kept so long already.
  [[nodiscard]] bool insert(const K& key, const V& value, WallTime keep_until);

  [[nodiscard]] std::size_t size() const { return places_.size(); }
  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const {
    return places_.allocated_bytes() + nodes_.capacity() * sizeof(Node) +
           buckets_.capacity() * sizeof(std::uint32_t);
  }

 private:
  static constexpr std::uint32_t kNone = UINT32_MAX;
  // Entries that are kept longer than this many seconds come by more than once.
  static constexpr std::int64_t kBuckets = 16'384;
  // An empty map of up to this many nodes keeps its memory, so that quiet traffic does not allocate for every
  // entry.
  static constexpr std::size_t kKeptNodes = 1024;

  struct Node {
    K key;
    std::uint32_t next;  // in the bucket, or of the free nodes
    V value;
    std::int64_t second;  // it is forgotten when this second has passed
  };

  static std::int64_t second_of(WallTime time) {
    return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
  }
  [[nodiscard]] std::uint32_t& bucket(std::int64_t second) {
    return buckets_[static_cast<std::uint64_t>(second) % kBuckets];
  }
  [[nodiscard]] std::uint32_t take_node();
  void sweep(std::int64_t second);
  void release_memory();

  HashMap<K, std::uint32_t> places_;  // the value is the node's index
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> buckets_;  // first node of second s at s % kBuckets; no elements while empty
  std::uint32_t free_ = kNone;
  std::int64_t present_ = INT64_MIN;  // seconds before this one are swept
};

template <class K, class V>
bool ExpiringMap<K, V>::insert(const K& key, const V& value, WallTime keep_until) {
  const std::int64_t second = second_of(keep_until);
  if (second < present_ || places_.size() == places_.max_entries()) return false;
  const std::uint32_t index = take_node();
  places_.insert(key, index);
  std::uint32_t& first = bucket(second);
  nodes_[index] = Node{key, first, value, second};
  first = index;
  return true;
}

template <class K, class V>
std::uint32_t ExpiringMap<K, V>::take_node() {
  if (buckets_.empty()) buckets_.assign(kBuckets, kNone);
  if (free_ == kNone) {
    nodes_.emplace_back();
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  const std::uint32_t index = free_;
  free_ = nodes_[index].next;
  return index;
}

template <class K, class V>
void ExpiringMap<K, V>::forget_expired(WallTime now) {
  const std::int64_t before = present_;
  present_ = std::max(before, second_of(now));
  if (places_.size() == 0 || present_ == before) return;
  // Once around meets every bucket.
  for (std::int64_t second = std::max(before, present_ - kBuckets); second < present_; ++second)
    sweep(second);
  if (places_.size() == 0 && nodes_.size() > kKeptNodes) release_memory();
}

// Frees what is due in a bucket; what is filed there for a later round stays.
template <class K, class V>
void ExpiringMap<K, V>::sweep(std::int64_t second) {
  for (std::uint32_t* link = &bucket(second); *link != kNone;) {
    const std::uint32_t index = *link;
    Node& node = nodes_[index];
    if (node.second >= present_) {
      link = &node.next;
      continue;
    }
    places_.erase(node.key);
    *link = node.next;
    node.next = free_;
    free_ = index;
  }
}

template <class K, class V>
void ExpiringMap<K, V>::release_memory() {
  places_.clear();
  std::vector<Node>().swap(nodes_);
  std::vector<std::uint32_t>().swap(buckets_);
  free_ = kNone;
}

}  // namespace hawser
