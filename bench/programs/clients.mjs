// Many clients over a few sockets, each with its token and, on Linux, its own source address 127.x.y.z.
// Configuration: see `Configuration`.
import { once } from 'node:events';
import { AnswerWatch } from '../lib/answers.mjs';
import {
  Client,
  channels,
  createNetcodeTokenMinter,
  createTokenMinter,
  parseKey,
  protocolId,
} from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { hasSourceAddresses, sourceAddress } from '../lib/source-address.mjs';
import { percentile } from '../lib/statistics.mjs';
import { StreamReceiver } from '../lib/stream.mjs';

/** As many handshakes at a time as the gateway's queue takes without dropping any. */
const handshakesAtOnce = 256;
const socketCount = 4;
const messageBytes = 64;
/** How often `watchPings` looks. */
const lookEveryMs = 2;

/**
 * @typedef {object} Configuration
 * @property {string} address of the gateway
 * @property {string} key in its text form
 * @property {number} clients
 * @property {boolean} [channels] whether they have channels besides the default one
 * @property {boolean} [exchange] whether each sends a message on the reliable one and waits for the answer
 * @property {number} [streamWindow] they receive one stream together, with as many messages on their way
 * @property {boolean} [timed] whether round trips of `load` are taken
 * @property {number} [timeoutMs] of the tokens; clients keep alive three times in it, 60,000 by default
 * @property {'hawser' | 'netcode'} [wire] what they speak
 */

const config = /** @type {Configuration} */ (configuration());
const { address, key, clients, timeoutMs = 60_000 } = config;
const options = {
  maxConnections: Math.ceil(clients / socketCount),
  address: hasSourceAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
};
const withChannels = config.channels
  ? await Promise.all(Array.from({ length: socketCount }, () => Client.open({ ...options, channels })))
  : undefined;
const sockets =
  withChannels ?? (await Promise.all(Array.from({ length: socketCount }, () => Client.open(options))));
const tokenOptions = { protocolId, key: parseKey(key), addresses: [address], timeoutMs };
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
const message = new Uint8Array(messageBytes).fill(0x5a);
const sentAt = new DataView(message.buffer);
/** Of `load`, in milliseconds. @type {number[]} */
let roundTrips = [];
const stream =
  config.streamWindow === undefined
    ? undefined
    : new StreamReceiver(config.streamWindow, (data) => connections[0]?.send(data));

/** @type {(data: Uint8Array) => void} */
let onMessage = () => void ++messages;
if (stream !== undefined) onMessage = (data) => stream.receive(data);
else if (config.timed) onMessage = takeRoundTrip;

/** @param {Uint8Array} data */
function takeRoundTrip(data) {
  ++messages;
  roundTrips.push(performance.now() - new DataView(data.buffer, data.byteOffset).getFloat64(0));
}

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
    ...(hasSourceAddresses ? { localAddress: sourceAddress(index) } : {}),
  };
  try {
    const socket = index % socketCount;
    const channelled = await withChannels?.[socket]?.connect(token, connectionOptions);
    const connection = channelled ?? (await sockets[socket]?.connect(token, connectionOptions));
    connection?.on('disconnect', () => ++disconnected);
    // Without channels of its own it has the default one.
    adopt(/** @type {Connection} */ (/** @type {unknown} */ (connection)));
    if (channelled === undefined || !config.exchange) return;
    const answered = once(channelled, 'message');
    channelled.send('data', message);
    await answered;
  } catch (error) {
    ++failed;
    console.error(`client ${index}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** @param {Connection} connection */
function adopt(connection) {
  connections.push(connection);
  connection.on('message', onMessage);
}

/** @returns {number} connections that still measure their clocks more often than they keep alive */
function unsettled() {
  return connections.filter(({ clockSettled }) => !clockSettled).length;
}

/**
 * Every connection in turn sends messages of 64 bytes, evenly over time.
 *
 * @param {unknown} argument {ms, perSecond}: of all connections together
 * @returns {Promise<{seconds: number, sent: number}>}
 */
async function load(argument) {
  const { ms, perSecond } = /** @type {{ms: number, perSecond: number}} */ (argument);
  const began = performance.now();
  let sent = 0;
  let elapsed = 0;
  for (; elapsed < ms; elapsed = performance.now() - began) {
    const due = Math.floor((elapsed / 1000) * perSecond);
    sentAt.setFloat64(0, performance.now());
    for (; sent < due; ++sent) connections[sent % connections.length]?.send(message);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  return { seconds: elapsed / 1000, sent };
}

/** @returns {{p50Ms: number, p99Ms: number}} of the round trips since it was asked last */
function takenRoundTrips() {
  const taken = roundTrips;
  roundTrips = [];
  return { p50Ms: percentile(taken, 50), p99Ms: percentile(taken, 99) };
}

/**
 * @param {unknown} ms for how long
 * @returns {Promise<import('../lib/answers.mjs').Answers>} of all PINGs that were sent meanwhile
 */
async function watchPings(ms) {
  const watch = new AnswerWatch();
  const end = performance.now() + Number(ms);
  while (performance.now() < end) {
    const counted = sockets.map(({ stats }) => stats.counters);
    const sum = (/** @type {'pingsSent' | 'pongsReceived'} */ name) =>
      counted.reduce((total, each) => total + each[name], 0);
    watch.look(performance.now(), sum('pingsSent'), sum('pongsReceived'));
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
  }
  return watch.answers(performance.now());
}

serve({
  mint,
  connectUpTo,
  unsettled,
  load,
  takenRoundTrips,
  watchPings,
  mark: () => ({
    ...processMark(),
    failed,
    disconnected,
    messages: stream?.received ?? messages,
    misplaced: stream?.misplaced ?? 0,
  }),
});
