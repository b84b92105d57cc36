// Commits to a key store until it is killed, and says when each commit is begun and when it is acknowledged.
//
// Arguments: the store's folder, the file of its master key, and the number to begin with. A change N is one rotation: key N is added and in production,
// key N - 1 rolled, key N - 2 removed, with the session and the peer of that number. Prints "begin N" and "done N".

import { writeSync } from 'node:fs';
import { secretFrom } from '../../../../dist/base/secret-bytes.js';
import { openKeyStore } from '../../../../dist/keys/store/lmdb-store.js';
import { masterKeyFrom } from '../../../../dist/keys/store/master-key.js';
import { changeOf } from './rotations.mjs';

const [, , path = '', file = '', from = ''] = process.argv;
const masterKey = masterKeyFrom({ file });
const store = await openKeyStore(path, { masterKey });
masterKey.wipe();

/** Written at once: what was printed is not lost when the process is killed. @param {string} line */
const say = (line) => writeSync(1, `${line}\n`);

/** @param {number} n */
async function rotate(n) {
  say(`begin ${n}`);
  await store.commit(changeOf(n, secretFrom));
  say(`done ${n}`);
}

// Two at a time, so that some share a transaction and some wait for the one before.
for (let n = Number(from); ; n += 2) await Promise.all([rotate(n), rotate(n + 1)]);
