#include "base/result.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <type_traits>

namespace hawser {
namespace {

enum class Reason { kNone, kTooShort, kTooLong };

Result<int, Reason> parse(int length) {
  if (length < 2) return Failure{Reason::kTooShort};
  if (length > 4) return Failure{Reason::kTooLong};
  return length * 10;
}

TEST_CASE("result: holds the value or the reason") {
  const auto good = parse(3);
  CHECK(good.has_value());
  CHECK(static_cast<bool>(good));
  CHECK(good.value() == 30);
  CHECK(*good == 30);
  const auto bad = parse(1);
  CHECK_FALSE(bad.has_value());
  CHECK_FALSE(static_cast<bool>(bad));
  CHECK(bad.error() == Reason::kTooShort);
  CHECK(parse(5).error() == Reason::kTooLong);
}

TEST_CASE("result: value and error may be of the same type") {
  const Result<int, int> good = 1;
  const Result<int, int> bad = Failure{1};
  CHECK(good.has_value());
  CHECK_FALSE(bad.has_value());
  CHECK(bad.error() == 1);
}

TEST_CASE("result: moves what cannot be copied, and converts to a base") {
  struct Base {
    virtual ~Base() = default;
    [[nodiscard]] virtual int number() const { return 1; }
  };
  struct Derived final : Base {
    [[nodiscard]] int number() const override { return 2; }
  };
  const auto open = [](bool succeed) -> Result<std::unique_ptr<Base>, Reason> {
    if (!succeed) return Failure{Reason::kTooLong};
    return std::make_unique<Derived>();
  };
  auto result = open(true);
  REQUIRE(result);
  CHECK((*result)->number() == 2);
  const std::unique_ptr<Base> taken = std::move(result).value();
  CHECK(taken->number() == 2);
  // Moved out of, the result still holds a value: an empty pointer.
  CHECK(result.value() == nullptr);  // NOLINT(bugprone-use-after-move)
  CHECK(open(false).error() == Reason::kTooLong);
}

TEST_CASE("result: the value can be changed in place") {
  Result<std::string, Reason> result = std::string("rope");
  result->append("s");
  *result += "!";
  CHECK(result.value() == "ropes!");
}

TEST_CASE("result: can be copied and assigned anew") {
  const Result<int, Reason> original = 7;
  Result<int, Reason> copy = original;
  CHECK(copy.value() == 7);
  copy = Failure{Reason::kTooLong};
  CHECK(copy.error() == Reason::kTooLong);
  copy = 8;
  CHECK(copy.value() == 8);
  CHECK(original.value() == 7);
}

TEST_CASE("result: without a value") {
  const auto check = [](bool good) -> Result<void, Reason> {
    if (!good) return Failure{Reason::kTooShort};
    return {};
  };
  CHECK(check(true).has_value());
  CHECK_FALSE(check(false));
  CHECK(check(false).error() == Reason::kTooShort);
}

static_assert(!std::is_convertible_v<Result<int, Reason>, bool>);
static_assert(!std::is_convertible_v<Failure<std::string>, Result<int, Reason>>);

}  // namespace
}  // namespace hawser
