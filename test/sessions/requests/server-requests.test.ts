// Server requests: numbered, kept until they are acknowledged, sent again.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { HawserErrorCode } from '../../../src/base/errors.js';
import type {
  RequestContext,
  RequestOutcome,
  ServerRequestDraft,
} from '../../../src/sessions/server/handler.js';
import { World } from './world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(async () => {
  expect(await world.close()).toBe(0);
});

/** The payload says what to send: `text` or `session:text`, between spaces. */
function sendOut({ payload }: RequestContext): RequestOutcome {
  const words = Buffer.from(payload).toString().split(' ');
  return { result: Buffer.from('ok'), serverRequests: words.map(draftOf) };
}

function draftOf(word: string): ServerRequestDraft {
  const [text = '', sessionId] = word.split(':').toReversed();
  return { payload: Buffer.from(text), ...(sessionId === undefined ? {} : { sessionId }) };
}

async function rejects(promise: Promise<unknown>, code: HawserErrorCode): Promise<void> {
  await expect(promise).rejects.toMatchObject({ name: 'HawserError', code });
}

const bytes = (text: string): Uint8Array => Buffer.from(text);

test('case 26: ids begin with 1, go on, and are in the order of the batch; the answer comes before them', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('a b c') });
  gateway.request(session, 2, { payload: bytes('d') });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual([
    '1: ok',
    'server request 1: a',
    'server request 2: b',
    'server request 3: c',
    '2: ok',
    'server request 4: d',
  ]);
});

test('case 26: ids go on when all before were acknowledged', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('a b') });
  await world.pass(0);
  gateway.acknowledge(session, 2);
  await world.pass(0);
  expect(await world.keys('q/')).toEqual([]);
  gateway.heard(session);
  gateway.request(session, 2, { payload: bytes('c') });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['2: ok', 'server request 3: c']);
});

test('case 26: an acknowledgement removes all up to it, and none above', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('a b c d') });
  await world.pass(0);
  gateway.acknowledge(session, 3);
  gateway.acknowledge(session, 2);
  await world.pass(0);
  expect(await world.keys('q/')).toEqual(['q/one/00000000000004']);
  expect(gateway.executor.counts).toMatchObject({
    serverRequestsAcknowledged: 3,
    serverRequestsSent: 4,
    unexpected: 0,
  });
});

test('a repeated request sends nothing out again', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('a') });
  await world.pass(0);
  gateway.request(session, 1, { payload: bytes('a') });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: ok', 'server request 1: a', '1: ok']);
});

test('case 26: requests to other sessions go to them, here and at another gateway; to one that does not exist, nowhere', async () => {
  const here = await world.gateway({ onRequest: sendOut });
  const there = await world.gateway();
  const session = await here.create('one');
  const near = await here.create('near');
  const far = await there.create('far');
  here.request(session, 1, { payload: bytes('near:a far:b nobody:c own near:d far:e') });
  await world.pass(0);
  expect(here.heard(session)).toEqual(['1: ok', 'server request 1: own']);
  expect(here.heard(near)).toEqual(['server request 1: a', 'server request 2: d']);
  expect(there.heard(far)).toEqual(['server request 1: b', 'server request 2: e']);
  expect(await world.keys('n/')).toEqual(['n/far', 'n/near', 'n/one']);
});

test('a request that goes to nobody is committed all the same', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('nobody:c') });
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['1: ok']);
  expect(await world.keys('q/')).toEqual([]);
});

test('gateways that write to the same session at the same time number without gaps', async () => {
  const gateways = await Promise.all([1, 2, 3].map(() => world.gateway({ onRequest: sendOut })));
  const [home] = gateways;
  const admin = await home?.create('admin');
  for (const [index, gateway] of gateways.entries()) {
    const session = await gateway.create(`session-${index}`);
    for (let id = 1; id <= 20; ++id) gateway.request(session, id, { payload: bytes(`admin:${index}.${id}`) });
  }
  const texts: string[] = [];
  for (let round = 0; round < 40; ++round) {
    await world.pass(100);
    if (home === undefined || admin === undefined) continue;
    const heard = home.heard(admin);
    texts.push(...heard);
    home.acknowledge(admin, texts.length);
  }
  expect(texts.map((text) => Number(/(\d+):/.exec(text)?.[1]))).toEqual(
    Array.from({ length: 60 }, (_, index) => index + 1),
  );
  expect(new Set(texts.map((text) => text.slice(text.indexOf(':')))).size).toBe(60);
});

test('each is sent again by its own time', async () => {
  const gateway = await world.gateway();
  const session = await gateway.create('one');
  await gateway.executor.push('one', bytes('a'));
  await world.pass(6000);
  await gateway.executor.push('one', bytes('b'));
  await world.pass(4000);
  expect(gateway.heard(session)).toEqual([
    'server request 1: a',
    'server request 2: b',
    'server request 1: a',
  ]);
  await world.pass(6000);
  expect(gateway.heard(session)).toEqual(['server request 2: b']);
});

test('case 26: what is not acknowledged is sent again after 10 s, again and again', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('a b') });
  await world.pass(0);
  gateway.heard(session);
  await world.pass(9999);
  expect(gateway.heard(session)).toEqual([]);
  await world.pass(1);
  expect(gateway.heard(session)).toEqual(['server request 1: a', 'server request 2: b']);
  gateway.acknowledge(session, 1);
  await world.pass(10_000);
  expect(gateway.heard(session)).toEqual(['server request 2: b']);
  gateway.acknowledge(session, 2);
  await world.pass(100_000);
  expect(gateway.heard(session)).toEqual([]);
});

test('no more than maxServerRequestsInFlight are on their way; the next ones follow the acknowledgements, in order', async () => {
  const gateway = await world.gateway({ onRequest: sendOut, maxServerRequestsInFlight: 3 });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2 3 4 5') });
  gateway.request(session, 2, { payload: bytes('6 7 8') });
  await world.pass(0);
  const texts = (): string[] => gateway.heard(session).filter((text) => text.startsWith('server'));
  const numbered = (...ids: number[]): string[] => ids.map((id) => `server request ${id}: ${id}`);
  expect(texts()).toEqual(numbered(1, 2, 3));
  gateway.acknowledge(session, 1);
  await world.pass(0);
  expect(texts()).toEqual(numbered(4));
  gateway.acknowledge(session, 4);
  await world.pass(0);
  expect(texts()).toEqual(numbered(5, 6, 7));
  await world.pass(10_000);
  expect(texts()).toEqual(numbered(5, 6, 7));
  gateway.acknowledge(session, 7);
  await world.pass(0);
  expect(texts()).toEqual(numbered(8));
});

test('all that is not acknowledged is sent again to a client that comes back, and nothing while it is away', async () => {
  const gateway = await world.gateway({ onRequest: sendOut, maxServerRequestsInFlight: 2 });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2 3') });
  await world.pass(0);
  gateway.acknowledge(session, 1);
  await world.pass(0);
  gateway.heard(session);
  gateway.disconnect(session);
  const sent = gateway.executor.counts.serverRequestsSent;
  await gateway.executor.push('one', bytes('4'));
  await world.pass(60_000);
  expect(gateway.executor.counts.serverRequestsSent).toBe(sent);
  gateway.reconnect(session);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['server request 2: 2', 'server request 3: 3']);
  gateway.acknowledge(session, 3);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['server request 4: 4']);
});

test('a client that comes back is sent also what was sent to it just before', async () => {
  const gateway = await world.gateway();
  const session = await gateway.create('one');
  await gateway.executor.push('one', bytes('a'));
  gateway.reconnect(session);
  await world.pass(0);
  expect(gateway.heard(session)).toEqual(['server request 1: a', 'server request 1: a']);
});

test('thousands of clients that come at the same time are read for 64 at a time', async () => {
  const gateway = await world.gateway();
  const sessions = await Promise.all(
    Array.from({ length: 200 }, (_, index) => gateway.create(`session-${index}`)),
  );
  for (const { id } of sessions) await gateway.executor.push(id, bytes(id));
  for (const session of sessions) gateway.executor.drop(session);
  gateway.sent.clear();
  gateway.store.fault = () => ({ type: 'none', delayMs: 10 });
  gateway.store.reads = 0;
  for (const session of sessions) gateway.reconnect(session);
  await world.pass(0);
  expect(gateway.store.reads).toBe(64);
  await world.pass(1000);
  for (const session of sessions) expect(gateway.heard(session)).toEqual([`server request 1: ${session.id}`]);
});

test('what is read for a client that has gone meanwhile leaves no gap for the one that has come', async () => {
  const gateway = await world.gateway({ onRequest: sendOut, maxServerRequestsInFlight: 3 });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2 3 4 5') });
  await world.pass(0);
  gateway.heard(session);
  const delays = [50, 100];
  gateway.store.fault = (operation) => ({
    type: 'none',
    delayMs: operation === 'read' ? (delays.shift() ?? 0) : 0,
  });
  gateway.acknowledge(session, 1);
  await world.pass(10);
  gateway.disconnect(session);
  gateway.reconnect(session);
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual([2, 3, 4].map((id) => `server request ${id}: ${id}`));
});

test('after a claim the new gateway sends what is not acknowledged, and numbers on', async () => {
  const old = await world.gateway({ onRequest: sendOut });
  const young = await world.gateway({ onRequest: sendOut });
  const session = await old.create('one');
  old.request(session, 1, { payload: bytes('1 2 3 4') });
  await world.pass(0);
  old.acknowledge(session, 2);
  await world.pass(0);
  old.kill();
  const claimed = await young.claim('one', session);
  await world.pass(0);
  expect(young.heard(claimed)).toEqual(['server request 3: 3', 'server request 4: 4']);
  young.request(claimed, 2, { payload: bytes('5') });
  await world.pass(0);
  expect(young.heard(claimed)).toEqual(['2: ok', 'server request 5: 5']);
  young.acknowledge(claimed, 5);
  await world.pass(0);
  expect(await world.keys('q/')).toEqual([]);
});

test('an acknowledgement of what an earlier gateway has sent counts, before this one has sent it', async () => {
  const old = await world.gateway({ onRequest: sendOut });
  const young = await world.gateway({ maxServerRequestsInFlight: 1 });
  const session = await old.create('one');
  old.request(session, 1, { payload: bytes('1 2 3 4') });
  await world.pass(0);
  const claimed = await young.claim('one', session);
  young.acknowledge(claimed, 3);
  await world.pass(0);
  expect(young.heard(claimed).at(-1)).toBe('server request 4: 4');
  expect(await world.keys('q/')).toEqual(['q/one/00000000000004']);
  expect(young.executor.counts.unexpected).toBe(0);
});

test('an acknowledgement of what was never sent is counted, and removes nothing', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2') });
  await world.pass(0);
  for (const id of [3, 1000, 2 ** 53 - 1]) gateway.acknowledge(session, id);
  gateway.acknowledge(session, 0);
  await world.pass(0);
  expect(gateway.executor.counts).toMatchObject({ unexpected: 3, serverRequestsAcknowledged: 0 });
  expect(await world.keys('q/')).toHaveLength(2);
});

test('what is acknowledged while it is read is not sent', async () => {
  const old = await world.gateway({ onRequest: sendOut });
  const young = await world.gateway();
  const session = await old.create('one');
  old.request(session, 1, { payload: bytes('1 2 3 4') });
  await world.pass(0);
  const claimed = await young.claim('one', session);
  young.executor.drop(claimed);
  young.heard(claimed);
  const delays = [100];
  young.store.fault = () => ({ type: 'slowAnswer', delayMs: delays.shift() ?? 0 });
  young.reconnect(claimed);
  young.acknowledge(claimed, 3);
  await world.pass(200);
  expect(young.heard(claimed)).toEqual(['server request 4: 4']);
});

test('acknowledgements that are made up come to few reads', async () => {
  const old = await world.gateway();
  const young = await world.gateway();
  const session = await old.create('one');
  const claimed = await young.claim('one', session);
  await world.pass(0);
  young.store.reads = 0;
  for (let id = 1000; id < 1100; ++id) young.acknowledge(claimed, id);
  await world.pass(0);
  expect(young.store.reads).toBe(2);
  expect(young.executor.counts.unexpected).toBe(100);
});

test('many acknowledgements come to few transactions', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2 3 4 5 6 7 8 9 10') });
  await world.pass(0);
  gateway.store.transactions.length = 0;
  for (let round = 0; round < 100; ++round) {
    for (let id = 0; id <= 10; ++id) gateway.acknowledge(session, id);
  }
  await world.pass(100);
  expect(gateway.store.transactions.length).toBeLessThanOrEqual(2);
  expect(await world.keys('q/')).toEqual([]);
});

test('an acknowledgement outlasts the absence of the store, and of the lease', async () => {
  const gateway = await world.gateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2') });
  await world.pass(0);
  gateway.store.away();
  gateway.acknowledge(session, 2);
  await world.pass(3000);
  gateway.store.back();
  gateway.mayWrite = false;
  await world.pass(3000);
  expect(await world.keys('q/')).toHaveLength(2);
  gateway.mayWrite = true;
  await world.pass(1000);
  expect(await world.keys('q/')).toEqual([]);
});

test('an owner that has lost the session removes nothing', async () => {
  const old = await world.gateway({ onRequest: sendOut });
  const young = await world.gateway();
  const session = await old.create('one');
  old.request(session, 1, { payload: bytes('1 2') });
  await world.pass(0);
  await young.claim('one', session);
  old.acknowledge(session, 2);
  await world.pass(5000);
  expect(await world.keys('q/')).toHaveLength(2);
  expect(old.moved).toEqual(['one']);
});

test('server requests of a commit that was not answered are sent once it is known', async () => {
  const gateway = await world.onlyGateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  const other = await gateway.create('other');
  gateway.store.plan({ type: 'answerLost' });
  gateway.request(session, 1, { payload: bytes('1 other:2') });
  await world.pass(1000);
  expect(gateway.heard(session).toSorted()).toEqual(['1: ok', 'server request 1: 1']);
  expect(gateway.heard(other)).toEqual(['server request 1: 2']);
  gateway.request(session, 2, { payload: bytes('2') });
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['2: ok', 'server request 2: 2']);
});

test('server requests of a request that was refused, though it was committed, are sent all the same', async () => {
  const gateway = await world.onlyGateway({ onRequest: sendOut });
  const session = await gateway.create('one');
  gateway.store.plan({ type: 'answerLost' });
  gateway.request(session, 1, { payload: bytes('a') });
  await world.pass(0);
  gateway.mayWrite = false;
  await world.pass(1000);
  const expected = ['1: StoreUnavailable again in 500', 'server request 1: a'];
  expect(gateway.heard(session).toSorted()).toEqual(expected);
});

test('a commit that would add more than maxServerRequests is refused as a failure of its handler', async () => {
  const gateway = await world.gateway({ onRequest: sendOut, maxServerRequests: 3 });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2') });
  gateway.request(session, 2, { payload: bytes('3 4') });
  await world.pass(0);
  expect(gateway.heard(session).at(-1)).toBe('2: HandlerFailed');
  expect(gateway.errors).toMatchObject([{ code: 'ERR_HAWSER_QUEUE_FULL' }]);
  await gateway.executor.push('one', bytes('3'));
  await rejects(gateway.executor.push('one', bytes('4')), 'ERR_HAWSER_QUEUE_FULL');
  gateway.acknowledge(session, 2);
  await world.pass(0);
  await gateway.executor.push('one', bytes('4'));
  expect(await world.keys('q/')).toEqual(['q/one/00000000000003', 'q/one/00000000000004']);
});

test('what was acknowledged does not count for maxServerRequests, also after a claim', async () => {
  const old = await world.gateway();
  const young = await world.gateway({ maxServerRequests: 3 });
  const session = await old.create('one');
  for (const text of ['1', '2', '3']) await old.executor.push('one', bytes(text));
  old.acknowledge(session, 3);
  await world.pass(0);
  await young.claim('one', session);
  for (const text of ['4', '5', '6']) await young.executor.push('one', bytes(text));
  await rejects(young.executor.push('one', bytes('7')), 'ERR_HAWSER_QUEUE_FULL');
});

test('while the store is away nothing that waits is sent, and it is once the store is back', async () => {
  const gateway = await world.gateway({ onRequest: sendOut, maxServerRequestsInFlight: 1 });
  const session = await gateway.create('one');
  gateway.request(session, 1, { payload: bytes('1 2') });
  await world.pass(0);
  gateway.store.away();
  gateway.acknowledge(session, 1);
  await world.pass(5000);
  gateway.heard(session);
  gateway.store.back();
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['server request 2: 2']);
});

test('push: to a session here and one elsewhere, with its id; to none, it rejects', async () => {
  const here = await world.gateway();
  const there = await world.gateway();
  const near = await here.create('near');
  const far = await there.create('far');
  expect(await here.executor.push('near', bytes('a'))).toBe(1);
  expect(await here.executor.push('far', bytes('b'))).toBe(1);
  expect(await here.executor.push('far', bytes('c'))).toBe(2);
  await world.pass(0);
  expect(here.heard(near)).toEqual(['server request 1: a']);
  expect(there.heard(far)).toEqual(['server request 1: b', 'server request 2: c']);
  await rejects(here.executor.push('nobody', bytes('d')), 'ERR_HAWSER_SESSION_EXPIRED');
  await rejects(here.executor.push('', bytes('d')), 'ERR_HAWSER_ARGUMENT');
  const tooLong = new Uint8Array(10_485_761);
  await rejects(here.executor.push('near', tooLong), 'ERR_HAWSER_ARGUMENT');
});

test('push: rejects while the store is away, or the gateway may not write, and when the server is closed', async () => {
  const gateway = await world.onlyGateway();
  const session = await gateway.create('one');
  gateway.mayWrite = false;
  await rejects(gateway.executor.push('one', bytes('a')), 'ERR_HAWSER_STORE_UNAVAILABLE');
  gateway.mayWrite = true;
  gateway.store.plan({ type: 'answerLost' });
  await rejects(gateway.executor.push('one', bytes('b')), 'ERR_HAWSER_STORE_UNAVAILABLE');
  await world.pass(100);
  // It was committed, though nobody could know.
  expect(gateway.heard(session)).toEqual(['server request 1: b']);
  gateway.store.fault = () => ({ type: 'none', delayMs: 1000 });
  const last = gateway.executor.push('one', bytes('c'));
  gateway.executor.close();
  await rejects(last, 'ERR_HAWSER_CLOSED');
  await rejects(gateway.executor.push('one', bytes('d')), 'ERR_HAWSER_CLOSED');
  await world.pass(1000);
});

test('a request goes on when another gateway has sent its session something that no watch has told yet', async () => {
  const here = await world.gateway({ onRequest: sendOut });
  const there = await world.gateway();
  const session = await here.create('one');
  Object.defineProperty(here.executor, 'changed', { value: () => undefined });
  await there.executor.push('one', bytes('a'));
  here.request(session, 1, { payload: bytes('b') });
  await world.pass(100);
  expect(here.heard(session)).toEqual(['1: ok', 'server request 1: a', 'server request 2: b']);
});

test('what a watch has told is known to the next commit', async () => {
  const here = await world.gateway({ onRequest: sendOut });
  const there = await world.gateway();
  const session = await here.create('one');
  await there.executor.push('one', bytes('a'));
  await world.pass(0);
  here.store.transactions.length = 0;
  here.request(session, 1, { payload: bytes('b') });
  await world.pass(100);
  expect(here.heard(session)).toEqual(['server request 1: a', '1: ok', 'server request 2: b']);
  expect(here.store.transactions).toHaveLength(1);
});

test('a session that ends just before the commit gets nothing, and nothing of it comes back', async () => {
  const here = await world.gateway({ onRequest: sendOut });
  const there = await world.gateway();
  const session = await here.create('one');
  const near = await here.create('near');
  const far = await there.create('far');
  let ended = false;
  here.store.fault = (operation) => {
    if (operation === 'txn' && !ended) {
      ended = true;
      void there.executor.remove(far, 'expired');
      void there.executor.remove(near, 'expired');
    }
    return { type: 'none', delayMs: 10 };
  };
  here.request(session, 1, { payload: bytes('own near:a far:b') });
  await world.pass(1000);
  expect(here.heard(session)).toEqual(['1: ok', 'server request 1: own']);
  expect(await world.keys('n/')).toEqual(['n/one']);
  expect(await world.keys('q/')).toEqual(['q/one/00000000000001']);
});

test('a watch that missed something is made up for', async () => {
  const here = await world.gateway();
  const there = await world.gateway();
  const session = await here.create('one');
  const { executor } = here;
  Object.defineProperty(executor, 'changed', { value: () => undefined });
  await there.executor.push('one', bytes('a'));
  await world.pass(100);
  expect(here.heard(session)).toEqual([]);
  executor.missed();
  await world.pass(0);
  expect(here.heard(session)).toEqual(['server request 1: a']);
});
