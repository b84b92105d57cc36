// What a manager needs to compare the checksum of an agent.
import { join } from 'node:path';
import { withPrograms } from '../lib/child.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { median } from '../lib/statistics.mjs';
import { syncGroup } from './row.mjs';

const sizes = {
  full: { documents: 30_000, runs: 25 },
  quick: { documents: 30_000, runs: 9 },
  smoke: { documents: 100, runs: 3 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'sync-checksum',
  group: syncGroup,
  title: 'for a checksum over 30,000 documents of an agent, in the store of a manager on the disk',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 20 }],
  note: '30,000 documents of 200 bytes of one agent and index; from the call of `checksum` of the store until it has resolved, the median of 25 calls one after the other in one process. The result must be that which an agent computes of the documents.',

  async measure(_, size) {
    const { documents, runs } = sizes[size];
    return withScratch((folder) =>
      withPrograms(async (start) => {
        const store = await start('sync-checksum', { store: join(folder, 'store'), documents, bytes: 200 });
        /** @type {{ms: number}} */
        const filled = await store.request('fill');
        const times = [];
        const checksums = new Set([await store.request('expected')]);
        for (let run = 0; run < runs; ++run) {
          /** @type {{ms: number, checksum: string}} */
          const { ms, checksum } = await store.request('checksum');
          times.push(ms);
          checksums.add(checksum);
        }
        await store.request('close');
        return {
          value: median(times),
          least: Math.min(...times),
          greatest: Math.max(...times),
          details: { microsecondsPerDocument: (median(times) * 1000) / documents, fillMs: filled.ms },
          missed: checksums.size === 1 ? [] : ['a checksum is not that of the documents'],
        };
      }),
    );
  },
};
