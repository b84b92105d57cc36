import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { bufferWarning } from '../../bench/lib/machine.mjs';
import { readOptions } from '../../bench/lib/options.mjs';
import { readmeFile, readmeSection, sectionOf, withSection, writeReadme } from '../../bench/lib/readme.mjs';
import { groupsOf, reportPage } from '../../bench/lib/report.mjs';
import {
  comparable,
  type Document,
  mergeResults,
  pageOf,
  readResults,
  resumable,
  savedFile,
  writeResults,
} from '../../bench/lib/results.mjs';
import { contendersOf } from '../../bench/lib/rows.mjs';
import { measureSuite } from '../../bench/lib/suite.mjs';
import { main } from '../../bench/main.mjs';
import { rows } from '../../bench/rows/index.mjs';
import type { Row } from '../../bench/rows/row.mjs';
import { madeUpDocument, madeUpRow } from './made-up.js';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hawser-results-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
  vi.restoreAllMocks();
});

describe('the file of results', () => {
  it('has for every row what other programs read', () => {
    const file = join(folder, 'new', 'results.json');
    writeResults(
      file,
      madeUpDocument([
        madeUpRow('rtt', { hawser: 20, dgram: 30, raw: 10 }, { limit: 'raw' }),
        madeUpRow('memory', { hawser: 1 }),
      ]),
    );
    expect(readdirSync(join(folder, 'new'))).toEqual(['results.json']);
    const { rows } = JSON.parse(readFileSync(file, 'utf8'));
    expect(rows[0]).toMatchObject({
      id: 'rtt',
      unit: 'µs',
      ours: 20,
      rivals: { dgram: 30 },
      limit: 10,
      ratio: 1.5,
    });
    expect(rows[0].spread).toEqual(
      Object.fromEntries(
        Object.entries({ hawser: 20, dgram: 30, raw: 10 }).map(([name, value]) => [
          name,
          { min: value, max: value },
        ]),
      ),
    );
    expect(rows[1]).toMatchObject({ rivals: {}, limit: null, ratio: null });
  });

  it('is not taken for one when it holds something else', () => {
    const file = join(folder, 'other.json');
    expect(readResults(file)).toBeNull();
    for (const other of ['{"rows": []}', 'null', 'no JSON']) {
      writeFileSync(file, other);
      expect(() => readResults(file)).toThrow('no results');
    }
  });

  it('has its page beside it', () => {
    expect(pageOf('/a/b.json')).toBe('/a/b.html');
    expect(pageOf(savedFile)).toBe(savedFile.replace('latest.json', 'index.html'));
  });
});

describe('an interrupted run', () => {
  const before = madeUpDocument([madeUpRow('rtt', { hawser: 1 })]);

  it('is taken up by one of the same code, machine and kind', () => {
    expect(resumable(madeUpDocument(), before)).toEqual(before.rows);
    expect(resumable({ ...madeUpDocument(), measuredAt: 'later' }, before)).toEqual(before.rows);
  });

  it.each<[string, Partial<Document>]>([
    ['code', { versions: { ...before.versions, commit: 'bbbb' } }],
    ['changes', { versions: { ...before.versions, changes: 'cccc' } }],
    ['rival', { versions: { ...before.versions, rivals: {} } }],
    ['machine', { machine: { ...before.machine, cores: 4 } }],
    ['driver', { driver: { driver: 'loop' } }],
    ['size', { size: 'quick' }],
    ['number of runs', { runs: 3 }],
  ])('is not taken up with another %s', (_, change) => {
    expect(resumable({ ...madeUpDocument(), ...change }, before)).toEqual([]);
    expect(resumable(madeUpDocument(), null)).toEqual([]);
  });

  const row = (id: string, measure: Row['measure']): Row => ({
    id,
    title: id,
    unit: 'µs',
    better: 'lower',
    rivals: [],
    exact: true,
    note: '',
    measure,
  });

  it('keeps what it has after each row, and names what it has not', async () => {
    let interrupt = (): void => undefined;
    const interruption = new Promise<void>((resolve) => {
      interrupt = resolve;
    });
    const kept: string[][] = [];
    const document = madeUpDocument();
    const rest = await measureSuite(
      [
        row('first', async () => ({ value: 1 })),
        row('broken', () => Promise.reject(new Error('it broke'))),
        row('endless', () => {
          interrupt();
          return new Promise(() => undefined);
        }),
        row('last', async () => ({ value: 1 })),
      ],
      document,
      { say: () => undefined, keep: ({ rows }) => kept.push(rows.map(({ id }) => id)), interruption },
    );
    expect(rest).toEqual(['endless', 'last']);
    expect(kept).toEqual([['first'], ['first']]);
    expect(document.failures).toEqual({ broken: 'it broke' });
    expect(document.rows).toMatchObject([{ id: 'first', ours: 1, commit: 'aaaa' }]);
  });

  it('skips a row that needs what the machine does not have, and says what', async () => {
    const document = madeUpDocument();
    const lines: string[] = [];
    const rest = await measureSuite(
      [{ ...row('needy', async () => ({ value: 1 })), lacks: 'such device' }],
      document,
      {
        say: (line) => lines.push(line),
        keep: () => undefined,
        interruption: new Promise(() => undefined),
      },
    );
    expect(rest).toEqual([]);
    expect(document).toMatchObject({ rows: [], failures: {} });
    expect(document.skipped).toEqual({ needy: 'this machine has no such device' });
    expect(lines.join()).toContain('needy: skipped, as this machine has no such device');
    expect(reportPage(document)).toContain('this machine has no such device');
  });

  it('measures only what is missing when it is taken up', async () => {
    const measured: string[] = [];
    const document = madeUpDocument([madeUpRow('first', { hawser: 7 })]);
    const rows = ['first', 'second'].map((id) =>
      row(id, async () => {
        measured.push(id);
        return { value: 1 };
      }),
    );
    const lines: string[] = [];
    const rest = await measureSuite(rows, document, {
      say: (line) => lines.push(line),
      keep: () => undefined,
      interruption: new Promise(() => undefined),
    });
    expect(rest).toEqual([]);
    expect(measured).toEqual(['second']);
    expect(document.rows.map(({ id, ours }) => [id, ours])).toEqual([
      ['first', 7],
      ['second', 1],
    ]);
    expect(lines.filter((line) => line.startsWith('[2/2  0:00] second'))).toHaveLength(1);
  });
});

describe('rows that are measured again', () => {
  it('take the place of the old ones, and their failures go', () => {
    const old = {
      ...madeUpDocument([madeUpRow('b', { hawser: 1 }), madeUpRow('gone', { hawser: 1 })]),
      failures: { a: 'it broke', c: 'too' },
    };
    const merged = mergeResults(
      old,
      madeUpDocument([madeUpRow('b', { hawser: 2 }), madeUpRow('a', { hawser: 3 })]),
      ['a', 'b', 'c'],
    );
    expect(merged.rows.map(({ id, ours }) => [id, ours])).toEqual([
      ['a', 3],
      ['b', 2],
    ]);
    expect(merged.failures).toEqual({ c: 'too' });
  });

  it('stand beside others of the same machine, driver and size only', () => {
    const one = madeUpDocument();
    expect(comparable(one, { ...one, versions: { ...one.versions, commit: 'bbbb' } })).toBe(true);
    expect(comparable(one, { ...one, size: 'quick' })).toBe(false);
    expect(comparable(one, { ...one, driver: { spinMicros: 0 } })).toBe(false);
    expect(comparable(one, { ...one, machine: { ...one.machine, cpu: 'another' } })).toBe(false);
  });
});

describe('the machine', () => {
  it('is warned of where rivals cannot have the receive buffers that all ask for', () => {
    expect(bufferWarning({ limits: { rmem_max: 4 * 2 ** 20 } })).toBeNull();
    expect(bufferWarning({ limits: { rmem_max: 212_992 } })).toContain('rmem_max is 212,992');
    expect(bufferWarning({ limits: {} })).toBeNull();
  });
});

describe('which runs become the results that git keeps', () => {
  const saves = (...args: string[]): unknown => {
    const options = readOptions(args);
    return options.work === 'run' ? options.save : options.work;
  };

  it('is full ones of all rows, and those that are told to', () => {
    expect(saves()).toBe(true);
    expect(saves('--json', 'x.json')).toBe(true);
    expect(saves('--quick')).toBe(false);
    expect(saves('--only', 'rtt')).toBe(false);
    expect(saves('--runs', '1')).toBe(false);
    expect(saves('--only', 'rtt', '--save')).toBe(true);
  });

  it('has to be known for an interrupted run to be taken up', () => {
    expect(saves('--resume')).toBe(true);
    expect(saves('--quick', '--resume')).toBe('refuse');
    expect(saves('--quick', '--resume', '--json', 'x.json')).toBe(false);
  });
});

describe('the page', () => {
  const document = madeUpDocument([
    madeUpRow('made-up', { hawser: 1 }),
    madeUpRow(
      'rtt',
      { hawser: 20, dgram: 30 },
      { note: 'a `b` <i>', target: [{ is: 'timesRival', value: 2 }] },
    ),
    { ...madeUpRow('msgs-64', { hawser: 1 }), commit: 'bbbb' },
  ]);

  it('has the main rows first, in their order', () => {
    expect(groupsOf(document.rows).map(({ rows }) => rows.map(({ id }) => id))).toEqual([
      ['msgs-64', 'rtt'],
      ['made-up'],
    ]);
  });

  it('needs nothing else, and takes no text for markup', () => {
    const page = reportPage(document);
    expect(page).not.toMatch(/<script|<link|src=|url\(|https?:/);
    expect(page).toContain('Abacus &lt;2&gt;');
    expect(page).toContain('a <code>b</code> &lt;i&gt;');
    expect(page).not.toMatch(/NaN|undefined|\[object/);
  });

  it('says what was missed, what could not be measured, and what is of another day', () => {
    const page = reportPage({ ...document, failures: { flood: 'no <compiler>' } });
    expect(page).toContain('<b>missed</b> the target of at least 2 times the best rival');
    expect(page).toContain('<b>flood</b> no &lt;compiler&gt;');
    expect(page.match(/Measured on 2001-02-03, commit bbbb/g)).toHaveLength(1);
  });

  it('can say of every contender what it does', () => {
    const compared = rows.filter((row) => contendersOf(row).length > 1);
    const silent = compared.flatMap((row) =>
      contendersOf(row)
        .filter((name) => row.does?.[name] === undefined)
        .map((name) => `${row.id}: ${name}`),
    );
    expect(silent).toEqual([]);
  });

  it('is made again of a file of results', async () => {
    vi.spyOn(console, 'log').mockReturnValue();
    const file = join(folder, 'results.json');
    writeResults(file, document);
    expect(await main(['--report', file])).toBe(0);
    expect(readFileSync(join(folder, 'results.html'), 'utf8')).toBe(reportPage(document));
  });

  it('is not made of nothing', async () => {
    const said = vi.spyOn(console, 'error').mockReturnValue();
    expect(await main(['--report', join(folder, 'absent.json')])).toBe(2);
    expect(said.mock.calls.join()).toContain('absent.json');
    const other = join(folder, 'other.txt');
    writeFileSync(other, 'no results');
    expect(await main(['--report', other])).toBe(2);
    expect(said.mock.calls.join()).toContain('other.txt');
  });
});

describe('the figures in README.md', () => {
  it('are those of the saved results', () => {
    const readme = readFileSync(readmeFile, 'utf8');
    const saved = readResults(savedFile);
    expect(sectionOf(readme), 'run npm run bench -- --readme').toBe(
      saved === null ? '' : readmeSection(saved),
    );
    if (saved !== null) {
      expect(
        readFileSync(pageOf(savedFile), 'utf8'),
        'run npm run bench -- --report bench/results/latest.json',
      ).toBe(reportPage(saved));
    }
    expect(existsSync(`${savedFile}.new`)).toBe(false);
  });

  const document = madeUpDocument([
    madeUpRow(
      'rtt',
      { hawser: 20, dgram: 30, slow: 60, raw: 10 },
      { limit: 'raw', target: [{ is: 'atMost', value: 19 }] },
    ),
    madeUpRow('made-up', { hawser: 1 }),
  ]);

  it('say when and on what they were measured, and whether the targets were reached', () => {
    const section = readmeSection(document);
    expect(section).toContain('Measured on 2001-02-03 with `npm run bench` on 2 cores of a virtual machine');
    expect(section).toContain(
      '| `rtt` | title of rtt, µs | **20** (20 to 20) | 30 dgram | 1.50× | 10 raw | at most 19 µs: **missed** |',
    );
    expect(section).not.toContain('made-up');
    expect(section).not.toContain('†');
  });

  it('say what of hawser was set, which rows had other runs, and which figures do not count', () => {
    const row = {
      ...madeUpRow('rtt', { hawser: 20, dgram: 30, slow: 60, raw: 10 }, { limit: 'raw' }),
      missed: ['dgram: half of it was lost', 'raw: all of it was lost'],
    };
    const other = { ...document, driver: { driver: 'loop' } as const, runs: 7, rows: [row] };
    const section = readmeSection(other);
    expect(section).toContain('Node.js v20.0.0; driver loop): medians of 7 runs');
    expect(section).toContain('| **20** (20 to 20, 1 run) | 30† dgram | 1.50× | 10† raw |');
    expect(section).toContain('†: a run of it missed');
    const page = reportPage(other);
    expect(page).toContain('driver loop');
    expect(page).toContain(' 1 run of each contender.');
    expect(page).toContain('>dgram†<');
    expect(page).not.toContain('slow†');
  });

  it('are never those of a quick run', () => {
    const readme = readFileSync(readmeFile, 'utf8');
    expect(writeReadme({ ...document, size: 'quick' })).toContain('quick run');
    expect(readFileSync(readmeFile, 'utf8')).toBe(readme);
  });

  it('stand between two marks and leave the rest alone', () => {
    const readme = withSection(readFileSync(readmeFile, 'utf8'), readmeSection(document));
    expect(sectionOf(readme)).toBe(readmeSection(document));
    expect(withSection(readme, readmeSection(document))).toBe(readme);
    expect(() => withSection('# nothing', '')).toThrow('marks');
  });
});
