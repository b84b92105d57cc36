// The fields of a line of a log as what JSON can say, of bounded size, whatever they are.

import { describe } from '../../base/check.js';

const maxDepth = 5;
const maxEntries = 100;
const maxTextLength = 4096;
const maxStackLength = 8192;
/** Of causes behind each other. */
const maxCauses = 5;

/** An error as pino's standard serializer writes it. */
export interface PlainError {
  readonly type: string;
  /** With those of its causes behind it: `cannot open: no such file`. */
  readonly message: string;
  readonly stack: string;
  readonly code?: string | number;
}

/**
 * Values that JSON has not are written so that they can be read: 64-bit numbers as decimal text, errors as {@link PlainError}, bytes by their
 * number only, for they may be a key. What is deeper, longer or more than a line should hold is cut.
 */
export function plainFields(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return plainObject(fields, 1, []);
}

function plain(value: unknown, depth: number, above: readonly object[]): unknown {
  switch (typeof value) {
    case 'string':
      return cut(value, maxTextLength);
    case 'number':
      // JSON would say null.
      return Number.isFinite(value) ? value : String(value);
    case 'bigint':
      return String(value);
    case 'boolean':
    case 'undefined':
      return value;
    case 'object':
      return value === null ? null : plainOf(value, depth, above);
    default:
      return describe(value);
  }
}

function plainOf(value: object, depth: number, above: readonly object[]): unknown {
  if (value instanceof Error) return plainError(value);
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'Invalid Date' : value.toISOString();
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return describe(value);
  if (above.includes(value)) return '[Circular]';
  if (depth >= maxDepth) return describe(value);
  const path = [...above, value];
  if (Array.isArray(value)) {
    return value.slice(0, maxEntries).map((item) => plain(item, depth + 1, path) ?? null);
  }
  return plainObject(value, depth + 1, path);
}

function plainObject(value: object, depth: number, above: readonly object[]): Record<string, unknown> {
  // Without a prototype `__proto__` is a name as any other.
  const result: Record<string, unknown> = Object.create(null);
  for (const [key, item] of Object.entries(value).slice(0, maxEntries)) {
    result[cut(key, maxTextLength)] = plain(item, depth, above);
  }
  return result;
}

/** Only what errors always have: what else hangs on one may be a request with its headers. */
function plainError(error: Error): PlainError {
  const causes = causesOf(error);
  const code: unknown = Reflect.get(error, 'code');
  return {
    type: error.constructor?.name ?? 'Error',
    message: cut(causes.map(({ message }) => String(message)).join(': '), maxTextLength),
    stack: cut(
      causes.map(({ stack, message }) => String(stack ?? message)).join('\ncaused by: '),
      maxStackLength,
    ),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
  };
}

function causesOf(error: Error): Error[] {
  const causes: Error[] = [];
  let next: unknown = error;
  while (next instanceof Error && causes.length < maxCauses && !causes.includes(next)) {
    causes.push(next);
    next = next.cause;
  }
  return causes;
}

function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength)}...`;
}
