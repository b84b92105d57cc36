// Bad networks on purpose: the option that impairs the traffic of a real socket, and the checks that it shares with the links
// of simulated networks.

import { randomBytes } from 'node:crypto';
import {
  argumentError,
  checkBoolean,
  checkInteger,
  checkNumber,
  checkOptions,
  describe,
} from '../base/check.js';
import type { NativeImpairment } from './native.js';

/**
 * How the traffic of a real socket is impaired. Each direction is impaired once: a delay of 80 ms adds 160 ms to the round
 * trip. What is left out impairs nothing.
 */
export interface ImpairmentOptions {
  /** Share of datagrams that are lost, 0 to 1; 0 by default. */
  readonly lossRate?: number;
  /** Share of datagrams that arrive twice, 0 to 1; 0 by default. */
  readonly duplicateRate?: number;
  /**
   * Share of datagrams that are held back, so that later ones overtake them, 0 to 1; 0 by default. All other datagrams keep the
   * order of their peer, unless `jitterReorders` is set.
   */
  readonly reorderRate?: number;
  /** One way, in milliseconds, 0 to 60,000; 0 by default. Kept to about a millisecond. */
  readonly delayMs?: number;
  /** Added to the delay, uniformly between 0 and this, in milliseconds, 0 to 60,000; 0 by default. */
  readonly jitterMs?: number;
  /** True: datagrams overtake each other by their jitter alone. False (default): jitter keeps the order of each peer. */
  readonly jitterReorders?: boolean;
  /**
   * Shortest time by which a datagram of `reorderRate` is held back, in milliseconds, 0.001 to 60,000; 0.001 by default. The time
   * is uniform between this and `mostHoldBackMs`. Without `jitterReorders`, all of `jitterMs` is added to it.
   */
  readonly leastHoldBackMs?: number;
  /** Longest time by which a datagram of `reorderRate` is held back, in milliseconds, `leastHoldBackMs` to 60,000; 10 by default. */
  readonly mostHoldBackMs?: number;
  /**
   * Bandwidth of each direction, for all peers together; 0 (default) is no limit. UDP payload counts. Of a server's `threads` each has an
   * equal part, also of `queueBytes`.
   */
  readonly bytesPerSecond?: number;
  /** What waits for bandwidth at most, in bytes; the excess is lost; 65,536 by default. */
  readonly queueBytes?: number;
  /** Where chance begins, 0 to 2^64 - 1; random by default. */
  readonly seed?: bigint | number;
}

/** Every option of {@link ImpairmentOptions} but the seed. */
export type ImpairmentSettings = Required<Omit<ImpairmentOptions, 'seed'>>;

/** More than any link has, and yet exact in the addon's arithmetic. */
export const maxLinkBytes: number = 2 ** 40;
export const maxDelayMs = 60_000;
/** Shortest time that the addon's clock can tell: one microsecond. */
export const minHoldBackMs = 0.001;

/** Settings of a link that impairs nothing. */
export const impairmentDefaults: ImpairmentSettings = {
  lossRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
  delayMs: 0,
  jitterMs: 0,
  jitterReorders: false,
  leastHoldBackMs: minHoldBackMs,
  mostHoldBackMs: 10,
  bytesPerSecond: 0,
  queueBytes: 65_536,
};

const names: readonly string[] = [...Object.keys(impairmentDefaults), 'seed'];

/**
 * @param prefix stands before the names in messages.
 * @param fallback what is left out is as here.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkImpairment(
  prefix: string,
  given: ImpairmentOptions,
  fallback: ImpairmentSettings,
): ImpairmentSettings {
  type Name = keyof ImpairmentSettings;
  const chosen = (name: Name): unknown => given[name] ?? fallback[name];
  const number = (name: Name, max: number, min = 0): number =>
    checkNumber(prefix + name, chosen(name), min, max);
  const integer = (name: Name): number => checkInteger(prefix + name, chosen(name), 0, maxLinkBytes);
  const leastHoldBackMs = number('leastHoldBackMs', maxDelayMs, minHoldBackMs);
  const mostHoldBackMs = number('mostHoldBackMs', maxDelayMs, minHoldBackMs);
  if (mostHoldBackMs < leastHoldBackMs) {
    const rule = `${prefix}leastHoldBackMs (${leastHoldBackMs}) or more`;
    throw argumentError(`${prefix}mostHoldBackMs`, rule, describe(mostHoldBackMs));
  }
  return {
    lossRate: number('lossRate', 1),
    duplicateRate: number('duplicateRate', 1),
    reorderRate: number('reorderRate', 1),
    delayMs: number('delayMs', maxDelayMs),
    jitterMs: number('jitterMs', maxDelayMs),
    jitterReorders: checkBoolean(`${prefix}jitterReorders`, chosen('jitterReorders')),
    leastHoldBackMs,
    mostHoldBackMs,
    bytesPerSecond: integer('bytesPerSecond'),
    queueBytes: integer('queueBytes'),
  };
}

/** The option `simulate` as the addon takes it. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkSimulate(options: ImpairmentOptions): NativeImpairment {
  checkOptions('simulate', options, names);
  return {
    ...checkImpairment('simulate.', options, impairmentDefaults),
    seed: checkSeed('simulate.seed', options.seed ?? randomBytes(8).readBigUInt64LE()),
    ecnMarkBytes: 0,
    sharedBottleneck: true,
    mtuBytes: 0,
    up: true,
  };
}

/** @throws HawserError ERR_HAWSER_ARGUMENT when it is not an integer from 0 to 2^64 - 1. */
export function checkSeed(name: string, seed: bigint | number): bigint {
  if (typeof seed === 'number') return BigInt(checkInteger(name, seed, 0, Number.MAX_SAFE_INTEGER));
  if (typeof seed === 'bigint' && seed >= 0n && seed < 2n ** 64n) return seed;
  throw argumentError(name, 'an integer from 0 to 2 ** 64 - 1', describe(seed));
}
