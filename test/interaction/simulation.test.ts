// The whole layer over the real engine, in virtual time: clients of all kinds, a network that loses, delays, repeats and parts, gateways that
// go and come. One seed is one run; HAWSER_SEED repeats it.

import { describe, expect, test } from 'vitest';
import { Controller } from './simulated-controller.js';
import { attributes, Dice, features, Home, transportTimeoutMs } from './simulated-home.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 2000 : 30 }, (_, seed) => seed) : [Number(only)];

/** No client waits longer to connect again: 60 s with their jitter, what spreads it, and the attempt. */
const reconnectedMs = 200_000;

/** Longer than the maximum interval of any subscription, with what delays the last of its changes. */
const quietMs = 30_000;

class Simulation {
  readonly dice: Dice;
  readonly home: Home;
  readonly controllers: Controller[] = [];
  #clients = 0;

  constructor(seed: number) {
    const dice = new Dice(seed);
    const codec = dice.pick(['hawser', 'hawser', 'mash'] as const);
    this.dice = dice;
    const unreliableState = codec === 'hawser' && dice.chance(0.5);
    this.home = new Home(seed, dice, {
      codec,
      unreliableState,
      subscriptions: {
        coalesceFrom: dice.pick(['firstChange', 'lastNotification']),
        heartbeat: unreliableState ? 'full' : dice.pick(['full', 'empty']),
        maxIntervalSpread: dice.pick([0, 0.5]),
      },
      resets: dice.chance(0.5),
      link: {
        lossRate: dice.pick([0, 0.05, 0.2]),
        duplicateRate: dice.pick([0, 0.1]),
        reorderRate: dice.pick([0, 0.2]),
        delayMs: dice.pick([1, 20, 100]),
        jitterMs: dice.pick([0, 50]),
      },
    });
  }

  get #present(): readonly Controller[] {
    return this.controllers.filter(({ isClosing }) => !isClosing);
  }

  join(): void {
    const controller = new Controller(this.home, ++this.#clients);
    this.controllers.push(controller);
    controller.connect();
  }

  // ---- What happens ------------------------------------------------------------------------------------------------

  async run(): Promise<void> {
    const { dice, home } = this;
    await home.open();
    for (let count = dice.between(3, 8); count > 0; --count) this.join();
    const untilMs = dice.between(60_000, 240_000);
    while (home.clock.now() < untilMs) {
      await home.network.run(dice.magnitude(1, 2000));
      this.#act();
      this.#check();
    }
    await this.#recover();
    await this.#end();
  }

  #act(): void {
    const { dice, home } = this;
    const controller = dice.pick(this.#present);
    const what = dice.random();
    if (what < 0.4) home.change(dice.pick(features), dice.some(attributes));
    else if (what < 0.5) controller.read();
    else if (what < 0.6) controller.write();
    else if (what < 0.78) controller.invoke();
    else if (what < 0.79) this.#burst(controller);
    else if (what < 0.93) this.#subscribe(controller);
    else if (what < 0.96) this.#part(controller);
    else if (what < 0.97) void home.replace(dice.pick(['cut', 'closed', 'drained', 'deviceClosed']));
    else if (what < 0.98) home.dismiss();
    else if (what < 0.99) this.#pause(controller);
    else this.#replaceClient(controller);
  }

  /** More than the device serves at a time. */
  #burst(controller: Controller): void {
    for (let count = this.dice.between(10, 200); count > 0; --count) controller.invoke();
    if (this.dice.chance(0.5)) controller.unsubscribe();
    else this.#subscribe(controller);
  }

  #subscribe(controller: Controller): void {
    if (controller.client.subscriptions.length < 8) controller.subscribe();
  }

  /** A client is cut off for a while: a second, or two minutes. */
  #part(controller: Controller): void {
    const { dice, home } = this;
    if (controller.isParted) return;
    const part = (isParted: boolean): void => {
      controller.isParted = isParted;
      home.part(controller.host, isParted);
    };
    part(true);
    home.clock.setTimeout(() => part(false), dice.magnitude(1000, 120_000));
  }

  /** A client stops, and begins again. */
  #pause(controller: Controller): void {
    const { dice, home } = this;
    if (controller.isAway) return;
    controller.disconnect();
    home.clock.setTimeout(
      () => {
        if (!controller.isClosing) controller.connect();
      },
      dice.magnitude(20_000, 60_000),
    );
  }

  /** A client goes for good, perhaps without the gateway hearing of it, and another comes. */
  #replaceClient(controller: Controller): void {
    if (controller.isAway) return;
    if (this.dice.chance(0.5)) this.#part(controller);
    controller.close();
    this.join();
  }

  #check(): void {
    for (const controller of this.controllers) controller.check();
  }

  /** Lets the network run, watching. */
  async #watch(durationMs: number): Promise<void> {
    for (let restMs = durationMs; restMs > 0; restMs -= 1000) {
      await this.home.network.run(Math.min(restMs, 1000));
      this.#check();
    }
  }

  // ---- How it ends -------------------------------------------------------------------------------------------------

  /** After the network has healed everybody is there again and knows everything. */
  async #recover(): Promise<void> {
    const { home } = this;
    await home.heal();
    for (const { host } of this.controllers) home.part(host, false);
    await this.#watch(reconnectedMs);
    const present = this.#present;
    for (const { client, name } of present) {
      if (client.state !== 'CONNECTED') home.problem(`${name} is ${client.state} in a network that is well`);
    }
    const sustained = present.flatMap(({ client }) => client.subscriptions.filter((each) => each.sustained));
    // One that failed again and again waits for up to an hour and its jitter.
    await home.network.runUntil(
      () => sustained.every(({ state }) => state === 'ACTIVE' || state === 'ENDED'),
      {
        limitMs: 4_500_000,
      },
    );
    for (const feature of features) home.change(feature, attributes);
    await this.#watch(quietMs);
    for (const controller of present) controller.expectUpToDate();
    const live = present.flatMap(({ client }) =>
      client.subscriptions.filter(({ state }) => state === 'ACTIVE'),
    );
    expect(home.device.connections).toBe(present.length);
    expect(home.device.subscriptions).toBe(live.length);
    for (const { client } of present) expect([client.connection?.pending, client.held]).toEqual([0, 0]);
    expect(present.map(({ waiting }) => waiting)).toEqual(present.map(() => 0));
  }

  /** Nothing is left of anybody, whether they say good-bye or not. */
  async #end(): Promise<void> {
    const { dice, home } = this;
    if (dice.chance(0.5)) {
      for (const { host } of this.#present) home.part(host, true);
      await this.#watch(2 * transportTimeoutMs);
      expect([home.device.connections, home.device.subscriptions]).toEqual([0, 0]);
    }
    for (const controller of this.#present) controller.close();
    await this.#watch(20_000);
    expect([home.device.connections, home.device.subscriptions]).toEqual([0, 0]);
    await home.network.runUntil(home.close());
    await this.#watch(2 * transportTimeoutMs);
    expect(this.controllers.map(({ waiting }) => waiting)).toEqual(this.controllers.map(() => 0));
    expect(this.controllers.map(({ wheel }) => wheel.size)).toEqual(this.controllers.map(() => 0));
    expect(home.wheel.size).toBe(0);
    expect(home.problems).toEqual([]);
  }
}

// A test each: one that takes long on a busy machine is not stopped for all of them together.
describe('whatever the network does, every request has one outcome and subscribers know the newest or that they may not', () => {
  test.each(seeds)('HAWSER_SEED=%i', async (seed) => {
    const simulation = new Simulation(seed);
    try {
      await simulation.run();
      expect(simulation.home.problems).toEqual([]);
    } catch (error) {
      const problems = simulation.home.problems.slice(0, 10).join('\n');
      throw new Error(`HAWSER_SEED=${seed}: ${error}\n${problems}`, { cause: error });
    }
  });
});
