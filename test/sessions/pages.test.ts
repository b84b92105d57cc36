// What docs/sessions.md and docs/cluster.md say, against what the code does.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { checkServerOptions, type SessionServerOptions } from '../../src/sessions/server/options.js';
import { MemorySessionStore } from '../../src/sessions/store/memory-store.js';
import { expectLinksLeadSomewhere } from '../page-links.js';

const docs = fileURLToPath(new URL('../../docs', import.meta.url));
const page = readFileSync(join(docs, 'sessions.md'), 'utf8');

interface OptionRow {
  readonly names: readonly string[];
  readonly defaults: readonly string[];
  readonly range: string;
}

/** The rows of the table of options. */
function optionRows(): readonly OptionRow[] {
  const [, section = ''] = page.split('## Options of a server');
  const table = section.split('\n## ')[0] ?? '';
  return table
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => {
      const [, names = '', defaults = '', range = ''] = line.split('|').map((cell) => cell.trim());
      return {
        names: [...names.matchAll(/`(\w+)`/g)].map(([, name = '']) => name),
        defaults: defaults.split(', ').map((each) => each.replaceAll('`', '')),
        range,
      };
    });
}

const number = (text: string): number => Number(text.replaceAll(',', ''));
const isNumber = (text: string): boolean => /^[\d,]+$/.test(text);

function settings(options: Partial<SessionServerOptions> = {}): ReturnType<typeof checkServerOptions> {
  return checkServerOptions({ store: new MemorySessionStore(), ...options });
}

describe('the table of options', () => {
  const rows = optionRows();

  test('names options that there are, and all that are about times and bounds', () => {
    const named = rows.flatMap(({ names }) => names);
    const known = Object.keys(settings());
    for (const name of named.filter((each) => each !== 'testRanges')) expect(known).toContain(name);
    const told = known.filter((name) =>
      /(Ms|PerSecond|Bytes|AtOnce|PerIdentity)$|^(max|skew|renew)/.test(name),
    );
    expect(named).toEqual(expect.arrayContaining(told));
  });

  test('has their defaults', () => {
    const defaults = rows.flatMap(({ names, defaults }) =>
      names.map((name, at) => [name, defaults[at]] as const),
    );
    const numbers = defaults.filter(([, usual]) => usual !== undefined && isNumber(usual));
    expect(numbers.length).toBeGreaterThan(10);
    for (const [name, usual = ''] of numbers) {
      expect(Reflect.get(settings(), name), name).toBe(number(usual));
    }
    expect(settings()).toMatchObject({
      sessionTimeoutMs: 90_000,
      warningThresholdMs: 75_000,
      graceMs: 135_000,
      skewPolicy: 'reject',
      renewOn: 'keepalive',
      cluster: 'active',
    });
  });

  test('has their ranges', () => {
    const ranges = rows.flatMap(({ names: [name = ''], range }) => {
      const [, least = '', most = ''] = /^([\d,]+) to ([\d,]+)$/.exec(range) ?? [];
      return least === '' ? [] : [{ name, least: number(least), most: number(most) }];
    });
    expect(ranges.map(({ name }) => name)).toContain('keepAliveIntervalMs');
    for (const { name, least, most } of ranges) {
      for (const value of [least, most]) expect(Reflect.get(settings({ [name]: value }), name)).toBe(value);
      for (const value of [least - 1, most + 1, Number.NaN]) {
        expect(() => settings({ [name]: value }), `${name}: ${value}`).toThrow(
          expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
        );
      }
    }
  });
});

test.each(['sessions.md', 'cluster.md', 'conformance/sessions.md'])(
  'every link of %s leads somewhere',
  (name) => expectLinksLeadSomewhere(join(docs, name), 2),
);
