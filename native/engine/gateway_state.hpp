#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/address.hpp"
#include "base/random.hpp"
#include "base/time.hpp"
#include "crypto/key_schedule.hpp"
#include "crypto/secret.hpp"
#include "engine/client_ids.hpp"
#include "engine/consumed_cookies.hpp"
#include "engine/cookie_records.hpp"
#include "engine/credit.hpp"
#include "engine/netcode_gateway.hpp"
#include "engine/peer_notices.hpp"
#include "engine/peer_reference.hpp"
#include "engine/send_memory.hpp"
#include "engine/token_history.hpp"

namespace hawser {

// A key with its id, as tokens name it.
struct ServerKey {
  std::uint32_t id = 0;
  Key key;
};

struct GatewayOptions {
  std::uint64_t protocol_id = 0;
  std::vector<ServerKey> keys;                      // 1 or more, distinct ids
  std::vector<SocketAddress> advertised_addresses;  // normalised; a token must list one of them
  Key reset_key;                                    // survives restarts, one per gateway identity
  // Connected peers and reservations of all shards together; see ClientIds.
  std::uint32_t max_peers = 10'000;
  std::uint32_t max_consumed_cookies = 65'536;
  std::uint32_t max_token_history = 1'000'000;
  // Memory for messages to all peers, of all shards together, in bytes.
  std::size_t max_send_memory = std::size_t{256} * 1024 * 1024;
  // By how much the credit of all peers together, of all shards, may be larger than at first, in bytes.
  std::uint64_t max_grown_credit = std::uint64_t{1} << 30U;
  SameClientPolicy same_client = SameClientPolicy::kReplace;
  std::chrono::milliseconds clock_skew{60'000};
  std::chrono::milliseconds max_token_lifetime{86'400'000};
  WallTime started{};
  // Single-use tokens created before `started` + restart_guard are refused: an earlier process may have
  // admitted them. Empty if a history outlives the process, or
  // the keys are new in each run.
  std::optional<std::chrono::milliseconds> restart_guard{std::chrono::milliseconds(60'000)};
  // The history is shared or outlives the process: tokens that list other gateways are allowed, and
  // consumption is asked for by an event instead of being decided here.
  bool external_token_history = false;
  // Set when netcode clients are served too.
  std::optional<netcode::GatewayOptions> netcode;
};

// Wakes the driver of a shard.
class ShardBell {
 public:
  ShardBell() = default;
  ShardBell(const ShardBell&) = delete;
  ShardBell& operator=(const ShardBell&) = delete;

  // Endpoint::next_deadline() of that shard has become "now". Called by another shard's thread, which holds
  // no lock and is within a call of its own endpoint.
  virtual void ring(std::uint32_t shard) = 0;

 protected:
  ~ShardBell() = default;
};

// What all shards of one gateway share: keys, cookie records, consumed cookies, client ids, token history,
// the peer limit. Every function but set_bell() is safe to call from any shard's thread; those that need the
// time take it as an argument.
class GatewayState {
 public:
  // `random` must outlive this and not be used by anyone else at the same time.
  GatewayState(GatewayOptions options, RandomSource& random);

  // Who wakes shards that sleep; null, as at first, where there is one shard or none sleeps. Before the first
  // shard runs, and after the last one has.
  void set_bell(ShardBell* bell) { bell_ = bell; }

  // As given, but without the keys: see `key`.
  [[nodiscard]] const GatewayOptions& options() const { return options_; }

  // The key of that id; null when there is none. What is given out stays valid; hold it for one datagram
  // only.
  [[nodiscard]] std::shared_ptr<const Key> key(std::uint32_t id) const;
  // The first two keys, null where there are fewer: those that are tried on tokens which do not name theirs.
  [[nodiscard]] std::array<std::shared_ptr<const Key>, 2> first_keys() const;
  // Replaces the set of server keys (rolling without downtime): 1 or more, distinct ids.
  void set_keys(std::vector<ServerKey> keys);

  // Whether a token may list this address for this gateway.
  [[nodiscard]] bool is_advertised(const SocketAddress& address) const;
  // Whether a single-use token can be proven unused here (docs/protocol.md section 7, "Single use"): it was
  // created after the restart guard, and without an external history lists only this gateway's addresses.
  [[nodiscard]] bool single_use_allowed(WallTime created, std::span<const SocketAddress> addresses) const;

  // The record for new cookies, made when the newest is a second old. Never null. Hold it for one datagram
  // only.
  [[nodiscard]] std::shared_ptr<const CookieRecord> current_record(Instant now) {
    return cookie_records_.current(now);
  }
  // The record of an index; null when there is none or it is six seconds old.
  [[nodiscard]] std::shared_ptr<const CookieRecord> record(std::uint8_t index, Instant now) {
    return cookie_records_.find(index, now);
  }
  // Erases records that are six seconds old, which the two functions above do too; for the time when nobody
  // calls them. Says when to call again; kNever when no record is left.
  Instant erase_old_records(Instant now) { return cookie_records_.erase_expired(now); }

  // The shard whose session consumed a cookie (by its MAC), as a hint: see ConsumedCookies::consumer_of().
  [[nodiscard]] std::optional<std::uint32_t> consumer_of(const CookieMac& mac, Instant now) {
    return consumed_cookies_.consumer_of(mac, now);
  }
  // Looks whether a cookie (by its MAC) was consumed. Changes nothing.
  [[nodiscard]] CookieUse find_cookie(const CookieMac& mac, const Hash256& response_hash, Instant now) {
    return consumed_cookies_.find(mac, response_hash, now);
  }
  // Consumes it for a session: insert-if-absent, atomically; kFresh on success.
  [[nodiscard]] CookieUse consume_cookie(const CookieMac& mac, const Hash256& response_hash,
                                         PeerReference session, Instant now) {
    return consumed_cookies_.consume(mac, response_hash, session, now);
  }

  // True when the single-use token was consumed and is not forgotten yet. False with an external history.
  [[nodiscard]] bool is_consumed(const TokenId& token, WallTime now) {
    return token_history_.contains(token, now);
  }
  // Consumes a single-use token, remembered until `expire` plus the allowed skew; insert-if-absent,
  // atomically. kAskOutside with an external history.
  [[nodiscard]] ConsumeVerdict consume(const TokenId& token, WallTime expire, WallTime now);

  // Returns the next AttemptOrder::number.
  [[nodiscard]] std::uint64_t next_attempt_number() {
    return attempt_number_.fetch_add(1, std::memory_order_relaxed);
  }
  // The functions of ClientIds. would_reserve() lets REQUEST and RESPONSE be refused early.
  [[nodiscard]] ReserveVerdict would_reserve(std::uint64_t client_id, const AttemptOrder& order) const {
    return client_ids_.would_reserve(client_id, order);
  }
  [[nodiscard]] ReserveVerdict reserve(std::uint64_t client_id, const AttemptOrder& order,
                                       const TokenId* token, PeerReference peer) {
    return client_ids_.reserve(client_id, order, token, peer);
  }
  [[nodiscard]] Settlement settle(std::uint64_t client_id, PeerReference peer, bool accepted) {
    return client_ids_.settle(client_id, peer, accepted);
  }
  void release(std::uint64_t client_id, PeerReference peer) { client_ids_.release(client_id, peer); }
  // How many peers are let in from now on, at most GatewayOptions::max_peers; those that are there stay.
  void set_max_peers(std::uint32_t max_peers) { client_ids_.set_max_peers(max_peers); }
  [[nodiscard]] std::uint32_t max_peers() const { return client_ids_.max_peers(); }
  // Connected peers of all shards, and the places that they and the reservations take.
  [[nodiscard]] std::uint32_t connected() const { return client_ids_.connected(); }
  [[nodiscard]] std::uint32_t places() const { return client_ids_.places(); }

  // Has the shard of a peer that a newer session replaced end it, and wakes that shard, which is not the
  // caller's.
  void end_replaced(PeerReference peer) { notify(peer, std::nullopt); }
  // Gives the token history's answer to the peer that took over the reservation (SettleOutcome::kPassedOn),
  // and wakes its shard. `own_shard`: the caller's, which needs no waking.
  void pass_on(PeerReference peer, ConsumeVerdict verdict, std::uint32_t own_shard) {
    notify(peer, verdict, own_shard);
  }
  // See PeerNotices.
  [[nodiscard]] bool has_notices(std::uint32_t shard) const { return notices_.waiting(shard); }
  void take_notices(std::uint32_t shard, std::vector<PeerNotice>& out) { notices_.take(shard, out); }

  [[nodiscard]] SendMemory& send_memory() { return send_memory_; }
  [[nodiscard]] const SendMemory& send_memory() const { return send_memory_; }
  [[nodiscard]] CreditBudget& credit_budget() { return credit_budget_; }
  // Asks all shards but one to look at SendMemory, and wakes them. `shards`: how many there are.
  void ask_for_send_memory(std::uint32_t but, std::uint32_t shards) {
    for (std::uint32_t shard = 0; shard < shards; ++shard) {
      if (shard == but) continue;
      send_memory_.ask(shard);
      if (bell_ != nullptr) bell_->ring(shard);
    }
  }

  // Null when netcode clients are not served.
  [[nodiscard]] netcode::Gateway* netcode() { return netcode_ ? &*netcode_ : nullptr; }

  // Bytes of heap that the tables hold, for reports: what all shards together need once.
  [[nodiscard]] std::size_t memory_bytes() const;

  // No new sessions from now on: REQUEST and RESPONSE are answered DENIED SHUTTING_DOWN.
  void start_draining() { draining_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool draining() const { return draining_.load(std::memory_order_relaxed); }

 private:
  void notify(PeerReference peer, std::optional<ConsumeVerdict> verdict,
              std::optional<std::uint32_t> own_shard = std::nullopt) {
    notices_.add(peer.shard, PeerNotice{peer.peer, verdict});
    if (bell_ != nullptr && own_shard != peer.shard) bell_->ring(peer.shard);
  }

  struct SharedKey {
    std::uint32_t id;
    std::shared_ptr<const Key> key;
  };

  GatewayOptions options_;
  mutable std::mutex keys_mutex_;
  std::vector<SharedKey> keys_;
  CookieRecords cookie_records_;
  ConsumedCookies consumed_cookies_;
  TokenHistory token_history_;
  ClientIds client_ids_;
  PeerNotices notices_;
  std::atomic<std::uint64_t> attempt_number_ = 0;
  SendMemory send_memory_;
  CreditBudget credit_budget_;
  ShardBell* bell_ = nullptr;
  std::optional<netcode::Gateway> netcode_;
  std::atomic<bool> draining_ = false;
};

}  // namespace hawser
