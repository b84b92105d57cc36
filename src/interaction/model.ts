// What a device consists of, by name: endpoints, their features, and the attributes and commands of these, each with the
// schema of what it carries. Both sides are typed and checked by the same model.

import type { StandardSchemaV1 } from '@standard-schema/spec';
import { argumentError, checkBoolean, checkInteger, checkOptions, describe, nearest } from '../base/check.js';
import { isPlainObject, stepTo } from './plain-values.js';

// ---- Definitions ---------------------------------------------------------------------------------------------------

/** An attribute: a value that can be read, written and subscribed to. */
export interface AttributeDefinition {
  /** Its id, 0 to 65,535, which no other attribute of the feature has. */
  readonly attribute: number;
  /**
   * What its values are: a schema of zod, valibot, arktype or any other library that speaks the standard schema, which
   * must validate synchronously. It may transform, as to trim a text or to fill in a default: its output is what a device
   * keeps and sends. The other side gives that to the schema again, so it must take its output and leave it as it is.
   * Maps with strings for keys arrive as objects, and bigints as numbers where these can hold them. Bound what others may
   * write: the schema is all that limits its length.
   */
  readonly schema: StandardSchemaV1;
  /** Whether the other side may write it; false by default. */
  readonly writable?: boolean;
  /** Whether it can be written and never read, such as a password; false by default. */
  readonly writeOnly?: boolean;
}

/** A command: something that the other side can have done. */
export interface CommandDefinition {
  /** Its id, 0 to 255, which no other command of the feature has. */
  readonly command: number;
  /**
   * What it takes; left out for nothing. The schema may be asynchronous and may transform: parameters are sent as they are
   * given, and the handler gets the output.
   */
  readonly parameters?: StandardSchemaV1;
  /** What it returns; left out for nothing. The schema may be asynchronous, and transforms as that of an attribute may. */
  readonly result?: StandardSchemaV1;
}

/** A feature: attributes and commands that belong together. */
export interface FeatureDefinition {
  /** Its id, 0 to 255, which no other feature of the endpoint has. */
  readonly feature: number;
  /** By name. A subscription covers 100 of them at most (source document, section 3.2), so that of all of them ends there. */
  readonly attributes?: Readonly<Record<string, AttributeDefinition>>;
  /** By name. */
  readonly commands?: Readonly<Record<string, CommandDefinition>>;
}

/** An endpoint: a part of a device. */
export interface EndpointDefinition {
  /** Its id, 0 to 255, which no other endpoint has. */
  readonly endpoint: number;
  /** By name. */
  readonly features: Readonly<Record<string, FeatureDefinition>>;
}

/** The endpoints of a device by name. */
export type ModelDefinition = Readonly<Record<string, EndpointDefinition>>;

// ---- Types of what is defined --------------------------------------------------------------------------------------

/** The names of the endpoints of a model. */
export type EndpointName<D extends ModelDefinition> = keyof D & string;

/** The names of the features of an endpoint. */
export type FeatureName<D extends ModelDefinition, E extends EndpointName<D>> = keyof D[E]['features'] &
  string;

type None = Readonly<Record<never, never>>;

type Attributes<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = D[E]['features'][F] extends { readonly attributes: infer A } ? A : None;

type Commands<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = D[E]['features'][F] extends { readonly commands: infer C } ? C : None;

/** The names of the attributes of a feature. */
export type AttributeName<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = keyof Attributes<D, E, F> & string;

/** The names of the attributes of a feature that the other side may read. */
export type ReadableName<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = {
  [N in AttributeName<D, E, F>]: Attributes<D, E, F>[N] extends { readonly writeOnly: true } ? never : N;
}[AttributeName<D, E, F>];

/** The names of the attributes of a feature that the other side may write. */
export type WritableName<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = {
  [N in AttributeName<D, E, F>]: Attributes<D, E, F>[N] extends
    | { readonly writable: true }
    | { readonly writeOnly: true }
    ? N
    : never;
}[AttributeName<D, E, F>];

/** The names of the commands of a feature. */
export type CommandName<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = keyof Commands<D, E, F> & string;

/** The schema, or another part, that a definition has under a name; undefined where it has none. */
type PartOf<T, K extends string> = T extends { readonly [Key in K]: infer P } ? P : undefined;

type InputOf<S> = S extends StandardSchemaV1 ? StandardSchemaV1.InferInput<S> : undefined;
type OutputOf<S> = S extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<S> : undefined;
type ReturnedFor<S> = S extends StandardSchemaV1
  ? StandardSchemaV1.InferInput<S> | Promise<StandardSchemaV1.InferInput<S>>
  : void | Promise<void>;

/** What schemas of attributes take, by the names of the attributes. */
export type AttributeInputs<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = {
  readonly [N in AttributeName<D, E, F>]: InputOf<PartOf<Attributes<D, E, F>[N], 'schema'>>;
};

/** What schemas of attributes make of it: the values of the attributes by their names. */
export type AttributeOutputs<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
> = {
  readonly [N in AttributeName<D, E, F>]: OutputOf<PartOf<Attributes<D, E, F>[N], 'schema'>>;
};

/** A command as the side that runs it sees it, and as the one that asks for it does; undefined where there is nothing. */
export interface CommandTypes<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
  C extends CommandName<D, E, F>,
> {
  /** What is given to it. */
  readonly parametersInput: InputOf<PartOf<Commands<D, E, F>[C], 'parameters'>>;
  /** What its handler gets. */
  readonly parametersOutput: OutputOf<PartOf<Commands<D, E, F>[C], 'parameters'>>;
  /** What its handler returns. */
  readonly returned: ReturnedFor<PartOf<Commands<D, E, F>[C], 'result'>>;
  /** What comes back. */
  readonly resultOutput: OutputOf<PartOf<Commands<D, E, F>[C], 'result'>>;
}

// ---- The model -----------------------------------------------------------------------------------------------------

/** An attribute of a {@link Model}. */
export interface ModelAttribute {
  /** As the model calls it. */
  readonly name: string;
  /** `endpoint.feature.attribute`, by names. */
  readonly path: string;
  /** Its number on the wire, 0 to 65,535. */
  readonly id: number;
  /** What its values have to be. */
  readonly schema: StandardSchemaV1;
  /** Whether the other side may write it. */
  readonly writable: boolean;
  /** Whether the other side may read it. */
  readonly readable: boolean;
}

/** A command of a {@link Model}. */
export interface ModelCommand {
  /** As the model calls it. */
  readonly name: string;
  /** Where it is in the model, for messages: `thermostat.temperature.boost`. */
  readonly path: string;
  /** Its number on the wire, 0 to 255. */
  readonly id: number;
  /** What its parameters have to be; undefined for none. */
  readonly parameters: StandardSchemaV1 | undefined;
  /** What its result has to be; undefined for none. */
  readonly result: StandardSchemaV1 | undefined;
}

/** Parts of a {@link Model} by name, and by id. */
export interface Members<T> {
  /** By their names in the model. */
  readonly byName: ReadonlyMap<string, T>;
  /** By their numbers on the wire. */
  readonly byId: ReadonlyMap<number, T>;
}

/** A feature of a {@link Model}. */
export interface ModelFeature {
  /** As the model calls it. */
  readonly name: string;
  /** `endpoint.feature`, by names. */
  readonly path: string;
  /** Its number on the wire, 0 to 255. */
  readonly id: number;
  /** The endpoint that it is of. */
  readonly endpoint: { readonly name: string; readonly id: number };
  /** What it has that can be read or written. */
  readonly attributes: Members<ModelAttribute>;
  /** Those of the attributes that can be read. */
  readonly readable: readonly ModelAttribute[];
  /** What can be invoked. */
  readonly commands: Members<ModelCommand>;
}

/** An endpoint of a {@link Model}. */
export interface ModelEndpoint {
  /** As the model calls it. */
  readonly name: string;
  /** Where it is in the model, for messages. */
  readonly path: string;
  /** Its number on the wire, 0 to 255. */
  readonly id: number;
  /** What it consists of. */
  readonly features: Members<ModelFeature>;
}

/** A checked definition. Made by {@link defineModel}. */
export class Model<D extends ModelDefinition = ModelDefinition> {
  /** What it was made of. Later changes to it have no effect. */
  readonly definition: D;
  /** What the device consists of. */
  readonly endpoints: Members<ModelEndpoint>;

  /** @throws HawserError ERR_HAWSER_ARGUMENT, as `defineModel`. */
  constructor(definition: D) {
    this.definition = definition;
    this.endpoints = members(undefined, 'endpoints', definition, endpointOf);
  }

  /** @throws HawserError ERR_HAWSER_ARGUMENT for a name that it does not have. */
  feature(endpoint: string, feature: string): ModelFeature {
    return named('feature', named('endpoint', this.endpoints, endpoint).features, feature);
  }

  /** The feature with these ids, or what the document says of those that are none. */
  find(endpoint: number, feature: number): ModelFeature | 'INVALID_ENDPOINT' | 'INVALID_FEATURE' {
    const found = this.endpoints.byId.get(endpoint);
    if (found === undefined) return 'INVALID_ENDPOINT';
    return found.features.byId.get(feature) ?? 'INVALID_FEATURE';
  }
}

/**
 * Defines what a device consists of, for {@link AttributeStore} at the device and {@link typed} at the other side.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for an id out of its range or twice in one place, an empty name or `__proto__`, what
 *   is not a plain object, and a schema that is none.
 */
export function defineModel<const D extends ModelDefinition>(definition: D): Model<D> {
  return new Model(definition);
}

/** The part of that name. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function named<T>(what: string, { byName }: Members<T>, name: string): T {
  const found = byName.get(name);
  if (found !== undefined) return found;
  const close = typeof name === 'string' ? nearest(name, [...byName.keys()]) : undefined;
  const hint = close === undefined ? '' : `; did you mean '${close}'?`;
  throw argumentError(what, 'a name of the model', describe(name) + hint);
}

// ---- Checks --------------------------------------------------------------------------------------------------------

interface Member {
  readonly path: string;
  readonly id: number;
}

/** @param owner the path of what they belong to; undefined for the model. */
function members<T extends Member>(
  owner: string | undefined,
  kind: string,
  definitions: unknown,
  memberOf: (name: string, path: string, definition: unknown) => T,
): Members<T> {
  const where = owner === undefined ? 'the model' : `${owner}.${kind}`;
  if (!isPlainObject(definitions)) throw argumentError(where, 'a plain object', describe(definitions));
  const byName = new Map<string, T>();
  const byId = new Map<number, T>();
  for (const [name, definition] of Object.entries(definitions)) {
    if (name === '' || name === '__proto__') {
      throw argumentError(
        `a name in ${where}`,
        'a string that is not empty and not __proto__',
        describe(name),
      );
    }
    const member = memberOf(name, owner === undefined ? name : `${owner}${stepTo(name)}`, definition);
    const other = byId.get(member.id);
    if (other !== undefined) {
      throw argumentError(`the id of ${member.path}`, `another than that of ${other.path}`, `${member.id}`);
    }
    byName.set(name, member);
    byId.set(member.id, member);
  }
  return { byName, byId };
}

function endpointOf(name: string, path: string, definition: unknown): ModelEndpoint {
  const { endpoint, features } = checkDefinition(path, definition, ['endpoint', 'features']);
  const id = checkInteger(`${path}.endpoint`, endpoint, 0, 255);
  return {
    name,
    path,
    id,
    features: members(path, 'features', features, (...feature) => featureOf({ name, id }, ...feature)),
  };
}

function featureOf(
  endpoint: ModelFeature['endpoint'],
  name: string,
  path: string,
  definition: unknown,
): ModelFeature {
  const {
    feature,
    attributes = {},
    commands = {},
  } = checkDefinition(path, definition, ['feature', 'attributes', 'commands']);
  const id = checkInteger(`${path}.feature`, feature, 0, 255);
  const checked = members(path, 'attributes', attributes, attributeOf);
  return {
    name,
    path,
    id,
    endpoint,
    attributes: checked,
    readable: [...checked.byId.values()].filter(({ readable }) => readable),
    commands: members(path, 'commands', commands, commandOf),
  };
}

function attributeOf(name: string, path: string, definition: unknown): ModelAttribute {
  const known = ['attribute', 'schema', 'writable', 'writeOnly'];
  const { attribute, schema, ...access } = checkDefinition(path, definition, known);
  const writeOnly = checkBoolean(`${path}.writeOnly`, access.writeOnly ?? false);
  const writable = checkBoolean(`${path}.writable`, access.writable ?? writeOnly);
  if (writeOnly && !writable) throw argumentError(`${path}.writable`, 'true where writeOnly is', 'false');
  return {
    name,
    path,
    id: checkInteger(`${path}.attribute`, attribute, 0, 0xffff),
    schema: checkSchema(`${path}.schema`, schema),
    writable,
    readable: !writeOnly,
  };
}

function commandOf(name: string, path: string, definition: unknown): ModelCommand {
  const { command, parameters, result } = checkDefinition(path, definition, [
    'command',
    'parameters',
    'result',
  ]);
  return {
    name,
    path,
    id: checkInteger(`${path}.command`, command, 0, 255),
    parameters: parameters === undefined ? undefined : checkSchema(`${path}.parameters`, parameters),
    result: result === undefined ? undefined : checkSchema(`${path}.result`, result),
  };
}

/** Only its own names count: those of a prototype would be seen by types and not here. */
function checkDefinition(
  path: string,
  definition: unknown,
  known: readonly string[],
): Readonly<Record<string, unknown>> {
  if (!isPlainObject(definition)) throw argumentError(path, 'a plain object', describe(definition));
  return { ...checkOptions(path, definition, known) };
}

function checkSchema(path: string, schema: unknown): StandardSchemaV1 {
  if (isSchema(schema)) return schema;
  throw argumentError(path, 'a schema that speaks the standard schema, version 1', describe(schema));
}

// Schemas of some libraries are functions.
function isSchema(schema: unknown): schema is StandardSchemaV1 {
  if ((typeof schema !== 'object' && typeof schema !== 'function') || schema === null) return false;
  if (!('~standard' in schema)) return false;
  const standard: unknown = schema['~standard'];
  if (typeof standard !== 'object' || standard === null) return false;
  return (
    'version' in standard &&
    standard.version === 1 &&
    'validate' in standard &&
    typeof standard.validate === 'function'
  );
}
