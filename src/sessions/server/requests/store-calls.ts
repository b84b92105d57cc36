// How the parts of a request executor ask the store.

import type { RequestHost } from '../session.js';

/** Waits for something, and goes on in the turn of the serial queue: behind whatever came before the answer. */
export function inTurn<T>(host: RequestHost, promise: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    promise.then(
      (value) => host.enqueue(() => resolve(value)),
      (error: unknown) => host.enqueue(() => reject(error)),
    );
  });
}

/** That promise, whose rejection is no uncaught exception when the handler that asked for it has failed before it waited for it. */
export function unattended<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}

/** Delays between attempts that others were faster than. */
export const raceBackoff = { initialMs: 1, maxMs: 100 } as const;
