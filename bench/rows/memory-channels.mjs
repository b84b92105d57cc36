import { measureMemory } from './memory.mjs';
import { channelsGroup } from './row.mjs';

/** @type {Record<import('./row.mjs').Size, import('./memory.mjs').MemorySize>} */
const sizes = {
  full: { steps: [2000, 10_000], quietMs: 2000 },
  quick: { steps: [500, 3000], quietMs: 500 },
  smoke: { steps: [20, 60], quietMs: 100 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'memory-channels',
  group: channelsGroup,
  title: 'memory of the gateway for the reliable channel of each idle peer',
  unit: 'bytes',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 2048 }],
  note: 'slope of the resident set between 2,000 and 10,000 connected peers, as in the row `memory`, with a reliable channel over which every peer has sent a message and got one back, less the same without channels. A quick run has the slope between 500 and 3,000.',

  async measure(_, size) {
    const without = await measureMemory(sizes[size]);
    const used = await measureMemory(sizes[size], true);
    return {
      value: used.value - without.value,
      details: {
        withBytes: used.value,
        withoutBytes: without.value,
        nativeWithBytes: used.details.nativeBytes,
        nativeWithoutBytes: without.details.nativeBytes,
      },
    };
  },
};
