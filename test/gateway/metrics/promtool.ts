// The tool of Prometheus that checks metrics and rules; Debian has it in its package prometheus.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export const hasPromtool: boolean = spawnSync('promtool', ['--version']).status === 0;

/** @returns what it found wrong with an exposition; empty when nothing. */
export function checkMetrics(text: string): string {
  const { status, stdout, stderr } = spawnSync('promtool', ['check', 'metrics'], {
    input: text,
    encoding: 'utf8',
  });
  return status === 0 ? '' : stdout + stderr;
}

/** @param text a file of rules. @returns what it found wrong with it; empty when nothing. */
export function checkRules(text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-rules-'));
  try {
    const file = join(folder, 'rules.yml');
    writeFileSync(file, text);
    const { status, stdout, stderr } = spawnSync('promtool', ['check', 'rules', file], { encoding: 'utf8' });
    return status === 0 ? '' : stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Series of numbers as promtool writes them: `0+5x60` begins with 0 and grows by 5, 60 times. */
export type Series = Readonly<Record<string, string>>;

/** An alert, and an hour of series for which it has to fire. */
export interface Firing {
  readonly alert: string;
  readonly series: Series;
}

/** @returns what promtool says of the alerts that do not fire for their series, and when any does for `quiet`; empty when all is well. */
export function checkFirings(rules: string, firings: readonly Firing[], quiet: Series): string {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-rules-'));
  try {
    writeFileSync(join(folder, 'rules.yml'), rules);
    const tests = [
      ...firings.map(({ alert, series }) => unitTest(`count(${firing(alert)})`, series, 1)),
      unitTest('count(ALERTS{alertstate="firing"})', quiet, undefined),
    ];
    const file = join(folder, 'test.json');
    // JSON is YAML.
    writeFileSync(file, JSON.stringify({ rule_files: ['rules.yml'], evaluation_interval: '1m', tests }));
    const { status, stdout, stderr } = spawnSync('promtool', ['test', 'rules', file], { encoding: 'utf8' });
    return status === 0 ? '' : stdout + stderr;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function firing(alert: string): string {
  return `ALERTS{alertname="${alert}",alertstate="firing"}`;
}

function unitTest(expr: string, series: Series, value: number | undefined): object {
  return {
    interval: '1m',
    input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
    promql_expr_test: [
      { expr, eval_time: '60m', exp_samples: value === undefined ? [] : [{ labels: '{}', value }] },
    ],
  };
}
