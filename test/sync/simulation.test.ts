// The whole layer over the real engine, in virtual time: agents with several modules, a network that loses, delays, repeats and parts, agents
// and managers that are killed. One seed is one run; HAWSER_SEED repeats it.

import { describe, expect, test } from 'vitest';
import { Dice } from '../interaction/simulated-home.js';
import { Agent, type Behaviour } from './simulated-agent.js';
import { Fleet } from './simulated-fleet.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 1000 : 50 }, (_, seed) => seed) : [Number(only)];
/** Each with a timeout of its own, however busy the machine is. */
const parts = [1, 2, 3, 4];

/** How much the manager takes of an agent at once, snapshots that are no greater than that, and documents that make them as great. */
const rooms = [
  { items: 2_000_000, bytes: 2 ** 30, snapshotItems: 500_000, documentBytes: 1 },
  { items: 1000, bytes: 2 ** 30, snapshotItems: 1000, documentBytes: 1 },
  { items: 250, bytes: 1_000_000, snapshotItems: 250, documentBytes: 1 },
  { items: 20, bytes: 20_000, snapshotItems: 5, documentBytes: 2000 },
] as const;

function drawBehaviour(dice: Dice): Behaviour {
  return {
    data: dice.pick(['reliable', 'unreliable']),
    responseTimeoutMs: dice.pick([2000, 30_000]),
    retries: dice.pick([0, 3]),
    eps: dice.pick([0, 0, 5, 500]),
    batching: dice.chance(0.8),
    endDelayMs: dice.pick([0, 0, 500]),
    waitForAdmission: dice.chance(0.8),
  };
}

class Simulation {
  readonly dice: Dice;
  readonly fleet: Fleet;
  readonly agents: readonly Agent[];

  constructor(seed: number) {
    const dice = new Dice(seed);
    this.dice = dice;
    const room = dice.pick(rooms);
    this.fleet = new Fleet(seed, dice, {
      maxSnapshotItems: room.snapshotItems,
      minDocumentBytes: room.documentBytes,
      manager: {
        maxSessions: dice.pick([2, 1000]),
        sessionsPerAgent: dice.pick([1, 8]),
        maxItems: room.items * dice.pick([1, 4]),
        maxItemsPerAgent: room.items,
        maxBytes: room.bytes * dice.pick([1, 4]),
        maxBytesPerAgent: room.bytes,
        sessionTimeoutMs: dice.pick([20_000, 1_200_000]),
      },
      failureRate: dice.pick([0, 0, 0.05]),
      resets: dice.chance(0.5),
      link: {
        lossRate: dice.pick([0, 0.05, 0.3]),
        duplicateRate: dice.pick([0, 0.1]),
        reorderRate: dice.pick([0, 0.2]),
        delayMs: dice.pick([1, 20, 100]),
        jitterMs: dice.pick([0, 50]),
      },
    });
    this.agents = Array.from(
      { length: dice.between(1, 4) },
      (_, each) => new Agent(this.fleet, each + 1, dice.between(1, 3), () => drawBehaviour(dice)),
    );
  }

  get #modules(): Agent['modules'] {
    return this.agents.flatMap(({ modules }) => modules);
  }

  async run(): Promise<void> {
    const { dice, fleet } = this;
    await fleet.open();
    for (const agent of this.agents) agent.start();
    const untilMs = dice.between(20_000, 80_000);
    while (fleet.clock.now() < untilMs) {
      await fleet.network.run(dice.magnitude(1, 2000));
      this.#act();
    }
    await this.#recover();
    await this.#end();
  }

  #act(): void {
    const { dice } = this;
    const agent = dice.pick(this.agents);
    const module = dice.pick(agent.modules);
    const what = dice.random();
    if (what < 0.45) module.change();
    else if (what < 0.85) module.act();
    else if (what < 0.91) this.#part(agent);
    else if (what < 0.96) agent.restart();
    else if (what < 0.98) module.stop();
    else void this.fleet.replace(dice.pick(['killed', 'killed', 'closed', 'drained']));
  }

  /** An agent is cut off for a while. */
  #part(agent: Agent): void {
    agent.part(true);
    this.fleet.clock.setTimeout(() => agent.part(false), this.dice.magnitude(100, 60_000));
  }

  /** In a network that is well all agents tell everything. */
  async #recover(): Promise<void> {
    const { fleet } = this;
    await fleet.heal();
    for (const agent of this.agents) agent.part(false);
    for (let rounds = 200; rounds > 0 && !this.#isTold; --rounds) {
      for (const module of this.#modules) if (!module.isSettled) module.sync();
      await fleet.network.run(10_000);
    }
    for (const module of this.#modules) module.expectTold();
  }

  get #isTold(): boolean {
    return this.#modules.every((module) => module.isSettled && !module.isBusy);
  }

  /** Nothing is left of anybody. */
  async #end(): Promise<void> {
    const { fleet } = this;
    for (const agent of this.agents) await fleet.network.runUntil(agent.close());
    // Sessions whose agents have gone on to others, or were killed, are forgotten.
    await fleet.network.run(1_300_000);
    expect(fleet.store.sessions()).toEqual([]);
    expect(fleet.manager.stats).toMatchObject({
      sessions: 0,
      items: 0,
      bytes: 0,
      waiting: 0,
      held: 0,
      connections: 0,
    });
    await fleet.network.runUntil(fleet.close());
    expect(fleet.problems).toEqual([]);
  }
}

describe('whatever the network does and whoever is killed, the manager has what the agents know', () => {
  test.each(parts)('part %i of 4', async (part) => {
    for (const seed of seeds.filter((each) => each % parts.length === part - 1)) {
      const simulation = new Simulation(seed);
      try {
        await simulation.run();
        expect(simulation.fleet.problems).toEqual([]);
      } catch (error) {
        const problems = simulation.fleet.problems.slice(0, 10).join('\n');
        throw new Error(`HAWSER_SEED=${seed}: ${error}\n${problems}`, { cause: error });
      }
    }
  });
});
