import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterEach, expect, test, vi } from 'vitest';
import { listenTo, type TypedChannel, typedChannel } from '../../src/base/diagnostics.js';
import { diagnostics as interaction } from '../../src/interaction/diagnostics.js';
import { diagnostics as sessions } from '../../src/sessions/server/diagnostics.js';
import { diagnostics as sync } from '../../src/sync/manager/diagnostics.js';
import { channels as transport } from '../../src/transport/diagnostics.js';
import { meetInMemory } from '../interaction/meet-in-memory.js';
import { settled } from '../interaction/virtual-time.js';
import { World } from '../sessions/server/world.js';
import { ManagerWorld } from '../sync/manager/manager-world.js';
import { SimulatedWorld } from '../transport/support.js';

const run = promisify(execFile);

afterEach(() => {
  vi.restoreAllMocks();
});

/** @returns how often something was published, though nobody listened. */
function publications(channels: Readonly<Record<string, TypedChannel<never>>>): () => number {
  const spies = Object.values(channels).map((channel) => vi.spyOn(channel, 'publish'));
  return () => spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
}

test('a channel has its messages for whoever listens, until that ends', () => {
  const channel = typedChannel<{ readonly value: number }>('hawser:test.one');
  const heard: number[] = [];
  expect(channel.hasSubscribers).toBe(false);
  const end = listenTo(channel, ({ value }) => heard.push(value));
  expect(channel.hasSubscribers).toBe(true);
  channel.publish({ value: 1 });
  end();
  channel.publish({ value: 2 });
  expect(channel.hasSubscribers).toBe(false);
  expect(heard).toEqual([1]);
});

test('the same name is the same channel', () => {
  const heard: unknown[] = [];
  const end = listenTo(typedChannel<string>('hawser:test.two'), (message) => heard.push(message));
  typedChannel<string>('hawser:test.two').publish('x');
  end();
  expect(heard).toEqual(['x']);
});

test('where nobody listens nothing is published: transport', async () => {
  const published = publications(transport);
  const world = new SimulatedWorld();
  const server = await world.listen();
  const connection = await world.connect(await world.token(server));
  await world.settle();
  expect(server.peers.size).toBe(1);
  await world.until(connection.close());
  await world.close();
  expect(published()).toBe(0);
});

test('where nobody listens nothing is published: interaction', async () => {
  const published = publications(interaction);
  const { controller } = meetInMemory({ read: () => new Map([[1, 2]]) }).connect();
  expect(await controller.read(1, 2)).toEqual(new Map([[1, 2]]));
  controller.destroy();
  await settled();
  expect(published()).toBe(0);
});

test('where nobody listens nothing is published: sync', async () => {
  const published = publications(sync);
  const world = new ManagerWorld();
  const agent = world.agent();
  const session = agent.begin({ size: 1n });
  agent.values(session, 0, 0);
  agent.end(session);
  await settled();
  expect(world.ended).toHaveLength(1);
  expect(published()).toBe(0);
});

test('where nobody listens nothing is published: sessions', async () => {
  const published = publications(sessions);
  const world = new World();
  const gateway = await world.gateway('a', { onRequest: () => ({ result: new Uint8Array(1) }) });
  const peer = await gateway.session();
  peer.request(1);
  await world.pass(100_000);
  expect(gateway.server.stats).toMatchObject({ committed: 1, expired: 1 });
  expect(published()).toBe(0);
});

test('NODE_DEBUG=hawser prints what any layer publishes', async () => {
  const code = `
    const { typedChannel } = await import(process.argv[1]);
    typedChannel('hawser:layer.event').publish({ one: 1 });
  `;
  const module = new URL('../../dist/base/diagnostics.js', import.meta.url).href;
  const print = async (debug: string): Promise<string> => {
    const env = { ...process.env, NODE_DEBUG: debug };
    const args = ['--input-type=module', '--eval', code, module];
    return (await run(process.execPath, args, { env })).stderr;
  };
  expect(await print('hawser')).toMatch(/HAWSER \d+: hawser:layer\.event \{ one: 1 \}/);
  expect(await print('')).toBe('');
});
