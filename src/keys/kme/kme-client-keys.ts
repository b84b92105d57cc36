// What a KME client asks for and what it takes: sizes within the KME's limits, and the keys that were asked for, no more and no fewer.

import { argumentError, checkInteger, describe } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { readKeyContainer } from './key-container.js';
import type { DeliveredKey, KmeStatus } from './key-source.js';

/** What secret memory takes. */
const maxKeyBits = 8192;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkSize(sizeBits: unknown): number {
  const size = checkInteger('sizeBits', sizeBits, 8, maxKeyBits);
  if (size % 8 !== 0) throw argumentError('sizeBits', 'a multiple of 8', describe(size));
  return size;
}

/** What the KME would refuse is not asked for. @throws HawserError ERR_HAWSER_KME_REFUSED. */
export function checkLimits(limits: KmeStatus, sizeBits: number): void {
  const { minKeySizeBits: min, maxKeySizeBits: max, maxKeysPerRequest } = limits;
  if (sizeBits % 8 !== 0 || sizeBits === 0 || sizeBits > maxKeyBits) {
    throw new HawserError(
      'ERR_HAWSER_KME_REFUSED',
      `the KME's own key size is ${sizeBits} bits: ask for another`,
    );
  }
  if (sizeBits < min || sizeBits > max) {
    const text = `the KME delivers keys of ${min} to ${max} bits, none of ${sizeBits}`;
    throw new HawserError('ERR_HAWSER_KME_REFUSED', text);
  }
  if (maxKeysPerRequest === 0) throw new HawserError('ERR_HAWSER_KME_REFUSED', 'the KME delivers no keys');
}

/** @throws HawserError ERR_HAWSER_PROTOCOL; then all of them are wiped. */
export function readNewKeys(body: Uint8Array, number: number, sizeBits: number): readonly DeliveredKey[] {
  const keys = readKeyContainer(body, number);
  const wrong = keys.find(({ material }) => material.length * 8 !== sizeBits);
  if (keys.length === number && wrong === undefined) return keys;
  wipe(keys);
  throw protocolError(
    wrong === undefined
      ? `the KME delivered ${keys.length} keys instead of ${number}`
      : `the KME delivered a key of ${wrong.material.length * 8} bits instead of ${sizeBits}`,
  );
}

/** In the order of the ids. @throws HawserError ERR_HAWSER_PROTOCOL; then all of them are wiped. */
export function readNamedKeys(body: Uint8Array, ids: readonly string[]): readonly DeliveredKey[] {
  const keys = readKeyContainer(body, ids.length);
  const byId = new Map(keys.map((key) => [key.keyId, key]));
  const ordered = ids.flatMap((id) => byId.get(id) ?? []);
  if (ordered.length === ids.length && keys.length === ids.length) return ordered;
  wipe(keys);
  throw protocolError(`of ${ids.length} keys the KME delivered ${ordered.length} by their ids`);
}

export function wipe(keys: readonly DeliveredKey[]): void {
  for (const { material } of keys) material.wipe();
}

/** An answer that is none. */
export function protocolError(text: string): HawserError {
  return new HawserError('ERR_HAWSER_PROTOCOL', text);
}
