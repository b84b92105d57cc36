// A manager in virtual time, with whatever agents a test wants.

import type { SessionEnded, SessionStarted } from '../../../src/sync/manager/events.js';
import { SyncManager, type SyncManagerOptions } from '../../../src/sync/manager/manager.js';
import { MemoryStore } from '../../../src/sync/store/memory-store.js';
import type { SyncStore } from '../../../src/sync/store/store.js';
import { settled, VirtualTime } from '../../interaction/virtual-time.js';
import { FakeAgent } from './fake-agent.js';

export class ManagerWorld {
  readonly time: VirtualTime;
  readonly store: SyncStore;
  manager: SyncManager;
  /** What was logged, as `level code`, and whose it was. */
  readonly logs: string[] = [];
  readonly lines: { code: string; message: string; agent: string }[] = [];
  readonly started: SessionStarted[] = [];
  readonly ended: SessionEnded[] = [];
  readonly #options: Partial<SyncManagerOptions>;

  constructor(options: Partial<SyncManagerOptions> = {}, time: VirtualTime = new VirtualTime()) {
    this.time = time;
    this.#options = options;
    this.store = options.store ?? new MemoryStore();
    this.manager = this.#make();
  }

  #make(): SyncManager {
    const manager = new SyncManager({ ...this.#options, store: this.store, wheel: this.time.wheel });
    manager.on('log', (level, code, message, agent) => {
      this.logs.push(`${level} ${code}`);
      this.lines.push({ code, message, agent });
    });
    manager.on('sessionStart', (session) => this.started.push(session));
    manager.on('sessionEnd', (session) => this.ended.push(session));
    return manager;
  }

  /** The manager ends as its process does, and another begins with the same store. */
  async restart(): Promise<void> {
    await this.manager.close();
    this.manager = this.#make();
    await settled();
  }

  /** Lets the sessions that are complete be applied, however many turns that takes. */
  async applied(): Promise<void> {
    for (let turns = 0; turns < 1000 && this.manager.stats.committing > 0; ++turns) await settled();
    await settled();
  }

  agent(name = 'agent'): FakeAgent {
    return new FakeAgent(this.manager, name);
  }

  /** Lets so much time pass, with all that promises plan on the way. */
  async pass(ms: number): Promise<void> {
    await this.time.passTo(this.time.nowMs + ms);
  }

  /** What the store has of an agent, as `index/id data`. */
  documents(agent = 'agent'): string[] {
    return Array.from(
      this.store.documents(agent),
      ({ index, id, data }) => `${index}/${id} ${Buffer.from(data).toString()}`,
    );
  }

  /** The ids of what it has of an index. */
  ids(agent = 'agent', index = 'files'): string[] {
    return Array.from(this.store.documents(agent, index), ({ id }) => id);
  }

  get counts(): SyncManager['stats']['counts'] {
    return this.manager.stats.counts;
  }
}

/** From now on nothing is applied in the store before it is let go. @returns lets go what was to be applied last. */
export function holdCommits(store: SyncStore): () => void {
  const commit = store.commit.bind(store);
  let release = (): void => undefined;
  store.commit = async (...given) => {
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    await commit(...given);
  };
  return () => release();
}

/** `id-0` to `id-n`, in the order in which a store has them. */
export function idsTo(last: number): string[] {
  return Array.from({ length: last + 1 }, (_, n) => `id-${n}`).sort();
}
