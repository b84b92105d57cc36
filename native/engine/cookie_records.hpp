#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "base/random.hpp"
#include "base/time.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/secret.hpp"

namespace hawser {

// One second's secret: docs/protocol.md section 3, CHALLENGE.
struct CookieRecord {
  std::uint8_t index = 0;  // the record's number modulo 256
  Instant made{};
  Key cookie_key;
  KeyPair share;
};

// The cookie records of a gateway. Any thread may call anything; what is given out stays valid, and is wiped
// when the last holder lets go, so holders keep it for one datagram only.
class CookieRecords {
 public:
  static constexpr Duration kUse = std::chrono::seconds(1);
  static constexpr Duration kLifetime = std::chrono::seconds(6);

  // `random` must outlive this.
  explicit CookieRecords(RandomSource& random) : random_(random) {}

  // The record for new cookies: never null. Makes one when the newest is a second old. Erases old ones.
  [[nodiscard]] std::shared_ptr<const CookieRecord> current(Instant now);

  // The record of an index; null when there is none or it is six seconds old. Erases old ones.
  [[nodiscard]] std::shared_ptr<const CookieRecord> find(std::uint8_t index, Instant now);

  // Erases the records that are six seconds old. The result says when the next one will be; kNever if none is
  // left.
  Instant erase_expired(Instant now);

 private:
  // A record a second at most and six seconds of life: a record is gone before its place is needed again.
  static constexpr std::size_t kPlaces = 8;

  void erase(Instant now);

  RandomSource& random_;
  std::mutex mutex_;
  std::array<std::shared_ptr<const CookieRecord>, kPlaces> records_;  // of number n at n % kPlaces
  std::uint64_t made_ = 0;                                            // the next record's number
};

}  // namespace hawser
