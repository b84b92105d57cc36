// What the agent of the crash tests does: a pure function of a seed, so that whoever knows how far it came knows what it has.

import { seededRandom } from 'hawser/sync';

export const indices = ['left', 'right'];

const idsPerIndex = 1500;
const differencesPerStep = 400;

/** @param {string} index @param {string} id */
const keyOf = (index, id) => `${index}/${id}`;

/**
 * One step changes each document once at most.
 *
 * @param {number} seed
 * @param {number} step from 0.
 * @returns {{index: string, id: string, data: string | undefined}[]} undefined deletes.
 */
function changesOf(seed, step) {
  const random = seededRandom(seed * 100_000 + step);
  const changes = new Map();
  for (let count = differencesPerStep; count > 0; --count) {
    const index = indices[Math.floor(random() * indices.length)] ?? '';
    const id = `id ${Math.floor(random() * idsPerIndex)}`;
    const padding = 'x'.repeat(Math.floor(10 * 40 ** random()));
    const data = random() < 0.25 ? undefined : JSON.stringify({ step, padding });
    changes.set(keyOf(index, id), { index, id, data });
  }
  return [...changes.values()];
}

/** The documents of an agent after so many steps, and what the next one is. */
export class Steps {
  /** @type {Map<string, {index: string, id: string, data: string}>} */
  documents = new Map();
  #seed;
  #done = 0;

  /** @param {number} seed @param {number} done how many steps have been made. */
  constructor(seed, done) {
    this.#seed = seed;
    while (this.#done < done) this.finish();
  }

  /** How many were made. */
  get done() {
    return this.#done;
  }

  /**
   * The differences of the next one.
   *
   * @param {boolean} isRepeated whether it may have been made already: then nothing is said to be new.
   */
  next(isRepeated) {
    return changesOf(this.#seed, this.#done).flatMap(({ index, id, data }) => {
      const isThere = isRepeated || this.documents.has(keyOf(index, id));
      if (data === undefined && !isThere) return [];
      /** @type {'CREATE' | 'MODIFY' | 'DELETE'} */
      const operation = data === undefined ? 'DELETE' : isThere ? 'MODIFY' : 'CREATE';
      return [{ index, id, operation, data: Buffer.from(data ?? '') }];
    });
  }

  finish() {
    for (const { index, id, data } of changesOf(this.#seed, this.#done)) {
      if (data === undefined) this.documents.delete(keyOf(index, id));
      else this.documents.set(keyOf(index, id), { index, id, data });
    }
    this.#done += 1;
  }
}
