// Gateways of a store in memory, in virtual time.

import { seededRandom } from '../../../src/base/random.js';
import type { ElectionListener, GatewayLeaseListener } from '../../../src/sessions/cluster/contracts.js';
import { StoreElection } from '../../../src/sessions/cluster/election.js';
import { KeptLease } from '../../../src/sessions/cluster/gateway-lease.js';
import { ownerKey, prefixRange } from '../../../src/sessions/store/keys.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import { encodeOwner, type OwnerRecord } from '../../../src/sessions/store/records.js';
import type { Compare, StoreLease } from '../../../src/sessions/store/store.js';
import { settled, VirtualTime } from '../../interaction/virtual-time.js';
import { FaultyStore } from './faulty-store.js';

export const leaseTtlMs = 10_000;

export class ClusterWorld {
  readonly time = new VirtualTime();
  /** What an onlooker sees. */
  readonly store: MemorySessionStore = new MemorySessionStore({ clock: this.time.clock, leaseTtlMs });
  #seed = 0;

  /** @param seed of what it leaves to chance. */
  gateway(name: string, advertise = `${name}.example:4000`, seed: number = ++this.#seed): Gateway {
    return new Gateway(this, name, advertise, seed);
  }

  /** Lets everything happen that does not wait for time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 10; ++turn) await settled();
  }

  async pass(ms: number): Promise<void> {
    await this.time.passTo(this.time.nowMs + ms);
    await this.settle();
  }

  async keys(prefix: string): Promise<string[]> {
    return (await this.store.read(prefixRange(prefix))).map(({ key }) => key);
  }

  /** Writes an owner record. */
  async own(sessionId: string, gateway: string, epoch: string): Promise<void> {
    const value = encodeOwner(ownerOf(gateway, epoch));
    await this.store.txn({ compare: [], writes: [{ type: 'put', key: ownerKey(sessionId), value }] });
  }
}

export function ownerOf(gateway: string, epoch: string): OwnerRecord {
  const capabilities = new Map([['hawser', '1']]);
  return { gateway, epoch, identity: 'i', capabilities, delivery: 'exactly-once', createdAt: 0 };
}

/** Its lease, and perhaps its election, with what they told. */
export class Gateway implements GatewayLeaseListener, ElectionListener {
  readonly name: string;
  readonly advertise: string;
  readonly store: FaultyStore;
  readonly lease: KeptLease;
  readonly election: StoreElection;
  readonly told: string[] = [];
  /** What it does when it hears one of these. */
  readonly when: { obtained?: (lease: StoreLease) => void } = {};
  readonly #memory: MemorySessionStore;

  constructor(world: ClusterWorld, name: string, advertise: string, seed: number) {
    this.name = name;
    this.advertise = advertise;
    this.#memory = new MemorySessionStore({ sharedWith: world.store, leaseTtlMs });
    this.store = new FaultyStore(this.#memory);
    const { store } = this;
    const shared = {
      store,
      gateway: name,
      advertise,
      wheel: world.time.wheel,
      random: seededRandom(seed),
      listener: this,
    };
    this.lease = new KeptLease({ ...shared, startedAt: 0 });
    this.election = new StoreElection({ ...shared, name: 'leader', lease: () => this.lease.current });
  }

  /** It is gone without a word: as a process that is killed, whose lease the store has ended. */
  async die(): Promise<void> {
    await this.#memory.close();
  }

  obtained(lease: StoreLease): void {
    this.told.push(`obtained ${lease.epoch}`);
    this.when.obtained?.(lease);
  }

  lost(lease: StoreLease): void {
    this.told.push(`lost ${lease.epoch}`);
  }

  validChanged(valid: boolean): void {
    this.told.push(valid ? 'valid' : 'not valid');
  }

  elected(fence: Compare): void {
    this.told.push(`elected ${fence.key}`);
  }

  deposed(): void {
    this.told.push('deposed');
  }

  leaderChanged(leader: string | undefined): void {
    this.told.push(`leader ${leader ?? 'none'}`);
  }
}
