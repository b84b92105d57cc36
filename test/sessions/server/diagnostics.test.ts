// What a session server publishes on node:diagnostics_channel.

import { afterEach, expect, test } from 'vitest';
import { listenTo } from '../../../src/base/diagnostics.js';
import { diagnostics } from '../../../src/sessions/server/diagnostics.js';
import { World } from './world.js';

const ends: (() => void)[] = [];

afterEach(() => {
  for (const end of ends.splice(0)) end();
});

/** @returns what is told from now on, by the last part of the channel's name. */
function hear(): readonly (readonly [string, object])[] {
  const told: (readonly [string, object])[] = [];
  for (const [name, channel] of Object.entries(diagnostics)) {
    ends.push(listenTo(channel, (message: object) => told.push([name, message])));
  }
  return told;
}

test('the channels tell what becomes of a session, from its creation to its end', async () => {
  const world = new World();
  const gateway = await world.gateway('north');
  const told = hear();
  const peer = await gateway.session('first');
  const sessionId = peer.id;
  const of = { gateway: 'north', sessionId, identity: 'first', end: null, silentMs: null };
  expect(told).toEqual([['session', { ...of, event: 'created' }]]);
  peer.lose();
  await world.settle();
  const other = gateway.connect('first');
  other.continue(sessionId);
  await world.settle();
  other.keepAlive(world.clock.wallNow() - 3_600_000);
  await world.pass(200_000);
  expect(told.slice(1).map(([name, message]) => (name === 'session' ? message : [name, message]))).toEqual([
    { ...of, event: 'disconnected' },
    { ...of, event: 'continued' },
    ['skew', { gateway: 'north', sessionId, identity: 'first', skewMs: -3_600_000 }],
    { ...of, event: 'warning', silentMs: expect.any(Number) },
    { ...of, event: 'ended', end: 'expired' },
  ]);
});

test('a claim, its other side, a rejection, who leads and who serves are told', async () => {
  const world = new World();
  const told = hear();
  const a = await world.gateway('a', { cluster: 'leader' });
  expect(told).toContainEqual(['leader', { gateway: 'a', leader: 'a.example:4000', isThisOne: true }]);
  expect(told).toContainEqual(['serving', { gateway: 'a', serving: true }]);
  const b = await world.gateway('b', { cluster: 'leader' });
  b.connect('second').create(1n);
  await world.settle();
  expect(told.at(-1)).toEqual(['rejected', { gateway: 'b', reason: 'NotLeader', identity: 'second' }]);
  const { id } = await a.session('first');
  a.cutOff();
  await world.pass(15_000);
  expect(told).toContainEqual(['serving', { gateway: 'a', serving: false }]);
  b.connect('first').continue(id);
  await world.settle();
  expect(told.filter(([, message]) => 'event' in message && message.event === 'claimed')).toEqual([
    ['session', expect.objectContaining({ gateway: 'b', sessionId: id, event: 'claimed' })],
  ]);
});

test('each request and query that a handler was called for is told with its outcome, and how long it took', async () => {
  const world = new World();
  const wait = async (ms: number): Promise<void> =>
    new Promise((resolve) => {
      world.clock.setTimeout(resolve, ms);
    });
  const gateway = await world.gateway('north', {
    onRequest: async ({ requestId }) => {
      await wait(40);
      if (requestId === 2) throw new Error('no');
      return { result: new Uint8Array(1) };
    },
    onQuery: async () => {
      await wait(70);
      return new Uint8Array(1);
    },
  });
  const told = hear();
  const peer = await gateway.session('first');
  for (const requestId of [1, 2, 1]) {
    peer.request(requestId);
    await world.pass(100);
  }
  peer.say({ type: 'Query', correlationId: 'q', payload: new Uint8Array(0), createdAt: 0 });
  await world.pass(100);
  const requests = told
    .filter(([name]) => name === 'request' || name === 'query')
    .map(([, message]) => message);
  const of = { gateway: 'north', sessionId: peer.id };
  // The third one is answered with what is kept.
  expect(requests).toEqual([
    { ...of, requestId: 1, outcome: 'answered', durationMs: expect.closeTo(40, 0) },
    { ...of, requestId: 2, outcome: 'HandlerFailed', durationMs: expect.closeTo(40, 0) },
    { ...of, outcome: 'answered', durationMs: expect.closeTo(70, 0) },
  ]);
});

test('a request whose session ends meanwhile is discarded', async () => {
  const world = new World();
  const gateway = await world.gateway('north', {
    onRequest: ({ signal }) =>
      new Promise((resolve) => {
        signal.addEventListener('abort', () => resolve({ result: new Uint8Array(1) }));
      }),
  });
  const told = hear();
  const peer = await gateway.session('first');
  peer.request(1);
  await world.settle();
  await gateway.server.endSession(peer.id);
  await world.settle();
  const requests = told.filter(([name]) => name === 'request').map(([, message]) => message);
  expect(requests).toEqual([expect.objectContaining({ requestId: 1, outcome: 'discarded' })]);
});
