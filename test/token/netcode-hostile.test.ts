// Netcode tokens that nobody honest made: each is refused with a typed error, none is read half.

import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  decodeNetcodeToken,
  encodeNetcodeToken,
  mintNetcodeToken,
  mintToken,
  openNetcodeToken,
} from '../../src/token/index.js';
import { concat, u32, u64, utf8 } from '../reference/bytes.js';
import * as reference from '../reference/netcode.js';
import {
  expectNoSecretTold,
  expectOnlyWholeRead,
  invalidToken,
  patched,
  refusalCode,
  serverKey,
  withFlippedBit,
} from './support.js';

const options = {
  protocolId: 1n,
  key: serverKey,
  clientId: 42n,
  addresses: ['192.0.2.1:4433', '[2001:db8::1]:4434'],
  userData: Uint8Array.of(1, 2, 3),
};

let token: Uint8Array;

beforeAll(async () => {
  await reference.ready;
  token = await mintNetcodeToken(options);
});

/** A token whose private part is `plaintext`, properly sealed: a faulty or hostile minter that has the key. */
function sealedAround(plaintext: Uint8Array): Uint8Array {
  const clear = reference.decodeToken(token);
  return patched(token, 61, reference.sealPrivate(serverKey.key, clear, plaintext));
}

function plaintextOf(): Uint8Array {
  const clear = reference.decodeToken(token);
  return reference.openPrivate(serverKey.key, clear, clear.sealed);
}

/** As `refusalCode`, with the right key. */
const refusal = (candidate: Uint8Array): Promise<string> =>
  refusalCode(openNetcodeToken(candidate, [serverKey]));

test('every truncation, and every extension', () => {
  expectOnlyWholeRead(token, decodeNetcodeToken);
});

test('every flipped bit is noticed by whoever has the key, but in the create time and the padding', async () => {
  // The format authenticates neither; see sections "Connect Token" of the standard.
  const end = 1093 + 7 + 19 + 64;
  for (let bit = 0; bit < end * 8; ++bit) {
    const byte = bit >> 3;
    if (byte < 21 || byte >= 29) {
      expect(await refusal(withFlippedBit(token, bit)), `bit ${bit}`).toMatch(
        /^ERR_HAWSER_TOKEN_(INVALID|KEY)$/,
      );
    }
  }
  expect(await refusal(patched(token, end, new Uint8Array(2048 - end).fill(255)))).toBe('opened');
});

describe('hostile public parts', () => {
  test.each<[string, number, Uint8Array]>([
    ['another version', 0, utf8('NETCODE 1.01')],
    ['a version without its NUL', 12, utf8(' ')],
    ['expiry before creation', 29, u64(0n)],
    ['creation at 2^64 - 1', 21, new Uint8Array(8).fill(255)],
    ['no address', 1089, u32(0)],
    ['one address more, which is a key', 1089, u32(3)],
    ['33 addresses', 1089, u32(33)],
    ['2^32 - 1 addresses', 1089, u32(0xffff_ffff)],
    ['address type 0', 1093, Uint8Array.of(0)],
    ['address type 3', 1093, Uint8Array.of(3)],
    ['address type 0 of the second', 1100, Uint8Array.of(0)],
  ])('%s', (_, offset, bytes) => {
    // A key could begin with a valid type of address by chance.
    const keyed = patched(token, 1093 + 26, new Uint8Array(64));
    expect(() => decodeNetcodeToken(patched(keyed, offset, bytes))).toThrow(invalidToken);
  });

  test('IPv4 taken for IPv6 shifts everything behind it, and is noticed with the key', async () => {
    expect(await refusal(patched(token, 1093, Uint8Array.of(2)))).toBe('ERR_HAWSER_TOKEN_INVALID');
  });

  test('any timeout is one: only its sign matters below 1', () => {
    for (const seconds of [0, 0x8000_0000, 0xffff_ffff])
      expect(decodeNetcodeToken(patched(token, 1085, u32(seconds))).timeoutMs).toBe(0);
    expect(decodeNetcodeToken(patched(token, 1085, u32(0x7fff_ffff))).timeoutMs).toBe((2 ** 31 - 1) * 1000);
  });

  test('times that a number cannot hold are Infinity', () => {
    const largest = BigInt(Math.floor(Number.MAX_SAFE_INTEGER / 1000));
    const expiry = (seconds: bigint): number =>
      decodeNetcodeToken(patched(token, 29, u64(seconds))).expireTimeMs;
    expect(expiry(largest)).toBe(Number(largest) * 1000);
    expect(expiry(largest + 1n)).toBe(Number.POSITIVE_INFINITY);
    expect(decodeNetcodeToken(patched(token, 21, new Uint8Array(16).fill(255)))).toMatchObject({
      createTimeMs: Number.POSITIVE_INFINITY,
      expireTimeMs: Number.POSITIVE_INFINITY,
    });
  });

  test('a token of HAWSER', async () => {
    const other = await mintToken({ ...options, addresses: ['192.0.2.1:1'] });
    expect(() => decodeNetcodeToken(other)).toThrow(invalidToken);
    expect(() => decodeNetcodeToken(concat(other, new Uint8Array(2048 - other.length)))).toThrow(
      'does not begin with "NETCODE 1.02"',
    );
  });
});

describe('hostile private parts under the right key', () => {
  test.each<[string, number, Uint8Array]>([
    ['no address', 12, u32(0)],
    ['33 addresses', 12, u32(33)],
    ['2^32 - 1 addresses', 12, u32(0xffff_ffff)],
    ['address type 0', 16, Uint8Array.of(0)],
    ['address type 9 of the second', 23, Uint8Array.of(9)],
    ['another timeout than the public part', 8, u32(20)],
    ['another address than the public part', 17, Uint8Array.of(193)],
    ['another client-to-server key than the public part', 42, new Uint8Array(32)],
    ['another server-to-client key than the public part', 74, new Uint8Array(32)],
  ])('%s', async (_, offset, bytes) => {
    const plaintext = patched(plaintextOf(), offset, bytes);
    expect(await refusal(sealedAround(plaintext))).toBe('ERR_HAWSER_TOKEN_INVALID');
  });

  test('32 addresses of zeros are addresses, and end where the private part has room', async () => {
    const addresses = new Uint8Array(32 * 19);
    for (let index = 0; index < 32; ++index) addresses[index * 19] = 2;
    const plaintext = patched(plaintextOf(), 12, concat(u32(32), addresses, new Uint8Array(64 + 256)));
    const shared = concat(plaintext.slice(8, 16), addresses, new Uint8Array(64));
    const opened = await openNetcodeToken(patched(sealedAround(plaintext), 1085, shared), [serverKey]);
    expect(opened.addresses).toEqual(new Array(32).fill({ host: '::', port: 0 }));
    expect(opened.userData).toEqual(new Uint8Array(256));
  });

  test('33 addresses that are there', async () => {
    const one = Uint8Array.of(1, 192, 0, 2, 1, 0, 1);
    const list = (count: number): Uint8Array =>
      concat(u32(15), u32(count), ...new Array<Uint8Array>(count).fill(one), new Uint8Array(64));
    const codes = [32, 33].map((count) => {
      const plaintext = patched(plaintextOf(), 8, concat(list(count), new Uint8Array(256)));
      return refusal(patched(sealedAround(plaintext), 1085, list(count)));
    });
    expect(await Promise.all(codes)).toEqual(['opened', 'ERR_HAWSER_TOKEN_INVALID']);
    expect(() => decodeNetcodeToken(patched(token, 1085, list(33)))).toThrow(
      '33 addresses instead of 1 to 32',
    );
  });

  test('the same bytes unchanged, and padding of any bytes, are accepted', async () => {
    expect(await refusal(sealedAround(plaintextOf()))).toBe('opened');
    const end = 16 + 26 + 64 + 256;
    const padding = new Uint8Array(1008 - end).fill(255);
    expect(await refusal(sealedAround(patched(plaintextOf(), end, padding)))).toBe('opened');
  });
});

describe('text', () => {
  test.each<[string, (text: string) => string]>([
    ['empty', () => ''],
    ['padding', (text) => `${text}=`],
    ['a newline', (text) => `${text}\n`],
    ['the other alphabet', (text) => `${text.slice(0, 400)}+${text.slice(401)}`],
    ['a letter missing', (text) => text.slice(0, -1)],
    ['spare bits of the last letter', (text) => `${text.slice(0, -1)}B`],
  ])('%s', (_, change) => {
    expect(() => decodeNetcodeToken(change(encodeNetcodeToken(token)))).toThrow(invalidToken);
  });

  test('nothing but a token can be encoded', () => {
    expect(() => encodeNetcodeToken(new Uint8Array(2048))).toThrow(invalidToken);
  });
});

test('any bytes are refused with a typed error, also behind the right version', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
      expect(() => decodeNetcodeToken(bytes)).toThrow(invalidToken);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 2035, maxLength: 2035 }), (bytes) => {
      try {
        decodeNetcodeToken(concat(reference.version, bytes));
      } catch (error) {
        expect(error).toEqual(invalidToken);
      }
    }),
  );
});

test('any plaintext under the right key is read or refused with a typed error', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ minLength: 1008, maxLength: 1008 }),
      fc.integer({ min: 0, max: 40 }),
      async (bytes, count) => {
        const plaintext = patched(bytes, 12, u32(count));
        expect(await refusal(sealedAround(plaintext))).toBe('ERR_HAWSER_TOKEN_INVALID');
      },
    ),
  );
});

test('no message repeats a key or the token', async () => {
  const key = Buffer.from(serverKey.key).toString('base64url');
  const secrets = [encodeNetcodeToken(token), key];
  const attempts = [
    () => openNetcodeToken(token, [new Uint8Array(32)]),
    () => openNetcodeToken(encodeNetcodeToken(token).slice(0, -5), [serverKey]),
    () => openNetcodeToken(token, [{ id: -1, key: serverKey.key }]),
    () => openNetcodeToken(token, [key]),
    () => openNetcodeToken(token, [serverKey.key.subarray(1)]),
  ];
  await expectNoSecretTold(secrets, attempts);
});
