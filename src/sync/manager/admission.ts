// Who may begin a session, and when the others are to come back: a line that keeps the order of their first asking.
//
// A manager that is full and only says "later" is idle when those who come back come too late, and starves those who always come at the wrong
// moment. So whoever is refused keeps its place in the line and is told when its turn is likely, from how fast sessions end; and whoever comes
// shortly before its turn is held without an answer until there is room, in the order of the line.

import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import type { NoRoom, Quotas } from './quotas.js';

/** What a request is about. */
export interface Claim {
  readonly agent: string;
  /** Of (agent, module): it has one place in the line, however often it asks. */
  readonly key: string;
  readonly items: number;
  /** How much memory it takes while it is held. */
  readonly bytes: number;
}

/** Not now. */
export interface Refusal {
  readonly reason: NoRoom['reason'];
  /** When to ask again, in milliseconds: 1,000 to 60,000. */
  readonly retryAfterMs: number;
}

/** Options of {@link Admission}. */
export interface AdmissionOptions<R> {
  readonly quotas: Quotas;
  readonly wheel: TimingWheel;
  readonly random: Random;
  /** How long a request is held at most. */
  readonly holdMs: number;
  /** Places of one agent. */
  readonly placesPerAgent: number;
  /** A request that was held may begin; its session and items are taken. It must not throw. */
  readonly admit: (request: R) => void;
  /** A request that was held may not. It must not throw. */
  readonly refuse: (request: R, refusal: Refusal) => void;
  /** Somebody waits because all is taken: sessions may be ended, by `release`, as long as they are asked for. It must not throw. */
  readonly makeWay: (isWanted: () => boolean) => void;
}

/** Bounds of the line: agents can make it no longer. */
const maxPlaces = 100_000;
const maxHeldBytes = 16 * 1024 * 1024;

export const leastRetryAfterMs = 1000;
export const mostRetryAfterMs = 60_000;
/** By how much chance changes what agents are told, so that those who were refused together do not come back together. */
const spread = 0.1;
/** More are called back than are likely to find room: who comes too early is held, who comes too late leaves a gap. */
const overbooking = 1.5;
/** How long a place is kept for one who does not come back when told to, beyond a part of that time. */
const lapseMs = 30_000;
const lapsePart = 0.5;
const sweepMs = 10_000;
/** How far back the rate of ending sessions is measured. */
const memoryMs = 10_000;
/**
 * What is believed before any session has ended: 1,000 sessions in a second, for as long as the first ones take, with all who ask in the
 * same second in their way. Many who come too early cost little; the manager is idle for as long as they were told too much.
 */
const believedSessions = 2000;
const believedMs = 2000;

interface Held<R> {
  readonly place: Place<R>;
  readonly claim: Claim;
  readonly request: R;
  readonly timer: WheelTimer;
}

interface Place<R> {
  readonly agent: string;
  readonly key: string;
  readonly items: number;
  /** Grows from place to place. */
  readonly turn: number;
  /** Until when it is kept for one who is not there. */
  keptUntilMs: number;
  held: Held<R> | undefined;
}

/** The line of those who want to begin a session. */
export class Admission<R> {
  readonly #options: AdmissionOptions<R>;
  /** By key, in the order of their turns. */
  readonly #line = new Map<string, Place<R>>();
  /** How many places an agent has, where it has any. */
  readonly #placesOf = new Map<string, number>();
  /** In the order of their turns. */
  readonly #held: Held<R>[] = [];
  #heldBytes = 0;
  #nextTurn = 1;
  #admitting = false;
  readonly #sweep = new WheelTimer(() => this.#lapse());
  /** Sessions that ended while somebody waited, and the time in which they did; both fade. */
  #endedSessions = believedSessions;
  #measuredMs = believedMs;
  #measuredAtMs: number;

  constructor(options: AdmissionOptions<R>) {
    this.#options = options;
    this.#measuredAtMs = options.wheel.clock.now();
  }

  /** How many have a place in the line, those that are held included. */
  get waiting(): number {
    return this.#line.size;
  }

  /** How many are held. */
  get held(): number {
    return this.#held.length;
  }

  /**
   * Asks for a session. What is admitted has taken it from the quotas, and gives it back by `release`.
   *
   * @returns `held` when the answer comes later, by `admit` or `refuse`.
   */
  ask(claim: Claim, request: R): 'admitted' | 'held' | Refusal {
    this.#measure();
    const { quotas } = this.#options;
    const noRoom = quotas.noRoom(claim.agent, claim.items);
    const place = this.#line.get(claim.key);
    // What only the agent itself can change is no matter of turns.
    if (noRoom?.of === 'agent') {
      if (place !== undefined) this.#leave(place);
      return { reason: noRoom.reason, retryAfterMs: this.#spread(leastRetryAfterMs * 2) };
    }
    if (noRoom === undefined && this.#isNext(place)) {
      if (place !== undefined) this.#leave(place);
      quotas.take(claim.agent, 1, claim.items, 0);
      return 'admitted';
    }
    return this.#queue(claim, request, place, noRoom?.reason ?? 'Busy');
  }

  /** A session has ended: others may begin. */
  release(agent: string, items: number, bytes: number): void {
    this.#measure();
    if (this.#line.size > 0) ++this.#endedSessions;
    this.#options.quotas.take(agent, -1, -items, -bytes);
    this.#admitHeld();
  }

  /** Who asked has gone: it is not held any more, and keeps its place for a while. */
  withdraw(key: string): void {
    const place = this.#line.get(key);
    if (place?.held === undefined) return;
    this.#unhold(place.held);
    this.#keep(place, 0);
    this.#admitHeld();
  }

  /** Forgets the line. @returns the requests that were held, which nobody answers now. */
  clear(): R[] {
    const requests = this.#held.map(({ request }) => request);
    for (const place of this.#line.values()) this.#leave(place);
    this.#options.wheel.cancel(this.#sweep);
    return requests;
  }

  // ---- The line ----------------------------------------------------------------------------------------------------

  /** Whether nobody that is held comes before. */
  #isNext(place: Place<R> | undefined): boolean {
    const first = this.#held[0];
    return first === undefined || (place !== undefined && place.turn <= first.place.turn);
  }

  #queue(claim: Claim, request: R, there: Place<R> | undefined, reason: Refusal['reason']): 'held' | Refusal {
    const place = there ?? this.#enter(claim);
    if (place === undefined) return { reason, retryAfterMs: this.#spread(mostRetryAfterMs) };
    // Who sends again what is held does not wait as long as it would be held.
    const again = place.held !== undefined;
    if (place.held !== undefined) this.#unhold(place.held);
    const waitMs = this.#waitMs(place);
    if (again || waitMs > this.#options.holdMs || this.#heldBytes + claim.bytes > maxHeldBytes) {
      return this.#refusal(place, reason, waitMs);
    }
    this.#hold(place, claim, request);
    return 'held';
  }

  #enter({ agent, key, items }: Claim): Place<R> | undefined {
    const places = this.#placesOf.get(agent) ?? 0;
    if (this.#line.size >= maxPlaces || places >= this.#options.placesPerAgent) return undefined;
    const place = { agent, key, items, turn: this.#nextTurn++, keptUntilMs: 0, held: undefined };
    this.#line.set(key, place);
    this.#placesOf.set(agent, places + 1);
    if (!this.#sweep.armed) this.#armSweep();
    return place;
  }

  #leave(place: Place<R>): void {
    if (place.held !== undefined) this.#unhold(place.held);
    this.#line.delete(place.key);
    const places = (this.#placesOf.get(place.agent) ?? 1) - 1;
    if (places === 0) this.#placesOf.delete(place.agent);
    else this.#placesOf.set(place.agent, places);
  }

  #refusal(place: Place<R>, reason: Refusal['reason'], waitMs: number): Refusal {
    const retryAfterMs = this.#spread(Math.max(leastRetryAfterMs, waitMs / overbooking));
    this.#keep(place, retryAfterMs);
    return { reason, retryAfterMs };
  }

  #keep(place: Place<R>, awayMs: number): void {
    place.keptUntilMs = this.#options.wheel.clock.now() + awayMs * (1 + lapsePart) + lapseMs;
  }

  /** Gives up the places of those who have not come back. */
  #lapse(): void {
    const nowMs = this.#options.wheel.clock.now();
    for (const place of this.#line.values()) {
      if (place.held === undefined && place.keptUntilMs < nowMs) this.#leave(place);
    }
    if (this.#isFull) this.#options.makeWay(() => this.#isFull);
    if (this.#line.size > 0) this.#armSweep();
  }

  /** Whether there is no room for whoever is first, and not by its own doing. */
  get #isFull(): boolean {
    const [first] = this.#line.values();
    return first !== undefined && this.#options.quotas.noRoom(first.agent, first.items)?.of === 'all';
  }

  #armSweep(): void {
    const { wheel } = this.#options;
    wheel.schedule(this.#sweep, wheel.clock.now() + sweepMs);
  }

  // ---- Who is held -------------------------------------------------------------------------------------------------

  #hold(place: Place<R>, claim: Claim, request: R): void {
    const { wheel, holdMs, refuse } = this.#options;
    const timer = new WheelTimer(() => {
      this.#measure();
      this.#unhold(held);
      const reason = this.#options.quotas.noRoom(claim.agent, claim.items)?.reason ?? 'Busy';
      refuse(request, this.#refusal(place, reason, this.#waitMs(place)));
      this.#admitHeld();
    });
    const held: Held<R> = { place, claim, request, timer };
    place.held = held;
    this.#held.splice(this.#heldIndex(place.turn), 0, held);
    this.#heldBytes += claim.bytes;
    wheel.schedule(timer, wheel.clock.now() + holdMs);
  }

  #unhold(held: Held<R>): void {
    this.#options.wheel.cancel(held.timer);
    this.#held.splice(this.#heldIndex(held.place.turn), 1);
    this.#heldBytes -= held.claim.bytes;
    held.place.held = undefined;
  }

  /** How many of those that are held come before a turn. */
  #heldIndex(turn: number): number {
    let low = 0;
    let high = this.#held.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#held[middle]?.place.turn ?? 0) < turn) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Admits those that are held, in their order, as far as there is room. */
  #admitHeld(): void {
    // What is admitted may be released at once, within `admit`.
    if (this.#admitting) return;
    this.#admitting = true;
    for (let [first] = this.#held; first !== undefined; [first] = this.#held) {
      const { claim, request, place } = first;
      const noRoom = this.#options.quotas.noRoom(claim.agent, claim.items);
      if (noRoom?.of === 'all') break;
      this.#leave(place);
      if (noRoom === undefined) {
        this.#options.quotas.take(claim.agent, 1, claim.items, 0);
        this.#options.admit(request);
      } else {
        const retryAfterMs = this.#spread(leastRetryAfterMs * 2);
        this.#options.refuse(request, { reason: noRoom.reason, retryAfterMs });
      }
    }
    this.#admitting = false;
  }

  // ---- How long it takes -------------------------------------------------------------------------------------------

  /** Counts the time that passed, where somebody waited; what was longer ago counts less. */
  #measure(): void {
    const nowMs = this.#options.wheel.clock.now();
    const passedMs = nowMs - this.#measuredAtMs;
    this.#measuredAtMs = nowMs;
    if (this.#line.size === 0) return;
    const left = Math.exp(-passedMs / memoryMs);
    this.#endedSessions *= left;
    this.#measuredMs = this.#measuredMs * left + passedMs;
  }

  /** How long it is likely to take until a place is first. Those who left from the middle of the line are taken as spread evenly. */
  #waitMs(place: Place<R>): number {
    const [first] = this.#line.values();
    const firstTurn = first?.turn ?? place.turn;
    const filled = this.#line.size / (this.#nextTurn - firstTurn);
    const ahead = (place.turn - firstTurn) * filled;
    return (ahead * this.#measuredMs) / Math.max(this.#endedSessions, 0.001);
  }

  #spread(ms: number): number {
    const spreadMs = Math.min(ms, mostRetryAfterMs) * (1 - spread + 2 * spread * this.#options.random());
    return Math.round(Math.min(Math.max(spreadMs, leastRetryAfterMs), mostRetryAfterMs));
  }
}
