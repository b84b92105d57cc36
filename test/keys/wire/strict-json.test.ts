import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { JsonError, type JsonValue, parseJson } from '../../../src/keys/wire/strict-json.js';
import { utf8 } from '../../reference/bytes.js';

const limits = { bytes: 8192, depth: 4 };
const wide = { bytes: 1 << 20, depth: 1000 };

/** The same with objects of JavaScript, whose members are own ones whatever they are called. */
function plain(value: JsonValue): unknown {
  if (value instanceof Map) return new Map([...value].map(([name, member]) => [name, plain(member)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

/** What JSON.parse makes of a text, in the same form. */
function reference(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reference);
  if (typeof value !== 'object' || value === null) return value;
  return new Map(Object.entries(value).map(([name, member]) => [name, reference(member)]));
}

function parseOrRefuse(bytes: Uint8Array): JsonValue | 'refused' {
  try {
    return parseJson(bytes, limits);
  } catch (error) {
    if (error instanceof JsonError) return 'refused';
    throw error;
  }
}

describe('the JSON reader', () => {
  test('reads what JSON.parse reads, whatever the blanks', () => {
    const property = fc.property(fc.json({ maxDepth: 6 }), fc.integer({ min: 0, max: 4 }), (text, spaces) => {
      const value: unknown = JSON.parse(text);
      for (const form of [text, JSON.stringify(value, null, spaces)]) {
        expect(plain(parseJson(utf8(form), wide))).toStrictEqual(reference(value));
      }
    });
    fc.assert(property, { numRuns: 500 });
  });

  test('reads escapes, halves of surrogate pairs included, as JSON.parse does', () => {
    for (const text of ['"\\ud83d\\ude00\\n\\u0000\\/\\""', '"\\ud800"', '"\\\\"', '"\\u00e9é\u2028"']) {
      expect(parseJson(utf8(text), limits)).toBe(JSON.parse(text));
    }
  });

  test('what differs by one character from JSON is refused exactly where JSON.parse refuses it, or has a name twice', () => {
    const alphabet = [
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\',
      '0',
      '-',
      '.',
      'e',
      't',
      'n',
      ' ',
      '\t',
      '\u000b',
      'u',
    ];
    const start = '{"a":[1,-2.5e3,true,null,"x\\u0041"],"b":{"c":""}}';
    let accepted = 0;
    for (let at = 0; at <= start.length; ++at) {
      for (const character of ['', ...alphabet]) {
        for (const cut of [0, 1]) {
          const text = start.slice(0, at) + character + start.slice(at + cut);
          let expected: unknown = 'refused';
          try {
            expected = reference(JSON.parse(text));
          } catch {
            expected = 'refused';
          }
          const got = parseOrRefuse(utf8(text));
          expect(got === 'refused' ? got : plain(got), text).toStrictEqual(expected);
          if (got !== 'refused') ++accepted;
        }
      }
    }
    expect(accepted).toBeGreaterThan(50);
  });

  test.each([
    ['{"a":1,"a":1}'],
    ['{"a":1,"\\u0061":2}'],
    ['[{"x":{"a":1,"a":2}}]'],
    ['{"__proto__":1,"__proto__":2}'],
  ])('edge case 22: a name that comes twice is refused: %s', (text) => {
    expect(() => parseJson(utf8(text), limits)).toThrow('a name comes twice');
  });

  test('edge case 22: names that objects of JavaScript have are names as any other', () => {
    const parsed = parseJson(utf8('{"__proto__":{"admin":true},"constructor":1,"toString":2}'), limits);
    expect(parsed).toStrictEqual(
      new Map<string, unknown>([
        ['__proto__', new Map([['admin', true]])],
        ['constructor', 1],
        ['toString', 2],
      ]),
    );
    expect(Object.prototype).not.toHaveProperty('admin');
    expect({}).not.toHaveProperty('admin');
  });

  test('edge case 22: so much may be nested, and no more', () => {
    const nested = (depth: number, open: string, close: string) =>
      utf8(`${open.repeat(depth)}1${close.repeat(depth)}`);
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      expect(() => parseJson(nested(4, open, close), limits)).not.toThrow();
      expect(() => parseJson(nested(5, open, close), limits)).toThrow('too deep');
    }
    expect(() => parseJson(utf8('['.repeat(8192)), limits)).toThrow('too deep');
    expect(() => parseJson(utf8('[[],[],[[]],{}]'), { bytes: 8192, depth: 3 })).not.toThrow();
  });

  test.each<readonly [string, Uint8Array]>([
    ['nothing', new Uint8Array(0)],
    ['a byte order mark', utf8('\ufeff{}')],
    ['a cut sequence', Uint8Array.of(0x22, 0xc3, 0x22)],
    ['an overlong form', Uint8Array.of(0x22, 0xc0, 0xaf, 0x22)],
    ['half a surrogate pair in UTF-8', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)],
    ['a byte that UTF-8 has not', Uint8Array.of(0x22, 0xff, 0x22)],
    ['UTF-16', Uint8Array.of(0xff, 0xfe, 0x7b, 0, 0x7d, 0)],
    ['a line end within a string', utf8('"a\nb"')],
    ['a zero byte behind it', utf8('{}\0')],
    ['two values', utf8('{}{}')],
    ['a comma at the end', utf8('[1,]')],
    ['a hexadecimal number', utf8('0x10')],
    ['a number with a leading zero', utf8('01')],
    ['NaN', utf8('NaN')],
    ['a single quote', utf8("{'a':1}")],
    ['a comment', utf8('{}//')],
    ['8193 bytes', utf8(`"${'x'.repeat(8191)}"`)],
  ])('edge case 22: refuses %s', (_, bytes) => {
    expect(parseOrRefuse(bytes)).toBe('refused');
  });

  test('edge case 22: takes 8192 bytes', () => {
    expect(parseJson(utf8(`"${'x'.repeat(8190)}"`), limits)).toHaveLength(8190);
  });

  test('edge case 22: what repeats itself to the end is read once, not again from each place', () => {
    // Of the processor: what else the machine does meanwhile is not counted.
    const before = process.cpuUsage();
    for (const part of ['\\', '\\"', '\\u', 'x\\n', '{"', '":', '1', '-', '1e', ' ', '[]', '"",', ',']) {
      for (const first of ['', '"', '[', '{', '{"a":"']) {
        expect(() => parseOrRefuse(utf8((first + part.repeat(8192)).slice(0, 8192)))).not.toThrow();
      }
    }
    const { user, system } = process.cpuUsage(before);
    expect((user + system) / 1000).toBeLessThan(5000);
  });

  test('an error has nothing of the text in it', () => {
    for (const text of ['{"\u001b[31msecret":1,"\u001b[31msecret":2}', '"\u001b secret"', 'secret']) {
      expect(() => parseJson(utf8(text), limits)).toThrow(/^[a-zA-Z0-9 :]+$/);
    }
  });
});
