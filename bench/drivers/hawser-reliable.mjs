// A reliable, ordered channel of hawser through its public API: `message` events, `send`, `drain`.
import {
  Client,
  clientDriverOptions,
  createTokenMinter,
  driverOptions,
  generateKey,
  protocolId,
  reliable,
  Server,
} from '../lib/hawser.mjs';
import { bufferBytes, loopback, maxDatagramBytes } from './contract.mjs';

/**
 * @param {import('./contract.mjs').SideOptions} side
 */
function socketOptions({ congestion, redundancy }) {
  return {
    channels: { data: reliable(undefined, redundancy === undefined ? {} : { redundancy }) },
    maxDatagramBytes,
    receiveBufferBytes: bufferBytes,
    sendBufferBytes: bufferBytes,
    ...(congestion !== undefined && { congestion }),
  };
}

/**
 * @param {import('../../dist/index.js').TransportStats} stats
 * @returns {Record<string, number>}
 */
function countersOf({ counters, drops }) {
  const { bytesSent, redundantBytes, packetsSealed, packetsLost, spuriousLosses } = counters;
  const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
  return {
    bytesSent,
    redundantBytes,
    packetsSent: packetsSealed,
    packetsLost,
    spuriousLosses,
    drops: dropped,
  };
}

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: Number.POSITIVE_INFINITY,

  async listen(onMessage, { host = loopback, onDrain = () => undefined, ...side } = {}) {
    const key = generateKey({ id: 1 });
    const server = await Server.listen({
      ...socketOptions(side),
      ...driverOptions(),
      address: `${host}:0`,
      protocolId,
      keys: [key],
      maxPeers: 16,
    });
    const minter = await createTokenMinter({ protocolId, key, addresses: [server.address] });
    /** @type {import('../../dist/index.js').Peer<ReturnType<typeof socketOptions>['channels']> | undefined} */
    let heard;
    server.on('message', (peer, data) => {
      heard = peer;
      onMessage(data);
    });
    server.on('drain', onDrain);
    return {
      target: Buffer.from(minter.mint({ clientId: 1n })).toString('base64url'),
      send: (data) => heard?.send('data', data) ?? false,
      counters: () => countersOf(server.stats),
      close: () => server.close(),
    };
  },

  async connect(target, onMessage, onDrain, side = {}) {
    const client = await Client.open({
      ...socketOptions(side),
      ...clientDriverOptions(),
    });
    const connection = await client.connect(String(target));
    connection.on('message', (data) => onMessage(data));
    connection.on('drain', onDrain);
    return {
      send: (data) => connection.send('data', data),
      datagrams: () => client.stats.socket.datagramsOut ?? 0,
      counters: () => countersOf(client.stats),
      close: () => client.close(),
    };
  },
};
