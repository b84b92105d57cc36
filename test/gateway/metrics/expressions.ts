// What expressions of Prometheus are about.

import type { Metric } from '../../../src/base/metrics.js';
import type { GatewaySnapshot } from '../../../src/gateway/snapshot.js';
import { madeUpSnapshot } from './made-up-snapshot.js';

/** Values of labels that only come about with what a snapshot does not have by itself. */
const further: Readonly<Record<string, readonly string[]>> = {
  hawser_keys_messages_dropped_total: ['bad_signature', 'unknown_peer', 'foreign', 'replay'],
};

/** Labels that a scrape adds, and those that variables of a dashboard stand for. */
const scraped: ReadonlySet<string> = new Set(['instance', 'job']);

/**
 * @param expr selectors in it are written `name{label="value"}`, or with `=~` and alternatives.
 * @returns what in it is about metrics, labels or values that there are not.
 */
export function expressionProblems(
  expr: string,
  table: readonly Metric<GatewaySnapshot>[],
): readonly string[] {
  const found = [...expr.matchAll(/(hawser_\w+)(?:\{([^}]*)\})?/g)];
  if (found.length === 0) return ['no metric'];
  return found.flatMap(([selector, name = '', matchers = '']) =>
    problemsOf(name, matchers, table).map((problem) => `${selector}: ${problem}`),
  );
}

function problemsOf(name: string, matchers: string, table: readonly Metric<GatewaySnapshot>[]): string[] {
  const metric = table.find((each) => seriesOf(each).includes(name));
  if (metric === undefined) return ['no such metric'];
  return matchers
    .split(',')
    .filter((each) => each.trim() !== '')
    .flatMap((each) => matcherProblems(metric, each.trim()));
}

/** A histogram has no series of its own name. */
function seriesOf(metric: Metric<GatewaySnapshot>): readonly string[] {
  if (metric.type !== 'histogram') return [metric.name];
  const hasSum = metric.read(madeUpSnapshot).some(({ sum }) => sum !== undefined);
  return ['bucket', ...(hasSum ? ['sum', 'count'] : [])].map((each) => `${metric.name}_${each}`);
}

function matcherProblems(metric: Metric<GatewaySnapshot>, matcher: string): string[] {
  const [, label = '', operator = '', value = ''] = /^(\w+)(=~|!=|=)"([^"]*)"$/.exec(matcher) ?? [];
  if (label === '') return [`not understood: ${matcher}`];
  if (scraped.has(label)) return [];
  if (label === 'le' && metric.type === 'histogram') return [];
  if (!metric.labels.includes(label)) return [`no label ${label}`];
  if (value.startsWith('$')) return [];
  const known = new Set(further[metric.name]);
  for (const { labels } of metric.read(madeUpSnapshot)) known.add(labels[label] ?? '');
  const values = operator === '=~' ? value.split('|') : [value];
  return values.filter((each) => !known.has(each)).map((each) => `no ${label} ${each}`);
}
