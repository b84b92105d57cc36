// Many clients over a few sockets, each with its token and, on Linux, its own source address 127.x.y.z.
// Configuration: {address, key, clients, channels, exchange, wire}: whether they have channels besides the default one, whether each
// sends a message on the reliable one and waits for the answer, and what they speak.
import { once } from 'node:events';
import {
  Client,
  channels,
  createNetcodeTokenMinter,
  createTokenMinter,
  parseKey,
  protocolId,
} from '../lib/hawser.mjs';
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
 * @property {'hawser' | 'netcode'} [wire]
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
const tokenOptions = { protocolId, key: parseKey(key), addresses: [address], timeoutMs: 60_000 };
const minter =
  config.wire === 'netcode'
    ? await createNetcodeTokenMinter(tokenOptions)
    : await createTokenMinter(tokenOptions);
/** @type {Uint8Array[]} */
const tokens = [];
let next = 0;
let failed = 0;
let disconnected = 0;
let messages = 0;
/** @typedef {import('../../dist/index.js').Connection} Connection */

/** @type {Connection[]} */
const connections = [];
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
    // Without channels of its own it has the default one.
    if (config.wire === 'netcode') adopt(/** @type {Connection} */ (/** @type {unknown} */ (connection)));
    if (channelled === undefined || !config.exchange) return;
    const answered = once(channelled, 'message');
    channelled.send('data', exchanged);
    await answered;
  } catch (error) {
    ++failed;
    console.error(`client ${index}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @param {Connection} connection */
function adopt(connection) {
  connections.push(connection);
  connection.on('message', () => ++messages);
}

/**
 * Every connection in turn sends messages of 64 bytes, evenly over time.
 *
 * @param {unknown} argument {ms, perSecond}: of all connections together
 * @returns {Promise<{seconds: number, sent: number}>}
 */
async function load(argument) {
  const { ms, perSecond } = /** @type {{ms: number, perSecond: number}} */ (argument);
  const began = processMark().timeMs;
  let sent = 0;
  let elapsed = 0;
  for (; elapsed < ms; elapsed = processMark().timeMs - began) {
    const due = Math.floor((elapsed / 1000) * perSecond);
    for (; sent < due; ++sent) connections[sent % connections.length]?.send(exchanged);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return { seconds: elapsed / 1000, sent };
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
  load,
  mark: () => ({ ...processMark(), failed, disconnected, messages }),
  close: () => Promise.all(sockets.map((socket) => socket.close())).then(() => null),
});
