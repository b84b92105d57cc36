#include "engine/netcode_gateway.hpp"

#include <algorithm>

namespace hawser::netcode {

namespace {

// Half of the upper half: however long it counts, it does not come to an end.
constexpr std::uint64_t kFirstGlobalSequence = std::uint64_t{1} << 63U;
constexpr std::uint64_t kGlobalSequenceSpread = std::uint64_t{1} << 62U;

PacketKey random_packet_key(RandomSource& random) {
  Key key;
  random.fill(key.mutable_bytes());
  return PacketKey::of(key);
}

// Later than any clock says, with room for additions.
constexpr std::uint64_t kFarSeconds = std::uint64_t{1} << 43U;

WallTime wall_time_of(std::uint64_t seconds) {
  return WallTime(std::chrono::seconds(static_cast<std::int64_t>(std::min(seconds, kFarSeconds))));
}

}  // namespace

Gateway::Gateway(const GatewayOptions& options, WallTime started,
                 std::optional<std::chrono::milliseconds> restart_guard, std::chrono::milliseconds clock_skew,
                 std::uint32_t max_tokens, std::uint32_t max_clients, RandomSource& random)
    : token_lifetime_(options.token_lifetime),
      clock_skew_(clock_skew),
      max_clients_(max_clients),
      challenge_key_(random_packet_key(random)),
      global_sequence_(kFirstGlobalSequence + random.u64() % kGlobalSequenceSpread),
      history_(random_sip_key(random), max_tokens) {
  if (restart_guard) {
    // Times in tokens are whole seconds, rounded down.
    first_expire_ = std::chrono::floor<std::chrono::seconds>(started + token_lifetime_ + *restart_guard) +
                    std::chrono::seconds(1);
  }
}

TokenAge Gateway::judge(std::uint64_t expire, WallTime now) const {
  const WallTime expires = wall_time_of(expire);
  if (expires <= now) return TokenAge::kExpired;
  if (expires > now + token_lifetime_ + clock_skew_) return TokenAge::kTooLong;
  if (first_expire_ && expires < *first_expire_) return TokenAge::kPredates;
  return TokenAge::kAccepted;
}

TokenUse Gateway::use(const TokenTag& tag, const SocketAddress& source, std::uint64_t expire, WallTime now) {
  return history_.use(tag, source, wall_time_of(expire), now);
}

std::optional<std::uint32_t> Gateway::take_client_index() {
  const std::lock_guard lock(indexes_mutex_);
  if (const std::size_t released = released_indexes_.lowest(); released != IndexSet::kNone) {
    released_indexes_.erase(released);
    return static_cast<std::uint32_t>(released);
  }
  if (next_index_ == max_clients_) return std::nullopt;
  return next_index_++;
}

void Gateway::release_client_index(std::uint32_t index) {
  const std::lock_guard lock(indexes_mutex_);
  released_indexes_.insert(index);
}

}  // namespace hawser::netcode
