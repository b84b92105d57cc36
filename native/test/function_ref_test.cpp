#include "base/function_ref.hpp"

#include <doctest/doctest.h>

#include <memory>
#include <utility>

namespace hawser {
namespace {

int twice(FunctionRef<int(int)> function) { return function(1) + function(2); }

TEST_CASE("function ref: calls the function itself, not a copy of it") {
  int sum = 0;
  auto add = [sum](int value) mutable { return sum += value; };
  CHECK(twice(add) == 1 + 3);
  CHECK(twice(add) == 4 + 6);
  CHECK(twice([&sum](int value) { return sum += value; }) == 1 + 3);
  CHECK(sum == 3);
}

TEST_CASE("function ref: a copy calls the same function, and a constant one is called as such") {
  struct Counts {
    int operator()() { return 1; }
    int operator()() const { return 2; }
  };
  Counts counts;
  const Counts constant;
  FunctionRef<int()> first = counts;
  const FunctionRef<int()> copy = first;
  CHECK(copy() == 1);
  first = constant;
  CHECK(first() == 2);
  CHECK(copy() == 1);
}

TEST_CASE("function ref: passes arguments on as they are") {
  const auto take = [](std::unique_ptr<int> owned, int& changed) {
    changed = *owned;
    return owned;
  };
  const FunctionRef<std::unique_ptr<int>(std::unique_ptr<int>, int&)> function = take;
  int changed = 0;
  CHECK(*function(std::make_unique<int>(7), changed) == 7);
  CHECK(changed == 7);
}

TEST_CASE("function ref: a result that nobody wants is dropped") {
  int calls = 0;
  const auto count = [&calls] { return ++calls; };
  const FunctionRef<void()> function = count;
  function();
  CHECK(calls == 1);
}

}  // namespace
}  // namespace hawser
