// Reads what an SAE asks of a KME (ETSI GS QKD 014 clauses 5 and 6), and says what is wrong with it in the standard's words.

import { isText } from '../../base/check.js';
import { JsonError, type JsonObject, type JsonValue, parseJson } from '../wire/strict-json.js';
import type { KeyPoolLimits } from './key-pool.js';
import { maxIdBytes } from './methods.js';

export const maxRequestBytes = 65_536;
const maxDepth = 32;

/** The texts that the standard fixes. */
export const fixedTexts = {
  size: 'size shall be a multiple of 8',
  mandatory: 'not all extension_mandatory parameters are supported',
  notFound: 'one or more keys specified are not found on KME',
} as const;

/** A request that is not served: the status, and the `message` of the Error. */
export class RequestRefusal extends Error {
  readonly status: number;
  /** Of a 405: the methods that there are. */
  readonly allow: string | undefined;

  constructor(status: number, message: string, allow?: string) {
    super(message);
    this.status = status;
    this.allow = allow;
  }
}

/** What is wanted of Get key. */
export interface KeyRequest {
  readonly number: number;
  readonly sizeBits: number;
  readonly additionalSaeIds: readonly string[];
}

/**
 * Get key by GET, which takes `number` and `size` only (clause 6.2).
 *
 * @throws RequestRefusal, as all of these.
 */
export function readKeyQuery(query: URLSearchParams, limits: KeyPoolLimits): KeyRequest {
  const value = (name: string): number | undefined => {
    const [text, ...more] = query.getAll(name);
    if (text === undefined) return undefined;
    if (more.length === 0 && /^\d{1,9}$/.test(text)) return Number(text);
    throw bad(`${name} shall be an integer`);
  };
  for (const name of query.keys()) {
    if (name !== 'number' && name !== 'size') throw bad('by GET there are number and size only');
  }
  return checkKeyRequest({ number: value('number'), size: value('size'), additional: [] }, limits);
}

/** Get key by POST: a Key request, of which every item is optional, and so is the whole. */
export function readKeyRequest(body: Uint8Array, limits: KeyPoolLimits): KeyRequest {
  const members = body.length === 0 ? new Map<string, JsonValue>() : parseBody(body);
  const integer = (name: string): number | undefined => {
    const value = members.get(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isSafeInteger(value)) return value;
    throw bad(`${name} shall be an integer`);
  };
  if (arrayOf(members, 'extension_mandatory').length > 0) throw bad(fixedTexts.mandatory);
  // Whatever is optional is passed over, which the standard allows.
  arrayOf(members, 'extension_optional');
  const additional = arrayOf(members, 'additional_slave_SAE_IDs').map((id) => {
    if (isText(id, maxIdBytes)) return id;
    throw bad('additional_slave_SAE_IDs shall be an array of strings');
  });
  return checkKeyRequest({ number: integer('number'), size: integer('size'), additional }, limits);
}

function checkKeyRequest(
  asked: {
    readonly number: number | undefined;
    readonly size: number | undefined;
    readonly additional: readonly string[];
  },
  limits: KeyPoolLimits,
): KeyRequest {
  const { maxKeysPerRequest, minKeySizeBits, maxKeySizeBits, maxSaeIdCount } = limits;
  const { number = 1, size = limits.keySizeBits, additional } = asked;
  if (number < 1 || number > maxKeysPerRequest) throw bad(`number shall be from 1 to ${maxKeysPerRequest}`);
  if (size % 8 !== 0) throw bad(fixedTexts.size);
  if (size < minKeySizeBits || size > maxKeySizeBits) {
    throw bad(`size shall be from ${minKeySizeBits} to ${maxKeySizeBits}`);
  }
  if (additional.length > maxSaeIdCount) {
    throw bad(`additional_slave_SAE_IDs shall have at most ${maxSaeIdCount} ids`);
  }
  return { number, sizeBits: size, additionalSaeIds: additional };
}

/** Get key with key IDs by GET, which takes exactly one id (clause 6.4). */
export function readKeyIdQuery(query: URLSearchParams): readonly string[] {
  const ids = query.getAll('key_ID');
  if (ids.length !== 1 || [...query.keys()].length !== 1 || !isText(ids[0], maxIdBytes)) {
    throw bad('by GET there is exactly one key_ID');
  }
  return ids;
}

/** Get key with key IDs by POST: Key IDs. */
export function readKeyIds(body: Uint8Array, { maxKeysPerRequest }: KeyPoolLimits): readonly string[] {
  const ids = arrayOf(parseBody(body), 'key_IDs').map((entry) => {
    const id = entry instanceof Map ? entry.get('key_ID') : undefined;
    if (isText(id, maxIdBytes)) return id;
    throw bad('key_IDs shall be an array of objects with a key_ID each');
  });
  if (ids.length < 1 || ids.length > maxKeysPerRequest) {
    throw bad(`key_IDs shall have 1 to ${maxKeysPerRequest} ids`);
  }
  if (new Set(ids).size !== ids.length) throw bad('key_IDs shall have no id twice');
  return ids;
}

function arrayOf(members: JsonObject, name: string): readonly JsonValue[] {
  const value = members.get(name) ?? [];
  if (Array.isArray(value)) return value;
  throw bad(`${name} shall be an array`);
}

function parseBody(body: Uint8Array): JsonObject {
  try {
    const value = parseJson(body, { bytes: maxRequestBytes, depth: maxDepth });
    if (value instanceof Map) return value;
  } catch (error) {
    if (!(error instanceof JsonError)) throw error;
  }
  throw bad('the body shall be a JSON object');
}

function bad(message: string): RequestRefusal {
  return new RequestRefusal(400, message);
}
