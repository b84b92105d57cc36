import { describe, expect, it } from 'vitest';
import { doctestFailures, essence, failureLines } from '../../scripts/lib/failures.mjs';

describe('the essence of an output', () => {
  it('is all of it, without colours, if it is short', () => {
    expect(essence('\u001b[32mfine so far\u001b[39m\nerror: not any more\n')).toBe(
      'fine so far\nerror: not any more',
    );
  });

  it('begins where a long one first speaks of trouble', () => {
    const steps = Array.from({ length: 100 }, (_, index) => `[${index}/100] Building CXX object`);
    const said = ['FAILED: a.o', 'a.cpp:1:2: error: no'];
    expect(essence([...steps, ...said].join('\n'))).toBe(said.join('\n'));
  });

  it('is the end of a long one that speaks of none', () => {
    const lines = Array.from({ length: 100 }, (_, index) => `line ${index}`);
    expect(essence(lines.join('\n')).split('\n').at(-1)).toBe('line 99');
  });
});

describe('the failures of doctest', () => {
  const rule = '='.repeat(79);
  const output = [
    '[doctest] doctest version is "2.4.11"',
    rule,
    'native/test/a_test.cpp:1:',
    'TEST CASE:  a timer fires',
    '',
    'native/test/a_test.cpp:3: ERROR: CHECK( 1 == 2 ) is NOT correct!',
    '  values: CHECK( 1 == 2 )',
    '',
    rule,
    'native/test/a_test.cpp:7:',
    'TEST CASE:  a timer says something',
    '',
    'native/test/a_test.cpp:8: MESSAGE: 7 ticks',
    '',
    rule,
    '[doctest] test cases:  2 |  1 passed | 1 failed | 0 skipped',
  ];

  it.each([
    ['', 'as it is'],
    ['1: ', 'of ctest'],
  ])('are told from what passes ("%s", %s)', (prefix) => {
    const failures = doctestFailures(output.map((line) => prefix + line).join('\n'));
    expect(failures.map(({ name }) => name)).toEqual(['a timer fires']);
    expect(failures[0]?.message).toContain('values: CHECK( 1 == 2 )');
    expect(failures[0]?.message).not.toContain('7 ticks');
  });
});

describe('what is said of failures', () => {
  it('has their names and messages, without colours', () => {
    expect(failureLines([{ name: 'lint: biome', message: '\u001b[31mtwo\u001b[39m\nlines' }])).toEqual([
      'FAILED  lint: biome',
      '    two',
      '    lines',
    ]);
  });

  it('is bounded in number, in lines and in columns', () => {
    const message = Array.from({ length: 100 }, () => 'x'.repeat(1000)).join('\n');
    const lines = failureLines(Array.from({ length: 500 }, () => ({ name: 'a', message })));
    expect(lines.at(-1)).toBe('... and 460 failures more');
    expect(lines.length).toBeLessThan(1400);
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(400);
  });
});
