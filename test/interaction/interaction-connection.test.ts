// One interaction connection against another, and against another side that keeps no rule.

import { expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import type { Answer } from '../../src/interaction/interaction-connection.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import { alone, full, listening, notification, pair, read, serving, subscribed, terms } from './ends.js';
import { settled } from './virtual-time.js';

// ---- Requests ------------------------------------------------------------------------------------------------------

test('requests have the ids 1, 2, 3 on the wire, with mash 4, 5, 6', async () => {
  for (const [codec, ids] of [
    [hawserCodec(), [1, 2, 3]],
    [mashCodec(), [4, 5, 6]],
  ] as const) {
    const { one, a } = pair({ codec }, { codec, serve: () => ({ payload: new Map() }) });
    await Promise.all([one.read(1, 1), one.read(1, 1), one.read(1, 1)]);
    expect(a.ofType('request').map(({ messageId }) => messageId)).toEqual(ids);
    expect(one.pending).toBe(0);
  }
});

test('a request without response is rejected after 30 s, and its late reply is counted and nothing else', async () => {
  const { time, connection, end, events, hear } = alone();
  const waiting = connection.read(1, 2);
  const outcome = expect(waiting).rejects.toMatchObject({ code: 'ERR_HAWSER_TIMED_OUT' });
  time.runTo(29_999);
  expect(connection.pending).toBe(1);
  time.runTo(30_000);
  expect(connection.pending).toBe(0);
  await outcome;
  time.runTo(30_001);
  hear({ type: 'response', messageId: 1, status: 'SUCCESS', payload: new Map() });
  expect(events).toEqual([['unexpectedReply', 1]]);
  hear({ type: 'control', control: 'ping', sequence: 9 });
  expect(end.sent.at(-1)).toEqual({ type: 'control', control: 'pong', sequence: 9 });
});

test('both sides ask at once, with the same ids, and each gets its own answer', async () => {
  const serve = (name: string) => (): Answer => ({ payload: name });
  const { one, other } = pair({ serve: serve('one') }, { serve: serve('other') });
  expect(await Promise.all([one.invoke(1, 1, 1), other.invoke(1, 1, 1)])).toEqual(['other', 'one']);
});

test('a response to nothing is told, and harms nothing', async () => {
  const { connection, events, hear } = alone();
  hear({ type: 'response', messageId: 77, status: 'SUCCESS' });
  hear({ type: 'response', messageId: 77, status: 'BUSY' });
  expect(events).toEqual([
    ['unexpectedReply', 77],
    ['unexpectedReply', 77],
  ]);
  expect(connection.open).toBe(true);
});

test('a result that is none rejects its read', async () => {
  const { one } = pair({}, { serve: () => ({ payload: 'no map' }) });
  await expect(one.read(1, 1)).rejects.toMatchObject({ name: 'ProtocolError' });
  expect(one.open).toBe(true);
});

test('a request that cannot be sent is rejected, and nothing of it is left', async () => {
  const { connection, end, hear } = alone();
  end.errors.push(full());
  await expect(connection.subscribe(terms, listening([]))).rejects.toMatchObject({
    code: 'ERR_HAWSER_QUEUE_FULL',
  });
  expect(connection.pending).toBe(0);
  hear(subscribed(1, 5));
  expect(end.sent).toEqual([]);
});

// ---- Answers -------------------------------------------------------------------------------------------------------

test('whatever `serve` does the request gets an answer', async () => {
  const never = new Promise<never>(() => undefined);
  const answers: (() => unknown)[] = [
    () => {
      throw new Error('thrown');
    },
    () => Promise.reject(new Error('rejected')),
    () => undefined,
    () => Promise.resolve(null),
    () => ({ error: 'NO_STATUS' }),
    () => ({ payload: Symbol('no value') }),
    () => ({ payload: 'x'.repeat(70_000) }),
    () => ({ error: 'BUSY', detail: 'x'.repeat(70_000) }),
    // biome-ignore lint/suspicious/noThenProperty: a promise of another library.
    () => ({ then: (resolve: (answer: Answer) => void) => resolve({ error: 'READ_ONLY' }) }),
    () => never,
  ];
  const { time, end, events, hear } = alone({ serve: () => answers.shift()?.() as Answer });
  for (let id = 1; id <= 10; ++id) hear(read(id));
  await settled();
  time.runTo(25_000);
  const statuses = end.ofType('response').map(({ messageId, status }) => [messageId, status] as const);
  expect(new Map(statuses)).toEqual(
    new Map([
      [1, 'BUSY'],
      [2, 'BUSY'],
      [3, 'BUSY'],
      [4, 'BUSY'],
      [5, 'BUSY'],
      [6, 'BUSY'],
      [7, 'RESOURCE_EXHAUSTED'],
      [8, 'RESOURCE_EXHAUSTED'],
      [9, 'READ_ONLY'],
      [10, 'TIMEOUT'],
    ]),
  );
  expect(statuses).toHaveLength(10);
  expect(events.map(([source]) => source)).toEqual(Array(8).fill('serve'));
});

test('what fails, or takes too long, does not use up the requests that are served at a time', async () => {
  const answers: (() => unknown)[] = [
    () => ({ payload: Symbol('no value') }),
    () => Promise.resolve({ payload: Symbol('no value') }),
    () => new Promise(() => undefined),
  ];
  const { time, end, hear } = alone({
    maxServed: 1,
    serve: () => (answers.shift()?.() ?? { payload: 1 }) as Answer,
  });
  for (const id of [1, 2]) {
    hear(read(id));
    await settled();
  }
  hear(read(3));
  hear(read(4));
  time.runTo(25_000);
  hear(read(5));
  hear(read(6));
  const statuses = end.ofType('response').map(({ messageId, status }) => [messageId, status]);
  expect(statuses).toEqual([
    [1, 'BUSY'],
    [2, 'BUSY'],
    [4, 'BUSY'],
    [3, 'TIMEOUT'],
    [5, 'SUCCESS'],
    [6, 'SUCCESS'],
  ]);
});

test('an answer after its time, or after the end, is not sent', async () => {
  const finish: ((answer: Answer) => void)[] = [];
  const { time, end, connection, hear, events } = alone({
    serve: () => new Promise((resolve) => finish.push(resolve)),
  });
  hear(read(1));
  time.runTo(25_000);
  hear(read(2));
  finish[0]?.({ payload: 1 });
  await settled();
  connection.destroy();
  finish[1]?.({ payload: 1 });
  await settled();
  expect(end.ofType('response').map(({ status }) => status)).toEqual(['TIMEOUT']);
  expect(events).toEqual([['close', undefined]]);
});

test('whoever asks and takes no answers is left', async () => {
  const { end, events, hear } = alone({ serve: () => ({ payload: 1 }) });
  end.errors.push(full());
  hear(read(1));
  hear(read(2));
  expect(end.closings).toEqual(['full']);
  expect(events).toEqual([['close', 'full']]);
});

test('an answer to whoever is gone already is dropped', async () => {
  const { end, connection, events, hear } = alone({ serve: () => Promise.resolve({ payload: 1 }) });
  end.errors.push(new HawserError('ERR_HAWSER_NOT_CONNECTED', 'gone'));
  hear(read(1));
  await settled();
  connection.closed(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'lost'));
  expect(events).toEqual([['close', 'lost']]);
});

test('a request that breaks a rule of its own is answered with why, and what is no message ends the connection', async () => {
  const { end, connection, events } = alone();
  // {0: 1, 1: 5, 2: 99}: there is no operation 99.
  connection.message(Uint8Array.of(0xa3, 0x00, 0x01, 0x01, 0x05, 0x02, 0x18, 99));
  expect(end.ofType('response')).toMatchObject([{ messageId: 5, status: 'UNSUPPORTED' }]);
  expect(connection.open).toBe(true);
  connection.message(Uint8Array.of(0xff));
  expect(connection.open).toBe(false);
  expect(events).toHaveLength(1);
  expect(end.closings).toHaveLength(1);
  connection.message(Uint8Array.of(0xff));
  expect(events).toHaveLength(1);
});

// ---- Subscriptions -------------------------------------------------------------------------------------------------

test('notifications before the response are told after the priming, in their order', async () => {
  const { connection, hear } = alone();
  const log: unknown[] = [];
  const subscription = connection.subscribe(terms, listening(log));
  hear(notification(5, 1));
  hear(notification(6, 99));
  hear(notification(5, 2));
  expect(log).toEqual([]);
  hear(subscribed(1, 5));
  expect(log).toEqual([
    ['priming', 0],
    ['change', 1],
    ['change', 2],
  ]);
  expect(await subscription).toMatchObject({ id: 5, minIntervalMs: 1, maxIntervalMs: 2 });
  expect(connection.unknownNotifications).toBe(1);
});

test('there is one priming, whether it comes before the response, after it or twice', async () => {
  for (const before of [0, 1, 2]) {
    const { connection, hear } = alone();
    const log: unknown[] = [];
    const subscription = connection.subscribe(terms, listening(log));
    const priming = notification(5, 0, { kind: 'priming' });
    for (let count = 0; count < before; ++count) hear(priming);
    hear(subscribed(1, 5));
    hear(priming);
    await subscription;
    expect(log.map((each) => (each as unknown[])[0]).lastIndexOf('priming')).toBe(0);
  }
});

test('too many notifications before a response end the connection', async () => {
  const { connection, hear, events } = alone();
  const outcome = expect(connection.subscribe(terms, listening([]))).rejects.toMatchObject({
    code: 'ERR_HAWSER_CONNECTION_LOST',
  });
  for (let count = 0; count < 256; ++count) hear(notification(count + 1, 0));
  expect(connection.open).toBe(true);
  hear(notification(1, 0));
  expect(events).toEqual([['close', 'too many notifications before a response']]);
  await outcome;
});

test('a subscription id that is there already ends the connection, and nobody is forgotten', async () => {
  const { connection, hear, events } = alone();
  const log: unknown[] = [];
  const first = connection.subscribe(terms, listening(log));
  hear(subscribed(1, 5));
  await first;
  const second = connection.subscribe(terms, listening(log));
  const outcome = expect(second).rejects.toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
  hear(subscribed(2, 5));
  await outcome;
  expect(log).toEqual([['priming', 0], 'connectionLost']);
  expect(events).toEqual([['close', 'subscription 5 is there already']]);
});

test.each([
  ['values of another attribute', subscribed(1, 5, new Map([[8, 0]]))],
  ['no result', { type: 'response', messageId: 1, status: 'SUCCESS' }],
] as const)('a response to a subscribe with %s ends the connection', async (_, response) => {
  const { connection, hear } = alone();
  const outcome = expect(connection.subscribe(terms, listening([]))).rejects.toThrow();
  hear(response);
  await outcome;
  expect([connection.open, connection.pending]).toEqual([false, 0]);
});

test.each([
  ['another endpoint', { endpoint: 9 }],
  ['another feature', { feature: 9 }],
  ['another attribute', { changes: new Map([[8, 0]]) }],
] as const)(
  'a notification of %s than was subscribed to is not told, and ends the connection',
  async (_, more) => {
    const { connection, hear } = alone();
    const log: unknown[] = [];
    const subscription = connection.subscribe(terms, listening(log));
    hear(subscribed(1, 5));
    await subscription;
    hear(notification(5, 1, more));
    expect(log).toEqual([['priming', 0], 'connectionLost']);
    expect(connection.open).toBe(false);
  },
);

test('a subscribe that is given up, and made all the same, is ended', async () => {
  const { time, connection, end, hear, events } = alone();
  const log: unknown[] = [];
  const abort = new AbortController();
  const aborted = connection.subscribe(terms, listening(log), { signal: abort.signal });
  const late = connection.subscribe(terms, listening(log));
  const outcomes = Promise.allSettled([aborted, late]);
  abort.abort();
  // At once, when the rejection has not been handled yet, and much later.
  hear(subscribed(1, 5));
  time.runTo(30_000);
  await outcomes;
  hear(subscribed(2, 6));
  hear(subscribed(2, 7));
  hear(notification(5, 1));
  await settled();
  expect(end.ofType('request').slice(2)).toMatchObject([
    { operation: 'unsubscribe', subscriptionId: 5 },
    { operation: 'unsubscribe', subscriptionId: 6 },
    // Its end was asked for 30 s before, without an answer.
    { operation: 'unsubscribe', subscriptionId: 5 },
  ]);
  expect(log).toEqual([]);
  expect(events).toEqual([
    ['unexpectedReply', 1],
    ['unexpectedReply', 2],
    ['unexpectedReply', 2],
  ]);
  expect(connection.unknownNotifications).toBe(1);
});

test('nothing is told after unsubscribe, and an old subscription does not end a new one with its id', async () => {
  const { connection, end, hear } = alone();
  const log: unknown[] = [];
  const subscribing = connection.subscribe(terms, listening([]));
  hear(subscribed(1, 5));
  const old = await subscribing;
  const ending = old.unsubscribe();
  hear(notification(5, 1));
  expect(connection.unknownNotifications).toBe(1);
  hear({ type: 'response', messageId: 2, status: 'SUCCESS' });
  await ending;
  const again = connection.subscribe(terms, listening(log));
  hear(subscribed(3, 5));
  await again;
  await old.unsubscribe();
  hear(notification(5, 2));
  expect(log).toEqual([
    ['priming', 0],
    ['change', 2],
  ]);
  expect(end.ofType('request')).toHaveLength(3);
});

test('a subscription ends when either side begins to close, and unsubscribe does not fail then', async () => {
  for (const closesHere of [true, false]) {
    const { connection, end, hear } = alone();
    const subscribing = connection.subscribe(terms, listening([]));
    hear(subscribed(1, 5));
    const subscription = await subscribing;
    if (closesHere) void connection.close();
    else hear({ type: 'control', control: 'close', sequence: 0 });
    expect(connection.open).toBe(false);
    await subscription.unsubscribe();
    expect(end.ofType('request')).toHaveLength(1);
  }
});

test('a subscription that could not be ended when that was wanted is ended with its next notification', async () => {
  const { connection, end, hear } = alone();
  const subscribing = connection.subscribe(terms, listening([]));
  hear(subscribed(1, 5));
  const subscription = await subscribing;
  const ends = (): number[] =>
    end.ofType('request').flatMap((each) => (each.operation === 'unsubscribe' ? each.messageId : []));
  await expect(subscription.unsubscribe({ signal: AbortSignal.abort() })).rejects.toMatchObject({
    code: 'ERR_HAWSER_ABORTED',
  });
  expect(ends()).toEqual([]);
  hear(notification(5, 1));
  hear(notification(5, 2));
  expect(ends()).toEqual([2]);
  hear({ type: 'response', messageId: 2, status: 'BUSY' });
  await settled();
  hear(notification(5, 3));
  expect(ends()).toEqual([2, 3]);
  hear({ type: 'response', messageId: 3, status: 'SUCCESS' });
  await settled();
  expect([connection.unknownNotifications, connection.pending]).toEqual([3, 0]);
});

test('whoever notifies of a thousand subscriptions that are none is asked to end a few at a time', () => {
  const { connection, end, hear } = alone();
  for (let id = 1; id <= 1000; ++id) hear(notification(id, 1));
  expect([connection.unknownNotifications, end.ofType('request').length]).toEqual([1000, 16]);
});

// ---- Listeners -----------------------------------------------------------------------------------------------------

test('a listener that throws keeps nobody from being told', async () => {
  const { connection, hear, events } = alone();
  const fail = (): never => {
    throw new Error('mine');
  };
  const log: unknown[] = [];
  const first = connection.subscribe(terms, { notified: fail, stale: fail });
  const second = connection.subscribe(terms, listening(log));
  hear(subscribed(1, 5));
  hear(subscribed(2, 6));
  await Promise.all([first, second]);
  hear(notification(5, 1));
  connection.closed(undefined);
  expect(log).toEqual([['priming', 0], 'connectionLost']);
  expect(events).toEqual([
    ['notified', 'mine'],
    ['notified', 'mine'],
    ['stale', 'mine'],
    ['close', undefined],
  ]);
});

test('a listener may end the connection, and nothing is told after that', async () => {
  const { connection, hear, end, events } = alone();
  const log: unknown[] = [];
  const subscription = connection.subscribe(
    terms,
    listening(log, {
      notified: ({ kind }) => {
        log.push(kind);
        connection.destroy('enough');
      },
      stale: (reason) => {
        log.push(reason);
        connection.destroy('again');
      },
    }),
  );
  connection.on('close', () => connection.destroy('and again'));
  const waiting = expect(connection.read(1, 2)).rejects.toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
  hear(notification(5, 1));
  hear(notification(5, 2));
  hear(subscribed(1, 5));
  hear(notification(5, 3));
  await Promise.all([waiting, subscription]);
  expect(log).toEqual(['priming', 'connectionLost']);
  expect(events).toEqual([['close', undefined]]);
  expect(end.closings).toEqual(['enough']);
  expect(end.ofType('control')).toEqual([]);
});

// ---- Keep-alive ----------------------------------------------------------------------------------------------------

test('TC-PROTO-007: after 30 s of silence a ping goes out, and the other side answers without any application', async () => {
  const { time, a, b, one } = pair({}, { keepAlive: { source: 'transport' } }, false);
  const latencies: number[] = [];
  one.on('latency', (latencyMs) => latencies.push(latencyMs));
  time.runTo(29_999);
  expect(a.sent).toEqual([]);
  for (const sequence of [1, 2]) {
    time.runTo(30_000 * sequence);
    time.nowMs += 20;
    await settled();
    expect(a.ofType('control').at(-1)).toEqual({ type: 'control', control: 'ping', sequence });
    expect(b.ofType('control').at(-1)).toEqual({ type: 'control', control: 'pong', sequence });
  }
  expect(latencies).toEqual([20, 20]);
});

test('TC-PROTO-008: a side that answers no ping is given up after 95 s, with its requests and subscriptions', async () => {
  const { time, connection, end, hear, events } = alone({ detectsLoss: false });
  const log: unknown[] = [];
  const subscription = connection.subscribe(terms, listening(log));
  hear(subscribed(1, 5));
  await subscription;
  time.runTo(90_000);
  const waiting = expect(connection.read(1, 2)).rejects.toMatchObject({
    code: 'ERR_HAWSER_CONNECTION_LOST',
    message: 'the connection was lost (the other side answers no ping)',
  });
  time.runTo(94_999);
  expect(end.ofType('control').map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  expect(connection.open).toBe(true);
  time.runTo(95_000);
  await waiting;
  expect(events).toEqual([['close', 'the other side answers no ping']]);
  expect([log.at(-1), end.closings.length]).toEqual(['connectionLost', 1]);
  time.runTo(300_000);
  expect(end.ofType('control')).toHaveLength(3);
});

test('over a connection that detects losses no ping is sent, and pings are answered', () => {
  const { time, end, hear } = alone();
  time.runTo(300_000);
  expect(end.sent).toEqual([]);
  hear({ type: 'control', control: 'ping', sequence: 4_294_967_295 });
  expect(end.sent).toEqual([{ type: 'control', control: 'pong', sequence: 4_294_967_295 }]);
});

// ---- A device ------------------------------------------------------------------------------------------------------

test.each([hawserCodec(), mashCodec()])(
  '$name: a subscribe whose values are too long is refused, and there is no subscription',
  (codec) => {
    const { device, end, subscribe } = serving(() => 'x'.repeat(70_000), { codec });
    subscribe(9);
    expect(end.ofType('response')).toMatchObject([{ messageId: 9, status: 'RESOURCE_EXHAUSTED' }]);
    expect(device.subscriptions).toBe(0);
  },
);

test('changes for which there is no room wait for it', () => {
  const { device, end, connection, subscribe } = serving(() => 0);
  subscribe(1);
  end.errors.push(full());
  device.notifyChange(1, 2, 7, 1);
  device.notifyChange(1, 2, 7, 2);
  expect(end.ofType('notification')).toHaveLength(1);
  connection.drained();
  expect(end.ofType('notification').map(({ changes }) => changes.get(7))).toEqual([0, 2]);
  expect(connection.open).toBe(true);
});

test('a subscriber who cannot be told of a change hears of it by the end of the connection', () => {
  const { device, end, connection, errors, subscribe } = serving(() => 0);
  subscribe(1);
  device.notifyChange(1, 2, 7, 'x'.repeat(70_000));
  expect(errors).toEqual(['notify']);
  expect([connection.open, device.subscriptions]).toEqual([false, 0]);
  expect(end.closings).toEqual(['a subscription ended: failed']);
});

test('notifications of a subscription that is being ended do not count as early ones of another', async () => {
  const { connection, events, hear } = alone();
  const first = connection.subscribe(terms, listening([]));
  hear(subscribed(1, 9));
  void (await first).unsubscribe();
  void connection.subscribe(terms, listening([]));
  for (let count = 1; count <= 257; ++count) hear(notification(9, count));
  expect([connection.open, events]).toEqual([true, []]);
});

test('an answer that comes too late is undone', async () => {
  let undone = 0;
  let answer: (late: Answer) => void = () => undefined;
  const { time, hear, end } = alone({ serve: () => new Promise((resolve) => (answer = resolve)) });
  hear(read(1));
  time.runTo(25_000);
  expect(end.ofType('response').map(({ status }) => status)).toEqual(['TIMEOUT']);
  answer({ payload: undefined, undo: () => ++undone });
  await settled();
  expect(undone).toBe(1);
});

test('after the end no timer of what was being served is left', () => {
  const { time, hear, connection } = alone({ serve: () => new Promise(() => undefined) });
  hear(read(1));
  connection.destroy();
  expect(time.wheel.size).toBe(0);
});

test('who pings and reads nothing gets one pong, the latest, once there is room', () => {
  const { end, hear, connection } = alone();
  end.hasRoom = false;
  for (let sequence = 1; sequence <= 1000; ++sequence) hear({ type: 'control', control: 'ping', sequence });
  expect(end.ofType('control')).toEqual([{ type: 'control', control: 'pong', sequence: 1 }]);
  end.hasRoom = true;
  connection.drained();
  hear({ type: 'control', control: 'ping', sequence: 1001 });
  expect(end.ofType('control').map(({ sequence }) => sequence)).toEqual([1, 1000, 1001]);
});

test('early notifications are bounded in bytes, and those that found their subscriber count no more', async () => {
  const big = 'x'.repeat(2000);
  const { connection, hear } = alone();
  const subscribing = Array.from({ length: 40 }, () => connection.subscribe(terms, listening([])));
  for (let id = 1; id <= 40; ++id) {
    hear(notification(id, big, { kind: 'priming' }));
    hear(subscribed(id, id, new Map([[7, big]])));
  }
  await Promise.all(subscribing);
  expect(connection.open).toBe(true);
  const other = alone();
  other.connection.subscribe(terms, listening([])).catch(() => undefined);
  for (let id = 1; id <= 33; ++id) other.hear(notification(id, big));
  expect(other.events).toEqual([['close', 'too many notifications before a response']]);
});

test('an answer that is too long for its message ends nothing, and is told to those who listen', () => {
  const answers = ['x'.repeat(70_000), new Map([[1, [[[[[[[[1]]]]]]]]]])];
  const quiet = alone({ serve: () => ({ payload: answers.shift() ?? null }) });
  quiet.connection.removeAllListeners('listenerError');
  // An uncaught exception would fail the test.
  quiet.hear(read(1));
  quiet.hear(read(2));
  expect(quiet.end.ofType('response').map(({ status }) => status)).toEqual(['RESOURCE_EXHAUSTED', 'BUSY']);
  expect(quiet.connection.open).toBe(true);
});

test('who is replaced while the connection closes is told so', async () => {
  const { connection, events } = alone();
  void connection.close();
  connection.closed(new HawserError('ERR_HAWSER_REPLACED', 'replaced'));
  expect(events.at(-1)).toEqual(['close', 'replaced']);
});
