// Interaction connections without a network: over two ends in memory, or against another side that is the test.

import { HawserError } from '../../src/base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';
import type { MessageCodec } from '../../src/interaction/codec.js';
import { Device, type DeviceOptions } from '../../src/interaction/device.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import {
  InteractionConnection,
  type InteractionConnectionOptions,
} from '../../src/interaction/interaction-connection.js';
import type { Message, Notification, Request, Response } from '../../src/interaction/messages.js';
import { subscribeResult } from '../../src/interaction/payloads.js';
import type { SubscriptionListener } from '../../src/interaction/requester.js';
import type { Value } from '../../src/interaction/values.js';
import { VirtualTime } from './virtual-time.js';

/** One end of a connection in memory. What is sent is kept, and arrives at the other end once it is let through. */
export class End implements MessageConnection {
  readonly detectsLoss: boolean;
  readonly codec: MessageCodec;
  readonly sent: Message[] = [];
  /** What was sent by `sendUnreliable`. It does not arrive by itself. */
  readonly unreliable: Uint8Array[] = [];
  readonly closings: string[] = [];
  receiver: MessageReceiver | undefined;
  far: End | undefined;
  /** What the next sends throw, each once. */
  readonly errors: HawserError[] = [];
  hasRoom = true;
  readonly sendUnreliable?: (bytes: Uint8Array) => boolean;

  /** @param datagramBytes how much an unreliable message may have; none can be sent without. */
  constructor(detectsLoss: boolean, codec: MessageCodec, datagramBytes?: number) {
    this.detectsLoss = detectsLoss;
    this.codec = codec;
    if (datagramBytes === undefined) return;
    this.sendUnreliable = (bytes) => {
      if (bytes.length > datagramBytes) throw new HawserError('ERR_HAWSER_MESSAGE_TOO_LONG', 'too long');
      const error = this.errors.shift();
      if (error !== undefined) throw error;
      this.unreliable.push(bytes.slice());
      return true;
    };
  }

  send(bytes: Uint8Array): boolean {
    const error = this.errors.shift();
    if (error !== undefined) throw error;
    const copy = bytes.slice();
    this.sent.push(this.codec.decode(copy));
    queueMicrotask(() => this.far?.receiver?.message(copy));
    return this.hasRoom;
  }

  close(reason: string): void {
    this.closings.push(reason);
    queueMicrotask(() => {
      this.receiver?.closed(undefined);
      this.far?.receiver?.closed(undefined);
    });
  }

  /** What was sent of a type. */
  ofType<T extends Message['type']>(type: T): Extract<Message, { type: T }>[] {
    return this.sent.filter((each): each is Extract<Message, { type: T }> => each.type === type);
  }
}

export type Options = Omit<InteractionConnectionOptions, 'wheel'>;

/** A connection whose other side is the test: `hear` is what comes from there. */
export function alone({ detectsLoss = true, ...options }: Options & { detectsLoss?: boolean } = {}) {
  const time = new VirtualTime();
  const codec = options.codec ?? hawserCodec();
  const end = new End(detectsLoss, codec);
  const connection = new InteractionConnection(end, { wheel: time.wheel, ...options });
  end.receiver = connection;
  const events: unknown[][] = [];
  connection.on('close', (error) => events.push(['close', error?.message]));
  connection.on('unexpectedReply', ({ messageId }) => events.push(['unexpectedReply', messageId]));
  connection.on('farewell', (farewell) => events.push(['farewell', farewell]));
  connection.on('closing', () => events.push(['closing']));
  connection.on('listenerError', (error, source) => events.push([source, (error as Error).message]));
  const hear = (message: Message): void => connection.message(codec.encode(message));
  return { time, end, connection, events, hear };
}

/** Two connections with one another. */
export function pair(near: Options = {}, far: Options = {}, detectsLoss = true) {
  const time = new VirtualTime();
  const ends = [near, far].map(({ codec }) => new End(detectsLoss, codec ?? hawserCodec()));
  const [a, b] = ends as [End, End];
  [a.far, b.far] = [b, a];
  const one = new InteractionConnection(a, { wheel: time.wheel, ...near });
  const other = new InteractionConnection(b, { wheel: time.wheel, ...far });
  [a.receiver, b.receiver] = [one, other];
  return { time, a, b, one, other };
}

export const terms = { endpoint: 1, feature: 2, attributes: [7] } as const;

export function notification(
  subscriptionId: number,
  value: Value,
  more: Partial<Notification> = {},
): Notification {
  const changes = new Map([[7, value]]);
  return { type: 'notification', subscriptionId, endpoint: 1, feature: 2, changes, kind: 'change', ...more };
}

export function subscribed(
  messageId: number,
  subscriptionId: number,
  values = new Map<number, Value>([[7, 0]]),
): Response {
  const result = { subscriptionId, values, minIntervalMs: 1, maxIntervalMs: 2 };
  return { type: 'response', messageId, status: 'SUCCESS', payload: subscribeResult(result, 'hawser') };
}

export function read(messageId: number): Request {
  return { type: 'request', operation: 'read', messageId, endpoint: 1, feature: 2, attributes: [] };
}

export function listening(log: unknown[], more: Partial<SubscriptionListener> = {}): SubscriptionListener {
  return {
    notified: ({ kind, changes }) => log.push([kind, changes.get(7)]),
    stale: (reason) => log.push(reason),
    ...more,
  };
}

export const full = (): HawserError => new HawserError('ERR_HAWSER_QUEUE_FULL', 'full');

export const read7 = (value: () => Value) => () => new Map([[7, value()]]);

/** A device with one connection, whose other side is the test. */
export function serving(
  value: () => Value,
  {
    codec = hawserCodec(),
    datagramBytes,
    ...options
  }: Partial<DeviceOptions> & {
    readonly codec?: MessageCodec;
    readonly datagramBytes?: number;
  } = {},
) {
  const time = new VirtualTime();
  const device = new Device({
    wheel: time.wheel,
    handlers: { read: read7(value) },
    connections: { codec },
    subscriptions: { minIntervalMs: 0 },
    ...options,
  });
  const end = new End(true, codec, datagramBytes);
  const connection = device.accept(end);
  end.receiver = connection;
  const errors: string[] = [];
  connection.on('listenerError', (_, source) => errors.push(source));
  const hear = (message: Message): void => connection.message(codec.encode(message));
  const subscribe = (messageId: number): void =>
    hear({ type: 'request', operation: 'subscribe', messageId, ...terms });
  return { time, device, end, connection, errors, hear, subscribe };
}
