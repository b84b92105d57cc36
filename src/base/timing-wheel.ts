// Many timers over one timer of a clock: hierarchical timing wheels (Varghese and Lauck, 1987).
//
// Time is counted in ticks of a millisecond. A slot of level 0 is one tick wide, a slot of level n 256^n ticks. A timer
// lies in the level of the highest of the four digits (base 256) in which the tick of its deadline differs from the
// current tick, in the slot of that digit; so every timer of a level is due before those of the next, and the slots of
// a level are due in their order. When the time of a slot comes, its timers move to lower levels. What the four digits
// cannot tell lies in one more slot. Deadlines keep their fractions: a slot of level 0 may be emptied in several turns.

import { checkNumber } from './check.js';
import { type Clock, systemClock, type Timer } from './clock.js';
import { throwLater } from './isolate.js';

const digitBits = 8;
const slotsPerLevel = 1 << digitBits;
const levels = 4;
/** The ticks that four digits tell apart. */
const blockTicks = 2 ** (digitBits * levels);
/** For deadlines in other blocks than the current tick. */
const farSlot = levels * slotsPerLevel;
/** For what runs in the present turn, in its order. */
const dueSlot = farSlot + 1;
const slots = dueSlot + 1;
/** The longest delay that the timers of Node.js know; they take a longer one for 1 ms. */
const maxDelayMs = 2 ** 31 - 1;

/** What the wheel knows of a timer. */
class Entry {
  readonly callback: () => void;
  /** Undefined while the timer is not armed. */
  owner: TimingWheel | undefined = undefined;
  deadlineMs: number = Number.POSITIVE_INFINITY;
  slot = 0;
  /** The other timers of the slot, in a ring. */
  next: Entry = this;
  previous: Entry = this;

  constructor(callback: () => void) {
    this.callback = callback;
  }
}

let entryOf: (timer: WheelTimer) => Entry;

/**
 * A timer of a {@link TimingWheel}. Made once by its user and scheduled as often as needed; it costs nothing while not
 * armed.
 */
export class WheelTimer {
  readonly #entry: Entry;

  static {
    entryOf = (timer) => timer.#entry;
  }

  /** @param callback called when a deadline has come; the timer is not armed then. */
  constructor(callback: () => void) {
    this.#entry = new Entry(callback);
  }

  /** Whether it is scheduled. */
  get armed(): boolean {
    return this.#entry.owner !== undefined;
  }

  /** When it is due, in milliseconds of the clock; Infinity while it is not armed. */
  get deadlineMs(): number {
    return this.#entry.deadlineMs;
  }
}

/**
 * Runs any number of timers with one timer of a clock. Scheduling and cancelling take a constant time and allocate
 * nothing but, when a deadline is the earliest, a timer of the clock.
 *
 * A timer never runs early; it runs as soon after its deadline as the clock calls, in virtual time at its deadline.
 * Timers that are due at the same call run in the order of their deadlines, those with equal deadlines in the order of
 * scheduling. What a callback schedules runs in a later call, also when its deadline has passed, so callbacks cannot
 * hold up the program. A timer that an earlier callback of the same call cancels does not run.
 */
export class TimingWheel {
  /** What deadlines are measured by. */
  readonly clock: Clock;
  readonly #onError: (error: unknown) => void;
  /** The timer that was scheduled first, by slot. */
  readonly #first: (Entry | undefined)[] = Array.from({ length: slots }, () => undefined);
  /** No timer of the slot is due before this. Cancelling leaves it as it is, so that it need not search. */
  readonly #leastMs = new Float64Array(slots);
  /** A bit for each slot that is not empty. */
  readonly #occupied = new Int32Array(Math.ceil(slots / 32));
  /** Up to here the slots have been looked at. */
  #tick: number;
  /** The first tick of the next block. */
  #farTick: number;
  #size = 0;
  #alarm: Timer | undefined = undefined;
  #alarmMs: number = Number.POSITIVE_INFINITY;
  #running = false;

  /**
   * @param onError told what a callback throws; the other timers run all the same. By default, and when it throws too,
   * it becomes an uncaught exception.
   */
  constructor(clock: Clock, onError: (error: unknown) => void = throwLater) {
    this.clock = clock;
    this.#onError = onError;
    this.#tick = Math.floor(clock.now());
    this.#farTick = floorTo(this.#tick, blockTicks) + blockTicks;
  }

  /** The timers that are armed. */
  get size(): number {
    return this.#size;
  }

  /**
   * Arms a timer; if it is armed already, here or on another wheel, this deadline replaces the other.
   *
   * @param atMs in milliseconds of the clock, with a fraction, -(2^53 - 1) to 2^53 - 1. In the past: as soon as the
   * clock calls, never before this function has returned.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  schedule(timer: WheelTimer, atMs: number): void {
    checkNumber('atMs', atMs, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    const entry = entryOf(timer);
    if (entry.owner !== undefined) entry.owner.#remove(entry);
    entry.owner = this;
    entry.deadlineMs = atMs;
    ++this.#size;
    this.#place(entry);
    if (!this.#running && atMs < this.#alarmMs) this.#arm(atMs);
  }

  /** Disarms a timer. Harmless when it is not armed. */
  cancel(timer: WheelTimer): void {
    const entry = entryOf(timer);
    // The clock's timer stays: calling once for nothing costs less than arming it anew for each of many.
    if (entry.owner !== undefined) entry.owner.#remove(entry);
  }

  /** Disarms every timer of this wheel, and the clock's. The wheel can go on being used. */
  clear(): void {
    for (let slot = this.#firstSlot(); slot >= 0; slot = this.#firstSlot()) {
      for (let entry = this.#first[slot]; entry !== undefined; entry = this.#first[slot]) this.#remove(entry);
    }
    this.#alarm?.clear();
    this.#alarm = undefined;
    this.#alarmMs = Number.POSITIVE_INFINITY;
  }

  // ---- Calls of the clock ------------------------------------------------------------------------------------------

  readonly #onAlarm = (): void => {
    this.#alarm = undefined;
    this.#alarmMs = Number.POSITIVE_INFINITY;
    this.#running = true;
    this.#collect(this.clock.now());
    for (let entry = this.#first[dueSlot]; entry !== undefined; entry = this.#first[dueSlot]) {
      this.#remove(entry);
      this.#call(entry);
    }
    this.#running = false;
    const slot = this.#firstSlot();
    if (slot >= 0) this.#arm(this.#leastOf(slot));
  };

  #arm(atMs: number): void {
    this.#alarm?.clear();
    const nowMs = this.clock.now();
    const delayMs = Math.min(Math.max(0, atMs - nowMs), maxDelayMs);
    this.#alarmMs = Math.min(atMs, nowMs + maxDelayMs);
    this.#alarm = this.clock.setTimeout(this.#onAlarm, delayMs);
  }

  #call(entry: Entry): void {
    try {
      entry.callback();
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    try {
      this.#onError(error);
    } catch (second) {
      throwLater(second);
    }
  }

  /** Moves what is due to `dueSlot`, and the wheel to the present. */
  #collect(nowMs: number): void {
    const due: Entry[] = [];
    for (let slot = this.#firstSlot(); slot >= 0; slot = this.#firstSlot()) {
      const beginTick = this.#beginOf(slot);
      if ((slot < slotsPerLevel ? this.#leastOf(slot) : beginTick) > nowMs) break;
      this.#moveTo(beginTick);
      this.#sift(slot, nowMs, due);
    }
    // Not needed to be right: what is scheduled next is near in a low level, and need not move.
    this.#moveTo(Math.floor(nowMs));
    // Equal deadlines are always in one slot, where they lie in the order of scheduling, which sorting keeps.
    due.sort((a, b) => a.deadlineMs - b.deadlineMs);
    for (const entry of due) this.#append(dueSlot, entry);
  }

  /** Every slot before that tick must be empty. */
  #moveTo(tick: number): void {
    if (tick <= this.#tick) return;
    this.#tick = tick;
    if (tick >= this.#farTick) this.#farTick = floorTo(tick, blockTicks) + blockTicks;
  }

  /** Empties a slot: what is due goes to `due`, the rest where it belongs at the current tick. */
  #sift(slot: number, nowMs: number, due: Entry[]): void {
    const first = this.#first[slot];
    if (first === undefined) return;
    this.#vacate(slot);
    const last = first.previous;
    for (let entry = first, next: Entry; ; entry = next) {
      next = entry.next;
      if (entry.deadlineMs <= nowMs) due.push(entry);
      else this.#place(entry);
      if (entry === last) return;
    }
  }

  // ---- Slots -------------------------------------------------------------------------------------------------------

  /** The slot of the timers that are due first; -1 when all are empty. */
  #firstSlot(): number {
    for (let word = 0; word < this.#occupied.length; ++word) {
      const bits = this.#occupied[word] ?? 0;
      if (bits !== 0) return word * 32 + 31 - Math.clz32(bits & -bits);
    }
    return -1;
  }

  #leastOf(slot: number): number {
    return this.#leastMs[slot] ?? 0;
  }

  /** The first tick of a slot that is not empty. */
  #beginOf(slot: number): number {
    if (slot === farSlot) return floorTo(this.#leastOf(slot), blockTicks);
    const width = 2 ** (digitBits * (slot >>> digitBits));
    return floorTo(this.#tick, width * slotsPerLevel) + (slot & (slotsPerLevel - 1)) * width;
  }

  #place(entry: Entry): void {
    this.#append(this.#slotOf(Math.max(this.#tick, Math.floor(entry.deadlineMs))), entry);
  }

  // Bit operations see the last 32 bits of a tick: the four digits, also of a negative one.
  #slotOf(tick: number): number {
    if (tick >= this.#farTick) return farSlot;
    const level = (31 - Math.clz32((tick ^ this.#tick) | 1)) >>> 3;
    return (level << digitBits) | ((tick >>> (digitBits * level)) & (slotsPerLevel - 1));
  }

  #append(slot: number, entry: Entry): void {
    const first = this.#first[slot];
    entry.slot = slot;
    if (first === undefined) {
      entry.next = entry;
      entry.previous = entry;
      this.#first[slot] = entry;
      this.#leastMs[slot] = entry.deadlineMs;
      this.#occupied[slot >>> 5] = (this.#occupied[slot >>> 5] ?? 0) | (1 << (slot & 31));
      return;
    }
    entry.next = first;
    entry.previous = first.previous;
    first.previous.next = entry;
    first.previous = entry;
    if (entry.deadlineMs < this.#leastOf(slot)) this.#leastMs[slot] = entry.deadlineMs;
  }

  #remove(entry: Entry): void {
    const { slot, next, previous } = entry;
    if (next === entry) {
      this.#vacate(slot);
    } else {
      previous.next = next;
      next.previous = previous;
      if (this.#first[slot] === entry) this.#first[slot] = next;
    }
    // What is not armed must not keep the others in memory.
    entry.next = entry;
    entry.previous = entry;
    entry.owner = undefined;
    entry.deadlineMs = Number.POSITIVE_INFINITY;
    --this.#size;
  }

  #vacate(slot: number): void {
    this.#first[slot] = undefined;
    this.#occupied[slot >>> 5] = (this.#occupied[slot >>> 5] ?? 0) & ~(1 << (slot & 31));
  }
}

let system: TimingWheel | undefined;

/** The wheel over the machine's clock that everything shares which is given no other; its timers do not keep the process alive. */
export function systemWheel(): TimingWheel {
  system ??= new TimingWheel(systemClock);
  return system;
}

/** The greatest multiple of `step` that is not above `value`. */
function floorTo(value: number, step: number): number {
  return Math.floor(value / step) * step;
}
