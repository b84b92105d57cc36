import { describe, expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { WheelTimer } from '../../../src/base/timing-wheel.js';
import { Admission, type Claim, type Refusal } from '../../../src/sync/manager/admission.js';
import { type QuotaLimits, Quotas } from '../../../src/sync/manager/quotas.js';
import { VirtualTime } from '../../interaction/virtual-time.js';

const roomy: QuotaLimits = {
  maxSessions: 1000,
  sessionsPerAgent: 8,
  maxItems: 1_000_000,
  maxItemsPerAgent: 1_000_000,
  maxBytes: 1_000_000,
  maxBytesPerAgent: 1_000_000,
};

function claimOf(agent: string, items = 1, module = 'fim'): Claim {
  return { agent, key: `${agent}/${module}`, items, bytes: 100 };
}

/** The line of a manager. */
class Line {
  readonly time = new VirtualTime();
  readonly quotas: Quotas;
  readonly admission: Admission<string>;
  readonly admitted: string[] = [];
  readonly refused: [string, Refusal][] = [];
  makeWay: (isWanted: () => boolean) => void = () => undefined;

  constructor(limits: Partial<QuotaLimits> = {}, holdMs = 5000, random = seededRandom(1)) {
    this.quotas = new Quotas({ ...roomy, ...limits });
    this.admission = new Admission<string>({
      quotas: this.quotas,
      wheel: this.time.wheel,
      random,
      holdMs,
      placesPerAgent: 2,
      admit: (request) => this.admitted.push(request),
      refuse: (request, refusal) => this.refused.push([request, refusal]),
      makeWay: (isWanted) => this.makeWay(isWanted),
    });
  }

  ask(agent: string, items = 1, module = 'fim'): 'admitted' | 'held' | Refusal {
    return this.admission.ask(claimOf(agent, items, module), agent);
  }
}

describe('quotas', () => {
  const limits: QuotaLimits = {
    maxSessions: 4,
    sessionsPerAgent: 2,
    maxItems: 100,
    maxItemsPerAgent: 60,
    maxBytes: 1000,
    maxBytesPerAgent: 600,
  };

  test('hold for each agent and for all', () => {
    const quotas = new Quotas(limits);
    quotas.take('a', 1, 50, 0);
    expect(quotas.noRoom('a', 10)).toBeUndefined();
    expect(quotas.noRoom('a', 11)).toEqual({ reason: 'TooManyItems', of: 'agent' });
    quotas.take('b', 1, 45, 0);
    expect(quotas.noRoom('a', 10)).toEqual({ reason: 'TooManyItems', of: 'all' });
    expect(quotas.noRoom('c', 5)).toBeUndefined();
    quotas.take('a', 1, 0, 0);
    expect(quotas.noRoom('a', 1)).toEqual({ reason: 'Busy', of: 'agent' });
    quotas.take('c', 1, 0, 0);
    expect(quotas.noRoom('d', 1)).toEqual({ reason: 'Busy', of: 'all' });
    quotas.take('a', -2, -50, 0);
    expect(quotas.noRoom('d', 55)).toBeUndefined();
  });

  test('hold for bytes, which leave no room for further sessions when they are used up', () => {
    const quotas = new Quotas(limits);
    quotas.take('a', 1, 1, 600);
    expect(quotas.noRoom('a', 1)).toEqual({ reason: 'TooManyBytes', of: 'agent' });
    expect(quotas.noRoomForBytes('a', 1)).toBe('agent');
    expect(quotas.noRoomForBytes('b', 400)).toBeUndefined();
    expect(quotas.noRoomForBytes('b', 401)).toBe('all');
    quotas.take('b', 1, 1, 400);
    expect(quotas.noRoom('c', 1)).toEqual({ reason: 'TooManyBytes', of: 'all' });
    quotas.take('a', -1, -1, -600);
    quotas.take('b', -1, -1, -400);
    expect(quotas.total).toEqual({ sessions: 0, items: 0, bytes: 0 });
    expect(quotas.of('a')).toEqual({ sessions: 0, items: 0, bytes: 0 });
  });
});

describe('admission', () => {
  test('lets everybody in while there is room', () => {
    const line = new Line({ maxSessions: 3 });
    expect(['a', 'b', 'c'].map((agent) => line.ask(agent))).toEqual(['admitted', 'admitted', 'admitted']);
    expect(line.quotas.total.sessions).toBe(3);
    expect(line.admission.waiting).toBe(0);
  });

  test('holds those whose turn is near, and admits them in the order of their asking as soon as there is room', () => {
    const line = new Line({ maxSessions: 1 });
    line.ask('a');
    expect(['b', 'c', 'd'].map((agent) => line.ask(agent))).toEqual(['held', 'held', 'held']);
    line.admission.release('a', 1, 0);
    expect(line.admitted).toEqual(['b']);
    line.admission.release('b', 1, 0);
    line.admission.release('c', 1, 0);
    expect(line.admitted).toEqual(['b', 'c', 'd']);
    expect(line.quotas.total).toEqual({ sessions: 1, items: 1, bytes: 0 });
  });

  test('tells who was held too long when to come again, and who comes again goes before later ones', () => {
    const line = new Line({ maxSessions: 1 });
    line.ask('a');
    line.ask('b');
    line.time.runTo(4999);
    expect(line.refused).toEqual([]);
    line.time.runTo(5000);
    expect(line.refused).toEqual([['b', { reason: 'Busy', retryAfterMs: expect.any(Number) }]]);
    expect(line.ask('c')).toBe('held');
    expect(line.ask('b')).toBe('held');
    line.admission.release('a', 1, 0);
    expect(line.admitted).toEqual(['b']);
  });

  test('refuses at once who sends again what is held, and keeps its place', () => {
    const line = new Line({ maxSessions: 1 });
    line.ask('a');
    line.ask('b');
    line.ask('c');
    expect(line.ask('b')).toEqual({ reason: 'Busy', retryAfterMs: expect.any(Number) });
    expect(line.admission.held).toBe(1);
    expect(line.ask('b')).toBe('held');
    line.admission.release('a', 1, 0);
    expect(line.admitted).toEqual(['b']);
  });

  test('with holding switched off every refusal says when to come again, within 1 and 60 seconds', () => {
    const line = new Line({ maxSessions: 1 }, 0);
    line.ask('first');
    // Who is first in the line has nobody to wait for, and is held for no time.
    line.ask('second');
    const delays = Array.from({ length: 80_000 }, (_, n) => {
      const answer = line.ask(`agent-${n}`);
      if (typeof answer === 'string') throw new Error(answer);
      return answer.retryAfterMs;
    });
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(1000);
    expect(Math.max(...delays)).toBeLessThanOrEqual(60_000);
    // Who is further behind is told more, and not two the same.
    expect(delays[60_000]).toBeGreaterThan((delays[3000] ?? 0) * 5);
    expect(new Set(delays.slice(0, 1000)).size).toBeGreaterThan(100);
  });

  test('refuses what is beyond the limits of its own agent without a place in the line', () => {
    const line = new Line({ sessionsPerAgent: 1, maxItemsPerAgent: 10 });
    line.ask('a');
    expect(line.ask('a', 1, 'sca')).toEqual({ reason: 'Busy', retryAfterMs: expect.any(Number) });
    expect(line.ask('b', 11)).toEqual({ reason: 'TooManyItems', retryAfterMs: expect.any(Number) });
    expect(line.admission.waiting).toBe(0);
  });

  test('gives one agent no more places in the line than it may have sessions', () => {
    const line = new Line({ maxSessions: 1 });
    line.ask('a');
    for (let n = 0; n < 100; ++n) line.ask('hostile', 1, `module-${n}`);
    expect(line.admission.waiting).toBe(2);
    line.ask('b');
    expect(line.admission.waiting).toBe(3);
    line.admission.release('a', 1, 0);
    line.admission.release('hostile', 1, 0);
    line.admission.release('hostile', 1, 0);
    expect(line.admitted).toEqual(['hostile', 'hostile', 'b']);
    expect(line.admission.waiting).toBe(0);
  });

  test('an agent whose turn has come can wait again, in as many places', () => {
    const line = new Line({ maxSessions: 1 });
    for (let n = 0; n < 10; ++n) {
      expect(line.ask('a')).toBe('admitted');
      expect([line.ask('b', 1, 'fim'), line.ask('b', 1, 'sca')]).toEqual(['held', 'held']);
      expect(line.admission.waiting).toBe(2);
      for (const agent of ['a', 'b', 'b']) line.admission.release(agent, 1, 0);
    }
    expect(line.admitted).toHaveLength(20);
  });

  test('does not let small sessions pass a large one for ever', () => {
    const line = new Line({ maxItems: 100, maxItemsPerAgent: 100 });
    line.ask('a', 60);
    expect(line.ask('large', 100)).toBe('held');
    expect(line.ask('small', 10)).toBe('held');
    expect(line.admitted).toEqual([]);
    line.admission.release('a', 60, 0);
    expect(line.admitted).toEqual(['large']);
    line.admission.release('large', 100, 0);
    expect(line.admitted).toEqual(['large', 'small']);
  });

  test('a connection that is gone is not waited for, and its agent keeps its place for a while', () => {
    const line = new Line({ maxSessions: 1 });
    line.ask('a');
    line.ask('b');
    line.ask('c');
    line.admission.withdraw('b/fim');
    line.admission.withdraw('nobody/fim');
    expect([line.admission.held, line.admission.waiting]).toEqual([1, 2]);
    expect(line.ask('b')).toBe('held');
    line.admission.release('a', 1, 0);
    expect(line.admitted).toEqual(['b']);
  });

  test('who does not come back loses its place', () => {
    const line = new Line({ maxSessions: 1 });
    line.ask('a');
    line.ask('b');
    line.admission.withdraw('b/fim');
    line.time.runTo(29_000);
    expect(line.admission.waiting).toBe(1);
    line.time.runTo(45_000);
    expect(line.admission.waiting).toBe(0);
  });

  test('where all is taken and somebody waits, asks for room every ten seconds, until there is some for who is first', () => {
    const line = new Line({ maxItems: 100, maxItemsPerAgent: 60 }, 0);
    const holders = ['a', 'b', 'c', 'd', 'e'];
    const given: string[] = [];
    line.makeWay = (isWanted) => {
      for (const agent of holders.splice(0)) {
        if (!isWanted()) return void holders.push(agent);
        given.push(agent);
        line.admission.release(agent, 20, 0);
      }
    };
    for (const agent of holders) line.ask(agent, 20);
    line.time.runTo(100_000);
    expect(given).toEqual([]);
    line.ask('f', 30);
    line.time.runTo(100_001);
    line.ask('g', 5);
    line.time.runTo(109_000);
    expect(given).toEqual([]);
    line.time.runTo(110_000);
    expect(given).toEqual(['a', 'b']);
    // There is room now, also for who has not come back.
    line.time.runTo(120_000);
    expect(given).toEqual(['a', 'b']);
  });

  test('asks nobody for room on behalf of an agent that has too much itself', () => {
    const line = new Line({ maxSessions: 10, sessionsPerAgent: 2 });
    let asked = 0;
    line.makeWay = () => {
      ++asked;
    };
    line.quotas.take('other', 9, 0, 0);
    line.ask('a');
    line.ask('b');
    line.admission.withdraw('b/fim');
    line.quotas.take('b', 2, 0, 0);
    line.time.runTo(25_000);
    expect(asked).toBe(0);
  });

  test('clear returns what was held, and nothing is admitted after it', () => {
    const line = new Line({ maxSessions: 1 });
    for (const agent of ['a', 'b', 'c']) line.ask(agent);
    expect(line.admission.clear()).toEqual(['b', 'c']);
    line.admission.release('a', 1, 0);
    line.time.runTo(100_000);
    expect([line.admitted, line.refused]).toEqual([[], []]);
  });

  test('what is held takes a bounded amount of memory', () => {
    const line = new Line({ maxSessions: 1 });
    line.ask('a');
    let held = 0;
    for (let n = 0; n < 2000; ++n) {
      const claim = { agent: `agent-${n}`, key: `${n}`, items: 1, bytes: 65_536 };
      if (line.admission.ask(claim, '') === 'held') ++held;
    }
    expect(held).toBe(256);
  });
});

/** An agent as its options are by default: it waits what it is told, with up to a quarter more, and asks again after 30 seconds. */
interface Waiter {
  readonly name: string;
  readonly startedMs: number;
  doneMs: number;
  refusals: number;
}

describe('10,000 agents that start within one second', () => {
  /** Sessions take some time each, and so many are applied in a second. */
  const run = async (
    seed: number,
    sessionsPerSecond: number,
    transferMs: number,
    firstMs: number,
  ): Promise<{ waiters: Waiter[]; idleMs: number; lastMs: number; asked: number }> => {
    const random = seededRandom(seed);
    const line = new Line({ maxSessions: 1000 }, 5000, random);
    const { time } = line;
    const waiters = new Map<string, Waiter>();
    let asked = 0;
    // No session ends before that: all who ask in the same second are in the way of the first ones.
    let freeAtMs = firstMs;
    let idleMs = 0;
    let done = 0;
    const later = (callback: () => void, delayMs: number): void => {
      time.wheel.schedule(new WheelTimer(callback), time.nowMs + delayMs);
    };
    const transfer = (waiter: Waiter): void => {
      later(
        () => {
          // One after the other, as a store applies them.
          if (freeAtMs < time.nowMs) {
            if (done > 0) idleMs += time.nowMs - freeAtMs;
            freeAtMs = time.nowMs;
          }
          freeAtMs += 1000 / sessionsPerSecond;
          later(() => {
            waiter.doneMs = time.nowMs;
            ++done;
            line.admission.release(waiter.name, 1, 0);
            admit();
          }, freeAtMs - time.nowMs);
        },
        transferMs * (0.5 + random()),
      );
    };
    const admit = (): void => {
      for (const name of line.admitted.splice(0)) {
        const waiter = waiters.get(name);
        if (waiter !== undefined) transfer(waiter);
      }
    };
    const comeAgain = (waiter: Waiter, { retryAfterMs }: Refusal): void => {
      ++waiter.refusals;
      later(() => ask(waiter), retryAfterMs * (1 + 0.25 * random()));
    };
    const ask = (waiter: Waiter): void => {
      ++asked;
      const answer = line.ask(waiter.name);
      if (answer === 'admitted') transfer(waiter);
      else if (answer !== 'held') comeAgain(waiter, answer);
    };
    for (let n = 0; n < 10_000; ++n) {
      const waiter = { name: `agent-${n}`, startedMs: random() * 1000, doneMs: Number.NaN, refusals: 0 };
      waiters.set(waiter.name, waiter);
      later(() => ask(waiter), waiter.startedMs);
    }
    while (done < 10_000 && time.nowMs < 3_600_000) {
      time.runTo(Math.min(time.clock.nextDueMs, 3_600_000));
      for (const [name, refusal] of line.refused.splice(0)) {
        const waiter = waiters.get(name);
        if (waiter !== undefined) comeAgain(waiter, refusal);
      }
    }
    return { waiters: [...waiters.values()], idleMs, lastMs: time.nowMs, asked };
  };

  for (const [rate, transferMs, firstMs] of [
    [1000, 300, 0],
    [250, 1000, 0],
    [50, 500, 0],
    [700, 300, 3000],
  ] as const) {
    test(`all finish at ${rate} sessions a second after ${firstMs} ms, none is refused again and again, and the manager is hardly ever idle`, async () => {
      const { waiters, idleMs, lastMs, asked } = await run(rate, rate, transferMs, firstMs);
      const tookMs = waiters.map(({ startedMs, doneMs }) => doneMs - startedMs).sort((a, b) => a - b);
      const bestMs = firstMs + (10_000 / rate) * 1000;
      const p99 = tookMs[9899] ?? Number.NaN;
      expect(tookMs.every((ms) => ms > 0)).toBe(true);
      expect(lastMs).toBeLessThan(bestMs * 1.1 + 3000);
      expect(idleMs).toBeLessThan(bestMs * 0.1);
      expect(p99).toBeLessThan(bestMs * 1.05);
      expect(Math.max(...waiters.map(({ refusals }) => refusals))).toBeLessThan(8);
      expect(asked).toBeLessThan(10_000 * 5);
    });
  }
});
