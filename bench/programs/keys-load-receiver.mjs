// The receiving end of a connection whose keys are rotated while messages flow: the gateway, and the slave. Configuration: see
// `Configuration`.
import {
  createTokenMinter,
  driverOptions,
  generateKey,
  protocolId,
  reliable,
  Server,
} from '../lib/hawser.mjs';
import {
  keysChannels,
  MemoryKeyStore,
  publicFrom,
  publicText,
  RotationCounts,
  Sae,
  seededSource,
  serveKeys,
  signingPair,
  socketOptions,
  TransportPersona,
} from '../lib/keys.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { StreamReceiver } from '../lib/stream.mjs';

/** @typedef {{seed: string, times: import('../../dist/keys/index.js').PeerOptions}} Configuration */

const { seed, times } = /** @type {{seed: string, times: object}} */ (configuration());
/** Gaps are counted by the microsecond, and those that are longer with the last. */
const mostMicros = 2_000_000;
const gaps = new Uint32Array(mostMicros);
let lastMs = Number.NaN;

const key = generateKey({ id: 1 });
const persona = new TransportPersona();
const server = await Server.listen({
  ...socketOptions,
  ...driverOptions(),
  channels: { ...keysChannels, data: reliable() },
  address: '127.0.0.1:0',
  protocolId,
  keys: [key],
  maxPeers: 1,
  secretOf: persona.secretOf,
});
persona.serve(server, () => 'MASTER');
const minter = await createTokenMinter({ protocolId, key, addresses: [server.address] });
const receiver = new StreamReceiver(Number.POSITIVE_INFINITY, () => undefined);
const counts = new RotationCounts();
const { publicKey, privateKey } = signingPair();

server.on('message', (_, message, channel) => {
  if (channel !== 'data') return;
  receiver.receive(message);
  const nowMs = performance.now();
  const micros = Math.min(mostMicros - 1, Math.floor((nowMs - lastMs) * 1000));
  if (micros >= 0) gaps[micros] = (gaps[micros] ?? 0) + 1;
  lastMs = nowMs;
});

/** @param {number} percent @returns {number} milliseconds that so many of the gaps are no greater than */
function gapMs(percent) {
  const total = gaps.reduce((sum, count) => sum + count, 0);
  const wanted = Math.ceil((percent * total) / 100);
  let seen = 0;
  for (const [micros, count] of gaps.entries()) {
    seen += count;
    // The end of its class: a gap is no longer than that.
    if (seen >= wanted) return (micros + 1) / 1000;
  }
  return Number.NaN;
}

serve({
  target: () => ({
    token: Buffer.from(minter.mint({ clientId: 1n })).toString('base64url'),
    publicKey: publicText(publicKey),
  }),
  /** @param {unknown} masterKey the public key of the master */
  open: async (masterKey) => {
    const sae = await Sae.open({
      saeId: 'SLAVE',
      signingKey: privateKey,
      store: new MemoryKeyStore(),
      keySource: seededSource(seed),
      persona,
      testRanges: true,
      peers: [{ ...times, saeId: 'MASTER', publicKey: publicFrom(String(masterKey)), role: 'slave' }],
    });
    counts.watch(sae);
    serveKeys(server, sae, { saeOf: () => 'MASTER' });
    return null;
  },
  /** Forgets the gaps so far. */
  begin: () => {
    gaps.fill(0);
    return null;
  },
  gaps: (percents) =>
    /** @type {number[]} */ (percents).map((percent) => ({ percent, value: gapMs(percent) })),
  greatestGap: () => gapMs(100),
  mark: () => ({
    ...processMark(),
    ...counts.counts,
    messages: receiver.received,
    misplaced: receiver.misplaced,
  }),
});
