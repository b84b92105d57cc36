#include "engine/gateway_state.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace hawser {

namespace {

// Scope ids have a meaning on one machine only; tokens do not carry them.
SocketAddress without_scope(const SocketAddress& address) {
  SocketAddress result = address.normalised();
  result.scope_id = 0;
  return result;
}

}  // namespace

GatewayState::GatewayState(GatewayOptions options, RandomSource& random)
    : options_(std::move(options)),
      cookie_records_(random),
      consumed_cookies_(random_sip_key(random), options_.max_consumed_cookies),
      token_history_(random_sip_key(random), options_.max_token_history),
      client_ids_(random_sip_key(random), options_.max_peers, options_.same_client, options_.clock_skew),
      send_memory_(options_.max_send_memory),
      credit_budget_(options_.max_grown_credit) {
  for (SocketAddress& address : options_.advertised_addresses) address = without_scope(address);
  set_keys(std::exchange(options_.keys, {}));
  if (options_.netcode) {
    netcode_.emplace(*options_.netcode, options_.started, options_.restart_guard, options_.clock_skew,
                     options_.max_token_history, options_.max_peers, random);
  }
}

std::shared_ptr<const Key> GatewayState::key(std::uint32_t id) const {
  const std::lock_guard lock(keys_mutex_);
  const auto found = std::ranges::find(keys_, id, &SharedKey::id);
  return found == keys_.end() ? nullptr : found->key;
}

std::array<std::shared_ptr<const Key>, 2> GatewayState::first_keys() const {
  const std::lock_guard lock(keys_mutex_);
  return {keys_[0].key, keys_.size() > 1 ? keys_[1].key : nullptr};
}

void GatewayState::set_keys(std::vector<ServerKey> keys) {
  assert(!keys.empty());
  std::vector<SharedKey> shared;
  shared.reserve(keys.size());
  for (ServerKey& key : keys) shared.push_back({key.id, std::make_shared<const Key>(std::move(key.key))});
  const std::lock_guard lock(keys_mutex_);
  keys_.swap(shared);
}

bool GatewayState::is_advertised(const SocketAddress& address) const {
  return std::ranges::find(options_.advertised_addresses, without_scope(address)) !=
         options_.advertised_addresses.end();
}

bool GatewayState::single_use_allowed(WallTime created, std::span<const SocketAddress> addresses) const {
  if (options_.restart_guard && created < options_.started + *options_.restart_guard) return false;
  if (options_.external_token_history) return true;
  return std::ranges::all_of(addresses,
                             [this](const SocketAddress& address) { return is_advertised(address); });
}

ConsumeVerdict GatewayState::consume(const TokenId& token, WallTime expire, WallTime now) {
  if (options_.external_token_history) return ConsumeVerdict::kAskOutside;
  return token_history_.consume(token, expire + options_.clock_skew, now);
}

std::size_t GatewayState::memory_bytes() const {
  return consumed_cookies_.allocated_bytes() + token_history_.allocated_bytes() +
         client_ids_.allocated_bytes() + (netcode_ ? netcode_->allocated_bytes() : 0);
}

}  // namespace hawser
