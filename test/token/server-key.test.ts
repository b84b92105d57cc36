import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatKey, generateKey, parseKey } from '../../src/token/index.js';
import { countingRandom, wrongArgument } from './support.js';

const anyKey = fc.record({
  id: fc.integer({ min: 0, max: 0xffff_ffff }),
  key: fc.uint8Array({ minLength: 32, maxLength: 32 }),
});

test('generated keys are fresh, 32 bytes, with an id of 32 bits', () => {
  const [a, b] = [generateKey(), generateKey()];
  expect(a.key).toHaveLength(32);
  expect(a.key).not.toEqual(b.key);
  expect(a.id).not.toBe(b.id);
  expect(generateKey({ id: 7 }).id).toBe(7);
});

test('id and bytes come from the random source: four bytes of id, little-endian, then the key', () => {
  const key = generateKey({ random: countingRandom() });
  expect(key).toEqual({ id: 0x03020100, key: Uint8Array.from({ length: 32 }, (_, index) => index + 4) });
});

test('the text form of a known key', () => {
  const key = { id: 5, key: new Uint8Array(32).fill(0xff) };
  expect(formatKey(key)).toBe(`hawser-key-1:5:${'_'.repeat(42)}8`);
});

test('text and object forms round trip', () => {
  fc.assert(
    fc.property(anyKey, (key) => {
      expect(parseKey(formatKey(key))).toEqual(key);
      expect(parseKey(key)).toEqual(key);
      // As a file gives it.
      expect(parseKey(` ${formatKey(key)}\n`)).toEqual(key);
    }),
  );
});

test('a parsed key shares no memory with its source', () => {
  for (const key of [new Uint8Array(32), Buffer.alloc(32)]) {
    const parsed = parseKey({ id: 1, key });
    key.fill(1);
    expect(parsed.key).toEqual(new Uint8Array(32));
  }
});

test.each([
  '',
  'hawser-key-1',
  `hawser-key-2:5:${'A'.repeat(43)}`,
  `hawser-key-1:4294967296:${'A'.repeat(43)}`,
  `hawser-key-1:05:${'A'.repeat(43)}`,
  `hawser-key-1:-5:${'A'.repeat(43)}`,
  `hawser-key-1:5:${'A'.repeat(42)}`,
  `hawser-key-1:5:${'A'.repeat(44)}`,
  `hawser-key-1:5:${'A'.repeat(43)}=`,
  `hawser-key-1:5:${'A'.repeat(42)}+`,
  `hawser-key-1:5:${'A'.repeat(42)}B`,
  `hawser-key-1:5:${'A'.repeat(43)} x`,
  `hawser-key-1: 5:${'A'.repeat(43)}`,
])('%j is refused without being repeated', (text) => {
  expect(() => parseKey(text, 'keys[0]')).toThrow(wrongArgument);
  expect(() => parseKey(text, 'keys[0]')).toThrow(/^keys\[0\] must be .*; got a string of \d+ characters$/);
});

test.each([
  [null],
  [5],
  [{}],
  [{ id: 1 }],
  [{ id: -1, key: new Uint8Array(32) }],
  [{ id: 2 ** 32, key: new Uint8Array(32) }],
  [{ id: 1, key: new Uint8Array(31) }],
  [{ id: 1, key: 'x'.repeat(32) }],
  [{ id: 1, key: new Uint8Array(32), name: 'extra' }],
])('%o is not a key', (value) => {
  expect(() => parseKey(value)).toThrow(wrongArgument);
});

test('wrong options of generateKey', () => {
  expect(() => generateKey({ id: -1 })).toThrow(wrongArgument);
  expect(() => generateKey({ id: 1.5 })).toThrow(wrongArgument);
});
