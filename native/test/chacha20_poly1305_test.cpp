#include "crypto/chacha20_poly1305.hpp"

#include <doctest/doctest.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "crypto/aead.hpp"
#include "json_reader.hpp"
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
using test::Json;
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

TEST_CASE("chacha20: the blocks of RFC 8439 sections 2.3.2 and A.1, alone and as any of several") {
  std::size_t ran = 0;
  const Json vectors = Json::read_vectors("rfc8439.json");
  for (const Json& vector : vectors["chacha20_block"].elements()) {
    CAPTURE(vector["name"].text());
    const std::string& expected = vector["keystream"].text();
    const auto key = array_of<32>(vector["key"].text());
    const auto nonce = array_of<12>(vector["nonce"].text());
    const auto counter = static_cast<std::uint32_t>(vector["counter"].number());
    std::array<std::byte, 4 * kChaCha20BlockSize> out{};
    const auto block = [&out](std::size_t i) {
      return to_hex(Bytes(out).subspan(i * kChaCha20BlockSize, kChaCha20BlockSize));
    };
    // Below 0 the counter continues at 2^32 - 1.
    chacha20_blocks<1>(out.data(), key, nonce, counter);
    CHECK(block(0) == expected);
    chacha20_blocks<2>(out.data(), key, nonce, counter - 1);
    CHECK(block(1) == expected);
    chacha20_blocks<3>(out.data(), key, nonce, counter - 2);
    CHECK(block(2) == expected);
    chacha20_blocks<4>(out.data(), key, nonce, counter - 3);
    CHECK(block(3) == expected);
    ++ran;
  }
  CHECK(ran == 6);
}

TEST_CASE("chacha20: the ciphertexts of RFC 8439 sections 2.4.2 and A.2") {
  std::size_t ran = 0;
  const Json vectors = Json::read_vectors("rfc8439.json");
  for (const Json& vector : vectors["chacha20"].elements()) {
    CAPTURE(vector["name"].text());
    const auto key = array_of<32>(vector["key"].text());
    const auto nonce = array_of<12>(vector["nonce"].text());
    auto counter = static_cast<std::uint32_t>(vector["counter"].number());
    Buffer text = from_hex(vector["plaintext"].text());
    std::array<std::byte, kChaCha20BlockSize> block{};
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (i % block.size() == 0) chacha20_blocks<1>(block.data(), key, nonce, counter++);
      text[i] ^= block[i % block.size()];
    }
    CHECK(to_hex(text) == vector["ciphertext"].text());
    ++ran;
  }
  CHECK(ran == 4);
}

TEST_CASE("chacha20: the keys of Poly1305 of RFC 8439 sections 2.6.2 and A.4") {
  std::size_t ran = 0;
  const Json vectors = Json::read_vectors("rfc8439.json");
  for (const Json& vector : vectors["poly1305_key"].elements()) {
    CAPTURE(vector["name"].text());
    std::array<std::byte, kChaCha20BlockSize> block{};
    chacha20_blocks<1>(block.data(), array_of<32>(vector["key"].text()), array_of<12>(vector["nonce"].text()),
                       0);
    CHECK(to_hex(Bytes(block).first(32)) == vector["one_time_key"].text());
    ++ran;
  }
  CHECK(ran == 4);
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

// The tag of a message of whole blocks: a last block that is not whole never occurs in the construction of
// section 2.8, which pads it.
Tag poly1305(Bytes message, const CipherKey& key) {
  REQUIRE(message.size() % kPoly1305BlockSize == 0);
  Poly1305 poly(key);
  poly.padded(message);
  Tag tag{};
  poly.finish(tag);
  return tag;
}

TEST_CASE("poly1305: the tags of RFC 8439 section A.3 and of A.5's input, as far as they have whole blocks") {
  std::size_t ran = 0;
  const Json vectors = Json::read_vectors("rfc8439.json");
  CHECK(vectors["poly1305"].elements().size() == 13);
  for (const Json& vector : vectors["poly1305"].elements()) {
    CAPTURE(vector["name"].text());
    const Buffer message = from_hex(vector["message"].text());
    if (message.size() % kPoly1305BlockSize != 0) continue;
    CHECK(to_hex(poly1305(message, array_of<32>(vector["key"].text()))) == vector["tag"].text());
    ++ran;
  }
  CHECK(ran == 9);
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
    Buffer message(kPoly1305BlockSize * random.below(15));
    for (std::size_t at = 0; at < message.size(); at += 8)
      store_little_endian(&message[at], edge_word(random));
    Tag expected{};
    crypto_onetimeauth_poly1305(u8(MutableBytes(expected)), u8(Bytes(message)), message.size(),
                                u8(Bytes(key)));
    REQUIRE(poly1305(message, key) == expected);
  }
}

#endif

TEST_CASE("chacha20-poly1305: the vectors of RFC 8439 sections 2.8.2 and A.5") {
  std::size_t ran = 0;
  const Json vectors = Json::read_vectors("rfc8439.json");
  for (const Json& vector : vectors["aead"].elements()) {
    CAPTURE(vector["name"].text());
    const auto key = array_of<32>(vector["key"].text());
    const auto nonce = array_of<12>(vector["nonce"].text());
    const Buffer associated_data = from_hex(vector["aad"].text());
    Buffer text = from_hex(vector["plaintext"].text());
    Tag tag{};
    chacha20_poly1305::seal(text, tag, key, nonce, associated_data);
    CHECK(to_hex(text) == vector["ciphertext"].text());
    CHECK(to_hex(tag) == vector["tag"].text());
    CHECK(chacha20_poly1305::open(text, tag, key, nonce, associated_data));
    CHECK(to_hex(text) == vector["plaintext"].text());
    ++ran;
  }
  CHECK(ran == 2);
}

// One test of Project Wycheproof: a key, a nonce, associated data, a message, its ciphertext and its tag. The
// tag is another one where the test is invalid.
struct Wycheproof {
  explicit Wycheproof(const Json& json)
      : id(json["id"].text()),
        key(array_of<32>(json["key"].text())),
        nonce(from_hex(json["nonce"].text())),
        associated_data(from_hex(json["aad"].text())),
        message(from_hex(json["message"].text())),
        sealed(from_hex(json["ciphertext"].text() + json["tag"].text())),
        valid(json["result"].text() == "valid") {
    REQUIRE((valid || json["result"].text() == "invalid"));
  }

  // Calls check(test) for each test with nonces of `nonce_size`. Others cannot be expressed: the code takes
  // nonces of that size only.
  template <class F>
  static void each(const char* file, std::size_t nonce_size, F&& check) {
    const Json vectors = Json::read_vectors(file);
    for (const Json& json : vectors["tests"].elements()) {
      const Wycheproof test(json);
      if (test.nonce.size() != nonce_size) {
        // They are all invalid for that reason.
        CHECK_FALSE(test.valid);
        CHECK(json["flag"].text() == "InvalidNonceSize");
        continue;
      }
      CAPTURE(test.id);
      check(test);
    }
  }

  // Checks what sealing the message and opening the ciphertext have made of copies of both, tag included.
  void check(Bytes sealed_message, bool opened, Bytes opened_message) const {
    CHECK(std::ranges::equal(sealed_message, sealed) == valid);
    // An invalid one has the right ciphertext and another tag.
    CHECK(std::ranges::equal(sealed_message.first(message.size()), Bytes(sealed).first(message.size())));
    CHECK(opened == valid);
    CHECK(std::ranges::equal(opened_message, valid ? message : Buffer(message.size())));
  }

  std::string id;
  CipherKey key;
  Buffer nonce;
  Buffer associated_data;
  Buffer message;
  Buffer sealed;
  bool valid;
};

TEST_CASE("chacha20-poly1305: the vectors of Wycheproof") {
  std::size_t valid = 0;
  std::size_t invalid = 0;
  std::size_t short_ones = 0;
  std::size_t as_packets = 0;
  Wycheproof::each("wycheproof-chacha20-poly1305.json", 12, [&](const Wycheproof& test) {
    const std::span<const std::byte, 12> nonce = Bytes(test.nonce).first<12>();
    Buffer out = test.message;
    out.resize(test.sealed.size());
    Buffer in = test.sealed;
    const auto text_of = [&](Buffer& buffer) { return MutableBytes(buffer).first(test.message.size()); };
    const auto tag_of = [&](Buffer& buffer) { return MutableBytes(buffer).last<kTagSize>(); };
    chacha20_poly1305::seal(text_of(out), tag_of(out), test.key, nonce, test.associated_data);
    const bool opened =
        chacha20_poly1305::open(text_of(in), tag_of(in), test.key, nonce, test.associated_data);
    test.check(out, opened, text_of(in));
    ++(test.valid ? valid : invalid);
    if (test.message.size() <= kShortTextSize) ++short_ones;
    // The nonces of packets begin with four zero bytes.
    if (!all_zero(Bytes(test.nonce).first(4))) return;
    const PacketKey key = PacketKey::of(Key(test.key));
    const auto number = load_little_endian<std::uint64_t>(&test.nonce[4]);
    out = test.message;
    out.resize(test.sealed.size());
    in = test.sealed;
    key.seal_in_place(number, test.associated_data, out);
    const bool packet_opened = key.open_in_place(number, test.associated_data, in);
    test.check(out, packet_opened, text_of(in));
    ++as_packets;
  });
  // 316 of 325: nine have nonces of other sizes.
  CHECK(valid == 256);
  CHECK(invalid == 60);
  // Where there is own code, it is what these test.
  CHECK(short_ones == 304);
  CHECK(as_packets == 10);
}

TEST_CASE("xchacha20-poly1305: the vectors of Wycheproof, at once and with the key of an epoch") {
  std::size_t valid = 0;
  std::size_t invalid = 0;
  Wycheproof::each("wycheproof-xchacha20-poly1305.json", kNonceSize, [&](const Wycheproof& test) {
    const NonceView nonce = Bytes(test.nonce).first<kNonceSize>();
    Buffer out(test.sealed.size());
    Buffer in(test.message.size());
    seal(out, Key(test.key), nonce, test.associated_data, test.message);
    const bool opened = open(in, Key(test.key), nonce, test.associated_data, test.sealed);
    test.check(out, opened, in);

    const PacketKey key = PacketKey::derive(Key(test.key), nonce.first<kSaltSize>());
    const auto number = load_little_endian<std::uint64_t>(&test.nonce[kSaltSize]);
    out = test.message;
    out.resize(test.sealed.size());
    in = test.sealed;
    key.seal_in_place(number, test.associated_data, out);
    const bool packet_opened = key.open_in_place(number, test.associated_data, in);
    test.check(out, packet_opened, Bytes(in).first(test.message.size()));
    ++(test.valid ? valid : invalid);
  });
  // 306 of 315: nine have nonces of other sizes.
  CHECK(valid == 246);
  CHECK(invalid == 60);
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
