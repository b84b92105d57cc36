// A manager's store in memory: for tests, and for managers that may forget what they were told.

import { checkInteger, checkOptions } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { nextTurn } from '../../base/next-turn.js';
import {
  type AgentUsage,
  checkShare,
  fullError,
  fullOfDocuments,
  mostModules,
  noExtent,
  quotaError,
} from './agent-share.js';
import { AgentTurns } from './agent-turns.js';
import { checksumOf, documentSha1 } from './checksum.js';
import { AgentRecord, Application, namesBytes } from './memory-records.js';
import type { Change, CommittedSession, StoredDocument, StoredSession, SyncStore } from './store.js';

/** Options of {@link MemoryStore}. */
export interface MemoryStoreOptions {
  /** What documents, staged messages, names and sessions may count for together, in bytes; 1 to 2^53 - 1, which is the default. */
  readonly maxBytes?: number;
  /** What the documents of one agent may count for: 1 to `maxBytes`; a quarter of it by default. As {@link StoreOptions} says. */
  readonly maxBytesPerAgent?: number;
}

/** So much work is done before the event loop runs: a small change is 1. Not by the clock, so that the same input takes the same turns. */
const workPerTurn = 1000;
/** What a change costs that is none, such as an invalid document, whose size is not known here. */
const workOfNone = 100;
const bytesPerWork = 512;

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
  readonly #maxBytesPerAgent: number;
  readonly #agents = new Map<string, AgentRecord>();
  /** By key. */
  readonly #stagings = new Map<number, Staging>();
  readonly #commits = new AgentTurns();
  #lastKey = 0;
  #bytes = 0;
  #closed = false;

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(options: MemoryStoreOptions = {}) {
    checkOptions('options', options, ['maxBytes', 'maxBytesPerAgent']);
    const most = Number.MAX_SAFE_INTEGER;
    this.#maxBytes = checkInteger('maxBytes', options.maxBytes ?? most, 1, most);
    this.#maxBytesPerAgent = checkShare(options.maxBytesPerAgent, this.#maxBytes);
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
    const bytes = namesBytes([session.agent, session.module, ...session.indices]);
    this.#take(bytes);
    this.#stagings.set(kept.key, { session: kept, messages: [], bytes, failure: undefined });
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

  /** What is staged is kept at once. */
  get unwrittenBytes(): number {
    return 0;
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
    await this.#commits.run(session.agent, () => this.#apply(session, changes, rejected, progress));
  }

  async #apply(
    session: StoredSession,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress: ((applied: number) => void) | undefined,
  ): Promise<void> {
    this.#throwIfClosed();
    const staging = this.#stagings.get(session.key);
    if (staging === undefined) throw new HawserError('ERR_HAWSER_STORE', 'there is no such session');
    const record = this.#record(session.agent);
    const isRemembered = record.committed.has(session.module);
    if (!isRemembered && record.committed.size >= mostModules) {
      this.#forget(session.key);
      throw quotaError(`${mostModules} modules`);
    }
    this.#stagings.set(session.key, { ...staging, session: { ...staging.session, state: 'committing' } });
    const application = new Application(record, session.mode === 'FULL' ? session.indices : []);
    this.#bytes -= application.replacedBytes;
    try {
      await this.#applyAll(application, changes, progress);
    } catch (error) {
      this.#bytes += application.undo();
      throw error;
    }
    const { shortage } = application;
    if (shortage !== undefined) this.#bytes += application.undo();
    if (shortage === 'store') throw fullError(this.#maxBytes);
    this.#forget(session.key);
    if (shortage === 'agent') throw quotaError(`${this.#maxBytesPerAgent} bytes`);
    const { module, nonce, generation, mode, size } = session;
    record.committed.set(module, {
      nonce,
      generation,
      mode,
      size,
      rejected: rejected() + application.rejected,
    });
    if (!isRemembered) this.#bytes += namesBytes([module]);
  }

  async #applyAll(
    application: Application,
    changes: Iterable<Change | undefined>,
    progress: ((applied: number) => void) | undefined,
  ): Promise<void> {
    let applied = 0;
    let work = 0;
    for (const change of changes) {
      if (change !== undefined) {
        ++applied;
        this.#bytes += application.apply(change, {
          agent: this.#maxBytesPerAgent,
          store: fullOfDocuments(this.#maxBytes) - this.#bytes,
        });
      }
      work += workOf(change);
      if (work < workPerTurn) continue;
      work = 0;
      progress?.(applied);
      await nextTurn();
      this.#throwIfClosed();
    }
  }

  async setAgent(agent: string, kind: 'metadata' | 'groups', value: Uint8Array): Promise<void> {
    this.#throwIfClosed();
    const { said } = this.#record(agent);
    this.#bytes += value.length - (said.get(kind)?.length ?? 0);
    said.set(kind, new Uint8Array(value));
  }

  agent(agent: string, kind: 'metadata' | 'groups'): Uint8Array | undefined {
    this.#throwIfClosed();
    return this.#agents.get(agent)?.said.get(kind);
  }

  async removeAgent(agent: string): Promise<number> {
    this.#throwIfClosed();
    return this.#commits.run(agent, async () => this.#remove(agent));
  }

  #remove(agent: string): number {
    this.#throwIfClosed();
    for (const { session } of this.#stagings.values()) if (session.agent === agent) this.#forget(session.key);
    const record = this.#agents.get(agent);
    if (record === undefined) return 0;
    const { count, bytes } = record.extent;
    this.#agents.delete(agent);
    this.#bytes -= bytes + namesBytes([agent]);
    for (const module of record.committed.keys()) this.#bytes -= namesBytes([module]);
    for (const index of record.indices.keys()) this.#bytes -= namesBytes([index]);
    for (const said of record.said.values()) this.#bytes -= said.length;
    return count;
  }

  usageOf(agent: string): AgentUsage {
    this.#throwIfClosed();
    return { ...(this.#agents.get(agent)?.extent ?? noExtent), maxBytes: this.#maxBytesPerAgent };
  }

  // ---- Reading -----------------------------------------------------------------------------------------------------

  async checksum(agent: string, index: string): Promise<string | undefined> {
    this.#throwIfClosed();
    const documents = this.#agents.get(agent)?.indices.get(index)?.documents;
    if (documents === undefined || documents.size === 0) return undefined;
    return checksumOf(Array.from(documents.values(), ({ data }) => documentSha1(data)));
  }

  *agents(): IterableIterator<string> {
    this.#throwIfClosed();
    yield* sorted(this.#agents.keys());
  }

  /** See {@link SyncStore}. */
  document(agent: string, index: string, id: string): StoredDocument | undefined {
    this.#throwIfClosed();
    return this.#agents.get(agent)?.indices.get(index)?.documents.get(id);
  }

  *documents(agent: string, index?: string): IterableIterator<StoredDocument> {
    this.#throwIfClosed();
    const indices = this.#agents.get(agent)?.indices;
    for (const each of index === undefined ? sorted(indices?.keys() ?? []) : [index]) {
      const documents = indices?.get(each)?.documents ?? new Map<string, StoredDocument>();
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
    const there = this.#agents.get(agent);
    if (there !== undefined) return there;
    const record = new AgentRecord();
    this.#agents.set(agent, record);
    this.#bytes += namesBytes([agent]);
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

/** In the order of their bytes in UTF-8, which for some characters is not that of their code units. */
function sorted(names: Iterable<string>): string[] {
  const keys = Array.from(names, (name) => ({ name, bytes: Buffer.from(name) }));
  return keys.sort((a, b) => Buffer.compare(a.bytes, b.bytes)).map(({ name }) => name);
}
