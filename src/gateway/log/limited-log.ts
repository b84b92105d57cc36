// Lines that others can bring about without end, at a bounded rate.

import { TokenBucket } from '../../base/token-bucket.js';
import type { Logger, LogLevel } from './logger.js';

/** How many lines of a kind are told. */
export interface LineRate {
  /** At once. */
  readonly burst: number;
  /** And so many more each second. */
  readonly perSecond: number;
}

const usualRate: LineRate = { burst: 20, perSecond: 1 };
/** Of kinds, too, there are not ever more. */
const maxKinds = 256;

interface Kind {
  readonly bucket: TokenBucket;
  untold: number;
}

/** A log that tells of each kind of event at a bounded rate, and with the next line how many were not told: `untold`. */
export class LimitedLog {
  readonly #log: Logger;
  readonly #rate: LineRate;
  readonly #nowMs: () => number;
  readonly #kinds = new Map<string, Kind>();

  /** @param rate 20 lines at once and one a second by default. @param nowMs milliseconds of a monotonic clock. */
  constructor(log: Logger, rate: LineRate = usualRate, nowMs: () => number = () => performance.now()) {
    this.#log = log;
    this.#rate = rate;
    this.#nowMs = nowMs;
  }

  /** @param kind what is counted together: the name of the event, never what somebody else chose. */
  tell(kind: string, level: LogLevel, fields: Readonly<Record<string, unknown>>, message: string): void {
    const found = this.#kind(kind);
    if (!found.bucket.take(1, this.#nowMs())) {
      ++found.untold;
      return;
    }
    const { untold } = found;
    found.untold = 0;
    this.#log[level](untold === 0 ? fields : { ...fields, untold }, message);
  }

  #kind(name: string): Kind {
    const key = this.#kinds.size < maxKinds ? name : 'others';
    const known = this.#kinds.get(name) ?? this.#kinds.get(key);
    if (known !== undefined) return known;
    const { perSecond, burst } = this.#rate;
    const made = { bucket: new TokenBucket(perSecond, burst, this.#nowMs()), untold: 0 };
    this.#kinds.set(key, made);
    return made;
  }
}
