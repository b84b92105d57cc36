#include "engine/cookie_records.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>

#include "base/random.hpp"

namespace hawser {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

const Instant kStart(seconds(100));

TEST_CASE("cookie records: one record serves a second") {
  SeededRandom random(1);
  CookieRecords records(random);
  const auto first = records.current(kStart);
  REQUIRE(first != nullptr);
  CHECK(first->index == 0);
  CHECK(first->made == kStart);
  CHECK_FALSE(all_zero(first->cookie_key.bytes()));
  CHECK(records.current(kStart + milliseconds(999)) == first);
  const auto second = records.current(kStart + seconds(1));
  CHECK(second != first);
  CHECK(second->index == 1);
  CHECK_FALSE(std::ranges::equal(first->cookie_key.bytes(), second->cookie_key.bytes()));
  CHECK(first->share.share != second->share.share);
}

TEST_CASE("cookie records: a record can be found for six seconds, by its own index only") {
  SeededRandom random(1);
  CookieRecords records(random);
  const auto record = records.current(kStart);
  CHECK(records.find(0, kStart + seconds(6) - Duration(1)) == record);
  CHECK(records.find(1, kStart) == nullptr);
  CHECK(records.find(8, kStart) == nullptr);
  CHECK(records.find(0, kStart + seconds(6)) == nullptr);
}

TEST_CASE("cookie records: an old record is erased, also when nobody asks for one") {
  SeededRandom random(1);
  CookieRecords records(random);
  CHECK(records.erase_expired(kStart) == kNever);
  const std::weak_ptr<const CookieRecord> first = records.current(kStart);
  const std::weak_ptr<const CookieRecord> second = records.current(kStart + milliseconds(1500));
  CHECK(records.erase_expired(kStart + seconds(5)) == kStart + seconds(6));
  CHECK_FALSE(first.expired());
  CHECK(records.erase_expired(kStart + seconds(6)) == kStart + milliseconds(7500));
  CHECK(first.expired());
  CHECK_FALSE(second.expired());
  CHECK(records.erase_expired(kStart + seconds(60)) == kNever);
  CHECK(second.expired());
}

TEST_CASE("cookie records: a record that is in use outlives its place") {
  SeededRandom random(1);
  CookieRecords records(random);
  const auto record = records.current(kStart);
  CHECK(records.find(0, kStart + hours(1)) == nullptr);
  CHECK(record->index == 0);
  CHECK_FALSE(all_zero(record->cookie_key.bytes()));
}

TEST_CASE("cookie records: every record of the last six seconds is there, also after the index wrapped") {
  SeededRandom random(2);
  CookieRecords records(random);
  for (unsigned i = 0; i < 700; ++i) {
    CAPTURE(i);
    const Instant now = kStart + seconds(i);
    CHECK(records.current(now)->index == i % 256);
    for (unsigned age = 0; age <= std::min(i, 5U); ++age) {
      const auto found = records.find(static_cast<std::uint8_t>(i - age), now);
      REQUIRE(found != nullptr);
      CHECK(found->made == kStart + seconds(i - age));
    }
    CHECK(records.find(static_cast<std::uint8_t>(i + 1), now) == nullptr);
    if (i >= 6) CHECK(records.find(static_cast<std::uint8_t>(i - 6), now) == nullptr);
  }
}

}  // namespace
}  // namespace hawser
