import { measureMemory, sizes } from './memory.mjs';
import { channelsGroup } from './row.mjs';

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'memory-channels',
  group: channelsGroup,
  title: 'memory of the gateway for the reliable channel of each idle peer',
  unit: 'bytes',
  better: 'lower',
  rivals: [],
  target: { value: 2048, is: 'atMost' },
  note: 'the figure of the row `memory`, with a reliable channel over which every peer has sent a message and got one back, less the same without channels.',

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
