// CPU of a gateway that sends messages back: hawser's, those of rivals, and the least that the kernel takes for it.

import { loadDriver } from '../drivers/contract.mjs';
import { does } from '../drivers/does.mjs';
import { bothMarks, withPrograms } from '../lib/child.mjs';
import { runLinux } from '../lib/native.mjs';
import { counted, patientMs, untilSettled, withCrowd } from './crowd.mjs';
import { bundlingFault, cores, lossFault, netcodeGroup, onceSome, wait } from './row.mjs';

const messageBytes = 64;
const limit = 'raw-recvmmsg';
/** Until what is on its way has arrived. */
const settleMs = 200;
/** Which driver each contender has. */
const drivers = /** @type {const} */ ({
  hawser: 'hawser',
  dgram: 'dgram',
  'dgram-crypto': 'dgram-crypto',
  'dgram-sodium': 'dgram-sodium',
});
/** @type {import('./row.mjs').Does} */
const limitDoes = {
  encrypted: false,
  reliable: false,
  note: 'recvmmsg and sendmmsg in C on one thread, a datagram for each message, never read',
};

/**
 * @typedef {object} EchoSize
 * @property {number} peers
 * @property {number} warmUpMs
 * @property {number} measureMs
 */

/**
 * @typedef {object} EchoOptions
 * @property {'hawser' | 'netcode'} wire
 * @property {number} datagramBytes with a message of 64 bytes
 * @property {number} perSecond messages of each client: so often that none needs a keep-alive beside
 * @property {Readonly<Record<import('./row.mjs').Size, EchoSize>>} sizes
 */

/**
 * @param {Omit<import('./row.mjs').Row, 'unit' | 'better' | 'limit' | 'measure'> & {echo: EchoOptions}} row
 * @returns {import('./row.mjs').Row}
 */
function echoRow({ echo, ...row }) {
  return {
    ...row,
    unit: 'µs',
    better: 'lower',
    limit,
    async measure(contender, size) {
      if (contender === limit) return measureLimit(echo, size);
      if (contender === 'hawser') return measureHawser(echo, size);
      return measureRival(contender, echo, size);
    },
  };
}

/**
 * @param {EchoOptions} options
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureHawser({ wire, perSecond, sizes }, size) {
  const { peers, warmUpMs, measureMs } = sizes[size];
  const config = { peers, gateway: { wire, echo: true }, clients: { wire } };
  return withCrowd(config, async (crowd) => {
    await crowd.connectUpTo(peers);
    if (wire === 'hawser') await untilSettled(crowd, size, patientMs[size]);
    const { loss, ...figures } = await measureEcho(crowd, peers * perSecond, warmUpMs, measureMs);
    /** @type {import('./crowd.mjs').ClientsMark} */
    const { disconnected } = await crowd.clients.request('mark');
    const missed = [
      ...missedBy(loss),
      // Several messages never share a packet of netcode.
      ...(wire === 'hawser' ? bundlingFault(figures.packetsPerMessage) : []),
    ];
    if (disconnected > 0) missed.push(`${disconnected} clients were disconnected`);
    return { value: figures.cpuMicros, details: { ...figures, lostPercent: loss * 100 }, missed };
  });
}

/**
 * Puts connected clients under load, whose gateway sends everything back.
 *
 * @param {import('./crowd.mjs').Crowd} crowd
 * @param {number} perSecond messages of all clients together
 * @param {number} warmUpMs
 * @param {number} measureMs
 * @returns {Promise<{cpuMicros: number, clientMicros: number, messagesPerSecond: number, packetsPerMessage: number, loss: number}>}
 * `cpuMicros` for each message that was sent back, of the whole gateway; `packetsPerMessage`: how many it sent
 */
export async function measureEcho({ gateway, clients }, perSecond, warmUpMs, measureMs) {
  await clients.request('load', { ms: warmUpMs, perSecond });
  await wait(settleMs);
  /** @type {[import('./crowd.mjs').GatewayMark, import('./crowd.mjs').ClientsMark]} */
  const [begin, clientsBegin] = await bothMarks(gateway, clients);
  /** @type {{seconds: number, sent: number}} */
  const loaded = await clients.request('load', { ms: measureMs, perSecond });
  /** @type {import('./crowd.mjs').GatewayMark} */
  const end = await onceSome(
    () => gateway.request('mark'),
    (mark) => counted(begin, mark, 'messagesSent') > 0,
  );
  await wait(settleMs);
  /** @type {import('./crowd.mjs').ClientsMark} */
  const clientsEnd = await clients.request('mark');
  const echoed = counted(begin, end, 'messagesSent');
  return {
    cpuMicros: (end.cpuMicros - begin.cpuMicros) / echoed,
    clientMicros: (clientsEnd.cpuMicros - clientsBegin.cpuMicros) / loaded.sent,
    messagesPerSecond: loaded.sent / loaded.seconds,
    packetsPerMessage: counted(begin, end, 'packetsSealed') / echoed,
    loss: 1 - (clientsEnd.messages - clientsBegin.messages) / loaded.sent,
  };
}

/**
 * A rival's gateway, under the load of a native program: its clients send the same datagram again and again.
 *
 * @param {string} contender
 * @param {EchoOptions} options
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureRival(contender, { perSecond, sizes }, size) {
  const { peers, warmUpMs, measureMs } = sizes[size];
  const { wrap } = await loadDriver(contender);
  if (wrap === undefined) throw new Error(`${contender} has no datagrams of its own`);
  const hex = Buffer.from(await wrap(new Uint8Array(messageBytes).fill(0x5a))).toString('hex');
  return withPrograms(async (start) => {
    const gateway = await start('echo', { driver: contender }, { core: cores.far });
    const port = /** @type {number} */ (await gateway.request('target'));
    /** @param {number} ms @returns {Promise<{sent: number, returned: number}>} */
    const load = (ms) => runLinux('udp_load', [port, peers, peers * perSecond, ms, hex], size);
    await load(warmUpMs);
    /** @type {import('../lib/program.mjs').ProcessMark} */
    const begin = await gateway.request('mark');
    const { sent, returned } = await load(measureMs);
    /** @type {import('../lib/program.mjs').ProcessMark} */
    const end = await gateway.request('mark');
    const loss = 1 - returned / sent;
    return {
      value: (end.cpuMicros - begin.cpuMicros) / returned,
      details: { messagesPerSecond: sent / (measureMs / 1000), lostPercent: loss * 100 },
      missed: missedBy(loss),
    };
  });
}

/**
 * @param {EchoOptions} options
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureLimit({ datagramBytes, perSecond, sizes }, size) {
  const { peers, measureMs } = sizes[size];
  /** @type {{cpuMicros: number, sent: number, echoed: number, returned: number}} */
  const figures = await runLinux('udp_echo', [peers, datagramBytes, peers * perSecond, measureMs], size);
  const loss = 1 - figures.returned / figures.sent;
  return { value: figures.cpuMicros, details: { lostPercent: loss * 100 }, missed: missedBy(loss) };
}

/**
 * @param {number} loss
 * @returns {string[]}
 */
function missedBy(loss) {
  return lossFault(loss, 'of the messages did not come back');
}

const limitNote =
  'raw-recvmmsg is the limit: a native loop that sends back as many datagrams of the same size from as many addresses, neither opened nor sealed nor read from JavaScript.';

/** @type {import('./row.mjs').Row} */
export const cpu64 = echoRow({
  id: 'cpu-64',
  title: 'gateway CPU for each 64-byte message in and out, 10,000 peers',
  rivals: ['dgram', 'dgram-crypto', 'dgram-sodium'],
  target: [{ is: 'atMostAboveLimit', value: 0.6 }],
  does: {
    ...does(drivers, { [limit]: limitDoes }),
    hawser: { encrypted: true, reliable: false, note: 'XChaCha20-Poly1305; a datagram for each message' },
  },
  note: `10,000 clients in another process send 5 messages a second each, a datagram for each; the gateway takes them from \`message\` events and sends them back, in a packet each, more or less 1 %. CPU of its whole process, user and system. The rivals' gateways have one key for all peers and no table of them; a native program is their clients. ${limitNote}`,
  echo: {
    wire: 'hawser',
    datagramBytes: 96,
    perSecond: 5,
    sizes: {
      full: { peers: 10_000, warmUpMs: 1000, measureMs: 3000 },
      quick: { peers: 10_000, warmUpMs: 300, measureMs: 700 },
      smoke: { peers: 20, warmUpMs: 50, measureMs: 200 },
    },
  },
});

/** @type {import('./row.mjs').Row} */
export const netcodeEcho = echoRow({
  id: 'netcode-echo',
  group: netcodeGroup,
  title: 'netcode: gateway CPU for each 64-byte payload in and out, 5,000 peers',
  rivals: [],
  target: [{ is: 'atMostAboveLimit', value: 0.8 }],
  does: {
    hawser: { encrypted: true, reliable: false, note: 'netcode 1.02: ChaCha20-Poly1305, a datagram each' },
    [limit]: limitDoes,
  },
  note: `5,000 clients in another process send 12 messages a second each; the gateway takes them from \`message\` events and sends them back. CPU of its whole process, user and system. ${limitNote}`,
  echo: {
    wire: 'netcode',
    datagramBytes: 83,
    perSecond: 12,
    sizes: {
      full: { peers: 5000, warmUpMs: 1000, measureMs: 3000 },
      quick: { peers: 5000, warmUpMs: 300, measureMs: 700 },
      smoke: { peers: 20, warmUpMs: 50, measureMs: 200 },
    },
  },
});
