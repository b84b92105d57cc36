// What a client sends until it is answered: over whichever connection there is, in its order, as fast as that takes it.

import { HawserError } from '../../base/errors.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';

/** Something that is to be sent, and sent again. */
export interface Outgoing {
  /** Its bytes as of now: called right before they are sent. */
  frame(): Uint8Array;
  /** A connection has taken it. @returns after how many milliseconds it is to be sent again; undefined for never. */
  sent(): number | undefined;
  /** It is due to be sent again. @returns false when nobody wants that: it has been removed. */
  again(): boolean;
  /** No connection ever takes it. */
  undeliverable(error: unknown): void;
}

/** How soon a connection that had no room is asked again, unless it says that it has. */
const retryMs = 1000;

/** Where frames go. @returns and throws as `MessageConnection.send`. */
export type SendFrame = (frame: Uint8Array) => boolean;

/** Holds what is under way. */
export class Outbox {
  readonly #wheel: TimingWheel;
  /** What is under way, in the order in which it was made, each with the timer for when it is sent again. */
  readonly #all = new Map<Outgoing, WheelTimer>();
  /** What is to be sent as soon as there is room. */
  #waiting = new Set<Outgoing>();
  #send: SendFrame | undefined;
  /** Until `drained`. */
  #isFull = false;
  /** A connection that had no room may not say when it has: it had nothing to send, and the message was too long for it. */
  readonly #retry: WheelTimer = new WheelTimer(() => this.drained());
  #isFlushing = false;

  constructor(wheel: TimingWheel) {
    this.#wheel = wheel;
  }

  /** There is a connection: everything that is under way is sent over it. */
  open(send: SendFrame): void {
    this.#send = send;
    this.#isFull = false;
    this.#waiting = new Set(this.#all.keys());
    for (const timer of this.#all.values()) this.#wheel.cancel(timer);
    this.#flush();
  }

  /** There is none any more. */
  close(): void {
    this.#send = undefined;
    this.#wheel.cancel(this.#retry);
    for (const timer of this.#all.values()) this.#wheel.cancel(timer);
  }

  drained(): void {
    this.#isFull = false;
    this.#wheel.cancel(this.#retry);
    this.#flush();
  }

  add(outgoing: Outgoing): void {
    this.#all.set(outgoing, new WheelTimer(() => this.#again(outgoing)));
    this.#waiting.add(outgoing);
    this.#flush();
  }

  /** Harmless when it is not in here. */
  remove(outgoing: Outgoing): void {
    const timer = this.#all.get(outgoing);
    if (timer === undefined) return;
    this.#wheel.cancel(timer);
    this.#all.delete(outgoing);
    this.#waiting.delete(outgoing);
  }

  /** Sends it again after a while. */
  defer(outgoing: Outgoing, delayMs: number): void {
    const timer = this.#all.get(outgoing);
    if (timer === undefined || this.#send === undefined) return;
    this.#waiting.delete(outgoing);
    this.#wheel.schedule(timer, this.#wheel.clock.now() + delayMs);
  }

  #again(outgoing: Outgoing): void {
    if (!outgoing.again()) return;
    this.#waiting.add(outgoing);
    this.#flush();
  }

  #flush(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    for (const outgoing of this.#waiting) {
      if (this.#send === undefined || this.#isFull) break;
      this.#sendOne(outgoing, this.#send);
    }
    this.#isFlushing = false;
  }

  #sendOne(outgoing: Outgoing, send: SendFrame): void {
    try {
      this.#isFull = !send(outgoing.frame());
    } catch (error) {
      if (isPassing(error)) this.#wait();
      else outgoing.undeliverable(error);
      return;
    }
    this.#waiting.delete(outgoing);
    const againMs = outgoing.sent();
    if (againMs !== undefined) this.defer(outgoing, againMs);
  }

  /** For room, or for another connection. */
  #wait(): void {
    this.#isFull = true;
    this.#wheel.schedule(this.#retry, this.#wheel.clock.now() + retryMs);
  }
}

function isPassing(error: unknown): boolean {
  if (!(error instanceof HawserError)) return false;
  return error.code === 'ERR_HAWSER_QUEUE_FULL' || error.code === 'ERR_HAWSER_NOT_CONNECTED';
}
