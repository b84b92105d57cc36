// An agent in a simulated network: its documents change, it syncs them now and then, its process is killed and begins again.

import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { SyncAgent, SyncAgentOptions, SyncResult } from '../../src/sync/agent/agent.js';
import { SyncClient } from '../../src/sync/agent/sync-client.js';
import { syncConnector } from '../../src/sync/over-hawser.js';
import { MemoryQueue } from '../../src/sync/queue/memory-queue.js';
import type { Difference } from '../../src/sync/queue/queue.js';
import { checksumOf, documentSha1 } from '../../src/sync/store/checksum.js';
import { documentOf, type Fleet, numberOf } from './simulated-fleet.js';
import { Process, QueueOfProcess } from './simulated-processes.js';

export type Behaviour = Omit<SyncAgentOptions, 'module' | 'queue'>;

/** The documents of a module, which outlive its processes. */
export class Module {
  readonly agent: Agent;
  readonly name: string;
  readonly indices: readonly string[];
  readonly queue: MemoryQueue;
  readonly behaviour: Behaviour;
  readonly isVersioned: boolean;
  /** What the manager is to have in the end, by index and id. */
  readonly documents = new Map<string, Map<string, Uint8Array>>();
  /** The index that is to be deleted everywhere: it does not change until it is. */
  cleaning: string | undefined = undefined;
  /** Grows with each change. */
  #changes = 0;
  #isChanging = false;
  #isSyncing = false;
  /** Of the present process. */
  #sync: SyncAgent | undefined = undefined;
  #process: Process | undefined = undefined;

  constructor(agent: Agent, name: string, behaviour: Behaviour) {
    this.agent = agent;
    this.name = name;
    this.indices = [`${name}-a`, `${name}-b`];
    const { dice, clock } = agent.fleet;
    const snapshotItems = dice.chance(0.5) ? dice.magnitude(1, 1000) : 500_000;
    this.queue = new MemoryQueue({ wallNow: () => clock.wallNow(), snapshotItems: Math.ceil(snapshotItems) });
    this.behaviour = behaviour;
    this.isVersioned = agent.fleet.dice.chance(0.5);
    for (const index of this.indices) this.documents.set(index, new Map());
  }

  /** Whether a call waits for its outcome. */
  get isBusy(): boolean {
    return this.#isChanging || this.#isSyncing;
  }

  get isSettled(): boolean {
    const { pending, syncing } = this.queue.counts;
    return pending + syncing === 0 && this.cleaning === undefined;
  }

  start(process: Process, client: SyncClient): void {
    this.#process = process;
    this.#isChanging = false;
    this.#isSyncing = false;
    const queue = new QueueOfProcess(this.queue, process, (differences) => this.#accepted(differences));
    const metadata = { agentName: this.agent.name, groups: ['default', 'simulated'] };
    this.#sync = client.agent({ metadata, ...this.behaviour, module: this.name, queue });
    this.#sync.on('listenerError', (error, source) => this.#problem(`${source} threw ${error}`));
  }

  stop(): void {
    this.#sync?.stop();
    this.#sync?.reset();
  }

  get #present(): SyncAgent {
    if (this.#sync === undefined) throw new Error('there is no process yet');
    return this.#sync;
  }

  #problem(what: string): void {
    this.agent.fleet.problem(`${this.agent.name} ${this.name}: ${what}`);
  }

  // ---- Changes -----------------------------------------------------------------------------------------------------

  /** Some documents change. */
  change(): void {
    if (this.#isChanging) return;
    const { dice } = this.agent.fleet;
    const differences = new Map<string, Difference>();
    for (let count = dice.magnitude(1, 150); count > 0; --count) {
      const index = dice.pick(this.indices);
      const id = `id ${dice.magnitude(1, 100)}`;
      if (index !== this.cleaning && !differences.has(`${index}/${id}`)) {
        differences.set(`${index}/${id}`, this.#difference(index, id));
      }
    }
    if (differences.size === 0) return;
    this.#isChanging = true;
    void this.#ended(this.#present.persistDifferences([...differences.values()]), () => {
      this.#isChanging = false;
    });
  }

  #difference(index: string, id: string): Difference {
    const { dice } = this.agent.fleet;
    if (dice.chance(0.05)) return this.#context(id);
    const isThere = this.documents.get(index)?.has(id) === true;
    if (isThere && dice.chance(0.3)) return { index, id, operation: 'DELETE', data: new Uint8Array() };
    const n = this.agent.fleet.nextNumber();
    const data = documentOf(n, dice.magnitude(1, 3000));
    return { index, id, operation: isThere ? 'MODIFY' : 'CREATE', data, version: this.#versionOf(n) };
  }

  /** What the manager is told, and does not keep. */
  #context(id: string): Difference {
    const data = documentOf(this.agent.fleet.nextNumber(), 10);
    return { index: `${this.name}-context`, id, operation: 'MODIFY', data, isContext: true };
  }

  #versionOf(n: number): bigint {
    return this.isVersioned ? BigInt(n) : 0n;
  }

  #accepted(differences: readonly Difference[]): void {
    ++this.#changes;
    for (const { index, id, operation, data } of differences) {
      if (operation === 'DELETE') this.documents.get(index)?.delete(id);
      else this.documents.get(index)?.set(id, data);
    }
  }

  // ---- Syncs -------------------------------------------------------------------------------------------------------

  /** Anything that an application may ask for. */
  act(): void {
    const { dice } = this.agent.fleet;
    if (this.#isSyncing) return;
    const what = dice.random();
    if (what < 0.7) this.sync();
    else if (what < 0.8) this.#full();
    else if (what < 0.9) this.#check();
    else if (what < 0.95) this.#clean(this.cleaning ?? dice.pick(this.indices));
    else this.#group();
  }

  /** What is to be told is. */
  sync(): void {
    if (this.#isSyncing) return;
    if (this.cleaning !== undefined) {
      this.#clean(this.cleaning);
      return;
    }
    const before = this.#changes;
    const { pending, syncing } = this.queue.counts;
    this.#synced(this.#present.synchronizeModule('DELTA'), (result) => {
      if (!result.success || this.#changes !== before) return;
      this.#expectEqual(`after a sync of ${pending} behind ${syncing}`);
    });
  }

  /** Everything anew, from memory. */
  #full(): void {
    // What is being deleted is not to be told of any more.
    if (this.#isChanging) return;
    const before = this.#changes;
    const sync = this.#present;
    if (sync.inMemoryCount > 0) sync.clearInMemoryData();
    for (const [index, documents] of this.documents) {
      for (const [id, data] of documents) {
        const version = this.#versionOf(numberOf(data));
        sync.persistDifferenceInMemory(id, 'CREATE', index, data, { version });
      }
    }
    const indices = this.indices.filter((index) => (this.documents.get(index)?.size ?? 0) > 0);
    this.#synced(sync.synchronizeModule('FULL'), (result) => {
      if (result.success && this.#changes === before) {
        for (const index of indices) this.#expectEqualIndex(index, 'after a FULL');
      }
      if (!result.success && indices.length > 0 && sync.inMemoryCount === 0)
        this.#problem('lost what was in memory');
    });
  }

  /** A comparison says what is true, or that it does not know. */
  #check(): void {
    const index = this.agent.fleet.dice.pick(this.indices);
    const documents = this.documents.get(index) ?? new Map<string, Uint8Array>();
    const [before, isTold] = [this.#changes, this.isSettled];
    const checksum = checksumOf([...documents.values()].map((data) => documentSha1(data)));
    this.#isSyncing = true;
    const asked = this.#present.requiresFullSync(index, checksum).then((answer) => {
      if (this.#changes !== before) return;
      if (answer === 'mismatch' && isTold) this.#problem(`${index} is said to differ`);
      if (answer === 'valid') this.#expectEqualIndex(index, 'after it was said to be equal');
    });
    void this.#ended(asked, () => {
      this.#isSyncing = false;
    });
  }

  /** An index goes, here and there; again and again until it has. */
  #clean(index: string): void {
    if (this.#isChanging) return;
    this.cleaning = index;
    this.#synced(this.#present.notifyDataClean([index]), (result) => {
      if (!result.success) return;
      this.cleaning = undefined;
      this.documents.get(index)?.clear();
      ++this.#changes;
      this.#expectEqualIndex(index, 'after it was deleted');
    });
  }

  #group(): void {
    const mode = this.agent.fleet.dice.pick(['METADATA_DELTA', 'GROUP_DELTA'] as const);
    this.#synced(this.#present.synchronizeMetadataOrGroups(mode, this.indices, 1n), () => undefined);
  }

  #synced(sync: Promise<SyncResult>, ended: (result: SyncResult) => void): void {
    this.#isSyncing = true;
    void this.#ended(sync.then(ended), () => {
      this.#isSyncing = false;
    });
  }

  /** Nothing may reject; nobody waits for what a process that was killed began. */
  async #ended(promise: Promise<void>, done: () => void): Promise<void> {
    const process = this.#process;
    try {
      await promise;
    } catch (error) {
      if (process?.isAlive) this.#problem(`rejected with ${error}`);
    }
    if (process === this.#process) done();
  }

  // ---- What the manager has ----------------------------------------------------------------------------------------

  #expectEqual(when: string): void {
    for (const index of this.indices) this.#expectEqualIndex(index, when);
  }

  #expectEqualIndex(index: string, when: string): void {
    const there = new Map(
      Array.from(
        this.agent.fleet.store.documents(this.agent.name, index),
        ({ id, data }) => [id, data] as const,
      ),
    );
    const wanted = this.documents.get(index) ?? new Map<string, Uint8Array>();
    for (const [id, data] of wanted) {
      const stored = there.get(id);
      if (stored === undefined) this.#problem(`${index}/${id} is missing ${when}`);
      else if (Buffer.compare(stored, data) !== 0) this.#problem(`${index}/${id} is another ${when}`);
    }
    for (const id of there.keys()) if (!wanted.has(id)) this.#problem(`${index}/${id} is a ghost ${when}`);
  }

  /** Both sides are equal. */
  expectTold(): void {
    const { pending, syncing } = this.queue.counts;
    if (pending + syncing > 0) this.#problem(`has ${pending} and ${syncing} to tell`);
    this.#expectEqual('at the end');
  }
}

/** An agent and its modules. */
export class Agent {
  readonly fleet: Fleet;
  readonly name: string;
  readonly modules: readonly Module[];
  readonly #number: number;
  #incarnations = 0;
  #process: Process | undefined = undefined;
  #client: SyncClient | undefined = undefined;
  #host = '';

  constructor(fleet: Fleet, number: number, modules: number, behaviour: () => Behaviour) {
    this.fleet = fleet;
    this.name = String(number);
    this.#number = number;
    this.modules = Array.from(
      { length: modules },
      (_, each) => new Module(this, `module${each}`, behaviour()),
    );
  }

  start(): void {
    const { fleet } = this;
    const process = new Process(fleet.clock, fleet.dice);
    // A host of its own for each process: what the last one left in the network is not its own.
    this.#host = `10.1.${++this.#incarnations}.${this.#number}`;
    const client = new SyncClient({
      connector: syncConnector(() => fleet.token(BigInt(this.#number)), {
        network: fleet.network,
        address: `${this.#host}:0`,
      }),
      wheel: new TimingWheel(process, (error) => fleet.problem(`a timer of ${this.name} threw ${error}`)),
      random: fleet.dice.random,
    });
    client.on('listenerError', (error, source) => fleet.problem(`${source} of ${this.name} threw ${error}`));
    this.#process = process;
    this.#client = client;
    for (const module of this.modules) module.start(process, client);
    client.connect().catch((error: unknown) => {
      if (process.isAlive) fleet.problem(`${this.name} could not connect: ${error}`);
    });
  }

  /** Another process of the same agent takes the place of this one, which had no time to say so. */
  restart(): void {
    if (this.#process !== undefined) this.#process.isAlive = false;
    this.fleet.part(this.#host, true);
    void this.#client?.close();
    this.start();
  }

  part(isParted: boolean): void {
    this.fleet.part(this.#host, isParted);
  }

  async close(): Promise<void> {
    await this.#client?.close();
  }
}
