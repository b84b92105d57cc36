// docs/grafana/hawser.json: that it is a dashboard, and that its queries are about metrics that there are.

import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allMetrics, gatewayTables } from '../../../src/gateway/metrics/tables.js';
import { expressionProblems } from './expressions.js';
import { checkRules, hasPromtool } from './promtool.js';

interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
  readonly datasource: object;
}

interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number };
  readonly targets?: readonly Target[];
}

interface Dashboard {
  readonly uid: string;
  readonly schemaVersion: number;
  readonly panels: readonly Panel[];
  readonly annotations: { readonly list: readonly { readonly expr: string }[] };
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly type: string; readonly definition?: string }[];
  };
}

const file = new URL('../../../docs/grafana/hawser.json', import.meta.url);
const dashboard = JSON.parse(readFileSync(file, 'utf8')) as Dashboard;
const graphs = dashboard.panels.filter(({ type }) => type !== 'row');
const targets = graphs.flatMap((panel) => panel.targets ?? []);
const expressions = [...targets, ...dashboard.annotations.list].map(({ expr }) => expr);
const source = { type: 'prometheus', uid: `\${datasource}` };

test('it is of the form of Grafana 10, with the data source, the job and the instances to choose', () => {
  expect(dashboard.schemaVersion).toBe(38);
  const variables = dashboard.templating.list.map(({ name, type }) => [name, type]);
  expect(variables).toEqual([
    ['datasource', 'datasource'],
    ['job', 'query'],
    ['instance', 'query'],
  ]);
  for (const target of targets) expect(target.datasource).toEqual(source);
});

test('panels have ids of their own, places that do not overlap, and queries', () => {
  const ids = dashboard.panels.map(({ id }) => id);
  expect(new Set(ids).size).toBe(ids.length);
  const taken = new Set<string>();
  for (const { title, gridPos } of dashboard.panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; ++x) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; ++y) {
        expect(x, title).toBeLessThan(24);
        expect(taken.has(`${x} ${y}`), title).toBe(false);
        taken.add(`${x} ${y}`);
      }
    }
  }
  for (const { title, targets = [] } of graphs) {
    expect(targets.length, title).toBeGreaterThan(0);
    const refs = targets.map(({ refId }) => refId);
    expect(new Set(refs).size).toBe(refs.length);
    expect(targets.every(({ legendFormat }) => legendFormat !== '')).toBe(true);
  }
});

test('there is a row for the gateway and for each layer', () => {
  const rows = dashboard.panels.filter(({ type }) => type === 'row').map(({ title }) => title);
  expect(rows).toEqual([
    'Gateway',
    'Transport: peers',
    'Transport: traffic',
    'Interaction',
    'Sync',
    'Sessions',
    'Keys',
  ]);
  for (const layer of Object.keys(gatewayTables)) {
    expect(
      expressions.some((expr) => expr.includes(`hawser_${layer}_`)),
      layer,
    ).toBe(true);
  }
});

test('every query is about metrics that there are, with labels and values that they have, of the chosen instances', () => {
  for (const expr of expressions) {
    expect([expr, expressionProblems(expr, allMetrics)]).toEqual([expr, []]);
    for (const [, matchers = ''] of expr.matchAll(/hawser_\w+(?:\{([^}]*)\})?/g)) {
      expect(matchers).toContain('job=~"$job",instance=~"$instance"');
    }
  }
  for (const { definition = '' } of dashboard.templating.list) {
    for (const [name] of definition.matchAll(/hawser_\w+/g)) {
      expect(allMetrics.some((metric) => metric.name === name)).toBe(true);
    }
  }
});

test('labels that legends show, and queries are summed up by, are there', () => {
  const scraped = ['instance', 'job', 'le'];
  for (const { expr, legendFormat } of targets) {
    const names = [...expr.matchAll(/hawser_[a-z_]+/g)].map(([name]) => name.replace(/_bucket$/, ''));
    const labels = new Set([
      ...scraped,
      ...allMetrics.filter(({ name }) => names.includes(name)).flatMap((metric) => metric.labels),
    ]);
    const summed = /\bby \(([^)]*)\)/.exec(expr)?.[1]?.split(', ');
    for (const label of summed ?? []) expect(labels, expr).toContain(label);
    for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
      expect(labels, expr).toContain(label);
      if (summed !== undefined) expect(summed, expr).toContain(label);
      else expect(expr).not.toMatch(/^sum\(/);
    }
  }
});

test.runIf(hasPromtool)('Prometheus can parse every query', () => {
  const rules = expressions.map((expr, index) => ({
    record: `query:${index}`,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll('$__range', '1h'),
  }));
  expect(checkRules(JSON.stringify({ groups: [{ name: 'queries', rules }] }))).toBe('');
  expect(checkRules('{"groups":[{"name":"q","rules":[{"record":"a","expr":"sum("}]}]}')).not.toBe('');
});
