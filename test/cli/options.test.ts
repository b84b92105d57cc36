import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UsageError } from '../../src/cli/errors.js';
import {
  address,
  choice,
  decimal,
  duration,
  flag,
  integer,
  list,
  optional,
  optionName,
  readOptions,
  sizeRange,
  text,
  u64,
  withDefault,
} from '../../src/cli/options.js';

const options = {
  maxPeers: withDefault(integer(1, 100), '10', 'help'),
  name: optional(text('NAME'), 'help'),
  server: list(address(), 'help'),
  json: flag('help'),
};

test('options are named on the command line as usual there', () => {
  expect(optionName('maxPeers')).toBe('max-peers');
});

test('defaults hold where nothing is given', () => {
  expect(readOptions(options, [])?.values).toEqual({
    maxPeers: 10,
    name: undefined,
    server: [],
    json: false,
  });
});

test('values are read with and without an equals sign; the last of several wins', () => {
  const args = ['--max-peers', '3', '--max-peers=4', '--name', 'x', '--json'];
  expect(readOptions(options, args)?.values).toEqual({ maxPeers: 4, name: 'x', server: [], json: true });
});

test('lists collect what is given several times or with commas', () => {
  const args = ['--server', '127.0.0.1:1,[::1]:2', '--server=127.0.0.1:3'];
  expect(readOptions(options, args)?.values.server).toEqual(['127.0.0.1:1', '[::1]:2', '127.0.0.1:3']);
});

test('help is asked for by --help and -h, whatever else is wrong', () => {
  expect(readOptions(options, ['--help'])).toBeUndefined();
  expect(readOptions(options, ['--nonsense', '-h'])).toBeUndefined();
});

test.each([
  [['--max-peer', '3'], 'unknown option --max-peer; did you mean --max-peers?'],
  [['--qqqqqq'], 'unknown option --qqqqqq'],
  [['--max-peers'], '--max-peers needs a value'],
  [['--json=1'], '--json takes no value'],
  [['--max-peers', '0'], '--max-peers: must be a whole number from 1 to 100; got "0"'],
  [['--max-peers', '1e1'], '--max-peers: must be a whole number from 1 to 100; got "1e1"'],
  [
    ['--server', 'localhost:1'],
    '--server: must be an IP address and a port such as 192.0.2.1:4433 or [2001:db8::1]:4433; got "localhost:1"',
  ],
  [['stray'], 'unexpected argument "stray"'],
])('%j is refused', (args, message) => {
  expect(() => readOptions(options, args)).toThrow(new UsageError(message));
});

test.each([
  ['500ms', 500],
  ['15s', 15_000],
  ['15', 15_000],
  ['1.5s', 1500],
  ['10m', 600_000],
  ['1h', 3_600_000],
  ['1d', 86_400_000],
])('duration %s', (given, ms) => {
  expect(duration(0, 86_400_000).parse(given)).toBe(ms);
});

test.each(['', '-1s', '1w', '1s2', '2d', 'NaN', '1e3'])('not a duration: %j', (given) => {
  expect(() => duration(0, 86_400_000).parse(given)).toThrow(/must be a duration/);
});

test.each([
  ['16', { min: 16, max: 16 }],
  ['64-200', { min: 64, max: 200 }],
])('size %s', (given, range) => {
  expect(sizeRange(16, 1158).parse(given)).toEqual(range);
});

test.each(['15', '16-1159', '200-64', '64-', '-64', 'x'])('not a size: %j', (given) => {
  expect(() => sizeRange(16, 1158).parse(given)).toThrow(/must be a size/);
});

test('one word of a few is taken as it stands', () => {
  expect(choice(['hawser', 'netcode']).placeholder).toBe('hawser|netcode');
  expect(choice(['hawser', 'netcode', 'both']).parse('both')).toBe('both');
  for (const other of ['', 'Both', 'both ', 'toString', 'hawser|netcode'])
    expect(() => choice(['hawser', 'netcode', 'both']).parse(other)).toThrow(
      `must be hawser, netcode or both; got ${JSON.stringify(other)}`,
    );
  expect(() => choice(['hawser', 'netcode']).parse('x')).toThrow('must be hawser or netcode; got "x"');
});

test('every 64-bit number is read in both bases', () => {
  fc.assert(
    fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
      expect(u64.parse(value.toString())).toBe(value);
      expect(u64.parse(`0x${value.toString(16)}`)).toBe(value);
    }),
  );
  for (const wrong of ['', '-1', '18446744073709551616', '0x', '1.5', ' 1'])
    expect(() => u64.parse(wrong)).toThrow();
});

test('no text makes a number out of range', () => {
  fc.assert(
    fc.property(fc.string(), (given) => {
      let value = 1;
      try {
        value = decimal(0.5, 2).parse(given);
      } catch (error) {
        expect(String(error)).toMatch(/must be a number from 0.5 to 2/);
      }
      expect(value).toBeGreaterThanOrEqual(0.5);
      expect(value).toBeLessThanOrEqual(2);
    }),
  );
});
