// The sessions that the server requests of a commit go to: of this gateway or of others.

import { HawserError } from '../../../base/errors.js';
import { counterKey, ownerKey, serverRequestKey } from '../../store/keys.js';
import { readKey } from '../../store/read-key.js';
import { encodeNumber, encodeServerRequest, type ServerRequestRecord } from '../../store/records.js';
import type { CommitDraft, Mismatch } from './commit-draft.js';
import type { OutgoingRequest } from './outcome.js';
import type { Parts } from './parts.js';
import { readTally, type ServerRequestTally } from './server-request-tally.js';

/** A session as the store has it. */
interface Target {
  /** Undefined where the commit compares it already. */
  readonly ownerRevision: number | undefined;
  readonly tally: ServerRequestTally;
}

/** What a draft adds for one session. */
interface Addition {
  readonly sessionId: string;
  readonly tally: ServerRequestTally;
  readonly records: readonly ServerRequestRecord[];
}

export class Targets {
  readonly #parts: Parts;
  /** The session whose owner the commit compares. */
  readonly #origin: string | undefined;
  readonly #payloads = new Map<string, Uint8Array[]>();
  /** Undefined: there is no such session. */
  readonly #known = new Map<string, Target | undefined>();
  /** Those of which this gateway knew something else than the store. */
  readonly #mistaken = new Set<string>();
  #additions: readonly Addition[] = [];

  /** @param origin the session whose owner the commit compares anyway. */
  constructor(parts: Parts, origin: string | undefined, requests: readonly OutgoingRequest[]) {
    this.#parts = parts;
    this.#origin = origin;
    for (const { sessionId, payload } of requests) {
      const payloads = this.#payloads.get(sessionId);
      if (payloads === undefined) this.#payloads.set(sessionId, [payload]);
      else payloads.push(payload);
    }
  }

  get sessionIds(): readonly string[] {
    return Array.from(this.#payloads.keys());
  }

  /** Whether there is nothing to be found out. */
  get areKnown(): boolean {
    return this.#known.size === this.#payloads.size;
  }

  /** Finds out what is not known yet. Rejects as the store does. */
  async look(): Promise<void> {
    const unknown = this.sessionIds.filter((sessionId) => !this.#known.has(sessionId));
    await Promise.all(
      unknown.map(async (sessionId) => this.#known.set(sessionId, await this.#find(sessionId))),
    );
  }

  /**
   * Adds the server requests, numbered in their order, to a transaction. Sessions that do not exist are passed over.
   *
   * @throws HawserError ERR_HAWSER_QUEUE_FULL when a session would have more than are kept.
   */
  addTo(draft: CommitDraft): void {
    const createdAt = this.#parts.host.settings.wheel.clock.wallNow();
    this.#additions = Array.from(this.#payloads).flatMap(([sessionId, payloads]) => {
      const target = this.#known.get(sessionId);
      if (target === undefined) return [];
      const records = payloads.map((payload) => ({ payload, createdAt: Math.round(createdAt) }));
      this.#add(draft, sessionId, target, records);
      return [{ sessionId, tally: target.tally, records }];
    });
  }

  /** Whether none of the sessions exists. */
  get isPassedOver(): boolean {
    return this.#additions.length === 0;
  }

  /** The transaction was committed: what goes to sessions of this gateway is sent. @returns the last id of each session. */
  committed(revision: number): ReadonlyMap<string, number> {
    const lastIds = new Map<string, number>();
    for (const { sessionId, tally, records } of this.#additions) {
      const last = tally.last + records.length;
      lastIds.set(sessionId, last);
      this.#parts.outboxOf(sessionId)?.added(records, { ...tally, last, revision });
    }
    return lastIds;
  }

  /** The transaction, or an earlier one, may have been committed. */
  perhapsCommitted(): void {
    for (const sessionId of this.sessionIds) this.#parts.outboxOf(sessionId)?.missed();
  }

  /** Somebody else has added to one of them, or it is over. */
  mistaken(mismatches: readonly Mismatch[]): void {
    for (const { meaning } of mismatches) {
      if (meaning.kind !== 'target') continue;
      this.#known.delete(meaning.sessionId);
      this.#mistaken.add(meaning.sessionId);
      this.#parts.outboxOf(meaning.sessionId)?.forgetTally();
    }
  }

  async #find(sessionId: string): Promise<Target | undefined> {
    const { host } = this.#parts;
    const outbox = this.#parts.outboxOf(sessionId);
    if (sessionId === this.#origin) {
      return { ownerRevision: undefined, tally: await (outbox?.tally() ?? readTally(host, sessionId)) };
    }
    if (outbox !== undefined && !this.#mistaken.has(sessionId)) {
      return { ownerRevision: outbox.session.ownerRevision, tally: await outbox.tally() };
    }
    const owner = await readKey(host.store, ownerKey(sessionId));
    return owner && { ownerRevision: owner.revision, tally: await readTally(host, sessionId) };
  }

  #add(
    draft: CommitDraft,
    sessionId: string,
    { ownerRevision, tally }: Target,
    records: readonly ServerRequestRecord[],
  ): void {
    const { last, revision, acknowledged } = tally;
    if (last - acknowledged + records.length > this.#parts.host.settings.maxServerRequests) {
      throw new HawserError('ERR_HAWSER_QUEUE_FULL', 'too many server requests of a session are kept');
    }
    const meaning = { kind: 'target', sessionId } as const;
    if (ownerRevision !== undefined) {
      draft.compare(meaning, { key: ownerKey(sessionId), revision: ownerRevision });
    }
    draft.compare(meaning, { key: counterKey(sessionId), revision });
    draft.put(counterKey(sessionId), encodeNumber(last + records.length));
    for (const [index, record] of records.entries()) {
      draft.put(serverRequestKey(sessionId, last + 1 + index), encodeServerRequest(record));
    }
  }
}
