import { describe, expect, test } from 'vitest';
import { type Clock, systemClock, type Timer } from '../../src/base/clock.js';
import { HawserError } from '../../src/base/errors.js';
import { type Random, seededRandom } from '../../src/base/random.js';
import { systemWheel, TimingWheel, WheelTimer } from '../../src/base/timing-wheel.js';
import { VirtualClock } from '../../src/testing/index.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 5000 : 300 }, (_, seed) => seed) : [Number(only)];

/** Virtual time that a test moves, and what was asked of its clock. */
class Time implements Clock {
  nowMs: number;
  /** Timers that were made. */
  armed = 0;
  /** Timers that have neither run nor been cleared. */
  pending = 0;
  longestDelayMs = 0;
  readonly #clock: VirtualClock;

  constructor(startMs = 0) {
    this.nowMs = startMs;
    this.#clock = new VirtualClock(() => this.nowMs, 0);
  }

  now(): number {
    return this.nowMs;
  }

  wallNow(): number {
    return this.#clock.wallNow();
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    ++this.armed;
    ++this.pending;
    this.longestDelayMs = Math.max(this.longestDelayMs, delayMs);
    let open = true;
    const close = (): void => {
      if (open) --this.pending;
      open = false;
    };
    const timer = this.#clock.setTimeout(() => {
      close();
      callback();
    }, delayMs);
    return {
      clear: () => {
        close();
        timer.clear();
      },
    };
  }

  /** Stops wherever a call is due. */
  advanceTo(untilMs: number): void {
    while (this.#clock.nextDueMs <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.#clock.nextDueMs);
      this.#clock.runDue();
    }
    this.nowMs = untilMs;
  }

  /** As a machine that was busy: whatever was due meanwhile is called only now. */
  jumpTo(nowMs: number): void {
    this.nowMs = nowMs;
    this.advanceTo(nowMs);
  }
}

function setUp(startMs = 0) {
  const time = new Time(startMs);
  const errors: unknown[] = [];
  const wheel = new TimingWheel(time, (error) => errors.push(error));
  const log: string[] = [];
  /** A timer that says when it has run. */
  const named = (name: string, then: () => void = () => undefined): WheelTimer =>
    new WheelTimer(() => {
      log.push(`${name} at ${time.nowMs}`);
      then();
    });
  return { time, errors, wheel, log, named };
}

describe('a timer', () => {
  test('runs once, at its deadline, in virtual time exactly, fractions of a millisecond included', () => {
    const { time, wheel, log, named } = setUp();
    for (const atMs of [5, 0.5, 255.25, 256, 65_536.125, 1, 16_777_216.5, 5_000_000_000.75])
      wheel.schedule(named('one'), atMs);
    time.advanceTo(1e10);
    expect(log).toEqual([
      'one at 0.5',
      'one at 1',
      'one at 5',
      'one at 255.25',
      'one at 256',
      'one at 65536.125',
      'one at 16777216.5',
      'one at 5000000000.75',
    ]);
    expect(wheel.size).toBe(0);
  });

  test('says whether it is armed, and until when', () => {
    const { time, wheel } = setUp(100);
    const seen: unknown[] = [];
    const timer: WheelTimer = new WheelTimer(() => seen.push([timer.armed, timer.deadlineMs, wheel.size]));
    expect([timer.armed, timer.deadlineMs]).toEqual([false, Number.POSITIVE_INFINITY]);
    wheel.schedule(timer, 107.5);
    expect([timer.armed, timer.deadlineMs, wheel.size]).toEqual([true, 107.5, 1]);
    time.advanceTo(200);
    expect(seen).toEqual([[false, Number.POSITIVE_INFINITY, 0]]);
    wheel.schedule(timer, 300);
    wheel.cancel(timer);
    wheel.cancel(timer);
    expect([timer.armed, timer.deadlineMs, wheel.size]).toEqual([false, Number.POSITIVE_INFINITY, 0]);
    time.advanceTo(400);
    expect(seen).toHaveLength(1);
  });

  test('that is scheduled again has the new deadline only', () => {
    const { time, wheel, log, named } = setUp();
    const timer = named('one');
    wheel.schedule(timer, 10);
    wheel.schedule(timer, 70_000);
    wheel.schedule(timer, 20);
    expect(wheel.size).toBe(1);
    time.advanceTo(100_000);
    expect(log).toEqual(['one at 20']);
  });

  test('with a deadline in the past runs as soon as the clock calls, never within schedule', () => {
    const { time, wheel, log, named } = setUp(1000);
    wheel.schedule(named('past'), 3);
    wheel.schedule(named('negative'), -5);
    wheel.schedule(named('now'), 1000);
    expect(log).toEqual([]);
    time.advanceTo(1000);
    expect(log).toEqual(['negative at 1000', 'past at 1000', 'now at 1000']);
  });

  test('never runs before its deadline, even when the clock calls too soon', () => {
    const time = new Time();
    const early: Clock = {
      now: () => time.now(),
      wallNow: () => time.wallNow(),
      setTimeout: (callback, delayMs) =>
        time.setTimeout(callback, Math.max(1, Math.floor(delayMs * 48)) / 64),
    };
    const wheel = new TimingWheel(early);
    const ranAt: number[] = [];
    wheel.schedule(new WheelTimer(() => ranAt.push(time.nowMs)), 10.5);
    time.advanceTo(10.25);
    expect(ranAt).toEqual([]);
    for (let step = 1; step <= 64; ++step) time.jumpTo(10.25 + step / 64);
    expect(ranAt).toEqual([10.5]);
  });

  test('of another wheel moves to the one that schedules it', () => {
    const { time, wheel, log, named } = setUp();
    const other = new TimingWheel(time);
    const timer = named('one');
    other.schedule(timer, 10);
    wheel.schedule(timer, 20);
    expect([other.size, wheel.size]).toEqual([0, 1]);
    other.clear();
    time.advanceTo(30);
    expect(log).toEqual(['one at 20']);
    wheel.schedule(timer, 40);
    other.cancel(timer);
    expect(timer.armed).toBe(false);
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** 53])(
    'is refused the deadline %d and keeps what it had',
    (atMs) => {
      const { time, wheel, log, named } = setUp();
      const timer = named('one');
      wheel.schedule(timer, 5);
      expect(() => wheel.schedule(timer, atMs)).toThrow(HawserError);
      expect(() => wheel.schedule(timer, atMs)).toThrow('atMs must be a number from');
      time.advanceTo(10);
      expect(log).toEqual(['one at 5']);
    },
  );
});

describe('timers that are due at the same call', () => {
  test('run in the order of their deadlines, equal ones in the order of scheduling', () => {
    const { time, wheel, log, named } = setUp();
    const moved = named('moved');
    wheel.schedule(moved, 300);
    wheel.schedule(named('b'), 300);
    wheel.schedule(named('d'), 300.5);
    wheel.schedule(named('c'), 300.25);
    wheel.schedule(named('a'), 7);
    wheel.schedule(named('e'), 90_000);
    wheel.schedule(moved, 300);
    time.jumpTo(100_000);
    expect(log.map((line) => line.split(' ')[0])).toEqual(['a', 'b', 'moved', 'c', 'd', 'e']);
  });

  test('keep their order when they were scheduled at different distances', () => {
    const { time, wheel, log, named } = setUp();
    wheel.schedule(named('from afar'), 70_000);
    wheel.schedule(named('step'), 69_000);
    time.advanceTo(69_500);
    wheel.schedule(named('from near'), 70_000);
    time.advanceTo(69_990);
    wheel.schedule(named('from nearer'), 70_000);
    time.advanceTo(70_000);
    expect(log.slice(1)).toEqual(['from afar at 70000', 'from near at 70000', 'from nearer at 70000']);
  });

  test('may cancel and reschedule each other', () => {
    const { time, wheel, log, named } = setUp();
    const third = named('third');
    const fourth = named('fourth');
    const first = named('first', () => {
      wheel.cancel(third);
      wheel.schedule(fourth, 50);
    });
    wheel.schedule(first, 10);
    wheel.schedule(named('second'), 10);
    wheel.schedule(third, 10);
    wheel.schedule(fourth, 10);
    time.advanceTo(100);
    expect(log).toEqual(['first at 10', 'second at 10', 'fourth at 50']);
  });

  test('run when another one throws, which is reported', () => {
    const { time, errors, wheel, log, named } = setUp();
    const wrong = new Error('wrong');
    wheel.schedule(
      named('first', () => {
        throw wrong;
      }),
      10,
    );
    wheel.schedule(named('second'), 10);
    wheel.schedule(named('third'), 20);
    time.advanceTo(100);
    expect(log).toEqual(['first at 10', 'second at 10', 'third at 20']);
    expect(errors).toEqual([wrong]);
  });

  test('run when nobody takes the error or onError throws too: it becomes an uncaught exception', async () => {
    const before = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException');
    try {
      const uncaught: unknown[] = [];
      const both = new Promise<void>((resolve) => {
        process.on('uncaughtException', (error) => {
          if (uncaught.push(error) === 2) resolve();
        });
      });
      const { time, log, named } = setUp();
      const wheels = [
        new TimingWheel(time),
        new TimingWheel(time, () => {
          throw new Error('onError');
        }),
      ];
      for (const wheel of wheels) {
        wheel.schedule(
          named('first', () => {
            throw new Error('callback');
          }),
          10,
        );
        wheel.schedule(named('second'), 10);
      }
      time.advanceTo(10);
      expect(log).toEqual(['first at 10', 'second at 10', 'first at 10', 'second at 10']);
      await both;
      expect(uncaught).toEqual([new Error('callback'), new Error('onError')]);
    } finally {
      process.removeAllListeners('uncaughtException');
      for (const listener of before) process.on('uncaughtException', listener);
    }
  });
});

describe('a callback', () => {
  test('may schedule its own timer again', () => {
    const { time, wheel, log, named } = setUp();
    const timer: WheelTimer = named('tick', () => wheel.schedule(timer, time.nowMs + 100.5));
    wheel.schedule(timer, 100.5);
    time.advanceTo(400);
    expect(log).toEqual(['tick at 100.5', 'tick at 201', 'tick at 301.5']);
    expect(time.pending).toBe(1);
  });

  test('that schedules for the past does not hold up the program: the timer runs in the next call', () => {
    const { time, wheel, log, named } = setUp();
    let left = 3;
    const again: WheelTimer = named('again', () => {
      if (--left > 0) wheel.schedule(again, 1);
    });
    wheel.schedule(again, 10);
    wheel.schedule(named('other'), 10);
    time.jumpTo(20);
    expect(log).toEqual(['again at 20', 'other at 20', 'again at 20', 'again at 20']);
    // One for the first deadline, two for the repetitions.
    expect(time.armed).toBe(3);
  });

  test('may clear the wheel, which goes on being usable', () => {
    const { time, wheel, log, named } = setUp();
    wheel.schedule(
      named('first', () => {
        wheel.clear();
        wheel.schedule(named('new'), 15);
      }),
      10,
    );
    wheel.schedule(named('second'), 10);
    wheel.schedule(named('third'), 20);
    time.advanceTo(100);
    expect(log).toEqual(['first at 10', 'new at 15']);
    expect([wheel.size, time.pending]).toEqual([0, 0]);
  });
});

test('clear disarms everything, at every distance, the timer of the clock included', () => {
  const { time, wheel, log, named } = setUp();
  const timers = [1, 300, 70_000, 20_000_000, 2 ** 33].map((atMs) => {
    const timer = named(`${atMs}`);
    wheel.schedule(timer, atMs);
    return timer;
  });
  wheel.clear();
  expect(timers.some((timer) => timer.armed)).toBe(false);
  expect([wheel.size, time.pending]).toEqual([0, 0]);
  time.advanceTo(2 ** 34);
  expect(log).toEqual([]);
  wheel.schedule(named('later'), 2 ** 34 + 1);
  time.advanceTo(2 ** 34 + 10);
  expect(log).toEqual([`later at ${2 ** 34 + 1}`]);
});

describe('the timer of the clock', () => {
  test('is one, for 100,000 timers that are scheduled and cancelled', () => {
    const { time, wheel } = setUp();
    const timers = Array.from({ length: 100_000 }, () => new WheelTimer(() => undefined));
    for (const [index, timer] of timers.entries()) {
      wheel.schedule(timer, 30_000 + index / 64);
      if (index % 2 === 0) wheel.cancel(timer);
    }
    expect([wheel.size, time.armed, time.pending]).toEqual([50_000, 1, 1]);
    for (const timer of timers) wheel.cancel(timer);
    expect([wheel.size, time.armed, time.pending]).toEqual([0, 1, 1]);
    // It calls once for nothing, and there is nothing to arm it for.
    time.advanceTo(60_000);
    expect([time.armed, time.pending]).toEqual([1, 0]);
  });

  test('is armed once for each deadline when none is cancelled, however far they are', () => {
    const { time, wheel } = setUp(12.5);
    const random = seededRandom(1);
    const deadlines = Array.from({ length: 2000 }, () => 13 + Math.floor(2 ** (4 + random() * 34)) / 4).sort(
      (a, b) => a - b,
    );
    const ranAt: number[] = [];
    for (const atMs of deadlines) wheel.schedule(new WheelTimer(() => ranAt.push(time.nowMs)), atMs);
    expect(time.armed).toBe(1);
    const beforeMs = time.nowMs + 2 ** 31 - 1;
    time.advanceTo(beforeMs - 1);
    expect(ranAt).toEqual(deadlines.filter((atMs) => atMs <= beforeMs - 1));
    // And once for what comes next.
    expect(time.armed).toBe(new Set(ranAt).size + 1);
    time.advanceTo(2 ** 38);
    expect(ranAt).toEqual(deadlines);
  });

  test('is armed anew only for an earlier deadline', () => {
    const { time, wheel, named } = setUp();
    wheel.schedule(named('a'), 100);
    wheel.schedule(named('b'), 100);
    wheel.schedule(named('c'), 5000);
    expect(time.armed).toBe(1);
    wheel.schedule(named('d'), 99.5);
    expect([time.armed, time.pending]).toEqual([2, 1]);
    const twice = named('twice');
    for (const atMs of [200, 300, 150]) wheel.schedule(twice, atMs);
    expect([time.armed, time.pending]).toEqual([2, 1]);
  });

  test('is never given a delay that Node.js would take for 1 ms', () => {
    const { time, wheel, log, named } = setUp();
    const yearMs = 365 * 86_400_000;
    wheel.schedule(named('in ten years'), 10 * yearMs);
    time.advanceTo(11 * yearMs);
    expect(log).toEqual([`in ten years at ${10 * yearMs}`]);
    expect(time.longestDelayMs).toBeLessThanOrEqual(2 ** 31 - 1);
    expect(time.armed).toBeLessThan(200);
  });

  test('may be that of this machine', async () => {
    const wheel = new TimingWheel(systemClock);
    const startMs = systemClock.now();
    const ran = new Promise<number>((resolve) => {
      wheel.schedule(new WheelTimer(() => resolve(systemClock.now() - startMs)), startMs + 20.5);
    });
    expect(await ran).toBeGreaterThanOrEqual(20.5);
  });
});

describe('deadlines 2^32 ms and more ahead', () => {
  test.each([0, 2 ** 32 - 5, 1.7e12, -3, -(2 ** 32) - 2.5, 2 ** 40 - 1])('with a clock at %d', (startMs) => {
    const { time, wheel, log, named } = setUp(startMs);
    const aheads = [1, 4.5, 5, 6, 300, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 32 + 0.5, 3 * 2 ** 32, 2 ** 36];
    for (const ahead of aheads.toReversed()) wheel.schedule(named(`${ahead}`), startMs + ahead);
    const cancelled = named('cancelled');
    wheel.schedule(cancelled, startMs + 2 ** 33);
    wheel.cancel(cancelled);
    time.advanceTo(startMs + 2 ** 37);
    expect(log).toEqual(aheads.map((ahead) => `${ahead} at ${startMs + ahead}`));
    expect([wheel.size, time.pending]).toEqual([0, 0]);
  });

  test('are met also by a clock that jumps over them', () => {
    const { time, wheel, log, named } = setUp(7);
    for (const atMs of [2 ** 34, 9, 2 ** 33 + 1, 2 ** 35, 2 ** 33 + 0.5])
      wheel.schedule(named(`${atMs}`), atMs);
    time.jumpTo(2 ** 34 + 3);
    expect(log.map((line) => Number.parseFloat(line))).toEqual([9, 2 ** 33 + 0.5, 2 ** 33 + 1, 2 ** 34]);
    time.advanceTo(2 ** 35);
    expect(log.at(-1)).toBe(`${2 ** 35} at ${2 ** 35}`);
  });
});

// ---- The model ------------------------------------------------------------------------------------------------------

/** What both the wheel and the model are told. */
interface Timers {
  readonly nowMs: number;
  schedule(id: number, atMs: number): void;
  cancel(id: number): void;
  clear(): void;
  advanceTo(untilMs: number): void;
  jumpTo(nowMs: number): void;
}

/** A list that is sorted whenever time passes. */
class Model implements Timers {
  nowMs: number;
  #order = 0;
  #planned: { readonly id: number; readonly atMs: number; readonly order: number }[] = [];
  readonly #ran: (id: number) => void;

  constructor(startMs: number, ran: (id: number) => void) {
    this.nowMs = startMs;
    this.#ran = ran;
  }

  schedule(id: number, atMs: number): void {
    this.cancel(id);
    this.#planned.push({ id, atMs, order: this.#order++ });
    this.#planned.sort((a, b) => a.atMs - b.atMs || a.order - b.order);
  }

  cancel(id: number): void {
    this.#planned = this.#planned.filter((each) => each.id !== id);
  }

  clear(): void {
    this.#planned = [];
  }

  advanceTo(untilMs: number): void {
    for (let next = this.#planned[0]; next !== undefined && next.atMs <= untilMs; next = this.#planned[0]) {
      this.nowMs = Math.max(this.nowMs, next.atMs);
      for (const each of this.#planned.filter(({ atMs }) => atMs <= this.nowMs)) {
        if (!this.#planned.includes(each)) continue;
        this.#planned.splice(this.#planned.indexOf(each), 1);
        this.#ran(each.id);
      }
    }
    this.nowMs = untilMs;
  }

  jumpTo(nowMs: number): void {
    this.nowMs = nowMs;
    this.advanceTo(nowMs);
  }
}

class Wheel implements Timers {
  readonly time: Time;
  readonly wheel: TimingWheel;
  readonly #ran: (id: number) => void;
  readonly #timers = new Map<number, WheelTimer>();

  constructor(startMs: number, ran: (id: number) => void) {
    this.time = new Time(startMs);
    this.wheel = new TimingWheel(this.time, (error) => {
      throw error;
    });
    this.#ran = ran;
  }

  get nowMs(): number {
    return this.time.nowMs;
  }

  schedule(id: number, atMs: number): void {
    this.wheel.schedule(this.#timer(id), atMs);
  }

  cancel(id: number): void {
    this.wheel.cancel(this.#timer(id));
  }

  clear(): void {
    this.wheel.clear();
  }

  advanceTo(untilMs: number): void {
    this.time.advanceTo(untilMs);
  }

  jumpTo(nowMs: number): void {
    this.time.jumpTo(nowMs);
  }

  #timer(id: number): WheelTimer {
    const found = this.#timers.get(id);
    if (found !== undefined) return found;
    const timer = new WheelTimer(() => this.#ran(id));
    this.#timers.set(id, timer);
    return timer;
  }
}

const timerCount = 30;
const operations = 120;

/** One of them, near ones more often than far ones; eighths of a millisecond, which floating point keeps exactly. */
function drawAhead(random: Random): number {
  const scales = [0, 1, 4, 300, 1000, 70_000, 2 ** 25, 2 ** 33];
  const scale = scales[Math.floor(random() ** 2 * scales.length)] ?? 0;
  const fraction = random() < 0.5 ? 0 : Math.floor(random() * 8) / 8;
  return Math.floor(random() * scale) + fraction;
}

function disturb(timers: Timers, random: Random): void {
  const id = Math.floor(random() * timerCount);
  const choice = random();
  if (choice < 0.7) timers.schedule(id, timers.nowMs + drawAhead(random) - (random() < 0.1 ? 3.5 : 0));
  else if (choice < 0.98) timers.cancel(id);
  else timers.clear();
}

/** What happens with one seed. */
function story(seed: number, make: (ran: (id: number) => void, startMs: number) => Timers): string[] {
  const random = seededRandom(seed);
  const lines: string[] = [];
  let ending = false;
  const timers: Timers = make(
    (id) => {
      lines.push(`${id} at ${timers.nowMs}`);
      if (!ending && random() < 0.4) disturb(timers, random);
    },
    [0, 0.375, 2 ** 32 - 700, -1000.5, 1.7e12][seed % 5] ?? 0,
  );
  for (let step = 0; step < operations; ++step) {
    const choice = random();
    if (choice < 0.75) disturb(timers, random);
    else if (choice < 0.95) timers.advanceTo(timers.nowMs + drawAhead(random));
    else timers.jumpTo(timers.nowMs + drawAhead(random));
  }
  ending = true;
  timers.advanceTo(timers.nowMs + 2 ** 34);
  return lines;
}

test("there is one wheel over the machine's clock, whose timers do not keep the process alive", async () => {
  expect(systemWheel()).toBe(systemWheel());
  expect(systemWheel().clock).toBe(systemClock);
  const timers = (): number => process.getActiveResourcesInfo().filter((each) => each === 'Timeout').length;
  const before = timers();
  await new Promise<void>((resolve) => {
    systemWheel().schedule(new WheelTimer(resolve), systemClock.now() + 1);
    expect(timers()).toBe(before);
    // Only so that this test does not end before.
    setTimeout(resolve, 1000).unref();
  });
  expect(systemWheel().size).toBe(0);
});

test('a wheel does what a sorted list does, over random operations', () => {
  let ran = 0;
  for (const seed of seeds) {
    const expected = story(seed, (callback, startMs) => new Model(startMs, callback));
    const wheels: Wheel[] = [];
    const actual = story(seed, (callback, startMs) => {
      const made = new Wheel(startMs, callback);
      wheels.push(made);
      return made;
    });
    expect(actual, `HAWSER_SEED=${seed}`).toEqual(expected);
    for (const { time, wheel } of wheels) {
      expect([wheel.size, time.pending], `HAWSER_SEED=${seed}`).toEqual([0, 0]);
    }
    ran += actual.length;
  }
  if (only === undefined) expect(ran).toBeGreaterThan(seeds.length * 20);
});
