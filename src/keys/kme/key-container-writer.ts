// Writes Key containers (ETSI GS QKD 014 clause 6.3) as bytes that can be overwritten: no key becomes a JavaScript string.

import { randomUUID } from 'node:crypto';
import { encodeBase64Secret, type SecretBytes, secretFrom } from '../../base/secret-bytes.js';
import type { FaultKind } from './faults.js';
import type { DeliveredKey } from './key-source.js';

/** One key of a container, its material as base64 in ASCII. */
interface WrittenKey {
  readonly keyId: string;
  readonly text: SecretBytes;
}

/**
 * The JSON of a container.
 *
 * @param wrong what is to be wrong with it.
 * @returns bytes that the caller overwrites.
 */
export function writeKeyContainer(
  keys: readonly DeliveredKey[],
  wrong: (kind: FaultKind) => boolean = () => false,
): Buffer {
  const written = spoilIds(keys, wrong).map(({ keyId, material }, at) => ({
    keyId,
    text: at === 0 ? firstText(material, wrong) : encodeBase64Secret(material),
  }));
  const pieces: Uint8Array[] = [Buffer.from('{"keys":[')];
  for (const [at, { keyId, text }] of written.entries()) pieces.push(...pieceOf(keyId, text, at));
  pieces.push(Buffer.from(']}'));
  const container = Buffer.concat(pieces);
  for (const { text } of written) text.wipe();
  return container;
}

function pieceOf(keyId: WrittenKey['keyId'], text: SecretBytes, at: number): readonly Uint8Array[] {
  const before = `${at === 0 ? '' : ','}{"key_ID":${JSON.stringify(keyId)},"key":"`;
  return [Buffer.from(before), text.bytes, Buffer.from('"}')];
}

function spoilIds(
  keys: readonly DeliveredKey[],
  wrong: (kind: FaultKind) => boolean,
): readonly DeliveredKey[] {
  const [first, ...others] = keys;
  if (first === undefined) return keys;
  if (wrong('short')) return others;
  if (wrong('foreign')) return [{ ...first, keyId: randomUUID() }, ...others];
  // Of one key alone there are two, of several the second has the id of the first.
  if (wrong('duplicate')) return [first, { ...(others[0] ?? first), keyId: first.keyId }, ...others.slice(1)];
  return keys;
}

function firstText(material: SecretBytes, wrong: (kind: FaultKind) => boolean): SecretBytes {
  if (wrong('wrong-size')) {
    const shorter = secretFrom(material.bytes.subarray(1));
    const text = encodeBase64Secret(shorter);
    shorter.wipe();
    return text;
  }
  const text = encodeBase64Secret(material);
  if (wrong('bad-base64')) text.bytes[0] = '*'.charCodeAt(0);
  return text;
}
