// The messages of the interaction protocol, as values. A codec turns them into bytes and back.

import type { Status } from './status.js';
import type { AttributeValues, Value } from './values.js';

/** Asks the other side to do something. `messageId` is 1 to 4,294,967,295, and the answer's. */
export type Request = ReadRequest | WriteRequest | SubscribeRequest | UnsubscribeRequest | InvokeRequest;

/** What a request asks for. */
export type Operation = Request['operation'];

interface RequestBase {
  readonly type: 'request';
  /** Told apart by it from other requests: 1 to 4,294,967,295. */
  readonly messageId: number;
}

interface FeatureRequest extends RequestBase {
  /** 0 to 255. */
  readonly endpoint: number;
  /** 0 to 255. */
  readonly feature: number;
}

/** Asks for values. */
export interface ReadRequest extends FeatureRequest {
  readonly operation: 'read';
  /** Ids; none for all. */
  readonly attributes: readonly number[];
}

/** Changes values, all or none. */
export interface WriteRequest extends FeatureRequest {
  readonly operation: 'write';
  /** By the ids of the attributes. */
  readonly values: AttributeValues;
}

/** Asks to be told of changes. */
export interface SubscribeRequest extends FeatureRequest {
  readonly operation: 'subscribe';
  /** Ids; none for all. */
  readonly attributes: readonly number[];
  /** In milliseconds, 0 to 4,294,967,295; the other side's default where it is left out. */
  readonly minIntervalMs?: number;
  /** After how long without a change to say so; the other side's default where it is left out. */
  readonly maxIntervalMs?: number;
}

/** Ends a subscription. */
export interface UnsubscribeRequest extends RequestBase {
  readonly operation: 'unsubscribe';
  /** As the answer to the subscribe gave it. */
  readonly subscriptionId: number;
}

/** Calls a command. */
export interface InvokeRequest extends FeatureRequest {
  readonly operation: 'invoke';
  /** 0 to 255. */
  readonly command: number;
  /** Undefined for none. */
  readonly parameters?: Value;
}

/** The answer to the request with the same `messageId`. */
export interface Response {
  readonly type: 'response';
  /** That of the request. */
  readonly messageId: number;
  /** How it went. */
  readonly status: Status;
  /** By the operation: the values of a read, the id and the values of a subscribe, the result of an invoke, or the text of an error. Undefined for none. */
  readonly payload?: Value;
}

/** What a notification is sent for. */
export type NotificationKind = 'change' | 'priming' | 'heartbeat';

/** Tells a subscriber of values. */
export interface Notification {
  readonly type: 'notification';
  /** 1 to 4,294,967,295. */
  readonly subscriptionId: number;
  /** 0 to 255. */
  readonly endpoint: number;
  /** 0 to 255. */
  readonly feature: number;
  /** Empty for a heartbeat that only says that nothing has changed. */
  readonly changes: AttributeValues;
  /** Codecs that do not carry it decode every notification as a change. */
  readonly kind: NotificationKind;
  /** Counts the notifications of the subscription from 1, modulo 2^32; undefined where the codec does not carry it. */
  readonly sequence?: number;
}

/** Keeps the connection alive, or ends it. */
export interface Control {
  readonly type: 'control';
  /** What it is for. */
  readonly control: 'ping' | 'pong' | 'close';
  /** 0 to 4,294,967,295; that of a pong is that of its ping. */
  readonly sequence: number;
}

/** Everything that one side says to the other. */
export type Message = Request | Response | Notification | Control;
