// When two values are the same: what tells a change from a value that was only written again.

import { limits } from './codec.js';
import type { Value } from './values.js';

/**
 * Whether two values are equal in what they say: NaN is NaN, 0 is -0 (a value that only changes the sign of its zero has not changed), an
 * integer is the same as number and as bigint, bytes and lists are equal by content, maps whatever the order of their keys. Values of
 * different types are never equal otherwise: 1 is not true, not '1' and not [1].
 *
 * Lists and maps beyond the nesting that a message may have are not equal to anything, so that a cycle ends: no message can carry them.
 */
export function equalValues(a: Value, b: Value): boolean {
  return equalWithin(a, b, limits.depth);
}

function equalWithin(a: Value, b: Value, depth: number): boolean {
  if (a === b && (typeof a !== 'object' || a === null)) return true;
  switch (typeof a) {
    case 'number':
      return equalNumber(a, b);
    case 'bigint':
      return typeof b === 'number' && equalNumber(b, a);
    case 'object':
      return a !== null && typeof b === 'object' && b !== null && equalObjects(a, b, depth);
    default:
      return false;
  }
}

/** Of numbers that are not identical. */
function equalNumber(a: number, b: Value): boolean {
  // Exact: beyond 2^53 a bigint would be rounded to become a number.
  if (typeof b === 'bigint') return Number.isInteger(a) && BigInt(a) === b;
  return Number.isNaN(a) && Number.isNaN(b);
}

type Composite = Extract<Value, object>;

function equalObjects(a: Composite, b: Composite, depth: number): boolean {
  if (a instanceof Uint8Array) return b instanceof Uint8Array && Buffer.compare(a, b) === 0;
  if (b instanceof Uint8Array || depth === 0) return false;
  if (isMap(a)) return isMap(b) && equalMaps(a, b, depth - 1);
  return !isMap(b) && equalLists(a, b, depth - 1);
}

function isMap(
  value: Exclude<Composite, Uint8Array>,
): value is Extract<Composite, ReadonlyMap<number | string, Value>> {
  return value instanceof Map;
}

function equalLists(a: readonly Value[], b: readonly Value[], depth: number): boolean {
  if (a.length !== b.length) return false;
  return a.every((each, index) => {
    const other = b[index];
    return other !== undefined && equalWithin(each, other, depth);
  });
}

function equalMaps(
  a: ReadonlyMap<number | string, Value>,
  b: ReadonlyMap<number | string, Value>,
  depth: number,
): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) {
    const other = b.get(key);
    if (other === undefined || !equalWithin(value, other, depth)) return false;
  }
  return true;
}
