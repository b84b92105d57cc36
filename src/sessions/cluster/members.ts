// The gateways that hold a lease of a store.

import type { Random } from '../../base/random.js';
import type { TimingWheel } from '../../base/timing-wheel.js';
import { prefixes } from '../store/keys.js';
import { decodeGateway, type GatewayRecord, type OwnerRecord } from '../store/records.js';
import type { SessionStore, StoreEntry } from '../store/store.js';
import { WatchedKeys } from './watched-keys.js';

export interface MembersOptions {
  readonly store: SessionStore;
  readonly wheel: TimingWheel;
  readonly random: Random;
}

export interface MembersListener {
  /** A gateway has taken a lease, perhaps another one than before. */
  joined(gateway: string, member: GatewayRecord): void;
  /** Its lease is over. */
  left(gateway: string, member: GatewayRecord): void;
}

/** Who lives, as the store says: the gateways of which it has a key. */
export class Members implements Disposable {
  readonly #keys: WatchedKeys;
  readonly #members = new Map<string, GatewayRecord>();
  readonly #listeners = new Set<MembersListener>();

  constructor({ store, wheel, random }: MembersOptions) {
    const changed = (key: string, entry: StoreEntry | undefined): void =>
      this.#changed(key.slice(prefixes.gateways.length), entry);
    const loaded = (): void => undefined;
    this.#keys = new WatchedKeys({ store, prefix: prefixes.gateways, wheel, random, changed, loaded });
  }

  /** Whether the store has been asked: before that nobody seems to live. */
  get isLoaded(): boolean {
    return this.#keys.isLoaded;
  }

  start(): void {
    this.#keys.start();
  }

  /** @returns undefined for a gateway that holds no lease. */
  get(gateway: string): GatewayRecord | undefined {
    return this.#members.get(gateway);
  }

  /** Every gateway with its record, in no order. */
  all(): IterableIterator<[string, GatewayRecord]> {
    return this.#members.entries();
  }

  /** Whether the gateway that wrote that record still holds the lease by which it did. */
  isAlive({ gateway, epoch }: OwnerRecord): boolean {
    return this.#members.get(gateway)?.epoch === epoch;
  }

  /** @returns what ends it. */
  listen(listener: MembersListener): Disposable {
    this.#listeners.add(listener);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(listener);
      },
    };
  }

  [Symbol.dispose](): void {
    this.#keys[Symbol.dispose]();
    this.#listeners.clear();
  }

  #changed(gateway: string, entry: StoreEntry | undefined): void {
    const before = this.#members.get(gateway);
    const member = entry && recordOf(entry);
    if (member !== undefined) this.#members.set(gateway, member);
    else this.#members.delete(gateway);
    if (before?.epoch === member?.epoch) return;
    for (const listener of Array.from(this.#listeners)) {
      if (before !== undefined) listener.left(gateway, before);
      if (member !== undefined) listener.joined(gateway, member);
    }
  }
}

/** Of a key that somebody else wrote nothing is known: no gateway of this version lives there. */
function recordOf({ value }: StoreEntry): GatewayRecord | undefined {
  try {
    return decodeGateway(value);
  } catch {
    return undefined;
  }
}
