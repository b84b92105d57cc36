// Writes to a store of sessions in a process of its own, to be killed.
//
// Arguments: the store, and the number of the first transaction. Transaction N counts `a/counter` up to N, compared with what it was, and puts
// N under 20 keys of its own and under one that a lease holds; transactions are begun some at a time. Prints "open", "begun N", "done N".

import { writeSync } from 'node:fs';
import { openSessionStore } from 'hawser/sessions';

const [, , path = '', first = ''] = process.argv;
const atOnce = 8;

/** Written at once: what was printed is not lost when the process is killed. @param {string} line */
const say = (line) => writeSync(1, `${line}\n`);

const store = await openSessionStore(path);
const lease = await store.lease('writer', () => Buffer.alloc(0));
say('open');

/** @param {number} n */
const write = async (n) => {
  const value = Buffer.from(`${n}`);
  /** @type {import('hawser/sessions').Write[]} */
  const writes = [
    { type: 'put', key: 'a/counter', value },
    { type: 'put', key: 'e/leader', value, lease },
    { type: 'deleteRange', from: `r/${n - 3}/`, to: `r/${n - 3}0` },
  ];
  for (let k = 0; k < 20; ++k) writes.push({ type: 'put', key: `r/${n}/${k}`, value });
  say(`begun ${n}`);
  const { committed } = await store.txn({ compare: [lease.fence, { key: `r/${n}/0`, revision: 0 }], writes });
  if (!committed) throw new Error(`transaction ${n} was not committed`);
  say(`done ${n}`);
};

for (let n = Number(first); ; n += atOnce) {
  await Promise.all(Array.from({ length: atOnce }, (_, k) => write(n + k)));
}
