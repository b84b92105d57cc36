import { maxDatagramBytes } from '../drivers/contract.mjs';
import { does, unreliableDrivers as drivers, unreliableRivals as rivals } from '../drivers/does.mjs';
import { exactFigure } from '../lib/format.mjs';
import { runLinux } from '../lib/native.mjs';
import { lossFault } from './row.mjs';
import { measureStream, sampleOf, sizes } from './stream.mjs';

/** After the last message, how long the receiver may take to read what waits in its socket. */
const settleMs = 200;
const limit = 'raw-sendmmsg';
/** What the kernel cuts at most: segments, and bytes of one UDP datagram. */
const mostSegments = 64;
const longestMessage = 65_507;

/**
 * @typedef {object} MessagesRow
 * @property {number} messageBytes
 * @property {number} perDatagram how many of these hawser puts into a datagram
 * @property {number} datagramBytes of those of the limit, which count as so many
 * @property {readonly import('./row.mjs').Condition[]} target
 */

/**
 * @param {MessagesRow} options
 * @returns {import('./row.mjs').Row}
 */
function messagesRow({ messageBytes, perDatagram, datagramBytes, target }) {
  return {
    id: `msgs-${messageBytes}`,
    title: `one peer, encrypted ${messageBytes}-byte messages delivered`,
    unit: 'messages/s',
    better: 'higher',
    rivals,
    limit,
    target,
    does: does(drivers, {
      [limit]: {
        encrypted: false,
        reliable: false,
        note: `sendmmsg and recvmmsg in C, the faster one of with and without segmentation offload; a datagram of ${exactFigure(datagramBytes)} bytes counts as ${perDatagram}`,
      },
    }),
    note: `one way between two processes, a core for each, counted by \`message\` events; as many on their way as the window allows. Datagrams are no longer than Ethernet carries, 1,472 bytes, to which hawser's grow by path MTU discovery as soon as one is full. raw-sendmmsg is the limit: two native threads, of which one sends datagrams of ${exactFigure(datagramBytes)} bytes and the other receives them; each counts as ${perDatagram === 1 ? 'the message' : `the ${perDatagram} messages`} that hawser puts into one.`,

    async measure(contender, size) {
      if (contender === limit) return measureLimit(datagramBytes, perDatagram, size);
      const driver = drivers[/** @type {keyof typeof drivers} */ (contender)];
      return sampleOf(await measureStream(driver, messageBytes, size, settleMs));
    },
  };
}

/**
 * @param {number} datagramBytes
 * @param {number} perDatagram
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureLimit(datagramBytes, perDatagram, size) {
  const { warmUpMs, measureMs } = sizes[size];
  /** @typedef {{datagramsPerSecond: number, senderMicros: number, receiverMicros: number, sent: number, received: number}} Figures */
  /** @param {number} segments @returns {Promise<Figures | null>} null where the kernel has no such offload */
  const run = (segments) =>
    runLinux('udp_stream', [datagramBytes, segments, warmUpMs / 2, measureMs / 2], size);
  const plain = await run(1);
  const offloaded = await run(Math.min(mostSegments, Math.floor(longestMessage / datagramBytes)));
  if (plain === null) throw new Error('udp_stream measured nothing');
  const best = (offloaded?.datagramsPerSecond ?? 0) > plain.datagramsPerSecond ? (offloaded ?? plain) : plain;
  const lost = 1 - best.received / best.sent;
  return {
    value: best.datagramsPerSecond * perDatagram,
    details: {
      withoutOffload: plain.datagramsPerSecond * perDatagram,
      ...(offloaded && { withOffload: offloaded.datagramsPerSecond * perDatagram }),
      senderMicros: best.senderMicros / perDatagram,
      receiverMicros: best.receiverMicros / perDatagram,
      lossPercent: lost * 100,
    },
    missed: lossFault(lost, 'of the datagrams were lost'),
  };
}

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [
  messagesRow({
    messageBytes: 64,
    perDatagram: 21,
    datagramBytes: maxDatagramBytes,
    target: [
      { is: 'atLeast', value: 4_000_000 },
      { is: 'timesRival', value: 2, rival: 'udx-stream' },
    ],
  }),
  messagesRow({
    messageBytes: 1200,
    perDatagram: 1,
    // With a second message it would be longer than Ethernet carries.
    datagramBytes: 1232,
    target: [
      { is: 'atLeast', value: 400_000 },
      { is: 'timesRival', value: 2 },
    ],
  }),
];
