import fc from 'fast-check';
import { expect, test } from 'vitest';
import { UsageError } from '../../src/cli/errors.js';
import { impairmentNotice, parseNetworkProfile, simulateOption } from '../../src/cli/network-profile.js';
import { readOptions } from '../../src/cli/options.js';
import { checkSimulate } from '../../src/transport/impairment.js';

test('a profile says the settings of the option simulate', () => {
  const text =
    'loss=5%,delay=80ms,jitter=20ms,jitter-reorders=true,duplicate=1%,reorder=0.5%,least-hold-back=0.5ms,most-hold-back=1s,rate=5mbit,queue=64kb';
  expect(parseNetworkProfile(text)).toEqual({
    text,
    options: {
      lossRate: 0.05,
      delayMs: 80,
      jitterMs: 20,
      jitterReorders: true,
      duplicateRate: 0.01,
      reorderRate: 0.005,
      leastHoldBackMs: 0.5,
      mostHoldBackMs: 1000,
      bytesPerSecond: 625_000,
      queueBytes: 65_536,
    },
  });
});

test.each([
  ['loss=0%', { lossRate: 0 }],
  ['loss=100%', { lossRate: 1 }],
  ['loss=7%', { lossRate: 0.07 }],
  ['delay=1.5s', { delayMs: 1500 }],
  ['delay=0.25ms', { delayMs: 0.25 }],
  ['delay=60s', { delayMs: 60_000 }],
  ['jitter-reorders=true', { jitterReorders: true }],
  ['jitter-reorders=false', { jitterReorders: false }],
  ['least-hold-back=0.001ms', { leastHoldBackMs: 0.001 }],
  ['least-hold-back=10ms', { leastHoldBackMs: 10 }],
  ['most-hold-back=0.001ms', { mostHoldBackMs: 0.001 }],
  ['most-hold-back=5ms,least-hold-back=5ms', { mostHoldBackMs: 5, leastHoldBackMs: 5 }],
  ['least-hold-back=60s,most-hold-back=60s', { leastHoldBackMs: 60_000, mostHoldBackMs: 60_000 }],
  ['rate=1kbit', { bytesPerSecond: 125 }],
  ['rate=1gbit', { bytesPerSecond: 125_000_000 }],
  ['rate=33.3333kbit', { bytesPerSecond: 4167 }],
  ['queue=0b', { queueBytes: 0 }],
  ['queue=1mb', { queueBytes: 1_048_576 }],
  [' loss=1% , delay=2ms ', { lossRate: 0.01, delayMs: 2 }],
])('%j', (text, options) => {
  expect(parseNetworkProfile(text).options).toEqual(options);
});

const keys =
  'loss, delay, jitter, jitter-reorders, duplicate, reorder, least-hold-back, most-hold-back, rate, queue';

test.each([
  ['', `"" must be KEY=VALUE such as loss=5%, with a key of ${keys}`],
  ['loss', `"loss" must be KEY=VALUE such as loss=5%, with a key of ${keys}`],
  ['loss=5%,', `"" must be KEY=VALUE such as loss=5%, with a key of ${keys}`],
  ['loss=', `"loss=" must be KEY=VALUE such as loss=5%, with a key of ${keys}`],
  ['=5%', `"=5%" must be KEY=VALUE such as loss=5%, with a key of ${keys}`],
  ['loss=5%,dealy=80ms', `unknown key "dealy"; did you mean delay? (keys: ${keys})`],
  ['Loss=5%', `unknown key "Loss"; did you mean loss? (keys: ${keys})`],
  ['toString=5%', `unknown key "toString" (keys: ${keys})`],
  ['loss=5%,loss=6%', 'loss is given twice'],
  ['loss=5', 'loss must be a percentage such as 5%, from 0% to 100%; got "5"'],
  ['loss=101%', 'loss must be a percentage such as 5%, from 0% to 100%; got "101%"'],
  ['loss=-1%', 'loss must be a percentage such as 5%, from 0% to 100%; got "-1%"'],
  ['loss=5%%', 'loss must be a percentage such as 5%, from 0% to 100%; got "5%%"'],
  ['delay=80', 'delay must be a time such as 80ms or 1.5s, from 0ms to 60s; got "80"'],
  ['delay=61s', 'delay must be a time such as 80ms or 1.5s, from 0ms to 60s; got "61s"'],
  ['jitter=1m', 'jitter must be a time such as 80ms or 1.5s, from 0ms to 60s; got "1m"'],
  ['jitter-reorders=yes', 'jitter-reorders must be true or false; got "yes"'],
  ['jitter-reorders=1', 'jitter-reorders must be true or false; got "1"'],
  ['jitter-reorder=true', `unknown key "jitter-reorder"; did you mean jitter-reorders? (keys: ${keys})`],
  [
    'least-hold-back=0ms',
    'least-hold-back must be a time such as 80ms or 1.5s, from 0.001ms to 60s; got "0ms"',
  ],
  [
    'most-hold-back=61s',
    'most-hold-back must be a time such as 80ms or 1.5s, from 0.001ms to 60s; got "61s"',
  ],
  ['least-hold-back=20ms', 'most-hold-back must be least-hold-back (20ms) or more; got 10ms'],
  ['most-hold-back=5ms,least-hold-back=6ms', 'most-hold-back must be least-hold-back (6ms) or more; got 5ms'],
  ['delay=1 ms', 'delay must be a time such as 80ms or 1.5s, from 0ms to 60s; got "1 ms"'],
  ['delay=1e1ms', 'delay must be a time such as 80ms or 1.5s, from 0ms to 60s; got "1e1ms"'],
  [
    'rate=5mb',
    'rate must be bits per second such as 500kbit, 5mbit or 1gbit, from 1kbit to 1000gbit; got "5mb"',
  ],
  [
    'rate=0kbit',
    'rate must be bits per second such as 500kbit, 5mbit or 1gbit, from 1kbit to 1000gbit; got "0kbit"',
  ],
  ['queue=64kbit', 'queue must be a size such as 1500b, 64kb or 1mb, from 0b to 1048576mb; got "64kbit"'],
  [
    'queue=1048577mb',
    'queue must be a size such as 1500b, 64kb or 1mb, from 0b to 1048576mb; got "1048577mb"',
  ],
  ['delay=1constructor', 'delay must be a time such as 80ms or 1.5s, from 0ms to 60s; got "1constructor"'],
])('%j is refused with what is allowed', (text, message) => {
  expect(() => parseNetworkProfile(text)).toThrow(new Error(message));
});

/** A key with a value as it is written and as it is meant. */
const setting = (key: string, name: string, max: number, units: Readonly<Record<string, number>>) =>
  fc
    .tuple(fc.constantFrom(...Object.entries(units)), fc.integer({ min: 1, max }))
    .map(([[unit, scale], count]) => ({ text: `${key}=${count}${unit}`, name, value: count * scale }));

test('whatever a profile says is what the option takes', () => {
  const any = fc.tuple(
    setting('delay', 'delayMs', 60, { ms: 1, s: 1000 }),
    setting('jitter', 'jitterMs', 60, { ms: 1, s: 1000 }),
    setting('least-hold-back', 'leastHoldBackMs', 10, { ms: 1 }),
    setting('most-hold-back', 'mostHoldBackMs', 50, { s: 1000 }),
    fc.boolean().map((value) => ({ text: `jitter-reorders=${value}`, name: 'jitterReorders', value })),
    setting('rate', 'bytesPerSecond', 1000, { kbit: 125, mbit: 125_000, gbit: 125_000_000 }),
    setting('queue', 'queueBytes', 1_000_000, { b: 1, kb: 1024, mb: 1_048_576 }),
    ...(['loss', 'duplicate', 'reorder'] as const).map((key) =>
      fc
        .integer({ min: 0, max: 10_000 })
        .map((count) => ({ text: `${key}=${count / 100}%`, name: `${key}Rate`, value: count / 100 / 100 })),
    ),
  );
  fc.assert(
    fc.property(
      any.chain((all) => fc.shuffledSubarray(all, { minLength: 1 })),
      (chosen) => {
        const { options } = parseNetworkProfile(chosen.map(({ text }) => text).join(','));
        expect(options).toEqual(Object.fromEntries(chosen.map(({ name, value }) => [name, value])));
        expect(checkSimulate(options)).toMatchObject(options);
      },
    ),
  );
});

test('no text is worse than refused', () => {
  const parts = fc.constantFrom('loss', 'rate', '=', ',', '5', '%', '.', 'ms', 'mbit', '-', '__proto__', ' ');
  const texts = fc.oneof(
    fc.string(),
    fc.array(parts).map((each) => each.join('')),
  );
  fc.assert(
    fc.property(texts, (text) => {
      try {
        checkSimulate(parseNetworkProfile(text).options);
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
        expect(String(error)).toMatch(/^Error: .*(must be|unknown key|given twice)/);
      }
    }),
  );
});

test('as an option it is optional, and its errors name it', () => {
  const options = { simulate: simulateOption };
  expect(readOptions(options, [])?.values).toEqual({ simulate: undefined });
  expect(readOptions(options, ['--simulate', 'loss=5%'])?.values.simulate?.options).toEqual({
    lossRate: 0.05,
  });
  expect(() => readOptions(options, ['--simulate=loss=5'])).toThrow(
    new UsageError('--simulate: loss must be a percentage such as 5%, from 0% to 100%; got "5"'),
  );
});

test('the notice says what is impaired', () => {
  expect(impairmentNotice(parseNetworkProfile('loss=5%, delay=80ms'))).toBe(
    'network impaired on purpose: loss=5%,delay=80ms, in each direction',
  );
});
