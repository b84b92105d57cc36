// Many slaves of one master, each with a connection of its own, and the KME of them all. Configuration: {slaves, leadMs, seed}; with a seed
// the keys are of it, and there is no KME.
import { Client, clientDriverOptions, createTokenMinter, parseKey, protocolId } from '../lib/hawser.mjs';
import {
  CertificateAuthority,
  KeyPool,
  KmeServer,
  keysChannels,
  keysConnector,
  MemoryKeyStore,
  poolSource,
  publicFrom,
  publicText,
  RecordingPersona,
  RotationCounts,
  Sae,
  SaeConnection,
  seededSource,
  signingPair,
  slaveId,
  socketOptions,
} from '../lib/keys.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { hasSourceAddresses, sourceAddress } from '../lib/source-address.mjs';

const {
  slaves: count,
  leadMs,
  seed,
} = /** @type {{slaves: number, leadMs: number, seed?: string}} */ (configuration());
const socketCount = 4;
const handshakesAtOnce = 256;

const pool = new KeyPool({ capacity: 1_000_000, refillPerSecond: 1_000_000, maxWaiting: 100_000 });
const authority = CertificateAuthority.make({ name: 'hawser bench' });
const kmeIdentity = authority.kme({ id: 'KME_A' });
const masterIdentity = authority.sae({ id: 'MASTER' });
/** @param {import('node:crypto').KeyObject} key @returns {string} only ever of a key that lives for one run */
const pem = (key) => String(key.export({ type: 'pkcs8', format: 'pem' }));
const kme = await KmeServer.listen({
  kmeId: 'KME_A',
  targetKmeId: 'KME_B',
  pool,
  ca: authority.certificate,
  cert: kmeIdentity.certificate,
  key: pem(kmeIdentity.privateKey),
});
const pairs = Array.from({ length: count }, () => signingPair());
const counts = new RotationCounts();
const sockets = await Promise.all(
  Array.from({ length: socketCount }, () =>
    Client.open({
      ...socketOptions,
      ...clientDriverOptions(),
      channels: keysChannels,
      maxConnections: Math.ceil(count / socketCount),
      address: hasSourceAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
    }),
  ),
);
/** @type {import('../../dist/index.js').Connection<typeof keysChannels>[]} */
const connections = [];

/** @param {unknown} argument {address, key, publicKey} of the master */
async function connectAll(argument) {
  const target = /** @type {{address: string, key: string, publicKey: string}} */ (argument);
  const key = parseKey(target.key);
  const minter = await createTokenMinter({ protocolId, key, addresses: [target.address] });
  let next = 0;
  const worker = async () => {
    for (let number = next++; number < count; number = next++) await connectOne(number, minter, target);
  };
  await Promise.all(Array.from({ length: Math.min(count, handshakesAtOnce) }, worker));
  return null;
}

/**
 * @param {number} number
 * @param {Awaited<ReturnType<typeof createTokenMinter>>} minter
 * @param {{publicKey: string}} master
 */
async function connectOne(number, minter, master) {
  const pair = pairs[number];
  const client = sockets[number % socketCount];
  if (pair === undefined || client === undefined) throw new Error(`there is no slave ${number}`);
  const saeId = slaveId(number);
  const sae = await Sae.open({
    saeId,
    signingKey: pair.privateKey,
    store: new MemoryKeyStore(),
    keySource: seed === undefined ? poolSource(pool, saeId) : seededSource(seed),
    persona: new RecordingPersona(),
    peers: [{ saeId: 'MASTER', publicKey: publicFrom(master.publicKey), role: 'slave', leadMs }],
  });
  counts.watch(sae);
  const options = { client, ...(hasSourceAddresses && { localAddress: sourceAddress(number) }) };
  const connector = keysConnector(
    () => minter.mint({ clientId: BigInt(number + 1) }),
    options,
    (connection) => connections.push(connection),
  );
  const connection = new SaeConnection({ sae, peerSaeId: 'MASTER', connector });
  await new Promise((resolve) => {
    connection.on('connected', () => resolve(undefined));
    connection.connect();
  });
}

serve({
  /** What the master needs to have. */
  forMaster: () => ({
    slaves: pairs.map(({ publicKey }) => publicText(publicKey)),
    kme: {
      url: kme.url,
      ca: authority.certificate,
      cert: masterIdentity.certificate,
      key: pem(masterIdentity.privateKey),
    },
  }),
  connectAll,
  unsettled: () => connections.filter(({ clockSettled }) => !clockSettled).length,
  mark: () => ({ ...processMark(), ...counts.counts }),
});
