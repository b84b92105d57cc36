// The option `--store`, and the stores that commands look into.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openStoreAt, parseStoreAddress, type StoreAddress } from '../gateway/session-store.js';
import type { SessionStore } from '../sessions/store/store.js';
import { CommandError, UsageError } from './errors.js';
import type { Kind } from './options.js';

/** `memory`, `lmdb:DIR`, `etcd://HOST:PORT[,HOST:PORT...][/NAMESPACE]`; `etcds:` for TLS. */
export const storeAddress: Kind<StoreAddress> = { placeholder: 'STORE', parse: parseStoreAddress };

/** A gateway tries again after a second; a command ends when etcd takes longer, and its first call also looks up the name. */
const etcdTimeoutMs = 10_000;

/**
 * Opens it for looking into it: one that somebody has made.
 *
 * @throws UsageError, CommandError (rejects); HawserError as `openStoreAt`.
 */
export async function openKeptStore(address: StoreAddress): Promise<SessionStore> {
  if (address.type === 'memory') {
    throw new UsageError(
      '--store: sessions in memory are seen by their gateway alone; give lmdb:DIR or etcd://HOST:PORT',
    );
  }
  // It would be made.
  if (address.type === 'lmdb' && !existsSync(join(address.directory, 'data.mdb'))) {
    throw new CommandError(`there is no store in ${address.directory}`);
  }
  return openStoreAt(address, { timeoutMs: etcdTimeoutMs });
}
