// One UDP socket with its shard of the protocol, seen from JavaScript: the life of the native endpoint, the way out (the tx
// slab) and the way in (batches of events). Server and Client are what it serves.

import { addressFromBinary, formatAddress } from '../base/address.js';
import { describe } from '../base/check.js';
import { HawserError, type HawserErrorCode } from '../base/errors.js';
import { channels } from './diagnostics.js';
import {
  eventKind,
  loadAddon,
  type NativeConnectOptions,
  type NativeEndpoint,
  type NativeEndpointOptions,
  type NativeHandle,
  type NativeServerKey,
} from './native.js';
import type { Network } from './network.js';
import type { SocketMode, SocketState } from './results.js';
import { type DropReason, dropReasons, StatsReader, type TransportStats } from './stats.js';

/** Words of one event descriptor: kind | argument << 8, slot, generation, offset, length, 0. */
export const descriptorWords = 6;

/** Words of the header of the tx slab, as `NativeEndpoint.txSlab` lays it out. */
const txUsed = 0;
const txRecords = 1;
const txWritable = 2;
const recordHeaderBytes = 16;

const dropReportMs = 1000;

/**
 * A raw batch of events for `onBatch`. Everything in it is valid during the call only.
 *
 * @param slab the bytes of the events.
 * @param descriptors six words per event: kind | argument << 8, slot, generation, offset in the slab, length, 0. Messages are
 * of kind 1, with the channel as the argument; slot and generation are those of the peer. Other kinds come as events.
 * @param count how many events there are.
 */
export type BatchListener = (slab: Uint8Array, descriptors: Uint32Array, count: number) => void;

/** Who takes the events of a socket. `bytes` lie in the slab: valid during the call only. No function may throw. */
export interface SocketSink {
  message(slot: number, generation: number, channel: number, data: Uint8Array): void;
  batch(listener: BatchListener, slab: Uint8Array, descriptors: Uint32Array, count: number): void;
  connect(slot: number, generation: number, record: Uint8Array): void;
  disconnect(slot: number, generation: number, result: number, bytes: Uint8Array): void;
  connectFailed(slot: number, generation: number, result: number, bytes: Uint8Array): void;
  state(slot: number, generation: number, state: number): void;
  goaway(slot: number, generation: number, bytes: Uint8Array): void;
  consume(slot: number, generation: number, bytes: Uint8Array): void;
  drain(): void;
  /** STOPPED; nothing follows. */
  stopped(): void;
}

/** What is JavaScript's own affair in a socket. */
export interface SocketSettings {
  readonly copy: boolean;
  readonly debug: boolean;
  readonly onBatch: BatchListener | undefined;
  readonly network: Network | undefined;
}

/** The two storages of the addon, seen as typed arrays; made once for each buffer. */
interface Storage {
  readonly slab: ArrayBuffer;
  readonly descriptors: ArrayBuffer;
  readonly bytes: Uint8Array;
  readonly words: Uint32Array;
}

export class Socket {
  readonly mode: SocketMode;
  /** The bound address as text. */
  readonly address: string;
  readonly maxMessageBytes: number;
  readonly #native: NativeEndpoint;
  readonly #sink: SocketSink;
  readonly #copy: boolean;
  readonly #debug: boolean;
  readonly #onBatch: BatchListener | undefined;
  readonly #stats: StatsReader;
  readonly #txBytes: Uint8Array;
  readonly #txWords: Uint32Array;
  readonly #txHeaderBytes: number;
  readonly #txRoomBytes: number;
  readonly #dropTimer: NodeJS.Timeout | undefined;
  readonly #reportedDrops = new Map<DropReason, number>();
  readonly #storages: Storage[] = [];
  readonly #status = new Float64Array(8);
  #state: SocketState = 'RUNNING';

  /** @throws HawserError when the operating system refuses the socket, or there is no addon. */
  constructor(options: NativeEndpointOptions, settings: SocketSettings, sink: SocketSink) {
    const addon = loadAddon();
    this.mode = options.mode === 'server' ? 'SERVER' : 'CLIENT';
    this.#sink = sink;
    this.#copy = settings.copy;
    this.#debug = settings.debug;
    this.#onBatch = settings.onBatch;
    try {
      this.#native = new addon.NativeEndpoint(
        options,
        (slab, descriptors, count) => this.#deliver(slab, descriptors, count),
        () => this.#stopped(),
      );
    } catch (error) {
      throw socketError(error, options.bind);
    }
    this.address = textOf(this.#native.localAddress());
    this.maxMessageBytes = addon.constants.maxMessageBytes;
    this.#stats = new StatsReader(
      this.#native.counters,
      addon.counterNames,
      this.#native.socketCounters,
      addon.socketCounterNames,
    );
    this.#txBytes = new Uint8Array(this.#native.txSlab);
    this.#txWords = new Uint32Array(this.#native.txSlab);
    this.#txHeaderBytes = addon.constants.txHeaderBytes;
    this.#txRoomBytes = this.#txBytes.length - this.#txHeaderBytes;
    settings.network?.attach(this.#native, this.address);
    this.#dropTimer = this.#watchDrops(settings.debug);
    this.#publishState();
  }

  get state(): SocketState {
    return this.#state;
  }

  // ---- Out ---------------------------------------------------------------------------------------------------------

  /**
   * Writes one message into the tx slab; it leaves at the end of this turn of the event loop.
   *
   * @returns whether to go on; false means to wait for `drain`.
   */
  send(slot: number, generation: number, data: Uint8Array): boolean {
    const length = this.#lengthOf(data);
    const words = this.#txWords;
    let used = words[txUsed] ?? 0;
    const padded = (recordHeaderBytes + length + 3) & ~3;
    if (used === 0 || used + padded > this.#txRoomBytes) {
      if (this.#state === 'STOPPED') return false;
      if (used !== 0) this.#native.flush();
      this.#native.arm();
      used = 0;
    }
    const at = this.#txHeaderBytes + used;
    const word = at >>> 2;
    words[word] = slot;
    words[word + 1] = generation;
    words[word + 2] = 0;
    words[word + 3] = length;
    this.#txBytes.set(data, at + recordHeaderBytes);
    words[txUsed] = used + padded;
    words[txRecords] = (words[txRecords] ?? 0) + 1;
    return words[txWritable] !== 0;
  }

  /** @param handles pairs of slot and generation, or null for every connected peer. */
  broadcast(data: Uint8Array, handles: Uint32Array | null): number {
    this.#lengthOf(data);
    if (this.#state === 'STOPPED') return 0;
    // What was sent before must leave before.
    if (this.#txWords[txUsed] !== 0) this.#native.flush();
    return this.#native.broadcast(0, data, handles);
  }

  #lengthOf(data: Uint8Array): number {
    if (!(data instanceof Uint8Array)) {
      throw new HawserError('ERR_HAWSER_ARGUMENT', `data must be a Uint8Array; got ${describe(data)}`);
    }
    const length = data.length;
    if (length > this.maxMessageBytes) {
      throw new HawserError(
        'ERR_HAWSER_MESSAGE_TOO_LONG',
        `data must be at most ${this.maxMessageBytes} bytes to fit into one datagram; got ${length}`,
      );
    }
    return length;
  }

  // ---- In ----------------------------------------------------------------------------------------------------------

  #deliver(slab: ArrayBuffer, descriptors: ArrayBuffer, count: number): void {
    const { bytes, words } = this.#storageOf(slab, descriptors);
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
          ++this.#stats.slabDetached;
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
        sink.disconnect(slot, generation, argument, bytes);
        break;
      case eventKind.connectFailed:
        sink.connectFailed(slot, generation, argument, bytes);
        break;
      case eventKind.state:
        sink.state(slot, generation, argument);
        break;
      case eventKind.drain:
        sink.drain();
        break;
      case eventKind.goaway:
        sink.goaway(slot, generation, bytes);
        break;
      case eventKind.consume:
        sink.consume(slot, generation, bytes);
        break;
      default:
        throw new Error(`the addon reported an event of kind ${kind}, which does not exist`);
    }
  }

  #storageOf(slab: ArrayBuffer, descriptors: ArrayBuffer): Storage {
    const storages = this.#storages;
    for (let index = 0; index < storages.length; ++index) {
      const storage = storages[index];
      if (storage !== undefined && storage.slab === slab && storage.descriptors === descriptors)
        return storage;
    }
    // More than two means that one was detached and replaced: only the newest are alive.
    if (storages.length > 2) storages.shift();
    const storage = { slab, descriptors, bytes: new Uint8Array(slab), words: new Uint32Array(descriptors) };
    storages.push(storage);
    return storage;
  }

  // ---- Peers -------------------------------------------------------------------------------------------------------

  /** @throws HawserError ERR_HAWSER_TOKEN_INVALID. */
  connect(options: NativeConnectOptions): NativeHandle {
    try {
      return this.#native.connect(options);
    } catch (cause) {
      const message = 'the connect token is invalid, or for another protocol id';
      throw new HawserError('ERR_HAWSER_TOKEN_INVALID', message, { cause });
    }
  }

  abort(slot: number, generation: number): void {
    if (this.#state !== 'STOPPED') this.#native.abort(slot, generation);
  }

  disconnect(slot: number, generation: number, code: number, reason: string): boolean {
    if (this.#state === 'STOPPED') return false;
    if (this.#txWords[txUsed] !== 0) this.#native.flush();
    return this.#native.disconnect(slot, generation, code, reason);
  }

  goaway(
    slot: number,
    generation: number,
    reason: number,
    deadlineMs: number,
    to: Uint8Array | null,
  ): boolean {
    return this.#state !== 'STOPPED' && this.#native.goaway(slot, generation, reason, deadlineMs, to);
  }

  completeConsumption(slot: number, generation: number, verdict: number): void {
    if (this.#state !== 'STOPPED') this.#native.completeConsumption(slot, generation, verdict);
  }

  /** Cells as `NativeEndpoint.status`; all zero for a peer that is gone. Valid until the next call. */
  status(slot: number, generation: number): Float64Array {
    const status = this.#status;
    if (this.#state === 'STOPPED' || !this.#native.status(slot, generation, status)) status.fill(0);
    return status;
  }

  exportKey(slot: number, generation: number, label: string): Uint8Array | null {
    return this.#state === 'STOPPED' ? null : this.#native.exportKey(slot, generation, label);
  }

  /** Milliseconds of the session clock: monotonic, with an arbitrary origin. */
  nowMs(): number {
    return this.#state === 'STOPPED' ? 0 : this.#native.nowMicros() / 1000;
  }

  // ---- Life --------------------------------------------------------------------------------------------------------

  setKeys(keys: readonly NativeServerKey[]): void {
    if (this.#state !== 'STOPPED') this.#native.setKeys(keys);
  }

  startDraining(): void {
    if (this.#state === 'RUNNING') this.#native.startDraining();
  }

  /** Begins STOPPING; the sink hears `stopped`. Does nothing unless RUNNING. */
  stop(code: number, reason: string): void {
    if (this.#state !== 'RUNNING') return;
    if (this.#txWords[txUsed] !== 0) this.#native.flush();
    this.#state = 'STOPPING';
    this.#publishState();
    this.#native.stop(code, reason);
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

  /** What the kernel granted of the wanted buffers. */
  grantedBuffers(): { readonly receiveBytes: number; readonly sendBytes: number } {
    return this.#state === 'STOPPED' ? { receiveBytes: 0, sendBytes: 0 } : this.#native.grantedBuffers();
  }

  #stopped(): void {
    this.#state = 'STOPPED';
    this.#txWords[txUsed] = 0;
    clearInterval(this.#dropTimer);
    this.#reportDrops();
    this.#publishState();
    this.#sink.stopped();
  }

  #publishState(): void {
    if (!channels.socketState.hasSubscribers) return;
    channels.socketState.publish({ mode: this.mode, address: this.address, state: this.#state });
  }

  // ---- Drops -------------------------------------------------------------------------------------------------------

  /** Drops are only counted where they happen; whoever subscribed hears of them once a second. */
  #watchDrops(debug: boolean): NodeJS.Timeout | undefined {
    if (!debug && !channels.drop.hasSubscribers) return undefined;
    return setInterval(() => this.#reportDrops(), dropReportMs).unref();
  }

  #reportDrops(): void {
    if (this.#dropTimer === undefined) return;
    for (const reason of dropReasons) {
      const total = this.#stats.drop(reason);
      const count = total - (this.#reportedDrops.get(reason) ?? 0);
      if (count === 0) continue;
      this.#reportedDrops.set(reason, total);
      channels.drop.publish({ address: this.address, reason, count });
    }
  }
}

function textOf(binary: Uint8Array): string {
  const address = addressFromBinary(binary);
  return address === undefined ? '' : formatAddress(address);
}

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
};

/** What the addon's constructor threw, as an error of ours. */
function socketError(cause: unknown, bind: Uint8Array): unknown {
  if (!(cause instanceof Error)) return cause;
  const code = 'code' in cause ? String(cause.code) : '';
  const [ours, advice] = systemErrors[code] ?? ['ERR_HAWSER_SYSTEM', cause.message];
  return new HawserError(ours, `cannot open a UDP socket on ${textOf(bind)}: ${advice}`, { cause });
}
