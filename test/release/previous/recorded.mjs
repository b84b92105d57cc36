// What a release has left in test/release/fixtures.
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';

const fixtures = fileURLToPath(new URL('../fixtures/', import.meta.url));

/** The stores of a gateway and of a client after a visit, by folder. */
export const storeFolders = [
  'gateway/sessions',
  'gateway/sync',
  'gateway/keys',
  'client/queue',
  'client/keys',
];

/** @returns {string[]} the versions of which there is something */
export function recordedVersions() {
  const entries = readdirSync(fixtures, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

/**
 * @typedef {object} Recorded
 * @property {string} version
 * @property {import('../../../src/sessions/index.js').SessionSnapshot} session that of the client
 * @property {Awaited<ReturnType<typeof import('./conversation.mjs').record>>[]} conversations
 */

/** @param {string} version @returns {Recorded} */
export function recordedOf(version) {
  return JSON.parse(readFileSync(join(fixtures, version, 'recorded.json'), 'utf8'));
}

/** Copies the stores of a release, to be opened and written. @param {string} version @param {string} folder */
export function unpackStores(version, folder) {
  for (const store of storeFolders) {
    mkdirSync(join(folder, store), { recursive: true, mode: 0o700 });
    const bytes = gunzipSync(readFileSync(join(fixtures, version, `${store}.mdb.gz`)));
    writeFileSync(join(folder, store, 'data.mdb'), bytes, { mode: 0o600 });
  }
}
