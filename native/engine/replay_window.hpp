#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstddef>
#include <cstdint>

namespace hawser {

// Which packet numbers of one direction have been received: the highest and the 1,023 below it
// (docs/protocol.md section 5, after RFC 6479). A number may only be recorded once its packet is
// authenticated.
//
// The bit of number n is n modulo 1,024, so that the window moves by clearing bits and never shifts them.
class ReplayWindow {
 public:
  static constexpr std::uint64_t kSize = 1024;

  enum class Verdict : std::uint8_t { kNew, kReplayed, kTooOld };

  // Whether anything was recorded. The bit of the highest number is always set, so no flag is needed.
  [[nodiscard]] bool empty() const { return !is_set(highest_); }

  // The highest number recorded; 0 when there is none.
  [[nodiscard]] std::uint64_t highest() const { return highest_; }

  // What to do with a packet of this number. Changes nothing.
  [[nodiscard]] Verdict check(std::uint64_t packet_number) const {
    if (packet_number > highest_) return Verdict::kNew;
    if (highest_ - packet_number >= kSize) return Verdict::kTooOld;
    return is_set(packet_number) ? Verdict::kReplayed : Verdict::kNew;
  }

  // Marks a number that `check` called kNew as received.
  void record(std::uint64_t packet_number) {
    assert(check(packet_number) == Verdict::kNew);
    if (packet_number > highest_) {
      clear(highest_ + 1, packet_number);
      highest_ = packet_number;
    }
    words_[word_of(packet_number)] |= bit_of(packet_number);
  }

  // Calls visit(first, last) for runs of received numbers, both ends included, from the highest down, until
  // it returns false: what an ACK frame lists (RFC 9000 section 19.3.1).
  template <class F>
  void for_each_range(F&& visit) const {
    if (empty()) return;
    std::uint64_t left = std::min(highest_, kSize - 1) + 1;  // numbers not looked at yet
    std::uint64_t last = highest_;
    for (;;) {
      const std::uint64_t length = run_down(last, left, true);
      if (!visit(last - (length - 1), last)) return;
      left -= length;
      if (left == 0) return;
      const std::uint64_t gap = run_down(last - length, left, false);
      left -= gap;
      if (left == 0) return;
      last -= length + gap;
    }
  }

 private:
  static constexpr std::uint64_t kWordBits = 64;
  static constexpr std::uint64_t kWords = kSize / kWordBits;

  static constexpr std::size_t word_of(std::uint64_t number) { return (number / kWordBits) % kWords; }
  static constexpr std::uint64_t bit_of(std::uint64_t number) {
    return std::uint64_t{1} << (number % kWordBits);
  }

  [[nodiscard]] bool is_set(std::uint64_t number) const {
    return (words_[word_of(number)] & bit_of(number)) != 0;
  }

  // Clears the bits of first..last, at most once around.
  void clear(std::uint64_t first, std::uint64_t last) {
    if (last - first >= kSize - 1) {
      words_.fill(0);
      return;
    }
    for (std::uint64_t number = first;;) {
      const std::uint64_t end_of_word = number | (kWordBits - 1);
      const std::uint64_t from_number = ~std::uint64_t{0} << (number % kWordBits);
      std::uint64_t& word = words_[word_of(number)];
      if (end_of_word >= last) {
        const std::uint64_t to_last = ~std::uint64_t{0} >> (kWordBits - 1 - last % kWordBits);
        word &= ~(from_number & to_last);
        return;
      }
      word &= ~from_number;
      number = end_of_word + 1;
    }
  }

  // How many numbers from `from` downwards, at most `limit`, are received (or, if `set` is false, are not).
  [[nodiscard]] std::uint64_t run_down(std::uint64_t from, std::uint64_t limit, bool set) const {
    std::uint64_t length = 0;
    while (length < limit) {
      const std::uint64_t number = from - length;
      const std::uint64_t word = words_[word_of(number)];
      const std::uint64_t in_word = number % kWordBits + 1;
      const std::uint64_t aligned = (set ? word : ~word) << (kWordBits - in_word);
      const auto ones = static_cast<std::uint64_t>(std::countl_one(aligned));
      length += std::min(ones, in_word);
      if (ones < in_word) break;
    }
    return std::min(length, limit);
  }

  std::uint64_t highest_ = 0;
  std::array<std::uint64_t, kWords> words_{};
};
static_assert(sizeof(ReplayWindow) == 136);

}  // namespace hawser
