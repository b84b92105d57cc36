// Bad networks on purpose: the option that impairs the traffic of a real socket, and the checks that it shares with the links
// of simulated networks.

import { randomBytes } from 'node:crypto';
import { argumentError, checkInteger, checkNumber, checkOptions, describe } from '../base/check.js';
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
  /** Share of datagrams that are overtaken by later ones, 0 to 1; 0 by default. All others keep the order of their peer. */
  readonly reorderRate?: number;
  /** One way, in milliseconds, 0 to 60,000; 0 by default. Kept to about a millisecond. */
  readonly delayMs?: number;
  /** Added to the delay, uniformly between 0 and this; 0 by default. */
  readonly jitterMs?: number;
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

/** The numbers of {@link ImpairmentOptions}, all there. */
export type ImpairmentNumbers = Required<Omit<ImpairmentOptions, 'seed'>>;

export const defaultQueueBytes = 65_536;
/** More than any link has, and yet exact in the addon's arithmetic. */
export const maxLinkBytes: number = 2 ** 40;
export const maxDelayMs = 60_000;

const defaults: ImpairmentNumbers = {
  lossRate: 0,
  duplicateRate: 0,
  reorderRate: 0,
  delayMs: 0,
  jitterMs: 0,
  bytesPerSecond: 0,
  queueBytes: defaultQueueBytes,
};

const names: readonly string[] = [...Object.keys(defaults), 'seed'];

/**
 * @param prefix stands before the names in messages.
 * @param fallback what is left out is as here.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkImpairment(
  prefix: string,
  given: ImpairmentOptions,
  fallback: ImpairmentNumbers,
): ImpairmentNumbers {
  type Name = keyof ImpairmentNumbers;
  const number = (name: Name, max: number): number =>
    checkNumber(prefix + name, given[name] ?? fallback[name], 0, max);
  const integer = (name: Name): number =>
    checkInteger(prefix + name, given[name] ?? fallback[name], 0, maxLinkBytes);
  return {
    lossRate: number('lossRate', 1),
    duplicateRate: number('duplicateRate', 1),
    reorderRate: number('reorderRate', 1),
    delayMs: number('delayMs', maxDelayMs),
    jitterMs: number('jitterMs', maxDelayMs),
    bytesPerSecond: integer('bytesPerSecond'),
    queueBytes: integer('queueBytes'),
  };
}

/** The option `simulate` as the addon takes it. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkSimulate(options: ImpairmentOptions): NativeImpairment {
  checkOptions('simulate', options, names);
  return {
    ...checkImpairment('simulate.', options, defaults),
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
