// Applying one session: what its Data do to the documents of its agent, and how that can go.

import type { StoredSession } from '../store/store.js';
import type { ContextItem, ManagerSettings } from './options.js';
import { SessionChanges } from './session-changes.js';
import { isQuota, isStale } from './session-outcome.js';

/** How it went. */
export type Applied =
  | { readonly kind: 'applied'; readonly rejected: number }
  /** Later Data of the module were applied before. */
  | { readonly kind: 'stale' }
  /** The agent has its share of the store. */
  | { readonly kind: 'full' }
  /** The store has nothing of it any more: its agent was removed. */
  | { readonly kind: 'gone' }
  /** Some of what was staged is gone. */
  | { readonly kind: 'lost'; readonly error: unknown }
  /** Another time it may go well. */
  | { readonly kind: 'failed'; readonly error: unknown };

/** What it needs of its session. */
export interface ApplyingHost {
  readonly settings: ManagerSettings;
  readonly allowIndex: (agent: string, index: string) => boolean;
  readonly onContext: (agent: string, module: string, item: ContextItem) => void;
  readonly progress: (applied: number) => void;
  readonly storeFailed: (error: unknown, what: string) => void;
}

export class Applying {
  readonly #stored: StoredSession;
  readonly #host: ApplyingHost;
  /** The store has been asked to: it may have begun. */
  #begun: boolean;

  constructor(stored: StoredSession, host: ApplyingHost) {
    this.#stored = stored;
    this.#host = host;
    this.#begun = stored.state === 'committing';
  }

  /** Whatever was begun is of no use any more: other Data come. */
  reset(): void {
    this.#begun = false;
  }

  /** @param inOrder whether the items are staged in the order of their numbers. */
  async run(inOrder: boolean): Promise<Applied> {
    const { settings, storeFailed, progress } = this.#host;
    const { store } = settings;
    try {
      // What has to be applied was kept before that began.
      if (!this.#begun) await store.staged(this.#stored);
    } catch (error) {
      storeFailed(error, 'stage');
      return { kind: 'lost', error };
    }
    const changes = this.#changes();
    const rejected = (): number => changes.rejected;
    try {
      // What was begun has to be brought to its end: until then documents and their checksums may differ.
      if (!this.#begun && this.#isStale()) return { kind: 'stale' };
      if (!inOrder) await changes.arrange();
      this.#begun = true;
      await store.commit(this.#stored, changes, rejected, progress);
    } catch (error) {
      storeFailed(error, 'apply');
      if (isQuota(error)) return { kind: 'full' };
      if (this.#isGone()) return { kind: 'gone' };
      return { kind: changes.incomplete ? 'lost' : 'failed', error };
    }
    return { kind: 'applied', rejected: this.#rejectedOf(changes) };
  }

  #isStale(): boolean {
    const { agent, module } = this.#stored;
    return isStale(this.#stored, this.#host.settings.store.committed(agent, module));
  }

  #isGone(): boolean {
    try {
      return this.#host.settings.store.sessions().every(({ key }) => key !== this.#stored.key);
    } catch {
      // That it cannot be read has been told: it failed to apply just now.
      return false;
    }
  }

  /** What the store did not apply because of its version is counted by it. */
  #rejectedOf({ rejected }: SessionChanges): number {
    const { agent, module } = this.#stored;
    const { settings, storeFailed } = this.#host;
    try {
      return settings.store.committed(agent, module)?.rejected ?? rejected;
    } catch (error) {
      storeFailed(error, 'read');
      return rejected;
    }
  }

  #changes(): SessionChanges {
    const { agent, module } = this.#stored;
    const { settings, allowIndex, onContext } = this.#host;
    return new SessionChanges(settings.store, this.#stored, {
      allowIndex: (index) => allowIndex(agent, index),
      onContext: (item) => onContext(agent, module, item),
    });
  }
}
