// The interaction layer as it is built in this tree, and what the programs of its rows share.
import { randomBytes } from 'node:crypto';
import {
  Device,
  hawserConnector,
  InteractionClient,
  InteractionConnection,
  interactionChannels,
  overConnection,
  seededRandom,
  serveInteraction,
  TimingWheel,
} from '../../dist/interaction/index.js';
import {
  Client,
  clientDriverOptions,
  createTokenMinter,
  driverOptions,
  formatKey,
  generateKey,
  parseKey,
  protocolId,
  Server,
} from './hawser.mjs';
import { hasSourceAddresses, sourceAddress } from './source-address.mjs';

export { SimulatedNetwork } from '../../dist/testing/index.js';
export {
  Device,
  hawserConnector,
  InteractionClient,
  InteractionConnection,
  interactionChannels,
  seededRandom,
  serveInteraction,
  TimingWheel,
};

/** Of what all devices here have: so many attributes, numbered from 1. */
export const endpoint = 1;
export const feature = 2;
export const attributes = Array.from({ length: 5 }, (_, index) => index + 1);

/** The one whose changes are told. */
export const tracked = 1;

/** Wanted size of socket buffers in bytes, and the longest datagram: as all rows have them. */
const socketOptions = {
  channels: interactionChannels,
  maxDatagramBytes: 1472,
  receiveBufferBytes: 4 * 1024 * 1024,
  sendBufferBytes: 4 * 1024 * 1024,
};
/** As many handshakes at a time as a gateway's queue takes without dropping any. */
const handshakesAtOnce = 256;
/** Of many clients. */
const socketCount = 4;

/**
 * The handlers of a device with numbers for attributes, which are read and nothing else.
 *
 * @returns {import('../../dist/interaction/device.js').DeviceHandlers}
 */
export function thermometer() {
  const values = new Map(attributes.map((attribute) => [attribute, attribute + 0.5]));
  return {
    read: (request) => {
      if (request.endpoint !== endpoint || request.feature !== feature) return 'INVALID_FEATURE';
      if (request.attributes.length === 0) return values;
      const asked = new Map();
      for (const attribute of request.attributes) {
        const value = values.get(attribute);
        if (value === undefined) return 'INVALID_ATTRIBUTE';
        asked.set(attribute, value);
      }
      return asked;
    },
  };
}

/** @typedef {{address: string, key: string}} Target what clients need to know, as JSON */

/**
 * Opens a gateway that is one device for all of its peers.
 *
 * @param {number} maxPeers
 * @returns {Promise<{server: Server<typeof interactionChannels>, device: Device, target: Target}>}
 */
export async function openGateway(maxPeers) {
  const key = generateKey({ id: 1 });
  const server = await Server.listen({
    ...socketOptions,
    ...driverOptions(),
    address: '127.0.0.1:0',
    protocolId,
    keys: [key],
    maxPeers,
  });
  const device = new Device({ handlers: thermometer() });
  serveInteraction(server, (connection) => device.accept(connection));
  return { server, device, target: { address: server.address, key: formatKey(key) } };
}

/**
 * Connects clients, those of a crowd over a few sockets and, where that is possible, from an address each.
 *
 * @param {Target} target
 * @param {number} count
 * @param {number} [timeoutMs] of their tokens: they keep alive three times in it
 * @returns {Promise<{clients: InteractionConnection[], connections: Connection[], sockets: Client<typeof interactionChannels>[]}>}
 */
export async function connectClients({ address, key }, count, timeoutMs = 60_000) {
  const isCrowd = count > 1;
  const ownAddresses = isCrowd && hasSourceAddresses;
  const options = {
    ...socketOptions,
    ...clientDriverOptions(),
    ...(isCrowd && { maxConnections: Math.ceil(count / socketCount) }),
    address: ownAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
  };
  const sockets = await Promise.all(
    Array.from({ length: isCrowd ? socketCount : 1 }, () => Client.open(options)),
  );
  const minter = await createTokenMinter({ protocolId, key: parseKey(key), addresses: [address], timeoutMs });
  // Others than those of other processes with the same gateway.
  const firstId = randomBytes(6).readUIntBE(0, 6);
  /** @type {Connection[]} */
  const connections = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < count; index = next++) {
      const socket = sockets[index % sockets.length];
      const connection = await socket?.connect(minter.mint({ clientId: BigInt(firstId + index) }), {
        timeoutMs: 30_000,
        ...(ownAddresses && { localAddress: sourceAddress(index) }),
      });
      if (connection !== undefined) connections.push(connection);
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, handshakesAtOnce) }, worker));
  const clients = connections.map((connection) =>
    overConnection(connection, (link) => new InteractionConnection(link)),
  );
  return { clients, connections, sockets };
}

/** @typedef {import('../../dist/index.js').Connection<typeof interactionChannels>} Connection */
