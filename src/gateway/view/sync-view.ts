// What a view shows of the sessions of a sync manager: those under way, and the last that ended.

import type { SessionEnded, SessionProgress, SessionStarted } from '../../sync/manager/events.js';
import type { SyncManager } from '../../sync/manager/manager.js';
import type { SyncOutcomeSnapshot, SyncSessionSnapshot } from '../snapshot.js';
import { EndedList } from './ended-list.js';

const mostShown = 100;
/** More than a manager has sessions. */
const mostKnown = 100_000;

export class SyncView {
  readonly #running = new Map<string, SyncSessionSnapshot>();
  readonly #ended = new EndedList<SyncOutcomeSnapshot>(mostShown);

  constructor(manager: SyncManager) {
    manager.on('sessionStart', (session) => this.#started(session));
    manager.on('progress', (progress) => this.#progressed(progress));
    manager.on('sessionEnd', (session) => this.#over(session));
  }

  /** The longest first, and the last that ended, the newest last. */
  snapshot(): {
    readonly running: readonly SyncSessionSnapshot[];
    readonly ended: readonly SyncOutcomeSnapshot[];
  } {
    const running: SyncSessionSnapshot[] = [];
    for (const session of this.#running.values()) {
      // They are in the order of their beginning.
      if (running.push(session) === mostShown) break;
    }
    return { running, ended: this.#ended.all() };
  }

  #started({ agent, module, mode, size }: SessionStarted): void {
    const key = keyOf(agent, module);
    const before = this.#running.get(key);
    if (before === undefined && this.#running.size >= mostKnown) return;
    const startedAtMs = before?.startedAtMs ?? Date.now();
    const received = before?.received ?? 0;
    this.#running.set(key, { agent, module, mode, size, received, state: 'receiving', startedAtMs });
  }

  #progressed({ agent, module, received, applied, size }: SessionProgress): void {
    const key = keyOf(agent, module);
    const session = this.#running.get(key);
    if (session === undefined) return;
    const state = applied > 0 || received >= size ? 'applying' : 'receiving';
    this.#running.set(key, { ...session, received, state });
  }

  #over({ agent, module, mode, applied, rejected, durationMs, status }: SessionEnded): void {
    this.#running.delete(keyOf(agent, module));
    this.#ended.add({ agent, module, mode, applied, rejected, durationMs, status, endedAtMs: Date.now() });
  }
}

/** Two texts as one that no other two make. */
function keyOf(agent: string, module: string): string {
  return `${agent.length}:${agent}${module}`;
}
