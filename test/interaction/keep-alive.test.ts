import { describe, expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import {
  KeepAlive,
  type KeepAliveEvent,
  type KeepAliveHandlers,
  type KeepAliveOptions,
  type KeepAliveState,
  nextKeepAliveState,
} from '../../src/interaction/keep-alive.js';
import { VirtualTime } from './virtual-time.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 5000 : 300 }, (_, seed) => seed) : [Number(only)];

/** Virtual time, and the errors of its wheel's callbacks. */
class Time extends VirtualTime {
  readonly errors: unknown[] = [];
  override readonly wheel: TimingWheel = new TimingWheel(this.clock, (error) => this.errors.push(error));
}

/** A keep-alive whose pings go nowhere, and what it did, each with its time in milliseconds. */
function setUp(options: KeepAliveOptions = {}, handlers: Partial<KeepAliveHandlers> = {}) {
  const time = new Time();
  const log: [atMs: number, what: string][] = [];
  const note = (what: string): void => void log.push([time.nowMs, what]);
  const keepAlive: KeepAlive = new KeepAlive(
    time.wheel,
    {
      sendPing: (sequence) => {
        note(`ping ${sequence}`);
        return true;
      },
      sendPong: (sequence) => {
        note(`pong ${sequence}`);
        return true;
      },
      latency: (latencyMs) => note(`latency ${latencyMs}`),
      timeout: () => note('timeout'),
      ...handlers,
    },
    options,
  );
  return { time, log, note, keepAlive };
}

/** Two sides of a link on which a message takes 40 ms. */
function setUpPair() {
  const time = new Time();
  const log: [atMs: number, what: string][] = [];
  const link = { pongsPass: true };
  const side = (name: string, other: () => KeepAlive): KeepAlive =>
    new KeepAlive(time.wheel, {
      sendPing: (sequence) => {
        log.push([time.nowMs, `${name} pings ${sequence}`]);
        time.clock.setTimeout(() => other().onPing(sequence), 40);
        return true;
      },
      sendPong: (sequence) => {
        log.push([time.nowMs, `${name} pongs ${sequence}`]);
        if (link.pongsPass) time.clock.setTimeout(() => other().onPong(sequence), 40);
        return true;
      },
      latency: (latencyMs) => log.push([time.nowMs, `${name} measures ${latencyMs}`]),
      timeout: () => log.push([time.nowMs, `${name} gives up`]),
    });
  const controller: KeepAlive = side('controller', () => device);
  const device: KeepAlive = side('device', () => controller);
  return { time, log, link, controller, device };
}

test('TC-PROTO-007: after 30 s a ping is sent, its pong comes without the application, the latency is told', () => {
  const { time, log, controller, device } = setUpPair();
  controller.start();
  time.runTo(29_999);
  expect(log).toEqual([]);
  time.runTo(30_080);
  expect(log).toEqual([
    [30_000, 'controller pings 1'],
    [30_040, 'device pongs 1'],
    [30_080, 'controller measures 80'],
  ]);
  expect(controller.stats).toEqual({ pingsSent: 1, pongsReceived: 1, missed: 0, lastLatencyMs: 80 });
  time.runTo(60_000);
  expect(log.slice(3)).toEqual([[60_000, 'controller pings 2']]);
  controller.onPong(1);
  controller.onPong(3);
  expect([controller.state, controller.stats.pongsReceived]).toEqual(['WAITING_PONG', 1]);
  time.runTo(60_080);
  expect([controller.state, controller.stats.pongsReceived]).toEqual(['IDLE', 2]);
  // A side that has not been started answers all the same, and does nothing else.
  expect([device.state, device.stats.pingsSent]).toEqual(['IDLE', 0]);
});

test('TC-PROTO-007: both sides may ping at the same time, and neither counts as traffic of the other', () => {
  const { time, log, controller, device } = setUpPair();
  controller.start();
  device.start();
  time.runTo(90_080);
  const pings = log.filter(([, what]) => what.includes('pings'));
  expect(pings.map(([atMs]) => atMs)).toEqual([30_000, 30_000, 60_000, 60_000, 90_000, 90_000]);
  for (const side of [controller, device])
    expect(side.stats).toEqual({ pingsSent: 3, pongsReceived: 3, missed: 0, lastLatencyMs: 80 });
});

describe('TC-PROTO-008', () => {
  test('TC-PROTO-008: without pongs, pings at 30, 60 and 90 s are missed, and 95 s are the end, told once', () => {
    const { time, log, link, controller, device } = setUpPair();
    link.pongsPass = false;
    controller.start();
    device.start();
    const missed: number[] = [];
    for (const atMs of [34_999, 35_000, 64_999, 65_000, 94_999, 95_000]) {
      time.runTo(atMs);
      missed.push(controller.stats.missed);
    }
    expect(missed).toEqual([0, 1, 1, 2, 2, 3]);
    expect(controller.state).toBe('TIMEOUT');
    time.runTo(1_000_000);
    expect(log.filter(([, what]) => /controller (pings|gives)/.test(what))).toEqual([
      [30_000, 'controller pings 1'],
      [60_000, 'controller pings 2'],
      [90_000, 'controller pings 3'],
      [95_000, 'controller gives up'],
    ]);
    expect(time.wheel.size).toBe(0);
  });

  test('TC-PROTO-008: a pong after two misses begins the count anew', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(91_000);
    expect([keepAlive.state, keepAlive.stats.missed]).toEqual(['WAITING_PONG', 2]);
    keepAlive.onPong(3);
    expect([keepAlive.state, keepAlive.stats.missed]).toEqual(['IDLE', 0]);
    time.runTo(500_000);
    expect(log.slice(3)).toEqual([
      [91_000, 'latency 1000'],
      [120_000, 'ping 4'],
      [150_000, 'ping 5'],
      [180_000, 'ping 6'],
      [185_000, 'timeout'],
    ]);
  });

  test.each([
    ['returns false', () => false],
    [
      'throws',
      () => {
        throw new Error('the socket is broken');
      },
    ],
  ])('TC-PROTO-008: a ping whose sending %s is missed at once', (_, sendPing) => {
    const { time, log, keepAlive } = setUp({}, { sendPing });
    keepAlive.start();
    const missed: number[] = [];
    for (const atMs of [29_999, 30_000, 60_000, 89_999]) {
      time.runTo(atMs);
      missed.push(keepAlive.stats.missed);
    }
    expect([missed, keepAlive.state]).toEqual([[0, 1, 2, 2], 'IDLE']);
    time.runTo(500_000);
    expect(log).toEqual([[90_000, 'timeout']]);
    expect(keepAlive.stats).toEqual({ pingsSent: 0, pongsReceived: 0, missed: 3, lastLatencyMs: undefined });
    expect(time.errors).toEqual([]);
  });
});

describe('the state machine', () => {
  const states: readonly KeepAliveState[] = ['IDLE', 'SEND_PING', 'WAITING_PONG', 'TIMEOUT'];
  const idle: readonly KeepAliveState[] = ['IDLE', 'IDLE', 'IDLE', 'IDLE'];

  test.each<[KeepAliveEvent, boolean, readonly KeepAliveState[]]>([
    ['started', false, idle],
    ['stopped', false, idle],
    ['intervalElapsed', false, ['SEND_PING', 'SEND_PING', 'WAITING_PONG', 'TIMEOUT']],
    ['pingSent', false, ['IDLE', 'WAITING_PONG', 'WAITING_PONG', 'TIMEOUT']],
    ['pongReceived', false, ['IDLE', 'IDLE', 'IDLE', 'TIMEOUT']],
    ['pingFailed', false, ['IDLE', 'IDLE', 'WAITING_PONG', 'TIMEOUT']],
    ['pingFailed', true, ['IDLE', 'TIMEOUT', 'WAITING_PONG', 'TIMEOUT']],
    ['pongTimedOut', false, ['IDLE', 'SEND_PING', 'IDLE', 'TIMEOUT']],
    ['pongTimedOut', true, ['IDLE', 'SEND_PING', 'TIMEOUT', 'TIMEOUT']],
  ])(
    '%s (exhausted: %s) leads from IDLE, SEND_PING, WAITING_PONG, TIMEOUT to %j',
    (event, exhausted, next) => {
      expect(states.map((state) => nextKeepAliveState(state, event, exhausted))).toEqual(next);
    },
  );

  test('goes through the states of the source document', () => {
    const seen: KeepAliveState[] = [];
    const { time, keepAlive } = setUp(
      {},
      {
        sendPing: () => seen.push(keepAlive.state) > 0,
        timeout: () => seen.push(keepAlive.state),
      },
    );
    keepAlive.start();
    for (const atMs of [0, 30_000, 35_000, 60_000, 95_000]) {
      time.runTo(atMs);
      seen.push(keepAlive.state);
    }
    expect(seen).toEqual([
      'IDLE',
      'SEND_PING',
      'WAITING_PONG',
      'IDLE',
      'SEND_PING',
      'WAITING_PONG',
      'SEND_PING',
      'TIMEOUT',
      'TIMEOUT',
    ]);
  });
});

describe('the figures', () => {
  test('are by default 30 s, 5 s, 3 pongs and so 95 s', () => {
    const { time, log, keepAlive } = setUp();
    expect(keepAlive.maxDetectionMs).toBe(95_000);
    keepAlive.start();
    time.runTo(500_000);
    expect(log).toEqual([
      [30_000, 'ping 1'],
      [60_000, 'ping 2'],
      [90_000, 'ping 3'],
      [95_000, 'timeout'],
    ]);
  });

  test('may be others', () => {
    const { time, log, keepAlive } = setUp({ pingIntervalMs: 200, pongTimeoutMs: 200, maxMissedPongs: 2 });
    expect(keepAlive.maxDetectionMs).toBe(600);
    keepAlive.start();
    time.runTo(10_000);
    expect(log).toEqual([
      [200, 'ping 1'],
      [400, 'ping 2'],
      [600, 'timeout'],
    ]);
    expect(setUp({ pingIntervalMs: 1000 }).keepAlive.maxDetectionMs).toBe(4000);
  });

  test.each<[object, string]>([
    [{ pingIntervalMs: 0 }, 'pingIntervalMs must be an integer from 1 to 86400000; got 0'],
    [{ pingIntervalMs: 2.5 }, 'pingIntervalMs must be an integer from 1 to 86400000; got 2.5'],
    [{ pongTimeoutMs: 30_001 }, 'pongTimeoutMs must be an integer from 1 to 30000; got 30001'],
    [{ pongTimeoutMs: 0 }, 'pongTimeoutMs must be an integer from 1 to 30000; got 0'],
    [{ maxMissedPongs: 0 }, 'maxMissedPongs must be an integer from 1 to 1000; got 0'],
    [{ phaseJitterMs: 30_001 }, 'phaseJitterMs must be an integer from 0 to 30000; got 30001'],
    [{ firstSequence: 0 }, 'firstSequence must be an integer from 1 to 4294967295; got 0'],
    [{ firstSequence: 2 ** 32 }, 'firstSequence must be an integer from 1 to 4294967295; got 4294967296'],
    [{ pingOnlyWhenIdle: 1 }, 'pingOnlyWhenIdle must be true or false; got 1'],
    [{ source: 'udp' }, "source must be one of 'ping', 'transport'; got \"udp\""],
    [{ random: 5 }, 'random must be a function; got 5'],
    [{ pingInterval: 5 }, "unknown option 'pingInterval' in options; did you mean 'pingIntervalMs'?"],
  ])('%j is refused', (options, message) => {
    expect(() => setUp(options)).toThrow(new HawserError('ERR_HAWSER_ARGUMENT', message));
  });
});

describe('start and stop', () => {
  test('start twice is one loop', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(10_000);
    keepAlive.start();
    time.runTo(90_000);
    keepAlive.start();
    expect(keepAlive.state).toBe('WAITING_PONG');
    time.runTo(95_000);
    expect(log.map(([atMs]) => atMs)).toEqual([30_000, 60_000, 90_000, 95_000]);
  });

  test.each([10_000, 32_000])('stop at %i ms ends it, and may be called again', (atMs) => {
    const { time, log, keepAlive } = setUp();
    keepAlive.stop();
    keepAlive.start();
    time.runTo(atMs);
    keepAlive.stop();
    keepAlive.stop();
    expect([keepAlive.state, time.wheel.size]).toEqual(['IDLE', 0]);
    time.runTo(1_000_000);
    expect(log.filter(([loggedMs]) => loggedMs > atMs)).toEqual([]);
  });

  test('a pong after stop is ignored', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(31_000);
    keepAlive.stop();
    keepAlive.onPong(1);
    keepAlive.onTraffic();
    expect(log).toEqual([[30_000, 'ping 1']]);
    expect([keepAlive.stats.pongsReceived, time.wheel.size]).toEqual([0, 0]);
  });

  test('start after stop or a timeout begins anew, with further sequences', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(70_000);
    keepAlive.stop();
    keepAlive.start();
    expect(keepAlive.stats.missed).toBe(0);
    time.runTo(165_000);
    expect(keepAlive.state).toBe('TIMEOUT');
    keepAlive.stop();
    expect(keepAlive.state).toBe('TIMEOUT');
    keepAlive.start();
    expect([keepAlive.state, keepAlive.stats.missed]).toEqual(['IDLE', 0]);
    time.runTo(195_000);
    expect(log.slice(2)).toEqual([
      [100_000, 'ping 3'],
      [130_000, 'ping 4'],
      [160_000, 'ping 5'],
      [165_000, 'timeout'],
      [195_000, 'ping 6'],
    ]);
  });

  test('stop within sendPing, as of a connection that closes, ends it', () => {
    const { time, log, note, keepAlive } = setUp(
      {},
      {
        sendPing: () => {
          note('broken');
          keepAlive.stop();
          return false;
        },
      },
    );
    keepAlive.start();
    time.runTo(1_000_000);
    expect(log).toEqual([[30_000, 'broken']]);
    expect([keepAlive.state, keepAlive.stats.missed]).toEqual(['IDLE', 0]);
  });

  test('an error of the timeout handler goes to the wheel, after everything is done', () => {
    const wrong = new Error('wrong');
    const { time, keepAlive } = setUp(
      {},
      {
        timeout: () => {
          throw wrong;
        },
      },
    );
    keepAlive.start();
    time.runTo(1_000_000);
    expect(time.errors).toEqual([wrong]);
    expect(keepAlive.state).toBe('TIMEOUT');
  });
});

describe('a pong', () => {
  test('with another sequence is ignored: the ping is missed', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(61_000);
    for (const sequence of [0, 1, 3, 4_294_967_295, Number.NaN]) keepAlive.onPong(sequence);
    time.runTo(65_000);
    expect(keepAlive.stats).toEqual({ pingsSent: 2, pongsReceived: 0, missed: 2, lastLatencyMs: undefined });
    expect(log).toEqual([
      [30_000, 'ping 1'],
      [60_000, 'ping 2'],
    ]);
  });

  test('that comes after its 5 s is ignored: its ping stays missed', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(35_000);
    keepAlive.onPong(1);
    time.runTo(45_000);
    keepAlive.onPong(1);
    expect(keepAlive.stats).toEqual({ pingsSent: 1, pongsReceived: 0, missed: 1, lastLatencyMs: undefined });
    time.runTo(60_001);
    keepAlive.onPong(1);
    expect([keepAlive.state, keepAlive.stats.missed]).toEqual(['WAITING_PONG', 1]);
    time.runTo(200_000);
    expect(log.at(-1)).toEqual([95_000, 'timeout']);
  });

  test('that comes at 4,999 ms is in time', () => {
    const { time, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(34_999);
    keepAlive.onPong(1);
    expect(keepAlive.stats).toMatchObject({ pongsReceived: 1, missed: 0, lastLatencyMs: 4999 });
  });

  test('that comes twice counts once', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(30_500);
    keepAlive.onPong(1);
    time.runTo(30_600);
    keepAlive.onPong(1);
    expect(log.slice(1)).toEqual([[30_500, 'latency 500']]);
    expect(keepAlive.stats).toMatchObject({ pongsReceived: 1, lastLatencyMs: 500 });
  });

  test('without any ping is ignored', () => {
    const { log, keepAlive } = setUp();
    keepAlive.onPong(0);
    keepAlive.start();
    keepAlive.onPong(0);
    keepAlive.onPong(1);
    expect([log, keepAlive.stats.pongsReceived]).toEqual([[], 0]);
  });

  test('may come while its ping is being sent', () => {
    const { time, log, note, keepAlive } = setUp(
      {},
      {
        sendPing: (sequence) => {
          note(`ping ${sequence}`);
          keepAlive.onPong(sequence);
          return true;
        },
      },
    );
    keepAlive.start();
    time.runTo(60_000);
    expect(log.map(([atMs, what]) => `${atMs} ${what}`)).toEqual([
      '30000 ping 1',
      '30000 latency 0',
      '60000 ping 2',
      '60000 latency 0',
    ]);
    expect(keepAlive.stats).toEqual({ pingsSent: 2, pongsReceived: 2, missed: 0, lastLatencyMs: 0 });
  });
});

test('the sequence comes back to 1 after 4,294,967,295, and pongs are still told apart', () => {
  const { time, log, keepAlive } = setUp({ firstSequence: 4_294_967_294 });
  keepAlive.start();
  for (const [atMs, sequence] of [
    [30_001, 4_294_967_294],
    [60_001, 4_294_967_295],
    [90_001, 1],
    [120_001, 2],
  ] as const) {
    time.runTo(atMs);
    keepAlive.onPong(sequence);
  }
  expect(log.filter(([, what]) => what.startsWith('ping')).map(([, what]) => what)).toEqual([
    'ping 4294967294',
    'ping 4294967295',
    'ping 1',
    'ping 2',
  ]);
  expect(keepAlive.stats).toEqual({ pingsSent: 4, pongsReceived: 4, missed: 0, lastLatencyMs: 1 });
});

describe('a ping of the other side', () => {
  test('is answered with its sequence, before start and after stop, whatever it is', () => {
    const { log, keepAlive } = setUp();
    keepAlive.onPing(42);
    keepAlive.start();
    keepAlive.onPing(0);
    keepAlive.stop();
    keepAlive.onPing(4_294_967_295);
    expect(log.map(([, what]) => what)).toEqual(['pong 42', 'pong 0', 'pong 4294967295']);
  });

  test('whose pong cannot be sent breaks nothing', () => {
    const { keepAlive } = setUp(
      {},
      {
        sendPong: () => {
          throw new Error('the queue is full');
        },
      },
    );
    expect(() => keepAlive.onPing(1)).not.toThrow();
  });
});

describe('pings only when idle', () => {
  test('a ping is sent an interval after what was received last', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    for (let atMs = 1000; atMs <= 100_500; atMs += 500) {
      time.runTo(atMs);
      keepAlive.onTraffic();
    }
    expect(log).toEqual([]);
    time.runTo(130_499);
    expect(log).toEqual([]);
    time.runTo(130_500);
    expect(log).toEqual([[130_500, 'ping 1']]);
  });

  test('a peer that falls silent after traffic is noticed within 95 s', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(31_000);
    keepAlive.onPong(1);
    time.runTo(59_999);
    keepAlive.onTraffic();
    time.runTo(1_000_000);
    expect(log.at(-1)).toEqual([59_999 + 95_000, 'timeout']);
  });

  test('traffic ends a row of missed pongs', () => {
    const { time, log, keepAlive } = setUp();
    keepAlive.start();
    time.runTo(70_000);
    expect(keepAlive.stats.missed).toBe(2);
    keepAlive.onTraffic();
    expect(keepAlive.stats.missed).toBe(0);
    time.runTo(1_000_000);
    expect(log.slice(2)).toEqual([
      [100_000, 'ping 3'],
      [130_000, 'ping 4'],
      [160_000, 'ping 5'],
      [165_000, 'timeout'],
    ]);
  });

  test('a ping after which other traffic came is not missed, and its pong still measures', () => {
    const { time, log, keepAlive } = setUp({ maxMissedPongs: 1 });
    keepAlive.start();
    time.runTo(32_000);
    keepAlive.onTraffic();
    time.runTo(35_000);
    expect([keepAlive.state, keepAlive.stats.missed]).toEqual(['IDLE', 0]);
    time.runTo(62_000);
    time.runTo(63_000);
    keepAlive.onTraffic();
    time.runTo(64_000);
    keepAlive.onPong(2);
    expect(log).toEqual([
      [30_000, 'ping 1'],
      [62_000, 'ping 2'],
      [64_000, 'latency 2000'],
    ]);
    time.runTo(93_000);
    expect(log.at(-1)).toEqual([93_000, 'ping 3']);
  });

  test('switched off: a ping in every interval, and only its pong counts', () => {
    const { time, log, keepAlive } = setUp({ pingOnlyWhenIdle: false });
    keepAlive.start();
    for (let atMs = 500; atMs <= 200_000; atMs += 500) {
      time.runTo(atMs);
      keepAlive.onTraffic();
    }
    expect(log).toEqual([
      [30_000, 'ping 1'],
      [60_000, 'ping 2'],
      [90_000, 'ping 3'],
      [95_000, 'timeout'],
    ]);
  });
});

describe('with the transport as source', () => {
  test('nothing is sent and no timer is armed, but pings are answered', () => {
    const { time, log, keepAlive } = setUp({ source: 'transport' });
    keepAlive.start();
    keepAlive.onTraffic();
    expect([time.wheel.size, time.clock.nextDueMs]).toEqual([0, Number.POSITIVE_INFINITY]);
    time.runTo(86_400_000);
    keepAlive.onPing(7);
    expect(log).toEqual([[86_400_000, 'pong 7']]);
    expect(keepAlive.state).toBe('IDLE');
  });

  test('the round trip of the transport is told once in every interval, once there is one', () => {
    let roundTripMs: number | undefined;
    const { time, log, keepAlive } = setUp({ source: 'transport' }, { roundTripMs: () => roundTripMs });
    time.runTo(100_000);
    keepAlive.start();
    time.runTo(140_000);
    roundTripMs = 0;
    time.runTo(170_000);
    roundTripMs = 12.5;
    time.runTo(225_000);
    expect(log).toEqual([
      [190_000, 'latency 12.5'],
      [220_000, 'latency 12.5'],
    ]);
    expect(keepAlive.stats).toEqual({ pingsSent: 0, pongsReceived: 0, missed: 0, lastLatencyMs: 12.5 });
    keepAlive.stop();
    time.runTo(1_000_000);
    expect([log.length, time.wheel.size, keepAlive.state]).toEqual([2, 0, 'IDLE']);
  });

  test('pings measure by themselves: the transport is not asked', () => {
    const { time, log, keepAlive } = setUp({}, { roundTripMs: () => 5 });
    keepAlive.start();
    time.runTo(30_000);
    keepAlive.onPong(1);
    expect(log).toEqual([
      [30_000, 'ping 1'],
      [30_000, 'latency 0'],
    ]);
  });
});

describe('10,000 keep-alives', () => {
  const count = 10_000;

  function crowd(options: KeepAliveOptions) {
    const time = new Time();
    const pingsMs: number[][] = [];
    const timeoutsMs: number[] = [];
    const all = Array.from({ length: count }, (_, index) => {
      const mine: number[] = [];
      pingsMs.push(mine);
      return new KeepAlive(
        time.wheel,
        {
          sendPing: () => mine.push(time.nowMs) > 0,
          sendPong: () => true,
          timeout: () => timeoutsMs.push(index),
        },
        options,
      );
    });
    for (const each of all) each.start();
    return { time, pingsMs, timeoutsMs, all };
  }

  test('run on one wheel: each is answered or gives up for itself', () => {
    const { time, pingsMs, timeoutsMs, all } = crowd({});
    expect(time.wheel.size).toBe(count);
    for (let round = 1; round <= 4; ++round) {
      time.runTo(round * 30_000 + 100);
      for (const [index, each] of all.entries()) if (index % 100 !== 7) each.onPong(round);
    }
    const silent = all.map((_, index) => index).filter((index) => index % 100 === 7);
    expect(timeoutsMs).toEqual(silent);
    for (const [index, mine] of pingsMs.entries())
      expect(mine).toEqual(
        silent.includes(index) ? [30_000, 60_000, 90_000] : [30_000, 60_000, 90_000, 120_000],
      );
    expect(time.wheel.size).toBe(count - silent.length);
  });

  test('with a phase jitter ping at different times, none late', () => {
    const { time, pingsMs, timeoutsMs } = crowd({ phaseJitterMs: 30_000, random: seededRandom(6) });
    time.runTo(30_000);
    const perSecond = Array.from({ length: 30 }, () => 0);
    for (const mine of pingsMs) {
      expect(mine).toHaveLength(1);
      const second = Math.min(29, Math.floor((mine[0] ?? 0) / 1000));
      perSecond[second] = (perSecond[second] ?? 0) + 1;
    }
    // Evenly it were 333 each; six standard deviations are 108.
    expect(Math.max(...perSecond)).toBeLessThan(333 + 108);
    expect(Math.min(...perSecond)).toBeGreaterThan(333 - 108);
    time.runTo(95_000);
    expect(timeoutsMs).toHaveLength(count);
  });
});

test('over random losses, delays and traffic, nobody gives up too early or later than promised', () => {
  let gaveUp = 0;
  for (const seed of seeds) {
    const random = seededRandom(seed);
    const pingOnlyWhenIdle = seed % 2 === 0;
    const answers = random();
    let lastSignMs = 0;
    let unanswered = 0;
    let ended = 0;
    let stopped = false;
    const { time, keepAlive } = setUp(
      { pingOnlyWhenIdle, phaseJitterMs: seed % 3 === 0 ? 10_000 : 0, random },
      {
        sendPing: (sequence) => {
          ++unanswered;
          if (random() < 0.1) return false;
          if (random() > answers) return true;
          const delayMs = Math.floor(random() * 6000) + 0.5;
          time.clock.setTimeout(() => {
            if (stopped) return;
            const before = keepAlive.stats.pongsReceived;
            keepAlive.onPong(sequence);
            expect(keepAlive.stats.pongsReceived - before, `HAWSER_SEED=${seed}`).toBe(
              delayMs < 5000 ? 1 : 0,
            );
            if (delayMs >= 5000) return;
            lastSignMs = time.nowMs;
            unanswered = 0;
          }, delayMs);
          return true;
        },
        timeout: () => {
          ++ended;
          expect(unanswered, `HAWSER_SEED=${seed}`).toBeGreaterThanOrEqual(3);
          expect(time.nowMs - lastSignMs, `HAWSER_SEED=${seed}`).toBeLessThanOrEqual(
            keepAlive.maxDetectionMs,
          );
        },
      },
    );
    keepAlive.start();
    while (time.nowMs < 3_600_000 && ended === 0) {
      time.runTo(time.nowMs + Math.floor(random() * (seed % 5) * 40_000) + 1000);
      if (ended > 0) break;
      keepAlive.onTraffic();
      if (pingOnlyWhenIdle) {
        lastSignMs = time.nowMs;
        unanswered = 0;
      }
    }
    gaveUp += ended;
    stopped = true;
    keepAlive.stop();
    time.runTo(time.nowMs + 1_000_000);
    expect([ended, time.wheel.size, time.errors], `HAWSER_SEED=${seed}`).toEqual([Math.min(ended, 1), 0, []]);
  }
  if (only === undefined) expect(gaveUp).toBeGreaterThan(seeds.length / 10);
});
