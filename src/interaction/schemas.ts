// Runs the schemas that users bring: any validator that speaks the standard schema (https://standardschema.dev).

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { HawserError } from '../base/errors.js';
import { equalValues } from './equality.js';
import { fromWire, stepTo, toWire } from './plain-values.js';
import type { Value } from './values.js';

/** What a schema makes of a value. */
export type Checked = { readonly value: unknown; readonly issues?: undefined } | Refused;

/** Why it makes nothing of it, for people: where and what, never the value itself. */
export interface Refused {
  readonly issues: string;
  readonly wire?: undefined;
}

/** What a schema makes of a value, and the same as messages carry it. */
export type Sendable<W = Value> =
  | { readonly value: unknown; readonly wire: W; readonly issues?: undefined }
  | Refused;

/**
 * What a schema that answers at once makes of a value.
 *
 * @param path what the value is called.
 * @throws HawserError ERR_HAWSER_ARGUMENT when it answers with a promise; what it throws itself.
 */
export function validate(schema: StandardSchemaV1, value: unknown, path: string): Checked {
  const result = schema['~standard'].validate(value);
  if (!('then' in result)) return checkedOf(result, path);
  // Nobody waits for it: its rejection would end the process.
  result.then(undefined, () => undefined);
  throw new HawserError('ERR_HAWSER_ARGUMENT', `the schema of ${path} must validate synchronously`);
}

/** As {@link validate} for a schema that may take its time. @throws (rejects) what it throws. */
export async function validateLater(
  schema: StandardSchemaV1,
  value: unknown,
  path: string,
): Promise<Checked> {
  return checkedOf(await schema['~standard'].validate(value), path);
}

/**
 * What a device keeps and sends of a value: the output of its schema, as long as the other side, which has the same schema,
 * makes the same of it again.
 *
 * @throws as {@link validate}.
 */
export function sendable(schema: StandardSchemaV1, value: unknown, path: string): Sendable {
  const output = wireOf(validate(schema, value, path), path);
  return output.issues === undefined
    ? unchanged(output.wire, validate(schema, fromWire(output.wire), path), path)
    : output;
}

/** As {@link sendable} for a schema that may take its time, and may make nothing of the value. @throws (rejects) what it throws. */
export async function sendableLater(
  schema: StandardSchemaV1,
  value: unknown,
  path: string,
): Promise<Sendable<Value | undefined>> {
  const checked = await validateLater(schema, value, path);
  if (checked.issues === undefined && checked.value === undefined) return { ...checked, wire: undefined };
  const output = wireOf(checked, path);
  return output.issues === undefined
    ? unchanged(output.wire, await validateLater(schema, fromWire(output.wire), path), path)
    : output;
}

function wireOf(checked: Checked, path: string): Sendable {
  if (checked.issues !== undefined) return checked;
  try {
    return { value: checked.value, wire: toWire(checked.value, path) };
  } catch (error) {
    if (error instanceof HawserError) return { issues: error.message };
    throw error;
  }
}

function unchanged(wire: Value, again: Checked, path: string): Sendable {
  const sent = wireOf(again, path);
  if (sent.issues === undefined && equalValues(sent.wire, wire)) return sent;
  return { issues: `${path}: its schema does not take its own output unchanged` };
}

// ---- Issues --------------------------------------------------------------------------------------------------------

const maxIssues = 3;
const maxSteps = 10;
const maxMessageLength = 200;

function checkedOf(result: StandardSchemaV1.Result<unknown>, path: string): Checked {
  // By the standard only `issues` tells them apart, and `value` may be undefined.
  return result.issues ? { issues: textOf(result.issues, path) } : { value: result.value };
}

function textOf(issues: readonly StandardSchemaV1.Issue[], path: string): string {
  // Bounded: what the other side sent may be long, and have very many issues.
  const texts = issues.slice(0, maxIssues).map((issue) => {
    const steps = (issue.path ?? []).slice(0, maxSteps).map(stepOf);
    return `${path}${steps.join('')}: ${issue.message.slice(0, maxMessageLength)}`;
  });
  return listed(texts, issues.length);
}

/** The first of several issues, in one text. @param count how many there are. */
export function listed(texts: readonly string[], count: number = texts.length): string {
  const left = count - maxIssues;
  return texts.slice(0, maxIssues).join('; ') + (left > 0 ? `; and ${left} more` : '');
}

function stepOf(step: PropertyKey | StandardSchemaV1.PathSegment): string {
  const key = typeof step === 'object' ? step.key : step;
  return typeof key === 'symbol' ? '[a symbol]' : stepTo(key);
}
