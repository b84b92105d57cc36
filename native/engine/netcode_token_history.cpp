#include "engine/netcode_token_history.hpp"

namespace hawser::netcode {

TokenUse TokenHistory::use(const TokenTag& tag, const SocketAddress& source, WallTime keep_until,
                           WallTime now) {
  const std::lock_guard lock(mutex_);
  tokens_.forget_expired(now);
  if (const Use* use = tokens_.find(tag); use != nullptr)
    return use->consumed || use->source != source ? TokenUse::kUsed : TokenUse::kSameSource;
  return tokens_.insert(tag, Use{source}, keep_until) ? TokenUse::kFirst : TokenUse::kFull;
}

bool TokenHistory::consume(const TokenTag& tag, WallTime now) {
  const std::lock_guard lock(mutex_);
  tokens_.forget_expired(now);
  Use* use = tokens_.find(tag);
  if (use == nullptr || use->consumed) return false;
  use->consumed = true;
  return true;
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

}  // namespace hawser::netcode
