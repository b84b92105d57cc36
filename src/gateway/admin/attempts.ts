// How often somebody may try a token that is wrong.

import { isIPv6 } from 'node:net';
import type { Clock } from '../../base/clock.js';
import { TokenBucket } from '../../base/token-bucket.js';

/** Wrong tokens at once, and in a second after that. */
const burst = 10;
const perSecond = 0.2;
/** Sources that are kept at a time; the one whose last mistake is the longest ago gives way. */
const maxSources = 1024;

/**
 * Counts wrong tokens by where they come from: an address, or 64 bits of one of IPv6. Once a source has used up what it has, its tokens are
 * not looked at, right or wrong, until time has passed; others are not kept out by it.
 */
export class Attempts {
  readonly #clock: Clock;
  readonly #sources = new Map<string, TokenBucket>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** In how many seconds, at least 1, a token from there is looked at; 0 for now. */
  waitSeconds(remote: string): number {
    const delayMs = this.#sources.get(sourceOf(remote))?.delayMs(1, this.#clock.now()) ?? 0;
    return delayMs === 0 ? 0 : Math.max(1, Math.ceil(delayMs / 1000));
  }

  /** A token from there was wrong. */
  count(remote: string): void {
    const source = sourceOf(remote);
    const now = this.#clock.now();
    const bucket = this.#sources.get(source) ?? new TokenBucket(perSecond, burst, now);
    bucket.take(1, now);
    this.#sources.delete(source);
    const oldest = this.#sources.keys().next().value;
    if (this.#sources.size >= maxSources && oldest !== undefined) this.#sources.delete(oldest);
    this.#sources.set(source, bucket);
  }
}

/** Whoever has an address of IPv6 has 2^64 of them. */
function sourceOf(remote: string): string {
  if (!isIPv6(remote) || remote.startsWith('::ffff:')) return remote;
  const [head = '', tail = ''] = remote.split('%')[0]?.split('::') ?? [];
  const groups = head.split(':').filter((group) => group !== '');
  const missing = 8 - groups.length - tail.split(':').filter((group) => group !== '').length;
  return [...groups, ...new Array<string>(Math.max(0, missing)).fill('0')].slice(0, 4).join(':');
}
