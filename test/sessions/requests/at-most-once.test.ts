// Sessions that do not need their requests to count exactly once: nothing is kept of them.

import { afterEach, beforeEach, expect, test } from 'vitest';
import { countUp, echo, World } from './world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(async () => {
  expect(await world.close()).toBe(0);
});

const delivery = 'at-most-once' as const;

test('a request without effects needs no transaction, one with effects is committed; no outcome is kept', async () => {
  const gateway = await world.gateway({
    onRequest: (context) => (context.requestId === 1 ? echo(context) : countUp(context)),
  });
  const session = await gateway.create('one', { delivery });
  gateway.store.transactions.length = 0;
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(0);
  expect(gateway.store.transactions).toEqual([]);
  gateway.request(session, 2, { lowest: 2 });
  gateway.request(session, 3, { lowest: 3 });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: payload 1', '2: 1', '3: 2']);
  expect(await world.keys('r/')).toEqual([]);
  expect(gateway.executor.counts.committed).toBe(3);
});

test('a request that comes again is not carried out, whether it was just now or long ago', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one', { delivery });
  for (const id of [1, 3, 2]) gateway.request(session, id, { lowest: 1 });
  await world.pass(0);
  for (const id of [1, 2, 3]) gateway.request(session, id, { lowest: 1 });
  gateway.request(session, 4, { lowest: 4 });
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(0);
  const evicted = [1, 2, 3, 1].map((id) => `${id}: ResponseEvicted`);
  expect(gateway.heard(session).toSorted()).toEqual(['1: 1', '2: 3', '3: 2', '4: 4', ...evicted].toSorted());
  expect(await world.value('count')).toBe('4');
});

test('a request that was refused for the time being may be sent again, also after later ones', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one', { delivery });
  gateway.mayWrite = false;
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(0);
  gateway.mayWrite = true;
  gateway.request(session, 2, { lowest: 1 });
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: StoreUnavailable again in 500', '2: 1', '1: 2']);
});

test.each(['answerLost', 'requestLost'] as const)(
  '%s: the effects count once, and the answer is sent',
  async (type) => {
    const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
    const session = await gateway.create('one', { delivery });
    gateway.store.plan({ type });
    gateway.request(session, 1, { lowest: 1 });
    gateway.request(session, 2, { lowest: 1 });
    await world.pass(2000);
    expect(gateway.heard(session)).toEqual(['1: 1', '2: 2']);
    expect(await world.value('count')).toBe('2');
  },
);

test('a request whose effects may be in the store when the lease ends is never carried out again', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one', { delivery });
  gateway.store.plan({ type: 'late', delayMs: 3000 });
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(50);
  gateway.mayWrite = false;
  await world.pass(5000);
  gateway.mayWrite = true;
  gateway.request(session, 1, { lowest: 1 });
  gateway.request(session, 2, { lowest: 2 });
  await world.pass(100);
  expect(gateway.heard(session)).toEqual(['1: ResponseEvicted', '1: ResponseEvicted', '2: 2']);
  expect(await world.value('count')).toBe('2');
});

test('when what was read is written while a commit is in doubt, that one never counts, and the handler is called anew', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one', { delivery });
  gateway.store.plan({ type: 'late', delayMs: 3000 });
  gateway.request(session, 1, { lowest: 1 });
  await world.pass(50);
  const value = Buffer.from('10');
  await world.space.txn({ compare: [], writes: [{ type: 'put', key: 'a/count', value }] });
  await world.pass(5000);
  expect(gateway.heard(session)).toEqual(['1: 11']);
  expect(await world.value('count')).toBe('11');
});

test('a session that was claimed goes on; its old owner writes nothing', async () => {
  const old = await world.gateway({ onRequest: (context) => countUp(context) });
  const young = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await old.create('one', { delivery });
  old.request(session, 1, { lowest: 1 });
  await world.pass(0);
  const claimed = await young.claim('one', session);
  young.request(claimed, 2, { lowest: 2 });
  await world.pass(0);
  old.request(session, 3, { lowest: 3 });
  await world.pass(0);
  expect(young.heard(claimed)).toEqual(['2: 2']);
  expect(old.heard(session)).toEqual(['1: 1']);
  expect(old.executor.counts.discarded).toBe(1);
});

test('the ids that came are bounded by maxKeptResponses until the client says that it has some', async () => {
  const gateway = await world.gateway({ maxRequestsInFlight: 3, maxKeptResponses: 3, onRequest: echo });
  const session = await gateway.create('one', { delivery });
  for (const id of [1, 2, 3]) gateway.request(session, id, { lowest: 1 });
  await world.pass(0);
  gateway.request(session, 4, { lowest: 1 });
  await world.pass(0);
  gateway.request(session, 4, { lowest: 4 });
  await world.pass(0);
  expect(gateway.heard(session).slice(3)).toEqual(['4: TooManyRequests again in 500', '4: payload 4']);
});

test('its server requests are kept until they are acknowledged, as those of other sessions', async () => {
  const old = await world.gateway();
  const young = await world.gateway();
  const session = await old.create('one', { delivery });
  await old.executor.push('one', Buffer.from('a'));
  const claimed = await young.claim('one', session);
  await world.pass(0);
  expect(young.heard(claimed)).toEqual(['server request 1: a']);
});
