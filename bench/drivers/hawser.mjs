// hawser through its public API: `message` events, `send`.
import {
  Client,
  clientDriverOptions,
  createTokenMinter,
  driverOptions,
  generateKey,
  protocolId,
  reliable,
  Server,
  unreliable,
} from '../lib/hawser.mjs';
import { bufferBytes, maxDatagramBytes } from './contract.mjs';

/** What a datagram and a message in it have besides (docs/protocol.md sections 5 and 6), with ids and numbers as long as here. */
const datagramOverhead = 29;
const messageOverhead = 3;

/** The second channel is for finding out how long datagrams may be. */
const channels = { messages: unreliable(), search: reliable() };
const socketOptions = {
  channels,
  maxDatagramBytes,
  receiveBufferBytes: bufferBytes,
  sendBufferBytes: bufferBytes,
};

/** A probe takes a round trip, and a second when it is lost. */
const maxTries = 500;

/** @type {import('./contract.mjs').Driver} */
export const driver = {
  window: 1024,
  // Of the datagrams that it sends once path MTU discovery has found how long they may be.
  perDatagram: (messageBytes) =>
    Math.max(1, Math.floor((maxDatagramBytes - datagramOverhead) / (messageBytes + messageOverhead))),

  async listen(onMessage) {
    const key = generateKey({ id: 1 });
    const server = await Server.listen({
      address: '127.0.0.1:0',
      protocolId,
      keys: [key],
      maxPeers: 16,
      ...socketOptions,
      ...driverOptions(),
    });
    const minter = await createTokenMinter({ protocolId, key, addresses: [server.address] });
    /** @type {import('../../dist/index.js').Peer<typeof channels> | undefined} */
    let peer;
    server.on('connect', (connected) => {
      peer = connected;
    });
    server.on('message', (_, data, channel) => {
      if (channel === 'messages') onMessage(data);
    });
    return {
      target: Buffer.from(minter.mint({ clientId: 1n })).toString('base64url'),
      send: (data) => peer?.send(data) ?? false,
      close: () => server.close(),
    };
  },

  async connect(target, onMessage, onDrain) {
    const client = await Client.open({ ...socketOptions, ...clientDriverOptions() });
    const connection = await client.connect(String(target));
    connection.on('message', (data, _) => onMessage(data));
    connection.on('drain', onDrain);
    return {
      send: (data) => connection.send(data),
      ready: (messageBytes) => search(connection, messageBytes),
      datagrams: () => client.stats.socket.datagramsOut ?? 0,
      close: () => client.close(),
    };
  },
};

/**
 * Has reliable messages that fill datagrams sent until longer ones than 1,200 bytes are known to arrive, where a message needs one.
 *
 * @param {import('../../dist/index.js').Connection<typeof channels>} connection
 * @param {number} messageBytes
 */
async function search(connection, messageBytes) {
  const filling = new Uint8Array(2 * maxDatagramBytes);
  for (let tries = 0; connection.maxUnreliableBytes < messageBytes; ++tries) {
    if (tries === maxTries) throw new Error(`messages of ${messageBytes} bytes do not fit into a datagram`);
    connection.send('search', filling);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
