// A hawser gateway for the rows with many peers. It counts, sends back what comes on the reliable channel, and broadcasts.
// Configuration: {maxPeers, key, channels, wire}: the key in its text form; whether it has channels besides the default one; what it
// speaks. Over netcode it sends every message back.
import { channels, protocolId, Server } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';

/** Collections after which the memory of a process no longer shrinks. */
const collections = 4;

const config =
  /** @type {{maxPeers: number, key: string, channels?: boolean, wire?: 'hawser' | 'netcode'}} */ (
    configuration()
  );
const { wire = 'hawser' } = config;
const options = {
  address: '127.0.0.1:0',
  protocolId,
  keys: [config.key],
  maxPeers: config.maxPeers,
  wires: [wire],
  ...(wire === 'netcode' ? { netcode: { freshKeys: true } } : {}),
};
const before = processMark();
const withChannels = config.channels ? await Server.listen({ ...options, channels }) : undefined;
const server = withChannels ?? (await Server.listen(options));
// Without channels of its own it has the default one.
const plain = /** @type {import('../../dist/index.js').Server} */ (/** @type {unknown} */ (server));
if (wire === 'netcode') plain.on('message', (peer, data) => void peer.send(data));
withChannels?.on('message', (peer, data, channel) => {
  if (channel === 'data') peer.send('data', data);
});

const mark = () => ({
  ...processMark(),
  peers: server.peers.size,
  nativeBytes: server.memoryBytes,
  ...server.stats,
});

async function settled() {
  for (let round = 0; round < collections; ++round) {
    globalThis.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return mark();
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

serve({
  address: () => server.address,
  before: () => before,
  mark,
  settled,
  broadcast,
  close: () => server.close(),
});
