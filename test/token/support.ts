// What the tests of hawser/token share.

import fc from 'fast-check';
import type { RandomSource } from '../../src/token/index.js';

export const serverKey = { id: 7, key: Uint8Array.from({ length: 32 }, (_, index) => index * 3) };

/** Counts up from `first`: bytes that are known and all differ. */
export function countingRandom(first = 0): RandomSource {
  let next = first;
  return (target) => {
    for (let index = 0; index < target.length; ++index) target[index] = next++ & 0xff;
  };
}

export const anyU64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

const anyPort = fc.integer({ min: 1, max: 65535 });
const anyIpv4 = fc
  .tuple(fc.ipV4(), anyPort)
  .filter(([ip]) => ip !== '0.0.0.0')
  .map(([ip, port]) => `${ip}:${port}`);
const anyIpv6 = fc
  .tuple(fc.array(fc.integer({ min: 1, max: 0xffff }), { minLength: 8, maxLength: 8 }), anyPort)
  .map(([groups, port]) => `[${groups.map((group) => group.toString(16)).join(':')}]:${port}`);

export const anyAddressText = fc.oneof(anyIpv4, anyIpv6);

/** Options of a whole token, with user data that fits beside any 32 addresses. */
export const anyTokenOptions = fc.record({
  protocolId: anyU64,
  clientId: anyU64,
  addresses: fc.array(anyAddressText, { minLength: 1, maxLength: 32 }),
  lifetimeMs: fc.integer({ min: 1, max: 86_400_000 }),
  timeoutMs: fc.integer({ min: 1000, max: 3_600_000 }),
  userData: fc.uint8Array({ maxLength: 256 }),
  singleUse: fc.boolean(),
});
