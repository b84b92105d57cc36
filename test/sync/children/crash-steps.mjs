// What the agent of the crash tests does: a pure function of a seed, so that whoever knows how far it came knows what it has.

import { seededRandom } from 'hawser/sync';

export const indices = ['left', 'right'];

const idsPerIndex = 1500;
const differencesPerStep = 400;

/** @param {string} index @param {string} id */
const keyOf = (index, id) => `${index}/${id}`;

/**
 * One step changes each document once at most. One that follows a step during a FULL deletes half of what that has brought.
 *
 * @param {number} seed
 * @param {number} step from 0.
 * @returns {Iterable<{index: string, id: string, data: string | undefined}>} undefined deletes.
 */
function changesOf(seed, step) {
  const changes = ownChangesOf(seed, step);
  if (!isDuringFull(seed, step - 1)) return changes.values();
  const random = seededRandom(seed * 100_000 + 60_000 + step);
  for (const [key, { index, id, data }] of ownChangesOf(seed, step - 1)) {
    if (data !== undefined && random() < 0.5) changes.set(key, { index, id, data: undefined });
  }
  return changes.values();
}

/**
 * There is one such step: another FULL would repair what the first has left.
 *
 * @param {number} seed @param {number} step
 */
function isDuringFull(seed, step) {
  return step === Math.floor(10 * seededRandom(seed * 100_000 + 50_000)());
}

/** @param {number} seed @param {number} step */
function ownChangesOf(seed, step) {
  const random = seededRandom(seed * 100_000 + step);
  const changes = new Map();
  for (let count = differencesPerStep; count > 0; --count) {
    const index = indices[Math.floor(random() * indices.length)] ?? '';
    const id = `id ${Math.floor(random() * idsPerIndex)}`;
    const padding = 'x'.repeat(Math.floor(10 * 40 ** random()));
    const data = random() < 0.25 ? undefined : JSON.stringify({ step, padding });
    changes.set(keyOf(index, id), { index, id, data });
  }
  return changes;
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
    return [...changesOf(this.#seed, this.#done)].flatMap(({ index, id, data }) => {
      const isThere = isRepeated || this.documents.has(keyOf(index, id));
      if (data === undefined && !isThere) return [];
      /** @type {'CREATE' | 'MODIFY' | 'DELETE'} */
      const operation = data === undefined ? 'DELETE' : isThere ? 'MODIFY' : 'CREATE';
      return [{ index, id, operation, data: Buffer.from(data ?? '') }];
    });
  }

  /** Whether the queue is to hear of the next one while a FULL is under way that tells it already. */
  get isDuringFull() {
    return isDuringFull(this.#seed, this.#done);
  }

  /** What there will be after the next one. */
  after() {
    const documents = new Map(this.documents);
    for (const { index, id, data } of changesOf(this.#seed, this.#done)) {
      if (data === undefined) documents.delete(keyOf(index, id));
      else documents.set(keyOf(index, id), { index, id, data });
    }
    return documents;
  }

  finish() {
    this.documents = this.after();
    this.#done += 1;
  }
}
