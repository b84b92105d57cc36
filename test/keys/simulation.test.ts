// The whole layer in virtual time: SAEs with peers in both roles, networks that lose, copy, reorder and part, an attacker on the path, processes that
// are killed at any step, clocks that are wrong and are set, devices, disks and KMEs that fail. One seed is one run; HAWSER_SEED repeats it.

import { createHash } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import type { PeerOptions, PeerRole } from '../../src/keys/agent/peer-options.js';
import { Dice } from '../interaction/simulated-home.js';
import { SaeTime } from './agent/sae-time.js';
import { SimulatedKmes } from './simulated-kme.js';
import { Oracle } from './simulated-oracle.js';
import { hangMs, type SaeFaults, type SaeSettings, SimulatedSae } from './simulated-sae.js';
import { SimulatedWire, type WireFaults } from './simulated-wires.js';

// The same seed makes the same ids, and so the same run.
const ids = vi.hoisted(() => ({ next: 0 }));
vi.mock(import('node:crypto'), async (original) => {
  const crypto = await original();
  const randomUUID = (): ReturnType<typeof crypto.randomUUID> => {
    const digits = createHash('sha256')
      .update(`${ids.next++}`)
      .digest('hex');
    return `${digits.slice(0, 8)}-${digits.slice(8, 12)}-4${digits.slice(13, 16)}-8${digits.slice(17, 20)}-${digits.slice(20, 32)}`;
  };
  return { ...crypto, randomUUID };
});

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 1000 : 50 }, (_, seed) => seed) : [Number(only)];

const sessionTimeoutMs = 20_000;
const cleanupTimeoutMs = 30_000;
const leadMs = 3000;
const maxRetransmitMs = 4000;
const deviceTimeoutMs = 2000;
/** After the last fault: a session that is given up, its cleanup by deadline, and copies on the way. */
const quietMs = 2 * (sessionTimeoutMs + cleanupTimeoutMs);
/** After the last fault, until both ends of a pair send under the same key: what is confirmed still has its time to come. */
const agreedMs = 20_000;

interface Pair {
  readonly wire: SimulatedWire;
  readonly masters: readonly SimulatedSae[];
}

class Simulation {
  readonly dice: Dice;
  readonly time = new SaeTime();
  readonly oracle: Oracle;
  readonly faults: SaeFaults;
  readonly wireFaults: WireFaults;
  readonly kmes: SimulatedKmes;
  readonly saes: readonly SimulatedSae[];
  readonly pairs: readonly Pair[];
  /** Nothing happens to anybody any more. */
  #isWell = false;
  /** Calls of `rotate` that are not over: one may wait for keys before there is a session. */
  #rotating = 0;

  constructor(seed: number) {
    ids.next = 0;
    const dice = new Dice(seed);
    this.dice = dice;
    this.oracle = new Oracle(() => this.time.nowMs);
    this.faults = {
      crashRate: dice.pick([0, 0, 0.003, 0.01]),
      storeFailures: dice.pick([0, 0, 0.05]),
      deviceFailures: dice.pick([0, 0, 0.1, 0.4]),
      deviceHangs: dice.pick([0, 0, 0.05]),
      devicesForget: dice.chance(0.5),
    };
    this.wireFaults = {
      loss: dice.pick([0, 0.1, 0.3, 0.5]),
      duplication: dice.pick([0, 0.2]),
      detours: dice.pick([0, 0.1, 0.3]),
      delayMs: dice.pick([5, 50, 300]),
      detourMs: 4000,
    };
    this.kmes = new SimulatedKmes(dice, {
      rate: dice.pick([0, 0, 0.2]),
      delayMs: dice.pick([10, 300, 2000]),
    });
    const names = ['north', 'south', 'west'].slice(0, dice.pick([2, 2, 3]));
    const couples = names.flatMap((a, at) => names.slice(at + 1).map((b) => [a, b] as const));
    const roles = new Map(
      couples.map(([a, b]) => [`${a} ${b}`, dice.pick<PeerRole>(['master', 'slave', 'both'])]),
    );
    const shared = {
      leadMs,
      graceMs: dice.pick([500, 1000]),
      sessionTimeoutMs,
      cleanupTimeoutMs,
      deviceTimeoutMs,
      maxRetransmitMs,
      kmeTimeoutMs: 5000,
      keyLifetimeMs: dice.pick([86_400_000, 86_400_000, 40_000]),
      keysPerRotation: dice.pick([1, 1, 3]),
    };
    const failClosed = dice.chance(0.2);
    this.saes = names.map((id) => {
      const peers = names
        .filter((name) => name !== id)
        .map((peer): Omit<PeerOptions, 'publicKey'> => {
          const role = roles.get(`${id} ${peer}`) ?? opposite(roles.get(`${peer} ${id}`));
          return { saeId: peer, role, ...shared };
        });
      return new SimulatedSae(id, this.#settings(peers, failClosed));
    });
    this.pairs = couples.map(([a, b]) => {
      const ends = [this.#sae(a), this.#sae(b)] as const;
      const role = roles.get(`${a} ${b}`);
      const masters = role === 'both' ? ends : [role === 'master' ? ends[0] : ends[1]];
      return { wire: new SimulatedWire(ends, this, dice.chance(0.3), this.wireFaults), masters };
    });
  }

  async run(): Promise<void> {
    const { dice, time } = this;
    time.onSettled = () => this.#look();
    for (const sae of this.saes) sae.start();
    await time.pass(1000);
    const untilMs = time.nowMs + dice.between(60_000, 200_000);
    while (time.nowMs < untilMs) {
      await time.pass(dice.magnitude(1, 4000));
      this.#act();
    }
    await this.#recover();
    // Until calls to devices end that were given up before.
    await time.pass(hangMs);
    await this.#rotateAll();
    await this.#end();
  }

  #settings(peers: SaeSettings['peers'], failClosed: boolean): SaeSettings {
    const { time, dice, oracle, kmes, faults } = this;
    return {
      time,
      dice,
      oracle,
      kmes,
      faults,
      failClosed,
      peers,
      linked: (sae) => {
        for (const { wire } of this.pairs) if (wire.has(sae)) wire.linked(sae);
      },
      crashed: (sae) => {
        for (const { wire } of this.pairs) if (wire.has(sae)) wire.disconnect();
        this.#later(dice.magnitude(50, 20_000), () => sae.start());
      },
    };
  }

  #sae(id: string): SimulatedSae {
    const found = this.saes.find((sae) => sae.id === id);
    if (found === undefined) throw new Error(`there is no ${id}`);
    return found;
  }

  #look(): void {
    for (const sae of this.saes) sae.tellReady();
  }

  // ---- What happens --------------------------------------------------------------------------------------------------

  #act(): void {
    const { dice } = this;
    const pair = dice.pick(this.pairs);
    const sae = dice.pick(this.saes);
    const what = dice.random();
    if (what < 0.35) this.#rotate(pair);
    else if (what < 0.6) this.#packet(pair);
    else if (what < 0.7) pair.wire.attack();
    else if (what < 0.77) this.#cut(pair);
    else if (what < 0.84) sae.kill();
    else if (what < 0.87) this.#restart(sae);
    else if (what < 0.92) sae.clock.aheadMs += dice.pick([-1, 1]) * dice.magnitude(1, 15_000);
    else if (what < 0.95) this.#revoke(sae);
    else {
      pair.wire.disconnect();
      this.#later(dice.magnitude(1, 3000), () => pair.wire.connect());
    }
  }

  #rotate({ masters, wire }: Pair): void {
    const master = this.dice.pick(masters);
    // Often enough at once, so that both begin.
    const beginning = this.dice.chance(0.3) ? masters : [master];
    for (const each of beginning) {
      const over = (): void => {
        --this.#rotating;
      };
      if (each.sae === undefined) continue;
      ++this.#rotating;
      each.sae.rotate(wire.other(each).id).then(over, over);
    }
  }

  /** Each end sends a packet under what its device has; the other end's device tells of it. */
  #packet({ wire }: Pair): void {
    for (const [from, to] of [
      [wire.a, wire.b],
      [wire.b, wire.a],
    ] as const) {
      const keyId = wire.isCut ? undefined : this.oracle.packet(from.id, to.id);
      if (typeof keyId === 'string') to.sees(from.id, keyId);
    }
  }

  #cut({ wire }: Pair): void {
    wire.cut();
    this.#later(this.dice.magnitude(100, 60_000), () => wire.join());
  }

  #restart(sae: SimulatedSae): void {
    for (const { wire } of this.pairs) if (wire.has(sae)) wire.disconnect();
    const closed = sae.close();
    this.#later(this.dice.magnitude(50, 5000), () => void closed.then(() => sae.start()));
  }

  #revoke(sae: SimulatedSae): void {
    const peer = this.dice.pick(sae.peerIds);
    const keys = sae.disk.keys(peer);
    if (sae.sae !== undefined && keys.length > 0) sae.sae.revoke(peer, this.dice.pick(keys).keyId);
  }

  /** At the latest when all is to be well. */
  readonly #repairs = new Set<() => void>();

  #later(delayMs: number, repair: () => void): void {
    const once = (): void => {
      if (this.#repairs.delete(once)) repair();
    };
    this.#repairs.add(once);
    this.time.clock.setTimeout(once, this.#isWell ? 0 : delayMs);
  }

  // ---- What must come of it ------------------------------------------------------------------------------------------

  async #passUntil(isSo: () => boolean, limitMs: number): Promise<boolean> {
    const untilMs = this.time.nowMs + limitMs;
    while (!isSo() && this.time.nowMs < untilMs) await this.time.pass(500);
    return isSo();
  }

  /** Once nothing happens any more, both ends of each pair agree soon, and all sessions end. */
  async #recover(): Promise<void> {
    this.#isWell = true;
    Object.assign(this.faults, { crashRate: 0, storeFailures: 0, deviceFailures: 0, deviceHangs: 0 });
    Object.assign(this.wireFaults, { loss: 0, duplication: 0, detours: 0, delayMs: 50 });
    Object.assign(this.kmes.faults, { rate: 0, delayMs: 10 });
    for (const repair of Array.from(this.#repairs)) repair();
    for (const sae of this.saes) sae.clock.aheadMs = this.dice.between(-500, 500);
    for (const { wire } of this.pairs) wire.join();
    const isUp = (): boolean => this.saes.every(({ sae }) => sae !== undefined);
    if (!(await this.#passUntil(isUp, 30_000))) this.oracle.problem('not all are up again');
    // One whose device is still to be set up, after pauses of up to a minute, comes together later.
    const isReady = (sae: SimulatedSae, peer: SimulatedSae): boolean =>
      sae.sae?.status().peers.find(({ peerSaeId }) => peerSaeId === peer.id)?.ready === true;
    const agree = ({ wire: { a, b } }: Pair): boolean => {
      const [one, other] = [this.oracle.device(a.id, b.id), this.oracle.device(b.id, a.id)];
      const isSet = one.isUp && other.isUp && isReady(a, b) && isReady(b, a);
      return !isSet || one.current === other.current;
    };
    if (!(await this.#passUntil(() => this.pairs.every(agree), agreedMs)))
      this.oracle.problem('the ends of a pair do not come together');
    const isQuiet = ({ sae }: SimulatedSae): boolean =>
      sae?.status().peers.every(({ ready, session }) => ready && session === undefined) === true;
    if (!(await this.#passUntil(() => this.#rotating === 0 && this.saes.every(isQuiet), quietMs))) {
      for (const { id, sae } of this.saes)
        for (const { peerSaeId, session, ready } of sae?.status().peers ?? [])
          this.oracle.problem(`${id} with ${peerSaeId}: ready ${ready}, ${JSON.stringify(session)}`);
    }
  }

  /** A rotation of each pair: nothing that went before stands in its way, and it cleans up what was left. */
  async #rotateAll(): Promise<void> {
    for (const { masters, wire } of this.pairs) {
      const [master] = masters;
      if (master?.sae === undefined) throw new Error('there is no master');
      const slave = wire.other(master);
      const { sae } = master;
      const rotate = async (): Promise<string> => {
        const rotation = sae.rotate(slave.id).then(
          ({ outcome }) => outcome,
          (error: unknown) => JSON.stringify((error as Error).cause ?? `${error}`),
        );
        return this.time.finish(rotation, 60_000);
      };
      let outcome = await rotate();
      // Keys that only one side has are not to be had any more, which comes out one session after the other.
      for (let more = 10; outcome.includes('key_unavailable') && more > 0; --more) outcome = await rotate();
      if (outcome !== 'completed') this.oracle.problem(`the last rotation of ${master.id}: ${outcome}`);
      await this.time.pass(5000);
      for (const [sae, peer] of [
        [master, slave],
        [slave, master],
      ] as const)
        this.#judge(sae, peer);
    }
  }

  #judge(sae: SimulatedSae, peer: SimulatedSae): void {
    const keys = sae.disk.keys(peer.id);
    const statuses = keys.map(({ status }) => status).filter((status) => status !== 'available');
    const production = keys.find(({ status }) => status === 'in_production')?.keyId;
    const device = this.oracle.device(sae.id, peer.id);
    const others = peer.disk.keys(sae.id).find(({ status }) => status === 'in_production')?.keyId;
    expect(statuses, `keys of ${sae.id} with ${peer.id}`).toEqual(['in_production']);
    expect(production, `what ${sae.id} and ${peer.id} have in production`).toBe(others);
    // A key that was left of an earlier session may expire soon after.
    if (device.isClosed) return;
    expect(device.current, `the device of ${sae.id} with ${peer.id}`).toBe(production);
    // What a session took back may be announced again, and is live until then.
    const live = [...device.live].filter((keyId) => sae.disk.key(peer.id, keyId)?.status !== 'available');
    expect(live, `the device of ${sae.id} with ${peer.id}`).toEqual([production]);
  }

  /** Nothing is left: no timer, no key. */
  async #end(): Promise<void> {
    await this.time.finish(Promise.all(this.saes.map((sae) => sae.close())));
    await this.time.pass(600_000);
    expect(this.time.clock.nextDueMs).toBe(Number.POSITIVE_INFINITY);
    expect(this.kmes.delivered.filter(({ wiped }) => !wiped)).toEqual([]);
    for (const { disk } of this.saes) await disk.close();
  }
}

function opposite(role: PeerRole | undefined): PeerRole {
  if (role === 'both') return 'both';
  return role === 'master' ? 'slave' : 'master';
}

const total = { rotations: 0, splits: 0, deletions: 0, rollBacks: 0, aborts: 0 };

describe('whatever the network does and whoever is killed, both ends of a pair share a live key and come together', () => {
  test.each(seeds)('seed %i', async (seed) => {
    const simulation = new Simulation(seed);
    const { oracle, faults, wireFaults } = simulation;
    const settings = JSON.stringify({ ...faults, ...wireFaults });
    try {
      await simulation.run();
      expect(oracle.problems).toEqual([]);
    } catch (error) {
      const problems = oracle.problems.slice(0, 10).join('\n');
      throw new Error(`HAWSER_SEED=${seed} ${settings}: ${error}\n${problems}`, { cause: error });
    }
    for (const name of ['rotations', 'splits', 'deletions', 'rollBacks', 'aborts'] as const)
      total[name] += oracle.seen[name];
  });

  test.runIf(only === undefined)('and all of that has happened', () => {
    for (const [what, count] of Object.entries(total)) expect(count, what).toBeGreaterThan(seeds.length / 10);
  });
});
