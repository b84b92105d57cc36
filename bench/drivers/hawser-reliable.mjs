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

const socketOptions = {
  channels: { data: reliable() },
  maxDatagramBytes,
  receiveBufferBytes: bufferBytes,
  sendBufferBytes: bufferBytes,
};

/**
 * @param {import('./contract.mjs').SideOptions['congestion']} congestion
 * @returns {{congestion?: 'bbr' | 'cubic'}}
 */
function congestionOptions(congestion) {
  return congestion === undefined ? {} : { congestion };
}

/**
 * @param {import('../../dist/index.js').TransportStats} stats
 * @returns {Record<string, number>}
 */
function countersOf({ counters, drops }) {
  const { packetsSealed, packetsLost, spuriousLosses } = counters;
  const dropped = Object.values(drops).reduce((sum, count) => sum + count, 0);
  return { packetsSent: packetsSealed, packetsLost, spuriousLosses, drops: dropped };
}

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: Number.POSITIVE_INFINITY,

  async listen(onMessage, { host = loopback, onDrain = () => undefined, congestion } = {}) {
    const key = generateKey({ id: 1 });
    const server = await Server.listen({
      ...socketOptions,
      ...driverOptions(),
      ...congestionOptions(congestion),
      address: `${host}:0`,
      protocolId,
      keys: [key],
      maxPeers: 16,
    });
    const minter = await createTokenMinter({ protocolId, key, addresses: [server.address] });
    /** @type {import('../../dist/index.js').Peer<typeof socketOptions.channels> | undefined} */
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

  async connect(target, onMessage, onDrain, { congestion } = {}) {
    const client = await Client.open({
      ...socketOptions,
      ...clientDriverOptions(),
      ...congestionOptions(congestion),
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
