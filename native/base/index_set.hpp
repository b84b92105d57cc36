#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hawser {

// A set of small indices that answers which is the lowest, for pools that fill their low chunks first.
class IndexSet {
 public:
  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

  // Allocates when `index` is higher than any before.
  void insert(std::size_t index) {
    const std::size_t word = index / 64;
    if (word >= words_.size()) words_.resize(word + 1, 0);
    words_[word] |= std::uint64_t{1} << (index % 64);
    if (word < first_word_) first_word_ = word;
  }

  // Does nothing when it is not there.
  void erase(std::size_t index) {
    if (index / 64 < words_.size()) words_[index / 64] &= ~(std::uint64_t{1} << (index % 64));
  }

  // The lowest index in the set, or kNone. Skips empty words, 64 indices a step, and remembers where it got
  // to.
  std::size_t lowest() {
    while (first_word_ < words_.size()) {
      if (const std::uint64_t bits = words_[first_word_]; bits != 0) {
        return first_word_ * 64 + static_cast<std::size_t>(std::countr_zero(bits));
      }
      ++first_word_;
    }
    return kNone;
  }

 private:
  std::vector<std::uint64_t> words_;
  std::size_t first_word_ = 0;  // all words before it are zero
};

}  // namespace hawser
