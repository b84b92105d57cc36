// One connection that is kept: it is made, and made anew after each loss, with growing delays (source document,
// sections 5.4 to 5.7).

import { EventEmitter } from 'node:events';
import { abortedError, checkSignal, throwIfAborted } from './abort.js';
import { Backoff, type BackoffOptions } from './backoff.js';
import { checkBoolean, checkFunction, checkNumber, checkOptions } from './check.js';
import { type Clock, systemClock, type Timer } from './clock.js';
import { HawserError } from './errors.js';
import {
  answerOf,
  guard,
  isolateRejections,
  type ListenerErrorTarget,
  reportListenerError,
} from './isolate.js';
import { type Random, systemRandom } from './random.js';

/** Where a connection manager is; the states of the source document, section 5.4. */
export const managerStates = ['DISCONNECTED', 'CONNECTING', 'CONNECTED', 'RECONNECTING', 'CLOSED'] as const;
/**
 * - `DISCONNECTED`: nothing is under way and nothing is planned.
 * - `CONNECTING`: the first attempt of `connect` is under way.
 * - `CONNECTED`: there is a connection.
 * - `RECONNECTING`: it was lost, or the first attempt failed: an attempt is planned or under way.
 * - `CLOSED`: for good.
 */
export type ManagerState = (typeof managerStates)[number];

/** What changes the state: `success` and `failure` are those of an attempt, the others are calls. */
export const managerInputs = ['connect', 'success', 'failure', 'lost', 'disconnect', 'close'] as const;
export type ManagerInput = (typeof managerInputs)[number];

const transitions: Readonly<Record<ManagerState, { readonly [I in ManagerInput]?: ManagerState }>> = {
  DISCONNECTED: { connect: 'CONNECTING', close: 'CLOSED' },
  CONNECTING: {
    success: 'CONNECTED',
    failure: 'RECONNECTING',
    disconnect: 'DISCONNECTED',
    close: 'CLOSED',
  },
  CONNECTED: { lost: 'RECONNECTING', disconnect: 'DISCONNECTED', close: 'CLOSED' },
  RECONNECTING: {
    success: 'CONNECTED',
    failure: 'RECONNECTING',
    disconnect: 'DISCONNECTED',
    close: 'CLOSED',
  },
  CLOSED: {},
};

/**
 * The state after an input (source document, section 5.4).
 *
 * @param autoReconnect false: what would lead to RECONNECTING leads to DISCONNECTED.
 * @returns undefined where the input means nothing in that state.
 */
export function nextManagerState(
  state: ManagerState,
  input: ManagerInput,
  autoReconnect: boolean,
): ManagerState | undefined {
  const next = transitions[state][input];
  return next === 'RECONNECTING' && !autoReconnect ? 'DISCONNECTED' : next;
}

/**
 * Options of {@link ConnectionManager}. `T` is what stands for a connection: anything, but another value for each
 * connection.
 */
export interface ConnectionManagerOptions<T> {
  /**
   * One attempt. It resolves when the connection is made and the application has accepted it (the source document,
   * section 5.6, resets the delays only then), and rejects when either fails.
   *
   * @param signal aborts when the attempt is given up or has failed: whatever it opened is then to be closed.
   */
  readonly connect: (signal: AbortSignal) => Promise<T>;
  /**
   * Tears a connection down. Called once for everything that `connect` resolved with: when it was lost, when
   * `disconnect` or `close` ends it, and at once when it came too late to be wanted. A promise that it returns is not
   * waited for.
   */
  readonly release: (handle: T) => unknown;
  /**
   * How long an attempt may take, in milliseconds, 1 to 3,600,000; 30,000 by default (source document, section 5.5).
   */
  readonly attemptTimeoutMs?: number;
  /** False: a loss and a failed attempt lead to DISCONNECTED. True by default. */
  readonly autoReconnect?: boolean;
  /**
   * Whether to try again after a connection was lost, or an attempt failed, for that reason; false leads to
   * DISCONNECTED. Always by default. For reasons that another attempt can only meet again, or make worse.
   */
  readonly reconnectAfter?: (reason: unknown) => boolean;
  /** The delays before attempts to reconnect. */
  readonly backoff?: BackoffOptions;
  /**
   * True: the first attempt after a loss does without the delay, and the delays begin with the second; unless the
   * connection was lost before it was stable. False by default. Use it with `stableMs`: a gateway that accepts and
   * then drops its client would otherwise be tried without a pause.
   */
  readonly firstAttemptAtOnce?: boolean;
  /**
   * Spreads the clients of a gateway that is gone: the first attempt after a loss, or after `connect` failed, waits
   * for its delay with its jitter and for a random time between 0 and this, in milliseconds, 0 to 3,600,000; 0 by
   * default.
   */
  readonly firstAttemptSpreadMs?: number;
  /**
   * For how long a connection must last until the delays begin anew, in milliseconds, 0 to 86,400,000; 0 by default:
   * as soon as it is made. With more, a gateway that accepts and then drops its client is tried less and less often.
   */
  readonly stableMs?: number;
  /** The machine's by default: with it, a process lives for as long as a connection is being made or is to be made anew. */
  readonly clock?: Clock;
  /** Where jitter and spread are taken from; {@link systemRandom} by default. */
  readonly random?: Random;
}

/** Options of `ConnectionManager.connect`. */
export interface ManagedConnectOptions {
  /** Gives up, as `disconnect` does. Once connected it has no effect. */
  readonly signal?: AbortSignal;
}

/** The events of a connection manager with the arguments of their listeners (source document, section 5.7). */
export interface ConnectionManagerEvents<T> {
  /** The state is another. */
  stateChange: [from: ManagerState, to: ManagerState];
  /** A connection was made. */
  connected: [handle: T];
  /** The connection of the last `connected` is gone: it was lost for that reason, or ended from here (undefined). */
  disconnected: [reason: unknown];
  /**
   * An attempt to reconnect follows in so many milliseconds. It is the first (1), second ... since the delays began
   * anew.
   */
  reconnecting: [attempt: number, delayMs: number];
  /** An attempt failed or took too long. `attempt` is that of `reconnecting`, and 0 for the first one of `connect`. */
  attemptFailed: [error: unknown, attempt: number];
  /**
   * A listener or `release` threw, or its promise rejected. Without a listener of this event it is counted and
   * becomes a warning of the process.
   */
  listenerError: [error: unknown, source: string];
}

/** What a client lets its user say of reconnecting; the rest of the options is its own affair. */
export type ReconnectionOptions<T> = Omit<
  ConnectionManagerOptions<T>,
  'connect' | 'release' | 'clock' | 'random'
>;

/** What has the events of a connection manager, without the connection. */
export interface ConnectionTarget extends ListenerErrorTarget {
  emit(eventName: 'stateChange', from: ManagerState, to: ManagerState): boolean;
  emit(eventName: 'connected'): boolean;
  emit(eventName: 'disconnected', reason: unknown): boolean;
  emit(eventName: 'reconnecting', attempt: number, delayMs: number): boolean;
  emit(eventName: 'attemptFailed', error: unknown, attempt: number): boolean;
  emit(eventName: 'listenerError', error: unknown, source: string): boolean;
}

/** Has the listeners of `target` hear what a manager tells; one that throws is an error of `target`. */
export function passOn<T>(manager: ConnectionManager<T>, target: ConnectionTarget): void {
  manager.on('stateChange', (from, to) =>
    guard(target, 'stateChange', () => target.emit('stateChange', from, to)),
  );
  manager.on('connected', () => guard(target, 'connected', () => target.emit('connected')));
  manager.on('disconnected', (reason) =>
    guard(target, 'disconnected', () => target.emit('disconnected', reason)),
  );
  manager.on('reconnecting', (attempt, delayMs) =>
    guard(target, 'reconnecting', () => target.emit('reconnecting', attempt, delayMs)),
  );
  manager.on('attemptFailed', (error, attempt) =>
    guard(target, 'attemptFailed', () => target.emit('attemptFailed', error, attempt)),
  );
  manager.on('listenerError', (error, source) => reportListenerError(target, error, source));
}

const optionNames = [
  'connect',
  'release',
  'attemptTimeoutMs',
  'autoReconnect',
  'reconnectAfter',
  'backoff',
  'firstAttemptAtOnce',
  'firstAttemptSpreadMs',
  'stableMs',
  'clock',
  'random',
] as const;
const maxAttemptTimeoutMs = 3_600_000;
const maxSpreadMs = 3_600_000;
const maxStableMs = 86_400_000;
/** The longest delay that the timers of Node.js know. */
const maxDelayMs = 2 ** 31 - 1;

/** An attempt that is under way. One that is not the manager's any more has failed or was given up. */
interface Attempt<T> {
  readonly controller: AbortController;
  readonly limit: Timer;
  /** Why connections were lost that the attempt may yet resolve with. */
  readonly lost: Map<T, unknown>;
}

/** Who waits for `connect`. */
interface Caller<T> {
  readonly connected: Promise<T>;
  readonly resolve: (handle: T) => void;
  readonly reject: (error: unknown) => void;
}

/** A call into code of the application. */
interface Call {
  /** For `listenerError`. */
  readonly source: string;
  readonly run: () => unknown;
}

/**
 * Keeps one connection. What a connection is, how it is made and how its loss is noticed is the caller's: `connect` of
 * the options makes one, and `notifyConnectionLost` says that it is gone.
 *
 * After a loss come, in this order, the events `stateChange`, `disconnected`, `reconnecting` and those of further
 * attempts, and, when one succeeds, `stateChange` and `connected`. Listeners, `release` and `connect` of the options
 * may call any method: it takes effect at once, and its own events follow when those are told that were before them,
 * so that all listeners hear all events in the order in which they came about. `state` may therefore be further on
 * than the event that is being told.
 */
export class ConnectionManager<T = void>
  extends EventEmitter<ConnectionManagerEvents<T>>
  implements Disposable
{
  readonly #connect: (signal: AbortSignal) => Promise<T>;
  readonly #release: (handle: T) => unknown;
  readonly #attemptTimeoutMs: number;
  readonly #autoReconnect: boolean;
  readonly #reconnectAfter: (reason: unknown) => boolean;
  readonly #firstAttemptAtOnce: boolean;
  readonly #firstAttemptSpreadMs: number;
  readonly #stableMs: number;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #backoff: Backoff;
  #state: ManagerState = 'DISCONNECTED';
  /** Boxed, since undefined may be a handle too. */
  #current: { readonly handle: T } | undefined;
  #attempt: Attempt<T> | undefined;
  #caller: Caller<T> | undefined;
  /** Ends the delay before an attempt. */
  #delay: Timer | undefined;
  /** Ends the time for which a connection is not stable yet; undefined when that has passed. */
  #unstable: Timer | undefined;
  /** Attempts to reconnect since the backoff was reset, those at once included. */
  #attempts = 0;
  #nextSpreadMs: number | undefined;
  /** Keeps the process alive. */
  #alive: NodeJS.Timeout | undefined;
  readonly #calls: Call[] = [];
  #calling = false;

  static {
    isolateRejections(ConnectionManager.prototype);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: ConnectionManagerOptions<T>) {
    super({ captureRejections: true });
    checkOptions('options', options, optionNames);
    this.#connect = checkFunction('connect', options.connect);
    this.#release = checkFunction('release', options.release);
    const { attemptTimeoutMs = 30_000, firstAttemptSpreadMs = 0, stableMs = 0 } = options;
    this.#attemptTimeoutMs = checkNumber('attemptTimeoutMs', attemptTimeoutMs, 1, maxAttemptTimeoutMs);
    this.#autoReconnect = checkBoolean('autoReconnect', options.autoReconnect ?? true);
    this.#reconnectAfter = checkFunction('reconnectAfter', options.reconnectAfter ?? (() => true));
    this.#firstAttemptAtOnce = checkBoolean('firstAttemptAtOnce', options.firstAttemptAtOnce ?? false);
    this.#firstAttemptSpreadMs = checkNumber('firstAttemptSpreadMs', firstAttemptSpreadMs, 0, maxSpreadMs);
    this.#stableMs = checkNumber('stableMs', stableMs, 0, maxStableMs);
    this.#clock = options.clock ?? systemClock;
    this.#random = checkFunction('random', options.random ?? systemRandom);
    this.#backoff = new Backoff(options.backoff, this.#random);
  }

  /** Where it stands now. */
  get state(): ManagerState {
    return this.#state;
  }

  /** What `connect` of the options resolved with, while CONNECTED. */
  get handle(): T | undefined {
    return this.#current?.handle;
  }

  /** How many attempts to reconnect were announced since the delays began anew. */
  get attempts(): number {
    return this.#attempts;
  }

  /**
   * Makes the connection: tries at once, and with `autoReconnect` again and again, in the state RECONNECTING. It is
   * then pending until one attempt succeeds or nobody wants it any more; listen to `attemptFailed` for the errors
   * meanwhile.
   *
   * @returns what `connect` of the options resolved with.
   * @throws HawserError (rejects) ERR_HAWSER_ALREADY_CONNECTED when CONNECTING, CONNECTED or RECONNECTING;
   * ERR_HAWSER_CLOSED when CLOSED, before or meanwhile; ERR_HAWSER_ABORTED after `disconnect` or when the signal
   * aborts; ERR_HAWSER_ARGUMENT. Where no attempt follows: what the last one rejected with; ERR_HAWSER_TIMED_OUT when it
   * took longer than `attemptTimeoutMs`; ERR_HAWSER_NOT_CONNECTED when its connection was lost before it resolved.
   */
  async connect(options: ManagedConnectOptions = {}): Promise<T> {
    checkOptions('options', options, ['signal']);
    const signal = checkSignal(options.signal);
    if (this.#state === 'CLOSED') throw closedError();
    throwIfAborted(signal);
    if (!this.#enter('connect')) {
      throw new HawserError('ERR_HAWSER_ALREADY_CONNECTED', `connect was called while ${this.#state}`);
    }
    const caller = newCaller<T>();
    this.#caller = caller;
    const onAbort = (): void => {
      // Not when it was connected in the same turn: nobody waits then.
      if (signal && this.#caller === caller) this.#stop('disconnect', abortedError(signal));
    };
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      this.#begin();
      this.#runCalls();
      return await caller.connected;
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /**
   * Stops: ends the connection, or gives up the attempt or the delay before it. No attempt follows until `connect` is
   * called. The delays do not begin anew by this. No effect when DISCONNECTED or CLOSED.
   */
  disconnect(): void {
    this.#stop('disconnect', new HawserError('ERR_HAWSER_ABORTED', 'disconnect was called meanwhile'));
  }

  /** As `disconnect`, and for good. No effect when CLOSED. */
  close(): void {
    this.#stop('close', closedError());
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * The connection is gone: a keep-alive timed out, the network failed, the other side ended it (source document,
   * section 5.5).
   *
   * @param reason for the listeners of `disconnected`.
   * @param handle which connection: one that is not the current one any more is ignored, and one that an attempt is
   * about to resolve with fails that attempt. Without it, the current one; outside of CONNECTED the call is then
   * ignored.
   */
  notifyConnectionLost(reason: unknown, handle?: T): void {
    // An event of the connection can overtake the promise that resolves with it.
    if (handle !== undefined) this.#attempt?.lost.set(handle, reason);
    if (this.#current === undefined) return;
    if (handle !== undefined && handle !== this.#current.handle) return;
    const isAtOnce = this.#firstAttemptAtOnce && this.#unstable === undefined;
    this.#enter('lost', this.#reconnectsAfter(reason));
    this.#dropCurrent(reason);
    if (this.#state === 'RECONNECTING') {
      this.#plan(isAtOnce ? 0 : this.#backoff.next(), this.#takeSpreadMs());
    }
    this.#runCalls();
  }

  /**
   * Replaces `firstAttemptSpreadMs` for the next loss: a gateway that goes away may ask its clients for that.
   * Forgotten when it was used, and by `disconnect`.
   *
   * @param spreadMs in milliseconds, 0 to 3,600,000.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  spreadNextAttempt(spreadMs: number): void {
    this.#nextSpreadMs = checkNumber('spreadMs', spreadMs, 0, maxSpreadMs);
  }

  // ---- States ------------------------------------------------------------------------------------------------------

  /** Every change of state. @returns false when the input means nothing in this state. */
  #enter(input: ManagerInput, autoReconnect: boolean = this.#autoReconnect): boolean {
    const from = this.#state;
    const to = nextManagerState(from, input, autoReconnect);
    if (to === undefined) return false;
    this.#state = to;
    this.#keepProcess(to === 'CONNECTING' || to === 'RECONNECTING');
    if (to !== from) this.#later('stateChange', () => this.emit('stateChange', from, to));
    return true;
  }

  /** The timers of the machine's clock leave that to others; who waits to connect again has nothing else that would do it. */
  #keepProcess(keep: boolean): void {
    clearInterval(this.#alive);
    this.#alive = keep && this.#clock === systemClock ? setInterval(() => undefined, maxDelayMs) : undefined;
  }

  #reconnectsAfter(reason: unknown): boolean {
    if (!this.#autoReconnect) return false;
    try {
      return checkBoolean('the result of reconnectAfter', answerOf(this.#reconnectAfter(reason)));
    } catch (error) {
      this.#later('reconnectAfter', () => {
        throw error;
      });
      return true;
    }
  }

  #stop(input: 'disconnect' | 'close', error: HawserError): void {
    if (!this.#enter(input)) return;
    this.#delay?.clear();
    this.#nextSpreadMs = undefined;
    this.#endAttempt(error);
    this.#dropCurrent(undefined);
    this.#takeCaller()?.reject(error);
    this.#runCalls();
  }

  #dropCurrent(reason: unknown): void {
    const current = this.#current;
    if (current === undefined) return;
    this.#current = undefined;
    this.#unstable?.clear();
    this.#unstable = undefined;
    this.#later('disconnected', () => this.emit('disconnected', reason));
    this.#releaseLater(current.handle);
  }

  #takeCaller(): Caller<T> | undefined {
    const caller = this.#caller;
    this.#caller = undefined;
    return caller;
  }

  // ---- Attempts ----------------------------------------------------------------------------------------------------

  #plan(leastMs: number, spreadMs: number): void {
    const delayMs = leastMs + this.#random() * spreadMs;
    const attempt = ++this.#attempts;
    this.#delay = this.#clock.setTimeout(() => {
      this.#begin();
      this.#runCalls();
    }, delayMs);
    this.#later('reconnecting', () => this.emit('reconnecting', attempt, delayMs));
  }

  #takeSpreadMs(): number {
    const spreadMs = this.#nextSpreadMs ?? this.#firstAttemptSpreadMs;
    this.#nextSpreadMs = undefined;
    return spreadMs;
  }

  #begin(): void {
    const limitMs = this.#attemptTimeoutMs;
    const attempt: Attempt<T> = {
      controller: new AbortController(),
      limit: this.#clock.setTimeout(() => {
        const message = `the attempt to connect took longer than ${limitMs} ms`;
        this.#fail(attempt, new HawserError('ERR_HAWSER_TIMED_OUT', message));
      }, limitMs),
      lost: new Map(),
    };
    this.#attempt = attempt;
    this.#later('connect', () => this.#run(attempt));
  }

  #run(attempt: Attempt<T>): void {
    // A listener may have given it up before it began.
    if (this.#attempt !== attempt) return;
    const { signal } = attempt.controller;
    const run = async (): Promise<T> => this.#connect(signal);
    void run().then(
      (handle) => this.#succeed(attempt, handle),
      (error: unknown) => this.#fail(attempt, error),
    );
  }

  #succeed(attempt: Attempt<T>, handle: T): void {
    if (this.#attempt !== attempt) {
      this.#releaseLater(handle);
      this.#runCalls();
      return;
    }
    if (attempt.lost.has(handle)) {
      const message = 'the connection was lost before the attempt to connect was over';
      const cause = attempt.lost.get(handle);
      this.#releaseLater(handle);
      this.#fail(attempt, new HawserError('ERR_HAWSER_NOT_CONNECTED', message, { cause }));
      return;
    }
    attempt.limit.clear();
    this.#attempt = undefined;
    this.#current = { handle };
    this.#enter('success');
    this.#resetWhenStable();
    this.#takeCaller()?.resolve(handle);
    this.#later('connected', () => this.emit('connected', handle));
    this.#runCalls();
  }

  #fail(attempt: Attempt<T>, error: unknown): void {
    if (this.#attempt !== attempt) return;
    const isFirst = this.#state === 'CONNECTING';
    const number = isFirst ? 0 : this.#attempts;
    this.#endAttempt(error);
    this.#later('attemptFailed', () => this.emit('attemptFailed', error, number));
    this.#enter('failure', this.#reconnectsAfter(error));
    if (this.#state === 'RECONNECTING') {
      this.#plan(this.#backoff.next(), isFirst ? this.#takeSpreadMs() : 0);
    } else {
      this.#takeCaller()?.reject(error);
    }
    this.#runCalls();
  }

  #endAttempt(reason: unknown): void {
    const attempt = this.#attempt;
    if (attempt === undefined) return;
    this.#attempt = undefined;
    attempt.limit.clear();
    this.#later('connect', () => attempt.controller.abort(reason));
  }

  #resetWhenStable(): void {
    const reset = (): void => {
      this.#unstable = undefined;
      this.#backoff.reset();
      this.#attempts = 0;
    };
    if (this.#stableMs === 0) reset();
    else this.#unstable = this.#clock.setTimeout(reset, this.#stableMs);
  }

  // ---- Calls into code of the application --------------------------------------------------------------------------

  // All of it runs when the manager has done its own work, and one call after the other: whatever it calls in turn
  // finds a manager that is consistent.

  #later(source: string, run: () => unknown): void {
    this.#calls.push({ source, run });
  }

  #releaseLater(handle: T): void {
    this.#later('release', () => {
      const release = async (): Promise<unknown> => this.#release(handle);
      release().catch((error: unknown) => reportListenerError(this, error, 'release'));
    });
  }

  #runCalls(): void {
    if (this.#calling) return;
    this.#calling = true;
    for (let call = this.#calls.shift(); call !== undefined; call = this.#calls.shift()) {
      guard(this, call.source, call.run);
    }
    this.#calling = false;
  }
}

function newCaller<T>(): Caller<T> {
  let resolve: (handle: T) => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const connected = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { connected, resolve, reject };
}

function closedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the connection manager is closed');
}
