#include "engine/client_ids.hpp"

#include <cassert>

namespace hawser {

namespace {

// An empty map of up to this many slots keeps its memory, so that one client who comes and goes does not
// allocate.
constexpr std::size_t kKeptCapacity = 1024;

}  // namespace

ClaimVerdict ClientIds::would_claim(std::uint64_t client_id, std::optional<WallTime> token_created) const {
  const std::lock_guard lock(mutex_);
  return judge(holders_.find(client_id), token_created);
}

Claim ClientIds::claim(std::uint64_t client_id, std::optional<WallTime> token_created, PeerReference peer) {
  const std::lock_guard lock(mutex_);
  Holder* const holder = holders_.find(client_id);
  Claim claim{judge(holder, token_created), {}};
  if (claim.verdict == ClaimVerdict::kClaimed) {
    holders_.insert(client_id, Holder{token_created.value_or(kUnknown), peer});
  } else if (claim.verdict == ClaimVerdict::kReplaces) {
    claim.replaced = holder->peer;
    *holder = Holder{token_created.value_or(kUnknown), peer};
  }
  return claim;
}

void ClientIds::release(std::uint64_t client_id, PeerReference peer) {
  const std::lock_guard lock(mutex_);
  const Holder* const holder = holders_.find(client_id);
  if (holder == nullptr || holder->peer != peer) return;
  holders_.erase(client_id);
  if (holders_.size() == 0 && holders_.capacity() > kKeptCapacity) holders_.clear();
}

void ClientIds::set_max_peers(std::uint32_t max_peers) {
  const std::lock_guard lock(mutex_);
  assert(max_peers <= holders_.max_entries());
  max_peers_ = max_peers;
}

std::uint32_t ClientIds::max_peers() const {
  const std::lock_guard lock(mutex_);
  return max_peers_;
}

std::uint32_t ClientIds::connected() const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::uint32_t>(holders_.size());
}

std::size_t ClientIds::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  return holders_.allocated_bytes();
}

ClaimVerdict ClientIds::judge(const Holder* holder, std::optional<WallTime> token_created) const {
  if (holder != nullptr) {
    const bool replaces = policy_ == SameClientPolicy::kReplace && token_created.has_value() &&
                          *token_created >= holder->token_created;
    return replaces ? ClaimVerdict::kReplaces : ClaimVerdict::kRefused;
  }
  return holders_.size() >= max_peers_ ? ClaimVerdict::kFull : ClaimVerdict::kClaimed;
}

}  // namespace hawser
