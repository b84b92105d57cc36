// A requester with the names of a model: against a device with a store, and against another side that says anything.

import * as v from 'valibot';
import { describe, expect, expectTypeOf, test, vi } from 'vitest';
import { z } from 'zod';
import { HawserError } from '../../src/base/errors.js';
import { AttributeStore } from '../../src/interaction/attribute-store.js';
import type { ClientSubscription } from '../../src/interaction/client-subscription.js';
import type { MessageCodec } from '../../src/interaction/codec.js';
import { Device } from '../../src/interaction/device.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { InteractionClient } from '../../src/interaction/interaction-client.js';
import { InteractionConnection } from '../../src/interaction/interaction-connection.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import type { NotificationKind } from '../../src/interaction/messages.js';
import { defineModel } from '../../src/interaction/model.js';
import type { Requester, SubscriptionListener } from '../../src/interaction/requester.js';
import { typed } from '../../src/interaction/typed-requester.js';
import type { AttributeValues, Value } from '../../src/interaction/values.js';
import { MemoryGateway } from './memory-gateway.js';
import { settled, VirtualTime } from './virtual-time.js';

const model = defineModel({
  thermostat: {
    endpoint: 1,
    features: {
      temperature: {
        feature: 2,
        attributes: {
          measured: { attribute: 1, schema: z.number() },
          target: { attribute: 2, schema: z.number().min(5).max(30), writable: true },
          name: { attribute: 3, schema: v.pipe(v.string(), v.trim()), writable: true },
          schedule: { attribute: 4, schema: z.array(z.object({ at: z.string() })), writable: true },
          pin: { attribute: 6, schema: z.string().length(4), writeOnly: true },
        },
        commands: {
          boost: {
            command: 1,
            parameters: z.object({ minutes: z.number().max(60) }),
            result: z.object({ untilMs: z.number() }),
          },
          stop: { command: 2 },
          wake: {
            command: 3,
            parameters: z.number().transform((ms) => new Date(ms)),
            result: z.number().optional(),
          },
          rename: { command: 4, parameters: z.object({ name: z.string() }).optional() },
        },
      },
    },
  },
});
type D = (typeof model)['definition'];

async function pair(codec: MessageCodec = hawserCodec()) {
  const time = new VirtualTime();
  const store = new AttributeStore<D>(model, {
    thermostat: { temperature: { measured: 20, target: 21, pin: '1234' } },
  });
  const boosts: unknown[] = [];
  const device = new Device({
    wheel: time.wheel,
    connections: { codec },
    subscriptions: { minIntervalMs: 0 },
    handlers: store.handlers({
      commands: {
        thermostat: {
          temperature: {
            boost: async ({ minutes }) => {
              boosts.push(minutes);
              return { untilMs: minutes * 60_000 };
            },
            stop: () => void boosts.push('stop'),
            wake: (at) => (at.getTime() === 0 ? undefined : at.getTime()),
            rename: (parameters) => void boosts.push(parameters),
          },
        },
      },
    }),
  });
  store.attach(device);
  const gateway = new MemoryGateway(
    () => time.nowMs,
    (connection) => device.accept(connection),
  );
  let connection: InteractionConnection | undefined;
  await gateway.connector((end) => {
    connection = new InteractionConnection(end, { wheel: time.wheel, codec });
    return connection;
  }, new AbortController().signal);
  if (connection === undefined) throw new Error('not connected');
  return { time, store, gateway, connection, boosts, thermostat: typed(connection, model) };
}

/** Another side that says what the test wants. */
class Liar implements Requester {
  answer: AttributeValues = new Map();
  result: Value | undefined;
  readonly asked: unknown[] = [];
  listener: SubscriptionListener | undefined;

  async read(...asked: unknown[]): Promise<AttributeValues> {
    this.asked.push(asked);
    return this.answer;
  }

  async write(...asked: unknown[]): Promise<void> {
    this.asked.push(asked);
  }

  async invoke(...asked: unknown[]): Promise<Value | undefined> {
    this.asked.push(asked);
    return this.result;
  }

  async subscribe(terms: unknown, listener: SubscriptionListener, options?: unknown) {
    this.asked.push([terms, options]);
    this.listener = listener;
    return { id: 1, minIntervalMs: 0, maxIntervalMs: 1, unsubscribe: async () => undefined };
  }

  notify(changes: AttributeValues, kind: NotificationKind = 'change'): void {
    const message = { type: 'notification', subscriptionId: 1, endpoint: 1, feature: 2 } as const;
    this.listener?.notified({ ...message, changes, kind });
  }
}

function lying() {
  const liar = new Liar();
  return { liar, thermostat: typed(liar, model) };
}

function refusal(request: Promise<unknown>): Promise<string> {
  return request.then(
    () => 'it was not refused',
    (error: unknown) => {
      if (error instanceof HawserError && error.code === 'ERR_HAWSER_ARGUMENT') return error.message;
      throw error;
    },
  );
}

function complaint(request: Promise<unknown>): Promise<string> {
  return request.then(
    () => 'it was taken',
    (error: Error) => `${error.name}: ${error.message}`,
  );
}

const place = ['thermostat', 'temperature'] as const;

// ---- Reading -------------------------------------------------------------------------------------------------------

test('what is read by name is there, of all others what the device has', async () => {
  const { thermostat } = await pair();
  const all = await thermostat.read('thermostat', 'temperature');
  expectTypeOf(all).toEqualTypeOf<{
    readonly measured?: number;
    readonly target?: number;
    readonly name?: string;
    readonly schedule?: { at: string }[];
  }>();
  expect(all).toStrictEqual({ measured: 20, target: 21 });
  const named = await thermostat.read('thermostat', 'temperature', ['target', 'measured']);
  expectTypeOf(named).toEqualTypeOf<{ readonly measured: number; readonly target: number }>();
  expect(named).toStrictEqual({ measured: 20, target: 21 });
  expect(await thermostat.read('thermostat', 'temperature', [])).toStrictEqual(all);
});

test('names that only the program knows may all be missing', async () => {
  const { thermostat } = await pair();
  const one = 'target' as 'target' | 'name';
  const some = await thermostat.read('thermostat', 'temperature', ['measured', one]);
  expectTypeOf(some).toEqualTypeOf<{
    readonly measured: number;
    readonly target?: number;
    readonly name?: string;
  }>();
  const list: ('target' | 'name')[] = [];
  const any = await thermostat.read('thermostat', 'temperature', list);
  expectTypeOf(any).toEqualTypeOf<{ readonly target?: number; readonly name?: string }>();
  expect([some, any]).toEqual([
    { measured: 20, target: 21 },
    { measured: 20, target: 21 },
  ]);
});

test('a value that was asked for by name and is missing rejects the read', async () => {
  const { thermostat } = await pair();
  expect(await complaint(thermostat.read(...place, ['target', 'name']))).toBe(
    'ProtocolError: thermostat.temperature.name is missing in the result of a read',
  );
});

test('values that their schemas refuse reject the read; what the model does not have, or did not ask for, is left out', async () => {
  const { liar, thermostat } = lying();
  liar.answer = new Map<number, Value>([
    [1, 20],
    [2, 21],
    [6, '1234'],
    [999, 'newer'],
  ]);
  expect(await thermostat.read(...place)).toStrictEqual({ measured: 20, target: 21 });
  expect(await thermostat.read(...place, ['target'])).toStrictEqual({ target: 21 });
  liar.answer = new Map<number, Value>([
    [1, '20'],
    [2, 99],
    [4, [new Map([['at', 7]])]],
  ]);
  expect(await complaint(thermostat.read(...place))).toBe(
    'ProtocolError: thermostat.temperature.measured: Invalid input: expected number, received string; ' +
      'thermostat.temperature.target: Too big: expected number to be <=30; ' +
      'thermostat.temperature.schedule[0].at: Invalid input: expected string, received number',
  );
});

test('what a requester rejects with is passed on, and so are its options', async () => {
  const { thermostat, connection } = await pair();
  const signal = AbortSignal.abort();
  await expect(thermostat.read(...place, [], { signal })).rejects.toMatchObject({
    code: 'ERR_HAWSER_ABORTED',
  });
  await expect(thermostat.write(...place, {}, { signal })).rejects.toMatchObject({
    code: 'ERR_HAWSER_ABORTED',
  });
  const stopping = thermostat.invoke(...place, 'stop', undefined, { signal });
  await expect(stopping).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  const listener = { changed: () => undefined };
  const subscribing = thermostat.subscribe(...place, {}, listener, { signal });
  await expect(subscribing).rejects.toMatchObject({ code: 'ERR_HAWSER_ABORTED' });
  connection.destroy();
  await expect(thermostat.read(...place)).rejects.toMatchObject({ code: 'ERR_HAWSER_NOT_CONNECTED' });
});

// ---- Writing -------------------------------------------------------------------------------------------------------

test('what is written arrives, and the device makes of it what its schemas say', async () => {
  const { thermostat, store } = await pair();
  await thermostat.write(...place, { target: 25, name: ' hall ', schedule: [{ at: '06:00' }], pin: '0000' });
  expect(store.get(...place, 'name')).toBe('hall');
  expect(store.get(...place, 'pin')).toBe('0000');
  expect(await thermostat.read(...place, ['target', 'schedule'])).toStrictEqual({
    target: 25,
    schedule: [{ at: '06:00' }],
  });
});

test('a value is checked before it is sent, and sent as it was given', async () => {
  const { liar, thermostat } = lying();
  const path = 'thermostat.temperature';
  const messages = await Promise.all([
    refusal(thermostat.write(...place, { target: 31 })),
    refusal(thermostat.write(...place, { target: 20, pin: 'a secret' })),
    refusal(thermostat.write(...place, { schedule: [{ at: new Date(0) as never }] })),
    // @ts-expect-error: it can only be read
    refusal(thermostat.write(...place, { measured: 20 })),
    // @ts-expect-error: no such attribute
    refusal(thermostat.write(...place, { taget: 20 })),
    // @ts-expect-error: no values
    refusal(thermostat.write(...place, new Map([[1, 2]]))),
    // @ts-expect-error: no such feature
    refusal(thermostat.write('thermostat', 'light', {})),
  ]);
  expect(messages).toEqual([
    `${path}.target: Too big: expected number to be <=30`,
    expect.not.stringContaining('a secret'),
    expect.stringMatching(/^thermostat\.temperature\.schedule\[0\]\.at must be .*; got a Date$/),
    `${path}.measured must be a writable attribute; got one that can only be read`,
    `an attribute of ${path} must be a name of the model; got "taget"; did you mean 'target'?`,
    'values must be a plain object; got a Map',
    'feature must be a name of the model; got "light"',
  ]);
  expect(liar.asked).toEqual([]);
  await thermostat.write(...place, { name: ' hall ' });
  expect(liar.asked).toEqual([[1, 2, new Map([[3, ' hall ']]), undefined]]);
});

// ---- Commands ------------------------------------------------------------------------------------------------------

test('commands are typed by their schemas', async () => {
  const { thermostat, boosts } = await pair();
  const boosted = await thermostat.invoke('thermostat', 'temperature', 'boost', { minutes: 5 });
  expectTypeOf(boosted).toEqualTypeOf<{ untilMs: number }>();
  expect(boosted).toStrictEqual({ untilMs: 300_000 });
  const stopped = await thermostat.invoke('thermostat', 'temperature', 'stop');
  expectTypeOf(stopped).toEqualTypeOf<undefined>();
  expect(stopped).toBeUndefined();
  const woken = await thermostat.invoke('thermostat', 'temperature', 'wake', 7);
  expectTypeOf(woken).toEqualTypeOf<number | undefined>();
  expect(woken).toBe(7);
  expect(await thermostat.invoke('thermostat', 'temperature', 'wake', 0)).toBeUndefined();
  await thermostat.invoke('thermostat', 'temperature', 'rename');
  await thermostat.invoke('thermostat', 'temperature', 'rename', { name: 'hall' });
  expect(boosts).toEqual([5, 'stop', undefined, { name: 'hall' }]);
});

test('parameters are checked before they are sent', async () => {
  const { liar, thermostat } = lying();
  const path = 'thermostat.temperature';
  const messages = await Promise.all([
    refusal(thermostat.invoke(...place, 'boost', { minutes: 61 })),
    // @ts-expect-error: no minutes
    refusal(thermostat.invoke(...place, 'boost', {})),
    // @ts-expect-error: no parameters
    refusal(thermostat.invoke(...place, 'boost')),
    // @ts-expect-error: parameters of a command that takes none
    refusal(thermostat.invoke(...place, 'stop', { minutes: 1 })),
    // @ts-expect-error: no such command
    refusal(thermostat.invoke(...place, 'bost')),
    refusal(thermostat.invoke(...place, 'wake', Number.NaN)),
  ]);
  expect(messages).toEqual([
    `${path}.boost.minutes: Too big: expected number to be <=60`,
    `${path}.boost.minutes: Invalid input: expected number, received undefined`,
    `${path}.boost: Invalid input: expected object, received undefined`,
    `${path}.stop must be asked for without parameters; got an object`,
    `a command of ${path} must be a name of the model; got "bost"; did you mean 'boost'?`,
    expect.stringMatching(/^thermostat\.temperature\.wake must be .*; got NaN$/),
  ]);
  expect(liar.asked).toEqual([]);
});

test('a result that its schema refuses rejects; one of a command without results is nothing', async () => {
  const { liar, thermostat } = lying();
  expect(await complaint(thermostat.invoke(...place, 'boost', { minutes: 1 }))).toBe(
    'ProtocolError: the result of thermostat.temperature.boost: Invalid input: expected object, received undefined',
  );
  liar.result = new Map([['untilMs', 'soon']]);
  expect(await complaint(thermostat.invoke(...place, 'boost', { minutes: 1 }))).toMatch(
    /^ProtocolError: .*untilMs/,
  );
  expect(await thermostat.invoke(...place, 'stop')).toBeUndefined();
});

test('mash carries it all the same', async () => {
  const { thermostat, store } = await pair(mashCodec());
  const heard: unknown[] = [];
  await thermostat.subscribe(
    ...place,
    { attributes: ['target'] },
    { changed: (values) => heard.push(values) },
  );
  await thermostat.write(...place, { target: 22 });
  expect(await thermostat.read(...place, ['target'])).toStrictEqual({ target: 22 });
  expect(await thermostat.invoke(...place, 'boost', { minutes: 1 })).toStrictEqual({ untilMs: 60_000 });
  expect(await thermostat.invoke(...place, 'stop')).toBeUndefined();
  store.set(...place, { target: 23 });
  await settled();
  expect(heard).toEqual([{ target: 21 }, { target: 22 }, { target: 23 }]);
});

// ---- Subscribing ---------------------------------------------------------------------------------------------------

test('a subscriber hears of values by their names', async () => {
  const { thermostat, store, connection } = await pair();
  const heard: unknown[] = [];
  const subscription = await thermostat.subscribe(
    'thermostat',
    'temperature',
    { attributes: ['measured', 'schedule'], minIntervalMs: 0, maxIntervalMs: 5000 },
    {
      changed: (values, kind) => {
        expectTypeOf(values).toEqualTypeOf<{
          readonly measured?: number;
          readonly schedule?: { at: string }[];
        }>();
        expectTypeOf(kind).toEqualTypeOf<NotificationKind>();
        heard.push([values, kind]);
      },
      stale: (reason) => heard.push(reason),
    },
  );
  store.set('thermostat', 'temperature', { measured: 19, target: 6, schedule: [{ at: '06:00' }] });
  await settled();
  expect(subscription).toMatchObject({ id: 1, minIntervalMs: 0, maxIntervalMs: 5000 });
  connection.closed(new HawserError('ERR_HAWSER_CONNECTION_LOST', 'lost'));
  expect(heard).toStrictEqual([
    [{ measured: 20 }, 'priming'],
    [{ measured: 19, schedule: [{ at: '06:00' }] }, 'change'],
    'connectionLost',
  ]);
});

test('a subscription without names is for all that can be read', async () => {
  const { thermostat, store } = await pair();
  const heard: unknown[] = [];
  await thermostat.subscribe(
    'thermostat',
    'temperature',
    {},
    {
      changed: (values) => {
        expectTypeOf(values).toEqualTypeOf<{
          readonly measured?: number;
          readonly target?: number;
          readonly name?: string;
          readonly schedule?: { at: string }[];
        }>();
        heard.push(values);
      },
    },
  );
  store.set('thermostat', 'temperature', { name: 'hall', pin: '9999' });
  await settled();
  expect(heard).toEqual([{ measured: 20, target: 21 }, { name: 'hall' }]);
});

test('values that their schemas refuse are told as invalid, and the others are told all the same', async () => {
  const { liar, thermostat } = lying();
  const log: unknown[] = [];
  await thermostat.subscribe(
    ...place,
    {},
    {
      changed: (values, kind) => log.push([kind, values]),
      invalid: (error) => log.push(complaintOf(error)),
    },
  );
  liar.notify(
    new Map<number, Value>([
      [1, 'x'],
      [2, 20],
    ]),
    'priming',
  );
  liar.notify(new Map([[2, 99]]));
  liar.notify(new Map([[999, 1]]));
  liar.notify(new Map());
  liar.notify(new Map(), 'heartbeat');
  liar.notify(new Map([[2, 4]]), 'heartbeat');
  const path = 'ProtocolError: thermostat.temperature';
  expect(log).toEqual([
    ['priming', { target: 20 }],
    `${path}.measured: Invalid input: expected number, received string`,
    `${path}.target: Too big: expected number to be <=30`,
    ['heartbeat', {}],
    ['heartbeat', {}],
    `${path}.target: Too small: expected number to be >=5`,
  ]);
});

test('without `invalid` the other values are told, and nobody is ended by what another side sends', async () => {
  const { thermostat, connection, gateway } = await pair();
  const log: unknown[] = [];
  connection.on('listenerError', (error, source) => log.push([complaintOf(error as Error), source]));
  const subscription = await thermostat.subscribe(...place, {}, { changed: (values) => log.push(values) });
  const told = {
    type: 'notification',
    subscriptionId: subscription.id,
    endpoint: 1,
    feature: 2,
    kind: 'change',
  } as const;
  const bytes = hawserCodec().encode({
    ...told,
    changes: new Map<number, Value>([
      [1, 'x'],
      [2, 22],
    ]),
  });
  gateway.tell((receiver) => receiver.message(bytes));
  expect(log).toEqual([{ measured: 20, target: 21 }, { target: 22 }]);
});

test('a listener that throws keeps nothing from the other one, and no error is lost', async () => {
  const { liar, thermostat } = lying();
  const invalid = vi.fn(() => {
    throw new Error('of invalid');
  });
  await thermostat.subscribe(
    ...place,
    {},
    {
      changed: () => {
        throw new Error('of changed');
      },
      invalid,
    },
  );
  expect(() => liar.notify(new Map([[1, 1]]))).toThrow('of changed');
  expect(invalid).not.toHaveBeenCalled();
  try {
    liar.notify(
      new Map<number, Value>([
        [1, 1],
        [2, 99],
      ]),
    );
    expect.unreachable();
  } catch (error) {
    expect((error as AggregateError).errors.map((each: Error) => each.message)).toEqual([
      'of changed',
      'of invalid',
    ]);
  }
});

test('names that cannot be subscribed to or read are refused', async () => {
  const { liar, thermostat } = lying();
  const listener = { changed: () => undefined };
  const messages = await Promise.all([
    // @ts-expect-error: it can only be written
    refusal(thermostat.read(...place, ['pin'])),
    // @ts-expect-error: it can only be written
    refusal(thermostat.subscribe(...place, { attributes: ['pin'] }, listener)),
    // @ts-expect-error: no such attribute
    refusal(thermostat.read(...place, ['mesured'])),
    // @ts-expect-error: no list
    refusal(thermostat.read(...place, 'measured')),
    // @ts-expect-error: misspelt
    refusal(thermostat.subscribe(...place, { attribute: ['target'] }, listener)),
    // @ts-expect-error: no function
    refusal(thermostat.subscribe(...place, {}, { changed: 7 })),
  ]);
  const path = 'thermostat.temperature';
  expect(messages).toEqual([
    `${path}.pin must be an attribute that can be read; got one that can only be written`,
    `${path}.pin must be an attribute that can be read; got one that can only be written`,
    `an attribute of ${path} must be a name of the model; got "mesured"; did you mean 'measured'?`,
    'attributes must be an array of 0 to 65535; got "measured"',
    `unknown option 'attribute' in terms; did you mean 'attributes'?`,
    'changed must be a function; got 7',
  ]);
  expect(liar.asked).toEqual([]);
});

describe('a schema of this side that does not do its work', () => {
  const broken = defineModel({
    a: {
      endpoint: 1,
      features: {
        b: {
          feature: 2,
          attributes: {
            slow: { attribute: 1, schema: z.number().refine(async () => true), writable: true },
            good: { attribute: 2, schema: z.number() },
          },
        },
      },
    },
  });

  test('is an error of the argument, and keeps no other value of a notification back', async () => {
    const liar = new Liar();
    liar.answer = new Map([[1, 1]]);
    const requester = typed(liar, broken);
    const message = 'the schema of a.b.slow must validate synchronously';
    expect(await refusal(requester.read('a', 'b'))).toBe(message);
    expect(await refusal(requester.write('a', 'b', { slow: 1 }))).toBe(message);
    const log: unknown[] = [];
    await requester.subscribe(
      'a',
      'b',
      {},
      {
        changed: (values) => log.push(values),
        invalid: (error) => log.push(error.message),
      },
    );
    liar.notify(
      new Map([
        [1, 1],
        [2, 2],
      ]),
    );
    expect(log).toEqual([{ good: 2 }, message]);
  });
});

// ---- Requesters ----------------------------------------------------------------------------------------------------

test('the options and the subscriptions of a client are its own', () => {
  const { wheel } = new VirtualTime();
  const client = new InteractionClient({ connector: () => Promise.reject(new Error('never')), wheel });
  const thermostat = typed(client, model);
  expect(thermostat.requester).toBe(client);
  const uses = () => {
    const listener = { changed: () => undefined };
    const subscription = thermostat.subscribe('thermostat', 'temperature', {}, listener, { sustained: true });
    expectTypeOf(subscription).resolves.toExtend<ClientSubscription>();
    return thermostat.invoke('thermostat', 'temperature', 'stop', undefined, { idempotent: true });
  };
  const usesOfConnection = ({ thermostat: other }: Awaited<ReturnType<typeof pair>>) =>
    // @ts-expect-error: a connection does not send a request again
    other.invoke('thermostat', 'temperature', 'stop', undefined, { idempotent: true });
  expect([uses, usesOfConnection]).toHaveLength(2);
});

test('it takes a requester and a model only', () => {
  const { liar } = lying();
  // @ts-expect-error: no model
  expect(() => typed(liar, {})).toThrow('model must be what defineModel makes; got an object');
  // @ts-expect-error: no requester
  expect(() => typed({}, model)).toThrow('requester.read must be a function; got undefined');
});

function complaintOf(error: Error): string {
  return `${error.name}: ${error.message}`;
}
