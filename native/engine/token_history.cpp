#include "engine/token_history.hpp"

#include <algorithm>

namespace hawser {

namespace {

// An empty history of up to this many nodes keeps its memory, so that quiet traffic does not allocate for
// every token.
constexpr std::size_t kKeptNodes = 1024;

}  // namespace

bool TokenHistory::contains(const TokenId& token, WallTime now) {
  const std::lock_guard lock(mutex_);
  forget_expired(now);
  return places_.find(shorten(token)) != nullptr;
}

ConsumeVerdict TokenHistory::consume(const TokenId& token, WallTime keep_until, WallTime now) {
  const std::lock_guard lock(mutex_);
  forget_expired(now);
  const ShortId id = shorten(token);
  if (places_.find(id) != nullptr) return ConsumeVerdict::kAlreadyUsed;
  const std::int64_t second = second_of(keep_until);
  if (second < present_ || places_.size() == places_.max_entries()) return ConsumeVerdict::kHistoryFull;

  const std::uint32_t index = take_node();
  places_.insert(id, index);
  std::uint32_t& first = bucket(second);
  nodes_[index] = Node{id, first, second};
  first = index;
  return ConsumeVerdict::kConsumed;
}

std::size_t TokenHistory::size(WallTime now) {
  const std::lock_guard lock(mutex_);
  forget_expired(now);
  return places_.size();
}

TokenHistory::ShortId TokenHistory::shorten(const TokenId& token) {
  ShortId id;
  std::copy_n(token.begin(), id.size(), id.begin());
  return id;
}

std::int64_t TokenHistory::second_of(WallTime time) {
  return std::chrono::floor<std::chrono::seconds>(time.time_since_epoch()).count();
}

std::uint32_t& TokenHistory::bucket(std::int64_t second) {
  return buckets_[static_cast<std::uint64_t>(second) % kBuckets];
}

std::uint32_t TokenHistory::take_node() {
  if (buckets_.empty()) buckets_.assign(kBuckets, kNone);
  if (free_ == kNone) {
    nodes_.emplace_back();
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  }
  const std::uint32_t index = free_;
  free_ = nodes_[index].next;
  return index;
}

void TokenHistory::forget_expired(WallTime now) {
  const std::int64_t before = present_;
  present_ = std::max(before, second_of(now));
  if (places_.size() == 0 || present_ == before) return;
  // Once around meets every bucket.
  for (std::int64_t second = std::max(before, present_ - kBuckets); second < present_; ++second)
    sweep(second);
  if (places_.size() == 0 && nodes_.size() > kKeptNodes) release_memory();
}

// Frees what is due in a bucket; what is filed there for a later round stays.
void TokenHistory::sweep(std::int64_t second) {
  for (std::uint32_t* link = &bucket(second); *link != kNone;) {
    const std::uint32_t index = *link;
    Node& node = nodes_[index];
    if (node.second >= present_) {
      link = &node.next;
      continue;
    }
    places_.erase(node.token);
    *link = node.next;
    node.next = free_;
    free_ = index;
  }
}

void TokenHistory::release_memory() {
  places_.clear();
  std::vector<Node>().swap(nodes_);
  std::vector<std::uint32_t>().swap(buckets_);
  free_ = kNone;
}

}  // namespace hawser
