// Tokens that nobody honest made: each is refused with a typed error, none is read half.

import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { decodeToken, encodeToken, mintToken, openToken } from '../../src/token/index.js';
import { concat, u16, u32, u64 } from '../reference/bytes.js';
import * as reference from '../reference/hawser1.js';
import {
  expectNoSecretTold,
  expectOnlyWholeRead,
  invalidToken,
  patched,
  refusalCode,
  serverKey,
  withFlippedBit,
} from './support.js';

let token: Uint8Array;

beforeAll(async () => {
  await reference.ready;
  const addresses = ['192.0.2.1:4433', '[2001:db8::1]:4434'];
  token = await mintToken({
    protocolId: 1n,
    key: serverKey,
    clientId: 42n,
    addresses,
    userData: Uint8Array.of(1, 2, 3),
  });
});

/** A token whose private part is `plaintext`, properly sealed: a faulty or hostile minter that has the key. */
function sealedAround(plaintext: Uint8Array): Uint8Array {
  const clear = reference.decodeToken(token);
  return patched(
    token,
    64,
    reference.seal(serverKey.key, clear.nonce, reference.associatedData(clear), plaintext),
  );
}

function plaintextOf(): Uint8Array {
  const clear = reference.decodeToken(token);
  return reference.open(serverKey.key, clear.nonce, reference.associatedData(clear), clear.sealed);
}

/** As `refusalCode`, with the right key. */
const refusal = (candidate: Uint8Array): Promise<string> => refusalCode(openToken(candidate, [serverKey]));

test('every truncation, and every extension', () => {
  expectOnlyWholeRead(token, decodeToken);
});

test('every flipped bit is noticed by whoever has the server key', async () => {
  for (let bit = 0; bit < token.length * 8; ++bit) {
    expect(await refusal(withFlippedBit(token, bit))).toMatch(/^ERR_HAWSER_TOKEN_(INVALID|KEY)$/);
  }
});

describe('hostile public parts', () => {
  test.each<[string, number, Uint8Array]>([
    ['another version', 0, new TextEncoder().encode('HAWSER 2')],
    ['an unknown flag', 20, u32(2)],
    ['the highest flag', 20, u32(0x8000_0000)],
    ['expiry before creation', 32, new Uint8Array(8)],
    ['expiry at 2^53', 32, u64(2n ** 53n)],
    ['both times at 2^64 - 1', 24, new Uint8Array(16).fill(255)],
    ['timeout 0', 1040, u32(0)],
    ['timeout 999', 1040, u32(999)],
    ['timeout 3,600,001', 1040, u32(3_600_001)],
    ['timeout 2^32 - 1', 1040, u32(0xffff_ffff)],
    ['no address', 1044, u16(0)],
    ['one address fewer', 1044, u16(1)],
    ['one address more', 1044, u16(3)],
    ['33 addresses', 1044, u16(33)],
    ['65,535 addresses', 1044, u16(0xffff)],
    ['reserved bytes', 1046, u16(1)],
    ['address kind 0', 1112, Uint8Array.of(0)],
    ['address kind 3', 1112, Uint8Array.of(3)],
    ['IPv4 taken for IPv6', 1112, Uint8Array.of(2)],
    ['0.0.0.0', 1113, new Uint8Array(4)],
    ['port 0', 1117, u16(0)],
    ['an unspecified IPv6 address', 1120, new Uint8Array(16)],
    ['an IPv4-mapped address', 1120, concat(new Uint8Array(10), Uint8Array.of(255, 255, 1, 2, 3, 4))],
  ])('%s', (_, offset, bytes) => {
    expect(() => decodeToken(patched(token, offset, bytes))).toThrow(invalidToken);
  });
});

describe('hostile private parts under the right key', () => {
  test.each<[string, number, Uint8Array]>([
    ['timeout 999', 8, u32(999)],
    ['timeout 3,600,001', 8, u32(3_600_001)],
    ['no address', 12, u16(0)],
    ['33 addresses', 12, u16(33)],
    ['65,535 addresses', 12, u16(0xffff)],
    ['user data beyond the end', 14, u16(864 - 26 + 1)],
    ['65,535 bytes of user data', 14, u16(0xffff)],
    ['user data shorter than what is there', 14, u16(2)],
    ['reserved bytes', 80, Uint8Array.of(1)],
    ['the last reserved byte', 95, Uint8Array.of(1)],
    ['the last byte of the padding', 959, Uint8Array.of(1)],
    ['an invalid address', 96, Uint8Array.of(9)],
    ['another timeout than the public part', 8, u32(20_000)],
    ['another address than the public part', 97, Uint8Array.of(193)],
    ['another client-to-server key than the public part', 16, new Uint8Array(32)],
    ['another server-to-client key than the public part', 48, new Uint8Array(32)],
  ])('%s', async (_, offset, bytes) => {
    const plaintext = patched(plaintextOf(), offset, bytes);
    expect(await refusal(sealedAround(plaintext))).toBe('ERR_HAWSER_TOKEN_INVALID');
  });

  test('the same bytes unchanged are accepted', async () => {
    expect(await refusal(sealedAround(plaintextOf()))).toBe('opened');
  });
});

describe('text', () => {
  test.each<[string, (text: string) => string]>([
    ['empty', () => ''],
    ['padding', (text) => `${text}=`],
    ['a newline', (text) => `${text}\n`],
    ['the other alphabet', (text) => `${text.slice(0, 400)}+${text.slice(401)}`],
    ['a character outside ASCII', (text) => `${text.slice(0, 400)}\u0100${text.slice(401)}`],
    ['a letter missing', (text) => text.slice(0, -1)],
  ])('%s', (_, change) => {
    expect(() => decodeToken(change(encodeToken(token)))).toThrow(invalidToken);
  });

  test('the spare bits of the last letter are zero', async () => {
    const text = encodeToken(
      await mintToken({ protocolId: 1n, key: serverKey, clientId: 1n, addresses: ['1.2.3.4:256'] }),
    );
    // 1,119 bytes are a multiple of three: no spare bits. With an IPv6 address there are.
    expect(text).toHaveLength(1492);
    const spare = encodeToken(token);
    expect(token.length % 3).not.toBe(0);
    const last = spare.at(-1) ?? '';
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
    const sibling = alphabet[alphabet.indexOf(last) ^ 1] ?? '';
    expect(() => decodeToken(spare.slice(0, -1) + sibling)).toThrow(invalidToken);
  });

  test('nothing but a token can be encoded', () => {
    expect(() => encodeToken(new Uint8Array(1200))).toThrow(invalidToken);
  });
});

test('any bytes are refused with a typed error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2000 }), (bytes) => {
      expect(() => decodeToken(bytes)).toThrow(invalidToken);
    }),
  );
});

test('no message repeats a key or the token', async () => {
  const secrets = [encodeToken(token), Buffer.from(serverKey.key).toString('base64url')];
  const attempts = [
    () => openToken(token, [{ id: 7, key: new Uint8Array(32) }]),
    () => openToken(encodeToken(token).slice(0, -5), [serverKey]),
    () => openToken(token, [{ id: -1, key: serverKey.key }]),
    () => openToken(token, [Buffer.from(serverKey.key).toString('base64url')]),
  ];
  await expectNoSecretTold(secrets, attempts);
});
