// The client's side: one socket that carries one connection or many.

import { EventEmitter } from 'node:events';
import { abortedError, checkSignal, throwIfAborted } from '../base/abort.js';
import { addressToBinary, parseAddress } from '../base/address.js';
import {
  argumentError,
  checkBoolean,
  checkFunction,
  checkInteger,
  checkOptions,
  checkU64,
  describe,
} from '../base/check.js';
import type { Clock } from '../base/clock.js';
import { HawserError } from '../base/errors.js';
import { guard } from '../base/isolate.js';
import { type AddressOrder, reorderAddresses } from '../token/address-order.js';
import type { ChannelMap, DefaultChannels } from './channels.js';
import { ConnectError } from './connect-error.js';
import { Connection, type ConnectionHost, connectionControl } from './connection.js';
import type { KeyUpdateInfo, SecretSource, SecretUser } from './key-update.js';
import type { NativeHandle } from './native.js';
import { useNetcodeToken } from './netcode-token-use.js';
import {
  type ClientOptions,
  checkClientOptions,
  checkDisconnectCode,
  checkReason,
  clientOptionNames,
  type SocketPlan,
} from './options.js';
import { type ConnectionState, disconnectCodes, netcodeStates, type SocketState } from './results.js';
import type { CloseOptions } from './server.js';
import { SlotTable } from './slot-table.js';
import { type BatchListener, Socket, type SocketSink } from './socket.js';
import type { TransportStats } from './stats.js';
import { type HeldToken, isReusable, type TokenSource, takeToken } from './token-source.js';

/** Options of one connection. */
export interface ConnectionOptions {
  /** Gives the attempt up: `connect` rejects with ERR_HAWSER_ABORTED. Once connected it has no effect. */
  readonly signal?: AbortSignal;
  /**
   * How long to try all addresses of the token, in milliseconds, 1 to 3,600,000; 10,000 by default. With a netcode token there is no
   * such limit by default, since the token has a timeout of its own for each address and each step.
   */
  readonly timeoutMs?: number;
  /** The application; a token for another one is refused. By default what the token says. */
  readonly protocolId?: bigint;
  /**
   * The gateway to ask first, `host:port`: then it is the one, unless another has answered before it, 300 ms later or more. Passed over when the
   * token does not list it, and with netcode, whose clients keep to the order of the token. By default the first of the token.
   */
  readonly firstAddress?: string;
  /** The gateway to ask last, `host:port`, and so to begin with the one behind it in the token; passed over as `firstAddress`, which comes before. */
  readonly lastAddress?: string;
  /** The source IP address of this connection's datagrams, where the socket is bound to a wildcard; port 0. */
  readonly localAddress?: string;
  /** Connect anew when the gateway has lost the connection; true by default. Netcode connections time out instead. */
  readonly reconnectOnReset?: boolean;
  /** Hears every state, those of the first attempt included. */
  readonly onState?: (state: ConnectionState) => void;
  /** Finds the secrets of key updates that the gateway begins; without it, such updates are refused. */
  readonly secretOf?: SecretSource<SecretUser>;
}

/** Options of {@link connect}: those of the connection, and those of its socket unless `client` is given. */
export interface ConnectOptions<C extends ChannelMap = DefaultChannels>
  extends ConnectionOptions,
    ClientOptions<C> {
  /** The client whose socket carries the connection; by default one is opened for it and closed with it. */
  readonly client?: Client<C>;
}

/** The events of a client with the arguments of their listeners. */
export interface ClientEvents<C extends ChannelMap = DefaultChannels> {
  /** After a `send` of the connection that returned false: there is room again. The connection has this event too. */
  drain: [connection: Connection<C>];
  /** A listener threw. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
  /** STOPPED: the socket is closed. */
  close: [];
}

const connectionOptionNames = [
  'signal',
  'timeoutMs',
  'protocolId',
  'firstAddress',
  'lastAddress',
  'localAddress',
  'reconnectOnReset',
  'onState',
  'secretOf',
] as const;

const defaultTimeoutMs = 10_000;
const maxTimeoutMs = 3_600_000;

/** The objects that all connections of a client share. */
interface ClientParts<C extends ChannelMap> {
  readonly client: Client<C>;
  readonly socket: Socket;
  readonly clock: Clock;
  readonly connections: SlotTable<Connection<C>>;
  /** The client of one connection, which ends with it. */
  readonly alone: boolean;
}

type TokenFunction = Extract<TokenSource, () => unknown>;

/** The options of a connection: all checked. */
interface ConnectionPlan {
  readonly signal: AbortSignal | undefined;
  readonly timeoutMs: number | undefined;
  readonly protocolId: bigint | undefined;
  readonly order: AddressOrder;
  readonly local: Uint8Array | undefined;
  readonly reconnectOnReset: boolean;
  readonly onState: ((state: ConnectionState) => void) | undefined;
  readonly secretOf: SecretSource<SecretUser> | undefined;
}

let openAlone: <C extends ChannelMap>(options: ClientOptions<C>) => Client<C>;
let stopped: <C extends ChannelMap>(client: Client<C>) => void;

/** One socket for connections to any gateways. Made by {@link Client.open}. */
export class Client<C extends ChannelMap = DefaultChannels>
  extends EventEmitter<ClientEvents<C>>
  implements AsyncDisposable
{
  readonly #parts: ClientParts<C>;
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => undefined;

  static {
    openAlone = <C extends ChannelMap>(options: ClientOptions<C>) =>
      new Client<C>(checkClientOptions(options), true);
    stopped = (client) => client.#stopped();
  }

  /**
   * Binds a socket.
   *
   * @throws HawserError (rejects) as `Server.listen`.
   */
  static async open<C extends ChannelMap = DefaultChannels>(
    options: ClientOptions<C> = {},
  ): Promise<Client<C>> {
    return new Client<C>(checkClientOptions(options), false);
  }

  private constructor(plan: SocketPlan, alone: boolean) {
    super();
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    const connections = new SlotTable<Connection<C>>();
    const socket = new Socket(plan.native, plan.settings, new ClientSink(this, connections));
    this.#parts = { client: this, socket, clock: plan.clock, connections, alone };
  }

  /** The bound address, `host:port`. */
  get address(): string {
    return this.#parts.socket.address;
  }

  /** Where its socket stands now. */
  get state(): SocketState {
    return this.#parts.socket.state;
  }

  /** The connections that are open or being opened. */
  get connections(): Iterable<Connection<C>> & { readonly size: number } {
    return this.#parts.connections;
  }

  /** What was counted so far, all connections together. */
  get stats(): TransportStats {
    return this.#parts.socket.stats();
  }

  /** Native memory of this client in bytes. */
  get memoryBytes(): number {
    return this.#parts.socket.memoryBytes();
  }

  /** What the kernel granted of the wanted socket buffers. */
  get buffers(): { readonly receiveBytes: number; readonly sendBytes: number } {
    return this.#parts.socket.grantedBuffers();
  }

  /**
   * Connects to the first gateway of the token that answers. The token decides which wire format is spoken. Netcode connections of one
   * client must differ in the gateway's address or in `localAddress`.
   *
   * @throws HawserError (rejects) {@link ConnectError} ERR_HAWSER_DENIED, ERR_HAWSER_TIMED_OUT, ERR_HAWSER_TOKEN_EXPIRED,
   * ERR_HAWSER_TOKEN_INVALID, ERR_HAWSER_ADDRESS_IN_USE; ERR_HAWSER_ABORTED, ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED; whatever a token function throws.
   */
  async connect(token: TokenSource, options: ConnectionOptions = {}): Promise<Connection<C>> {
    checkOptions('options', options, connectionOptionNames);
    const plan = checkConnectionOptions(options);
    throwIfAborted(plan.signal);
    const held = await takeToken(token, this.#parts.clock, plan.signal);
    const source = typeof token === 'function' ? token : undefined;
    return new Attempts(this.#parts, plan, source, held).first();
  }

  /**
   * Goes on over a new socket, with another port: after the process was suspended, or when the network has changed (Wi-Fi to
   * cellular), instead of waiting until the old path times out. All connections of this client move; each gateway follows
   * within about one and a half round trips (docs/protocol.md section 14). What was on its way to the old socket is lost, as
   * any datagram may be. A client that is bound to an IP address that is gone cannot be bound to it again: bind a wildcard.
   * Netcode connections belong to their addresses: they do not come along, and time out.
   *
   * @throws HawserError ERR_HAWSER_CLOSED, or as {@link Client.open}; the client then goes on over its old socket.
   */
  rebind(): void {
    this.#parts.socket.rebind();
    for (const connection of this.#parts.connections) connectionControl.rebound(connection);
  }

  /**
   * Disconnects every connection and closes the socket, as `Server.close`.
   *
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  async close(options: Pick<CloseOptions, 'code' | 'reason'> = {}): Promise<void> {
    checkOptions('options', options, ['code', 'reason']);
    const code = checkDisconnectCode(options.code ?? disconnectCodes.NONE);
    this.#parts.socket.stop(code, checkReason(options.reason ?? ''), 0);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Keeps the process alive while it is open (the default). */
  ref(): this {
    this.#parts.socket.ref();
    return this;
  }

  /** Lets the process end although it is open. */
  unref(): this {
    this.#parts.socket.unref();
    return this;
  }

  #stopped(): void {
    for (const connection of [...this.#parts.connections]) connectionControl.stopped(connection);
    guard(this, 'close', () => this.emit('close'));
    this.#resolveClosed();
  }
}

/** Tells the connections of a client what its socket does. A class, for there may be a client for each of many connections. */
class ClientSink<C extends ChannelMap> implements SocketSink {
  readonly #client: Client<C>;
  readonly #connections: SlotTable<Connection<C>>;

  constructor(client: Client<C>, connections: SlotTable<Connection<C>>) {
    this.#client = client;
    this.#connections = connections;
  }

  message(slot: number, generation: number, channel: number, data: Uint8Array): void {
    const connection = this.#connections.at(slot, generation);
    if (connection !== undefined) connectionControl.message(connection, channel, data);
  }

  batch(listener: BatchListener, slab: Uint8Array, descriptors: Uint32Array, count: number): void {
    guard(this.#client, 'onBatch', () => listener(slab, descriptors, count, 0));
  }

  connect(slot: number, generation: number, record: Uint8Array): void {
    const connection = this.#connections.at(slot, generation);
    if (connection !== undefined) connectionControl.connect(connection, record);
  }

  connectFailed(slot: number, generation: number, result: number, bytes: Uint8Array): void {
    const connection = this.#connections.at(slot, generation);
    this.#connections.delete(slot, generation);
    if (connection !== undefined) connectionControl.connectFailed(connection, result, bytes);
  }

  disconnect(slot: number, generation: number, result: number, bytes: Uint8Array): void {
    const connection = this.#connections.at(slot, generation);
    this.#connections.delete(slot, generation);
    if (connection !== undefined) connectionControl.disconnect(connection, result, bytes);
  }

  state(slot: number, generation: number, state: number, bytes: Uint8Array): void {
    const connection = this.#connections.at(slot, generation);
    if (connection !== undefined) connectionControl.state(connection, state, bytes);
  }

  goaway(slot: number, generation: number, bytes: Uint8Array): void {
    const connection = this.#connections.at(slot, generation);
    if (connection !== undefined) connectionControl.goaway(connection, bytes);
  }

  secretWanted(slot: number, generation: number, secretId: Uint8Array): void {
    const connection = this.#connections.at(slot, generation);
    if (connection !== undefined) connectionControl.secretWanted(connection, secretId);
  }

  keyUpdated(slot: number, generation: number, info: KeyUpdateInfo): void {
    const connection = this.#connections.at(slot, generation);
    if (connection !== undefined) connectionControl.keyUpdated(connection, info);
  }

  drain(slot: number, generation: number): void {
    const connection = this.#connections.at(slot, generation);
    if (connection === undefined) return;
    guard(this.#client, 'drain', () => this.#client.emit('drain', connection));
    connectionControl.drain(connection);
  }

  stopped(): void {
    stopped(this.#client);
  }

  consume(): never {
    throw new Error('the addon reported an event of a server to a client');
  }
}

/** The attempts to connect of one connection, the first and those after a reset. */
class Attempts<C extends ChannelMap> implements ConnectionHost {
  readonly #parts: ClientParts<C>;
  readonly #plan: ConnectionPlan;
  /** Gives further tokens; undefined where the user gave one token only. */
  readonly #source: TokenFunction | undefined;
  readonly #connection: Connection<C>;
  #token: HeldToken;
  #ended = false;

  constructor(
    parts: ClientParts<C>,
    plan: ConnectionPlan,
    source: TokenFunction | undefined,
    token: HeldToken,
  ) {
    this.#parts = parts;
    this.#plan = plan;
    this.#source = source;
    this.#token = token;
    this.#connection = new Connection<C>(this, token.wire);
  }

  get socket(): Socket {
    return this.#parts.socket;
  }

  get reconnects(): boolean {
    return this.#plan.reconnectOnReset;
  }

  get onState(): ((state: ConnectionState) => void) | undefined {
    return this.#plan.onState;
  }

  get secretOf(): SecretSource<SecretUser> | undefined {
    return this.#plan.secretOf;
  }

  /** The attempt that `Client.connect` stands for. */
  async first(): Promise<Connection<C>> {
    await this.#attempt(this.#plan.signal);
    return this.#connection;
  }

  async reconnect(): Promise<void> {
    if (!isReusable(this.#token, this.#parts.clock)) await this.#renew(undefined);
    await this.#attempt(undefined);
  }

  ended(): Promise<void> | undefined {
    this.#ended = true;
    return this.#parts.alone ? this.#parts.client.close() : undefined;
  }

  rebind(): void {
    this.#parts.client.rebind();
  }

  async #renew(signal: AbortSignal | undefined): Promise<void> {
    if (this.#source === undefined) throw new Error('the token cannot be used again');
    const token = await takeToken(this.#source, this.#parts.clock, signal);
    if (this.#ended) throw new Error('the connection was closed meanwhile');
    if (token.wire !== this.#connection.wire) throw new Error('the new token is for another wire format');
    this.#token = token;
  }

  async #attempt(signal: AbortSignal | undefined): Promise<void> {
    try {
      await this.#tryToken(signal);
    } catch (error) {
      // Its source may keep tokens: it is asked once more.
      const isExpired = error instanceof ConnectError && error.denied === 'TOKEN_EXPIRED';
      if (!isExpired || this.#source === undefined) throw error;
      await this.#renew(signal);
      await this.#tryToken(signal);
    }
  }

  async #tryToken(signal: AbortSignal | undefined): Promise<void> {
    throwIfAborted(signal);
    if (this.#parts.client.state !== 'RUNNING')
      throw new HawserError('ERR_HAWSER_CLOSED', 'the client is closed or closing');
    const { netcode } = this.#token;
    if (netcode === undefined) return this.#tryOnce(signal);
    const giveBack = useNetcodeToken(netcode);
    try {
      await this.#tryOnce(signal);
    } catch (error) {
      // Of an attempt that was aborted it is not known yet.
      if (error instanceof ConnectError && !connectionControl.hasResponded(this.#connection)) giveBack();
      throw error;
    }
  }

  async #tryOnce(signal: AbortSignal | undefined): Promise<void> {
    const { socket, connections } = this.#parts;
    const connection = this.#connection;
    const handle = this.#begin();
    connections.put(handle.slot, handle.generation, connection);
    const connected = connectionControl.begin(connection, handle);
    if (signal === undefined) return connected;
    const onAbort = (): void => {
      socket.abort(handle.slot, handle.generation);
      connectionControl.fail(connection, abortedError(signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      await connected;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  #begin(): NativeHandle {
    const { protocolId, order, timeoutMs, local } = this.#plan;
    const token = this.#token;
    const isNetcode = token.wire === 'netcode';
    const begun = this.socket.connect({
      protocolId: protocolId ?? token.protocolId,
      token: isNetcode ? token.bytes : reorderAddresses(token.bytes, order),
      timeoutMs: timeoutMs ?? (isNetcode ? 0 : defaultTimeoutMs),
      ...(local === undefined ? {} : { local }),
    });
    if (typeof begun !== 'string') return begun;
    const { disconnected, invalidConnectToken } = netcodeStates;
    const netcodeState = begun === 'tokenInvalid' ? invalidConnectToken : disconnected;
    throw new ConnectError(begun, {
      netcodeState: isNetcode ? netcodeState : undefined,
      // Nobody has aborted what was never begun.
      ...(begun === 'aborted' ? { message: 'the client has maxConnections connections already' } : {}),
    });
  }
}

/**
 * Connects to the first gateway of the token that answers, over a socket of its own unless `client` is given.
 *
 * @param token of hawser or of netcode, as bytes, as text, or a function that gets one; the function is asked again when a reconnection
 * needs another.
 * @throws HawserError (rejects) as {@link Client.connect} and {@link Client.open}.
 */
export async function connect<C extends ChannelMap = DefaultChannels>(
  token: TokenSource,
  options: ConnectOptions<C> = {},
): Promise<Connection<C>> {
  checkOptions('options', options, [...connectionOptionNames, ...clientOptionNames, 'client']);
  const {
    signal,
    timeoutMs,
    protocolId,
    firstAddress,
    lastAddress,
    localAddress,
    reconnectOnReset,
    onState,
    secretOf,
    client,
    ...rest
  } = options;
  const own: ConnectionOptions = withoutUndefined({
    signal,
    timeoutMs,
    protocolId,
    firstAddress,
    lastAddress,
    localAddress,
    reconnectOnReset,
    onState,
    secretOf,
  });
  if (client !== undefined) {
    if (!(client instanceof Client)) throw argumentError('client', 'a Client', describe(client));
    const extra = Object.keys(rest)[0];
    if (extra !== undefined) throw argumentError(extra, 'left out where client is given', 'both');
    return client.connect(token, own);
  }
  throwIfAborted(checkSignal(signal));
  const alone = openAlone<C>({ maxConnections: sessionsAlone, ...rest });
  try {
    return await alone.connect(token, own);
  } catch (error) {
    void alone.close();
    throw error;
  }
}

/** Sessions of a client with one connection: each that ends keeps its place for a moment, so that a lost DISCONNECT is acknowledged. */
const sessionsAlone = 8;

function checkConnectionOptions(options: ConnectionOptions): ConnectionPlan {
  const { firstAddress, lastAddress, localAddress, onState, protocolId, secretOf, timeoutMs } = options;
  return {
    signal: checkSignal(options.signal),
    timeoutMs: timeoutMs === undefined ? undefined : checkInteger('timeoutMs', timeoutMs, 1, maxTimeoutMs),
    protocolId: protocolId === undefined ? undefined : checkU64('protocolId', protocolId),
    order: {
      first: firstAddress === undefined ? undefined : parseAddress(firstAddress, 'firstAddress'),
      last: lastAddress === undefined ? undefined : parseAddress(lastAddress, 'lastAddress'),
    },
    local: localAddress === undefined ? undefined : localBinary(localAddress),
    reconnectOnReset: checkBoolean('reconnectOnReset', options.reconnectOnReset ?? true),
    onState: onState === undefined ? undefined : checkFunction('onState', onState),
    secretOf: secretOf === undefined ? undefined : checkFunction('secretOf', secretOf),
  };
}

function localBinary(text: string): Uint8Array {
  // The port is the socket's own, so that a bare IP address is the natural way to say it.
  const address = /:\d+$/.test(text) && (text.startsWith('[') || text.split(':').length === 2);
  const parsed = address
    ? parseAddress(text, 'localAddress')
    : parseAddress({ host: text, port: 0 }, 'localAddress');
  return addressToBinary(parsed, 'localAddress');
}

function withoutUndefined(
  options: { [K in keyof ConnectionOptions]: ConnectionOptions[K] | undefined },
): ConnectionOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
