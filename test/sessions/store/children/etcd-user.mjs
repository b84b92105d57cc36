// Uses a store of sessions on etcd in a process of its own, and ends when nothing keeps it: nothing is left behind by a store that is closed.
//
// Argument: the address of etcd. Prints "open" when it uses everything, and closes the store once it is told something.

import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { openEtcdStore } from 'hawser/sessions';

/**
 * Tries until etcd answers in time: it may be slow, and what is tried here is the end.
 *
 * @template T
 * @param {() => Promise<T>} run
 * @returns {Promise<T>}
 */
async function eventually(run) {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ERR_HAWSER_STORE_UNAVAILABLE'))
        throw error;
    }
    await delay(20);
  }
}

const store = await eventually(() => openEtcdStore({ hosts: process.argv[2] ?? '', timeoutMs: 2000 }));
await eventually(() => store.lease('user', () => Buffer.alloc(0)));
await new Promise((resolve) => {
  store.watch('a/', { changed: () => undefined, reset: () => resolve(undefined) });
});
await eventually(() =>
  store.txn({ compare: [], writes: [{ type: 'put', key: 'a/1', value: Buffer.alloc(1) }] }),
);
writeSync(1, 'open\n');
await once(process.stdin, 'data');
process.stdin.destroy();
await store.close();
