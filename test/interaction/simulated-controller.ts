// A client in a simulated home, which judges whatever it is told.

import { HawserError } from '../../src/base/errors.js';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { ClientSubscription } from '../../src/interaction/client-subscription.js';
import {
  InteractionClient,
  type InteractionClientOptions,
} from '../../src/interaction/interaction-client.js';
import type { Notification } from '../../src/interaction/messages.js';
import { hawserConnector } from '../../src/interaction/over-hawser.js';
import { type RequestOptions, StatusError } from '../../src/interaction/pending-requests.js';
import type { StaleReason } from '../../src/interaction/requester.js';
import type { SubscriptionTerms } from '../../src/interaction/subscriptions.js';
import type { Value } from '../../src/interaction/values.js';
import {
  attributes,
  type Dice,
  endpoint,
  features,
  type Home,
  transportTimeoutMs,
} from './simulated-home.js';

const maxAgeMs = 20_000;
const requestTimeoutMs = 15_000;
/** What the network may add to anything: its delay, and a few times that for what is sent again. */
const slackMs = 3000;

export type Behaviour = Pick<InteractionClientOptions, 'resubscribe' | 'hold' | 'reconnection'> & {
  readonly livenessGraceMs: number | false;
  readonly pings: boolean;
  /** Whether the application takes a while to accept a connection, and sometimes does not. */
  readonly accepts: boolean;
};

export function drawBehaviour(dice: Dice): Behaviour {
  return {
    resubscribe: dice.chance(0.5),
    ...(dice.chance(0.5) && { hold: { maxAgeMs, maxRequests: dice.pick([2, 100]) } }),
    reconnection: {
      firstAttemptSpreadMs: dice.pick([0, 0, 5000]),
      stableMs: dice.pick([0, 0, 3000]),
      firstAttemptAtOnce: dice.chance(0.2),
    },
    livenessGraceMs: dice.pick([1000, 5000, false]),
    pings: dice.chance(0.3),
    accepts: dice.chance(0.3),
  };
}

/** Why a request may have had no success. */
type Failure = Exclude<HawserError['code'], 'ERR_HAWSER_STATUS'> | StatusError['status'];

function failureOf(error: unknown): Failure | undefined {
  if (error instanceof StatusError) return error.status;
  if (error instanceof HawserError && error.code !== 'ERR_HAWSER_STATUS') return error.code;
  return undefined;
}

/** After these a command that is sent once has not run, and never will. */
const refusals: readonly Failure[] = ['ERR_HAWSER_NOT_CONNECTED', 'ERR_HAWSER_QUEUE_FULL', 'BUSY'];

/** What may happen to any request. */
const always: readonly Failure[] = ['ERR_HAWSER_CONNECTION_LOST', ...refusals];

/** How something was asked. */
interface Asked {
  readonly options: RequestOptions;
  /** Before that it cannot have timed out. */
  readonly patientMs: number;
  /** When the answer is overdue. */
  readonly dueMs: number;
}

/** One listener, and what it has heard. */
class Watch {
  readonly terms: SubscriptionTerms;
  readonly attributes: readonly number[];
  readonly controller: Controller;
  readonly name: string;
  subscription: ClientSubscription | undefined;
  /** Since when nothing may be heard any more. */
  isOver = false;
  isPrimed = false;
  isStale = false;
  /** Whether it may be primed anew: its subscription was lost, or was made anew since it was silent. */
  mayPrime = true;
  /** When it heard something last. */
  toldMs = 0;
  readonly values = new Map<number, number>();

  constructor(controller: Controller, terms: SubscriptionTerms, name: string) {
    this.controller = controller;
    this.terms = terms;
    this.attributes = terms.attributes.length === 0 ? attributes : terms.attributes;
    this.name = name;
  }

  notified({ kind, changes }: Notification): void {
    if (this.isOver || this.isEnded) this.#problem(`heard ${kind} after its end`);
    if (kind === 'priming') this.#primed(changes.size);
    else if (!this.isPrimed) this.#problem(`heard ${kind} before its priming`);
    this.isStale = false;
    this.toldMs = this.controller.home.clock.now();
    for (const [attribute, value] of changes) this.#learn(attribute, value);
  }

  stale(reason: StaleReason): void {
    if (this.isOver) this.#problem(`was stale (${reason}) after its end`);
    if (!this.isPrimed) this.#problem(`was stale (${reason}) before its priming`);
    this.isStale = true;
    if (reason === 'connectionLost') this.isPrimed = false;
    // A sustained one is made anew, which begins with a priming.
    if (reason === 'connectionLost' || this.subscription?.sustained !== false) this.mayPrime = true;
  }

  #primed(size: number): void {
    if (!this.mayPrime) this.#problem('was primed twice');
    if (size !== this.attributes.length) this.#problem(`was primed with ${size} attributes`);
    this.mayPrime = false;
    this.isPrimed = true;
  }

  #learn(attribute: number, value: Value): void {
    const counter = this.controller.home.counter(this.terms.feature, attribute);
    if (!this.attributes.includes(attribute)) this.#problem(`heard of ${attribute}`);
    const known = this.values.get(attribute) ?? 0;
    if (!counter.had(value)) this.#problem(`heard ${value} of ${attribute}, which it never was`);
    else if (value < known) this.#problem(`went back from ${known} to ${value}`);
    else this.values.set(attribute, value);
  }

  /** No change is missed, and nothing at all heard, for longer than it takes to be stale. */
  check(): void {
    // Who leaves knows, and is not told.
    const { isAway, isClosing } = this.controller;
    if (this.isOver || this.isEnded || this.isStale || !this.isPrimed || isAway || isClosing) return;
    const nowMs = this.controller.home.clock.now();
    const latestMs = nowMs - this.#unnoticedMs;
    if (nowMs > this.toldMs + this.#silentMs) this.#problem(`has heard nothing since ${this.toldMs} ms`);
    for (const attribute of this.attributes) {
      const sinceMs = this.#newerSinceMs(attribute);
      if (sinceMs < latestMs) this.#problem(`has missed a change of ${attribute} since ${sinceMs} ms`);
    }
  }

  get isEnded(): boolean {
    return this.subscription?.state === 'ENDED';
  }

  /** Whether it has the newest value of each attribute. */
  get isUpToDate(): boolean {
    return this.attributes.every((each) => this.#newerSinceMs(each) === Number.POSITIVE_INFINITY);
  }

  #newerSinceMs(attribute: number): number {
    const counter = this.controller.home.counter(this.terms.feature, attribute);
    return counter.newerSinceMs(this.values.get(attribute) ?? -1);
  }

  /** When silence makes it stale. */
  get #silentMs(): number {
    const { livenessGraceMs } = this.controller.behaviour;
    const maxIntervalMs = this.subscription?.maxIntervalMs ?? this.terms.maxIntervalMs ?? 60_000;
    return livenessGraceMs === false ? Number.POSITIVE_INFINITY : maxIntervalMs + livenessGraceMs;
  }

  /** Where silence does not, the transport does, or a heartbeat that is not lost tells the change. */
  get #unnoticedMs(): number {
    const { minIntervalMs = 1000, maxIntervalMs = 60_000 } = this.terms;
    const latestMs = 5 * (transportTimeoutMs + maxIntervalMs);
    return minIntervalMs + Math.min(this.#silentMs, latestMs) + slackMs;
  }

  #problem(what: string): void {
    this.controller.problem(`${this.name} ${what}`);
  }
}

/** A client and everything that it waits for. */
export class Controller {
  readonly home: Home;
  readonly name: string;
  readonly host: string;
  readonly wheel: TimingWheel;
  readonly behaviour: Behaviour;
  readonly client: InteractionClient;
  /** What it listens to, or has listened to. */
  readonly watches: Watch[] = [];
  /** Those that could not be made anew since they were primed last. */
  readonly failed = new Set<ClientSubscription>();
  isParted = false;
  isClosing = false;
  /** The application has called `disconnect`. */
  isAway = false;
  readonly #waiting = new Set<{ readonly what: string; readonly dueMs: number }>();

  constructor(home: Home, number: number) {
    this.home = home;
    this.name = `client ${number}`;
    this.host = `10.1.0.${number}`;
    this.wheel = new TimingWheel(home.clock, (error) => this.problem(`a timer threw ${error}`));
    this.behaviour = drawBehaviour(home.dice);
    this.client = this.#newClient(BigInt(number));
  }

  problem(what: string): void {
    this.home.problem(`${this.name} ${what}`);
  }

  #newClient(clientId: bigint): InteractionClient {
    const { home, wheel } = this;
    const { livenessGraceMs, pings, accepts, ...behaviour } = this.behaviour;
    const client = new InteractionClient({
      ...behaviour,
      connector: hawserConnector(() => home.token(clientId), {
        network: home.network,
        address: `${this.host}:0`,
      }),
      connection: {
        codec: home.codec(),
        livenessGraceMs,
        requestTimeoutMs,
        ...(pings && { keepAlive: { source: 'ping', pingIntervalMs: 4000, pongTimeoutMs: 2000 } }),
      },
      ...(accepts && {
        accepted: async (connection, signal) => {
          await connection.read(endpoint, home.dice.pick(features), [], { signal });
          if (!home.isWell && home.dice.chance(0.1))
            throw new Error('the application does not accept the gateway');
        },
      }),
      wheel,
      random: home.dice.random,
    });
    client.on('listenerError', (error, source) => this.problem(`${source} threw ${error}`));
    client.on('resubscribed', (subscription) => this.failed.delete(subscription));
    client.on('resubscribeFailed', (subscription) => this.failed.add(subscription));
    return client;
  }

  // ---- What it waits for -------------------------------------------------------------------------------------------

  /** Promises that have not settled. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** What should have happened by now has. */
  check(): void {
    const nowMs = this.home.clock.now();
    for (const each of this.#waiting) {
      if (each.dueMs >= nowMs) continue;
      this.problem(`${each.what} has had no outcome since ${each.dueMs} ms`);
      this.#waiting.delete(each);
    }
    for (const watch of this.watches) watch.check();
  }

  /** In a network that is well, after a while without changes. */
  expectUpToDate(): void {
    for (const { subscription, isStale, isUpToDate, name } of this.watches) {
      if (subscription === undefined || subscription.state === 'ENDED') continue;
      if (subscription.state === 'ACTIVE' && !isStale) {
        if (!isUpToDate) this.problem(`${name} has not the newest values`);
      } else if (subscription.sustained || !this.failed.has(subscription)) {
        this.problem(`${name} is ${subscription.state}`);
      }
    }
  }

  /**
   * @param allowed what it may fail with beside what anything may fail with.
   * @returns what it failed with; undefined when it succeeded.
   */
  async #wait<T>(
    what: string,
    { options, patientMs, dueMs }: Asked,
    promise: Promise<T>,
    succeeded: (result: T) => void,
    allowed: readonly Failure[] = [],
  ): Promise<Failure | undefined> {
    const waiting = { what, dueMs };
    this.#waiting.add(waiting);
    try {
      succeeded(await promise);
      return undefined;
    } catch (error) {
      const failure = failureOf(error);
      const isExpected: Partial<Record<Failure, boolean>> = {
        ERR_HAWSER_ABORTED: options.signal?.aborted === true,
        ERR_HAWSER_CLOSED: this.isAway || this.isClosing,
        ERR_HAWSER_TIMED_OUT: this.home.clock.now() >= patientMs,
      };
      const isRight = failure !== undefined && (isExpected[failure] ?? always.includes(failure));
      if (!isRight && !allowed.some((each) => each === failure)) this.problem(`${what} failed: ${error}`);
      return failure;
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  /** How the next request is made: sometimes given up on the way, or with little time. */
  #asked(): Asked {
    const { dice, clock } = this.home;
    const timeoutMs = dice.chance(0.3) ? dice.magnitude(10, requestTimeoutMs) : undefined;
    const controller = dice.chance(0.3) ? new AbortController() : undefined;
    if (dice.chance(0.05)) controller?.abort();
    else if (controller !== undefined) clock.setTimeout(() => controller.abort(), dice.magnitude(1, 20_000));
    const answeredMs = timeoutMs ?? requestTimeoutMs;
    const heldMs = this.behaviour.hold === undefined ? 0 : maxAgeMs;
    return {
      patientMs: clock.now() + Math.min(answeredMs, heldMs || answeredMs),
      dueMs: clock.now() + answeredMs + heldMs,
      options: {
        ...(timeoutMs !== undefined && { timeoutMs }),
        ...(controller !== undefined && { signal: controller.signal }),
      },
    };
  }

  /** What is no request, and takes so long at most. */
  #within(durationMs: number): Asked {
    return { options: {}, patientMs: Number.POSITIVE_INFINITY, dueMs: this.home.clock.now() + durationMs };
  }

  // ---- What it does ------------------------------------------------------------------------------------------------

  connect(): void {
    this.isAway = false;
    const asked = this.#within(Number.POSITIVE_INFINITY);
    void this.#wait('connect', asked, this.client.connect(), () => undefined, ['ERR_HAWSER_ABORTED']);
  }

  disconnect(): void {
    this.isAway = true;
    void this.#wait('disconnect', this.#within(20_000), this.client.disconnect(), () => undefined);
  }

  close(): void {
    this.isClosing = true;
    void this.#wait('close', this.#within(20_000), this.client.close(), () => {
      if (this.wheel.size > 0) this.problem(`is closed, and has ${this.wheel.size} timers`);
    });
  }

  read(): void {
    const { dice } = this.home;
    const isWrong = dice.chance(0.05);
    const feature = dice.pick(features);
    const wanted = dice.chance(0.3) ? [] : dice.some(attributes);
    const atLeast = attributes.map((each) => [each, this.home.counter(feature, each).value] as const);
    const asked = this.#asked();
    const { options } = asked;
    void this.#wait(
      'read',
      asked,
      this.client.read(isWrong ? 9 : endpoint, feature, wanted, options),
      (values) => {
        if (isWrong) this.problem('read what is not there');
        for (const [attribute, least] of atLeast) {
          const value = values.get(attribute);
          const isWanted = wanted.length === 0 || wanted.includes(attribute);
          const isRight = this.home.counter(feature, attribute).had(value) && value >= least;
          if (isWanted ? !isRight : value !== undefined) this.problem(`read ${value} of ${attribute}`);
        }
      },
      isWrong ? ['INVALID_ENDPOINT'] : [],
    );
  }

  write(): void {
    const { home } = this;
    const feature = home.dice.pick(features);
    const attribute = home.dice.pick(attributes);
    const value = home.nextValue();
    const asked = this.#asked();
    const { options } = asked;
    void this.#wait(
      'write',
      asked,
      this.client.write(endpoint, feature, new Map([[attribute, value]]), options),
      () => {
        if (!home.counter(feature, attribute).had(value)) this.problem('wrote what the device never was');
      },
      // Another write, or a change, was faster.
      ['CONSTRAINT_ERROR'],
    );
  }

  invoke(): void {
    const { home } = this;
    const idempotent = home.dice.chance(0.5);
    const call = home.nextCall(!idempotent);
    const asked = this.#asked();
    const { options } = asked;
    const parameters = new Map([['call', call]]);
    void this.#wait(
      'invoke',
      asked,
      this.client.invoke(endpoint, home.dice.pick(features), 1, parameters, { ...options, idempotent }),
      (answer) => {
        const answered = answer instanceof Map ? answer.get('call') : undefined;
        if (answered !== call) this.problem(`got the answer to ${answered} for ${call}`);
        if (home.runsOf(call) === 0) this.problem('got the answer of a command that never ran');
      },
    ).then((failure) => {
      if (!idempotent && failure !== undefined && refusals.includes(failure)) home.refuse(call);
    });
  }

  subscribe(): void {
    const { dice, clock } = this.home;
    // mash has no word for none.
    const minIntervalMs = dice.pick([this.home.codec().name === 'mash' ? 1 : 0, 100, 1000]);
    const terms = {
      endpoint,
      feature: dice.pick(features),
      attributes: dice.chance(0.3) ? [] : dice.some(attributes),
      minIntervalMs,
      maxIntervalMs: dice.pick([2000, 5000, 20_000]),
    };
    const sustained = dice.chance(0.4);
    const asked = this.#asked();
    // Each attempt of a sustained one has the timeout: with little time it would never be made where answers take longer.
    const { timeoutMs: _, ...patient } = asked.options;
    const watch = new Watch(this, terms, `subscription ${this.watches.length}`);
    this.watches.push(watch);
    const made = this.client.subscribe(
      terms,
      { notified: (each) => watch.notified(each), stale: (reason) => watch.stale(reason) },
      { ...(sustained ? patient : asked.options), sustained, critical: dice.chance(0.2) },
    );
    void this.#wait(
      'subscribe',
      // A sustained one is waited for as long as it takes.
      sustained ? { ...this.#within(Number.POSITIVE_INFINITY), options: asked.options } : asked,
      made,
      (subscription) => {
        watch.subscription = subscription;
        const left = dice.chance(0.6) ? dice.magnitude(10, 120_000) : undefined;
        if (left !== undefined) clock.setTimeout(() => this.#unsubscribe(watch, subscription), left);
      },
    ).then(() => {
      watch.isOver ||= watch.subscription === undefined;
    });
  }

  /** Ends one of its subscriptions. */
  unsubscribe(): void {
    const live = this.watches.filter(
      ({ isOver, isEnded, subscription }) => !(isOver || isEnded) && subscription,
    );
    if (live.length === 0) return;
    const watch = this.home.dice.pick(live);
    if (watch.subscription !== undefined) this.#unsubscribe(watch, watch.subscription);
  }

  #unsubscribe(watch: Watch, subscription: ClientSubscription): void {
    const asked = this.#asked();
    const { options } = asked;
    void this.#wait('unsubscribe', asked, subscription.unsubscribe(options), () => undefined).then(() => {
      watch.isOver = true;
    });
  }
}
