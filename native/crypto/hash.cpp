#include "crypto/hash.hpp"

#include <sodium.h>

#include <cassert>

#include "crypto/sodium_bytes.hpp"

namespace hawser {

namespace {

void blake2b(MutableBytes out, Bytes key, std::initializer_list<Bytes> parts) {
  assert(key.size() <= crypto_generichash_blake2b_KEYBYTES_MAX);
  crypto_generichash_blake2b_state state;  // wiped by libsodium when it is finished
  crypto_generichash_blake2b_init(&state, sodium_bytes(key), key.size(), out.size());
  for (const Bytes part : parts) crypto_generichash_blake2b_update(&state, sodium_bytes(part), part.size());
  crypto_generichash_blake2b_final(&state, sodium_bytes(out), out.size());
}

}  // namespace

Hash128 blake2b_128(Bytes key, std::initializer_list<Bytes> parts) {
  Hash128 out{};
  blake2b(out, key, parts);
  return out;
}

Hash256 blake2b_256(Bytes key, std::initializer_list<Bytes> parts) {
  Hash256 out{};
  blake2b(out, key, parts);
  return out;
}

std::array<std::byte, 64> blake2b_512(Bytes key, std::initializer_list<Bytes> parts) {
  std::array<std::byte, 64> out{};
  blake2b(out, key, parts);
  return out;
}

void blake2b_256(std::span<std::byte, 32> out, Bytes key, std::initializer_list<Bytes> parts) {
  blake2b(out, key, parts);
}

void blake2b_512(std::span<std::byte, 64> out, Bytes key, std::initializer_list<Bytes> parts) {
  blake2b(out, key, parts);
}

}  // namespace hawser
