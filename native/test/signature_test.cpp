#include "crypto/signature.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <string>

#include "crypto/secret.hpp"
#include "wire_support.hpp"

namespace hawser {
namespace {

using test::Buffer;
using test::counting;
using test::from_hex;
using test::to_hex;

template <std::size_t N>
std::array<std::byte, N> array_of(std::string_view hex) {
  const Buffer bytes = from_hex(hex);
  REQUIRE(bytes.size() == N);
  std::array<std::byte, N> result{};
  std::ranges::copy(bytes, result.begin());
  return result;
}

struct Vector {
  const char* seed;
  const char* public_key;
  const char* message;
  const char* signature;
};

// RFC 8032 section 7.1, tests 1, 2 and 3.
constexpr std::array kVectors{
    Vector{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
           "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
           "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
           "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
    Vector{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
           "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
           "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
           "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
    Vector{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
           "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
           "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
           "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

std::array<std::byte, kSignatureKeySize> key_of(const Vector& vector) {
  std::array<std::byte, kSignatureKeySize> key{};
  signature_key(key, array_of<kSignatureSeedSize>(vector.seed));
  return key;
}

TEST_CASE("signature: the vectors of RFC 8032") {
  for (const Vector& vector : kVectors) {
    const auto key = key_of(vector);
    CHECK(to_hex(Bytes(key).last(32)) == vector.public_key);
    const Signature signature = sign(key, from_hex(vector.message));
    CHECK(to_hex(signature) == vector.signature);
    CHECK(verify(array_of<32>(vector.public_key), from_hex(vector.message), signature));
  }
}

TEST_CASE("signature: a seed may lie where its key is written") {
  std::array<std::byte, kSignatureKeySize> key{};
  std::ranges::copy(from_hex(kVectors[1].seed), key.begin());
  signature_key(key, std::span(key).first<kSignatureSeedSize>());
  CHECK(key == key_of(kVectors[1]));
}

TEST_CASE("signature: every bit of key, message and signature counts") {
  const auto key = key_of(kVectors[2]);
  const auto public_key = array_of<32>(kVectors[2].public_key);
  const auto message = counting<40>(9);
  const Signature signature = sign(key, message);
  const auto flipped = [](auto bytes, std::size_t bit) {
    bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
    return bytes;
  };
  for (std::size_t bit = 0; bit < 256; bit += 5)
    CHECK_FALSE(verify(flipped(public_key, bit), message, signature));
  for (std::size_t bit = 0; bit < 320; bit += 5)
    CHECK_FALSE(verify(public_key, flipped(message, bit), signature));
  for (std::size_t bit = 0; bit < 512; bit += 3)
    CHECK_FALSE(verify(public_key, message, flipped(signature, bit)));
  CHECK_FALSE(verify(public_key, Bytes(message).first(39), signature));
}

TEST_CASE("signature: an S that is not below the order is refused (RFC 8032 section 5.1.7)") {
  const auto key = key_of(kVectors[1]);
  Signature signature = sign(key, from_hex("72"));
  // The order: 2^252 + 27742317777372353535851937790883648493.
  const auto order = array_of<32>("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += std::to_integer<unsigned>(signature[32 + i]) + std::to_integer<unsigned>(order[i]);
    signature[32 + i] = static_cast<std::byte>(carry);
    carry >>= 8U;
  }
  REQUIRE(carry == 0);
  CHECK_FALSE(verify(array_of<32>(kVectors[1].public_key), from_hex("72"), signature));
}

TEST_CASE("signature: no key of small order signs everything") {
  // With the neutral element as key and R, and S = 0, the equation holds for every message.
  std::array<std::byte, 32> neutral{std::byte{1}};
  Signature signature{std::byte{1}};
  CHECK_FALSE(verify(neutral, bytes_of("anything"), signature));
  // The same point, encoded as p + 1.
  const auto not_canonical = array_of<32>("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f");
  CHECK_FALSE(verify(not_canonical, bytes_of("anything"), signature));
}

}  // namespace
}  // namespace hawser
