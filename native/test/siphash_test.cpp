#include "base/siphash.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>

#include "base/random.hpp"

namespace hawser {
namespace {

// The message of the reference vectors: 00 01 02 ...
std::array<std::byte, 64> counting_bytes() {
  std::array<std::byte, 64> result{};
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = static_cast<std::byte>(i);
  return result;
}

TEST_CASE("siphash: 2-4 gives the vectors of the reference implementation") {
  // Key 00 01 .. 0f, message the first n counting bytes; the last one is the example of the paper's appendix
  // A.
  constexpr std::array<std::uint64_t, 16> kExpected = {
      0x726fdb47dd0e0e31U, 0x74f839c593dc67fdU, 0x0d6c8009d9a94f5aU, 0x85676696d7fb7e2dU,
      0xcf2794e0277187b7U, 0x18765564cd99a68dU, 0xcbc9466e58fee3ceU, 0xab0200f58b01d137U,
      0x93f5f5799a932462U, 0x9e0082df0ba9e4b0U, 0x7a5dbbc594ddb9f3U, 0xf4b32f46226bada7U,
      0x751e8fbc860ee5fbU, 0x14ea5627c0843d90U, 0xf723ca908e7af2eeU, 0xa129ca6149be45e5U};
  const SipKey key{0x0706050403020100U, 0x0f0e0d0c0b0a0908U};
  const auto message = counting_bytes();
  for (std::size_t length = 0; length < kExpected.size(); ++length) {
    CAPTURE(length);
    CHECK(siphash<2, 4>(key, Bytes(message).first(length)) == kExpected[length]);
  }
}

TEST_CASE("siphash: 1-3 agrees with CPython") {
  // hash(bytes(range(n))) for n = 1.. of CPython 3.11 with PYTHONHASHSEED=42, whose key is the first 16 bytes
  // that its linear congruential generator makes of the seed (Python/bootstrap_hash.c).
  constexpr std::array<std::uint64_t, 32> kExpected = {
      0xce880c366bcf3489U, 0xef32fbc0469f0756U, 0xef4b9dcae9b04417U, 0x79793200f3b3b3dbU, 0xbe8653fc64f95fbdU,
      0xb32b5a11619800ddU, 0xce280fabc397fbdaU, 0x60866c3c108c6afbU, 0x68814005f7469e03U, 0x060a514cd0a2e301U,
      0x72f315ef14fb4b09U, 0x550fe6ca26ef7fddU, 0x19c8185b4c3e2799U, 0xfaa1fc2224a07929U, 0x94ace24d68c18cf8U,
      0x339176f3ac59ce05U, 0xed2706b414c296f1U, 0xcdd77102531929e2U, 0x33a51c4b838d8070U, 0xa7dbb0b1fa0842a3U,
      0x20dfd910e0134ee5U, 0xcd0fe2c8291e801eU, 0xad71bad831e3a42dU, 0xae431c6fb201ce8bU, 0x0979abaf2e4d385eU,
      0x7a6386516c9db280U, 0xb0c2acd9e8f32b9cU, 0x539526f9be7bc8e8U, 0x80aca43c39d622a3U, 0x02bdd64163fc53a4U,
      0x06f3af51bda71c61U, 0x26f2ecd47de50371U};
  const SipKey key{0xdc504fd368cd90afU, 0xb920bb9ffe99e9c1U};
  const auto message = counting_bytes();
  for (std::size_t length = 1; length <= kExpected.size(); ++length) {
    CAPTURE(length);
    CHECK(siphash13(key, Bytes(message).first(length)) == kExpected[length - 1]);
  }
}

TEST_CASE("siphash: an integer hashes as its eight little-endian bytes, an array as its bytes") {
  SeededRandom random(7);
  const SipKey key{random.u64(), random.u64()};
  const std::uint64_t value = random.u64();
  std::array<std::byte, 8> encoded{};
  store_little_endian(encoded.data(), value);
  CHECK(hash_value(key, value) == siphash13(key, encoded));
  CHECK(hash_value(key, encoded) == siphash13(key, encoded));
  CHECK(hash_value(key, std::uint16_t{5}) == hash_value(key, std::uint64_t{5}));
  CHECK(hash_value(SipKey{1, 2}, value) != hash_value(SipKey{2, 1}, value));
}

}  // namespace
}  // namespace hawser
