// What the users of this layer ask the other side with, be it one connection or a client that keeps one.

import { checkArray, checkFunction, checkOptions, maxU16 } from '../base/check.js';
import type { Notification } from './messages.js';
import type { RequestOptions } from './pending-requests.js';
import type { SubscriptionTerms } from './subscriptions.js';
import type { AttributeValues, Value } from './values.js';

const termNames = ['endpoint', 'feature', 'attributes', 'minIntervalMs', 'maxIntervalMs'] as const;

/**
 * Why the values of a subscription may be out of date.
 * - `connectionLost`: its connection is over. On a connection nothing follows; a client may subscribe anew.
 * - `silent`: nothing was notified for its maximum interval and the grace after it. The next notification makes it fresh.
 */
export type StaleReason = 'connectionLost' | 'silent';

/** What is told of a subscription. */
export interface SubscriptionListener {
  /** The values after subscribing, exactly once and first; then each change; then heartbeats, perhaps without values. */
  readonly notified: (notification: Notification) => void;
  /** The values may be out of date, until the next notification. */
  readonly stale?: (reason: StaleReason) => void;
}

/** A subscription of this side to attributes of the other. */
export interface Subscription {
  /** 1 to 4,294,967,295. Another when a client has subscribed anew. */
  readonly id: number;
  /** As the other side chose them, in milliseconds; undefined where the codec does not say. */
  readonly minIntervalMs: number | undefined;
  /** The longest silence that the device agreed to, in milliseconds; undefined while there is none. */
  readonly maxIntervalMs: number | undefined;
  /**
   * Ends it; no notification follows. Where the connection is closed or closing, it has ended already.
   *
   * @throws (rejects) as `Requester.read`.
   */
  unsubscribe(options?: RequestOptions): Promise<void>;
}

/** @throws HawserError ERR_HAWSER_ARGUMENT when it cannot be what to subscribe to and who is told. */
export function checkSubscription(terms: SubscriptionTerms, listener: SubscriptionListener): void {
  checkOptions('terms', terms, termNames);
  checkArray('terms.attributes', terms.attributes, 0, maxU16 + 1);
  const { notified, stale } = checkOptions('listener', listener, ['notified', 'stale']);
  checkFunction('listener.notified', notified);
  if (stale !== undefined) checkFunction('listener.stale', stale);
}

/** Asks the other side. */
export interface Requester {
  /**
   * Reads attributes.
   *
   * @param endpoint 0 to 255.
   * @param feature 0 to 255.
   * @param attributes their ids, 0 to 65,535; none for all.
   * @throws (rejects) StatusError with what the other side answered; HawserError ERR_HAWSER_TIMED_OUT, ERR_HAWSER_ABORTED,
   *   ERR_HAWSER_CONNECTION_LOST, ERR_HAWSER_NOT_CONNECTED, ERR_HAWSER_CLOSED, ERR_HAWSER_QUEUE_FULL, ERR_HAWSER_MESSAGE_TOO_LONG, ERR_HAWSER_ARGUMENT; ProtocolError when the
   *   answer is none.
   */
  read(
    endpoint: number,
    feature: number,
    attributes?: readonly number[],
    options?: RequestOptions,
  ): Promise<AttributeValues>;
  /** Writes attributes. @throws (rejects) as `read`. */
  write(endpoint: number, feature: number, values: AttributeValues, options?: RequestOptions): Promise<void>;
  /**
   * Runs a command.
   *
   * @param command 0 to 255.
   * @returns what it returned; undefined for nothing.
   * @throws (rejects) as `read`.
   */
  invoke(
    endpoint: number,
    feature: number,
    command: number,
    parameters?: Value,
    options?: RequestOptions,
  ): Promise<Value | undefined>;
  /**
   * Subscribes to attributes: `listener` hears their values, then their changes.
   *
   * @throws (rejects) as `read`.
   */
  subscribe(
    terms: SubscriptionTerms,
    listener: SubscriptionListener,
    options?: RequestOptions,
  ): Promise<Subscription>;
}
