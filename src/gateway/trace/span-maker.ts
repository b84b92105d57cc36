// Makes spans of what is over, or has begun.

import type { Attributes, HrTime, Span, SpanKind, Tracer } from '@opentelemetry/api';

type Api = typeof import('@opentelemetry/api');

/** What a span says. */
export interface SpanPlan {
  readonly name: string;
  /** `internal` by default. */
  readonly kind?: 'server' | 'client' | 'internal';
  /** What is undefined is left out. */
  readonly attributes: Readonly<Record<string, string | number | boolean | undefined>>;
  /** Why it failed; undefined or null when it did not. */
  readonly error?: string | null | undefined;
}

/** A span of something that is over. */
export interface PastSpan extends SpanPlan {
  /** How long it took: it ended now. */
  readonly durationMs: number;
}

export class SpanMaker {
  readonly #api: Api;
  readonly #tracer: Tracer;

  constructor(api: Api) {
    this.#api = api;
    this.#tracer = api.trace.getTracer('hawser');
  }

  /** Something is over. @param parent the span that it is a part of. */
  over(past: PastSpan, parent?: Span): void {
    const nowMs = Date.now();
    const span = this.begin(past, nowMs - past.durationMs, parent);
    this.end(span, past.error, nowMs);
  }

  /** Something has begun. @param beganMs in Unix milliseconds. */
  begin({ name, kind, attributes }: SpanPlan, beganMs: number, parent?: Span): Span {
    const { ROOT_CONTEXT, trace } = this.#api;
    // What this process happens to do otherwise when a message arrives is not what caused it.
    const context = parent === undefined ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, parent);
    const options = { kind: this.#kindOf(kind), attributes: defined(attributes), startTime: hrTime(beganMs) };
    return this.#tracer.startSpan(name, options, context);
  }

  end(span: Span, error: string | null | undefined, nowMs: number = Date.now()): void {
    if (error != null) span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: error });
    span.end(hrTime(nowMs));
  }

  #kindOf(kind: SpanPlan['kind']): SpanKind {
    const { SpanKind } = this.#api;
    if (kind === 'server') return SpanKind.SERVER;
    return kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL;
  }
}

function defined(attributes: SpanPlan['attributes']): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, value]) => value !== undefined));
}

/** Of Unix milliseconds. A number would be taken for time since the process began, if it is small enough. */
function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1_000_000)];
}
