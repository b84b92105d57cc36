#pragma once

#include <cassert>
#include <concepts>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

namespace hawser {

// Wraps an error on its way into a Result, so that value and error may be of one type: `return
// Failure{error};`.
template <class E>
struct Failure {
  E error;
};
template <class E>
Failure(E) -> Failure<E>;

template <class T>
inline constexpr bool kIsFailure = false;
template <class E>
inline constexpr bool kIsFailure<Failure<E>> = true;

// A value of type T or the reason of type E why there is none; std::expected of C++23 in small.
template <class T, class E>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  using error_type = E;

  template <class U = T>
    requires(std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, Result> &&
             !kIsFailure<std::remove_cvref_t<U>>)
  // Implicit on purpose, for `return value;`; the constraint leaves copies and moves alone.
  // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload)
  Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}

  template <class G>
    requires std::convertible_to<G, E>
  // Implicit on purpose, for `return Failure{error};`.
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Failure<G> failure) : state_(std::in_place_index<1>, std::move(failure.error)) {}

  [[nodiscard]] bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }

  // The value. Calling any of these on a failure is a mistake of the caller, asserted.
  [[nodiscard]] T& value() & { return *checked_value(); }
  [[nodiscard]] const T& value() const& { return *checked_value(); }
  [[nodiscard]] T&& value() && { return std::move(*checked_value()); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return checked_value(); }
  const T* operator->() const { return checked_value(); }

  // The reason. Calling it on a success is a mistake of the caller, asserted.
  [[nodiscard]] const E& error() const {
    assert(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  T* checked_value() {
    assert(has_value());
    return std::get_if<0>(&state_);
  }
  const T* checked_value() const {
    assert(has_value());
    return std::get_if<0>(&state_);
  }

  std::variant<T, E> state_;
};

// Success without a value, or the reason of failure: `return {};` or `return Failure{error};`.
template <class E>
class [[nodiscard]] Result<void, E> {
 public:
  using value_type = void;
  using error_type = E;

  Result() = default;

  template <class G>
    requires std::convertible_to<G, E>
  // Implicit on purpose, for `return Failure{error};`.
  // NOLINTNEXTLINE(google-explicit-constructor)
  Result(Failure<G> failure) : error_(std::in_place, std::move(failure.error)) {}

  [[nodiscard]] bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }

  // The reason. Calling it on a success is a mistake of the caller, asserted.
  [[nodiscard]] const E& error() const {
    assert(!has_value());
    return *error_;
  }

 private:
  std::optional<E> error_;
};

}  // namespace hawser
