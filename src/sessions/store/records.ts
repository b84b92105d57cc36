// The values that are kept in a store of sessions. Their bytes are JSON, so that an operator can read them with the tools of the store, but for
// those with a payload.

import { isText } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { type Capabilities, type Delivery, deliveries, limits } from '../wire/messages.js';

/** Under the key of a gateway. */
export interface GatewayRecord {
  /** That of its lease. */
  readonly epoch: string;
  /** Where clients reach it, `host:port`, as tokens list it; '' when it did not say. */
  readonly advertise: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
}

/** Under the key of an election: who leads. */
export interface LeaderRecord {
  readonly gateway: string;
  readonly epoch: string;
  /** As of {@link GatewayRecord}. */
  readonly advertise: string;
}

/** Under the owner key of a session: what names who may change anything of it. */
export interface OwnerRecord {
  readonly gateway: string;
  readonly epoch: string;
  /** Whose session it is: what the gateway knows of the peer, never what that says of itself. */
  readonly identity: string;
  readonly capabilities: Capabilities;
  readonly delivery: Delivery;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

/** The outcome of a request, as it is kept: `result` is answered with ClientResponse, `error` is a user error. */
export interface ResponseRecord {
  readonly outcome: 'result' | 'error';
  readonly payload: Uint8Array;
}

/** A server request, as it is kept until it is acknowledged. */
export interface ServerRequestRecord {
  readonly payload: Uint8Array;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

/** A payload behind its kind, or its time. */
const kinds = ['result', 'error'] as const;
const timeBytes = 8;
const maxGatewayBytes = 256;
const maxIdentityBytes = 256;

// ---- Gateways, leaders and owners: JSON ------------------------------------------------------------------------------

export function encodeGateway({ epoch, advertise, startedAt }: GatewayRecord): Uint8Array {
  return Buffer.from(JSON.stringify({ epoch, advertise, startedAt }));
}

/** @throws HawserError ERR_HAWSER_STORE_FORMAT. */
export function decodeGateway(bytes: Uint8Array): GatewayRecord {
  const fields = fieldsOf('a gateway', bytes, ['epoch', 'advertise', 'startedAt']);
  const { epoch, advertise, startedAt } = fields;
  if (!isEpoch(epoch) || !isAddress(advertise) || !isTime(startedAt)) throw formatError('a gateway');
  return { epoch, advertise, startedAt };
}

export function encodeLeader({ gateway, epoch, advertise }: LeaderRecord): Uint8Array {
  return Buffer.from(JSON.stringify({ gateway, epoch, advertise }));
}

/** @throws HawserError ERR_HAWSER_STORE_FORMAT. */
export function decodeLeader(bytes: Uint8Array): LeaderRecord {
  const { gateway, epoch, advertise } = fieldsOf('a leader', bytes, ['gateway', 'epoch', 'advertise']);
  const isLeader = isText(gateway, maxGatewayBytes) && isEpoch(epoch) && isAddress(advertise);
  if (!isLeader) throw formatError('a leader');
  return { gateway, epoch, advertise };
}

export function encodeOwner(owner: OwnerRecord): Uint8Array {
  const { gateway, epoch, identity, delivery, createdAt } = owner;
  const capabilities = Object.fromEntries(owner.capabilities);
  return Buffer.from(JSON.stringify({ gateway, epoch, identity, capabilities, delivery, createdAt }));
}

/** @throws HawserError ERR_HAWSER_STORE_FORMAT. */
export function decodeOwner(bytes: Uint8Array): OwnerRecord {
  const names = ['gateway', 'epoch', 'identity', 'capabilities', 'delivery', 'createdAt'] as const;
  const { gateway, epoch, identity, delivery, createdAt, ...rest } = fieldsOf('an owner', bytes, names);
  const known = deliveries.find((each) => each === delivery);
  const isOwner =
    isText(gateway, maxGatewayBytes) &&
    isEpoch(epoch) &&
    isText(identity, maxIdentityBytes) &&
    known !== undefined &&
    isTime(createdAt);
  if (!isOwner) throw formatError('an owner');
  const capabilities = capabilitiesOf(rest.capabilities);
  return { gateway, epoch, identity, capabilities, delivery: known, createdAt };
}

function capabilitiesOf(value: unknown): Capabilities {
  if (!isObject(value)) throw formatError('an owner');
  const capabilities = new Map<string, string>();
  for (const [name, text] of Object.entries(value)) {
    const isCapability =
      isText(name, limits.textBytes) && /^[\w-]+$/.test(name) && isText(text, limits.textBytes);
    if (!isCapability) throw formatError('an owner');
    capabilities.set(name, text);
  }
  if (capabilities.size < 1 || capabilities.size > limits.capabilities) throw formatError('an owner');
  return capabilities;
}

/** The values of an object that has exactly those names. */
function fieldsOf<const Name extends string>(
  what: string,
  bytes: Uint8Array,
  names: readonly Name[],
): Partial<Record<Name, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(textOf(bytes));
  } catch {
    throw formatError(what);
  }
  if (!isObject(value) || Object.keys(value).length !== names.length) throw formatError(what);
  const fields: Partial<Record<Name, unknown>> = {};
  for (const name of names) {
    if (!Object.hasOwn(value, name)) throw formatError(what);
    fields[name] = Reflect.get(value, name);
  }
  return fields;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isEpoch(value: unknown): value is string {
  return typeof value === 'string' && /^[A-Za-z\d-]{1,64}$/.test(value);
}

function isAddress(value: unknown): value is string {
  return value === '' || isText(value, maxGatewayBytes);
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

/** @throws TypeError for what is not UTF-8. */
function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
}

// ---- Progress and counters: decimal text -----------------------------------------------------------------------------

/** @param number 0 to 2^53 - 1. */
export function encodeNumber(number: number): Uint8Array {
  return Buffer.from(`${number}`);
}

/** @throws HawserError ERR_HAWSER_STORE_FORMAT. */
export function decodeNumber(bytes: Uint8Array): number {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  const number = /^(0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(number)) return number;
  throw formatError('a number');
}

// ---- Responses and server requests: bytes ----------------------------------------------------------------------------

export function encodeResponse({ outcome, payload }: ResponseRecord): Uint8Array {
  const bytes = new Uint8Array(1 + payload.length);
  bytes[0] = kinds.indexOf(outcome);
  bytes.set(payload, 1);
  return bytes;
}

/** @returns views of the bytes. @throws HawserError ERR_HAWSER_STORE_FORMAT. */
export function decodeResponse(bytes: Uint8Array): ResponseRecord {
  const outcome = kinds[bytes[0] ?? kinds.length];
  if (outcome === undefined) throw formatError('a response');
  return { outcome, payload: bytes.subarray(1) };
}

export function encodeServerRequest({ payload, createdAt }: ServerRequestRecord): Uint8Array {
  const bytes = new Uint8Array(timeBytes + payload.length);
  viewOf(bytes).setBigInt64(0, BigInt(createdAt));
  bytes.set(payload, timeBytes);
  return bytes;
}

/** @returns views of the bytes. @throws HawserError ERR_HAWSER_STORE_FORMAT. */
export function decodeServerRequest(bytes: Uint8Array): ServerRequestRecord {
  if (bytes.length < timeBytes) throw formatError('a server request');
  const createdAt = Number(viewOf(bytes).getBigInt64(0));
  if (!isTime(createdAt)) throw formatError('a server request');
  return { payload: bytes.subarray(timeBytes), createdAt };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** What the bytes were is not told, as the error of `JSON.parse` would: they may be a client's. */
function formatError(what: string): HawserError {
  const message = `a value in the store of sessions is not ${what}, as this version keeps it`;
  return new HawserError('ERR_HAWSER_STORE_FORMAT', message);
}
