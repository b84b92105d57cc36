// Server keys: what a backend seals tokens with and a gateway opens them with.

import {
  argumentError,
  checkBytes,
  checkFunction,
  checkInteger,
  checkOptions,
  describeSecret,
} from '../base/check.js';
import { fromBase64Url, toBase64Url } from './base64url.js';
import { type RandomSource, systemRandom } from './random.js';

/** A key shared by the backends that mint tokens and the gateways that accept them. */
export interface ServerKey {
  /** 0 to 2^32 - 1. It travels in clear in each token and names the one key that is tried. */
  readonly id: number;
  /** 32 secret bytes. */
  readonly key: Uint8Array;
}

export const serverKeyBytes = 32;
export const maxKeyId = 0xffff_ffff;

const textPrefix = 'hawser-key-1';
const keyRule = `a server key such as '${textPrefix}:<id>:<43 characters of base64url>' or { id, key }`;

/** Options of {@link generateKey}. */
export interface GenerateKeyOptions {
  /** 0 to 2^32 - 1; random by default, so that keys made on different machines hardly ever share an id. */
  readonly id?: number;
  /** Where the key comes from; the system's generator by default. For tests only. */
  readonly random?: RandomSource;
}

/**
 * Makes a server key.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT for a wrong option.
 */
export function generateKey(options: GenerateKeyOptions = {}): ServerKey {
  checkOptions('options', options, ['id', 'random']);
  const random = checkFunction('random', options.random ?? systemRandom);
  const bytes = new Uint8Array(4 + serverKeyBytes);
  random(bytes);
  const id = options.id ?? new DataView(bytes.buffer).getUint32(0, true);
  return { id: checkInteger('id', id, 0, maxKeyId), key: bytes.slice(4) };
}

/**
 * The text form for configuration files and command lines: `hawser-key-1:<id>:<base64url of 32 bytes>`. It is secret.
 *
 * @throws HawserError ERR_HAWSER_ARGUMENT when it is not a server key.
 */
export function formatKey(key: ServerKey): string {
  const { id, key: secret } = parseKey(key);
  return `${textPrefix}:${id}:${toBase64Url(secret)}`;
}

/**
 * Reads a server key from its text form, white space around it allowed (a file ends with a newline), or checks one given as an object. The result shares no memory with the argument.
 *
 * @param value the text or object.
 * @param name what to call it in an error; the key itself never appears in one.
 * @throws HawserError ERR_HAWSER_ARGUMENT when it is anything else.
 */
export function parseKey(value: unknown, name = 'key'): ServerKey {
  if (typeof value === 'string') return parseKeyText(value, name);
  if (typeof value !== 'object' || value === null) throw argumentError(name, keyRule, describeSecret(value));
  const { id, key } = checkOptions(name, value, ['id', 'key']);
  return {
    id: checkInteger(`${name}.id`, id, 0, maxKeyId),
    // Not slice(): that of a Buffer shares its memory.
    key: Uint8Array.from(checkBytes(`${name}.key`, key, serverKeyBytes, serverKeyBytes)),
  };
}

function parseKeyText(text: string, name: string): ServerKey {
  const match = /^\s*hawser-key-1:(0|[1-9]\d{0,9}):([\w-]{43})\s*$/.exec(text);
  const id = Number(match?.[1]);
  const key = fromBase64Url(match?.[2] ?? '');
  if (match === null || id > maxKeyId || key?.length !== serverKeyBytes) {
    throw argumentError(name, keyRule, describeSecret(text));
  }
  return { id, key };
}
