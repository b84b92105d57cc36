// What attributes, payloads and parameters are made of.

import type { CborValue } from '../base/cbor.js';

/**
 * A value that CBOR carries: an integer (a bigint where a number would not be exact), a float, a string, bytes, a list,
 * or a map with integer or string keys. What is received has maps as `Map`, never as objects.
 */
export type Value = CborValue;

/** Values of attributes by their ids, 0 to 65,535. */
export type AttributeValues = ReadonlyMap<number, Value>;
