#include "crypto/base64.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "crypto/secret.hpp"
#include "crypto/sodium_bytes.hpp"

namespace hawser {

std::optional<std::size_t> base64_decoded_size(Bytes text) {
  constexpr std::byte kPadding{'='};
  if (text.size() % 4 != 0) return std::nullopt;
  if (text.empty()) return 0;
  const std::size_t padding = text.back() != kPadding ? 0U : text[text.size() - 2] != kPadding ? 1U : 2U;
  return text.size() / 4 * 3 - padding;
}

bool decode_base64(MutableBytes out, Bytes text) {
  assert(base64_decoded_size(text) == out.size());
  // libsodium takes some bytes that are no ASCII for characters of the alphabet.
  std::byte seen{0};
  for (const std::byte each : text) seen |= each;
  const bool ascii = (seen & std::byte{0x80}) == std::byte{0};
  std::size_t written = 0;
  // Without an end to report, libsodium refuses a text that it does not read to its end.
  const bool decoded =
      ascii &&
      sodium_base642bin(sodium_bytes(out), out.size(), reinterpret_cast<const char*>(text.data()),
                        text.size(), nullptr, &written, nullptr, sodium_base64_VARIANT_ORIGINAL) == 0;
  if (decoded && written == out.size()) return true;
  wipe(out);
  return false;
}

void encode_base64(MutableBytes out, Bytes bytes) {
  assert(out.size() == base64_encoded_size(bytes.size()));
  // libsodium ends what it writes with a zero, for which `out` has no room: three bytes at a time go through
  // here.
  std::array<char, 5> four{};
  for (std::size_t from = 0; from < bytes.size(); from += 3) {
    const Bytes three = bytes.subspan(from, std::min<std::size_t>(3, bytes.size() - from));
    sodium_bin2base64(four.data(), four.size(), sodium_bytes(three), three.size(),
                      sodium_base64_VARIANT_ORIGINAL);
    std::ranges::copy(std::as_bytes(std::span(four)).first(4),
                      out.begin() + static_cast<std::ptrdiff_t>(from / 3 * 4));
  }
  wipe(std::as_writable_bytes(std::span(four)));
}

}  // namespace hawser
