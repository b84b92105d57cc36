// Many clients that keep a session each, over a few sockets. Configuration: see `Configuration`.
import { Client, clientDriverOptions, createTokenMinter, parseKey, protocolId } from '../lib/hawser.mjs';
import { configuration, processMark, serve, sharedTimeMs } from '../lib/program.mjs';
import { SessionClient, sessionConnector, socketOptions } from '../lib/sessions.mjs';
import { hasSourceAddresses, sourceAddress } from '../lib/source-address.mjs';
import { quantiles } from '../lib/statistics.mjs';

/**
 * @typedef {object} Configuration
 * @property {string[]} addresses of gateways, as tokens list them
 * @property {string} key in its text form
 * @property {number} clients
 * @property {number} [more] that `create` makes
 * @property {number} [timeoutMs] of the tokens: when a client gives a silent gateway up
 * @property {number} [intervalMs] between KeepAlives
 * @property {boolean} [testRanges]
 * @property {boolean} [sessions] false: connections without sessions
 */

const socketCount = 4;
const handshakesAtOnce = 256;
const percents = [50, 90, 99, 99.9];

const {
  addresses,
  key,
  clients: count,
  more = 0,
  timeoutMs = 60_000,
  intervalMs = 30_000,
  testRanges = false,
  sessions = true,
} = /** @type {Configuration} */ (configuration());
const sockets = await Promise.all(
  Array.from({ length: socketCount }, () =>
    Client.open({
      ...socketOptions,
      ...clientDriverOptions(),
      maxConnections: Math.ceil((count + more) / socketCount),
      address: hasSourceAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
    }),
  ),
);
const minter = await createTokenMinter({ protocolId, key: parseKey(key), addresses, timeoutMs });

/** What happened to a client since it was told to watch, in milliseconds of the shared clock. */
class Watched {
  /** It found out that its connection is gone. */
  lostMs = Number.NaN;
  /** Its transport was connected again. */
  handshakeMs = Number.NaN;
  /** Its session was continued. */
  continuedMs = Number.NaN;
  expired = false;
}

/** @type {SessionClient[]} */
const all = [];
/** @type {Watched[]} */
const watched = [];
/** The requests that were answered, by client, and those that failed. */
const answered = new Uint32Array(count);
let failedRequests = 0;
/** @type {import('../../dist/index.js').Connection[]} */
const plain = [];

/** @param {number} number @returns */
function connectionOptions(number) {
  const client = sockets[number % socketCount];
  return {
    ...(client !== undefined && { client }),
    ...(hasSourceAddresses && { localAddress: sourceAddress(number) }),
  };
}

/** @param {number} number */
async function connectOne(number) {
  const token = () => minter.mint({ clientId: BigInt(number + 1) });
  if (!sessions) {
    const socket = sockets[number % socketCount];
    const { localAddress } = connectionOptions(number);
    const connection = await socket?.connect(token(), localAddress === undefined ? {} : { localAddress });
    plain.push(/** @type {import('../../dist/index.js').Connection} */ (/** @type {unknown} */ (connection)));
    return;
  }
  const mark = new Watched();
  const client = new SessionClient({
    connector: sessionConnector(token, connectionOptions(number), () => {
      mark.handshakeMs = sharedTimeMs();
    }),
    intervals: { idleMs: intervalMs, busyMs: intervalMs, poorNetworkMs: intervalMs },
    testRanges,
  });
  client.on('disconnected', () => {
    mark.lostMs = sharedTimeMs();
  });
  client.on('connected', () => {
    mark.continuedMs = sharedTimeMs();
  });
  client.on('expired', () => {
    mark.expired = true;
  });
  all[number] = client;
  watched[number] = mark;
  await client.connect();
}

async function connectAll() {
  let next = 0;
  const began = sharedTimeMs();
  const worker = async () => {
    while (next < count) await connectOne(next++);
  };
  await Promise.all(Array.from({ length: Math.min(count, handshakesAtOnce) }, worker));
  return { seconds: (sharedTimeMs() - began) / 1000 };
}

/**
 * One request of each client at a time, until `stopRequests`.
 *
 * @param {unknown} everyMs pause of a client between an answer and its next request
 */
function startRequests(everyMs) {
  stopping = false;
  requesting = all.map(async (client, number) => {
    while (!stopping) {
      await new Promise((resolve) => setTimeout(resolve, Number(everyMs) * (0.5 + Math.random())));
      try {
        const result = await client.request(new Uint8Array(8));
        // What the handler counts is what was answered, or something was lost or done twice.
        const expected = (answered[number] ?? 0) + 1;
        answered[number] = expected;
        if (Number(Buffer.from(result).toString()) !== expected) ++wrongCounts;
      } catch {
        ++failedRequests;
      }
    }
  });
  return null;
}
let stopping = false;
let wrongCounts = 0;
/** @type {Promise<void>[]} */
let requesting = [];

async function stopRequests() {
  stopping = true;
  await Promise.all(requesting);
  return {
    answered: answered.reduce((sum, each) => sum + each, 0),
    failed: failedRequests,
    wrongCounts,
  };
}

/** When sessions were asked for that `create` makes, and when they were there: of the shared clock, in milliseconds. @type {{beganMs: number, createdMs: number}[]} */
const creates = [];

/**
 * New clients beside the others, each with a session of its own, evenly over time.
 *
 * @param {unknown} argument {ms, perSecond, first}: the number of the first one
 */
async function create(argument) {
  const { ms, perSecond, first } = /** @type {{ms: number, perSecond: number, first: number}} */ (argument);
  const total = Math.floor((ms / 1000) * perSecond);
  await Promise.all(
    Array.from({ length: total }, async (_, index) => {
      await new Promise((resolve) => setTimeout(resolve, (index * 1000) / perSecond));
      const beganMs = sharedTimeMs();
      await connectOne(first + index);
      creates.push({ beganMs, createdMs: sharedTimeMs() });
    }),
  );
  return creates;
}

/** Forgets what was seen: what is watched begins now. */
function watch() {
  for (const mark of watched) {
    mark.lostMs = Number.NaN;
    mark.handshakeMs = Number.NaN;
    mark.continuedMs = Number.NaN;
  }
  return null;
}

/** @returns {{lost: number, away: number}} clients that lost their connection since `watch`, and those among them that have not continued their session */
function progress() {
  const lost = watched.filter(({ lostMs }) => lostMs > 0);
  return {
    lost: lost.length,
    away: lost.filter(({ lostMs, continuedMs }) => !(continuedMs > lostMs)).length,
  };
}

/**
 * @param {unknown} sinceMs of the shared clock: when the gateway went away
 * @returns the clients that lost it, and how long each part took them
 */
function recovery(sinceMs) {
  const lost = watched.filter(({ lostMs }) => lostMs >= Number(sinceMs));
  const parts = {
    detection: lost.map(({ lostMs }) => lostMs - Number(sinceMs)),
    handshake: lost.map(({ lostMs, handshakeMs }) => handshakeMs - lostMs),
    claim: lost.map(({ handshakeMs, continuedMs }) => continuedMs - handshakeMs),
    total: lost.map(({ continuedMs }) => continuedMs - Number(sinceMs)),
  };
  return {
    lost: lost.length,
    expired: watched.filter(({ expired }) => expired).length,
    ...Object.fromEntries(
      Object.entries(parts).map(([name, times]) => [
        name,
        {
          distribution: times.length === 0 ? [] : quantiles(times, percents),
          greatestMs: Math.max(0, ...times),
        },
      ]),
    ),
  };
}

serve({
  connectAll,
  startRequests,
  stopRequests,
  create,
  watch,
  progress,
  recovery,
  unsettled: () => plain.filter(({ clockSettled }) => !clockSettled).length,
  mark: () => ({
    ...processMark(),
    connected: sessions ? all.filter(({ state }) => state === 'Connected').length : plain.length,
    answered: all.reduce((sum, { stats }) => sum + stats.keepAlivesAnswered, 0),
    missed: all.reduce((sum, { stats }) => sum + stats.missedResponses, 0),
  }),
});
