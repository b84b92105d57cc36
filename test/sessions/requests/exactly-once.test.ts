// Requests count once: the same one again, at the same gateway or another, before and after its outcome is known.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import type { RequestContext, RequestOutcome } from '../../../src/sessions/server/handler.js';
import { settled } from '../../interaction/virtual-time.js';
import { countUp, echo, World } from './world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(async () => {
  expect(await world.close()).toBe(0);
});

test('case 7: the handler is given the session, the request id and the payload as they came', async () => {
  const contexts: RequestContext[] = [];
  const gateway = await world.gateway({
    onRequest: (context) => {
      contexts.push(context);
      return echo(context);
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 7, { lowest: 3, payload: Buffer.from('bytes') });
  await world.pass(0);
  const { get: _, signal, ...context } = contexts[0] ?? {};
  expect(context).toEqual({
    sessionId: 'one',
    identity: 'owner of one',
    capabilities: new Map([['hawser', '1']]),
    delivery: 'exactly-once',
    createdAt: 1000,
    requestId: 7,
    payload: new Uint8Array(Buffer.from('bytes')),
    requestedAt: 5000,
  });
  expect(signal?.aborted).toBe(false);
  expect(gateway.heard(session)).toEqual(['7: bytes']);
  // The lowest pending id is what it is for in the store: those below 3 are never carried out.
  gateway.request(session, 2);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['2: ResponseEvicted']);
});

test('case 25: the same request id twice is one execution and two answers; different ids are two', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(0);
  gateway.request(session, 1);
  await world.pass(0);
  gateway.request(session, 2);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: 1', '1: 1', '2: 2']);
  expect(await world.value('count')).toBe('2');
  expect(gateway.executor.counts).toMatchObject({ committed: 2, repeated: 1, refused: 0, discarded: 0 });
});

test('case 25: a request that comes again while it is handled is answered once', async () => {
  let finish: (outcome: RequestOutcome) => void = () => undefined;
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: () => {
      ++calls;
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
  });
  const session = await gateway.create('one');
  for (let count = 0; count < 5; ++count) gateway.request(session, 1);
  await world.pass(20_000);
  finish({ result: Buffer.from('done') });
  await world.pass(0);
  expect(calls).toBe(1);
  expect(gateway.heard(session)).toEqual(['1: done']);
});

test('case 25: a user error is an outcome: kept, and answered again without the handler', async () => {
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: () => ({
      error: Buffer.from(`no, ${++calls}`),
      writes: new Map([['tried', Buffer.from('yes')]]),
    }),
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(0);
  gateway.request(session, 1);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: UserError (no, 1)', '1: UserError (no, 1)']);
  expect(await world.value('tried')).toBe('yes');
});

test('a client that knows no user errors is given the bytes as a response', async () => {
  const gateway = await world.gateway({ onRequest: () => ({ error: Buffer.from('no') }) });
  const session = await gateway.create('one', { speaksHawser: false });
  gateway.request(session, 1);
  await world.pass(0);
  gateway.request(session, 1);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: no', '1: no']);
});

test('case 25: eviction is exclusive of the lowest pending id, and an evicted request is never carried out again', async () => {
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: (context) => {
      ++calls;
      return countUp(context);
    },
  });
  const session = await gateway.create('one');
  for (const id of [1, 2, 3]) gateway.request(session, id);
  gateway.request(session, 4, { lowest: 3 });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: 1', '2: 2', '3: 3', '4: 4']);
  expect(await world.keys('r/')).toEqual(['r/one/00000000000003', 'r/one/00000000000004']);
  for (const id of [1, 2, 3]) gateway.request(session, id);
  await world.pass(0);
  expect(gateway.heard(session).toSorted()).toEqual(['1: ResponseEvicted', '2: ResponseEvicted', '3: 3']);
  expect(calls).toBe(4);
});

test('case 8: ResponseEvicted reaches also a client that does not know what this package adds', async () => {
  const gateway = await world.gateway({ onRequest: echo });
  const session = await gateway.create('one', { speaksHawser: false });
  gateway.request(session, 5, { lowest: 5 });
  gateway.request(session, 4);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['5: payload 5', '4: ResponseEvicted']);
});

test('case 25: a repeated request does not advance eviction', async () => {
  const gateway = await world.gateway({ onRequest: echo });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  gateway.request(session, 2);
  await world.pass(0);
  gateway.request(session, 2, { lowest: 2 });
  gateway.request(session, 1, { lowest: 2 });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: payload 1', '2: payload 2', '2: payload 2', '1: payload 1']);
});

test('case 25: a lowest pending id above its own is allowed, and the outcome is kept until the next one', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  for (const id of [1, 2, 9]) gateway.request(session, id);
  gateway.request(session, 3, { lowest: 20 });
  await world.pass(0);
  expect(await world.keys('r/')).toEqual(['r/one/00000000000003']);
  gateway.request(session, 3);
  gateway.request(session, 9);
  gateway.request(session, 21, { lowest: 21 });
  await world.pass(0);
  const heard = gateway.heard(session);
  expect(heard.slice(0, 4)).toEqual(['1: 1', '2: 2', '9: 3', '3: 4']);
  expect(heard.slice(4).toSorted()).toEqual(['21: 5', '3: 4', '9: ResponseEvicted']);
  expect(await world.keys('r/')).toEqual(['r/one/00000000000015']);
});

test('case 25: ids may come out of order, and begin with 0', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  for (const id of [5, 0, 3, 2 ** 53 - 1]) gateway.request(session, id);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['5: 1', '0: 2', '3: 3', `${2 ** 53 - 1}: 4`]);
});

test('requests of a session are handled one at a time, in the order in which they came', async () => {
  const log: string[] = [];
  const gateway = await world.gateway({
    onRequest: async (context) => {
      log.push(`${context.requestId} begins`);
      await world.time.clock.sleep(10 - context.requestId);
      log.push(`${context.requestId} ends`);
      return echo(context);
    },
  });
  const session = await gateway.create('one');
  for (const id of [1, 2, 3]) gateway.request(session, id);
  await world.pass(100);
  expect(log).toEqual(['1 begins', '1 ends', '2 begins', '2 ends', '3 begins', '3 ends']);
});

test('requestsAtOnce lets requests overlap, and their commits do not', async () => {
  let most = 0;
  let running = 0;
  const gateway = await world.gateway({
    requestsAtOnce: 3,
    onRequest: async (context) => {
      most = Math.max(most, ++running);
      await world.time.clock.sleep(10);
      --running;
      return echo(context);
    },
  });
  const session = await gateway.create('one');
  gateway.store.fault = () => ({ type: 'none', delayMs: 2 });
  gateway.store.transactions.length = 0;
  for (let id = 1; id <= 6; ++id) gateway.request(session, id, { lowest: id });
  await world.pass(200);
  expect(most).toBe(3);
  // None of them was in the way of another.
  expect(gateway.store.transactions).toHaveLength(6);
  expect(gateway.executor.counts.committed).toBe(6);
});

test.each(['answerLost', 'requestLost'] as const)(
  '%s: the commit is tried again, and counts once',
  async (type) => {
    let calls = 0;
    const gateway = await world.gateway({
      onRequest: (context) => {
        ++calls;
        return countUp(context);
      },
    });
    const session = await gateway.create('one');
    gateway.store.plan({ type }, { type });
    gateway.request(session, 1, { lowest: 1 });
    await world.pass(90);
    expect(gateway.heard(session)).toEqual([]);
    await world.pass(1000);
    expect(gateway.heard(session)).toEqual(['1: 1']);
    gateway.request(session, 2, { lowest: 2 });
    await world.pass(0);
    expect(gateway.heard(session)).toEqual(['2: 2']);
    expect(await world.value('count')).toBe('2');
    expect(calls).toBe(2);
    expect(gateway.executor.counts).toMatchObject({ committed: 2, repeated: 0, discarded: 0 });
  },
);

test('a commit that the store carries out late, after its request was evicted, does not count again', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  gateway.store.plan({ type: 'late', delayMs: 5000 });
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(1000);
  gateway.request(session, 2, { lowest: 2 });
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['1: 1', '2: 2']);
  // So that what the late one has read is as it was.
  await world.space.txn({ compare: [], writes: [{ type: 'delete', key: 'a/count' }] });
  await world.pass(10_000);
  expect(await world.value('count')).toBeUndefined();
});

test('a request that was refused since the store was away counts once, also when its commit arrives late', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  gateway.store.plan({ type: 'late', delayMs: 3000 });
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(50);
  gateway.mayWrite = false;
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['1: StoreUnavailable again in 500']);
  await world.pass(3000);
  gateway.mayWrite = true;
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(100);
  gateway.request(session, 2, { lowest: 1 });
  await world.pass(100);
  expect(gateway.heard(session)).toEqual(['1: 1', '2: 2']);
  expect(await world.value('count')).toBe('2');
});

test('an outcome that a late commit has evicted is not answered again, and its request is not carried out', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(0);
  gateway.store.plan({ type: 'late', delayMs: 3000 });
  gateway.request(session, 2, { lowest: 2 });
  await world.pass(50);
  gateway.mayWrite = false;
  await world.pass(5000);
  gateway.mayWrite = true;
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(100);
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(100);
  expect(gateway.heard(session)).toEqual([
    '1: 1',
    '2: StoreUnavailable again in 500',
    '1: ResponseEvicted',
    '1: ResponseEvicted',
  ]);
  expect(await world.value('count')).toBe('2');
});

test('while the gateway may not write, requests and queries are refused for the time being', async () => {
  const gateway = await world.gateway({ onRequest: echo, onQuery: ({ payload }) => payload });
  const session = await gateway.create('one');
  const other = await gateway.create('other', { speaksHawser: false });
  gateway.mayWrite = false;
  gateway.request(session, 1);
  gateway.query(session, 'q');
  gateway.request(other, 1);
  gateway.query(other, 'q');
  await world.pass(0);
  expect(gateway.heard(session)).toEqual([
    '1: StoreUnavailable again in 500',
    'q: StoreUnavailable again in 500',
  ]);
  expect(gateway.heard(other)).toEqual([]);
  gateway.mayWrite = true;
  gateway.request(session, 1);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: payload 1']);
});

test('an owner that has lost the session discards what it has, and never answers', async () => {
  let finish = (): void => undefined;
  const gate = new Promise<void>((resolve) => {
    finish = resolve;
  });
  const old = await world.gateway({
    onRequest: async (context) => {
      await gate;
      return countUp(context);
    },
  });
  const young = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await old.create('one');
  old.request(session, 1);
  await world.pass(0);
  const claimed = await young.claim('one', session);
  young.request(claimed, 1);
  await world.pass(0);
  finish();
  await world.pass(1000);
  expect(young.heard(claimed)).toEqual(['1: 1']);
  expect(old.heard(session)).toEqual([]);
  expect(old.moved).toEqual(['one']);
  expect(old.executor.counts).toMatchObject({ committed: 0, discarded: 1 });
  expect(await world.value('count')).toBe('1');
});

test('a gateway whose lease has ended discards what it has, and says so to itself', async () => {
  const gateway = await world.gateway({ gateway: 'same', onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  // Another process with its name.
  await world.gateway({ gateway: 'same' });
  gateway.request(session, 1);
  await world.pass(1000);
  // Not of an outcome: the session is here all the same once there is another lease.
  expect(gateway.heard(session)).toEqual(['1: StoreUnavailable again in 500']);
  expect(gateway.fencedCount).toBe(1);
  expect(gateway.executor.counts.discarded).toBe(1);
  expect(await world.value('count')).toBeUndefined();
});

test.each([
  ['the lease', false],
  ['the lease and the owner record', true],
])('a commit that arrives behind a renewal of %s is made anew', async (_, alsoOwner) => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  gateway.store.plan({ type: 'none', delayMs: 50 });
  gateway.request(session, 1);
  await world.pass(0);
  await gateway.start();
  if (alsoOwner) await gateway.reclaim(session);
  expect(gateway.heard(session)).toEqual([]);
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['1: 1']);
  expect(gateway.moved).toEqual([]);
  expect(gateway.fencedCount).toBe(0);
});

test('case 25: after a claim the new gateway answers what the old one committed, and carries nothing out twice', async () => {
  const onRequest = (context: RequestContext): Promise<RequestOutcome> => countUp(context);
  const old = await world.gateway({ onRequest });
  const young = await world.gateway({ onRequest });
  const session = await old.create('one');
  for (let id = 1; id <= 180; ++id) {
    old.request(session, id, { lowest: id <= 100 ? 1 : 21 });
    if (id % 50 === 0) await world.pass(10);
  }
  await world.pass(10);
  old.kill();
  const claimed = await young.claim('one', session);
  for (const id of [20, 21, 180, 181]) young.request(claimed, id, { lowest: 21 });
  await world.pass(10);
  const expected = ['20: ResponseEvicted', '180: 180', '181: 181', '21: 21'];
  expect(young.heard(claimed).toSorted()).toEqual(expected.toSorted());
  expect(await world.value('count')).toBe('181');
});

test('what is read after a claim is read again while the store is away, unless the lease ends', async () => {
  const old = await world.gateway({ onRequest: echo });
  const young = await world.gateway({ onRequest: echo });
  const session = await old.create('one');
  const claimed = await young.claim('one', session);
  await world.pass(10);
  young.store.away();
  young.request(claimed, 1);
  await world.pass(3000);
  expect(young.heard(claimed)).toEqual([]);
  young.store.back();
  await world.pass(1000);
  expect(young.heard(claimed)).toEqual(['1: payload 1']);
  const again = await old.claim('one', claimed);
  await world.pass(10);
  old.store.away();
  old.request(again, 2);
  old.request(again, 3);
  await world.pass(3000);
  old.mayWrite = false;
  await world.pass(1000);
  expect(old.heard(again)).toEqual(['2: StoreUnavailable again in 500', '3: StoreUnavailable again in 500']);
});

test('the handler is called again when what it has read was written meanwhile', async () => {
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: async (context) => {
      const outcome = await countUp(context);
      if (++calls <= 2) {
        const value = Buffer.from(`${calls * 100}`);
        await world.space.txn({ compare: [], writes: [{ type: 'put', key: 'a/count', value }] });
      }
      return outcome;
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(100);
  expect(calls).toBe(3);
  expect(gateway.heard(session)).toEqual(['1: 201']);
  expect(gateway.executor.counts).toMatchObject({ committed: 1, discarded: 0 });
});

test('a key that was absent when it was read must be absent when the request commits', async () => {
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: async ({ get }) => {
      const before = await get('key');
      if (++calls === 1) {
        const value = Buffer.from('there');
        await world.space.txn({ compare: [], writes: [{ type: 'put', key: 'a/key', value }] });
      }
      return { result: before ?? Buffer.from('absent') };
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(100);
  expect(gateway.heard(session)).toEqual(['1: there']);
});

test('a request whose reads are written each time is refused for the time being after 9 calls, and nothing is committed', async () => {
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: async (context) => {
      const outcome = await countUp(context);
      const value = Buffer.from(`${++calls * 100}`);
      await world.space.txn({ compare: [], writes: [{ type: 'put', key: 'a/count', value }] });
      return outcome;
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(1000);
  expect(calls).toBe(9);
  expect(gateway.heard(session)).toEqual(['1: TooManyRequests again in 500']);
  expect(gateway.errors).toHaveLength(1);
  expect(await world.keys('r/')).toEqual([]);
});

test('a handler is not called anew for a session that is over', async () => {
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: async (context) => {
      const outcome = await countUp(context);
      const value = Buffer.from(`${++calls * 100}`);
      await world.space.txn({ compare: [], writes: [{ type: 'put', key: 'a/count', value }] });
      return outcome;
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(0);
  expect(calls).toBe(2);
  gateway.drop(session);
  await world.pass(1000);
  expect(calls).toBe(2);
});

test('many sessions that write one key at the same time all succeed', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const sessions = await Promise.all(
    Array.from({ length: 60 }, (_, index) => gateway.create(`session-${index}`)),
  );
  for (const session of sessions) gateway.request(session, 1);
  await world.pass(1000);
  expect(await world.value('count')).toBe('60');
  expect(gateway.executor.counts).toMatchObject({ committed: 60, refused: 0 });
});

test('a session that ends while its request is handled: the signal aborts, nothing is answered', async () => {
  let aborted = false;
  let calls = 0;
  const gateway = await world.gateway({
    onRequest: async (context) => {
      ++calls;
      context.signal.addEventListener('abort', () => {
        aborted = true;
      });
      await world.time.clock.sleep(10);
      return countUp(context);
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  gateway.request(session, 2);
  await world.pass(0);
  gateway.drop(session);
  expect(aborted).toBe(true);
  await world.pass(100);
  expect(calls).toBe(1);
  expect(gateway.heard(session)).toEqual([]);
  expect(await world.value('count')).toBeUndefined();
});

test('a session and the lease that end while a request is handled: nothing is answered', async () => {
  const gateway = await world.gateway({
    onRequest: async (context) => {
      await world.time.clock.sleep(10);
      return countUp(context);
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(0);
  gateway.drop(session);
  gateway.mayWrite = false;
  await world.pass(100);
  expect(gateway.heard(session)).toEqual([]);
});

test('a commit that may have happened is not called a failure, and is answered when it is asked for again', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  const error = new HawserError('ERR_HAWSER_STORE', 'simulated');
  gateway.store.plan({ type: 'answerLost' }, { type: 'error', error });
  gateway.request(session, 1);
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['1: StoreUnavailable again in 500']);
  gateway.request(session, 1);
  await world.pass(100);
  expect(gateway.heard(session)).toEqual(['1: 1']);
});

test('an error of the store that trying again does not mend fails the request; one of space is retryable', async () => {
  const gateway = await world.gateway({ onRequest: echo });
  const session = await gateway.create('one');
  const failed = new HawserError('ERR_HAWSER_STORE', 'too large for the store');
  const full = new HawserError('ERR_HAWSER_STORE_FULL', 'full');
  gateway.store.plan({ type: 'error', error: failed }, { type: 'error', error: full });
  gateway.request(session, 1);
  gateway.request(session, 2);
  await settled();
  await world.pass(100);
  expect(gateway.heard(session)).toEqual(['1: HandlerFailed', '2: StoreUnavailable again in 500']);
  expect(gateway.errors).toEqual([failed, full]);
});
