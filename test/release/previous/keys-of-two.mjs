// Two SAEs that share keys without a KME: both make the material of a key out of its id.
import { createHash, createHmac, createPrivateKey, createPublicKey, randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { masterKey } from './package.mjs';

/** @typedef {import('./package.mjs').Package} Package */
/** @typedef {import('../../../src/keys/index.js').KeySource} KeySource */

/** The client, which begins rotations, and the gateway. */
export const master = 'SAE_C';
export const slave = 'SAE_G';

/** So that the keys of a store that was recorded long ago can be rotated. */
const keyLifetimeMs = 50 * 365 * 86_400_000;

/** @param {string} saeId @returns {import('node:crypto').KeyObject} an Ed25519 key, the same each time */
function signingKeyOf(saeId) {
  const header = Buffer.from('302e020100300506032b657004220420', 'hex');
  const seed = createHash('sha256').update(saeId).digest();
  return createPrivateKey({ key: Buffer.concat([header, seed]), format: 'der', type: 'pkcs8' });
}

/** @param {string} keyId @returns {Buffer} the 32 bytes of that key */
export function materialOf(keyId) {
  return createHmac('sha256', 'what both KMEs know').update(keyId).digest();
}

/** @param {Package} pkg @returns {KeySource} */
function keySourceOf({ keys }) {
  const deliver = (/** @type {string} */ keyId) => ({ keyId, material: keys.secretFrom(materialOf(keyId)) });
  return {
    status: () => Promise.reject(new Error('nobody asks for the status of this KME')),
    getKeys: async (_, { number }) => Array.from({ length: number }, () => deliver(randomUUID())),
    getKeysWithIds: async (_, keyIds) => keyIds.map(deliver),
  };
}

/**
 * Opens one of the two, with its store on the disk.
 *
 * @param {Package} pkg
 * @param {string} saeId {@link master} or {@link slave}
 * @param {string} folder where its store is
 */
export async function openSae(pkg, saeId, folder) {
  const { keys } = pkg;
  const peer = saeId === master ? slave : master;
  const store = await keys.openKeyStore(join(folder, 'keys'), {
    masterKey: keys.secretFrom(Uint8Array.from(masterKey)),
  });
  const sae = await keys.Sae.open({
    saeId,
    signingKey: signingKeyOf(saeId),
    store,
    keySource: keySourceOf(pkg),
    persona: new keys.RecordingPersona(),
    testRanges: true,
    peers: [
      {
        saeId: peer,
        publicKey: createPublicKey(signingKeyOf(peer)),
        role: saeId === master ? 'master' : 'slave',
        leadMs: 1000,
        graceMs: 50,
        // A machine that is busy may stand still for longer than that.
        maxRounds: 30,
        lateMs: 30_000,
        keyLifetimeMs,
      },
    ],
  });
  return { sae, store, peer };
}

/**
 * @param {Awaited<ReturnType<typeof openSae>>} opened
 * @returns {Promise<{keyId: string, isItsMaterial: boolean} | null>} what is in production, by store and material; null for nothing
 */
export async function inProduction({ store, peer }) {
  const record = store.keys(peer).find(({ status }) => status === 'in_production');
  if (record === undefined) return null;
  const { keyId } = record;
  const isItsMaterial = await store.withMaterial(peer, keyId, ({ bytes }) => materialOf(keyId).equals(bytes));
  return { keyId, isItsMaterial };
}
