import { withPrograms } from '../lib/child.mjs';
import { formatKey, generateKey } from '../lib/hawser.mjs';
import { runNative } from '../lib/native.mjs';
import { RivalUnavailable } from '../lib/unavailable.mjs';
import { cores, maxLoss, netcodeGroup, wait } from './row.mjs';

/** What a packet with 64 bytes of payload has: prefix, two bytes of sequence number and tag besides. */
const datagramBytes = 83;
/** Of each client: so often that it needs no keep-alive beside. */
const messagesPerSecond = 12;
/** @type {Record<import('./row.mjs').Size, {peers: number, warmUpMs: number, measureMs: number}>} */
const sizes = {
  full: { peers: 5000, warmUpMs: 2000, measureMs: 4000 },
  quick: { peers: 5000, warmUpMs: 1000, measureMs: 2000 },
  smoke: { peers: 20, warmUpMs: 50, measureMs: 200 },
};
const limit = 'raw-recvmmsg';

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [
  {
    id: 'netcode-echo',
    group: netcodeGroup,
    title: 'netcode: CPU of the gateway for each 64-byte payload that it sends back',
    unit: 'µs',
    better: 'lower',
    rivals: [limit],
    target: { value: 0.8, is: 'atMostAboveRival' },
    note: '5,000 clients in another process send 12 messages a second each; the gateway takes them from `message` events and sends them back. CPU of its whole process, user and system. raw-recvmmsg is the limit: a native loop that sends back as many datagrams of the same size from as many addresses, neither opened nor sealed nor read from JavaScript.',
    measure: (contender, size) => (contender === limit ? measureLimit(size) : measureHawser(size)),
  },
];

/**
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureHawser(size) {
  const { peers, warmUpMs, measureMs } = sizes[size];
  return withPrograms(async (start) => {
    const key = formatKey(generateKey({ id: 1 }));
    const gateway = await start('gateway', { maxPeers: peers, key, wire: 'netcode' }, { core: cores.far });
    const address = await gateway.request('address');
    const config = { address, key, clients: peers, wire: 'netcode' };
    const clients = await start('clients', config, { core: cores.near });
    await clients.request('mint', peers);
    await clients.request('connectUpTo', peers);
    const perSecond = peers * messagesPerSecond;
    await clients.request('load', { ms: warmUpMs, perSecond });
    /** @type {GatewayMark} */
    const before = await gateway.request('mark');
    /** @type {{messages: number}} */
    const had = await clients.request('mark');
    /** @type {{seconds: number, sent: number}} */
    const loaded = await clients.request('load', { ms: measureMs, perSecond });
    /** @type {GatewayMark} */
    const after = await gateway.request('mark');
    // What is on its way arrives.
    await wait(200);
    /** @type {{messages: number, disconnected: number, failed: number}} */
    const have = await clients.request('mark');
    await clients.request('close');
    await gateway.request('close');

    const echoed = counted(after, 'messagesSent') - counted(before, 'messagesSent');
    const lost = 1 - (have.messages - had.messages) / loaded.sent;
    const missed = [];
    if (lost > maxLoss) missed.push(`${(lost * 100).toFixed(2)} % of the messages did not come back`);
    if (have.disconnected + have.failed > 0)
      missed.push(`${have.disconnected + have.failed} clients were disconnected or failed`);
    return {
      value: (after.cpuMicros - before.cpuMicros) / echoed,
      details: {
        messagesPerSecond: loaded.sent / loaded.seconds,
        keepAlivesPerMessage:
          (counted(after, 'packetsSealed') - counted(before, 'packetsSealed')) / echoed - 1,
        lostPercent: lost * 100,
      },
      missed,
    };
  });
}

/**
 * @typedef {{cpuMicros: number, counters: Record<string, number>}} GatewayMark
 */

/**
 * @param {GatewayMark} mark
 * @param {string} name
 */
function counted(mark, name) {
  return mark.counters[name] ?? Number.NaN;
}

/**
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureLimit(size) {
  if (process.platform !== 'linux') throw new RivalUnavailable('recvmmsg is of Linux alone');
  if (size === 'smoke') throw new RivalUnavailable('it is built for measuring only');
  const { peers, measureMs } = sizes[size];
  /** @type {{cpuMicros: number, sent: number, echoed: number, returned: number}} */
  const figures = await /** @type {Promise<any>} */ (
    runNative('udp_echo', [peers, datagramBytes, peers * messagesPerSecond, measureMs])
  );
  const lost = 1 - figures.returned / figures.sent;
  return {
    value: figures.cpuMicros,
    details: { lostPercent: lost * 100 },
    missed: lost > maxLoss ? [`${(lost * 100).toFixed(2)} % of the datagrams did not come back`] : [],
  };
}
