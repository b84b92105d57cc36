// Sessions whose clients are silent: first a warning, then the end (source document, "Periodic Session Cleanup").

import { WheelTimer } from '../../base/timing-wheel.js';
import { ExpiryBuckets } from './expiry-buckets.js';
import { cleanupIntervalMs } from './options.js';
import type { OwnedSession } from './owned-session.js';
import type { ServerContext } from './server-context.js';

/** Looks each second at the sessions whose time may have come, and at no others. */
export class Expiry {
  readonly #context: ServerContext;
  readonly #buckets: ExpiryBuckets<OwnedSession>;
  readonly #afterPause = new WheelTimer(() => this.#context.queue.enqueue(this.#cleanUp));

  constructor(context: ServerContext) {
    this.#context = context;
    this.#buckets = new ExpiryBuckets(context.settings.wheel, (lateMs) => this.#due(lateMs));
  }

  watch(session: OwnedSession): void {
    this.#buckets.schedule(session, this.#nextLookMs(session));
  }

  forget(session: OwnedSession): void {
    this.#buckets.delete(session);
  }

  close(): void {
    this.#buckets.clear();
    this.#context.settings.wheel.cancel(this.#afterPause);
  }

  #due(lateMs: number): void {
    const { clock, queue, settings } = this.#context;
    // The process has stood still: what has come meanwhile is to be heard before anything is expired for being silent.
    if (lateMs > cleanupIntervalMs)
      settings.wheel.schedule(this.#afterPause, clock.now() + cleanupIntervalMs);
    else queue.enqueue(this.#cleanUp);
  }

  /** The CleanupAction. What it has no time for comes behind what came meanwhile. */
  readonly #cleanUp = (): void => {
    const { clock, queue, tally } = this.#context;
    const beganMs = clock.now();
    const isLeft = this.#buckets.sweep(
      () => queue.isSliceOver,
      (session) => this.#look(session),
    );
    tally.cleanupMs.add(clock.now() - beganMs);
    if (isLeft) queue.enqueue(this.#cleanUp);
  };

  #look(session: OwnedSession): number | undefined {
    const { clock, standing, tally, tell, lifecycle } = this.#context;
    const nowMs = clock.now();
    const silentMs = nowMs - session.renewedAtMs;
    if (!session.isWarned && silentMs > this.#context.settings.warningThresholdMs) {
      session.isWarned = true;
      ++tally.warnings;
      tell('sessionWarning', session.info, silentMs);
    }
    if (nowMs <= session.expiresAtMs) return this.#nextLookMs(session);
    // Another gateway may have it by now.
    if (standing.fences() === undefined) return nowMs;
    const { link } = session;
    lifecycle.end(session, 'expired');
    link?.dismiss('SessionExpired');
    return undefined;
  }

  #nextLookMs(session: OwnedSession): number {
    return session.isWarned
      ? session.expiresAtMs
      : session.renewedAtMs + this.#context.settings.warningThresholdMs;
  }
}
