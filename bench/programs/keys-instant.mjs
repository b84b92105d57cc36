// Two SAEs in virtual time, each with a clock of its own, and a link with a delay between them. Configuration: see `Configuration`.
import { VirtualClock } from '../../dist/testing/virtual-clock.js';
import {
  MemoryKeyStore,
  newSeed,
  publicFrom,
  publicText,
  RecordingPersona,
  RotationCounts,
  Sae,
  seededRandom,
  seededSource,
  signingPair,
  TimingWheel,
} from '../lib/keys.mjs';
import { configuration, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {number} seed
 * @property {number} delayMs of each direction, and
 * @property {number} jitterMs up to so much more or less
 * @property {number} aheadMs by how much the slave's clock is ahead at the beginning
 * @property {number} driftPpm by how much it goes faster
 */

const { seed, delayMs, jitterMs, aheadMs, driftPpm } = /** @type {Configuration} */ (configuration());
const random = seededRandom(seed);
const startWallMs = 1_700_000_000_000;
let nowMs = 0;
const time = new VirtualClock(() => nowMs, startWallMs);

/** The clock of a machine: ahead of the true time, and faster. */
class MachineClock {
  #aheadMs;
  #rate;

  /** @param {number} aheadMs @param {number} rate seconds of this clock in a true second */
  constructor(aheadMs, rate) {
    this.#aheadMs = aheadMs;
    this.#rate = rate;
  }

  now() {
    return nowMs * this.#rate;
  }

  wallNow() {
    return startWallMs + this.#aheadMs + nowMs * this.#rate;
  }

  /** @param {() => void} callback @param {number} delayMs */
  setTimeout(callback, delayMs) {
    return time.setTimeout(callback, delayMs / this.#rate);
  }
}

/** Lets everything run that promises and turns have planned. */
async function settle() {
  for (let turn = 0; turn < 4; ++turn) await new Promise((resolve) => setImmediate(resolve));
}

/**
 * Lets time pass until a call is over.
 *
 * @template T
 * @param {Promise<T>} call
 * @returns {Promise<T>}
 */
async function finish(call) {
  let over = false;
  const end = () => {
    over = true;
  };
  call.then(end, end);
  await settle();
  while (!over) {
    if (time.nextDueMs === Number.POSITIVE_INFINITY) throw new Error('nothing is planned');
    nowMs = Math.max(nowMs, time.nextDueMs);
    time.runDue();
    await settle();
  }
  return call;
}

/** @param {number} durationMs */
function pass(durationMs) {
  return finish(new Promise((resolve) => time.setTimeout(() => resolve(undefined), durationMs)));
}

const seedOfKeys = newSeed();
const counts = new RotationCounts();
/** True times at which the devices switched in this rotation, in milliseconds. @type {{master?: number, slave?: number}} */
let switched = {};

/**
 * @param {'master' | 'slave'} role
 * @param {string} saeId
 * @param {import('node:crypto').KeyObject} privateKey
 * @param {string} peerSaeId
 * @param {string} publicKey
 * @param {MachineClock} clock
 */
async function open(role, saeId, privateKey, peerSaeId, publicKey, clock) {
  const persona = new RecordingPersona();
  persona.script = ({ call }) => {
    if (call === 'rotate') switched[role] = nowMs;
    return undefined;
  };
  const sae = await finish(
    Sae.open({
      saeId,
      signingKey: privateKey,
      store: new MemoryKeyStore(),
      keySource: seededSource(seedOfKeys),
      persona,
      wheel: new TimingWheel(clock),
      random,
      peers: [{ saeId: peerSaeId, publicKey: publicFrom(publicKey), role }],
    }),
  );
  counts.watch(sae);
  return sae;
}

const pairs = { master: signingPair(), slave: signingPair() };
const clocks = { master: new MachineClock(0, 1), slave: new MachineClock(aheadMs, 1 + driftPpm / 1e6) };
const master = await open(
  'master',
  'MASTER',
  pairs.master.privateKey,
  'SLAVE',
  publicText(pairs.slave.publicKey),
  clocks.master,
);
const slave = await open(
  'slave',
  'SLAVE',
  pairs.slave.privateKey,
  'MASTER',
  publicText(pairs.master.publicKey),
  clocks.slave,
);

/** @param {() => import('../../dist/keys/index.js').LinkEnd | undefined} end */
function link(end) {
  let lastMs = 0;
  return {
    delivers: true,
    /** @param {Uint8Array} bytes */
    send: (bytes) => {
      const copy = Uint8Array.from(bytes);
      // In order, as a connection has it.
      lastMs = Math.max(lastMs, nowMs + delayMs + jitterMs * (2 * random() - 1));
      time.setTimeout(() => end()?.receive(copy), lastMs - nowMs);
      return true;
    },
  };
}

/** @type {import('../../dist/keys/index.js').LinkEnd | undefined} */
let toMaster;
const toSlave = slave.link(
  'MASTER',
  link(() => toMaster),
);
toMaster = master.link(
  'SLAVE',
  link(() => toSlave),
);

/** @param {unknown} argument {rotations, pauseMs}: between them */
async function run(argument) {
  const { rotations, pauseMs } = /** @type {{rotations: number, pauseMs: number}} */ (argument);
  /** @type {{master: number[], slave: number[]}} */
  const distances = { master: [], slave: [] };
  for (let n = 0; n < rotations; ++n) {
    switched = {};
    /** @type {number | undefined} */
    let agreedMs;
    /** @param {import('../../dist/keys/index.js').SessionChange} change */
    const onState = ({ session }) => {
      // By the clock of the master, which is that of the messages, and true here.
      if (session.state === 'CONFIRMED') agreedMs = session.rotationTimestamp * 1000 - startWallMs;
    };
    master.on('state', onState);
    await finish(master.rotate('SLAVE'));
    master.off('state', onState);
    for (const side of /** @type {const} */ (['master', 'slave'])) {
      const atMs = switched[side];
      if (atMs === undefined || agreedMs === undefined) throw new Error(`the ${side} did not switch`);
      distances[side].push(Math.abs(atMs - agreedMs));
    }
    await pass(pauseMs * (0.5 + random()));
  }
  return { ...distances, ...counts.counts };
}

serve({ run });
