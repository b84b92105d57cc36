// The idle peers of a composed gateway, perhaps each with a session, and clients that look whether every layer answers.
// Configuration: {folder, key, peers, sessions}.
import { gatewayChannels } from '../../dist/gateway/index.js';
import { askLayers, BenchSae } from '../lib/gateway.mjs';
import { Client, clientDriverOptions, createTokenMinter, parseKey, protocolId } from '../lib/hawser.mjs';
import { configuration, processMark, serve } from '../lib/program.mjs';
import { SessionClient, sessionConnector, socketOptions } from '../lib/sessions.mjs';
import { hasSourceAddresses, sourceAddress } from '../lib/source-address.mjs';

const socketCount = 4;
const handshakesAtOnce = 128;
/** A gateway lets in a thousand new sessions a second. */
const perSecond = 900;
const timeoutMs = 60_000;

const {
  folder,
  key,
  peers: count,
  sessions,
} = /** @type {{folder: string, key: string, peers: number, sessions: boolean}} */ (configuration());
const channels = /** @type {import('../../dist/sessions/index.js').SessionChannels} */ (
  gatewayChannels(['messages', 'interaction', 'sync', 'sessions'])
);
const sae = await BenchSae.open(folder);
/** @type {import('../lib/gateway.mjs').Places | undefined} */
let places;
/** @type {import('../../dist/index.js').Connection<typeof channels>[]} */
const connections = [];

/** @param {string} address */
function minterFor(address) {
  return createTokenMinter({ protocolId, key: parseKey(key), addresses: [address], timeoutMs });
}

/** @param {unknown} argument where the gateway is */
async function connectAll(argument) {
  places = /** @type {import('../lib/gateway.mjs').Places} */ (argument);
  const minter = await minterFor(places.clients);
  const sockets = await Promise.all(
    Array.from({ length: socketCount }, () =>
      Client.open({
        ...socketOptions,
        ...clientDriverOptions(),
        channels,
        maxConnections: Math.ceil(count / socketCount),
        address: hasSourceAddresses ? '0.0.0.0:0' : '127.0.0.1:0',
      }),
    ),
  );
  const began = performance.now();
  let next = 0;
  const worker = async () => {
    for (let number = next++; number < count; number = next++) {
      const earlyMs = (number * 1000) / perSecond - (performance.now() - began);
      if (earlyMs > 0) await new Promise((resolve) => setTimeout(resolve, earlyMs));
      await connectOne(number, sockets, minter);
    }
  };
  await Promise.all(Array.from({ length: Math.min(count, handshakesAtOnce) }, worker));
  return { seconds: (performance.now() - began) / 1000 };
}

/**
 * @param {number} number
 * @param {readonly Client<typeof channels>[]} sockets
 * @param {Awaited<ReturnType<typeof minterFor>>} minter
 */
async function connectOne(number, sockets, minter) {
  const socket = sockets[number % socketCount];
  if (socket === undefined) throw new Error('there are no sockets');
  const localAddress = hasSourceAddresses ? { localAddress: sourceAddress(number) } : {};
  if (!sessions) {
    connections.push(await socket.connect(minter.mint({ clientId: BigInt(number + 1) }), localAddress));
    return;
  }
  const client = new SessionClient({
    connector: sessionConnector(
      () => minter.mint({ clientId: BigInt(number + 1) }),
      { client: socket, ...localAddress },
      (connection) => connections.push(connection),
    ),
  });
  await client.connect();
}

/** Looks at the dashboard's stream until the process ends. */
async function view() {
  const response = await fetch(`${places?.admin}/api/stream`);
  if (response.body === null) throw new Error('there is no stream');
  const reader = response.body.getReader();
  await reader.read();
  const readOn = async () => {
    while (!(await reader.read()).done);
  };
  void readOn();
  return null;
}

serve({
  sae: () => sae.config,
  /** Whether every part of the gateway answers: "answers" or why not, by its name. */
  ask: async (argument) => {
    const asked = /** @type {import('../lib/gateway.mjs').Places} */ (argument);
    return askLayers(asked, {
      channels: gatewayChannels(['messages', 'interaction', 'sync', 'sessions']),
      // Beside those of the peers, which begin at 1.
      minter: await minterFor(asked.clients),
      saeMinter: await minterFor(asked.saes),
      firstId: count + 1,
      sae,
    });
  },
  connectAll,
  view,
  unsettled: () => connections.filter(({ clockSettled }) => !clockSettled).length,
  mark: processMark,
});
