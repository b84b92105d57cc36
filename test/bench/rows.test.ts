// Whether every row of the benchmark runs. What it measures in so short a time says nothing and is not looked at.

import { describe, expect, it, vi } from 'vitest';
import { measureRow, rows } from '../../bench/lib/rows.mjs';
import { main } from '../../bench/main.mjs';

describe('the rows of the benchmark', () => {
  it.each(rows.map((row) => [row.id, row] as const))('%s runs', async (_, row) => {
    const lines: string[] = [];
    const result = await measureRow(row, 1, 'smoke', (line) => lines.push(line));
    const contenders = ['hawser', ...row.rivals];
    expect(Object.keys(result.spread)).toEqual(contenders);
    expect(lines).toHaveLength(contenders.length);
    for (const figure of [result.ours, ...Object.values(result.rivals)]) expect(figure).not.toBeNaN();
  });

  it('have ids of their own', () => {
    expect(new Set(rows.map(({ id }) => id)).size).toBe(rows.length);
  });
});

describe('the command line of the benchmark', () => {
  it.each([
    ['an unknown row', ['--only', 'msgs-64,nothing']],
    ['an unknown option', ['--fast']],
    ['no number of runs', ['--runs', '0']],
  ])('refuses %s with exit code 2', async (_, args) => {
    const said = vi.spyOn(console, 'error').mockReturnValue();
    expect(await main(args)).toBe(2);
    expect(said.mock.calls.join()).toContain('Usage: npm run bench');
  });
});
