// BLAKE2b (RFC 7693), keyed or not, without salt and personalisation.
#pragma once

#include <array>
#include <cstddef>
#include <initializer_list>
#include <span>

#include "base/bytes.hpp"

namespace hawser {

using Hash128 = std::array<std::byte, 16>;
using Hash256 = std::array<std::byte, 32>;

// The hash of the parts one after the other. `key` is empty (no key) or 1 to 64 bytes.
[[nodiscard]] Hash128 blake2b_128(Bytes key, std::initializer_list<Bytes> parts);
[[nodiscard]] Hash256 blake2b_256(Bytes key, std::initializer_list<Bytes> parts);
[[nodiscard]] std::array<std::byte, 64> blake2b_512(Bytes key, std::initializer_list<Bytes> parts);

// The same, written to where a secret lives, so that no copy of it stays on the stack.
void blake2b_256(std::span<std::byte, 32> out, Bytes key, std::initializer_list<Bytes> parts);
void blake2b_512(std::span<std::byte, 64> out, Bytes key, std::initializer_list<Bytes> parts);

// A label of docs/protocol.md: the characters of a literal and the zero byte after them.
template <std::size_t N>
[[nodiscard]] Bytes label_bytes(const char (&label)[N]) {
  return std::as_bytes(std::span<const char, N>(label));
}

}  // namespace hawser
