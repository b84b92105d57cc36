// Many clients lose their gateway at once and come back: on a simulated network, in virtual time, with the real engine on both sides.
// Configuration: see `Configuration`.
import { Client, createTokenMinter, generateKey, protocolId, Server } from '../lib/hawser.mjs';
import {
  Device,
  hawserConnector,
  InteractionClient,
  interactionChannels,
  SimulatedNetwork,
  seededRandom,
  serveInteraction,
  TimingWheel,
  thermometer,
} from '../lib/interaction.mjs';
import { configuration, serve } from '../lib/program.mjs';

/**
 * @typedef {object} Configuration
 * @property {number} clients
 * @property {number} firstAttemptSpreadMs
 * @property {number} handshakesPerSecond what the gateway takes
 * @property {number} seed
 */

/**
 * @typedef {object} Return
 * @property {number[]} firstAttemptMs of each client, since it heard of the loss
 * @property {number[]} backMs of each client, since the gateway went away: when it was connected again
 * @property {number} attempts of all clients to connect again
 */

const { clients, firstAttemptSpreadMs, handshakesPerSecond, seed } = /** @type {Configuration} */ (
  configuration()
);

const gateway = '10.0.0.1:9000';
/** Client sockets: each with many connections. */
const socketCount = 4;
/** So many clients connect at a time before the loss. */
const connectAtOnce = 250;
/** What the four datagrams of a handshake have that go to the gateway, and the first pings. */
const handshakeBytes = 2600;
/** For how long what a gateway's socket holds keeps it busy: 4 MiB with 10,000 handshakes a second. More is lost. */
const socketMs = 160;
const latestMs = 120_000;

const network = new SimulatedNetwork({ seed, delayMs: 10 });
const { clock } = network;
const wheel = new TimingWheel(clock);
const key = generateKey({ id: 1 });
const device = new Device({ wheel, handlers: thermometer() });

async function openGateway() {
  const server = await Server.listen({
    address: gateway,
    network,
    channels: interactionChannels,
    protocolId,
    keys: [key],
    maxPeers: clients,
  });
  serveInteraction(server, (connection) => device.accept(connection));
  return server;
}

/** What the gateway's processor can do becomes the bottleneck that all clients share. */
function limitGateway() {
  const bytesPerSecond = handshakesPerSecond * handshakeBytes;
  network.setLink(undefined, gateway, {
    bytesPerSecond,
    queueBytes: Math.ceil((bytesPerSecond * socketMs) / 1000),
    sharedBottleneck: true,
  });
}

/** @returns {Promise<Return>} */
async function run() {
  const first = await openGateway();
  const minter = await createTokenMinter({
    protocolId,
    key,
    addresses: [gateway],
    now: () => clock.wallNow(),
  });
  const maxConnections = Math.ceil(clients / socketCount);
  const sockets = await Promise.all(
    Array.from({ length: socketCount }, () =>
      Client.open({ network, channels: interactionChannels, maxConnections }),
    ),
  );
  /** @type {(number | undefined)[]} */
  const lostAt = Array.from({ length: clients });
  /** @type {(number | undefined)[]} */
  const triedAt = Array.from({ length: clients });
  let attempts = 0;
  const all = lostAt.map((_, index) => {
    const client = sockets[index % socketCount];
    const connect = hawserConnector(
      () => minter.mint({ clientId: BigInt(index + 1) }),
      client === undefined ? {} : { client },
    );
    const managed = new InteractionClient({
      wheel,
      random: seededRandom(seed * clients + index),
      reconnection: { firstAttemptSpreadMs },
      connector: (attach, signal) => {
        if (lostAt[index] !== undefined) {
          ++attempts;
          triedAt[index] ??= clock.now();
        }
        return connect(attach, signal);
      },
    });
    managed.on('disconnected', () => {
      lostAt[index] = clock.now();
    });
    return managed;
  });
  for (let index = 0; index < clients; index += connectAtOnce) {
    const some = all.slice(index, index + connectAtOnce);
    await network.runUntil(Promise.all(some.map((managed) => managed.connect())));
  }
  limitGateway();
  const goneMs = clock.now();
  /** @type {number[]} */
  const backMs = [];
  const back = Promise.all(
    all.map(
      (managed) =>
        new Promise((resolve) => {
          managed.once('connected', () => resolve(backMs.push(clock.now() - goneMs)));
        }),
    ),
  );
  await network.runUntil(first.close());
  await openGateway();
  await network.runUntil(back, { limitMs: latestMs });
  const firstAttemptMs = triedAt.map((at = Number.NaN, index) => at - (lostAt[index] ?? Number.NaN));
  return { firstAttemptMs, backMs, attempts };
}

serve({ run });
