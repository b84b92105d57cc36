#pragma once

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace hawser {

template <class Signature>
class FunctionRef;

// A function to call, not owned: what it was made from outlives it. std::function_ref of C++26 in small.
template <class R, class... Arguments>
class FunctionRef<R(Arguments...)> {
 public:
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, FunctionRef> && std::is_invocable_r_v<R, F&, Arguments...>)
  // Implicit on purpose: a lambda is passed as it is.
  // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload)
  FunctionRef(F&& function)
      : object_(const_cast<void*>(static_cast<const void*>(std::addressof(function)))),
        call_([](void* object, Arguments... arguments) -> R {
          auto& called = *static_cast<std::remove_reference_t<F>*>(object);
          if constexpr (std::is_void_v<R>) {
            static_cast<void>(called(std::forward<Arguments>(arguments)...));
          } else {
            return called(std::forward<Arguments>(arguments)...);
          }
        }) {}

  R operator()(Arguments... arguments) const { return call_(object_, std::forward<Arguments>(arguments)...); }

 private:
  void* object_;
  R (*call_)(void*, Arguments...);
};

}  // namespace hawser
