#include "crypto/base64.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <string_view>

#include "base/random.hpp"
#include "crypto/random.hpp"
#include "wire_support.hpp"

namespace hawser {
namespace {

using test::Buffer;
using test::random_bytes;

std::string encoded(Bytes bytes) {
  std::string text(base64_encoded_size(bytes.size()), '\0');
  encode_base64(std::as_writable_bytes(std::span(text)), bytes);
  return text;
}

// What a text stands for; nothing when it is refused.
std::optional<std::string> decoded(std::string_view text) {
  const auto size = base64_decoded_size(bytes_of(text));
  if (!size) return std::nullopt;
  std::string result(*size, '?');
  const MutableBytes out = std::as_writable_bytes(std::span(result));
  if (decode_base64(out, bytes_of(text))) return result;
  CHECK(all_zero(out));
  return std::nullopt;
}

TEST_CASE("base64: the vectors of RFC 4648 section 10") {
  const std::array<std::pair<const char*, const char*>, 7> vectors{{{"", ""},
                                                                    {"f", "Zg=="},
                                                                    {"fo", "Zm8="},
                                                                    {"foo", "Zm9v"},
                                                                    {"foob", "Zm9vYg=="},
                                                                    {"fooba", "Zm9vYmE="},
                                                                    {"foobar", "Zm9vYmFy"}}};
  for (const auto& [plain, text] : vectors) {
    CHECK(encoded(bytes_of(plain)) == text);
    CHECK(decoded(text) == plain);
  }
}

TEST_CASE("base64: what is encoded is decoded again") {
  SystemRandom random;
  for (std::size_t size = 0; size < 200; ++size) {
    const Buffer bytes = random_bytes(random, size);
    const auto back = decoded(encoded(bytes));
    REQUIRE(back.has_value());
    CHECK(std::ranges::equal(bytes_of(*back), bytes));
  }
}

TEST_CASE("base64: whatever another alphabet, white space or a sloppy encoder makes is refused") {
  for (const std::string_view text :
       {"Zg",       "Zg=",  "Zm9",  "Zm9vZ", "Z===",   "====", "=Zg=",  "Zg=v",         "Zm=v",    "Zm9v====",
        "Zg==Zg==", "Zh==", "Zm9=", "Zm-_",  "Zm9v\n", "Zm 9", "\nZm9", "Zm9v Zm9vYg=", "Zm\x80v", " Zg="}) {
    CAPTURE(text);
    CHECK_FALSE(decoded(text).has_value());
  }
  for (unsigned value = 0; value < 256; ++value) {
    const std::string text{'Z', 'm', static_cast<char>(value), 'v'};
    const bool known =
        std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").find(text[2]) !=
        std::string_view::npos;
    CHECK(decoded(text).has_value() == known);
  }
  using namespace std::string_view_literals;
  CHECK_FALSE(decoded("Zm\0v"sv).has_value());
}

}  // namespace
}  // namespace hawser
