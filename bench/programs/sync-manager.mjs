// A manager with a store on the disk. Configuration: {store, agents}.
import { readFileSync } from 'node:fs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { openManager, openStore } from '../lib/sync.mjs';

const config = /** @type {{store: string, agents: number}} */ (configuration());
const store = await openStore(config.store);
const { server, manager, target } = await openManager(store, config.agents);

/** How often the memory is looked at: what is not held for so long is not seen. */
const lookEveryMs = 50;
const greatest = { rssBytes: 0, privateBytes: 0 };
setInterval(look, lookEveryMs).unref();

/** Pages of the store that the kernel has mapped are of its cache: it takes them back when it wants. */
function look() {
  const rssBytes = process.memoryUsage.rss();
  greatest.rssBytes = Math.max(greatest.rssBytes, rssBytes);
  greatest.privateBytes = Math.max(greatest.privateBytes, privateBytes() ?? rssBytes);
}

/** @returns {number | undefined} undefined where the system does not tell */
function privateBytes() {
  if (process.platform !== 'linux') return undefined;
  const found = /^RssAnon:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return found === null ? undefined : Number(found[1]) * 1024;
}

serve({
  target: () => target,
  mark: () => {
    look();
    return { ...processMark(), ...greatest };
  },
  close: async () => {
    await manager.close();
    await server.close();
    await store.close();
  },
});
