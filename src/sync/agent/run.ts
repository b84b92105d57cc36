// One call of an agent that syncs: what it works with, and what it comes to, over however many sessions that takes.

import type { MessageConnection } from '../../base/message-connection.js';
import type { Interruption, SessionOutcome } from './outcomes.js';
import type { SyncProgress } from './results.js';
import type { AgentSession } from './session.js';
import type { Sent } from './transfer.js';
import type { Waits } from './waits.js';

export class AgentRun {
  readonly connection: MessageConnection;
  readonly waits: Waits;
  readonly sent: Sent = { items: 0, bytes: 0, retransmitted: 0, retransmittedBytes: 0 };
  /** How many items the sessions after the present one will have. */
  laterItems = 0;
  /** Whether the manager was asked for a session. */
  startSent = false;
  #toldItems = 0;
  #rejected = 0;
  #sessionSize = 0;
  #session: AgentSession | undefined;
  #interruption: Interruption | undefined;

  constructor(connection: MessageConnection, waits: Waits) {
    this.connection = connection;
    this.waits = waits;
  }

  /** The session that is under way. */
  get session(): AgentSession | undefined {
    return this.#session;
  }

  /** The items of its sessions: of those that the manager has gone through with, and of the present or last one. */
  get size(): number {
    return this.#toldItems + this.#sessionSize;
  }

  /** The items that the manager has applied, or rejected. */
  get toldItems(): number {
    return this.#toldItems;
  }

  get rejected(): number {
    return this.#rejected;
  }

  /** A session of so many items is about to begin. */
  begin(size: number): void {
    this.#sessionSize = size;
  }

  /** The manager has gone through with the present session. */
  told(rejected: number): void {
    this.#toldItems += this.#sessionSize;
    this.#sessionSize = 0;
    this.#rejected += rejected;
  }

  /** How far all its sessions are, when the present one is that far. */
  progressOf(progress: SyncProgress): SyncProgress {
    return {
      ...progress,
      size: this.size + this.laterItems,
      sent: this.#toldItems + progress.sent,
      acknowledged: this.#toldItems + progress.acknowledged,
    };
  }

  /** Carries out one session after another. */
  async carryOut(session: AgentSession): Promise<SessionOutcome> {
    if (this.#interruption !== undefined) return this.interrupted(this.#interruption);
    this.#session = session;
    try {
      return await session.run();
    } finally {
      this.#session = undefined;
    }
  }

  /** Ends it from outside: whatever waits goes on, and finds that it is over. */
  interrupt(by: Interruption): void {
    this.#interruption ??= by;
    this.#session?.interrupt(this.#interruption);
    this.waits.wake();
  }

  /** Whether somebody has ended it. */
  isInterrupted(): boolean {
    return this.#interruption !== undefined;
  }

  interrupted(by: Interruption = this.#interruption ?? 'stopped'): SessionOutcome {
    return { kind: 'interrupted', by };
  }

  /** @returns false when it was interrupted meanwhile. */
  async sleep(delayMs: number): Promise<boolean> {
    const dueMs = this.waits.nowMs + delayMs;
    await this.waits.until(
      () => this.isInterrupted(),
      () => dueMs,
    );
    return !this.isInterrupted();
  }

  /** Waits for a promise of the application, which may never settle. @returns undefined when it was interrupted meanwhile. */
  async settled<T>(
    ask: () => T | Promise<T>,
  ): Promise<{ readonly value: T } | { readonly error: unknown } | undefined> {
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    const run = async (): Promise<T> => ask();
    void run()
      .then(
        (value) => {
          outcome = { value };
        },
        (error: unknown) => {
          outcome = { error };
        },
      )
      .then(() => this.waits.wake());
    await this.waits.until(
      () => outcome !== undefined || this.isInterrupted(),
      () => Number.POSITIVE_INFINITY,
    );
    return this.isInterrupted() ? undefined : outcome;
  }
}
