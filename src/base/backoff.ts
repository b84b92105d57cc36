// How long to wait before the next attempt: longer after each failure, and never in step with everybody else.

import { argumentError, checkFunction, checkNumber, checkOptions, describe } from './check.js';
import { type Random, systemRandom } from './random.js';

/** Options of {@link Backoff}. The defaults are those of the source document, sections 5.1 and 5.2. */
export interface BackoffOptions {
  /** The base delay of the first attempt in milliseconds, 1 to 86,400,000; 1000 by default. */
  readonly initialMs?: number;
  /**
   * What the base delay grows to, in milliseconds, `initialMs` to 86,400,000; 60,000 by default. With `initialMs`
   * itself all base delays are equal. Jitter comes on top of it.
   */
  readonly maxMs?: number;
  /** By how much the base delay grows with each attempt: more than 1, at most 100; 2 by default. */
  readonly multiplier?: number;
  /** The most that chance adds, as a share of the base delay, 0 to 1; 0.25 by default. */
  readonly jitter?: number;
}

const optionNames = ['initialMs', 'maxMs', 'multiplier', 'jitter'] as const;
const maxDelayMs = 86_400_000;
const maxMultiplier = 100;

/**
 * The delays before attempts (source document, section 5.3): each is a base delay, which grows from `initialMs` to
 * `maxMs`, and a random part of up to `jitter` times the base delay. With the defaults: 1, 2, 4, 8, 16, 32, 60, 60 ...
 * seconds, each with up to a quarter more.
 */
export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #multiplier: number;
  readonly #jitter: number;
  readonly #random: Random;
  #baseMs: number;
  #attempts = 0;

  /**
   * @param random where the jitter is taken from.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  constructor(options: BackoffOptions = {}, random: Random = systemRandom) {
    checkOptions('backoff', options, optionNames);
    this.#initialMs = checkNumber('initialMs', options.initialMs ?? 1000, 1, maxDelayMs);
    this.#maxMs = checkNumber('maxMs', options.maxMs ?? 60_000, this.#initialMs, maxDelayMs);
    this.#multiplier = checkMultiplier(options.multiplier ?? 2);
    this.#jitter = checkNumber('jitter', options.jitter ?? 0.25, 0, 1);
    this.#random = checkFunction('random', random);
    this.#baseMs = this.#initialMs;
  }

  /** The delay before the next attempt in milliseconds; the one after it is longer. */
  next(): number {
    const delayMs = this.peek();
    this.#baseMs = Math.min(this.#baseMs * this.#multiplier, this.#maxMs);
    ++this.#attempts;
    return delayMs;
  }

  /**
   * A delay as `next` would return it now, in milliseconds, and nothing changes. Its jitter is drawn anew by each
   * call.
   */
  peek(): number {
    return this.#baseMs + this.#random() * this.#jitter * this.#baseMs;
  }

  /** Begins again with `initialMs`. For an attempt that succeeded as a whole, the application's consent included. */
  reset(): void {
    this.#baseMs = this.#initialMs;
    this.#attempts = 0;
  }

  /** How often `next` was called since the last `reset`. */
  attempts(): number {
    return this.#attempts;
  }
}

function checkMultiplier(value: unknown): number {
  if (typeof value === 'number' && value > 1 && value <= maxMultiplier) return value;
  throw argumentError('multiplier', `a number greater than 1, at most ${maxMultiplier}`, describe(value));
}
