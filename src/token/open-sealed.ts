// The sealed part of a token of either kind.

import sodium from 'libsodium-wrappers';

/** @returns the plaintext; undefined when it was not sealed with this key and associated data, which alone is what libsodium says. */
export function openSealed(
  token: { readonly sealedPrivate: Uint8Array; readonly nonce: Uint8Array },
  associatedData: Uint8Array,
  key: Uint8Array,
): Uint8Array | undefined {
  const { sealedPrivate, nonce } = token;
  try {
    return sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealedPrivate, associatedData, nonce, key);
  } catch {
    return undefined;
  }
}
