// A gateway with many sessions: heartbeats, a flood of them, everybody coming back at once, and the clean-up of each second.
import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { median } from '../lib/statistics.mjs';
import { patientMs, untilSettled } from './crowd.mjs';
import { cores, lossFault, sessionsGroup, wait } from './row.mjs';

/** @typedef {import('./row.mjs').Size} Size */
/** @typedef {import('../lib/child.mjs').Program} Program */
/** @typedef {import('../lib/program.mjs').ProcessMark & {peers: number, packets: number}} GatewayMark */
/** @typedef {import('../lib/program.mjs').ProcessMark & {connected: number, answered: number, missed: number}} ClientsMark */
/** @typedef {{distribution: import('./row.mjs').Quantile[], greatestMs: number}} Times */

/**
 * A gateway and a program of clients that are to come, each on a core.
 *
 * @template T
 * @param {{clients: number, store: import('../lib/sessions.mjs').StoreConfig, gateway?: object, program?: string, config?: object}} setting
 * @param {(gateway: Program, clients: Program) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withGateway(
  { clients: count, store, gateway: more, program = 'sessions-clients', config },
  work,
) {
  return withPrograms(async (start) => {
    const key = formatKey(generateKey({ id: 1 }));
    const gatewayConfig = { address: '127.0.0.1:0', key, maxPeers: count, store, ...more };
    const gateway = await start('sessions-gateway', gatewayConfig, { core: cores.far });
    /** @type {string} */
    const address = await gateway.request('address');
    const clientsConfig = { address, addresses: [address], key, clients: count, ...config };
    const clients = await start(program, clientsConfig, { core: cores.near });
    return work(gateway, clients);
  });
}

// ---- Heartbeats ----------------------------------------------------------------------------------------------------

const interval = { full: 30_000, quick: 10_000, smoke: 1000 };
const sessionCounts = { full: 10_000, quick: 10_000, smoke: 20 };
/** What the figure is about. */
const usualIntervalMs = 30_000;

/** @type {import('./row.mjs').Row} */
const heartbeats = {
  id: 'sessions-heartbeats',
  group: sessionsGroup,
  title: 'gateway CPU with 10,000 sessions, a KeepAlive each in 30 s',
  unit: '% of a core',
  better: 'lower',
  rivals: [],
  limit: 'transport alone',
  target: [{ is: 'atMostAboveLimit', value: 3 }],
  does: {
    hawser: { encrypted: true, reliable: false, note: 'sessions in memory, KeepAlive and its answer' },
    'transport alone': {
      encrypted: true,
      reliable: false,
      note: 'the same connections with their own keep-alives',
    },
  },
  note: 'user and system time of the whole gateway process over two intervals, once both sides of every connection have settled their clocks. A quick run has KeepAlives every 10 s and takes a third of what they add.',

  async measure(contender, size) {
    const intervalMs = interval[size];
    const isPlain = contender === 'transport alone';
    const setting = {
      clients: sessionCounts[size],
      store: /** @type {const} */ ({ kind: isPlain ? 'none' : 'memory' }),
      gateway: { keepAliveIntervalMs: intervalMs, testRanges: true },
      config: { sessions: !isPlain, intervalMs, testRanges: true },
    };
    return withGateway(setting, async (gateway, clients) => {
      await clients.request('connectAll');
      const { unsettled } = await untilSettled({ gateway, clients }, size, patientMs[size]);
      /** @type {[GatewayMark, ClientsMark]} */
      const [begin, beginClients] = await Promise.all([gateway.request('mark'), clients.request('mark')]);
      await wait(2 * intervalMs);
      /** @type {[GatewayMark, ClientsMark]} */
      const [end, endClients] = await Promise.all([gateway.request('mark'), clients.request('mark')]);
      const share = (end.cpuMicros - begin.cpuMicros) / 1000 / (end.timeMs - begin.timeMs);
      const answered = (endClients.answered - beginClients.answered) / (2 * setting.clients);
      const missed = [];
      if (endClients.connected < setting.clients) missed.push(`${endClients.connected} are connected`);
      if (!isPlain && Math.abs(answered - 1) > 0.1)
        missed.push(`${answered.toFixed(2)} answers for each interval`);
      return {
        value: share * 100 * (intervalMs / usualIntervalMs),
        details: { answeredPerInterval: answered, unsettled },
        missed,
      };
    });
  },
};

// ---- As many as there can be ---------------------------------------------------------------------------------------

const floods = {
  full: { clients: 10_000, perSecond: 50_000, ms: 10_000 },
  quick: { clients: 10_000, perSecond: 50_000, ms: 3000 },
  smoke: { clients: 20, perSecond: 100, ms: 300 },
};

/** @type {import('./row.mjs').Row} */
const rate = {
  id: 'sessions-rate',
  group: sessionsGroup,
  title: '99th percentile of the time to an answer, of 50,000 KeepAlives a second',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 100 }],
  note: '10,000 sessions in memory send five KeepAlives a second each, for 10 s; from `send` at the client to its answer there, through the sockets of this machine. More than one in a thousand without an answer, or fewer than 50,000 a second, do not count.',

  async measure(_, size) {
    const { clients: count, perSecond, ms } = floods[size];
    // What is allowed of a connection goes by the interval: five a second are within it.
    const gateway = { keepAliveIntervalMs: 400, sessionTimeoutMs: 90_000, testRanges: true };
    const setting = { clients: count, store: /** @type {const} */ ({ kind: 'memory' }), gateway };
    return withGateway({ ...setting, program: 'sessions-beats' }, async (gatewayProgram, clients) => {
      await clients.request('connectAll');
      /** @type {GatewayMark} */
      const begin = await gatewayProgram.request('mark');
      /** @type {{perSecond: number, sent: number, answered: number, unexpected: number, distribution: import('./row.mjs').Quantile[]}} */
      const result = await clients.request('beat', { ms, perSecond });
      /** @type {GatewayMark} */
      const end = await gatewayProgram.request('mark');
      const { distribution, sent, answered, unexpected } = result;
      return {
        value: distribution.find(({ percent }) => percent === 99)?.value ?? Number.NaN,
        distribution,
        details: {
          perSecond: result.perSecond,
          gatewayMicros: (end.cpuMicros - begin.cpuMicros) / answered,
        },
        missed: [
          ...lossFault(1 - answered / sent, 'were not answered'),
          ...(result.perSecond < perSecond * 0.99
            ? [`${result.perSecond.toFixed(0)} a second were sent`]
            : []),
          ...(unexpected > 0 ? [`${unexpected} frames were no answer`] : []),
        ],
      };
    });
  },
};

// ---- All at once ---------------------------------------------------------------------------------------------------

const lookEveryMs = 200;
/** A client that does not hear that its connection has ended finds out within a third of this. */
const timeoutMs = 5000;
const longestMs = 60_000;
/** A connection that lasted so long is made anew at once when it is lost; before that clients wait for a time that differs between them. */
const stableMs = { full: 11_000, quick: 11_000, smoke: 0 };

/** @type {import('./row.mjs').Row} */
const reconnect = {
  id: 'sessions-reconnect',
  group: sessionsGroup,
  title: 'until the last of 10,000 clients has continued its session that lost their connections at once',
  unit: 's',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 10 }],
  note: 'one gateway with its sessions on LMDB ends all connections; each client connects anew, with a handshake, and continues its session. No session may be lost.',

  async measure(_, size) {
    const clients = sessionCounts[size];
    return withScratch((path) =>
      withGateway(
        { clients, store: { kind: 'lmdb', path }, config: { timeoutMs } },
        async (gateway, program) => {
          /** @type {{seconds: number}} */
          const { seconds } = await program.request('connectAll');
          await wait(stableMs[size]);
          await program.request('watch');
          /** @type {GatewayMark} */
          const { timeMs } = await gateway.request('mark');
          await gateway.request('drop');
          const { lost, expired, total } = await untilBack(program, timeMs, clients);
          return {
            value: total.greatestMs / 1000,
            distribution: inSeconds(total.distribution),
            details: { createdPerSecond: clients / seconds },
            missed: recoveryFaults({ lost, expired }, clients),
          };
        },
      ),
    );
  },
};

/** @typedef {{lost: number, expired: number, detection: Times, handshake: Times, claim: Times, total: Times}} Recovery */

/**
 * @param {Program} clients
 * @param {number} sinceMs when their gateway went away
 * @param {number} count how many lose it
 * @returns {Promise<Recovery>} once all are back
 */
export async function untilBack(clients, sinceMs, count) {
  const began = performance.now();
  for (;;) {
    await wait(lookEveryMs);
    /** @type {{lost: number, away: number}} */
    const { lost, away } = await clients.request('progress');
    if ((lost >= count && away === 0) || performance.now() - began > longestMs) {
      return clients.request('recovery', sinceMs);
    }
  }
}

/**
 * @param {readonly import('./row.mjs').Quantile[]} distribution in milliseconds
 * @returns {import('./row.mjs').Quantile[]}
 */
export function inSeconds(distribution) {
  return distribution.map(({ percent, value }) => ({ percent, value: value / 1000 }));
}

/**
 * @param {{lost: number, expired: number}} recovery
 * @param {number} count how many were to lose their gateway
 * @returns {string[]} the conditions that were missed
 */
export function recoveryFaults({ lost, expired }, count) {
  return [
    ...(lost < count ? [`only ${lost} of ${count} lost their gateway`] : []),
    ...(expired > 0 ? [`${expired} sessions were lost`] : []),
  ];
}

// ---- Clean-up ------------------------------------------------------------------------------------------------------

const cleanups = {
  full: { sessions: 100_000, due: 100, ticks: 60 },
  quick: { sessions: 100_000, due: 100, ticks: 10 },
  smoke: { sessions: 300, due: 1, ticks: 2 },
};

/** @type {import('./row.mjs').Row} */
const cleanup = {
  id: 'sessions-cleanup',
  group: sessionsGroup,
  title: 'for the clean-up of a second: 100,000 sessions, 100 of them due',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 1 }],
  note: 'the median of 60 clean-ups one after the other: the sessions that are due are taken out and their clients told, while the others go on with their KeepAlives. `withRemovalsMs` includes what follows: 100 sessions are removed from the store in memory. The clock of the server jumps from second to second; what is measured is real time.',

  async measure(_, size) {
    const config = cleanups[size];
    return withPrograms(async (start) => {
      const program = await start('sessions-cleanup', config, { core: cores.far });
      /** @type {{cleanupMs: number[], followedMs: number[], expired: number}} */
      const { cleanupMs, followedMs, expired } = await program.request('run');
      return {
        value: median(cleanupMs),
        least: Math.min(...cleanupMs),
        greatest: Math.max(...cleanupMs),
        details: { withRemovalsMs: median(followedMs), expired },
        missed: expired === config.due ? [] : [`${expired} expired in the last one`],
      };
    });
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [heartbeats, rate, reconnect, cleanup];
