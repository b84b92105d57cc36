// What a manager's store in memory keeps of an agent, and what a session does to it.

import { documentBytes, type Extent, mostIndices } from './agent-share.js';
import { graver, type Shortage } from './growth.js';
import type { Change, CommittedSession, StoredDocument } from './store.js';

/** What an agent, an index, a module or a session takes beside its names. */
const recordBytes = 256;

/** What names take, with all that is kept of what they name but its documents. */
export function namesBytes(names: readonly string[]): number {
  return names.reduce((bytes, name) => bytes + Buffer.byteLength(name), recordBytes);
}

/** What is kept of an index of an agent. */
interface IndexRecord {
  /** By id. */
  readonly documents: Map<string, StoredDocument>;
  /** What they count for. */
  bytes: number;
}

/** What is kept of an agent. */
export class AgentRecord {
  /** Those that have documents. */
  readonly indices: Map<string, IndexRecord> = new Map();
  /** By module. */
  readonly committed: Map<string, CommittedSession> = new Map();
  readonly said: Map<'metadata' | 'groups', Uint8Array> = new Map();

  get extent(): Extent {
    let count = 0;
    let bytes = 0;
    for (const record of this.indices.values()) {
      count += record.documents.size;
      bytes += record.bytes;
    }
    return { count, bytes };
  }
}

/** What there is room for, in bytes: for the documents of the agent, and in the store. */
export interface Room {
  readonly agent: number;
  readonly store: number;
}

/** One session that is applied to the documents of its agent. */
export class Application {
  /** How many changes changed nothing: Upserts of a lower version than what is there, and those of an index too many. */
  rejected = 0;
  readonly #record: AgentRecord;
  /** What was there of the indices that a FULL replaces. */
  readonly #replaced: ReadonlyMap<string, IndexRecord | undefined>;
  /** Why documents of an index were not written. */
  readonly #shortages = new Map<string, Shortage>();
  #agentBytes: number;

  /** @param replaced the indices of a FULL: they are empty from now on. */
  constructor(record: AgentRecord, replaced: readonly string[]) {
    this.#record = record;
    this.#replaced = new Map(replaced.map((index) => [index, record.indices.get(index)]));
    for (const index of replaced) record.indices.delete(index);
    this.#agentBytes = record.extent.bytes;
  }

  /** What kept documents out. */
  get shortage(): Shortage | undefined {
    let found: Shortage | undefined;
    for (const each of this.#shortages.values()) found = graver(found, each);
    return found;
  }

  /** What is in the store no more because it is replaced. */
  get replacedBytes(): number {
    return sizeOf(this.#replaced);
  }

  /** @param room for all documents of the agent, and for what the store may grow by. @returns by how many bytes the store has grown. */
  apply(change: Change, room: Room): number {
    const { index } = change;
    const there = this.#record.indices.get(index);
    if (change.operation === 'Clean') return this.#clean(index);
    if (change.operation === 'Delete') return there === undefined ? 0 : this.#delete(there, index, change.id);
    const { id, version, data } = change;
    const document = there?.documents.get(id);
    const isOutdated = document !== undefined && version !== 0n && version < document.version;
    if (isOutdated || (there === undefined && this.#record.indices.size >= mostIndices)) {
      ++this.rejected;
      return 0;
    }
    const idBytes = Buffer.byteLength(id);
    const before = document === undefined ? 0 : documentBytes(document.data.length, idBytes);
    const bytes = documentBytes(data.length, idBytes) - before;
    const growth = there === undefined ? bytes + namesBytes([index]) : bytes;
    // When a FULL replaces nothing in the end, all other indices are to have room beside what is there.
    const reserved = this.#replaced.has(index) ? 0 : this.#missingBytes;
    const shortage = shortageOf(this.#agentBytes + bytes + reserved > room.agent, growth > room.store);
    if (bytes > 0 && shortage !== undefined) {
      this.#shortages.set(index, graver(this.#shortages.get(index), shortage));
      return 0;
    }
    const record = there ?? { documents: new Map<string, StoredDocument>(), bytes: 0 };
    this.#record.indices.set(index, record);
    record.documents.set(id, { index, id, version, data: new Uint8Array(data) });
    record.bytes += bytes;
    this.#agentBytes += bytes;
    return growth;
  }

  /** What a FULL was to replace is there again. @returns by how many bytes the store has grown. */
  undo(): number {
    const written = new Map(
      Array.from(this.#replaced.keys(), (index) => [index, this.#record.indices.get(index)]),
    );
    for (const [index, record] of this.#replaced) {
      if (record === undefined) this.#record.indices.delete(index);
      else this.#record.indices.set(index, record);
    }
    return this.replacedBytes - sizeOf(written);
  }

  /** What there was of the indices that are replaced beyond what takes its place. */
  get #missingBytes(): number {
    let bytes = 0;
    for (const [index, record] of this.#replaced) {
      bytes += (record?.bytes ?? 0) - (this.#record.indices.get(index)?.bytes ?? 0);
    }
    return Math.max(0, bytes);
  }

  #clean(index: string): number {
    const record = this.#record.indices.get(index);
    this.#shortages.delete(index);
    this.#record.indices.delete(index);
    this.#agentBytes -= record?.bytes ?? 0;
    return -sizeOf(new Map([[index, record]]));
  }

  #delete(record: IndexRecord, index: string, id: string): number {
    const document = record.documents.get(id);
    if (document === undefined) return 0;
    const bytes = documentBytes(document.data.length, Buffer.byteLength(id));
    record.documents.delete(id);
    record.bytes -= bytes;
    this.#agentBytes -= bytes;
    if (record.documents.size > 0) return -bytes;
    this.#record.indices.delete(index);
    return -bytes - namesBytes([index]);
  }
}

function shortageOf(isAgentFull: boolean, isStoreFull: boolean): Shortage | undefined {
  if (isAgentFull) return 'agent';
  return isStoreFull ? 'store' : undefined;
}

function sizeOf(indices: ReadonlyMap<string, IndexRecord | undefined>): number {
  let bytes = 0;
  for (const [index, record] of indices)
    if (record !== undefined) bytes += namesBytes([index]) + record.bytes;
  return bytes;
}
