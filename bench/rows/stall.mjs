import { bothMarks } from '../lib/child.mjs';
import { ours } from '../lib/summary.mjs';
import { withCrowd } from './crowd.mjs';
import { wait } from './row.mjs';

/** Of all clients together, one in a second each. */
const messagesPerSecond = 1000;
/** Until fresh connections send a PING each second and no more. */
const quietMs = 1500;
/** Before the stall begins, while the load is there already, and after it. */
const marginMs = 500;
/** Until what waited in the gateway has been delivered. */
const settleMs = 500;

/** Of the tokens: shorter than the stall, so that a gateway which answers no PING meanwhile loses its peers. */
const timeoutMs = 3000;
/** @type {Record<import('./row.mjs').Size, {peers: number, stallMs: number}>} */
const sizes = {
  full: { peers: 1000, stallMs: 5000 },
  quick: { peers: 1000, stallMs: 3500 },
  smoke: { peers: 20, stallMs: 300 },
};

/** The least part of the expected PINGs for their answers to say anything, and the longest wait for one. */
const leastPings = 0.8;
const mostPongMs = 1000;

/** What the gateway of each contender has. */
const drivers = /** @type {const} */ ({
  hawser: { driver: 'threads', threads: 1 },
  'hawser-loop': { driver: 'loop' },
});

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'stall',
  title: 'peers that are lost when JavaScript does something else for 5 s, of 1,000',
  unit: 'peers',
  better: 'lower',
  rivals: [],
  variants: ['hawser-loop'],
  target: [{ is: 'atMost', value: 0 }],
  does: {
    hawser: { encrypted: true, reliable: false, note: '`driver: "threads"`, one I/O thread' },
    'hawser-loop': { encrypted: true, reliable: false, note: '`driver: "loop"`, all on the event loop' },
  },
  note: 'the JavaScript thread of the gateway computes for 5 s (3.5 s in a quick run). Its 1,000 clients time out after 3 s, send a PING each second and a message each second. `greatestPongMs`: how long a PONG took at most, seen from the clients, from how many PINGs and PONGs there were at any time; `lostPercent`: messages from clients that the gateway never delivered to its listener. Of hawser, at least 80 % of the PINGs of that time must have been sent, all but one for each peer be answered, and none after more than 1 s. The gateway may use both cores.',

  async measure(contender, size) {
    const { peers, stallMs } = sizes[size];
    const driver = drivers[/** @type {keyof typeof drivers} */ (contender)];
    // A thread cannot go on beside one that never sleeps where both have one core.
    const options = { peers, gateway: { driver }, gatewayOptions: {}, clients: { timeoutMs } };
    return withCrowd(options, async (crowd) => {
      const { gateway, clients } = crowd;
      await crowd.connectUpTo(peers);
      await wait(quietMs);
      const ms = stallMs + 2 * marginMs;
      /** @type {Promise<import('../lib/answers.mjs').Answers>} */
      const watching = clients.request('watchPings', ms);
      /** @type {Promise<{sent: number}>} */
      const loading = clients.request('load', { ms, perSecond: messagesPerSecond });
      await wait(marginMs);
      await gateway.request('stall', stallMs);
      const [pings, { sent }] = await Promise.all([watching, loading]);
      await wait(settleMs);
      /** @type {[import('./crowd.mjs').GatewayMark, import('./crowd.mjs').ClientsMark]} */
      const [{ peers: left, delivered, drops }, { disconnected }] = await bothMarks(gateway, clients);
      return {
        value: Math.max(disconnected, peers - left),
        details: {
          greatestPongMs: pings.greatestMs,
          pings: pings.asked,
          pongs: pings.answered,
          lostPercent: (1 - delivered / sent) * 100,
          droppedForWantOfRoom: drops.eventQueueFull ?? 0,
        },
        // The other gateway is there to show what happens without threads.
        missed: contender === ours ? pingFaults(pings, peers, ms) : [],
      };
    });
  },
};

/**
 * @param {import('../lib/answers.mjs').Answers} pings of `peers` clients, each of which sends one in a second
 * @param {number} peers
 * @param {number} ms for how long they were watched
 * @returns {string[]} the conditions that were missed
 */
export function pingFaults({ asked, answered, greatestMs }, peers, ms) {
  const expected = (peers * ms) / 1000;
  const faults = [];
  if (!(asked >= leastPings * expected)) faults.push(`${asked} PINGs instead of ${expected.toFixed(0)}`);
  if (!(asked - answered <= peers)) faults.push(`${asked - answered} PINGs without an answer`);
  if (!(greatestMs <= mostPongMs)) faults.push(`a PONG after ${greatestMs.toFixed(0)} ms`);
  return faults;
}
