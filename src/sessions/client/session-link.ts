// One connection of a client to a gateway: it begins with Create or Continue, and belongs to the session once that was answered.

import { randomBytes } from 'node:crypto';
import { abortedError } from '../../base/abort.js';
import { HawserError } from '../../base/errors.js';
import type { Farewell, MessageConnection, MessageReceiver } from '../../base/message-connection.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { decodeServerMessage, encodeClientMessage } from '../wire/codec.js';
import type { Capabilities, ClientMessage, RejectReason, ServerMessage } from '../wire/messages.js';

/** Handlers of the events of a connection. */
export interface LinkOwner {
  /** The session was created or continued. `message` is called for each message after this. */
  established(link: SessionLink, sessionId: string, isContinued: boolean): void;
  message(link: SessionLink, message: ServerMessage): void;
  /** Something came that is no message. */
  undecodable(): void;
  drained(link: SessionLink): void;
  farewell(link: SessionLink, farewell: Farewell): void;
  /** It is over, and not by `close` or `leave`. */
  lost(link: SessionLink, error: HawserError | undefined): void;
}

/** The answer of a gateway to Create or Continue. */
export type Beginning =
  | { readonly isEstablished: true }
  | { readonly isEstablished: false; readonly reason: RejectReason; readonly elsewhere: string | undefined };

/** The session to continue, or the capabilities of a new one. */
export type Purpose = { readonly sessionId: string } | { readonly capabilities: Capabilities };

/** Waits for the answer of the gateway. */
interface Wait {
  readonly purpose: Purpose;
  readonly nonce: bigint;
  readonly resolve: (beginning: Beginning) => void;
  readonly reject: (error: HawserError) => void;
}

/** Sends and receives messages. */
export class SessionLink implements MessageReceiver {
  readonly #connection: MessageConnection;
  readonly #owner: LinkOwner;
  readonly #wheel: TimingWheel;
  #wait: Wait | undefined;
  #isEstablished = false;
  #isOver = false;
  readonly #linger: WheelTimer = new WheelTimer(() => this.close('the session was closed'));
  /** Once it is left: called when it is over. */
  #left: (() => void) | undefined;

  constructor(connection: MessageConnection, owner: LinkOwner, wheel: TimingWheel) {
    this.#connection = connection;
    this.#owner = owner;
    this.#wheel = wheel;
  }

  /** The round trip that the transport has measured; 0 for none. */
  get roundTripMs(): number {
    return this.#connection.roundTripMs?.() ?? 0;
  }

  // ---- The begin and the end -----------------------------------------------------------------------------------------

  /**
   * Asks for a session, once. `established` is called at the moment of the answer, before the promise resolves.
   *
   * @throws HawserError (rejects, and the connection is over) ERR_HAWSER_TIMED_OUT without an answer in time; ERR_HAWSER_ABORTED by the signal;
   *   ERR_HAWSER_NOT_CONNECTED when the connection is lost; and as `send`.
   */
  begin(purpose: Purpose, timeoutMs: number, signal: AbortSignal): Promise<Beginning> {
    return new Promise<Beginning>((resolve, reject) => {
      const giveUp = (): void => this.#abandon(abortedError(signal));
      const timer = new WheelTimer(() => {
        const message = `the gateway did not answer for a session within ${timeoutMs} ms`;
        this.#abandon(new HawserError('ERR_HAWSER_TIMED_OUT', message));
      });
      const end = (): void => {
        signal.removeEventListener('abort', giveUp);
        this.#wheel.cancel(timer);
        this.#wait = undefined;
      };
      this.#wait = {
        purpose,
        nonce: freshNonce(),
        resolve: (beginning) => {
          end();
          resolve(beginning);
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      signal.addEventListener('abort', giveUp);
      this.#wheel.schedule(timer, this.#wheel.clock.now() + timeoutMs);
      this.#ask(this.#wait, signal);
    });
  }

  /** Ends the connection. No handler is called after this. Does nothing when it is over. */
  close(reason: string): void {
    if (this.#isOver) return;
    this.#end();
    this.#connection.close(reason);
  }

  /** As `close`, unless it is being left. */
  release(): void {
    if (this.#left === undefined) this.close('released');
  }

  /**
   * Closes the session, then the connection. No message answers CloseSession, and a transport that is closed may drop what is on its way. So a
   * KeepAlive follows CloseSession: a gateway that has closed the session answers it with SessionClosed.
   *
   * @param timeoutMs how long to wait for that answer.
   * @returns a promise that resolves once the connection is over; it never rejects.
   */
  leave(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#isOver) {
        resolve();
        return;
      }
      this.#left = resolve;
      this.#wheel.schedule(this.#linger, this.#wheel.clock.now() + timeoutMs);
      try {
        this.send({ type: 'CloseSession', reason: 'ClientShutdown' });
        this.send({ type: 'KeepAlive', timestamp: Math.floor(this.#wheel.clock.wallNow()) });
      } catch {
        this.close('the session was closed');
      }
    });
  }

  // ---- What is sent --------------------------------------------------------------------------------------------------

  /** @returns and throws as `MessageConnection.send`. */
  send(message: ClientMessage): boolean {
    return this.sendFrame(encodeClientMessage(message));
  }

  /** @returns and throws as `MessageConnection.send`. */
  sendFrame(frame: Uint8Array): boolean {
    return this.#connection.send(frame);
  }

  /** Sends what a later one makes up for. @returns whether it is on its way. */
  sendIfRoom(message: ClientMessage): boolean {
    const frame = encodeClientMessage(message);
    try {
      this.sendFrame(frame);
      return true;
    } catch {
      // `closed` follows where the connection is gone.
      return false;
    }
  }

  /** Sends a KeepAlive. One that cannot be sent counts as lost. @param mustArrive by the channel that loses nothing, if that has room. */
  sendKeepAlive(timestamp: number, mustArrive: boolean): void {
    const message = { type: 'KeepAlive', timestamp } as const;
    const { sendUnreliable } = this.#connection;
    if ((mustArrive || sendUnreliable === undefined) && this.sendIfRoom(message)) return;
    const frame = encodeClientMessage(message);
    try {
      sendUnreliable?.call(this.#connection, frame);
    } catch {
      // As above.
    }
  }

  // ---- What comes ----------------------------------------------------------------------------------------------------

  message(bytes: Uint8Array): void {
    if (this.#isOver) return;
    let message: ServerMessage;
    try {
      message = decodeServerMessage(bytes);
    } catch {
      this.#owner.undecodable();
      return;
    }
    if (this.#left !== undefined) this.#whileLeaving(message);
    else if (this.#isEstablished) this.#owner.message(this, message);
    else if (this.#wait !== undefined) this.#answered(this.#wait, message);
  }

  unreliableMessage(bytes: Uint8Array): void {
    this.message(bytes);
  }

  drained(): void {
    if (!this.#isOver && this.#isEstablished) this.#owner.drained(this);
  }

  farewell(farewell: Farewell): void {
    if (!this.#isOver && this.#left === undefined) this.#owner.farewell(this, farewell);
  }

  closed(error: HawserError | undefined): void {
    if (this.#isOver) return;
    const wait = this.#wait;
    const isLeft = this.#left !== undefined;
    this.#end();
    const message = 'the connection was lost before the gateway had answered for a session';
    wait?.reject(new HawserError('ERR_HAWSER_NOT_CONNECTED', message, { cause: error }));
    if (!isLeft) this.#owner.lost(this, error);
  }

  // ---- The attempt -----------------------------------------------------------------------------------------------------

  #ask(wait: Wait, signal: AbortSignal): void {
    if (signal.aborted) {
      this.#abandon(abortedError(signal));
      return;
    }
    if (this.#isOver) {
      wait.reject(new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection was lost at once'));
      return;
    }
    const { purpose, nonce } = wait;
    try {
      if ('sessionId' in purpose) this.send({ type: 'ContinueSession', sessionId: purpose.sessionId, nonce });
      else this.send({ type: 'CreateSession', capabilities: purpose.capabilities, nonce });
    } catch (cause) {
      const message = 'the gateway could not be asked for a session';
      this.#abandon(new HawserError('ERR_HAWSER_NOT_CONNECTED', message, { cause }));
    }
  }

  /** Ignores an answer to another attempt, and a message that is no answer. */
  #answered(wait: Wait, message: ServerMessage): void {
    if (message.type === 'SessionClosed') {
      // A gateway may be done with the connection before it has looked at what came by it.
      const reason = message.reason === 'NotLeaderAnymore' ? 'NotLeader' : 'Other';
      wait.resolve({ isEstablished: false, reason, elsewhere: message.leaderId });
      return;
    }
    if (!('nonce' in message) || message.nonce !== wait.nonce) return;
    const { purpose } = wait;
    if (message.type === 'SessionRejected') {
      wait.resolve({ isEstablished: false, reason: message.reason, elsewhere: message.leaderId });
    } else if (message.type === 'SessionCreated' && 'capabilities' in purpose) {
      this.#establish(wait, message.sessionId, false);
    } else if (message.type === 'SessionContinued' && 'sessionId' in purpose) {
      this.#establish(wait, purpose.sessionId, true);
    }
  }

  #establish(wait: Wait, sessionId: string, isContinued: boolean): void {
    this.#isEstablished = true;
    wait.resolve({ isEstablished: true });
    this.#owner.established(this, sessionId, isContinued);
  }

  #whileLeaving(message: ServerMessage): void {
    if (message.type === 'SessionClosed') this.close('the session was closed');
  }

  /** Gives up the attempt: the connection ends, and an answer that comes later has no effect. */
  #abandon(error: HawserError): void {
    const wait = this.#wait;
    this.close('given up');
    wait?.reject(error);
  }

  #end(): void {
    this.#isOver = true;
    this.#wheel.cancel(this.#linger);
    this.#left?.();
  }
}

/** A random number that differs for each attempt. */
function freshNonce(): bigint {
  for (;;) {
    const nonce = randomBytes(8).readBigInt64BE();
    if (nonce !== 0n) return nonce;
  }
}
