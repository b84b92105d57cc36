// How long the event loop of a gateway stands still for those who look at it.
import { join } from 'node:path';
import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { median, spread } from '../lib/statistics.mjs';
import { cores, gatewayGroup, wait } from './row.mjs';

/** @typedef {Readonly<Record<'snapshot' | 'metrics' | 'peers' | 'top' | 'search', number>>} Blocks milliseconds, by what was asked for */

/** Time between requests. A gateway caches the figures of its peers for a second, and each request must read them itself. */
const intervalMs = 1100;
/** In the order in which they are made. The longest block during the first four is the value of the row. */
const requests = /** @type {const} */ (['snapshot', 'metrics', 'peers', 'top', 'search']);
/** Of all clients together. */
const messagesPerSecond = 2000;
/** The load goes on while the last snapshot is taken. */
const marginMs = 3000;

/** @type {Record<import('./row.mjs').Size, {peers: number, snapshots: number}>} */
const sizes = {
  full: { peers: 10_000, snapshots: 30 },
  quick: { peers: 10_000, snapshots: 10 },
  smoke: { peers: 20, snapshots: 1 },
};

/** What the gateway of each contender has. */
const drivers = /** @type {const} */ ({
  hawser: { driver: 'threads', threads: 2 },
  'hawser-loop': { driver: 'loop' },
});

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'snapshot',
  group: gatewayGroup,
  title: 'longest block of the event loop while a snapshot of 10,000 peers is taken',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  variants: ['hawser-loop'],
  target: [{ is: 'atMost', value: 5 }],
  does: {
    hawser: { encrypted: true, reliable: false, note: '`driver: "threads"`, two I/O threads' },
    'hawser-loop': { encrypted: true, reliable: false, note: '`driver: "loop"`, all on the event loop' },
  },
  note: 'a composed gateway with 10,000 peers, each of which sends a message in 5 s. Another process asks for what the dashboard, Prometheus and `hawser top` ask for: `/api/snapshot`, `/metrics`, the 50 peers with the longest round trip over HTTP and over the control socket. Requests are 1.1 s apart, because the gateway keeps the figures of its peers for a second: each request reads them itself. The figure is the longest time without a turn of the event loop during any of these four requests, the median of 30 rounds (10 in a quick run). The details have the medians by request, the median of a search for peers by address (`searchMs`, not part of the figure), and the longest block between requests, which is the load itself.',

  async measure(contender, size) {
    const { peers, snapshots } = sizes[size];
    const driver = drivers[/** @type {keyof typeof drivers} */ (contender)];
    return withScratch((folder) =>
      withPrograms(async (start) => {
        const key = formatKey(generateKey({ id: 1 }));
        const config = { key, peers, driver, control: join(folder, 'g.sock') };
        const gateway = await start('gateway-snapshot', config, { core: cores.far });
        /** @type {{clients: string}} */
        const places = await gateway.request('places');
        const clients = await start(
          'clients',
          { address: places.clients, key, clients: peers },
          { core: cores.near },
        );
        const asker = await start('gateway-asker', places, { core: cores.near });
        await clients.request('mint', peers);
        const { failed } = /** @type {{failed: number}} */ (await clients.request('connectUpTo', peers));
        if (failed > 0) throw new Error(`${failed} of ${peers} clients could not connect`);
        // What only a first request loads.
        await asker.request('ask', 'all');
        const ms = snapshots * requests.length * intervalMs + marginMs;
        const loading =
          size === 'smoke' ? undefined : clients.request('load', { ms, perSecond: messagesPerSecond });
        let loadEnded = false;
        const noteEnd = () => {
          loadEnded = true;
        };
        loading?.then(noteEnd, noteEnd);
        /** @type {Blocks[]} */
        const all = [];
        const quiet = [];
        for (let count = 0; count < snapshots; ++count) {
          const blocks = { snapshot: 0, metrics: 0, peers: 0, top: 0, search: 0 };
          for (const request of requests) {
            quiet.push(await blockOf(gateway, () => wait(intervalMs / 2)));
            await wait(intervalMs / 2);
            blocks[request] = await blockOf(gateway, () => asker.request('ask', request));
          }
          all.push(blocks);
        }
        const endedEarly = loadEnded;
        const { connected } = /** @type {{connected: number}} */ (await gateway.request('mark'));
        await loading;
        const longest = all.map(({ search: _, ...blocks }) => Math.max(...Object.values(blocks)));
        const { min, max } = spread(longest);
        /** @param {keyof Blocks} what */
        const medianOf = (what) => median(all.map((blocks) => blocks[what]));
        return {
          value: median(longest),
          least: min,
          greatest: max,
          details: {
            snapshotMs: medianOf('snapshot'),
            metricsMs: medianOf('metrics'),
            peersMs: medianOf('peers'),
            topMs: medianOf('top'),
            searchMs: medianOf('search'),
            betweenMs: median(quiet),
          },
          missed: [
            ...(connected < peers ? [`${connected} of ${peers} peers are connected`] : []),
            ...(endedEarly ? ['the load ended before the last request'] : []),
          ],
        };
      }),
    );
  },
};

/**
 * @param {import('../lib/child.mjs').Program} gateway
 * @param {() => Promise<unknown>} work
 * @returns {Promise<number>} the longest block of its event loop meanwhile, in milliseconds
 */
async function blockOf(gateway, work) {
  await gateway.request('watch');
  await work();
  return gateway.request('longestBlockMs');
}
