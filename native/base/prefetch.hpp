#pragma once

namespace hawser {

// Asks for the cache line of an address, which is about to be used. A hint: it changes nothing, and any
// address will do.
inline void prefetch_line(const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
  // Calls of functions that do nothing else count as having no effect for GCC, which would remove them.
  asm volatile("");
#else
  static_cast<void>(address);
#endif
}

}  // namespace hawser
