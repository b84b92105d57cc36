// Run with a small limit of open files: tries to open a gateway with room for no further file, for one more, and so on until it opens,
// so that each file that it needs is refused once.
//
// Argument: JSON of options of the gateway. Prints JSON {address, attempts, failures, left, alone}: how many attempts failed and what they
// said, [code, message] once each; how many files and threads they left behind; and the address of a socket opened at the same one
// afterwards, which shares it with none.

import { closeSync, fstatSync, openSync, readdirSync } from 'node:fs';
import { Server } from 'hawser';

const options = JSON.parse(process.argv[2] ?? '{}');
/** @param {object} more */
const listen = (more) =>
  Server.listen({
    address: '127.0.0.1:0',
    protocolId: 1n,
    keys: [{ id: 1, key: new Uint8Array(32).fill(1) }],
    ...more,
  });
const threads = () => readdirSync('/proc/self/task').length;

/** Opens none for that, as a listing of /proc/self/fd would. */
function openFiles() {
  let count = 0;
  for (let descriptor = 0; descriptor < 1024; ++descriptor) {
    try {
      fstatSync(descriptor);
      ++count;
    } catch {
      // Not open.
    }
  }
  return count;
}

/** Takes all the files that may be open. */
function takeFiles() {
  const taken = [];
  for (;;) {
    try {
      taken.push(openSync('/dev/null', 'r'));
    } catch {
      return taken;
    }
  }
}

// Once with all the room that it wants: loads the addon, and finds an address that is free.
const first = await listen(options);
const { address } = first;
await first.close();

const threadsBefore = threads();
const taken = takeFiles();
const failures = new Map();
const left = { files: 0, threads: 0 };
let attempts = 0;
for (;;) {
  const before = openFiles();
  try {
    const server = await listen({ ...options, address });
    await server.close();
    break;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    ++attempts;
    failures.set(error.message, error.code);
  }
  // What it had opened is closed in the turns that follow.
  for (let turn = 0; turn < 5; ++turn) await new Promise((resolve) => setImmediate(resolve));
  left.files += openFiles() - before;
  const descriptor = taken.pop();
  if (descriptor === undefined) throw new Error('it does not open with all the files either');
  closeSync(descriptor);
}
for (const descriptor of taken) closeSync(descriptor);
left.threads = threads() - threadsBefore;
const alone = await listen({ address });
await alone.close();
const report = {
  address,
  attempts,
  failures: [...failures].map(([message, code]) => [code, message]),
  left,
  alone: alone.address,
};
process.stdout.write(JSON.stringify(report));
