// One gateway with every layer, and a real client of each over UDP: what they do, a reload, a drain, and the next start on the same stores.

import { subscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { freeAddress } from '../../scripts/lib/free-ports.mjs';
import type { Gateway } from '../../src/gateway/gateway.js';
import type { GatewayHandlers } from '../../src/gateway/handlers.js';
import { Device } from '../../src/interaction/index.js';
import { openStore } from '../../src/sync/index.js';
import { formatKey } from '../../src/token/server-key.js';
import { reliable } from '../../src/transport/channels.js';
import { connect } from '../../src/transport/client.js';
import { text } from '../../src/transport/codecs.js';
import { temporaryFolder } from '../cli/support.js';
import { attribute, Controller, Counting, connectedAgain, MeterAgent } from './layer-clients.js';
import { SaeSite, saeClientId } from './sae-site.js';
import { key, openTest, tokenFor } from './support.js';

const folder = temporaryFolder();
const chat = { chat: reliable(text()) };
let site: SaeSite;
/** Where the listeners are, of the one gateway and of the next. */
const addresses = new Map<string, string>();
beforeAll(async () => {
  site = await SaeSite.open(join(folder, 'sae'));
  for (const name of ['chat', 'devices', 'agents', 'clients', 'saes'])
    addresses.set(name, await freeAddress());
});
afterAll(() => site[Symbol.asyncDispose]());

/** The value that controllers read and write. */
const values = new Map<number, number>();
const device = new Device({
  handlers: {
    read: () => values,
    write: (request) => {
      values.set(attribute, Number(request.values.get(attribute)));
      return undefined;
    },
  },
});
let requests = 0;
const handlers: GatewayHandlers = {
  setup: (server, { listener }) => {
    if (listener === 'chat') server.on('message', (_, value, channel) => server.broadcast(channel, value));
  },
  interaction: (connection) => device.accept(connection),
  onRequest: ({ payload }) => ({ result: Buffer.concat([payload, Buffer.from(` ${++requests}`)]) }),
};

/** A gateway with every layer on the stores of this file, at the same addresses as the one before. */
function openAll(): Promise<Gateway> {
  const listener = (name: string, layer: string): object => ({
    name,
    address: addresses.get(name),
    layers: [layer],
  });
  return openTest({
    keys: [formatKey(key)],
    listeners: [
      { ...listener('chat', 'messages'), channels: chat },
      listener('devices', 'interaction'),
      listener('agents', 'sync'),
      listener('clients', 'sessions'),
      listener('saes', 'keys'),
    ],
    handlers,
    sync: { store: join(folder, 'sync') },
    sessions: { store: `lmdb:${join(folder, 'sessions')}` },
    sae: site.config,
    drain: { deadlineMs: 60_000 },
  });
}

test('every layer serves its client, and each goes on with what it had after a drain and another start', async () => {
  const first = await openAll();
  const tokenOf = (name: string, clientId: bigint) => (): Promise<string> =>
    tokenFor(first, name, { clientId });

  // messages
  await using speaker = await connect(await tokenOf('chat', 1n)(), { channels: chat });
  speaker.send('chat', 'hello');
  expect((await once(speaker, 'message'))[0]).toBe('hello');
  // interaction
  await using controller = new Controller(tokenOf('devices', 2n));
  await controller.client.connect();
  expect(await controller.write(21)).toBe(21);
  // sync
  await using agent = new MeterAgent(tokenOf('agents', 3n));
  await agent.client.connect();
  await agent.tell('kitchen', '{"kWh":1.2}');
  expect(await agent.check()).toBe('valid');
  // sessions
  await using counting = new Counting(tokenOf('clients', 4n));
  await counting.client.connect();
  expect(await counting.say('one')).toBe('one 1');
  const { sessionId } = counting.client;
  // keys
  const { sae } = await site.connect(tokenOf('saes', saeClientId));
  const rotated = once(sae, 'rotation');
  const { outcome, newKeyId } = (await first.sae?.rotate('SAE_2')) ?? expect.fail('no SAE');
  expect(outcome).toBe('completed');
  await rotated;

  // What operators see of it.
  const { listeners, layers } = first.snapshot();
  expect(listeners.map(({ name, peers }) => [name, peers])).toEqual(
    ['chat', 'devices', 'agents', 'clients', 'saes'].map((name) => [name, 1]),
  );
  expect(layers).toMatchObject({
    interaction: { connections: 1 },
    sync: { sessions: 0 },
    sessions: { sessions: 1, connected: 1 },
    keys: { saeId: 'SAE_1', ended: [{ peerSaeId: 'SAE_2', outcome: 'completed', code: null }] },
  });
  expect(first.peers({ listener: 'saes' }).peers).toMatchObject([{ clientId: String(saeClientId) }]);
  const [saePeer] = first.peers({ listener: 'saes' }).peers;
  expect(first.peer(saePeer?.id ?? '')).toMatchObject({ keyEpoch: 1 });
  const seen = [first.snapshot(), first.peers(), first.peer(saePeer?.id ?? ''), first.sessions()];
  const json = JSON.stringify(seen);
  // Nothing in it is lost on the way: JSON has neither NaN nor Infinity.
  expect(JSON.parse(json)).toEqual(seen);
  expect(json).not.toContain(formatKey(key).split(':').at(-1));

  expect(await first.reload()).toEqual({ keyIds: [1], changed: [], needRestart: [] });

  // A drain: all are told, and leave long before the deadline.
  const drains: unknown[] = [];
  subscribe('hawser:gateway.drain', (drain) => drains.push(drain));
  const told = Promise.all([
    once(speaker, 'goaway').then(() => speaker.close()),
    once(controller.client, 'farewell'),
    once(agent.client, 'farewell'),
    once(counting.client, 'redirected'),
  ]);
  const again = connectedAgain(controller.client, agent.client, counting.client);
  await first.drain();
  await told;
  expect(counting.redirected).toEqual(['Shutdown']);
  expect(drains).toMatchObject([{ peersBefore: 5, peersLeft: 0 }]);
  // Its store is closed with nothing of it lost.
  await using store = await openStore(join(folder, 'sync'));
  expect(Array.from(store.documents('3', 'meters'), ({ id }) => id)).toEqual(['kitchen']);
  await store.close();

  // The next one has all of it, and the clients find it by themselves.
  await using second = await openAll();
  await again;
  expect(await counting.say('two')).toBe('two 2');
  expect(counting.client.sessionId).toBe(sessionId);
  expect(await agent.check()).toBe('valid');
  await agent.tell('cellar', '{"kWh":0.06}');
  expect(await controller.write(22)).toBe(22);
  expect(second.sae?.status().peers).toMatchObject([{ productionKeyId: newKeyId }]);
});
