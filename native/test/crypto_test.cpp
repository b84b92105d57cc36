#include <doctest/doctest.h>
#include <sodium.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <string>
#include <type_traits>
#include <vector>

#include "allocation_counter.hpp"
#include "crypto/aead.hpp"
#include "crypto/hash.hpp"
#include "crypto/key_exchange.hpp"
#include "crypto/random.hpp"
#include "crypto/secret.hpp"
#include "crypto/sodium.hpp"
#include "wire_support.hpp"

namespace hawser {
namespace {

using test::Buffer;
using test::counting;
using test::from_hex;
using test::random_array;
using test::random_bytes;
using test::random_key;
using test::to_hex;

const unsigned char* u8(Bytes bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* u8(MutableBytes bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

// The 24 bytes that the page names as the nonce of a packet: salt || u64 packet number.
Nonce packet_nonce(const std::array<std::byte, kSaltSize>& salt, std::uint64_t packet_number) {
  Nonce nonce{};
  std::ranges::copy(salt, nonce.begin());
  store_little_endian(nonce.data() + kSaltSize, packet_number);
  return nonce;
}

TEST_CASE("crypto: libsodium starts, and starts again") {
  CHECK(initialise());
  CHECK(initialise());
}

TEST_CASE("secret: wiped when moved from and when it dies, never copied by accident") {
  static_assert(!std::is_copy_constructible_v<Key> && !std::is_copy_assignable_v<Key>);
  static_assert(std::is_nothrow_move_constructible_v<Key> && std::is_nothrow_move_assignable_v<Key>);

  const auto content = counting<32>(1);
  Key first(content);
  CHECK(to_hex(first.bytes()) == to_hex(content));
  const Key second(std::move(first));
  CHECK(to_hex(second.bytes()) == to_hex(content));
  CHECK(all_zero(first.bytes()));  // NOLINT(bugprone-use-after-move): being wiped is the point

  Key third;
  Key source(content);
  third = std::move(source);
  CHECK(to_hex(third.bytes()) == to_hex(content));
  CHECK(all_zero(source.bytes()));  // NOLINT(bugprone-use-after-move)

  alignas(Key) std::array<std::byte, sizeof(Key)> place{};
  Key* key = std::construct_at(reinterpret_cast<Key*>(place.data()), content);
  CHECK_FALSE(all_zero(place));
  std::destroy_at(key);
  CHECK(all_zero(place));
}

TEST_CASE("secret: comparison sees every byte and the length") {
  const auto a = counting<32>(7);
  CHECK(constant_time_equal(a, a));
  CHECK(constant_time_equal(Bytes{}, Bytes{}));
  CHECK_FALSE(constant_time_equal(a, Bytes(a).first(31)));
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto b = a;
    b[i] ^= std::byte{0x80};
    CHECK_FALSE(constant_time_equal(a, b));
  }
}

TEST_CASE("hash: BLAKE2b of RFC 7693 appendix A, in any number of parts") {
  const std::string expected =
      "ba80a53f981c4d0d6a2797b69f12f6e94c212f14685ac4b74b12bb6fdbffa2d1"
      "7d87c5392aab792dc252d5de4533cc9518d38aa8dbf1925ab92386edd4009923";
  CHECK(to_hex(blake2b_512({}, {bytes_of("abc")})) == expected);
  CHECK(to_hex(blake2b_512({}, {bytes_of("a"), Bytes{}, bytes_of("bc")})) == expected);
  CHECK(to_hex(blake2b_256({}, {bytes_of("ab"), bytes_of("c")})) ==
        "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
  CHECK(to_hex(blake2b_128(counting<64>(0), {bytes_of("abc")})) == "a9f9ff5c38d7eda4899ab27d41b93372");
}

TEST_CASE("hash: a label is its characters and one zero byte") {
  CHECK(to_hex(label_bytes("HAWSER 1 key")) ==
        "484157534552203120"
        "6b6579"
        "00");
}

TEST_CASE("key exchange: X25519 iterated as in RFC 7748 section 5.2") {
  std::array<std::byte, 32> k{std::byte{9}};
  std::array<std::byte, 32> u = k;
  for (int i = 0; i < 1000; ++i) {
    Secret<32> result;
    REQUIRE(x25519(result, Secret<32>(k), u));
    u = k;
    std::ranges::copy(result.bytes(), k.begin());
    if (i == 0) CHECK(to_hex(k) == "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079");
  }
  CHECK(to_hex(k) == "684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51");
}

TEST_CASE("key exchange: both sides find the same result") {
  SeededRandom random(11);
  const KeyPair a = KeyPair::generate(random);
  const KeyPair b = KeyPair::generate(random);
  CHECK(to_hex(a.share) != to_hex(b.share));
  CHECK(to_hex(KeyPair::from_secret(a.secret.bytes()).share) == to_hex(a.share));
  Secret<32> at_a;
  Secret<32> at_b;
  REQUIRE(x25519(at_a, a.secret, b.share));
  REQUIRE(x25519(at_b, b.secret, a.share));
  CHECK(to_hex(at_a.bytes()) == to_hex(at_b.bytes()));
}

TEST_CASE("key exchange: a share of small order is refused") {
  SeededRandom random(12);
  const KeyPair pair = KeyPair::generate(random);
  // 0, 1, the two points of order 8, p - 1, p and p + 1: the list of RFC 7748 section 7's reference.
  for (const std::string_view share : {
           "0000000000000000000000000000000000000000000000000000000000000000",
           "0100000000000000000000000000000000000000000000000000000000000000",
           "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
           "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
           "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
           "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
       }) {
    Share point{};
    std::ranges::copy(from_hex(share), point.begin());
    Secret<32> result(counting<32>(1));
    CHECK_FALSE(x25519(result, pair.secret, point));
    CHECK(all_zero(result.bytes()));
  }
}

TEST_CASE("aead: the vector of draft-irtf-cfrg-xchacha appendix A.3.1") {
  const Bytes plaintext = bytes_of(
      "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen "
      "would be "
      "it.");
  const Buffer associated_data = from_hex("50515253c0c1c2c3c4c5c6c7");
  const Key key(counting<32>(0x80));
  const auto nonce = counting<24>(0x40);
  Buffer sealed(plaintext.size() + kTagSize);
  seal(sealed, key, nonce, associated_data, plaintext);
  CHECK(to_hex(sealed) ==
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb"
        "731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452"
        "2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9"
        "21f9664c97637da9768812f615c68b13b52e"
        "c0875924c1c7987947deafd8780acf49");
  Buffer opened(plaintext.size());
  CHECK(open(opened, key, nonce, associated_data, sealed));
  CHECK(to_hex(opened) == to_hex(plaintext));
}

TEST_CASE("aead: sealing and opening may work in place") {
  SeededRandom random(13);
  const Key key = random_key(random);
  const auto nonce = random_array<24>(random);
  const Buffer plaintext = random_bytes(random, 100);
  Buffer separate(plaintext.size() + kTagSize);
  seal(separate, key, nonce, {}, plaintext);
  Buffer in_place = plaintext;
  in_place.resize(plaintext.size() + kTagSize);
  seal(in_place, key, nonce, {}, Bytes(in_place).first(plaintext.size()));
  CHECK(in_place == separate);
  REQUIRE(open(MutableBytes(in_place).first(plaintext.size()), key, nonce, {}, in_place));
  in_place.resize(plaintext.size());
  CHECK(in_place == plaintext);
}

TEST_CASE("aead: every flipped bit, every truncation and other associated data fail to open") {
  SeededRandom random(14);
  const Key key = random_key(random);
  const auto nonce = random_array<24>(random);
  const Buffer plaintext = random_bytes(random, 24);
  const Buffer associated_data = random_bytes(random, 9);
  Buffer sealed(plaintext.size() + kTagSize);
  seal(sealed, key, nonce, associated_data, plaintext);
  Buffer out(plaintext.size());
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Buffer flipped = sealed;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK_FALSE(open(out, key, nonce, associated_data, flipped));
    CHECK(all_zero(out));
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    Buffer shorter(size < kTagSize ? 0 : size - kTagSize);
    CHECK_FALSE(open(shorter, key, nonce, associated_data, Bytes(sealed).first(size)));
  }
  CHECK_FALSE(open(out, key, nonce, Bytes(associated_data).first(8), sealed));
  CHECK_FALSE(open(out, key, random_array<24>(random), associated_data, sealed));
  CHECK_FALSE(open(out, random_key(random), nonce, associated_data, sealed));
}

TEST_CASE("packet key: libsodium's one-shot function opens what seal_in_place made, and the reverse") {
  SeededRandom random(15);
  for (int round = 0; round < 200; ++round) {
    const Key key = random_key(random);
    const auto salt = random_array<kSaltSize>(random);
    const PacketKey packet_key = PacketKey::derive(key, salt);
    const std::uint64_t packet_number =
        round < 4 ? std::array<std::uint64_t, 4>{0, 1, 1ULL << 32, ~0ULL}[static_cast<std::size_t>(round)]
                  : random.u64();
    const Nonce nonce = packet_nonce(salt, packet_number);
    const Buffer header = random_bytes(random, random.below(22));
    const Buffer plaintext = random_bytes(random, random.below(1200));

    Buffer packet = plaintext;
    packet.resize(plaintext.size() + kTagSize);
    packet_key.seal_in_place(packet_number, header, packet);

    Buffer opened(plaintext.size());
    unsigned long long opened_size = 0;
    REQUIRE(crypto_aead_xchacha20poly1305_ietf_decrypt(
                u8(MutableBytes(opened)), &opened_size, nullptr, u8(Bytes(packet)), packet.size(),
                u8(Bytes(header)), header.size(), u8(Bytes(nonce)), u8(Bytes(key.bytes()))) == 0);
    CHECK(opened == plaintext);

    Buffer one_shot(plaintext.size() + kTagSize);
    REQUIRE(crypto_aead_xchacha20poly1305_ietf_encrypt(
                u8(MutableBytes(one_shot)), nullptr, u8(Bytes(plaintext)), plaintext.size(),
                u8(Bytes(header)), header.size(), nullptr, u8(Bytes(nonce)), u8(Bytes(key.bytes()))) == 0);
    CHECK(one_shot == packet);
    REQUIRE(packet_key.open_in_place(packet_number, header, one_shot));
    one_shot.resize(plaintext.size());
    CHECK(one_shot == plaintext);
  }
}

TEST_CASE("packet key: nothing but the exact packet opens, and a refused one is wiped") {
  SeededRandom random(16);
  const PacketKey key = PacketKey::derive(random_key(random), random_array<kSaltSize>(random));
  const Buffer header = random_bytes(random, 13);
  Buffer sealed = random_bytes(random, 20 + kTagSize);
  key.seal_in_place(77, header, sealed);
  for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    Buffer flipped = sealed;
    flipped[bit / 8] ^= std::byte{1} << (bit % 8);
    CHECK_FALSE(key.open_in_place(77, header, flipped));
    CHECK(all_zero(Bytes(flipped).first(20)));
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    Buffer shorter(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size));
    CHECK_FALSE(key.open_in_place(77, header, shorter));
  }
  for (const std::uint64_t other : {76ULL, 78ULL, 77ULL + (1ULL << 32)}) {
    Buffer copy = sealed;
    CHECK_FALSE(key.open_in_place(other, header, copy));
  }
  Buffer copy = sealed;
  CHECK_FALSE(key.open_in_place(77, Bytes(header).first(12), copy));
  CHECK(key.open_in_place(77, header, sealed));
}

TEST_CASE("packet key: of a key itself, it is RFC 8439's cipher with the nonce u32 0 || u64 packet number") {
  SeededRandom random(18);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    const Key key = random_key(random);
    const PacketKey packet_key = PacketKey::of(key);
    const std::uint64_t packet_number =
        round < 4 ? std::array<std::uint64_t, 4>{0, 1, 1ULL << 63, ~0ULL}[static_cast<std::size_t>(round)]
                  : random.u64();
    std::array<std::byte, crypto_aead_chacha20poly1305_ietf_NPUBBYTES> nonce{};
    for (std::size_t i = 0; i < 8; ++i) nonce[4 + i] = static_cast<std::byte>(packet_number >> (8 * i));
    const Buffer associated_data = random_bytes(random, random.below(30));
    const Buffer plaintext = random_bytes(random, random.below(1200));

    Buffer expected(plaintext.size() + kTagSize);
    REQUIRE(crypto_aead_chacha20poly1305_ietf_encrypt(
                u8(MutableBytes(expected)), nullptr, u8(Bytes(plaintext)), plaintext.size(),
                u8(Bytes(associated_data)), associated_data.size(), nullptr, u8(Bytes(nonce)),
                u8(Bytes(key.bytes()))) == 0);
    Buffer packet = plaintext;
    packet.resize(plaintext.size() + kTagSize);
    packet_key.seal_in_place(packet_number, associated_data, packet);
    CHECK(packet == expected);
    REQUIRE(packet_key.open_in_place(packet_number, associated_data, packet));
    packet.resize(plaintext.size());
    CHECK(packet == plaintext);
  }
}

TEST_CASE("packet key: sealing and opening allocate nothing") {
  SeededRandom random(17);
  const PacketKey key = PacketKey::derive(random_key(random), random_array<kSaltSize>(random));
  std::array<std::byte, 1200> packet{};
  const AllocationCount allocations;
  key.seal_in_place(1, {}, packet);
  const bool opened = key.open_in_place(1, {}, packet);
  const std::uint64_t count = allocations.count();
  CHECK(opened);
  CHECK(count == 0);
}

TEST_CASE("system random: every size is filled, and nothing is given out twice") {
  SystemRandom random;
  std::set<std::string> seen;
  for (const std::size_t size : {16U, 24U, 500U, 512U, 513U, 2000U, 16U, 16U}) {
    for (int i = 0; i < 100; ++i) {
      const Buffer bytes = random_bytes(random, size);
      CHECK_FALSE(all_zero(Bytes(bytes).last(16)));
      CHECK(seen.insert(to_hex(Bytes(bytes).first(16))).second);
    }
  }
  random.fill({});
}

}  // namespace
}  // namespace hawser
