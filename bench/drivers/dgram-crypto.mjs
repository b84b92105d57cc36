// node:dgram with ChaCha20-Poly1305 of node:crypto, one datagram per message: what is written by hand with nothing but Node.js.
// A datagram is an 8-byte counter, the ciphertext and the tag; the keys are fixed, since no handshake is measured here.
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { openClient, openServer } from './dgram-socket.mjs';

const algorithm = 'chacha20-poly1305';
const counterBytes = 8;
const nonceBytes = 12;
const authTagLength = 16;
const keys = { toServer: new Uint8Array(32).fill(1), toClient: new Uint8Array(32).fill(2) };

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: 1024,
  wrap: async (message) => sealer(keys.toServer)(message),
  listen: (onMessage) => openServer(opener(keys.toServer, onMessage), sealer(keys.toClient)),
  connect: (target, onMessage) => openClient(target, opener(keys.toClient, onMessage), sealer(keys.toServer)),
};

/**
 * @param {Uint8Array} key
 * @returns {(data: Uint8Array) => Uint8Array}
 */
function sealer(key) {
  const nonce = Buffer.alloc(nonceBytes);
  let counter = 0n;
  return (data) => {
    nonce.writeBigUInt64LE(++counter);
    const cipher = createCipheriv(algorithm, key, nonce, { authTagLength });
    const ciphertext = cipher.update(data);
    cipher.final();
    return Buffer.concat([nonce.subarray(0, counterBytes), ciphertext, cipher.getAuthTag()]);
  };
}

/**
 * @param {Uint8Array} key
 * @param {(data: Uint8Array) => void} onMessage
 * @returns {(datagram: Uint8Array) => void}
 */
export function opener(key, onMessage) {
  const nonce = Buffer.alloc(nonceBytes);
  return (datagram) => {
    nonce.set(datagram.subarray(0, counterBytes));
    const decipher = createDecipheriv(algorithm, key, nonce, { authTagLength });
    decipher.setAuthTag(datagram.subarray(-authTagLength));
    const message = decipher.update(datagram.subarray(counterBytes, -authTagLength));
    decipher.final();
    onMessage(message);
  };
}
