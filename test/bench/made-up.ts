// Results that nobody has measured, for tests.
import type { Document, MeasuredRow } from '../../bench/lib/results.mjs';
import { summarize } from '../../bench/lib/summary.mjs';
import type { Row } from '../../bench/rows/row.mjs';

const measuredAt = '2001-02-03T04:05:06.000Z';

/** A row whose contenders had one run each, with these values. */
export function madeUpRow(
  id: string,
  values: Readonly<Record<string, number>>,
  more: Partial<Row> = {},
): MeasuredRow {
  const { limit, variants = [] } = more;
  const rivals = Object.keys(values).filter(
    (name) => name !== 'hawser' && name !== limit && !variants.includes(name),
  );
  const row: Row = {
    id,
    title: `title of ${id}`,
    unit: 'µs',
    better: 'lower',
    rivals,
    note: '',
    measure: () => Promise.reject(new Error('not measured')),
    ...more,
  };
  const samples = new Map(Object.entries(values).map(([name, value]) => [name, [{ value }]]));
  return { ...summarize(row, samples), measuredAt, seconds: 1, commit: 'aaaa' };
}

export function madeUpDocument(rows: MeasuredRow[] = []): Document {
  return {
    measuredAt,
    size: 'full',
    runs: 1,
    machine: {
      cpu: 'Abacus <2>',
      cores: 2,
      memoryBytes: 2 ** 33,
      kernel: 'linux 1.2.3 x64',
      node: 'v20.0.0',
      libc: null,
      virtualised: true,
      governor: null,
      limits: { rmem_max: 212_992 },
      load: 0.25,
    },
    driver: {},
    versions: { hawser: '0.0.1', commit: 'aaaa', changes: null, rivals: { abc: '1.0.0' } },
    rows,
    failures: {},
  };
}
