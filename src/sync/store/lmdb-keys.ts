// The keys and values of a manager's store on LMDB. Agents and indices are named by numbers of 6 bytes, and what has no fixed length comes
// last: no key can be read as one of another agent or index, and the longest (an id of 1,024 bytes behind a SHA-1) is within LMDB's 1,978.

import { argumentError } from '../../base/check.js';
import type { LmdbDatabase, LmdbStore } from '../../base/lmdb-store.js';
import { limits } from '../wire/messages.js';
import type { Extent } from './agent-share.js';
import type { CommittedSession, StoredDocument } from './store.js';

/** The length of a number, and the greatest one. */
export const numberBytes = 6;
export const maxNumber: number = 2 ** 48 - 1;
/** The length of a SHA-1. */
export const sha1Bytes = 20;
/** What a document has in front of its data: version and SHA-1. */
export const documentHeaderBytes: number = 8 + sha1Bytes;
const noVersion: Buffer = Buffer.alloc(8);

/** The databases of the environment. */
export const databaseNames = [
  'names',
  'documents',
  'checksums',
  'sessions',
  'staging',
  'committed',
  'agents',
  'garbage',
  'numbers',
] as const;
export type DatabaseName = (typeof databaseNames)[number];
/**
 * - `names`: agent, and agent and index -> number, and {@link Collection}.
 * - `documents`: (collection, id) -> version, SHA-1, data.
 * - `checksums`: (collection, SHA-1, id) -> nothing: the sorted index that a checksum reads.
 * - `sessions`: session -> what is stored of it. `staging`: (session, n) -> message.
 * - `committed`: (agent, module) -> the last session applied. `agents`: (agent, kind) -> what it said of itself.
 * - `garbage`: what is of no use any more, and deleted bit by bit. `numbers`: the next number.
 */
export type Databases = Readonly<Record<DatabaseName, LmdbDatabase>>;

export function databasesOf(store: LmdbStore): Databases {
  return {
    names: store.database('names'),
    documents: store.database('documents'),
    checksums: store.database('checksums'),
    sessions: store.database('sessions'),
    staging: store.database('staging'),
    committed: store.database('committed'),
    agents: store.database('agents'),
    garbage: store.database('garbage'),
    numbers: store.database('numbers'),
  };
}

/** Where the documents of an index of an agent are, and their checksum keys; and how many they are. */
export interface Collection extends Extent {
  readonly documents: number;
  readonly checksums: number;
}

// ---- Names -----------------------------------------------------------------------------------------------------------

const agentPrefix = 0x61;
const indexPrefix = 0x69;

export function agentKey(agent: string): Buffer {
  return Buffer.concat([Buffer.of(agentPrefix), Buffer.from(agent)]);
}

export function agentOfKey(key: Uint8Array): string {
  return Buffer.from(key).toString('utf8', 1);
}

/** Of the keys of all agents. */
export const agentRange: { readonly start: Buffer; readonly end: Buffer } = {
  start: Buffer.of(agentPrefix),
  end: Buffer.of(agentPrefix + 1),
};

/** An index of an agent; without index what all of them begin with. */
export function indexKey(agent: number, index = ''): Buffer {
  return Buffer.concat([Buffer.of(indexPrefix), encodeNumber(agent), Buffer.from(index)]);
}

export function indexOfKey(key: Uint8Array): string {
  return Buffer.from(key).toString('utf8', 1 + numberBytes);
}

/** Any key of which all begin with a number. */
export function encodeNumber(number: number): Buffer {
  const bytes = Buffer.allocUnsafe(numberBytes);
  bytes.writeUIntBE(number, 0, numberBytes);
  return bytes;
}

export function decodeNumber(bytes: Uint8Array, offset = 0): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).readUIntBE(offset, numberBytes);
}

export function encodeCollection({ documents, checksums, count, bytes }: Collection): Buffer {
  return Buffer.concat([documents, checksums, count, bytes].map(encodeNumber));
}

export function decodeCollection(row: Uint8Array): Collection {
  const nth = (n: number): number => decodeNumber(row, n * numberBytes);
  return { documents: nth(0), checksums: nth(1), count: nth(2), bytes: nth(3) };
}

/** The keys that begin with a number: from `start` on and before `end`. */
export function rangeOf(number: number): { start: Buffer; end: Buffer } {
  return { start: encodeNumber(number), end: encodeNumber(number + 1) };
}

// ---- Documents -------------------------------------------------------------------------------------------------------

/** Writes keys of documents to the same place again and again: each is valid until the next of its kind. */
export class DocumentKeys {
  readonly #document = new PrefixedKey(numberBytes);
  readonly #checksum = new PrefixedKey(numberBytes + sha1Bytes);

  /** @throws HawserError ERR_HAWSER_ARGUMENT: an id of more than 1,024 bytes. */
  document(collection: number, id: string): Buffer {
    return this.#document.write(collection, id);
  }

  /** @param document as it is stored: its SHA-1 is taken. */
  checksum(collection: number, document: Buffer, id: string): Buffer {
    document.copy(this.#checksum.bytes, numberBytes, 8, documentHeaderBytes);
    return this.#checksum.write(collection, id);
  }
}

/** A number, something of a fixed length, and an id. */
class PrefixedKey {
  readonly bytes: Buffer;
  readonly #idAt: number;
  #collection = 0;

  constructor(idAt: number) {
    // What does not fit is not written: room for one character more shows it.
    this.bytes = Buffer.alloc(idAt + limits.idBytes + 4);
    this.#idAt = idAt;
  }

  write(collection: number, id: string): Buffer {
    if (collection !== this.#collection) {
      this.bytes.writeUIntBE(collection, 0, numberBytes);
      this.#collection = collection;
    }
    const length = this.bytes.write(id, this.#idAt);
    if (length > limits.idBytes || id.length > limits.idBytes) {
      throw argumentError('id', `at most ${limits.idBytes} bytes of UTF-8`, 'more');
    }
    return this.bytes.subarray(0, this.#idAt + length);
  }
}

/** The place of a session's nth message. */
export function stagingKey(session: number, n: number): Buffer {
  const key = Buffer.allocUnsafe(numberBytes + 4);
  key.writeUIntBE(session, 0, numberBytes);
  key.writeUInt32BE(n, numberBytes);
  return key;
}

/** Whether a document has a lower version than the one that is there: 0, without versions, is lower than none. */
export function isOutdated(document: Buffer, there: Buffer): boolean {
  return document.compare(there, 0, 8, 0, 8) < 0 && !noVersion.equals(document.subarray(0, 8));
}

/** Version, SHA-1 and data. That of LMDB can be the beginning of a longer piece of memory: its length is told to Buffer. */
export function isEqual(document: Buffer, there: Buffer): boolean {
  const { length } = document;
  return length === there.length && document.compare(there, 0, length, 0, length) === 0;
}

export function hasSha1Of(document: Buffer, other: Buffer): boolean {
  return document.compare(other, 8, documentHeaderBytes, 8, documentHeaderBytes) === 0;
}

/** In latin1. */
export function sha1Of(document: Buffer): string {
  return document.toString('latin1', 8, documentHeaderBytes);
}

/** @param row a copy: its end is the data. */
export function decodeDocument(index: string, id: string, row: Buffer): StoredDocument {
  return { index, id, version: row.readBigUInt64BE(0), data: row.subarray(documentHeaderBytes) };
}

// ---- The rest --------------------------------------------------------------------------------------------------------

export function committedKey(agent: number, module: string): Buffer {
  return Buffer.concat([encodeNumber(agent), Buffer.from(module)]);
}

const committedModes = ['FULL', 'DELTA'] as const;

export function encodeCommitted({ nonce, generation, mode, size, rejected }: CommittedSession): Buffer {
  const bytes = Buffer.allocUnsafe(33);
  bytes.writeBigUInt64BE(nonce, 0);
  bytes.writeBigUInt64BE(generation, 8);
  bytes.writeBigUInt64BE(BigInt(rejected), 16);
  bytes.writeBigUInt64BE(BigInt(size), 24);
  bytes.writeUInt8(committedModes.indexOf(mode), 32);
  return bytes;
}

export function decodeCommitted(bytes: Buffer): CommittedSession {
  return {
    nonce: bytes.readBigUInt64BE(0),
    generation: bytes.readBigUInt64BE(8),
    rejected: Number(bytes.readBigUInt64BE(16)),
    size: Number(bytes.readBigUInt64BE(24)),
    mode: committedModes[bytes.readUInt8(32)] ?? 'DELTA',
  };
}

const agentKinds = { metadata: 0x6d, groups: 0x67 } as const;

export function saidKey(agent: number, kind: keyof typeof agentKinds): Buffer {
  return Buffer.concat([encodeNumber(agent), Buffer.of(agentKinds[kind])]);
}

/** What garbage can be: the rows of `database` whose keys begin with a number. */
export const garbageKinds = ['documents', 'checksums', 'staging'] as const;
export type GarbageKind = (typeof garbageKinds)[number];
export interface Garbage {
  readonly kind: GarbageKind;
  readonly number: number;
}

export function garbageKey(kind: GarbageKind, number: number): Buffer {
  return Buffer.concat([Buffer.of(garbageKinds.indexOf(kind)), encodeNumber(number)]);
}

export function decodeGarbage(key: Uint8Array): Garbage | undefined {
  const kind = garbageKinds[key[0] ?? garbageKinds.length];
  return kind === undefined ? undefined : { kind, number: decodeNumber(key, 1) };
}
