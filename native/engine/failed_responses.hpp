#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/time.hpp"
#include "crypto/key_schedule.hpp"

namespace hawser {

// Counts the RESPONSEs with a valid cookie that did not open. An observer can copy a cookie and send it with
// junk from a spoofed address: each cookie is good for kLimit such RESPONSEs. Clients never need more than
// none, since what they send opens.
//
// Fixed size: a cookie takes the place of an older one that has the same cell. Whoever has many cookies gains
// nothing by that, since each of them has the limit anyway.
class FailedResponses {
 public:
  static constexpr std::uint32_t kLimit = 4;
  // Longer than any cookie lives.
  static constexpr Duration kRemembered = std::chrono::seconds(6);

  // Whether no further RESPONSE with this cookie is opened. `cookie`: its MAC, which has been verified.
  [[nodiscard]] bool exhausted(const CookieMac& cookie, Instant now) const {
    if (cells_ == nullptr) return false;
    const Cell& cell = cells_->at(index_of(cookie));
    return cell.count >= kLimit && cell.cookie == cookie && now < cell.forget_at;
  }

  // A RESPONSE with this cookie did not open.
  void add(const CookieMac& cookie, Instant now) {
    if (cells_ == nullptr) cells_ = std::make_unique<Cells>();
    Cell& cell = cells_->at(index_of(cookie));
    if (cell.cookie != cookie || now >= cell.forget_at) cell = Cell{cookie, 0, now + kRemembered};
    ++cell.count;
  }

  // Memory held, in bytes.
  [[nodiscard]] std::size_t allocated_bytes() const { return cells_ == nullptr ? 0 : sizeof(Cells); }

 private:
  struct Cell {
    CookieMac cookie{};
    std::uint32_t count = 0;
    Instant forget_at{};
  };
  using Cells = std::array<Cell, 1024>;

  // A verified MAC is as good as a keyed hash.
  static std::size_t index_of(const CookieMac& cookie) {
    return (std::to_integer<std::size_t>(cookie[0]) | std::to_integer<std::size_t>(cookie[1]) << 8U) %
           std::tuple_size_v<Cells>;
  }

  std::unique_ptr<Cells> cells_;
};

}  // namespace hawser
