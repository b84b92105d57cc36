// Bytes that must not outlive their use.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "base/bytes.hpp"

namespace hawser {

// Overwrites with zeros in a way that the compiler cannot drop.
void wipe(MutableBytes bytes);

// Compares in a time that depends on the lengths only; they are not secret, and unequal ones compare as
// false.
[[nodiscard]] bool constant_time_equal(Bytes a, Bytes b);

// N bytes, all zero at first, wiped when they die or are moved from. Not copyable, so that every copy of a
// secret is written out: `Key copy{key.bytes()}`.
template <std::size_t N>
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::span<const std::byte, N> bytes) {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin());
  }
  Secret(const Secret&) = delete;
  Secret& operator=(const Secret&) = delete;
  Secret(Secret&& other) noexcept : bytes_(other.bytes_) { wipe(other.bytes_); }
  Secret& operator=(Secret&& other) noexcept {
    if (this != &other) {
      bytes_ = other.bytes_;
      wipe(other.bytes_);
    }
    return *this;
  }
  ~Secret() { wipe(bytes_); }

  [[nodiscard]] std::span<const std::byte, N> bytes() const { return bytes_; }
  [[nodiscard]] std::span<std::byte, N> mutable_bytes() { return bytes_; }

 private:
  std::array<std::byte, N> bytes_{};
};

using Key = Secret<32>;

}  // namespace hawser
