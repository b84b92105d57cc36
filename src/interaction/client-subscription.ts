// A subscription of a client, which outlives the connection that it is made over.

import { Backoff, type BackoffOptions } from '../base/backoff.js';
import { HawserError } from '../base/errors.js';
import type { Random } from '../base/random.js';
import { type TimingWheel, WheelTimer } from '../base/timing-wheel.js';
import type { Notification } from './messages.js';
import { connectionLostError, type RequestOptions } from './pending-requests.js';
import type { Requester, StaleReason, Subscription, SubscriptionListener } from './requester.js';
import type { SubscriptionTerms } from './subscriptions.js';

/**
 * Where a subscription of a client is.
 * - `PENDING`: subscribing has begun and there has been no answer yet.
 * - `ACTIVE`: notifications come.
 * - `STALE`: the values may be out of date: the connection is lost or was silent; the subscription is made anew, or goes on by itself.
 * - `ENDED`: for good.
 */
export type ClientSubscriptionState = 'PENDING' | 'ACTIVE' | 'STALE' | 'ENDED';

/** Options of `InteractionClient.subscribe`. */
export interface ClientSubscribeOptions extends RequestOptions {
  /**
   * True: keeps trying until there is such a subscription, and makes it anew whenever it is lost, silent or refused: with each new
   * connection at once, and meanwhile with growing delays, 15 s to an hour. The promise of `subscribe` then resolves with the first success.
   * False by default.
   */
  readonly sustained?: boolean;
  /** True: with a new connection it is made anew before those that are not. False by default. */
  readonly critical?: boolean;
}

/** What a subscription needs of its client. */
export interface SubscriptionHost {
  readonly wheel: TimingWheel;
  readonly random: Random;
  /** What it is made over; undefined while there is no connection. */
  readonly requester: () => Requester | undefined;
  /** Whether all subscriptions are made anew with a new connection. */
  readonly resubscribes: boolean;
  readonly resubscribed: (subscription: ClientSubscription) => void;
  readonly failed: (subscription: ClientSubscription, error: unknown) => void;
  readonly ended: (subscription: ClientSubscription) => void;
}

/** How a subscription is kept. */
export interface SubscriptionManner {
  readonly sustained: boolean;
  readonly critical: boolean;
  readonly timeoutMs: number | undefined;
}

/** The delays between attempts that nothing but time calls for. */
const sustainedBackoff: BackoffOptions = { initialMs: 15_000, maxMs: 3_600_000 };

/** A subscription of an `InteractionClient`. Made by its `subscribe`. */
export class ClientSubscription implements Subscription {
  /** What it is for. */
  readonly terms: SubscriptionTerms;
  /** Whether it is made anew whenever it is lost: as it was asked for. */
  readonly sustained: boolean;
  /** Whether it is made anew before those that are not: as it was asked for. */
  readonly critical: boolean;
  /** For `InteractionClient` only: resolves with the first success, and rejects when it has ended before. */
  readonly established: Promise<void>;
  #resolveEstablished: () => void = () => undefined;
  #rejectEstablished: (error: unknown) => void = () => undefined;
  readonly #host: SubscriptionHost;
  readonly #listener: SubscriptionListener;
  /** Of each attempt. */
  readonly #options: RequestOptions;
  readonly #backoff: Backoff;
  readonly #retry: WheelTimer = new WheelTimer(() => void this.resume());
  /** The latest one of a connection. */
  #made: Subscription | undefined;
  /** Whether the connection of that has it still. */
  #live = false;
  /** Counts the attempts: what an earlier one still hears is not told any more. */
  #attempt = 0;
  #subscribing = false;
  #state: ClientSubscriptionState = 'PENDING';
  /** Why it has ended. */
  #endedBy: HawserError | undefined;

  /** For `InteractionClient` only. */
  constructor(
    host: SubscriptionHost,
    terms: SubscriptionTerms,
    listener: SubscriptionListener,
    { sustained, critical, timeoutMs }: SubscriptionManner,
  ) {
    this.#host = host;
    this.terms = terms;
    this.#listener = listener;
    this.sustained = sustained;
    this.critical = critical;
    this.#options = timeoutMs === undefined ? {} : { timeoutMs };
    this.#backoff = new Backoff(sustainedBackoff, host.random);
    this.established = new Promise((resolve, reject) => {
      this.#resolveEstablished = resolve;
      this.#rejectEstablished = reject;
    });
    // Not everybody waits for it.
    this.established.catch(() => undefined);
  }

  /** Where it stands now. */
  get state(): ClientSubscriptionState {
    return this.#state;
  }

  /** That of the latest connection; 0 before there was one. */
  get id(): number {
    return this.#made?.id ?? 0;
  }

  get minIntervalMs(): number | undefined {
    return this.#made?.minIntervalMs;
  }

  /** The longest silence that the device agreed to, in milliseconds; undefined while there is no subscription. */
  get maxIntervalMs(): number | undefined {
    return this.#made?.maxIntervalMs;
  }

  /**
   * Ends it, for good. Without a connection, or with one that is closing, it has ended at once.
   *
   * @throws (rejects) as `Requester.read`.
   */
  async unsubscribe(options?: RequestOptions): Promise<void> {
    const live = this.#live ? this.#made : undefined;
    this.end();
    await live?.unsubscribe(options);
  }

  // ---- For the client ----------------------------------------------------------------------------------------------

  /**
   * Makes the subscription over a connection.
   *
   * @throws (rejects) as `Requester.subscribe`; ERR_HAWSER_ABORTED when it has ended meanwhile.
   */
  async make(requester: Requester, signal?: AbortSignal): Promise<void> {
    if (this.#endedBy !== undefined) throw this.#endedBy;
    const options = signal === undefined ? this.#options : { ...this.#options, signal };
    const attempt = ++this.#attempt;
    const isLatest = (): boolean => attempt === this.#attempt;
    this.#subscribing = true;
    this.#host.wheel.cancel(this.#retry);
    try {
      const made = await requester.subscribe(this.terms, this.#listenerOf(isLatest), options);
      if (!isLatest()) {
        // Should it fail, the other side is asked again when it notifies.
        made.unsubscribe().catch(() => undefined);
        throw this.#endedBy ?? endedError();
      }
      this.#made = made;
      // The priming came before the promise; so may have the end of the connection.
      this.#live = this.#state === 'ACTIVE';
      // Nothing will make it anew: it was not to be.
      if (!this.#live && !this.#outlivesLoss) throw connectionLostError();
      this.#backoff.reset();
      this.#resolveEstablished();
    } finally {
      if (isLatest()) this.#subscribing = false;
    }
  }

  /** Makes it anew where there is a connection, and tells the client what came of it. Never rejects. */
  async resume(): Promise<void> {
    const requester = this.#host.requester();
    if (requester === undefined || this.#subscribing || this.#state === 'ENDED') return;
    const isFirst = this.#made === undefined;
    // Else the other side would go on with both. Should it fail, both are notified, and the earlier one is not told.
    if (this.#live) this.#made?.unsubscribe().catch(() => undefined);
    this.#live = false;
    try {
      await this.make(requester);
    } catch (error) {
      this.#failedToResume(error);
      return;
    }
    if (!isFirst) this.#host.resubscribed(this);
  }

  /** Whether a new connection is what it waits for. */
  get awaitsConnection(): boolean {
    return this.sustained || (this.#state === 'STALE' && this.#outlivesLoss);
  }

  /** Its connection is over; without effect when it has been told. */
  lose(): unknown {
    if (!this.#live) return undefined;
    // Whatever the connection still tells is old.
    ++this.#attempt;
    return this.#stale('connectionLost');
  }

  /** It is over, for good. */
  end(error: HawserError = endedError()): void {
    if (this.#state === 'ENDED') return;
    this.#state = 'ENDED';
    this.#endedBy = error;
    this.#live = false;
    ++this.#attempt;
    this.#host.wheel.cancel(this.#retry);
    this.#rejectEstablished(error);
    this.#host.ended(this);
  }

  #failedToResume(error: unknown): void {
    if (this.#state === 'ENDED') return;
    this.#host.failed(this, error);
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_ARGUMENT') this.end(error);
    else if (this.sustained) this.#retryLater();
  }

  /** Whether it is made anew with the next connection. */
  get #outlivesLoss(): boolean {
    return this.sustained || this.#host.resubscribes;
  }

  #retryLater(): void {
    this.#host.wheel.schedule(this.#retry, this.#host.wheel.clock.now() + this.#backoff.next());
  }

  // ---- What is told ------------------------------------------------------------------------------------------------

  #listenerOf(isLatest: () => boolean): SubscriptionListener {
    return {
      notified: (notification) => (isLatest() ? this.#notified(notification) : undefined),
      stale: (reason) => (isLatest() ? this.#stale(reason) : undefined),
    };
  }

  /** @returns what the listener returned, which may be a promise. */
  #notified(notification: Notification): unknown {
    this.#state = 'ACTIVE';
    return this.#listener.notified(notification);
  }

  /** @returns as `#notified`. */
  #stale(reason: StaleReason): unknown {
    this.#state = 'STALE';
    if (reason === 'connectionLost') this.#live = false;
    try {
      return this.#listener.stale?.(reason);
    } finally {
      if (reason === 'silent') {
        if (this.sustained) void this.resume();
      } else if (!this.#outlivesLoss && !this.#subscribing) this.end();
    }
  }
}

function endedError(): HawserError {
  return new HawserError('ERR_HAWSER_ABORTED', 'the subscription has ended');
}
