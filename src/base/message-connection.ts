// What the session protocols of this package know of a transport: one view, behind which is a channel of our own, or TCP.

import type { HawserError } from './errors.js';

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
   * Ends the connection; `closed` follows unless that has come.
   *
   * @param reason for people: at most 256 bytes of UTF-8.
   */
  close(reason: string): void;
  /** Whether it finds out by itself when the other side is gone. */
  readonly detectsLoss: boolean;
}

/** Who is told what comes by a connection. Nothing is told after `closed`. */
export interface MessageReceiver {
  /** @param message a view that is valid during the call. */
  message(message: Uint8Array): void;
  /** There is room after a `send` that returned false. */
  drained(): void;
  /** The connection is over: lost for a reason, or ended by either side (undefined). */
  closed(error: HawserError | undefined): void;
}
