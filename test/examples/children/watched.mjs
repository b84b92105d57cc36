// Loaded with `node --import` before an example. Servers of the example also accept the test's key, listen on a free port of loopback and stay
// open. The test asks by IPC for what they hold for each peer.
//
// HAWSER_TEST_KEY: 32 bytes in hex. HAWSER_TEST_QUEUED_BYTES: `maxQueuedBytes` of the servers.

import { subscribe } from 'node:diagnostics_channel';
import { Server, unhandledListenerErrors } from 'hawser';

const testKey = { id: 4_000_000, key: Buffer.from(process.env.HAWSER_TEST_KEY ?? '', 'hex') };
const maxQueuedBytes = Number(process.env.HAWSER_TEST_QUEUED_BYTES);
const sampleMs = 10;

/** @typedef {import('hawser').Peer<any>} Peer */
/** @typedef {import('hawser').Server<any>} AnyServer */

/** @type {{server: AnyServer, channels: object[]}[]} */
const served = [];
/** Peers that are connected. @type {Map<string, Peer>} */
const peers = new Map();
/** Most bytes that were held for each client. @type {Record<string, number>} */
const peakBytes = {};
/** How connections ended. @type {{clientId: string, result: string, code: number, reason: string}[]} */
const endings = [];

/** @type {(options: import('hawser').ServerOptions<any>) => Promise<AnyServer>} */
const listen = Server.listen.bind(Server);
Reflect.set(Server, 'listen', watchedListen);

/** @type {typeof listen} */
async function watchedListen({ publicAddresses: _, ...options }) {
  const address = '127.0.0.1:0';
  const keys = [...options.keys, testKey];
  const server = await listen({ ...options, address, keys, maxQueuedBytes });
  // An example that has shown what it shows closes its server.
  server.close = async () => undefined;
  /** @type {[string, import('hawser').Channel<unknown>][]} */
  const declared = Object.entries(options.channels ?? {});
  const channels = declared.map(([name, { mode, codec, maxMessageBytes }]) => ({
    name,
    mode,
    codec: codec.name,
    maxMessageBytes,
  }));
  served.push({ server, channels });
  return server;
}

subscribe('hawser:peer.connect', (message) => {
  const { peer } = /** @type {{peer: Peer}} */ (message);
  peers.set(String(peer.clientId), peer);
});
subscribe('hawser:peer.disconnect', (message) => {
  const { peer, info } = /** @type {{peer: Peer, info: import('hawser').DisconnectInfo}} */ (message);
  const { result, code, reason } = info;
  const clientId = String(peer.clientId);
  if (peers.get(clientId) === peer) peers.delete(clientId);
  endings.push({ clientId, result, code, reason });
});

function sample() {
  for (const [clientId, { heldBytes }] of peers)
    peakBytes[clientId] = Math.max(peakBytes[clientId] ?? 0, heldBytes);
}
setInterval(sample, sampleMs).unref();

process.on('message', () => {
  sample();
  process.send?.({
    servers: served.map(({ server, channels }) => ({
      address: server.address,
      protocolId: String(server.protocolId),
      channels,
      // An example may wait for a store before it serves.
      serves: server.listenerCount('connect') + server.listenerCount('message') > 0,
    })),
    connected: [...peers.keys()],
    endings,
    peakBytes,
    listenerErrors: unhandledListenerErrors(),
  });
});
// The test, not this file, decides how long the process runs.
process.channel?.unref();
