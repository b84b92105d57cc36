// Which sequences of a sender have come already: a sliding window, as of RFC 4303 section 3.4.3.

/** How far behind the highest a sequence may come and still be taken, in sequences. */
export const replayWindowSize = 1024;

const wordBits = 32;

export class ReplayWindow {
  #highest: bigint;
  /** A bit for each of the last sequences, at its remainder by the size; those up to `#floor` count as seen. */
  readonly #seen = new Uint32Array(replayWindowSize / wordBits);
  #floor: bigint;

  /** @param highest nothing up to it is taken, as after `restore`. */
  constructor(highest = 0n) {
    this.#highest = highest;
    this.#floor = highest;
  }

  /** The highest that was taken, or was restored. */
  get highest(): bigint {
    return this.#highest;
  }

  /** After a restart: of what came before, only the highest is known, so that nothing up to it is taken. It never goes back. */
  restore(highest: bigint): void {
    if (highest <= this.#floor) return;
    if (highest > this.#highest) this.#highest = highest;
    this.#floor = highest;
  }

  /** Whether `take` would take it. */
  accepts(sequence: bigint): boolean {
    if (sequence > this.#highest) return true;
    if (sequence <= this.#floor || this.#highest - sequence >= replayWindowSize) return false;
    const at = place(sequence);
    return ((this.#seen[at >>> 5] ?? 0) & (1 << (at & 31))) === 0;
  }

  /**
   * Takes a sequence of an authenticated message, once.
   *
   * @returns false when it has been taken, or is too old to know.
   */
  take(sequence: bigint): boolean {
    if (!this.accepts(sequence)) return false;
    if (sequence > this.#highest) this.#advance(sequence);
    const at = place(sequence);
    this.#seen[at >>> 5] = (this.#seen[at >>> 5] ?? 0) | (1 << (at & 31));
    return true;
  }

  /** Makes room for a new highest: the places between were those of sequences that are too old now. */
  #advance(sequence: bigint): void {
    const distance = sequence - this.#highest;
    if (distance >= replayWindowSize) this.#seen.fill(0);
    else {
      let at = place(this.#highest);
      for (let count = Number(distance); count > 0; --count) {
        at = (at + 1) % replayWindowSize;
        this.#seen[at >>> 5] = (this.#seen[at >>> 5] ?? 0) & ~(1 << (at & 31));
      }
    }
    this.#highest = sequence;
  }
}

function place(sequence: bigint): number {
  return Number(BigInt.asUintN(10, sequence));
}
