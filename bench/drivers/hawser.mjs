// hawser through its public API: `message` events, `send`.
import { connect, createTokenMinter, generateKey, protocolId, Server } from '../lib/hawser.mjs';
import { bufferBytes } from './contract.mjs';

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: 16_384,

  async listen(onMessage) {
    const key = generateKey({ id: 1 });
    const server = await Server.listen({
      address: '127.0.0.1:0',
      protocolId,
      keys: [key],
      maxPeers: 16,
      receiveBufferBytes: bufferBytes,
      sendBufferBytes: bufferBytes,
    });
    const minter = await createTokenMinter({ protocolId, key, addresses: [server.address] });
    /** @type {import('../../dist/index.js').Peer | undefined} */
    let peer;
    server.on('connect', (connected) => {
      peer = connected;
    });
    server.on('message', (_, data) => onMessage(data));
    return {
      target: Buffer.from(minter.mint({ clientId: 1n })).toString('base64url'),
      send: (data) => peer?.send(data) ?? false,
      close: () => server.close(),
    };
  },

  async connect(target, onMessage, onDrain) {
    const connection = await connect(String(target), {
      receiveBufferBytes: bufferBytes,
      sendBufferBytes: bufferBytes,
    });
    connection.on('message', (data) => onMessage(data));
    connection.on('drain', onDrain);
    return { send: (data) => connection.send(data), close: () => connection.close() };
  },
};
