// What a persistent queue has to know beside its rows: one short record.

/** Of the two epochs of a queue. */
export type EpochNumber = 0 | 1;

export function otherNumber(epoch: EpochNumber): EpochNumber {
  return epoch === 0 ? 1 : 0;
}

/** The epoch that a snapshot is made of; it is the one that is not open. */
export interface SealedState {
  readonly nonce: bigint;
  readonly generation: bigint;
  /** All its rows have lower numbers. */
  readonly endRow: number;
  /** Whether Data of it may have left. */
  readonly isSent: boolean;
}

/**
 * `sealed`: one epoch is a snapshot. `joining`: the rows of the epoch that is not open are to go to the one that is, in steps, because the
 * session has failed; `isOlder` says which of both has the rows that came first. So it is also while the first rows are being moved there for
 * a snapshot, so that what is cut off goes back.
 */
export type Other =
  | { readonly is: 'empty' }
  | ({ readonly is: 'sealed' } & SealedState)
  | { readonly is: 'joining'; readonly isOlder: boolean };

export interface QueueState {
  /** Where differences go. */
  readonly open: EpochNumber;
  /** What the other epoch is. */
  readonly other: Other;
  /** The number of the next row. Rows are sent in the order of their numbers. */
  readonly nextRow: number;
  /** Rows with lower numbers are not new, whatever they say. */
  readonly newFromRow: number;
  /** The last one. */
  readonly generation: bigint;
  /** The number of the last mark; 0 before the first. */
  readonly mark: number;
}

const stateBytes = 64;
const kinds = ['empty', 'sealed', 'joining'] as const;

export function encodeState(state: QueueState): Buffer {
  const bytes = Buffer.alloc(stateBytes);
  const { other } = state;
  bytes[0] = state.open;
  bytes[1] = kinds.indexOf(other.is);
  bytes[2] = Number(other.is === 'sealed' ? other.isSent : other.is === 'joining' && other.isOlder);
  bytes.writeBigUInt64BE(BigInt(state.nextRow), 8);
  bytes.writeBigUInt64BE(BigInt(state.newFromRow), 16);
  bytes.writeBigUInt64BE(state.generation, 24);
  if (other.is === 'sealed') {
    bytes.writeBigUInt64BE(other.nonce, 32);
    bytes.writeBigUInt64BE(other.generation, 40);
    bytes.writeBigUInt64BE(BigInt(other.endRow), 48);
  }
  bytes.writeBigUInt64BE(BigInt(state.mark), 56);
  return bytes;
}

/** @param bytes as {@link encodeState} gave them. */
export function decodeState(bytes: Buffer): QueueState {
  return {
    open: bytes[0] === 0 ? 0 : 1,
    other: decodeOther(bytes),
    nextRow: Number(bytes.readBigUInt64BE(8)),
    newFromRow: Number(bytes.readBigUInt64BE(16)),
    generation: bytes.readBigUInt64BE(24),
    mark: Number(bytes.readBigUInt64BE(56)),
  };
}

function decodeOther(bytes: Buffer): Other {
  const flag = bytes[2] === 1;
  switch (kinds[bytes[1] ?? 0]) {
    case 'sealed':
      return {
        is: 'sealed',
        nonce: bytes.readBigUInt64BE(32),
        generation: bytes.readBigUInt64BE(40),
        endRow: Number(bytes.readBigUInt64BE(48)),
        isSent: flag,
      };
    case 'joining':
      return { is: 'joining', isOlder: flag };
    default:
      return { is: 'empty' };
  }
}
