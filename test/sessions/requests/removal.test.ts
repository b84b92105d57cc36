// The end of a session: what the application says to it, and what is left.

import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ExpireHandler, SessionEnd, SessionInfo } from '../../../src/sessions/server/handler.js';
import type { TestGateway, TestSession } from './test-gateway.js';
import { countUp, World } from './world.js';

let world: World;
beforeEach(() => {
  world = new World();
});
afterEach(async () => {
  expect(await world.close()).toBe(0);
});

const result = Buffer.from('ok');

/** A session with something under every prefix. */
async function lived(gateway: TestGateway, id: string): Promise<TestSession> {
  const session = await gateway.create(id);
  gateway.request(session, 1, { lowest: 1 });
  await gateway.executor.push(id, Buffer.from('kept'));
  await world.pass(0);
  return session;
}

async function left(id: string): Promise<string[]> {
  const keys = await Promise.all(['o/', 'p/', 'n/', 'r/', 'q/'].map((prefix) => world.keys(prefix)));
  return keys.flat().filter((key) => key.slice(2).startsWith(id));
}

test('case 27: owner, progress, outcomes, counter and server requests are gone; those of others stay', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await lived(gateway, 'one');
  await lived(gateway, 'one-more');
  expect(await left('one')).toHaveLength(10);
  expect(await gateway.executor.remove(session, 'expired')).toBe('removed');
  expect(await left('one')).toEqual(await left('one-more'));
  expect(await left('one-more')).toHaveLength(5);
  // What handlers have written stays.
  expect(await world.value('count')).toBe('2');
});

test("case 27: the hook's effects commit together with the removal, such as a server request to an administrator", async () => {
  const told: [SessionInfo, SessionEnd][] = [];
  const gateway = await world.gateway({
    onExpire: (session, end) => {
      told.push([session, end]);
      return {
        writes: new Map([[`end of ${session.sessionId}`, Buffer.from(end)]]),
        serverRequests: [{ sessionId: 'admin', payload: Buffer.from('one is gone') }, { payload: result }],
      };
    },
  });
  const admin = await gateway.create('admin');
  const session = await gateway.create('one');
  expect(await gateway.executor.remove(session, 'closed')).toBe('removed');
  await world.pass(0);
  expect(gateway.heard(admin)).toEqual(['server request 1: one is gone']);
  expect(await world.value('end of one')).toBe('closed');
  expect(told).toEqual([[expect.objectContaining({ sessionId: 'one', identity: 'owner of one' }), 'closed']]);
  expect(await left('one')).toEqual([]);
  expect(gateway.errors).toEqual([]);
});

const wrongHooks: readonly (readonly [string, () => unknown])[] = [
  [
    'throws',
    () => {
      throw new Error('no');
    },
  ],
  ['returns something else', () => 'something'],
  ['returns a result', () => ({ result })],
  [
    'writes too much',
    () => ({ writes: new Map(Array.from({ length: 65 }, (_, index) => [`${index}`, result])) }),
  ],
  [
    'writes and sends more than a transaction takes',
    () => ({
      writes: new Map(Array.from({ length: 64 }, (_, index) => [`${index}`, result])),
      serverRequests: Array.from({ length: 10 }, (_, index) => ({
        sessionId: `other-${index}`,
        payload: result,
      })),
    }),
  ],
];

test.each(wrongHooks)('a hook that %s: the session is removed without effects', async (_, hook) => {
  const options: { onExpire?: ExpireHandler } = {};
  Object.defineProperty(options, 'onExpire', { value: hook, enumerable: true });
  const gateway = await world.gateway(options);
  for (let index = 0; index < 10; ++index) await gateway.create(`other-${index}`);
  const session = await gateway.create('one');
  expect(await gateway.executor.remove(session, 'expired')).toBe('removed');
  expect(await left('one')).toEqual([]);
  expect(await world.keys('a/')).toEqual([]);
  expect(gateway.errors).toHaveLength(1);
});

test('a hook that never comes to an end has 30 s: then the session is removed without effects', async () => {
  const gateway = await world.gateway({ onExpire: () => new Promise(() => undefined) });
  const session = await gateway.create('one');
  const removed = gateway.executor.remove(session, 'expired');
  await world.pass(29_999);
  expect(await left('one')).toEqual(['o/one']);
  await world.pass(1);
  expect(await removed).toBe('removed');
  expect(await left('one')).toEqual([]);
  expect(gateway.errors).toHaveLength(1);
});

test('a hook under way when the server closes leaves no timer behind', async () => {
  const gateway = await world.gateway({ onExpire: () => new Promise(() => undefined) });
  const session = await gateway.create('one');
  const removed = gateway.executor.remove(session, 'expired');
  gateway.executor.close();
  await expect(removed).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
  expect(gateway.errors).toEqual([]);
});

test('a session that another gateway has claimed is not removed', async () => {
  const old = await world.gateway();
  const young = await world.gateway();
  const session = await old.create('one');
  await young.claim('one', session);
  expect(await old.executor.remove(session, 'expired')).toBe('notOwned');
  expect(await left('one')).toEqual(['o/one']);
  // Of the owner it is nothing that this says.
  expect(old.moved).toEqual([]);
});

test('a session that this gateway has claimed goes on when it comes to removing it as the one of a gateway that is gone', async () => {
  const old = await world.gateway();
  const gateway = await world.gateway({
    onRequest: async (context) => {
      await world.time.clock.sleep(100);
      return countUp(context);
    },
  });
  const orphan = await old.create('one');
  const session = await gateway.claim('one', orphan);
  gateway.request(session, 1);
  await world.pass(50);
  expect(await gateway.executor.remove(orphan, 'expired')).toBe('notOwned');
  await gateway.executor.push('one', Buffer.from('still here'));
  await world.pass(1000);
  expect(gateway.heard(session)).toEqual(['server request 1: still here', '1: 1']);
});

test('a removal that was not answered rejects; tried again, it has happened, once', async () => {
  const gateway = await world.onlyGateway({
    onRequest: (context) => countUp(context),
    onExpire: () => ({ serverRequests: [{ sessionId: 'admin', payload: Buffer.from('gone') }] }),
  });
  const admin = await gateway.create('admin');
  const session = await gateway.create('one');
  gateway.store.plan({ type: 'answerLost' });
  await expect(gateway.executor.remove(session, 'expired')).rejects.toMatchObject({
    code: 'ERR_HAWSER_STORE_UNAVAILABLE',
  });
  await world.pass(0);
  expect(gateway.heard(admin)).toEqual(['server request 1: gone']);
  expect(await gateway.executor.remove(session, 'expired')).toBe('removed');
  await world.pass(0);
  expect(gateway.heard(admin)).toEqual([]);
});

test('nothing is removed while the gateway may not write, nor by one whose lease has ended', async () => {
  const gateway = await world.gateway({ gateway: 'same', onExpire: () => undefined });
  const session = await gateway.create('one');
  gateway.mayWrite = false;
  const unavailable = { code: 'ERR_HAWSER_STORE_UNAVAILABLE' };
  await expect(gateway.executor.remove(session, 'expired')).rejects.toMatchObject(unavailable);
  gateway.mayWrite = true;
  await world.gateway({ gateway: 'same' });
  await expect(gateway.executor.remove(session, 'expired')).rejects.toMatchObject(unavailable);
  expect(gateway.fencedCount).toBe(1);
  expect(await left('one')).toEqual(['o/one']);
});

test('a request that is handled while its session is removed does not bring anything of it back', async () => {
  const gateway = await world.gateway({
    onRequest: async (context) => {
      await world.time.clock.sleep(100);
      return countUp(context);
    },
  });
  const session = await gateway.create('one');
  gateway.request(session, 1);
  await world.pass(50);
  await gateway.executor.remove(session, 'expired');
  await world.pass(1000);
  expect(await left('one')).toEqual([]);
  expect(await world.value('count')).toBeUndefined();
  expect(gateway.heard(session)).toEqual([]);
});

test('a commit that the store carries out late, after its session was removed, does not count', async () => {
  const gateway = await world.gateway({ onRequest: (context) => countUp(context) });
  const session = await gateway.create('one');
  gateway.store.plan({ type: 'late', delayMs: 1000 }, { type: 'late', delayMs: 1000 });
  gateway.request(session, 1);
  await world.pass(50);
  await gateway.executor.remove(session, 'expired').catch(() => undefined);
  gateway.store.back();
  await gateway.executor.remove(session, 'expired');
  await world.pass(5000);
  expect(await left('one')).toEqual([]);
  expect(await world.value('count')).toBeUndefined();
});

test('a hook that never ends holds up neither other removals nor the end of the server', async () => {
  const gateway = await world.gateway({
    onExpire: ({ sessionId }) => (sessionId === 'stuck' ? new Promise(() => undefined) : undefined),
  });
  const stuck = await gateway.create('stuck');
  const other = await gateway.create('other');
  const removal = gateway.executor.remove(stuck, 'expired');
  expect(await gateway.executor.remove(other, 'expired')).toBe('removed');
  gateway.executor.close();
  await expect(removal).rejects.toMatchObject({ code: 'ERR_HAWSER_CLOSED' });
});

test('many removals at a time bring no warning about listeners', async () => {
  const warnings: string[] = [];
  const warned = (warning: Error): number => warnings.push(String(warning));
  process.on('warning', warned);
  try {
    const gateway = await world.gateway({ onExpire: () => world.time.clock.sleep(10).then(() => undefined) });
    const sessions = await Promise.all(
      Array.from({ length: 50 }, (_, index) => gateway.create(`session-${index}`)),
    );
    const removals = sessions.map((session) => gateway.executor.remove(session, 'expired'));
    await world.pass(10);
    expect(new Set(await Promise.all(removals))).toEqual(new Set(['removed']));
    expect(warnings).toEqual([]);
  } finally {
    process.off('warning', warned);
  }
});
