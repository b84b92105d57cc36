import { readFileSync } from 'node:fs';
import { Registry } from 'prom-client';
import { describe, expect, test } from 'vitest';
import { registerSessionMetrics } from '../../../src/sessions/health/metrics.js';
import { type AlertRule, readRules } from '../../gateway/metrics/rules-file.js';
import { madeUpServer } from './made-up-server.js';

const text = readFileSync(new URL('../../../docs/alerts/sessions.rules.yml', import.meta.url), 'utf8');
const rules = readRules(text);

interface Series {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

async function exportedSeries(): Promise<readonly Series[]> {
  const registry = new Registry();
  registerSessionMetrics(madeUpServer, registry);
  const lines = (await registry.metrics()).split('\n').filter((line) => /^\w/.test(line));
  return lines.map((line) => {
    const [, name = '', labels = ''] = /^(\w+)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    return { name, labels: new Map(pairs.map(([, label = '', value = '']) => [label, value])) };
  });
}

/** Labels that Prometheus adds itself. */
const scrapeLabels = ['instance', 'job'];

/** The series of the server which a selector such as `name{label="value"}` takes. */
function select(series: readonly Series[], name: string, matchers: string): readonly Series[] {
  const conditions = matchers.split(',').filter((each) => each !== '');
  return series.filter((each) => each.name === name && conditions.every((one) => holds(each, one)));
}

function holds({ labels }: Series, condition: string): boolean {
  const [, label = '', operator = '', wanted = ''] = /^(\w+)(=|!=|=~)"([^"]*)"$/.exec(condition.trim()) ?? [];
  const value = labels.get(label);
  if (value === undefined) return false;
  if (operator === '=~') return new RegExp(`^(?:${wanted})$`).test(value);
  return (value === wanted) === (operator === '=');
}

function selectorsOf({ expr }: AlertRule): readonly { name: string; matchers: string }[] {
  const found = [...expr.matchAll(/(hawser_\w+)(?:\{([^}]*)\})?/g)];
  return found.map(([, name = '', matchers = '']) => ({ name, matchers }));
}

test('the four alerting conditions of the source document have rules', () => {
  const groups = new Set(rules.map(({ group }) => group));
  expect([...groups]).toEqual([
    'hawser-sessions-timeouts',
    'hawser-sessions-heartbeats',
    'hawser-sessions-clocks',
    'hawser-sessions-resources',
  ]);
  expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
});

test('there is an alert at 80 % of the session table, and when the store cannot be reached', () => {
  const expressions = new Map(rules.map(({ alert, expr }) => [alert, expr]));
  expect(expressions.get('HawserSessionTableFilling')).toBe(
    'sum without (gateway, state) (hawser_sessions_active) / hawser_sessions_limit > 0.8',
  );
  expect(expressions.get('HawserSessionStoreUnavailable')).toBe('hawser_sessions_lease_valid == 0');
  expect(expressions.get('HawserSessionsNotServing')).toBe('max by (job) (hawser_sessions_serving) == 0');
});

describe.each(rules)('$alert', (rule) => {
  test('takes metrics that a server exports, with their labels', async () => {
    const series = await exportedSeries();
    const selectors = selectorsOf(rule);
    expect(selectors).not.toEqual([]);
    for (const { name, matchers } of selectors) {
      // Of buckets, only those bounds that a server has: made-up-server.ts has the ones that alerts may take.
      expect(select(series, name, matchers), `${name}{${matchers}}`).not.toEqual([]);
    }
    const known = series.filter(({ name }) => selectors.some((selector) => selector.name === name));
    const labels = new Set([...scrapeLabels, ...known.flatMap((each) => [...each.labels.keys()])]);
    for (const [, names = ''] of rule.expr.matchAll(/\b(?:without|by) \(([^)]*)\)/g)) {
      for (const name of names.split(', ')) expect(labels).toContain(name);
    }
  });

  test('says how grave it is, and to whoever is woken what to look at', () => {
    expect(['warning', 'critical']).toContain(rule.severity);
    expect(rule.description.length).toBeGreaterThan(80);
    expect(rule.expr).toMatch(/ (>|==) [\d.]+$/);
    for (const [, name = ''] of rule.summary.matchAll(/\$labels\.(\w+)/g)) {
      // Whatever else is summed up in the expressions is not there any more.
      expect(scrapeLabels).toContain(name);
      expect(name === 'job').toBe(/by \(job\)/.test(rule.expr));
    }
  });
});

test.each([
  ['groups:\n  - name: a\n    rules:\n      - alert: A\n        expression: |\n', 'line 5'],
  ['groups:\n  - name: a\n    rules:\n      - alert: A\n        expr: |\n        for: 1m\n', 'line 6'],
  ['rules:\n', 'line 1'],
])('a file that is written otherwise is not read: %j', (other, where) => {
  expect(() => readRules(other)).toThrow(where);
});
