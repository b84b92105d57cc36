#pragma once

#include <cstdint>

namespace hawser {

// Counts what the present thread asks of operator new, in all its forms, from the construction of this object
// on. The test program replaces the global operators with counting ones over malloc, which sanitizers see as
// before. Direct calls of malloc, as inside C libraries, are not counted (under clang's thread sanitizer they
// are).
class AllocationCount {
 public:
  AllocationCount();

  // Allocations since then.
  [[nodiscard]] std::uint64_t count() const;

 private:
  std::uint64_t start_;
};

}  // namespace hawser
