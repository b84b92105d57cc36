// Whose turn it is to be asked for what the disk had no room for: few sessions at a time, so that what they send finds room.

import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { limits, type Pair } from '../wire/messages.js';

/** So many have their turn at a time. */
const turnsAtATime = 2;
/** How long a turn is at most: what an agent sends slowly may find no room, but others are not kept from theirs. */
const mostTurnMs = 20_000;
/** And how long when nothing comes. */
const quietTurnMs = 5000;

/** Which part of what may be unwritten one session is asked for at a time: two have their turn, and others send without one. */
const portionPart = 1 / 4;

/** What has come of a session. */
interface Arrived {
  readonly seen: number;
  readonly bytes: number;
  gaps(limit: number): readonly Pair[];
}

/** What is missing of a session, the first of it: as many items as the disk has room for, if they are like those that have come. */
export function portionOf(arrived: Arrived, maxUnwrittenBytes: number): Pair[] {
  const { seen, bytes } = arrived;
  const itemBytes = seen === 0 ? limits.messageBytes : bytes / seen;
  const portion: Pair[] = [];
  let left = BigInt(Math.max(1, Math.floor((maxUnwrittenBytes * portionPart) / itemBytes)));
  for (const { begin, end } of arrived.gaps(limits.ranges)) {
    if (left <= 0n) break;
    const last = begin + left - 1n;
    portion.push({ begin, end: last < end ? last : end });
    left -= end - begin + 1n;
  }
  return portion;
}

interface Turn {
  readonly timer: WheelTimer;
  /** When it is over, whatever comes. */
  readonly endMs: number;
}

/** The line. `S` is a session. */
export class PortionLine<S extends object> {
  readonly #wheel: TimingWheel;
  readonly #agentOf: (session: S) => string;
  readonly #turns = new Map<S, Turn>();
  /** In the order of their asking, with what is called when their turn has come. */
  readonly #waiting = new Map<S, () => void>();

  /** @param agentOf whose a session is: no agent has both turns while another waits for one. */
  constructor(wheel: TimingWheel, agentOf: (session: S) => string) {
    this.#wheel = wheel;
    this.#agentOf = agentOf;
  }

  /** How many wait for their turn. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Gives up the turn that a session has, and waits for the next. @param begin called when it has come, perhaps at once. */
  ask(session: S, begin: () => void): void {
    this.#end(session);
    if (!this.#waiting.has(session)) this.#waiting.set(session, begin);
    this.#next();
  }

  /** Something has come of a session. */
  arrived(session: S): void {
    const turn = this.#turns.get(session);
    if (turn !== undefined) this.#plan(turn);
  }

  /** A session needs no turn any more. */
  leave(session: S): void {
    this.#waiting.delete(session);
    if (this.#end(session)) this.#next();
  }

  #end(session: S): boolean {
    const turn = this.#turns.get(session);
    if (turn === undefined) return false;
    this.#wheel.cancel(turn.timer);
    return this.#turns.delete(session);
  }

  #next(): void {
    while (this.#turns.size < turnsAtATime) {
      const first = this.#first();
      if (first === undefined) return;
      const [session, begin] = first;
      this.#waiting.delete(session);
      const timer = new WheelTimer(() => this.leave(session));
      const turn = { timer, endMs: this.#wheel.clock.now() + mostTurnMs };
      this.#turns.set(session, turn);
      this.#plan(turn);
      begin();
    }
  }

  /** Who is the next: one whose agent has no turn, where there is one. */
  #first(): [S, () => void] | undefined {
    const served = new Set(Array.from(this.#turns.keys(), this.#agentOf));
    for (const each of this.#waiting) if (!served.has(this.#agentOf(each[0]))) return each;
    const [first] = this.#waiting;
    return first;
  }

  #plan({ timer, endMs }: Turn): void {
    this.#wheel.schedule(timer, Math.min(endMs, this.#wheel.clock.now() + quietTurnMs));
  }
}
