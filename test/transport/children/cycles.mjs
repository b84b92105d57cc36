// Run with --expose-gc: opens and closes gateways and clients again and again, and says what was left behind.
//
// Arguments: how many cycles to measure, and JSON {server, client}, more options of each. Prints JSON {grown: {rss, heapUsed, external},
// descriptors, threads}: after minus before.

import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client, Server } from 'hawser';

const cycles = Number(process.argv[2]);
const options = JSON.parse(process.argv[3] ?? '{}');
const key = { id: 1, key: new Uint8Array(32).fill(1) };
const descriptors = () => readdirSync('/proc/self/fd').length;
const threads = () => readdirSync('/proc/self/task').length;

/** @param {number} count */
async function cycle(count) {
  for (let index = 0; index < count; ++index) {
    const server = await Server.listen({
      address: '127.0.0.1:0',
      protocolId: 1n,
      keys: [key],
      ...options.server,
    });
    const client = await Client.open({ address: '127.0.0.1:0', ...options.client });
    await Promise.all([server.close(), client.close(), server.close()]);
    if (index % 50 === 0) globalThis.gc?.();
  }
  // Finalisers run in turns of their own.
  for (let turn = 0; turn < 5; ++turn) {
    globalThis.gc?.();
    await sleep(10);
  }
}

// Until the heap has found its size.
await cycle(500);
const before = process.memoryUsage();
const openBefore = descriptors();
const threadsBefore = threads();
await cycle(cycles);
const after = process.memoryUsage();
const grown = {
  rss: after.rss - before.rss,
  heapUsed: after.heapUsed - before.heapUsed,
  external: after.external - before.external,
};
const left = { descriptors: descriptors() - openBefore, threads: threads() - threadsBefore };
process.stdout.write(JSON.stringify({ grown, ...left }));
