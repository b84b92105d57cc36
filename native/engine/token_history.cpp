#include "engine/token_history.hpp"

#include <algorithm>

namespace hawser {

bool TokenHistory::contains(const TokenId& token, WallTime now) {
  const std::lock_guard lock(mutex_);
  tokens_.forget_expired(now);
  return tokens_.find(shorten(token)) != nullptr;
}

ConsumeVerdict TokenHistory::consume(const TokenId& token, WallTime keep_until, WallTime now) {
  const std::lock_guard lock(mutex_);
  tokens_.forget_expired(now);
  const ShortId id = shorten(token);
  if (tokens_.find(id) != nullptr) return ConsumeVerdict::kAlreadyUsed;
  return tokens_.insert(id, {}, keep_until) ? ConsumeVerdict::kConsumed : ConsumeVerdict::kHistoryFull;
}

std::size_t TokenHistory::size(WallTime now) {
  const std::lock_guard lock(mutex_);
  tokens_.forget_expired(now);
  return tokens_.size();
}

std::size_t TokenHistory::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return tokens_.allocated_bytes();
}

TokenHistory::ShortId TokenHistory::shorten(const TokenId& token) {
  ShortId id;
  std::copy_n(token.begin(), id.size(), id.begin());
  return id;
}

}  // namespace hawser
