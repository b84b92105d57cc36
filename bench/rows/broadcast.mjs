import { runLinux } from '../lib/native.mjs';
import { untilSettled, withCrowd } from './crowd.mjs';
import { channelsGroup, lossFault } from './row.mjs';

/**
 * @typedef {object} BroadcastResult
 * @property {number} seconds
 * @property {number} cpuMicros of the whole gateway
 * @property {number} rounds calls of `broadcast`
 * @property {number} sent messages, as `broadcast` says
 * @property {number} datagrams that were given to the kernel
 * @property {number} bytes of those
 */

const messageBytes = 64;
/** What a packet with one such message has: header, frame and tag besides. */
const datagramBytes = 96;
/** @type {Record<import('./row.mjs').Size, {peers: number, warmUpMs: number, measureMs: number}>} */
const sizes = {
  full: { peers: 10_000, warmUpMs: 500, measureMs: 2000 },
  quick: { peers: 10_000, warmUpMs: 300, measureMs: 700 },
  smoke: { peers: 40, warmUpMs: 20, measureMs: 50 },
};
const limit = 'raw-sendmmsg';

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'broadcast',
  group: channelsGroup,
  title: '64 bytes to 10,000 peers on an unreliable channel, datagrams given to the kernel',
  unit: 'datagrams/s',
  better: 'higher',
  rivals: [],
  limit,
  target: [{ is: 'atLeast', value: 220_000 }],
  does: {
    hawser: {
      encrypted: true,
      reliable: false,
      note: 'XChaCha20-Poly1305; `broadcast`, a datagram for each peer',
    },
    [limit]: { encrypted: false, reliable: false, note: 'sendmmsg on one thread in C, the same size' },
  },
  note: 'one `broadcast` in each turn of the event loop, as fast as the gateway goes; the peers are in another process, on a core of its own. raw-sendmmsg is the limit: a native loop that sends as many bytes to as many destinations, neither encrypted nor read from JavaScript.',
  measure: (contender, size) => (contender === limit ? measureLimit(size) : measureHawser(size)),
};

/** @param {import('./row.mjs').Size} size */
async function measureHawser(size) {
  const { peers, warmUpMs, measureMs } = sizes[size];
  const config = { peers, gateway: { channels: true }, clients: { channels: true } };
  return withCrowd(config, async (crowd) => {
    const { gateway, clients } = crowd;
    await crowd.connectUpTo(peers);
    await untilSettled(crowd, size);
    await gateway.request('broadcast', { ms: warmUpMs, messageBytes });
    /** @type {import('./crowd.mjs').ClientsMark} */
    const before = await clients.request('mark');
    /** @type {BroadcastResult} */
    const result = await gateway.request('broadcast', { ms: measureMs, messageBytes });
    /** @type {import('./crowd.mjs').ClientsMark} */
    const after = await clients.request('mark');

    const skipped = 1 - result.sent / (result.rounds * peers);
    const missed = lossFault(skipped, 'of the messages found a full queue');
    if (after.disconnected > 0) missed.push(`${after.disconnected} peers were disconnected`);
    return {
      value: result.datagrams / result.seconds,
      details: {
        cpuMicros: result.cpuMicros / result.datagrams,
        bytesEach: result.bytes / result.datagrams,
        deliveredPercent: ((after.messages - before.messages) / result.sent) * 100,
      },
      missed,
    };
  });
}

/**
 * @typedef {object} SendmmsgFigures
 * @property {number} datagramsPerSecond
 * @property {number} deliveredPerSecond
 * @property {number} cpuMicros for each of them, of the sending thread
 * @property {number} receiverMicros likewise of the receiving one
 * @property {number} sent
 * @property {number} refused
 * @property {number} received
 */

/**
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureLimit(size) {
  const { peers, measureMs } = sizes[size];
  /** @type {SendmmsgFigures} */
  const figures = await runLinux('sendmmsg', [peers, datagramBytes, measureMs], size);
  return {
    value: figures.datagramsPerSecond,
    details: {
      cpuMicros: figures.cpuMicros,
      bytesEach: datagramBytes,
      deliveredPercent: (figures.received / figures.sent) * 100,
    },
    missed: figures.refused > 0 ? [`${figures.refused} datagrams were refused`] : [],
  };
}
