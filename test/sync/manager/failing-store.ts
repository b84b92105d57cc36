// A store in memory that fails when a test says so.

import { HawserError, type HawserErrorCode } from '../../../src/base/errors.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import type { Change, CommittedSession, StoredSession } from '../../../src/sync/store/store.js';

/** The calls that can fail. `stageLater`: `stage` keeps nothing, which only `staged` tells. */
export type FailingCall =
  | 'begin'
  | 'stage'
  | 'stageLater'
  | 'staged'
  | 'stagedCount'
  | 'stagedMessage'
  | 'drop'
  | 'commit'
  | 'commitMidway'
  | 'committed'
  | 'checksum'
  | 'agent'
  | 'setAgent';

export const failingCalls: readonly FailingCall[] = [
  'begin',
  'stage',
  'stageLater',
  'staged',
  'stagedCount',
  'stagedMessage',
  'drop',
  'commit',
  'commitMidway',
  'committed',
  'checksum',
  'agent',
  'setAgent',
];

export class FailingStore extends MemoryStore {
  /** How often a call is going to fail. */
  readonly failures = new Map<FailingCall, number>();
  /** How often one has. */
  failed = 0;
  code: HawserErrorCode = 'ERR_HAWSER_STORE';
  readonly #lost = new Set<number>();
  /** Sessions in the order in which their commits succeeded. */
  readonly applied: StoredSession[] = [];

  fail(call: FailingCall, times = 1): void {
    this.failures.set(call, times);
  }

  #isFailing(call: FailingCall): boolean {
    const left = this.failures.get(call) ?? 0;
    if (left === 0) return false;
    this.failures.set(call, left - 1);
    ++this.failed;
    return true;
  }

  #fail(call: FailingCall): void {
    if (this.#isFailing(call)) throw new HawserError(this.code, `${call} failed`);
  }

  override committed(agent: string, module: string): CommittedSession | undefined {
    this.#fail('committed');
    return super.committed(agent, module);
  }

  override begin(session: Omit<StoredSession, 'key' | 'state'>): StoredSession {
    this.#fail('begin');
    return super.begin(session);
  }

  override stage(session: StoredSession, message: Uint8Array): void {
    this.#fail('stage');
    if (this.#isFailing('stageLater')) this.#lost.add(session.key);
    // What comes behind a message that was lost is lost too, until that was told.
    if (!this.#lost.has(session.key)) super.stage(session, message);
  }

  override async staged(session: StoredSession): Promise<void> {
    this.#fail('staged');
    if (this.#lost.delete(session.key)) throw new HawserError(this.code, 'a message was lost');
    await super.staged(session);
  }

  override stagedCount(session: StoredSession): number {
    this.#fail('stagedCount');
    return super.stagedCount(session);
  }

  override stagedMessage(session: StoredSession, n: number): Uint8Array | undefined {
    this.#fail('stagedMessage');
    return super.stagedMessage(session, n);
  }

  override async drop(session: StoredSession): Promise<void> {
    this.#fail('drop');
    await super.drop(session);
  }

  override async commit(
    session: StoredSession,
    changes: Iterable<Change | undefined>,
    rejected: () => number,
    progress?: (applied: number) => void,
  ): Promise<void> {
    this.#fail('commit');
    const isCut = this.#isFailing('commitMidway');
    await super.commit(session, isCut ? this.#firstOf(changes) : changes, rejected, progress);
    this.applied.push(session);
  }

  *#firstOf(changes: Iterable<Change | undefined>): Generator<Change> {
    for (const change of changes) {
      if (change === undefined) continue;
      yield change;
      throw new HawserError(this.code, 'the commit was cut');
    }
  }

  override async checksum(agent: string, index: string): Promise<string | undefined> {
    this.#fail('checksum');
    return super.checksum(agent, index);
  }

  override agent(agent: string, kind: 'metadata' | 'groups'): Uint8Array | undefined {
    this.#fail('agent');
    return super.agent(agent, kind);
  }

  override async setAgent(agent: string, kind: 'metadata' | 'groups', value: Uint8Array): Promise<void> {
    this.#fail('setAgent');
    await super.setAgent(agent, kind, value);
  }
}
