// A client that keeps its connection, in virtual time, against devices in memory.

import { expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import type { ClientSubscription } from '../../src/interaction/client-subscription.js';
import { Device, type DeviceHandlers } from '../../src/interaction/device.js';
import {
  InteractionClient,
  type InteractionClientOptions,
} from '../../src/interaction/interaction-client.js';
import type { Request } from '../../src/interaction/messages.js';
import type { SubscriptionListener } from '../../src/interaction/requester.js';
import type { SubscriptionManagerOptions, SubscriptionTerms } from '../../src/interaction/subscriptions.js';
import type { Value } from '../../src/interaction/values.js';
import { MemoryGateway } from './memory-gateway.js';
import { settled, VirtualTime } from './virtual-time.js';

const endpoint = 1;
const feature = 2;
const terms = (...attributes: number[]) => ({ endpoint, feature, attributes });

interface WorldOptions extends Partial<Omit<InteractionClientOptions, 'connector' | 'wheel'>> {
  readonly handlers?: DeviceHandlers;
  readonly subscriptions?: Partial<SubscriptionManagerOptions<never>>;
}

/** A client, the device that it connects to and all that both are told. */
function world({ handlers, subscriptions, ...options }: WorldOptions = {}) {
  const time = new VirtualTime();
  const values = new Map<number, Value>([
    [7, 1],
    [8, 10],
  ]);
  const asked: (readonly [Request['operation'], unknown])[] = [];
  const events: unknown[][] = [];
  const device = new Device({
    wheel: time.wheel,
    listenerError: (error, source) => events.push([source, (error as Error).message]),
    subscriptions: { minIntervalMs: 0, ...subscriptions },
    handlers: {
      read: (request) => {
        asked.push([request.operation, request.attributes[0]]);
        const { attributes } = request;
        return new Map([...values].filter(([id]) => attributes.length === 0 || attributes.includes(id)));
      },
      write: (request) => {
        for (const [id, value] of request.values) {
          values.set(id, value);
          asked.push([request.operation, value]);
        }
        return undefined;
      },
      ...handlers,
    },
  });
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
  client.on('stateChange', (_, to) => events.push([to]));
  client.on('reconnecting', (attempt, delayMs) => events.push(['reconnecting', attempt, delayMs]));
  client.on('attemptFailed', (error, attempt) => events.push(['failed', attempt, (error as Error).message]));
  client.on('resubscribed', ({ terms: { attributes } }) => events.push(['resubscribed', ...attributes]));
  client.on('resubscribeFailed', ({ terms: { attributes } }, error) =>
    events.push(['resubscribeFailed', ...attributes, (error as Error).message]),
  );
  client.on('listenerError', (error, source) => events.push([source, (error as Error).message]));
  const runTo = (atMs: number): Promise<void> => time.passTo(atMs);
  const set = (attribute: number, value: Value): void => {
    values.set(attribute, value);
    device.notifyChange(endpoint, feature, attribute, value);
  };
  return { time, values, asked, device, gateway, client, events, runTo, set };
}

function listening(log: unknown[], attribute = 7): SubscriptionListener {
  return {
    notified: ({ kind, changes }) => log.push([kind, changes.get(attribute)]),
    stale: (reason) => log.push(reason),
  };
}

const cut = () => new HawserError('ERR_HAWSER_CONNECTION_LOST', 'cut');

// ---- Subscriptions ---------------------------------------------------------------------------------------------------

test('TC-PROTO-012: after a loss nothing is restored; subscribing again gets another id and a priming with what has changed', async () => {
  const { client, gateway, device, runTo, set } = world();
  await client.connect();
  const log: unknown[] = [];
  const first = await client.subscribe(terms(7), listening(log));
  expect(log).toEqual([['priming', 1]]);
  gateway.cut();
  expect(log).toEqual([['priming', 1], 'connectionLost']);
  set(7, 2);
  await runTo(1000);
  expect([client.state, device.subscriptions, first.state]).toEqual(['CONNECTED', 0, 'ENDED']);
  set(7, 3);
  await runTo(200_000);
  expect(log).toHaveLength(2);
  const again = await client.subscribe(terms(7), listening(log));
  expect(again.id).not.toBe(first.id);
  expect(log.slice(2)).toEqual([['priming', 3]]);
});

test('with `resubscribe` all are made anew in their order, the critical ones first, for the same listeners', async () => {
  const { client, gateway, asked, events, runTo, set } = world({ resubscribe: true });
  await client.connect();
  const logs: unknown[][] = [[], [], []];
  const made: ClientSubscription[] = [];
  for (const [index, critical] of [false, false, true].entries()) {
    const attribute = 7 + index;
    made.push(
      await client.subscribe(terms(attribute), listening(logs[index] ?? [], attribute), { critical }),
    );
  }
  const ids = made.map(({ id }) => id);
  asked.length = 0;
  gateway.cut();
  expect(made.map(({ state }) => state)).toEqual(['STALE', 'STALE', 'STALE']);
  set(7, 2);
  await runTo(1000);
  expect(asked).toEqual([
    ['subscribe', 9],
    ['subscribe', 7],
    ['subscribe', 8],
  ]);
  expect(logs[0]).toEqual([['priming', 1], 'connectionLost', ['priming', 2]]);
  expect(events.filter(([name]) => name === 'resubscribed')).toEqual([
    ['resubscribed', 9],
    ['resubscribed', 7],
    ['resubscribed', 8],
  ]);
  expect(made.map(({ state }) => state)).toEqual(['ACTIVE', 'ACTIVE', 'ACTIVE']);
  for (const [index, { id }] of made.entries()) expect(id).not.toBe(ids[index]);
  set(7, 3);
  expect(client.subscriptions).toEqual(made);
  await settled();
  expect(logs[0]?.at(-1)).toEqual(['change', 3]);
});

test('a subscription that cannot be made anew is reported, and tried again with the next connection', async () => {
  let refused = false;
  const { client, gateway, events, runTo } = world({
    resubscribe: true,
    handlers: {
      read: ({ attributes }) =>
        refused && attributes[0] === 7
          ? 'NOT_AUTHORIZED'
          : new Map<number, Value>(attributes.map((each) => [each, 5])),
    },
  });
  await client.connect();
  const logs: unknown[][] = [[], []];
  const one = await client.subscribe(terms(7), listening(logs[0] ?? []));
  const other = await client.subscribe(terms(8), listening(logs[1] ?? [], 8));
  refused = true;
  gateway.cut();
  await runTo(1000);
  expect([one.state, other.state]).toEqual(['STALE', 'ACTIVE']);
  expect(events.filter(([name]) => String(name).startsWith('resub'))).toEqual([
    ['resubscribeFailed', 7, 'the other side answered NOT_AUTHORIZED'],
    ['resubscribed', 8],
  ]);
  refused = false;
  gateway.cut();
  await runTo(2000);
  expect(one.state).toBe('ACTIVE');
  expect(logs[0]).toEqual([['priming', 5], 'connectionLost', ['priming', 5]]);
});

test('a sustained subscription is tried until there is one, with delays that grow, and at once with a new connection', async () => {
  let status: 'BUSY' | undefined = 'BUSY';
  const tried: number[] = [];
  const { client, gateway, time, runTo } = world({
    handlers: {
      read: () => {
        tried.push(time.nowMs);
        return status ?? new Map([[7, 5]]);
      },
    },
  });
  await client.connect();
  const log: unknown[] = [];
  const subscribed = client.subscribe(terms(7), listening(log), { sustained: true });
  let isDone = false;
  void subscribed.then(() => {
    isDone = true;
  });
  await runTo(50_000);
  expect([tried, isDone]).toEqual([[0, 15_000, 45_000], false]);
  gateway.cut();
  await runTo(51_000);
  expect(tried.at(-1)).toBe(51_000);
  status = undefined;
  gateway.cut();
  await runTo(52_000);
  const subscription = await subscribed;
  expect([subscription.state, log]).toEqual(['ACTIVE', [['priming', 5]]]);
  await runTo(300_000);
  expect(tried.at(-1)).toBe(52_000);
  // After a success the delays begin anew.
  status = 'BUSY';
  gateway.cut();
  await runTo(330_000);
  expect(tried.slice(-2)).toEqual([301_000, 316_000]);
  await subscription.unsubscribe();
  await runTo(400_000);
  expect([tried.at(-1), time.wheel.size]).toEqual([316_000, 0]);
});

test('the delays of a sustained subscription end at an hour', async () => {
  const tried: number[] = [];
  const { client, time, runTo } = world({
    handlers: {
      read: () => {
        tried.push(time.nowMs);
        return 'BUSY';
      },
    },
  });
  await client.connect();
  client.subscribe(terms(7), listening([]), { sustained: true }).catch(() => undefined);
  await runTo(20 * 3_600_000);
  const delays = tried.slice(1).map((at, index) => at - (tried[index] ?? 0));
  expect(delays.slice(0, 4)).toEqual([15_000, 30_000, 60_000, 120_000]);
  expect(Math.max(...delays)).toBe(3_600_000);
  expect(delays.at(-1)).toBe(3_600_000);
});

test('a sustained subscription waits for a connection, and gives up when its signal aborts', async () => {
  const { client, device } = world();
  const log: unknown[] = [];
  const waiting = client.subscribe(terms(7), listening(log), { sustained: true });
  await client.connect();
  await waiting;
  expect(log).toEqual([['priming', 1]]);
  await client.disconnect();
  const controller = new AbortController();
  const given = client.subscribe(terms(8), listening(log), { sustained: true, signal: controller.signal });
  controller.abort();
  await expect(given).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  await client.connect();
  await settled();
  expect([device.subscriptions, client.subscriptions.length]).toEqual([1, 1]);
});

test('a sustained subscription that falls silent is made anew over the same connection', async () => {
  const { client, device, runTo, gateway } = world({ connection: { livenessGraceMs: 1000 } });
  await client.connect();
  const log: unknown[] = [];
  const subscription = await client.subscribe({ ...terms(7), maxIntervalMs: 5000 }, listening(log), {
    sustained: true,
  });
  const { id } = subscription;
  const other: unknown[] = [];
  await client.subscribe({ ...terms(8), maxIntervalMs: 5000 }, listening(other, 8));
  gateway.mute = true;
  await runTo(5999);
  expect(log).toEqual([['priming', 1]]);
  gateway.mute = false;
  await runTo(6000);
  expect(log).toEqual([['priming', 1], 'silent', ['priming', 1]]);
  expect(subscription.id).not.toBe(id);
  expect(other.slice(1, 2)).toEqual(['silent']);
  await runTo(6001);
  expect([device.subscriptions, client.state]).toEqual([2, 'CONNECTED']);
});

test('a subscription that is ended while it is made anew stays ended, on both sides', async () => {
  const { client, gateway, device, runTo } = world({ resubscribe: true });
  await client.connect();
  const log: unknown[] = [];
  const subscription = await client.subscribe(terms(7), listening(log));
  client.on('connected', () => void subscription.unsubscribe());
  gateway.cut();
  await runTo(5000);
  expect([subscription.state, device.subscriptions, client.subscriptions.length]).toEqual(['ENDED', 0, 0]);
  expect(log).toEqual([['priming', 1], 'connectionLost']);
});

test('unsubscribing without a connection ends it at once', async () => {
  const { client, gateway, device, runTo } = world({ resubscribe: true });
  await client.connect();
  const subscription = await client.subscribe(terms(7), listening([]));
  gateway.cut();
  await subscription.unsubscribe();
  await runTo(5000);
  expect([client.state, device.subscriptions]).toEqual(['CONNECTED', 0]);
});

test('what a listener throws is told, and the subscription is made anew all the same', async () => {
  const { client, gateway, events, runTo } = world({ resubscribe: true });
  await client.connect();
  const subscription = await client.subscribe(terms(7), {
    notified: () => {
      throw new Error('in notified');
    },
    stale: () => {
      throw new Error('in stale');
    },
  });
  gateway.cut();
  await runTo(1000);
  expect(subscription.state).toBe('ACTIVE');
  const sources = events.filter(([name]) => name === 'notified' || name === 'stale');
  expect(sources).toEqual([
    ['notified', 'in notified'],
    ['stale', 'in stale'],
    ['notified', 'in notified'],
  ]);
});

test('a subscription whose connection is lost with its priming can be ended', async () => {
  const { client, gateway, runTo, device } = world({ resubscribe: true });
  await client.connect();
  const log: unknown[] = [];
  const subscription = await client.subscribe(terms(7), {
    ...listening(log),
    notified: () => gateway.cut(),
  });
  expect([subscription.state, log]).toEqual(['STALE', ['connectionLost']]);
  await subscription.unsubscribe();
  await runTo(5000);
  expect([client.state, device.subscriptions]).toEqual(['CONNECTED', 0]);
});

// ---- Connecting ------------------------------------------------------------------------------------------------------

test('the delays begin anew only once the application has accepted', async () => {
  let accepts = true;
  const { client, gateway, events, runTo } = world({
    accepted: async (connection) => {
      await connection.read(endpoint, feature);
      if (!accepts) throw new Error('wrong credentials');
    },
  });
  await client.connect();
  accepts = false;
  gateway.cut();
  await runTo(1000 + 2000 + 4000);
  expect(gateway.attempts).toEqual([0, 1000, 3000, 7000]);
  expect(events.filter(([name]) => name === 'failed')).toEqual([
    ['failed', 1, 'wrong credentials'],
    ['failed', 2, 'wrong credentials'],
    ['failed', 3, 'wrong credentials'],
  ]);
  expect([client.state, client.connection, gateway.size]).toEqual(['RECONNECTING', undefined, 0]);
  accepts = true;
  await runTo(7000 + 8000);
  expect(client.state).toBe('CONNECTED');
  gateway.cut();
  await runTo(16_000);
  expect(gateway.attempts.at(-1)).toBe(16_000);
});

test('an attempt that the application does not accept in time is given up, and its connection ended', async () => {
  const { client, gateway, events, runTo } = world({ accepted: () => new Promise(() => undefined) });
  client.connect().catch(() => undefined);
  await runTo(29_999);
  expect(gateway.size).toBe(1);
  await runTo(30_000);
  expect(gateway.size).toBe(0);
  expect(events.at(-1)).toEqual(['reconnecting', 1, 1000]);
});

test('a connector that makes no connection fails the attempt', async () => {
  const time = new VirtualTime();
  const client = new InteractionClient({
    connector: async () => undefined,
    wheel: time.wheel,
    reconnection: { autoReconnect: false },
  });
  await expect(client.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
});

const replaced = () => new HawserError('ERR_HAWSER_REPLACED', 'replaced');

test('a client that was replaced does not connect again, until it is told to', async () => {
  const { client, gateway, events, runTo } = world();
  await client.connect();
  gateway.cut(replaced());
  await runTo(100_000);
  expect(gateway.attempts).toEqual([0]);
  expect(events.at(-1)).toEqual(['DISCONNECTED']);
  await client.connect();
  gateway.cut();
  await runTo(101_000);
  expect(gateway.attempts).toEqual([0, 100_000, 101_000]);
});

test.each<[string, NonNullable<InteractionClientOptions['accepted']>]>([
  ['asks', (connection) => connection.invoke(endpoint, feature, 1).then(() => undefined)],
  ['waits for something else', () => new Promise(() => undefined)],
])('so with one that is replaced while the application %s', async (_, accepted) => {
  const { client, gateway, runTo } = world({
    accepted,
    handlers: { invoke: () => new Promise(() => undefined) },
  });
  const outcome = expect(client.connect()).rejects.toBeDefined();
  await settled();
  gateway.cut(replaced());
  await outcome;
  await runTo(100_000);
  expect([gateway.attempts, client.state]).toEqual([[0], 'DISCONNECTED']);
});

test('a connection that is lost while the application accepts fails the attempt at once', async () => {
  const { client, gateway, events, runTo } = world({ accepted: () => new Promise(() => undefined) });
  client.connect().catch(() => undefined);
  await settled();
  gateway.cut();
  await runTo(0);
  expect(events.slice(1)).toEqual([['failed', 0, 'it was cut'], ['RECONNECTING'], ['reconnecting', 1, 1000]]);
});

test.each<[string, WorldOptions]>([
  ['of connections', { connection: { maxServed: 0 } }],
  ['of connections', { connection: { keepAlive: { pingIntervalMs: 0 } } }],
  ['of reconnection', { reconnection: { stableMs: -1 } }],
  ['of reconnection', { reconnection: { reconnectAfter: 5 as unknown as () => boolean } }],
  ['of holding', { hold: { maxAgeMs: 0 } }],
])('wrong options %s are refused before there is a connection: %o', (_, options) => {
  expect(() => world(options)).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }));
});

test('what another attempt can only meet again is not tried again', async () => {
  const time = new VirtualTime();
  let attempts = 0;
  const client = new InteractionClient({
    wheel: time.wheel,
    connector: async () => {
      ++attempts;
      throw new HawserError('ERR_HAWSER_ARGUMENT', 'misspelt');
    },
  });
  await expect(client.connect()).rejects.toThrow('misspelt');
  time.runTo(1_000_000);
  expect([attempts, client.state]).toEqual([1, 'DISCONNECTED']);
});

test('a connector that fails after it has made a connection leaves nothing of it', async () => {
  const time = new VirtualTime();
  const ends: string[] = [];
  const client = new InteractionClient({
    wheel: time.wheel,
    reconnection: { autoReconnect: false },
    connector: async (attach) => {
      attach({ send: () => true, close: (reason) => ends.push(reason), detectsLoss: false });
      throw new Error('late');
    },
  });
  await expect(client.connect()).rejects.toThrow('late');
  expect([time.wheel.size, ends]).toEqual([0, ['not accepted']]);
});

test('wrong options of a close are refused, and nothing of it has happened', async () => {
  const { client, gateway, runTo } = world();
  await expect(client.close({ ackTimeoutMs: -1 })).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  await client.connect();
  await expect(client.disconnect({ ackTimeoutMs: -1 })).rejects.toMatchObject({
    code: 'ERR_HAWSER_ARGUMENT',
  });
  gateway.cut();
  await runTo(1000);
  expect([client.state, gateway.attempts]).toEqual(['CONNECTED', [0, 1000]]);
});

test('the spread that a gateway asks for is kept for one attempt, up to ten minutes', async () => {
  const random = seededRandom(1);
  const { client, gateway, events, runTo } = world({ random, reconnection: { backoff: { jitter: 0 } } });
  await client.connect();
  const farewell = { deadlineMs: 0, elsewhere: undefined };
  gateway.tell((receiver) => receiver.farewell?.({ ...farewell, reconnectSpreadMs: 8_000 }));
  gateway.cut();
  const delayMs = Number(events.at(-1)?.[2]);
  expect(delayMs).toBeGreaterThan(1000);
  expect(delayMs).toBeLessThan(9000);
  await runTo(9000);
  gateway.cut();
  expect(events.at(-1)).toEqual(['reconnecting', 1, 1000]);
  await runTo(20_000);
  // A connection that was not lost does not count.
  await client.disconnect();
  await client.connect();
  gateway.tell((receiver) => receiver.farewell?.({ ...farewell, reconnectSpreadMs: 0xffff_ffff }));
  gateway.cut();
  const greatestMs = Number(events.at(-1)?.[2]);
  expect(greatestMs).toBeGreaterThan(9000);
  expect(greatestMs).toBeLessThanOrEqual(601_000);
});

test('a gateway that will go is left before its deadline, with the answers that it owes; the next one serves the rest', async () => {
  let answered = 0;
  const { client, gateway, time, runTo, asked } = world({
    resubscribe: true,
    hold: {},
    handlers: {
      invoke: async () => {
        await new Promise<void>((resolve) => void time.clock.setTimeout(resolve, 500));
        return { payload: ++answered };
      },
    },
  });
  await client.connect();
  const log: unknown[] = [];
  const subscription = await client.subscribe(terms(7), listening(log));
  const invoked = client.invoke(endpoint, feature, 1);
  gateway.tell((receiver) =>
    receiver.farewell?.({ deadlineMs: 10_000, reconnectSpreadMs: 0, elsewhere: undefined }),
  );
  await runTo(0);
  const written = client.write(endpoint, feature, new Map([[8, 11]]));
  await runTo(400);
  expect([client.state, client.held, gateway.attempts]).toEqual(['CONNECTED', 1, [0]]);
  // Nothing is notified from now on, however long the answers take.
  expect([subscription.state, log]).toEqual(['STALE', [['priming', 1], 'connectionLost']]);
  await runTo(2000);
  expect(await invoked).toBe(1);
  await written;
  expect([client.state, gateway.size]).toEqual(['CONNECTED', 1]);
  expect(gateway.attempts).toEqual([0, 1500]);
  expect(asked.at(-1)).toEqual(['write', 11]);
  expect([subscription.state, log]).toEqual(['ACTIVE', [['priming', 1], 'connectionLost', ['priming', 1]]]);
});

test('without `hold`, what is asked of a gateway that is being left is refused as without a connection', async () => {
  const { client, gateway, runTo } = world({ handlers: { invoke: () => new Promise(() => undefined) } });
  await client.connect();
  const invoked = client.invoke(endpoint, feature, 1);
  invoked.catch(() => undefined);
  gateway.tell((receiver) =>
    receiver.farewell?.({ deadlineMs: 10_000, reconnectSpreadMs: 0, elsewhere: undefined }),
  );
  await runTo(0);
  await expect(client.read(endpoint, feature)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  await runTo(20_000);
  await expect(invoked).rejects.toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
  expect((await client.read(endpoint, feature)).get(7)).toBe(1);
});

test('a client that is disconnected before it would have left leaves nothing behind', async () => {
  const { client, gateway, runTo } = world({ random: () => 0.5 });
  await client.connect();
  gateway.tell((receiver) =>
    receiver.farewell?.({ deadlineMs: 10_000, reconnectSpreadMs: 4000, elsewhere: undefined }),
  );
  await client.disconnect();
  await client.connect();
  await runTo(100_000);
  expect([client.state, gateway.attempts]).toEqual(['CONNECTED', [0, 0]]);
});

test('closing ends the connection, all subscriptions and all attempts, and is no loss', async () => {
  const { client, gateway, device, events, runTo } = world({ resubscribe: true });
  await client.connect();
  const subscription = await client.subscribe(terms(7), listening([]));
  const closed = client.close();
  await runTo(100_000);
  await closed;
  expect(events.map(([name]) => name)).toEqual(['CONNECTING', 'CONNECTED', 'CLOSED']);
  expect([gateway.size, device.subscriptions, subscription.state]).toEqual([0, 0, 'ENDED']);
  await expect(client.read(endpoint, feature)).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  await expect(client.subscribe(terms(7), listening([]))).rejects.toMatchObject({
    code: 'ERR_HAWSER_CLOSED',
  });
  await client.close();
});

test('what outlives a loss outlives a disconnect, and is made anew by the next connect', async () => {
  const { client, gateway, device, runTo } = world();
  await client.connect();
  const logs: unknown[][] = [[], []];
  await client.subscribe(terms(7), listening(logs[0] ?? []), { sustained: true });
  const plain = await client.subscribe(terms(7), listening(logs[1] ?? []));
  await client.disconnect();
  await runTo(100_000);
  expect([client.state, gateway.attempts.length, plain.state]).toEqual(['DISCONNECTED', 1, 'ENDED']);
  await client.connect();
  await settled();
  expect(logs).toEqual([
    [['priming', 1], 'connectionLost', ['priming', 1]],
    [['priming', 1], 'connectionLost'],
  ]);
  expect(device.subscriptions).toBe(1);
});

// ---- Requests without a connection -------------------------------------------------------------------------------------

test('without `hold` requests need a connection, and a loss rejects those that wait', async () => {
  const { client, gateway, runTo } = world({ handlers: { invoke: () => new Promise(() => undefined) } });
  await expect(client.read(endpoint, feature)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  await client.connect();
  const lost = client.invoke(endpoint, feature, 1);
  const outcome = expect(lost).rejects.toMatchObject({
    code: 'ERR_HAWSER_CONNECTION_LOST',
    cause: { code: 'ERR_HAWSER_TIMED_OUT' },
  });
  gateway.cut();
  await outcome;
  await expect(client.read(endpoint, feature)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  await runTo(1000);
  expect((await client.read(endpoint, feature)).get(7)).toBe(1);
});

test('held requests are sent in their order, after the subscriptions are made anew', async () => {
  const { client, gateway, asked, runTo } = world({ resubscribe: true, hold: {} });
  await client.connect();
  await client.subscribe(terms(7), listening([]));
  // On its way when the connection is lost: before all that come later.
  const onItsWay = client.read(endpoint, feature, [6]);
  gateway.cut();
  asked.length = 0;
  const later = [
    client.write(endpoint, feature, new Map([[7, 70]])),
    client.write(endpoint, feature, new Map([[7, 71]])),
    client.read(endpoint, feature, [7]),
  ];
  expect(client.held).toBe(3);
  await settled();
  expect(client.held).toBe(4);
  await runTo(1000);
  expect((await onItsWay).size).toBe(0);
  expect(await later[2]).toEqual(new Map([[7, 71]]));
  expect(asked).toEqual([
    ['subscribe', 7],
    ['read', 6],
    ['write', 70],
    ['write', 71],
    ['read', 7],
  ]);
  expect(client.held).toBe(0);
});

test('a command on its way is not sent again unless it may be: nobody knows whether it was carried out', async () => {
  let runs = 0;
  const { client, gateway, runTo } = world({
    hold: {},
    handlers: {
      invoke: () => {
        ++runs;
        return runs < 3 ? new Promise(() => undefined) : { payload: runs };
      },
    },
  });
  await client.connect();
  const unknown = client.invoke(endpoint, feature, 1);
  const outcome = expect(unknown).rejects.toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
  const again = client.invoke(endpoint, feature, 1, undefined, { idempotent: true });
  await settled();
  gateway.cut();
  await outcome;
  // One that was never sent is.
  const queued = client.invoke(endpoint, feature, 1);
  await runTo(1000);
  expect([await again, await queued, runs]).toEqual([3, 4, 4]);
});

test('what is held is bounded in number, bytes and age', async () => {
  const { client, runTo, gateway, values } = world({
    hold: { maxRequests: 3, maxBytes: 300, maxAgeMs: 5000 },
    reconnection: { backoff: { initialMs: 86_400_000, maxMs: 86_400_000 } },
  });
  await client.connect();
  gateway.cut();
  const big = client.write(endpoint, feature, new Map([[7, 'x'.repeat(250)]]));
  const full = client.write(endpoint, feature, new Map([[7, 'x'.repeat(100)]]));
  await expect(full).rejects.toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
  await runTo(2000);
  const small = [client.read(endpoint, feature), client.read(endpoint, feature)];
  await expect(client.read(endpoint, feature)).rejects.toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
  const outcomes = Promise.allSettled([big, ...small]);
  await runTo(4999);
  expect(client.held).toBe(3);
  await runTo(5000);
  expect(client.held).toBe(2);
  await runTo(7000);
  expect(client.held).toBe(0);
  for (const each of await outcomes) {
    expect(each).toMatchObject({ status: 'rejected', reason: { code: 'ERR_HAWSER_TIMED_OUT' } });
  }
  expect(values.get(7)).toBe(1);
});

test('a held request ends with its signal, and all with the client', async () => {
  const { client, gateway, time } = world({ hold: {} });
  await expect(client.read(endpoint, feature)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  await client.connect();
  gateway.cut();
  const controller = new AbortController();
  const aborted = client.read(endpoint, feature, [], { signal: controller.signal });
  const closed = client.read(endpoint, feature);
  controller.abort();
  await expect(aborted).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  await client.close();
  await expect(closed).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  expect(time.wheel.size).toBe(0);
});

test('requests that wait when the connection is lost again wait again', async () => {
  let losses = 3;
  const w = world({
    hold: {},
    handlers: {
      read: () => {
        if (--losses >= 0) queueMicrotask(() => w.gateway.cut(cut()));
        return new Map([[7, losses]]);
      },
    },
  });
  await w.client.connect();
  const reading = w.client.read(endpoint, feature);
  await w.runTo(10_000);
  expect(await reading).toEqual(new Map([[7, -1]]));
  expect(w.gateway.attempts).toEqual([0, 1000, 2000, 3000]);
});

test('what is asked while subscriptions are made anew waits for them, also when the connection is lost in between', async () => {
  const { client, gateway, asked, runTo } = world({ resubscribe: true, hold: {} });
  await client.connect();
  const all = Array.from({ length: 20 }, (_, index) => index);
  for (const each of all) await client.subscribe(terms(each), listening([]));
  gateway.cut();
  client.once('resubscribed', () => gateway.cut());
  await runTo(1000);
  expect(client.state).toBe('RECONNECTING');
  asked.length = 0;
  client.once('connected', () => void client.write(endpoint, feature, new Map([[7, 70]])));
  await runTo(3000);
  expect(asked).toEqual([...all.map((each) => ['subscribe', each]), ['write', 70]]);
});

test('a subscribe on its way when the connection is lost is sent again, and makes one subscription', async () => {
  const { client, gateway, device, runTo } = world({ resubscribe: true, hold: {} });
  await client.connect();
  const log: unknown[] = [];
  const subscribed = client.subscribe(terms(7), listening(log));
  gateway.cut();
  await runTo(1000);
  await subscribed;
  expect([device.subscriptions, log]).toEqual([1, [['priming', 1]]]);
});

test('eight held requests are on their way at a time, and what is asked meanwhile comes after them', async () => {
  const served: number[] = [];
  const finish: (() => void)[] = [];
  const { client, gateway, runTo } = world({
    hold: {},
    handlers: {
      invoke: ({ command }) => {
        served.push(command);
        return new Promise((resolve) => finish.push(() => resolve({ payload: undefined })));
      },
    },
  });
  await client.connect();
  gateway.cut();
  for (let command = 0; command < 10; ++command) void client.invoke(endpoint, feature, command);
  await runTo(1000);
  expect(served).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  void client.invoke(endpoint, feature, 10);
  for (const each of finish.splice(0, 3)) each();
  await settled();
  expect(served).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
});

test('a loss while held requests are sent keeps those that were not', async () => {
  const served: number[] = [];
  const { client, gateway, runTo } = world({
    hold: {},
    handlers: {
      invoke: ({ command }) => {
        served.push(command);
        return served.length <= 8 ? new Promise(() => undefined) : { payload: command };
      },
    },
  });
  await client.connect();
  gateway.cut();
  const all = Array.from({ length: 10 }, (_, command) => client.invoke(endpoint, feature, command));
  const outcomes = Promise.allSettled(all);
  await runTo(1000);
  gateway.cut();
  await runTo(2000);
  expect(served).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  const statuses = (await outcomes).map(({ status }) => status);
  expect(statuses).toEqual([...Array(8).fill('rejected'), 'fulfilled', 'fulfilled']);
});

test('without another attempt a request on its way is rejected, and not held', async () => {
  const { client, gateway } = world({ hold: {}, reconnection: { autoReconnect: false } });
  await client.connect();
  await settled();
  const reading = client.read(endpoint, feature);
  gateway.cut();
  await expect(reading).rejects.toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
  expect([client.state, client.held]).toEqual(['DISCONNECTED', 0]);
});

test('the age of a held request counts from when it was made, and what has left makes room', async () => {
  const { client, gateway, runTo } = world({
    hold: { maxBytes: 100, maxAgeMs: 5000 },
    reconnection: { backoff: { initialMs: 3000 } },
    handlers: { read: () => new Map(), write: () => new Promise(() => undefined) },
  });
  await client.connect();
  const write = () => client.write(endpoint, feature, new Map([[7, 'x'.repeat(70)]]));
  const lost = write();
  const outcome = expect(lost).rejects.toMatchObject({ code: 'ERR_HAWSER_TIMED_OUT' });
  await runTo(4000);
  gateway.cut();
  await settled();
  await expect(write()).rejects.toMatchObject({ code: 'ERR_HAWSER_QUEUE_FULL' });
  await runTo(4999);
  expect(client.held).toBe(1);
  await runTo(5000);
  await outcome;
  const next = write();
  expect(client.held).toBe(1);
  await client.close();
  await expect(next).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
});

test('a request that is made while the other side closes, or crosses its close, waits for the next connection', async () => {
  let finish: () => void = () => undefined;
  const { client, device, gateway, runTo, time } = world({
    hold: {},
    handlers: { invoke: () => new Promise((resolve) => (finish = () => resolve({ payload: 1 }))) },
  });
  await client.connect();
  await settled();
  const invoked = client.invoke(endpoint, feature, 1);
  await settled();
  const closed = device.close();
  const crossing = client.read(endpoint, feature, [7]);
  await settled();
  expect([client.state, client.connection?.open]).toEqual(['CONNECTED', false]);
  const later = client.read(endpoint, feature, [7]);
  finish();
  expect(await invoked).toBe(1);
  const other = new Device({ wheel: time.wheel, handlers: { read: () => new Map([[7, 5]]) } });
  gateway.accept = (connection) => other.accept(connection);
  await runTo(3000);
  await closed;
  expect(await Promise.all([crossing, later])).toEqual([new Map([[7, 5]]), new Map([[7, 5]])]);
});

test('a subscribe that is ended while it is held stays ended', async () => {
  const { client, gateway, runTo, device } = world({ hold: {}, resubscribe: true });
  await client.connect();
  await settled();
  gateway.cut();
  const log: unknown[] = [];
  const subscribing = client.subscribe(terms(7), listening(log));
  const outcome = expect(subscribing).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  await client.subscriptions[0]?.unsubscribe();
  await runTo(3000);
  await outcome;
  expect([log, device.subscriptions, client.subscriptions]).toEqual([[], 0, []]);
});

test('requests on their way that find no room to wait are told that the connection was lost', async () => {
  const { client, gateway } = world({ hold: { maxRequests: 1 } });
  await client.connect();
  await settled();
  const one = client.write(endpoint, feature, new Map([[7, 2]]));
  const other = client.write(endpoint, feature, new Map([[8, 3]]));
  one.catch(() => undefined);
  gateway.cut();
  // Not that there was no room: it may have been carried out.
  await expect(other).rejects.toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
});

test('a command that could not be sent waits, for nobody has carried it out', async () => {
  const served: number[] = [];
  const { client, gateway, runTo } = world({
    hold: {},
    handlers: {
      invoke: ({ command }) => {
        served.push(command);
        return { payload: command };
      },
    },
  });
  await client.connect();
  await settled();
  let invoked: Promise<unknown> | undefined;
  await client.subscribe(terms(7), {
    notified: () => undefined,
    stale: () => {
      invoked = client.invoke(endpoint, feature, 3);
    },
  });
  gateway.cut();
  await runTo(3000);
  expect([await invoked, served]).toEqual([3, [3]]);
});

test('each attempt of a sustained subscription has the timeout that was given, which is checked', async () => {
  const { client, gateway, events, runTo } = world();
  await client.connect();
  const wrong = client.subscribe(terms(7), listening([]), { sustained: true, timeoutMs: -5 });
  await expect(wrong).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  gateway.mute = true;
  client.subscribe(terms(7), listening([]), { sustained: true, timeoutMs: 1000 }).catch(() => undefined);
  await runTo(17_000);
  expect(events.filter(([name]) => name === 'resubscribeFailed')).toHaveLength(2);
});

test.each<[unknown, unknown]>([
  [terms(7), undefined],
  [terms(7), { notified: 5 }],
  [terms(7), { notified: () => undefined, stale: 5 }],
  [terms(7), { notified: () => undefined, changed: () => undefined }],
  [{ endpoint, feature }, listening([])],
  [{ ...terms(7), maxInterval: 5 }, listening([])],
])('it is not subscribed to %o with the listener %o', async (asked, listener) => {
  const { client } = world();
  await client.connect();
  const subscribing = client.subscribe(asked as SubscriptionTerms, listener as SubscriptionListener);
  await expect(subscribing).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
});

test('a command whose handler threw is not sent again, though the other side closes: it may be half done', async () => {
  let runs = 0;
  const { client, device, runTo, gateway, time } = world({
    hold: {},
    handlers: {
      invoke: () => {
        ++runs;
        void device.close();
        throw new Error('half-way');
      },
    },
  });
  await client.connect();
  await settled();
  const other = new Device({ wheel: time.wheel, handlers: { invoke: () => ({ payload: ++runs }) } });
  gateway.accept = (connection) => other.accept(connection);
  const invoked = client.invoke(endpoint, feature, 1);
  await expect(invoked).rejects.toMatchObject({ status: 'BUSY' });
  await runTo(20_000);
  expect(runs).toBe(1);
});

test('a close of the other side while held requests are sent lets them wait, and others have their turn', async () => {
  const { client, device, gateway, runTo, time, values } = world({
    hold: {},
    handlers: { invoke: () => new Promise(() => undefined) },
  });
  await client.connect();
  gateway.cut();
  const all = Array.from({ length: 8 }, () => client.invoke(endpoint, feature, 1));
  for (const each of all) each.catch(() => undefined);
  const written = client.write(endpoint, feature, new Map([[7, 70]]));
  await runTo(1000);
  void device.close({ drainTimeoutMs: 100 });
  const next = new Device({
    wheel: time.wheel,
    handlers: {
      write: (request) => {
        for (const [id, value] of request.values) values.set(id, value);
        return undefined;
      },
    },
  });
  gateway.accept = (connection) => next.accept(connection);
  await runTo(20_000);
  await written;
  expect([values.get(7), client.held]).toEqual([70, 0]);
});

test('closing while a connector still connects, or an application that throws at once, rejects and nothing else', async () => {
  const time = new VirtualTime();
  let finish: () => void = () => undefined;
  const slow = new InteractionClient({
    wheel: time.wheel,
    accepted: async () => undefined,
    connector: (attach) =>
      new Promise((resolve) => {
        finish = () => {
          attach({ send: () => true, close: () => undefined, detectsLoss: true });
          resolve();
        };
      }),
  });
  const outcome = expect(slow.connect()).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  await settled();
  await slow.close();
  finish();
  await outcome;
  const { client } = world({
    reconnection: { autoReconnect: false },
    accepted: () => {
      throw new Error('at once');
    },
  });
  await expect(client.connect()).rejects.toThrow('at once');
  await settled();
});
