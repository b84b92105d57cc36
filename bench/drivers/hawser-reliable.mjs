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
import { bufferBytes, maxDatagramBytes } from './contract.mjs';

const socketOptions = {
  channels: { data: reliable() },
  maxDatagramBytes,
  receiveBufferBytes: bufferBytes,
  sendBufferBytes: bufferBytes,
};

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: Number.POSITIVE_INFINITY,

  async listen(onMessage) {
    const key = generateKey({ id: 1 });
    const server = await Server.listen({
      ...socketOptions,
      ...driverOptions(),
      address: '127.0.0.1:0',
      protocolId,
      keys: [key],
      maxPeers: 16,
    });
    const minter = await createTokenMinter({ protocolId, key, addresses: [server.address] });
    server.on('message', (_, data) => onMessage(data));
    return {
      target: Buffer.from(minter.mint({ clientId: 1n })).toString('base64url'),
      send: (data) => server.broadcast('data', data) > 0,
      close: () => server.close(),
    };
  },

  async connect(target, onMessage, onDrain) {
    const client = await Client.open({ ...socketOptions, ...clientDriverOptions() });
    const connection = await client.connect(String(target));
    connection.on('message', (data) => onMessage(data));
    connection.on('drain', onDrain);
    return {
      send: (data) => connection.send('data', data),
      datagrams: () => client.stats.socket.datagramsOut ?? 0,
      close: () => client.close(),
    };
  },
};
