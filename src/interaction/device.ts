// The side that has attributes: it answers reads, writes, subscribes and invokes, and tells subscribers of changes.

import { argumentError, checkBoolean, checkFunction, checkOptions, describe } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import { answerOf, reportListenerError } from '../base/isolate.js';
import type { MessageConnection } from '../base/message-connection.js';
import { systemWheel, type TimingWheel } from '../base/timing-wheel.js';
import { diagnostics } from './diagnostics.js';
import {
  type Answer,
  type CloseOptions,
  checkCloseOptions,
  checkConnectionOptions,
  InteractionConnection,
  type InteractionConnectionOptions,
  type Refusal,
} from './interaction-connection.js';
import type { InvokeRequest, ReadRequest, Request, SubscribeRequest, WriteRequest } from './messages.js';
import { readResult, subscribeResult } from './payloads.js';
import { type InteractionStats, InteractionTotals } from './stats.js';
import type { ErrorStatus } from './status.js';
import { SubscriptionManager, type SubscriptionManagerOptions } from './subscriptions.js';
import type { AttributeValues, Value } from './values.js';

/** What became of a write: undefined when it was carried out, else why not. */
export type WriteOutcome = ErrorStatus | Refusal | undefined;

/** What a device does for those who are connected. What is left out is answered UNSUPPORTED. */
export interface DeviceHandlers {
  /**
   * The values of attributes as they are; also for whoever subscribes to them.
   *
   * @param request `attributes` empty for all.
   * @returns the values, or why there are none: INVALID_ENDPOINT, INVALID_FEATURE, INVALID_ATTRIBUTE, WRITE_ONLY, NOT_AUTHORIZED ...
   */
  readonly read?: (
    request: ReadRequest | SubscribeRequest,
    connection: InteractionConnection,
  ) => AttributeValues | ErrorStatus | Refusal;
  /** Takes new values, all or none. */
  readonly write?: (
    request: WriteRequest,
    connection: InteractionConnection,
  ) => WriteOutcome | Promise<WriteOutcome>;
  /** Runs a command. */
  readonly invoke?: (request: InvokeRequest, connection: InteractionConnection) => Answer | Promise<Answer>;
}

/** Options of {@link Device}. */
export interface DeviceOptions extends Pick<InteractionConnectionOptions, 'wheel'> {
  /** What answers those who ask. */
  readonly handlers: DeviceHandlers;
  /** How its connections are kept. */
  readonly connections?: Omit<InteractionConnectionOptions, 'wheel' | 'serve'>;
  /** How its subscriptions are: those of the source document by default, with maximum intervals from a second to an hour. */
  readonly subscriptions?: Omit<
    SubscriptionManagerOptions<InteractionConnection>,
    'wheel' | 'notify' | 'cancelled'
  >;
  /**
   * True: changes go by messages that may be lost, each of which says everything that the subscription has been told, so that the next one,
   * or the heartbeat, makes up for it; the subscriber drops what comes after a newer one. It never waits for what was lost. Primings,
   * heartbeats, and what is too long for one datagram go reliably; so does everything over a transport that has nothing else. Not with the
   * codec `mash`, whose notifications cannot be put in order. False by default.
   */
  readonly unreliableState?: boolean;
  /**
   * Called with what a handler or a listener of a connection threw, and where. The other side was answered BUSY. Without it, and without a
   * listener of `listenerError` of that connection, the error is counted and becomes a warning of the process.
   */
  readonly listenerError?: (error: unknown, source: string, connection: InteractionConnection) => void;
}

const optionNames = [
  'wheel',
  'handlers',
  'connections',
  'subscriptions',
  'unreliableState',
  'listenerError',
] as const;

/** A device with any number of connections. */
export class Device implements AsyncDisposable {
  readonly #options: DeviceOptions;
  readonly #wheel: TimingWheel;
  readonly #subscriptions: SubscriptionManager<InteractionConnection>;
  readonly #connections = new Set<InteractionConnection>();
  readonly #totals = new InteractionTotals();
  #closeOptions: CloseOptions | undefined = undefined;
  #closed: Promise<void> | undefined = undefined;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: DeviceOptions) {
    checkOptions('options', options, optionNames);
    checkOptions('handlers', options.handlers, ['read', 'write', 'invoke']);
    const isUnreliable = checkBoolean('unreliableState', options.unreliableState ?? false);
    this.#options = options;
    this.#wheel = options.wheel ?? systemWheel();
    if (options.listenerError !== undefined) checkFunction('listenerError', options.listenerError);
    checkConnectionOptions({ ...options.connections, wheel: this.#wheel });
    this.#subscriptions = new SubscriptionManager({
      leastMaxIntervalMs: 1000,
      greatestMaxIntervalMs: 3_600_000,
      ...(isUnreliable ? fullState(options) : options.subscriptions),
      wheel: this.#wheel,
      notify: (connection, notification) => {
        // mash cannot say that a notification is the priming: there the response is.
        if (notification.kind === 'priming' && connection.codec === 'mash') return true;
        return isUnreliable ? connection.notifyUnreliably(notification) : connection.notify(notification);
      },
      // A subscriber who is not told would take old values for new ones for ever; so all of its subscriptions become stale.
      cancelled: (connection, _, reason, error) => {
        if (reason === 'failed') reportListenerError(connection, error, 'notify');
        connection.destroy(`a subscription ended: ${reason}`);
      },
    });
  }

  /** How many connections there are, those that are being closed included. */
  get connections(): number {
    return this.#connections.size;
  }

  /** How many subscriptions there are. */
  get subscriptions(): number {
    return this.#subscriptions.size;
  }

  /** What its connections do, and did. */
  get stats(): InteractionStats {
    return this.#totals.stats;
  }

  /** Serves whoever is at the other end of a connection. After `close` that is closed at once, in the same way. */
  accept(connection: MessageConnection): InteractionConnection {
    const interaction = new InteractionConnection(connection, {
      ...this.#options.connections,
      wheel: this.#wheel,
      serve: this.#serveOne,
    });
    this.#connections.add(interaction);
    this.#totals.add(interaction);
    if (diagnostics.open.hasSubscribers) diagnostics.open.publish({ connections: this.#connections.size });
    const { listenerError } = this.#options;
    if (listenerError !== undefined) {
      interaction.on('listenerError', (error, source) => listenerError(error, source, interaction));
    }
    interaction.on('drained', () => this.#subscriptions.drained(interaction));
    interaction.on('closing', () => this.#subscriptions.clear(interaction));
    interaction.on('close', (error) => {
      if (diagnostics.close.hasSubscribers) diagnostics.close.publish({ error: nameOf(error) });
      this.#connections.delete(interaction);
      this.#totals.delete(interaction);
      this.#subscriptions.clear(interaction);
    });
    if (this.#closeOptions !== undefined) void interaction.close(this.#closeOptions);
    return interaction;
  }

  /**
   * Closes all connections without losing what is under way, as `InteractionConnection.close` does.
   *
   * @returns a promise that resolves when all of them have ended, the same for every call.
   * @throws (rejects) HawserError ERR_HAWSER_ARGUMENT.
   */
  close(options: CloseOptions = {}): Promise<void> {
    if (this.#closed !== undefined) return this.#closed;
    try {
      checkCloseOptions(options);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#closeOptions = options;
    this.#closed = Promise.all([...this.#connections].map((each) => each.close(options))).then(
      () => undefined,
    );
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /**
   * An attribute has a new value; to be called after `read` would return it.
   *
   * @param endpoint 0 to 255.
   * @param feature 0 to 255.
   * @param attribute 0 to 65,535.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  notifyChange(endpoint: number, feature: number, attribute: number, value: Value): void {
    this.#subscriptions.notifyChange(endpoint, feature, attribute, value);
  }

  /**
   * As {@link Device.notifyChange} for attributes that changed together: a subscriber hears of them in one notification.
   *
   * @param values by the ids of the attributes, 0 to 65,535. They must not be modified afterwards.
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  notifyChanges(endpoint: number, feature: number, values: AttributeValues): void {
    this.#subscriptions.notifyChanges(endpoint, feature, values);
  }

  /** One for all connections. */
  readonly #serveOne = (request: Request, from: InteractionConnection): Answer | Promise<Answer> =>
    this.#serve(request, from);

  #serve(request: Request, from: InteractionConnection): Answer | Promise<Answer> {
    const { read, write, invoke } = this.#options.handlers;
    switch (request.operation) {
      case 'read':
        return read === undefined ? unsupported : readAnswer(checkedRead(read(request, from)));
      case 'write':
        return write === undefined ? unsupported : writeAnswer(write(request, from));
      case 'invoke':
        return invoke === undefined ? unsupported : invoke(request, from);
      case 'subscribe': {
        if (read === undefined) return unsupported;
        const { codec } = from;
        let refusal: Refusal | undefined;
        const subscribed = this.#subscriptions.subscribe(from, request, () => {
          const values = checkedRead(read(request, from));
          if (!isRefusal(values)) return values;
          refusal = refusalOf(values);
          return refusal.error;
        });
        if (typeof subscribed === 'string') return refusal ?? { error: subscribed };
        // A subscription whose response cannot be sent is one that nobody knows of.
        const undo = () => this.#subscriptions.unsubscribe(from, subscribed.subscriptionId);
        return { payload: subscribeResult(subscribed, codec), undo };
      }
      case 'unsubscribe': {
        const status = this.#subscriptions.unsubscribe(from, request.subscriptionId);
        return status === 'SUCCESS' ? { payload: undefined } : { error: status };
      }
    }
  }
}

/** The code of an error, or its name. */
function nameOf(error: Error | undefined): string | null {
  if (error === undefined) return null;
  return error instanceof HawserError ? error.code : error.name;
}

const unsupported: Answer = { error: 'UNSUPPORTED' };

/** What changes while it is awaited would be told before it: so it is there at once. */
function checkedRead(
  outcome: AttributeValues | ErrorStatus | Refusal,
): AttributeValues | ErrorStatus | Refusal {
  if (outcome instanceof Map || isRefusal(outcome)) return outcome;
  answerOf(outcome);
  throw argumentError('what read returns', 'a Map, or a status, at once', describe(outcome));
}

function isRefusal(outcome: AttributeValues | WriteOutcome): outcome is ErrorStatus | Refusal {
  // Who writes plain JavaScript may have returned anything.
  return typeof outcome === 'string' || (outcome instanceof Object && 'error' in outcome);
}

function refusalOf(outcome: ErrorStatus | Refusal): Refusal {
  return typeof outcome === 'string' ? { error: outcome } : outcome;
}

function readAnswer(outcome: AttributeValues | ErrorStatus | Refusal): Answer {
  return isRefusal(outcome) ? refusalOf(outcome) : { payload: readResult(outcome) };
}

async function writeAnswer(pending: WriteOutcome | Promise<WriteOutcome>): Promise<Answer> {
  const outcome = await pending;
  return outcome === undefined ? { payload: undefined } : refusalOf(outcome);
}

/** What subscriptions must be like whose notifications may be lost. */
function fullState({ subscriptions, connections }: DeviceOptions): DeviceOptions['subscriptions'] {
  const rule = 'left out or false with the codec mash, whose notifications have no sequence';
  if (connections?.codec?.name === 'mash') throw argumentError('unreliableState', rule, 'true');
  const { state = 'full', heartbeat = 'full' } = subscriptions ?? {};
  for (const [name, value] of Object.entries({ state, heartbeat })) {
    if (value !== 'full')
      throw argumentError(`subscriptions.${name}`, `'full' with unreliableState`, describe(value));
  }
  return { ...subscriptions, state: 'full' };
}
