import { runLinux } from '../lib/native.mjs';
import { untilSettled, withCrowd } from './crowd.mjs';
import { bundlingFault, lossFault } from './row.mjs';
import { sampleOf, streamBetween } from './stream.mjs';

const messageBytes = 64;
/** What a packet with one such message has: header, frame and tag besides. */
const datagramBytes = 96;
/**
 * Messages on their way: below the number of peers, so that none has two of them in one turn, and below what the four sockets of the
 * clients hold.
 */
const window = 8192;
/** After the last message, how long the receivers may take to read what waits in their sockets. */
const settleMs = 300;
const limit = 'raw-sendmmsg';
/** @type {Record<import('./row.mjs').Size, {peers: number, window: number, warmUpMs: number, measureMs: number}>} */
const sizes = {
  full: { peers: 10_000, window, warmUpMs: 1000, measureMs: 2000 },
  quick: { peers: 10_000, window, warmUpMs: 300, measureMs: 700 },
  smoke: { peers: 40, window: 32, warmUpMs: 50, measureMs: 100 },
};

/** @type {import('./row.mjs').Row} */
export const row = {
  id: 'pps-10k',
  title: '64-byte messages to 10,000 peers, an encrypted datagram for each, delivered',
  unit: 'datagrams/s',
  better: 'higher',
  rivals: [],
  limit,
  target: [{ is: 'shareOfLimit', value: 0.8 }],
  does: {
    hawser: { encrypted: true, reliable: false, note: 'XChaCha20-Poly1305; `peer.send` for each message' },
    [limit]: {
      encrypted: false,
      reliable: false,
      note: 'sendmmsg on one thread in C, the same size and window; another thread receives',
    },
  },
  note: 'one message to each peer in turn, as fast as the gateway goes, counted by the `message` events of the peers in another process, on a core of its own, which acknowledges them: 8,192 may be on their way. raw-sendmmsg is the limit: a native loop that sends as many bytes to as many addresses, and waits in the same way.',
  measure: (contender, size) => (contender === limit ? measureLimit(size) : measureHawser(size)),
};

/**
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureHawser(size) {
  const { peers, window: streamWindow, ...times } = sizes[size];
  return withCrowd({ peers, clients: { streamWindow } }, async (crowd) => {
    const { gateway, clients } = crowd;
    await crowd.connectUpTo(peers);
    await untilSettled(crowd, size);
    const argument = { messageBytes, window: streamWindow };
    const figures = await streamBetween(gateway, clients, times, settleMs, argument);
    /** @type {import('./crowd.mjs').ClientsMark} */
    const { disconnected } = await clients.request('mark');
    const { missed = [], ...sample } = sampleOf(figures);
    const also = [];
    if (disconnected > 0) also.push(`${disconnected} peers were disconnected`);
    const bundled = bundlingFault(1 / figures.messagesPerDatagram);
    return { ...sample, missed: [...missed, ...also, ...bundled] };
  });
}

/**
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<import('./row.mjs').Sample>}
 */
async function measureLimit(size) {
  const { peers, window: inFlight, measureMs } = sizes[size];
  /** @type {import('./broadcast.mjs').SendmmsgFigures} */
  const figures = await runLinux('sendmmsg', [peers, datagramBytes, measureMs, inFlight], size);
  const loss = 1 - figures.received / figures.sent;
  return {
    value: figures.deliveredPerSecond,
    details: {
      senderMicros: figures.cpuMicros,
      receiverMicros: figures.receiverMicros,
      lossPercent: loss * 100,
    },
    missed: lossFault(loss, 'of the datagrams were lost'),
  };
}
