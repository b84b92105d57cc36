// What the tests of hawser/token share.

import fc from 'fast-check';
import { expect } from 'vitest';
import { HawserError, type RandomSource } from '../../src/token/index.js';

/** What is thrown for a wrong argument. */
export const wrongArgument = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });
/** What is thrown for bytes or text that are no token. */
export const invalidToken = expect.objectContaining({ code: 'ERR_HAWSER_TOKEN_INVALID' });

export const serverKey = { id: 7, key: Uint8Array.from({ length: 32 }, (_, index) => index * 3) };

export const createTimeMs = 1_700_000_000_000;
/** A clock that stands still at `createTimeMs`. */
export const now = (): number => createTimeMs;

/** What has to be given to mint a token of either wire format. */
export const mintOptions = {
  protocolId: 0x1122_3344_5566_7788n,
  key: serverKey,
  clientId: 42n,
  addresses: ['192.0.2.1:4433', '[2001:db8::1]:4434'],
} as const;

/** 32 IPv6 addresses: the most that a token has, and the longest. */
export const mostAddresses: readonly string[] = Array.from(
  { length: 32 },
  (_, index) => `[2001:db8::${index + 1}]:65535`,
);

/** What minting refuses in either wire format: the beginning of the message, and the options that are wrong. */
export const wrongMintOptions: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
  ['protocolId must be a bigint', { protocolId: 5 }],
  ['clientId must be a bigint', { clientId: 2n ** 64n }],
  ['clientId must be a bigint', { clientId: -1n }],
  ['key must be a server key', { key: 'secret' }],
  ['addresses must be an array of 1 to 32; got an array of 0', { addresses: [] }],
  [
    'addresses must be an array of 1 to 32; got an array of 33',
    { addresses: new Array(33).fill('1.2.3.4:5') },
  ],
  ['addresses[1] must be an IP address', { addresses: ['1.2.3.4:5', 'example.com:5'] }],
  ['addresses[0] must be an address with a port other than 0', { addresses: ['1.2.3.4:0'] }],
  ['addresses[0] must be the address of one machine', { addresses: ['0.0.0.0:5'] }],
  ['addresses[0] must be the address of one machine', { addresses: ['[::]:5'] }],
  ['userData must be a Uint8Array', { userData: 'text' }],
  ['now must be a function', { now: 5 }],
  ['the result of now must be an integer', { now: () => Number.NaN }],
  ['random must be a function', { random: 5 }],
];

/** A copy of `source` with other bytes at an offset. */
export function patched(source: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
  const copy = source.slice();
  copy.set(bytes, offset);
  return copy;
}

/** A copy of `source` with one bit the other way round. */
export function withFlippedBit(source: Uint8Array, bit: number): Uint8Array {
  const byte = bit >> 3;
  return patched(source, byte, Uint8Array.of((source[byte] ?? 0) ^ (1 << (bit & 7))));
}

/** The code that opening a token is refused with, or `opened`. */
export async function refusalCode(opening: Promise<unknown>): Promise<string> {
  try {
    await opening;
  } catch (error) {
    if (error instanceof HawserError) return error.code;
    throw error;
  }
  return 'opened';
}

/** Every attempt fails, with a message in which no secret can be found, not even its first 20 characters. */
export async function expectNoSecretTold(
  secrets: readonly string[],
  attempts: readonly (() => Promise<unknown>)[],
): Promise<void> {
  for (const attempt of attempts) {
    const error: unknown = await attempt().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(HawserError);
    for (const secret of secrets) expect(String(error)).not.toContain(secret.slice(0, 20));
  }
}

/** A token is read whole or not at all: one that is cut off, or has something behind it, is refused. */
export function expectOnlyWholeRead(token: Uint8Array, decode: (token: Uint8Array) => unknown): void {
  for (let length = 0; length < token.length; ++length) {
    expect(() => decode(token.subarray(0, length))).toThrow(invalidToken);
  }
  expect(() => decode(Buffer.concat([token, Uint8Array.of(0)]))).toThrow(invalidToken);
  expect(() => decode(new Uint8Array(65_536))).toThrow(invalidToken);
}

/** Counts up from `first`: bytes that are known and all differ. */
export function countingRandom(first = 0): RandomSource {
  let next = first;
  return (target) => {
    for (let index = 0; index < target.length; ++index) target[index] = next++ & 0xff;
  };
}

const anyU64 = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });

const anyPort = fc.integer({ min: 1, max: 65535 });
const anyIpv4 = fc
  .tuple(fc.ipV4(), anyPort)
  .filter(([ip]) => ip !== '0.0.0.0')
  .map(([ip, port]) => `${ip}:${port}`);
const anyIpv6 = fc
  .tuple(fc.array(fc.integer({ min: 1, max: 0xffff }), { minLength: 8, maxLength: 8 }), anyPort)
  .map(([groups, port]) => `[${groups.map((group) => group.toString(16)).join(':')}]:${port}`);

const anyAddressText = fc.oneof(anyIpv4, anyIpv6);

/** What is alike in both wire formats, with user data that fits beside any 32 addresses. */
const anyOptions = {
  protocolId: anyU64,
  clientId: anyU64,
  addresses: fc.array(anyAddressText, { minLength: 1, maxLength: 32 }),
  userData: fc.uint8Array({ maxLength: 256 }),
};

/** Options of a whole token. */
export const anyTokenOptions = fc.record({
  ...anyOptions,
  lifetimeMs: fc.integer({ min: 1, max: 86_400_000 }),
  timeoutMs: fc.integer({ min: 1000, max: 3_600_000 }),
  singleUse: fc.boolean(),
});

/** Options of a whole netcode token, which counts in seconds. */
export const anyNetcodeTokenOptions = fc.record({
  ...anyOptions,
  lifetimeMs: fc.integer({ min: 1, max: 86_400 }).map((seconds) => seconds * 1000),
  timeoutMs: fc.integer({ min: 0, max: 3600 }).map((seconds) => seconds * 1000),
});
