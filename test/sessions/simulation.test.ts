// The whole layer in virtual time: clients and gateways over a store that they share, a network that loses, delays and parts, a store that does
// not answer or answers too late, and processes that are paused, killed and started again. One seed is one run; HAWSER_SEED repeats it.

import { createHash } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { MemorySessionStore } from '../../src/sessions/store/memory-store.js';
import { Dice } from '../interaction/simulated-home.js';
import { VirtualTime } from '../interaction/virtual-time.js';
import { SimulatedClient } from './simulated-clients.js';
import { HeardSessions } from './simulated-frames.js';
import { SimulatedGateway } from './simulated-gateways.js';
import { Ledger } from './simulated-ledger.js';
import { type RoadSettings, Roads } from './simulated-roads.js';
import type { StoreWay } from './simulated-store.js';

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

const keepAliveIntervalMs = 10_000;
const sessionTimeoutMs = 30_000;
const graceMs = 45_000;
const leaseTtlMs = 6000;
const goodWay: StoreWay = { delayMs: 5, lost: 0, unanswered: 0, late: 0 };

class Simulation {
  readonly dice: Dice;
  readonly time = new VirtualTime();
  readonly ledger: Ledger;
  readonly root: MemorySessionStore;
  readonly roads: Roads;
  readonly gateways: readonly SimulatedGateway[];
  readonly cluster: 'active' | 'leader';
  clients: SimulatedClient[] = [];
  #names = 0;
  /** Nothing happens to anybody any more. */
  #isWell = false;

  constructor(seed: number) {
    ids.next = 0;
    const dice = new Dice(seed);
    this.dice = dice;
    const { clock } = this.time;
    this.cluster = dice.pick(['active', 'active', 'leader']);
    this.ledger = new Ledger({ cluster: this.cluster, sessionTimeoutMs, graceMs }, () => this.time.nowMs);
    this.root = new MemorySessionStore({ clock, leaseTtlMs });
    const road: RoadSettings = {
      delayMs: dice.pick([10, 50, 500]),
      lossRate: dice.pick([0, 0.1, 0.4]),
      duplicateRate: dice.pick([0, 0.1]),
    };
    const heard = new HeardSessions((gateway, id) => this.ledger.heard(gateway, id));
    this.roads = new Roads(dice, road, heard);
    const way = dice.pick([
      goodWay,
      { delayMs: 100, lost: 0.02, unanswered: 0.05, late: 0.02 },
      { delayMs: 400, lost: 0.05, unanswered: 0.1, late: 0.1 },
    ]);
    const handlerMs = dice.pick([10, 500, 3000]);
    const options = {
      cluster: this.cluster,
      keepAliveIntervalMs,
      sessionTimeoutMs,
      graceMs,
      requestsAtOnce: dice.pick([1, 4]),
      serverRequestRetryMs: dice.pick([1000, 10_000]),
      maxServerRequestsInFlight: dice.pick([1, 10]),
    };
    const { ledger, root } = this;
    const settings = { clock, dice, ledger, root, leaseTtlMs, way, handlerMs, options };
    const names = ['a', 'b', 'c'].slice(0, dice.between(2, 3));
    this.gateways = names.map((name) => new SimulatedGateway(name, settings));
  }

  async run(): Promise<void> {
    const { dice, time } = this;
    for (const gateway of this.gateways) gateway.start();
    for (let count = dice.between(2, 5); count > 0; --count) this.#join();
    const untilMs = dice.between(30_000, 150_000);
    while (time.nowMs < untilMs) {
      await this.#pass(dice.magnitude(1, 1500));
      this.#act();
    }
    await this.#recover();
    await this.#end();
  }

  #pass(ms: number): Promise<void> {
    return this.time.passTo(this.time.nowMs + ms);
  }

  async #passUntil(isSo: () => boolean, limitMs: number): Promise<boolean> {
    const untilMs = this.time.nowMs + limitMs;
    while (!isSo() && this.time.nowMs < untilMs) await this.#pass(500);
    return isSo();
  }

  // ---- What happens --------------------------------------------------------------------------------------------------

  #act(): void {
    const { dice } = this;
    const what = dice.random();
    if (what < 0.65) this.#ask();
    else if (what < 0.7) this.#push();
    else if (what < 0.75) this.#client();
    else if (what < 0.82) this.#loseConnections();
    else if (what < 0.9) this.#cut();
    else this.#gateway(dice.pick(this.gateways));
  }

  #ask(): void {
    const { dice } = this;
    const client = dice.pick(this.clients);
    for (let count = dice.between(1, 4); count > 0 && client.isUsable; --count) {
      if (dice.chance(0.15)) client.query();
      else client.request(this.#target());
    }
  }

  /** A session, which may be over. */
  #target(): string {
    const { sessionIds } = this.ledger;
    return sessionIds.length === 0 ? 'none' : this.dice.pick(sessionIds);
  }

  #push(): void {
    const gateway = this.dice.pick(this.gateways);
    if (gateway.process?.isRunning !== true) return;
    gateway.server?.push(this.#target(), Buffer.from(`pushed at ${this.time.nowMs}`)).catch(() => undefined);
  }

  #join(): void {
    const delivery = this.dice.chance(0.8) ? 'exactly-once' : 'at-most-once';
    this.clients.push(new SimulatedClient(`c${++this.#names}`, delivery, this.#clientSettings()));
  }

  #clientSettings(): ConstructorParameters<typeof SimulatedClient>[2] {
    const { dice, ledger, roads, gateways } = this;
    return { clock: this.time.clock, dice, ledger, roads, gateways, keepAliveIntervalMs };
  }

  /** A client closes its session, or is killed, or goes on with its session as another process; another one comes. */
  #client(): void {
    const { dice } = this;
    const client = dice.pick(this.clients);
    const { resumption, name, delivery } = client;
    this.clients = this.clients.filter((each) => each !== client);
    if (dice.chance(0.4)) void client.close();
    else client.kill();
    const mayResume = !client.process.isAlive && resumption !== undefined && dice.chance(0.5);
    if (!mayResume) this.#join();
    else this.clients.push(new SimulatedClient(`${name}'`, delivery, this.#clientSettings(), resumption));
  }

  #loseConnections(): void {
    const { connections } = this.roads;
    if (connections.length === 0) return;
    for (const connection of this.dice.some(connections)) connection.lose(5000);
  }

  /** A client is cut off from some gateways. */
  #cut(): void {
    const { dice, roads } = this;
    const { process } = dice.pick(this.clients);
    // Long enough to come back when the session is just about to end, or for any time.
    const isCritical = dice.chance(0.4);
    const gateways = isCritical ? this.gateways : dice.some(this.gateways);
    const criticalMs = dice.pick([sessionTimeoutMs, graceMs]) + dice.between(-4000, 4000);
    for (const gateway of gateways) roads.cut(process, gateway);
    this.#later(isCritical ? criticalMs : dice.magnitude(100, 60_000), () => {
      for (const gateway of gateways) roads.join(process, gateway);
    });
  }

  #gateway(gateway: SimulatedGateway): void {
    const { dice } = this;
    const what = dice.random();
    const { process, store } = gateway;
    if (process?.isRunning !== true || store === undefined || store.isCutOff) return;
    if (what < 0.3) {
      gateway.kill();
      this.#later(dice.magnitude(100, 20_000), () => gateway.start());
    } else if (what < 0.6) {
      process.pause();
      this.#later(dice.magnitude(100, 20_000), () => process.resume(dice.chance(0.5)));
    } else if (what < 0.9) {
      store.cutOff();
      this.#later(dice.magnitude(100, 20_000), () => store.join());
    } else {
      void gateway.close();
      this.#later(dice.magnitude(2000, 20_000), () => gateway.start());
    }
    this.roads.examine();
  }

  /** At the latest when all is to be well. */
  readonly #repairs = new Set<() => void>();

  #later(delayMs: number, repair: () => void): void {
    if (this.#isWell) return;
    const once = (): void => {
      if (this.#repairs.delete(once)) repair();
    };
    this.#repairs.add(once);
    this.time.clock.setTimeout(once, delayMs);
  }

  // ---- What must come of it ------------------------------------------------------------------------------------------

  /** Once nothing happens any more, everybody gets what it asked for. */
  async #recover(): Promise<void> {
    this.#isWell = true;
    for (const repair of Array.from(this.#repairs)) repair();
    this.roads.settings = { delayMs: 10, lossRate: 0, duplicateRate: 0 };
    for (const { store } of this.gateways) if (store !== undefined) store.way = goodWay;
    // Those that were closing start again.
    await this.#pass(10_000);
    for (const gateway of this.gateways) {
      gateway.start();
      if (gateway.store !== undefined) gateway.store.way = goodWay;
    }
    const isServed = (client: SimulatedClient): boolean => client.isConnected && client.pending.size === 0;
    if (!(await this.#passUntil(() => this.clients.every(isServed), 120_000))) {
      for (const { name, pending, isConnected } of this.clients)
        this.ledger.problem(`${name}: connected ${isConnected}, waits for ${Array.from(pending)}`);
    }
    // Sessions that nobody has are gone after grace and timeout, and what was to be delivered is.
    await this.#pass(graceMs + sessionTimeoutMs + leaseTtlMs + 30_000);
    const sessions = this.clients.map(({ sessionId }) => sessionId);
    expect(this.ledger.sessionIds.toSorted()).toEqual(sessions.toSorted());
    for (const { sessionId = '', name } of this.clients) {
      if (!this.ledger.isDelivered(sessionId)) this.ledger.problem(`${name} has not got all server requests`);
    }
    const kept = (await this.root.read({ from: 'a', to: 'z' })).map(({ key, revision }) => [key, revision]);
    const known = Array.from(this.ledger.keys, ([key, { revision }]) => [key, revision]);
    expect(kept.toSorted()).toEqual(known.toSorted());
  }

  /** Nothing is left of anybody. */
  async #end(): Promise<void> {
    const { clock } = this.time;
    const closing = this.clients.map((client) => client.close());
    await this.#pass(15_000);
    await Promise.all(closing);
    expect(this.clients.map(({ timers }) => timers)).toEqual(this.clients.map(() => 0));
    for (const gateway of this.gateways) {
      const stats = gateway.server?.stats;
      expect(stats).toMatchObject({ sessions: 0, connected: 0, pending: 0, inCustody: 0 });
    }
    const keys = (await this.root.read({ from: 'a', to: 'z' })).map(({ key }) => key);
    expect(keys.filter((key) => /^[opnrq]\//.test(key))).toEqual([]);
    const closed = Promise.all(this.gateways.map((gateway) => gateway.close()));
    await this.#pass(15_000);
    await closed;
    const left = (await this.root.read({ from: 'a', to: 'z' })).map(({ key }) => key);
    expect(left.filter((key) => !key.startsWith('a/'))).toEqual([]);
    // Calls to the store that arrived late, and wheels whose timers were all cancelled.
    await this.#pass(120_000);
    expect(clock.nextDueMs).toBe(Number.POSITIVE_INFINITY);
  }
}

describe('whatever the network and the store do and whoever is killed, requests count once and sessions live', () => {
  test.each(seeds)('seed %i', async (seed) => {
    const simulation = new Simulation(seed);
    try {
      await simulation.run();
      expect(simulation.ledger.problems).toEqual([]);
    } catch (error) {
      const problems = simulation.ledger.problems.slice(0, 10).join('\n');
      throw new Error(`HAWSER_SEED=${seed} (${simulation.cluster}): ${error}\n${problems}`, { cause: error });
    }
  });
});
