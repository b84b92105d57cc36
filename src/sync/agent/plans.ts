// What the sessions of one sync are about.

import type { Snapshot } from '../queue/queue.js';
import { newNonce } from '../queue/rows.js';
import { encodeMessage } from '../wire/codec.js';
import type { AgentMetadata, DataItem, Mode, Start } from '../wire/messages.js';
import { type Failure, failure, messageOf } from './outcomes.js';

/** What a sync is about. */
export interface Plan
  extends Pick<Start, 'mode' | 'indices' | 'option' | 'globalVersion' | 'nonce' | 'generation'> {
  readonly size: number;
  readonly items: (fromSeq: number) => IterableIterator<DataItem>;
  readonly checksum?: { readonly index: string; readonly checksum: string };
  readonly beforeData?: () => Promise<void>;
}

/** Of a session without items. */
export function emptyPlan(mode: Mode): Plan {
  return {
    mode,
    size: 0,
    indices: [],
    option: 'Sync',
    globalVersion: 0n,
    nonce: newNonce(),
    generation: 0n,
    items: () => [][Symbol.iterator](),
  };
}

/** What a plan has of a snapshot. */
export function snapshotPlan(
  snapshot: Pick<Snapshot, 'size' | 'indices' | 'items'>,
): Pick<Plan, 'size' | 'indices' | 'items'> {
  return { size: snapshot.size, indices: snapshot.indices, items: (fromSeq) => snapshot.items(fromSeq) };
}

/** The bytes of Start, which all copies of it have; or why there can be none. */
export function encodedStart(
  module: string,
  metadata: AgentMetadata,
  plan: Plan,
): { readonly bytes: Uint8Array } | Failure {
  const { mode, indices, option, globalVersion, nonce, generation } = plan;
  const size = BigInt(plan.size);
  const start = { module, mode, size, indices, option, metadata, globalVersion, nonce, generation };
  const encoded = encode(start);
  if (encoded instanceof Uint8Array) return { bytes: encoded };
  const withoutMetadata = encode({ ...start, metadata: {} });
  const what = withoutMetadata instanceof Uint8Array ? 'the metadata are' : 'the indices are';
  return failure('InvalidStart', `${what} in no Start, which is not sent: ${messageOf(encoded.error)}`);
}

function encode(start: Omit<Start, 'type'>): Uint8Array | { readonly error: unknown } {
  try {
    return encodeMessage({ type: 'Start', ...start });
  } catch (error) {
    return { error };
  }
}

/** What tells the manager to clean. */
export function* cleansOf(indices: readonly string[], fromSeq: number): Generator<DataItem, void> {
  for (const index of indices.slice(fromSeq)) yield { kind: 'clean', index };
}
