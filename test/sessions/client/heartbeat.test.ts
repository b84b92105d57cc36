// KeepAlives: when they are sent, what their answers mean, and what happens without answers.

import { describe, expect, test } from 'vitest';
import { checkClientOptions } from '../../../src/sessions/client/client-settings.js';
import { Heartbeat } from '../../../src/sessions/client/heartbeat.js';
import { AdaptivePace } from '../../../src/sessions/client/intervals.js';
import type { SessionClientOptions } from '../../../src/sessions/client/options.js';
import { VirtualTime } from '../../interaction/virtual-time.js';
import { world } from './client-world.js';
import { bytesOf, type ScriptedGateway } from './scripted-gateways.js';

/** A heartbeat that sends nowhere, and what it did. */
function setUp(options: Partial<SessionClientOptions> = {}) {
  const time = new VirtualTime();
  const settings = checkClientOptions({ connector: async () => undefined, wheel: time.wheel, ...options });
  const sent: { atMs: number; timestamp: number; mustArrive: boolean }[] = [];
  const roundTrips: number[] = [];
  const link = { underWay: 0, transportRoundTripMs: 0, silentAtMs: undefined as number | undefined };
  const heartbeat = new Heartbeat(settings, {
    underWay: () => link.underWay,
    send: (timestamp, mustArrive) => sent.push({ atMs: time.nowMs, timestamp, mustArrive }),
    transportRoundTripMs: () => link.transportRoundTripMs,
    roundTrip: (ms) => roundTrips.push(ms),
    silent: () => {
      link.silentAtMs = time.nowMs;
    },
  });
  /** Answers the last one, some time later. */
  const answer = (afterMs = 0): void => {
    time.runTo(time.nowMs + afterMs);
    heartbeat.answered(sent.at(-1)?.timestamp ?? Number.NaN);
  };
  /** So many intervals, in which each is answered at once. */
  const beat = (count: number): void => {
    for (let n = 0; n < count; ++n) {
      answer();
      time.runTo(time.nowMs + 30_000);
    }
  };
  return { time, heartbeat, sent, roundTrips, link, answer, beat };
}

describe('KeepAlives', () => {
  test('case 17: are sent at once and in each interval while Connected, and only then', async () => {
    const { client, a, connect, pass, watch, cluster, b, c } = world();
    expect(a.times('KeepAlive')).toEqual([]);
    await connect();
    const [firstMs = Number.NaN] = a.times('KeepAlive');
    await pass(95_000);
    expect(a.times('KeepAlive')).toEqual([0, 30_000, 60_000, 90_000].map((ms) => firstMs + ms));
    expect(a.received.every(({ message, how }) => message.type !== 'KeepAlive' || how === 'unreliable')).toBe(
      true,
    );
    for (const gateway of [a, b, c]) gateway.kill();
    cluster.deadMs = 10;
    const before = client.stats.keepAlivesSent;
    await pass(300_000);
    expect(client.state).toBe('ConnectingExistingSession');
    expect(client.stats.keepAlivesSent).toBe(before);
    a.isUp = true;
    await pass(60_000);
    expect(client.state).toBe('Connected');
    expect(client.stats.keepAlivesSent).toBeGreaterThan(before);
    const left = watch(client.disconnect());
    await pass(3000);
    expect(left.state).toBe('resolved');
    const { keepAlivesSent } = client.stats;
    await pass(100_000);
    expect(client.stats.keepAlivesSent).toBe(keepAlivesSent);
  });

  test('carry times that grow by the monotonic clock, also when there are two in a millisecond', () => {
    const { heartbeat, sent, time, answer, beat } = setUp();
    heartbeat.start();
    beat(3);
    expect(sent.map(({ timestamp }) => timestamp)).toEqual([0, 30_000, 60_000, 90_000]);
    answer();
    heartbeat.stop();
    // Another connection: what was sent by the last one means nothing.
    heartbeat.start();
    expect(sent.at(-1)?.timestamp).toBe(time.nowMs);
    const {
      heartbeat: quick,
      sent: many,
      time: quickTime,
    } = setUp({
      testRanges: true,
      intervals: { idleMs: 1, busyMs: 1, poorNetworkMs: 1 },
      answerTimeoutMs: 1,
    });
    quick.start();
    quickTime.runTo(5);
    const timestamps = many.map(({ timestamp }) => timestamp);
    expect(timestamps.length).toBeGreaterThan(1);
    expect(new Set(timestamps).size).toBe(timestamps.length);
  });

  test('keep their base when somebody sets the clock of the machine', () => {
    const time = new VirtualTime();
    let steppedMs = 0;
    time.clock.wallNow = () => 1_000_000 + time.nowMs + steppedMs;
    const settings = checkClientOptions({ connector: async () => undefined, wheel: time.wheel });
    const sent: number[] = [];
    const heartbeat = new Heartbeat(settings, {
      underWay: () => 0,
      send: (timestamp) => sent.push(timestamp),
      transportRoundTripMs: () => 0,
      roundTrip: () => undefined,
      silent: () => undefined,
    });
    heartbeat.start();
    heartbeat.answered(1_000_000);
    steppedMs = -500_000;
    time.runTo(30_000);
    expect(sent).toEqual([1_000_000, 1_030_000]);
  });
});

describe('answers', () => {
  test('give the round trip, the last and the smoothed one', () => {
    const { heartbeat, roundTrips, answer, time } = setUp();
    heartbeat.start();
    answer(80);
    time.runTo(30_000);
    answer(160);
    expect(roundTrips).toEqual([80, 160]);
    expect(heartbeat.diagnostics('s')).toEqual({
      sessionId: 's',
      lastHeartbeats: [0, 30_000],
      currentExpiredAt: 120_000,
      averageRoundTripTime: 80 + 80 / 8,
      lastRoundTripTime: 160,
      droppedStaleResponses: 0,
      intervalJitterMs: 0,
    });
  });

  test('to one before the newest that was answered are dropped as stale', () => {
    const { heartbeat, time, roundTrips } = setUp();
    heartbeat.start();
    // The first is not answered; the second one follows at 5 s, and its answer overtakes that to the first.
    time.runTo(5100);
    heartbeat.answered(5000);
    heartbeat.answered(0);
    expect(heartbeat.counts).toMatchObject({ keepAlivesAnswered: 1, droppedStaleResponses: 1 });
    expect(heartbeat.diagnostics('s').droppedStaleResponses).toBe(1);
    expect(roundTrips).toEqual([100]);
  });

  test('that come twice count once', () => {
    const { heartbeat, roundTrips } = setUp();
    heartbeat.start();
    heartbeat.answered(0);
    heartbeat.answered(0);
    expect(heartbeat.counts).toMatchObject({
      keepAlivesAnswered: 1,
      droppedStaleResponses: 0,
      unexpectedResponses: 0,
    });
    expect(roundTrips).toHaveLength(1);
  });

  test('to what was never sent are unexpected, and prove nothing', () => {
    const { heartbeat, time, link } = setUp();
    heartbeat.start();
    for (const timestamp of [1, 4999, 10 ** 15, Number.MAX_SAFE_INTEGER]) heartbeat.answered(timestamp);
    expect(heartbeat.counts).toMatchObject({ keepAlivesAnswered: 0, unexpectedResponses: 4 });
    time.runTo(60_000);
    expect(link.silentAtMs).toBe(10_000);
  });

  test('to one of the last 16 are known, and to older ones not', () => {
    const { heartbeat, sent, time, beat } = setUp({ intervals: { idleMs: 30_000, poorNetworkMs: 30_000 } });
    heartbeat.start();
    beat(40);
    expect(heartbeat.diagnostics('s').lastHeartbeats).toHaveLength(16);
    expect(heartbeat.diagnostics('s').lastHeartbeats.at(-1)).toBe(sent.at(-1)?.timestamp);
    expect(heartbeat.counts).toMatchObject({ keepAlivesSent: 41, keepAlivesAnswered: 40 });
    expect(time.wheel.size).toBe(2);
  });

  test('of the last connection mean nothing on the next', () => {
    const { heartbeat, time } = setUp();
    heartbeat.start();
    time.runTo(100);
    heartbeat.stop();
    heartbeat.start();
    heartbeat.answered(0);
    expect(heartbeat.counts).toMatchObject({ keepAlivesAnswered: 0, unexpectedResponses: 1 });
  });
});

describe('without answers', () => {
  test('one more is sent at once, which must arrive; without an answer to that the connection is given up', () => {
    const { heartbeat, sent, time, link } = setUp();
    heartbeat.start();
    time.runTo(100_000);
    expect(sent).toEqual([
      { atMs: 0, timestamp: 0, mustArrive: false },
      { atMs: 5000, timestamp: 5000, mustArrive: true },
    ]);
    expect(link.silentAtMs).toBe(10_000);
    expect(heartbeat.counts.missedResponses).toBe(2);
    expect(time.wheel.size).toBe(0);
  });

  test('one that is lost costs nothing but another', () => {
    const { heartbeat, time, link, answer } = setUp();
    heartbeat.start();
    time.runTo(5000);
    answer(20);
    time.runTo(14_000);
    expect(link.silentAtMs).toBeUndefined();
    expect(heartbeat.counts).toMatchObject({ missedResponses: 1, keepAlivesSent: 2 });
  });

  test('the answer to the first counts also after the second was sent', () => {
    const { heartbeat, time, link } = setUp();
    heartbeat.start();
    time.runTo(7000);
    heartbeat.answered(0);
    time.runTo(14_000);
    expect(link.silentAtMs).toBeUndefined();
  });

  test.each([
    [0, 5000],
    [1000, 8000],
    [100_000, 15_000],
  ])(
    'a round trip of %d ms by the transport makes the wait %d ms: both fit into an interval',
    (ms, waitMs) => {
      const { heartbeat, sent, time, link } = setUp({ intervals: { poorNetworkMs: 30_000 } });
      link.transportRoundTripMs = ms;
      heartbeat.start();
      time.runTo(100_000);
      expect(sent[1]?.atMs).toBe(waitMs);
      expect(link.silentAtMs).toBe(2 * waitMs);
      expect(2 * waitMs).toBeLessThanOrEqual(30_000);
    },
  );

  test('an interval that becomes shorter meanwhile does not put off finding out', () => {
    const { heartbeat, sent, time, link } = setUp({ intervals: { busyMs: 10_000 } });
    link.transportRoundTripMs = 100_000;
    heartbeat.start();
    link.underWay = 1;
    heartbeat.active();
    time.runTo(100_000);
    expect(sent.map(({ atMs }) => atMs)).toEqual([0, 15_000]);
    expect(link.silentAtMs).toBe(20_000);
  });

  test('the time to find out fits into the interval, whatever was asked for', () => {
    for (const [idleMs, answerTimeoutMs] of [
      [10_000, 10_000],
      [30_000, 100],
      [120_000, 120_000],
    ] as const) {
      const { heartbeat, time, link } = setUp({ intervals: { idleMs }, answerTimeoutMs });
      heartbeat.start();
      heartbeat.answered(0);
      time.runTo(idleMs);
      time.runTo(1_000_000);
      expect(link.silentAtMs).toBeLessThanOrEqual(2 * idleMs);
    }
  });

  test('the client reconnects at once, to another gateway, and backs off when that fails', async () => {
    const { client, cluster, a, b, c, connect, pass, events, close } = world();
    await connect();
    await pass(30_000);
    const deaf = (gateway: ScriptedGateway): void => {
      gateway.script = (message) => message.type === 'KeepAlive';
    };
    deaf(a);
    events.length = 0;
    await pass(70_000);
    expect(events.slice(0, 3)).toEqual([
      ['stateChange', 'Connected', 'ConnectingExistingSession'],
      ['disconnected', 'ERR_HAWSER_TIMED_OUT'],
      ['reconnecting', 1, 0],
    ]);
    expect(cluster.attempts.at(-1)?.address).toBe('b:1');
    expect(client.state).toBe('Connected');
    expect(client.sessionId).toBe('session-1');
    expect(a.link.isOpen).toBe(false);
    for (const gateway of [b, c]) deaf(gateway);
    const before = cluster.attempts.length;
    await pass(300_000);
    // Each is found out after 10 s, and no connection is stable enough for the next to follow at once.
    expect(cluster.attempts.length - before).toBeLessThanOrEqual(30);
    expect(cluster.attempts.length - before).toBeGreaterThan(5);
    await close();
  });

  test('the second goes by the reliable channel, so that a network that loses much costs no connection', async () => {
    const { client, cluster, a, connect, pass } = world();
    cluster.lossRate = 0.5;
    await connect();
    await pass(3_600_000);
    expect(client.state).toBe('Connected');
    expect(cluster.attempts).toHaveLength(1);
    expect(client.stats.missedResponses).toBeGreaterThan(10);
    expect(a.received.some(({ message, how }) => message.type === 'KeepAlive' && how === 'reliable')).toBe(
      true,
    );
  });

  test('the second goes by the other channel when that one has no room', async () => {
    const { client, a, connect, pass, cluster } = world();
    await connect();
    await pass(29_000);
    a.script = (message) => message.type === 'KeepAlive';
    await pass(2000);
    a.script = undefined;
    a.link.client.room = 'refused';
    await pass(60_000);
    expect(client.state).toBe('Connected');
    expect(client.stats.missedResponses).toBe(1);
    expect(cluster.attempts).toHaveLength(1);
  });

  test('a transport without an unreliable way carries them all the same', async () => {
    const { client, cluster, a, pass, watch } = world({
      connector: (attach, signal, target, connectedTo) =>
        cluster.connector(
          (link) => attach({ send: (m) => link.send(m), close: (r) => link.close(r), detectsLoss: false }),
          signal,
          target,
          connectedTo,
        ),
    });
    const connected = watch(client.connect());
    await pass(100_000);
    expect(connected.state).toBe('resolved');
    expect(client.stats).toMatchObject({ keepAlivesSent: 4, keepAlivesAnswered: 4 });
    expect(a.received.every(({ how }) => how === 'reliable')).toBe(true);
  });

  test('one that finds no room is one that is lost', async () => {
    const { client, a, connect, pass, cluster } = world();
    await connect();
    await pass(29_000);
    a.link.client.room = 'refused';
    const { client: end } = a.link;
    const sendUnreliable = end.sendUnreliable.bind(end);
    end.sendUnreliable = () => {
      throw new Error('no room');
    };
    await pass(3000);
    end.sendUnreliable = sendUnreliable;
    end.room = 'free';
    await pass(60_000);
    expect(client.state).toBe('Connected');
    expect(client.stats.missedResponses).toBe(1);
    expect(cluster.attempts).toHaveLength(1);
  });
});

describe('the interval', () => {
  const settings = { busyMs: 15_000, idleMs: 30_000, poorNetworkMs: 10_000 };

  test('follows what happens, and is always one of the three', () => {
    let underWay = 0;
    const pace = new AdaptivePace(settings, () => underWay);
    expect(pace.intervalMs(0)).toBe(30_000);
    underWay = 1;
    expect(pace.intervalMs(0)).toBe(15_000);
    underWay = 0;
    pace.active(1000);
    expect(pace.intervalMs(15_999)).toBe(15_000);
    expect(pace.intervalMs(16_000)).toBe(30_000);
    pace.missed();
    expect(pace.intervalMs(20_000)).toBe(10_000);
    for (let n = 0; n < 4; ++n) {
      expect(pace.intervalMs(20_000)).toBe(10_000);
      pace.answered(10);
    }
    expect(pace.intervalMs(20_000)).toBe(30_000);
    pace.answered(1001);
    expect(pace.intervalMs(20_000)).toBe(10_000);
    pace.active(20_000);
    expect(pace.intervalMs(20_000)).toBe(10_000);
    pace.answered(1000);
    expect(pace.intervalMs(20_000)).toBe(15_000);
  });

  test('is shorter while requests are under way, also for the KeepAlive that is due next', async () => {
    const { client, a, connect, pass, close } = world();
    await connect();
    const [firstMs = Number.NaN] = a.times('KeepAlive');
    await pass(5000);
    a.script = (message) => message.type === 'ClientRequest';
    client.request(bytesOf('x')).catch(() => undefined);
    await pass(60_000);
    expect(a.times('KeepAlive')).toEqual([0, 15_000, 30_000, 45_000, 60_000].map((ms) => firstMs + ms));
    await close();
  });

  test('a request after long silence brings the KeepAlive that would have been due by now', async () => {
    const { client, a, connect, pass, close } = world();
    await connect();
    const [firstMs = Number.NaN] = a.times('KeepAlive');
    await pass(20_000);
    client.request(bytesOf('x')).catch(() => undefined);
    await pass(100);
    expect(a.times('KeepAlive')).toHaveLength(2);
    await pass(15_000);
    // The request was answered, and the busy time is over.
    expect(a.times('KeepAlive').at(-1)).toBeLessThanOrEqual(firstMs + 35_200);
    await close();
  });

  test('stays within what was set, and 10 s to 120 s, whatever happens', async () => {
    for (const seed of [1, 2, 3, 4, 5]) {
      const { client, cluster, a, connect, pass, close } = world({ cluster: { seed } });
      await connect();
      for (let n = 0; n < 50; ++n) {
        cluster.lossRate = cluster.random() < 0.3 ? 0.5 : 0;
        cluster.delayMs = cluster.random() < 0.2 ? 800 : 10;
        if (cluster.random() < 0.5) client.request(bytesOf('x')).catch(() => undefined);
        await pass(cluster.random() * 40_000);
      }
      // Those that were repeated apart, which are no interval's.
      const regular = a.received.filter(
        ({ message, how }) => message.type === 'KeepAlive' && how === 'unreliable',
      );
      expect(regular.length, `seed ${seed}`).toBeGreaterThan(20);
      const sent = client.stats.keepAlivesSent - client.stats.missedResponses;
      // At most one in 10 s of 1,000 s on average, at least one in 30 s.
      const elapsedMs = cluster.time.nowMs;
      expect(sent, `seed ${seed}`).toBeLessThanOrEqual(elapsedMs / 10_000 + 1);
      expect(client.stats.keepAlivesSent, `seed ${seed}`).toBeGreaterThanOrEqual(
        Math.floor(elapsedMs / 30_000),
      );
      await close();
    }
  });
});
