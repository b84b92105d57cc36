// Keeps and applies sessions in a process of its own, to be killed.
//
// Argument: JSON {store, sessions, from, maxBytesPerAgent}: the store, the file with the sessions, the first of them that is not applied
// yet, and what an agent may keep; on standard output a line of JSON for each thing that is done. After a commit that failed it waits for
// something on standard input, unless the session was refused for good.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { HawserError, openStore } from 'hawser/sync';

const { store: path, sessions: file, from, maxBytesPerAgent } = JSON.parse(process.argv[2] ?? '{}');
/** @param {object} event */
const say = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

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
