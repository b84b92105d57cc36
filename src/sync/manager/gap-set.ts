// Which sequence numbers of a session have arrived: intervals while these are few, a bit for each number beyond that.

import type { Pair } from '../wire/messages.js';

/** So many intervals take as much as the bits of a session of 131,072 items, and moving them to make room takes no microsecond. */
const maxIntervals = 1024;

/**
 * The sequence numbers 0 to size - 1 and which of them have been seen. It takes at most 16 KiB or a bit for each number, whichever is more,
 * in whatever order they come; one interval when they come in order.
 */
export class GapSet {
  /** How many numbers there are. */
  readonly size: number;
  #seen = 0;
  /** The first and the last number of each interval that has been seen, in their order, merged. Empty once there are bits. */
  readonly #firsts: number[] = [];
  readonly #lasts: number[] = [];
  #bits: Uint32Array | undefined = undefined;
  /** Every number below was seen; of the bits only. */
  #seenBelow = 0;

  /** @param size 0 to 2^32. */
  constructor(size: number) {
    this.size = size;
  }

  /** How many numbers have been seen. */
  get seen(): number {
    return this.#seen;
  }

  /** Whether nothing is missing. */
  get complete(): boolean {
    return this.#seen === this.size;
  }

  /**
   * @param seq an integer, 0 or more.
   * @returns whether the number was not seen before; `beyond` changes nothing.
   */
  observe(seq: number): 'new' | 'duplicate' | 'beyond' {
    if (seq >= this.size) return 'beyond';
    if (this.#bits === undefined) {
      if (!this.#extend(seq)) return 'duplicate';
    } else {
      if (bitOf(this.#bits, seq) !== 0) return 'duplicate';
      setBits(this.#bits, seq, seq);
    }
    ++this.#seen;
    return 'new';
  }

  /** @param seq 0 to size - 1. */
  has(seq: number): boolean {
    if (this.#bits !== undefined) return bitOf(this.#bits, seq) !== 0;
    const at = this.#intervalAt(seq);
    return at >= 0 && seq <= (this.#lasts[at] ?? -1);
  }

  /** What is missing, in order, both ends included. @param limit how many ranges at most: those that come first. */
  gaps(limit: number = Number.POSITIVE_INFINITY): Pair[] {
    const gaps: Pair[] = [];
    for (let begin = this.#nextMissing(0); begin < this.size && gaps.length < limit; ) {
      const end = this.#nextSeen(begin);
      gaps.push({ begin: BigInt(begin), end: BigInt(end - 1) });
      begin = this.#nextMissing(end);
    }
    return gaps;
  }

  // ---- Intervals ---------------------------------------------------------------------------------------------------

  /** The last interval that begins at a number or before it; -1 when none does. */
  #intervalAt(seq: number): number {
    let low = 0;
    let high = this.#firsts.length;
    // Numbers mostly come in order: then it is the last one.
    if (high > 0 && (this.#firsts[high - 1] ?? 0) <= seq) return high - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#firsts[middle] ?? 0) <= seq) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }

  #extend(seq: number): boolean {
    const at = this.#intervalAt(seq);
    const last = at < 0 ? -2 : (this.#lasts[at] ?? -2);
    if (seq <= last) return false;
    const meetsNext = this.#firsts[at + 1] === seq + 1;
    if (seq !== last + 1) {
      if (meetsNext) this.#firsts[at + 1] = seq;
      else this.#insert(at + 1, seq);
    } else if (meetsNext) {
      this.#lasts[at] = this.#lasts[at + 1] ?? seq;
      this.#firsts.splice(at + 1, 1);
      this.#lasts.splice(at + 1, 1);
    } else {
      this.#lasts[at] = seq;
    }
    return true;
  }

  #insert(at: number, seq: number): void {
    if (this.#firsts.length < maxIntervals) {
      this.#firsts.splice(at, 0, seq);
      this.#lasts.splice(at, 0, seq);
      return;
    }
    const bits = new Uint32Array(Math.ceil(this.size / 32));
    for (const [index, first] of this.#firsts.entries()) setBits(bits, first, this.#lasts[index] ?? first);
    setBits(bits, seq, seq);
    this.#firsts.length = 0;
    this.#lasts.length = 0;
    this.#bits = bits;
  }

  // ---- Gaps --------------------------------------------------------------------------------------------------------

  /** The first number from one on that is missing; `size` when there is none. */
  #nextMissing(from: number): number {
    if (this.#bits === undefined) {
      const at = this.#intervalAt(from);
      return Math.max(from, at < 0 ? from : (this.#lasts[at] ?? 0) + 1);
    }
    // What has been seen stays so: the next call need not look there again.
    const found = findBit(this.#bits, Math.max(from, this.#seenBelow), this.size, 0);
    if (from <= this.#seenBelow) this.#seenBelow = found;
    return found;
  }

  /** The first number from one on that was seen; `size` when there is none. */
  #nextSeen(from: number): number {
    if (this.#bits !== undefined) return findBit(this.#bits, from, this.size, 1);
    return this.#firsts[this.#intervalAt(from) + 1] ?? this.size;
  }
}

function bitOf(bits: Uint32Array, seq: number): number {
  return ((bits[Math.floor(seq / 32)] ?? 0) >>> (seq & 31)) & 1;
}

/** Sets the bits of an interval. */
function setBits(bits: Uint32Array, first: number, last: number): void {
  const [firstWord, lastWord] = [Math.floor(first / 32), Math.floor(last / 32)];
  const fromFirst = -1 << (first & 31);
  const toLast = -1 >>> (31 - (last & 31));
  if (firstWord === lastWord) {
    bits[firstWord] = (bits[firstWord] ?? 0) | (fromFirst & toLast);
    return;
  }
  bits[firstWord] = (bits[firstWord] ?? 0) | fromFirst;
  bits.fill(0xffff_ffff, firstWord + 1, lastWord);
  bits[lastWord] = (bits[lastWord] ?? 0) | toLast;
}

/** The first bit of a kind from one on; `size` when there is none. */
function findBit(bits: Uint32Array, from: number, size: number, kind: 0 | 1): number {
  for (let seq = from; seq < size; ) {
    const word = bits[Math.floor(seq / 32)] ?? 0;
    const wanted = (kind === 1 ? word : ~word) >>> (seq & 31);
    if (wanted !== 0) return Math.min(size, seq + 31 - Math.clz32(wanted & -wanted));
    seq += 32 - (seq & 31);
  }
  return size;
}
