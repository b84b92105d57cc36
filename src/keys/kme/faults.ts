// What a development KME can be told to do wrong, so that an SAE can be seen to cope with it.

import {
  argumentError,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  describe,
} from '../../base/check.js';
import type { Random } from '../../base/random.js';
import { type KmeMethod, kmeMethods } from './methods.js';

/**
 * - `status`: answers with that status, and delivers nothing;
 * - `delay`: begins so much later;
 * - `drop-before`: closes the connection before anything is done;
 * - `drop-after`: closes it when the keys are delivered, without an answer; `truncate`: with half of it;
 * - `short`: delivers one key fewer; `duplicate`: gives two the same id; `foreign`: gives one another id;
 * - `wrong-size`: a key one byte shorter; `bad-base64`: a key that is no base64;
 * - `garbage`: an answer that is no JSON; `media-type`: one that claims to be HTML; `too-long`: one of more than 1 MiB.
 */
export const faultKinds = [
  'status',
  'delay',
  'drop-before',
  'drop-after',
  'truncate',
  'short',
  'duplicate',
  'foreign',
  'wrong-size',
  'bad-base64',
  'garbage',
  'media-type',
  'too-long',
] as const;

/** One of `faultKinds`. */
export type FaultKind = (typeof faultKinds)[number];

/** Something that a KME for tests does wrong on purpose. */
export interface KmeFault {
  /** What it does wrong. */
  readonly kind: FaultKind;
  /** Where it strikes; everywhere by default. */
  readonly method?: KmeMethod;
  /** With `status`: 200 to 599, 503 by default. */
  readonly status?: number;
  /** With `delay`: 0 to 3,600,000; 1000 by default. */
  readonly delayMs?: number;
  /** The share of requests that it strikes, more than 0 up to 1, which is the default. */
  readonly share?: number;
  /** How often it strikes before it is over: 1 to 1,000,000,000; without end by default. */
  readonly times?: number;
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkFault(fault: KmeFault): KmeFault {
  checkOptions('fault', fault, ['kind', 'method', 'status', 'delayMs', 'share', 'times']);
  checkOneOf('fault.kind', fault.kind, faultKinds);
  if (fault.method !== undefined) checkOneOf('fault.method', fault.method, kmeMethods);
  if (fault.status !== undefined) checkInteger('fault.status', fault.status, 200, 599);
  if (fault.delayMs !== undefined) checkInteger('fault.delayMs', fault.delayMs, 0, 3_600_000);
  if (fault.share !== undefined) checkNumber('fault.share', fault.share, Number.MIN_VALUE, 1);
  if (fault.times !== undefined) checkInteger('fault.times', fault.times, 1, 1_000_000_000);
  return fault;
}

/**
 * Reads `[METHOD:]KIND[=VALUE][@SHARE][xTIMES]`: `dec_keys:drop-after`, `status=503@0.1`, `enc_keys:delay=2000x3`.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function parseFault(text: string): KmeFault {
  const match = /^(?:([a-z_]+):)?([a-z\d-]+?)(?:=(\d{1,7}))?(?:@(\d*\.?\d+))?(?:x(\d{1,9}))?$/.exec(text);
  if (match === null) {
    throw argumentError(
      'fault',
      '[METHOD:]KIND[=VALUE][@SHARE][xTIMES], such as dec_keys:drop-after@0.1',
      describe(text),
    );
  }
  const [, method, kind, value, share, times] = match;
  const checkedKind = checkOneOf('the kind of fault', kind, faultKinds);
  if (value !== undefined && checkedKind !== 'status' && checkedKind !== 'delay') {
    throw argumentError('fault', 'without a value: only status and delay have one', describe(text));
  }
  return checkFault({
    kind: checkedKind,
    ...(method !== undefined && { method: checkOneOf('the method of a fault', method, kmeMethods) }),
    ...(value !== undefined &&
      (checkedKind === 'status' ? { status: Number(value) } : { delayMs: Number(value) })),
    ...(share !== undefined && { share: Number(share) }),
    ...(times !== undefined && { times: Number(times) }),
  });
}

/** The faults of one KME, and how often each still strikes. */
export class Faults {
  readonly #random: Random;
  readonly #active: { readonly fault: KmeFault; left: number }[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  add(fault: KmeFault): void {
    this.#active.push({ fault: checkFault(fault), left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#active.length = 0;
  }

  /** What strikes a request: each kind at most once. */
  strike(method: KmeMethod): ReadonlyMap<FaultKind, KmeFault> {
    const struck = new Map<FaultKind, KmeFault>();
    for (const entry of this.#active) {
      const { fault } = entry;
      if (entry.left === 0 || struck.has(fault.kind)) continue;
      if (fault.method !== undefined && fault.method !== method) continue;
      if (fault.share !== undefined && this.#random() >= fault.share) continue;
      --entry.left;
      struck.set(fault.kind, fault);
    }
    return struck;
  }
}
