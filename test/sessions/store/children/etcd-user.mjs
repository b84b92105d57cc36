// Uses a store of sessions on etcd in a process of its own, and ends when nothing keeps it: nothing is left behind by a store that is closed.
//
// Argument: the address of etcd. Prints "open" when it uses everything, and closes the store once it is told something.

import { once } from 'node:events';
import { writeSync } from 'node:fs';
import { openEtcdStore } from 'hawser/sessions';

const store = await openEtcdStore({ hosts: process.argv[2] ?? '', timeoutMs: 2000 });
await store.lease('user', () => Buffer.alloc(0));
await new Promise((resolve) => {
  store.watch('a/', { changed: () => undefined, reset: () => resolve(undefined) });
});
await store.txn({ compare: [], writes: [{ type: 'put', key: 'a/1', value: Buffer.alloc(1) }] });
writeSync(1, 'open\n');
await once(process.stdin, 'data');
process.stdin.destroy();
await store.close();
