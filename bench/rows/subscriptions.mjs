// Subscriptions of many peers: how soon all of them hear of a change, and what quiet ones cost.
import { withPrograms } from '../lib/child.mjs';
import { median, spread } from '../lib/statistics.mjs';
import { counted, patientMs, untilSettled } from './crowd.mjs';
import { cores, interactionGroup, wait } from './row.mjs';

/** @typedef {import('./row.mjs').Size} Size */
/** @typedef {import('../lib/child.mjs').Program} Program */
/** @typedef {{gateway: Program, clients: Program}} Crowd */
/** @typedef {import('./crowd.mjs').GatewayMark & {subscriptions: number}} GatewayMark */
/** @typedef {import('../lib/program.mjs').ProcessMark & {priming: number, change: number, heartbeat: number, ended: number}} ClientsMark */

/**
 * Runs `work` with a gateway and clients that are connected, each in a process and on a core of their own.
 *
 * @template T
 * @param {{peers: number, timeoutMs?: number}} options
 * @param {Size} size
 * @param {(crowd: Crowd) => Promise<T>} work
 * @returns {Promise<T>}
 */
async function withSubscribers({ peers, timeoutMs }, size, work) {
  return withPrograms(async (start) => {
    const gateway = await start('interaction-gateway', { peers }, { core: cores.far });
    const target = await gateway.request('target');
    const config = { target, clients: peers, ...(timeoutMs !== undefined && { timeoutMs }) };
    const clients = await start('interaction-clients', config, { core: cores.near });
    await untilSettled({ gateway, clients }, size, patientMs[size]);
    return work({ gateway, clients });
  });
}

/**
 * @param {ClientsMark} mark
 * @returns {string[]} the condition that was missed, if it was
 */
function endedFault({ ended }) {
  return ended > 0 ? [`${ended} connections ended`] : [];
}

// ---- Changes -------------------------------------------------------------------------------------------------------

/** @typedef {{peers: number, changes: number, everyMs: number}} FanOutSize */

/** How long to wait at most until all have arrived, where a machine has much else to do. */
const arriveMs = 10_000;
const lookEveryMs = 20;

/**
 * Tells of changes and waits until everybody has heard of all of them.
 *
 * @param {Crowd} crowd
 * @param {number} peers
 * @param {{count: number, everyMs: number}} changes
 * @returns {Promise<{notifyMs: number, fault: string[]}>} how long `notifyChange` took; what did not arrive
 */
async function changeAndHear({ gateway, clients }, peers, changes) {
  /** @type {ClientsMark} */
  const before = await clients.request('mark');
  /** @type {{notifyMs: number}} */
  const { notifyMs } = await gateway.request('change', changes);
  const deadline = performance.now() + arriveMs;
  for (;;) {
    /** @type {ClientsMark} */
    const { change } = await clients.request('mark');
    const missing = peers * changes.count - (change - before.change);
    if (missing <= 0) return { notifyMs, fault: [] };
    if (performance.now() > deadline) return { notifyMs, fault: [`${missing} notifications did not arrive`] };
    await wait(lookEveryMs);
  }
}

/**
 * @param {FanOutSize} size
 * @param {number | undefined} minIntervalMs what subscribers ask for
 * @param {number} windowMs from a change until it may leave
 * @param {Size} which
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureFanOut({ peers, changes, everyMs }, minIntervalMs, windowMs, which) {
  return withSubscribers({ peers }, which, async (crowd) => {
    const { clients } = crowd;
    await clients.request('subscribe', { each: 1, ...(minIntervalMs !== undefined && { minIntervalMs }) });
    // One that is not measured: code and memory that the first one needs are then there.
    await changeAndHear(crowd, peers, { count: 1, everyMs });
    await clients.request('takenDelays');
    const { notifyMs, fault } = await changeAndHear(crowd, peers, { count: changes, everyMs });
    /** @type {{quantiles: import('./row.mjs').Quantile[], greatest: number}} */
    const { quantiles, greatest } = await clients.request('takenDelays');
    /** @type {ClientsMark} */
    const mark = await clients.request('mark');
    const distribution = quantiles.map(({ percent, value }) => ({ percent, value: value - windowMs }));
    const at = (/** @type {number} */ wanted) =>
      distribution.find(({ percent }) => percent === wanted)?.value ?? Number.NaN;
    return {
      value: at(99),
      details: { p50Ms: at(50), greatestMs: greatest - windowMs, notifyMs },
      distribution,
      missed: [...fault, ...endedFault(mark)],
    };
  });
}

const common =
  'One attribute of the gateway changes 20 times; 10,000 subscribers, each a connection to a process on the other core, hear of it. All delays of all subscribers together; `greatestMs` is that of the last one, `notifyMs` how long the call of `notifyChange` took.';

/** @type {import('./row.mjs').Row} */
const fanOut = {
  id: 'interaction-fanout',
  group: interactionGroup,
  title: 'from a change until each of 10,000 subscribers hears of it, minimum interval 0, 99th percentile',
  unit: 'ms',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 250 }],
  note: `from the call of \`notifyChange\` to that of the listener. ${common}`,
  measure: (_, size) =>
    measureFanOut(
      {
        full: { peers: 10_000, changes: 20, everyMs: 400 },
        quick: { peers: 10_000, changes: 5, everyMs: 400 },
        smoke: { peers: 20, changes: 3, everyMs: 20 },
      }[size],
      0,
      0,
      size,
    ),
};

/** @type {import('./row.mjs').Row} */
const fanOutAfterWindow = {
  ...fanOut,
  id: 'interaction-fanout-window',
  title:
    'from the end of the default interval of 1 s until each of 10,000 subscribers hears of a change, 99th percentile',
  note: `from 1 s after the call of \`notifyChange\`, when the collection of changes closes, to the call of the listener. ${common}`,
  measure: (_, size) =>
    measureFanOut(
      {
        full: { peers: 10_000, changes: 20, everyMs: 1500 },
        quick: { peers: 10_000, changes: 3, everyMs: 1500 },
        smoke: { peers: 20, changes: 1, everyMs: 0 },
      }[size],
      undefined,
      1000,
      size,
    ),
};

// ---- Quiet ---------------------------------------------------------------------------------------------------------

/**
 * @typedef {object} QuietSize
 * @property {number} peers
 * @property {number} heartbeatMs their maximum interval
 * @property {number} keepAliveMs
 * @property {number} windows how many heartbeats of each are measured, one after the other
 */

const subscriptionsEach = 5;
/** The maximum interval of the source document, for which the figure is stated. */
const defaultHeartbeatMs = 60_000;
/** Of the heartbeats, the least part that must have come for a figure to be one of subscriptions. */
const leastHeartbeats = 0.9;

/** @type {Record<Size, QuietSize>} */
const quietSizes = {
  full: { peers: 10_000, heartbeatMs: defaultHeartbeatMs, keepAliveMs: 20_000, windows: 3 },
  quick: { peers: 10_000, heartbeatMs: 6000, keepAliveMs: 2000, windows: 1 },
  smoke: { peers: 20, heartbeatMs: 600, keepAliveMs: 1000, windows: 1 },
};

/**
 * @param {Crowd} crowd
 * @param {number} ms
 * @param {number} windows
 * @returns {Promise<{cores: number[], packets: number}>} CPU of the gateway in each window, as a part of a core; packets that it received
 * and sent in all of them
 */
async function measureCpu({ gateway }, ms, windows) {
  /** @type {number[]} */
  const used = [];
  /** @type {GatewayMark} */
  const first = await gateway.request('mark');
  let begin = first;
  for (let index = 0; index < windows; ++index) {
    await wait(ms);
    /** @type {GatewayMark} */
    const end = await gateway.request('mark');
    used.push((end.cpuMicros - begin.cpuMicros) / 1000 / (end.timeMs - begin.timeMs));
    begin = end;
  }
  const packets = counted(first, begin, 'packetsOpened') + counted(first, begin, 'packetsSealed');
  return { cores: used, packets };
}

/** @type {import('./row.mjs').Row} */
const quiet = {
  id: 'interaction-idle',
  group: interactionGroup,
  title:
    'gateway CPU for 5 quiet subscriptions of each of 10,000 peers, above that of the same peers without',
  unit: '% of a core',
  better: 'lower',
  rivals: [],
  target: [{ is: 'atMost', value: 3 }],
  exact: true,
  note: 'user and system time of the whole gateway process in three times 60 s, each of which holds one heartbeat of every subscription and three keep-alives of every peer, less the same of the three times 60 s before the peers subscribed: the figure is the difference of the medians, its spread that of the windows with subscriptions. All clocks have settled first. A quick run has heartbeats every 6 s and keep-alives every 2 s, one window of each, and takes the part of its figure that 6 s are of 60.',

  async measure(_, size) {
    const { peers, heartbeatMs, keepAliveMs, windows } = quietSizes[size];
    return withSubscribers({ peers, timeoutMs: 3 * keepAliveMs }, size, async (crowd) => {
      const { gateway, clients } = crowd;
      const idle = await measureCpu(crowd, heartbeatMs, windows);
      const began = performance.now();
      await clients.request('subscribe', { each: subscriptionsEach, maxIntervalMs: heartbeatMs });
      const subscribeSeconds = (performance.now() - began) / 1000;
      // Heartbeats come in a bunch, as the subscribing did: it is to lie in the middle of a window.
      await wait(heartbeatMs / 2);
      /** @type {ClientsMark} */
      const before = await clients.request('mark');
      const subscribed = await measureCpu(crowd, heartbeatMs, windows);
      /** @type {ClientsMark} */
      const after = await clients.request('mark');
      /** @type {GatewayMark} */
      const { subscriptions } = await gateway.request('mark');
      const heartbeats = after.heartbeat - before.heartbeat;
      const expected = peers * subscriptionsEach * windows;
      const percent = (/** @type {number} */ more) =>
        (more - median(idle.cores)) * 100 * (heartbeatMs / defaultHeartbeatMs);
      const { min, max } = spread(subscribed.cores);
      return {
        value: percent(median(subscribed.cores)),
        least: percent(min),
        greatest: percent(max),
        details: {
          idlePercent: median(idle.cores) * 100,
          subscribedPercent: median(subscribed.cores) * 100,
          idlePackets: idle.packets / windows / peers,
          subscribedPackets: subscribed.packets / windows / peers,
          heartbeatsOfEach: heartbeats / peers / windows,
          subscribeSeconds,
        },
        missed: [
          ...(heartbeats >= leastHeartbeats * expected
            ? []
            : [`${heartbeats} of ${expected} heartbeats came`]),
          ...(subscriptions === peers * subscriptionsEach ? [] : [`${subscriptions} subscriptions`]),
          ...endedFault(after),
        ],
      };
    });
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [fanOut, fanOutAfterWindow, quiet];
