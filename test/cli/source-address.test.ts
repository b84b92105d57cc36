import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sourceAddress } from '../../src/cli/source-address.js';

test('addresses begin at 127.1.0.1 and leave .0 and .255 out', () => {
  expect(sourceAddress(0)).toBe('127.1.0.1');
  expect(sourceAddress(253)).toBe('127.1.0.254');
  expect(sourceAddress(254)).toBe('127.1.1.1');
  expect(sourceAddress(254 * 256)).toBe('127.2.0.1');
});

test('100,000 peers have 100,000 addresses', () => {
  expect(new Set(Array.from({ length: 100_000 }, (_, index) => sourceAddress(index))).size).toBe(100_000);
});

test('every address is one of a host in 127.1.0.0 to 127.254.255.255', () => {
  fc.assert(
    fc.property(fc.nat(1_000_000_000), (index) => {
      const [a, b, c, d] = sourceAddress(index).split('.').map(Number);
      expect(a).toBe(127);
      expect(b).toSatisfy((value: number) => value >= 1 && value <= 254);
      expect(c).toSatisfy((value: number) => value >= 0 && value <= 255);
      expect(d).toSatisfy((value: number) => value >= 1 && value <= 254);
    }),
  );
});
