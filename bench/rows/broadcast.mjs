import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { runNative } from '../lib/native.mjs';
import { RivalUnavailable } from '../lib/unavailable.mjs';
import { channelsGroup, cores, maxLoss, wait } from './row.mjs';

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
/** @type {Record<import('./row.mjs').Size, {peers: number, quietMs: number, warmUpMs: number, measureMs: number}>} */
const sizes = {
  full: { peers: 10_000, quietMs: 3000, warmUpMs: 1000, measureMs: 3000 },
  quick: { peers: 10_000, quietMs: 2000, warmUpMs: 500, measureMs: 1000 },
  smoke: { peers: 40, quietMs: 100, warmUpMs: 20, measureMs: 50 },
};
const limit = 'raw-sendmmsg';

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'broadcast',
  group: channelsGroup,
  title: '64 bytes to 10,000 peers on an unreliable channel, datagrams sent',
  unit: 'datagrams/s',
  better: 'higher',
  rivals: [limit],
  target: { value: 220_000, is: 'atLeast' },
  note: 'one `broadcast` in each turn of the event loop, as fast as the gateway goes; the peers are in another process, on a core of its own. raw-sendmmsg is the limit: a native loop that sends as many bytes to as many destinations, neither encrypted nor read from JavaScript.',
  measure: (contender, size) => (contender === limit ? measureLimit(size) : measureHawser(size)),
};

/** @param {import('./row.mjs').Size} size */
async function measureHawser(size) {
  const { peers, quietMs, warmUpMs, measureMs } = sizes[size];
  return withPrograms(async (start) => {
    const key = formatKey(generateKey({ id: 1 }));
    const gateway = await start('gateway', { maxPeers: peers, key, channels: true }, { core: cores.far });
    const address = await gateway.request('address');
    const config = { address, key, clients: peers, channels: true };
    const clients = await start('clients', config, { core: cores.near });
    await clients.request('mint', peers);
    await clients.request('connectUpTo', peers);
    // Fresh connections measure their clocks for a second.
    await wait(quietMs);
    await gateway.request('broadcast', { ms: warmUpMs, messageBytes });
    /** @type {{messages: number}} */
    const before = await clients.request('mark');
    /** @type {BroadcastResult} */
    const result = await gateway.request('broadcast', { ms: measureMs, messageBytes });
    /** @type {{messages: number, disconnected: number}} */
    const after = await clients.request('mark');
    await clients.request('close');
    await gateway.request('close');

    const skipped = 1 - result.sent / (result.rounds * peers);
    const missed = [];
    if (skipped > maxLoss) missed.push(`${(skipped * 100).toFixed(2)} % of the messages found a full queue`);
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
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureLimit(size) {
  if (process.platform !== 'linux') throw new RivalUnavailable('sendmmsg is of Linux alone');
  if (size === 'smoke') throw new RivalUnavailable('it is built for measuring only');
  const { peers, measureMs } = sizes[size];
  /** @type {{datagramsPerSecond: number, cpuMicros: number, sent: number, received: number, refused: number}} */
  const figures = await /** @type {Promise<any>} */ (
    runNative('sendmmsg', [peers, datagramBytes, measureMs])
  );
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
