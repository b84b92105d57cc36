// Async functions in the place of callbacks whose result nothing waits for. A rejection that nothing handles would end the process.

import { connect as connectSocket, createServer } from 'node:net';
import { afterAll, afterEach, beforeEach, expect, test, vi } from 'vitest';
import { z } from 'zod';
import { ConnectionManager } from '../../src/base/connection-manager.js';
import {
  bytes,
  type ChannelMap,
  type Codec,
  connect,
  reliable,
  Server,
  type ServerOptions,
  unhandledListenerErrors,
  unreliable,
} from '../../src/index.js';
import {
  AttributeStore,
  Device,
  type DeviceHandlers,
  defineModel,
  hawserConnector,
  InteractionClient,
  interactionChannels,
  serveInteraction,
  serveStreams,
  typed,
} from '../../src/interaction/index.js';
import { keysChannels, TransportPersona } from '../../src/keys/index.js';
import {
  MemorySessionStore,
  SessionServer,
  serveSessions,
  sessionChannels,
} from '../../src/sessions/index.js';
import { MemoryStore, SyncManager, serveSync, syncChannels } from '../../src/sync/index.js';
import { generateKey, mintToken } from '../../src/token/index.js';

const key = generateKey();
const opened: { close(): unknown }[] = [];
const unhandled: unknown[] = [];
const onUnhandled = (error: unknown): number => unhandled.push(error);

// Together, since each takes about a second.
afterAll(async () => {
  await Promise.all(opened.map((each) => each.close()));
});

beforeEach(() => {
  vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  process.on('unhandledRejection', onUnhandled);
});

afterEach(() => {
  process.off('unhandledRejection', onUnhandled);
  unhandled.length = 0;
  vi.restoreAllMocks();
});

/** A callback that rejects where its type allows no promise. */
const rejecting = (): never => Promise.reject(new Error('async')) as never;

async function listen(channels: ChannelMap, more: Partial<ServerOptions> = {}): Promise<Server<ChannelMap>> {
  const options = { address: '127.0.0.1:0', protocolId: 1n, keys: [key], ...more, channels };
  const server: Server<ChannelMap> = await Server.listen<ChannelMap>(options);
  opened.push(server);
  return server;
}

const tokenOf = ({ publicAddresses }: Server<ChannelMap>): Promise<Uint8Array> =>
  mintToken({ protocolId: 1n, key, clientId: 1n, addresses: publicAddresses });

async function connected(server: Server<ChannelMap>, channels: ChannelMap): Promise<void> {
  opened.push(await connect<ChannelMap>(await tokenOf(server), { channels }));
}

async function controller(handlers: DeviceHandlers): Promise<InteractionClient> {
  const server = await listen(interactionChannels);
  const device = new Device({ handlers });
  serveInteraction(server as never, (connection) => device.accept(connection));
  const client = new InteractionClient({ connector: hawserConnector(await tokenOf(server)) });
  opened.push(client);
  await client.connect();
  return client;
}

const model = defineModel({
  room: {
    endpoint: 1,
    features: { air: { feature: 1, attributes: { celsius: { attribute: 1, schema: z.number() } } } },
  },
});
const rawCodec = (part: Partial<Codec<Uint8Array>>): Codec<Uint8Array> => ({
  ...bytes(),
  name: 'raw',
  ...part,
});

const cases: Readonly<Record<string, () => Promise<unknown>>> = {
  async 'accept of serveInteraction'() {
    const server = await listen(interactionChannels);
    serveInteraction(server as never, rejecting);
    await connected(server, interactionChannels);
  },
  async 'identityOf of serveSessions'() {
    const server = await listen(sessionChannels);
    const sessions = new SessionServer({ store: new MemorySessionStore(), onRequest: rejecting });
    serveSessions(server as never, sessions, { identityOf: rejecting });
    await connected(server, sessionChannels);
  },
  async 'agentOf of serveSync'() {
    const server = await listen(syncChannels);
    serveSync(server as never, new SyncManager({ store: new MemoryStore() }), { agentOf: rejecting });
    await connected(server, syncChannels);
  },
  async 'saeOf of a persona'() {
    const server = await listen(keysChannels);
    new TransportPersona().serve(server, rejecting);
    await connected(server, keysChannels);
  },
  async 'read of a device'() {
    const client = await controller({ read: rejecting });
    await expect(client.read(1, 1)).rejects.toMatchObject({ status: 'BUSY' });
  },
  async 'authorize of an attribute store'() {
    const store = new AttributeStore(model, { room: { air: { celsius: 20 } } });
    const client = await controller(store.handlers({ authorize: rejecting }));
    await expect(client.read(1, 1)).rejects.toMatchObject({ status: 'BUSY' });
  },
  async 'undo of an answer'() {
    const payload = new Uint8Array(100_000);
    const client = await controller({ invoke: () => ({ payload, undo: rejecting }) });
    await expect(client.invoke(1, 1, 1)).rejects.toMatchObject({ status: 'RESOURCE_EXHAUSTED' });
  },
  async 'notified and stale of a subscription'() {
    const client = await controller({ read: () => new Map([[1, 20]]) });
    const terms = { endpoint: 1, feature: 1, attributes: [1] };
    await client.subscribe(terms, { notified: rejecting, stale: rejecting });
  },
  async 'changed of a typed subscription'() {
    const client = await controller({ read: () => new Map([[1, 20]]) });
    await typed(client, model).subscribe('room', 'air', {}, { changed: rejecting });
  },
  async 'accept of serveStreams'() {
    const listener = createServer();
    serveStreams(listener, rejecting, { firstMessageTimeoutMs: false });
    await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
    const address = listener.address();
    if (address === null || typeof address === 'string') throw new Error('no port');
    const socket = connectSocket(address.port, '127.0.0.1').on('error', () => undefined);
    opened.push({ close: () => socket.destroy() }, { close: () => listener.close() });
  },
  async 'decode of a codec'() {
    const server = await listen({ raw: reliable(rawCodec({ decode: rejecting })) });
    const client = await connect(await tokenOf(server), { channels: { raw: reliable(rawCodec({})) } });
    opened.push(client);
    client.send('raw', new Uint8Array(1));
  },
  async 'encode of a codec'() {
    const server = await listen({ raw: reliable(rawCodec({ encode: rejecting })) });
    server.on('connect', (peer) => peer.send('raw', new Uint8Array(1)));
    await connected(server, { raw: reliable(rawCodec({})) });
  },
  async onBatch() {
    const channels = { raw: unreliable() };
    const server = await listen(channels, { onBatch: rejecting });
    const client = await connect(await tokenOf(server), { channels });
    opened.push(client);
    client.send('raw', new Uint8Array(1));
  },
  async onState() {
    const channels = { raw: unreliable() };
    const server = await listen(channels);
    opened.push(await connect(await tokenOf(server), { channels, onState: rejecting }));
  },
  async 'the listener of a store'() {
    const watch = new MemorySessionStore().watch('a', { reset: rejecting, changed: rejecting });
    opened.push({ close: () => watch[Symbol.dispose]() });
  },
  async 'reconnectAfter of a connection manager'() {
    const manager = new ConnectionManager({
      connect: () => Promise.reject(new Error('refused')),
      release: () => undefined,
      reconnectAfter: rejecting,
    });
    const connecting = manager.connect();
    opened.push({
      close: () =>
        Promise.all([
          expect(connecting).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' }),
          manager.close(),
        ]),
    });
  },
};

test.each(Object.keys(cases))('%s that rejects is reported and does not end the process', async (name) => {
  const before = unhandledListenerErrors();
  await cases[name]?.();
  await expect.poll(() => unhandledListenerErrors()).toBeGreaterThan(before);
  // Node.js reports rejections without a handler before the next turn.
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
});
