// SAEs and their keys: how many rotations a core bears, what rotating costs a gateway, and the traffic under its keys.
import { withPrograms } from '../lib/child.mjs';
import { newSeed } from '../lib/keys.mjs';
import { busyShareOf } from '../lib/program.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { patientMs, untilSettled } from './crowd.mjs';
import { faultsOf } from './reliable.mjs';
import { cores, keysGroup, onceSome, wait } from './row.mjs';
import { settled } from './stream.mjs';

/** @typedef {import('./row.mjs').Size} Size */
/** @typedef {import('../lib/program.mjs').ProcessMark} ProcessMark */
/** @typedef {{completed: number, failed: number, reason: string}} Counts */

/**
 * @param {Counts} counts
 * @returns {string[]} the condition that was missed, if it was
 */
function rotationFaults({ failed, reason }) {
  return failed === 0 ? [] : [`${failed} rotations failed, the first with ${reason}`];
}

// ---- Rotations of a core -------------------------------------------------------------------------------------------

const crowds = {
  full: { slaves: 2000, leadMs: 3000, moreInSecond: 100, warmUpMs: 10_000, measureMs: 20_000 },
  quick: { slaves: 2000, leadMs: 3000, moreInSecond: 100, warmUpMs: 4000, measureMs: 6000 },
  smoke: { slaves: 2, leadMs: 1000, moreInSecond: 1000, warmUpMs: 0, measureMs: 500 },
};

const targetRate = 500;
/** The least part of the core that has to be in use for the core to be what limits the rate. */
const leastBusy = 0.9;

/** @type {import('./row.mjs').Row} */
const rotations = {
  id: 'keys-rotations',
  group: keysGroup,
  title: 'complete rotations of keys that a gateway bears on one core',
  unit: 'rotations/s',
  better: 'higher',
  rivals: [],
  target: [{ is: 'atLeast', value: targetRate }],
  does: {
    hawser: {
      encrypted: true,
      reliable: true,
      note: 'each decision written and fdatasynced, in one LMDB store',
    },
  },
  note: 'from KEY_NOTIFICATION to CLEANUP_ACKNOWLEDGMENT: nine messages, each signed (Ed25519) and verified, and each decision kept before it is sent. One process on one core is the master of 2,000 slaves, which are in a process on the other core and keep theirs in memory: elsewhere they are other machines. Each has a connection, as in keys-pairs; as many of them as keep the core busy rotate without a pause, 3 s ahead. Keys are made in the process of each side, without a KME, and the devices only take notes. Below 90 % of the core in use a figure under the target does not count, and none does with any rotation that fails.',

  async measure(_, size) {
    const { slaves: count, leadMs, moreInSecond, warmUpMs, measureMs } = crowds[size];
    const seed = newSeed();
    return withScratch((store) =>
      withPrograms(async (start) => {
        const slaves = await start('keys-slaves', { slaves: count, leadMs, seed }, { core: cores.near });
        /** @type {{slaves: string[]}} */
        const { slaves: publicKeys } = await slaves.request('forMaster');
        const config = { store, leadMs, seed, slaves: publicKeys };
        const gateway = await start('keys-gateway', config, { core: cores.far });
        await slaves.request('connectAll', await gateway.request('target'));
        /** @type {number} */
        const pairs = await gateway.request('saturate', moreInSecond);
        await wait(warmUpMs);
        /** @type {GatewayMark} */
        const begin = await gateway.request('mark');
        /** @type {ProcessMark} */
        const slavesBegin = await slaves.request('mark');
        await wait(measureMs);
        /** @type {GatewayMark} */
        const end = await gateway.request('mark');
        /** @type {ProcessMark} */
        const slavesEnd = await slaves.request('mark');
        await gateway.request('stop');
        const completed = end.completed - begin.completed;
        const value = (completed * 1000) / (end.timeMs - begin.timeMs);
        const busy = busyShareOf(begin, end);
        const slavesMs = slavesEnd.timeMs - slavesBegin.timeMs;
        return {
          value,
          details: {
            rotationMicros: (end.cpuMicros - begin.cpuMicros) / completed,
            busyPercent: busy * 100,
            slavesPercent: (slavesEnd.cpuMicros - slavesBegin.cpuMicros) / slavesMs / 10,
            pairs,
          },
          missed: [
            ...rotationFaults(end),
            ...(busy < leastBusy && value < targetRate
              ? [`${(busy * 100).toFixed(0)} % of the core were in use`]
              : []),
          ],
        };
      }),
    );
  },
};

// ---- Many pairs ----------------------------------------------------------------------------------------------------

const fleets = {
  full: { slaves: 1000, leadMs: 5000, everyMs: 60_000, firstMs: 10_000, evenMs: 7000, measureMs: 60_000 },
  quick: { slaves: 1000, leadMs: 5000, everyMs: 60_000, firstMs: 5000, evenMs: 7000, measureMs: 10_000 },
  smoke: { slaves: 2, leadMs: 1000, everyMs: 1000, firstMs: 0, evenMs: 0, measureMs: 500 },
};
/** By how many seconds' rotations a window may have more or less than are due in it: all agreed instants are whole seconds. */
const mostAsideSeconds = 1.5;

/** @typedef {import('../lib/program.mjs').BusyMark & Counts & {begun: number, peers: number}} GatewayMark */

/** @type {import('./row.mjs').Row} */
const fleet = {
  id: 'keys-pairs',
  group: keysGroup,
  title: 'gateway CPU with 1,000 slaves, a rotation with each in 60 s',
  unit: '% of a core',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 10 }],
  note: 'user and system time of the whole process of the master, with its 1,000 connections, which keep themselves alive: each rotation has a key from a KME over HTTPS with certificates of both sides, and is kept in LMDB. The slaves and the KME are in a process on the other core. 16.7 rotations a second over a minute (10 s in a quick run), after the first of each pair and once the clocks of all connections have settled.',

  async measure(_, size) {
    const { slaves: count, leadMs, everyMs, firstMs, evenMs, measureMs } = fleets[size];
    return withScratch((store) =>
      withPrograms(async (start) => {
        const slaves = await start('keys-slaves', { slaves: count, leadMs }, { core: cores.near });
        /** @type {{slaves: string[], kme: object}} */
        const forMaster = await slaves.request('forMaster');
        const gateway = await start('keys-gateway', { store, leadMs, ...forMaster }, { core: cores.far });
        await slaves.request('connectAll', await gateway.request('target'));
        // From the second one on there is an old key to be deleted.
        await gateway.request('rotate', { everyMs: firstMs, turns: 1 });
        const { unsettled } = await untilSettled({ gateway, clients: slaves }, size, patientMs[size]);
        await gateway.request('begin', { everyMs, turns: null });
        // As many end as begin from here on.
        await wait(evenMs);
        /** @type {GatewayMark} */
        const begin = await gateway.request('mark');
        await wait(measureMs);
        /** @type {GatewayMark} */
        const end = await gateway.request('mark');
        await gateway.request('stop');
        const ms = end.timeMs - begin.timeMs;
        const cpuMicros = end.cpuMicros - begin.cpuMicros;
        const completed = end.completed - begin.completed;
        const due = (count * ms) / everyMs;
        return {
          value: (cpuMicros / 1000 / ms) * 100,
          details: {
            rotationsPerSecond: (completed * 1000) / ms,
            rotationMicros: cpuMicros / completed,
            unsettled,
          },
          missed: [
            ...rotationFaults(end),
            ...(end.peers < count ? [`${end.peers} are connected`] : []),
            ...(Math.abs(completed - due) > (mostAsideSeconds * 1000 * count) / everyMs
              ? [`${completed} rotations instead of ${due.toFixed(0)}`]
              : []),
          ],
        };
      }),
    );
  },
};

// ---- Rotations under load ------------------------------------------------------------------------------------------

const loads = {
  full: { rate: 100_000, warmUpMs: 3000, measureMs: 15_000 },
  quick: { rate: 100_000, warmUpMs: 1500, measureMs: 4000 },
  smoke: { rate: 1000, warmUpMs: 0, measureMs: 300 },
};
const messageBytes = 64;
/** Of the rate that was wanted. */
const leastRate = 0.99;
/** The agreed instants are whole seconds: with so little time ahead, every second has one. */
const times = { leadMs: 400, graceMs: 100 };
const percents = [50, 99, 99.9];
const settleMs = 10_000;
const without = 'without rotations';

/** @type {import('./row.mjs').Row} */
const load = {
  id: 'keys-load',
  group: keysGroup,
  title: 'gaps between messages that arrive while keys rotate each second, 99.9th percentile',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  limit: without,
  target: [{ is: 'atMostAboveLimit', value: 5 }],
  does: {
    hawser: { encrypted: true, reliable: true, note: 'the keys of the connection rotate each second' },
    [without]: { encrypted: true, reliable: true, note: 'the same, and no rotation' },
  },
  note: '100,000 reliable messages of 64 bytes a second on one connection between two processes, whose transport persona mixes in a new key each second; the SAEs speak by the same connection. Every message must arrive, in order; with fewer than 99,000 a second, or without a rotation in each second, a figure does not count.',

  async measure(contender, size) {
    const { rate, warmUpMs, measureMs } = loads[size];
    const rotates = contender !== without;
    return withPrograms(async (start) => {
      const seed = newSeed();
      const receiver = await start('keys-load-receiver', { seed, times }, { core: cores.far });
      const target = await receiver.request('target');
      const config = { seed, times, target, messageBytes };
      const sender = await start('keys-load-sender', config, { core: cores.near });
      await receiver.request('open', await sender.request('publicKey'));
      await sender.request('connect');
      await sender.request('rotateOnce');
      await sender.request('start', { rate, rotates });
      await wait(warmUpMs);
      await receiver.request('begin');
      /** @type {Counts & ReceiverMark} */
      const begin = await receiver.request('mark');
      await wait(measureMs);
      /** @type {Counts & ReceiverMark} */
      const end = await onceSome(
        () => receiver.request('mark'),
        // A gap has two ends.
        (mark) => mark.messages > begin.messages + 1,
      );
      /** @type {import('./row.mjs').Quantile[]} */
      const distribution = await receiver.request('gaps', percents);
      /** @type {number} */
      const greatestGapMs = await receiver.request('greatestGap');
      await sender.request('stop');
      const final = await settled(sender, receiver, settleMs);

      const seconds = (end.timeMs - begin.timeMs) / 1000;
      const perSecond = (end.messages - begin.messages) / seconds;
      const rotated = end.completed - begin.completed;
      return {
        value: distribution.at(-1)?.value ?? Number.NaN,
        distribution,
        details: { greatestGapMs, perSecond, rotationsPerSecond: rotated / seconds },
        missed: [
          ...faultsOf({
            sent: final.sender.messages,
            received: final.receiver.messages,
            misplaced: final.receiver.misplaced,
          }),
          ...rotationFaults(end),
          ...(perSecond < rate * leastRate ? [`${perSecond.toFixed(0)} a second arrived`] : []),
          ...(rotates && rotated < Math.floor(seconds)
            ? [`${rotated} rotations in ${seconds.toFixed(0)} s`]
            : []),
        ],
      };
    });
  },
};

/** @typedef {import('./stream.mjs').ReceiverMark} ReceiverMark */

// ---- The agreed instant --------------------------------------------------------------------------------------------

const instants = {
  full: { rotations: 200, pauseMs: 60_000 },
  quick: { rotations: 50, pauseMs: 60_000 },
  smoke: { rotations: 2, pauseMs: 1000 },
};

/** @type {import('./row.mjs').Row} */
const instant = {
  id: 'keys-instant',
  group: keysGroup,
  title: 'greatest distance of a switch of keys from the agreed instant, at either end',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  exact: true,
  target: [{ is: 'atMost', value: 50 }],
  note: 'virtual time, exact: 200 rotations over a link of 25 ms each way with 5 ms more or less, announced 30 s ahead. The clock of the slave is 3 s ahead at the beginning, and faster by 100 ppm. The instant is by the clock of the master, who switches when the slave has told that it did (step 12 of the source document): half a round trip later. Devices take no time.',

  async measure(_, size) {
    return withPrograms(async (start) => {
      const config = { seed: 1, delayMs: 25, jitterMs: 5, aheadMs: 3000, driftPpm: 100 };
      const program = await start('keys-instant', config);
      /** @type {Counts & {master: number[], slave: number[]}} */
      const result = await program.request('run', instants[size]);
      const masterMs = Math.max(...result.master);
      const slaveMs = Math.max(...result.slave);
      return {
        value: Math.max(masterMs, slaveMs),
        details: { masterMs, slaveMs },
        missed: rotationFaults(result),
      };
    });
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [rotations, fleet, load, instant];
