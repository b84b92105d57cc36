// Many clients over a few sockets, each with its token and, on Linux, its own source address 127.x.y.z.
// Configuration: {address, key, clients, channels, exchange}: whether they have channels besides the default one, and whether each
// sends a message on the reliable one and waits for the answer.
import { once } from 'node:events';
import { Client, channels, createTokenMinter, parseKey, protocolId } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';

/** As many handshakes at a time as the gateway's queue takes without dropping any. */
const handshakesAtOnce = 256;
const socketCount = 4;
const hostsPerBlock = 254;

/**
 * @typedef {object} Configuration
 * @property {string} address
 * @property {string} key
 * @property {number} clients
 * @property {boolean} [channels]
 * @property {boolean} [exchange]
 */

const config = /** @type {Configuration} */ (configuration());
const { address, key, clients } = config;
const ownAddresses = process.platform === 'linux';
const options = {
  maxConnections: Math.ceil(clients / socketCount),
  address: ownAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
};
const withChannels = config.channels
  ? await Promise.all(Array.from({ length: socketCount }, () => Client.open({ ...options, channels })))
  : undefined;
const sockets =
  withChannels ?? (await Promise.all(Array.from({ length: socketCount }, () => Client.open(options))));
const minter = await createTokenMinter({
  protocolId,
  key: parseKey(key),
  addresses: [address],
  timeoutMs: 60_000,
});
/** @type {Uint8Array[]} */
const tokens = [];
let next = 0;
let failed = 0;
let disconnected = 0;
let messages = 0;
const exchanged = new Uint8Array(64).fill(0x5a);

/** @param {unknown} total of clients, those before included: tokens are minted before time is taken */
function mint(total) {
  while (tokens.length < Number(total)) tokens.push(minter.mint({ clientId: BigInt(tokens.length + 1) }));
}

/** @param {unknown} total connect until there were so many attempts */
async function connectUpTo(total) {
  const end = Number(total);
  const began = processMark();
  const worker = async () => {
    while (next < end) await connectOne(next++);
  };
  await Promise.all(Array.from({ length: handshakesAtOnce }, worker));
  return { seconds: (processMark().timeMs - began.timeMs) / 1000, failed };
}

/** @param {number} index */
async function connectOne(index) {
  const token = tokens[index];
  if (token === undefined) throw new Error('a token was not minted');
  const connectionOptions = {
    timeoutMs: 30_000,
    ...(ownAddresses ? { localAddress: sourceAddress(index) } : {}),
  };
  try {
    const socket = index % socketCount;
    const channelled = await withChannels?.[socket]?.connect(token, connectionOptions);
    channelled?.on('message', () => ++messages);
    const connection = channelled ?? (await sockets[socket]?.connect(token, connectionOptions));
    connection?.on('disconnect', () => ++disconnected);
    if (channelled === undefined || !config.exchange) return;
    const answered = once(channelled, 'message');
    channelled.send('data', exchanged);
    await answered;
  } catch (error) {
    ++failed;
    console.error(`client ${index}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * 127.1.0.1, 127.1.0.2 and so on, without .0 and .255.
 *
 * @param {number} index
 */
function sourceAddress(index) {
  const block = Math.floor(index / hostsPerBlock);
  return `127.${1 + Math.floor(block / 256)}.${block % 256}.${1 + (index % hostsPerBlock)}`;
}

serve({
  mint,
  connectUpTo,
  mark: () => ({ ...processMark(), failed, disconnected, messages }),
  close: () => Promise.all(sockets.map((socket) => socket.close())).then(() => null),
});
