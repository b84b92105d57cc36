// Arbitrary messages and items for fast-check, and what may become of their bytes on a wire that does not protect them.

import fc from 'fast-check';
import {
  type AgentMetadata,
  type DataItem,
  type DataValue,
  modes,
  operations,
  reasons,
  type SyncMessage,
  startOptions,
  statuses,
} from '../../../src/sync/wire/messages.js';

const u64 = fc.oneof(fc.constantFrom(0n, 1n, 2n ** 53n, 2n ** 64n - 1n), fc.bigInt(0n, 2n ** 64n - 1n));
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const text = fc.oneof(fc.string({ maxLength: 12 }), fc.string({ unit: 'grapheme', maxLength: 12 }));
const data = fc.uint8Array({ maxLength: 24 });

function record<T>(arbitraries: { [K in keyof T]: fc.Arbitrary<T[K]> }): fc.Arbitrary<T> {
  return fc.record(arbitraries, { noNullPrototype: true });
}

const metadata: fc.Arbitrary<AgentMetadata> = fc.record(
  {
    architecture: text,
    hostname: text,
    osName: text,
    osPlatform: text,
    osType: text,
    osVersion: text,
    agentVersion: text,
    agentName: text,
    agentId: text,
    groups: fc.uniqueArray(text, { maxLength: 4 }),
    clusterName: text,
    clusterNode: text,
  },
  { requiredKeys: [], noNullPrototype: true },
);

const value: fc.Arbitrary<Omit<DataValue, 'type'>> = record({
  seq: u64,
  session: u64,
  operation: fc.constantFrom(...operations),
  id: text,
  index: text,
  version: u64,
  data,
});

export const messages: fc.Arbitrary<SyncMessage> = fc.oneof(
  record({
    type: fc.constant('Start'),
    module: text,
    mode: fc.constantFrom(...modes),
    size: u64,
    indices: fc.uniqueArray(text, { maxLength: 4 }),
    option: fc.constantFrom(...startOptions),
    metadata,
    globalVersion: u64,
    nonce: u64,
    generation: u64,
  }),
  record({
    type: fc.constant('StartAck'),
    status: fc.constantFrom(...statuses),
    session: u64,
    nonce: u64,
    retryAfterMs: u32,
    resumed: fc.boolean(),
    generation: u64,
    reason: fc.constantFrom(...reasons),
  }),
  value.map((each) => ({ type: 'DataValue', ...each }) as const),
  record({ type: fc.constant('DataBatch'), values: fc.array(value, { maxLength: 4 }) }),
  record({ type: fc.constant('DataContext'), seq: u64, session: u64, id: text, index: text, data }),
  record({ type: fc.constant('DataClean'), seq: u64, session: u64, index: text }),
  record({ type: fc.constant('ChecksumModule'), session: u64, index: text, checksum: text }),
  record({ type: fc.constant('End'), session: u64 }),
  record({
    type: fc.constant('EndAck'),
    status: fc.constantFrom(...statuses),
    session: u64,
    rejected: u64,
    retryAfterMs: u32,
    reason: fc.constantFrom(...reasons),
  }),
  record({
    type: fc.constant('ReqRet'),
    ranges: fc.array(record({ begin: u64, end: u64 }), { maxLength: 4 }),
    session: u64,
  }),
);

const itemData = fc.uint8Array({ maxLength: 300 });

export const items: fc.Arbitrary<DataItem> = fc.oneof(
  {
    weight: 20,
    arbitrary: record({
      kind: fc.constant('value'),
      operation: fc.constantFrom(...operations),
      index: fc.constantFrom('files', 'packages', 'répertoire', ''),
      id: text,
      version: fc.oneof(fc.constant(0n), u64),
      data: itemData,
    }),
  },
  {
    weight: 2,
    arbitrary: record({ kind: fc.constant('context'), index: text, id: text, data: itemData }),
  },
  { weight: 1, arbitrary: record({ kind: fc.constant('clean'), index: text }) },
);

/** The same bytes with each bit turned over, then with each end cut off: what no check may be confused by. */
export function* damaged(bytes: Uint8Array): Generator<Uint8Array, void, undefined> {
  for (let bit = 0; bit < 8 * bytes.length; ++bit) {
    const copy = bytes.slice();
    copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    yield copy;
  }
  for (let length = 0; length < bytes.length; ++length) yield bytes.slice(0, length);
}

const interesting = [0, 1, 2, 4, 0x7fff, 0x8000, 0xffff, 0x7fff_ffff, 0x8000_0000, 0xffff_fffc, 0xffff_ffff];

/** The same bytes with up to four changes that know what offsets, lengths and vtables look like, and perhaps cut. */
export function damagedAtRandom(bytes: Uint8Array, random: () => number): Uint8Array {
  const below = (limit: number): number => Math.floor(random() * limit);
  const copy = bytes.slice();
  const view = new DataView(copy.buffer);
  for (let changes = below(4); changes >= 0; --changes) {
    const at = below(copy.length);
    const word = Math.min(at & ~3, copy.length - 4);
    switch (word < 0 ? 0 : below(6)) {
      case 0:
        copy[at] = below(256);
        break;
      case 1:
        view.setUint32(word, below(copy.length + 8), true);
        break;
      case 2:
        view.setUint16(word + 2 * below(2), below(48), true);
        break;
      case 3:
        view.setInt32(word, below(2 * copy.length) - copy.length, true);
        break;
      case 4:
        view.setUint32(word, interesting[below(interesting.length)] ?? 0, true);
        break;
      default:
        copy.copyWithin(at, below(copy.length), below(copy.length));
    }
  }
  return below(5) === 0 ? copy.slice(0, below(copy.length + 1)) : copy;
}
