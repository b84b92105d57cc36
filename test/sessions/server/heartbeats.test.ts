import { describe, expect, test } from 'vitest';
import { closedWith, startWallMs, World } from './world.js';

const answers = (timestamps: readonly number[]): object[] =>
  timestamps.map((timestamp) => ({ type: 'KeepAliveResponse', timestamp }));

describe('stale and duplicate KeepAlives', () => {
  test('a KeepAlive that comes again, or after a newer one, is counted and not answered', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    const t = startWallMs;
    for (const timestamp of [t, t, t + 2, t + 1]) peer.keepAlive(timestamp);
    await world.settle();
    expect(peer.received.slice(1)).toEqual(answers([t, t + 2]));
    expect(gateway.server.stats).toMatchObject({ keepAlives: 2, dropped: { stale: 2 } });
    expect(gateway.server.diagnostics(peer.id)).toMatchObject({
      lastHeartbeats: [t, t + 2],
      droppedStaleResponses: 2,
    });
  });

  test('what is stale is judged by the connection: another one begins anew', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    peer.keepAlive(startWallMs + 5000);
    const next = gateway.connect();
    next.continue(peer.id);
    next.keepAlive(startWallMs);
    await world.settle();
    expect(next.types).toEqual(['SessionContinued', 'KeepAliveResponse']);
  });
});

describe('the rate of KeepAlives', () => {
  test('five come at once, then one in 2.5 s; more are dropped and do not count', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    for (let n = 0; n < 8; ++n) peer.keepAlive(startWallMs + n);
    await world.settle();
    expect(peer.received.slice(1)).toHaveLength(5);
    expect(gateway.server.stats).toMatchObject({ keepAlives: 5, dropped: { rateLimited: 3 } });
    await world.pass(2500);
    for (let n = 10; n < 12; ++n) peer.keepAlive(startWallMs + n);
    await world.settle();
    expect(peer.received.slice(1)).toHaveLength(6);
  });

  test('the 20th that is dropped within a minute ends the connection; the session stays', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    for (let n = 0; n < 5 + 19; ++n) peer.keepAlive(startWallMs + n);
    await world.settle();
    expect(peer.last?.type).toBe('KeepAliveResponse');
    peer.keepAlive(startWallMs + 100);
    await world.settle();
    expect(peer.last).toEqual(closedWith('SessionError'));
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 0 });
    await world.pass(1000);
    expect(peer.closed).toBeDefined();
  });

  test('a client that is a little too fast all the time is never cut off', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    for (let n = 0; n < 200; ++n) {
      await world.pass(2000);
      peer.keepAlive();
    }
    await world.settle();
    expect(gateway.server.stats.dropped.rateLimited).toBeGreaterThan(20);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 1 });
  });
});

describe('clock skew', () => {
  /** A client whose clock is an hour behind, and what its transport knows of it. */
  const hourMs = 3_600_000;

  test('a device with a wrong clock is not locked out; its deviation is told, at most once in a minute', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect('device', () => undefined);
    peer.create();
    await world.settle();
    for (let n = 0; n < 3; ++n) {
      peer.keepAlive(world.clock.wallNow() - hourMs);
      await world.pass(30_000);
    }
    expect(gateway.server.stats).toMatchObject({ keepAlives: 3, dropped: { skewed: 0 } });
    expect(gateway.events('clockSkew')).toMatchObject([[{ sessionId: peer.id }, -hourMs]]);
    const { bounds, counts, sum } = gateway.server.stats.skewMs;
    // Once for each connection.
    expect([bounds[0], counts[0], counts.at(-1), sum]).toEqual([-hourMs, 1, 1, -hourMs]);
    expect(counts.length).toBe(bounds.length + 1);
    // What tells of a gateway goes through JSON, which has no infinite numbers.
    expect(JSON.parse(JSON.stringify(gateway.server.stats))).toEqual(gateway.server.stats);
    peer.lose();
    const next = gateway.connect('device', () => undefined);
    next.continue(peer.id);
    next.keepAlive(world.clock.wallNow() - hourMs);
    await world.settle();
    expect(gateway.events('clockSkew')).toHaveLength(2);
  });

  test('a KeepAlive ahead of the clock of its client by more than the tolerance is not answered and does not count', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect('device', () => undefined);
    peer.create();
    await world.settle();
    const base = 1_000_000_000_000;
    const sinceMs = world.nowMs;
    peer.keepAlive(base);
    await world.pass(30_000);
    const now = base + world.nowMs - sinceMs;
    peer.keepAlive(now + 10_001);
    await world.settle();
    expect(peer.received.slice(1)).toEqual(answers([base]));
    expect(gateway.server.stats).toMatchObject({ keepAlives: 1, dropped: { skewed: 1 } });
    expect(gateway.events('clockSkew').at(-1)).toMatchObject([{ sessionId: peer.id }, expect.any(Number)]);
    // At the tolerance it counts, and one that was rejected makes none stale.
    peer.keepAlive(now + 10_000);
    await world.settle();
    expect(peer.received.slice(1)).toEqual(answers([base, now + 10_000]));
    await world.pass(60_000);
    peer.keepAlive(now + hourMs);
    await world.pass(31_000);
    expect(peer.last).toEqual(closedWith('SessionExpired'));
  });

  test('a KeepAlive that is older than the session timeout is rejected', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { sessionTimeoutMs: 60_000 });
    const peer = await gateway.session();
    await world.pass(20_000);
    const now = world.clock.wallNow();
    peer.keepAlive(now - 60_001);
    peer.keepAlive(now - 60_000);
    await world.settle();
    expect(peer.received.slice(1)).toEqual(answers([now - 60_000]));
    expect(gateway.server.stats.dropped.skewed).toBe(1);
  });

  test('without a transport that follows clocks, timestamps are compared with the clock of the wall, the first one too', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    peer.keepAlive(world.clock.wallNow() + 10_001);
    peer.keepAlive(world.clock.wallNow() + 10_000);
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ keepAlives: 1, dropped: { skewed: 1 } });
    expect(gateway.events('clockSkew')).toMatchObject([[{ sessionId: peer.id }, 10_001]]);
  });

  test('with `warn` a KeepAlive beyond the tolerance is told of, and counts', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { skewPolicy: 'warn' });
    const peer = await gateway.session();
    await world.pass(80_000);
    peer.keepAlive(world.clock.wallNow() + hourMs);
    await world.pass(80_000);
    expect(peer.types).toEqual(['SessionCreated', 'KeepAliveResponse']);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, keepAlives: 1, dropped: { skewed: 0 } });
    expect(gateway.events('clockSkew')).toMatchObject([[{ sessionId: peer.id }, hourMs]]);
  });

  test('a clock that runs 1 % fast is followed once the transport has measured it, and rejected where it cannot', async () => {
    for (const isMeasured of [true, false]) {
      const world = new World();
      const gateway = await world.gateway('a');
      // The transport's own clock of the device has another origin than its wall, and the same drift.
      const deviceMs = (): number => world.nowMs * 1.01;
      const peer = gateway.connect('device', () =>
        isMeasured && world.nowMs > 45_000 ? deviceMs() + 77 : undefined,
      );
      peer.create();
      await world.settle();
      for (let n = 0; n < 100; ++n) {
        peer.keepAlive(Math.round(5_000_000 + deviceMs()));
        await world.pass(30_000);
      }
      const { keepAlives, dropped, sessions } = gateway.server.stats;
      if (isMeasured) expect([keepAlives, dropped.skewed, sessions]).toEqual([100, 0, 1]);
      else expect([keepAlives < 40, dropped.skewed > 0, sessions]).toEqual([true, true, 0]);
    }
  });

  test('a transport that has lost its measure for a while does not make rejected timestamps pass', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    let isMeasured = true;
    const peer = gateway.connect('device', () => (isMeasured ? world.nowMs : undefined));
    peer.create();
    await world.settle();
    const origin = 9_000_000;
    peer.keepAlive(origin + world.nowMs);
    await world.pass(30_000);
    isMeasured = false;
    peer.keepAlive(origin + world.nowMs + 20_000);
    peer.keepAlive(origin + world.nowMs);
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ keepAlives: 2, dropped: { skewed: 1 } });
  });

  test('the transport is asked for the clock of a client only until it knows it, and when a timestamp is off', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    let asked = 0;
    const peer = gateway.connect('device', () => {
      ++asked;
      return asked < 3 ? undefined : world.nowMs;
    });
    peer.create();
    await world.settle();
    for (let n = 0; n < 20; ++n) {
      peer.keepAlive();
      await world.pass(30_000);
    }
    expect(asked).toBe(3);
    peer.keepAlive(world.clock.wallNow() + 1001);
    await world.settle();
    expect(asked).toBe(4);
    expect(gateway.server.stats.keepAlives).toBe(21);
  });

  test('when the clock of the machine is set, clients are not rejected whose clocks the transport follows', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = gateway.connect('device', () => world.nowMs);
    peer.create();
    await world.settle();
    peer.keepAlive(startWallMs + world.nowMs);
    world.clock.wallOffsetMs = -86_400_000;
    await world.pass(30_000);
    peer.keepAlive(startWallMs + world.nowMs);
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ keepAlives: 2, dropped: { skewed: 0 } });
  });
});

describe('diagnostics', () => {
  test('round trips are taken at so many KeepAlives of all sessions as cost little', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { maxSessionsPerIdentity: 1000 });
    const peers = [];
    for (let n = 0; n < 150; ++n) peers.push(await gateway.session());
    for (const peer of peers) {
      peer.roundTripMs = 10;
      peer.keepAlive();
    }
    await world.settle();
    expect(gateway.server.stats.keepAlives).toBe(150);
    expect(gateway.server.stats.roundTripMs.counts.at(-1)).toBe(100);
    await world.pass(1000);
    for (const peer of peers) peer.keepAlive();
    await world.settle();
    expect(gateway.server.stats.roundTripMs.counts.at(-1)).toBe(120);
  });

  test('a session has the fields of the source document', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    expect(gateway.server.diagnostics(peer.id)).toEqual({
      sessionId: peer.id,
      lastHeartbeats: [],
      currentExpiredAt: world.clock.wallNow() + 90_000,
      averageRoundTripTime: 0,
      lastRoundTripTime: 0,
      droppedStaleResponses: 0,
      intervalJitterMs: 0,
    });
    peer.roundTripMs = 80;
    const sent: number[] = [];
    for (const intervalMs of [30_000, 30_000, 38_000]) {
      await world.pass(intervalMs);
      sent.push(world.clock.wallNow());
      peer.keepAlive();
      await world.settle();
      peer.roundTripMs = 160;
    }
    await world.pass(10_000);
    expect(gateway.server.diagnostics(peer.id)).toEqual({
      sessionId: peer.id,
      lastHeartbeats: sent,
      currentExpiredAt: world.clock.wallNow() + 80_000,
      averageRoundTripTime: 98.75,
      lastRoundTripTime: 160,
      droppedStaleResponses: 0,
      intervalJitterMs: 1000,
    });
    expect(gateway.server.stats.roundTripMs).toMatchObject({ sum: 400 });
    expect(gateway.server.diagnostics('unknown')).toBeUndefined();
  });

  test('the last 16 timestamps are kept, over all connections', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    const sent: number[] = [];
    for (let n = 0; n < 20; ++n) {
      await world.pass(30_000);
      sent.push(world.clock.wallNow());
      peer.keepAlive();
      await world.settle();
    }
    expect(gateway.server.diagnostics(peer.id)?.lastHeartbeats).toEqual(sent.slice(-16));
  });
});
