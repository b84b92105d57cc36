// The sending end of a connection whose keys are rotated while messages flow: the client, and the master. Configuration: {seed, times,
// target, messageBytes}.
import { Client, clientDriverOptions, reliable } from '../lib/hawser.mjs';
import {
  keysChannels,
  keysConnector,
  MemoryKeyStore,
  publicFrom,
  publicText,
  RotationCounts,
  Sae,
  SaeConnection,
  seededSource,
  signingPair,
  socketOptions,
  TransportPersona,
} from '../lib/keys.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {string} seed of the keys
 * @property {object} times options of the peer
 * @property {{token: string, publicKey: string}} target
 * @property {number} messageBytes
 */

const { seed, times, target, messageBytes } = /** @type {Configuration} */ (configuration());
const channels = { ...keysChannels, data: reliable() };
const persona = new TransportPersona();
const counts = new RotationCounts();
const { publicKey, privateKey } = signingPair();
const sae = await Sae.open({
  saeId: 'MASTER',
  signingKey: privateKey,
  store: new MemoryKeyStore(),
  keySource: seededSource(seed),
  persona,
  testRanges: true,
  peers: [{ ...times, saeId: 'SLAVE', publicKey: publicFrom(target.publicKey), role: 'master' }],
});
counts.watch(sae);
const client = await Client.open({
  ...socketOptions,
  ...clientDriverOptions(),
  channels,
});

/** @type {((message: Uint8Array) => boolean) | undefined} */
let send;
let goesOn = false;
let sent = 0;
let beganMs = 0;
let perSecond = 0;
let hasRoom = true;
const message = new Uint8Array(messageBytes).fill(0x5a);
const words = new DataView(message.buffer);

/** Sends what is due by now, so that the rate is kept evenly. */
function fill() {
  if (!goesOn || send === undefined) return;
  const due = ((performance.now() - beganMs) * perSecond) / 1000;
  while (sent < due && hasRoom) {
    words.setUint32(0, sent, true);
    ++sent;
    hasRoom = send(message);
  }
  setImmediate(fill);
}

async function rotateAlways() {
  while (goesOn) {
    try {
      await sae.rotate('SLAVE');
    } catch (error) {
      counts.fail(`${error}`);
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}

serve({
  publicKey: () => publicText(publicKey),
  connect: async () => {
    const token = Buffer.from(target.token, 'base64url');
    await new Promise((resolve) => {
      const connector = keysConnector(token, { client, secretOf: persona.secretOf }, (connection) => {
        persona.attach('SLAVE', connection);
        connection.on('drain', () => {
          hasRoom = true;
        });
        send = (bytes) => connection.send('data', bytes);
      });
      const connection = new SaeConnection({ sae, peerSaeId: 'SLAVE', connector });
      connection.on('connected', () => resolve(undefined));
      connection.connect();
    });
    return null;
  },
  /** Both cases begin with a key mixed in. */
  rotateOnce: async () => {
    // What fails is counted by its event.
    await sae.rotate('SLAVE').catch(() => undefined);
    return null;
  },
  start: (argument) => {
    const { rate, rotates } = /** @type {{rate: number, rotates: boolean}} */ (argument);
    perSecond = rate;
    goesOn = true;
    beganMs = performance.now();
    fill();
    if (rotates) void rotateAlways();
    return null;
  },
  stop: () => {
    goesOn = false;
    return null;
  },
  mark: () => ({ ...processMark(), ...counts.counts, messages: sent }),
});
