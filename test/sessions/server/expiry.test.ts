import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { closedWith, type Peer, rejected, World } from './world.js';

describe('expiry', () => {
  test('a session expires in (timeout, timeout + tick] after its last KeepAlive, and its client is told', async () => {
    const seed = 8;
    const random = seededRandom(seed);
    for (const fraction of [0, 0.001, 0.5, 0.999, random(), random()]) {
      const world = new World();
      const gateway = await world.gateway('a');
      await world.pass(1800 + fraction * 1000);
      const peer = await gateway.session();
      await world.pass(45_123);
      peer.keepAlive();
      const renewedMs = world.nowMs;
      await world.pass(90_000);
      expect(gateway.server.stats.sessions, `seed ${seed}, ${fraction}`).toBe(1);
      await world.pass(1000);
      expect(peer.last).toEqual(closedWith('SessionExpired'));
      const afterMs = (peer.receivedMs.at(-1) ?? 0) - renewedMs - 90_000;
      expect(afterMs > 0 && afterMs <= 1000, `seed ${seed}: ${afterMs} ms after the timeout`).toBe(true);
      expect(gateway.events('sessionEnded')).toMatchObject([[{ sessionId: peer.id }, 'expired']]);
      expect(await world.keys('o/')).toEqual([]);
      expect(gateway.server.stats).toMatchObject({ sessions: 0, connected: 0, expired: 1 });
      await world.pass(1000);
      expect(peer.closed).toBeDefined();
    }
  });

  test('no clean-up comes as long as all KeepAlives come, for none of them is about a session that is not due', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peers = await Promise.all([1, 2, 3].map(() => gateway.session()));
    for (let beats = 0; beats < 10; ++beats) {
      await world.pass(30_000);
      for (const peer of peers) peer.keepAlive();
    }
    await world.settle();
    expect(gateway.server.stats).toMatchObject({ sessions: 3, keepAlives: 30 });
    expect(gateway.server.stats.cleanupMs.counts.at(-1)).toBe(0);
  });

  test('a session whose deadline falls on the second of a clean-up is not expired by that one', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    await world.pass(2000 - world.nowMs);
    const peer = await gateway.session();
    await world.pass(90_000);
    expect(world.nowMs).toBe(92_000);
    expect(gateway.server.stats.sessions).toBe(1);
    await world.pass(999);
    expect(gateway.server.stats.sessions).toBe(1);
    await world.pass(1);
    expect(peer.last).toEqual(closedWith('SessionExpired'));
  });

  test('a Disconnected session expires by the same clock, and cannot be continued then', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    await world.pass(50_000);
    peer.lose();
    await world.pass(41_500);
    expect(gateway.server.stats.sessions).toBe(0);
    const next = gateway.connect();
    next.continue(peer.id, 9n);
    await world.settle();
    expect(next.received).toEqual([rejected('SessionExpired', 9n)]);
  });

  test('a Continue in the queue before the clean-up wins, one behind it hears SessionExpired', async () => {
    for (const isBefore of [true, false]) {
      const world = new World();
      const gateway = await world.gateway('a');
      await world.pass(2000 - world.nowMs);
      const peer = await gateway.session();
      peer.lose();
      await world.pass(90_999);
      const next = gateway.connect();
      // All in one turn of the event loop: nothing of the queue runs before both are in it.
      if (isBefore) next.continue(peer.id, 4n);
      world.time.runTo(93_000);
      if (!isBefore) next.continue(peer.id, 4n);
      await world.settle();
      if (isBefore) {
        expect(next.types).toEqual(['SessionContinued']);
        expect(gateway.server.stats).toMatchObject({ sessions: 1, connected: 1, expired: 0 });
      } else {
        expect(next.received).toEqual([rejected('SessionExpired', 4n)]);
        expect(gateway.server.stats).toMatchObject({ sessions: 0, expired: 1 });
      }
    }
  });

  test('requests do not put expiry off, unless `renewOn` says so; dropped KeepAlives never do', async () => {
    for (const renewOn of ['keepalive', 'any'] as const) {
      const world = new World();
      const gateway = await world.gateway('a', { renewOn });
      const peer = await gateway.session();
      for (let n = 0; n < 4; ++n) {
        await world.pass(30_000);
        peer.request(n);
        await world.settle();
      }
      expect(gateway.server.stats.sessions).toBe(renewOn === 'any' ? 1 : 0);
      const stale = await gateway.session();
      const timestamp = world.clock.wallNow();
      for (let n = 0; n < 4; ++n) {
        stale.keepAlive(timestamp);
        await world.pass(30_000);
      }
      await world.pass(1000);
      expect(gateway.server.stats.dropped.stale).toBe(3);
      expect(stale.last).toEqual(closedWith('SessionExpired'));
    }
  });

  test('when somebody sets the clock of the machine, nothing expires', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    for (const stepMs of [86_400_000, -2 * 86_400_000, 3_600_000]) {
      world.clock.wallOffsetMs += stepMs;
      await world.pass(60_000);
      expect(gateway.server.stats).toMatchObject({ sessions: 1, expired: 0 });
      peer.lose();
      peer.continue(peer.id);
      await world.settle();
      const next = gateway.connect();
      next.continue(peer.id);
      await world.settle();
      expect(next.types).toEqual(['SessionContinued']);
    }
  });

  test('a mass expiry comes in slices of 5 ms, and what comes meanwhile has its turn between them', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { maxSessionsPerIdentity: 1000, warningThresholdMs: 89_999 });
    const alive = await gateway.session('alive');
    const peers: Peer[] = [];
    for (let n = 0; n < 100; ++n) {
      const peer = gateway.connect();
      // The time that an action takes.
      peer.reaction = ({ type }) => {
        if (type === 'SessionClosed') world.time.nowMs += 1;
      };
      peer.create();
      peers.push(peer);
    }
    await world.settle();
    expect(gateway.server.stats.sessions).toBe(101);
    await world.pass(80_000);
    alive.keepAlive();
    await world.settle();
    const before = gateway.server.stats.cleanupMs;
    const expiredBefore: number[] = [];
    alive.reaction = () => expiredBefore.push(peers.filter(({ types }) => types.length > 1).length);
    world.time.runTo(91_000);
    // Behind the clean-up, before the second slice of it.
    alive.request(1);
    await world.settle();
    await world.settle();
    await world.settle();
    expect(peers.every((peer) => peer.types.at(-1) === 'SessionClosed')).toBe(true);
    const slices = (gateway.server.stats.cleanupMs.counts.at(-1) ?? 0) - (before.counts.at(-1) ?? 0);
    expect(slices).toBe(20);
    expect(gateway.server.stats.cleanupMs.sum - before.sum).toBe(100);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, expired: 100 });
    expect(await world.keys('o/')).toEqual([`o/${alive.id}`]);
    // The answer to what came meanwhile came after one slice, not after all.
    expect(expiredBefore[0]).toBeLessThan(50);
  });

  test('a clean-up looks only at what is due', async () => {
    const world = new World();
    const gateway = await world.gateway('a', { maxSessionsPerIdentity: 10_000 });
    const peers = [];
    for (let n = 0; n < 300; ++n) {
      const peer = gateway.connect();
      peer.create();
      peers.push(peer);
    }
    await world.settle();
    expect(gateway.server.stats.sessions).toBe(300);
    const before = gateway.server.stats.cleanupMs.counts.at(-1) ?? 0;
    await world.pass(74_000);
    expect(gateway.server.stats.cleanupMs.counts.at(-1)).toBe(before);
    expect(world.wheel.size).toBeLessThan(20);
  });

  test('when the process has stood still, what has come meanwhile is heard before anything is expired', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const [alive, silent] = [await gateway.session(), await gateway.session()];
    // Nothing runs for two minutes; then timers come first, and the network after them.
    world.time.nowMs += 120_000;
    gateway.join();
    world.time.clock.runDue();
    await world.settle();
    expect(gateway.server.stats.sessions).toBe(2);
    await world.pass(900);
    alive.keepAlive();
    await world.pass(2000);
    expect(gateway.server.stats).toMatchObject({ sessions: 1, expired: 1, serving: true });
    expect(alive.types).toEqual(['SessionCreated', 'KeepAliveResponse']);
    expect(silent.last).toEqual(closedWith('SessionExpired'));
  });

  test('a session that is silent for the warning threshold is told of, once until it is heard again', async () => {
    const world = new World();
    const gateway = await world.gateway('a');
    const peer = await gateway.session();
    await world.pass(75_000);
    expect(gateway.events('sessionWarning')).toEqual([]);
    await world.pass(1000);
    expect(gateway.events('sessionWarning')).toMatchObject([[{ sessionId: peer.id }, 75_800]]);
    await world.pass(10_000);
    expect(gateway.events('sessionWarning')).toHaveLength(1);
    peer.keepAlive();
    await world.pass(76_000);
    expect(gateway.events('sessionWarning')).toHaveLength(2);
    expect(gateway.server.stats).toMatchObject({ warnings: 2, sessions: 1 });
    await world.pass(16_000);
    expect(gateway.server.stats).toMatchObject({ warnings: 2, expired: 1, sessions: 0 });
  });
});
