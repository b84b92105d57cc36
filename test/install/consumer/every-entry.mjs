// Imports every entry point, sends a message over UDP, and does so again in worker threads.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { Worker } from 'node:worker_threads';
import { exchange } from './exchange.mjs';

const manifest = createRequire(import.meta.url)('hawser/package.json');
for (const entry of Object.keys(manifest.exports).filter((name) => !name.endsWith('.json'))) {
  const names = Object.keys(await import(`hawser${entry.slice(1)}`));
  assert(names.length > 0, `${entry} exports nothing`);
}

assert.equal(await exchange('here'), 'here');

const worker = () => new Worker(new URL('./worker.mjs', import.meta.url));
const [first, second] = [worker(), worker()];
assert.deepEqual(await Promise.all([first, second].map((each) => once(each, 'message'))), [
  ['open'],
  ['open'],
]);
// One is ended from outside with its gateway open, the other ends itself likewise; this thread goes on.
await first.terminate();
second.postMessage('end');
assert.deepEqual(await once(second, 'exit'), [3]);
assert.equal(await exchange('still here'), 'still here');
console.log(`ok ${process.version}`);
