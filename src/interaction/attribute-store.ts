// The values of a device's attributes, checked by its model; and what answers the other side out of them.

import { EventEmitter } from 'node:events';
import {
  argumentError,
  checkBoolean,
  checkFunction,
  checkOneOf,
  checkOptions,
  checkString,
  describe,
} from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { answerOf, guard, isolateRejections } from '../base/isolate.js';
import type { Device, DeviceHandlers, WriteOutcome } from './device.js';
import { equalValues } from './equality.js';
import type { Answer, InteractionConnection, Refusal } from './interaction-connection.js';
import type { InvokeRequest, ReadRequest, SubscribeRequest, WriteRequest } from './messages.js';
import {
  type AttributeInputs,
  type AttributeName,
  type AttributeOutputs,
  type CommandName,
  type CommandTypes,
  type EndpointName,
  type FeatureName,
  Model,
  type ModelAttribute,
  type ModelCommand,
  type ModelDefinition,
  type ModelFeature,
  named,
} from './model.js';
import { fromWire, isPlainObject } from './plain-values.js';
import { type Checked, sendable, sendableLater, validateLater } from './schemas.js';
import { type ErrorStatus, statusCodes } from './status.js';
import type { AttributeValues, Value } from './values.js';

// ---- Types ---------------------------------------------------------------------------------------------------------

/** Values that an {@link AttributeStore} begins with: all or a part. What is left out is not there yet. */
export type InitialValues<D extends ModelDefinition> = {
  readonly [E in EndpointName<D>]?: {
    readonly [F in FeatureName<D, E>]?: Partial<AttributeInputs<D, E, F>>;
  };
};

/** Who changed values: this side, or the connection whose other side wrote them. */
export type ChangeOrigin = 'local' | InteractionConnection;

/** What has changed. Its endpoint and feature tell the type of its values. */
export type AttributeChange<D extends ModelDefinition> = {
  [E in EndpointName<D>]: {
    [F in FeatureName<D, E>]: {
      /** By its name in the model. */
      readonly endpoint: E;
      /** By its name in the model. */
      readonly feature: F;
      /** Those that are others now, by the names of their attributes. Not to be modified. */
      readonly values: Partial<AttributeOutputs<D, E, F>>;
      /** Who changed it. */
      readonly origin: ChangeOrigin;
    };
  }[FeatureName<D, E>];
}[EndpointName<D>];

/** The events of an {@link AttributeStore} with the arguments of their listeners. */
export interface AttributeStoreEvents<D extends ModelDefinition> {
  /** Attributes have other values; once for all that changed together, after those who subscribed were told. */
  change: [change: AttributeChange<D>];
  /** A listener threw, or its promise rejected. Without a listener of this event it is counted and becomes a warning of the process. */
  listenerError: [error: unknown, source: string];
}

/** What the other side asks for, by the names of the model. */
export type Access<D extends ModelDefinition> =
  | (AccessedFeature<D> & {
      /** What is asked for. */
      readonly operation: 'read' | 'subscribe' | 'write';
      /** Those that it named; for all of them, each that can be read, whether it is there yet or not. */
      readonly attributes: readonly string[];
    })
  | (AccessedFeature<D> & { readonly operation: 'invoke'; readonly command: string });

/** Which feature is asked. */
export type AccessedFeature<D extends ModelDefinition> = {
  [E in EndpointName<D>]: { readonly endpoint: E; readonly feature: FeatureName<D, E> };
}[EndpointName<D>];

/**
 * Runs a command.
 *
 * @param parameters what the schema makes of what was sent; undefined where the command takes nothing.
 * @returns what the command returns, which its schema is still to check.
 * @throws (or rejects) RefusedError with the status that the other side is to get; for anything else it gets BUSY, and the
 *   connection emits `listenerError`.
 */
export type CommandHandler<
  D extends ModelDefinition,
  E extends EndpointName<D>,
  F extends FeatureName<D, E>,
  C extends CommandName<D, E, F>,
> = (
  parameters: CommandTypes<D, E, F, C>['parametersOutput'],
  connection: InteractionConnection,
) => CommandTypes<D, E, F, C>['returned'];

type FeatureHandlers<D extends ModelDefinition, E extends EndpointName<D>, F extends FeatureName<D, E>> = {
  readonly [C in CommandName<D, E, F>]: CommandHandler<D, E, F, C>;
};

type EndpointHandlers<D extends ModelDefinition, E extends EndpointName<D>> = {
  readonly [F in FeatureName<D, E> as CommandName<D, E, F> extends never ? never : F]: FeatureHandlers<
    D,
    E,
    F
  >;
};

/** A handler for every command of a model. Endpoints and features without commands are left out. */
export type CommandHandlers<D extends ModelDefinition> = {
  readonly [E in EndpointName<D> as keyof EndpointHandlers<D, E> extends never ? never : E]: EndpointHandlers<
    D,
    E
  >;
};

/** Options of `AttributeStore.handlers`. */
export type StoreHandlersOptions<D extends ModelDefinition> = {
  /**
   * Whether the other side may do that; otherwise it gets NOT_AUTHORIZED. Called before anything is read, checked or done,
   * and synchronous; for a subscription once, when it is made. Without it everybody who is connected may do everything.
   */
  readonly authorize?: (access: Access<D>, connection: InteractionConnection) => boolean;
} & (keyof CommandHandlers<D> extends never
  ? { readonly commands?: undefined }
  : { readonly commands: CommandHandlers<D> });

type OptionsArgument<D extends ModelDefinition> = keyof CommandHandlers<D> extends never
  ? [options?: StoreHandlersOptions<D>]
  : [options: StoreHandlersOptions<D>];

const errorStatuses = Object.keys(statusCodes).filter((name) => name !== 'SUCCESS');

/** Thrown by the handler of a command: the other side gets this status. */
export class RefusedError extends Error {
  /** What the one who asked is answered with. */
  readonly refusal: Refusal;

  /**
   * @param detail for people at the other side, at most 1,000 characters.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  constructor(status: ErrorStatus, detail?: string) {
    checkOneOf('status', status, errorStatuses);
    if (detail !== undefined) checkString('detail', detail, 0, 1000);
    super(detail === undefined ? status : `${status}: ${detail}`);
    this.name = 'RefusedError';
    this.refusal = { error: status, ...(detail !== undefined && { detail }) };
  }
}

// ---- The store -----------------------------------------------------------------------------------------------------

/** A value as the program has it, and as it is sent. */
interface Stored {
  readonly value: unknown;
  readonly wire: Value;
}

type Entries = readonly (readonly [ModelAttribute, Stored])[];
type Handler = (parameters: unknown, connection: InteractionConnection) => unknown;

interface Serving {
  readonly commands: ReadonlyMap<ModelCommand, Handler>;
  readonly isAllowed: (access: object, connection: InteractionConnection) => boolean;
}

/** An {@link AttributeChange} of a store whose names only the model knows. */
interface Change {
  readonly endpoint: string;
  readonly feature: string;
  readonly values: object;
  readonly origin: ChangeOrigin;
}

type ChangeEmitter = EventEmitter<{ change: [change: Change] }>;

/**
 * Holds the values of a device's attributes. Each has passed the schema of its attribute. A device is this and two lines more:
 *
 *     const device = new Device({ handlers: store.handlers({ commands }) });
 *     store.attach(device);
 */
export class AttributeStore<D extends ModelDefinition> extends EventEmitter<AttributeStoreEvents<D>> {
  readonly #model: Model<D>;
  readonly #stored = new Map<ModelAttribute, Stored>();
  readonly #devices = new Set<Pick<Device, 'notifyChanges'>>();
  /** Changes that listeners have not been told of. */
  readonly #untold: Change[] = [];
  #telling = false;

  static {
    isolateRejections(AttributeStore.prototype);
  }

  /**
   * @param initial values by the names of endpoint, feature and attribute.
   * @throws HawserError ERR_HAWSER_ARGUMENT, as `set`.
   */
  constructor(model: Model<D>, initial?: InitialValues<D>) {
    super({ captureRejections: true });
    if (!(model instanceof Model)) throw argumentError('model', 'what defineModel makes', describe(model));
    this.#model = model;
    for (const [feature, values] of byFeature(model, 'initial', initial ?? {})) {
      for (const [attribute, stored] of checkValues(feature, values)) this.#stored.set(attribute, stored);
    }
  }

  /**
   * The value of an attribute, which is not to be modified; undefined when it is not there yet.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT for a name that the model does not have.
   */
  get<E extends EndpointName<D>, F extends FeatureName<D, E>, N extends AttributeName<D, E, F>>(
    endpoint: E,
    feature: F,
    attribute: N,
  ): AttributeOutputs<D, E, F>[N] | undefined {
    const found = named('attribute', this.#model.feature(endpoint, feature).attributes, attribute);
    // It is the output of the schema that the type is inferred from.
    return this.#stored.get(found)?.value as AttributeOutputs<D, E, F>[N] | undefined;
  }

  /**
   * Gives attributes of a feature new values, all or none: subscribers hear of them in one notification, and of those that
   * are others than before there is one `change`. When a listener of that sets values in turn, all hear of these afterwards.
   *
   * @param values by the names of the attributes; what is kept and sent is what their schemas make of them.
   * @throws HawserError ERR_HAWSER_ARGUMENT for a name that the model does not have, and a value that its schema refuses or
   *   makes something of that cannot be sent, or that it does not take again unchanged.
   */
  set<E extends EndpointName<D>, F extends FeatureName<D, E>>(
    endpoint: E,
    feature: F,
    values: Partial<AttributeInputs<D, E, F>>,
  ): void {
    const found = this.#model.feature(endpoint, feature);
    this.#commit(found, checkValues(found, values), 'local');
  }

  /**
   * Tells a device of every change, so that its subscribers hear of it: the device with the `handlers` of this store.
   *
   * @returns ends that, for a device that is closed before the store is done with.
   */
  attach(device: Pick<Device, 'notifyChanges'>): () => void {
    checkFunction('device.notifyChanges', device.notifyChanges);
    this.#devices.add(device);
    return () => void this.#devices.delete(device);
  }

  /**
   * What a device answers with: the values of this store, and the commands. It answers INVALID_ENDPOINT, INVALID_FEATURE,
   * INVALID_ATTRIBUTE and INVALID_COMMAND for what the model does not have, then NOT_AUTHORIZED, then READ_ONLY and
   * WRITE_ONLY, then CONSTRAINT_ERROR for a value and INVALID_PARAMETER for parameters that a schema refuses, with what it
   * says. A write changes all or nothing. Attributes that are not there yet are left out of what is read.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT unless there is a handler for every command of the model, and for nothing else.
   */
  handlers(...[options]: OptionsArgument<D>): Required<DeviceHandlers> {
    checkOptions('options', options ?? {}, ['commands', 'authorize']);
    const authorize = checkFunction('authorize', options?.authorize ?? (() => true));
    const serving: Serving = {
      commands: checkHandlers(this.#model, options?.commands ?? {}),
      isAllowed: (access, connection) =>
        // It is made of the names of the definition, which types cannot follow.
        checkBoolean('the result of authorize', answerOf(authorize(access as Access<D>, connection))),
    };
    return {
      read: (request, connection) => this.#read(serving, request, connection),
      write: (request, connection) => this.#write(serving, request, connection),
      invoke: (request, connection) => this.#invoke(serving, request, connection),
    };
  }

  // ---- What the other side asks for --------------------------------------------------------------------------------

  #read(
    { isAllowed }: Serving,
    { operation, endpoint, feature, attributes }: ReadRequest | SubscribeRequest,
    connection: InteractionConnection,
  ): AttributeValues | ErrorStatus {
    // Its subscriber would never hear of a change.
    if (operation === 'subscribe' && this.#devices.size === 0) {
      throw new HawserError(
        'ERR_HAWSER_ARGUMENT',
        'the device has a store that it is not attached to: call store.attach(device)',
      );
    }
    const found = this.#model.find(endpoint, feature);
    if (typeof found === 'string') return found;
    const asked = attributes.length === 0 ? found.readable : attributesOf(found, attributes);
    if (asked === undefined) return 'INVALID_ATTRIBUTE';
    if (!isAllowed(accessTo(found, operation, asked), connection)) return 'NOT_AUTHORIZED';
    if (!asked.every(({ readable }) => readable)) return 'WRITE_ONLY';
    const values = new Map<number, Value>();
    for (const attribute of asked) {
      const stored = this.#stored.get(attribute);
      if (stored !== undefined) values.set(attribute.id, stored.wire);
    }
    return values;
  }

  #write(
    { isAllowed }: Serving,
    { endpoint, feature, values }: WriteRequest,
    connection: InteractionConnection,
  ): WriteOutcome {
    const found = this.#model.find(endpoint, feature);
    if (typeof found === 'string') return found;
    const asked = attributesOf(found, values.keys());
    if (asked === undefined) return 'INVALID_ATTRIBUTE';
    if (!isAllowed(accessTo(found, 'write', asked), connection)) return 'NOT_AUTHORIZED';
    if (!asked.every(({ writable }) => writable)) return 'READ_ONLY';
    const entries: [ModelAttribute, Stored][] = [];
    for (const attribute of asked) {
      const result = sendable(attribute.schema, fromWire(values.get(attribute.id)), attribute.path);
      if (result.issues !== undefined) return { error: 'CONSTRAINT_ERROR', detail: result.issues };
      entries.push([attribute, result]);
    }
    this.#commit(found, entries, connection);
    return undefined;
  }

  async #invoke(
    { isAllowed, commands }: Serving,
    { endpoint, feature, command, parameters }: InvokeRequest,
    connection: InteractionConnection,
  ): Promise<Answer> {
    const found = this.#model.find(endpoint, feature);
    if (typeof found === 'string') return { error: found };
    const asked = found.commands.byId.get(command);
    const handler = asked && commands.get(asked);
    if (asked === undefined || handler === undefined) return { error: 'INVALID_COMMAND' };
    const access = { ...namesOf(found), operation: 'invoke', command: asked.name };
    if (!isAllowed(access, connection)) return { error: 'NOT_AUTHORIZED' };
    const checked = await checkParameters(asked, fromWire(parameters));
    if (checked.issues !== undefined) return { error: 'INVALID_PARAMETER', detail: checked.issues };
    try {
      return await resultOf(asked, await handler(checked.value, connection));
    } catch (error) {
      if (error instanceof RefusedError) return error.refusal;
      throw error;
    }
  }

  // ---- Changes -----------------------------------------------------------------------------------------------------

  #commit(feature: ModelFeature, entries: Entries, origin: ChangeOrigin): void {
    const told = new Map<number, Value>();
    const changed: [string, unknown][] = [];
    for (const [attribute, stored] of entries) {
      const before = this.#stored.get(attribute);
      this.#stored.set(attribute, stored);
      if (attribute.readable) told.set(attribute.id, stored.wire);
      if (before === undefined || !equalValues(before.wire, stored.wire)) {
        changed.push([attribute.name, stored.value]);
      }
    }
    if (changed.length > 0)
      this.#untold.push({ ...namesOf(feature), values: Object.fromEntries(changed), origin });
    // Also of what has not changed: whether to tell that is for the device's subscriptions.
    if (told.size > 0) {
      for (const device of this.#devices) device.notifyChanges(feature.endpoint.id, feature.id, told);
    }
    this.#tell();
  }

  /** Tells listeners one change after the other, also when one of them makes the next. */
  #tell(): void {
    if (this.#telling) return;
    this.#telling = true;
    // The names are those of the definition, which types cannot follow.
    const emitter = this as unknown as ChangeEmitter;
    for (let next = this.#untold.shift(); next !== undefined; next = this.#untold.shift()) {
      const change = next;
      guard(this, 'change', () => emitter.emit('change', change));
    }
    this.#telling = false;
  }
}

// ---- Checks --------------------------------------------------------------------------------------------------------

function entriesOf(name: string, value: unknown): [string, unknown][] {
  if (isPlainObject(value)) return Object.entries(value);
  throw argumentError(name, 'a plain object', describe(value));
}

/** What is given for each feature, by the names of endpoints and features. */
function* byFeature(model: Model, name: string, given: unknown): Generator<[ModelFeature, unknown]> {
  for (const [endpoint, features] of entriesOf(name, given)) {
    for (const [feature, value] of entriesOf(`${name}.${endpoint}`, features ?? {})) {
      yield [model.feature(endpoint, feature), value ?? {}];
    }
  }
}

function checkValues(feature: ModelFeature, values: unknown): Entries {
  return entriesOf(feature.path, values).map(([name, value]) => {
    const attribute = named(`an attribute of ${feature.path}`, feature.attributes, name);
    const result = sendable(attribute.schema, value, attribute.path);
    if (result.issues !== undefined) throw new HawserError('ERR_HAWSER_ARGUMENT', result.issues);
    return [attribute, result];
  });
}

function checkHandlers(model: Model, commands: unknown): ReadonlyMap<ModelCommand, Handler> {
  const handlers = new Map<ModelCommand, Handler>();
  for (const [feature, given] of byFeature(model, 'commands', commands)) {
    for (const [name, handler] of entriesOf(`commands.${feature.path}`, given)) {
      const command = named(`a command of ${feature.path}`, feature.commands, name);
      if (!isHandler(handler)) throw noHandler(command, handler);
      handlers.set(command, handler);
    }
  }
  for (const { features } of model.endpoints.byId.values()) {
    for (const { commands: all } of features.byId.values()) {
      for (const command of all.byId.values())
        if (!handlers.has(command)) throw noHandler(command, undefined);
    }
  }
  return handlers;
}

function isHandler(value: unknown): value is Handler {
  return typeof value === 'function';
}

function noHandler({ path }: ModelCommand, got: unknown): HawserError {
  return argumentError(`commands.${path}`, 'a function', describe(got));
}

// ---- Requests ------------------------------------------------------------------------------------------------------

/** @returns undefined when one of the ids is none. */
function attributesOf({ attributes }: ModelFeature, ids: Iterable<number>): ModelAttribute[] | undefined {
  const found: ModelAttribute[] = [];
  for (const id of ids) {
    const attribute = attributes.byId.get(id);
    if (attribute === undefined) return undefined;
    found.push(attribute);
  }
  return found;
}

function namesOf({ endpoint, name }: ModelFeature): { endpoint: string; feature: string } {
  return { endpoint: endpoint.name, feature: name };
}

function accessTo(feature: ModelFeature, operation: string, attributes: readonly ModelAttribute[]): object {
  return { ...namesOf(feature), operation, attributes: attributes.map(({ name }) => name) };
}

async function checkParameters({ path, parameters }: ModelCommand, given: unknown): Promise<Checked> {
  if (parameters !== undefined) return validateLater(parameters, given, path);
  // Some send an empty map for nothing.
  const isNothing = given === undefined || (isPlainObject(given) && Object.keys(given).length === 0);
  return isNothing ? { value: undefined } : { issues: `${path}: it takes no parameters` };
}

async function resultOf({ path, result }: ModelCommand, returned: unknown): Promise<Answer> {
  if (result === undefined) return { payload: undefined };
  const { issues, wire } = await sendableLater(result, returned, `the result of ${path}`);
  if (issues !== undefined) throw new HawserError('ERR_HAWSER_ARGUMENT', issues);
  return { payload: wire };
}
