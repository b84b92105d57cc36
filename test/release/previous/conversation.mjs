// One connection in the simulated network, datagram by datagram: what one release said can be said again to another. The
// seed decides every random byte of both ends, so that an end which draws as many of them answers as that of the recording.
import {
  channelsOf,
  listenWithFreshKeys,
  protocolId,
  serverKey,
  updateSecret,
  userData,
} from './package.mjs';

/** @typedef {import('./package.mjs').Package} Package */
/** @typedef {import('../../../src/testing/index.js').SimulatedNetwork} SimulatedNetwork */

/**
 * @typedef {object} Recording
 * @property {'hawser' | 'netcode'} wire
 * @property {string} token as text
 * @property {{atMs: number, by: 'client' | 'gateway', datagram: string}[]} datagrams when each was sent, since the start; base64
 */

const seed = 20_260n;
const startWallMs = 1_700_000_000_000;
const delayMs = 10;
const gatewayAddress = '10.0.0.1:40000';
/** The network gives the second of its endpoints this one. */
const clientAddress = '10.0.0.2:40002';
const durationMs = 2000;
/** In the handshake and so in the keys: every release tells the same, whatever its defaults are. */
const limits = { maxDatagramBytes: 1200, creditBytes: 4_194_304, channelCreditBytes: 2_097_152 };
const modes = /** @type {const} */ (['unreliable', 'sequenced', 'reliable', 'reliableUnordered']);

/** @param {'hawser' | 'netcode'} wire */
const channelsFor = (wire) => (wire === 'netcode' ? /** @type {const} */ (['unreliable']) : modes);

/** @param {Package} pkg @param {'hawser' | 'netcode'} wire @returns {Promise<string>} a token, the same each time */
async function tokenOf({ token }, wire) {
  let drawn = 0;
  const options = {
    protocolId,
    key: serverKey,
    clientId: 1n,
    addresses: [gatewayAddress],
    userData,
    now: () => startWallMs,
    random: (/** @type {Uint8Array} */ target) => void target.fill(++drawn),
  };
  return wire === 'netcode'
    ? token.encodeNetcodeToken(await token.mintNetcodeToken(options))
    : token.encodeToken(await token.mintToken(options));
}

/** @param {Package} pkg @param {SimulatedNetwork} network */
async function listen(pkg, network) {
  /** @type {string[]} */
  const heard = [];
  const server = await listenWithFreshKeys(pkg, {
    network,
    address: gatewayAddress,
    protocolId,
    keys: [serverKey],
    channels: channelsOf(pkg),
    wires: ['hawser', 'netcode'],
    ...limits,
    secretOf: () => updateSecret,
  });
  server.on('connect', (peer) => {
    heard.push(
      `${peer.wire} client ${peer.clientId}: ${Buffer.from(peer.userData).toString().replace(/\0+$/, '')}`,
    );
    for (const channel of channelsFor(peer.wire))
      peer.send(channel, Buffer.from(`from the gateway, ${channel}`));
  });
  server.on('message', (_, data, channel) => {
    heard.push(`${channel}: ${Buffer.from(/** @type {Uint8Array} */ (data)).toString()}`);
  });
  server.on('keyUpdate', (_, { epoch }) => heard.push(`key epoch ${epoch}`));
  server.on('disconnect', (_, { code }) => heard.push(`disconnected: ${code}`));
  return { server, heard };
}

/** @param {Package} pkg @param {SimulatedNetwork} network @param {string} token */
function call(pkg, network, token) {
  /** @type {string[]} */
  const heard = [];
  const connecting = pkg.hawser.connect(token, {
    network,
    channels: channelsOf(pkg),
    ...limits,
  });
  const done = connecting.then(async (connection) => {
    heard.push(`${connection.wire} connected`);
    connection.on('message', (data, channel) => {
      heard.push(`${channel}: ${Buffer.from(/** @type {Uint8Array} */ (data)).toString()}`);
    });
    connection.on('keyUpdate', ({ epoch }) => heard.push(`key epoch ${epoch}`));
    for (const channel of channelsFor(connection.wire)) {
      connection.send(channel, Buffer.from(`from the client, ${channel}`));
    }
    if (connection.wire === 'hawser') {
      await connection.updateKeys({ secret: updateSecret });
      await connection.sent();
      connection.send('reliable', Buffer.from('under new keys'));
      await connection.sent();
    }
    await new Promise((resolve) => network.clock.setTimeout(() => resolve(undefined), 500));
    await connection.close();
  });
  return { done, heard };
}

/** @param {Package} pkg */
const networkOf = ({ testing }) => new testing.SimulatedNetwork({ seed, startWallMs, delayMs });

/**
 * Has both ends speak with each other.
 *
 * @param {Package} pkg
 * @param {'hawser' | 'netcode'} wire
 * @returns {Promise<{recording: Recording, gateway: string[], client: string[]}>} with what each end heard
 */
export async function record(pkg, wire) {
  const network = networkOf(pkg);
  const { server, heard } = await listen(pkg, network);
  const token = await tokenOf(pkg, wire);
  /** @type {Recording['datagrams']} */
  const datagrams = [];
  network.capture((from, _, datagram) => {
    const by = from === clientAddress ? 'client' : 'gateway';
    datagrams.push({ atMs: network.clock.now(), by, datagram: Buffer.from(datagram).toString('base64') });
  });
  const client = call(pkg, network, token);
  await network.run(durationMs);
  await client.done;
  network.capture(undefined);
  await network.runUntil(server.close());
  return { recording: { wire, token, datagrams }, gateway: heard, client: client.heard };
}

/**
 * Has the datagrams of one end of a recording arrive again, when they did then.
 *
 * @param {SimulatedNetwork} network
 * @param {Recording} recording
 * @param {'client' | 'gateway'} by
 */
async function sayAgain(network, { datagrams }, by) {
  const [from, to] = by === 'client' ? [clientAddress, gatewayAddress] : [gatewayAddress, clientAddress];
  for (const { atMs, datagram } of datagrams.filter((each) => each.by === by)) {
    await network.run(Math.max(0, atMs + delayMs - network.clock.now()));
    network.inject(from, to, Buffer.from(datagram, 'base64'));
  }
  await network.run(delayMs);
}

/** @param {Package} pkg @param {Recording} recording @returns {Promise<string[]>} what a gateway hears of the client of a recording */
export async function replayToGateway(pkg, recording) {
  const network = networkOf(pkg);
  const { server, heard } = await listen(pkg, network);
  await sayAgain(network, recording, 'client');
  await network.runUntil(server.close());
  return heard;
}

/** @param {Package} pkg @param {Recording} recording @returns {Promise<string[]>} what a client hears of the gateway of a recording */
export async function replayToClient(pkg, recording) {
  const network = networkOf(pkg);
  // It is there, so that the client draws its random bytes as it did then; nothing comes to it, and nothing from it.
  const { server } = await listen(pkg, network);
  network.partition(gatewayAddress, clientAddress);
  const { done, heard } = call(pkg, network, recording.token);
  // What does not come about is missing from what it heard.
  const settled = done.catch((error) => heard.push(String(error)));
  await sayAgain(network, recording, 'gateway');
  await network.runUntil(settled);
  await network.runUntil(server.close());
  return heard;
}
