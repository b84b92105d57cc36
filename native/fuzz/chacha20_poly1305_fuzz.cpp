// Compares the ciphers of packets with libsodium's. The input is a key[32], a nonce[24], u32 which bit to
// flip, u8 the length of the associated data, u8 the alignment of the text, then associated data and text.
#include <sodium.h>

#include <algorithm>
#include <array>
#include <vector>

#include "crypto/aead.hpp"
#include "crypto/chacha20_poly1305.hpp"
#include "crypto/sodium_bytes.hpp"
#include "fuzz/fuzz_support.hpp"

namespace {

using namespace hawser;  // NOLINT(google-build-using-namespace): a fuzz target
using fuzz::require;
using fuzz::same;

struct Input {
  std::array<std::byte, 32> key{};
  Nonce nonce{};
  std::uint32_t flip = 0;
  std::size_t alignment = 0;
  Bytes associated_data;
  Bytes text;

  // The first 12 bytes of the nonce: the cipher itself takes any.
  [[nodiscard]] std::array<std::byte, 12> short_nonce() const {
    std::array<std::byte, 12> result{};
    std::copy_n(nonce.begin(), result.size(), result.begin());
    return result;
  }
};

std::vector<std::byte> with_tag(Bytes text) {
  std::vector<std::byte> result(text.begin(), text.end());
  result.resize(text.size() + kTagSize);
  return result;
}

std::vector<std::byte> sealed_by_libsodium(const Input& input) {
  std::vector<std::byte> result(input.text.size() + kTagSize);
  const auto nonce = input.short_nonce();
  crypto_aead_chacha20poly1305_ietf_encrypt(
      sodium_bytes(MutableBytes(result)), nullptr, sodium_bytes(input.text), input.text.size(),
      sodium_bytes(input.associated_data), input.associated_data.size(), nullptr, sodium_bytes(Bytes(nonce)),
      sodium_bytes(Bytes(input.key)));
  return result;
}

bool opened_by_libsodium(const Input& input, Bytes associated_data, Bytes sealed) {
  std::vector<std::byte> text(sealed.size() - kTagSize + 1);
  const auto nonce = input.short_nonce();
  return crypto_aead_chacha20poly1305_ietf_decrypt(
             sodium_bytes(MutableBytes(text)), nullptr, nullptr, sodium_bytes(sealed), sealed.size(),
             sodium_bytes(associated_data), associated_data.size(), sodium_bytes(Bytes(nonce)),
             sodium_bytes(Bytes(input.key))) == 0;
}

// Opens `sealed` at the alignment of the input. The text must be zeros when it does not open.
bool opens(const Input& input, Bytes associated_data, Bytes sealed) {
  std::vector<std::byte> buffer(input.alignment);
  buffer.insert(buffer.end(), sealed.begin(), sealed.end());
  const MutableBytes text = MutableBytes(buffer).subspan(input.alignment, sealed.size() - kTagSize);
  const bool opened = chacha20_poly1305::open(text, MutableBytes(buffer).last<kTagSize>(), input.key,
                                              input.short_nonce(), associated_data);
  require(opened ? same(text, input.text) : all_zero(text));
  require(same(Bytes(buffer).last<kTagSize>(), sealed.last<kTagSize>()));
  return opened;
}

void check_cipher(const Input& input) {
  std::vector<std::byte> expected = sealed_by_libsodium(input);
  std::vector<std::byte> buffer(input.alignment);
  buffer.insert(buffer.end(), input.text.begin(), input.text.end());
  buffer.resize(buffer.size() + kTagSize);
  chacha20_poly1305::seal(MutableBytes(buffer).subspan(input.alignment, input.text.size()),
                          MutableBytes(buffer).last<kTagSize>(), input.key, input.short_nonce(),
                          input.associated_data);
  require(same(Bytes(buffer).subspan(input.alignment), expected));
  require(opens(input, input.associated_data, expected));

  // Any changed bit of ciphertext, tag or associated data is refused by both.
  std::vector<std::byte> associated_data(input.associated_data.begin(), input.associated_data.end());
  const std::size_t bit = input.flip % (8 * (expected.size() + associated_data.size()));
  const std::size_t byte = bit / 8;
  std::byte& changed = byte < expected.size() ? expected[byte] : associated_data[byte - expected.size()];
  changed ^= std::byte{1} << (bit % 8);
  require(!opened_by_libsodium(input, associated_data, expected));
  require(!opens(input, associated_data, expected));
}

// The nonce of 24 bytes: one-shot, in place and not, and as packets with the key of an epoch.
void check_extended(const Input& input) {
  const Key key(input.key);
  std::vector<std::byte> expected(input.text.size() + kTagSize);
  seal(expected, key, input.nonce, input.associated_data, input.text);

  std::vector<std::byte> in_place = with_tag(input.text);
  seal(in_place, key, input.nonce, input.associated_data, Bytes(in_place).first(input.text.size()));
  require(in_place == expected);

  const PacketKey packet_key = PacketKey::derive(key, std::span(input.nonce).first<kSaltSize>());
  const auto number = load_little_endian<std::uint64_t>(&input.nonce[kSaltSize]);
  std::vector<std::byte> packet = with_tag(input.text);
  packet_key.seal_in_place(number, input.associated_data, packet);
  require(packet == expected);
  require(packet_key.open_in_place(number, input.associated_data, packet));
  require(same(Bytes(packet).first(input.text.size()), input.text));

  std::vector<std::byte> text(input.text.size());
  require(open(text, key, input.nonce, input.associated_data, expected));
  require(same(text, input.text));
  require(open(MutableBytes(in_place).first(text.size()), key, input.nonce, input.associated_data, in_place));
  require(same(Bytes(in_place).first(text.size()), input.text));

  const std::size_t bit = input.flip % (8 * expected.size());
  expected[bit / 8] ^= std::byte{1} << (bit % 8);
  require(!open(text, key, input.nonce, input.associated_data, expected) && all_zero(text));
  require(!packet_key.open_in_place(number, input.associated_data, expected));
  require(all_zero(Bytes(expected).first(text.size())));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const bool ready = sodium_init() >= 0;
  require(ready);
  ByteReader reader(fuzz::input(data, size));
  Input input;
  std::ranges::copy(reader.bytes(input.key.size()), input.key.begin());
  std::ranges::copy(reader.bytes(input.nonce.size()), input.nonce.begin());
  input.flip = reader.u32();
  const std::size_t associated_size = reader.u8();
  input.alignment = reader.u8() % 17;
  if (!reader.ok()) return 0;
  input.associated_data = reader.bytes(std::min(associated_size, reader.remaining()));
  input.text = reader.rest();
  check_cipher(input);
  check_extended(input);
  return 0;
}
