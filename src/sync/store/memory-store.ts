// A manager's store in memory: for tests, and for managers that may forget what they were told.

import { checkInteger, checkOptions } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { nextTurn } from '../../base/next-turn.js';
import { checksumOf, documentSha1 } from './checksum.js';
import type { Change, CommittedSession, StoredDocument, StoredSession, SyncStore } from './store.js';

/** Options of {@link MemoryStore}. */
export interface MemoryStoreOptions {
  /** What documents and staged messages may take together, in bytes of their data; 1 to 2^53 - 1, which is the default. */
  readonly maxBytes?: number;
}

/** So much work is done before the event loop runs: a small change is 1. Not by the clock, so that the same input takes the same turns. */
const workPerTurn = 1000;
/** What a change costs that is none, such as an invalid document, whose size is not known here. */
const workOfNone = 100;
const bytesPerWork = 512;

type Documents = Map<string, StoredDocument>;

/** What is kept of an agent. */
class AgentRecord {
  /** By index and id. */
  readonly documents = new Map<string, Documents>();
  /** By module. */
  readonly committed = new Map<string, CommittedSession>();
  readonly said = new Map<'metadata' | 'groups', Uint8Array>();
}

/** A session and what was staged of it. */
interface Staging {
  readonly session: StoredSession;
  readonly messages: Uint8Array[];
  bytes: number;
  /** The first message that there was no room for; those behind it are not kept either. */
  failure: HawserError | undefined;
}

/** A {@link SyncStore} that is as large as the memory, and ends with the process. */
export class MemoryStore implements SyncStore {
  readonly #maxBytes: number;
  readonly #agents = new Map<string, AgentRecord>();
  /** By key. */
  readonly #stagings = new Map<number, Staging>();
  #lastKey = 0;
  #bytes = 0;
  #closed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: MemoryStoreOptions = {}) {
    checkOptions('options', options, ['maxBytes']);
    const most = Number.MAX_SAFE_INTEGER;
    this.#maxBytes = checkInteger('maxBytes', options.maxBytes ?? most, 1, most);
  }

  sessions(): readonly StoredSession[] {
    this.#throwIfClosed();
    return Array.from(this.#stagings.values(), ({ session }) => session);
  }

  committed(agent: string, module: string): CommittedSession | undefined {
    this.#throwIfClosed();
    return this.#agents.get(agent)?.committed.get(module);
  }

  // ---- Staging -----------------------------------------------------------------------------------------------------

  begin(session: Omit<StoredSession, 'key' | 'state'>): StoredSession {
    this.#throwIfClosed();
    const kept: StoredSession = { ...session, key: ++this.#lastKey, state: 'receiving' };
    this.#stagings.set(kept.key, { session: kept, messages: [], bytes: 0, failure: undefined });
    return kept;
  }

  stage({ key }: StoredSession, message: Uint8Array): void {
    this.#throwIfClosed();
    const staging = this.#stagings.get(key);
    if (staging === undefined || staging.failure !== undefined) return;
    try {
      this.#take(message.length);
    } catch (error) {
      if (!(error instanceof HawserError)) throw error;
      staging.failure = error;
      return;
    }
    staging.messages.push(new Uint8Array(message));
    staging.bytes += message.length;
  }

  async staged({ key }: StoredSession): Promise<void> {
    this.#throwIfClosed();
    const staging = this.#stagings.get(key);
    if (staging?.failure === undefined) return;
    const { failure } = staging;
    staging.failure = undefined;
    throw failure;
  }

  stagedCount({ key }: StoredSession): number {
    this.#throwIfClosed();
    return this.#stagings.get(key)?.messages.length ?? 0;
  }

  stagedMessage({ key }: StoredSession, n: number): Uint8Array | undefined {
    this.#throwIfClosed();
    return this.#stagings.get(key)?.messages[n];
  }

  async drop({ key }: StoredSession): Promise<void> {
    this.#throwIfClosed();
    this.#forget(key);
  }

  #forget(key: number): void {
    const staging = this.#stagings.get(key);
    if (staging === undefined) return;
    this.#bytes -= staging.bytes;
    this.#stagings.delete(key);
  }

  // ---- Applying ----------------------------------------------------------------------------------------------------

  async commit(
    session: StoredSession,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress?: (applied: number) => void,
  ): Promise<void> {
    this.#throwIfClosed();
    const staging = this.#stagings.get(session.key);
    if (staging === undefined) throw new HawserError('ERR_HAWSER_STORE', 'there is no such session');
    this.#stagings.set(session.key, { ...staging, session: { ...staging.session, state: 'committing' } });
    const record = this.#record(session.agent);
    if (session.mode === 'FULL') for (const index of session.indices) this.#clean(record, index);
    const outdated = await this.#applyAll(record, changes, progress);
    const { nonce, generation } = session;
    record.committed.set(session.module, { nonce, generation, rejected: rejected() + outdated });
    this.#forget(session.key);
  }

  /** @returns how many were of a lower version than what is there. */
  async #applyAll(
    record: AgentRecord,
    changes: Iterable<Change | undefined>,
    progress: ((applied: number) => void) | undefined,
  ): Promise<number> {
    let applied = 0;
    let outdated = 0;
    let work = 0;
    for (const change of changes) {
      if (change !== undefined) {
        ++applied;
        if (!this.#apply(record, change)) ++outdated;
      }
      work += workOf(change);
      if (work < workPerTurn) continue;
      work = 0;
      progress?.(applied);
      await nextTurn();
      this.#throwIfClosed();
    }
    return outdated;
  }

  /** @returns false for an Upsert of a lower version than what is there. */
  #apply(record: AgentRecord, change: Change): boolean {
    const { index } = change;
    if (change.operation === 'Clean') {
      this.#clean(record, index);
      return true;
    }
    const there = record.documents.get(index)?.get(change.id);
    if (change.operation === 'Upsert') {
      if (there !== undefined && isOutdated(change.version, there.version)) return false;
      const { id, version, data } = change;
      this.#take(data.length - (there?.data.length ?? 0));
      const documents = record.documents.get(index) ?? new Map<string, StoredDocument>();
      record.documents.set(index, documents.set(id, { index, id, version, data: new Uint8Array(data) }));
    } else if (there !== undefined) {
      this.#take(-there.data.length);
      record.documents.get(index)?.delete(change.id);
    }
    return true;
  }

  #clean(record: AgentRecord, index: string): void {
    for (const { data } of record.documents.get(index)?.values() ?? []) this.#take(-data.length);
    record.documents.delete(index);
  }

  async setAgent(agent: string, kind: 'metadata' | 'groups', value: Uint8Array): Promise<void> {
    this.#throwIfClosed();
    this.#record(agent).said.set(kind, new Uint8Array(value));
  }

  agent(agent: string, kind: 'metadata' | 'groups'): Uint8Array | undefined {
    this.#throwIfClosed();
    return this.#agents.get(agent)?.said.get(kind);
  }

  // ---- Reading -----------------------------------------------------------------------------------------------------

  async checksum(agent: string, index: string): Promise<string | undefined> {
    this.#throwIfClosed();
    const documents = this.#agents.get(agent)?.documents.get(index);
    if (documents === undefined || documents.size === 0) return undefined;
    return checksumOf(Array.from(documents.values(), ({ data }) => documentSha1(data)));
  }

  *agents(): IterableIterator<string> {
    this.#throwIfClosed();
    yield* sorted(this.#agents.keys());
  }

  document(agent: string, index: string, id: string): StoredDocument | undefined {
    this.#throwIfClosed();
    return this.#agents.get(agent)?.documents.get(index)?.get(id);
  }

  *documents(agent: string, index?: string): IterableIterator<StoredDocument> {
    this.#throwIfClosed();
    const all = this.#agents.get(agent)?.documents ?? new Map<string, Documents>();
    for (const each of index === undefined ? sorted(all.keys()) : [index]) {
      const documents = all.get(each) ?? new Map<string, StoredDocument>();
      for (const id of sorted(documents.keys())) {
        const document = documents.get(id);
        if (document !== undefined) yield document;
      }
    }
  }

  get usage(): { readonly bytes: number; readonly maxBytes: number } {
    return { bytes: this.#bytes, maxBytes: this.#maxBytes };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #record(agent: string): AgentRecord {
    const record = this.#agents.get(agent) ?? new AgentRecord();
    this.#agents.set(agent, record);
    return record;
  }

  /** @throws HawserError ERR_HAWSER_STORE_FULL. */
  #take(bytes: number): void {
    if (bytes > 0 && this.#bytes + bytes > this.#maxBytes) {
      throw new HawserError('ERR_HAWSER_STORE_FULL', `the store has its ${this.#maxBytes} bytes`);
    }
    this.#bytes += bytes;
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new HawserError('ERR_HAWSER_CLOSED', 'the store is closed');
  }
}

function workOf(change: Change | undefined): number {
  if (change === undefined) return workOfNone;
  return change.operation === 'Upsert' ? 1 + change.data.length / bytesPerWork : 1;
}

/** 0, without versions, takes the place of any. */
function isOutdated(version: bigint, there: bigint): boolean {
  return version !== 0n && version < there;
}

/** In the order of their bytes in UTF-8, which for some characters is not that of their code units. */
function sorted(names: Iterable<string>): string[] {
  const keys = Array.from(names, (name) => ({ name, bytes: Buffer.from(name) }));
  return keys.sort((a, b) => Buffer.compare(a.bytes, b.bytes)).map(({ name }) => name);
}
