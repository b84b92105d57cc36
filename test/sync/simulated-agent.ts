// An agent in a simulated network: its documents change, it syncs them now and then, its process is killed and begins again.

import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { SyncAgent, SyncAgentOptions, SyncResult } from '../../src/sync/agent/agent.js';
import { SyncClient } from '../../src/sync/agent/sync-client.js';
import { syncConnector } from '../../src/sync/over-hawser.js';
import { MemoryQueue } from '../../src/sync/queue/memory-queue.js';
import type { Difference } from '../../src/sync/queue/queue.js';
import { checksumOf, documentSha1 } from '../../src/sync/store/checksum.js';
import { type Fleet, forbiddenSuffix, numberOf } from './simulated-fleet.js';
import { Process, QueueOfProcess } from './simulated-processes.js';

export type Behaviour = Omit<SyncAgentOptions, 'module' | 'queue'>;

/** The documents of a module, which outlive its processes. */
export class Module {
  readonly agent: Agent;
  readonly name: string;
  readonly indices: readonly string[];
  readonly queue: MemoryQueue;
  readonly behaviour: Behaviour;
  /** Which documents have a version, that of a later one being greater: none, all, or this one and not the next. */
  readonly versions: 'none' | 'all' | 'some';
  /** What the manager is to have in the end, by index and id. */
  readonly documents = new Map<string, Map<string, Uint8Array>>();
  /** The index that is to be deleted everywhere. */
  cleaning: string | undefined = undefined;
  /** The ids of that index that changed after the last attempt to delete it began: these stay. */
  readonly #sinceMark = new Set<string>();
  /** What a FULL may have told already and the queue is yet to hear of, whatever becomes of the FULL and of the process. */
  #intended: readonly Difference[] | undefined = undefined;
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
    const { dice, clock, maxSnapshotItems } = agent.fleet;
    const snapshotItems = dice.chance(0.5)
      ? dice.between(1, Math.min(1000, maxSnapshotItems))
      : maxSnapshotItems;
    this.queue = new MemoryQueue({ wallNow: () => clock.wallNow(), snapshotItems });
    this.behaviour = behaviour;
    this.versions = dice.pick(['none', 'all', 'some']);
    for (const index of this.indices) this.documents.set(index, new Map());
  }

  /** Whether a call waits for its outcome. */
  get isBusy(): boolean {
    return this.#isChanging || this.#isSyncing;
  }

  get isSettled(): boolean {
    const { pending, syncing } = this.queue.counts;
    return pending + syncing === 0 && this.cleaning === undefined && this.#intended === undefined;
  }

  start(process: Process, client: SyncClient): void {
    this.#process = process;
    this.#isChanging = false;
    this.#isSyncing = false;
    const queue = new QueueOfProcess(this.queue, process, {
      accepted: (differences) => this.#accepted(differences),
      marked: () => this.#sinceMark.clear(),
    });
    const metadata = { agentName: this.agent.name, groups: ['default', 'simulated'] };
    this.#sync = client.agent({ metadata, ...this.behaviour, module: this.name, queue });
    this.#sync.on('listenerError', (error, source) => this.#problem(`${source} threw ${error}`));
    // The process before may have told it.
    this.#submitIntended(true);
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
    if (this.#isChanging || this.#intended !== undefined) return;
    const { dice } = this.agent.fleet;
    const differences = new Map<string, Difference>();
    for (let count = dice.magnitude(1, 150); count > 0; --count) {
      const index = dice.pick(this.indices);
      const id = `id ${dice.magnitude(1, 100)}`;
      if (!differences.has(`${index}/${id}`)) {
        differences.set(`${index}/${id}`, this.#difference(index, id));
      }
    }
    this.#submit([...differences.values()], () => undefined);
  }

  #submit(differences: readonly Difference[], done: () => void): void {
    this.#isChanging = true;
    void this.#ended(this.#present.persistDifferences(differences), () => {
      this.#isChanging = false;
      done();
    });
  }

  /** @param isKnown whether the manager may have heard of it for certain: who said then that it is new would be wrong. */
  #submitIntended(isKnown: boolean): void {
    const intended = this.#intended;
    if (intended === undefined || this.#isChanging) return;
    const differences = intended.map((each) => (isKnown ? { ...each, operation: 'MODIFY' as const } : each));
    const { dice } = this.agent.fleet;
    this.#submit(differences, () => {
      this.#intended = undefined;
      if (isKnown || !dice.chance(0.5)) return;
      // Of what the FULL may tell, or may have told, some goes again, be it in the next process.
      if (dice.chance(0.5)) this.agent.restart();
      const gone = intended.filter(() => dice.chance(0.5));
      this.#submit(
        gone.map((each) => ({ ...each, operation: 'DELETE', data: new Uint8Array() })),
        () => undefined,
      );
    });
  }

  #difference(index: string, id: string): Difference {
    const { dice } = this.agent.fleet;
    if (dice.chance(0.05)) return this.#context(id);
    if (dice.chance(0.05)) return this.#forbidden(id);
    const isThere = this.documents.get(index)?.has(id) === true;
    if (isThere && dice.chance(0.3)) return { index, id, operation: 'DELETE', data: new Uint8Array() };
    const { n, data } = this.agent.fleet.document();
    return { index, id, operation: isThere ? 'MODIFY' : 'CREATE', data, version: this.#versionOf(n) };
  }

  /** What the manager is told, and does not keep. */
  #context(id: string): Difference {
    const { data } = this.agent.fleet.document();
    return { index: `${this.name}-context`, id, operation: 'MODIFY', data, isContext: true };
  }

  /** What the manager does not take. */
  #forbidden(id: string): Difference {
    const { data } = this.agent.fleet.document();
    return { index: `${this.name}${forbiddenSuffix}`, id, operation: 'MODIFY', data };
  }

  #versionOf(n: number): bigint {
    const has = { none: false, all: true, some: n % 2 === 0 };
    return has[this.versions] ? BigInt(n) : 0n;
  }

  #accepted(differences: readonly Difference[]): void {
    ++this.#changes;
    for (const { index, id, operation, data } of differences) {
      if (index === this.cleaning) this.#sinceMark.add(id);
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
    const isIntended = this.#intended !== undefined;
    const { pending, syncing } = this.queue.counts;
    this.#synced(this.#present.synchronizeModule('DELTA'), (result) => {
      if (!result.success || this.#changes !== before || isIntended) return;
      this.#expectEqual(`after a sync of ${pending} behind ${syncing}`);
    });
  }

  /** Everything anew, from memory; and perhaps what the queue hears of only then. */
  #full(): void {
    if (this.#isChanging || this.#intended !== undefined) return;
    const { dice, clock } = this.agent.fleet;
    const before = this.#changes;
    const sync = this.#present;
    if (sync.inMemoryCount > 0) sync.clearInMemoryData();
    const created = dice.chance(0.5) ? this.#creations() : [];
    for (const { index, id, data } of [...this.#all(), ...created]) {
      const version = this.#versionOf(numberOf(data));
      sync.persistDifferenceInMemory(id, 'CREATE', index, data, { version });
    }
    const indices = this.indices.filter((index) => (this.documents.get(index)?.size ?? 0) > 0);
    let isTold = false;
    this.#synced(sync.synchronizeModule('FULL'), (result) => {
      isTold = result.success;
      if (result.success && this.#changes === before && created.length === 0) {
        for (const index of indices) this.#expectEqualIndex(index, 'after a FULL');
      }
      if (!result.success && indices.length > 0 && sync.inMemoryCount === 0)
        this.#problem('lost what was in memory');
    });
    if (created.length === 0) return;
    this.#intended = created;
    const process = this.#process;
    clock.setTimeout(
      () => {
        if (process === this.#process) this.#submitIntended(isTold);
      },
      dice.magnitude(1, 3000),
    );
  }

  #all(): { readonly index: string; readonly id: string; readonly data: Uint8Array }[] {
    return [...this.documents].flatMap(([index, documents]) =>
      Array.from(documents, ([id, data]) => ({ index, id, data })),
    );
  }

  /** Some documents that there are not yet. */
  #creations(): Difference[] {
    const { dice } = this.agent.fleet;
    const created: Difference[] = [];
    for (let count = dice.between(1, 10); count > 0; --count) {
      const index = dice.pick(this.indices);
      const id = `id ${dice.between(1, 100)}`;
      const isDrawn = created.some((each) => each.index === index && each.id === id);
      if (isDrawn || this.documents.get(index)?.has(id)) continue;
      const { n, data } = this.agent.fleet.document();
      created.push({ index, id, operation: 'CREATE', data, version: this.#versionOf(n) });
    }
    return created;
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
    this.cleaning = index;
    this.#synced(this.#present.notifyDataClean([index]), (result) => {
      if (!result.success) return;
      this.cleaning = undefined;
      const documents = this.documents.get(index) ?? new Map<string, Uint8Array>();
      for (const id of [...documents.keys()]) if (!this.#sinceMark.has(id)) documents.delete(id);
      ++this.#changes;
      if (this.#sinceMark.size === 0) this.#expectEqualIndex(index, 'after it was deleted');
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
    const index = `${this.name}${forbiddenSuffix}`;
    if (!this.agent.fleet.store.documents(this.agent.name, index).next().done)
      this.#problem(`has documents of ${index}`);
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
  #isClosed = false;

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
      if (process.isAlive && !this.#isClosed) fleet.problem(`${this.name} could not connect: ${error}`);
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
    this.#isClosed = true;
    await this.#client?.close();
  }
}
