// A home in a simulated network: a gateway with a device whose attributes only grow, so that whatever a client hears of them can be judged.

import { type Random, seededRandom } from '../../src/base/random.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import { Server } from '../../src/index.js';
import type { MessageCodec } from '../../src/interaction/codec.js';
import { Device, type DeviceHandlers, type WriteOutcome } from '../../src/interaction/device.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import type { Answer, InteractionConnection } from '../../src/interaction/interaction-connection.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import {
  type InteractionChannels,
  interactionChannels,
  serveInteraction,
} from '../../src/interaction/over-hawser.js';
import type { SubscriptionManagerOptions } from '../../src/interaction/subscriptions.js';
import type { Value } from '../../src/interaction/values.js';
import { type LinkSettings, SimulatedNetwork, type VirtualClock } from '../../src/testing/index.js';
import { createTokenMinter, type TokenMinter } from '../../src/token/index.js';
import { protocolId, serverKey } from '../transport/support.js';

export const endpoint = 1;
export const features: readonly number[] = [1, 2];
export const attributes: readonly number[] = [1, 2, 3, 4];

/** After so long without a word either side of a connection takes the other for gone. */
export const transportTimeoutMs = 5000;

const gatewayAddress = '10.9.0.1:4000';

/** Draws of one seed. */
export class Dice {
  readonly random: Random;

  constructor(seed: number) {
    this.random = seededRandom(seed);
  }

  chance(probability: number): boolean {
    return this.random() < probability;
  }

  /** A whole number from `least` to `most`. */
  between(least: number, most: number): number {
    return least + Math.floor(this.random() * (most - least + 1));
  }

  /** As `between`, but as likely in each order of magnitude. */
  magnitude(least: number, most: number): number {
    return Math.round(least * (most / least) ** this.random());
  }

  pick<T>(all: readonly T[]): T {
    const picked = all[this.between(0, all.length - 1)];
    if (picked === undefined) throw new Error('there is nothing to pick from');
    return picked;
  }

  /** Some of them, at least one. */
  some<T>(all: readonly T[]): readonly T[] {
    const certain = this.pick(all);
    return all.filter((each) => each === certain || this.chance(0.5));
  }
}

/** An attribute that only grows, and when it did. */
export class Counter {
  readonly #values: { readonly value: number; readonly sinceMs: number }[] = [{ value: 0, sinceMs: 0 }];

  get value(): number {
    return this.#values.at(-1)?.value ?? 0;
  }

  grow(value: number, nowMs: number): void {
    if (value > this.value) this.#values.push({ value, sinceMs: nowMs });
  }

  had(value: Value | undefined): value is number {
    return this.#values.some((each) => each.value === value);
  }

  /** Since when there has been a newer value than that; Infinity when that is the newest. */
  newerSinceMs(value: number): number {
    return this.#values.find((each) => each.value > value)?.sinceMs ?? Number.POSITIVE_INFINITY;
  }
}

export interface HomeOptions {
  readonly codec: MessageCodec['name'];
  readonly unreliableState: boolean;
  readonly subscriptions: Pick<
    SubscriptionManagerOptions<InteractionConnection>,
    'coalesceFrom' | 'heartbeat' | 'maxIntervalSpread'
  >;
  /** Whether a new gateway can tell clients of an earlier one that it does not know them. */
  readonly resets: boolean;
  readonly link: LinkSettings;
}

/** The gateway, its device and the network around them. */
export class Home {
  readonly dice: Dice;
  readonly network: SimulatedNetwork;
  /** That of the gateways, one after the other. */
  readonly wheel: TimingWheel;
  readonly codec: () => MessageCodec;
  /** What should not have happened. */
  readonly problems: string[] = [];
  /** The network is well for good. */
  isWell = false;
  readonly #options: HomeOptions;
  readonly #counters = new Map<string, Counter>();
  #minter: TokenMinter | undefined;
  #server: Server<InteractionChannels> | undefined;
  #device: Device | undefined;
  #lastValue = 0;
  #lastCall = 0;
  /** How often each call of a command was carried out. */
  readonly #runs = new Map<number, number>();
  /** The calls of commands that may be carried out once, and of those that may not be any more. */
  readonly #once = new Set<number>();
  readonly #refused = new Set<number>();
  #isMoving = false;

  constructor(seed: number, dice: Dice, options: HomeOptions) {
    this.dice = dice;
    this.#options = options;
    this.network = new SimulatedNetwork({ seed, ...options.link });
    this.wheel = new TimingWheel(this.network.clock, (error) => this.problem(`a timer threw ${error}`));
    this.codec = () => (options.codec === 'mash' ? mashCodec() : hawserCodec());
  }

  get clock(): VirtualClock {
    return this.network.clock;
  }

  get device(): Device {
    if (this.#device === undefined) throw new Error('there is no gateway yet');
    return this.#device;
  }

  /** Whether there is a gateway that takes clients, and none is on its way. */
  get isSettled(): boolean {
    return !this.#isMoving && this.#server?.state === 'RUNNING';
  }

  problem(what: string): void {
    this.problems.push(`${this.clock.now()} ms: ${what}`);
  }

  counter(feature: number, attribute: number): Counter {
    const key = `${feature}/${attribute}`;
    const found = this.#counters.get(key) ?? new Counter();
    this.#counters.set(key, found);
    return found;
  }

  /** A value that is newer than all others. */
  nextValue(): number {
    return ++this.#lastValue;
  }

  /** The number of a call of a command. @param once whether it may be carried out only once. */
  nextCall(once: boolean): number {
    const call = ++this.#lastCall;
    if (once) this.#once.add(call);
    return call;
  }

  runsOf(call: number): number {
    return this.#runs.get(call) ?? 0;
  }

  /** Whoever called it was told that it was not carried out. */
  refuse(call: number): void {
    this.#refused.add(call);
    if (this.runsOf(call) > 0) this.problem(`command ${call} was refused, and has run`);
  }

  /** Some attributes of a feature change. */
  change(feature: number, changed: readonly number[]): void {
    const values = new Map(changed.map((attribute) => [attribute, this.nextValue()]));
    this.#grow(feature, values);
    this.device.notifyChanges(endpoint, feature, values);
  }

  token(clientId: bigint): Uint8Array {
    if (this.#minter === undefined) throw new Error('there is no gateway yet');
    return this.#minter.mint({ clientId });
  }

  // ---- Gateways ----------------------------------------------------------------------------------------------------

  async open(): Promise<void> {
    this.#minter ??= await createTokenMinter({
      protocolId,
      key: serverKey,
      addresses: [gatewayAddress],
      timeoutMs: transportTimeoutMs,
      now: () => this.clock.wallNow(),
      // So that the same seed gives the same bytes.
      random: (target) => target.set(this.network.randomBytes(target.length)),
    });
    const server = await Server.listen({
      network: this.network,
      address: gatewayAddress,
      protocolId,
      keys: [serverKey],
      channels: interactionChannels,
      ...(this.#options.resets && { resetKey: new Uint8Array(32).fill(7) }),
    });
    server.on('listenerError', (error, source) => this.problem(`${source} of the server threw ${error}`));
    const { subscriptions, unreliableState } = this.#options;
    const device = new Device({
      wheel: this.wheel,
      handlers: this.#handlers(),
      connections: { codec: this.codec() },
      subscriptions: { ...subscriptions, random: this.dice.random },
      unreliableState,
    });
    serveInteraction(server, (link) => {
      const connection = device.accept(link);
      connection.on('listenerError', (error, source) =>
        this.problem(`${source} of the device threw ${error}`),
      );
      return connection;
    });
    this.#server = server;
    this.#device = device;
  }

  async close(): Promise<void> {
    await this.#server?.close();
  }

  /**
   * One gateway goes and another comes.
   *
   * @param how `cut`: nobody hears of the end; `closed`: all are told; `drained`: they are asked to go first; `deviceClosed`: the device
   *   ends its connections, then the server is closed.
   */
  async replace(how: 'cut' | 'closed' | 'drained' | 'deviceClosed'): Promise<void> {
    if (!this.isSettled) return;
    this.#isMoving = true;
    if (how === 'cut') this.#cut(true);
    if (how === 'drained') {
      const [deadlineMs, reconnectSpreadMs] = [this.dice.between(0, 5000), this.dice.pick([0, 10_000])];
      await this.#server?.drain({ deadlineMs, reconnectSpreadMs });
    }
    if (how === 'deviceClosed') await this.device.close();
    await this.close();
    await this.clock.sleep(this.dice.magnitude(1, 30_000));
    this.#cut(false);
    await this.open();
    this.#isMoving = false;
  }

  /** The gateway sends one of its clients away. */
  dismiss(): void {
    const peers = [...(this.#server?.peers ?? [])];
    if (peers.length > 0) void this.dice.pick(peers).disconnect();
  }

  #cut(isCut: boolean): void {
    this.#setLinks(isCut ? { up: false } : {});
  }

  #setLinks(link: LinkSettings): void {
    this.network.setLink(gatewayAddress, undefined, link);
    this.network.setLink(undefined, gatewayAddress, link);
  }

  /** From now on nothing is lost, and no gateway goes. */
  async heal(): Promise<void> {
    await this.network.runUntil(() => !this.#isMoving, { limitMs: 100_000 });
    this.#setLinks({ lossRate: 0, duplicateRate: 0, reorderRate: 0 });
    this.isWell = true;
  }

  /** Cuts a host off from the gateway, or joins it again. */
  part(host: string, isParted: boolean): void {
    this.network.partition(`${host}:0`, gatewayAddress, isParted);
  }

  // ---- The device --------------------------------------------------------------------------------------------------

  #grow(feature: number, values: ReadonlyMap<number, number>): void {
    for (const [attribute, value] of values) this.counter(feature, attribute).grow(value, this.clock.now());
  }

  #handlers(): DeviceHandlers {
    return {
      read: (request) => {
        if (request.endpoint !== endpoint) return 'INVALID_ENDPOINT';
        if (!features.includes(request.feature)) return 'INVALID_FEATURE';
        const wanted = request.attributes.length === 0 ? attributes : request.attributes;
        return new Map(wanted.map((each) => [each, this.counter(request.feature, each).value]));
      },
      write: ({ feature, values }) => this.#soon(() => this.#write(feature, values)),
      invoke: ({ parameters }) => this.#soon(() => this.#run(parameters)),
    };
  }

  /** At once, or in a while. */
  #soon<T>(run: () => T): T | Promise<T> {
    if (this.dice.chance(0.5)) return run();
    return this.clock.sleep(this.dice.magnitude(1, 5000)).then(run);
  }

  #write(feature: number, values: ReadonlyMap<number, Value>): WriteOutcome {
    const grown = new Map<number, number>();
    for (const [attribute, value] of values) {
      if (typeof value !== 'number' || value < this.counter(feature, attribute).value)
        return 'CONSTRAINT_ERROR';
      grown.set(attribute, value);
    }
    this.#grow(feature, grown);
    this.device.notifyChanges(endpoint, feature, grown);
    return undefined;
  }

  #run(parameters: Value | undefined): Answer {
    const call = parameters instanceof Map ? parameters.get('call') : undefined;
    if (typeof call !== 'number') return { error: 'INVALID_PARAMETER' };
    this.#runs.set(call, this.runsOf(call) + 1);
    if (this.#refused.has(call)) this.problem(`command ${call} runs, and was refused`);
    if (this.#once.has(call) && this.runsOf(call) > 1) this.problem(`command ${call} runs again`);
    return { payload: new Map([['call', call]]) };
  }
}
