// One UDP socket with its shard of the protocol, seen from JavaScript: the life of the native endpoint, the way out (records) and
// the way in (batches of events). Server and Client are what it serves.

import { textFromBinary } from '../base/address.js';
import { describe } from '../base/check.js';
import { HawserError, type HawserErrorCode } from '../base/errors.js';
import { answerOf } from '../base/isolate.js';
import type { ChannelEntry, ChannelTable } from './channels.js';
import { channels } from './diagnostics.js';
import { readDisconnect } from './event-bytes.js';
import { type KeyUpdateInfo, KeyUpdates, readKeyUpdate } from './key-update.js';
import {
  confirmResult,
  eventKind,
  loadAddon,
  type NativeConnectOptions,
  type NativeEndpoint,
  type NativeEndpointOptions,
  type NativeHandle,
  type NativeServerKey,
  peerFlag,
  sendStatus,
  statusCell,
  statusCells,
} from './native.js';
import { netcodeMessageBytes } from './netcode.js';
import type { Network } from './network.js';
import type { QueueFullPolicy, ServerLimits } from './options.js';
import {
  type ConnectResult,
  disconnectCodes,
  disconnectResultName,
  type SocketMode,
  type SocketState,
} from './results.js';
import { type DropReason, dropReasons, StatsReader, type TransportStats } from './stats.js';
import { Waiting } from './waiting.js';

/** Words of one event descriptor: kind | argument << 8, slot, generation, offset, length, 0. */
export const descriptorWords = 6;

/** Words of `NativeEndpoint.txHeader`. */
const txUsed = 0;
const txRecords = 1;
const txWritable = 2;
const recordHeaderBytes = 16;
/** With the flag `extended`. */
const extendedHeaderBytes = 24;
const extended = 1 << 16;

/** What is longer is not written as a record: it would be copied twice for little. */
const longMessageBytes = 65_536;

const dropReportMs = 1000;

/**
 * A raw batch of events for `onBatch`. Everything in it is valid during the call only.
 *
 * @param slab the bytes of the events.
 * @param descriptors six words per event: kind | argument << 8, slot, generation, offset in the slab, length, 0. Messages are
 * of kind 1, with the number of the channel (its place in the declaration, from 0) as the argument; slot and generation are those of the peer. Other kinds come as events.
 * @param count how many events there are.
 * @param shard the I/O thread that the peers belong to: slots are its own. Always 0 unless a server has several `threads`.
 */
export type BatchListener = (
  slab: Uint8Array,
  descriptors: Uint32Array,
  count: number,
  shard: number,
) => void;

/** Who takes the events of a socket. `bytes` lie in the slab: valid during the call only. No function may throw. */
export interface SocketSink {
  message(slot: number, generation: number, channel: number, data: Uint8Array): void;
  batch(listener: BatchListener, slab: Uint8Array, descriptors: Uint32Array, count: number): void;
  connect(slot: number, generation: number, record: Uint8Array): void;
  disconnect(slot: number, generation: number, result: number, bytes: Uint8Array): void;
  connectFailed(slot: number, generation: number, result: number, bytes: Uint8Array): void;
  state(slot: number, generation: number, state: number, bytes: Uint8Array): void;
  goaway(slot: number, generation: number, bytes: Uint8Array): void;
  consume(slot: number, generation: number, bytes: Uint8Array): void;
  secretWanted(slot: number, generation: number, secretId: Uint8Array): void;
  keyUpdated(slot: number, generation: number, info: KeyUpdateInfo): void;
  /** A peer whose `send` returned false has room again. */
  drain(slot: number, generation: number): void;
  /** STOPPED; nothing follows. */
  stopped(): void;
}

/** What is JavaScript's own affair in a socket. */
export interface SocketSettings {
  readonly channels: ChannelTable;
  readonly maxQueuedBytes: number;
  readonly onQueueFull: QueueFullPolicy;
  readonly copy: boolean;
  readonly debug: boolean;
  readonly onBatch: BatchListener | undefined;
  readonly network: Network | undefined;
}

/** A storage of the addon, seen as typed arrays. */
interface Storage {
  readonly descriptors: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

/** Memory for transmit records. The clients on the event loop of a thread share one. */
interface TransmitRecords {
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
  /** Whose records are in it. */
  writer: Socket | undefined;
}

const transmitRecords = new WeakMap<ArrayBuffer, TransmitRecords>();

function transmitRecordsIn(memory: ArrayBuffer): TransmitRecords {
  let records = transmitRecords.get(memory);
  if (records === undefined) {
    records = { bytes: new Uint8Array(memory), words: new Uint32Array(memory), writer: undefined };
    transmitRecords.set(memory, records);
  }
  return records;
}

/** By their slabs: made once for each, for the addon uses the same ones in turn. */
const storages = new WeakMap<ArrayBuffer, Storage>();

function storageOf(slab: ArrayBuffer, descriptors: ArrayBuffer): Storage {
  const known = storages.get(slab);
  if (known?.descriptors === descriptors) return known;
  const storage = { descriptors, bytes: new Uint8Array(slab), words: new Uint32Array(descriptors) };
  storages.set(slab, storage);
  return storage;
}

/** What `Socket.status` returns. */
const statusOut = new Float64Array(statusCells);

export class Socket {
  readonly mode: SocketMode;
  /** Which shard of its server it is; 0 for clients. */
  readonly shard: number;
  readonly channels: ChannelTable;
  readonly keyUpdates: KeyUpdates;
  /** The longest message that fits into one packet on every path. */
  readonly #packetMessageBytes: number;
  readonly #firstNetcodeSlot: number;
  readonly #maxQueuedBytes: number;
  readonly #onQueueFull: QueueFullPolicy;
  readonly #native: NativeEndpoint;
  readonly #sink: SocketSink;
  readonly #copy: boolean;
  readonly #debug: boolean;
  readonly #onBatch: BatchListener | undefined;
  readonly #stats: StatsReader;
  readonly #records: TransmitRecords;
  readonly #txHeader: Uint32Array;
  readonly #peerFlags: Uint8Array;
  readonly #peerMaxUnreliable: Uint16Array;
  readonly #waiting = new Waiting();
  readonly #dropTimer: NodeJS.Timeout | undefined;
  /** Undefined where nobody wants to hear of drops. */
  readonly #reportedDrops: Map<DropReason, number> | undefined;
  readonly #bind: Uint8Array;
  readonly #network: Network | undefined;
  #address: string;
  #state: SocketState = 'RUNNING';

  /**
   * @param first shard 0 of the same server, for all others: they share its address and what a gateway knows.
   * @throws HawserError when the operating system refuses the socket, or there is no addon.
   */
  constructor(options: NativeEndpointOptions, settings: SocketSettings, sink: SocketSink, first?: Socket) {
    const addon = loadAddon();
    const native = first === undefined ? options : first.#shared(options);
    this.mode = options.mode === 'server' ? 'SERVER' : 'CLIENT';
    this.shard = options.shard;
    this.#sink = sink;
    this.channels = settings.channels;
    this.#maxQueuedBytes = settings.maxQueuedBytes;
    this.#onQueueFull = settings.onQueueFull;
    this.#copy = settings.copy;
    this.#debug = settings.debug;
    this.#onBatch = settings.onBatch;
    try {
      this.#native = new addon.NativeEndpoint(
        native,
        (slab, descriptors, count) => this.#deliver(slab, descriptors, count),
        () => this.#stopped(),
      );
    } catch (error) {
      throw socketError(error, native.bind);
    }
    this.#bind = native.bind;
    this.#network = settings.network;
    this.#address = textFromBinary(this.#native.localAddress());
    this.keyUpdates = new KeyUpdates(this.#native);
    this.#firstNetcodeSlot = options.maxSessions;
    this.#packetMessageBytes = addon.constants.maxMessageBytes;
    this.#stats = new StatsReader(
      this.#native.counters,
      addon.counterNames,
      this.#native.socketCounters,
      addon.socketCounterNames,
    );
    this.#records = transmitRecordsIn(this.#native.transmitRecords ?? addon.transmitRecords);
    this.#txHeader = this.#native.txHeader;
    this.#peerFlags = this.#native.peerFlags;
    this.#peerMaxUnreliable = this.#native.peerMaxUnreliable;
    this.#network?.attach(this.#native, this.#address);
    if (settings.debug || channels.drop.hasSubscribers) {
      this.#reportedDrops = new Map();
      this.#dropTimer = setInterval(() => this.#reportDrops(), dropReportMs).unref();
    }
    this.#publishState();
  }

  get state(): SocketState {
    return this.#state;
  }

  /** The bound address as text. */
  get address(): string {
    return this.#address;
  }

  /**
   * Goes over to a socket with another port (clients only).
   *
   * @throws HawserError ERR_HAWSER_CLOSED, or as the constructor; nothing has changed then.
   */
  rebind(): void {
    if (this.#state !== 'RUNNING')
      throw new HawserError('ERR_HAWSER_CLOSED', 'the client is closed or closing');
    try {
      this.#native.rebind();
    } catch (error) {
      throw socketError(error, this.#bind);
    }
    const before = this.#address;
    this.#address = textFromBinary(this.#native.localAddress());
    this.#network?.moved(this.#native, before, this.#address);
  }

  /** What another shard of the same server is opened with. */
  #shared(options: NativeEndpointOptions): NativeEndpointOptions {
    return { ...options, bind: this.#native.localAddress(), gateway: this.#native };
  }

  // ---- Out ---------------------------------------------------------------------------------------------------------

  /**
   * Writes one message as a record; it leaves at the end of this turn of the event loop.
   *
   * @param ttlMs 0 for none; otherwise, as with `confirm`, the channel is reliable.
   * @param confirm an id for its confirmation; 0 for none.
   * @returns whether to go on; false means to wait for `drain`.
   * @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_MESSAGE_TOO_LONG; ERR_HAWSER_QUEUE_FULL where `onQueueFull` is `throw`.
   */
  send(
    slot: number,
    generation: number,
    channel: ChannelEntry,
    data: Uint8Array,
    ttlMs: number,
    confirm: number,
  ): boolean {
    return this.#trySend(slot, generation, channel, data, ttlMs, confirm) ?? false;
  }

  /**
   * As `send`, for protocols that take it for granted that what was not refused is on its way while the connection lives.
   *
   * @throws HawserError as `send`; ERR_HAWSER_QUEUE_FULL also where `onQueueFull` is `drop`.
   */
  sendOrRefuse(slot: number, generation: number, channel: ChannelEntry, data: Uint8Array): boolean {
    const sent = this.#trySend(slot, generation, channel, data, 0, 0);
    if (sent === undefined && this.#onQueueFull === 'drop') throw this.#queueFull();
    return sent ?? false;
  }

  /** @returns as `send`; undefined when the message was discarded because the queue is full. */
  #trySend(
    slot: number,
    generation: number,
    channel: ChannelEntry,
    data: Uint8Array,
    ttlMs: number,
    confirm: number,
  ): boolean | undefined {
    const length = this.#lengthOf(data, channel, slot);
    if (length > longMessageBytes) return this.#sendLong(slot, generation, channel, data, ttlMs, confirm);
    const records = this.#records;
    if (records.writer !== this) this.#takeOver(records);
    const txHeader = this.#txHeader;
    const header = ttlMs !== 0 || confirm !== 0 ? extendedHeaderBytes : recordHeaderBytes;
    const padded = (header + length + 3) & ~3;
    let used = txHeader[txUsed] ?? 0;
    if (used === 0 || used + padded > records.bytes.length) {
      if (this.#state === 'STOPPED') return false;
      if (used !== 0) this.#native.flush();
      this.#native.arm();
      used = 0;
    }
    const flags = channel.queued ? (this.#peerFlags[slot] ?? 0) : 0;
    if ((flags & peerFlag.full) !== 0 && this.#discards(slot, generation)) return undefined;
    const { words } = records;
    const word = used >>> 2;
    words[word] = slot;
    words[word + 1] = generation;
    words[word + 3] = length;
    if (header === recordHeaderBytes) {
      words[word + 2] = channel.number;
    } else {
      words[word + 2] = channel.number | extended;
      words[word + 4] = ttlMs;
      words[word + 5] = confirm;
    }
    records.bytes.set(data, used + header);
    txHeader[txUsed] = used + padded;
    txHeader[txRecords] = (txHeader[txRecords] ?? 0) + 1;
    return (txHeader[txWritable] !== 0 && (flags & peerFlag.wait) === 0) || this.#wait(slot, generation);
  }

  /** Has the socket that wrote last hand its records over: the memory is this one's then. */
  #takeOver(records: TransmitRecords): void {
    const { writer } = records;
    if (writer !== undefined && writer.#txHeader[txUsed] !== 0) writer.#native.takeRecords();
    records.writer = this;
  }

  #sendLong(
    slot: number,
    generation: number,
    channel: ChannelEntry,
    data: Uint8Array,
    ttlMs: number,
    confirm: number,
  ): boolean | undefined {
    if (this.#state === 'STOPPED') return false;
    // What was sent before must leave before.
    if (this.#txHeader[txUsed] !== 0) this.#native.flush();
    const flags = channel.queued ? (this.#peerFlags[slot] ?? 0) : 0;
    if ((flags & peerFlag.full) !== 0 && this.#discards(slot, generation)) return undefined;
    const status = this.#native.sendLong(slot, generation, channel.number, data, ttlMs, confirm);
    if (status === sendStatus.queueFull) {
      // The addon has counted it, or disconnected the peer.
      this.#oweDrain(slot, generation);
      if (this.#onQueueFull === 'throw') throw this.#queueFull();
      return undefined;
    }
    return this.#hasRoom(slot, channel) || this.#wait(slot, generation);
  }

  /** As `send`, but throws when the message was discarded. @returns a promise of the acknowledgement. The peer is connected, as far as its owner knows. */
  sendConfirmed(
    slot: number,
    generation: number,
    channel: ChannelEntry,
    data: Uint8Array,
    ttlMs: number,
  ): Promise<void> {
    const id = this.#waiting.nextId(slot, generation);
    const sent = this.#trySend(slot, generation, channel, data, ttlMs, id);
    if (sent === undefined) throw this.#queueFull();
    return this.#waiting.confirm(slot, generation, id);
  }

  /** Resolves when `send` would return true. The peer is connected, as far as its owner knows. */
  async sent(slot: number, generation: number): Promise<void> {
    if (!this.#hasRoom(slot)) await this.#waiting.room(slot, generation);
  }

  /**
   * @param handles pairs of slot and generation, or null for every connected peer.
   * @param ttlMs 0 for none.
   * @returns to how many it was sent.
   */
  broadcast(channel: ChannelEntry, data: Uint8Array, handles: Uint32Array | null, ttlMs: number): number {
    this.#lengthOf(data, channel);
    if (this.#state === 'STOPPED') return 0;
    // What was sent before must leave before.
    if (this.#txHeader[txUsed] !== 0) this.#native.flush();
    return this.#native.broadcast(channel.number, data, handles, ttlMs);
  }

  /** The longest message of an unreliable channel that the path to a peer carries, in bytes; for a peer that is gone, the least. */
  maxUnreliableBytes(slot: number, generation: number): number {
    // With netcode always the same, so that a message of that size to a peer that is gone is dropped as others are.
    const isGone = slot < this.#firstNetcodeSlot && !this.#isConnected(slot, generation);
    return isGone ? this.#packetMessageBytes : this.#longestTo(slot);
  }

  /** @throws HawserError when it is no message of that channel, to that peer or to any. */
  #lengthOf(data: Uint8Array, channel: ChannelEntry, slot?: number): number {
    if (!(data instanceof Uint8Array)) {
      answerOf(data);
      const what = channel.raw ? 'data must be' : `encode of the codec '${channel.codec.name}' must return`;
      throw new HawserError('ERR_HAWSER_ARGUMENT', `${what} a Uint8Array; got ${describe(data)}`);
    }
    const { length } = data;
    const unreliable = channel.maxMessageBytes === 0;
    const usual = unreliable ? this.#packetMessageBytes : channel.maxMessageBytes;
    if (length <= usual) return length;
    const limit = unreliable && slot !== undefined ? this.#longestTo(slot) : usual;
    if (length <= limit) return length;
    throw new HawserError(
      'ERR_HAWSER_MESSAGE_TOO_LONG',
      `a message of the channel '${channel.name}' must be at most ${limit} bytes${unreliable ? ' to fit into one datagram' : ''}; got ${length}`,
    );
  }

  /**
   * As `maxUnreliableBytes`, without a call of the addon. The addon writes this cell at once, so it may be newer than the published status.
   * For a peer that is gone, it may be that of the next peer in the same slot.
   */
  #longestTo(slot: number): number {
    if (slot >= this.#firstNetcodeSlot) return netcodeMessageBytes;
    return Math.max(this.#packetMessageBytes, this.#peerMaxUnreliable[slot] ?? 0);
  }

  /** Whether `send` would return true on that channel, or on every one. */
  #hasRoom(slot: number, channel?: ChannelEntry): boolean {
    if (this.#txHeader[txWritable] === 0) return false;
    return channel?.queued === false || ((this.#peerFlags[slot] ?? 0) & peerFlag.wait) === 0;
  }

  /** @returns false, and owes `drain` for it. */
  #wait(slot: number, generation: number): false {
    if (!this.#waiting.isDrainOwed(slot, generation)) this.#oweDrain(slot, generation);
    return false;
  }

  #oweDrain(slot: number, generation: number): void {
    if (this.#isConnected(slot, generation)) this.#waiting.oweDrain(slot, generation);
  }

  /**
   * The flags say that the slot's queue is full. A peer that was not sent to since its user was asked to wait gets one more message, so
   * that nobody is refused whose last `send` returned true. The slot may also be another peer's by now.
   *
   * @returns whether the message goes no further.
   * @throws HawserError ERR_HAWSER_QUEUE_FULL where `onQueueFull` is `throw`.
   */
  #discards(slot: number, generation: number): boolean {
    if (!this.#waiting.isDrainOwed(slot, generation) || !this.#isConnected(slot, generation)) return false;
    if (this.#onQueueFull === 'throw') throw this.#queueFull();
    ++this.#stats.queueFull;
    if (this.#onQueueFull === 'disconnect') {
      const reason = 'more is queued or unacknowledged than maxQueuedBytes allows';
      this.disconnect(slot, generation, disconnectCodes.SLOW_CONSUMER, reason, 0);
    }
    return true;
  }

  #queueFull(): HawserError {
    return new HawserError(
      'ERR_HAWSER_QUEUE_FULL',
      `more than ${this.#maxQueuedBytes} bytes (maxQueuedBytes) are queued or unacknowledged for the peer; wait for drain or sent()`,
    );
  }

  #isConnected(slot: number, generation: number): boolean {
    return this.status(slot, generation)[statusCell.connected] !== 0;
  }

  // ---- In ----------------------------------------------------------------------------------------------------------

  #deliver(slab: ArrayBuffer, descriptors: ArrayBuffer, count: number): void {
    const { bytes, words } = storageOf(slab, descriptors);
    // First, because a listener may transfer the slab away: nobody should wait for ever for what was in it.
    if (this.#waiting.forConfirms) this.#settleConfirms(bytes, words, count);
    const raw = this.#onBatch;
    if (raw !== undefined) this.#sink.batch(raw, bytes, words, count);
    const end = count * descriptorWords;
    for (let at = 0; at < end; at += descriptorWords) {
      const head = words[at] ?? 0;
      const slot = words[at + 1] ?? 0;
      const generation = words[at + 2] ?? 0;
      const offset = words[at + 3] ?? 0;
      const length = words[at + 4] ?? 0;
      if ((head & 0xff) !== eventKind.message) {
        // A listener may have transferred the slab away: then the rest of this batch has lost its bytes.
        const content = bytes.length === 0 ? bytes : bytes.subarray(offset, offset + length);
        this.#control(head & 0xff, head >>> 8, slot, generation, content);
      } else if (raw === undefined) {
        if (bytes.length === 0) {
          ++this.#stats.local.slabDetached;
        } else if (this.#copy) {
          this.#sink.message(slot, generation, head >>> 8, bytes.slice(offset, offset + length));
        } else {
          this.#sink.message(slot, generation, head >>> 8, new Uint8Array(slab, offset, length));
          if (this.#debug) bytes.fill(0xdd, offset, offset + length);
        }
      }
    }
  }

  #control(kind: number, argument: number, slot: number, generation: number, bytes: Uint8Array): void {
    const sink = this.#sink;
    switch (kind) {
      case eventKind.connect:
        sink.connect(slot, generation, bytes);
        break;
      case eventKind.disconnect:
        this.#waiting.end(slot, generation, () => ({
          result: disconnectResultName(argument),
          ...readDisconnect(bytes),
        }));
        this.keyUpdates.ended(slot, generation);
        sink.disconnect(slot, generation, argument, bytes);
        break;
      case eventKind.connectFailed:
        sink.connectFailed(slot, generation, argument, bytes);
        break;
      case eventKind.state:
        sink.state(slot, generation, argument, bytes);
        break;
      case eventKind.drain:
        for (const [each, user] of this.#waiting.forRoom()) this.#release(each, user);
        break;
      case eventKind.peerDrain:
        this.#release(slot, generation);
        break;
      case eventKind.confirm:
        break;
      case eventKind.goaway:
        sink.goaway(slot, generation, bytes);
        break;
      case eventKind.consume:
        sink.consume(slot, generation, bytes);
        break;
      case eventKind.keyUpdated: {
        const info = readKeyUpdate(argument, bytes);
        if (info !== undefined) sink.keyUpdated(slot, generation, info);
        this.keyUpdates.updated(slot, generation, info?.epoch ?? 0);
        break;
      }
      case eventKind.keyUpdateRefused:
        this.keyUpdates.refused(slot, generation, argument);
        break;
      case eventKind.secretWanted:
        sink.secretWanted(slot, generation, bytes);
        break;
      default:
        throw new Error(`the addon reported an event of kind ${kind}, which does not exist`);
    }
  }

  #settleConfirms(bytes: Uint8Array, words: Uint32Array, count: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    const end = count * descriptorWords;
    for (let at = 0; at < end; at += descriptorWords) {
      const head = words[at] ?? 0;
      if ((head & 0xff) !== eventKind.confirm) continue;
      const slot = words[at + 1] ?? 0;
      const generation = words[at + 2] ?? 0;
      const offset = words[at + 3] ?? 0;
      const expired = head >>> 8 === confirmResult.expired;
      for (let id = offset; id < offset + (words[at + 4] ?? 0); id += 4) {
        this.#waiting.settle(slot, generation, view.getUint32(id, true), expired);
      }
    }
  }

  /** A peer may have room again; if it has not, because the other of the two reasons holds, that one's end is told too. */
  #release(slot: number, generation: number): void {
    if (this.#hasRoom(slot) && this.#waiting.release(slot, generation)) this.#sink.drain(slot, generation);
  }

  // ---- Peers -------------------------------------------------------------------------------------------------------

  /** @returns the result when no attempt can be begun. */
  connect(options: NativeConnectOptions): NativeHandle | ConnectResult {
    try {
      return this.#native.connect(options);
    } catch (cause) {
      const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
      const result = connectFailures[code];
      if (result === undefined) throw cause;
      return result;
    }
  }

  abort(slot: number, generation: number): void {
    if (this.#state !== 'STOPPED') this.#native.abort(slot, generation);
  }

  /** @param reconnectSpreadMs 0 on a client */
  disconnect(
    slot: number,
    generation: number,
    code: number,
    reason: string,
    reconnectSpreadMs: number,
  ): boolean {
    if (this.#state === 'STOPPED') return false;
    return this.#native.disconnect(slot, generation, code, reason, reconnectSpreadMs);
  }

  goaway(
    slot: number,
    generation: number,
    reason: number,
    deadlineMs: number,
    reconnectSpreadMs: number,
    to: Uint8Array | null,
  ): boolean {
    if (this.#state === 'STOPPED') return false;
    return this.#native.goaway(slot, generation, reason, deadlineMs, reconnectSpreadMs, to);
  }

  setPaused(slot: number, generation: number, channel: ChannelEntry, paused: boolean): void {
    if (this.#state !== 'STOPPED') this.#native.setPaused(slot, generation, channel.number, paused);
  }

  completeConsumption(slot: number, generation: number, verdict: number): void {
    if (this.#state !== 'STOPPED') this.#native.completeConsumption(slot, generation, verdict);
  }

  /** Cells as `NativeEndpoint.status`; all zero for a peer that is gone. Valid until the next call. */
  status(slot: number, generation: number): Float64Array {
    const status = statusOut;
    if (this.#state === 'STOPPED' || !this.#native.status(slot, generation, status)) status.fill(0);
    return status;
  }

  /** As `NativeEndpoint.figures`. */
  figures(handles: Uint32Array, figure: number, out: Float64Array): void {
    if (this.#state === 'STOPPED') out.fill(0);
    else this.#native.figures(handles, figure, out);
  }

  /** `host:port`; '' when the peer is gone. */
  remoteAddress(slot: number, generation: number): string {
    const binary = this.#state === 'STOPPED' ? null : this.#native.remoteAddress(slot, generation);
    return binary === null ? '' : textFromBinary(binary);
  }

  exportKey(slot: number, generation: number, label: string): Uint8Array | null {
    return this.#state === 'STOPPED' ? null : this.#native.exportKey(slot, generation, label);
  }

  /** Milliseconds of the session clock: monotonic, with an arbitrary origin. */
  nowMs(): number {
    return this.#state === 'STOPPED' ? 0 : this.#native.nowMicros() / 1000;
  }

  // ---- Capture: see capture.ts -------------------------------------------------------------------------------------

  /** As `NativeEndpoint.startCapture`. */
  startCapture(plaintext: boolean, snapLengthBytes: number, only: Uint8Array | null): boolean {
    return this.#native.startCapture(plaintext, snapLengthBytes, only);
  }

  /** As `NativeEndpoint.readCapture`. */
  readCapture(out: Uint8Array): number {
    return this.#native.readCapture(out);
  }

  /** As `NativeEndpoint.captureDropped`. */
  captureDropped(): number {
    return this.#native.captureDropped();
  }

  /** As `NativeEndpoint.stopCapture`. */
  stopCapture(): void {
    this.#native.stopCapture();
  }

  // ---- Life --------------------------------------------------------------------------------------------------------

  setKeys(keys: readonly NativeServerKey[]): void {
    if (this.#state !== 'STOPPED') this.#native.setKeys(keys);
  }

  /** Limits of this shard and, of peers, of all. */
  setLimits(limits: Required<ServerLimits>): void {
    const { maxPeers, maxPacketsPerSecondPerPeer, maxBytesPerSecondPerPeer } = limits;
    if (this.#state === 'STOPPED') return;
    this.#native.setLimits(maxPeers, maxPacketsPerSecondPerPeer, maxBytesPerSecondPerPeer);
  }

  startDraining(): void {
    if (this.#state === 'RUNNING') this.#native.startDraining();
  }

  /**
   * Begins STOPPING; the sink hears `stopped`. Does nothing unless RUNNING.
   *
   * @param reconnectSpreadMs 0 on a client
   */
  stop(code: number, reason: string, reconnectSpreadMs: number): void {
    if (this.#state !== 'RUNNING') return;
    if (this.#txHeader[txUsed] !== 0) this.#native.flush();
    this.#state = 'STOPPING';
    this.#publishState();
    this.#native.stop(code, reason, reconnectSpreadMs);
  }

  /** Closes at once and tells nobody, the sink included: for a server that cannot open all of its sockets. */
  close(): void {
    this.#native.close();
    this.#end();
  }

  ref(): void {
    if (this.#state !== 'STOPPED') this.#native.ref();
  }

  unref(): void {
    if (this.#state !== 'STOPPED') this.#native.unref();
  }

  stats(): TransportStats {
    return this.#stats.snapshot();
  }

  /** Bytes of native memory that this socket holds. */
  memoryBytes(): number {
    return this.#state === 'STOPPED' ? 0 : this.#native.memoryBytes();
  }

  /** A message was dropped because the codec of its channel refused it. */
  countUndecodable(): void {
    ++this.#stats.local.undecodable;
  }

  /** What the kernel granted of the wanted buffers. */
  grantedBuffers(): { readonly receiveBytes: number; readonly sendBytes: number } {
    return this.#state === 'STOPPED' ? { receiveBytes: 0, sendBytes: 0 } : this.#native.grantedBuffers();
  }

  #stopped(): void {
    this.#end();
    this.#sink.stopped();
  }

  #end(): void {
    this.#state = 'STOPPED';
    this.#txHeader[txUsed] = 0;
    if (this.#records.writer === this) this.#records.writer = undefined;
    this.#waiting.endAll({ result: 'closed', code: disconnectCodes.NONE, reason: '', reconnectSpreadMs: 0 });
    this.keyUpdates.stopped();
    clearInterval(this.#dropTimer);
    this.#reportDrops();
    this.#publishState();
  }

  #publishState(): void {
    if (!channels.socketState.hasSubscribers) return;
    const { mode, address, shard } = this;
    channels.socketState.publish({ mode, address, shard, state: this.#state });
  }

  // ---- Drops -------------------------------------------------------------------------------------------------------

  /** Publishes the drops since the last call. They are only counted where they happen. */
  #reportDrops(): void {
    const reported = this.#reportedDrops;
    if (reported === undefined) return;
    for (const reason of dropReasons) {
      const total = this.#stats.drop(reason);
      const count = total - (reported.get(reason) ?? 0);
      if (count === 0) continue;
      reported.set(reason, total);
      channels.drop.publish({ address: this.address, shard: this.shard, reason, count });
    }
  }
}

/** By the codes of `NativeEndpoint.connect`. */
const connectFailures: Readonly<Record<string, ConnectResult>> = {
  TOKEN_INVALID: 'tokenInvalid',
  ADDRESS_IN_USE: 'addressInUse',
  ABORTED: 'aborted',
};

const systemErrors: Readonly<Record<string, readonly [HawserErrorCode, string]>> = {
  EADDRINUSE: [
    'ERR_HAWSER_ADDRESS_IN_USE',
    'another socket is bound to it; choose another port, or see who holds it with "ss -ulpn"',
  ],
  EACCES: ['ERR_HAWSER_PERMISSION', 'this process may not bind it; choose a port of 1024 or above'],
  EPERM: ['ERR_HAWSER_PERMISSION', 'this process may not bind it; choose a port of 1024 or above'],
  EADDRNOTAVAIL: [
    'ERR_HAWSER_ADDRESS_NOT_AVAILABLE',
    'it does not belong to any interface of this machine; bind one that does, or 0.0.0.0',
  ],
  EMFILE: ['ERR_HAWSER_TOO_MANY_FILES', 'the process has no file descriptor left; raise "ulimit -n"'],
  ENFILE: ['ERR_HAWSER_TOO_MANY_FILES', 'the system has no file descriptor left; raise fs.file-max'],
  'pthread_create ENOTSUP': [
    'ERR_HAWSER_SYSTEM',
    'I/O threads need Linux; leave driver out, for the event loop works everywhere',
  ],
  'pthread_create EAGAIN': [
    'ERR_HAWSER_SYSTEM',
    'the system has no room for another I/O thread; raise "ulimit -u", or take fewer threads',
  ],
};

/** What the addon's constructor threw, as an error of ours. */
function socketError(cause: unknown, bind: Uint8Array): unknown {
  if (!(cause instanceof Error)) return cause;
  const code = 'code' in cause ? String(cause.code) : '';
  const call = 'syscall' in cause ? String(cause.syscall) : '';
  const [ours, advice] = systemErrors[`${call} ${code}`] ??
    systemErrors[code] ?? ['ERR_HAWSER_SYSTEM', cause.message];
  return new HawserError(ours, `cannot open a UDP socket on ${textFromBinary(bind)}: ${advice}`, { cause });
}
