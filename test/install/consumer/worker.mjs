// A worker thread that has sent a message over UDP, and leaves a gateway open when it ends.
import assert from 'node:assert/strict';
import { parentPort } from 'node:worker_threads';
import { exchange, openEcho } from './exchange.mjs';

assert.equal(await exchange('in a worker'), 'in a worker');
await openEcho();
assert(parentPort);
parentPort.once('message', () => process.exit(3));
parentPort.postMessage('open');
