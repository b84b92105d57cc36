// Key containers: what is taken and what is refused, and that no key stays where it was.

import { randomBytes } from 'node:crypto';
import { afterEach, expect, test, vi } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { type Random, seededRandom } from '../../../src/base/random.js';
import { type SecretBytes, secretFrom } from '../../../src/base/secret-bytes.js';
import { readKeyContainer } from '../../../src/keys/kme/key-container.js';
import { writeKeyContainer } from '../../../src/keys/kme/key-container-writer.js';
import type { DeliveredKey } from '../../../src/keys/kme/key-source.js';

const decoded: SecretBytes[] = vi.hoisted(() => []);

// Every secret that is made of base64 is remembered here, so that none can be left behind.
vi.mock(import('../../../src/base/secret-bytes.js'), async (original) => {
  const real = await original();
  return {
    ...real,
    decodeBase64Secret: (text) => {
      const secret = real.decodeBase64Secret(text);
      if (secret !== undefined) decoded.push(secret);
      return secret;
    },
  };
});

// The tests wipe what they are given; what they are not given has to be wiped already.
afterEach(() => {
  expect(decoded.filter(({ wiped }) => !wiped)).toEqual([]);
  decoded.length = 0;
});

// The example of ETSI GS QKD 014 V1.1.1, clause 6.3.
const standardExample = {
  keys: [
    { key_ID: 'bc490419-7d60-487f-adc1-4ddcc177c139', key: 'wHHVxRwDJs3/bXd38GHP3oe4svTuRpZS0yCC7x4Ly+s=' },
    { key_ID: '0a782fb5-3434-48fe-aa4d-14f41d46cf92', key: 'OeGMPxh1+2RpJpNCYixWHFLYRubpOKCw94FcCI7VdJA=' },
    { key_ID: '64a7e9a2-269c-4b2c-832c-5351f3ac5adb', key: '479G1Osfljpmfa5vn24tdzE5zqv5CafkGxYrLCk8384=' },
    { key_ID: '550e8400-e29b-41d4-a716-446655440000', key: 'csEMV9KkmjgOPF90uc54+hykhg6iI5GTPHlP9PjgLVU=' },
  ],
};

const keyText = 'wHHVxRwDJs3/bXd38GHP3oe4svTuRpZS0yCC7x4Ly+s=';
const keyHex = Buffer.from(keyText, 'base64').toString('hex');

interface Shown {
  readonly keyId: string;
  readonly hex: string;
}

/** Reads a container, shows its keys, and wipes them. */
function read(json: string | Uint8Array, maxKeys = 16): readonly Shown[] {
  const bytes = Buffer.from(json);
  const keys = readKeyContainer(bytes, maxKeys);
  expect(bytes.every((byte) => byte === 0)).toBe(true);
  return keys.map(({ keyId, material }) => {
    const hex = Buffer.from(material.bytes).toString('hex');
    material.wipe();
    return { keyId, hex };
  });
}

/** The message of the refusal, of which the container is overwritten and no secret is left. */
function refused(json: string | Uint8Array, maxKeys = 16): string {
  const bytes = Buffer.from(json);
  try {
    for (const { material } of readKeyContainer(bytes, maxKeys)) material.wipe();
  } catch (error) {
    expect(bytes.every((byte) => byte === 0)).toBe(true);
    if (!(error instanceof HawserError)) throw error;
    expect(error.code).toBe('ERR_HAWSER_PROTOCOL');
    expect(error.cause).toBeUndefined();
    return error.message.replace("the KME's answer is no key container: ", '');
  }
  throw new Error('nothing was refused');
}

test('the example of the standard is read, and its bytes are overwritten', () => {
  expect(read(JSON.stringify(standardExample))).toEqual(
    standardExample.keys.map(({ key_ID, key }) => ({
      keyId: key_ID,
      hex: Buffer.from(key, 'base64').toString('hex'),
    })),
  );
});

test.each([
  ['"Keys" as the table has it', `{"Keys":[{"key_ID":"1","key":"${keyText}"}]}`],
  ['the key before its id', `{"keys":[{"key":"${keyText}","key_ID":"1"}]}`],
  ['blanks everywhere', ` { "keys" : [ { "key_ID" : "1" , "key" : "${keyText}" } ] }\n`],
  ['a slash that is escaped', `{"keys":[{"key_ID":"1","key":"${keyText.replaceAll('/', '\\/')}"}]}`],
  [
    'characters as \\u escapes',
    `{"keys":[{"key_ID":"1","key":"${keyText.replaceAll('+', '\\u002b').replaceAll('=', '\\u003D')}"}]}`,
  ],
  ['names as \\u escapes', `{"\\u006beys":[{"key_ID":"1","\\u006b\\u0065y":"${keyText}"}]}`],
  [
    'extensions with a "key" of their own',
    `{"key_container_extension":{"keys":[{"key":"x"}],"key":["y"]},"keys":[{"key_ID":"1","key_extension":{"key":"z"},"key_ID_extension":{},"key":"${keyText}"}]}`,
  ],
])('%s is taken', (_, json) => {
  expect(read(json)).toEqual([{ keyId: '1', hex: keyHex }]);
});

test('a container without keys is empty', () => {
  expect(read('{"keys":[]}')).toEqual([]);
});

const one = `{"key_ID":"1","key":"${keyText}"}`;

test.each([
  ['nothing', '', 'no JSON: a value is missing at 0'],
  ['an array', `[${one}]`, 'it is no object'],
  ['no keys', '{}', '"keys" is missing or no array'],
  ['keys that are an object', `{"keys":${one}}`, '"keys" is missing or no array'],
  ['both spellings', `{"keys":[${one}],"Keys":[]}`, 'it has both "keys" and "Keys"'],
  ['keys twice', `{"keys":[],"keys":[${one}]}`, 'a name comes twice'],
  [
    'two "key" in one',
    `{"keys":[{"key_ID":"1","key":"${keyText}","key":"${keyText}"}]}`,
    'a name comes twice',
  ],
  ['two "key_ID" in one', `{"keys":[{"key_ID":"1","key_ID":"2","key":"${keyText}"}]}`, 'a name comes twice'],
  ['an id twice (edge case 11)', `{"keys":[${one},${one}]}`, 'two keys have the same id'],
  ['no id', `{"keys":[{"key":"${keyText}"}]}`, 'a "key_ID" is missing or no text'],
  [
    'an id that is a number',
    `{"keys":[{"key_ID":1,"key":"${keyText}"}]}`,
    'a "key_ID" is missing or no text',
  ],
  [
    'an id of 257 bytes',
    `{"keys":[{"key_ID":"${'i'.repeat(257)}","key":"${keyText}"}]}`,
    'a "key_ID" is missing or no text',
  ],
  ['no key', '{"keys":[{"key_ID":"1"}]}', 'a "key" is missing or no text'],
  ['a key that is null', '{"keys":[{"key_ID":"1","key":null}]}', 'a "key" is missing or no text'],
  [
    'a key that is an array',
    `{"keys":[{"key_ID":"1","key":["${keyText}"]}]}`,
    'a "key" is missing or no text',
  ],
  ['an entry that is a text', '{"keys":["1"]}', 'a key is no object'],
  ['an empty key', '{"keys":[{"key_ID":"1","key":""}]}', 'a key is no base64'],
  [
    'base64 without padding (edge case 12)',
    `{"keys":[{"key_ID":"1","key":"${keyText.replace('=', '')}"}]}`,
    'a key is no base64',
  ],
  [
    'base64 for URLs (edge case 12)',
    `{"keys":[{"key_ID":"1","key":"${keyText.replace('/', '_')}"}]}`,
    'a key is no base64',
  ],
  [
    'base64 with a blank (edge case 12)',
    `{"keys":[{"key_ID":"1","key":" ${keyText}"}]}`,
    'a key is no base64',
  ],
  [
    'base64 with bits behind its end (edge case 12)',
    '{"keys":[{"key_ID":"1","key":"AB=="}]}',
    'a key is no base64',
  ],
  ['another escape in a key', `{"keys":[{"key_ID":"1","key":"\\n${keyText}"}]}`, 'a key is no base64'],
  ['half an escape in a key', `{"keys":[{"key_ID":"1","key":"${keyText}\\u00"}]}`, 'a key is no base64'],
  [
    'a key of 1025 bytes',
    `{"keys":[{"key_ID":"1","key":"${Buffer.alloc(1025).toString('base64')}"}]}`,
    'a key is no base64',
  ],
  ['an end within a key', `{"keys":[{"key_ID":"1","key":"${keyText.slice(0, 20)}`, 'a text does not end'],
  [
    'an end behind a key',
    `{"keys":[{"key_ID":"1","key":"${keyText}"`,
    'no JSON: the end of an object is missing at 75',
  ],
  ['more behind it', `{"keys":[${one}]}{}`, 'no JSON: more follows at 78'],
  ['no colon', `{"keys":[{"key_ID":"1","key" "${keyText}"}]}`, 'no JSON: a colon is missing at 29'],
  ['arrays within arrays', `${'['.repeat(33)}`, 'too deep'],
  ['an extension that is too deep', `{"x":${'{"y":'.repeat(33)}1`, 'too deep'],
])('%s is refused, and the key is nowhere', (_, json, message) => {
  const said = refused(json);
  expect(said).toBe(message);
  expect(said).not.toContain(keyText.slice(0, 8));
});

test('more keys than were asked for are refused before any is decoded', () => {
  expect(refused(JSON.stringify(standardExample), 3)).toBe('4 keys instead of 3');
});

test('bytes that are no UTF-8 are refused', () => {
  const bytes = Buffer.concat([Buffer.from(`{"x":"`), Buffer.of(0xff), Buffer.from(`","keys":[${one}]}`)]);
  expect(refused(bytes)).toBe('no UTF-8');
});

test('__proto__ is a name like others', () => {
  expect(
    read(`{"__proto__":{"keys":1},"keys":[{"__proto__":1,"key_ID":"__proto__","key":"${keyText}"}]}`),
  ).toEqual([{ keyId: '__proto__', hex: keyHex }]);
});

test('what the writer writes, the reader reads', () => {
  const keys: DeliveredKey[] = [1, 16, 32, 33, 34, 512].map((length) => ({
    keyId: `key "${length}"`,
    material: secretFrom(randomBytes(length)),
  }));
  const container = writeKeyContainer(keys);
  expect(read(container)).toEqual(
    keys.map(({ keyId, material }) => ({ keyId, hex: Buffer.from(material.bytes).toString('hex') })),
  );
  for (const { material } of keys) material.wipe();
});

const pieces = ['"', '\\', '{', '}', '[', ']', ',', ':', '"key":', '"keys":', '\\u0041', '=', '\0', 'é'];

/** A container with some of its bytes changed, taken out or put in. */
function mutate(json: string, random: Random): Buffer {
  let bytes = Buffer.from(json);
  const below = (limit: number): number => Math.floor(random() * limit);
  for (let change = below(3); change >= 0; --change) {
    const at = below(bytes.length + 1);
    const piece = Buffer.from(random() < 0.5 ? (pieces[below(pieces.length)] ?? '') : [below(256)]);
    bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + below(4))]);
  }
  return bytes;
}

test('hostile containers are read or refused, and always overwritten; no secret is left behind', () => {
  const json = `{"keys":[${one},{"key_ID":"2","key_extension":{"key":"a"},"key":"${keyText}"}],"Key":[1.5e3,true,null]}`;
  let taken = 0;
  for (let seed = 1; seed <= 3000; ++seed) {
    const bytes = mutate(json, seededRandom(seed));
    try {
      for (const { material } of readKeyContainer(bytes, 2)) material.wipe();
      ++taken;
    } catch (error) {
      if (!(error instanceof HawserError) || error.code !== 'ERR_HAWSER_PROTOCOL') {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      expect(error.message, `seed ${seed}`).not.toContain('wHHV');
    }
    expect(
      bytes.every((byte) => byte === 0),
      `seed ${seed}`,
    ).toBe(true);
  }
  expect(taken).toBeGreaterThan(20);
  expect(taken).toBeLessThan(2980);
});
