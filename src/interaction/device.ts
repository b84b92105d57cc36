// The side that has attributes: it answers reads, writes, subscribes and invokes, and tells subscribers of changes.

import { checkOptions } from '../base/check.js';
import { reportListenerError } from '../base/isolate.js';
import type { MessageConnection } from '../base/message-connection.js';
import {
  type Answer,
  InteractionConnection,
  type InteractionConnectionOptions,
} from './interaction-connection.js';
import type { InvokeRequest, ReadRequest, Request, SubscribeRequest, WriteRequest } from './messages.js';
import { readResult, subscribeResult } from './payloads.js';
import type { ErrorStatus } from './status.js';
import { SubscriptionManager, type SubscriptionManagerOptions } from './subscriptions.js';
import type { AttributeValues, Value } from './values.js';

/** What a device does for those who are connected. What is left out is answered UNSUPPORTED. */
export interface DeviceHandlers {
  /**
   * The values of attributes as they are; also for whoever subscribes to them.
   *
   * @param request `attributes` empty for all.
   * @returns the values, or INVALID_ENDPOINT, INVALID_FEATURE, INVALID_ATTRIBUTE, WRITE_ONLY, NOT_AUTHORIZED ...
   */
  readonly read?: (
    request: ReadRequest | SubscribeRequest,
    connection: InteractionConnection,
  ) => AttributeValues | ErrorStatus;
  /** Takes new values, all or none. @returns undefined when it has, else why not. */
  readonly write?: (
    request: WriteRequest,
    connection: InteractionConnection,
  ) => ErrorStatus | undefined | Promise<ErrorStatus | undefined>;
  /** Runs a command. */
  readonly invoke?: (request: InvokeRequest, connection: InteractionConnection) => Answer | Promise<Answer>;
}

/** Options of {@link Device}. */
export interface DeviceOptions extends Pick<InteractionConnectionOptions, 'wheel'> {
  readonly handlers: DeviceHandlers;
  /** How its connections are kept. */
  readonly connections?: Omit<InteractionConnectionOptions, 'wheel' | 'serve'>;
  /** How its subscriptions are: those of the source document by default. */
  readonly subscriptions?: Omit<
    SubscriptionManagerOptions<InteractionConnection>,
    'wheel' | 'notify' | 'cancelled'
  >;
}

/** A device with any number of connections. */
export class Device {
  readonly #options: DeviceOptions;
  readonly #subscriptions: SubscriptionManager<InteractionConnection>;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: DeviceOptions) {
    checkOptions('options', options, ['wheel', 'handlers', 'connections', 'subscriptions']);
    checkOptions('handlers', options.handlers, ['read', 'write', 'invoke']);
    this.#options = options;
    this.#subscriptions = new SubscriptionManager({
      ...options.subscriptions,
      wheel: options.wheel,
      notify: (connection, notification) => {
        // mash cannot say that a notification is the priming: there the response is.
        if (notification.kind === 'priming' && connection.codec === 'mash') return true;
        return connection.notify(notification);
      },
      // A subscriber who is not told would take old values for new ones for ever; so all of its subscriptions become stale.
      cancelled: (connection, _, reason, error) => {
        if (reason === 'failed') reportListenerError(connection, error, 'notify');
        connection.close(`a subscription ended: ${reason}`);
      },
    });
  }

  /** How many subscriptions there are. */
  get subscriptions(): number {
    return this.#subscriptions.size;
  }

  /** Serves whoever is at the other end of a connection. */
  accept(connection: MessageConnection): InteractionConnection {
    const { wheel, connections } = this.#options;
    const interaction = new InteractionConnection(connection, {
      ...connections,
      wheel,
      serve: (request, from) => this.#serve(request, from),
    });
    interaction.on('drained', () => this.#subscriptions.drained(interaction));
    interaction.on('close', () => this.#subscriptions.clear(interaction));
    return interaction;
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

  #serve(request: Request, from: InteractionConnection): Answer | Promise<Answer> {
    const { read, write, invoke } = this.#options.handlers;
    switch (request.operation) {
      case 'read':
        return read === undefined ? unsupported : answerOf(read(request, from), readResult);
      case 'write':
        return write === undefined ? unsupported : writeAnswer(write(request, from));
      case 'invoke':
        return invoke === undefined ? unsupported : invoke(request, from);
      case 'subscribe': {
        if (read === undefined) return unsupported;
        const { codec } = from;
        const subscribed = this.#subscriptions.subscribe(from, request, () => read(request, from));
        if (typeof subscribed === 'string') return { error: subscribed };
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

const unsupported: Answer = { error: 'UNSUPPORTED' };

function answerOf<T extends object>(result: T | ErrorStatus, payloadOf: (result: T) => Value): Answer {
  return typeof result === 'string' ? { error: result } : { payload: payloadOf(result) };
}

async function writeAnswer(
  status: ErrorStatus | undefined | Promise<ErrorStatus | undefined>,
): Promise<Answer> {
  const error = await status;
  return error === undefined ? { payload: undefined } : { error };
}
