#include "crypto/chacha20_poly1305.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "crypto/aead.hpp"
#include "wire_support.hpp"

#if HAWSER_OWN_CHACHA20_POLY1305
#include "crypto/chacha20.hpp"
#include "crypto/poly1305.hpp"
#endif

namespace hawser {
namespace {

using chacha20_poly1305::kShortTextSize;
using test::Buffer;
using test::counting;
using test::from_hex;
using test::random_array;
using test::random_bytes;
using test::to_hex;

using CipherKey = std::array<std::byte, chacha20_poly1305::kKeySize>;
using CipherNonce = std::array<std::byte, chacha20_poly1305::kNonceSize>;
using Tag = std::array<std::byte, chacha20_poly1305::kTagSize>;

const unsigned char* u8(Bytes bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* u8(MutableBytes bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

template <std::size_t N>
std::array<std::byte, N> array_of(std::string_view hex) {
  std::array<std::byte, N> result{};
  const Buffer bytes = from_hex(hex);
  REQUIRE(bytes.size() == N);
  std::ranges::copy(bytes, result.begin());
  return result;
}

struct Sealed {
  Buffer text;
  Tag tag{};
};

Sealed sealed_by_libsodium(Bytes plaintext, const CipherKey& key, const CipherNonce& nonce,
                           Bytes associated_data) {
  Sealed result;
  result.text.reserve(1);  // libsodium wants an address even of nothing
  result.text.resize(plaintext.size());
  crypto_aead_chacha20poly1305_ietf_encrypt_detached(
      u8(MutableBytes(result.text)), u8(MutableBytes(result.tag)), nullptr, u8(plaintext), plaintext.size(),
      u8(associated_data), associated_data.size(), nullptr, u8(Bytes(nonce)), u8(Bytes(key)));
  return result;
}

#if HAWSER_OWN_CHACHA20_POLY1305

std::string repeated(std::string_view hex, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += hex;
  return result;
}

TEST_CASE("chacha20: the block of RFC 8439 section 2.3.2, alone and as any of several") {
  const std::string expected =
      "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e"
      "d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e";
  const auto key = counting<32>(0);
  const auto nonce = array_of<12>("000000090000004a00000000");
  std::array<std::byte, 4 * kChaCha20BlockSize> out{};
  const auto block = [&out](std::size_t i) {
    return to_hex(Bytes(out).subspan(i * kChaCha20BlockSize, kChaCha20BlockSize));
  };
  chacha20_blocks<1>(out.data(), key, nonce, 1);
  CHECK(block(0) == expected);
  chacha20_blocks<2>(out.data(), key, nonce, 0);
  CHECK(block(1) == expected);
  chacha20_blocks<3>(out.data(), key, nonce, 0xffff'ffff);
  CHECK(block(2) == expected);
  chacha20_blocks<4>(out.data(), key, nonce, 0xffff'fffe);
  CHECK(block(3) == expected);
}

TEST_CASE("chacha20: every block is libsodium's") {
  SeededRandom random(21);
  for (int round = 0; round < 50; ++round) {
    CAPTURE(round);
    const auto key = random_array<32>(random);
    const auto nonce = random_array<12>(random);
    const auto first_counter = static_cast<std::uint32_t>(random.below(1U << 31U));
    std::array<std::byte, 4 * kChaCha20BlockSize> expected{};
    crypto_stream_chacha20_ietf_xor_ic(u8(MutableBytes(expected)), u8(Bytes(expected)), expected.size(),
                                       u8(Bytes(nonce)), first_counter, u8(Bytes(key)));
    std::array<std::byte, 4 * kChaCha20BlockSize> out{};
    chacha20_blocks<1>(out.data(), key, nonce, first_counter);
    CHECK(std::equal(out.begin(), out.begin() + 64, expected.begin()));
    chacha20_blocks<2>(out.data(), key, nonce, first_counter);
    CHECK(std::equal(out.begin(), out.begin() + 128, expected.begin()));
    chacha20_blocks<3>(out.data(), key, nonce, first_counter);
    CHECK(std::equal(out.begin(), out.begin() + 192, expected.begin()));
    chacha20_blocks<4>(out.data(), key, nonce, first_counter);
    CHECK(out == expected);
  }
}

// The tag of a message that is not padded, as RFC 8439 section 2.5 alone has it.
Tag poly1305(Bytes message, const CipherKey& key) {
  Poly1305 poly(key);
  const std::size_t whole = message.size() / kPoly1305BlockSize * kPoly1305BlockSize;
  poly.padded(message.first(whole));
  if (whole < message.size()) poly.partial(message.subspan(whole));
  Tag tag{};
  poly.finish(tag);
  return tag;
}

TEST_CASE("poly1305: the vectors of RFC 8439 section 2.5.2 and appendix A.3") {
  const std::string contribution = to_hex(bytes_of(
      "Any submission to the IETF intended by the Contributor for publication as all or part of an IETF "
      "Internet-Draft or RFC and any statement made within the context of an IETF activity is considered an "
      "\"IETF Contribution\". Such statements include oral statements in IETF sessions, as well as written "
      "and "
      "electronic communications made at any time or place, which are addressed to"));
  const std::string zeros = repeated("00", 16);
  const std::string one = "01" + repeated("00", 15);
  const std::string two = "02" + repeated("00", 15);
  const std::string ones = repeated("ff", 16);
  struct Vector {
    const char* name;
    std::string key;
    std::string message;
    std::string tag;
  };
  for (const Vector& vector : {
           Vector{"2.5.2", "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b",
                  to_hex(bytes_of("Cryptographic Forum Research Group")), "a8061dc1305136c6c22b8baf0c0127a9"},
           Vector{"1", zeros + zeros, repeated("00", 64), zeros},
           Vector{"2", zeros + "36e5f6b5c5e06070f0efca96227a863e", contribution,
                  "36e5f6b5c5e06070f0efca96227a863e"},
           Vector{"3", "36e5f6b5c5e06070f0efca96227a863e" + zeros, contribution,
                  "f3477e7cd95417af89a6b8794c310cf0"},
           Vector{
               "4", "1c9240a5eb55d38af333888604f6b5f0473917c1402b80099dca5cbc207075c0",
               to_hex(bytes_of("'Twas brillig, and the slithy toves\nDid gyre and gimble in the wabe:\nAll "
                               "mimsy were the borogoves,\nAnd the mome raths outgrabe.")),
               "4541669a7eaaee61e708dc7cbcc5eb62"},
           Vector{"5", two + zeros, ones, "03" + repeated("00", 15)},
           Vector{"6", two + ones, two, "03" + repeated("00", 15)},
           Vector{"7", one + zeros, ones + "f0" + repeated("ff", 15) + "11" + repeated("00", 15),
                  "05" + repeated("00", 15)},
           Vector{"8", one + zeros, ones + "fb" + repeated("fe", 15) + repeated("01", 16), zeros},
           Vector{"9", two + zeros, "fd" + repeated("ff", 15), "fa" + repeated("ff", 15)},
           Vector{"10", "01000000000000000400000000000000" + zeros,
                  "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000" + zeros + one,
                  "14000000000000005500000000000000"},
           Vector{"11", "01000000000000000400000000000000" + zeros,
                  "e33594d7505e43b900000000000000003394d7505e4379cd0100000000000000" + zeros,
                  "13" + repeated("00", 15)},
       }) {
    CAPTURE(vector.name);
    CHECK(to_hex(poly1305(from_hex(vector.message), array_of<32>(vector.key))) == vector.tag);
  }
}

TEST_CASE("poly1305: what reaches 2^130 - 5 is reduced, wherever it lies") {
  // r = 1 and s = 0: the tag of three blocks is 3 * 2^128 and their sum modulo 2^130 - 5. A sum of
  // 2^128 - 5 + k makes p + k of it.
  const auto key = array_of<32>("01" + repeated("00", 31));
  for (int k = -9; k < 20; ++k) {
    CAPTURE(k);
    std::array<std::byte, 48> message{};
    std::fill_n(message.begin(), 16, std::byte{0xff});
    if (k <= 4) {
      message[0] = static_cast<std::byte>(0xfb + k);
    } else {
      message[16] = static_cast<std::byte>(k - 4);
    }
    // Below p, the low 128 bits of p + k itself; from p on, k.
    std::string expected = repeated(k < 0 ? "ff" : "00", 16);
    const std::array<std::byte, 1> low{static_cast<std::byte>(k < 0 ? 0xfb + k : k)};
    expected.replace(0, 2, to_hex(low));
    CHECK(to_hex(poly1305(message, key)) == expected);
  }
}

// Words at which a carry is made, passed on, or just not.
std::uint64_t edge_word(RandomSource& random) {
  constexpr std::array<std::uint64_t, 8> kEdges = {0,           1,          4,          1ULL << 63U,
                                                   ~1ULL << 1U, ~0ULL - 4U, ~0ULL - 1U, ~0ULL};
  const std::uint64_t choice = random.below(kEdges.size() + 1);
  return choice < kEdges.size() ? kEdges[choice] : random.u64();
}

TEST_CASE("poly1305: carries at every edge are libsodium's") {
  for (std::uint64_t seed = 0; seed < 20'000; ++seed) {
    CAPTURE(seed);
    SeededRandom random(seed);
    CipherKey key{};
    for (std::size_t at = 0; at < key.size(); at += 8) store_little_endian(&key[at], edge_word(random));
    // With r = 1 the accumulator is a sum, and walks from edge to edge.
    if (seed % 2 == 0) {
      std::fill_n(key.begin(), 16, std::byte{0});
      key[0] = std::byte{1};
    }
    Buffer message(8 * random.below(30));
    for (std::size_t at = 0; at < message.size(); at += 8)
      store_little_endian(&message[at], edge_word(random));
    message.resize(message.size() - std::min<std::size_t>(message.size(), random.below(3)));
    Tag expected{};
    crypto_onetimeauth_poly1305(u8(MutableBytes(expected)), u8(Bytes(message)), message.size(),
                                u8(Bytes(key)));
    REQUIRE(poly1305(message, key) == expected);
  }
}

#endif

TEST_CASE("chacha20-poly1305: the vector of RFC 8439 section 2.8.2") {
  const Bytes plaintext = bytes_of(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
      "would be it.");
  const auto key = counting<32>(0x80);
  const auto nonce = array_of<12>("070000004041424344454647");
  const Buffer associated_data = from_hex("50515253c0c1c2c3c4c5c6c7");
  Buffer text(plaintext.begin(), plaintext.end());
  Tag tag{};
  chacha20_poly1305::seal(text, tag, key, nonce, associated_data);
  CHECK(to_hex(text) ==
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d6"
        "3dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67ecd3b36"
        "92ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116");
  CHECK(to_hex(tag) == "1ae10b594f09e26a7e902ecbd0600691");
  CHECK(chacha20_poly1305::open(text, tag, key, nonce, associated_data));
  CHECK(std::ranges::equal(text, plaintext));
}

// Seals and opens at `offset` from an aligned address, and compares every byte with libsodium's, those around
// the text and the tag included.
void check_against_libsodium(RandomSource& random, std::size_t text_size, std::size_t associated_size,
                             std::size_t offset) {
  CAPTURE(text_size);
  CAPTURE(associated_size);
  const auto key = random_array<32>(random);
  const auto nonce = random_array<12>(random);
  const Buffer associated_data = random_bytes(random, offset + associated_size);
  const Bytes associated = Bytes(associated_data).subspan(offset);
  const Buffer before = random_bytes(random, offset + text_size + sizeof(Tag) + 16);
  const Bytes plaintext = Bytes(before).subspan(offset, text_size);
  const Sealed expected = sealed_by_libsodium(plaintext, key, nonce, associated);
  Buffer sealed = before;
  std::ranges::copy(expected.text, &sealed[offset]);
  std::ranges::copy(expected.tag, &sealed[offset + text_size]);

  Buffer buffer = before;
  const MutableBytes text = MutableBytes(buffer).subspan(offset, text_size);
  const std::span<std::byte, 16> tag = MutableBytes(buffer).subspan(offset + text_size).first<16>();
  chacha20_poly1305::seal(text, tag, key, nonce, associated);
  REQUIRE(buffer == sealed);
  REQUIRE(chacha20_poly1305::open(text, tag, key, nonce, associated));
  REQUIRE(std::ranges::equal(text, plaintext));
  REQUIRE(std::ranges::equal(Bytes(buffer).subspan(offset + text_size),
                             Bytes(sealed).subspan(offset + text_size)));
}

TEST_CASE("chacha20-poly1305: every short text with every header is libsodium's, at any alignment") {
  constexpr std::uint64_t kSeed = 22;
  CAPTURE(kSeed);
  SeededRandom random(kSeed);
  for (std::size_t text_size = 0; text_size <= kShortTextSize + 1; ++text_size) {
    for (std::size_t associated_size = 0; associated_size <= 40; ++associated_size) {
      check_against_libsodium(random, text_size, associated_size, (text_size + associated_size) % 17);
    }
  }
  for (const std::size_t associated_size : {63U, 64U, 65U, 1000U}) {
    for (const std::size_t text_size : {0U, 1U, 64U, 192U, 193U, 1200U}) {
      check_against_libsodium(random, text_size, associated_size, 3);
    }
  }
}

TEST_CASE("chacha20-poly1305: any changed bit is refused, and the text becomes zeros") {
  constexpr std::uint64_t kSeed = 23;
  CAPTURE(kSeed);
  SeededRandom random(kSeed);
  for (const std::size_t text_size : {0U, 1U, 16U, 63U, 64U, 65U, 127U, 128U, 129U, 191U, 192U, 193U}) {
    CAPTURE(text_size);
    CipherKey key = random_array<32>(random);
    CipherNonce nonce = random_array<12>(random);
    Buffer associated_data = random_bytes(random, 21);
    Buffer sealed = random_bytes(random, text_size);
    Tag tag{};
    chacha20_poly1305::seal(sealed, tag, key, nonce, associated_data);

    Buffer text = sealed;
    std::size_t accepted = 0;
    std::size_t left = 0;
    const auto flip_each_bit = [&](MutableBytes of) {
      for (std::size_t bit = 0; bit < of.size() * 8; ++bit) {
        text = sealed;
        // The text is what is opened, and every other part stays where it is.
        std::byte& changed = of.data() == sealed.data() ? text[bit / 8] : of[bit / 8];
        const std::byte mask = std::byte{1} << (bit % 8);
        changed ^= mask;
        accepted += chacha20_poly1305::open(text, tag, key, nonce, associated_data) ? 1 : 0;
        left += all_zero(text) ? 0 : 1;
        if (of.data() != sealed.data()) changed ^= mask;
      }
    };
    if (text_size > 0) flip_each_bit(sealed);
    flip_each_bit(tag);
    flip_each_bit(associated_data);
    flip_each_bit(nonce);
    flip_each_bit(key);
    CHECK(accepted == 0);
    CHECK(left == 0);
    // A byte less of text, or a zero more of header, as padding adds them: the lengths are under the tag.
    if (text_size > 0) {
      text.assign(sealed.begin(), sealed.end() - 1);
      CHECK_FALSE(chacha20_poly1305::open(text, tag, key, nonce, associated_data));
    }
    associated_data.push_back(std::byte{0});
    text = sealed;
    CHECK_FALSE(chacha20_poly1305::open(text, tag, key, nonce, associated_data));
    associated_data.pop_back();
    text = sealed;
    CHECK(chacha20_poly1305::open(text, tag, key, nonce, associated_data));
  }
}

TEST_CASE("packet key: short packets of every packet number are libsodium's") {
  constexpr std::uint64_t kSeed = 24;
  CAPTURE(kSeed);
  SeededRandom random(kSeed);
  const std::array<std::uint64_t, 7> packet_numbers = {0,           1,     0xffff'ffff, 1ULL << 32U,
                                                       1ULL << 63U, ~0ULL, random.u64()};
  for (const std::uint64_t packet_number : packet_numbers) {
    CAPTURE(packet_number);
    for (const std::size_t text_size : {0U, 1U, 64U, 100U, 192U, 193U}) {
      CAPTURE(text_size);
      const auto key = random_array<32>(random);
      const PacketKey packet_key = PacketKey::of(Key(key));
      CipherNonce nonce{};
      for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::byte>(packet_number >> (8 * i));
      const Buffer header = random_bytes(random, 13);
      const Buffer plaintext = random_bytes(random, text_size);
      const Sealed expected = sealed_by_libsodium(plaintext, key, nonce, header);

      Buffer packet = plaintext;
      packet.resize(text_size + kTagSize);
      packet_key.seal_in_place(packet_number, header, packet);
      CHECK(std::ranges::equal(Bytes(packet).first(text_size), expected.text));
      CHECK(std::ranges::equal(Bytes(packet).last(kTagSize), expected.tag));
      REQUIRE(packet_key.open_in_place(packet_number, header, packet));
      CHECK(std::ranges::equal(Bytes(packet).first(text_size), plaintext));

      packet_key.seal_in_place(packet_number, header, packet);
      CHECK_FALSE(packet_key.open_in_place(packet_number ^ 1U, header, packet));
      CHECK(all_zero(Bytes(packet).first(text_size)));
    }
  }
}

}  // namespace
}  // namespace hawser
