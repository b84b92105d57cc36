// The client's side of one connection.

import { EventEmitter } from 'node:events';
import { binaryAddressBytes, textFromBinary } from '../base/address.js';
import { HawserError } from '../base/errors.js';
import { guard, isolatePromise, isolateRejections, reportListenerError } from '../base/isolate.js';
import type { Wire } from '../base/wire.js';
import type {
  ChannelMap,
  ChannelName,
  ChannelValue,
  DefaultChannels,
  ReliableChannelName,
} from './channels.js';
import { ConnectError } from './connect-error.js';
import { channels } from './diagnostics.js';
import { readDenied, readDisconnect, readGoaway, readNetcodeState } from './event-bytes.js';
import type { KeyUpdateInfo, SecretSource, SecretUser } from './key-update.js';
import { Link, mixLink } from './link.js';
import { connectRecord, type NativeHandle } from './native.js';
import { netcodeLacks } from './netcode.js';
import { checkDisconnectCode, checkReason } from './options.js';
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
  netcodeStates,
} from './results.js';
import type { Socket } from './socket.js';

/** The events of a connection with the arguments of their listeners. */
export interface ConnectionEvents<C extends ChannelMap = DefaultChannels> {
  /**
   * A message arrived; comparing `channel` with the name of one tells what `value` is. Of a channel of bytes it is a view into memory
   * that is used again when the callback returns, unless the client has the option `copy`: `data.slice()` keeps it.
   */
  message: {
    [Name in ChannelName<C>]: [value: ChannelValue<C, Name>, channel: Name];
  }[ChannelName<C>];
  /** A message was dropped because the codec of its channel threw `error`. */
  invalidMessage: [error: unknown, channel: ChannelName<C>];
  /** Every change of `state`. */
  state: [state: ConnectionState];
  /** The gateway asks to go elsewhere before a deadline. It comes once in a session. */
  goaway: [info: GoawayInfo];
  /** The gateway lost the connection, in a restart for example; reconnecting has begun. Netcode has no such thing: it times out. */
  reset: [];
  /** Connected again after `reset`: a new session, with new keys. */
  reconnected: [];
  /** The connection has ended for good; no event follows. */
  disconnect: [info: DisconnectInfo];
  /** The keys have been updated, by either end; see `updateKeys`. */
  keyUpdate: [info: KeyUpdateInfo];
  /** After a `send` that returned false: there is room again. */
  drain: [];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

/** What a connection needs of the client that carries it. */
export interface ConnectionHost {
  readonly socket: Socket;
  /** Whether a session is wanted again after a reset. */
  readonly reconnects: boolean;
  readonly onState: ((state: ConnectionState) => void) | undefined;
  readonly secretOf: SecretSource<SecretUser> | undefined;
  /** Gets a session again. Rejects when it cannot. */
  reconnect(): Promise<void>;
  /** The connection has ended for good. @returns what `close` has to wait for. */
  ended(): Promise<void> | undefined;
  rebind(): void;
}

/** What the client tells its connections. */
export interface ConnectionControl {
  /** A new attempt has begun. @returns a promise of its success; rejects with {@link ConnectError}. */
  begin<C extends ChannelMap>(connection: Connection<C>, handle: NativeHandle): Promise<void>;
  /** The attempt, if one is under way, fails with an error of the caller's. */
  fail<C extends ChannelMap>(connection: Connection<C>, error: unknown): void;
  message<C extends ChannelMap>(connection: Connection<C>, channel: number, data: Uint8Array): void;
  connect<C extends ChannelMap>(connection: Connection<C>, record: Uint8Array): void;
  /** Whether a netcode attempt came so far that it has sealed a RESPONSE. */
  hasResponded<C extends ChannelMap>(connection: Connection<C>): boolean;
  connectFailed<C extends ChannelMap>(connection: Connection<C>, result: number, bytes: Uint8Array): void;
  disconnect<C extends ChannelMap>(connection: Connection<C>, result: number, bytes: Uint8Array): void;
  state<C extends ChannelMap>(connection: Connection<C>, state: number, bytes: Uint8Array): void;
  goaway<C extends ChannelMap>(connection: Connection<C>, bytes: Uint8Array): void;
  drain<C extends ChannelMap>(connection: Connection<C>): void;
  /** The socket has another address. */
  rebound<C extends ChannelMap>(connection: Connection<C>): void;
  secretWanted<C extends ChannelMap>(connection: Connection<C>, secretId: Uint8Array): void;
  keyUpdated<C extends ChannelMap>(connection: Connection<C>, info: KeyUpdateInfo): void;
  /** The socket is closed. */
  stopped<C extends ChannelMap>(connection: Connection<C>): void;
}

/** For `Client` only. */
export let connectionControl: ConnectionControl;

interface Attempt {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Emits what a generic connection does, whose channels only the table knows. */
type MessageEmitter = EventEmitter<{
  message: [value: unknown, channel: string];
  invalidMessage: [error: unknown, channel: string];
}>;

/** A class has one base, and a connection is an emitter: `mixLink` puts the rest of this into its prototype. */
export interface Connection<C extends ChannelMap = DefaultChannels> extends Link<C> {}

/** A connection to a gateway. Made by `connect` or `Client.connect`. */
// biome-ignore lint/suspicious/noUnsafeDeclarationMerging: mixLink makes true what the interface declares
export class Connection<C extends ChannelMap = DefaultChannels>
  extends EventEmitter<ConnectionEvents<C>>
  implements AsyncDisposable
{
  /** Yours: anything that belongs to this connection. */
  data: unknown = undefined;
  readonly wire: Wire;
  readonly #host: ConnectionHost;
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => undefined;
  #slot = 0;
  #generation = 0;
  #state: ConnectionState = 'DISCONNECTED';
  #address = '';
  #localAddress = '';
  #timeoutMs = 0;
  #clientIndex: number | undefined;
  #maxClients: number | undefined;
  #netcodeState: number | undefined;
  #hasResponded = false;
  #attempt: Attempt | undefined;
  /** What has come with a session, until whoever awaits that, or `reconnected`, has had the chance to listen. */
  #held: (() => void)[] | undefined;
  /** The channels that stay paused after a reconnection; undefined until one is paused. */
  #paused: Set<ReliableChannelName<C>> | undefined;
  #closing: DisconnectInfo | undefined;
  #established = false;
  #ended = false;

  static {
    mixLink(Connection.prototype);
    isolateRejections(Connection.prototype);
    connectionControl = {
      begin: (connection, handle) => connection.#begin(handle),
      fail: (connection, error) => connection.#fail(error),
      message: (connection, channel, data) => {
        if (connection.#held === undefined) connection.#message(channel, data);
        else {
          const copy = data.slice();
          connection.#held.push(() => connection.#message(channel, copy));
        }
      },
      connect: (connection, record) => connection.#connect(record),
      hasResponded: (connection) => connection.#hasResponded,
      connectFailed: (connection, result, bytes) =>
        connection.#connectFailed(connectResultName(result), readDenied(bytes)),
      disconnect: (connection, result, bytes) => {
        const info = { result: disconnectResultName(result), ...readDisconnect(bytes) };
        connection.#inTurn(() => connection.#disconnect(info));
      },
      state: (connection, state, bytes) => {
        const netcodeState = readNetcodeState(bytes);
        connection.#inTurn(() => {
          connection.#netcodeState = netcodeState ?? connection.#netcodeState;
          connection.#hasResponded ||= connection.#netcodeState === netcodeStates.sendingConnectionResponse;
          connection.#enter(connectionStateName(state));
        });
      },
      goaway: (connection, bytes) => {
        const info = readGoaway(bytes);
        connection.#inTurn(() => guard(connection, 'goaway', () => connection.emit('goaway', info)));
      },
      drain: (connection) => {
        connection.#inTurn(() => {
          if (connection.listenerCount('drain') === 0) return;
          guard(connection, 'drain', () => connection.emit('drain'));
        });
      },
      rebound: (connection) => {
        connection.#localAddress = '';
      },
      secretWanted: (connection, secretId) => connection.#secretWanted(secretId),
      keyUpdated: (connection, info) => {
        connection.#inTurn(() => guard(connection, 'keyUpdate', () => connection.emit('keyUpdate', info)));
      },
      stopped: (connection) => connection.#stopped(),
    };
  }

  /** For `Client` only. */
  constructor(host: ConnectionHost, wire: Wire) {
    super({ captureRejections: true });
    this.#host = host;
    this.wire = wire;
    if (wire === 'netcode') this.#netcodeState = netcodeStates.disconnected;
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

  /**
   * Of netcode: the number that the standard gives to the state, -6 to 3; see `netcodeStates`. It is finer than `state`: those that are not
   * positive are all `DISCONNECTED`, and tell why.
   */
  get netcodeState(): number | undefined {
    return this.#netcodeState;
  }

  get clientIndex(): number | undefined {
    return this.#clientIndex;
  }

  get maxClients(): number | undefined {
    return this.#maxClients;
  }

  /** @internal */
  get carrier(): Socket {
    return this.#host.socket;
  }

  /** With `generation`, what names the connection in the descriptors of `onBatch`; another after a reconnection. */
  get slot(): number {
    return this.#slot;
  }

  get generation(): number {
    return this.#generation;
  }

  /** The gateway's address, `host:port`; '' before the first `CONNECTED`. */
  get address(): string {
    return this.#address;
  }

  /** This side's address, `host:port`: that of the socket, with a wildcard as its host if it was bound to one. */
  get localAddress(): string {
    return this.#localAddress === '' ? this.#host.socket.address : this.#localAddress;
  }

  /** After how many milliseconds without anything authentic the connection times out, from the token; 0: never, which netcode allows. */
  get timeoutMs(): number {
    return this.#timeoutMs;
  }

  /** See `Link.pause`. It stays paused when the connection is made anew after a reset. */
  pause(channel: ReliableChannelName<C>): void {
    Link.prototype.pause.call(this, channel);
    this.#paused ??= new Set();
    this.#paused.add(channel);
  }

  /** See `Link.resume`. */
  resume(channel: ReliableChannelName<C>): void {
    Link.prototype.resume.call(this, channel);
    this.#paused?.delete(channel);
  }

  /**
   * Disconnects. It resolves when `disconnect` was emitted and, for a connection of `connect` without a client of its own, when its
   * socket is closed. Calling it again returns the same promise. Netcode transmits neither code nor reason.
   *
   * @param code 0, or an application's own code: 0x10000 and above.
   * @param reason for people: at most 256 bytes of UTF-8.
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  async close(code: number = disconnectCodes.NONE, reason = ''): Promise<void> {
    checkDisconnectCode(code);
    checkReason(reason);
    if (this.#closing === undefined && !this.#ended) {
      this.#closing = { result: 'closed', code, reason, reconnectSpreadMs: 0 };
      const { socket } = this.#host;
      // While reconnecting there is nobody to tell; the attempt itself is given up.
      if (!socket.disconnect(this.#slot, this.#generation, code, reason, 0)) {
        if (this.#attempt === undefined) this.#end(this.#closing);
        else socket.abort(this.#slot, this.#generation);
      }
    }
    return this.#closed;
  }

  /**
   * Goes on over a new socket, as `Client.rebind`: a connection that `connect` made without `client` has its socket for
   * itself; one of a shared client takes all connections of that client along.
   *
   * @throws as `Client.rebind`; HawserError ERR_HAWSER_WIRE, since a netcode connection belongs to its addresses.
   */
  rebind(): void {
    if (this.wire === 'netcode') {
      throw netcodeLacks(
        'connections belong to their addresses and cannot move: connect again with another token',
      );
    }
    this.#host.rebind();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  // ---- What the client tells ---------------------------------------------------------------------------------------

  #begin({ slot, generation }: NativeHandle): Promise<void> {
    this.#slot = slot;
    this.#generation = generation;
    return new Promise((resolve, reject) => {
      this.#attempt = { resolve, reject };
    });
  }

  /**
   * The packet that makes the connection may bring messages, which are delivered in the same batch; `connect` resolves, or `reconnected`
   * follows, and listeners can be added, only when that is through.
   */
  #hold(): void {
    this.#held = [];
    // It comes when all that the promise of `connect` leads to has run, however many promises are in between; also in a simulated network,
    // where that promise is waited for by another.
    queueMicrotask(() => setImmediate(() => this.#release()));
  }

  #release(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    // The user may end it meanwhile.
    for (const run of held) if (!this.#ended) run();
  }

  #inTurn(run: () => void): void {
    if (this.#held === undefined) run();
    else this.#held.push(run);
  }

  #message(channel: number, data: Uint8Array): void {
    // The user may have closed it while the message waited in the batch.
    if (this.#closing !== undefined) return;
    const { socket } = this.#host;
    const entry = socket.channels.entries[channel];
    if (entry === undefined) return;
    // Value and name come from the same entry, which types cannot follow.
    const emitter = this as unknown as MessageEmitter;
    let value: unknown = data;
    if (!entry.raw) {
      try {
        value = entry.codec.decode(data);
        isolatePromise(value, (error) => reportListenerError(this, error, 'decode'));
      } catch (error) {
        socket.countUndecodable();
        guard(this, 'invalidMessage', () => emitter.emit('invalidMessage', error, entry.name));
        return;
      }
    }
    try {
      emitter.emit('message', value, entry.name);
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
      if (this.wire === 'netcode') {
        this.#clientIndex = view.getUint32(connectRecord.clientIndex, true);
        this.#maxClients = view.getUint32(connectRecord.maxClients, true);
      }
    }
    this.#hold();
    this.#established = true;
    for (const channel of this.#paused ?? []) Link.prototype.pause.call(this, channel);
    this.#enter('CONNECTED');
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.resolve();
  }

  #connectFailed(result: ConnectResult, denied: DeniedReason | undefined): void {
    this.#enter('DISCONNECTED');
    const advice =
      denied === 'CHANNELS_MISMATCH'
        ? `; this side declares ${this.#host.socket.channels.describe()}: compare it with the gateway's`
        : '';
    this.#fail(new ConnectError(result, { denied, advice, netcodeState: this.#netcodeState }));
  }

  #fail(error: unknown): void {
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.reject(error);
  }

  #disconnect(info: DisconnectInfo): void {
    if (info.result !== 'reset' || !this.#host.reconnects || this.#closing !== undefined) {
      this.#end(info);
      return;
    }
    this.#enter('DISCONNECTED');
    guard(this, 'reset', () => this.emit('reset'));
    this.#host.reconnect().then(
      () => guard(this, 'reconnected', () => this.emit('reconnected')),
      (error: unknown) => this.#end(this.#closing ?? withReason(info, error)),
    );
  }

  #secretWanted(secretId: Uint8Array): void {
    const { socket, secretOf } = this.#host;
    void socket.keyUpdates.provide(
      this.#slot,
      this.#generation,
      secretId,
      (id) => secretOf?.(id, this),
      (error) => reportListenerError(this, error, 'secretOf'),
    );
  }

  #stopped(): void {
    this.#release();
    this.#fail(new HawserError('ERR_HAWSER_CLOSED', 'the client is closed or closing'));
    this.#end({ result: 'closed', code: disconnectCodes.SHUTTING_DOWN, reason: '', reconnectSpreadMs: 0 });
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
  return textFromBinary(record.subarray(offset, offset + binaryAddressBytes));
}
