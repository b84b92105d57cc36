// An addon that only records, for tests of what TypeScript does on its side of the seam.

import type {
  NativeAddon,
  NativeEndpoint,
  NativeEndpointOptions,
  NativeEventsListener,
} from '../../src/transport/native.js';
import { counterNames, dropCounterName, dropReasons } from '../../src/transport/stats.js';

export const txHeaderBytes = 64;
export const txSlabBytes = 4096;

/** What the fake endpoint was asked to do, and the means to make events. */
export class FakeEndpoint {
  readonly options: NativeEndpointOptions;
  readonly onEvents: NativeEventsListener;
  readonly onStopped: () => void;
  readonly txSlab: ArrayBuffer = new ArrayBuffer(txSlabBytes);
  readonly counters: BigUint64Array = new BigUint64Array(fakeCounterNames.length);
  readonly socketCounters: BigUint64Array = new BigUint64Array(1);
  arms = 0;
  flushes = 0;
  /** The records that each flush took: [slot, generation, channel, text]. */
  readonly sent: [number, number, number, string][] = [];
  readonly disconnected: [number, number][] = [];

  constructor(options: NativeEndpointOptions, onEvents: NativeEventsListener, onStopped: () => void) {
    const { code } = failure;
    failure.code = undefined;
    if (code !== undefined) throw Object.assign(new Error(`bind ${code}`), { code });
    this.options = options;
    this.onEvents = onEvents;
    this.onStopped = onStopped;
    this.setWritable(true);
    endpoints.push(this);
  }

  setWritable(writable: boolean): void {
    new Uint32Array(this.txSlab)[2] = writable ? 1 : 0;
  }

  arm(): void {
    ++this.arms;
  }

  flush(): boolean {
    ++this.flushes;
    const words = new Uint32Array(this.txSlab);
    const end = txHeaderBytes + (words[0] ?? 0);
    let count = 0;
    for (let at = txHeaderBytes; at < end; ++count) {
      const [slot = 0, generation = 0, channel = 0, length = 0] = words.subarray(at >> 2, (at >> 2) + 4);
      const data = new Uint8Array(this.txSlab, at + 16, length);
      this.sent.push([slot, generation, channel, Buffer.from(data).toString()]);
      at += (16 + length + 3) & ~3;
    }
    if (count !== words[1]) throw new Error(`${count} records, and the header says ${words[1]}`);
    words[0] = 0;
    words[1] = 0;
    return words[2] !== 0;
  }

  localAddress(): Uint8Array {
    return this.options.bind;
  }
  disconnect(slot: number, generation: number): boolean {
    this.disconnected.push([slot, generation]);
    return true;
  }
  stop(): void {
    this.onStopped();
  }
}

export const endpoints: FakeEndpoint[] = [];

/** What the next constructor throws, as failed system calls do. */
export const failure: { code: string | undefined } = { code: undefined };

const fakeCounterNames = [...counterNames, ...dropReasons.slice(0, -1).map(dropCounterName)];

export function fakeAddon(): NativeAddon {
  return {
    version: '0.0.0',
    sodiumVersion: '0.0.0',
    counterNames: fakeCounterNames,
    socketCounterNames: ['datagramsIn'],
    constants: { maxMessageBytes: 1158, descriptorWords: 6, txHeaderBytes },
    // Only what the tests reach is there.
    NativeEndpoint: FakeEndpoint as unknown as new () => NativeEndpoint,
    NativeSimulation: class {} as unknown as NativeAddon['NativeSimulation'],
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
