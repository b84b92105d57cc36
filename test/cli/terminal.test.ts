import { PassThrough } from 'node:stream';
import { WriteStream } from 'node:tty';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  bar,
  bytes,
  clip,
  clock,
  count,
  micros,
  percent,
  printable,
  printableJson,
  Screen,
  sparkline,
  wantsColour,
} from '../../src/cli/terminal.js';
import { ansiEscape } from './support.js';

test('numbers are written for people', () => {
  expect(count(1_234_567)).toBe('1,234,567');
  expect([0, 1023, 1536, 80 * 2 ** 20, -2048].map(bytes)).toEqual([
    '0 B',
    '1023 B',
    '1.5 KiB',
    '80.0 MiB',
    '-2.0 KiB',
  ]);
  expect([380, 1240, 12_400, 2_500_000].map(micros)).toEqual(['380 µs', '1.24 ms', '12.4 ms', '2.50 s']);
  expect([0, 0.0002, 0.5].map(percent)).toEqual(['0.0 %', '0.020 %', '50.0 %']);
  expect([7.9, 754, 3723].map(clock)).toEqual(['0:07', '12:34', '1:02:03']);
});

test('a bar is always as wide as it should be', () => {
  fc.assert(
    fc.property(
      fc.double({ min: -1, max: 2, noNaN: true }),
      fc.integer({ min: 1, max: 80 }),
      (share, width) => {
        const { full, empty } = bar(share, width);
        expect(full.length + empty.length).toBe(width);
      },
    ),
  );
  expect(bar(0, 4)).toEqual({ full: '', empty: '░░░░' });
  expect(bar(0.5, 4)).toEqual({ full: '██', empty: '░░' });
  expect(bar(1, 4)).toEqual({ full: '████', empty: '' });
});

test('a sparkline shows the newest values, the highest of them full', () => {
  expect(sparkline([9, 0, 4, 8], 3)).toBe('▁▅█');
  expect(sparkline([0, 0], 3)).toBe('▁▁');
  expect(sparkline([], 3)).toBe('');
});

test('clipping counts what is seen and leaves styles whole', () => {
  const red = `${ansiEscape}[31m`;
  expect(clip('short', 5)).toBe('short');
  expect(clip(`${red}longer`, 4)).toBe(`${red}lon…${ansiEscape}[0m`);
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('a', 'µ', '█', red)),
      fc.integer({ min: 1, max: 20 }),
      (parts, width) => {
        expect(stripVTControlCharacters(clip(parts.join(''), width)).length).toBeLessThanOrEqual(width);
      },
    ),
  );
});

test('colours are for terminals only, and not with NO_COLOR', () => {
  const stream = (isTTY: boolean): NodeJS.WriteStream =>
    Object.assign(Object.create(WriteStream.prototype), { isTTY });
  expect(wantsColour(stream(true), {})).toBe(true);
  expect(wantsColour(stream(false), {})).toBe(false);
  expect(wantsColour(stream(true), { NO_COLOR: '1' })).toBe(false);
  expect(wantsColour(stream(true), { NO_COLOR: '' })).toBe(true);
  expect(wantsColour(stream(true), { TERM: 'dumb' })).toBe(false);
});

test('a screen draws over its last drawing, within the terminal, and gives the cursor back', () => {
  const output = new PassThrough({ encoding: 'utf8' });
  const screen = new Screen(Object.assign(output, { columns: 10, rows: 3 }));
  screen.draw(['one', 'two', 'three']);
  const first = String(output.read());
  expect(first).toContain('one\n');
  expect(first).not.toContain('three');
  expect(first).toContain(`${ansiEscape}[?25l`);
  screen.draw(['a line that is too long']);
  const second = String(output.read());
  expect(second).toContain(`${ansiEscape}[2A`);
  expect(second).toContain('a line th…');
  screen.clear();
  expect(String(output.read())).toContain(`${ansiEscape}[1A`);
  screen.end();
  screen.end();
  expect(String(output.read())).toBe(`${ansiEscape}[?25h`);
});

test('a terminal that does not know its size is drawn to all the same', () => {
  const output = new PassThrough({ encoding: 'utf8' });
  new Screen(Object.assign(output, { columns: 0, rows: 0 })).draw(['one', 'x'.repeat(81)]);
  expect(stripVTControlCharacters(String(output.read()))).toContain(`one\n${'x'.repeat(79)}…\n`);
});

test('text of others commands no terminal, begins no line and turns nothing around', () => {
  const hostile = `a${ansiEscape}]0;b\x07\n\u009b31m\x7f\u202ec\u2066\u200f\u2028`;
  expect(printable(hostile)).toBe(
    'a\\u{1b}]0;b\\u{7}\\u{a}\\u{9b}31m\\u{7f}\\u{202e}c\\u{2066}\\u{200f}\\u{2028}',
  );
  expect(printable('Grüße, ж, 漢字, 👩‍🚀')).toBe('Grüße, ж, 漢字, 👩‍🚀');
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const json = printableJson(JSON.stringify({ [text]: text }));
      expect(JSON.parse(json)).toEqual({ [text]: text });
      expect(printable(json)).toBe(json);
    }),
  );
  expect(printableJson('{"a":\t1}')).toBe('{"a": 1}');
});
