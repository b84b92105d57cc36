// One connection of a client, as a session server sees it. The object itself is the handle by which its session is found, never an address.

import { HawserError } from '../../base/errors.js';
import type { MessageConnection } from '../../base/message-connection.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { TokenBucket } from '../../base/token-bucket.js';
import { encodeServerMessage } from '../wire/codec.js';
import type { CloseReason, RejectReason, ServerMessage } from '../wire/messages.js';
import { KeepAliveGauge } from './keep-alive-gauge.js';
import type { ServerSettings } from './options.js';
import type { OwnedSession } from './owned-session.js';
import type { SessionPeer } from './session.js';

/** Create and Continue that a connection may send at once, and in a second afterwards. */
const attemptBurst = 5;
const attemptsPerSecond = 0.5;
/** What waits in the action queue of one connection, at most: besides what it may have under way. */
const maxWaitingFrames = 256;
const maxWaitingBytes = 16_777_216;
/** So long the last message has to arrive before the connection is ended. */
export const lingerMs = 1000;

/** A Create or Continue that waits for the store. */
export interface PendingAttempt {
  readonly nonce: bigint;
  /** The client wants it no more, or has another one. */
  abandon(): void;
}

export class PeerLink {
  readonly connection: MessageConnection;
  readonly peer: SessionPeer;
  readonly gauge: KeepAliveGauge;
  session: OwnedSession | undefined = undefined;
  pending: PendingAttempt | undefined = undefined;
  /** The Create or Continue that has been answered last, to be answered again when it comes again. */
  answered: { readonly nonce: bigint; readonly answer: ServerMessage } | undefined = undefined;
  readonly #wheel: TimingWheel;
  readonly #attempts: TokenBucket;
  /** Made for those that are told to leave. */
  #leaving: WheelTimer | undefined = undefined;
  #isOver = false;
  readonly #maxWaitingFrames: number;
  #waitingFrames = 0;
  #waitingBytes = 0;

  constructor(connection: MessageConnection, peer: SessionPeer, settings: ServerSettings) {
    this.connection = connection;
    this.peer = peer;
    this.#wheel = settings.wheel;
    const nowMs = settings.wheel.clock.now();
    this.#attempts = new TokenBucket(attemptsPerSecond, attemptBurst, nowMs);
    this.#maxWaitingFrames = maxWaitingFrames + settings.maxRequestsInFlight;
    this.gauge = new KeepAliveGauge(settings, peer);
  }

  /** Whether the connection is over. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** Whether it has been told that this server is done with it: only a new beginning counts then. */
  get isLeaving(): boolean {
    return this.#leaving?.armed === true;
  }

  /** @returns whether there is room for one more frame of its in the action queue. */
  hold(bytes: number): boolean {
    if (this.#waitingFrames >= this.#maxWaitingFrames || this.#waitingBytes + bytes > maxWaitingBytes)
      return false;
    ++this.#waitingFrames;
    this.#waitingBytes += bytes;
    return true;
  }

  release(bytes: number): void {
    --this.#waitingFrames;
    this.#waitingBytes -= bytes;
  }

  /** @returns whether one more Create or Continue is within the rate. */
  takeAttempt(nowMs: number): boolean {
    return this.#attempts.take(1, nowMs);
  }

  /** What cannot be sent is lost: whoever waits for it asks again. */
  send(message: ServerMessage): void {
    if (!this.#isOver) this.#send(() => this.connection.send(encodeServerMessage(message)));
  }

  /** @param unreliable whether the KeepAlive came so. */
  echo(timestamp: number, unreliable: boolean): void {
    const frame = encodeServerMessage({ type: 'KeepAliveResponse', timestamp });
    const { connection } = this;
    this.#send(() => {
      if (unreliable && connection.sendUnreliable !== undefined) connection.sendUnreliable(frame);
      else connection.send(frame);
    });
  }

  answer(nonce: bigint, answer: ServerMessage): void {
    this.answered = { nonce, answer };
    this.send(answer);
  }

  reject(reason: RejectReason, nonce: bigint, leaderId: string | undefined): void {
    this.answer(nonce, { type: 'SessionRejected', reason, nonce, leaderId });
    this.#leave();
  }

  /** The last message of a connection without a session: it ends soon, unless the client begins one. */
  dismiss(reason: CloseReason, leaderId: string | undefined = undefined): void {
    if (this.isLeaving) return;
    this.send({ type: 'SessionClosed', reason, leaderId });
    this.#leave();
  }

  /** The client begins anew. */
  stay(): void {
    if (this.#leaving !== undefined) this.#wheel.cancel(this.#leaving);
  }

  /** Ends the connection now. @param reason for people. */
  end(reason: string): void {
    if (this.#isOver) return;
    this.closed();
    this.connection.close(reason);
  }

  /** The connection is over. */
  closed(): void {
    this.#isOver = true;
    if (this.#leaving !== undefined) this.#wheel.cancel(this.#leaving);
  }

  #leave(): void {
    if (!this.#isOver && !this.isLeaving) {
      this.#leaving ??= new WheelTimer(() => this.end('its session is not served here'));
      this.#wheel.schedule(this.#leaving, this.#wheel.clock.now() + lingerMs);
    }
  }

  #send(send: () => void): void {
    try {
      send();
    } catch (error) {
      // A message that cannot be encoded is a mistake of this program; the rest is the network's.
      if (!(error instanceof HawserError) || error.code === 'ERR_HAWSER_ARGUMENT') throw error;
    }
  }
}
