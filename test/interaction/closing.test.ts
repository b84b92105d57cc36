// The graceful end of a connection: against the same on the other side, and against another side that keeps no rule.

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import type {
  Answer,
  CloseOptions,
  InteractionConnection,
} from '../../src/interaction/interaction-connection.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import type { Control } from '../../src/interaction/messages.js';
import { alone, End, full, listening, notification, pair, read, serving, subscribed, terms } from './ends.js';
import { settled } from './virtual-time.js';

const codecs = [hawserCodec(), mashCodec()] as const;
const close: Control = { type: 'control', control: 'close', sequence: 0 };
const lost = { code: 'ERR_HAWSER_CONNECTION_LOST' };

/** Answers that are given when the test says so. */
function late(): { readonly serve: () => Promise<Answer>; readonly finish: ((answer: Answer) => void)[] } {
  const finish: ((answer: Answer) => void)[] = [];
  return { serve: () => new Promise((resolve) => finish.push(resolve)), finish };
}

/** What becomes of a connection. */
function fates(...connections: InteractionConnection[]): string[] {
  const log: string[] = [];
  connections.forEach((connection, index) => {
    connection.on('closing', () => log.push(`${index} closing`));
    connection.on('close', (error) => log.push(`${index} ${error?.message ?? 'closed'}`));
  });
  return log;
}

describe.each(codecs)('$name', (codec) => {
  test('a close is answered with a close, and whoever began ends the connection', async () => {
    const { one, other, a, b, time } = pair({ codec }, { codec });
    const log = fates(one, other);
    await one.close({ reason: 'enough' });
    expect(a.sent).toEqual([close]);
    expect(b.sent).toEqual([close]);
    expect([a.closings, b.closings]).toEqual([['enough'], []]);
    expect(log).toEqual(['0 closing', '1 closing', '0 closed', '1 closed']);
    expect(time.wheel.size).toBe(0);
  });

  test('what was asked before is answered, and what is asked after is refused', async () => {
    const { serve, finish } = late();
    const { one, other, b } = pair({ codec, serve }, { codec, serve });
    const ours = one.invoke(1, 1, 1);
    const theirs = other.invoke(1, 1, 2);
    await settled();
    const closed = one.close();
    const late1 = expect(one.read(1, 1)).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    // It has not heard of it yet.
    const late2 = expect(other.read(1, 1)).rejects.toMatchObject({ status: 'BUSY' });
    await settled();
    const late3 = expect(other.read(1, 1)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
    await Promise.all([late1, late2, late3]);
    expect([one.open, other.open, b.closings]).toEqual([false, false, []]);
    finish[0]?.({ payload: new Map([[1, 1]]) });
    expect(await ours).toEqual(new Map([[1, 1]]));
    finish[1]?.({ payload: new Map([[1, 2]]) });
    expect(await theirs).toEqual(new Map([[1, 2]]));
    await closed;
    await expect(one.read(1, 1)).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
    await expect(other.read(1, 1)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  });

  test('both may close at once, and neither answers the other with a third close', async () => {
    const { serve, finish } = late();
    const { one, other, a, b } = pair({ codec, serve }, { codec, serve });
    const asked = [one.invoke(1, 1, 1), other.invoke(1, 1, 1)];
    await settled();
    const closed = Promise.all([one.close(), other.close()]);
    await settled();
    for (const each of finish) each({ payload: new Map() });
    expect(await Promise.all(asked)).toEqual([new Map(), new Map()]);
    await closed;
    for (const end of [a, b])
      expect(end.ofType('control').filter(({ control }) => control === 'close')).toEqual([close]);
  });

  test('the answers of whoever ends the connection have arrived before it does', async () => {
    const { serve, finish } = late();
    const { connection, end, hear } = alone({ codec, serve });
    hear(read(7));
    void connection.close();
    hear(close);
    finish[0]?.({ payload: new Map() });
    await settled();
    expect(end.sent.slice(1)).toMatchObject([
      { type: 'response', messageId: 7, status: 'SUCCESS' },
      { type: 'control', control: 'ping', sequence: 0 },
    ]);
    // A request in between: its refusal has to arrive, too.
    hear(read(8));
    hear({ type: 'control', control: 'pong', sequence: 0 });
    expect(end.closings).toEqual([]);
    expect(end.sent.slice(3)).toMatchObject([
      { type: 'response', messageId: 8, status: 'BUSY' },
      { type: 'control', control: 'ping', sequence: 0 },
    ]);
    hear({ type: 'control', control: 'pong', sequence: 0 });
    expect(end.closings).toEqual(['']);
  });
});

test('mash: a close comes and goes as mash-go has it, and its sequence is that of the answer', () => {
  const { connection, end } = alone({ codec: mashCodec() });
  const sent: Uint8Array[] = [];
  const send = end.send.bind(end);
  end.send = (bytes) => {
    sent.push(bytes.slice());
    return send(bytes);
  };
  const bytes = Uint8Array.of(0xa2, 0x01, 0x03, 0x02, 0x18, 42);
  connection.message(bytes);
  expect(sent).toEqual([bytes]);
  void connection.close();
  expect(sent).toEqual([bytes]);
});

// ---- Another side that does not do its part ------------------------------------------------------------------------

test('a side that does not answer is waited for 5 s', async () => {
  const { time, connection, end, events } = alone();
  const closed = connection.close();
  time.runTo(4999);
  expect([end.closings, events]).toEqual([[], [['closing']]]);
  time.runTo(5000);
  await closed;
  expect([end.closings, events]).toEqual([[''], [['closing'], ['close', undefined]]]);
});

test('responses are waited for 10 s, with or without an answer to the close', async () => {
  for (const answers of [true, false]) {
    const { time, connection, end, hear } = alone();
    const waiting = expect(connection.read(1, 1)).rejects.toMatchObject(lost);
    const closed = connection.close();
    if (answers) hear(close);
    time.runTo(9999);
    expect([connection.pending, end.closings]).toEqual([1, []]);
    time.runTo(10_000);
    await Promise.all([waiting, closed]);
    expect(end.closings).toEqual(['']);
  }
});

test('the times are those of the options', async () => {
  const cases: [CloseOptions, boolean, number][] = [
    [{ ackTimeoutMs: 100 }, false, 100],
    [{ ackTimeoutMs: 0 }, false, 0],
    [{ ackTimeoutMs: 20_000 }, false, 20_000],
    [{ drainTimeoutMs: 200 }, true, 5000],
    [{ ackTimeoutMs: 100, drainTimeoutMs: 200 }, true, 200],
    [{ ackTimeoutMs: 0, drainTimeoutMs: 0 }, true, 0],
    [{ ackTimeoutMs: 300, drainTimeoutMs: 200 }, true, 300],
  ];
  for (const [options, asks, endMs] of cases) {
    const { time, connection, end } = alone();
    const waiting = asks ? expect(connection.read(1, 1)).rejects.toMatchObject(lost) : undefined;
    const closed = connection.close(options);
    if (endMs > 0) time.runTo(endMs - 1);
    expect(end.closings).toHaveLength(endMs > 0 ? 0 : 1);
    time.runTo(endMs);
    await closed;
    await waiting;
  }
});

test('a request that is given up is not waited for', async () => {
  const { connection, end, hear } = alone();
  const abort = new AbortController();
  const waiting = expect(connection.read(1, 1, [], { signal: abort.signal })).rejects.toMatchObject({
    code: 'ERR_HAWSER_ABORTED',
  });
  const closed = connection.close();
  hear(close);
  expect(end.closings).toEqual([]);
  abort.abort();
  await Promise.all([waiting, closed]);
});

test('whoever is told to close and then left alone ends the connection after 15 s', () => {
  const { time, connection, end, hear, events } = alone();
  hear(close);
  // To be told again puts nothing off.
  time.runTo(10_000);
  hear(close);
  time.runTo(14_999);
  expect([connection.open, end.closings]).toEqual([false, []]);
  time.runTo(15_000);
  expect([end.closings, events]).toEqual([[''], [['closing'], ['close', undefined]]]);
});

test('whoever is told to close may close, too, and then ends the connection as soon as all is answered', async () => {
  const { serve, finish } = late();
  const { connection, end, hear } = alone({ serve });
  hear(read(1));
  hear(close);
  const closed = connection.close({ reason: 'mine' });
  expect(end.sent).toEqual([close]);
  finish[0]?.({ payload: 1 });
  await settled();
  hear({ type: 'control', control: 'pong', sequence: 0 });
  await closed;
  expect(end.closings).toEqual(['mine']);
});

test('a close without room is sent when there is some, and so is the question after it', async () => {
  const { serve, finish } = late();
  const { connection, end, hear } = alone({ serve });
  hear(read(1));
  end.errors.push(full(), full());
  // Nobody else has waited for it.
  connection.on('drained', () => expect.fail('drained'));
  const closed = connection.close();
  connection.drained();
  expect(end.sent).toEqual([]);
  connection.drained();
  connection.drained();
  expect(end.sent).toEqual([close]);
  hear(close);
  finish[0]?.({ payload: 1 });
  end.hasRoom = false;
  await settled();
  expect(end.ofType('control').at(-1)).toMatchObject({ control: 'ping' });
  hear({ type: 'control', control: 'pong', sequence: 0 });
  await closed;
  const refusing = alone();
  refusing.end.errors.push(full());
  refusing.hear(close);
  expect(refusing.end.sent).toEqual([]);
  refusing.connection.drained();
  expect(refusing.end.sent).toEqual([close]);
});

test('a question after the last answer that finds no room is asked again', async () => {
  const { serve, finish } = late();
  const { connection, end, hear } = alone({ serve });
  hear(read(1));
  void connection.close();
  hear(close);
  const send = end.send.bind(end);
  end.send = (bytes) => {
    // After the answer nothing more fits.
    if (end.ofType('response').length > 0) throw full();
    return send(bytes);
  };
  finish[0]?.({ payload: 1 });
  await settled();
  expect(end.ofType('control')).toEqual([close]);
  end.send = send;
  connection.drained();
  expect(end.ofType('control').at(-1)).toMatchObject({ control: 'ping', sequence: 0 });
});

test('closes, requests and pongs without end change nothing, and each request is refused', () => {
  const { time, connection, end, hear, events } = alone({ serve: () => ({ payload: 1 }) });
  for (let round = 0; round < 100; ++round) {
    hear({ ...close, sequence: round });
    hear(read(round + 1));
    hear({ type: 'control', control: 'pong', sequence: 0 });
  }
  expect(end.ofType('control')).toEqual([close]);
  expect(end.ofType('response').map(({ status }) => status)).toEqual(Array(100).fill('BUSY'));
  void connection.close();
  for (let atMs = 100; atMs <= 9900; atMs += 100) {
    time.runTo(atMs);
    hear(read(1));
  }
  time.runTo(9999);
  expect(end.closings).toEqual([]);
  time.runTo(10_000);
  expect(end.closings).toEqual(['']);
  expect(events).toEqual([['closing'], ['close', undefined]]);
});

test('what is no message, and a side that is gone, end the connection also while it closes', async () => {
  const { connection, end, events } = alone();
  const closed = connection.close();
  connection.message(Uint8Array.of(0xff));
  await closed;
  expect([end.closings.length, events.length]).toEqual([1, 2]);
  const silent = alone({ detectsLoss: false, keepAlive: { pingIntervalMs: 100, pongTimeoutMs: 100 } });
  const ended = silent.connection.close({ ackTimeoutMs: 60_000 });
  silent.time.runTo(400);
  await ended;
  expect(silent.events.at(-1)).toEqual(['close', 'the other side answers no ping']);
});

// ---- What is promised ----------------------------------------------------------------------------------------------

test('close has one promise, which resolves when the transport has ended, and also after a loss', async () => {
  const { connection, hear } = alone();
  const closed = connection.close();
  expect(connection.close({ ackTimeoutMs: 0 })).toBe(closed);
  hear(close);
  await closed;
  expect(connection.close()).toBe(closed);
  const gone = alone();
  gone.connection.closed(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'lost'));
  await gone.connection.close();
  await expect(gone.connection.read(1, 1)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
  const broken = alone();
  const until = broken.connection.close();
  let isResolved = false;
  void until.then(() => {
    isResolved = true;
  });
  broken.end.receiver = undefined;
  broken.connection.destroy();
  await settled();
  expect(isResolved).toBe(false);
  broken.connection.closed(undefined);
  await until;
});

test('over a transport that delivers at once each side says once that it closes', async () => {
  for (const both of [false, true]) {
    const { one, other, a, b } = pair();
    for (const end of [a, b]) {
      end.send = (bytes) => {
        end.sent.push(end.codec.decode(bytes));
        end.far?.receiver?.message(bytes);
        return true;
      };
    }
    if (both) one.on('closing', () => void other.close());
    await Promise.all([one.close(), other.close()]);
    expect([a.sent, b.sent]).toEqual([[close], [close]]);
  }
});

test('a transport may tell of its end while it is ended', async () => {
  const { connection, end, hear } = alone();
  end.close = () => connection.closed(undefined);
  const closed = connection.close();
  hear(close);
  await closed;
});

test('wrong options are refused, and the connection goes on', async () => {
  const { connection, end } = alone();
  const wrong = [
    { ackTimeoutMs: -1 },
    { drainTimeoutMs: 86_400_001 },
    { reason: 5 },
    { tiemout: 1 },
    'reason',
  ];
  for (const options of wrong) {
    await expect(connection.close(options as CloseOptions)).rejects.toMatchObject({
      code: 'ERR_HAWSER_ARGUMENT',
    });
  }
  expect([connection.open, end.sent]).toEqual([true, []]);
});

test('`await using` closes', async () => {
  const { one, other, b } = pair();
  {
    await using connection = one;
    expect(connection.open).toBe(true);
  }
  expect([other.open, b.ofType('control')]).toEqual([false, [close]]);
});

// ---- Subscriptions -------------------------------------------------------------------------------------------------

test('the subscriptions of whoever closes end without a word, also what is still on its way', async () => {
  const { connection, hear } = alone();
  const log: unknown[] = [];
  const subscription = connection.subscribe(terms, listening(log));
  hear(subscribed(1, 5));
  await subscription;
  const closed = connection.close();
  hear(notification(5, 1));
  hear(notification(9, 1));
  hear(close);
  await closed;
  expect(log).toEqual([['priming', 0]]);
  expect(connection.unknownNotifications).toBe(0);
});

test('the subscriptions of whoever is told become stale at once, and once', async () => {
  const { time, connection, hear } = alone();
  const log: unknown[] = [];
  const subscription = connection.subscribe(terms, listening(log));
  hear(subscribed(1, 5));
  await subscription;
  hear(close);
  expect(log).toEqual([['priming', 0], 'connectionLost']);
  hear(notification(5, 1));
  time.runTo(15_000);
  expect(log).toEqual([['priming', 0], 'connectionLost']);
});

test('a subscription that is made while its connection closes has its values, and no more', async () => {
  const mine: unknown[] = [];
  const closing = alone();
  const first = closing.connection.subscribe(terms, listening(mine));
  closing.hear(notification(5, 1));
  void closing.connection.close();
  for (let count = 0; count < 1000; ++count) closing.hear(notification(5, 1));
  closing.hear(subscribed(1, 5));
  closing.hear(notification(5, 2));
  expect(await first).toMatchObject({ id: 5 });
  expect(closing.connection.unknownNotifications).toBe(0);
  const theirs: unknown[] = [];
  const told = alone();
  const second = told.connection.subscribe(terms, listening(theirs));
  told.hear(close);
  told.hear(subscribed(1, 5));
  expect(await second).toMatchObject({ id: 5 });
  told.connection.closed(undefined);
  expect([mine, theirs]).toEqual([[['priming', 0]], [['priming', 0], 'connectionLost']]);
});

test('a listener may close or end the connection whenever it hears something', async () => {
  for (const how of ['close', 'destroy'] as const) {
    const log: unknown[] = [];
    const told = alone();
    const { connection, hear, end, events } = told;
    const act = (what: unknown): void => {
      log.push(what);
      void connection[how]();
    };
    const subscription = connection.subscribe(terms, { notified: () => undefined, stale: act });
    hear(subscribed(1, 5));
    await subscription;
    connection.on('closing', () => act('closing'));
    hear(close);
    await settled();
    expect(log).toEqual(how === 'close' ? ['connectionLost', 'closing'] : ['connectionLost']);
    expect(end.ofType('control')).toEqual(how === 'close' ? [close] : []);
    expect(events.at(-1)).toEqual(['close', undefined]);
    expect(end.closings).toEqual(['']);
  }
});

test('what comes while listeners hear of the close waits for it', () => {
  const { connection, end, events, hear } = alone();
  connection.on('closing', () => connection.drained());
  hear({ ...close, sequence: 9 });
  expect(end.sent).toEqual([{ ...close, sequence: 9 }]);
  expect(events).toEqual([['closing']]);
});

test('a listener of the close that throws keeps nothing from going on', async () => {
  const { connection, hear, end, events } = alone();
  const subscribing = connection.subscribe(terms, {
    notified: () => undefined,
    stale: () => {
      throw new Error('stale');
    },
  });
  hear(subscribed(1, 5));
  await subscribing;
  connection.on('closing', () => {
    throw new Error('closing');
  });
  hear(close);
  expect(end.ofType('control')).toEqual([close]);
  expect(events).toEqual([['stale', 'stale'], ['closing'], ['closing', 'closing']]);
});

test('after the end nothing is sent, told or armed, whatever comes', async () => {
  const { serve, finish } = late();
  const { time, connection, hear, end, events } = alone({ serve });
  hear(read(1));
  connection.destroy();
  const before = [end.sent.length, events.length];
  finish[0]?.({ payload: 1 });
  hear(read(2));
  hear(close);
  connection.unreliableMessage(Uint8Array.of(0xff));
  connection.drained();
  connection.farewell({ deadlineMs: 0, reconnectSpreadMs: 0, elsewhere: undefined });
  connection.closed(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'again'));
  await settled();
  time.runTo(100_000);
  expect([end.sent.length, events.length]).toEqual(before);
  expect(time.wheel.size).toBe(0);
});

test('a farewell of the other side is told', () => {
  const { connection, events } = alone();
  const farewell = { deadlineMs: 10, reconnectSpreadMs: 20, elsewhere: '192.0.2.1:7' };
  connection.farewell(farewell);
  expect(events).toEqual([['farewell', farewell]]);
});

// ---- A device ------------------------------------------------------------------------------------------------------

test('a device that closes tells all of its connections, answers what it serves, and ends them', async () => {
  const { serve, finish } = late();
  const { device, end, hear, subscribe, connection } = serving(() => 0, {
    handlers: { read: () => new Map([[7, 0]]), invoke: serve },
  });
  const second = new End(true, hawserCodec());
  second.receiver = device.accept(second);
  subscribe(1);
  hear({ type: 'request', operation: 'invoke', messageId: 2, endpoint: 1, feature: 2, command: 1 });
  expect([device.connections, device.subscriptions]).toEqual([2, 1]);
  const closed = device.close({ reason: 'restart' });
  expect(device.close()).toBe(closed);
  expect(device.subscriptions).toBe(0);
  device.notifyChange(1, 2, 7, 1);
  connection.drained();
  for (const each of [end, second]) each.receiver?.message(hawserCodec().encode(close));
  await settled();
  expect([end.closings, second.closings, device.connections]).toEqual([[], ['restart'], 1]);
  finish[0]?.({ payload: 5 });
  await settled();
  expect(end.ofType('response').at(-1)).toMatchObject({ messageId: 2, payload: 5 });
  hear({ type: 'control', control: 'pong', sequence: 0 });
  await closed;
  expect([end.closings, device.connections]).toEqual([['restart'], 0]);
  expect(end.ofType('notification')).toHaveLength(1);
});

test('whoever comes to a closed device is closed as the others were', async () => {
  const { device } = serving(() => 0);
  void device.close({ reason: 'gone', ackTimeoutMs: 1000 });
  const end = new End(true, hawserCodec());
  end.receiver = device.accept(end);
  expect(end.sent).toEqual([close]);
  end.receiver.message(hawserCodec().encode(read(1)));
  expect(end.ofType('response')).toMatchObject([{ status: 'BUSY' }]);
  end.receiver.message(hawserCodec().encode(close));
  end.receiver.message(hawserCodec().encode({ type: 'control', control: 'pong', sequence: 0 }));
  expect(end.closings).toEqual(['gone']);
});

test('a device whose subscriber closes has its subscriptions no more', () => {
  const { device, hear, subscribe, end } = serving(() => 0);
  subscribe(1);
  hear(close);
  device.notifyChange(1, 2, 7, 1);
  expect([device.subscriptions, device.connections, end.ofType('notification').length]).toEqual([0, 1, 1]);
});

test('a device refuses wrong options of its close, and goes on', async () => {
  const { device, end } = serving(() => 0);
  await expect(device.close({ ackTimeoutMs: -1 })).rejects.toMatchObject({ code: 'ERR_HAWSER_ARGUMENT' });
  expect(end.sent).toEqual([]);
  const disposed = device[Symbol.asyncDispose]();
  end.receiver?.message(hawserCodec().encode(close));
  await disposed;
  expect(device.connections).toBe(0);
});
