// How a subscriber notices that nothing is notified any more.

import { describe, expect, test } from 'vitest';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import type { Notification, Response } from '../../src/interaction/messages.js';
import { subscribeResult } from '../../src/interaction/payloads.js';
import type { SubscriptionTerms } from '../../src/interaction/subscriptions.js';
import { refusal } from '../base/refusal.js';
import { alone, listening, notification, type Options, terms } from './ends.js';

/** A subscription whose device is the test. */
async function subscriber(
  options: Options = {},
  { maxIntervalMs = 60_000, asked = terms }: { maxIntervalMs?: number; asked?: SubscriptionTerms } = {},
) {
  const made = alone(options);
  const { connection, hear, time } = made;
  const codec = connection.codec;
  const log: unknown[] = [];
  const told = (what: unknown): void => {
    log.push([time.nowMs, what]);
  };
  const subscribing = connection.subscribe(
    asked,
    listening([], { notified: ({ kind }) => told(kind), stale: told }),
  );
  const messageId = codec === 'mash' ? 4 : 1;
  const result = { subscriptionId: 5, values: new Map([[7, 0]]), minIntervalMs: 0, maxIntervalMs };
  const response: Response = {
    type: 'response',
    messageId,
    status: 'SUCCESS',
    payload: subscribeResult(result, codec),
  };
  hear(response);
  const subscription = await subscribing;
  expect(log).toEqual([[0, 'priming']]);
  log.length = 0;
  const beat = (more: Partial<Notification> = {}): void => hear(notification(5, 1, more));
  return { ...made, log, subscription, beat };
}

test('a subscription is stale when nothing was notified for its maximum interval and 10 s, and once', async () => {
  const { time, log, beat } = await subscriber();
  time.runTo(69_999);
  expect(log).toEqual([]);
  time.runTo(70_000);
  expect(log).toEqual([[70_000, 'silent']]);
  time.runTo(1_000_000);
  expect(log).toHaveLength(1);
  beat();
  time.runTo(1_069_999);
  expect(log.slice(1)).toEqual([[1_000_000, 'change']]);
  time.runTo(2_000_000);
  expect(log.slice(2)).toEqual([[1_070_000, 'silent']]);
});

test('any notification counts, and one just in time is in time', async () => {
  const { time, log, beat } = await subscriber();
  const kinds = ['change', 'heartbeat', 'priming', 'heartbeat'] as const;
  let atMs = 0;
  for (const kind of kinds) {
    atMs += 69_999;
    time.runTo(atMs);
    beat({ kind, changes: kind === 'heartbeat' ? new Map() : new Map([[7, 2]]) });
  }
  time.runTo(atMs + 69_999);
  expect(log).toHaveLength(kinds.length);
  expect(log.map((each) => (each as unknown[])[1])).not.toContain('silent');
  time.runTo(atMs + 70_000);
  expect(log.at(-1)).toEqual([atMs + 70_000, 'silent']);
});

test('one timer a subscription is all it takes, and notifications do not move it', async () => {
  const { time, beat } = await subscriber();
  const { size } = time.wheel;
  let schedules = 0;
  const schedule = time.wheel.schedule.bind(time.wheel);
  time.wheel.schedule = (timer, atMs) => {
    ++schedules;
    schedule(timer, atMs);
  };
  for (let count = 0; count < 1000; ++count) {
    time.runTo(count);
    beat();
  }
  expect([time.wheel.size, schedules]).toEqual([size, 0]);
  // It looks once when it comes, and then when it has to.
  time.runTo(70_998);
  expect(schedules).toBe(1);
});

describe('the interval', () => {
  test('is the one that the other side reported, not the one that was asked for', async () => {
    const asked = { ...terms, maxIntervalMs: 1000 };
    const { time, log } = await subscriber({}, { maxIntervalMs: 5000, asked });
    time.runTo(14_999);
    expect(log).toEqual([]);
    time.runTo(15_000);
    expect(log).toEqual([[15_000, 'silent']]);
  });

  test.each([
    [{ maxIntervalMs: 3000 }, 13_000],
    [{}, 70_000],
    [{ minIntervalMs: 90_000 }, 100_000],
  ])('with mash, which does not say, follows from what was asked for: %o', async (intervals, staleMs) => {
    const asked = { ...terms, ...intervals };
    const { time, log } = await subscriber({ codec: mashCodec() }, { asked });
    time.runTo(staleMs - 1);
    expect(log).toEqual([]);
    time.runTo(staleMs);
    expect(log).toEqual([[staleMs, 'silent']]);
  });

  test('may be 0, for a second at least, and the longest there is', async () => {
    const none = await subscriber({ livenessGraceMs: 0 }, { maxIntervalMs: 0 });
    none.time.runTo(999);
    expect(none.log).toEqual([]);
    none.time.runTo(1000);
    expect(none.log).toEqual([[1000, 'silent']]);
    none.beat();
    expect(none.log.slice(1)).toEqual([[1000, 'change']]);
    const long = await subscriber({ livenessGraceMs: 86_400_000 }, { maxIntervalMs: 4_294_967_295 });
    long.time.runTo(4_294_967_295 + 86_400_000);
    expect(long.log).toHaveLength(1);
  });
});

test('the grace is an option, and false switches it off', async () => {
  const short = await subscriber({ livenessGraceMs: 1 });
  short.time.runTo(60_001);
  expect(short.log).toEqual([[60_001, 'silent']]);
  const off = await subscriber({ livenessGraceMs: false });
  off.time.runTo(30_000);
  expect(off.time.wheel.size).toBe(0);
  off.time.runTo(1_000_000_000);
  expect(off.log).toEqual([]);
});

test('a grace out of range is refused', () => {
  for (const livenessGraceMs of [-1, 0.5, 86_400_001, Number.NaN, true, '1']) {
    expect(refusal(() => alone({ livenessGraceMs: livenessGraceMs as number }))).toMatch(/^livenessGraceMs/);
  }
});

test('the end of the connection is told also to whoever was silent before', async () => {
  const { time, log, connection } = await subscriber();
  time.runTo(80_000);
  connection.closed(undefined);
  expect(log).toEqual([
    [70_000, 'silent'],
    [80_000, 'connectionLost'],
  ]);
  time.runTo(1_000_000);
  expect(log).toHaveLength(2);
  expect(time.wheel.size).toBe(0);
});

test('whoever has left is not told, and has no timer', async () => {
  const { time, log, subscription, hear } = await subscriber();
  const leaving = subscription.unsubscribe();
  hear({ type: 'response', messageId: 2, status: 'SUCCESS' });
  await leaving;
  time.runTo(30_000);
  expect(time.wheel.size).toBe(0);
  time.runTo(1_000_000);
  expect(log).toEqual([]);
  const closing = await subscriber();
  void closing.connection.close();
  closing.hear({ type: 'control', control: 'close', sequence: 0 });
  expect(closing.time.wheel.size).toBe(0);
});

test('a listener of the priming may end the connection, and no timer is left', async () => {
  const { time, connection, hear } = alone({ codec: hawserCodec() });
  const subscribing = connection.subscribe(terms, { notified: () => connection.destroy() });
  const result = { subscriptionId: 5, values: new Map([[7, 0]]) };
  hear({ type: 'response', messageId: 1, status: 'SUCCESS', payload: subscribeResult(result, 'hawser') });
  await subscribing;
  expect(time.wheel.size).toBe(0);
});

test('a listener that throws when it hears of the silence harms nobody', async () => {
  const { time, connection, hear, events } = alone();
  const log: unknown[] = [];
  const fail = (): never => {
    throw new Error('mine');
  };
  const all = [
    connection.subscribe(terms, { notified: () => undefined, stale: fail }),
    connection.subscribe(terms, listening(log)),
  ];
  for (const [index, subscriptionId] of [5, 6].entries()) {
    const payload = subscribeResult({ subscriptionId, values: new Map(), maxIntervalMs: 1000 }, 'hawser');
    hear({ type: 'response', messageId: index + 1, status: 'SUCCESS', payload });
  }
  await Promise.all(all);
  time.runTo(11_000);
  expect(log.at(-1)).toBe('silent');
  expect(events).toEqual([['stale', 'mine']]);
});
