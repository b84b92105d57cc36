// What handlers may do wrong, and what clients may send too much of.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RequestContext, RequestHandler, RequestOutcome } from '../../../src/sessions/server/handler.js';
import { settled } from '../../interaction/virtual-time.js';
import { countUp, echo, World } from './world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(async () => {
  expect(await world.close()).toBe(0);
});

const result = Buffer.from('ok');
const many = (count: number): string[] => Array.from({ length: count }, (_, index) => `key ${index}`);
const writesOf = (count: number): Map<string, Uint8Array> => new Map(many(count).map((key) => [key, result]));

/** Outcomes as a handler without types may return them, and what is said of them. */
const wrongOutcomes: readonly (readonly [name: string, outcome: unknown, message: RegExp])[] = [
  ['undefined', undefined, /outcome must be an object; got undefined/],
  ['null', null, /outcome must be an object; got null/],
  ['bytes', result, /outcome must be an object/],
  ['an array', [], /outcome must be an object/],
  ['nothing in it', {}, /either a result or an error/],
  ['both', { result, error: result }, /either a result or an error/],
  ['a result that is a string', { result: 'ok' }, /result must be a Uint8Array/],
  ['an error that is an Error', { error: new Error('no') }, /error must be a Uint8Array/],
  [
    'a result that is too long',
    { result: new Uint8Array(10_485_761) },
    /result must be a Uint8Array of 0 to 10485760/,
  ],
  ['an unknown field', { result, serverRequest: [] }, /did you mean 'serverRequests'/],
  ['writes that are an object', { result, writes: { key: result } }, /writes must be a Map/],
  ['too many writes', { result, writes: writesOf(65) }, /writes must be a Map of at most 64/],
  ['a key that is empty', { result, writes: new Map([['', result]]) }, /key of writes must be/],
  [
    'a key that is too long',
    { result, writes: new Map([['x'.repeat(513), result]]) },
    /key of writes must be/,
  ],
  ['a key that is a number', { result, writes: new Map([[1, result]]) }, /key of writes must be/],
  ['a key with half a pair', { result, writes: new Map([['\ud800', result]]) }, /key of writes must be/],
  ['a value that is null', { result, writes: new Map([['key', null]]) }, /value of writes must be/],
  ['server requests that are no array', { result, serverRequests: {} }, /serverRequests must be an array/],
  [
    'too many server requests',
    { result, serverRequests: many(11).map(() => ({ payload: result })) },
    /serverRequests must be an array of 0 to 10/,
  ],
  [
    'a server request without a payload',
    { result, serverRequests: [{}] },
    /serverRequests\[0\].payload must be/,
  ],
  [
    'a server request that is bytes',
    { result, serverRequests: [result] },
    /serverRequests\[0\] must be an object/,
  ],
  [
    'a server request to a number',
    { result, serverRequests: [{ payload: result, sessionId: 5 }] },
    /serverRequests\[0\].sessionId must be/,
  ],
];

/** A handler that returns what its type does not allow. */
function returning(outcome: unknown): RequestHandler {
  const handler = { onRequest: echo };
  Object.defineProperty(handler, 'onRequest', { value: () => outcome });
  return handler.onRequest;
}

test.each(wrongOutcomes)(
  'a wrong outcome fails the request, and nothing is committed: %s',
  async (_, outcome, message) => {
    const gateway = await world.gateway({ onRequest: returning(outcome) });
    const session = await gateway.create('one');
    gateway.request(session, 1);
    await world.pass(0);
    expect(gateway.heard(session)).toEqual(['1: HandlerFailed']);
    expect(String(gateway.errors[0])).toMatch(message);
    expect(await world.keys('r/')).toEqual([]);
    expect(await world.keys('a/')).toEqual([]);
  },
);

test('what a handler reads, writes and sends must come to what stores take in one transaction', async () => {
  const gateway = await world.gateway({
    onRequest: async ({ get, payload }) => {
      await Promise.all(many(40).map((key) => get(key)));
      return { result, writes: writesOf(Number(Buffer.from(payload).toString())) };
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: Buffer.from('60') });
  gateway.request(session, 2, { payload: Buffer.from('40') });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: HandlerFailed', '2: ok']);
  expect(String(gateway.errors[0])).toMatch(/at most 96 operations/);
});

test('a handler that throws, or rejects, fails the request; the next one is handled', async () => {
  const gateway = await world.gateway({
    onRequest: (context) => {
      if (context.requestId === 1) throw new Error('thrown');
      if (context.requestId === 2) return Promise.reject(new Error('rejected'));
      return echo(context);
    },
  });
  const session = await gateway.create('one');
  const plain = await gateway.create('plain', { speaksHawser: false });
  for (const id of [1, 2, 3]) gateway.request(session, id);
  for (const id of [1, 3]) gateway.request(plain, id);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: HandlerFailed', '2: HandlerFailed', '3: payload 3']);
  // It cannot be told: it sends the request again.
  expect(gateway.heard(plain)).toEqual(['3: payload 3']);
  expect(gateway.errors.map(String).toSorted()).toEqual([
    'Error: rejected',
    'Error: thrown',
    'Error: thrown',
  ]);
});

test('a request that failed may be sent again, and is carried out then', async () => {
  let fails = true;
  const gateway = await world.gateway({
    onRequest: (context) => {
      if (fails) throw new Error('not yet');
      return countUp(context);
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(0);
  fails = false;
  gateway.request(session, 1);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: HandlerFailed', '1: 1']);
});

test('a handler that reads while the store is away fails retryably, and is not told of as an error', async () => {
  const gateway = await world.gateway({
    onRequest: (context) => countUp(context),
    onQuery: async ({ get }) => (await get('count')) ?? result,
  });
  const session = await gateway.create('one');
  gateway.store.away();
  gateway.request(session, 1);
  gateway.query(session, 'q');
  await world.pass(0);
  expect(gateway.heard(session).toSorted()).toEqual([
    '1: StoreUnavailable again in 500',
    'q: StoreUnavailable again in 500',
  ]);
  expect(gateway.errors).toEqual([]);
});

test('a handler may ask again for what the store did not answer', async () => {
  const gateway = await world.gateway({
    onRequest: async (context) => {
      await context.get('count').catch(() => world.time.clock.sleep(100));
      gateway.store.back();
      return countUp(context);
    },
  });
  const session = await gateway.create('one');
  gateway.store.away();
  gateway.request(session, 1);
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['1: 1']);
});

test('a read that nobody waited for ends nothing but itself', async () => {
  const gateway = await world.gateway({
    onRequest: ({ get }) => {
      void get('key');
      throw new Error('gone');
    },
  });
  const session = await gateway.create('one');
  gateway.store.away();
  gateway.request(session, 1);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: HandlerFailed']);
  await settled();
});

test('what a handler does to its bytes, and to those it returned, changes nothing', async () => {
  const bytes = Buffer.from('first');
  const payloads: string[] = [];
  const gateway = await world.gateway({
    onRequest: async ({ get, payload }) => {
      payloads.push(Buffer.from(payload).toString());
      payload.fill(0);
      (await get('key'))?.fill(0);
      if (payloads.length === 1) {
        await world.space.txn({ compare: [], writes: [{ type: 'put', key: 'a/key', value: result }] });
      }
      setImmediate(() => bytes.fill(0));
      return { result: bytes, writes: new Map([['written', bytes]]) };
    },
  });
  const session = await gateway.create('one');
  gateway.store.plan({ type: 'none' }, { type: 'requestLost' });
  gateway.request(session, 1);
  await world.pass(1000);
  expect(payloads).toEqual(['payload 1', 'payload 1']);
  expect(gateway.heard(session)).toEqual([`1: ${await world.value('written')}`]);
  expect(await world.value('key')).toBe('ok');
});

test('a handler reads at most 64 keys, and a wrong key is refused', async () => {
  const messages: string[] = [];
  const gateway = await world.gateway({
    onRequest: async ({ get }) => {
      for (const key of [...many(64), 'key 1', 'one more', '', 'x'.repeat(513)]) {
        await get(key).catch((error: unknown) => messages.push(String(error)));
      }
      return { result };
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(0);
  expect(messages).toEqual([
    expect.stringMatching(/at most 64/),
    expect.stringMatching(/key must be a string of 1 to 512 bytes/),
    expect.stringMatching(/key must be a string of 1 to 512 bytes/),
  ]);
  expect(gateway.heard(session)).toEqual(['1: ok']);
});

test('a read after the handler has returned is refused', async () => {
  let context: RequestContext | undefined;
  const gateway = await world.gateway({
    onRequest: (given) => {
      context = given;
      return echo(given);
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(0);
  await expect(context?.get('key')).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
});

test('a key that is read twice is what it was at first', async () => {
  const gateway = await world.gateway({
    onRequest: async ({ get }) => {
      const first = await get('key');
      await world.space.txn({ compare: [], writes: [{ type: 'put', key: 'a/key', value: result }] });
      return { result: Buffer.from(String(first === (await get('key')))) };
    },
  });
  const session = await gateway.create('one');
  await world.pass(0);
  gateway.request(session, 1);
  await world.pass(1000);
  // Nine times: it is written each time.
  expect(gateway.heard(session)).toEqual(['1: TooManyRequests again in 500']);
});

test('payloads that are too long are refused, and those at the bound are not', async () => {
  const gateway = await world.gateway({
    maxRequestBytes: 10,
    onRequest: echo,
    onQuery: ({ payload }) => payload,
  });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: Buffer.from('0123456789') });
  gateway.request(session, 2, { payload: Buffer.from('0123456789+') });
  gateway.query(session, 'a', Buffer.from('0123456789'));
  gateway.query(session, 'b', Buffer.from('0123456789+'));
  await world.pass(0);
  expect(gateway.heard(session).toSorted()).toEqual([
    '1: 0123456789',
    '2: PayloadTooLong',
    'a: 0123456789',
    'b: PayloadTooLong',
  ]);
  expect(gateway.executor.counts.refused).toBe(2);
});

test('no more than maxRequestsInFlight requests and queries of a session are under way', async () => {
  let finish = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const gateway = await world.gateway({
    maxRequestsInFlight: 3,
    onRequest: async (context): Promise<RequestOutcome> => {
      await gate;
      return echo(context);
    },
    onQuery: async ({ payload }) => {
      await gate;
      return payload;
    },
  });
  const session = await gateway.create('one');
  const plain = await gateway.create('plain', { speaksHawser: false });
  for (const each of [session, plain]) {
    gateway.request(each, 1);
    gateway.query(each, 'a');
    gateway.request(each, 2);
    gateway.request(each, 2);
    gateway.query(each, 'a');
    gateway.request(each, 3);
    gateway.query(each, 'b');
  }
  await world.pass(0);
  const refused = ['3: TooManyRequests again in 500', 'b: TooManyRequests again in 500'];
  expect(gateway.heard(session)).toEqual(refused);
  expect(gateway.heard(plain)).toEqual([]);
  expect(gateway.executor.counts).toMatchObject({ refused: 4, overloaded: 2 });
  finish();
  await world.pass(0);
  const answers = ['1: payload 1', '2: payload 2', 'a: a'];
  expect(gateway.heard(session).toSorted()).toEqual(answers);
  expect(gateway.heard(plain).toSorted()).toEqual(answers);
});

test('outcomes are kept up to maxKeptResponses; then requests are refused until the client has some', async () => {
  const gateway = await world.gateway({ maxRequestsInFlight: 4, maxKeptResponses: 4, onRequest: echo });
  const session = await gateway.create('one');
  for (const id of [1, 2, 3, 4]) gateway.request(session, id);
  await world.pass(0);
  gateway.heard(session);
  gateway.request(session, 5, { lowest: 1 });
  gateway.request(session, 4, { lowest: 1 });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['5: TooManyRequests again in 500', '4: payload 4']);
  // The request that says so is taken itself.
  gateway.request(session, 5, { lowest: 2 });
  gateway.request(session, 6, { lowest: 2 });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['6: TooManyRequests again in 500', '5: payload 5']);
  expect(await world.keys('r/')).toHaveLength(4);
});

test('without onRequest and onQuery everything is refused, and told to nobody as an error', async () => {
  const gateway = await world.gateway();
  const session = await gateway.create('one');
  gateway.request(session, 1);
  gateway.query(session, 'q');
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: HandlerFailed', 'q: HandlerFailed']);
  expect(gateway.errors).toEqual([]);
});

test('what is in the store and cannot be read fails the request, and nothing else', async () => {
  const old = await world.gateway({ onRequest: echo });
  const young = await world.gateway({ onRequest: echo });
  const session = await old.create('one');
  old.request(session, 1);
  await world.pass(0);
  const value = Buffer.from([9, 9]);
  await world.space.txn({
    compare: [],
    writes: [
      { type: 'put', key: 'r/one/00000000000001', value },
      { type: 'put', key: 'q/one/00000000000001', value },
    ],
  });
  const claimed = await young.claim('one', session);
  for (const id of [1, 2]) young.request(claimed, id);
  await world.pass(0);
  expect(young.heard(claimed).toSorted()).toEqual(['1: HandlerFailed', '2: payload 2']);
  const format = { code: 'ERR_HAWSER_STORE_FORMAT' };
  expect(young.errors).toMatchObject([format, format]);
});
