// The subscriptions that one side of a connection has at the other: who is told of which notification, and when they fall silent.

import { type TimingWheel, WheelTimer } from '../base/timing-wheel.js';
import { limits, ProtocolError } from './codec.js';
import type { Notification, Response } from './messages.js';
import { parseSubscribeResult, type SubscribeResult } from './payloads.js';
import type { StaleReason, SubscriptionListener } from './requester.js';
import type { SubscriptionTerms } from './subscriptions.js';
import type { AttributeValues } from './values.js';

/** What the subscriptions need of their connection. */
export interface OwnSubscriptionsHost {
  readonly wheel: TimingWheel;
  /** How long a subscription may be silent after its maximum interval, in milliseconds; undefined where silence is not noticed. */
  readonly graceMs: number | undefined;
  /** Asks the other side to end a subscription. */
  readonly askToEnd: (subscriptionId: number) => Promise<void>;
  /** Whether the connection neither is over nor closes: else no subscription lasts. */
  readonly isOpen: () => boolean;
  /** Whether listeners hear `stale` of what is made while the connection closes: this side may know. */
  readonly tellsStale: () => boolean;
  /** Runs a listener. */
  readonly tell: (source: 'notified' | 'stale', run: () => void) => void;
}

/** Notifications that may come before the response to their subscribe; more of them break the connection. */
const maxEarly = 256;
/** The bytes of them together: what is made of them takes a multiple. */
const maxEarlyBytes = limits.messageBytes;

/** No subscription is taken for silent before that. */
const leastSilenceMs = 1000;

/** Subscribes given up before their response that are remembered, the latest of them. */
const maxAbandoned = 1024;

/** Subscriptions that are ended at a time because nobody here knows them. */
const maxLeaving = 16;

/** Source document, section 3.5. */
const usualMaxIntervalMs = 60_000;

/** Who waits for the response to a subscribe, and hears what is notified afterwards. */
export class Subscriber {
  readonly terms: SubscriptionTerms;
  readonly listener: SubscriptionListener;
  /** Undefined for all. */
  readonly #attributes: ReadonlySet<number> | undefined;
  primed = false;
  /** Of the notification told last, where the codec carries it. */
  #sequence: number | undefined = undefined;
  /** When it was told. */
  toldMs = 0;
  /**
   * Due when it is silent for too long, or before: notifications do not move the timer, which is not armed once it is silent. Undefined
   * where silence is not noticed.
   */
  silence: { readonly timer: WheelTimer; readonly afterMs: number } | undefined = undefined;

  constructor(terms: SubscriptionTerms, listener: SubscriptionListener) {
    this.terms = terms;
    this.listener = listener;
    this.#attributes = terms.attributes.length === 0 ? undefined : new Set(terms.attributes);
  }

  /** Notes that it is told of that sequence; false when it has been told of that one or a later one. */
  advance(sequence: number | undefined): boolean {
    if (sequence === undefined) return true;
    // The difference in 32 bits with a sign (RFC 1982).
    if (this.#sequence !== undefined && ((sequence - this.#sequence) | 0) <= 0) return false;
    this.#sequence = sequence;
    return true;
  }

  /** Whether it asked for these. */
  covers({ endpoint, feature, changes }: Pick<Notification, 'endpoint' | 'feature' | 'changes'>): boolean {
    if (endpoint !== this.terms.endpoint || feature !== this.terms.feature) return false;
    if (this.#attributes === undefined) return true;
    for (const attribute of changes.keys()) if (!this.#attributes.has(attribute)) return false;
    return true;
  }
}

/** A response to a subscribe that was made, or given up meanwhile. */
export interface SubscribeAnswer {
  readonly subscriber: Subscriber | undefined;
  readonly result: SubscribeResult;
}

/**
 * The subscriptions of one side of a connection. Whatever it throws is a {@link ProtocolError}, which breaks the connection: the other side
 * has notified, or answered, what it may not.
 */
export class OwnSubscriptions {
  readonly #host: OwnSubscriptionsHost;
  /** By the id of their subscription. */
  readonly #subscriptions = new Map<number, Subscriber>();
  /** By the id of their request, until its response has come. */
  readonly #subscribers = new Map<number, Subscriber>();
  /** The ids of subscribes that were given up: the other side may still make the subscription, which is then ended. */
  readonly #abandoned = new Set<number>();
  /** The ids of subscriptions that the other side has been asked to end, until it answers. */
  readonly #leaving = new Set<number>();
  /** Notifications that came before the response that names their subscription. */
  readonly #early: { readonly notification: Notification; readonly length: number }[] = [];
  #earlyBytes = 0;
  #unknown = 0;
  #outdated = 0;

  constructor(host: OwnSubscriptionsHost) {
    this.#host = host;
  }

  /** Notifications of subscriptions that this side does not have. */
  get unknown(): number {
    return this.#unknown;
  }

  /** Notifications that came after a later one of the same subscription, or twice. */
  get outdated(): number {
    return this.#outdated;
  }

  // ---- Subscribing -------------------------------------------------------------------------------------------------

  /** A subscribe is being sent. */
  expect(messageId: number, subscriber: Subscriber): void {
    this.#subscribers.set(messageId, subscriber);
  }

  /** It could not be: nothing of it has reached the other side. */
  unsent(messageId: number): void {
    this.#subscribers.delete(messageId);
  }

  /** The request has an outcome; when no response has come it was given up. */
  settled(messageId: number): void {
    if (this.#subscribers.delete(messageId)) this.#abandon(messageId);
    this.#forgetEarly();
  }

  #abandon(messageId: number): void {
    this.#abandoned.add(messageId);
    if (this.#abandoned.size <= maxAbandoned) return;
    for (const oldest of this.#abandoned) {
      this.#abandoned.delete(oldest);
      return;
    }
  }

  /** What a response says of a subscription, before whoever waits for it hears of it; undefined when it says nothing of any. */
  take({ messageId, status, payload }: Response): SubscribeAnswer | undefined {
    const subscriber = this.#subscribers.get(messageId);
    const isUnwanted = this.#abandoned.delete(messageId);
    const isSubscribe = subscriber !== undefined || isUnwanted;
    const result = isSubscribe && status === 'SUCCESS' ? parseSubscribeResult(payload) : undefined;
    if (subscriber !== undefined && result !== undefined) this.#checkResult(subscriber, result);
    this.#subscribers.delete(messageId);
    return result && { subscriber, result };
  }

  /** Begins the subscription that a response has made, or ends it where nobody waits for it any more. */
  begin({ subscriber, result }: SubscribeAnswer, isAwaited: boolean): void {
    if (!isAwaited || subscriber === undefined) this.#leave(result.subscriptionId);
    else if (this.#host.isOpen()) {
      this.#prime(subscriber, result);
      this.#watch(subscriber, result.maxIntervalMs);
    } else {
      // One that is made while the connection closes has its values and is over.
      this.#tellSubscriber(subscriber, primingOf(subscriber, result.subscriptionId, result.values));
      if (this.#host.tellsStale()) this.#tellStale(subscriber, 'connectionLost');
    }
  }

  #checkResult(subscriber: Subscriber, { subscriptionId, values }: SubscribeResult): void {
    if (this.#subscriptions.has(subscriptionId)) {
      throw new ProtocolError(`subscription ${subscriptionId} is there already`);
    }
    if (!subscriber.covers(primingOf(subscriber, subscriptionId, values))) {
      throw new ProtocolError('values of what was not subscribed to');
    }
  }

  /** Tells a new subscriber the values, and what came before the response. */
  #prime(subscriber: Subscriber, { subscriptionId, values }: SubscribeResult): void {
    this.#subscriptions.set(subscriptionId, subscriber);
    const early = this.#takeEarly(subscriptionId);
    if (early[0]?.kind !== 'priming') early.unshift(primingOf(subscriber, subscriptionId, values));
    for (const notification of early) {
      // The listener may have ended the connection.
      if (this.#subscriptions.get(subscriptionId) !== subscriber) return;
      this.#tellSubscriber(subscriber, notification);
    }
  }

  // ---- Ending ------------------------------------------------------------------------------------------------------

  /** @returns false when it has ended already: the other side has given the id to another since. */
  remove(subscriptionId: number, subscriber: Subscriber): boolean {
    const current = this.#subscriptions.get(subscriptionId);
    if (current !== undefined && current !== subscriber) return false;
    this.#subscriptions.delete(subscriptionId);
    this.#unwatch(subscriber);
    return true;
  }

  /** Runs what asks the other side to end one: what it notifies until it answers is on its way, and no reason to ask again. */
  async leaving(subscriptionId: number, ask: () => Promise<unknown>): Promise<void> {
    this.#leaving.add(subscriptionId);
    try {
      await ask();
    } finally {
      this.#leaving.delete(subscriptionId);
    }
  }

  /** Ends a subscription that nobody waits for any more. */
  #leave(subscriptionId: number): void {
    if (this.#subscriptions.has(subscriptionId) || this.#leaving.has(subscriptionId)) return;
    if (this.#leaving.size >= maxLeaving) return;
    // Where it fails the other side goes on notifying, and is asked again.
    this.#host.askToEnd(subscriptionId).catch(() => undefined);
  }

  /** All are over. @param reason why listeners hear `stale`; undefined when they need not. */
  endAll(reason: StaleReason | undefined): void {
    const subscribers = [...this.#subscriptions.values()];
    this.#subscriptions.clear();
    this.#dropEarly();
    for (const subscriber of subscribers) this.#unwatch(subscriber);
    if (reason === undefined) return;
    for (const subscriber of subscribers) this.#tellStale(subscriber, reason);
  }

  /** The connection is over, too: no response comes any more. */
  close(): void {
    this.#subscribers.clear();
    this.#abandoned.clear();
    this.#unknown += this.#early.length;
    this.endAll('connectionLost');
  }

  // ---- What is notified --------------------------------------------------------------------------------------------

  /** @param length of its encoding, in bytes. */
  notified(notification: Notification, length: number): void {
    // All subscriptions have ended: it was on its way.
    if (!this.#host.isOpen()) return;
    const { subscriptionId } = notification;
    const subscriber = this.#subscriptions.get(subscriptionId);
    if (subscriber !== undefined) {
      this.#tellSubscriber(subscriber, notification);
    } else if (this.#subscribers.size === 0 || this.#leaving.has(subscriptionId)) {
      ++this.#unknown;
      // One whose end could not be asked for when it was wanted, or was refused.
      this.#leave(subscriptionId);
    } else {
      this.#earlyBytes += length;
      if (this.#early.length === maxEarly || this.#earlyBytes > maxEarlyBytes) {
        throw new ProtocolError('too many notifications before a response');
      }
      this.#early.push({ notification, length });
    }
  }

  #tellSubscriber(subscriber: Subscriber, notification: Notification): void {
    if (!subscriber.covers(notification)) {
      throw new ProtocolError('a notification of what was not subscribed to');
    }
    if (!subscriber.advance(notification.sequence)) {
      ++this.#outdated;
      return;
    }
    this.#hear(subscriber);
    // The listener has had its priming, be it that of the response: a second one is nothing but values.
    const isSecondPriming = subscriber.primed && notification.kind === 'priming';
    const told: Notification = isSecondPriming ? { ...notification, kind: 'change' } : notification;
    subscriber.primed = true;
    this.#host.tell('notified', () => subscriber.listener.notified(told));
  }

  #tellStale({ listener }: Subscriber, reason: StaleReason): void {
    this.#host.tell('stale', () => listener.stale?.(reason));
  }

  #takeEarly(subscriptionId: number): Notification[] {
    const all = this.#early.splice(0);
    const taken: Notification[] = [];
    for (const each of all) {
      if (each.notification.subscriptionId !== subscriptionId) this.#early.push(each);
      else {
        taken.push(each.notification);
        this.#earlyBytes -= each.length;
      }
    }
    return taken;
  }

  /** What came early and still has no subscriber, once no response is awaited that could name one. */
  #forgetEarly(): void {
    if (this.#subscribers.size > 0) return;
    this.#unknown += this.#early.length;
    this.#dropEarly();
  }

  #dropEarly(): void {
    this.#early.length = 0;
    this.#earlyBytes = 0;
  }

  // ---- Silence -----------------------------------------------------------------------------------------------------

  /** Begins to notice when a new subscription falls silent. */
  #watch(subscriber: Subscriber, reportedMs: number | undefined): void {
    const { graceMs, wheel } = this.#host;
    // Its listener may have ended the connection.
    if (graceMs === undefined || !this.#host.isOpen()) return;
    const { minIntervalMs = 0, maxIntervalMs = Math.max(usualMaxIntervalMs, minIntervalMs) } =
      subscriber.terms;
    // Whatever the other side reports, it is not given up, and subscribed to anew, all the time.
    const afterMs = Math.max(leastSilenceMs, (reportedMs ?? maxIntervalMs) + graceMs);
    const timer = new WheelTimer(() => this.#onSilence(subscriber));
    subscriber.silence = { timer, afterMs };
    wheel.schedule(timer, subscriber.toldMs + afterMs);
  }

  #unwatch(subscriber: Subscriber): void {
    if (subscriber.silence !== undefined) this.#host.wheel.cancel(subscriber.silence.timer);
    subscriber.silence = undefined;
  }

  #hear(subscriber: Subscriber): void {
    subscriber.toldMs = this.#host.wheel.clock.now();
    if (subscriber.silence?.timer.armed === false) this.#onSilence(subscriber);
  }

  /** It has been silent for too long, unless it has been heard since the timer was set. */
  #onSilence(subscriber: Subscriber): void {
    if (subscriber.silence === undefined) return;
    const { timer, afterMs } = subscriber.silence;
    const dueMs = subscriber.toldMs + afterMs;
    if (dueMs > this.#host.wheel.clock.now()) this.#host.wheel.schedule(timer, dueMs);
    else this.#tellStale(subscriber, 'silent');
  }
}

function primingOf({ terms }: Subscriber, subscriptionId: number, changes: AttributeValues): Notification {
  const { endpoint, feature } = terms;
  return { type: 'notification', subscriptionId, endpoint, feature, changes, kind: 'priming' };
}
