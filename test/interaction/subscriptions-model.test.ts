// The manager against one that is too simple to be wrong: it keeps lists, and looks at everything in every millisecond.

import { expect, test } from 'vitest';
import { type Random, seededRandom } from '../../src/base/random.js';
import type { NotificationKind } from '../../src/interaction/messages.js';
import {
  SubscriptionManager,
  type SubscriptionManagerOptions,
  type SubscriptionTerms,
} from '../../src/interaction/subscriptions.js';
import type { Value } from '../../src/interaction/values.js';
import { VirtualTime } from './virtual-time.js';

const deep = process.env.HAWSER_TEST_DEEP === '1';
const only = process.env.HAWSER_SEED;
const seeds =
  only === undefined ? Array.from({ length: deep ? 10_000 : 300 }, (_, seed) => seed) : [Number(only)];

const runMs = 3000;
const peers = ['a', 'b', 'c'];
const endpoints = [0, 1];
const features = [0, 255];
const attributes = [1, 2, 3];

/** Values as text, alike for equal ones. */
function show(value: Value | undefined): string {
  if (value instanceof Uint8Array) return `bytes ${[...value]}`;
  if (value instanceof Map) return `map ${[...value].map(([key, each]) => `${key}=${show(each)}`).sort()}`;
  return Array.isArray(value) ? `[${value.map(show)}]` : `${value}`;
}

function makeValue(kind: number): Value {
  return [0, 1, 2n, 'text', Number.NaN, Uint8Array.of(1), [1, [2]], new Map([[1, 2]])][kind] ?? null;
}

type Policy = Required<
  Pick<
    SubscriptionManagerOptions<string>,
    'coalesceFrom' | 'suppressBounceBack' | 'heartbeat' | 'state' | 'maxPerPeer' | 'autoCorrectIntervals'
  >
>;

interface NaiveSubscription {
  readonly id: number;
  readonly peer: string;
  readonly terms: SubscriptionTerms;
  readonly minMs: number;
  readonly maxMs: number;
  sequence: number;
  lastMs: number;
  windowMs: number | undefined;
  notified: [number, Value][];
  collected: [number, Value][];
}

class NaiveManager {
  readonly log: string[] = [];
  readonly #policy: Policy;
  #subscriptions: NaiveSubscription[] = [];
  #ids = 0;
  #nowMs = 0;

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const each of this.#subscriptions) {
      if (each.windowMs !== undefined && each.windowMs <= nowMs) this.#flush(each);
    }
    for (const peer of peers) {
      const own = this.#subscriptions.filter((each) => each.peer === peer);
      if (!own.some((each) => each.lastMs + each.maxMs <= nowMs)) continue;
      for (const each of own) {
        const dueMs = each.lastMs + each.maxMs;
        const isNear = dueMs - Math.min(100, each.maxMs / 10) <= nowMs;
        if (dueMs <= nowMs || (isNear && each.lastMs + each.minMs <= nowMs)) this.#beat(each);
      }
    }
  }

  subscribe(peer: string, terms: SubscriptionTerms, values: [number, Value][]): string {
    let minMs = terms.minIntervalMs ?? 0;
    let maxMs = terms.maxIntervalMs ?? 0;
    if (maxMs === 0) return 'CONSTRAINT_ERROR';
    if (minMs > maxMs) {
      if (!this.#policy.autoCorrectIntervals) return 'CONSTRAINT_ERROR';
      [minMs, maxMs] = [maxMs, minMs];
    }
    const own = this.#subscriptions.filter((each) => each.peer === peer);
    if (own.length >= this.#policy.maxPerPeer) return 'RESOURCE_EXHAUSTED';
    const made: NaiveSubscription = {
      id: ++this.#ids,
      peer,
      terms,
      minMs,
      maxMs,
      sequence: 0,
      lastMs: this.#nowMs,
      windowMs: undefined,
      notified: [],
      collected: [],
    };
    this.#subscriptions.push(made);
    this.#send(
      made,
      'priming',
      values.filter(([attribute]) => this.#covers(made, attribute)),
    );
    return `${made.id} ${minMs} ${maxMs}`;
  }

  unsubscribe(peer: string, id: number): string {
    const before = this.#subscriptions.length;
    this.#subscriptions = this.#subscriptions.filter((each) => each.id !== id || each.peer !== peer);
    return this.#subscriptions.length < before ? 'SUCCESS' : 'INVALID_PARAMETER';
  }

  clear(peer: string): number {
    const before = this.#subscriptions.length;
    this.#subscriptions = this.#subscriptions.filter((each) => each.peer !== peer);
    return before - this.#subscriptions.length;
  }

  change(endpoint: number, feature: number, attribute: number, value: Value): void {
    for (const each of this.#subscriptions) {
      if (each.terms.endpoint !== endpoint || each.terms.feature !== feature) continue;
      if (!this.#covers(each, attribute)) continue;
      each.collected = [...each.collected.filter(([other]) => other !== attribute), [attribute, value]];
      if (each.minMs === 0) this.#flush(each);
      else if (each.windowMs === undefined) {
        const fromMs = this.#policy.coalesceFrom === 'firstChange' ? this.#nowMs : each.lastMs;
        each.windowMs = Math.max(this.#nowMs, fromMs + each.minMs);
      }
    }
  }

  #covers({ terms }: NaiveSubscription, attribute: number): boolean {
    return terms.attributes.length === 0 || terms.attributes.includes(attribute);
  }

  /** What is to be told of what was collected. */
  #changes({ collected, notified }: NaiveSubscription): [number, Value][] {
    if (!this.#policy.suppressBounceBack) return collected;
    return collected.filter(([attribute, value]) => {
      const last = notified.find(([other]) => other === attribute);
      return last === undefined || show(last[1]) !== show(value);
    });
  }

  #flush(subscription: NaiveSubscription): void {
    const changes = this.#changes(subscription);
    const told = this.#policy.state === 'full' ? [...subscription.notified, ...changes] : changes;
    if (changes.length > 0) this.#send(subscription, 'change', told);
    subscription.collected = [];
    subscription.windowMs = undefined;
  }

  #beat(subscription: NaiveSubscription): void {
    const { notified, collected } = subscription;
    if (this.#policy.heartbeat === 'full') this.#send(subscription, 'heartbeat', [...notified, ...collected]);
    else if (this.#changes(subscription).length > 0) this.#flush(subscription);
    else this.#send(subscription, 'heartbeat', []);
    subscription.collected = [];
    subscription.windowMs = undefined;
  }

  #send(subscription: NaiveSubscription, kind: NotificationKind, changes: [number, Value][]): void {
    subscription.notified = [...new Map([...subscription.notified, ...changes])];
    subscription.lastMs = this.#nowMs;
    const { peer, id, terms } = subscription;
    this.log.push(
      line(this.#nowMs, peer, id, ++subscription.sequence, kind, terms.endpoint, terms.feature, changes),
    );
  }
}

function line(
  atMs: number,
  peer: string,
  id: number,
  sequence: number | undefined,
  kind: NotificationKind,
  endpoint: number,
  feature: number,
  changes: Iterable<[number, Value]>,
): string {
  const all = [...new Map(changes)].map(([attribute, value]) => `${attribute}=${show(value)}`).sort();
  const at = `${atMs}`.padStart(6);
  return `${at} ${peer} #${`${id}`.padStart(4)}.${`${sequence}`.padStart(4)} ${kind} ${endpoint}/${feature} ${all}`;
}

function pick<T>(random: Random, from: readonly T[]): T {
  const picked = from[Math.floor(random() * from.length)];
  if (picked === undefined) throw new Error('nothing to pick from');
  return picked;
}

/** Both managers, with the same device. */
class Pair {
  readonly time = new VirtualTime();
  readonly log: string[] = [];
  readonly naive: NaiveManager;
  readonly manager: SubscriptionManager<string>;
  readonly #random: Random;
  /** By endpoint, feature and attribute. */
  readonly #values = new Map<string, Value>();
  #lastId = 0;

  constructor(random: Random) {
    this.#random = random;
    const policy: Policy = {
      coalesceFrom: pick(random, ['firstChange', 'lastNotification']),
      suppressBounceBack: random() < 0.7,
      heartbeat: pick(random, ['full', 'empty']),
      state: random() < 0.8 ? 'delta' : 'full',
      maxPerPeer: pick(random, [3, 8]),
      autoCorrectIntervals: random() < 0.5,
    };
    this.naive = new NaiveManager(policy);
    this.manager = new SubscriptionManager<string>({
      wheel: this.time.wheel,
      notify: (peer, { subscriptionId, sequence, kind, endpoint, feature, changes }) => {
        this.log.push(
          line(this.time.nowMs, peer, subscriptionId, sequence, kind, endpoint, feature, changes),
        );
        return true;
      },
      ...policy,
    });
  }

  runTo(atMs: number): void {
    this.time.runTo(atMs);
    this.naive.tick(atMs);
  }

  /** Does one thing to both. @returns what each answered. */
  step(): [string, string] {
    const what = this.#random();
    if (what < 0.15) return this.#subscribe();
    if (what < 0.22) {
      const id = Math.ceil(this.#random() * this.#lastId * 1.1);
      const peer = pick(this.#random, peers);
      return [this.manager.unsubscribe(peer, id), this.naive.unsubscribe(peer, id)];
    }
    if (what < 0.24) {
      const peer = pick(this.#random, peers);
      return [`${this.manager.clear(peer)}`, `${this.naive.clear(peer)}`];
    }
    return this.#change();
  }

  #subscribe(): [string, string] {
    const random = this.#random;
    const terms = {
      endpoint: pick(random, endpoints),
      feature: pick(random, features),
      attributes: random() < 0.3 ? [] : attributes.filter(() => random() < 0.6),
      minIntervalMs: pick(random, [0, 0, 1, 7, 40, 300]),
      maxIntervalMs: pick(random, [0, 20, 45, 50, 333, 1000, 1100, 1500]),
    };
    const peer = pick(random, peers);
    const values = attributes.flatMap((attribute): [number, Value][] => {
      const value = this.#values.get(`${terms.endpoint}/${terms.feature}/${attribute}`);
      return value === undefined ? [] : [[attribute, value]];
    });
    const got = this.manager.subscribe(peer, terms, () => new Map(values));
    if (typeof got === 'string') return [got, this.naive.subscribe(peer, terms, values)];
    this.#lastId = got.subscriptionId;
    const answer = `${got.subscriptionId} ${got.minIntervalMs} ${got.maxIntervalMs}`;
    return [answer, this.naive.subscribe(peer, terms, values)];
  }

  #change(): [string, string] {
    const random = this.#random;
    const [endpoint, feature, attribute] = [
      pick(random, endpoints),
      pick(random, features),
      pick(random, attributes),
    ];
    const value = makeValue(Math.floor(random() * (random() < 0.5 ? 2 : 9)));
    this.#values.set(`${endpoint}/${feature}/${attribute}`, value);
    this.manager.notifyChange(endpoint, feature, attribute, value);
    this.naive.change(endpoint, feature, attribute, value);
    return ['', ''];
  }
}

test('over random sequences it notifies exactly what the simple one does, when that does', () => {
  const kinds = new Map<string, number>();
  for (const seed of seeds) {
    const random = seededRandom(seed);
    const pair = new Pair(random);
    const busy = pick(random, [0.02, 0.1, 0.5]);
    for (let atMs = 0; atMs < runMs; ++atMs) {
      pair.runTo(atMs);
      while (random() < busy) {
        const [got, wanted] = pair.step();
        if (got !== wanted) expect(got, `HAWSER_SEED=${seed}, at ${atMs} ms`).toBe(wanted);
      }
      // What is due at once.
      pair.runTo(atMs);
    }
    // What happens in one millisecond has no order between subscriptions.
    expect(pair.log.sort(), `HAWSER_SEED=${seed}`).toEqual(pair.naive.log.sort());
    for (const each of pair.log) {
      const kind = /(priming|change|heartbeat)/.exec(each)?.[0] ?? '';
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
  }
  // It has compared something.
  for (const kind of ['priming', 'change', 'heartbeat']) {
    expect(kinds.get(kind), kind).toBeGreaterThan(seeds.length);
  }
});
