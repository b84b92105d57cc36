// Agents that push their state to a manager: one with a million items, and many at once.
import { join } from 'node:path';
import { withPrograms } from '../lib/child.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { syncGroup } from './row.mjs';

/** @typedef {import('./row.mjs').Size} Size */
/** @typedef {import('../lib/child.mjs').Program} Program */
/** @typedef {import('../lib/program.mjs').ProcessMark & {rssBytes: number, privateBytes: number}} ManagerMark */

const itemBytes = 200;

/**
 * @param {(name: string, config: unknown) => Promise<Program>} start
 * @param {object} config of the program `sync-verify`
 * @returns {Promise<string[]>} conditions that were missed
 */
async function verify(start, config) {
  const verifier = await start('sync-verify', config);
  /** @type {{faults: number, sessions: number, waiting: number}} */
  const { faults, sessions, waiting } = await verifier.request('verify');
  return [
    ...(faults > 0 ? [`${faults} documents are missing or differ`] : []),
    ...(sessions > 0 ? [`${sessions} sessions are left`] : []),
    ...(waiting > 0 ? [`${waiting} items still wait`] : []),
  ];
}

// ---- One agent -----------------------------------------------------------------------------------------------------

/**
 * @param {{items: number, data: 'reliable' | 'unreliable', lossRate?: number}} load
 * @param {(figures: {ms: number, items: number, payloadBytes: number, itemsBytes: number}) => number} value
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureOne({ items, data, lossRate }, value) {
  return withScratch((folder) =>
    withPrograms(async (start) => {
      const store = join(folder, 'store');
      const queue = join(folder, 'queue');
      const manager = await start('sync-manager', { store, agents: 10 });
      const target = await manager.request('target');
      const agent = await start('sync-agent', {
        target,
        queue,
        data,
        ...(lossRate !== undefined && { lossRate }),
      });
      await agent.request('fill', { items, bytes: itemBytes });
      const before = { agent: await agent.request('mark'), manager: await manager.request('mark') };
      /** @type {{success: boolean, failureReason: string, ms: number, bytes: number, retransmittedBytes: number, payloadBytes: number}} */
      const result = await agent.request('synchronize');
      const after = { agent: await agent.request('mark'), manager: await manager.request('mark') };
      await agent.request('close');
      await manager.request('close');
      const faults = await verify(start, { store, queue, agents: 1, items, bytes: itemBytes });
      const micros = (/** @type {'agent' | 'manager'} */ side) =>
        (after[side].cpuMicros - before[side].cpuMicros) / items;
      const itemsBytes = result.bytes - result.retransmittedBytes;
      return {
        value: value({ ms: result.ms, items, payloadBytes: result.payloadBytes, itemsBytes }),
        details: {
          seconds: result.ms / 1000,
          agentMicros: micros('agent'),
          managerMicros: micros('manager'),
          dataBytesPerItem: itemsBytes / items,
          dataRatio: result.bytes / itemsBytes,
          payloadBytesPerItem: result.payloadBytes / items,
          managerPrivateMB: after.manager.privateBytes / 1e6,
        },
        missed: [...(result.success ? [] : [`the sync failed: ${result.failureReason}`]), ...faults],
      };
    }),
  );
}

const overReliable = { encrypted: true, reliable: true, note: 'Data on the reliable channel, the default' };
const overUnreliable = {
  encrypted: true,
  reliable: true,
  note: 'Data on the unreliable channel, repaired by ReqRet',
};

const oneSizes = { full: 1_000_000, quick: 200_000, smoke: 500 };

/** @type {import('./row.mjs').Row} */
const one = {
  id: 'sync-million',
  group: syncGroup,
  title: 'items of 200 bytes that one agent brings to a manager, both on the disk',
  unit: 'items/s',
  better: 'higher',
  rivals: [],
  variants: ['hawser-unreliable'],
  target: [{ is: 'atLeast', value: 60_000 }],
  does: { hawser: overReliable, 'hawser-unreliable': overUnreliable },
  note: '1,000,000 items wait in a queue on the disk; from the call of `synchronizeModule` until it has resolved, when all are in the store of the manager, written and fdatasynced, and gone from the queue, likewise. A third process then reads both and compares every document. Two processes on two cores, over loopback.',
  measure: (contender, size) =>
    measureOne(
      { items: oneSizes[size], data: contender === 'hawser' ? 'reliable' : 'unreliable' },
      ({ ms, items }) => (items * 1000) / ms,
    ),
};

const lossRate = 0.3;
const lossSizes = { full: 100_000, quick: 20_000, smoke: 200 };

/** @type {import('./row.mjs').Row} */
const lossy = {
  id: 'sync-loss',
  group: syncGroup,
  title: 'bytes that the agent sends for each byte of Data with 30 % of all datagrams lost',
  unit: 'times',
  better: 'lower',
  rivals: [],
  variants: ['hawser-reliable'],
  does: { hawser: overUnreliable, 'hawser-reliable': overReliable },
  target: [{ is: 'atMost', value: 1.6 }],
  note: '100,000 items of 200 bytes over a connection each direction of which loses 30 % of its datagrams at random. All that the agent sends counts, headers, tags, acknowledgements and whatever is sent again included: the bytes of its UDP payload, in relation to the bytes of all messages with Data, each once. `hawser` sends Data on the unreliable channel, `hawser-reliable` on the reliable one, the default. No protocol can go below 1 / 0.7 = 1.43. `dataRatio` in the details is that of the messages with Data alone; what the transport sends again by itself is not in it. A third process then compares every document.',
  measure: (contender, size) =>
    measureOne(
      { items: lossSizes[size], data: contender === 'hawser' ? 'unreliable' : 'reliable', lossRate },
      ({ payloadBytes, itemsBytes }) => payloadBytes / itemsBytes,
    ),
};

// ---- Many agents ---------------------------------------------------------------------------------------------------

const fleetSizes = {
  full: { agents: 10_000, items: 100 },
  quick: { agents: 2000, items: 100 },
  smoke: { agents: 10, items: 5 },
};
const greatestPrivateBytes = 512 * 2 ** 20;

/** @type {import('./row.mjs').Row} */
const fleet = {
  id: 'sync-fleet',
  group: syncGroup,
  title: 'from the call until the sync is done, 10,000 agents that begin within a second, 99th percentile',
  unit: 's',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 60 }],
  note: '100 items of 200 bytes each, in memory at the agents, on the disk at the manager, which has to stay below 512 MiB with the transport and without the pages of the store that the kernel caches. A third process then compares every document.',
  async measure(_, size) {
    const { agents, items } = fleetSizes[size];
    return withScratch((folder) =>
      withPrograms(async (start) => {
        const store = join(folder, 'store');
        const manager = await start('sync-manager', { store, agents });
        const target = await manager.request('target');
        const fleet = await start('sync-fleet', { target, agents, items, bytes: itemBytes });
        /** @type {ManagerMark} */
        const before = await manager.request('mark');
        const result = await fleet.request('synchronize');
        /** @type {ManagerMark} */
        const after = await manager.request('mark');
        await manager.request('close');
        const faults = await verify(start, { store, agents, items, bytes: itemBytes });
        const distribution = result.distribution.map(
          (/** @type {import('./row.mjs').Quantile} */ { percent, value }) => ({
            percent,
            value: value / 1000,
          }),
        );
        return {
          value: distribution.find((/** @type {import('./row.mjs').Quantile} */ each) => each.percent === 99)
            .value,
          distribution,
          details: {
            greatestSeconds: result.greatestMs / 1000,
            managerPrivateMiB: after.privateBytes / 2 ** 20,
            managerRssMiB: after.rssBytes / 2 ** 20,
            idleMiB: before.privateBytes / 2 ** 20,
            managerMicros: (after.cpuMicros - before.cpuMicros) / (agents * items),
          },
          missed: [
            ...(result.failed > 0 ? [`${result.failed} agents failed: ${result.reason}`] : []),
            ...(after.privateBytes > greatestPrivateBytes ? ['the manager had more than 512 MiB'] : []),
            ...faults,
          ],
        };
      }),
    );
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [one, fleet, lossy];
