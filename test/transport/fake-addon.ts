// An addon that only records, for tests of what TypeScript does on its side of the seam.

import { addressFromBinary, addressToBinary } from '../../src/base/address.js';
import type {
  NativeAddon,
  NativeEndpoint,
  NativeEndpointOptions,
  NativeEventsListener,
  NativeHandle,
} from '../../src/transport/native.js';
import {
  peerFigureNames,
  peerFlag,
  sendStatus,
  statusCell,
  statusCells,
} from '../../src/transport/native.js';
import { counterNames, dropCounterName, dropReasons, localDropReasons } from '../../src/transport/stats.js';

export const transmitRecordsBytes = 4096;
/** As long as the fake addon is loaded. */
const transmitRecords = new ArrayBuffer(transmitRecordsBytes);
const maxMessageBytes = 1158;

/** A message as the addon got it. What a record does not have is 0. */
export interface FakeMessage {
  readonly slot: number;
  readonly generation: number;
  readonly channel: number;
  readonly text: string;
  readonly ttlMs: number;
  readonly confirm: number;
}

/** What the fake endpoint was asked to do, and the means to make events. */
export class FakeEndpoint {
  readonly options: NativeEndpointOptions;
  readonly onEvents: NativeEventsListener;
  readonly onStopped: () => void;
  readonly txHeader: Uint32Array = new Uint32Array(4);
  readonly counters: BigUint64Array = new BigUint64Array(fakeCounterNames.length);
  readonly socketCounters: BigUint64Array = new BigUint64Array(1);
  readonly peerFlags: Uint8Array = new Uint8Array(64);
  readonly peerMaxUnreliable: Uint16Array = new Uint16Array(64);
  /** The peers that are connected, by slot. */
  readonly generations: (number | undefined)[] = [];
  maxDatagram = 1200;
  /** Session clock of this side. */
  clockMs = 0;
  /** Published clock offset of each peer, in milliseconds. */
  clockOffsetMs = 0;
  arms = 0;
  flushes = 0;
  /** What each flush took, and the long messages between. */
  readonly messages: FakeMessage[] = [];
  readonly paused: [number, number, number, boolean][] = [];
  readonly broadcasts: [number, string, number[] | null, number][] = [];
  readonly disconnected: [number, number][] = [];
  /** Everything else that it was asked to do. */
  readonly calls: string[] = [];
  stopsAtOnce = true;

  constructor(options: NativeEndpointOptions, onEvents: NativeEventsListener, onStopped: () => void) {
    if (failure.after > 0) --failure.after;
    else failNext();
    this.options = options;
    this.onEvents = onEvents;
    this.onStopped = onStopped;
    this.setWritable(true);
    endpoints.push(this);
  }

  setWritable(writable: boolean): void {
    this.txHeader[2] = writable ? 1 : 0;
  }

  arm(): void {
    ++this.arms;
  }

  flush(): boolean {
    ++this.flushes;
    this.#takeRecords();
    return this.txHeader[2] !== 0;
  }

  takeRecords(): void {
    this.calls.push('takeRecords');
    this.#takeRecords();
  }

  #takeRecords(): void {
    const words = new Uint32Array(transmitRecords);
    const end = this.txHeader[0] ?? 0;
    let count = 0;
    for (let at = 0; at < end; ++count) {
      const record = words.subarray(at >> 2, (at >> 2) + 6);
      const [slot = 0, generation = 0, head = 0, length = 0] = record;
      const extended = head >>> 16 === 1;
      const header = extended ? 24 : 16;
      const [ttlMs = 0, confirm = 0] = extended ? record.subarray(4) : [];
      const data = new Uint8Array(transmitRecords, at + header, length);
      this.#take(slot, generation, head & 0xffff, data, ttlMs, confirm);
      at += (header + length + 3) & ~3;
    }
    const [, records] = this.txHeader;
    if (count !== records) throw new Error(`${count} records, and the header says ${records}`);
    this.txHeader.fill(0, 0, 2);
  }

  sendLong(
    slot: number,
    generation: number,
    channel: number,
    data: Uint8Array,
    ttlMs: number,
    confirm: number,
  ): number {
    if (((this.peerFlags[slot] ?? 0) & peerFlag.full) !== 0) return sendStatus.queueFull;
    this.#take(slot, generation, channel, data, ttlMs, confirm);
    return sendStatus.sent;
  }

  #take(
    slot: number,
    generation: number,
    channel: number,
    data: Uint8Array,
    ttlMs: number,
    confirm: number,
  ): void {
    this.messages.push({ slot, generation, channel, text: Buffer.from(data).toString(), ttlMs, confirm });
  }

  /** The records as [slot, generation, channel, text]. */
  get sent(): [number, number, number, string][] {
    return this.messages.map(({ slot, generation, channel, text }) => [slot, generation, channel, text]);
  }

  broadcast(channel: number, data: Uint8Array, handles: Uint32Array | null, ttlMs: number): number {
    this.broadcasts.push([channel, Buffer.from(data).toString(), handles && [...handles], ttlMs]);
    return handles === null
      ? this.generations.filter((each) => each !== undefined).length
      : handles.length / 2;
  }

  setPaused(slot: number, generation: number, channel: number, paused: boolean): boolean {
    this.paused.push([slot, generation, channel, paused]);
    return true;
  }

  status(slot: number, generation: number, out: Float64Array): boolean {
    if (this.generations[slot] !== generation) return false;
    out.fill(0);
    out[statusCell.connected] = 1;
    out[statusCell.maxDatagram] = this.maxDatagram;
    out[statusCell.clockOffset] = this.clockOffsetMs;
    out[statusCell.maxUnreliable] = maxMessageBytes + this.maxDatagram - 1200;
    return true;
  }

  figures(handles: Uint32Array, figure: number, out: Float64Array): void {
    const status = new Float64Array(statusCells);
    for (let index = 0; index < out.length; ++index) {
      const known = this.status(handles[2 * index] ?? 0, handles[2 * index + 1] ?? 0, status);
      out[index] = known ? (status[figure] ?? 0) : 0;
    }
  }

  /** What `connect` returns, one after the other. */
  readonly handles: NativeHandle[] = [];

  connect(): NativeHandle {
    return this.handles.shift() ?? { slot: 0, generation: 1 };
  }

  remoteAddress(): null {
    return null;
  }

  exportKey(): null {
    return null;
  }

  /** A port of 0 has become 7. */
  localAddress(): Uint8Array {
    const { host, port } = addressFromBinary(this.options.bind) ?? { host: '', port: 0 };
    return addressToBinary({ host, port: port === 0 ? 7 : port });
  }
  rebind(): void {
    failNext();
  }
  lastDisconnectCode: number | undefined;
  /** After what was sent before, as the addon does it. */
  disconnect(slot: number, generation: number, code: number): boolean {
    if (this.txHeader[0] !== 0) this.flush();
    this.disconnected.push([slot, generation]);
    this.lastDisconnectCode = code;
    return true;
  }
  stop(): void {
    this.calls.push('stop');
    if (this.stopsAtOnce) this.onStopped();
  }
  close(): void {
    this.calls.push('close');
  }
  ref(): void {
    this.calls.push('ref');
  }
  unref(): void {
    this.calls.push('unref');
  }
  setKeys(): void {
    this.calls.push('setKeys');
  }
  startDraining(): void {
    this.calls.push('startDraining');
  }
  goaway(slot: number, generation: number): boolean {
    this.calls.push(`goaway ${slot} ${generation}`);
    return true;
  }
  completeConsumption(slot: number, generation: number, verdict: number): void {
    this.calls.push(`completeConsumption ${slot} ${generation} ${verdict}`);
  }
  provideSecret(slot: number, generation: number): void {
    this.calls.push(`provideSecret ${slot} ${generation}`);
  }
  nowMicros(): number {
    return this.clockMs * 1000;
  }
  memoryBytes(): number {
    return 1000;
  }
  grantedBuffers(): { receiveBytes: number; sendBytes: number } {
    return { receiveBytes: 30, sendBytes: 20 };
  }
}

export const endpoints: FakeEndpoint[] = [];

/** What the constructor throws once it has succeeded `after` times, as failed system calls do. */
export const failure: { code: string | undefined; syscall: string; after: number } = {
  code: undefined,
  syscall: 'bind',
  after: 0,
};

function failNext(): void {
  const { code, syscall } = failure;
  failure.code = undefined;
  failure.syscall = 'bind';
  if (code !== undefined) throw Object.assign(new Error(`${syscall} ${code}`), { code, syscall });
}

const fakeCounterNames = [
  ...counterNames,
  ...dropReasons.filter((each) => !localDropReasons.some((local) => local === each)).map(dropCounterName),
];

export function fakeAddon(): NativeAddon {
  return {
    version: '0.0.0',
    sodiumVersion: '0.0.0',
    counterNames: fakeCounterNames,
    socketCounterNames: ['datagramsIn'],
    peerFigureNames,
    constants: { maxMessageBytes, descriptorWords: 6 },
    transmitRecords,
    // Only what the tests reach is there.
    NativeEndpoint: FakeEndpoint as unknown as new () => NativeEndpoint,
    NativeSimulation: class {} as unknown as NativeAddon['NativeSimulation'],
    secrets: {} as NativeAddon['secrets'],
    systemdNotify: () => undefined,
  };
}

/** One event: kind, argument, slot, generation, bytes. */
export type FakeEvent = readonly [
  kind: number,
  argument: number,
  slot: number,
  generation: number,
  bytes?: Uint8Array,
];

/** The two buffers of a batch. */
export function batch(events: readonly FakeEvent[]): {
  slab: ArrayBuffer;
  descriptors: ArrayBuffer;
  count: number;
} {
  const slab = new ArrayBuffer(4096);
  const descriptors = new ArrayBuffer(24 * 64);
  const words = new Uint32Array(descriptors);
  let offset = 0;
  for (const [index, [kind, argument, slot, generation, bytes = new Uint8Array()]] of events.entries()) {
    new Uint8Array(slab).set(bytes, offset);
    words.set([kind | (argument << 8), slot, generation, offset, bytes.length, 0], 6 * index);
    offset += bytes.length;
  }
  return { slab, descriptors, count: events.length };
}
