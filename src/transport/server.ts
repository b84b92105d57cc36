// The gateway's side: one address, many peers.

import { EventEmitter, on } from 'node:events';
import { throwIfAborted } from '../base/abort.js';
import { formatAddress, parseAddress, parseDestination } from '../base/address.js';
import { argumentError, checkInteger, checkOptions, describe } from '../base/check.js';
import type { Clock, Timer } from '../base/clock.js';
import { HawserError } from '../base/errors.js';
import { guard, isolatePromise, isolateRejections, reportListenerError } from '../base/isolate.js';
import type { ServerKey } from '../token/server-key.js';
import type {
  ChannelEntry,
  ChannelMap,
  ChannelName,
  ChannelTable,
  ChannelValue,
  DefaultChannels,
  FirstChannelValue,
} from './channels.js';
import { channels } from './diagnostics.js';
import { readDisconnect } from './event-bytes.js';
import type { KeyUpdateInfo } from './key-update.js';
import { checkTtl } from './link.js';
import { consumeVerdict } from './native.js';
import {
  checkDisconnectCode,
  checkKeys,
  checkLimits,
  checkReason,
  checkReconnectSpread,
  checkServerOptions,
  type ServerLimits,
  type ServerOptions,
  type ServerPlan,
} from './options.js';
import { endPeer, Peer } from './peer.js';
import { type DisconnectInfo, disconnectCodes, disconnectResultName, type SocketState } from './results.js';
import { openShards, type PeerSet, type Shard, ShardedPeers, type Shards } from './shards.js';
import type { SlotTable } from './slot-table.js';
import type { Socket, SocketSink } from './socket.js';
import { addStats, type TransportStats } from './stats.js';

/** The events of a server with the arguments of their listeners. */
export interface ServerEvents<C extends ChannelMap = DefaultChannels> {
  /** A client completed its handshake. */
  connect: [peer: Peer<C>];
  /**
   * A message arrived; comparing `channel` with the name of one tells what `value` is. Of a channel of bytes it is a view into memory
   * that is used again when the callback returns, unless the option `copy` is set: `data.slice()` keeps it.
   */
  message: {
    [Name in ChannelName<C>]: [peer: Peer<C>, value: ChannelValue<C, Name>, channel: Name];
  }[ChannelName<C>];
  /** A message was dropped because the codec of its channel threw `error`. */
  invalidMessage: [peer: Peer<C>, error: unknown, channel: ChannelName<C>];
  /** A peer that was connected is so no longer. It comes exactly once for each `connect`. */
  disconnect: [peer: Peer<C>, info: DisconnectInfo];
  /** The keys of a peer have been updated, by either end; see `Peer.updateKeys`. */
  keyUpdate: [peer: Peer<C>, info: KeyUpdateInfo];
  /** After a `send` to this peer that returned false: there is room again. */
  drain: [peer: Peer<C>];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
  /** STOPPED: every socket is closed and no event follows. */
  close: [];
}

/** Options of `Server.close`. */
export interface CloseOptions {
  /** The code that peers are told: 0, 3 (SHUTTING_DOWN, the default), or 0x10000 and above. */
  readonly code?: number;
  /** For people: at most 256 bytes of UTF-8. */
  readonly reason?: string;
  /** As in `DisconnectOptions`: 0 to 3,600,000; 0 by default. */
  readonly reconnectSpreadMs?: number;
}

/** Options of `Server.drain`. */
export interface DrainOptions {
  /** How long peers have to leave, in milliseconds, 0 to 86,400,000; 10,000 by default. */
  readonly deadlineMs?: number;
  /** The gateway that peers are asked to go to, with a port other than 0 and not an unspecified address; none by default. */
  readonly elsewhere?: string;
  /** As in `DisconnectOptions`: 0 to 3,600,000; 0 by default. Those who leave are told it, and those who stay until the deadline. */
  readonly reconnectSpreadMs?: number;
}

/** Options of `Server.broadcast`. */
export interface BroadcastOptions<C extends ChannelMap = DefaultChannels> {
  /** To whom; all connected peers by default. */
  readonly peers?: Iterable<Peer<C>>;
  /** As in `SendOptions`. */
  readonly ttlMs?: number;
}

/** Emits what a generic server does, whose channels only the table knows. */
type MessageEmitter<C extends ChannelMap> = EventEmitter<{
  message: [peer: Peer<C>, value: unknown, channel: string];
  invalidMessage: [peer: Peer<C>, error: unknown, channel: string];
}>;

const dayMs = 86_400_000;

/** The sockets of a server, whatever its channels, for capture.ts only: one for each shard. Of anything else none. */
export let socketsOf: (server: object) => readonly Socket[];

/** A gateway: listens on one UDP address and holds many peers. Made by {@link Server.listen}. */
export class Server<C extends ChannelMap = DefaultChannels>
  extends EventEmitter<ServerEvents<C>>
  implements AsyncIterable<Peer<C>>, AsyncDisposable
{
  /** Which application this gateway serves. */
  readonly protocolId: bigint;
  /** The bound address, `host:port`. */
  readonly address: string;
  /** The addresses under which clients reach this gateway; a token must list one of them. */
  readonly publicAddresses: readonly string[];
  readonly #shards: Shards<C>;
  /** Of shard 0; the gateway is reached through any of them. */
  readonly #socket: Socket;
  readonly #channels: ChannelTable;
  readonly #clock: Clock;
  readonly #plan: ServerPlan;
  readonly #peers: ShardedPeers<C>;
  #limits: Required<ServerLimits>;
  /** Sockets that have not stopped. */
  #open: number;
  readonly #closed: Promise<void>;
  #resolveClosed: () => void = () => undefined;
  #draining: Promise<void> | undefined;
  /** What peers are asked while the server drains. */
  #farewell: CheckedDrainOptions | undefined;
  #onEmpty: (() => void) | undefined;
  readonly #onAbort = (): void => void this.close();

  static {
    isolateRejections(Server.prototype);
    socketsOf = (server) => (#shards in server ? server.#shards.map(({ socket }) => socket) : []);
  }

  /**
   * Binds the address and begins to accept.
   *
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT, ERR_HAWSER_ADDRESS_IN_USE, ERR_HAWSER_ADDRESS_NOT_AVAILABLE,
   * ERR_HAWSER_PERMISSION, ERR_HAWSER_TOO_MANY_FILES, ERR_HAWSER_SYSTEM, ERR_HAWSER_ADDON_MISSING, ERR_HAWSER_NODE_VERSION,
   * ERR_HAWSER_ABORTED.
   */
  static async listen<C extends ChannelMap = DefaultChannels>(options: ServerOptions<C>): Promise<Server<C>> {
    const plan = checkServerOptions(options);
    throwIfAborted(plan.signal);
    if (plan.restartWarning !== undefined) process.emitWarning(plan.restartWarning, 'HawserWarning');
    return new Server<C>(plan);
  }

  private constructor(plan: ServerPlan) {
    super({ captureRejections: true });
    this.#plan = plan;
    this.#limits = plan.limits;
    this.#clock = plan.clock;
    this.protocolId = plan.protocolId;
    this.#closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#channels = plan.settings.channels;
    this.#shards = openShards<C>(plan, (shard) => this.#sinkOf(shard));
    this.#open = this.#shards.length;
    this.#socket = this.#shards[0].socket;
    this.#peers = new ShardedPeers(this.#shards);
    this.address = this.#socket.address;
    const boundPort = parseAddress(this.address).port;
    this.publicAddresses = plan.publicAddresses.map(({ host, port }) =>
      formatAddress({ host, port: port === 0 ? boundPort : port }),
    );
    plan.signal?.addEventListener('abort', this.#onAbort, { once: true });
  }

  /** Where its sockets stand now. */
  get state(): SocketState {
    const { state } = this.#socket;
    return state === 'STOPPED' && this.#open > 0 ? 'STOPPING' : state;
  }

  /** The connected peers. */
  get peers(): PeerSet<C> {
    return this.#peers;
  }

  /** What was counted so far; read from memory that the addon shares, without a call. With several `threads`, all of them together. */
  get stats(): TransportStats {
    return this.#shards.length === 1
      ? this.#socket.stats()
      : addStats(this.#shards.map(({ socket }) => socket.stats()));
  }

  /** Native memory of this server in bytes: peers, pools, maps. What several `threads` share counts once. */
  get memoryBytes(): number {
    return this.#shards.reduce((sum, { socket }) => sum + socket.memoryBytes(), 0);
  }

  /** What the kernel granted of the wanted socket buffers, all sockets together: each of the `threads` has one. */
  get buffers(): { readonly receiveBytes: number; readonly sendBytes: number } {
    const granted = this.#shards.map(({ socket }) => socket.grantedBuffers());
    return {
      receiveBytes: granted.reduce((sum, { receiveBytes }) => sum + receiveBytes, 0),
      sendBytes: granted.reduce((sum, { sendBytes }) => sum + sendBytes, 0),
    };
  }

  /**
   * Sends one message to one peer on the first channel; see {@link Peer.send}.
   *
   * @returns whether to go on; false means to wait for `drain`.
   */
  send(peer: Peer<C>, data: FirstChannelValue<C>): boolean {
    return peer.send(data);
  }

  /**
   * Sends one message to many peers. It is encoded and copied once.
   *
   * @param channel the name of a channel; without it, the first of the declaration.
   * @param value what the codec of the channel takes: at most 1,158 bytes of an unreliable channel.
   * @returns to how many it was sent: peers that are gone, or whose queue is full, are left out (the latter are disconnected where
   * `onQueueFull` is `disconnect`), and so are netcode peers on every
   * channel but the first unreliable one, and from messages without a byte.
   * @throws HawserError ERR_HAWSER_MESSAGE_TOO_LONG, ERR_HAWSER_ARGUMENT; whatever the codec throws.
   */
  broadcast<Name extends ChannelName<C>>(
    channel: Name,
    value: ChannelValue<C, Name>,
    options?: BroadcastOptions<C>,
  ): number;
  broadcast(data: FirstChannelValue<C>): number;
  broadcast(first: unknown, value?: unknown, options: BroadcastOptions<C> = {}): number {
    const table = this.#channels;
    // biome-ignore lint/complexity/noArguments: counts the arguments, one of which may be undefined
    if (arguments.length === 1) {
      return this.#broadcast(table.first, table.first.codec.encode(first), undefined, 0);
    }
    checkOptions('options', options, ['peers', 'ttlMs']);
    const entry = table.get(first);
    const ttlMs = checkTtl(entry, options.ttlMs);
    const handles = options.peers === undefined ? undefined : this.#handlesOf(options.peers);
    return this.#broadcast(entry, entry.codec.encode(value), handles, ttlMs);
  }

  /** @param handles for each shard, as `Socket.broadcast` takes them; undefined for every peer. */
  #broadcast(
    channel: ChannelEntry,
    data: Uint8Array,
    handles: readonly (readonly number[])[] | undefined,
    ttlMs: number,
  ): number {
    let sent = 0;
    for (const { socket } of this.#shards) {
      const own = handles === undefined ? null : Uint32Array.from(handles[socket.shard] ?? []);
      sent += socket.broadcast(channel, data, own, ttlMs);
    }
    return sent;
  }

  /** For each shard, pairs of slot and generation. */
  #handlesOf(peers: Iterable<unknown>): number[][] {
    const handles: number[][] = this.#shards.map(() => []);
    for (const peer of peers) {
      const known = peer instanceof Peer && this.#shards[peer.shard]?.socket === peer.carrier;
      if (!known) throw argumentError('peers', 'peers of this server', describeStranger(peer));
      handles[peer.shard]?.push(peer.slot, peer.generation);
    }
    return handles;
  }

  /**
   * Replaces the server keys, for rolling them without downtime: peers stay, tokens of a key that is gone are refused from now on.
   * Netcode tokens are tried with the first two.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_CLOSED.
   */
  setKeys(keys: readonly (ServerKey | string)[]): void {
    const checked = checkKeys(keys);
    if (this.state !== 'RUNNING') throw closedError();
    this.#socket.setKeys(checked);
  }

  /**
   * Changes limits while peers are connected. Those that are there stay; with a lower `maxPeers` nobody is let in until enough have left.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT, also for a `maxPeers` beyond that of the start; ERR_HAWSER_CLOSED.
   */
  setLimits(limits: ServerLimits): void {
    const checked = checkLimits(limits, this.#limits, this.#plan.limits.maxPeers);
    if (this.state !== 'RUNNING') throw closedError();
    this.#limits = checked;
    for (const { socket } of this.#shards) socket.setLimits(checked);
  }

  /**
   * Closes gently: refuses new clients, asks every peer to go (GOAWAY), waits until all have left or the deadline has passed, and
   * closes. GOAWAY is repeated only until the deadline: a client that lost it is told the disconnect alone. Netcode clients cannot be asked: they stay until the deadline. Calling it again returns the same promise; `close` ends the
   * waiting.
   *
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  drain(options: DrainOptions = {}): Promise<void> {
    try {
      this.#draining ??= this.#drain(checkDrainOptions(options));
      return this.#draining;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** @internal Lets nobody in any more: the beginning of `drain`, for a gateway that has something to end before it asks its peers to go. */
  refuseNewPeers(): void {
    this.#socket.startDraining();
  }

  async #drain(farewell: CheckedDrainOptions): Promise<void> {
    const { deadlineMs, reconnectSpreadMs } = farewell;
    this.refuseNewPeers();
    for (const peer of this.#peers) peer.goaway(farewell);
    // Some may have connected already, without it having been told.
    this.#farewell = farewell;
    let timer: Timer | undefined;
    await new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
      timer = this.#clock.setTimeout(resolve, deadlineMs);
      if (this.#peers.size === 0 || this.state !== 'RUNNING') resolve();
    });
    timer?.clear();
    await this.close({ reconnectSpreadMs });
  }

  /**
   * Disconnects every peer and closes every socket: STOPPING, then STOPPED. It resolves when the peers have acknowledged or were
   * given up, at most about 1.1 s later. Calling it again returns the same promise.
   *
   * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT.
   */
  async close(options: CloseOptions = {}): Promise<void> {
    checkOptions('options', options, ['code', 'reason', 'reconnectSpreadMs']);
    const code = checkDisconnectCode(options.code ?? disconnectCodes.SHUTTING_DOWN);
    const reason = checkReason(options.reason ?? '');
    const reconnectSpreadMs = checkReconnectSpread(options.reconnectSpreadMs);
    for (const { socket } of this.#shards) socket.stop(code, reason, reconnectSpreadMs);
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Accepts connections as they come: every peer that connects from now on. It ends when the server closes. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Peer<C>, void, undefined> {
    if (this.state === 'STOPPED') return;
    for await (const [peer] of on(this, 'connect', { close: ['close'] })) yield peer;
  }

  /** Keeps the process alive while it is open (the default). */
  ref(): this {
    for (const { socket } of this.#shards) socket.ref();
    return this;
  }

  /** Lets the process end although it is open. */
  unref(): this {
    for (const { socket } of this.#shards) socket.unref();
    return this;
  }

  // ---- Events of the sockets ---------------------------------------------------------------------------------------

  #sinkOf(shard: Shard<C>): SocketSink {
    const { peers } = shard;
    return {
      message: (slot, generation, channel, data) => this.#message(peers, slot, generation, channel, data),
      batch: (listener, slab, descriptors, count) => {
        guard(this, 'onBatch', () => listener(slab, descriptors, count, shard.socket.shard));
      },
      connect: (slot, generation, record) => this.#connect(shard, slot, generation, record),
      disconnect: (slot, generation, result, bytes) => {
        const peer = peers.at(slot, generation);
        if (peer === undefined) return;
        this.#end(peers, peer, { result: disconnectResultName(result), ...readDisconnect(bytes) });
      },
      consume: (slot, generation, bytes) => void this.#consume(shard.socket, slot, generation, bytes),
      secretWanted: (slot, generation, secretId) => {
        const peer = peers.at(slot, generation);
        if (peer !== undefined) this.#secretWanted(peer, secretId);
      },
      keyUpdated: (slot, generation, info) => {
        const peer = peers.at(slot, generation);
        if (peer !== undefined) guard(this, 'keyUpdate', () => this.emit('keyUpdate', peer, info));
      },
      drain: (slot, generation) => {
        const peer = peers.at(slot, generation);
        if (peer !== undefined) guard(this, 'drain', () => this.emit('drain', peer));
      },
      stopped: () => this.#stopped(peers),
      connectFailed: unexpected,
      state: unexpected,
      goaway: unexpected,
    };
  }

  #message(
    peers: SlotTable<Peer<C>>,
    slot: number,
    generation: number,
    channel: number,
    data: Uint8Array,
  ): void {
    const peer = peers.at(slot, generation);
    // The user may have disconnected it while the message waited in the batch.
    if (peer === undefined || !peer.connected) return;
    const entry = this.#channels.entries[channel];
    if (entry === undefined) return;
    // Value and name come from the same entry, which types cannot follow.
    const emitter = this as unknown as MessageEmitter<C>;
    let value: unknown = data;
    if (!entry.raw) {
      try {
        value = entry.codec.decode(data);
        isolatePromise(value, (error) => reportListenerError(this, error, 'decode'));
      } catch (error) {
        peer.carrier.countUndecodable();
        guard(this, 'invalidMessage', () => emitter.emit('invalidMessage', peer, error, entry.name));
        return;
      }
    }
    try {
      emitter.emit('message', peer, value, entry.name);
    } catch (error) {
      reportListenerError(this, error, 'message');
    }
  }

  #connect({ peers, records, socket }: Shard<C>, slot: number, generation: number, record: Uint8Array): void {
    if (record.length === 0) {
      // Its bytes went away with the slab of the batch: who it is cannot be told any more, so it cannot stay.
      socket.disconnect(slot, generation, disconnectCodes.NONE, '', 0);
      return;
    }
    const peer = new Peer<C>(socket, records, slot, generation, record);
    peers.put(slot, generation, peer);
    if (channels.peerConnect.hasSubscribers) channels.peerConnect.publish({ address: this.address, peer });
    guard(this, 'connect', () => this.emit('connect', peer));
    if (this.#farewell !== undefined) peer.goaway(this.#farewell);
  }

  #end(peers: SlotTable<Peer<C>>, peer: Peer<C>, info: DisconnectInfo): void {
    peers.delete(peer.slot, peer.generation);
    endPeer(peer);
    if (channels.peerDisconnect.hasSubscribers) {
      channels.peerDisconnect.publish({ address: this.address, peer, info });
    }
    guard(this, 'disconnect', () => this.emit('disconnect', peer, info));
    if (this.#peers.size === 0) this.#onEmpty?.();
  }

  async #consume(socket: Socket, slot: number, generation: number, bytes: Uint8Array): Promise<void> {
    let verdict: number = consumeVerdict.historyFull;
    try {
      const tokenId = bytes.slice(0, 32);
      const expireMs = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(32, true));
      const consumed: unknown = await this.#plan.tokenHistory?.consume(tokenId, expireMs);
      if (typeof consumed !== 'boolean')
        throw argumentError('the answer of tokenHistory', 'a boolean', describe(consumed));
      verdict = consumed ? consumeVerdict.consumed : consumeVerdict.alreadyUsed;
    } catch (error) {
      reportListenerError(this, error, 'tokenHistory');
    }
    socket.completeConsumption(slot, generation, verdict);
  }

  #secretWanted(peer: Peer<C>, secretId: Uint8Array): void {
    void peer.carrier.keyUpdates.provide(
      peer.slot,
      peer.generation,
      secretId,
      (id) => this.#plan.secretOf?.(id, peer),
      (error) => reportListenerError(this, error, 'secretOf'),
    );
  }

  /** One of the sockets is closed; with the last of them, the server is. */
  #stopped(peers: SlotTable<Peer<C>>): void {
    --this.#open;
    for (const peer of peers) {
      const code = disconnectCodes.SHUTTING_DOWN;
      this.#end(peers, peer, { result: 'closed', code, reason: '', reconnectSpreadMs: 0 });
    }
    if (this.#open > 0) return;
    this.#plan.signal?.removeEventListener('abort', this.#onAbort);
    this.#onEmpty?.();
    guard(this, 'close', () => this.emit('close'));
    this.#resolveClosed();
  }
}

type CheckedDrainOptions = DrainOptions & Required<Pick<DrainOptions, 'deadlineMs' | 'reconnectSpreadMs'>>;

function checkDrainOptions(options: DrainOptions): CheckedDrainOptions {
  checkOptions('options', options, ['deadlineMs', 'elsewhere', 'reconnectSpreadMs']);
  const deadlineMs = checkInteger('deadlineMs', options.deadlineMs ?? 10_000, 0, dayMs);
  if (options.elsewhere !== undefined) parseDestination(options.elsewhere, 'elsewhere');
  const reconnectSpreadMs = checkReconnectSpread(options.reconnectSpreadMs);
  return { ...options, deadlineMs, reconnectSpreadMs };
}

function describeStranger(peer: unknown): string {
  return peer instanceof Peer ? 'a peer of another server' : describe(peer);
}

function unexpected(): never {
  throw new Error('the addon reported an event of a client to a server');
}

function closedError(): HawserError {
  return new HawserError('ERR_HAWSER_CLOSED', 'the server is closed or closing');
}
