// What the source document shows, with its defaults, through all of this layer: a client, its connection and a device.

import { expect, test } from 'vitest';
import { Device, type DeviceHandlers } from '../../src/interaction/device.js';
import {
  InteractionClient,
  type InteractionClientOptions,
} from '../../src/interaction/interaction-client.js';
import type { Value } from '../../src/interaction/values.js';
import { MemoryGateway } from './memory-gateway.js';
import { settled, VirtualTime } from './virtual-time.js';

const endpoint = 1;
const feature = 2;
const terms = { endpoint, feature, attributes: [7] };

/** A client and a device with nothing but defaults, unless a test says otherwise. */
async function meet(handlers: DeviceHandlers = {}, options: Partial<InteractionClientOptions> = {}) {
  const time = new VirtualTime();
  const values = new Map<number, Value>([[7, 'start']]);
  const device = new Device({ wheel: time.wheel, handlers: { read: () => new Map(values), ...handlers } });
  const gateway = new MemoryGateway(
    () => time.nowMs,
    (connection) => device.accept(connection),
  );
  const client = new InteractionClient({
    connector: gateway.connector,
    wheel: time.wheel,
    random: () => 0,
    ...options,
  });
  const log: unknown[] = [];
  const heard = (...words: unknown[]): void => void log.push([time.nowMs, ...words]);
  client.on('stateChange', (_, to) => heard(to));
  client.on('disconnected', () => heard('disconnected'));
  client.on('reconnecting', (attempt, delayMs) => heard('reconnecting', attempt, delayMs));
  client.on('connected', () => heard('connected'));
  client.on('unexpectedReply', ({ messageId }) => heard('unexpectedReply', messageId));
  client.on('latency', (latencyMs) => heard('latency', latencyMs));
  await client.connect();
  const runTo = (atMs: number): Promise<void> => time.passTo(atMs);
  const change = (value: Value): void => {
    values.set(7, value);
    device.notifyChange(endpoint, feature, 7, value);
  };
  const listener = {
    notified: ({ kind, changes }: { kind: string; changes: ReadonlyMap<number, Value> }) =>
      heard(kind, changes.get(7)),
    stale: (reason: string) => heard('stale', reason),
  };
  log.length = 0;
  return { time, device, gateway, client, log, heard, runTo, change, listener };
}

test('a change at 0 and another at 0.5 s are one notification at 1.0 s with the second; a heartbeat follows after 60 s', async () => {
  const { client, log, runTo, change, listener } = await meet();
  await client.subscribe(terms, listener);
  change('A');
  await runTo(500);
  change('B');
  await runTo(121_000);
  expect(log).toEqual([
    [0, 'priming', 'start'],
    [1000, 'change', 'B'],
    [61_000, 'heartbeat', 'B'],
    [121_000, 'heartbeat', 'B'],
  ]);
});

test('a keep-alive that is not answered leads to a new connection, as the source document says step by step', async () => {
  const { client, gateway, heard, log, runTo, change, listener } = await meet(
    { invoke: () => new Promise(() => undefined) },
    { connection: { keepAlive: { source: 'ping' }, livenessGraceMs: false } },
  );
  await client.subscribe(terms, listener);
  gateway.mute = true;
  await runTo(80_000);
  client.invoke(endpoint, feature, 1).catch((error) => heard(error.code, error.cause?.code));
  gateway.mute = true;
  change('missed');
  await runTo(94_999);
  expect(log).toEqual([[0, 'priming', 'start']]);
  await runTo(95_999);
  await settled();
  // Keep-alive detects; subscriptions are stale; the manager is notified; what waits is rejected; the delay begins.
  expect(log.slice(1)).toEqual([
    [95_000, 'stale', 'connectionLost'],
    [95_000, 'RECONNECTING'],
    [95_000, 'disconnected'],
    [95_000, 'reconnecting', 1, 1000],
    [95_000, 'ERR_HAWSER_CONNECTION_LOST', 'ERR_HAWSER_TIMED_OUT'],
  ]);
  log.length = 0;
  await runTo(200_000);
  expect(log.slice(0, 2)).toEqual([
    [96_000, 'CONNECTED'],
    [96_000, 'connected'],
  ]);
  // Nothing is restored by itself, and subscribing again misses nothing.
  expect(log.slice(2).every((each) => (each as unknown[])[1] === 'latency')).toBe(true);
  await client.subscribe(terms, listener);
  expect(log.at(-1)).toEqual([200_000, 'priming', 'missed']);
});

test('a connection that the other side closes is made anew', async () => {
  const { client, device, gateway, log, runTo, time } = await meet();
  const closed = device.close();
  const next = new Device({ wheel: time.wheel, handlers: {} });
  gateway.accept = (connection) => next.accept(connection);
  await runTo(5000);
  await closed;
  expect(log.map((each) => (each as unknown[]).slice(1))).toEqual([
    ['RECONNECTING'],
    ['disconnected'],
    ['reconnecting', 1, 1000],
    ['CONNECTED'],
    ['connected'],
  ]);
  expect(client.state).toBe('CONNECTED');
});

test('a request that was given up may still be carried out, and its late reply is counted', async () => {
  let done = 0;
  const finish: (() => void)[] = [];
  const { client, log, runTo } = await meet(
    {
      invoke: () =>
        new Promise((resolve) => {
          finish.push(() => {
            ++done;
            resolve({ payload: undefined });
          });
        }),
    },
    { connection: { requestTimeoutMs: 20_000 } },
  );
  const waiting = client.invoke(endpoint, feature, 1);
  const outcome = expect(waiting).rejects.toMatchObject({ code: 'ERR_HAWSER_TIMED_OUT' });
  await runTo(20_000);
  await outcome;
  expect(done).toBe(0);
  finish[0]?.();
  await settled();
  expect([done, log]).toEqual([1, [[20_000, 'unexpectedReply', 1]]]);
});

test('a ping with string keys, as the source document shows it, gets a pong with its sequence', async () => {
  const { gateway } = await meet();
  const sent: string[] = [];
  gateway.onSent = (message) => sent.push(Buffer.from(message).toString('latin1'));
  // {"type": "ping", "seq": 7}
  const ping = Buffer.from('a264747970656470696e676373657107', 'hex');
  gateway.tell((receiver) => receiver.message(ping));
  await settled();
  // {0: 4, 1: 2, 2: 7}
  expect(sent.map((each) => Buffer.from(each, 'latin1').toString('hex'))).toEqual(['a3000401020207']);
});
