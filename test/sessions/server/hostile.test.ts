import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { encodeClientMessage } from '../../../src/sessions/wire/codec.js';
import { noBytes, rejected, startWallMs, World } from './world.js';

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'hex'));

describe('case 24: frames that are no message', () => {
  const bad: readonly (readonly [what: string, frame: Uint8Array])[] = [
    ['nothing', noBytes],
    ['another signature', hex('7a72616675010700')],
    ['another version', hex('7a726166740207')],
    ['an unknown type', hex('7a726166740109')],
    ['a message of a server', hex('7a7261667401080000000000000064010000')],
    ['a zero nonce', hex('7a7261667401010001000161000162' + '0000000000000000')],
    ['no capabilities', hex('7a7261667401010000' + '000000000000002a')],
    ['an empty session id', hex('7a72616674010200' + '000000000000002a')],
    [
      'a negative request id',
      hex(`7a726166740104ffffffffffffffff${'00'.repeat(8)}${'00'.repeat(4)}${'00'.repeat(8)}`),
    ],
    ['a payload of a negative length', hex(`7a726166740104${'00'.repeat(16)}ffffffff${'00'.repeat(8)}`)],
    ['a payload longer than the frame', hex(`7a726166740104${'00'.repeat(16)}7fffffff${'00'.repeat(8)}`)],
    ['an unknown reason', hex('7a72616674010609')],
  ];

  test('each is counted and dropped, and the next message is served', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    for (const [what, frame] of bad) {
      const before = gateway.server.stats.dropped.undecodable;
      peer.raw(frame);
      await world.settle();
      expect(gateway.server.stats.dropped.undecodable, what).toBe(before + 1);
    }
    peer.keepAlive();
    await world.settle();
    expect(peer.types).toEqual(['SessionCreated', 'KeepAliveResponse']);
    expect(gateway.events('listenerError')).toEqual([]);
  });

  test('whatever comes, with and without a session, the queue goes on and nothing throws', async () => {
    const seed = 1234;
    const random = seededRandom(seed);
    const world = new World();
    const gateway = await world.gateway('a', { onRequest: () => ({ result: noBytes }) });
    const healthy = await gateway.session('healthy');
    const valid = [
      encodeClientMessage({ type: 'CreateSession', capabilities: new Map([['a', 'b']]), nonce: 5n }),
      encodeClientMessage({ type: 'ContinueSession', sessionId: healthy.id, nonce: 5n }),
      encodeClientMessage({ type: 'KeepAlive', timestamp: startWallMs }),
      encodeClientMessage({
        type: 'ClientRequest',
        requestId: 1,
        lowestPendingRequestId: 1,
        payload: noBytes,
        createdAt: 0,
      }),
      encodeClientMessage({ type: 'ServerRequestAck', requestId: 9 }),
      encodeClientMessage({ type: 'CloseSession', reason: 'ClientShutdown' }),
      encodeClientMessage({ type: 'ConnectionClosed' }),
      encodeClientMessage({ type: 'Query', correlationId: 'c', payload: noBytes, createdAt: 0 }),
    ];
    for (let n = 0; n < 1000; ++n) {
      const peer = gateway.connect('hostile');
      for (let count = 0; count < 4; ++count) {
        const frame = new Uint8Array(valid[Math.floor(random() * valid.length)] ?? noBytes);
        const flips = Math.floor(random() * 3);
        for (let flip = 0; flip < flips; ++flip) {
          frame[Math.floor(random() * frame.length)] = Math.floor(random() * 256);
        }
        peer.raw(frame.subarray(0, random() < 0.2 ? Math.floor(random() * frame.length) : undefined));
      }
      if (random() < 0.5) peer.lose();
    }
    await world.pass(5000);
    healthy.keepAlive();
    healthy.request(1);
    await world.settle();
    expect(healthy.types.toSorted(), `seed ${seed}`).toEqual([
      'ClientResponse',
      'KeepAliveResponse',
      'SessionCreated',
    ]);
    expect(gateway.server.stats.dropped.undecodable).toBeGreaterThan(300);
    expect(gateway.events('listenerError'), `seed ${seed}`).toEqual([]);
    // No more than an identity may have, and no claim or Create is left behind.
    expect(gateway.server.stats.sessions).toBeLessThanOrEqual(17);
    expect(gateway.server.stats.pending).toBe(0);
  });
});

describe('floods', () => {
  test('one connection has five Creates, then one in two seconds; the rest is dropped without a word', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect();
    for (let n = 1; n <= 100; ++n) peer.create(BigInt(n));
    await world.settle();
    expect(gateway.server.stats.dropped.createLimited).toBe(95);
    expect(peer.types).toEqual(['SessionCreated']);
    await world.pass(2000);
    peer.create(1000n);
    peer.create(1001n);
    await world.settle();
    expect(gateway.server.stats.dropped.createLimited).toBe(96);
    expect(await world.keys('o/')).toHaveLength(2);
  });

  test('many connections have as many Creates as the server allows, and are rejected beyond that', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { createsPerSecond: 100, maxSessionsPerIdentity: 10_000 });
    const peers = Array.from({ length: 1200 }, () => gateway.connect());
    for (const peer of peers) peer.create(4n);
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ created: 1000, rejected: { Other: 200 } });
    expect(peers.at(-1)?.received).toEqual([rejected('Other', 4n)]);
    await world.pass(1000);
    for (let n = 0; n < 150; ++n) gateway.connect().create(5n);
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ created: 1100, rejected: { Other: 250 } });
  });

  test('one connection that sends more than can be handled has its own frames dropped, and nobody else’s', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { onQuery: ({ payload }) => payload });
    const [flooding, other] = [await gateway.session('flooding'), await gateway.session('other')];
    const frame = encodeClientMessage({ type: 'ConnectionClosed' });
    for (let n = 0; n < 1000; ++n) flooding.raw(frame);
    other.keepAlive();
    await world.settle();
    expect(gateway.server.stats.dropped.overloaded).toBe(1000 - 356);
    expect(other.last?.type).toBe('KeepAliveResponse');
    // Long ones wait up to a number of bytes.
    const payload = new Uint8Array(1_000_000);
    const long = await gateway.session('long');
    for (let n = 0; n < 20; ++n) {
      long.say({ type: 'Query', correlationId: `${n}`, payload, createdAt: 0 });
    }
    await world.settle();
    expect(gateway.server.stats.dropped.overloaded).toBe(1000 - 356 + 4);
    expect(long.types.filter((type) => type === 'QueryResponse')).toHaveLength(16);
    // What was handled makes room again.
    long.say({ type: 'Query', correlationId: 'again', payload, createdAt: 0 });
    await world.settle();
    expect(long.last).toMatchObject({ type: 'QueryResponse', correlationId: 'again' });
  });

  test('a connection that begins and abandons sessions leaves no more behind than its rate allows', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    for (let n = 0; n < 300; ++n) {
      const peer = gateway.connect();
      peer.create();
      peer.lose();
    }
    await world.settle();
    expect(gateway.server.stats.sessions).toBeLessThanOrEqual(16);
    expect(await world.keys('o/')).toHaveLength(gateway.server.stats.sessions);
    await world.pass(91_000);
    expect(await world.keys('o/')).toEqual([]);
    expect(gateway.server.stats).toMatchObject({ sessions: 0, pending: 0 });
  });
});

describe('an application that fails', () => {
  test('hundreds of sessions that end while the store is away go when it is back, without a warning of Node.js', async () => {
    const warnings: Error[] = [];
    const warned = (warning: Error): void => void warnings.push(warning);
    process.on('warning', warned);
    const world = new World();
    const gateway = await world.gateway('a', { maxSessionsPerIdentity: 1000 });
    const peers = Array.from({ length: 200 }, () => gateway.connect());
    for (const peer of peers) peer.create();
    await world.settle();
    gateway.store.fault = 'unreachable';
    for (const peer of peers) peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    await world.pass(3000);
    expect(gateway.server.stats).toMatchObject({ sessions: 0, closed: 0 });
    gateway.store.fault = 'none';
    await world.pass(3000);
    expect(gateway.server.stats.closed).toBe(200);
    expect(await world.keys('o/')).toEqual([]);
    process.off('warning', warned);
    expect(warnings).toEqual([]);
  });

  test('a listener that throws does not end the queue', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const error = new Error('broken listener');
    gateway.server.on('sessionCreated', () => {
      throw error;
    });
    gateway.server.on('sessionDisconnected', async () => {
      throw error;
    });
    const peer = await gateway.session();
    peer.say({ type: 'ConnectionClosed' });
    peer.continue(peer.id);
    await world.settle();
    expect(peer.types).toEqual(['SessionCreated', 'SessionContinued']);
    expect(gateway.events('listenerError')).toEqual([
      [error, 'sessionCreated'],
      [error, 'sessionDisconnected'],
    ]);
  });

  test('an `onExpire` that throws is told, and the session is removed all the same', async () => {
    const world = new World();
    const error = new Error('broken hook');
    const gateway = await world.gateway('a', {
      onExpire: () => {
        throw error;
      },
    });
    const peer = await gateway.session();
    peer.say({ type: 'CloseSession', reason: 'ClientShutdown' });
    await world.settle();
    expect(gateway.events('listenerError')).toEqual([[error, 'onExpire']]);
    expect(await world.keys('o/')).toEqual([]);
  });

  test('a clock of a peer that throws costs only its KeepAlive', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const error = new Error('broken clock');
    const peer = gateway.connect('device', () => {
      throw error;
    });
    peer.create();
    await world.settle();
    // The transport is asked from the second one on.
    peer.keepAlive(startWallMs);
    peer.keepAlive(startWallMs + 1);
    peer.request(1);
    await world.settle();
    expect(gateway.events('listenerError')).toEqual([[error, 'action']]);
    expect(peer.types).toEqual(['SessionCreated', 'KeepAliveResponse', 'RequestError']);
  });
});
