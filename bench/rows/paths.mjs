// Transfers and small messages over bad networks: each contender through the same link, native/bench/path_link.cpp.
import { does } from '../drivers/does.mjs';
import { missingForPaths, withPath } from '../lib/path.mjs';
import { percentile, quantiles } from '../lib/statistics.mjs';
import { RivalUnavailable } from '../lib/unavailable.mjs';
import { pathsGroup } from './row.mjs';

/** @typedef {import('./row.mjs').Row} Row */
/** @typedef {import('./row.mjs').Size} Size */
/** @typedef {import('../lib/path.mjs').Path} Path */
/** @typedef {import('../lib/path.mjs').PathEnd} PathEnd */
/** @typedef {import('../lib/path.mjs').EndProgram} EndProgram */
/** @typedef {import('../lib/path.mjs').PathSettings} PathSettings */
/** @typedef {import('../lib/path.mjs').LinkFigures} LinkFigures */

/**
 * @typedef {object} Contender a driver of bench/drivers, or a native program
 * @property {string} [driver]
 * @property {string} [native] name of its source in native/bench
 * @property {'bbr' | 'cubic'} [congestion] of hawser
 * @property {0} [redundancy] of hawser
 * @property {'bbr' | 'cubic'} [tcpCongestion] of the kernel
 */

/** @type {Record<string, Contender>} */
export const contenders = {
  hawser: { driver: 'hawser-reliable' },
  'hawser-cubic': { driver: 'hawser-reliable', congestion: 'cubic' },
  'hawser-once': { driver: 'hawser-reliable', redundancy: 0 },
  'tcp-cubic': { driver: 'tcp', tcpCongestion: 'cubic' },
  'tcp-bbr': { driver: 'tcp', tcpCongestion: 'bbr' },
  'udx-stream': { driver: 'udx-stream' },
  'node-datachannel': { driver: 'node-datachannel' },
  quic: { driver: 'quic' },
  enet: { native: 'enet_transfer' },
  ngtcp2: { native: 'ngtcp2_transfer' },
};
const variants = ['hawser-cubic', 'hawser-once'];
const rivals = Object.keys(contenders).filter((name) => name !== 'hawser' && !variants.includes(name));

const doings = does(
  /** @type {const} */ ({
    hawser: 'hawser-reliable',
    'hawser-cubic': 'hawser-reliable',
    'tcp-cubic': 'tcp',
    'tcp-bbr': 'tcp',
    'udx-stream': 'udx-stream',
    'node-datachannel': 'node-datachannel',
    quic: 'quic',
  }),
  {
    enet: {
      encrypted: false,
      reliable: true,
      note: 'ENet of the system, a program in C++: reliable packets, of which it keeps 64 KiB in flight at most',
    },
    ngtcp2: {
      encrypted: true,
      reliable: true,
      note: 'QUIC of ngtcp2 and GnuTLS of the system, a program in C++: one stream, CUBIC, windows of 16 MiB',
    },
  },
);

const lacks = missingForPaths();
const common = {
  group: pathsGroup,
  rivals,
  variants: ['hawser-cubic'],
  does: doings,
  byNameOnly: true,
  ...(lacks !== undefined && { lacks }),
};

const mib = 1024 * 1024;
/** Size of an IP packet, for queues that are given in packets. */
const packetBytes = 1500;
/** @param {number} mbit a second @param {number} packets @returns {PathSettings} */
export const bottleneck = (mbit, packets) => ({
  bytesPerSecond: mbit * 125_000,
  queueBytes: packets * packetBytes,
});
/** @param {number} rate @param {number} ms @returns {PathSettings} share of packets that are late, and how much */
const late = (rate, ms) => ({ reorderRate: rate, leastHoldBackMs: ms, mostHoldBackMs: ms });

/** Seed of the link's chance, the same in every run. A packet still fares differently in each run, because contenders send different packets. */
export const seed = 1;

/**
 * @typedef {object} TransferPath
 * @property {string} name part of the rows' ids
 * @property {string} text for people
 * @property {PathSettings} link
 * @property {number} mebibytes
 * @property {import('./row.mjs').Condition[]} [target] no worse than the best rival without
 */

/** @type {readonly TransferPath[]} */
export const transferPaths = [
  { name: 'delay', text: '100 ms', link: { delayMs: 100 }, mebibytes: 20 },
  { name: 'loss', text: '100 ms, 5 % loss', link: { delayMs: 100, lossRate: 0.05 }, mebibytes: 20 },
  {
    name: 'late',
    text: '100 ms, 10 % of the packets 10 ms late',
    link: { delayMs: 100, ...late(0.1, 10) },
    mebibytes: 20,
  },
  {
    name: 'jitter',
    text: '95 ms and 0 to 10 ms of jitter that reorders',
    link: { delayMs: 95, jitterMs: 10, jitterReorders: true },
    mebibytes: 20,
  },
  {
    name: 'mixed',
    text: '95 ms and 0 to 10 ms of jitter that reorders, 2 % loss, 2 % duplicates, 5 % of the packets 10 ms late',
    link: {
      delayMs: 95,
      jitterMs: 10,
      jitterReorders: true,
      lossRate: 0.02,
      duplicateRate: 0.02,
      ...late(0.05, 10),
    },
    mebibytes: 10,
  },
  {
    name: 'mobile',
    text: '30 ms and 0 to 30 ms of jitter that reorders, 1 % loss, 30 Mbit/s, a queue of 100 packets',
    link: { delayMs: 30, jitterMs: 30, jitterReorders: true, lossRate: 0.01, ...bottleneck(30, 100) },
    mebibytes: 10,
    target: [
      { is: 'timesRival', value: 1 },
      { is: 'atLeast', value: 2 },
    ],
  },
  {
    name: 'fast-late',
    text: '5 ms, 1 % of the packets 1 ms late',
    link: { delayMs: 5, ...late(0.01, 1) },
    mebibytes: 100,
  },
  { name: 'fast', text: '25 ms', link: { delayMs: 25 }, mebibytes: 200 },
  {
    name: 'slow',
    text: '25 ms, 20 Mbit/s, a queue of 200 packets',
    link: { delayMs: 25, ...bottleneck(20, 200) },
    mebibytes: 20,
    target: [{ is: 'timesRival', value: 0.95 }],
  },
  {
    name: 'shallow',
    text: '25 ms, 50 Mbit/s, a queue of 20 packets',
    link: { delayMs: 25, ...bottleneck(50, 20) },
    mebibytes: 20,
    target: [{ is: 'timesRival', value: 0.95 }],
  },
];

/**
 * Bytes of a run, as a part of the full size, and its time limit.
 *
 * @type {Record<Size, {part: number, limitMs: number}>}
 */
const transferSizes = {
  full: { part: 1, limitMs: 60_000 },
  quick: { part: 1 / 4, limitMs: 15_000 },
  smoke: { part: 1 / 64, limitMs: 5000 },
};

/**
 * @param {TransferPath} path
 * @param {'up' | 'down'} direction
 * @returns {Row}
 */
function transferRow({ name, text, link, mebibytes, target = [{ is: 'timesRival', value: 1 }] }, direction) {
  const way = direction === 'up' ? 'client to server' : 'server to client';
  return {
    ...common,
    id: `path-${name}-${direction}`,
    title: `${mebibytes} MiB from ${way} over a path with ${text}, each way`,
    unit: 'MB/s',
    better: 'higher',
    target,
    note: `reliable and ordered messages of 16 KiB over a connection that is there already, from when the sender begins until the receiver has the last byte. Client and server are processes in network namespaces of their own; the link between them is a third process. A run that is not over after 60 s has the rate at which bytes arrived until then. A quick run moves a quarter of the bytes and may take 15 s. \`senderCpu\`, \`receiverCpu\` and \`linkCpu\`: shares of a core.`,

    async measure(contender, size) {
      const { part, limitMs } = transferSizes[size];
      return orFailed(contender, 0, () =>
        overPath(contender, link, size, (path, client, server) => {
          const [sender, receiver] = direction === 'up' ? [client, server] : [server, client];
          return measureTransfer(path, sender, receiver, mebibytes * mib * part, limitMs);
        }),
      );
    },
  };
}

/**
 * A rival whose connection breaks on a path, or does not come about, has the worst figure. That does not end the row.
 *
 * @param {string} contender
 * @param {number} worst
 * @param {() => Promise<import('./row.mjs').Sample>} measure
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function orFailed(contender, worst, measure) {
  try {
    return await measure();
  } catch (error) {
    if (!rivals.includes(contender) || error instanceof RivalUnavailable) throw error;
    return { value: worst, missed: [`it failed: ${error instanceof Error ? error.message : error}`] };
  }
}

/**
 * Runs `work` with a link and both sides of a contender, connected.
 *
 * @template T
 * @param {string} contender
 * @param {PathSettings} link
 * @param {Size} size
 * @param {(path: Path, client: EndProgram, server: EndProgram) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function overPath(contender, link, size, work) {
  const rival = contenders[contender];
  if (rival === undefined) throw new Error(`no contender is called ${contender}`);
  if (rival.native !== undefined && size === 'smoke')
    throw new RivalUnavailable(`${rival.native} is built for measuring only`);
  const { tcpCongestion } = rival;
  return withPath({ ...link, seed, ...(tcpCongestion && { tcpCongestion }) }, async (path) => {
    const { client, server } = await connectEnds(path, rival);
    await server.request('heard');
    return work(path, client, server);
  });
}

/**
 * @param {Path} path
 * @param {Contender} contender
 * @returns {Promise<{client: EndProgram, server: EndProgram}>} connected
 */
export async function connectEnds({ near, far }, { driver, native, congestion, redundancy }) {
  if (native !== undefined) {
    const server = await far.startNative(native, ['listen', far.address]);
    const port = Number(server.greeting.port);
    return { server, client: await near.startNative(native, ['connect', far.address, port]) };
  }
  const config = {
    driver,
    ...(congestion !== undefined && { congestion }),
    ...(redundancy !== undefined && { redundancy }),
  };
  const server = await far.start('path-end', { ...config, host: far.address });
  const target = await server.request('target');
  return { server, client: await near.start('path-end', { ...config, host: near.address, target }) };
}

/**
 * @typedef {object} Marks
 * @property {import('../lib/program.mjs').ProcessMark} sender
 * @property {import('../lib/program.mjs').ProcessMark} receiver
 * @property {LinkFigures} link
 */

/**
 * @param {Path} path
 * @param {EndProgram} sender
 * @param {EndProgram} receiver
 * @returns {Promise<Marks>}
 */
async function marks(path, sender, receiver) {
  const [near, far, link] = await Promise.all([
    /** @type {Promise<Marks['sender']>} */ (sender.request('mark')),
    /** @type {Promise<Marks['receiver']>} */ (receiver.request('mark')),
    path.figures(),
  ]);
  return { sender: near, receiver: far, link };
}

/**
 * @param {Path} path
 * @param {EndProgram} sender
 * @param {EndProgram} receiver
 * @param {number} bytes
 * @param {number} limitMs
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureTransfer(path, sender, receiver, bytes, limitMs) {
  const begin = await marks(path, sender, receiver);
  /** @type {Promise<import('../lib/transfer.mjs').Received>} */
  const receiving = receiver.request('receive', [bytes, limitMs]);
  const [{ beganMs }, received] = await Promise.all([
    /** @type {Promise<{beganMs: number}>} */ (sender.request('send', [bytes])),
    receiving,
  ]);
  const end = await marks(path, sender, receiver);
  const ms = received.endedMs - beganMs;
  return {
    value: received.bytes / ms / 1000,
    details: {
      bytes: received.bytes,
      bytesWanted: bytes,
      seconds: ms / 1000,
      ...sharesOf(begin, end),
      ...linkDetails(end.link),
      ...(await countersOf(sender)),
    },
    missed: faultsOf(end.link, received.misplaced),
  };
}

/**
 * @param {EndProgram} program
 * @returns {Promise<Record<string, number>>} what the driver counts; nothing of native programs
 */
async function countersOf(program) {
  return 'greeting' in program ? {} : program.request('counters');
}

/**
 * @param {Marks} begin
 * @param {Marks} end
 * @returns {Record<string, number>} of a core
 */
function sharesOf(begin, end) {
  /** @param {'sender' | 'receiver'} side */
  const share = (side) =>
    (end[side].cpuMicros - begin[side].cpuMicros) / (end[side].timeMs - begin[side].timeMs) / 1000;
  const seconds = (end.sender.timeMs - begin.sender.timeMs) / 1000;
  return {
    senderCpu: share('sender'),
    receiverCpu: share('receiver'),
    linkCpu: (end.link.cpuSeconds - begin.link.cpuSeconds) / seconds,
  };
}

/**
 * @param {LinkFigures} figures
 * @returns {Record<string, number>} of both directions together
 */
export function linkDetails({ toFar, toNear }) {
  return {
    linkPackets: toFar.packets + toNear.packets,
    linkLost: toFar.lost + toNear.lost,
    linkQueueFull: toFar.queueFull + toNear.queueFull,
    linkMostLateMs: Math.max(toFar.mostLateMs, toNear.mostLateMs),
  };
}

/** Lateness of the link, in milliseconds, above which the machine has changed the path: it did not run the link for so long. */
const maxLateMs = 25;

/**
 * @param {LinkFigures} figures
 * @param {number} misplaced messages that did not follow the one before
 * @returns {string[]} conditions that a run did not meet
 */
export function faultsOf({ toFar, toNear }, misplaced) {
  const overrun = toFar.overrun + toNear.overrun;
  const dropped = toFar.deviceDropped + toNear.deviceDropped;
  const lateMs = Math.max(toFar.mostLateMs, toNear.mostLateMs);
  return [
    ...(overrun > 0 ? [`the link had no memory for ${overrun} packets`] : []),
    ...(dropped > 0 ? [`the link was too slow for ${dropped} packets`] : []),
    ...(lateMs > maxLateMs ? [`the link delivered a packet ${lateMs.toFixed(0)} ms too late`] : []),
    ...(misplaced > 0 ? [`${misplaced} messages out of order`] : []),
  ];
}

// ---- Small messages ------------------------------------------------------------------------------------------------

const smallBytes = 200;
const perSecond = 30;
/** Time for the last messages to arrive, in milliseconds. */
const settleMs = 10_000;
/** @type {Record<Size, number>} */
const smallCounts = { full: 1800, quick: 450, smoke: 30 };
const percents = [5, 10, 25, 50, 75, 90, 95, 99];

/** @type {readonly {name: string, text: string, link: PathSettings}[]} */
export const messagePaths = [
  { name: '2', text: '2 % loss', link: { delayMs: 30, lossRate: 0.02 } },
  { name: '10', text: '10 % loss', link: { delayMs: 30, lossRate: 0.1 } },
  {
    name: 'jitter',
    text: '2 % loss, 0 to 30 ms of jitter that reorders',
    link: { delayMs: 30, lossRate: 0.02, jitterMs: 30, jitterReorders: true },
  },
];

/**
 * @param {typeof messagePaths[number]} path
 * @returns {Row}
 */
function messagesRow({ name, text, link }) {
  return {
    ...common,
    variants,
    does: { ...doings, ...does({ 'hawser-once': 'hawser-reliable' }) },
    id: `path-messages-${name}`,
    title: `latency of 200-byte messages over a path with 30 ms, ${text}, each way: 99th percentile`,
    unit: 'ms',
    better: 'lower',
    note: 'reliable and ordered messages from client to server, 30 a second for a minute (15 s in a quick run), from the call that sends one until it is delivered, by the one clock of the machine. All must arrive, in order. `hawser-once` repeats no message before it is known to be lost (`redundancy: 0`).',

    async measure(contender, size) {
      return orFailed(contender, settleMs, () =>
        overPath(contender, link, size, (path, client, server) =>
          measureLatencies(path, client, server, smallCounts[size]),
        ),
      );
    },
  };
}

/**
 * @param {Path} path
 * @param {EndProgram} sender
 * @param {EndProgram} receiver
 * @param {number} count
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureLatencies(path, sender, receiver, count) {
  const limitMs = (count * 1000) / perSecond + settleMs;
  /** @type {Promise<{misplaced: number, latenciesMs: number[]}>} */
  const receiving = receiver.request('latencies', [count, limitMs]);
  await sender.request('pace', [count, smallBytes, perSecond]);
  const { misplaced, latenciesMs } = await receiving;
  if (latenciesMs.length === 0) throw new Error('no message was delivered');
  const figures = await path.figures();
  return {
    value: percentile(latenciesMs, 99),
    details: {
      p50: percentile(latenciesMs, 50),
      p95: percentile(latenciesMs, 95),
      greatest: Math.max(...latenciesMs),
      ...linkDetails(figures),
      ...(await countersOf(sender)),
    },
    distribution: quantiles(latenciesMs, percents),
    missed: [
      ...faultsOf(figures, misplaced),
      ...(latenciesMs.length < count ? [`${latenciesMs.length} of ${count} messages arrived`] : []),
    ],
  };
}

/** @type {readonly Row[]} */
export const rows = [
  ...transferPaths.flatMap((path) => [transferRow(path, 'up'), transferRow(path, 'down')]),
  ...messagePaths.map(messagesRow),
];
