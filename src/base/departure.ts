// When a client leaves a gateway that will end its connections.

import type { Farewell } from './message-connection.js';
import type { Random } from './random.js';
import { type TimingWheel, WheelTimer } from './timing-wheel.js';

/** What a gateway may ask for at most: whatever it says, its clients come back. */
const maxSpreadMs = 600_000;
/** The rest of the time until the deadline is for the last answers. */
const shareOfDeadline = 0.8;

/** What a departure does. */
export interface DepartureHandlers {
  /** Spreads those who connect again over so many milliseconds: `ConnectionManager.spreadNextAttempt`. */
  readonly spread: (spreadMs: number) => void;
  /** Leaves now. */
  readonly leave: () => void;
  /** Whether something would be lost by that. */
  readonly mustStay: () => boolean;
}

/** The departure of one connection after another. */
export class Departure {
  readonly #wheel: TimingWheel;
  readonly #random: Random;
  readonly #handlers: DepartureHandlers;
  readonly #timer: WheelTimer = new WheelTimer(() => this.#due());
  #latestMs = 0;
  #restMs = 0;

  constructor(wheel: TimingWheel, random: Random, handlers: DepartureHandlers) {
    this.#wheel = wheel;
    this.#random = random;
    this.#handlers = handlers;
  }

  /**
   * The gateway says when it will end the connection. If that is not now, whoever can stays while others leave, so that all have a gateway
   * for as long as possible.
   */
  plan({ deadlineMs, reconnectSpreadMs }: Farewell): void {
    const spreadMs = Math.min(reconnectSpreadMs, maxSpreadMs);
    if (deadlineMs === 0) {
      this.#spread(spreadMs);
      return;
    }
    const nowMs = this.#wheel.clock.now();
    const roomMs = deadlineMs * shareOfDeadline;
    this.#latestMs = nowMs + roomMs;
    this.#restMs = spreadMs - roomMs;
    this.#wheel.schedule(this.#timer, nowMs + this.#random() * Math.min(spreadMs, roomMs));
  }

  /** The connection is over. */
  cancel(): void {
    this.#wheel.cancel(this.#timer);
  }

  #due(): void {
    const nowMs = this.#wheel.clock.now();
    if (nowMs < this.#latestMs && this.#handlers.mustStay()) {
      this.#wheel.schedule(this.#timer, this.#latestMs);
      return;
    }
    this.#spread(this.#restMs);
    this.#handlers.leave();
  }

  #spread(spreadMs: number): void {
    if (spreadMs > 0) this.#handlers.spread(spreadMs);
  }
}
