// One connection, from its handshake to its end, and the key that was mixed into its keys last.

import { Backoff } from '../../base/backoff.js';
import type { Clock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import type { Random } from '../../base/random.js';
import type { KeyUpdateOptions } from '../../transport/key-update.js';
import type { TransportKey } from './transport-keys.js';

/** What a {@link KeyedLink} does with its connection. */
export interface LinkActions {
  /** `Peer.updateKeys` or `Connection.updateKeys`. */
  readonly update: (options: KeyUpdateOptions) => Promise<number>;
  readonly disconnect: (reason: string) => void;
}

/** When one attempt to update follows another: the first within a few round trips, which is how long the transport is busy. */
const retry = { initialMs: 20, maxMs: 1000, multiplier: 2, jitter: 0.25 } as const;

export class KeyedLink {
  /** Of our own keys; undefined before the first. Updates without a secret keep it: what was mixed in stays in. */
  keyId: string | undefined;
  readonly #actions: LinkActions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #waiting = new Set<() => void>();
  #ended = false;
  #deadline: { clear(): void } | undefined;

  constructor(actions: LinkActions, clock: Clock, random: Random) {
    this.#actions = actions;
    this.#clock = clock;
    this.#random = random;
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** An update is done that had this key in it. */
  updated(keyId: string): void {
    this.keyId = keyId;
    this.#wake();
  }

  /** The connection is over, or this is to leave it alone. */
  end(): void {
    this.#ended = true;
    this.allow();
    this.#wake();
  }

  disconnect(reason: string): void {
    this.#actions.disconnect(reason);
  }

  /** Disconnects it unless `allow` comes within `ms`. What is planned already stays so. */
  limit(ms: number, reason: string): void {
    if (this.#ended) return;
    this.#deadline ??= this.#clock.setTimeout(() => this.disconnect(reason), ms);
  }

  allow(): void {
    this.#deadline?.clear();
    this.#deadline = undefined;
  }

  /**
   * Begins updates until `done` holds, whoever brought that about. The other end may not have the key yet, and both ends may begin at once:
   * whatever passes is tried again. An update that is under way is waited for even when `signal` aborts, since it may yet be done: it has
   * one answer, or the connection ends.
   *
   * @param key what to mix in; undefined: nothing any more.
   * @returns false when the connection has ended.
   * @throws HawserError (rejects) what the last attempt failed with when `signal` has aborted, or at once what no other attempt would change.
   */
  async bring(
    done: () => boolean,
    key: () => TransportKey | undefined,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const backoff = new Backoff(retry, this.#random);
    let failure: unknown = new HawserError('ERR_HAWSER_ABORTED', 'the time for it is over');
    while (!this.#ended && !done()) {
      if (signal?.aborted) throw failure;
      const wanted = key();
      if (wanted === undefined) return true;
      try {
        await this.#actions.update({ secret: wanted.secret.bytes, secretId: wanted.secretId });
      } catch (error) {
        if (!passes(error)) throw error;
        failure = error;
        if (!this.#ended && !done()) await this.#pause(backoff.next(), signal);
      }
    }
    return !this.#ended;
  }

  /** Until the time is over, something has changed, or `signal` aborts. */
  #pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        timer.clear();
        this.#waiting.delete(done);
        signal?.removeEventListener('abort', done);
        resolve();
      };
      const timer = this.#clock.setTimeout(done, ms);
      this.#waiting.add(done);
      signal?.addEventListener('abort', done);
      if (signal?.aborted) done();
    });
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }
}

/** Whether another attempt may succeed: NOT_CONNECTED comes just before the end is told. */
function passes(error: unknown): boolean {
  if (!(error instanceof HawserError)) return false;
  return (
    error.code === 'ERR_HAWSER_KEY_UPDATE_BUSY' ||
    error.code === 'ERR_HAWSER_KEY_UPDATE_REFUSED' ||
    error.code === 'ERR_HAWSER_NOT_CONNECTED'
  );
}
