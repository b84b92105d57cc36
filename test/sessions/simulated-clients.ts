// Clients of a simulation: each keeps a session, makes requests and judges what it is told.

import { HawserError } from '../../src/base/errors.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { SessionSnapshot } from '../../src/sessions/client/options.js';
import { SessionClient } from '../../src/sessions/client/session-client.js';
import { SessionUserError } from '../../src/sessions/client/session-errors.js';
import type { Delivery } from '../../src/sessions/wire/messages.js';
import type { VirtualClock } from '../../src/testing/virtual-clock.js';
import type { Dice } from '../interaction/simulated-home.js';
import { kinds } from './simulated-gateways.js';
import type { Ledger } from './simulated-ledger.js';
import { Process } from './simulated-process.js';
import type { Harbour, Roads } from './simulated-roads.js';

export interface ClientSettings {
  readonly clock: VirtualClock;
  readonly dice: Dice;
  readonly ledger: Ledger;
  readonly roads: Roads;
  readonly gateways: readonly Harbour[];
  readonly keepAliveIntervalMs: number;
}

export interface Resumed {
  readonly identity: string;
  readonly session: SessionSnapshot;
}

/** So many wait for an answer at the most. */
const maxPending = 50;
/** Of a session that is over, or of a client that is. */
const overCodes = ['ERR_HAWSER_SESSION_EXPIRED', 'ERR_HAWSER_ABORTED', 'ERR_HAWSER_CLOSED'];
/** Of a request that is not sent again. */
const uncertainCodes = ['ERR_HAWSER_CONNECTION_LOST', 'ERR_HAWSER_RESPONSE_EVICTED'];

export class SimulatedClient {
  readonly name: string;
  readonly delivery: Delivery;
  readonly process: Process;
  readonly #settings: ClientSettings;
  readonly #wheel: TimingWheel;
  readonly #client: SessionClient;
  /** Requests and queries that have no answer yet. */
  readonly pending = new Set<string>();
  #requests = 0;
  #isClosing = false;

  /** @param resumed the session of an earlier process. */
  constructor(name: string, delivery: Delivery, settings: ClientSettings, resumed?: Resumed) {
    const { clock, dice, ledger, roads, gateways, keepAliveIntervalMs } = settings;
    this.name = name;
    this.delivery = delivery;
    this.#settings = settings;
    const identity = resumed?.identity ?? name;
    this.process = new Process(clock, identity, dice.between(-3_000_000, 3_000_000));
    this.#wheel = new TimingWheel(this.process, (error) =>
      ledger.problem(`a timer of ${name} threw ${error}`),
    );
    this.#client = new SessionClient({
      connector: roads.connector(this.process, gateways),
      delivery,
      reconnection: { backoff: { initialMs: 100, maxMs: 2000 } },
      intervals: { idleMs: keepAliveIntervalMs },
      wheel: this.#wheel,
      random: dice.random,
      onServerRequest: ({ requestId, payload }) =>
        this.#delivered(requestId, Buffer.from(payload).toString()),
    });
    this.#client.on('connected', (sessionId) => ledger.connected(sessionId));
    this.#client.on('listenerError', (error, source) => ledger.problem(`${source} of ${name} told ${error}`));
    this.#client.on('expired', (error) => this.#expired(error));
    this.#connect(resumed?.session);
  }

  get sessionId(): string | undefined {
    return this.#client.sessionId;
  }

  get isConnected(): boolean {
    return this.#client.state === 'Connected';
  }

  /** What another process needs to go on; undefined while there is no session. */
  get resumption(): Resumed | undefined {
    const session = this.sessionId === undefined ? undefined : this.#client.snapshot();
    return session && { identity: this.process.name, session };
  }

  get timers(): number {
    return this.#wheel.size;
  }

  request(target: string): void {
    const { dice, ledger } = this.#settings;
    const token = `${this.name}:${++this.#requests}`;
    const payload = Buffer.from(`${token} ${dice.pick(kinds)} ${target}`);
    this.#follow(token, this.#client.request(payload), (answer) => ledger.answered(token, answer));
  }

  /** What is read contains everything that was committed before. */
  query(): void {
    const { ledger } = this.#settings;
    const before = ledger.counter;
    this.#follow(`query ${++this.#requests}`, this.#client.query(Buffer.alloc(0)), (answer) => {
      const count = Number(answer);
      if (count >= before && count <= ledger.counter) return;
      ledger.problem(`${this.name} reads ${answer}; ${before} before, ${ledger.counter} after`);
    });
  }

  /** Whether there is anything to ask it for. */
  get isUsable(): boolean {
    const { state } = this.#client;
    const isThere = !this.#isClosing && state !== 'Disconnected' && state !== 'Expired';
    return isThere && this.pending.size < maxPending;
  }

  /** Closes its session. */
  async close(): Promise<void> {
    this.#isClosing = true;
    if (this.sessionId !== undefined) this.#settings.ledger.closing(this.sessionId);
    await this.#client.close();
  }

  /** Without a word; its session runs out. */
  kill(): void {
    const { ledger, roads } = this.#settings;
    this.process.kill();
    ledger.abandoned(this.pending);
    roads.examine();
  }

  #connect(session?: SessionSnapshot): void {
    const { ledger } = this.#settings;
    if (session !== undefined) ledger.restarted(session.id, session.lastServerRequestId);
    this.#client.connect(session === undefined ? {} : { session }).catch((error: unknown) => {
      if (!isOver(error)) ledger.problem(`${this.name} cannot connect: ${error}`);
    });
  }

  #expired(error: HawserError): void {
    const { ledger, dice } = this.#settings;
    if (error.code !== 'ERR_HAWSER_SESSION_EXPIRED')
      ledger.problem(`the session of ${this.name} ends: ${error}`);
    this.process.setTimeout(
      () => {
        if (!this.#isClosing) this.#connect();
      },
      dice.between(1, 2000),
    );
  }

  #delivered(requestId: number, text: string): void {
    const { ledger } = this.#settings;
    const { sessionId } = this;
    if (sessionId === undefined) ledger.problem(`${this.name} has no session, and gets ${text}`);
    else ledger.delivered(sessionId, requestId, text);
  }

  #follow(token: string, promise: Promise<Uint8Array>, answered: (answer: string) => void): void {
    this.pending.add(token);
    promise.then(
      (answer) => {
        this.pending.delete(token);
        answered(Buffer.from(answer).toString());
      },
      (error: unknown) => {
        this.pending.delete(token);
        if (error instanceof SessionUserError) answered(Buffer.from(error.error).toString());
        else this.#failed(token, error);
      },
    );
  }

  #failed(token: string, error: unknown): void {
    const { ledger } = this.#settings;
    if (isOver(error)) return;
    const code = error instanceof HawserError ? error.code : '';
    if (code === 'ERR_HAWSER_HANDLER') ledger.refused(token);
    else if (this.delivery !== 'at-most-once' || !uncertainCodes.includes(code))
      ledger.problem(`${token} failed: ${error}`);
  }
}

function isOver(error: unknown): boolean {
  return error instanceof HawserError && overCodes.includes(error.code);
}
