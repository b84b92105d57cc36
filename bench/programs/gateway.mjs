// A hawser gateway that only counts, for the rows with many peers. Configuration: {maxPeers, key}, the key in its text form.
import { protocolId, Server } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';

/** Collections after which the memory of a process no longer shrinks. */
const collections = 4;

const { maxPeers, key } = /** @type {{maxPeers: number, key: string}} */ (configuration());
const before = processMark();
const server = await Server.listen({ address: '127.0.0.1:0', protocolId, keys: [key], maxPeers });

const mark = () => ({
  ...processMark(),
  peers: server.peers.size,
  nativeBytes: server.memoryBytes,
  counters: server.stats.counters,
  drops: server.stats.drops,
});

async function settled() {
  for (let round = 0; round < collections; ++round) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return mark();
}

serve({ address: () => server.address, before: () => before, mark, settled, close: () => server.close() });
