// Base64 (RFC 4648 section 4) of secrets: no table is read at a place that depends on them.
#pragma once

#include <cstddef>
#include <optional>

#include "base/bytes.hpp"

namespace hawser {

// How many bytes a text stands for, by its length and its padding alone; nothing when the length is no
// multiple of four or the padding is none. Says nothing about the other characters.
[[nodiscard]] std::optional<std::size_t> base64_decoded_size(Bytes text);

// Decodes a whole text into `out`, which has exactly base64_decoded_size() bytes and does not overlap it.
// False for whatever encode_base64() would not have written: another alphabet, white space, missing padding,
// bits that are left over. `out` is then zeros.
[[nodiscard]] bool decode_base64(MutableBytes out, Bytes text);

// The characters that `size` bytes take.
[[nodiscard]] constexpr std::size_t base64_encoded_size(std::size_t size) { return (size + 2) / 3 * 4; }

// `out` has exactly base64_encoded_size() bytes and does not overlap `bytes`. No terminator is written.
void encode_base64(MutableBytes out, Bytes bytes);

}  // namespace hawser
