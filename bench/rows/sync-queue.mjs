// The persistent queue of an agent: how fast differences are kept.
import { withPrograms } from '../lib/child.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { syncGroup } from './row.mjs';

const itemBytes = 200;
const sizes = {
  full: { batched: 500_000, grouped: 100_000, alone: 500, syncs: 500 },
  quick: { batched: 100_000, grouped: 20_000, alone: 200, syncs: 200 },
  smoke: { batched: 2000, grouped: 200, alone: 5, syncs: 5 },
};
/** What 64 callers have to reach, beside the row's own figure. */
const leastGrouped = 20_000;

/** @type {import('./row.mjs').Row} */
const queue = {
  id: 'sync-queue',
  group: syncGroup,
  title: 'differences of 200 bytes that a persistent queue acknowledges',
  unit: 'differences/s',
  better: 'higher',
  rivals: [],
  variants: ['hawser-relaxed'],
  target: [{ is: 'atLeast', value: 100_000 }],
  does: {
    hawser: { encrypted: false, reliable: true, note: 'acknowledged after fdatasync' },
    'hawser-relaxed': {
      encrypted: false,
      reliable: true,
      note: 'acknowledged one sync earlier: the last commit can be undone when the machine loses power',
    },
  },
  note: 'four callers submit batches of 1,000, each waits for its own before it submits the next. Beside it: 64 callers with one difference at a time (at least 20,000/s), a single one, one that waits for each batch of 1,000, and what the disk does at most: a page written and fdatasynced, one after the other. Then all is read as a snapshot once and removed.',
  measure: (contender, size) =>
    withScratch((folder) =>
      withPrograms(async (start) => {
        const durability = contender === 'hawser' ? 'durable' : 'relaxed';
        const program = await start('sync-queue', { folder, durability });
        const { batched, grouped, alone, syncs } = sizes[size];
        /** @param {string} what @param {object} load @returns {Promise<number>} */
        const rate = async (what, load) => (await program.request(what, load)).perSecond;
        const submit = (
          /** @type {number} */ callers,
          /** @type {number} */ batch,
          /** @type {number} */ items,
        ) => rate('submit', { callers, batch, bytes: itemBytes, items });
        const figures = {
          inBatches: await submit(4, 1000, batched),
          oneBatchAtATime: await submit(1, 1000, batched / 4),
          callers64: await submit(64, 1, grouped),
          oneCaller: await submit(1, 1, alone),
          rawFdatasync: await rate('rawSyncs', { syncs }),
          readAndCleared: await rate('send', {}),
        };
        await program.request('close');
        const { inBatches, ...details } = figures;
        const isSlow = size !== 'smoke' && durability === 'durable' && figures.callers64 < leastGrouped;
        return {
          value: inBatches,
          details,
          missed: isSlow
            ? [`64 callers: ${Math.round(figures.callers64)} of ${leastGrouped} differences/s`]
            : [],
        };
      }),
    ),
};

export const rows = [queue];
