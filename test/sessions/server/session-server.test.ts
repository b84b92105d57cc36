import { describe, expect, test } from 'vitest';
import type { MessageConnection } from '../../../src/base/message-connection.js';
import { SessionServer } from '../../../src/sessions/server/session-server.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import { decodeServerMessage, encodeClientMessage } from '../../../src/sessions/wire/codec.js';
import type { ServerMessage } from '../../../src/sessions/wire/messages.js';
import { closedWith, noBytes, rejected, World } from './world.js';

const argument = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });

describe('the end', () => {
  test('attached clients hear Shutdown, the lease goes at once, connections a second later, and sessions stay', async () => {
    const world = new World();
    const [a, b] = [await world.gateway('a'), await world.gateway('b')];
    const [peer, detached] = [await a.session(), await a.session()];
    detached.say({ type: 'ConnectionClosed' });
    const closing = a.server.close();
    expect(a.server.close()).toBe(closing);
    await world.settle();
    expect(peer.last).toEqual(closedWith('Shutdown'));
    expect(detached.types).toEqual(['SessionCreated']);
    expect(await world.keys('g/')).toEqual(['g/b']);
    expect(peer.closed).toBeUndefined();
    const next = b.connect();
    next.continue(peer.id);
    await world.settle();
    expect(next.types).toEqual(['SessionContinued']);
    await world.pass(1000);
    await closing;
    expect(peer.closed).toBeDefined();
    expect(detached.closed).toBe('the server is closed');
    expect(await world.keys('o/')).toHaveLength(2);
    expect(a.events('sessionEnded')).toEqual([]);
    // The store is its user's.
    expect(await a.store.read({ from: 'o/', to: 'o0' })).toHaveLength(2);
  });

  test('nothing is armed afterwards, whatever was under way', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const [closed, creating] = [await gateway.session(), gateway.connect()];
    await gateway.session();
    gateway.store.fault = 'unreachable';
    closed.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    creating.create(9n);
    gateway.connect().continue(closed.id);
    gateway.connect().continue('6f1f2c5e-8d2c-4a0a-9d6c-0d7a4b7e1234');
    await world.pass(500);
    const closing = gateway.server.close();
    await world.pass(1000);
    await closing;
    await world.settle();
    expect(world.wheel.size).toBe(0);
    expect(creating.received).toEqual([]);
    expect(gateway.server.stats).toMatchObject({ sessions: 0, pending: 0, serving: false });
  });

  test('a closed server accepts nobody, starts no more, and refuses what it is asked', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    await gateway.server.close();
    const peer = gateway.connect();
    peer.create();
    await world.settle();
    expect(peer.received).toEqual([]);
    expect(peer.closed).toBe('the server is closed');
    const closed = expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' });
    await expect(gateway.server.endSession('x')).rejects.toEqual(closed);
    await expect(gateway.server.push('x', noBytes)).rejects.toEqual(closed);
    const other = new SessionServer({ store: world.store, wheel: world.wheel });
    await other.close();
    await expect(other.start()).rejects.toEqual(closed);
  });

  test('a close that comes before the first lease ends the waiting', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    gateway.store.fault = 'unreachable';
    const server = new SessionServer({ store: gateway.store, gateway: 'c', wheel: world.wheel });
    const started = server.start();
    await Promise.all([
      server.close(),
      expect(started).rejects.toEqual(expect.objectContaining({ code: 'ERR_HAWSER_CLOSED' })),
    ]);
  });
});

describe('before it has started', () => {
  test('Create is rejected, and served once there is a lease', async () => {
    const world = new World();
    const store = new MemorySessionStore({ sharedWith: world.store });
    const server = new SessionServer({ store, wheel: world.wheel });
    const received: ServerMessage[] = [];
    const connection: MessageConnection = {
      detectsLoss: true,
      send: (frame) => received.push(decodeServerMessage(frame)) > 0,
      close: () => undefined,
    };
    const create = (nonce: bigint): Uint8Array =>
      encodeClientMessage({ type: 'CreateSession', capabilities: new Map([['a', 'b']]), nonce });
    expect(server.stats).toMatchObject({ serving: false, leaseValid: false, sessions: 0 });
    expect(server.gateway).toMatch(/^[0-9a-f-]{36}$/);
    const receiver = server.accept(connection, { identity: 'x' });
    receiver.message(create(1n));
    await world.settle();
    expect(server.start()).toBe(server.start());
    await server.start();
    receiver.message(create(2n));
    await world.settle();
    expect(received).toMatchObject([rejected('Other', 1n), { type: 'SessionCreated', nonce: 2n }]);
    expect(server.stats).toMatchObject({ serving: true, leaseValid: true });
    const closing = server[Symbol.asyncDispose]();
    await world.pass(1000);
    await closing;
  });

  test('its arguments are checked', async () => {
    const world = new World();
    const { server } = await world.gateway('a');
    const connection = { detectsLoss: true, send: () => true, close: () => undefined };
    expect(() => server.accept(connection, { identity: '' })).toThrow(argument);
    expect(() => server.accept(connection, { identity: 'x'.repeat(257) })).toThrow(argument);
    // @ts-expect-error What is no connection.
    expect(() => server.accept({}, { identity: 'x' })).toThrow(argument);
    // @ts-expect-error A number is no function.
    expect(() => server.accept(connection, { identity: 'x', remoteTimeMs: 1 })).toThrow(argument);
    // @ts-expect-error There has to be a store.
    expect(() => new SessionServer({})).toThrow(argument);
    await expect(server.endSession('')).rejects.toEqual(argument);
  });
});

describe('what the application can do', () => {
  test('it ends a session: the client hears SessionExpired, and nothing of it is left', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    expect(await gateway.server.endSession(peer.id)).toBe(true);
    await world.settle();
    expect(peer.last).toEqual(closedWith('SessionExpired'));
    expect(await world.keys('o/')).toEqual([]);
    expect(gateway.events('sessionEnded')).toMatchObject([[{ sessionId: peer.id }, 'closed']]);
    const next = gateway.connect();
    next.continue(peer.id, 2n);
    await world.settle();
    expect(next.received).toEqual([rejected('SessionExpired', 2n)]);
  });

  test('case 26: it sends server requests, numbered from 1, to sessions here and elsewhere; they come again after a Continue', async () => {
    const world = new World();
    const [a, b] = [await world.gateway('a'), await world.gateway('b')];
    const peer = await a.session();
    expect(await a.server.push(peer.id, new Uint8Array([1]))).toBe(1);
    expect(await b.server.push(peer.id, new Uint8Array([2]))).toBe(2);
    await world.settle();
    const requests = [
      { type: 'ServerRequest', requestId: 1, payload: new Uint8Array([1]) },
      { type: 'ServerRequest', requestId: 2, payload: new Uint8Array([2]) },
    ];
    expect(peer.received.slice(1)).toMatchObject(requests);
    peer.say({ type: 'ServerRequestAck', requestId: 1 });
    await world.settle();
    const next = b.connect();
    next.continue(peer.id);
    await world.settle();
    expect(next.received).toMatchObject([{ type: 'SessionContinued' }, requests[1]]);
    expect(a.server.stats).toMatchObject({ serverRequestsAcknowledged: 1 });
  });

  test('what a client may not be told twice is counted by its reason', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    peer.say({ type: 'ServerRequestAck', requestId: 77 });
    peer.keepAlive(0);
    await world.settle();
    expect(gateway.server.stats.dropped).toEqual({
      undecodable: 0,
      rateLimited: 0,
      stale: 0,
      skewed: 1,
      unexpected: 1,
      createLimited: 0,
      overloaded: 0,
    });
  });
});
