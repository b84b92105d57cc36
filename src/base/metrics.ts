// What is measured, by the conventions of Prometheus: base units (bytes, seconds) at the end of a name, counters end in `_total`. Each layer
// has one table; src/base/prometheus.ts and src/base/open-telemetry.ts export any of them.

/** The labels of a sample, by name. Their values are bounded: no address, client id or session id is among them. */
export type Labels = Readonly<Record<string, string>>;

/** One value of a metric. */
export interface Sample {
  readonly labels: Labels;
  readonly value: number;
}

/** Observations by upper bound, as Prometheus counts them: cumulative, the last bound is infinite. In milliseconds. */
export interface HistogramSample {
  readonly labels: Labels;
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
  /** Of all observations; undefined where it is not known, or would not only grow since observations can be negative. */
  readonly sum: number | undefined;
}

/** Observations in ranges: `counts[i]` of them are at most `bounds[i]` and above the bound before; the last count is above all bounds. */
export interface Ranges {
  readonly bounds: readonly number[];
  readonly counts: readonly number[];
}

interface MetricHead {
  /** `hawser_<layer>_<what>[_<unit>][_total]`. */
  readonly name: string;
  /** For people, one line. */
  readonly help: string;
  /** The names of its labels, `le` of histograms apart. */
  readonly labels: readonly string[];
}

/** A metric, and how it is read. */
export type Metric<Source> = MetricHead &
  (
    | { readonly type: 'gauge' | 'counter'; readonly read: (source: Source) => readonly Sample[] }
    | {
        readonly type: 'histogram';
        /** Whether it is about what is there now, so that its counts go up and down: not for `rate()`. */
        readonly level: boolean;
        /** In milliseconds; what is exported is in seconds. */
        readonly read: (source: Source) => readonly HistogramSample[];
      }
  );

export type MetricUnit = 'bytes' | 'seconds' | undefined;

/** @returns the unit that the name of a metric says; undefined for a number of something, or a share. */
export function unitOf({ name }: Pick<MetricHead, 'name'>): MetricUnit {
  const match = /_(bytes|seconds)(?:_total)?$/.exec(name);
  return match?.[1] === 'bytes' || match?.[1] === 'seconds' ? match[1] : undefined;
}

/** Makes the metrics of one layer. */
export class MetricMaker<Source> {
  readonly #prefix: string;

  /** @param layer as it stands in the names. */
  constructor(layer: string) {
    this.#prefix = `hawser_${layer}_`;
  }

  /** What goes up and down, without labels. @param value undefined where there is none now. */
  gauge(name: string, help: string, value: (source: Source) => number | undefined): Metric<Source> {
    return this.#single('gauge', name, help, value);
  }

  /** What only grows, without labels. */
  counter(name: string, help: string, value: (source: Source) => number): Metric<Source> {
    return this.#single('counter', name, help, value);
  }

  /** With one label. @param values by the values of the label. */
  gaugeBy(
    name: string,
    label: string,
    help: string,
    values: (source: Source) => Readonly<Record<string, number>>,
  ): Metric<Source> {
    return this.#by('gauge', name, label, help, values);
  }

  /** With one label. @param values by the values of the label. */
  counterBy(
    name: string,
    label: string,
    help: string,
    values: (source: Source) => Readonly<Record<string, number>>,
  ): Metric<Source> {
    return this.#by('counter', name, label, help, values);
  }

  /** @param read cumulative counts by bounds in milliseconds. */
  histogram(
    name: string,
    help: string,
    read: (source: Source) => Omit<HistogramSample, 'labels'>,
  ): Metric<Source> {
    const samples = (source: Source): HistogramSample[] => [{ labels: {}, ...read(source) }];
    return { name: this.#prefix + name, help, labels: [], type: 'histogram', level: false, read: samples };
  }

  /** Of what is there now. @param ranges in milliseconds; undefined where nobody looked. */
  levels(name: string, help: string, ranges: (source: Source) => Ranges | undefined): Metric<Source> {
    const samples = (source: Source): HistogramSample[] => {
      const read = ranges(source);
      return read === undefined ? [] : [cumulative(read)];
    };
    return { name: this.#prefix + name, help, labels: [], type: 'histogram', level: true, read: samples };
  }

  #single(
    type: 'gauge' | 'counter',
    name: string,
    help: string,
    value: (source: Source) => number | undefined,
  ): Metric<Source> {
    const read = (source: Source): Sample[] => {
      const read = value(source);
      return read === undefined ? [] : [{ labels: {}, value: read }];
    };
    return { name: this.#prefix + name, help, type, labels: [], read };
  }

  #by(
    type: 'gauge' | 'counter',
    name: string,
    label: string,
    help: string,
    values: (source: Source) => Readonly<Record<string, number>>,
  ): Metric<Source> {
    const read = (source: Source): Sample[] =>
      Object.entries(values(source)).map(([each, value]) => ({ labels: { [label]: each }, value }));
    return { name: this.#prefix + name, help, type, labels: [label], read };
  }
}

/** The same metric of something that has, or has not, the source of it: without one there are no samples. */
export function metricOf<Inner, Outer>(
  metric: Metric<Inner>,
  inner: (outer: Outer) => Inner | undefined,
): Metric<Outer> {
  return metricOfEach(metric, undefined, (outer) => {
    const source = inner(outer);
    return source === undefined ? [] : [{ name: '', source }];
  });
}

/** The same metric of each of several sources. @param label has the name of the source; undefined for none. */
export function metricOfEach<Inner, Outer>(
  metric: Metric<Inner>,
  label: string | undefined,
  inner: (outer: Outer) => readonly { readonly name: string; readonly source: Inner }[],
): Metric<Outer> {
  const { name, help } = metric;
  const labels = label === undefined ? metric.labels : [label, ...metric.labels];
  const named = <S extends { readonly labels: Labels }>(sample: S, source: string): S =>
    label === undefined ? sample : { ...sample, labels: { [label]: source, ...sample.labels } };
  if (metric.type === 'histogram') {
    const read = (outer: Outer): HistogramSample[] =>
      inner(outer).flatMap((each) => metric.read(each.source).map((sample) => named(sample, each.name)));
    return { name, help, labels, type: 'histogram', level: metric.level, read };
  }
  const read = (outer: Outer): Sample[] =>
    inner(outer).flatMap((each) => metric.read(each.source).map((sample) => named(sample, each.name)));
  return { name, help, labels, type: metric.type, read };
}

/** @returns the chosen ones of a record of counts. */
export function pick<Name extends string>(
  counts: Readonly<Record<Name, number>>,
  names: readonly Name[],
): Record<string, number> {
  return Object.fromEntries(names.map((name) => [name, counts[name]]));
}

function cumulative({ bounds, counts }: Ranges): HistogramSample {
  let total = 0;
  const totals = counts.map((count) => {
    total += count;
    return total;
  });
  return { labels: {}, bounds: [...bounds, Number.POSITIVE_INFINITY], counts: totals, sum: undefined };
}
