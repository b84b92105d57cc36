// The store of sessions as one simulated gateway has it: each call takes its time there and back, and either way may be lost.

import type { Clock, Timer } from '../../src/base/clock.js';
import { HawserError } from '../../src/base/errors.js';
import { MemorySessionStore } from '../../src/sessions/store/memory-store.js';
import type {
  Compare,
  Range,
  SessionStore,
  StoreChange,
  StoreEntry,
  StoreLease,
  Transaction,
  TransactionResult,
  WatchListener,
  Write,
} from '../../src/sessions/store/store.js';
import type { Dice } from '../interaction/simulated-home.js';
import type { Process } from './simulated-process.js';

/** Who is told what is done in the store, in the order in which it is done. */
export interface StoreHistory {
  transacted(process: Process, transaction: Transaction, result: TransactionResult): void;
  granted(process: Process, lease: StoreLease): void;
  /** Its keys are gone. */
  leaseEnded(lease: StoreLease): void;
}

/** How the way to the store is. */
export interface StoreWay {
  /** One way, at the most. */
  readonly delayMs: number;
  /** The share of calls that are not carried out, whose answers are lost, and that arrive when nobody waits for them any more. */
  readonly lost: number;
  readonly unanswered: number;
  readonly late: number;
}

/** So long a gateway waits for an answer. */
const timeoutMs = 1000;
const latestMs = 6000;

export interface StoreOfGatewayOptions {
  readonly root: MemorySessionStore;
  readonly leaseTtlMs: number;
  readonly process: Process;
  readonly dice: Dice;
  readonly history: StoreHistory;
}

export class StoreOfGateway implements SessionStore {
  readonly shared = true;
  way: StoreWay = { delayMs: 5, lost: 0, unanswered: 0, late: 0 };
  readonly #options: StoreOfGatewayOptions;
  readonly #memory: MemorySessionStore;
  readonly #leases = new WeakMap<object, StoreLease>();
  readonly #listeners = new Set<WatchListener>();
  /** What it has to find out when the way is there again; undefined while it is. */
  #missed: (() => void)[] | undefined;
  /** Changes are told in their order. */
  #toldMs = 0;

  constructor(options: StoreOfGatewayOptions) {
    const { root, leaseTtlMs, process } = options;
    this.#options = options;
    const clock: Clock = {
      now: () => process.now(),
      wallNow: () => process.wallNow(),
      // A keep-alive of the lease that cannot be sent waits.
      setTimeout: (callback, delayMs): Timer => process.setTimeout(() => this.#whenJoined(callback), delayMs),
    };
    this.#memory = new MemorySessionStore({ sharedWith: root, clock, leaseTtlMs });
  }

  get isCutOff(): boolean {
    return this.#missed !== undefined;
  }

  /** Nothing gets through any more. What is on its way to the store arrives. */
  cutOff(): void {
    this.#missed ??= [];
  }

  join(): void {
    const missed = this.#missed;
    this.#missed = undefined;
    if (missed === undefined) return;
    const { process } = this.#options;
    for (const call of missed) process.receive(call);
    for (const listener of Array.from(this.#listeners)) this.#tell(listener, () => listener.reset());
  }

  read(range: Range): Promise<readonly StoreEntry[]> {
    return this.#ask(() => this.#memory.read(range));
  }

  txn({ compare, writes }: Transaction): Promise<TransactionResult> {
    const transaction = { compare, writes: writes.map((write) => this.#toMemory(write)) };
    return this.#ask(async () => {
      const result = await this.#memory.txn(transaction);
      this.#options.history.transacted(this.#options.process, transaction, result);
      return result;
    });
  }

  lease(gateway: string, value: (epoch: string) => Uint8Array): Promise<StoreLease> {
    const { process, history } = this.#options;
    return this.#ask(async () => {
      const lease = await this.#memory.lease(gateway, value);
      history.granted(process, lease);
      lease.ended.addEventListener('abort', () => history.leaseEnded(lease));
      const known = new LeaseOfGateway(lease, {
        ask: (carryOut) => this.#ask(carryOut),
        tell: (call) => this.#whenJoined(() => process.receive(call)),
      });
      this.#leases.set(known, lease);
      return known;
    });
  }

  watch(prefix: string, listener: WatchListener): Disposable {
    this.#listeners.add(listener);
    const tell = (call: () => void): void => {
      if (!this.isCutOff) this.#tell(listener, call);
    };
    const watch = this.#memory.watch(prefix, {
      changed: (changes: readonly StoreChange[]) => tell(() => listener.changed(changes)),
      reset: () => tell(() => listener.reset()),
    });
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
        watch[Symbol.dispose]();
      },
    };
  }

  close(): Promise<void> {
    return this.#memory.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #toMemory(write: Write): Write {
    if (write.type !== 'put' || write.lease === undefined) return write;
    const lease = this.#leases.get(write.lease);
    return lease === undefined ? write : { ...write, lease };
  }

  #whenJoined(call: () => void): void {
    if (this.#missed === undefined) call();
    else this.#missed.push(call);
  }

  #delayMs(): number {
    return this.#options.dice.random() * this.way.delayMs;
  }

  #tell(listener: WatchListener, call: () => void): void {
    const { process } = this.#options;
    const { clock } = process;
    this.#toldMs = Math.max(clock.now() + this.#delayMs(), this.#toldMs);
    const run = (): void => {
      if (this.#listeners.has(listener)) call();
    };
    clock.setTimeout(() => process.receive(run), this.#toldMs - clock.now());
  }

  #ask<T>(carryOut: () => Promise<T>): Promise<T> {
    const { process, dice } = this.#options;
    const { clock } = process;
    const { lost, unanswered, late } = this.way;
    const isLost = this.isCutOff || dice.chance(lost);
    const isLate = dice.chance(late);
    const isAnswered = !dice.chance(unanswered);
    return new Promise((resolve, reject) => {
      const error = new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', 'the simulated store does not answer');
      const deadline = process.setTimeout(() => reject(error), timeoutMs);
      const answer = (settle: () => void): void => {
        if (!isAnswered) return;
        const come = (): void => {
          if (this.isCutOff) return;
          process.receive(() => {
            deadline.clear();
            settle();
          });
        };
        clock.setTimeout(come, this.#delayMs());
      };
      const arrive = (): void =>
        void carryOut().then(
          (result) => answer(() => resolve(result)),
          (failure: unknown) => answer(() => reject(failure)),
        );
      if (!isLost) clock.setTimeout(arrive, isLate ? dice.between(timeoutMs, latestMs) : this.#delayMs());
    });
  }
}

interface LeaseWay {
  readonly ask: <T>(carryOut: () => Promise<T>) => Promise<T>;
  readonly tell: (call: () => void) => void;
}

/** A lease as its gateway knows it: whoever is cut off does not hear of its end. */
class LeaseOfGateway implements StoreLease {
  readonly gateway: string;
  readonly epoch: string;
  readonly fence: Compare;
  readonly #lease: StoreLease;
  readonly #way: LeaseWay;
  readonly #ended = new AbortController();
  #validUntilMs: number = Number.NEGATIVE_INFINITY;

  constructor(lease: StoreLease, way: LeaseWay) {
    this.gateway = lease.gateway;
    this.epoch = lease.epoch;
    this.fence = lease.fence;
    this.#lease = lease;
    this.#way = way;
    const ended = (): void => way.tell(() => this.#ended.abort());
    if (lease.ended.aborted) ended();
    else lease.ended.addEventListener('abort', ended);
  }

  get validUntilMs(): number {
    if (this.#ended.signal.aborted) return Number.NEGATIVE_INFINITY;
    // What has ended was valid until then, as far as the gateway knows.
    this.#validUntilMs = Math.max(this.#validUntilMs, this.#lease.validUntilMs);
    return this.#validUntilMs;
  }

  get ended(): AbortSignal {
    return this.#ended.signal;
  }

  release(): Promise<void> {
    return this.#way.ask(() => this.#lease.release());
  }
}
