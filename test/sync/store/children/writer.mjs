// Keeps and applies sessions in a process of its own, to be killed.
//
// Argument: JSON {store, sessions, from, maxBytesPerAgent, waitsAt}: the store, the file with the sessions, the first of them that is not
// applied yet, what an agent may keep, and the session before whose commit it waits; on standard output a line of JSON for each thing that
// is done. It waits for something on standard input, also after a commit that failed, unless the session was refused for good.

import { once } from 'node:events';
import { readFileSync, writeSync } from 'node:fs';
import { HawserError, openStore } from 'hawser/sync';

const { store: path, sessions: file, from, maxBytesPerAgent, waitsAt } = JSON.parse(process.argv[2] ?? '{}');
/** Written at once: what was said is not lost when the process is killed. @param {object} event */
const say = (event) => writeSync(1, `${JSON.stringify(event)}\n`);

const store = await openStore(path, maxBytesPerAgent === undefined ? {} : { maxBytesPerAgent });
const sessions = JSON.parse(readFileSync(file, 'utf8'));
for (let number = from; number < sessions.length; ++number) {
  const { changes, messages, ...wire } = sessions[number];
  const numbers = { session: 1n, nonce: BigInt(number + 1), generation: BigInt(number + 1) };
  const session = store.sessions()[0] ?? store.begin({ ...wire, ...numbers });
  say({ begun: number });
  for (let n = store.stagedCount(session); n < messages; ++n) {
    store.stage(session, Buffer.from(`message ${n} of ${number}`));
    if (n % 50 === 0) await store.staged(session);
  }
  await store.staged(session);
  say({ staged: number });
  if (number === waitsAt) await once(process.stdin, 'data');
  const decoded = changes.map((/** @type {{version?: string, data?: string}} */ change) => ({
    ...change,
    version: BigInt(change.version ?? 0),
    data: Buffer.from(change.data ?? ''),
  }));
  const progress = (/** @type {number} */ applied) => say({ applied });
  for (let isOver = false; !isOver; ) {
    try {
      await store.commit(session, decoded, () => 0, progress);
      isOver = true;
      say({ committed: number });
    } catch (error) {
      const code = error instanceof HawserError ? error.code : String(error);
      isOver = code === 'ERR_HAWSER_STORE_QUOTA';
      say(isOver ? { refused: number } : { failed: code });
      if (!isOver) await once(process.stdin, 'data');
    }
  }
}
await store.close();
process.stdin.destroy();
