// Looks at the stores that other processes have written. Configuration: {store, queue, agents, items, bytes}.
import { configuration, serve } from '../lib/program.mjs';
import { documentOf, idOf, index, openQueue, openStore } from '../lib/sync.mjs';

/** @typedef {{store: string, queue?: string, agents: number, items: number, bytes: number}} Configuration */

const {
  store: folder,
  queue: queueFolder,
  agents,
  items,
  bytes,
} = /** @type {Configuration} */ (configuration());
const store = await openStore(folder);

/** @param {string} agent @returns {number} documents that are missing, differ, or should not be there */
function faultsOf(agent) {
  let number = 0;
  let faults = 0;
  for (const document of store.documents(agent)) {
    const isRight =
      document.index === index &&
      document.id === idOf(number) &&
      Buffer.compare(document.data, documentOf(number, bytes)) === 0;
    if (!isRight) ++faults;
    ++number;
  }
  return faults + Math.abs(items - number);
}

serve({
  verify: async () => {
    let faults = 0;
    for (let agent = 1; agent <= agents; ++agent) faults += faultsOf(String(agent));
    const sessions = store.sessions().length;
    await store.close();
    if (queueFolder === undefined) return { faults, sessions, waiting: 0 };
    const queue = await openQueue(queueFolder);
    const { pending, syncing, parked } = queue.counts;
    await queue.close();
    return { faults, sessions, waiting: pending + syncing + parked };
  },
});
