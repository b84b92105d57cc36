// What a persistent queue has to know beside its rows: one short record.

/** Of the two epochs of a queue. */
export type EpochNumber = 0 | 1;

export function otherNumber(epoch: EpochNumber): EpochNumber {
  return epoch === 0 ? 1 : 0;
}

/** How many rows of each kind. */
export interface RowCounts {
  readonly values: number;
  readonly contexts: number;
}

export function totalOf({ values, contexts }: RowCounts): number {
  return values + contexts;
}

/** A snapshot: the rows of the main epoch from `fromRow` to before `endRow`. */
export interface SealedState extends RowCounts {
  readonly nonce: bigint;
  readonly generation: bigint;
  readonly endRow: number;
  /** What its Data take, at most. */
  readonly bytes: number;
  /** Whether Data of it may have left. */
  readonly isSent: boolean;
  /** The main epoch has nothing behind it: what comes anew goes to the later one, so that the main one can be emptied at one stroke. */
  readonly isWhole: boolean;
}

/**
 * - `open`: there is no snapshot, and nothing is in the later epoch.
 * - `sealed`: there is one. What came meanwhile of its documents is in the later epoch.
 * - `failed`, `succeeded`: its session has ended so, and the later epoch goes to the main one, in steps. `failed` is also what is being looked
 *   through for a snapshot, so that it is as if nothing had happened when that ends in the middle.
 */
export type Phase =
  | { readonly is: 'open' }
  | ({ readonly is: 'sealed' } & SealedState)
  | {
      readonly is: 'failed';
      /** Of what is being looked through: rows before this one have been looked at. Means nothing when nobody does. */
      readonly scannedRow: number;
    }
  | { readonly is: 'succeeded' };

export interface QueueState {
  /** Which of the epochs is the main one; the other one is the later one. */
  readonly main: EpochNumber;
  readonly phase: Phase;
  /** Rows of the main epoch with lower numbers are over: told, and removed by and by. */
  readonly fromRow: number;
  /** How many of those that are over there are yet. */
  readonly over: RowCounts;
  /** The number of the next row. Rows are sent in the order of their numbers. */
  readonly nextRow: number;
  /** Rows with lower numbers are not new, whatever they say. */
  readonly newFromRow: number;
  /** The same of rows that are not parked: those with lower numbers were sent by a session that failed. */
  readonly unsentFromRow: number;
  /** The last one. */
  readonly generation: bigint;
  /** The number of the last mark; 0 before the first. */
  readonly mark: number;
}

export function firstState(generation: bigint): QueueState {
  return {
    main: 0,
    phase: { is: 'open' },
    fromRow: 0,
    over: noRows,
    nextRow: 1,
    newFromRow: 0,
    unsentFromRow: 0,
    generation,
    mark: 0,
  };
}

export const noRows: RowCounts = { values: 0, contexts: 0 };

const kinds = ['open', 'sealed', 'failed', 'succeeded'] as const;
const at = {
  main: 0,
  kind: 1,
  isSent: 2,
  isWhole: 3,
  nextRow: 8,
  newFromRow: 16,
  generation: 24,
  mark: 32,
  fromRow: 40,
  overValues: 48,
  overContexts: 56,
  unsentFromRow: 64,
  scannedRow: 72,
  sealedNonce: 72,
  sealedGeneration: 80,
  sealedEndRow: 88,
  sealedValues: 96,
  sealedContexts: 104,
  sealedBytes: 112,
} as const;
const stateBytes = 120;

export function encodeState(state: QueueState): Buffer {
  const bytes = Buffer.alloc(stateBytes);
  const write = (place: number, value: number): number => bytes.writeBigUInt64BE(BigInt(value), place);
  const { phase } = state;
  bytes[at.main] = state.main;
  bytes[at.kind] = kinds.indexOf(phase.is);
  write(at.nextRow, state.nextRow);
  write(at.newFromRow, state.newFromRow);
  write(at.unsentFromRow, state.unsentFromRow);
  bytes.writeBigUInt64BE(state.generation, at.generation);
  write(at.mark, state.mark);
  write(at.fromRow, state.fromRow);
  write(at.overValues, state.over.values);
  write(at.overContexts, state.over.contexts);
  if (phase.is === 'failed') write(at.scannedRow, phase.scannedRow);
  if (phase.is !== 'sealed') return bytes;
  bytes[at.isSent] = Number(phase.isSent);
  bytes[at.isWhole] = Number(phase.isWhole);
  bytes.writeBigUInt64BE(phase.nonce, at.sealedNonce);
  bytes.writeBigUInt64BE(phase.generation, at.sealedGeneration);
  write(at.sealedEndRow, phase.endRow);
  write(at.sealedValues, phase.values);
  write(at.sealedContexts, phase.contexts);
  write(at.sealedBytes, phase.bytes);
  return bytes;
}

/** @param bytes as {@link encodeState} gave them. */
export function decodeState(bytes: Buffer): QueueState {
  const read = (place: number): number => Number(bytes.readBigUInt64BE(place));
  return {
    main: bytes[at.main] === 0 ? 0 : 1,
    phase: decodePhase(bytes, read),
    fromRow: read(at.fromRow),
    over: { values: read(at.overValues), contexts: read(at.overContexts) },
    nextRow: read(at.nextRow),
    newFromRow: read(at.newFromRow),
    unsentFromRow: read(at.unsentFromRow),
    generation: bytes.readBigUInt64BE(at.generation),
    mark: read(at.mark),
  };
}

function decodePhase(bytes: Buffer, read: (place: number) => number): Phase {
  const is = kinds[bytes[at.kind] ?? 0] ?? 'open';
  if (is === 'failed') return { is, scannedRow: read(at.scannedRow) };
  if (is !== 'sealed') return { is };
  return {
    is,
    nonce: bytes.readBigUInt64BE(at.sealedNonce),
    generation: bytes.readBigUInt64BE(at.sealedGeneration),
    endRow: read(at.sealedEndRow),
    values: read(at.sealedValues),
    contexts: read(at.sealedContexts),
    bytes: read(at.sealedBytes),
    isSent: bytes[at.isSent] === 1,
    isWhole: bytes[at.isWhole] === 1,
  };
}
