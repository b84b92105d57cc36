// A session that this gateway owns, with what only this gateway knows of it.

import type { OwnerRecord } from '../store/records.js';
import { hawserCapability } from '../wire/messages.js';
import type { SessionInfo } from './handler.js';
import { HeartbeatRecord } from './heartbeat-record.js';
import type { PeerLink } from './peer-link.js';
import type { RemovalTarget, Session } from './session.js';

export class OwnedSession implements Session {
  readonly id: string;
  readonly speaksHawser: boolean;
  readonly heartbeats: HeartbeatRecord = new HeartbeatRecord();
  /** What it is attached to. */
  link: PeerLink | undefined = undefined;
  /** By the monotonic clock: the last KeepAlive, Create or Continue. */
  renewedAtMs: number;
  /** After this it is over, by the monotonic clock. */
  expiresAtMs: number;
  /** Whether `sessionWarning` was told since it was renewed last. */
  isWarned = false;
  #owner: OwnerRecord;
  #ownerRevision: number;
  /** Made when somebody asks for its signal: most sessions of many need none. */
  #ended: AbortController | undefined;
  #isOver = false;

  constructor(id: string, owner: OwnerRecord, ownerRevision: number, nowMs: number, timeoutMs: number) {
    this.id = id;
    this.speaksHawser = owner.capabilities.get(hawserCapability.name) === hawserCapability.value;
    this.renewedAtMs = nowMs;
    this.expiresAtMs = nowMs + timeoutMs;
    this.#owner = owner;
    this.#ownerRevision = ownerRevision;
  }

  get owner(): OwnerRecord {
    return this.#owner;
  }

  get ownerRevision(): number {
    return this.#ownerRevision;
  }

  get connected(): boolean {
    return this.link !== undefined;
  }

  get ended(): AbortSignal {
    if (this.#ended === undefined) {
      this.#ended = new AbortController();
      if (this.#isOver) this.#ended.abort();
    }
    return this.#ended.signal;
  }

  get info(): SessionInfo {
    return sessionInfo(this);
  }

  /** This gateway has written its owner record anew. */
  reclaimed(owner: OwnerRecord, ownerRevision: number): void {
    this.#owner = owner;
    this.#ownerRevision = ownerRevision;
  }

  end(): void {
    this.#isOver = true;
    this.#ended?.abort();
  }
}

/** What the application is told of a session. */
export function sessionInfo({ id, owner }: Pick<RemovalTarget, 'id' | 'owner'>): SessionInfo {
  const { identity, capabilities, delivery, createdAt } = owner;
  return { sessionId: id, identity, capabilities, delivery, createdAt };
}
