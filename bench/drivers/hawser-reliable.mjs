// A reliable, ordered channel of hawser through its public API: `message` events, `send`, `drain`.
import { connect, createTokenMinter, generateKey, protocolId, reliable, Server } from '../lib/hawser.mjs';
import { bufferBytes } from './contract.mjs';

const socketOptions = {
  channels: { data: reliable() },
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
    const connection = await connect(String(target), socketOptions);
    connection.on('message', (data) => onMessage(data));
    connection.on('drain', onDrain);
    return { send: (data) => connection.send('data', data), close: () => connection.close() };
  },
};
