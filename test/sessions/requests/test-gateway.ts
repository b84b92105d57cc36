// A gateway as the executor of requests sees it: sessions, a lease, the serial queue, and connections that note what is sent.

import type { Clock } from '../../../src/base/clock.js';
import { HawserError } from '../../../src/base/errors.js';
import type { TimingWheel } from '../../../src/base/timing-wheel.js';
import { ActionQueue } from '../../../src/sessions/server/action-queue.js';
import {
  checkServerOptions,
  type ServerSettings,
  type SessionServerOptions,
} from '../../../src/sessions/server/options.js';
import { RequestExecutor } from '../../../src/sessions/server/requests/request-executor.js';
import type { RequestHost, Session } from '../../../src/sessions/server/session.js';
import { ownerKey, prefixes } from '../../../src/sessions/store/keys.js';
import { encodeOwner, type OwnerRecord } from '../../../src/sessions/store/records.js';
import type { Compare, StoreLease } from '../../../src/sessions/store/store.js';
import type { Delivery, ServerMessage } from '../../../src/sessions/wire/messages.js';
import type { FaultyStore } from './faulty-store.js';

export class TestSession implements Session {
  readonly id: string;
  owner: OwnerRecord;
  ownerRevision: number;
  readonly speaksHawser: boolean;
  connected = true;
  readonly #ended = new AbortController();

  constructor(id: string, owner: OwnerRecord, ownerRevision: number) {
    this.id = id;
    this.owner = owner;
    this.ownerRevision = ownerRevision;
    this.speaksHawser = owner.capabilities.has('hawser');
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  end(): void {
    this.#ended.abort();
  }
}

/** Where its timers run. */
export interface Time {
  readonly clock: Clock;
  readonly wheel: TimingWheel;
}

export interface SessionOptions {
  readonly delivery?: Delivery;
  readonly speaksHawser?: boolean;
}

export class TestGateway implements RequestHost {
  readonly settings: ServerSettings;
  readonly store: FaultyStore;
  readonly executor: RequestExecutor;
  readonly sessions = new Map<string, TestSession>();
  /** What clients were sent, by session. */
  readonly sent = new Map<string, ServerMessage[]>();
  /** What was told of the application's functions. */
  readonly errors: unknown[] = [];
  /** Sessions of which the owner was found to be another. */
  readonly moved: string[] = [];
  fencedCount = 0;
  mayWrite = true;
  /** Called for each message to a connected client. */
  onSend: (session: Session, message: ServerMessage) => void = () => undefined;
  readonly #queue: ActionQueue;
  #lease: StoreLease | undefined;
  #watch: Disposable | undefined;

  constructor(time: Time, store: FaultyStore, options: Omit<SessionServerOptions, 'store'> = {}) {
    this.store = store;
    this.settings = checkServerOptions({ wheel: time.wheel, random: () => 0.5, ...options, store });
    this.#queue = new ActionQueue(time.clock, (error) => this.errors.push(error));
    this.executor = new RequestExecutor(this);
  }

  /** Takes a lease; another one ends the one before. */
  async start(): Promise<void> {
    this.#lease = await this.store.lease(this.settings.gateway, (epoch) => Buffer.from(epoch));
    if (this.#watch !== undefined || !this.store.shared) return;
    this.#watch = this.store.watch(prefixes.serverRequests, {
      changed: (changes) => {
        for (const change of changes) this.enqueue(() => this.executor.changed(change));
      },
      reset: () => this.enqueue(() => this.executor.missed()),
    });
  }

  async create(id: string, options: SessionOptions = {}): Promise<TestSession> {
    const { delivery = 'exactly-once', speaksHawser = true } = options;
    const owner: OwnerRecord = {
      gateway: this.settings.gateway,
      epoch: this.#held.epoch,
      identity: `owner of ${id}`,
      capabilities: new Map(speaksHawser ? [['hawser', '1']] : [['test', '1']]),
      delivery,
      createdAt: 1000,
    };
    const session = new TestSession(id, owner, await this.#own(id, owner, 0));
    this.executor.created(session);
    return this.#begin(session);
  }

  /** Takes a session over from whoever has it. */
  async claim(id: string, from: TestSession): Promise<TestSession> {
    const owner = { ...from.owner, gateway: this.settings.gateway, epoch: this.#held.epoch };
    const key = ownerKey(id);
    const [found] = await this.store.read({ from: key, to: `${key}\0` });
    return this.#begin(new TestSession(id, owner, await this.#own(id, owner, found?.revision ?? 0)));
  }

  /** Writes its owner record anew, as after a new lease. */
  async reclaim(session: TestSession): Promise<void> {
    session.owner = { ...session.owner, epoch: this.#held.epoch };
    session.ownerRevision = await this.#own(session.id, session.owner, session.ownerRevision);
  }

  disconnect(session: TestSession): void {
    session.connected = false;
    this.executor.detached(session);
  }

  reconnect(session: TestSession): void {
    session.connected = true;
    this.executor.attached(session);
  }

  drop(session: TestSession): void {
    this.sessions.delete(session.id);
    session.end();
    this.executor.drop(session);
  }

  /** Its process is gone: nothing of it is heard any more. */
  kill(): void {
    this.executor.close();
    this.sessions.clear();
    this.#watch?.[Symbol.dispose]();
  }

  request(
    session: Session,
    requestId: number,
    options: { lowest?: number; payload?: Uint8Array } = {},
  ): void {
    this.enqueue(() =>
      this.executor.request(session, {
        type: 'ClientRequest',
        requestId,
        lowestPendingRequestId: options.lowest ?? 0,
        payload: options.payload ?? Buffer.from(`payload ${requestId}`),
        createdAt: 5000,
      }),
    );
  }

  query(session: Session, correlationId: string, payload: Uint8Array = Buffer.from(correlationId)): void {
    this.enqueue(() => {
      this.executor.query(session, { type: 'Query', correlationId, payload, createdAt: 5000 });
    });
  }

  acknowledge(session: Session, requestId: number): void {
    this.enqueue(() => this.executor.acknowledge(session, requestId));
  }

  /** What its client was sent since it was asked last, in words. */
  heard(session: Session): string[] {
    const messages = this.sent.get(session.id) ?? [];
    this.sent.delete(session.id);
    return messages.map(inWords);
  }

  // ---- RequestHost -----------------------------------------------------------------------------------------------------

  fences(): readonly Compare[] | undefined {
    return this.mayWrite && this.#lease !== undefined ? [this.#lease.fence] : undefined;
  }

  session(id: string): Session | undefined {
    return this.sessions.get(id);
  }

  send(session: Session, message: ServerMessage): void {
    if (!session.connected) return;
    const messages = this.sent.get(session.id);
    if (messages === undefined) this.sent.set(session.id, [message]);
    else messages.push(message);
    this.onSend(session, message);
  }

  ownerChanged(session: Session): void {
    this.moved.push(session.id);
    const own = this.sessions.get(session.id);
    if (own === session) this.drop(own);
  }

  fenced(): void {
    ++this.fencedCount;
    this.mayWrite = false;
  }

  enqueue(run: () => void): void {
    this.#queue.enqueue(run);
  }

  handlerError(error: unknown): void {
    this.errors.push(error);
  }

  // ---- Owning ----------------------------------------------------------------------------------------------------------

  get #held(): StoreLease {
    if (this.#lease === undefined) throw new Error('the gateway was not started');
    return this.#lease;
  }

  #begin(session: TestSession): TestSession {
    this.sessions.set(session.id, session);
    this.executor.attached(session);
    return session;
  }

  async #own(id: string, owner: OwnerRecord, revision: number): Promise<number> {
    const key = ownerKey(id);
    const result = await this.store.txn({
      compare: [{ key, revision }, this.#held.fence],
      writes: [{ type: 'put', key, value: encodeOwner(owner) }],
    });
    if (!result.committed) throw new HawserError('ERR_HAWSER_STORE', `the claim of ${id} was lost`);
    return result.revision;
  }
}

export function inWords(message: ServerMessage): string {
  switch (message.type) {
    case 'ClientResponse':
      return `${message.requestId}: ${textOf(message.result)}`;
    case 'RequestError':
      return [`${message.requestId}: ${message.reason}`, ...rest(message)].join(' ');
    case 'ServerRequest':
      return `server request ${message.requestId}: ${textOf(message.payload)}`;
    case 'QueryResponse':
      return `${message.correlationId}: ${textOf(message.result)}`;
    case 'QueryError':
      return [`${message.correlationId}: ${message.reason}`, ...rest(message)].join(' ');
    default:
      return message.type;
  }
}

function rest(message: { readonly error: Uint8Array; readonly retryAfterMs: number }): string[] {
  const { error, retryAfterMs } = message;
  return [
    ...(error.length > 0 ? [`(${textOf(error)})`] : []),
    ...(retryAfterMs > 0 ? [`again in ${retryAfterMs}`] : []),
  ];
}

export function textOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? '' : Buffer.from(bytes).toString();
}
