// Whatever happens to gateways and their clients: once all is well, each session has one owner that knows of it, or is in custody.

import { expect, test } from 'vitest';
import { seededRandom } from '../../../src/base/random.js';
import { type Gateway, noBytes, type Peer, World } from './world.js';

const seeds = 20;
const steps = 120;

class Scene {
  readonly world = new World();
  readonly gateways: Gateway[] = [];
  readonly random: () => number;
  /** Connections that are not over. */
  peers: Peer[] = [];
  readonly ids = new Set<string>();
  readonly #letGo = new Map<Gateway, () => void>();

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  pick<T>(all: readonly T[]): T | undefined {
    return all[Math.floor(this.random() * all.length)];
  }

  async begin(): Promise<void> {
    for (const name of ['a', 'b', 'c']) {
      this.gateways.push(await this.world.gateway(name, { onRequest: () => ({ result: noBytes }) }));
    }
  }

  async step(): Promise<void> {
    const gateway = this.pick(this.gateways);
    if (gateway === undefined) return;
    this.#act(gateway, Math.floor(this.random() * 14));
    this.peers = this.peers.filter(({ closed }) => closed === undefined);
    for (const { sessionId } of this.peers) if (sessionId !== undefined) this.ids.add(sessionId);
    const pause = this.random();
    if (pause < 0.3) await this.world.settle();
    else if (pause < 0.9) await this.world.pass(Math.floor(10 ** (this.random() * 3.5)));
    else await this.world.pass(Math.floor(this.random() * 30_000));
  }

  #act(gateway: Gateway, action: number): void {
    const identity = this.random() < 0.9 ? 'device' : 'other';
    const peer = this.pick(this.peers);
    const nonce = BigInt(1 + Math.floor(this.random() * 5));
    switch (action) {
      case 0:
      case 1: {
        const next = gateway.connect(identity);
        next.create(nonce);
        this.peers.push(next);
        break;
      }
      case 2:
      case 3:
      case 4: {
        const next = gateway.connect(identity);
        next.continue(this.pick([...this.ids]) ?? 'none', nonce);
        this.peers.push(next);
        break;
      }
      case 5:
        peer?.create(nonce);
        break;
      case 6:
        peer?.continue(this.pick([...this.ids]) ?? 'none', nonce);
        break;
      case 7:
        peer?.say({ type: 'CloseSession', reason: 'ClientShutdown' });
        break;
      case 8:
        peer?.request(Math.floor(this.random() * 20));
        break;
      case 9:
        peer?.lose();
        this.peers = this.peers.filter((each) => each !== peer);
        break;
      case 10:
        gateway.cutOff();
        break;
      case 11:
        gateway.join();
        break;
      case 12:
        gateway.store.fault = this.random() < 0.5 ? 'unanswered' : 'none';
        break;
      default:
        this.#hold(gateway);
    }
    for (const each of this.peers) if (this.random() < 0.5) each.keepAlive();
  }

  #hold(gateway: Gateway): void {
    const letGo = this.#letGo.get(gateway);
    this.#letGo.delete(gateway);
    if (letGo === undefined) this.#letGo.set(gateway, gateway.store.hold());
    else letGo();
  }

  /** Everything works again, and has had time to find that out. */
  async heal(): Promise<void> {
    for (const gateway of this.gateways) {
      this.#letGo.get(gateway)?.();
      gateway.join();
    }
    await this.world.pass(40_000);
  }
}

test('after faults of all kinds every session has one owner that knows of it, and nothing is left when all have expired', async () => {
  for (let seed = 1; seed <= seeds; ++seed) {
    const scene = new Scene(seed);
    const { world, gateways } = scene;
    await scene.begin();
    for (let n = 0; n < steps; ++n) await scene.step();
    await scene.heal();
    const problems: string[] = [];
    const known = new Map<string, string>();
    for (const { server } of gateways) {
      for (const { sessionId } of server.sessions()) {
        if (known.has(sessionId))
          problems.push(`${sessionId} is with ${known.get(sessionId)} and ${server.gateway}`);
        known.set(sessionId, server.gateway);
        const owner = await world.owner(sessionId);
        if (owner?.gateway !== server.gateway) {
          problems.push(`${sessionId} is with ${server.gateway}, and the store says ${owner?.gateway}`);
        }
      }
      const { pending, serving } = server.stats;
      if (pending > 0) problems.push(`${pending} wait at ${server.gateway}`);
      if (!serving) problems.push(`${server.gateway} does not serve`);
    }
    const owned = (await world.keys('o/')).map((key) => key.slice(2));
    const inCustody = gateways.reduce((sum, { server }) => sum + server.stats.inCustody, 0);
    const orphans = owned.filter((id) => !known.has(id));
    if (orphans.length > inCustody) {
      problems.push(`${orphans.length} sessions without an owner, ${inCustody} in custody`);
    }
    const errors = gateways.flatMap((gateway) => gateway.events('listenerError'));
    if (errors.length > 0) problems.push(String(errors[0]));
    await world.pass(240_000);
    for (const prefix of ['o/', 'p/', 'r/', 'n/', 'q/']) {
      const left = await world.keys(prefix);
      if (left.length > 0) problems.push(`${left.join(' ')} are left`);
    }
    const left = gateways.map(({ server }) => server.stats.sessions);
    if (left.some((count) => count > 0)) problems.push(`${left.join(' ')} sessions are left`);
    expect(problems, `seed ${seed}`).toEqual([]);
  }
});
