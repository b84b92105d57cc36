// The subscriptions to a device: who is told of which change, and when (source document, section 3).

import {
  argumentError,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  describe,
  maxU8,
  maxU16,
  maxU32,
} from '../base/check.js';
import { answerOf, isolate, warnOfListenerError } from '../base/isolate.js';
import type { Random } from '../base/random.js';
import { TimingWheel, WheelTimer } from '../base/timing-wheel.js';
import { limits } from './codec.js';
import { equalValues } from './equality.js';
import type { Notification, NotificationKind, SubscribeRequest } from './messages.js';
import type { ErrorStatus, Status } from './status.js';
import type { AttributeValues, Value } from './values.js';

/** Heartbeats of one peer that are due so soon after the first of them go with it, into the same datagram. */
const heartbeatShareMs = 100;

/**
 * Why a subscription has ended that its subscriber did not end.
 * - `undelivered`: the peer took none of its last `maxUndelivered` notifications.
 * - `tooManyAttributes`: it is for all attributes of a feature, and that has more than `maxAttributes` now.
 * - `failed`: `notify` threw.
 */
export type CancelReason = 'undelivered' | 'tooManyAttributes' | 'failed';

/** Options of {@link SubscriptionManager}. */
export interface SubscriptionManagerOptions<P> {
  /** Where its timers run. */
  readonly wheel: TimingWheel;
  /**
   * Sends a notification to a peer, or queues it.
   *
   * @returns false when it did neither, because too much waits for the peer already: then nothing more is offered for that peer until
   *   `drained` is called, and the values go with what is offered next.
   */
  readonly notify: (peer: P, notification: Notification) => boolean;
  /** Called after the manager has ended a subscription by itself. `error` is what `notify` threw, for the reason `failed`. */
  readonly cancelled?: (peer: P, subscriptionId: number, reason: CancelReason, error?: unknown) => void;
  /** Draws what `maxIntervalSpread` asks for; not needed without. */
  readonly random?: Random;
  /** For subscribers that name none, 0 to 4,294,967,295; 1,000 by default (source document, section 3.5). */
  readonly minIntervalMs?: number;
  /** For subscribers that name none, 1 to 4,294,967,295; 60,000 by default (source document, section 3.5). */
  readonly maxIntervalMs?: number;
  /**
   * The least maximum interval that is granted, 1 to 86,400,000; 1 by default. Who asks for less gets this, and the response says so: it is
   * the side that has the attributes that pays for heartbeats.
   */
  readonly leastMaxIntervalMs?: number;
  /** The greatest that is granted, `leastMaxIntervalMs` to 4,294,967,295, which is the default; but never less than the minimum interval. */
  readonly greatestMaxIntervalMs?: number;
  /**
   * Where the time begins in which changes are collected, `minIntervalMs` long: at the first of them (default), or at the last
   * notification, so that a change after a long silence is told at once. Either way two notifications of a subscription, of whatever kind,
   * are never closer than that.
   */
  readonly coalesceFrom?: 'firstChange' | 'lastNotification';
  /** Whether a value is left out that equals the one notified last (source document, section 3.6); true by default. */
  readonly suppressBounceBack?: boolean;
  /**
   * What a heartbeat carries: `full` (default), the newest value of every attribute that has been notified, among them changes that are
   * still being collected; `empty`, nothing, and changes that are being collected are sent in its place.
   */
  readonly heartbeat?: 'full' | 'empty';
  /**
   * What is told of a change: `delta` (default), the attributes that have changed; `full`, all that have been notified, for where
   * notifications may be lost or overtake each other: the one with the highest sequence then says everything.
   */
  readonly state?: 'delta' | 'full';
  /** Whether a minimum above the maximum is taken as the two swapped, instead of refused; false by default. */
  readonly autoCorrectIntervals?: boolean;
  /** Subscriptions of one peer, 1 to 1,048,576; 50 by default (source document, section 3.2). */
  readonly maxPerPeer?: number;
  /** Subscriptions of all peers, 1 to 2^31; 2^31 by default. */
  readonly maxTotal?: number;
  /** Attributes of one subscription, 1 to 100, which is what one message may carry; 100 by default (source document, section 3.2). */
  readonly maxAttributes?: number;
  /**
   * The share of its maximum interval by which that of a peer is shortened at most, by chance, so that many peers that subscribed together
   * do not hear their heartbeats together; 0 to 0.9, 0 by default. The same for all subscriptions of a peer, whose heartbeats can then share
   * datagrams.
   */
  readonly maxIntervalSpread?: number;
  /**
   * How many notifications of a subscription that become due in a row find no room until it is cancelled, 1 to 1,000; 3 by default. Changes
   * of a subscription that waits for room make none: they go with what waits.
   */
  readonly maxUndelivered?: number;
  /**
   * The id of the first subscription, and where ids begin again after 4,294,967,295; from 1 (default) to where `maxTotal` of them are left.
   */
  readonly leastSubscriptionId?: number;
}

/** What a subscriber asks for. A `SubscribeRequest` is one. */
export type SubscriptionTerms = Pick<
  SubscribeRequest,
  'endpoint' | 'feature' | 'attributes' | 'minIntervalMs' | 'maxIntervalMs'
>;

/** What a subscriber got. */
export interface Subscribed {
  /** 1 to 4,294,967,295, that of no other subscription. */
  readonly subscriptionId: number;
  /** The subscribed attributes as they are: those of the priming notification. */
  readonly values: AttributeValues;
  /** The intervals that hold, in milliseconds. */
  readonly minIntervalMs: number;
  /** After how long without a change the subscriber is told so, in milliseconds. */
  readonly maxIntervalMs: number;
}

interface Intervals {
  readonly minIntervalMs: number;
  /** After how long without a change the subscriber is told so, in milliseconds. */
  readonly maxIntervalMs: number;
}

class PeerState<P> {
  readonly key: P;
  /** By id, in the order in which they were made. */
  readonly subscriptions = new Map<number, Subscription<P>>();
  /** For which something is due that the peer had no room for. */
  readonly waiting = new Set<Subscription<P>>();
  /** `notify` has returned false since the last `drained`. */
  blocked = false;
  /** What waits is being sent. */
  draining = false;
  /** Due with the earliest heartbeat, or before: it is not moved each time that a notification postpones one. */
  readonly heartbeat: WheelTimer;
  /** How much of `maxIntervalSpread` applies, 0 to 1. */
  readonly spread: number;

  constructor(key: P, beat: (peer: PeerState<P>) => void, spread: number) {
    this.key = key;
    this.heartbeat = new WheelTimer(() => beat(this));
    this.spread = spread;
  }
}

class Subscription<P> {
  readonly id: number;
  /** Ascends in the order in which subscriptions are made; ids begin again. */
  readonly order: number;
  readonly peer: PeerState<P>;
  readonly terms: SubscriptionTerms;
  /** Undefined for all. */
  readonly attributes: ReadonlySet<number> | undefined;
  readonly intervals: Intervals;
  /** False once it has ended. */
  active = true;
  primed = false;
  /** As notified last; before the priming, as they will be. */
  readonly values = new Map<number, Value>();
  /** Changes that are being collected, or wait for room. */
  pending: Map<number, Value> | undefined;
  /** Closes the collection. */
  readonly window: WheelTimer;
  /** When that is due; Infinity while there is no collection. */
  windowMs = Number.POSITIVE_INFINITY;
  lastSentMs: number;
  /** When the next heartbeat is due. */
  heartbeatMs: number;
  /** One is due and not sent. */
  heartbeatOwed = false;
  /** That of the last notification. */
  sequence = 0;
  /** Notifications that became due and found no room, in a row. */
  undelivered = 0;

  constructor(
    id: number,
    order: number,
    peer: PeerState<P>,
    terms: SubscriptionTerms,
    intervals: Intervals,
    nowMs: number,
    closeWindow: (subscription: Subscription<P>) => void,
  ) {
    this.id = id;
    this.order = order;
    this.peer = peer;
    this.terms = terms;
    this.attributes = terms.attributes.length === 0 ? undefined : new Set(terms.attributes);
    this.intervals = intervals;
    this.lastSentMs = nowMs;
    this.heartbeatMs = nowMs + intervals.maxIntervalMs;
    this.window = new WheelTimer(() => closeWindow(this));
  }

  /** Whether its heartbeat may go with that of another subscription. */
  mayShareHeartbeat(nowMs: number): boolean {
    const { minIntervalMs, maxIntervalMs } = this.intervals;
    // The tenth keeps short intervals from being driven by shorter ones.
    const shareMs = Math.min(heartbeatShareMs, maxIntervalMs / 10);
    return this.heartbeatMs - shareMs <= nowMs && this.lastSentMs + minIntervalMs <= nowMs;
  }

  /** How many attributes it covers. */
  get attributeCount(): number {
    let count = this.values.size;
    for (const attribute of this.pending?.keys() ?? []) if (!this.values.has(attribute)) ++count;
    return count;
  }
}

/** A change that came while others were being told. */
interface LateChange {
  readonly key: number;
  readonly values: AttributeValues;
  /** The last subscription that it is for: later ones were primed with it. */
  readonly lastOrder: number;
}

/**
 * The subscriptions of all peers to one device. It sends nothing itself, `notify` does, and holds no values but those of its
 * subscriptions. Peers are told apart by keys of the caller's choice, as a Map does it.
 *
 * A subscription is primed first and exactly once, even when there is no value; then come changes, each after the ones told before it, and
 * heartbeats. Values that it is given must not be modified afterwards. Callbacks may call every method; a change that one of them tells
 * is dispatched once all subscribers have been told of what called it, so that all see the changes in one order.
 */
export class SubscriptionManager<P> {
  readonly #wheel: TimingWheel;
  readonly #notify: (peer: P, notification: Notification) => boolean;
  readonly #cancelled: SubscriptionManagerOptions<P>['cancelled'];
  readonly #random: Random | undefined;
  readonly #settings: Settings;
  readonly #peers = new Map<P, PeerState<P>>();
  readonly #byId = new Map<number, Subscription<P>>();
  /** By endpoint and feature, each in the order in which the subscriptions were made (source document, section 3.7). */
  readonly #index = new Map<number, Set<Subscription<P>>>();
  readonly #late: LateChange[] = [];
  #busy = false;
  #nextId: number;
  #lastOrder = 0;
  readonly #beat = (peer: PeerState<P>): void => this.#exclusively(() => this.#sendHeartbeats(peer));
  readonly #closeWindow = (subscription: Subscription<P>): void =>
    this.#exclusively(() => this.#deliver(subscription));

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: SubscriptionManagerOptions<P>) {
    this.#settings = checkSettings(options);
    this.#wheel = options.wheel;
    this.#notify = checkFunction('notify', options.notify);
    this.#cancelled = options.cancelled && checkFunction('cancelled', options.cancelled);
    this.#random = options.random && checkFunction('random', options.random);
    this.#nextId = this.#settings.leastSubscriptionId;
  }

  /** How many subscriptions there are. */
  get size(): number {
    return this.#byId.size;
  }

  /** How many features, each counted once, have a subscription. */
  get featureCount(): number {
    return this.#index.size;
  }

  /** How many subscriptions a peer has. */
  sizeOf(peer: P): number {
    return this.#peers.get(peer)?.subscriptions.size ?? 0;
  }

  // ---- What peers ask for ------------------------------------------------------------------------------------------

  /**
   * Makes a subscription and primes it: `notify` has been called with the priming when this returns, before the response is sent (source
   * document, section 3.3).
   *
   * @param peer whose it is.
   * @param terms `attributes` empty for all. Intervals left out have their default, which gives way where it contradicts the interval that
   *   is there; a minimum of 0 sends each change at once.
   * @param read called once, at once: the values of the subscribed attributes, of which others are left out, or why there are none:
   *   INVALID_ENDPOINT, INVALID_FEATURE and INVALID_ATTRIBUTE are for it to find. What it throws is thrown, and there is no subscription;
   *   so it is with what `notify` throws for the priming.
   * @returns the subscription, or the status of the response: what `read` returned; CONSTRAINT_ERROR for a maximum interval of 0, a minimum
   *   above the maximum or more than `maxAttributes`; RESOURCE_EXHAUSTED when the peer or all of them together have too many, or the peer
   *   has no room for a first notification; INVALID_PARAMETER for ids or intervals out of range.
   */
  subscribe(
    peer: P,
    terms: SubscriptionTerms,
    read: () => AttributeValues | ErrorStatus,
  ): Subscribed | ErrorStatus {
    const wanted = this.#checkTerms(terms);
    if (typeof wanted === 'string') return wanted;
    const { maxPerPeer, maxTotal } = this.#settings;
    if (this.sizeOf(peer) >= maxPerPeer || this.size >= maxTotal) return 'RESOURCE_EXHAUSTED';
    return this.#exclusively(() => {
      // Before the values are read, so that a change that comes meanwhile is not lost.
      const subscription = this.#register(peer, terms, wanted);
      try {
        const refused = this.#prime(subscription, read());
        if (refused === undefined) return subscribed(subscription);
        this.#remove(subscription);
        return refused;
      } catch (error) {
        this.#remove(subscription);
        throw error;
      }
    });
  }

  /**
   * Ends a subscription. Changes that have not been sent are dropped.
   *
   * @returns INVALID_PARAMETER when the peer has none of that id.
   */
  unsubscribe(peer: P, subscriptionId: number): Status {
    const subscription = this.#peers.get(peer)?.subscriptions.get(subscriptionId);
    if (subscription === undefined) return 'INVALID_PARAMETER';
    this.#remove(subscription);
    return 'SUCCESS';
  }

  // ---- What their connections tell ---------------------------------------------------------------------------------

  /**
   * Ends all subscriptions of a peer, whose connection is lost (source document, section 6.2).
   *
   * @returns how many there were.
   */
  clear(peer: P): number {
    const all = [...(this.#peers.get(peer)?.subscriptions.values() ?? [])];
    for (const subscription of all) this.#remove(subscription);
    return all.length;
  }

  /** Ends all subscriptions. @returns how many there were. */
  clearAll(): number {
    const all = [...this.#byId.values()];
    for (const subscription of all) this.#remove(subscription);
    return all.length;
  }

  /** There is room for notifications to a peer again, after `notify` returned false. Sends what waits, as far as there is room. */
  drained(peer: P): void {
    const state = this.#peers.get(peer);
    if (state === undefined) return;
    state.blocked = false;
    if (!state.draining) this.#exclusively(() => this.#drain(state));
  }

  // ---- What the device tells ---------------------------------------------------------------------------------------

  /**
   * An attribute has a new value; to be called after `read` would return it.
   *
   * @param endpoint 0 to 255.
   * @param feature 0 to 255.
   * @param attribute 0 to 65,535.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  notifyChange(endpoint: number, feature: number, attribute: number, value: Value): void {
    this.notifyChanges(endpoint, feature, new Map([[attribute, value]]));
  }

  /** As {@link notifyChange} for attributes that changed together: they are in one notification, whatever the interval. */
  notifyChanges(endpoint: number, feature: number, values: AttributeValues): void {
    checkInteger('endpoint', endpoint, 0, maxU8);
    checkInteger('feature', feature, 0, maxU8);
    for (const attribute of values.keys()) checkInteger('attribute', attribute, 0, maxU16);
    const key = featureKey(endpoint, feature);
    if (!this.#index.has(key)) return;
    const lastOrder = this.#lastOrder;
    if (this.#busy) this.#late.push({ key, values: new Map(values), lastOrder });
    else this.#exclusively(() => this.#dispatch({ key, values, lastOrder }));
  }

  // ---- Making and ending -------------------------------------------------------------------------------------------

  #checkTerms({ endpoint, feature, attributes, ...asked }: SubscriptionTerms): Intervals | ErrorStatus {
    if (!isInteger(endpoint, maxU8) || !isInteger(feature, maxU8)) return 'INVALID_PARAMETER';
    if (!attributes.every((each) => isInteger(each, maxU16))) return 'INVALID_PARAMETER';
    if (attributes.length > this.#settings.maxAttributes) return 'CONSTRAINT_ERROR';
    const { minIntervalMs, maxIntervalMs } = this.#settings;
    const min = asked.minIntervalMs ?? Math.min(minIntervalMs, asked.maxIntervalMs ?? maxIntervalMs);
    const max = asked.maxIntervalMs ?? Math.max(maxIntervalMs, min);
    if (!isInteger(min, maxU32) || !isInteger(max, maxU32)) return 'INVALID_PARAMETER';
    if (max === 0) return 'CONSTRAINT_ERROR';
    const { autoCorrectIntervals, leastMaxIntervalMs, greatestMaxIntervalMs } = this.#settings;
    if (min > max && !autoCorrectIntervals) return 'CONSTRAINT_ERROR';
    return {
      minIntervalMs: Math.min(min, max),
      maxIntervalMs: Math.max(
        Math.min(min, max),
        Math.min(Math.max(min, max, leastMaxIntervalMs), greatestMaxIntervalMs),
      ),
    };
  }

  #register(key: P, terms: SubscriptionTerms, wanted: Intervals): Subscription<P> {
    const peer = this.#peerOf(key);
    const { minIntervalMs } = wanted;
    const shortened = Math.round(wanted.maxIntervalMs * (1 - this.#settings.maxIntervalSpread * peer.spread));
    const intervals = { minIntervalMs, maxIntervalMs: Math.max(shortened, minIntervalMs, 1) };
    const id = this.#takeId();
    const order = ++this.#lastOrder;
    const nowMs = this.#wheel.clock.now();
    const subscription = new Subscription(id, order, peer, terms, intervals, nowMs, this.#closeWindow);
    this.#byId.set(id, subscription);
    peer.subscriptions.set(id, subscription);
    const feature = featureKey(terms.endpoint, terms.feature);
    const others = this.#index.get(feature);
    if (others === undefined) this.#index.set(feature, new Set([subscription]));
    else others.add(subscription);
    if (subscription.heartbeatMs < peer.heartbeat.deadlineMs) {
      this.#wheel.schedule(peer.heartbeat, subscription.heartbeatMs);
    }
    return subscription;
  }

  #peerOf(key: P): PeerState<P> {
    const found = this.#peers.get(key);
    if (found !== undefined) return found;
    const peer = new PeerState(key, this.#beat, this.#random?.() ?? 0);
    this.#peers.set(key, peer);
    return peer;
  }

  #takeId(): number {
    let id = this.#nextId;
    while (this.#byId.has(id)) id = this.#afterId(id);
    this.#nextId = this.#afterId(id);
    return id;
  }

  #afterId(id: number): number {
    return id === maxU32 ? this.#settings.leastSubscriptionId : id + 1;
  }

  /** @returns why there is to be no subscription. */
  #prime(subscription: Subscription<P>, values: AttributeValues | ErrorStatus): ErrorStatus | undefined {
    if (typeof values === 'string') return values;
    const { attributes } = subscription;
    for (const [attribute, value] of values) {
      if (attributes === undefined || attributes.has(attribute)) subscription.values.set(attribute, value);
    }
    if (subscription.values.size > this.#settings.maxAttributes) return 'CONSTRAINT_ERROR';
    if (subscription.active) this.#deliverOrThrow(subscription);
    return subscription.active ? undefined : 'RESOURCE_EXHAUSTED';
  }

  #remove(subscription: Subscription<P>): void {
    if (!subscription.active) return;
    subscription.active = false;
    this.#byId.delete(subscription.id);
    this.#wheel.cancel(subscription.window);
    const key = featureKey(subscription.terms.endpoint, subscription.terms.feature);
    const others = this.#index.get(key);
    others?.delete(subscription);
    if (others?.size === 0) this.#index.delete(key);
    const { peer } = subscription;
    peer.subscriptions.delete(subscription.id);
    peer.waiting.delete(subscription);
    if (peer.subscriptions.size > 0) return;
    this.#peers.delete(peer.key);
    this.#wheel.cancel(peer.heartbeat);
  }

  #cancel(subscription: Subscription<P>, reason: CancelReason, error?: unknown): void {
    this.#remove(subscription);
    const cancelled = this.#cancelled;
    if (cancelled !== undefined) {
      isolate(
        () => cancelled(subscription.peer.key, subscription.id, reason, error),
        (thrown) => warnOfListenerError(thrown, 'cancelled'),
      );
    } else if (reason === 'failed') warnOfListenerError(error, 'notify');
  }

  // ---- Changes -----------------------------------------------------------------------------------------------------

  /**
   * Runs what may call callbacks. Changes that these tell wait until it is through: dispatched at once, a newer change would overtake the
   * one that is on its way to the subscriptions behind.
   */
  #exclusively<T>(run: () => T): T {
    if (this.#busy) return run();
    this.#busy = true;
    try {
      return run();
    } finally {
      for (let late = this.#late.shift(); late !== undefined; late = this.#late.shift()) this.#dispatch(late);
      this.#busy = false;
    }
  }

  #dispatch({ key, values, lastOrder }: LateChange): void {
    // A Set may be changed on the way: those that end are left out, those that are made come last.
    for (const subscription of this.#index.get(key) ?? []) {
      if (subscription.order > lastOrder) return;
      this.#record(subscription, values);
    }
  }

  #record(subscription: Subscription<P>, values: AttributeValues): void {
    const { attributes } = subscription;
    let covered = false;
    for (const [attribute, value] of values) {
      if (attributes !== undefined && !attributes.has(attribute)) continue;
      subscription.pending ??= new Map();
      subscription.pending.set(attribute, value);
      covered = true;
    }
    if (!covered) return;
    if (attributes === undefined && subscription.attributeCount > this.#settings.maxAttributes) {
      this.#cancel(subscription, 'tooManyAttributes');
    } else if (!subscription.peer.waiting.has(subscription)) {
      this.#collect(subscription);
    }
  }

  /** Sends what is pending, now or when its window closes. */
  #collect(subscription: Subscription<P>): void {
    const { minIntervalMs } = subscription.intervals;
    if (minIntervalMs === 0) this.#deliver(subscription);
    else if (subscription.windowMs === Number.POSITIVE_INFINITY) {
      const nowMs = this.#wheel.clock.now();
      const fromMs = this.#settings.coalesceFrom === 'firstChange' ? nowMs : subscription.lastSentMs;
      this.#openWindow(subscription, Math.max(nowMs, fromMs + minIntervalMs));
    }
  }

  #openWindow(subscription: Subscription<P>, untilMs: number): void {
    subscription.windowMs = untilMs;
    this.#wheel.schedule(subscription.window, untilMs);
  }

  #dropPending(subscription: Subscription<P>): void {
    subscription.pending = undefined;
    subscription.windowMs = Number.POSITIVE_INFINITY;
    this.#wheel.cancel(subscription.window);
    subscription.peer.waiting.delete(subscription);
  }

  // ---- Heartbeats --------------------------------------------------------------------------------------------------

  #sendHeartbeats(peer: PeerState<P>): void {
    const nowMs = this.#wheel.clock.now();
    const all = [...peer.subscriptions.values()];
    // A change that is due in the same instant makes a heartbeat needless, in whatever order the timers run.
    for (const each of all) {
      if (each.active && each.windowMs <= nowMs && !peer.waiting.has(each)) this.#deliver(each);
    }
    if (all.some((each) => each.active && each.heartbeatMs <= nowMs)) {
      for (const each of all) {
        if (!each.active || !(each.heartbeatMs <= nowMs || each.mayShareHeartbeat(nowMs))) continue;
        each.heartbeatMs = nowMs + each.intervals.maxIntervalMs;
        each.heartbeatOwed = true;
        this.#deliver(each);
      }
    }
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const { heartbeatMs } of peer.subscriptions.values()) earliestMs = Math.min(earliestMs, heartbeatMs);
    if (peer.subscriptions.size > 0) this.#wheel.schedule(peer.heartbeat, earliestMs);
  }

  // ---- Room --------------------------------------------------------------------------------------------------------

  #drain(peer: PeerState<P>): void {
    peer.draining = true;
    for (let next = first(peer.waiting); next !== undefined && !peer.blocked; next = first(peer.waiting)) {
      // What is refused again stays the first: nothing new has become due.
      this.#deliver(next, true);
    }
    peer.draining = false;
  }

  /** There was no room: it goes when there is. */
  #wait(subscription: Subscription<P>): void {
    subscription.peer.waiting.add(subscription);
    if (++subscription.undelivered >= this.#settings.maxUndelivered)
      this.#cancel(subscription, 'undelivered');
  }

  // ---- Notifications -----------------------------------------------------------------------------------------------

  #deliver(subscription: Subscription<P>, isRetry = false): void {
    try {
      this.#deliverOrThrow(subscription, isRetry);
    } catch (error) {
      this.#cancel(subscription, 'failed', error);
    }
  }

  /** Offers the peer what is due. What is pending stays so until the peer has taken it. */
  #deliverOrThrow(subscription: Subscription<P>, isRetry = false): void {
    const { peer } = subscription;
    const nowMs = this.#wheel.clock.now();
    const notification = this.#due(subscription);
    if (notification === undefined) {
      // Nothing has been sent: neither the heartbeat nor the next window may take this for a notification.
      this.#dropPending(subscription);
      return;
    }
    const isTaken =
      !peer.blocked && checkBoolean('the result of notify', answerOf(this.#notify(peer.key, notification)));
    if (!isTaken) peer.blocked = true;
    // The callback may have ended it.
    if (!subscription.active) return;
    if (isTaken) this.#delivered(subscription, notification, nowMs);
    else if (!isRetry) this.#wait(subscription);
  }

  /** What is to be sent now; undefined for nothing, when all that is pending has bounced back. */
  #due(subscription: Subscription<P>): Notification | undefined {
    const { primed, values, pending, heartbeatOwed } = subscription;
    if (!primed) return notificationOf(subscription, 'priming', new Map(values));
    const changes = this.#changesOf(subscription);
    if (heartbeatOwed && this.#settings.heartbeat === 'full') {
      return notificationOf(subscription, 'heartbeat', new Map([...values, ...(pending ?? [])]));
    }
    if (changes.size > 0) {
      const told = this.#settings.state === 'full' ? new Map([...values, ...changes]) : changes;
      return notificationOf(subscription, 'change', told);
    }
    return heartbeatOwed ? notificationOf(subscription, 'heartbeat', changes) : undefined;
  }

  #changesOf({ pending, values }: Subscription<P>): Map<number, Value> {
    const changes = new Map<number, Value>();
    for (const [attribute, value] of pending ?? []) {
      const notified = values.get(attribute);
      const isSame = notified !== undefined && equalValues(notified, value);
      if (!isSame || !this.#settings.suppressBounceBack) changes.set(attribute, value);
    }
    return changes;
  }

  #delivered(subscription: Subscription<P>, { kind, changes }: Notification, nowMs: number): void {
    const { minIntervalMs, maxIntervalMs } = subscription.intervals;
    for (const [attribute, value] of changes) subscription.values.set(attribute, value);
    subscription.primed = true;
    subscription.sequence = (subscription.sequence + 1) >>> 0;
    subscription.lastSentMs = nowMs;
    subscription.heartbeatMs = nowMs + maxIntervalMs;
    subscription.heartbeatOwed = false;
    subscription.undelivered = 0;
    // Changes that came while the priming waited for room are newer than it.
    const newer = kind === 'priming' ? subscription.pending : undefined;
    this.#dropPending(subscription);
    if (newer === undefined) return;
    subscription.pending = newer;
    this.#openWindow(subscription, nowMs + minIntervalMs);
  }
}

function notificationOf<P>(
  { id, terms, sequence }: Subscription<P>,
  kind: NotificationKind,
  changes: AttributeValues,
): Notification {
  const { endpoint, feature } = terms;
  return {
    type: 'notification',
    subscriptionId: id,
    endpoint,
    feature,
    changes,
    kind,
    sequence: (sequence + 1) >>> 0,
  };
}

function subscribed<P>({ id, values, intervals }: Subscription<P>): Subscribed {
  return { subscriptionId: id, values: new Map(values), ...intervals };
}

function featureKey(endpoint: number, feature: number): number {
  return endpoint * 256 + feature;
}

function isInteger(value: number, max: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= max;
}

function first<T>(set: ReadonlySet<T>): T | undefined {
  for (const each of set) return each;
  return undefined;
}

// ---- Options -------------------------------------------------------------------------------------------------------

const coalesceFroms = ['firstChange', 'lastNotification'] as const;
const heartbeats = ['full', 'empty'] as const;
const states = ['delta', 'full'] as const;

interface Settings extends Intervals {
  readonly coalesceFrom: (typeof coalesceFroms)[number];
  readonly suppressBounceBack: boolean;
  readonly heartbeat: (typeof heartbeats)[number];
  readonly state: (typeof states)[number];
  readonly autoCorrectIntervals: boolean;
  readonly maxPerPeer: number;
  readonly maxTotal: number;
  readonly maxAttributes: number;
  readonly maxIntervalSpread: number;
  readonly maxUndelivered: number;
  readonly leastSubscriptionId: number;
  readonly leastMaxIntervalMs: number;
  readonly greatestMaxIntervalMs: number;
}

const defaults: Settings = {
  minIntervalMs: 1000,
  maxIntervalMs: 60_000,
  coalesceFrom: 'firstChange',
  suppressBounceBack: true,
  heartbeat: 'full',
  state: 'delta',
  autoCorrectIntervals: false,
  maxPerPeer: 50,
  maxTotal: 2 ** 31,
  maxAttributes: 100,
  maxIntervalSpread: 0,
  maxUndelivered: 3,
  leastSubscriptionId: 1,
  leastMaxIntervalMs: 1,
  greatestMaxIntervalMs: maxU32,
};

const optionNames = ['wheel', 'notify', 'cancelled', 'random', ...Object.keys(defaults)];

function checkSettings<P>(options: SubscriptionManagerOptions<P>): Settings {
  checkOptions('options', options, optionNames);
  const all = { ...defaults, ...options };
  if (!(all.wheel instanceof TimingWheel)) throw argumentError('wheel', 'a TimingWheel', describe(all.wheel));
  const minIntervalMs = checkInteger('minIntervalMs', all.minIntervalMs, 0, maxU32);
  const leastMaxIntervalMs = checkInteger('leastMaxIntervalMs', all.leastMaxIntervalMs, 1, 86_400_000);
  const maxTotal = checkInteger('maxTotal', all.maxTotal, 1, 2 ** 31);
  const maxIntervalSpread = checkNumber('maxIntervalSpread', all.maxIntervalSpread, 0, 0.9);
  if (maxIntervalSpread > 0 && all.random === undefined) {
    throw argumentError('random', 'given with a maxIntervalSpread', 'undefined');
  }
  return {
    minIntervalMs,
    maxIntervalMs: checkInteger('maxIntervalMs', all.maxIntervalMs, Math.max(1, minIntervalMs), maxU32),
    coalesceFrom: checkOneOf('coalesceFrom', all.coalesceFrom, coalesceFroms),
    suppressBounceBack: checkBoolean('suppressBounceBack', all.suppressBounceBack),
    heartbeat: checkOneOf('heartbeat', all.heartbeat, heartbeats),
    state: checkOneOf('state', all.state, states),
    autoCorrectIntervals: checkBoolean('autoCorrectIntervals', all.autoCorrectIntervals),
    maxPerPeer: checkInteger('maxPerPeer', all.maxPerPeer, 1, 1_048_576),
    maxTotal,
    maxAttributes: checkInteger('maxAttributes', all.maxAttributes, 1, limits.attributes),
    maxIntervalSpread,
    leastMaxIntervalMs,
    greatestMaxIntervalMs: checkInteger(
      'greatestMaxIntervalMs',
      all.greatestMaxIntervalMs,
      leastMaxIntervalMs,
      maxU32,
    ),
    maxUndelivered: checkInteger('maxUndelivered', all.maxUndelivered, 1, 1000),
    leastSubscriptionId: checkInteger(
      'leastSubscriptionId',
      all.leastSubscriptionId,
      1,
      maxU32 - maxTotal + 1,
    ),
  };
}
