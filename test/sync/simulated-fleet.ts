// Agents and their manager in a simulated network: what every agent knows is kept beside it, so that whatever the manager stores can be judged.

import { TimingWheel } from '../../src/base/timing-wheel.js';
import { Server } from '../../src/index.js';
import { SyncManager, type SyncManagerOptions } from '../../src/sync/manager/manager.js';
import { type SyncChannels, serveSync, syncChannels } from '../../src/sync/over-hawser.js';
import { MemoryStore } from '../../src/sync/store/memory-store.js';
import type { Change, StoredSession } from '../../src/sync/store/store.js';
import { type LinkSettings, SimulatedNetwork, type VirtualClock } from '../../src/testing/index.js';
import { createTokenMinter, type TokenMinter } from '../../src/token/index.js';
import type { Dice } from '../interaction/simulated-home.js';
import { protocolId, serverKey } from '../transport/support.js';
import { Process, StoreOfProcess } from './simulated-processes.js';

const managerAddress = '10.9.0.1:4000';

/** After so long without a word either side of a connection takes the other for gone. */
const transportTimeoutMs = 5000;

/** What a document of the simulation says: `n` grows with each change of any document. */
function documentOf(n: number, padding: number): Uint8Array {
  return Buffer.from(JSON.stringify({ n, pad: 'x'.repeat(padding) }));
}

export function numberOf(data: Uint8Array): number {
  const document: unknown = JSON.parse(Buffer.from(data).toString());
  return typeof document === 'object' && document !== null && 'n' in document
    ? Number(document.n)
    : Number.NaN;
}

const maxDocumentBytes = 3000;

/** Indices whose names end so are not allowed. */
export const forbiddenSuffix = '-forbidden';

export interface FleetOptions {
  readonly manager: Omit<SyncManagerOptions, 'store' | 'wheel' | 'random' | 'allowIndex'>;
  /** The most items that a snapshot may have, so that the manager takes it. */
  readonly maxSnapshotItems: number;
  /** How long documents are at the least, 1 to 3,000; that is the most they are. */
  readonly minDocumentBytes: number;
  /** The share of writes of the store that fail. */
  readonly failureRate: number;
  /** Whether a new manager can tell agents of an earlier one that it does not know them. */
  readonly resets: boolean;
  readonly link: LinkSettings;
}

/** The manager, its store and the network. */
export class Fleet {
  readonly dice: Dice;
  readonly network: SimulatedNetwork;
  readonly store: MemoryStore = new MemoryStore();
  /** What should not have happened. */
  readonly problems: string[] = [];
  /** Nothing is lost any more, and nobody is killed. */
  isWell = false;
  readonly #options: FleetOptions;
  #minter: TokenMinter | undefined;
  #server: Server<SyncChannels> | undefined;
  #manager: SyncManager | undefined;
  #process: Process | undefined;
  #ownStore: StoreOfProcess | undefined;
  #isMoving = false;
  #lastNumber = 0;
  /** The newest that was ever stored, by agent, index and id. */
  readonly #newest = new Map<string, number>();

  constructor(seed: number, dice: Dice, options: FleetOptions) {
    this.dice = dice;
    this.#options = options;
    this.network = new SimulatedNetwork({ seed, ...options.link });
  }

  get clock(): VirtualClock {
    return this.network.clock;
  }

  get maxSnapshotItems(): number {
    return this.#options.maxSnapshotItems;
  }

  /** Some document with a number of its own. */
  document(): { readonly n: number; readonly data: Uint8Array } {
    const n = ++this.#lastNumber;
    return { n, data: documentOf(n, this.dice.magnitude(this.#options.minDocumentBytes, maxDocumentBytes)) };
  }

  get manager(): SyncManager {
    if (this.#manager === undefined) throw new Error('there is no manager yet');
    return this.#manager;
  }

  /** Whether there is a manager that takes agents, and none is on its way. */
  get isSettled(): boolean {
    return !this.#isMoving && this.#server?.state === 'RUNNING';
  }

  problem(what: string): void {
    this.problems.push(`${this.clock.now()} ms: ${what}`);
  }

  token(clientId: bigint): Uint8Array {
    if (this.#minter === undefined) throw new Error('there is no manager yet');
    return this.#minter.mint({ clientId });
  }

  // ---- Managers ----------------------------------------------------------------------------------------------------

  async open(): Promise<void> {
    this.#minter ??= await createTokenMinter({
      protocolId,
      key: serverKey,
      addresses: [managerAddress],
      timeoutMs: transportTimeoutMs,
      now: () => this.clock.wallNow(),
      // So that the same seed gives the same bytes.
      random: (target) => target.set(this.network.randomBytes(target.length)),
    });
    const server = await Server.listen({
      network: this.network,
      address: managerAddress,
      protocolId,
      keys: [serverKey],
      channels: syncChannels,
      ...(this.#options.resets && { resetKey: new Uint8Array(32).fill(7) }),
    });
    server.on('listenerError', (error, source) => this.problem(`${source} of the server threw ${error}`));
    const process = new Process(this.clock, this.dice);
    const store = new StoreOfProcess(this.store, process, {
      changes: (session, changes) => this.#judge(session, changes),
      cut: (changes) => this.#cutCommit(changes),
      cutDrop: () => this.#kills(0.2),
    });
    store.failureRate = this.isWell ? 0 : this.#options.failureRate;
    const wheel = new TimingWheel(process, (error) => this.problem(`a timer of the manager threw ${error}`));
    const manager = new SyncManager({
      ...this.#options.manager,
      allowIndex: (_, index) => !index.endsWith(forbiddenSuffix),
      store,
      wheel,
      random: this.dice.random,
    });
    manager.on('listenerError', (error, source) => this.problem(`${source} of the manager threw ${error}`));
    manager.on('log', (level, code, message) => {
      if (level === 'error' && this.#options.failureRate === 0)
        this.problem(`the manager logged ${code}: ${message}`);
    });
    serveSync(server, manager);
    this.#server = server;
    this.#manager = manager;
    this.#process = process;
    this.#ownStore = store;
  }

  /** What is applied must never be older than what was applied before. */
  #judge({ agent, module, generation }: StoredSession, changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.operation !== 'Upsert') continue;
      const key = `${agent}/${change.index}/${change.id}`;
      const n = numberOf(change.data);
      const newest = this.#newest.get(key) ?? 0;
      if (n < newest) this.problem(`${module} ${generation}: ${key} went back from ${newest} to ${n}`);
      else this.#newest.set(key, n);
    }
  }

  #cutCommit(changes: number): number | undefined {
    return this.#kills(0.05) ? this.dice.between(0, changes) : undefined;
  }

  /** Perhaps the manager is killed at this moment. */
  #kills(chance: number): boolean {
    if (this.isWell || this.#isMoving || !this.dice.chance(chance)) return false;
    void this.replace('killed');
    return true;
  }

  /**
   * One manager goes and another comes.
   *
   * @param how `killed`: at once, without a word; `closed`: it closes what it has; `drained`: it waits for the sessions that are under way.
   */
  async replace(how: 'killed' | 'closed' | 'drained'): Promise<void> {
    if (!this.isSettled) return;
    this.#isMoving = true;
    if (how === 'killed') {
      if (this.#process !== undefined) this.#process.isAlive = false;
      this.#cut(true);
    }
    if (how === 'drained') await Promise.race([this.manager.drain(), this.clock.sleep(30_000)]);
    if (how !== 'killed') await this.manager.close();
    await this.#server?.close();
    if (this.#process !== undefined) this.#process.isAlive = false;
    await this.clock.sleep(this.dice.magnitude(1, 30_000));
    this.#cut(false);
    await this.open();
    this.#isMoving = false;
  }

  async close(): Promise<void> {
    await this.manager.close();
    await this.#server?.close();
  }

  #cut(isCut: boolean): void {
    this.#setLinks(isCut ? { up: false } : {});
  }

  #setLinks(link: LinkSettings): void {
    this.network.setLink(managerAddress, undefined, link);
    this.network.setLink(undefined, managerAddress, link);
  }

  /** From now on nothing is lost, nothing fails, and no manager goes. */
  async heal(): Promise<void> {
    this.isWell = true;
    await this.network.runUntil(() => !this.#isMoving, { limitMs: 200_000 });
    this.#setLinks({ lossRate: 0, duplicateRate: 0, reorderRate: 0 });
    if (this.#ownStore !== undefined) this.#ownStore.failureRate = 0;
  }

  /** Cuts a host off from the manager, or joins it again. */
  part(host: string, isParted: boolean): void {
    this.network.partition(`${host}:0`, managerAddress, isParted);
  }
}
