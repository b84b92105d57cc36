// Asks the other side by the names of a model: what goes is checked before it is sent, what comes before anybody sees it.

import { argumentError, checkArray, checkFunction, checkOptions, describe } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { ProtocolError } from './codec.js';
import type { NotificationKind } from './messages.js';
import {
  type AttributeInputs,
  type AttributeOutputs,
  type CommandName,
  type CommandTypes,
  type EndpointName,
  type FeatureName,
  Model,
  type ModelAttribute,
  type ModelDefinition,
  type ModelFeature,
  named,
  type ReadableName,
  type WritableName,
} from './model.js';
import type { RequestOptions } from './pending-requests.js';
import { fromWire, isPlainObject, toWire } from './plain-values.js';
import type { Requester, StaleReason, Subscription } from './requester.js';
import { type Checked, listed, validate, validateLater } from './schemas.js';
import type { AttributeValues, Value } from './values.js';

// ---- Types ---------------------------------------------------------------------------------------------------------

/** The names in a list that is written out, each by itself: nobody knows which of several a variable holds. */
type CertainNames<N extends readonly string[]> = number extends N['length']
  ? never
  : { [I in keyof N]: IsUnion<N[I]> extends true ? never : N[I] }[number];

type IsUnion<T, All = T> = [T] extends [never]
  ? false
  : T extends All
    ? [All] extends [T]
      ? false
      : true
    : never;

/** The attributes that a list of names is for: an empty one is for all. */
type Covered<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
  N extends readonly string[],
> = ReadableName<D, E, F> & ([N[number]] extends [never] ? unknown : N[number]);

/**
 * Attributes by their names, as they were read: those that were asked for by name are there, of all others those that the
 * other side has.
 */
export type ReadValues<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
  N extends readonly string[],
> = Flat<
  { readonly [A in Covered<D, E, F, N> & CertainNames<N>]: AttributeOutputs<D, E, F>[A] } & {
    readonly [A in Exclude<Covered<D, E, F, N>, CertainNames<N>>]?: AttributeOutputs<D, E, F>[A];
  }
>;

/** Some of the attributes by their names, as they were notified. */
export type NotifiedValues<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
  N extends readonly string[],
> = { readonly [A in Covered<D, E, F, N>]?: AttributeOutputs<D, E, F>[A] };

type Flat<T> = { [K in keyof T]: T[K] };

/** What is subscribed to. */
export interface TypedTerms<N extends readonly string[]> {
  /** The names of the attributes; all that can be read by default. */
  readonly attributes?: N;
  /** See `SubscribeRequest`: in milliseconds, 0 to 4,294,967,295. */
  readonly minIntervalMs?: number;
  /** After how long without a change to say so, in milliseconds; the device's default where it is left out. */
  readonly maxIntervalMs?: number;
}

/** What is told of a subscription. */
export interface TypedListener<V> {
  /**
   * The values after subscribing, exactly once and first; then each change; then heartbeats, perhaps without values. All of
   * them have passed their schemas.
   */
  readonly changed: (values: V, kind: NotificationKind) => void;
  /** The values may be out of date, until the next notification. */
  readonly stale?: (reason: StaleReason) => void;
  /**
   * The other side notified values that their schemas refuse. They are left out; the others are told. Without this nothing
   * more is told: what another side sends must not end this one.
   */
  readonly invalid?: (error: Error) => void;
}

/** What a requester takes for options of a method: a client takes more than a connection. */
export type OptionsOf<R extends Requester, M extends 'invoke' | 'subscribe'> = RequestOptions &
  Parameters<R[M]>[M extends 'invoke' ? 4 : 2];

/** A subscription as the requester makes it. */
export type SubscriptionOf<R extends Requester> = Subscription & Awaited<ReturnType<R['subscribe']>>;

/** The parameters of a command, which may be left out where it takes nothing, and options. */
type InvokeArguments<P, O> = undefined extends P
  ? [parameters?: P, options?: O]
  : [parameters: P, options?: O];

// ---- The requester -------------------------------------------------------------------------------------------------

/**
 * Asks the other side by the names of a model.
 *
 * @param requester a connection, or a client that keeps one.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function typed<D extends ModelDefinition, R extends Requester>(
  requester: R,
  model: Model<D>,
): TypedRequester<D, R> {
  return new TypedRequester(requester, model);
}

/** Asks the other side by the names of a model. Made by {@link typed}. */
export class TypedRequester<D extends ModelDefinition, R extends Requester = Requester> {
  /** What it asks through. */
  readonly requester: R;
  readonly #model: Model<D>;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(requester: R, model: Model<D>) {
    if (!(model instanceof Model)) throw argumentError('model', 'what defineModel makes', describe(model));
    checkFunction('requester.read', requester.read);
    this.requester = requester;
    this.#model = model;
  }

  /**
   * Reads attributes.
   *
   * @param attributes their names; none for all.
   * @returns the values by their names. What the other side has beyond the model is left out.
   * @throws (rejects) as `Requester.read`, ERR_HAWSER_ARGUMENT also for a name that the model does not have; ProtocolError
   *   when a value is not what its schema takes, or one is missing that was asked for by name.
   */
  async read<
    E extends EndpointName<D>,
    F extends FeatureName<D, E>,
    const N extends readonly ReadableName<D, E, F>[] = readonly [],
  >(endpoint: E, feature: F, attributes?: N, options?: RequestOptions): Promise<ReadValues<D, E, F, N>> {
    const found = this.#model.feature(endpoint, feature);
    const asked = readable(found, attributes ?? []);
    const answer = await this.requester.read(found.endpoint.id, found.id, idsOf(asked), options);
    const covered = asked.length === 0 ? found.readable : asked;
    const { values, error } = valuesOf(covered, answer);
    if (error !== undefined) throw error;
    for (const { name, path } of asked) {
      if (!Object.hasOwn(values, name)) throw new ProtocolError(`${path} is missing in the result of a read`);
    }
    // They are outputs of the schemas that the type is inferred from.
    return values as ReadValues<D, E, F, N>;
  }

  /**
   * Writes attributes, all or none.
   *
   * @param values by the names of the attributes. They are sent as they are given: what their schemas make of them is for
   *   the other side.
   * @throws (rejects) as `Requester.write`, ERR_HAWSER_ARGUMENT also for a name that the model does not have or that is not
   *   writable, and a value that cannot be sent or that its schema refuses.
   */
  async write<E extends EndpointName<D>, F extends FeatureName<D, E>>(
    endpoint: E,
    feature: F,
    values: Partial<Pick<AttributeInputs<D, E, F>, WritableName<D, E, F>>>,
    options?: RequestOptions,
  ): Promise<void> {
    const found = this.#model.feature(endpoint, feature);
    await this.requester.write(found.endpoint.id, found.id, writtenOf(found, values), options);
  }

  /**
   * Runs a command.
   *
   * @param parameters are sent as they are given: what their schema makes of them is for the other side. To be left out
   *   where the command takes nothing. After them come options, those that `invoke` of the requester takes.
   * @returns what the schema makes of the result; undefined where the command returns nothing.
   * @throws (rejects) as `Requester.invoke`, ERR_HAWSER_ARGUMENT also for a name that the model does not have and parameters
   *   that cannot be sent or that their schema refuses; ProtocolError when the result is not what its schema takes.
   */
  async invoke<E extends EndpointName<D>, F extends FeatureName<D, E>, C extends CommandName<D, E, F>>(
    endpoint: E,
    feature: F,
    command: C,
    ...[parameters, options]: InvokeArguments<
      CommandTypes<D, E, F, C>['parametersInput'],
      OptionsOf<R, 'invoke'>
    >
  ): Promise<CommandTypes<D, E, F, C>['resultOutput']> {
    const found = this.#model.feature(endpoint, feature);
    const asked = named(`a command of ${found.path}`, found.commands, command);
    const sent = parameters === undefined ? undefined : toWire(parameters, asked.path);
    if (asked.parameters !== undefined) {
      requireGiven(await validateLater(asked.parameters, fromWire(sent), asked.path));
    } else if (sent !== undefined) {
      throw argumentError(asked.path, 'asked for without parameters', describe(parameters));
    }
    const result = await this.requester.invoke(found.endpoint.id, found.id, asked.id, sent, options);
    if (asked.result === undefined) return undefined as CommandTypes<D, E, F, C>['resultOutput'];
    const checked = await validateLater(asked.result, fromWire(result), `the result of ${asked.path}`);
    if (checked.issues !== undefined) throw new ProtocolError(checked.issues);
    // It is the output of the schema that the type is inferred from.
    return checked.value as CommandTypes<D, E, F, C>['resultOutput'];
  }

  /**
   * Subscribes to attributes: `listener` hears their values, then their changes.
   *
   * @param options what `subscribe` of the requester takes.
   * @throws (rejects) as `Requester.subscribe`, ERR_HAWSER_ARGUMENT also for a name that the model does not have.
   */
  async subscribe<
    E extends EndpointName<D>,
    F extends FeatureName<D, E>,
    const N extends readonly ReadableName<D, E, F>[] = readonly [],
  >(
    endpoint: E,
    feature: F,
    terms: TypedTerms<N>,
    listener: TypedListener<NotifiedValues<D, E, F, N>>,
    options?: OptionsOf<R, 'subscribe'>,
  ): Promise<SubscriptionOf<R>> {
    checkOptions('terms', terms, ['attributes', 'minIntervalMs', 'maxIntervalMs']);
    checkFunction('changed', listener.changed);
    const { attributes = [], ...intervals } = terms;
    const found = this.#model.feature(endpoint, feature);
    const asked = readable(found, attributes);
    const covered = asked.length === 0 ? found.readable : asked;
    const subscription = await this.requester.subscribe(
      { ...intervals, endpoint: found.endpoint.id, feature: found.id, attributes: idsOf(asked) },
      {
        notified: ({ changes, kind }) => {
          const { values, error } = valuesOf(covered, changes);
          // They are outputs of the schemas that the type is inferred from.
          return tell(listener, values as NotifiedValues<D, E, F, N>, kind, error);
        },
        stale: (reason) => listener.stale?.(reason),
      },
      options,
    );
    // The type says what the requester returns, which types cannot follow.
    return subscription as SubscriptionOf<R>;
  }
}

/** @returns a promise where a listener returned one. It rejects as this throws. */
function tell<V extends object>(
  listener: TypedListener<V>,
  values: V,
  kind: NotificationKind,
  error: Error | undefined,
): Promise<void> | undefined {
  const results: unknown[] = [];
  const errors: unknown[] = [];
  // A change of nothing that the model knows, or of nothing that is valid, is none.
  if (kind !== 'change' || Object.keys(values).length > 0) {
    attempt(results, errors, () => listener.changed(values, kind));
  }
  if (error !== undefined) attempt(results, errors, () => listener.invalid?.(error));
  if (results.some((result) => result !== undefined)) return settle(results, errors);
  throwAll(errors);
  return undefined;
}

function attempt(results: unknown[], errors: unknown[], run: () => unknown): void {
  try {
    results.push(run());
  } catch (error) {
    errors.push(error);
  }
}

async function settle(results: readonly unknown[], errors: unknown[]): Promise<void> {
  for (const result of await Promise.allSettled(results))
    if (result.status === 'rejected') errors.push(result.reason);
  throwAll(errors);
}

function throwAll(errors: readonly unknown[]): void {
  if (errors.length > 1) throw new AggregateError(errors, 'several errors of one notification');
  if (errors.length > 0) throw errors[0];
}

// ---- Values --------------------------------------------------------------------------------------------------------

function readable(feature: ModelFeature, names: readonly string[]): ModelAttribute[] {
  checkArray('attributes', names, 0, 0xffff);
  return names.map((name) => {
    const attribute = named(`an attribute of ${feature.path}`, feature.attributes, name);
    if (attribute.readable) return attribute;
    throw argumentError(attribute.path, 'an attribute that can be read', 'one that can only be written');
  });
}

function idsOf(attributes: readonly ModelAttribute[]): number[] {
  return attributes.map(({ id }) => id);
}

/** Those of the values that have passed their schemas, by name, and what is wrong with the others. */
function valuesOf(
  attributes: readonly ModelAttribute[],
  answer: AttributeValues,
): { readonly values: object; readonly error: Error | undefined } {
  const entries: [string, unknown][] = [];
  const issues: string[] = [];
  let thrown: Error | undefined;
  for (const { id, name, path, schema } of attributes) {
    const value = answer.get(id);
    if (value === undefined) continue;
    try {
      const checked = validate(schema, fromWire(value), path);
      if (checked.issues === undefined) entries.push([name, checked.value]);
      else issues.push(checked.issues);
    } catch (error) {
      // One schema that fails does not keep the other values back.
      thrown ??= asError(error, path);
    }
  }
  const refused = issues.length === 0 ? undefined : new ProtocolError(listed(issues));
  return { values: Object.fromEntries(entries), error: thrown ?? refused };
}

function asError(error: unknown, path: string): Error {
  if (error instanceof Error) return error;
  return new HawserError('ERR_HAWSER_ARGUMENT', `the schema of ${path} threw`, { cause: error });
}

function writtenOf(feature: ModelFeature, values: unknown): AttributeValues {
  if (!isPlainObject(values)) throw argumentError('values', 'a plain object', describe(values));
  const written = new Map<number, Value>();
  for (const [name, value] of Object.entries(values)) {
    const { id, path, schema, writable } = named(`an attribute of ${feature.path}`, feature.attributes, name);
    if (!writable) throw argumentError(path, 'a writable attribute', 'one that can only be read');
    const wire = toWire(value, path);
    // As the other side will see it.
    requireGiven(validate(schema, fromWire(wire), path));
    written.set(id, wire);
  }
  return written;
}

function requireGiven({ issues }: Checked): void {
  if (issues !== undefined) throw new HawserError('ERR_HAWSER_ARGUMENT', issues);
}
