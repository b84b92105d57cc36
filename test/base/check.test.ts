import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as check from '../../src/base/check.js';
import { refusal } from './refusal.js';

describe('describe', () => {
  test.each([
    ['abc', '"abc"'],
    ['x'.repeat(100), `"${'x'.repeat(64)}"... (100 characters)`],
    [5, '5'],
    [-0, '-0'],
    [Number.NaN, 'NaN'],
    [5n, '5n'],
    [undefined, 'undefined'],
    [null, 'null'],
    [true, 'true'],
    [() => 1, 'a function'],
    [Symbol('secret'), 'a symbol'],
    [[1, 2], 'an array of 2'],
    [new Uint8Array([1, 2, 3]), 'a Uint8Array of 3 bytes'],
    [new Map(), 'a Map'],
    [{ secret: 1 }, 'an object'],
    [Object.create(null), 'an object'],
  ])('%o', (value, text) => {
    expect(check.describe(value)).toBe(text);
  });

  test('a secret shows its type and length only', () => {
    expect(check.describeSecret('hunter2')).toBe('a string of 7 characters');
    expect(check.describeSecret(new Uint8Array(31))).toBe('a Uint8Array of 31 bytes');
    expect(check.describeSecret(12345)).toBe('a number');
    expect(check.describeSecret(12345n)).toBe('a bigint');
  });
});

test('checkInteger takes exactly the integers of its range', () => {
  fc.assert(
    fc.property(fc.integer(), fc.integer(), fc.double(), (a, b, value) => {
      const [min, max] = [Math.min(a, b), Math.max(a, b)];
      expect(check.checkInteger('n', min, min, max)).toBe(min);
      expect(check.checkInteger('n', max, min, max)).toBe(max);
      const allowed = Number.isInteger(value) && value >= min && value <= max;
      if (allowed) expect(check.checkInteger('n', value, min, max)).toBe(value);
      else expect(refusal(() => check.checkInteger('n', value, min, max))).toContain(`from ${min} to ${max}`);
    }),
  );
  expect(refusal(() => check.checkInteger('port', '80', 0, 65535))).toBe(
    'port must be an integer from 0 to 65535; got "80"',
  );
});

test('checkNumber takes finite numbers of its range', () => {
  expect(check.checkNumber('rate', 0.5, 0, 1)).toBe(0.5);
  for (const wrong of [-0.1, 1.1, Number.NaN, Number.POSITIVE_INFINITY, '1', 1n]) {
    expect(refusal(() => check.checkNumber('rate', wrong, 0, 1))).toContain(
      'rate must be a number from 0 to 1',
    );
  }
  expect(
    refusal(() => check.checkNumber('n', Number.POSITIVE_INFINITY, 0, Number.POSITIVE_INFINITY)),
  ).toContain('Infinity');
});

test('checkU64 takes bigints of 64 bits and says how to write a number', () => {
  expect(check.checkU64('id', 0n)).toBe(0n);
  expect(check.checkU64('id', 2n ** 64n - 1n)).toBe(2n ** 64n - 1n);
  expect(refusal(() => check.checkU64('id', 2n ** 64n))).toContain('18446744073709551616n');
  expect(refusal(() => check.checkU64('id', -1n))).toContain('-1n');
  expect(refusal(() => check.checkU64('id', 7))).toContain('(write 7n)');
  expect(refusal(() => check.checkU64('id', 0.5))).not.toContain('write');
});

test('checkBytes looks at type and length, and never shows content', () => {
  const key = Uint8Array.of(1, 2, 3);
  expect(check.checkBytes('key', key, 0, 3)).toBe(key);
  expect(check.checkBytes('key', Buffer.from(key), 3, 3)).toHaveLength(3);
  expect(check.checkBytes('key', runInNewContext('new Uint8Array(3)'), 3, 3)).toHaveLength(3);
  expect(refusal(() => check.checkBytes('key', key, 32, 32))).toBe(
    'key must be a Uint8Array of 32 bytes; got a Uint8Array of 3 bytes',
  );
  expect(refusal(() => check.checkBytes('key', 'hunter2', 0, 9))).toBe(
    'key must be a Uint8Array of 0 to 9 bytes; got a string of 7 characters',
  );
  expect(refusal(() => check.checkBytes('key', new Uint16Array(3), 0, 9))).toContain('a Uint16Array');
});

test('checkString', () => {
  expect(check.checkString('name', 'abc')).toBe('abc');
  expect(refusal(() => check.checkString('name', 5))).toBe('name must be a string; got 5');
  expect(refusal(() => check.checkString('name', '', 1))).toBe(
    'name must be a string of at least 1 characters; got ""',
  );
  expect(refusal(() => check.checkString('name', 'abc', 1, 2))).toContain('a string of 1 to 2 characters');
});

test('checkBoolean, checkFunction, checkArray', () => {
  expect(check.checkBoolean('flag', false)).toBe(false);
  expect(refusal(() => check.checkBoolean('flag', 0))).toBe('flag must be true or false; got 0');
  expect(check.checkFunction('now', Date.now)).toBe(Date.now);
  expect(refusal(() => check.checkFunction<unknown>('now', 5))).toBe('now must be a function; got 5');
  expect(check.checkArray('list', [1], 1, 1)).toEqual([1]);
  expect(refusal(() => check.checkArray('list', [], 1, 32))).toBe(
    'list must be an array of 1 to 32; got an array of 0',
  );
  expect(refusal(() => check.checkArray('list', { length: 1 }, 1, 32))).toContain('an object');
});

test('checkOneOf suggests the nearest', () => {
  expect(check.checkOneOf('policy', 'reject', ['replace', 'reject'])).toBe('reject');
  expect(refusal(() => check.checkOneOf('policy', 'Rejects', ['replace', 'reject']))).toBe(
    `policy must be one of 'replace', 'reject'; got "Rejects"; did you mean 'reject'?`,
  );
  expect(refusal(() => check.checkOneOf('policy', 1, ['replace', 'reject']))).toBe(
    `policy must be one of 'replace', 'reject'; got 1`,
  );
});

describe('checkOptions', () => {
  const known = ['maxPeers', 'address', 'timeoutMs'];

  test('takes an object with any of the known options', () => {
    const options = { maxPeers: 5 };
    expect(check.checkOptions('options', options, known)).toBe(options);
    expect(check.checkOptions('options', Object.create(null), known)).toEqual({});
    expect(check.checkOptions('options', runInNewContext('({maxPeers: 1})'), known)).toEqual({ maxPeers: 1 });
  });

  test.each([
    [{ maxPeer: 1 }, "unknown option 'maxPeer' in options; did you mean 'maxPeers'?"],
    [{ timeoutms: 1 }, "unknown option 'timeoutms' in options; did you mean 'timeoutMs'?"],
    [{ adress: 1 }, "unknown option 'adress' in options; did you mean 'address'?"],
    [{ colour: 1 }, "unknown option 'colour' in options; known are maxPeers, address, timeoutMs"],
    [undefined, 'options must be an object; got undefined'],
    [[], 'options must be an object; got an array of 0'],
    [new Uint8Array(1), 'options must be an object; got a Uint8Array of 1 bytes'],
  ])('refuses %o', (value, message) => {
    expect(refusal(() => check.checkOptions('options', value, known))).toBe(message);
  });
});
