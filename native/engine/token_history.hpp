#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/hash_map.hpp"
#include "base/time.hpp"
#include "crypto/key_schedule.hpp"

namespace hawser {

enum class ConsumeVerdict : std::uint8_t {
  kConsumed,
  kAlreadyUsed,
  kHistoryFull,  // full, or the wall clock went back over a time that is forgotten already
  kAskOutside,   // an external history decides (GatewayState)
};

// The single-use tokens that were consumed, each remembered until a given time. A full history refuses and
// never forgets early. Any thread may call anything.
//
// Tokens are filed in a calendar of one-second buckets by the time at which they may be forgotten, so that
// forgetting costs what is forgotten. A token is known by half of its id: 128 bits, so that finding two alike
// takes 2^64 tokens, and would only get one refused. Memory goes back whenever the history runs empty.
class TokenHistory {
 public:
  // `key`: secret and random. At most `max` tokens at once.
  TokenHistory(const SipKey& key, std::uint32_t max) : places_(key, max) {}

  // Whether the token was consumed and is not forgotten yet.
  [[nodiscard]] bool contains(const TokenId& token, WallTime now);

  // Consumes a token, if nobody has: atomic among all callers. It is remembered until the wall clock passes
  // `keep_until`, and up to a second longer. Time that was seen once counts as passed even if the wall clock
  // is set back: what may have been forgotten then is refused with kHistoryFull.
  [[nodiscard]] ConsumeVerdict consume(const TokenId& token, WallTime keep_until, WallTime now);

  // Tokens remembered at `now`.
  [[nodiscard]] std::size_t size(WallTime now);

 private:
  using ShortId = std::array<std::byte, 16>;
  static constexpr std::uint32_t kNone = UINT32_MAX;
  // Tokens that are kept longer than this many seconds come by more than once.
  static constexpr std::int64_t kBuckets = 16'384;

  struct Node {
    ShortId token;
    std::uint32_t next;   // in the bucket, or of the free nodes
    std::int64_t second;  // it is forgotten when this second has passed
  };

  static ShortId shorten(const TokenId& token);
  static std::int64_t second_of(WallTime time);
  [[nodiscard]] std::uint32_t& bucket(std::int64_t second);
  [[nodiscard]] std::uint32_t take_node();
  void forget_expired(WallTime now);
  void sweep(std::int64_t second);
  void release_memory();

  std::mutex mutex_;
  HashMap<ShortId, std::uint32_t> places_;  // the value is the node's index
  std::vector<Node> nodes_;
  std::vector<std::uint32_t>
      buckets_;  // first node of second s at s % kBuckets; no elements while the history is empty
  std::uint32_t free_ = kNone;
  std::int64_t present_ = INT64_MIN;  // seconds before this one are swept
};

}  // namespace hawser
