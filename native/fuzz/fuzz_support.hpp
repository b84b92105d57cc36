// What the fuzz targets share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

#include "base/bytes.hpp"

namespace hawser::fuzz {

// The fuzzer reports an abort with the input that led to it. The optimiser merges the calls of one function,
// so that the stack does not tell which of them failed.
inline void require(bool condition, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%d: a requirement does not hold\n", file, line);
  std::abort();
}

inline Bytes input(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

inline bool same(Bytes a, Bytes b) { return std::ranges::equal(a, b); }

}  // namespace hawser::fuzz
