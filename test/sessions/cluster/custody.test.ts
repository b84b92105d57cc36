// The sessions of gateways that are gone.

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../../src/base/errors.js';
import { seededRandom } from '../../../src/base/random.js';
import type { CustodyHost } from '../../../src/sessions/cluster/contracts.js';
import { OrphanCustody } from '../../../src/sessions/cluster/custody.js';
import { Members } from '../../../src/sessions/cluster/members.js';
import { StoreOwnerWatch } from '../../../src/sessions/cluster/owner-watch.js';
import type { RemovalTarget } from '../../../src/sessions/server/session.js';
import { ownerKey } from '../../../src/sessions/store/keys.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import type { OwnerRecord } from '../../../src/sessions/store/records.js';
import { ClusterWorld, type Gateway } from './cluster-world.js';
import { FaultyStore } from './faulty-store.js';

const graceMs = 60_000;

/** The gateway that leads. */
class Leader implements CustodyHost, AsyncDisposable {
  readonly world = new ClusterWorld();
  readonly store = new FaultyStore(new MemorySessionStore({ sharedWith: this.world.store }));
  readonly members: Members;
  readonly owners: StoreOwnerWatch = new StoreOwnerWatch(this.store);
  readonly custody: OrphanCustody;
  /** Ids with the time at which they were expired. */
  readonly expired: string[] = [];
  may = true;
  /** So many more may be expired. */
  allowed: number = Number.POSITIVE_INFINITY;
  /** How many are being expired, and were at most. */
  running = 0;
  most = 0;
  /** What expiring waits for before it asks the store. */
  before: Promise<void> | undefined;
  /** The next so many times expiring fails. */
  failing = 0;
  /** Who seems to live although it does not, or the other way round. */
  isAlive: ((owner: OwnerRecord) => boolean) | undefined;

  constructor() {
    const { store, owners } = this;
    const { wheel } = this.world.time;
    const random = seededRandom(1);
    this.members = new Members({ store, wheel, random });
    this.custody = new OrphanCustody({
      store,
      owners,
      members: this.members,
      host: this,
      graceMs,
      wheel,
      random,
    });
    this.members.start();
  }

  isOwnerAlive(owner: OwnerRecord): boolean {
    return this.isAlive?.(owner) ?? this.members.isAlive(owner);
  }

  mayExpire(): boolean {
    return this.may && this.allowed > 0;
  }

  async expire({ id, ownerRevision }: RemovalTarget): Promise<void> {
    --this.allowed;
    this.most = Math.max(this.most, ++this.running);
    try {
      const key = ownerKey(id);
      const compare = [{ key, revision: ownerRevision }];
      await this.before;
      if (this.failing > 0) {
        --this.failing;
        throw new HawserError('ERR_HAWSER_STORE_UNAVAILABLE', 'it fails');
      }
      const { committed } = await this.store.txn({ compare, writes: [{ type: 'delete', key }] });
      this.expired.push(`${id}${committed ? '' : ' not'} at ${this.world.time.nowMs}`);
    } finally {
      --this.running;
    }
  }

  /** A gateway with a lease and so many sessions. */
  async gateway(name: string, sessions: number): Promise<Gateway> {
    const gateway = this.world.gateway(name);
    await gateway.lease.start();
    const epoch = gateway.lease.current?.epoch ?? '';
    for (let n = 0; n < sessions; ++n) await this.world.own(`${name}-${n}`, name, epoch);
    await this.world.settle();
    return gateway;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.custody.close();
    this.owners[Symbol.dispose]();
    this.members[Symbol.dispose]();
    await this.store.close();
    await this.world.store.close();
  }
}

describe('custody', () => {
  test('takes the sessions without a living owner that it finds, and expires them in the first second after their grace', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await leader.gateway('living', 5);
    for (const id of ['a', 'b']) await world.own(id, 'gone', '7');
    await world.pass(500);
    custody.begin();
    custody.begin();
    await world.settle();
    expect(custody.size).toBe(2);
    await world.pass(graceMs);
    expect(leader.expired).toEqual([]);
    await world.pass(500);
    expect(leader.expired).toEqual(['a at 61000', 'b at 61000']);
    expect(custody.size).toBe(0);
    await world.pass(10 * graceMs);
    expect(leader.expired).toHaveLength(2);
    expect(await world.keys('o/')).toHaveLength(5);
  });

  test('takes the sessions of a gateway when its lease ends, and of no other', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await leader.gateway('one', 3);
    const two = await leader.gateway('two', 2);
    custody.begin();
    await world.pass(10_000);
    expect(custody.size).toBe(0);
    await two.die();
    await world.settle();
    expect(custody.size).toBe(2);
    await world.pass(graceMs + 1000);
    expect(leader.expired).toEqual(['two-0 at 71000', 'two-1 at 71000']);
    expect(await world.keys('o/')).toEqual(['o/one-0', 'o/one-1', 'o/one-2']);
  });

  test('takes the sessions that a gateway had under an earlier lease', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await leader.gateway('one', 2);
    custody.begin();
    await world.settle();
    const again = world.gateway('one');
    await again.lease.start();
    await world.settle();
    expect(custody.size).toBe(2);
    await world.own('one-0', 'one', again.lease.current?.epoch ?? '');
    await world.settle();
    expect(custody.size).toBe(1);
  });

  test('gives up sessions that are claimed, and those that are over', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    const one = await leader.gateway('one', 3);
    const two = await leader.gateway('two', 0);
    custody.begin();
    await one.die();
    await world.settle();
    expect(custody.size).toBe(3);
    await world.own('one-0', 'two', two.lease.current?.epoch ?? '');
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: ownerKey('one-1') }] });
    await world.settle();
    expect(custody.size).toBe(1);
    await world.pass(graceMs + 1000);
    expect(leader.expired).toEqual([expect.stringMatching(/^one-2 at/)]);
    expect(await world.keys('o/')).toEqual(['o/one-0']);
  });

  test('gives a session that was claimed by a gateway that is gone as well its grace anew', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await world.own('a', 'gone', '1');
    custody.begin();
    await world.pass(30_000);
    await world.own('a', 'gone too', '2');
    await world.settle();
    expect(custody.size).toBe(1);
    await world.pass(graceMs);
    expect(leader.expired).toEqual([]);
    await world.pass(1000);
    expect(leader.expired).toEqual(['a at 91000']);
  });

  test('keeps deadlines when it looks again', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await world.own('a', 'gone', '1');
    const one = await leader.gateway('one', 1);
    custody.begin();
    await world.pass(30_000);
    await one.die();
    await world.pass(31_000);
    expect(leader.expired).toEqual(['a at 61000']);
    await world.pass(30_000);
    expect(leader.expired.slice(1)).toEqual(['one-0 at 91000']);
  });

  test('gives up the sessions of a gateway that lives after all', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    custody.begin();
    await world.settle();
    // Its sessions are heard of before it is.
    const lease = await world.store.lease('other', () => Buffer.from('not yet'));
    await world.own('a', 'other', '77');
    await world.settle();
    expect(custody.size).toBe(1);
    const value = Buffer.from('{"epoch":"77","advertise":"","startedAt":0}');
    const writes = [{ type: 'put', key: 'g/other', value, lease }] as const;
    await world.store.txn({ compare: [], writes });
    await world.settle();
    expect(custody.size).toBe(0);
  });

  test('expires nothing while that may not be, and then soon', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    for (let n = 0; n < 100; ++n) await world.own(`a${n}`, 'gone', '1');
    custody.begin();
    leader.may = false;
    await world.pass(graceMs + 30_000);
    expect(leader.most).toBe(0);
    expect(custody.size).toBe(100);
    leader.may = true;
    await world.pass(1000);
    expect(leader.expired).toHaveLength(100);
    expect(custody.size).toBe(0);
  });

  test('expires at most 64 at a time', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    for (let n = 0; n < 200; ++n) await world.own(`a${n}`, 'gone', '1');
    custody.begin();
    await world.pass(graceMs - 1000);
    const letGo = leader.store.hold();
    await world.pass(5000);
    expect(leader.running).toBe(64);
    letGo();
    await world.settle();
    expect(leader.expired).toHaveLength(200);
    expect(leader.most).toBe(64);
  });

  test('tries again what could not be expired', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    for (let n = 0; n < 100; ++n) await world.own(`a${n}`, 'gone', '1');
    custody.begin();
    leader.failing = 250;
    await world.pass(graceMs + 1000);
    expect(leader.failing).toBe(150);
    expect(custody.size).toBe(100);
    await world.pass(1000);
    expect(leader.expired).toHaveLength(0);
    await world.pass(2000);
    expect(leader.expired).toHaveLength(100);
    expect(custody.size).toBe(0);
  });

  test('leaves a session alone that is claimed while it is being expired', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    const two = await leader.gateway('two', 0);
    await world.own('a', 'gone', '1');
    custody.begin();
    await world.pass(graceMs - 1000);
    leader.store.fault = 'unreachable';
    await world.pass(3000);
    await world.own('a', 'two', two.lease.current?.epoch ?? '');
    leader.store.fault = 'none';
    await world.pass(5000);
    expect(await world.keys('o/')).toEqual(['o/a']);
    expect(custody.size).toBe(0);
    expect(leader.expired.filter((each) => !each.includes('not'))).toEqual([]);
  });

  test('keeps a session that is claimed while it is being expired by a gateway that is gone as well', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await world.own('a', 'gone', '1');
    custody.begin();
    let goOn: () => void = () => undefined;
    leader.before = new Promise((resolve) => {
      goOn = resolve;
    });
    await world.pass(graceMs + 1000);
    expect(leader.running).toBe(1);
    await world.own('a', 'gone too', '2');
    await world.settle();
    goOn();
    await world.settle();
    expect(leader.expired).toEqual(['a not at 61000']);
    expect(custody.size).toBe(1);
    await world.pass(graceMs + 1000);
    expect(leader.expired.slice(1)).toEqual(['a at 122000']);
  });

  test('stops in the midst of what is due when nothing may be expired any more', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    for (let n = 0; n < 10; ++n) await world.own(`a${n}`, 'gone', '1');
    custody.begin();
    leader.allowed = 3;
    await world.pass(graceMs + 10_000);
    expect(leader.expired).toHaveLength(3);
    leader.allowed = 100;
    await world.pass(1000);
    expect(leader.expired).toHaveLength(10);
  });

  test('forgets all when the gateway leads no more, and begins anew when it does again', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    const one = await leader.gateway('one', 1);
    await world.own('a', 'gone', '1');
    custody.begin();
    await world.pass(30_000);
    custody.end();
    expect(custody.size).toBe(0);
    await one.die();
    await world.own('b', 'gone', '1');
    await world.pass(2 * graceMs);
    expect([custody.size, leader.expired]).toEqual([0, []]);
    custody.begin();
    await world.settle();
    expect(custody.size).toBe(3);
    await world.pass(graceMs);
    expect(leader.expired).toEqual([]);
    await world.pass(1000);
    expect(leader.expired).toHaveLength(3);
  });

  test('that ends while a page is read takes nothing of it', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await world.own('a', 'gone', '1');
    await world.settle();
    const letGo = leader.store.hold();
    custody.begin();
    await world.settle();
    custody.end();
    letGo();
    await world.settle();
    expect(custody.size).toBe(0);
  });

  test('that ends while a page is read reads no more when that fails, and begins anew all the same', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    await world.own('a', 'gone', '1');
    await world.settle();
    leader.store.fault = 'unanswered';
    for (const again of [false, true]) {
      const letGo = leader.store.hold();
      custody.begin();
      await world.settle();
      custody.end();
      if (again) custody.begin();
      letGo();
      await world.settle();
      const { calls } = leader.store;
      expect(world.time.wheel.size > 0).toBe(again);
      leader.store.fault = 'none';
      await world.pass(10_000);
      expect(leader.store.calls > calls).toBe(again);
      leader.store.fault = 'unanswered';
    }
    expect(custody.size).toBe(1);
  });

  test('finds all of many sessions, in pages, also when the store fails in between', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    for (let n = 0; n < 3500; ++n) await world.own(`s${n}`, 'gone', '1');
    await world.settle();
    leader.store.fault = 'unanswered';
    custody.begin();
    await world.pass(2000);
    expect(custody.size).toBe(0);
    leader.store.fault = 'none';
    await world.pass(5000);
    expect(custody.size).toBe(3500);
  });

  test('looks once for all gateways that go in one turn', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    const gateways = [];
    for (let n = 0; n < 5; ++n) gateways.push(await leader.gateway(`g${n}`, 1));
    custody.begin();
    await world.settle();
    const before = leader.store.calls;
    for (const gateway of gateways) void gateway.die();
    await world.settle();
    expect(custody.size).toBe(5);
    expect(leader.store.calls - before).toBe(1);
  });

  test('believes what it is told rather than a page that is older', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    const two = await leader.gateway('two', 0);
    await world.own('a', 'gone', '1');
    await world.own('b', 'gone', '1');
    await world.settle();
    const letGo = leader.store.hold();
    custody.begin();
    await world.settle();
    await world.own('a', 'two', two.lease.current?.epoch ?? '');
    await world.store.txn({ compare: [], writes: [{ type: 'delete', key: ownerKey('b') }] });
    await world.settle();
    letGo();
    await world.settle();
    expect(custody.size).toBe(0);
  });

  test('passes over owner records that cannot be read', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    const value = Buffer.from('{}');
    await world.store.txn({ compare: [], writes: [{ type: 'put', key: ownerKey('odd'), value }] });
    await world.own('a', 'gone', '1');
    custody.begin();
    await world.pass(graceMs + 1000);
    expect(leader.expired).toHaveLength(1);
    expect(await world.keys('o/')).toEqual(['o/odd']);
  });

  test('reads again when changes may have been missed', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    custody.begin();
    await world.settle();
    leader.store.fault = 'unreachable';
    await world.own('a', 'gone', '1');
    await world.settle();
    expect(custody.size).toBe(0);
    leader.store.fault = 'none';
    await world.pass(5000);
    expect(custody.size).toBe(1);
  });

  test('gives up those whose end it has missed, and none that was written meanwhile', async () => {
    await using leader = new Leader();
    const { world, custody } = leader;
    for (const id of ['a', 'b', 'c']) await world.own(id, 'gone', '1');
    custody.begin();
    await world.settle();
    expect(custody.size).toBe(3);
    leader.store.fault = 'unreachable';
    for (const id of ['a', 'b']) {
      await world.store.txn({ compare: [], writes: [{ type: 'delete', key: ownerKey(id) }] });
    }
    await world.settle();
    const letGo = leader.store.hold();
    leader.store.fault = 'none';
    await world.settle();
    await world.own('b', 'gone', '1');
    await world.settle();
    expect(custody.size).toBe(3);
    letGo();
    await world.settle();
    expect(custody.size).toBe(2);
    await world.pass(graceMs + 1000);
    expect(leader.expired.toSorted()).toEqual(['b at 61000', 'c at 61000']);
  });

  test('leaves no timer behind when it is closed, whatever is under way', async () => {
    for (const underWay of ['nothing', 'scanning', 'waiting', 'expiring']) {
      const leader = new Leader();
      const { world, custody } = leader;
      await world.own('a', 'gone', '1');
      if (underWay === 'scanning') leader.store.fault = 'unanswered';
      custody.begin();
      await world.pass(1000);
      let goOn: () => void = () => undefined;
      if (underWay === 'waiting') leader.may = false;
      if (underWay === 'expiring') {
        leader.before = new Promise((resolve) => {
          goOn = resolve;
        });
      }
      if (underWay !== 'nothing') await world.pass(graceMs);
      expect(leader.running).toBe(underWay === 'expiring' ? 1 : 0);
      leader.may = false;
      await custody.close();
      goOn();
      await world.settle();
      leader.members[Symbol.dispose]();
      expect([underWay, world.time.wheel.size]).toEqual([underWay, 0]);
      await leader[Symbol.asyncDispose]();
    }
  });
});
