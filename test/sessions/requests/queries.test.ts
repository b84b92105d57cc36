// Queries: they read, and are answered once by whoever serves them.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { QueryContext } from '../../../src/sessions/server/handler.js';
import { countUp, World } from './world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(async () => {
  expect(await world.close()).toBe(0);
});

test('case 11: a query is handled once, with what it came with, and answered by its correlation id', async () => {
  const contexts: QueryContext[] = [];
  const gateway = await world.gateway({
    onQuery: (context) => {
      contexts.push(context);
      return Buffer.from('answer');
    },
  });
  const session = await gateway.create('one');
  gateway.store.transactions.length = 0;
  gateway.query(session, 'first', Buffer.from('question'));
  gateway.query(session, 'second', Buffer.from('question'));
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['first: answer', 'second: answer']);
  expect(contexts).toHaveLength(2);
  const { get: _, signal: __, ...context } = contexts[0] ?? {};
  expect(context).toEqual({
    sessionId: 'one',
    identity: 'owner of one',
    capabilities: new Map([['hawser', '1']]),
    delivery: 'exactly-once',
    createdAt: 1000,
    correlationId: 'first',
    payload: Buffer.from('question'),
    requestedAt: 5000,
  });
  expect(gateway.store.transactions).toEqual([]);
  expect(gateway.executor.counts.queries).toBe(2);
});

test('case 11: a query that comes again while it is handled is answered once; after that, again', async () => {
  let calls = 0;
  const gateway = await world.gateway({
    onQuery: async () => {
      await world.time.clock.sleep(100);
      return Buffer.from(`${++calls}`);
    },
  });
  const session = await gateway.create('one');
  gateway.query(session, 'q');
  await world.pass(50);
  gateway.query(session, 'q');
  await world.pass(100);
  expect(gateway.heard(session)).toEqual(['q: 1']);
  gateway.query(session, 'q');
  await world.pass(100);
  expect(gateway.heard(session)).toEqual(['q: 2']);
});

test('what was committed before a query came is in its answer; a request under way does not hold it up', async () => {
  const gateway = await world.gateway({
    onRequest: async (context) => {
      if (context.requestId === 2) await world.time.clock.sleep(1000);
      return countUp(context);
    },
    onQuery: async ({ get }) => (await get('count')) ?? Buffer.from('none'),
  });
  const session = await gateway.create('one');
  gateway.query(session, 'a');
  gateway.request(session, 1);
  await world.pass(0);
  gateway.request(session, 2);
  gateway.query(session, 'b');
  await world.pass(500);
  expect(gateway.heard(session).toSorted()).toEqual(['1: 1', 'a: none', 'b: 1']);
  await world.pass(500);
  expect(gateway.heard(session)).toEqual(['2: 2']);
});

test.each([
  ['it throws', () => Promise.reject(new Error('no'))],
  ['the result is too long', () => new Uint8Array(10_485_761)],
  ['the key is wrong', ({ get }: QueryContext) => get('').then(() => new Uint8Array(0))],
])('a query fails when %s: a client that can be told is', async (_, onQuery) => {
  const gateway = await world.gateway({ onQuery });
  const session = await gateway.create('one');
  const plain = await gateway.create('plain', { speaksHawser: false });
  gateway.query(session, 'q');
  gateway.query(plain, 'q');
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['q: HandlerFailed']);
  expect(gateway.heard(plain)).toEqual([]);
  expect(gateway.errors).toHaveLength(2);
});

test('a session that ends while its query is handled: the signal aborts, nothing is answered or told', async () => {
  let signal: AbortSignal | undefined;
  const gateway = await world.gateway({
    onQuery: async (context) => {
      signal = context.signal;
      await world.time.clock.sleep(10);
      throw new Error('aborted');
    },
  });
  const session = await gateway.create('one');
  gateway.query(session, 'q');
  await world.pass(0);
  gateway.drop(session);
  await world.pass(100);
  expect(signal?.aborted).toBe(true);
  expect(gateway.heard(session)).toEqual([]);
  expect(gateway.errors).toEqual([]);
});
