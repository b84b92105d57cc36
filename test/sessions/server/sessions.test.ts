import { randomUUID } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { RequestContext } from '../../../src/sessions/server/handler.js';
import { encodeClientMessage } from '../../../src/sessions/wire/codec.js';
import { closedWith, noBytes, rejected, World } from './world.js';

describe('begin', () => {
  test('case 2: a session is created only when the store has it, with its id and the nonce of the Create', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const letGo = gateway.store.hold();
    const peer = gateway.connect();
    peer.create(42n, { kind: 'meter' });
    await world.settle();
    expect(peer.received).toEqual([]);
    expect(gateway.server.stats).toMatchObject({ pending: 1, sessions: 0 });
    letGo();
    await world.settle();
    const [id] = (await world.keys('o/')).map((key) => key.slice(2));
    expect(peer.received).toEqual([{ type: 'SessionCreated', sessionId: id, nonce: 42n }]);
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(await world.owner(id ?? '')).toMatchObject({
      gateway: 'a',
      identity: 'device',
      capabilities: new Map([['kind', 'meter']]),
      delivery: 'exactly-once',
      createdAt: 1_700_000_000_200,
    });
    expect(gateway.server.stats).toMatchObject({ pending: 0, sessions: 1, connected: 1, created: 1 });
    expect(gateway.told.map(({ event }) => event)).toEqual(['serving', 'sessionCreated']);
    expect(Array.from(gateway.server.sessions())).toMatchObject([{ sessionId: id, identity: 'device' }]);
  });

  test('case 3: a Create with a delivery that there is not is rejected with InvalidCapabilities and its nonce', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect();
    peer.create(5n, { 'hawser-delivery': 'sometimes' });
    await world.settle();
    expect(peer.received).toEqual([rejected('InvalidCapabilities', 5n)]);
    expect(gateway.server.stats).toMatchObject({ pending: 0, rejected: { InvalidCapabilities: 1 } });
    await world.pass(999);
    expect(peer.closed).toBeUndefined();
    await world.pass(1);
    expect(peer.closed).toBeDefined();
  });

  test('case 3: capabilities of more than 16,384 bytes are rejected with InvalidCapabilities, and nothing of them is kept', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect();
    const most = 16_384 - 'a'.length - 'b'.length;
    peer.create(5n, { a: 'x'.repeat(most), b: 'x' });
    await world.settle();
    expect(peer.received).toEqual([rejected('InvalidCapabilities', 5n)]);
    expect(await world.keys('o/')).toEqual([]);
    peer.create(6n, { a: 'x'.repeat(most - 1), b: 'x' });
    await world.settle();
    expect(peer.types).toEqual(['SessionRejected', 'SessionCreated']);
  });

  test('case 3: a Create that the store does not answer in 10 s is rejected with Other; what comes of it later is undone and not told', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const letGo = gateway.store.hold();
    const peer = gateway.connect();
    peer.create(5n);
    await world.pass(9999);
    expect(peer.received).toEqual([]);
    await world.pass(1);
    expect(peer.received).toEqual([rejected('Other', 5n)]);
    expect(await world.keys('o/')).toHaveLength(1);
    letGo();
    await world.settle();
    expect(peer.received).toHaveLength(1);
    expect(await world.keys('o/')).toEqual([]);
    expect(gateway.server.stats).toMatchObject({ pending: 0, sessions: 0, created: 0 });
    expect(gateway.events('sessionEnded')).toEqual([]);
  });

  test('a Create whose answer from the store is lost makes one session', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    gateway.store.fault = 'unanswered';
    const peer = gateway.connect();
    peer.create(5n);
    await world.pass(2500);
    expect(peer.received).toEqual([]);
    expect(await world.keys('o/')).toHaveLength(1);
    gateway.store.fault = 'none';
    await world.pass(1500);
    expect(peer.types).toEqual(['SessionCreated']);
    expect(await world.keys('o/')).toEqual([`o/${peer.id}`]);
  });

  test('a Create that the store may or may not have when it is given up leaves nothing behind', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    gateway.store.fault = 'unanswered';
    const peer = gateway.connect();
    peer.create(5n);
    await world.pass(10_000);
    expect(peer.received).toEqual([rejected('Other', 5n)]);
    expect(await world.keys('o/')).toHaveLength(1);
    gateway.store.fault = 'none';
    await world.pass(2000);
    expect(await world.keys('o/')).toEqual([]);
  });

  test('the same Create is answered again, also while it waits; another one takes its place and leaves nothing behind', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const letGo = gateway.store.hold();
    const peer = gateway.connect();
    peer.create(1n);
    peer.create(1n);
    peer.create(2n);
    await world.settle();
    letGo();
    await world.settle();
    expect(peer.received).toEqual([{ type: 'SessionCreated', sessionId: peer.id, nonce: 2n }]);
    expect(await world.keys('o/')).toEqual([`o/${peer.id}`]);
    peer.create(2n);
    await world.settle();
    expect(peer.received).toEqual([peer.last, peer.last]);
    expect(gateway.server.stats).toMatchObject({ created: 1, sessions: 1, connected: 1 });
  });

  test('a Create that comes again while it waits is asked of the store once', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const letGo = gateway.store.hold();
    const peer = gateway.connect();
    const { calls } = gateway.store;
    for (let n = 0; n < 4; ++n) peer.create(1n);
    await world.settle();
    expect(gateway.store.calls).toBe(calls + 1);
    letGo();
    await world.settle();
    expect(peer.types).toEqual(['SessionCreated']);
  });

  test('a connection that is lost while its Create waits leaves nothing behind', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const letGo = gateway.store.hold();
    const peer = gateway.connect();
    peer.create();
    await world.settle();
    peer.lose();
    await world.settle();
    letGo();
    await world.settle();
    expect(await world.keys('o/')).toEqual([]);
    expect(gateway.server.stats).toMatchObject({ sessions: 0, pending: 0 });
  });

  test('another Create by a connection with a session leaves that one Disconnected, and there', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    const first = peer.id;
    peer.create(2n);
    await world.settle();
    expect(peer.id).not.toBe(first);
    expect(gateway.server.stats).toMatchObject({ sessions: 2, connected: 1 });
    expect(gateway.events('sessionDisconnected')).toMatchObject([[{ sessionId: first }]]);
  });

  test('beyond the sessions of a server, or of an identity, Other is answered; those that wait for the store count', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { maxSessions: 3, maxSessionsPerIdentity: 2 });
    const letGo = gateway.store.hold();
    const [one, two, three] = [gateway.connect('x'), gateway.connect('x'), gateway.connect('x')];
    for (const peer of [one, two, three]) peer.create(9n);
    await world.settle();
    expect(three.received).toEqual([rejected('Other', 9n)]);
    const [four, five] = [gateway.connect('y'), gateway.connect('z')];
    four.create(8n);
    five.create(8n);
    await world.settle();
    expect(five.received).toEqual([rejected('Other', 8n)]);
    letGo();
    await world.settle();
    expect([one, two, four].map(({ types }) => types)).toEqual(Array(3).fill(['SessionCreated']));
    one.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    await world.settle();
    three.create(10n);
    await world.settle();
    expect(three.types).toEqual(['SessionRejected', 'SessionCreated']);
    expect(three.closed).toBeUndefined();
    await world.pass(2000);
    expect(three.closed).toBeUndefined();
  });
});

describe('continue', () => {
  test('case 5: a session is continued by a new connection after the old one was lost', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const old = await gateway.session();
    old.lose();
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 0 });
    const peer = gateway.connect();
    peer.continue(old.id, 77n);
    await world.settle();
    expect(peer.received).toEqual([{ type: 'SessionContinued', nonce: 77n }]);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 1, continued: 1, claimed: 0 });
    expect(gateway.events('sessionContinued')).toMatchObject([[{ sessionId: old.id }, false]]);
  });

  test('case 5: without that the old connection is ended, and what it says counts no more', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const old = await gateway.session();
    const peer = gateway.connect();
    peer.continue(old.id, 77n);
    old.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    old.continue(old.id, 78n);
    await world.settle();
    expect(peer.types).toEqual(['SessionContinued']);
    expect(old.closed).toBeDefined();
    expect(old.types).toEqual(['SessionCreated']);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 1 });
    expect(peer.closed).toBeUndefined();
    expect(gateway.events('sessionDisconnected')).toEqual([]);
    await world.pass(60_000);
    peer.keepAlive();
    await world.settle();
    expect(peer.types).toEqual(['SessionContinued', 'KeepAliveResponse']);
  });

  test('case 4: an unknown session, and what is no id, is rejected with SessionExpired, and the connection ends a second later', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    for (const id of [randomUUID(), 'x', '../g/a', '\u0000']) {
      const peer = gateway.connect();
      peer.continue(id, -3n);
      await world.settle();
      expect(peer.received).toEqual([rejected('SessionExpired', -3n)]);
      await world.pass(1000);
      expect(peer.closed).toBeDefined();
    }
  });

  test('a connection that was rejected may create a session, and stays', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect();
    peer.continue(randomUUID(), 1n);
    await world.settle();
    peer.create(2n);
    await world.pass(5000);
    expect(peer.types).toEqual(['SessionRejected', 'SessionCreated']);
    expect(peer.closed).toBeUndefined();
  });

  test('the session of another identity is not told apart from one that does not exist, and its client hears nothing', async () => {
    const world = new World();
    const [a, b] = [await world.gateway('a'), await world.gateway('b')];
    const owner = await a.session('owner');
    const before = await world.owner(owner.id);
    const answers = [];
    for (const [gateway, id] of [
      [a, owner.id],
      [b, owner.id],
      [a, randomUUID()],
    ] as const) {
      const thief = gateway.connect('thief');
      const { calls } = gateway.store;
      thief.continue(id, 3n);
      await world.settle();
      answers.push([thief.received, gateway.store.calls - calls]);
    }
    // One read of the store each, and the same words.
    expect(answers).toEqual(Array(3).fill([[rejected('SessionExpired', 3n)], 1]));
    expect(await world.owner(owner.id)).toEqual(before);
    expect(owner.closed).toBeUndefined();
    expect(a.server.stats).toMatchObject({ sessions: 1, connected: 1 });
  });

  test('a foreign Continue does not take the place of the rightful one that waits', async () => {
    const world = new World();
    const [a, b] = [await world.gateway('a'), await world.gateway('b')];
    const { id } = await a.session('owner');
    const letGo = b.store.hold();
    const [owner, thief] = [b.connect('owner'), b.connect('thief')];
    owner.continue(id, 1n);
    thief.continue(id, 2n);
    await world.settle();
    letGo();
    await world.settle();
    expect(owner.types).toEqual(['SessionContinued']);
    expect(thief.received).toEqual([rejected('SessionExpired', 2n)]);
  });

  test('a later Continue takes the place of one that waits for the store', async () => {
    const world = new World();
    const [a, b] = [await world.gateway('a'), await world.gateway('b')];
    const { id } = await a.session();
    const letGo = b.store.hold();
    const [first, second] = [b.connect(), b.connect()];
    first.continue(id, 1n);
    await world.settle();
    second.continue(id, 2n);
    await world.settle();
    expect(first.closed).toBeDefined();
    letGo();
    await world.settle();
    expect(second.received).toEqual([{ type: 'SessionContinued', nonce: 2n }]);
    expect(first.received).toEqual([]);
    expect(b.server.stats).toMatchObject({ claimed: 1, sessions: 1, connected: 1 });
  });

  test('a Continue for another session leaves the one of the connection Disconnected', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const [one, two] = [await gateway.session(), await gateway.session()];
    one.continue(two.id, 5n);
    await world.settle();
    expect(one.types).toEqual(['SessionCreated', 'SessionContinued']);
    expect(two.closed).toBeDefined();
    expect(gateway.server.stats).toMatchObject({ sessions: 2, connected: 1 });
    expect(gateway.events('sessionDisconnected')).toMatchObject([[{ sessionId: one.id }]]);
  });

  test('a handle is the connection itself: who comes after a lost one has no session', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const old = await gateway.session();
    old.lose();
    const next = gateway.connect();
    next.keepAlive();
    next.request(1);
    await world.settle();
    expect(next.received).toEqual([closedWith('SessionError')]);
    await world.pass(1000);
    expect(next.closed).toBeDefined();
  });
});

describe('messages of a session', () => {
  test('case 6: a KeepAlive is answered with its timestamp, by the channel by which it came', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    const timestamp = world.clock.wallNow();
    peer.keepAlive(timestamp);
    peer.keepAlive(timestamp + 1, true);
    await world.settle();
    expect(peer.last).toEqual({ type: 'KeepAliveResponse', timestamp });
    expect(peer.lossy).toEqual([{ type: 'KeepAliveResponse', timestamp: timestamp + 1 }]);
    expect(gateway.server.stats.keepAlives).toBe(2);
  });

  test('case 6: a KeepAlive, request, query or acknowledgement without a session is answered with SessionClosed(SessionError), once', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const query = { type: 'Query', correlationId: 'c', payload: noBytes, createdAt: 0 } as const;
    const messages = [
      { type: 'KeepAlive', timestamp: 0 },
      { type: 'ClientRequest', requestId: 1, lowestPendingRequestId: 1, payload: noBytes, createdAt: 0 },
      query,
      { type: 'ServerRequestAck', requestId: 1 },
    ] as const;
    for (const message of messages) {
      const peer = gateway.connect();
      for (let n = 0; n < 100; ++n) peer.say(message);
      await world.settle();
      expect(peer.received).toEqual([closedWith('SessionError')]);
      await world.pass(1000);
      expect(peer.closed).toBeDefined();
    }
  });

  test('CloseSession and ConnectionClosed without a session are ignored', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect();
    peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    peer.say({ type: 'ConnectionClosed' });
    await world.pass(5000);
    expect(peer.received).toEqual([]);
    expect(peer.closed).toBeUndefined();
    expect(gateway.server.stats.dropped.unexpected).toBe(2);
  });

  test('case 7: a request reaches the handler with its session, id, time and payload, and its answer the client', async () => {
    const world = new World();
    const seen: Partial<RequestContext>[] = [];
    const gateway = await world.gateway('a', {
      onRequest: ({ sessionId, identity, requestId, requestedAt, payload }) => {
        seen.push({ sessionId, identity, requestId, requestedAt, payload });
        return { result: new Uint8Array([9]) };
      },
    });
    const peer = await gateway.session();
    const frame = encodeClientMessage({
      type: 'ClientRequest',
      requestId: 41,
      lowestPendingRequestId: 40,
      payload: new Uint8Array([1, 2, 3]),
      createdAt: 123,
    });
    peer.raw(frame);
    // The frame is the transport's again as soon as it has been told.
    frame.fill(0);
    await world.settle();
    expect(seen).toEqual([
      {
        sessionId: peer.id,
        identity: 'device',
        requestId: 41,
        requestedAt: 123,
        payload: new Uint8Array([1, 2, 3]),
      },
    ]);
    expect(peer.last).toEqual({ type: 'ClientResponse', requestId: 41, result: new Uint8Array([9]) });
    // All below 40 are done with.
    peer.request(39, noBytes, 39);
    await world.settle();
    expect(peer.last).toMatchObject({ type: 'RequestError', requestId: 39, reason: 'ResponseEvicted' });
  });

  test('case 11: a query is answered by its correlation id', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { onQuery: ({ payload }) => payload });
    const peer = await gateway.session();
    const payload = new Uint8Array([4]);
    peer.say({ type: 'Query', correlationId: 'x-1', payload, createdAt: 0 });
    await world.settle();
    expect(peer.last).toEqual({ type: 'QueryResponse', correlationId: 'x-1', result: payload });
  });

  test('case 8: what is evicted is answered with ResponseEvicted, on a connection that continues the session, too', async () => {
    const world = new World();
    let runs = 0;
    const onRequest = (): { result: Uint8Array } => ({ result: new Uint8Array([++runs]) });
    const gateway = await world.gateway('a', { onRequest });
    const old = await gateway.session();
    old.request(1);
    await world.settle();
    old.request(2, noBytes, 2);
    await world.settle();
    const peer = gateway.connect();
    peer.continue(old.id);
    peer.request(1, noBytes, 1);
    await world.settle();
    expect(peer.last).toMatchObject({ type: 'RequestError', requestId: 1, reason: 'ResponseEvicted' });
    expect(runs).toBe(2);
  });

  test('case 9: CloseSession removes the session from the store without an answer; afterwards it is unknown', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    peer.lose();
    await world.settle();
    expect(peer.types).toEqual(['SessionCreated']);
    expect(await world.keys('o/')).toEqual([]);
    expect(gateway.events('sessionEnded')).toMatchObject([[{ sessionId: peer.id }, 'closed']]);
    const next = gateway.connect();
    next.continue(peer.id, 6n);
    await world.settle();
    expect(next.received).toEqual([rejected('SessionExpired', 6n)]);
  });

  test('case 9: a session that is closed while the store is away cannot be continued, and goes when the store is back', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    gateway.store.fault = 'unreachable';
    peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    await world.pass(3000);
    expect(gateway.events('sessionEnded')).toEqual([]);
    const next = gateway.connect();
    next.continue(peer.id, 6n);
    await world.settle();
    gateway.store.fault = 'none';
    await world.pass(2000);
    expect(next.received).toEqual([rejected('SessionExpired', 6n)]);
    expect(await world.keys('o/')).toEqual([]);
    expect(gateway.events('sessionEnded')).toHaveLength(1);
  });

  test('case 10: ConnectionClosed keeps the session and writes nothing', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    const { calls } = gateway.store;
    peer.say({ type: 'ConnectionClosed' });
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 0 });
    expect(gateway.store.calls).toBe(calls);
    expect(await world.owner(peer.id)).toBeDefined();
    peer.continue(peer.id);
    await world.settle();
    expect(peer.types).toEqual(['SessionCreated', 'SessionContinued']);
  });

  test('case 17: heartbeats write nothing', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    const { calls } = gateway.store;
    for (let n = 0; n < 20; ++n) {
      await world.pass(30_000);
      peer.keepAlive();
    }
    await world.settle();
    expect(gateway.server.stats.keepAlives).toBe(20);
    expect(gateway.store.calls).toBe(calls);
  });

  test('case 27: what is left of an expired session is nothing, and an administrator hears of it', async () => {
    const world = new World();
    let admin = '';
    const gateway = await world.gateway('a', {
      onRequest: () => ({ result: noBytes, writes: new Map([['k', noBytes]]) }),
      onExpire: ({ sessionId }, end) => ({
        serverRequests: [{ sessionId: admin, payload: Buffer.from(`${end} ${sessionId}`) }],
      }),
    });
    const administrator = await gateway.session('admin');
    admin = administrator.id;
    const peer = await gateway.session();
    peer.request(1);
    await gateway.server.push(peer.id, new Uint8Array([1]));
    await world.settle();
    for (let n = 0; n < 4; ++n) {
      await world.pass(30_000);
      administrator.keepAlive();
    }
    await world.settle();
    const keys = await world.keys('o/');
    expect(keys).toEqual([`o/${admin}`]);
    for (const prefix of ['p/', 'r/', 'n/', 'q/']) {
      expect((await world.keys(prefix)).filter((key) => key.includes(peer.id))).toEqual([]);
    }
    expect(await world.keys('a/')).toEqual(['a/k']);
    expect(administrator.received.find(({ type }) => type === 'ServerRequest')).toMatchObject({
      requestId: 1,
      payload: new Uint8Array(Buffer.from(`expired ${peer.id}`)),
    });
  });
});
