// What a store does not do.

import { setTimeout as delay } from 'node:timers/promises';
import { HawserError } from '../../../src/base/errors.js';

/** @returns what it rejects with. */
export async function refusal(promise: Promise<unknown>): Promise<HawserError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof HawserError) return error;
    throw error;
  }
  throw new Error('it did not reject');
}

/** Tries until the store can be reached. */
export async function eventually<T>(run: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof HawserError) || error.code !== 'ERR_HAWSER_STORE_UNAVAILABLE') throw error;
    }
    // It may reject at once: the connection is made anew meanwhile.
    await delay(20);
  }
}
