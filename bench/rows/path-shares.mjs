// How hawser shares a slow link with TCP of the kernel, and with itself.
import { missingForPaths, missingTcpCongestion, withPath } from '../lib/path.mjs';
import { jainIndex } from '../lib/statistics.mjs';
import { bottleneck, connectEnds, contenders, faultsOf, linkDetails, seed } from './paths.mjs';
import { pathsGroup, wait } from './row.mjs';

/** @typedef {import('./row.mjs').Row} Row */
/** @typedef {import('./row.mjs').Size} Size */
/** @typedef {import('../lib/path.mjs').PathSettings} PathSettings */

const mbit = 20;
const delayMs = 25;
/** Packets of one bandwidth-delay product of the link. */
const productPackets = 83;
/** @param {number} products length of the queue in bandwidth-delay products @returns {PathSettings} */
const linkWith = (products) => ({
  delayMs,
  seed,
  ...bottleneck(mbit, Math.round(products * productPackets)),
});
const linkText = `a link of ${mbit} Mbit/s and ${delayMs} ms each way`;

/**
 * Time until all flows have found the link, which does not count, and time that counts, in milliseconds.
 *
 * @type {Record<Size, {settleMs: number, countedMs: number}>}
 */
const times = {
  full: { settleMs: 3000, countedMs: 17_000 },
  quick: { settleMs: 3000, countedMs: 7000 },
  smoke: { settleMs: 200, countedMs: 500 },
};
const timesText =
  'bytes of messages that arrived between the third second and the twentieth (the tenth in a quick run)';

/** More than any flow sends: each has something to send until its process ends. */
const endlessBytes = 1e9;

const common = { group: pathsGroup, better: /** @type {const} */ ('higher'), rivals: [], byNameOnly: true };

/** @param {string} [tcpCongestion] */
function lacking(tcpCongestion) {
  const lacks = missingForPaths() ?? (tcpCongestion && missingTcpCongestion(tcpCongestion));
  return lacks === undefined || lacks === '' ? {} : { lacks };
}

// ---- Next to TCP ---------------------------------------------------------------------------------------------------

/** No flow may leave the other one less than about a third. */
const mostPercent = 65;

/** @type {readonly {tcpCongestion: 'cubic' | 'bbr', products: number, leastPercent: number}[]} */
export const tcpShares = [
  { tcpCongestion: 'cubic', products: 1, leastPercent: 35 },
  { tcpCongestion: 'cubic', products: 5, leastPercent: 20 },
  { tcpCongestion: 'bbr', products: 1, leastPercent: 25 },
  { tcpCongestion: 'bbr', products: 5, leastPercent: 25 },
];

/**
 * @param {typeof tcpShares[number]} share
 * @returns {Row}
 */
function tcpShareRow({ tcpCongestion, products, leastPercent }) {
  return {
    ...common,
    ...lacking(tcpCongestion),
    id: `path-share-${tcpCongestion}-${products}`,
    title: `share of one flow next to TCP ${tcpCongestion} on ${linkText}, with a queue of ${products} bandwidth-delay product${products === 1 ? '' : 's'}`,
    unit: '%',
    target: [
      { is: 'atLeast', value: leastPercent },
      { is: 'atMost', value: mostPercent },
    ],
    note: `${timesText}, of ours as a part of both. Both flows upload messages of 16 KiB and begin together. Each client and each server is a process of its own.`,

    async measure(contender, size) {
      const ours = contenders[contender];
      if (ours === undefined) throw new Error(`no contender is called ${contender}`);
      return withPath({ ...linkWith(products), tcpCongestion }, async (path) => {
        const { settleMs, countedMs } = times[size];
        const pairs = [await connectEnds(path, ours), await connectEnds(path, { driver: 'tcp' })];
        await Promise.all(pairs.map(({ server }) => server.request('heard')));
        await Promise.all(pairs.map(({ client }) => client.request('send', [endlessBytes])));
        await wait(settleMs);
        const [own, tcp] = await Promise.all(
          pairs.map(({ server }) => {
            /** @type {Promise<import('../lib/transfer.mjs').Received>} */
            const receiving = server.request('receive', [endlessBytes, countedMs]);
            return receiving;
          }),
        );
        const figures = await path.figures();
        const ownBytes = own?.bytes ?? 0;
        const tcpBytes = tcp?.bytes ?? 0;
        return {
          value: (ownBytes / (ownBytes + tcpBytes)) * 100,
          details: {
            ownBytes,
            tcpBytes,
            ...linkDetails(figures),
            ...(await pairs[0]?.client.request('counters')),
          },
          missed: faultsOf(figures, (own?.misplaced ?? 0) + (tcp?.misplaced ?? 0)),
        };
      });
    },
  };
}

// ---- Several flows of hawser ---------------------------------------------------------------------------------------

const leastJain = 0.95;

/** Numbers of flows. */
export const flowCounts = [2, 10, 50];

/**
 * @param {number} flows
 * @returns {Row}
 */
function ownShareRow(flows) {
  return {
    ...common,
    ...lacking(),
    id: `path-share-own-${flows}`,
    title: `Jain index of ${flows} flows on ${linkText}, with a queue of 1 bandwidth-delay product`,
    unit: 'index',
    target: [{ is: 'atLeast', value: leastJain }],
    note: `${timesText}, of each flow. 1: all flows have the same share; 1/${flows}: one flow has all. The flows upload messages of 16 KiB and begin together. All clients are in one process, their server is in another one.`,

    async measure(_contender, size) {
      return withPath(linkWith(1), async ({ near, far, figures }) => {
        const { settleMs, countedMs } = times[size];
        const server = await far.start('path-flows', { host: far.address, flows });
        const targets = await server.request('targets');
        const clients = await near.start('path-flows', { host: near.address, targets });
        await clients.request('send', [endlessBytes]);
        await wait(settleMs);
        /** @type {number[]} */
        const before = await server.request('received');
        await wait(countedMs);
        /** @type {number[]} */
        const after = await server.request('received');
        const bytes = after.map((value, index) => value - (before[index] ?? 0));
        const ended = await figures();
        return {
          // A flow of which nothing has come has no place yet.
          value: jainIndex([...bytes, ...Array(flows - bytes.length).fill(0)]),
          details: {
            flows: bytes.length,
            leastBytes: Math.min(...bytes),
            mostBytes: Math.max(...bytes),
            ...linkDetails(ended),
          },
          missed: faultsOf(ended, 0),
        };
      });
    },
  };
}

/** @type {readonly Row[]} */
export const rows = [...tcpShares.map(tcpShareRow), ...flowCounts.map(ownShareRow)];
