// Comparing everything in a manager's store on LMDB with everything else.

import type { Turns } from '../../base/turns.js';
import { documentBytes } from './agent-share.js';
import {
  type Collection,
  type Databases,
  DocumentKeys,
  decodeCollection,
  decodeNumber,
  documentHeaderBytes,
  garbageKey,
  indexKey,
  indexOfKey,
  numberBytes,
  rangeOf,
  sha1Of,
} from './lmdb-keys.js';
import { rowsOf } from './lmdb-rows.js';

const maxProblems = 100;

/** @returns what does not agree, in words. */
export async function findProblems(
  databases: Databases,
  sha1: (document: Uint8Array) => string,
  turns: Turns,
): Promise<string[]> {
  const problems: string[] = [];
  const known = { documents: new Set<number>(), checksums: new Set<number>() };
  for (const { key, value } of Array.from(databases.names.getRange({ start: indexKey(0) }))) {
    const collection = decodeCollection(value);
    known.documents.add(collection.documents);
    known.checksums.add(collection.checksums);
    const name = `index ${JSON.stringify(indexOfKey(key))} of agent ${decodeNumber(key, 1)}`;
    await checkCollection(databases, collection, sha1, turns, (text) => problems.push(`${name}: ${text}`));
    if (problems.length >= maxProblems) break;
  }
  for (const kind of ['documents', 'checksums'] as const) {
    for (const number of strangers(databases, kind, known[kind])) {
      problems.push(`${kind} of number ${number}, which no index has`);
    }
  }
  for (const number of strangers(databases, 'staging', sessionKeys(databases))) {
    problems.push(`messages of number ${number}, which no session has`);
  }
  for (const key of sessionKeys(databases)) {
    let n = 0;
    for (const row of databases.staging.getKeys(rangeOf(key))) {
      if (Buffer.from(row).readUInt32BE(numberBytes) !== n++) {
        problems.push(`session ${key} lacks its message ${n - 1}`);
        break;
      }
    }
  }
  return problems.slice(0, maxProblems);
}

async function checkCollection(
  databases: Databases,
  { documents, checksums, count: countSaid, bytes: bytesSaid }: Collection,
  sha1: (document: Uint8Array) => string,
  turns: Turns,
  tell: (problem: string) => void,
): Promise<void> {
  const keys = new DocumentKeys();
  let count = 0;
  let bytes = 0;
  for await (const rows of rowsOf(databases.documents, documents, turns)) {
    for (const { key, value } of rows) {
      ++count;
      bytes += documentBytes(value.length - documentHeaderBytes, key.length - numberBytes);
      const id = key.toString('utf8', numberBytes);
      if (sha1Of(value) !== sha1(value.subarray(documentHeaderBytes))) {
        tell(`the SHA-1 of document ${JSON.stringify(id)} is another`);
      }
      if (databases.checksums.get(keys.checksum(checksums, value, id)) === undefined) {
        tell(`document ${JSON.stringify(id)} has no checksum key`);
      }
    }
  }
  const keyCount = databases.checksums.getKeysCount(rangeOf(checksums));
  if (keyCount !== count) tell(`${keyCount} checksum keys of ${count} documents`);
  if (countSaid !== count || bytesSaid !== bytes) {
    tell(`${countSaid} documents of ${bytesSaid} bytes were counted, there are ${count} of ${bytes}`);
  }
}

function sessionKeys(databases: Databases): Set<number> {
  return new Set(Array.from(databases.sessions.getKeys({}), (key) => decodeNumber(key)));
}

/** Numbers that rows begin with, and that are neither known nor garbage. */
function* strangers(
  databases: Databases,
  kind: 'documents' | 'checksums' | 'staging',
  known: ReadonlySet<number>,
): Generator<number> {
  let start: Buffer = Buffer.of(0);
  for (;;) {
    const [key] = Array.from(databases[kind].getKeys({ start, limit: 1 }));
    if (key === undefined) return;
    const number = decodeNumber(key);
    const isGarbage = databases.garbage.get(garbageKey(kind, number)) !== undefined;
    if (!known.has(number) && !isGarbage) yield number;
    start = rangeOf(number).end;
  }
}
