// The client's side of one connection.

import { EventEmitter } from 'node:events';
import { addressFromBinary, binaryAddressBytes, formatAddress } from '../base/address.js';
import { HawserError, type HawserErrorCode } from '../base/errors.js';
import { channels } from './diagnostics.js';
import { readDenied, readDisconnect, readGoaway } from './event-bytes.js';
import { guard, isolateRejections, reportListenerError } from './isolate.js';
import { connectRecord, type NativeHandle } from './native.js';
import { checkDisconnectCode, checkReason } from './options.js';
import { exportKey } from './peer.js';
import {
  type ConnectionState,
  type ConnectResult,
  connectionStateName,
  connectResultName,
  type DeniedReason,
  type DisconnectInfo,
  disconnectCodes,
  disconnectResultName,
  type GoawayInfo,
} from './results.js';
import type { Socket } from './socket.js';

/** The events of a connection with the arguments of their listeners. */
export interface ConnectionEvents {
  /**
   * A message arrived. `data` is a view into memory that is used again when the callback returns, unless the client has the
   * option `copy`: `data.slice()` keeps it. `channel` is 0 so far.
   */
  message: [data: Uint8Array, channel: number];
  /** Every change of `state`. */
  state: [state: ConnectionState];
  /** The gateway asks to go elsewhere before a deadline. It comes once in a session. */
  goaway: [info: GoawayInfo];
  /** The gateway lost the connection, in a restart for example; reconnecting has begun. */
  reset: [];
  /** Connected again after `reset`: a new session, with new keys. */
  reconnected: [];
  /** The connection has ended for good; no event follows. */
  disconnect: [info: DisconnectInfo];
  /** After a `send` that returned false: there is room again. */
  drain: [];
  /** A listener threw, or its promise rejected. Without a listener of this event that is an uncaught exception. */
  listenerError: [error: unknown, source: string];
}

/** Why `connect` failed: the error says how the attempt ended. */
export class ConnectError extends HawserError {
  readonly result: ConnectResult;
  /** What the gateway answered, when `result` is `denied`. */
  readonly denied: DeniedReason | undefined;

  constructor(result: ConnectResult, denied: DeniedReason | undefined) {
    const [code, message] = connectErrors[result];
    super(code, denied === undefined ? message : `${message}: ${denied}`);
    this.result = result;
    this.denied = denied;
  }
}

const connectErrors: Readonly<Record<ConnectResult, readonly [HawserErrorCode, string]>> = {
  connected: ['ERR_HAWSER_CLOSED', 'the connection ended at once'],
  denied: ['ERR_HAWSER_DENIED', 'the gateway does not admit this client'],
  timedOut: ['ERR_HAWSER_TIMED_OUT', 'no gateway of the token answered in time'],
  tokenExpired: [
    'ERR_HAWSER_TOKEN_EXPIRED',
    'the lifetime of the connect token passed before it was connected',
  ],
  tokenInvalid: ['ERR_HAWSER_TOKEN_INVALID', 'the connect token is invalid, or for another protocol id'],
  aborted: ['ERR_HAWSER_ABORTED', 'the attempt to connect was aborted'],
};

/** What a connection needs of the client that carries it. */
export interface ConnectionHost {
  readonly socket: Socket;
  /** Gets a session again after a reset; undefined where that is not wanted. Rejects when it cannot. */
  readonly reconnect: ((connection: Connection) => Promise<void>) | undefined;
  /** The connection has ended for good. @returns what `close` has to wait for. */
  readonly ended: () => Promise<void> | undefined;
  readonly onState: ((state: ConnectionState) => void) | undefined;
}

/** What the client tells its connections. */
export interface ConnectionControl {
  /** A new attempt has begun. @returns a promise of its success; rejects with {@link ConnectError}. */
  begin(connection: Connection, handle: NativeHandle): Promise<void>;
  /** The attempt, if one is under way, fails with an error of the caller's. */
  fail(connection: Connection, error: unknown): void;
  message(connection: Connection, channel: number, data: Uint8Array): void;
  connect(connection: Connection, record: Uint8Array): void;
  connectFailed(connection: Connection, result: number, bytes: Uint8Array): void;
  disconnect(connection: Connection, result: number, bytes: Uint8Array): void;
  state(connection: Connection, state: number): void;
  goaway(connection: Connection, bytes: Uint8Array): void;
  drain(connection: Connection): void;
  /** The socket is closed. */
  stopped(connection: Connection): void;
}

/** For `Client` only. */
export let connectionControl: ConnectionControl;

interface Attempt {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** A connection to a gateway. Made by `connect` or `Client.connect`. */
export class Connection extends EventEmitter<ConnectionEvents> implements AsyncDisposable {
  /** Yours: anything that belongs to this connection. */
  data: unknown = undefined;
  readonly #host: ConnectionHost;
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => undefined;
  #slot = 0;
  #generation = 0;
  #state: ConnectionState = 'DISCONNECTED';
  #address = '';
  #localAddress = '';
  #timeoutMs = 0;
  #attempt: Attempt | undefined;
  #closing: { readonly code: number; readonly reason: string } | undefined;
  #established = false;
  #ended = false;

  static {
    isolateRejections(Connection.prototype);
    connectionControl = {
      begin: (connection, handle) => connection.#begin(handle),
      fail: (connection, error) => connection.#fail(error),
      message: (connection, channel, data) => connection.#message(channel, data),
      connect: (connection, record) => connection.#connect(record),
      connectFailed: (connection, result, bytes) =>
        connection.#connectFailed(connectResultName(result), readDenied(bytes)),
      disconnect: (connection, result, bytes) =>
        connection.#disconnect({ result: disconnectResultName(result), ...readDisconnect(bytes) }),
      state: (connection, state) => connection.#enter(connectionStateName(state)),
      goaway: (connection, bytes) => {
        const info = readGoaway(bytes);
        guard(connection, 'goaway', () => connection.emit('goaway', info));
      },
      drain: (connection) => {
        if (connection.listenerCount('drain') === 0) return;
        guard(connection, 'drain', () => connection.emit('drain'));
      },
      stopped: (connection) => connection.#stopped(),
    };
  }

  /** For `Client` only. */
  constructor(host: ConnectionHost) {
    super({ captureRejections: true });
    this.#host = host;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
  }

  /** Where the connection is in its life; after `disconnect` it stays `DISCONNECTED`. */
  get state(): ConnectionState {
    return this.#state;
  }

  get connected(): boolean {
    return this.#state === 'CONNECTED';
  }

  /** The gateway's address, `host:port`; '' before the first `CONNECTED`. */
  get address(): string {
    return this.#address;
  }

  /** This side's address, `host:port`: that of the socket, with a wildcard as its host if it was bound to one. */
  get localAddress(): string {
    return this.#localAddress === '' ? this.#host.socket.address : this.#localAddress;
  }

  /** After how many milliseconds without anything authentic the connection times out, from the token. */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** Smoothed round trip time (RFC 9002 section 5.3) in milliseconds; 0 before the first sample and after the end. */
  get rttMs(): number {
    return this.#status(0);
  }

  /** Mean variation of the round trip time in milliseconds. */
  get rttVariationMs(): number {
    return this.#status(1);
  }

  /** Least round trip time seen, in milliseconds. */
  get minRttMs(): number {
    return this.#status(2);
  }

  /** The gateway's session clock minus this side's, in milliseconds; see `remoteTimeMs`. */
  get clockOffsetMs(): number {
    return this.#status(3);
  }

  /** Whether `clockOffsetMs` can be relied on (docs/protocol.md section 8). */
  get clockSettled(): boolean {
    return this.#status(4) !== 0;
  }

  /** Packets sent and received in this session, handshake excluded. */
  get packets(): { readonly sent: number; readonly received: number } {
    const status = this.#host.socket.status(this.#slot, this.#generation);
    return { sent: status[6] ?? 0, received: status[7] ?? 0 };
  }

  /** What the gateway's session clock says now, in milliseconds with an arbitrary origin; it never runs backwards. */
  remoteTimeMs(): number {
    return this.#host.socket.nowMs() + this.clockOffsetMs;
  }

  /**
   * Sends one unreliable message. It leaves at the end of this turn of the event loop, in one packet with others.
   *
   * @param data 0 to 1,158 bytes; copied at once.
   * @returns whether to go on; false means to wait for `drain`. While not connected, messages are dropped and counted.
   * @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG, ERR_HAWSER_ARGUMENT.
   */
  send(data: Uint8Array): boolean {
    return this.#host.socket.send(this.#slot, this.#generation, data);
  }

  /** 32 bytes that only the two ends know; see `Peer.exportKey`. */
  exportKey(label: string): Uint8Array {
    return exportKey(this.#host.socket, this.#slot, this.#generation, label);
  }

  /**
   * Disconnects. It resolves when `disconnect` was emitted and, for a connection of `connect` without a client of its own, when its
   * socket is closed. Calling it again returns the same promise.
   *
   * @param code 0, or an application's own code: 0x10000 and above.
   * @param reason for people: at most 256 bytes of UTF-8.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  async close(code: number = disconnectCodes.NONE, reason = ''): Promise<void> {
    checkDisconnectCode(code);
    checkReason(reason);
    if (this.#closing === undefined && !this.#ended) {
      this.#closing = { code, reason };
      const { socket } = this.#host;
      // While reconnecting there is nobody to tell; the attempt itself is given up.
      if (!socket.disconnect(this.#slot, this.#generation, code, reason)) {
        if (this.#attempt === undefined) this.#end({ result: 'closed', code, reason });
        else socket.abort(this.#slot, this.#generation);
      }
    }
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #status(cell: number): number {
    return this.#host.socket.status(this.#slot, this.#generation)[cell] ?? 0;
  }

  // ---- What the client tells ---------------------------------------------------------------------------------------

  #begin({ slot, generation }: NativeHandle): Promise<void> {
    this.#slot = slot;
    this.#generation = generation;
    return new Promise((resolve, reject) => {
      this.#attempt = { resolve, reject };
    });
  }

  #message(channel: number, data: Uint8Array): void {
    // The user may have closed it while the message waited in the batch.
    if (this.#closing !== undefined) return;
    try {
      this.emit('message', data, channel);
    } catch (error) {
      reportListenerError(this, error, 'message');
    }
  }

  #enter(state: ConnectionState): void {
    if (this.#state === state || this.#ended) return;
    this.#state = state;
    if (channels.connectionState.hasSubscribers) {
      channels.connectionState.publish({ address: this.#host.socket.address, state });
    }
    const { onState } = this.#host;
    if (onState !== undefined) guard(this, 'onState', () => onState(state));
    guard(this, 'state', () => this.emit('state', state));
  }

  #connect(record: Uint8Array): void {
    if (record.length > 0) {
      this.#address = addressOf(record, connectRecord.remote);
      this.#localAddress = addressOf(record, connectRecord.local);
      const view = new DataView(record.buffer, record.byteOffset, record.length);
      this.#timeoutMs = view.getUint32(connectRecord.timeout, true);
    }
    this.#established = true;
    this.#enter('CONNECTED');
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.resolve();
  }

  #connectFailed(result: ConnectResult, denied: DeniedReason | undefined): void {
    this.#enter('DISCONNECTED');
    this.#fail(new ConnectError(result, denied));
  }

  #fail(error: unknown): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.reject(error);
  }

  #disconnect(info: DisconnectInfo): void {
    const { reconnect } = this.#host;
    if (info.result !== 'reset' || reconnect === undefined || this.#closing !== undefined) {
      this.#end(info);
      return;
    }
    this.#enter('DISCONNECTED');
    guard(this, 'reset', () => this.emit('reset'));
    reconnect(this).then(
      () => guard(this, 'reconnected', () => this.emit('reconnected')),
      (error: unknown) =>
        this.#end(this.#closing ? { result: 'closed', ...this.#closing } : withReason(info, error)),
    );
  }

  #stopped(): void {
    this.#fail(new HawserError('ERR_HAWSER_CLOSED', 'the client is closed or closing'));
    this.#end({ result: 'closed', code: disconnectCodes.SHUTTING_DOWN, reason: '' });
  }

  #end(info: DisconnectInfo): void {
    if (this.#ended) return;
    this.#enter('DISCONNECTED');
    this.#ended = true;
    const wait = this.#host.ended();
    // Nobody has seen a connection that was never connected.
    if (this.#established) guard(this, 'disconnect', () => this.emit('disconnect', info));
    if (wait === undefined) this.#resolveClosed();
    else void wait.then(this.#resolveClosed);
  }
}

/** A reset that could not be mended: the reason says why. */
function withReason(info: DisconnectInfo, error: unknown): DisconnectInfo {
  return { ...info, reason: error instanceof Error ? error.message : String(error) };
}

function addressOf(record: Uint8Array, offset: number): string {
  const address = addressFromBinary(record.subarray(offset, offset + binaryAddressBytes));
  return address === undefined ? '' : formatAddress(address);
}
