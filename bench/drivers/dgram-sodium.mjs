// node:dgram with XChaCha20-Poly1305 of libsodium-wrappers, one datagram per message: what is written by hand where no addon is
// wanted. A datagram is an 8-byte counter and the sealed message; the keys are fixed, since no handshake is measured here.
import sodium from 'libsodium-wrappers';
import { openClient, openServer } from './dgram-socket.mjs';

const counterBytes = 8;
const keys = { toServer: new Uint8Array(32).fill(1), toClient: new Uint8Array(32).fill(2) };

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: 1024,
  async wrap(message) {
    await sodium.ready;
    return sealer(keys.toServer)(message);
  },
  async listen(onMessage) {
    await sodium.ready;
    return openServer(opener(keys.toServer, onMessage), sealer(keys.toClient));
  },
  async connect(target, onMessage) {
    await sodium.ready;
    return openClient(target, opener(keys.toClient, onMessage), sealer(keys.toServer));
  },
};

/**
 * @param {Uint8Array} key
 * @returns {(data: Uint8Array) => Uint8Array}
 */
function sealer(key) {
  const nonce = Buffer.alloc(sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
  let counter = 0;
  return (data) => {
    nonce.writeDoubleLE(++counter);
    const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(data, null, null, nonce, key);
    const datagram = new Uint8Array(counterBytes + sealed.length);
    datagram.set(nonce.subarray(0, counterBytes));
    datagram.set(sealed, counterBytes);
    return datagram;
  };
}

/**
 * @param {Uint8Array} key
 * @param {(data: Uint8Array) => void} onMessage
 * @returns {(datagram: Uint8Array) => void}
 */
export function opener(key, onMessage) {
  const nonce = new Uint8Array(sodium.crypto_aead_xchacha20poly1305_ietf_NPUBBYTES);
  return (datagram) => {
    nonce.set(datagram.subarray(0, counterBytes));
    const sealed = datagram.subarray(counterBytes);
    onMessage(sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(null, sealed, null, nonce, key));
  };
}
