// What the session protocols of this package know of a transport: one view, behind which are channels of our own, or TCP.

import { argumentError, describe } from './check.js';
import type { HawserError } from './errors.js';
import { answerOf } from './isolate.js';

/** A connection that carries whole messages, each exactly once and in order, as long as it lasts. */
export interface MessageConnection {
  /**
   * Sends one message. Its bytes are copied at once.
   *
   * @returns whether to go on; false means that much waits for the other side, and to wait for `drained`.
   * @throws HawserError ERR_HAWSER_NOT_CONNECTED, ERR_HAWSER_QUEUE_FULL, ERR_HAWSER_MESSAGE_TOO_LONG.
   */
  send(message: Uint8Array): boolean;
  /**
   * Sends one message that may be lost, and may overtake others or be overtaken. Undefined where the transport cannot.
   *
   * @returns and throws as `send`.
   */
  readonly sendUnreliable?: (message: Uint8Array) => boolean;
  /** The longest message of `sendUnreliable` now, in bytes; it may change with the path. Undefined where that is. */
  readonly maxUnreliableBytes?: () => number;
  /**
   * Ends the connection; `closed` follows unless that has come.
   *
   * @param reason for people: at most 256 bytes of UTF-8.
   */
  close(reason: string): void;
  /** Whether it finds out by itself when the other side is gone. */
  readonly detectsLoss: boolean;
  /** The round trip that the transport has measured, in milliseconds; 0 while it has none. Undefined where it measures none. */
  readonly roundTripMs?: () => number;
}

/** What a side that goes away, or sends the other away, says to it. */
export interface Farewell {
  /** In how many milliseconds it will end the connection; 0 when it does so now. */
  readonly deadlineMs: number;
  /** Over how many milliseconds those who connect again are to spread: `ConnectionManager.spreadNextAttempt`; 0 for none. */
  readonly reconnectSpreadMs: number;
  /** The address to go to, `host:port`, if it named one. */
  readonly elsewhere: string | undefined;
}

/** Who is told what comes by a connection. Nothing is told after `closed`. */
export interface MessageReceiver {
  /** A message has come. @param message a view that is valid during the call. */
  message(message: Uint8Array): void;
  /** What `sendUnreliable` sent. Without this it is dropped. @param message a view that is valid during the call. */
  unreliableMessage?(message: Uint8Array): void;
  /** There is room after a `send` that returned false. */
  drained(): void;
  /** The other side will end the connection, or is about to: then `closed` follows at once. */
  farewell?(farewell: Farewell): void;
  /** The connection is over: lost, or ended by the other side for a reason (an error); or simply ended by either side (undefined). */
  closed(error: HawserError | undefined): void;
}

/**
 * Makes one connection.
 *
 * @param attach called once, when the connection is made, with what it sends by: makes what it tells.
 * @param signal aborts when the attempt is given up: whatever was opened is then to be closed. Once the promise is settled it has no effect.
 * @returns a promise that resolves once `attach` has returned, and rejects with the reason when no connection can be made.
 */
export type Connector = (
  attach: (connection: MessageConnection) => MessageReceiver,
  signal: AbortSignal,
) => Promise<void>;

/**
 * Returns what a function made for a connection. Without the check, nothing would answer the other side's messages.
 *
 * @param name of the function that returned it.
 * @throws HawserError ERR_HAWSER_ARGUMENT unless it is a receiver.
 */
export function checkReceiver<R extends MessageReceiver>(name: string, given: R): R {
  const receiver = answerOf(given);
  const methods = [receiver?.message, receiver?.drained, receiver?.closed];
  if (methods.every((method) => typeof method === 'function')) return receiver;
  const rule = 'a function that returns a receiver, such as what `device.accept` returns';
  throw argumentError(name, rule, `one that returns ${describe(receiver)}`);
}
