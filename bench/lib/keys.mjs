// The keys layer as it is built in this tree, and what the programs of its rows share.
import { createHmac, createPublicKey, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { openKeyStore, randomSecret, Sae, secretFrom } from '../../dist/keys/index.js';

export {
  CertificateAuthority,
  KeyPool,
  KmeClient,
  KmeServer,
  keysChannels,
  keysConnector,
  MemoryKeyStore,
  RecordingPersona,
  SaeConnection,
  seededRandom,
  serveKeys,
  TimingWheel,
  TransportPersona,
} from '../../dist/keys/index.js';
export { Sae };

/** @typedef {import('../../dist/keys/index.js').KeySource} KeySource */
/** @typedef {import('../../dist/keys/index.js').PeerOptions} PeerOptions */
/** @typedef {import('../../dist/keys/index.js').SaeOptions} SaeOptions */

/** Wanted size of socket buffers in bytes, and the longest datagram: as all rows have them. */
export const socketOptions = {
  maxDatagramBytes: 1472,
  receiveBufferBytes: 4 * 1024 * 1024,
  sendBufferBytes: 4 * 1024 * 1024,
};

const keySizeBits = 256;

/** What no source here is asked for. @returns {Promise<never>} */
function noStatus() {
  return Promise.reject(new Error('nobody asks for the status here'));
}

/** @returns {import('node:crypto').KeyPairKeyObjectResult} of an SAE that signs with Ed25519 */
export function signingPair() {
  return generateKeyPairSync('ed25519');
}

/** @param {import('node:crypto').KeyObject} publicKey @returns {string} for another process */
export function publicText(publicKey) {
  return publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
}

/** @param {string} text of `publicText` @returns {import('node:crypto').KeyObject} */
export function publicFrom(text) {
  return createPublicKey({ key: Buffer.from(text, 'base64'), type: 'spki', format: 'der' });
}

/**
 * @param {string} path
 * @returns {Promise<import('../../dist/keys/index.js').KeyStore>} a store on the disk that nobody opens again: its master key is gone
 */
export async function openStoreAt(path) {
  const masterKey = randomSecret(32);
  try {
    return await openKeyStore(path, { masterKey });
  } finally {
    masterKey.wipe();
  }
}

/**
 * Keys of a pool in this process, as a pair of KMEs has one: each is made when its master asks, and gone when its slave has it.
 *
 * @param {import('../../dist/keys/index.js').KeyPool} pool
 * @param {string} saeId who asks
 * @returns {KeySource}
 */
export function poolSource(pool, saeId) {
  /** @param {readonly import('../../dist/keys/index.js').DeliveredKey[]} keys */
  const copied = (keys) =>
    keys.map(({ keyId, material }) => ({ keyId, material: secretFrom(material.bytes) }));
  return {
    status: noStatus,
    async getKeys(slaveSaeId, { number, sizeBits = keySizeBits }) {
      const wanted = { masterSaeId: saeId, slaves: [slaveSaeId], number, sizeBits };
      const keys = pool.take(wanted, copied);
      if (keys === undefined) throw new Error('the pool has no keys');
      return keys;
    },
    async getKeysWithIds(masterSaeId, keyIds) {
      const keys = pool.collect(saeId, masterSaeId, keyIds, copied);
      if (typeof keys === 'string') throw new Error(`the pool answers ${keys}`);
      return keys;
    },
  };
}

/**
 * Keys that two processes have of one seed: the id of each says what it is. For rows in which no KME is to disturb what is measured.
 *
 * @param {string} seed secret, in base64
 * @returns {KeySource}
 */
export function seededSource(seed) {
  /** @param {string} keyId */
  const keyOf = (keyId) => ({
    keyId,
    material: secretFrom(createHmac('sha256', Buffer.from(seed, 'base64')).update(keyId).digest(), {
      wipeSource: true,
    }),
  });
  return {
    status: noStatus,
    getKeys: async (_, { number }) => Array.from({ length: number }, () => keyOf(randomUUID())),
    getKeysWithIds: async (_, keyIds) => keyIds.map(keyOf),
  };
}

/** @param {number} number from 0 @returns {string} the id of one of many slaves */
export function slaveId(number) {
  return `SLAVE_${number}`;
}

/** @returns {string} for `seededSource` */
export function newSeed() {
  return randomBytes(32).toString('base64');
}

/** What became of the rotations of some SAEs, by their events. */
export class RotationCounts {
  completed = 0;
  /** Those that ended in any other way. */
  failed = 0;
  /** Why the first of them did. */
  reason = '';

  /** @param {Sae} sae */
  watch(sae) {
    sae.on('rotation', ({ outcome, peerSaeId }) => {
      if (outcome === 'completed') ++this.completed;
      else this.fail(`with ${peerSaeId}: ${outcome}`);
    });
    sae.on('rotationFailed', ({ code, reason }) => this.fail(`${code}: ${reason}`));
    sae.on('failure', ({ source, error }) => this.fail(`${source}: ${error}`));
  }

  /** @param {string} reason */
  fail(reason) {
    ++this.failed;
    if (this.reason === '') this.reason = reason;
  }

  /** @returns {{completed: number, failed: number, reason: string}} */
  get counts() {
    const { completed, failed, reason } = this;
    return { completed, failed, reason };
  }
}
