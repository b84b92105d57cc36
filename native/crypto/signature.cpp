#include "crypto/signature.hpp"

#include <sodium.h>

#include "crypto/secret.hpp"
#include "crypto/sodium_bytes.hpp"

namespace hawser {

static_assert(kSignatureSize == crypto_sign_ed25519_BYTES);
static_assert(kSignaturePublicKeySize == crypto_sign_ed25519_PUBLICKEYBYTES);
static_assert(kSignatureSeedSize == crypto_sign_ed25519_SEEDBYTES);
static_assert(kSignatureKeySize == crypto_sign_ed25519_SECRETKEYBYTES);

void signature_key(std::span<std::byte, kSignatureKeySize> out,
                   std::span<const std::byte, kSignatureSeedSize> seed) {
  const Key copy(seed);
  std::array<std::byte, kSignaturePublicKeySize> public_key{};
  crypto_sign_ed25519_seed_keypair(sodium_bytes(MutableBytes(public_key)), sodium_bytes(MutableBytes(out)),
                                   sodium_bytes(Bytes(copy.bytes())));
}

Signature sign(std::span<const std::byte, kSignatureKeySize> key, Bytes message) {
  Signature signature{};
  crypto_sign_ed25519_detached(sodium_bytes(MutableBytes(signature)), nullptr, sodium_bytes(message),
                               message.size(), sodium_bytes(Bytes(key)));
  return signature;
}

bool verify(std::span<const std::byte, kSignaturePublicKeySize> public_key, Bytes message,
            std::span<const std::byte, kSignatureSize> signature) {
  return crypto_sign_ed25519_verify_detached(sodium_bytes(Bytes(signature)), sodium_bytes(message),
                                             message.size(), sodium_bytes(Bytes(public_key))) == 0;
}

}  // namespace hawser
