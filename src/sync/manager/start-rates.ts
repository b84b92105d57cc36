// How often agents may ask for sessions: by agent, for one that connects anew would begin anew by connection.

import { TokenBucket } from '../../base/token-bucket.js';

/** Far more than an agent of many modules sends. */
const startsPerSecond = 50;
const startsAtOnce = 100;
/** Of sessions without Data, which are over at once: each is work for the store, and a line for whoever reads along. */
const requestsPerSecond = 10;
const requestsAtOnce = 100;
/** After so long without a Start every bucket is full, as that of an agent that never sent one. */
const fullAfterMs = 10_000;

interface Rate {
  readonly starts: TokenBucket;
  readonly requests: TokenBucket;
  lastMs: number;
}

export class StartRates {
  /** The one that was asked for the longest ago first. */
  readonly #rates = new Map<string, Rate>();

  /** How many agents are remembered. */
  get size(): number {
    return this.#rates.size;
  }

  /** @param isRequest whether it is of a session without Data. @returns whether a Start of an agent is not one too many. */
  take(agent: string, isRequest: boolean, nowMs: number): boolean {
    this.#forgetOld(nowMs);
    const rate = this.#rates.get(agent) ?? {
      starts: new TokenBucket(startsPerSecond, startsAtOnce, nowMs),
      requests: new TokenBucket(requestsPerSecond, requestsAtOnce, nowMs),
      lastMs: nowMs,
    };
    rate.lastMs = nowMs;
    this.#rates.delete(agent);
    this.#rates.set(agent, rate);
    return rate.starts.take(1, nowMs) && (!isRequest || rate.requests.take(1, nowMs));
  }

  #forgetOld(nowMs: number): void {
    for (const [agent, { lastMs }] of this.#rates) {
      if (nowMs - lastMs < fullAfterMs) return;
      this.#rates.delete(agent);
    }
  }
}
