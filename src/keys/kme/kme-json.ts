// Reads what a KME answers beside keys: Status and Error (ETSI GS QKD 014 clauses 6.1 and 6.5).

import { isText } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { JsonError, type JsonObject, parseJson } from '../wire/strict-json.js';
import type { KmeStatus } from './key-source.js';
import { maxIdBytes } from './methods.js';

const maxAnswerBytes = 65_536;
const maxDepth = 32;
/** What a message repeats of a text of the KME's, in characters. */
const maxQuoted = 200;

/**
 * Reads a Status. Its extension and what the standard does not have are passed over.
 *
 * @throws HawserError ERR_HAWSER_PROTOCOL.
 */
export function readStatus(bytes: Uint8Array): KmeStatus {
  const members = parseObject(bytes);
  if (members === undefined) throw malformed('it is no JSON object');
  const id = (name: string): string => {
    const value = members.get(name);
    if (isText(value, maxIdBytes)) return value;
    throw malformed(`${name} is missing or no text of at most ${maxIdBytes} bytes`);
  };
  const count = (name: string): number => {
    const value = members.get(name);
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
    throw malformed(`${name} is missing or no whole number`);
  };
  return {
    sourceKmeId: id('source_KME_ID'),
    targetKmeId: id('target_KME_ID'),
    masterSaeId: id('master_SAE_ID'),
    slaveSaeId: id('slave_SAE_ID'),
    keySizeBits: count('key_size'),
    storedKeyCount: count('stored_key_count'),
    maxKeyCount: count('max_key_count'),
    maxKeysPerRequest: count('max_key_per_request'),
    maxKeySizeBits: count('max_key_size'),
    minKeySizeBits: count('min_key_size'),
    maxSaeIdCount: count('max_SAE_ID_count'),
  };
}

/** The `message` of an Error, fit to be printed; '' where there is none. */
export function readErrorMessage(bytes: Uint8Array): string {
  const message = parseObject(bytes)?.get('message');
  if (typeof message !== 'string') return '';
  const shown = message.slice(0, maxQuoted).replaceAll(/[^\x20-\x7e]/g, '?');
  return message.length > maxQuoted ? `${shown}...` : shown;
}

function parseObject(bytes: Uint8Array): JsonObject | undefined {
  try {
    const value = parseJson(bytes, { bytes: maxAnswerBytes, depth: maxDepth });
    return value instanceof Map ? value : undefined;
  } catch (error) {
    if (error instanceof JsonError) return undefined;
    throw error;
  }
}

function malformed(why: string): HawserError {
  return new HawserError('ERR_HAWSER_PROTOCOL', `the KME's answer is no status: ${why}`);
}
