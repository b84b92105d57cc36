// Who waits for a rotation that was asked for here.

import { abortedError, throwIfAborted } from '../../base/abort.js';
import type { HawserError } from '../../base/errors.js';
import { Fifo } from '../../base/fifo.js';
import { closedError, rotationError } from './errors.js';
import type { RotationFailure, RotationResult } from './events.js';

interface Call {
  readonly resolve: (result: RotationResult) => void;
  readonly reject: (error: HawserError) => void;
}

/** Begins are answered in their order: each with a session, or with a failure. */
export class RotationCalls {
  readonly #beginning = new Fifo<Call>();
  readonly #sessions = new Map<string, Call>();
  #closed = false;

  /** @param signal gives up waiting; the rotation goes on. */
  add(begin: () => void, signal: AbortSignal | undefined): Promise<RotationResult> {
    return new Promise((resolve, reject) => {
      throwIfAborted(signal);
      if (this.#closed) throw closedError();
      const abort = (): void => {
        if (signal !== undefined) reject(abortedError(signal));
      };
      const settle = (): void => signal?.removeEventListener('abort', abort);
      signal?.addEventListener('abort', abort, { once: true });
      this.#beginning.push({
        resolve: (result) => {
          settle();
          resolve(result);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
      begin();
    });
  }

  began(sessionId: string): void {
    const call = this.#beginning.shift();
    if (call !== undefined) this.#sessions.set(sessionId, call);
  }

  notBegun(failure: RotationFailure): void {
    this.#beginning.shift()?.reject(rotationError(failure));
  }

  rotated(result: RotationResult): void {
    this.#take(result.sessionId)?.resolve(result);
  }

  failed(failure: RotationFailure): void {
    if (failure.sessionId !== undefined) this.#take(failure.sessionId)?.reject(rotationError(failure));
  }

  close(): void {
    this.#closed = true;
    for (let call = this.#beginning.shift(); call !== undefined; call = this.#beginning.shift()) {
      call.reject(closedError());
    }
    for (const call of this.#sessions.values()) call.reject(closedError());
    this.#sessions.clear();
  }

  #take(sessionId: string): Call | undefined {
    const call = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    return call;
  }
}
