import { describe, expect, test } from 'vitest';
import { TimingWheel } from '../../src/base/timing-wheel.js';
import type { Notification, NotificationKind } from '../../src/interaction/messages.js';
import type { ErrorStatus } from '../../src/interaction/status.js';
import {
  type Subscribed,
  SubscriptionManager,
  type SubscriptionManagerOptions,
  type SubscriptionTerms,
} from '../../src/interaction/subscriptions.js';
import type { AttributeValues, Value } from '../../src/interaction/values.js';
import { VirtualTime } from './virtual-time.js';

interface Sent {
  readonly atMs: number;
  readonly peer: string;
  readonly id: number;
  readonly kind: NotificationKind;
  readonly changes: Record<number, Value>;
  readonly sequence: number | undefined;
}

const endpoint = 1;
const feature = 6;
const fast = { minIntervalMs: 0, maxIntervalMs: 60_000 };

/** A device with one feature of three attributes, and what its manager sends. */
class Device {
  readonly time = new VirtualTime();
  readonly sent: Sent[] = [];
  readonly whole: Notification[] = [];
  readonly cancelled: [peer: string, id: number, reason: string, error: unknown][] = [];
  readonly values = new Map<number, Value>([
    [1, 10],
    [2, 'off'],
    [3, null],
  ]);
  readonly manager: SubscriptionManager<string>;
  /** Peers that have no room. */
  readonly full = new Set<string>();
  /** What a notification does beside being sent. */
  reaction: (sent: Sent) => void = () => undefined;

  constructor(options: Partial<SubscriptionManagerOptions<string>> = {}) {
    this.manager = new SubscriptionManager<string>({
      wheel: this.time.wheel,
      notify: (peer, notification) => {
        if (this.full.has(peer)) return false;
        const { subscriptionId: id, kind, sequence } = notification;
        const changes = Object.fromEntries(notification.changes);
        const sent = { atMs: this.time.nowMs, peer, id, kind, changes, sequence };
        this.whole.push(notification);
        this.sent.push(sent);
        this.reaction(sent);
        return true;
      },
      cancelled: (...given) => this.cancelled.push([given[0], given[1], given[2], given[3]]),
      ...options,
    });
  }

  /** As a device reads: what is not there has its status. */
  read(terms: SubscriptionTerms): AttributeValues | ErrorStatus {
    if (terms.endpoint !== endpoint) return 'INVALID_ENDPOINT';
    if (terms.feature !== feature) return 'INVALID_FEATURE';
    return terms.attributes.some((each) => !this.values.has(each)) ? 'INVALID_ATTRIBUTE' : this.values;
  }

  ask(terms: Partial<SubscriptionTerms> = {}, peer = 'peer'): Subscribed | ErrorStatus {
    const all = { endpoint, feature, attributes: [], ...terms };
    return this.manager.subscribe(peer, all, () => this.read(all));
  }

  /** A subscription that must come about. */
  subscribe(terms: Partial<SubscriptionTerms> = {}, peer = 'peer'): Subscribed {
    const subscribed = this.ask(terms, peer);
    if (typeof subscribed === 'string') throw new Error(subscribed);
    return subscribed;
  }

  write(attribute: number, value: Value): void {
    this.values.set(attribute, value);
    this.manager.notifyChange(endpoint, feature, attribute, value);
  }

  writeAt(atMs: number, attribute: number, value: Value): void {
    this.time.runTo(atMs);
    this.write(attribute, value);
  }

  /** What was sent since the last call, as `[time, kind, changes]`. */
  take(peer?: string): [number, NotificationKind, Record<number, Value>][] {
    const taken = this.sent.filter((each) => peer === undefined || each.peer === peer);
    this.sent.length = 0;
    return taken.map(({ atMs, kind, changes }) => [atMs, kind, changes]);
  }
}

describe('priming', () => {
  test('TC-PROTO-004: one notification with the current values, before any change, not delayed', () => {
    const device = new Device();
    device.time.runTo(5);
    const subscribed = device.subscribe({ minIntervalMs: 10_000, maxIntervalMs: 60_000 });
    expect(device.whole).toEqual([
      {
        type: 'notification',
        subscriptionId: subscribed.subscriptionId,
        endpoint,
        feature,
        changes: new Map(device.values),
        kind: 'priming',
        sequence: 1,
      },
    ]);
    expect(subscribed).toEqual({
      subscriptionId: 1,
      values: new Map(device.values),
      minIntervalMs: 10_000,
      maxIntervalMs: 60_000,
    });
    expect(device.take()).toEqual([[5, 'priming', { 1: 10, 2: 'off', 3: null }]]);
    device.write(1, 11);
    device.time.runTo(20_000);
    expect(device.take()).toEqual([[10_005, 'change', { 1: 11 }]]);
  });

  test('TC-PROTO-004: a list of attributes filters it', () => {
    const device = new Device();
    const { values } = device.subscribe({ attributes: [2] });
    expect(values).toEqual(new Map([[2, 'off']]));
    expect(device.take()).toEqual([[0, 'priming', { 2: 'off' }]]);
  });

  test('comes also when there is no value', () => {
    const device = new Device();
    device.values.clear();
    expect(device.subscribe().values).toEqual(new Map());
    expect(device.take()).toEqual([[0, 'priming', {}]]);
  });

  test('starts the intervals: no heartbeat before the maximum from there', () => {
    const device = new Device();
    device.time.runTo(700);
    device.subscribe({ maxIntervalMs: 2000 });
    device.time.runTo(2699);
    expect(device.take()).toHaveLength(1);
    device.time.runTo(2700);
    expect(device.take()).toHaveLength(1);
  });

  test.each([0, 50])(
    'a change while the values are read comes after it, with a minimum of %d ms',
    (minIntervalMs) => {
      const device = new Device();
      const terms = { endpoint, feature, attributes: [], minIntervalMs };
      const before = new Map(device.values);
      const subscribed = device.manager.subscribe('peer', terms, () => {
        device.write(1, 11);
        return before;
      });
      expect(subscribed).toHaveProperty('values', before);
      device.time.runTo(500);
      expect(device.take()).toEqual([
        [0, 'priming', { 1: 10, 2: 'off', 3: null }],
        [minIntervalMs, 'change', { 1: 11 }],
      ]);
    },
  );

  test('a change while the values are read that is among them is not told twice', () => {
    const device = new Device();
    const terms = { endpoint, feature, attributes: [], ...fast };
    device.manager.subscribe('peer', terms, () => {
      device.write(1, 11);
      return device.values;
    });
    device.time.runTo(500);
    expect(device.take()).toEqual([[0, 'priming', { 1: 11, 2: 'off', 3: null }]]);
  });

  test('is not told of what the reader returned when that changes later', () => {
    const device = new Device();
    const { values } = device.subscribe();
    device.values.set(1, 99);
    expect(values.get(1)).toBe(10);
    expect(device.whole[0]?.changes.get(1)).toBe(10);
  });

  test.each([
    ['INVALID_ENDPOINT', { endpoint: 2 }],
    ['INVALID_FEATURE', { feature: 7 }],
    ['INVALID_ATTRIBUTE', { attributes: [1, 4] }],
  ] as const)('does not come when the reader answers %s, which is returned', (status, terms) => {
    const device = new Device();
    expect(device.ask(terms)).toBe(status);
    expect([device.sent.length, device.manager.size, device.manager.featureCount]).toEqual([0, 0, 0]);
    expect(device.time.wheel.size).toBe(0);
  });

  test.each(['read', 'notify'])('what %s throws is thrown, and there is no subscription', (where) => {
    const device = new Device();
    const broken = new Error('broken');
    const fail = (): never => {
      throw broken;
    };
    if (where === 'notify') device.reaction = fail;
    const terms = { endpoint, feature, attributes: [] };
    const subscribe = (): unknown =>
      device.manager.subscribe('peer', terms, where === 'read' ? fail : () => device.values);
    expect(subscribe).toThrow(broken);
    expect([device.manager.size, device.manager.featureCount, device.time.wheel.size]).toEqual([0, 0, 0]);
    expect(device.cancelled).toEqual([]);
    // The manager goes on working.
    device.reaction = () => undefined;
    device.sent.length = 0;
    device.subscribe(fast);
    device.write(1, 11);
    expect(device.take()).toHaveLength(2);
  });
});

describe('coalescing', () => {
  const second = { minIntervalMs: 1000, maxIntervalMs: 60_000 };

  test.each(['firstChange', 'lastNotification'] as const)(
    'TC-PROTO-005: A at 0 and B at 500 ms are one notification at 1000 ms with B, from %s',
    (coalesceFrom) => {
      const device = new Device({ coalesceFrom });
      device.subscribe(second);
      device.take();
      device.write(1, 'A');
      device.writeAt(500, 1, 'B');
      device.time.runTo(999);
      expect(device.take()).toEqual([]);
      device.time.runTo(10_000);
      expect(device.take()).toEqual([[1000, 'change', { 1: 'B' }]]);
    },
  );

  test('TC-PROTO-005: A to B and back to A is no notification; of two attributes the other one is told', () => {
    const device = new Device();
    device.subscribe(second);
    device.take();
    device.write(1, 11);
    device.writeAt(500, 1, 10);
    device.time.runTo(5000);
    expect(device.take()).toEqual([]);
    device.write(1, 11);
    device.write(2, 'on');
    device.writeAt(5500, 1, 10);
    device.time.runTo(10_000);
    expect(device.take()).toEqual([[6000, 'change', { 2: 'on' }]]);
  });

  test('the window begins at the first change after the last notification', () => {
    const device = new Device();
    device.subscribe({ minIntervalMs: 10_000, maxIntervalMs: 60_000 });
    device.take();
    device.writeAt(5000, 1, 11);
    device.writeAt(7000, 1, 12);
    device.time.runTo(20_000);
    expect(device.take()).toEqual([[15_000, 'change', { 1: 12 }]]);
    device.writeAt(21_000, 1, 13);
    device.time.runTo(40_000);
    expect(device.take()).toEqual([[31_000, 'change', { 1: 13 }]]);
  });

  test('with lastNotification it begins there: a change after a long silence is told at once', () => {
    const device = new Device({ coalesceFrom: 'lastNotification' });
    device.subscribe({ minIntervalMs: 10_000, maxIntervalMs: 60_000 });
    device.take();
    device.writeAt(5000, 1, 11);
    device.writeAt(7000, 1, 12);
    device.time.runTo(25_000);
    expect(device.take()).toEqual([[10_000, 'change', { 1: 12 }]]);
    // What changes together goes together, although the first would be told at once.
    device.write(1, 13);
    device.write(2, 'on');
    device.writeAt(25_001, 1, 14);
    device.time.runTo(50_000);
    expect(device.take()).toEqual([
      [25_000, 'change', { 1: 13, 2: 'on' }],
      [35_000, 'change', { 1: 14 }],
    ]);
  });

  test('a minimum of 0 sends each change at once', () => {
    const device = new Device();
    device.subscribe(fast);
    device.take();
    for (const value of ['A', 'B', 'C']) device.write(1, value);
    expect(device.take()).toEqual([
      [0, 'change', { 1: 'A' }],
      [0, 'change', { 1: 'B' }],
      [0, 'change', { 1: 'C' }],
    ]);
  });

  test('what changes in one call is one notification, also with a minimum of 0', () => {
    const device = new Device();
    device.subscribe({ attributes: [1, 2], ...fast });
    device.take();
    const values = new Map<number, Value>([
      [1, 11],
      [2, 'on'],
      [3, true],
    ]);
    device.manager.notifyChanges(endpoint, feature, values);
    expect(device.take()).toEqual([[0, 'change', { 1: 11, 2: 'on' }]]);
  });

  test('a notification has the attributes that have changed, never others', () => {
    const device = new Device();
    device.subscribe({ attributes: [1, 2], ...second });
    device.take();
    device.write(3, 1);
    device.time.runTo(5000);
    expect(device.take()).toEqual([]);
    device.write(3, 2);
    device.write(2, 'on');
    device.time.runTo(10_000);
    expect(device.take()).toEqual([[6000, 'change', { 2: 'on' }]]);
  });

  test('with full state a change is told with all that has been notified', () => {
    const device = new Device({ state: 'full' });
    device.subscribe({ attributes: [1, 2], ...fast });
    device.take();
    device.write(1, 11);
    device.write(1, 11);
    expect(device.take()).toEqual([[0, 'change', { 1: 11, 2: 'off' }]]);
  });

  test('an attribute of a feature that came later is told to who subscribed to all', () => {
    const device = new Device();
    device.subscribe(fast);
    device.subscribe({ attributes: [1], ...fast }, 'other');
    device.take();
    device.write(4, 'new');
    expect(device.take()).toEqual([[0, 'change', { 4: 'new' }]]);
  });

  test('what has not changed is not told before the maximum interval', () => {
    const device = new Device();
    device.subscribe();
    device.take();
    device.time.runTo(59_999);
    expect(device.take()).toEqual([]);
  });
});

describe('bounce-back suppression', () => {
  test('compares with what was notified last, not with what was written last', () => {
    const device = new Device();
    device.subscribe({ minIntervalMs: 100 });
    device.take();
    for (const [atMs, value] of [
      [0, 11],
      [200, 12],
      [210, 11],
      [250, 11],
      [400, 10],
    ] as const) {
      device.writeAt(atMs, 1, value);
    }
    device.time.runTo(1000);
    expect(device.take()).toEqual([
      [100, 'change', { 1: 11 }],
      [500, 'change', { 1: 10 }],
    ]);
  });

  test('leaves one of three out', () => {
    const device = new Device();
    device.subscribe({ minIntervalMs: 100 });
    device.take();
    device.write(1, 11);
    device.write(2, 'on');
    device.write(3, true);
    device.write(2, 'off');
    device.time.runTo(1000);
    expect(device.take()).toEqual([[100, 'change', { 1: 11, 3: true }]]);
  });

  test('can be switched off', () => {
    const device = new Device({ suppressBounceBack: false });
    device.subscribe({ minIntervalMs: 100 });
    device.take();
    device.write(1, 11);
    device.write(1, 10);
    device.time.runTo(200);
    device.write(1, 10);
    device.time.runTo(1000);
    expect(device.take()).toEqual([
      [100, 'change', { 1: 10 }],
      [300, 'change', { 1: 10 }],
    ]);
  });

  test.each([
    ['an integer', () => 7],
    ['a bigint', () => 2n ** 60n],
    ['NaN', () => Number.NaN],
    ['null', () => null],
    ['a text', () => 'text'],
    ['true', () => true],
    ['bytes', () => Uint8Array.of(1, 2, 3)],
    ['a list', () => [1, 'a', [2]]],
    ['a map', () => new Map([[1, [2, 3]]])],
  ] satisfies [string, () => Value][])('knows %s again', (_, make) => {
    const device = new Device();
    device.subscribe(fast);
    device.write(1, 'before');
    device.take();
    device.write(1, make());
    device.write(1, make());
    expect(device.sent.length).toBe(1);
  });

  test('takes an integer for the same as number and as bigint', () => {
    const device = new Device();
    device.subscribe(fast);
    device.take();
    device.write(1, 10n);
    expect(device.take()).toEqual([]);
  });
});

describe('heartbeats', () => {
  const terms = { minIntervalMs: 1000, maxIntervalMs: 10_000 };

  test('TC-PROTO-006: come at the maximum interval exactly, again and again, with all values', () => {
    const device = new Device();
    device.subscribe({ attributes: [1, 2], ...terms });
    device.take();
    device.time.runTo(9999);
    expect(device.take()).toEqual([]);
    device.time.runTo(30_000);
    expect(device.take()).toEqual([
      [10_000, 'heartbeat', { 1: 10, 2: 'off' }],
      [20_000, 'heartbeat', { 1: 10, 2: 'off' }],
      [30_000, 'heartbeat', { 1: 10, 2: 'off' }],
    ]);
  });

  test('TC-PROTO-006: carry nothing in the empty mode', () => {
    const device = new Device({ heartbeat: 'empty' });
    device.subscribe(terms);
    device.take();
    device.time.runTo(25_000);
    expect(device.take()).toEqual([
      [10_000, 'heartbeat', {}],
      [20_000, 'heartbeat', {}],
    ]);
  });

  test('TC-PROTO-006: come the maximum interval after a change was told', () => {
    const device = new Device();
    device.subscribe({ attributes: [1], ...terms });
    device.take();
    device.writeAt(4000, 1, 11);
    device.time.runTo(20_000);
    expect(device.take()).toEqual([
      [5000, 'change', { 1: 11 }],
      [15_000, 'heartbeat', { 1: 11 }],
    ]);
  });

  test.each([
    [0, 'full'],
    [0, 'empty'],
    [50, 'full'],
    [50, 'empty'],
  ] as const)(
    'TC-PROTO-006: come although the same value is written again all the time, minimum %d ms, %s',
    (minIntervalMs, heartbeat) => {
      const device = new Device({ heartbeat });
      device.subscribe({ attributes: [1], minIntervalMs, maxIntervalMs: 200 });
      device.take();
      for (let atMs = 10; atMs <= 1500; atMs += 10) device.writeAt(atMs, 1, 10);
      const changes = heartbeat === 'full' ? { 1: 10 } : {};
      const due = [200, 400, 600, 800, 1000, 1200, 1400];
      expect(device.take()).toEqual(due.map((atMs) => [atMs, 'heartbeat', changes]));
    },
  );

  test('are not needed when a change is due in the same instant', () => {
    const device = new Device();
    device.subscribe({ attributes: [1], minIntervalMs: 1000, maxIntervalMs: 1000 });
    device.take();
    device.write(1, 11);
    device.time.runTo(2000);
    expect(device.take()).toEqual([
      [1000, 'change', { 1: 11 }],
      [2000, 'heartbeat', { 1: 11 }],
    ]);
  });

  test('take changes with them that are being collected, in the full mode', () => {
    const device = new Device();
    device.subscribe({ attributes: [1, 2], ...terms });
    device.take();
    device.writeAt(9500, 1, 11);
    device.time.runTo(19_999);
    expect(device.take()).toEqual([[10_000, 'heartbeat', { 1: 11, 2: 'off' }]]);
  });

  test('give way to changes that are being collected, in the empty mode', () => {
    const device = new Device({ heartbeat: 'empty' });
    device.subscribe({ attributes: [1, 2], ...terms });
    device.take();
    device.writeAt(9500, 1, 11);
    device.time.runTo(20_000);
    expect(device.take()).toEqual([
      [10_000, 'change', { 1: 11 }],
      [20_000, 'heartbeat', {}],
    ]);
  });

  test('of one peer that are due within 100 ms share a turn, those of others do not', () => {
    const device = new Device({ heartbeat: 'empty' });
    device.subscribe(terms, 'a');
    device.time.runTo(100);
    device.subscribe(terms, 'a');
    device.subscribe(terms, 'b');
    device.time.runTo(201);
    device.subscribe(terms, 'a');
    device.take();
    device.time.runTo(21_000);
    expect(device.sent.map(({ atMs, peer, id }) => [atMs, peer, id])).toEqual([
      [10_000, 'a', 1],
      [10_000, 'a', 2],
      [10_100, 'b', 3],
      [10_201, 'a', 4],
      [20_000, 'a', 1],
      [20_000, 'a', 2],
      [20_100, 'b', 3],
      [20_201, 'a', 4],
    ]);
  });

  test('are not shared where that would break the minimum interval, nor a short maximum by a tenth', () => {
    const device = new Device({ heartbeat: 'empty' });
    device.subscribe({ minIntervalMs: 0, maxIntervalMs: 1000 });
    device.time.runTo(50);
    device.subscribe({ minIntervalMs: 1000, maxIntervalMs: 1000 });
    device.take();
    device.time.runTo(1050);
    expect(device.take().map(([atMs]) => atMs)).toEqual([1000, 1050]);
    const other = new Device({ heartbeat: 'empty' });
    other.subscribe({ minIntervalMs: 0, maxIntervalMs: 200 });
    other.time.runTo(21);
    other.subscribe({ minIntervalMs: 0, maxIntervalMs: 200 });
    other.take();
    other.time.runTo(221);
    expect(other.take().map(([atMs]) => atMs)).toEqual([200, 221]);
  });

  test('of many peers are spread: each has a maximum interval of its own, which it is told', () => {
    const draws = [0, 0.5, 0.999];
    const device = new Device({ maxIntervalSpread: 0.2, random: () => draws.shift() ?? 0 });
    const intervalOf = (peer: string, minIntervalMs = 0): number =>
      device.subscribe({ minIntervalMs, maxIntervalMs: 60_000 }, peer).maxIntervalMs;
    expect([intervalOf('a'), intervalOf('b'), intervalOf('c')]).toEqual([60_000, 54_000, 48_012]);
    // Another of the same peer has the same, and never less than its minimum.
    expect([intervalOf('b'), intervalOf('b', 59_000)]).toEqual([54_000, 59_000]);
    device.take();
    device.time.runTo(59_999);
    const first = device.sent.filter(({ peer }) => peer !== 'a').map(({ atMs, peer }) => [atMs, peer]);
    expect(first).toEqual([
      [48_012, 'c'],
      [54_000, 'b'],
      [54_000, 'b'],
      [59_000, 'b'],
    ]);
  });
});

describe('limits', () => {
  test('a peer has 50 subscriptions at most, and each peer has its own', () => {
    const device = new Device();
    for (let count = 0; count < 50; ++count) device.subscribe(fast, 'a');
    expect(device.ask(fast, 'a')).toBe('RESOURCE_EXHAUSTED');
    expect(device.manager.sizeOf('a')).toBe(50);
    device.subscribe(fast, 'b');
    device.take();
    // Those that are there live on.
    device.write(1, 11);
    expect(device.take('a')).toHaveLength(50);
    expect(device.manager.unsubscribe('a', 7)).toBe('SUCCESS');
    expect(device.subscribe(fast, 'a').subscriptionId).toBe(52);
  });

  test.each([2, 10])('or as many as are wanted: %d', (maxPerPeer) => {
    const device = new Device({ maxPerPeer });
    for (let count = 0; count < maxPerPeer; ++count) device.subscribe();
    expect(device.ask()).toBe('RESOURCE_EXHAUSTED');
  });

  test('all peers together have maxTotal', () => {
    const device = new Device({ maxTotal: 3 });
    for (const peer of ['a', 'b', 'c']) device.subscribe({}, peer);
    expect(device.ask({}, 'd')).toBe('RESOURCE_EXHAUSTED');
    device.manager.clear('b');
    expect(device.ask({}, 'd')).toMatchObject({ subscriptionId: 4 });
  });

  test('a subscription covers 100 attributes at most, by name and by their number', () => {
    const device = new Device();
    for (let id = 0; id < 100; ++id) device.values.set(id, id);
    const attributes = [...device.values.keys()];
    expect(device.values.size).toBe(100);
    expect(device.subscribe({ attributes }).values.size).toBe(100);
    expect(device.subscribe().values.size).toBe(100);
    device.values.set(100, 100);
    expect(device.ask({ attributes: [...attributes, 100] })).toBe('CONSTRAINT_ERROR');
    expect(device.ask()).toBe('CONSTRAINT_ERROR');
    expect(device.manager.size).toBe(2);
  });

  test('a subscription to all ends when they become too many', () => {
    const device = new Device({ maxAttributes: 3 });
    const { subscriptionId } = device.subscribe();
    device.subscribe({ attributes: [1] });
    device.write(4, 4);
    expect(device.cancelled).toEqual([['peer', subscriptionId, 'tooManyAttributes', undefined]]);
    expect(device.manager.size).toBe(1);
  });

  test.each<[Partial<SubscriptionTerms>, Partial<Subscribed> | ErrorStatus]>([
    [{}, { minIntervalMs: 1000, maxIntervalMs: 60_000 }],
    [{ minIntervalMs: 0 }, { minIntervalMs: 0, maxIntervalMs: 60_000 }],
    [{ maxIntervalMs: 5000 }, { minIntervalMs: 1000, maxIntervalMs: 5000 }],
    // A default gives way to what was asked for.
    [{ maxIntervalMs: 500 }, { minIntervalMs: 500, maxIntervalMs: 500 }],
    [{ minIntervalMs: 90_000 }, { minIntervalMs: 90_000, maxIntervalMs: 90_000 }],
    [
      { minIntervalMs: 0, maxIntervalMs: 1 },
      { minIntervalMs: 0, maxIntervalMs: 1 },
    ],
    [
      { minIntervalMs: 0xffff_ffff, maxIntervalMs: 0xffff_ffff },
      { minIntervalMs: 0xffff_ffff, maxIntervalMs: 0xffff_ffff },
    ],
    [{ maxIntervalMs: 0 }, 'CONSTRAINT_ERROR'],
    [{ minIntervalMs: 0, maxIntervalMs: 0 }, 'CONSTRAINT_ERROR'],
    [{ minIntervalMs: 100, maxIntervalMs: 50 }, 'CONSTRAINT_ERROR'],
    [{ minIntervalMs: -1 }, 'INVALID_PARAMETER'],
    [{ minIntervalMs: 0.5 }, 'INVALID_PARAMETER'],
    [{ maxIntervalMs: Number.NaN }, 'INVALID_PARAMETER'],
    [{ maxIntervalMs: 2 ** 32 }, 'INVALID_PARAMETER'],
    [{ endpoint: 256 }, 'INVALID_PARAMETER'],
    [{ endpoint: -1 }, 'INVALID_PARAMETER'],
    [{ feature: 256 }, 'INVALID_PARAMETER'],
    [{ attributes: [1, 65_536] }, 'INVALID_PARAMETER'],
  ])('the terms %o get %o', (terms, expected) => {
    const device = new Device();
    const got = device.ask(terms);
    if (typeof expected === 'string') expect(got).toBe(expected);
    else expect(got).toMatchObject(expected);
    expect(device.manager.size).toBe(typeof expected === 'string' ? 0 : 1);
  });

  test('autoCorrectIntervals swaps the intervals, but knows no maximum of 0', () => {
    const device = new Device({ autoCorrectIntervals: true });
    expect(device.ask({ minIntervalMs: 100, maxIntervalMs: 50 })).toMatchObject({
      minIntervalMs: 50,
      maxIntervalMs: 100,
    });
    expect(device.ask({ minIntervalMs: 100, maxIntervalMs: 0 })).toBe('CONSTRAINT_ERROR');
  });

  test('the maximum interval that is granted has a least and a greatest, which the minimum comes before', () => {
    const device = new Device({ leastMaxIntervalMs: 1000, greatestMaxIntervalMs: 60_000 });
    const granted = (minIntervalMs: number, maxIntervalMs: number) => {
      const made = device.ask({ minIntervalMs, maxIntervalMs });
      return typeof made === 'string' ? made : made.maxIntervalMs;
    };
    expect([granted(0, 1), granted(0, 1000), granted(0, 60_000), granted(0, 0xffff_ffff)]).toEqual([
      1000, 1000, 60_000, 60_000,
    ]);
    expect(granted(70_000, 80_000)).toBe(70_000);
    expect(granted(0, 0)).toBe('CONSTRAINT_ERROR');
  });

  test('the defaults of the intervals can be others', () => {
    const device = new Device({ minIntervalMs: 7, maxIntervalMs: 70 });
    expect(device.ask()).toMatchObject({ minIntervalMs: 7, maxIntervalMs: 70 });
  });

  test.each([
    { minIntervalMs: -1 },
    { minIntervalMs: 2000, maxIntervalMs: 1999 },
    { maxIntervalMs: 0 },
    { coalesceFrom: 'change' },
    { heartbeat: 'none' },
    { state: 'none' },
    { suppressBounceBack: 1 },
    { autoCorrectIntervals: 'yes' },
    { maxPerPeer: 0 },
    { maxTotal: 0 },
    { maxAttributes: 0 },
    { maxUndelivered: 0 },
    { maxIntervalSpread: 1 },
    { maxIntervalSpread: 0.1 },
    { leastSubscriptionId: 0 },
    { leastMaxIntervalMs: 0 },
    { leastMaxIntervalMs: 10, greatestMaxIntervalMs: 9 },
    { leastSubscriptionId: 0xffff_ffff, maxTotal: 2 },
    { notify: 5 },
    { cancelled: 5 },
    { wheel: {} },
    { maxSubscriptions: 50 },
  ])('there is no manager with %o', (options) => {
    const wheel = new TimingWheel(new VirtualTime().clock);
    const all = { wheel, notify: () => true, ...options } as SubscriptionManagerOptions<string>;
    expect(() => new SubscriptionManager(all)).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' }),
    );
  });

  test('changes of what cannot be are refused', () => {
    const { manager } = new Device();
    const refused = expect.objectContaining({ code: 'ERR_HAWSER_ARGUMENT' });
    expect(() => manager.notifyChange(256, 0, 0, 1)).toThrow(refused);
    expect(() => manager.notifyChange(0, 256, 0, 1)).toThrow(refused);
    expect(() => manager.notifyChange(0, 0, 65_536, 1)).toThrow(refused);
    manager.notifyChange(255, 255, 65_535, 1);
  });
});

describe('ids and sequences', () => {
  test('every subscription has an id of its own, never 0, on one feature and on several', () => {
    const { manager } = new Device();
    const ids = [1, 2, 3, 4, 4].map((each) => {
      const subscribed = manager.subscribe(
        'peer',
        { endpoint, feature: each, attributes: [] },
        () => new Map(),
      );
      return typeof subscribed === 'string' ? subscribed : subscribed.subscriptionId;
    });
    expect(ids).toEqual([1, 2, 3, 4, 5]);
    expect(manager.featureCount).toBe(4);
  });

  test('two subscriptions to one feature are both told, each with its id', () => {
    const device = new Device();
    const ids = [device.subscribe(fast).subscriptionId, device.subscribe(fast).subscriptionId];
    device.take();
    device.write(1, 11);
    expect(device.sent.map(({ id }) => id)).toEqual(ids);
  });

  test('ids begin again after 4294967295 and leave out those in use', () => {
    const device = new Device({ leastSubscriptionId: 0xffff_fffe, maxTotal: 2 });
    const next = (): number => device.subscribe().subscriptionId;
    expect([next(), next()]).toEqual([0xffff_fffe, 0xffff_ffff]);
    device.manager.unsubscribe('peer', 0xffff_ffff);
    expect(next()).toBe(0xffff_ffff);
    device.manager.unsubscribe('peer', 0xffff_fffe);
    expect(next()).toBe(0xffff_fffe);
  });

  test('the notifications of each subscription are counted from 1', () => {
    const device = new Device();
    device.subscribe({ attributes: [1], minIntervalMs: 0, maxIntervalMs: 1000 }, 'a');
    device.subscribe({ attributes: [1, 2], minIntervalMs: 0, maxIntervalMs: 1000 }, 'b');
    device.write(2, 'on');
    device.write(1, 11);
    device.write(1, 11);
    device.time.runTo(1000);
    const of = (key: string): unknown =>
      device.sent.filter(({ peer }) => peer === key).map((each) => each.sequence);
    expect(of('a')).toEqual([1, 2, 3]);
    expect(of('b')).toEqual([1, 2, 3, 4]);
  });
});

describe('the end of a subscription', () => {
  test('is silent: what is being collected is dropped, and no heartbeat comes', () => {
    const device = new Device();
    const { subscriptionId } = device.subscribe();
    device.take();
    device.write(1, 11);
    expect(device.manager.unsubscribe('peer', subscriptionId)).toBe('SUCCESS');
    device.write(1, 12);
    device.time.runTo(200_000);
    expect(device.take()).toEqual([]);
    expect(device.time.wheel.size).toBe(0);
  });

  test('INVALID_PARAMETER answers an unknown id, the second time, and the id of another peer', () => {
    const device = new Device();
    const { subscriptionId } = device.subscribe({}, 'a');
    device.subscribe({}, 'b');
    expect(device.manager.unsubscribe('a', 77)).toBe('INVALID_PARAMETER');
    expect(device.manager.unsubscribe('b', subscriptionId)).toBe('INVALID_PARAMETER');
    expect(device.manager.unsubscribe('nobody', subscriptionId)).toBe('INVALID_PARAMETER');
    expect(device.manager.unsubscribe('a', subscriptionId)).toBe('SUCCESS');
    expect(device.manager.unsubscribe('a', subscriptionId)).toBe('INVALID_PARAMETER');
    expect(device.manager.size).toBe(1);
  });

  test('with its peer leaves the others alone', () => {
    const device = new Device();
    device.subscribe(fast, 'a');
    device.subscribe(fast, 'a');
    device.subscribe(fast, 'b');
    device.take();
    expect(device.manager.clear('a')).toBe(2);
    expect(device.manager.clear('a')).toBe(0);
    device.write(1, 11);
    expect(device.sent.map(({ peer }) => peer)).toEqual(['b']);
    device.time.runTo(60_000);
    expect(device.sent.map(({ peer }) => peer)).toEqual(['b', 'b']);
  });

  test('of all leaves nothing', () => {
    const device = new Device();
    device.subscribe({}, 'a');
    device.subscribe({}, 'b');
    expect(device.manager.clearAll()).toBe(2);
    expect([device.manager.size, device.manager.featureCount, device.time.wheel.size]).toEqual([0, 0, 0]);
  });

  test('of the last one to a feature forgets the feature', () => {
    const device = new Device();
    const [one, two] = [device.subscribe({}, 'a'), device.subscribe({}, 'b')];
    device.manager.unsubscribe('a', one.subscriptionId);
    expect(device.manager.featureCount).toBe(1);
    device.manager.unsubscribe('b', two.subscriptionId);
    expect(device.manager.featureCount).toBe(0);
  });

  test('and another subscription has a new id and is primed with what changed meanwhile', () => {
    const device = new Device();
    const before = device.subscribe();
    device.manager.clear('peer');
    device.write(1, 11);
    device.take();
    const after = device.subscribe();
    expect(after.subscriptionId).not.toBe(before.subscriptionId);
    device.time.runTo(59_999);
    expect(device.sent.map(({ id, kind, changes }) => [id, kind, changes[1]])).toEqual([
      [after.subscriptionId, 'priming', 11],
    ]);
  });

  test('a subscription of one peer never notifies another', () => {
    const device = new Device();
    device.subscribe({ attributes: [1], ...fast }, 'a');
    device.subscribe({ attributes: [2], ...fast }, 'b');
    device.take();
    device.write(1, 11);
    device.time.runTo(1000);
    expect(device.sent.map(({ peer }) => peer)).toEqual(['a']);
  });

  test('peers are told apart as a Map does it', () => {
    const time = new VirtualTime();
    const told: object[] = [];
    const notify = (peer: object): boolean => told.push(peer) > 0;
    const manager = new SubscriptionManager<object>({ wheel: time.wheel, notify });
    const [a, b] = [{}, {}];
    for (const peer of [a, b])
      manager.subscribe(peer, { endpoint, feature, attributes: [] }, () => new Map());
    expect(manager.clear(a)).toBe(1);
    told.length = 0;
    time.runTo(60_000);
    expect(told).toHaveLength(1);
    expect(told[0]).toBe(b);
  });
});

describe('callbacks', () => {
  test('may end any subscription while a change is told', () => {
    for (const victim of [1, 2, 3]) {
      const device = new Device();
      for (const peer of ['a', 'b', 'c']) device.subscribe(fast, peer);
      device.take();
      device.reaction = ({ id }) => {
        if (id === 2) device.manager.unsubscribe(['a', 'b', 'c'][victim - 1] ?? '', victim);
      };
      device.write(1, 11);
      expect(device.sent.map(({ id }) => id)).toEqual(victim === 3 ? [1, 2] : [1, 2, 3]);
      device.take();
      device.reaction = () => undefined;
      device.write(1, 12);
      expect(device.sent.map(({ id }) => id)).toEqual([1, 2, 3].filter((id) => id !== victim));
    }
  });

  test('may end all of them while heartbeats are sent', () => {
    const device = new Device();
    for (let count = 0; count < 3; ++count) device.subscribe();
    device.take();
    device.reaction = () => device.manager.clear('peer');
    device.time.runTo(200_000);
    expect(device.sent).toHaveLength(1);
    expect(device.time.wheel.size).toBe(0);
  });

  test('may subscribe while a change is told: primed with it, not told of it', () => {
    const device = new Device({ suppressBounceBack: false });
    device.subscribe(fast, 'a');
    device.take();
    device.reaction = ({ kind }) => {
      if (kind === 'change' && device.manager.size < 5) device.subscribe(fast, 'b');
    };
    device.write(1, 11);
    expect(device.sent.map(({ peer, kind, changes }) => [peer, kind, changes[1]])).toEqual([
      ['a', 'change', 11],
      ['b', 'priming', 11],
    ]);
  });

  test('may tell changes: every subscriber is told of all in one order, and the last one stands', () => {
    const device = new Device();
    for (const peer of ['a', 'b']) device.subscribe({ attributes: [1], ...fast }, peer);
    device.take();
    device.reaction = ({ peer, changes }) => {
      if (peer !== 'a' || changes[1] !== 'B') return;
      const values = new Map([[1, 'C']]);
      device.manager.notifyChanges(endpoint, feature, values);
      values.clear();
    };
    device.write(1, 'B');
    expect(device.sent.map(({ peer, changes }) => `${peer}: ${changes[1]}`)).toEqual([
      'a: B',
      'b: B',
      'a: C',
      'b: C',
    ]);
  });

  test('may end the subscription that they are called for', () => {
    const device = new Device();
    device.reaction = ({ id }) => void device.manager.unsubscribe('peer', id);
    expect(device.ask(fast)).toBe('RESOURCE_EXHAUSTED');
    expect([device.manager.size, device.time.wheel.size]).toEqual([0, 0]);
  });

  test('may end it where they have no room for it: it is not offered again', () => {
    const offered: number[] = [];
    const time = new VirtualTime();
    const manager = new SubscriptionManager<string>({
      wheel: time.wheel,
      notify: (peer, { subscriptionId, kind }) => {
        offered.push(subscriptionId);
        if (kind === 'change') manager.unsubscribe(peer, subscriptionId);
        return kind === 'priming';
      },
    });
    for (const attribute of [1, 2]) {
      const terms = { endpoint, feature, attributes: [attribute], ...fast };
      manager.subscribe('peer', terms, () => new Map([[attribute, 0]]));
    }
    manager.notifyChange(endpoint, feature, 1, 1);
    manager.drained('peer');
    expect(offered).toEqual([1, 2, 1]);
    expect(manager.size).toBe(1);
  });

  test('may end the connection while the values are read: nothing is sent to it', () => {
    const device = new Device();
    const terms = { endpoint, feature, attributes: [] };
    const got = device.manager.subscribe('peer', terms, () => {
      device.manager.clear('peer');
      return device.values;
    });
    expect(got).toBe('RESOURCE_EXHAUSTED');
    expect(device.sent).toEqual([]);
    expect(device.time.wheel.size).toBe(0);
  });

  test('that throw end their subscription; the others are told', () => {
    const device = new Device();
    for (const peer of ['a', 'b', 'c']) device.subscribe(fast, peer);
    device.take();
    const broken = new Error('cannot be encoded');
    device.reaction = ({ peer }) => {
      if (peer === 'b') throw broken;
    };
    device.write(1, 11);
    expect(device.sent.map(({ peer }) => peer)).toEqual(['a', 'b', 'c']);
    expect(device.cancelled).toEqual([['b', 2, 'failed', broken]]);
    expect(device.manager.sizeOf('b')).toBe(0);
  });

  test('that are async are refused, for a promise is no answer', async () => {
    const unhandled: unknown[] = [];
    const onUnhandled = (error: unknown): number => unhandled.push(error);
    process.on('unhandledRejection', onUnhandled);
    const { wheel } = new Device().time;
    const notify = (): never => Promise.reject(new Error('async')) as never;
    const manager = new SubscriptionManager<string>({ wheel, notify });
    const terms = { endpoint, feature, attributes: [] };
    expect(() => manager.subscribe('peer', terms, () => new Map())).toThrow('the result of notify');
    expect(manager.size).toBe(0);
    // Node.js reports rejections without a handler before the next turn.
    await new Promise((resolve) => setImmediate(resolve));
    process.off('unhandledRejection', onUnhandled);
    expect(unhandled).toEqual([]);
  });
});

describe('a peer without room', () => {
  test('is offered nothing until it has drained; then the newest values; the others are told', () => {
    const device = new Device();
    device.subscribe({ attributes: [1, 2], ...fast }, 'a');
    device.subscribe({ attributes: [3], ...fast }, 'a');
    device.subscribe({ attributes: [1], ...fast }, 'b');
    device.take();
    device.full.add('a');
    for (let value = 100; value < 1100; ++value) device.write(1, value);
    device.write(2, 'on');
    expect(device.take('a')).toEqual([]);
    device.full.clear();
    device.write(1, 'last');
    device.write(3, true);
    // Still: nobody has said that there is room.
    expect(device.take('a')).toEqual([]);
    device.time.runTo(5);
    device.manager.drained('a');
    expect(device.sent.map(({ atMs, peer, changes, sequence }) => [atMs, peer, changes, sequence])).toEqual([
      [5, 'a', { 1: 'last', 2: 'on' }, 2],
      [5, 'a', { 3: true }, 2],
    ]);
    device.take();
    device.manager.drained('a');
    expect(device.take()).toEqual([]);
  });

  test('is not told what has bounced back meanwhile', () => {
    const device = new Device();
    device.subscribe({ attributes: [1], ...fast });
    device.take();
    device.full.add('peer');
    device.write(1, 11);
    device.write(1, 10);
    device.full.clear();
    device.manager.drained('peer');
    expect(device.take()).toEqual([]);
    device.write(1, 11);
    expect(device.take()).toEqual([[0, 'change', { 1: 11 }]]);
  });

  test('is primed when it has some, once, and told of changes after that', () => {
    const device = new Device();
    device.full.add('peer');
    const { values } = device.subscribe({ attributes: [1], minIntervalMs: 100 });
    device.writeAt(50, 1, 11);
    device.time.runTo(1000);
    expect(device.take()).toEqual([]);
    device.full.clear();
    device.manager.drained('peer');
    device.manager.drained('peer');
    device.time.runTo(5000);
    expect(values).toEqual(new Map([[1, 10]]));
    expect(device.sent.map(({ atMs, kind, changes, sequence }) => [atMs, kind, changes, sequence])).toEqual([
      [1000, 'priming', { 1: 10 }, 1],
      [1100, 'change', { 1: 11 }, 2],
    ]);
  });

  test('gets the heartbeat that was due as soon as it has some', () => {
    const device = new Device();
    device.subscribe({ attributes: [1], minIntervalMs: 0, maxIntervalMs: 1000 });
    device.take();
    device.full.add('peer');
    device.time.runTo(1500);
    device.full.clear();
    device.manager.drained('peer');
    device.time.runTo(2600);
    expect(device.take()).toEqual([
      [1500, 'heartbeat', { 1: 10 }],
      [2500, 'heartbeat', { 1: 10 }],
    ]);
    expect(device.cancelled).toEqual([]);
  });

  test('loses a subscription of which three notifications in a row found none', () => {
    const device = new Device();
    device.subscribe({ attributes: [1], minIntervalMs: 0, maxIntervalMs: 1000 }, 'a');
    device.subscribe({ attributes: [1], minIntervalMs: 0, maxIntervalMs: 60_000 }, 'a');
    device.subscribe({ attributes: [1], minIntervalMs: 0, maxIntervalMs: 1000 }, 'b');
    device.full.add('a');
    device.writeAt(100, 1, 11);
    device.time.runTo(1999);
    expect(device.cancelled).toEqual([]);
    device.time.runTo(2000);
    // The change, and the heartbeats of 1000 and 2000 ms.
    expect(device.cancelled).toEqual([['a', 1, 'undelivered', undefined]]);
    expect([device.manager.sizeOf('a'), device.manager.sizeOf('b')]).toEqual([1, 1]);
    device.take();
    device.full.clear();
    device.manager.drained('a');
    expect(device.take()).toEqual([[2000, 'change', { 1: 11 }]]);
    device.write(1, 12);
    expect(device.sent.map(({ id }) => id)).toEqual([2, 3]);
  });

  test('has all three again once one was taken', () => {
    const device = new Device({ maxUndelivered: 2 });
    device.subscribe({ attributes: [1], ...fast });
    for (let round = 0; round < 5; ++round) {
      device.full.add('peer');
      device.write(1, round);
      device.full.clear();
      device.manager.drained('peer');
    }
    expect(device.cancelled).toEqual([]);
    expect(device.sent).toHaveLength(6);
  });

  test('may have room for some only: the rest waits on, in turn', () => {
    const device = new Device({ maxUndelivered: 2 });
    for (let count = 0; count < 5; ++count) device.subscribe({ attributes: [1], ...fast });
    device.take();
    device.full.add('peer');
    device.write(1, 11);
    let room = 0;
    device.reaction = () => {
      if (--room === 0) device.full.add('peer');
    };
    for (const [sent, offered] of [
      [[1, 2], 2],
      [[3], 1],
      [[4, 5], 9],
    ] as const) {
      room = offered;
      device.full.clear();
      device.manager.drained('peer');
      expect(device.sent.map(({ id }) => id)).toEqual(sent);
      device.take();
    }
    // A peer that reads slowly loses none of them.
    expect(device.cancelled).toEqual([]);
  });

  test('may drain while it is sent to: nothing is sent twice', () => {
    const device = new Device();
    for (let count = 0; count < 3; ++count) device.subscribe({ attributes: [1], ...fast });
    device.take();
    device.full.add('peer');
    device.write(1, 11);
    device.full.clear();
    device.reaction = () => device.manager.drained('peer');
    device.manager.drained('peer');
    expect(device.sent.map(({ id, sequence }) => [id, sequence])).toEqual([
      [1, 2],
      [2, 2],
      [3, 2],
    ]);
  });

  test('a subscription that cannot even be primed is refused where none may wait', () => {
    const device = new Device({ maxUndelivered: 1 });
    device.full.add('peer');
    expect(device.ask()).toBe('RESOURCE_EXHAUSTED');
    expect([device.manager.size, device.time.wheel.size]).toEqual([0, 0]);
  });
});

describe('many', () => {
  test('10,000 peers with 5 quiet subscriptions each have one timer per peer, and one turn per interval', () => {
    const device = new Device({ heartbeat: 'empty' });
    for (let peer = 0; peer < 10_000; ++peer) {
      for (let count = 0; count < 5; ++count) device.subscribe({ attributes: [1] }, `${peer}`);
    }
    expect(device.time.wheel.size).toBe(10_000);
    device.take();
    device.time.runTo(60_000);
    expect(device.sent).toHaveLength(50_000);
    expect(device.time.wheel.size).toBe(10_000);
  });

  test('a change is told to those of its feature, without a look at the others', () => {
    const time = new VirtualTime();
    let looked = 0;
    const manager = new SubscriptionManager<number>({ wheel: time.wheel, notify: () => true });
    for (let peer = 0; peer < 1000; ++peer) {
      manager.subscribe(peer, { endpoint, feature: peer % 250, attributes: [], ...fast }, () => new Map());
    }
    const counting = new (class extends Map<number, Value> {
      override [Symbol.iterator](): MapIterator<[number, Value]> {
        ++looked;
        return super[Symbol.iterator]();
      }
    })([[1, 1]]);
    looked = 0;
    manager.notifyChanges(endpoint, 5, counting);
    expect(looked).toBe(4);
  });
});
