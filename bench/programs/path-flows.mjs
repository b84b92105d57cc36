// One side of the rows about several flows of hawser on one link. Configuration: {host, flows}, or {targets} of the side that listens.
import { Client, createTokenMinter, generateKey, protocolId, reliable, Server } from '../lib/hawser.mjs';
import { configuration, serve } from '../lib/program.mjs';
import { hello, TransferSender } from '../lib/transfer.mjs';

/**
 * @typedef {object} Config
 * @property {string} host own address
 * @property {number} [flows] that the listening side expects
 * @property {string[]} [targets] one token for each flow
 */

const { host, flows = 0, targets } = /** @type {Config} */ (configuration());
const channels = { data: reliable() };

serve(targets === undefined ? await listen() : await connect(targets));

/** @returns {Promise<Record<string, (argument: unknown) => unknown>>} */
async function listen() {
  const key = generateKey({ id: 1 });
  const server = await Server.listen({
    channels,
    address: `${host}:0`,
    protocolId,
    keys: [key],
    maxPeers: flows,
  });
  const minter = await createTokenMinter({ protocolId, key, addresses: [server.address] });
  /** Bytes that have come, by client id. @type {Map<bigint, number>} */
  const received = new Map();
  server.on('message', (peer, data) => {
    received.set(peer.clientId, (received.get(peer.clientId) ?? 0) + data.length);
  });
  return {
    targets: () =>
      Array.from({ length: flows }, (_, index) =>
        Buffer.from(minter.mint({ clientId: BigInt(index + 1) })).toString('base64url'),
      ),
    received: () => [...received.values()],
    close: () => server.close(),
  };
}

/**
 * @param {readonly string[]} tokens
 * @returns {Promise<Record<string, (argument: unknown) => unknown>>}
 */
async function connect(tokens) {
  const client = await Client.open({ channels });
  const senders = await Promise.all(
    tokens.map(async (token) => {
      const connection = await client.connect(token);
      const sender = new TransferSender((message) => connection.send('data', message));
      connection.on('drain', () => sender.fill());
      connection.send('data', hello);
      return sender;
    }),
  );
  return {
    send: (words) => {
      for (const sender of senders) sender.start(/** @type {number[]} */ (words)[0] ?? 0);
    },
    close: () => client.close(),
  };
}
