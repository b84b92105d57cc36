#include "engine/cookie_records.hpp"

#include <algorithm>

namespace hawser {

std::shared_ptr<const CookieRecord> CookieRecords::current(Instant now) {
  const std::lock_guard lock(mutex_);
  erase(now);
  const auto& newest = records_[(made_ + kPlaces - 1) % kPlaces];
  if (newest != nullptr && now - newest->made < kUse) return newest;

  auto record = std::make_shared<CookieRecord>();
  record->index = static_cast<std::uint8_t>(made_);
  record->made = now;
  random_.fill(record->cookie_key.mutable_bytes());
  record->share = KeyPair::generate(random_);
  auto& place = records_[made_ % kPlaces];
  place = std::move(record);
  ++made_;
  return place;
}

std::shared_ptr<const CookieRecord> CookieRecords::find(std::uint8_t index, Instant now) {
  const std::lock_guard lock(mutex_);
  erase(now);
  const auto& record = records_[index % kPlaces];
  return record != nullptr && record->index == index ? record : nullptr;
}

Instant CookieRecords::erase_expired(Instant now) {
  const std::lock_guard lock(mutex_);
  erase(now);
  Instant earliest = kNever;
  for (const auto& record : records_) {
    if (record != nullptr) earliest = std::min(earliest, record->made + kLifetime);
  }
  return earliest;
}

void CookieRecords::erase(Instant now) {
  for (auto& record : records_) {
    if (record != nullptr && now - record->made >= kLifetime) record.reset();
  }
}

}  // namespace hawser
