// Connections with a session each that send KeepAlives as fast as they are told, and take how long each answer takes. They speak the
// protocol by themselves: a `SessionClient` would send one in 10 s at the most. Configuration: {address, key, clients}.
import { Client, clientDriverOptions, createTokenMinter, parseKey, protocolId } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { answeredTimestamp, createFrame, isSessionCreated, keepAliveFrame } from '../lib/session-frames.mjs';
import { socketOptions } from '../lib/sessions.mjs';
import { hasSourceAddresses, sourceAddress } from '../lib/source-address.mjs';
import { quantiles } from '../lib/statistics.mjs';

const socketCount = 4;
const handshakesAtOnce = 256;
const percents = [50, 90, 99, 99.9];
/** How long the first answer may take, where a process stands still. */
const patienceMs = 30_000;
/** KeepAlives of a connection whose times are kept. */
const ringSize = 8;

const {
  address,
  key,
  clients: count,
} = /** @type {{address: string, key: string, clients: number}} */ (configuration());
const sockets = await Promise.all(
  Array.from({ length: socketCount }, () =>
    Client.open({
      ...socketOptions,
      ...clientDriverOptions(),
      maxConnections: Math.ceil(count / socketCount),
      address: hasSourceAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
    }),
  ),
);
const minter = await createTokenMinter({ protocolId, key: parseKey(key), addresses: [address] });

/** @type {number[]} */
let answerMs = [];
let unexpected = 0;

/** A connection and the KeepAlives that it has sent last. */
class Beating {
  /** @type {(message: Uint8Array) => void} */
  #send;
  #timestamps = new Float64Array(ringSize);
  #sentMs = new Float64Array(ringSize);
  #sent = 0;

  /** @param {(message: Uint8Array) => void} send */
  constructor(send) {
    this.#send = send;
  }

  beat() {
    const timestamp = Date.now();
    this.#timestamps[this.#sent % ringSize] = timestamp;
    this.#sentMs[this.#sent % ringSize] = performance.now();
    ++this.#sent;
    this.#send(keepAliveFrame(timestamp));
  }

  /** @param {Uint8Array} message */
  answered(message) {
    const place = this.#timestamps.indexOf(answeredTimestamp(message));
    if (place < 0) ++unexpected;
    else answerMs.push(performance.now() - (this.#sentMs[place] ?? Number.NaN));
  }
}

/** @type {Beating[]} */
const all = [];

/** @param {number} number */
async function connectOne(number) {
  const socket = sockets[number % socketCount];
  if (socket === undefined) throw new Error('there is no socket');
  const options = hasSourceAddresses ? { localAddress: sourceAddress(number) } : {};
  const connection = await socket.connect(minter.mint({ clientId: BigInt(number + 1) }), options);
  const beating = new Beating((message) => connection.send('sessionHeartbeat', message));
  await new Promise((resolve, reject) => {
    connection.on('disconnect', ({ result }) => reject(new Error(`disconnected: ${result}`)));
    connection.on('message', (message, channel) => {
      if (channel === 'sessionHeartbeat') beating.answered(message);
      else if (isSessionCreated(message)) resolve(undefined);
      else ++unexpected;
    });
    connection.send('session', createFrame);
  });
  all.push(beating);
}

async function connectAll() {
  let next = 0;
  const worker = async () => {
    while (next < count) await connectOne(next++);
  };
  await Promise.all(Array.from({ length: Math.min(count, handshakesAtOnce) }, worker));
  return null;
}

/**
 * Every connection in turn sends a KeepAlive, evenly over time.
 *
 * @param {unknown} argument {ms, perSecond}: of all connections together
 */
async function beat(argument) {
  const { ms, perSecond } = /** @type {{ms: number, perSecond: number}} */ (argument);
  answerMs = [];
  unexpected = 0;
  const began = performance.now();
  let sent = 0;
  let elapsed = 0;
  for (; elapsed < ms; elapsed = performance.now() - began) {
    const due = Math.floor((elapsed / 1000) * perSecond);
    for (; sent < due; ++sent) all[sent % all.length]?.beat();
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  // The last answers, and however late it is the first one.
  const deadline = performance.now() + patienceMs;
  do await new Promise((resolve) => setTimeout(resolve, 500));
  while (sent > 0 && answerMs.length === 0 && performance.now() < deadline);
  return {
    perSecond: (sent / elapsed) * 1000,
    sent,
    answered: answerMs.length,
    unexpected,
    distribution: quantiles(answerMs, percents),
  };
}

serve({ connectAll, beat, mark: processMark });
