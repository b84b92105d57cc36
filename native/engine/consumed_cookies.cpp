#include "engine/consumed_cookies.hpp"

#include <algorithm>
#include <utility>

namespace hawser {

namespace {

constexpr std::size_t kFirstRingSize = 64;
// An empty table of up to this size keeps its memory, so that quiet traffic does not allocate for every
// cookie.
constexpr std::size_t kKeptRingSize = 1024;

}  // namespace

std::optional<std::uint32_t> ConsumedCookies::consumer_of(const CookieMac& cookie, Instant now) {
  if (!any_.load(std::memory_order_relaxed)) return std::nullopt;
  const std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock()) return std::nullopt;
  forget_expired(now);
  const std::uint32_t* const number = places_.find(cookie);
  return number != nullptr ? std::optional(entry(*number).session.shard) : std::nullopt;
}

CookieUse ConsumedCookies::find(const CookieMac& cookie, const Hash256& response, Instant now) {
  const std::lock_guard lock(mutex_);
  forget_expired(now);
  return look(cookie, response);
}

CookieUse ConsumedCookies::consume(const CookieMac& cookie, const Hash256& response, PeerReference session,
                                   Instant now) {
  const std::lock_guard lock(mutex_);
  forget_expired(now);
  const CookieUse use = look(cookie, response);
  if (use.verdict != CookieUse::Verdict::kFresh) return use;
  if (end_ - oldest_ == ring_.size()) grow_ring();
  places_.insert(cookie, end_);
  entry(end_) = Entry{cookie, response, session, now + kRemembered};
  ++end_;
  any_.store(true, std::memory_order_relaxed);
  return use;
}

std::size_t ConsumedCookies::size(Instant now) {
  const std::lock_guard lock(mutex_);
  forget_expired(now);
  return places_.size();
}

std::size_t ConsumedCookies::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return places_.allocated_bytes() + ring_.capacity() * sizeof(Entry);
}

CookieUse ConsumedCookies::look(const CookieMac& cookie, const Hash256& response) {
  using Verdict = CookieUse::Verdict;
  if (const std::uint32_t* number = places_.find(cookie)) {
    const Entry& found = entry(*number);
    if (found.response != response) return {Verdict::kOther, {}};
    return {Verdict::kSameResponse, found.session};
  }
  return {places_.size() == places_.max_entries() ? Verdict::kFull : Verdict::kFresh, {}};
}

// Shards may differ a little in what time it is; an entry behind a younger one waits for that one.
void ConsumedCookies::forget_expired(Instant now) {
  for (; oldest_ != end_ && entry(oldest_).forget_at <= now; ++oldest_) places_.erase(entry(oldest_).cookie);
  if (oldest_ != end_) return;
  any_.store(false, std::memory_order_relaxed);
  if (ring_.size() > kKeptRingSize) {
    places_.clear();
    std::vector<Entry>().swap(ring_);
  }
}

void ConsumedCookies::grow_ring() {
  std::vector<Entry> old(std::max(kFirstRingSize, ring_.size() * 2));
  ring_.swap(old);
  for (std::uint32_t number = oldest_; number != end_; ++number)
    entry(number) = old[number & (old.size() - 1)];
}

}  // namespace hawser
