import { describe, expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { ProtocolError } from '../../src/interaction/codec.js';
import {
  errorPayload,
  parseErrorPayload,
  parseReadResult,
  parseSubscribeResult,
  readResult,
  type SubscribeResult,
  subscribeResult,
} from '../../src/interaction/payloads.js';
import type { AttributeValues, Value } from '../../src/interaction/values.js';

const values: AttributeValues = new Map<number, Value>([
  [0, null],
  [65_535, 'text'],
]);

function fields(...entries: readonly [number | string, Value][]): Value {
  return new Map(entries);
}

test('the result of a read is its values by their ids, as many as there are', () => {
  expect(parseReadResult(readResult(values))).toStrictEqual(values);
  const all = new Map(Array.from({ length: 65_536 }, (_, id) => [id, 0]));
  expect(parseReadResult(readResult(all)).size).toBe(65_536);
  expect(() => readResult(new Map([[65_536, 0]]))).toThrow(HawserError);
});

test.each<[string, Value | undefined]>([
  ['nothing', undefined],
  ['null', null],
  ['a list', [1]],
  ['a map with a text key', fields(['a', 1])],
  ['a map with a key beyond attribute ids', fields([65_536, 1])],
  ['a map with a negative key', fields([-1, 1])],
])('%s is not the result of a read', (_name, payload) => {
  expect(() => parseReadResult(payload)).toThrow(ProtocolError);
});

describe('the result of a subscribe', () => {
  const result: SubscribeResult = { subscriptionId: 5001, values, minIntervalMs: 0, maxIntervalMs: 60_000 };

  test('says which subscription it is, what the values are, and the intervals as they were chosen', () => {
    const payload = subscribeResult(result, 'hawser');
    expect(payload).toStrictEqual(fields([1, 5001], [2, values], [3, 0], [4, 60_000]));
    expect(parseSubscribeResult(payload)).toStrictEqual(result);
  });

  test('has no intervals in MASH', () => {
    const payload = subscribeResult(result, 'mash');
    expect(payload).toStrictEqual(fields([1, 5001], [2, values]));
    expect(parseSubscribeResult(payload)).toStrictEqual({ subscriptionId: 5001, values });
  });

  test('has no key for values where there are none', () => {
    const payload = subscribeResult({ subscriptionId: 1, values: new Map() }, 'hawser');
    expect(payload).toStrictEqual(fields([1, 1]));
    expect(parseSubscribeResult(payload)).toStrictEqual({ subscriptionId: 1, values: new Map() });
  });

  test.each<[string, Partial<SubscribeResult>]>([
    ['subscription 0', { subscriptionId: 0 }],
    ['a subscription beyond 32 bits', { subscriptionId: 2 ** 32 }],
    ['a value of attribute 65536', { values: new Map([[65_536, 1]]) }],
    ['a negative interval', { minIntervalMs: -1 }],
    ['an interval beyond 32 bits', { maxIntervalMs: 2 ** 32 }],
  ])('cannot be made of %s', (_name, change) => {
    expect(() => subscribeResult({ ...result, ...change }, 'hawser')).toThrow(HawserError);
  });

  test.each<[string, Value | undefined]>([
    ['nothing', undefined],
    ['a list', [1]],
    ['a map without subscription', fields([2, fields()])],
    ['subscription 0', fields([1, 0])],
    ['a subscription that is text', fields([1, '1'])],
    ['values that are null', fields([1, 1], [2, null])],
    ['values with text keys', fields([1, 1], [2, fields(['a', 1])])],
    ['an interval that is negative', fields([1, 1], [3, -1])],
    ['an interval that is null', fields([1, 1], [4, null])],
  ])('is not %s', (_name, payload) => {
    expect(() => parseSubscribeResult(payload)).toThrow(ProtocolError);
  });

  test('may have keys that nobody knows', () => {
    expect(parseSubscribeResult(fields([1, 1], [9, 'x'], ['more', 1])).subscriptionId).toBe(1);
  });
});

test('an error has a message, or none', () => {
  expect(errorPayload('endpoint not found')).toStrictEqual(fields([1, 'endpoint not found']));
  expect(parseErrorPayload(errorPayload('endpoint not found'))).toBe('endpoint not found');
  expect(parseErrorPayload(undefined)).toBeUndefined();
  expect(parseErrorPayload(fields())).toBeUndefined();
  for (const payload of [null, 'text', fields([1, 5]), fields([1, null])]) {
    expect(() => parseErrorPayload(payload)).toThrow(ProtocolError);
  }
});
