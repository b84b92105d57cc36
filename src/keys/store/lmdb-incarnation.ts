// What a key store on LMDB does first: it checks its master key and counts how often it was opened.

import { maxU32 } from '../../base/check.js';
import type { LmdbStore } from '../../base/lmdb-store.js';
import { type Databases, metaNames } from './lmdb-names.js';
import { formatError } from './record-reader.js';
import type { StoreSeal } from './seal.js';

const empty = new Uint8Array(0);

/**
 * Checks the master key and counts this opening, in one transaction.
 *
 * @param salt of a new store; undefined for one that was there.
 * @returns the incarnation: greater than any before, and than that of a store that was lost, as long as the clock goes on.
 */
export function beginIncarnation(
  store: LmdbStore,
  { meta }: Databases,
  seal: StoreSeal,
  salt: Uint8Array | undefined,
): Promise<number> {
  const write = (name: 'check' | 'incarnation', plaintext: Uint8Array): void => {
    meta.putSync(metaNames[name], Buffer.from(seal.seal(name, metaNames[name], plaintext)));
  };
  const read = (name: 'check' | 'incarnation'): Buffer => {
    const sealed = meta.get(metaNames[name]);
    if (sealed === undefined) throw formatError(store.path, `it has no ${name}`);
    return Buffer.from(seal.open(name, metaNames[name], sealed, store.path));
  };
  const run = (): number => {
    let before = 0;
    if (salt === undefined) {
      read('check');
      before = read('incarnation').readUIntBE(0, 6);
    } else {
      meta.putSync(metaNames.salt, Buffer.from(salt));
      write('check', empty);
    }
    const incarnation = Math.max(before + 1, Math.floor(Date.now() / 1000));
    if (incarnation > maxU32) throw formatError(store.path, 'it was opened too often');
    const bytes = Buffer.alloc(6);
    bytes.writeUIntBE(incarnation, 0, 6);
    write('incarnation', bytes);
    return incarnation;
  };
  // A store that is full is opened all the same: what is in it has to be ended.
  return store.transaction(run, { beyondMaxBytes: true });
}
