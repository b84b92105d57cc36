// The addon gives a slot away as soon as a connection has ended; its end may be told later.

import { expect, test, vi } from 'vitest';
import { Client, type Connection } from '../../src/index.js';
import { mintToken } from '../../src/token/index.js';
import { eventKind, type NativeHandle } from '../../src/transport/native.js';
import { disconnectResults } from '../../src/transport/results.js';
import { Waiting } from '../../src/transport/waiting.js';
import { batch, endpoints, type FakeEvent, fakeAddon } from './fake-addon.js';
import { protocolId, serverKey } from './support.js';

vi.mock('../../src/transport/native.js', async (original) => ({
  ...(await original()),
  loadAddon: () => fakeAddon(),
}));

const { connect, disconnect } = eventKind;
/** As the addon numbers it: from 1. */
const reset = disconnectResults.indexOf('reset') + 1;

const turn = (): Promise<void> =>
  new Promise((resolve) => {
    setImmediate(resolve);
  });

test.each([
  ['', 2],
  [', also as soon as they are made', 0],
])('connections that are reset in one batch reconnect in each other’s slots%s', async (_, turns) => {
  const client = await Client.open({ address: '127.0.0.1:0' });
  const native = endpoints.pop() ?? expect.fail('no endpoint');
  const deliver = (...events: FakeEvent[]): void => {
    const { slab, descriptors, count } = batch(events);
    native.onEvents(slab, descriptors, count);
  };
  const connectAt = async (handle: NativeHandle): Promise<Connection> => {
    native.handles.push(handle);
    const minting = { protocolId, key: serverKey, clientId: 1n, addresses: ['127.0.0.1:9'] };
    const connecting = client.connect(await mintToken(minting));
    await vi.waitFor(() => expect(native.handles).toEqual([]), { timeout: 100_000 });
    deliver([connect, 0, handle.slot, handle.generation, new Uint8Array(96)]);
    return connecting;
  };
  const one = await connectAt({ slot: 0, generation: 1 });
  const two = await connectAt({ slot: 1, generation: 1 });
  const told: string[] = [];
  for (const [name, connection] of Object.entries({ one, two })) {
    connection.on('reset', () => told.push(`${name} reset`));
    connection.on('reconnected', () => told.push(`${name} reconnected`));
  }
  // What comes with a connection waits until whoever awaits it has had the chance to listen.
  for (let count = 0; count < turns; ++count) await turn();
  native.handles.push({ slot: 1, generation: 2 }, { slot: 0, generation: 2 });
  deliver([disconnect, reset, 0, 1, new Uint8Array(8)], [disconnect, reset, 1, 1, new Uint8Array(8)]);
  for (let count = turns; count < 2; ++count) await turn();
  expect([one.slot, one.generation, two.slot, two.generation]).toEqual([1, 2, 0, 2]);
  expect(client.connections.size).toBe(2);
  deliver([connect, 0, 0, 2, new Uint8Array(96)], [connect, 0, 1, 2, new Uint8Array(96)]);
  for (let count = 0; count < 2; ++count) await turn();
  expect(told.toSorted()).toEqual(['one reconnected', 'one reset', 'two reconnected', 'two reset']);
  await client.close();
});

test('what waits for a connection ends with it, although its slot has another user', async () => {
  const waiting = new Waiting();
  const confirmed = waiting.confirm(7, 1, waiting.nextId(7, 1));
  waiting.oweDrain(7, 2);
  waiting.end(7, 1, () => ({ result: 'reset', code: 0, reason: '', reconnectSpreadMs: 0 }));
  await expect(confirmed).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  expect(waiting.isDrainOwed(7, 2)).toBe(true);
  expect(waiting.isDrainOwed(7, 1)).toBe(false);
});
