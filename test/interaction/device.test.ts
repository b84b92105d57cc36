// What a device answers, and how it tells of changes; its end is tested in closing.test.ts.

import { describe, expect, test } from 'vitest';
import type { TimingWheel } from '../../src/base/timing-wheel.js';
import { Device, type DeviceHandlers, type DeviceOptions } from '../../src/interaction/device.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { InteractionConnection } from '../../src/interaction/interaction-connection.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import { StatusError } from '../../src/interaction/pending-requests.js';
import type { ErrorStatus } from '../../src/interaction/status.js';
import { refusal } from '../base/refusal.js';
import { End, listening, serving, terms } from './ends.js';
import { settled, VirtualTime } from './virtual-time.js';

/** A device and a controller of it. */
function meet(handlers: DeviceHandlers, codec = hawserCodec()) {
  const { wheel } = new VirtualTime();
  const [near, far] = [new End(true, codec), new End(true, codec)];
  [near.far, far.far] = [far, near];
  const device = new Device({ wheel, handlers, connections: { codec } });
  far.receiver = device.accept(far);
  const controller = new InteractionConnection(near, { wheel, codec });
  near.receiver = controller;
  return { device, controller };
}

/** The status and the detail that a request is rejected with. */
async function answer(request: Promise<unknown>): Promise<[ErrorStatus, string | undefined]> {
  const error = await request.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (error instanceof StatusError) return [error.status, error.detail];
  throw error;
}

describe.each([hawserCodec(), mashCodec()])('$name', (codec) => {
  test('a read, a write and a subscribe may be refused with a status, and with words', async () => {
    const words = { error: 'CONSTRAINT_ERROR', detail: '5 to 30' } as const;
    for (const refused of ['INVALID_ENDPOINT', { error: 'INVALID_ENDPOINT' }, words] as const) {
      const expected = refused === words ? ['CONSTRAINT_ERROR', '5 to 30'] : ['INVALID_ENDPOINT', undefined];
      const { controller, device } = meet({ read: () => refused, write: () => refused }, codec);
      expect(await answer(controller.read(1, 2))).toEqual(expected);
      expect(await answer(controller.write(1, 2, new Map([[7, 1]])))).toEqual(expected);
      expect(await answer(controller.subscribe(terms, listening([])))).toEqual(expected);
      expect(device.subscriptions).toBe(0);
      const later = meet({ write: async () => refused }, codec);
      expect(await answer(later.controller.write(1, 2, new Map([[7, 1]])))).toEqual(expected);
    }
  });

  test('attributes that changed together are told together', async () => {
    const { controller, device } = meet({ read: () => new Map([[7, 0]]) }, codec);
    const log: unknown[] = [];
    await controller.subscribe(
      { endpoint: 1, feature: 2, attributes: [], minIntervalMs: codec.name === 'mash' ? 1 : 0 },
      { notified: ({ changes }) => log.push(changes) },
    );
    const values = new Map([
      [7, 1],
      [8, 2],
    ]);
    device.notifyChanges(1, 2, values);
    await settled();
    if (codec.name === 'hawser') expect(log.slice(1)).toEqual([values]);
    expect(refusal(() => device.notifyChanges(1, 2, new Map([[65_536, 1]])))).toMatch(/attribute/);
  });
});

test('a subscription that the limits refuse has no words of an older refusal', async () => {
  let refuses = true;
  const { controller } = meet({
    read: () => (refuses ? { error: 'BUSY', detail: 'old' } : new Map([[7, 0]])),
  });
  expect(await answer(controller.subscribe(terms, listening([])))).toEqual(['BUSY', 'old']);
  refuses = false;
  const wrong = { ...terms, maxIntervalMs: 0 };
  expect(await answer(controller.subscribe(wrong, listening([])))).toEqual(['CONSTRAINT_ERROR', undefined]);
});

test('connections are counted from their acceptance to their end', () => {
  const { device, connection } = serving(() => 0);
  expect(device.connections).toBe(1);
  const second = device.accept(new End(true, hawserCodec()));
  expect(device.connections).toBe(2);
  connection.destroy();
  second.closed(undefined);
  second.closed(undefined);
  expect(device.connections).toBe(0);
});

test('a device needs no wheel', () => {
  const device = new Device({ handlers: {} });
  const connection = device.accept(new End(true, hawserCodec()));
  connection.destroy();
  expect(device.connections).toBe(0);
  expect(new InteractionConnection(new End(true, hawserCodec())).open).toBe(true);
});

test('options that cannot be are refused', () => {
  const wrong: [Partial<DeviceOptions>, RegExp][] = [
    [{ unreliableState: 1 as unknown as boolean }, /^unreliableState must be true or false/],
    [{ unreliableState: true, subscriptions: { state: 'delta' } }, /^subscriptions.state must be 'full'/],
    [
      { unreliableState: true, subscriptions: { heartbeat: 'empty' } },
      /^subscriptions.heartbeat must be 'full'/,
    ],
    [
      { unreliableState: true, connections: { codec: mashCodec() } },
      /^unreliableState must be left out or false/,
    ],
    [{ wheel: {} as TimingWheel }, /^wheel must be a TimingWheel/],
  ];
  for (const [options, message] of wrong) {
    expect(refusal(() => new Device({ handlers: {}, ...options }))).toMatch(message);
  }
});

test.each([
  [1, 1000],
  [5000, 5000],
  [0xffff_ffff, 3_600_000],
])('who asks for a maximum interval of %i ms is granted %i ms, and told so', (asked, granted) => {
  const { end, hear } = serving(() => 0);
  const subscribe = { type: 'request', operation: 'subscribe', messageId: 1, ...terms } as const;
  hear({ ...subscribe, minIntervalMs: 0, maxIntervalMs: asked });
  const [response] = end.ofType('response');
  expect(response?.payload instanceof Map && response.payload.get(4)).toBe(granted);
});

test('what is too long for one notification goes in several, and ends nobody', () => {
  const { end, device, time, hear } = serving(() => 0);
  hear({ type: 'request', operation: 'subscribe', messageId: 1, endpoint: 1, feature: 2, attributes: [] });
  const big = 'x'.repeat(20_000);
  const values = new Map([10, 11, 12, 13, 14].map((id) => [id, big] as const));
  device.notifyChanges(1, 2, values);
  const told = end.ofType('notification').slice(1);
  expect(told.length).toBeGreaterThan(1);
  expect(told.flatMap(({ changes }) => [...changes.keys()])).toEqual([10, 11, 12, 13, 14]);
  time.runTo(60_000);
  const heartbeats = end.ofType('notification').slice(1 + told.length);
  expect(heartbeats.flatMap(({ changes }) => [...changes.keys()])).toEqual([7, 10, 11, 12, 13, 14]);
  expect([device.connections, device.subscriptions]).toEqual([1, 1]);
});
