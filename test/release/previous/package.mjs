// A release of the package by its folder, so that one program can speak for any of them, and what both ends agree on.
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';

/**
 * The entry points of one release.
 *
 * @typedef {object} Package
 * @property {typeof import('../../../src/index.js')} hawser
 * @property {typeof import('../../../src/token/index.js')} token
 * @property {typeof import('../../../src/sessions/index.js')} sessions
 * @property {typeof import('../../../src/sync/index.js')} sync
 * @property {typeof import('../../../src/keys/index.js')} keys
 * @property {typeof import('../../../src/testing/index.js')} testing
 */

/** @param {string} root the folder of the package @returns {Promise<Package>} what its `dist` exports */
export async function loadPackage(root) {
  const load = (/** @type {string} */ entry) =>
    import(pathToFileURL(join(resolve(root), 'dist', entry, 'index.js')).href);
  return {
    hawser: await load('.'),
    token: await load('token'),
    sessions: await load('sessions'),
    sync: await load('sync'),
    keys: await load('keys'),
    testing: await load('testing'),
  };
}

/**
 * A server whose keys are new, which releases say by different names.
 *
 * @param {Package} pkg
 * @param {Omit<Parameters<Package['hawser']['Server']['listen']>[0], 'freshKeys'>} options
 */
export async function listenWithFreshKeys({ hawser }, options) {
  try {
    return await hawser.Server.listen({ ...options, freshKeys: true });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ERR_HAWSER_ARGUMENT')) throw error;
    const earlier = /** @type {object} */ ({ freshKeys: true });
    return hawser.Server.listen({ ...options, netcode: earlier });
  }
}

export const protocolId = 0x70726576n;
/** Keys of tests, in the repository for all to see. */
export const serverKey = { id: 7, key: new Uint8Array(32).fill(7) };
export const masterKey = new Uint8Array(32).fill(9);
/** Mixed into the keys of a connection that asks for it by name. */
export const updateSecret = new Uint8Array(32).fill(11);

/** Who connects: each layer has a connection of its own. */
export const clientIds = { messages: 1n, netcode: 2n, sessions: 3n, sync: 4n, keys: 5n };
export const userData = new TextEncoder().encode('what the backend says');

/** The channels for messages; the first one is that of netcode clients. @param {Package} pkg */
export function channelsOf({ hawser }) {
  const { json, reliable, reliableUnordered, sequenced, unreliable } = hawser;
  return {
    unreliable: unreliable(),
    congestionControlled: unreliable(undefined, { congestionControlled: true }),
    sequenced: sequenced(),
    reliable: reliable(undefined, { maxMessageBytes: 1_000_000 }),
    reliableUnordered: reliableUnordered(),
    control: reliable(json()),
  };
}
