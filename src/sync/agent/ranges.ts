// The ranges of a ReqRet: what a manager asks for again, as what there is to send again.

import type { Pair } from '../wire/messages.js';

/** Sequence numbers, both ends included. */
export interface SeqRange {
  readonly begin: number;
  readonly end: number;
}

/**
 * The items that a ReqRet names, each once and in order, however its ranges overlap (source document, "ReqRet Message").
 *
 * @param size the items of the session. What lies beyond is left out.
 * @returns undefined when the ranges are no request: there are none, one is reversed, or none has an item of the session.
 */
export function requestedRanges(pairs: readonly Pair[], size: number): SeqRange[] | undefined {
  const last = BigInt(size) - 1n;
  const within: SeqRange[] = [];
  for (const { begin, end } of pairs) {
    if (end < begin) return undefined;
    if (begin <= last) within.push({ begin: Number(begin), end: Number(end < last ? end : last) });
  }
  return within.length === 0 ? undefined : merged(within);
}

function merged(ranges: SeqRange[]): SeqRange[] {
  ranges.sort((a, b) => a.begin - b.begin);
  const result: SeqRange[] = [];
  for (const range of ranges) {
    const previous = result.at(-1);
    if (previous === undefined || range.begin > previous.end + 1) result.push(range);
    else if (range.end > previous.end) result[result.length - 1] = { begin: previous.begin, end: range.end };
  }
  return result;
}

/** How many items there are in ranges that do not overlap. */
export function itemsIn(ranges: readonly SeqRange[]): number {
  return ranges.reduce((sum, { begin, end }) => sum + end - begin + 1, 0);
}
