#include "crypto/key_exchange.hpp"

#include <sodium.h>

#include "crypto/sodium_bytes.hpp"

namespace hawser {

static_assert(kShareSize == crypto_scalarmult_curve25519_BYTES);

KeyPair KeyPair::generate(RandomSource& random) {
  Secret<32> secret;
  random.fill(secret.mutable_bytes());
  return from_secret(secret.bytes());
}

KeyPair KeyPair::from_secret(std::span<const std::byte, 32> secret) {
  KeyPair pair{Secret<32>(secret), {}};
  crypto_scalarmult_curve25519_base(sodium_bytes(MutableBytes(pair.share)), sodium_bytes(Bytes(secret)));
  return pair;
}

bool x25519(Secret<32>& out, const Secret<32>& secret, ShareView share) {
  const MutableBytes result = out.mutable_bytes();
  if (crypto_scalarmult_curve25519(sodium_bytes(result), sodium_bytes(Bytes(secret.bytes())),
                                   sodium_bytes(Bytes(share))) == 0) {
    return true;
  }
  wipe(result);
  return false;
}

}  // namespace hawser
