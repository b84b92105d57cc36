// A gateway that is the master of many slaves, which come by connections; its keys come from a KME over HTTPS, or from a seed.
// Configuration: see `Configuration`.
import { driverOptions, formatKey, generateKey, protocolId, Server } from '../lib/hawser.mjs';
import {
  KmeClient,
  keysChannels,
  openStoreAt,
  publicFrom,
  publicText,
  RecordingPersona,
  RotationCounts,
  Sae,
  seededSource,
  serveKeys,
  signingPair,
  slaveId,
  socketOptions,
} from '../lib/keys.mjs';
import { busyMark, busyShareOf, configuration, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {string} store its folder
 * @property {{url: string, ca: string, cert: string, key: string} | undefined} kme
 * @property {string | undefined} seed of the keys, where there is no KME
 * @property {readonly string[]} slaves their public keys
 * @property {number} leadMs
 */

const { store, kme, seed = '', slaves, leadMs } = /** @type {Configuration} */ (configuration());
const key = generateKey({ id: 1 });
const { publicKey, privateKey } = signingPair();
const server = await Server.listen({
  ...socketOptions,
  ...driverOptions(),
  channels: keysChannels,
  address: '127.0.0.1:0',
  protocolId,
  keys: [key],
  maxPeers: slaves.length,
});
const sae = await Sae.open({
  saeId: 'MASTER',
  signingKey: privateKey,
  store: await openStoreAt(store),
  keySource: kme === undefined ? seededSource(seed) : new KmeClient(kme),
  persona: new RecordingPersona(),
  peers: slaves.map((text, number) => ({
    saeId: slaveId(number),
    publicKey: publicFrom(text),
    role: /** @type {const} */ ('master'),
    leadMs,
  })),
});
const counts = new RotationCounts();
counts.watch(sae);
serveKeys(server, sae, { saeOf: (peer) => slaveId(Number(peer.clientId) - 1) });

let begun = 0;
let goesOn = false;

/**
 * Begins a rotation with each slave in turn.
 *
 * @param {unknown} argument {everyMs, turns}: with the same slave again after so long, and until each had so many
 */
async function rotate(argument) {
  const { everyMs, turns } = /** @type {{everyMs: number, turns: number | null}} */ (argument);
  goesOn = true;
  const began = performance.now();
  const end = turns === null ? Number.POSITIVE_INFINITY : turns * slaves.length;
  /** @type {Promise<unknown>[]} */
  const all = [];
  for (let number = 0; number < end && goesOn; ) {
    const due = Math.min(end, ((performance.now() - began) * slaves.length) / everyMs);
    for (; number < due; ++number) {
      ++begun;
      // What fails is counted by its event.
      const rotation = sae.rotate(slaveId(number % slaves.length)).catch(() => undefined);
      if (turns !== null) all.push(rotation);
    }
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(all);
  return null;
}

/** @param {string} saeId of a slave with which one rotation follows the other */
async function rotateAlways(saeId) {
  while (goesOn) {
    try {
      await sae.rotate(saeId);
    } catch {
      // It is counted by its event, and does not keep the core busy in vain.
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

/** From here on what a pair waits for is the core. */
const busyShare = 0.92;
/** So often one after the other: what runs for the first time takes longer. */
const looksBusy = 2;
const lookEveryMs = 500;

/**
 * More and more slaves begin to rotate without a pause. Were there more of them than the core bears, they would be late for the instants that
 * they agree upon.
 *
 * @param {unknown} moreInSecond
 * @returns {Promise<number>} how many there are, once the core is busy, or all have begun
 */
async function saturate(moreInSecond) {
  goesOn = true;
  let count = 0;
  for (let looks = 0; count < slaves.length && looks < looksBusy; ) {
    const since = busyMark();
    const end = Math.min(slaves.length, count + Math.ceil((Number(moreInSecond) * lookEveryMs) / 1000));
    for (; count < end; ++count) void rotateAlways(slaveId(count));
    await new Promise((resolve) => setTimeout(resolve, lookEveryMs));
    looks = busyShareOf(since, busyMark()) >= busyShare ? looks + 1 : 0;
  }
  return count;
}

serve({
  saturate,
  target: () => ({ address: server.address, key: formatKey(key), publicKey: publicText(publicKey) }),
  rotate,
  /** Goes on until `stop`. */
  begin: (argument) => {
    void rotate(argument);
    return null;
  },
  stop: () => {
    goesOn = false;
    return null;
  },
  unsettled: () => [...server.peers].filter(({ clockSettled }) => !clockSettled).length,
  mark: () => ({ ...busyMark(), ...counts.counts, begun, peers: server.peers.size }),
});
