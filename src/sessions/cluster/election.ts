// Which of the gateways leads: whoever put the key of the election under its lease.

import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import { electionKey } from '../store/keys.js';
import { decodeLeader, encodeLeader, type LeaderRecord } from '../store/records.js';
import type { Compare, SessionStore, StoreEntry, StoreLease } from '../store/store.js';
import type { Election, ElectionListener } from './contracts.js';
import { WatchedKeys } from './watched-keys.js';

export interface StoreElectionOptions {
  readonly store: SessionStore;
  /** 1 to 1,022 bytes of UTF-8, the last one an ASCII character. */
  readonly name: string;
  readonly gateway: string;
  /** As of `GatewayRecord`. */
  readonly advertise: string;
  /** What this gateway holds. */
  readonly lease: () => StoreLease | undefined;
  readonly wheel: TimingWheel;
  readonly random: Random;
  readonly listener: ElectionListener;
}

/** All gateways hear at once that nobody leads any more: they try at different times. */
const spreadMs = 100;
/** So soon it is tried again while nobody leads: without a lease, or when the store could not be reached. */
const tryAgainMs = 250;

/** Tries to lead whenever nobody does. Listeners hear nothing after `close`. */
export class StoreElection implements Election {
  readonly #options: StoreElectionOptions;
  readonly #key: string;
  readonly #keys: WatchedKeys;
  readonly #timer = new WheelTimer(() => this.#try());
  /** By what it leads. */
  #led: { readonly lease: StoreLease; readonly fence: Compare } | undefined;
  #leader: LeaderRecord | undefined;
  #trying: Promise<void> | undefined;
  #isClosed = false;

  constructor(options: StoreElectionOptions) {
    const { store, wheel, random } = options;
    this.#options = options;
    this.#key = electionKey(options.name);
    this.#keys = new WatchedKeys({
      store,
      prefix: this.#key,
      wheel,
      random,
      changed: () => this.#look(),
      loaded: () => this.#look(),
    });
  }

  get isLeader(): boolean {
    return this.#led !== undefined;
  }

  get fence(): Compare | undefined {
    return this.#led?.fence;
  }

  get leader(): string | undefined {
    return this.#leader?.advertise;
  }

  start(): void {
    this.#keys.start();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#keys[Symbol.dispose]();
    this.#options.wheel.cancel(this.#timer);
    await this.#trying;
    await this.#resign();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // ---- What is known -----------------------------------------------------------------------------------------------

  /** Draws the conclusions from what is under the key. */
  #look(): void {
    if (this.#isClosed) return;
    const entry = this.#keys.get(this.#key);
    const leader = entry && recordOf(entry);
    const before = this.#leader;
    this.#leader = leader;
    this.#setLed(entry, leader);
    if (leader?.gateway !== before?.gateway || leader?.advertise !== before?.advertise) {
      this.#options.listener.leaderChanged(leader?.advertise);
    }
    if (entry === undefined && this.#keys.isLoaded) this.#tryIn(this.#options.random() * spreadMs);
  }

  /** This gateway leads while what is under the key was put there under the lease that it holds. */
  #setLed(entry: StoreEntry | undefined, leader: LeaderRecord | undefined): void {
    const lease = this.#options.lease();
    const isOwn =
      entry !== undefined && lease !== undefined && !lease.ended.aborted && this.#isBy(lease, leader);
    const isSame = isOwn && this.#led?.lease === lease && this.#led.fence.revision === entry.revision;
    if (isSame) return;
    if (this.#led !== undefined) this.#depose();
    if (!isOwn) return;
    const led = { lease, fence: { key: this.#key, revision: entry.revision } };
    this.#led = led;
    const ended = (): void => {
      if (this.#led === led && !this.#isClosed) this.#depose();
    };
    lease.ended.addEventListener('abort', ended, { once: true });
    this.#options.listener.elected(led.fence);
  }

  #depose(): void {
    this.#led = undefined;
    this.#options.listener.deposed();
  }

  // ---- What is done ------------------------------------------------------------------------------------------------

  #tryIn(delayMs: number): void {
    const { wheel } = this.#options;
    if (!this.#isClosed && !this.#timer.armed) wheel.schedule(this.#timer, wheel.clock.now() + delayMs);
  }

  #try(): void {
    if (this.#trying !== undefined || this.#keys.get(this.#key) !== undefined) return;
    this.#trying = this.#campaign().finally(() => {
      this.#trying = undefined;
      // Whoever led instead is told by the watch.
      if (this.#keys.get(this.#key) === undefined) this.#tryIn(tryAgainMs);
    });
  }

  async #campaign(): Promise<void> {
    const { store, gateway, advertise } = this.#options;
    const lease = this.#options.lease();
    if (lease === undefined) return;
    const value = encodeLeader({ gateway, epoch: lease.epoch, advertise });
    try {
      const result = await store.txn({
        compare: [{ key: this.#key, revision: 0 }, lease.fence],
        writes: [{ type: 'put', key: this.#key, value, lease }],
      });
      if (!result.committed) return;
      const { revision } = result;
      this.#keys.learn({ key: this.#key, entry: { key: this.#key, value, revision }, revision });
    } catch {
      // Whether it was committed the watch tells; if not, it is tried again.
    }
  }

  /** What cannot be given up ends with the lease. */
  async #resign(): Promise<void> {
    const lease = this.#led?.lease ?? this.#options.lease();
    this.#led = undefined;
    const entry = this.#keys.get(this.#key);
    if (entry === undefined || lease === undefined || !this.#isBy(lease, recordOf(entry))) return;
    const compare = [{ key: this.#key, revision: entry.revision }];
    await this.#options.store
      .txn({ compare, writes: [{ type: 'delete', key: this.#key }] })
      .catch(() => undefined);
  }

  /** Whether this gateway leads by that lease. */
  #isBy(lease: StoreLease, leader: LeaderRecord | undefined): boolean {
    return leader?.gateway === this.#options.gateway && leader.epoch === lease.epoch;
  }
}

/** @returns undefined for what is no record: somebody leads of whom nothing is known. */
function recordOf({ value }: StoreEntry): LeaderRecord | undefined {
  try {
    return decodeLeader(value);
  } catch {
    return undefined;
  }
}
