// What the fuzz targets share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "base/bytes.hpp"

namespace hawser::fuzz {

// The fuzzer reports an abort with the input that led to it.
inline void require(bool condition) {
  if (!condition) std::abort();
}

inline Bytes input(const std::uint8_t* data, std::size_t size) {
  return std::as_bytes(std::span(data, size));
}

inline bool same(Bytes a, Bytes b) { return std::ranges::equal(a, b); }

}  // namespace hawser::fuzz
