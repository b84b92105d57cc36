// A hawser gateway for the rows with many peers: it counts what comes, and does what a row asks it for.
// Configuration: see `Configuration`.
import { channels, driverOptions, protocolId, Server } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { StreamSender } from '../lib/stream.mjs';

/** Collections after which the memory of a process no longer shrinks. */
const collections = 4;

/**
 * @typedef {object} Configuration
 * @property {number} maxPeers
 * @property {string} key in its text form
 * @property {boolean} [channels] whether it has channels besides the default one; what comes on the reliable one is sent back
 * @property {boolean} [echo] whether it sends back what comes on the default one
 * @property {'hawser' | 'netcode'} [wire] what it speaks
 * @property {import('../lib/hawser.mjs').DriverOptions} [driver] instead of those of the environment
 */

const config = /** @type {Configuration} */ (configuration());
const { wire = 'hawser' } = config;
const options = {
  address: '127.0.0.1:0',
  protocolId,
  keys: [config.key],
  maxPeers: config.maxPeers,
  wires: [wire],
  ...(wire === 'netcode' ? { freshKeys: true } : {}),
  ...(config.driver ?? driverOptions()),
};
const before = processMark();
const withChannels = config.channels ? await Server.listen({ ...options, channels }) : undefined;
const server = withChannels ?? (await Server.listen(options));
// Without channels of its own it has the default one.
const plain = /** @type {import('../../dist/index.js').Server} */ (/** @type {unknown} */ (server));
let delivered = 0;
/** @type {StreamSender | undefined} */
let sender;
if (withChannels !== undefined) {
  withChannels.on('message', (peer, data, channel) => {
    if (channel === 'data') peer.send('data', data);
  });
} else if (config.echo) {
  plain.on('message', (peer, data) => void peer.send(data));
} else {
  plain.on('message', (_, data) => {
    ++delivered;
    sender?.acknowledge(data);
  });
}

function mark() {
  const stats = server.stats;
  return {
    ...processMark(),
    peers: server.peers.size,
    nativeBytes: server.memoryBytes,
    messages: sender?.sent ?? 0,
    stalls: sender?.stalls ?? 0,
    datagrams: stats.socket.datagramsOut ?? 0,
    delivered,
    ...stats,
  };
}

/** @returns {number} peers that still measure their clocks more often than they keep alive */
function unsettled() {
  let count = 0;
  for (const peer of server.peers) if (!peer.clockSettled) ++count;
  return count;
}

async function settled() {
  for (let round = 0; round < collections; ++round) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return mark();
}

/**
 * A stream of messages, each to the next peer, until `stop`.
 *
 * @param {unknown} argument {messageBytes, window}: as many messages may be on their way
 */
function start(argument) {
  const { messageBytes, window } = /** @type {{messageBytes: number, window: number}} */ (argument);
  const peers = [...plain.peers];
  let next = 0;
  sender = new StreamSender(window, messageBytes, (message) => {
    const peer = peers[next];
    next = next + 1 < peers.length ? next + 1 : 0;
    return peer?.send(message) ?? false;
  });
  plain.on('drain', () => sender?.fill());
  sender.start();
}

/**
 * One message to all peers in each turn of the event loop.
 *
 * @param {unknown} argument {ms, messageBytes}
 * @returns {Promise<import('../rows/broadcast.mjs').BroadcastResult>}
 */
async function broadcast(argument) {
  const { ms, messageBytes } = /** @type {{ms: number, messageBytes: number}} */ (argument);
  if (withChannels === undefined) throw new Error('this gateway has no channel to broadcast on');
  const message = new Uint8Array(messageBytes).fill(0x5a);
  const begin = mark();
  let rounds = 0;
  let sent = 0;
  for (let now = begin.timeMs; now < begin.timeMs + ms; now = processMark().timeMs) {
    ++rounds;
    sent += withChannels.broadcast('moves', message);
    // The turn ends: what was sent is given to the kernel.
    await new Promise((resolve) => setImmediate(resolve));
  }
  const end = mark();
  return {
    seconds: (end.timeMs - begin.timeMs) / 1000,
    cpuMicros: end.cpuMicros - begin.cpuMicros,
    rounds,
    sent,
    datagrams: (end.socket.datagramsOut ?? 0) - (begin.socket.datagramsOut ?? 0),
    bytes: (end.socket.bytesOut ?? 0) - (begin.socket.bytesOut ?? 0),
  };
}

/**
 * JavaScript does something else for a while, and nothing of this package.
 *
 * @param {unknown} ms
 */
function stall(ms) {
  const end = performance.now() + Number(ms);
  while (performance.now() < end);
  return null;
}

serve({
  address: () => server.address,
  before: () => before,
  mark,
  unsettled,
  settled,
  start,
  stop: () => sender?.stop(),
  broadcast,
  stall,
});
