// The memory of connections in a process that has many, each made by `connect` with a socket of its own.
import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { cores, wait } from './row.mjs';

/** @typedef {import('../lib/child.mjs').Program} Program */
/** @typedef {import('../lib/program.mjs').ProcessMark & {heapBytes: number, externalBytes: number, connected: number}} Mark */

/** Connections after which the heap of the process has found its size. */
const warmUp = 500;

/**
 * @template T
 * @param {number} maxPeers
 * @param {(clients: Program) => Promise<T>} work
 */
function withConnections(maxPeers, work) {
  return withPrograms(async (start) => {
    const key = formatKey(generateKey({ id: 1 }));
    const gateway = await start('connections', { key, maxPeers }, { core: cores.far });
    const address = await gateway.request('address');
    const clients = await start(
      'connections',
      { key, address },
      { core: cores.near, nodeOptions: ['--expose-gc'] },
    );
    return work(clients);
  });
}

/** @type {Record<import('./row.mjs').Size, {connections: number, quietMs: number}>} */
const idleSizes = {
  full: { connections: 10_000, quietMs: 2000 },
  quick: { connections: 3000, quietMs: 500 },
  smoke: { connections: 20, quietMs: 50 },
};

/** @type {import('./row.mjs').Row} */
const idle = {
  id: 'connection-memory',
  title: 'memory of each idle connection that has a socket of its own',
  unit: 'bytes',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 24 * 1024 }],
  note: 'growth of the resident set of a process that opens 10,000 connections with `connect` and the channels of every layer, for each connection, after garbage collection; native memory and JavaScript together. A quick run has 3,000. Each connection needs a file descriptor: `ulimit -n` must be above 10,600.',

  async measure(_, size) {
    const { connections, quietMs } = idleSizes[size];
    return withConnections(connections + warmUp, async (clients) => {
      await clients.request('open', Math.min(warmUp, connections));
      /** @type {Mark} */
      const before = await clients.request('settled');
      await clients.request('open', connections);
      await wait(quietMs);
      /** @type {Mark} */
      const after = await clients.request('settled');
      const missing = before.connected + connections - after.connected;
      return {
        value: (after.rssBytes - before.rssBytes) / connections,
        details: {
          heapBytes: (after.heapBytes - before.heapBytes) / connections,
          externalBytes: (after.externalBytes - before.externalBytes) / connections,
        },
        missed: missing === 0 ? [] : [`${missing} connections have ended`],
      };
    });
  },
};

/** @type {Record<import('./row.mjs').Size, {first: number, all: number}>} */
const cycleSizes = {
  full: { first: 10_000, all: 100_000 },
  quick: { first: 2000, all: 8000 },
  smoke: { first: 20, all: 40 },
};

/** @type {import('./row.mjs').Row} */
const cycles = {
  id: 'connection-cycles',
  title: 'resident set after 100,000 connections opened and closed, against that after 10,000',
  unit: '%',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 105 }],
  note: 'a process that opens a connection with `connect` and the channels of every layer and closes it, 64 at a time, after garbage collection. A quick run compares 8,000 with 2,000.',

  async measure(_, size) {
    const { first, all } = cycleSizes[size];
    return withConnections(warmUp, async (clients) => {
      await clients.request('cycle', first);
      /** @type {Mark} */
      const before = await clients.request('settled');
      await clients.request('cycle', all - first);
      /** @type {Mark} */
      const after = await clients.request('settled');
      return {
        value: (after.rssBytes / before.rssBytes) * 100,
        details: {
          beforeBytes: before.rssBytes,
          afterBytes: after.rssBytes,
          externalGrowthBytes: after.externalBytes - before.externalBytes,
        },
      };
    });
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [idle, cycles];
