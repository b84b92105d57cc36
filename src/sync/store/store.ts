// Where a manager keeps what agents tell it: the contract of its stores.

import type { ModuleMode, Operation } from '../wire/messages.js';
import type { AgentUsage } from './agent-share.js';

/** A session whose Data are being staged, or applied: what has to outlive the manager's process. */
export interface StoredSession {
  /** Names it in the store: 1 to 2^48 - 1, growing, never used again. */
  readonly key: number;
  /** Whose it is: as the application named the authenticated peer, 1 to 256 bytes of UTF-8. */
  readonly agent: string;
  /** The module that it is of. */
  readonly module: string;
  /** What kind of session it is. */
  readonly mode: ModuleMode;
  /** 1 to 2^32. */
  readonly size: number;
  /** Those of Start that the agent may write. */
  readonly indices: readonly string[];
  /** Its id on the wire: u64. */
  readonly session: bigint;
  /** Those of Start: u64; 0 of an agent that has none, whose sessions are not resumed. */
  readonly nonce: bigint;
  /** Of (agent, module): u64; 0 of an agent that has none. */
  readonly generation: bigint;
  /** `committing`: all Data are staged, and are to be applied whatever happens. */
  readonly state: 'receiving' | 'committing';
}

/** The last session of (agent, module) that was applied: answers an agent that did not hear so. */
export interface CommittedSession {
  /** As of its {@link StoredSession}: with `mode` and `size` they tell a Start of this session from one of another with its nonce. */
  readonly nonce: bigint;
  /** As of its {@link StoredSession}. */
  readonly generation: bigint;
  /** What kind of session it is. */
  readonly mode: ModuleMode;
  /** How many items it had. */
  readonly size: number;
  /** Items that were not applied. */
  readonly rejected: number;
}

/** What a commit does to the documents of an agent, in the order of the items. */
export type Change =
  | {
      /** What happens. */
      readonly operation: Extract<Operation, 'Upsert'>;
      /** The index that the document is in. */
      readonly index: string;
      /** Names the document in its index. */
      readonly id: string;
      /** u64. One that is lower than that of the document there changes nothing; 0, a document without versions, takes the place of any. */
      readonly version: bigint;
      /** A view that is valid until the next change is asked for. */
      readonly data: Uint8Array;
    }
  | { readonly operation: Extract<Operation, 'Delete'>; readonly index: string; readonly id: string }
  /** Everything of an index. */
  | { readonly operation: 'Clean'; readonly index: string };

/** A document of an agent. */
export interface StoredDocument {
  /** The index that the document is in. */
  readonly index: string;
  /** Names the document in its index. */
  readonly id: string;
  /** u64; 0 for a document without versions. */
  readonly version: bigint;
  /** The document: JSON. */
  readonly data: Uint8Array;
}

/**
 * A manager's store. Everything it keeps is by agent: no agent can read or change what is another's. Methods reject (or throw, where they
 * return at once) with ERR_HAWSER_STORE_FULL, ERR_HAWSER_DISK_FULL or ERR_HAWSER_STORE when the store cannot be written, and with
 * ERR_HAWSER_CLOSED after `close`. What has been resolved stays, also when the process is killed or the machine loses power.
 */
export interface SyncStore extends AsyncDisposable {
  /** The sessions that had not ended when the store was last closed or its process died, by `key`. To be read before anything else. */
  sessions(): readonly StoredSession[];
  /** The last one applied, or undefined. */
  committed(agent: string, module: string): CommittedSession | undefined;

  // ---- Staging -----------------------------------------------------------------------------------------------------

  /** Keeps a new session. @param session without key; its state is `receiving`. @returns it with its key; it is kept for good when `staged` resolves, or sooner. */
  begin(session: Omit<StoredSession, 'key' | 'state'>): StoredSession;
  /**
   * Appends a message to those of a session. The bytes are copied at once. Never waits: what has been staged is kept when a later `staged`
   * resolves; after a crash some of the newest may be missing, never some in between.
   */
  stage(session: StoredSession, message: Uint8Array): void;
  /** Resolves once everything that was given to `begin` and `stage` is written; a staging that failed rejects here. */
  staged(session: StoredSession): Promise<void>;
  /** Bytes of all messages that were staged and are not written yet: what a disk that is too slow costs in memory. */
  readonly unwrittenBytes: number;
  /** How many messages of the session are staged and can be read. */
  stagedCount(session: StoredSession): number;
  /** The nth message of a session, from 0. A copy, or a view that is valid in this turn of the event loop. @returns undefined beyond the last. */
  stagedMessage(session: StoredSession, n: number): Uint8Array | undefined;
  /** Forgets a session and what was staged. Harmless when it is gone. */
  drop(session: StoredSession): Promise<void>;

  // ---- Applying ----------------------------------------------------------------------------------------------------

  /**
   * Applies a session: marks it `committing`, deletes what the agent has of `session.indices` where the mode is FULL, carries out the changes
   * in order, remembers the session as the last one applied, forgets what was staged. Long commits are done in parts between which the event loop runs;
   * one that was interrupted has to be begun again from its first change, which gives the same documents.
   *
   * @param changes asked for as fast as they are applied. Undefined is work that changes nothing, such as an invalid item: the event loop is
   * to have its turns however many of these follow one another.
   * @param rejected asked when `changes` has ended: how many items were invalid. What is remembered of the session counts the Upserts of a
   * lower version as well.
   * @param progress told now and then how many changes were carried out.
   * @returns a promise that resolves once all of it is on the disk (fdatasync). It rejects with ERR_HAWSER_STORE_FULL when Upserts were
   * passed over that had no room in the store: deletions were applied, the session stays, and is to be applied again when there is. It
   * rejects with ERR_HAWSER_STORE_QUOTA when the agent may not keep so much, or so many modules: deletions and the Upserts that have room
   * were applied, but of a FULL nothing; the session is forgotten, and is not the last one applied. Upserts of an index that would be one of
   * more than 1,024 of an agent are counted as rejected.
   */
  commit(
    session: StoredSession,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress?: (applied: number) => void,
  ): Promise<void>;
  /** What METADATA and GROUP sessions say of an agent: replaces what was said before by this kind. Resolves once it is on the disk. */
  setAgent(agent: string, kind: 'metadata' | 'groups', value: Uint8Array): Promise<void>;
  /** What `setAgent` kept. */
  agent(agent: string, kind: 'metadata' | 'groups'): Uint8Array | undefined;
  /**
   * Deletes everything of an agent: documents, what it said of itself, the last sessions applied, and those under way. The agent is not told:
   * to have its documents again, it has to send a FULL.
   *
   * @returns a promise of how many documents it had, which resolves once none is found any more, also after a crash. Their room is free a
   * little later.
   */
  removeAgent(agent: string): Promise<number>;
  /** How many documents an agent has, what they count for in bytes, and how much that may be. */
  usageOf(agent: string): AgentUsage;

  // ---- Reading -----------------------------------------------------------------------------------------------------

  /**
   * The checksum of an index of an agent: SHA-1, in 40 lower-case hexadecimal digits, over the SHA-1s of its documents, each in 40 such
   * digits, in ascending order.
   *
   * @returns undefined when there is no document.
   */
  checksum(agent: string, index: string): Promise<string | undefined>;
  /** Every agent of whom anything is kept, in the order of the bytes of their names. */
  agents(): IterableIterator<string>;
  /** One document; undefined when it is not there. */
  document(agent: string, index: string, id: string): StoredDocument | undefined;
  /** All documents of an agent, or those of one of its indices, by index and id. Valid while nothing is written. */
  documents(agent: string, index?: string): IterableIterator<StoredDocument>;
  /** Bytes of the file, and how many it may have: for whoever watches it. */
  readonly usage: { readonly bytes: number; readonly maxBytes: number };
  /** Waits for what is being written, and lets go of the store. Closing twice is closing once. */
  close(): Promise<void>;
}
