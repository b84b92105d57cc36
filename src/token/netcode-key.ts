import { types } from 'node:util';
import { checkBytes } from '../base/check.js';
import { parseKey, type ServerKey, serverKeyBytes } from './server-key.js';

/**
 * What seals the private part of netcode tokens: the 32 bytes that netcode calls the private key, alone or as a server key,
 * whose id the format has no place for.
 */
export type NetcodeKey = ServerKey | string | Uint8Array;

/**
 * The 32 bytes of a key. The result shares no memory with the argument.
 *
 * @param name what to call it in an error; the key itself never appears in one.
 * @throws HawserError ERR_HAWSER_ARGUMENT when it is anything else.
 */
export function parseNetcodeKey(value: unknown, name = 'key'): Uint8Array {
  if (!types.isUint8Array(value)) return parseKey(value, name).key;
  return Uint8Array.from(checkBytes(name, value, serverKeyBytes, serverKeyBytes));
}
