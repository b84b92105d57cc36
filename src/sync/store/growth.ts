// By how much one transaction makes grow what an agent has, and what it may.

import { type Extent, noExtent } from './agent-share.js';

/** Whose share was at its end: that of the agent, or all that the store may have. */
export type Shortage = 'agent' | 'store';

/** What a transaction has found and done, in places of some kind. Made anew each time that it is run. */
export class Growth<T> {
  /** How many Upserts were of a lower version than what is there. */
  outdated = 0;
  /** Where documents had no room. */
  readonly refused: Map<T, Shortage> = new Map();
  readonly #extents = new Map<T, { count: number; bytes: number }>();
  #agentRoom: number;
  #storeRoom: number;

  /** @param agentRoom how many bytes the agent's documents may grow by, and all in the store; less than 0 when there are too many already. */
  constructor(agentRoom: number, storeRoom: number) {
    this.#agentRoom = agentRoom;
    this.#storeRoom = storeRoom;
  }

  /**
   * Counts a change.
   *
   * @param reservedBytes what is to be left of the agent's room.
   * @returns false, and nothing is counted, when it makes something grow that has no room.
   */
  add(place: T, count: number, bytes: number, reservedBytes: number): boolean {
    const agentRoom = this.#agentRoom - reservedBytes;
    if (bytes > 0 && bytes > Math.min(agentRoom, this.#storeRoom)) {
      const shortage = bytes > agentRoom ? 'agent' : 'store';
      this.refused.set(place, graver(this.refused.get(place), shortage));
      return false;
    }
    this.#agentRoom -= bytes;
    this.#storeRoom -= bytes;
    const extent = this.#extents.get(place);
    if (extent === undefined) this.#extents.set(place, { count, bytes });
    else {
      extent.count += count;
      extent.bytes += bytes;
    }
    return true;
  }

  /** The places that were changed. */
  get places(): IterableIterator<T> {
    return this.#extents.keys();
  }

  of(place: T): Extent {
    return this.#extents.get(place) ?? noExtent;
  }
}

/** What the agent has is known for good; the store may have room another time. */
export function graver(a: Shortage | undefined, b: Shortage): Shortage {
  return a === 'agent' ? a : b;
}
