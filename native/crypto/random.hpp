// Randomness from the operating system.
#pragma once

#include <array>
#include <cstddef>

#include "base/bytes.hpp"
#include "base/random.hpp"

namespace hawser {

// Unpredictable bytes, drawn for this call alone.
void fill_from_system(MutableBytes out);

// Unpredictable bytes. Drawn from the system some hundreds at a time, because one system call per nonce would
// cost more than the sealing; bytes given out are wiped at once. For one thread; not for use after fork() in
// the child.
class SystemRandom final : public RandomSource {
 public:
  SystemRandom() = default;
  SystemRandom(const SystemRandom&) = delete;
  SystemRandom& operator=(const SystemRandom&) = delete;
  ~SystemRandom() override;

  void fill(MutableBytes out) override;

 private:
  std::array<std::byte, 512> buffer_{};
  std::size_t available_ = 0;
};

}  // namespace hawser
