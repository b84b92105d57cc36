// Keep-alive: pings that show whether the other side is there, and how far away (source document, section 4).

import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkOneOf,
  checkOptions,
  maxU32,
} from '../base/check.js';
import { type Random, systemRandom } from '../base/random.js';
import { type TimingWheel, WheelTimer } from '../base/timing-wheel.js';

/**
 * The states of the source document, section 4.3.
 * - `IDLE`: waits for the next ping; also before `start` and after `stop`.
 * - `SEND_PING`: a ping is being handed over.
 * - `WAITING_PONG`: a ping is on its way.
 * - `TIMEOUT`: the other side is gone. The end, until `start` begins anew.
 */
export type KeepAliveState = 'IDLE' | 'SEND_PING' | 'WAITING_PONG' | 'TIMEOUT';

/** What leads from one state to another. */
export type KeepAliveEvent =
  | 'started'
  | 'stopped'
  | 'intervalElapsed'
  | 'pingSent'
  | 'pingFailed'
  | 'pongReceived'
  | 'pongTimedOut';

/** What a keep-alive does to the connection, and whom it tells. */
export interface KeepAliveHandlers {
  /** Sends a ping. False or an exception says that it is not on its way: it counts as missed. */
  readonly sendPing: (sequence: number) => boolean;
  /** Sends a pong. When it fails nothing happens here: the other side misses it. */
  readonly sendPong: (sequence: number) => boolean;
  /** The time between a ping and its pong, in milliseconds. */
  readonly latency?: ((latencyMs: number) => void) | undefined;
  /**
   * With `source: 'transport'`: the round trip that the transport has measured, in milliseconds; undefined or 0 while it has none. Asked once
   * in every `pingIntervalMs`, and told by `latency`.
   */
  readonly roundTripMs?: (() => number | undefined) | undefined;
  /** The other side is gone: the connection is to be closed. Called once for a `start`, in the state `TIMEOUT`. */
  readonly timeout: () => void;
}

/** Options of {@link KeepAlive}. The defaults are those of the source document, section 4.1. */
export interface KeepAliveOptions {
  /**
   * Where the knowledge comes from.
   * - `ping` (default): pings of this layer, as the source document describes; for TCP and TLS.
   * - `transport`: this sends no ping. The transport below has a liveness of its own: it ends the connection when the
   *   other side is gone, how soon is its matter, and measures the round trip (`roundTripMs`). Pings of the other side
   *   are answered all the same. For UDP, where a second keep-alive would only double the traffic.
   */
  readonly source?: 'ping' | 'transport';
  /** From one ping to the next, 1 to 86,400,000 ms; 30,000 by default. */
  readonly pingIntervalMs?: number;
  /**
   * How long a ping waits for its pong, 1 to `pingIntervalMs`; 5,000 by default, or `pingIntervalMs` where that is
   * shorter. A pong that comes later is ignored.
   */
  readonly pongTimeoutMs?: number;
  /** So many pings missed in a row are the end, 1 to 1,000; 3 by default. */
  readonly maxMissedPongs?: number;
  /**
   * True (default): a ping is sent only when nothing but pings and pongs has been received for `pingIntervalMs`. What
   * has been *received* counts, not what has been sent: it proves what a pong would prove, sending proves nothing, and
   * a side that only sends would never notice that nobody is there. So whatever is received also ends a row of missed
   * pongs, as its pong would, and a ping after which something else has arrived is not missed. A peer that sends but
   * hears nothing is left to the timeouts of requests, and to its own pings.
   *
   * False: a ping in every interval, and only its pong counts, as in the source document; also for a peer that takes
   * silence for loss and sends no pings of its own.
   */
  readonly pingOnlyWhenIdle?: boolean;
  /**
   * The first ping is early by a random time up to this, 0 to `pingIntervalMs`; 0 by default. A gateway whose 10,000
   * peers come at once so pings them at different times. Early and not late, so that `maxDetectionMs` holds.
   */
  readonly phaseJitterMs?: number;
  /** The sequence of the first ping, 1 to 4,294,967,295; 1 by default. After 4,294,967,295 comes 1. */
  readonly firstSequence?: number;
  /** Draws the phase. */
  readonly random?: Random;
}

/** What a keep-alive has counted. */
export interface KeepAliveStats {
  /** Pings that `sendPing` has taken. */
  readonly pingsSent: number;
  /** Pongs that came in time for their ping. */
  readonly pongsReceived: number;
  /** Pings missed in a row until now. */
  readonly missed: number;
  /** Undefined until there is one. */
  readonly lastLatencyMs: number | undefined;
}

/** Source document, section 4.1. */
export const keepAliveDefaults = {
  pingIntervalMs: 30_000,
  pongTimeoutMs: 5_000,
  maxMissedPongs: 3,
} as const;

const maxIntervalMs = 86_400_000;

const optionNames = [
  'source',
  'pingIntervalMs',
  'pongTimeoutMs',
  'maxMissedPongs',
  'pingOnlyWhenIdle',
  'phaseJitterMs',
  'firstSequence',
  'random',
] as const;

/**
 * The state machine of the source document, section 4.3, and what it leaves open: a ping that cannot be sent is missed
 * at once, and a pong may come before the ping is known to be sent (in one process it does). An event that does not
 * belong to a state leaves it.
 *
 * @param exhausted whether as many pings as allowed are missed.
 */
export function nextKeepAliveState(
  state: KeepAliveState,
  event: KeepAliveEvent,
  exhausted: boolean,
): KeepAliveState {
  switch (event) {
    case 'started':
    case 'stopped':
      return 'IDLE';
    case 'intervalElapsed':
      return state === 'IDLE' ? 'SEND_PING' : state;
    case 'pingSent':
      return state === 'SEND_PING' ? 'WAITING_PONG' : state;
    case 'pongReceived':
      return state === 'SEND_PING' || state === 'WAITING_PONG' ? 'IDLE' : state;
    case 'pingFailed':
      return state !== 'SEND_PING' ? state : exhausted ? 'TIMEOUT' : 'IDLE';
    case 'pongTimedOut':
      return state !== 'WAITING_PONG' ? state : exhausted ? 'TIMEOUT' : 'IDLE';
  }
}

/**
 * One side's keep-alive of one connection. It sends through its handlers and is told what arrives; time and its timer
 * are those of a timing wheel, which all connections share.
 *
 * When the other side falls silent, `timeout` is called at most `maxDetectionMs` after the last sign of life, and never
 * before `maxMissedPongs` pings have been missed. An exception of `latency` goes to the caller of `onPong`, one of
 * `timeout` to the wheel's `onError`.
 */
export class KeepAlive {
  readonly #wheel: TimingWheel;
  readonly #handlers: KeepAliveHandlers;
  readonly #sendsPings: boolean;
  readonly #pingIntervalMs: number;
  readonly #pongTimeoutMs: number;
  readonly #maxMissedPongs: number;
  readonly #heedsTraffic: boolean;
  readonly #phaseJitterMs: number;
  readonly #random: Random;
  readonly #timer: WheelTimer = new WheelTimer(() => this.#onTimer());
  #running = false;
  #state: KeepAliveState = 'IDLE';
  #nextSequence: number;
  /** Of the latest ping, and when it was sent. */
  #sequence = 0;
  #pingMs = 0;
  /**
   * The next interval is counted from here: the latest ping or, with `pingOnlyWhenIdle`, what was received after it.
   */
  #quietSinceMs = 0;
  /** Whether anything but its pong has been received after the latest ping; with `pingOnlyWhenIdle` only. */
  #heardSincePing = false;
  #pingsSent = 0;
  #pongsReceived = 0;
  #missed = 0;
  #lastLatencyMs: number | undefined = undefined;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(wheel: TimingWheel, handlers: KeepAliveHandlers, options: KeepAliveOptions = {}) {
    checkOptions('options', options, optionNames);
    this.#wheel = wheel;
    this.#handlers = handlers;
    this.#sendsPings = checkOneOf('source', options.source ?? 'ping', ['ping', 'transport']) === 'ping';
    this.#pingIntervalMs = checkInteger(
      'pingIntervalMs',
      options.pingIntervalMs ?? keepAliveDefaults.pingIntervalMs,
      1,
      maxIntervalMs,
    );
    this.#pongTimeoutMs = checkInteger(
      'pongTimeoutMs',
      options.pongTimeoutMs ?? Math.min(keepAliveDefaults.pongTimeoutMs, this.#pingIntervalMs),
      1,
      // A ping that waited longer than the interval would put off the next, and the detection with it.
      this.#pingIntervalMs,
    );
    this.#maxMissedPongs = checkInteger(
      'maxMissedPongs',
      options.maxMissedPongs ?? keepAliveDefaults.maxMissedPongs,
      1,
      1000,
    );
    const onlyWhenIdle = checkBoolean('pingOnlyWhenIdle', options.pingOnlyWhenIdle ?? true);
    this.#heedsTraffic = this.#sendsPings && onlyWhenIdle;
    this.#phaseJitterMs = checkInteger('phaseJitterMs', options.phaseJitterMs ?? 0, 0, this.#pingIntervalMs);
    this.#nextSequence = checkInteger('firstSequence', options.firstSequence ?? 1, 1, maxU32);
    this.#random = checkFunction('random', options.random ?? systemRandom);
  }

  /** Where it stands now. */
  get state(): KeepAliveState {
    return this.#state;
  }

  /**
   * The longest time from the last sign of life to `timeout`, in milliseconds: 95,000 by default (source document,
   * section 4.1).
   */
  get maxDetectionMs(): number {
    return this.#pingIntervalMs * this.#maxMissedPongs + this.#pongTimeoutMs;
  }

  /** How many PINGs were sent and answered. */
  get stats(): KeepAliveStats {
    return {
      pingsSent: this.#pingsSent,
      pongsReceived: this.#pongsReceived,
      missed: this.#missed,
      lastLatencyMs: this.#lastLatencyMs,
    };
  }

  /** Begins, with no ping missed; the first ping is due after an interval. Harmless while it runs. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#missed = 0;
    this.#quietSinceMs = this.#now();
    if (this.#phaseJitterMs > 0) this.#quietSinceMs -= this.#random() * this.#phaseJitterMs;
    this.#enter('started');
  }

  /** Ends it: no further ping, and `timeout` does not come any more. Harmless when it does not run. */
  stop(): void {
    if (!this.#running) return;
    this.#running = false;
    this.#enter('stopped');
  }

  // ---- What arrives ------------------------------------------------------------------------------------------------

  /** A ping of the other side: the pong goes back at once, whether this runs or not (source document, section 4.5). */
  onPing(sequence: number): void {
    try {
      this.#handlers.sendPong(sequence);
    } catch {
      // The other side counts a pong that does not come; if the connection has broken, its owner is told by the
      // connection.
    }
  }

  /** A pong. Ignored unless it answers the latest ping, once and in time. */
  onPong(sequence: number): void {
    const isAwaited = this.#state === 'WAITING_PONG' || this.#state === 'SEND_PING';
    if (!isAwaited || sequence !== this.#sequence) return;
    ++this.#pongsReceived;
    this.#missed = 0;
    this.#enter('pongReceived');
    this.#tellLatency(this.#now() - this.#pingMs);
  }

  /** Anything but a ping or a pong has arrived. */
  onTraffic(): void {
    if (!this.#running || !this.#heedsTraffic) return;
    this.#missed = 0;
    this.#heardSincePing = true;
    // The timer stays: it looks at this when it comes, which costs less than arming it anew for every message.
    this.#quietSinceMs = this.#now();
  }

  // ---- Pings -------------------------------------------------------------------------------------------------------

  #onTimer(): void {
    if (!this.#sendsPings) this.#tellRoundTrip();
    else if (this.#state === 'WAITING_PONG') this.#endPing('pongTimedOut');
    else if (this.#nextPingMs > this.#now()) this.#wheel.schedule(this.#timer, this.#nextPingMs);
    else this.#ping();
  }

  #ping(): void {
    this.#sequence = this.#nextSequence;
    this.#nextSequence = this.#sequence === maxU32 ? 1 : this.#sequence + 1;
    this.#pingMs = this.#now();
    this.#quietSinceMs = this.#pingMs;
    this.#heardSincePing = false;
    this.#enter('intervalElapsed');
    const sent = this.#send(this.#sequence);
    if (sent) ++this.#pingsSent;
    // Sending may have brought the pong, or a stop.
    if (this.#state !== 'SEND_PING') return;
    if (sent) this.#enter('pingSent');
    else this.#endPing('pingFailed');
  }

  #send(sequence: number): boolean {
    try {
      return this.#handlers.sendPing(sequence);
    } catch {
      return false;
    }
  }

  /** The latest ping gets no pong. */
  #endPing(event: 'pingFailed' | 'pongTimedOut'): void {
    if (!this.#heardSincePing) ++this.#missed;
    if (this.#exhausted) this.#end(event);
    else this.#enter(event);
  }

  /** Leads to `TIMEOUT`. */
  #end(event: 'pingFailed' | 'pongTimedOut'): void {
    this.#running = false;
    this.#enter(event);
    this.#handlers.timeout();
  }

  get #exhausted(): boolean {
    return this.#missed >= this.#maxMissedPongs;
  }

  /** Enters the next state, and sets the timer that it needs. */
  #enter(event: KeepAliveEvent): void {
    this.#state = nextKeepAliveState(this.#state, event, this.#exhausted);
    if (!this.#running || (!this.#sendsPings && this.#handlers.roundTripMs === undefined)) {
      this.#wheel.cancel(this.#timer);
    } else if (this.#state === 'IDLE') this.#wheel.schedule(this.#timer, this.#nextPingMs);
    else if (this.#state === 'WAITING_PONG')
      this.#wheel.schedule(this.#timer, this.#pingMs + this.#pongTimeoutMs);
  }

  #tellRoundTrip(): void {
    this.#quietSinceMs = this.#now();
    this.#wheel.schedule(this.#timer, this.#nextPingMs);
    const roundTripMs = this.#handlers.roundTripMs?.();
    if (roundTripMs) this.#tellLatency(roundTripMs);
  }

  get #nextPingMs(): number {
    return this.#quietSinceMs + this.#pingIntervalMs;
  }

  #tellLatency(latencyMs: number): void {
    this.#lastLatencyMs = latencyMs;
    this.#handlers.latency?.(latencyMs);
  }

  #now(): number {
    return this.#wheel.clock.now();
  }
}
